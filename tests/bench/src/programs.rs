//! The programs of `stream.rs` over tokio as it is published, inside the simulated Linux: a process
//! of its own, because the simulated Linux stands in the place of functions of the C library, which
//! the other engines should not pay for.

use seedfall_bench::stream::NODES;
use seedfall_bench::workload::{Done, LATENCY_MAX, LATENCY_MIN, START_TIME};
use seedfall_kernel::{Ended, Limits, Simulation, Zygote, isolated};
use seedfall_net::{Delay, LinkModel, Order};
use seedfall_sim::Duration;
use std::future::Future;
use tokio::{net, time};

seedfall_bench::stream_programs!(net, time, tokio::spawn, address);

fn address(node: usize) -> (String, u16) {
    (format!("n{node}"), STREAM_PORT)
}

/// What `#[tokio::main(flavor = "current_thread")]` makes of a future.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

fn world(seed: u64) -> Simulation {
    let nanos = |span: std::time::Duration| Duration::nanos(span.as_nanos() as u64);
    let delay = Delay::Uniform { min: nanos(LATENCY_MIN), max: nanos(LATENCY_MAX) };
    let link = LinkModel { delay, loss: 0, duplicate: 0, order: Order::Free };
    let horizon = Duration::secs(1 << 30);
    let limits = Limits { horizon, seconds: 600, events: u64::MAX, ..Limits::USUAL };
    Simulation::new(seed).link(link).limits(limits)
}

fn finished(world: &Simulation) -> u64 {
    let report = world.run();
    assert_eq!((report.failures, report.ended), (Vec::new(), Ended::Finished));
    report.hash
}

fn ping_pong(round_trips: u64) -> Done {
    let world = world(1).node("n0", || block_on(ponger()));
    let world = world.client_main("client", move |_| block_on(pinger(round_trips)));
    Done::delivered(2 * round_trips, finished(&world))
}

fn replication(commands: u64) -> Done {
    let world = world(1).node("n0", || block_on(leader()));
    let world = (1..NODES)
        .fold(world, |world, node| world.node(&format!("n{node}"), || block_on(follower())));
    let world = world.client_main("client", move |_| block_on(commander(commands)));
    let check = finished(&world);
    Done { events: 10 * commands, messages: 10 * commands, completed: commands, check }
}

fn idlers(seed: u64, horizon: Duration) -> Simulation {
    let all = (0..NODES)
        .fold(world(seed), |world, node| world.node(&format!("n{node}"), || block_on(idler())));
    all.horizon(horizon)
}

fn start_up(times: u64) -> Done {
    let horizon = Duration::nanos(START_TIME.as_nanos() as u64);
    let make =
        move |asked: &[u8]| idlers(u64::from_le_bytes(asked.try_into().expect("a seed")), horizon);
    let zygote = Zygote::new(make).expect("a process");
    let runs = (0..times).map(|seed| {
        let report = zygote.run(&idlers(seed, horizon), &seed.to_le_bytes());
        assert_eq!((report.failures, report.ended), (Vec::new(), Ended::Horizon));
        report.hash
    });
    let check = runs.fold(0, |sum, hash| sum ^ hash);
    Done::plain(times, check)
}

fn idle(seconds: u64) -> Done {
    let report = idlers(1, Duration::secs(seconds)).run();
    assert_eq!((report.failures, report.ended), (Vec::new(), Ended::Horizon));
    Done::plain(seconds, report.hash)
}

fn main() {
    let mut words = std::env::args().skip(1);
    let (Some(name), Some(size)) = (words.next(), words.next()) else {
        eprintln!("started by seedfall-bench, with a workload and its size");
        std::process::exit(2);
    };
    let size = size.parse().expect("a number");
    isolated(|| {
        let done = match name.as_str() {
            "P1" => ping_pong(size),
            "P2" => replication(size),
            "P3" => start_up(size),
            "P4" => idle(size),
            _ => panic!("no workload {name}"),
        };
        done.print();
    });
}
