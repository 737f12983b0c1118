//! Paxos' one decree, under everything that its model permits.
//!
//! Story: clients propose a value each at whichever node they meet, again and again, and ask what
//! was chosen, while messages are lost, doubled and late, nodes are cut off, freeze, crash between
//! what they write and what they say, and come back. Guards: P1a, P2b and Agreement of the header
//! while the run goes on, that all answers fit one decision at one moment, and that whoever asks
//! after the faults is answered. Catches: `tests/planted/pax-*`.
//!
//! Quorums that are no majorities hold as long as those of the two phases meet (`paxos-flexible`);
//! where they need not, two values are chosen (`paxos-disjoint-quorums` must find it).

use seedfall::property::{every_operation_completes, invariants, linearizable, sometimes};
use seedfall::scenario::{
    Cluster, Expect, Horizon, Invocation, OperationId, Reply, Scenario, Workload,
};
use seedfall::{Property, Swarm};
use seedfall_checkers::Model;
use seedfall_net::Delay;
use seedfall_protocols::kv::Text;
use seedfall_protocols::paxos::{self, Config, Paxos, Request, Response};
use seedfall_sim::{Choices, Duration, SystemModel};

/// What a client asks: the value that it proposes, or, with none, what is chosen.
pub type Input = Option<String>;
/// What it is told: what is chosen.
pub type Output = Option<String>;

/// Three nodes and three proposers at once: where most of what can go wrong does.
pub fn three() -> Scenario<Paxos, Input, Output> {
    Scenario {
        name: "paxos",
        story: "Three Paxos nodes choose one of the values that four clients propose.",
        model: SystemModel::USUAL,
        cluster: Cluster { fewest: 3, ..Cluster::lan(3, 4) },
        config: Config::majorities(3),
        workload: workload(),
        faults: FIERCE,
        horizon: Horizon { faults: Duration::secs(1), ..Horizon::SHORT },
        properties: properties([]),
        expect: Expect::Holds,
    }
}

/// Five nodes with large quorums of phase 1 and small ones of phase 2, under every fault.
pub fn flexible() -> Scenario<Paxos, Input, Output> {
    Scenario {
        name: "paxos-flexible",
        story: "Five Paxos nodes of which four must promise and two accept.",
        cluster: Cluster { fewest: 5, ..Cluster::lan(5, 4) },
        config: Config { phase_1: 4, phase_2: 2, ..Config::majorities(5) },
        faults: crate::MEASURED,
        ..three()
    }
}

/// A negative control: quorums that need not meet.
pub fn disjoint() -> Scenario<Paxos, Input, Output> {
    Scenario {
        name: "paxos-disjoint-quorums",
        story: "Four Paxos nodes of which two must promise and two accept, wrongly thought enough.",
        cluster: Cluster { fewest: 4, ..Cluster::lan(4, 4) },
        config: Config { phase_1: 2, phase_2: 2, ..Config::majorities(4) },
        properties: vec![invariants(INVARIANTS, paxos::invariants), every_operation_completes()],
        expect: Expect::Violates {
            properties: &[INVARIANTS],
            because: "a proposer learns what may be chosen only from a quorum that meets each of \
                      the other phase (Flexible Paxos, section 3: |Q1| + |Q2| > N)",
        },
        ..three()
    }
}

const INVARIANTS: &str = "the invariants of Paxos";

/// A decision is made within milliseconds: what is to disturb it must be there from the start.
const FIERCE: Swarm = Swarm {
    loss: Swarm::ALL.loss,
    duplicate: Swarm::ALL.duplicate,
    reorder: Swarm::ALL.reorder,
    clogs: Swarm::ALL.clogs,
    partitions: Swarm::ALL.partitions,
    flaps: Swarm::ALL.flaps,
    crashes: Swarm::ALL.crashes,
    pauses: Swarm::ALL.pauses,
    ..Swarm::NONE
};

fn workload() -> Workload<Paxos, Input, Output> {
    Workload {
        operations: 6,
        final_operations: 1,
        think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(60) },
        patience: Duration::millis(150),
        attempts: 3,
        ..Workload::short(generate, request, reply)
    }
}

fn properties<const N: usize>(
    more: [Property<Paxos, Input, Output>; N],
) -> Vec<Property<Paxos, Input, Output>> {
    let mut properties = vec![
        invariants(INVARIANTS, paxos::invariants),
        linearizable(Decision),
        every_operation_completes(),
        sometimes("prepare: a higher number is promised"),
        sometimes("accept: a higher number is promised"),
        sometimes("promise: two values are reported"),
        sometimes("propose: another's value, which may be chosen"),
        sometimes("read: nothing is chosen"),
        sometimes("retry: no quorum has answered in time"),
    ];
    properties.extend(more);
    properties
}

/// A value of its own, or a question.
fn generate(operation: Invocation, draw: &mut Choices<'_>) -> Input {
    (draw.below(3) > 0).then(|| operation.to_string())
}

fn request(_: OperationId, input: &Input) -> Request {
    match input {
        Some(value) => Request::Propose { value: value.into() },
        None => Request::Read,
    }
}

fn reply(response: Response) -> Reply<Output> {
    Reply::Done(match response {
        Response::Chosen(value) => Some(value.into()),
        Response::Nothing => None,
    })
}

/// Consensus as a sequential object: the first value that is proposed is the decision, and every
/// answer from then on. Agreement and validity in one, at one moment.
#[derive(Clone, Debug)]
struct Decision;

impl Model for Decision {
    type Input = Input;
    type Output = Output;
    type State = Option<Text>;
    type Key = ();

    fn initial(&self) -> Option<Text> {
        None
    }

    fn step(
        &self,
        decided: &Option<Text>,
        input: &Input,
        output: Option<&Output>,
    ) -> Option<Option<Text>> {
        let after = decided.clone().or_else(|| input.as_ref().map(Text::from));
        let fits = output.is_none_or(|told| told.as_deref() == after.as_deref());
        fits.then_some(after)
    }
}
