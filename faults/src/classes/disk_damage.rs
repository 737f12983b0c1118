//! A disk is damaged: its node may have to refuse to start.

use super::disk;
use crate::act::Act;
use crate::class::{About, ActsOn, FaultClass};
use crate::classes::Fault;
use seedfall_sim::{Answer, DiskFault, NodeId, Nodes, SystemModel};
use std::fmt;

/// A disk is damaged: its node may have to refuse to start. ([`Answer::Refuses`].)
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskDamage {
    /// Whose disk.
    pub node: NodeId,
    /// What is wrong with it.
    pub wrong: DiskFault,
}

impl FaultClass for DiskDamage {
    type Amount = u32;
    const ABOUT: About = About {
        name: "disk-damage",
        what: "bit rot, a phantom or misdirected write, a misdirected read, a cut or old file",
        knob: "disk_damages: one, at most as many as the cluster can spare",
        source: "Bairavasundaram et al., FAST 2008; TigerBeetle; Jepsen's file nemesis",
    };
    const ACTS_ON: ActsOn = ActsOn::Disk;
    const USUAL: u32 = 1;
    const TAKES_A_NODE: bool = true;
    const TO_THE_END: bool = false;
    const READ_AT_THE_END: bool = true;

    // A node that must not start is one that crashed for good.
    fn permitted_by(model: SystemModel) -> bool {
        model.nodes != Nodes::CrashStop
    }

    disk::fails_a_disk!(Answer::Refuses);

    fn on_deadline(&mut self, act: &mut Act<'_>) {
        act.crash(self.node);
    }
}

impl fmt::Display for DiskDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "disk of {}: {}", self.node, self.wrong)
    }
}
