//! The acceptor (4.1), of all instances of a transaction at once: one promise holds for all of
//! them.

use super::{Ballot, Message, Node, Record, State, TransactionId, Vote};
use seedfall_sim::{Context, NodeId, SortedMap};

/// What an acceptor may not forget of a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Acceptor {
    /// It accepts nothing below this ballot. At a leader: nor does it lead any up to it anew.
    pub(super) promised: Ballot,
    /// What it has accepted last in the instance of each RM.
    pub(super) accepted: SortedMap<NodeId, (Ballot, Vote)>,
}

impl Acceptor {
    pub(super) fn promise(&mut self, ballot: Ballot) {
        self.promised = self.promised.max(ballot);
    }

    pub(super) fn accept(&mut self, ballot: Ballot, votes: &[(NodeId, Vote)]) {
        self.promised = ballot;
        self.accepted.extend(votes.iter().map(|(rm, vote)| (*rm, (ballot, *vote))));
    }

    /// What it has accepted in a ballot.
    fn accepted_in(&self, ballot: Ballot) -> Vec<(NodeId, Vote)> {
        let accepted = self.accepted.iter().filter(|(_, (other, _))| *other == ballot);
        accepted.map(|(rm, (_, vote))| (*rm, *vote)).collect()
    }
}

impl Node {
    /// Phase 1b: promises, in all instances, and tells what it has accepted in each.
    pub(super) fn on_phase_1a(
        &mut self,
        leader: NodeId,
        id: TransactionId,
        ballot: Ballot,
        ctx: &mut Context<'_, Self>,
    ) {
        if let Some(decided) = self.state(id).filter(|state| state.is_decided()) {
            ctx.reach("phase 1a: it is decided here");
            let commit = decided == State::Committed;
            return self.send(leader, id, Message::Decision { commit }, ctx);
        }
        if self.config.acceptors <= self.id.index() {
            return ctx.ignore("phase 1a: no acceptor, and it is not decided here");
        }
        let promised = self.transaction(id).acceptor.promised;
        if ballot < promised {
            ctx.reach("phase 1a: a higher ballot is promised");
            return self.send(leader, id, Message::Refused { promised }, ctx);
        }
        self.promise(id, ballot, ctx);
        let accepted = self.transaction(id).acceptor.accepted.clone().into_iter().collect();
        self.send(leader, id, Message::Phase1b { ballot, accepted }, ctx);
    }

    /// Durably.
    pub(super) fn promise(
        &mut self,
        id: TransactionId,
        ballot: Ballot,
        ctx: &mut Context<'_, Self>,
    ) {
        let acceptor = &mut self.transaction(id).acceptor;
        if acceptor.promised < ballot {
            acceptor.promise(ballot);
            self.write(id, Record::Promised(ballot), ctx);
        }
    }

    /// Phase 2b: accepts, unless it has promised a higher ballot. The leader is told of all
    /// instances at once (4.2), but of a refusal without delay.
    pub(super) fn on_phase_2a(
        &mut self,
        leader: NodeId,
        id: TransactionId,
        ballot: Ballot,
        votes: Vec<(NodeId, Vote)>,
        ctx: &mut Context<'_, Self>,
    ) {
        let nodes = self.nodes;
        let acceptor = &mut self.transaction(id).acceptor;
        let promised = acceptor.promised;
        if ballot < promised {
            ctx.reach(match ballot == Ballot::default() {
                true => "phase 2a: an RM votes too late",
                false => "phase 2a: a higher ballot is promised",
            });
            return self.send(leader, id, Message::Refused { promised }, ctx);
        }
        let is_known =
            |(rm, vote): &(NodeId, Vote)| acceptor.accepted.get(rm) == Some(&(ballot, *vote));
        if !votes.iter().all(is_known) {
            acceptor.accept(ballot, &votes);
            self.write(id, Record::Accepted(ballot, votes), ctx);
        }
        let votes = self.transaction(id).acceptor.accepted_in(ballot);
        if votes.len() == nodes || votes.iter().any(|(_, vote)| *vote == Vote::Aborted) {
            self.send(leader, id, Message::Phase2b { ballot, votes }, ctx);
        }
    }
}
