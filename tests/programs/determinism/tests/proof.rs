//! Fifty seeds of each world have one hash: alone, in threads, in another process; and each source
//! of differences shows something else in two processes, unless they are runs of one seed.

use seedfall_determinism::{sources, worlds};
use seedfall_kernel::{Simulation, isolated};
use std::process::Command;

const ASKED: &str = "SEEDFALL_PROOF_ASKED";

/// Runs this test binary anew, and gives back what it prints between brackets.
fn another_process(asked: &str) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["asked_for_another_process", "--exact", "--nocapture"]);
    command.env(ASKED, asked).env_remove("SEEDFALL_KERNEL_ISOLATED");
    command.env("LONG", "x".repeat(30_000)).current_dir("/");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = text.split_once("<<<").and_then(|(_, rest)| rest.split_once(">>>"));
    found
        .unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
        .0
        .to_owned()
}

/// Does what another process asks for; nothing for people.
#[test]
fn asked_for_another_process() {
    let Ok(asked) = std::env::var(ASKED) else { return };
    let source = |name: &str| {
        let mut all = sources::DRAWN.iter().chain(&sources::ADDRESSED);
        all.find(|(other, _)| *other == name).expect("a source").1
    };
    match asked.split_once('/').expect("two words") {
        ("world", name) => {
            let (_, world) = worlds::WORLDS.iter().find(|(other, _)| *other == name).unwrap();
            isolated(|| println!("<<<{:016x}>>>", worlds::hash(*world, 0..50, 1)));
        }
        ("outside", name) => println!("<<<{}>>>", source(name)()),
        (seed, name) => isolated(|| {
            let show = source(name);
            let world = Simulation::new(seed.parse().unwrap());
            let report = world.client_main("one", move |_| println!("{}", show())).run();
            assert_eq!(report.failures, []);
            println!("<<<{}>>>", report.node("one").output());
        }),
    }
}

#[test]
fn fifty_seeds_have_one_hash_alone_in_threads_and_in_another_process() {
    isolated(|| {
        for (name, world) in worlds::WORLDS {
            let alone = worlds::hash(world, 0..50, 1);
            println!("{name:<12} {alone:016x}");
            assert_eq!(worlds::hash(world, 0..50, 3), alone, "{name} in threads");
            assert_eq!(
                another_process(&format!("world/{name}")),
                format!("{alone:016x}"),
                "{name}"
            );
            assert_ne!(
                worlds::hash(world, 50..100, 1),
                alone,
                "{name}: other seeds are other runs"
            );
        }
    });
}

#[test]
fn every_source_differs_outside_and_is_drawn_inside() {
    for (name, _) in sources::DRAWN.iter().chain(&sources::ADDRESSED) {
        let seen = |asked: &str| another_process(&format!("{asked}/{name}"));
        let (one, two) = (seen("outside"), seen("outside"));
        // A machine of one core could let threads through in order; a clock never stands still.
        assert_ne!(one, two, "{name}");
        let (first, again, other) = (seen("1"), seen("1"), seen("2"));
        println!("{name:<18} {first:.60}");
        assert_eq!(first, again, "{name}");
        // Names, numbers and clocks are a machine's own, whatever the seed.
        let fixed = ["thread ids", "Instant", "SystemTime", "parking_lot's fairness", "an address"];
        assert_eq!(first == other, fixed.contains(name), "{name}: {first} and {other}");
    }
}
