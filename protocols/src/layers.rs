//! Links as layers below any protocol (Cachin, Guerraoui and Rodrigues, *Introduction to Reliable
//! and Secure Distributed Programming*, 2011, section 2.4, cited as CGR).
//!
//! *Problem.* A protocol of a book assumes links that neither lose nor double, that keep the order,
//! or on which nobody speaks in another's name. The wire does not have them. A layer stands between
//! the two: it takes the messages of any [`Protocol`], and changes nothing else of it.
//!
//! *Model.* [`Perfect`]: links `FairLoss`, which it makes `Reliable`; nodes `CrashStop` or
//! `Byzantine`, since its numbers do not survive a crash ([`links`](crate::links) has those that
//! do); timing `Asynchronous`. [`Authenticated`]: links `Arbitrary`, which it makes `FairLoss`; any
//! nodes; timing `Asynchronous`. One on the other makes arbitrary links reliable.
//!
//! *Idea.* *Perfect*: each message to a node has a number, is sent again and again until it is
//! acknowledged, and its number is handed up once; with [`Order::Fifo`], in the order of numbers.
//! *Authenticated*: each carries a code over its text, its receiver and its sender, which nobody
//! else can make; where the code does not fit, the message is dropped.
//!
//! *Properties*, guarded by [`invariants`] but for the first and the last:
//! - PL1 reliable delivery: if neither end fails, what one sends is handed up at the other (seen in
//!   what the protocol above achieves by it);
//! - PL2 no duplication: nothing is handed up twice;
//! - FRR first in, first out (with [`Order::Fifo`]): in the order of sending;
//! - AL3 authenticity: what is handed up in the name of a correct node is what that node sent to
//!   this one (seen in the same way).
//!
//! *Messages*: those of the protocol above, inside [`perfect::Message`] or
//! [`authenticated::Message`].
//!
//! *Deviations*
//! - CGR's stubborn link repeats for ever; here it stops at an acknowledgement.
//! - CGR's authenticated link is perfect too; here each layer does one thing.
//! - A code is modelled by a [signature](seedfall_sim::Signed), which more can check than need to.
//! - What a protocol broadcasts goes to each node apart, under the number or the code for it.
//! - Malicious strategies of the protocol above ([`Protocol::strategies`]) do not reach through a
//!   layer; lies one message at a time do.
//!
//! *Reading map*
//!
//! | book | here |
//! |---|---|
//! | 2.4.3 *Retransmit Forever* | [`perfect`]: `send`, `on_timer` |
//! | 2.4.4 *Eliminate Duplicates* | [`perfect`]: `on_data` |
//! | 3.9 FIFO, by sequence numbers | [`perfect`]: `on_data`, `early` |
//! | 2.4.6 *Authenticate and Filter* | [`authenticated`] |

pub mod authenticated;
mod invariants;
pub mod perfect;

use seedfall_sim::Protocol;

pub use crate::links::Order;
pub use authenticated::Authenticated;
pub use invariants::{Above, Invariants, above, invariants};
pub use perfect::Perfect;

/// A protocol that stands on links which it makes better than they are.
pub trait Layer: Protocol {
    /// The protocol above.
    type Above: Protocol;

    /// Its state.
    fn above(&self) -> &Self::Above;
}
