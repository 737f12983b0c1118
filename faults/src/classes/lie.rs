//! A node is Byzantine.

use super::percent;
use crate::act::Act;
use crate::bytes::Bytes;
use crate::class::{About, FaultClass, strikes_one_node};
use crate::classes::Fault;
use crate::swarm::{Outage, log_uniform};
use crate::target::Effects;
use seedfall_sim::{Duration, Lies, NodeId, Nodes, SystemModel};
use std::fmt;

/// A node is Byzantine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lie {
    /// Which.
    pub node: NodeId,
    /// How it treats its messages.
    pub lies: Lies,
}

impl FaultClass for Lie {
    type Amount = u32;
    const ABOUT: About = About {
        name: "lie",
        what: "it withholds, changes, replays, delays, forges messages, for each receiver apart",
        knob: "liars: up to 2, at most as many as the cluster can spare; 2 to 20 % of each lie",
        source: "ByzzFuzz (OOPSLA 2023), Twins",
    };
    const USUAL: u32 = 2;
    const TAKES_A_NODE: bool = true;
    const HOLDS: bool = false;
    // Lies of two nodes do not add up.
    const ODDS_ADD_UP: bool = false;

    // Whoever forgets what it promised lies, if not by intent.
    fn permitted_by(model: SystemModel) -> bool {
        model.nodes == Nodes::Byzantine
    }

    fn draw_one(outage: &mut Outage<'_, '_>) -> Vec<Fault> {
        outage.draw();
        vec![Self { node: outage.node, lies: drawn(outage) }.into()]
    }

    fn from_bytes(bytes: &mut Bytes<'_>) -> Self {
        let node = bytes.node();
        let lies = Lies {
            withhold: bytes.ppm(),
            mutate: bytes.ppm(),
            replay: bytes.ppm(),
            delay: bytes.ppm(),
            forge: bytes.ppm(),
            delay_by: bytes.span(),
        };
        Self { node, lies }
    }

    fn effects(seen: &Effects<'_>) -> u64 {
        seen.seen.nodes.lies
    }

    strikes_one_node!();

    fn odds(&self) -> u64 {
        let Lies { withhold, mutate, replay, delay, forge, .. } = self.lies;
        [withhold, mutate, replay, delay, forge].iter().map(|ppm| u64::from(*ppm)).sum()
    }

    /// With one kind of lie less.
    fn weaker(&self, _: usize) -> Vec<Fault> {
        let lies = self.lies;
        let less = [
            Lies { withhold: 0, ..lies },
            Lies { mutate: 0, ..lies },
            Lies { replay: 0, ..lies },
            Lies { delay: 0, ..lies },
            Lies { forge: 0, ..lies },
        ];
        let less = less.into_iter().filter(|less| *less != lies);
        less.map(|lies| Self { node: self.node, lies }.into()).collect()
    }

    fn begin(&self, act: &mut Act<'_>) {
        let done = act.target.set_lies(self.node, Some(self.lies));
        act.took(done);
    }

    fn end(&self, act: &mut Act<'_>) {
        let done = act.target.set_lies(self.node, None);
        act.took(done);
    }
}

/// Each way to lie is absent with probability one half, as each class of faults is.
fn drawn(outage: &mut Outage<'_, '_>) -> Lies {
    let mut draws = [outage.draw(), outage.draw()];
    let switches = draws[0].word();
    let mut rate = |bit: u32, draw: usize| {
        let ppm = log_uniform(20_000..200_000, draws[draw].word());
        if switches >> (20 + bit) & 1 == 1 { ppm } else { 0 }
    };
    let mut lies = Lies {
        withhold: rate(0, 0),
        mutate: rate(1, 0),
        replay: rate(2, 0),
        delay: rate(3, 1),
        forge: rate(4, 1),
        delay_by: Duration::millis(300),
    };
    let silent = lies.withhold + lies.mutate + lies.replay + lies.delay + lies.forge == 0;
    if silent {
        lies.mutate = 100_000;
    }
    lies
}

impl fmt::Display for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lies { withhold, mutate, replay, delay, delay_by, forge } = self.lies;
        write!(
            f,
            "{} lies: withholds {}, changes {}, replays {}, holds back {} up to {delay_by}, \
             forges {}",
            self.node,
            percent(withhold),
            percent(mutate),
            percent(replay),
            percent(delay),
            percent(forge)
        )
    }
}
