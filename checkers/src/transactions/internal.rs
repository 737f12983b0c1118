//! What a transaction must see of itself (the axiom INT of Cerone, Bernardi and Gotsman,
//! CONCUR 2015): a read agrees with the transaction's own earlier reads and writes of that key.

use crate::transactions::history::{Op, OpKind, TransactionHistory};
use crate::transactions::report::{Anomaly, Report};

/// Checks every committed transaction on its own, in time linear in its steps: each step knows the
/// step of the same key before it, and a walk back ends at the first read.
pub(crate) fn check(history: &TransactionHistory, committed: &[bool], report: &mut Report) {
    // Per key: the transaction that touched it last, and at which step.
    let mut last = vec![(NONE, 0u32); history.keys()];
    let mut before: Vec<u32> = Vec::new();
    for transaction in 0..history.len() as u32 {
        let ops = history.ops(transaction);
        if !committed[transaction as usize] || ops.len() < 2 {
            continue;
        }
        before.clear();
        for (at, op) in (0u32..).zip(ops) {
            let touched = std::mem::replace(&mut last[op.key as usize], (transaction, at));
            before.push(if touched.0 == transaction { touched.1 } else { NONE });
            if touched.0 == transaction && !agrees(history, ops, &before, at) {
                report
                    .note(Anomaly::Internal, &[transaction], || explain(history, transaction, *op));
            }
        }
    }
}

const NONE: u32 = u32::MAX;

/// Whether a read ends with the transaction's own writes since its last read of the key, and starts
/// with that read.
fn agrees(history: &TransactionHistory, ops: &[Op], before: &[u32], read: u32) -> bool {
    let op = ops[read as usize];
    let mut rest = match op.kind {
        OpKind::Prefix(_) | OpKind::Diverged(_) => history.list(op),
        OpKind::Read(_) => &[],
        OpKind::Write(_) | OpKind::Unread => return true,
    };
    let mut at = before[read as usize];
    while at != NONE {
        match (op.kind, ops[at as usize].kind) {
            (OpKind::Read(seen), OpKind::Write(value)) => return seen == Some(value),
            (OpKind::Read(seen), OpKind::Read(value)) => return seen == value,
            (_, OpKind::Write(value)) => match rest.split_last() {
                Some((last, init)) if *last == value => rest = init,
                Some(_) | None => return false,
            },
            (_, OpKind::Prefix(_) | OpKind::Diverged(_)) => {
                return rest == history.list(ops[at as usize]);
            }
            (_, OpKind::Read(_) | OpKind::Unread) => {}
        }
        at = before[at as usize];
    }
    true
}

fn explain(history: &TransactionHistory, transaction: u32, op: Op) -> String {
    let key = history.names.key(op.key);
    let seen = match op.kind {
        OpKind::Read(None) => "the initial state".to_owned(),
        OpKind::Read(Some(value)) => format!("{}", history.names.value(value)),
        OpKind::Write(_) | OpKind::Prefix(_) | OpKind::Diverged(_) | OpKind::Unread => {
            let values = history.list(op).iter().map(|value| history.names.value(*value));
            format!("{:?}", values.collect::<Vec<_>>())
        }
    };
    format!("T{transaction} read key {key} as {seen}, against its own earlier steps")
}
