//! A counter that answers its total: few answers pin it down, and each lost one may or may not
//! count.

use seedfall::checkers::Model;
use seedfall::sim::{Context, Duration, NodeId, Protocol, RequestId, SystemModel};
use seedfall::sweep::{Sweep, all_cores, sweep};
use seedfall::{
    Cluster, Expect, Horizon, Reply, Scenario, Swarm, Workload, every_operation_completes,
    linearizable,
};
use std::collections::BTreeMap;

/// `add(n)` answers the new total.
#[derive(Clone, Copy)]
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    Correct,
    Forgetful,
}

struct One {
    habit: Habit,
    total: u64,
    answered: BTreeMap<RequestId, u64>,
}

impl One {
    fn count(&mut self, id: RequestId, n: u64) {
        self.total += n;
        self.answered.insert(id, self.total);
    }
}

impl Protocol for One {
    type Config = Habit;
    type Message = ();
    type Timer = ();
    type Record = (RequestId, u64);
    type Request = u64;
    type Response = u64;

    fn start(
        _: NodeId,
        habit: &Habit,
        journal: &[(RequestId, u64)],
        ctx: &mut Context<'_, Self>,
    ) -> Self {
        ctx.set_timer((), Duration::millis(20));
        let mut one = Self { habit: *habit, total: 0, answered: BTreeMap::new() };
        for (id, n) in journal {
            one.count(*id, *n);
        }
        one
    }
    fn on_message(&mut self, _: NodeId, (): (), _: &mut Context<'_, Self>) {}
    fn on_timer(&mut self, (): (), ctx: &mut Context<'_, Self>) {
        ctx.set_timer((), Duration::millis(20));
    }
    fn on_request(&mut self, id: RequestId, n: u64, ctx: &mut Context<'_, Self>) {
        if !self.answered.contains_key(&id) {
            self.count(id, n);
            ctx.append((id, n));
        }
        if self.habit == Habit::Correct {
            ctx.sync();
        }
        ctx.respond(id, self.answered[&id]);
    }
}

fn scenario(habit: Habit) -> Scenario<One, u64, u64> {
    Scenario {
        name: "total",
        story: "One node counts.",
        model: SystemModel::USUAL,
        cluster: Cluster::lan(1, 3),
        config: habit,
        workload: Workload::short(|_, draw| 1 + u64::from(draw.below(9)), |_, n| *n, Reply::Done),
        faults: Swarm::ALL,
        horizon: Horizon::SHORT,
        promises: vec![linearizable(Total), every_operation_completes()],
        expect: Expect::Holds,
    }
}

#[test]
fn a_total_is_judged_fast() {
    let plan = Sweep { seeds: 0..500, ..Sweep::new(all_cores()) };
    let summary = sweep(&scenario(Habit::Correct), &plan, &|_| ());
    assert_eq!((summary.failed, summary.unknown), (0, 0), "{summary:?}");
}

#[test]
fn a_total_that_forgets_is_found() {
    let plan = Sweep { seeds: 0..200, ..Sweep::new(all_cores()) };
    let summary = sweep(&scenario(Habit::Forgetful), &plan, &|_| ());
    let failure = summary.failures.first().expect("an addition that a crash took is missed");
    assert_eq!(failure.promise, "always linearizable", "{failure}");
}
