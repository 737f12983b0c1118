//! S1 to S6 and S8, watched from outside while a run goes on, whoever drives the sagas.
//!
//! A node that is down shows nothing: what it must have written by then is looked for when it is up
//! again. Where a step landed in time is not judged, as it may be seen late; in which order one
//! service wrote its own book is.

use super::ledger::{Entry, Fate};
use super::{Books, Config, Isolation, Kind, Outcome, Plan, SagaId, Step, StepIndex};
use crate::kv::Text;
use seedfall_sim::{Monitor, NodeId, SortedMap, SortedSet, Violation};

/// Watches the nodes of one run.
#[derive(Clone, Debug, Default, Hash)]
pub struct Invariants {
    nodes: Vec<Seen>,
    fates: SortedMap<(SagaId, StepIndex), Fate>,
    sagas: SortedMap<SagaId, Known>,
    /// Steps that do not look as the end of their saga asks, and whose node was not seen since.
    owed: Vec<(SagaId, StepIndex, NodeId)>,
    /// What was added to each account, and who may still take some of it back.
    accounts: SortedMap<Text, Account>,
}

/// An account, by its service's book.
#[derive(Clone, Debug, Default, Hash)]
struct Account {
    change: i64,
    pending: SortedSet<(SagaId, StepIndex)>,
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
    /// Its orchestrator said so.
    turns_back: bool,
    outcome: Option<Outcome>,
}

impl<P: Books> Monitor<P> for Invariants {
    fn observe(&mut self, node: NodeId, state: &P) -> Result<(), Violation> {
        if self.nodes.len() <= node.index() {
            self.nodes.resize_with(node.index() + 1, Seen::default);
        }
        if let Some(ledger) = state.ledger() {
            self.observe_book(node, ledger.book(), state.config())?;
        }
        for (saga, turns_back) in state.directions() {
            self.observe_direction(node, saga, turns_back)?;
        }
        if self.nodes[node.index()].outcomes != state.outcomes().count() {
            self.observe_outcomes(node, state)?;
        }
        self.settle_owed(node)
    }
}

impl Invariants {
    /// S4 of an orchestrator: that a saga turns back is for ever.
    fn observe_direction(
        &mut self,
        node: NodeId,
        saga: SagaId,
        turns_back: bool,
    ) -> Result<(), Violation> {
        let known = self.sagas.entry(saga).or_default();
        if known.turns_back && !turns_back && known.outcome.is_none() {
            let explanation = format!("{node} turned saga {saga} back, and now goes forward");
            return violated("S4", explanation);
        }
        known.turns_back |= turns_back;
        Ok(())
    }

    fn observe_book(
        &mut self,
        node: NodeId,
        book: &[Entry],
        config: &Config,
    ) -> Result<(), Violation> {
        let before = self.nodes[node.index()].book;
        if book.len() < before {
            let lost = before - book.len();
            return violated("S6", format!("{node} forgot its last {lost} entries"));
        }
        self.nodes[node.index()].book = book.len();
        for entry in &book[before..] {
            self.observe_entry(node, entry)?;
            self.observe_account(node, entry, config)?;
        }
        Ok(())
    }

    /// S8: what a step that may be refused finds on its account, and what it leaves there.
    fn observe_account(
        &mut self,
        node: NodeId,
        entry: &Entry,
        config: &Config,
    ) -> Result<(), Violation> {
        let (saga, index, step) = match entry {
            Entry::Effect { saga, index, step } => (*saga, *index, step),
            Entry::Compensation { saga, index, step } => {
                let account = self.accounts.entry(step.account.clone()).or_default();
                account.change -= step.amount;
                account.pending.remove(&(*saga, *index));
                return Ok(());
            }
            Entry::Cancelled { .. } => return Ok(()),
            Entry::Settled { saga } => {
                for account in self.accounts.values_mut() {
                    account.pending.retain(|(holder, _)| holder != saga);
                }
                return Ok(());
            }
        };
        let Step { kind, account: name, amount } = step;
        let account = self.accounts.entry(name.clone()).or_default();
        account.change += amount;
        let other = account.pending.iter().find(|(holder, _)| *holder != saga).copied();
        if *kind == Kind::Compensatable {
            account.pending.insert((saga, index));
        }
        let balance = config.opening + account.change;
        if *kind == Kind::Retriable {
            return Ok(());
        }
        if let (Isolation::SemanticLock, Some((holder, _))) = (config.isolation, other) {
            let explanation = format!(
                "step {index} of saga {saga} landed on {name} of {node}, which is pending for \
                 saga {holder}"
            );
            return violated("S8", explanation);
        }
        // Others that ignore the bounds may have left it outside; a step must not go further.
        let goes_out = (*amount < 0 && balance < 0) || (0 < *amount && config.ceiling < balance);
        if goes_out {
            let explanation =
                format!("step {index} of saga {saga} leaves {balance} on {name} of {node}");
            return violated("S8", explanation);
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
    use super::*;
    use seedfall_sim::{ClientId, Duration};

    const CONFIG: Config = Config {
        isolation: Isolation::None,
        opening: 10,
        ceiling: 12,
        backoff_min: Duration::millis(1),
        backoff_max: Duration::millis(1),
        attempts: 1,
        flush_interval: Duration::millis(1),
    };

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
        seen.observe_book(NODE, book, &CONFIG)
            .map_or_else(|violation| violation.property, |()| "none")
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
        seen.observe_book(NODE, &[effect(0, Kind::Pivot)], &CONFIG).expect("nothing is wrong yet");
        let forgotten = seen.observe_book(NODE, &[], &CONFIG).expect_err("it forgot an entry");
        assert_eq!(forgotten.property, "S6");
    }

    #[test]
    fn what_has_turned_back_does_not_go_forward_again() {
        let mut seen = invariants();
        let mut goes = |turns_back| {
            let result = seen.observe_direction(NODE, SAGA, turns_back);
            result.map_or_else(|violation| violation.property, |()| "none")
        };
        assert_eq!(
            [goes(false), goes(true), goes(true), goes(false)],
            ["none", "none", "none", "S4"]
        );
    }

    #[test]
    fn a_step_keeps_to_the_bounds_and_to_the_lock() {
        let other = SagaId { sequence: 2, ..SAGA };
        let lands = |saga, kind, amount, isolation| {
            let config = Config { isolation, ..CONFIG };
            let step = Step { amount, ..step(kind) };
            let book = [effect(0, Kind::Compensatable), Entry::Effect { saga, index: 1, step }];
            let mut seen = invariants();
            seen.nodes.resize_with(2, Seen::default);
            let result = seen.observe_book(NODE, &book, &config);
            result.map_or_else(|violation| violation.property, |()| "none")
        };
        let (none, lock) = (Isolation::None, Isolation::SemanticLock);
        assert_eq!(lands(other, Kind::Pivot, 1, none), "none", "to the ceiling");
        assert_eq!(lands(other, Kind::Pivot, 2, none), "S8");
        assert_eq!(lands(other, Kind::Compensatable, -12, none), "S8");
        assert_eq!(lands(other, Kind::Retriable, 2, none), "none", "it ignores the bounds");
        assert_eq!(lands(other, Kind::Pivot, 1, lock), "S8", "pending for another");
        assert_eq!(lands(SAGA, Kind::Pivot, 1, lock), "none", "its own");
    }
}
