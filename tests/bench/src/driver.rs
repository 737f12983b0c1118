//! Our Raft on a peer's network: bytes in, bytes out, and the time of the next timer.
//!
//! A peer's node reads a datagram or waits for the timer, hands it here, and sends what is in the
//! outbox. The journal stands outside, where a crash of the node does not reach it.

use crate::raft::CONFIG;
use seedfall_protocols::raft::{Message, Raft, Record, Request, Response, Timer};
use seedfall_sim::{
    ClientId, Context, Draws, Duration, Effect, Journal, NodeId, Protocol, RequestId, Seed, Time,
};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex};

/// Who a datagram goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A node of the cluster.
    Node(NodeId),
    /// The one host that stands for all clients.
    Clients,
}

/// What is in a datagram.
#[derive(Debug, Serialize, Deserialize)]
pub enum Packet {
    /// From one node to another.
    Message(u16, Message),
    /// From a client: its session, its number.
    Request(u16, u32, Request),
    /// To a client.
    Response(u16, u32, Response),
}

impl Packet {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("every packet can be encoded")
    }

    /// From bytes that [`Packet::encode`] made.
    pub fn decode(bytes: &[u8]) -> Self {
        postcard::from_bytes(bytes).expect("links do not alter messages")
    }
}

/// A journal that survives the crashes of its node.
pub type Disk = Arc<Mutex<Journal<Record>>>;

/// One node.
#[derive(Debug)]
pub struct Driver {
    id: NodeId,
    nodes: usize,
    raft: Raft,
    disk: Disk,
    draws: Draws,
    timers: Vec<(Timer, Time)>,
    effects: Vec<Effect<Raft>>,
    /// What is to be sent now.
    pub outbox: Vec<(Peer, Vec<u8>)>,
}

impl Driver {
    /// A node that comes up at `now`, for the first time or after a crash.
    pub fn start(id: NodeId, nodes: usize, seed: u64, disk: Disk, now: Time) -> Self {
        let mut draws = Draws::new(Seed(seed ^ now.as_nanos()), nodes, 0);
        let mut effects = Vec::new();
        let raft = {
            let journal = disk.lock().expect("no handler panics");
            let mut ctx = Context::new(id, nodes, now, &mut draws, &mut effects);
            Raft::start(id, &CONFIG, journal.records(), &mut ctx)
        };
        let (timers, outbox) = (Vec::new(), Vec::new());
        let mut driver = Self { id, nodes, raft, disk, draws, timers, effects, outbox };
        driver.apply(now);
        driver
    }

    /// When the next timer rings.
    pub fn next_timer(&self) -> Option<Time> {
        self.timers.iter().map(|(_, at)| *at).min()
    }

    /// Rings the timers that are due.
    pub fn ring(&mut self, now: Time) {
        while let Some(due) = self.timers.iter().position(|(_, at)| *at <= now) {
            let (timer, _) = self.timers.swap_remove(due);
            self.call(now, |raft, ctx| raft.on_timer(timer, ctx));
        }
    }

    /// A datagram came.
    pub fn receive(&mut self, bytes: &[u8], now: Time) {
        match Packet::decode(bytes) {
            Packet::Message(from, message) => {
                self.call(now, |raft, ctx| raft.on_message(NodeId::new(from), message, ctx));
            }
            Packet::Request(client, number, request) => {
                let id = RequestId { client: ClientId::new(client), number };
                self.call(now, |raft, ctx| raft.on_request(id, request, ctx));
            }
            Packet::Response(..) => unreachable!("answers go to clients"),
        }
    }

    fn call(&mut self, now: Time, handler: impl FnOnce(&mut Raft, &mut Context<'_, Raft>)) {
        let mut ctx = Context::new(self.id, self.nodes, now, &mut self.draws, &mut self.effects);
        handler(&mut self.raft, &mut ctx);
        self.apply(now);
    }

    fn apply(&mut self, now: Time) {
        let mut disk = self.disk.lock().expect("no handler panics");
        let me = self.id.index() as u16;
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Send(to, message) => {
                    self.outbox.push((Peer::Node(to), Packet::Message(me, message).encode()));
                }
                Effect::Broadcast(message) => {
                    let bytes = Packet::Message(me, message).encode();
                    let others = NodeId::all(self.nodes).filter(|node| *node != self.id);
                    self.outbox.extend(others.map(|node| (Peer::Node(node), bytes.clone())));
                }
                Effect::Respond(RequestId { client, number }, response) => {
                    let packet = Packet::Response(client.index() as u16, number, response);
                    self.outbox.push((Peer::Clients, packet.encode()));
                }
                Effect::Append(record) => disk.append(record),
                Effect::Sync => drop(disk.sync()),
                Effect::SetTimer(timer, after) => set(&mut self.timers, timer, now + after),
                Effect::CancelTimer(timer) => self.timers.retain(|(other, _)| *other != timer),
                Effect::Ignore(_) | Effect::Reach(_) => {}
            }
        }
    }
}

fn set(timers: &mut Vec<(Timer, Time)>, timer: Timer, at: Time) {
    match timers.iter_mut().find(|(other, _)| *other == timer) {
        Some((_, pending)) => *pending = at,
        None => timers.push((timer, at)),
    }
}

/// A span of the engine as one of the standard library, which the peers use.
pub fn std_duration(span: Duration) -> std::time::Duration {
    std::time::Duration::from_nanos(span.as_nanos())
}

/// How long the peers' clocks ran, as the engine's time.
pub fn time(elapsed: std::time::Duration) -> Time {
    Time::from_nanos(elapsed.as_nanos() as u64)
}
