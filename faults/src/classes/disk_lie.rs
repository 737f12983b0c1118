//! A disk makes its node forget without a sign.

use super::disk;
use crate::act::Act;
use crate::class::{About, ActsOn, FaultClass};
use crate::classes::Fault;
use seedfall_sim::{Answer, DiskFault, NodeId, Nodes, SystemModel};
use std::fmt;

/// A disk makes its node forget without a sign. ([`Answer::Forgets`].)
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskLie {
    /// Whose disk.
    pub node: NodeId,
    /// What is wrong with it.
    pub wrong: DiskFault,
}

impl FaultClass for DiskLie {
    type Amount = u32;
    const ABOUT: About = About {
        name: "disk-lie",
        what: "syncs that lie; the whole disk as it was before",
        knob: "disk_lies: one, at most as many as the cluster can spare",
        source: "lazyfs; Jepsen's file nemesis",
    };
    const ACTS_ON: ActsOn = ActsOn::Disk;
    const USUAL: u32 = 1;
    const TAKES_A_NODE: bool = true;
    const TO_THE_END: bool = false;
    const READ_AT_THE_END: bool = true;

    // Whoever forgets what it promised lies, if not by intent.
    fn permitted_by(model: SystemModel) -> bool {
        model.nodes == Nodes::Byzantine
    }

    disk::fails_a_disk!(Answer::Forgets);

    fn on_deadline(&mut self, act: &mut Act<'_>) {
        act.crash(self.node);
    }
}

impl fmt::Display for DiskLie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "disk of {}: {}", self.node, self.wrong)
    }
}
