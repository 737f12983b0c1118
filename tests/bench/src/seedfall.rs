//! The workloads on Seedfall.

use crate::workload::{Done, BROADCAST_NODES, PEERS};
use seedfall_net::{Delay, LinkModel, Order, Wire};
use seedfall_sim::{
    Context, Duration, NodeId, Protocol, Recording, RequestId, Seed, Setup, Time, World,
};
use std::collections::BTreeMap;

/// Uniform delays from 1 to 10 ms.
const fn link(loss: u32) -> LinkModel {
    LinkModel {
        delay: Delay::Uniform { min: Duration::millis(1), max: Duration::millis(10) },
        loss,
        duplicate: 0,
        order: Order::Free,
    }
}

fn world<P: Protocol<Config = ()>>(nodes: usize, seed: u64, link: LinkModel) -> World<P, Wire, ()> {
    let setup = Setup {
        seed: Seed(seed),
        nodes,
        clients: 0,
        recording: Recording::Hash,
        overrides: BTreeMap::new(),
    };
    World::new(setup, (), Wire::new(nodes, 0, link), ())
}

/// W1: returns what it is sent, plus one.
struct Pong;

impl Protocol for Pong {
    type Config = ();
    type Message = u64;
    type Timer = ();
    type Record = ();
    type Request = ();
    type Response = ();

    fn start(id: NodeId, (): &(), _: &[()], ctx: &mut Context<'_, Self>) -> Self {
        if id == NodeId::new(0) {
            ctx.send(NodeId::new(1), 0);
        }
        Self
    }
    fn on_message(&mut self, from: NodeId, count: u64, ctx: &mut Context<'_, Self>) {
        ctx.send(from, count + 1);
    }
    fn on_timer(&mut self, (): (), _: &mut Context<'_, Self>) {}
    fn on_request(&mut self, _: RequestId, (): (), _: &mut Context<'_, Self>) {}
}

/// W1.
pub fn ping_pong(round_trips: u64) -> Done {
    let mut world = world::<Pong>(2, 1, link(0));
    for _ in 0..2 * round_trips {
        world.step();
    }
    Done { events: world.counters().delivered, check: world.hash() }
}

/// W3: tells everybody its count, every 10 ms.
struct Beacon {
    count: u64,
    heard: u64,
}

impl Protocol for Beacon {
    type Config = ();
    type Message = u64;
    type Timer = ();
    type Record = ();
    type Request = ();
    type Response = ();

    fn start(_: NodeId, (): &(), _: &[()], ctx: &mut Context<'_, Self>) -> Self {
        ctx.set_timer((), Duration::millis(10));
        Self { count: 0, heard: 0 }
    }
    fn on_message(&mut self, _: NodeId, count: u64, _: &mut Context<'_, Self>) {
        self.heard = self.heard.wrapping_add(count);
    }
    fn on_timer(&mut self, (): (), ctx: &mut Context<'_, Self>) {
        self.count += 1;
        ctx.broadcast(self.count);
        ctx.set_timer((), Duration::millis(10));
    }
    fn on_request(&mut self, _: RequestId, (): (), _: &mut Context<'_, Self>) {}
}

/// W3.
pub fn broadcast(millis: u64) -> Done {
    let mut world = world::<Beacon>(BROADCAST_NODES, 1, link(10_000));
    world.run_until(Time::ZERO + Duration::millis(millis));
    Done { events: world.counters().delivered, check: world.hash() }
}

/// W4.
pub fn start_up(times: u64) -> Done {
    let mut check = 0;
    for seed in 0..times {
        let mut world = world::<Beacon>(PEERS, seed, link(0));
        world.run_until(Time::ZERO + Duration::millis(1));
        check ^= world.hash();
    }
    Done { events: times, check }
}
