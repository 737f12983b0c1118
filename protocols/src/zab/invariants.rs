//! Z1 to Z8 of Zab, watched from outside while a run goes on.

use super::tree::Delta;
use super::{Epoch, Role, Server, Txn, Zxid};
use seedfall_sim::{Monitor, NodeId, SortedMap, Time, Violation};

/// Watches the servers of one run.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    /// For each transaction that anybody has accepted: what it is, and which comes before it.
    accepted: SortedMap<Zxid, (Txn, Zxid)>,
    /// What was delivered after so many transactions: the last, and a digest of all.
    delivered: SortedMap<u64, (Zxid, u64)>,
    /// Who broadcasts in which epoch.
    leaders: SortedMap<Epoch, NodeId>,
    /// By whom each follower was counted as one who has agreed to an epoch, and in which reign.
    counted: SortedMap<(Epoch, NodeId), (NodeId, u64)>,
    /// Who was counted without having been seen to promise, which epoch, and by whom: one that
    /// crashed as it answered. When it comes back it is seen to have.
    owed: Vec<(NodeId, Epoch, NodeId)>,
    seen: Vec<Seen>,
}

/// A server as it was when it was last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    base: Zxid,
    last: Zxid,
    count: usize,
    delivered: u64,
    promised: Epoch,
    current: Epoch,
    broadcasts: Option<Epoch>,
    /// The epoch to which a quorum has agreed, if it leads.
    agreed: Option<Epoch>,
    /// How many have.
    count_agreed: usize,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

impl Monitor<Server> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Server) -> Result<(), Violation> {
        if self.seen.len() <= node.index() {
            self.seen.resize(node.index() + 1, Seen::default());
        }
        let history = state.history();
        let now = Seen {
            base: history.base().zxid(),
            last: history.last(),
            count: history.txns().len(),
            delivered: state.tree().delivered().0,
            promised: state.promised,
            current: state.current_epoch(),
            broadcasts: state.broadcasts(),
            agreed: state.agreed(),
            count_agreed: match &state.role {
                Role::Leading(leader) => leader.agreed().1.len(),
                _ => 0,
            },
        };
        let seen = std::mem::replace(&mut self.seen[node.index()], now.clone());
        if seen == now {
            return Ok(());
        }
        observe_epochs(node, &seen, &now)?;
        self.settle_owed(node, now.promised)?;
        if now.count_agreed != 0 && now.count_agreed != seen.count_agreed {
            self.observe_counted(node, state)?;
        }
        if now.agreed.is_some() && now.agreed != seen.agreed {
            self.observe_agreed(node, &seen, state)?;
        }
        if (seen.base, seen.last, seen.count) != (now.base, now.last, now.count) {
            // Mostly there is more at the end.
            let is_longer = seen.base == now.base && seen.count <= now.count;
            let first = if is_longer { seen.count.saturating_sub(1) } else { 0 };
            self.observe_history(node, state, first)?;
        }
        if seen.delivered != now.delivered {
            self.observe_delivered(node, state)?;
        }
        match now.broadcasts {
            Some(epoch) if seen.broadcasts != now.broadcasts => {
                self.observe_leader(node, epoch, state)
            }
            _ => Ok(()),
        }
    }

    fn observe_at(
        &mut self,
        node: NodeId,
        state: &Server,
        clocks: &dyn Fn(NodeId) -> Time,
    ) -> Result<(), Violation> {
        let last = self.seen.get(node.index()).map(|seen| seen.last).unwrap_or_default();
        self.observe(node, state)?;
        observe_sessions(node, last, state, clocks(node))
    }
}

/// Z8: a session that a leader ends was silent for as long as it may last, by its clock.
fn observe_sessions(node: NodeId, last: Zxid, state: &Server, now: Time) -> Result<(), Violation> {
    let Role::Leading(leader) = &state.role else { return Ok(()) };
    if last == state.history().last() {
        return Ok(());
    }
    let news = state.history().after(last).iter().filter(|txn| txn.request.is_none());
    for txn in news.filter(|txn| txn.zxid.epoch == state.current) {
        if let Delta::End(client) = txn.delta
            && let Some(heard) = leader.last_heard(client)
            && now < heard + state.config.session_timeout
        {
            let why = format!(
                "{node} ends the session of {client}, heard of at {heard}, at {now}, in {:?}",
                txn.zxid
            );
            return Err(broken("Z8: sessions last", why));
        }
    }
    Ok(())
}

impl Invariants {
    /// Z7: who agrees to an epoch agrees to one reign of one leader.
    fn observe_counted(&mut self, node: NodeId, state: &Server) -> Result<(), Violation> {
        let Role::Leading(leader) = &state.role else { return Ok(()) };
        let (reign, agreed) = leader.agreed();
        let Some(epoch) = leader.epoch() else { return Ok(()) };
        for (place, other) in agreed.iter().enumerate() {
            let by = *self.counted.entry((epoch, *other)).or_insert((node, reign));
            if by != (node, reign) || agreed[..place].contains(other) {
                let why = format!("{other} is counted twice for epoch {epoch}: {by:?}, {node}");
                return Err(broken("Z7: discovery", why));
            }
        }
        Ok(())
    }

    /// Z7: who was counted as one who has promised has, crash or no crash.
    fn settle_owed(&mut self, node: NodeId, promised: Epoch) -> Result<(), Violation> {
        let lied =
            |(server, epoch, _): &&(NodeId, Epoch, NodeId)| *server == node && promised < *epoch;
        if let Some((_, epoch, leader)) = self.owed.iter().find(lied) {
            let why =
                format!("{leader} counts {node} for epoch {epoch}, which promised {promised}");
            return Err(broken("Z7: discovery", why));
        }
        self.owed.retain(|(server, ..)| *server != node);
        Ok(())
    }

    /// Z7: whoever begins phase 2 has promises of a quorum, none of whom has a better history.
    fn observe_agreed(
        &mut self,
        node: NodeId,
        before: &Seen,
        state: &Server,
    ) -> Result<(), Violation> {
        let Role::Leading(leader) = &state.role else { return Ok(()) };
        let (epoch, quorum) = (state.current, self.seen.len() / 2 + 1);
        let has_promised = |server: NodeId| {
            self.seen.get(server.index()).is_some_and(|seen| epoch <= seen.promised)
        };
        let unseen = || leader.agreed().1.iter().filter(|server| !has_promised(**server));
        let promised = self.seen.iter().filter(|server| epoch <= server.promised).count();
        if promised + unseen().count() < quorum {
            let why = format!("{node} begins epoch {epoch}, which {promised} have promised");
            return Err(broken("Z7: discovery", why));
        }
        let owed: Vec<_> = unseen().map(|server| (*server, epoch, node)).collect();
        self.owed.extend(owed);
        let own = (before.current, state.history().last());
        for other in leader.followers() {
            let Some(seen) = self.seen.get(other.index()) else { continue };
            if seen.promised == epoch && own < (seen.current, seen.last) {
                let has = (seen.current, seen.last);
                let why = format!(
                    "{node} begins epoch {epoch} with {own:?}, and {other}, which has agreed, has \
                     {has:?}"
                );
                return Err(broken("Z7: discovery", why));
            }
        }
        Ok(())
    }

    /// Z1: each transaction comes after the same one wherever it is.
    fn observe_history(
        &mut self,
        node: NodeId,
        state: &Server,
        first: usize,
    ) -> Result<(), Violation> {
        let (base, txns) = (state.history().base().zxid(), state.history().txns());
        let mut before = first.checked_sub(1).map_or(base, |place| txns[place].zxid);
        for txn in &txns[first..] {
            let none = || (txn.clone(), before);
            let (other, previous) = self.accepted.entry(txn.zxid).or_insert_with(none);
            if other != txn || *previous != before {
                let why = format!(
                    "{node} has {txn:?} after {before:?}; elsewhere it is {other:?}, after \
                     {previous:?}"
                );
                return Err(broken("Z1: prefix", why));
            }
            before = txn.zxid;
        }
        Ok(())
    }

    /// Z2: whoever has delivered so many transactions has delivered the same.
    fn observe_delivered(&mut self, node: NodeId, state: &Server) -> Result<(), Violation> {
        let (count, digest) = state.tree().delivered();
        let now = (state.tree().zxid(), digest);
        let first = self.delivered.entry(count).or_insert(now);
        if *first == now {
            return Ok(());
        }
        let why = format!(
            "after {count} transactions {node} has delivered {:?}, others {:?}, or others before",
            now.0, first.0
        );
        Err(broken("Z2: agreement", why))
    }

    /// Z3 to Z5: whoever begins to broadcast is alone, has all that was delivered, and a quorum has
    /// what it has.
    fn observe_leader(
        &mut self,
        node: NodeId,
        epoch: Epoch,
        state: &Server,
    ) -> Result<(), Violation> {
        let first = *self.leaders.entry(epoch).or_insert(node);
        if first != node {
            let why = format!("{first} and {node} broadcast in epoch {epoch}");
            return Err(broken("Z4: one leader", why));
        }
        let quorum = self.seen.len() / 2 + 1;
        let count = self.seen.iter().filter(|server| epoch <= server.current).count();
        if count < quorum {
            let why = format!("{node} begins epoch {epoch}, in which are {count}, not {quorum}");
            return Err(broken("Z5: synchronisation", why));
        }
        let mut delivered = self.delivered.values().map(|(zxid, _)| *zxid);
        match delivered.rfind(|zxid| zxid.epoch < epoch) {
            Some(zxid) if !state.history().has(zxid) => {
                let why =
                    format!("{node} begins epoch {epoch} without {zxid:?}, which is delivered");
                Err(broken("Z3: primary integrity", why))
            }
            _ => Ok(()),
        }
    }
}

/// Z6: whoever has promised an epoch follows no earlier one, crash or no crash.
fn observe_epochs(node: NodeId, seen: &Seen, now: &Seen) -> Result<(), Violation> {
    let is_kept = seen.promised <= now.promised && seen.current <= now.current;
    if is_kept && (seen.current == now.current || now.current == now.promised) {
        return Ok(());
    }
    let why = format!(
        "{node} had promised epoch {} and was in {}; now {} and {}",
        seen.promised, seen.current, now.promised, now.current
    );
    Err(broken("Z6: promises are kept", why))
}

fn broken(property: &'static str, explanation: String) -> Violation {
    Violation { property, explanation }
}
