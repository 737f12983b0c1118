//! From events (a call, later perhaps a response) to operations.

use rustc_hash::FxHashMap;

use super::{Datum, RawOperation, ReadError};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Invoke,
    Ok,
    Fail,
    /// It certainly never ran: the reader leaves it out.
    Void,
    /// Nobody knows.
    Info,
}

/// One event of one process, told by `line`.
pub(super) struct Event {
    pub(super) line: u64,
    pub(super) process: u32,
    pub(super) kind: Kind,
    pub(super) f: String,
    pub(super) value: Datum,
    pub(super) key: Datum,
}

/// Matches responses with calls. Stamps are the positions of the events.
#[derive(Default)]
pub(super) struct Pairing {
    pub(super) operations: Vec<RawOperation>,
    /// Index of the open operation of each process.
    open: FxHashMap<u32, usize>,
    events: u64,
}

impl Pairing {
    pub(super) fn push(&mut self, event: Event) -> Result<(), ReadError> {
        let Event { line, process, kind, f, value, key } = event;
        let stamp = self.events;
        self.events += 1;
        if kind == Kind::Invoke {
            if let Some(open) = self.open.insert(process, self.operations.len()) {
                let before = self.operations[open].line;
                let reason =
                    format!("process {process} calls while its call of line {before} is open");
                return Err(ReadError::new(line, reason));
            }
            self.operations.push(RawOperation {
                client: process,
                key,
                f,
                value,
                output: Datum::Nil,
                call: stamp,
                returned: None,
                ok: None,
                line,
            });
            return Ok(());
        }
        let Some(open) = self.open.remove(&process) else {
            if kind == Kind::Info {
                return Ok(()); // The nemesis and logs say more than operations.
            }
            let reason = format!("process {process} gets a response that it did not ask for");
            return Err(ReadError::new(line, reason));
        };
        let operation = &mut self.operations[open];
        if operation.f != f {
            let reason = format!("a response to {f:?}, but the open call asked {:?}", operation.f);
            return Err(ReadError::new(line, reason));
        }
        if kind == Kind::Void {
            operation.ok = Some(false);
        } else if kind != Kind::Info {
            operation.returned = Some(stamp);
            operation.ok = Some(kind == Kind::Ok);
            operation.output = value;
        }
        Ok(())
    }
}
