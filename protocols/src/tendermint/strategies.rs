//! Malicious strategies of Tendermint validators, one file each.

mod equivocator;
mod forger;
mod selective_voter;

use super::Validator;
use seedfall_sim::Strategy;

/// All of them.
pub(super) fn all() -> Vec<Strategy<Validator>> {
    vec![equivocator::STRATEGY, forger::STRATEGY, selective_voter::STRATEGY]
}
