//! The commands over scenarios of one's own, for campaigns: a register that is right, one that is
//! wrong and says so, and, if the environment asks for it, what a campaign must survive.
//!
//! `cargo run -p seedfall-cli --example campaign -- campaign run --seeds 1k`

use seedfall::prelude::*;
use seedfall::run::Runnable;

use models::{Register, RegisterInput as Ask, RegisterOutput as Answer};
use std::collections::BTreeSet;
use std::process::ExitCode;

/// Who answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Version {
    /// Each node, from its own copy: wrong.
    Copies,
    /// The first node alone.
    Primary,
}

const PRIMARY: NodeId = NodeId::new(0);

pub(crate) struct Node {
    id: NodeId,
    version: Version,
    value: u64,
    done: BTreeSet<RequestId>,
}

impl Protocol for Node {
    type Config = Version;
    type Message = u64;
    type Timer = ();
    type Record = (RequestId, u64);
    type Request = Ask<u64>;
    type Response = Option<Answer<u64>>;

    fn start(
        id: NodeId,
        version: &Version,
        journal: &[Self::Record],
        _: &mut Context<Self>,
    ) -> Self {
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
                ctx.sync();
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

pub(crate) fn scenario(
    name: &'static str,
    version: Version,
) -> Scenario<Node, Ask<u64>, Answer<u64>> {
    Scenario {
        name,
        story: "Three nodes keep a register for two clients.",
        model: SystemModel::USUAL,
        cluster: Cluster::lan(3, 2),
        config: version,
        workload: Workload::short(
            |op, draw| {
                // One operation in so many is what the environment says.
                if draw.below(1_500) == 0 {
                    die();
                }
                // Another machine, another value: what a run must not depend on.
                let more = if asked("CAMPAIGN_DIFFERS").is_empty() { 0 } else { 1 << 40 };
                if draw.below(2) == 0 { Ask::Read } else { Ask::Write(op.unique() + more) }
            },
            |_, ask| ask.clone(),
            |answer: Option<_>| answer.map_or(Reply::Elsewhere(Some(PRIMARY)), Reply::Done),
        ),
        faults: Swarm { timers: 0, ..Swarm::ALL },
        horizon: Horizon::SHORT,
        properties: vec![linearizable(Register { initial: 0 }), every_operation_completes()],
        expect: Expect::Holds,
    }
}

fn asked(name: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "a test says what is to go wrong")]
    std::env::var(name).unwrap_or_default()
}

/// What user code can do to the process that runs it.
fn die() {
    match asked("CAMPAIGN_DIES").as_str() {
        "abort" => std::process::abort(),
        "exit" => std::process::exit(0),
        // As the machine does to whoever eats up its memory.
        "kill" => {
            let own = std::process::id().to_string();
            let _ = std::process::Command::new("kill").args(["-9", &own]).status();
        }
        #[expect(clippy::disallowed_methods, reason = "a run that does not end")]
        "sleep" => std::thread::sleep(std::time::Duration::from_secs(3_600)),
        _ => {}
    }
}

#[allow(dead_code, reason = "tests take the scenarios, not the main")]
fn main() -> ExitCode {
    let mut scenarios: Vec<Box<dyn Runnable>> = vec![
        Box::new(scenario("steady", Version::Primary)),
        Box::new(Scenario {
            expect: Expect::violates(["linearizable"], "each node answers from its own copy"),
            ..scenario("copied", Version::Copies)
        }),
    ];
    if !asked("CAMPAIGN_FAILS").is_empty() {
        scenarios.push(Box::new(scenario("broken", Version::Copies)));
    }
    seedfall_cli::main(&scenarios)
}
