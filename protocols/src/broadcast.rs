//! Broadcast, from best effort to uniform, in any order or first-in-first-out (Cachin, Guerraoui
//! and Rodrigues, *Introduction to Reliable and Secure Distributed Programming*, 2011, chapter 3,
//! cited as CGR; after Hadzilacos and Toueg, *A Modular Approach to Fault-Tolerant Broadcasts and
//! Related Problems*, 1994).
//!
//! *Problem.* A node sends a message to all, and may stop before all have it.
//!
//! *Model.* Links `FairLoss`; nodes `CrashStop`, any number but for [`Kind::Uniform`], which needs
//! a majority; timing `Asynchronous`.
//!
//! *Idea.* Whoever sends repeats until it is acknowledged. With *best effort* that is the sender
//! alone: if it stops, some have the message and others never will. With *reliable* broadcast
//! whoever has it sends it on to all, so that one that stays up is enough. With *uniform* broadcast
//! nobody delivers before a majority has it: then not even a node that stops at once has delivered
//! what others never will.
//!
//! *Properties* (CGR 3.1 to 3.3, 3.9), guarded by [`invariants`] but for `B1` and `B4`:
//! - `B1` Validity: what a node that stays up broadcasts, all that stay up deliver;
//! - `B2` No duplication, `B3` no creation: nothing is delivered twice, or that nobody broadcast;
//! - `B4` Agreement: what one that stays up delivers, all that stay up do (reliable; judged as the
//!   run ends);
//! - `U1` Uniformity: what anybody delivers, a majority has (the lemma of uniform agreement);
//! - `F1` First in, first out: the messages of a node are delivered in the order in which it
//!   broadcast them.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Data`](Message::Data) | who has it | all who are not known to | a message |
//! | [`Have`](Message::Have) | receiver | sender | I have it |
//!
//! *Deviations*
//! - CGR's layers stand on perfect links (2.4); here each repeats by itself.
//! - CGR's eager reliable broadcast sends on once; here, until it is acknowledged, for the same
//!   reason.
//!
//! *What a client must do.* Ask one node, its [`home_of`], which others name; ask again under the
//! same number.
//!
//! *Reading map*
//!
//! | CGR | here |
//! |---|---|
//! | 3.2, best effort (algorithm 3.1) | [`Kind::BestEffort`] |
//! | 3.3, eager reliable (3.3) | [`Kind::Reliable`] |
//! | 3.4, majority-ack uniform reliable (3.5) | [`Kind::Uniform`], `may_deliver` |
//! | 3.9.2, first-in-first-out (3.12) | [`Config::fifo`], `is_next` |

mod invariants;

use crate::kv::Text;
use seedfall_sim::{Context, Duration, NodeId, Protocol, RequestId, SortedMap, SortedSet};

pub use crate::total_order::home_of;
pub use invariants::{Invariants, invariants};

/// The parameters, equal on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// What is promised if senders stop.
    pub kind: Kind,
    /// Whether the messages of a node are delivered in the order in which it broadcast them.
    pub fifo: bool,
    /// After how long a node sends again to those who have not acknowledged: above zero.
    pub retransmit_after: Duration,
}

/// What a broadcast promises if senders stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Kind {
    /// Nothing.
    BestEffort,
    /// Those that stay up deliver the same.
    Reliable,
    /// And what those have delivered that do not.
    Uniform,
}

/// What is broadcast: named by the request for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Item {
    /// Which.
    pub id: RequestId,
    /// Who broadcasts it.
    pub sender: NodeId,
    /// How many that node has broadcast before.
    pub number: u32,
    /// What it says.
    pub text: Text,
}

/// What nodes send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// A message.
    Data(Item),
    /// The sender has it.
    Have(RequestId),
}

/// A node's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// Not all have acknowledged.
    Retransmit,
}

/// What a client asks: broadcast this.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Request(pub Text);

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Response {
    /// Its home has delivered it.
    Delivered,
    /// This node did nothing: the client's home is that one.
    Elsewhere {
        /// Which.
        home: NodeId,
    },
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Broadcaster {
    id: NodeId,
    nodes: usize,
    config: Config,
    /// How many messages of its own it has broadcast.
    sent: u32,
    /// All messages that it has, and who is known to have each.
    items: SortedMap<RequestId, (Item, SortedSet<NodeId>)>,
    /// What it has not delivered yet.
    pending: SortedSet<RequestId>,
    /// Of each node, how many of its messages were delivered.
    next: Vec<u32>,
    delivered: Vec<Item>,
}

impl Protocol for Broadcaster {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = ();
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, _: &[()], ctx: &mut Context<'_, Self>) -> Self {
        assert!(Duration::ZERO < config.retransmit_after, "retransmit_after must be above zero");
        ctx.set_timer(Timer::Retransmit, config.retransmit_after);
        Self {
            id,
            nodes: ctx.nodes(),
            config: *config,
            sent: 0,
            items: SortedMap::new(),
            pending: SortedSet::new(),
            next: vec![0; ctx.nodes()],
            delivered: Vec::new(),
        }
    }

    fn on_request(&mut self, request: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        let home = home_of(request.client, self.nodes);
        if home != self.id {
            return ctx.respond(request, Response::Elsewhere { home });
        }
        if self.items.contains_key(&request) {
            ctx.reach("request: a retry is not broadcast twice");
            if !self.pending.contains(&request) {
                ctx.respond(request, Response::Delivered);
            }
            return;
        }
        let (sender, number) = (self.id, self.sent);
        self.sent += 1;
        let item = Item { id: request, sender, number, text: body.0 };
        self.receive(item, ctx);
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match message {
            Message::Data(item) => {
                let id = item.id;
                ctx.send(from, Message::Have(id));
                if self.items.contains_key(&id) {
                    ctx.ignore("data: known already");
                } else {
                    self.receive(item, ctx);
                }
                self.has(from, id, ctx);
            }
            Message::Have(id) => self.has(from, id, ctx),
        }
    }

    fn on_timer(&mut self, Timer::Retransmit: Timer, ctx: &mut Context<'_, Self>) {
        ctx.set_timer(Timer::Retransmit, self.config.retransmit_after);
        for (item, has) in self.items.values().filter(|(item, _)| self.sends_on(item)) {
            for node in NodeId::all(self.nodes).filter(|node| !has.contains(node)) {
                ctx.send(node, Message::Data(item.clone()));
            }
        }
    }

    fn waits(&self) -> String {
        let waits = |id: &RequestId| format!("to deliver {id}, which {:?} have", self.items[id].1);
        self.pending.iter().map(waits).collect::<Vec<_>>().join("; ")
    }
}

impl Broadcaster {
    /// A message that is new here.
    fn receive(&mut self, item: Item, ctx: &mut Context<'_, Self>) {
        if self.sends_on(&item) {
            if item.sender != self.id {
                ctx.reach("data: sent on");
            }
            ctx.broadcast(Message::Data(item.clone()));
        }
        self.pending.insert(item.id);
        self.items.insert(item.id, (item, SortedSet::from([self.id])));
        self.deliver(ctx);
    }

    /// Whether this node sees to it that all have a message.
    fn sends_on(&self, item: &Item) -> bool {
        item.sender == self.id || self.config.kind != Kind::BestEffort
    }

    fn has(&mut self, node: NodeId, id: RequestId, ctx: &mut Context<'_, Self>) {
        if let Some((_, has)) = self.items.get_mut(&id)
            && has.insert(node)
        {
            self.deliver(ctx);
        }
    }

    /// Delivers whatever may be delivered, which may let more be.
    fn deliver(&mut self, ctx: &mut Context<'_, Self>) {
        while let Some(id) = self.pending.iter().find(|id| self.may_deliver(id)).copied() {
            self.pending.remove(&id);
            let item = self.items[&id].0.clone();
            self.next[item.sender.index()] += 1;
            if item.sender == self.id {
                ctx.respond(id, Response::Delivered);
            }
            self.delivered.push(item);
        }
    }

    fn may_deliver(&self, id: &RequestId) -> bool {
        let (item, has) = &self.items[id];
        let is_safe = self.config.kind != Kind::Uniform || self.nodes / 2 < has.len();
        is_safe && (!self.config.fifo || self.is_next(item))
    }

    fn is_next(&self, item: &Item) -> bool {
        item.number == self.next[item.sender.index()]
    }
}

/// What reports and scenarios ask of a node.
impl Broadcaster {
    /// All that it has delivered, in order.
    pub fn delivered(&self) -> &[Item] {
        &self.delivered
    }

    /// Whether it has a message, delivered or not.
    pub fn has_item(&self, id: RequestId) -> bool {
        self.items.contains_key(&id)
    }

    pub(super) fn items(&self) -> usize {
        self.items.len()
    }
}
