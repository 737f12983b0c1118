//! Partitions, crashes, refusals, loss: what sockets tell of them.

use seedfall_kernel::{Ended, Fault, Report, Simulation, isolated};
use seedfall_net::Disturbance;
use seedfall_sim::Duration as Span;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

fn echo() {
    let listener = TcpListener::bind("0.0.0.0:7000").unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                if stream.write_all(&buffer[..count]).is_err() {
                    return;
                }
            }
        });
    }
}

/// Asks every 100 ms, for so many times; records how long each answer took.
fn ask(times: u32) {
    let mut stream = TcpStream::connect("server:7000").unwrap();
    for _ in 0..times {
        let asked = Instant::now();
        stream.write_all(b"ping").unwrap();
        let mut got = [0; 4];
        stream.read_exact(&mut got).unwrap();
        seedfall_kernel::note(asked.elapsed().as_millis().to_string().as_bytes());
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn passed(report: &Report) -> Vec<String> {
    assert_eq!(report.failures, []);
    assert_eq!(report.ended, Ended::Finished);
    report.notes_as_text()
}

#[test]
fn what_is_in_flight_stalls_in_a_partition_and_arrives_when_it_heals() {
    isolated(|| {
        let report = Simulation::new(3)
            .node("server", echo)
            .client_main("client", |_| ask(20))
            .partition(Span::millis(500), Span::millis(4_500), &["client"])
            .run();
        let took: Vec<u64> = passed(&report).iter().map(|one| one.parse().unwrap()).collect();
        let slow: Vec<&u64> = took.iter().filter(|one| **one > 100).collect();
        assert_eq!(slow.len(), 1, "one answer waits for the end of the partition: {took:?}");
        assert!((3_500..=4_200).contains(slow[0]), "{took:?}");
        assert!(report.tally.cut > 3, "sent again in vain: {:?}", report.tally);
        assert_eq!(report.effects, [report.tally.cut, 0]);
    });
}

#[test]
fn a_machine_that_is_off_times_out_and_one_that_is_on_refuses() {
    let client = || {
        std::thread::sleep(Duration::from_secs(1));
        let server = "server:7000".to_socket_addrs().unwrap().next().unwrap();
        let began = Instant::now();
        let refused = TcpStream::connect(("server", 1)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(began.elapsed() < Duration::from_millis(10));
        std::thread::sleep(Duration::from_secs(2));
        let began = Instant::now();
        let short = TcpStream::connect_timeout(&server, Duration::from_secs(3)).unwrap_err();
        assert_eq!(short.kind(), ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), 3);
        let began = Instant::now();
        let dead = TcpStream::connect(server).unwrap_err();
        assert_eq!((dead.kind(), began.elapsed().as_secs()), (ErrorKind::TimedOut, 127));
        let nobody = TcpStream::connect("nobody:1").unwrap_err();
        assert!(nobody.to_string().contains("Name or service not known"), "{nobody}");
        let nowhere = TcpStream::connect("10.0.9.9:1").unwrap_err();
        assert_eq!(nowhere.kind(), ErrorKind::HostUnreachable);
    };
    isolated(move || {
        let simulation =
            Simulation::new(1).node("server", echo).client_main("client", move |_| client());
        let server = simulation.place("server");
        let report = simulation.fault(Span::secs(2), Fault::Crash(server)).horizon(Span::secs(300));
        passed(&report.run());
    });
}

#[test]
fn a_crash_is_heard_of_when_the_machine_is_back_and_a_kill_at_once() {
    let client = || {
        let mut stream = TcpStream::connect("server:7000").unwrap();
        let mut got = [0; 4];
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let heard = stream.write_all(b"ping").and_then(|()| stream.read_exact(&mut got));
            if let Err(error) = heard {
                seedfall_kernel::note(format!("{:?}", error.kind()).as_bytes());
                return;
            }
        }
    };
    isolated(move || {
        let world =
            || Simulation::new(1).node("server", echo).client_main("client", move |_| client());
        let server = world().place("server");
        let crash = world().crash(Span::secs(1), Span::secs(5), "server").run();
        assert_eq!(passed(&crash), ["ConnectionReset"]);
        assert!(crash.at.as_nanos() > 5_000_000_000, "{}", crash.at);
        let kill = world().fault(Span::secs(1), Fault::Kill(server)).run();
        assert_eq!(passed(&kill).len(), 1);
        assert!(kill.at.as_nanos() < 1_300_000_000, "{}", kill.at);
    });
}

#[test]
fn half_closed_streams_and_full_buffers() {
    let server = || {
        let listener = TcpListener::bind("[::]:7000").unwrap();
        let (mut stream, from) = listener.accept().unwrap();
        assert!(matches!(from, SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_some()));
        std::thread::sleep(Duration::from_secs(2));
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&(all.len() as u64).to_le_bytes()).unwrap();
    };
    let client = || {
        std::thread::sleep(Duration::from_millis(10));
        let mut stream = TcpStream::connect("server:7000").unwrap();
        let began = Instant::now();
        stream.write_all(&vec![7; 3_000_000]).unwrap();
        assert!(began.elapsed() > Duration::from_secs(1), "the writer waits for the reader");
        stream.shutdown(Shutdown::Write).unwrap();
        let mut got = [0; 8];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(u64::from_le_bytes(got), 3_000_000);
        assert_eq!(stream.read(&mut got).unwrap(), 0);
        stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    };
    isolated(move || {
        let report = Simulation::new(1)
            .node("server", server)
            .client_main("client", move |_| client())
            .run();
        passed(&report);
    });
}

#[test]
fn datagrams_are_lost_doubled_and_reordered() {
    let server = || {
        let socket = UdpSocket::bind("0.0.0.0:9000").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut buffer = [0; 100];
        while let Ok((count, from)) = socket.recv_from(&mut buffer) {
            socket.send_to(&buffer[..count], from).unwrap();
        }
    };
    let client = || {
        std::thread::sleep(Duration::from_millis(5));
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect("server:9000").unwrap();
        for number in 0..200_u32 {
            socket.send(&number.to_le_bytes()).unwrap();
        }
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let (mut got, mut last, mut back) = (0, 0, 0);
        let mut buffer = [0; 4];
        while socket.recv(&mut buffer).is_ok() {
            let number = u32::from_le_bytes(buffer);
            (got, back) = (got + 1, back + u32::from(number < last));
            last = number;
        }
        seedfall_kernel::note(format!("{got} {back}").as_bytes());
        assert!((80..=140).contains(&got), "twice a loss of 30 %: {got}");
        assert!(back > 10, "most come in another order: {back}");
        socket.connect("server:1").unwrap();
        socket.send(b"anybody?").unwrap();
        let nobody = socket.recv(&mut buffer).unwrap_err();
        assert_eq!(nobody.kind(), ErrorKind::ConnectionRefused);
    };
    isolated(move || {
        let loss = Disturbance::Loss { ppm: 300_000 };
        let report = Simulation::new(1)
            .node("server", server)
            .client_main("client", move |_| client())
            .fault(Span::ZERO, Fault::Begin(loss.clone()))
            .fault(Span::millis(300), Fault::End(loss))
            .run();
        passed(&report);
        assert!(report.tally.lost > 50, "{:?}", report.tally);
    });
}

#[test]
fn streams_lose_nothing_where_a_third_of_the_segments_is_lost() {
    isolated(|| {
        for seed in 0..10 {
            let report = Simulation::new(seed)
                .node("server", echo)
                .client_main("client", |_| ask(50))
                .fault(Span::ZERO, Fault::Begin(Disturbance::Loss { ppm: 300_000 }))
                .run();
            assert_eq!(passed(&report).len(), 50);
            assert!(report.tally.lost > 20);
        }
    });
}

#[test]
fn a_node_that_is_paused_answers_when_it_goes_on() {
    isolated(|| {
        let simulation = Simulation::new(1).node("server", echo).client_main("client", |_| ask(10));
        let server = simulation.place("server");
        let report = simulation
            .fault(Span::millis(300), Fault::Pause(server))
            .fault(Span::millis(2_300), Fault::Resume(server))
            .run();
        let took: Vec<u64> = passed(&report).iter().map(|one| one.parse().unwrap()).collect();
        assert_eq!(took.iter().filter(|one| **one > 1_500).count(), 1, "{took:?}");
    });
}

#[test]
fn a_port_is_bound_once() {
    let twice = || {
        let first = TcpListener::bind("0.0.0.0:80").unwrap();
        assert_eq!(TcpListener::bind("0.0.0.0:80").unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(
            TcpListener::bind("9.9.9.9:80").unwrap_err().kind(),
            ErrorKind::AddrNotAvailable
        );
        drop(first);
        TcpListener::bind("0.0.0.0:80").unwrap();
        println!("bound");
    };
    isolated(move || {
        let report = Simulation::new(1).node("a", twice).node("b", twice).run();
        assert_eq!(report.failures, []);
        assert_eq!(report.node("a").output() + &report.node("b").output(), "bound\nbound\n");
    });
}
