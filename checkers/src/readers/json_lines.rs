//! JSON objects, one a line: operations, the format that Seedfall writes, or events as Jepsen and
//! Maelstrom have them.
//!
//! An operation is `{"client","key","f","value","output","call","return","ok"}`; an event is
//! `{"process","type","f","value"}`, perhaps with `"key"` and `"error"`, as in EDN. Both may stand
//! in one array, as long as an object does not go over several lines.

use std::io::{BufRead, Write};

use serde_json::{Deserializer, Map, Value};

use super::pairing::{Event, Kind, Pairing};
use super::{Datum, Lines, RawHistory, RawOperation, ReadError, edn};

/// The version that [`write()`] writes and the reader accepts in a header line.
pub const VERSION: i64 = 1;

pub(super) fn read<R: BufRead>(lines: &mut Lines<R>) -> Result<RawHistory, ReadError> {
    let mut reader = Reader::default();
    while let Some((line, text)) = lines.next()? {
        let mut rest = between(text);
        while !rest.is_empty() {
            let mut values = Deserializer::from_str(rest).into_iter::<Value>();
            let object = match values.next() {
                Some(Ok(Value::Object(object))) => object,
                Some(Ok(_)) | None => return Err(ReadError::new(line, "expected an object")),
                Some(Err(error)) if error.is_eof() => {
                    let reason =
                        "the line is cut: the object does not end; expected one on one line";
                    return Err(ReadError::new(line, reason));
                }
                Some(Err(error)) => {
                    return Err(ReadError::new(line, format!("not JSON: {error}")));
                }
            };
            rest = between(&rest[values.byte_offset()..]);
            reader.take(line, object)?;
        }
        lines.room_for(reader.history.operations.len() + reader.events.operations.len())?;
    }
    Ok(reader.done())
}

/// A text without what stands between the objects of an array.
fn between(text: &str) -> &str {
    text.trim_start_matches(|letter: char| letter.is_whitespace() || "[],".contains(letter))
}

#[derive(Default)]
struct Reader {
    history: RawHistory,
    ids: std::collections::BTreeSet<i64>,
    events: Pairing,
    /// Whether the objects are events; `None` before the first.
    are_events: Option<bool>,
}

impl Reader {
    fn take(&mut self, line: u64, object: Map<String, Value>) -> Result<(), ReadError> {
        if self.are_events.is_none() && object.contains_key("seedfall") {
            self.are_events = Some(false);
            return header(line, &object, &mut self.history);
        }
        let is_event = object.contains_key("type") || object.contains_key("process");
        if *self.are_events.get_or_insert(is_event) {
            let event = event(line, object)?;
            return event.map_or(Ok(()), |event| self.events.push(event));
        }
        if let Some(id) = object.get("id").and_then(Value::as_i64)
            && !self.ids.insert(id)
        {
            return Err(ReadError::new(line, format!("the id {id} was used before")));
        }
        self.history.operations.push(operation(line, object)?);
        Ok(())
    }

    fn done(self) -> RawHistory {
        if self.are_events == Some(true) { edn::history(self.events) } else { self.history }
    }
}

/// An event of a client; `None`: of the nemesis.
fn event(line: u64, mut object: Map<String, Value>) -> Result<Option<Event>, ReadError> {
    let wrong = |reason: String| ReadError::new(line, reason);
    let missing = |name: &str| {
        let all = "\"process\", \"type\", \"f\" and \"value\"";
        wrong(format!("the event has no \"{name}\"; an event has {all}"))
    };
    let is_failed = object.get("error").is_some_and(|why| !why.is_null());
    let mut take = |name: &str| object.remove(name).unwrap_or(Value::Null);
    let process = match take("process") {
        Value::Null => return Err(missing("process")),
        Value::String(_) => return Ok(None),
        value => value.as_u64().and_then(|number| u32::try_from(number).ok()).ok_or_else(|| {
            wrong(format!("\"process\" is {}, not a number of 32 bits", brief(&value)))
        })?,
    };
    let mut word = |name: &str| match take(name) {
        Value::Null => Err(missing(name)),
        Value::String(word) => Ok(word.trim_start_matches(':').to_owned()),
        other => Err(wrong(format!("\"{name}\" is {}, not a string", brief(&other)))),
    };
    let kind = match word("type")?.as_str() {
        "invoke" => Kind::Invoke,
        "ok" => Kind::Ok,
        // With a reason it never ran; without one it ran and was refused.
        "fail" if is_failed => Kind::Void,
        "fail" => Kind::Fail,
        "info" => Kind::Info,
        other => {
            return Err(wrong(format!(
                "\"type\" is {other:?}; expected \"invoke\", \"ok\", \"fail\" or \"info\""
            )));
        }
    };
    let f = word("f")?;
    let mut datum_of =
        |name: &str| datum(take(name)).map_err(|why| wrong(format!("\"{name}\" {why}")));
    let (value, key) = (datum_of("value")?, datum_of("key")?);
    Ok(Some(Event { line, process, kind, f, value, key }))
}

fn header(
    line: u64,
    object: &Map<String, Value>,
    history: &mut RawHistory,
) -> Result<(), ReadError> {
    if object.get("seedfall").and_then(Value::as_str) != Some("history") {
        return Err(ReadError::new(line, "the header does not say \"seedfall\":\"history\""));
    }
    match object.get("version").and_then(Value::as_i64) {
        Some(VERSION) => {}
        Some(version) => {
            let reason = format!("version {version}; this program reads version {VERSION}");
            return Err(ReadError::new(line, reason));
        }
        None => return Err(ReadError::new(line, "the header has no version")),
    }
    history.model = object.get("model").and_then(Value::as_str).map(str::to_owned);
    Ok(())
}

pub(super) fn operation(
    line: u64,
    mut object: Map<String, Value>,
) -> Result<RawOperation, ReadError> {
    let wrong = |reason: String| ReadError::new(line, reason);
    let needed = ["client", "f", "call"];
    let absent: Vec<String> = needed
        .iter()
        .filter(|name| object.get(**name).is_none_or(Value::is_null))
        .map(|name| format!("\"{name}\""))
        .collect();
    if !absent.is_empty() {
        return Err(wrong(format!(
            "the operation has no {}; an operation has \"client\", \"f\", \"call\", \"return\", \
             \"ok\" and what it needs of \"key\", \"value\", \"output\"; an event has \
             \"process\", \"type\", \"f\" and \"value\"",
            absent.join(", ")
        )));
    }
    let mut take = |name: &str| object.remove(name).unwrap_or(Value::Null);
    let whole = |name: &str, value: Value| match value.as_u64() {
        Some(number) => Ok(number),
        None => Err(wrong(format!("\"{name}\" is {}, not a whole number", brief(&value)))),
    };
    let client = whole("client", take("client"))?;
    let client = u32::try_from(client).map_err(|_| wrong("\"client\" exceeds 32 bits".into()))?;
    let f = match take("f") {
        Value::String(f) => f,
        other => return Err(wrong(format!("\"f\" is {}, not a string", brief(&other)))),
    };
    let call = whole("call", take("call"))?;
    let returned = match take("return") {
        Value::Null => None,
        value => Some(whole("return", value)?),
    };
    if let Some(returned) = returned.filter(|returned| *returned < call) {
        return Err(wrong(format!("time goes backwards: call {call}, return {returned}")));
    }
    let ok = match take("ok") {
        Value::Null => None,
        Value::Bool(ok) => Some(ok),
        other => return Err(wrong(format!("\"ok\" is {}, not true, false, null", brief(&other)))),
    };
    if ok.is_some() != returned.is_some() {
        return Err(wrong("\"return\" and \"ok\" must both be null or neither".into()));
    }
    let mut datum_of =
        |name: &str| datum(take(name)).map_err(|why| wrong(format!("\"{name}\" {why}")));
    let (key, value, output) = (datum_of("key")?, datum_of("value")?, datum_of("output")?);
    Ok(RawOperation { client, key, f, value, output, call, returned, ok, line })
}

/// A value short enough for a message.
fn brief(value: &Value) -> String {
    match value {
        Value::Null => "missing".to_owned(),
        Value::String(text) => format!("{:?}", text.chars().take(20).collect::<String>()),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        other => other.to_string(),
    }
}

fn datum(value: Value) -> Result<Datum, String> {
    Ok(match value {
        Value::Null => Datum::Nil,
        Value::Bool(value) => Datum::Bool(value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Datum::Int(number),
            None => return Err(format!("is {number}, not a whole number of 64 bits")),
        },
        Value::String(text) => Datum::Text(text),
        Value::Array(items) => Datum::List(items.into_iter().map(datum).collect::<Result<_, _>>()?),
        Value::Object(_) => return Err("is an object".to_owned()),
    })
}

fn json(datum: &Datum) -> Value {
    match datum {
        Datum::Nil => Value::Null,
        Datum::Bool(value) => Value::Bool(*value),
        Datum::Int(value) => Value::from(*value),
        Datum::Text(text) => Value::String(text.clone()),
        Datum::List(items) => Value::Array(items.iter().map(json).collect()),
        Datum::Map(pairs) => {
            Value::Array(pairs.iter().flat_map(|(key, value)| [json(key), json(value)]).collect())
        }
    }
}

/// Writes a history as JSON lines behind a header, so that [`super::read`] gives it back.
///
/// # Errors
/// Whatever `output` fails with.
pub fn write(history: &RawHistory, mut output: impl Write) -> std::io::Result<()> {
    let mut header = Map::new();
    header.insert("seedfall".to_owned(), Value::from("history"));
    header.insert("version".to_owned(), Value::from(VERSION));
    if let Some(model) = &history.model {
        header.insert("model".to_owned(), Value::from(model.as_str()));
    }
    writeln!(output, "{}", Value::Object(header))?;
    for operation in &history.operations {
        let line = serde_json::json!({
            "client": operation.client,
            "key": json(&operation.key),
            "f": operation.f,
            "value": json(&operation.value),
            "output": json(&operation.output),
            "call": operation.call,
            "return": operation.returned,
            "ok": operation.ok,
        });
        writeln!(output, "{line}")?;
    }
    Ok(())
}
