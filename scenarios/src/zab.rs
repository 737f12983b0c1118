//! A small `ZooKeeper` on Zab, under everything that its model permits.
//!
//! Story: clients make, set, read, watch and delete a few znodes, some of them ephemeral, and end
//! their sessions; they read at whichever server they meet. Leaders are cut off and replaced,
//! followers fall behind and come back with what nobody else has. Guards: Z1 to Z5 of the header
//! while the run goes on; that updates are linearizable and reads sequentially consistent, of which
//! the zxids that clients are told are the witness; that sessions end; that operations complete.
//! Catches: `tests/planted/zab-*`.
//!
//! Reads are local, and may be old (`zab-stale-reads` must find one).

mod znodes;

use crate::raft_kv::CLOCKS;
use seedfall::property::{
    Judgement, always, eventually, every_operation_completes, invariants, sometimes,
};
use seedfall::scenario::{Cluster, Expect, Horizon, OperationId, Reply, Scenario, Workload};
use seedfall::workload::Past;
use seedfall::{Invocation, Property};
use seedfall_checkers::{History, Operation as Called};
use seedfall_net::Delay;
use seedfall_protocols::kv::Text;
use seedfall_protocols::zab::{self, Answer, Config, Operation, Request, Response, Server, Zxid};
use seedfall_sim::{Choices, ClientId, Duration, NodeId, SystemModel};
use znodes::follow_from_transactions;

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Told {
    /// The answer.
    pub answer: Answer,
    /// Of an update its transaction, of a read the last that the server had delivered.
    pub zxid: Zxid,
}

/// Three servers.
pub fn three() -> Scenario<Server, Operation, Told> {
    Scenario {
        name: "zab",
        story: "Three servers of a small ZooKeeper, under every fault of the model.",
        model: SystemModel::USUAL,
        cluster: Cluster { clocks: &CLOCKS, fewest: 3, ..Cluster::lan(3, 4) },
        config: Config {
            interval: Duration::millis(20),
            decide_after: Duration::millis(10),
            timeout: Duration::millis(80),
            session_timeout: Duration::millis(400),
            snapshot_after: 6,
        },
        workload: workload(),
        faults: crate::MEASURED,
        horizon: Horizon { faults: Duration::secs(3), ..Horizon::SHORT },
        properties: properties([
            sometimes("synchronisation: by a snapshot"),
            sometimes("session: its client is silent"),
        ]),
        expect: Expect::Holds,
    }
}

/// Five servers: room for histories that differ.
pub fn five() -> Scenario<Server, Operation, Told> {
    Scenario {
        name: "zab-5",
        story: "Five servers of a small ZooKeeper, which keep all of their history.",
        cluster: Cluster { fewest: 3, ..Cluster::lan(5, 4) },
        config: Config { snapshot_after: 1_000, ..three().config },
        horizon: Horizon { faults: Duration::secs(2), ..Horizon::SHORT },
        properties: properties([]),
        ..three()
    }
}

/// A negative control: what is not claimed of reads.
pub fn stale_reads() -> Scenario<Server, Operation, Told> {
    let mut properties = properties([]);
    properties.retain(|property| !property.is_sometimes());
    properties.push(always(RECENT, are_reads_recent));
    Scenario {
        name: "zab-stale-reads",
        story: "Three servers of a small ZooKeeper, whose reads are wrongly thought linearizable.",
        properties,
        expect: Expect::Violates {
            properties: &[RECENT],
            because: "a server answers reads by itself, and may be behind the others (Hunt et al. \
                      2010, section 2.3: reads may return stale data)",
        },
        ..three()
    }
}

const RECENT: &str = "reads are linearizable";

fn workload() -> Workload<Server, Operation, Told> {
    Workload {
        operations: 14,
        final_operations: 2,
        think: Delay::Exponential { min: Duration::millis(2), mean: Duration::millis(60) },
        patience: Duration::millis(200),
        attempts: 4,
        ..Workload::remembering(generate, request, reply)
    }
}

fn properties<const N: usize>(
    more: [Property<Server, Operation, Told>; N],
) -> Vec<Property<Server, Operation, Told>> {
    let mut properties = vec![
        invariants("the invariants of Zab", zab::invariants),
        always("S1: updates are linearizable", are_updates_linearizable),
        always("S2: reads are sequentially consistent", are_reads_consistent),
        always("S3: what was closed is gone", are_sessions_over),
        always("S4: answers follow from the transactions", follow_from_transactions),
        every_operation_completes(),
        eventually("L2: no ephemeral znode outlives its client", no_ephemeral_is_left),
        sometimes("election: a later round"),
        sometimes("election: the quorum is gone"),
        sometimes("election: joins a leader that others have"),
        sometimes("timeout: a leader or a quorum is silent"),
        sometimes("discovery: a follower has a better history"),
        sometimes("discovery: a leader steps down for a later epoch"),
        sometimes("discovery: a follower had agreed to this epoch before"),
        sometimes("synchronisation: what the leader does not have is cut off"),
        sometimes("synchronisation: a follower comes to an epoch that has begun"),
        sometimes("broadcast: no quorum follows any more"),
        sometimes("update: a retry has no second effect"),
        sometimes("read: this server is behind what the client has seen"),
        sometimes("watch: a znode has changed"),
    ];
    properties.extend(more);
    properties
}

const PATHS: [&str; 4] = ["/a", "/b", "/a/x", "/b/y"];

/// Mostly reads and updates of few znodes. Nobody waits for a change, or leaves an ephemeral znode
/// behind, at the end.
fn generate(
    operation: Invocation,
    past: &Past<'_, Operation, Told>,
    draw: &mut Choices<'_>,
) -> Operation {
    let path: Text = PATHS[draw.below(PATHS.len() as u32) as usize].into();
    let data: Text = operation.to_string().into();
    let seen = || {
        let told = past.operations().filter_map(|one| one.outcome.output());
        told.map(|told| told.zxid).max().unwrap_or_default()
    };
    match draw.below(100) {
        35..43 if !operation.is_final() => Operation::Watch { path, seen: seen() },
        0..43 => Operation::Get { path, seen: seen() },
        43..63 => Operation::Set { path, data },
        63..85 => {
            let ephemeral = draw.below(3) == 0;
            Operation::Create { path, data, ephemeral }
        }
        85..94 => Operation::Delete { path },
        _ => Operation::Close,
    }
}

fn request(_: OperationId, input: &Operation) -> Request {
    Request(input.clone())
}

fn reply(response: Response) -> Reply<Told> {
    match response {
        Response::Elsewhere(whom) => Reply::Elsewhere(whom),
        Response::Done { answer, zxid } => Reply::Done(Told { answer, zxid }),
    }
}

/// An operation that was answered: its index, itself, when its answer came, and what it was told.
type Answered<'a> = (usize, &'a Called<Operation, Told>, u64, &'a Told);

fn answered(history: &History<Operation, Told>) -> impl Iterator<Item = Answered<'_>> {
    history.operations.iter().enumerate().filter_map(|(index, one)| {
        Some((index, one, one.outcome.returned()?, one.outcome.output()?))
    })
}

/// The order of the transactions is that of a linearization: one that ends before another begins
/// comes first, and each is one update's.
fn are_updates_linearizable(history: &History<Operation, Told>) -> Judgement {
    let mut updates: Vec<_> = answered(history).filter(|one| one.1.input.is_update()).collect();
    updates.sort_unstable_by_key(|(.., told)| told.zxid);
    if let Some(two) = updates.windows(2).find(|two| two[0].3.zxid == two[1].3.zxid) {
        return Judgement::violated("two updates are one transaction")
            .at(two[1].0)
            .with(&[two[0].0]);
    }
    let mut earliest: Option<(u64, usize)> = None; // Of those behind: which returned first.
    for (index, one, returned, _) in updates.iter().rev() {
        if let Some((_, other)) = earliest.filter(|(before, _)| *before < one.call) {
            let why = "an update that began after another has an earlier transaction";
            return Judgement::violated(why).at(*index).with(&[other]);
        }
        if earliest.is_none_or(|(before, _)| *returned < before) {
            earliest = Some((*returned, *index));
        }
    }
    Judgement::Holds
}

/// The order of the transactions, with each read after the one that it was told, is one in which
/// each client's operations have their order, and reads return what was set last.
fn are_reads_consistent(history: &History<Operation, Told>) -> Judgement {
    let mut latest: Vec<(Zxid, usize)> = Vec::new();
    for (index, one, _, told) in answered(history) {
        let client = one.client as usize;
        if latest.len() <= client {
            latest.resize(client + 1, Default::default());
        }
        let (seen, before) = latest[client];
        let is_behind = told.zxid < seen || (told.zxid == seen && one.input.is_update());
        if is_behind {
            let why = format!("its client had seen {seen:?}, and now {:?}", told.zxid);
            return Judgement::violated(why).at(index).with(&[before]);
        }
        latest[client] = (told.zxid, index);
    }
    let changes: Vec<_> = answered(history).filter(|one| one.3.answer == Answer::Done).collect();
    for read in answered(history) {
        if let (Operation::Get { path, .. }, Answer::Node(Some(_))) =
            (&read.1.input, &read.3.answer)
            && let Some((why, other)) = contradicts(read, path, &changes, history)
        {
            return Judgement::violated(why).at(read.0).with(&[other]);
        }
    }
    Judgement::Holds
}

/// Why a read cannot have seen this znode, and which operation says so.
fn contradicts(
    (index, _, _, told): Answered<'_>,
    path: &Text,
    changes: &[Answered<'_>],
    history: &History<Operation, Told>,
) -> Option<(&'static str, usize)> {
    let Answer::Node(Some(znode)) = &told.answer else { return None };
    if told.zxid < znode.modified {
        return Some(("it was set by a transaction after the last one", index));
    }
    for (other, one, _, by) in changes {
        let data = match &one.input {
            Operation::Set { path: of, data } if of == path => Some(data),
            Operation::Create { path: of, data, .. } if of == path => Some(data),
            Operation::Delete { path: of } if of == path => None,
            _ => continue,
        };
        if znode.modified < by.zxid && by.zxid <= told.zxid {
            return Some(("an update before it is not seen", *other));
        }
        if znode.modified == by.zxid && data != Some(&znode.data) {
            return Some(("that transaction is another update's", *other));
        }
    }
    let sets = |one: &Called<Operation, Told>| match &one.input {
        Operation::Set { path: of, data } | Operation::Create { path: of, data, .. } => {
            of == path && *data == znode.data
        }
        _ => false,
    };
    (!history.operations.iter().any(sets)).then_some(("nobody has set this", index))
}

/// After a session was closed, nobody sees a znode of it.
fn are_sessions_over(history: &History<Operation, Told>) -> Judgement {
    for (close, one, _, closed) in answered(history) {
        if one.input != Operation::Close {
            continue;
        }
        let client = Some(ClientId::new(one.client as u16));
        let outlives = |one: &Answered<'_>| match &one.3.answer {
            Answer::Node(Some(znode)) => {
                znode.owner == client && znode.created < closed.zxid && closed.zxid <= one.3.zxid
            }
            _ => false,
        };
        if let Some((index, ..)) = answered(history).find(outlives) {
            return Judgement::violated("it is of a session that was over")
                .at(index)
                .with(&[close]);
        }
    }
    Judgement::Holds
}

/// What linearizability would ask of reads.
fn are_reads_recent(history: &History<Operation, Told>) -> Judgement {
    let updates: Vec<_> = answered(history).filter(|one| one.1.input.is_update()).collect();
    for (index, one, _, told) in answered(history) {
        let missed = updates.iter().find(|(_, update, returned, by)| {
            !one.input.is_update()
                && *returned < one.call
                && told.zxid < by.zxid
                && update.client != one.client
        });
        if let Some((update, ..)) = missed {
            let why = "an update that was over before it began is not seen";
            return Judgement::violated(why).at(index).with(&[*update]);
        }
    }
    Judgement::Holds
}

fn no_ephemeral_is_left(servers: &[Option<&Server>]) -> Result<(), String> {
    for (node, server) in NodeId::all(servers.len()).zip(servers) {
        if let Some(owner) = server.and_then(|server| server.tree().owners().next()) {
            return Err(format!("{node} has an ephemeral znode of {owner}"));
        }
    }
    Ok(())
}
