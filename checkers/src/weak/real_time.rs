//! Real-time order: writes take effect in the order in which they ran, for everybody.
//!
//! `RealTime` of Viotti and Vukolić (*Consistency in non-transactional distributed storage
//! systems*, 2016) together with convergent causal consistency: one order of all operations
//! respects causality, the order that reads force, and real time (real-time causal consistency,
//! Mahajan, Alvisi and Dahlin 2011). Weaker than linearizable: a read may still miss a write that
//! ended before it began, if nothing it knows of tells it so; stronger than causal: an order of
//! writes that contradicts the clock is found even if nobody carried word of it.

use crate::meter::Meter;
use crate::report::{Report, numbers};
use crate::transactions::cycles::any_cycle;
use crate::transactions::graph::{Edges, Mask, Masked, PROCESS, TIME, WR, WW, components};
use crate::transactions::order::time_chain;
use crate::transactions::report::{Level, Report as Anomalies};
use crate::transactions::weak::BLOCK;
use crate::transactions::weak::causal::infer;
use crate::transactions::weak::sessions::Sessions;
use crate::transactions::writes::{Writes, committed};
use crate::transactions::{HistoryError, Micro};
use crate::verdict::Budget;
use crate::weak::accesses::{Accesses, Refused, RegisterHistory};

/// Checks that one order respects causality, what reads force, and real time between writes, and
/// that no read returns before its source is called. What causality forces is inferred within the
/// default budget.
///
/// # Errors
/// If a value is written twice to one key, or no recorder can have produced the history.
pub fn real_time(history: &RegisterHistory) -> Result<Report, Refused> {
    let mut report = Report::default();
    let accesses = Accesses::new(history, &mut report)?;
    if judge(&accesses, &mut report).is_err() {
        report.is_exhausted = true; // Too large for a graph; nothing else can be wrong here.
    }
    Ok(report)
}

fn judge(accesses: &Accesses<'_>, report: &mut Report) -> Result<(), HistoryError> {
    let (transactions, order) = accesses.transactions()?;
    let rows = Writes::new(&transactions)?;
    let committed = committed(&transactions, &rows);
    let mut ignored = Anomalies::new(Level::ReadCommitted);
    let sessions = Sessions::new(&transactions, &rows, &committed, &mut ignored);
    let operation = |node: u32| sessions.index(node).map(|t| order[t as usize]);
    let mut edges = Edges::new(sessions.nodes());
    sessions.base_edges(&mut edges);
    let mut meter = Meter::new(Budget::DEFAULT);
    report.is_exhausted |= infer(&sessions, BLOCK, &mut edges, &mut meter).is_err();
    report.configurations = meter.spent().configurations;
    let is_write = |t: u32| matches!(transactions.transaction(t)[..], [Micro::Write { .. }]);
    let times = (0..sessions.transactions()).filter_map(|node| {
        let index = sessions.index(node)?;
        let operation = order[index as usize];
        // A read binds nobody by its end, but it cannot end before what it saw began.
        let ends = !accesses.is_indeterminate(operation);
        is_write(index)
            .then(|| (node, accesses.call(operation), ends.then_some(accesses.returned(operation))))
    });
    time_chain(times, &mut edges);
    for node in 0..sessions.transactions() {
        for source in sessions.reads(node).iter().filter_map(|read| operation(read.writer)) {
            let Some(read) = operation(node) else { continue };
            if accesses.returned(read) < accesses.call(source) {
                report.note("read-from-future", &[read, source], || {
                    format!("operation #{read} returned before its source #{source} was called")
                });
            }
        }
    }
    let graph = edges.build();
    let mask = Mask::of(&[PROCESS, WR, WW, TIME]);
    let parts = components(&Masked { graph: &graph, mask, within: None });
    if let Some(members) = parts.members.first()
        && let Some(cycle) = any_cycle(&graph, members, mask, &parts)
    {
        let involved: Vec<u32> =
            cycle.transactions.iter().filter_map(|node| operation(*node)).collect();
        report.note("real-time", &involved, || {
            let all = numbers(&involved);
            format!("operations {all} would each have to come before the next, in a circle")
        });
    }
    Ok(())
}
