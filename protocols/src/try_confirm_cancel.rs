//! Try, confirm, cancel (Pardon and Pautasso, *Towards Distributed Atomic Transactions over
//! `RESTful` Services*, in *REST: From Research to Practice*, 2011; the idea after Helland, *Life
//! beyond Distributed Transactions: an Apostate's Opinion*, CIDR 2007).
//!
//! *Problem.* A booking takes units of several resources, each kept by a service of its own that
//! locks nothing for others. It takes all of them, or none.
//!
//! *Model.* Links `FairLoss`; nodes `CrashRecovery`, any number at a time; timing `Asynchronous`
//! for safety. A booking ends once its coordinator and its resources are up and connected for a
//! while. Unlike in two-phase commit nobody is blocked meanwhile: units that are reserved are out
//! of sight, and all others can be booked.
//!
//! *Idea.* *Try* reserves units, which is a change like any other, made and durable at once. Once
//! all have reserved, *confirm* makes the reservations final; else *cancel* gives them back. Either
//! is repeated until it is acknowledged, so that each must do nothing the second time.
//!
//! *Properties*, guarded by [`invariants`] but for the last three:
//! - S1 conservation: available, reserved and taken units of a resource are its stock, always;
//! - S2 atomicity: no booking is confirmed at one resource and cancelled at another;
//! - S3 a reservation is confirmed or cancelled for good, crash or no crash;
//! - S4 nothing is promised twice: what clients were told is confirmed fits into the stock (judged
//!   on the history);
//! - S5 what a client was told is how its booking ends (judged on the history, at the end);
//! - L1 in the end no unit is reserved: every booking ends.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Try`](Message::Try) | coordinator | resource | reserve so many |
//! | [`Reserved`](Message::Reserved), [`Refused`](Message::Refused) | resource | coordinator | |
//! | [`Confirm`](Message::Confirm) | coordinator | resource | the reservation is final |
//! | [`Cancel`](Message::Cancel) | coordinator | resource | give it back |
//! | [`Done`](Message::Done) | resource | coordinator | either is done |
//!
//! *Journal records* ([`Record`]), each synced before anything is said of it.
//!
//! *What messages do that are late.* A cancel may come without its try, which is lost or late (an
//! *empty cancel*): it gives nothing back, and is remembered. A try may come after its cancel (a
//! *hanging try*): it must reserve nothing, since nobody would ever give it back.
//!
//! *Deviations*
//! - In the paper a resource cancels by itself after a time that it tells, and a coordinator must
//!   confirm before. Here the coordinator's journal outlives it, and it cancels.
//! - The first node coordinates every booking; the others are the resources.
//! - A resource never forgets a booking.
//!
//! *What a client must do.* Ask the first node, which others name; ask again under the same number.
//!
//! *Reading map*
//!
//! | source | here |
//! |---|---|
//! | Pardon and Pautasso, the coordinator service | `coordinator` |
//! | the same, participating services | `on_try`, `on_confirm`, `on_cancel` |

mod coordinator;
mod invariants;

use coordinator::Booking;
use seedfall_sim::{Context, Duration, NodeId, Protocol, RequestId, SortedMap};

pub use invariants::{Invariants, invariants};

/// The parameters, equal on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// How many units each resource has.
    pub stock: u32,
    /// How long the coordinator waits for an answer before it asks again: above zero.
    pub retry_interval: Duration,
    /// How often it tries before it cancels; confirm and cancel are repeated until they are done.
    /// At least one.
    pub attempts: u32,
}

/// The node that coordinates.
pub const COORDINATOR: NodeId = NodeId::new(0);

/// A booking is named by the request for it.
pub type BookingId = RequestId;

/// Units of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Need {
    /// Who keeps it; not the coordinator.
    pub resource: NodeId,
    /// How many.
    pub units: u32,
}

/// What nodes send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// Reserve.
    Try {
        /// For which booking.
        booking: BookingId,
        /// How many units.
        units: u32,
    },
    /// To a try: they are reserved, durably.
    Reserved {
        /// For which booking.
        booking: BookingId,
    },
    /// To a try: there are not as many, or it is cancelled.
    Refused {
        /// Which booking.
        booking: BookingId,
    },
    /// The reservation is final.
    Confirm {
        /// Of which booking.
        booking: BookingId,
    },
    /// The reservation is given back.
    Cancel {
        /// Of which booking.
        booking: BookingId,
        /// How many units it asked for.
        units: u32,
    },
    /// To a confirm or a cancel: done, durably.
    Done {
        /// Of which booking.
        booking: BookingId,
    },
}

/// The coordinator's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// Not all resources have answered about this booking.
    Retry(BookingId),
}

/// What a node writes to its journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Record {
    /// The coordinator has begun this.
    Begun {
        /// Which booking.
        booking: BookingId,
        /// What it needs.
        needs: Vec<Need>,
    },
    /// The coordinator has decided.
    Decided {
        /// Which booking.
        booking: BookingId,
        /// Whether it is confirmed.
        confirm: bool,
    },
    /// A resource holds a booking in this state.
    Held {
        /// Which booking.
        booking: BookingId,
        /// How many units.
        units: u32,
        /// In which state.
        state: State,
    },
}

/// Where a resource is with a booking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum State {
    /// Units are reserved.
    Reserved,
    /// They are taken.
    Confirmed,
    /// None are, nor will be.
    Cancelled,
}

/// What a client asks: all of this, or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Request {
    /// What it needs; each resource once, at least one.
    pub needs: Vec<Need>,
}

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Response {
    /// It has all that it needs.
    Confirmed,
    /// It has nothing, nor will have.
    Cancelled,
    /// This node is a resource: ask the coordinator.
    Elsewhere,
}

/// A node: the coordinator, or a resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    id: NodeId,
    config: Config,
    /// Of a coordinator: every booking.
    bookings: SortedMap<BookingId, Booking>,
    /// Of a resource: how many units nobody has.
    available: u32,
    /// Of a resource: every booking that it has heard of, with its units.
    held: SortedMap<BookingId, (u32, State)>,
}

impl Protocol for Node {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        assert!(Duration::ZERO < config.retry_interval, "retry_interval must be above zero");
        assert!(0 < config.attempts, "attempts must be at least one");
        let (bookings, available, held) = (SortedMap::new(), config.stock, SortedMap::new());
        let mut node = Self { id, config: *config, bookings, available, held };
        for record in journal.iter().cloned() {
            match record {
                Record::Begun { booking, needs } => {
                    node.bookings.insert(booking, Booking::begun(needs));
                }
                Record::Decided { booking, confirm } => {
                    let booking = node.bookings.get_mut(&booking);
                    booking.expect("it was begun").decided(confirm);
                }
                Record::Held { booking, units, state } => node.move_to(booking, units, state),
            }
        }
        node.resume(ctx);
        node
    }

    fn on_request(&mut self, request: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        if self.id != COORDINATOR {
            return ctx.respond(request, Response::Elsewhere);
        }
        self.begin(request, body.needs, ctx);
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match message {
            Message::Try { booking, units } => self.on_try(from, booking, units, ctx),
            Message::Confirm { booking } => self.on_confirm(from, booking, ctx),
            Message::Cancel { booking, units } => self.on_cancel(from, booking, units, ctx),
            Message::Reserved { booking } => self.on_reserved(from, booking, ctx),
            Message::Refused { booking } => self.on_refused(booking, ctx),
            Message::Done { booking } => self.on_done(from, booking, ctx),
        }
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) {
        let Timer::Retry(booking) = timer;
        self.on_retry(booking, ctx);
    }

    fn is_leader(&self) -> bool {
        self.id == COORDINATOR
    }

    fn waits(&self) -> String {
        let open = self.bookings.iter().filter(|(_, booking)| !booking.is_over());
        open.map(|(id, booking)| format!("{id}: {booking}")).collect::<Vec<_>>().join("; ")
    }
}

/// The resources. Whatever comes twice does something once.
impl Node {
    fn on_try(
        &mut self,
        from: NodeId,
        booking: BookingId,
        units: u32,
        ctx: &mut Context<'_, Self>,
    ) {
        let is_reserved = match self.held.get(&booking) {
            Some((_, State::Cancelled)) => {
                ctx.reach("try: comes after its cancel");
                false
            }
            Some((_, State::Reserved | State::Confirmed)) => {
                ctx.reach("try: comes again");
                true
            }
            None if self.available < units => {
                ctx.reach("try: there are not as many");
                false
            }
            None => {
                self.hold(booking, units, State::Reserved, ctx);
                true
            }
        };
        ctx.send(
            from,
            match is_reserved {
                true => Message::Reserved { booking },
                false => Message::Refused { booking },
            },
        );
    }

    fn on_confirm(&mut self, from: NodeId, booking: BookingId, ctx: &mut Context<'_, Self>) {
        match self.held.get(&booking) {
            Some((units, State::Reserved)) => self.hold(booking, *units, State::Confirmed, ctx),
            Some((_, State::Confirmed)) => ctx.reach("confirm: comes again"),
            // Nobody confirms what is not reserved everywhere: the invariants will tell.
            Some((_, State::Cancelled)) | None => return ctx.ignore("confirm: not reserved"),
        }
        ctx.send(from, Message::Done { booking });
    }

    fn on_cancel(
        &mut self,
        from: NodeId,
        booking: BookingId,
        units: u32,
        ctx: &mut Context<'_, Self>,
    ) {
        match self.held.get(&booking) {
            Some((_, State::Reserved)) => self.hold(booking, units, State::Cancelled, ctx),
            Some((_, State::Cancelled)) => ctx.reach("cancel: comes again"),
            Some((_, State::Confirmed)) => return ctx.ignore("cancel: confirmed already"),
            None => {
                ctx.reach("cancel: comes without its try");
                self.hold(booking, units, State::Cancelled, ctx);
            }
        }
        ctx.send(from, Message::Done { booking });
    }

    /// A booking goes to a state, durably, before anything is said of it.
    fn hold(&mut self, booking: BookingId, units: u32, state: State, ctx: &mut Context<'_, Self>) {
        self.move_to(booking, units, state);
        ctx.append(Record::Held { booking, units, state });
        ctx.sync();
    }

    fn move_to(&mut self, booking: BookingId, units: u32, state: State) {
        let before = self.held.insert(booking, (units, state));
        match (before, state) {
            (None, State::Reserved) => self.available -= units,
            (Some((reserved, State::Reserved)), State::Cancelled) => self.available += reserved,
            _ => {} // What is confirmed was reserved; an empty cancel gives nothing back.
        }
    }
}

/// What reports and scenarios ask of a node.
impl Node {
    /// Of a resource: how many units nobody has.
    pub fn available(&self) -> u32 {
        self.available
    }

    /// Of a resource: every booking that it has heard of, how many units, and where it is.
    pub fn held(&self) -> impl Iterator<Item = (BookingId, u32, State)> {
        self.held.iter().map(|(id, (units, state))| (*id, *units, *state))
    }

    /// How many units each resource has.
    pub fn stock(&self) -> u32 {
        self.config.stock
    }

    /// Of the coordinator: the bookings that are not over.
    pub fn open_count(&self) -> usize {
        self.bookings.values().filter(|booking| !booking.is_over()).count()
    }
}
