//! The algorithms for particular structures, behind one door.

use super::part::Part;
use super::{membership, priority_queue, queue, stack, zones};
use crate::models::Abstraction;
use crate::verdict::{Path, Reason};

/// What an algorithm for one structure found. Operations are positions in the part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fast {
    /// An order that explains everything.
    Order(Vec<u32>),
    /// A contradiction between these operations.
    Contradiction { core: Vec<u32>, reason: Reason },
    /// The algorithm does not cover this history.
    NotApplicable,
}

/// Asks the algorithm of the structure; `None` if there is none.
pub(crate) fn decide(part: &Part<'_>, abstraction: &Abstraction<'_>) -> Option<(Path, Fast)> {
    match abstraction {
        Abstraction::Register(view) => Some((Path::Zones, zones::decide(part, view))),
        Abstraction::Membership(steps) => Some((Path::Set, membership::decide(part, steps))),
        Abstraction::Queue(steps) => Some((Path::Queue, queue::decide(part, steps))),
        Abstraction::Stack(steps) => Some((Path::Stack, stack::decide(part, steps))),
        Abstraction::PriorityQueue(steps) => {
            Some((Path::PriorityQueue, priority_queue::decide(part, steps)))
        }
    }
}
