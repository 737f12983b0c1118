//! A negative control: a register that is copied to every node, and is not linearizable.
//!
//! Story: a node that is asked to write stores the value, tells the others, and answers at once.
//! Until the others have heard of it, a client that asks them reads the past; two concurrent writes
//! may even end up in different orders on different nodes, for good. It looks like replication, and
//! it is what asynchronous replication gives. A simulator and a checker that do not see this see
//! nothing, so the sweep fails if this property is *kept*.

use seedfall::checkers::models::{Register, RegisterInput, RegisterOutput};
use seedfall::sim::{Context, NodeId, Protocol, RequestId, SystemModel};
use seedfall::{Cluster, Expect, Horizon, Reply, Scenario, Swarm, Workload};

/// A copy of the register.
#[derive(Clone, Debug, Hash)]
pub struct Copied(u64);

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
        if let RegisterInput::Write(value) = body {
            self.0 = value;
            ctx.broadcast(value);
            ctx.respond(id, RegisterOutput::Done);
        } else {
            ctx.respond(id, RegisterOutput::Value(self.0));
        }
    }

    fn on_message(&mut self, _: NodeId, value: u64, _: &mut Context<'_, Self>) {
        self.0 = value;
    }

    fn on_timer(&mut self, (): (), _: &mut Context<'_, Self>) {}
}

/// The scenario.
pub fn scenario() -> Scenario<Copied, RegisterInput<u64>, RegisterOutput<u64>> {
    Scenario {
        name: "copied-register",
        story: "Three nodes copy a register to each other without waiting; two clients use it.",
        model: SystemModel::USUAL,
        cluster: Cluster::lan(3, 2),
        config: (),
        workload: Workload::short(
            |operation, draw| match draw.below(2) {
                0 => RegisterInput::Read,
                _ => RegisterInput::Write(operation.unique()),
            },
            |_, input| input.clone(),
            Reply::Done,
        ),
        faults: Swarm::NONE,
        horizon: Horizon::SHORT,
        properties: vec![
            seedfall::linearizable(Register { initial: 0 }),
            seedfall::every_operation_completes(),
        ],
        expect: Expect::Violates {
            properties: &["linearizable"],
            because: "a write is answered before its copies have arrived, so another node still \
                      answers with the value before it",
        },
    }
}
