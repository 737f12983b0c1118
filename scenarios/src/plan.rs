//! Fault plans: what goes wrong in a run, as plain data.

use seedfall_net::{Disturbance, Partition};
use seedfall_sim::{
    Address, ClientId, CrashPoint, Draw, Draws, Duration, EffectKind, Links, NodeId, Nodes, Ppm,
    Seed, Site, SystemModel, Timing,
};
use std::fmt;
use std::ops::Range;

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
    /// The node that leads when it strikes, instead of the node that it names first; if none does, as
    /// named. (Most partition failures of real systems need the leader: Alquraan et al., OSDI 2018, finding 7.)
    Leader,
    /// As [`Aim::Leader`], and it follows leadership: whoever becomes leader is struck so long after,
    /// and the node struck before is released. A leader is most vulnerable when it is new.
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

/// What a nemesis may draw, at most. Zero switches a class off for good.
///
/// Each seed switches each class off with probability one half (swarm testing: Groce et al., ISSTA
/// 2012: some bugs show only when another fault is absent) and draws how bad the others are over
/// orders of magnitude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swarm {
    /// Highest probability of loss, in a million.
    pub loss: Ppm,
    /// Highest probability of a duplicate, in a million.
    pub duplicate: Ppm,
    /// Highest probability of a straggler, in a million.
    pub reorder: Ppm,
    /// Most clogs.
    pub clogs: u32,
    /// Most partitions.
    pub partitions: u32,
    /// Most crashes.
    pub crashes: u32,
    /// Most pauses.
    pub pauses: u32,
}

impl Swarm {
    /// Nothing ever goes wrong.
    pub const NONE: Self =
        Self { loss: 0, duplicate: 0, reorder: 0, clogs: 0, partitions: 0, crashes: 0, pauses: 0 };

    /// Everything that can go wrong with links, nodes and time, at the rates of the fault
    /// catalogues of `TigerBeetle` and Jepsen.
    pub const ALL: Self = Self {
        loss: 300_000,
        duplicate: 200_000,
        reorder: 200_000,
        clogs: 4,
        partitions: 4,
        crashes: 5,
        pauses: 3,
    };

    /// The plan of a seed, within the frame.
    pub fn draw(&self, seed: Seed, frame: &Frame) -> FaultPlan {
        let mut plan = Drawing { draws: Draws::new(seed, 1, 0), frame, next: 0, plan: Vec::new() };
        for class in Class::ALL {
            // Each class has its own block of addresses, so that a change of one leaves the others'
            // plans alone.
            plan.next = class as u64 * 1_000;
            let (off, mut how_many) = {
                let mut draw = plan.draw();
                (draw.chance(500_000), draw)
            };
            let most = self.most(class);
            if off || most == 0 || !class.permitted_by(frame.model) {
                continue;
            }
            match class {
                Class::Loss | Class::Duplicate | Class::Reorder => plan.noise(class, most),
                _ => (0..1 + how_many.below(most)).for_each(|_| plan.outage(class)),
            }
        }
        FaultPlan { entries: plan.plan }
    }

    fn most(&self, class: Class) -> u32 {
        match class {
            Class::Loss => self.loss,
            Class::Duplicate => self.duplicate,
            Class::Reorder => self.reorder,
            Class::Clog => self.clogs,
            Class::Partition => self.partitions,
            Class::Crash => self.crashes,
            Class::Pause => self.pauses,
        }
    }
}

/// A plan while it is drawn.
struct Drawing<'a> {
    draws: Draws,
    frame: &'a Frame,
    next: u64,
    plan: Vec<Entry>,
}

impl Drawing<'_> {
    fn draw(&mut self) -> Draw {
        self.next += 1;
        self.draws.at(Site::Plan, self.next)
    }

    /// A disturbance of every link, all the time, at a rate between a tenth of `most` and `most`.
    fn noise(&mut self, class: Class, most: Ppm) {
        let mut draw = self.draw();
        let ppm = log_uniform(most / 10..most, draw.word());
        let span = log_span(Duration::millis(10)..Duration::millis(1_000), draw.word());
        let disturbance = match class {
            Class::Loss => Disturbance::Loss { ppm },
            Class::Duplicate => Disturbance::Duplicate { ppm, within: span },
            _ => Disturbance::Reorder { ppm, by: span },
        };
        let fault = Fault::Wire(disturbance);
        let lasts = self.frame.faults;
        self.plan.push(Entry { at: Duration::ZERO, lasts, fault, aim: Aim::Named });
    }

    /// Something that happens to somebody for a while.
    fn outage(&mut self, class: Class) {
        let mut draw = self.draw();
        let faults = self.frame.faults;
        // Not in the first twentieth, before anything runs, and not in the last fifth, where little
        // is left to disturb.
        let at = draw.duration(faults.scale(1, 20)..faults.scale(4, 5));
        let left = faults - at;
        let lasts = log_span(faults.scale(1, 10)..faults.scale(1, 2), draw.word());
        let lasts = if left < lasts { left } else { lasts };
        let node = NodeId::new(draw.below(self.frame.nodes as u32) as u16);
        let mut aim = if class == Class::Clog { Aim::Named } else { self.aim() };
        let faults = match class {
            Class::Clog => self.clog(node),
            Class::Crash => {
                let crash = self.crash(node);
                if let Fault::Crash { point: Some(CrashPoint::Unsynced), .. } = crash {
                    // Followers promise too, and forget more easily.
                    aim = Aim::Named;
                }
                vec![crash]
            }
            // A leader is cut off alone: with company it may still reach a majority.
            Class::Partition if aim != Aim::Named => {
                let side = vec![node.into()];
                vec![Fault::Wire(Disturbance::Partition(Partition::TwoWay { side }))]
            }
            Class::Partition => vec![Fault::Wire(Disturbance::Partition(self.partition(node)))],
            _ => vec![Fault::Pause { node }],
        };
        // Whoever follows leaders needs time to meet several.
        let follows = matches!(aim, Aim::EveryLeader { .. });
        let lasts = if follows && lasts + lasts < left { lasts + lasts } else { lasts };
        for fault in faults {
            let idle = match &fault {
                Fault::Wire(Disturbance::Partition(one)) => one.is_idle(self.frame.nodes),
                Fault::Wire(_) => false,
                // A node that is down cannot crash, nor be paused: such an entry would have no
                // effect.
                fault => self.plan.iter().any(|other| {
                    held(&other.fault) == held(fault)
                        && other.at < at + lasts
                        && at < other.at + other.lasts
                }),
            };
            if !idle {
                self.plan.push(Entry { at, lasts, fault, aim: aim.clone() });
            }
        }
    }

    /// Every link into a node, or every link out of it: a single link may well be silent.
    fn clog(&mut self, node: NodeId) -> Vec<Fault> {
        let inward = self.draw().below(2) == 1;
        let others = NodeId::all(self.frame.nodes).filter(|other| *other != node);
        let links = others.map(|other| if inward { (other, node) } else { (node, other) });
        links
            .map(|(from, to)| Fault::Wire(Disturbance::Clog { from: from.into(), to: to.into() }))
            .collect()
    }

    /// One of the shapes that the studies of real partition failures name; a single isolated node
    /// comes most often (Alquraan et al., "An Analysis of Network-Partitioning Failures in Cloud
    /// Systems", OSDI 2018, finding 8).
    fn partition(&mut self, node: NodeId) -> Partition {
        let mut draw = self.draw();
        let nodes = self.frame.nodes as u32;
        let shape = draw.below(8);
        // A second word decides who else; each other node with probability one half.
        let members = draw.word();
        let other =
            NodeId::new(((node.index() as u32 + 1 + draw.below(nodes.max(2) - 1)) % nodes) as u16);
        let client = (members >> 31 == 1 && self.frame.clients > 0)
            .then(|| ClientId::new((members % self.frame.clients as u32) as u16));
        let mut side = vec![Address::from(node)];
        match shape {
            0..=2 => {
                side.extend(client.map(Address::from));
                Partition::TwoWay { side }
            }
            3 | 4 => {
                side = NodeId::all(self.frame.nodes)
                    .filter(|one| members >> (one.index() % 31) & 1 == 1)
                    .map(Address::from)
                    .collect();
                Partition::TwoWay { side }
            }
            5 => Partition::OneWay { from: side },
            6 => Partition::Partial { a: node, b: other },
            _ => Partition::Ring,
        }
    }

    /// Most crashes wait for a moment inside or after a handler, where the interesting ones are, and
    /// the node may come back while the messages of its former life are still under way.
    fn crash(&mut self, node: NodeId) -> Fault {
        let mut draw = self.draw();
        let kinds = [EffectKind::Sync, EffectKind::Send, EffectKind::Append, EffectKind::Respond];
        let kind = kinds[draw.below(kinds.len() as u32) as usize];
        let point = match draw.below(8) {
            0 | 1 => Some(CrashPoint::Before(kind)),
            2 => Some(CrashPoint::After(kind)),
            3..=5 => Some(CrashPoint::Unsynced),
            _ => None,
        };
        let longest = match point {
            // Who forgot a promise breaks it only if it is back before everybody has moved on.
            Some(CrashPoint::Unsynced) => Duration::millis(16),
            _ => self.frame.faults.scale(1, 4),
        };
        let down = log_span(Duration::millis(1)..longest, draw.word());
        Fault::Crash { node, point, down: if point.is_some() { down } else { Duration::ZERO } }
    }

    /// A sixth strike the leader, half every leader soon after its election.
    fn aim(&mut self) -> Aim {
        let mut draw = self.draw();
        match draw.below(6) {
            0 | 1 => Aim::Named,
            2 => Aim::Leader,
            _ => {
                let mut spans = self.draw();
                let mut span = || log_span(Duration::millis(1)..Duration::millis(60), spans.word());
                Aim::EveryLeader { after: vec![span(), span(), span(), span()] }
            }
        }
    }
}

/// The node whose life a fault interrupts.
fn held(fault: &Fault) -> Option<NodeId> {
    match fault {
        Fault::Crash { node, .. } | Fault::Pause { node } => Some(*node),
        Fault::Wire(_) => None,
    }
}

/// Log-uniform over the range: every order of magnitude is as likely as every other.
fn log_uniform(range: Range<u32>, word: u32) -> u32 {
    let span = Duration::nanos(range.start.into())..Duration::nanos(range.end.into());
    log_span(span, word).as_nanos() as u32
}

/// Log-uniform over the range, in integers: the range is cut into octaves, one is chosen, then a
/// place in it.
fn log_span(range: Range<Duration>, word: u32) -> Duration {
    let low = range.start.as_nanos().max(1);
    let high = range.end.as_nanos().max(low + 1);
    let octaves = u64::from((high / low).ilog2() + 1);
    let place = u64::from(word) * octaves;
    let (octave, within) = (place >> 32, place & 0xFFFF_FFFF);
    let start = low << octave;
    let end = (start << 1).min(high);
    Duration::nanos(start) + Duration::nanos(end - start).scale(within, 1 << 32)
}
