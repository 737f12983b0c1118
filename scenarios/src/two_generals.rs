//! Demonstration: two generals attack together over links that lose nothing, and no number of
//! messages makes up for links that lose.
//!
//! Story: clients ask one of two generals for attacks, each to be agreed by one to eight messages;
//! no messenger goes twice. Over `Reliable` links both attack, every time
//! (`two-generals-reliable`). Over `FairLoss` links the last messenger of some attack is caught,
//! and its sender attacks alone, for every number of messages (`two-generals`: Akkoyunlu, Ekanadham
//! and Huber 1975; Gray 1978); a sweep that does not find that out fails.

use seedfall::Swarm;
use seedfall::property::{Judgement, always, every_operation_completes, invariants};
use seedfall::scenario::{Cluster, Expect, Horizon, Reply, Scenario, Workload};
use seedfall_checkers::History;
use seedfall_protocols::two_generals::{self, Config, General, Request, Response};
use seedfall_sim::{Duration, Links, Nodes, SystemModel, Timing};

/// Links that lose nothing.
pub fn reliable() -> Scenario<General, Request, Response> {
    let lossy = lossy();
    let mut properties = lossy.properties.clone();
    properties.insert(1, always("S2: whoever proposed attacks", all_attacked));
    Scenario {
        name: "two-generals-reliable",
        story: "Two generals agree on attacks by messengers of whom none is caught.",
        model: SystemModel { links: Links::Reliable, ..lossy.model },
        properties,
        expect: Expect::Holds,
        ..lossy
    }
}

/// A negative control: links that lose.
pub fn lossy() -> Scenario<General, Request, Response> {
    Scenario {
        name: "two-generals",
        story: "Two generals agree on attacks by messengers who may be caught: one attacks alone.",
        model: SystemModel {
            links: Links::FairLoss,
            nodes: Nodes::CrashStop,
            timing: Timing::Synchronous,
        },
        cluster: Cluster::lan(2, 3),
        // Eight messages take 80 ms at most.
        config: Config { until_dawn: Duration::millis(100) },
        workload: Workload::short(
            |_, draw| Request { messages: 1 + draw.below(8) },
            |_, request| *request,
            Reply::Done,
        ),
        faults: Swarm { loss: Swarm::ALL.loss, ..Swarm::NONE },
        horizon: Horizon::SHORT,
        properties: vec![
            invariants("S1: both attack or neither", two_generals::invariants),
            every_operation_completes(),
        ],
        expect: Expect::Violates {
            properties: &["S1: both attack or neither"],
            because: "whoever sends the last message does not know whether it arrived (Gray 1978, \
                      section 5.8.3.3.1)",
        },
    }
}

/// S2, of the general who proposed; of the other, S1 says the same.
fn all_attacked(history: &History<Request, Response>) -> Judgement {
    let stayed = history
        .operations
        .iter()
        .position(|operation| operation.outcome.output() == Some(&Response::Stayed));
    match stayed {
        None => Judgement::Holds,
        Some(place) => Judgement::Violated {
            reason: "it stayed, and no message was lost".to_owned(),
            operation: Some(place),
            core: vec![place],
        },
    }
}
