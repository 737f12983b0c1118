//! Payments as sagas, under everything that their model permits.
//!
//! Story: two payers' accounts are debited, at the same time or one after the other, one payee is
//! credited (the pivot: a full account refuses) and then another (retriable). Accounts lie on
//! several services; four clients pay with them and read them. Messages are lost, doubled and late;
//! nodes are cut off, freeze and crash between any two effects, the orchestrator most of all. Then
//! all that stops. Guards: S1 to S7 of the protocol's header, and that every saga ends. Catches:
//! the `saga` patches of `tests/planted/`.
//!
//! [`orchestrated`] has one node that keeps the plans, [`choreographed`] none.
//! [`dirty_read`] is a negative control: it claims that nobody sees a payment that is taken back
//! later, which sagas do not give; [`semantic_lock`] claims the same, and rightly.

use seedfall::property::{Judgement, always, eventually, every_operation_completes};
use seedfall::property::{invariants, sometimes, sometimes_in};
use seedfall::scenario::{
    Cluster, Expect, Horizon, Invocation, OperationId, Reply, Scenario, Workload,
};
use seedfall::{Property, Swarm};
use seedfall_checkers::workloads::{self, SagaRun, StepEvent};
use seedfall_checkers::{History, Outcome};
use seedfall_net::Delay;
use seedfall_protocols::kv::Text;
use seedfall_protocols::saga::Outcome::{Compensated, Completed};
use seedfall_protocols::saga::choreographed::Service;
use seedfall_protocols::saga::ledger::Entry;
use seedfall_protocols::saga::orchestrated::{Node, Request, Response};
use seedfall_protocols::saga::{self, Books, Config, Isolation, Kind, Plan, SagaId, Step};
use seedfall_sim::{Choices, Duration, NodeId, Protocol, SortedMap, SystemModel};

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// Carry out a saga.
    Pay {
        /// Its number in the client's session.
        sequence: u64,
        /// What to do.
        plan: Plan,
    },
    /// Read an account.
    Read(Text),
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// How the saga ended.
    Ended(saga::Outcome),
    /// The effects that stand on the account.
    Standing(Vec<(SagaId, i64)>),
}

/// One orchestrator and three services.
pub fn orchestrated() -> Scenario<Node, Input, Output> {
    let mut properties = properties();
    properties.extend([
        sometimes("recovery: a saga goes on forward"),
        sometimes("recovery: a saga goes on backward"),
        sometimes("timeout: a step whose fate is unknown is compensated"),
        sometimes("backward: a compensation is asked for again"),
        sometimes("undo: before its step, it left a tombstone"),
        sometimes("do: behind its tombstone, it came to nothing"),
        sometimes("do: repeated, it had its one effect"),
        sometimes("undo: repeated, it had its one effect"),
        sometimes("do: refused, for the balance"),
        sometimes("run: a retry was answered without a second run"),
    ]);
    Scenario {
        name: "saga",
        story: "An orchestrator drives payments over three services, for four clients.",
        model: SystemModel::USUAL,
        cluster: Cluster::lan(4, 4),
        config: CONFIG,
        workload: workload(generate),
        faults: crate::MEASURED,
        horizon: Horizon { faults: Duration::secs(3), ..Horizon::SHORT },
        properties,
        expect: Expect::Holds,
    }
}

/// The same with accounts that are pending until their saga has ended.
pub fn semantic_lock() -> Scenario<Node, Input, Output> {
    let mut properties = properties();
    properties.extend([
        always("nobody reads what is taken back", no_dirty_read),
        sometimes("do: refused, as the account is pending"),
        sometimes("read: waits, as the account is pending"),
    ]);
    Scenario {
        name: "saga-semantic-lock",
        story: "As saga, and an account is pending as long as what landed may be taken back.",
        config: Config { isolation: Isolation::SemanticLock, ..CONFIG },
        properties,
        ..orchestrated()
    }
}

/// A negative control: without isolation somebody reads what is taken back.
pub fn dirty_read() -> Scenario<Node, Input, Output> {
    Scenario {
        name: "saga-dirty-read",
        story: "As saga, without faults, and the property that sagas do not have: isolation.",
        faults: Swarm::NONE,
        properties: vec![
            invariants("S1 to S6", saga::invariants),
            always("nobody reads what is taken back", no_dirty_read),
            every_operation_completes(),
        ],
        expect: Expect::Violates {
            properties: &["nobody reads what is taken back"],
            because: "sagas have no isolation: what a step did is seen before the saga is over \
                      (Garcia-Molina and Salem 1987, section 1)",
        },
        ..orchestrated()
    }
}

/// Three services that pass sagas on to each other.
pub fn choreographed() -> Scenario<Service, Input, Output> {
    let mut properties = properties();
    properties.extend([
        sometimes("outbox: an event is sent again"),
        sometimes("recovery: an event is sent again"),
        sometimes("advance: repeated, it had its one effect"),
        sometimes("advance: refused, for the balance"),
        sometimes("advance: behind its tombstone, it came to nothing"),
        sometimes("retreat: repeated, it had its one effect"),
        sometimes("timeout: the initiator cancels"),
        sometimes("cancel: before its step, it left a tombstone"),
        sometimes("cancel: too late, the saga is past its pivot"),
        sometimes("run: a retry was answered without a second run"),
    ]);
    Scenario {
        name: "saga-choreographed",
        story: "Three services pass payments on to each other, for four clients.",
        model: SystemModel::USUAL,
        cluster: Cluster::lan(3, 4),
        config: CONFIG,
        workload: workload(generate_sequence),
        faults: crate::MEASURED,
        horizon: Horizon { faults: Duration::secs(3), ..Horizon::SHORT },
        properties,
        expect: Expect::Holds,
    }
}

const CONFIG: Config = Config {
    isolation: Isolation::None,
    opening: 100,
    ceiling: 160,
    backoff_min: Duration::millis(30),
    backoff_max: Duration::millis(240),
    attempts: 4,
    flush_interval: Duration::millis(100),
};

const ACCOUNTS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// What clients do, whoever drives the sagas.
fn workload<P>(generate: fn(Invocation, &mut Choices<'_>) -> Input) -> Workload<P, Input, Output>
where
    P: Protocol<Request = Request, Response = Response>,
{
    Workload {
        operations: 12,
        final_operations: 2,
        think: Delay::Exponential { min: Duration::millis(5), mean: Duration::millis(60) },
        patience: Duration::millis(250),
        attempts: 3,
        ..Workload::short(generate, request, reply)
    }
}

fn properties<P: Protocol + Books + 'static>() -> Vec<Property<P, Input, Output>> {
    vec![
        invariants("S1 to S6", saga::invariants),
        eventually("L1 and S7: every saga ends whole or compensated, no money is lost", all_ended),
        every_operation_completes(),
        sometimes_in("a saga is completed", |history| have_ended(history, Completed)),
        sometimes_in("a saga is compensated", |history| have_ended(history, Compensated)),
    ]
}

fn have_ended(history: &History<Input, Output>, how: saga::Outcome) -> bool {
    history.operations.iter().any(|one| one.outcome.output() == Some(&Output::Ended(how)))
}

/// Two thirds payments, one third reads.
fn generate(operation: Invocation, draw: &mut Choices<'_>) -> Input {
    let first = draw.below(6) as usize;
    let distance = 1 + draw.below(5) as usize;
    let shape = draw.below(6);
    let amounts = draw.below(3_600);
    let account = |place: usize| Text::new_static(ACCOUNTS[place % 6]);
    if shape < 2 {
        return Input::Read(account(first));
    }
    // Four different accounts: two payers, two payees.
    let mut others = (0..6).filter(|place| *place != first && *place != (first + distance) % 6);
    let (payer, second_payer) = (account(first), account(first + distance));
    let (payee, second_payee) = (others.next(), others.next_back());
    let (payee, second_payee) =
        (account(payee.expect("four are left")), account(second_payee.expect("three are left")));
    let (one, other) = (i64::from(1 + amounts % 60), i64::from(1 + amounts / 60));
    let step = |kind, account, amount| Step { kind, account, amount };
    let debits =
        [step(Kind::Compensatable, payer, -one), step(Kind::Compensatable, second_payer, -other)];
    let mut stages = match shape {
        2 | 3 => vec![debits.to_vec()],
        _ => debits.map(|debit| vec![debit]).to_vec(),
    };
    stages.push(vec![step(Kind::Pivot, payee, one)]);
    stages.push(vec![step(Kind::Retriable, second_payee, other)]);
    Input::Pay { sequence: u64::from(operation.number) + 1, plan: Plan { stages } }
}

/// The same, one step after the other.
fn generate_sequence(operation: Invocation, draw: &mut Choices<'_>) -> Input {
    let mut input = generate(operation, draw);
    if let Input::Pay { plan, .. } = &mut input {
        let stages = std::mem::take(&mut plan.stages);
        plan.stages = stages.into_iter().flatten().map(|step| vec![step]).collect();
    }
    input
}

fn request(_: OperationId, input: &Input) -> Request {
    match input {
        Input::Pay { sequence, plan } => Request::Run { sequence: *sequence, plan: plan.clone() },
        Input::Read(account) => Request::Read(account.clone()),
    }
}

fn reply(response: Response) -> Reply<Output> {
    match response {
        Response::Ended(outcome) => Reply::Done(Output::Ended(outcome)),
        Response::Standing(effects) => Reply::Done(Output::Standing(effects)),
        Response::Elsewhere(node) => Reply::Elsewhere(Some(node)),
    }
}

/// Eventually: nothing is left to do, every saga of which anything landed is whole or compensated
/// (Garcia-Molina and Salem, section 2), and all that stands adds up to nothing.
fn all_ended<P: Books>(nodes: &[Option<&P>]) -> Result<(), String> {
    let mut runs: SortedMap<SagaId, SagaRun> = SortedMap::new();
    let mut change = 0;
    for (id, node) in NodeId::all(nodes.len()).zip(nodes) {
        let node = node.ok_or_else(|| format!("{id} is down"))?;
        if let Some(unfinished) = node.unfinished() {
            return Err(format!("{id}: {unfinished}"));
        }
        for (saga, plan, outcome) in node.outcomes() {
            let run = runs.entry(saga).or_insert_with(unknown);
            run.steps = plan.len() as u32;
            run.outcome = Some(match outcome {
                Completed => workloads::SagaOutcome::Completed,
                Compensated => workloads::SagaOutcome::Compensated,
            });
        }
        let Some(ledger) = node.ledger() else { continue };
        change += ledger.change();
        for entry in ledger.book() {
            let (saga, event) = match entry {
                Entry::Effect { saga, index, .. } => (saga, StepEvent::Effect(*index)),
                Entry::Compensation { saga, index, .. } => (saga, StepEvent::Compensation(*index)),
                Entry::Cancelled { .. } | Entry::Settled { .. } => continue,
            };
            runs.entry(*saga).or_insert_with(unknown).events.push(event);
        }
    }
    let (sagas, runs): (Vec<SagaId>, Vec<SagaRun>) = runs.into_iter().unzip();
    if let Some(breach) = workloads::saga(&runs).breaches.first() {
        let sagas = breach.operations.iter().map(|index| sagas[*index as usize]);
        return Err(format!(
            "{}: {:?}: {}",
            breach.rule,
            sagas.collect::<Vec<_>>(),
            breach.explanation
        ));
    }
    if change != 0 {
        return Err(format!("conservation: all accounts together changed by {change}"));
    }
    Ok(())
}

/// A saga of which nothing is known yet. Services write their books side by side, so the order over
/// all of them is not known.
fn unknown() -> SagaRun {
    SagaRun { steps: 0, is_sequential: false, events: Vec::new(), outcome: None }
}

/// Always: no reader sees an effect of a saga that ends compensated (G1a, a dirty read).
fn no_dirty_read(history: &History<Input, Output>) -> Judgement {
    let mut compensated = SortedMap::new();
    for (place, operation) in history.operations.iter().enumerate() {
        let ended = operation.outcome.output();
        if let (Input::Pay { sequence, .. }, Some(Output::Ended(Compensated))) =
            (&operation.input, ended)
        {
            compensated.insert((operation.client, *sequence), place);
        }
    }
    for (place, operation) in history.operations.iter().enumerate() {
        let Outcome::Ok { output: Output::Standing(effects), .. } = &operation.outcome else {
            continue;
        };
        let writer = effects
            .iter()
            .find_map(|(saga, _)| compensated.get(&(saga.client.index() as u32, saga.sequence)));
        if let Some(writer) = writer {
            return Judgement::Violated {
                reason: "a dirty read".to_owned(),
                operation: Some(place),
                core: vec![*writer, place],
            };
        }
    }
    Judgement::Holds
}
