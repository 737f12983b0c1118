//! Tendermint as a key-value store, one of whose four validators is Byzantine.
//!
//! Story: that of `pbft`, in rounds of two votes. One validator lies about single messages, runs
//! twice, equivocates as proposer and voter, or shows its prevotes to some, so that the others are
//! locked on different values; meanwhile messages are lost, validators are cut off and crash
//! between what they write and what they say. Guards: the lemmas of the header while the run goes
//! on, linearizability, and termination. Catches: `tests/planted/hs-05-*` and `tm-*`.
//!
//! With two Byzantine validators of four (`tendermint-two-liars`) two correct ones disagree.

use crate::raft_kv::{self, Input, Output};
use seedfall::Swarm;
use seedfall::property::{every_operation_completes, invariants, linearizable, sometimes};
use seedfall::scenario::{Cluster, Expect, Horizon, OperationId, Reply, Scenario, Workload};
use seedfall_checkers::models::Kv;
use seedfall_net::Delay;
use seedfall_protocols::tendermint::{self, Config, Request, Response, Validator};
use seedfall_sim::{Duration, Nodes, SystemModel};

/// Four validators, one of them Byzantine.
pub fn four() -> Scenario<Validator, Input, Output> {
    Scenario {
        name: "tendermint",
        story: "Four Tendermint validators keep three keys for four clients; one is Byzantine.",
        model: SystemModel { nodes: Nodes::Byzantine, ..SystemModel::USUAL },
        cluster: Cluster { spare: 1, ..Cluster::lan(4, 4) },
        config: Config { faulty: 1, patience: Duration::millis(25), gossip: Duration::millis(40) },
        workload: Workload {
            operations: 8,
            final_operations: 1,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(40) },
            patience: Duration::millis(250),
            attempts: 4,
            agree: 2,
            ..Workload::short(raft_kv::generate, request, reply)
        },
        faults: Swarm { strategies: 1, ..crate::MEASURED },
        horizon: Horizon { faults: Duration::millis(1_500), events: 400_000, ..Horizon::SHORT },
        properties: vec![
            invariants(INVARIANTS, tendermint::invariants),
            linearizable(Kv::new()),
            every_operation_completes(),
            sometimes("time-out: no proposal"),
            sometimes("time-out: prevotes differ"),
            sometimes("time-out: precommits differ"),
            sometimes("round: f + 1 others are in a later one"),
            sometimes("prevote: locked on another value"),
            sometimes("prevote: a later polka unlocks"),
            sometimes("decided: told by one who is ahead"),
            sometimes("recovery: from a journal"),
        ],
        expect: Expect::Holds,
    }
}

/// A negative control: one Byzantine validator too many.
pub fn two_liars() -> Scenario<Validator, Input, Output> {
    let four = four();
    Scenario {
        name: "tendermint-two-liars",
        story: "Four Tendermint validators of which two are Byzantine: more than they survive.",
        cluster: Cluster { spare: 2, ..four.cluster.clone() },
        faults: Swarm { strategies: 2, ..Swarm::NONE },
        properties: vec![invariants(INVARIANTS, tendermint::invariants), linearizable(Kv::new())],
        expect: Expect::Violates {
            properties: &[INVARIANTS, "linearizable"],
            because: "two quorums of three among four may have no correct validator in common \
                      (Buchman, Kwon and Milosevic 2018, lemma 1: n > 3f)",
        },
        ..four
    }
}

const INVARIANTS: &str = "the invariants of Tendermint";

fn request(_: OperationId, input: &Input) -> Request {
    Request(raft_kv::command(input))
}

fn reply(response: Response) -> Reply<Output> {
    Reply::Done(raft_kv::output(response.0))
}
