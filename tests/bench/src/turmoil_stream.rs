//! The programs of `stream.rs` on turmoil's TCP.

use crate::turmoil_peer::{name, simulation};
use seedfall_bench::stream::NODES;
use seedfall_bench::workload::{Done, START_TIME};
use std::net::SocketAddr;
use tokio::time;
use turmoil::net;

seedfall_bench::stream_programs!(net, time, tokio::spawn, address);

fn address(node: usize) -> SocketAddr {
    (turmoil::lookup(name(node)), STREAM_PORT).into()
}

/// P1.
pub fn ping_pong(round_trips: u64) -> Done {
    let mut sim = simulation(1);
    sim.host(name(0), || async { Ok(ponger().await?) });
    sim.client("client", async move {
        pinger(round_trips).await;
        Ok(())
    });
    sim.run().expect("nobody fails");
    Done::delivered(2 * round_trips, 0)
}

/// P2.
pub fn replication(commands: u64) -> Done {
    let mut sim = simulation(1);
    for node in 1..NODES {
        sim.host(name(node), || async { Ok(follower().await?) });
    }
    sim.host(name(0), || async { Ok(leader().await?) });
    sim.client("client", async move {
        commander(commands).await;
        Ok(())
    });
    sim.run().expect("nobody fails");
    Done { events: 10 * commands, messages: 10 * commands, completed: commands, check: 0 }
}

fn idlers(seed: u64, span: Span) {
    let mut sim = simulation(seed);
    for node in 0..NODES {
        sim.host(name(node), || async { Ok(idler().await?) });
    }
    sim.client("client", async move {
        time::sleep(span).await;
        Ok(())
    });
    sim.run().expect("nobody fails");
}

/// P3.
pub fn start_up(times: u64) -> Done {
    (0..times).for_each(|seed| idlers(seed, START_TIME));
    Done::plain(times, 0)
}

/// P4.
pub fn idle(seconds: u64) -> Done {
    idlers(1, Span::from_secs(seconds));
    Done::plain(seconds, 0)
}
