//! Randomness by address: every decision has a name, and its value depends on the seed and the name
//! alone.
//!
//! A sequential random stream makes shrinking impossible: leave one fault out and every later
//! decision shifts. So a [`Draw`] has an [`Address`](crate::DrawAddress): a [`Site`] (the link
//! n1->n2, the node n3, ...) and an index there. Each site is one `ChaCha8` stream of the seed,
//! each draw four words of it; the 17th draw of a site is the same whatever happened elsewhere, and
//! any draw can be overridden by its address.

mod ahead;
mod choices;
mod nominal;
mod priorities;
mod span;

pub use choices::Choices;
pub use nominal::Nominal;
pub use priorities::{Chains, Priorities};
pub use span::{exponential, scale};

use crate::hash::fold;
use crate::id::{Address, ClientId, NodeId};
use crate::time::Duration;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What decides a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Seed(pub u64);

/// Where draws are made. The k-th draw of a site never depends on another site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Site {
    /// The fate of the k-th message on a directed link.
    Link(Address, Address),
    /// The k-th draw that the protocol on a node asks for.
    Node(NodeId),
    /// What the k-th crash of a node leaves of its un-synced records. For a program, what a crash
    /// leaves of its files: the index names the crash and the page.
    Disk(NodeId),
    /// Which of the events of one instant comes first; the index is the instant in nanoseconds.
    Tie,
    /// A client's decision about its k-th operation: what it asks, whom, and when.
    Client(ClientId),
    /// The k-th decision of whoever drew the fault plan.
    Plan,
    /// How a Byzantine node treats its k-th message.
    Lie(NodeId),
    /// Whom the second of twins on a node hears; the index names the sender and the round.
    Twin(NodeId),
    /// Which of the threads of a program that can run goes on.
    Thread(NodeId),
    /// The random bytes that a program asks its kernel for; the index names the size of the
    /// request and its zero-based index among those of that size.
    Entropy(NodeId),
}

/// The name of one draw: a site, and its zero-based index there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DrawAddress {
    /// Where.
    pub site: Site,
    /// Its zero-based index among the draws of that site.
    #[cfg_attr(feature = "serde", serde(alias = "ordinal"))]
    pub index: u64,
}

/// What to decide instead of what the seed says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Override {
    /// The dull outcome: nothing is lost or doubled, every span is the middle of its range, or as
    /// [`Nominal`] says.
    Nominal,
    /// These four words.
    Words([u32; 4]),
}

/// One random decision: four words, consumed in order by the questions asked of it.
///
/// A question takes one word, whatever the answer, so that a change of a probability changes only
/// its own answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    words: [u32; 4],
    next: u8,
    nominal: bool,
    index: u64,
}

/// Parts per million: the unit of every probability, so that plans are exact and readable.
pub type Ppm = u32;

/// One million parts per million: always.
pub const ALWAYS: Ppm = 1_000_000;

impl Draw {
    /// The dull draw: every chance is declined, every span is the middle of its range.
    pub const NOMINAL: Self = Self { words: [1 << 31; 4], next: 0, nominal: true, index: 0 };

    /// A draw of the given words, for a network or a plan that is tested alone.
    pub const fn from_words(words: [u32; 4]) -> Self {
        Self { words, next: 0, nominal: false, index: 0 }
    }

    /// Its index at its site.
    #[inline]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// True if it is overridden by the dull outcome.
    #[inline]
    pub const fn is_nominal(&self) -> bool {
        self.nominal
    }

    /// The next word, uniform over all `u32`.
    ///
    /// # Panics
    /// If all four words are used: ask for a second draw instead.
    #[inline(always)]
    pub fn word(&mut self) -> u32 {
        let word = self.words[usize::from(self.next)];
        self.next += 1;
        word
    }

    /// The last of the four words, for what few networks ask beside the rest; it is not used up.
    #[inline]
    pub const fn last_word(&self) -> u32 {
        self.words[3]
    }

    /// True with probability `ppm` in a million; a nominal draw says no unless the answer is
    /// certain.
    #[inline]
    pub fn chance(&mut self, ppm: Ppm) -> bool {
        let hit = (u64::from(self.word()) * u64::from(ALWAYS)) >> 32 < u64::from(ppm);
        if self.nominal { ppm >= ALWAYS } else { hit }
    }

    /// At most one of several exclusive things, each with its own probability in a million; a
    /// nominal draw says none unless the answer is certain.
    #[inline(always)]
    pub fn one_of<const N: usize>(&mut self, ppm: [Ppm; N]) -> Option<usize> {
        let mut at = ((u64::from(self.word()) * u64::from(ALWAYS)) >> 32) as Ppm;
        if self.nominal {
            return ppm.iter().position(|ppm| *ppm >= ALWAYS);
        }
        for (index, ppm) in ppm.into_iter().enumerate() {
            if at < ppm {
                return Some(index);
            }
            at -= ppm;
        }
        None
    }

    /// Uniform over `0..bound`, or the middle of it; `bound` must not be zero.
    #[inline]
    pub fn below(&mut self, bound: u32) -> u32 {
        assert!(bound > 0, "cannot draw below zero");
        ((u64::from(self.word()) * u64::from(bound)) >> 32) as u32
    }

    /// Uniform over the range, or its middle; an empty range gives its start.
    #[inline(always)]
    pub fn duration(&mut self, range: Range<Duration>) -> Duration {
        let width = (range.end - range.start).as_nanos();
        range.start + scale(width, self.word())
    }

    /// Exponentially distributed with the given mean, cut off at 22 times the mean (one in 2^32);
    /// or the median.
    #[inline]
    pub fn exponential(&mut self, mean: Duration) -> Duration {
        exponential(mean, self.word())
    }
}

/// How many draws a stream makes ready at once: four blocks of `ChaCha8`, which it computes side by
/// side.
const BATCH: usize = 16;

/// One site's stream: the next draws, and the index of the first of them that is not used.
#[derive(Clone, Debug)]
struct Stream {
    next: u64,
    batch: [[u32; 4]; BATCH],
}

/// The words of the draw before which the generator stands.
#[inline]
fn words(rng: &mut ChaCha8Rng) -> [u32; 4] {
    let (low, high) = (rng.next_u64(), rng.next_u64());
    [low as u32, (low >> 32) as u32, high as u32, (high >> 32) as u32]
}

/// Clusters up to this many addresses keep their link streams in a table, larger ones in a tree.
const DENSE_PEERS: usize = 128;

/// All the randomness of a run.
#[derive(Clone, Debug)]
pub struct Draws {
    seed: Seed,
    nodes: usize,
    peers: usize,
    /// Which of `streams` serves a dense site; zero: none yet.
    dense: Vec<u32>,
    sparse: BTreeMap<Site, u32>,
    streams: Vec<Stream>,
    ahead: Vec<ahead::Ahead>,
    overrides: BTreeMap<DrawAddress, Override>,
    /// The draws of links, nodes and disks that are still random; `None`: all.
    random: Option<BTreeSet<DrawAddress>>,
    nominal: Nominal,
    /// What decides how long messages take; `None`: the seed.
    schedule: Option<Box<priorities::Schedule>>,
    /// True if there are no overrides or priorities, everything is random, and there is no log.
    is_plain: bool,
    overridden: u64,
    log: Option<Vec<(DrawAddress, [u32; 4])>>,
    /// Not a draw, but something that decides a run as draws do, and is where they are.
    has_fix: bool,
}

impl Draws {
    /// The randomness of `seed` for a cluster of `nodes` nodes and `clients` clients.
    pub fn new(seed: Seed, nodes: usize, clients: usize) -> Self {
        let peers = nodes + clients;
        let dense = if peers <= DENSE_PEERS { peers * peers + nodes } else { 0 };
        Self {
            seed,
            nodes,
            peers,
            dense: vec![0; dense],
            sparse: BTreeMap::new(),
            streams: Vec::new(),
            ahead: Vec::new(),
            overrides: BTreeMap::new(),
            random: None,
            nominal: Nominal::Equal,
            schedule: None,
            is_plain: true,
            overridden: 0,
            log: None,
            has_fix: false,
        }
    }

    /// Replaces the draws at these addresses.
    pub fn with_overrides(mut self, overrides: BTreeMap<DrawAddress, Override>) -> Self {
        self.overrides = overrides;
        self.is_plain = self.overrides.is_empty() && self.is_plain;
        self
    }

    /// From here on every draw of a link, a node or a disk is nominal, but for these: what is left
    /// of a run when all that does not matter was made dull.
    pub fn nominal_except(&mut self, random: BTreeSet<DrawAddress>) {
        self.random = Some(random);
        self.is_plain = false;
    }

    /// From here on nominal spans lie where this says.
    pub fn set_nominal(&mut self, nominal: Nominal) {
        self.nominal = nominal;
    }

    /// From here on every draw is that of another seed, nothing overridden or nominal: the same
    /// past with another future. Indices go on counting.
    pub fn reseed(&mut self, seed: Seed) {
        self.overrides.clear();
        self.random = None;
        self.schedule = None;
        self.is_plain = self.log.is_none();
        self.turn(seed);
    }

    /// From here on the program has its fix ([`planted::has_fix`](crate::planted::has_fix)).
    pub fn fix(&mut self) {
        self.has_fix = true;
    }

    /// Whether the program has its fix by now.
    pub fn has_fix(&self) -> bool {
        self.has_fix
    }

    /// Every site that has a stream, and the place of that stream.
    fn sites(&self) -> Vec<(usize, Site)> {
        let link = |index: usize| {
            let address = |index: usize| match index.checked_sub(self.nodes) {
                None => Address::from(NodeId::new(index as u16)),
                Some(client) => ClientId::new(client as u16).into(),
            };
            Site::Link(address(index / self.peers), address(index % self.peers))
        };
        let site = |index: usize| match index.checked_sub(self.peers * self.peers) {
            None => link(index),
            Some(node) => Site::Node(NodeId::new(node as u16)),
        };
        let dense = self.dense.iter().enumerate().filter(|(_, stream)| **stream > 0);
        let dense = dense.map(|(index, stream)| (*stream as usize - 1, site(index)));
        let sparse = self.sparse.iter().map(|(site, stream)| (*stream as usize - 1, *site));
        dense.chain(sparse).collect()
    }

    /// From here on keeps every draw made, for [`Draws::log`].
    pub fn keep_log(&mut self) {
        self.log = Some(Vec::new());
        self.is_plain = false;
    }

    /// The draws made since [`Draws::keep_log`], in order.
    pub fn log(&self) -> &[(DrawAddress, [u32; 4])] {
        self.log.as_deref().unwrap_or_default()
    }

    /// The seed.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// How many draws of a site were made in its order.
    pub fn drawn(&self, site: Site) -> u64 {
        let dense = self.dense_index(site).and_then(|index| self.dense.get(index).copied());
        let known = dense.filter(|stream| *stream > 0).or_else(|| self.sparse.get(&site).copied());
        known.map_or(0, |stream| self.streams[stream as usize - 1].next)
    }

    /// The next draw of a site.
    #[inline(always)]
    pub fn draw(&mut self, site: Site) -> Draw {
        let dense = self.dense_index(site);
        let known = dense.and_then(|index| self.dense.get(index)).map_or(0, |stream| *stream);
        let stream = if known == 0 { self.stream(site, dense) } else { known } as usize - 1;
        let index = self.streams[stream].next;
        let at = index as usize % BATCH;
        if at == 0 {
            self.refill(stream, site, index);
        }
        let stream = &mut self.streams[stream];
        stream.next = index + 1;
        let words = stream.batch[at];
        self.revised(DrawAddress { site, index }, words)
    }

    /// The draw at an address, which need not be the next one of its site.
    pub fn at(&mut self, site: Site, index: u64) -> Draw {
        let words = match site {
            Site::Client(_) | Site::Plan => self.ahead(site, index),
            _ => words(&mut self.source(site, index)),
        };
        self.revised(DrawAddress { site, index }, words)
    }

    /// A choice among `count` things that happen at the instant `nanos`; `taken` were chosen there
    /// before.
    pub fn tie(&mut self, nanos: u64, taken: u32, count: usize) -> usize {
        // Four words a draw, sixteen draws an instant: an instant with more choices than that wraps
        // into the words of a later one, which is as random.
        let index = nanos.wrapping_mul(16).wrapping_add(u64::from(taken / 4));
        let mut draw = self.at(Site::Tie, index);
        draw.next = (taken % 4) as u8;
        draw.below(count as u32) as usize
    }

    /// Changes whenever an override took effect; part of the trace hash.
    pub fn overridden(&self) -> u64 {
        self.overridden
    }

    #[inline(always)]
    fn dense_index(&self, site: Site) -> Option<usize> {
        if self.dense.is_empty() {
            return None;
        }
        match site {
            Site::Link(from, to) => {
                Some(from.index(self.nodes) * self.peers + to.index(self.nodes))
            }
            Site::Node(node) => Some(self.peers * self.peers + node.index()),
            _ => None,
        }
    }

    /// The number of a site's stream, which is made at its first draw: most links of most runs are
    /// never used.
    #[cold]
    fn stream(&mut self, site: Site, dense: Option<usize>) -> u32 {
        if let Some(stream) = self.sparse.get(&site) {
            return *stream;
        }
        self.streams.push(Stream { next: 0, batch: [[0; 4]; BATCH] });
        let stream = self.streams.len() as u32;
        match dense {
            Some(index) => self.dense[index] = stream,
            None => drop(self.sparse.insert(site, stream)),
        }
        stream
    }

    /// Makes the next draws of a stream ready.
    #[cold]
    fn refill(&mut self, stream: usize, site: Site, index: u64) {
        self.streams[stream].batch = self.batch(site, index);
    }

    /// The words of the draws from this one on.
    fn batch(&self, site: Site, index: u64) -> [[u32; 4]; BATCH] {
        let (mut bytes, mut batch) = ([0; BATCH * 16], [[0; 4]; BATCH]);
        self.source(site, index).fill_bytes(&mut bytes);
        let (words, _) = bytes.as_chunks::<4>();
        for (place, word) in batch.as_flattened_mut().iter_mut().zip(words) {
            *place = u32::from_le_bytes(*word);
        }
        batch
    }

    /// A generator that stands before the draw with this index.
    fn source(&self, site: Site, index: u64) -> ChaCha8Rng {
        let mut key = *b"seedfall: one key a seed, vers.1";
        key[..8].copy_from_slice(&self.seed.0.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(site.stream());
        if index > 0 {
            rng.set_word_pos(u128::from(index) * 4);
        }
        rng
    }

    /// The draw at an address, whose words are these unless it is overridden.
    #[inline(always)]
    fn revised(&mut self, address: DrawAddress, words: [u32; 4]) -> Draw {
        let (words, nominal) =
            if self.is_plain { (words, false) } else { self.revise(address, words) };
        Draw { words, next: 0, nominal, index: address.index }
    }

    /// What becomes of a draw under the overrides, and whether it is nominal; notes it in the log.
    #[cold]
    fn revise(&mut self, address: DrawAddress, mut words: [u32; 4]) -> ([u32; 4], bool) {
        let calm = match address.site {
            // Random bytes that were all the same would collide where a program counts on them.
            Site::Tie | Site::Client(_) | Site::Plan | Site::Entropy(_) => false,
            _ => self.random.as_ref().is_some_and(|random| !random.contains(&address)),
        };
        let calm = calm.then_some(Override::Nominal);
        let revision = self.overrides.get(&address).copied().or(calm);
        if let Some(revision) = revision {
            words = match revision {
                Override::Nominal => self.nominal.words(address.site),
                Override::Words(words) => words,
            };
            self.overridden = fold(fold(self.overridden, address.site.stream()), address.index);
        } else if let Some(schedule) = &mut self.schedule {
            words = schedule.decide(address, words);
        }
        if let Some(log) = &mut self.log {
            log.push((address, words));
        }
        (words, revision == Some(Override::Nominal))
    }
}

impl Site {
    /// The number of the site's `ChaCha` stream: its kind above, its ids below.
    const fn stream(self) -> u64 {
        let (kind, high, low) = match self {
            Self::Link(from, to) => (1, from.code(), to.code()),
            Self::Node(node) => (2, 0, node.index() as u64),
            Self::Disk(node) => (3, 0, node.index() as u64),
            Self::Tie => (4, 0, 0),
            Self::Client(client) => (5, 0, client.index() as u64),
            Self::Plan => (6, 0, 0),
            Self::Lie(node) => (7, 0, node.index() as u64),
            Self::Twin(node) => (8, 0, node.index() as u64),
            Self::Thread(node) => (9, 0, node.index() as u64),
            Self::Entropy(node) => (10, 0, node.index() as u64),
        };
        (kind << 48) | (high << 16) | low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(from: u16, to: u16) -> Site {
        Site::Link(NodeId::new(from).into(), NodeId::new(to).into())
    }

    #[test]
    fn a_draw_depends_on_its_address_alone() {
        let mut quiet = Draws::new(Seed(7), 3, 0);
        let mut busy = Draws::new(Seed(7), 3, 0);
        for _ in 0..100 {
            busy.draw(Site::Node(NodeId::new(2)));
            busy.draw(link(1, 0));
        }
        for index in 0..40 {
            let draw = quiet.draw(link(0, 1));
            assert_eq!(draw, busy.draw(link(0, 1)));
            assert_eq!(draw, quiet.at(link(0, 1), index), "by address and in sequence");
        }
        assert_ne!(quiet.at(link(0, 1), 3), Draws::new(Seed(8), 3, 0).at(link(0, 1), 3));
        assert_ne!(quiet.at(link(0, 1), 3).words, quiet.at(link(1, 0), 3).words);
    }

    #[test]
    fn tables_and_trees_draw_the_same() {
        let mut small = Draws::new(Seed(7), 3, 0);
        let mut large = Draws::new(Seed(7), 3, DENSE_PEERS);
        for _ in 0..20 {
            assert_eq!(small.draw(link(2, 1)), large.draw(link(2, 1)));
        }
    }

    #[test]
    fn an_override_touches_only_its_address() {
        let address = DrawAddress { site: link(0, 1), index: 1 };
        let mut plain = Draws::new(Seed(7), 3, 0);
        let mut revised =
            plain.clone().with_overrides(BTreeMap::from([(address, Override::Nominal)]));
        assert_eq!(plain.draw(link(0, 1)), revised.draw(link(0, 1)));
        assert_eq!(revised.overridden(), 0);
        assert_ne!(plain.draw(link(0, 1)), revised.draw(link(0, 1)));
        assert_ne!(revised.overridden(), 0);
        assert_eq!(plain.draw(link(0, 1)), revised.draw(link(0, 1)));
    }

    #[test]
    fn a_calm_run_is_dull_but_for_what_is_named() {
        let kept = DrawAddress { site: link(0, 1), index: 1 };
        let mut plain = Draws::new(Seed(7), 3, 0);
        let mut calm = plain.clone();
        calm.nominal_except(BTreeSet::from([kept]));
        for index in 0..3 {
            let (plain, calm) = (plain.draw(link(0, 1)), calm.draw(link(0, 1)));
            assert_eq!(plain == calm, index == 1);
            assert_eq!(calm.is_nominal(), index != 1);
        }
        assert_eq!(plain.draw(Site::Plan), calm.draw(Site::Plan), "other sites stay as they are");
    }

    #[test]
    fn another_seed_changes_the_future_alone_and_indices_go_on() {
        let client = Site::Link(ClientId::new(0).into(), NodeId::new(2).into());
        let sites = [link(0, 1), client, Site::Node(NodeId::new(1))];
        for (clients, drawn) in [(1, 0), (1, 15), (1, 16), (DENSE_PEERS, 17)] {
            let [mut old, mut other] = [7, 8].map(|seed| Draws::new(Seed(seed), 3, clients));
            for site in sites.iter().cycle().take(3 * drawn) {
                assert_ne!(old.draw(*site), other.draw(*site));
            }
            old.nominal_except(BTreeSet::new());
            old.reseed(Seed(8));
            for site in sites.iter().cycle().take(3 * 40) {
                assert_eq!(old.draw(*site), other.draw(*site));
            }
        }
    }

    #[test]
    fn chances_and_spans_follow_their_distributions() {
        let mut draws = Draws::new(Seed(1), 1, 0);
        let (mut hits, mut sum, mut exp) = (0, 0, 0);
        let mean = Duration::millis(10);
        for _ in 0..100_000 {
            let mut draw = draws.draw(Site::Plan);
            hits += u32::from(draw.chance(10_000));
            sum += draw.duration(Duration::ZERO..mean).as_nanos();
            exp += draw.exponential(mean).as_nanos();
        }
        assert!((900..1_100).contains(&hits), "1 % of 100,000: {hits}");
        assert!((4_970_000..5_030_000).contains(&(sum / 100_000)), "mean 5 ms: {sum}");
        assert!((9_900_000..10_100_000).contains(&(exp / 100_000)), "mean 10 ms: {exp}");
    }

    #[test]
    fn a_nominal_draw_declines_and_keeps_to_the_middle() {
        let mut draw = Draw::NOMINAL;
        assert!(!draw.chance(999_999));
        assert!(draw.chance(ALWAYS));
        assert_eq!(draw.duration(Duration::ZERO..Duration::millis(8)), Duration::millis(4));
    }
}
