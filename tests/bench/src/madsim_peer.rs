//! The workloads on madsim 0.2.34: a process of its own, because madsim must be compiled with
//! `--cfg madsim` and then replaces functions of the C library, which the other engines should not
//! pay for.
//!
//! Datagrams go through `Endpoint::send_to` and `recv_from`. Each of these calls sleeps, for a
//! millisecond of virtual time at least, so a loop that awaited them one by one would fall behind:
//! sends of one moment are joined, and a node that hears much has several receivers.

mod madsim_stream;

use futures_util::future::join_all;
use madsim::net::Endpoint;
use madsim::runtime::{Handle, NodeHandle, Runtime};
use madsim::time::{Instant, interval, sleep, sleep_until, timeout};
use madsim::{Config, task};
use seedfall_bench::driver::{Disk, Driver, Packet, Peer, std_duration, time};
use seedfall_bench::raft::{self, Load, SESSION_PERIOD, SESSIONS};
use seedfall_bench::workload::{self, Done, PORT};
use seedfall_sim::{ClientId, NodeId, Time};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

const TAG: u64 = 1;

fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(name), Some(size)) = (args.next(), args.next()) else {
        eprintln!("started by seedfall-bench, with a workload and its size");
        std::process::exit(2);
    };
    let size = size.parse().expect("a number");
    workload::keep_freed_memory();
    let done = match name.as_str() {
        "W1" => ping_pong(size),
        "W3" => broadcast(size),
        "W4" => start_up(size),
        "W5" => raft(size),
        "P1" => madsim_stream::ping_pong(size),
        "P2" => madsim_stream::replication(size),
        "P3" => madsim_stream::start_up(size),
        "P4" => madsim_stream::idle(size),
        _ => panic!("no workload {name}"),
    };
    done.print();
}

fn runtime(seed: u64, loss_ppm: u32) -> Runtime {
    let mut config = Config::default();
    config.net.send_latency = workload::LATENCY_MIN..workload::LATENCY_MAX;
    config.net.packet_loss_rate = f64::from(loss_ppm) / 1e6;
    Runtime::with_seed_and_config(seed, config)
}

fn address(node: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, node as u8 + 1], PORT))
}

fn node(runtime: &Runtime, index: usize) -> NodeHandle {
    runtime.create_node().ip(address(index).ip()).build()
}

async fn bind(index: usize) -> Endpoint {
    Endpoint::bind(address(index)).await.expect("the address is free")
}

async fn send(endpoint: &Endpoint, to: SocketAddr, bytes: &[u8]) {
    endpoint.send_to(to, TAG, bytes).await.expect("the socket is open");
}

async fn receive(endpoint: &Endpoint, buffer: &mut [u8]) -> (usize, SocketAddr) {
    endpoint.recv_from(TAG, buffer).await.expect("the socket is open")
}

fn ping_pong(round_trips: u64) -> Done {
    let runtime = runtime(1, 0);
    node(&runtime, 1).spawn(async {
        let endpoint = bind(1).await;
        let mut buffer = [0; 8];
        loop {
            let (_, from) = receive(&endpoint, &mut buffer).await;
            send(&endpoint, from, &buffer).await;
        }
    });
    let pinger = node(&runtime, 0).spawn(async move {
        // The other node listens by then.
        sleep(workload::LATENCY_MIN).await;
        let endpoint = bind(0).await;
        let mut buffer = [0; 8];
        for count in 0..round_trips {
            send(&endpoint, address(1), &count.to_le_bytes()).await;
            receive(&endpoint, &mut buffer).await;
            assert_eq!(buffer, count.to_le_bytes());
        }
    });
    runtime.block_on(pinger).expect("the pinger ends");
    Done::delivered(2 * round_trips, 0)
}

/// As many as keep up with 4,900 messages a virtual second, each taking a millisecond of its
/// receiver.
const BROADCAST_RECEIVERS: usize = 16;

fn broadcast(millis: u64) -> Done {
    let runtime = runtime(1, workload::BROADCAST_LOSS_PPM);
    let heard = Arc::new(AtomicU64::new(0));
    for index in 0..workload::BROADCAST_NODES {
        let heard = heard.clone();
        node(&runtime, index).spawn(async move {
            let endpoint = bind(index).await;
            for _ in 0..BROADCAST_RECEIVERS {
                let (endpoint, heard) = (endpoint.clone(), heard.clone());
                task::spawn(async move {
                    let mut buffer = [0; 8];
                    loop {
                        receive(&endpoint, &mut buffer).await;
                        heard.fetch_add(1, Relaxed);
                    }
                });
            }
            let mut ticks = interval(workload::BROADCAST_PERIOD);
            ticks.tick().await;
            for count in 1_u64.. {
                ticks.tick().await;
                let bytes = count.to_le_bytes();
                let others = (0..workload::BROADCAST_NODES).filter(|other| *other != index);
                join_all(others.map(|other| send(&endpoint, address(other), &bytes))).await;
            }
        });
    }
    runtime.block_on(async { sleep(std::time::Duration::from_millis(millis)).await });
    Done::delivered(heard.load(Relaxed), 0)
}

fn start_up(times: u64) -> Done {
    for seed in 0..times {
        let runtime = runtime(seed, 0);
        for index in 0..workload::START_NODES {
            node(&runtime, index).spawn(async { sleep(workload::BROADCAST_PERIOD).await });
        }
        runtime.block_on(async { sleep(workload::START_TIME).await });
    }
    Done::plain(times, 0)
}

/// The host that stands for all clients.
const CLIENTS: usize = 100;
/// As many as keep up with what a leader hears.
const RAFT_RECEIVERS: usize = 4;

fn raft(lives: u64) -> Done {
    let (messages, completed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    for seed in 0..lives {
        let runtime = runtime(seed, 0);
        let (messages, completed) = (messages.clone(), completed.clone());
        runtime.block_on(raft_life(seed, messages, completed));
    }
    let events = lives * raft::LIFE.as_nanos() / 1_000_000_000;
    Done { events, messages: messages.load(Relaxed), completed: completed.load(Relaxed), check: 0 }
}

async fn raft_life(seed: u64, messages: Arc<AtomicU64>, completed: Arc<AtomicU64>) {
    let (handle, began) = (Handle::current(), Instant::now());
    let mut nodes = Vec::new();
    for index in 0..raft::NODES {
        let disk = Disk::default();
        let messages = messages.clone();
        let init = move || raft_node(index, seed, disk.clone(), began, messages.clone());
        nodes.push(handle.create_node().ip(address(index).ip()).init(init).build().id());
    }
    let client = handle.create_node().ip(address(CLIENTS).ip()).build();
    client.spawn(raft_clients(messages, completed));
    let mut now = Time::ZERO;
    for turn in 0..raft::LIFE.as_nanos() / raft::CRASH_PERIOD.as_nanos() {
        let victim = nodes[turn as usize % raft::NODES];
        now += raft::CRASH_PERIOD;
        let up = std_duration(now.since(Time::ZERO));
        sleep_until(began + (up - std_duration(raft::DOWN))).await;
        handle.kill(victim);
        sleep_until(began + up).await;
        handle.restart(victim);
    }
}

/// Puts what arrives into a channel, so that a handler never loses a datagram that it was not ready
/// for.
fn receivers(endpoint: &Endpoint, messages: &Arc<AtomicU64>) -> mpsc::UnboundedReceiver<Vec<u8>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    for _ in 0..RAFT_RECEIVERS {
        let (endpoint, sender, messages) = (endpoint.clone(), sender.clone(), messages.clone());
        task::spawn(async move {
            let mut buffer = [0; 2048];
            loop {
                let (length, _) = receive(&endpoint, &mut buffer).await;
                messages.fetch_add(1, Relaxed);
                let _ = sender.send(buffer[..length].to_vec());
            }
        });
    }
    receiver
}

async fn raft_node(index: usize, seed: u64, disk: Disk, began: Instant, messages: Arc<AtomicU64>) {
    let endpoint = bind(index).await;
    let mut arrivals = receivers(&endpoint, &messages);
    let id = NodeId::new(index as u16);
    let mut driver = Driver::start(id, raft::NODES, seed, disk, time(began.elapsed()));
    loop {
        let sends = driver.outbox.drain(..).map(|(to, bytes)| {
            let endpoint = &endpoint;
            async move {
                let to = match to {
                    Peer::Node(node) => address(node.index()),
                    Peer::Clients => address(CLIENTS),
                };
                send(endpoint, to, &bytes).await;
            }
        });
        join_all(sends).await;
        let wait = driver
            .next_timer()
            .map_or(std_duration(raft::LIFE), |at| std_duration(at.since(time(began.elapsed()))));
        match timeout(wait, arrivals.recv()).await {
            Ok(Some(bytes)) => driver.receive(&bytes, time(began.elapsed())),
            Ok(None) => return,
            Err(_) => driver.ring(time(began.elapsed())),
        }
    }
}

async fn raft_clients(messages: Arc<AtomicU64>, completed: Arc<AtomicU64>) {
    let endpoint = bind(CLIENTS).await;
    let load = Arc::new(Mutex::new(Load::default()));
    let mut arrivals = receivers(&endpoint, &messages);
    let hearing = load.clone();
    task::spawn(async move {
        while let Some(bytes) = arrivals.recv().await {
            let mut load = hearing.lock().expect("nobody panics");
            completed.fetch_add(u64::from(load.on_packet(Packet::decode(&bytes))), Relaxed);
        }
    });
    let mut ticks = interval(std_duration(SESSION_PERIOD.scale(1, SESSIONS as u64)));
    for tick in 0_u64.. {
        ticks.tick().await;
        let client = ClientId::new((tick % SESSIONS as u64) as u16);
        let (to, packet) = load.lock().expect("nobody panics").ask_packet(client);
        send(&endpoint, address(to.index()), &packet.encode()).await;
    }
}
