//! Log compaction (section 7): a server replaces the applied entries by the state that they led
//! to, and a leader sends that state to a follower whose next entry is gone.

use super::log::{Entry, Log, LogIndex, Term};
use super::membership::{Configuration, Configurations};
use super::state::{Durable, Machine, Role, Session};
use super::{Message, Outcome, Raft, Record};
use crate::kv::Text;
use seedfall_sim::{ClientId, Context, NodeId};
use std::sync::Arc;

/// Where a snapshot stands, and all of it that is small.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Head {
    /// The last entry that it replaces (`lastIncludedIndex`).
    pub last_index: LogIndex,
    /// The term of that entry (`lastIncludedTerm`).
    pub last_term: Term,
    /// The digest of the log up to there.
    pub digest: u64,
    /// The digest of all answers up to there.
    pub answers: u64,
    /// The configuration in force there (section 7: the latest in the log as of that entry).
    pub configuration: Configuration,
    /// Where it stood in the log.
    pub configured_at: LogIndex,
}

/// One item of the state machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Item {
    /// A key of the store with its value.
    Pair(Text, Text),
    /// A client's session: without it, a retry after the snapshot would take effect again.
    Session(ClientId, Session),
}

/// The state machine after some entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Snapshot {
    /// Which entry.
    pub head: Head,
    /// The pairs in the order of their keys, then the sessions in the order of their clients:
    /// equal for all servers.
    pub items: Vec<Item>,
}

/// A part of a snapshot on its way (Figure 13, with items for bytes).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Chunk {
    /// Of which snapshot.
    pub head: Head,
    /// How many items come before it.
    pub offset: usize,
    /// The items.
    pub items: Vec<Item>,
    /// True if it is the last part.
    pub done: bool,
}

/// All that a server must not forget, in one record: it is on disk whole or not at all, so a crash
/// cannot fall between the snapshot and the entries that are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Checkpoint {
    /// `currentTerm`.
    pub term: Term,
    /// `votedFor`.
    pub voted_for: Option<NodeId>,
    /// What replaces the first entries.
    pub snapshot: Arc<Snapshot>,
    /// The entries after them.
    pub entries: Vec<Entry>,
}

/// A snapshot that a leader is sending to one follower.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Outgoing {
    snapshot: Arc<Snapshot>,
    /// How many items the follower is known to hold.
    offset: usize,
}

/// A snapshot of which a follower holds the first items, in memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Incoming {
    head: Head,
    items: Vec<Item>,
}

impl Outgoing {
    /// The last entry that the snapshot replaces.
    pub(super) fn last_index(&self) -> LogIndex {
        self.snapshot.head.last_index
    }
}

impl Durable {
    /// Begins anew from a checkpoint.
    pub(super) fn restore(checkpoint: &Checkpoint) -> Self {
        let Checkpoint { term, voted_for, snapshot, entries } = checkpoint;
        let Head { last_index, last_term, digest, configuration, configured_at, .. } =
            snapshot.head;
        let mut durable = Self {
            term: *term,
            voted_for: *voted_for,
            log: Log::after(last_index, last_term, digest),
            configurations: Configurations::new(configured_at, configuration),
            snapshot: Some(Arc::clone(snapshot)),
        };
        for entry in entries {
            durable.push(entry.clone());
        }
        durable
    }
}

impl Raft {
    /// Section 7: each server takes snapshots by itself, of committed entries only, once the log
    /// has grown by a fixed number.
    pub(super) fn take_snapshot(&mut self, ctx: &mut Context<'_, Self>) {
        let (log, last_index) = (&self.durable.log, self.applied);
        let applied = "what was applied just now is in the log";
        let (configured_at, configuration) = self.durable.configurations.at(last_index);
        let head = Head {
            last_index,
            last_term: log.term_at(last_index).expect(applied),
            digest: log.digest_at(last_index).expect(applied),
            answers: self.machine.digest(),
            configuration: *configuration,
            configured_at,
        };
        tracing::debug!(node = %self.id, %last_index, "takes a snapshot");
        ctx.reach("snapshot: taken");
        self.durable.log.compact(last_index);
        self.durable.configurations.compact(last_index);
        self.durable.snapshot = Some(Arc::new(Snapshot { head, items: self.machine.items() }));
        self.persist_checkpoint(ctx);
    }

    /// Writes down everything, in one record.
    fn persist_checkpoint(&mut self, ctx: &mut Context<'_, Self>) {
        let Durable { term, voted_for, log, snapshot, .. } = &self.durable;
        let snapshot = Arc::clone(snapshot.as_ref().expect("a checkpoint has a snapshot"));
        let entries = log.entries().to_vec();
        let checkpoint = Checkpoint { term: *term, voted_for: *voted_for, snapshot, entries };
        ctx.append(Record::Snapshot(Arc::new(checkpoint)));
        ctx.sync();
    }

    /// Section 7: a follower whose next entry the leader has discarded gets the snapshot, part by
    /// part. The part that is under way is sent again with every round.
    pub(super) fn send_chunk(&mut self, to: NodeId, ctx: &mut Context<'_, Self>) {
        let Role::Leader(leader) = &mut self.role else { return };
        let latest = self.durable.snapshot.as_ref().expect("a log with a base has a snapshot");
        let begin = || Outgoing { snapshot: Arc::clone(latest), offset: 0 };
        // A transfer that has begun goes on with its snapshot, even if there is a newer one by now.
        let Outgoing { snapshot, offset } = leader.outgoing[to.index()].get_or_insert_with(begin);
        let end = snapshot.items.len().min(*offset + self.config.snapshot_chunk);
        let chunk = Arc::new(Chunk {
            head: snapshot.head.clone(),
            offset: *offset,
            items: snapshot.items[*offset..end].to_vec(),
            done: end == snapshot.items.len(),
        });
        if *offset > 0 {
            ctx.reach("snapshot: a second chunk was sent");
        }
        let (term, round) = (self.durable.term, leader.round);
        ctx.send(to, Message::InstallSnapshot { term, chunk, round });
    }

    /// The follower holds so many items of a snapshot: on to the next ones.
    pub(super) fn on_chunk_stored(
        &mut self,
        from: NodeId,
        last_index: LogIndex,
        items: usize,
        ctx: &mut Context<'_, Self>,
    ) {
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(outgoing) = &mut leader.outgoing[from.index()] else {
            return ctx.ignore("install snapshot reply: nothing is being sent");
        };
        if outgoing.snapshot.head.last_index != last_index || outgoing.offset == items {
            return ctx.ignore("install snapshot reply: not about the part that is under way");
        }
        // Less than before, if the follower crashed and holds nothing any more.
        outgoing.offset = items.min(outgoing.snapshot.items.len());
        self.send_chunk(from, ctx);
    }

    /// `InstallSnapshot`, receiver (Figure 13).
    pub(super) fn on_install_snapshot(
        &mut self,
        from: NodeId,
        term: Term,
        chunk: &Chunk,
        round: u64,
        ctx: &mut Context<'_, Self>,
    ) {
        if self.follow(from, term, round, ctx) {
            let outcome = self.receive_chunk(chunk, ctx);
            ctx.send(from, Message::AppendReply { term, outcome, round });
        }
    }

    /// Steps 2 to 5: keep the parts until the snapshot is whole.
    fn receive_chunk(&mut self, chunk: &Chunk, ctx: &mut Context<'_, Self>) -> Outcome {
        let last_index = chunk.head.last_index;
        if last_index <= self.commit {
            // A late or doubled message: to go back to it would forget what was applied since.
            ctx.reach("snapshot: one came that is older than what is applied");
            return Outcome::Matched(last_index);
        }
        let begin = || Incoming { head: chunk.head.clone(), items: Vec::new() };
        let incoming = match &mut self.incoming {
            Some(incoming) if incoming.head == chunk.head => incoming,
            other => other.insert(begin()),
        };
        let expected = chunk.offset == incoming.items.len();
        if expected {
            incoming.items.extend_from_slice(&chunk.items);
        }
        if !(expected && chunk.done) {
            return Outcome::Chunk { last_index, items: incoming.items.len() };
        }
        let Incoming { head, items } = self.incoming.take().expect("it was filled just now");
        self.install(Snapshot { head, items }, ctx);
        Outcome::Matched(last_index)
    }

    /// Steps 6 to 8: what the log has after the snapshot's last entry is kept, if it has that
    /// entry; otherwise all of it is discarded. Then the state machine begins anew.
    fn install(&mut self, snapshot: Snapshot, ctx: &mut Context<'_, Self>) {
        let Head { last_index, last_term, digest, configuration, configured_at, .. } =
            snapshot.head;
        tracing::debug!(node = %self.id, %last_index, "installs a snapshot");
        if self.durable.log.term_at(last_index) == Some(last_term) {
            ctx.reach("snapshot: installed, and the entries after it kept");
            self.durable.log.compact(last_index);
            self.durable.configurations.compact(last_index);
        } else {
            ctx.reach("snapshot: installed by a follower that lagged behind");
            self.durable.log = Log::after(last_index, last_term, digest);
            self.durable.configurations = Configurations::new(configured_at, configuration);
        }
        self.machine = Machine::restore(&snapshot);
        self.durable.snapshot = Some(Arc::new(snapshot));
        (self.commit, self.applied) = (last_index, last_index);
        self.persist_checkpoint(ctx);
    }
}
