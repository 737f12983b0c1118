//! Real sockets, files, threads and processes beside simulations, in the same process.

use seedfall_kernel::Simulation;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

#[test]
fn real_sockets_work_beside_simulations() {
    let simulations = std::thread::spawn(|| {
        let ping = || std::thread::sleep(Duration::from_secs(3600));
        for seed in 0..20 {
            let report = Simulation::new(seed).client_main("a", move |_| ping());
            let report = report.horizon(seedfall_sim::Duration::secs(4000)).run();
            assert_eq!(report.failures, []);
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 64];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            stream.write_all(&buffer[..count]).unwrap();
        }
    });
    let mut stream = TcpStream::connect(address).unwrap();
    for _ in 0..2_000 {
        let mut got = [0; 4];
        stream.write_all(b"ping").unwrap();
        stream.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"ping");
    }
    drop(stream);
    server.join().unwrap();
    simulations.join().unwrap();
}

#[test]
fn real_tokio_works_beside_simulations() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 64];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..count]).await.unwrap();
            }
        });
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        for _ in 0..500 {
            let mut got = [0; 4];
            stream.write_all(b"ping").await.unwrap();
            stream.read_exact(&mut got).await.unwrap();
        }
    });
}

#[test]
fn real_time_files_and_processes_are_real() {
    let began = Instant::now();
    std::thread::sleep(Duration::from_millis(50));
    let slept = began.elapsed();
    assert!(slept >= Duration::from_millis(50) && slept < Duration::from_secs(30), "{slept:?}");
    let path = std::env::temp_dir().join(format!("seedfall-kernel-{}", std::process::id()));
    std::fs::write(&path, "real").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "real");
    std::fs::remove_file(&path).unwrap();
    let output = std::process::Command::new("echo").arg("hi").output().unwrap();
    assert_eq!(output.stdout, b"hi\n");
    let panicked = std::thread::spawn(|| panic!("a real one")).join();
    assert!(panicked.is_err());
}
