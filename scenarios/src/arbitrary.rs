//! Plans and trials from bytes, for fuzzers, and as strategies, for `proptest!` users.
//!
//! Eight bytes are one plan entry, and any bytes are a plan that fits its frame: leaving a block
//! out leaves one fault out, so a fuzzer's trimming and proptest's shrinking both make the plan
//! smaller.

use crate::plan::{Aim, Entry, Fault, FaultPlan, Frame};
use seedfall_net::{Disturbance, Partition};
use seedfall_sim::{Address, CrashPoint, Duration, EffectKind, NodeId};

/// One plan entry as bytes: class, begin, length, node, and four that depend on the class.
pub type Block = [u8; 8];

/// The plan that these blocks spell. What the frame does not permit is left out.
pub fn plan_from_blocks(blocks: &[Block], frame: &Frame) -> FaultPlan {
    let entries = blocks.iter().map(|block| entry(*block, frame));
    let mut plan = FaultPlan { entries: Vec::new() };
    for entry in entries {
        plan.entries.push(entry);
        if plan.check(frame).is_err() {
            plan.entries.pop();
        }
    }
    plan
}

/// As [`plan_from_blocks`], from the bytes of a fuzzer; an incomplete block at the end is left out.
pub fn plan_from_bytes(bytes: &[u8], frame: &Frame) -> FaultPlan {
    plan_from_blocks(bytes.as_chunks::<8>().0, frame)
}

fn entry([class, begin, length, who, a, b, c, d]: Block, frame: &Frame) -> Entry {
    let faults = frame.faults;
    let at = faults.scale(u64::from(begin), 256);
    let lasts = (faults - at).scale(u64::from(length) + 1, 256);
    let node = |byte: u8| NodeId::new(u16::from(byte) % frame.nodes as u16);
    let ppm = (u32::from(a) << 8 | u32::from(b)) * 5;
    let span = Duration::millis(u64::from(c) * 4 + 1);
    let side = || -> Vec<Address> {
        NodeId::all(frame.nodes)
            .filter(|one| b >> (one.index() % 8) & 1 == 1)
            .map(Address::from)
            .collect()
    };
    let kinds = [EffectKind::Sync, EffectKind::Send, EffectKind::Append, EffectKind::Respond];
    let kind = kinds[usize::from(b) % kinds.len()];
    let fault = match class % 8 {
        0 => Fault::Wire(Disturbance::Loss { ppm }),
        1 => Fault::Wire(Disturbance::Duplicate { ppm, within: span }),
        2 => Fault::Wire(Disturbance::Reorder { ppm, by: span }),
        3 => Fault::Wire(Disturbance::Clog { from: node(who).into(), to: node(a).into() }),
        4 => Fault::Pause { node: node(who) },
        5 => Fault::Wire(Disturbance::Partition(match a % 4 {
            0 => Partition::TwoWay { side: side() },
            1 => Partition::OneWay { from: side() },
            2 => Partition::Partial { a: node(who), b: node(d) },
            _ => Partition::Ring,
        })),
        _ => {
            let point = match a % 4 {
                0 => None,
                1 => Some(CrashPoint::Before(kind)),
                2 => Some(CrashPoint::After(kind)),
                _ => Some(CrashPoint::Unsynced),
            };
            Fault::Crash { node: node(who), point, down: span }
        }
    };
    let aim = if class & 8 == 0 { Aim::Named } else { Aim::Leader };
    Entry { at, lasts, fault, aim, insists: false }
}

/// Strategies for `proptest!` users.
#[cfg(feature = "proptest")]
pub mod strategy {
    use super::plan_from_blocks;
    use crate::plan::{FaultPlan, Frame};
    use crate::run::{Runnable, Trial};
    use crate::scenario::OperationId;
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, any};
    use seedfall_sim::Seed;
    use std::collections::BTreeSet;

    /// Fault plans of up to `most` entries that fit a frame; they shrink by losing entries.
    pub fn plan(frame: Frame, most: usize) -> impl Strategy<Value = FaultPlan> {
        vec(any::<[u8; 8]>(), 0..=most).prop_map(move |blocks| plan_from_blocks(&blocks, &frame))
    }

    /// Workloads: the operations of a scenario that are left out; they shrink towards leaving none
    /// out.
    pub fn skip(scenario: &dyn Runnable) -> impl Strategy<Value = BTreeSet<OperationId>> + use<> {
        let operations = scenario.operations();
        vec(any::<bool>(), operations.len()).prop_map(move |skipped| {
            let chosen = operations.iter().zip(skipped).filter(|(_, skipped)| *skipped);
            chosen.map(|(operation, _)| *operation).collect()
        })
    }

    /// Whole trials of a scenario: any seed, a plan, and operations that are left out.
    pub fn trial(scenario: &dyn Runnable, most: usize) -> impl Strategy<Value = Trial> + use<> {
        let frame = scenario.frame();
        (any::<u64>(), plan(frame, most), skip(scenario)).prop_map(|(seed, plan, skip)| Trial {
            plan: Some(plan),
            skip,
            ..Trial::of(Seed(seed))
        })
    }
}
