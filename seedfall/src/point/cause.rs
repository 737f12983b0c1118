//! The cause of a failure, as far as one can be computed: of all that a small run cannot fail
//! without, what was decided last.

use super::left;
use crate::diff::{Change, Side, first_difference, less_by_one};
use crate::report::Report;
use crate::run::{Runnable, Trial};
use seedfall_sim::{DrawAddress, Recording, Site, Time};
use serde::{Deserialize, Serialize};

/// The last decision that a run cannot fail without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// At which event it was decided, counted from one: a fault begins, an operation is called, a
    /// message leaves, a timer is set.
    pub event: u64,
    /// The first event that is another one without it: the message arrives, the timer rings.
    pub shows: u64,
    /// That event in words.
    pub text: String,
}

/// Tries a shrunk run without each of its faults and operations, and with each of its draws that
/// are not nominal made so. Of those that it does not fail without, the cause is the one that was
/// decided last, at event `until` or before. What shrinking has made nominal, or left in though
/// nothing depends on it, is none: from the cause on the failure takes its normal course.
///
/// `None`: the run does not fail, or fails whatever single thing is left out.
pub fn cause(scenario: &dyn Runnable, trial: &Trial, until: u64) -> Option<Cause> {
    let whole = Trial { until: None, open_until: None, fork: None, ..trial.clone() };
    let failing = Side::of(scenario, &whole);
    let property = &failing.report.failure()?.property;
    // Where nothing is left to be done a run is over: that is no difference.
    let open_until = Some(failing.report.ended);
    let needed = |(less, change): (Trial, Change)| {
        let without = Side::of(scenario, &Trial { open_until, ..less });
        let fails = without.report.failure().is_some_and(|it| it.property == *property);
        let shows = first_difference(&failing, &without).filter(|_| !fails)?;
        Some((decided(scenario, &failing, &change, shows) as u64 + 1, shows))
    };
    let all = less_by_one(scenario, &failing).into_iter().filter_map(needed);
    let (event, shows) = all.filter(|(event, _)| *event <= until).max()?;
    let text = failing.report.trace.get(shows).map(ToString::to_string).unwrap_or_default();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(Cause { event, shows: shows as u64 + 1, text })
}

/// The place of the event at which something was decided that shows at the place `shows`.
fn decided(scenario: &dyn Runnable, side: &Side, change: &Change, shows: usize) -> usize {
    let trace = &side.report.trace;
    let place = match change {
        Change::Draw(DrawAddress { site: Site::Link(from, to), index }) => {
            left(trace, *from, *to, *index)
        }
        Change::Draw(draw) => Some(made(scenario, side, *draw)),
        Change::Fault(Some(fault), _) => {
            trace.iter().position(|entry| Time::ZERO + fault.at <= entry.event.at)
        }
        Change::Fault(None, _) => None,
        Change::Operation(operation) => {
            let asked = side.report.calls.iter().find(|(one, _)| one == operation);
            asked.and_then(|(_, call)| {
                let client = operation.client.into();
                trace.iter().position(|one| call.at <= one.event.at && one.event.actor == client)
            })
        }
    };
    place.map_or(shows, |place| place.min(shows))
}

/// The place of the event at which a draw is made: found by halving, from runs that end before and
/// after it.
fn made(scenario: &dyn Runnable, side: &Side, draw: DrawAddress) -> usize {
    let is_made = |report: &Report| report.draws.iter().any(|(one, _)| *one == draw);
    if !is_made(&side.report) {
        return 0; // Before the log of draws begins, as the run does.
    }
    let (mut before, mut after) = (0, side.report.events);
    while before + 1 < after {
        let middle = before.midpoint(after);
        let recording = Recording::Hash;
        let trial = Trial { until: Some(middle), recording, ..side.trial.clone() };
        let end = if is_made(&scenario.run(&trial)) { &mut after } else { &mut before };
        *end = middle;
    }
    after as usize - 1
}
