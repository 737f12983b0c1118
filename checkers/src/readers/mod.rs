//! Histories from files: JSON lines, Jepsen and Maelstrom EDN, the logs of Porcupine's tests.
//!
//! [`read`] turns bytes into [`RawHistory`], naming line and reason of whatever is wrong;
//! [`RawHistory::interpret`] turns that into operations of a model; [`Typed::check`] judges them.
//! Nothing here panics, and memory is bounded by [`Limits`] whatever the input.

mod datum;
mod edn;
mod interpret;
mod json_lines;
mod judge;
mod names;
mod pairing;
mod porcupine;

use crate::history::{HistoryError, Validation};
use std::fmt;
use std::io::BufRead;

pub use datum::Datum;
pub use interpret::{ModelName, Typed};
pub use json_lines::{VERSION, write};
pub use judge::{Judgement, Property, judge};

/// How much a reader accepts before it gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Operations in one history.
    pub operations: usize,
    /// Bytes in one line.
    pub line_bytes: usize,
}

impl Limits {
    /// Twenty million operations, lines of 16 MiB.
    pub const DEFAULT: Self = Self { operations: 20_000_000, line_bytes: 16 << 20 };
}

/// A file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One operation a line, `{"client","key","f","value","output","call","return","ok"}`, perhaps
    /// behind a header line `{"seedfall":"history","version":1}`; or one event a line,
    /// `{"process","type","f","value"}`, as Jepsen and Maelstrom have them.
    JsonLines,
    /// One EDN map an event, as Jepsen's and Maelstrom's `history.edn` and the key-value logs of
    /// Porcupine's tests.
    Edn,
    /// `INFO  jepsen.util - 0 :invoke :read nil`, as the etcd logs of Porcupine's tests.
    JepsenLog,
}

impl Format {
    /// Guesses from the beginning of a file; `None` if it looks like nothing known.
    #[must_use]
    pub fn detect(start: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(&start[..start.len().min(4096)]);
        let text = text.trim_start();
        if text.starts_with("INFO") || text.contains("jepsen.util -") {
            return Some(Self::JepsenLog);
        }
        let inside = text.strip_prefix('[').unwrap_or(text).trim_start().strip_prefix('{')?;
        match inside.trim_start().chars().next()? {
            ':' => Some(Self::Edn),
            '"' => Some(Self::JsonLines),
            _ => None,
        }
    }
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError {
    /// The line, counted from 1; 0 if the file as a whole is wrong.
    pub line: u64,
    /// What was expected and what was found.
    pub reason: String,
}

impl ReadError {
    pub(crate) fn new(line: u64, reason: impl Into<String>) -> Self {
        Self { line, reason: reason.into() }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.reason),
            line => write!(f, "line {line}: {}", self.reason),
        }
    }
}

impl std::error::Error for ReadError {}

/// One operation as a file tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawOperation {
    /// Who asked.
    pub client: u32,
    /// Which object, [`Datum::Nil`] if there is only one.
    pub key: Datum,
    /// What was asked.
    pub f: String,
    /// Its argument.
    pub value: Datum,
    /// What the client saw.
    pub output: Datum,
    /// When it was asked.
    pub call: u64,
    /// When the answer came.
    pub returned: Option<u64>,
    /// Whether it succeeded; `None`: nobody knows.
    pub ok: Option<bool>,
    /// The line that told it.
    pub line: u64,
}

/// The operations of a file, in the order of their calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawHistory {
    /// The model that the file names, if it does.
    pub model: Option<String>,
    /// The operations.
    pub operations: Vec<RawOperation>,
}

/// Reads a history.
///
/// # Errors
/// The first line that is wrong, and why.
pub fn read(format: Format, input: impl BufRead, limits: Limits) -> Result<RawHistory, ReadError> {
    let mut lines = Lines { input, limits, line: 0, buffer: Vec::new() };
    let mut history = match format {
        Format::JsonLines => json_lines::read(&mut lines)?,
        Format::Edn => edn::read(&mut lines)?,
        Format::JepsenLog => porcupine::read(&mut lines)?,
    };
    if history.operations.is_empty() {
        return Err(ReadError::new(0, "the file has no operation"));
    }
    history.operations.sort_by_key(|operation| operation.call);
    let mut validation = Validation::default();
    for operation in &history.operations {
        validation
            .next(operation.client, operation.call, operation.returned)
            .map_err(|error| history.misfit(&error))?;
    }
    Ok(history)
}

impl RawHistory {
    /// An error of the history that this is read as, by line.
    fn misfit(&self, error: &HistoryError) -> ReadError {
        let line = |index: usize| self.operations.get(index).map_or(0, |raw| raw.line);
        let reason = match error {
            HistoryError::TwoAtOnce { client, earlier, .. } => {
                let earlier = line(*earlier);
                format!("client {client} calls while its operation of line {earlier} is open")
            }
            HistoryError::ResponseBeforeCall { .. } => "the response is before the call".to_owned(),
            _ => error.to_string(),
        };
        ReadError::new(line(error.operation()), reason)
    }
}

/// Lines of text, none longer than the limit.
pub(crate) struct Lines<R> {
    input: R,
    limits: Limits,
    line: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// The next line without its end, and its number; `None` at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, &str)>, ReadError> {
        self.buffer.clear();
        self.line += 1;
        loop {
            let chunk = self
                .input
                .fill_buf()
                .map_err(|error| ReadError::new(self.line, format!("cannot read on: {error}")))?;
            if chunk.is_empty() {
                if self.buffer.is_empty() {
                    return Ok(None);
                }
                break;
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(chunk.len());
            if self.buffer.len() + taken > self.limits.line_bytes {
                let reason = format!("longer than {} bytes", self.limits.line_bytes);
                return Err(ReadError::new(self.line, reason));
            }
            self.buffer.extend_from_slice(&chunk[..taken]);
            self.input.consume(taken + usize::from(end.is_some()));
            if end.is_some() {
                break;
            }
        }
        if self.buffer.last() == Some(&b'\r') {
            self.buffer.pop();
        }
        match std::str::from_utf8(&self.buffer) {
            Ok(text) => Ok(Some((self.line, text))),
            Err(error) => {
                let reason = format!("not UTF-8 after {} bytes", error.valid_up_to());
                Err(ReadError::new(self.line, reason))
            }
        }
    }

    /// Refuses one operation too many.
    pub(crate) fn room_for(&self, operations: usize) -> Result<(), ReadError> {
        if operations <= self.limits.operations {
            return Ok(());
        }
        let reason = format!("more than {} operations", self.limits.operations);
        Err(ReadError::new(self.line, reason))
    }
}

#[cfg(test)]
mod tests;
