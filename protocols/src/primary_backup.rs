//! Primary-backup replication with leader epochs and an in-sync set, as Kafka has it (Wang et al.,
//! *Building a Replicated Logging System with Apache Kafka*, VLDB 2015; KIP-101, *Alter replication
//! protocol to use leader epoch rather than high watermark for truncation*, 2017; KIP-279, *Fix log
//! divergence between leader and follower after fast leader fail over*, 2018), after Alsberg and
//! Day, *A Principle for Resilient Sharing of Distributed Resources*, ICSE 1976; "view service"
//! after Budhiraja, Marzullo, Schneider and Toueg, *The Primary-Backup Approach*, 1993.
//!
//! *Problem.* A key-value store is kept by a primary and its backups, one of whom takes over when
//! it fails; as long as one that is in sync is left, nothing that was answered is lost.
//!
//! *Model.* Links `FairLoss`; nodes `CrashRecovery`; timing `Asynchronous` for safety: no clock is
//! trusted. The controller (the first node) comes back after a crash, and is alone; Kafka's is
//! replicated.
//!
//! *Idea.* The controller says who leads which *epoch*, and who is *in sync*. The primary of an
//! epoch appends what clients ask to its log, and its backups copy that. What all have who are in
//! sync is committed. If one of them is silent, the primary asks the controller to take it out; if
//! the primary is, the controller makes another the primary of the next epoch, who is in sync and
//! so has all that was committed. A backup that comes to an epoch cuts off what its primary does
//! not have: where its own last epoch ends there, it asks; it cannot know from what it knows to be
//! committed, which may be less than what is.
//!
//! *Synchronous or asynchronous* ([`Config::acks`]): a client is answered once all in sync have its
//! request, or as soon as the primary has; then a failover loses what was answered.
//!
//! *Properties*, guarded by [`invariants`] but for the last three:
//! - P1 One log an epoch: two replicas have the same at the same place, if it is of one epoch;
//! - P2 Agreement: what is committed is the same at all replicas, in the same order;
//! - P3 Durability: whoever becomes the primary has all that was committed;
//! - P4 In line, with [`Truncation::Epoch`]: a backup that has cut its log has one log with the
//!   primary of its epoch, and what the primary counts on;
//! - P5 Epochs only rise: a replica that crashed takes part in no epoch before the one it was in;
//! - S1 the history of the clients is linearizable;
//! - L1 with the controller and a replica in sync up and connected for a while, operations
//!   complete;
//! - L2 in the end every replica has what is committed.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Alive`](Message::Alive) | replica | controller | here I am, in this epoch |
//! | [`Change`](Message::Change) | primary | controller | these are in sync (`AlterPartition`) |
//! | [`View`](Message::View) | controller | replica | the epoch, its primary, who is in sync |
//! | [`Follow`](Message::Follow) | backup | primary | where does my last epoch end with you? |
//! | [`EndsAt`](Message::EndsAt) | primary | backup | there |
//! | [`Append`](Message::Append) | primary | backup | the next entries; so many are committed |
//! | [`Have`](Message::Have) | backup | primary | so many I have, durably |
//!
//! *Journal records* ([`Record`]), each synced before anything is said of it, but for
//! [`Committed`](Record::Committed).
//!
//! *Deviations*
//! - Entries are synced before they are acknowledged. Kafka leaves that to the system, and to the
//!   other replicas; the last one that is in sync may lose what it has answered (KIP-966).
//! - The primary sends, in Kafka backups fetch. There is no least number in sync.
//! - Each change of who is in sync begins an epoch. Whoever is to be in sync must have all from the
//!   moment on at which the primary asks for it (KIP-497: "the maximal ISR").
//! - A primary that was down commits nothing before a new epoch: it does not know any more what it
//!   had asked for.
//! - An answer to where an epoch ends is of the life in which the backup asked: one that comes
//!   late, after a crash, would cut off what the backup has acknowledged since. (Kafka asks over a
//!   connection, which ends with the life.)
//! - Reads go through the log; asynchronously, the primary answers them by itself.
//!
//! *What a client must do.* Ask the primary, which others name; ask again under the same number.
//!
//! *Reading map*
//!
//! | source | here |
//! |---|---|
//! | the controller | `controller` |
//! | the in-sync set (VLDB 2015, 4.3) | `replica`: `advance`, `look_at_backups` |
//! | KIP-101, the problem | [`Truncation::HighWatermark`] |
//! | KIP-101 and KIP-279, `OffsetForLeaderEpoch` | `replica`: `on_follow`, `on_ends_at` |

mod controller;
mod invariants;
mod replica;

use crate::kv;
use crate::machine::Update;
use controller::Controller;
use replica::Replica;
use seedfall_sim::{Context, Duration, NodeId, Protocol, RequestId};

pub use invariants::{Invariants, invariants};

/// The parameters, equal on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// How often a replica says that it is alive and how much it has.
    pub interval: Duration,
    /// After how long without a word the primary has a backup taken out, and the controller
    /// replaces a primary.
    pub remove_after: Duration,
    /// When a client is answered.
    pub acks: Acks,
    /// What a backup cuts off.
    pub truncation: Truncation,
}

/// When a client is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Acks {
    /// Once all who are in sync have its request.
    InSync,
    /// Once the primary has it: asynchronous.
    Primary,
}

/// What a backup cuts off that comes to an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Truncation {
    /// What the primary does not have, which it asks.
    Epoch,
    /// Whatever it does not know to be committed: as Kafka did before KIP-101.
    HighWatermark,
}

/// The node that says who leads, and keeps no log.
pub const CONTROLLER: NodeId = NodeId::new(0);

/// Counts the views.
pub type Epoch = u32;

/// Who leads an epoch, and who is in sync.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct View {
    /// Which.
    pub epoch: Epoch,
    /// Who leads it.
    pub primary: NodeId,
    /// Who has all that is committed; the primary is one of them.
    pub in_sync: Vec<NodeId>,
}

/// What stands in a log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Entry {
    /// Whose primary has put it there.
    pub epoch: Epoch,
    /// What.
    pub update: Update,
}

/// What nodes send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// A replica is up.
    Alive {
        /// In which epoch it is.
        epoch: Epoch,
    },
    /// The primary wants another set to be in sync.
    Change {
        /// Of which epoch it is the primary.
        epoch: Epoch,
        /// Which set.
        in_sync: Vec<NodeId>,
    },
    /// How it is.
    View(View),
    /// Where does an epoch end with the primary?
    Follow {
        /// In which epoch the sender is.
        epoch: Epoch,
        /// Which, the last of its own log.
        last: Epoch,
        /// In which of its lives the sender asks.
        life: u32,
    },
    /// To that.
    EndsAt {
        /// In which epoch the sender is.
        epoch: Epoch,
        /// The last epoch of the primary's log up to the one that was asked for.
        last: Epoch,
        /// So many entries there are up to its end.
        at: usize,
        /// In which of its lives the backup asked.
        life: u32,
    },
    /// The next entries.
    Append {
        /// In which epoch the sender is.
        epoch: Epoch,
        /// So many come before.
        after: usize,
        /// Which.
        entries: Vec<Entry>,
        /// So many are committed.
        commit: usize,
    },
    /// So many the sender has of the primary's.
    Have {
        /// In which epoch the sender is.
        epoch: Epoch,
        /// How many.
        count: usize,
    },
}

/// A node's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// Time to look who is alive, or to say so.
    Interval,
}

/// What a node writes to its journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Record {
    /// A replica has begun a life.
    Started,
    /// That is the view.
    View(View),
    /// A replica has this, after those before.
    Entry(Entry),
    /// It has cut off all but so many.
    Truncated(usize),
    /// So many are committed: not forced, as it is learned again.
    Committed(usize),
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Request(pub kv::Command);

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Response {
    /// It took effect; the answer.
    Done(kv::Answer),
    /// This node did nothing: ask that one, if it knows whom.
    Elsewhere(Option<NodeId>),
}

/// A node: the controller, or a replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// The first.
    Controller(Controller),
    /// The others.
    Replica(Replica),
}

impl Protocol for Node {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        config.check();
        match id {
            CONTROLLER => Self::Controller(Controller::start(config, journal, ctx)),
            _ => Self::Replica(Replica::start(id, config, journal, ctx)),
        }
    }

    fn on_request(&mut self, id: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        match self {
            Self::Controller(controller) => {
                ctx.respond(id, Response::Elsewhere(Some(controller.view().primary)));
            }
            Self::Replica(replica) => replica.on_request(id, body.0, ctx),
        }
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match (self, message) {
            (Self::Controller(controller), Message::Alive { epoch }) => {
                controller.on_alive(from, epoch, ctx);
            }
            (Self::Controller(controller), Message::Change { epoch, in_sync }) => {
                controller.on_change(from, epoch, in_sync, ctx);
            }
            (Self::Replica(replica), Message::View(view)) => replica.on_view(view, ctx),
            (Self::Replica(replica), Message::Follow { epoch, last, life }) => {
                replica.on_follow(from, (epoch, life), last, ctx);
            }
            (Self::Replica(replica), Message::EndsAt { epoch, last, at, life }) => {
                replica.on_ends_at((epoch, life), last, at, ctx);
            }
            (Self::Replica(replica), Message::Append { epoch, after, entries, commit }) => {
                replica.on_append(from, (epoch, after, commit), entries, ctx);
            }
            (Self::Replica(replica), Message::Have { epoch, count }) => {
                replica.on_have(from, epoch, count, ctx);
            }
            _ => ctx.ignore("message: meant for another kind of node"),
        }
    }

    fn on_timer(&mut self, Timer::Interval: Timer, ctx: &mut Context<'_, Self>) {
        ctx.set_timer(Timer::Interval, self.config().interval);
        match self {
            Self::Controller(controller) => controller.on_interval(ctx),
            Self::Replica(replica) => replica.on_interval(ctx),
        }
    }

    fn is_leader(&self) -> bool {
        self.replica().is_some_and(Replica::is_primary)
    }

    fn waits(&self) -> String {
        self.replica().map_or(String::new(), Replica::waits)
    }
}

impl Node {
    fn config(&self) -> &Config {
        match self {
            Self::Controller(controller) => controller.config(),
            Self::Replica(replica) => replica.config(),
        }
    }

    /// The replica that it is, if it is one.
    pub fn replica(&self) -> Option<&Replica> {
        match self {
            Self::Controller(_) => None,
            Self::Replica(replica) => Some(replica),
        }
    }

    /// The newest view that it knows of.
    pub fn view(&self) -> &View {
        match self {
            Self::Controller(controller) => controller.view(),
            Self::Replica(replica) => replica.view(),
        }
    }
}

impl View {
    /// The view in which all nodes begin.
    fn first(nodes: usize) -> Self {
        let in_sync: Vec<NodeId> = NodeId::all(nodes).skip(1).collect();
        Self { epoch: 1, primary: NodeId::new(1), in_sync }
    }
}

impl Config {
    fn check(&self) {
        assert!(Duration::ZERO < self.interval, "interval must be above zero");
        assert!(self.interval < self.remove_after, "remove_after must outlast an interval");
    }
}
