//! What a run tells: the report, and the frames in which a child sends it to its parent.

use seedfall_net::Tally;
use seedfall_sim::{DrawAddress, Entry, Seed, Time};
use std::fmt;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The program of every client has ended.
    Finished,
    /// The virtual time that was given to it is over.
    Horizon,
    /// Nothing will ever happen again: every thread waits for another.
    Stuck,
    /// It did not come to an end: the report's failure says why.
    Stopped,
    /// So many events have happened as were asked for.
    Cut,
}

/// What went wrong with a run itself, or with a program in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A thread of a program panicked.
    Panic {
        /// Whose.
        node: String,
        /// When.
        at: Time,
        /// What it said, and where.
        message: String,
    },
    /// A program ended with a code that is not zero; 134 is `abort`.
    Exit {
        /// Whose.
        node: String,
        /// When.
        at: Time,
        /// With which.
        code: i32,
    },
    /// A signal ended the run's process while a program was running.
    Signal {
        /// Whose; empty if none was.
        node: String,
        /// When.
        at: Time,
        /// Which, and what it means.
        signal: String,
    },
    /// A thread computed for long without a call of the kernel.
    Spin {
        /// Whose.
        node: String,
        /// When.
        at: Time,
        /// Where it was.
        stack: String,
    },
    /// The run took more real time than it was given.
    Time {
        /// Who was running.
        node: String,
        /// When.
        at: Time,
        /// Where it was.
        stack: String,
    },
    /// A program asked for more memory than the run was given.
    Memory {
        /// Whose.
        node: String,
        /// When.
        at: Time,
    },
    /// More events happened than the run was given.
    Storm {
        /// Whose program ran last.
        node: String,
        /// When.
        at: Time,
        /// How many.
        events: u64,
    },
    /// A program asked for what is not simulated.
    Unsupported {
        /// Whose.
        node: String,
        /// When.
        at: Time,
        /// What it asked for.
        call: String,
        /// Where it was.
        stack: String,
    },
    /// The world cannot be run: what is wrong with it, or with the machine.
    Setup(String),
    /// The simulated kernel itself failed: a bug of Seedfall.
    Bug(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic { node, at, message } => write!(f, "`{node}` panicked at {at}: {message}"),
            Self::Exit { node, at, code } => write!(f, "`{node}` ended at {at} with code {code}"),
            Self::Signal { node, at, signal } => write!(f, "`{node}` died at {at}: {signal}"),
            Self::Spin { node, at, stack } => {
                write!(f, "`{node}` computes without an end at {at}:\n{stack}")
            }
            Self::Time { node, at, stack } => {
                write!(f, "the run took too long; at {at} `{node}` was here:\n{stack}")
            }
            Self::Memory { node, at } => write!(f, "`{node}` ran out of memory at {at}"),
            Self::Storm { node, at, events } => {
                write!(f, "more than {events} events by {at}, lately in `{node}`")
            }
            Self::Unsupported { node, at, call, stack } => {
                write!(f, "`{node}` calls {call} at {at}, which is not simulated:\n{stack}")
            }
            Self::Setup(message) => f.write_str(message),
            Self::Bug(message) => write!(f, "a bug of Seedfall: {message}"),
        }
    }
}

/// Something that a program printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// When.
    pub at: Time,
    /// True: on standard error.
    pub is_error: bool,
    /// What.
    pub bytes: Vec<u8>,
}

/// What became of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeReport {
    /// Its name.
    pub name: String,
    /// How its program ended, each time that it ended by itself.
    pub exits: Vec<(Time, i32)>,
    /// What it printed.
    pub printed: Vec<Printed>,
    /// How many changes of its files its programs made, over the whole run: writes, changes of
    /// lengths, syncs, changes of names. Before each of them it can be made to crash
    /// ([`CrashPoint::Change`](seedfall_sim::CrashPoint::Change)).
    pub changes: u64,
    /// How many timers and waits of a certain length its programs set, over the whole run.
    pub timers: u64,
    /// Zero if its programs never looked at the wall clock over the whole run.
    pub looks: u64,
}

impl NodeReport {
    /// Everything that the node printed, as text.
    pub fn output(&self) -> String {
        let all: Vec<u8> = self.printed.iter().flat_map(|one| one.bytes.iter().copied()).collect();
        String::from_utf8_lossy(&all).into_owned()
    }
}

/// A thread that waits, when nothing will ever happen again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Whose.
    pub node: String,
    /// Its number, as `gettid` says it.
    pub thread: i32,
    /// For what.
    pub what: String,
    /// The program's own functions that it is in, the innermost first, with their places where the
    /// binary knows them.
    pub stack: Vec<String>,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, thread, what, stack } = self;
        write!(f, "`{node}`, thread {thread}, waits for {what}")?;
        stack.iter().try_for_each(|one| write!(f, "\n    in {one}"))
    }
}

/// Something that the workload recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// When.
    pub at: Time,
    /// On which node, as an index.
    pub node: usize,
    /// What.
    pub bytes: Vec<u8>,
}

/// What catches system calls that come without a symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backstop {
    /// Nothing: they reach the real machine.
    #[default]
    Absent,
    /// Syscall User Dispatch.
    Dispatch,
    /// A filter of seccomp, where there is no Syscall User Dispatch. Calls of the run's process
    /// itself are slower by a signal each.
    Seccomp,
}

/// How far this machine lets a run depend on its seed alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Isolation {
    /// The addresses of the process are the same in every process (see
    /// [`isolated`](crate::isolated)).
    pub fixed_addresses: bool,
    /// What catches system calls that come without a symbol.
    pub system_calls: Backstop,
    /// Readings of the time-stamp counter are caught.
    pub time_stamps: bool,
    /// Nodes have statics of their own, unless they are to share them
    /// ([`Simulation::shared_statics`](crate::Simulation::shared_statics)).
    pub own_statics: bool,
}

impl Isolation {
    /// What the machine does not permit, in words, and what follows from it; empty if it permits
    /// all.
    pub fn degraded(&self) -> Vec<&'static str> {
        let mut without = Vec::new();
        if !self.fixed_addresses {
            without.push(
                "addresses are random (no `personality`, or not within `isolated`): a program that \
                 looks at them may differ from process to process",
            );
        }
        if self.system_calls == Backstop::Absent {
            without.push(
                "neither Syscall User Dispatch nor seccomp: a system call that comes without a \
                 symbol of libc reaches the real machine unseen",
            );
        }
        if !self.time_stamps {
            without.push(
                "no PR_SET_TSC: a program that reads the time-stamp counter sees the real time",
            );
        }
        if !self.own_statics {
            without.push(
                "nodes share the statics of this process, as it has no symbols (it was built with \
                 `strip`) or an allocator that may keep its memory in them: what a program keeps \
                 in one, all see, and no crash takes",
            );
        }
        without
    }
}

/// Everything that a run tells.
#[derive(Clone, Debug)]
pub struct Report {
    /// What decided it.
    pub seed: Seed,
    /// Everything that happened, as one number.
    pub hash: u64,
    /// How many things happened.
    pub events: u64,
    /// How it ended.
    pub ended: Ended,
    /// The virtual time by then.
    pub at: Time,
    /// Each node, servers first.
    pub nodes: Vec<NodeReport>,
    /// What the workload recorded, in order.
    pub notes: Vec<Note>,
    /// Everything that went wrong, in order.
    pub failures: Vec<Failure>,
    /// How many effects each fault had, as planned: of a disturbance of the wire, how many segments
    /// and datagrams it touched from its beginning to its end.
    pub effects: Vec<u64>,
    /// What the disturbances of the wire did.
    pub tally: Tally,
    /// Segments and datagrams that left.
    pub sent: u64,
    /// Those that arrived.
    pub deliveries: u64,
    /// Those that were lost, by the wire or for want of a machine that is on.
    pub lost: u64,
    /// Those that the wire doubled.
    pub doubled: u64,
    /// Calls of the kernel.
    pub calls: u64,
    /// Switches between threads.
    pub switches: u64,
    /// How often a program did something with the real machine
    /// ([`nondeterministic`](crate::nondeterministic)).
    pub nondeterministic: u64,
    /// Where the threads wait, if a client does when nothing will ever happen again
    /// ([`Ended::Stuck`]).
    pub waiting: Vec<Waiting>,
    /// The events, as far as they were kept.
    pub trace: Vec<Entry>,
    /// The draws, if they were logged.
    pub draws: Vec<(DrawAddress, [u32; 4])>,
    /// What the crate `antithesis_sdk` reported of the assertions of programs: JSON, a line each.
    pub records: Vec<Note>,
    /// What was logged in programs by somebody who is no part of them ([`log`](crate::log())).
    pub logs: Vec<Note>,
    /// Why programs were told what they were told: that a port was taken, a name nobody's, a folder
    /// not there. Each once; many a program is told so on purpose.
    pub hints: Vec<Note>,
    /// What reached the real standard output and error of the process.
    pub stray: Vec<u8>,
    /// What the machine permitted.
    pub isolation: Isolation,
}

impl Report {
    /// The first thing that went wrong.
    pub fn failure(&self) -> Option<&Failure> {
        self.failures.first()
    }

    /// The report of a node.
    ///
    /// # Panics
    /// If there is no node of that name.
    pub fn node(&self, name: &str) -> &NodeReport {
        let found = self.nodes.iter().find(|node| node.name == name);
        found.unwrap_or_else(|| panic!("there is no node `{name}`"))
    }

    /// What the workload recorded, as text.
    pub fn notes_as_text(&self) -> Vec<String> {
        self.notes.iter().map(|note| String::from_utf8_lossy(&note.bytes).into_owned()).collect()
    }
}

/// Bytes that are being written.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// A frame of this kind.
    pub(crate) fn frame(kind: u8) -> Self {
        Self(vec![kind, 0, 0, 0, 0])
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    /// Adds bytes with their length.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    /// How long it is so far.
    pub(crate) fn size(&self) -> usize {
        self.0.len()
    }

    /// The whole frame.
    pub(crate) fn done(mut self) -> Vec<u8> {
        let length = (self.0.len() - 5) as u32;
        self.0[1..5].copy_from_slice(&length.to_le_bytes());
        self.0
    }
}

/// Bytes that are being read; what is missing reads as zero, since a child may die as it writes.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next frame of a report, and its kind.
    pub(crate) fn frame(report: &mut &'a [u8]) -> Option<(u8, Self)> {
        let (head, rest) = report.split_first_chunk::<5>()?;
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (body, rest) = rest.split_at_checked(length)?;
        *report = rest;
        Some((head[0], Self(body)))
    }

    /// Whether everything was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A number.
    pub(crate) fn number(&mut self) -> u64 {
        let Some((number, rest)) = self.0.split_first_chunk::<8>() else { return 0 };
        self.0 = rest;
        u64::from_le_bytes(*number)
    }

    /// An instant.
    pub(crate) fn time(&mut self) -> Time {
        Time::from_nanos(self.number())
    }

    /// Bytes with their length.
    pub(crate) fn bytes(&mut self) -> &'a [u8] {
        let length = self.number() as usize;
        let (bytes, rest) = self.0.split_at_checked(length).unwrap_or_default();
        self.0 = rest;
        bytes
    }

    /// A text.
    pub(crate) fn text(&mut self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }
}
