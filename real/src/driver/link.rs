//! The way from this node to another one: a queue, and a connection that is made again and again.

use super::frame::{self, Kind};
use super::inbound::{Hello, greet};
use super::{Counters, Tasks, count};
use seedfall_sim::{Draw, Draws, NodeId, Seed, Site};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// How many messages wait for one node at most. What waits longer is stale: a protocol that still
/// needs it sends it again.
const QUEUE: usize = 256;

/// How long a connection may take to be made, and each of its greetings.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// A connection over which nothing comes for so long is half-open: both ends say several times as
/// often that they are there.
pub(super) const SILENCE: Duration = Duration::from_secs(4);

/// How often either end says so.
pub(super) const ALIVE_EVERY: Duration = Duration::from_secs(1);

/// The pause before a connection is tried again doubles from the first to the last of these, and is
/// drawn between its half and its whole, so that nodes do not come back in step.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(1_000));

/// What waits to be sent to one node.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: Mutex<VecDeque<Arc<[u8]>>>,
    wake: Notify,
}

impl Outbox {
    /// Puts a message at the end; says whether the oldest had to go for it.
    pub(super) fn push(&self, body: Arc<[u8]>) -> bool {
        // Nobody panics while holding it, so what a poisoned lock holds is whole all the same.
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let full = queue.len() >= QUEUE;
        if full {
            queue.pop_front();
        }
        queue.push_back(body);
        drop(queue);
        self.wake.notify_one();
        full
    }

    fn pop(&self) -> Option<Arc<[u8]>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// The next message; `None` once the connection is over.
    async fn next(&self, over: &AtomicBool) -> Option<Arc<[u8]>> {
        loop {
            if over.load(Ordering::Acquire) {
                return None;
            }
            if let Some(body) = self.pop() {
                return Some(body);
            }
            self.wake.notified().await;
        }
    }
}

/// One directed link, as its task sees it.
pub(super) struct Link {
    pub(super) protocol: &'static str,
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    pub(super) nodes: usize,
    pub(super) address: SocketAddr,
    pub(super) seed: Seed,
    pub(super) outbox: Arc<Outbox>,
    pub(super) counters: Arc<Counters>,
}

impl Link {
    /// Keeps the link up, for ever.
    pub(super) async fn run(self) {
        let mut draws = Draws::new(self.seed, self.nodes, 0);
        let site = Site::Link(self.from.into(), self.to.into());
        let mut failures = 0;
        loop {
            let mut draw = draws.draw(site);
            let session = u64::from(draw.word()) << 32 | u64::from(draw.word());
            let (was_up, why) = self.session(session).await;
            failures = if was_up { 0 } else { failures + 1 };
            match failures {
                0 => tracing::info!("{}: the connection to {} ended: {why}", self.from, self.to),
                1 => tracing::info!("{}: cannot reach {}: {why}", self.from, self.to),
                _ => tracing::debug!("{}: cannot reach {}: {why}", self.from, self.to),
            }
            sleep(backoff(failures, draw)).await;
        }
    }

    /// One connection, from its making to its end: whether it came about, and why it ended.
    async fn session(&self, session: u64) -> (bool, String) {
        let connected = timeout(CONNECT_WITHIN, TcpStream::connect(self.address)).await;
        let stream = match connected {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return (false, format!("{}: {error}", self.address)),
            Err(_) => return (false, format!("{}: no connection in time", self.address)),
        };
        let hello = Hello {
            protocol: Some(self.protocol.to_owned()),
            from: self.from.into(),
            to: Some(self.to),
            nodes: Some(self.nodes),
        };
        let (reader, mut writer) = match greet(stream, &hello, session).await {
            Ok((reader, writer, _)) => (reader, writer),
            Err(why) => return (false, why),
        };
        tracing::info!("{}: connected to {}", self.from, self.to);
        count(&self.counters.sessions);
        let over = Arc::new(AtomicBool::new(false));
        let mut watcher = Tasks::default();
        let (watched, outbox) = (Arc::clone(&over), Arc::clone(&self.outbox));
        watcher.add(tokio::spawn(watch(reader, watched, outbox)));
        let mut sequence = 0;
        loop {
            let mut bytes = Vec::new();
            let mut next = match timeout(ALIVE_EVERY, self.outbox.next(&over)).await {
                Ok(None) => break,
                Ok(body) => body,
                Err(_) => {
                    bytes = frame::encode(Kind::Alive, session, 0, &[]);
                    None
                }
            };
            // What waits goes together.
            while let Some(body) = next {
                bytes.extend(frame::encode(Kind::Message, session, sequence, &body));
                sequence += 1;
                count(&self.counters.sent);
                next = if bytes.len() < 1 << 16 { self.outbox.pop() } else { None };
            }
            let written = async {
                writer.write_all(&bytes).await?;
                writer.flush().await
            };
            match timeout(SILENCE, written).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return (true, error.to_string()),
                Err(_) => return (true, "it takes nothing any more".to_owned()),
            }
        }
        (true, "it was closed, or nothing was heard from there".to_owned())
    }
}

/// Waits until the connection ends, or the other end falls silent.
async fn watch(
    mut reader: impl AsyncRead + Unpin + Send,
    over: Arc<AtomicBool>,
    outbox: Arc<Outbox>,
) {
    while let Ok(Ok(Some(_))) = timeout(SILENCE, frame::read(&mut reader)).await {}
    over.store(true, Ordering::Release);
    outbox.wake.notify_one();
}

fn backoff(failures: u32, mut draw: Draw) -> Duration {
    let (first, last) = BACKOFF;
    let whole = first.saturating_mul(1 << failures.min(10)).min(last);
    whole / 2 + whole.mul_f64(f64::from(draw.word()) / f64::from(u32::MAX)) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_loses_its_oldest() {
        let outbox = Outbox::default();
        let full = |number: usize| outbox.push(Arc::from(number.to_le_bytes().as_slice()));
        assert!((0..QUEUE).all(|number| !full(number)), "there is room");
        assert!(full(QUEUE), "one too many");
        assert_eq!(outbox.pop().as_deref(), Some(1_usize.to_le_bytes().as_slice()));
    }

    #[test]
    fn pauses_grow_to_their_bound() {
        let at = |failures, word| backoff(failures, Draw::from_words([word; 4])).as_millis();
        assert_eq!((at(0, 0), at(0, u32::MAX)), (10, 20));
        assert_eq!((at(40, 0), at(40, u32::MAX)), (500, 1_000));
    }
}
