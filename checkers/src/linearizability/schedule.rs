//! Which algorithm judges which part, for how long.
//!
//! A part goes first to the algorithm of its structure, if it has one, and then to the two searches
//! in turn, each with ten times the budget of its last try, over all undecided parts before any
//! gets more: one hard key must not hide an easy violation in another. Reductions of the searches,
//! each with the reason why it is sound:
//!
//! - R1 pure operations that fit are placed at once. Pure means: changes no state in which it fits.
//!   (An operation that happens to leave *this* state unchanged is not enough: a write of the
//!   current value may be needed later.)
//! - R2 of two configurations with equal state and effects, the one that used fewer indeterminate
//!   operations and placed more pure ones can do whatever the other can.
//! - R3 of interchangeable operations the one that responds first goes first, by exchange.
//! - R4 values that no operation can tell apart are one state (`register_machine`).
//! - Round robin over the parts.

use super::breadth_first;
use super::depth_first::{self, Found};
use super::fast::{self, Fast};
use super::machine::{Machine, ModelMachine};
use super::part::{Part, Parts, Span};
use super::register_machine::RegisterMachine;
use crate::history::{History, Outcome as Ended};
use crate::meter::{Meter, Spent};
use crate::models::{Abstraction, Model};
use crate::verdict::{Budget, Limit, Path, Reason, Statistics};

/// Parts up to this many operations are judged again to find the very response that breaks them.
const EXACT: usize = 1 << 17;

/// The operations of a part of fewer than this stay in the cache between two looks at them.
const NEAR: usize = 1 << 12;

/// What became of a part. Operations are positions in it.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Order(Vec<u32>),
    Violated {
        operation: u32,
        core: Vec<u32>,
        prefix: Vec<u32>,
        reason: Reason,
        /// Answers from the response of this operation on were not used.
        answers_before: Option<u32>,
    },
    OutOf(Limit),
}

/// Judges parts of one history.
pub(crate) struct Schedule<'a, M: Model> {
    pub(crate) model: &'a M,
    pub(crate) history: &'a History<M::Input, M::Output>,
    pub(crate) budget: Budget,
    pub(crate) statistics: Statistics,
}

impl<'a, M: Model> Schedule<'a, M> {
    /// The outcome of every part, or of the first that is violated alone.
    pub(crate) fn run(&mut self, parts: &Parts) -> Result<Vec<Outcome>, (usize, Outcome)> {
        let mut outcomes = Vec::with_capacity(parts.len());
        let mut hard = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let outcome = self.without_search(&part);
            match outcome {
                Some(violated @ Outcome::Violated { .. }) => return Err((number, violated)),
                Some(outcome) => outcomes.push(outcome),
                None => {
                    hard.push(number);
                    outcomes.push(Outcome::OutOf(Limit::Configurations));
                }
            }
        }
        let mut slice = 10_000_u64;
        while !hard.is_empty() {
            let mut undecided = Vec::new();
            for number in hard {
                match self.search(&parts.get(number), slice) {
                    violated @ Outcome::Violated { .. } => return Err((number, violated)),
                    outcome => {
                        if matches!(outcome, Outcome::OutOf(_)) {
                            undecided.push(number);
                        }
                        outcomes[number] = outcome;
                    }
                }
            }
            hard = undecided;
            if self.left() == 0 || slice >= self.budget.configurations {
                break;
            }
            slice = slice.saturating_mul(10);
        }
        Ok(outcomes)
    }

    fn left(&self) -> u64 {
        self.budget.configurations.saturating_sub(self.statistics.configurations)
    }

    fn decided(&mut self, path: Path) {
        self.statistics.decided[path as usize] += 1;
    }

    fn without_search(&mut self, part: &Part<'_>) -> Option<Outcome> {
        let abstraction = self.abstraction(part)?;
        let (path, fast) = fast::decide(part, &abstraction)?;
        match fast {
            Fast::NotApplicable => None,
            Fast::Order(order) => {
                self.decided(path);
                Some(Outcome::Order(order))
            }
            Fast::Contradiction { core, reason } => {
                let outcome = self.pinpoint(part, core, reason)?;
                self.decided(path);
                Some(outcome)
            }
        }
    }

    fn abstraction(&self, part: &Part<'_>) -> Option<Abstraction<'a>> {
        let (model, history) = (self.model, self.history);
        if part.len() < NEAR && part.len() < history.len() {
            // The operations of a key lie far apart. Touching them first, each on its own, lets the
            // processor wait for many at once; what follows asks for them one after the other.
            let touched = |sum: u64, span: &Span| {
                let operation = &history.operations[span.index as usize];
                let lost = matches!(operation.outcome, Ended::Indeterminate);
                sum ^ operation.call ^ u64::from(lost)
            };
            std::hint::black_box(part.spans.iter().fold(0, touched));
        }
        model.abstraction(&mut part.spans.iter().map(|span| {
            let operation = &history.operations[span.index as usize];
            let output = if span.known { operation.outcome.output() } else { None };
            (&operation.input, output)
        }))
    }

    /// Finds the response at which a contradiction became certain: the part that ends before the
    /// last response of the core is judged again, until it holds.
    fn pinpoint(
        &mut self,
        part: &Part<'_>,
        mut core: Vec<u32>,
        mut reason: Reason,
    ) -> Option<Outcome> {
        let rank = |op: u32| (part.spans[op as usize].ret, op);
        // Responses from here on are unknown to the contradiction.
        let mut end = (u64::MAX, u32::MAX);
        let mut answers_before = None;
        loop {
            let known = |op: &u32| part.spans[*op as usize].known && rank(*op) < end;
            let last = core.iter().copied().filter(known).max_by_key(|op| rank(*op));
            // Without a response there is no contradiction: then the search shall judge.
            let operation = last?;
            end = rank(operation);
            if part.len() > EXACT {
                let prefix = Vec::new();
                return Some(Outcome::Violated { operation, core, prefix, reason, answers_before });
            }
            let (before, positions) = part.before_response(operation);
            let before = Part { spans: &before };
            let fast = self.abstraction(&before).and_then(|view| fast::decide(&before, &view));
            let back = |ops: Vec<u32>| -> Vec<u32> {
                ops.iter().map(|op| positions[*op as usize]).collect()
            };
            let prefix = match fast {
                Some((_, Fast::Contradiction { core: earlier, reason: why })) => {
                    (core, reason) = (back(earlier), why);
                    answers_before = Some(operation);
                    continue;
                }
                Some((_, Fast::Order(order))) => back(order),
                Some((_, Fast::NotApplicable)) | None => match self.search_aside(&before) {
                    Outcome::Order(order) => back(order),
                    Outcome::OutOf(_) => Vec::new(),
                    Outcome::Violated { operation: earlier, core, prefix, reason, .. } => {
                        let answers_before = Some(operation);
                        let operation = positions[earlier as usize];
                        let (core, prefix) = (back(core), back(prefix));
                        return Some(Outcome::Violated {
                            operation,
                            core,
                            prefix,
                            reason,
                            answers_before,
                        });
                    }
                },
            };
            return Some(Outcome::Violated { operation, core, prefix, reason, answers_before });
        }
    }

    /// A short search that decides no part.
    fn search_aside(&mut self, part: &Part<'_>) -> Outcome {
        let decided = self.statistics.decided;
        let outcome = self.search(part, 10_000);
        self.statistics.decided = decided;
        outcome
    }

    fn spend(&mut self, spent: Spent) {
        self.statistics.configurations += spent.configurations;
        self.statistics.bytes = self.statistics.bytes.max(spent.bytes);
    }

    /// One try of each search.
    fn search(&mut self, part: &Part<'_>, slice: u64) -> Outcome {
        match self.abstraction(part) {
            Some(Abstraction::Register(view)) => {
                let mut machine = RegisterMachine::new(part, &view);
                self.search_on(part, &mut machine, slice)
            }
            _ => {
                let mut machine = ModelMachine::new(self.model, self.history, part);
                self.search_on(part, &mut machine, slice)
            }
        }
    }

    fn search_on(&mut self, part: &Part<'_>, machine: &mut impl Machine, slice: u64) -> Outcome {
        let mut limit = Limit::Configurations;
        // Most histories are nearly in order: then depth first goes straight to an order.
        let straight = (part.len() as u64 * 2 + 50).min(slice);
        let tries =
            [(Path::DepthFirst, straight), (Path::BreadthFirst, slice), (Path::DepthFirst, slice)];
        for (path, slice) in tries {
            let budget = Budget { configurations: slice.min(self.left()), ..self.budget };
            let mut meter = Meter::new(budget);
            let found = match path {
                Path::BreadthFirst => breadth_first::search(part, machine, &mut meter),
                _ => Some(depth_first::search(part, machine, &mut meter)),
            };
            self.spend(meter.spent());
            match found {
                Some(Found::Order(order)) => {
                    self.decided(path);
                    return Outcome::Order(order);
                }
                Some(Found::Stuck { operation, prefix }) => {
                    self.decided(path);
                    let end = part.spans[operation as usize].ret;
                    let core = (0..part.len() as u32)
                        .filter(|op| part.spans[*op as usize].call <= end)
                        .collect();
                    let reason = Reason::NoOrder;
                    let answers_before = None;
                    return Outcome::Violated { operation, core, prefix, reason, answers_before };
                }
                Some(Found::OutOf(out)) => limit = out,
                None => {}
            }
        }
        Outcome::OutOf(limit)
    }
}
