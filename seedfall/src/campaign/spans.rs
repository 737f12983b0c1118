//! Ranges of seeds: units, shards, and how they are said.

use crate::testing::parse_seeds;
use seedfall_sim::StableHasher;
use std::num::NonZeroU64;
use std::ops::Range;

/// Units of a scenario, at most, where the number of seeds decides how large they are.
const UNITS_MOST: u64 = 512;

/// A part of a campaign: every `of`-th unit of each scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    /// Which, from one.
    pub index: u64,
    /// Of how many.
    pub of: NonZeroU64,
}

impl Shard {
    /// All of it.
    pub const WHOLE: Self = Self { index: 1, of: NonZeroU64::MIN };

    /// Reads `K/N`.
    ///
    /// # Errors
    /// Says what one looks like.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a shard; expected K/N, such as 2/5, from 1/N to N/N");
        let (index, of) = text.split_once('/').ok_or_else(wrong)?;
        let index: u64 = index.trim().parse().map_err(|_| wrong())?;
        let of: NonZeroU64 = of.trim().parse().map_err(|_| wrong())?;
        if index == 0 || of.get() < index {
            return Err(wrong());
        }
        Ok(Self { index, of })
    }

    /// Whether a unit of a scenario is in it, by its place. Scenarios begin at different shards: a
    /// campaign may have more shards than units of each.
    pub fn has(&self, scenario: &str, unit: u64) -> bool {
        let first = StableHasher::hash(&scenario) % self.of;
        (unit % self.of + first) % self.of == self.index - 1
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// How many seeds a unit has, of a campaign of so many seeds a scenario: a power of two, and 512
/// units at most.
pub fn unit_for(seeds: u64) -> NonZeroU64 {
    let unit = seeds.div_ceil(UNITS_MOST).checked_next_power_of_two().unwrap_or(1 << 63);
    NonZeroU64::new(unit.max(16)).unwrap_or(NonZeroU64::MIN)
}

/// The units of a range that a shard has of a scenario, in order.
pub fn units(
    scenario: &str,
    seeds: Range<u64>,
    unit: NonZeroU64,
    shard: Shard,
) -> impl Iterator<Item = Range<u64>> + Clone + use<> {
    let scenario = scenario.to_owned();
    let count = (seeds.end.saturating_sub(seeds.start)).div_ceil(unit.get());
    (0..count).filter(move |place| shard.has(&scenario, *place)).map(move |place| {
        let from = seeds.start + place * unit.get();
        from..from.saturating_add(unit.get()).min(seeds.end)
    })
}

/// Reads ranges with commas between them.
///
/// # Errors
/// Says what one looks like, or that two have a seed in common.
pub fn parse_spans(text: &str) -> Result<Vec<Range<u64>>, String> {
    let spans = text.split(',').map(parse_seeds).collect::<Result<Vec<_>, _>>()?;
    if let Some(pair) = spans.windows(2).find(|pair| pair[1].start < pair[0].end) {
        let (one, other) = (&pair[0], &pair[1]);
        return Err(format!("`{text}`: {other:?} begins before {one:?} ends"));
    }
    Ok(spans)
}

/// Ranges as [`parse_spans`] reads them.
pub fn spell(spans: &[Range<u64>]) -> String {
    let spelled: Vec<String> =
        spans.iter().map(|span| format!("{}..{}", span.start, span.end)).collect();
    spelled.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_every_unit_out_and_none_twice() {
        let unit = NonZeroU64::new(16).expect("not zero");
        for of in [1, 2, 7, 64] {
            let mut all: Vec<Range<u64>> = (1..=of)
                .flat_map(|index| {
                    let shard = Shard::parse(&format!("{index}/{of}")).expect("a shard");
                    units("abc", 5..1_000, unit, shard)
                })
                .collect();
            all.sort_by_key(|span| span.start);
            assert_eq!(all, units("abc", 5..1_000, unit, Shard::WHOLE).collect::<Vec<_>>());
        }
        assert_eq!(units("abc", 0..0, unit, Shard::WHOLE).count(), 0);
        let many = Shard::parse("1/1000").expect("a shard");
        let names = (0..1_000).map(|name| format!("scenario-{name}"));
        let some: usize = names.map(|name| units(&name, 0..160, unit, many).count()).sum();
        assert!((1..60).contains(&some), "scenarios begin at different shards: {some}");
        for wrong in ["", "0/3", "4/3", "1/0", "1", "a/b", "-1/2"] {
            assert!(Shard::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ranges_are_read_as_they_are_spelled() {
        let spans = vec![0..64, 64..70, 128..u64::MAX];
        assert_eq!(parse_spans(&spell(&spans)), Ok(spans));
        assert!(parse_spans("0..64,3..70").expect_err("both have 3").contains("begins before"));
    }

    #[test]
    fn there_are_never_many_units() {
        for seeds in [1, 100, 10_000, 1_000_000_000, u64::MAX] {
            let unit = unit_for(seeds).get();
            assert!(unit.is_power_of_two() && seeds.div_ceil(unit) <= UNITS_MOST, "{seeds}");
        }
    }
}
