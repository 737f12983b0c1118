//! EDN events: Jepsen's and Maelstrom's `history.edn`, and Porcupine's key-value logs.
//!
//! `{:process 0, :type :invoke, :f :read, :value nil}`, one map a line, or all in one vector.
//! Events of other processes than clients (`:nemesis`) are skipped. A `:key` names the object;
//! without one, values that are all pairs are read as Jepsen's independent `[key value]`.

use std::io::BufRead;

use super::pairing::{Event, Kind, Pairing};
use super::{Datum, Lines, RawHistory, ReadError};

/// How deep values may nest.
const DEPTH: u32 = 64;
/// Over how many lines one event may go.
const LINES: u64 = 1_000;

pub(super) fn read<R: BufRead>(lines: &mut Lines<R>) -> Result<RawHistory, ReadError> {
    let mut pairing = Pairing::default();
    // A map may be broken over lines: text is gathered until it parses.
    let mut pending = String::new();
    let mut begun = 0;
    loop {
        lines.room_for(pairing.operations.len())?;
        let limit = lines.limits.line_bytes;
        let Some((line, text)) = lines.next()? else { break };
        if pending.is_empty() {
            begun = line;
        }
        if pending.len() + text.len() > limit || line - begun > LINES {
            let reason = format!("an event longer than {limit} bytes or {LINES} lines");
            return Err(ReadError::new(begun, reason));
        }
        pending.push_str(text);
        pending.push('\n');
        let mut rest = pending.as_str();
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || "[],".contains(c));
            let mut parser = Parser { text: rest, at: 0 };
            if rest.is_empty() {
                break;
            }
            match parser.value(0) {
                Ok(value) => {
                    if let Some(event) = event(line, &value)? {
                        pairing.push(event)?;
                    }
                    rest = &rest[parser.at..];
                }
                Err(Problem::Cut) => break,
                Err(Problem::Wrong(reason)) => return Err(ReadError::new(line, reason)),
            }
        }
        pending = rest.to_owned();
    }
    if !pending.trim().is_empty() {
        return Err(ReadError::new(begun, "the file is cut: an event does not end"));
    }
    Ok(history(pairing))
}

/// The operations of all events, without those that certainly never ran.
pub(super) fn history(pairing: Pairing) -> RawHistory {
    let mut operations = pairing.operations;
    operations.retain(|op| op.ok != Some(false) || op.returned.is_some());
    let mut history = RawHistory { model: None, operations };
    split_keys(&mut history);
    history
}

fn event(line: u64, map: &Datum) -> Result<Option<Event>, ReadError> {
    let field = |name: &str| map.field(name);
    if !matches!(map, Datum::Map(_)) {
        return Err(ReadError::new(line, "expected an event, a map"));
    }
    let process = match field(":process") {
        Some(Datum::Int(process)) => u32::try_from(*process)
            .map_err(|_| ReadError::new(line, format!("process {process} out of range")))?,
        Some(Datum::Text(_)) => return Ok(None),
        _ => return Err(ReadError::new(line, "the event has no :process")),
    };
    let kind = match field(":type").and_then(Datum::text) {
        Some(":invoke") => Kind::Invoke,
        Some(":ok") => Kind::Ok,
        // With a reason it never ran; without one it ran and was refused.
        Some(":fail") if field(":error").is_some() => Kind::Void,
        Some(":fail") => Kind::Fail,
        Some(":info") => Kind::Info,
        Some(other) => return Err(ReadError::new(line, format!("unknown :type {other}"))),
        None => return Err(ReadError::new(line, "the event has no :type")),
    };
    let Some(f) = field(":f").and_then(Datum::text) else {
        return Err(ReadError::new(line, "the event has no :f"));
    };
    let f = f.strip_prefix(':').unwrap_or(f).to_owned();
    let value = field(":value").cloned().unwrap_or_default();
    let key = field(":key").cloned().unwrap_or_default();
    Ok(Some(Event { line, process, kind, f, value, key }))
}

/// Jepsen's independent keys: every value of a read or write is a pair.
fn split_keys(history: &mut RawHistory) {
    let simple = |f: &str| matches!(f, "read" | "write");
    let all_pairs = history
        .operations
        .iter()
        .filter(|op| simple(&op.f))
        .all(|op| op.key == Datum::Nil && op.value.pair().is_some());
    if !all_pairs || !history.operations.iter().any(|op| simple(&op.f)) {
        return;
    }
    for operation in &mut history.operations {
        if let Some((key, value)) = operation.value.pair() {
            (operation.key, operation.value) = (key.clone(), value.clone());
        }
        if let Some((_, output)) = operation.output.pair() {
            operation.output = output.clone();
        }
    }
}

pub(super) enum Problem {
    /// The text ends inside a value.
    Cut,
    Wrong(String),
}

/// A parser of the EDN that histories are written in.
pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blank(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b';' => {
                    while self.peek().is_some_and(|byte| byte != b'\n') {
                        self.at += 1;
                    }
                }
                b',' => self.at += 1,
                _ if byte.is_ascii_whitespace() => self.at += 1,
                _ => break,
            }
        }
    }

    pub(super) fn value(&mut self, depth: u32) -> Result<Datum, Problem> {
        if depth > DEPTH {
            return Err(Problem::Wrong(format!("nested deeper than {DEPTH}")));
        }
        self.skip_blank();
        match self.peek().ok_or(Problem::Cut)? {
            b'{' => self.map(depth),
            b'[' => self.list(b']', depth),
            b'(' => self.list(b')', depth),
            b'"' => self.string(),
            b'#' => self.tagged(depth),
            b'}' | b']' | b')' => {
                Err(Problem::Wrong("a closing bracket without its opening".into()))
            }
            _ => self.atom(),
        }
    }

    /// A set is a list; any other tag (`#jepsen.history.Op`) is left out.
    fn tagged(&mut self, depth: u32) -> Result<Datum, Problem> {
        self.at += 1;
        if self.peek().ok_or(Problem::Cut)? == b'{' {
            return self.list(b'}', depth);
        }
        while self
            .peek()
            .is_some_and(|byte| !byte.is_ascii_whitespace() && !b"{[(\"".contains(&byte))
        {
            self.at += 1;
        }
        self.value(depth + 1)
    }

    fn list(&mut self, end: u8, depth: u32) -> Result<Datum, Problem> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.skip_blank();
            if self.peek().ok_or(Problem::Cut)? == end {
                self.at += 1;
                return Ok(Datum::List(items));
            }
            items.push(self.value(depth + 1)?);
        }
    }

    fn map(&mut self, depth: u32) -> Result<Datum, Problem> {
        self.at += 1;
        let mut pairs = Vec::new();
        loop {
            self.skip_blank();
            if self.peek().ok_or(Problem::Cut)? == b'}' {
                self.at += 1;
                return Ok(Datum::Map(pairs));
            }
            let key = self.value(depth + 1)?;
            self.skip_blank();
            if self.peek() == Some(b'}') {
                return Err(Problem::Wrong(format!("a map with a key but no value: {key}")));
            }
            pairs.push((key, self.value(depth + 1)?));
        }
    }

    fn string(&mut self) -> Result<Datum, Problem> {
        self.at += 1;
        let mut text = String::new();
        let mut chars = self.text[self.at..].char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += at + 1;
                    return Ok(Datum::Text(text));
                }
                '\\' => match chars.next().ok_or(Problem::Cut)?.1 {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    other => text.push(other),
                },
                _ => text.push(c),
            }
        }
        Err(Problem::Cut)
    }

    fn atom(&mut self) -> Result<Datum, Problem> {
        let rest = &self.text[self.at..];
        let end = rest
            .find(|c: char| c.is_whitespace() || ",{}[]()\";".contains(c))
            .unwrap_or(rest.len());
        if end == 0 {
            return Err(Problem::Wrong("a space that EDN does not know".to_owned()));
        }
        let word = &rest[..end];
        self.at += end;
        Ok(match word {
            "nil" => Datum::Nil,
            "true" => Datum::Bool(true),
            "false" => Datum::Bool(false),
            _ if word.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+') => {
                match word.trim_end_matches('N').parse() {
                    Ok(number) => Datum::Int(number),
                    // A fraction or a symbol such as `-`: kept as it is written.
                    Err(_) => Datum::Text(word.to_owned()),
                }
            }
            _ => Datum::Text(word.to_owned()),
        })
    }
}
