//! The replicated log (section 5.3, Figure 6), and every piece of arithmetic on its indexes.
//!
//! Next to each entry stands a digest of the log up to there, so that two logs are compared by one
//! number: equal digests at an index mean equal logs through that index.
//!
//! A snapshot (section 7) takes the place of the first entries. The log then begins after its
//! *base*, the last entry that is gone, of which index, term and digest stay.

use super::Submission;
use super::membership::Configuration;
use seedfall_sim::StableHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// A term: Raft's logical clock (section 5.1). Zero comes before every election.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Term(pub u64);

/// A place in the log. The first entry stands at 1; zero is the place before it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LogIndex(pub u64);

/// What one entry of the log carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Payload {
    /// Nothing: what a new leader writes to find out what is committed (section 8).
    NoOp,
    /// Something to remember.
    Body(Shared),
}

/// What an entry of the log says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Body {
    /// A client's command.
    Command(Submission),
    /// The configuration from here on (section 6).
    Configuration(Configuration),
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Entry {
    /// The term of the leader that created it.
    pub term: Term,
    /// What it is for.
    pub payload: Payload,
}

/// A body, shared by every log, journal and message that carries it, with its digest beside it: an
/// entry is hashed a dozen times on its way, and its text only once.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(from = "Body", into = "Body"))]
pub struct Shared(Arc<Digested>);

#[derive(PartialEq, Eq)]
struct Digested {
    digest: u64,
    body: Body,
}

/// Consecutive entries on their way to a follower, shared by all copies of the message; none for a
/// heartbeat.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Entries(Option<Arc<[Entry]>>);

/// The log of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Log {
    /// The last entry that is gone; zero, if none is.
    base: LogIndex,
    base_term: Term,
    base_digest: u64,
    /// Those after it.
    entries: Vec<Entry>,
    digests: Vec<u64>,
    /// The last entries that are gone, with their digests: those that the latest snapshot replaced.
    /// For watchers only: an entry may be appended, committed and replaced within one event.
    gone: Vec<(Term, u64)>,
}

impl Term {
    /// The term after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl LogIndex {
    /// The place before every entry.
    pub const ZERO: Self = Self(0);

    /// The place after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// This many places further.
    pub const fn plus(self, count: usize) -> Self {
        Self(self.0 + count as u64)
    }

    /// The place before this one; the place before zero is zero.
    pub const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl From<Body> for Shared {
    fn from(body: Body) -> Self {
        Self(Arc::new(Digested { digest: StableHasher::hash(&body), body }))
    }
}

impl From<Shared> for Body {
    fn from(shared: Shared) -> Self {
        (*shared).clone()
    }
}

impl Hash for Shared {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // A function of the contents, as it must be, but computed when they were put together.
        state.write_u64(self.0.digest);
    }
}

impl Deref for Shared {
    type Target = Body;
    #[inline]
    fn deref(&self) -> &Body {
        &self.0.body
    }
}

impl Entries {
    /// These entries, in the order of their indexes.
    pub fn new(entries: impl Into<Arc<[Entry]>>) -> Self {
        let entries = entries.into();
        Self((!entries.is_empty()).then_some(entries))
    }
}

impl Deref for Entries {
    type Target = [Entry];
    fn deref(&self) -> &[Entry] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl Entry {
    /// An entry of `term` that carries a client's command.
    pub fn command(term: Term, submission: Submission) -> Self {
        Self { term, payload: Payload::Body(Body::Command(submission).into()) }
    }

    /// An entry of `term` that changes the configuration.
    pub fn configuration_of(term: Term, configuration: Configuration) -> Self {
        Self { term, payload: Payload::Body(Body::Configuration(configuration).into()) }
    }

    /// An entry of `term` that carries nothing.
    pub fn no_op(term: Term) -> Self {
        Self { term, payload: Payload::NoOp }
    }

    /// What it says, if anything.
    #[inline]
    pub fn body(&self) -> Option<&Body> {
        match &self.payload {
            Payload::NoOp => None,
            Payload::Body(shared) => Some(shared),
        }
    }

    /// The configuration that it brings, if it brings one.
    #[inline]
    pub fn configuration(&self) -> Option<&Configuration> {
        match self.body() {
            Some(Body::Configuration(configuration)) => Some(configuration),
            _ => None,
        }
    }
}

impl Log {
    /// A log whose entries up to `base` are gone.
    pub(super) fn after(base: LogIndex, base_term: Term, base_digest: u64) -> Self {
        Self { base, base_term, base_digest, ..Self::default() }
    }

    /// The last entry that is gone; zero, if none is.
    #[inline]
    pub fn base(&self) -> LogIndex {
        self.base
    }

    /// The index of the last entry; zero if there never was one.
    #[inline]
    pub fn last_index(&self) -> LogIndex {
        self.base.plus(self.entries.len())
    }

    /// The term of the last entry; zero if there never was one.
    #[inline]
    pub fn last_term(&self) -> Term {
        self.entries.last().map_or(self.base_term, |entry| entry.term)
    }

    /// The term of the entry at `index`, which may be the base; zero at zero, `None` before the
    /// base and past the end.
    #[inline]
    pub fn term_at(&self, index: LogIndex) -> Option<Term> {
        if index == self.base {
            return Some(self.base_term);
        }
        self.get(index).map(|entry| entry.term)
    }

    /// True if the entry at `index` is known to be of `term`: an entry that is gone was committed,
    /// so a leader of this or a later term has the same.
    #[inline]
    pub fn agrees(&self, index: LogIndex, term: Term) -> bool {
        index < self.base || self.term_at(index) == Some(term)
    }

    /// The entry at `index`, if it is there.
    #[inline]
    pub fn get(&self, index: LogIndex) -> Option<&Entry> {
        self.entries.get(self.slot(index)?)
    }

    /// A digest of all entries up to and with `index`; zero at zero, `None` before the base and
    /// past the end.
    #[inline]
    pub fn digest_at(&self, index: LogIndex) -> Option<u64> {
        if index == self.base {
            return Some(self.base_digest);
        }
        self.digests.get(self.slot(index)?).copied()
    }

    /// The digest of the whole log; zero if there never was an entry.
    #[inline]
    pub fn last_digest(&self) -> u64 {
        self.digests.last().copied().unwrap_or(self.base_digest)
    }

    /// The digest at each index after the base.
    pub fn digests(&self) -> &[u64] {
        &self.digests
    }

    /// The terms and digests of the entries up to the base that the latest snapshot replaced.
    pub(super) fn gone(&self) -> &[(Term, u64)] {
        &self.gone
    }

    /// Every entry after the base.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Up to `max` entries from `first` on.
    pub(super) fn batch(&self, first: LogIndex, max: usize) -> Entries {
        let rest = self.slot(first).and_then(|slot| self.entries.get(slot..)).unwrap_or_default();
        match &rest[..rest.len().min(max)] {
            // A heartbeat carries nothing and allocates nothing.
            [] => Entries::default(),
            batch => Entries::new(batch),
        }
    }

    /// Makes room for so many entries more.
    pub(super) fn reserve(&mut self, more: usize) {
        self.entries.reserve(more);
        self.digests.reserve(more);
    }

    /// Adds an entry at the end; says where.
    pub(super) fn push(&mut self, entry: Entry) -> LogIndex {
        // Terms in a log never decrease: a leader appends its own term, the largest it knows.
        assert!(entry.term >= self.last_term(), "an entry of {} in {self}", entry.term);
        self.digests.push(StableHasher::hash(&(self.last_digest(), &entry)));
        self.entries.push(entry);
        self.last_index()
    }

    /// Removes the entry at `first` and all that follow.
    pub(super) fn truncate(&mut self, first: LogIndex) {
        let kept = self.slot(first).expect("what a snapshot holds was committed, and stays");
        self.entries.truncate(kept);
        self.digests.truncate(kept);
    }

    /// Section 7: forgets the entries up to and with `upto`, which becomes the base.
    pub(super) fn compact(&mut self, upto: LogIndex) {
        let Some(slot) = self.slot(upto) else { return };
        self.base_term = self.entries[slot].term;
        self.base_digest = self.digests[slot];
        self.base = upto;
        let gone = self.entries.drain(..=slot).zip(self.digests.drain(..=slot));
        self.gone = gone.map(|(entry, digest)| (entry.term, digest)).collect();
    }

    /// The index of the first entry of `term` or a later one: one past the end if there is none.
    pub(super) fn first_index_of(&self, term: Term) -> LogIndex {
        let older = self.entries.partition_point(|entry| entry.term < term);
        self.base.plus(older).next()
    }

    /// The index of the last entry of `term`, if there is one, at the base or after it.
    pub(super) fn last_index_of(&self, term: Term) -> Option<LogIndex> {
        let end = self.base.plus(self.entries.partition_point(|entry| entry.term <= term));
        (self.term_at(end)? == term).then_some(end)
    }

    /// Where in the vectors an index stands, if it stands after the base.
    #[inline]
    fn slot(&self, index: LogIndex) -> Option<usize> {
        (index.0 as usize).checked_sub(self.base.0 as usize + 1)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "term {}", self.0)
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for LogIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for LogIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Body::fmt(self, f)
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Display for Log {
    /// The terms of the entries, run by run: `log [1 x3, 4 x1]`, or `log after 7 [4 x1]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.base {
            LogIndex::ZERO => write!(f, "log [")?,
            base => write!(f, "log after {base} [")?,
        }
        for (place, run) in self.entries.chunk_by(|one, next| one.term == next.term).enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{:?} x{}", run[0].term, run.len())?;
        }
        write!(f, "]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(terms: &[u64]) -> Log {
        let mut log = Log::default();
        for term in terms {
            log.push(Entry { term: Term(*term), payload: Payload::NoOp });
        }
        log
    }

    #[test]
    fn the_place_before_the_first_entry_has_term_zero() {
        let log = log(&[]);
        assert_eq!(log.term_at(LogIndex::ZERO), Some(Term(0)));
        assert_eq!(log.term_at(LogIndex(1)), None);
        assert_eq!(log.get(LogIndex::ZERO), None);
    }

    #[test]
    fn first_and_last_index_of_a_term() {
        let log = log(&[1, 1, 4, 4, 6]);
        assert_eq!(log.first_index_of(Term(4)), LogIndex(3));
        assert_eq!(log.last_index_of(Term(4)), Some(LogIndex(4)));
        assert_eq!(log.last_index_of(Term(5)), None);
        assert_eq!(log.last_index_of(Term(0)), Some(LogIndex::ZERO), "the place before them all");
        assert_eq!(log.last_index_of(Term(9)), None);
    }

    #[test]
    fn a_compacted_log_answers_as_before_about_what_is_left() {
        let (whole, mut short) = (log(&[1, 1, 4, 4, 6]), log(&[1, 1, 4, 4, 6]));
        short.compact(LogIndex(3));
        assert_eq!(
            (short.base(), short.to_string()),
            (LogIndex(3), "log after 3 [4 x1, 6 x1]".into())
        );
        assert_eq!(short.get(LogIndex(3)), None);
        assert!(short.agrees(LogIndex(2), Term(9)) && !short.agrees(LogIndex(4), Term(9)));
        for index in (3..7).map(LogIndex) {
            assert_eq!(short.term_at(index), whole.term_at(index));
            assert_eq!(short.digest_at(index), whole.digest_at(index));
        }
        assert_eq!(short.last_index(), whole.last_index());
        assert_eq!(short.last_index_of(Term(4)), Some(LogIndex(4)));
        assert_eq!(short.first_index_of(Term(4)), LogIndex(4));
        assert_eq!(short.batch(LogIndex(4), 9), whole.batch(LogIndex(4), 9));
        short.truncate(LogIndex(5));
        short.compact(LogIndex(4));
        assert_eq!(
            (short.last_term(), short.last_digest()),
            (Term(4), whole.digest_at(LogIndex(4)).expect("there"))
        );
        assert_eq!(short.last_index_of(Term(4)), Some(LogIndex(4)), "the base itself");
        let moved = short.push(Entry::no_op(Term(7)));
        assert_eq!(moved, LogIndex(5));
    }

    #[test]
    fn equal_digests_mean_equal_prefixes() {
        let (one, other) = (log(&[1, 1, 2]), log(&[1, 1, 3]));
        assert_eq!(one.digest_at(LogIndex(2)), other.digest_at(LogIndex(2)));
        assert_ne!(one.digest_at(LogIndex(3)), other.digest_at(LogIndex(3)));
    }

    #[test]
    fn a_batch_ends_at_its_limit_and_at_the_log() {
        let log = log(&[1, 2, 3]);
        assert_eq!(log.batch(LogIndex(2), 1).len(), 1);
        assert_eq!(log.batch(LogIndex(2), 9).len(), 2);
        assert!(log.batch(LogIndex(4), 9).is_empty());
        assert_eq!(log.to_string(), "log [1 x1, 2 x1, 3 x1]");
    }
}
