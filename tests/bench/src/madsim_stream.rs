//! The programs of `stream.rs` on madsim's TCP.

use super::{node, runtime};
use madsim::task::spawn;
use madsim::{net, time};
use seedfall_bench::stream::NODES;
use seedfall_bench::workload::{Done, START_TIME};
use std::net::SocketAddr;

seedfall_bench::stream_programs!(net, time, spawn, address);

fn address(node: usize) -> SocketAddr {
    super::address(node)
}

/// The node on which clients are.
const CLIENT: usize = 50;

pub(super) fn ping_pong(round_trips: u64) -> Done {
    let runtime = runtime(1, 0);
    node(&runtime, 0).spawn(ponger());
    let client = node(&runtime, CLIENT).spawn(pinger(round_trips));
    runtime.block_on(client).expect("the client ends");
    Done::delivered(2 * round_trips, 0)
}

pub(super) fn replication(commands: u64) -> Done {
    let runtime = runtime(1, 0);
    node(&runtime, 0).spawn(leader());
    for follower_node in 1..NODES {
        node(&runtime, follower_node).spawn(follower());
    }
    let client = node(&runtime, CLIENT).spawn(commander(commands));
    runtime.block_on(client).expect("the client ends");
    Done { events: 10 * commands, messages: 10 * commands, completed: commands, check: 0 }
}

fn idlers(seed: u64, span: Span) {
    let runtime = runtime(seed, 0);
    for index in 0..NODES {
        node(&runtime, index).spawn(idler());
    }
    runtime.block_on(async move { time::sleep(span).await });
}

pub(super) fn start_up(times: u64) -> Done {
    (0..times).for_each(|seed| idlers(seed, START_TIME));
    Done::plain(times, 0)
}

pub(super) fn idle(seconds: u64) -> Done {
    idlers(1, Span::from_secs(seconds));
    Done::plain(seconds, 0)
}
