//! The checkers: histories of any bytes, and small ones against brute force.

use seedfall::checkers::models::{Register, RegisterInput, RegisterOutput};
use seedfall::checkers::readers::{Format, Limits, Property, judge, read};
use seedfall::checkers::{Budget, History, Operation, Outcome, Verdict, linearizable};

type Small = History<RegisterInput<u8>, RegisterOutput<u8>>;

/// A history file of any bytes is refused with a message, or judged.
pub fn history(bytes: &[u8]) {
    let format = Format::detect(bytes).unwrap_or(Format::JsonLines);
    let limits = Limits { operations: 1_000, line_bytes: 1 << 16 };
    match read(format, bytes, limits) {
        Err(error) => assert!(!error.to_string().is_empty(), "an error says something"),
        Ok(history) => {
            for property in Property::fitting(&history) {
                drop(judge(&history, property, Budget::configurations(10_000)));
            }
        }
    }
}

/// How many operations brute force gets.
const OPERATIONS: usize = 7;

/// The checker says of a small register what brute force says of it: three bytes are one operation.
pub fn register(bytes: &[u8]) {
    let history = small(bytes);
    let verdict = linearizable(&Register { initial: 0_u8 }, &history, Budget::DEFAULT);
    let verdict = verdict.expect("no response is before its call");
    let holds = explains(&history, 0, 0);
    match verdict {
        Verdict::Holds(_) => assert!(holds, "no order explains {history:?}"),
        Verdict::Violated(witness) => assert!(!holds, "{witness:?} of {history:?}"),
        Verdict::Unknown(why) => panic!("{why:?}: {} operations", history.len()),
    }
}

/// The history that these bytes spell: each client has one operation, so that any two may overlap.
fn small(bytes: &[u8]) -> Small {
    let mut operations: Vec<Operation<_, _>> = (0..)
        .zip(bytes.as_chunks::<3>().0.iter().take(OPERATIONS))
        .map(|(client, [what, when, lasts])| {
            let (value, expected) = (what >> 3 & 3, what >> 5 & 3);
            let (input, output) = match what % 4 {
                0 | 1 => (RegisterInput::Read, RegisterOutput::Value(value)),
                2 => (RegisterInput::Write(value), RegisterOutput::Done),
                _ if what & 4 == 0 => {
                    (RegisterInput::Cas { expected, new: value }, RegisterOutput::Done)
                }
                _ => (RegisterInput::Cas { expected, new: value }, RegisterOutput::Mismatch),
            };
            let call = u64::from(when % 16);
            let returned = call + u64::from(lasts % 8);
            let outcome = match lasts >> 5 {
                7 => Outcome::Indeterminate,
                6 => Outcome::Failed { returned },
                _ => Outcome::Ok { returned, output },
            };
            Operation { client, call, input, outcome }
        })
        .collect();
    operations.sort_by_key(|operation| operation.call);
    History { operations }
}

/// Whether some order of the operations that are not `done` explains what they were told, in a
/// register that holds `value`.
fn explains(history: &Small, done: u32, value: u8) -> bool {
    let open = |index: &usize| {
        let failed = matches!(history.operations[*index].outcome, Outcome::Failed { .. });
        done >> index & 1 == 0 && !failed
    };
    let left: Vec<usize> = (0..history.len()).filter(open).collect();
    let operation = |index: usize| &history.operations[index];
    // What may have happened need not.
    if left.iter().all(|index| operation(*index).outcome.returned().is_none()) {
        return true;
    }
    let first_returned = left.iter().filter_map(|index| operation(*index).outcome.returned()).min();
    left.iter().any(|index| {
        let one = operation(*index);
        // Nothing that has returned before it is still to come.
        if first_returned.is_some_and(|returned| returned < one.call) {
            return false;
        }
        let told = one.outcome.output();
        let after = match (&one.input, told) {
            (RegisterInput::Read, None) => Some(value),
            (RegisterInput::Read, Some(RegisterOutput::Value(seen))) => {
                (*seen == value).then_some(value)
            }
            (RegisterInput::Write(new), _) => Some(*new),
            (RegisterInput::Cas { expected, new }, Some(RegisterOutput::Done)) => {
                (*expected == value).then_some(*new)
            }
            (RegisterInput::Cas { expected, .. }, Some(_)) => (*expected != value).then_some(value),
            (RegisterInput::Cas { expected, new }, None) => {
                Some(if *expected == value { *new } else { value })
            }
            (RegisterInput::Read, Some(_)) => None,
        };
        after.is_some_and(|after| explains(history, done | 1 << index, after))
    })
}
