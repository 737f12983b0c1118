//! The workloads on Seedfall, as its users write them: a protocol, a wire, a world. The trace hash
//! is always on.

use seedfall::{Runnable, Trial};
use seedfall_bench::raft::{self, Load, SESSION_PERIOD, SESSIONS};
use seedfall_bench::workload::{self, Done};
use seedfall_net::{Delay, LinkModel, Order, Wire};
use seedfall_protocols::raft::{Raft, Response, invariants};
use seedfall_sim::{
    ClientContext, ClientId, Clients, Context, Duration, Monitor, NodeId, Protocol, Recording,
    RequestId, Seed, Setup, Step, Time, World,
};
use std::collections::BTreeMap;

fn span(span: std::time::Duration) -> Duration {
    Duration::nanos(span.as_nanos() as u64)
}

/// Uniform delays from 1 to 10 ms.
fn link(loss: u32) -> LinkModel {
    LinkModel {
        delay: Delay::Uniform {
            min: span(workload::LATENCY_MIN),
            max: span(workload::LATENCY_MAX),
        },
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
    Done::delivered(world.counters().delivered, world.hash())
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
        ctx.set_timer((), span(workload::BROADCAST_PERIOD));
        Self { count: 0, heard: 0 }
    }
    fn on_message(&mut self, _: NodeId, count: u64, _: &mut Context<'_, Self>) {
        self.heard = self.heard.wrapping_add(count);
    }
    fn on_timer(&mut self, (): (), ctx: &mut Context<'_, Self>) {
        self.count += 1;
        ctx.broadcast(self.count);
        ctx.set_timer((), span(workload::BROADCAST_PERIOD));
    }
    fn on_request(&mut self, _: RequestId, (): (), _: &mut Context<'_, Self>) {}
}

/// W3.
pub fn broadcast(millis: u64) -> Done {
    let mut world =
        world::<Beacon>(workload::BROADCAST_NODES, 1, link(workload::BROADCAST_LOSS_PPM));
    world.run_until(Time::ZERO + Duration::millis(millis));
    Done::delivered(world.counters().delivered, world.hash())
}

/// W4.
pub fn start_up(times: u64) -> Done {
    let mut check = 0;
    for seed in 0..times {
        let mut world = world::<Beacon>(workload::START_NODES, seed, link(0));
        world.run_until(Time::ZERO + span(workload::START_TIME));
        check ^= world.hash();
    }
    Done::plain(times, check)
}

/// W5: the clients, and how many operations were answered.
#[derive(Default)]
struct Users {
    load: Load,
    completed: u64,
}

impl Clients<Raft> for Users {
    type Timer = ();

    fn start(&mut self, client: ClientId, ctx: &mut ClientContext<'_, Raft, Self>) {
        let stagger = SESSION_PERIOD.scale(client.index() as u64, SESSIONS as u64);
        ctx.set_timer((), SESSION_PERIOD + stagger);
    }
    fn on_response(
        &mut self,
        _: NodeId,
        request: RequestId,
        response: Response,
        _: &mut ClientContext<'_, Raft, Self>,
    ) {
        self.completed += u64::from(self.load.on_response(request, &response));
    }
    fn on_timer(&mut self, client: ClientId, (): (), ctx: &mut ClientContext<'_, Raft, Self>) {
        let (to, request, body) = self.load.ask(client);
        ctx.request(to, request.number, body);
        ctx.set_timer((), SESSION_PERIOD);
    }
}

/// W5.
pub fn raft(lives: u64) -> Done {
    let (mut check, mut completed, mut delivered) = (0, 0, 0);
    for seed in 0..lives {
        let setup = Setup {
            seed: Seed(seed),
            nodes: raft::NODES,
            clients: SESSIONS,
            recording: Recording::Hash,
            overrides: BTreeMap::new(),
        };
        let wire = Wire::new(raft::NODES, SESSIONS, link(0));
        let mut world = World::new(setup, raft::CONFIG, wire, Users::default());
        let mut monitor = invariants();
        let mut watch_until = |world: &mut World<Raft, Wire, Users>, limit: Time| {
            while let Some(Step { actor, .. }) = world.step_until(limit) {
                let Some(node) = actor.node() else { continue };
                let Some(state) = world.node(node) else { continue };
                monitor.observe(node, state).expect("this Raft is correct");
            }
            world.advance(limit);
        };
        let mut now = Time::ZERO;
        for turn in 0..raft::LIFE.as_nanos() / raft::CRASH_PERIOD.as_nanos() {
            let victim = NodeId::new((turn % raft::NODES as u64) as u16);
            watch_until(&mut world, now + (raft::CRASH_PERIOD - raft::DOWN));
            world.crash(victim);
            now += raft::CRASH_PERIOD;
            watch_until(&mut world, now);
            world.restart(victim);
        }
        check ^= world.hash();
        delivered += world.counters().delivered;
        completed += world.clients().completed;
    }
    let seconds = lives * raft::LIFE.as_nanos() / 1_000_000_000;
    Done { events: seconds, messages: delivered, completed, check }
}

/// R: whole episodes of the built-in three-node scenario, with every fault of its model and every
/// check.
pub fn episodes(count: u64) -> Done {
    let scenario = seedfall_scenarios::raft_kv::three();
    let (mut check, mut messages, mut completed) = (0, 0, 0);
    for seed in 0..count {
        let report = scenario.run(&Trial::of(Seed(seed)));
        check ^= report.hash;
        messages += report.counters.delivered;
        completed += report.completed;
    }
    Done { events: count, messages, completed, check }
}
