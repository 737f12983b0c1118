//! What members say of each other, what outweighs what, and how often it is said.

use seedfall_sim::{NodeId, SortedMap};

/// How often a member has refuted what was said of it, and come back.
pub type Incarnation = u64;

/// Whether a member is up; the later outweigh the earlier in one incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Status {
    /// It is.
    Alive,
    /// It has not answered.
    Suspect,
    /// It was suspected, and has not refuted it.
    Dead,
}

/// What is said of a member. The greater outweighs the lesser: an incarnation all of the lower
/// ones, and in one incarnation the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Claim {
    /// Of which incarnation.
    pub incarnation: Incarnation,
    /// Whether it is up.
    pub status: Status,
}

/// A claim under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Update {
    /// About whom.
    pub member: NodeId,
    /// What is said.
    pub claim: Claim,
    /// Who has found it.
    pub by: NodeId,
}

/// A claim that a member spreads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rumor {
    /// The claim.
    pub update: Update,
    /// How often it was sent.
    pub sent: u32,
}

/// The claims that a member spreads: the last about each member, so often as it takes for all to
/// have heard of it in all probability (section 4.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rumors {
    most: u32,
    rumors: SortedMap<NodeId, Rumor>,
}

impl Rumors {
    pub(super) fn new(lambda: u32, members: usize) -> Self {
        let logarithm = members.next_power_of_two().ilog2().max(1);
        Self { most: lambda * logarithm, rumors: SortedMap::new() }
    }

    /// How often a claim is sent, at most.
    pub fn most(&self) -> u32 {
        self.most
    }

    /// What is spread at present.
    pub fn all(&self) -> impl Iterator<Item = &Rumor> {
        self.rumors.values()
    }

    pub(super) fn spread(&mut self, update: Update) {
        self.rumors.insert(update.member, Rumor { update, sent: 0 });
    }

    /// The riders of a message: those that were sent least often.
    pub(super) fn pick(&mut self, most: usize) -> Vec<Update> {
        let mut waiting: Vec<_> =
            self.rumors.values().map(|rumor| (rumor.sent, rumor.update.member)).collect();
        waiting.sort_unstable();
        let mut picked = Vec::new();
        for (_, member) in waiting.into_iter().take(most) {
            let rumor = self.rumors.get_mut(&member).expect("it waits");
            rumor.sent += 1;
            picked.push(rumor.update);
            if rumor.sent == self.most {
                self.rumors.remove(&member);
            }
        }
        picked
    }
}
