//! A node on a faulty disk: it comes back with all that it told others, or it does not come back.
//!
//! One test a kind of fault, so that it shows which faults find a bug that is planted in the log.

use seedfall_sim::disk::{Answer, DiskCounters, DiskFault};
use seedfall_sim::{
    Address, Context, CrashPoint, Draw, Duration, EffectKind, Fate, Kind, Network, NodeId,
    Protocol, Recording, RequestId, Seed, Setup, Site, Time, World,
};
use std::collections::BTreeMap;

/// Counts: at every tick the first node writes down two more numbers, syncs, and tells how far it
/// has come.
#[derive(Clone)]
struct Counter {
    count: u64,
    /// What the other one said last.
    heard: u64,
}

impl Protocol for Counter {
    type Config = ();
    type Message = u64;
    type Timer = ();
    type Record = u64;
    type Request = ();
    type Response = ();

    fn start(id: NodeId, (): &(), journal: &[u64], ctx: &mut Context<'_, Self>) -> Self {
        if id == N1 {
            ctx.set_timer((), Duration::millis(1));
        }
        Self { count: journal.len() as u64, heard: 0 }
    }
    fn on_message(&mut self, _: NodeId, message: u64, _: &mut Context<'_, Self>) {
        self.heard = self.heard.max(message);
    }
    fn on_timer(&mut self, (): (), ctx: &mut Context<'_, Self>) {
        ctx.append(self.count + 1);
        ctx.append(self.count + 2);
        ctx.sync();
        self.count += 2;
        ctx.broadcast(self.count);
        ctx.set_timer((), Duration::millis(1));
    }
    fn on_request(&mut self, _: RequestId, (): (), _: &mut Context<'_, Self>) {}
}

/// Everything arrives at once.
#[derive(Clone)]
struct Direct;

impl Network for Direct {
    fn fate(&mut self, _: Time, _: Address, _: Address, _: Draw) -> Fate {
        Fate::Deliver(Duration::nanos(1))
    }
}

const N1: NodeId = NodeId::new(0);
const N2: NodeId = NodeId::new(1);

/// What became of one run.
struct Outcome {
    hash: u64,
    counters: DiskCounters,
    /// Starts that found less than the node had told.
    forgot: u32,
    refused: u64,
    /// It did not start any more, even after the fault.
    gone: bool,
}

/// Ticks, a fault that begins and ends, and four crashes, of which two are inside a handler.
fn run(seed: u64, fault: Option<&DiskFault>) -> Outcome {
    let recording = Recording::Hash;
    let setup =
        Setup { seed: Seed(seed), nodes: 2, clients: 0, recording, overrides: BTreeMap::new() };
    let mut world: World<Counter, Direct, ()> = World::new(setup, (), Direct, ());
    world.attach_disk(N1);
    let (mut told, mut forgot, mut gone) = (0, 0, false);
    for life in 0..4 {
        let mut draw = world.draws_mut().draw(Site::Plan);
        let (calm, faulty) = (draw.below(30), draw.below(60));
        let points = [
            CrashPoint::After(EffectKind::Append),
            CrashPoint::Before(EffectKind::Sync),
            CrashPoint::Before(EffectKind::Send),
        ];
        let point = points[draw.below(3) as usize];
        world.run_until(world.now() + Duration::millis(calm.into()));
        if let Some(fault) = fault.filter(|_| life == 1) {
            world.disk_fault(N1, fault);
        }
        world.run_until(world.now() + Duration::millis(faulty.into()));
        if life % 2 == 0 && world.arm_crash(N1, point) {
            world.run_until(world.now() + Duration::millis(3));
            world.disarm_crash(N1);
        }
        world.crash(N1);
        told = told.max(world.node(N2).expect("it never crashes").heard);
        if !world.restart(N1) {
            if let Some(fault) = fault {
                world.disk_mend(N1, fault);
            }
            if !world.restart(N1) {
                gone = true;
                break;
            }
        }
        if let Some(fault) = fault.filter(|_| life == 2) {
            world.disk_mend(N1, fault);
        }
        let found = world.journal(N1).records().to_vec();
        assert!(found.iter().copied().eq(1..=found.len() as u64), "seed {seed}: {found:?}");
        forgot += u32::from((found.len() as u64) < told);
        told = told.min(found.len() as u64); // It counts from there again.
    }
    let (counters, refused) = (world.disk_counters(), world.counters().refusals);
    Outcome { hash: world.hash(), counters, forgot, refused, gone }
}

/// Many runs under a kind of fault; says in how many the fault had an effect, the node refused,
/// refused for good, and forgot.
fn sweep(kind: usize) -> (Answer, [u32; 4]) {
    let mut sums = [0; 4];
    for seed in 0..100 {
        let fault = DiskFault::of_kind(kind, crate::support::draw(seed));
        let Outcome { counters, forgot, refused, gone, .. } = run(seed.into(), Some(&fault));
        sums[0] += u32::from(counters.of(&fault) > 0);
        sums[1] += u32::from(refused > 0);
        sums[2] += u32::from(gone);
        sums[3] += u32::from(forgot > 0);
    }
    (DiskFault::of_kind(kind, Draw::NOMINAL).about().answer, sums)
}

/// The fault has its effect in so many of 100 runs, and its answer is the promised one.
fn check(name: &str, at_least: u32) {
    let named = |kind: &usize| DiskFault::of_kind(*kind, Draw::NOMINAL).about().name == name;
    let kind = (0..DiskFault::KINDS).find(named).expect("there is a kind of that name");
    let (answer, [fired, refused, gone, forgot]) = sweep(kind);
    let said = format!("{name}: {fired} fired, {refused} refused, {gone} gone, {forgot} forgot");
    assert!(fired >= at_least, "{said}");
    match answer {
        Answer::Survives => assert!(forgot == 0 && gone == 0, "{said}"),
        Answer::Refuses => assert!(forgot == 0 && refused > 3, "{said}"),
        Answer::Forgets => assert!(forgot > 3, "{said}"),
    }
}

#[test]
fn crashes_alone() {
    let mut left = DiskCounters::default();
    for seed in 0..200 {
        let Outcome { counters, forgot, refused, .. } = run(seed, None);
        assert_eq!((forgot, refused), (0, 0), "seed {seed}");
        left.add(&counters);
    }
    assert_eq!(left.effects, [0; DiskFault::KINDS]);
    let DiskCounters { sectors_kept, sectors_dropped, sectors_torn, .. } = left;
    assert!(sectors_kept > 40 && sectors_dropped > 40 && sectors_torn > 5, "{left:?}");
}

#[test]
fn a_sync_fails() {
    check("sync-fails", 50);
}

#[test]
fn syncs_lie() {
    check("lying-sync", 50);
}

#[test]
fn a_page_is_not_written() {
    check("phantom-write", 25);
}

#[test]
fn bits_rot() {
    check("bit-rot", 50);
}

#[test]
fn a_page_is_written_elsewhere() {
    check("misdirected-write", 25);
}

#[test]
fn a_page_is_read_from_elsewhere() {
    check("misdirected-read", 25);
}

#[test]
fn the_end_is_gone() {
    check("truncate", 50);
}

#[test]
fn a_file_falls_back() {
    check("rollback", 50);
}

#[test]
fn the_disk_falls_back() {
    check("rollback-all", 50);
}

#[test]
fn there_is_no_room() {
    check("no-space", 50);
}

#[test]
fn a_write_fails() {
    check("write-error", 50);
}

#[test]
fn a_read_fails() {
    check("read-error", 50);
}

#[test]
fn a_seed_replays_bit_for_bit_and_a_clone_goes_on_as_the_original() {
    for kind in 0..DiskFault::KINDS {
        let fault = DiskFault::of_kind(kind, crate::support::draw(7));
        let (first, second) = (run(7, Some(&fault)), run(7, Some(&fault)));
        assert_eq!((first.hash, first.counters), (second.hash, second.counters), "{fault}");
    }
}

#[test]
fn a_refusal_stands_in_the_trace_with_its_reason() {
    let setup = Setup {
        seed: Seed(1),
        nodes: 2,
        clients: 0,
        recording: Recording::Full,
        overrides: BTreeMap::new(),
    };
    let mut world: World<Counter, Direct, ()> = World::new(setup, (), Direct, ());
    world.run_until(Time::ZERO + Duration::millis(20));
    world.crash(N1);
    let fault = DiskFault::Truncate { bytes: 1 };
    world.disk_fault(N1, &fault);
    assert!(!world.restart(N1));
    assert!(world.node(N1).is_none());
    assert_eq!((world.counters().refusals, world.counters().restarts), (1, 0));
    let refusal = world.journal(N1).refusal().expect("it was refused").to_owned();
    assert!(refusal.contains("frames-1: damaged at byte"), "{refusal}");
    let last = world.trace().events().next_back().expect("it is kept");
    assert_eq!((last.event.kind, &last.text), (Kind::Refuse, &refusal));
    world.disk_mend(N1, &fault);
    assert!(!world.restart(N1), "what is cut off does not come back");
    assert!(world.wipe(N1) && world.restart(N1), "a new disk is not damaged");
    assert!(world.journal(N1).records().is_empty() && world.journal(N1).refusal().is_none());
    assert!(world.disk_counters().of(&fault) > 0, "what happened is not forgotten");
}

#[test]
fn a_disk_that_is_attached_late_holds_what_was_appended() {
    let setup = Setup {
        seed: Seed(2),
        nodes: 2,
        clients: 0,
        recording: Recording::Hash,
        overrides: BTreeMap::new(),
    };
    let mut world: World<Counter, Direct, ()> = World::new(setup, (), Direct, ());
    world.run_until(Time::ZERO + Duration::millis(20));
    let before = world.journal(N1).records().to_vec();
    world.attach_disk(N1);
    world.crash(N1);
    assert!(world.restart(N1));
    assert_eq!(world.journal(N1).records(), before);
    assert!(!before.is_empty());
}
