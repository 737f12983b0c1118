//! Every class of faults that means something to a program, and for each a program with a bug that
//! it finds: a table of bugs by faults, each cell measured. Without a fault no bug is found.

mod bugs;
mod disks;

use bugs::Bug;
use seedfall_kernel::{Fault, Place, Report, Simulation, isolated};
use seedfall_net::{Disturbance, Partition};
use seedfall_sim::{
    Address, ClientId, ClockFault, CrashPoint, DiskFault, Duration as Span, EffectKind, NodeId,
};

/// Which node is struck, and who stands beside it.
const SERVER: Place = Place(0);
const OTHER: Place = Place(1);
const BEGIN: Span = Span::millis(100);
const END: Span = Span::millis(400);

/// Faults at instants.
type Deeds = Vec<(Span, Fault)>;

fn wire(disturbance: Disturbance) -> Deeds {
    vec![(BEGIN, Fault::Begin(disturbance.clone())), (END, Fault::End(disturbance))]
}

fn wires() -> Vec<(&'static str, Deeds)> {
    let (server, client): (Address, Address) = (NodeId::new(0).into(), ClientId::new(0).into());
    let side = |who: Address| Partition::TwoWay { side: vec![who] };
    let (ppm, span) = (60_000, Span::millis(120));
    let flap = Disturbance::Flap { partition: side(client), half: Span::millis(40) };
    let mut flaps = Vec::new();
    for turn in 0..4 {
        let at = BEGIN + Span::millis(80 * turn);
        flaps.push((at, Fault::Begin(flap.clone())));
        flaps.push((at + Span::millis(40), Fault::End(flap.clone())));
    }
    vec![
        ("loss", wire(Disturbance::Loss { ppm })),
        ("burst", wire(Disturbance::Burst { ppm, span })),
        ("duplicate", wire(Disturbance::Duplicate { ppm, within: Span::millis(40) })),
        ("reorder", wire(Disturbance::Reorder { ppm, by: Span::millis(40) })),
        ("corrupt", wire(Disturbance::Corrupt { ppm })),
        ("latency", wire(Disturbance::Latency { most: Span::millis(90), salt: 1 })),
        ("throttle", wire(Disturbance::Throttle { each: Span::millis(12), queue: 4 })),
        ("clog", wire(Disturbance::Clog { from: client, to: server })),
        ("swizzle", wire(Disturbance::Swizzle { node: NodeId::new(0) })),
        ("partition", wire(Disturbance::Partition(side(server)))),
        ("clients-cut", wire(Disturbance::Partition(side(client)))),
        ("flap", flaps),
    ]
}

fn nodes() -> Vec<(&'static str, Deeds)> {
    let again = |half: Span| {
        let turn = |turn: u64| {
            let at = BEGIN + half.scale(2 * turn, 1);
            [(at, Fault::Crash(SERVER)), (at + half, Fault::Restart(SERVER))]
        };
        (0..4).flat_map(turn).collect::<Deeds>()
    };
    let (slow, point) = (Span::millis(8), CrashPoint::Unsynced);
    let at_sync = CrashPoint::Before(EffectKind::Sync);
    let both = || vec![SERVER, OTHER];
    let back = (END, Fault::Restart(SERVER));
    let clock = |wrong: ClockFault| {
        vec![(BEGIN, Fault::ClockBegin(SERVER, wrong)), (END, Fault::ClockEnd(SERVER, wrong))]
    };
    let at_point = |point: CrashPoint| {
        vec![
            (BEGIN, Fault::CrashAt(SERVER, point, Span::millis(30))),
            (Span::millis(250), Fault::CrashWaiting(SERVER, point)),
            (END, Fault::CrashEnd(SERVER, point)),
        ]
    };
    vec![
        ("crash", vec![(BEGIN, Fault::Crash(SERVER)), back.clone()]),
        ("crash-unsynced", at_point(point)),
        ("crash-at-sync", at_point(at_sync)),
        (
            "power-loss",
            vec![(BEGIN, Fault::PowerLoss(both())), back.clone(), (END, Fault::Restart(OTHER))],
        ),
        ("storm", again(Span::millis(40))),
        ("stop", vec![(BEGIN, Fault::Crash(SERVER))]),
        ("wipe", vec![(BEGIN, Fault::Wipe(SERVER)), back]),
        ("pause", vec![(BEGIN, Fault::Pause(SERVER)), (END, Fault::Resume(SERVER))]),
        (
            "slow",
            vec![(BEGIN, Fault::SlowBegin(SERVER, slow)), (END, Fault::SlowEnd(SERVER, slow))],
        ),
        (
            "stall",
            vec![(BEGIN, Fault::StallBegin(SERVER, slow)), (END, Fault::StallEnd(SERVER, slow))],
        ),
        ("clock", clock(ClockFault::Step { nanos: -2_000_000_000 })),
        ("drift", clock(ClockFault::Drift { ppm: 50_000 })),
        ("timers", clock(ClockFault::Early { by: Span::millis(20) })),
    ]
}

fn disk_faults() -> Vec<(&'static str, Deeds)> {
    let faults = [
        DiskFault::SyncFails { after: 2 },
        DiskFault::LyingSync,
        DiskFault::PhantomWrite { after: 2 },
        DiskFault::BitRot { bits: 4 },
        DiskFault::MisdirectedWrite { after: 3 },
        DiskFault::MisdirectedRead { after: 1 },
        DiskFault::Truncate { bytes: 600 },
        DiskFault::Rollback { whole: false },
        DiskFault::Rollback { whole: true },
        DiskFault::NoSpace { left: 150 },
        DiskFault::WriteError { after: 3 },
        DiskFault::ReadError { after: 0 },
    ];
    let deeds = |wrong: DiskFault| {
        vec![
            (BEGIN, Fault::DiskBegin(SERVER, wrong.clone())),
            (Span::millis(250), Fault::Crash(SERVER)),
            (Span::millis(270), Fault::Restart(SERVER)),
            (END, Fault::DiskEnd(SERVER, wrong)),
            (END, Fault::Restart(SERVER)),
        ]
    };
    faults.into_iter().map(|wrong| (wrong.about().name, deeds(wrong))).collect()
}

/// One program under one kind of faults: whether its bug shows in one of a few seeds.
fn finds(bug: &Bug, deeds: &Deeds) -> bool {
    let [server, other] = bug.servers;
    let run = |seed: u64| -> Report {
        let world = Simulation::new(seed).node("server", server).node("other", other);
        let world = world.client_main("client", bug.client).plan(deeds.clone());
        world.horizon(Span::secs(4)).run()
    };
    (1..=4).any(|seed| {
        let report = run(seed);
        assert_eq!(report.failures, [], "{} in seed {seed}", bug.name);
        if !report.notes_as_text().iter().any(|note| note == "BUG") {
            return false;
        }
        assert_eq!(run(seed).hash, report.hash, "the same run");
        let strikes = deeds.iter().zip(&report.effects).filter(|((_, fault), _)| fault.strikes());
        let felt = strikes.map(|(_, effects)| effects).sum::<u64>() > 0;
        assert!(felt || deeds.is_empty(), "{}: {deeds:?} found it without an effect", bug.name);
        true
    })
}

/// Whether these faults find a bug, and not by the crash alone with which a disk is tried.
fn is_found(bug: &Bug, deeds: &Deeds) -> bool {
    let is_disk =
        |(_, fault): &&(Span, Fault)| matches!(fault, Fault::DiskBegin(..) | Fault::DiskEnd(..));
    if !deeds.iter().any(|deed| is_disk(&deed)) {
        return finds(bug, deeds);
    }
    let without = deeds.iter().filter(|deed| !is_disk(deed)).cloned().collect();
    finds(bug, deeds) && !finds(bug, &without)
}

/// Tries the bugs under the faults; all of them if `whole`, or else those that are known to find
/// one, and a few others.
fn table(whole: bool) {
    let columns: Vec<_> = [wires(), nodes(), disk_faults()].concat();
    let mut idle: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let mut wrong = Vec::new();
    for (row, bug) in bugs::ALL.iter().enumerate() {
        assert!(!finds(bug, &Vec::new()), "{} without a fault", bug.name);
        let known: Vec<&str> = bug.found_by.split_whitespace().collect();
        let mut found = Vec::new();
        for (at, (class, deeds)) in columns.iter().enumerate() {
            let is_tried = whole || known.contains(class) || (at + 5 * row) % 19 == 0;
            if is_tried && is_found(bug, deeds) {
                found.push(*class);
            }
        }
        println!("{:<20} {}", bug.name, found.join(" "));
        idle.retain(|class| !found.contains(class));
        if found != known {
            wrong.push(format!("{}: {found:?}, not {known:?}", bug.name));
        }
    }
    assert_eq!(idle, [""; 0], "classes that find nothing");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_class_of_faults_finds_a_bug_and_without_faults_nothing_is_found() {
    isolated(|| table(false));
}

/// The whole table: a minute.
#[test]
#[ignore = "it takes a minute; the one above tries what is known to find something"]
fn the_whole_table_of_bugs_and_faults() {
    isolated(|| table(true));
}
