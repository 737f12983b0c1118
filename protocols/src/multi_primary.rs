//! Multi-primary replication with a rule for conflicts (Kleppmann, *Designing Data-Intensive
//! Applications*, 2017, chapter 5: "Multi-Leader Replication" and "Detecting Concurrent Writes",
//! cited as DDIA; Terry et al., *Managing Update Conflicts in Bayou, a Weakly Connected Replicated
//! Storage System*, SOSP 1995; Petersen et al., *Flexible Update Propagation for Weakly Consistent
//! Replication*, SOSP 1997, cited as Bayou).
//!
//! *Problem.* Every replica of a key-value store takes writes, and answers them by itself, whether
//! it reaches the others or not; all come to hold the same.
//!
//! *Model.* Links `FairLoss`; nodes `CrashRecovery`, any number; timing `Asynchronous`. Wall clocks
//! may show anything: [`Rule::LastWriterWins`] asks them all the same.
//!
//! *Idea.* A write is durable where it was asked for, and then told to the others, in the order of
//! its replica's writes: a replica that has the `n`-th write of another has all before it, so that
//! a number for each replica says all that it has (Bayou, the *prefix property* of its write log).
//! Two writes of a key are *concurrent* if neither client was shown what the other wrote. What then
//! happens is the rule: the write with the later time is kept, and the other is lost, though it was
//! acknowledged (DDIA, "Last write wins"); or both are kept, as *siblings*, until somebody who was
//! shown both writes one in their place (DDIA, "Merging concurrently written values").
//!
//! *Properties*, guarded by [`invariants`] and [`agreement`] but for the last:
//! - W1 no lost write: what a replica held is there, or something whose client was shown it;
//! - W2 what was replaced at a replica does not come back;
//! - W3 replicas that have the same writes hold the same;
//! - W4 a replica that has a write does not write again what its request asked;
//! - L1 when replicas can talk for long enough, all have the same writes.
//!
//! With [`Rule::LastWriterWins`] W1 does not hold.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Writes`](Message::Writes) | replica | replica | take these |
//! | [`Have`](Message::Have) | replica | all | so many of each replica's writes have I |
//!
//! *Journal records*: each [`Write`], its own before the client is answered, others' before anybody
//! is told that they are here.
//!
//! *Deviations*
//! - Versions are those of [`quorum_kv`](crate::quorum_kv): a name, and what its client was shown.
//! - Write logs are kept whole (Bayou shortens them), no write is undone and carried out anew.
//! - A write that is asked for again where it is known has no second effect; elsewhere it becomes a
//!   sibling of itself.
//!
//! *What a client must do.* Hand over, with a write, what it was shown of that key last.

use crate::kv::Text;
use crate::quorum_kv::{Dot, Version, VersionVector, Versions};
use seedfall_sim::{
    Context, Duration, Monitor, NodeId, Protocol, RequestId, SortedMap, SortedSet, Time, Violation,
};

/// The parameters, equal on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// What becomes of concurrent writes.
    pub rule: Rule,
    /// How often a replica says what it has.
    pub interval: Duration,
}

/// What becomes of concurrent writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Rule {
    /// The one with the latest time is kept; of equal times, that of the later replica.
    LastWriterWins,
    /// All are kept.
    Siblings,
}

/// A write, as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Write {
    /// Who asked for it.
    pub request: RequestId,
    /// Under which key.
    pub key: Text,
    /// What; its name is the replica that took it, and the number among its writes.
    pub version: Version,
    /// When, by the wall clock of that replica.
    pub at: Time,
}

/// What nodes send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// Take these, in the order of each replica's writes.
    Writes(Vec<Write>),
    /// Of each replica's writes, the sender has so many.
    Have(Vec<usize>),
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Request {
    /// What is under a key?
    Get {
        /// Which.
        key: Text,
    },
    /// A value in the place of what the client was shown.
    Put {
        /// Under which key.
        key: Text,
        /// Which value.
        value: Text,
        /// What it was shown.
        shown: VersionVector,
    },
}

/// What a client is told: what is under the key now.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Response(pub Versions);

/// Its only timer: time to say what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Gossip;

/// One replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    id: NodeId,
    config: Config,
    /// Of each replica, its first writes, in order.
    writes: Vec<Vec<Write>>,
    /// What they came to.
    store: SortedMap<Text, Versions>,
}

impl Protocol for Replica {
    type Config = Config;
    type Message = Message;
    type Timer = Gossip;
    type Record = Write;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Write], ctx: &mut Context<'_, Self>) -> Self {
        assert!(Duration::ZERO < config.interval, "interval must be above zero");
        let writes = vec![Vec::new(); ctx.nodes()];
        let mut replica = Self { id, config: *config, writes, store: SortedMap::new() };
        for write in journal {
            replica.carry_out(write.clone(), ctx);
        }
        ctx.set_timer(Gossip, config.interval);
        replica
    }

    fn on_request(&mut self, request: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        let (key, value, shown) = match body {
            Request::Get { key } => return ctx.respond(request, self.shown(&key)),
            Request::Put { key, value, shown } => (key, value, shown),
        };
        if self.writes.iter().flatten().any(|write| write.request == request) {
            ctx.reach("put: known already");
            return ctx.respond(request, self.shown(&key));
        }
        let counter = self.writes[self.id.index()].len() as u64 + 1;
        let dot = Dot { node: self.id, counter };
        let version = Version { dot, past: shown, value: Some(value) };
        let write = Write { request, key: key.clone(), version, at: ctx.wall() };
        ctx.append(write.clone());
        ctx.sync();
        self.carry_out(write.clone(), ctx);
        ctx.respond(request, self.shown(&key));
        ctx.broadcast(Message::Writes(vec![write]));
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match message {
            Message::Writes(writes) => {
                for write in writes {
                    self.on_write(write, ctx);
                }
                ctx.sync();
            }
            Message::Have(has) => {
                let all = self.writes.iter().zip(has);
                let lacks: Vec<Write> =
                    all.flat_map(|(writes, has)| writes.iter().skip(has).cloned()).collect();
                if !lacks.is_empty() {
                    ctx.reach("gossip: another replica is behind");
                    ctx.send(from, Message::Writes(lacks));
                }
            }
        }
    }

    fn on_timer(&mut self, Gossip: Gossip, ctx: &mut Context<'_, Self>) {
        ctx.broadcast(Message::Have(self.has()));
        ctx.set_timer(Gossip, self.config.interval);
    }
}

impl Replica {
    /// A write of another replica.
    fn on_write(&mut self, write: Write, ctx: &mut Context<'_, Self>) {
        let Dot { node, counter } = write.version.dot;
        let has = self.writes[node.index()].len() as u64;
        if counter <= has {
            return ctx.ignore("write: it is here");
        }
        if has + 1 < counter {
            return ctx.reach("write: one before it is missing");
        }
        ctx.append(write.clone());
        self.carry_out(write, ctx);
    }

    /// The rule.
    fn carry_out(&mut self, write: Write, ctx: &mut Context<'_, Self>) {
        let version = &write.version;
        let held = self.store.entry(write.key.clone()).or_default();
        match self.config.rule {
            Rule::Siblings => {
                held.merge(&Versions::of([version.clone()]));
                if 1 < held.len() {
                    ctx.reach("conflict: siblings");
                }
            }
            Rule::LastWriterWins => {
                let at = |dot: Dot| self.writes[dot.node.index()][dot.counter as usize - 1].at;
                let is_later = |one: &Version| (at(one.dot), one.dot) < (write.at, version.dot);
                if held.iter().all(is_later) {
                    *held = Versions::of([version.clone()]);
                } else {
                    ctx.reach("conflict: the write comes too late");
                }
            }
        }
        self.writes[version.dot.node.index()].push(write);
    }

    fn shown(&self, key: &Text) -> Response {
        Response(self.store.get(key).cloned().unwrap_or_default())
    }

    /// How many writes of each replica it has.
    pub fn has(&self) -> Vec<usize> {
        self.writes.iter().map(Vec::len).collect()
    }

    /// What is under each key.
    pub fn store(&self) -> &SortedMap<Text, Versions> {
        &self.store
    }
}

/// Watches W1 and W2. A replica is compared with itself, also across a crash: a handler syncs what
/// it appends.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    /// Of each replica, how many writes it had, what it held, and what was ever replaced there.
    seen: SortedMap<NodeId, (Vec<usize>, SortedMap<Text, Versions>)>,
    replaced: SortedMap<(NodeId, Text), VersionVector>,
    /// Which requests each replica was seen to have taken or heard of.
    requests: SortedMap<NodeId, SortedSet<RequestId>>,
}

/// A watcher of W1 and W2 that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

impl Monitor<Replica> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Replica) -> Result<(), Violation> {
        let (has, before) = self.seen.entry(node).or_default();
        if *has == state.has() {
            return Ok(());
        }
        let known = self.requests.entry(node).or_default();
        let counts = has.get(node.index()).copied().unwrap_or(0);
        let own = state.writes[node.index()].iter().skip(counts);
        if let Some(again) = own.map(|write| write.request).find(|id| known.contains(id)) {
            let explanation = format!("{node} writes what {again} asked, and had that already");
            return Err(Violation { property: "W4: written once", explanation });
        }
        for (place, writes) in state.writes.iter().enumerate() {
            let seen = has.get(place).copied().unwrap_or(0).min(writes.len());
            known.extend(writes[seen..].iter().map(|write| write.request));
        }
        for (key, before) in &*before {
            let now = state.store.get(key);
            let covers = |dot| now.is_some_and(|now| now.covers(dot));
            if let Some(lost) = before.iter().find(|version| !covers(version.dot)) {
                let explanation = format!("{node} held {lost:?} under {key}, and now {now:?}");
                return Err(Violation { property: "W1: no lost write", explanation });
            }
        }
        for (key, now) in &state.store {
            let replaced = self.replaced.entry((node, key.clone())).or_default();
            if let Some(back) = now.iter().find(|version| replaced.contains(version.dot)) {
                let explanation = format!("{back:?} under {key} was replaced on {node}");
                return Err(Violation { property: "W2: no resurrection", explanation });
            }
            now.iter().for_each(|version| replaced.join(&version.past));
        }
        *has = state.has();
        before.clone_from(&state.store);
        Ok(())
    }
}

/// Watches W3.
#[derive(Clone, Debug, Default)]
pub struct Agreement(SortedMap<Vec<usize>, SortedMap<Text, Versions>>);

/// A watcher of W3 that has seen nothing yet.
pub fn agreement() -> Agreement {
    Agreement::default()
}

impl Monitor<Replica> for Agreement {
    fn observe(&mut self, node: NodeId, state: &Replica) -> Result<(), Violation> {
        let (has, store) = (state.has(), &state.store);
        let known = self.0.entry(has).or_insert_with(|| store.clone());
        if known == store {
            return Ok(());
        }
        let explanation =
            format!("with the writes {:?}, {node} holds {store:?}, not {known:?}", state.has());
        Err(Violation { property: "W3: agreement", explanation })
    }
}

/// L1: whether all have the same writes.
///
/// # Errors
/// The first difference.
pub fn converged(nodes: &[Option<&Replica>]) -> Result<(), String> {
    let all: Vec<_> = nodes.iter().flatten().map(|node| (node.id, node.has())).collect();
    match all.windows(2).find(|two| two[0].1 != two[1].1) {
        None => Ok(()),
        Some(two) => Err(format!("{:?} and {:?} have different writes", two[0], two[1])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_is_not_written_again_where_it_is_known() {
        use seedfall_sim::{ClientId, Time};
        let write = |node: u16, counter| Write {
            request: RequestId { client: ClientId::new(0), number: 0 },
            key: "x".into(),
            version: Version {
                dot: Dot { node: NodeId::new(node), counter },
                past: VersionVector::default(),
                value: None,
            },
            at: Time::ZERO,
        };
        let config = Config { rule: Rule::Siblings, interval: Duration::millis(60) };
        let id = NodeId::new(0);
        let writes = vec![Vec::new(), vec![write(1, 1)]];
        let mut replica = Replica { id, config, writes, store: SortedMap::new() };
        let mut watched = invariants();
        watched.observe(id, &replica).expect("another replica's");
        replica.writes[0].push(write(0, 1));
        let broken = watched.observe(id, &replica).expect_err("it has that");
        assert_eq!(broken.property, "W4: written once");
    }
}
