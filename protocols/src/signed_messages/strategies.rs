//! Malicious strategies of generals who sign, one file each.

mod forger;
mod two_faced;

use super::General;
use seedfall_sim::Strategy;

/// All of them.
pub(super) fn all() -> Vec<Strategy<General>> {
    vec![forger::STRATEGY, two_faced::STRATEGY]
}
