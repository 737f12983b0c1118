//! Crashes before the n-th change of files; and what `antithesis_sdk` is offered.

use seedfall_kernel::{Fault, Report, Simulation, isolated, note};
use seedfall_sim::{CrashPoint, Duration as Span};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::sync::OnceLock;
use std::time::Duration;

/// One step.
type Step = fn();

fn log() -> File {
    OpenOptions::new().append(true).open("folder/log").unwrap()
}

/// Each changes files once.
const STEPS: [(&str, Step); 10] = [
    ("mkdir", || fs::create_dir("folder").unwrap()),
    ("make", || drop(File::create("folder/log").unwrap())),
    ("write", || log().write_all(b"one").unwrap()),
    ("write again", || log().write_all(b"two").unwrap()),
    ("sync", || log().sync_data().unwrap()),
    ("cut", || log().set_len(4).unwrap()),
    ("empty", || drop(File::create("folder/log").unwrap())),
    ("rename", || fs::rename("folder/log", "folder/old").unwrap()),
    ("sync of a folder", || File::open("folder").unwrap().sync_all().unwrap()),
    ("remove", || fs::remove_file("folder/old").unwrap()),
];

/// What changes nothing comes between the steps. A second life changes nothing.
fn stepwise() {
    if fs::exists("folder").unwrap() || fs::exists("/tmp/lives").unwrap() {
        note(b"again");
    } else {
        for (name, step) in STEPS {
            note(name.as_bytes());
            step();
            let _ = (fs::read("folder/log"), fs::metadata("folder"), fs::read_dir("folder"));
        }
    }
    std::thread::sleep(Duration::from_secs(1));
}

fn run(points: &[u32]) -> Report {
    let world = Simulation::new(1).node("a", stepwise).file("a", "/etc/hosts", b"");
    let place = world.place("a");
    let crash = |number: &u32| {
        let point = CrashPoint::Change(*number);
        let (begin, end) = (Span::ZERO, Span::millis(500));
        let crash = Fault::CrashAt(place, point, Span::millis(1));
        [(begin, crash), (end, Fault::CrashEnd(place, point))]
    };
    world.plan(points.iter().flat_map(crash)).horizon(Span::secs(3)).run()
}

#[test]
fn a_machine_crashes_before_each_change_of_its_files_and_once() {
    isolated(|| {
        let calm = run(&[]);
        assert_eq!((&calm.failures, calm.nodes[0].changes), (&vec![], STEPS.len() as u64));
        for number in 1..=STEPS.len() {
            let report = run(&[number as u32]);
            assert_eq!(report.failures, []);
            let notes = report.notes_as_text();
            let names = STEPS[..number].iter().map(|(name, _)| (*name).to_owned());
            assert_eq!(notes[..number], names.collect::<Vec<_>>(), "before change {number}");
            assert_eq!(report.effects[0], 1);
            // It starts again, and does not crash again.
            let last = &notes[number..];
            assert!(last == ["again"] || last.len() == STEPS.len(), "{notes:?}");
            assert_eq!(run(&[number as u32]).hash, report.hash, "the same run");
        }
        assert_eq!(run(&[99]).effects, [0, 0], "there are not so many");
    });
}

#[test]
fn a_second_crash_counts_on_through_the_first() {
    isolated(|| {
        // Nothing was durable, and what was made is lost by a draw: the second life makes it anew.
        let report = run(&[2, 4]);
        let notes = report.notes_as_text();
        let effects: Vec<u64> = report.effects.iter().step_by(2).copied().collect();
        let lives = notes.iter().filter(|note| *note == "mkdir" || *note == "again").count();
        assert_eq!(effects[0], 1, "{notes:?}");
        assert_eq!(lives as u64, 1 + effects.iter().sum::<u64>(), "{notes:?}");
    });
}

/// A file that is kept in a static, as the crate keeps it.
static REPORTS: OnceLock<File> = OnceLock::new();

#[test]
fn reports_of_assertions_reach_the_report_from_every_node_and_life() {
    let main = || {
        let path = std::env::var("ANTITHESIS_SDK_LOCAL_OUTPUT").unwrap();
        let open = || OpenOptions::new().create(true).append(true).open(path).unwrap();
        let mut file = REPORTS.get_or_init(open);
        file.write_all(b"{}\n").unwrap();
        std::thread::sleep(Duration::from_secs(9));
    };
    isolated(|| {
        let world = Simulation::new(1).node("a", main).node("b", main);
        let report = world.crash(Span::secs(1), Span::secs(2), "a").horizon(Span::secs(3)).run();
        assert_eq!(report.failures, []);
        let nodes: Vec<usize> = report.records.iter().map(|record| record.node).collect();
        assert_eq!(nodes.iter().filter(|node| **node == 0).count(), 2, "{nodes:?}");
        assert_eq!(nodes.iter().filter(|node| **node == 1).count(), 1, "{nodes:?}");
        assert!(report.records.iter().all(|record| record.bytes == b"{}\n"));
        assert!(report.nodes.iter().all(|node| node.changes == 0), "it is no file");
    });
    assert_eq!(std::env::var("ANTITHESIS_SDK_LOCAL_OUTPUT").ok(), None, "beside it is nothing");
}
