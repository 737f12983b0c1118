//! Which arrivals of a run matter.

use super::search::Search;
use super::{Effort, failure};
use crate::run::{Runnable, Trial};
use seedfall_sim::{DrawAddress, Entry, Kind, Recording, Site};
use std::collections::BTreeSet;

/// How many arrivals of a failing run matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matter {
    /// Messages, requests and answers that arrived.
    pub arrivals: usize,
    /// Of these, those that are not nominal, or without which the run does not fail any more.
    pub matter: usize,
    /// The draws of those, as far as the run that lost all others still has them.
    pub draws: BTreeSet<DrawAddress>,
}

/// How many arrivals of a failing run matter: those whose fate is random where others are nominal,
/// and those that are left when, by delta debugging, as many as possible are lost. `None` if the
/// run does not fail, or fails by waiting: whoever waits waits all the more when messages are lost.
pub fn matter(scenario: &dyn Runnable, trial: &Trial, effort: &Effort) -> Option<Matter> {
    let full = Trial { recording: Recording::Full, log_draws: false, ..trial.clone() };
    let report = scenario.run(&full);
    let broken = failure(&report)?;
    if broken.kind.is_late() {
        return None;
    }
    let all = arrivals(&report.trace);
    let random = trial.random.clone().unwrap_or_else(|| all.iter().copied().collect());
    let odd = all.iter().filter(|one| random.contains(one)).count();
    let best = Trial { recording: Recording::Hash, ..full.clone() };
    let mut search = Search::new(scenario, broken, best, report.events, effort);
    let mut needed = all.clone();
    loop {
        let fewer = search.leave_out(&needed);
        let trial = Trial { recording: Recording::Full, ..search.best().clone() };
        needed = arrivals(&scenario.run(&trial).trace);
        if !fewer || search.stopped().is_some() {
            break;
        }
    }
    let dull = needed.iter().filter(|one| !random.contains(one)).count();
    let draws = all.iter().filter(|one| random.contains(one)).chain(&needed).copied().collect();
    Some(Matter { arrivals: all.len(), matter: odd + dull, draws })
}

/// The draws that decided the fates of what arrived, in order; one that arrived twice stands there
/// twice.
fn arrivals(trace: &[Entry]) -> Vec<DrawAddress> {
    let arrives =
        |entry: &&Entry| matches!(entry.event.kind, Kind::Deliver | Kind::Asked | Kind::Answered);
    trace
        .iter()
        .filter(arrives)
        .map(|entry| {
            let site = Site::Link(entry.event.peer, entry.event.actor);
            DrawAddress { site, ordinal: entry.event.ordinal }
        })
        .collect()
}

impl Search<'_> {
    /// Lets the wire lose as many of these arrivals as possible.
    fn leave_out(&mut self, arrivals: &[DrawAddress]) -> bool {
        let before = self.best().left_out.clone();
        let all: BTreeSet<DrawAddress> = arrivals.iter().copied().collect();
        self.minimize(all.iter().copied().collect(), |best, kept| {
            let kept: BTreeSet<DrawAddress> = kept.into_iter().collect();
            let out = all.difference(&kept).chain(&before).copied();
            Trial { left_out: out.collect(), ..best.clone() }
        })
    }
}
