//! Operations that are lost, alike or commute: every search against brute force, and what the
//! reductions save.

use super::brute;
use super::random::{Random, Shape, Wrongs, cases, history};
use crate::history::History;
use crate::linearizability::depth_first::{self, Found, Pending};
use crate::linearizability::machine::ModelMachine;
use crate::linearizability::part::split;
use crate::linearizability::{breadth_first, claimed, linearizable};
use crate::meter::Meter;
use crate::models::{
    Bag, BagInput, BagOutput, Counter, CounterInput, CounterOutput, Model, Seen, commute_in,
};
use crate::verdict::{Budget, Verdict};
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A counter whose add answers the new total.
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

/// How much of what commutes a model of cells declares.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Declares {
    Nothing,
    Truth,
    /// That everything commutes.
    Nonsense,
}

/// Three counters in one state, without a key.
struct Cells(Declares);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Cell {
    Add(usize, u64),
    AddAndRead(usize, u64),
    Read(usize),
    /// Adds what the first cell holds to the second.
    Move,
}

impl Model for Cells {
    type Input = Cell;
    type Output = u64;
    type State = [u64; 3];
    type Key = ();

    fn initial(&self) -> [u64; 3] {
        [0; 3]
    }

    fn step(&self, state: &[u64; 3], input: &Cell, output: Option<&u64>) -> Option<[u64; 3]> {
        let mut after = *state;
        let answer = match *input {
            Cell::Add(cell, n) => {
                after[cell] += n;
                0
            }
            Cell::AddAndRead(cell, n) => {
                after[cell] += n;
                after[cell]
            }
            Cell::Read(cell) => state[cell],
            Cell::Move => {
                after[1] += after[0];
                0
            }
        };
        output.is_none_or(|output| *output == answer).then_some(after)
    }

    fn is_pure(&self, input: &Cell, _: Option<&u64>) -> bool {
        matches!(input, Cell::Read(_))
    }

    fn commutes(&self, one: Seen<'_, Cell, u64>, other: Seen<'_, Cell, u64>) -> bool {
        let cell = |input: &Cell| match *input {
            Cell::Add(cell, _) | Cell::AddAndRead(cell, _) | Cell::Read(cell) => Some(cell),
            Cell::Move => None,
        };
        let hides = |(input, output): Seen<'_, Cell, u64>| match input {
            Cell::Add(..) => true,
            _ => output.is_none(),
        };
        match (self.0, cell(one.0), cell(other.0)) {
            (Declares::Nonsense, ..) => true,
            (Declares::Truth, Some(a), Some(b)) => a != b || hides(one) && hides(other),
            (Declares::Nothing | Declares::Truth, ..) => false,
        }
    }
}

fn ask_cells(random: &mut Random) -> Cell {
    let cell = random.below(3) as usize;
    match random.below(8) {
        0..3 => Cell::Add(cell, 1 + random.below(2)),
        3 | 4 => Cell::AddAndRead(cell, 1 + random.below(2)),
        5 | 6 => Cell::Read(cell),
        _ => Cell::Move,
    }
}

fn answer_cells(state: &[u64; 3], input: &Cell) -> u64 {
    match *input {
        Cell::Add(..) | Cell::Move => 0,
        Cell::AddAndRead(cell, n) => state[cell] + n,
        Cell::Read(cell) => state[cell],
    }
}

/// Every search says what brute force says, and what it finds is an order; whether it holds.
fn every_search_agrees<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    why: &str,
    counts: &mut [u32; 3],
) -> bool
where
    M::Input: Debug,
    M::Output: Debug,
{
    let truth = brute::linearizable(model, history);
    counts[usize::from(truth)] += 1;
    let parts = split(model, history).expect("well-formed");
    let Some(part) = parts.iter().next() else { return truth };
    let machine = || ModelMachine::new(model, history, &part);
    let meter = || Meter::new(Budget::configurations(1_000_000));
    let ways = [1, 2, 3, u32::MAX].map(|in_a_row| Pending::Last { in_a_row });
    let mut found = vec![breadth_first::search(&part, &mut machine(), &mut meter())];
    for pending in ways.into_iter().chain([Pending::AsCalled]) {
        found.push(Some(depth_first::search(&part, &mut machine(), &mut meter(), pending)));
    }
    let mut stuck = Vec::new();
    for (number, found) in found.into_iter().enumerate() {
        let why = format!("{why}, search {number}: {history:?}");
        match found {
            Some(Found::Order(order)) => {
                let index = |position: &u32| part.spans[*position as usize].index;
                let order: Vec<u32> = order.iter().map(index).collect();
                assert_eq!(claimed::follows(model, history, &order), Ok(()), "{why}");
            }
            Some(Found::Stuck { operation, .. }) => {
                assert!(!truth, "{why}");
                stuck.push(operation);
            }
            Some(Found::Limited) => {
                counts[2] += 1;
                assert!((1..4).contains(&number), "{why}");
            }
            Some(Found::OutOf(limit)) => panic!("{why}: {limit:?}"),
            None => panic!("{why}: too many open"),
        }
    }
    stuck.dedup();
    assert!(stuck.len() < 2, "{why}: stuck at different responses {history:?}");
    truth
}

/// Random histories in which many answers are lost; both answers must come often.
fn agree<M: Model>(
    model: &M,
    ask: impl Fn(&mut Random) -> M::Input,
    answer: impl Fn(&M::State, &M::Input) -> M::Output,
    lie: impl Fn(&mut Random, &M::Input) -> M::Output,
) where
    M::Input: Clone + Debug,
    M::Output: Clone + Debug,
{
    let (mut counts, mut wrongs) = ([0_u32; 3], Wrongs::default());
    for seed in 0..cases(2_000) {
        let mut random = Random(seed);
        let shape = Shape {
            operations: 1 + random.below(8) as usize,
            clients: 1 + random.below(4),
            unknown: [10, 40, 60][random.below(3) as usize],
            lies: [0, 20, 50][random.below(3) as usize],
            gap: 1 + random.below(4),
        };
        let history = history(&mut random, &shape, model, |random, _| ask(random), &answer, &lie);
        let why = format!("seed {seed}");
        let mut judge = |history: &_| every_search_agrees(model, history, &why, &mut counts);
        if judge(&history) && seed % 4 == 0 {
            wrongs.judge(&mut random, &history, judge);
        }
    }
    wrongs.assert_each(cases(2_000) as u32 / 400);
    assert!(counts.iter().all(|count| u64::from(*count) > cases(2_000) / 20), "{counts:?}");
}

#[test]
fn totals_with_lost_answers_agree_with_brute_force() {
    agree(
        &Total,
        |random| 1 + random.below(3),
        |state, n| state + n,
        |random, n| n + random.below(8),
    );
}

#[test]
fn subsets_of_one_sum_are_kept_apart() {
    // Four may be two and two, or one and three: what comes then tells which.
    let mut counts = [0; 3];
    for more in 1..6 {
        let mut history = History::new();
        for (client, n) in (0..).zip([1, 3, 2, 2]) {
            history.invoke(client, 0, n);
        }
        for (time, total) in [(10, 9), (20, 14 + more)] {
            let add = history.invoke(9, time, 5);
            history.complete(add, time + 1, total);
        }
        let holds = every_search_agrees(&Total, &history, &format!("{more} more"), &mut counts);
        assert_eq!(holds, more < 5, "{more} more");
    }
}

#[test]
fn cells_that_commute_agree_with_brute_force() {
    for declares in [Declares::Nothing, Declares::Truth] {
        agree(&Cells(declares), ask_cells, answer_cells, |random, _| random.below(5));
    }
}

/// Two operations that a model says commute, and a state in which they do not.
fn counterexample<M: Model>(
    model: &M,
    ask: impl Fn(&mut Random) -> M::Input,
    answer: impl Fn(&M::State, &M::Input) -> M::Output,
) -> Option<String>
where
    M::State: Debug,
    M::Input: Debug,
    M::Output: Debug,
{
    let mut claimed = 0;
    for seed in 0..cases(5_000) {
        let mut random = Random(seed);
        let mut states = vec![model.initial()];
        for _ in 0..random.below(6) {
            let after = states.last().and_then(|state| model.step(state, &ask(&mut random), None));
            states.extend(after);
        }
        let state = states.last().expect("the initial one");
        // Answers of this state and of others, or none.
        let mut seen = || {
            let input = ask(&mut random);
            let of = random.below(states.len() as u64 + 1) as usize;
            let output = states.get(of).map(|state| answer(state, &input));
            (input, output)
        };
        let (one, other) = (seen(), seen());
        let (first, then) = ((&one.0, one.1.as_ref()), (&other.0, other.1.as_ref()));
        let says = model.commutes(first, then);
        assert_eq!(says, model.commutes(then, first), "not symmetric: {one:?} {other:?}");
        claimed += u32::from(says);
        if says && !commute_in(model, state, first, then) {
            return Some(format!("{one:?} and {other:?} in {state:?}"));
        }
    }
    assert!(claimed > 100, "nothing is said to commute");
    None
}

#[test]
fn what_models_say_commutes_does() {
    let counter = counterexample(
        &Counter::default(),
        |random| match random.below(3) {
            0 => CounterInput::Read,
            1 => CounterInput::Add(random.below(3) as i64 - 1),
            _ => CounterInput::AddAndRead(random.below(3) as i64 - 1),
        },
        |state, input| match input {
            CounterInput::Read => CounterOutput::Value(*state),
            CounterInput::Add(_) => CounterOutput::Done,
            CounterInput::AddAndRead(n) => CounterOutput::Value(state + n),
        },
    );
    assert_eq!(counter, None);
    let bag = counterexample(
        &Bag::new(),
        |random| match random.below(3) {
            0 => BagInput::Add(0_u8),
            1 => BagInput::Remove(0),
            _ => BagInput::Count(0),
        },
        |state, input| match input {
            BagInput::Add(_) => BagOutput::Done,
            BagInput::Remove(_) => BagOutput::Removed(*state > 0),
            BagInput::Count(_) => BagOutput::Copies(*state),
        },
    );
    assert_eq!(bag, None);
    assert_eq!(counterexample(&Cells(Declares::Truth), ask_cells, answer_cells), None);
    assert!(counterexample(&Cells(Declares::Nonsense), ask_cells, answer_cells).is_some());
}

/// Lost adds, none of which concerns the first cell, and an answer that none of them explains.
fn lost_adds_elsewhere(count: u32) -> History<Cell, u64> {
    let mut history = History::new();
    for client in 0..count {
        let add = Cell::Add(1 + client as usize % 2, 1 << client);
        history.invoke(client, u64::from(client), add);
    }
    let read = history.invoke(count, 100, Cell::Read(0));
    history.complete(read, 101, 7);
    history
}

#[test]
fn a_false_declaration_is_found_where_debug_assertions_are_on() {
    let history = lost_adds_elsewhere(2);
    let judge = |declares| {
        let model = Cells(declares);
        catch_unwind(AssertUnwindSafe(|| linearizable(&model, &history, Budget::DEFAULT)))
    };
    assert!(judge(Declares::Truth).is_ok());
    // Here it is true of what was asked: adds and a read of other cells.
    assert!(judge(Declares::Nonsense).is_ok());
    let mut wrong = History::new();
    wrong.invoke(0, 0, Cell::Add(0, 7));
    let read = wrong.invoke(1, 1, Cell::Read(0));
    wrong.complete(read, 2, 7);
    let judge = |declares| {
        let model = Cells(declares);
        catch_unwind(AssertUnwindSafe(|| linearizable(&model, &wrong, Budget::DEFAULT)))
    };
    assert!(judge(Declares::Truth).is_ok_and(|verdict| verdict.is_ok_and(|told| told.holds())));
    let told = judge(Declares::Nonsense).map(|verdict| verdict.map(|told| told.holds()));
    if cfg!(debug_assertions) {
        let panic = told.expect_err("it is checked in every state");
        let said = panic.downcast_ref::<String>().expect("a message");
        assert!(said.starts_with("Model::commutes says of operations 1 and 0"), "{said}");
    } else {
        assert_eq!(told.expect("nobody looks"), Ok(false));
    }
}

#[test]
fn what_commutes_with_the_next_answer_is_not_tried() {
    let history = lost_adds_elsewhere(40);
    let judge = |declares| {
        let budget = Budget::configurations(5_000);
        linearizable(&Cells(declares), &history, budget).expect("well-formed")
    };
    assert!(matches!(judge(Declares::Nothing), Verdict::Unknown(_)));
    let verdict = judge(Declares::Truth);
    assert!(verdict.witness().is_some(), "{verdict}");
    assert!(verdict.statistics().configurations < 10, "{verdict:?}");
}

#[test]
fn lost_operations_that_are_alike_are_counted_and_not_named() {
    // Thirty lost adds of five kinds, and a total beyond them all: 7^5 subsets instead of 2^30.
    let mut history = History::new();
    for client in 0..30 {
        history.invoke(client, u64::from(client), [1, 10, 100, 1_000, 10_000][client as usize % 5]);
    }
    let add = history.invoke(30, 100, 5);
    history.complete(add, 101, 66_672);
    let verdict = linearizable(&Total, &history, Budget::DEFAULT).expect("well-formed");
    assert!(verdict.witness().is_some(), "{verdict}");
    assert!(verdict.statistics().configurations < 60_000, "{verdict:?}");
}
