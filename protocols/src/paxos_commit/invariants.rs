//! AC1 to AC3, P1a and P2b of Paxos Commit, watched from outside while a run goes on.

use super::{Ballot, Node, State, Transaction, TransactionId, Vote};
use crate::chosen::{Chosen, Wrong};
use seedfall_sim::{Monitor, NodeId, SortedMap, Violation};

/// Watches the nodes of one run.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    /// How much each node had written when it was last seen, and its transactions.
    seen: Vec<(usize, SortedMap<TransactionId, Transaction>)>,
    /// The first decision about each transaction, and whose it was.
    decided: SortedMap<TransactionId, (State, NodeId)>,
    /// The instances, numbered as they are seen.
    instances: SortedMap<(TransactionId, NodeId), usize>,
    accepted: Chosen<Ballot, Vote>,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

impl Monitor<Node> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Node) -> Result<(), Violation> {
        if self.seen.len() <= node.index() {
            self.seen.resize_with(node.index() + 1, Default::default);
        }
        let (written, seen) = &mut self.seen[node.index()];
        if std::mem::replace(written, state.written) == state.written {
            return Ok(());
        }
        let mut seen = std::mem::take(seen);
        let (who, none) = ((node, state.config.quorum), Transaction::default());
        let mut at = 0;
        for (id, now) in &state.transactions {
            let before = seen.get_in_step(id, &mut at).unwrap_or(&none);
            if before.written != now.written {
                self.on_change(who, *id, before, now)?;
                seen.insert(*id, now.clone());
            }
        }
        // Of what it has forgotten it may have promised nothing.
        let mut at = 0;
        for (id, before) in &seen {
            if state.transactions.get_in_step(id, &mut at).is_none() {
                self.on_change(who, *id, before, &none)?;
            }
        }
        self.seen[node.index()].1 = seen;
        // Whoever has prepared knows of it, whatever has crashed since.
        let mut committed =
            self.decided.iter().filter(|(_, (state, _))| *state == State::Committed);
        let mut at = 0;
        let mut heard = |id| {
            let transaction = state.transactions.get_in_step(id, &mut at);
            transaction.is_some_and(|transaction| transaction.state.is_some())
        };
        match committed.find(|(id, _)| !heard(id)) {
            None => Ok(()),
            Some((id, (_, by))) => {
                broken("AC3", format!("{by} has committed {id}, and {node} is not prepared"))
            }
        }
    }
}

impl Invariants {
    fn on_change(
        &mut self,
        who: (NodeId, usize),
        id: TransactionId,
        before: &Transaction,
        now: &Transaction,
    ) -> Result<(), Violation> {
        let node = who.0;
        if before.vote.is_some() && before.vote != now.vote {
            let why = format!("{node} voted {:?} on {id}, and now {:?}", before.vote, now.vote);
            return broken("AC2", why);
        }
        if before.state.is_some_and(State::is_decided) && before.state != now.state {
            let why = format!("{node} was {:?} in {id}, and is {:?}", before.state, now.state);
            return broken("AC2", why);
        }
        if now.state == Some(State::Committed) && now.vote != Some(Vote::Prepared) {
            return broken("AC3", format!("{node} commits {id}, and has voted {:?}", now.vote));
        }
        if let Some(now) = now.state.filter(|state| state.is_decided()) {
            let (first, by) = *self.decided.entry(id).or_insert((now, node));
            if first != now {
                return broken("AC1", format!("{by} has {first:?} {id}, and {node} {now:?}"));
            }
        }
        self.on_acceptor(who, id, before, now)
    }

    fn on_acceptor(
        &mut self,
        who: (NodeId, usize),
        id: TransactionId,
        before: &Transaction,
        now: &Transaction,
    ) -> Result<(), Violation> {
        let (node, [before, now]) = (who.0, [&before.acceptor, &now.acceptor]);
        if now.promised < before.promised {
            let why = format!("{node} promised {:?}, now {:?}", before.promised, now.promised);
            return broken("P1a: promises are kept", format!("{id}: {why}"));
        }
        for (rm, (ballot, vote)) in &now.accepted {
            if now.promised < *ballot {
                let why = format!("{node} accepted {ballot:?}, and promised {:?}", now.promised);
                return broken("P1a: promises are kept", format!("{id}: {why}"));
            }
            if before.accepted.get(rm) == Some(&(*ballot, *vote)) {
                continue;
            }
            let next = self.instances.len();
            let place = *self.instances.entry((id, *rm)).or_insert(next);
            if let Err(wrong) = self.accepted.accept(who, (place, *ballot), vote) {
                let why = match wrong {
                    Wrong::TwoValues(why) | Wrong::Changed(why) => why,
                };
                return broken("P2b: what is chosen stays", format!("{rm} in {id}: {why}"));
            }
        }
        Ok(())
    }
}

fn broken(property: &'static str, explanation: String) -> Result<(), Violation> {
    Err(Violation { property, explanation })
}
