//! Which arrivals of a run matter.
//!
//! Asked of the very run that is told: as many of its arrivals as possible are lost, and what is
//! left is a *part* of that run, in which nothing arrives that did not arrive in the whole one, at
//! that instant and with those contents. A node that misses something may say something else
//! instead, say it again, or later: if that arrived, another message could do in the part what a
//! message of the told run does there. And the part breaks the promise where the told run does: at
//! that instant, or by that operation. A part that breaks it elsewhere, as another node misses
//! something, is the story of another failure, and would leave out what decides in this one.

use super::search::Search;
use super::{Effort, failure};
use crate::run::{Runnable, Trial};
use seedfall_sim::{DrawAddress, Entry, Event, Kind, Recording, Site};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Whoever misses messages asks again: a part may have so many times the events of its whole.
const EVENTS: u64 = 3;

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
    let all = arrivals(&report.trace);
    let best = Trial { only: Some(Arc::new(all.clone())), recording: Recording::Hash, ..full };
    let search = Search::new(scenario, broken, best, report.events * EVENTS, effort);
    let mut search = search.at_the_scene_of(broken);
    let needed: BTreeSet<DrawAddress> = search.needed(&all).iter().map(draw).collect();
    let random = |one: &DrawAddress| trial.random.as_ref().is_none_or(|all| all.contains(one));
    let draws = all.iter().map(draw).filter(|one| random(one) || needed.contains(one));
    let draws: Vec<DrawAddress> = draws.collect();
    Some(Matter { arrivals: all.len(), matter: draws.len(), draws: draws.into_iter().collect() })
}

/// Everything that arrives, in order.
pub fn arrivals(trace: &[Entry]) -> Vec<Event> {
    let arrives =
        |event: &Event| matches!(event.kind, Kind::Deliver | Kind::Asked | Kind::Answered);
    trace.iter().map(|entry| entry.event).filter(arrives).collect()
}

/// The draw that decided the fate of what arrives.
fn draw(event: &Event) -> DrawAddress {
    DrawAddress { site: Site::Link(event.peer, event.actor), ordinal: event.ordinal }
}

impl Search<'_> {
    /// The arrivals that are left when as many of these as possible are lost.
    fn needed(&mut self, all: &[Event]) -> Vec<Event> {
        let mut needed = all.to_vec();
        loop {
            let fewer = self.minimize(needed.clone(), |best, kept| Trial {
                only: Some(Arc::new(kept)),
                ..best.clone()
            });
            if let Some(only) = &self.best().only {
                needed = only.to_vec();
            }
            if !fewer || self.stopped().is_some() {
                return needed;
            }
        }
    }
}
