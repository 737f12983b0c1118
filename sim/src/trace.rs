//! Everything that happens in a run: hashed always, kept as far as asked.

use crate::hash::fold;
use crate::id::Address;
use crate::time::Time;
use std::collections::VecDeque;
use std::fmt;

/// What kind of thing happened. The numbers enter the trace hash and never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[repr(u8)]
pub enum Kind {
    /// A node came up.
    Start = 1,
    /// A message left; the peer is its receiver.
    Send = 2,
    /// The wire lost a message; the peer is the receiver that it does not reach.
    Drop = 3,
    /// The wire doubled a message.
    Duplicate = 4,
    /// A message arrived; the peer is its sender.
    Deliver = 5,
    /// A message arrived where nobody was up.
    Lost = 6,
    /// A timer rang.
    Timer = 7,
    /// A client's request left; the peer is the node asked.
    Request = 8,
    /// A request arrived; the peer is the client.
    Asked = 9,
    /// An answer left; the peer is the client.
    Respond = 10,
    /// An answer arrived; the peer is the node.
    Answered = 11,
    /// A record was appended to a journal.
    Append = 12,
    /// A journal was synced.
    Sync = 13,
    /// A handler did nothing, and said why.
    Ignore = 14,
    /// A rare state was reached.
    Reach = 15,
    /// A node crashed.
    Crash = 16,
    /// A node was paused.
    Pause = 17,
    /// A node went on.
    Resume = 18,
    /// The nemesis did something to the wire or to a clock.
    Fault = 19,
    /// A Byzantine node lied, or an adversary changed a message on the wire.
    Lie = 20,
    /// A node did not start: something that it had synced is damaged.
    Refuse = 21,
    /// A client's program began an operation.
    Call = 22,
    /// An operation of a client's program came to an end.
    Return = 23,
    /// A connection was opened, accepted, refused, reset or closed; the peer is the other end.
    Connect = 24,
    /// A program changed its files: wrote, cut, made, renamed or removed.
    File = 25,
    /// A program ended by itself.
    Exit = 26,
    /// A program printed something.
    Output = 27,
    /// A thread of a program panicked.
    Panic = 28,
    /// One of several threads of a program was chosen.
    Switch = 29,
    /// A workload of programs recorded something.
    Note = 30,
    /// A program was sent a signal.
    Signal = 31,
}

impl Kind {
    /// All of them, by their numbers, which begin with one.
    pub const ALL: [Self; 31] = [
        Self::Start,
        Self::Send,
        Self::Drop,
        Self::Duplicate,
        Self::Deliver,
        Self::Lost,
        Self::Timer,
        Self::Request,
        Self::Asked,
        Self::Respond,
        Self::Answered,
        Self::Append,
        Self::Sync,
        Self::Ignore,
        Self::Reach,
        Self::Crash,
        Self::Pause,
        Self::Resume,
        Self::Fault,
        Self::Lie,
        Self::Refuse,
        Self::Call,
        Self::Return,
        Self::Connect,
        Self::File,
        Self::Exit,
        Self::Output,
        Self::Panic,
        Self::Switch,
        Self::Note,
        Self::Signal,
    ];
}

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Event {
    /// When.
    pub at: Time,
    /// What kind.
    pub kind: Kind,
    /// To whom it happened.
    pub actor: Address,
    /// Who else took part; the actor itself if nobody.
    pub peer: Address,
    /// For what travels on a link: its index there, which is the address of the draw that decided
    /// its fate.
    pub index: u64,
    /// The stable hash of the contents.
    pub digest: u64,
}

/// How much of a run is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Recording {
    /// The hash alone: for sweeps.
    Hash,
    /// The hash and the last so many events.
    Ring(usize),
    /// Every event, with its contents as text.
    Full,
}

/// One kept event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What happened.
    pub event: Event,
    /// Its contents in words; empty unless the recording is full.
    pub text: String,
    /// The trace hash up to and with this event.
    pub hash: u64,
}

/// The running trace of one run.
#[derive(Clone, Debug)]
pub struct Trace {
    recording: Recording,
    hash: u64,
    count: u64,
    kept: VecDeque<Entry>,
}

impl Trace {
    /// An empty trace of a run of `seed`.
    pub fn new(recording: Recording, seed: u64) -> Self {
        Self { recording, hash: fold(0, seed), count: 0, kept: VecDeque::new() }
    }

    /// How many events there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The hash over all events so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The kept events, oldest first.
    pub fn events(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        self.kept.iter()
    }

    /// Adds an event; `text` is asked only if it is kept.
    #[inline]
    pub fn record(&mut self, event: Event, text: &dyn Fn() -> String) {
        self.fold(&event);
        if self.is_kept() {
            self.keep(event, text);
        }
    }

    /// True if more than the hash is kept: then each [`Trace::fold`] is followed by a
    /// [`Trace::keep`].
    #[inline]
    pub(crate) fn is_kept(&self) -> bool {
        self.recording != Recording::Hash
    }

    /// Adds an event to the hash.
    #[inline(always)]
    pub(crate) fn fold(&mut self, event: &Event) {
        let who = (event.kind as u64) << 48
            | event.actor.code() << 32
            | event.peer.code() << 16
            // The index's low bits separate the messages of one link at one instant.
            | (event.index & 0xFFFF);
        self.hash = fold(fold(fold(self.hash, event.at.as_nanos()), who), event.digest);
        self.count += 1;
    }

    /// Keeps an event, which is in the hash already. (One function for all events: the compiler
    /// makes no copy for each kind of text.)
    #[cold]
    pub(crate) fn keep(&mut self, event: Event, text: &dyn Fn() -> String) {
        let text = match self.recording {
            Recording::Hash => return,
            Recording::Ring(limit) => {
                while self.kept.len() >= limit.max(1) {
                    self.kept.pop_front();
                }
                String::new()
            }
            Recording::Full => text(),
        };
        self.kept.push_back(Entry { event, text, hash: self.hash });
    }
}

impl fmt::Display for Entry {
    /// One line: when, who, what, with whom, contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event { at, kind, actor, peer, .. } = self.event;
        let verb = match kind {
            Kind::Start => "starts",
            Kind::Send | Kind::Request | Kind::Respond => "->",
            Kind::Deliver | Kind::Asked | Kind::Answered => "<-",
            Kind::Drop => "-x",
            Kind::Duplicate => "=>",
            Kind::Lost => "x-",
            Kind::Timer => "timer",
            Kind::Append => "appends",
            Kind::Sync => "syncs",
            Kind::Ignore => "ignores",
            Kind::Reach => "reaches",
            Kind::Crash => "CRASHES",
            Kind::Pause => "PAUSED",
            Kind::Resume => "RESUMED",
            Kind::Fault => "FAULT",
            Kind::Lie => "LIES",
            Kind::Refuse => "REFUSES",
            Kind::Call => "calls",
            Kind::Return => "returns",
            Kind::Connect => "connect",
            Kind::File => "file",
            Kind::Exit => "EXITS",
            Kind::Output => "prints",
            Kind::Panic => "PANICS",
            Kind::Switch => "thread",
            Kind::Note => "notes",
            Kind::Signal => "SIGNAL",
        };
        write!(f, "{at:>12} {actor:>4} {verb:<7}")?;
        if peer == actor {
            f.write_str("     ")?;
        } else {
            write!(f, " {peer:<4}")?;
        }
        let text = format!(" {}", self.text);
        f.write_str(text.trim_end())
    }
}
