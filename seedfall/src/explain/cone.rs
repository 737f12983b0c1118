//! The causal cone of a violation: every event that can have led to it (Lamport, "Time, Clocks, and
//! the Ordering of Events in a Distributed System", 1978), found backwards from where it showed.
//!
//! An event follows the one before it at the same place, and an arrival follows its sending. A node
//! that starts after a crash knows its journal, or its files, and nothing else, so its start
//! follows the last record that was appended, or the last change of a file, before.

use super::{Explanation, Happening};
use crate::report::{Failure, FailureKind};
use seedfall_sim::Kind;

/// Marks the events of the cone; none, if nothing was broken.
pub(super) fn mark(explanation: &mut Explanation, failure: Option<&Failure>) {
    let Some(failure) = failure else { return };
    let mut ahead = tips(explanation, failure.kind);
    let before = order(&explanation.events, explanation.lanes.len());
    let sent: Vec<Option<usize>> = explanation
        .events
        .iter()
        .map(|event| event.message.map(|message| explanation.messages[message].sent))
        .collect();
    while let Some(index) = ahead.pop() {
        let event = &mut explanation.events[index];
        if event.cone {
            continue;
        }
        event.cone = true;
        ahead.extend(before[index]);
        ahead.extend(sent[index].filter(|sent| *sent < index));
    }
    // What became of a message of the cone, and what the nemesis did, explain what did not happen.
    for index in 0..explanation.events.len() {
        let led = sent[index].is_some_and(|sent| explanation.events[sent].cone);
        let event = &mut explanation.events[index];
        event.cone |= match event.kind {
            Kind::Drop | Kind::Duplicate | Kind::Lost => led,
            Kind::Fault => {
                ["begins: ", "ends: ", "stops: "].iter().any(|word| event.text.starts_with(word))
            }
            Kind::Crash | Kind::Pause | Kind::Refuse | Kind::Signal => true,
            _ => false,
        };
    }
}

/// Where the violation showed: the answers of the operations that contradict each other; else the
/// last event before a monitor or a panic ended the run; else, since what does not happen has no
/// place of its own, the last event of everybody.
fn tips(explanation: &Explanation, kind: FailureKind) -> Vec<usize> {
    let witness = explanation.operations.iter().filter(|one| one.witness.is_some());
    let tips: Vec<usize> = witness.map(|one| one.answered.unwrap_or(one.asked)).collect();
    let events = &explanation.events;
    let last = events.iter().rposition(is_own);
    match kind {
        _ if !tips.is_empty() => tips,
        _ if !kind.is_late() => last.into_iter().collect(),
        _ => (0..explanation.lanes.len())
            .filter_map(|lane| events.iter().rposition(|one| one.lane == lane && is_own(one)))
            .collect(),
    }
}

/// Whether an event is its lane's own doing or experience.
fn is_own(event: &Happening) -> bool {
    !matches!(event.kind, Kind::Fault | Kind::Drop | Kind::Duplicate | Kind::Lost)
}

/// For each event, the one before it at the same place.
fn order(events: &[Happening], lanes: usize) -> Vec<Option<usize>> {
    let mut last: Vec<Option<usize>> = vec![None; lanes];
    let mut appended: Vec<Option<usize>> = vec![None; lanes];
    let mut before = Vec::with_capacity(events.len());
    for (index, event) in events.iter().enumerate() {
        if !is_own(event) {
            before.push(None);
            continue;
        }
        let lane = event.lane;
        before.push(if event.kind == Kind::Start { appended[lane] } else { last[lane] });
        last[lane] = Some(index);
        if matches!(event.kind, Kind::Append | Kind::File) {
            appended[lane] = Some(index);
        }
    }
    before
}
