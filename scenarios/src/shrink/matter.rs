//! Which arrivals of a run matter.
//!
//! Asked of the very run that is told: as many of its arrivals as possible are lost, and what is
//! left must be a *part* of that run, in which nothing arrives that did not arrive in the whole one,
//! at that instant and with those contents. A node that misses something may say something else
//! for it, say it again, or later: that is lost as well, or another message would do in the
//! answer's run what a message of the told one does there.

use super::search::Search;
use super::{Effort, failure};
use crate::report::Report;
use crate::run::{Runnable, Trial};
use seedfall_sim::{Address, DrawAddress, Entry, Kind, Recording, Site, Time};
use std::collections::{BTreeMap, BTreeSet};

/// So much that did not arrive in the told run is lost in a part of it; where more would have to
/// be, what was left out is taken to matter.
const ANEW: usize = 64;

/// How many arrivals of a failing run matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matter {
    /// Messages, requests and answers that arrived.
    pub arrivals: usize,
    /// Of these, those that are not nominal, or without which the run does not fail any more.
    pub matter: usize,
    /// The draws of those.
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
    let all: Vec<DrawAddress> = arrivals(&report.trace).map(|(draw, _)| draw).collect();
    let random = trial.random.clone().unwrap_or_else(|| all.iter().copied().collect());
    let mut search = Search::new(scenario, broken, full, report.events, effort);
    search.whole = Some(Whole::of(&report));
    let needed = search.needed(all.iter().copied().collect());
    let matters = |one: &&DrawAddress| random.contains(one) || needed.contains(one);
    let draws = all.iter().filter(matters).copied().collect();
    Some(Matter { arrivals: all.len(), matter: all.iter().filter(matters).count(), draws })
}

/// What arrives, without the names that depend on what else was sent.
type Arrival = (Time, Kind, Address, Address, u64);

/// Everything that arrives, in order, and the draw that decided its fate; one that arrives twice
/// stands there twice.
fn arrivals(trace: &[Entry]) -> impl Iterator<Item = (DrawAddress, Arrival)> {
    let arrives =
        |entry: &&Entry| matches!(entry.event.kind, Kind::Deliver | Kind::Asked | Kind::Answered);
    trace.iter().filter(arrives).map(|Entry { event, .. }| {
        let draw =
            DrawAddress { site: Site::Link(event.peer, event.actor), ordinal: event.ordinal };
        (draw, (event.at, event.kind, event.peer, event.actor, event.digest))
    })
}

/// What arrives in the run of which others are to be parts.
pub(super) struct Whole(BTreeMap<Arrival, Vec<DrawAddress>>);

impl Whole {
    fn of(report: &Report) -> Self {
        let mut all: BTreeMap<Arrival, Vec<DrawAddress>> = BTreeMap::new();
        for (draw, arrival) in arrivals(&report.trace) {
            all.entry(arrival).or_default().push(draw);
        }
        Self(all)
    }

    /// The first arrival of a run that the whole one has not, but for these.
    fn lacks(&self, trace: &[Entry], out: &BTreeSet<DrawAddress>) -> Option<DrawAddress> {
        let mut seen: BTreeMap<Arrival, usize> = BTreeMap::new();
        let is_anew = |(_, arrival): &(DrawAddress, Arrival)| {
            let whole = self.0.get(arrival).map_or(&[][..], Vec::as_slice);
            let kept = whole.iter().filter(|one| !out.contains(one)).count();
            let seen = seen.entry(*arrival).or_default();
            *seen += 1;
            kept < *seen
        };
        arrivals(trace).find(is_anew).map(|(draw, _)| draw)
    }
}

impl Search<'_> {
    /// The arrivals that are left when the wire loses as many of these as possible.
    fn needed(&mut self, mut all: BTreeSet<DrawAddress>) -> BTreeSet<DrawAddress> {
        loop {
            let before = self.best().left_out.clone();
            let fewer = self.minimize(all.iter().copied().collect(), |best, kept| {
                let kept: BTreeSet<DrawAddress> = kept.into_iter().collect();
                let out = all.difference(&kept).chain(&before).copied();
                Trial { left_out: out.collect(), ..best.clone() }
            });
            all.retain(|one| !self.best().left_out.contains(one));
            if !fewer || self.stopped().is_some() {
                return all;
            }
        }
    }

    /// The candidate without what does not arrive in the whole run, as a part of that; itself, if
    /// none is asked for. `None`: too much would have to be lost.
    pub(super) fn part(&self, candidate: &Trial) -> Option<Trial> {
        let mut trial = candidate.clone();
        let Some(whole) = &self.whole else { return Some(trial) };
        for _ in 0..ANEW {
            let report = self.scenario.run(&trial);
            let Some(anew) = whole.lacks(&report.trace, &candidate.left_out) else {
                return Some(trial);
            };
            if !trial.left_out.insert(anew) {
                return None;
            }
        }
        None
    }
}
