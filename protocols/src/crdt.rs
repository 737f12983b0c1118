//! Conflict-free replicated data types (Shapiro, Preguiça, Baquero and Zawirski, *Conflict-Free
//! Replicated Data Types*, SSS 2011, and their study of the same year, INRIA RR-7506): a counter, a
//! set, two registers and a text, replicated by states, by deltas or by operations.
//!
//! *Problem.* Clients change data at whichever replica they reach, at once and without asking
//! anybody. Replicas that have received the same updates are in the same state, whatever the order,
//! and all receive all in the end.
//!
//! *Model.* Links `FairLoss`; nodes `CrashRecovery`, any number down; timing `Asynchronous`: the
//! one timer only says when to gossip. By operations, nothing holds without causal delivery.
//!
//! *Idea.* Each update has a name, its *dot*: replica and number. What a replica has received is a
//! vector, its *context*, and an object is built so that dots and contexts say what to keep. To
//! merge two states keeps what both have, and what only one has unless the other's context says
//! that it was there, and is gone. A *delta* is a state without what the receiver has. An operation
//! takes away what its maker had seen, and no more.
//!
//! *Properties*, guarded by [`invariants`] but for the last two:
//! - `Convergence` replicas with the same context show the same, at any moment;
//! - `Counter` the sum of the updates received; `Set` an element shows if some insertion of it was
//!   not seen by any removal received (add wins); `Last` the register of the last writer; `Values`
//!   what no later write has seen; `Text` the characters typed and not erased, each behind the one
//!   behind which it was typed, and behind what was typed there later;
//! - `Clock` the clock of an update is above those of all that it rests on (Lamport 1978);
//! - `Delivery` in the end all replicas have received the same (eventual delivery);
//! - `L1` whoever asks a replica that is up is answered by it alone.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Merge`](Message::Merge) | replica | one other | my state, or what of it you lack |
//! | [`Context`](Message::Context) | replica | one other | what I have received |
//! | [`Update`](Message::Update) | replica | others | one operation |
//!
//! *Journal record*: the whole state, synced before anybody is told of anything in it.
//!
//! *Deviations*
//! - All objects of a replica are one state with one context; the set is the one without
//!   tombstones (Bieniusa et al., *An Optimized Conflict-free Replicated Set*, 2012), and so is the
//!   multi-value register.
//! - Deltas are cut for each receiver from its last context (Almeida, Shoker and Baquero, *Delta
//!   State Replicated Data Types*, 2018, section 5: causal delta-merging); a whole state is the
//!   delta from nothing.
//! - Lost operations are sent again to who says what it has received: anti-entropy in the place of
//!   a reliable causal broadcast.
//! - The text is RGA (Roh et al., 2011), whose erased characters stay as tombstones until their
//!   erasure is *causally stable* (known to be received by all) and nothing hangs from them.
//! - The last writer is by Lamport's clock, not by the time of day.
//!
//! *Reading map*
//!
//! | source | here |
//! |---|---|
//! | SSS 2011, 2.1, state-based; 2.2, operation-based | `State::merge`, `State::apply` |
//! | RR-7506, 3.1 counters, 3.2 registers, 3.3 sets | `objects` |
//! | Almeida et al., definition 2, condition 5 | `State::delta`, `on_merge` |
//! | Roh et al., section 4 | `text` |
//! | Baquero, Almeida and Shoker 2014, causal stability | `collect` |

mod invariants;
pub mod objects;
mod state;
pub mod text;

use crate::kv::Text;
use seedfall_sim::{Context, Duration, NodeId, Protocol, RequestId, SortedMap, SortedSet};

pub use invariants::{Invariants, invariants};
pub use state::{Delta, Dot, Shown, State, Vector};

/// How replicas tell each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Mode {
    /// Their whole state.
    States,
    /// What of it the other lacks.
    Deltas,
    /// Each operation, once its causes are there.
    Operations,
    /// Each operation as it comes, and as often: what the others are there to prevent.
    Raw,
}

/// The parameters, equal on all replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// How replicas tell each other.
    pub mode: Mode,
    /// How often a replica gossips with one of the others.
    pub interval: Duration,
}

/// What an update does, as its replica made it of what a client asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Adds this to the counter.
    Add(i64),
    /// Puts an element into the set.
    Insert(Text),
    /// Removes it, as far as its replica has seen it.
    Remove(Text),
    /// Sets the register of the last writer.
    Assign(Text),
    /// Sets the register of many values.
    Write(Text),
    /// Types a character behind another, or at the beginning.
    Type(Option<Place>, char),
    /// Erases one.
    Erase(Place),
}

/// The name of a character: later ones are greater than all that their replica had seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Lamport's clock.
    pub clock: u64,
    /// Whose.
    pub node: NodeId,
}

/// One update.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Update {
    /// Its name.
    pub dot: Dot,
    /// What its replica had received.
    pub past: Vector,
    /// Its time, by Lamport's clock.
    pub clock: u64,
    /// What it does.
    pub operation: Operation,
}

/// What replicas send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// A state, or what of it the receiver lacks.
    Merge(Box<Delta>),
    /// What the sender has received.
    Context(Vector),
    /// One operation.
    Update(Update),
}

/// A replica's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// Time to gossip.
    Gossip,
}

/// What a replica writes to its journal: all that it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record(Box<Durable>);

/// The state of a replica, the operations that it keeps for others, and its own last update.
type Durable = (State, SortedMap<Dot, Update>, Option<Update>);

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// Adds this to the counter.
    Add(i64),
    /// Puts an element into the set.
    Insert(Text),
    /// Removes it.
    Remove(Text),
    /// Sets the register of the last writer.
    Assign(Text),
    /// Sets the register of many values.
    Write(Text),
    /// Types a character behind the so manyth, or at the end.
    Type(usize, char),
    /// Erases the so manyth character, or the last one.
    Erase(usize),
    /// What is there?
    Read,
}

/// What a client is told: what the replica shows then.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Response(pub Shown);

/// One replica.
#[derive(Clone, Debug)]
pub struct Replica {
    id: NodeId,
    config: Config,
    state: State,
    /// Operations that not all have received for certain.
    log: SortedMap<Dot, Update>,
    /// Operations whose causes are missing.
    early: SortedMap<Dot, Update>,
    /// What the others have received, as far as they have said.
    known: SortedMap<NodeId, Vector>,
    /// Its own last update.
    last: Option<Update>,
}

impl Protocol for Replica {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        let (state, log, last) =
            journal.last().map(|record| (*record.0).clone()).unwrap_or_default();
        ctx.set_timer(Timer::Gossip, config.interval);
        Self {
            id,
            config: *config,
            state,
            log,
            early: SortedMap::new(),
            known: SortedMap::new(),
            last,
        }
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match message {
            Message::Merge(delta) => self.on_merge(from, &delta, ctx),
            Message::Context(vector) => self.on_context(from, &vector, ctx),
            Message::Update(update) => self.on_update(update, ctx),
        }
    }

    fn on_timer(&mut self, Timer::Gossip: Timer, ctx: &mut Context<'_, Self>) {
        ctx.set_timer(Timer::Gossip, self.config.interval);
        let others = ctx.nodes() as u32 - 1;
        if others == 0 {
            return;
        }
        let drawn = ctx.draw().below(others) as usize;
        let to = NodeId::new(((self.id.index() + 1 + drawn) % ctx.nodes()) as u16);
        let message = match self.config.mode {
            Mode::States => Message::Merge(Box::new(self.state.delta(&Vector::default()))),
            Mode::Deltas => {
                let since = self.known.get(&to).cloned().unwrap_or_default();
                if since == *self.state.context() {
                    return; // It has all.
                }
                Message::Merge(Box::new(self.state.delta(&since)))
            }
            Mode::Operations | Mode::Raw => Message::Context(self.state.context().clone()),
        };
        ctx.send(to, message);
    }

    fn on_request(&mut self, id: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        if let Some(operation) = self.operation(body) {
            let dot = self.state.next(self.id);
            let past = self.state.context().clone();
            let update = Update { dot, past, clock: self.state.clock() + 1, operation };
            self.state.apply(&update);
            self.last = Some(update.clone());
            if matches!(self.config.mode, Mode::Operations | Mode::Raw) {
                self.log.insert(dot, update.clone());
                self.keep(ctx);
                ctx.broadcast(Message::Update(update));
            } else {
                self.keep(ctx);
            }
        }
        ctx.respond(id, Response(self.state.shown()));
    }
}

impl Replica {
    /// Its state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Its own last update, and the operations that it keeps for others.
    pub fn updates(&self) -> impl Iterator<Item = &Update> {
        self.last.iter().chain(self.log.values())
    }

    /// Makes all that it is durable.
    fn keep(&self, ctx: &mut Context<'_, Self>) {
        let durable = (self.state.clone(), self.log.clone(), self.last.clone());
        ctx.append(Record(Box::new(durable)));
        ctx.sync();
    }

    /// What a client wants, as an update of this state; nothing, if it changes nothing.
    fn operation(&self, body: Request) -> Option<Operation> {
        let text = self.state.text();
        Some(match body {
            Request::Add(amount) => Operation::Add(amount),
            Request::Insert(element) => Operation::Insert(element),
            Request::Remove(element) => Operation::Remove(element),
            Request::Assign(value) => Operation::Assign(value),
            Request::Write(value) => Operation::Write(value),
            Request::Type(place, char) => {
                let before = place.min(text.len());
                Operation::Type(before.checked_sub(1).map(|at| text[at].0), char)
            }
            Request::Erase(place) => Operation::Erase(text.get(place).or(text.last())?.0),
            Request::Read => return None,
        })
    }

    /// A state, or a part of one: it can be merged if nothing before it is missing.
    fn on_merge(&mut self, from: NodeId, delta: &Delta, ctx: &mut Context<'_, Self>) {
        if !self.state.context().covers(delta.since()) {
            ctx.reach("merge: something before it is missing");
        } else if self.state.merge(delta) {
            self.keep(ctx);
        }
        ctx.send(from, Message::Context(self.state.context().clone()));
        self.note(from, delta.context(), ctx);
    }

    /// What another has received; by operations, it is sent what it lacks.
    fn on_context(&mut self, from: NodeId, vector: &Vector, ctx: &mut Context<'_, Self>) {
        if matches!(self.config.mode, Mode::Operations | Mode::Raw) {
            let lacks = self.log.values().filter(|update| !vector.has(update.dot));
            for update in lacks.cloned() {
                ctx.send(from, Message::Update(update));
            }
        }
        self.note(from, vector, ctx);
    }

    /// Notes what another has received. Only if it is all here as well: else it may have updates of
    /// its own under way that rest on what is about to be collected.
    fn note(&mut self, from: NodeId, vector: &Vector, ctx: &mut Context<'_, Self>) {
        if self.state.context().covers(vector) {
            self.known.insert(from, vector.clone());
            self.collect(ctx);
        }
    }

    /// Forgets what all have received: operations, and characters that are erased.
    fn collect(&mut self, ctx: &mut Context<'_, Self>) {
        if self.known.len() + 1 < ctx.nodes() {
            return;
        }
        let stable = self.known.values().fold(self.state.context().clone(), |a, b| a.meet(b));
        let before = self.log.len();
        self.log.retain(|dot, _| !stable.has(*dot));
        if self.log.len() < before {
            ctx.reach("collect: operations that all have received");
        }
        if self.state.collect(&stable) {
            ctx.reach("collect: characters whose erasure all have received");
        }
    }

    /// An operation: it waits for its causes, and is applied once.
    fn on_update(&mut self, update: Update, ctx: &mut Context<'_, Self>) {
        if self.config.mode == Mode::Raw {
            self.state.apply(&update);
            self.log.insert(update.dot, update);
            return self.keep(ctx);
        }
        if self.state.context().has(update.dot) {
            return ctx.ignore("update: received before");
        }
        self.early.insert(update.dot, update);
        let mut applied = false;
        while let Some(next) = self.ready() {
            let update = self.early.remove(&next).expect("just found");
            self.state.apply(&update);
            self.log.insert(next, update);
            applied = true;
        }
        if applied {
            self.keep(ctx);
        } else {
            ctx.reach("update: its causes are missing");
        }
        let context = self.state.context();
        self.early.retain(|dot, _| !context.has(*dot));
    }

    /// An operation all whose causes are there.
    fn ready(&self) -> Option<Dot> {
        let context = self.state.context();
        let fits = |update: &&Update| context.covers(&update.past) && !context.has(update.dot);
        self.early.values().find(fits).map(|update| update.dot)
    }
}

/// The elements of a set, each under the dots of its insertions.
pub(crate) type Dotted<T> = SortedMap<T, SortedSet<Dot>>;
