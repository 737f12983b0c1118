//! What a fault can be made into that is less: shorter, narrower, weaker.

use crate::plan::{Aim, Entry, FaultBudget};
use seedfall_sim::{Duration, NodeId};

/// What lasts less than this is not made shorter.
const SHORT: Duration = Duration::millis(20);

/// Entries that are less than this one, the least first. Whether they fit the plan's budget is not
/// asked.
pub(super) fn simpler(entry: &Entry, budget: &FaultBudget) -> Vec<Entry> {
    let mut less = Vec::new();
    if entry.retargets {
        less.push(Entry { retargets: false, ..entry.clone() });
    }
    if entry.aim != Aim::Named {
        let aimed = NodeId::all(budget.nodes).map(|node| entry.fault.aimed_at(node));
        less.extend(aimed.map(|fault| Entry { fault, aim: Aim::Named, ..entry.clone() }));
    }
    if matches!(entry.aim, Aim::EveryLeader { .. }) {
        less.push(Entry { aim: Aim::Leader, ..entry.clone() });
    }
    if let Some(fault) = entry.fault.halfway() {
        let half = entry.lasts.scale(1, 2);
        let (at, lasts) = (entry.at + half, entry.lasts - half);
        less.push(Entry { at, lasts, fault: fault.clone(), ..entry.clone() });
        less.push(Entry { fault, ..entry.clone() });
    }
    let weaker = entry.fault.weaker(budget.nodes);
    less.extend(weaker.into_iter().map(|fault| Entry { fault, ..entry.clone() }));
    if entry.lasts >= SHORT {
        for eighths in [1, 2, 4, 6] {
            let lasts = entry.lasts.scale(eighths, 8);
            let late = entry.at + (entry.lasts - lasts);
            less.push(Entry { lasts, ..entry.clone() });
            less.push(Entry { at: late, lasts, ..entry.clone() });
        }
    }
    less
}
