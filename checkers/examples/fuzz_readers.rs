//! Feeds damaged files to the readers, and what they let through to the checkers: nothing may
//! panic. `cargo run --release --example fuzz_readers -- 1000000` tries a million files, the same
//! ones each time; a second number is the seed.
#![allow(clippy::print_stdout, reason = "it tells what it did")]

use seedfall_checkers::Budget;
use seedfall_checkers::readers::{Format, Limits, Property, judge, read};

const JSON: &str = r#"{"seedfall":"history","version":1}
{"id":0,"client":1,"key":"x","f":"write","value":7,"call":1,"return":2,"ok":true}
{"id":1,"client":2,"key":"x","f":"read","output":7,"call":3,"return":9,"ok":true}
{"id":2,"client":3,"key":"y","f":"cas","value":[7,8],"call":4}
{"id":3,"client":1,"f":"txn","value":[["r",1,[1,2]],["append",1,3]],"call":5,"return":6,"ok":false}
"#;

const EDN: &str = r#"[{:process 0, :type :invoke, :f :append, :key "1", :value "x 0 y"}
{:process 1, :type :invoke, :f :read, :value nil, :time 12, :index 1}
{:process 0, :type :ok, :f :append, :key "1", :value "x 0 y"}
{:process 1, :type :ok, :f :read, :value 3} ; told
{:process 2, :type :invoke, :f :txn, :value [[:r 1 nil] [:append 1 2]]}
{:process 2, :type :info, :f :txn, :value [[:r 1 nil] [:append 1 2]], :error #{:timeout}}]
"#;

const LOG: &str = "INFO  jepsen.util - 0\t:invoke\t:write\t3
INFO  jepsen.util - 1\t:invoke\t:cas\t[3 4]
INFO  jepsen.util - 0\t:ok\t:write\t3
INFO  jepsen.util - 1\t:fail\t:cas\t[3 4]
INFO  jepsen.util - 2\t:invoke\t:read\tnil
INFO  jepsen.util - 2\t:info\t:read\t:timed-out
";

/// Pieces that readers treat in a special way.
const PIECES: [&[u8]; 24] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b"\n",
    b"nil",
    b"null",
    b":",
    b",",
    b"-1",
    b"1e9",
    b"#",
    b"18446744073709551616",
    b"9223372036854775807",
    b"\xff\xfe",
    b"\\u0000",
    b";",
    b"[[[[[[[[",
    b"true",
    b":ok",
    b":info",
    b"\xf0\x9f\x92\xa5",
];

/// `SplitMix64` (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
}

/// Damages a file in one place.
fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    let at = random.below(bytes.len() + 1);
    let end = (at + random.below(30)).min(bytes.len());
    match random.below(6) {
        0 => drop(bytes.drain(at..end)),
        1 => {
            let copy = bytes[at..end].to_vec();
            let to = random.below(bytes.len() + 1);
            drop(bytes.splice(to..to, copy));
        }
        2 => drop(bytes.splice(at..at, PIECES[random.below(PIECES.len())].iter().copied())),
        3 => drop(bytes.splice(at..end, PIECES[random.below(PIECES.len())].iter().copied())),
        4 => bytes.truncate(at),
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
    }
}

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let files = numbers.next().and_then(Result::ok).unwrap_or(100_000);
    let mut random = Random(numbers.next().and_then(Result::ok).unwrap_or(1));
    let (mut good, mut judged) = (0_u64, 0_u64);
    let sources = [(Format::JsonLines, JSON), (Format::Edn, EDN), (Format::JepsenLog, LOG)];
    for _ in 0..files {
        let (format, text) = sources[random.below(sources.len())];
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=random.below(4) {
            damage(&mut random, &mut bytes);
        }
        let format = Format::detect(&bytes).filter(|_| random.below(4) > 0).unwrap_or(format);
        let limits = Limits { operations: 1_000, line_bytes: 1 << 16 };
        let Ok(history) = read(format, &bytes[..], limits) else { continue };
        good += 1;
        for property in Property::fitting(&history) {
            let judgement = judge(&history, property, Budget::configurations(10_000));
            judged += u64::from(judgement.is_ok());
        }
    }
    println!("{files} damaged files: {good} still readable, {judged} judgements, no panic");
}
