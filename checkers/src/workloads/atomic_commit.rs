//! Atomic commit: AC1 to AC5 of Bernstein, Hadzilacos and Goodman (*Concurrency control and
//! recovery in database systems*, 1987, section 7.3), by name.
//!
//! - **AC1** all processes that reach a decision reach the same one;
//! - **AC2** a process cannot reverse its decision;
//! - **AC3** commit is decided only if all processes voted yes;
//! - **AC4** without failures, if all voted yes, the decision is commit;
//! - **AC5** once all failures are repaired for long enough, all processes decide.
//!
//! AC4 and AC5 need to know what the run was like, so the caller says so: see [`atomic_commit`].

use crate::report::Report;

/// How a process voted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vote {
    /// It can commit.
    Yes,
    /// It cannot.
    No,
}

/// What a process decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// The transaction takes effect.
    Commit,
    /// It does not.
    Abort,
}

/// One process of one transaction, the coordinator included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// Its name.
    pub process: u32,
    /// Its vote, if it ever cast one.
    pub vote: Option<Vote>,
    /// Every decision it reached, in order; one told again after a restart counts again.
    pub decisions: Vec<Decision>,
}

/// Judges one transaction. `had_failures`: whether any failure, timeouts included, took effect,
/// which excuses from AC4. `is_quiet`: whether all failures were repaired and the run went on long
/// enough, which calls for AC5. Breaches name processes as their operations.
#[must_use]
pub fn atomic_commit(participants: &[Participant], had_failures: bool, is_quiet: bool) -> Report {
    let mut report = Report { examined: participants.len() as u64, ..Report::default() };
    let reached = |decision: Decision| {
        participants.iter().find(move |participant| participant.decisions.contains(&decision))
    };
    let (commit, abort) = (reached(Decision::Commit), reached(Decision::Abort));
    if let (Some(commit), Some(abort)) = (commit, abort) {
        let (commit, abort) = (commit.process, abort.process);
        report.note("AC1", &[commit, abort], || {
            format!("process {commit} decided commit and process {abort} abort")
        });
    }
    for participant in participants {
        let decisions = &participant.decisions;
        if decisions.windows(2).any(|pair| pair[0] != pair[1]) {
            report.note("AC2", &[participant.process], || {
                format!("process {} decided {decisions:?}", participant.process)
            });
        }
        if let Some(commit) = commit
            && participant.vote != Some(Vote::Yes)
        {
            report.note("AC3", &[commit.process, participant.process], || {
                format!(
                    "process {} decided commit, though process {} voted {:?}",
                    commit.process, participant.process, participant.vote
                )
            });
        }
        if is_quiet && decisions.is_empty() {
            report.note("AC5", &[participant.process], || {
                format!("process {} never decided", participant.process)
            });
        }
    }
    let unanimous = participants.iter().all(|participant| participant.vote == Some(Vote::Yes));
    if let Some(abort) = abort
        && unanimous
        && !had_failures
    {
        report.note("AC4", &[abort.process], || {
            format!("all voted yes, nothing failed, and process {} aborted", abort.process)
        });
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use Decision::{Abort, Commit};
    use Vote::{No, Yes};

    fn run(rows: &[(Option<Vote>, &[Decision])]) -> Vec<Participant> {
        let participant = |(process, (vote, decisions)): (u32, &(Option<Vote>, &[Decision]))| {
            Participant { process, vote: *vote, decisions: decisions.to_vec() }
        };
        (0..).zip(rows).map(participant).collect()
    }

    fn breaks(rows: &[(Option<Vote>, &[Decision])], rule: &str) -> bool {
        let report = atomic_commit(&run(rows), false, true);
        report.breached == 1 && report.breaks(rule)
    }

    #[test]
    fn correct_outcomes_hold() {
        let all = run(&[(Some(Yes), &[Commit]), (Some(Yes), &[Commit, Commit])]);
        assert!(atomic_commit(&all, false, true).holds());
        let refused = run(&[(Some(Yes), &[Abort]), (Some(No), &[Abort])]);
        assert!(atomic_commit(&refused, false, true).holds());
        // A failure may abort what all wanted, and may leave some undecided until repaired.
        let failed = run(&[(Some(Yes), &[Abort]), (Some(Yes), &[])]);
        assert!(atomic_commit(&failed, true, false).holds());
    }

    #[test]
    fn each_property_is_named() {
        assert!(
            atomic_commit(&run(&[(Some(Yes), &[Commit]), (Some(Yes), &[Abort])]), true, true)
                .breaks("AC1")
        );
        assert!(atomic_commit(&run(&[(Some(Yes), &[Abort, Commit])]), true, true).breaks("AC2"));
        assert!(breaks(&[(Some(Yes), &[Commit]), (Some(No), &[Commit])], "AC3"));
        assert!(breaks(&[(Some(Yes), &[Commit]), (None, &[Commit])], "AC3"));
        assert!(breaks(&[(Some(Yes), &[Abort]), (Some(Yes), &[Abort])], "AC4"));
        assert!(breaks(&[(Some(Yes), &[Commit]), (Some(Yes), &[])], "AC5"));
    }
}
