//! What a search throws: numbers that depend on what it says it is for, and on nothing else.

use seedfall_sim::{Duration, StableHasher};
use std::hash::Hash;

/// A stream of numbers.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64, u64);

impl Dice {
    /// The stream that belongs to this value.
    pub(super) fn of(value: &impl Hash) -> Self {
        Self(StableHasher::hash(value), 0)
    }

    pub(super) fn word(&mut self) -> u64 {
        self.1 += 1;
        StableHasher::hash(&(self.0, self.1))
    }

    /// Uniform over `0..bound`; zero if that is empty.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.word()) * bound as u128) >> 64) as usize
    }

    /// True with this probability, in percent.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of several; `None`: there is none.
    pub(super) fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }

    /// Up to `most`, each order of magnitude from a tenth of a millisecond as likely as any other.
    pub(super) fn span(&mut self, most: Duration) -> Duration {
        let least = 100_000;
        let octaves = (most.as_nanos() / least).max(2).ilog2() as usize + 1;
        let low = least << self.below(octaves);
        Duration::nanos((low + self.word() % low).min(most.as_nanos()))
    }
}
