//! Seeded histories: correct ones, correct ones with one lie, and noise.

use crate::history::{History, Operation, Outcome};
use crate::models::Model;

/// How many random histories a test judges: `debug`, and a hundred thousand where a build is fast.
pub(crate) const fn cases(debug: u64) -> u64 {
    if cfg!(debug_assertions) { debug } else { 100_000 }
}

/// `SplitMix64`: enough randomness for tests, the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(crate) fn percent(&mut self, p: u64) -> bool {
        self.below(100) < p
    }
}

/// How a history is made.
pub(crate) struct Shape {
    pub(crate) operations: usize,
    pub(crate) clients: u64,
    /// Percentage of operations whose answer never comes.
    pub(crate) unknown: u64,
    /// Percentage of answers replaced by a plausible other one.
    pub(crate) lies: u64,
    /// Stamps go up by less than this: small values make ties.
    pub(crate) gap: u64,
}

/// A run of a correct object by clients that take turns at random, and what they saw. `ask` makes
/// the n-th input; `answer` computes the output in a state; `lie` replaces one.
pub(crate) fn history<M: Model>(
    random: &mut Random,
    shape: &Shape,
    model: &M,
    mut ask: impl FnMut(&mut Random, u64) -> M::Input,
    answer: impl Fn(&M::State, &M::Input) -> M::Output,
    mut lie: impl FnMut(&mut Random, &M::Input) -> M::Output,
) -> History<M::Input, M::Output> {
    let mut state = model.initial();
    let mut time = 0;
    // Per client: the open operation, and its answer once it took effect.
    let mut open: Vec<Option<(usize, Option<M::Output>)>> = Vec::new();
    open.resize_with(shape.clients as usize, || None);
    let mut history = History { operations: Vec::new() };
    let mut asked = 0;
    while history.len() < shape.operations || open.iter().any(Option::is_some) {
        time += random.below(shape.gap);
        let client = random.below(shape.clients) as usize;
        match open[client].take() {
            None if history.len() < shape.operations => {
                let input = ask(random, asked);
                asked += 1;
                history.operations.push(Operation {
                    client: client as u32,
                    call: time,
                    input,
                    outcome: Outcome::Indeterminate,
                });
                open[client] = Some((history.len() - 1, None));
            }
            None => {}
            Some((index, None)) => {
                if random.percent(shape.unknown) {
                    // Lost: it happens now, or never.
                    if random.percent(50) {
                        let input = &history.operations[index].input;
                        state = model.step(&state, input, None).unwrap_or(state);
                    }
                    continue;
                }
                let input = &history.operations[index].input;
                let mut output = answer(&state, input);
                state = model.step(&state, input, Some(&output)).expect("a correct answer");
                if random.percent(shape.lies) {
                    output = lie(random, input);
                }
                open[client] = Some((index, Some(output)));
            }
            Some((index, Some(output))) => {
                history.operations[index].outcome = Outcome::Ok { returned: time, output };
            }
        }
    }
    history
}

/// Who asked does not matter to a check, only that nobody asks twice at once.
pub(crate) fn each_by_a_client_of_its_own<I, O>(history: &mut History<I, O>) {
    for (client, operation) in (0..).zip(&mut history.operations) {
        operation.client = client;
    }
}

/// What is done to a correct history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mutation {
    /// Two operations exchange their answers.
    SwapAnswers,
    /// An operation is lost from the record.
    Lose,
    /// Two operations exchange their times.
    Reorder,
}

/// The history with one mutation of each kind, at random places.
pub(crate) fn mutants<I: Clone, O: Clone>(
    random: &mut Random,
    history: &History<I, O>,
) -> Vec<(Mutation, History<I, O>)> {
    let mut mutants = Vec::new();
    let n = history.len() as u64;
    for mutation in [Mutation::SwapAnswers, Mutation::Lose, Mutation::Reorder] {
        let (one, other) = (random.below(n) as usize, random.below(n) as usize);
        let mut mutant = history.clone();
        let operations = &mut mutant.operations;
        match mutation {
            Mutation::Lose => {
                operations.remove(one);
            }
            Mutation::SwapAnswers => {
                // Where the answers came stays: only what they said is exchanged.
                let told = |at: usize| history.operations[at].outcome.output().cloned();
                let (Some(first), Some(second)) = (told(one), told(other)) else { continue };
                for (at, told) in [(one, second), (other, first)] {
                    if let Outcome::Ok { output, .. } = &mut operations[at].outcome {
                        *output = told;
                    }
                }
            }
            Mutation::Reorder => {
                let (first, second) = (&history.operations[one], &history.operations[other]);
                let (first, second) = (first.clone(), second.clone());
                for (at, time) in [(one, second), (other, first)] {
                    operations[at].call = time.call;
                    if let (Outcome::Ok { returned, .. }, Some(other)) =
                        (&mut operations[at].outcome, time.outcome.returned())
                    {
                        *returned = other;
                    }
                }
                let ends =
                    |op: &Operation<I, O>| op.outcome.returned().is_none_or(|r| r >= op.call);
                if !operations.iter().all(ends) {
                    continue;
                }
                each_by_a_client_of_its_own(&mut mutant);
                mutant.sort_by_call();
            }
        }
        mutants.push((mutation, mutant));
    }
    mutants
}

/// Mutants that are wrong, by kind, all of which were found.
#[derive(Default)]
pub(crate) struct Wrongs(std::collections::BTreeMap<Mutation, u32>);

impl Wrongs {
    /// Mutates a correct history and has each mutant judged: the judge compares with brute force
    /// and tells whether the mutant still holds.
    pub(crate) fn judge<I: Clone, O: Clone>(
        &mut self,
        random: &mut Random,
        history: &History<I, O>,
        mut holds: impl FnMut(&History<I, O>) -> bool,
    ) {
        for (mutation, mutant) in mutants(random, history) {
            if !holds(&mutant) {
                *self.0.entry(mutation).or_insert(0) += 1;
            }
        }
    }

    /// Every kind of mutation made a wrong history at least this often.
    pub(crate) fn assert_each(&self, least: u32) {
        assert!(self.0.len() == 3 && self.0.values().all(|n| *n >= least), "{:?}", self.0);
    }
}
