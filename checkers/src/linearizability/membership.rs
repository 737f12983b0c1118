//! One element of a set, in near-linear time, values repeated or not, indeterminate or not.
//!
//! Two states, present and absent. Operations that leave the state alone fit in one of them and are
//! placed as soon as it comes (they change nothing for the others). When nothing of that kind is
//! left, the state must change, and the operations that can change it are interchangeable: the one
//! that responds first goes, by exchange, an indeterminate one last. So there is never a choice,
//! and a response that cannot be reached is a contradiction. (Abdulla et al., *Checking
//! linearizability of container histories*, count alternations instead; this keeps the order.)

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::fast::Fast;
use super::part::Part;
use crate::models::abstraction::MembershipStep;
use crate::verdict::Reason;

/// Waiting operations, the earliest response first.
type Waiting = BinaryHeap<Reverse<(u64, u32)>>;

/// Decides one element's part.
pub(crate) fn decide(part: &Part<'_>, steps: &[MembershipStep]) -> Fast {
    let mut order = Vec::with_capacity(part.len());
    let mut placed = vec![false; part.len()];
    let mut present = false;
    // By the state in which they fit, and by the state that they lead to.
    let mut fits: [Vec<u32>; 2] = [Vec::new(), Vec::new()];
    let mut turns: [Waiting; 2] = [Waiting::new(), Waiting::new()];
    for event in part.events() {
        let operation = event >> 1;
        if event & 1 == 0 {
            match steps[operation as usize] {
                MembershipStep::Was(state) => fits[usize::from(state)].push(operation),
                MembershipStep::Became(state) | MembershipStep::Set(state) => {
                    let ret = part.spans[operation as usize].ret;
                    turns[usize::from(state)].push(Reverse((ret, operation)));
                }
                MembershipStep::Nothing => {}
            }
            continue;
        }
        // Turn the state, as late as possible, until the operation that responds is in.
        loop {
            for waiting in fits[usize::from(present)].drain(..) {
                placed[waiting as usize] = true;
                order.push(waiting);
            }
            if placed[operation as usize] {
                break;
            }
            let Some(Reverse((_, turn))) = turns[usize::from(!present)].pop() else {
                return blocked(part, operation);
            };
            placed[turn as usize] = true;
            order.push(turn);
            present = !present;
        }
    }
    Fast::Order(order)
}

/// Everything called until the response that cannot be explained.
fn blocked(part: &Part<'_>, operation: u32) -> Fast {
    let end = part.spans[operation as usize].ret;
    let core = (0..part.len() as u32).filter(|op| part.spans[*op as usize].call <= end).collect();
    Fast::Contradiction { core, reason: Reason::WrongElement }
}
