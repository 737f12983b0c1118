//! Three sites, the words of their tests, and AC1 to AC4 watched throughout.

use crate::by_hand::{Bench, N1, N2, N3, request};
use seedfall_protocols::kv::{Answer, Command};
use seedfall_protocols::two_phase_commit::{
    self, Config, Decision, Invariants, Life, Message, Presumption, Record, Request, Response,
    Site, TransactionId, Vote,
};
use seedfall_sim::{Duration, NodeId};

pub(crate) type Sites = Bench<Site, Invariants>;

/// A key of each site.
pub(crate) const K1: &str = "c";
pub(crate) const K2: &str = "a";
pub(crate) const K3: &str = "b";

pub(crate) const ALL: [NodeId; 3] = [N1, N2, N3];

pub(crate) fn config(presumption: Presumption) -> Config {
    Config {
        presumption,
        retry_interval: Duration::millis(40),
        attempts: 4,
        idle_timeout: Duration::millis(250),
        flush_interval: Duration::secs(60),
    }
}

pub(crate) fn sites(presumption: Presumption) -> Sites {
    let homes = [K1, K2, K3].map(|key| two_phase_commit::shard_of(key, 3));
    assert_eq!(homes, ALL, "each site has its key");
    Bench::watched(3, config(presumption), two_phase_commit::invariants())
}

pub(crate) fn get(key: &str) -> Command {
    Command::Get { key: key.into() }
}

pub(crate) fn put(key: &str, value: &str) -> Command {
    Command::Put { key: key.into(), value: value.into() }
}

pub(crate) fn cas(key: &str, expected: &str, value: &str) -> Command {
    Command::Cas { key: key.into(), expected: Some(expected.into()), value: value.into() }
}

/// Client c1 sends its request `sequence` to its coordinator: n1 for 3, n2 for 1, n3 for 2.
pub(crate) fn ask(sites: &mut Sites, sequence: u64, commands: &[Command]) -> TransactionId {
    let id = request(1, sequence as u32);
    let coordinator = two_phase_commit::coordinator_of(id.client, sequence, 3);
    let body = Request { sequence, commands: commands.to_vec() };
    sites.ask(coordinator, id, body);
    let mut sessions = sites.at(coordinator).sessions();
    let session = sessions.find(|session| session.sequence == sequence);
    session.expect("the request is known").transaction
}

/// Runs the transaction up to the votes: everybody has executed, and is asked.
pub(crate) fn execute(sites: &mut Sites, coordinator: NodeId, participants: &[NodeId]) {
    for participant in participants {
        sites.pass(coordinator, *participant);
        sites.pass(*participant, coordinator);
    }
}

pub(crate) fn value(sites: &Sites, node: NodeId, key: &str) -> Option<String> {
    sites.at(node).store().get(key).map(ToString::to_string)
}

pub(crate) fn committed(answers: usize) -> Response {
    Response::Committed(vec![Answer::Done; answers])
}

pub(crate) fn vote(transaction: TransactionId, vote: Vote) -> Message {
    vote_in(1, transaction, vote)
}

pub(crate) fn vote_in(life: Life, transaction: TransactionId, vote: Vote) -> Message {
    Message::Vote { transaction, life, vote }
}

pub(crate) fn decision(transaction: TransactionId, decision: Decision) -> Message {
    Message::Decision { transaction, decision }
}

/// The records that a site wrote since it started, by their names.
pub(crate) fn journal(sites: &Sites, node: NodeId) -> Vec<&'static str> {
    let name = |record: &Record| match record {
        Record::Started { .. } => "Started",
        Record::Collecting { .. } => "Collecting",
        Record::Committed { .. } => "Committed",
        Record::Aborted { .. } => "Aborted",
        Record::Ended { .. } => "Ended",
        Record::Prepared { .. } => "Prepared",
        Record::Decided { .. } => "Decided",
    };
    sites.journal(node).iter().map(name).collect()
}
