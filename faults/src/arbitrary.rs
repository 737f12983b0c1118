//! Plans and trials from bytes, for fuzzers, and as strategies, for `proptest!` users.
//!
//! Twelve bytes are one plan entry, and any bytes are a plan that fits its frame. The first byte
//! chooses among the classes that the frame permits, each of the others decides something by
//! itself, and a smaller byte is less. Leaving a block out leaves one fault out, so a fuzzer's
//! trimming and proptest's shrinking both make the plan smaller.

use crate::bytes::Bytes;
use crate::classes::Class;
use crate::plan::{Aim, Entry, FaultPlan, Frame};
use seedfall_sim::Duration;

/// One plan entry as bytes: class, begin, length, whom it aims at, and eight that depend on the
/// class; for most, the first of these is a node.
pub type Block = [u8; 12];

/// The plan that these blocks spell. What does not fit beside those before it is left out: a node
/// too many that is lost for good, or odds that add up to more than certainty.
pub fn plan_from_blocks(blocks: &[Block], frame: &Frame) -> FaultPlan {
    let classes = permitted(frame);
    let mut plan = FaultPlan { entries: Vec::new() };
    for block in blocks.iter().filter(|_| !classes.is_empty()) {
        plan.entries.push(entry(*block, &classes, frame));
        if plan.check(frame).is_err() {
            plan.entries.pop();
        }
    }
    plan
}

/// As [`plan_from_blocks`], from the bytes of a fuzzer; an incomplete block at the end is left out.
pub fn plan_from_bytes(bytes: &[u8], frame: &Frame) -> FaultPlan {
    plan_from_blocks(bytes.as_chunks().0, frame)
}

/// The classes that a frame permits, in the order of [`Class::ALL`]: the first byte of a block
/// chooses one, and begins again at the first where there are no more.
pub fn permitted(frame: &Frame) -> Vec<Class> {
    let fits = |class: &Class| {
        class.permitted_by(frame.model) && (frame.spare > 0 || !class.takes_a_node())
    };
    Class::ALL.into_iter().filter(fits).collect()
}

fn entry(block: Block, classes: &[Class], frame: &Frame) -> Entry {
    let [class, begin, length, whom, rest @ ..] = block;
    let class = classes[usize::from(class) % classes.len()];
    let at = frame.faults.scale(begin.into(), 256);
    let lasts = (frame.faults - at).scale(u64::from(length) + 1, 256);
    let [.., first, second] = rest;
    let after = [first, second].map(|byte| Duration::micros(u64::from(byte) * 250));
    let aim = match whom % 4 {
        0 | 1 => Aim::Named,
        // One that follows leaders would cost a node at each election.
        3 if !class.takes_a_node() => Aim::EveryLeader { after: after.to_vec() },
        _ => Aim::Leader,
    };
    let fault = class.spelled_by(&mut Bytes { rest, next: 0, frame });
    Entry { at, lasts, fault, aim, insists: whom & 4 != 0 }
}

/// Strategies for `proptest!` users.
#[cfg(feature = "proptest")]
pub mod strategy {
    use super::{Block, plan_from_blocks};
    use crate::plan::{FaultPlan, Frame};
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, any};

    /// Fault plans of up to `most` entries that fit a frame; they shrink by losing entries.
    pub fn plan(frame: Frame, most: usize) -> impl Strategy<Value = FaultPlan> {
        vec(any::<Block>(), 0..=most).prop_map(move |blocks| plan_from_blocks(&blocks, &frame))
    }
}
