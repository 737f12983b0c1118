//! A protocol of one's own, simulated and for real: a register that one node keeps on its disk.
//!
//! ```console
//! $ cargo run -p seedfall-cli --features real --example serve -- sweep register
//! $ cargo run -p seedfall-cli --features real --example serve -- \
//!       serve register --id 1 --peers 1=127.0.0.1:7001 --data data
//! $ cargo run -p seedfall-cli --features real --example serve -- \
//!       client --peers 1=127.0.0.1:7001 write 7          # in another terminal
//! $ cargo run -p seedfall-cli --features real --example serve -- \
//!       chaos register --nodes 1 --for 10s
//! ```

use seedfall::checkers::models::{Register, RegisterInput as In, RegisterOutput as Out};
use seedfall::prelude::*;
use seedfall_real::service::{Service, Told};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

/// What a client asks. It goes over the wire as JSON, as everything does that leaves a node.
#[derive(Clone, Debug, Hash, Serialize, Deserialize)]
enum Ask {
    Read,
    Write(u64),
}

/// What it is told.
#[derive(Clone, Debug, Hash, Serialize, Deserialize)]
enum Answer {
    Value(u64),
    Done,
    /// Only the first node has the register.
    NotHere,
}

struct Kept(u64);

impl Protocol for Kept {
    type Config = ();
    type Message = ();
    type Timer = ();
    type Record = u64;
    type Request = Ask;
    type Response = Answer;

    fn start(_: NodeId, _: &(), journal: &[u64], _: &mut Context<Self>) -> Self {
        Self(journal.last().copied().unwrap_or(0))
    }

    fn on_request(&mut self, id: RequestId, ask: Ask, ctx: &mut Context<Self>) {
        match ask {
            _ if ctx.id() != NodeId::new(0) => ctx.respond(id, Answer::NotHere),
            Ask::Read => ctx.respond(id, Answer::Value(self.0)),
            Ask::Write(value) => {
                self.0 = value;
                ctx.append(value);
                ctx.sync(); // Before the answer: a crash forgets what is not synced.
                ctx.respond(id, Answer::Done);
            }
        }
    }
}

fn scenario() -> Scenario<Kept, In<u64>, Out<u64>> {
    Scenario {
        name: "register",
        story: "One node keeps a register on its disk, two clients use it.",
        model: SystemModel::USUAL,
        cluster: Cluster::lan(1, 2),
        config: (),
        // A write that is asked for again would be done again, over a later one: so nobody asks
        // twice. With the usual three attempts, a sweep tells that story.
        workload: Workload {
            attempts: 1,
            ..Workload::short(
                |op, draw| if draw.below(2) == 0 { In::Read } else { In::Write(op.unique()) },
                |_, input| match input {
                    In::Write(value) => Ask::Write(*value),
                    _ => Ask::Read,
                },
                |answer| match answer {
                    Answer::Value(value) => Reply::Done(Out::Value(value)),
                    Answer::Done => Reply::Done(Out::Done),
                    Answer::NotHere => Reply::Elsewhere(Some(NodeId::new(0))),
                },
            )
        },
        // Of these those that one node can meet; no message goes from node to node.
        faults: Swarm { crashes: Swarm::ALL.crashes, pauses: Swarm::ALL.pauses, ..Swarm::NONE },
        horizon: Horizon::SHORT,
        properties: vec![linearizable(Register { initial: 0 }), every_operation_completes()],
        expect: Expect::Holds,
    }
}

/// How the command line asks and is told.
fn service() -> Service<Kept, In<u64>, Out<u64>> {
    Service {
        name: "register",
        about: "a register that node 1 keeps",
        usage: "read\nwrite NUMBER",
        config: (),
        parse: |words, _| match words {
            ["read"] => Ok(Ask::Read),
            ["write", number] => {
                number.parse().map(Ask::Write).map_err(|_| format!("`{number}` is not a number"))
            }
            _ => Err("expected `read` or `write NUMBER`".to_owned()),
        },
        tell: |answer| match answer {
            Answer::Value(value) => Told::Done(value.to_string()),
            Answer::Done => Told::Done("done".to_owned()),
            Answer::NotHere => Told::Elsewhere(Some(NodeId::new(0))),
        },
        scenario,
    }
}

fn main() -> ExitCode {
    seedfall_cli::main_with_services(&[Box::new(scenario())], &[Box::new(service())])
}
