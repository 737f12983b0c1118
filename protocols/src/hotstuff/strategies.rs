//! Malicious strategies of `HotStuff` replicas, one file each.

mod brancher;
mod certifier;
mod equivocator;
mod forgetful_leader;
mod reopener;

use super::Replica;
use seedfall_sim::Strategy;

/// All of them.
pub(super) fn all() -> Vec<Strategy<Replica>> {
    vec![
        equivocator::STRATEGY,
        forgetful_leader::STRATEGY,
        reopener::STRATEGY,
        brancher::STRATEGY,
        certifier::STRATEGY,
    ]
}
