//! A counter that three workers change under a lock, with leases and fencing tokens.
//!
//! Story (Kleppmann, "How to do distributed locking", 2016): a worker gets the lock, reads, and
//! falls silent: it is paused, or what it writes is long under way. Its lease runs out, another
//! worker gets the lock, reads and writes; then the first one's write arrives. The resource has
//! seen the second one's token, and refuses the first one's. Meanwhile the lock server crashes and
//! comes back not knowing who holds the lock, workers queue and are gone, and clocks drift. Guards:
//! the rules of fencing while the run goes on, that no update is lost, and that whoever asks after
//! the faults is answered. Catches: `tests/planted/lck-*`.
//!
//! A resource that does not look at the tokens loses updates (`lock-unfenced`): a lock alone, with
//! whatever leases, is not enough where messages and workers may be late.

use crate::raft_kv::CLOCKS;
use crate::raft_lease;
use seedfall::property::{
    every_operation_completes, invariants, linearizable, one_holder, sometimes,
};
use seedfall::scenario::{
    Cluster, Expect, Horizon, Invocation, OperationId, Reply, Scenario, Workload,
};
use seedfall::{Property, Swarm};
use seedfall_checkers::models::{Counter, CounterInput, CounterOutput};
use seedfall_checkers::workloads::{Hold, ResourceWrite, fencing};
use seedfall_net::Delay;
use seedfall_protocols::lock_service::{self, Config, Held, Node, Request, Response};
use seedfall_sim::{Choices, Clock, Duration, NodeId, SortedMap, SystemModel};

/// A lock server, a resource and three workers whose clocks are right.
pub fn leases() -> Scenario<Node, CounterInput, CounterOutput> {
    let mut properties = properties(|grants, accesses| judge(grants, accesses, true));
    properties.extend([
        sometimes("server: it waits out the leases of a life before"),
        sometimes("server: a lease has run out"),
        sometimes("server: who waited is gone"),
        sometimes("resource: a smaller token than it has seen"),
        sometimes("worker: its lease has run out"),
        sometimes("worker: the update was made before"),
    ]);
    Scenario {
        name: "lock-lease",
        story: "Three workers change a counter under a lock with leases and fencing tokens.",
        model: SystemModel::USUAL,
        cluster: Cluster { fewest: 4, ..Cluster::lan(5, 4) },
        config: Config {
            lease: Duration::millis(80),
            keep_alive: Duration::millis(25),
            retry: Duration::millis(30),
            drift: 0,
            fenced: true,
        },
        workload: Workload {
            operations: 16,
            final_operations: 1,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(30) },
            patience: Duration::millis(250),
            attempts: 4,
            ..Workload::short(generate, request, reply)
        },
        // Clocks that are wrong are for the other scenario.
        faults: Swarm { drifts: 0, clocks: 0, timers: 0, ..crate::MEASURED },
        horizon: Horizon { faults: Duration::secs(2), ..Horizon::SHORT },
        properties,
        expect: Expect::Holds,
    }
}

/// The same with clocks that drift as far as the leases allow, all the time: still no two workers
/// hold the lock at once. Messages are quick, so that the next one has it as soon as it may.
pub fn margin() -> Scenario<Node, CounterInput, CounterOutput> {
    let leases = leases();
    let mut properties = properties(|grants, accesses| judge(grants, accesses, false));
    properties.push(one_holder("one worker holds the lock", |node: &Node| match node {
        Node::Worker(worker) => worker.lease(),
        _ => None,
    }));
    properties.extend([
        sometimes("server: a lease has run out"),
        sometimes("server: the holder of a life before turns up"),
        sometimes("worker: its lease has run out"),
    ]);
    Scenario {
        name: "lock-lease-margin",
        story: "The same with clocks that drift as far as the leases allow.",
        cluster: Cluster { clocks: &APART, link: raft_lease::QUICK, ..leases.cluster },
        config: Config { drift: 50_000, ..leases.config },
        properties,
        ..leases
    }
}

/// The clocks of the server, the resource, and the workers: that of the server is fast, and waits
/// too little if it leaves no margin.
const APART: [Clock; 5] = [
    Clock { offset_nanos: 0, drift_ppm: 50_000 },
    Clock::TRUE,
    Clock { offset_nanos: Duration::secs(3_600).as_nanos(), drift_ppm: -50_000 },
    Clock { offset_nanos: 0, drift_ppm: -50_000 },
    Clock::TRUE,
];

/// The same with clocks that drift: only the tokens protect then, and they do.
pub fn drifting() -> Scenario<Node, CounterInput, CounterOutput> {
    let leases = leases();
    let mut properties = properties(|grants, accesses| judge(grants, accesses, false));
    properties.push(sometimes("resource: a smaller token than it has seen"));
    Scenario {
        name: "lock-lease-drift",
        story: "The same with clocks that are wrong and drift further than the leases allow.",
        cluster: Cluster { clocks: &CLOCKS, ..leases.cluster },
        config: Config { drift: 10_000, ..leases.config },
        faults: crate::MEASURED,
        properties,
        ..leases
    }
}

/// A negative control: the resource does not look at the tokens.
pub fn unfenced() -> Scenario<Node, CounterInput, CounterOutput> {
    let leases = leases();
    Scenario {
        name: "lock-unfenced",
        story: "Three workers change a counter under a lock with leases, and without tokens.",
        config: Config { fenced: false, ..leases.config },
        properties: properties(|grants, accesses| judge(grants, accesses, false)),
        expect: Expect::Violates {
            properties: &[FENCING, "linearizable"],
            because: "a worker cannot know that its write arrives while its lease lasts (Kleppmann \
                      2016, \"Protecting a resource with a lock\")",
        },
        ..leases
    }
}

const FENCING: &str = "the rules of leases and fencing tokens";

fn properties(judge: lock_service::Judge) -> Vec<Property<Node, CounterInput, CounterOutput>> {
    vec![
        invariants(FENCING, move || lock_service::invariants(judge)),
        linearizable(Counter { initial: 0 }),
        every_operation_completes(),
    ]
}

fn judge(
    grants: &SortedMap<(NodeId, u64), Held>,
    accesses: &[(NodeId, u64, bool)],
    is_exclusive: bool,
) -> Result<(), (&'static str, String)> {
    let hold = |((node, token), held): (&(NodeId, u64), &Held)| Hold {
        client: node.index() as u32 + 1,
        token: *token,
        asked: held.asked.as_nanos(),
        granted: held.granted.as_nanos(),
        until: held.until.as_nanos(),
    };
    // Of clocks that are wrong the order of grants cannot be told.
    let holds: Vec<Hold> = grants.iter().map(hold).collect();
    let write = |(node, token, is_accepted): &(NodeId, u64, bool)| ResourceWrite {
        client: node.index() as u32 + 1,
        token: *token,
        is_accepted: *is_accepted,
    };
    let writes: Vec<ResourceWrite> = accesses.iter().map(write).collect();
    let report = fencing(&holds, &writes, is_exclusive);
    let counts = |rule: &str| is_exclusive || rule != "token-order";
    match report.breaches.iter().find(|breach| counts(breach.rule)) {
        Some(breach) => Err((breach.rule, breach.explanation.clone())),
        None => Ok(()),
    }
}

fn generate(_: Invocation, draw: &mut Choices<'_>) -> CounterInput {
    match draw.below(5) {
        0 => CounterInput::Read,
        _ => CounterInput::AddAndRead(1),
    }
}

fn request(_: OperationId, input: &CounterInput) -> Request {
    match input {
        CounterInput::Read => Request { add: None },
        CounterInput::Add(add) | CounterInput::AddAndRead(add) => Request { add: Some(*add) },
    }
}

fn reply(response: Response) -> Reply<CounterOutput> {
    match response {
        Response::Value(value) => Reply::Done(CounterOutput::Value(value)),
        Response::Elsewhere(worker) => Reply::Elsewhere(Some(worker)),
    }
}
