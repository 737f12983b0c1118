//! V1 to V6 of Viewstamped Replication, watched from outside while a run goes on.

use super::reconfiguration::{Configuration, Epoch, Member};
use super::{Replica, Status, View};
use crate::machine::{Committed, Update};
use seedfall_sim::{Monitor, NodeId, SortedMap, Violation};
use std::fmt;

/// A view, of an epoch: where nobody reconfigures, there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Reign {
    epoch: Epoch,
    view: View,
}

/// Watches the replicas of one run.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    committed: Committed<Update>,
    /// For each operation that is committed, in order, the earliest view in which it was seen so.
    views: Vec<Reign>,
    /// The longest log that was seen of each view.
    logs: SortedMap<Reign, Vec<Update>>,
    /// Of each replica as it was when it was last seen: its latest normal view, how much of its log
    /// was compared, and how much of it was committed.
    seen: Vec<Option<(Reign, usize, usize)>>,
    /// The latest view that each replica takes part in, and how much it has in its latest normal
    /// one: a crash takes neither.
    kept: Vec<(Reign, Reign, usize)>,
    /// How much of the log of each view each replica was seen to have; `None`: nobody looks.
    has: Option<SortedMap<Reign, Vec<usize>>>,
}

/// A watcher of V1 to V3, V5 and V6 that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

/// A watcher of V4 too, where replicas do not crash: one that crashes as it has said what it has
/// prepared is not seen to have it.
pub fn invariants_without_crashes() -> Invariants {
    Invariants { has: Some(SortedMap::new()), ..Invariants::default() }
}

impl Monitor<Replica> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Replica) -> Result<(), Violation> {
        self.observe_replica(node, (0, 0, state.nodes), state)
    }
}

impl Invariants {
    /// A replica, of an epoch that began with so many operations, and of a group of so many.
    fn observe_replica(
        &mut self,
        node: NodeId,
        (epoch, begin, members): (Epoch, usize, usize),
        state: &Replica,
    ) -> Result<(), Violation> {
        if self.seen.len() <= node.index() {
            self.seen.resize(node.index() + 1, None);
            self.kept.resize(node.index() + 1, Default::default());
        }
        self.observe_kept(node, epoch, state)?;
        if state.status() == Status::Recovering {
            self.seen[node.index()] = None;
            return Ok(());
        }
        let reign = Reign { epoch, view: state.normal_view() };
        if state.log.len() < state.commit {
            let why = format!("{node} had committed {}, and has {:?}", state.commit, state.log);
            return Err(broken("V2: durability", why));
        }
        let now = (reign, state.log().len(), state.committed().len());
        let seen = self.seen[node.index()].replace(now);
        if seen == Some(now) {
            return Ok(());
        }
        let before = self.committed.all.len();
        self.committed
            .observe(node, state.committed())
            .map_err(|why| broken("V1: agreement", why))?;
        self.observe_prepared(node, (reign, members), state, before.max(begin))?;
        let is_same_view = seen.is_some_and(|(reign, ..)| reign == now.0);
        let compared = match seen {
            Some((_, len, _)) if is_same_view && len <= now.1 => len,
            _ => 0,
        };
        self.observe_log(node, reign, state, compared)?;
        self.observe_committed(now)?;
        if is_same_view {
            return Ok(());
        }
        let until = self.views.partition_point(|reign| *reign < now.0);
        self.has_committed(until, state.log(), now.0)
    }

    /// V5 and V6: what a replica has taken part in, and what it has said that it has, stays.
    fn observe_kept(
        &mut self,
        node: NodeId,
        epoch: Epoch,
        state: &Replica,
    ) -> Result<(), Violation> {
        let (part, normal, has) = &mut self.kept[node.index()];
        let now = Reign { epoch, view: state.view };
        if now < *part {
            let why = format!("{node} has taken part in view {part}, and does in {now}");
            return Err(broken("V5: views only rise", why));
        }
        *part = now;
        if state.status() == Status::Recovering {
            return Ok(());
        }
        let now = (Reign { epoch, view: state.normal_view() }, state.log.len());
        if now.0 == *normal && now.1 < *has {
            let why = format!("{node} had {has} operations in view {normal}, and has {}", now.1);
            return Err(broken("V6: what is prepared is kept", why));
        }
        (*normal, *has) = now;
        Ok(())
    }

    /// So much is committed in this view, or an earlier one: whatever later view there is has it.
    fn observe_committed(
        &mut self,
        (reign, _, count): (Reign, usize, usize),
    ) -> Result<(), Violation> {
        let before = self.views.len();
        self.views.resize(self.committed.all.len(), reign);
        let later = |one: &&mut Reign| reign < **one;
        self.views[..count].iter_mut().rev().take_while(later).for_each(|one| *one = reign);
        if before == self.views.len() {
            return Ok(());
        }
        let later = self.logs.range(Reign { view: reign.view + 1, ..reign }..);
        let lacks = later.into_iter().map(|(reign, log)| self.has_committed(count, log, *reign));
        lacks.collect()
    }

    /// V2: the log of a view has the first operations that are committed.
    fn has_committed(&self, count: usize, log: &[Update], reign: Reign) -> Result<(), Violation> {
        let committed = &self.committed.all[..count];
        let Some(place) = (0..count).find(|place| log.get(*place) != Some(&committed[*place]))
        else {
            return Ok(());
        };
        let (lost, when) = (&committed[place], self.views[place]);
        let why = format!(
            "{lost:?} was committed by view {when}, and is not at place {place} of a log of view \
             {reign}"
        );
        Err(broken("V2: durability", why))
    }

    /// V4: what was not committed before, `f + 1` have prepared in the view of the primary that
    /// commits it.
    fn observe_prepared(
        &mut self,
        node: NodeId,
        (reign, members): (Reign, usize),
        state: &Replica,
        before: usize,
    ) -> Result<(), Violation> {
        let Some(has) = &mut self.has else { return Ok(()) };
        let has = has.entry(reign).or_default();
        has.resize(has.len().max(members).max(node.index() + 1), 0);
        has[node.index()] = has[node.index()].max(state.log().len());
        let now = self.committed.all.len();
        let count = has.iter().filter(|len| now <= **len).count();
        if now <= before || members / 2 < count {
            return Ok(());
        }
        let why =
            format!("{node} has committed {now} operations in view {reign}; {has:?} are there");
        Err(broken("V4: a quorum has prepared", why))
    }

    /// V3: its log and the longest of its view agree as far as both go.
    fn observe_log(
        &mut self,
        node: NodeId,
        reign: Reign,
        state: &Replica,
        compared: usize,
    ) -> Result<(), Violation> {
        let longest = self.logs.entry(reign).or_default();
        for (place, update) in state.log().iter().enumerate().skip(compared) {
            match longest.get(place) {
                None => longest.push(update.clone()),
                Some(other) if other == update => {}
                Some(other) => {
                    let why = format!(
                        "at place {place} of view {reign}, {node} has {update:?}, not {other:?}"
                    );
                    return Err(broken("V3: one log a view", why));
                }
            }
        }
        Ok(())
    }
}

/// Watches the members of a group that changes.
#[derive(Clone, Debug, Default)]
pub struct AcrossEpochs {
    views: Invariants,
    /// What is known of each epoch that has begun.
    epochs: SortedMap<Epoch, Configuration>,
}

/// A watcher of V1 to V6 and E1 to E3 that has seen nothing yet, where members do not crash.
pub(super) fn across_epochs() -> AcrossEpochs {
    AcrossEpochs { views: invariants_without_crashes(), epochs: SortedMap::new() }
}

impl Monitor<Member> for AcrossEpochs {
    fn observe(&mut self, node: NodeId, member: &Member) -> Result<(), Violation> {
        let now = member.configuration();
        let known = self.epochs.entry(now.epoch).or_insert_with(|| now.clone());
        if known != now {
            let why = format!("{node} has {now:?}, not {known:?}");
            return Err(broken("E1: one configuration an epoch", why));
        }
        let Some(replica) = member.replica() else { return Ok(()) };
        let has = replica.commit;
        if replica.status() != Status::Recovering && has < now.begin {
            let why = format!("{node} takes part in {now:?} with {has} committed operations");
            return Err(broken("E2: an epoch begins with the state", why));
        }
        if let Some((epoch, next)) = self.epochs.range(now.epoch + 1..).next()
            && next.begin < has
        {
            let why = format!("{node} has committed {has} in epoch {}; {epoch} began", now.epoch);
            return Err(broken("E3: an epoch ends as the next begins", why));
        }
        self.views.observe_replica(node, (now.epoch, now.begin, now.group.len()), replica)
    }
}

impl fmt::Display for Reign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.epoch {
            0 => write!(f, "{}", self.view),
            epoch => write!(f, "{} of epoch {epoch}", self.view),
        }
    }
}

fn broken(property: &'static str, explanation: String) -> Violation {
    Violation { property, explanation }
}
