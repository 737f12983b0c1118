//! Negative controls: Raft among nodes that break what it assumes of them.
//!
//! Story: three servers whose candidates keep meeting, as in `raft-kv-duel`. In one scenario a
//! server lies: it turns a vote round, moves a term or an index by one, says again what it said
//! before. In the second one runs twice, and votes twice in a term, for whom each half heard first.
//! In the last it loses its disk and comes back under its old name, having forgotten whom it voted
//! for and what it acknowledged. Raft claims none of it, and one such server is enough to break it:
//! a sweep that does not find that out fails.

use super::raft_kv;
use seedfall::Swarm;
use seedfall::scenario::{COMES_TO_ITS_END, Cluster, Expect, NEVER_PANICS, Scenario};
use seedfall_checkers::models::{KvInput, KvOutput};
use seedfall_protocols::raft::Raft;
use seedfall_sim::{Nodes, SystemModel};

type Control = Scenario<Raft, KvInput<&'static str, String>, KvOutput<String>>;

/// One server lies.
pub fn liar() -> Control {
    let duel = raft_kv::duel();
    Scenario {
        name: "raft-byzantine",
        story: "Three Raft nodes of which one lies: Raft does not claim to survive that.",
        model: SystemModel { nodes: Nodes::Byzantine, ..SystemModel::USUAL },
        cluster: Cluster { spare: 1, ..duel.cluster.clone() },
        faults: Swarm { stops: 0, wipes: 0, ..crate::MEASURED },
        properties: duel
            .properties
            .iter()
            .filter(|one| !one.is_sometimes() && !raft_kv::LEMMAS.contains(&one.name))
            .cloned()
            .collect(),
        expect: Expect::Violates {
            // What it is told may be impossible among correct servers, and assertions say so. A
            // follower whose disk forgot what it had acknowledged is sent the same again and again.
            properties: &[
                "the invariants of Raft",
                "linearizable",
                "every operation completes",
                NEVER_PANICS,
                COMES_TO_ITS_END,
            ],
            because: "Raft trusts what a server says (Ongaro and Ousterhout 2014, section 2: no \
                      Byzantine failures)",
        },
        ..duel
    }
}

/// One server runs twice, and nobody lies.
pub fn twins() -> Control {
    let Swarm { loss, partitions, twins, .. } = Swarm::ALL;
    Scenario {
        name: "raft-twins",
        story: "Three Raft nodes of which one runs twice: each half is correct, and both are not.",
        faults: Swarm { loss, partitions, twins, ..Swarm::NONE },
        ..liar()
    }
}

/// One server loses its disk and keeps its name.
pub fn amnesiac() -> Control {
    Scenario {
        name: "raft-amnesia",
        story: "Three Raft nodes of which one loses its disk and comes back under its old name.",
        faults: Swarm { stops: 0, liars: 0, twins: 0, ..crate::MEASURED },
        ..liar()
    }
}
