//! What the clients asked and were told, as part of the state.
//!
//! Two histories are the same when each operation has the same answer and the same operations
//! completed before it was called: that is all that linearizability, or any property that is about
//! real time, can tell them apart by. So the orders in which operations were called at once are one
//! state. Where no property judges histories, only what a client may call next is part of it.

use super::tables::{Interned, digest};
use crate::property::{JudgeHistory, Judgement};
use crate::scenario::{OperationId, Reply};
use crate::workload::Read;
use rustc_hash::FxHashMap;
use seedfall_checkers::History;
use seedfall_sim::{ClientId, NodeId, Protocol, RequestId};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// One operation that a client is to call.
pub(super) struct Call<I> {
    /// Whom it asks; `None`: any node, and the search tries each.
    pub(super) at: Option<NodeId>,
    pub(super) input: I,
}

/// What happened so far.
pub(super) struct Past<I, O> {
    /// For each client, its calls so far.
    calls: Vec<Vec<Called>>,
    /// The same for the judges, in one of the orders that it can have happened in.
    history: History<I, O>,
    clock: u64,
    /// The first property that it breaks, and how.
    pub(super) broken: Option<(&'static str, String)>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Called {
    /// How many operations of each client were over when it was called.
    after: Box<[u16]>,
    /// The number of the answer, if it is over.
    answer: Option<u32>,
    /// Its index in the history.
    index: Place,
}

/// An index that equal pasts need not have in common.
#[derive(Clone, Copy)]
struct Place(usize);

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Place {}

impl Hash for Place {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl<I: Clone, O: Clone> Past<I, O> {
    /// How many operations a client has called, and whether the last is not over.
    pub(super) fn of(&self, client: usize) -> (usize, bool) {
        let calls = &self.calls[client];
        (calls.len(), calls.last().is_some_and(|last| last.answer.is_none()))
    }

    fn over(&self) -> Box<[u16]> {
        let over = |calls: &Vec<Called>| calls.iter().filter(|one| one.answer.is_some()).count();
        self.calls.iter().map(|calls| over(calls) as u16).collect()
    }
}

/// A property of histories, by its name.
pub(super) type Judge<I, O> = (&'static str, Arc<JudgeHistory<I, O>>);

/// Every history that was met, and what comes of what.
pub(super) struct Histories<P: Protocol, I, O> {
    /// What each client is to call, one after the other.
    pub(super) calls: Vec<Vec<Call<I>>>,
    reply: Read<P, O>,
    judges: Vec<Judge<I, O>>,
    pub(super) pasts: Interned<Past<I, O>>,
    called: FxHashMap<(u32, u32), u32>,
    answered: FxHashMap<(u32, RequestId, u32), u32>,
    /// How many histories no judge could decide within its budget.
    pub(super) undecided: u64,
}

impl<P: Protocol, I: Clone, O: Clone> Histories<P, I, O> {
    pub(super) fn new(
        calls: Vec<Vec<Call<I>>>,
        reply: Read<P, O>,
        judges: Vec<Judge<I, O>>,
    ) -> Self {
        let (pasts, called, answered) = Default::default();
        Self { calls, reply, judges, pasts, called, answered, undecided: 0 }
    }

    /// The history in which nothing happened.
    pub(super) fn empty(&mut self) -> u32 {
        let calls = vec![Vec::new(); self.calls.len()];
        self.past(Past { calls, history: History::new(), clock: 0, broken: None })
    }

    /// A client calls its next operation.
    pub(super) fn call(&mut self, past: u32, client: u32) -> u32 {
        if let Some(known) = self.called.get(&(past, client)) {
            return *known;
        }
        let before = self.pasts.get(past);
        let (mut calls, mut history) = (before.calls.clone(), before.history.clone());
        let clock = before.clock + 1;
        let input = self.calls[client as usize][calls[client as usize].len()].input.clone();
        let index = Place(history.invoke(client, clock, input));
        calls[client as usize].push(Called { after: before.over(), answer: None, index });
        let after = self.past(Past { calls, history, clock, broken: None });
        self.called.insert((past, client), after);
        after
    }

    /// A client is answered; of an answer that it does not wait for it takes no notice.
    pub(super) fn answer(
        &mut self,
        past: u32,
        request: RequestId,
        (number, answer): (u32, &P::Response),
    ) -> u32 {
        if let Some(known) = self.answered.get(&(past, request, number)) {
            return *known;
        }
        let before = self.pasts.get(past);
        let (client, place) = (request.client.index(), request.number as usize);
        let waits = before.calls[client].get(place).is_some_and(|one| one.answer.is_none());
        let after = if waits {
            let (mut calls, mut history) = (before.calls.clone(), before.history.clone());
            let clock = before.clock + 1;
            let called = &mut calls[client][place];
            called.answer = Some(number);
            match (self.reply)(answer.clone()) {
                Reply::Done(output) => history.complete(called.index.0, clock, output),
                Reply::Failed => history.fail(called.index.0, clock),
                // It gives up, and does not know what became of it.
                Reply::Elsewhere(_) => {}
            }
            let broken = self.judge(&history);
            self.past(Past { calls, history, clock, broken })
        } else {
            past
        };
        self.answered.insert((past, request, number), after);
        after
    }

    fn judge(&mut self, history: &History<I, O>) -> Option<(&'static str, String)> {
        for (name, judge) in &self.judges {
            match judge(history) {
                Judgement::Holds => {}
                Judgement::Violated { reason, .. } => return Some((name, reason)),
                Judgement::Unknown(_) => self.undecided += 1,
            }
        }
        None
    }

    fn past(&mut self, past: Past<I, O>) -> u32 {
        let key = match self.judges.is_empty() {
            false => digest(&past.calls),
            true => {
                let clients = past.calls.iter().zip(&self.calls).enumerate();
                let next = clients.map(|(client, (called, calls))| {
                    (called.len(), called.len() < calls.len() && past.of(client).1)
                });
                digest(&next.collect::<Vec<_>>())
            }
        };
        self.pasts.number(key, || past)
    }

    /// The name of a client's next operation.
    pub(super) fn next(&self, past: u32, client: usize) -> Option<(OperationId, &Call<I>)> {
        let (called, waits) = self.pasts.get(past).of(client);
        let call = self.calls[client].get(called).filter(|_| !waits)?;
        let client = ClientId::new(client as u16);
        Some((OperationId { client, number: called as u32 }, call))
    }
}
