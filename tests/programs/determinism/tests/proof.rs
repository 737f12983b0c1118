//! Fifty seeds of each world have one hash: alone, in threads, in another process; and each source
//! of differences shows something else in two processes, unless they are runs of one seed.

use seedfall_determinism::{sources, worlds};
use seedfall_kernel::{Simulation, isolated};
use std::process::Command;

const ASKED: &str = "SEEDFALL_PROOF_ASKED";

/// Runs this test binary anew, and gives back what it prints between brackets.
fn another_process(asked: &str) -> String {
    another_process_with(asked, "")
}

/// The same, in another folder, with so much more in its environment.
fn another_process_with(asked: &str, long: &str) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["asked_for_another_process", "--exact", "--nocapture"]);
    command.env(ASKED, asked).env_remove("SEEDFALL_KERNEL_ISOLATED");
    if !long.is_empty() {
        command.env("LONG", long).current_dir("/");
    }
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
    let (kind, name) = asked.split_once('/').expect("two words");
    let number = |word: &str| kind.strip_prefix(word).map(|rest| rest.parse::<u64>().unwrap());
    match (number("world"), number("outside")) {
        (Some(threads), _) => {
            let (_, world) = worlds::WORLDS.iter().find(|(other, _)| *other == name).unwrap();
            isolated(|| println!("<<<{:016x}>>>", worlds::hash(*world, 0..50, threads)));
        }
        (_, Some(before)) => {
            // Some sources remember how many threads have asked them.
            let ask = || std::thread::spawn(source(name)).join().unwrap();
            (0..before).for_each(|_| drop(ask()));
            println!("<<<{}>>>", ask());
        }
        _ => isolated(|| {
            let show = source(name);
            let world = Simulation::new(kind.parse().unwrap());
            let report = world.client_main("one", move |_| println!("{}", show())).run();
            assert_eq!(report.failures, []);
            println!("<<<{}>>>", report.node("one").output());
        }),
    }
}

#[test]
fn fifty_seeds_have_one_hash_alone_in_threads_and_in_another_process() {
    for (name, world) in worlds::WORLDS {
        let alone = another_process(&format!("world1/{name}"));
        println!("{name:<12} {alone}");
        let long = "x".repeat(30_000);
        for (threads, long) in [(3, ""), (1, long.as_str())] {
            let hash = another_process_with(&format!("world{threads}/{name}"), long);
            assert_eq!(hash, alone, "{name}, {threads} threads");
        }
        let others = format!("{:016x}", worlds::hash(world, 50..100, 1));
        assert_ne!(others, alone, "{name}: other seeds are other runs");
    }
}

/// How many runs outside it may take until one differs.
const TRIES: u64 = 100;

#[test]
fn every_source_differs_outside_and_is_drawn_inside() {
    for (name, _) in sources::DRAWN.iter().chain(&sources::ADDRESSED) {
        let seen = |asked: &str| another_process(&format!("{asked}/{name}"));
        let one = seen("outside0");
        // A busy machine lets threads through in order now and then.
        let differs = (0..TRIES).any(|tried| seen(&format!("outside{}", 1 + tried % 4)) != one);
        assert!(differs, "{name}: {TRIES} runs outside were the same: {one}");
        let (first, again, other) = (seen("1"), seen("1"), seen("2"));
        println!("{name:<18} {first:.60}");
        assert_eq!(first, again, "{name}");
        // Clocks begin at the same instant whatever the seed, and so does what is made of them, of
        // numbers of threads, and of addresses.
        let drawn = ["tokio::select!", "HashMap", "rand", "uuid"];
        if drawn.contains(name) {
            assert_ne!(first, other, "{name}");
        }
    }
}
