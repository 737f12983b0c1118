//! Values as small integers.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;

/// Gives equal values equal numbers, counting from 0, without keeping a second copy as a map would.
pub(crate) struct Interner<T> {
    values: Vec<T>,
    /// Open addressing over `values`; `u32::MAX` is free. Never iterated.
    table: Vec<u32>,
}

impl<T: Hash + Eq> Interner<T> {
    pub(crate) fn new() -> Self {
        Self { values: Vec::new(), table: vec![u32::MAX; 16] }
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
        let slot = match self.find(&value) {
            Ok(number) => return number,
            Err(slot) => slot,
        };
        let number = self.values.len() as u32;
        self.values.push(value);
        self.table[slot] = number;
        if self.values.len() * 2 > self.table.len() {
            self.grow();
        }
        number
    }

    /// The number of `value`, or the slot where it would go.
    pub(crate) fn find(&self, value: &T) -> Result<u32, usize> {
        let mask = self.table.len() - 1;
        let mut slot = Self::home(value) & mask;
        loop {
            let number = self.table[slot];
            if number == u32::MAX {
                return Err(slot);
            }
            if self.values[number as usize] == *value {
                return Ok(number);
            }
            slot = (slot + 1) & mask;
        }
    }

    fn home(value: &T) -> usize {
        let mut hasher = FxHasher::default();
        value.hash(&mut hasher);
        // Fx leaves its entropy in the high bits for short keys.
        let hash = hasher.finish();
        (hash ^ (hash >> 32)) as usize
    }

    fn grow(&mut self) {
        let mut table = vec![u32::MAX; self.table.len() * 2];
        let mask = table.len() - 1;
        for (number, value) in self.values.iter().enumerate() {
            let mut slot = Self::home(value) & mask;
            while table[slot] != u32::MAX {
                slot = (slot + 1) & mask;
            }
            table[slot] = number as u32;
        }
        self.table = table;
    }
}
