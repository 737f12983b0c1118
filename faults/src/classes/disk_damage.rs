//! A disk is damaged: its node may have to refuse to start.

use super::{Crash, disk};
use crate::act::Act;
use crate::bytes::Bytes;
use crate::class::{About, FaultClass, strikes_one_node};
use crate::classes::Fault;
use crate::swarm::{Outage};
use crate::target::Effects;
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
    const USUAL: u32 = 1;
    const TAKES_A_NODE: bool = true;
    const TO_THE_END: bool = false;
    const READ_AT_THE_END: bool = true;

    // A node that must not start is one that crashed for good.
    fn permitted_by(model: SystemModel) -> bool {
        model.nodes != Nodes::CrashStop
    }

    fn draw_one(outage: &mut Outage<'_, '_>) -> Vec<Fault> {
        vec![Self { node: outage.node, wrong: disk::drawn(Answer::Refuses, outage) }.into()]
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        let node = bytes.node();
        Self { node, wrong: disk::from_bytes(Answer::Refuses, bytes) }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.seen.disks.answered(Answer::Refuses)
    }

    strikes_one_node!();

    fn unsound(&self) -> Option<&'static str> {
        disk::unsound(Answer::Refuses, &self.wrong)
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

impl fmt::Display for DiskDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "disk of {}: {}", self.node, self.wrong)
    }
}
