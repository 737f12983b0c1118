//! Total-order broadcast by a sequencer, with failover: a *fixed sequencer* in Défago, Schiper and
//! Urbán, *Total Order Broadcast and Multicast Algorithms: Taxonomy and Survey*, ACM Computing
//! Surveys 2004, section 4.1 (the variant in which messages go to the sequencer first); epochs, and
//! what a new sequencer must collect, as in Birman and van Renesse's ISIS and in `CorfuDB`.
//!
//! *Problem.* Nodes deliver messages, all of them in the same order, though the one that says which
//! order fails.
//!
//! *Model.* Links `FairLoss`; nodes `CrashRecovery`, any number for safety, fewer than `n / 2` down
//! at a time for progress; timing `Asynchronous` for safety, `PartiallySynchronous` for progress.
//!
//! *Idea.* The sequencer of an epoch gives each message a number, and sends it to all; what a
//! majority has written down under a number is *stable*, and is delivered in the order of the
//! numbers. If the sequencer falls silent, another begins a later epoch. A majority tells it which
//! numbers were given, and to what, and takes part in no earlier epoch any more; so it knows
//! whatever was stable. It gives those numbers to the same messages, those that nobody of them
//! knows to nothing, and goes on after the highest.
//!
//! *Properties*, guarded by [`invariants`] but for the last two:
//! - TO1 total order: the nodes deliver the same messages at the same places;
//! - TO2 integrity: nothing is delivered twice; what is delivered stays, crash or no crash;
//! - TO3 a number has one message in an epoch;
//! - TO4 what is stable has its number in every later epoch;
//! - TO5 agreement: what one node delivers, all do (judged at the end of the run);
//! - S1 the places that clients are told are those of one log (judged on the history).
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Publish`](Message::Publish) | sender | sequencer | a message |
//! | [`Order`](Message::Order) | sequencer | all | it has this number; so much is stable |
//! | [`Ordered`](Message::Ordered) | node | sequencer | that is written down |
//! | [`Beat`](Message::Beat) | sequencer | all | I am here; so much is stable |
//! | [`Missing`](Message::Missing) | node | sequencer | I lack these numbers |
//! | [`Collect`](Message::Collect) | new sequencer | all | what is ordered? |
//! | [`Collected`](Message::Collected) | node | new sequencer | this; I follow you |
//!
//! *Journal records* ([`Record`]), each synced before anything is said of it.
//!
//! *Deviations*
//! - The survey leaves the failure of the sequencer to group membership; here it is a majority.
//! - Everything is repeated until it is answered (the survey has reliable channels).
//!
//! *What a client must do.* Ask one node, its [`home_of`], which others name; ask again under the
//! same number.
//!
//! *Reading map*
//!
//! | survey, Figure 6 | here |
//! |---|---|
//! | the sender | `on_request`, `publish` |
//! | the sequencer | `leading` |
//! | the destinations | `on_order`, `deliver` |

mod invariants;
mod leading;

use crate::kv::Text;
use leading::Leading;
use seedfall_sim::{Context, Duration, NodeId, Protocol, RequestId, SortedMap};

pub use crate::total_order::home_of;
pub use invariants::{Invariants, invariants};

/// The parameters, equal on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// How often a sequencer says that it is there, and whatever may be lost is repeated.
    pub interval: Duration,
    /// After how long without a word from the sequencer a node wants to be it: at least.
    pub suspect_min: Duration,
    /// And less than.
    pub suspect_max: Duration,
    /// How many nodes must have written a number down before it is stable: a majority, unless a
    /// scenario shows what happens otherwise.
    pub copies: usize,
}

/// Counts the sequencers: that of an epoch is the node of its number, counted around.
pub type Epoch = u32;

/// What is broadcast: named by the request for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Item {
    /// Which.
    pub id: RequestId,
    /// What it says.
    pub text: Text,
}

/// What has a number: nothing, where nobody knew what it was given to.
pub type Slot = Option<Item>;

/// What nodes send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// This is to be ordered.
    Publish(Item),
    /// This has a number.
    Order {
        /// In which epoch.
        epoch: Epoch,
        /// Which number, from zero on.
        number: usize,
        /// What has it.
        slot: Slot,
        /// So many numbers are stable.
        stable: usize,
    },
    /// That is written down.
    Ordered {
        /// In which epoch.
        epoch: Epoch,
        /// Which number.
        number: usize,
    },
    /// The sequencer is there.
    Beat {
        /// Of which epoch.
        epoch: Epoch,
        /// So many numbers are stable.
        stable: usize,
    },
    /// The sender lacks numbers from this one on.
    Missing {
        /// In which epoch.
        epoch: Epoch,
        /// From which on.
        from: usize,
    },
    /// An epoch is to begin.
    Collect {
        /// Which.
        epoch: Epoch,
    },
    /// The sender takes part in no earlier one.
    Collected {
        /// Which.
        epoch: Epoch,
        /// What it has written down: number, epoch, and what has the number.
        slots: Vec<(usize, Epoch, Slot)>,
    },
}

/// A node's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// Time to say again what may be lost.
    Interval,
    /// The sequencer is silent.
    Suspect,
}

/// What a node writes to its journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Record {
    /// It takes part in no earlier epoch.
    Epoch(Epoch),
    /// A number has this, in an epoch.
    Slot(usize, Epoch, Slot),
    /// So many numbers are delivered.
    Delivered(usize),
}

/// What a client asks: broadcast this.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Request(pub Text);

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Response {
    /// It is delivered, after so many others.
    Delivered {
        /// How many.
        place: u64,
    },
    /// This node did nothing: the client's home is that one.
    Elsewhere {
        /// Which.
        home: NodeId,
    },
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sequenced {
    id: NodeId,
    nodes: usize,
    config: Config,
    /// The latest epoch in which it takes part.
    epoch: Epoch,
    /// What is written down under each number, and in which epoch.
    slots: SortedMap<usize, (Epoch, Slot)>,
    /// So many numbers are known to be stable in this epoch.
    stable: usize,
    /// So many numbers are delivered.
    next: usize,
    delivered: Vec<Item>,
    /// What its clients want broadcast, and is not delivered here.
    outgoing: Vec<Item>,
    /// What it knows as the sequencer.
    leading: Option<Leading>,
    /// Counts what it has written down in this life: for those who watch.
    written: usize,
}

impl Protocol for Sequenced {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        config.check();
        let mut node = Self {
            id,
            nodes: ctx.nodes(),
            config: *config,
            epoch: 0,
            slots: SortedMap::new(),
            stable: 0,
            next: 0,
            delivered: Vec::new(),
            outgoing: Vec::new(),
            leading: None,
            written: journal.len(),
        };
        let mut next = 0;
        for record in journal.iter().cloned() {
            match record {
                Record::Epoch(epoch) => node.epoch = epoch,
                Record::Slot(number, epoch, slot) => drop(node.slots.insert(number, (epoch, slot))),
                Record::Delivered(count) => next = count,
            }
        }
        node.deliver_up_to(next);
        ctx.set_timer(Timer::Interval, config.interval);
        if node.epoch == 0 && id == node.sequencer() && journal.is_empty() {
            // The first epoch has its sequencer from the start.
            node.collect(node.nodes as Epoch, ctx);
        } else {
            node.suspect_later(ctx);
        }
        node
    }

    fn on_request(&mut self, request: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        let home = home_of(request.client, self.nodes);
        if home != self.id {
            return ctx.respond(request, Response::Elsewhere { home });
        }
        if let Some(place) = self.delivered.iter().position(|one| one.id == request) {
            ctx.reach("request: a retry is not broadcast twice");
            return ctx.respond(request, Response::Delivered { place: place as u64 });
        }
        if self.outgoing.iter().any(|one| one.id == request) {
            return ctx.ignore("request: already under way");
        }
        self.outgoing.push(Item { id: request, text: body.0 });
        self.publish(ctx);
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match message {
            Message::Publish(item) => self.on_publish(item, ctx),
            Message::Order { epoch, number, slot, stable } => {
                self.on_order(from, (epoch, number, stable), slot, ctx);
            }
            Message::Ordered { epoch, number } => self.on_ordered(from, epoch, number, ctx),
            Message::Beat { epoch, stable } => self.on_beat(from, epoch, stable, ctx),
            Message::Missing { epoch, from: number } => self.on_missing(from, epoch, number, ctx),
            Message::Collect { epoch } => self.on_collect(from, epoch, ctx),
            Message::Collected { epoch, slots } => self.on_collected(from, epoch, slots, ctx),
        }
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) {
        match timer {
            Timer::Interval => {
                ctx.set_timer(Timer::Interval, self.config.interval);
                self.publish(ctx);
                self.say_again(ctx);
            }
            Timer::Suspect => {
                ctx.reach("epoch: the sequencer is silent");
                let ahead = (1..=self.nodes as Epoch).map(|more| self.epoch + more);
                let own = ahead.into_iter().find(|epoch| self.sequencer_of(*epoch) == self.id);
                self.collect(own.expect("one of so many in a row"), ctx);
            }
        }
    }

    /// Who leads is the sequencer of an epoch that has begun.
    fn is_leader(&self) -> bool {
        self.leading.as_ref().is_some_and(Leading::has_begun)
    }

    fn waits(&self) -> String {
        match (&self.leading, self.outgoing.first()) {
            (Some(leading), _) if !leading.has_begun() => {
                format!("for a majority to begin epoch {}", self.epoch)
            }
            (_, Some(item)) => format!("for {} to be delivered", item.id),
            _ => String::new(),
        }
    }
}

impl Sequenced {
    /// The sender: what is not delivered is sent to the sequencer, again and again.
    fn publish(&mut self, ctx: &mut Context<'_, Self>) {
        for item in self.outgoing.clone() {
            match self.sequencer() {
                sequencer if sequencer == self.id => self.on_publish(item, ctx),
                sequencer => ctx.send(sequencer, Message::Publish(item)),
            }
        }
    }

    /// A destination: writes down what has which number.
    fn on_order(
        &mut self,
        from: NodeId,
        (epoch, number, stable): (Epoch, usize, usize),
        slot: Slot,
        ctx: &mut Context<'_, Self>,
    ) {
        if !self.follows(epoch, ctx) {
            return;
        }
        self.write_down(number, slot, ctx);
        ctx.send(from, Message::Ordered { epoch, number });
        self.is_stable(stable, ctx);
    }

    fn on_beat(&mut self, from: NodeId, epoch: Epoch, stable: usize, ctx: &mut Context<'_, Self>) {
        if !self.follows(epoch, ctx) {
            return;
        }
        self.is_stable(stable, ctx);
        if self.next < self.stable {
            ctx.reach("deliver: a number before is missing");
            ctx.send(from, Message::Missing { epoch, from: self.next });
        }
    }

    /// Takes part in this epoch from now on; false if in a later one.
    fn follows(&mut self, epoch: Epoch, ctx: &mut Context<'_, Self>) -> bool {
        if epoch < self.epoch {
            ctx.ignore("sequencer: of an earlier epoch");
            return false;
        }
        self.enter(epoch, ctx);
        self.suspect_later(ctx);
        true
    }

    /// Takes part in no earlier epoch.
    fn enter(&mut self, epoch: Epoch, ctx: &mut Context<'_, Self>) {
        if self.epoch < epoch {
            (self.epoch, self.stable, self.leading) = (epoch, 0, None);
            ctx.append(Record::Epoch(epoch));
            ctx.sync();
        }
    }

    /// Durably: it may be the one that makes a majority.
    fn write_down(&mut self, number: usize, slot: Slot, ctx: &mut Context<'_, Self>) {
        let now = (self.epoch, slot);
        if self.slots.get(&number) != Some(&now) {
            ctx.append(Record::Slot(number, now.0, now.1.clone()));
            ctx.sync();
            self.slots.insert(number, now);
            self.written += 1;
        }
    }

    /// So many numbers are stable in this epoch: those that are here are delivered, in order.
    fn is_stable(&mut self, stable: usize, ctx: &mut Context<'_, Self>) {
        self.stable = self.stable.max(stable);
        let is_here = |number: &usize| {
            *number < self.stable
                && self.slots.get(number).is_some_and(|(epoch, _)| *epoch == self.epoch)
        };
        let until = (self.next..).find(|number| !is_here(number)).expect("numbers end");
        if until == self.next {
            return;
        }
        let before = self.delivered.len();
        ctx.append(Record::Delivered(until));
        ctx.sync();
        self.deliver_up_to(until);
        for (place, item) in self.delivered.iter().enumerate().skip(before) {
            self.outgoing.retain(|one| one.id != item.id);
            if home_of(item.id.client, self.nodes) == self.id {
                ctx.respond(item.id, Response::Delivered { place: place as u64 });
            }
        }
    }

    fn deliver_up_to(&mut self, until: usize) {
        for number in self.next..until {
            // A message that two sequencers were sent may have two numbers: the first counts.
            if let Some((_, Some(item))) = self.slots.get(&number)
                && !self.delivered.contains(item)
            {
                self.delivered.push(item.clone());
            }
        }
        self.next = self.next.max(until);
    }

    fn suspect_later(&self, ctx: &mut Context<'_, Self>) {
        let Config { suspect_min, suspect_max, .. } = self.config;
        let after = ctx.draw().duration(suspect_min..suspect_max);
        ctx.set_timer(Timer::Suspect, after);
    }

    fn sequencer_of(&self, epoch: Epoch) -> NodeId {
        NodeId::new((epoch as usize % self.nodes) as u16)
    }

    fn sequencer(&self) -> NodeId {
        self.sequencer_of(self.epoch)
    }
}

/// What reports and scenarios ask of a node.
impl Sequenced {
    /// All that it has delivered, in order.
    pub fn delivered(&self) -> &[Item] {
        &self.delivered
    }

    /// What it has written down under each number, and in which epoch.
    pub fn slots(&self) -> &SortedMap<usize, (Epoch, Slot)> {
        &self.slots
    }

    /// How much it has written down: unchanged if nothing was.
    pub(super) fn written(&self) -> usize {
        self.written
    }

    pub(super) fn majority(&self) -> usize {
        self.nodes / 2 + 1
    }

    /// The latest epoch in which it takes part.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
}

impl Config {
    fn check(&self) {
        assert!(Duration::ZERO < self.interval, "interval must be above zero");
        assert!(self.interval < self.suspect_min, "suspect_min must outlast an interval");
        assert!(self.suspect_min < self.suspect_max, "suspect_max must be above suspect_min");
    }
}
