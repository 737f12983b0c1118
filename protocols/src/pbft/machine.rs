//! What is replicated: a store, and what it takes to execute each request once.

use super::Ask;
use crate::kv::{Answer, Store};
use seedfall_sim::{ClientId, RequestId, SortedMap};

/// The store, and for each client its last request with the answer to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Machine {
    store: Store,
    answers: SortedMap<ClientId, (u32, Answer)>,
}

impl Machine {
    /// Whether a request, or a later one of its client, was executed.
    pub fn has_executed(&self, id: RequestId) -> bool {
        self.answers.get(&id.client).is_some_and(|(number, _)| id.number <= *number)
    }

    /// The answer to a request, if it was executed, and no later one of its client.
    pub fn answer(&self, id: RequestId) -> Option<&Answer> {
        let last = self.answers.get(&id.client).filter(|(number, _)| id.number == *number);
        last.map(|(_, answer)| answer)
    }

    /// Executes a request; nothing, if it was executed before, or its client has gone on.
    pub fn execute(&mut self, ask: &Ask) -> Option<Answer> {
        if self.has_executed(ask.id) {
            return None;
        }
        let answer = self.store.apply(&ask.command);
        self.answers.insert(ask.id.client, (ask.id.number, answer.clone()));
        Some(answer)
    }
}
