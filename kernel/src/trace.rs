//! Everything that happens in a run: folded into its hash, and told to whoever asked for more.
//!
//! Every event enters the hash, whatever is kept. What is kept beyond it is written into frames
//! as it happens, outside of the memory of programs, so that keeping it changes nothing in a run.

use crate::report::{Reader, Writer};
use crate::speech::Speech;
use seedfall_sim::{
    Address, ClientId, DrawAddress, Entry, Event, NodeId, Recording, Site, StableHasher, Time,
};
use std::collections::BTreeMap;
use std::hash::Hasher;

/// What kind of thing happened: one vocabulary with runs of protocols.
pub(crate) use seedfall_sim::Kind as Happening;

/// So many bytes of entries are written at once.
const BATCH: usize = 128 << 10;

/// What is told of an event, if all of it is kept.
#[derive(Debug)]
pub(crate) enum Detail<'a> {
    /// Words.
    Text(String),
    /// What left on a connection: at this place of what one side sends, for the first time or
    /// again. It is told by what it is in the language that the two speak.
    Stream {
        /// Which connection, and which of its sides.
        stream: u64,
        /// How many bytes the side sent before.
        offset: u64,
        /// They left before, and did not arrive.
        again: bool,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// A datagram.
    Datagram(&'a [u8]),
    /// What the packet said that left with this index.
    AsSent,
}

// How a detail is written.
const TEXT: u64 = 0;
const STREAM: u64 = 1;
const DATAGRAM: u64 = 2;
const AS_SENT: u64 = 3;

/// What is let in, and how often: when, what, to whom, from whom, and with which contents.
type LetIn = BTreeMap<(Time, Happening, Address, Address, u64), u32>;

/// The running trace of one run.
#[derive(Debug)]
pub(crate) struct Trace {
    inner: seedfall_sim::Trace,
    servers: usize,
    /// The entries that were not told yet, if all are kept.
    full: Option<Writer>,
    /// What a run that is a part of another lets in; see [`Trace::lets_in`].
    only: Option<LetIn>,
}

impl Trace {
    /// The empty trace of a run of `seed`, whose nodes begin with so many servers.
    pub(crate) fn new(seed: u64, servers: usize, recording: Recording) -> Self {
        let (inner, full) = match recording {
            Recording::Full => (Recording::Hash, Some(Writer::frame(crate::run::TRACE))),
            other => (other, None),
        };
        Self { inner: seedfall_sim::Trace::new(inner, seed), servers, full, only: None }
    }

    /// Whether everything is kept, with words.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.full.is_some()
    }

    /// Adds something that happened; `detail` is asked only if it is kept.
    #[inline]
    pub(crate) fn record<'a>(&mut self, event: Event, detail: impl FnOnce() -> Detail<'a>) {
        self.inner.record(event, &String::new);
        if self.full.is_some() {
            self.keep(&event, &detail());
        }
    }

    #[cold]
    fn keep(&mut self, event: &Event, detail: &Detail<'_>) {
        let hash = self.inner.hash();
        let Some(full) = &mut self.full else { return };
        write_event(full, event, self.servers, hash);
        match detail {
            Detail::Text(text) => full.number(TEXT).bytes(text.as_bytes()),
            Detail::Stream { stream, offset, again, bytes } => {
                full.number(STREAM).number(*stream).number(*offset).number(u64::from(*again));
                full.bytes(bytes)
            }
            Detail::Datagram(bytes) => full.number(DATAGRAM).bytes(bytes),
            Detail::AsSent => full.number(AS_SENT),
        };
        if full.size() > BATCH {
            self.tell();
        }
    }

    /// Tells what is kept and was not told: now and then, and at the end of the run.
    pub(crate) fn tell(&mut self) {
        if let Some(full) = &mut self.full {
            let whole = std::mem::replace(full, Writer::frame(crate::run::TRACE));
            crate::machine::report(&whole.done());
        }
    }

    /// The last events, if a ring of them is kept, as a frame.
    pub(crate) fn ring(&self) -> Vec<u8> {
        let mut frame = Writer::frame(crate::run::TRACE);
        for entry in self.inner.events() {
            write_event(&mut frame, &entry.event, self.servers, entry.hash);
            frame.number(TEXT).bytes(&[]);
        }
        frame.done()
    }

    /// The hash over everything so far.
    pub(crate) fn hash(&self) -> u64 {
        self.inner.hash()
    }

    /// How many things happened.
    #[inline]
    pub(crate) fn count(&self) -> u64 {
        self.inner.count()
    }

    /// From here on nothing arrives but what is like one of these arrivals of another run: at that
    /// instant, with those contents, and as often as it stands there.
    pub(crate) fn let_in_only(&mut self, arrivals: &[Event]) {
        let mut all = LetIn::new();
        for Event { at, kind, actor, peer, digest, .. } in arrivals {
            *all.entry((*at, *kind, *actor, *peer, *digest)).or_default() += 1;
        }
        self.only = Some(all);
    }

    /// Whether this arrival is let in; it counts as one.
    pub(crate) fn lets_in(&mut self, event: &Event) -> bool {
        let Some(only) = &mut self.only else { return true };
        let Event { at, kind, actor, peer, digest, .. } = *event;
        match only.get_mut(&(at, kind, actor, peer, digest)) {
            Some(left) if 0 < *left => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}

fn write_event(frame: &mut Writer, event: &Event, servers: usize, hash: u64) {
    let Event { at, kind, actor, peer, index, digest } = *event;
    frame.number(at.as_nanos()).number(kind as u64);
    frame.number(actor.index(servers) as u64).number(peer.index(servers) as u64);
    frame.number(index).number(digest).number(hash);
}

/// The address of a node with this index: servers first.
pub(crate) fn address(index: usize, servers: usize) -> Address {
    match index.checked_sub(servers) {
        None => NodeId::new(index as u16).into(),
        Some(client) => ClientId::new(client as u16).into(),
    }
}

/// Reads the entries of a frame behind those before it; `speech` remembers what was said on which
/// connection.
pub(crate) fn read_entries(
    frame: &mut Reader<'_>,
    servers: usize,
    speech: &mut Speech,
    entries: &mut Vec<Entry>,
) {
    while !frame.is_empty() {
        let at = frame.time();
        let Some(kind) = kind_of(frame.number()) else { return };
        let mut place = || address(frame.number() as usize, servers);
        let (actor, peer) = (place(), place());
        let (index, digest, hash) = (frame.number(), frame.number(), frame.number());
        let event = Event { at, kind, actor, peer, index, digest };
        let text = match frame.number() {
            STREAM => {
                let (stream, offset) = (frame.number(), frame.number());
                let again = frame.number() == 1;
                speech.stream(&event, stream, offset, again, frame.bytes())
            }
            DATAGRAM => speech.datagram(&event, frame.bytes()),
            AS_SENT => speech.as_sent(&event),
            _ => {
                let text = frame.text();
                if kind == Happening::Send {
                    speech.sent(&event, &text);
                }
                text
            }
        };
        entries.push(Entry { event, text, hash });
    }
}

fn kind_of(number: u64) -> Option<Happening> {
    Happening::ALL.into_iter().find(|kind| *kind as u64 == number)
}

/// The draws of a run, as a frame.
pub(crate) fn write_draws(log: &[(DrawAddress, [u32; 4])], servers: usize) -> Vec<u8> {
    let mut frame = Writer::frame(crate::run::DRAWS);
    for (DrawAddress { site, index }, words) in log {
        let node = |node: &NodeId| [node.index(), 0];
        let (number, [one, other]) = match site {
            Site::Link(from, to) => (0, [from.index(servers), to.index(servers)]),
            Site::Node(of) => (1, node(of)),
            Site::Disk(of) => (2, node(of)),
            Site::Tie => (3, [0, 0]),
            Site::Client(client) => (4, [client.index(), 0]),
            Site::Plan => (5, [0, 0]),
            Site::Lie(of) => (6, node(of)),
            Site::Twin(of) => (7, node(of)),
            Site::Thread(of) => (8, node(of)),
            Site::Entropy(of) => (9, node(of)),
        };
        frame.number(number).number(one as u64).number(other as u64).number(*index);
        frame.number(u64::from(words[0]) << 32 | u64::from(words[1]));
        frame.number(u64::from(words[2]) << 32 | u64::from(words[3]));
    }
    frame.done()
}

/// Reads the draws of a frame.
pub(crate) fn read_draws(frame: &mut Reader<'_>, servers: usize) -> Vec<(DrawAddress, [u32; 4])> {
    let mut log = Vec::new();
    while !frame.is_empty() {
        let number = frame.number();
        let [one, other] = [frame.number() as usize, frame.number() as usize];
        let node = NodeId::new(one as u16);
        let site = match number {
            0 => Site::Link(address(one, servers), address(other, servers)),
            1 => Site::Node(node),
            2 => Site::Disk(node),
            3 => Site::Tie,
            4 => Site::Client(ClientId::new(one as u16)),
            5 => Site::Plan,
            6 => Site::Lie(node),
            7 => Site::Twin(node),
            8 => Site::Thread(node),
            _ => Site::Entropy(node),
        };
        let index = frame.number();
        let [high, low] = [frame.number(), frame.number()];
        let words = [(high >> 32) as u32, high as u32, (low >> 32) as u32, low as u32];
        log.push((DrawAddress { site, index }, words));
    }
    log
}

/// The hash of some bytes.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = StableHasher::default();
    hasher.write(bytes);
    hasher.finish()
}
