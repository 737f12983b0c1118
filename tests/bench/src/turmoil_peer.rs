//! The workloads on turmoil 0.7.2.
//!
//! Datagrams go through its `UdpSocket`; the tick is the default of 1 ms, and so is the law of
//! latency, an exponential of whole ticks between the two bounds. turmoil has no loss of single
//! messages (its failures cut a link), so in W3 the sender leaves out one message in a hundred.

use seedfall_bench::driver::{Disk, Driver, Packet, Peer, std_duration, time};
use seedfall_bench::raft::{self, Load, SESSION_PERIOD, SESSIONS};
use seedfall_bench::workload::{self, Done, PORT};
use seedfall_sim::{ClientId, Draws, NodeId, Seed, Site, Time};
use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, interval, sleep, timeout};
use turmoil::net::UdpSocket;
use turmoil::{Builder, Sim};

const NEVER: Duration = Duration::from_secs(1 << 40);

pub(crate) fn simulation(seed: u64) -> Sim<'static> {
    Builder::new()
        .rng_seed(seed)
        .simulation_duration(NEVER)
        .min_message_latency(workload::LATENCY_MIN)
        .max_message_latency(workload::LATENCY_MAX)
        // Room for every datagram of one tick.
        .udp_capacity(4096)
        .build()
}

pub(crate) fn name(node: usize) -> String {
    format!("n{node}")
}

async fn bind() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).await.expect("the port is free")
}

fn address(name: &str) -> SocketAddr {
    (turmoil::lookup(name), PORT).into()
}

/// W1.
pub fn ping_pong(round_trips: u64) -> Done {
    let mut sim = simulation(1);
    sim.host("ponger", || async {
        let (socket, mut buffer) = (bind().await, [0; 8]);
        loop {
            let (_, from) = socket.recv_from(&mut buffer).await?;
            socket.send_to(&buffer, from).await?;
        }
    });
    sim.client("pinger", async move {
        let (socket, mut buffer) = (bind().await, [0; 8]);
        let ponger = address("ponger");
        for count in 0..round_trips {
            socket.send_to(&count.to_le_bytes(), ponger).await?;
            socket.recv_from(&mut buffer).await?;
            assert_eq!(buffer, count.to_le_bytes());
        }
        Ok(())
    });
    sim.run().expect("nobody fails");
    Done::delivered(2 * round_trips, 0)
}

/// W3.
pub fn broadcast(millis: u64) -> Done {
    let mut sim = simulation(1);
    let heard = Rc::new(Cell::new(0));
    for index in 0..workload::BROADCAST_NODES {
        let heard = heard.clone();
        sim.host(name(index), move || broadcaster(index, heard.clone()));
    }
    sim.client("end", async move {
        sleep(Duration::from_millis(millis)).await;
        Ok(())
    });
    sim.run().expect("nobody fails");
    Done::delivered(heard.get(), 0)
}

async fn broadcaster(index: usize, heard: Rc<Cell<u64>>) -> turmoil::Result {
    let socket = Rc::new(bind().await);
    let receiver = socket.clone();
    tokio::task::spawn_local(async move {
        let mut buffer = [0; 8];
        while receiver.recv_from(&mut buffer).await.is_ok() {
            heard.set(heard.get() + 1);
        }
    });
    let others: Vec<SocketAddr> = (0..workload::BROADCAST_NODES)
        .filter(|other| *other != index)
        .map(|other| address(&name(other)))
        .collect();
    let mut draws = Draws::new(Seed(index as u64), 0, 0);
    let mut ticks = interval(workload::BROADCAST_PERIOD);
    ticks.tick().await;
    for count in 1_u64.. {
        ticks.tick().await;
        for other in &others {
            if !draws.draw(Site::Plan).chance(workload::BROADCAST_LOSS_PPM) {
                socket.send_to(&count.to_le_bytes(), other).await?;
            }
        }
    }
    Ok(())
}

/// W4.
pub fn start_up(times: u64) -> Done {
    for seed in 0..times {
        let mut sim = simulation(seed);
        for index in 0..workload::START_NODES {
            sim.host(name(index), || async {
                sleep(workload::BROADCAST_PERIOD).await;
                Ok(())
            });
        }
        // A tick is a millisecond.
        sim.step().expect("nobody fails");
    }
    Done::plain(times, 0)
}

/// The host that stands for all clients.
const CLIENTS: &str = "clients";

/// W5.
pub fn raft(lives: u64) -> Done {
    let (messages, completed) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    for seed in 0..lives {
        raft_life(seed, &messages, &completed);
    }
    let events = lives * raft::LIFE.as_nanos() / 1_000_000_000;
    Done { events, messages: messages.get(), completed: completed.get(), check: 0 }
}

fn raft_life(seed: u64, messages: &Rc<Cell<u64>>, completed: &Rc<Cell<u64>>) {
    let mut sim = simulation(seed);
    for index in 0..raft::NODES {
        let (disk, messages) = (Disk::default(), messages.clone());
        sim.host(name(index), move || raft_node(index, seed, disk.clone(), messages.clone()));
    }
    let (messages, completed) = (messages.clone(), completed.clone());
    sim.host(CLIENTS, move || raft_clients(messages.clone(), completed.clone()));
    let run_until = |sim: &mut Sim<'_>, end: Time| {
        while time(sim.elapsed()) < end {
            sim.step().expect("nobody fails");
        }
    };
    let mut now = Time::ZERO;
    for turn in 0..raft::LIFE.as_nanos() / raft::CRASH_PERIOD.as_nanos() {
        let victim = name(turn as usize % raft::NODES);
        run_until(&mut sim, now + (raft::CRASH_PERIOD - raft::DOWN));
        sim.crash(victim.as_str());
        now += raft::CRASH_PERIOD;
        run_until(&mut sim, now);
        sim.bounce(victim.as_str());
    }
}

async fn raft_node(
    index: usize,
    seed: u64,
    disk: Disk,
    messages: Rc<Cell<u64>>,
) -> turmoil::Result {
    let socket = bind().await;
    let nodes: Vec<SocketAddr> = (0..raft::NODES).map(|node| address(&name(node))).collect();
    let clients = address(CLIENTS);
    let now = || time(turmoil::sim_elapsed().expect("inside of a simulation"));
    let id = NodeId::new(index as u16);
    let mut driver = Driver::start(id, raft::NODES, seed, disk, now());
    let mut buffer = [0; 2048];
    loop {
        for (to, bytes) in driver.outbox.drain(..) {
            let to = match to {
                Peer::Node(node) => nodes[node.index()],
                Peer::Clients => clients,
            };
            socket.send_to(&bytes, to).await?;
        }
        let wait = driver.next_timer().map_or(NEVER, |at| std_duration(at.since(now())));
        match timeout(wait, socket.recv_from(&mut buffer)).await {
            Ok(arrival) => {
                let (length, _) = arrival?;
                messages.set(messages.get() + 1);
                driver.receive(&buffer[..length], now());
            }
            Err(_) => driver.ring(now()),
        }
    }
}

async fn raft_clients(messages: Rc<Cell<u64>>, completed: Rc<Cell<u64>>) -> turmoil::Result {
    let socket = bind().await;
    let nodes: Vec<SocketAddr> = (0..raft::NODES).map(|node| address(&name(node))).collect();
    let (mut load, mut buffer) = (Load::default(), [0; 2048]);
    let period = std_duration(SESSION_PERIOD.scale(1, SESSIONS as u64));
    let (mut next, mut turn) = (Instant::now() + period, 0);
    loop {
        match tokio::time::timeout_at(next, socket.recv_from(&mut buffer)).await {
            Ok(arrival) => {
                let (length, _) = arrival?;
                messages.set(messages.get() + 1);
                let done = load.on_packet(Packet::decode(&buffer[..length]));
                completed.set(completed.get() + u64::from(done));
            }
            Err(_) => {
                next += period;
                turn = (turn + 1) % SESSIONS as u16;
                let (to, packet) = load.ask_packet(ClientId::new(turn));
                socket.send_to(&packet.encode(), nodes[to.index()]).await?;
            }
        }
    }
}
