//! How a worker process came to its end, and who is to blame.

use seedfall::campaign::{Group, Runs};
use std::collections::BTreeMap;
use std::fmt;
use std::process::ExitStatus;

/// How a worker died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// By a signal.
    Signal(i32),
    /// By its own exit code; zero: it ended before it had done what it was asked.
    Exit(i32),
    /// It was ended, as one run took too long.
    Late,
}

/// Who is to blame for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The run that was under way: a verdict.
    Run,
    /// The machine, or a person: out of memory, taken down.
    Machine,
    /// The worker itself could not do its work: a full disk, a scenario that makes no sense.
    Worker,
}

/// What follows from a death that did not come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    /// Two runs of one seed differ: the campaign is not green.
    Incident,
    /// Nothing that can be known.
    Warning,
}

/// How a process died.
pub(super) fn died(status: ExitStatus, timed_out: bool) -> Death {
    if timed_out {
        return Death::Late;
    }
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return Death::Signal(signal);
    }
    Death::Exit(status.code().unwrap_or(-1))
}

impl Death {
    pub(super) fn blame(self) -> Blame {
        match self {
            // What a command, or a test harness, says when it could not do its work; and limits
            // that somebody set for the process: too much time, too large a file.
            Self::Exit(2 | 101) | Self::Signal(24 | 25) => Blame::Worker,
            Self::Signal(4..=8 | 11 | 31) | Self::Exit(_) | Self::Late => Blame::Run,
            Self::Signal(_) => Blame::Machine,
        }
    }

    /// What follows if the same seeds, one by one, do not end so, and why. Real time is not the
    /// run's: a machine that sleeps, or is busy with something else, makes any run late.
    pub(super) fn not_again(self) -> (Follows, &'static str) {
        match self {
            Self::Late => (
                Follows::Warning,
                "the machine was busy, or asleep; if it comes again, that a run ends is chance",
            ),
            _ => (Follows::Incident, "two runs of one seed differ"),
        }
    }

    /// Whether it is what a machine does to whoever eats up its memory.
    pub(super) fn is_kill(self) -> bool {
        self == Self::Signal(9)
    }

    /// The run of a seed whose process died so: a failure, or, if the machine took it down, neither
    /// that nor a pass.
    pub(super) fn runs(self, scenario: &str, build: &str, seed: u64, said: &str) -> Runs {
        let mut runs = Runs {
            scenario: scenario.to_owned(),
            build: build.to_owned(),
            from: seed,
            to: seed + 1,
            hash: format!("{:#018x}", 0),
            ..Runs::default()
        };
        if self.is_kill() {
            runs.killed = 1;
            return runs;
        }
        runs.failed = 1;
        let (kind, property) = match self {
            Self::Late => ("hang", "a run comes to its end"),
            _ => ("crash", "the process survives the run"),
        };
        let last = said.lines().rfind(|line| !line.trim().is_empty());
        let said = last.map(|line| format!(": {line}")).unwrap_or_default();
        let group = Group {
            runs: 1,
            seed,
            event: 0,
            faults: 0,
            kind: kind.to_owned(),
            property: property.to_owned(),
            told: format!("{self}{said}").chars().take(400).collect(),
        };
        runs.groups = BTreeMap::from([(format!("{kind}: {property}: {self}"), group)]);
        runs
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("it took too long"),
            Self::Exit(0) => f.write_str("it ended the process, with exit code 0"),
            Self::Exit(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match name(*number) {
                Some(name) => f.write_str(name),
                None => write!(f, "signal {number}"),
            },
        }
    }
}

/// The numbers of Linux, which are those of most systems.
fn name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_a_failure_and_a_kill_is_neither() {
        let crash = Death::Signal(11).runs("a", "b", 7, "note\nlast words\n");
        assert!(crash.is_consistent() && crash.failed == 1);
        let (print, group) = crash.groups.first_key_value().expect("a failure");
        assert_eq!(print, "crash: the process survives the run: SIGSEGV");
        assert_eq!((group.seed, group.told.as_str()), (7, "SIGSEGV: last words"));
        let kill = Death::Signal(9).runs("a", "b", 7, "");
        assert!(kill.is_consistent() && kill.killed == 1 && kill.groups.is_empty());
        assert_eq!(Death::Exit(101).blame(), Blame::Worker);
        assert_eq!(Death::Exit(0).blame(), Blame::Run);
        assert_eq!(Death::Signal(15).blame(), Blame::Machine);
    }

    #[test]
    fn a_run_that_was_late_once_proves_nothing_and_one_that_crashed_once_does() {
        assert_eq!(Death::Late.not_again().0, Follows::Warning);
        for death in [Death::Signal(11), Death::Exit(0), Death::Exit(3)] {
            assert_eq!(death.not_again().0, Follows::Incident, "{death}");
        }
    }
}
