//! Storage engines on trial: a machine with one engine crashes before each change of its files
//! (each write, sync and change of a name), one run after the other, and what its program finds
//! then is compared with a model of what was acknowledged.
//!
//! ```no_run
//! use seedfall::programs::storage::{Engine, Promise, Wrong, Write, engine};
//! # struct Db;
//! # impl Db {
//! #     fn open(_: &str) -> Result<Self, Wrong> { Ok(Db) }
//! #     fn write(&mut self, _: &[Write]) -> Result<(), Wrong> { Ok(()) }
//! #     fn iter(&self) -> Vec<(Vec<u8>, Vec<u8>)> { Vec::new() }
//! # }
//!
//! impl Engine for Db {
//!     fn commit(&mut self, writes: &[Write]) -> Result<(), Wrong> {
//!         self.write(writes)
//!     }
//!
//!     fn all(&mut self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Wrong> {
//!         Ok(self.iter())
//!     }
//! }
//!
//! seedfall::check(engine("my-engine", Promise::Commits, || Db::open("data")));
//! ```
//!
//! The client commits transactions of one to three writes and removals over a dozen keys, with
//! values from a few bytes to several pages, reads everything back now and then and at the end, and
//! is told by which life of the program it was answered. The seed says before which change the
//! crash falls ([`EveryChange`]) and decides what it leaves of all that was not synced, page by
//! page and sector by sector.

use super::{Answer, EveryChange, Process, Program, Programs, Session};
use crate::faults::Swarm;
use crate::property::{Judgement, Property, always, every_operation_completes};
use crate::scenario::Horizon;
use crate::workload::Invocation;
use seedfall_checkers::{History, Outcome};
use seedfall_net::Delay;
use seedfall_sim::{Choices, Duration, StableHasher};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};

/// What an engine may fail with.
pub type Wrong = Box<dyn std::error::Error>;

/// One key of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Which.
    pub key: Vec<u8>,
    /// What it is to stand for; `None`: it is removed.
    pub value: Option<Vec<u8>>,
}

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// A storage engine, as the trial uses it.
pub trait Engine {
    /// A transaction: all of these, in this order, or nothing.
    ///
    /// # Errors
    /// What the engine says.
    fn commit(&mut self, writes: &[Write]) -> Result<(), Wrong>;

    /// Everything that is there.
    ///
    /// # Errors
    /// What the engine says; also what its own check of integrity says, if it has one.
    fn all(&mut self) -> Result<Vec<Row>, Wrong>;

    /// Makes durable what was committed: called now and then if that is what it
    /// [`promises`](Promise::Syncs).
    ///
    /// # Errors
    /// What the engine says.
    fn sync(&mut self) -> Result<(), Wrong> {
        Ok(())
    }
}

/// What an engine promises. Either way a transaction is there whole or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// A commit that was acknowledged survives every crash.
    Commits,
    /// What was committed before a sync that was acknowledged survives every crash; of what came
    /// later, a first part.
    Syncs,
}

/// What the client asks for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum In {
    /// A transaction: keys, and the value that each is to have.
    Commit(Vec<(u8, Option<Value>)>),
    /// Make durable what was committed.
    Sync,
    /// Read everything.
    Read,
}

/// A value: its bytes follow from its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// Which: no two are the same.
    pub number: u64,
    /// How many bytes, at least twelve.
    pub size: u32,
}

impl fmt::Debug for In {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Commit(writes) = self else {
            return f.write_str(if *self == Self::Sync { "Sync" } else { "Read" });
        };
        f.write_str("Commit(")?;
        for (place, (key, value)) in writes.iter().enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            match value {
                Some(Value { number, size }) => write!(f, "{comma}{key}={number}, {size} bytes")?,
                None => write!(f, "{comma}{key} gone")?,
            }
        }
        f.write_str(")")
    }
}

/// What it is told.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Out {
    /// The life of the program that answered: when it began, in nanoseconds of virtual time.
    pub life: u64,
    /// What it found when it began.
    pub opened: State,
    /// What it read: the number of the value of each key.
    pub found: Option<State>,
}

impl fmt::Debug for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(found) = &self.found else { return f.write_str("Done") };
        let one = |(key, number): (&u8, &u64)| match *number {
            GARBLED => format!("{key}=garbled"),
            number => format!("{key}={number}"),
        };
        write!(f, "Found({})", found.iter().map(one).collect::<Vec<_>>().join(", "))
    }
}

/// The number of the value of each key.
pub type State = BTreeMap<u8, u64>;

/// The number of bytes that are no value.
const GARBLED: u64 = u64::MAX;

/// How long the client waits for an answer.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(100);

/// The scenario of an engine, which `open` opens, or makes, in the folder that it is in. What the
/// engine promises is its only property, beside that it opens again and answers.
pub fn engine<E: Engine>(
    name: &'static str,
    promise: Promise,
    open: impl Fn() -> Result<E, Wrong> + Send + Sync + 'static,
) -> Programs<In, Out> {
    let main = move || {
        if let Err(error) = serve(&open) {
            panic!("{error}");
        }
    };
    Programs {
        story: "A storage engine crashes before each change of its files, and is read back.",
        nodes: vec![Program::new("store", main)],
        clients: 1,
        operations: 10,
        think: Delay::Uniform { min: Duration::millis(1), max: Duration::millis(2) },
        faults: Swarm::NONE,
        crash_at: Some(EveryChange::of("store", 4)),
        horizon: Horizon { faults: Duration::millis(800), settle: Duration::secs(10), events: 0 },
        properties: vec![kept(promise), every_operation_completes()],
        ..Programs::new(name, move |op, draw| generate(promise, op, draw), client)
    }
}

fn generate(promise: Promise, op: Invocation, draw: &mut Choices<'_>) -> In {
    match draw.below(8) {
        _ if op.is_final() => return In::Read,
        0 => return In::Read,
        1 | 2 if promise == Promise::Syncs => return In::Sync,
        _ => {}
    }
    let mut writes = Vec::new();
    for part in 0..=u64::from(draw.below(3)) {
        let key = draw.below(12) as u8;
        let size = 12 + if draw.chance(250_000) { draw.below(9_000) } else { draw.below(250) };
        let value = Value { number: 4 * op.unique() + part, size };
        writes.push((key, (!draw.chance(200_000)).then_some(value)));
    }
    In::Commit(writes)
}

impl Value {
    /// Its bytes: its number and size, and what follows from them.
    fn bytes(self) -> Vec<u8> {
        let mut bytes = [&self.number.to_le_bytes()[..], &self.size.to_le_bytes()].concat();
        let mut dice = self.number;
        while bytes.len() < self.size as usize {
            dice = StableHasher::hash(&dice);
            bytes.extend(dice.to_le_bytes());
        }
        bytes.truncate(self.size as usize);
        bytes
    }

    /// The number of the value that has these bytes.
    fn number_of(bytes: &[u8]) -> u64 {
        let read = |bytes: &[u8]| {
            let (number, rest) = bytes.split_first_chunk()?;
            let size = u32::from_le_bytes(*rest.first_chunk()?);
            Some(Self { number: u64::from_le_bytes(*number), size })
        };
        let value = read(bytes).filter(|value| value.size as usize == bytes.len());
        value.filter(|value| value.bytes() == bytes).map_or(GARBLED, |value| value.number)
    }
}

/// The program of the node: an operation a line, and an answer a line.
fn serve<E: Engine>(open: &dyn Fn() -> Result<E, Wrong>) -> Result<(), Wrong> {
    let life = seedfall_kernel::now().unwrap_or_default().as_nanos();
    let mut engine = open()?;
    let opened = read(&mut engine)?;
    for stream in TcpListener::bind("0.0.0.0:80")?.incoming() {
        let stream = stream?;
        for line in BufReader::new(&stream).lines() {
            let Ok(line) = line else { break };
            let found = act(&mut engine, serde_json::from_str(&line)?)?;
            let answer = Out { life, opened: opened.clone(), found };
            let answer = serde_json::to_string(&answer)? + "\n";
            if (&stream).write_all(answer.as_bytes()).is_err() {
                break;
            }
        }
    }
    Ok(())
}

fn act<E: Engine>(engine: &mut E, input: In) -> Result<Option<State>, Wrong> {
    match input {
        In::Commit(writes) => {
            let write = |(one, value): (u8, Option<Value>)| Write {
                key: key(one),
                value: value.map(Value::bytes),
            };
            engine.commit(&writes.into_iter().map(write).collect::<Vec<_>>())?;
            Ok(None)
        }
        In::Sync => engine.sync().map(|()| None),
        In::Read => read(engine).map(Some),
    }
}

fn key(number: u8) -> Vec<u8> {
    format!("key {number:03}").into_bytes()
}

fn read<E: Engine>(engine: &mut E) -> Result<State, Wrong> {
    let name = |name: &[u8]| (0..u8::MAX).find(|one| key(*one) == name).unwrap_or(u8::MAX);
    let all = engine.all()?.into_iter();
    Ok(all.map(|(key, value)| (name(&key), Value::number_of(&value))).collect())
}

/// The client: one operation after the other, over one connection while it lasts.
fn client(mut session: Session<In, Out>) {
    let mut stream = None;
    while let Some(input) = session.next_blocking() {
        if stream.is_none() {
            stream = connect().ok();
        }
        let answer = match &stream {
            None => Answer::Failed,
            Some(stream) => ask(stream, &input).map_or(Answer::Indeterminate, Answer::Ok),
        };
        if !matches!(answer, Answer::Ok(_)) {
            stream = None;
        }
        session.answer(answer);
    }
}

fn connect() -> std::io::Result<TcpStream> {
    let all: Vec<SocketAddr> = "store:80".to_socket_addrs()?.collect();
    let first = all.first().ok_or(std::io::ErrorKind::NotFound)?;
    let stream = TcpStream::connect_timeout(first, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn ask(mut stream: &TcpStream, input: &In) -> std::io::Result<Out> {
    let asked = serde_json::to_string(input)? + "\n";
    stream.write_all(asked.as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

/// Always: what the program finds is what was committed, as far as the engine promises it, and no
/// part of a transaction without the rest.
pub fn kept(promise: Promise) -> Property<Process, In, Out> {
    always("kept", move |history: &History<In, Out>| {
        let mut model = Model::new(promise);
        let mut seen = Vec::new();
        for (index, operation) in history.operations.iter().enumerate() {
            let (input, answered) = (&operation.input, operation.outcome.output());
            if matches!(operation.outcome, Outcome::Failed { .. }) {
                continue;
            }
            if let Err(why) = model.take(input, answered) {
                return Judgement::violated(why).at(index).with(&seen);
            }
            if *input != In::Read {
                seen.push(index);
            }
        }
        Judgement::Holds
    })
}

/// What the store may hold.
struct Model {
    promise: Promise,
    /// The life of the program that answered last.
    life: u64,
    /// What it may hold now, if no crash comes.
    now: Vec<State>,
    /// What it may hold after a crash, in the order of the commits.
    durable: Vec<State>,
    /// What it may have held at any time.
    ever: BTreeSet<State>,
}

impl Model {
    fn new(promise: Promise) -> Self {
        let (empty, ever) = (vec![State::new()], BTreeSet::from([State::new()]));
        Self { promise, life: 0, now: empty.clone(), durable: empty, ever }
    }

    /// An operation, and its answer, if there was one. Says what cannot be.
    fn take(&mut self, input: &In, answer: Option<&Out>) -> Result<(), &'static str> {
        if let Some(answer) = answer.filter(|answer| answer.life != self.life) {
            self.open(answer)?;
        }
        match input {
            In::Commit(writes) => self.commit(writes, answer.is_some()),
            In::Sync if answer.is_some() => self.durable.clone_from(&self.now),
            In::Sync => {}
            In::Read => {
                let Some(found) = answer.and_then(|answer| answer.found.as_ref()) else {
                    return Ok(());
                };
                if !self.now.contains(found) {
                    return Err(self.wrong(found));
                }
                self.now = vec![found.clone()];
                if self.promise == Promise::Commits {
                    self.durable.clone_from(&self.now);
                }
            }
        }
        Ok(())
    }

    /// A life of the program begins with what its files held.
    fn open(&mut self, answer: &Out) -> Result<(), &'static str> {
        let Some(place) = self.durable.iter().position(|state| *state == answer.opened) else {
            return Err(self.wrong(&answer.opened));
        };
        // What came later was lost with what nobody synced.
        self.durable.truncate(place + 1);
        if self.promise == Promise::Commits {
            self.durable = vec![answer.opened.clone()];
        }
        (self.life, self.now) = (answer.life, vec![answer.opened.clone()]);
        Ok(())
    }

    fn commit(&mut self, writes: &[(u8, Option<Value>)], is_done: bool) {
        let after = |state: &State| {
            let mut state = state.clone();
            for (key, value) in writes {
                match value {
                    Some(value) => drop(state.insert(*key, value.number)),
                    None => drop(state.remove(key)),
                }
            }
            state
        };
        // Nobody knows in which life an operation without an answer was done: after a crash it may
        // have come to what the crash left.
        let from = if is_done { &self.now } else { &self.durable };
        let done: Vec<State> = self.now.iter().chain(from).map(after).collect();
        self.ever.extend(done.iter().cloned());
        if is_done {
            self.now.clone_from(&done);
        } else {
            self.now.extend(done.iter().cloned());
        }
        if self.promise == Promise::Commits && is_done {
            self.durable = done;
        } else {
            self.durable.extend(done);
        }
        for states in [&mut self.now, &mut self.durable] {
            let mut seen = BTreeSet::new();
            states.retain(|state| seen.insert(state.clone()));
        }
    }

    /// What is wrong with what it finds.
    fn wrong(&self, found: &State) -> &'static str {
        if found.values().any(|number| *number == GARBLED) {
            "it finds bytes that nobody wrote"
        } else if self.ever.contains(found) {
            "it has lost what it promised to keep"
        } else {
            "it finds a part of what was committed, without the rest"
        }
    }
}

#[cfg(test)]
mod tests;
