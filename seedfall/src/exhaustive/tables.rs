//! What has been seen: values by number, and states by 128 bits.

use rustc_hash::FxHashMap;
use seedfall_sim::StableHasher;
use std::hash::{Hash, Hasher};

/// Two independent hashes of one value, as one: with 2^40 values, two different ones are taken for
/// equal with a chance of about 2^-49.
pub(super) fn digest(value: &impl Hash) -> u128 {
    let [mut low, mut high] = [StableHasher::default(), StableHasher::default()];
    high.write_u64(0x5EED_FA11);
    value.hash(&mut low);
    value.hash(&mut high);
    u128::from(high.finish()) << 64 | u128::from(low.finish())
}

/// Values of one kind, each with a number of its own: equal values have equal numbers.
#[derive(Debug)]
pub(super) struct Interned<T> {
    numbers: FxHashMap<u128, u32>,
    values: Vec<T>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self { numbers: FxHashMap::default(), values: Vec::new() }
    }
}

impl<T> Interned<T> {
    /// The number of what `key` identifies; `value` makes it, the first time.
    pub(super) fn number(&mut self, key: u128, value: impl FnOnce() -> T) -> u32 {
        *self.numbers.entry(key).or_insert_with(|| {
            self.values.push(value());
            u32::try_from(self.values.len() - 1).expect("fewer than 2^32 values fit into memory")
        })
    }

    /// The number of what `key` identifies, if it was met.
    pub(super) fn find(&self, key: u128) -> Option<u32> {
        self.numbers.get(&key).copied()
    }

    /// The value of a number.
    pub(super) fn get(&self, number: u32) -> &T {
        &self.values[number as usize]
    }
}

/// The parent of a state, and what was done there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// The number of the state that it was reached from.
    pub(super) parent: u32,
    /// What happened there, as [`super::space::Action`] packs it.
    pub(super) action: [u32; 2],
}

/// The hash of a state, in words of 32 bits, so that no byte is lost to alignment.
type Key = [u32; 4];

/// Every state that was reached: 16 bytes of hash, 12 of origin, and 4 of index at a load of 8/15
/// to 4/5, so 33 to 36 bytes a state. Kept in blocks, so that growing copies nothing but the index.
#[derive(Debug)]
pub(super) struct Visited {
    blocks: Vec<Vec<(Key, Origin)>>,
    /// By hash, the number of a state and one; 0 is empty.
    index: Vec<u32>,
    len: u32,
}

const BLOCK: usize = 1 << 14;

impl Default for Visited {
    fn default() -> Self {
        Self { blocks: Vec::new(), index: vec![0; 1 << 10], len: 0 }
    }
}

impl Visited {
    /// Adds a state, unless it is there: then `None`; otherwise its number.
    pub(super) fn insert(&mut self, words: &[u32], origin: Origin) -> Option<u32> {
        if self.index.len() / 5 * 4 <= self.len as usize {
            self.grow();
        }
        let hash = hash_words(words);
        let mut slot = start(&hash, self.index.len());
        loop {
            match self.index[slot] {
                0 => break,
                number if self.at(number - 1).0 == hash => return None,
                _ => slot = (slot + 1) % self.index.len(),
            }
        }
        if (self.len as usize).is_multiple_of(BLOCK) {
            // The first grows as it needs: most searches of a test are small.
            let room = if self.blocks.is_empty() { 0 } else { BLOCK };
            self.blocks.push(Vec::with_capacity(room));
        }
        let block = self.blocks.last_mut().expect("pushed above, or when the block was begun");
        block.push((hash, origin));
        self.len += 1;
        self.index[slot] = self.len;
        Some(self.len - 1)
    }

    fn grow(&mut self) {
        let mut index = vec![0_u32; self.index.len() / 2 * 3];
        for number in 0..self.len {
            let mut slot = start(&self.at(number).0, index.len());
            while index[slot] != 0 {
                slot = (slot + 1) % index.len();
            }
            index[slot] = number + 1;
        }
        self.index = index;
    }

    fn at(&self, number: u32) -> &(Key, Origin) {
        &self.blocks[number as usize / BLOCK][number as usize % BLOCK]
    }

    /// How a state was reached first.
    pub(super) fn origin(&self, number: u32) -> Origin {
        self.at(number).1
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// How many bytes it has from the allocator.
    pub(super) fn bytes(&self) -> usize {
        let entry = size_of::<(Key, Origin)>();
        let room: usize = self.blocks.iter().map(Vec::capacity).sum();
        self.index.len() * size_of::<u32>() + room * entry
    }
}

/// The words of a state, mixed by two folded multiplications with different constants.
fn hash_words(words: &[u32]) -> Key {
    const BY: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xD6E8_FEB8_6659_FD93];
    let fold = |state: u64, word: u64, by: u64| {
        let product = u128::from(state ^ word) * u128::from(by);
        ((product >> 64) as u64 ^ product as u64).wrapping_add(by)
    };
    let mut hash = [words.len() as u64, !(words.len() as u64)];
    for pair in words.chunks(2) {
        let word = u64::from(pair[0]) | u64::from(pair.get(1).copied().unwrap_or(u32::MAX)) << 32;
        hash = [fold(hash[0], word, BY[0]), fold(hash[1], word, BY[1])];
    }
    [hash[0] as u32, (hash[0] >> 32) as u32, hash[1] as u32, (hash[1] >> 32) as u32]
}

/// Where an index of this length is looked up first.
fn start(key: &Key, len: usize) -> usize {
    let hash = u64::from(key[0]) | u64::from(key[1]) << 32;
    ((u128::from(hash) * len as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: Origin = Origin { parent: 0, action: [0, 0] };

    #[test]
    fn a_state_is_new_once_whatever_the_table_has_grown_to() {
        let mut visited = Visited::default();
        for word in 0..100_000_u32 {
            assert_eq!(visited.insert(&[7, word, word / 3], NOWHERE), Some(word));
        }
        for word in 0..100_000_u32 {
            assert_eq!(visited.insert(&[7, word, word / 3], NOWHERE), None);
        }
        assert_eq!(visited.insert(&[7, 0, 0, 0], NOWHERE), Some(100_000), "a length is part of it");
        let each = visited.bytes() as f64 / f64::from(visited.len());
        assert!(each < 40.0, "{each} bytes a state");
    }

    #[test]
    fn equal_values_have_one_number() {
        let mut interned = Interned::default();
        let of = |text: &str| digest(&text);
        assert_eq!(interned.number(of("a"), || "a"), 0);
        assert_eq!(interned.number(of("b"), || "b"), 1);
        assert_eq!(interned.number(of("a"), || unreachable!("it is there")), 0);
        assert_eq!((*interned.get(1), interned.find(of("c"))), ("b", None));
    }
}
