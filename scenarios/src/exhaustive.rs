//! Small clusters of the built-in protocols, every order of events of which is looked at.
//!
//! A sweep of the same scenarios draws its orders; here none is left, to the bounds that each
//! search states. Those that must find something broken are negative controls: a search that
//! does not see it sees nothing.

use crate::{bank, copied_register, paxos, raft_kv};
use seedfall::Scenario;
use seedfall::checkers::models::{KvInput, RegisterInput};
use seedfall::exhaustive::{Bounds, Exhaustive, Search};
use seedfall_protocols::paxos::{self as single_decree, Config as Quorums, Paxos};
use seedfall_protocols::raft::{self, Raft};
use seedfall_protocols::two_phase_commit::{self, Site};
use seedfall_sim::NodeId;

/// All of them.
pub fn all() -> Vec<Search> {
    let mut all = vec![
        Search::new(
            "paxos",
            "Two clients propose at two of three Paxos nodes, once each.",
            None,
            || synod(3, Quorums::majorities(3)),
        ),
        Search::new(
            "paxos-four",
            "Two clients propose at two of four Paxos nodes; the two others are alike.",
            None,
            || synod(4, Quorums::majorities(4)).alike(&[2, 3]),
        ),
        Search::new(
            "paxos-crash",
            "Two Paxos nodes, of which one crashes wherever it is, and comes back.",
            None,
            || synod(2, Quorums::majorities(2)).bounds(Bounds { crashes: 1, ..Bounds::NONE }),
        ),
        Search::new(
            "paxos-disjoint-quorums",
            "Four Paxos nodes of which two must promise and two accept: two values are chosen.",
            Some("P2b: what is chosen is proposed ever after"),
            || synod(4, Quorums { phase_1: 2, phase_2: 2, ..Quorums::majorities(4) }),
        ),
        Search::new(
            "2pc",
            "Three sites commit a transfer while another reads, and one of them crashes.",
            None,
            || transfer(Bounds { crashes: 1, ..Bounds::NONE }),
        ),
        Search::new(
            "copied-register",
            "Two nodes that copy a register to each other, and answer too early.",
            Some("linearizable"),
            || {
                Exhaustive::of(&copied_register::scenario())
                    .call(0, Some(0), RegisterInput::Write(1))
                    .call(1, None, RegisterInput::Read)
                    .call(1, None, RegisterInput::Read)
            },
        ),
    ];
    all.extend(of_raft());
    all
}

/// Those of Raft: one that is complete in a moment, and as far as bugs of real servers are away.
fn of_raft() -> [Search; 4] {
    [
        Search::new(
            "raft",
            "Three Raft nodes; two of their timers ring, and a write comes to one of them.",
            None,
            election,
        ),
        Search::new(
            "raft-deep",
            "Three Raft nodes to term 3, two writes, four timers: what bugs of real servers need.",
            None,
            || raft(&raft_kv::three()).within(to_term(3)),
        ),
        Search::new(
            "raft-snapshots",
            "The same, and every server takes a snapshot of each entry.",
            None,
            || raft(&with_snapshots()).within(to_term(3)),
        ),
        Search::new(
            "raft-reads",
            "The same to term 2, with two timers, and a read at another node for the second write.",
            None,
            || {
                let write = KvInput::Put { key: "x", value: "1".to_owned() };
                let bounds = Bounds { timers: 2, ..DEEP };
                watched(Exhaustive::of(&raft_kv::three()).call(0, Some(1), write), bounds)
                    .call(1, Some(0), KvInput::Get { key: "x" })
                    .within(to_term(2))
            },
        ),
    ]
}

/// Single-decree Paxos: two proposers, each at a node of its own.
fn synod(
    nodes: usize,
    config: Quorums,
) -> Exhaustive<Paxos, paxos::Input, paxos::Output, single_decree::Invariants> {
    let mut scenario = paxos::three();
    scenario.cluster.nodes = nodes;
    let scenario = Scenario { config, ..scenario };
    Exhaustive::of(&scenario)
        .call(0, Some(0), Some("a".to_owned()))
        .call(1, Some(1), Some("b".to_owned()))
        .watch(single_decree::invariants())
}

/// Two-phase commit: a transfer over two sites, and a read of both.
fn transfer(
    bounds: Bounds,
) -> Exhaustive<Site, bank::Input, bank::Output, two_phase_commit::Invariants> {
    let transfer = bank::Transfer { id: 1, from: 0, to: 1, amount: 5 };
    Exhaustive::of(&bank::presumed_abort())
        .call(0, None, bank::Input::Transfer(transfer))
        .call(1, None, bank::Input::Read(vec![0, 1]))
        .watch(two_phase_commit::invariants())
        .bounds(bounds)
}

type RaftSearch<M = (raft::Invariants, raft::Indices)> =
    Exhaustive<Raft, raft_kv::Input, raft_kv::Output, M>;

/// As far as bugs of real servers are away, to less than a gigabyte.
const DEEP: Bounds = Bounds { timers: 4, messages: 4, states: 20_000_000, ..Bounds::NONE };

/// Raft to term 2: who may lead, and what becomes of a write.
fn election() -> RaftSearch {
    let write = KvInput::Put { key: "x", value: "1".to_owned() };
    let bounds = Bounds { timers: 2, messages: 4, ..Bounds::NONE };
    let all = Exhaustive::of(&raft_kv::three()).call(0, Some(0), write);
    watched(all, bounds).within(to_term(2))
}

/// Two writes at one node.
fn raft(scenario: &Scenario<Raft, raft_kv::Input, raft_kv::Output>) -> RaftSearch {
    let write = |value: &str| KvInput::Put { key: "x", value: value.to_owned() };
    let all = Exhaustive::of(scenario).call(0, Some(0), write("1")).call(0, Some(0), write("2"));
    watched(all, DEEP)
}

fn watched<M>(search: RaftSearch<M>, bounds: Bounds) -> RaftSearch {
    search.watch((raft::invariants(), raft::indices())).bounds(bounds)
}

/// No further than this term.
fn to_term(last: u64) -> impl Fn(NodeId, &Raft) -> bool + 'static {
    move |_, node| node.term().0 <= last
}

/// Every entry that is applied is replaced by a snapshot.
fn with_snapshots() -> Scenario<Raft, raft_kv::Input, raft_kv::Output> {
    let mut scenario = raft_kv::three();
    scenario.config.snapshot_after = Some(1);
    scenario
}
