//! Acceptors that trade places: for a search to which those that nobody asks are alike.
//!
//! Proposers are not alike: numbers are compared by who proposes.

use super::invariants::Invariants;
use super::{Acceptor, Message, Number, Paxos, Proposal, Record, Timer};
use seedfall_sim::{Renamed, Renaming};

impl Renamed for Number {
    fn renamed(&self, names: &Renaming) -> Self {
        Self { proposer: self.proposer.renamed(names), ..*self }
    }
}

impl Renamed for Proposal {
    fn renamed(&self, names: &Renaming) -> Self {
        Self { number: self.number.renamed(names), value: self.value.clone() }
    }
}

impl Renamed for Message {
    fn renamed(&self, names: &Renaming) -> Self {
        match self {
            Self::Prepare { number } => Self::Prepare { number: number.renamed(names) },
            Self::Promise { number, accepted } => {
                let (number, accepted) = (number.renamed(names), accepted.renamed(names));
                Self::Promise { number, accepted }
            }
            Self::Accept { proposal } => Self::Accept { proposal: proposal.renamed(names) },
            Self::Accepted { number } => Self::Accepted { number: number.renamed(names) },
            Self::Refused { number, promised } => {
                let (number, promised) = (number.renamed(names), promised.renamed(names));
                Self::Refused { number, promised }
            }
            Self::Chosen { value } => Self::Chosen { value: value.clone() },
        }
    }
}

impl Renamed for Record {
    fn renamed(&self, names: &Renaming) -> Self {
        match self {
            Self::Promised(number) => Self::Promised(number.renamed(names)),
            Self::Accepted(proposal) => Self::Accepted(proposal.renamed(names)),
            Self::Learned(value) => Self::Learned(value.clone()),
        }
    }
}

impl Renamed for Timer {
    fn renamed(&self, _: &Renaming) -> Self {
        *self
    }
}

impl Renamed for Paxos {
    fn renamed(&self, names: &Renaming) -> Self {
        let Acceptor { promised, accepted } = &self.acceptor;
        Self {
            id: self.id.renamed(names),
            acceptor: Acceptor {
                promised: promised.renamed(names),
                accepted: accepted.renamed(names),
            },
            attempt: self.attempt.renamed(names),
            ..self.clone()
        }
    }
}

impl Renamed for Invariants {
    fn renamed(&self, names: &Renaming) -> Self {
        let mut seen = vec![(None, None); self.seen.len()];
        for (node, held) in self.seen.iter().enumerate() {
            let node = seedfall_sim::NodeId::new(node as u16).renamed(names).index();
            if seen.len() <= node {
                seen.resize(node + 1, (None, None));
            }
            seen[node] = held.renamed(names);
        }
        let accepted = self.accepted.iter().map(|(number, (value, nodes))| {
            let mut nodes = nodes.renamed(names);
            nodes.sort_unstable();
            (number.renamed(names), (value.clone(), nodes))
        });
        Self {
            seen,
            accepted: accepted.collect(),
            chosen: self.chosen.renamed(names),
            learned: self.learned.clone(),
        }
    }
}
