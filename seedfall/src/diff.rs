//! Two runs of one scenario, compared: the first event in which they differ, and the one decision
//! that makes the difference.
//!
//! Two runs of two seeds differ in every draw, so that a draw differs says nothing. A decision
//! *makes the difference* if, taken over from one run into the other, it alone makes that run do
//! what the first one did, up to and with the differing event. Every answer was tried out: it is a
//! run, not a guess. Where no single decision does it, none is named.

use crate::clients::{self, DRAWS};
use crate::plan::{Entry as Fault, FaultPlan};
use crate::report::{Conclusion, Report};
use crate::run::{Runnable, Trial};
use crate::scenario::OperationId;
use crate::shrink::fate;
use seedfall_sim::{
    ClientId, Draw, DrawAddress, Draws, Entry, Event, Kind, NodeId, Override, Recording, Site, Time,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// How many events before the first difference are told.
const COMMON: usize = 4;
/// Decisions that are tried out, at most; each costs up to two runs.
const TRIES_MAX: usize = 1_000;

/// One of the two runs, recorded in full and with its draws.
#[derive(Clone, Debug)]
pub struct Side {
    /// What was run, its plan written out.
    pub trial: Trial,
    /// What it came to.
    pub report: Report,
}

impl Side {
    /// Runs a trial, recorded in full and with its draws.
    pub fn of(scenario: &dyn Runnable, trial: &Trial) -> Self {
        let trial = Trial { recording: Recording::Full, log_draws: true, ..trial.clone() };
        let report = scenario.run(&trial);
        let plan = Some(report.plan.clone());
        Self { trial: Trial { plan, ..trial }, report }
    }

    fn plan(&self) -> &FaultPlan {
        &self.report.plan
    }

    fn event(&self, index: usize) -> Option<Event> {
        self.report.trace.get(index).map(|entry| entry.event)
    }
}

/// Where two runs diverge, and why.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The first event that differs, counted from one.
    pub event: u64,
    /// The last events before it, which the two have in common.
    pub common: Vec<Entry>,
    /// The event of the first run; `None`: it is over.
    pub left: Option<Entry>,
    /// The event of the second run; `None`: it is over.
    pub right: Option<Entry>,
    /// What makes the difference; `None`: no single decision does.
    pub decision: Option<Decision>,
}

/// A decision in which two runs differ, and what it was in each.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// A draw.
    Draw {
        /// Which.
        draw: DrawAddress,
        /// What it decides, in words.
        decides: String,
        /// What it was in the first run.
        left: String,
        /// What it was in the second run.
        right: String,
    },
    /// An entry of the fault plan.
    Fault {
        /// What the first run's plan has; `None`: nothing in its place.
        left: Option<Fault>,
        /// What the second run's plan has.
        right: Option<Fault>,
    },
    /// An operation that one of the two leaves out.
    Operation {
        /// Which.
        operation: OperationId,
        /// Whether the first run asks it; the second does what the first does not.
        left: bool,
    },
}

/// A single decision that is another one.
pub(crate) enum Change {
    Draw(DrawAddress),
    Fault(Option<Fault>, Option<Fault>),
    Operation(OperationId),
}

/// Compares two runs of a scenario; `None` if they are equal, event for event.
pub fn compare(scenario: &dyn Runnable, left: &Side, right: &Side) -> Option<Difference> {
    let at = first_difference(left, right)?;
    let decides = candidates(scenario, left, right, at)
        .into_iter()
        .take(TRIES_MAX)
        .find(|change| is_decisive(scenario, change, (left, right), at));
    let decision = decides.map(|change| told(change, left, right));
    Some(difference(left, right, at, decision))
}

fn difference(left: &Side, right: &Side, at: usize, decision: Option<Decision>) -> Difference {
    let (one, two) = (&left.report.trace, &right.report.trace);
    Difference {
        event: at as u64 + 1,
        common: one[at.saturating_sub(COMMON)..at].to_vec(),
        left: one.get(at).cloned(),
        right: two.get(at).cloned(),
        decision,
    }
}

/// The place of the first event in which two runs differ.
pub(crate) fn first_difference(left: &Side, right: &Side) -> Option<usize> {
    let longer = left.report.trace.len().max(right.report.trace.len());
    (0..longer).find(|index| left.event(*index) != right.event(*index))
}

/// Whether the decision, taken over by one of the runs, makes it do what the other did, up to and
/// with event `at`.
fn is_decisive(
    scenario: &dyn Runnable,
    change: &Change,
    (left, right): (&Side, &Side),
    at: usize,
) -> bool {
    let becomes = |to: &Side, from: &Side, change: &Change| {
        let Some(trial) = taken_over(change, to, from) else { return false };
        let budget = scenario.fault_budget_of(&trial);
        if trial.plan.as_ref().is_some_and(|plan| plan.check(&budget).is_err()) {
            return false;
        }
        let report = scenario.run(&Trial { log_draws: false, ..trial });
        let events = |report: &Report| -> Vec<Event> {
            report.trace.iter().take(at + 1).map(|entry| entry.event).collect()
        };
        events(&report) == events(&from.report)
    };
    let mirrored = match change {
        Change::Draw(draw) => Change::Draw(*draw),
        Change::Fault(one, two) => Change::Fault(two.clone(), one.clone()),
        Change::Operation(operation) => Change::Operation(*operation),
    };
    becomes(left, right, change) || becomes(right, left, &mirrored)
}

/// The trial of `to`, with one decision as it was in `from`.
fn taken_over(change: &Change, to: &Side, from: &Side) -> Option<Trial> {
    let mut trial = to.trial.clone();
    match change {
        Change::Draw(draw) => {
            trial.overrides.insert(*draw, value(from, *draw));
        }
        Change::Fault(own, other) => {
            let entries = &mut trial.plan.as_mut()?.entries;
            let place = match own {
                Some(own) => {
                    let place = entries.iter().position(|entry| entry == own)?;
                    entries.remove(place);
                    place
                }
                None => entries.len(),
            };
            if let Some(other) = other {
                entries.insert(place, other.clone());
            }
        }
        Change::Operation(operation) => {
            if !trial.skip.remove(operation) {
                trial.skip.insert(*operation);
            }
        }
    }
    Some(trial)
}

/// What a draw was in a run.
fn value(side: &Side, address: DrawAddress) -> Override {
    let logged = side.report.draws.iter().find(|(one, _)| *one == address);
    let words = logged.map_or_else(|| opening(&side.trial, address), |(_, words)| *words);
    let nominal = side.trial.nominal.words(address.site);
    if words == nominal { Override::Nominal } else { Override::Words(words) }
}

/// What a draw was that was made as the run began, before its log did.
fn opening(trial: &Trial, address: DrawAddress) -> [u32; 4] {
    let mut draws = Draws::new(trial.seed, 1, 0).with_overrides(trial.overrides.clone());
    draws.set_nominal(trial.nominal);
    four(draws.at(address.site, address.index))
}

fn four(mut draw: Draw) -> [u32; 4] {
    [draw.word(), draw.word(), draw.word(), draw.word()]
}

/// The decisions in which the runs differ before event `at`: operations, faults, and draws, those
/// first that the event itself names.
fn candidates(scenario: &dyn Runnable, left: &Side, right: &Side, at: usize) -> Vec<Change> {
    let skipped = left.trial.skip.symmetric_difference(&right.trial.skip).copied();
    let mut all: Vec<Change> = skipped.map(Change::Operation).collect();
    all.extend(faults(left, right, at));
    let mut draws = openings(scenario, left);
    let logs = left.report.draws.iter().zip(&right.report.draws);
    // From the first draw on that only one of them makes, the runs have diverged already.
    draws.extend(logs.take_while(|(one, two)| one.0 == two.0).map(|(one, _)| one.0));
    let mut seen = BTreeSet::new();
    draws.retain(|draw| seen.insert(*draw) && value(left, *draw) != value(right, *draw));
    let events = [left.event(at), right.event(at)];
    let named = |draw: &DrawAddress| events.iter().flatten().any(|event| names(event, *draw));
    let (near, far): (Vec<_>, Vec<_>) = draws.into_iter().partition(named);
    // Of the draws of one node, the last one is what its timer rings for.
    all.extend(near.into_iter().rev().chain(far).map(Change::Draw));
    all
}

/// Whether an event is, as far as one can tell from it, what this draw decided.
fn names(event: &Event, draw: DrawAddress) -> bool {
    match (event.kind, draw.site) {
        (Kind::Deliver | Kind::Asked | Kind::Answered | Kind::Lost, Site::Link(from, to)) => {
            (from, to, draw.index) == (event.peer, event.actor, event.index)
        }
        (Kind::Drop | Kind::Duplicate, Site::Link(from, to)) => {
            (from, to, draw.index) == (event.actor, event.peer, event.index)
        }
        (Kind::Timer, Site::Node(node))
        | (Kind::Crash | Kind::Start, Site::Disk(node))
        | (Kind::Lie, Site::Lie(node))
        | (Kind::Ignore, Site::Twin(node)) => event.actor.node() == Some(node),
        (Kind::Request, Site::Client(client)) => event.actor.client() == Some(client),
        _ => false,
    }
}

/// The draws that are made as a run begins, before its log does: those of the nodes that start, and
/// how long each client waits.
fn openings(scenario: &dyn Runnable, side: &Side) -> Vec<DrawAddress> {
    let mut first: BTreeMap<Site, u64> = BTreeMap::new();
    for (draw, _) in &side.report.draws {
        let least = first.entry(draw.site).or_insert(draw.index);
        *least = draw.index.min(*least);
    }
    // A node that never drew again drew at most once, as far as the protocols at hand go.
    for node in NodeId::all(scenario.fault_budget().nodes) {
        first.entry(Site::Node(node)).or_insert(1);
    }
    first.retain(|site, _| matches!(site, Site::Link(..) | Site::Node(_)));
    let counted = first
        .into_iter()
        .flat_map(|(site, until)| (0..until).map(move |index| DrawAddress { site, index }));
    let mut waits: BTreeMap<ClientId, u32> = BTreeMap::new();
    for operation in scenario.operations() {
        if !side.trial.skip.contains(&operation) {
            waits.entry(operation.client).or_insert(operation.number);
        }
    }
    let waits = waits.into_iter().map(|(client, number)| DrawAddress {
        site: Site::Client(client),
        index: u64::from(number) * DRAWS,
    });
    counted.chain(waits).collect()
}

/// The entries that only one of the plans has, if they began before the runs diverged: left out,
/// added, and one in the place of another.
fn faults(left: &Side, right: &Side, at: usize) -> Vec<Change> {
    let instants = [left.event(at), right.event(at)].into_iter().flatten().map(|event| event.at);
    let until = instants.max().unwrap_or(Time::MAX);
    let lacks = |one: &FaultPlan, two: &FaultPlan| -> Vec<Fault> {
        let own = one.entries.iter().filter(|entry| !two.entries.contains(entry));
        own.filter(|entry| Time::ZERO + entry.at <= until).cloned().collect()
    };
    let (gone, new) = (lacks(left.plan(), right.plan()), lacks(right.plan(), left.plan()));
    let removed = gone.iter().map(|entry| Change::Fault(Some(entry.clone()), None));
    let added = new.iter().map(|entry| Change::Fault(None, Some(entry.clone())));
    let pairs = gone.iter().zip(&new);
    let moved = pairs.map(|(one, two)| Change::Fault(Some(one.clone()), Some(two.clone())));
    removed.chain(added).chain(moved).collect()
}

fn told(change: Change, left: &Side, right: &Side) -> Decision {
    match change {
        Change::Draw(draw) => drawn(draw, left, right),
        Change::Fault(left, right) => Decision::Fault { left, right },
        Change::Operation(operation) => {
            Decision::Operation { operation, left: !left.trial.skip.contains(&operation) }
        }
    }
}

fn drawn(draw: DrawAddress, left: &Side, right: &Side) -> Decision {
    let (left, right) = (outcome(draw, left), outcome(draw, right));
    Decision::Draw { draw, decides: subject(draw), left, right }
}

/// What a draw decides.
fn subject(draw: DrawAddress) -> String {
    let nth = draw.index;
    match draw.site {
        Site::Link(from, to) => format!("the fate of message {nth} from {from} to {to}"),
        Site::Node(node) => format!("what the protocol on {node} draws, draw {nth}"),
        Site::Disk(node) => format!("what crash {nth} of {node} leaves on its disk"),
        Site::Tie => "which of the events of one instant comes first".to_owned(),
        Site::Client(client) => clients::subject(client, nth),
        Site::Plan => format!("the fault plan, draw {nth}"),
        Site::Lie(node) => format!("how {node} lies about message {nth}"),
        Site::Twin(node) => format!("whom the second of the twins {node} hears, draw {nth}"),
        Site::Thread(node) => format!("which thread of {node} goes on, choice {nth}"),
        Site::Entropy(node) => format!("random bytes that {node} asks for, draw {nth}"),
    }
}

/// What a draw was in a run, and for a message what became of it.
fn outcome(draw: DrawAddress, side: &Side) -> String {
    let value = match value(side, draw) {
        Override::Nominal => "nominal".to_owned(),
        // The first word as a part of the whole: a draw has no unit of its own.
        Override::Words(words) => {
            format!("{:.4} of its range", f64::from(words[0]) / 2_f64.powi(32))
        }
    };
    match draw.site {
        Site::Link(from, to) => {
            format!("{value}: {}", fate(&side.report.trace, from, to, draw.index))
        }
        _ => value,
    }
}

/// A run that keeps every property, and differs from a failing one in a single decision.
#[derive(Clone, Debug)]
pub struct Neighbour {
    /// The run that passes.
    pub side: Side,
    /// Where the two diverge, the failing one on the left, and the decision.
    pub difference: Difference,
    /// Of how many single decisions the failing run would have passed without.
    pub passing: usize,
    /// How many were tried.
    pub tried: usize,
}

/// The nearest passing neighbour of a failing run that was shrunk: of the runs that lack one of its
/// faults, or have one of its random draws nominal or one of its overrides lifted, and pass, the
/// one that stays with it longest. `None` if none of them passes.
pub fn neighbour(scenario: &dyn Runnable, failing: &Side) -> Option<Neighbour> {
    let mut tried = 0;
    let mut passing: Vec<(usize, Side, Decision)> = Vec::new();
    for (trial, change) in less_by_one(scenario, failing) {
        if matches!(change, Change::Operation(_)) {
            continue; // Where nobody reads, nobody sees: that passes, and says nothing.
        }
        tried += 1;
        let side = Side::of(scenario, &trial);
        let diverged = first_difference(failing, &side);
        if let (Conclusion::Passed, Some(at)) = (side.report.conclusion(), diverged) {
            let decision = told(change, failing, &side);
            passing.push((at, side, decision));
        }
    }
    let count = passing.len();
    // The first of those that part last: the same answer every time.
    let nearest = passing.into_iter().rev().max_by_key(|(at, ..)| *at);
    nearest.map(|(at, side, decision)| {
        let difference = difference(failing, &side, at, Some(decision));
        Neighbour { side, difference, passing: count, tried }
    })
}

/// The trials that lack one fault or operation of a failing run, or have one of its random draws
/// nominal or one of its overrides lifted, and what each of them lacks.
pub(crate) fn less_by_one(scenario: &dyn Runnable, failing: &Side) -> Vec<(Trial, Change)> {
    let mut less = Vec::new();
    // A neighbour passes only if it does to its end, not where the failing run is over.
    let whole = Trial { until: None, ..failing.trial.clone() };
    for draw in whole.random.iter().flatten() {
        let mut trial = whole.clone();
        if let Some(random) = &mut trial.random {
            random.remove(draw);
        }
        less.push((trial, Change::Draw(*draw)));
    }
    for draw in whole.overrides.keys() {
        let mut trial = whole.clone();
        trial.overrides.remove(draw);
        less.push((trial, Change::Draw(*draw)));
    }
    for (place, entry) in failing.plan().entries.iter().enumerate() {
        let mut plan = failing.plan().clone();
        plan.entries.remove(place);
        let trial = Trial { plan: Some(plan), ..whole.clone() };
        less.push((trial, Change::Fault(Some(entry.clone()), None)));
    }
    for operation in scenario.operations() {
        let mut trial = whole.clone();
        if trial.skip.insert(operation) {
            less.push((trial, Change::Operation(operation)));
        }
    }
    less
}
