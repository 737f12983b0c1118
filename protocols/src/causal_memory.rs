//! Causal memory (Ahamad, Neiger, Burns, Kohli and Hutto, *Causal Memory: Definitions,
//! Implementation, and Programming*, Distributed Computing 1995), over causal broadcast with vector
//! clocks (Birman, Schiper and Stephenson, *Lightweight Causal and Atomic Group Multicast*, TOCS
//! 1991, cited as BSS; the properties after Cachin, Guerraoui and Rodrigues, *Introduction to
//! Reliable and Secure Distributed Programming*, 2011, section 3.9, cited as CGR).
//!
//! *Problem.* Nodes keep copies of registers, and answer reads and writes at once, from their own
//! copy, cut off or not. Who reads a value sees all that led to it: never the answer without the
//! question.
//!
//! *Model.* Links `FairLoss`; nodes `CrashRecovery`; timing `Asynchronous`. No majority is needed
//! for anything. Concurrent writes may be seen in different orders by different nodes.
//!
//! *Idea.* A write carries the vector clock of its writer: how many writes of each node it had
//! applied before. Whoever receives it applies it only after it has applied as many. What is lost
//! is sent again: now and then every node says how far it is, and others send what it lacks.
//!
//! *Properties*, guarded by [`invariants`] but for the last two:
//! - CB2 no duplication: no write is applied twice by a node;
//! - CB3 no creation: a node applies the writes of each other in the order in which they were made,
//!   without a gap;
//! - CB5 causal delivery: a node applies a write only after all those that its writer had applied;
//! - CB4 agreement: what one node has applied, all apply in the end (judged at the end of the run);
//! - CM the history of the clients is one of causal memory.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Update`](Message::Update) | who has it | who may lack it | a write |
//! | [`Have`](Message::Have) | all, now and then | all | so many writes of each node |
//!
//! *Journal records*: [`Record`], a write that is applied, synced before anybody is told of it.
//!
//! *Deviations*
//! - The papers have reliable channels and no crashes. Here a node remembers all writes, for those
//!   that lack them (no garbage collection: BSS section 5 needs to know what is stable).
//! - The first message of a write goes to all, and so do answers to [`Have`](Message::Have) once
//!   for each node that lacks it: more messages than are needed.
//!
//! *What a client must do.* Ask one node for as long as it wants to see its own writes, its
//! [`home_of`], which others name; ask again under the same number.
//!
//! *Reading map*
//!
//! | source | here |
//! |---|---|
//! | Ahamad 1995, figure 3: *read*, *write* | `on_request` |
//! | the same: *apply*; BSS 4.1, the delay of delivery | `on_update`, `is_ready` |
//! | CGR 3.9.4, waiting causal broadcast | `on_update`, `deliver` |
//! | BSS 4.2, lost messages | `on_have` |

mod invariants;

use crate::kv::Text;
use seedfall_sim::{ClientId, Context, Duration, NodeId, Protocol, RequestId, SortedMap};

pub use invariants::{Invariants, invariants};

/// The parameters, equal on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// How often a node says how far it is: above zero.
    pub have_interval: Duration,
    /// How many writes it sends, at most, to one that lacks them: at least one.
    pub writes_per_answer: usize,
}

/// How many writes of each node have been applied: a vector clock.
pub type Clock = Vec<u32>;

/// A write, for good.
#[derive(Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Write {
    /// Who made it.
    pub writer: NodeId,
    /// Counts the writes of the writer, from one.
    pub number: u32,
    /// What the writer had applied before.
    pub after: Clock,
    /// At whose request.
    pub request: RequestId,
    /// Which register.
    pub key: Text,
    /// The value.
    pub value: Text,
}

/// What nodes send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// Apply this, in its turn.
    Update(Write),
    /// The sender has applied so many.
    Have(Clock),
}

/// A node's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// Time to say how far it is.
    Have,
}

/// What a node writes to its journal: it has applied this.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Record(pub Write);

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Request {
    /// The value of a register.
    Read {
        /// Which.
        key: Text,
    },
    /// Sets it.
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
    /// To a read; `None` if this node has applied no write of it.
    Value(Option<Text>),
    /// To a write.
    Written,
    /// This node did nothing: the client's home is that one.
    Elsewhere {
        /// Which.
        home: NodeId,
    },
}

/// One node, with a copy of every register.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Memory {
    id: NodeId,
    config: Config,
    registers: SortedMap<Text, Text>,
    /// How many writes of each node it has applied.
    clock: Clock,
    /// All that it has applied, in its order.
    applied: Vec<Write>,
    /// What it may not apply yet.
    waiting: Vec<Write>,
}

impl Protocol for Memory {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        assert!(Duration::ZERO < config.have_interval, "have_interval must be above zero");
        assert!(0 < config.writes_per_answer, "writes_per_answer must be at least one");
        let (registers, clock) = (SortedMap::new(), vec![0; ctx.nodes()]);
        let (applied, waiting) = (Vec::new(), Vec::new());
        let mut memory = Self { id, config: *config, registers, clock, applied, waiting };
        for Record(write) in journal {
            memory.hold(write.clone());
        }
        ctx.set_timer(Timer::Have, config.have_interval);
        memory
    }

    fn on_request(&mut self, request: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        let home = home_of(request.client, self.clock.len());
        if home != self.id {
            return ctx.respond(request, Response::Elsewhere { home });
        }
        match body {
            Request::Read { key } => {
                let value = self.registers.get(&key).cloned();
                ctx.respond(request, Response::Value(value));
            }
            Request::Write { key, value } => {
                if self.applied.iter().any(|write| write.request == request) {
                    ctx.reach("write: a retry has no second effect");
                } else if self.has_newer_of(request) {
                    return ctx.ignore("write: its client has written since");
                } else {
                    let (writer, after) = (self.id, self.clock.clone());
                    let number = after[writer.index()] + 1;
                    let write = Write { writer, number, after, request, key, value };
                    self.apply(write.clone(), ctx);
                    ctx.broadcast(Message::Update(write));
                }
                ctx.respond(request, Response::Written);
            }
        }
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match message {
            Message::Update(write) => self.on_update(write, ctx),
            Message::Have(clock) => self.on_have(from, &clock, ctx),
        }
    }

    fn on_timer(&mut self, Timer::Have: Timer, ctx: &mut Context<'_, Self>) {
        ctx.broadcast(Message::Have(self.clock.clone()));
        ctx.set_timer(Timer::Have, self.config.have_interval);
    }

    fn waits(&self) -> String {
        let one = |write: &Write| format!("{write:?} until it has applied {:?}", write.after);
        self.waiting.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

/// Causal broadcast.
impl Memory {
    /// A write of another node: applied now, or as soon as what it depends on is.
    fn on_update(&mut self, write: Write, ctx: &mut Context<'_, Self>) {
        if write.number <= self.clock[write.writer.index()] {
            return ctx.ignore("update: applied already");
        }
        if self.waiting.contains(&write) {
            return ctx.ignore("update: waits already");
        }
        if !self.is_ready(&write) {
            ctx.reach(match write.number == self.clock[write.writer.index()] + 1 {
                true => "update: waits for a write of a third node",
                false => "update: waits for an earlier write of its writer",
            });
        }
        self.waiting.push(write);
        self.deliver(ctx);
    }

    /// Applies what waits for nothing any more.
    fn deliver(&mut self, ctx: &mut Context<'_, Self>) {
        while let Some(at) = self.waiting.iter().position(|write| self.is_ready(write)) {
            let write = self.waiting.remove(at);
            self.apply(write, ctx);
        }
    }

    /// BSS 4.1: it is the next of its writer, and all that its writer had applied is applied here.
    fn is_ready(&self, write: &Write) -> bool {
        let is_next = write.number == self.clock[write.writer.index()] + 1;
        is_next && write.after.iter().zip(&self.clock).all(|(after, applied)| after <= applied)
    }

    /// It takes effect here, durably: what others will see after it must not be lost.
    fn apply(&mut self, write: Write, ctx: &mut Context<'_, Self>) {
        ctx.append(Record(write.clone()));
        ctx.sync();
        self.hold(write);
    }

    fn hold(&mut self, write: Write) {
        self.clock[write.writer.index()] = write.number;
        self.registers.insert(write.key.clone(), write.value.clone());
        self.applied.push(write);
    }

    /// Sends what the other lacks, in an order in which it can apply it.
    fn on_have(&self, from: NodeId, clock: &Clock, ctx: &mut Context<'_, Self>) {
        let lacks = |write: &&Write| clock[write.writer.index()] < write.number;
        let lacking = self.applied.iter().filter(lacks);
        for write in lacking.take(self.config.writes_per_answer) {
            ctx.reach("have: a write is sent again");
            ctx.send(from, Message::Update(write.clone()));
        }
    }

    /// Whether a later write of the same client was made.
    fn has_newer_of(&self, request: RequestId) -> bool {
        let newer = |of: &RequestId| of.client == request.client && request.number < of.number;
        self.applied.iter().any(|write| newer(&write.request))
    }
}

/// What reports and scenarios ask of a node.
impl Memory {
    /// All that it has applied, in its order.
    pub fn applied(&self) -> &[Write] {
        &self.applied
    }

    /// How many writes of each node it has applied.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}

/// The node that a client asks.
pub fn home_of(client: ClientId, nodes: usize) -> NodeId {
    NodeId::new((client.index() % nodes) as u16)
}

impl std::fmt::Debug for Write {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { writer, number, after, key, value, .. } = self;
        write!(f, "{writer}.{number} {key}={value} after {after:?}")
    }
}
