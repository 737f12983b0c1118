//! The replicated log (section 5.3, Figure 6), and every piece of arithmetic on its indexes.
//!
//! Next to each entry stands a digest of the log up to there, so that two logs are compared by one
//! number: equal digests at an index mean equal logs through that index. (When snapshots come, the
//! log gets a base below which entries are gone; no other file will notice.)

use super::Submission;
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

/// What one entry of the log carries. (A change of membership would be a third kind.)
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Payload {
    /// Nothing: what a new leader writes to find out what is committed (section 8).
    NoOp,
    /// A client's command.
    Command(Shared),
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

/// A submission, shared by every log, journal and message that carries it, with its digest beside
/// it: an entry is hashed a dozen times on its way, and its text only once.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(from = "Submission", into = "Submission"))]
pub struct Shared(Arc<Digested>);

#[derive(PartialEq, Eq)]
struct Digested {
    digest: u64,
    submission: Submission,
}

/// Consecutive entries on their way to a follower, shared by all copies of the message; none for a
/// heartbeat.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Entries(Option<Arc<[Entry]>>);

/// The log of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Log {
    entries: Vec<Entry>,
    digests: Vec<u64>,
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

impl From<Submission> for Shared {
    fn from(submission: Submission) -> Self {
        Self(Arc::new(Digested { digest: StableHasher::hash(&submission), submission }))
    }
}

impl From<Shared> for Submission {
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
    type Target = Submission;
    #[inline]
    fn deref(&self) -> &Submission {
        &self.0.submission
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

impl Log {
    /// The index of the last entry; zero if there is none.
    #[inline]
    pub fn last_index(&self) -> LogIndex {
        LogIndex(self.entries.len() as u64)
    }

    /// The term of the last entry; zero if there is none.
    #[inline]
    pub fn last_term(&self) -> Term {
        self.entries.last().map_or(Term::default(), |entry| entry.term)
    }

    /// The term of the entry at `index`; zero at zero, `None` past the end.
    #[inline]
    pub fn term_at(&self, index: LogIndex) -> Option<Term> {
        match index {
            LogIndex::ZERO => Some(Term::default()),
            _ => self.get(index).map(|entry| entry.term),
        }
    }

    /// The entry at `index`.
    #[inline]
    pub fn get(&self, index: LogIndex) -> Option<&Entry> {
        self.entries.get(slot(index)?)
    }

    /// A digest of all entries up to and with `index`; zero at zero, `None` past the end.
    #[inline]
    pub fn digest_at(&self, index: LogIndex) -> Option<u64> {
        slot(index).map_or(Some(0), |slot| self.digests.get(slot).copied())
    }

    /// The digest of the whole log; zero if it is empty.
    #[inline]
    pub fn last_digest(&self) -> u64 {
        self.digests.last().copied().unwrap_or_default()
    }

    /// The digest at each index, from the first.
    pub fn digests(&self) -> &[u64] {
        &self.digests
    }

    /// Every entry, from the first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Up to `max` entries from `first` on.
    pub(super) fn batch(&self, first: LogIndex, max: usize) -> Entries {
        let rest = slot(first).and_then(|slot| self.entries.get(slot..)).unwrap_or_default();
        match rest {
            // A heartbeat carries nothing and allocates nothing.
            [] => Entries::default(),
            rest => Entries::new(&rest[..rest.len().min(max)]),
        }
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
        assert!(first > LogIndex::ZERO, "the place before the first entry cannot be removed");
        self.entries.truncate(first.before().0 as usize);
        self.digests.truncate(first.before().0 as usize);
    }

    /// The index of the first entry of `term` or a later one: one past the end if there is none.
    pub(super) fn first_index_of(&self, term: Term) -> LogIndex {
        let older = self.entries.partition_point(|entry| entry.term < term);
        LogIndex(older as u64 + 1)
    }

    /// The index of the last entry of `term`, if there is one.
    pub(super) fn last_index_of(&self, term: Term) -> Option<LogIndex> {
        let end = LogIndex(self.entries.partition_point(|entry| entry.term <= term) as u64);
        (self.get(end)?.term == term).then_some(end)
    }
}

/// Where in the vectors an index stands.
#[inline]
fn slot(index: LogIndex) -> Option<usize> {
    (index.0 as usize).checked_sub(1)
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
        Submission::fmt(self, f)
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Display for Log {
    /// The terms of the entries, run by run: `log [1 x3, 4 x1]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log [")?;
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
        assert_eq!(log.last_index_of(Term(0)), None);
        assert_eq!(log.last_index_of(Term(9)), None);
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
