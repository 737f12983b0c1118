//! Malicious strategies of PBFT replicas, one file each.

mod equivocator;
mod lying_new_view;
mod pads_proofs;
mod selective_replier;
mod signs_for_others;
mod unproved_view_change;

use super::Replica;
use seedfall_sim::Strategy;

/// All of them.
pub(super) fn all() -> Vec<Strategy<Replica>> {
    vec![
        equivocator::STRATEGY,
        lying_new_view::STRATEGY,
        pads_proofs::STRATEGY,
        selective_replier::STRATEGY,
        signs_for_others::STRATEGY,
        unproved_view_change::STRATEGY,
    ]
}
