//! Twins (Bano, Sonnino, Chursin, Perelman, Li, Ching and Malkhi, *Twins: BFT Systems Made Robust*,
//! OPODIS 2021): a layer below a protocol with rounds and leaders, on which some replicas run
//! twice.
//!
//! *Problem.* A Byzantine replica may do anything, and no test does everything. What of it breaks
//! protocols is mostly to equivocate, to vote twice and to forget a lock; and that is what two
//! copies of a *correct* replica do together, which know nothing of each other and sign with one
//! key. They can be gone through one by one: where they stand, who leads, whom each hears.
//!
//! *Model.* Links `Reliable` but for the partitions of the arrangement; nodes `Byzantine`, namely
//! those that run twice; timing `PartiallySynchronous`: once the arrangement is over, all hear all.
//!
//! *Idea.* There are more machines than replicas: the last ones are the other halves of the first
//! replicas. An [arrangement](Round) says for each round who leads, and into which parts the
//! machines are split: what is said of a round reaches those of the sender's part in that round. A
//! message to a replica reaches both halves. A [`Space`] has all arrangements, by number.
//!
//! *Properties*: those of the protocol above, which up to `f` twins must not break.
//!
//! *Messages*: those of the protocol above.
//!
//! *Deviations*
//! - The paper's rounds end by time-outs everywhere. Here the protocol above decides when a round
//!   is over, so what says no more than that ([`Rounds::bare`]) passes from part to part.
//! - What clients ask is told to nobody else before the arrangement is over, and each client asks
//!   one machine: so two halves of a leader propose different things.
//! - A replica that sends to itself does so without the wire; its other half hears nothing of that.
//! - Faults of the class `twins` ([`seedfall_sim::World::begin_twins`]) are drawn, not gone
//!   through, and the first half of such a node hears everything. Here the network is split between
//!   the two.
//!
//! *Reading map*
//!
//! | paper, test generator | here |
//! |---|---|
//! | step 1: all ways to partition the machines | [`Space::partitions`] |
//! | step 2: each with each leader | [`Space::pairs`] |
//! | step 3: each arrangement of those over the rounds | [`Arrangements::at`] |
//! | test executor | [`Machine`] |

mod space;

use crate::layers::Layer;
use seedfall_sim::{ClientId, Context, Effect, NodeId, Protocol, RequestId};

pub use space::{Arrangements, Round, Space};

/// A protocol that goes from round to round.
pub trait Rounds: Protocol {
    /// In which round it is, counted from zero on.
    fn round(&self) -> u64;

    /// Of which round a message is; `None`: it hands on what a client asked.
    fn round_of(&self, message: &Self::Message) -> Option<u64>;

    /// What of a message says no more than that a round is over.
    fn bare(message: &Self::Message) -> Option<Self::Message>;
}

/// The parameters, equal on all machines.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config<C> {
    /// How many replicas there are; what further machines there are, are the other halves of the
    /// first ones.
    pub replicas: usize,
    /// What the first rounds are like; afterwards all hear all.
    pub rounds: Vec<Round>,
    /// The parameters of the protocol above, which must have the same leaders.
    pub above: C,
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Response<R> {
    /// Another machine is that of this client.
    Elsewhere(NodeId),
    /// What the protocol above answers.
    Above(R),
}

/// What a machine writes down.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Record<R> {
    /// The arrangement, for whoever reads the trace.
    Arranged(Vec<String>),
    /// What the protocol above does.
    Above(R),
}

/// A machine, on which a replica runs or half of one.
#[derive(Clone, Debug)]
pub struct Machine<P> {
    above: P,
    replicas: usize,
    rounds: Vec<Round>,
}

impl<P: Rounds> Protocol for Machine<P> {
    type Config = Config<P::Config>;
    type Message = P::Message;
    type Timer = P::Timer;
    type Record = Record<P::Record>;
    type Request = P::Request;
    type Response = Response<P::Response>;

    fn start(
        id: NodeId,
        config: &Self::Config,
        journal: &[Self::Record],
        ctx: &mut Context<'_, Self>,
    ) -> Self {
        let Config { replicas, rounds, above } = config;
        assert!(ctx.nodes() <= 2 * replicas, "each replica runs at most twice");
        if journal.is_empty() && id.index() == 0 {
            ctx.append(Record::Arranged(rounds.iter().map(ToString::to_string).collect()));
        }
        let records = journal.iter().filter_map(|record| match record {
            Record::Arranged(_) => None,
            Record::Above(record) => Some(record.clone()),
        });
        let (records, me) = (records.collect::<Vec<_>>(), identity(id, *replicas));
        let (above, effects) = ctx.part_as(me, |ctx| P::start(me, above, &records, ctx));
        let machine = Self { above, replicas: *replicas, rounds: rounds.clone() };
        machine.perform(effects, ctx);
        machine
    }

    fn on_message(&mut self, from: NodeId, message: P::Message, ctx: &mut Context<'_, Self>) {
        let from = identity(from, self.replicas);
        self.run(ctx, |above, ctx| above.on_message(from, message, ctx));
    }

    fn on_timer(&mut self, timer: P::Timer, ctx: &mut Context<'_, Self>) {
        self.run(ctx, |above, ctx| above.on_timer(timer, ctx));
    }

    fn on_request(&mut self, request: RequestId, body: P::Request, ctx: &mut Context<'_, Self>) {
        let home = home_of(request.client, ctx.nodes());
        if home != ctx.id() {
            return ctx.respond(request, Response::Elsewhere(home));
        }
        self.run(ctx, |above, ctx| above.on_request(request, body, ctx));
    }

    fn is_leader(&self) -> bool {
        self.above.is_leader()
    }

    fn waits(&self) -> String {
        self.above.waits()
    }
}

impl<P: Rounds> Machine<P> {
    /// Runs a handler of the protocol above, in the name of the replica.
    fn run(
        &mut self,
        ctx: &mut Context<'_, Self>,
        handler: impl FnOnce(&mut P, &mut Context<'_, P>),
    ) {
        let me = identity(ctx.id(), self.replicas);
        let ((), effects) = ctx.part_as(me, |ctx| handler(&mut self.above, ctx));
        self.perform(effects, ctx);
    }

    fn perform(&self, effects: Vec<Effect<P>>, ctx: &mut Context<'_, Self>) {
        for effect in effects {
            match effect {
                Effect::Send(to, message) => self.say(&message, Some(to), ctx),
                Effect::Broadcast(message) => self.say(&message, None, ctx),
                Effect::Respond(request, response) => {
                    ctx.respond(request, Response::Above(response));
                }
                Effect::Append(record) => ctx.append(Record::Above(record)),
                Effect::Sync => ctx.sync(),
                Effect::SetTimer(timer, after) => ctx.set_timer(timer, after),
                Effect::CancelTimer(timer) => ctx.cancel_timer(timer),
                Effect::Ignore(why) => ctx.ignore(why),
                Effect::Reach(what) => ctx.reach(what),
            }
        }
    }

    /// To a replica, which may be two machines, or to all; as far as the arrangement lets it
    /// through.
    fn say(&self, message: &P::Message, to: Option<NodeId>, ctx: &mut Context<'_, Self>) {
        let round = self.above.round_of(message);
        let arranged = self.rounds.get(round.unwrap_or(self.above.round()) as usize);
        let here = ctx.id();
        for machine in NodeId::all(ctx.nodes()).filter(|machine| *machine != here) {
            if to.is_some_and(|to| to != identity(machine, self.replicas)) {
                continue;
            }
            match arranged {
                Some(_) if round.is_none() => ctx.reach("twins: a request is kept back"),
                Some(one) if one.parts[here.index()] != one.parts[machine.index()] => {
                    ctx.reach("twins: said to another part");
                    if let Some(bare) = P::bare(message).filter(|_| to.is_none()) {
                        ctx.send(machine, bare);
                    }
                }
                _ => ctx.send(machine, message.clone()),
            }
        }
    }
}

impl<P: Rounds> Layer for Machine<P> {
    type Above = P;

    fn above(&self) -> &P {
        &self.above
    }
}

/// Which replica runs on a machine.
fn identity(machine: NodeId, replicas: usize) -> NodeId {
    match machine.index().checked_sub(replicas) {
        None => machine,
        Some(of) => NodeId::new(of as u16),
    }
}

/// The machine that a client asks.
fn home_of(client: ClientId, machines: usize) -> NodeId {
    NodeId::new((client.index() % machines) as u16)
}
