//! Values as small integers.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;

/// A free slot.
const FREE: u64 = u64::MAX;

/// Gives equal values equal numbers, counting from 0, without keeping a second copy as a map would.
pub(crate) struct Interner<T> {
    values: Vec<T>,
    /// Open addressing over `values`: 32 bits of hash, which also choose the slot, and the number.
    /// So neither growing nor most of the probing touches a value. Never iterated in hash order.
    table: Vec<u64>,
    /// The entries used last, so that what is asked again soon costs no trip to a large table.
    /// Empty while the table is small.
    recent: Vec<u64>,
}

/// Entries used last that are remembered, once there are more values than that.
const RECENT: usize = 2_048;

impl<T: Hash + Eq> Interner<T> {
    pub(crate) fn new() -> Self {
        Self { values: Vec::new(), table: vec![FREE; 16], recent: Vec::new() }
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
        let hash = Self::hash(&value);
        let near = hash as usize & (RECENT - 1);
        if let Some(entry) = self.recent.get(near)
            && entry >> 32 == hash
            && self.values.get(*entry as u32 as usize) == Some(&value)
        {
            return *entry as u32;
        }
        let mask = self.table.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let entry = self.table[slot];
            if entry == FREE {
                break;
            }
            let number = entry as u32;
            if entry >> 32 == hash && self.values[number as usize] == value {
                if let Some(recent) = self.recent.get_mut(near) {
                    *recent = entry;
                }
                return number;
            }
            slot = (slot + 1) & mask;
        }
        let number = self.values.len() as u32;
        self.values.push(value);
        self.table[slot] = hash << 32 | u64::from(number);
        if let Some(recent) = self.recent.get_mut(near) {
            *recent = self.table[slot];
        }
        if self.values.len() * 2 > self.table.len() {
            self.grow();
        }
        number
    }

    /// 32 bits.
    fn hash(value: &T) -> u64 {
        let mut hasher = FxHasher::default();
        value.hash(&mut hasher);
        let hash = hasher.finish();
        (hash ^ (hash >> 32)) & u64::from(u32::MAX)
    }

    fn grow(&mut self) {
        let mut table = vec![FREE; self.table.len() * 4];
        let mask = table.len() - 1;
        for entry in self.table.drain(..).filter(|entry| *entry != FREE) {
            let mut slot = (entry >> 32) as usize & mask;
            while table[slot] != FREE {
                slot = (slot + 1) & mask;
            }
            table[slot] = entry;
        }
        self.table = table;
        if self.values.len() > RECENT && self.recent.is_empty() {
            self.recent = vec![FREE; RECENT];
        }
    }
}
