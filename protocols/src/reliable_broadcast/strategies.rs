//! Malicious strategies of nodes that broadcast, one file each.

mod equivocator;

use super::Node;
use seedfall_sim::Strategy;

/// All of them.
pub(super) fn all() -> Vec<Strategy<Node>> {
    vec![equivocator::STRATEGY]
}
