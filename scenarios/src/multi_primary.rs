//! A key-value store whose every replica takes writes, with two rules for conflicts.
//!
//! Story: clients look and write two keys at whichever replica they reach, each over what it was
//! shown last, while replicas are cut off, crash and come back, and their clocks show anything.
//! Concurrent writes stay as siblings until a client that was shown them writes one in their place.
//! Guards: W1 to W3 of the header, that a write replaces what its client was shown and nothing
//! else, and that all have received all in the end. Catches: `tests/planted/mpr-*`.
//!
//! If the last writer wins, acknowledged writes are lost (`multi-primary-lww` must find it); all
//! the same the replicas agree.

use seedfall::Property;
use seedfall::property::{
    Judgement, always, eventually, every_operation_completes, invariants, sometimes,
};
use seedfall::scenario::{Cluster, Expect, Horizon, Invocation, Reply, Scenario, Workload};
use seedfall::workload::Past;
use seedfall_checkers::History;
use seedfall_net::Delay;
use seedfall_protocols::kv::Text;
use seedfall_protocols::multi_primary::{self, Config, Replica, Request, Response, Rule};
use seedfall_protocols::quorum_kv::{VersionVector, Versions};
use seedfall_sim::{Choices, Duration, SortedMap, SystemModel, Timing};

/// Four replicas that keep siblings.
pub fn siblings() -> Scenario<Replica, Request, Versions> {
    let mut properties = properties();
    properties.extend([
        always(REPLACES, a_write_replaces_what_was_shown),
        sometimes("conflict: siblings"),
        sometimes("put: known already"),
        sometimes("gossip: another replica is behind"),
        sometimes("write: one before it is missing"),
    ]);
    Scenario {
        name: "multi-primary",
        story: "Four replicas take writes each by itself, and keep what is concurrent as siblings.",
        model: SystemModel { timing: Timing::Asynchronous, ..SystemModel::USUAL },
        cluster: Cluster { fewest: 2, ..Cluster::lan(4, 4) },
        config: Config { rule: Rule::Siblings, interval: Duration::millis(60) },
        workload: Workload {
            operations: 14,
            final_operations: 1,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(50) },
            ..Workload::remembering(generate, |_, input: &Request| input.clone(), reply)
        },
        faults: crate::MEASURED,
        horizon: Horizon::SHORT,
        properties,
        expect: Expect::Holds,
    }
}

/// A negative control: the last writer wins.
pub fn last_writer_wins() -> Scenario<Replica, Request, Versions> {
    let siblings = siblings();
    Scenario {
        name: "multi-primary-lww",
        story: "Four replicas take writes each by itself, and of concurrent ones keep the latest.",
        config: Config { rule: Rule::LastWriterWins, ..siblings.config },
        properties: properties(),
        expect: Expect::Violates {
            properties: &[NO_LOST_WRITE],
            because: "of two concurrent writes the one with the lower time is dropped, though its \
                      client was told that it is there (Kleppmann 2017, chapter 5, \"Last write \
                      wins\")",
        },
        ..siblings
    }
}

const NO_LOST_WRITE: &str = "no write is lost";
const REPLACES: &str = "a write replaces what its client was shown";

fn properties() -> Vec<Property<Replica, Request, Versions>> {
    vec![
        invariants(NO_LOST_WRITE, multi_primary::invariants),
        invariants("replicas with the same writes hold the same", multi_primary::agreement),
        eventually("all have the same writes", multi_primary::converged),
        every_operation_completes(),
    ]
}

/// A client writes over what it was shown of the key last, by whatever replica.
fn generate(
    operation: Invocation,
    past: &Past<'_, Request, Versions>,
    draw: &mut Choices<'_>,
) -> Request {
    let key: Text = ["x", "y"][draw.below(2) as usize].into();
    if draw.below(5) < 2 {
        return Request::Get { key };
    }
    let is_of_key = |input: &Request| match input {
        Request::Get { key: of } | Request::Put { key: of, .. } => *of == key,
    };
    let answers = past.operations().rev().filter(|one| is_of_key(&one.input));
    let last = answers.filter_map(|one| one.outcome.output()).next();
    let shown = last.map(Versions::context).unwrap_or_default();
    Request::Put { key, value: operation.to_string().into(), shown }
}

fn reply(response: Response) -> Reply<Versions> {
    Reply::Done(response.0)
}

/// From the answers alone: what a version says to replace is what its client handed over.
fn a_write_replaces_what_was_shown(history: &History<Request, Versions>) -> Judgement {
    let mut handed_over: SortedMap<&str, (&VersionVector, usize)> = SortedMap::new();
    for (index, operation) in history.operations.iter().enumerate() {
        if let Request::Put { value, shown, .. } = &operation.input {
            handed_over.insert(value, (shown, index));
        }
    }
    for (index, operation) in history.operations.iter().enumerate() {
        for version in operation.outcome.output().into_iter().flat_map(Versions::iter) {
            let value = version.value.as_deref().unwrap_or_default();
            let Some((shown, put)) = handed_over.get(value) else { continue };
            if version.past != **shown {
                let reason =
                    format!("{version:?} was written by a client that was shown {shown:?}");
                let core = vec![*put, index];
                return Judgement::Violated { reason, operation: Some(index), core };
            }
        }
    }
    Judgement::Holds
}
