//! Cluster membership (section 6; dissertation chapter 4): who counts, and how that changes.
//!
//! A server uses the latest configuration in its log, committed or not, so a configuration comes
//! into force when it is appended, and the one before it when it is truncated.

use super::log::{Entry, LogIndex};
use super::state::Role;
use super::{Raft, Response, is_majority};
use seedfall_sim::{Context, NodeId, RequestId};
use std::fmt;
use std::mem;

/// A set of nodes, of which there are at most 64.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NodeSet(u64);

/// Whose votes and acknowledgements count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Configuration {
    /// The voters: `C_new`, while it is joint.
    pub voters: NodeSet,
    /// The voters before, `C_old`, while it is joint (`C_old,new`): majorities of both are needed.
    pub outgoing: Option<NodeSet>,
    /// Who gets the log and has no vote (4.2.1).
    pub learners: NodeSet,
}

/// A change that a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Change {
    /// Section 6: any other set of voters, by joint consensus.
    Replace(NodeSet),
    /// Dissertation 4.1: one voter more, in one step.
    Add(NodeId),
    /// One voter or learner less, in one step.
    Remove(NodeId),
    /// A server that catches up before it gets a vote (4.2.1).
    AddLearner(NodeId),
}

/// The configurations of a log, from the one in force at its base: what truncation goes back to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Configurations {
    current: Configuration,
    /// Where the current one stands; at or before the base, if it is not in the log.
    index: LogIndex,
    /// Those before it that could come back, oldest first.
    earlier: Vec<(LogIndex, Configuration)>,
}

impl NodeSet {
    /// Nobody.
    pub const EMPTY: Self = Self(0);

    /// The first so many nodes.
    pub fn first(count: usize) -> Self {
        assert!(count <= 64, "a configuration has at most 64 nodes, not {count}");
        Self(u64::MAX.checked_shr(64 - count as u32).unwrap_or(0))
    }

    /// The nodes of which it is said that they are in it, in the order of their ids; at most 64.
    #[inline]
    pub fn of(members: impl DoubleEndedIterator<Item = bool> + ExactSizeIterator) -> Self {
        assert!(members.len() <= 64, "a configuration has at most 64 nodes");
        Self(members.rev().fold(0, |bits, is_in| bits << 1 | u64::from(is_in)))
    }

    /// True if the node is in it.
    #[inline]
    pub fn contains(self, node: NodeId) -> bool {
        self.0 >> node.index() & 1 == 1
    }

    /// With this node as well.
    #[inline]
    #[must_use]
    pub fn with(self, node: NodeId) -> Self {
        assert!(node.index() < 64, "a configuration has at most 64 nodes, and no {node}");
        Self(self.0 | 1 << node.index())
    }

    /// Without this node.
    #[inline]
    #[must_use]
    pub fn without(self, node: NodeId) -> Self {
        Self(self.0 & !(1 << node.index()))
    }

    /// Who is in either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Who is in this one only.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// How many they are.
    #[inline]
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// True if there is nobody in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them, in the order of their ids.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = NodeId> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let index = rest.trailing_zeros();
            rest &= rest.wrapping_sub(1);
            (index < 64).then(|| NodeId::new(index as u16))
        })
    }

    /// True if more than half of these are among `some`.
    #[inline]
    fn has_majority_in(self, some: Self) -> bool {
        is_majority(Self(self.0 & some.0).len(), self.len())
    }
}

impl FromIterator<NodeId> for NodeSet {
    fn from_iter<I: IntoIterator<Item = NodeId>>(nodes: I) -> Self {
        nodes.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl fmt::Debug for NodeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Configuration {
    /// These voters, and nobody else.
    pub fn of(voters: NodeSet) -> Self {
        Self { voters, outgoing: None, learners: NodeSet::EMPTY }
    }

    /// Section 6: agreement needs a majority of the voters; while it is joint, of both sets.
    #[inline]
    pub fn is_quorum(&self, some: NodeSet) -> bool {
        self.voters.has_majority_in(some)
            && self.outgoing.is_none_or(|outgoing| outgoing.has_majority_in(some))
    }

    /// True if the node has a vote, in either set.
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.contains(node) || self.outgoing.is_some_and(|old| old.contains(node))
    }

    /// True in the middle of a change by joint consensus.
    pub fn is_joint(&self) -> bool {
        self.outgoing.is_some()
    }

    /// Everybody who gets the log.
    #[inline]
    pub fn members(&self) -> NodeSet {
        self.voters.union(self.outgoing.unwrap_or_default()).union(self.learners)
    }

    /// The configuration that the change leads to, and the one to append first; `None`, if nobody
    /// would be left, or somebody is named who is not there.
    fn changed(&self, change: Change, nodes: usize) -> Option<(Self, Self)> {
        let all = NodeSet::first(nodes);
        let (voters, learners) = (self.voters, self.learners);
        let target = match change {
            Change::Replace(voters) => {
                Self { voters, outgoing: None, learners: learners.minus(voters) }
            }
            Change::Add(node) => {
                let (voters, learners) = (voters.with(node), learners.without(node));
                Self { voters, outgoing: None, learners }
            }
            Change::Remove(node) => {
                let (voters, learners) = (voters.without(node), learners.without(node));
                Self { voters, outgoing: None, learners }
            }
            Change::AddLearner(node) if voters.contains(node) => return None,
            Change::AddLearner(node) => Self { learners: learners.with(node), ..*self },
        };
        if target.voters.is_empty() || !target.members().minus(all).is_empty() {
            return None;
        }
        let first = match change {
            Change::Replace(_) => Self { outgoing: Some(voters), ..target },
            _ => target,
        };
        Some((target, first))
    }
}

impl Configurations {
    pub(super) fn new(index: LogIndex, current: Configuration) -> Self {
        Self { current, index, earlier: Vec::new() }
    }

    /// The one in force.
    #[inline]
    pub(super) fn current(&self) -> &Configuration {
        &self.current
    }

    /// Where it stands in the log.
    #[inline]
    pub(super) fn index(&self) -> LogIndex {
        self.index
    }

    /// The one before it, if it may come back.
    pub(super) fn previous(&self) -> Option<&Configuration> {
        self.earlier.last().map(|(_, configuration)| configuration)
    }

    /// The one in force after the entry at `index`, with its place.
    pub(super) fn at(&self, index: LogIndex) -> (LogIndex, &Configuration) {
        let all = self.earlier.iter().map(|(at, configuration)| (*at, configuration));
        let upto = all.chain([(self.index, &self.current)]).take_while(|(at, _)| *at <= index);
        upto.last().expect("the base has a configuration")
    }

    /// An entry at `index` brought another.
    pub(super) fn push(&mut self, index: LogIndex, configuration: Configuration) {
        assert!(index > self.index, "configurations stand in the order of the log");
        let current = mem::replace(&mut self.current, configuration);
        self.earlier.push((mem::replace(&mut self.index, index), current));
    }

    /// The entry at `first` is gone, and all that follow: the configuration before them is in
    /// force again.
    pub(super) fn truncate(&mut self, first: LogIndex) {
        while self.index >= first {
            let before = self.earlier.pop().expect("what a snapshot holds is not truncated");
            (self.index, self.current) = before;
        }
    }

    /// The entries up to `base` are gone for good: of their configurations only the last counts.
    pub(super) fn compact(&mut self, base: LogIndex) {
        let (kept, _) = self.at(base);
        self.earlier.retain(|(index, _)| *index >= kept);
    }
}

impl Raft {
    /// A client asks for another configuration. One change at a time, and none before an entry of
    /// this term is committed: without that, two leaders could each change the same configuration
    /// by one, to two that need not meet (Ongaro's correction of 2015 to dissertation 4.1).
    pub(super) fn on_reconfigure(
        &mut self,
        request: RequestId,
        change: Change,
        ctx: &mut Context<'_, Self>,
    ) {
        let Role::Leader(leader) = &mut self.role else {
            let leader = self.other_to_ask(ctx);
            return ctx.respond(request, Response::NotLeader { leader });
        };
        let configurations = &self.durable.configurations;
        let current = *configurations.current();
        let Some((target, first)) = current.changed(change, ctx.nodes()) else {
            return ctx.respond(request, Response::Refused);
        };
        let settled = configurations.index() <= self.commit && !current.is_joint();
        if !settled || leader.transfer.is_some() {
            ctx.reach("membership: a change was refused while another was under way");
            return ctx.respond(request, Response::Refused);
        }
        if self.commit < leader.first {
            ctx.reach("membership: a change was refused before the first commit of the term");
            return ctx.respond(request, Response::Refused);
        }
        if target == current {
            return ctx.respond(request, Response::Reconfigured);
        }
        leader.change = Some(request);
        self.append_own(Entry::configuration_of(self.durable.term, first), ctx);
        self.replicate(ctx);
        self.advance_commit(ctx);
    }

    /// The log is committed further than `before`. A new leader may have known already that the
    /// configuration is committed, and acts upon it with the first commit of its term.
    #[inline]
    pub(super) fn settle_configuration(&mut self, before: LogIndex, ctx: &mut Context<'_, Self>) {
        let index = self.durable.configurations.index();
        let first = matches!(&self.role, Role::Leader(leader) if before < leader.first);
        if index <= self.commit && (before < index || first) {
            self.on_configuration_committed(ctx);
        }
    }

    /// The configuration in force was committed. Section 6: from `C_old,new` on to `C_new`, by
    /// whichever leader; a leader that is not in `C_new` steps down.
    fn on_configuration_committed(&mut self, ctx: &mut Context<'_, Self>) {
        let Role::Leader(leader) = &mut self.role else { return };
        let current = *self.durable.configurations.current();
        if current.is_joint() {
            let begun = self.durable.log.term_at(self.durable.configurations.index());
            if begun.is_none_or(|term| term < self.durable.term) {
                ctx.reach("membership: a joint configuration was left by another leader");
            }
            let target = Configuration { outgoing: None, ..current };
            self.append_own(Entry::configuration_of(self.durable.term, target), ctx);
            self.replicate(ctx);
            return self.advance_commit(ctx);
        }
        if let Some(request) = leader.change.take() {
            ctx.reach("membership: a change was completed");
            ctx.respond(request, Response::Reconfigured);
        }
        if !current.voters.contains(self.id) {
            ctx.reach("membership: a leader that was removed stepped down");
            self.step_down(ctx);
        }
    }

    /// Whom a client should ask instead: the leader, as far as this server knows. Where members
    /// change, a server that knows of none may have been removed without being told, and names its
    /// neighbour, so that a client goes round and does not ask it for ever.
    pub(super) fn other_to_ask(&self, ctx: &Context<'_, Self>) -> Option<NodeId> {
        let neighbour = NodeId::new(((self.id.index() + 1) % ctx.nodes()) as u16);
        self.leader.or(self.config.initial_voters.map(|_| neighbour))
    }

    /// Who may stand for election: a voter; and one whose removal is not yet committed, because it
    /// may be the only one who can win (dissertation 4.2.2).
    pub(super) fn may_stand(&self) -> bool {
        let configurations = &self.durable.configurations;
        let was_voter = |before: &Configuration| before.is_voter(self.id);
        configurations.current().is_voter(self.id)
            || (configurations.index() > self.commit
                && configurations.previous().is_some_and(was_voter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(nodes: &[u16]) -> NodeSet {
        nodes.iter().map(|node| NodeId::new(*node)).collect()
    }

    #[test]
    fn a_set_of_nodes_is_a_set() {
        assert_eq!(NodeSet::first(3), set(&[0, 1, 2]));
        assert_eq!((NodeSet::first(0), NodeSet::first(64).len()), (NodeSet::EMPTY, 64));
        assert_eq!(set(&[5, 1, 5]).iter().collect::<Vec<_>>(), [NodeId::new(1), NodeId::new(5)]);
        assert_eq!(set(&[0, 63]).without(NodeId::new(0)).iter().count(), 1);
    }

    /// Section 6: while a configuration is joint, agreement needs separate majorities of both.
    #[test]
    fn a_joint_quorum_has_both_majorities() {
        let (old, new) = (set(&[0, 1, 2]), set(&[2, 3, 4]));
        let joint = Configuration { outgoing: Some(old), ..Configuration::of(new) };
        assert!(joint.is_quorum(set(&[0, 2, 3])));
        assert!(!joint.is_quorum(set(&[0, 1, 2])) && !joint.is_quorum(set(&[2, 3, 4])));
        assert!(!Configuration::of(new).is_quorum(set(&[0, 1, 4])), "strangers do not count");
    }

    /// Dissertation 4.1: a majority of any configuration meets a majority of any that differs by
    /// one server.
    #[test]
    fn majorities_meet_across_a_change_by_one() {
        for size in 1..7 {
            let (old, new) = (NodeSet::first(size), NodeSet::first(size + 1));
            let subsets = || (0..1_u64 << (size + 1)).map(NodeSet);
            for one in subsets().filter(|one| old.has_majority_in(*one)) {
                let rest = new.minus(one);
                assert!(!new.has_majority_in(rest), "{one:?} and {rest:?} of {size}");
            }
        }
    }

    #[test]
    fn truncation_brings_the_configuration_before_back() {
        let [a, b, c] = [1, 2, 3].map(|size| Configuration::of(NodeSet::first(size)));
        let mut all = Configurations::new(LogIndex(0), a);
        all.push(LogIndex(4), b);
        all.push(LogIndex(6), c);
        assert_eq!(all.at(LogIndex(5)), (LogIndex(4), &b));
        all.truncate(LogIndex(5));
        assert_eq!((all.index(), all.current()), (LogIndex(4), &b));
        all.push(LogIndex(5), c);
        all.compact(LogIndex(4));
        assert_eq!(all.previous(), Some(&b));
        all.compact(LogIndex(9));
        assert_eq!((all.previous(), all.current()), (None, &c));
    }
}
