//! From a failing run to a small one that fails in the same way, and to its story.
//!
//! Because draws are addressed, a fault, an operation or the fate of one message can be left out or
//! made dull without moving any other decision. Delta debugging (Zeller and Hildebrandt,
//! "Simplifying and Isolating Failure-Inducing Input", 2002) then works on each kind of thing in
//! turn, again until nothing changes: faults, clients and operations, random draws, and how long
//! faults last. Every candidate is a real run, and only one with the same fingerprint counts; the
//! result is 1-minimal in faults, operations and draws unless the budget ran out.

use crate::plan::{Fault, FaultPlan};
use crate::report::{Conclusion, Failure, Report};
use crate::run::{Runnable, Trial};
use crate::scenario::OperationId;
use seedfall_sim::{Address, DrawAddress, Duration, Entry, Kind, Recording, Site, Time};
use std::collections::BTreeSet;

/// How many runs a shrink may take, unless it is told otherwise: a few seconds.
pub const DEFAULT_RUNS: u64 = 20_000;

/// How much there is in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Entries of the fault plan.
    pub faults: usize,
    /// Operations that clients called.
    pub operations: u64,
    /// Draws of links, nodes and disks that are random.
    pub draws: usize,
    /// Messages that were delivered.
    pub delivered: u64,
    /// Events of the trace.
    pub events: u64,
}

/// A failing run, made small.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// What to run.
    pub trial: Trial,
    /// What it came to, recorded in full.
    pub report: Report,
    /// The original's size.
    pub before: Size,
    /// Its own size.
    pub after: Size,
    /// How many runs it took.
    pub runs: u64,
}

impl Shrunk {
    /// The failure of the small run.
    pub fn failure(&self) -> Option<&Failure> {
        failure(&self.report)
    }

    /// One line: what is left, and what there was.
    pub fn summary(&self) -> String {
        let Size { faults, operations, draws, delivered, events } = self.after;
        let was = self.before;
        format!(
            "{faults} faults, {operations} operations, {draws} random draws, {delivered} messages, \
             {events} events (of {}, {}, {}, {}, {}) after {} runs",
            was.faults, was.operations, was.draws, was.delivered, was.events, self.runs
        )
    }
}

/// Shrinks a failing run. `None` if it does not fail.
pub fn shrink(scenario: &dyn Runnable, trial: &Trial, runs: u64) -> Option<Shrunk> {
    let full = Trial { recording: Recording::Full, log_draws: true, ..trial.clone() };
    let original = scenario.run(&full);
    let fingerprint = failure(&original)?.fingerprint.clone();
    let before = size(&full, &original);
    let plan = Some(original.plan.clone());
    let best = Trial { plan, spans: false, recording: Recording::Hash, ..trial.clone() };
    let mut search = Search { scenario, fingerprint, best, runs: 0, limit: runs };
    loop {
        let faults = search.faults();
        let operations = search.operations();
        let draws = search.draws();
        let shorter = search.shorter_faults();
        if !(faults || operations || draws || shorter) || search.is_spent() {
            break;
        }
    }
    let trial = Trial { recording: Recording::Full, log_draws: true, ..search.best };
    let report = scenario.run(&trial);
    let after = size(&trial, &report);
    Some(Shrunk { trial, report, before, after, runs: search.runs })
}

fn failure(report: &Report) -> Option<&Failure> {
    match &report.conclusion {
        Conclusion::Failed(failure) => Some(failure),
        Conclusion::Passed | Conclusion::Vacuous(_) => None,
    }
}

/// Whether a draw can be made dull.
fn can_be_calm(address: &DrawAddress) -> bool {
    matches!(address.site, Site::Link(..) | Site::Node(_) | Site::Disk(_) | Site::Lie(_))
}

fn size(trial: &Trial, report: &Report) -> Size {
    let drawn = report.draws.iter().map(|(address, _)| address).filter(|one| can_be_calm(one));
    let random = |address: &&DrawAddress| match &trial.random {
        Some(random) => random.contains(address),
        None => true,
    };
    Size {
        faults: report.plan.entries.len(),
        operations: report.completed + report.indeterminate,
        draws: drawn.filter(random).count(),
        delivered: report.counters.delivered,
        events: report.events,
    }
}

/// The search for a smaller run that fails in the same way.
struct Search<'a> {
    scenario: &'a dyn Runnable,
    fingerprint: String,
    /// The smallest so far.
    best: Trial,
    runs: u64,
    limit: u64,
}

impl Search<'_> {
    fn is_spent(&self) -> bool {
        self.runs >= self.limit
    }

    /// Takes a candidate over if it fails in the same way.
    fn try_out(&mut self, candidate: Trial) -> bool {
        if self.is_spent() {
            return false;
        }
        self.runs += 1;
        let report = self.scenario.run(&candidate);
        let same = failure(&report).is_some_and(|one| one.fingerprint == self.fingerprint);
        if same {
            self.best = candidate;
        }
        same
    }

    fn plan(&self) -> FaultPlan {
        self.best.plan.clone().unwrap_or_default()
    }

    /// Leaves faults out.
    fn faults(&mut self) -> bool {
        let entries = self.plan().entries;
        minimize(entries, |entries| {
            let plan = Some(FaultPlan { entries: entries.to_vec() });
            self.try_out(Trial { plan, ..self.best.clone() })
        })
    }

    /// Leaves whole clients out, then operations.
    fn operations(&mut self) -> bool {
        let all = self.scenario.operations();
        let left = |search: &Self| -> Vec<OperationId> {
            all.iter().filter(|one| !search.best.skip.contains(one)).copied().collect()
        };
        let clients: BTreeSet<_> = left(self).into_iter().map(|one| one.client).collect();
        let fewer_clients = minimize(clients.into_iter().collect(), |clients| {
            let out = all.iter().filter(|one| !clients.contains(&one.client));
            let skip = self.best.skip.iter().chain(out).copied().collect();
            self.try_out(Trial { skip, ..self.best.clone() })
        });
        let fewer = minimize(left(self), |operations| {
            let kept: BTreeSet<_> = operations.iter().collect();
            let skip = all.iter().filter(|one| !kept.contains(one)).copied().collect();
            self.try_out(Trial { skip, ..self.best.clone() })
        });
        fewer_clients || fewer
    }

    /// Makes draws dull.
    fn draws(&mut self) -> bool {
        let trial = Trial { log_draws: true, ..self.best.clone() };
        let report = self.scenario.run(&trial);
        self.runs += 1;
        let random: BTreeSet<DrawAddress> = report
            .draws
            .iter()
            .map(|(address, _)| *address)
            .filter(can_be_calm)
            .filter(|one| trial.random.as_ref().is_none_or(|random| random.contains(one)))
            .collect();
        let first = trial.random.is_none();
        // A draw that the smaller run no longer makes is not worth a run.
        self.best.random = Some(random.clone());
        let fewer = minimize(random.into_iter().collect(), |random| {
            let random = Some(random.iter().copied().collect());
            self.try_out(Trial { random, ..self.best.clone() })
        });
        fewer || first
    }

    /// Makes crashes plain, and faults short.
    fn shorter_faults(&mut self) -> bool {
        let mut changed = false;
        for index in 0..self.plan().entries.len() {
            let mut plan = self.plan();
            if let Fault::Crash { point: point @ Some(_), .. } = &mut plan.entries[index].fault {
                *point = None;
                changed |= self.try_out(Trial { plan: Some(plan), ..self.best.clone() });
            }
            loop {
                let mut plan = self.plan();
                let lasts = &mut plan.entries[index].lasts;
                *lasts = lasts.scale(1, 2);
                let long = *lasts >= Duration::millis(20);
                if !long || !self.try_out(Trial { plan: Some(plan), ..self.best.clone() }) {
                    break;
                }
                changed = true;
            }
        }
        changed
    }
}

/// Delta debugging: looks for a smaller list that still passes `fails`, by leaving out ever smaller
/// pieces, until no single item can be left out. True if it found one. The list itself is known to
/// fail.
fn minimize<T: Clone>(mut items: Vec<T>, mut fails: impl FnMut(&[T]) -> bool) -> bool {
    let whole = items.len();
    if whole > 0 && fails(&[]) {
        return true;
    }
    let mut piece = whole.div_ceil(2);
    while piece > 0 && items.len() > 1 {
        let mut start = 0;
        let mut smaller = false;
        while start < items.len() {
            let end = items.len().min(start + piece);
            let rest = [&items[..start], &items[end..]].concat();
            if !rest.is_empty() && fails(&rest) {
                items = rest;
                smaller = true;
            } else {
                start = end;
            }
        }
        if piece == 1 && !smaller {
            break;
        }
        piece = if piece == 1 { 1 } else { piece.div_ceil(2) };
    }
    items.len() < whole
}

/// The small run in lines that a person reads aloud: faults, the messages whose fate matters, what
/// was asked and answered, and the rare states that were reached.
pub fn story(shrunk: &Shrunk) -> Vec<String> {
    let random = shrunk.trial.random.clone().unwrap_or_default();
    let trace = &shrunk.report.trace;
    let mut lines = Vec::new();
    for entry in trace {
        let event = entry.event;
        let (actor, peer, text) = (event.actor, event.peer, &entry.text);
        let site = Site::Link(actor, peer);
        let matters = random.contains(&DrawAddress { site, ordinal: event.ordinal });
        let told = match event.kind {
            Kind::Start if event.at > Time::ZERO => format!("{actor} comes back"),
            Kind::Crash => format!("{actor} crashes ({text})"),
            Kind::Refuse => format!("{actor} does not start: {text}"),
            Kind::Pause => format!("{actor} freezes"),
            Kind::Resume => format!("{actor} goes on"),
            Kind::Fault => text.clone(),
            Kind::Reach => format!("{actor}: {text}"),
            Kind::Lie => format!("{actor} lies to {peer}: {text}"),
            Kind::Send if matters => {
                format!("{actor} sends {peer} {text}: {}", fate(trace, actor, peer, event.ordinal))
            }
            Kind::Request => format!("{actor} asks {peer}: {text}"),
            Kind::Answered => format!("{actor} is told by {peer}: {text}"),
            _ => continue,
        };
        lines.push(format!("{:>10}  {told}", event.at.to_string()));
    }
    lines
}

/// What became of a message, a request or an answer, in words.
pub(crate) fn fate(trace: &[Entry], from: Address, to: Address, ordinal: u64) -> String {
    let about = |kinds: &'static [Kind], actor: Address, peer: Address| {
        trace.iter().filter(move |entry| {
            let event = entry.event;
            kinds.contains(&event.kind)
                && (event.actor, event.peer, event.ordinal) == (actor, peer, ordinal)
        })
    };
    let arrivals: Vec<String> = about(&[Kind::Deliver, Kind::Asked, Kind::Answered], to, from)
        .map(|entry| format!("at {}", entry.event.at))
        .collect();
    match arrivals.as_slice() {
        [] if about(&[Kind::Drop], from, to).next().is_some() => "it is lost".to_owned(),
        [] => "it never arrives".to_owned(),
        [once] => format!("it arrives {once}"),
        more => format!("it arrives {} times, {}", more.len(), more.join(" and ")),
    }
}

#[cfg(test)]
mod tests {
    use super::minimize;

    #[test]
    fn what_is_left_is_needed_and_nothing_else() {
        for needed in [vec![], vec![0], vec![99], vec![3, 50], vec![7, 8, 60, 61, 98]] {
            let mut best: Vec<u32> = (0..100).collect();
            minimize(best.clone(), |items| {
                let fails = needed.iter().all(|one| items.contains(one));
                if fails {
                    best = items.to_vec();
                }
                fails
            });
            assert_eq!(best, needed);
        }
    }
}
