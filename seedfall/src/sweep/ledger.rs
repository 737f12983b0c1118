//! Results of many threads, put together in the order of the seeds.

use super::Summary;
use std::collections::BTreeMap;

/// Blocks of seeds as they come in, in whatever order, and the sum of those before which none is
/// missing.
pub(super) struct Ledger {
    /// The first seed whose block has not come in.
    next: u64,
    waiting: BTreeMap<u64, Block>,
    pub(super) total: Summary,
    /// Whether a failure ends the sweep, and one has.
    ends_at_failure: bool,
    pub(super) is_over: bool,
}

/// The runs of one block of seeds, without a gap.
pub(super) struct Block {
    pub(super) first: u64,
    /// The first seed after it that was not run.
    pub(super) end: u64,
    pub(super) summary: Summary,
}

impl Ledger {
    pub(super) fn new(first: u64, keep_going: bool) -> Self {
        Self {
            next: first,
            waiting: BTreeMap::new(),
            total: Summary::default(),
            ends_at_failure: !keep_going,
            is_over: false,
        }
    }

    /// Takes a block in. What comes after a failure that ends the sweep does not count.
    pub(super) fn take(&mut self, block: Block) {
        self.waiting.insert(block.first, block);
        while let Some(block) = self.waiting.remove(&self.next) {
            if self.is_over {
                return;
            }
            self.next = block.end;
            self.is_over = self.ends_at_failure && block.summary.failed > 0;
            self.total.merge(block.summary);
        }
    }

    /// The sum, with the blocks behind a gap that nobody will fill: time was up.
    pub(super) fn close(mut self) -> Summary {
        for (_, block) in std::mem::take(&mut self.waiting) {
            if !self.is_over {
                self.is_over = self.ends_at_failure && block.summary.failed > 0;
                self.total.merge(block.summary);
            }
        }
        self.total
    }
}
