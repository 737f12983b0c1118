//! Three-phase commit, in the model in which it waits for nobody, and outside of it.
//!
//! Story: clients ask sites for transactions, of which one site in a few must refuse. A site stops
//! for good, most often one that coordinates. Nobody who is up stays in doubt (`3pc`), other than
//! in two-phase commit (`bank-blocking`). Guards: AC1 to AC3, P1, P2 and NB of the header. Catches:
//! `tests/planted/3pc-*`.
//!
//! A partition looks like stopped sites to either side, and the two decide differently
//! (`3pc-partition` must find it). With decisions by quorum it holds, and crashed sites come back
//! (`3pc-quorum`); a site without a quorum waits until it has one.

use seedfall::property::{
    Told, eventually, eventually_told, every_operation_completes, invariants, sometimes,
    sometimes_in,
};
use seedfall::scenario::{
    Cluster, Expect, Horizon, Invocation, OperationId, Reply, Scenario, Workload,
};
use seedfall::{Property, Swarm};
use seedfall_checkers::History;
use seedfall_net::Delay;
use seedfall_protocols::three_phase_commit::{
    self, Config, Request, Response, Site, State, Termination,
};
use seedfall_sim::{Choices, Duration, Links, NodeId, Nodes, SystemModel, Timing};

/// What a search tells apart of a site: in how many transactions it is where, up to two.
fn told_apart(site: &Site) -> [usize; 4] {
    let count = |state: State| site.states().filter(|(_, one)| *one == state).count().min(2);
    [State::Uncertain, State::Committable, State::Abortable, State::Aborted].map(count)
}

/// In its model: messages arrive in time, sites stop for good.
pub fn sites() -> Scenario<Site, Request, Response> {
    Scenario {
        name: "3pc",
        story: "Four sites of three-phase commit, of which two may stop: nobody waits for them.",
        model: SYNCHRONOUS,
        cluster: Cluster { spare: 2, fewest: 3, ..Cluster::lan(4, 4) },
        config: Config { termination: Termination::Sites, delay_max: Duration::millis(11) },
        workload: workload(),
        faults: Swarm { stops: 2, ..Swarm::NONE },
        horizon: Horizon { faults: Duration::secs(1), ..Horizon::SHORT },
        properties: properties([
            sometimes("coordinator: who has not acknowledged has failed"),
            sometimes("termination: all were uncertain"),
            sometimes("termination: a site was committable"),
        ]),
        expect: Expect::Holds,
    }
    .abstraction(told_apart)
}

/// A negative control: links that can be cut.
pub fn partition() -> Scenario<Site, Request, Response> {
    Scenario {
        name: "3pc-partition",
        story: "Three-phase commit and a partition, which each side takes for stopped sites.",
        model: SystemModel { links: Links::FairLoss, ..SYNCHRONOUS },
        faults: Swarm { partitions: Swarm::ALL.partitions, ..Swarm::NONE },
        properties: vec![invariants(INVARIANTS, three_phase_commit::invariants)],
        expect: Expect::Violates {
            properties: &[INVARIANTS],
            because: "each side of a partition takes the other for failed; the one with a \
                      committable site commits, the other aborts (BHG 7.5: communication failures)",
        },
        ..sites()
    }
}

/// Decisions by majority, under everything.
pub fn quorum() -> Scenario<Site, Request, Response> {
    Scenario {
        name: "3pc-quorum",
        story: "Five sites of three-phase commit that decide by majority, under every fault.",
        model: SystemModel::USUAL,
        cluster: Cluster { fewest: 3, ..Cluster::lan(5, 5) },
        config: Config { termination: Termination::Quorum, ..sites().config },
        faults: crate::MEASURED,
        properties: properties([
            every_operation_completes(),
            sometimes("coordinator: no quorum has acknowledged in time"),
            sometimes("recovery: a site comes back undecided"),
            sometimes("termination: a quorum can abort"),
            sometimes("termination: a quorum can commit"),
            sometimes("termination: no quorum, it waits"),
            sometimes("termination: who had not voted aborts"),
            sometimes("termination: a site had committed"),
        ]),
        ..sites()
    }
    .abstraction(told_apart)
}

const SYNCHRONOUS: SystemModel =
    SystemModel { links: Links::Reliable, nodes: Nodes::CrashStop, timing: Timing::Synchronous };

const INVARIANTS: &str = "AC1, AC2, AC3 and P1";

fn workload() -> Workload<Site, Request, Response> {
    Workload {
        operations: 8,
        final_operations: 1,
        think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(40) },
        patience: Duration::millis(300),
        attempts: 3,
        ..Workload::short(generate, |_: OperationId, request: &Request| *request, reply)
    }
}

fn properties<const N: usize>(
    more: [Property<Site, Request, Response>; N],
) -> Vec<Property<Site, Request, Response>> {
    let mut properties = vec![
        invariants(INVARIANTS, three_phase_commit::invariants),
        eventually("NB: whoever is up has decided", all_decided),
        eventually_told("AC5: clients are told what is decided", is_as_told),
        sometimes("coordinator: not all have voted in time"),
        sometimes_in("a transaction is committed", |history| {
            has_answer(history, &Response::Committed)
        }),
        sometimes_in("a transaction is aborted", |history| has_answer(history, &Response::Aborted)),
    ];
    properties.extend(more);
    properties
}

fn has_answer(history: &History<Request, Response>, answer: &Response) -> bool {
    history.operations.iter().any(|one| one.outcome.output() == Some(answer))
}

/// One transaction in five is refused by a site.
pub(super) fn generate(operation: Invocation, draw: &mut Choices<'_>) -> Request {
    let refused_by = match draw.below(20) {
        site @ 0..4 if !operation.is_last() => Some(NodeId::new(site as u16)),
        _ => None,
    };
    Request { refused_by }
}

fn reply(response: Response) -> Reply<Response> {
    match response {
        Response::Elsewhere { coordinator } => Reply::Elsewhere(Some(coordinator)),
        decided => Reply::Done(decided),
    }
}

/// Whoever has decided has decided what the client was told.
fn is_as_told(sites: &[Option<&Site>], told: &[Told<'_, Request, Response>]) -> Result<(), String> {
    for one in told {
        let other = match one.output {
            Response::Committed => State::Aborted,
            _ => State::Committed,
        };
        let mut states = sites.iter().flatten().map(|site| site.state(one.request));
        if states.any(|state| state == Some(other)) {
            return Err(format!("{} is {other:?}; told was {:?}", one.request, one.output));
        }
    }
    Ok(())
}

fn all_decided(sites: &[Option<&Site>]) -> Result<(), String> {
    for (node, site) in NodeId::all(sites.len()).zip(sites) {
        let mut states = site.iter().flat_map(|site| site.states());
        if let Some((id, state)) = states.find(|(_, state): &(_, State)| !state.is_decided()) {
            return Err(format!("{node} is {state:?} in {id}"));
        }
    }
    Ok(())
}
