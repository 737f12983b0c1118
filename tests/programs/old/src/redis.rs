//! redis-rs, issue 1252: "Connection Timeout leads to data corruption".
//!
//! A blocking `Connection` with a read timeout. The answer to a command comes too late, the caller
//! hears of a timeout, and the connection stays open, as nothing but an end of the stream closes
//! it. The next command over it then gets the answer to the one before.
//!
//! Model: one server over TCP that keeps two keys, and does what it is asked one command after the
//! other; it never crashes, as it keeps them in memory. Clients use a connection as a pool would:
//! as long as it says that it is open.
//!
//! Property: the keys are linearizable. In 0.27.3 they are not; 0.27.4 counts the answers that it
//! must skip (pull request 1290).

use crate::{STAYS_UP, expect};
use redis::{ConnectionLike, RedisResult};
use seedfall::checkers::models::{Kv, KvInput, KvOutput as Out};
use seedfall::programs::{Answer, Program, Programs, Session};
use seedfall::{Swarm, linearizable};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type In = KvInput<&'static str, String>;
type Store = Arc<Mutex<HashMap<String, String>>>;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_millis(200);

/// A server of the redis protocol, with a thread for each connection.
fn serve() -> std::io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:6379")?;
    let store = Store::default();
    for stream in listener.incoming() {
        let (stream, store) = (stream?, Arc::clone(&store));
        std::thread::spawn(move || drop(talk(stream, &store)));
    }
    Ok(())
}

fn talk(mut output: TcpStream, store: &Store) -> std::io::Result<()> {
    let mut input = BufReader::new(output.try_clone()?);
    while let Some(words) = command(&mut input)? {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut store = store.lock().expect("nobody panics with it");
        let answer = match words[..] {
            ["GET", key] => match store.get(key) {
                Some(value) => format!("${}\r\n{value}\r\n", value.len()),
                None => "$-1\r\n".to_owned(),
            },
            ["SET", key, value] => {
                store.insert(key.to_owned(), value.to_owned());
                "+OK\r\n".to_owned()
            }
            _ => "-ERR unknown command\r\n".to_owned(),
        };
        drop(store);
        output.write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// The words of the next command; `None`: the stream has ended.
fn command(input: &mut impl BufRead) -> std::io::Result<Option<Vec<String>>> {
    let Some(count) = number(input)? else { return Ok(None) };
    let mut words = Vec::new();
    for _ in 0..count {
        let Some(length) = number(input)? else { return Ok(None) };
        let mut word = vec![0; length + 2];
        input.read_exact(&mut word)?;
        word.truncate(length);
        words.push(String::from_utf8_lossy(&word).into_owned());
    }
    Ok(Some(words))
}

/// What a line like `*3` or `$5` says.
fn number(input: &mut impl BufRead) -> std::io::Result<Option<usize>> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    Ok(line.get(1..).and_then(|digits| digits.trim_end().parse().ok()))
}

/// A client, which keeps its connection for as long as it is open.
fn client(mut session: Session<In, Out<String>>) {
    let server = redis::Client::open("redis://server/").expect("a URL");
    let mut kept = None;
    while let Some(input) = session.next_blocking() {
        kept = kept.filter(redis::Connection::is_open).or_else(|| connected(&server).ok());
        let Some(connection) = &mut kept else {
            session.answer(Answer::Failed);
            continue;
        };
        session.answer(match ask(connection, &input) {
            Ok(output) => Answer::Ok(output),
            Err(_) => Answer::Indeterminate,
        });
    }
}

fn connected(server: &redis::Client) -> RedisResult<redis::Connection> {
    let connection = server.get_connection_with_timeout(PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    Ok(connection)
}

fn ask(connection: &mut redis::Connection, input: &In) -> RedisResult<Out<String>> {
    if let KvInput::Put { key, value } = input {
        redis::cmd("SET").arg(key).arg(value).query::<()>(connection)?;
        return Ok(Out::Done);
    }
    redis::cmd("GET").arg(input.key()).query(connection).map(Out::Value)
}

/// Two clients that keep their connections.
pub fn scenario() -> Programs<In, Out<String>> {
    let because = "the answer that came too late for one command is taken for that of the next \
                   (redis-rs, issue 1252)";
    Programs {
        story: "Two clients of redis-rs with a read timeout keep two keys on a server.",
        nodes: vec![Program::new("server", || serve().expect("it can serve"))],
        // Nobody looks at a clock or waits for a timer, but for the time that a call may take.
        faults: Swarm { drifts: 0, timers: 0, ..STAYS_UP },
        properties: vec![linearizable(Kv::new())],
        expect: expect(&["linearizable"], because),
        ..Programs::new(
            "redis",
            |op, draw| {
                let key = ["x", "y"][draw.below(2) as usize];
                match draw.below(2) {
                    0 => In::Get { key },
                    _ => In::Put { key, value: op.unique().to_string() },
                }
            },
            client,
        )
    }
}
