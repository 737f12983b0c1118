//! A disk makes its node forget without a sign.

use super::{Crash, disk};
use crate::act::Act;
use crate::bytes::Bytes;
use crate::class::{About, FaultClass, strikes_one_node};
use crate::classes::Fault;
use crate::swarm::{Outage};
use crate::target::Effects;
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
    const USUAL: u32 = 1;
    const TAKES_A_NODE: bool = true;
    const TO_THE_END: bool = false;
    const READ_AT_THE_END: bool = true;

    // Whoever forgets what it promised lies, if not by intent.
    fn permitted_by(model: SystemModel) -> bool {
        model.nodes == Nodes::Byzantine
    }

    fn draw_one(outage: &mut Outage<'_, '_>) -> Vec<Fault> {
        vec![Self { node: outage.node, wrong: disk::drawn(Answer::Forgets, outage) }.into()]
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        let node = bytes.node();
        Self { node, wrong: disk::from_bytes(Answer::Forgets, bytes) }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.seen.disks.answered(Answer::Forgets)
    }

    strikes_one_node!();

    fn unsound(&self) -> Option<&'static str> {
        disk::unsound(Answer::Forgets, &self.wrong)
    }

    fn halfway(&self) -> Option<Fault> {
        Some(Crash::of(self.node).into())
    }

    fn begin(&self, act: &mut Act<'_>) {
        disk::begin(self.node, &self.wrong, act);
    }

    fn end(&self, act: &mut Act<'_>) {
        disk::end(self.node, &self.wrong, act);
    }

    fn on_deadline(&mut self, act: &mut Act<'_>) {
        act.crash(self.node);
    }

    fn at_once(&mut self) {
        self.wrong = self.wrong.at_once();
    }
}

impl fmt::Display for DiskLie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "disk of {}: {}", self.node, self.wrong)
    }
}
