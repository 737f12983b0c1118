//! Verdicts for people: text, and one self-contained page of HTML.

mod attempts;
mod page;

use std::fmt::{Debug, Write as _};

use crate::history::{History, Operation, Outcome};
use crate::verdict::{Verdict, Witness};

pub use attempts::{Attempt, attempts, attempts_in_words};
pub use page::html;
#[cfg(feature = "readers")]
pub(crate) use page::{Interval, Page};

/// Most operations that an explanation lists.
const SHOWN: usize = 60;

/// What an operation asked and was told, on one line.
pub fn operation<I: Debug, O: Debug>(operation: &Operation<I, O>) -> String {
    let Operation { client, call, input, outcome } = operation;
    match outcome {
        Outcome::Ok { returned, output } => {
            format!("client {client} at {call}..={returned}: {input:?} -> {output:?}")
        }
        Outcome::Failed { returned } => {
            format!("client {client} at {call}..={returned}: {input:?} failed")
        }
        Outcome::Indeterminate => format!("client {client} at {call}..: {input:?} -> unknown"),
    }
}

/// Explains a verdict in text: the property, the operation that breaks it, the few that forbid
/// it, drawn over time, and the longest prefix that can be explained.
pub fn text<I: Debug, O: Debug>(history: &History<I, O>, verdict: &Verdict) -> String {
    let mut text = String::new();
    match verdict {
        Verdict::Holds(certificate) => {
            let placed: usize = certificate.orders.iter().map(Vec::len).sum();
            line(&mut text, "Linearizable.");
            if placed > 0 {
                line(&mut text, &format!("An order of {placed} operations explains every answer:"));
            }
            for order in &certificate.orders {
                list(&mut text, history, order, &[]);
            }
        }
        Verdict::Violated(witness) => violation(&mut text, history, witness),
        Verdict::Unknown(exhausted) => line(&mut text, &format!("Unknown: {exhausted}.")),
    }
    let statistics = verdict.statistics();
    let mut ways = String::new();
    for way in crate::verdict::Path::ALL {
        let count = statistics.decided_by(way);
        if count > 0 {
            // Writing to a string cannot fail.
            let _ = write!(ways, ", {count} by {}", way.name());
        }
    }
    let (parts, tried) = (statistics.partitions, statistics.configurations);
    line(&mut text, &format!("{parts} partitions{ways}; {tried} configurations tried."));
    text
}

fn violation<I: Debug, O: Debug>(text: &mut String, history: &History<I, O>, witness: &Witness) {
    let (from, to) = witness.window;
    line(text, &format!("NOT linearizable: {}.", witness.reason.sentence()));
    if let Some(guilty) = history.operations.get(witness.operation as usize) {
        line(
            text,
            &format!(
                "The answer that nothing explains: #{} {}",
                witness.operation,
                operation(guilty)
            ),
        );
    }
    line(text, &format!("Operations that contradict each other, within {from}..={to}:"));
    list(text, history, &witness.core, &[witness.operation]);
    chart(text, history, witness);
    if witness.prefix.is_empty() {
        return;
    }
    let count = witness.prefix.len();
    line(text, &format!("Until then this order explains everything ({count} operations):"));
    list(text, history, &witness.prefix, &[]);
}

fn line(text: &mut String, words: &str) {
    text.push_str(words);
    text.push('\n');
}

/// The operations, the last ones if there are many; marked ones with an arrow.
fn list<I: Debug, O: Debug>(
    text: &mut String,
    history: &History<I, O>,
    indices: &[u32],
    marked: &[u32],
) {
    let hidden = indices.len().saturating_sub(SHOWN);
    if hidden > 0 {
        line(text, &format!("    ... {hidden} before these"));
    }
    for index in &indices[hidden..] {
        let Some(told) = history.operations.get(*index as usize) else { continue };
        let mark = if marked.contains(index) { "->" } else { "  " };
        line(text, &format!(" {mark} #{index} {}", operation(told)));
    }
}

/// Intervals of the core, one line each, over its window.
fn chart<I, O>(text: &mut String, history: &History<I, O>, witness: &Witness) {
    const WIDTH: u64 = 60;
    let (from, to) = witness.window;
    if witness.core.len() > 12 || to <= from {
        return;
    }
    let place = |time: u64| {
        let time = time.clamp(from, to) - from;
        // In 128 bits, because stamps may be of any size.
        (u128::from(time) * u128::from(WIDTH - 1) / u128::from(to - from)) as usize
    };
    for index in &witness.core {
        let Some(told) = history.operations.get(*index as usize) else { continue };
        let mut row = vec![' '; WIDTH as usize];
        let end = told.outcome.returned();
        let (first, last) = (place(told.call), place(end.unwrap_or(to)));
        row[first..=last].fill('-');
        row[first] = '|';
        row[last] = if end.is_some() { '|' } else { '>' };
        let row: String = row.into_iter().collect();
        line(text, &format!("    #{index:<6} {}", row.trim_end()));
    }
}

#[cfg(test)]
mod tests;
