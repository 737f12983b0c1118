//! Fault plans: what goes wrong in a run, as plain data.

pub use crate::classes::{Class, Fault};
use seedfall_sim::{Address, Duration, SystemModel};
use std::fmt;

/// Everything that goes wrong in one run. An entry begins and ends, so that a crash and its
/// restart, a partition and its healing are one thing, to be kept or left out together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct FaultPlan {
    /// The entries, in the order in which they were drawn.
    pub entries: Vec<Entry>,
}

/// One fault, and when.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When it begins, since the start of the run, in nanoseconds.
    pub at: Duration,
    /// How long it lasts, in nanoseconds; at least, if it retargets.
    pub lasts: Duration,
    /// What it is.
    pub fault: Fault,
    /// Whom it strikes.
    #[serde(default)]
    pub aim: Aim,
    /// Whether it looks for work: as long as its class has had no effect since it began, it begins
    /// anew after three quarters of its time, and then after each quarter, at the next node, until
    /// faults must stop; a disk error that counts first strikes at once after half of its time, and
    /// damage begins anew only at its end. What takes a node for good stays at its node. Plans that
    /// are drawn do, since nobody knows beforehand which node will write when, or which link be
    /// used.
    #[serde(default, alias = "insists", skip_serializing_if = "std::ops::Not::not")]
    pub retargets: bool,
}

/// Whom a fault strikes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aim {
    /// Those whom it names.
    #[default]
    Named,
    /// The node that leads when it strikes, instead of the node that it names first; if none does,
    /// as named. (Most partition failures of real systems need the leader: Alquraan et al., OSDI
    /// 2018, finding 7.)
    Leader,
    /// As [`Aim::Leader`], and it follows leadership: whoever becomes leader is struck so long
    /// after, and the node struck before is released. A leader is most vulnerable when it is new.
    EveryLeader {
        /// How long after the first became leader, the second, and so on, in nanoseconds; begins
        /// again at its end.
        after: Vec<Duration>,
    },
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let aim = match &self.aim {
            Aim::Named => String::new(),
            Aim::Leader => " (or who leads, if somebody does)".to_owned(),
            Aim::EveryLeader { after } => {
                let after: Vec<String> = after.iter().map(ToString::to_string).collect();
                let after = after.join(", ");
                format!(" (or whoever comes to lead, {after} after)")
            }
        };
        let to = if self.retargets { "at least to" } else { "to" };
        write!(f, "{} {to} {}: {}{aim}", self.at, self.at + self.lasts, self.fault)
    }
}

/// A plan that does not fit its scenario. Says which entry, and what would.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanError {
    /// The scenario's model does not permit a fault of this class.
    ExceedsModel {
        /// Which entry, counted from zero.
        entry: usize,
        /// Its class.
        class: Class,
        /// The model.
        model: SystemModel,
    },
    /// The entry names somebody who does not take part.
    Nobody {
        /// Which entry, counted from zero.
        entry: usize,
        /// Who.
        name: Address,
    },
    /// The entry does not end by the time at which faults must stop.
    TooLong {
        /// Which entry, counted from zero.
        entry: usize,
        /// When faults must stop.
        faults: Duration,
    },
    /// The entry is written as a fault of a class to which it does not belong.
    Unsound {
        /// Which entry, counted from zero.
        entry: usize,
        /// As which class it is written.
        class: Class,
        /// What is wrong.
        why: &'static str,
    },
    /// Probabilities of one class add up to more than one, or drifts to a standstill.
    TooLikely {
        /// Which entry, counted from zero.
        entry: usize,
    },
    /// More nodes are lost for good, or Byzantine, than the protocol can spare.
    TooMany {
        /// The first entry that is too much, counted from zero.
        entry: usize,
        /// How many it can spare.
        spare: usize,
    },
}

impl PlanError {
    /// The same error, of the entry at `place` of a larger plan.
    #[must_use]
    pub fn at(mut self, place: usize) -> Self {
        match &mut self {
            Self::ExceedsModel { entry, .. }
            | Self::Nobody { entry, .. }
            | Self::TooLong { entry, .. }
            | Self::Unsound { entry, .. }
            | Self::TooLikely { entry }
            | Self::TooMany { entry, .. } => *entry = place,
        }
        self
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExceedsModel { entry, class, model } => write!(
                f,
                "plan entry {entry}: a {} is not permitted by the model ({model})",
                class.name()
            ),
            Self::Nobody { entry, name } => {
                write!(f, "plan entry {entry}: there is no {name} in this scenario")
            }
            Self::TooLong { entry, faults } => {
                write!(f, "plan entry {entry}: lasts past {faults}, when faults must stop")
            }
            Self::Unsound { entry, class, why } => {
                write!(f, "plan entry {entry}: no {}: {why}", class.name())
            }
            Self::TooLikely { entry } => {
                write!(f, "plan entry {entry}: probabilities above 1,000,000 in a million")
            }
            Self::TooMany { entry, spare } => write!(
                f,
                "plan entry {entry}: the scenario can spare {spare} nodes for good, and more are \
                 stopped, wiped or Byzantine"
            ),
        }
    }
}

impl std::error::Error for PlanError {}

/// The fault budget: what a plan must fit into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultBudget {
    /// What is permitted.
    pub model: SystemModel,
    /// How many nodes there are.
    pub nodes: usize,
    /// How many clients there are.
    pub clients: usize,
    /// How many nodes may be lost for good, or be Byzantine.
    pub spare: usize,
    /// When faults must stop.
    pub faults: Duration,
}

impl FaultPlan {
    /// The budget guard: a plan may do only what the model permits, to those who are there, until
    /// faults must stop.
    ///
    /// # Errors
    /// The first entry that does not fit, and why.
    pub fn check(&self, budget: &FaultBudget) -> Result<(), PlanError> {
        let (mut sums, mut taken) = ([0_u64; Class::ALL.len()], 0);
        for (index, entry) in self.entries.iter().enumerate() {
            let class = entry.fault.class();
            if let Some(why) = entry.fault.unsound() {
                return Err(PlanError::Unsound { entry: index, class, why });
            }
            if !class.permitted_by(budget.model) {
                let model = budget.model;
                return Err(PlanError::ExceedsModel { entry: index, class, model });
            }
            if budget.faults < entry.at + entry.lasts {
                return Err(PlanError::TooLong { entry: index, faults: budget.faults });
            }
            if let Some(name) = strangers(&entry.fault, budget) {
                return Err(PlanError::Nobody { entry: index, name });
            }
            // Whoever follows leaders strikes as many nodes as there come to be leaders.
            let follows = matches!(entry.aim, Aim::EveryLeader { .. });
            taken += match class.takes_a_node() {
                false => 0,
                true if follows => budget.nodes,
                true => 1,
            };
            if taken > budget.spare {
                return Err(PlanError::TooMany { entry: index, spare: budget.spare });
            }
            let (sum, odds) = (&mut sums[class as usize], entry.fault.odds());
            let (most, adds_up) = class.odds_most();
            *sum = if adds_up { *sum + odds } else { odds };
            if *sum > most {
                return Err(PlanError::TooLikely { entry: index });
            }
        }
        Ok(())
    }
}

/// The first address that a fault names and that does not take part.
fn strangers(fault: &Fault, budget: &FaultBudget) -> Option<Address> {
    fault.names().into_iter().find(|address| match (address.node(), address.client()) {
        (Some(node), _) => node.index() >= budget.nodes,
        (None, Some(client)) => client.index() >= budget.clients,
        (None, None) => true,
    })
}
