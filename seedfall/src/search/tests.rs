//! What a search promises, over two protocols that are made to be searched.

use super::{Hunt, Hunted, hunt, written};
use crate::faults::Class;
use crate::prelude::*;
use crate::run::{Runnable, Trial};
use crate::search::corpus;
use crate::search::lineage::{Bounds, Cut, lineage};
use crate::sweep::{Limits, Sweep, sweep};
use seedfall_sim::{Chains, Draw, Priorities, Seed};
use std::num::NonZeroUsize;

/// The rungs of the ladder, by their marks.
const RUNGS: [&str; 4] = ["first rung", "second rung", "third rung", "fourth rung"];
/// One try in so many comes to the next rung; else the run is over for whoever climbs.
const ODDS: u32 = 24;

/// A node that climbs a ladder, by luck: one run in `ODDS^4` comes to the top.
struct Climber {
    rung: usize,
}

impl Protocol for Climber {
    type Config = ();
    type Message = ();
    type Timer = ();
    type Record = ();
    type Request = ();
    type Response = ();

    fn start(_: NodeId, (): &(), _: &[()], ctx: &mut Context<Self>) -> Self {
        ctx.set_timer((), Duration::millis(10));
        Self { rung: 0 }
    }

    fn on_timer(&mut self, (): (), ctx: &mut Context<Self>) {
        let mut draw: Draw = ctx.draw();
        if self.rung < RUNGS.len() && draw.below(ODDS) == 0 {
            ctx.reach(RUNGS[self.rung]);
            self.rung += 1;
            ctx.set_timer((), Duration::millis(10));
        }
    }

    fn on_request(&mut self, request: RequestId, (): (), ctx: &mut Context<Self>) {
        ctx.respond(request, ());
    }
}

fn ladder() -> Scenario<Climber, (), ()> {
    Scenario {
        name: "ladder",
        story: "A node climbs a ladder of rare marks.",
        model: SystemModel::USUAL,
        cluster: Cluster::lan(1, 1),
        config: (),
        workload: Workload::short(|_, _| (), |_, ()| (), Reply::Done),
        faults: Swarm::NONE,
        horizon: Horizon::SHORT,
        properties: vec![invariant("below the top", |_, node: &Climber| node.rung < RUNGS.len())],
        expect: Expect::Holds,
    }
}

/// What goes straight to the second node.
const DIRECT: u32 = 100;
/// How often the other message is handed on between the two others before it goes there.
const HOPS: u32 = 4;

/// Two messages leave at once: it is wrong if the one that takes the longer way comes first.
struct Relay {
    id: NodeId,
    direct: bool,
    relayed: u32,
}

impl Protocol for Relay {
    type Config = ();
    type Message = u32;
    type Timer = u32;
    type Record = ();
    type Request = ();
    type Response = ();

    fn start(id: NodeId, (): &(), _: &[()], ctx: &mut Context<Self>) -> Self {
        if id.index() == 0 {
            ctx.set_timer(0, Duration::millis(20));
        }
        Self { id, direct: false, relayed: 0 }
    }

    fn on_timer(&mut self, hop: u32, ctx: &mut Context<Self>) {
        ctx.send(NodeId::new(1), DIRECT);
        ctx.send(NodeId::new(2), hop);
    }

    fn on_message(&mut self, from: NodeId, hop: u32, ctx: &mut Context<Self>) {
        let onward = if from.index() == 0 { NodeId::new(3) } else { from };
        match (self.id.index(), hop) {
            (1, DIRECT) => self.direct = true,
            (1, _) => self.relayed += u32::from(!self.direct),
            (_, HOPS) => ctx.send(NodeId::new(1), hop),
            (_, _) => ctx.send(onward, hop + 1),
        }
    }

    fn on_request(&mut self, request: RequestId, (): (), ctx: &mut Context<Self>) {
        ctx.respond(request, ());
    }
}

fn relay() -> Scenario<Relay, (), ()> {
    Scenario {
        name: "relay",
        story: "A message that takes a long way overtakes one that does not.",
        model: SystemModel::USUAL,
        cluster: Cluster::lan(4, 1),
        config: (),
        workload: Workload::short(|_, _| (), |_, ()| (), Reply::Done),
        faults: Swarm::NONE,
        horizon: Horizon::SHORT,
        properties: vec![invariant("in order", |_, node: &Relay| node.relayed == 0)],
        expect: Expect::Holds,
    }
}

fn hunted(scenario: &dyn Runnable, strategies: &[&str], runs: u64, jobs: usize) -> Hunted {
    let plan = Hunt {
        base: 0,
        runs: Some(runs),
        events: None,
        time: None,
        jobs: NonZeroUsize::new(jobs).expect("not zero"),
        strategies: strategies.iter().map(|name| (*name).to_owned()).collect(),
        corpus: Vec::new(),
    };
    hunt(scenario, &plan, &|_, _| ()).expect("strategies that there are")
}

/// The time to all of `k` rare marks grows like their sum, not like their product.
#[test]
fn branching_climbs_a_ladder_rung_by_rung() {
    let mut took = Vec::new();
    for rungs in 1..=RUNGS.len() {
        let mut shorter = ladder();
        let top = invariant("below the top", move |_, node: &Climber| node.rung < rungs);
        shorter.properties = vec![top];
        let hunted = hunted(&shorter, &["branching"], 20_000, 1);
        assert!(hunted.found.is_some(), "{rungs} rungs in {} runs", hunted.summary.seeds);
        took.push(hunted.summary.seeds);
    }
    // Of 24^4 = 331,776 runs one comes to the top by luck.
    assert!(took[3] < 4_000, "{took:?}");
    assert!(hunted(&ladder(), &["swarm"], took[3], 1).found.is_none(), "luck does not do it");
}

/// The portfolio climbs too, though half of its events are plain seeds; and for a number of runs
/// the result does not depend on the number of threads.
#[test]
fn a_hunt_is_a_function_of_its_base_seed_and_runs() {
    let one = hunted(&ladder(), &[], 40_000, 1);
    let found = one.found.as_ref().expect("the top");
    let many = hunted(&ladder(), &[], 40_000, 3);
    let also = many.found.as_ref().expect("the top");
    assert_eq!((one.summary.hash, one.summary.seeds), (many.summary.hash, many.summary.seeds));
    assert_eq!((found.by, found.trial.seed), (also.by, also.trial.seed));
    assert_eq!(one.shares, many.shares);
    assert_eq!(one.archive.states(), many.archive.states());
}

/// What a strategy made of turns and priorities is an ordinary run, event for event.
#[test]
fn a_failure_that_was_found_is_an_ordinary_run() {
    let scenario = ladder();
    let hunted = hunted(&scenario, &["branching"], 20_000, 1);
    let found = hunted.found.expect("the top");
    assert!(found.trial.turns.is_empty() && !found.trial.overrides.is_empty());
    let again = scenario.run(&found.trial);
    let failure = again.failure().expect("it fails");
    assert_eq!(failure.fingerprint, found.failure.fingerprint);
    assert_eq!((failure.event, failure.at), (found.failure.event, found.failure.at));
    let small = Run::new(&scenario).seed(1);
    assert!(!small.run().failed(), "not every run does");
    let small = crate::shrink::shrink(&scenario, &found.trial, &crate::shrink::Effort::runs(2_000));
    let small = small.expect("it is made small");
    let draws = small.trial.overrides.len();
    assert_eq!(draws, RUNGS.len() - 1, "the seed climbs the first rung: {:?}", small.trial);
}

/// Priorities hold a message back, and those who overtake it hurry.
#[test]
fn priorities_find_an_order_that_draws_do_not() {
    let scenario = relay();
    assert!(hunted(&scenario, &["swarm"], 3_000, 1).found.is_none());
    let hunted = hunted(&scenario, &["pct"], 3_000, 1);
    let found = hunted.found.expect("the direct one comes last");
    let again = scenario.run(&found.trial);
    assert_eq!(again.failure().map(|one| one.event), Some(found.failure.event));
}

#[test]
fn priorities_become_the_draws_that_they_decided() {
    let scenario = relay();
    for chains in [Chains::Links, Chains::Causes] {
        let changes = vec![3, 9];
        let (seed, until) = (Seed(5), Time::ZERO + Duration::secs(1));
        let priorities = Priorities { seed, chains, timers: true, until, changes };
        let trial = Trial { priorities: Some(priorities), ..Trial::of(Seed(5)) };
        let (one, other) = (scenario.run(&trial), scenario.run(&written(&scenario, &trial)));
        let told = |report: &Report| (report.events, report.ended, report.counters);
        assert_eq!(told(&one), told(&other));
        assert_ne!(one.hash, scenario.run(&Trial::of(Seed(5))).hash, "they decide something");
    }
}

/// The strategy of plain seeds is a sweep, run for run, and to be observed changes no run.
#[test]
fn plain_seeds_are_a_sweep() {
    let scenario = relay();
    let plain = hunted(&scenario, &["swarm"], 100, 2).summary;
    let plan = Sweep {
        seeds: 0..100,
        part_of: None,
        time: None,
        jobs: NonZeroUsize::MIN,
        keep_going: false,
        model: None,
        without: Vec::<Class>::new(),
        limits: Limits::DEFAULT,
    };
    let swept = sweep(&scenario, &plan, &|_| ());
    assert_eq!((plain.hash, plain.events), (swept.hash, swept.events));
}

/// A corpus shows what its hunt saw, in fewer runs, and is read as it was written.
#[test]
fn a_corpus_shows_what_was_seen_in_fewer_runs() {
    let scenario = relay();
    let first = hunted(&scenario, &["swarm", "guided"], 400, 1);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("corpus.jsonl");
    let stored = corpus::store(&path, &scenario, &first.archive).expect("written");
    let corpus = corpus::load(&path, &scenario).expect("read");
    assert_eq!(corpus.len(), stored);
    assert!(stored < first.archive.exemplars().len(), "{stored}");
    let plan = Hunt {
        base: 0,
        runs: Some(stored as u64),
        events: None,
        time: None,
        jobs: NonZeroUsize::MIN,
        strategies: Vec::new(),
        corpus,
    };
    let again = hunt(&scenario, &plan, &|_, _| ()).expect("strategies that there are");
    assert_eq!(again.summary.seeds, stored as u64);
    assert_eq!(again.archive.states(), first.archive.states());
    std::fs::write(&path, "{\"seedfall_corpus\":1}\n").expect("written");
    let why = corpus::load(&path, &scenario).expect_err("it is cut short");
    assert!(why.contains("corpus.jsonl:1: not a run of a corpus"), "{why}");
}

/// What a user makes of a node is told apart, and is no property.
#[test]
fn an_abstraction_tells_states_apart_and_judges_nothing() {
    let states = |scenario: &dyn Runnable| hunted(scenario, &["swarm"], 200, 1).archive.states();
    let plain = ladder();
    let told = ladder().abstraction(|node| node.rung);
    let same = ladder().abstraction(|_| 7);
    assert!(states(&plain) < states(&told));
    assert!(states(&same) < states(&told), "what is the same everywhere tells nothing apart");
    assert_eq!(Runnable::properties(&plain), Runnable::properties(&told));
}

/// What each strategy may take is counted in events, too, on any machine.
#[test]
fn a_hunt_ends_when_its_events_are_used_up() {
    let plan = Hunt { events: Some(5_000), ..Hunt::asked("100000").expect("a number") };
    let hunted = hunt(&relay(), &plan, &|_, _| ()).expect("strategies that there are");
    assert!((5_000..7_000).contains(&hunted.summary.events), "{}", hunted.summary.events);
    assert_eq!(Hunt::asked("20_000").map(|one| one.runs), Ok(Some(20_000)));
    assert!(Hunt::asked("20 s").expect_err("no time").starts_with("SEEDFALL_HUNT: "));
}

/// A register on one node, which writes down what it holds, or does not.
struct Held {
    durable: bool,
    value: u64,
}

impl Protocol for Held {
    type Config = bool;
    type Message = ();
    type Timer = ();
    type Record = u64;
    type Request = models::RegisterInput<u64>;
    type Response = models::RegisterOutput<u64>;

    fn start(_: NodeId, durable: &bool, journal: &[u64], _: &mut Context<Self>) -> Self {
        Self { durable: *durable, value: journal.last().copied().unwrap_or(0) }
    }

    fn on_request(&mut self, id: RequestId, ask: Self::Request, ctx: &mut Context<Self>) {
        let models::RegisterInput::Write(value) = ask else {
            return ctx.respond(id, models::RegisterOutput::Value(self.value));
        };
        self.value = value;
        if self.durable {
            ctx.append(value);
            ctx.sync();
        }
        ctx.respond(id, models::RegisterOutput::Done);
    }
}

fn held(durable: bool) -> Scenario<Held, models::RegisterInput<u64>, models::RegisterOutput<u64>> {
    let workload = Workload::short(
        |op, _| match op.number {
            0 => models::RegisterInput::Write(op.unique()),
            _ => models::RegisterInput::Read,
        },
        |_, ask| ask.clone(),
        Reply::Done,
    );
    Scenario {
        name: "held",
        story: "One node holds a register.",
        model: SystemModel::USUAL,
        cluster: Cluster::lan(1, 1),
        config: durable,
        workload: Workload { operations: 3, ..workload },
        faults: Swarm::NONE,
        horizon: Horizon::SHORT,
        properties: vec![linearizable(models::Register { initial: 0 })],
        expect: Expect::Holds,
    }
}

/// What is not written down, a crash undoes; what is, no crash does, and that is certified.
#[test]
fn lineage_undoes_what_rests_on_memory_and_certifies_what_does_not() {
    let bounds = Bounds {
        cuts: 2,
        crashes: 2,
        down: Duration::millis(5),
        runs: 5_000,
        jobs: NonZeroUsize::MIN,
    };
    let told = lineage(&held(false), Seed(1), &bounds).expect("the run holds");
    let (cuts, found) = told.found.expect("a crash forgets it");
    assert!(matches!(cuts[..], [Cut::Crash { .. }]), "{cuts:?}");
    assert!(held(false).run(&found.trial).failed(), "it is an ordinary run");
    let told = lineage(&held(true), Seed(1), &bounds).expect("the run holds");
    assert!(told.found.is_none() && told.exhausted);
    assert!(0 < told.atoms && 0 < told.runs && !told.operations.is_empty(), "{told:?}");
    let few = Bounds { runs: 2, ..bounds };
    let told = lineage(&held(true), Seed(1), &few).expect("the run holds");
    assert!(!told.exhausted, "two runs certify nothing");
}

/// What is put together of several plans stays within what the scenario draws.
#[test]
fn entries_that_would_add_up_are_not_put_together() {
    use crate::faults::classes::{Crash, Loss, Pause};
    use crate::plan::{Aim, Entry, Fault};
    let at = |from: u64, fault: Fault| {
        let (at, lasts) = (Duration::millis(from), Duration::millis(100));
        Entry { at, lasts, fault, aim: Aim::Named, retargets: false }
    };
    let [n1, n2] = [NodeId::new(0), NodeId::new(1)];
    let lost = |ppm| Fault::from(Loss { ppm });
    let crash = |node| Fault::from(Crash::of(node));
    let all = vec![
        at(0, lost(10_000)),
        at(50, lost(20_000)),
        at(100, lost(30_000)),
        at(0, crash(n1)),
        at(20, Fault::from(Pause { node: n1 })),
        at(20, crash(n2)),
        at(100, crash(n1)),
        at(2_000, crash(n2)),
    ];
    let budget = relay().fault_budget();
    let kept = super::mutate::fitted(all.clone(), &budget).entries;
    let expected: Vec<Entry> = [0, 2, 3, 5, 6].map(|index: usize| all[index].clone()).into();
    assert_eq!(kept, expected);
}
