//! Messages of Postgres' protocol, version 3 (its manual, "Message Formats").

use super::{clipped, size, text_of};

/// The version that a start-up asks for, the code that asks for TLS, and that of a cancellation.
const VERSION: u32 = 196_608;
const TLS: u32 = 80_877_103;
const CANCEL: u32 = 80_877_102;

/// The messages that these bytes are, of whoever connected or of whoever listened; `None` if they
/// are none, or if one of them is cut.
pub(super) fn messages(from_client: bool, bytes: &[u8]) -> Option<String> {
    if from_client && let Some(told) = start_up(bytes) {
        return Some(told);
    }
    let (mut told, mut rest) = (Vec::new(), bytes);
    while let Some((kind, after)) = rest.split_first() {
        let (body, after) = framed(after)?;
        let name = if from_client { asked(*kind, body)? } else { answered(*kind, body)? };
        told.push(name);
        rest = after;
    }
    (!told.is_empty()).then(|| clipped(&told.join(", ")))
}

/// What a length, which counts itself, is the length of; and what comes after.
fn framed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = word(bytes)? as usize;
    Some((bytes.get(4..length)?, &bytes[length..]))
}

fn word(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.first_chunk()?))
}

fn short(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.first_chunk()?))
}

/// The first message of a connection, which has no letter.
fn start_up(bytes: &[u8]) -> Option<String> {
    let (body, after) = framed(bytes)?;
    let told = match word(body)? {
        VERSION => {
            let words = body[4..].split(|byte| *byte == 0).filter(|word| !word.is_empty());
            let words: Vec<_> = words.map(String::from_utf8_lossy).collect();
            format!("StartupMessage {}", words.join(" "))
        }
        TLS => "SSLRequest".to_owned(),
        CANCEL => "CancelRequest".to_owned(),
        _ => return None,
    };
    after.is_empty().then(|| clipped(&told))
}

/// A text that ends with a zero, and what comes after.
fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let text = std::str::from_utf8(&bytes[..end]).ok()?;
    let words: Vec<&str> = text.split_whitespace().collect();
    Some((words.join(" "), &bytes[end + 1..]))
}

/// A name and what it is the name of, where nothing may have no name.
fn named(what: &str, name: &str) -> String {
    if name.is_empty() { what.to_owned() } else { format!("{what} {name}") }
}

fn asked(kind: u8, body: &[u8]) -> Option<String> {
    Some(match kind {
        b'Q' => format!("Query {}", text(body)?.0),
        b'P' => {
            let (name, rest) = text(body)?;
            format!("{} {}", named("Parse", &name), text(rest)?.0)
        }
        b'B' => {
            let rest = text(text(body)?.1)?.1;
            let formats = usize::from(short(rest)?);
            format!("Bind ({})", values(rest.get(2 + 2 * formats..)?)?)
        }
        b'D' => named("Describe", &text(body.get(1..)?)?.0),
        b'C' => named("Close", &text(body.get(1..)?)?.0),
        b'E' => named("Execute", &text(body)?.0),
        b'S' if body.is_empty() => "Sync".to_owned(),
        b'H' if body.is_empty() => "Flush".to_owned(),
        b'X' if body.is_empty() => "Terminate".to_owned(),
        b'p' => "PasswordMessage".to_owned(),
        b'd' => format!("CopyData {}", size(body.len())),
        b'c' if body.is_empty() => "CopyDone".to_owned(),
        b'f' => "CopyFail".to_owned(),
        b'F' => "FunctionCall".to_owned(),
        _ => return None,
    })
}

fn answered(kind: u8, body: &[u8]) -> Option<String> {
    let plain = match kind {
        b'R' if word(body)? == 0 => "AuthenticationOk",
        b'R' => "Authentication",
        b'K' => "BackendKeyData",
        b'S' => "ParameterStatus",
        b'T' => "RowDescription",
        b't' => "ParameterDescription",
        b'1' => "ParseComplete",
        b'2' => "BindComplete",
        b'3' => "CloseComplete",
        b'n' => "NoData",
        b's' => "PortalSuspended",
        b'I' => "EmptyQueryResponse",
        b'A' => "NotificationResponse",
        b'G' => "CopyInResponse",
        b'H' => "CopyOutResponse",
        b'c' => "CopyDone",
        b'd' => return Some(format!("CopyData {}", size(body.len()))),
        b'C' => return Some(format!("CommandComplete {}", text(body)?.0)),
        b'D' => return Some(format!("DataRow ({})", values(body)?)),
        b'E' => return Some(format!("ErrorResponse {}", fields(body)?)),
        b'N' => return Some(format!("NoticeResponse {}", fields(body)?)),
        b'Z' => {
            return Some(match body {
                b"I" => "ReadyForQuery".to_owned(),
                b"T" => "ReadyForQuery in a transaction".to_owned(),
                b"E" => "ReadyForQuery in a failed transaction".to_owned(),
                _ => return None,
            });
        }
        _ => return None,
    };
    Some(plain.to_owned())
}

/// Values, each behind its length. Whether one is text or a number stands elsewhere: those of
/// characters are shown as text, others of the size of an integer as one.
fn values(bytes: &[u8]) -> Option<String> {
    let count = short(bytes)?;
    let (mut told, mut rest) = (Vec::new(), &bytes[2..]);
    for _ in 0..count {
        let length = word(rest)?;
        rest = &rest[4..];
        if length == u32::MAX {
            told.push("NULL".to_owned());
            continue;
        }
        let value = rest.get(..length as usize)?;
        told.push(text_of(value).unwrap_or_else(|| match *value {
            [a, b] => i16::from_be_bytes([a, b]).to_string(),
            [a, b, c, d] => i32::from_be_bytes([a, b, c, d]).to_string(),
            [a, b, c, d, e, f, g, h] => i64::from_be_bytes([a, b, c, d, e, f, g, h]).to_string(),
            _ => size(value.len()),
        }));
        rest = &rest[length as usize..];
    }
    Some(told.join(", "))
}

/// The code and the message of an error.
fn fields(mut body: &[u8]) -> Option<String> {
    let (mut code, mut message) = (String::new(), String::new());
    while let Some((kind @ 1.., rest)) = body.split_first() {
        let (value, rest) = text(rest)?;
        match kind {
            b'C' => code = value,
            b'M' => message = value,
            _ => {}
        }
        body = rest;
    }
    Some(format!("{code}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::messages;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32 + 4).to_be_bytes();
        [&[kind][..], &length[..], body].concat()
    }

    #[test]
    fn what_is_asked_of_postgres_is_told_by_the_names_of_its_messages() {
        let start = [&[0, 0, 0, 20, 0, 3, 0, 0][..], &b"user\0alice\0\0"[..]].concat();
        assert_eq!(messages(true, &start).as_deref(), Some("StartupMessage user alice"));
        let parse = message(b'P', b"s1\0INSERT INTO t\n  VALUES ($1, $2)\0\0\0");
        let values = [&[0, 2, 0, 0, 0, 1][..], &b"x"[..], &[0, 0, 0, 4, 0, 0, 1, 2][..]].concat();
        let bind = message(b'B', &[&b"\0s1\0"[..], &[0, 0][..], &values[..], &[0, 0][..]].concat());
        let rest = [message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat();
        let all = [parse, bind, rest].concat();
        let told = "Parse s1 INSERT INTO t VALUES ($1, $2), Bind (x, 258), Execute, Sync";
        assert_eq!(messages(true, &all).as_deref(), Some(told));
        // What the other side may not send, and what is cut, is none.
        assert_eq!(messages(false, &all), None);
        assert_eq!(messages(true, &all[..all.len() - 1]), None);
        assert_eq!(messages(true, b""), None);
    }

    #[test]
    fn what_postgres_answers_is_told_too() {
        let row = message(b'D', &[0, 2, 0, 0, 0, 1, b'7', 255, 255, 255, 255]);
        let done = [message(b'C', b"SELECT 1\0"), message(b'Z', b"T")].concat();
        let told = "DataRow (7, NULL), CommandComplete SELECT 1, ReadyForQuery in a transaction";
        assert_eq!(messages(false, &[row, done].concat()).as_deref(), Some(told));
        let error = message(b'E', b"SERROR\0C40001\0Mcould not serialize\0\0");
        let told = "ErrorResponse 40001: could not serialize";
        assert_eq!(messages(false, &error).as_deref(), Some(told));
    }
}
