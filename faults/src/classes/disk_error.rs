//! A disk fails, and nothing that was synced is lost.

use super::disk;
use crate::act::Act;
use crate::class::{About, ActsOn, FaultClass};
use crate::classes::Fault;
use crate::swarm::Aims;
use seedfall_sim::{Answer, DiskFault, NodeId, Nodes, SystemModel};
use std::fmt;

/// A disk fails, and nothing that was synced is lost. ([`Answer::Survives`].)
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskError {
    /// Whose disk.
    pub node: NodeId,
    /// What is wrong with it.
    pub wrong: DiskFault,
}

impl FaultClass for DiskError {
    type Amount = u32;
    const ABOUT: About = About {
        name: "disk-error",
        what: "a sync fails once and pages count as clean; no space; a write fails",
        knob: "disk_errors: up to 2",
        source: "fsyncgate (Rebello et al., ATC 2020); FoundationDB",
    };
    const ACTS_ON: ActsOn = ActsOn::Disk;
    const USUAL: u32 = 2;
    const AIMS: Aims = Aims::Once;

    fn permitted_by(model: SystemModel) -> bool {
        model.nodes != Nodes::CrashStop
    }

    disk::fails_a_disk!(Answer::Survives);

    fn on_deadline(&mut self, act: &mut Act<'_>) {
        // It stops its node when it strikes, and a node that is down writes nothing.
        if act.is_unmet() {
            let mended = act.target.disk_mend(self.node, &self.wrong);
            act.took(mended);
            self.at_once();
            let again = act.target.disk_fault(self.node, &self.wrong);
            act.took(again);
        } else {
            let crashed = act.crash(self.node);
            act.restarts(crashed);
        }
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "disk of {}: {}", self.node, self.wrong)
    }
}
