//! The service under test: a key-value store that replicates along a chain (van Renesse and
//! Schneider, *Chain Replication for Supporting High Throughput and Availability*, OSDI 2004), as
//! ordinary tokio code. It knows nothing of simulators, fault plans or checkers.
//!
//! Writes enter at the head, which stands first in the chain; each node stores them and passes them
//! on. A write is done once the tail has it, and then every node does. Reads are answered by the
//! tail, so nobody reads what could still be lost. The chain is fixed: a node that is down is
//! waited for.
//!
//! The protocol is lines of words:
//!
//! | line | from | answer |
//! |---|---|---|
//! | `PUT key value` | client | `OK`, or `ASK n`: node n is the head |
//! | `GET key` | client | `VALUE value`, `NONE`, or `ASK n`: node n is the tail |
//! | `CHAIN` | the node before | `HAVE n`: so many are here; then `SAFE n`: so many has the tail |
//! | `ENTRY n key value` | the node before | none; what is not the next entry is ignored |

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// What a node keeps across restarts: its entries, each a key and a value, in the order of the
/// chain. Whoever starts the node decides what it stands on.
pub type Log = Arc<Mutex<Vec<(String, String)>>>;

/// What a node has to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The nodes, from the head to the tail.
    pub chain: Vec<SocketAddr>,
    /// Which of them this one is.
    pub me: usize,
    /// A bug: a write is answered once the head has stored it, before the tail has it.
    pub early_answer: bool,
}

/// A connection without a sign of progress for so long is given up.
const PATIENCE: Duration = Duration::from_millis(300);

/// Runs a node until it fails.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(config: Config, log: Log) -> io::Result<()> {
    let listener = TcpListener::bind(config.chain[config.me]).await?;
    let length = stored(&log);
    let is_tail = config.me + 1 == config.chain.len();
    // A node that is not the tail has to be told what the tail has.
    let (safe, _) = watch::channel(if is_tail { length } else { 0 });
    let (grown, _) = watch::channel(length);
    let node = Arc::new(Node { config, log, safe, grown, is_tail });
    if !is_tail {
        tokio::spawn(pass_on(node.clone()));
    }
    loop {
        let (stream, _) = listener.accept().await?;
        let node = node.clone();
        tokio::spawn(async move {
            // Whoever is at the other end sees that the connection is gone.
            let _ = node.connection(Lines::new(stream)).await;
        });
    }
}

struct Node {
    config: Config,
    log: Log,
    /// How many entries the tail is known to have.
    safe: watch::Sender<usize>,
    /// How many entries this node has.
    grown: watch::Sender<usize>,
    is_tail: bool,
}

fn stored(log: &Log) -> usize {
    log.lock().expect("nobody panics with the log in hand").len()
}

impl Node {
    /// What comes in over one connection.
    async fn connection(&self, mut stream: Lines) -> io::Result<()> {
        while let Some(line) = stream.next().await? {
            let words: Vec<&str> = line.split_whitespace().collect();
            let answer = match words.as_slice() {
                ["PUT", key, value] => self.put(key, value).await,
                ["GET", key] => self.get(key),
                ["CHAIN"] => return self.follow(stream).await,
                _ => format!("ERROR {line}"),
            };
            stream.say(&answer).await?;
        }
        Ok(())
    }

    async fn put(&self, key: &str, value: &str) -> String {
        if self.config.me != 0 {
            return "ASK 0".to_owned();
        }
        let length = self.append(None, key, value);
        if !self.config.early_answer {
            let mut safe = self.safe.subscribe();
            // The sender is in this node.
            let _ = safe.wait_for(|safe| *safe >= length).await;
        }
        "OK".to_owned()
    }

    fn get(&self, key: &str) -> String {
        if !self.is_tail {
            return format!("ASK {}", self.config.chain.len() - 1);
        }
        let log = self.log.lock().expect("nobody panics with the log in hand");
        match log.iter().rev().find(|(other, _)| other == key) {
            Some((_, value)) => format!("VALUE {value}"),
            None => "NONE".to_owned(),
        }
    }

    /// Stores an entry, at this place or wherever the log ends; says how long the log is then.
    fn append(&self, place: Option<usize>, key: &str, value: &str) -> usize {
        let mut log = self.log.lock().expect("nobody panics with the log in hand");
        if place.is_none_or(|place| place == log.len()) {
            log.push((key.to_owned(), value.to_owned()));
        }
        let length = log.len();
        drop(log);
        self.grown.send_replace(length);
        if self.is_tail {
            self.safe.send_replace(length);
        }
        length
    }

    /// Takes entries from the node before.
    async fn follow(&self, mut stream: Lines) -> io::Result<()> {
        let mut safe = self.safe.subscribe();
        stream.say(&format!("HAVE {}", stored(&self.log))).await?;
        safe.mark_changed();
        loop {
            tokio::select! {
                line = stream.next() => {
                    let Some(line) = line? else { return Ok(()) };
                    let words: Vec<&str> = line.split_whitespace().collect();
                    let ["ENTRY", place, key, value] = words.as_slice() else {
                        return Err(io::Error::other(format!("not an entry: {line}")));
                    };
                    self.append(Some(number(place)?), key, value);
                }
                _ = safe.changed() => {
                    let safe = *safe.borrow_and_update();
                    stream.say(&format!("SAFE {safe}")).await?;
                }
            }
        }
    }

    /// Hands entries to the next node over one connection, until that fails.
    async fn lead(&self, next: SocketAddr) -> io::Result<()> {
        let stream = timeout(PATIENCE, TcpStream::connect(next)).await??;
        let mut stream = Lines::new(stream);
        stream.say("CHAIN").await?;
        let have = timeout(PATIENCE, stream.next()).await??.unwrap_or_default();
        let Some(have) = have.strip_prefix("HAVE ") else {
            return Err(io::Error::other("no answer"));
        };
        let mut sent = number(have)?;
        let mut grown = self.grown.subscribe();
        loop {
            let entry = {
                let log = self.log.lock().expect("nobody panics with the log in hand");
                log.get(sent).cloned()
            };
            if let Some((key, value)) = entry {
                stream.say(&format!("ENTRY {sent} {key} {value}")).await?;
                sent += 1;
                continue;
            }
            let behind = *self.safe.borrow() < sent;
            tokio::select! {
                line = stream.next() => {
                    let line = line?.unwrap_or_default();
                    let Some(safe) = line.strip_prefix("SAFE ") else {
                        return Err(io::Error::other("the next node is gone"));
                    };
                    let safe = number(safe)?;
                    self.safe.send_if_modified(|known| {
                        let more = *known < safe;
                        *known = safe.max(*known);
                        more
                    });
                }
                _ = grown.changed() => {}
                () = sleep(PATIENCE), if behind => {
                    return Err(io::Error::other("the next node does not answer"));
                }
            }
        }
    }
}

/// Hands entries to the next node, for ever.
async fn pass_on(node: Arc<Node>) {
    let next = node.config.chain[node.config.me + 1];
    loop {
        // Whatever went wrong, a new connection begins with what the next node has.
        let _ = node.lead(next).await;
        sleep(PATIENCE / 10).await;
    }
}

/// One request of a client, over a connection of its own.
///
/// # Errors
/// The connection failed; before it stood (`false`), or after (`true`), when the request may have
/// been heard.
pub async fn request(to: SocketAddr, line: &str) -> Result<String, (bool, io::Error)> {
    let stream = TcpStream::connect(to).await.map_err(|error| (false, error))?;
    let mut stream = Lines::new(stream);
    let late = |error| (true, error);
    stream.say(line).await.map_err(late)?;
    let answer = stream.next().await.map_err(late)?;
    answer.ok_or_else(|| (true, io::ErrorKind::UnexpectedEof.into()))
}

/// A connection that carries lines.
struct Lines {
    stream: BufReader<TcpStream>,
    /// What came of a line that is not whole: `select!` may drop the future that reads it.
    partial: Vec<u8>,
}

impl Lines {
    fn new(stream: TcpStream) -> Self {
        Self { stream: BufReader::new(stream), partial: Vec::new() }
    }

    async fn say(&mut self, line: &str) -> io::Result<()> {
        self.stream.write_all(format!("{line}\n").as_bytes()).await?;
        self.stream.flush().await
    }

    /// The next line, or nothing at the end.
    async fn next(&mut self) -> io::Result<Option<String>> {
        self.stream.read_until(b'\n', &mut self.partial).await?;
        let line = std::mem::take(&mut self.partial);
        let whole = line.last() == Some(&b'\n');
        let line = String::from_utf8(line).map_err(io::Error::other)?;
        Ok(whole.then(|| line.trim_end().to_owned()))
    }
}

fn number(word: &str) -> io::Result<usize> {
    word.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
