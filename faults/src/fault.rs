//! The vocabulary of faults: what can go wrong, by class, and which model permits it.

use seedfall_net::{Disturbance, Partition};
use seedfall_sim::{
    Address, Answer, ClockFault, CrashPoint, DiskFault, Duration, Lies, Links, NodeId, Nodes, Ppm,
    SystemModel, Timing,
};
use std::fmt;

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
    /// A node crashes and never comes back.
    Stop {
        /// Which.
        node: NodeId,
    },
    /// Several nodes crash at one instant, and restart together when the entry ends.
    PowerLoss {
        /// Which.
        nodes: Vec<NodeId>,
    },
    /// A node crashes and restarts again and again: down for `half`, up for `half`.
    Storm {
        /// Which.
        node: NodeId,
        /// Half of the period, in nanoseconds.
        half: Duration,
    },
    /// A node is slow: every event that it handles keeps it busy, and what comes meanwhile waits.
    Slow {
        /// Which.
        node: NodeId,
        /// How long each event takes, in nanoseconds.
        each: Duration,
    },
    /// A node's disk is slow: every sync takes time, in which nothing else happens there.
    Stall {
        /// Which.
        node: NodeId,
        /// How long each sync takes, in nanoseconds.
        each: Duration,
    },
    /// A node loses its disk, and comes back under its old identity when the entry ends (amnesia).
    Wipe {
        /// Which.
        node: NodeId,
    },
    /// A node's clocks are wrong.
    Clock {
        /// Whose.
        node: NodeId,
        /// How.
        wrong: ClockFault,
    },
    /// A node's wall clock jumps there and back again and again.
    Strobe {
        /// Whose.
        node: NodeId,
        /// How far; negative: into the past.
        nanos: i64,
        /// Half of the period, in nanoseconds.
        half: Duration,
    },
    /// A node's disk is at fault. Halfway through the entry the node crashes, so that it must read
    /// back what it wrote; at the end it is restarted while the fault is still there, and if it
    /// refuses to start although nothing is lost, once more when it is not.
    Disk {
        /// Whose.
        node: NodeId,
        /// How.
        wrong: DiskFault,
    },
    /// A node is Byzantine.
    Lie {
        /// Which.
        node: NodeId,
        /// How it treats its messages.
        lies: Lies,
    },
    /// A node runs twice under one identity, and the second of the two does not hear everything.
    Twins {
        /// Which.
        node: NodeId,
        /// For how long the second hears a sender, or does not, in nanoseconds.
        round: Duration,
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
    /// [`Disturbance::Burst`].
    Burst,
    /// [`Disturbance::Latency`].
    Latency,
    /// [`Disturbance::Throttle`].
    Throttle,
    /// [`Disturbance::Corrupt`].
    Corrupt,
    /// [`Disturbance::Flap`].
    Flap,
    /// [`Fault::Stop`].
    Stop,
    /// [`Fault::PowerLoss`].
    PowerLoss,
    /// [`Fault::Storm`].
    Storm,
    /// [`Fault::Slow`].
    Slow,
    /// [`Fault::Stall`].
    Stall,
    /// [`Fault::Wipe`].
    Wipe,
    /// The wall clock of a node: [`Fault::Strobe`], [`ClockFault::Step`], [`ClockFault::Freeze`].
    Clock,
    /// [`ClockFault::Drift`].
    Drift,
    /// [`ClockFault::Early`], [`ClockFault::Late`], [`ClockFault::Coalesce`].
    Timers,
    /// [`Fault::Lie`].
    Lie,
    /// [`Fault::Disk`], after which a node has all that it synced ([`Answer::Survives`]).
    DiskError,
    /// [`Fault::Disk`], after which a node may have to refuse to start ([`Answer::Refuses`]).
    DiskDamage,
    /// [`Fault::Disk`] that makes a node forget without a sign ([`Answer::Forgets`]).
    DiskLie,
    /// [`Disturbance::Swizzle`].
    Swizzle,
    /// [`Fault::Twins`].
    Twins,
}

impl Class {
    /// Every class, in the order in which plans draw them: new ones at the end, since a class draws
    /// from addresses of its own that follow from its place.
    pub const ALL: [Self; 27] = [
        Self::Loss,
        Self::Duplicate,
        Self::Reorder,
        Self::Clog,
        Self::Partition,
        Self::Crash,
        Self::Pause,
        Self::Burst,
        Self::Latency,
        Self::Throttle,
        Self::Corrupt,
        Self::Flap,
        Self::Stop,
        Self::PowerLoss,
        Self::Storm,
        Self::Slow,
        Self::Stall,
        Self::Wipe,
        Self::Clock,
        Self::Drift,
        Self::Timers,
        Self::Lie,
        Self::DiskError,
        Self::DiskDamage,
        Self::DiskLie,
        Self::Swizzle,
        Self::Twins,
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
            Self::Burst => "burst",
            Self::Latency => "latency",
            Self::Throttle => "throttle",
            Self::Corrupt => "corrupt",
            Self::Flap => "flap",
            Self::Stop => "stop",
            Self::PowerLoss => "power-loss",
            Self::Storm => "storm",
            Self::Slow => "slow",
            Self::Stall => "stall",
            Self::Wipe => "wipe",
            Self::Clock => "clock",
            Self::Drift => "drift",
            Self::Timers => "timers",
            Self::Lie => "lie",
            Self::DiskError => "disk-error",
            Self::DiskDamage => "disk-damage",
            Self::DiskLie => "disk-lie",
            Self::Swizzle => "swizzle",
            Self::Twins => "twins",
        }
    }

    /// Whether a model permits it: a nemesis may not do what the protocol was promised would not
    /// happen.
    pub fn permitted_by(self, model: SystemModel) -> bool {
        let SystemModel { links, nodes, timing } = model;
        match self {
            Self::Loss | Self::Duplicate | Self::Partition | Self::Burst | Self::Flap => {
                links != Links::Reliable
            }
            // A full queue loses, and a queue delays.
            Self::Throttle => links != Links::Reliable && timing != Timing::Synchronous,
            Self::Corrupt => links == Links::Arbitrary,
            // Late is not lost: only a bound on delays, steps and clocks forbids it.
            Self::Reorder
            | Self::Clog
            | Self::Swizzle
            | Self::Latency
            | Self::Pause
            | Self::Slow
            | Self::Stall
            | Self::Clock
            | Self::Drift
            | Self::Timers => timing != Timing::Synchronous,
            // What comes back.
            Self::Crash | Self::PowerLoss | Self::Storm | Self::DiskError => {
                nodes != Nodes::CrashStop
            }
            // A node that must not start is one that crashed for good.
            Self::DiskDamage => nodes != Nodes::CrashStop,
            // How many, is the cluster's `spare`.
            Self::Stop => true,
            // Whoever forgets what it promised lies, if not by intent.
            Self::Wipe | Self::Lie | Self::DiskLie | Self::Twins => nodes == Nodes::Byzantine,
        }
    }

    /// Whether it costs the protocol a node for good: there may be as many as it can spare.
    pub fn takes_a_node(self) -> bool {
        matches!(
            self,
            Self::Stop | Self::Wipe | Self::Lie | Self::DiskDamage | Self::DiskLie | Self::Twins
        )
    }
}

impl Fault {
    /// Its class.
    pub fn class(&self) -> Class {
        match self {
            Self::Wire(disturbance) => match disturbance {
                Disturbance::Loss { .. } => Class::Loss,
                Disturbance::Duplicate { .. } => Class::Duplicate,
                Disturbance::Reorder { .. } => Class::Reorder,
                Disturbance::Clog { .. } => Class::Clog,
                Disturbance::Swizzle { .. } => Class::Swizzle,
                Disturbance::Partition(_) => Class::Partition,
                Disturbance::Burst { .. } => Class::Burst,
                Disturbance::Latency { .. } => Class::Latency,
                Disturbance::Throttle { .. } => Class::Throttle,
                Disturbance::Corrupt { .. } => Class::Corrupt,
                Disturbance::Flap { .. } => Class::Flap,
            },
            Self::Crash { .. } => Class::Crash,
            Self::Pause { .. } => Class::Pause,
            Self::Stop { .. } => Class::Stop,
            Self::PowerLoss { .. } => Class::PowerLoss,
            Self::Storm { .. } => Class::Storm,
            Self::Slow { .. } => Class::Slow,
            Self::Stall { .. } => Class::Stall,
            Self::Wipe { .. } => Class::Wipe,
            Self::Clock { wrong: ClockFault::Step { .. } | ClockFault::Freeze, .. }
            | Self::Strobe { .. } => Class::Clock,
            Self::Clock { wrong: ClockFault::Drift { .. }, .. } => Class::Drift,
            Self::Clock { .. } => Class::Timers,
            Self::Lie { .. } => Class::Lie,
            Self::Twins { .. } => Class::Twins,
            Self::Disk { wrong, .. } => match wrong.about().answer {
                Answer::Survives => Class::DiskError,
                Answer::Refuses => Class::DiskDamage,
                Answer::Forgets => Class::DiskLie,
            },
        }
    }

    /// The nodes that it strikes by name, but for those whom a disturbance of the wire names.
    fn struck(&self) -> &[NodeId] {
        match self {
            Self::Wire(_) => &[],
            Self::PowerLoss { nodes } => nodes,
            Self::Crash { node, .. }
            | Self::Pause { node }
            | Self::Stop { node }
            | Self::Storm { node, .. }
            | Self::Slow { node, .. }
            | Self::Stall { node, .. }
            | Self::Wipe { node }
            | Self::Clock { node, .. }
            | Self::Strobe { node, .. }
            | Self::Disk { node, .. }
            | Self::Lie { node, .. }
            | Self::Twins { node, .. } => std::slice::from_ref(node),
        }
    }

    /// The node that it strikes, if it is one by its kind.
    pub fn node(&self) -> Option<NodeId> {
        let alone = !matches!(self, Self::PowerLoss { .. });
        self.struck().first().copied().filter(|_| alone)
    }

    /// The one node that it strikes, if it names one, to be changed.
    pub fn node_mut(&mut self) -> Option<&mut NodeId> {
        match self {
            Self::Wire(_) | Self::PowerLoss { .. } => None,
            Self::Crash { node, .. }
            | Self::Pause { node }
            | Self::Stop { node }
            | Self::Storm { node, .. }
            | Self::Slow { node, .. }
            | Self::Stall { node, .. }
            | Self::Wipe { node }
            | Self::Clock { node, .. }
            | Self::Strobe { node, .. }
            | Self::Disk { node, .. }
            | Self::Lie { node, .. }
            | Self::Twins { node, .. } => Some(node),
        }
    }

    /// The nodes whose life it interrupts: two such faults of one node get in each other's way.
    pub fn holds(&self) -> &[NodeId] {
        match self {
            Self::Clock { .. } | Self::Strobe { .. } | Self::Lie { .. } | Self::Twins { .. } => &[],
            other => other.struck(),
        }
    }

    /// Everybody whom it names, first the one whose place an aim takes.
    pub fn names(&self) -> Vec<Address> {
        let all = |nodes: &[NodeId]| nodes.iter().map(|node| (*node).into()).collect();
        match self {
            Self::Wire(Disturbance::Clog { from, to }) => vec![*from, *to],
            Self::Wire(Disturbance::Swizzle { node }) => vec![(*node).into()],
            Self::Wire(Disturbance::Partition(partition) | Disturbance::Flap { partition, .. }) => {
                match partition {
                    Partition::TwoWay { side } | Partition::OneWay { from: side } => side.clone(),
                    Partition::Partial { a, b } => all(&[*a, *b]),
                    Partition::Bridge { bridge, side } => [all(&[*bridge]), all(side)].concat(),
                    Partition::Ring => Vec::new(),
                }
            }
            other => all(other.struck()),
        }
    }

    /// The fault with this node in the place of the node that it names first.
    #[must_use]
    pub fn aimed_at(&self, node: NodeId) -> Self {
        let mut fault = self.clone();
        match &mut fault {
            Self::Wire(Disturbance::Partition(partition) | Disturbance::Flap { partition, .. }) => {
                match partition {
                    Partition::TwoWay { side } | Partition::OneWay { from: side } => {
                        side.retain(|address| *address != node.into());
                        match side.first_mut() {
                            Some(first) => *first = node.into(),
                            None => side.push(node.into()),
                        }
                    }
                    Partition::Partial { a, b } if *b == node => *b = std::mem::replace(a, node),
                    Partition::Partial { a, .. } => *a = node,
                    Partition::Bridge { bridge, side } => {
                        side.retain(|other| *other != node);
                        *bridge = node;
                    }
                    Partition::Ring => {}
                }
            }
            Self::Wire(Disturbance::Swizzle { node: first }) => *first = node,
            Self::Wire(Disturbance::Clog { from, to }) => {
                let (first, other) = if from.node().is_some() { (from, to) } else { (to, from) };
                if *other == node.into() {
                    std::mem::swap(first, other);
                } else {
                    *first = node.into();
                }
            }
            Self::PowerLoss { nodes } => {
                nodes.retain(|other| *other != node);
                match nodes.first_mut() {
                    Some(first) => *first = node,
                    None => nodes.push(node),
                }
            }
            other => {
                if let Some(victim) = other.node_mut() {
                    *victim = node;
                }
            }
        }
        fault
    }

    /// The same, one node further on in the order of `nodes` nodes. What takes a node for good
    /// stays where it is: the plan spares no other.
    pub fn moved_on(&self, nodes: usize) -> Self {
        let next = |node: NodeId| NodeId::new(((node.index() + 1) % nodes) as u16);
        match self {
            fault if fault.class().takes_a_node() => fault.clone(),
            Self::Wire(Disturbance::Clog { from, to }) => {
                let moved = |one: &Address| one.node().map_or(*one, |node| next(node).into());
                Self::Wire(Disturbance::Clog { from: moved(from), to: moved(to) })
            }
            fault => match fault.names().first().and_then(|first| first.node()) {
                Some(first) => fault.aimed_at(next(first)),
                None => fault.clone(),
            },
        }
    }
}

fn percent(ppm: Ppm) -> String {
    format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100)
}

fn list<T: ToString>(names: &[T]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn signed(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "+" };
    format!("{sign}{}", Duration::nanos(nanos.unsigned_abs()))
}

fn partition(partition: &Partition) -> String {
    match partition {
        Partition::TwoWay { side } => format!("partition {} | rest", list(side)),
        Partition::OneWay { from } => format!("partition {} -x> rest", list(from)),
        Partition::Partial { a, b } => format!("partition {a} | {b} alone"),
        Partition::Bridge { bridge, side } => {
            format!("partition {} | rest, but for the bridge {bridge}", list(side))
        }
        Partition::Ring => "partition in a ring of majorities".to_owned(),
    }
}

fn wire(disturbance: &Disturbance) -> String {
    match disturbance {
        Disturbance::Loss { ppm } => format!("loss {}", percent(*ppm)),
        Disturbance::Duplicate { ppm, within } => {
            format!("duplicate {} within {within}", percent(*ppm))
        }
        Disturbance::Reorder { ppm, by } => format!("reorder {} by {by}", percent(*ppm)),
        Disturbance::Clog { from, to } => format!("clog {from} -> {to}"),
        Disturbance::Swizzle { node } => format!("swizzle: clog all links of {node}"),
        Disturbance::Partition(shape) => partition(shape),
        Disturbance::Burst { ppm, span } => {
            format!("bursts of loss up to {span}, {} of messages begin one", percent(*ppm))
        }
        Disturbance::Latency { most, .. } => format!("lasting latencies of links up to {most}"),
        Disturbance::Throttle { each, queue } => {
            format!("links carry one message in {each}, {queue} wait at most")
        }
        Disturbance::Corrupt { ppm } => format!("corrupt {}", percent(*ppm)),
        Disturbance::Flap { partition: shape, half } => {
            format!("{}, on and off every {half}", partition(shape))
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wire(disturbance) => f.write_str(&wire(disturbance)),
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
            Self::Stop { node } => write!(f, "stop {node} for ever"),
            Self::PowerLoss { nodes } => write!(f, "power loss at {}", list(nodes)),
            Self::Storm { node, half } => write!(f, "crash {node}, and back, every {half}"),
            Self::Slow { node, each } => write!(f, "slow {node}, {each} an event"),
            Self::Stall { node, each } => write!(f, "slow disk of {node}, {each} a sync"),
            Self::Wipe { node } => write!(f, "wipe the disk of {node}"),
            Self::Clock { node, wrong } => match wrong {
                ClockFault::Step { nanos } => write!(f, "wall clock of {node} {}", signed(*nanos)),
                ClockFault::Freeze => write!(f, "wall clock of {node} stands still"),
                ClockFault::Drift { ppm } => write!(f, "clocks of {node} run {ppm:+} ppm"),
                ClockFault::Early { by } => write!(f, "timers of {node} up to {by} early"),
                ClockFault::Late { by } => write!(f, "timers of {node} {by} late"),
                ClockFault::Coalesce { to } => write!(f, "timers of {node} at multiples of {to}"),
            },
            Self::Strobe { node, nanos, half } => {
                write!(f, "wall clock of {node} {} and back every {half}", signed(*nanos))
            }
            Self::Twins { node, round } => {
                write!(f, "{node} runs twice, the second deaf to half of what comes, by {round}")
            }
            Self::Disk { node, wrong } => write!(f, "disk of {node}: {wrong}"),
            Self::Lie { node, lies } => {
                let Lies { withhold, mutate, replay, delay, delay_by, forge } = lies;
                write!(
                    f,
                    "{node} lies: withholds {}, changes {}, replays {}, holds back {} up to \
                     {delay_by}, forges {}",
                    percent(*withhold),
                    percent(*mutate),
                    percent(*replay),
                    percent(*delay),
                    percent(*forge)
                )
            }
        }
    }
}
