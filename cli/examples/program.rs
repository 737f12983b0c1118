//! A service of one's own under test: a register over `std::net` and `std::fs`, with a thread for
//! each connection. It acknowledges a write before the disk has it.
//!
//! ```console
//! $ cd cli
//! $ cargo run --release --features programs --example program -- sweep register
//! $ cargo run --release --features programs --example program -- explain register --seed 0
//! $ cargo run --release --features programs --example program -- --help
//! ```

#![expect(clippy::disallowed_methods, reason = "a program does what programs do")]

use seedfall::checkers::models::{Register, RegisterInput as In, RegisterOutput as Out};
use seedfall::programs::{Answer, Program, Programs, Session};
use seedfall::{Expect, Swarm, every_operation_completes, linearizable};
use std::io::{BufRead, BufReader, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The service: `get` tells the value, `put 7` changes it.
fn server() {
    let old = std::fs::read_to_string("value").unwrap_or_default();
    let value = Arc::new(Mutex::new(old.parse::<u64>().unwrap_or(0)));
    let listener = TcpListener::bind("0.0.0.0:7000").expect("the port is free");
    for stream in listener.incoming() {
        let (stream, value) = (stream.expect("a connection"), Arc::clone(&value));
        std::thread::spawn(move || serve(stream, &value));
    }
}

fn serve(mut stream: TcpStream, value: &Mutex<u64>) -> Result<()> {
    for line in BufReader::new(stream.try_clone()?).lines() {
        let mut value = value.lock().expect("nobody panics");
        let answer = match line?.strip_prefix("put ").map(str::parse) {
            Some(Ok(new)) => {
                std::fs::write("new", format!("{new}"))?;
                // Missing: a sync of the file here, and one of its folder below.
                std::fs::rename("new", "value")?;
                *value = new;
                "done\n".to_owned()
            }
            _ => format!("{value}\n"),
        };
        stream.write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// A client: asks for what its session says, and tells what came of it.
fn client(mut session: Session<In<u64>, Out<u64>>) {
    while let Some(input) = session.next_blocking() {
        session.answer(ask(&input).unwrap_or(Answer::Indeterminate));
    }
}

fn ask(input: &In<u64>) -> Result<Answer<Out<u64>>> {
    let mut stream = TcpStream::connect("server:7000")?;
    stream.set_read_timeout(Some(Duration::from_millis(300)))?;
    let question = match input {
        In::Read => "get\n".to_owned(),
        In::Write(value) => format!("put {value}\n"),
        In::Cas { .. } => unreachable!("nobody asks for it"),
    };
    stream.write_all(question.as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(match (input, line.trim().parse()) {
        (In::Read, Ok(value)) => Answer::Ok(Out::Value(value)),
        (In::Write(_), _) if line == "done\n" => Answer::Ok(Out::Done),
        _ => Answer::Indeterminate,
    })
}

fn scenario() -> Programs<In<u64>, Out<u64>> {
    Programs {
        nodes: vec![Program::new("server", server)],
        clients: 2,
        faults: Swarm::ALL,
        properties: vec![linearizable(Register { initial: 0 }), every_operation_completes()],
        expect: Expect::Violates {
            properties: &["linearizable"],
            because: "it acknowledges before it syncs",
        },
        ..Programs::new(
            "register",
            |op, draw| if draw.below(2) == 0 { In::Read } else { In::Write(op.unique()) },
            client,
        )
    }
}

fn main() -> ExitCode {
    seedfall_cli::main(&[Box::new(scenario())])
}
