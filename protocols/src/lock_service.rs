//! A lock service with leases and fencing tokens (Gray and Cheriton, *Leases*, SOSP 1989; Burrows,
//! *The Chubby Lock Service*, OSDI 2006; the tokens as in Kleppmann, *How to Do Distributed
//! Locking*, 2016).
//!
//! *Problem.* Workers change one thing, each reading, computing and writing back. Only one of them
//! may be at it at a time, and one that falls silent must not keep the others waiting for ever.
//!
//! *Model.* Links `FairLoss`; nodes `CrashRecovery`; timing `PartiallySynchronous`: messages and
//! workers may be late by any time. What no lease can give, a worker that finds out too late that
//! its lease is over, the tokens do. For two workers never to *believe* at once that they hold the
//! lock, clocks may drift by up to [`Config::drift`]. Without the tokens updates are lost.
//!
//! *Idea.* The server grants the lock to one worker at a time, for the length of a *lease* that the
//! worker renews; the others queue. Each grant has a greater *token* than all before it. Whoever
//! touches the guarded resource says its token, and the resource refuses one that is smaller than
//! any that it has seen: so a worker whose lease ran out unnoticed can do no harm.
//!
//! *Properties*, guarded by [`invariants`] but for the last two:
//! - *mutual-exclusion* two workers do not both know that they hold the lock (where clocks drift no
//!   further than [`Config::drift`]);
//! - *token-order* a later grant has a greater token, whatever crashes;
//! - *stale-token* the resource accepts no smaller token than it has seen;
//! - *unknown-token* nobody uses a token that it was not given;
//! - *waits* a server that has come back grants nothing before all leases of the life before can be
//!   over (Gray and Cheriton, section 5);
//! - *in-time* a worker touches the resource while its lease lasts (by its own clock);
//! - *one-owner* a token is given to one worker;
//! - *fence* once a worker has read, the resource lets no smaller token through (Kleppmann: also
//!   reads say their token);
//! - `Linearizability` no update is lost or made twice (judged on the history of the clients);
//! - `L1` once the faults are over, whoever asks is answered.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Want`](Message::Want) | worker | server | I am there, and want the lock, or hold it still |
//! | [`Alive`](Message::Alive) | server | worker | so are you; and this is your token, if any |
//! | [`Release`](Message::Release) | worker | server | I do not want it any more |
//! | [`Read`](Message::Read) | worker | resource | what is there? |
//! | [`Value`](Message::Value) | resource | worker | this |
//! | [`Write`](Message::Write) | worker | resource | it becomes this |
//! | [`Written`](Message::Written) | resource | worker | it is, durably |
//! | [`Refused`](Message::Refused) | resource | worker | I have seen a greater token |
//!
//! *Journal records*: the server's last [`Token`](Record::Token), before it is granted; the
//! greatest [`Stamp`](Record::Seen) that the resource has seen, before it answers; its
//! [`Data`](Record::Data), before a write is confirmed.
//!
//! *Deviations*
//! - Node one is the server, node two the resource, all others are workers. The server is one node
//!   with a journal (Chubby's is a replicated log: `raft`). One that comes back does not know who
//!   holds the lock, so it waits out every lease that it may have granted before it grants anew
//!   (Chubby, 2.9), unless the holder turns up with the last token.
//! - A *session* is that a worker says `Want` again and again; its requests have numbers.
//! - A lease counts from when its worker asked, by its own clock; the server waits longer than that
//!   by what the clocks may drift.
//! - Reads of the resource say the token too: else what an earlier holder has under way could be
//!   written after a later one has read. Accesses under one token are numbered, since a copy of the
//!   first may arrive after the second.
//! - Whoever holds the lock leads ([`Protocol::is_leader`]): that is leader election on it.
//!
//! *Reading map*
//!
//! | source | here |
//! |---|---|
//! | Chubby 2.4, sequencers | `resource` |
//! | Chubby 2.8, keep-alives; Gray and Cheriton, section 2, the term | `server`, `worker` |
//! | Chubby 2.9, fail-overs; Gray and Cheriton, section 5, after a crash | `server`: `start` |
//! | Kleppmann, "Making the lock safe with fencing" | `resource`: `is_stale` |

mod invariants;
mod resource;
mod server;
mod worker;

use seedfall_sim::{
    ClientId, Context, Duration, NodeId, Ppm, Protocol, RequestId, SortedMap, Time,
};

pub use invariants::{Invariants, Judge, invariants};
pub use resource::Resource;
pub use server::Server;
pub use worker::{Held, Worker};

/// The parameters, equal on all nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// How long a lease lasts, by the clock of its worker.
    pub lease: Duration,
    /// How often a worker renews it: several times in a lease.
    pub keep_alive: Duration,
    /// After how long an access to the resource is said again.
    pub retry: Duration,
    /// By how much a clock may run fast or slow, in a million; at most a tenth.
    pub drift: Ppm,
    /// Whether the resource refuses tokens that are smaller than one that it has seen.
    pub fenced: bool,
}

/// The node that grants the lock.
pub const SERVER: NodeId = NodeId::new(0);
/// The node that is guarded by it.
pub const RESOURCE: NodeId = NodeId::new(1);

/// Which access to the resource: those of a greater token are later, of one token those with a
/// greater number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Stamp {
    /// The token of the grant.
    pub token: u64,
    /// Which access under it, from one on.
    pub number: u64,
}

/// What is guarded: a counter, and for each client its last update with the answer to it, so that
/// none is made twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Data {
    /// The counter.
    pub value: i64,
    /// The number of the client's update, and what the counter was after it.
    pub updates: SortedMap<ClientId, (u32, i64)>,
}

/// What nodes send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// A worker is there and wants the lock.
    Want {
        /// Its request.
        ask: u64,
        /// When it says so, by its own clock.
        sent: Time,
        /// Its token, if it holds the lock.
        token: Option<u64>,
    },
    /// The server has heard that.
    Alive {
        /// Which request.
        ask: u64,
        /// When its worker had said so.
        sent: Time,
        /// The token, if the lock is granted.
        token: Option<u64>,
    },
    /// A worker does not want the lock, or not any more.
    Release {
        /// Which request.
        ask: u64,
    },
    /// What is there?
    Read(Stamp),
    /// This.
    Value(Stamp, Data),
    /// It becomes this.
    Write(Stamp, Data),
    /// It has.
    Written(Stamp),
    /// A greater token was seen.
    Refused(Stamp),
}

/// A node's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// A worker renews its session.
    KeepAlive,
    /// A worker asks the resource again.
    Retry,
    /// A worker has stopped, and now says so.
    Release,
    /// At the server a lease may be over.
    Expiry,
}

/// What a node writes to its journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Record {
    /// The server grants the lock under this token.
    Token(u64),
    /// The resource has seen this, and nothing greater.
    Seen(Stamp),
    /// The guarded data is this.
    Data(Data),
}

/// What a client asks of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Request {
    /// What is added to the counter; none: it is only read.
    pub add: Option<i64>,
}

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Response {
    /// The counter, after the update.
    Value(i64),
    /// This is no worker; that one is.
    Elsewhere(NodeId),
}

/// One node, in one of three roles.
#[derive(Clone, Debug)]
pub enum Node {
    /// Grants the lock.
    Server(Server),
    /// Is guarded by it.
    Resource(Resource),
    /// Does what clients ask, under the lock.
    Worker(Worker),
}

impl Protocol for Node {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        assert!(config.drift <= 100_000, "the margins are for a drift of up to a tenth");
        match id {
            SERVER => Self::Server(Server::start(config.clone(), journal, ctx)),
            RESOURCE => Self::Resource(Resource::start(config.clone(), journal)),
            _ => Self::Worker(Worker::start(config.clone())),
        }
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match (self, message) {
            (Self::Server(server), Message::Want { ask, sent, token }) => {
                server.on_want(from, ask, (sent, token), ctx);
            }
            (Self::Server(server), Message::Release { ask }) => server.on_release(from, ask, ctx),
            (Self::Resource(resource), Message::Read(stamp)) => resource.on_read(from, stamp, ctx),
            (Self::Resource(resource), Message::Write(stamp, data)) => {
                resource.on_write(from, stamp, data, ctx);
            }
            (Self::Worker(worker), Message::Alive { ask, sent, token }) => {
                worker.on_alive(ask, sent, token, ctx);
            }
            (Self::Worker(worker), Message::Value(stamp, data)) => {
                worker.on_value(stamp, data, ctx);
            }
            (Self::Worker(worker), Message::Written(stamp)) => worker.on_written(stamp, ctx),
            (Self::Worker(worker), Message::Refused(stamp)) => worker.on_refused(stamp, ctx),
            _ => ctx.ignore("message: for another role"),
        }
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) {
        match (self, timer) {
            (Self::Server(server), Timer::Expiry) => server.grant(ctx),
            (Self::Worker(worker), Timer::KeepAlive) => worker.keep_alive(ctx),
            (Self::Worker(worker), Timer::Retry) => worker.retry(ctx),
            (Self::Worker(worker), Timer::Release) => worker.release(ctx),
            _ => unreachable!("each role sets its own timers"),
        }
    }

    fn on_request(&mut self, id: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        match self {
            Self::Worker(worker) => worker.on_request(id, body, ctx),
            _ => {
                let workers = ctx.nodes() as u32 - 2;
                let some = NodeId::new(2 + ctx.draw().below(workers) as u16);
                ctx.respond(id, Response::Elsewhere(some));
            }
        }
    }

    fn is_leader(&self) -> bool {
        matches!(self, Self::Worker(worker) if worker.holds())
    }

    fn waits(&self) -> String {
        match self {
            Self::Server(server) => server.waits(),
            Self::Resource(_) => String::new(),
            Self::Worker(worker) => worker.waits(),
        }
    }
}
