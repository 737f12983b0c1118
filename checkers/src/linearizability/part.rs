//! One independent part of a history, in the form that every algorithm here reads.

use rustc_hash::FxHashMap;

use crate::history::{History, Outcome};
use crate::models::Model;

/// When an operation was open. Algorithms name operations by their position in the part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Index in the history.
    pub(crate) index: u32,
    /// Time of the call.
    pub(crate) call: u64,
    /// Time of the response; `u64::MAX` for an indeterminate operation.
    pub(crate) ret: u64,
    /// Whether the operation certainly took effect.
    pub(crate) known: bool,
}

/// The operations of one partition that may have taken effect, in call order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    /// In call order; equal calls in history order.
    pub(crate) spans: Vec<Span>,
}

impl Part {
    /// How many operations there are.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// What could be known just before the response of an operation: later calls are left out,
    /// later responses are unknown. Second: the position here of each operation there.
    pub(crate) fn before_response(&self, operation: u32) -> (Self, Vec<u32>) {
        let end = self.spans[operation as usize].ret;
        let mut before = Self::default();
        let mut positions = Vec::new();
        for (position, span) in self.spans.iter().enumerate() {
            if span.call > end {
                break;
            }
            let known = span.known && (span.ret, position as u32) < (end, operation);
            let ret = if known { span.ret } else { u64::MAX };
            before.spans.push(Span { known, ret, ..*span });
            positions.push(position as u32);
        }
        (before, positions)
    }

    /// The calls and the known responses in order of time, a call before a response of equal
    /// stamp (intervals are closed). An event is `position << 1 | is_response`.
    pub(crate) fn events(&self) -> Vec<u32> {
        let mut responses: Vec<(u64, u32)> = Vec::with_capacity(self.spans.len());
        for (position, span) in self.spans.iter().enumerate() {
            if span.known {
                responses.push((span.ret, position as u32));
            }
        }
        responses.sort_unstable();
        let mut events = Vec::with_capacity(self.spans.len() + responses.len());
        let mut waiting = responses.into_iter().peekable();
        for (position, span) in self.spans.iter().enumerate() {
            while let Some((_, done)) = waiting.next_if(|(time, _)| *time < span.call) {
                events.push(done << 1 | 1);
            }
            events.push((position as u32) << 1);
        }
        events.extend(waiting.map(|(_, done)| done << 1 | 1));
        events
    }
}

/// Splits a history by the model's key, in order of first appearance; definite failures are left
/// out, because they never happened.
pub(crate) fn split<M: Model>(model: &M, history: &History<M::Input, M::Output>) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut by_key: FxHashMap<&M::Key, u32> = FxHashMap::default();
    let mut whole: Option<usize> = None;
    let mut sorted = true;
    let mut latest = 0;
    for (index, operation) in history.operations.iter().enumerate() {
        let (ret, known) = match operation.outcome {
            Outcome::Ok { returned, .. } => (returned, true),
            Outcome::Failed { .. } => continue,
            Outcome::Indeterminate => (u64::MAX, false),
        };
        let part = match model.partition(&operation.input) {
            Some(key) => *by_key.entry(key).or_insert(parts.len() as u32) as usize,
            None => *whole.get_or_insert(parts.len()),
        };
        if part == parts.len() {
            parts.push(Part::default());
        }
        sorted &= latest <= operation.call;
        latest = operation.call;
        // A response before its call would hide the call for ever: read it as instantaneous.
        let ret = ret.max(operation.call);
        parts[part].spans.push(Span { index: index as u32, call: operation.call, ret, known });
    }
    if !sorted {
        for part in &mut parts {
            part.spans.sort_by_key(|span| span.call);
        }
    }
    parts
}
