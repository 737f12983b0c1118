//! The nemesis on a protocol small enough to be read with it: who is struck, what is an effect of
//! which class, and that nothing is left when a plan is over.

use super::*;
use crate::arbitrary::plan_from_blocks;
use crate::classes::{self, clock::WrongClock, timers::WrongTimers};
use seedfall_net::{Delay, LinkModel, Order, Partition, Wire};
use seedfall_sim::{
    Context, CrashPoint, DiskFault, EffectKind, Kind, Links, Nodes, Protocol, Recording, RequestId,
    Setup, SystemModel, Timing, World,
};
use std::collections::BTreeMap;

/// Writes something down every ten milliseconds, forces it, and tells everybody; leads for some
/// time, so long after its start.
struct Chief {
    id: NodeId,
    reigns: Vec<Reign>,
    leads: bool,
}

/// Who leads, from when to when, in milliseconds since it started.
type Reign = (NodeId, u64, u64);

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
enum Alarm {
    Work,
    Rise(u64),
    Fall(u64),
}

impl Protocol for Chief {
    type Config = Vec<Reign>;
    type Message = u64;
    type Timer = Alarm;
    type Record = u64;
    type Request = ();
    type Response = ();

    fn start(id: NodeId, reigns: &Vec<Reign>, _: &[u64], ctx: &mut Context<'_, Self>) -> Self {
        ctx.set_timer(Alarm::Work, Duration::millis(10));
        for (_, from, to) in reigns.iter().filter(|(node, ..)| *node == id) {
            ctx.set_timer(Alarm::Rise(*from), Duration::millis(*from));
            ctx.set_timer(Alarm::Fall(*to), Duration::millis(*to));
        }
        Self { id, reigns: reigns.clone(), leads: false }
    }
    fn on_message(&mut self, _: NodeId, _: u64, _: &mut Context<'_, Self>) {}
    fn on_timer(&mut self, alarm: Alarm, ctx: &mut Context<'_, Self>) {
        match alarm {
            Alarm::Work => {
                ctx.append(self.reigns.len() as u64);
                ctx.sync();
                ctx.broadcast(self.id.index() as u64);
                ctx.set_timer(Alarm::Work, Duration::millis(10));
            }
            Alarm::Rise(_) => self.leads = true,
            Alarm::Fall(_) => self.leads = false,
        }
    }
    fn is_leader(&self) -> bool {
        self.leads
    }
    fn on_request(&mut self, _: RequestId, (): (), _: &mut Context<'_, Self>) {}
}

const NODES: usize = 4;
const A: NodeId = NodeId::new(0);
const B: NodeId = NodeId::new(1);
const C: NodeId = NodeId::new(2);
const D: NodeId = NodeId::new(3);
const DELAY: Duration = Duration::millis(1);

const BUDGET: FaultBudget = FaultBudget {
    model: SystemModel {
        links: Links::Arbitrary,
        nodes: Nodes::Byzantine,
        timing: Timing::Asynchronous,
    },
    nodes: NODES,
    clients: 0,
    spare: 2,
    faults: Duration::secs(1),
};

/// A run under a plan.
struct Drive {
    world: World<Chief, Wire, ()>,
    nemesis: Nemesis,
}

/// Something that the nemesis did.
#[derive(Debug)]
struct Deed {
    at: Time,
    /// The nodes of which it says that they may have come up or gone down.
    named: Vec<NodeId>,
    /// Those that did.
    turned: Vec<NodeId>,
}

impl Drive {
    fn of(plan: FaultPlan, reigns: &[Reign], recording: Recording) -> Self {
        assert_eq!(plan.check(&BUDGET), Ok(()));
        let delay = Delay::Fixed(DELAY);
        let link = LinkModel { delay, loss: 0, duplicate: 0, order: Order::Free };
        let setup = Setup {
            seed: Seed(1),
            nodes: NODES,
            clients: 0,
            recording,
            overrides: BTreeMap::new(),
        };
        Self {
            world: World::new(setup, reigns.to_vec(), Wire::new(NODES, 0, link), ()),
            nemesis: Nemesis::new(plan, Time::ZERO + BUDGET.faults),
        }
    }

    fn up(&self) -> [bool; NODES] {
        [A, B, C, D].map(|node| self.world.node(node).is_some())
    }

    /// Everything up to the next deed, and that deed; `None`: the plan is over.
    fn act(&mut self) -> Option<Deed> {
        loop {
            let at = self.nemesis.next_at()?;
            if let Some(step) = self.world.step_until(at) {
                if self.nemesis.is_watching()
                    && let Some(node) = step.actor.node()
                {
                    self.nemesis.watch(&self.world, node);
                }
                continue;
            }
            self.world.advance(at);
            let before = self.up();
            let named = self.nemesis.act(&mut self.world);
            let turned = |node: &NodeId| self.up()[node.index()] != before[node.index()];
            return Some(Deed { at, named, turned: NodeId::all(NODES).filter(turned).collect() });
        }
    }

    /// The classes of a plan, and which of them had an effect, once it is over.
    fn fired(plan: FaultPlan) -> Vec<(Class, bool)> {
        let mut drive = Self::of(plan, &[], Recording::Hash);
        while drive.act().is_some() {}
        drive.nemesis.fired(&drive.world)
    }

    fn events(&self, kind: Kind, actor: NodeId) -> impl Iterator<Item = &seedfall_sim::Entry> {
        let is_one = move |entry: &&seedfall_sim::Entry| {
            (entry.event.kind, entry.event.actor) == (kind, actor.into())
        };
        self.world.trace().events().filter(is_one)
    }
}

fn at(millis: u64) -> Time {
    Time::ZERO + Duration::millis(millis)
}

/// An entry that strikes whom it names, from and for so many milliseconds.
fn entry(at: u64, lasts: u64, fault: Fault) -> Entry {
    let (at, lasts) = (Duration::millis(at), Duration::millis(lasts));
    Entry { at, lasts, fault, aim: Aim::Named, retargets: false }
}

fn plan<const N: usize>(entries: [Entry; N]) -> FaultPlan {
    FaultPlan { entries: entries.into() }
}

/// A plan of up to so many entries of any class.
fn drawn(number: u32, entries: u8) -> FaultPlan {
    let block = |which: u8| {
        let word = |half: u8| StableHasher::hash(&(number, which, half)).to_le_bytes();
        let mut block = [0; 12];
        block[..8].copy_from_slice(&word(0));
        block[8..].copy_from_slice(&word(1)[..4]);
        block
    };
    plan_from_blocks(&(0..entries).map(block).collect::<Vec<_>>(), &BUDGET)
}

fn crash(node: NodeId) -> Fault {
    Fault::Crash(classes::Crash { node, point: None, down: Duration::ZERO })
}

/// Whatever names a node can be aimed at any, and goes on to another.
#[test]
fn every_fault_that_names_a_node_takes_aim() {
    let mut aimed = BTreeSet::new();
    for number in 0..2_000 {
        for Entry { fault, .. } in drawn(number, 1).entries {
            let class = fault.class();
            if fault.names().is_empty() {
                continue;
            }
            aimed.insert(class);
            for node in NodeId::all(NODES) {
                let at_node = fault.aimed_at(node);
                assert!(at_node.names().contains(&node.into()), "{fault}: {at_node}");
                assert_eq!(at_node.class(), class);
            }
            let stays = fault.moved_on(NODES) == fault;
            assert_eq!(stays, class.takes_a_node(), "{fault}");
        }
    }
    let unnamed = |class: &Class| !aimed.contains(class);
    let unnamed: Vec<_> = Class::ALL.into_iter().filter(unnamed).map(Class::name).collect();
    let everywhere = ["loss", "duplicate", "reorder", "burst", "latency", "throttle", "corrupt"];
    assert_eq!(unnamed, everywhere);
}

/// Who was struck by the aim before is up again, and whoever watches the nodes is to see it.
#[test]
fn a_node_that_another_aim_releases_is_named() {
    let aim = Aim::EveryLeader { after: vec![Duration::millis(1)] };
    let every = plan([Entry { aim, ..entry(5, 70, crash(D)) }]);
    let mut drive = Drive::of(every, &[(A, 21, 900), (B, 61, 900)], Recording::Hash);
    let mut deed = || drive.act().map(|deed| (deed.at, deed.named));
    assert_eq!(deed(), Some((at(5), vec![D])), "nobody leads yet");
    assert_eq!(deed(), Some((at(22), vec![D, A])), "{D} comes up, {A} goes down");
    assert_eq!(deed(), Some((at(62), vec![A, B])));
    assert_eq!(deed(), Some((at(75), vec![B])));
    assert_eq!(deed(), None);
}

#[test]
fn a_node_that_a_fault_without_effect_leaves_is_named() {
    // A is down already: the second crash has no effect, and goes on to B.
    let second = Entry { retargets: true, ..entry(20, 40, crash(A)) };
    let crashes = plan([entry(10, 80, crash(A)), second]);
    let mut drive = Drive::of(crashes, &[], Recording::Hash);
    let mut deed = || drive.act().map(|deed| (deed.at, deed.named));
    assert_eq!(deed(), Some((at(10), vec![A])));
    assert_eq!(deed(), Some((at(20), vec![A])));
    assert_eq!(deed(), Some((at(50), vec![A, B])), "it leaves {A}, and crashes {B}");
}

/// Whatever the plan: whoever comes up or goes down by the hand of the nemesis is named, and when
/// the plan is over nothing is left of it.
#[test]
fn no_plan_changes_a_node_unnamed_or_outlasts_its_end() {
    let reigns = [(A, 15, 80), (B, 60, 300), (C, 200, 220), (D, 250, 600), (A, 500, 900)];
    let mut turned = 0;
    for number in 0..100_u32 {
        let plan = drawn(number, 8);
        let lost = plan.entries.iter().any(|entry| entry.fault.class().takes_a_node());
        let mut drive = Drive::of(plan, &reigns, Recording::Hash);
        while let Some(deed) = drive.act() {
            turned += deed.turned.len();
            let unnamed = deed.turned.iter().find(|node| !deed.named.contains(node));
            assert_eq!(unnamed, None, "plan {number}: {deed:?}");
        }
        let now = drive.world.now();
        assert!(
            drive.world.network().is_undisturbed(now),
            "plan {number}: the wire is not end_disturbance"
        );
        for (node, is_up) in NodeId::all(NODES).zip(drive.up()) {
            assert!(!drive.world.is_paused(node), "plan {number}: {node} is paused");
            assert!(is_up || lost, "plan {number}: {node} is down");
        }
        let effects = drive.nemesis.all_effects(&drive.world);
        drive.world.run_until(now + Duration::secs(2));
        let later = drive.nemesis.all_effects(&drive.world);
        assert_eq!(later, effects, "plan {number}: a fault took effect after its end");
    }
    assert!(turned > 100, "crashes and restarts: {turned}");
}

/// Of these entries the first has an effect, and the last, at the same time, has not: whatever
/// stands between them sees to it.
fn only_the_first<const N: usize>(entries: [Entry; N]) {
    let classes = entries.clone().map(|entry| entry.fault.class());
    let fired = Drive::fired(plan(entries));
    let told = [fired[0], fired[N - 1]];
    assert_eq!(told, [(classes[0], true), (classes[N - 1], false)]);
}

#[test]
fn a_crash_is_an_effect_of_the_class_that_brought_it_about() {
    let half = Duration::millis(30);
    let all = |node| {
        [
            crash(node),
            Fault::PowerLoss(classes::PowerLoss { nodes: vec![node] }),
            Fault::Storm(classes::Storm { node, half }),
        ]
    };
    let point = Some(CrashPoint::Before(EffectKind::Append));
    let mut crashes = all(A).to_vec();
    crashes.extend([
        Fault::Crash(classes::Crash { node: A, point, down: Duration::millis(5) }),
        Fault::Stop(classes::Stop { node: A }),
        Fault::Wipe(classes::Wipe { node: A }),
        Fault::of_disk(A, DiskFault::WriteError { after: 0 }),
    ]);
    for fault in crashes {
        for other in all(B).into_iter().filter(|other| other.class() != fault.class()) {
            // B is down for good, so the other has nothing to crash.
            let stop = entry(1, 10, Fault::Stop(classes::Stop { node: B }));
            only_the_first([entry(15, 40, fault.clone()), stop, entry(4, 60, other)]);
        }
    }
}

/// A node whose disk is damaged may be down for good: no effect of a stop.
#[test]
fn a_node_that_refuses_to_start_is_not_stopped() {
    let damage = Fault::of_disk(A, DiskFault::Truncate { bytes: 4096 });
    only_the_first([
        entry(55, 300, damage),
        entry(300, 200, Fault::Stop(classes::Stop { node: A })),
    ]);
}

/// The second of twins hears all that there is to be heard, nothing, and speaks.
#[test]
fn what_the_second_of_twins_says_is_an_effect() {
    let from = vec![B.into(), C.into(), D.into()];
    let deaf = classes::Partition(Partition::OneWay { from }).into();
    let twins = classes::Twins { node: A, round: Duration::millis(20) }.into();
    let mut drive =
        Drive::of(plan([entry(1, 400, deaf), entry(15, 100, twins)]), &[], Recording::Hash);
    while drive.act().is_some() {}
    assert_eq!(drive.world.counters().unheard, 0);
    let fired = drive.nemesis.fired(&drive.world);
    assert_eq!(fired, [(Class::Partition, true), (Class::Twins, true)]);
}

/// Whatever becomes of what is written: the disk that is at fault is read, and for that its node is
/// crashed and comes back.
#[test]
fn a_disk_for_which_a_node_is_restarted_has_had_an_effect() {
    let full =
        |at, lasts| entry(at, lasts, Fault::of_disk(A, DiskFault::NoSpace { left: 1 << 30 }));
    let mut drive = Drive::of(plan([full(31, 8)]), &[], Recording::Full);
    while drive.act().is_some() {}
    assert_eq!(drive.events(Kind::Crash, A).count(), 1);
    assert_eq!(drive.nemesis.fired(&drive.world), [(Class::DiskError, true)]);
    // A node that is down is not crashed.
    only_the_first([entry(20, 40, crash(A)), full(31, 8)]);
}

/// A node that two entries pause goes on when the second of them ends, whichever began first.
#[test]
fn overlapping_pauses_do_not_end_each_other() {
    let pause = |(at, lasts)| entry(at, lasts, classes::Pause { node: A }.into());
    for (first, second) in [((10, 40), (20, 60)), ((20, 60), (10, 40)), ((10, 90), (20, 30))] {
        let end = (first.0 + first.1).max(second.0 + second.1);
        let both = plan([pause(first), pause(second)]);
        let mut drive = Drive::of(both, &[], Recording::Hash);
        while let Some(Deed { at: now, .. }) = drive.act() {
            assert_eq!(drive.world.is_paused(A), now < at(end), "{first:?} {second:?} at {now}");
        }
    }
}

#[test]
fn slow_disks_and_slow_nodes_are_told_apart() {
    let each = Duration::millis(25);
    let stall = Fault::Stall(classes::Stall { node: A, each });
    let slow = Fault::Slow(classes::Slow { node: B, each });
    // B is down all the time.
    only_the_first([entry(5, 400, stall), entry(1, 600, crash(B)), entry(5, 400, slow)]);
}

#[test]
fn clocks_that_are_wrong_in_different_ways_are_told_apart() {
    let all = |node| -> [Fault; 3] {
        let late = WrongTimers::Late { by: Duration::millis(3) };
        let step = WrongClock::Step { nanos: 5_000_000 };
        [
            classes::Timers { node, wrong: late }.into(),
            classes::Clock { node, wrong: step }.into(),
            classes::Drift { node, ppm: 100_000 }.into(),
        ]
    };
    for one in all(A) {
        for other in all(B).into_iter().filter(|other| other.class() != one.class()) {
            // B is down all the time.
            only_the_first([
                entry(5, 100, one.clone()),
                entry(1, 600, crash(B)),
                entry(5, 100, other),
            ]);
        }
    }
}

/// What a swizzle leaves when it moves on is nothing: the messages that it held arrive, and no clog
/// is credited with what its links carry from then on.
#[test]
fn a_swizzle_moves_on_and_leaves_nothing() {
    let aim = Aim::EveryLeader { after: vec![Duration::millis(1)] };
    let swizzle = Fault::Swizzle(classes::Swizzle { node: A });
    // Nobody tells itself anything.
    let clog = Fault::Clog(classes::Clog { from: D.into(), to: D.into() });
    let entries = [Entry { aim, ..entry(5, 500, swizzle) }, entry(5, 900, clog)];
    let mut drive = Drive::of(plan(entries), &[(C, 101, 900)], Recording::Full);
    while drive.act().is_some() {}
    let fired = drive.nemesis.fired(&drive.world);
    assert_eq!(fired, [(Class::Swizzle, true), (Class::Clog, false)]);
    let noted = |node| drive.events(Kind::Fault, node).filter(|entry| entry.event.at == at(102));
    assert!(noted(A).any(|entry| entry.text == "ends: swizzle: clog all links of n1"));
    assert!(noted(C).any(|entry| entry.text == "begins: swizzle: clog all links of n3"));
    let arrivals = |from: u64, to: u64| {
        let times = drive.events(Kind::Deliver, A).map(|entry| entry.event.at);
        times.filter(|time| at(from) <= *time && *time < at(to)).count()
    };
    assert_eq!(arrivals(0, 103), 0, "all of it is jammed");
    assert_eq!(arrivals(103, 104), 30, "what three nodes said ten times, in a burst");
    assert_eq!(arrivals(104, 204), 20, "and then what B and D say, as if nothing had been");
}

/// A clog that ends before its time, as its entry takes aim at the next leader, lets go what it
/// held.
#[test]
fn a_clog_that_ends_early_opens_its_link() {
    let aim = Aim::EveryLeader { after: vec![Duration::millis(1)] };
    let clog = Fault::Clog(classes::Clog { from: A.into(), to: D.into() });
    let clogs = plan([Entry { aim, ..entry(5, 500, clog) }]);
    let mut drive = Drive::of(clogs, &[(B, 101, 900)], Recording::Full);
    while drive.act().is_some() {}
    drive.world.run_until(at(600));
    let heard = |from: NodeId, until: u64| {
        let events = drive.events(Kind::Deliver, D).map(|entry| entry.event);
        events.filter(|event| event.peer == from.into() && event.at <= at(until)).count()
    };
    assert_eq!((heard(A, 102), heard(A, 103)), (0, 10), "what was held arrives at its end");
    assert_eq!((heard(A, 113), heard(A, 203)), (11, 20), "what is sent later, in its own time");
    assert_eq!((heard(B, 101), heard(B, 505), heard(B, 506)), (10, 10, 50), "the next leader's");
}

/// What a protocol changes is what it appends and syncs: twice every ten milliseconds here. The
/// node crashes before the change that was meant, and not again when it is back.
#[test]
fn a_crash_before_a_change_falls_where_it_was_meant_and_once() {
    for (number, appended, synced) in [(1, 0, 0), (2, 1, 0), (5, 2, 2), (6, 3, 2)] {
        let point = Some(CrashPoint::Change(number));
        let crash = Fault::Crash(classes::Crash { node: A, point, down: Duration::millis(5) });
        let mut drive = Drive::of(plan([entry(5, 400, crash)]), &[], Recording::Full);
        while drive.act().is_some() {}
        let crashes: Vec<Time> = drive.events(Kind::Crash, A).map(|one| one.event.at).collect();
        let [at] = crashes[..] else { panic!("before change {number}: {crashes:?}") };
        let so_far = |kind| drive.events(kind, A).filter(|one| one.event.at <= at).count();
        assert_eq!((so_far(Kind::Append), so_far(Kind::Sync)), (appended, synced), "{number}");
        assert_eq!(drive.nemesis.fired(&drive.world), [(Class::Crash, true)]);
    }
}
