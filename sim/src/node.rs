//! One simulated node: its life, its journal, its clock, its timers.

use crate::byzantine::{Liar, Strategy};
use crate::clock::{Clock, Clocks};
use crate::journal::Journal;
use crate::protocol::{Effect, Protocol};
use crate::queue::{Handle, Queue};
use crate::time::Duration;
use crate::timers::{Pending, Timers};
use std::collections::VecDeque;
use std::mem;

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
    /// Just before a change of what the node keeps: the so-manieth since this was waited for,
    /// counted from one. Of a protocol, an append or a sync; of a program, a write to a file, a
    /// change of its length, a sync, or a change of a name. The node crashes there once, and not
    /// again when it is back.
    Change(u32),
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
    pub(crate) gate: Gate,
    /// What waits for the gate.
    pub(crate) backlog: VecDeque<B>,
    pub(crate) journal: Journal<P::Record>,
    pub(crate) timers: Timers<P::Timer>,
    pub(crate) clocks: Clocks,
    pub(crate) armed: Option<CrashPoint>,
    /// How long it takes to handle an event, while it is slow.
    pub(crate) slow: Duration,
    /// How long a sync takes, while its disk is slow.
    pub(crate) stall: Duration,
    /// The effects that wait for a sync to be over, the first one last.
    pub(crate) held: Vec<Effect<P>>,
    /// When it goes on, while it is busy.
    pub(crate) wake: Option<Handle>,
    /// How it lies, while it is Byzantine.
    pub(crate) liar: Option<Box<Liar<P::Message>>>,
    /// The malicious strategy that it follows, while it is Byzantine.
    pub(crate) strategy: Option<Strategy<P>>,
    /// The second node of its identity, while there are two.
    pub(crate) twin: Option<Box<Twin<P>>>,
    /// True if one of those is in force for which effects are applied with care.
    pub(crate) special: bool,
}

/// What the second of two nodes of one identity has for itself.
#[derive(Clone, Debug)]
pub(crate) struct Twin<P: Protocol> {
    pub(crate) state: Option<P>,
    pub(crate) journal: Journal<P::Record>,
    pub(crate) timers: Timers<P::Timer>,
    /// Never: what is wrong with the machine is wrong with that of the first.
    pub(crate) special: bool,
    /// How long it hears a sender, or does not.
    pub(crate) round: Duration,
    /// For each sender that it had to do with, its last round, and whether it is heard in it.
    pub(crate) heard: Vec<(u64, bool)>,
}

/// Whether events reach a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// At once.
    Open,
    /// When it goes on by itself: it is slow, or waits for its disk.
    Busy,
    /// When it is resumed.
    Paused,
    /// At once, and some of them twice: it is two nodes.
    Twins,
}

impl<P: Protocol, B> Node<P, B> {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            state: None,
            gate: Gate::Open,
            backlog: VecDeque::new(),
            journal: Journal::default(),
            timers: Timers::default(),
            clocks: Clocks::new(clock),
            armed: None,
            slow: Duration::ZERO,
            stall: Duration::ZERO,
            held: Vec::new(),
            wake: None,
            liar: None,
            strategy: None,
            twin: None,
            special: false,
        }
    }

    /// Its gate, when nothing keeps events from it.
    pub(crate) fn at_rest(&self) -> Gate {
        if self.twin.is_some() { Gate::Twins } else { Gate::Open }
    }

    /// Puts the second of twins in the place of the first, or back.
    pub(crate) fn swap_twins(&mut self) {
        let Some(twin) = &mut self.twin else { return };
        mem::swap(&mut self.state, &mut twin.state);
        mem::swap(&mut self.journal, &mut twin.journal);
        mem::swap(&mut self.timers, &mut twin.timers);
        mem::swap(&mut self.special, &mut twin.special);
    }

    /// Forgets the second of twins, and its timers. False if there is none.
    pub(crate) fn forget_twin(&mut self, queue: &mut Queue<B>) -> bool {
        let Some(mut twin) = self.twin.take() else { return false };
        for pending in twin.timers.drain() {
            if let Pending::Queued(handle) = pending {
                queue.cancel(handle);
            }
        }
        if self.gate == Gate::Twins {
            self.gate = Gate::Open;
        }
        true
    }

    /// To be called whenever one of the faults changed that touch effects.
    pub(crate) fn refresh(&mut self) {
        let Self { armed, slow, stall, liar, strategy, .. } = self;
        let waits = *slow > Duration::ZERO || *stall > Duration::ZERO;
        self.special = armed.is_some() || liar.is_some() || strategy.is_some() || waits;
    }
}
