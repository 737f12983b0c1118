//! Proposals, votes and decisions, and what a Byzantine validator can say otherwise.

use super::{Height, Id, Round, State};
use crate::pbft::{Ask, digest};
use seedfall_sim::{Draw, Signed, Signer, nudge};

/// A proposal: line 19.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Proposal {
    /// At which height.
    pub height: Height,
    /// In which round.
    pub round: Round,
    /// The value: a request, or a null request.
    pub value: Option<Ask>,
    /// The round in which it had a polka before.
    pub valid: Option<Round>,
}

impl Proposal {
    /// What identifies its value.
    pub fn id(&self) -> Id {
        digest(&self.value)
    }
}

/// The two kinds of votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The first.
    Prevote,
    /// The second.
    Precommit,
}

/// A vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Vote {
    /// At which height.
    pub height: Height,
    /// In which round.
    pub round: Round,
    /// Which of the two.
    pub kind: Kind,
    /// For which value; none: nil.
    pub id: Option<Id>,
}

/// A decision, with its proof: `2f + 1` precommits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    /// What was proposed.
    pub proposal: Signed<Proposal>,
    /// Who has precommitted it.
    pub precommits: Vec<Signed<Vote>>,
}

/// What validators send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// A client asked this.
    Request(Ask),
    /// A proposal.
    Propose(Signed<Proposal>),
    /// A vote.
    Vote(Signed<Vote>),
    /// The decision of a height at which the receiver still is.
    Decided(Decision),
}

/// What a validator writes to its journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    /// It begins a step.
    State(State),
    /// It votes.
    Vote(Signed<Vote>),
    /// What it acts on and may have to show to others: a polka, or the precommits that end a round.
    Votes(Vec<Signed<Vote>>),
    /// A height is decided.
    Decision(Decision),
}

/// What a Byzantine validator says otherwise, in its own name.
pub(super) fn falsify(message: &mut Message, me: Signer, draw: &mut Draw) -> bool {
    match message {
        Message::Propose(proposal) if proposal.by() == me.id() => {
            let mut said = proposal.value().clone();
            match draw.below(3) {
                0 => said.value = None,
                1 => nudge(&mut said.round, draw),
                _ => said.valid = None,
            }
            *proposal = me.sign(said);
        }
        Message::Vote(vote) if vote.by() == me.id() => {
            let mut said = *vote.value();
            match draw.below(3) {
                0 => said.id = None,
                1 => said.id = Some(digest(&None)),
                _ => nudge(&mut said.round, draw),
            }
            *vote = me.sign(said);
        }
        _ => return false,
    }
    true
}
