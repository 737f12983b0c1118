//! ABD (Attiya, Bar-Noy and Dolev, *Sharing Memory Robustly in Message-Passing Systems*, JACM
//! 1995), with many writers as Lynch and Shvartsman have them (*Robust Emulation of Shared Memory
//! Using Dynamic Quorum-Acknowledged Broadcasts*, FTCS 1997): atomic registers over any majority,
//! without consensus.
//!
//! *Problem.* Clients read and write registers, one a key. Each register behaves as if there were
//! one copy of it, and goes on while any majority of the `n` nodes can talk.
//!
//! *Model.* Links `FairLoss`; nodes `CrashRecovery`, any number down for safety, fewer than `n / 2`
//! for progress; timing `Asynchronous`, for progress too: nothing is ever concluded from silence,
//! and the one timer only sends again what may have been lost.
//!
//! *Idea.* Every node keeps, for each key, a value and the [`Tag`] under which it was written: a
//! counter, and the node that chose it. *Read*: ask all for what they hold, wait for a majority,
//! take the value with the highest tag; then write it back: store it at a majority *before*
//! returning it, so that a later read, whose majority meets this one, cannot return an older value.
//! *Write*: ask a majority for its tags, choose a higher one, store the value under it at a
//! majority. A single writer knows the highest tag, as it chose it, and leaves the asking out.
//!
//! *Properties*
//! - S1 Atomicity: the history of each key is linearizable (checked on the history of the clients).
//! - S2 One value a tag: no two nodes hold different values under one tag ([`invariants`]).
//! - S3 Durability: the tag that a node holds under a key never goes back, crash or no crash
//!   ([`invariants`]): what was acknowledged stays.
//! - L1 With a majority up and connected for a while, every operation that is under way completes.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Query`](Message::Query) | coordinator | all | "what is your newest?" |
//! | [`QueryReply`](Message::QueryReply) | any | coordinator | a value and its tag |
//! | [`Store`](Message::Store) | coordinator | all | "hold at least this" |
//! | [`StoreAck`](Message::StoreAck) | any | coordinator | "I do, durably" |
//!
//! *Journal records*, each synced before anything is said of it:
//! - [`Life`](Record::Life), whenever a node starts: operations of a new life are told from those
//!   of the lives before, whose replies may still be under way.
//! - [`Store`](Record::Store), before the acknowledgement.
//! - [`Write`](Record::Write), before the first [`Store`](Message::Store) of a write leaves: the
//!   tag is now the coordinator's own newest, so that it never chooses it again, and it is the tag
//!   of this write for ever.
//!
//! *Deviations*
//! - The paper's processors never recover and never lose a message. Here they forget what is not in
//!   the journal, and repeat what is not answered (stubborn links).
//! - The paper's processors read and write for themselves. Here a node works for clients, who may
//!   ask twice. A write that gets a second tag takes effect twice, with another write between the
//!   two, and that is not linearizable. So a client writes through one node, its
//!   [`proxy`](Abd::proxy), which remembers each client's latest write durably: a retry goes on
//!   with the tag that was chosen first, even after a crash. While the proxy is down its clients
//!   cannot write; in the paper, a processor that is down does not write either. (Another node
//!   could not take over without agreement on which of two tags is the write's.)
//! - Reads go through any node, and may be repeated freely.
//! - A node counts itself in every majority, and its own part needs no message.
//! - Counters are unbounded (the paper's second half bounds them).
//!
//! *What a client must do.* Number its operations upwards and repeat one under the same number; on
//! [`NotProxy`](Response::NotProxy) ask the node that it names. A write that is given up may still
//! take effect, until the client's next write completes.
//!
//! *Reading map*
//!
//! | paper | here |
//! |---|---|
//! | procedure *communicate* (send to all, wait for a majority) | `broadcast_phase`, `heard_from` |
//! | the unbounded emulation, *read* | `begin_query`, `begin_store`, `complete` |
//! | the unbounded emulation, *write* of the single writer | `on_write`: no query |
//! | FTCS 1997, *write* of many writers | `begin_query`, `choose_tag` |
//! | the receivers' part | `on_query`, `on_store` |

mod coordinator;
mod invariants;

use crate::kv::Text;
use coordinator::{Operation, Phase};
use seedfall_sim::{ClientId, Context, Duration, NodeId, Protocol, RequestId, SortedMap};
use std::fmt;

pub use invariants::{Invariants, invariants};

/// The parameters, equal on all nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// Through whom clients write.
    pub writers: Writers,
    /// Whether a read stores what it returns at a majority first. Without it the registers are
    /// regular and not atomic: a later read may return an older value.
    pub write_back: bool,
    /// After how long without an answer a message is sent again.
    pub retransmit_after: Duration,
}

/// Through whom clients write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Writers {
    /// Through this node alone: the paper's single writer.
    Single(NodeId),
    /// Each client through a node of its own: many writers.
    Many,
}

/// Why a [`Config`] cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// `retransmit_after` is zero.
    RetransmitAfterZero,
    /// `writers` names a node that the cluster does not have.
    WriterNotInCluster,
}

/// The logical time of a write: the higher one is newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Tag {
    /// One more than the highest that its writer had heard of. Decides first.
    pub counter: u64,
    /// Who chose it. Decides between writes that did not know of each other.
    pub writer: NodeId,
}

/// A value, and when it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Tagged {
    /// When.
    pub tag: Tag,
    /// What; `None` before the first write.
    pub value: Option<Text>,
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

/// What nodes send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// Phase 1: what do you hold?
    Query {
        /// For which operation.
        operation: OperationId,
        /// Under which key.
        key: Text,
    },
    /// The answer.
    QueryReply {
        /// To which operation.
        operation: OperationId,
        /// What the sender holds, durably.
        held: Tagged,
    },
    /// Phase 2: hold this, unless you hold something newer.
    Store {
        /// For which operation.
        operation: OperationId,
        /// Under which key.
        key: Text,
        /// What.
        tagged: Tagged,
    },
    /// The sender holds it or something newer, durably.
    StoreAck {
        /// For which operation.
        operation: OperationId,
    },
}

/// A node's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// Some have not answered the operation of this number.
    Retransmit(u32),
}

/// What a node writes to its journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Record {
    /// The node has started.
    Life,
    /// It holds this.
    Store {
        /// Under which key.
        key: Text,
        /// What.
        tagged: Tagged,
    },
    /// It has chosen the tag of a client's write, and holds the value under it.
    Write {
        /// Whose write.
        client: ClientId,
        /// The write, and its tag.
        write: Write,
    },
}

/// The latest write of a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Write {
    /// The client's own number for it.
    pub number: u32,
    /// To which key.
    pub key: Text,
    /// What, under the tag that it keeps.
    pub tagged: Tagged,
    /// In which life of the proxy the tag was chosen.
    pub life: u32,
}

/// What a client asks. The [`RequestId`] names the operation: equal in a retry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Request {
    /// The value under a key.
    Read {
        /// Which.
        key: Text,
    },
    /// Sets the value under a key.
    Write {
        /// Which.
        key: Text,
        /// The value.
        value: Text,
    },
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Response {
    /// To a read; `None` if nothing was ever written.
    Value(Option<Text>),
    /// To a write: it took effect.
    Written,
    /// To a write: this node did nothing; the client writes through that one.
    NotProxy {
        /// Which.
        proxy: NodeId,
    },
}

/// Survives a crash: forgetting it would take back what was said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Durable {
    /// How often the node has started.
    life: u32,
    /// What it holds; a key that is not here holds [`Tagged::NOTHING`].
    registers: SortedMap<Text, Tagged>,
    /// For each client that writes through this node, its latest write whose tag was chosen.
    writes: SortedMap<ClientId, Write>,
}

/// One node: it holds copies of the registers, and coordinates operations of clients.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Abd {
    id: NodeId,
    nodes: usize,
    config: Config,
    durable: Durable,
    /// By their number in this life.
    operations: SortedMap<u32, Operation>,
    next_number: u32,
}

impl Protocol for Abd {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        if let Err(error) = config.check(ctx.nodes()) {
            panic!("ABD cannot start: {error}");
        }
        let mut durable = Durable::recover(journal);
        durable.life += 1;
        ctx.append(Record::Life);
        ctx.sync();
        let (nodes, config) = (ctx.nodes(), config.clone());
        Self { id, nodes, config, durable, operations: SortedMap::new(), next_number: 0 }
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match message {
            Message::Query { operation, key } => self.on_query(from, operation, &key, ctx),
            Message::QueryReply { operation, held } => {
                self.on_query_reply(from, operation, held, ctx);
            }
            Message::Store { operation, key, tagged } => {
                self.on_store(from, operation, &key, &tagged, ctx);
            }
            Message::StoreAck { operation } => self.on_store_ack(from, operation, ctx),
        }
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) {
        let Timer::Retransmit(number) = timer;
        self.on_retransmit(number, ctx);
    }

    /// Nobody leads in ABD. A fault that looks for a leader finds a node that is storing a value
    /// which not everybody has yet: where losing it hurts most.
    fn is_leader(&self) -> bool {
        self.operations.values().any(|operation| operation.phase == Phase::Store)
    }

    fn waits(&self) -> String {
        let one = |operation: &Operation| {
            let Operation { request, key, phase, heard, .. } = operation;
            format!("{request:?} of {key:?}: for a majority in phase {phase:?}, has {heard:?}")
        };
        self.operations.values().map(one).collect::<Vec<_>>().join("; ")
    }

    fn on_request(&mut self, request: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        if self.operations.values().any(|operation| operation.request == request) {
            return ctx.ignore("request: already under way");
        }
        match body {
            Request::Read { key } => self.begin_query(request, key, None, ctx),
            Request::Write { key, value } => self.on_write(request, key, value, ctx),
        }
    }
}

/// The receivers' part.
impl Abd {
    /// Phase 1: what this node holds is durable, so it may be told.
    fn on_query(
        &self,
        from: NodeId,
        operation: OperationId,
        key: &Text,
        ctx: &mut Context<'_, Self>,
    ) {
        ctx.send(from, Message::QueryReply { operation, held: self.held(key).clone() });
    }

    /// Phase 2: adopts what is newer, and acknowledges in any case: the sender needs to know that
    /// nothing older is left here, not that its own value is here.
    fn on_store(
        &mut self,
        from: NodeId,
        operation: OperationId,
        key: &Text,
        tagged: &Tagged,
        ctx: &mut Context<'_, Self>,
    ) {
        self.hold(key, tagged, ctx);
        ctx.send(from, Message::StoreAck { operation });
    }

    /// Holds at least this from now on, durably.
    fn hold(&mut self, key: &Text, tagged: &Tagged, ctx: &mut Context<'_, Self>) {
        let held = self.held(key).tag;
        if held.counter == tagged.tag.counter && held.writer != tagged.tag.writer {
            ctx.reach("store: concurrent writes, told apart by their writers");
        }
        if held < tagged.tag {
            self.durable.registers.insert(key.clone(), tagged.clone());
            ctx.append(Record::Store { key: key.clone(), tagged: tagged.clone() });
            ctx.sync(); // Before the acknowledgement: a majority of memories would not survive.
        } else if tagged.tag < held {
            ctx.reach("store: an older value came late");
        }
        assert!(tagged.tag <= self.held(key).tag, "it holds at least what it was asked to");
    }
}

/// What reports and scenarios ask of a node.
impl Abd {
    /// This node.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// How many operations it coordinates that are not complete.
    pub fn incomplete(&self) -> usize {
        self.operations.len()
    }

    /// The node through which a client writes.
    pub fn proxy(&self, client: ClientId) -> NodeId {
        match self.config.writers {
            Writers::Single(node) => node,
            Writers::Many => NodeId::new((client.index() % self.nodes) as u16),
        }
    }

    /// What this node holds under a key.
    pub fn held(&self, key: &Text) -> &Tagged {
        self.durable.registers.get(key).unwrap_or(&Tagged::NOTHING)
    }

    /// Every key that was written, with what this node holds under it.
    pub fn registers(&self) -> impl Iterator<Item = (&Text, &Tagged)> {
        self.durable.registers.iter()
    }

    /// How many operations it coordinates at the moment.
    pub fn under_way_count(&self) -> usize {
        self.operations.len()
    }
}

impl Durable {
    /// What the journal says.
    fn recover(journal: &[Record]) -> Self {
        let mut durable = Self::default();
        for record in journal {
            match record.clone() {
                Record::Life => durable.life += 1,
                Record::Store { key, tagged } => drop(durable.registers.insert(key, tagged)),
                Record::Write { client, write } => durable.remember(client, write),
            }
        }
        durable
    }

    /// A write whose tag was chosen: it is the client's latest, and the newest value here.
    fn remember(&mut self, client: ClientId, write: Write) {
        self.registers.insert(write.key.clone(), write.tagged.clone());
        self.writes.insert(client, write);
    }
}

impl Tag {
    /// Older than every write.
    pub const ZERO: Self = Self { counter: 0, writer: NodeId::new(0) };
}

impl Tagged {
    /// What a node holds before the first write.
    pub const NOTHING: Self = Self { tag: Tag::ZERO, value: None };
}

impl Config {
    /// Looks for what cannot work in a cluster of so many nodes.
    ///
    /// # Errors
    /// The field at fault.
    pub fn check(&self, nodes: usize) -> Result<(), ConfigError> {
        if self.retransmit_after == Duration::ZERO {
            return Err(ConfigError::RetransmitAfterZero);
        }
        match self.writers {
            Writers::Single(node) if nodes <= node.index() => Err(ConfigError::WriterNotInCluster),
            Writers::Single(_) | Writers::Many => Ok(()),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RetransmitAfterZero => "retransmit_after must be above zero",
            Self::WriterNotInCluster => "writers names a node that the cluster does not have",
        })
    }
}

impl std::error::Error for ConfigError {}

/// True if `count` of `nodes` are more than half.
fn is_majority(count: usize, nodes: usize) -> bool {
    count > nodes / 2
}
