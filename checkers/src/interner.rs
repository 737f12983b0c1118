//! Values as small integers.

use std::hash::{Hash, Hasher};

/// Gives equal values equal numbers, counting from 0, without keeping a second copy as a map would.
pub(crate) struct Interner<T> {
    values: Vec<T>,
    /// Open addressing over `values`: 32 bits of hash, which also choose the slot, and the number
    /// plus one; 0 is free. So neither growing nor most of the probing touches a value. Never
    /// iterated in hash order.
    table: Vec<u64>,
}

impl<T: Hash + Eq> Interner<T> {
    pub(crate) fn new() -> Self {
        Self { values: Vec::new(), table: vec![0; 16] }
    }

    pub(crate) fn get(&self, number: u32) -> &T {
        &self.values[number as usize]
    }

    pub(crate) fn values(&self) -> &[T] {
        &self.values
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The number of `value`, which is kept if it is new.
    pub(crate) fn intern(&mut self, value: T) -> u32 {
        let mut hasher = Nearby::default();
        value.hash(&mut hasher);
        let hash = hasher.finish();
        let mask = self.table.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let entry = self.table[slot];
            if entry == 0 {
                break;
            }
            let number = entry as u32 - 1;
            if entry >> 32 == hash && self.values[number as usize] == value {
                return number;
            }
            slot = (slot + 1) & mask;
        }
        let number = self.values.len() as u32;
        self.values.push(value);
        self.table[slot] = hash << 32 | u64::from(number + 1);
        if self.values.len() * 2 > self.table.len() {
            self.grow();
        }
        number
    }

    fn grow(&mut self) {
        let mut table = vec![0; self.table.len() * 4];
        let mask = table.len() - 1;
        for entry in self.table.drain(..).filter(|entry| *entry != 0) {
            let mut slot = (entry >> 32) as usize & mask;
            while table[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            table[slot] = entry;
        }
        self.table = table;
    }
}

/// The bytes that a value hashes: roughly what it holds, on the heap as well.
pub(crate) fn weigh(value: &impl Hash) -> u64 {
    struct Scales(u64);
    impl Hasher for Scales {
        fn write(&mut self, bytes: &[u8]) {
            self.0 += bytes.len() as u64;
        }
        fn finish(&self) -> u64 {
            self.0
        }
    }
    let mut scales = Scales(0);
    value.hash(&mut scales);
    scales.0
}

/// A hash of 32 bits that keeps eight neighbouring integers together: written values are mostly
/// counted up, so what is asked soon after one another shares a cache line of the table. The line
/// is chosen by everything but the last three bits, multiplied as in Fx, so that no stride
/// collides.
#[derive(Default)]
struct Nearby {
    line: u64,
    /// The last three bits of what came last, if that was an integer.
    place: Option<u64>,
}

impl Nearby {
    fn mix(&mut self, word: u64) {
        self.line = (self.line.rotate_left(5) ^ word).wrapping_mul(0xf135_7aea_2e62_a9c5);
    }
}

impl Hasher for Nearby {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.mix(u64::from_le_bytes(last));
        self.place = None;
    }

    fn write_u8(&mut self, n: u8) {
        self.mix(u64::from(n));
        self.place = None;
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.mix(n >> 3);
        self.place = Some(n & 7);
    }

    fn write_i64(&mut self, n: i64) {
        self.write_u64(n as u64);
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }

    fn write_isize(&mut self, n: isize) {
        self.write_u64(n as u64);
    }

    fn finish(&self) -> u64 {
        let line = self.line ^ self.line >> 32;
        let place = self.place.unwrap_or(self.line >> 61);
        (line << 3 | place) & u64::from(u32::MAX)
    }
}
