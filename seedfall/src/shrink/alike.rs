//! Further seeds that fail in the same way: one of them may become much smaller.

use super::clock::Clock;
use super::{Effort, SMALL, Shrunk, shrink};
use crate::parallel;
use crate::run::{Runnable, Trial};
use seedfall_sim::{Recording, Seed};
use std::num::NonZeroUsize;
use std::time::Duration;

/// How many seeds are run at a time.
const BATCH: usize = 64;
/// How many seeds are run in all, at most.
const MOST: usize = 50_000;

/// Shrinks one failing run after another, and returns the smallest; `None` if none fails. What
/// fails otherwise than the first counts as not failing. No more are asked for once one has come to
/// its end and is small. Each may take the runs of the effort, and half of what is left of its
/// time.
pub fn shrink_best(
    scenario: &dyn Runnable,
    trials: impl IntoIterator<Item = Trial>,
    effort: &Effort,
) -> Option<Shrunk> {
    let mut best: Option<Shrunk> = None;
    let clock = Clock::start(effort.time);
    let is_enough = |best: &Shrunk| best.rank() < (false, SMALL);
    let mut trials = trials.into_iter();
    let mut runs = 0;
    while !best.as_ref().is_some_and(is_enough)
        && (best.is_none() || !clock.is_late())
        && let Some(trial) = trials.next()
    {
        let time = effort.time.map(|time| time.saturating_sub(clock.elapsed()) / 2);
        let Some(small) = shrink(scenario, &trial, &Effort { time, ..*effort }) else { continue };
        runs += small.runs;
        let like = |best: &Shrunk| best.fingerprint() == small.fingerprint();
        let less = |best: &Shrunk| like(best) && small.rank() < best.rank();
        if best.as_ref().is_none_or(less) {
            best = Some(small);
        }
    }
    best.map(|best| Shrunk { runs, ..best })
}

/// The runs of seeds after this one that fail in the same way as it does, as they are asked for:
/// `most` at most, and those that are found within this time by the machine's clock.
pub fn alike<'a>(
    scenario: &'a dyn Runnable,
    trial: &Trial,
    most: usize,
    time: Duration,
    jobs: NonZeroUsize,
) -> impl Iterator<Item = Trial> + 'a {
    let fingerprint = fingerprint(scenario, trial);
    let mut from = trial.seed.0.saturating_add(1);
    let last = from.saturating_add(MOST as u64);
    let mut clock = None;
    let next = move || {
        let clock = clock.get_or_insert_with(|| Clock::start(Some(time)));
        let fingerprint = fingerprint.as_deref()?;
        while from < last && !clock.is_late() {
            let of = |index: usize| Trial::of(Seed(from + index as u64));
            let fails = |index: usize| {
                !clock.is_late()
                    && self::fingerprint(scenario, &of(index)).as_deref() == Some(fingerprint)
            };
            if let Some(index) = parallel::first(jobs, BATCH, &fails) {
                let found = of(index);
                from += index as u64 + 1;
                return Some(found);
            }
            from += BATCH as u64;
        }
        None
    };
    std::iter::from_fn(next).take(most)
}

fn fingerprint(scenario: &dyn Runnable, trial: &Trial) -> Option<String> {
    let report = scenario.run(&Trial { recording: Recording::Hash, ..trial.clone() });
    report.failure().map(|failure| failure.fingerprint.clone())
}
