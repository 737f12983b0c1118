//! Which algorithm judges which part, for how long.
//!
//! A part goes first to the algorithm of its structure, if it has one, and then to the two searches
//! in turn, each with ten times the budget of its last try, over all undecided parts before any
//! gets more: one hard key must not hide an easy violation in another. Where operations are
//! indeterminate, depth first comes first with few of them in a row: that finds most orders.
//! Reductions of the searches, each with the reason why it is sound:
//!
//! - R1 pure operations that fit are placed at once. Pure means: changes no state in which it fits.
//!   (An operation that happens to leave *this* state unchanged is not enough: a write of the
//!   current value may be needed later.)
//! - R2 of two configurations with equal state and effects, the one that used fewer indeterminate
//!   operations and placed more pure ones can do whatever the other can.
//! - R3 of interchangeable operations the one that responds first goes first, by exchange.
//! - R4 values that no operation can tell apart are one state (`register_machine`).
//! - R5 what commutes with all that the next response can depend on waits (`depends`).
//! - R6 what may never have happened, and would have led to a state that no operation can tell from
//!   others, is left out, unless an answer says that a value was another one (`register_machine`).
//! - Round robin over the parts.

use super::breadth_first;
use super::depth_first::{self, Found, Pending};
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
    Violated(Violation),
    OutOf(Limit),
}

/// Why a part has no order.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) operation: u32,
    pub(crate) core: Vec<u32>,
    pub(crate) prefix: Vec<u32>,
    pub(crate) reason: Reason,
    /// Answers from the response of this operation on were not used.
    pub(crate) answers_before: Option<u32>,
}

/// What is known of a part just before a response.
enum Before {
    /// It contradicts itself, by an algorithm that does not tell since when.
    Contradiction(Vec<u32>, Reason),
    Holds(Vec<u32>),
    /// A search found the response from which on nothing explains it.
    Stuck(Violation),
    Unknown,
}

/// Judges parts of one history.
pub(crate) struct Schedule<'a, M: Model> {
    pub(crate) model: &'a M,
    pub(crate) history: &'a History<M::Input, M::Output>,
    pub(crate) budget: Budget,
    pub(crate) statistics: Statistics,
}

impl<'a, M: Model> Schedule<'a, M> {
    /// The outcome of every part, none of which is violated; or the first violation alone.
    pub(crate) fn run(&mut self, parts: &Parts) -> Result<Vec<Outcome>, (usize, Violation)> {
        let mut outcomes = Vec::with_capacity(parts.len());
        let mut hard = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let outcome = self.without_search(&part);
            match outcome {
                Some(Outcome::Violated(violation)) => return Err((number, violation)),
                Some(outcome) => outcomes.push(outcome),
                None => {
                    hard.push(number);
                    outcomes.push(Outcome::OutOf(Limit::Configurations));
                }
            }
        }
        for round in 0.. {
            let mut undecided = Vec::new();
            for number in hard {
                match self.search(&parts.get(number), round) {
                    Outcome::Violated(violation) => return Err((number, violation)),
                    outcome => {
                        if matches!(outcome, Outcome::OutOf(_)) {
                            undecided.push(number);
                        }
                        outcomes[number] = outcome;
                    }
                }
            }
            hard = undecided;
            let is_spent = self.left() == 0 || slice(round) >= self.budget.configurations;
            if hard.is_empty() || is_spent {
                break;
            }
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

    /// Finds the response at which a contradiction became certain: what ends just before it can be
    /// explained. What contradicts itself still does when more follows, so that halving finds it.
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
        let mut responses = Vec::new();
        // What ends before the response of this place can be explained.
        let mut holds = 0;
        loop {
            let known = |op: &u32| part.spans[*op as usize].known && rank(*op) < end;
            // Without a response there is no contradiction: then the search shall judge.
            let operation = core.iter().copied().filter(known).max_by_key(|op| rank(*op))?;
            let found = |core, prefix| {
                let violation = Violation { operation, core, prefix, reason, answers_before };
                Some(Outcome::Violated(violation))
            };
            if part.len() > EXACT {
                return found(core, Vec::new());
            }
            match self.before(part, operation) {
                Before::Holds(prefix) => return found(core, prefix),
                Before::Unknown => return found(core, Vec::new()),
                Before::Stuck(earlier) => return Some(Outcome::Violated(earlier)),
                Before::Contradiction(earlier, why) => (core, reason) = (earlier, why),
            }
            (end, answers_before) = (rank(operation), Some(operation));
            // There may be as many contradictions as operations: halfway to what holds, too.
            if responses.is_empty() {
                responses.extend(part.known());
                responses.sort_unstable_by_key(|op| rank(*op));
            }
            let place = responses.partition_point(|op| rank(*op) < end);
            let middle = holds + (place - holds) / 2;
            match self.before(part, responses[middle]) {
                Before::Holds(_) => holds = middle,
                Before::Unknown => {}
                Before::Stuck(earlier) => return Some(Outcome::Violated(earlier)),
                Before::Contradiction(earlier, why) => {
                    (core, reason) = (earlier, why);
                    let operation = responses[middle];
                    (end, answers_before) = (rank(operation), Some(operation));
                }
            }
        }
    }

    /// Judges what could be known just before a response.
    fn before(&mut self, part: &Part<'_>, response: u32) -> Before {
        let (spans, positions) = part.before_response(response);
        let before = Part { spans: &spans };
        let back = |ops: Vec<u32>| ops.iter().map(|op| positions[*op as usize]).collect();
        let fast = self.abstraction(&before).and_then(|view| fast::decide(&before, &view));
        match fast {
            Some((_, Fast::Contradiction { core, reason })) => {
                Before::Contradiction(back(core), reason)
            }
            Some((_, Fast::Order(order))) => Before::Holds(back(order)),
            Some((_, Fast::NotApplicable)) | None => match self.search_aside(&before) {
                Outcome::Order(order) => Before::Holds(back(order)),
                Outcome::OutOf(_) => Before::Unknown,
                Outcome::Violated(violation) => Before::Stuck(Violation {
                    operation: positions[violation.operation as usize],
                    core: back(violation.core),
                    prefix: back(violation.prefix),
                    answers_before: Some(response),
                    ..violation
                }),
            },
        }
    }

    /// A short search that decides no part.
    fn search_aside(&mut self, part: &Part<'_>) -> Outcome {
        let decided = self.statistics.decided;
        let outcome = self.search(part, 0);
        self.statistics.decided = decided;
        outcome
    }

    fn spend(&mut self, spent: Spent) {
        self.statistics.configurations += spent.configurations;
        self.statistics.bytes = self.statistics.bytes.max(spent.bytes);
    }

    /// One round of searches.
    fn search(&mut self, part: &Part<'_>, round: u32) -> Outcome {
        match self.abstraction(part) {
            Some(Abstraction::Register(view)) => {
                let mut machine = RegisterMachine::new(part, &view);
                self.search_on(part, &mut machine, round)
            }
            _ => {
                let mut machine = ModelMachine::new(self.model, self.history, part);
                self.search_on(part, &mut machine, round)
            }
        }
    }

    fn search_on(&mut self, part: &Part<'_>, machine: &mut impl Machine, round: u32) -> Outcome {
        let mut limit = Limit::Configurations;
        for (search, slice) in tries(part, round) {
            let budget = Budget { configurations: slice.min(self.left()), ..self.budget };
            let mut meter = Meter::new(budget);
            let (path, found) = match search {
                Search::Breadth => {
                    (Path::BreadthFirst, breadth_first::search(part, machine, &mut meter))
                }
                Search::Depth(pending) => {
                    let found = depth_first::search(part, machine, &mut meter, pending);
                    (Path::DepthFirst, Some(found))
                }
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
                    return Outcome::Violated(Violation {
                        operation,
                        core,
                        prefix,
                        reason,
                        answers_before,
                    });
                }
                Some(Found::OutOf(out)) => limit = out,
                Some(Found::Limited) | None => {}
            }
        }
        Outcome::OutOf(limit)
    }
}

/// The configurations that each search of a round may expand.
fn slice(round: u32) -> u64 {
    10_000_u64.saturating_mul(10_u64.saturating_pow(round))
}

/// A search that can be tried.
#[derive(Clone, Copy, Debug)]
enum Search {
    Depth(Pending),
    Breadth,
}

/// The searches of a round, and how many configurations each may expand.
fn tries(part: &Part<'_>, round: u32) -> Vec<(Search, u64)> {
    let slice = slice(round);
    let lost = part.spans.iter().any(|span| !span.known);
    let lazy = |in_a_row| Search::Depth(Pending::Last { in_a_row });
    let mut tries = Vec::new();
    if round == 0 {
        // Most histories are nearly in order: then depth first goes straight to one. Others are
        // small for breadth first.
        let straight = part.len() as u64 * 2 + 50;
        tries.push((Search::Depth(Pending::AsCalled), straight));
        if lost {
            tries.push((Search::Breadth, straight));
            tries.push((lazy(1), straight));
        }
    }
    if lost {
        tries.push((lazy(2 + round), slice / 4));
        tries.push((lazy(3 + round), slice / 4));
    }
    tries.push((Search::Breadth, slice));
    tries.push((Search::Depth(Pending::AsCalled), slice));
    tries
}
