//! Sets, queues, stacks and priority queues: monitors and searches against brute force.

use super::brute;
use super::random::{Random, Shape, Wrongs, cases, history};
use crate::history::History;
use crate::linearizability::fast::{self, Fast};
use crate::linearizability::part::split;
use crate::linearizability::{Evidence, linearizable, verify};
use crate::models::{
    Abstraction, Model, PriorityQueue, PriorityQueueInput, PriorityQueueOutput, Queue, QueueInput,
    QueueOutput, Set, SetInput, Stack, StackInput, StackOutput,
};
use crate::verdict::{Budget, Path, Verdict};

/// Counts of (linearizable, decided by the monitor).
type Counts = [u32; 4];

fn agree<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    path: Path,
    why: &str,
    counts: &mut Counts,
) -> bool
where
    M::Input: Clone + std::fmt::Debug,
    M::Output: Clone + std::fmt::Debug,
{
    let truth = brute::linearizable(model, history);
    let mut decided = true;
    let mut all_hold = true;
    for part in split(model, history).expect("well-formed").iter() {
        let view: Option<Abstraction<'_>> = model.abstraction(&mut part.spans.iter().map(|span| {
            let operation = &history.operations[span.index as usize];
            (&operation.input, operation.outcome.output())
        }));
        let answer = view.and_then(|view| fast::decide(&part, &view)).expect("a monitor");
        assert_eq!(answer.0, path);
        match answer.1 {
            Fast::Order(_) => {}
            Fast::Contradiction { core, .. } => {
                assert!(!truth, "{why}: {core:?} is no contradiction in {history:?}");
                all_hold = false;
            }
            Fast::NotApplicable => decided = false,
        }
    }
    assert!(!decided || all_hold == truth, "{why}: {history:?}");
    counts[usize::from(truth) * 2 + usize::from(decided)] += 1;
    let verdict = linearizable(model, history, Budget::DEFAULT).expect("well-formed");
    let evidence = verify(model, history, &verdict);
    assert!(evidence.is_ok(), "{why}: {evidence:?} {verdict:?} {history:?}");
    match verdict {
        Verdict::Holds(_) => {
            assert!(truth, "{why}");
            assert_eq!(evidence, Ok(Evidence::Proof), "{why}: {history:?}");
        }
        Verdict::Violated(witness) => {
            assert!(!truth, "{why}");
            let core = &witness.core;
            assert!(!brute::is_explained(model, history, core), "{why}: {witness:?} {history:?}");
            let mut before = brute::before_response(history, witness.operation as usize);
            let last = &history.operations[witness.operation as usize].input;
            before.operations.retain(|op| model.partition(&op.input) == model.partition(last));
            assert!(brute::linearizable(model, &before), "{why}: {witness:?} {history:?}");
        }
        Verdict::Unknown(out) => panic!("{why}: {out:?}"),
    }
    truth
}

fn shape(random: &mut Random, unknown: u64) -> Shape {
    Shape {
        operations: 1 + random.below(8) as usize,
        clients: 1 + random.below(5),
        unknown: [0, 0, unknown][random.below(3) as usize],
        lies: [0, 5, 20, 50][random.below(4) as usize],
        gap: 1 + random.below(4),
    }
}

#[test]
fn sets_agree_with_brute_force() {
    let (mut counts, mut wrongs) = (Counts::default(), Wrongs::default());
    for seed in 0..cases(6_000) {
        let mut random = Random(seed);
        let shape = shape(&mut random, 30);
        let elements = 1 + random.below(2);
        let history = history(
            &mut random,
            &shape,
            &Set::new(),
            |random, _| {
                let element = random.below(elements);
                match random.below(3) {
                    0 => SetInput::Insert(element),
                    1 => SetInput::Remove(element),
                    _ => SetInput::Contains(element),
                }
            },
            |state, input| if matches!(input, SetInput::Insert(_)) { !state } else { *state },
            |random, _| random.percent(50),
        );
        let why = format!("seed {seed}");
        let mut judge = |history: &_| agree(&Set::new(), history, Path::Set, &why, &mut counts);
        if judge(&history) && seed % 4 == 0 {
            wrongs.judge(&mut random, &history, judge);
        }
    }
    wrongs.assert_each(cases(6_000) as u32 / 400);
    assert!(
        counts.iter().skip(1).step_by(2).all(|n| u64::from(*n) > cases(6_000) / 10),
        "{counts:?}"
    );
}

macro_rules! container {
    ($test:ident, $model:expr, $path:expr, $input:ident, $output:ident, $insert:ident,
     $remove:ident, $next:expr) => {
        #[test]
        fn $test() {
            let (mut counts, mut wrongs) = (Counts::default(), Wrongs::default());
            for seed in 0..cases(6_000) {
                let mut random = Random(seed);
                let shape = shape(&mut random, 20);
                let all = shape.operations as u64 + 1;
                let inserts = 30 + random.below(60);
                // A permutation, so that priorities do not follow the order of insertion.
                let times = [1, 2, 5, 7][random.below(4) as usize];
                let value = |n: u64| n * times % 11;
                let history = history(
                    &mut random,
                    &shape,
                    &$model,
                    |random, asked| {
                        if random.percent(inserts) {
                            $input::$insert(value(asked))
                        } else {
                            $input::$remove
                        }
                    },
                    |state: &Vec<u64>, input| match input {
                        $input::$insert(_) => $output::Done,
                        $input::$remove => {
                            let next: fn(&Vec<u64>) -> Option<u64> = $next;
                            $output::Removed(next(state))
                        }
                    },
                    |random, input| match input {
                        $input::$insert(_) => $output::Done,
                        $input::$remove => {
                            let n = random.below(all + 1);
                            $output::Removed((n < all).then(|| value(n)))
                        }
                    },
                );
                let why = format!("seed {seed}");
                let mut judge = |history: &_| agree(&$model, history, $path, &why, &mut counts);
                if judge(&history) && seed % 4 == 0 {
                    wrongs.judge(&mut random, &history, judge);
                }
            }
            wrongs.assert_each(cases(6_000) as u32 / 400);
            assert!(
                counts.iter().skip(1).step_by(2).all(|n| u64::from(*n) > cases(6_000) / 10),
                "{counts:?}"
            );
        }
    };
}

container!(
    queues_agree_with_brute_force,
    Queue::new(),
    Path::Queue,
    QueueInput,
    QueueOutput,
    Enqueue,
    Dequeue,
    |state| state.first().copied()
);
container!(
    stacks_agree_with_brute_force,
    Stack::new(),
    Path::Stack,
    StackInput,
    StackOutput,
    Push,
    Pop,
    |state| state.last().copied()
);
container!(
    priority_queues_agree_with_brute_force,
    PriorityQueue::new(),
    Path::PriorityQueue,
    PriorityQueueInput,
    PriorityQueueOutput,
    Insert,
    Poll,
    |state| state.last().copied()
);
