//! Where a run breaks its promise.

use crate::report::Failure;
use seedfall_sim::Time;

/// Where a run breaks its promise: what tells one break from another of the same fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scene {
    /// At this instant: then a node was seen to break it.
    At(Time),
    /// By this operation, whenever the history was judged.
    By(String),
}

impl Scene {
    pub(super) fn of(failure: &Failure) -> Self {
        let accused = failure.operations.iter().find(|line| line.starts_with('>'));
        accused.map_or(Self::At(failure.at), |line| Self::By(line.clone()))
    }
}
