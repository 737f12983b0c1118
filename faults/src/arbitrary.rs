//! Plans and trials from bytes, for fuzzers, and as strategies, for `proptest!` users.
//!
//! Twelve bytes are one plan entry, and any bytes are a plan that fits its budget. The first byte
//! chooses among the classes that the budget permits, each of the others decides something by
//! itself, and a smaller byte is less. Leaving a block out leaves one fault out, so a fuzzer's
//! trimming and proptest's shrinking both make the plan smaller.

use crate::bytes::Bytes;
use crate::classes::Class;
use crate::plan::{Aim, Entry, FaultBudget, FaultPlan};
use seedfall_sim::Duration;

/// One plan entry as bytes: class, begin, length, whom it aims at, and eight that depend on the
/// class; for most, the first of these is a node.
pub type Block = [u8; 12];

/// The plan that these blocks spell. What does not fit beside those before it is left out: a node
/// too many that is lost for good, or odds that add up to more than certainty.
pub fn plan_from_blocks(blocks: &[Block], budget: &FaultBudget) -> FaultPlan {
    let classes = permitted(budget);
    let mut plan = FaultPlan { entries: Vec::new() };
    for block in blocks.iter().filter(|_| !classes.is_empty()) {
        plan.entries.push(entry(*block, &classes, budget));
        if plan.check(budget).is_err() {
            plan.entries.pop();
        }
    }
    plan
}

/// As [`plan_from_blocks`], from the bytes of a fuzzer; an incomplete block at the end is left out.
pub fn plan_from_bytes(bytes: &[u8], budget: &FaultBudget) -> FaultPlan {
    plan_from_blocks(bytes.as_chunks().0, budget)
}

/// The classes that a budget permits, in the order of [`Class::ALL`]: the first byte of a block
/// chooses one, and begins again at the first where there are no more.
pub fn permitted(budget: &FaultBudget) -> Vec<Class> {
    let fits = |class: &Class| {
        class.permitted_by(budget.model) && (budget.spare > 0 || !class.takes_a_node())
    };
    Class::ALL.into_iter().filter(fits).collect()
}

fn entry(block: Block, classes: &[Class], budget: &FaultBudget) -> Entry {
    let [class, begin, length, whom, rest @ ..] = block;
    let class = classes[usize::from(class) % classes.len()];
    let at = budget.faults.scale(begin.into(), 256);
    let lasts = (budget.faults - at).scale(u64::from(length) + 1, 256);
    let [.., first, second] = rest;
    let after = [first, second].map(|byte| Duration::micros(u64::from(byte) * 250));
    let aim = match whom % 4 {
        0 | 1 => Aim::Named,
        // One that follows leaders would cost a node at each election.
        3 if !class.takes_a_node() => Aim::EveryLeader { after: after.to_vec() },
        _ => Aim::Leader,
    };
    let fault = class.spelled_by(&mut Bytes { rest, next: 0, budget });
    Entry { at, lasts, fault, aim, retargets: whom & 4 != 0 }
}

/// Strategies for `proptest!` users.
#[cfg(feature = "proptest")]
pub mod strategy {
    use super::{Block, plan_from_blocks};
    use crate::plan::{FaultBudget, FaultPlan};
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, any};

    /// Fault plans of up to `most` entries that fit a budget; they shrink by losing entries.
    pub fn plan(budget: FaultBudget, most: usize) -> impl Strategy<Value = FaultPlan> {
        vec(any::<Block>(), 0..=most).prop_map(move |blocks| plan_from_blocks(&blocks, &budget))
    }
}
