//! The three answers of a check, and what each carries.
//!
//! A verdict never comes alone: `Holds` brings a [`Certificate`] (an order that anyone can replay),
//! `Violated` a [`Witness`] (the operation that cannot be placed and the few that forbid it),
//! `Unknown` says which limit ran out. All three carry [`Statistics`], equal on every machine.

use std::fmt;

/// What a check may spend. Neither limit is a time: the same history gives the same answer
/// anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Configurations (a set of linearized operations and a state) that the search may expand; 32
    /// fruitless looks at what leads to none count as one.
    pub configurations: u64,
    /// Bytes that the search may hold at once, as counted by the search itself.
    pub bytes: u64,
}

impl Budget {
    /// What a check in a test may cost: a second or two on a slow core, in a build without
    /// optimizations a few more.
    pub const DEFAULT: Self = Self { configurations: 300_000, bytes: 1 << 28 };

    /// So many configurations; in at most a gigabyte, if there are more than by default.
    #[must_use]
    pub const fn configurations(configurations: u64) -> Self {
        let more = Self::DEFAULT.configurations < configurations;
        Self { configurations, bytes: if more { 1 << 30 } else { Self::DEFAULT.bytes } }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The answer of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The property holds: here is an order that proves it.
    Holds(Certificate),
    /// The property is violated: here is where.
    Violated(Witness),
    /// The budget ran out first.
    Unknown(Exhausted),
}

impl Verdict {
    /// Whether the property was proved to hold.
    #[must_use]
    pub fn holds(&self) -> bool {
        matches!(self, Self::Holds(_))
    }

    /// The witness, if the property was proved to be violated.
    #[must_use]
    pub fn witness(&self) -> Option<&Witness> {
        match self {
            Self::Violated(witness) => Some(witness),
            Self::Holds(_) | Self::Unknown(_) => None,
        }
    }

    /// What the check did to find out.
    #[must_use]
    pub fn statistics(&self) -> &Statistics {
        match self {
            Self::Holds(certificate) => &certificate.statistics,
            Self::Violated(witness) => &witness.statistics,
            Self::Unknown(exhausted) => &exhausted.statistics,
        }
    }
}

/// Proof of `Holds`: orders in which the operations may have taken effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// One order per partition, each a list of operation indices; an indeterminate operation that
    /// appears took effect there, one that does not never did. By locality (Herlihy and Wing 1990,
    /// section 3) orders per object make an order of the whole.
    pub orders: Vec<Vec<u32>>,
    /// What the check did.
    pub statistics: Statistics,
}

/// Proof of `Violated`: the operation that cannot be placed, and those that forbid it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The operation at whose response the history stopped being correct: every event before that
    /// response can be explained, the response cannot, as far as its partition is concerned. Index
    /// into the history. (If the history is too hard to say, a later operation of the core.)
    pub operation: u32,
    /// The operations that contradict each other, in call order; they include `operation` whenever
    /// it takes part. The contradiction stands even if every other operation took effect at any
    /// time after its call, or never, as long as it answered what it did.
    pub core: Vec<u32>,
    /// The span of time that the core covers: its first call and its last response.
    pub window: (u64, u64),
    /// Which answers the contradiction rests on: those that came before the response of this
    /// operation at this time; `None`: any. (With fewer answers known, more would be allowed.)
    pub answers_before: Option<(u64, u32)>,
    /// Operations in the longest prefix that can be explained, in the order that explains it.
    pub prefix: Vec<u32>,
    /// What kind of contradiction it is.
    pub reason: Reason,
    /// What the check did.
    pub statistics: Statistics,
}

/// Why a core cannot be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Every order was tried.
    NoOrder,
    /// A value was seen that nobody wrote.
    NeverWritten,
    /// A value was seen before the call that wrote it.
    ReadFromFuture,
    /// Two values each had to be current before the other (Gibbons and Korach 1997, theorem 4.4).
    ZonesCross,
    /// Values that follow each other by compare-and-set were seen in the other order.
    ChainBroken,
    /// An element was removed, or a token acquired, more often than it was there.
    TakenTwice,
    /// An element was seen or removed while it certainly was not there, or the reverse.
    WrongElement,
    /// Elements left in an order that the structure forbids.
    WrongOrder,
    /// The structure was said to be empty while it certainly held an element.
    NotEmpty,
}

impl Reason {
    /// One sentence for a person.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NoOrder => "no order of these operations explains what the clients saw",
            Self::NeverWritten => "a value was seen that nobody wrote",
            Self::ReadFromFuture => "a value was seen before the call that wrote it",
            Self::ZonesCross => "two values each had to be current before the other",
            Self::ChainBroken => "values that replace one another were seen in the wrong order",
            Self::TakenTwice => "something was taken more often than it was there",
            Self::WrongElement => "the answer contradicts what certainly was there",
            Self::WrongOrder => "elements left in an order that the structure forbids",
            Self::NotEmpty => "it was said to be empty while it certainly held an element",
        }
    }
}

/// `Unknown`: which limit ran out, and what was too much for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// The limit.
    pub limit: Limit,
    /// How many partitions (keys) were not decided, of [`Statistics::partitions`].
    pub undecided: u32,
    /// How many operations those have together.
    pub operations: u32,
    /// How many of the operations are indeterminate.
    pub indeterminate: u32,
    /// What the check did before.
    pub statistics: Statistics,
}

impl Exhausted {
    /// What the one who runs the check can do about it, as a list in words.
    #[must_use]
    pub fn advice(&self) -> String {
        let keys = match self.statistics.partitions {
            1 => "a partition key in the model (`Model::partition`)",
            _ => "more keys",
        };
        let fewer = match self.indeterminate {
            0 => "",
            _ => ", a shorter patience (fewer operations indeterminate)",
        };
        format!("{keys}, fewer clients{fewer}, or a larger budget")
    }
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Statistics { configurations, bytes, partitions, .. } = self.statistics;
        match self.limit {
            Limit::Configurations => write!(f, "{configurations} configurations")?,
            Limit::Bytes => write!(f, "{configurations} configurations in {bytes} bytes")?,
        }
        let Self { undecided, operations, indeterminate, .. } = self;
        write!(f, " were not enough for {operations} operations, {indeterminate} of them")?;
        write!(f, " indeterminate, in {undecided} of {partitions} partitions; what helps: ")?;
        f.write_str(&self.advice())
    }
}

/// A limit of a [`Budget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// [`Budget::configurations`].
    Configurations,
    /// [`Budget::bytes`].
    Bytes,
}

/// What a check did. Counters only: equal for equal inputs, anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Configurations expanded by the searches.
    pub configurations: u64,
    /// Most bytes held at once by a search, as counted by itself.
    pub bytes: u64,
    /// Partitions (keys) of the history.
    pub partitions: u32,
    /// How many partitions each path decided, by [`Path`].
    pub decided: [u32; Path::COUNT],
}

impl Statistics {
    /// How many partitions `path` decided.
    #[must_use]
    pub fn decided_by(&self, path: Path) -> u32 {
        self.decided[path as usize]
    }
}

/// The ways by which a partition can be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    /// Depth-first search (Wing and Gong 1993, Lowe 2017).
    DepthFirst,
    /// Breadth-first search from response to response with dominance (Lowe 2017, section 6).
    BreadthFirst,
    /// Zones of a register with unique writes (Gibbons and Korach 1997), with chain blocks.
    Zones,
    /// Alternation of insertions and removals of one element.
    Set,
    /// Order of pairs of a queue.
    Queue,
    /// Decomposition of a stack.
    Stack,
    /// Decomposition of a priority queue.
    PriorityQueue,
    /// The order that the system itself claimed.
    ClaimedOrder,
}

impl Path {
    /// How many paths there are.
    pub const COUNT: usize = 8;

    /// Every path, in the order of [`Statistics::decided`].
    pub const ALL: [Self; Self::COUNT] = [
        Self::DepthFirst,
        Self::BreadthFirst,
        Self::Zones,
        Self::Set,
        Self::Queue,
        Self::Stack,
        Self::PriorityQueue,
        Self::ClaimedOrder,
    ];

    /// A short name for tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DepthFirst => "depth-first",
            Self::BreadthFirst => "breadth-first",
            Self::Zones => "zones",
            Self::Set => "set",
            Self::Queue => "queue",
            Self::Stack => "stack",
            Self::PriorityQueue => "priority-queue",
            Self::ClaimedOrder => "claimed-order",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds(certificate) => {
                let placed: usize = certificate.orders.iter().map(Vec::len).sum();
                write!(f, "holds: {placed} operations ordered")
            }
            Self::Violated(witness) => {
                write!(
                    f,
                    "violated at operation {}: {} (core {:?}, window {}..={})",
                    witness.operation,
                    witness.reason.sentence(),
                    witness.core,
                    witness.window.0,
                    witness.window.1
                )
            }
            Self::Unknown(exhausted) => write!(f, "unknown: {exhausted}"),
        }
    }
}
