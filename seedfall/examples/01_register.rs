//! 01: a register that is wrong, then right.
//!
//! You learn: what a protocol, a scenario and a test look like, and what a failure says.
//!
//! Three nodes keep one number for two clients. At first each answers reads from its own copy; then
//! the first node alone answers, and what it answers is durable.
//!
//! `cargo run -p seedfall --example 01_register` shows the failure; `cargo test` runs both tests.

#![allow(clippy::print_stdout, reason = "an example prints")]

use seedfall::prelude::*;

use models::{Register, RegisterInput as Ask, RegisterOutput as Answer};
use std::collections::BTreeSet;

/// How the nodes go about it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Version {
    /// Each has a copy, and answers from it.
    Copies,
    /// The first answers, and the others say so.
    Primary,
}

/// The node that answers, where only one does.
const PRIMARY: NodeId = NodeId::new(0);

/// A node.
pub(crate) struct Node {
    id: NodeId,
    version: Version,
    value: u64,
    /// Writes that are done: a client that hears nothing asks again.
    done: BTreeSet<RequestId>,
}

impl Protocol for Node {
    type Config = Version;
    /// What the register holds now.
    type Message = u64;
    type Timer = ();
    /// A write that is done.
    type Record = (RequestId, u64);
    type Request = Ask<u64>;
    /// `None`: another node knows.
    type Response = Option<Answer<u64>>;

    fn start(
        id: NodeId,
        version: &Version,
        journal: &[Self::Record],
        _: &mut Context<Self>,
    ) -> Self {
        // Nothing survives a crash but the journal.
        let value = journal.last().map_or(0, |(_, value)| *value);
        let done = journal.iter().map(|(request, _)| *request).collect();
        Self { id, version: *version, value, done }
    }

    fn on_request(&mut self, request: RequestId, ask: Ask<u64>, ctx: &mut Context<Self>) {
        if matches!(self.version, Version::Primary) && self.id != PRIMARY {
            return ctx.respond(request, None);
        }
        match ask {
            Ask::Write(value) if self.done.insert(request) => {
                self.value = value;
                ctx.append((request, value));
                ctx.sync(); // Durable, before anybody hears of it.
                ctx.broadcast(value);
                ctx.respond(request, Some(Answer::Done));
            }
            Ask::Read => ctx.respond(request, Some(Answer::Value(self.value))),
            _ => ctx.respond(request, Some(Answer::Done)),
        }
    }

    fn on_message(&mut self, _: NodeId, value: u64, _: &mut Context<Self>) {
        self.value = value;
    }
}

/// Three nodes and two clients, who read and write, under every fault of the usual model: messages
/// are lost, doubled and late, links are cut, nodes crash and come back.
pub(crate) fn scenario(version: Version) -> Scenario<Node, Ask<u64>, Answer<u64>> {
    Scenario {
        name: "register",
        story: "Three nodes keep a register for two clients.",
        model: SystemModel::USUAL,
        cluster: Cluster::lan(3, 2),
        config: version,
        workload: Workload::short(
            |op, draw| if draw.below(2) == 0 { Ask::Read } else { Ask::Write(op.unique()) },
            |_, ask| ask.clone(),
            |answer: Option<_>| answer.map_or(Reply::Elsewhere(Some(PRIMARY)), Reply::Done),
        ),
        faults: Swarm { timers: 0, ..Swarm::ALL }, // All but wrong timers: there are none.
        horizon: Horizon::SHORT,
        properties: vec![linearizable(Register { initial: 0 }), every_operation_completes()],
        expect: Expect::Holds,
    }
}

/// Each copy answers as it likes: found in the first seeds, and told.
#[test]
fn copies_are_not_linearizable() {
    let why = seedfall::testing::check_seeds(&scenario(Version::Copies), 0..500);
    assert!(why.expect_err("it fails").contains("always linearizable"));
}

/// What a test of one's own looks like: one line.
#[test]
fn a_primary_is_linearizable() {
    check(scenario(Version::Primary));
}

#[allow(dead_code, reason = "others take the scenario, not the main")]
fn main() {
    for version in [Version::Copies, Version::Primary] {
        match seedfall::testing::check_seeds(&scenario(version), 0..500) {
            Ok(()) => println!("{version:?}: 500 seeds, every property holds"),
            Err(failure) => println!("{version:?}:\n{failure}\n"),
        }
    }
}
