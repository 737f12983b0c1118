//! As many decisions as somebody asks for, from addressed draws: what the input of an operation is
//! made of.
//!
//! A [`Draw`] has four words, and a generator of inputs may want a thousand. The choices begin with
//! the draw at an address; when its words are used up, they go on with the draws that belong to it:
//! a pure function of the seed, the site, the index and how many choices went before. Each of these
//! draws has an address of its own, is kept in the log, and can be overridden.

use super::{Draw, Draws, Ppm, Site};
use crate::time::Duration;
use std::ops::Range;

/// Choices begin at an index below `2^INDEX_BITS`; in the bits above it the draws are counted that
/// go on from there. So no two choices ever share a draw.
const INDEX_BITS: u32 = 38;

/// Decisions without an end, in the order in which they are asked for.
///
/// Where a draw is overridden by the nominal outcome, its choices are the simplest ones: the
/// smallest number, the first of several, no. (A [`Draw`] takes the middle, as a wire has no
/// simplest delay.)
#[derive(Debug)]
pub struct Choices<'a> {
    draws: &'a mut Draws,
    site: Site,
    /// Where they begin.
    first: u64,
    /// How many draws were used up.
    used: u64,
    draw: Draw,
}

impl<'a> Choices<'a> {
    /// The choices that begin with the draw at this index of a site.
    ///
    /// # Panics
    /// If the index is `2^38` or more: there is no room for the draws that follow.
    pub fn new(draws: &'a mut Draws, site: Site, first: u64) -> Self {
        assert!(first >> INDEX_BITS == 0, "choices begin below 2^{INDEX_BITS}; got {first}");
        let draw = simplest(draws.at(site, first));
        Self { draws, site, first, used: 0, draw }
    }

    /// The index at which choices began that use the draw at this one, and which of their draws it
    /// is, counted from zero.
    pub const fn begin(index: u64) -> (u64, u64) {
        (index & ((1 << INDEX_BITS) - 1), index >> INDEX_BITS)
    }

    /// A draw with a word that is not used yet.
    #[inline]
    fn draw(&mut self) -> &mut Draw {
        if usize::from(self.draw.next) == self.draw.words.len() {
            self.go_on();
        }
        &mut self.draw
    }

    #[cold]
    fn go_on(&mut self) {
        self.used += 1;
        assert!(
            self.used >> (u64::BITS - INDEX_BITS) == 0,
            "more than 2^28 choices of one operation"
        );
        self.draw = simplest(self.draws.at(self.site, (self.used << INDEX_BITS) | self.first));
    }

    /// The next word, uniform over all `u32`; simplest: zero.
    #[inline]
    pub fn word(&mut self) -> u32 {
        self.draw().word()
    }

    /// True with probability `ppm` in a million; simplest: false, unless it is certain.
    #[inline]
    pub fn chance(&mut self, ppm: Ppm) -> bool {
        self.draw().chance(ppm)
    }

    /// At most one of several exclusive things, each with its own probability in a million;
    /// simplest: none, unless one is certain.
    #[inline]
    pub fn one_of<const N: usize>(&mut self, ppm: [Ppm; N]) -> Option<usize> {
        self.draw().one_of(ppm)
    }

    /// Uniform over `0..bound`; simplest: zero.
    ///
    /// # Panics
    /// If `bound` is zero.
    #[inline]
    pub fn below(&mut self, bound: u32) -> u32 {
        self.draw().below(bound)
    }

    /// One of several things; simplest: the first.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        let count = u32::try_from(from.len()).unwrap_or(u32::MAX);
        &from[self.below(count) as usize]
    }

    /// Uniform over the range; simplest: its start, which an empty range always gives.
    #[inline]
    pub fn duration(&mut self, range: Range<Duration>) -> Duration {
        self.draw().duration(range)
    }

    /// Exponentially distributed with the given mean, cut off at 22 times the mean; simplest: zero.
    pub fn exponential(&mut self, mean: Duration) -> Duration {
        let draw = self.draw();
        let span = draw.exponential(mean);
        if draw.is_nominal() { Duration::ZERO } else { span }
    }
}

/// A nominal draw with the words of the simplest choices.
fn simplest(mut draw: Draw) -> Draw {
    if draw.nominal {
        draw.words = [0; 4];
    }
    draw
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::{DrawAddress, Override, Seed};
    use crate::id::ClientId;
    use std::collections::{BTreeMap, BTreeSet};

    const SITE: Site = Site::Client(ClientId::new(3));

    fn words(draws: &mut Draws, first: u64, count: usize) -> Vec<u32> {
        let mut choices = Choices::new(draws, SITE, first);
        (0..count).map(|_| choices.word()).collect()
    }

    #[test]
    fn the_first_four_words_are_those_of_the_draw() {
        let mut draws = Draws::new(Seed(7), 3, 4);
        let mut draw = draws.at(SITE, 65);
        let four = [draw.word(), draw.word(), draw.word(), draw.word()];
        assert_eq!(words(&mut draws, 65, 4), four);
        assert_eq!(words(&mut draws, 65, 1_000)[..4], four);
    }

    #[test]
    fn a_thousand_choices_are_those_of_another_time_and_share_no_draw_with_others() {
        let mut draws = Draws::new(Seed(7), 3, 4);
        draws.keep_log();
        let (one, two) = (words(&mut draws, 65, 1_000), words(&mut draws, 129, 1_000));
        assert_ne!(one, two);
        assert_eq!(words(&mut Draws::new(Seed(7), 3, 4), 65, 1_000), one, "nothing else counts");
        assert_ne!(words(&mut Draws::new(Seed(8), 3, 4), 65, 1_000), one);
        let distinct: BTreeSet<u32> = one.iter().chain(&two).copied().collect();
        assert!(distinct.len() > 1_990, "they do not repeat: {}", distinct.len());
        // Two times 250 draws, each with its own address.
        let addresses: BTreeSet<DrawAddress> =
            draws.log().iter().map(|(address, _)| *address).collect();
        assert_eq!((draws.log().len(), addresses.len()), (500, 500));
        for (place, (address, _)) in draws.log().iter().enumerate() {
            let (first, nth) = Choices::begin(address.index);
            assert_eq!((first, nth), ([65, 129][place / 250], place as u64 % 250));
        }
    }

    #[test]
    fn each_four_of_them_can_be_overridden() {
        let mut plain = Draws::new(Seed(7), 3, 4);
        let before = words(&mut plain, 65, 12);
        let index = (1 << INDEX_BITS) | 65;
        let with = |value| BTreeMap::from([(DrawAddress { site: SITE, index }, value)]);
        let mut revised = plain.clone().with_overrides(with(Override::Words([1, 2, 3, 4])));
        let after = words(&mut revised, 65, 12);
        assert_eq!(after[4..8], [1, 2, 3, 4]);
        assert_eq!((&after[..4], &after[8..]), (&before[..4], &before[8..]));
        let mut simple = plain.with_overrides(with(Override::Nominal));
        assert_eq!(words(&mut simple, 65, 12)[4..8], [0; 4]);
    }

    #[test]
    fn nominal_choices_are_the_simplest() {
        let mut draws = Draws::new(Seed(7), 3, 4);
        let address = DrawAddress { site: SITE, index: 1 };
        draws = draws.with_overrides(BTreeMap::from([(address, Override::Nominal)]));
        let mut choices = Choices::new(&mut draws, SITE, 1);
        let mean = Duration::millis(5);
        assert_eq!(choices.below(6), 0);
        assert_eq!(*choices.pick(&["read", "write"]), "read");
        assert!(!choices.chance(999_999));
        assert_eq!(choices.exponential(mean), Duration::ZERO);
        // The draws that follow have addresses of their own.
        assert!((0..40).map(|_| choices.below(6)).any(|choice| choice > 0));
    }
}
