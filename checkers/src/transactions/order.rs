//! Edges that come from when and where transactions ran, not from data.

use crate::transactions::graph::{Edges, PASS, PROCESS, TIME};
use crate::transactions::history::{Status, TransactionHistory};

/// From each transaction to the next one of its process.
///
/// An indeterminate transaction has no edge out: it may take effect long after its process went on.
pub(crate) fn process(history: &TransactionHistory, committed: &[bool], edges: &mut Edges) {
    // (process, call) sorts a process's transactions; pushes of one process are in call order.
    let mut row: Vec<u32> = (0..history.len() as u32).filter(|t| committed[*t as usize]).collect();
    row.sort_by_key(|transaction| history.process[*transaction as usize]);
    let mut before: Option<u32> = None;
    for &transaction in &row {
        let same = |b: &u32| history.process[*b as usize] == history.process[transaction as usize];
        before = before.filter(same);
        if let Some(before) = before {
            edges.push(before, transaction, PROCESS);
        }
        if history.status[transaction as usize] == Status::Ok {
            before = Some(transaction);
        }
    }
}

/// Real-time order, reduced to at most three edges a transaction.
///
/// Elle keeps the transitive reduction, which grows with concurrency times transactions. Here time
/// is a chain of junctions, one for each moment at which some transactions had just returned and
/// another was called: a transaction enters the chain at its return and leaves it at its call. Any
/// two transactions in real-time order are then one step apart, so witnesses are shorter too.
pub(crate) fn real_time(history: &TransactionHistory, committed: &[bool], edges: &mut Edges) {
    let rows = (0..history.len() as u32).filter(|t| committed[*t as usize]).map(|t| {
        let ended = history.status[t as usize] == Status::Ok;
        (t, history.call[t as usize], ended.then_some(history.returned[t as usize]))
    });
    time_chain(rows, edges);
}

/// Real-time order of `(node, call, return)`; a node without a return precedes nothing.
pub(crate) fn time_chain(rows: impl Iterator<Item = (u32, u64, Option<u64>)>, edges: &mut Edges) {
    let mut calls: Vec<(u64, u32)> = Vec::new();
    let mut returns: Vec<(u64, u32)> = Vec::new();
    for (node, call, returned) in rows {
        calls.push((call, node));
        returns.extend(returned.map(|returned| (returned, node)));
    }
    calls.sort_unstable();
    returns.sort_unstable();
    let mut returns = returns.into_iter().peekable();
    let mut now: Option<u32> = None;
    for (call, node) in calls {
        let mut fresh = true;
        while let Some((_, earlier)) = returns.next_if(|(returned, _)| *returned < call) {
            if fresh {
                let tick = edges.junction();
                if let Some(before) = now {
                    edges.push(before, tick, PASS);
                }
                now = Some(tick);
                fresh = false;
            }
            if let Some(tick) = now {
                edges.push(earlier, tick, TIME);
            }
        }
        if let Some(tick) = now {
            edges.push(tick, node, PASS);
        }
    }
}
