//! Perfect links out of fair-loss ones (Cachin, Guerraoui and Rodrigues, *Introduction to Reliable
//! and Secure Distributed Programming*, 2011, section 2.4, cited as CGR): stubborn, perfect, logged
//! and first-in-first-out.
//!
//! *Problem.* What a node is asked to send to another arrives there, once, whatever the wire loses
//! and doubles, and whoever crashes; in order, if that is asked for.
//!
//! *Model.* Links `FairLoss`; nodes `CrashRecovery`; timing `Asynchronous`, for progress too.
//!
//! *Idea.* *Stubborn*: a message is sent again and again, until it is acknowledged. *Perfect*: each
//! has a number, and its receiver delivers a number once. *Logged*: both write down what they have
//! sent and delivered before they say so. *FIFO*: what comes too early waits for what is missing.
//!
//! *Properties*, guarded by [`invariants`] but for the first:
//! - PL1 reliable delivery: what a node has taken to send is delivered (judged at the end);
//! - PL2 no duplication: no message is delivered twice;
//! - Once: what a client asked a node to send it sends once, however often it is asked;
//! - PL3 no creation: what is delivered was sent, by that node to this one;
//! - FRR first in, first out (with [`Order::Fifo`]): in the order of sending.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Data`](Message::Data) | sender | receiver | the message of this number |
//! | [`Ack`](Message::Ack) | receiver | sender | it is delivered, or waits, durably |
//!
//! *Journal records* ([`Record`]), each synced before anything is said of it.
//!
//! *Deviations*
//! - A stubborn link of the book sends for ever; this one stops at the acknowledgement.
//! - With [`Order::Fifo`] a message that is early is acknowledged when it is delivered.
//! - The numbers that were delivered are remembered for good, but as one number where no gap is.
//!
//! *What a client must do.* Ask the node that is to send; ask again under the same number.
//!
//! *Reading map*
//!
//! | book | here |
//! |---|---|
//! | 2.4.3 *Retransmit Forever* | `on_timer` |
//! | 2.4.4 *Eliminate Duplicates*, 2.4.5 logged perfect links | `on_data`, [`Delivered`] |
//! | 3.9 FIFO, by sequence numbers | `on_data`, `early` |

mod invariants;

use crate::kv::Text;
use seedfall_sim::{Context, Duration, NodeId, Protocol, RequestId, SortedMap, SortedSet};

pub use invariants::{Invariants, invariants};

/// The parameters, equal on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// In which order messages are delivered.
    pub order: Order,
    /// After how long without an acknowledgement a message is sent again: above zero.
    pub retransmit_after: Duration,
}

/// In which order the messages of one node to another are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Order {
    /// As they come.
    Free,
    /// As they were sent.
    Fifo,
}

/// What nodes send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// A message.
    Data {
        /// Counts those of the sender to the receiver, from one.
        number: u32,
        /// What it says.
        text: Text,
    },
    /// It is delivered, durably.
    Ack {
        /// Which.
        number: u32,
    },
}

/// A node's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// Some are not acknowledged.
    Retransmit,
}

/// A message between two nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Sent {
    /// To whom.
    pub to: NodeId,
    /// Which of those to it, from one.
    pub number: u32,
    /// What it says.
    pub text: Text,
    /// At whose request.
    pub request: RequestId,
}

/// What a node writes to its journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Record {
    /// It will send this until it is acknowledged.
    Sent(Sent),
    /// It has delivered this.
    Delivered {
        /// Of whom.
        from: NodeId,
        /// Which.
        number: u32,
        /// What it says.
        text: Text,
    },
    /// This was acknowledged. Not forced: it would be sent again, and acknowledged again.
    Acknowledged {
        /// By whom.
        by: NodeId,
        /// Which.
        number: u32,
    },
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Request {
    /// Who sends.
    pub from: NodeId,
    /// To whom.
    pub to: NodeId,
    /// What.
    pub text: Text,
}

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Response {
    /// The node will send it, whatever happens.
    Taken,
    /// This node did nothing: that one is to send.
    Elsewhere(NodeId),
}

/// The numbers that were delivered of one sender: all up to one of them, and some above.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Delivered {
    pub(crate) up_to: u32,
    above: SortedSet<u32>,
}

/// One node: the ends of its links to all others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Links {
    id: NodeId,
    config: Config,
    /// All that it was asked to send, in order.
    sent: Vec<Sent>,
    /// What is not acknowledged, as places in `sent`.
    unacknowledged: SortedSet<usize>,
    /// Of each other node: which numbers were delivered.
    received: SortedMap<NodeId, Delivered>,
    /// What came too early.
    early: SortedMap<(NodeId, u32), Text>,
    /// All that was delivered here, in order: from whom, which, and what.
    delivered: Vec<(NodeId, u32, Text)>,
}

impl Protocol for Links {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        assert!(Duration::ZERO < config.retransmit_after, "retransmit_after must be above zero");
        let mut links = Self {
            id,
            config: *config,
            sent: Vec::new(),
            unacknowledged: SortedSet::new(),
            received: SortedMap::new(),
            early: SortedMap::new(),
            delivered: Vec::new(),
        };
        for record in journal.iter().cloned() {
            match record {
                Record::Sent(sent) => links.keep(sent),
                Record::Delivered { from, number, text } => links.note(from, number, text),
                Record::Acknowledged { by, number } => drop(links.acknowledge(by, number)),
            }
        }
        if !links.unacknowledged.is_empty() {
            ctx.set_timer(Timer::Retransmit, config.retransmit_after);
        }
        links
    }

    fn on_request(&mut self, request: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        let Request { from, to, text } = body;
        if from != self.id {
            return ctx.respond(request, Response::Elsewhere(from));
        }
        if self.sent.iter().any(|sent| sent.request == request) {
            ctx.reach("request: a retry is not sent twice");
            return ctx.respond(request, Response::Taken);
        }
        let number = 1 + self.sent.iter().filter(|sent| sent.to == to).count() as u32;
        let sent = Sent { to, number, text: text.clone(), request };
        ctx.append(Record::Sent(sent.clone()));
        ctx.sync(); // A crash must not make it give the number to another.
        if self.unacknowledged.is_empty() {
            ctx.set_timer(Timer::Retransmit, self.config.retransmit_after);
        }
        self.keep(sent);
        ctx.respond(request, Response::Taken);
        ctx.send(to, Message::Data { number, text });
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match message {
            Message::Data { number, text } => self.on_data(from, number, text, ctx),
            Message::Ack { number } => {
                if !self.acknowledge(from, number) {
                    return ctx.ignore("ack: known already");
                }
                ctx.append(Record::Acknowledged { by: from, number });
                if self.unacknowledged.is_empty() {
                    ctx.cancel_timer(Timer::Retransmit);
                }
            }
        }
    }

    /// Stubborn: over a fair-loss link, one of many arrives.
    fn on_timer(&mut self, Timer::Retransmit: Timer, ctx: &mut Context<'_, Self>) {
        for place in &self.unacknowledged {
            let Sent { to, number, text, .. } = &self.sent[*place];
            ctx.send(*to, Message::Data { number: *number, text: text.clone() });
        }
        ctx.set_timer(Timer::Retransmit, self.config.retransmit_after);
    }

    fn waits(&self) -> String {
        let one = |place: &usize| {
            let Sent { to, number, .. } = &self.sent[*place];
            format!("for an acknowledgement of message {number} to {to}")
        };
        self.unacknowledged.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

impl Links {
    /// Perfect: a number is delivered once, and acknowledged whenever it comes.
    fn on_data(&mut self, from: NodeId, number: u32, text: Text, ctx: &mut Context<'_, Self>) {
        let received = self.received.entry(from).or_default();
        if received.has(number) {
            ctx.reach("data: delivered already");
            return ctx.send(from, Message::Ack { number });
        }
        if self.config.order == Order::Fifo && received.up_to + 1 < number {
            ctx.reach("data: waits for an earlier message");
            self.early.insert((from, number), text);
            return;
        }
        self.deliver(from, number, text, ctx);
        let mut next = number + 1;
        while let Some(text) = self.early.remove(&(from, next)) {
            self.deliver(from, next, text, ctx);
            next += 1;
        }
    }

    /// Logged: durably, before the sender stops.
    fn deliver(&mut self, from: NodeId, number: u32, text: Text, ctx: &mut Context<'_, Self>) {
        ctx.append(Record::Delivered { from, number, text: text.clone() });
        ctx.sync();
        self.note(from, number, text);
        ctx.send(from, Message::Ack { number });
    }

    fn note(&mut self, from: NodeId, number: u32, text: Text) {
        self.received.entry(from).or_default().add(number);
        self.delivered.push((from, number, text));
    }

    fn keep(&mut self, sent: Sent) {
        self.unacknowledged.insert(self.sent.len());
        self.sent.push(sent);
    }

    /// Whether it was not acknowledged before.
    fn acknowledge(&mut self, by: NodeId, number: u32) -> bool {
        let is_it = |sent: &Sent| sent.to == by && sent.number == number;
        let place = self.sent.iter().position(is_it);
        place.is_some_and(|place| self.unacknowledged.remove(&place))
    }
}

impl Delivered {
    /// Whether this number was delivered.
    pub fn has(&self, number: u32) -> bool {
        number <= self.up_to || self.above.contains(&number)
    }

    pub(crate) fn add(&mut self, number: u32) {
        self.above.insert(number);
        while self.above.remove(&(self.up_to + 1)) {
            self.up_to += 1;
        }
    }
}

/// What reports and scenarios ask of a node.
impl Links {
    /// All that it was asked to send, in order.
    pub fn sent(&self) -> &[Sent] {
        &self.sent
    }

    /// All that was delivered here, in order: from whom, which, and what.
    pub fn delivered(&self) -> &[(NodeId, u32, Text)] {
        &self.delivered
    }

    /// How many messages are not acknowledged.
    pub fn unacknowledged_count(&self) -> usize {
        self.unacknowledged.len()
    }

    /// Whether messages are delivered in order.
    pub fn is_fifo(&self) -> bool {
        self.config.order == Order::Fifo
    }
}
