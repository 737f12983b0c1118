//! Scuttlebutt: gossip about what each node says of itself (van Renesse, Dumitriu, Gough and
//! Thomas,
//! *Efficient Reconciliation and Flow Control for Anti-Entropy Protocols*, LADIS 2008), with
//! deletions that are forgotten.
//!
//! *Problem.* Each node keeps keys and values of its own, which it alone changes. All nodes come to
//! know those of all others, deletions too, without keeping for ever what was deleted.
//!
//! *Model.* Links `FairLoss`; nodes `CrashRecovery`, any number down; timing `Asynchronous` but for
//! one assumption: none. How long a deletion is remembered is a matter of cost; a node that missed
//! it is sent everything anew.
//!
//! *Idea.* A node numbers its changes. Two nodes that gossip compare, for each *origin*, the
//! highest version that they know, and the one who knows more sends what the other lacks, in the
//! order of the versions. A deletion is a change, a *tombstone*. Who has forgotten tombstones
//! remembers the highest version of those; who knows less than that may have what was deleted, and
//! is sent all that there is, a *reset*, instead of what is new.
//!
//! *Properties*, guarded by [`invariants`] but for the last two:
//! - `Monotonic` what a node knows of an origin never gets older: neither the version of what is
//!   forgotten there, nor the version that it knows;
//! - `Resurrection` no key that was deleted shows again under a version from before;
//! - `Truth` what is known under a version is what its origin said under it;
//! - `Convergence` in the end all know the same;
//! - `L1` whoever asks a node that is up is answered by it alone.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Digest`](Message::Digest) | node | one other | how much I know of each origin |
//! | [`Deltas`](Message::Deltas) | node | that one | what you lack; and how much I know |
//!
//! *Journal record*: a node's own change, synced before its client is told; what it knows of others
//! is learned again.
//!
//! *Deviations*
//! - Push and pull in three messages: digest, deltas with a digest, deltas.
//! - No flow control: a delta holds all that is lacking.
//! - Tombstones, and the version up to which they are forgotten, are not of the paper: they follow
//!   what services that run it have (`chitchat`, `last_gc_version`). Every node forgets by its own
//!   clock.
//!
//! *Reading map*
//!
//! | section | here |
//! |---|---|
//! | 2, participants and their keys | [`Known`] |
//! | 3.1, precise reconciliation; scuttlebutt | `on_digest`, `delta`, `take` |
//! | (tombstones) | `collect`, [`Delta::reset`] |

mod invariants;

use crate::kv::Text;
use seedfall_sim::{Context, Duration, NodeId, Protocol, RequestId, SortedMap, Time};

pub use invariants::{Invariants, invariants};

/// The parameters, equal on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// How often a node gossips with another.
    pub interval: Duration,
    /// How long it remembers a deletion.
    pub remember: Duration,
}

/// A version of what an origin says: counts its changes.
pub type Version = u64;

/// A value, or a tombstone, under the version of the change that made it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Entry {
    /// The version.
    pub version: Version,
    /// The value; none: it was deleted.
    pub value: Option<Text>,
}

/// What is known of one origin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Known {
    /// The highest version of a tombstone that is forgotten.
    pub forgotten: Version,
    /// The highest version that is known.
    pub latest: Version,
    /// Its keys.
    pub entries: SortedMap<Text, Entry>,
}

/// How much of an origin is known: what is forgotten, and what is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Extent {
    /// As [`Known::forgotten`].
    pub forgotten: Version,
    /// As [`Known::latest`].
    pub latest: Version,
}

/// What of one origin somebody lacks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Delta {
    /// The version after which it begins.
    pub after: Version,
    /// Whether it is all that there is, in the place of what the receiver has.
    pub reset: bool,
    /// What the sender knows, without what comes before.
    pub known: Known,
}

/// What nodes send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// How much the sender knows.
    Digest(SortedMap<NodeId, Extent>),
    /// What the receiver lacks; and, if it is to answer, how much the sender knows.
    Deltas(SortedMap<NodeId, Delta>, Option<SortedMap<NodeId, Extent>>),
}

/// A node's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// Time to gossip.
    Gossip,
}

/// What a node writes to its journal: it has made this change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Record(pub Text, pub Entry);

/// What a client asks of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Request {
    /// Sets a key of its own.
    Set(Text, Text),
    /// Deletes one.
    Delete(Text),
}

/// What a client is told: under which version it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Response(pub Version);

/// One node.
#[derive(Clone, Debug)]
pub struct Node {
    id: NodeId,
    config: Config,
    known: SortedMap<NodeId, Known>,
    /// When it heard of each tombstone.
    buried: SortedMap<(NodeId, Text), Time>,
    /// Whether it has handled nothing yet.
    is_new: bool,
}

impl Protocol for Node {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        let (known, buried) = (SortedMap::new(), SortedMap::new());
        let mut node = Self { id, config: *config, known, buried, is_new: true };
        for Record(key, entry) in journal {
            node.learn(id, key.clone(), entry.clone(), ctx.now());
        }
        ctx.set_timer(Timer::Gossip, config.interval);
        node
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        self.is_new = false;
        match message {
            Message::Digest(extents) => {
                let deltas = self.deltas(&extents);
                ctx.send(from, Message::Deltas(deltas, Some(self.digest())));
            }
            Message::Deltas(deltas, extents) => {
                for (origin, delta) in deltas {
                    self.take(origin, delta, ctx);
                }
                if let Some(extents) = extents {
                    let deltas = self.deltas(&extents);
                    if !deltas.is_empty() {
                        ctx.send(from, Message::Deltas(deltas, None));
                    }
                }
            }
        }
    }

    fn on_timer(&mut self, Timer::Gossip: Timer, ctx: &mut Context<'_, Self>) {
        self.is_new = false;
        self.collect(ctx);
        ctx.set_timer(Timer::Gossip, self.config.interval);
        let others = ctx.nodes() as u32 - 1;
        if others == 0 {
            return;
        }
        let drawn = ctx.draw().below(others) as usize;
        let to = NodeId::new(((self.id.index() + 1 + drawn) % ctx.nodes()) as u16);
        ctx.send(to, Message::Digest(self.digest()));
    }

    fn on_request(&mut self, id: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        self.is_new = false;
        let (key, value) = match body {
            Request::Set(key, value) => (key, Some(value)),
            Request::Delete(key) => (key, None),
        };
        let version = self.known.get(&self.id).map_or(0, |known| known.latest) + 1;
        let entry = Entry { version, value };
        ctx.append(Record(key.clone(), entry.clone()));
        ctx.sync();
        self.learn(self.id, key, entry, ctx.now());
        ctx.respond(id, Response(version));
    }
}

impl Node {
    /// What it knows of each origin.
    pub fn known(&self) -> &SortedMap<NodeId, Known> {
        &self.known
    }

    /// Whether it has just come up, and knows nothing but what its journal says.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    fn digest(&self) -> SortedMap<NodeId, Extent> {
        let extent = |known: &Known| Extent { forgotten: known.forgotten, latest: known.latest };
        self.known.iter().map(|(origin, known)| (*origin, extent(known))).collect()
    }

    /// What somebody lacks who knows so much.
    fn deltas(&self, extents: &SortedMap<NodeId, Extent>) -> SortedMap<NodeId, Delta> {
        let lacks = |(origin, known): (&NodeId, &Known)| {
            let extent = extents.get(origin).copied().unwrap_or_default();
            Some((*origin, delta(known, extent)?))
        };
        self.known.iter().filter_map(lacks).collect()
    }

    /// Takes in what it lacks of an origin.
    fn take(&mut self, origin: NodeId, delta: Delta, ctx: &mut Context<'_, Self>) {
        if origin == self.id {
            return ctx.ignore("delta: it knows itself best");
        }
        let known = self.known.entry(origin).or_default();
        if delta.reset {
            // It was cut for what was known some time ago: since then more may have come.
            if delta.known.forgotten <= known.forgotten || delta.known.latest < known.latest {
                return ctx.reach("delta: a reset to what is older");
            }
            ctx.reach("delta: a reset");
            *known = Known { forgotten: delta.known.forgotten, ..Known::default() };
            self.buried.retain(|(of, _), _| *of != origin);
        } else if known.latest < delta.after {
            return ctx.ignore("delta: something before it is missing");
        }
        // What is not newer is here, or is not any more.
        let after = self.known.get(&origin).map_or(0, |known| known.latest);
        let now = ctx.now();
        for (key, entry) in delta.known.entries {
            if after < entry.version {
                self.learn(origin, key, entry, now);
            }
        }
        let known = self.known.entry(origin).or_default();
        known.latest = known.latest.max(delta.known.latest);
    }

    /// One change of an origin, later than all that is known of the key.
    fn learn(&mut self, origin: NodeId, key: Text, entry: Entry, now: Time) {
        let known = self.known.entry(origin).or_default();
        let place = (origin, key.clone());
        match entry.value {
            None => drop(self.buried.insert(place, now)),
            Some(_) => drop(self.buried.remove(&place)),
        }
        known.latest = known.latest.max(entry.version);
        known.entries.insert(key, entry);
    }

    /// Forgets the deletions that it has remembered for long enough.
    fn collect(&mut self, ctx: &mut Context<'_, Self>) {
        let (now, remember) = (ctx.now(), self.config.remember);
        let old = self.buried.iter().filter(|(_, since)| remember <= now.since(**since));
        for place in old.map(|(place, _)| place.clone()).collect::<Vec<_>>() {
            self.buried.remove(&place);
            let (origin, key) = place;
            let known = self.known.get_mut(&origin).expect("there is a tombstone of it");
            if let Some(entry) = known.entries.remove(&key) {
                known.forgotten = known.forgotten.max(entry.version);
                ctx.reach("collect: a deletion is forgotten");
            }
        }
    }
}

/// What of an origin somebody lacks who knows so much; nothing: nothing.
fn delta(known: &Known, extent: Extent) -> Option<Delta> {
    if known.latest <= extent.latest {
        return None;
    }
    // It may have what was deleted since, of which no tombstone is left.
    let reset = extent.latest < known.forgotten && extent.forgotten < known.forgotten;
    let after = if reset { 0 } else { extent.latest };
    let news = known.entries.iter().filter(|(_, entry)| after < entry.version);
    let entries = news.map(|(key, entry)| (key.clone(), entry.clone())).collect();
    let Known { forgotten, latest, .. } = *known;
    Some(Delta { after, reset, known: Known { forgotten, latest, entries } })
}
