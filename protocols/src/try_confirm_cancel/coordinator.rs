//! The coordinator: every booking from its first try to the last acknowledgement.

use super::{BookingId, Message, Need, Node, Record, Response, Timer};
use seedfall_sim::{Context, NodeId};
use std::fmt;

/// A booking.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Booking {
    needs: Vec<Need>,
    phase: Phase,
    /// Who has answered in this phase: a set, so that a doubled reply counts once.
    heard: Vec<NodeId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Resources are asked to reserve, for so many times.
    Trying(u32),
    /// They are told to make it final.
    Confirming,
    /// They are told to give it back.
    Cancelling,
}

impl Node {
    /// A client asks, perhaps again.
    pub(super) fn begin(&mut self, id: BookingId, needs: Vec<Need>, ctx: &mut Context<'_, Self>) {
        if let Some(booking) = self.bookings.get(&id) {
            return match booking.phase {
                Phase::Trying(_) => ctx.ignore("request: already under way"),
                Phase::Confirming => ctx.respond(id, Response::Confirmed),
                Phase::Cancelling => ctx.respond(id, Response::Cancelled),
            };
        }
        assert!(!needs.is_empty(), "a booking of nothing");
        ctx.append(Record::Begun { booking: id, needs: needs.clone() });
        ctx.sync(); // Who will cancel, if this node crashes, must know what.
        self.bookings.insert(id, Booking::begun(needs));
        self.tell(id, ctx);
    }

    pub(super) fn on_reserved(&mut self, from: NodeId, id: BookingId, ctx: &mut Context<'_, Self>) {
        let booking = self.bookings.get_mut(&id).expect("only what was begun is tried");
        if !matches!(booking.phase, Phase::Trying(_)) || booking.heard.contains(&from) {
            return ctx.ignore("reserved: counted, or decided");
        }
        booking.heard.push(from);
        if booking.is_heard_of_all() {
            self.decide(id, true, ctx);
        }
    }

    pub(super) fn on_refused(&mut self, id: BookingId, ctx: &mut Context<'_, Self>) {
        let booking = &self.bookings[&id];
        if !matches!(booking.phase, Phase::Trying(_)) {
            return ctx.ignore("refused: decided already");
        }
        self.decide(id, false, ctx);
    }

    /// The one moment that decides. The client can be told: the rest is repeated until it is done.
    fn decide(&mut self, id: BookingId, confirm: bool, ctx: &mut Context<'_, Self>) {
        ctx.append(Record::Decided { booking: id, confirm });
        ctx.sync();
        self.bookings.get_mut(&id).expect("the caller has it").decided(confirm);
        ctx.respond(id, if confirm { Response::Confirmed } else { Response::Cancelled });
        self.tell(id, ctx);
    }

    pub(super) fn on_done(&mut self, from: NodeId, id: BookingId, ctx: &mut Context<'_, Self>) {
        let booking = self.bookings.get_mut(&id).expect("only what was begun is decided");
        if booking.heard.contains(&from) {
            return ctx.ignore("done: known already");
        }
        booking.heard.push(from);
        if booking.is_heard_of_all() {
            ctx.cancel_timer(Timer::Retry(id));
        }
    }

    /// Some have not answered. A try is given up some day; what is decided never is.
    pub(super) fn on_retry(&mut self, id: BookingId, ctx: &mut Context<'_, Self>) {
        let booking = self.bookings.get_mut(&id).expect("the timer is set for a booking");
        if let Phase::Trying(attempts) = &mut booking.phase {
            *attempts += 1;
            if *attempts == self.config.attempts {
                ctx.reach("coordinator: gave up trying");
                return self.decide(id, false, ctx);
            }
        }
        self.tell(id, ctx);
    }

    /// Tells those who have not answered what this phase asks of them.
    fn tell(&mut self, id: BookingId, ctx: &mut Context<'_, Self>) {
        let booking = &self.bookings[&id];
        for Need { resource, units } in booking.missing() {
            ctx.send(
                *resource,
                match booking.phase {
                    Phase::Trying(_) => Message::Try { booking: id, units: *units },
                    Phase::Confirming => Message::Confirm { booking: id },
                    Phase::Cancelling => Message::Cancel { booking: id, units: *units },
                },
            );
        }
        ctx.set_timer(Timer::Retry(id), self.config.retry_interval);
    }

    /// After a crash: what was decided is told again, since nobody knows who has heard of it; what
    /// was not is cancelled.
    pub(super) fn resume(&mut self, ctx: &mut Context<'_, Self>) {
        let ids: Vec<BookingId> = self.bookings.keys().copied().collect();
        for id in ids {
            if matches!(self.bookings[&id].phase, Phase::Trying(_)) {
                ctx.reach("recovery: cancels what was being tried");
                self.decide(id, false, ctx);
            } else {
                self.tell(id, ctx);
            }
        }
    }
}

impl Booking {
    pub(super) fn begun(needs: Vec<Need>) -> Self {
        Self { needs, phase: Phase::Trying(0), heard: Vec::new() }
    }

    pub(super) fn decided(&mut self, confirm: bool) {
        self.phase = if confirm { Phase::Confirming } else { Phase::Cancelling };
        self.heard.clear();
    }

    /// Whether nothing is left to do.
    pub(super) fn is_over(&self) -> bool {
        !matches!(self.phase, Phase::Trying(_)) && self.is_heard_of_all()
    }

    fn is_heard_of_all(&self) -> bool {
        self.missing().next().is_none()
    }

    fn missing(&self) -> impl Iterator<Item = &Need> {
        self.needs.iter().filter(|need| !self.heard.contains(&need.resource))
    }
}

/// What it waits for.
impl fmt::Display for Booking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing: Vec<String> = self.missing().map(|need| need.resource.to_string()).collect();
        write!(f, "{:?}, for {}", self.phase, missing.join(", "))
    }
}
