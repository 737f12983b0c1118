//! Total-order broadcast by a sequencer, as a log that every node keeps.
//!
//! Story: clients append at their home, and are told the place; sequencers are cut off, freeze and
//! crash with numbers that they have given to nobody's knowledge, and another goes on. Guards: TO1
//! to TO5 of the header, that the places are those of one log, and that every append ends. Catches:
//! `tests/planted/tob-*`.
//!
//! Where a message is delivered that the sequencer alone has written down, the next one gives its
//! number to another (`sequencer-one-copy` must find it).

use crate::total_order::{Input, Output, generate, is_one_log};
use seedfall::property::{always, eventually, every_operation_completes, invariants, sometimes};
use seedfall::scenario::{Cluster, Expect, Horizon, OperationId, Reply, Scenario, Workload};
use seedfall_checkers::models::{LogInput, LogOutput};
use seedfall_net::Delay;
use seedfall_protocols::sequencer::{self, Config, Request, Response, Sequenced};
use seedfall_sim::{Duration, NodeId, SystemModel};

/// Three nodes and six clients.
pub fn three() -> Scenario<Sequenced, Input, Output> {
    Scenario {
        name: "sequencer",
        story: "Three nodes deliver the messages of six clients in the order of one that may fail.",
        model: SystemModel::USUAL,
        cluster: Cluster { fewest: 3, ..Cluster::lan(3, 6) },
        config: Config {
            interval: Duration::millis(20),
            suspect_min: Duration::millis(60),
            suspect_max: Duration::millis(120),
            copies: 2,
        },
        workload: Workload {
            operations: 8,
            final_operations: 1,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(60) },
            patience: Duration::millis(200),
            attempts: 3,
            ..Workload::short(generate, request, reply)
        },
        faults: crate::MEASURED,
        horizon: Horizon { faults: Duration::secs(2), ..Horizon::SHORT },
        properties: vec![
            invariants(INVARIANTS, sequencer::invariants),
            always("S1: the places are those of one log", is_one_log),
            eventually("TO5: all deliver the same", all_agree),
            every_operation_completes(),
            sometimes("epoch: the sequencer is silent"),
            sometimes("epoch: a sequencer takes over"),
            sometimes("epoch: a number was given to nothing that is known"),
            sometimes("deliver: a number before is missing"),
            sometimes("request: a retry is not broadcast twice"),
        ],
        expect: Expect::Holds,
    }
}

/// A negative control: nobody but the sequencer needs to have it.
pub fn one_copy() -> Scenario<Sequenced, Input, Output> {
    Scenario {
        name: "sequencer-one-copy",
        story: "Three nodes deliver what the sequencer alone has written down.",
        config: Config { copies: 1, ..three().config },
        properties: vec![
            invariants(INVARIANTS, sequencer::invariants),
            always("S1: the places are those of one log", is_one_log),
        ],
        expect: Expect::Violates {
            properties: &[INVARIANTS, "S1: the places are those of one log"],
            because: "the next sequencer asks a majority, and nobody of them may know of it \
                      (Defago et al. 2004, section 2.2: uniformity)",
        },
        ..three()
    }
}

const INVARIANTS: &str = "TO1 to TO4";

fn all_agree(nodes: &[Option<&Sequenced>]) -> Result<(), String> {
    let up = NodeId::all(nodes.len()).zip(nodes).filter_map(|(id, node)| Some((id, (*node)?)));
    let counts: Vec<_> = up.map(|(id, node)| (id, node.delivered().len())).collect();
    match counts.windows(2).find(|pair| pair[0].1 != pair[1].1) {
        None => Ok(()),
        Some(pair) => Err(format!("{:?} and {:?} have delivered not as many", pair[0], pair[1])),
    }
}

fn request(_: OperationId, input: &Input) -> Request {
    match input {
        LogInput::Append(text) => Request(text.into()),
        other => unreachable!("nobody asks for {other:?} here"),
    }
}

fn reply(response: Response) -> Reply<Output> {
    match response {
        Response::Elsewhere { home } => Reply::Elsewhere(Some(home)),
        Response::Delivered { place } => Reply::Done(LogOutput::Offset(place)),
    }
}
