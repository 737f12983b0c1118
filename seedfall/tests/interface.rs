//! What a user of the library relies on: handlers that may be left out, properties of any kind of
//! answer, names made as a test runs, one run said piece by piece, checks that are prefix-closed.

use models::{Register, RegisterInput as In, RegisterOutput as Out};
use seedfall::prelude::*;
use seedfall::run::{Runnable, Trial};
use seedfall::sim::{ClientId, Seed};
use seedfall::testing::check_seeds;
use std::convert::Infallible;

/// One node keeps a register, and forgets it in a crash. It has no message, timer or record.
struct One(u64);

impl Protocol for One {
    type Config = ();
    type Message = Infallible;
    type Timer = Infallible;
    type Record = Infallible;
    type Request = In<u64>;
    type Response = Out<u64>;

    fn start(_: NodeId, (): &(), _: &[Infallible], _: &mut Context<'_, Self>) -> Self {
        Self(0)
    }

    fn on_request(&mut self, id: RequestId, body: In<u64>, ctx: &mut Context<'_, Self>) {
        if let In::Write(value) = body {
            self.0 = value;
            return ctx.respond(id, Out::Done);
        }
        ctx.respond(id, Out::Value(self.0));
    }
}

type OneScenario = Scenario<One, In<u64>, Out<u64>>;

fn scenario(properties: Vec<Property<One, In<u64>, Out<u64>>>) -> OneScenario {
    Scenario {
        name: "one",
        story: "One node keeps a register.",
        model: SystemModel::USUAL,
        cluster: Cluster::lan(1, 2),
        config: (),
        workload: Workload::short(
            |op, draw| if draw.below(2) == 0 { In::Read } else { In::Write(op.unique()) },
            |_, input| input.clone(),
            Reply::Done,
        ),
        faults: Swarm::NONE,
        horizon: Horizon::SHORT,
        properties,
        expect: Expect::Holds,
    }
}

/// What a history says of reads: how many there are.
fn reads(history: &History<In<u64>, Out<u64>>) -> usize {
    let read = |input: &In<u64>| matches!(input, In::Read);
    history.operations.iter().filter(|one| read(&one.input)).count()
}

#[test]
fn properties_answer_as_they_like_and_capture_what_they_need() {
    let most = 22;
    let holding = vec![
        linearizable(Register { initial: 0 }),
        always("a bool", move |history| reads(history) <= most),
        always("a result", move |history| match reads(history) {
            reads if reads <= most => Ok(()),
            reads => Err(format!("{reads} reads")),
        }),
        always("a judgement", |_| Judgement::Holds),
        invariant("of a node", move |_, one: &One| one.0 < 1 << (16 + most)),
        eventually("it is up", |nodes: &[Option<&One>]| nodes[0].is_some()),
        every_operation_completes(),
    ];
    assert_eq!(check_seeds(&scenario(holding), 0..100), Ok(()));
    for (broken, why) in [
        (always("few", |history| reads(history) < 3), "always few"),
        // Of the shrunk run, which still has what is pointed at.
        (
            always("pointing", |history: &History<In<u64>, Out<u64>>| match history.len() {
                0 | 1 => Judgement::Holds,
                _ => Judgement::violated("so it is").at(0).with(&[1]),
            }),
            "> c",
        ),
        (always("beyond", |_| Judgement::violated("so it is").at(99)), "it names operation 99"),
        (
            invariant("small", |_, one: &One| Ok(()).and(one.0.eq(&0).then_some(()).ok_or("big"))),
            "always small",
        ),
        (eventually("gone", |nodes: &[Option<&One>]| nodes[0].is_none()), "eventually gone"),
    ] {
        let told = check_seeds(&scenario(vec![broken]), 0..5).expect_err("it is broken");
        assert!(told.contains(why), "{why}: {told}");
    }
}

#[test]
fn names_may_be_made_as_the_test_runs() {
    for clients in 1..3 {
        let name = format!("below {clients}");
        let always_broken = always(name.clone(), |history| reads(history) == usize::MAX);
        let mut scenario = scenario(vec![always_broken]).named(format!("one-{clients}"));
        scenario.cluster.clients = clients;
        scenario.expect =
            Expect::violates([name], format!("{clients} clients do not read so much"));
        assert_eq!(check_seeds(&scenario, 0..3), Ok(()));
        assert_eq!(scenario.name(), format!("one-{clients}"));
    }
}

#[test]
fn a_run_is_said_piece_by_piece() {
    let scenario = scenario(vec![linearizable(Register { initial: 0 })]);
    let seven = Run::new(&scenario).seed(7);
    let report = seven.run();
    assert_eq!(report.hash, scenario.run(&Trial::of(Seed(7))).hash);
    assert_ne!(report.hash, Run::new(&scenario).seed(8).run().hash);
    let first = OperationId { client: ClientId::new(0), number: 0 };
    let without = seven.clone().without(first).recorded().run();
    assert_eq!((report.completed, without.completed), (22, 21));
    assert_eq!((report.trace.len(), without.trace.len() as u64), (0, without.events));
    assert_eq!(
        seven.clone().plan(FaultPlan::default()).run().hash,
        report.hash,
        "no fault is drawn"
    );
    assert!(seven.shrink(10).is_none(), "it does not fail");
}

/// Nothing to send, and yet nodes are asked: what is left out is told, not lost.
#[test]
fn a_handler_that_is_left_out_is_told() {
    struct Mute;
    impl Protocol for Mute {
        type Config = ();
        type Message = ();
        type Timer = ();
        type Record = ();
        type Request = In<u64>;
        type Response = Out<u64>;
        fn start(_: NodeId, (): &(), _: &[()], ctx: &mut Context<'_, Self>) -> Self {
            ctx.broadcast(());
            ctx.set_timer((), Duration::millis(1));
            Self
        }
    }
    let Scenario { name, story, model, cluster, workload, faults, horizon, .. } =
        scenario(Vec::new());
    let Workload { operations, final_operations, think, patience, attempts, .. } = workload;
    let mute = Scenario::<Mute, In<u64>, Out<u64>> {
        workload: Workload {
            operations,
            final_operations,
            think,
            patience,
            attempts,
            ..Workload::short(|_, _| In::Read, |_, input| input.clone(), Reply::Done)
        },
        cluster: Cluster { nodes: 2, ..cluster },
        properties: vec![every_operation_completes()],
        config: (),
        expect: Expect::Holds,
        name,
        story,
        model,
        faults,
        horizon,
    };
    let report = Run::new(&mute).run();
    let marks: Vec<&str> = report.marks.iter().map(|(mark, _)| *mark).collect();
    for handler in ["on_message", "on_timer", "on_request"] {
        assert!(marks.contains(&&*format!("the protocol has no `{handler}`")), "{marks:?}");
    }
}

/// That something has happened by the end is no safety: a run cut short would break it.
#[test]
fn a_check_that_is_not_prefix_closed_is_named() {
    let asks = |least: usize| always("there is a read", move |history| least <= reads(history));
    let told = check_seeds(&scenario(vec![asks(4)]), 0..200);
    if cfg!(debug_assertions) {
        let told = told.expect_err("a prefix has fewer reads");
        assert!(told.contains("the property `there is a read` is prefix-closed"), "{told}");
        assert!(told.contains("what must be so at the end is an `eventually`"), "{told}");
    }
    let exact = always("linear", |history: &History<In<u64>, Out<u64>>| {
        seedfall::checkers::linearizable(&Register { initial: 0 }, history, Default::default())
            .map_or_else(|error| Judgement::Unknown(error.to_string()), Judgement::from)
    });
    assert_eq!(check_seeds(&scenario(vec![exact]), 0..200), Ok(()));
}
