//! Monitors against the offline check, prefix by prefix.

use std::cell::Cell;
use std::fmt::Debug;

use super::random::{Random, Shape, cases, each_by_a_client_of_its_own, history};
use crate::history::{History, Outcome};
use crate::linearizability::linearizable;
use crate::linearizability::online::{Monitor, RegisterMonitor, Standing};
use crate::models::{
    Counter, CounterInput, CounterOutput, Kv, KvInput, KvOutput, Lock, LockInput, LockOutput,
    Model, Queue, QueueInput, QueueOutput, Register, RegisterInput, RegisterOutput,
};
use crate::verdict::{Budget, Verdict};

/// Random histories of each kind: many where a build is fast.
const CASES: u64 = cases(300);

/// What happens at one instant to one operation; calls come first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Call,
    GiveUp,
    End,
}

fn events<I, O>(history: &History<I, O>, random: &mut Random) -> Vec<(u64, Event, usize)> {
    let mut events = Vec::new();
    for (index, operation) in history.operations.iter().enumerate() {
        events.push((operation.call, Event::Call, index));
        match operation.outcome.returned() {
            Some(returned) => events.push((returned, Event::End, index)),
            // Some wait for ever.
            None if random.percent(70) => {
                events.push((operation.call + random.below(9), Event::GiveUp, index));
            }
            None => {}
        }
    }
    events.sort_unstable();
    events
}

/// The first ending whose prefix cannot be explained, by the offline check.
fn first_breach<M: Model>(
    model: &M,
    whole: &History<M::Input, M::Output>,
    events: &[(u64, Event, usize)],
) -> Option<u32>
where
    M::Input: Clone,
    M::Output: Clone,
{
    let holds = |place: usize| {
        let (time, _, last) = events[place];
        let mut prefix = whole.clone();
        prefix.operations.retain(|operation| operation.call <= time);
        for (index, operation) in prefix.operations.iter_mut().enumerate() {
            if operation.outcome.returned().is_some_and(|end| (end, index) > (time, last)) {
                operation.outcome = Outcome::Indeterminate;
            }
        }
        let verdict = linearizable(model, &prefix, Budget::DEFAULT).expect("well-formed");
        assert!(!matches!(verdict, Verdict::Unknown(_)));
        verdict.holds()
    };
    let ends: Vec<usize> =
        (0..events.len()).filter(|place| events[*place].1 == Event::End).collect();
    ends.into_iter().find(|place| !holds(*place)).map(|place| events[place].2 as u32)
}

/// Turns some operations whose answer never came into failures: not all of them never happened.
fn with_failures<I, O>(history: &mut History<I, O>, random: &mut Random) {
    // A failure may be told after its client asked again.
    each_by_a_client_of_its_own(history);
    for operation in &mut history.operations {
        if matches!(operation.outcome, Outcome::Indeterminate) && random.percent(40) {
            operation.outcome = Outcome::Failed { returned: operation.call + random.below(12) };
        }
    }
}

fn watch<M: Model>(
    model: M,
    history: &History<M::Input, M::Output>,
    events: &[(u64, Event, usize)],
) -> Option<u32>
where
    M::Input: Clone + PartialEq,
    M::Output: Clone + PartialEq,
{
    let mut monitor = Monitor::new(model, Budget::DEFAULT);
    for (time, event, index) in events {
        let operation = &history.operations[*index];
        match (event, &operation.outcome) {
            (Event::Call, _) => {
                assert_eq!(monitor.call(*time, operation.input.clone()), *index as u32);
            }
            (Event::GiveUp, _) => monitor.give_up(*index as u32),
            (Event::End, Outcome::Ok { output, .. }) => {
                monitor.complete(*index as u32, *time, output.clone());
            }
            (Event::End, _) => monitor.fail(*index as u32, *time),
        }
    }
    breach(monitor.settle())
}

fn breach(standing: &Standing) -> Option<u32> {
    match standing {
        Standing::Holds => None,
        Standing::Violated(breach) => Some(breach.operation),
        other => panic!("{other:?}"),
    }
}

fn shape(random: &mut Random, operations: u64) -> Shape {
    Shape {
        operations: 1 + random.below(operations) as usize,
        clients: 1 + random.below(5),
        unknown: [0, 0, 20, 40][random.below(4) as usize],
        lies: [0, 5, 20, 40][random.below(4) as usize],
        gap: 1 + random.below(4),
    }
}

/// Judges random histories both ways; both answers must come often.
fn agree<M: Model + Clone>(
    model: &M,
    operations: u64,
    ask: impl Fn(&mut Random, u64) -> M::Input,
    answer: impl Fn(&M::State, &M::Input) -> M::Output,
    lie: impl Fn(&mut Random, &M::Input) -> M::Output,
) where
    M::Input: Clone + Debug + PartialEq,
    M::Output: Clone + Debug + PartialEq,
{
    let mut counts = [0_u64; 2];
    for seed in 0..CASES {
        let mut random = Random(seed);
        let shape = shape(&mut random, operations);
        let mut history = history(&mut random, &shape, model, &ask, &answer, &lie);
        with_failures(&mut history, &mut random);
        let events = events(&history, &mut random);
        let truth = first_breach(model, &history, &events);
        let online = watch(model.clone(), &history, &events);
        assert_eq!(online, truth, "seed {seed}: {history:?}");
        counts[usize::from(truth.is_none())] += 1;
    }
    assert!(counts.iter().all(|count| *count > CASES / 10), "{counts:?}");
}

#[test]
fn registers_agree_with_the_offline_check() {
    agree(
        &Register { initial: 0 },
        12,
        |random, _| match random.below(4) {
            0 | 1 => RegisterInput::Read,
            2 => RegisterInput::Write(random.below(3)),
            _ => RegisterInput::Cas { expected: random.below(3), new: random.below(3) },
        },
        |state, input| match input {
            RegisterInput::Read => RegisterOutput::Value(*state),
            RegisterInput::Cas { expected, .. } if expected != state => RegisterOutput::Mismatch,
            _ => RegisterOutput::Done,
        },
        |random, input| match input {
            RegisterInput::Read => RegisterOutput::Value(random.below(3)),
            RegisterInput::Cas { .. } if random.percent(50) => RegisterOutput::Mismatch,
            _ => RegisterOutput::Done,
        },
    );
}

#[test]
fn stores_agree_with_the_offline_check() {
    agree(
        &Kv::new(),
        12,
        |random, asked| {
            let key = random.below(3);
            match random.below(4) {
                0 | 1 => KvInput::Get { key },
                2 => KvInput::Put { key, value: asked.to_string() },
                _ => KvInput::Append { key, value: asked.to_string() },
            }
        },
        |state, input| match input {
            KvInput::Get { .. } => KvOutput::Value(state.clone()),
            _ => KvOutput::Done,
        },
        |random, input| match input {
            KvInput::Get { .. } => KvOutput::Value(Some(random.below(9).to_string())),
            _ => KvOutput::Done,
        },
    );
}

#[test]
fn queues_agree_with_the_offline_check() {
    agree(
        &Queue::new(),
        7,
        |random, asked| match random.below(2) {
            0 => QueueInput::Enqueue(asked),
            _ => QueueInput::Dequeue,
        },
        |state, input| match input {
            QueueInput::Enqueue(_) => QueueOutput::Done,
            QueueInput::Dequeue => QueueOutput::Removed(state.iter().next().copied()),
        },
        |random, input| match input {
            QueueInput::Enqueue(_) => QueueOutput::Done,
            QueueInput::Dequeue => {
                QueueOutput::Removed(Some(random.below(9)).filter(|value| *value > 0))
            }
        },
    );
}

#[test]
fn counters_and_locks_agree_with_the_offline_check() {
    agree(
        &Counter::default(),
        12,
        |random, _| match random.below(3) {
            0 => CounterInput::Read,
            1 => CounterInput::Add(random.below(3) as i64 - 1),
            _ => CounterInput::AddAndRead(random.below(3) as i64 - 1),
        },
        |state, input| match input {
            CounterInput::Read => CounterOutput::Value(*state),
            CounterInput::Add(_) => CounterOutput::Done,
            CounterInput::AddAndRead(n) => CounterOutput::Value(state + n),
        },
        |random, input| match input {
            CounterInput::Add(_) => CounterOutput::Done,
            _ => CounterOutput::Value(random.below(4) as i64 - 1),
        },
    );
    agree(
        &Lock,
        12,
        |random, _| {
            let owner = random.below(2) as u32;
            match random.below(2) {
                0 => LockInput::Acquire { owner },
                _ => LockInput::Release { owner },
            }
        },
        |state, input| match input {
            LockInput::Acquire { .. } if state.holder.is_some() => LockOutput::Busy,
            LockInput::Acquire { .. } => {
                LockOutput::Granted { token: Some(state.granted.map_or(0, |token| token + 1)) }
            }
            LockInput::Release { owner } if state.holder == Some(*owner) => LockOutput::Released,
            _ => LockOutput::NotHeld,
        },
        |random, input| match input {
            LockInput::Acquire { .. } => LockOutput::Granted { token: Some(random.below(3)) },
            _ => LockOutput::Released,
        },
    );
}

type In = RegisterInput<u64>;
type Out = RegisterOutput<u64>;

/// Every value written once; sometimes values drift apart only after long.
fn unique(random: &mut Random, shape: &Shape) -> History<In, Out> {
    let asked = Cell::new(0);
    history(
        random,
        shape,
        &Register { initial: 0 },
        |random, count| {
            asked.set(count);
            if random.percent(50) { In::Read } else { In::Write(count + 1) }
        },
        |state, input| match input {
            In::Read => Out::Value(*state),
            _ => Out::Done,
        },
        |random, input| match input {
            In::Read => Out::Value((asked.get() + 1).saturating_sub(random.below(6))),
            _ => Out::Done,
        },
    )
}

fn watch_zones(history: &History<In, Out>, events: &[(u64, Event, usize)]) -> (Option<u32>, usize) {
    let mut monitor = RegisterMonitor::new(0);
    let mut most = 0;
    for (time, event, index) in events {
        let operation = &history.operations[*index];
        match (event, &operation.outcome) {
            (Event::Call, _) => {
                assert_eq!(monitor.call(*time, operation.input.clone()), *index as u32);
            }
            (Event::GiveUp, _) => monitor.give_up(*index as u32),
            (Event::End, Outcome::Ok { output, .. }) => {
                monitor.complete(*index as u32, *time, output.clone());
            }
            (Event::End, _) => monitor.fail(*index as u32, *time),
        }
        monitor.forget_often();
        most = most.max(monitor.size());
    }
    (breach(monitor.settle()), most)
}

#[test]
fn zones_agree_with_the_offline_check() {
    let mut counts = [0_u64; 2];
    for seed in 0..CASES {
        let mut random = Random(seed);
        let mut shape = shape(&mut random, 40);
        shape.lies = [0, 3, 10, 30][random.below(4) as usize];
        let mut history = unique(&mut random, &shape);
        with_failures(&mut history, &mut random);
        let events = events(&history, &mut random);
        let truth = first_breach(&Register { initial: 0 }, &history, &events);
        let (online, _) = watch_zones(&history, &events);
        assert_eq!(online, truth, "seed {seed}: {history:?}");
        counts[usize::from(truth.is_none())] += 1;
    }
    assert!(counts.iter().all(|count| *count > CASES / 10), "{counts:?}");
}

#[test]
fn memory_does_not_grow_with_the_run() {
    let operations = if cfg!(debug_assertions) { 1_000 } else { 5_000 };
    let shape = Shape { operations, clients: 8, unknown: 0, lies: 0, gap: 3 };
    let history = unique(&mut Random(1), &shape);
    let events = events(&history, &mut Random(2));
    let (online, most) = watch_zones(&history, &events);
    assert_eq!(online, None);
    assert!(most < 200, "{most}");
    let mut monitor = Monitor::new(Register { initial: 0 }, Budget::DEFAULT);
    let mut most = 0;
    for (time, event, index) in &events {
        let operation = &history.operations[*index];
        match (event, operation.outcome.output()) {
            (Event::End, Some(output)) => monitor.complete(*index as u32, *time, output.clone()),
            _ => drop(monitor.call(*time, operation.input.clone())),
        }
        most = most.max(monitor.size());
    }
    assert_eq!(*monitor.settle(), Standing::Holds);
    assert!(most < 500, "{most}");
}

#[test]
fn a_spent_budget_is_unknown() {
    let mut monitor = Monitor::new(Register { initial: 0 }, Budget::configurations(1));
    for value in 1..4 {
        let write = monitor.call(value * 10, In::Write(value));
        monitor.complete(write, value * 10 + 5, Out::Done);
    }
    assert!(matches!(monitor.settle(), Standing::Unknown(_)));
}

#[test]
fn a_value_written_twice_is_not_covered() {
    let mut monitor = RegisterMonitor::new(0);
    monitor.call(1, In::Write(5));
    let again = monitor.call(2, In::Write(5));
    assert_eq!(*monitor.standing(), Standing::NotCovered { operation: again });
}
