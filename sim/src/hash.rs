//! One stable 64-bit hash for traces and states.
//!
//! The standard hashers differ between processes or Rust versions, so a replay could not be
//! compared. This one is a folded multiply (one 64 x 64 -> 128 multiplication a word, halves
//! xored), about a nanosecond a word, good enough to tell two runs apart and not meant against an
//! attacker.
//!
//! What it evens out: `usize`, `isize`, enum discriminants and length prefixes are widened to 64
//! bits, and every integer goes in by value. What it cannot even out: the standard library hashes a
//! *slice* of wide integers as raw memory, so on a big-endian machine a `Vec<u32>` hashes to
//! another value than here; replay there agrees with itself only.

use std::hash::{Hash, Hasher};

/// Odd, with no long runs of equal bits: the fractional part of the golden ratio.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// Mixes `word` into `state`.
#[inline]
pub(crate) const fn fold(state: u64, word: u64) -> u64 {
    // The addend keeps a state that meets an equal word from collapsing to zero.
    let product = ((state ^ word) as u128).wrapping_mul(MULTIPLIER as u128);
    ((product >> 64) as u64 ^ product as u64).wrapping_add(MULTIPLIER)
}

/// Fewer than eight bytes as a little-endian number; those of the middle are read twice rather than
/// one by one.
#[inline]
fn short(bytes: &[u8]) -> u64 {
    let last = |count: usize| 8 * (bytes.len() - count) as u32;
    if let (Some(head), Some(tail)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let (head, tail) = (u32::from_le_bytes(*head), u32::from_le_bytes(*tail));
        return u64::from(head) | u64::from(tail) << last(4);
    }
    if let (Some(head), Some(tail)) = (bytes.first_chunk::<2>(), bytes.last_chunk::<2>()) {
        let (head, tail) = (u16::from_le_bytes(*head), u16::from_le_bytes(*tail));
        return u64::from(head) | u64::from(tail) << last(2);
    }
    bytes.first().map_or(0, |byte| u64::from(*byte))
}

/// A [`Hasher`] whose value depends on what is hashed alone, not on the process, the build or the
/// word size.
#[derive(Clone, Debug, Default)]
pub struct StableHasher {
    state: u64,
}

impl StableHasher {
    /// The hash of one value.
    #[inline]
    pub fn hash(value: &impl Hash) -> u64 {
        let mut hasher = Self::default();
        value.hash(&mut hasher);
        hasher.finish()
    }
}

impl Hasher for StableHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, tail) = bytes.as_chunks::<8>();
        let mut state = self.state;
        for word in words {
            state = fold(state, u64::from_le_bytes(*word));
        }
        if !tail.is_empty() {
            state = fold(state, short(tail));
        }
        self.state = fold(state, bytes.len() as u64);
    }
    #[inline]
    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }
    #[inline]
    fn write_u16(&mut self, value: u16) {
        self.write_u64(value.into());
    }
    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }
    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.state = fold(self.state, value);
    }
    #[inline]
    fn write_u128(&mut self, value: u128) {
        self.write_u64(value as u64);
        self.write_u64((value >> 64) as u64);
    }
    #[inline]
    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
    #[inline]
    fn write_i8(&mut self, value: i8) {
        self.write_i64(value.into());
    }
    #[inline]
    fn write_i16(&mut self, value: i16) {
        self.write_i64(value.into());
    }
    #[inline]
    fn write_i32(&mut self, value: i32) {
        self.write_i64(value.into());
    }
    #[inline]
    fn write_i64(&mut self, value: i64) {
        self.write_u64(value as u64);
    }
    #[inline]
    fn write_i128(&mut self, value: i128) {
        self.write_u128(value as u128);
    }
    #[inline]
    fn write_isize(&mut self, value: isize) {
        self.write_i64(value as i64);
    }
    #[inline]
    fn finish(&self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_pinned() {
        // A change here changes every golden hash of the project: deliberate, and for the
        // CHANGELOG.
        assert_eq!(StableHasher::hash(&0_u64), fold(0, 0));
        assert_eq!(StableHasher::hash(&"seedfall"), PINNED_TEXT);
        assert_eq!(StableHasher::hash(&(1_usize, Some(-2_isize), vec![3_u8])), PINNED_TUPLE);
    }

    const PINNED_TEXT: u64 = 0x70141f800746ce68;
    const PINNED_TUPLE: u64 = 0xe906196e314e43ac;

    #[test]
    fn word_sizes_do_not_show() {
        assert_eq!(StableHasher::hash(&7_usize), StableHasher::hash(&7_u64));
        assert_eq!(StableHasher::hash(&-7_isize), StableHasher::hash(&-7_i64));
    }

    #[test]
    fn order_and_length_show() {
        let hash = |bytes: &[u8]| StableHasher::hash(&bytes);
        assert_ne!(hash(&[1, 2]), hash(&[2, 1]));
        assert_ne!(hash(&[0]), hash(&[0, 0]));
        assert_ne!(hash(&[]), hash(&[0]));
    }

    #[test]
    fn short_texts_are_read_whole() {
        let bytes = [1, 2, 3, 4, 5, 6, 7];
        for length in 0..=bytes.len() {
            let mut padded = [0; 8];
            padded[..length].copy_from_slice(&bytes[..length]);
            assert_eq!(short(&bytes[..length]), u64::from_le_bytes(padded), "{length}");
        }
    }
}
