//! Total-order broadcast by timestamps that all agree on: Skeen's algorithm, as ABCAST of Birman
//! and Joseph, *Reliable Communication in the Presence of Failures*, TOCS 1987, section 4 (cited as
//! BJ); "destinations agreement" in Défago, Schiper and Urbán, *Total Order Broadcast and Multicast
//! Algorithms: Taxonomy and Survey*, ACM Computing Surveys 2004.
//!
//! *Problem.* Nodes deliver messages, all of them in the same order.
//!
//! *Model.* Links `FairLoss`; nodes `CrashRecovery`; timing `Asynchronous`. Each message waits for
//! all nodes: one that stays down stops all delivery (BJ take it out by a change of view).
//!
//! *Idea.* Whoever receives a message gives it a *tentative* timestamp, above all that it has seen.
//! The sender takes the highest of them, which is *final*, and tells all. A node delivers the
//! message with the lowest timestamp once that is final: one that is tentative can only rise, and
//! one that is yet to come gets a higher one.
//!
//! *Properties*, guarded by [`invariants`] but for TO4 and S1:
//! - TO1 total order: the nodes deliver the same messages at the same places;
//! - TO2 integrity: nothing is delivered twice; what is delivered stays, crash or no crash;
//! - TO3 the final timestamps of what a node delivers rise;
//! - TO4 agreement: what one node delivers, all do (judged at the end of the run);
//! - TO5 the tentative timestamp that a node gives a message stays, crash or no crash, until the
//!   final one, which is no lower; and the node delivers nothing of a higher one before;
//! - S1 the places that clients are told are those of one log (judged on the history).
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Propose`](Message::Propose) | sender | all | a message: what timestamp? |
//! | [`Tentative`](Message::Tentative) | receiver | sender | this one, durably |
//! | [`Final`](Message::Final) | sender | all | the highest of all |
//! | [`Ack`](Message::Ack) | receiver | sender | known, durably |
//!
//! *Journal records* ([`Record`]), each synced before anything is said of it.
//!
//! *Deviations*
//! - BJ's sites fail for good and leave the group; here they come back, and nobody leaves.
//! - Everything is repeated until it is answered (BJ have reliable channels).
//! - Timestamps that are equal are told apart by the message.
//!
//! *What a client must do.* Ask one node, its [`home_of`], which others name; ask again under the
//! same number.
//!
//! *Reading map*
//!
//! | BJ, section 4 | here |
//! |---|---|
//! | the sender | `on_request`, `on_tentative`, `on_ack` |
//! | a recipient: priority, deliverable or undeliverable | `hold`, `settle`, `deliver` |

mod invariants;

use crate::kv::Text;
use seedfall_sim::{ClientId, Context, Duration, NodeId, Protocol, RequestId, SortedMap};

pub use invariants::{Invariants, invariants};

/// The parameters, equal on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// After how long a sender asks again who has not answered: above zero.
    pub retransmit_after: Duration,
}

/// A message is named by the request for it.
pub type MessageId = RequestId;

/// What nodes send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// What timestamp should this have?
    Propose {
        /// Which message.
        id: MessageId,
        /// What it says.
        text: Text,
    },
    /// This one, as far as the sender of this is concerned.
    Tentative {
        /// Which message.
        id: MessageId,
        /// Its timestamp.
        at: u32,
    },
    /// It has this one.
    Final {
        /// Which message.
        id: MessageId,
        /// Its timestamp.
        at: u32,
    },
    /// That is known.
    Ack {
        /// Of which message.
        id: MessageId,
    },
}

/// A node's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// Not all have answered about this message.
    Retransmit(MessageId),
}

/// What a node writes to its journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Record {
    /// A message has this tentative timestamp here.
    Held {
        /// Which message.
        id: MessageId,
        /// What it says.
        text: Text,
        /// Its timestamp.
        at: u32,
    },
    /// It has this final one.
    Settled {
        /// Which message.
        id: MessageId,
        /// Its timestamp.
        at: u32,
    },
}

/// What a client asks: broadcast this.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Request(pub Text);

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Response {
    /// It is delivered, after so many others.
    Delivered {
        /// How many.
        place: u64,
    },
    /// This node did nothing: the client's home is that one.
    Elsewhere {
        /// Which.
        home: NodeId,
    },
}

/// A message that is not delivered yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pending {
    text: Text,
    at: u32,
    is_final: bool,
}

/// A message of this node's, until all know its final timestamp.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Outgoing {
    text: Text,
    /// The tentative timestamps of those who have answered.
    tentative: SortedMap<NodeId, u32>,
    /// Who knows the final one.
    acked: Vec<NodeId>,
}

/// A message that is delivered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Delivered {
    /// Which.
    pub id: MessageId,
    /// Its final timestamp.
    pub at: u32,
    /// What it says.
    pub text: Text,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Broadcast {
    id: NodeId,
    nodes: usize,
    config: Config,
    /// The highest timestamp that it has seen.
    clock: u32,
    pending: SortedMap<MessageId, Pending>,
    outgoing: SortedMap<MessageId, Outgoing>,
    delivered: Vec<Delivered>,
}

impl Protocol for Broadcast {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        assert!(Duration::ZERO < config.retransmit_after, "retransmit_after must be above zero");
        let mut node = Self {
            id,
            nodes: ctx.nodes(),
            config: *config,
            clock: 0,
            pending: SortedMap::new(),
            outgoing: SortedMap::new(),
            delivered: Vec::new(),
        };
        for record in journal.iter().cloned() {
            match record {
                Record::Held { id, text, at } => node.hold(id, text, at),
                Record::Settled { id, at } => drop(node.settle(id, at)),
            }
        }
        node.resume(ctx);
        node
    }

    fn on_request(&mut self, request: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        let home = home_of(request.client, self.nodes);
        if home != self.id {
            return ctx.respond(request, Response::Elsewhere { home });
        }
        if let Some(place) = self.delivered.iter().position(|one| one.id == request) {
            ctx.reach("request: a retry is not broadcast twice");
            return ctx.respond(request, Response::Delivered { place: place as u64 });
        }
        if self.outgoing.contains_key(&request) {
            return ctx.ignore("request: already under way");
        }
        let Request(text) = body;
        let at = self.propose(request, text.clone(), ctx);
        self.outgoing.insert(request, Outgoing { text, ..Outgoing::default() });
        self.tell(request, ctx);
        self.on_tentative(self.id, request, at, ctx);
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match message {
            Message::Propose { id, text } => {
                if self.delivered.iter().any(|one| one.id == id) {
                    return ctx.ignore("propose: delivered already");
                }
                let at = self.propose(id, text, ctx);
                ctx.send(from, Message::Tentative { id, at });
            }
            Message::Tentative { id, at } => self.on_tentative(from, id, at, ctx),
            Message::Final { id, at } => {
                self.on_final(id, at, ctx);
                ctx.send(from, Message::Ack { id });
            }
            Message::Ack { id } => self.on_ack(from, id, ctx),
        }
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) {
        let Timer::Retransmit(id) = timer;
        self.tell(id, ctx);
    }

    fn waits(&self) -> String {
        let own = self.outgoing.iter().map(|(id, outgoing)| {
            let has: Vec<_> = outgoing.tentative.keys().chain(&outgoing.acked).collect();
            format!("{id}: for answers of all, has {has:?}")
        });
        let others = self.pending.iter().filter(|(_, one)| !one.is_final);
        let others =
            others.map(|(id, one)| format!("{id}: for its final timestamp, has {}", one.at));
        own.chain(others).collect::<Vec<_>>().join("; ")
    }
}

/// The sender.
impl Broadcast {
    /// A tentative timestamp. Once all have answered, the highest is final.
    fn on_tentative(&mut self, from: NodeId, id: MessageId, at: u32, ctx: &mut Context<'_, Self>) {
        let Some(outgoing) = self.outgoing.get_mut(&id).filter(|one| !one.is_agreed(self.nodes))
        else {
            return ctx.ignore("tentative: it is final");
        };
        outgoing.tentative.insert(from, at);
        if outgoing.is_agreed(self.nodes) {
            let at = outgoing.highest();
            outgoing.acked.push(self.id);
            self.on_final(id, at, ctx);
            self.tell(id, ctx);
        }
    }

    fn on_ack(&mut self, from: NodeId, id: MessageId, ctx: &mut Context<'_, Self>) {
        let Some(outgoing) = self.outgoing.get_mut(&id) else {
            return ctx.ignore("ack: all have acknowledged");
        };
        if !outgoing.acked.contains(&from) {
            outgoing.acked.push(from);
        }
        if outgoing.acked.len() == self.nodes {
            self.outgoing.remove(&id);
            ctx.cancel_timer(Timer::Retransmit(id));
        }
    }

    /// Tells those who have not answered.
    fn tell(&self, id: MessageId, ctx: &mut Context<'_, Self>) {
        let Some(outgoing) = self.outgoing.get(&id) else { return };
        for other in NodeId::all(self.nodes).filter(|other| *other != self.id) {
            if !outgoing.is_agreed(self.nodes) && !outgoing.tentative.contains_key(&other) {
                ctx.send(other, Message::Propose { id, text: outgoing.text.clone() });
            } else if outgoing.is_agreed(self.nodes) && !outgoing.acked.contains(&other) {
                ctx.send(other, Message::Final { id, at: outgoing.highest() });
            }
        }
        ctx.set_timer(Timer::Retransmit(id), self.config.retransmit_after);
    }

    /// After a crash: nobody knows which of its own messages all have answered.
    fn resume(&mut self, ctx: &mut Context<'_, Self>) {
        let is_own = |id: &MessageId| home_of(id.client, self.nodes) == self.id;
        let pending = self.pending.iter().filter(|(id, _)| is_own(id));
        let open = pending.map(|(id, one)| (*id, one.text.clone(), one.at, one.is_final));
        let delivered = self.delivered.iter().filter(|one| is_own(&one.id));
        let done = delivered.map(|one| (one.id, one.text.clone(), one.at, true));
        for (id, text, at, is_final) in open.chain(done).collect::<Vec<_>>() {
            ctx.reach("recovery: a message of its own is told again");
            let (mut tentative, mut acked) = (SortedMap::from([(self.id, at)]), Vec::new());
            if is_final {
                tentative = NodeId::all(self.nodes).map(|node| (node, at)).collect();
                acked.push(self.id);
            }
            self.outgoing.insert(id, Outgoing { text, tentative, acked });
            self.tell(id, ctx);
        }
    }
}

/// The recipients.
impl Broadcast {
    /// The tentative timestamp of a message: above all that were seen.
    fn propose(&mut self, id: MessageId, text: Text, ctx: &mut Context<'_, Self>) -> u32 {
        if let Some(pending) = self.pending.get(&id) {
            return pending.at; // Asked twice: said twice.
        }
        let at = self.clock + 1;
        ctx.append(Record::Held { id, text: text.clone(), at });
        ctx.sync();
        self.hold(id, text, at);
        at
    }

    fn hold(&mut self, id: MessageId, text: Text, at: u32) {
        self.clock = self.clock.max(at);
        self.pending.insert(id, Pending { text, at, is_final: false });
    }

    fn on_final(&mut self, id: MessageId, at: u32, ctx: &mut Context<'_, Self>) {
        if self.pending.get(&id).is_none_or(|pending| pending.is_final) {
            return ctx.ignore("final: known already");
        }
        if self.pending[&id].at < at {
            ctx.reach("final: higher than here");
        }
        ctx.append(Record::Settled { id, at });
        ctx.sync();
        let before = self.delivered.len();
        if !self.settle(id, at) {
            ctx.reach("deliver: one with a lower timestamp is not final");
        }
        for (place, one) in self.delivered.iter().enumerate().skip(before) {
            if home_of(one.id.client, self.nodes) == self.id {
                ctx.respond(one.id, Response::Delivered { place: place as u64 });
            }
        }
    }

    /// A timestamp is final. Whether something can be delivered.
    fn settle(&mut self, id: MessageId, at: u32) -> bool {
        self.clock = self.clock.max(at); // What is yet to come is to be delivered later.
        let pending = self.pending.get_mut(&id).expect("it was held before");
        (pending.at, pending.is_final) = (at, true);
        self.deliver()
    }

    /// Delivers what has the lowest timestamp of all, as long as that is final.
    fn deliver(&mut self) -> bool {
        let before = self.delivered.len();
        while let Some(id) = self.lowest() {
            let Pending { text, at, is_final } = &self.pending[&id];
            if !is_final {
                break;
            }
            self.delivered.push(Delivered { id, at: *at, text: text.clone() });
            self.pending.remove(&id);
        }
        before < self.delivered.len()
    }

    /// Which message has the lowest timestamp; of two with the same, the one with the lower name.
    fn lowest(&self) -> Option<MessageId> {
        let lowest = self.pending.iter().min_by_key(|(id, one)| (one.at, **id));
        lowest.map(|(id, _)| *id)
    }
}

impl Outgoing {
    fn is_agreed(&self, nodes: usize) -> bool {
        self.tentative.len() == nodes
    }

    fn highest(&self) -> u32 {
        self.tentative.values().copied().max().unwrap_or(0)
    }
}

/// What reports and scenarios ask of a node.
impl Broadcast {
    /// All that it has delivered, in order.
    pub fn delivered(&self) -> &[Delivered] {
        &self.delivered
    }
}

/// The node that a client asks.
pub fn home_of(client: ClientId, nodes: usize) -> NodeId {
    NodeId::new((client.index() % nodes) as u16)
}
