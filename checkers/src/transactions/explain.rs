//! The reason of an edge, in words, looked up again from the two transactions it joins.
//!
//! Edges do not carry their key: a graph has millions of them and a witness a handful.

use crate::transactions::cycles::{Cycle, dependency, pattern};
use crate::transactions::graph::Dependency;
use crate::transactions::history::{DataType, Op, OpKind, TransactionHistory};
use crate::transactions::report::{Anomaly, Finding, Scope, Step, names};

/// A finding with every edge of the cycle explained.
pub(crate) fn finding(
    history: &TransactionHistory,
    anomaly: Anomaly,
    scope: Scope,
    cycle: &Cycle,
) -> Finding {
    // No edges: the cycle is known to exist, and was not singled out within the allowance.
    let len = cycle.kinds.len();
    let steps: Vec<Step> = (0..len)
        .map(|at| {
            let (from, to) = (cycle.transactions[at], cycle.transactions[(at + 1) % len]);
            let dependency = dependency(cycle.kinds[at]);
            Step { from, to, dependency, reason: reason(history, from, to, dependency) }
        })
        .collect();
    let mut explanation = String::new();
    if steps.is_empty() {
        let names = names(&cycle.transactions);
        explanation = format!("a cycle runs through a component that holds {names}");
    }
    for (at, step) in steps.iter().enumerate() {
        let (start, end) = match (at, at + 1 == len) {
            (_, true) => ("But ", ": a cycle."),
            (_, false) => ("", "."),
        };
        let line = format!(
            "{start}T{} must come before T{}, because {}{end}\n",
            step.from, step.to, step.reason
        );
        explanation.push_str(&line);
    }
    Finding {
        anomaly,
        scope,
        pattern: pattern(&cycle.kinds),
        transactions: cycle.transactions.clone(),
        steps,
        is_shortest: cycle.is_shortest,
        explanation,
    }
}

fn reason(history: &TransactionHistory, from: u32, to: u32, dependency: Dependency) -> String {
    let data = match (dependency, history.data_type()) {
        (Dependency::Process, _) => {
            Some(format!("process {} ran T{from} before T{to}", history.process[from as usize]))
        }
        (Dependency::RealTime, _) => Some(format!(
            "T{from} returned at {}, before T{to} was called at {}",
            history.returned[from as usize], history.call[to as usize]
        )),
        (_, Some(DataType::Register)) => register(history, from, to, dependency),
        (_, Some(DataType::List) | None) => list(history, from, to, dependency),
    };
    data.unwrap_or_else(|| "of what they read and wrote".to_owned())
}

/// Every pair of steps of the two transactions on one key.
fn pairs<'h>(
    history: &'h TransactionHistory,
    from: u32,
    to: u32,
) -> impl Iterator<Item = (Op, Op)> + 'h {
    history
        .ops(from)
        .iter()
        .flat_map(move |a| history.ops(to).iter().filter(|b| a.key == b.key).map(move |b| (*a, *b)))
}

fn list(
    history: &TransactionHistory,
    from: u32,
    to: u32,
    dependency: Dependency,
) -> Option<String> {
    let place = |op: Op| match op.kind {
        OpKind::Write(value) => {
            history.longest[op.key as usize].iter().position(|seen| *seen == value)
        }
        _ => None,
    };
    let reads = |op: Op| matches!(op.kind, OpKind::Prefix(_) | OpKind::Diverged(_));
    pairs(history, from, to).find_map(|(a, b)| {
        let key = history.names.key(a.key);
        match (dependency, a.kind, b.kind) {
            (Dependency::WriteWrite, OpKind::Write(first), OpKind::Write(second)) => {
                let (first, second) = (history.names.value(first), history.names.value(second));
                match (place(a)?, place(b)) {
                    (here, Some(there)) if there < here => None,
                    (_, Some(_)) => Some(format!(
                        "T{from} appended {first} to key {key} and T{to} appended {second} after it"
                    )),
                    (_, None) => Some(format!(
                        "T{from} appended {first} to key {key}, which was read so, without the \
                         {second} that T{to} appended"
                    )),
                }
            }
            (Dependency::WriteRead, OpKind::Write(value), _) if reads(b) => {
                (history.list(b).last() == Some(&value)).then(|| {
                    let value = history.names.value(value);
                    format!("T{to} read key {key} up to {value}, which T{from} appended")
                })
            }
            (Dependency::ReadWrite, _, OpKind::Write(value)) if reads(a) => {
                (!history.list(a).contains(&value)).then(|| {
                    let value = history.names.value(value);
                    format!("T{from} read key {key} without the {value} that T{to} appended")
                })
            }
            _ => None,
        }
    })
}

fn register(
    history: &TransactionHistory,
    from: u32,
    to: u32,
    dependency: Dependency,
) -> Option<String> {
    let show = |value: Option<u32>| match value {
        None => "its initial state".to_owned(),
        Some(value) => format!("{}", history.names.value(value)),
    };
    let is_read = |op: &&Op, key: u32| op.key == key && matches!(op.kind, OpKind::Read(_));
    pairs(history, from, to).find_map(|(a, b)| {
        let key = history.names.key(a.key);
        match (dependency, a.kind, b.kind) {
            (Dependency::WriteRead, OpKind::Write(value), OpKind::Read(seen))
                if seen == Some(value) =>
            {
                let value = history.names.value(value);
                Some(format!("T{to} read key {key} as {value}, which T{from} wrote"))
            }
            (Dependency::WriteWrite, OpKind::Write(first), OpKind::Write(second)) => {
                let read = history.ops(to).iter().find(|op| is_read(op, b.key));
                let (first, second) = (history.names.value(first), history.names.value(second));
                Some(match read.map(|op| op.kind) {
                    Some(OpKind::Read(Some(seen))) if history.names.value(seen) == first => {
                        format!(
                            "T{to} read key {key} as the {first} that T{from} wrote, then wrote \
                             {second}"
                        )
                    }
                    _ => format!(
                        "T{from} wrote {first} to key {key} before T{to} wrote {second} to it"
                    ),
                })
            }
            (Dependency::ReadWrite, OpKind::Read(seen), OpKind::Write(value))
                if seen != Some(value) =>
            {
                let value = history.names.value(value);
                let seen = show(seen);
                Some(format!("T{from} read key {key} as {seen}, before T{to} set it to {value}"))
            }
            _ => None,
        }
    })
}
