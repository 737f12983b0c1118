//! A history as checks of registers and transactions know it, and what they say in the words of
//! the file.
//!
//! Checks of registers and transactions know keys and values by number, and operations by their
//! place in the history. What they say is put back into the words of the file: a key and a value as
//! they stand there, an operation and a transaction by their line.

use super::{Datum, RawHistory, RawOperation, ReadError};
use crate::history::{History, Operation, Outcome};
use crate::transactions::{HistoryError, Micro, TransactionHistory};
use crate::weak::{Access, RegisterHistory};
use rustc_hash::FxHashMap;

/// The numbers of keys begin here: so high that no place and no instant is taken for one.
const KEYS: u64 = 7_100_000_000_000_000_000;
/// The numbers of values begin here.
const VALUES: u64 = 7_200_000_000_000_000_000;

/// Keys and values by number.
#[derive(Default)]
pub(super) struct Names<'a> {
    keys: Numbers<'a>,
    values: Numbers<'a>,
}

/// Numbers for data, in order of first appearance.
#[derive(Default)]
struct Numbers<'a> {
    places: FxHashMap<&'a Datum, u64>,
    data: Vec<&'a Datum>,
}

impl<'a> Numbers<'a> {
    fn of(&mut self, datum: &'a Datum) -> u64 {
        let next = self.data.len() as u64;
        let place = *self.places.entry(datum).or_insert(next);
        if place == next {
            self.data.push(datum);
        }
        place
    }

    fn datum(&self, place: Option<u64>) -> Option<&'a Datum> {
        self.data.get(usize::try_from(place?).ok()?).copied()
    }
}

impl<'a> Names<'a> {
    pub(super) fn key(&mut self, datum: &'a Datum) -> u64 {
        KEYS + self.keys.of(datum)
    }

    pub(super) fn value(&mut self, datum: &'a Datum) -> u64 {
        VALUES + self.values.of(datum)
    }

    /// A sentence in the words of the file: `#3`, or `T3` of a transaction, is a place in the
    /// history.
    pub(super) fn in_words(&self, text: &str, history: &RawHistory) -> String {
        let mut words = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(|letter: char| letter.is_ascii_digit()) {
            let (before, tail) = rest.split_at(at);
            let end = tail.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(tail.len());
            let (digits, after) = tail.split_at(end);
            let number = digits.parse::<u64>().ok();
            let datum = self
                .keys
                .datum(number.and_then(|number| number.checked_sub(KEYS)))
                .or_else(|| self.values.datum(number.and_then(|one| one.checked_sub(VALUES))));
            let line = number
                .and_then(|place| history.operations.get(usize::try_from(place).ok()?))
                .map(|raw| raw.line);
            match (datum, place(before), line) {
                (Some(datum), ..) => words.push_str(&format!("{before}{datum}")),
                (None, Some(before), Some(line)) => words.push_str(&format!("{before}line {line}")),
                (None, ..) => words.push_str(&rest[..at + end]),
            }
            rest = after;
        }
        words.push_str(rest);
        words
    }
}

/// What stands before a number that is a place, without the mark that says so.
fn place(before: &str) -> Option<&str> {
    let marks = ["operations #", "operation #", "#"];
    marks.iter().find_map(|mark| before.strip_suffix(mark)).or_else(|| {
        let stem = before.strip_suffix('T')?;
        (!stem.ends_with(|letter: char| letter.is_alphanumeric())).then_some(stem)
    })
}

fn outcome<O>(raw: &RawOperation, output: O) -> Outcome<O> {
    match (raw.returned, raw.ok) {
        (Some(returned), Some(true)) => Outcome::Ok { returned, output },
        (Some(returned), Some(false)) => Outcome::Failed { returned },
        _ => Outcome::Indeterminate,
    }
}

pub(super) fn registers_of<'a>(
    history: &'a RawHistory,
    names: &mut Names<'a>,
) -> Result<RegisterHistory, ReadError> {
    let mut operations = Vec::with_capacity(history.operations.len());
    for raw in &history.operations {
        let key = names.key(&raw.key);
        let (input, output) = match raw.f.as_str() {
            "read" | "get" => {
                let seen = (raw.output != Datum::Nil).then(|| names.value(&raw.output));
                (Access::Read { key }, seen)
            }
            "write" | "put" => (Access::Write { key, value: names.value(&raw.value) }, None),
            other => {
                let reason = format!("{other}: this property is about read and write alone");
                return Err(ReadError::new(raw.line, reason));
            }
        };
        let outcome = outcome(raw, output);
        operations.push(Operation { client: raw.client, call: raw.call, input, outcome });
    }
    Ok(History { operations })
}

pub(super) fn transactions_of<'a>(
    history: &'a RawHistory,
    names: &mut Names<'a>,
) -> Result<TransactionHistory, ReadError> {
    let lists = history.operations.iter().any(|raw| {
        let Datum::List(steps) = &raw.value else { return false };
        steps.iter().any(|step| matches!(micro_name(step), Some("append")))
    });
    let mut transactions = TransactionHistory::new();
    for raw in &history.operations {
        let wrong = |reason: &str| ReadError::new(raw.line, format!("{}: {reason}", raw.f));
        if raw.f != "txn" {
            return Err(wrong("this property is about operations named txn"));
        }
        let told = raw.ok == Some(true) && raw.output != Datum::Nil;
        let Datum::List(steps) = (if told { &raw.output } else { &raw.value }) else {
            return Err(wrong("expected a list of [append, key, value], [r, key, seen], ..."));
        };
        let steps: Option<Vec<Micro>> =
            steps.iter().map(|step| micro(step, lists, told, names)).collect();
        let Some(steps) = steps else {
            return Err(wrong(
                "a step is not [append, key, value], [r, key, seen] or [w, key, value]",
            ));
        };
        let outcome = outcome(raw, ());
        transactions
            .push(raw.client, raw.call, &outcome, &steps)
            .map_err(|error| ReadError::new(raw.line, error.to_string()))?;
    }
    Ok(transactions)
}

fn micro_name(step: &Datum) -> Option<&str> {
    let Datum::List(parts) = step else { return None };
    parts.first().and_then(Datum::text).map(|name| name.trim_start_matches(':'))
}

fn micro<'a>(step: &'a Datum, lists: bool, told: bool, names: &mut Names<'a>) -> Option<Micro> {
    let Datum::List(parts) = step else { return None };
    let [_, key, value] = parts.as_slice() else { return None };
    let key = names.key(key);
    Some(match (micro_name(step)?, value) {
        ("append", value) => Micro::Append { key, value: names.value(value) },
        ("w" | "write", value) => Micro::Write { key, value: names.value(value) },
        ("r" | "read", _) if !told => Micro::Unread { key },
        ("r" | "read", Datum::List(seen)) if lists => {
            Micro::ReadList { key, values: seen.iter().map(|one| names.value(one)).collect() }
        }
        ("r" | "read", Datum::Nil) if lists => Micro::ReadList { key, values: Vec::new() },
        ("r" | "read", Datum::Nil) => Micro::Read { key, value: None },
        ("r" | "read", value) if !lists => Micro::Read { key, value: Some(names.value(value)) },
        _ => return None,
    })
}

/// The line of the transaction that an error is about.
pub(super) fn misfit(history: &RawHistory, names: &Names<'_>, error: &HistoryError) -> ReadError {
    let index = match error {
        HistoryError::DuplicateWrite { second, .. } => Some(*second as usize),
        HistoryError::MixedTypes { transaction }
        | HistoryError::ReturnsBeforeCall { transaction }
        | HistoryError::Overlap { transaction, .. } => Some(*transaction as usize),
        HistoryError::TooLarge | HistoryError::WrongType { .. } => None,
    };
    let line = index.and_then(|index| history.operations.get(index)).map_or(0, |raw| raw.line);
    ReadError::new(line, names.in_words(&error.to_string(), history))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_lines_and_numbers_are_data_and_all_else_stays() {
        let raw = |line| RawOperation {
            client: 1,
            key: Datum::Nil,
            f: "read".to_owned(),
            value: Datum::Nil,
            output: Datum::Nil,
            call: 0,
            returned: None,
            ok: None,
            line,
        };
        let history = RawHistory { model: None, operations: vec![raw(7), raw(9)] };
        let (key, value) = (Datum::Text("x #1 T1".to_owned()), Datum::Int(-3));
        let mut names = Names::default();
        let (key, value) = (names.key(&key), names.value(&value));
        let told = format!("operation #0 read key {key} as {value}; T1 and #5 at 12, not SET1");
        let words = "line 7 read key \"x #1 T1\" as -3; line 9 and #5 at 12, not SET1";
        assert_eq!(names.in_words(&told, &history), words);
        assert_eq!(
            names.in_words("operations #0, #1 in a circle", &history),
            "line 7, line 9 in a circle"
        );
    }
}
