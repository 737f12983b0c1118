//! Programs over TCP, the same for every engine: a macro, since each engine has types of its own in
//! the place of tokio's.
//!
//! - **Ping-pong**: a client and a server send eight bytes to and fro over one connection.
//! - **Replication**: five nodes. A client's command of 64 bytes goes to the leader, from there to
//!   four followers, whose acknowledgements come back; at the second one the leader answers. Every
//!   wait has a time-out. Ten messages a command.
//! - **Idle**: a node that listens and sleeps a second, again and again.

/// Nodes of the replication, the start-up and the idle world.
pub const NODES: usize = 5;

/// The programs over an engine's `net` and `time`, its `spawn`, and the address of a node.
#[macro_export]
macro_rules! stream_programs {
    ($net:ident, $time:ident, $spawn:path, $address:path) => {
        use seedfall_bench::workload::PORT as STREAM_PORT;
        use std::io::Result as IoResult;
        use std::time::Duration as Span;
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        async fn listen() -> IoResult<$net::TcpListener> {
            $net::TcpListener::bind(("0.0.0.0", STREAM_PORT)).await
        }

        async fn connect(node: usize) -> $net::TcpStream {
            loop {
                match $net::TcpStream::connect($address(node)).await {
                    Ok(stream) => {
                        stream.set_nodelay(true).expect("a connection");
                        return stream;
                    }
                    Err(_) => $time::sleep(Span::from_millis(1)).await,
                }
            }
        }

        /// Writes and flushes: madsim's streams keep what was written until then.
        async fn tell(stream: &mut $net::TcpStream, bytes: &[u8]) -> IoResult<()> {
            stream.write_all(bytes).await?;
            stream.flush().await
        }

        /// Sends back what comes, by eight bytes.
        async fn ponger() -> IoResult<()> {
            let listener = listen().await?;
            loop {
                let (mut stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                $spawn(async move {
                    let mut buffer = [0; 8];
                    while stream.read_exact(&mut buffer).await.is_ok() {
                        if tell(&mut stream, &buffer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        }

        async fn pinger(round_trips: u64) {
            let mut stream = connect(0).await;
            let mut buffer = [0; 8];
            for count in 0..round_trips {
                tell(&mut stream, &count.to_le_bytes()).await.expect("connected");
                stream.read_exact(&mut buffer).await.expect("connected");
                assert_eq!(buffer, count.to_le_bytes());
            }
        }

        /// Acknowledges what comes, by the first eight of 64 bytes.
        async fn follower() -> IoResult<()> {
            let listener = listen().await?;
            loop {
                let (mut stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                $spawn(async move {
                    let mut entry = [0; 64];
                    while stream.read_exact(&mut entry).await.is_ok() {
                        if tell(&mut stream, &entry[..8]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        }

        async fn leader() -> IoResult<()> {
            let (acknowledge, mut acknowledged) = tokio::sync::mpsc::unbounded_channel();
            let mut followers = Vec::new();
            for node in 1..seedfall_bench::stream::NODES {
                let (send, mut entries) = tokio::sync::mpsc::unbounded_channel::<[u8; 64]>();
                let acknowledge = acknowledge.clone();
                followers.push(send);
                $spawn(async move {
                    let mut stream = connect(node).await;
                    let mut answer = [0; 8];
                    while let Some(entry) = entries.recv().await {
                        tell(&mut stream, &entry).await.expect("connected");
                        let read = stream.read_exact(&mut answer);
                        $time::timeout(Span::from_millis(500), read)
                            .await
                            .expect("in time")
                            .expect("connected");
                        if acknowledge.send(u64::from_le_bytes(answer)).is_err() {
                            return;
                        }
                    }
                });
            }
            let (mut client, _) = listen().await?.accept().await?;
            client.set_nodelay(true)?;
            let mut entry = [0; 64];
            while client.read_exact(&mut entry).await.is_ok() {
                let number = u64::from_le_bytes(*entry.first_chunk().expect("64 bytes"));
                followers.iter().for_each(|follower| follower.send(entry).expect("it runs"));
                let mut left = 2;
                while left > 0 {
                    let wait = $time::timeout(Span::from_secs(1), acknowledged.recv());
                    let got = wait.await.expect("in time").expect("it runs");
                    left -= u32::from(got == number);
                }
                tell(&mut client, &entry[..8]).await?;
            }
            Ok(())
        }

        async fn commander(commands: u64) {
            let mut stream = connect(0).await;
            let mut answer = [0; 8];
            for count in 0..commands {
                let mut entry = [7; 64];
                entry[..8].copy_from_slice(&count.to_le_bytes());
                tell(&mut stream, &entry).await.expect("connected");
                let read = stream.read_exact(&mut answer);
                $time::timeout(Span::from_secs(2), read)
                    .await
                    .expect("in time")
                    .expect("connected");
                assert_eq!(answer, count.to_le_bytes());
            }
        }

        async fn idler() -> IoResult<()> {
            let _listener = listen().await?;
            loop {
                $time::sleep(Span::from_secs(1)).await;
            }
        }
    };
}
