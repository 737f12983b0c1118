//! With madsim: the same over its endpoints, its links late at random. Build with
//! `RUSTFLAGS="--cfg madsim"`.

#[cfg(not(madsim))]
fn main() {
    println!("madsim simulates only what is built with RUSTFLAGS=\"--cfg madsim\"");
}

#[cfg(madsim)]
fn main() {
    inside::main();
}

#[cfg(madsim)]
mod inside {
    use madsim::net::Endpoint;
    use madsim::runtime::{Handle, Runtime};
    use madsim::time::timeout;
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    // begin service
    const FIRST: &str = "10.0.0.1:1";
    const SECOND: &str = "10.0.0.2:1";
    const WRITE: u64 = 1;
    const COPY: u64 = 2;
    const READ: u64 = 3;
    const ANSWER: u64 = 4;

    /// Asks a node one number, and is answered one.
    async fn ask(node: &str, tag: u64, value: u64) -> std::io::Result<u64> {
        let own = Endpoint::bind("0.0.0.0:0").await?;
        own.send_to(node.parse::<SocketAddr>().expect("it is one"), tag, &value.to_le_bytes())
            .await?;
        let mut answer = [0; 8];
        own.recv_from(ANSWER, &mut answer).await?;
        Ok(u64::from_le_bytes(answer))
    }

    async fn node(at: &'static str) -> std::io::Result<()> {
        let own = Arc::new(Endpoint::bind(at).await?);
        let value = Arc::new(AtomicU64::new(0));
        for tag in [WRITE, COPY, READ] {
            let (own, value) = (Arc::clone(&own), Arc::clone(&value));
            madsim::task::spawn(async move {
                loop {
                    let mut new = [0; 8];
                    let Ok((_, from)) = own.recv_from(tag, &mut new).await else { return };
                    let new = u64::from_le_bytes(new);
                    match tag {
                        // The bug: after 100 ms nobody knows whether the second has it.
                        WRITE => {
                            let copied = ask(SECOND, COPY, new);
                            let _ = timeout(Duration::from_millis(100), copied).await;
                        }
                        COPY => value.store(new, Ordering::SeqCst),
                        _ => {}
                    }
                    let answer = value.load(Ordering::SeqCst).to_le_bytes();
                    let _ = own.send_to(from, ANSWER, &answer).await;
                }
            });
        }
        std::future::pending().await
    }
    // end service

    // begin test
    fn run(seed: u64) {
        let mut config = madsim::Config::default();
        config.net.send_latency = Duration::from_millis(1)..Duration::from_millis(200);
        Runtime::with_seed_and_config(seed, config).block_on(async {
            let handle = Handle::current();
            for (name, at) in [("first", FIRST), ("second", SECOND)] {
                let ip = at.parse::<SocketAddr>().expect("it is one").ip();
                handle.create_node().name(name).ip(ip).build().spawn(node(at));
            }
            let answered = Arc::new(AtomicU64::new(0));
            let known = Arc::clone(&answered);
            let writer = handle.create_node().name("writer").ip([10, 0, 0, 3].into()).build();
            let reader = handle.create_node().name("reader").ip([10, 0, 0, 4].into()).build();
            let both = Duration::from_millis(10); // Until both nodes listen.
            writer.spawn(async move {
                madsim::time::sleep(both).await;
                for value in 1..=10_u64 {
                    ask(FIRST, WRITE, value).await.expect("it is answered");
                    known.store(value, Ordering::SeqCst);
                }
            });
            let reads = reader.spawn(async move {
                madsim::time::sleep(both).await;
                for _ in 0..20 {
                    let least = answered.load(Ordering::SeqCst);
                    let seen = ask(SECOND, READ, 0).await.expect("it is answered");
                    assert!(least <= seen, "{least} was answered, and {seen} is read");
                }
            });
            // Nothing is lost here, but a node may not listen yet: then nobody answers.
            let _ =
                timeout(Duration::from_secs(30), reads).await.map(|done| done.expect("it reads"));
        });
    }
    // end test

    pub fn main() {
        std::panic::set_hook(Box::new(|_| ()));
        let started = Instant::now();
        for seed in 0.. {
            if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
                let seconds = started.elapsed().as_secs_f64();
                let what = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                println!("madsim: seed {seed}, {} runs, {seconds:.3} s: {what}", seed + 1);
                return;
            }
        }
    }
}
