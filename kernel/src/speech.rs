//! What goes over connections, as a person reads it: requests and responses of HTTP/1, frames of
//! HTTP/2 (gRPC), commands of RESP (Redis), messages of Postgres, lines of text; of anything else
//! its size.
//!
//! It is made where a run is read, not where it happens, from the bytes as they left. What it takes
//! for a request is a guess from the first bytes, and no more is claimed.

mod postgres;

use seedfall_sim::{Address, Event, Kind};
use std::collections::{BTreeMap, BTreeSet};

/// How much of a body is shown, in characters.
const SHOWN: usize = 120;
/// What a connection over HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The methods of HTTP/1.
const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];

/// What one side of a connection speaks, as far as it was heard.
#[derive(Debug, Default)]
struct Stream {
    /// HTTP/2: what is left of the frame that the next bytes go on with.
    rest: usize,
    /// HTTP/2: the beginning of a frame's head.
    head: Vec<u8>,
    /// What was said of the bytes from this place on.
    said: BTreeMap<u64, String>,
}

/// What was said so far.
#[derive(Debug, Default)]
pub(crate) struct Speech {
    streams: BTreeMap<u64, Stream>,
    /// Connections that speak HTTP/2.
    framed: BTreeSet<u64>,
    /// What every packet said, by the link and its index there.
    sent: BTreeMap<(Address, Address, u64), String>,
}

impl Speech {
    /// Bytes of a stream left. The lowest bit of `stream` is the side.
    pub(crate) fn stream(
        &mut self,
        event: &Event,
        stream: u64,
        offset: u64,
        again: bool,
        bytes: &[u8],
    ) -> String {
        let known = self.streams.entry(stream).or_default().said.get(&offset).cloned();
        let text = match known {
            Some(known) => known,
            None => {
                let text = self.heard(stream, bytes);
                self.streams.entry(stream).or_default().said.insert(offset, text.clone());
                text
            }
        };
        let text = if again { format!("again: {text}") } else { text };
        self.sent(event, &text);
        text
    }

    /// A datagram left, or found nobody.
    pub(crate) fn datagram(&mut self, event: &Event, bytes: &[u8]) -> String {
        let text = text_of(bytes).unwrap_or_else(|| size(bytes.len()));
        self.sent(event, &text);
        text
    }

    /// A packet left that says this.
    pub(crate) fn sent(&mut self, event: &Event, text: &str) {
        self.sent.insert((event.actor, event.peer, event.index), text.to_owned());
    }

    /// What the packet said that an event is about.
    pub(crate) fn as_sent(&self, event: &Event) -> String {
        let (from, to) = match event.kind {
            Kind::Drop | Kind::Duplicate => (event.actor, event.peer),
            _ => (event.peer, event.actor),
        };
        self.sent.get(&(from, to, event.index)).cloned().unwrap_or_default()
    }

    fn heard(&mut self, stream: u64, bytes: &[u8]) -> String {
        let connection = stream >> 1;
        if bytes.starts_with(PREFACE) {
            self.framed.insert(connection);
            let rest = self.frames(stream, &bytes[PREFACE.len()..]);
            return format!("HTTP/2 begins{}", if rest.is_empty() { "" } else { ", " }) + &rest;
        }
        if self.framed.contains(&connection) {
            return format!("HTTP/2 {}", self.frames(stream, bytes));
        }
        http(bytes)
            .or_else(|| resp(bytes))
            .or_else(|| tls(bytes))
            .or_else(|| postgres::messages(stream & 1 == 0, bytes))
            .or_else(|| text_of(bytes))
            .unwrap_or_else(|| size(bytes.len()))
    }

    /// The frames of HTTP/2 that begin in these bytes (RFC 9113, section 4.1).
    fn frames(&mut self, stream: u64, bytes: &[u8]) -> String {
        let state = self.streams.entry(stream).or_default();
        let mut told = Vec::new();
        let mut bytes = bytes;
        if state.rest > 0 && !bytes.is_empty() {
            let more = state.rest.min(bytes.len());
            told.push(format!("{} more", size(more)));
            state.rest -= more;
            bytes = &bytes[more..];
        }
        while !bytes.is_empty() {
            let missing = (9 - state.head.len()).min(bytes.len());
            state.head.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            let Some(head) = state.head.first_chunk::<9>() else { break };
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | head[2] as usize;
            let id = u32::from_be_bytes([head[5] & 0x7F, head[6], head[7], head[8]]);
            let (kind, flags) = (head[3], head[4]);
            let body = &bytes[..length.min(bytes.len())];
            told.push(frame(kind, flags, id, length, body));
            state.rest = length - body.len();
            bytes = &bytes[body.len()..];
            state.head.clear();
        }
        told.join(", ")
    }
}

/// One frame of HTTP/2.
fn frame(kind: u8, flags: u8, id: u32, length: usize, body: &[u8]) -> String {
    let ends = if flags & 1 != 0 { ", its last" } else { "" };
    let number = |at: usize| {
        body.get(at..at + 4)
            .map_or(0, |word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]))
    };
    match kind {
        0 => format!("DATA {} of stream {id}{ends}", size(length)),
        1 => format!("HEADERS of stream {id}{ends}"),
        2 => format!("PRIORITY of stream {id}"),
        3 => format!("RST_STREAM {id}, {}", error(number(0))),
        4 if flags & 1 != 0 => "SETTINGS are acknowledged".to_owned(),
        4 => "SETTINGS".to_owned(),
        5 => format!("PUSH_PROMISE of stream {id}"),
        6 if flags & 1 != 0 => "PING is answered".to_owned(),
        6 => "PING".to_owned(),
        7 => format!("GOAWAY after stream {}, {}", number(0) & 0x7FFF_FFFF, error(number(4))),
        8 if id == 0 => "WINDOW_UPDATE".to_owned(),
        8 => format!("WINDOW_UPDATE of stream {id}"),
        9 => format!("CONTINUATION of stream {id}"),
        kind => format!("a frame of kind {kind}"),
    }
}

/// The codes of errors of HTTP/2 (RFC 9113, section 7).
fn error(code: u32) -> &'static str {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    NAMES.get(code as usize).copied().unwrap_or("an unknown error")
}

/// A request or a response of HTTP/1: its first line, and its body as far as it came along.
fn http(bytes: &[u8]) -> Option<String> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let first = std::str::from_utf8(&bytes[..end]).ok()?;
    let method = first.split(' ').next()?;
    let request = METHODS.contains(&method) && first.contains(" HTTP/1.");
    if !request && !first.starts_with("HTTP/1.") {
        return None;
    }
    let body = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| &bytes[at + 4..]);
    Some(match body {
        None => format!("{first}, and a part of its head"),
        Some([]) => first.to_owned(),
        Some(body) => format!("{first}, {}", text_of(body).unwrap_or_else(|| size(body.len()))),
    })
}

/// Commands and replies of RESP, the protocol of Redis.
fn resp(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.split_terminator("\r\n");
    let mut told = Vec::new();
    if !text.ends_with("\r\n") {
        return None;
    }
    while let Some(line) = lines.next() {
        let (kind, rest) = (line.chars().next()?, line.get(1..)?);
        told.push(match kind {
            '+' => rest.to_owned(),
            '-' => format!("error {rest}"),
            ':' => rest.parse::<i64>().ok()?.to_string(),
            '$' if rest == "-1" => "nil".to_owned(),
            '$' => bulk(rest, lines.next()?)?,
            '*' => {
                let mut words = Vec::new();
                for _ in 0..rest.parse::<usize>().ok()? {
                    words.push(bulk(lines.next()?.strip_prefix('$')?, lines.next()?)?);
                }
                words.join(" ")
            }
            _ => return None,
        });
    }
    (!told.is_empty()).then(|| clipped(&told.join(" | ")))
}

/// A bulk string of RESP, if it is as long as it says.
fn bulk(length: &str, text: &str) -> Option<String> {
    (length.parse::<usize>().ok()? == text.len()).then(|| text.to_owned())
}

/// Records of TLS.
fn tls(bytes: &[u8]) -> Option<String> {
    let [kind, 3, 0..=4, ..] = bytes else { return None };
    let what = match kind {
        20 => "change of cipher",
        21 => "alert",
        22 => "handshake",
        23 => "data",
        _ => return None,
    };
    Some(format!("TLS {what}, {}", size(bytes.len())))
}

/// Text, if it is one that a person reads: its lines side by side.
fn text_of(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty())?;
    if text.trim().is_empty() {
        return Some(clipped(&format!("{text:?}")));
    }
    let strange = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.contains(strange) {
        return None;
    }
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Some(clipped(&lines.join(" | ")))
}

/// The bytes of a file as a person reads them: text, or their number.
pub(crate) fn contents(bytes: &[u8]) -> String {
    match text_of(bytes) {
        Some(text) => format!("{}: {text}", size(bytes.len())),
        None => size(bytes.len()),
    }
}

fn clipped(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.to_owned(),
    }
}

fn size(count: usize) -> String {
    if count == 1 { "1 byte".to_owned() } else { format!("{count} bytes") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedfall_sim::{NodeId, Time};

    fn sent(index: u64) -> Event {
        let [actor, peer] = [0, 1].map(|node| NodeId::new(node).into());
        Event { at: Time::ZERO, kind: Kind::Send, actor, peer, index, digest: 0 }
    }

    fn one(bytes: &[u8]) -> String {
        Speech::default().stream(&sent(0), 0, 0, false, bytes)
    }

    #[test]
    fn what_goes_over_a_connection_is_told_in_the_words_of_its_protocol() {
        let cases: [(&[u8], &str); 13] = [
            (b"GET /value HTTP/1.1\r\nhost: n1\r\n\r\n", "GET /value HTTP/1.1"),
            (b"POST /a HTTP/1.1\r\n\r\n{\"x\":\n1}", "POST /a HTTP/1.1, {\"x\": | 1}"),
            (b"HTTP/1.1 200 OK\r\n\r\n\0\0", "HTTP/1.1 200 OK, 2 bytes"),
            (b"HTTP/1.1 200 OK\r\nhea", "HTTP/1.1 200 OK, and a part of its head"),
            (b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$1\r\n1\r\n", "SET x 1"),
            (b"+OK\r\n:3\r\n$-1\r\n", "OK | 3 | nil"),
            (b"$3\r\nab\r\n", "$3 | ab"),
            (b"w 7\n", "w 7"),
            (b"\r\n", "\"\\r\\n\""),
            (b"", "0 bytes"),
            (&[0xFF; 57], "57 bytes"),
            (&[22, 3, 1, 0, 9, 1], "TLS handshake, 6 bytes"),
            (&[b'x'; 200], &(String::from_utf8(vec![b'x'; 120]).expect("text") + " ...")),
        ];
        for (bytes, told) in cases {
            assert_eq!(one(bytes), told);
        }
    }

    #[test]
    fn frames_of_http_2_are_told_however_they_are_cut() {
        let mut bytes = PREFACE.to_vec();
        bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]); // SETTINGS
        bytes.extend([0, 0, 2, 1, 4, 0, 0, 0, 1, 0x82, 0x84]); // HEADERS
        bytes.extend([0, 0, 3, 0, 1, 0, 0, 0, 1, 7, 7, 7]); // DATA, the last
        let whole =
            "HTTP/2 begins, SETTINGS, HEADERS of stream 1, DATA 3 bytes of stream 1, its last";
        assert_eq!(one(&bytes), whole);
        for cut in PREFACE.len()..bytes.len() {
            let (one, two) = bytes.split_at(cut);
            let mut speech = Speech::default();
            let mut told = speech.stream(&sent(0), 4, 0, false, one);
            told += &speech.stream(&sent(1), 4, cut as u64, false, two);
            for frame in ["SETTINGS", "HEADERS of stream 1", "DATA 3 bytes of stream 1"] {
                assert_eq!(told.matches(frame).count(), 1, "cut at {cut}: {told}");
            }
            let answer = speech.stream(&sent(2), 5, 0, false, &[0, 0, 0, 4, 1, 0, 0, 0, 0]);
            assert_eq!(answer, "HTTP/2 SETTINGS are acknowledged");
        }
    }

    #[test]
    fn what_is_sent_again_says_the_same_again() {
        let mut speech = Speech::default();
        assert_eq!(speech.stream(&sent(3), 0, 5, false, b"SET"), "SET");
        assert_eq!(speech.stream(&sent(4), 0, 5, true, b"SET"), "again: SET");
        let arrival =
            Event { kind: Kind::Deliver, actor: sent(0).peer, peer: sent(0).actor, ..sent(4) };
        assert_eq!(speech.as_sent(&arrival), "again: SET");
    }
}
