//! Five worlds of programs, and the hash of many seeds of each: the same wherever it is computed.

use crate::sources;
use seedfall_kernel::{ClientContext, Simulation, Zygote};
use seedfall_net::Disturbance;
use seedfall_sim::{Duration as Span, Entry, Recording};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

/// A world, by its name.
pub type World = (&'static str, fn(u64) -> Simulation);

/// All of them. The last one looks at addresses, and is another one in another build.
pub const WORLDS: [World; 6] = [
    ("register", register),
    ("key-value", key_value),
    ("gossip", gossip),
    ("threads", threads),
    ("sources", drawn_sources),
    ("addresses", addressed_sources),
];

/// The hash of a range of seeds, by so many threads. What forks the runs is made before them.
pub fn hash(world: fn(u64) -> Simulation, seeds: Range<u64>, threads: u64) -> u64 {
    let make = move |asked: &[u8]| world(u64::from_le_bytes(asked.try_into().expect("a seed")));
    let zygote = Zygote::new(make).expect("a process");
    let one = |seed: u64| {
        let report = zygote.run(&world(seed), &seed.to_le_bytes());
        assert_eq!(report.failures, [], "seed {seed}");
        report.hash
    };
    let share = |thread: u64| seeds.clone().filter(move |seed| seed % threads == thread);
    let mut all: Vec<(u64, u64)> = std::thread::scope(|scope| {
        let work = |thread: u64| share(thread).map(|seed| (seed, one(seed))).collect::<Vec<_>>();
        let workers: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no run fails")).collect()
    });
    all.sort_unstable();
    all.iter().fold(0, |sum: u64, (seed, hash)| {
        (sum.rotate_left(7) ^ hash).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(*seed)
    })
}

/// Prints all events of one run.
pub fn trace(world: fn(u64) -> Simulation, seed: u64) {
    let make = move |_: &[u8]| world(seed).recording(Recording::Full);
    let report = Zygote::new(make).expect("a process").run(&make(&[]), &[]);
    for Entry { event, text, hash } in &report.trace {
        println!(
            "{:04x} {} {:?} {} {} {text}",
            hash & 0xFFFF,
            event.at,
            event.kind,
            event.actor,
            event.peer
        );
    }
}

fn troubled(world: Simulation, node: &str, client: &str) -> Simulation {
    world
        .partition(Span::millis(150), Span::millis(500), &[client])
        .crash(Span::millis(700), Span::millis(900), node)
        .horizon(Span::secs(3))
}

// ---- std::net and std::fs
fn register(seed: u64) -> Simulation {
    let world = Simulation::new(seed).node("server", register_server);
    let world = world.client_main("one", register_client).client_main("two", register_client);
    troubled(world, "server", "one")
}

fn register_server() {
    let held = std::fs::read_to_string("value").unwrap_or_default();
    let held = Arc::new(Mutex::new(held));
    let listener = TcpListener::bind("0.0.0.0:7000").expect("a free port");
    for stream in listener.incoming() {
        let (held, mut stream) = (held.clone(), stream.expect("a connection"));
        std::thread::spawn(move || {
            let reader = BufReader::new(stream.try_clone().expect("a descriptor"));
            for line in reader.lines() {
                let Ok(line) = line else { return };
                let mut held = held.lock().expect("nobody panics");
                if let Some(new) = line.strip_prefix("w ") {
                    let mut file = std::fs::File::create("new").expect("room");
                    file.write_all(new.as_bytes()).expect("room");
                    file.sync_all().expect("a disk");
                    std::fs::rename("new", "value").expect("a name");
                    new.clone_into(&mut held);
                }
                if writeln!(stream, "{held}").is_err() {
                    return;
                }
            }
        });
    }
}

fn register_client(context: ClientContext) {
    for number in 0..20 {
        let asked = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect("server:7000")?;
            stream.set_read_timeout(Some(Duration::from_millis(200)))?;
            if number % 2 == 0 {
                writeln!(stream, "w {}{number}", context.name())?;
            } else {
                writeln!(stream, "r")?;
            }
            stream.shutdown(std::net::Shutdown::Write)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        context.record(format!("{:?}", asked().map_err(|error| error.kind())));
        std::thread::sleep(Duration::from_millis(40));
    }
}

// ---- tokio with several threads
fn key_value(seed: u64) -> Simulation {
    let world = Simulation::new(seed).node("server", kv_server);
    let world = world.client_main("one", kv_client).client_main("two", kv_client);
    troubled(world, "server", "two")
}

#[tokio::main(flavor = "multi_thread", worker_threads = 3)]
async fn kv_server() {
    let map = Arc::new(tokio::sync::Mutex::new(std::collections::HashMap::new()));
    let listener = tokio::net::TcpListener::bind("0.0.0.0:7000").await.expect("a free port");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let map = map.clone();
        tokio::spawn(async move {
            let (read, mut write) = stream.into_split();
            let mut lines = tokio::io::BufReader::new(read).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let mut map = map.lock().await;
                let (key, value) = line.split_once(' ').unwrap_or((&line, ""));
                map.insert(key.to_owned(), value.to_owned());
                // In whatever order the map has them.
                let all = map.keys().cloned().collect::<Vec<String>>().join(",");
                if write.write_all(format!("{all}\n").as_bytes()).await.is_err() {
                    return;
                }
            }
        });
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn kv_client(context: ClientContext) {
    let one = |number: u32| async move {
        let asked = async {
            let mut stream = tokio::net::TcpStream::connect("server:7000").await?;
            stream.write_all(format!("{number} x\n").as_bytes()).await?;
            let mut buffer = [0; 256];
            let size = stream.read(&mut buffer).await?;
            std::io::Result::Ok(String::from_utf8_lossy(&buffer[..size]).into_owned())
        };
        tokio::select! {
            answer = asked => format!("{:?}", answer.map_err(|error| error.kind())),
            () = tokio::time::sleep(Duration::from_millis(200)) => "late".to_owned(),
        }
    };
    for number in 0..12 {
        let both = tokio::join!(tokio::spawn(one(number)), tokio::spawn(one(number + 100)));
        let both = (both.0.expect("no panic"), both.1.expect("no panic"));
        context.record(format!("{both:?}"));
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

// ---- UDP
fn gossip(seed: u64) -> Simulation {
    let world = (0..5).fold(Simulation::new(seed), |world, node| {
        world.node(&format!("n{node}"), move || gossiper(node))
    });
    let at = |millis| Span::millis(millis);
    let loss = Disturbance::Loss { ppm: 100_000 };
    let twice = Disturbance::Duplicate { ppm: 100_000, within: at(20) };
    use seedfall_kernel::Fault::{Begin, End};
    world
        .plan([(at(0), Begin(loss.clone())), (at(900), End(loss))])
        .plan([(at(100), Begin(twice.clone())), (at(800), End(twice))])
        .partition(at(200), at(500), &["n1", "n2"])
        .crash(at(600), at(700), "n3")
        .horizon(Span::secs(1))
}

/// Tells one other node, at random, what it has heard from all.
fn gossiper(own: usize) {
    let socket = UdpSocket::bind("0.0.0.0:7000").expect("a free port");
    let mut known = [0_u8; 5];
    let mut buffer = [0; 16];
    loop {
        known[own] = known[own].saturating_add(1);
        let to = format!("n{}:7000", rand::random_range(0..5));
        let _ = socket.send_to(&known, &to);
        let patience = Duration::from_millis(rand::random_range(1..20));
        socket.set_read_timeout(Some(patience)).expect("a socket");
        while let Ok((5, from)) = socket.recv_from(&mut buffer) {
            (0..5).for_each(|node| known[node] = known[node].max(buffer[node]));
            println!("{known:?} from {from}");
        }
    }
}

// ---- threads
fn threads(seed: u64) -> Simulation {
    Simulation::new(seed).client_main("threads", |_| threads_of_one())
}

/// Producers and consumers of a short queue, with a lock and two conditions.
fn threads_of_one() {
    let shared = Arc::new((Mutex::new(Vec::new()), Condvar::new(), Condvar::new()));
    let produce = |name: u32| {
        let shared = shared.clone();
        std::thread::spawn(move || {
            for number in 0..20 {
                let (queue, room, some) = &*shared;
                let mut queue = queue.lock().expect("nobody panics");
                while queue.len() >= 3 {
                    queue = room.wait(queue).expect("nobody panics");
                }
                queue.push(100 * name + number);
                some.notify_one();
            }
        })
    };
    let consume = |name: u32| {
        let shared = shared.clone();
        std::thread::spawn(move || {
            for _ in 0..20 {
                let (queue, room, some) = &*shared;
                let mut queue = queue.lock().expect("nobody panics");
                while queue.is_empty() {
                    queue = some.wait(queue).expect("nobody panics");
                }
                println!("{name} takes {:?}", queue.pop());
                room.notify_all();
            }
        })
    };
    let all: Vec<_> = (0..3).flat_map(|name| [produce(name), consume(name)]).collect();
    all.into_iter().for_each(|thread| thread.join().expect("nobody panics"));
}

// ---- everything that differs
fn drawn_sources(seed: u64) -> Simulation {
    let show = |all: &[sources::Source]| {
        all.iter().for_each(|(name, source)| println!("{name}: {}", source()));
    };
    let world = Simulation::new(seed).node("one", move || show(&sources::DRAWN));
    world.client_main("two", move |_| show(&sources::DRAWN))
}

fn addressed_sources(seed: u64) -> Simulation {
    Simulation::new(seed).client_main("one", |_| {
        sources::ADDRESSED.iter().for_each(|(name, source)| println!("{name}: {}", source()));
    })
}
