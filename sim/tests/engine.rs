//! The engine's promises, one test each, on a protocol small enough to be read with them.

use seedfall_sim::{
    Address, Context, CrashPoint, Draw, DrawAddress, Duration, EffectKind, Fate, Kind, Network,
    NodeId, Override, Protocol, Recording, RequestId, Seed, Setup, Site, Time, World,
};
use std::collections::BTreeMap;

/// Every node, when its timer rings, writes down the count, syncs, and tells everybody.
#[derive(Clone)]
struct Gossip {
    count: u64,
    heard: Vec<(NodeId, u64)>,
}

impl Protocol for Gossip {
    type Config = ();
    type Message = u64;
    type Timer = &'static str;
    type Record = u64;
    type Request = ();
    type Response = ();

    fn start(_: NodeId, (): &(), journal: &[u64], ctx: &mut Context<'_, Self>) -> Self {
        ctx.set_timer("tick", Duration::millis(10));
        ctx.set_timer("never", Duration::millis(5));
        ctx.cancel_timer("never");
        Self { count: journal.len() as u64, heard: Vec::new() }
    }
    fn on_message(&mut self, from: NodeId, message: u64, _: &mut Context<'_, Self>) {
        self.heard.push((from, message));
    }
    fn on_timer(&mut self, timer: &'static str, ctx: &mut Context<'_, Self>) {
        assert_eq!(timer, "tick");
        self.count += 1;
        ctx.append(self.count);
        ctx.sync();
        ctx.broadcast(self.count);
        ctx.set_timer("tick", Duration::millis(10));
    }
    fn on_request(&mut self, _: RequestId, (): (), _: &mut Context<'_, Self>) {}
}

/// Uniform delay up to 20 ms, a tenth lost.
#[derive(Clone)]
struct Lossy;

impl Network for Lossy {
    fn fate(&mut self, _: Time, _: Address, _: Address, mut draw: Draw) -> Fate {
        if draw.chance(100_000) {
            return Fate::Drop("loss");
        }
        Fate::Deliver(draw.duration(Duration::ZERO..Duration::millis(20)))
    }
}

type Cluster = World<Gossip, Lossy, ()>;

const N1: NodeId = NodeId::new(0);
const N2: NodeId = NodeId::new(1);

fn cluster_with(seed: u64, overrides: BTreeMap<DrawAddress, Override>) -> Cluster {
    let recording = Recording::Full;
    World::new(
        Setup { seed: Seed(seed), nodes: 3, clients: 0, recording, overrides },
        (),
        Lossy,
        (),
    )
}

fn cluster(seed: u64) -> Cluster {
    cluster_with(seed, BTreeMap::new())
}

fn after(millis: u64) -> Time {
    Time::ZERO + Duration::millis(millis)
}

#[test]
fn a_seed_replays_bit_for_bit_and_another_differs() {
    let hash = |seed| {
        let mut world = cluster(seed);
        world.run_until(after(1_000));
        (world.hash(), world.trace().count())
    };
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}

#[test]
fn a_clone_goes_on_as_the_original_does() {
    let mut world = cluster(3);
    world.run_until(after(500));
    let mut copy = world.clone();
    world.run_until(after(1_000));
    assert_ne!(copy.hash(), world.hash());
    copy.run_until(after(1_000));
    assert_eq!(copy.hash(), world.hash());
}

#[test]
fn an_override_changes_the_hash_and_its_message_alone() {
    let site = Site::Link(N1.into(), N2.into());
    let mut plain = cluster(4);
    plain.run_until(after(1_000));
    let dropped = plain
        .trace()
        .events()
        .find(|entry| entry.event.kind == Kind::Drop && entry.event.peer == N2.into())
        .expect("a tenth of 200 messages to n2 are lost")
        .event;
    let site = Site::Link(dropped.actor, site_end(site));
    let address = DrawAddress { site, ordinal: dropped.ordinal };
    let mut revised = cluster_with(4, BTreeMap::from([(address, Override::Nominal)]));
    revised.run_until(after(1_000));
    assert_eq!(revised.counters().dropped, plain.counters().dropped - 1);
    assert_ne!(revised.hash(), plain.hash());
}

fn site_end(site: Site) -> Address {
    match site {
        Site::Link(_, to) => to,
        _ => unreachable!("asked of a link"),
    }
}

#[test]
fn a_crash_ends_timers_and_a_restart_reads_the_journal() {
    let mut world = cluster(5);
    world.run_until(after(55));
    assert!(world.crash(N1));
    assert!(!world.crash(N1), "it is down already");
    assert!(world.node(N1).is_none());
    let sent = world.node(N2).expect("up").count;
    world.run_until(after(105));
    assert_eq!(world.journal(N1).records().len(), 5, "synced before each broadcast");
    assert!(world.counters().lost > 0, "messages to a dead node are lost");
    assert!(world.restart(N1));
    assert!(!world.restart(N1));
    assert_eq!(world.node(N1).expect("up").count, 5);
    assert_eq!(sent, 5);
}

#[test]
fn a_crash_point_lies_between_two_effects() {
    for (point, records, sends) in [
        (CrashPoint::Before(EffectKind::Append), 0, false),
        (CrashPoint::After(EffectKind::Append), 0, false),
        (CrashPoint::Before(EffectKind::Sync), 0, false),
        (CrashPoint::After(EffectKind::Sync), 1, false),
        (CrashPoint::Before(EffectKind::Send), 1, false),
        (CrashPoint::After(EffectKind::Send), 1, true),
    ] {
        let mut world = cluster(6);
        assert!(world.arm_crash(N1, point));
        world.run_until(after(15));
        assert!(world.node(N1).is_none(), "{point:?}");
        assert_eq!(world.counters().crashes_inside, 1);
        let left = world.journal(N1).records().len();
        // An un-synced record may have reached the disk all the same.
        assert!(left == records || (records == 0 && left == 1), "{point:?} left {left}");
        let sent = world
            .trace()
            .events()
            .any(|entry| entry.event.kind == Kind::Send && entry.event.actor == N1.into());
        assert_eq!(sent, sends, "{point:?}");
    }
}

#[test]
fn a_paused_node_sees_later_what_reached_it_and_in_order() {
    let mut world = cluster(7);
    assert!(world.pause(N1));
    world.run_until(after(100));
    assert_eq!(world.node(N1).expect("paused, not down").count, 0);
    assert!(world.counters().deferred > 0);
    assert!(world.resume(N1));
    world.run_until(after(101));
    let node = world.node(N1).expect("up");
    assert_eq!(node.count, 1, "its one timer rang late");
    assert!(node.heard.len() > 10);
}

#[test]
fn a_cancelled_timer_never_rings() {
    let mut world = cluster(8);
    world.run_until(after(1_000));
    assert!(world.trace().events().all(|entry| entry.text != "\"never\""));
    assert_eq!(world.counters().timers, 300);
}

#[test]
fn ties_are_broken_differently_by_different_seeds() {
    let first = |seed| {
        let mut world = cluster(seed);
        world.step().expect("three timers are due at 10 ms").actor
    };
    let firsts: std::collections::BTreeSet<_> = (0..32).map(first).collect();
    assert_eq!(firsts.len(), 3, "each node comes first under some seed");
}

#[test]
fn a_full_trace_reads_as_lines() {
    let mut world = cluster(9);
    world.run_until(after(12));
    world.crash(N1);
    let text: Vec<String> = world.trace().events().map(ToString::to_string).collect();
    assert!(text[0].contains("n1 starts"), "{}", text[0]);
    assert!(text.iter().any(|line| line.contains("n2 appends")), "{text:#?}");
    assert!(text.iter().any(|line| line.contains("CRASHES")));
}

/// How often a timer rang at n1.
fn rings(world: &Cluster) -> usize {
    let rings = |entry: &&seedfall_sim::Entry| {
        entry.event.kind == Kind::Timer && entry.event.actor == N1.into()
    };
    world.trace().events().filter(rings).count()
}

#[test]
fn two_nodes_of_one_identity_have_their_own_timers_and_journals() {
    let mut world = cluster(8);
    world.run_until(after(25));
    assert!(world.begin_twins(N1, Duration::millis(20)));
    // The first ticks at 10, 20, ..., the second at 35, 45, ..., from the count that it read.
    world.run_until(after(205));
    assert_eq!(rings(&world), 20 + 18);
    assert_eq!(world.journal(N1).records().len(), 20, "the second writes elsewhere");
    assert_eq!(world.timers(N1), ["\"tick\""]);
    let said = world
        .trace()
        .events()
        .filter(|entry| (entry.event.kind, entry.event.actor) == (Kind::Send, N1.into()));
    // Both tell each tick to as many.
    assert_eq!(world.counters().said_by_twins * 38, said.count() as u64 * 18);
    let (unheard, delivered) = (world.counters().unheard, world.counters().delivered);
    assert!((1..delivered).contains(&unheard), "of {delivered} the second missed {unheard}");
    let heard = world.node(N1).expect("it is up").heard.len();
    let arrived = |entry: &&seedfall_sim::Entry| {
        entry.event.kind == Kind::Deliver && entry.event.actor == N1.into()
    };
    assert_eq!(heard, world.trace().events().filter(arrived).count(), "the first misses nothing");
    assert!(world.end_twins(N1));
    assert!(!world.end_twins(N1));
    world.run_until(after(305));
    assert_eq!((rings(&world), world.counters().unheard), (30 + 18, unheard));
}

#[test]
fn a_pause_strikes_the_first_of_twins_and_a_crash_ends_the_second() {
    let mut world = cluster(9);
    world.run_until(after(25));
    assert!(world.begin_twins(N1, Duration::millis(20)));
    assert!(world.pause(N1));
    world.run_until(after(66));
    // The second: 35, 45, 55, 65.
    assert_eq!((rings(&world), world.journal(N1).records().len()), (2 + 4, 2));
    assert!(world.resume(N1));
    world.run_until(after(67));
    assert_eq!(world.journal(N1).records().len(), 3, "its timer waited");
    assert!(world.crash(N1));
    assert!(!world.end_twins(N1), "there is one no more");
    assert!(!world.begin_twins(N1, Duration::millis(20)), "it is down");
    let rang = rings(&world);
    assert!(world.restart(N1));
    world.run_until(after(108));
    assert_eq!(rings(&world), rang + 4, "77, 87, 97, 107: one node again");
}
