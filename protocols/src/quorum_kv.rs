//! A quorum key-value store after Dynamo (`DeCandia` et al., *Dynamo: Amazon's Highly Available
//! Key-value Store*, SOSP 2007), with the dotted version vectors of Preguiça et al. (PODC 2012) in
//! the place of its vector clocks.
//!
//! *Problem.* Clients get, put and delete values under keys, and are answered as long as a few
//! nodes can talk. Writes that did not know of each other are all kept, as *siblings*, until a
//! client that was shown them replaces them.
//!
//! *Model.* Links `FairLoss`; nodes `CrashRecovery`; timing `Asynchronous` for every promise of
//! safety. Clocks decide nothing but how long a tombstone is kept at least.
//!
//! *Idea.* A ring of hashes gives each key its *homes*, `N` nodes that store it, and an order of
//! all others ([`Ring`]). A home that is asked *coordinates*: it writes to itself, sends the key's
//! siblings to the other homes, and answers when `W` have them; it reads from all homes, and
//! answers when `R` have told. What a home holds only ever merges with what comes in
//! ([`Versions`]), so order, loss and repetition of messages do not matter. Homes that do not
//! answer get a *hint*: the next node on the ring keeps the siblings for them and hands them over
//! later. Whatever was missed is brought by *read repair*, and by *anti-entropy* between homes,
//! which compare Merkle trees. A deletion is a version without a value, a *tombstone*, forgotten
//! when that is safe.
//!
//! *Properties*, by what [`Config`] says of quorums:
//! - S1 No lost write: a version leaves a node only for one that replaces it, for its home if it
//!   was hinted, or as a tombstone that is forgotten ([`invariants`]). With L2: every acknowledged
//!   write is among the final siblings, or was replaced by somebody who had been shown it.
//! - S2 No resurrection: what was replaced or deleted at a node never comes back there, whether its
//!   tombstone is still kept or not ([`invariants`]).
//! - S3 Strict quorums with `R + W > N`: a get *covers* every put and delete that was acknowledged
//!   before it was called: it returns that version, or one that replaces it, and nothing that it
//!   replaced (checked on the history of the clients). That is the regular register, for siblings.
//!   It rests on what a coordinator counts ([`promises`]).
//! - It is *not* atomic: of two gets in a row, the later may miss what the earlier returned, while
//!   the put is under way (nothing is written back before the answer). A negative control finds it.
//! - Sloppy quorums promise S1 and S2 and L2, and not S3: `W` hints and `R` homes need not meet.
//! - L1 With a quorum of the key's homes up and connected to the client for a while, requests are
//!   answered.
//! - L2 Convergence: when faults end, all homes of a key come to hold the same siblings, and no
//!   hint is left ([`converged`]).
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Get`](Message::Get), [`GetReply`](Message::GetReply) | coordinator | homes | the siblings |
//! | [`Store`](Message::Store) | any | home, stand-in | "hold these too" |
//! | [`StoreReply`](Message::StoreReply) | the same | sender | "I do, durably", or "send anew" |
//! | [`Tree`](Message::Tree), [`Leaf`](Message::Leaf) | home | home | anti-entropy |
//! | [`Purge`](Message::Purge), [`PurgeAck`](Message::PurgeAck) | who deleted | all | forget it |
//!
//! *Journal records*: what a node holds of a key, for itself or as a hint, each synced before
//! anything is said of it; [`HandedOff`](Record::HandedOff) and [`Purged`](Record::Purged), since
//! a hint or a value that came back by a crash could undo a deletion.
//!
//! *Forgetting a tombstone.* After the grace period the node that coordinated the deletion makes
//! *every* node hold the tombstone, and only when all have said so lets them forget it: so no copy
//! of what it deleted is left in any store or hint. A copy may still be under way. Therefore each
//! node has an *epoch*, raised whenever it comes to cover less of a key than before; a
//! [`Store`](Message::Store) carries the epoch that its sender knows of the receiver, and one from
//! before is refused and sent anew, from what the sender then holds. A get that is under way at
//! that moment asks again. (The paper only says that objects are deleted; systems that purge after
//! a fixed grace period bring deleted values back when a replica was away for longer.)
//!
//! *Deviations*
//! - The members are fixed and known: no gossip, no failure detector (4.8). Who has not answered an
//!   operation within `retransmit_after` is passed over for that operation.
//! - Only homes coordinate, as their dots must be in what they ship; others name the first home.
//!   (The paper forwards the request.) So a key whose homes a client cannot reach cannot be
//!   written, sloppy or not.
//! - The paper's clients carry the context of their last get. Here the coordinator keeps it for
//!   them, in memory: a client that goes to another coordinator, or whose coordinator crashed, has
//!   an empty context, and its put replaces nothing. A client that gave up waiting, or whose
//!   request was doubled and came again after a crash, counts as having been shown the answer.
//! - A put answers with the siblings that are there after it, which its client has thereby seen.
//! - A put that is asked for again at another home is written twice: two siblings of equal value.
//!
//! *What a client must do.* Number its operations upwards and repeat one under the same number; on
//! [`NotHome`](Response::NotHome) ask the node that it names. To replace what is there, get it (or
//! put) at a home and put at the same one; what comes back with more than one value is the client's
//! to reconcile (4.4).
//!
//! *Reading map*
//!
//! | paper | here |
//! |---|---|
//! | Dynamo 4.2, 4.3 | [`Ring`] |
//! | Dynamo 4.4; PODC 2012 | [`Versions`] |
//! | Dynamo 4.5, and the read repair of section 5 | `coordinator` |
//! | Dynamo 4.6 | `coordinator` (stand-ins), `replica` (hints) |
//! | Dynamo 4.7 | `anti_entropy` |
//! | (not in the paper) | `tombstones` |

mod anti_entropy;
mod coordinator;
mod invariants;
mod promises;
mod replica;
mod ring;
mod tombstones;
mod versions;

use crate::kv::Text;
use coordinator::{Operation, Session};
use replica::Durable;
use seedfall_sim::{ClientId, Context, Duration, NodeId, Protocol, RequestId, SortedMap};
use std::fmt;
use tombstones::Burial;

pub use invariants::{Invariants, converged, invariants};
pub use promises::{Promises, promises};
pub use ring::Ring;
pub use versions::{Dot, Version, VersionVector, Versions};

/// The parameters, equal on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// How many homes a key has (`N`).
    pub homes: usize,
    /// How many must have told their siblings before a get is answered (`R`).
    pub read_quorum: usize,
    /// How many must hold a put before it is answered (`W`).
    pub write_quorum: usize,
    /// Whether stand-ins count for the homes that they stand in for. Without, they keep hints, and
    /// only homes count.
    pub sloppy: bool,
    /// At how many places of the ring each node stands.
    pub virtual_nodes: u32,
    /// After how long without an answer a node is asked again, and a stand-in beside it.
    pub retransmit_after: Duration,
    /// How often hints are offered to their homes.
    pub handoff_every: Duration,
    /// How often a node compares itself with another home.
    pub anti_entropy_every: Duration,
    /// How long a tombstone is kept at least.
    pub grace: Duration,
}

/// Why a [`Config`] cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// `homes` is zero, or more than the cluster has nodes.
    HomesOutOfRange,
    /// `read_quorum` is zero, or more than `homes`.
    ReadQuorumOutOfRange,
    /// `write_quorum` is zero, or more than `homes`.
    WriteQuorumOutOfRange,
    /// `virtual_nodes` is zero.
    VirtualNodesZero,
    /// A span of time is zero: a timer would ring for ever at one instant.
    SpanZero,
}

/// An operation of its coordinator, told from all that the coordinator ever ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct OperationId {
    /// Which life of the coordinator, counted from one.
    pub life: u32,
    /// Which operation of that life.
    pub number: u32,
}

/// Why something is to be stored: comes back in the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Ticket {
    /// A client puts.
    Put(OperationId),
    /// A get found the receiver behind.
    ReadRepair,
    /// The Merkle trees differed.
    AntiEntropy,
    /// A hint comes home.
    Handoff {
        /// Of the siblings in the hint: it may have grown when the reply comes.
        digest: u64,
    },
    /// Everybody is to hold this tombstone, before it is forgotten.
    Burial(Dot),
}

/// What nodes send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// What do you hold?
    Get {
        /// For which operation.
        operation: OperationId,
        /// Of which key.
        key: Text,
    },
    /// The answer.
    GetReply {
        /// To which operation.
        operation: OperationId,
        /// What the sender holds, durably.
        versions: Versions,
    },
    /// Hold these too.
    Store {
        /// Why.
        ticket: Ticket,
        /// Under which key.
        key: Text,
        /// What.
        versions: Versions,
        /// For whom; if not for the receiver, it is a hint.
        home: NodeId,
        /// The receiver's epoch, as far as the sender knows.
        epoch: u64,
    },
    /// The answer.
    StoreReply {
        /// To what.
        ticket: Ticket,
        /// Of which key.
        key: Text,
        /// For whom.
        home: NodeId,
        /// The sender's epoch.
        epoch: u64,
        /// True if it holds them now, durably; otherwise the epoch was an old one.
        accepted: bool,
    },
    /// Hashes of nodes of the sender's Merkle tree over the keys that both are homes of.
    Tree {
        /// Each with its place in the tree.
        hashes: Vec<(u16, u64)>,
    },
    /// Send me what you hold in this leaf.
    Leaf {
        /// Its place in the tree.
        leaf: u16,
    },
    /// Everybody holds this tombstone: forget it.
    Purge {
        /// Of which key.
        key: Text,
        /// The tombstone.
        dot: Dot,
    },
    /// Done, durably.
    PurgeAck {
        /// Of which key.
        key: Text,
        /// The tombstone.
        dot: Dot,
    },
}

/// A node's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// Some have not answered the operation of this number.
    Operation(u32),
    /// Time to offer hints to their homes.
    Handoff,
    /// Time to compare with another home.
    AntiEntropy,
    /// Time to look after tombstones.
    Burial,
}

/// What a node writes to its journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Record {
    /// The node has started.
    Life,
    /// What it holds under a key from now on.
    Stored {
        /// The key.
        key: Text,
        /// All siblings.
        versions: Versions,
    },
    /// What it keeps for another from now on.
    Hinted {
        /// For whom.
        home: NodeId,
        /// The key.
        key: Text,
        /// All siblings.
        versions: Versions,
    },
    /// A hint has come home.
    HandedOff {
        /// Whose it was.
        home: NodeId,
        /// The key.
        key: Text,
    },
    /// What is stored or hinted next covers less than before: a new epoch begins.
    Epoch,
    /// A tombstone is forgotten, and a new epoch begins.
    Purged {
        /// The key.
        key: Text,
        /// The tombstone.
        dot: Dot,
    },
}

/// What a client asks. The [`RequestId`] names the operation: equal in a retry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Request {
    /// The siblings under a key.
    Get {
        /// Which.
        key: Text,
    },
    /// Writes a value in the place of those that the client was shown last.
    Put {
        /// Under which key.
        key: Text,
        /// The value; `None` deletes.
        value: Option<Text>,
    },
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Response {
    /// To a get.
    Siblings(Versions),
    /// To a put: it is stored.
    Stored {
        /// Under this name.
        dot: Dot,
        /// In the place of all this.
        past: VersionVector,
        /// Beside these siblings, itself included if nothing has replaced it yet.
        siblings: Versions,
    },
    /// This node did nothing; that one is a home of the key.
    NotHome {
        /// Which.
        home: NodeId,
    },
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QuorumKv {
    id: NodeId,
    nodes: usize,
    config: Config,
    ring: Ring,
    /// Survives a crash.
    durable: Durable,
    /// The epochs of the others, as far as this node knows.
    epochs: Vec<u64>,
    /// What it coordinates, by number in this life.
    operations: SortedMap<u32, Operation>,
    next_number: u32,
    /// What it remembers of clients.
    sessions: SortedMap<ClientId, Session>,
    /// With whom it compares itself next.
    next_peer: usize,
    /// The tombstones of deletions that it coordinated.
    burials: SortedMap<(Text, Dot), Burial>,
}

impl Protocol for QuorumKv {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        let nodes = ctx.nodes();
        if let Err(error) = config.check(nodes) {
            panic!("the quorum store cannot start: {error}");
        }
        let mut durable = Durable::recover(id, journal);
        durable.life += 1;
        ctx.append(Record::Life);
        ctx.sync();
        ctx.set_timer(Timer::Handoff, config.handoff_every);
        ctx.set_timer(Timer::AntiEntropy, config.anti_entropy_every);
        ctx.set_timer(Timer::Burial, config.retransmit_after);
        Self {
            id,
            nodes,
            config: *config,
            ring: Ring::new(nodes, config.virtual_nodes),
            durable,
            epochs: vec![0; nodes],
            operations: SortedMap::new(),
            next_number: 0,
            sessions: SortedMap::new(),
            next_peer: id.index(),
            burials: SortedMap::new(),
        }
    }

    fn waits(&self) -> String {
        self.operations.values().filter_map(Operation::waits).collect::<Vec<_>>().join("; ")
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match message {
            Message::Get { operation, key } => self.on_get(from, operation, &key, ctx),
            Message::GetReply { operation, versions } => {
                self.on_get_reply(from, operation, versions, ctx);
            }
            Message::Store { ticket, key, versions, home, epoch } => {
                self.on_store(from, ticket, key, &versions, home, epoch, ctx);
            }
            Message::StoreReply { ticket, key, home, epoch, accepted } => {
                self.on_store_reply(from, ticket, key, home, epoch, accepted, ctx);
            }
            Message::Tree { hashes } => self.on_tree(from, &hashes, ctx),
            Message::Leaf { leaf } => self.on_leaf(from, leaf, ctx),
            Message::Purge { key, dot } => self.on_purge(from, key, dot, ctx),
            Message::PurgeAck { key, dot } => self.on_purge_ack(from, &key, dot, ctx),
        }
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) {
        match timer {
            Timer::Operation(number) => self.on_operation_timeout(number, ctx),
            Timer::Handoff => self.on_handoff(ctx),
            Timer::AntiEntropy => self.on_anti_entropy(ctx),
            Timer::Burial => self.on_burial(ctx),
        }
    }

    /// Nobody leads. A fault that looks for a leader finds a coordinator whose put few homes hold.
    fn is_leader(&self) -> bool {
        self.operations.values().any(Operation::is_unacknowledged_put)
    }

    fn on_request(&mut self, request: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        let (Request::Get { key } | Request::Put { key, .. }) = &body;
        let homes = self.homes(key);
        if !homes.contains(&self.id) {
            return ctx.respond(request, Response::NotHome { home: homes[0] });
        }
        if !self.admits(request, ctx) {
            return;
        }
        match body {
            Request::Get { key } => self.begin_get(request, key, homes, ctx),
            Request::Put { key, value } => self.begin_put(request, key, value, homes, ctx),
        }
    }
}

/// What reports and scenarios ask of a node.
impl QuorumKv {
    /// This node.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The nodes that store a key, in the order of the ring.
    pub fn homes(&self, key: &Text) -> Vec<NodeId> {
        let mut list = self.ring.preference_list(key);
        list.truncate(self.config.homes);
        list
    }

    /// What this node holds under a key, as one of its homes.
    pub fn siblings(&self, key: &Text) -> Versions {
        self.durable.store.get(key).cloned().unwrap_or_default()
    }

    /// Every key of which this node is a home and holds something.
    pub fn store(&self) -> &SortedMap<Text, Versions> {
        &self.durable.store
    }

    /// What this node keeps for homes that did not answer.
    pub fn hints(&self) -> &SortedMap<(NodeId, Text), Versions> {
        &self.durable.hints
    }

    /// How often what this node holds has changed: a cheap way to see that it has not.
    pub fn changes(&self) -> u64 {
        self.durable.changes
    }

    /// How often this node has forgotten a tombstone.
    pub fn epoch(&self) -> u64 {
        self.durable.epoch
    }
}

impl Config {
    /// Looks for what cannot work in a cluster of so many nodes.
    ///
    /// # Errors
    /// The field at fault.
    pub fn check(&self, nodes: usize) -> Result<(), ConfigError> {
        if !(1..=nodes).contains(&self.homes) {
            return Err(ConfigError::HomesOutOfRange);
        }
        if !(1..=self.homes).contains(&self.read_quorum) {
            return Err(ConfigError::ReadQuorumOutOfRange);
        }
        if !(1..=self.homes).contains(&self.write_quorum) {
            return Err(ConfigError::WriteQuorumOutOfRange);
        }
        if self.virtual_nodes == 0 {
            return Err(ConfigError::VirtualNodesZero);
        }
        let spans = [self.retransmit_after, self.handoff_every, self.anti_entropy_every];
        if spans.contains(&Duration::ZERO) {
            return Err(ConfigError::SpanZero);
        }
        Ok(())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HomesOutOfRange => "homes must be between one and the number of nodes",
            Self::ReadQuorumOutOfRange => "read_quorum must be between one and homes",
            Self::WriteQuorumOutOfRange => "write_quorum must be between one and homes",
            Self::VirtualNodesZero => "virtual_nodes must be at least one",
            Self::SpanZero => {
                "retransmit_after, handoff_every and anti_entropy_every must be above zero"
            }
        })
    }
}

impl std::error::Error for ConfigError {}
