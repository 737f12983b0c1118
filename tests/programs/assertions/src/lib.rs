//! A ticket office that was instrumented for Antithesis and for nothing else: it sells numbers, and
//! its assertions say that no number is sold twice, that somebody comes when all are sold, and that
//! it starts with a file of an earlier life now and then.

use antithesis_sdk::{
    antithesis_init, assert_always, assert_always_or_unreachable, assert_reachable,
    assert_sometimes, assert_unreachable,
};
use seedfall::programs::{Answer, Process, Program, Programs, Session, assertion};
use seedfall::{Expect, Swarm, every_operation_completes};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// How many tickets there are.
const TICKETS: usize = 6;

/// The tickets that were sold, as its file has them: eight bytes each, up to the first that was
/// not written to its end.
fn sold() -> Vec<u64> {
    let bytes = fs::read("sold").unwrap_or_default();
    let number = |bytes: &[u8]| str::from_utf8(bytes).ok()?.strip_suffix('\n')?.parse().ok();
    bytes.chunks(8).map_while(number).collect()
}

/// The office's `main`. One that is `careless` tells what it sold before it is written down.
fn office(careless: bool) {
    antithesis_init();
    if fs::exists("sold").is_ok_and(|is| is) {
        assert_reachable!("an office opens again", &json!({}));
    }
    let mut file = fs::File::options().create(true).append(true).open("sold").expect("a file");
    file.set_len(8 * sold().len() as u64).and_then(|()| file.sync_all()).expect("a disk");
    for stream in TcpListener::bind("0.0.0.0:80").expect("a port").incoming() {
        let Ok(mut stream) = stream else { continue };
        let sold = sold();
        assert_always!(sold.len() <= TICKETS, "no more is sold than there is", &json!({}));
        assert_sometimes!(sold.len() == TICKETS, "all is sold", &json!({"sold": sold.len()}));
        let next = sold.len() as u64;
        if sold.len() == TICKETS {
            let _ = writeln!(stream, "none");
            continue;
        }
        if sold.iter().any(|ticket| *ticket >= TICKETS as u64) {
            assert_unreachable!("a ticket that there is not", &json!({"sold": sold}));
        }
        let mut write = || {
            let written = writeln!(file, "{next:07}");
            written.and_then(|()| if careless { Ok(()) } else { file.sync_data() })
        };
        if write().is_err() {
            return;
        }
        let _ = writeln!(stream, "{next}");
    }
}

/// The visitor asserts, too: no two tickets that it was given are the same.
fn visitor(mut session: Session<(), Option<u64>>) {
    let mut mine = BTreeSet::new();
    while session.next_blocking().is_some() {
        let Ok(ticket) = ask() else {
            session.answer(Answer::Indeterminate);
            continue;
        };
        if let Some(ticket) = ticket {
            let details = json!({"ticket": ticket});
            assert_always_or_unreachable!(mine.insert(ticket), "no ticket is sold twice", &details);
        }
        session.answer(Answer::Ok(ticket));
    }
}

fn ask() -> std::io::Result<Option<u64>> {
    let stream = TcpStream::connect("office:80")?;
    stream.set_read_timeout(Some(Duration::from_millis(300)))?;
    let mut line = String::new();
    BufReader::new((&stream).take(100)).read_line(&mut line)?;
    match line.trim_end() {
        "none" => Ok(None),
        number => number.parse().map(Some).map_err(std::io::Error::other),
    }
}

fn scenario(
    name: &'static str,
    careless: bool,
    expect: Expect<Process>,
) -> Programs<(), Option<u64>> {
    Programs {
        story: "A visitor buys tickets of an office that crashes now and then.",
        nodes: vec![Program::new("office", move || office(careless)).powersafe()],
        clients: 1,
        faults: Swarm { crashes: 5, ..Swarm::NONE },
        properties: vec![assertion("no ticket is sold twice"), every_operation_completes()],
        declared_in: vec![module_path!()],
        expect,
        ..Programs::new(name, |_, _| (), visitor)
    }
}

/// An office that syncs what it sells.
pub fn careful() -> Programs<(), Option<u64>> {
    scenario("tickets", false, Expect::Holds)
}

/// One that does not: after a crash it sells some of it again.
pub fn careless() -> Programs<(), Option<u64>> {
    let because = "a ticket is handed out before the file that says so is synced";
    let expect = Expect::Violates { properties: &["no ticket is sold twice"], because };
    scenario("tickets-careless", true, expect)
}

/// The careful office, where nothing ever goes wrong: it never opens again.
pub fn calm() -> Programs<(), Option<u64>> {
    Programs { faults: Swarm::NONE, ..scenario("tickets-calm", false, Expect::Holds) }
}
