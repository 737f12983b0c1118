//! Byzantine agreement (Lamport, Shostak and Pease, *The Byzantine generals problem*, 1982).
//!
//! Only correct processes are bound. With a commander: **IC1** all correct lieutenants decide the
//! same value; **IC2** if the commander is correct, that is the commander's value. Without one, as
//! consensus: **agreement**, and **validity** (if all correct processes propose one value, it is
//! decided). Both: **integrity** (nobody decides twice) and, when the run went quiet,
//! **termination**.

use crate::report::Report;

/// What one process proposed and decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its name.
    pub process: u32,
    /// Whether it followed the protocol throughout.
    pub is_correct: bool,
    /// What it proposed; for a commander, its order.
    pub proposal: Option<u64>,
    /// Every value it decided, in order.
    pub decisions: Vec<u64>,
}

/// Judges one instance. `commander` names the general whose order is to be obeyed, if there is one;
/// `is_quiet` says whether every correct process had the time to decide. Breaches name processes.
#[must_use]
pub fn byzantine(processes: &[Process], commander: Option<u32>, is_quiet: bool) -> Report {
    let correct: Vec<&Process> = processes.iter().filter(|process| process.is_correct).collect();
    let mut report = Report { examined: correct.len() as u64, ..Report::default() };
    let obeys = |process: &&Process| commander != Some(process.process);
    let mut first: Option<(u32, u64)> = None;
    for process in correct.iter().copied().filter(obeys) {
        let name = process.process;
        if 1 < process.decisions.len() {
            report.note("integrity", &[name], || {
                format!("process {name} decided {:?}", process.decisions)
            });
        }
        if is_quiet && process.decisions.is_empty() {
            report.note("termination", &[name], || format!("process {name} never decided"));
        }
        for &value in &process.decisions {
            let (other, agreed) = *first.get_or_insert((name, value));
            if agreed != value {
                let rule = if commander.is_some() { "IC1" } else { "agreement" };
                report.note(rule, &[other, name], || {
                    format!("process {other} decided {agreed} and process {name} {value}")
                });
            }
        }
    }
    let (rule, expected) = match commander {
        Some(commander) => {
            let commander = correct.iter().find(|process| process.process == commander);
            ("IC2", commander.and_then(|commander| commander.proposal))
        }
        None => {
            let mut proposals = correct.iter().map(|process| process.proposal);
            let first = proposals.next().flatten();
            ("validity", first.filter(|first| proposals.all(|p| p == Some(*first))))
        }
    };
    for process in correct.iter().copied().filter(obeys) {
        if let Some(expected) = expected
            && let Some(wrong) = process.decisions.iter().find(|value| **value != expected)
        {
            report.note(rule, &[process.process], || {
                format!("process {} decided {wrong}, not {expected}", process.process)
            });
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rows: &[(bool, u64, &[u64])], commander: Option<u32>) -> Report {
        let process =
            |(process, (is_correct, proposal, decisions)): (u32, &(bool, u64, &[u64]))| Process {
                process,
                is_correct: *is_correct,
                proposal: Some(*proposal),
                decisions: decisions.to_vec(),
            };
        let processes: Vec<Process> = (0..).zip(rows).map(process).collect();
        byzantine(&processes, commander, true)
    }

    #[test]
    fn liars_are_not_bound() {
        let rows: [(bool, u64, &[u64]); 3] =
            [(true, 1, &[1]), (true, 1, &[1]), (false, 9, &[7, 8])];
        assert!(run(&rows, None).holds());
        assert!(run(&rows, Some(2)).holds());
        // Different proposals leave the choice free, but one.
        assert!(run(&[(true, 1, &[2]), (true, 2, &[2])], None).holds());
    }

    #[test]
    fn each_property_is_named() {
        assert!(run(&[(true, 1, &[1]), (true, 2, &[2])], None).breaks("agreement"));
        assert!(run(&[(true, 1, &[2]), (true, 1, &[2])], None).breaks("validity"));
        assert!(run(&[(true, 1, &[1]), (true, 2, &[1, 1])], None).breaks("integrity"));
        assert!(run(&[(true, 1, &[1]), (true, 2, &[])], None).breaks("termination"));
        let split: [(bool, u64, &[u64]); 3] = [(false, 1, &[]), (true, 0, &[1]), (true, 0, &[2])];
        assert!(run(&split, Some(0)).breaks("IC1"));
        let disobeyed: [(bool, u64, &[u64]); 2] = [(true, 1, &[]), (true, 0, &[2])];
        let report = run(&disobeyed, Some(0));
        assert!(report.breaks("IC2") && report.breached == 1, "{report}");
    }
}
