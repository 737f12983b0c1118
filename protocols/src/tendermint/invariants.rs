//! Lemmas 2 and 3 of section 3.2, what they rest on, and agreement, watched from outside while a
//! run goes on.
//!
//! Byzantine validators run the protocol as they should inside, so what each knows is true.

use super::{Decision, Height, Id, Kind, Prevoted, Round, State, Validator, Vote};
use seedfall_sim::{Monitor, NodeId, Signed, SortedMap, SortedSet, Violation};

/// Watches the validators of one run.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    /// The value that has a polka, by height and round, and where it was seen first.
    polkas: SortedMap<(Height, Round), (Id, NodeId)>,
    /// What is decided, in which round, and where that was seen first.
    decided: SortedMap<Height, (Id, Round, NodeId)>,
    /// How much of each validator was looked at.
    seen: SortedMap<NodeId, usize>,
    /// The last prevote of each validator that was looked at.
    prevoted: SortedMap<NodeId, (Height, Prevoted)>,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

fn broken(property: &'static str, explanation: String) -> Result<(), Violation> {
    Err(Violation { property, explanation })
}

impl Monitor<Validator> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Validator) -> Result<(), Violation> {
        if let Some((round, kind)) = state.contradicted() {
            let height = state.state().height;
            let explanation =
                format!("{node} has voted for two things at height {height}, {kind:?} {round}");
            return broken("Once", explanation);
        }
        self.check_prevote(node, state)?;
        check_lock(node, state)?;
        let decisions = state.decisions();
        let seen = self.seen.insert(node, decisions.len()).unwrap_or(0).min(decisions.len());
        for (place, decision) in decisions.iter().enumerate().skip(seen) {
            let (id, round) = (decision.proposal.value().id(), decision.proposal.value().round);
            if !is_proved(decision, place as Height, state.quorum()) {
                let explanation = format!(
                    "{node} decided a value of round {round} at height {place}, which too few have \
                     precommitted in that round"
                );
                return broken("Proof", explanation);
            }
            let first = self.decided.entry(place as Height).or_insert((id, round, node));
            if first.0 != id {
                let explanation = format!("{} and {node} decided others at {place}", first.2);
                return broken("Agreement", explanation);
            }
        }
        let height = state.state().height;
        for (round, id) in state.polkas() {
            let first = self.polkas.entry((height, round)).or_insert((id, node));
            if first.0 != id {
                return broken(
                    "Polka",
                    format!("{} and {node} saw others at height {height}, round {round}", first.1),
                );
            }
            if let Some((decided, before, by)) = self.decided.get(&height)
                && *before < round
                && *decided != id
            {
                return broken(
                    "Lock",
                    format!(
                        "{by} decided a value at height {height} in round {before}, and {node} saw \
                         a polka for another in round {round}"
                    ),
                );
            }
        }
        Ok(())
    }
}

/// Lines 36 to 43: a validator is locked on what it has precommitted last, since then; and what it
/// knows to be valid is no older.
fn check_lock(node: NodeId, state: &Validator) -> Result<(), Violation> {
    let (State { height, locked, valid, .. }, precommitted) = (state.state(), state.precommitted);
    if precommitted.is_some() && *locked != precommitted {
        let explanation = format!(
            "at height {height}, {node} has precommitted {precommitted:?}, and is locked on \
             {locked:?}"
        );
        return broken("Locked", explanation);
    }
    let valid = valid.as_ref().map(|(round, _)| *round);
    if valid < locked.map(|(round, _)| round) {
        let explanation = format!(
            "at height {height}, {node} is locked since {locked:?}, and knows of a valid value of \
             {valid:?}"
        );
        return broken("Locked", explanation);
    }
    Ok(())
}

impl Invariants {
    /// Lines 23 and 29: a lock is given up for a polka that is at least as late alone.
    fn check_prevote(&mut self, node: NodeId, state: &Validator) -> Result<(), Violation> {
        let Some(prevoted) = state.prevoted() else { return Ok(()) };
        let height = state.state().height;
        if self.prevoted.insert(node, (height, prevoted)) == Some((height, prevoted)) {
            return Ok(());
        }
        let Prevoted { round, id, precommitted } = prevoted;
        if let Some(proposal) = state.proposal(round, id)
            && proposal.by() != state.proposer(round)
        {
            let explanation = format!("{node} prevotes {proposal:?}, which is not its proposer's");
            return broken("Proposer", explanation);
        }
        let Some((before, locked)) = precommitted else { return Ok(()) };
        let unlocks = |(of, polka)| before <= of && of < round && polka == id;
        if locked != id && !state.polkas().any(unlocks) {
            let explanation = format!(
                "{node} precommitted a value at height {height} in round {before}, and prevotes \
                 another in round {round}, which has had no polka since"
            );
            return broken("Locked", explanation);
        }
        Ok(())
    }
}

/// Whether a quorum has precommitted what is decided, in one round.
fn is_proved(decision: &Decision, height: Height, quorum: usize) -> bool {
    let (round, id) = (decision.proposal.value().round, Some(decision.proposal.value().id()));
    let expected = Vote { height, round, kind: Kind::Precommit, id };
    let votes = decision.precommits.iter().filter(|vote| *vote.value() == expected);
    quorum <= votes.map(Signed::by).collect::<SortedSet<_>>().len()
}
