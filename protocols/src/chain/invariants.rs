//! S2 to S5 of chain replication, watched from outside while a run goes on.

use super::server::Server;
use super::{Chain, Epoch, MASTER, Node, Update};
use seedfall_sim::{Monitor, NodeId, RequestId, Time, Violation};

/// Watches the nodes of one run.
#[derive(Clone, Debug, Default, Hash)]
pub struct Invariants {
    /// What is committed, in order.
    committed: Vec<Update>,
    /// The newest epoch.
    epoch: Epoch,
    /// What was last looked at of each server, and which updates it had.
    seen: Vec<Seen>,
    hist: Vec<Vec<RequestId>>,
    /// The master's chain.
    chain: Chain,
    /// Since when each server is in the chain, as far as it knows, and until when it may answer
    /// queries by itself, on its own clock.
    leases: Vec<Option<(Epoch, Time)>>,
}

/// A server, when it was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Seen {
    epoch: Epoch,
    /// Since which epoch it was in the chain, if it was.
    since: Option<Epoch>,
    /// How many updates it had, and how many it knew to be committed.
    has: usize,
    knows: usize,
    /// How many were committed.
    committed: usize,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

impl Monitor<Node> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Node) -> Result<(), Violation> {
        self.epoch = self.epoch.max(state.chain().epoch);
        let Some(server) = state.server() else { return Ok(()) };
        if self.seen.len() <= node.index() {
            self.seen.resize(node.index() + 1, Default::default());
            self.hist.resize(node.index() + 1, Vec::new());
        }
        let (has, knows) = (server.updates().len(), server.committed());
        let (epoch, since) = (server.chain().epoch, server.chain().since(node));
        let now = Seen { epoch, since, has, knows, committed: self.committed.len() };
        let before = self.seen[node.index()];
        if before == now {
            return Ok(());
        }
        let broken = |property, explanation| Err(Violation { property, explanation });
        let is_kept = since.is_some() && before.since == since;
        if is_kept && has < before.has {
            return broken(
                "S4: kept",
                format!("{node} has {has} updates, and had {} in the same chain", before.has),
            );
        }
        let hist = &mut self.hist[node.index()];
        hist.truncate(if is_kept { before.has } else { 0 });
        hist.extend(server.updates().skip(hist.len()).map(|update| update.request));
        self.along_the_chain(node, server)?;
        let pairs = self.committed.iter().zip(server.updates().take(knows));
        if let Some((place, (one, other))) = pairs.enumerate().find(|(_, (a, b))| a != b) {
            return broken(
                "S2: update propagation",
                format!("update {place} is {one:?}, and committed at {node} is {other:?}"),
            );
        }
        let news = server.updates().take(knows).skip(self.committed.len()).cloned();
        self.committed.extend(news);
        if server.is_ready() && epoch == self.epoch {
            let mut pairs = self.committed.iter().zip(server.updates());
            if has < self.committed.len() || pairs.any(|(one, other)| one != other) {
                let count = self.committed.len();
                return broken(
                    "S3: durability",
                    format!(
                        "{count} updates are committed; {node}, which is ready in epoch {epoch}, \
                     has {has}, or others"
                    ),
                );
            }
        }
        self.seen[node.index()] = Seen { committed: self.committed.len(), ..now };
        Ok(())
    }

    fn observe_at(
        &mut self,
        node: NodeId,
        state: &Node,
        clocks: &dyn Fn(NodeId) -> Time,
    ) -> Result<(), Violation> {
        self.leases(node, state, clocks)?;
        self.observe(node, state)
    }
}

impl Invariants {
    /// Who has a lease is in the newest chain, as it believes: the master takes it out when that is
    /// over.
    fn leases(
        &mut self,
        node: NodeId,
        state: &Node,
        clocks: &dyn Fn(NodeId) -> Time,
    ) -> Result<(), Violation> {
        if self.leases.len() <= node.index() {
            self.leases.resize(node.index() + 1, None);
        }
        let judged = match state.server() {
            None if self.chain.epoch == state.chain().epoch => return Ok(()),
            None => {
                self.chain = state.chain().clone();
                0..self.leases.len()
            }
            Some(server) => {
                let since = server.chain().since(node).filter(|_| server.is_ready());
                let now = since.map(|since| (since, server.lease));
                if std::mem::replace(&mut self.leases[node.index()], now) == now {
                    return Ok(());
                }
                node.index()..node.index() + 1
            }
        };
        for (place, lease) in judged.clone().zip(&self.leases[judged]) {
            let server = NodeId::new(place as u16);
            if let Some((since, until)) = *lease
                && self.chain.since(server) != Some(since)
                && clocks(server) < until
            {
                let (shows, chain) = (clocks(server), &self.chain);
                let explanation = format!(
                    "{server} may answer until its clock shows {until}, now {shows}, as it is in \
                     the chain since epoch {since}; the chain of {MASTER} is {chain:?}"
                );
                return Err(Violation { property: "S5: leases", explanation });
            }
        }
        Ok(())
    }

    /// The update propagation invariant: in a chain, each server has what its successor has, and
    /// perhaps more. What a server has that crashed within a handler was not seen: so one that was
    /// seen to have less than its successor is to blame only as it is looked at.
    fn along_the_chain(&self, node: NodeId, server: &Server) -> Result<(), Violation> {
        let (chain, own) = (server.chain(), &self.hist[node.index()]);
        let of = |other: Option<NodeId>| {
            let other = other.filter(|other| {
                self.seen.get(other.index()).is_some_and(|seen| seen.epoch == chain.epoch)
            })?;
            Some((other, &self.hist[other.index()]))
        };
        let broken = |what: String| {
            let explanation = format!("in epoch {}, {what}", chain.epoch);
            Err(Violation { property: "S2: update propagation", explanation })
        };
        let (before, after) = (of(chain.predecessor(node)), of(chain.successor(node)));
        for (other, hist) in before.into_iter().chain(after) {
            let mut pairs = own.iter().zip(hist).enumerate();
            if let Some((place, (one, two))) = pairs.find(|(_, (one, two))| one != two) {
                return broken(format!("{node} has {one} at place {place}, and {other} {two}"));
            }
        }
        match after {
            Some((other, hist)) if own.len() < hist.len() => broken(format!(
                "{node} has {} updates, and {other}, its successor, {}",
                own.len(),
                hist.len()
            )),
            _ => Ok(()),
        }
    }
}
