//! Sets of configurations, each kept as 128 bits.
//!
//! A configuration is a set of linearized operations and a state. The set is the exclusive or of
//! one random-looking 128-bit word per member (Zobrist 1970), so that adding and removing are one
//! instruction and an entry costs 16 bytes instead of n/8. Two different configurations among a
//! billion share a word with probability about 2^-69.

/// The word of operation `position`.
pub(crate) fn of_operation(position: u32) -> u128 {
    word(u64::from(position) << 1)
}

/// The word of a state.
pub(crate) fn of_state(state: u32) -> u128 {
    word(u64::from(state) << 1 | 1)
}

fn word(n: u64) -> u128 {
    let low = mix(n.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15));
    let high = mix(n.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c16) ^ 0x5851_f42d_4c95_7f2d);
    u128::from(high) << 64 | u128::from(low)
}

/// The finalizer of `SplitMix64` (Steele, Lea and Flood 2014), twice: a bijection of 64 bits.
fn mix(n: u64) -> u64 {
    let mut z = n;
    for _ in 0..2 {
        z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
    }
    z
}

/// A set of fingerprints: open addressing, grown by doubling, never iterated.
pub(crate) struct Seen {
    table: Vec<u128>,
    len: usize,
}

impl Seen {
    pub(crate) fn new() -> Self {
        Self { table: vec![0; 64], len: 0 }
    }

    /// Adds a fingerprint; `false` if it was there.
    pub(crate) fn insert(&mut self, fingerprint: u128) -> bool {
        // Zero marks a free slot; one configuration in 2^128 is treated as another.
        let fingerprint = fingerprint.max(1);
        let mask = self.table.len() - 1;
        let mut slot = fingerprint as usize & mask;
        while self.table[slot] != 0 {
            if self.table[slot] == fingerprint {
                return false;
            }
            slot = (slot + 1) & mask;
        }
        self.table[slot] = fingerprint;
        self.len += 1;
        if self.len * 4 > self.table.len() * 3 {
            self.grow();
        }
        true
    }

    /// Bytes held; while growing, half as much again.
    pub(crate) fn bytes(&self) -> u64 {
        (self.table.len() * size_of::<u128>()) as u64
    }

    fn grow(&mut self) {
        let mut table = vec![0; self.table.len() * 2];
        let mask = table.len() - 1;
        for &fingerprint in self.table.iter().filter(|word| **word != 0) {
            let mut slot = fingerprint as usize & mask;
            while table[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            table[slot] = fingerprint;
        }
        self.table = table;
    }
}

/// A map from a key of 128 bits to a number, emptied in constant time, never iterated.
///
/// Keys are compared by their mixed 64 bits only: users compare what they find with what they seek.
pub(crate) struct Heads {
    /// Mixed key, round in which it was set, number.
    table: Vec<(u64, u32, u32)>,
    round: u32,
    len: usize,
}

impl Heads {
    pub(crate) fn new() -> Self {
        Self { table: vec![(0, 0, 0); 64], round: 1, len: 0 }
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
        self.round += 1;
        if self.round == u32::MAX {
            self.table.fill((0, 0, 0));
            self.round = 1;
        }
    }

    /// The number set for a key in this round, or `u32::MAX`.
    pub(crate) fn get(&self, key: u128) -> u32 {
        let mixed = Self::mixed(key);
        let (_, round, number) = self.table[self.slot(mixed)];
        if round == self.round { number } else { u32::MAX }
    }

    pub(crate) fn set(&mut self, key: u128, number: u32) {
        let mixed = Self::mixed(key);
        let slot = self.slot(mixed);
        if self.table[slot].1 != self.round {
            self.len += 1;
        }
        self.table[slot] = (mixed, self.round, number);
        if self.len * 2 > self.table.len() {
            self.grow();
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        (self.table.len() * size_of::<(u64, u32, u32)>()) as u64
    }

    fn mixed(key: u128) -> u64 {
        mix(key as u64 ^ mix((key >> 64) as u64))
    }

    /// Where the key is, or the free slot where it would go.
    fn slot(&self, mixed: u64) -> usize {
        let mask = self.table.len() - 1;
        let mut slot = mixed as usize & mask;
        while self.table[slot].1 == self.round && self.table[slot].0 != mixed {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        let bigger = vec![(0, 0, 0); self.table.len() * 2];
        let old = std::mem::replace(&mut self.table, bigger);
        for entry in old.into_iter().filter(|(_, round, _)| *round == self.round) {
            let slot = self.slot(entry.0);
            self.table[slot] = entry;
        }
    }
}
