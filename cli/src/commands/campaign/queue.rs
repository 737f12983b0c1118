//! What is still to be run of a shard, and who comes next: the scenario that has had the least
//! time.

use super::crew::Task;
use super::fate::{Death, Follows};
use super::manifest::Manifest;
use super::store::Book;
use seedfall::campaign::{Runs, Shard};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// How long a task takes, about: what it costs to start a process must not matter, and nobody
/// wants to wait long for the last one.
const TASK_SECONDS: f64 = 4.0;

/// Ranges in one task, at most.
const SPANS_MOST: usize = 256;

type Units = Box<dyn Iterator<Item = Range<u64>>>;

/// What is left of one scenario.
struct Rest {
    /// What was left out earlier.
    gaps: VecDeque<Range<u64>>,
    /// What comes after everything that was run.
    units: Units,
    /// To be run seed by seed, as one of them kills its process.
    careful: VecDeque<Range<u64>>,
    /// A death that was not found again so far.
    suspicion: Option<(Death, Range<u64>)>,
    /// Seconds that it has had, and what is under way.
    busy: f64,
    runs: u64,
}

/// What is left of a shard.
pub(super) struct Queue {
    rests: Vec<Rest>,
    left: Option<u64>,
}

impl Queue {
    /// What a book does not have of a shard; first the units of these seeds.
    pub(super) fn new(
        manifest: &Manifest,
        shard: Shard,
        book: &Book,
        first: &BTreeMap<String, Vec<u64>>,
    ) -> Self {
        let mut left = manifest.seeds.map(|_| 0);
        let rests = manifest.names().map(|name| {
            let end = book.cover(name).last().map_or(manifest.from, |runs| runs.to);
            let before = manifest.units(name, shard).take_while(|unit| unit.start < end);
            let mut gaps: VecDeque<Range<u64>> = book.missing(name, before).into();
            let wanted = first.get(name).map(Vec::as_slice).unwrap_or_default();
            let mut units: Units =
                Box::new(manifest.units(name, shard).skip_while(move |unit| unit.start < end));
            if manifest.seeds.is_some() {
                gaps.extend(units);
                units = Box::new(std::iter::empty());
                let has = |unit: &Range<u64>| wanted.iter().any(|seed| unit.contains(seed));
                gaps.make_contiguous().sort_by_key(|unit| !has(unit));
                let sum: u64 = gaps.iter().map(|unit| unit.end - unit.start).sum();
                left = left.map(|left| left + sum);
            }
            let careful = VecDeque::new();
            Rest { gaps, units, careful, suspicion: None, busy: 0.0, runs: 0 }
        });
        let rests = rests.collect();
        Self { rests, left }
    }

    /// How many seeds were left at first; `None`: as many as time allows.
    pub(super) fn left(&self) -> Option<u64> {
        self.left
    }

    pub(super) fn is_empty(&mut self) -> bool {
        self.rests.iter_mut().all(|rest| !rest.has_more())
    }

    /// The next task.
    pub(super) fn next(&mut self) -> Option<Task> {
        let open = self
            .rests
            .iter_mut()
            .enumerate()
            .filter_map(|(target, rest)| rest.has_more().then_some((target, rest)));
        let (target, rest) = open.min_by(|(_, one), (_, other)| one.busy.total_cmp(&other.busy))?;
        if let Some(span) = rest.careful.pop_front() {
            return Some(Task { target, spans: vec![span], careful: true });
        }
        // At first a few, to see how long one takes.
        let rate = if rest.runs == 0 { 4.0 } else { rest.runs as f64 / rest.busy.max(1e-3) };
        let mut room = ((rate * TASK_SECONDS) as u64).max(1);
        let mut spans: Vec<Range<u64>> = Vec::new();
        while room > 0 && spans.len() < SPANS_MOST {
            let Some(range) = rest.gaps.pop_front().or_else(|| rest.units.next()) else { break };
            let cut = range.start.saturating_add(room).min(range.end);
            room -= cut - range.start;
            if cut < range.end {
                rest.gaps.push_front(cut..range.end);
            }
            spans.push(range.start..cut);
        }
        spans.sort_by_key(|span| span.start);
        Some(Task { target, spans, careful: false })
    }

    /// Runs of a scenario are done.
    pub(super) fn heard(&mut self, target: usize, runs: &Runs) {
        let rest = &mut self.rests[target];
        rest.busy += runs.busy as f64 / 1e6;
        rest.runs += runs.runs();
    }

    /// Hands out again what was not done: seed by seed, where a seed may kill its process.
    pub(super) fn again(&mut self, task: &Task, left: Vec<Range<u64>>, careful: bool) {
        let rest = &mut self.rests[task.target];
        let to = if careful { &mut rest.careful } else { &mut rest.gaps };
        left.into_iter().rev().for_each(|range| to.push_front(range));
    }

    /// One of these seeds has killed its process, and it is not known which.
    pub(super) fn suspect(&mut self, task: &Task, left: Vec<Range<u64>>, death: &Death) {
        let about = left.first().map(|range| range.start).zip(left.last().map(|range| range.end));
        if let Some((from, to)) = about {
            self.rests[task.target].suspicion = Some((*death, from..to));
        }
        self.again(task, left, true);
    }

    /// The seed was found that kills its process.
    pub(super) fn found(&mut self, task: &Task) {
        self.rests[task.target].suspicion = None;
    }

    /// Deaths that were not found again, and what follows from each.
    pub(super) fn unexplained(&mut self, manifest: &Manifest) -> Vec<(Follows, String)> {
        let rests = self.rests.iter_mut().zip(manifest.names());
        let told = rests.filter_map(|(rest, name)| {
            let (death, seeds) = rest.suspicion.take()?;
            let done = rest.careful.is_empty();
            done.then(|| {
                let (follows, why) = death.not_again();
                let what = format!(
                    "{name}: a process died among the seeds {seeds:?} ({death}), and did not when \
                     they were run one by one: {why}"
                );
                (follows, what)
            })
        });
        told.collect()
    }
}

impl Rest {
    fn has_more(&mut self) -> bool {
        if self.careful.is_empty() && self.gaps.is_empty() {
            self.gaps.extend(self.units.next());
        }
        !(self.careful.is_empty() && self.gaps.is_empty())
    }
}
