//! Chain replication (van Renesse and Schneider, *Chain Replication for Supporting High Throughput
//! and Availability*, OSDI 2004, cited by section), with epochs and a lease in the place of the
//! paper's fail-stop servers.
//!
//! *Problem.* A key-value store is kept by several servers and behaves as one, as long as one of
//! them is left.
//!
//! *Model.* Links `FairLoss`; nodes `CrashRecovery`; timing: clocks drift apart by less than
//! [`Config::remove_after`] leaves room for; nothing else rests on time. The master (the first
//! node) comes back after a crash, and is alone; the paper replicates it with Paxos.
//!
//! *Idea.* The servers stand in a chain. An update enters at the *head*, and each server writes it
//! down and hands it to the next. When it reaches the *tail*, all have it, and it is committed; so
//! whatever the tail has is committed, and the tail answers queries by itself. Each server has all
//! that its successor has. So one that fails can be taken out, wherever it stands, and its two
//! neighbours go on with each other.
//!
//! With [`Reads::Anywhere`] all servers answer queries (Terrace and Freedman, *Object Storage on
//! CRAQ*, USENIX ATC 2009): one before the tail asks the tail which version is committed, if it has
//! updates of the key that may not be.
//!
//! *Properties*, guarded by [`invariants`] but for the first and the last:
//! - S1 Strong consistency: the history of the clients is linearizable;
//! - S2 Update propagation invariant (section 3): each server has what its successor in the chain
//!   has, in the same order, and perhaps more; what is committed is the same at all;
//! - S3 Durability: a member of the newest chain that is ready has all that is committed;
//! - S4 Kept: while it is in a chain, and the next ones without a break, a server has all that it
//!   had in it (*Hist* only grows, section 2; S2 rests on it);
//! - S5 Leases: who may answer by itself is in the chain, whatever clocks show that drift no
//!   further than the model says;
//! - L1 with the master and a server that was ready up and connected for a while, operations
//!   complete.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Alive`](Message::Alive) | server | master | here I am, at this time of mine |
//! | [`Grant`](Message::Grant) | master | server | the chain; a lease from that time on |
//! | [`Forward`](Message::Forward) | server | successor | the next updates |
//! | [`Have`](Message::Have) | server | predecessor | so many I have, so many are committed |
//! | [`VersionQuery`](Message::VersionQuery) | server | tail | how many are committed? |
//! | [`Version`](Message::Version) | tail | that server | so many |
//!
//! *Journal records* ([`Record`]), each synced before anything is said of it.
//!
//! *Deviations*
//! - A server that is silent may be cut off and not failed. The tail answers queries only under a
//!   *lease*, counted on its own clock from when it asked for it; the master takes a server out
//!   only when a lease of that server has run out. And servers take updates only from their
//!   predecessor in the *epoch* that they are in, so that a chain that was replaced commits nothing
//!   more once any server that both have in common has heard of the new one.
//! - The tail's acknowledgement travels up the chain, and the head answers the client (in the paper
//!   the tail does).
//! - A server that was out comes back as the tail, with nothing (section 3.3 lets it catch up
//!   first). It is *ready*, and answers, once it has all that its predecessor had; meanwhile
//!   nothing is committed. The master never takes out the last server that was ready.
//! - What was lost is fetched: a server says now and then how much it has.
//! - CRAQ numbers the versions of each object, and its acknowledgements make them clean one by one.
//!   Here what is committed is one number for all keys.
//!
//! *What a client must do.* Ask the head for updates and the tail for queries, which others name;
//! ask again under the same number. With [`Reads::Anywhere`] any server answers queries.
//!
//! *Reading map*
//!
//! | paper | here |
//! |---|---|
//! | 3, the head, the tail, `Hist`, `Sent` | `server`: `on_request`, `on_forward`, `on_have` |
//! | 3.1 to 3.3, failures of head, tail, middle; a new tail | `server`: `join`; `master` |
//! | CRAQ 2.3, clean and dirty versions, the version query | `craq` |

mod craq;
mod invariants;
mod master;
mod server;

use crate::kv;
use master::Master;
use seedfall_sim::{Context, Duration, NodeId, Protocol, RequestId, Time};
use server::Server;
use std::fmt;

pub use invariants::{Invariants, invariants};

/// The parameters, equal on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// How often a server says that it is alive and how much it has.
    pub interval: Duration,
    /// How long a tail may answer by itself after it has asked for its lease.
    pub lease: Duration,
    /// After how long without a word from a server the master takes it out: longer than the lease,
    /// by as much as their clocks may drift apart meanwhile.
    pub remove_after: Duration,
    /// How many updates are forwarded at a time, at most.
    pub updates_per_message: usize,
    /// Who answers queries.
    pub reads: Reads,
}

/// Who answers queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Reads {
    /// The tail.
    Tail,
    /// Every server (CRAQ).
    Anywhere,
}

/// The node that knows the chain, and is not in it.
pub const MASTER: NodeId = NodeId::new(0);

/// Counts the chains.
pub type Epoch = u32;

/// The chain of an epoch: its servers from head to tail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Chain {
    /// Which, from one on.
    pub epoch: Epoch,
    /// Who, from head to tail.
    pub members: Vec<Member>,
}

/// A place in a chain.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Member {
    /// Whose.
    pub server: NodeId,
    /// Since which epoch, without a break: who was out since begins with nothing.
    pub since: Epoch,
}

/// An update, with the request that asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Update {
    /// Who asked: a request that comes again is not carried out again.
    pub request: RequestId,
    /// For what.
    pub command: kv::Command,
}

/// What nodes send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// A server is up.
    Alive {
        /// When it said so, on its clock.
        at: Time,
        /// In which epoch it is.
        epoch: Epoch,
        /// Whether it has all that is committed.
        ready: bool,
    },
    /// To that: the chain, and a lease, which begins at that time.
    Grant {
        /// When the server asked.
        at: Time,
        /// The chain.
        chain: Chain,
    },
    /// The next updates.
    Forward {
        /// In which epoch.
        epoch: Epoch,
        /// How many come before these.
        after: usize,
        /// In order.
        updates: Vec<Update>,
        /// How many the sender has.
        total: usize,
    },
    /// How far the sender is.
    Have {
        /// In which epoch.
        epoch: Epoch,
        /// How many updates it has, durably.
        count: usize,
        /// How many it knows to be committed.
        committed: usize,
        /// Whether it has all that was committed when it joined.
        ready: bool,
    },
    /// A query came to a server that has updates of its key which may not be committed.
    VersionQuery {
        /// In which epoch.
        epoch: Epoch,
        /// The query.
        id: RequestId,
    },
    /// To that.
    Version {
        /// In which epoch.
        epoch: Epoch,
        /// The query.
        id: RequestId,
        /// How many updates are committed.
        committed: usize,
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
    /// The master has made this chain, or a server has joined it.
    Chain(Chain),
    /// A server was out of the chain, and begins with nothing.
    Emptied,
    /// A server has this update, after those before.
    Update(Update),
    /// It has all that was committed when it joined.
    Ready,
}

/// What a client asks. A get is a query, the rest are updates.
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

/// A node: the master, or a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// The first.
    Master(Master),
    /// The others.
    Server(Server),
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
            MASTER => Self::Master(Master::start(config, journal, ctx)),
            _ => Self::Server(Server::start(id, config, journal, ctx)),
        }
    }

    fn on_request(&mut self, id: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        match self {
            Self::Master(master) => {
                let ask = master.chain().whom(&body.0);
                ctx.respond(id, Response::Elsewhere(ask));
            }
            Self::Server(server) if server.apportions(&body.0) => {
                server.on_apportioned(id, body.0, ctx);
            }
            Self::Server(server) => server.on_request(id, body.0, ctx),
        }
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match (self, message) {
            (Self::Master(master), Message::Alive { at, epoch, ready }) => {
                master.on_alive(from, at, ready && epoch == master.chain().epoch, ctx);
            }
            (Self::Server(server), Message::Grant { at, chain }) => server.on_grant(at, chain, ctx),
            (Self::Server(server), Message::Forward { epoch, after, updates, total }) => {
                server.on_forward(from, epoch, after, updates, total, ctx);
            }
            (Self::Server(server), Message::Have { epoch, count, committed, ready }) => {
                server.on_have(from, epoch, (count, committed, ready), ctx);
            }
            (Self::Server(server), Message::VersionQuery { epoch, id }) => {
                server.on_version_query(from, epoch, id, ctx);
            }
            (Self::Server(server), Message::Version { epoch, id, committed }) => {
                server.on_version(epoch, id, committed, ctx);
            }
            _ => ctx.ignore("message: meant for another kind of node"),
        }
    }

    fn on_timer(&mut self, Timer::Interval: Timer, ctx: &mut Context<'_, Self>) {
        match self {
            Self::Master(master) => master.on_interval(ctx),
            Self::Server(server) => server.on_interval(ctx),
        }
    }

    /// Who leads here is the tail: what it has is committed, and it answers by itself.
    fn is_leader(&self) -> bool {
        matches!(self, Self::Server(server) if server.is_tail())
    }

    fn waits(&self) -> String {
        match self {
            Self::Master(_) => String::new(),
            Self::Server(server) => server.waits(),
        }
    }
}

/// What reports and scenarios ask of a node.
impl Node {
    /// The newest chain that it knows of.
    pub fn chain(&self) -> &Chain {
        match self {
            Self::Master(master) => master.chain(),
            Self::Server(server) => server.chain(),
        }
    }

    /// The server that it is, if it is one.
    pub fn server(&self) -> Option<&Server> {
        match self {
            Self::Master(_) => None,
            Self::Server(server) => Some(server),
        }
    }
}

impl Chain {
    /// Who takes updates.
    pub fn head(&self) -> Option<NodeId> {
        self.members.first().map(|member| member.server)
    }

    /// Who answers queries.
    pub fn tail(&self) -> Option<NodeId> {
        self.members.last().map(|member| member.server)
    }

    /// Who comes before a server, if it is in the chain and not the head.
    pub fn predecessor(&self, of: NodeId) -> Option<NodeId> {
        let place = self.members.iter().position(|member| member.server == of)?;
        self.members.get(place.checked_sub(1)?).map(|member| member.server)
    }

    /// Who comes after it.
    pub fn successor(&self, of: NodeId) -> Option<NodeId> {
        let place = self.members.iter().position(|member| member.server == of)?;
        self.members.get(place + 1).map(|member| member.server)
    }

    /// Since which epoch a server is in it; `None` if it is not.
    pub fn since(&self, server: NodeId) -> Option<Epoch> {
        self.members.iter().find(|member| member.server == server).map(|member| member.since)
    }

    /// Whom to ask for this.
    pub fn whom(&self, command: &kv::Command) -> Option<NodeId> {
        if command.is_read() { self.tail() } else { self.head() }
    }
}

impl Config {
    fn check(&self) {
        assert!(Duration::ZERO < self.interval, "interval must be above zero");
        assert!(self.interval < self.lease, "a lease must outlast an interval");
        assert!(self.lease < self.remove_after, "remove_after must outlast a lease");
        assert!(0 < self.updates_per_message, "updates_per_message must be at least one");
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.server, self.since)
    }
}
