//! Transactions: which isolation level does a history keep?
//!
//! [`check`] infers dependencies from what transactions read and wrote and looks for the cycles
//! that a level forbids (Adya 1999; Elle, VLDB 2020). [`weak`] decides read committed, read atomic
//! and causal consistency of registers exactly (AWDIT, PLDI 2025). [`timestamps`] replays the order
//! that the system itself claims.
//!
//! ```
//! use seedfall_checkers::Outcome;
//! use seedfall_checkers::transactions::{Anomaly, Level, Micro, TransactionHistory, check};
//!
//! // Two transactions each read what the other is about to append to.
//! let mut history = TransactionHistory::new();
//! let ok = Outcome::Ok { returned: 9, output: () };
//! for (process, (reads, appends)) in [(1, 2), (2, 1)].into_iter().enumerate() {
//!     let micros = [
//!         Micro::ReadList { key: reads, values: vec![] },
//!         Micro::Append { key: appends, value: 1 },
//!     ];
//!     history.push(process as u32, 0, &ok, &micros)?;
//! }
//! let report = check(&history, Level::Serializable)?;
//! assert_eq!(report.findings[0].anomaly, Anomaly::G2Item);
//! # Ok::<(), seedfall_checkers::transactions::HistoryError>(())
//! ```

mod certificate;
pub(crate) mod cycles;
mod explain;
pub mod generate;
pub(crate) mod graph;
mod history;
mod internal;
mod list_append;
pub(crate) mod order;
pub(crate) mod report;
mod rw_register;
pub mod timestamps;
pub mod weak;
pub(crate) mod writes;

pub use certificate::{OrderError, serial_order, verify_cycle, verify_order};
pub use graph::Dependency;
pub use history::{DataType, HistoryError, Micro, TransactionHistory};
pub use report::{Anomaly, Counters, Finding, Level, Pattern, Report, Scope, Status, Step};

use cycles::Cycles;
use graph::{Edges, Graph};
use writes::Writes;

/// How many edges the search for short witnesses looks at, unless told otherwise.
pub const ALLOWANCE: u64 = 5_000_000;

/// Checks a history of lists or registers against a level.
///
/// # Errors
/// If a value is written twice to one key.
pub fn check(history: &TransactionHistory, level: Level) -> Result<Report, HistoryError> {
    check_with(history, level, ALLOWANCE)
}

/// As [`check`]; `allowance` bounds the search for short witnesses, in edges looked at. It changes
/// which cycle is shown, never the answer.
///
/// # Errors
/// If a value is written twice to one key.
pub fn check_with(
    history: &TransactionHistory,
    level: Level,
    allowance: u64,
) -> Result<Report, HistoryError> {
    let mut report = Report::new(level);
    let (graph, committed) = infer(history, level, &mut report)?;
    let mut cycles = Cycles::new(&graph, allowance);
    cycles.search(level);
    for (anomaly, scope, cycle) in &cycles.found {
        report.findings.push(explain::finding(history, *anomaly, *scope, cycle));
    }
    for (count, cycles) in report.counts.iter_mut().zip(cycles.counts) {
        *count += cycles;
    }
    report.counters = Counters {
        committed: committed.iter().filter(|committed| **committed).count() as u32,
        nodes: graph.nodes(),
        edges: graph.edges(),
        components: cycles.components,
        visited: cycles.visited,
    };
    report.sort();
    Ok(report)
}

/// All that data and order imply, as a graph; notes what is wrong without a cycle. Also tells which
/// transactions took effect.
fn infer(
    history: &TransactionHistory,
    level: Level,
    report: &mut Report,
) -> Result<(Graph, Vec<bool>), HistoryError> {
    let writes = Writes::new(history)?;
    let committed = writes::committed(history, &writes);
    let mut edges = Edges::new(history.len() as u32);
    match history.data_type() {
        Some(DataType::List) => {
            list_append::infer(history, &writes, &committed, &mut edges, report);
        }
        Some(DataType::Register) => {
            rw_register::infer(history, &writes, &committed, &mut edges, report);
        }
        None => {}
    }
    internal::check(history, &committed, report);
    if Scope::Process <= level.scope() {
        order::process(history, &committed, &mut edges);
    }
    if level.scope() == Scope::RealTime {
        order::real_time(history, &committed, &mut edges);
    }
    Ok((edges.build(), committed))
}
