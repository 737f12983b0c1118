//! Your own protocol, tested in thirty lines of scenario: a register that is copied to every node.
//!
//! It looks right and is wrong: a node answers as soon as it has stored a value itself, before the others have it, so a
//! client that asks elsewhere reads the past. `cargo run --example own_protocol` sweeps until it sees that.

use seedfall::checkers::models::{Register, RegisterInput, RegisterOutput};
use seedfall::net::{Delay, LinkModel, Order};
use seedfall::sim::{
    Context, Duration, Links, NodeId, Nodes, Protocol, RequestId, SystemModel, Timing,
};
use seedfall::{Cluster, Expect, Horizon, Reply, Scenario, Swarm, Workload};

struct Copied(u64);

impl Protocol for Copied {
    type Config = ();
    type Message = u64;
    type Timer = ();
    type Record = ();
    type Request = RegisterInput<u64>;
    type Response = RegisterOutput<u64>;

    fn start(_: NodeId, (): &(), _: &[()], _: &mut Context<'_, Self>) -> Self {
        Self(0)
    }
    fn on_request(&mut self, id: RequestId, body: RegisterInput<u64>, ctx: &mut Context<'_, Self>) {
        match body {
            RegisterInput::Write(value) => {
                self.0 = value;
                ctx.broadcast(value);
                ctx.respond(id, RegisterOutput::Done);
            }
            _ => ctx.respond(id, RegisterOutput::Value(self.0)),
        }
    }
    fn on_message(&mut self, _: NodeId, value: u64, _: &mut Context<'_, Self>) {
        self.0 = value;
    }
    fn on_timer(&mut self, (): (), _: &mut Context<'_, Self>) {}
}

fn scenario() -> Scenario<Copied, RegisterInput<u64>, RegisterOutput<u64>> {
    let ms = Duration::millis;
    let delay = Delay::Uniform { min: ms(1), max: ms(10) };
    Scenario {
        name: "copied-register",
        story: "Three nodes copy a register to each other; two clients write and read it.",
        model: SystemModel {
            links: Links::FairLoss,
            nodes: Nodes::CrashRecovery,
            timing: Timing::Asynchronous,
        },
        cluster: Cluster {
            nodes: 3,
            clients: 2,
            link: LinkModel { delay, loss: 0, duplicate: 0, order: Order::Free },
        },
        config: (),
        workload: Workload {
            operations: 10,
            closing: 1,
            think: delay,
            patience: ms(100),
            attempts: 3,
            generate: |operation, draw| match draw.below(2) {
                0 => RegisterInput::Read,
                _ => RegisterInput::Write(
                    u64::from(operation.number) * 2 + operation.client.index() as u64 + 1,
                ),
            },
            request: |_, input| input.clone(),
            reply: Reply::Done,
        },
        faults: Swarm::NONE,
        horizon: Horizon { faults: ms(500), settle: ms(500), events: 10_000 },
        promises: vec![
            seedfall::linearizable(Register { initial: 0 }),
            seedfall::every_operation_completes(),
        ],
        expect: Expect::Holds,
    }
}

#[test]
fn copied_register_is_linearizable() {
    seedfall::check(scenario());
}

fn main() -> std::process::ExitCode {
    seedfall::cli::main(&[Box::new(scenario())])
}
