//! A small `ZooKeeper`: what Zab's transactions drive.
//!
//! Znodes have a path, data, and a version; one may be *ephemeral*, and is gone once the session of
//! the client that made it ends. The leader works out what an operation comes to, as a *delta*, on
//! all that it has proposed; whoever delivers a transaction only applies the delta. So a delta
//! means something after those before it alone: this is why `ZooKeeper` needs primary order (Zab,
//! section 3).

use super::history::{Txn, Zxid};
use crate::kv::Text;
use seedfall_sim::{ClientId, RequestId, SortedMap, StableHasher};

/// What a client asks of the store. All but the last two change it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Operation {
    /// A new znode; its parent must be there, and not be ephemeral.
    Create {
        /// Its path, such as `/a/b`.
        path: Text,
        /// Its data.
        data: Text,
        /// Whether it ends with the session of its client.
        ephemeral: bool,
    },
    /// Sets the data of a znode.
    Set {
        /// Whose.
        path: Text,
        /// The data from now on.
        data: Text,
    },
    /// Removes a znode, which must have no children.
    Delete {
        /// Which.
        path: Text,
    },
    /// Ends the session of the client.
    Close,
    /// The znode at a path, as the server has it; which must have all up to a transaction.
    Get {
        /// Which path.
        path: Text,
        /// What the client has seen.
        seen: Zxid,
    },
    /// Answered once the znode at a path has changed after a transaction, or is gone.
    Watch {
        /// Which path.
        path: Text,
        /// What the client has seen.
        seen: Zxid,
    },
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Answer {
    /// Done.
    Done,
    /// There is no such znode, or no parent.
    NoNode,
    /// There is one already.
    NodeExists,
    /// It has children.
    NotEmpty,
    /// The parent may have no children.
    NoChildren,
    /// The znode, if there is one.
    Node(Option<Znode>),
    /// It has changed.
    Changed,
}

/// A znode.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Znode {
    /// What it holds.
    pub data: Text,
    /// How often it was set.
    pub version: u32,
    /// By which transaction it was made.
    pub created: Zxid,
    /// By which it was set last, or made.
    pub modified: Zxid,
    /// Whose it is, if it is ephemeral.
    pub owner: Option<ClientId>,
}

/// What a transaction changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Delta {
    /// Nothing: the operation was refused.
    Nothing,
    /// This is what is at the path.
    Put(Text, Znode),
    /// Nothing is at the path.
    Remove(Text),
    /// The session of this client is over.
    End(ClientId),
}

/// The znodes, with what was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Tree {
    znodes: SortedMap<Text, Znode>,
    /// When each path changed last, whether something is there or not.
    changed: SortedMap<Text, Zxid>,
    /// By the number of the client: its latest request, and the answer with its transaction.
    clients: Vec<Option<(u32, Answer, Zxid)>>,
    /// The last transaction that it has.
    zxid: Zxid,
    /// How many it has.
    count: u64,
    /// Of all of them.
    digest: u64,
}

impl Operation {
    /// Whether it goes through the log.
    pub fn is_update(&self) -> bool {
        !matches!(self, Self::Get { .. } | Self::Watch { .. })
    }
}

impl Tree {
    /// What an operation comes to, after all that is here, as transaction `zxid`.
    pub(super) fn plan(&self, client: ClientId, what: &Operation, zxid: Zxid) -> (Delta, Answer) {
        let refused = |answer| (Delta::Nothing, answer);
        match what {
            Operation::Create { path, data, ephemeral } => {
                if self.znodes.contains_key(path) {
                    return refused(Answer::NodeExists);
                }
                match parent(path).map(|parent| self.znodes.get(parent)) {
                    Some(None) => return refused(Answer::NoNode),
                    Some(Some(parent)) if parent.owner.is_some() => {
                        return refused(Answer::NoChildren);
                    }
                    _ => {}
                }
                let owner = ephemeral.then_some(client);
                let (created, modified, data) = (zxid, zxid, data.clone());
                let znode = Znode { data, version: 0, created, modified, owner };
                (Delta::Put(path.clone(), znode), Answer::Done)
            }
            Operation::Set { path, data } => match self.znodes.get(path) {
                None => refused(Answer::NoNode),
                Some(before) => {
                    let (data, version) = (data.clone(), before.version + 1);
                    let znode = Znode { data, version, modified: zxid, ..before.clone() };
                    (Delta::Put(path.clone(), znode), Answer::Done)
                }
            },
            Operation::Delete { path } if !self.znodes.contains_key(path) => {
                refused(Answer::NoNode)
            }
            Operation::Delete { path } if self.has_children(path) => refused(Answer::NotEmpty),
            Operation::Delete { path } => (Delta::Remove(path.clone()), Answer::Done),
            Operation::Close => (Delta::End(client), Answer::Done),
            Operation::Get { .. } | Operation::Watch { .. } => {
                unreachable!("reads are no transactions")
            }
        }
    }

    /// Delivers the next transaction.
    pub(super) fn apply(&mut self, txn: &Txn) {
        match &txn.delta {
            Delta::Nothing => {}
            Delta::Put(path, znode) => {
                self.znodes.insert(path.clone(), znode.clone());
                self.changed.insert(path.clone(), txn.zxid);
            }
            Delta::Remove(path) => self.remove(path, txn.zxid),
            Delta::End(client) => {
                let is_his = |one: &(&Text, &Znode)| one.1.owner == Some(*client);
                let gone: Vec<Text> =
                    self.znodes.iter().filter(is_his).map(|(path, _)| path.clone()).collect();
                gone.iter().for_each(|path| self.remove(path, txn.zxid));
            }
        }
        if let Some(request) = txn.request {
            let client = request.client.index();
            if self.clients.len() <= client {
                self.clients.resize(client + 1, None);
            }
            self.clients[client] = Some((request.number, txn.answer.clone(), txn.zxid));
        }
        self.zxid = txn.zxid;
        self.count += 1;
        self.digest = StableHasher::hash(&(self.digest, txn));
    }

    fn remove(&mut self, path: &Text, zxid: Zxid) {
        self.znodes.remove(path);
        self.changed.insert(path.clone(), zxid);
    }

    fn has_children(&self, path: &Text) -> bool {
        self.znodes.keys().any(|other| parent(other) == Some(path.as_str()))
    }

    /// The latest request of a client, and what it was answered.
    pub(super) fn latest(&self, request: RequestId) -> Option<&(u32, Answer, Zxid)> {
        self.clients.get(request.client.index()).and_then(Option::as_ref)
    }

    /// Whether a path has changed after a transaction.
    pub(super) fn has_changed(&self, path: &Text, after: Zxid) -> bool {
        self.changed.get(path).is_some_and(|zxid| after < *zxid)
    }

    /// The clients with ephemeral znodes.
    pub fn owners(&self) -> impl Iterator<Item = ClientId> {
        self.znodes.values().filter_map(|znode| znode.owner)
    }

    /// What is at a path.
    pub fn get(&self, path: &str) -> Option<&Znode> {
        self.znodes.get(path)
    }

    /// The last transaction that was delivered.
    pub fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// How many were, and a digest of all of them.
    pub fn delivered(&self) -> (u64, u64) {
        (self.count, self.digest)
    }
}

/// The path above; none above the first level.
fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent).filter(|parent| !parent.is_empty())
}
