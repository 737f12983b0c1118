//! Lineage-driven fault injection: which few losses and crashes could undo what was acknowledged?
//!
//! As Molly does it (Alvaro, Rosen and Hellerstein, "Lineage-driven Fault Injection", SIGMOD 2015),
//! from the good outcome backwards. In a run that passes, what supports an acknowledged operation
//! is what lies, in the happens-before order, between its request and the answers that clients got
//! from its acknowledgement on. Faults that touch none of it leave the run what it is. So only sets
//! that touch the support are tried, the smallest first; each that fails to break a property shows
//! another support, which larger sets must touch as well. When no set within the bounds touches all
//! supports, none can undo the operation in this run: a certificate, of a kind that no sweep gives.
//!
//! A set that leaves an operation without its acknowledgement undoes no promise, and larger ones
//! that contain it are not tried for it.
//!
//! All else in the run stays: draws have addresses, and a message is the n-th of its link. What a
//! certificate says is of this seed's run and of such sets, not of other runs.

use super::Found;
use crate::faults::classes::{Crash, Loss};
use crate::parallel;
use crate::plan::{Aim, Class, Entry, Fault, FaultPlan};
use crate::report::Report;
use crate::run::{Runnable, Trial};
use seedfall_sim::{
    Address, DrawAddress, Duration, Entry as Traced, Kind, NodeId, Override, Recording, Seed, Site,
    Time,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::num::NonZeroUsize;

/// So many sets are tried at a time: what they show, later ones know.
const BATCH: usize = 64;
/// How many supports of an operation are remembered, at most: more would spare a few sets more.
const SUPPORTS: usize = 16;

/// A fault that lineage tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cut {
    /// The message with this index on a link is lost.
    Lose {
        /// From whom.
        from: Address,
        /// To whom.
        to: Address,
        /// Its index on that link.
        index: u64,
    },
    /// A node crashes right after something that happened there.
    Crash {
        /// Which.
        node: NodeId,
        /// When.
        at: Time,
    },
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lose { from, to, index } => write!(f, "lose {from}->{to}#{index}"),
            Self::Crash { node, at } => write!(f, "crash {node} at {at}"),
        }
    }
}

/// Within what sets are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many cuts a set has, at most.
    pub cuts: usize,
    /// How many of them are crashes, at most.
    pub crashes: usize,
    /// How long a node that crashes stays down.
    pub down: Duration,
    /// How many runs, at most.
    pub runs: u64,
    /// How many threads; the result does not depend on it.
    pub jobs: NonZeroUsize,
}

/// What lineage came to.
#[derive(Clone, Debug)]
pub struct Lineage {
    /// Acknowledged operations that were looked at, each by its request.
    pub operations: Vec<String>,
    /// How many messages and moments of crashes supported one of them in the first run.
    pub atoms: usize,
    /// How many sets of cuts were tried.
    pub runs: u64,
    /// Of these, how many left an operation without its acknowledgement: nothing was promised.
    pub unacknowledged: u64,
    /// Whether no set within the bounds is left.
    pub exhausted: bool,
    /// A set that breaks a property, and its run.
    pub found: Option<(Vec<Cut>, Found)>,
}

/// Looks for cuts that undo an acknowledged operation of the run of a seed without other faults.
///
/// # Errors
/// Why there is nothing to be looked at: the run fails by itself, or the model permits neither loss
/// nor crashes.
pub fn lineage(scenario: &dyn Runnable, seed: Seed, bounds: &Bounds) -> Result<Lineage, String> {
    let tries = Tries::of(scenario, seed, bounds)?;
    let first = tries.run(&BTreeSet::new());
    if let Some(failure) = first.failure() {
        return Err(format!("the run fails without any fault: {}", failure.property));
    }
    let operations = acknowledged(&first.trace);
    let before = before(&first.trace);
    let supports =
        operations.iter().map(|one| tries.support(&first, &before, one).unwrap_or_default());
    let atoms: BTreeSet<Cut> = supports.flatten().collect();
    let mut told = Lineage {
        atoms: atoms.len(),
        operations,
        runs: 0,
        unacknowledged: 0,
        exhausted: true,
        found: None,
    };
    tries.undo(&mut told);
    Ok(told)
}

struct Tries<'a> {
    scenario: &'a dyn Runnable,
    bounds: &'a Bounds,
    seed: Seed,
    faults: Duration,
    loses: bool,
    crashes: bool,
}

impl<'a> Tries<'a> {
    fn of(scenario: &'a dyn Runnable, seed: Seed, bounds: &'a Bounds) -> Result<Self, String> {
        let budget = scenario.fault_budget();
        let loses = Class::Loss.permitted_by(budget.model);
        let crashes = Class::Crash.permitted_by(budget.model) && bounds.crashes > 0;
        if !loses && !crashes {
            let model = budget.model;
            return Err(format!("the model permits neither loss nor crashes ({model})"));
        }
        Ok(Self { scenario, bounds, seed, faults: budget.faults, loses, crashes })
    }

    /// The run of the seed with these cuts and no other faults.
    fn trial(&self, cuts: &BTreeSet<Cut>) -> Trial {
        let mut trial = Trial { recording: Recording::Full, ..Trial::of(self.seed) };
        let mut entries = Vec::new();
        let mut add = |at: Duration, lasts: Duration, fault: Fault| {
            entries.push(Entry { at, lasts, fault, aim: Aim::Named, retargets: false });
        };
        if self.loses {
            // So unlikely that it takes none by itself, and certain for a draw of zeros.
            add(Duration::ZERO, self.faults, Loss { ppm: 1 }.into());
        }
        for cut in cuts {
            match *cut {
                Cut::Lose { from, to, index } => {
                    let draw = DrawAddress { site: Site::Link(from, to), index };
                    trial.overrides.insert(draw, Override::Words([0; 4]));
                }
                Cut::Crash { node, at } => {
                    let at = at.since(Time::ZERO) + Duration::nanos(1);
                    let lasts = self.bounds.down.min(self.faults - at.min(self.faults));
                    add(at, lasts, Crash::of(node).into());
                }
            }
        }
        trial.plan = Some(FaultPlan { entries });
        trial
    }

    fn run(&self, cuts: &BTreeSet<Cut>) -> Report {
        self.scenario.run(&self.trial(cuts))
    }

    /// Tries every set that touches all supports of some operation, the smallest first.
    fn undo(&self, told: &mut Lineage) {
        let mut supports: Vec<Vec<BTreeSet<Cut>>> = vec![Vec::new(); told.operations.len()];
        let mut queue = VecDeque::from([BTreeSet::new()]);
        let mut queued = BTreeSet::from([BTreeSet::new()]);
        while !queue.is_empty() {
            let some: Vec<BTreeSet<Cut>> = queue.drain(..queue.len().min(BATCH)).collect();
            let touches = |of: &[BTreeSet<Cut>], set: &BTreeSet<Cut>| {
                of.iter().all(|one| !one.is_disjoint(set))
            };
            let is_candidate = |set: &&BTreeSet<Cut>| supports.iter().any(|of| touches(of, set));
            let touching: Vec<&BTreeSet<Cut>> = some.iter().filter(is_candidate).collect();
            if self.bounds.runs < told.runs + touching.len() as u64 {
                told.exhausted = false;
                return;
            }
            told.runs += touching.len() as u64;
            let one = |index: usize| self.run(touching[index]);
            let reports = parallel::map(self.bounds.jobs, touching.len(), &one);
            for (set, report) in touching.into_iter().zip(reports) {
                if let Some(failure) = report.failure().filter(|one| one.expected.is_none()) {
                    let trial = Trial { recording: Recording::Hash, ..self.trial(set) };
                    let found = Found { trial, failure: failure.clone(), by: "lineage" };
                    told.found = Some((set.iter().copied().collect(), found));
                    return;
                }
                let before = before(&report.trace);
                let mut all = true;
                for (operation, known) in told.operations.iter().zip(&mut supports) {
                    if known.len() == SUPPORTS {
                        continue;
                    }
                    match self.support(&report, &before, operation) {
                        Some(support) => known.push(&support - set),
                        None => all = false,
                    }
                }
                told.unacknowledged += u64::from(!all);
            }
            for set in &some {
                for known in &supports {
                    if let Some(support) = known.iter().find(|one| one.is_disjoint(set)) {
                        self.grow(set, support, &mut queue, &mut queued);
                    }
                }
            }
        }
    }

    /// The sets with one cut more.
    fn grow(
        &self,
        set: &BTreeSet<Cut>,
        support: &BTreeSet<Cut>,
        queue: &mut VecDeque<BTreeSet<Cut>>,
        queued: &mut BTreeSet<BTreeSet<Cut>>,
    ) {
        if set.len() == self.bounds.cuts {
            return;
        }
        let is_crash = |cut: &&Cut| matches!(cut, Cut::Crash { .. });
        for cut in support {
            let mut larger = set.clone();
            larger.insert(*cut);
            if larger.iter().filter(is_crash).count() <= self.bounds.crashes
                && queued.insert(larger.clone())
            {
                queue.push_back(larger);
            }
        }
    }

    /// What supports an operation in a run; `None`: it is not acknowledged there.
    fn support(
        &self,
        report: &Report,
        before: &[Vec<usize>],
        operation: &str,
    ) -> Option<BTreeSet<Cut>> {
        let trace = &report.trace;
        let is = |kind: Kind, one: &Traced| one.event.kind == kind && names(one, operation);
        let asked = trace.iter().position(|one| is(Kind::Request, one))?;
        let told = trace.iter().position(|one| is(Kind::Answered, one))?;
        let mut caused = vec![false; trace.len()];
        caused[asked] = true;
        for at in asked + 1..trace.len() {
            caused[at] = before[at].iter().any(|earlier| caused[*earlier]);
        }
        let mut needed = vec![false; trace.len()];
        for at in (asked..trace.len()).rev() {
            needed[at] |= told <= at && trace[at].event.kind == Kind::Answered;
            if needed[at] {
                before[at].iter().for_each(|earlier| needed[*earlier] = true);
            }
        }
        let both = (0..trace.len()).filter(|at| caused[*at] && needed[*at]);
        Some(both.flat_map(|at| self.cuts(&trace[at])).collect())
    }

    /// The cuts that undo an event.
    fn cuts(&self, one: &Traced) -> Vec<Cut> {
        let event = one.event;
        let mut cuts = Vec::new();
        let Some(node) = event.actor.node() else { return cuts };
        if Time::ZERO + self.faults <= event.at {
            return cuts;
        }
        if event.kind == Kind::Deliver && self.loses {
            cuts.push(Cut::Lose { from: event.peer, to: event.actor, index: event.index });
        }
        if matches!(event.kind, Kind::Deliver | Kind::Asked | Kind::Timer) && self.crashes {
            cuts.push(Cut::Crash { node, at: event.at });
        }
        cuts
    }
}

/// Whether what travels is a request or an answer of this name.
fn names(one: &Traced, operation: &str) -> bool {
    one.text.split_whitespace().next() == Some(operation)
}

/// The operations that were acknowledged while faults may strike or later, in order.
fn acknowledged(trace: &[Traced]) -> Vec<String> {
    let mut names = Vec::new();
    for one in trace.iter().filter(|one| one.event.kind == Kind::Answered) {
        if let Some(name) = one.text.split_whitespace().next().map(str::to_owned)
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

/// For each event, those right before it: of its own node or client, and the one with which what
/// arrives left.
fn before(trace: &[Traced]) -> Vec<Vec<usize>> {
    let mut last: BTreeMap<Address, usize> = BTreeMap::new();
    let mut left: BTreeMap<(Address, Address, u64), usize> = BTreeMap::new();
    let mut before = Vec::with_capacity(trace.len());
    for (at, Traced { event, .. }) in trace.iter().enumerate() {
        let mut own: Vec<usize> = last.get(&event.actor).copied().into_iter().collect();
        match event.kind {
            Kind::Send | Kind::Request | Kind::Respond => {
                left.insert((event.actor, event.peer, event.index), at);
            }
            Kind::Deliver | Kind::Asked | Kind::Answered => {
                own.extend(left.get(&(event.peer, event.actor, event.index)));
            }
            _ => {}
        }
        last.insert(event.actor, at);
        before.push(own);
    }
    before
}
