//! What a replicated log drives: a key-value store, and the table by which an update that comes
//! twice takes effect once (the *client-table* of VR Revisited, the *sessions* of Raft).
//!
//! A client has one request open at a time, and numbers them; so the table keeps one answer for
//! each: that of its latest request. It is a function of the updates alone, and equal wherever as
//! many were carried out.
//!
//! ```
//! use seedfall_protocols::kv::{Answer, Command};
//! use seedfall_protocols::machine::{Known, Machine, Update};
//! use seedfall_sim::{ClientId, RequestId};
//!
//! let request = RequestId { client: ClientId::new(0), number: 7 };
//! let command = Command::Append { key: "x".into(), value: "1".into() };
//! let update = Update { request, command };
//! let mut machine = Machine::default();
//! for _ in 0..2 {
//!     assert_eq!(machine.apply(&update), Some(Answer::Done));
//! }
//! assert_eq!(machine.store().get("x").map(|value| value.as_str()), Some("1"));
//! assert_eq!(machine.known(request), Known::Done(&Answer::Done));
//! ```

use crate::kv::{Answer, Command, Store};
use seedfall_sim::{NodeId, RequestId};

/// A command, with the request that asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Update {
    /// Who asked.
    pub request: RequestId,
    /// For what.
    pub command: Command,
}

/// The store and the table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Machine {
    store: Store,
    /// By the number of the client: its latest request, and the answer.
    clients: Vec<Option<(u32, Answer)>>,
}

/// What the table says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<'a> {
    /// It had no effect yet.
    New,
    /// It is its client's latest, and had effect; the answer.
    Done(&'a Answer),
    /// Its client has moved on: it may have had effect or not, and never will.
    Past,
}

impl Machine {
    /// What is known of a request.
    pub fn known(&self, request: RequestId) -> Known<'_> {
        match self.clients.get(request.client.index()).and_then(Option::as_ref) {
            Some((number, answer)) if *number == request.number => Known::Done(answer),
            Some((number, _)) if request.number < *number => Known::Past,
            _ => Known::New,
        }
    }

    /// Carries out the next update, unless it had effect before; the answer, if it is remembered.
    pub fn apply(&mut self, update: &Update) -> Option<Answer> {
        match self.known(update.request) {
            Known::Done(answer) => return Some(answer.clone()),
            Known::Past => return None,
            Known::New => {}
        }
        let client = update.request.client.index();
        if self.clients.len() <= client {
            self.clients.resize(client + 1, None);
        }
        let answer = self.store.apply(&update.command);
        self.clients[client] = Some((update.request.number, answer.clone()));
        Some(answer)
    }

    /// What a command that changes nothing would be answered.
    pub fn read(&mut self, command: &Command) -> Answer {
        assert!(command.is_read(), "only reads leave the table out");
        self.store.apply(command)
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

/// For monitors: what is committed is the same at all nodes, in the same order, and stays.
#[derive(Clone, Debug)]
pub(crate) struct Committed<T> {
    /// All that anybody has committed, in order.
    pub(crate) all: Vec<T>,
    /// How much each node had committed when it was last seen.
    seen: Vec<usize>,
}

impl<T> Default for Committed<T> {
    fn default() -> Self {
        Self { all: Vec::new(), seen: Vec::new() }
    }
}

impl<T: Clone + PartialEq + std::fmt::Debug> Committed<T> {
    /// A node has committed these, in order. What was compared before is not compared again,
    /// unless the node has fewer than it had.
    pub(crate) fn observe(&mut self, node: NodeId, committed: &[T]) -> Result<(), String> {
        if self.seen.len() <= node.index() {
            self.seen.resize(node.index() + 1, 0);
        }
        let seen = &mut self.seen[node.index()];
        if *seen == committed.len() {
            return Ok(());
        }
        let first = if committed.len() < *seen { 0 } else { *seen };
        for (place, one) in committed.iter().enumerate().skip(first) {
            match self.all.get(place) {
                None => self.all.push(one.clone()),
                Some(other) if other == one => {}
                Some(other) => {
                    return Err(format!("at place {place}, {node} has {one:?}, not {other:?}"));
                }
            }
        }
        *seen = committed.len();
        Ok(())
    }
}
