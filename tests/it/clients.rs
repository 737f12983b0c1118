//! Workloads as users write them: closures that capture, any number of choices for one operation,
//! and operations that need not complete.

use seedfall::checkers::History;
use seedfall::sim::{
    Choices, ClientId, Context, DrawAddress, Duration, NodeId, Override, Protocol, RequestId, Seed,
    Site, SystemModel,
};
use seedfall::{
    Cluster, Conclusion, Expect, FailureKind, Horizon, Invocation, Judgement, OperationId,
    Property, Reply, Report, Runnable, Scenario, Swarm, Trial, Workload, always, eventually,
    every_operation_completes,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// A node that answers each request with its length, or, if it is mute, not at all.
struct Measure {
    mute: bool,
}

impl Protocol for Measure {
    type Config = bool;
    type Message = ();
    type Timer = ();
    type Record = ();
    type Request = Vec<u32>;
    type Response = usize;

    fn start(_: NodeId, mute: &bool, _: &[()], _: &mut Context<'_, Self>) -> Self {
        Self { mute: *mute }
    }
    fn on_message(&mut self, _: NodeId, (): (), _: &mut Context<'_, Self>) {}
    fn on_timer(&mut self, (): (), _: &mut Context<'_, Self>) {}
    fn on_request(&mut self, id: RequestId, body: Vec<u32>, ctx: &mut Context<'_, Self>) {
        match self.mute {
            true => ctx.ignore("mute"),
            false => ctx.respond(id, body.len()),
        }
    }
}

type Measured = Workload<Measure, Vec<u32>, usize>;

fn scenario(mute: bool, workload: Measured) -> Scenario<Measure, Vec<u32>, usize> {
    Scenario {
        name: "measure",
        story: "One node measures what two clients send.",
        model: SystemModel::USUAL,
        cluster: Cluster::lan(1, 2),
        config: mute,
        workload,
        faults: Swarm::NONE,
        horizon: Horizon::SHORT,
        properties: vec![always("measured rightly", |history: &History<Vec<u32>, usize>| {
            let wrong = history.operations.iter().position(|operation| {
                operation.outcome.output().is_some_and(|length| *length != operation.input.len())
            });
            match wrong {
                None => Judgement::Holds,
                Some(place) => Judgement::Violated {
                    reason: "another length".to_owned(),
                    operation: Some(place),
                    core: vec![place],
                },
            }
        })],
        expect: Expect::Holds,
    }
}

/// What was drawn for each operation.
type Drawn = BTreeMap<OperationId, Vec<u32>>;

/// Runs a workload that draws `count` numbers below 1,000 for each operation, and says which.
fn drawn(count: usize, trial: Trial) -> (Drawn, Report) {
    let drawn = Arc::new(Mutex::new(Drawn::new()));
    let notes = Arc::clone(&drawn);
    let generate = move |invocation: Invocation, draw: &mut Choices<'_>| {
        let numbers: Vec<u32> = (0..count).map(|_| draw.below(1_000)).collect();
        notes.lock().expect("nobody panics").insert(invocation.id(), numbers.clone());
        numbers
    };
    let workload = Workload::short(generate, |_, numbers| numbers.clone(), Reply::Done);
    let report = scenario(false, workload).run(&Trial { log_draws: true, ..trial });
    assert_eq!(report.conclusion(), Conclusion::Passed);
    let drawn = std::mem::take(&mut *drawn.lock().expect("nobody panics"));
    (drawn, report)
}

#[test]
fn an_operation_may_draw_a_thousand_values_and_a_replay_draws_the_same() {
    let (one, report) = drawn(1_000, Trial::of(Seed(1)));
    assert_eq!((one.len(), one.values().flatten().count()), (22, 22_000));
    let (replayed, again) = drawn(1_000, Trial::of(Seed(1)));
    assert_eq!((replayed, again.hash), (one.clone(), report.hash));
    assert_ne!(drawn(1_000, Trial::of(Seed(2))).0, one);
    // The first four are those that there were when there were only four.
    let (four, _) = drawn(4, Trial::of(Seed(1)));
    let begin = |(id, numbers): (&OperationId, &Vec<u32>)| (*id, numbers[..4].to_vec());
    assert_eq!(one.iter().map(begin).collect::<Drawn>(), four);
}

#[test]
fn no_two_draws_of_a_run_share_an_address() {
    let (_, report) = drawn(1_000, Trial::of(Seed(1)));
    let clients = report.draws.iter().map(|(address, _)| *address);
    let clients: Vec<DrawAddress> =
        clients.filter(|address| matches!(address.site, Site::Client(_))).collect();
    // A pause, 250 draws of input and one of whom to ask, for each of 22 operations; the pauses
    // before the first two were drawn before the log began.
    assert_eq!(clients.len(), 22 * 252 - 2);
    assert_eq!(clients.iter().collect::<BTreeSet<_>>().len(), clients.len());
}

#[test]
fn leaving_an_operation_out_moves_no_choice_of_another() {
    let (all, _) = drawn(1_000, Trial::of(Seed(1)));
    let gone = OperationId { client: ClientId::new(1), number: 4 };
    let (less, _) = drawn(1_000, Trial { skip: BTreeSet::from([gone]), ..Trial::of(Seed(1)) });
    let mut expected = all;
    assert!(expected.remove(&gone).is_some());
    assert_eq!(less, expected);
}

#[test]
fn any_four_choices_can_be_overridden_and_be_the_simplest() {
    let (plain, report) = drawn(1_000, Trial::of(Seed(1)));
    let third = OperationId { client: ClientId::new(0), number: 3 };
    // The draws of its input, in the order in which they were made: what shrinking will look for.
    let site = Site::Client(third.client);
    let mut inputs = report.draws.iter().map(|(address, _)| *address).filter(|address| {
        address.site == site && Choices::begin(address.index).0 == u64::from(3 * 64 + 1_u32)
    });
    let (first, hundredth) = (inputs.next().unwrap(), inputs.nth(98).unwrap());
    for (draw, value, at, becomes) in [
        (first, Override::Nominal, 0, [0; 4]),
        (hundredth, Override::Nominal, 396, [0; 4]),
        (hundredth, Override::Words([u32::MAX; 4]), 396, [999; 4]),
    ] {
        let overrides = BTreeMap::from([(draw, value)]);
        let (revised, other) = drawn(1_000, Trial { overrides, ..Trial::of(Seed(1)) });
        assert_ne!(other.hash, report.hash, "the trace says that something was overridden");
        let mut expected = plain.clone();
        expected.get_mut(&third).unwrap()[at..at + 4].copy_from_slice(&becomes);
        assert_eq!(revised, expected);
    }
}

fn mute(more: Option<Property<Measure, Vec<u32>, usize>>) -> Report {
    let nothing = Workload::short(|_, _| Vec::new(), |_, _: &Vec<u32>| Vec::new(), Reply::Done);
    let mut scenario = scenario(true, nothing);
    scenario.properties.extend(more);
    scenario.run(&Trial::of(Seed(1)))
}

#[test]
fn operations_need_not_complete_unless_that_is_a_property() {
    let report = mute(None);
    // It ends as soon as all are given up, long before the horizon.
    assert!(matches!(report.conclusion(), Conclusion::Vacuous(_)), "{:?}", report.conclusion());
    assert_eq!((report.completed, report.indeterminate), (0, 22));
    assert!(report.ended.as_nanos() < Duration::secs(9).as_nanos(), "{}", report.ended);
    let report = mute(Some(every_operation_completes()));
    let Conclusion::Failed(failure) = report.conclusion() else {
        panic!("{:?}", report.conclusion())
    };
    assert_eq!(failure.kind, FailureKind::Liveness);
    assert!(failure.explanation.contains("c1/10 waits for an answer"), "{failure}");
}

#[test]
fn a_client_that_waits_at_the_horizon_breaks_nothing_but_that_property() {
    let patient = |property| {
        let nothing = Workload::short(|_, _| Vec::new(), |_, _: &Vec<u32>| Vec::new(), Reply::Done);
        let workload = Workload { patience: Duration::secs(60), ..nothing };
        let mut scenario = scenario(true, workload);
        scenario.properties.push(property);
        scenario.run(&Trial::of(Seed(1)))
    };
    let settled = eventually("the node is there", |nodes: &[Option<&Measure>]| {
        nodes[0].map(|_| ()).ok_or_else(|| "it is down".to_owned())
    });
    assert_eq!(patient(settled).conclusion(), Conclusion::Vacuous("no operation completed"));
    let report = patient(every_operation_completes());
    let failure = report.failure().expect("nothing completed");
    assert_eq!(failure.kind, FailureKind::Liveness);
}
