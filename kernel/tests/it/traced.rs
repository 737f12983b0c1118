//! What a run that is kept whole tells, and that keeping it changes nothing.

use seedfall_kernel::{Course, Fork, Report, Simulation, isolated};
use seedfall_net::Disturbance;
use seedfall_sim::{Duration as Span, Kind, Override, Recording, Seed, Site};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

fn server() {
    println!("up");
    let listener = TcpListener::bind("0.0.0.0:80").unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        std::thread::spawn(move || {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            for line in lines.map_while(Result::ok) {
                std::fs::write("/work/new", &line).unwrap();
                std::fs::rename("/work/new", "/work/value").unwrap();
                if stream.write_all(format!("got {line}\n").as_bytes()).is_err() {
                    return;
                }
            }
        });
    }
}

fn client() {
    std::thread::sleep(Duration::from_millis(20));
    let datagrams = UdpSocket::bind("0.0.0.0:0").unwrap();
    let _ = datagrams.send_to(b"is anybody there?", "server:9");
    for number in 0..10 {
        seedfall_kernel::log(|| format!("asks {number}"));
        let Ok(mut stream) = TcpStream::connect("server:80") else { continue };
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let _ = stream.write_all(format!("put {number}\n").as_bytes());
        let mut answer = String::new();
        let _ = BufReader::new(stream).read_line(&mut answer);
        seedfall_kernel::note(answer.trim().as_bytes());
        std::thread::sleep(Duration::from_millis(30));
    }
}

fn world() -> Simulation {
    let loss = Disturbance::Loss { ppm: 200_000 };
    Simulation::new(0)
        .node("server", server)
        .client_main("client", |_| client())
        .fault(Span::millis(50), seedfall_kernel::Fault::Begin(loss.clone()))
        .fault(Span::millis(900), seedfall_kernel::Fault::End(loss))
        .crash(Span::millis(1_000), Span::millis(1_100), "server")
}

fn run(course: &Course) -> Report {
    let report = world().course(course.clone()).run();
    assert_eq!(report.failures, []);
    report
}

fn full(seed: u64) -> Course {
    Course { recording: Recording::Full, ..Course::of(Seed(seed)) }
}

fn has(report: &Report, kind: Kind, text: &str) -> bool {
    report.trace.iter().any(|entry| entry.event.kind == kind && entry.text.contains(text))
}

#[test]
fn a_run_that_is_kept_is_the_run_that_is_not_and_tells_what_happened() {
    isolated(|| {
        for seed in 0..50 {
            let plain = run(&Course::of(Seed(seed)));
            let kept = run(&full(seed));
            assert_eq!((plain.hash, plain.events), (kept.hash, kept.events));
            assert_eq!(plain.trace, []);
            assert_eq!(kept.trace.len() as u64, kept.events);
            assert_eq!(kept.trace.last().unwrap().hash, kept.hash);
            let ring = run(&Course { recording: Recording::Ring(9), ..full(seed) });
            assert_eq!(ring.hash, plain.hash);
            let last = &kept.trace[kept.trace.len() - 9..];
            assert!(last.iter().zip(&ring.trace).all(|(one, two)| one.event == two.event));
            let logged = run(&Course { log_draws: true, ..full(seed) });
            assert_eq!(logged.trace, kept.trace);
            assert!(logged.draws.len() > 20);
        }
        let report = run(&full(1));
        let all: Vec<String> = report.trace.iter().map(ToString::to_string).collect();
        let all = all.join("\n");
        for (kind, text) in [
            (Kind::Start, ""),
            (Kind::Output, "up"),
            (Kind::Connect, "client:32770 connects to server:80"),
            (Kind::Connect, "server:80 accepts client:32770"),
            (Kind::Send, "SYN"),
            (Kind::Send, "put 3"),
            (Kind::Send, "again: "),
            (Kind::Deliver, "got put 3"),
            (Kind::Drop, ""),
            (Kind::File, "makes /work/new"),
            (Kind::File, "writes /work/new, 5 bytes: put 0"),
            (Kind::File, "renames /work/new to /work/value"),
            (Kind::Note, "got put 0"),
            (Kind::Send, "is anybody there?"),
            (Kind::Fault, "begins: "),
            (Kind::Fault, "ends: "),
            (Kind::Crash, "not durable"),
        ] {
            assert!(has(&report, kind, text), "{kind:?} {text}\n{all}");
        }
        assert_eq!(report.logs.len(), 10);
        assert_eq!(report.logs[0].bytes, b"asks 0");
        assert!(report.sent > report.deliveries && report.lost > 0);
    });
}

#[test]
fn a_run_ends_where_it_is_told_to_and_dull_draws_are_dull() {
    isolated(|| {
        let whole = run(&full(2));
        for until in [1, 50, 120, whole.events - 1] {
            let part = run(&Course { until: Some(until), ..full(2) });
            assert_eq!(part.trace[..], whole.trace[..part.trace.len()]);
            assert!((until..until + 20).contains(&part.events), "{until}, {}", part.events);
        }
        let calm = run(&Course { random: Some(BTreeSet::new()), log_draws: true, ..full(2) });
        assert_eq!(calm.lost, 0, "nothing is lost where all is nominal");
        let link = calm.draws.iter().find(|(one, _)| matches!(one.site, Site::Link(..))).unwrap();
        let overrides = [(link.0, Override::Words([0; 4]))].into();
        let other = run(&Course { overrides, ..full(2) });
        assert_ne!(other.hash, whole.hash);
    });
}

#[test]
fn a_part_of_a_run_has_no_arrival_that_the_whole_has_not() {
    isolated(|| {
        let whole = run(&full(3));
        let arrives = |one: &&seedfall_sim::Entry| one.event.kind == Kind::Deliver;
        let all: Vec<_> = whole.trace.iter().filter(arrives).map(|one| one.event).collect();
        let same = run(&Course { only: Some(Arc::new(all.clone())), ..full(3) });
        assert_eq!(same.hash, whole.hash, "all of it is the whole");
        let half = Arc::new(all[..all.len() / 2].to_vec());
        let part = run(&Course { only: Some(half), ..full(3) });
        let arrived = part.trace.iter().filter(arrives).count();
        assert!(0 < arrived && arrived <= all.len() / 2, "{arrived} of {}", all.len());
    });
}

#[test]
fn a_fork_has_the_same_past_and_its_own_future() {
    isolated(|| {
        let whole = run(&full(4));
        let after = whole.events / 2;
        let forked = |seed| {
            let fork = Some(Fork { after, seed: Seed(seed), faults: None });
            run(&Course { fork, ..full(4) })
        };
        let (one, again, two) = (forked(1), forked(1), forked(2));
        assert_eq!(one.trace, again.trace);
        assert_ne!(one.hash, two.hash);
        let forks: Vec<Fork> =
            (0..7).map(|seed| Fork { after, seed: Seed(seed), faults: None }).collect();
        let world = world().course(full(4));
        for jobs in [1, 3] {
            let all = world.futures(&forks, jobs);
            let hashes: Vec<u64> = all.iter().map(|report| report.hash).collect();
            let alone: Vec<u64> = (0..7).map(|seed| forked(seed).hash).collect();
            assert_eq!(hashes, alone, "a process that is forked is the run from its beginning");
            assert_eq!(all[1].trace, one.trace);
            assert_eq!(all[2].notes, two.notes);
        }
        let late: Vec<Fork> = (0..2)
            .map(|seed| Fork { after: whole.events + 1, seed: Seed(seed), faults: None })
            .collect();
        let all = world.futures(&late, 1);
        assert_eq!([all[0].hash, all[1].hash], [whole.hash; 2], "it never comes to its turn");
        for report in [&one, &two] {
            assert_eq!(report.trace[..after as usize], whole.trace[..after as usize]);
        }
    });
}
