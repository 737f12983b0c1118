//! What a run shows of itself to a search: which abstract states it went through, and when.
//!
//! A state is a hash of what can be seen of a node without asking its protocol: whether it is up
//! and leads, and which kind of event it handled last; or, where a scenario has an abstraction of
//! its own ([`Scenario::abstraction`](crate::Scenario::abstraction)), of what that makes of the
//! node. Five kinds of states are told apart ([`Level`]), and each is noted where the run comes to
//! it first.

use crate::clients::simulated::SimulatedClients;
use seedfall_net::Wire;
use seedfall_sim::{Counters, NodeId, Protocol, StableHasher, Time, World};

/// An abstract state, and where the run came to it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sight {
    /// The state.
    pub state: u64,
    /// How many events had happened by then.
    pub event: u64,
    /// When.
    pub at: Time,
    /// The node that came to it.
    pub node: NodeId,
    /// What kind of state it is.
    pub level: Level,
}

/// What a state is a state of.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum Level {
    /// All nodes together, whichever is which.
    Cluster,
    /// One node: what it was, what it handled and did, what it is.
    Node,
    /// A node that a fault strikes.
    Fault,
    /// Two marks, in the order in which the run reached them.
    Marks,
    /// A mark.
    Mark,
}

/// What a run showed of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// The states, in the order in which the run came to them.
    pub sights: Vec<Sight>,
    /// When every sixteenth of its events happened: where there is much to be disturbed.
    pub pace: Vec<Time>,
    /// How many chains of messages there were, if priorities decided their order.
    pub chains: u64,
    /// How many messages were in these chains.
    pub messages: u64,
}

/// How many states of a run are noted, at most: a run that goes in circles finds no more.
const MOST: usize = 4_096;
/// Of so many events the time of one is noted.
const PACE: u64 = 16;

/// The user's abstraction of a node, as a hash.
pub(crate) type Abstraction<P> = dyn Fn(&P) -> u64 + Send + Sync;

/// Who observes a run.
pub(super) struct Observer {
    seen: Small,
    observation: Observation,
    /// What is known of each node.
    nodes: Vec<u64>,
    /// The sum of that: the same whichever node is which.
    all: u64,
    /// The counters before the event.
    before: Counters,
    marks: Vec<u64>,
}

impl Observer {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            seen: Small::default(),
            observation: Observation::default(),
            nodes: vec![0; nodes],
            all: 0,
            before: Counters::default(),
            marks: Vec::new(),
        }
    }

    /// A node has handled an event of this kind.
    pub(super) fn see<P: Protocol, I, O>(
        &mut self,
        world: &World<P, Wire, SimulatedClients<P, I, O>>,
        (node, kind): (NodeId, u64),
        abstraction: Option<&Abstraction<P>>,
    ) {
        let now = world.counters();
        let did = did(&self.before, now);
        self.before = *now;
        let count = world.trace().count();
        if self.observation.pace.len() as u64 * PACE <= count {
            self.observation.pace.push(world.now());
        }
        let own = world.node(node).map_or(1, |state| {
            let seen = abstraction.map_or(kind, |of| of(state));
            mix(seen, u64::from(state.is_leader()))
        });
        let was = std::mem::replace(&mut self.nodes[node.index()], own);
        let (event, at) = (count, world.now());
        let sight = Sight { state: 0, event, at, node, level: Level::Node };
        self.note(Sight { state: mix(mix(was, own), mix(kind, did)), ..sight });
        if own != was {
            // A sum does not say which node is which.
            self.all = self.all.wrapping_add(spread(own)).wrapping_sub(spread(was));
            let state = mix(SALTS[0], self.all);
            self.note(Sight { state, level: Level::Cluster, ..sight });
        }
        if self.marks.len() < world.marks().len() {
            self.see_marks(world.marks(), sight);
        }
    }

    /// The nemesis has done something to a node.
    pub(super) fn see_fault<P: Protocol, I, O>(
        &mut self,
        world: &World<P, Wire, SimulatedClients<P, I, O>>,
        node: NodeId,
    ) {
        let up = u64::from(world.node(node).is_some()) + 2 * u64::from(world.is_paused(node));
        let own = self.nodes[node.index()];
        let event = world.trace().count();
        let state = mix(SALTS[1], mix(own, up));
        self.note(Sight { state, event, at: world.now(), node, level: Level::Fault });
    }

    /// Marks that were not reached before in this run, each with those reached before it.
    #[cold]
    fn see_marks(&mut self, marks: &[(&'static str, u64)], sight: Sight) {
        for (mark, _) in &marks[self.marks.len()..] {
            let mark = mix(SALTS[2], StableHasher::hash(mark));
            self.note(Sight { state: mark, level: Level::Mark, ..sight });
            for index in 0..self.marks.len() {
                let state = mix(self.marks[index], mark);
                self.note(Sight { state, level: Level::Marks, ..sight });
            }
            self.marks.push(mark);
        }
    }

    #[inline]
    fn note(&mut self, sight: Sight) {
        if self.seen.insert(sight.state) && self.observation.sights.len() < MOST {
            self.observation.sights.push(sight);
        }
    }

    /// What was seen, of a run with so many chains and messages in them.
    pub(super) fn into_observation(self, (chains, messages): (u64, u64)) -> Observation {
        Observation { chains, messages, ..self.observation }
    }
}

const SALTS: [u64; 3] = [0x243F_6A88_85A3_08D3, 0x1319_8A2E_0370_7344, 0xA409_3822_299F_31D0];

/// What an event made its node do, in a few bits.
fn did(before: &Counters, now: &Counters) -> u64 {
    let sent = (now.sent - before.sent).min(3);
    let flag = |before: u64, now: u64, place: u64| u64::from(before < now) << place;
    sent | flag(before.appended, now.appended, 2)
        | flag(before.synced, now.synced, 3)
        | flag(before.dropped, now.dropped, 4)
        | flag(before.crashes, now.crashes, 5)
        | flag(before.restarts, now.restarts, 6)
}

#[inline]
fn spread(word: u64) -> u64 {
    let product = u128::from(word ^ 0xD6E8_FEB8_6659_FD93) * 0x9E37_79B9_7F4A_7C15;
    (product >> 64) as u64 ^ product as u64
}

#[inline]
fn mix(one: u64, other: u64) -> u64 {
    spread(one.rotate_left(23) ^ other)
}

/// A set of hashes that were seen in one run: open addressing, and nothing ever leaves.
struct Small {
    slots: Vec<u64>,
    count: usize,
}

impl Default for Small {
    fn default() -> Self {
        Self { slots: vec![0; 256], count: 0 }
    }
}

impl Small {
    /// Whether it was not there before.
    #[inline]
    fn insert(&mut self, hash: u64) -> bool {
        let hash = hash.max(1); // Zero is an empty slot.
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at] != 0 {
            if self.slots[at] == hash {
                return false;
            }
            at = (at + 1) & mask;
        }
        self.slots[at] = hash;
        self.count += 1;
        if self.slots.len() < self.count * 2 {
            self.grow();
        }
        true
    }

    #[cold]
    fn grow(&mut self) {
        let wider = vec![0; self.slots.len() * 4];
        let old = std::mem::replace(&mut self.slots, wider);
        self.count = 0;
        for hash in old.into_iter().filter(|hash| *hash != 0) {
            self.insert(hash);
        }
    }
}
