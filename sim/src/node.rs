//! One simulated node: its life, its journal, its clock, its timers.

use crate::clock::Clock;
use crate::journal::Journal;
use crate::protocol::{Effect, Protocol};
use crate::timers::Timers;

/// The kinds of effects around which a node can be made to crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum EffectKind {
    /// A message to a node, or to all.
    Send,
    /// An answer to a client.
    Respond,
    /// A record for the journal.
    Append,
    /// Making the journal durable.
    Sync,
}

/// A point inside a handler: just before or just after its next effect of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum CrashPoint {
    /// The effect no longer happens, nor does any later one of that handler.
    Before(EffectKind),
    /// The effect happens, and is the last one.
    After(EffectKind),
    /// A handler is over and has left records un-synced: the moment at which a crash costs most. A
    /// protocol that syncs what it appends never comes to this point.
    Unsynced,
}

impl EffectKind {
    /// The kind of an effect, if a crash point can name it.
    pub(crate) fn of<P: Protocol>(effect: &Effect<P>) -> Option<Self> {
        match effect {
            Effect::Send(..) | Effect::Broadcast(_) => Some(Self::Send),
            Effect::Respond(..) => Some(Self::Respond),
            Effect::Append(_) => Some(Self::Append),
            Effect::Sync => Some(Self::Sync),
            Effect::SetTimer(..)
            | Effect::CancelTimer(_)
            | Effect::Ignore(_)
            | Effect::Reach(_) => None,
        }
    }
}

/// One simulated node. `B` is what waits in its backlog while it is paused.
#[derive(Clone, Debug)]
pub(crate) struct Node<P: Protocol, B> {
    /// The protocol's volatile state; `None` while the node is down.
    pub(crate) state: Option<P>,
    pub(crate) paused: bool,
    pub(crate) backlog: Vec<B>,
    pub(crate) journal: Journal<P::Record>,
    pub(crate) timers: Timers<P::Timer>,
    pub(crate) clock: Clock,
    pub(crate) armed: Option<CrashPoint>,
}

impl<P: Protocol, B> Node<P, B> {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            state: None,
            paused: false,
            backlog: Vec::new(),
            journal: Journal::default(),
            timers: Timers::default(),
            clock,
            armed: None,
        }
    }
}
