//! Operations, read off the trace: which answer closed which operation.
//!
//! The history of a run is typed and gone when the run is over; the trace has all that is needed. A
//! client whose operation is closed forgets its timers. So an answer closed it if, before the
//! client's next operation, none of the timers rings by which it asks again.

use super::{Happening, Operation};
use crate::clients::simulated::Waiting;
use crate::report::Failure;
use seedfall_sim::{ClientId, Kind, Time};
use std::collections::BTreeSet;

/// A client, while its events are read.
#[derive(Clone, Default)]
struct Reader {
    /// The operation that is open, and its number.
    open: Option<(usize, u64)>,
    /// Answers since it asked last: one of them may have closed the operation.
    answers: Vec<usize>,
    /// When a timer rang last, by which it asks again or gives up.
    rang: Option<u64>,
    /// It rang, and the client has not asked again: it gave up, and what is answered comes too
    /// late.
    silent: bool,
}

/// The operations of a run, in the order of their calls.
pub(super) fn read(
    events: &[Happening],
    failure: Option<&Failure>,
    nodes: usize,
) -> Vec<Operation> {
    // Twice: an answer that closes nothing may be known as such only by one that comes later.
    let mut elsewhere = BTreeSet::new();
    pass(events, nodes, &mut elsewhere);
    let mut operations = pass(events, nodes, &mut elsewhere);
    let call = |one: &Operation| format!("{} ..", Time::from_nanos(events[one.asked].at));
    let calls: Vec<String> = operations.iter().map(call).collect();
    name_witness(&mut operations, &calls, failure);
    operations
}

/// Reads all events. `elsewhere` learns what answers that close nothing begin with: `NotLeader`.
fn pass<'a>(
    events: &'a [Happening],
    nodes: usize,
    elsewhere: &mut BTreeSet<&'a str>,
) -> Vec<Operation> {
    let think = format!("{:?}", Waiting::Think);
    let retry = format!("{:?}", Waiting::Retry);
    let clients = events.iter().map(|event| event.lane.max(event.peer) + 1).max().unwrap_or(0);
    let mut readers = vec![Reader::default(); clients.saturating_sub(nodes)];
    let mut operations = Vec::new();
    for (index, event) in events.iter().enumerate() {
        let Some(client) = event.lane.checked_sub(nodes) else { continue };
        let reader = &mut readers[client];
        match event.kind {
            Kind::Timer if event.text == think => {
                reader.close(&mut operations, events, elsewhere, true);
            }
            Kind::Timer => {
                if let [only] = reader.answers.as_slice()
                    && event.text == retry
                {
                    elsewhere.insert(head(body(&events[*only].text).1));
                }
                reader.answers.clear();
                reader.rang = Some(event.at);
                reader.silent = true;
            }
            Kind::Request => {
                let (number, input) = body(&event.text);
                reader.silent = false;
                match reader.open {
                    Some((open, same)) if same == number => operations[open].attempts += 1,
                    _ => {
                        reader.open = Some((operations.len(), number));
                        operations.push(asked(index, event.lane, client, number, input));
                    }
                }
            }
            // A program says by itself when an operation begins and ends.
            Kind::Call => {
                reader.close(&mut operations, events, elsewhere, true);
                let (number, input) = body(&event.text);
                reader.open = Some((operations.len(), number));
                operations.push(asked(index, event.lane, client, number, input));
            }
            Kind::Return => {
                let Some((open, _)) = reader.open.take() else { continue };
                match body(&event.text).1 {
                    "no answer" => operations[open].given_up = Some(event.at),
                    said => {
                        operations[open].answered = Some(index);
                        said.clone_into(&mut operations[open].output);
                    }
                }
            }
            Kind::Answered if reader.is_open(body(&event.text).0) => reader.answers.push(index),
            _ => {}
        }
    }
    for mut reader in readers {
        let over = reader.silent;
        reader.close(&mut operations, events, elsewhere, over);
    }
    operations
}

impl Reader {
    fn is_open(&self, number: u64) -> bool {
        !self.silent && self.open.is_some_and(|(_, open)| open == number)
    }

    /// The open operation is over, or the run is.
    fn close(
        &mut self,
        operations: &mut [Operation],
        events: &[Happening],
        elsewhere: &BTreeSet<&str>,
        over: bool,
    ) {
        let Some((open, _)) = self.open.take() else { return };
        let closes = |index: &&usize| !elsewhere.contains(head(body(&events[**index].text).1));
        let sure = self.answers.iter().find(closes);
        let answer = sure.or_else(|| self.answers.first().filter(|_| over)).copied();
        let operation = &mut operations[open];
        operation.answered = answer;
        match answer {
            Some(index) => body(&events[index].text).1.clone_into(&mut operation.output),
            None if over => operation.given_up = self.rang,
            None => {}
        }
        *self = Self::default();
    }
}

fn asked(index: usize, lane: usize, client: usize, number: u64, input: &str) -> Operation {
    Operation {
        name: format!("{}/{number}", ClientId::new(client as u16)),
        lane,
        asked: index,
        answered: None,
        given_up: None,
        attempts: 1,
        input: input.to_owned(),
        output: String::new(),
        witness: None,
        broken: false,
    }
}

/// The number and the contents of `c1#3 Read`.
fn body(text: &str) -> (u64, &str) {
    let (id, rest) = text.split_once(' ').unwrap_or((text, ""));
    let number = id.split_once('#').and_then(|(_, number)| number.parse().ok());
    (number.unwrap_or(u64::MAX), rest)
}

/// The first word of what a value prints.
fn head(text: &str) -> &str {
    text.split(['(', '{', ' ']).next().unwrap_or_default()
}

/// A line of a witness is a mark, the operation's name, and what is known of it.
fn name_witness(operations: &mut [Operation], calls: &[String], failure: Option<&Failure>) {
    let Some(failure) = failure else { return };
    for line in &failure.operations {
        let (mark, rest) = line.split_at(line.len().min(2));
        let name = rest.split(' ').next().unwrap_or_default();
        // One that was asked for again has a witness of its own: its call says which it is.
        let named = operations.iter().enumerate().filter(|(_, one)| one.name == name);
        let places: Vec<usize> = named.map(|(place, _)| place).collect();
        let called = |place: &&usize| rest.contains(&calls[**place]);
        let place = places.iter().find(called).or(places.first());
        if let Some(operation) = place.map(|place| &mut operations[*place]) {
            operation.witness = Some(rest.to_owned());
            operation.broken = mark.starts_with('>');
        }
    }
}
