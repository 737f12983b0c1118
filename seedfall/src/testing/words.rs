//! Seeds, ranges of seeds and spans of time as people write them.

use std::ops::Range;
use std::time::Duration;

/// Reads a seed.
///
/// # Errors
/// Says what a seed looks like.
pub fn parse_seed(text: &str) -> Result<u64, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("`{text}` is not a seed; expected a whole number from 0 to 2^64 - 1"))
}

/// Reads a range of seeds: `A..B` (B excluded), or a count.
///
/// # Errors
/// Says what a range looks like, or that this one is empty or backwards.
pub fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let expected = "expected A..B, such as 0..1000, or a count";
    let range = match text.split_once("..") {
        None => 0..parse_seed(text).map_err(|_| format!("`{text}` is not a range; {expected}"))?,
        Some((start, end)) => {
            let read =
                |part| parse_seed(part).map_err(|_| format!("`{text}` is not a range; {expected}"));
            read(start)?..read(end)?
        }
    };
    if range.end < range.start {
        return Err(format!("`{text}` runs backwards; {expected}"));
    }
    if range.is_empty() {
        return Err(format!("`{text}` holds no seed; {expected}"));
    }
    Ok(range)
}

/// Reads a span of time with its unit.
///
/// # Errors
/// Says what one looks like.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    match digits.parse::<u64>().ok().and_then(|count| count.checked_mul(millis)) {
        Some(millis) if millis > 0 => Ok(Duration::from_millis(millis)),
        _ => Err(format!("`{text}` is not a span of time; expected 500ms, 60s, 5m or 2h")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_seeds_are_read_or_refused_with_a_reason() {
        assert_eq!(parse_seeds("3..9"), Ok(3..9));
        assert_eq!(parse_seeds("100"), Ok(0..100));
        let refused = |text| parse_seeds(text).expect_err("not a range");
        assert!(refused("9..3").contains("backwards"));
        assert!(refused("3..3").contains("no seed"));
        assert!(refused("a..b").contains("expected A..B"));
        assert!(refused("").contains("expected A..B"));
        assert!(parse_seed("-1").is_err());
    }
}
