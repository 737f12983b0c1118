//! One JSON object a line: the format that Seedfall writes.

use std::io::{BufRead, Write};

use serde_json::{Map, Value};

use super::{Datum, Lines, RawHistory, RawOperation, ReadError};

/// The version that [`write()`] writes and the reader accepts in a header line.
pub const VERSION: i64 = 1;

pub(super) fn read<R: BufRead>(lines: &mut Lines<R>) -> Result<RawHistory, ReadError> {
    let mut history = RawHistory::default();
    let mut ids = std::collections::BTreeSet::new();
    let mut first = true;
    loop {
        let Some((line, text)) = lines.next()? else { return Ok(history) };
        if text.trim().is_empty() {
            continue;
        }
        let object = match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(object)) => object,
            Ok(_) => return Err(ReadError::new(line, "expected an object")),
            Err(error) if error.is_eof() => {
                return Err(ReadError::new(line, "the line is cut: the object does not end"));
            }
            Err(error) => {
                return Err(ReadError::new(line, format!("not JSON: {error}")));
            }
        };
        if std::mem::take(&mut first) && object.contains_key("seedfall") {
            header(line, &object, &mut history)?;
            continue;
        }
        if let Some(id) = object.get("id").and_then(Value::as_i64)
            && !ids.insert(id)
        {
            return Err(ReadError::new(line, format!("the id {id} was used before")));
        }
        history.operations.push(operation(line, object)?);
        lines.room_for(history.operations.len())?;
    }
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
