//! What waits for a node, since it is paused, slow or with its disk: it has arrived, and reaches
//! its node in the order of its arrival, whatever the wire does meanwhile.

use seedfall_sim::{
    Address, ClockFault, Context, Draw, Duration, Fate, Network, NodeId, Protocol, Recording,
    Released, RequestId, Seed, Setup, Time, World,
};
use std::collections::BTreeMap;

/// Every node, every ten milliseconds, writes down the count, syncs, and tells everybody.
#[derive(Clone)]
struct Gossip {
    count: u64,
    heard: Vec<(NodeId, u64)>,
}

impl Protocol for Gossip {
    type Config = ();
    type Message = u64;
    type Timer = ();
    type Record = u64;
    type Request = ();
    type Response = ();

    fn start(_: NodeId, (): &(), journal: &[u64], ctx: &mut Context<'_, Self>) -> Self {
        ctx.set_timer((), Duration::millis(10));
        Self { count: journal.len() as u64, heard: Vec::new() }
    }
    fn on_message(&mut self, from: NodeId, message: u64, _: &mut Context<'_, Self>) {
        self.heard.push((from, message));
    }
    fn on_timer(&mut self, (): (), ctx: &mut Context<'_, Self>) {
        self.count += 1;
        ctx.append(self.count);
        ctx.sync();
        ctx.broadcast(self.count);
        ctx.set_timer((), Duration::millis(10));
    }
    fn on_request(&mut self, _: RequestId, (): (), _: &mut Context<'_, Self>) {}
}

/// Five milliseconds a message; nothing is let in while it is cut.
#[derive(Clone, Default)]
struct Wire {
    is_cut: bool,
}

impl Network for Wire {
    fn fate(&mut self, _: Time, _: Address, _: Address, _: Draw) -> Fate {
        Fate::Deliver(Duration::millis(5))
    }
    fn admit(&mut self, _: Time, _: Address, _: Address) -> Result<(), &'static str> {
        if self.is_cut { Err("partition") } else { Ok(()) }
    }
}

type Cluster = World<Gossip, Wire, ()>;

const N1: NodeId = NodeId::new(0);
const N2: NodeId = NodeId::new(1);

fn cluster() -> Cluster {
    let overrides = BTreeMap::new();
    let recording = Recording::Hash;
    let setup = Setup { seed: Seed(1), nodes: 3, clients: 0, recording, overrides };
    World::new(setup, (), Wire::default(), ())
}

fn after(millis: u64) -> Time {
    Time::ZERO + Duration::millis(millis)
}

/// What n1 has heard of n2.
fn heard(world: &Cluster) -> Vec<u64> {
    let all = &world.node(N1).expect("it is up").heard;
    all.iter().filter(|(from, _)| *from == N2).map(|(_, count)| *count).collect()
}

#[test]
fn what_reached_a_paused_node_is_cut_by_no_later_partition() {
    let mut world = cluster();
    assert!(world.pause(N1));
    world.run_until(after(100));
    assert_eq!(world.counters().deferred, 9 + 9 + 1, "two neighbours and its own timer");
    world.network_mut().is_cut = true;
    let dropped = world.counters().dropped;
    assert!(world.resume(N1));
    world.run_until(after(101));
    assert_eq!(heard(&world), (1..=9).collect::<Vec<_>>());
    assert_eq!(world.counters().dropped, dropped, "all of it had arrived");
}

#[test]
fn what_reached_a_slow_node_is_cut_by_no_later_partition() {
    let mut world = cluster();
    world.slow_down(N1, Duration::millis(100));
    world.run_until(after(40));
    assert_eq!(heard(&world), [] as [u64; 0], "n1 is busy with its own timer, or with n3");
    world.network_mut().is_cut = true;
    world.slow_down(N1, Duration::ZERO);
    world.run_until(after(150));
    assert_eq!(heard(&world), [1, 2, 3]);
}

/// What comes while a node that was paused catches up does not overtake what waited.
#[test]
fn what_waited_for_a_paused_node_comes_before_what_comes_later() {
    let mut world = cluster();
    assert!(world.pause(N1));
    // The next message of n2 is two nanoseconds away, and more than two are waiting.
    let resumed = Time::from_nanos(after(95).as_nanos() - 2);
    world.run_until(resumed);
    assert!(world.resume(N1));
    world.run_until(after(96));
    assert_eq!(heard(&world), (1..=9).collect::<Vec<_>>());
}

#[test]
fn a_node_that_catches_up_can_be_paused_again() {
    let mut world = cluster();
    assert!(world.pause(N1));
    world.run_until(after(101));
    assert!(world.resume(N1));
    world.run_until(Time::from_nanos(after(101).as_nanos() + 1));
    let few = heard(&world).len();
    assert!(world.pause(N1), "with {few} of 9 messages of n2 handled");
    world.run_until(after(201));
    assert_eq!(heard(&world).len(), few);
    assert!(world.resume(N1));
    world.run_until(after(202));
    assert_eq!(heard(&world), (1..=19).collect::<Vec<_>>());
}

/// A pause does not wait until a node has nothing to do: it may strike in the middle of a handler.
#[test]
fn a_busy_node_can_be_paused() {
    let mut world = cluster();
    world.stall_disk(N1, Duration::millis(3));
    world.run_until(after(11));
    assert!(world.is_mid_handler(N1), "its disk has two milliseconds to go");
    assert!(world.pause(N1));
    assert!(!world.pause(N1), "it is paused already");
    world.run_until(after(30));
    assert!(world.is_mid_handler(N1), "it does not see that its disk is done");
    assert_eq!(world.journal(N1).synced(), 0);
    assert!(world.resume(N1));
    world.run_until(after(31));
    assert_eq!(world.journal(N1).synced(), 1);
    assert_eq!(heard(&world), [1, 2], "of 10 and 20 ms");
    // Where it is resumed before its disk is done, it goes on when that is.
    world.run_until(Time::from_nanos(after(41).as_nanos()));
    assert!(world.is_mid_handler(N1) && world.pause(N1) && world.resume(N1));
    assert!(world.is_mid_handler(N1));
    world.run_until(after(45));
    assert_eq!(world.journal(N1).synced(), 2);
}

#[test]
fn who_waits_for_a_disk_does_not_wait_for_a_slow_node() {
    let mut world = cluster();
    world.stall_disk(N1, Duration::millis(9));
    world.run_until(after(200));
    assert!(world.counters().stalled > 10);
    assert_eq!(world.counters().slowed, 0);
    world.stall_disk(N1, Duration::ZERO);
    world.slow_down(N1, Duration::millis(2));
    world.run_until(after(400));
    assert!(world.counters().slowed > 10);
}

#[test]
fn clocks_that_are_wrong_in_one_way_are_not_wrong_in_another() {
    let mut world = cluster();
    let mut wrong = |fault| {
        let before = *world.counters();
        world.begin_clock_fault(N1, fault);
        world.run_until(world.now() + Duration::millis(50));
        world.end_clock_fault(N1, fault);
        let after = world.counters();
        let moved = after.timers_moved > before.timers_moved;
        (after.misled > before.misled, after.drifted > before.drifted, moved)
    };
    assert_eq!(wrong(ClockFault::Step { nanos: 1 }), (true, false, false));
    assert_eq!(wrong(ClockFault::Freeze), (true, false, false));
    assert_eq!(wrong(ClockFault::Drift { ppm: 1 }), (false, true, false));
    assert_eq!(wrong(ClockFault::Late { by: Duration::nanos(1) }), (false, false, true));
}

/// A message that the network lets go arrives when it says, and no other does.
#[test]
fn a_message_that_is_released_arrives_earlier() {
    let mut world = cluster();
    world.run_until(after(12));
    let [from, to] = [Address::from(N2), Address::from(N1)];
    let released = |index, was, arrives| Released { from, to, index, was, arrives };
    // There is none of these: another number, another time.
    world.release(&[released(1, after(15), after(12)), released(0, after(16), after(12))]);
    world.run_until(after(13));
    assert_eq!(heard(&world), [] as [u64; 0]);
    world.release(&[released(0, after(15), after(14))]);
    world.run_until(after(14));
    assert_eq!(heard(&world), [1]);
    world.run_until(after(100));
    assert_eq!(heard(&world), (1..=9).collect::<Vec<_>>(), "once");
}
