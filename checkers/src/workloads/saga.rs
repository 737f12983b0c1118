//! Sagas: all steps, or those that ran and their compensations (Garcia-Molina and Salem, *Sagas*,
//! SIGMOD 1987).
//!
//! A saga of steps `T1 .. Tn` ends as `T1 .. Tn`, or as `T1 .. Tj, Cj .. C1`. Each effect and each
//! compensation happens once, whatever was retried: count effects where they land, not requests.

use crate::report::Report;

/// How a saga was said to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SagaOutcome {
    /// All steps took effect.
    Completed,
    /// What took effect was compensated.
    Compensated,
}

/// Something that happened to a step, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StepEvent {
    /// Its effect landed.
    Effect(u32),
    /// Its compensation landed.
    Compensation(u32),
}

/// One saga: its plan, what landed in order, and what its client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaRun {
    /// How many steps the plan has.
    pub steps: u32,
    /// Whether steps must run in order and be compensated in reverse.
    pub is_sequential: bool,
    /// What landed, in the order in which it landed.
    pub events: Vec<StepEvent>,
    /// What the client was told; `None` if it was told nothing.
    pub outcome: Option<SagaOutcome>,
}

/// Judges sagas after the run went quiet; breaches name sagas by index.
#[must_use]
pub fn saga(sagas: &[SagaRun]) -> Report {
    let mut report = Report { examined: sagas.len() as u64, ..Report::default() };
    for (index, run) in (0u32..).zip(sagas) {
        judge(index, run, &mut report);
    }
    report
}

fn judge(index: u32, run: &SagaRun, report: &mut Report) {
    let mut effects: Vec<u32> = Vec::new();
    let mut compensations: Vec<u32> = Vec::new();
    for event in &run.events {
        let (step, row, rule) = match event {
            StepEvent::Effect(step) => (*step, &mut effects, "effect-once"),
            StepEvent::Compensation(step) => (*step, &mut compensations, "compensation-once"),
        };
        if row.contains(&step) {
            report.note(rule, &[index], || format!("saga {index}: {event:?} landed twice"));
            continue;
        }
        row.push(step);
        if run.steps <= step {
            report.note("unexpected-step", &[index], || {
                format!("saga {index} has {} steps, and {event:?} landed", run.steps)
            });
        }
        let is_bare = matches!(event, StepEvent::Compensation(_)) && !effects.contains(&step);
        if is_bare {
            report.note("compensation-without-effect", &[index], || {
                format!("saga {index}: step {step} was compensated before it took effect")
            });
        }
    }
    let is_complete = (0..run.steps).all(|step| effects.contains(&step));
    let standing = effects.iter().find(|step| !compensations.contains(step)).copied();
    match run.outcome {
        Some(SagaOutcome::Completed) if !is_complete || !compensations.is_empty() => {
            report.note("completed-in-part", &[index], || {
                format!("saga {index} completed with {:?}", run.events)
            });
        }
        Some(SagaOutcome::Compensated) if standing.is_some() => {
            report.note("not-compensated", &[index], || {
                format!("saga {index} was compensated, and step {standing:?} still stands")
            });
        }
        // Told nothing, it must still be one or the other.
        None if standing.is_some() && (!is_complete || !compensations.is_empty()) => {
            report.note("atomicity", &[index], || {
                format!("saga {index} stopped half way with {:?}", run.events)
            });
        }
        Some(_) | None => {}
    }
    let rises = effects.is_sorted();
    let falls = compensations.iter().rev().is_sorted();
    if run.is_sequential && !(rises && falls) {
        report.note("order", &[index], || format!("saga {index} ran as {:?}", run.events));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SagaOutcome::{Compensated, Completed};
    use StepEvent::{Compensation, Effect};

    fn run(events: &[StepEvent], outcome: Option<SagaOutcome>) -> Report {
        let run = SagaRun { steps: 2, is_sequential: true, events: events.to_vec(), outcome };
        saga(&[run])
    }

    #[test]
    fn all_or_compensated_holds() {
        for outcome in [Some(Completed), None] {
            assert!(run(&[Effect(0), Effect(1)], outcome).holds());
        }
        for outcome in [Some(Compensated), None] {
            assert!(run(&[Effect(0), Compensation(0)], outcome).holds());
            assert!(run(&[], outcome).holds());
            let all = [Effect(0), Effect(1), Compensation(1), Compensation(0)];
            assert!(run(&all, outcome).holds());
        }
    }

    #[test]
    fn each_rule_is_named() {
        let twice = [Effect(0), Effect(0), Effect(1)];
        assert!(run(&twice, Some(Completed)).breaks("effect-once"));
        let twice = [Effect(0), Compensation(0), Compensation(0)];
        assert!(run(&twice, Some(Compensated)).breaks("compensation-once"));
        assert!(run(&[Compensation(0)], None).breaks("compensation-without-effect"));
        assert!(run(&[Effect(0)], Some(Completed)).breaks("completed-in-part"));
        assert!(run(&[Effect(0)], Some(Compensated)).breaks("not-compensated"));
        assert!(run(&[Effect(0)], None).breaks("atomicity"));
        assert!(run(&[Effect(1), Effect(0)], Some(Completed)).breaks("order"));
        let turned = [Effect(0), Effect(1), Compensation(0), Compensation(1)];
        assert!(run(&turned, Some(Compensated)).breaks("order"));
        assert!(run(&[Effect(0), Effect(1), Effect(2)], None).breaks("unexpected-step"));
        let free = SagaRun {
            steps: 2,
            is_sequential: false,
            events: vec![Effect(1), Effect(0)],
            outcome: Some(Completed),
        };
        assert!(saga(&[free]).holds());
    }
}
