//! Failure detectors (Chandra and Toueg, *Unreliable Failure Detectors for Reliable Distributed
//! Systems*, JACM 1996; Cachin, Guerraoui and Rodrigues, *Introduction to Reliable and Secure
//! Distributed Programming*, 2011, sections 2.6.2 to 2.6.5; Hayashibara, Défago, Yared and
//! Katayama, *The phi Accrual Failure Detector*, SRDS 2004): who is down, as far as silence tells.
//!
//! *Problem.* Each node is to know which of the others have crashed. Nobody tells; a node that is
//! slow is silent like one that is gone.
//!
//! *Model.* Links `FairLoss` ([`Kind::Perfect`]: `Reliable`); nodes `CrashStop`; timing
//! `Synchronous` for [`Kind::Perfect`], `PartiallySynchronous` for the others. With `Asynchronous`
//! timing there is no such detector: with it consensus could be solved (Chandra and Toueg, section
//! 5; Fischer, Lynch and Paterson 1985).
//!
//! *Idea.* All send heartbeats. Who has not been heard of for some time is suspected. How long that
//! is makes the kinds: a bound that is known (*P*); a time-out that grows with each mistake, so
//! that it passes the unknown bound at last (*◊P*); or so long as the heartbeats that have come
//! make it unlikely, at a chosen level, that the next one is only late (*accrual*).
//!
//! *Properties*
//! - `Strong completeness` in the end each node that is up suspects every node that is down;
//! - `Strong accuracy` nobody is suspected before it crashes (P alone, guarded by [`invariants`]);
//! - `Eventual strong accuracy` from some time on nobody is suspected that is up;
//! - `Grows` a time-out never gets shorter, and is longer after each mistake (◊P, [`invariants`]).
//!
//! *Message*: [`Heartbeat`](Message), sender to all.
//!
//! *Deviations*
//! - Cachin et al. ask and wait for answers (algorithms 2.5 and 2.7). Here heartbeats go out
//!   unasked (Chandra and Toueg, figure 10), and the time-out is the receiver's, of each sender
//!   apart.
//! - Who is suspected by P stays so: what is heard of it later is ignored.
//! - Accrual without floating point: `phi` says how unlikely it is that a heartbeat is still to
//!   come, by a normal distribution of the spans between heartbeats, as the negative decimal
//!   logarithm. It grows with the distance from the mean in standard deviations, which a table
//!   holds for whole levels of `phi`.
//! - The deviation is taken for no smaller than [`Config::least_deviation`], as its users have it
//!   (Akka, Cassandra): of heartbeats that have come very evenly nothing follows.
//!
//! *Reading map*
//!
//! | source | here |
//! |---|---|
//! | Cachin et al., algorithm 2.5, exclude on time-out | [`Kind::Perfect`] |
//! | Cachin et al., algorithm 2.7; Chandra and Toueg, figure 10 | [`Kind::EventuallyPerfect`] |
//! | Hayashibara et al., section 4 | [`Kind::Accrual`], `phi` |

mod invariants;

use seedfall_sim::{Context, Duration, NodeId, Protocol, RequestId, SortedMap, SortedSet, Time};
use std::collections::VecDeque;

pub use invariants::{Invariants, invariants};

/// When silence is taken for a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Kind {
    /// After this long, which no heartbeat is late by: *P*.
    Perfect {
        /// An interval, and the most by which the delays of two messages differ.
        bound: Duration,
    },
    /// After a time-out that grows with each mistake: *◊P*.
    EventuallyPerfect {
        /// The first time-out.
        first: Duration,
        /// By how much it grows.
        more: Duration,
    },
    /// When `phi` is so high: *phi accrual*.
    Accrual {
        /// The level.
        threshold: u32,
    },
}

/// The parameters, equal on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// When silence is taken for a crash.
    pub kind: Kind,
    /// How often a node sends a heartbeat.
    pub interval: Duration,
    /// Of the spans between heartbeats, for [`Kind::Accrual`].
    pub least_deviation: Duration,
}

/// How many spans between heartbeats are remembered.
const WINDOW: usize = 100;

/// How many standard deviations past the mean a span of each level of `phi` is, from one on, in
/// thousandths: the probability of a longer one is a tenth, a hundredth, and so on.
const DEVIATIONS: [u64; 8] = [1_282, 2_326, 3_090, 3_719, 4_265, 4_753, 5_199, 5_612];

/// Of the sender: it is up, and has sent so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Message(pub u64);

/// A node's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// Time to send a heartbeat.
    Heartbeat,
    /// This node has been silent for too long.
    Silent(NodeId),
}

/// A client asks whom a node suspects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Request;

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Response(pub SortedSet<NodeId>);

/// What a node knows of another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// How long it may be silent.
    patience: Duration,
    /// When it was last heard of.
    heard: Time,
    /// The spans between its last heartbeats.
    spans: VecDeque<Duration>,
    /// Whether it is suspected.
    suspected: bool,
    /// How often it was suspected wrongly.
    mistakes: u32,
    /// How many heartbeats have come since it was suspected last.
    trusted: u32,
    /// The last heartbeat that has come.
    last: u64,
}

impl Peer {
    /// How long it may be silent.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// How often it was suspected, and heard of again.
    pub fn mistakes(&self) -> u32 {
        self.mistakes
    }

    /// How many heartbeats of it have come since it was suspected last.
    pub fn trusted(&self) -> u32 {
        self.trusted
    }

    /// Whether it is suspected.
    pub fn is_suspected(&self) -> bool {
        self.suspected
    }

    /// The mean of the spans between its heartbeats, and how far they are from it, as the square
    /// root of the mean of the squares.
    fn spread(&self) -> (Duration, Duration) {
        let count = self.spans.len() as u128;
        let nanos = || self.spans.iter().map(|span| u128::from(span.as_nanos()));
        let mean = nanos().sum::<u128>() / count;
        let squares = nanos().map(|span| span.abs_diff(mean).pow(2)).sum::<u128>();
        let deviation = (squares / count).isqrt();
        (Duration::nanos(mean as u64), Duration::nanos(deviation as u64))
    }
}

/// One node.
#[derive(Clone, Debug)]
pub struct Detector {
    id: NodeId,
    config: Config,
    peers: SortedMap<NodeId, Peer>,
    sent: u64,
}

impl Protocol for Detector {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = ();
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, _: &[()], ctx: &mut Context<'_, Self>) -> Self {
        let first = match config.kind {
            // The first heartbeats come when all have begun.
            Kind::Perfect { bound } => bound,
            Kind::EventuallyPerfect { first, .. } => first,
            Kind::Accrual { .. } => config.interval.scale(3, 1),
        };
        let peer = Peer {
            patience: first,
            heard: ctx.now(),
            spans: VecDeque::new(),
            suspected: false,
            mistakes: 0,
            trusted: 0,
            last: 0,
        };
        let others = NodeId::all(ctx.nodes()).filter(|other| *other != id);
        let peers = others.map(|other| (other, peer.clone())).collect();
        let mut detector = Self { id, config: *config, peers, sent: 0 };
        detector.beat(ctx);
        for other in detector.peers.keys() {
            ctx.set_timer(Timer::Silent(*other), first);
        }
        detector
    }

    fn on_message(&mut self, from: NodeId, Message(number): Message, ctx: &mut Context<'_, Self>) {
        let now = ctx.now();
        let Config { kind, least_deviation, .. } = self.config;
        let Some(peer) = self.peers.get_mut(&from) else {
            return ctx.ignore("heartbeat: of nobody");
        };
        if number <= peer.last {
            return ctx.ignore("heartbeat: a later one has come");
        }
        if peer.suspected && matches!(kind, Kind::Perfect { .. }) {
            return ctx.ignore("heartbeat: of one who has crashed");
        }
        // A span over lost ones is so many.
        let span = now.since(peer.heard).scale(1, number - peer.last);
        if 0 < peer.last {
            peer.spans.push_back(span);
        }
        (peer.heard, peer.last) = (now, number);
        peer.trusted += 1;
        if peer.suspected {
            ctx.reach("restore: it was suspected, and is up");
            peer.suspected = false;
            peer.mistakes += 1;
            peer.trusted = 0;
            if let Kind::EventuallyPerfect { more, .. } = kind {
                peer.patience = peer.patience + more;
            }
        }
        if WINDOW < peer.spans.len() {
            peer.spans.pop_front();
        }
        if let Kind::Accrual { threshold } = kind
            && !peer.spans.is_empty()
        {
            let (mean, deviation) = peer.spread();
            peer.patience = level(threshold, mean, deviation.max(least_deviation));
        }
        ctx.set_timer(Timer::Silent(from), peer.patience);
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) {
        match timer {
            Timer::Heartbeat => self.beat(ctx),
            Timer::Silent(other) => {
                let Some(peer) = self.peers.get_mut(&other) else { return };
                peer.suspected = true;
                ctx.reach("suspect: it has been silent for too long");
            }
        }
    }

    fn on_request(&mut self, id: RequestId, Request: Request, ctx: &mut Context<'_, Self>) {
        ctx.respond(id, Response(self.suspects().collect()));
    }
}

impl Detector {
    /// This node.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// What it knows of each of the others.
    pub fn peers(&self) -> &SortedMap<NodeId, Peer> {
        &self.peers
    }

    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        self.config.kind
    }

    /// Whom it suspects.
    pub fn suspects(&self) -> impl Iterator<Item = NodeId> {
        self.peers.iter().filter(|(_, peer)| peer.suspected).map(|(id, _)| *id)
    }

    fn beat(&mut self, ctx: &mut Context<'_, Self>) {
        self.sent += 1;
        ctx.broadcast(Message(self.sent));
        ctx.set_timer(Timer::Heartbeat, self.config.interval);
    }

    /// How unlikely it is, on the scale of `phi`, that a node which has been silent until now is
    /// up: zero, up to eight.
    pub fn phi(&self, other: NodeId, now: Time) -> u32 {
        let Some(peer) = self.peers.get(&other).filter(|peer| !peer.spans.is_empty()) else {
            return 0;
        };
        let (mean, deviation) = peer.spread();
        let deviation = deviation.max(self.config.least_deviation);
        let silent = now.since(peer.heard);
        let levels = 1..=DEVIATIONS.len() as u32;
        levels.rev().find(|phi| level(*phi, mean, deviation) <= silent).unwrap_or(0)
    }
}

/// How long a silence is that `phi` says so much of.
fn level(phi: u32, mean: Duration, deviation: Duration) -> Duration {
    let place = (phi.max(1) as usize).min(DEVIATIONS.len()) - 1;
    mean + deviation.scale(DEVIATIONS[place], 1_000)
}
