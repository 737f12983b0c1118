//! First-in-first-out channels from a leader to its followers, which Zab takes for granted
//! (section 2: TCP): numbered messages, kept until they are acknowledged.

use seedfall_sim::SortedMap;
use std::collections::VecDeque;

/// A connection: between one attempt to follow and one reign of a leader. A message that comes late
/// may be of another of either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Connection {
    /// Which attempt of the follower's: it has no other of that number.
    pub attempt: u64,
    /// Which reign of the leader's; zero: its follower has not heard of it yet.
    pub reign: u64,
}

/// The leader's end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Outbox<T> {
    pub(super) connection: Connection,
    next: u32,
    unacked: VecDeque<(u32, T)>,
}

/// The follower's end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Inbox<T> {
    pub(super) connection: Connection,
    /// The number of the next message.
    pub(super) next: u32,
    /// Later ones that have arrived.
    early: SortedMap<u32, T>,
}

impl<T: Clone> Outbox<T> {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, next: 0, unacked: VecDeque::new() }
    }

    /// A new message; its number.
    pub(super) fn push(&mut self, message: T) -> u32 {
        let number = self.next;
        self.next += 1;
        self.unacked.push_back((number, message));
        number
    }

    /// All before this number have arrived.
    pub(super) fn acked(&mut self, next: u32) {
        while self.unacked.pop_front_if(|(number, _)| *number < next).is_some() {}
    }

    /// What may be lost, the first few.
    pub(super) fn unacked(&self, most: usize) -> impl Iterator<Item = &(u32, T)> {
        self.unacked.iter().take(most)
    }
}

impl<T> Inbox<T> {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, next: 0, early: SortedMap::new() }
    }

    /// A message has arrived.
    pub(super) fn put(&mut self, number: u32, message: T) {
        if self.next <= number {
            self.early.insert(number, message);
        }
    }

    /// The next message, if it has arrived.
    pub(super) fn take(&mut self) -> Option<T> {
        let message = self.early.remove(&self.next)?;
        self.next += 1;
        Some(message)
    }
}
