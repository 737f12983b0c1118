//! Locks of one shard: shared or exclusive, held until the transaction ends, and never in a
//! deadlock.
//!
//! *Wait-die* (Rosenkrantz, Stearns and Lewis 1978). Who meets a conflict waits if it is older than
//! all that are in its way, and dies if it is not. Whoever waits is then older than everybody it
//! waits for, on every site, so no circle of waiting can close. Those in the way are the holders
//! and, as locks are given in the order of asking, those that wait before it: were they passed
//! over, a transaction could come to wait for an older one after all.

use super::TransactionId;
use crate::kv::Text;
use seedfall_sim::SortedMap;
use std::collections::VecDeque;

/// How a key is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// To read: compatible with other readers.
    Shared,
    /// To write.
    Exclusive,
}

/// What became of a request for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grant {
    /// It holds the lock.
    Granted,
    /// It is the oldest in the conflict, and waits.
    Waits,
    /// It is not, and must give up all of its locks.
    Dies,
}

/// The locks of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Locks {
    keys: SortedMap<Text, Lock>,
}

/// One key's lock; there is none without a holder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Lock {
    holders: Vec<(TransactionId, Mode)>,
    /// In the order of asking; each is older than those before it that conflict with it.
    queue: VecDeque<(TransactionId, Mode)>,
}

/// A lock as a watcher sees it: its key, who holds it, and who waits, in the order of asking.
pub(super) type View<'a> =
    (&'a Text, &'a [(TransactionId, Mode)], &'a VecDeque<(TransactionId, Mode)>);

impl Locks {
    /// Asks for a lock that the transaction has not asked for before.
    pub fn acquire(&mut self, transaction: TransactionId, key: &Text, mode: Mode) -> Grant {
        let lock = self.keys.entry(key.clone()).or_default();
        let others = lock.holders.iter().chain(&lock.queue);
        let mut in_the_way = others.filter(|(_, other)| mode.conflicts(*other)).peekable();
        if in_the_way.peek().is_none() {
            lock.holders.push((transaction, mode));
            return Grant::Granted;
        }
        if in_the_way.all(|(other, _)| transaction < *other) {
            lock.queue.push_back((transaction, mode));
            return Grant::Waits;
        }
        Grant::Dies
    }

    /// Gives up all that a transaction holds and waits for; says who got a lock by it, in order.
    pub fn release(&mut self, transaction: TransactionId) -> Vec<TransactionId> {
        let mut granted = Vec::new();
        for lock in self.keys.values_mut() {
            lock.holders.retain(|(holder, _)| *holder != transaction);
            lock.queue.retain(|(waiter, _)| *waiter != transaction);
            let Lock { holders, queue } = lock;
            while let Some((waiter, mode)) =
                queue.pop_front_if(|(_, mode)| holders.iter().all(|held| !mode.conflicts(held.1)))
            {
                holders.push((waiter, mode));
                granted.push(waiter);
            }
        }
        self.keys.retain(|_, lock| !lock.holders.is_empty());
        granted
    }

    /// Every lock.
    pub(super) fn iter(&self) -> impl Iterator<Item = View<'_>> {
        self.keys.iter().map(|(key, lock)| (key, lock.holders.as_slice(), &lock.queue))
    }

    /// True if nothing is locked.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

impl Mode {
    fn conflicts(self, other: Self) -> bool {
        (self, other) != (Self::Shared, Self::Shared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedfall_sim::NodeId;

    /// The smaller the number, the older.
    fn transaction(number: u32) -> TransactionId {
        TransactionId { number, life: 1, coordinator: NodeId::new(0) }
    }

    fn ask(locks: &mut Locks, number: u32, mode: Mode) -> Grant {
        locks.acquire(transaction(number), &"k".into(), mode)
    }

    #[test]
    fn readers_share_and_writers_do_not() {
        let mut locks = Locks::default();
        assert_eq!(ask(&mut locks, 2, Mode::Shared), Grant::Granted);
        assert_eq!(ask(&mut locks, 3, Mode::Shared), Grant::Granted);
        assert_eq!(ask(&mut locks, 4, Mode::Exclusive), Grant::Dies);
        assert_eq!(ask(&mut locks, 1, Mode::Exclusive), Grant::Waits);
        assert!(locks.release(transaction(2)).is_empty(), "one reader is left");
        assert_eq!(locks.release(transaction(3)), [transaction(1)]);
        assert!(locks.release(transaction(1)).is_empty() && locks.is_empty());
    }

    /// A reader that slipped in past a waiting writer could be older than the writer.
    #[test]
    fn who_waits_is_in_the_way_of_who_comes_later() {
        let mut locks = Locks::default();
        assert_eq!(ask(&mut locks, 9, Mode::Shared), Grant::Granted);
        assert_eq!(ask(&mut locks, 5, Mode::Exclusive), Grant::Waits);
        assert_eq!(ask(&mut locks, 6, Mode::Shared), Grant::Dies);
        assert_eq!(ask(&mut locks, 4, Mode::Shared), Grant::Waits);
        assert_eq!(locks.release(transaction(9)), [transaction(5)]);
        assert_eq!(locks.release(transaction(5)), [transaction(4)]);
    }

    #[test]
    fn who_gives_up_waiting_lets_others_pass() {
        let mut locks = Locks::default();
        assert_eq!(ask(&mut locks, 9, Mode::Shared), Grant::Granted);
        assert_eq!(ask(&mut locks, 5, Mode::Exclusive), Grant::Waits);
        assert_eq!(ask(&mut locks, 4, Mode::Shared), Grant::Waits);
        assert_eq!(locks.release(transaction(5)), [transaction(4)]);
    }
}
