//! The etcd logs of Porcupine's tests: Jepsen's console, one event a line.
//!
//! `INFO  jepsen.util - 0<tab>:invoke<tab>:cas<tab>[1 2]`. Lines that tell no event are skipped.

use std::io::BufRead;

use super::edn::{Parser, Problem};
use super::pairing::{Event, Kind, Pairing};
use super::{Datum, Lines, RawHistory, ReadError};

pub(super) fn read<R: BufRead>(lines: &mut Lines<R>) -> Result<RawHistory, ReadError> {
    let mut pairing = Pairing::default();
    loop {
        lines.room_for(pairing.operations.len())?;
        let Some((line, text)) = lines.next()? else { break };
        let Some((_, told)) = text.split_once("jepsen.util - ") else { continue };
        if let Some(event) = event(line, told)? {
            pairing.push(event)?;
        }
    }
    Ok(RawHistory { model: Some("register".to_owned()), operations: pairing.operations })
}

fn event(line: u64, told: &str) -> Result<Option<Event>, ReadError> {
    let mut rest = told;
    let mut words = std::iter::from_fn(|| {
        rest = rest.trim_start();
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        (!word.is_empty()).then_some(word)
    });
    let Some(Ok(process)) = words.next().map(str::parse) else { return Ok(None) };
    let kind = match words.next() {
        Some(":invoke") => Kind::Invoke,
        Some(":ok") => Kind::Ok,
        Some(":fail") => Kind::Fail,
        Some(":info") => Kind::Info,
        _ => return Ok(None),
    };
    let Some(f) = words.next().and_then(|f| f.strip_prefix(':')) else {
        return Err(ReadError::new(line, "the event does not say what was asked"));
    };
    let told = if rest.trim().is_empty() { "nil" } else { rest };
    let value = match (Parser { text: told, at: 0 }).value(0) {
        Ok(value) => value,
        Err(Problem::Cut) => {
            return Err(ReadError::new(line, "the line is cut: a value does not end"));
        }
        Err(Problem::Wrong(reason)) => return Err(ReadError::new(line, reason)),
    };
    Ok(Some(Event { line, process, kind, f: f.to_owned(), value, key: Datum::Nil }))
}
