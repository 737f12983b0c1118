//! SWIM (Das, Gupta and Motivala, *SWIM: Scalable Weakly-Consistent Infection-Style Process Group
//! Membership Protocol*, DSN 2002, cited by section), with Lifeguard (Dadgar, Phillips and Currey,
//! *Lifeguard: Local Health Awareness for More Accurate Failure Detection*, DSN-W 2018): who is up,
//! known to all members, at a cost for each that does not grow with their number.
//!
//! *Problem.* Members come, crash and come back. Each keeps a list of all, which says who is up.
//! Who has crashed is soon known to all; who is up and only slow is not taken for crashed lightly.
//!
//! *Model.* Links `FairLoss`; nodes `CrashRecovery`, any number down; timing
//! `PartiallySynchronous`: completeness needs no bound on delays, accuracy holds only while there
//! is one.
//!
//! *Idea.* In each period a member pings one other, in a random order in which all have their turn.
//! If no answer comes in time it asks some others to ping in its place; if none of these is
//! answered either, it *suspects* the member, and says so. A suspicion that is not *refuted* in
//! time becomes a declaration that the member is *dead*. Only the member itself can refute, by
//! raising its *incarnation*: a claim of a higher incarnation outweighs all of lower ones, and
//! among claims of one incarnation, dead outweighs suspect, and suspect alive. Claims travel as
//! riders on pings and answers, each a bounded number of times.
//!
//! *Properties*, guarded by [`invariants`] but for the last three:
//! - `Incarnation` nobody knows an incarnation that the member itself has not had, and a member's
//!   own never goes back, crash or no crash;
//! - `Outweighs` what a member knows of another is never replaced by what weighs less;
//! - `Suspected` nobody is dead who was not suspected in the same incarnation before;
//! - `Round-robin` of two probes of a member, less than twice as many others as there are come
//!   between, unless it is dead meanwhile (4.3);
//! - `Bound` a member sends a claim at most `lambda` times the logarithm of the number of members;
//! - `Fair` what it has sent more often it does not send before what it has sent less often (4.1);
//! - `Answer` a client is told all that the member does not hold for dead;
//! - `Completeness` in the end all know of each member that is down that it is dead;
//! - `Eventual accuracy` in the end all know of each member that is up that it is alive, and in
//!   which incarnation;
//! - `L1` whoever asks a member that is up is answered by it alone.
//!
//! It is *not* claimed that nobody who is up is declared dead (section 3.1: accuracy is a matter of
//! degree). Lifeguard makes it rarer; the mark `refute: it was declared dead, and is up` counts it.
//!
//! *Messages*, each with the sender's incarnation and some claims:
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Ping`](Body::Ping) | member | another | are you there? |
//! | [`PingReq`](Body::PingReq) | member | some others | ping this one for me |
//! | [`Ack`](Body::Ack) | member, helper | who asked | I am; it is |
//! | [`Nack`](Body::Nack) | helper | who asked | it has not answered me (Lifeguard) |
//!
//! *Journal record*: each [`Incarnation`](Record), synced before it is told. A member that comes
//! back takes the next one, so that what was said of its life before says nothing of this.
//!
//! *Deviations*
//! - In the paper dead is for ever, and who comes back is another member. Here a higher incarnation
//!   outweighs dead too, as in services that run SWIM (memberlist). So the paper's order of claims
//!   (4.2) is one order, [`Claim`].
//! - The members of the cluster are known from the start, and taken to be alive; nobody joins.
//! - A member that holds another for dead says so in what it sends it, and pings a dead one every
//!   [`Config::knock`] periods: otherwise two halves that were parted for long would never meet
//!   again (memberlist's users do so: Serf's reconnection).
//! - A message tells the sender's incarnation, whatever riders it has.
//! - An incarnation that was just raised is told from the next handler on.
//! - Lifeguard's suspicion time-out is logarithmic in the number of those who suspect, from a table
//!   for up to three (the paper's *K*): no floating point.
//!
//! *Reading map*
//!
//! | section | here |
//! |---|---|
//! | 3.1, the failure detector | `probing`: `on_period`, `on_late`, `on_ping_req` |
//! | 4.1, infection-style dissemination | `claims`: [`Rumors`] |
//! | 4.2, suspicion, incarnations | [`Claim`], `learn`, `refute` |
//! | 4.3, round-robin probe targets | `next_target` |
//! | Lifeguard, Local Health Aware Probe | `probing`: `health` |
//! | Lifeguard, Local Health Aware Suspicion | `suspicion_lasts` |
//! | Lifeguard, Buddy System | `send` |

mod claims;
mod invariants;
mod probing;

use seedfall_sim::{Context, Duration, NodeId, Protocol, RequestId, SortedMap, SortedSet, Time};

pub use claims::{Claim, Incarnation, Rumor, Rumors, Status, Update};
pub use invariants::{Invariants, invariants};

/// The parameters, equal on all members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// The protocol period: how often a member pings another.
    pub period: Duration,
    /// How long it waits for the answer before it asks others to ping; less than a period.
    pub round_trip: Duration,
    /// How many others it asks: `k`.
    pub helpers: usize,
    /// How long a suspicion lasts before it becomes a declaration; with Lifeguard, if enough others
    /// suspect too.
    pub suspicion: Duration,
    /// How many riders a message has, at most.
    pub riders: usize,
    /// How often a claim is sent, in logarithms of the number of members: lambda.
    pub lambda: u32,
    /// Every how many periods a dead member is pinged.
    pub knock: u32,
    /// Whether it is Lifeguard.
    pub lifeguard: bool,
}

/// What members send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Message {
    /// The sender's incarnation.
    pub incarnation: Incarnation,
    /// What it wants.
    pub body: Body,
    /// What it has heard.
    pub riders: Vec<Update>,
}

/// What a message wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Body {
    /// Answer!
    Ping(u64),
    /// Have this member answer!
    PingReq(u64, NodeId),
    /// The answer to a ping of this number, of this member.
    Ack(u64, NodeId),
    /// This member has not answered the helper.
    Nack(u64, NodeId),
}

/// A member's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// The next period begins.
    Period,
    /// No answer has come to the ping of this number.
    Late(u64),
    /// Nor to this one, which was for somebody else.
    Helpless(u64),
    /// Nobody has refuted that this member is suspected.
    Suspicion(NodeId),
}

/// What a member writes to its journal: it takes this incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Record(pub Incarnation);

/// A client asks a member who is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Request;

/// What it is told: all that are not dead.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Response(pub SortedSet<NodeId>);

/// A ping that a member waits for the answer to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Probe {
    number: u64,
    target: NodeId,
    answered: bool,
    /// Who was asked to help, and has said nothing yet.
    helpers: SortedSet<NodeId>,
}

/// A ping for somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Errand {
    asked_by: NodeId,
    number: u64,
    target: NodeId,
}

/// A suspicion, as one member holds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Suspicion {
    since: Time,
    by: SortedSet<NodeId>,
}

/// One member.
#[derive(Clone, Debug)]
pub struct Member {
    id: NodeId,
    config: Config,
    /// The incarnation with which this life began.
    born: Incarnation,
    incarnation: Incarnation,
    others: SortedMap<NodeId, Claim>,
    suspicions: SortedMap<NodeId, Suspicion>,
    rumors: Rumors,
    /// Who is to be pinged, the next last, before the order is drawn anew.
    order: Vec<NodeId>,
    probe: Option<Probe>,
    errands: SortedMap<u64, Errand>,
    /// Numbers pings.
    pings: u64,
    periods: u32,
    /// Lifeguard's local health: zero is best.
    health: u32,
    /// What it has answered last, and what it knew then. Nothing depends on it: whoever watches may
    /// ask.
    answered: Option<(SortedSet<NodeId>, SortedMap<NodeId, Claim>)>,
}

impl Protocol for Member {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        let born = journal.last().map_or(0, |Record(last)| last + 1);
        ctx.append(Record(born));
        ctx.sync();
        let others = NodeId::all(ctx.nodes()).filter(|other| *other != id);
        let alive = Claim { incarnation: 0, status: Status::Alive };
        let mut member = Self {
            id,
            config: *config,
            born,
            incarnation: born,
            others: others.map(|other| (other, alive)).collect(),
            suspicions: SortedMap::new(),
            rumors: Rumors::new(config.lambda, ctx.nodes()),
            order: Vec::new(),
            probe: None,
            errands: SortedMap::new(),
            // No answer to a life before is taken for one to this.
            pings: born << 32,
            periods: 0,
            health: 0,
            answered: None,
        };
        member.spread_own();
        // Not all at once.
        let within = Duration::nanos(1)..config.period;
        let first = ctx.draw().duration(within);
        ctx.set_timer(Timer::Period, first);
        member
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        let Message { incarnation, body, riders } = message;
        let alive = Claim { incarnation, status: Status::Alive };
        self.learn(Update { member: from, claim: alive, by: from }, ctx);
        match body {
            Body::Ping(number) => self.send(from, Body::Ack(number, self.id), ctx),
            Body::PingReq(number, target) => self.on_ping_req(from, number, target, ctx),
            Body::Ack(number, of) => self.on_ack(from, number, of, ctx),
            Body::Nack(number, of) => self.on_nack(from, number, of, ctx),
        }
        for update in riders {
            self.learn(update, ctx);
        }
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) {
        match timer {
            Timer::Period => self.on_period(ctx),
            Timer::Late(number) => self.on_late(number, ctx),
            Timer::Helpless(number) => self.on_helpless(number, ctx),
            Timer::Suspicion(other) => self.on_suspicion(other, ctx),
        }
    }

    fn on_request(&mut self, id: RequestId, Request: Request, ctx: &mut Context<'_, Self>) {
        let up = self.others.iter().filter(|(_, claim)| claim.status != Status::Dead);
        let up: SortedSet<NodeId> = up.map(|(other, _)| *other).chain([self.id]).collect();
        self.answered = Some((up.clone(), self.others.clone()));
        ctx.respond(id, Response(up));
    }

    fn waits(&self) -> String {
        let not = |(other, claim): (&NodeId, &Claim)| match claim.status {
            Status::Alive => None,
            status => Some(format!("{other} is {status:?} in {}", claim.incarnation)),
        };
        self.others.iter().filter_map(not).collect::<Vec<_>>().join(", ")
    }
}

impl Member {
    /// The incarnation with which its present life began.
    pub fn born(&self) -> Incarnation {
        self.born
    }

    /// Its incarnation.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// What it knows of the others.
    pub fn others(&self) -> &SortedMap<NodeId, Claim> {
        &self.others
    }

    /// What it spreads.
    pub fn rumors(&self) -> &Rumors {
        &self.rumors
    }

    /// Lifeguard's local health: zero is best.
    pub fn health(&self) -> u32 {
        self.health
    }

    fn spread_own(&mut self) {
        let claim = Claim { incarnation: self.incarnation, status: Status::Alive };
        self.rumors.spread(Update { member: self.id, claim, by: self.id });
    }

    /// Sends something, with riders; and whoever is held for dead is told so, that it can refute
    /// it. With Lifeguard also whoever is suspected (the Buddy System).
    fn send(&mut self, to: NodeId, body: Body, ctx: &mut Context<'_, Self>) {
        let claim = self.others.get(&to).copied();
        let about = claim.filter(|claim| match claim.status {
            Status::Alive => false,
            Status::Suspect => self.config.lifeguard,
            Status::Dead => true,
        });
        let mut riders: Vec<_> =
            about.into_iter().map(|claim| Update { member: to, claim, by: self.id }).collect();
        riders.extend(self.rumors.pick(self.config.riders));
        ctx.send(to, Message { incarnation: self.incarnation, body, riders });
    }

    /// A claim about somebody, which counts if it outweighs what is known (section 4.2).
    fn learn(&mut self, update: Update, ctx: &mut Context<'_, Self>) {
        let Update { member, claim, by } = update;
        if member == self.id {
            return self.refute(claim, ctx);
        }
        let Some(known) = self.others.get_mut(&member) else {
            return ctx.ignore("claim: about nobody");
        };
        if claim == *known && claim.status == Status::Suspect {
            return self.second(update, ctx);
        }
        if claim <= *known {
            return;
        }
        if known.status == Status::Dead {
            ctx.reach("alive: it is back");
        }
        *known = claim;
        self.rumors.spread(update);
        if claim.status == Status::Suspect {
            let suspicion = Suspicion { since: ctx.now(), by: SortedSet::from([by]) };
            self.suspicions.insert(member, suspicion);
            ctx.set_timer(Timer::Suspicion(member), self.suspicion_lasts(1));
        } else if self.suspicions.remove(&member).is_some() {
            ctx.cancel_timer(Timer::Suspicion(member));
        }
    }

    /// What is said of this member itself: it is alive, and says so, with a higher incarnation.
    fn refute(&mut self, claim: Claim, ctx: &mut Context<'_, Self>) {
        if claim.status == Status::Alive || claim.incarnation < self.incarnation {
            return;
        }
        ctx.reach(match claim.status {
            Status::Dead => "refute: it was declared dead, and is up",
            _ => "refute: it was suspected, and is up",
        });
        self.incarnation = claim.incarnation + 1;
        ctx.append(Record(self.incarnation));
        ctx.sync();
        self.spread_own();
        self.is_unwell(ctx);
    }
}
