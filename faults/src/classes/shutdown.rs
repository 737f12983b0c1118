//! A program is told to end by a signal, and is started again.

use crate::act::Act;
use crate::bytes::Bytes;
use crate::class::{About, FaultClass, strikes_one_node};
use crate::classes::Fault;
use crate::swarm::Outage;
use crate::target::Effects;
use seedfall_sim::{NodeId, Nodes, SystemModel};
use std::fmt;

/// Which signal tells a program to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndSignal {
    /// `SIGTERM`: what systemd, Kubernetes and `kill` send.
    Terminate,
    /// `SIGINT`: what Ctrl-C sends.
    Interrupt,
}

/// A program is told to end, as in a rolling upgrade: it may finish what it does. If it still runs
/// when the entry ends, it is killed, and loses what is in its memory alone; its machine lives on.
/// Then it is started again. Programs in the simulated Linux are told; to nodes of protocols, which
/// have no signals, and to real processes it is not done yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    /// Whose.
    pub node: NodeId,
    /// By what.
    pub signal: EndSignal,
}

impl FaultClass for Shutdown {
    type Amount = u32;
    const ABOUT: About = About {
        name: "shutdown",
        what: "a program is told to end, by SIGTERM or SIGINT, and is started again",
        knob: "shutdowns: none unless asked for; nodes of protocols have no signals",
        source: "rolling upgrades; Kubernetes, termination of pods",
    };
    const USUAL: u32 = 0;

    fn permitted_by(model: SystemModel) -> bool {
        model.nodes != Nodes::CrashStop
    }

    fn draw_one(outage: &mut Outage<'_, '_>) -> Vec<Fault> {
        let signals = [EndSignal::Terminate, EndSignal::Interrupt];
        let signal = signals[outage.draw().below(2) as usize];
        vec![Self { node: outage.node, signal }.into()]
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        let node = bytes.node();
        let signals = [EndSignal::Terminate, EndSignal::Interrupt];
        Self { node, signal: signals[bytes.choice(2)] }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.deeds
    }

    strikes_one_node!();

    fn begin(&self, act: &mut Act<'_>) {
        let told = act.target.tell_to_end(self.node, self.signal);
        let told = act.took(told);
        act.count(told);
    }

    fn end(&self, act: &mut Act<'_>) {
        let killed = act.target.kill(self.node);
        act.took(killed);
        act.restart(self.node);
    }
}

impl fmt::Display for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signal = match self.signal {
            EndSignal::Terminate => "SIGTERM",
            EndSignal::Interrupt => "SIGINT",
        };
        write!(f, "shut down {} by {signal}", self.node)
    }
}
