//! The leader (4.2): of ballot 0, in which it only counts, and of a later one, in which it proposes
//! in the place of RMs that nobody hears.

use super::{Ballot, Message, Node, State, TransactionId, Vote};
use seedfall_sim::{Context, NodeId, SortedMap, SortedSet};
use std::fmt;

/// A ballot that a node leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Leading {
    ballot: Ballot,
    phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// It waits for promises: who has promised, and the vote of the highest ballot that they
    /// report in each instance.
    Promises(SortedSet<NodeId>, SortedMap<NodeId, (Ballot, Vote)>),
    /// It waits for acceptances: the vote of each instance, and who has accepted it.
    Acceptances(SortedMap<NodeId, (Vote, SortedSet<NodeId>)>),
}

impl Node {
    /// Ballot 0: the RMs propose themselves, all at the first leader's word (4.2).
    pub(super) fn begin(
        &mut self,
        id: TransactionId,
        refused_by: Option<NodeId>,
        ctx: &mut Context<'_, Self>,
    ) {
        let (ballot, phase) = (Ballot::default(), Phase::Acceptances(SortedMap::new()));
        self.transaction(id).leading = Some(Leading { ballot, phase });
        for rm in NodeId::all(self.nodes) {
            self.send(rm, id, Message::Prepare { refused_by }, ctx);
        }
    }

    /// Phase 1a of a ballot that nobody has used: to the acceptors, and to all who may know a
    /// decision.
    pub(super) fn lead(&mut self, id: TransactionId, ctx: &mut Context<'_, Self>) {
        let node = self.id.index() as u16;
        let transaction = self.transaction(id);
        assert_eq!(transaction.state, Some(State::Prepared), "who has decided waits no more");
        let ballot = Ballot { round: transaction.acceptor.promised.round + 1, node };
        let phase = Phase::Promises(SortedSet::new(), SortedMap::new());
        transaction.leading = Some(Leading { ballot, phase });
        ctx.reach("leader: takes a ballot");
        self.promise(id, ballot, ctx);
        for node in NodeId::all(self.nodes) {
            self.send(node, id, Message::Phase1a { ballot }, ctx);
        }
    }

    /// Phase 2a, once a quorum has promised: what may have been chosen is proposed again; where
    /// nothing may have been, the RM has not been heard, and is taken to have refused.
    pub(super) fn on_phase_1b(
        &mut self,
        from: NodeId,
        id: TransactionId,
        ballot: Ballot,
        accepted: Vec<(NodeId, (Ballot, Vote))>,
        ctx: &mut Context<'_, Self>,
    ) {
        let (here, nodes, quorum) = (self.id, self.nodes, self.config.quorum);
        let Some(Leading { phase, .. }) = self.leading(id, ballot) else {
            return ctx.ignore("phase 1b: this ballot is over");
        };
        let Phase::Promises(promised, highest) = phase else {
            return ctx.ignore("phase 1b: there was a quorum already");
        };
        promised.insert(from);
        for (rm, reported) in accepted {
            let known = highest.entry(rm).or_insert(reported);
            *known = reported.max(*known);
        }
        if promised.len() < quorum {
            return;
        }
        let vote = |rm| (rm, highest.get(&rm).map_or(Vote::Aborted, |(_, vote)| *vote));
        let votes: Vec<_> = NodeId::all(nodes).map(vote).collect();
        ctx.reach(match votes.iter().all(|(_, vote)| *vote == Vote::Prepared) {
            true => "leader: finds all prepared",
            false if highest.len() < nodes => "leader: aborts for an RM that is silent",
            false => "leader: finds a refusal",
        });
        *phase = Phase::Acceptances(SortedMap::new());
        self.send_acceptors(id, &Message::Phase2a { ballot, votes, leader: here }, ctx);
    }

    /// A quorum for the same vote in the same ballot has chosen it. All prepared: commit; one
    /// aborted: abort.
    pub(super) fn on_phase_2b(
        &mut self,
        from: NodeId,
        id: TransactionId,
        ballot: Ballot,
        votes: &[(NodeId, Vote)],
        ctx: &mut Context<'_, Self>,
    ) {
        let (nodes, quorum) = (self.nodes, self.config.quorum);
        let Some(Leading { phase, .. }) = self.leading(id, ballot) else {
            return ctx.ignore("phase 2b: this ballot is over");
        };
        let Phase::Acceptances(accepted) = phase else {
            return ctx.ignore("phase 2b: nothing is proposed yet");
        };
        for (rm, vote) in votes {
            accepted.entry(*rm).or_insert_with(|| (*vote, SortedSet::new())).1.insert(from);
        }
        let chosen = accepted.values().filter(|(_, acceptors)| quorum <= acceptors.len());
        let chosen: Vec<Vote> = chosen.map(|(vote, _)| *vote).collect();
        if chosen.contains(&Vote::Aborted) {
            self.decide(id, false, ctx);
        } else if chosen.len() == nodes {
            self.decide(id, true, ctx);
        }
    }

    /// Another leads: it is not overtaken at once, but when this RM's patience is at an end.
    pub(super) fn on_refused(
        &mut self,
        id: TransactionId,
        promised: Ballot,
        ctx: &mut Context<'_, Self>,
    ) {
        if self.state(id) != Some(State::Prepared) {
            return ctx.ignore("refused: it is decided");
        }
        self.promise(id, promised, ctx); // So that the next ballot is higher.
    }

    fn decide(&mut self, id: TransactionId, commit: bool, ctx: &mut Context<'_, Self>) {
        self.settle(id, commit, ctx);
        ctx.broadcast((id, Message::Decision { commit }));
    }

    /// The ballot that it leads, if it is this one.
    fn leading(&mut self, id: TransactionId, ballot: Ballot) -> Option<&mut Leading> {
        self.transaction(id).leading.as_mut().filter(|leading| leading.ballot == ballot)
    }
}

/// What it waits for.
impl fmt::Display for Leading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ballot, phase } = self;
        match phase {
            Phase::Promises(promised, _) => {
                write!(f, "for a quorum of promises of {ballot:?}, has {promised:?}")
            }
            Phase::Acceptances(accepted) => {
                write!(f, "for quorums of acceptances in {ballot:?}, has {accepted:?}")
            }
        }
    }
}
