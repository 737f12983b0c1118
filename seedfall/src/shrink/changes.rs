//! Crashes before the n-th change of what a node keeps, counted from a later moment: so that what
//! came before that moment can be left out.

use super::search::Search;
use crate::faults::classes::Crash;
use crate::plan::{Entry, Fault, FaultPlan};
use crate::run::Trial;
use seedfall_sim::{CrashPoint, Duration, Kind, NodeId, Recording, Time};

/// By how many changes a count may be wrong: some fail, and are no events.
const NEAR: u32 = 8;

impl Search<'_> {
    /// Counts from just before the crash.
    pub(super) fn changes(&mut self) {
        for index in 0..self.plan().entries.len() {
            let entry = self.plan().entries[index].clone();
            let Fault::Crash(Crash { node, point: Some(CrashPoint::Change(_)), .. }) = &entry.fault
            else {
                continue;
            };
            let candidates = self.later(&entry, *node);
            self.take(candidates.len(), &|best, which| {
                let mut entries = best.plan.clone().unwrap_or_default().entries;
                entries[index] = candidates[which].clone();
                Trial { plan: Some(FaultPlan { entries }), ..best.clone() }
            });
        }
    }

    /// The entry, begun just before each crash of its node, and the changes counted from there.
    fn later(&self, entry: &Entry, node: NodeId) -> Vec<Entry> {
        let report = self.run(&Trial { recording: Recording::Full, ..self.best().clone() });
        let own = report.trace.iter().map(|one| &one.event);
        let own: Vec<_> = own.filter(|event| event.actor.node() == Some(node)).collect();
        let crashes = own.iter().enumerate().filter(|(_, event)| event.kind == Kind::Crash);
        let mut later = Vec::new();
        for (place, crash) in crashes {
            let at = crash.at.since(Time::ZERO) - Duration::nanos(1);
            let end = entry.at + entry.lasts;
            if at <= entry.at || end <= at {
                continue;
            }
            let changes = own[..place].iter().filter(|event| {
                event.at == crash.at && matches!(event.kind, Kind::File | Kind::Append | Kind::Sync)
            });
            let count = changes.count() as u32 + 1;
            let numbers = [count].into_iter().chain(count + 1..count + NEAR).chain(1..count);
            later.extend(numbers.filter_map(|number| {
                let Fault::Crash(crash) = &entry.fault else { return None };
                let point = Some(CrashPoint::Change(number));
                let fault = Crash { point, ..crash.clone() }.into();
                Some(Entry { at, lasts: end - at, fault, ..entry.clone() })
            }));
        }
        later
    }
}
