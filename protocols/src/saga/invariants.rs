//! S1 to S6, watched from outside while a run goes on, whoever drives the sagas.
//!
//! A node that is down shows nothing: what it must have written by then is looked for when it is up
//! again. Where a step landed in time is not judged, as it may be seen late; in which order one
//! service wrote its own book is.

use super::ledger::{Entry, Fate};
use super::{Books, Kind, Outcome, Plan, SagaId, StepIndex};
use seedfall_sim::{Monitor, NodeId, SortedMap, Violation};

/// Watches the nodes of one run.
#[derive(Clone, Debug, Default, Hash)]
pub struct Invariants {
    nodes: Vec<Seen>,
    fates: SortedMap<(SagaId, StepIndex), Fate>,
    sagas: SortedMap<SagaId, Known>,
    /// Steps that do not look as the end of their saga asks, and whose node was not seen since.
    owed: Vec<(SagaId, StepIndex, NodeId)>,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

/// A node as it was when it was looked at last, maybe before a crash.
#[derive(Clone, Debug, Default, Hash)]
struct Seen {
    /// How long its book was.
    book: usize,
    /// How many sagas it said to be over.
    outcomes: usize,
}

/// What was seen of a saga, anywhere.
#[derive(Clone, Debug, Default, Hash)]
struct Known {
    has_passed_pivot: bool,
    was_compensated: bool,
    outcome: Option<Outcome>,
}

impl<P: Books> Monitor<P> for Invariants {
    fn observe(&mut self, node: NodeId, state: &P) -> Result<(), Violation> {
        if self.nodes.len() <= node.index() {
            self.nodes.resize_with(node.index() + 1, Seen::default);
        }
        if let Some(ledger) = state.ledger() {
            self.observe_book(node, ledger.book())?;
        }
        if self.nodes[node.index()].outcomes != state.outcomes().count() {
            self.observe_outcomes(node, state)?;
        }
        self.settle_owed(node)
    }
}

impl Invariants {
    fn observe_book(&mut self, node: NodeId, book: &[Entry]) -> Result<(), Violation> {
        let before = self.nodes[node.index()].book;
        if book.len() < before {
            let lost = before - book.len();
            return violated("S6", format!("{node} forgot its last {lost} entries"));
        }
        self.nodes[node.index()].book = book.len();
        for entry in &book[before..] {
            self.observe_entry(node, entry)?;
        }
        Ok(())
    }

    /// S1 to S4: what may follow on what, under one key and in one saga.
    fn observe_entry(&mut self, node: NodeId, entry: &Entry) -> Result<(), Violation> {
        let (saga, index, fate, kind) = match entry {
            Entry::Effect { saga, index, step } => (*saga, *index, Fate::Done, Some(step.kind)),
            Entry::Compensation { saga, index, .. } => (*saga, *index, Fate::Compensated, None),
            Entry::Cancelled { saga, index } => (*saga, *index, Fate::Cancelled, None),
            Entry::Settled { .. } => return Ok(()),
        };
        let before = self.fates.insert((saga, index), fate);
        let (property, what) = match (before, fate) {
            (None, Fate::Done | Fate::Cancelled) | (Some(Fate::Done), Fate::Compensated) => {
                ("", "")
            }
            (Some(Fate::Done | Fate::Compensated), Fate::Done) => ("S1", "landed twice"),
            (Some(Fate::Cancelled), Fate::Done) => ("S3", "landed behind its tombstone"),
            (Some(Fate::Compensated), Fate::Compensated) => ("S2", "was compensated twice"),
            (None | Some(Fate::Cancelled), Fate::Compensated) => {
                ("S2", "was compensated without having landed")
            }
            (Some(_), Fate::Cancelled) => ("S3", "was cancelled after it was decided"),
        };
        if !property.is_empty() {
            return violated(property, format!("step {index} of saga {saga} {what} on {node}"));
        }
        let known = self.sagas.entry(saga).or_default();
        known.has_passed_pivot |= kind == Some(Kind::Pivot);
        known.was_compensated |= fate == Fate::Compensated;
        if known.has_passed_pivot && known.was_compensated {
            let explanation = format!("saga {saga} has passed its pivot and is compensated");
            return violated("S4", explanation);
        }
        if fate == Fate::Done && known.outcome == Some(Outcome::Compensated) {
            // An orphan, unless the next entry of this look takes it back.
            self.owed.push((saga, index, node));
        }
        Ok(())
    }

    /// S5, of the sagas that are newly said to be over.
    fn observe_outcomes(&mut self, node: NodeId, state: &impl Books) -> Result<(), Violation> {
        let seen = &mut self.nodes[node.index()].outcomes;
        let count = state.outcomes().count();
        if count < *seen {
            return violated("S6", format!("{node} forgot how {} sagas ended", *seen - count));
        }
        *seen = count;
        for (saga, plan, outcome) in state.outcomes() {
            let known = self.sagas.entry(saga).or_default();
            match known.outcome.replace(outcome) {
                None => self.rests_on_steps(saga, plan, state),
                Some(before) if before == outcome => {}
                Some(before) => {
                    return violated("S5", format!("saga {saga} was {before:?}, now {outcome:?}"));
                }
            }
        }
        Ok(())
    }

    fn rests_on_steps(&mut self, saga: SagaId, plan: &Plan, state: &impl Books) {
        for (index, _, step) in plan.steps() {
            if !self.is_as_told(saga, index) {
                self.owed.push((saga, index, state.keeper_of(&step.account)));
            }
        }
    }

    /// Whether a step looks as the end of its saga asks.
    fn is_as_told(&self, saga: SagaId, index: StepIndex) -> bool {
        let has_landed = self.fates.get(&(saga, index)) == Some(&Fate::Done);
        match self.sagas[&saga].outcome {
            None => true,
            Some(Outcome::Completed) => has_landed,
            Some(Outcome::Compensated) => !has_landed,
        }
    }

    /// The node is up and shows all that it wrote: there is no excuse left.
    fn settle_owed(&mut self, node: NodeId) -> Result<(), Violation> {
        if self.owed.iter().all(|(.., keeper)| *keeper != node) {
            return Ok(());
        }
        for (saga, index, keeper) in std::mem::take(&mut self.owed) {
            if keeper != node {
                self.owed.push((saga, index, keeper));
            } else if !self.is_as_told(saga, index) {
                let outcome = self.sagas[&saga].outcome;
                let outcome = outcome.expect("what is owed has an outcome");
                let fate = self.fates.get(&(saga, index));
                let explanation = format!(
                    "saga {saga} is {outcome:?}, and its step {index} on {node} is {fate:?}"
                );
                return violated("S5", explanation);
            }
        }
        Ok(())
    }
}

#[cold]
fn violated(property: &'static str, explanation: String) -> Result<(), Violation> {
    Err(Violation { property, explanation })
}

#[cfg(test)]
mod tests {
    use super::super::Step;
    use super::*;
    use seedfall_sim::ClientId;

    const NODE: NodeId = NodeId::new(1);
    const SAGA: SagaId = SagaId { client: ClientId::new(0), sequence: 1 };

    fn step(kind: Kind) -> Step {
        Step { kind, account: "a".into(), amount: 1 }
    }

    fn effect(index: StepIndex, kind: Kind) -> Entry {
        Entry::Effect { saga: SAGA, index, step: step(kind) }
    }

    fn compensation(index: StepIndex) -> Entry {
        Entry::Compensation { saga: SAGA, index, step: step(Kind::Compensatable) }
    }

    /// Which property a book breaks.
    fn broken(book: &[Entry]) -> &'static str {
        let mut seen = invariants();
        seen.nodes.resize_with(2, Seen::default);
        seen.observe_book(NODE, book).map_or_else(|violation| violation.property, |()| "none")
    }

    #[test]
    fn each_property_of_a_book_is_named() {
        let done = effect(0, Kind::Compensatable);
        let cancelled = Entry::Cancelled { saga: SAGA, index: 0 };
        let pivot = effect(1, Kind::Pivot);
        let settled = Entry::Settled { saga: SAGA };
        assert_eq!(broken(&[done.clone(), compensation(0)]), "none");
        assert_eq!(broken(&[done.clone(), pivot.clone(), settled]), "none");
        assert_eq!(broken(&[done.clone(), done.clone()]), "S1");
        assert_eq!(broken(&[done.clone(), compensation(0), done.clone()]), "S1");
        assert_eq!(broken(&[done.clone(), compensation(0), compensation(0)]), "S2");
        assert_eq!(broken(&[compensation(0)]), "S2");
        assert_eq!(broken(&[cancelled.clone(), done.clone()]), "S3");
        assert_eq!(broken(&[done.clone(), cancelled]), "S3");
        assert_eq!(broken(&[done, pivot, compensation(0)]), "S4");
    }

    #[test]
    fn what_is_told_of_the_end_must_be_so() {
        for (outcome, fate, expected) in [
            (Outcome::Completed, Some(Fate::Done), "none"),
            (Outcome::Completed, None, "S5"),
            (Outcome::Completed, Some(Fate::Compensated), "S5"),
            (Outcome::Compensated, Some(Fate::Cancelled), "none"),
            (Outcome::Compensated, None, "none"),
            (Outcome::Compensated, Some(Fate::Done), "S5"),
        ] {
            let mut seen = invariants();
            seen.sagas.entry(SAGA).or_default().outcome = Some(outcome);
            if let Some(fate) = fate {
                seen.fates.insert((SAGA, 0), fate);
            }
            seen.owed.push((SAGA, 0, NODE));
            let result = seen.settle_owed(NODE);
            let property = result.map_or_else(|violation| violation.property, |()| "none");
            assert_eq!(property, expected, "{outcome:?}, {fate:?}");
        }
    }

    #[test]
    fn a_book_does_not_get_shorter() {
        let mut seen = invariants();
        seen.nodes.resize_with(2, Seen::default);
        seen.observe_book(NODE, &[effect(0, Kind::Pivot)]).expect("nothing is wrong yet");
        let forgotten = seen.observe_book(NODE, &[]).expect_err("it forgot an entry");
        assert_eq!(forgotten.property, "S6");
    }
}
