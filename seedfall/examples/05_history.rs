//! 05: a history from a file is judged.
//!
//! You learn: the checkers alone, for what a real cluster did: JSON lines, Jepsen's EDN and logs,
//! Porcupine's. `05_history.jsonl` has five operations on one register.
//!
//! `cargo run -p seedfall --example 05_history` prints the verdicts, and why.

#![allow(clippy::print_stdout, reason = "an example prints")]

use seedfall::checkers::Budget;
use seedfall::checkers::readers::{Format, Judgement, Limits, Property, RawHistory, judge, read};
#[cfg(test)]
use seedfall::checkers::weak::Status;

const HISTORY: &str = include_str!("05_history.jsonl");

fn history() -> RawHistory {
    read(Format::JsonLines, HISTORY.as_bytes(), Limits::DEFAULT).expect("it is well formed")
}

/// By one property; its name is what `check --model` takes.
fn judged(property: &str) -> Judgement {
    let property = Property::from_name(property).expect("one of `Property::NAMES`");
    judge(&history(), property, Budget::DEFAULT).expect("reads and writes of a register")
}

/// The last read goes back behind the one before: both overlap the write of 2, so a *regular*
/// register may answer so, and a linearizable one may not.
#[test]
fn the_history_is_regular_and_not_linearizable() {
    assert_eq!(judged("regular").status, Status::Holds);
    assert_eq!(judged("register").status, Status::Violated);
}

fn main() {
    for property in ["regular", "sequential", "register"] {
        let judgement = judged(property);
        println!("{property}: {:?}\n{}", judgement.status, judgement.evidence.join("\n"));
    }
}
