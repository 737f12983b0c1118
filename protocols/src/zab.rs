//! Zab (Junqueira, Reed and Serafini, *Zab: High-performance broadcast for primary-backup systems*,
//! DSN 2011, cited by section), with fast leader election and synchronisation as `ZooKeeper` has
//! them (Medeiros, *`ZooKeeper`'s atomic broadcast protocol*, 2012; Hunt, Konar, Junqueira, Reed,
//! *`ZooKeeper`: Wait-free coordination for Internet-scale systems*, USENIX ATC 2010, cited as ZK),
//! and a small `ZooKeeper` on it.
//!
//! *Problem.* Servers keep a tree of znodes. Every server answers reads by itself; updates go
//! through a leader, which says what each comes to, so that whoever delivers its transactions must
//! deliver all before them, too.
//!
//! *Model.* Links `FairLoss`; nodes `CrashRecovery`, any number for safety, fewer than `n / 2` down
//! at a time for progress; timing `Asynchronous` for safety, `PartiallySynchronous` for progress.
//!
//! *Idea.* A transaction is named by the epoch of its leader and a counter, its *zxid*. Servers
//! elect the one whose last epoch was the latest, and then whose history is the longest (*phase
//! 0*). It learns of a quorum in which epochs they may still follow somebody, and begins a later
//! one (*discovery*). It brings each follower's history into line with its own, which has all that
//! was committed (*synchronisation*). Once a quorum has it, all of it is committed, and it proposes
//! transactions, which a quorum makes durable and which all deliver in order (*broadcast*). So a
//! history is determined by its last zxid.
//!
//! *Properties*, guarded by [`invariants`] but for the last six:
//! - Z1 Prefix: two servers that have a transaction have the same transactions before it (sections
//!   3 and 6: total order, local and global primary order);
//! - Z2 Agreement: the servers deliver the same transactions in the same order;
//! - Z3 Primary integrity: whoever begins to broadcast in an epoch has all that was delivered
//!   before;
//! - Z4 an epoch has one leader that broadcasts;
//! - Z5 it begins to once a quorum has accepted its history (phase 2, synchronisation);
//! - Z6 Promises are kept: whoever has promised an epoch (*f.p*) follows no earlier one, crash or
//!   no crash (phases 1 and 2);
//! - Z7 Discovery: whoever begins an epoch has promises of a quorum, none of whom has a better
//!   history (phase 1);
//! - Z8 Sessions: one that a leader ends was silent for as long as it may last (ZK 2.2);
//! - S1 updates are linearizable;
//! - S2 the reads of a client never go back, and it sees its own updates: reads are sequentially
//!   consistent (ZK 2.3: linearizable writes, FIFO client order);
//! - S3 once a session was closed, its ephemeral znodes are gone;
//! - S4 each answer is what the transactions before it come to, once each;
//! - L1 with a quorum up and connected for a while, operations complete;
//! - L2 the ephemeral znodes of a client that is silent go away.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Notification`](Message::Notification) | server | all | my vote, my round, what I am |
//! | [`FollowerInfo`](Message::FollowerInfo) | follower | leader | I follow; my epoch (`CEPOCH`) |
//! | [`Stream`](Message::Stream) | leader | follower | the next message of a [`Payload`] |
//! | [`AckEpoch`](Message::AckEpoch) | follower | leader | agreed; my last zxid (`ACK-E`) |
//! | [`AckNewLeader`](Message::AckNewLeader) | follower | leader | I have your history (`ACK-LD`) |
//! | [`Ack`](Message::Ack) | follower | leader | I have all up to this transaction, durably |
//! | [`Ping`](Message::Ping) | leader | follower | I am here |
//! | [`Received`](Message::Received) | follower | leader | I am here; what arrived, who asked me |
//!
//! *Journal records* ([`Record`]), each synced before anything is said of it.
//!
//! *Deviations*
//! - Election is `ZooKeeper`'s, and so is discovery: the leader has the best history by its
//!   election, and steps down where a follower has a better one; in the paper (phase 1) it takes
//!   over the best of a quorum.
//! - A leader that hears from a follower which has promised a later epoch than its own steps down,
//!   and the next epoch is later than that. In the paper, and in `ZooKeeper`, such a follower, left
//!   by an attempt to lead that failed, can follow nobody until the leader fails.
//! - A follower's history is brought into line by what it lacks, after what it has too much was
//!   cut off, or by a snapshot; in the paper it is replaced.
//! - The paper's channels are first-in-first-out; `channel` makes them so.
//! - Retries are recognised by a table in the tree; `ZooKeeper` leaves them to its clients.
//! - A watch is a request that is answered when the znode changes; a client that is not answered
//!   sets it again, with what it has seen (`ZooKeeper` does so when it connects anew).
//! - A client's session begins with its first update, and again after its end.
//!
//! *What a client must do.* Ask any server to read, saying what it has seen last; ask the leader,
//! which others name, for updates; ask again under the same number.
//!
//! *Reading map*
//!
//! | paper | here |
//! |---|---|
//! | phase 0, election | `election` |
//! | phases 1 to 3, the leader (algorithms 1, 2, 3, left) | `leader` |
//! | the follower (right) | `follower` |
//! | section 2, channels | `channel` |
//! | ZK 2.2 to 4.2, the tree | `tree` |

mod channel;
mod election;
mod follower;
mod history;
mod invariants;
mod leader;
mod tree;

use election::Election;
use follower::Follower;
use leader::Leader;
use seedfall_sim::{ClientId, Context, Duration, NodeId, Protocol, RequestId};
use std::sync::Arc;

pub use channel::Connection;
pub use election::{Standing, Vote};
pub use history::{Epoch, History, Txn, Zxid};
pub use invariants::{Invariants, invariants};
pub use tree::{Answer, Delta, Operation, Tree, Znode};

/// The parameters, equal on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// How often a server says that it is there, and repeats what may be lost.
    pub interval: Duration,
    /// How long it waits for somebody better, once a quorum wants the same leader.
    pub decide_after: Duration,
    /// After how long without a word from its leader, or from a quorum of followers, a server looks
    /// for a leader.
    pub timeout: Duration,
    /// After how long without a word from its client a session ends.
    pub session_timeout: Duration,
    /// After how many transactions a server makes a snapshot.
    pub snapshot_after: usize,
}

/// What nodes send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// Whom the sender wants to lead.
    Notification {
        /// In which round of elections.
        round: u32,
        /// Whom.
        vote: Vote,
        /// What it is.
        standing: Standing,
    },
    /// The sender follows.
    FollowerInfo {
        /// By which attempt: it has no other of this number.
        attempt: u64,
        /// It follows nobody of an earlier epoch.
        promised: Epoch,
    },
    /// From the leader, in order.
    Stream {
        /// Over which connection.
        connection: Connection,
        /// Which message.
        number: u32,
        /// What it says.
        payload: Payload,
    },
    /// The epoch is agreed.
    AckEpoch {
        /// Over which connection.
        connection: Connection,
        /// Whether the sender had not agreed to it before, to somebody else perhaps.
        is_new: bool,
        /// The epoch of its last leader.
        current: Epoch,
        /// The last transaction of its history.
        last: Zxid,
    },
    /// The sender has the leader's history, durably.
    AckNewLeader {
        /// Over which connection.
        connection: Connection,
    },
    /// The sender has all up to this transaction, durably.
    Ack {
        /// Over which connection.
        connection: Connection,
        /// Which.
        zxid: Zxid,
    },
    /// The leader is there.
    Ping {
        /// Over which connection.
        connection: Connection,
    },
    /// The follower is there.
    Received {
        /// Over which connection.
        connection: Connection,
        /// All messages before this one have arrived.
        next: u32,
        /// These clients have asked it for something.
        clients: Vec<ClientId>,
    },
}

/// What a leader tells a follower, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Payload {
    /// The epoch that it wants to begin (`NEWEPOCH`).
    NewEpoch(Epoch),
    /// What the follower has after this transaction goes, and these come (`TRUNC`, `DIFF`).
    Diff(Zxid, Vec<Txn>),
    /// All that it has goes, and this comes (`SNAP`, `DIFF`).
    Snapshot(Arc<Tree>, Vec<Txn>),
    /// That is the history of the epoch (`NEWLEADER`).
    NewLeader(Epoch),
    /// The next transaction.
    Propose(Txn),
    /// All up to this one is committed.
    Commit(Zxid),
    /// So is this, and clients may be answered (`COMMIT-LD`, `UPTODATE`).
    UpToDate(Zxid),
}

/// A node's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// Time to say again what may be lost.
    Interval,
    /// A quorum wants the same leader, and nobody better was heard of.
    Decide,
    /// The leader, or a quorum, is silent.
    Timeout,
}

/// What a node writes to its journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Record {
    /// It has begun a life: connections of another are over.
    Started,
    /// It follows nobody of an earlier epoch than this (`f.p`).
    Promised(Epoch),
    /// It has the history of the leader of this epoch (`f.a`).
    Current(Epoch),
    /// It has accepted this, after those before.
    Accepted(Txn),
    /// What comes after this is gone.
    Truncated(Zxid),
    /// Its own transactions up to that of this tree are this tree.
    Compacted(Arc<Tree>),
    /// All that it had is gone, and this is there.
    Installed(Arc<Tree>),
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Request(pub Operation);

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Response {
    /// The answer.
    Done {
        /// What it is.
        answer: Answer,
        /// Of an update: its transaction. Of a read: the last one that the server had delivered.
        zxid: Zxid,
    },
    /// This node did nothing: ask that one, if it knows whom.
    Elsewhere(Option<NodeId>),
}

/// What a server is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Role {
    Looking(Election),
    Following(Follower),
    Leading(Leader),
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    id: NodeId,
    nodes: usize,
    config: Config,
    /// How often it has started, and how often it came to follow or lead in this life.
    lives: u32,
    terms: u32,
    /// `f.p`: it follows nobody of an earlier epoch.
    promised: Epoch,
    /// `f.a`: the epoch of the last leader whose history it has.
    current: Epoch,
    /// `h.f`: what it has accepted.
    history: History,
    /// What it has delivered.
    tree: Tree,
    /// The round of elections.
    round: u32,
    role: Role,
    /// Who waits for a change of a path after a transaction.
    watches: Vec<(RequestId, crate::kv::Text, Zxid)>,
}

impl Protocol for Server {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        config.check();
        let (mut history, mut lives, mut promised, mut current) = (History::default(), 0, 0, 0);
        for record in journal.iter().cloned() {
            match record {
                Record::Started => lives += 1,
                Record::Promised(epoch) => promised = epoch,
                Record::Current(epoch) => current = epoch,
                Record::Accepted(txn) => history.push(txn),
                Record::Truncated(zxid) => history.truncate(zxid),
                Record::Compacted(tree) => history.compact(tree),
                Record::Installed(tree) => history = History::from(tree),
            }
        }
        let vote = Vote { epoch: current, zxid: history.last(), leader: id };
        let mut server = Self {
            id,
            nodes: ctx.nodes(),
            config: *config,
            lives,
            terms: 0,
            promised,
            current,
            tree: Tree::clone(history.base()),
            history,
            round: 0,
            role: Role::Looking(Election::of(id, vote)),
            watches: Vec::new(),
        };
        ctx.append(Record::Started);
        ctx.sync();
        ctx.set_timer(Timer::Interval, config.interval);
        server.look(ctx);
        server
    }

    fn on_request(&mut self, request: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        let leads = match &mut self.role {
            Role::Looking(_) => return ctx.respond(request, Response::Elsewhere(None)),
            Role::Following(follower) => {
                follower.has_heard(request.client);
                if !follower.is_up_to_date() {
                    return ctx.respond(request, Response::Elsewhere(None));
                }
                if body.0.is_update() {
                    return ctx.respond(request, Response::Elsewhere(Some(follower.leader)));
                }
                false
            }
            Role::Leading(leader) => {
                leader.has_heard(request.client, ctx.now());
                if !leader.is_established() {
                    return ctx.respond(request, Response::Elsewhere(None));
                }
                true
            }
        };
        match body.0 {
            Operation::Get { path, seen } => self.on_get(request, &path, seen, ctx),
            Operation::Watch { path, seen } => self.on_watch(request, path, seen, ctx),
            update => {
                assert!(leads, "others were sent to the leader");
                self.on_update(request, &update, ctx);
            }
        }
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match message {
            Message::Notification { round, vote, standing } => {
                self.on_notification(from, (round, vote, standing), ctx);
            }
            Message::Stream { connection, number, payload } => {
                self.on_stream(from, connection, number, payload, ctx);
            }
            Message::Ping { connection } => self.on_ping(from, connection, ctx),
            Message::FollowerInfo { attempt, promised } => {
                self.on_follower_info(from, attempt, promised, ctx);
            }
            Message::AckEpoch { connection, is_new, current, last } => {
                self.on_ack_epoch(from, connection, is_new, (current, last), ctx);
            }
            Message::AckNewLeader { connection } => {
                self.on_ack_new_leader(from, connection, ctx);
            }
            Message::Ack { connection, zxid } => self.on_ack(from, connection, zxid, ctx),
            Message::Received { connection, next, clients } => {
                self.on_received(from, connection, next, &clients, ctx);
            }
        }
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) {
        match timer {
            Timer::Interval => {
                ctx.set_timer(Timer::Interval, self.config.interval);
                match &self.role {
                    Role::Looking(_) => self.notify_all(ctx),
                    Role::Following(follower) => follower.say_again(ctx),
                    Role::Leading(_) => self.on_leader_interval(ctx),
                }
            }
            Timer::Decide => self.decide(ctx),
            Timer::Timeout => {
                ctx.reach("timeout: a leader or a quorum is silent");
                self.look(ctx);
            }
        }
    }

    /// Who leads is whoever broadcasts.
    fn is_leader(&self) -> bool {
        matches!(&self.role, Role::Leading(leader) if leader.is_established())
    }

    fn waits(&self) -> String {
        match &self.role {
            Role::Looking(election) => format!("for a leader: {election}"),
            Role::Following(follower) => follower.to_string(),
            Role::Leading(leader) => leader.to_string(),
        }
    }
}

/// What every server does.
impl Server {
    /// ZK 2.3: reads are local, and never older than what the client has seen.
    fn on_get(&self, request: RequestId, path: &str, seen: Zxid, ctx: &mut Context<'_, Self>) {
        if self.tree.zxid() < seen {
            ctx.reach("read: this server is behind what the client has seen");
            return ctx.respond(request, Response::Elsewhere(None));
        }
        let answer = Answer::Node(self.tree.get(path).cloned());
        ctx.respond(request, Response::Done { answer, zxid: self.tree.zxid() });
    }

    /// ZK 2.1: a watch is answered once, when the znode has changed.
    fn on_watch(
        &mut self,
        request: RequestId,
        path: crate::kv::Text,
        seen: Zxid,
        ctx: &mut Context<'_, Self>,
    ) {
        if !self.watches.iter().any(|(id, ..)| *id == request) {
            self.watches.push((request, path, seen));
        }
        self.answer_watches(ctx);
    }

    fn answer_watches(&mut self, ctx: &mut Context<'_, Self>) {
        let (tree, zxid) = (&self.tree, self.tree.zxid());
        self.watches.retain(|(request, path, seen)| {
            // A server that is behind must not say that something is new, or is not.
            let fires = *seen <= zxid && tree.has_changed(path, *seen);
            if fires {
                ctx.reach("watch: a znode has changed");
                ctx.respond(*request, Response::Done { answer: Answer::Changed, zxid });
            }
            !fires
        });
    }

    /// Has a transaction from now on, durably once that is synced.
    fn accept(&mut self, txn: Txn, ctx: &mut Context<'_, Self>) {
        ctx.append(Record::Accepted(txn.clone()));
        self.history.push(txn);
    }

    /// Delivers everything up to a transaction.
    fn deliver(&mut self, zxid: Zxid, ctx: &mut Context<'_, Self>) {
        let leads = matches!(self.role, Role::Leading(_));
        let delivered = self.tree.zxid();
        for txn in self.history.after(delivered).iter().take_while(|txn| txn.zxid <= zxid) {
            self.tree.apply(txn);
            if let Some(request) = txn.request.filter(|_| leads) {
                let (answer, zxid) = (txn.answer.clone(), txn.zxid);
                ctx.respond(request, Response::Done { answer, zxid });
            }
        }
        if delivered == self.tree.zxid() {
            return;
        }
        self.answer_watches(ctx);
        let older = self.history.txns().len() - self.history.after(self.tree.zxid()).len();
        if self.config.snapshot_after <= older {
            let tree = Arc::new(self.tree.clone());
            ctx.append(Record::Compacted(Arc::clone(&tree)));
            self.history.compact(tree);
        }
    }

    /// A number for an attempt to follow, or a reign, that no other has: above zero.
    fn next_term(&mut self) -> u64 {
        self.terms += 1;
        u64::from(self.lives) << 32 | u64::from(self.terms)
    }

    fn quorum(&self) -> usize {
        self.nodes / 2 + 1
    }
}

/// What reports and scenarios ask of a server.
impl Server {
    /// What it has accepted.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What it has delivered.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The epoch whose history it has (the paper's *f.a*).
    pub fn current_epoch(&self) -> Epoch {
        self.current
    }

    /// The epoch that it has begun with the agreement of a quorum, if it leads.
    fn agreed(&self) -> Option<Epoch> {
        match &self.role {
            Role::Leading(leader) if leader.is_agreed() => Some(self.current),
            _ => None,
        }
    }

    /// The epoch in which it broadcasts, if it leads.
    pub fn broadcasts(&self) -> Option<Epoch> {
        self.is_leader().then_some(self.current)
    }
}

impl Config {
    fn check(&self) {
        assert!(Duration::ZERO < self.interval, "interval must be above zero");
        assert!(self.interval < self.timeout, "timeout must outlast an interval");
        assert!(self.timeout < self.session_timeout, "a session must outlast a timeout");
        assert!(0 < self.snapshot_after, "snapshot_after must be at least one");
    }
}
