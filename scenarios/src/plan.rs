//! Fault plans: what goes wrong in a run, as plain data.

use seedfall_net::{Disturbance, Partition};
use seedfall_sim::{Address, CrashPoint, Duration, Links, NodeId, Nodes, Ppm, SystemModel, Timing};
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
    /// How long it lasts, in nanoseconds.
    pub lasts: Duration,
    /// What it is.
    pub fault: Fault,
    /// Whom it strikes.
    #[serde(default)]
    pub aim: Aim,
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

/// What can go wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// The wire misbehaves.
    Wire(Disturbance),
    /// A node crashes, and restarts when the entry ends.
    Crash {
        /// Which.
        node: NodeId,
        /// Where; without it, as soon as the entry begins. A node that comes back before the entry
        /// ends crashes there again; one that does not come to this point within half of the
        /// entry's time crashes there and then.
        point: Option<CrashPoint>,
        /// How long it stays down at most once it crashed at its point, in nanoseconds; without a
        /// point, until the entry ends.
        #[serde(default)]
        down: Duration,
    },
    /// A node stops as if its machine were frozen, and goes on when the entry ends.
    Pause {
        /// Which.
        node: NodeId,
    },
}

/// The classes of faults: what the swarm switches on and off, and what the tables count.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// [`Disturbance::Loss`].
    Loss,
    /// [`Disturbance::Duplicate`].
    Duplicate,
    /// [`Disturbance::Reorder`].
    Reorder,
    /// [`Disturbance::Clog`].
    Clog,
    /// [`Disturbance::Partition`].
    Partition,
    /// [`Fault::Crash`].
    Crash,
    /// [`Fault::Pause`].
    Pause,
}

impl Class {
    /// Every class, in the order in which plans draw them.
    pub const ALL: [Self; 7] = [
        Self::Loss,
        Self::Duplicate,
        Self::Reorder,
        Self::Clog,
        Self::Partition,
        Self::Crash,
        Self::Pause,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::Clog => "clog",
            Self::Partition => "partition",
            Self::Crash => "crash",
            Self::Pause => "pause",
        }
    }

    /// Whether a model permits it: a nemesis may not do what the protocol was promised would not
    /// happen.
    pub fn permitted_by(self, model: SystemModel) -> bool {
        match self {
            Self::Loss | Self::Duplicate | Self::Partition => model.links != Links::Reliable,
            // Late is not lost: only a bound on delays forbids it.
            Self::Reorder | Self::Clog | Self::Pause => model.timing != Timing::Synchronous,
            // Every crash of a plan is followed by a restart.
            Self::Crash => model.nodes != Nodes::CrashStop,
        }
    }
}

impl Fault {
    /// Its class.
    pub fn class(&self) -> Class {
        match self {
            Self::Wire(Disturbance::Loss { .. }) => Class::Loss,
            Self::Wire(Disturbance::Duplicate { .. }) => Class::Duplicate,
            Self::Wire(Disturbance::Reorder { .. }) => Class::Reorder,
            Self::Wire(Disturbance::Clog { .. }) => Class::Clog,
            Self::Wire(Disturbance::Partition(_)) => Class::Partition,
            Self::Crash { .. } => Class::Crash,
            Self::Pause { .. } => Class::Pause,
        }
    }
}

impl Fault {
    /// The fault with this node in the place of the node that it names first.
    #[must_use]
    pub fn aimed_at(&self, node: NodeId) -> Self {
        let mut fault = self.clone();
        match &mut fault {
            Self::Crash { node: victim, .. } | Self::Pause { node: victim } => *victim = node,
            Self::Wire(Disturbance::Partition(partition)) => match partition {
                Partition::TwoWay { side } | Partition::OneWay { from: side } => {
                    side.retain(|address| *address != node.into());
                    match side.first_mut() {
                        Some(first) => *first = node.into(),
                        None => side.push(node.into()),
                    }
                }
                Partition::Partial { a, b } if *b == node => *b = std::mem::replace(a, node),
                Partition::Partial { a, .. } => *a = node,
                Partition::Ring => {}
            },
            Self::Wire(_) => {}
        }
        fault
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |ppm: &Ppm| format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100);
        let list = |addresses: &[Address]| {
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        match self {
            Self::Wire(Disturbance::Loss { ppm }) => write!(f, "loss {}", percent(ppm)),
            Self::Wire(Disturbance::Duplicate { ppm, within }) => {
                write!(f, "duplicate {} within {within}", percent(ppm))
            }
            Self::Wire(Disturbance::Reorder { ppm, by }) => {
                write!(f, "reorder {} by {by}", percent(ppm))
            }
            Self::Wire(Disturbance::Clog { from, to }) => write!(f, "clog {from} -> {to}"),
            Self::Wire(Disturbance::Partition(partition)) => match partition {
                Partition::TwoWay { side } => write!(f, "partition {} | rest", list(side)),
                Partition::OneWay { from } => write!(f, "partition {} -x> rest", list(from)),
                Partition::Partial { a, b } => write!(f, "partition {a} | {b} alone"),
                Partition::Ring => f.write_str("partition in a ring of majorities"),
            },
            Self::Crash { node, point: None, .. } => write!(f, "crash {node}"),
            Self::Crash { node, point: Some(CrashPoint::Unsynced), .. } => {
                write!(f, "crash {node} with records un-synced")
            }
            Self::Crash {
                node,
                point: Some(point @ (CrashPoint::Before(effect) | CrashPoint::After(effect))),
                ..
            } => {
                let before = matches!(point, CrashPoint::Before(_));
                let when = if before { "before" } else { "after" };
                let effect = format!("{effect:?}").to_lowercase();
                write!(f, "crash {node} {when} its next {effect}")
            }
            Self::Pause { node } => write!(f, "pause {node}"),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let aim = match &self.aim {
            Aim::Named => String::new(),
            Aim::Leader => " (the leader instead of the first named)".to_owned(),
            Aim::EveryLeader { after } => {
                let after: Vec<String> = after.iter().map(ToString::to_string).collect();
                let after = after.join(", ");
                format!(" (every leader instead of the first named, {after} after its election)")
            }
        };
        write!(f, "{} to {}: {}{aim}", self.at, self.at + self.lasts, self.fault)
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
    /// Probabilities of one class add up to more than one.
    TooLikely {
        /// Which entry, counted from zero.
        entry: usize,
    },
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
            Self::TooLikely { entry } => {
                write!(f, "plan entry {entry}: probabilities above 1,000,000 in a million")
            }
        }
    }
}

impl std::error::Error for PlanError {}

/// The frame that a plan must fit into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What is permitted.
    pub model: SystemModel,
    /// How many nodes there are.
    pub nodes: usize,
    /// How many clients there are.
    pub clients: usize,
    /// When faults must stop.
    pub faults: Duration,
}

impl FaultPlan {
    /// The budget guard: a plan may do only what the model permits, to those who are there, until
    /// faults must stop.
    ///
    /// # Errors
    /// The first entry that does not fit, and why.
    pub fn check(&self, frame: &Frame) -> Result<(), PlanError> {
        let mut odds = [0_u64; 3];
        for (index, entry) in self.entries.iter().enumerate() {
            let class = entry.fault.class();
            if !class.permitted_by(frame.model) {
                let model = frame.model;
                return Err(PlanError::ExceedsModel { entry: index, class, model });
            }
            if frame.faults < entry.at + entry.lasts {
                return Err(PlanError::TooLong { entry: index, faults: frame.faults });
            }
            if let Some(name) = strangers(&entry.fault, frame) {
                return Err(PlanError::Nobody { entry: index, name });
            }
            match &entry.fault {
                Fault::Wire(Disturbance::Loss { ppm }) => odds[0] += u64::from(*ppm),
                Fault::Wire(Disturbance::Duplicate { ppm, .. }) => odds[1] += u64::from(*ppm),
                Fault::Wire(Disturbance::Reorder { ppm, .. }) => odds[2] += u64::from(*ppm),
                _ => {}
            }
            if odds.iter().any(|ppm| *ppm > 1_000_000) {
                return Err(PlanError::TooLikely { entry: index });
            }
        }
        Ok(())
    }
}

/// The first address that a fault names and that does not take part.
fn strangers(fault: &Fault, frame: &Frame) -> Option<Address> {
    let named: Vec<Address> = match fault {
        Fault::Wire(Disturbance::Clog { from, to }) => vec![*from, *to],
        Fault::Wire(Disturbance::Partition(partition)) => match partition {
            Partition::TwoWay { side } | Partition::OneWay { from: side } => side.clone(),
            Partition::Partial { a, b } => vec![(*a).into(), (*b).into()],
            Partition::Ring => Vec::new(),
        },
        Fault::Wire(_) => Vec::new(),
        Fault::Crash { node, .. } | Fault::Pause { node } => vec![(*node).into()],
    };
    named.into_iter().find(|address| match (address.node(), address.client()) {
        (Some(node), _) => node.index() >= frame.nodes,
        (None, Some(client)) => client.index() >= frame.clients,
        (None, None) => true,
    })
}
