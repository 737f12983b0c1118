//! Choreography: no node keeps the plan for all. Each service takes its step when an event says
//! that it is its turn, and says so to the next (Richardson 4.2.1). The header of [`saga`](super)
//! is the spec; sagas are sequences here, one step a stage, without the semantic lock.
//!
//! The service of the first step is the *initiator*: it answers the client.
//!
//! *Events*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Advance`](Turn::Advance) | service of `T(i-1)` | of `Ti` | all before `Ti` took place |
//! | [`Retreat`](Turn::Retreat) | service of `T(i+1)` | of `Ti` | nothing after stands: undo it |
//! | [`Cancel`](Turn::Cancel) | initiator, `T(i-1)` | of `Ti` | it must not take place any more |
//! | [`Complete`](Turn::Complete) | the last | initiator | all steps took place |
//!
//! A step is refused, or cancelled before it took place: its service says `Retreat` to the one
//! before. `Cancel` runs after `Advance` along the chain until it overtakes it, where it leaves a
//! tombstone; or it comes to a pivot that took place, where it ends: too late.
//!
//! *Every event arrives* (transactional outbox, Richardson 3.3.7). What a service writes in its
//! book and the event that follows from it are one record, so a crash leaves both or neither. The
//! event is sent until it is acknowledged, with backoff. Whoever gets it twice has done it once:
//! the book says so.
//!
//! *Timeouts.* The initiator cancels a saga of which it has heard nothing for too long. Nobody else
//! gives anything up.

use super::ledger::{Entry, Fate, Ledger, Verdict};
use super::{Books, Config, Isolation, Kind, Outcome, Plan, SagaId, StepIndex};
use crate::kv::Text;
use seedfall_sim::{Context, Duration, NodeId, Protocol, RequestId, SortedMap, SortedSet};
use std::collections::VecDeque;

pub use super::orchestrated::{Request, Response};

/// What an event says about a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Turn {
    /// It is its turn.
    Advance,
    /// It must be compensated.
    Retreat,
    /// It must not take place, if it has not.
    Cancel,
    /// It was the last, and took place.
    Complete,
}

/// The name of an event: there is one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct EventId {
    /// Of which saga.
    pub saga: SagaId,
    /// What it says.
    pub turn: Turn,
    /// About which step.
    pub index: StepIndex,
}

/// What services tell each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// Something happened.
    Event {
        /// What.
        id: EventId,
        /// What the saga is to do: events carry all that is known.
        plan: Plan,
    },
    /// The event is taken care of, durably.
    Acknowledge {
        /// Which.
        id: EventId,
    },
}

/// A service's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// This event is not acknowledged.
    Resend(EventId),
    /// The initiator has not heard how this saga ended.
    Patience(SagaId),
    /// Time to make durable what was not forced.
    Flush,
}

/// What a service writes to its journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Record {
    /// One thing that was done, and what follows from it: all or nothing. Forced before anybody is
    /// told.
    Handled {
        /// In which saga.
        saga: SagaId,
        /// What the saga is to do.
        plan: Plan,
        /// A line of the book.
        entry: Option<Entry>,
        /// An event that must arrive.
        event: Option<(Turn, StepIndex)>,
        /// Initiator: how the saga ended.
        outcome: Option<Outcome>,
    },
    /// The event has arrived. Not forced: it would be sent again.
    Arrived {
        /// Which.
        id: EventId,
    },
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    id: NodeId,
    nodes: usize,
    config: Config,
    /// Durable: the accounts.
    ledger: Ledger,
    /// Durable: every event that it ever had to send.
    events: SortedSet<EventId>,
    /// Durable: those that are not acknowledged, and how often they were sent in this life.
    outbox: SortedMap<EventId, (Plan, u32)>,
    /// Durable: the sagas that it began, and how they ended.
    initiated: SortedMap<SagaId, (Plan, Option<Outcome>)>,
    /// Who waits for the end of which saga.
    clients: SortedMap<SagaId, RequestId>,
    /// What the service tells itself; empty between two handlers.
    to_self: VecDeque<Message>,
}

impl Protocol for Service {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        if let Err(error) = config.check() {
            panic!("sagas cannot start: {error}");
        }
        assert_eq!(config.isolation, Isolation::None, "the semantic lock needs an orchestrator");
        let mut service = Self {
            id,
            nodes: ctx.nodes(),
            config: config.clone(),
            ledger: Ledger::default(),
            events: SortedSet::new(),
            outbox: SortedMap::new(),
            initiated: SortedMap::new(),
            clients: SortedMap::new(),
            to_self: VecDeque::new(),
        };
        journal.iter().for_each(|record| service.replay(record.clone()));
        service.resume(ctx);
        service.tell_self(ctx);
        service
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        self.receive(from, message, ctx);
        self.tell_self(ctx);
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) {
        match timer {
            Timer::Resend(id) => {
                ctx.reach("outbox: an event is sent again");
                self.publish(id, ctx);
            }
            Timer::Patience(saga) => self.on_patience_timeout(saga, ctx),
            Timer::Flush => {
                ctx.sync();
                ctx.set_timer(Timer::Flush, self.config.flush_interval);
            }
        }
        self.tell_self(ctx);
    }

    fn waits(&self) -> String {
        let acknowledgement = |(id, (plan, _)): (&EventId, &(Plan, u32))| {
            let EventId { saga, turn, index } = id;
            let to = self.receiver(*id, plan);
            format!("saga {saga}: for {to} to acknowledge {turn:?} of step {index}")
        };
        let open = self.initiated.iter().filter(|(_, (_, outcome))| outcome.is_none());
        let end = open.map(|(saga, _)| format!("saga {saga}: for its end"));
        let waits = self.outbox.iter().map(acknowledgement).chain(end);
        waits.collect::<Vec<_>>().join("; ")
    }

    /// A service with events that did not arrive: its crash leaves others waiting.
    fn is_leader(&self) -> bool {
        !self.outbox.is_empty()
    }

    fn on_request(&mut self, request: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        match body {
            Request::Run { sequence, plan } => {
                let saga = SagaId { client: request.client, sequence };
                self.on_run(request, saga, &plan, ctx);
            }
            Request::Read(account) => self.on_read(request, &account, ctx),
        }
        self.tell_self(ctx);
    }
}

/// The service that keeps an account.
pub fn service_of(account: &str, nodes: usize) -> NodeId {
    let sum = account.bytes().fold(0_usize, |sum, byte| sum + usize::from(byte));
    NodeId::new((sum % nodes) as u16)
}

/// The initiator.
impl Service {
    /// The request names the saga: asked for twice, it runs once.
    fn on_run(
        &mut self,
        request: RequestId,
        saga: SagaId,
        plan: &Plan,
        ctx: &mut Context<'_, Self>,
    ) {
        if let Err(error) = plan.check() {
            panic!("the saga cannot be carried out: {error}");
        }
        assert!(plan.stages.iter().all(|stage| stage.len() == 1), "no parallel steps here");
        let initiator = self.keeper_of(&plan.step(0).account);
        if initiator != self.id {
            return ctx.respond(request, Response::Elsewhere(initiator));
        }
        if let Some((_, outcome)) = self.initiated.get(&saga) {
            let Some(outcome) = outcome else {
                self.clients.insert(saga, request);
                return ctx.ignore("run: under way");
            };
            ctx.reach("run: a retry was answered without a second run");
            return ctx.respond(request, Response::Ended(*outcome));
        }
        self.clients.insert(saga, request);
        ctx.set_timer(Timer::Patience(saga), self.patience());
        self.on_advance(saga, 0, plan, ctx);
    }

    fn on_complete(&mut self, saga: SagaId, plan: &Plan, ctx: &mut Context<'_, Self>) {
        if self.initiated[&saga].1.is_some() {
            return ctx.ignore("complete: known");
        }
        self.handle(saga, plan, None, None, Some(Outcome::Completed), ctx);
    }

    /// Nothing was heard for too long. The first step took place, or the saga would have ended.
    fn on_patience_timeout(&mut self, saga: SagaId, ctx: &mut Context<'_, Self>) {
        let (plan, outcome) = &self.initiated[&saga];
        assert!(outcome.is_none(), "nobody waits for what has ended");
        if plan.len() == 1 || plan.step(0).kind != Kind::Compensatable {
            return ctx.ignore("patience: there is nothing to cancel");
        }
        ctx.reach("timeout: the initiator cancels");
        let plan = plan.clone();
        self.handle(saga, &plan, None, Some((Turn::Cancel, 1)), None, ctx);
    }

    fn on_read(&mut self, request: RequestId, account: &Text, ctx: &mut Context<'_, Self>) {
        let service = self.keeper_of(account);
        if service == self.id {
            ctx.respond(request, Response::Standing(self.ledger.standing(account)));
        } else {
            ctx.respond(request, Response::Elsewhere(service));
        }
    }

    /// As long as all attempts of a step would take.
    fn patience(&self) -> Duration {
        self.config.backoff_max.scale(u64::from(self.config.attempts), 1)
    }
}

/// The chain.
impl Service {
    fn receive(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match message {
            Message::Event { id, plan } => {
                let EventId { saga, turn, index } = id;
                match turn {
                    Turn::Advance => self.on_advance(saga, index, &plan, ctx),
                    Turn::Retreat => self.on_retreat(saga, index, &plan, ctx),
                    Turn::Cancel => self.on_cancel(saga, index, &plan, ctx),
                    Turn::Complete => self.on_complete(saga, &plan, ctx),
                }
                self.send(from, Message::Acknowledge { id }, ctx);
            }
            Message::Acknowledge { id } => self.on_acknowledge(id, ctx),
        }
    }

    /// `Ti` is to take place: then it is the turn of the next; or it is refused, and the one before
    /// must be compensated.
    fn on_advance(
        &mut self,
        saga: SagaId,
        index: StepIndex,
        plan: &Plan,
        ctx: &mut Context<'_, Self>,
    ) {
        match self.ledger.fate(saga, index) {
            None => {}
            Some(Fate::Done | Fate::Compensated) => {
                return ctx.reach("advance: repeated, it had its one effect");
            }
            Some(Fate::Cancelled) => {
                return ctx.reach("advance: behind its tombstone, it came to nothing");
            }
        }
        let (entry, verdict) = self.ledger.attempt(saga, index, plan.step(index), &self.config);
        let last = index as usize + 1 == plan.len();
        match verdict {
            Verdict::Done if last => self.conclude(saga, plan, entry, Outcome::Completed, ctx),
            Verdict::Done => {
                let event = Some((Turn::Advance, index + 1));
                self.handle(saga, plan, Some(entry), event, None, ctx);
            }
            Verdict::OutOfBounds | Verdict::Pending => {
                ctx.reach("advance: refused, for the balance");
                self.retreat_from(saga, index, plan, entry, ctx);
            }
        }
    }

    /// Nothing after `Ti` stands: it is compensated, then the one before.
    fn on_retreat(
        &mut self,
        saga: SagaId,
        index: StepIndex,
        plan: &Plan,
        ctx: &mut Context<'_, Self>,
    ) {
        match self.ledger.compensate(saga, index, plan.step(index)) {
            None => ctx.reach("retreat: repeated, it had its one effect"),
            Some(entry) => self.retreat_from(saga, index, plan, entry, ctx),
        }
    }

    /// `Ti` must not take place, if it has not. Has it, the cancellation goes on, unless the saga
    /// is past its pivot.
    fn on_cancel(
        &mut self,
        saga: SagaId,
        index: StepIndex,
        plan: &Plan,
        ctx: &mut Context<'_, Self>,
    ) {
        let step = plan.step(index);
        match self.ledger.fate(saga, index) {
            None => {
                assert_ne!(step.kind, Kind::Retriable, "past its pivot nothing is cancelled");
                ctx.reach("cancel: before its step, it left a tombstone");
                self.retreat_from(saga, index, plan, Entry::Cancelled { saga, index }, ctx);
            }
            Some(Fate::Done) => {
                let last = index as usize + 1 == plan.len();
                if step.kind != Kind::Compensatable || last {
                    return ctx.reach("cancel: too late, the saga is past its pivot");
                }
                self.handle(saga, plan, None, Some((Turn::Cancel, index + 1)), None, ctx);
            }
            Some(Fate::Compensated | Fate::Cancelled) => {
                ctx.ignore("cancel: the saga turns back already");
            }
        }
    }

    /// Nothing of `Ti` stands any more.
    fn retreat_from(
        &mut self,
        saga: SagaId,
        index: StepIndex,
        plan: &Plan,
        entry: Entry,
        ctx: &mut Context<'_, Self>,
    ) {
        match index.checked_sub(1) {
            Some(before) => {
                self.handle(saga, plan, Some(entry), Some((Turn::Retreat, before)), None, ctx);
            }
            None => self.handle(saga, plan, Some(entry), None, Some(Outcome::Compensated), ctx),
        }
    }

    /// The last step took place: the initiator must know.
    fn conclude(
        &mut self,
        saga: SagaId,
        plan: &Plan,
        entry: Entry,
        outcome: Outcome,
        ctx: &mut Context<'_, Self>,
    ) {
        if plan.len() == 1 {
            self.handle(saga, plan, Some(entry), None, Some(outcome), ctx);
        } else {
            let last = plan.len() as StepIndex - 1;
            self.handle(saga, plan, Some(entry), Some((Turn::Complete, last)), None, ctx);
        }
    }
}

/// The outbox.
impl Service {
    /// Does one thing, and takes care that what follows from it will happen: all of it durable, or
    /// nothing.
    fn handle(
        &mut self,
        saga: SagaId,
        plan: &Plan,
        entry: Option<Entry>,
        event: Option<(Turn, StepIndex)>,
        outcome: Option<Outcome>,
        ctx: &mut Context<'_, Self>,
    ) {
        let id = event.map(|(turn, index)| EventId { saga, turn, index });
        if id.is_some_and(|id| self.events.contains(&id)) {
            assert!(entry.is_none(), "what is new in the book has new consequences");
            return ctx.ignore("outbox: the event was sent before");
        }
        let record = Record::Handled { saga, plan: plan.clone(), entry, event, outcome };
        ctx.append(record.clone());
        ctx.sync();
        self.replay(record);
        if let Some(id) = id {
            self.publish(id, ctx);
        }
        if let Some(outcome) = outcome {
            ctx.cancel_timer(Timer::Patience(saga));
            if let Some(client) = self.clients.remove(&saga) {
                ctx.respond(client, Response::Ended(outcome));
            }
        }
    }

    /// What a record says, when it is written and after a crash.
    fn replay(&mut self, record: Record) {
        match record {
            Record::Handled { saga, plan, entry, event, outcome } => {
                if let Some(entry) = entry {
                    self.ledger.enter(entry);
                }
                if let Some((turn, index)) = event {
                    let id = EventId { saga, turn, index };
                    self.events.insert(id);
                    self.outbox.insert(id, (plan.clone(), 0));
                }
                if self.keeper_of(&plan.step(0).account) == self.id {
                    let (_, known) = self.initiated.entry(saga).or_insert((plan, None));
                    assert!(known.is_none() || outcome.is_none(), "a saga ends once");
                    *known = known.or(outcome);
                }
            }
            Record::Arrived { id } => drop(self.outbox.remove(&id)),
        }
    }

    /// Sends an event, for the first time or again.
    fn publish(&mut self, id: EventId, ctx: &mut Context<'_, Self>) {
        let (plan, sent) = self.outbox.get_mut(&id).expect("it has not arrived");
        *sent += 1;
        let (plan, sent) = (plan.clone(), *sent);
        let to = self.receiver(id, &plan);
        ctx.set_timer(Timer::Resend(id), self.config.backoff(sent));
        self.send(to, Message::Event { id, plan }, ctx);
    }

    /// To whom an event goes.
    fn receiver(&self, id: EventId, plan: &Plan) -> NodeId {
        let step = if id.turn == Turn::Complete { 0 } else { id.index };
        self.keeper_of(&plan.step(step).account)
    }

    fn on_acknowledge(&mut self, id: EventId, ctx: &mut Context<'_, Self>) {
        if self.outbox.remove(&id).is_none() {
            return ctx.ignore("acknowledgement: known");
        }
        ctx.cancel_timer(Timer::Resend(id));
        ctx.append(Record::Arrived { id });
    }

    /// After a crash: what may not have arrived is sent again.
    fn resume(&mut self, ctx: &mut Context<'_, Self>) {
        ctx.set_timer(Timer::Flush, self.config.flush_interval);
        for id in Vec::from_iter(self.outbox.keys().copied()) {
            ctx.reach("recovery: an event is sent again");
            self.publish(id, ctx);
        }
        for (saga, (_, outcome)) in &self.initiated {
            if outcome.is_none() {
                ctx.set_timer(Timer::Patience(*saga), self.patience());
            }
        }
    }

    /// Sends a message; what a service tells itself arrives when the handler is done.
    fn send(&mut self, to: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        if to == self.id {
            self.to_self.push_back(message);
        } else {
            ctx.send(to, message);
        }
    }

    fn tell_self(&mut self, ctx: &mut Context<'_, Self>) {
        while let Some(message) = self.to_self.pop_front() {
            self.receive(self.id, message, ctx);
        }
    }
}

impl Books for Service {
    fn ledger(&self) -> Option<&Ledger> {
        Some(&self.ledger)
    }

    fn outcomes(&self) -> impl Iterator<Item = (SagaId, &Plan, Outcome)> {
        let ended = self.initiated.iter();
        ended.filter_map(|(saga, (plan, outcome))| Some((*saga, plan, (*outcome)?)))
    }

    fn keeper_of(&self, account: &str) -> NodeId {
        service_of(account, self.nodes)
    }

    fn unfinished(&self) -> Option<String> {
        if let Some(id) = self.outbox.keys().next() {
            return Some(format!("{id:?} has not arrived"));
        }
        let open = self.initiated.iter().find(|(_, (_, outcome))| outcome.is_none());
        open.map(|(saga, _)| format!("saga {saga} has not ended"))
    }

    fn config(&self) -> &Config {
        &self.config
    }

    /// Nobody drives a saga here: which way it goes, the books say.
    fn directions(&self) -> impl Iterator<Item = (SagaId, bool)> {
        std::iter::empty()
    }
}
