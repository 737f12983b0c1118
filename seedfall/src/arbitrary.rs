//! Plans from bytes, for fuzzers; plans, workloads and whole trials as strategies of proptest.

pub use seedfall_faults::arbitrary::*;

/// Strategies for `proptest!` users.
#[cfg(feature = "proptest")]
pub mod strategy {
    use crate::run::{Runnable, Trial};
    use crate::scenario::OperationId;
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, any};
    pub use seedfall_faults::arbitrary::strategy::plan;
    use seedfall_sim::Seed;
    use std::collections::BTreeSet;

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
        let budget = scenario.fault_budget();
        (any::<u64>(), plan(budget, most), skip(scenario)).prop_map(|(seed, plan, skip)| Trial {
            plan: Some(plan),
            skip,
            ..Trial::of(Seed(seed))
        })
    }
}
