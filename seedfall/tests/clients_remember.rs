//! Clients that remember: whoever was granted a lock uses its token and gives the lock back, so the
//! history is that of a lock, and the model of one judges it.

use models::{Lock, LockInput as In, LockOutput as Out};
use seedfall::prelude::*;
use seedfall::testing::check_seeds;
use std::collections::BTreeMap;

/// A lock and the resource that it guards, on one node. Every answer is durable before it is given,
/// unless `forgets` says that a crash frees the lock.
struct Node {
    forgets: bool,
    holder: Option<u32>,
    granted: u64,
    accepted: u64,
    answers: BTreeMap<RequestId, Out>,
}

impl Protocol for Node {
    type Config = bool;
    type Message = ();
    type Timer = ();
    type Record = (RequestId, In, Out);
    type Request = In;
    type Response = Out;

    fn start(
        _: NodeId,
        forgets: &bool,
        journal: &[Self::Record],
        _: &mut Context<'_, Self>,
    ) -> Self {
        let answers = BTreeMap::new();
        let mut node = Self { forgets: *forgets, holder: None, granted: 0, accepted: 0, answers };
        for (request, input, answer) in journal {
            node.apply(*request, input, answer);
        }
        if node.forgets {
            node.holder = None;
        }
        node
    }

    fn on_request(&mut self, request: RequestId, input: In, ctx: &mut Context<'_, Self>) {
        if let Some(answer) = self.answers.get(&request) {
            return ctx.respond(request, answer.clone());
        }
        let answer = match &input {
            In::Acquire { .. } if self.holder.is_some() => Out::Busy,
            In::Acquire { .. } => Out::Granted { token: Some(self.granted + 1) },
            In::Release { owner } if self.holder == Some(*owner) => Out::Released,
            In::Release { .. } => Out::NotHeld,
            In::Guarded { token } if *token < self.accepted => Out::Rejected,
            In::Guarded { .. } => Out::Accepted,
        };
        self.apply(request, &input, &answer);
        ctx.append((request, input, answer.clone()));
        ctx.sync();
        ctx.respond(request, answer);
    }
}

impl Node {
    fn apply(&mut self, request: RequestId, input: &In, answer: &Out) {
        match (input, answer) {
            (In::Acquire { owner }, Out::Granted { token }) => {
                (self.holder, self.granted) = (Some(*owner), token.unwrap_or_default());
            }
            (In::Release { .. }, Out::Released) => self.holder = None,
            (In::Guarded { token }, Out::Accepted) => self.accepted = *token,
            _ => {}
        }
        self.answers.insert(request, answer.clone());
    }
}

/// A client acquires the lock until it has it, uses its token once or twice, and gives it back.
fn next(op: Invocation, past: &Past<'_, In, Out>, draw: &mut Choices<'_>) -> In {
    let owner = op.client.index() as u32;
    let granted =
        past.operations().rev().find_map(|one| match (&one.input, one.outcome.output()) {
            (In::Acquire { .. }, Some(Out::Granted { token })) => Some(*token),
            // Given back, for all that it knows.
            (In::Release { .. }, _) => Some(None),
            _ => None,
        });
    match granted.flatten() {
        None => In::Acquire { owner },
        Some(token) if draw.below(3) > 0 => In::Guarded { token },
        Some(_) => In::Release { owner },
    }
}

fn scenario(forgets: bool) -> Scenario<Node, In, Out> {
    Scenario {
        name: "lock",
        story: "Three clients take turns with a lock.",
        model: SystemModel::USUAL,
        cluster: Cluster::lan(1, 3),
        config: forgets,
        workload: Workload {
            operations: 20,
            ..Workload::remembering(next, |_, input| input.clone(), Reply::Done)
        },
        faults: Swarm { crashes: 2, loss: 50_000, ..Swarm::NONE },
        horizon: Horizon::SHORT,
        properties: vec![linearizable(Lock), every_operation_completes()],
        expect: Expect::Holds,
    }
}

#[test]
fn a_lock_is_judged_as_one_and_a_lock_that_a_crash_frees_is_found_out() {
    let report = Run::new(&scenario(false)).seed(3).run();
    assert!(report.completed > 40 && !report.failed(), "{:?}", report.conclusion());
    assert_eq!(check_seeds(&scenario(false), 0..300), Ok(()));
    let told = check_seeds(&scenario(true), 0..300).expect_err("two hold it");
    assert!(told.contains("always linearizable"), "{told}");
    assert!(told.contains("Release") || told.contains("Acquire"), "{told}");
}
