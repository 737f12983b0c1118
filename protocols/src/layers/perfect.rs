//! Perfect links, in any order or first-in-first-out (CGR 2.4.3 and 2.4.4).

use super::Layer;
use crate::links::{Delivered, Order};
use seedfall_sim::{
    Context, Draw, Duration, Effect, NodeId, Protocol, RequestId, Signer, SortedMap,
};

/// The parameters, equal on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Config<C> {
    /// In which order messages are handed up.
    pub order: Order,
    /// After how long without an acknowledgement a message is sent again: above zero.
    pub retransmit_after: Duration,
    /// Those of the protocol above.
    pub above: C,
}

/// What nodes send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message<M> {
    /// A message of the protocol above.
    Data {
        /// Counts those of the sender to the receiver, from one.
        number: u32,
        /// What it says.
        message: M,
    },
    /// It was handed up.
    Ack {
        /// Which.
        number: u32,
    },
}

/// A node's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer<T> {
    /// Some are not acknowledged.
    Retransmit,
    /// One of the protocol above.
    Above(T),
}

/// One node: the protocol above, and the ends of its links to all others.
#[derive(Clone, Debug)]
pub struct Perfect<P: Protocol> {
    id: NodeId,
    above: P,
    order: Order,
    retransmit_after: Duration,
    /// How many messages it has sent to each node.
    sent: SortedMap<NodeId, u32>,
    unacknowledged: SortedMap<(NodeId, u32), P::Message>,
    /// Of each node: which numbers were handed up ...
    received: SortedMap<NodeId, Delivered>,
    /// ... and in which order.
    handed_up: SortedMap<NodeId, Vec<u32>>,
    /// What came too early.
    early: SortedMap<(NodeId, u32), P::Message>,
}

impl<P: Protocol> Protocol for Perfect<P> {
    type Config = Config<P::Config>;
    type Message = Message<P::Message>;
    type Timer = Timer<P::Timer>;
    type Record = P::Record;
    type Request = P::Request;
    type Response = P::Response;

    fn start(
        id: NodeId,
        config: &Self::Config,
        journal: &[P::Record],
        ctx: &mut Context<'_, Self>,
    ) -> Self {
        assert!(Duration::ZERO < config.retransmit_after, "retransmit_after must be above zero");
        let (above, effects) = ctx.part(|ctx| P::start(id, &config.above, journal, ctx));
        let mut node = Self {
            id,
            above,
            order: config.order,
            retransmit_after: config.retransmit_after,
            sent: SortedMap::new(),
            unacknowledged: SortedMap::new(),
            received: SortedMap::new(),
            handed_up: SortedMap::new(),
            early: SortedMap::new(),
        };
        node.perform(effects, ctx);
        node
    }

    fn on_request(&mut self, request: RequestId, body: P::Request, ctx: &mut Context<'_, Self>) {
        let ((), effects) = ctx.part(|ctx| self.above.on_request(request, body, ctx));
        self.perform(effects, ctx);
    }

    fn on_message(&mut self, from: NodeId, message: Self::Message, ctx: &mut Context<'_, Self>) {
        match message {
            Message::Data { number, message } => self.on_data(from, number, message, ctx),
            Message::Ack { number } => {
                if self.unacknowledged.remove(&(from, number)).is_none() {
                    return ctx.ignore("ack: known already");
                }
                if self.unacknowledged.is_empty() {
                    ctx.cancel_timer(Timer::Retransmit);
                }
            }
        }
    }

    fn on_timer(&mut self, timer: Self::Timer, ctx: &mut Context<'_, Self>) {
        match timer {
            // Stubborn: over a fair-loss link, one of many arrives.
            Timer::Retransmit => {
                ctx.reach("link: sends again");
                for ((to, number), message) in &self.unacknowledged {
                    let (number, message) = (*number, message.clone());
                    ctx.send(*to, Message::Data { number, message });
                }
                ctx.set_timer(Timer::Retransmit, self.retransmit_after);
            }
            Timer::Above(timer) => {
                let ((), effects) = ctx.part(|ctx| self.above.on_timer(timer, ctx));
                self.perform(effects, ctx);
            }
        }
    }

    fn is_leader(&self) -> bool {
        self.above.is_leader()
    }

    fn waits(&self) -> String {
        let open: Vec<_> = self.unacknowledged.keys().collect();
        match (self.above.waits(), open.is_empty()) {
            (above, true) => above,
            (above, false) => format!("{above}; for acknowledgements of {open:?}"),
        }
    }

    /// What the message says.
    fn mutate(message: &mut Self::Message, draw: &mut Draw) -> bool {
        match message {
            Message::Data { message, .. } => P::mutate(message, draw),
            Message::Ack { .. } => false,
        }
    }

    fn falsify(message: &mut Self::Message, me: Signer, draw: &mut Draw) -> bool {
        match message {
            Message::Data { message, .. } => P::falsify(message, me, draw),
            Message::Ack { .. } => false,
        }
    }
}

impl<P: Protocol> Perfect<P> {
    /// A number is handed up once, and acknowledged whenever it comes. First in, first out: what is
    /// early waits, and is acknowledged when its turn has come.
    fn on_data(
        &mut self,
        from: NodeId,
        number: u32,
        message: P::Message,
        ctx: &mut Context<'_, Self>,
    ) {
        let received = self.received.entry(from).or_default();
        if received.has(number) {
            ctx.reach("link: handed up already");
            return ctx.send(from, Message::Ack { number });
        }
        if self.order == Order::Fifo && received.up_to + 1 < number {
            ctx.reach("link: waits for an earlier message");
            self.early.insert((from, number), message);
            return;
        }
        self.hand_up(from, number, message, ctx);
        let mut next = number + 1;
        while let Some(message) = self.early.remove(&(from, next)) {
            self.hand_up(from, next, message, ctx);
            next += 1;
        }
    }

    fn hand_up(
        &mut self,
        from: NodeId,
        number: u32,
        message: P::Message,
        ctx: &mut Context<'_, Self>,
    ) {
        self.received.entry(from).or_default().add(number);
        self.handed_up.entry(from).or_default().push(number);
        ctx.send(from, Message::Ack { number });
        let ((), effects) = ctx.part(|ctx| self.above.on_message(from, message, ctx));
        self.perform(effects, ctx);
    }

    fn send(&mut self, to: NodeId, message: P::Message, ctx: &mut Context<'_, Self>) {
        if self.unacknowledged.is_empty() {
            ctx.set_timer(Timer::Retransmit, self.retransmit_after);
        }
        let number = self.sent.entry(to).or_insert(0);
        *number += 1;
        self.unacknowledged.insert((to, *number), message.clone());
        ctx.send(to, Message::Data { number: *number, message });
    }

    /// The effects of the protocol above, as those of the whole.
    fn perform(&mut self, effects: Vec<Effect<P>>, ctx: &mut Context<'_, Self>) {
        for effect in effects {
            match effect {
                Effect::Send(to, message) => self.send(to, message, ctx),
                Effect::Broadcast(message) => {
                    let here = ctx.id();
                    for to in NodeId::all(ctx.nodes()).filter(|to| *to != here) {
                        self.send(to, message.clone(), ctx);
                    }
                }
                Effect::Respond(request, response) => ctx.respond(request, response),
                Effect::Append(record) => ctx.append(record),
                Effect::Sync => ctx.sync(),
                Effect::SetTimer(timer, after) => ctx.set_timer(Timer::Above(timer), after),
                Effect::CancelTimer(timer) => ctx.cancel_timer(Timer::Above(timer)),
                Effect::Ignore(why) => ctx.ignore(why),
                Effect::Reach(what) => ctx.reach(what),
            }
        }
    }

    /// What was handed up of each node, by number, in order.
    pub fn handed_up(&self) -> &SortedMap<NodeId, Vec<u32>> {
        &self.handed_up
    }

    /// Whether it was told that a node has a message which that node was not handed.
    pub fn is_deceived_by(&self, to: NodeId, node: &Self) -> bool {
        let sent = self.sent.get(&to).copied().unwrap_or(0);
        let received = node.received.get(&self.id);
        (1..=sent).any(|number| {
            !self.unacknowledged.contains_key(&(to, number))
                && !received.is_some_and(|received| received.has(number))
        })
    }

    /// Whether messages are handed up in the order of sending.
    pub fn is_fifo(&self) -> bool {
        self.order == Order::Fifo
    }
}

impl<P: Protocol> Layer for Perfect<P> {
    type Above = P;

    fn above(&self) -> &P {
        &self.above
    }
}
