//! What the servers of the HTTP and of the QUIC scenario keep: amounts under keys, in a journal.

use crate::common::or_stop;
use seedfall_real::driver::{Files, Journal};
use std::collections::HashSet;

/// A sum, and the keys of the requests that are in it.
pub(crate) struct Account {
    journal: Journal<Files>,
    keys: HashSet<String>,
    total: i64,
    /// Whether a request whose key is known is not added a second time.
    once: bool,
}

impl Account {
    /// Opens it, or makes it.
    pub(crate) fn open(once: bool) -> Self {
        let (journal, opened) = or_stop(Journal::open(or_stop(Files::new("account"))));
        let mut account = Self { journal, keys: HashSet::new(), total: 0, once };
        for (key, amount) in opened.records {
            account.follow(key, amount);
        }
        account
    }

    fn follow(&mut self, key: String, amount: i64) {
        if self.keys.insert(key) || !self.once {
            self.total += amount;
        }
    }

    /// Adds an amount; when it returns, it is durable.
    pub(crate) fn add(&mut self, key: String, amount: i64) {
        or_stop(self.journal.append(&(&key, amount)));
        or_stop(self.journal.sync());
        self.follow(key, amount);
    }

    /// The sum.
    pub(crate) fn total(&self) -> i64 {
        self.total
    }
}
