//! Blocks, votes and certificates, and what a Byzantine replica can say otherwise.

use crate::pbft::Ask;
use seedfall_sim::{Draw, Signed, Signer, StableHasher, nudge};

/// Number of a view, from one on.
pub type View = u64;
/// What identifies a block: a hash of it. Zero: the genesis, which is no block.
pub type Hash = u64;

/// A request, and what it follows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    /// In which view it was proposed.
    pub view: View,
    /// Which block it follows.
    pub parent: Hash,
    /// That this is certified. No correct leader leaves it out.
    pub justify: Option<Certificate>,
    /// The request; none: it is there to certify what comes before.
    pub ask: Option<Ask>,
}

impl Block {
    /// What identifies it.
    pub fn hash(&self) -> Hash {
        StableHasher::hash(self)
    }
}

/// A replica's vote for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Vote {
    /// In which view.
    pub view: View,
    /// For which block.
    pub block: Hash,
}

/// A quorum certificate: that `2f + 1` replicas have voted for a block. By default that of the
/// genesis.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Certificate {
    /// In which view.
    pub view: View,
    /// For which block.
    pub block: Hash,
    /// The votes.
    pub votes: Vec<Signed<Vote>>,
}

/// What replicas send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// A client asked this.
    Request(Ask),
    /// A leader's block.
    Propose(Signed<Block>),
    /// To the leader of the next view.
    Vote(Signed<Vote>),
    /// The sender has waited for this view for too long.
    Timeout {
        /// Which.
        view: View,
        /// Its highest certificate.
        high: Certificate,
    },
    /// Who has this block?
    Fetch(Hash),
    /// Somebody has.
    Block(Signed<Block>),
}

/// What a replica writes to its journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    /// It votes for a block, and is in no view before.
    Voted {
        /// Which.
        block: Signed<Block>,
        /// What it is locked on then.
        locked: Certificate,
        /// The highest certificate that it knows then.
        high: Certificate,
    },
}

/// What a Byzantine replica says otherwise, in its own name.
pub(super) fn falsify(message: &mut Message, me: Signer, draw: &mut Draw) -> bool {
    match message {
        Message::Propose(proposal) if proposal.by() == me.id() => {
            let mut block = proposal.value().clone();
            match draw.below(4) {
                0 => nudge(&mut block.view, draw),
                1 => block.ask = None,
                2 => block.justify = None,
                _ => (block.parent, block.justify) = (0, Some(Certificate::default())),
            }
            *proposal = me.sign(block);
        }
        Message::Vote(vote) if vote.by() == me.id() => {
            let mut said = *vote.value();
            nudge(&mut said.view, draw);
            *vote = me.sign(said);
        }
        Message::Timeout { view, high } => match draw.below(2) {
            0 => nudge(view, draw),
            _ => *high = Certificate::default(),
        },
        _ => return false,
    }
    true
}
