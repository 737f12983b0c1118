//! With Seedfall: nodes as values, faults drawn from the seed, a checker of linearizability.

use seedfall::checkers::models::{Register, RegisterInput as In, RegisterOutput as Out};
use seedfall::prelude::*;
use seedfall::sweep::{Sweep, all_cores, sweep};
use std::collections::BTreeMap;

const FIRST: NodeId = NodeId::new(0);
const SECOND: NodeId = NodeId::new(1);

// begin service
#[derive(Clone, Debug, Hash)]
enum Message {
    Copy(u64, u64), // number, value
    Copied(u64),
}

#[derive(Default)]
struct Node {
    number: u64,
    value: u64,
    waiting: BTreeMap<u64, RequestId>,
}

impl Node {
    fn answer(&mut self, number: u64, ctx: &mut Context<Self>) {
        if let Some(request) = self.waiting.remove(&number) {
            ctx.respond(request, Some(Out::Done));
        }
    }
}

impl Protocol for Node {
    type Config = ();
    type Message = Message;
    type Timer = u64;
    type Record = ();
    type Request = In<u64>;
    type Response = Option<Out<u64>>; // `None`: ask the other node

    fn start(_: NodeId, _: &(), _: &[()], _: &mut Context<Self>) -> Self {
        Self::default()
    }

    fn on_request(&mut self, id: RequestId, body: In<u64>, ctx: &mut Context<Self>) {
        match body {
            In::Write(value) if ctx.id() == FIRST => {
                self.number += 1;
                self.waiting.insert(self.number, id);
                ctx.send(SECOND, Message::Copy(self.number, value));
                ctx.set_timer(self.number, Duration::millis(100));
            }
            In::Read if ctx.id() == SECOND => ctx.respond(id, Some(Out::Value(self.value))),
            _ => ctx.respond(id, None),
        }
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<Self>) {
        match message {
            Message::Copy(number, value) => {
                if self.number < number {
                    (self.number, self.value) = (number, value);
                }
                ctx.send(from, Message::Copied(number));
            }
            Message::Copied(number) => self.answer(number, ctx),
        }
    }

    fn on_timer(&mut self, number: u64, ctx: &mut Context<Self>) {
        self.answer(number, ctx); // The bug: nobody knows whether the second has it.
    }
}
// end service

// begin test
fn scenario() -> Scenario<Node, In<u64>, Out<u64>> {
    Scenario {
        name: "two-nodes",
        story: "The first node takes writes and copies them, the second answers reads.",
        model: SystemModel::USUAL,
        cluster: Cluster::lan(2, 2),
        config: (),
        workload: Workload {
            attempts: 1, // Nobody asks twice: it would do a write twice.
            ..Workload::short(
                |op, draw| if draw.below(2) == 0 { In::Read } else { In::Write(op.unique()) },
                |_, input| input.clone(),
                |answer: Option<_>| answer.map_or(Reply::Elsewhere(None), Reply::Done),
            )
        },
        // Its state is in memory, so nodes do not crash here.
        faults: Swarm { loss: Swarm::ALL.loss, partitions: Swarm::ALL.partitions, ..Swarm::NONE },
        horizon: Horizon::SHORT,
        properties: vec![linearizable(Register { initial: 0 })],
        expect: Expect::Holds,
    }
}
// end test

fn main() {
    let found = sweep(&scenario(), &Sweep::new(all_cores()), &|_| ());
    let failure = found.failures.first().expect("the bug is there");
    println!(
        "seedfall: seed {}, {} runs, {:.3} s",
        failure.seed.0,
        found.seeds,
        found.took.as_secs_f64()
    );
    println!(
        "{}",
        seedfall::testing::check_seed(&scenario(), failure.seed.0).expect_err("it fails")
    );
}
