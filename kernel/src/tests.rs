//! The kernel by itself: no hook, no stack, no real descriptor.

use crate::faults::{Place, Target};
use crate::kernel::{Errno, Event, Kernel, Step};
use crate::node::{Node, Power};
use crate::sched::State;
use crate::socket::Name;
use seedfall_net::{Delay, Disturbance, LinkModel, Order, Partition, Wire};
use seedfall_sim::{Draws, Duration, NodeId, Seed, Time};
use std::io::{IoSlice, IoSliceMut};

const IN: u32 = libc::EPOLLIN as u32;
const OUT: u32 = libc::EPOLLOUT as u32;
const EDGE: u32 = libc::EPOLLET as u32;
const HUP: u32 = libc::EPOLLHUP as u32;
const RDHUP: u32 = libc::EPOLLRDHUP as u32;

/// Nodes `a`, `b` with a thread each: the first is thread 0 of node 0.
fn kernel(seed: u64) -> Kernel {
    let delay = Delay::Uniform { min: Duration::micros(100), max: Duration::millis(1) };
    let link = LinkModel { delay, loss: 0, duplicate: 0, order: Order::Free };
    let node = |(index, name): (usize, &str)| {
        let mut node = Node::new(name.to_owned(), index, "/work".to_owned());
        node.power = Power::Running;
        node
    };
    let nodes = ["a", "b"].into_iter().enumerate().map(node).collect();
    let mut kernel = Kernel::new(Draws::new(Seed(seed), 2, 0), Wire::new(2, 0, link), nodes, 2);
    for node in 0..2 {
        let thread = kernel.make_thread(node, 0, node as u64 + 1);
        kernel.threads[thread].state = State::Running;
        kernel.nodes[node].runnable.clear();
    }
    kernel
}

fn on(kernel: &mut Kernel, node: usize) -> &mut Kernel {
    kernel.set_current(node);
    kernel
}

/// Handles what is due in this time.
fn pass(kernel: &mut Kernel, span: Duration) {
    let limit = kernel.now + span;
    while kernel.step(limit) != Step::Nothing {}
    kernel.now = limit;
}

fn address(text: &str) -> Name {
    Name::Inet(text.parse().unwrap())
}

fn listening(kernel: &mut Kernel, backlog: i32) -> i32 {
    let kernel = on(kernel, 1);
    let listener = kernel.socket(libc::AF_INET, libc::SOCK_STREAM).unwrap();
    kernel.bind(listener, &address("0.0.0.0:80")).unwrap();
    kernel.listen(listener, backlog).unwrap();
    listener
}

fn connecting(kernel: &mut Kernel) -> i32 {
    let kernel = on(kernel, 0);
    let client = kernel.socket(libc::AF_INET, libc::SOCK_STREAM).unwrap();
    assert_eq!(kernel.connect(client, &address("10.0.0.2:80")), Err(libc::EINPROGRESS));
    client
}

/// A client on `a` connected to a server on `b`.
fn connected(kernel: &mut Kernel) -> (i32, i32) {
    let listener = listening(kernel, 128);
    let client = connecting(kernel);
    pass(kernel, Duration::secs(100));
    assert_eq!(on(kernel, 0).connected(client), Ok(()));
    let (server, _) = on(kernel, 1).accept(listener, 0).unwrap();
    (client, server)
}

fn read(kernel: &mut Kernel, fd: i32, size: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; size];
    let count = kernel.read(fd, &mut [IoSliceMut::new(&mut bytes)])?;
    bytes.truncate(count);
    Ok(bytes)
}

fn write(kernel: &mut Kernel, fd: i32, bytes: &[u8]) -> Result<usize, Errno> {
    kernel.write(fd, &[IoSlice::new(bytes)])
}

fn told(kernel: &mut Kernel, epoll: i32) -> Vec<(u32, u64)> {
    let mut all = Vec::new();
    let _ = kernel.epoll_collect(epoll, 8, |_, events, data| all.push((events, data)));
    all
}

#[test]
fn a_stream_keeps_its_bytes_and_their_order_whatever_is_lost() {
    for seed in 0..30 {
        let mut kernel = kernel(seed);
        let (client, server) = connected(&mut kernel);
        let loss = Disturbance::Loss { ppm: 300_000 };
        kernel.begin(&loss, Time::MAX);
        kernel
            .begin(&Disturbance::Duplicate { ppm: 200_000, within: Duration::secs(1) }, Time::MAX);
        kernel.begin(&Disturbance::Corrupt { ppm: 100_000 }, Time::MAX);
        let cut =
            Disturbance::Partition(Partition::Partial { a: NodeId::new(0), b: NodeId::new(1) });
        let mut got = Vec::new();
        for turn in 0..200_u32 {
            if turn == 60 {
                kernel.begin(&cut, Time::MAX);
            }
            if turn == 90 {
                kernel.end(&cut, Time::MAX);
            }
            let sent = write(&mut kernel, client, &turn.to_le_bytes());
            assert_eq!(sent, Ok(4));
            pass(&mut kernel, Duration::millis(u64::from(turn % 7)));
            got.extend(read(&mut kernel, server, 1000).unwrap_or_default());
        }
        kernel.shutdown(client, libc::SHUT_WR).unwrap();
        kernel.end(&loss, Time::MAX);
        pass(&mut kernel, Duration::secs(600));
        loop {
            match read(&mut kernel, server, 1000) {
                Ok(more) if more.is_empty() => break,
                Ok(more) => got.extend(more),
                Err(error) => panic!("seed {seed}: error {error}"),
            }
        }
        let expected: Vec<u8> = (0..200_u32).flat_map(u32::to_le_bytes).collect();
        assert_eq!(got, expected, "seed {seed}");
    }
}

#[test]
fn a_handshake_is_tried_again_and_given_up() {
    let mut kernel = kernel(1);
    listening(&mut kernel, 128);
    kernel.crash(Place(1), false);
    let client = connecting(&mut kernel);
    pass(&mut kernel, Duration::secs(126));
    assert_eq!(kernel.connected(client), Err(libc::EAGAIN));
    pass(&mut kernel, Duration::secs(2));
    assert_eq!(kernel.connected(client), Err(libc::ETIMEDOUT));
    kernel.restart(Place(1));
    let client = connecting(&mut kernel);
    pass(&mut kernel, Duration::millis(5));
    assert_eq!(kernel.connected(client), Err(libc::ECONNREFUSED));
}

#[test]
fn a_full_queue_makes_clients_wait() {
    let mut kernel = kernel(1);
    let listener = listening(&mut kernel, 1);
    let clients: Vec<i32> = (0..4).map(|_| connecting(&mut kernel)).collect();
    pass(&mut kernel, Duration::millis(100));
    let up = |kernel: &mut Kernel| {
        clients.iter().filter(|client| kernel.connected(**client) == Ok(())).count()
    };
    assert!((2..4).contains(&up(&mut kernel)));
    for _ in 0..2 {
        on(&mut kernel, 1).accept(listener, 0).unwrap();
    }
    pass(&mut kernel, Duration::secs(4));
    assert_eq!(up(&mut kernel), 4, "those that waited got in by trying again");
}

#[test]
fn ends_of_streams() {
    let mut kernel = kernel(1);
    let (client, server) = connected(&mut kernel);
    write(&mut kernel, client, b"last").unwrap();
    kernel.close(client).unwrap();
    pass(&mut kernel, Duration::millis(10));
    assert_eq!(read(&mut kernel, server, 10).as_deref(), Ok(b"last".as_slice()));
    assert_eq!(read(&mut kernel, server, 10).as_deref(), Ok(b"".as_slice()));
    assert_eq!(write(&mut kernel, server, b"too late"), Ok(8), "nobody has told it");
    pass(&mut kernel, Duration::millis(10));
    assert_eq!(write(&mut kernel, server, b"x"), Err(libc::EPIPE));
    assert_eq!(write(&mut kernel, server, b"x"), Err(libc::EPIPE));
    // What is left unread is told by a reset.
    let mut kernel = self::kernel(2);
    let (client, server) = connected(&mut kernel);
    write(&mut kernel, client, b"unread").unwrap();
    pass(&mut kernel, Duration::millis(10));
    kernel.close(server).unwrap();
    pass(&mut kernel, Duration::millis(10));
    assert_eq!(read(&mut kernel, client, 10), Err(libc::ECONNRESET));
    assert_eq!(kernel.free_connections.len(), 0, "the client has not closed yet");
    kernel.close(client).unwrap();
    pass(&mut kernel, Duration::secs(1));
    assert_eq!(kernel.free_connections.len(), 1);
}

#[test]
fn a_writer_waits_for_room_and_hears_of_it() {
    let mut kernel = kernel(1);
    let (client, server) = connected(&mut kernel);
    let wrote = write(&mut kernel, client, &vec![1; 1 << 20]).unwrap();
    assert_eq!(wrote, 256 << 10);
    assert_eq!(write(&mut kernel, client, b"x"), Err(libc::EAGAIN));
    let epoll = on(&mut kernel, 0).epoll_create();
    kernel.epoll_control(epoll, libc::EPOLL_CTL_ADD, client, Some((OUT | EDGE, 7))).unwrap();
    assert_eq!(told(&mut kernel, epoll), []);
    pass(&mut kernel, Duration::millis(10));
    read(&mut kernel, server, 200 << 10).unwrap();
    pass(&mut kernel, Duration::millis(10));
    assert_eq!(told(&mut kernel, epoll), [(OUT, 7)]);
    assert!(write(&mut kernel, client, b"x").is_ok());
}

#[test]
fn epoll_tells_edges_once_and_levels_again_and_again() {
    let mut kernel = kernel(1);
    let epoll = kernel.epoll_create();
    let [level, edge, once] = [0, 0, 0].map(|_| kernel.eventfd(0, 0));
    let interests = [(level, IN), (edge, IN | EDGE), (once, IN | libc::EPOLLONESHOT as u32)];
    for (data, (fd, events)) in interests.into_iter().enumerate() {
        let event = Some((events, data as u64));
        kernel.epoll_control(epoll, libc::EPOLL_CTL_ADD, fd, event).unwrap();
        let again = kernel.epoll_control(epoll, libc::EPOLL_CTL_ADD, fd, event);
        assert_eq!(again, Err(libc::EEXIST));
    }
    assert_eq!(told(&mut kernel, epoll), []);
    for fd in [level, edge, once] {
        write(&mut kernel, fd, &1_u64.to_ne_bytes()).unwrap();
    }
    assert_eq!(told(&mut kernel, epoll), [(IN, 0), (IN, 1), (IN, 2)]);
    assert_eq!(told(&mut kernel, epoll), [(IN, 0)]);
    write(&mut kernel, edge, &1_u64.to_ne_bytes()).unwrap();
    write(&mut kernel, once, &1_u64.to_ne_bytes()).unwrap();
    assert_eq!(told(&mut kernel, epoll), [(IN, 0), (IN, 1)], "a new edge, though nobody read");
    kernel.epoll_control(epoll, libc::EPOLL_CTL_MOD, once, Some((IN, 9))).unwrap();
    read(&mut kernel, level, 8).unwrap();
    assert_eq!(told(&mut kernel, epoll), [(IN, 9)]);
    kernel.close(once).unwrap();
    assert_eq!(told(&mut kernel, epoll), [], "a closed descriptor is forgotten");
    assert_eq!(kernel.epoll_control(epoll, libc::EPOLL_CTL_DEL, once, None), Err(libc::EBADF));
}

#[test]
fn counters_timers_and_copies_of_descriptors() {
    let mut kernel = kernel(1);
    let semaphore = kernel.eventfd(2, libc::EFD_SEMAPHORE);
    assert_eq!(read(&mut kernel, semaphore, 8), Ok(1_u64.to_ne_bytes().to_vec()));
    let copy = kernel.dup(semaphore).unwrap();
    kernel.close(semaphore).unwrap();
    assert_eq!(read(&mut kernel, copy, 8), Ok(1_u64.to_ne_bytes().to_vec()), "the other lives on");
    assert_eq!(read(&mut kernel, copy, 8), Err(libc::EAGAIN));
    assert_eq!(read(&mut kernel, semaphore, 8), Err(libc::EBADF));
    assert_eq!(kernel.eventfd(0, 0), semaphore, "the lowest number is given first");
    let timer = kernel.timer_create(libc::CLOCK_MONOTONIC, 0);
    kernel.timer_set(timer, false, 5_000_000, 2_000_000).unwrap();
    pass(&mut kernel, Duration::millis(4));
    assert_eq!(read(&mut kernel, timer, 8), Err(libc::EAGAIN));
    pass(&mut kernel, Duration::millis(6));
    assert_eq!(read(&mut kernel, timer, 8), Ok(3_u64.to_ne_bytes().to_vec()), "at 5, 7 and 9 ms");
    kernel.timer_set(timer, false, 0, 0).unwrap();
    pass(&mut kernel, Duration::secs(1));
    assert_eq!(read(&mut kernel, timer, 8), Err(libc::EAGAIN));
}

#[test]
fn pipes_and_unix_sockets() {
    let mut kernel = kernel(1);
    let [reader, writer] = kernel.pipe(0);
    assert_eq!(write(&mut kernel, writer, b"abc"), Ok(3));
    assert_eq!(read(&mut kernel, reader, 2).as_deref(), Ok(b"ab".as_slice()));
    kernel.close(writer).unwrap();
    assert_eq!(read(&mut kernel, reader, 2).as_deref(), Ok(b"c".as_slice()));
    assert_eq!(read(&mut kernel, reader, 2).as_deref(), Ok(b"".as_slice()));
    let [reader, writer] = kernel.pipe(0);
    kernel.close(reader).unwrap();
    assert_eq!(write(&mut kernel, writer, b"abc"), Err(libc::EPIPE));
    let name = Name::Unix(b"/tmp/socket".to_vec());
    let client = kernel.socket(libc::AF_UNIX, libc::SOCK_STREAM).unwrap();
    assert_eq!(kernel.connect(client, &name), Err(libc::ENOENT));
    let listener = kernel.socket(libc::AF_UNIX, libc::SOCK_STREAM).unwrap();
    kernel.bind(listener, &name).unwrap();
    assert_eq!(kernel.connect(client, &name), Err(libc::ECONNREFUSED));
    kernel.listen(listener, 5).unwrap();
    kernel.connect(client, &name).unwrap();
    write(&mut kernel, client, b"early").unwrap();
    let (server, _) = kernel.accept(listener, 0).unwrap();
    assert_eq!(read(&mut kernel, server, 9).as_deref(), Ok(b"early".as_slice()));
    let object = kernel.object(server).unwrap();
    kernel.close(client).unwrap();
    assert_eq!(kernel.readiness(object) & (IN | RDHUP | HUP), IN | RDHUP);
    assert_eq!(on(&mut kernel, 1).connect(client, &name), Err(libc::EBADF));
}

#[test]
fn threads_wake_in_order_and_the_next_one_is_a_draw() {
    let chosen = |seed| {
        let mut kernel = kernel(seed);
        let threads: Vec<usize> =
            (0..5).map(|number| kernel.make_thread(0, 0, 10 + number)).collect();
        let mut order = Vec::new();
        while let Some(thread) = kernel.next_thread() {
            order.push(threads.iter().position(|one| *one == thread).unwrap());
            kernel.futex_wait(64, u32::MAX);
            kernel.park(None);
        }
        assert_eq!(kernel.futex_wake(64, 2, u32::MAX), 2);
        let woken: Vec<usize> = order.iter().take(2).map(|at| threads[*at]).collect();
        assert_eq!(kernel.nodes[0].runnable, woken, "who waits longest is woken first");
        assert_eq!(kernel.futex_requeue(64, 1, 128, 9), 3);
        assert_eq!(kernel.futex_wake(128, 9, u32::MAX), 2);
        order
    };
    assert_eq!(chosen(1), chosen(1));
    assert!((2..9).any(|seed| chosen(seed) != chosen(1)));
}

#[test]
fn a_wait_ends_at_its_deadline_and_an_older_timer_does_not_end_a_later_one() {
    let mut kernel = kernel(1);
    let thread = on(&mut kernel, 0).current;
    kernel.park(Some(Time::ZERO + Duration::millis(5)));
    let ticket = kernel.threads[thread].ticket;
    assert!(kernel.wake(thread, ticket));
    assert!(!kernel.wake(thread, ticket), "a wait is woken once");
    assert_eq!(kernel.next_thread(), Some(thread));
    kernel.park(Some(Time::ZERO + Duration::millis(9)));
    pass(&mut kernel, Duration::millis(8));
    assert_eq!(kernel.next_thread(), None);
    pass(&mut kernel, Duration::millis(1));
    assert_eq!(kernel.next_thread(), Some(thread));
    assert!(kernel.threads[thread].timed_out);
}

#[test]
fn random_bytes_depend_on_the_seed_the_node_and_the_request_alone() {
    let drawn = |seed, node, before: usize| {
        let mut kernel = kernel(seed);
        for _ in 0..before {
            on(&mut kernel, node).entropy(&mut [0; 32], true);
        }
        let mut bytes = [0; 20];
        on(&mut kernel, node).entropy(&mut bytes, true);
        bytes
    };
    assert_eq!(drawn(1, 0, 0), drawn(1, 0, 5), "requests of another size move nothing");
    assert_ne!(drawn(1, 0, 0), drawn(1, 1, 0));
    assert_ne!(drawn(1, 0, 0), drawn(2, 0, 0));
}

#[test]
fn a_nemesis_is_asked_when_it_said() {
    let mut kernel = kernel(1);
    kernel.queue.push(Time::ZERO + Duration::millis(3), Event::Nemesis);
    assert_eq!(kernel.step(Time::ZERO + Duration::millis(2)), Step::Nothing);
    assert_eq!(kernel.step(Time::ZERO + Duration::millis(4)), Step::Nemesis);
    assert_eq!(kernel.now, Time::ZERO + Duration::millis(3));
}
