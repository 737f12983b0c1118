//! What a run is allowed to assume: the triple of links, nodes and timing.
//!
//! The split is Kleppmann's (Distributed Systems lecture notes, section 2.3) and that of Cachin,
//! Guerraoui and Rodrigues (Introduction to Reliable and Secure Distributed Programming, chapter
//! 2). A protocol states the model that it needs; a nemesis may do only what the model of its
//! scenario permits.

/// What a run may assume of links, nodes and timing. There is no default: an assumption that is not
/// written down is a compile error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SystemModel {
    /// What the wire may do to a message.
    pub links: Links,
    /// How a node may fail.
    pub nodes: Nodes,
    /// What may be known of delays and clocks.
    pub timing: Timing,
}

impl SystemModel {
    /// What a replicated database usually assumes: messages may be lost, nodes crash and come back,
    /// and delays are bounded most of the time.
    pub const USUAL: Self = Self {
        links: Links::FairLoss,
        nodes: Nodes::CrashRecovery,
        timing: Timing::PartiallySynchronous,
    };
}

/// What the wire may do to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Links {
    /// A message between correct nodes arrives, once, unchanged; order is not promised.
    Reliable,
    /// Messages may be lost, duplicated and reordered, but one that is sent again and again arrives
    /// at last.
    FairLoss,
    /// An adversary may also change and forge messages.
    Arbitrary,
}

/// How a node may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Nodes {
    /// A node may stop, for ever.
    CrashStop,
    /// A node may stop, lose what it did not sync, and come back.
    CrashRecovery,
    /// A node may do anything.
    Byzantine,
}

/// What may be known of delays and clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timing {
    /// Delays and steps have a known bound, always.
    Synchronous,
    /// The bound holds for finite but unknown periods.
    PartiallySynchronous,
    /// There is no bound.
    Asynchronous,
}

impl std::fmt::Display for SystemModel {
    /// The triple in its short form: `fair-loss, crash-recovery, partially synchronous`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let links = match self.links {
            Links::Reliable => "reliable",
            Links::FairLoss => "fair-loss",
            Links::Arbitrary => "arbitrary",
        };
        let nodes = match self.nodes {
            Nodes::CrashStop => "crash-stop",
            Nodes::CrashRecovery => "crash-recovery",
            Nodes::Byzantine => "byzantine",
        };
        let timing = match self.timing {
            Timing::Synchronous => "synchronous",
            Timing::PartiallySynchronous => "partially synchronous",
            Timing::Asynchronous => "asynchronous",
        };
        write!(f, "{links}, {nodes}, {timing}")
    }
}
