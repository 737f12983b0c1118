//! Programs that end badly: each end is a verdict, and none is that of the test.

use seedfall_kernel::{Ended, Failure, Limits, Report, Simulation, isolated};
use seedfall_sim::Duration as Span;
use std::time::Duration;

fn run(main: impl Fn() + Send + Sync + 'static) -> Report {
    let limits = Limits { seconds: 20, spin: 1, memory: 512 << 20, ..Limits::USUAL };
    Simulation::new(7).node("bad", main).limits(limits).run()
}

fn only(report: &Report) -> &Failure {
    println!("{}", report.failures.iter().map(|one| format!("{one}\n")).collect::<String>());
    report.failure().expect("it failed")
}

#[test]
fn what_is_printed_without_a_newline_is_not_lost() {
    isolated(|| {
        let report = run(|| std::io::Write::write_all(&mut std::io::stdout(), b"half").unwrap());
        assert_eq!(report.node("bad").output(), "half");
    });
}

#[test]
fn a_panic_says_whose_and_where() {
    isolated(|| {
        let falls = || {
            println!("before");
            std::thread::sleep(Duration::from_millis(3));
            panic!("the sky falls");
        };
        let report = run(falls);
        let Failure::Panic { node, at, message } = only(&report) else { panic!("{report:?}") };
        assert_eq!((node.as_str(), at.as_nanos() / 1_000), ("bad", 3_000));
        assert!(message.contains("the sky falls") && message.contains("verdicts.rs"), "{message}");
        assert!(matches!(report.failures[1], Failure::Exit { code: 101, .. }));
        assert!(report.node("bad").output().starts_with("before\n"));
        assert!(report.node("bad").output().contains("the sky falls"));
        assert_eq!(report.hash, run(falls).hash);
    });
}

#[test]
fn a_panic_that_a_runtime_swallows_is_told() {
    isolated(|| {
        let report = run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let swallowed = runtime
                .block_on(async { tokio::spawn(async { panic!("nobody looks") }).await.is_err() });
            assert!(swallowed);
        });
        assert!(matches!(only(&report), Failure::Panic { message, .. }
            if message.contains("nobody looks")));
        assert_eq!(report.node("bad").exits.len(), 1);
    });
}

#[test]
fn ends_have_codes() {
    isolated(|| {
        let report = run(|| std::process::exit(3));
        assert!(matches!(only(&report), Failure::Exit { code: 3, .. }));
        assert_eq!(report.ended, Ended::Stuck);
        let report = run(|| std::process::abort());
        assert!(matches!(only(&report), Failure::Exit { code: 134, .. }));
        let report = Simulation::new(1).node("bad", || Err::<(), _>("no luck")).run();
        assert!(matches!(only(&report), Failure::Exit { code: 1, .. }));
        assert_eq!(report.node("bad").output(), "Error: \"no luck\"\n");
        let report = run(|| ());
        assert_eq!((report.failures.len(), report.ended), (0, Ended::Stuck));
    });
}

#[test]
fn every_node_can_exit_and_each_of_its_lives() {
    // The standard library keeps in a static who exits, and lets any other thread wait for ever.
    isolated(|| {
        let exits: fn() = || std::process::exit(3);
        let simulation = Simulation::new(1).node("one", exits).node("two", exits);
        let two = simulation.place("two");
        let report = simulation.fault(Span::secs(1), seedfall_kernel::Fault::Restart(two)).run();
        let codes: Vec<i32> = report.nodes.iter().flat_map(|n| &n.exits).map(|e| e.1).collect();
        assert_eq!(codes, [3, 3, 3]);
    });
}

#[test]
fn a_loop_without_a_call_is_stopped_and_its_stack_shown() {
    #[inline(never)]
    fn spinning_here() {
        let mut number = 1_u64;
        while std::hint::black_box(number) != 0 {
            number = number.wrapping_mul(3);
        }
    }
    isolated(|| {
        let report = run(spinning_here);
        let Failure::Spin { node, stack, .. } = only(&report) else { panic!("{report:?}") };
        assert_eq!(node, "bad");
        assert!(stack.contains("spinning_here") || cfg!(not(debug_assertions)), "{stack}");
    });
}

#[test]
fn a_loop_that_polls_the_clock_lets_time_pass() {
    isolated(|| {
        let report = run(|| {
            let began = std::time::Instant::now();
            while began.elapsed() < Duration::from_millis(100) {}
            while began.elapsed() < Duration::from_millis(200) {
                std::thread::yield_now();
            }
        });
        assert_eq!(report.failures, []);
        assert!(report.at.as_nanos() >= 200_000_000);
    });
}

#[test]
fn memory_without_an_end_is_a_verdict() {
    isolated(|| {
        let report = run(|| {
            let mut all = Vec::new();
            loop {
                all.push(vec![1_u8; 16 << 20]);
            }
        });
        assert!(matches!(only(&report), Failure::Memory { .. }));
    });
}

#[test]
fn signals_of_the_processor_are_verdicts() {
    #[expect(unconditional_recursion, reason = "it is to overflow its stack")]
    fn deeper(by: u64) -> u64 {
        std::hint::black_box(deeper(std::hint::black_box(by) + 1)) + by
    }
    isolated(|| {
        let report = run(|| assert_ne!(deeper(1), 0));
        assert!(matches!(only(&report), Failure::Signal { signal, node, .. }
            if signal.contains("overflow") && node == "bad"));
    });
}

#[test]
fn what_is_not_simulated_is_named() {
    isolated(|| {
        let report = run(|| drop(std::process::Command::new("true").status()));
        let Failure::Unsupported { call, stack, .. } = only(&report) else { panic!("{report:?}") };
        assert!(call.contains("spawn") || call.contains("fork"), "{call}");
        // Without the information for debuggers, some names are missing.
        assert!(stack.contains("verdicts") || cfg!(not(debug_assertions)), "{stack}");
    });
}

#[test]
fn who_waits_for_each_other_is_stuck() {
    isolated(|| {
        let report = Simulation::new(1)
            .node("waits", || {
                let (sender, receiver) = std::sync::mpsc::channel::<()>();
                let _ = receiver.recv();
                drop(sender);
            })
            .run();
        assert_eq!((report.failures.len(), report.ended), (0, Ended::Stuck));
    });
}

#[test]
fn a_world_that_cannot_be_is_refused() {
    let setup = |simulation: Simulation| match simulation.run().failure() {
        Some(Failure::Setup(wrong)) => wrong.clone(),
        other => panic!("{other:?}"),
    };
    assert!(setup(Simulation::new(1)).contains("needs a node"));
    let twice = Simulation::new(1).node("a", || ()).node("a", || ());
    assert!(setup(twice).contains("two nodes are called `a`"));
}

#[test]
fn events_without_an_end_are_a_storm() {
    isolated(|| {
        let limits = Limits { events: 100_000, horizon: Span::secs(10_000), ..Limits::USUAL };
        let storm = || {
            while std::hint::black_box(true) {
                std::thread::sleep(Duration::from_micros(1));
            }
        };
        let report = Simulation::new(1).node("bad", storm).limits(limits).run();
        assert!(matches!(only(&report), Failure::Storm { .. }));
    });
}
