//! What several of the systems share: what their clients ask for, and what becomes of a server
//! whose disk fails.

use seedfall::checkers::models::{CounterInput, KvInput};
use seedfall::sim::Choices;
use seedfall::workload::Invocation;
use std::fmt::Display;

/// A read or a write of one of two keys.
pub(crate) fn reads_and_writes(
    op: Invocation,
    draw: &mut Choices<'_>,
) -> KvInput<&'static str, String> {
    let key = ["x", "y"][draw.below(2) as usize];
    match draw.below(2) {
        0 => KvInput::Get { key },
        _ => KvInput::Put { key, value: op.unique().to_string() },
    }
}

/// A look at a sum, or something that is added to it.
pub(crate) fn looks_and_adds(_: Invocation, draw: &mut Choices<'_>) -> CounterInput {
    match draw.below(3) {
        0 => CounterInput::Read,
        _ => CounterInput::Add(1 + draw.below(99) as i64),
    }
}

/// A server whose disk failed stops, and reads it when it is started again.
pub(crate) fn or_stop<T, E: Display>(done: Result<T, E>) -> T {
    done.unwrap_or_else(|error| {
        eprintln!("stops, as its disk failed: {error}");
        std::process::exit(1);
    })
}
