//! A counter whose adds answer the total. Each lost add may or may not count, and only sums are
//! ever seen: the check is a search among subsets, and must end all the same.

use seedfall::checkers::{self, Budget, History, Model, Verdict};
use seedfall::sim::{Context, Duration, NodeId, Protocol, RequestId, Seed, SystemModel};
use seedfall::{
    Cluster, Expect, Horizon, Judgement, Property, Reply, Runnable, Scenario, Swarm, Trial,
    Workload, always, every_operation_completes,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// `add(n)` answers the new total.
struct Total;

impl Model for Total {
    type Input = u64;
    type Output = u64;
    type State = u64;
    type Key = ();

    fn initial(&self) -> u64 {
        0
    }

    fn step(&self, state: &u64, n: &u64, total: Option<&u64>) -> Option<u64> {
        let after = state + n;
        total.is_none_or(|total| *total == after).then_some(after)
    }
}

/// How the node that counts does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    Correct,
    /// Reads the total when it is asked and writes it back later: what was added between is lost.
    LosesUpdates,
}

/// One of some nodes, the first of which counts; the others say that they cannot help.
struct Counter {
    id: NodeId,
    habit: Habit,
    total: u64,
    /// The total that each request was told, so that asking again adds nothing.
    told: BTreeMap<RequestId, u64>,
    /// Requests that a node which loses updates is busy with, and the total that it read.
    busy: BTreeMap<RequestId, u64>,
}

impl Protocol for Counter {
    type Config = Habit;
    type Message = ();
    type Timer = RequestId;
    /// What was added for whom, and the total after it.
    type Record = (RequestId, u64);
    type Request = u64;
    type Response = Option<u64>;

    fn start(
        id: NodeId,
        habit: &Habit,
        journal: &[(RequestId, u64)],
        _: &mut Context<'_, Self>,
    ) -> Self {
        let total = journal.last().map_or(0, |(_, total)| *total);
        let told = journal.iter().copied().collect();
        Self { id, habit: *habit, total, told, busy: BTreeMap::new() }
    }

    fn on_message(&mut self, _: NodeId, (): (), _: &mut Context<'_, Self>) {}

    fn on_timer(&mut self, request: RequestId, ctx: &mut Context<'_, Self>) {
        if let Some(total) = self.busy.remove(&request) {
            self.tell(request, total, ctx);
        }
    }

    fn on_request(&mut self, request: RequestId, n: u64, ctx: &mut Context<'_, Self>) {
        if self.id.index() > 0 {
            return ctx.respond(request, None);
        }
        match (self.told.get(&request), self.habit) {
            (Some(total), _) => ctx.respond(request, Some(*total)),
            (None, Habit::Correct) => self.tell(request, self.total + n, ctx),
            (None, Habit::LosesUpdates) => {
                self.busy.insert(request, self.total + n);
                ctx.set_timer(request, Duration::millis(5));
            }
        }
    }
}

impl Counter {
    fn tell(&mut self, request: RequestId, total: u64, ctx: &mut Context<'_, Self>) {
        self.total = total;
        self.told.insert(request, total);
        ctx.append((request, total));
        ctx.sync();
        ctx.respond(request, Some(total));
    }
}

type CounterScenario = Scenario<Counter, u64, u64>;

/// Of five nodes clients find the one that counts by guessing, and give up after three guesses:
/// while faults last, up to two thirds of the adds are indeterminate.
fn scenario(habit: Habit, property: Property<Counter, u64, u64>) -> CounterScenario {
    Scenario {
        name: "counter",
        story: "One of five nodes counts.",
        model: SystemModel::USUAL,
        cluster: Cluster::lan(5, 3),
        config: habit,
        workload: Workload::short(
            |_, draw| 1 + u64::from(draw.below(9)),
            |_, n| *n,
            |told: Option<u64>| told.map_or(Reply::Elsewhere(None), Reply::Done),
        ),
        faults: Swarm::ALL,
        horizon: Horizon::SHORT,
        properties: vec![property, every_operation_completes()],
        expect: Expect::Holds,
    }
}

/// What the check of a history came to.
#[derive(Debug)]
struct Judged {
    verdict: Verdict,
    indeterminate: usize,
}

/// Runs so many seeds; what the check came to in each.
fn judged(habit: Habit, seeds: u64) -> Vec<Judged> {
    let all = Arc::new(Mutex::new(Vec::new()));
    let keeps = Arc::clone(&all);
    let check = always("linearizable", move |history: &History<u64, u64>| {
        let verdict = checkers::linearizable(&Total, history, Budget::DEFAULT);
        let verdict = verdict.expect("clients record what they do");
        let indeterminate = history.len() - history.completed();
        keeps.lock().expect("one thread").push(Judged { verdict, indeterminate });
        Judgement::Holds
    });
    let scenario = scenario(habit, check);
    let mut judged = Vec::new();
    for seed in 0..seeds {
        scenario.run(&Trial::of(Seed(seed)));
        // The whole history first; with debug assertions, prefixes of some after it.
        let first = std::mem::take(&mut *all.lock().expect("one thread")).into_iter().next();
        judged.push(first.expect("the run came to its end"));
    }
    judged
}

#[test]
fn a_counter_that_answers_totals_is_judged_in_a_moment() {
    let judged = judged(Habit::Correct, 500);
    for Judged { verdict, .. } in &judged {
        assert!(verdict.holds(), "{verdict}");
    }
    // Named one by one, so many lost adds are a million subsets.
    let most = judged.iter().map(|one| one.indeterminate).max();
    assert!(most >= Some(20), "the case is not hard any more: {most:?}");
    let most = judged.iter().map(|one| one.verdict.statistics().configurations).max();
    assert!(most < Some(5_000), "{most:?}");
}

#[test]
fn a_counter_that_loses_updates_is_found() {
    let judged = judged(Habit::LosesUpdates, 100);
    let found = judged.iter().filter(|one| one.verdict.witness().is_some()).count();
    assert!(found > 50, "{found} of 100");
    for Judged { verdict, .. } in &judged {
        assert!(!matches!(verdict, Verdict::Unknown(_)), "{verdict}");
    }
}
