//! One independent part of a history, in the form that every algorithm here reads.

use crate::history::{History, HistoryError, Outcome, Validation};
use crate::interner::Interner;
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
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    /// In call order; equal calls in history order.
    pub(crate) spans: &'a [Span],
}

/// All parts of a history, side by side in one piece of memory.
pub(crate) struct Parts {
    spans: Vec<Span>,
    /// Where each part ends and the next begins.
    ends: Vec<u32>,
}

impl Parts {
    /// A single part.
    pub(crate) fn of_one(spans: Vec<Span>) -> Self {
        let ends = vec![spans.len() as u32];
        Self { spans, ends }
    }

    /// How many parts there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// One part.
    pub(crate) fn get(&self, number: usize) -> Part<'_> {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        Part { spans: &self.spans[start as usize..self.ends[number] as usize] }
    }

    /// Every part, in order of first appearance.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Part<'_>> {
        (0..self.len()).map(|number| self.get(number))
    }
}

impl Part<'_> {
    /// How many operations there are.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// The operations that certainly took effect.
    pub(crate) fn known(&self) -> impl Iterator<Item = u32> {
        (0..self.len() as u32).filter(|op| self.spans[*op as usize].known)
    }

    /// What could be known just before the response of an operation: later calls are left out,
    /// later responses are unknown. Second: the position here of each operation there.
    pub(crate) fn before_response(&self, operation: u32) -> (Vec<Span>, Vec<u32>) {
        let end = self.spans[operation as usize].ret;
        let mut before = Vec::new();
        let mut positions = Vec::new();
        for (position, span) in self.spans.iter().enumerate() {
            if span.call > end {
                break;
            }
            let known = span.known && (span.ret, position as u32) < (end, operation);
            let ret = if known { span.ret } else { u64::MAX };
            before.push(Span { known, ret, ..*span });
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

/// Not in any part: it certainly never happened.
const NOWHERE: u32 = u32::MAX;

/// Splits a history by the model's key, in order of first appearance; definite failures are left
/// out, because they never happened. Two passes: validate and count, then put every operation in
/// its place.
pub(crate) fn split<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
) -> Result<Parts, HistoryError> {
    let mut keys = Interner::new();
    // Keys for all inputs or for none.
    let first = history.operations.first();
    let whole = first.is_none_or(|operation| model.partition(&operation.input).is_none());
    let mut ends: Vec<u32> = Vec::new();
    let mut part_of = Vec::with_capacity(if whole { 0 } else { history.len() });
    let mut validation = Validation::default();
    for operation in &history.operations {
        validation.next(operation.client, operation.call, operation.outcome.returned())?;
        if matches!(operation.outcome, Outcome::Failed { .. }) {
            if !whole {
                part_of.push(NOWHERE);
            }
            continue;
        }
        let mut part = 0;
        if !whole {
            part = keys.intern(model.partition(&operation.input));
            part_of.push(part);
        }
        if part as usize == ends.len() {
            ends.push(0);
        }
        ends[part as usize] += 1;
    }
    let mut placed = 0;
    for end in &mut ends {
        // For now where the part begins: filling it moves this to its end.
        placed += std::mem::replace(end, placed);
    }
    let mut spans = vec![Span { index: 0, call: 0, ret: 0, known: false }; placed as usize];
    for (index, operation) in history.operations.iter().enumerate() {
        let (ret, known) = match operation.outcome {
            Outcome::Ok { returned, .. } => (returned, true),
            Outcome::Failed { .. } => continue,
            Outcome::Indeterminate => (u64::MAX, false),
        };
        let part = part_of.get(index).map_or(0, |part| *part as usize);
        let end = &mut ends[part];
        spans[*end as usize] = Span { index: index as u32, call: operation.call, ret, known };
        *end += 1;
    }
    Ok(Parts { spans, ends })
}
