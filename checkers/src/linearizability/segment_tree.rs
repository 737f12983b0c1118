//! Two segment trees: the greatest of a range, and a free place in a range.

/// Nothing there: below every value that is.
const ABSENT: u128 = 0;

/// Numbers under indices; absent ones are skipped. The greatest index wins a tie.
pub(super) struct Maximum {
    /// A value and its index in one word, plus one; leaves from `size` on.
    nodes: Vec<u128>,
    size: usize,
}

impl Maximum {
    pub(super) fn new(values: impl Iterator<Item = u64>) -> Self {
        let leaves: Vec<u128> =
            values.enumerate().map(|(at, value)| Self::word(at, value)).collect();
        let size = leaves.len().next_power_of_two();
        let mut nodes = vec![ABSENT; size];
        nodes.extend(leaves);
        nodes.resize(size * 2, ABSENT);
        for at in (1..size).rev() {
            nodes[at] = nodes[at * 2].max(nodes[at * 2 + 1]);
        }
        Self { nodes, size }
    }

    fn word(index: usize, value: u64) -> u128 {
        (u128::from(value) << 32 | index as u128) + 1
    }

    pub(super) fn set(&mut self, index: usize, value: u64) {
        self.put(index, Self::word(index, value));
    }

    pub(super) fn clear(&mut self, index: usize) {
        self.put(index, ABSENT);
    }

    fn put(&mut self, index: usize, word: u128) {
        let mut at = self.size + index;
        self.nodes[at] = word;
        while at > 1 {
            at /= 2;
            self.nodes[at] = self.nodes[at * 2].max(self.nodes[at * 2 + 1]);
        }
    }

    /// The greatest value of `first..end` and its index.
    pub(super) fn of(&self, first: usize, end: usize) -> Option<(u64, usize)> {
        let (mut low, mut high) = (first + self.size, end + self.size);
        let mut best = ABSENT;
        while low < high {
            if low & 1 == 1 {
                best = best.max(self.nodes[low]);
                low += 1;
            }
            if high & 1 == 1 {
                high -= 1;
                best = best.max(self.nodes[high]);
            }
            low /= 2;
            high /= 2;
        }
        let word = best.checked_sub(1)?;
        Some(((word >> 32) as u64, (word & u128::from(u32::MAX)) as usize))
    }
}

/// How many intervals cover each slot.
pub(super) struct Coverage {
    /// The least of each subtree, without what its ancestors add.
    least: Vec<i32>,
    added: Vec<i32>,
    size: usize,
}

impl Coverage {
    pub(super) fn new(slots: usize) -> Self {
        let size = slots.max(1).next_power_of_two();
        Self { least: vec![0; size * 2], added: vec![0; size * 2], size }
    }

    /// Adds to the slots `first..=last`.
    pub(super) fn add(&mut self, first: usize, last: usize, amount: i32) {
        let (mut low, mut high) = (first + self.size, last + self.size + 1);
        let (left, right) = (low, high - 1);
        while low < high {
            if low & 1 == 1 {
                self.raise(low, amount);
                low += 1;
            }
            if high & 1 == 1 {
                high -= 1;
                self.raise(high, amount);
            }
            low /= 2;
            high /= 2;
        }
        for leaf in [left, right] {
            let mut at = leaf / 2;
            while at >= 1 {
                let children = self.least[at * 2].min(self.least[at * 2 + 1]);
                self.least[at] = children + self.added[at];
                at /= 2;
            }
        }
    }

    fn raise(&mut self, node: usize, amount: i32) {
        self.least[node] += amount;
        if node < self.size {
            self.added[node] += amount;
        }
    }

    /// The first slot of `first..=last` that nothing covers.
    pub(super) fn zero(&self, first: usize, last: usize) -> Option<usize> {
        self.zero_in(1, (0, self.size - 1), 0, (first, last))
    }

    /// Depth is logarithmic: the recursion is bounded by 32.
    fn zero_in(
        &self,
        node: usize,
        (low, high): (usize, usize),
        above: i32,
        wanted: (usize, usize),
    ) -> Option<usize> {
        if high < wanted.0 || low > wanted.1 || self.least[node] + above > 0 {
            return None;
        }
        if node >= self.size {
            return Some(low);
        }
        let above = above + self.added[node];
        let middle = usize::midpoint(low, high);
        self.zero_in(node * 2, (low, middle), above, wanted)
            .or_else(|| self.zero_in(node * 2 + 1, (middle + 1, high), above, wanted))
    }
}
