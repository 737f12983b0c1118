//! Operations and faults at other times, if that makes the run shorter.
//!
//! What is left of a run may stand where it stood in the whole one, with much between that only
//! passes the time: retries, heartbeats, elections. An operation that is called later may find the
//! leader at once.

use super::search::Search;
use crate::run::Trial;
use crate::scenario::OperationId;
use seedfall_sim::{Duration, NodeId, Time};

/// A thing is tried at so many times, spread over the run.
const PLACES: u64 = 16;

impl Search<'_> {
    /// Moves operations and faults, and lets operations ask other nodes first, as long as the run
    /// becomes shorter.
    pub(super) fn moves(&mut self) -> bool {
        // A run that waits for ever has no length that could become shorter.
        if !self.has_length() {
            return false;
        }
        let skip = &self.best().skip;
        let left = self.best().calls.keys().filter(|one| !skip.contains(one)).copied();
        let mut changed = false;
        for operation in left.collect::<Vec<_>>() {
            while self.shorter(&|best, nodes, end| moved_call(best, operation, nodes, end)) {
                changed = true;
            }
        }
        for index in 0..self.plan().entries.len() {
            while self.shorter(&|best, _, end| moved_fault(best, index, end)) {
                changed = true;
            }
        }
        changed
    }

    /// Takes over one of the candidates whose run is shorter: much shorter, if one is.
    fn shorter(&mut self, candidates: &dyn Fn(&Trial, usize, Duration) -> Vec<Trial>) -> bool {
        let (events, ended) = self.length();
        let nodes = self.nodes_of_best();
        let all = candidates(self.best(), nodes, ended);
        [events - events / 8, events].into_iter().any(|most| self.take_within(most - 1, &all))
    }
}

/// The trial with this operation called at other times, and asking each node first.
fn moved_call(trial: &Trial, operation: OperationId, nodes: usize, end: Duration) -> Vec<Trial> {
    let Some(now) = trial.calls.get(&operation).map(|call| call.at) else { return Vec::new() };
    let times = places(end).map(|at| Time::ZERO + at);
    let at_and_asks = [now]
        .into_iter()
        .chain(times)
        .flat_map(|at| (0..nodes).map(move |node| (at, NodeId::new(node as u16))));
    at_and_asks
        .map(|(at, asks)| {
            let mut trial = trial.clone();
            if let Some(call) = trial.calls.get_mut(&operation) {
                (call.at, call.asks) = (at, asks);
            }
            trial
        })
        .collect()
}

/// The trial with this entry of its plan at other times.
fn moved_fault(trial: &Trial, index: usize, end: Duration) -> Vec<Trial> {
    let move_to = |at| {
        let mut trial = trial.clone();
        if let Some(plan) = &mut trial.plan {
            plan.entries[index].at = at;
        }
        trial
    };
    places(end).map(move_to).collect()
}

/// Times that are spread over the run, the last ones first: what comes late needs little after it.
fn places(end: Duration) -> impl Iterator<Item = Duration> {
    (0..PLACES).rev().map(move |place| end.scale(place, PLACES))
}
