//! Transactions, and the history of those that a server has accepted.

use super::tree::{Answer, Delta, Tree};
use seedfall_sim::RequestId;
use std::fmt;
use std::sync::Arc;

/// Counts the leaders.
pub type Epoch = u32;

/// The name of a transaction: the epoch of its leader decides first.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Zxid {
    /// Whose it is.
    pub epoch: Epoch,
    /// Which of this epoch's, from one on.
    pub counter: u32,
}

/// A transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Txn {
    /// Its name.
    pub zxid: Zxid,
    /// Who asked for it; nobody: the leader has ended a session.
    pub request: Option<RequestId>,
    /// What it changes.
    pub delta: Delta,
    /// What the client is told.
    pub answer: Answer,
}

/// The transactions that a server has accepted, the older ones as the tree that they come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct History {
    base: Arc<Tree>,
    txns: Vec<Txn>,
}

impl History {
    /// A history that begins with a snapshot.
    pub(super) fn from(base: Arc<Tree>) -> Self {
        Self { base, txns: Vec::new() }
    }

    /// What its older transactions come to.
    pub fn base(&self) -> &Arc<Tree> {
        &self.base
    }

    /// The others, in order.
    pub fn txns(&self) -> &[Txn] {
        &self.txns
    }

    /// The last transaction.
    pub fn last(&self) -> Zxid {
        self.txns.last().map_or(self.base.zxid(), |txn| txn.zxid)
    }

    /// Whether a transaction is in it, as far as that is known: it may be older than the base.
    pub fn has(&self, zxid: Zxid) -> bool {
        zxid <= self.base.zxid() || self.txns.binary_search_by_key(&zxid, |txn| txn.zxid).is_ok()
    }

    /// The last transaction that is not above this one.
    pub(super) fn last_up_to(&self, zxid: Zxid) -> Zxid {
        let place = self.txns.partition_point(|txn| txn.zxid <= zxid);
        place.checked_sub(1).map_or(self.base.zxid(), |place| self.txns[place].zxid)
    }

    /// All after this one.
    pub(super) fn after(&self, zxid: Zxid) -> &[Txn] {
        &self.txns[self.txns.partition_point(|txn| txn.zxid <= zxid)..]
    }

    pub(super) fn push(&mut self, txn: Txn) {
        self.txns.push(txn);
    }

    /// Forgets all after this one.
    pub(super) fn truncate(&mut self, zxid: Zxid) {
        self.txns.truncate(self.txns.partition_point(|txn| txn.zxid <= zxid));
    }

    /// The transactions up to that of a tree as this tree.
    pub(super) fn compact(&mut self, tree: Arc<Tree>) {
        self.txns.drain(..self.txns.partition_point(|txn| txn.zxid <= tree.zxid()));
        self.base = tree;
    }

    /// What all of it comes to.
    pub(super) fn tree(&self) -> Tree {
        let mut tree = Tree::clone(&self.base);
        self.txns.iter().for_each(|txn| tree.apply(txn));
        tree
    }
}

impl fmt::Debug for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.counter)
    }
}
