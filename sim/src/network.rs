//! The seam to the wire: the engine asks for the fate of each message, a network answers.

use crate::draw::Draw;
use crate::id::Address;
use crate::time::{Duration, Time};

/// What becomes of one sent message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It arrives after this long.
    Deliver(Duration),
    /// It arrives twice.
    Duplicate(Duration, Duration),
    /// It arrives after this long, with bits flipped; the word decides which.
    Corrupt(Duration, u32),
    /// It never arrives; the word says why.
    Drop(&'static str),
}

/// A message under way that arrives earlier than its fate said, since what held it up has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Released {
    /// Its sender.
    pub from: Address,
    /// Its receiver.
    pub to: Address,
    /// The index of its draw on that link.
    pub index: u64,
    /// When it would have arrived.
    pub was: Time,
    /// When it arrives instead.
    pub arrives: Time,
}

/// Decides the fate of messages. A network sees who sends to whom, never what.
pub trait Network {
    /// The fate of a message sent at `now`. `draw` is this link's, and all the randomness there is
    /// for the message.
    fn fate(&mut self, now: Time, from: Address, to: Address, draw: Draw) -> Fate;

    /// Whether a message that arrives at `now` is let in; a reason if it is not. A partition that
    /// began while the message was under way answers here.
    fn admit(&mut self, _now: Time, _from: Address, _to: Address) -> Result<(), &'static str> {
        Ok(())
    }
}
