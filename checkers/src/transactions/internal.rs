//! What a transaction must see of itself (the axiom INT of Cerone, Bernardi and Gotsman,
//! CONCUR 2015): a read agrees with the transaction's own earlier reads and writes of that key.

use crate::transactions::history::{Op, OpKind, TransactionHistory};
use crate::transactions::report::{Anomaly, Report};

/// Checks every committed transaction on its own.
pub(crate) fn check(history: &TransactionHistory, committed: &[bool], report: &mut Report) {
    let mut last = LastTouch { stamp: vec![u32::MAX; history.keys()] };
    for transaction in 0..history.len() as u32 {
        let ops = history.ops(transaction);
        if !committed[transaction as usize] || ops.len() < 2 {
            continue;
        }
        for (at, op) in ops.iter().enumerate() {
            // The walk back from a read ends at the first earlier touch of its key: skipped in one
            // step when there is none.
            if last.visit(op.key, transaction) && !agrees(history, &ops[..at], *op) {
                report
                    .note(Anomaly::Internal, &[transaction], || explain(history, transaction, *op));
            }
        }
    }
}

/// Whether the transaction touched a key before.
struct LastTouch {
    stamp: Vec<u32>,
}

impl LastTouch {
    fn visit(&mut self, key: u32, transaction: u32) -> bool {
        let key = key as usize;
        let before = self.stamp[key] == transaction;
        self.stamp[key] = transaction;
        before
    }
}

fn agrees(history: &TransactionHistory, earlier: &[Op], op: Op) -> bool {
    match op.kind {
        OpKind::Read(seen) => register_agrees(earlier, op.key, seen),
        OpKind::Prefix(_) | OpKind::Diverged(_) => list_agrees(history, earlier, op),
        OpKind::Write(_) | OpKind::Unread => true,
    }
}

fn register_agrees(earlier: &[Op], key: u32, seen: Option<u32>) -> bool {
    for op in earlier.iter().rev().filter(|op| op.key == key) {
        match op.kind {
            OpKind::Write(value) => return seen == Some(value),
            OpKind::Read(value) => return seen == value,
            OpKind::Prefix(_) | OpKind::Diverged(_) | OpKind::Unread => {}
        }
    }
    true
}

/// A list read ends with the transaction's appends since its last read, and starts with that read.
fn list_agrees(history: &TransactionHistory, earlier: &[Op], read: Op) -> bool {
    let mut rest = history.list(read);
    for op in earlier.iter().rev().filter(|op| op.key == read.key) {
        match op.kind {
            OpKind::Write(value) => match rest.split_last() {
                Some((last, init)) if *last == value => rest = init,
                Some(_) | None => return false,
            },
            OpKind::Prefix(_) | OpKind::Diverged(_) => return rest == history.list(*op),
            OpKind::Read(_) | OpKind::Unread => {}
        }
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
