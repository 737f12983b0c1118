//! The classes of faults, one file each. A new one is a file, and a line of the registry below.

pub mod disk;
pub mod partitions;

use crate::act::Act;
use crate::bytes::Bytes;
use crate::class::{About, ActsOn, Amount, FaultClass, Names};
use crate::swarm::Drawing;
use crate::target::Effects;
use seedfall_net::Disturbance;
use seedfall_sim::{Address, Draw, Duration, NodeId, Ppm, SystemModel};
use std::fmt::{self, Write as _};

/// Makes of the registry what has one part a class: the modules, [`Class`], [`Fault`] and
/// [`Swarm`], and what they hand on to the class.
macro_rules! registry {
    ($($class:ident in $module:ident, at most $field:ident;)*) => {
        $(pub mod $module;
        pub use $module::$class;)*

        /// The classes of faults: what the swarm switches on and off, and what the tables count.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize,
            serde::Deserialize,
        )]
        #[serde(rename_all = "kebab-case")]
        pub enum Class {
            $(#[doc = concat!("[`", stringify!($class), "`](struct@", stringify!($class), ").")]
            $class,)*
        }

        /// What can go wrong: one fault of some class.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        pub enum Fault {
            $(#[doc = concat!("[`", stringify!($class), "`](struct@", stringify!($class), ").")]
            $class($class),)*
        }

        /// What a nemesis may draw, at most. Zero switches a class off for good.
        ///
        /// Each seed switches each class off with probability one half (swarm testing: Groce et
        /// al., ISSTA 2012: some bugs show only when another fault is absent) and draws how bad the
        /// others are over orders of magnitude.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Swarm {
            $(#[doc = concat!("Of [`", stringify!($class), "`](struct@", stringify!($class),
                "): how many, how likely in a million, or how long, at most.")]
            pub $field: <$class as FaultClass>::Amount,)*
            /// How fast or slow a clock that drifts runs, in a million: at least and at most.
            pub drift: [Ppm; 2],
            /// How often a leader that is cut off keeps a client, in a million: nobody else can be
            /// told what it does not know of its successor.
            pub company: Ppm,
        }

        $(impl From<$class> for Fault {
            fn from(fault: $class) -> Self {
                Self::$class(fault)
            }
        })*

        impl Class {
            /// Every class, in the order in which plans draw them: new ones at the end, since a
            /// class draws from addresses of its own that follow from its place.
            pub const ALL: [Self; [$(stringify!($class)),*].len()] = [$(Self::$class),*];

            /// What the documentation says of it.
            pub const fn about(self) -> About {
                match self { $(Self::$class => <$class as FaultClass>::ABOUT,)* }
            }

            /// Whether a model permits it: a nemesis may not do what the protocol was promised
            /// would not happen.
            pub fn permitted_by(self, model: SystemModel) -> bool {
                match self { $(Self::$class => $class::permitted_by(model),)* }
            }

            /// The field of [`Swarm`] that says how much of it may be drawn.
            pub const fn knob(self) -> &'static str {
                match self { $(Self::$class => stringify!($field),)* }
            }

            /// What of a protocol it acts on: if there is none of it, it cannot have an effect.
            pub const fn acts_on(self) -> ActsOn {
                match self { $(Self::$class => <$class as FaultClass>::ACTS_ON,)* }
            }

            /// Whether it costs the protocol a node for good: there may be as many as it can spare.
            pub const fn takes_a_node(self) -> bool {
                match self { $(Self::$class => <$class as FaultClass>::TAKES_A_NODE,)* }
            }

            /// Whether it may take its effect only as its node starts again, when it ends.
            pub(crate) fn is_read_at_the_end(self) -> bool {
                match self { $(Self::$class => <$class as FaultClass>::READ_AT_THE_END,)* }
            }

            /// The odds of its entries together, at most, in a million; and whether they add up.
            pub(crate) fn odds_most(self) -> (u64, bool) {
                match self { $(Self::$class => ($class::ODDS_MOST, $class::ODDS_ADD_UP),)* }
            }

            /// Draws entries of it.
            pub(crate) fn draw(self, most: u32, many: Draw, drawing: &mut Drawing<'_>) {
                match self { $(Self::$class => $class::draw(most, many, drawing),)* }
            }

            /// A fault of it from the bytes of a fuzzer.
            pub(crate) fn spelled_by(self, bytes: &mut Bytes<'_>) -> Fault {
                match self { $(Self::$class => $class::from_bytes(bytes).into(),)* }
            }

            /// How often faults of it have had an effect so far: of this class and no other.
            pub fn effects(self, seen: &Effects<'_>) -> u64 {
                match self { $(Self::$class => $class::effects(seen),)* }
            }
        }

        impl Swarm {
            /// Nothing ever goes wrong.
            pub const NONE: Self = Self {
                $($field: <<$class as FaultClass>::Amount as Amount>::NONE,)*
                drift: [200, 50_000],
                company: 0,
            };

            /// Everything that can go wrong with links, nodes, clocks and time, as far as the model
            /// permits it, at the rates of the fault catalogues of `TigerBeetle`, `FoundationDB`
            /// and Jepsen.
            pub const ALL: Self = Self {
                $($field: <$class as FaultClass>::USUAL,)*
                drift: [200, 50_000],
                company: 0,
            };

            /// How often, how many or, for spans, how many microseconds.
            pub(crate) fn most(&self, class: Class) -> u32 {
                match class { $(Class::$class => self.$field.most(),)* }
            }
        }

        impl Fault {
            /// Its class.
            pub const fn class(&self) -> Class {
                match self { $(Self::$class(_) => Class::$class,)* }
            }

            /// What it is to the wire; `None`: nothing.
            pub fn disturbance(&self) -> Option<Disturbance> {
                match self { $(Self::$class(fault) => fault.disturbance(),)* }
            }

            /// The nodes that it strikes by name, but for those whom a disturbance of the wire
            /// names.
            pub fn struck(&self) -> &[NodeId] {
                match self { $(Self::$class(fault) => fault.struck(),)* }
            }

            /// The node that it strikes, if it is one by its kind.
            pub fn node(&self) -> Option<NodeId> {
                match self { $(Self::$class(fault) => fault.node(),)* }
            }

            /// The one node that it strikes, if it names one, to be changed.
            pub fn node_mut(&mut self) -> Option<&mut NodeId> {
                match self { $(Self::$class(fault) => fault.node_mut(),)* }
            }

            /// The nodes whose life it interrupts: two such faults of one node get in each other's
            /// way.
            pub fn holds(&self) -> &[NodeId] {
                match self {
                    $(Self::$class(fault) if <$class as FaultClass>::HOLDS => fault.struck(),)*
                    _ => &[],
                }
            }

            /// Everybody whom it names, first the one whose place an aim takes.
            pub fn names(&self) -> Vec<Address> {
                match self { $(Self::$class(fault) => fault.names(),)* }
            }

            /// Has this node in the place of the node that it names first.
            fn aim_at(&mut self, node: NodeId) {
                match self { $(Self::$class(fault) => fault.aim_at(node),)* }
            }

            fn move_on(&mut self, nodes: usize) {
                match self { $(Self::$class(fault) => fault.move_on(nodes),)* }
            }

            /// Gives everybody whom it names another name; `None`: there is nobody left whom it
            /// strikes.
            pub fn rename(&mut self, names: &dyn Names) -> Option<()> {
                match self { $(Self::$class(fault) => fault.rename(names),)* }
            }

            /// How likely it makes things, in a million.
            pub(crate) fn odds(&self) -> u64 {
                match self { $(Self::$class(fault) => fault.odds(),)* }
            }

            /// Why it is no fault of its class, though it is written as one.
            pub(crate) fn unsound(&self) -> Option<&'static str> {
                match self { $(Self::$class(fault) => fault.unsound(),)* }
            }

            /// Faults that are less, the least first.
            pub fn weaker(&self, nodes: usize) -> Vec<Fault> {
                match self { $(Self::$class(fault) => fault.weaker(nodes),)* }
            }

            /// What it does halfway by itself, if that is a fault of another class.
            pub fn halfway(&self) -> Option<Fault> {
                match self { $(Self::$class(fault) => fault.halfway(),)* }
            }

            pub(crate) fn begin(&self, act: &mut Act<'_>) {
                match self { $(Self::$class(fault) => fault.begin(act),)* }
            }

            pub(crate) fn end(&self, act: &mut Act<'_>) {
                match self { $(Self::$class(fault) => fault.end(act),)* }
            }

            /// Half of its period, if it comes and goes.
            pub fn half_period(&self) -> Option<Duration> {
                match self { $(Self::$class(fault) => fault.half_period(),)* }
            }

            /// If it waits, once it has begun, for a moment inside a handler at which its node
            /// crashes: how long the node then stays down.
            pub fn down_at_a_point(&self) -> Option<Duration> {
                match self { $(Self::$class(fault) => fault.down_at_a_point(),)* }
            }

            pub(crate) fn on_deadline(&mut self, act: &mut Act<'_>) {
                match self { $(Self::$class(fault) => fault.on_deadline(act),)* }
            }

            pub(crate) fn at_once(&mut self) {
                match self { $(Self::$class(fault) => fault.at_once(),)* }
            }
        }

        impl fmt::Display for Fault {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $(Self::$class(fault) => fault.fmt(f),)* }
            }
        }
    };
}

// New classes at the end: the place decides from where a class draws.
registry! {
    Loss in loss, at most loss;
    Duplicate in duplicate, at most duplicate;
    Reorder in reorder, at most reorder;
    Clog in clog, at most clogs;
    Partition in partition, at most partitions;
    Crash in crash, at most crashes;
    Pause in pause, at most pauses;
    Burst in burst, at most bursts;
    Latency in latency, at most latency;
    Throttle in throttle, at most throttles;
    Corrupt in corrupt, at most corrupt;
    Flap in flap, at most flaps;
    Stop in stop, at most stops;
    PowerLoss in power_loss, at most power_losses;
    Storm in storm, at most storms;
    Slow in slow, at most slows;
    Stall in stall, at most stalls;
    Wipe in wipe, at most wipes;
    Clock in clock, at most clocks;
    Drift in drift, at most drifts;
    Timers in timers, at most timers;
    Lie in lie, at most liars;
    DiskError in disk_error, at most disk_errors;
    DiskDamage in disk_damage, at most disk_damages;
    DiskLie in disk_lie, at most disk_lies;
    Swizzle in swizzle, at most swizzles;
    Twins in twins, at most twins;
    SlowLink in slow_link, at most slow_links;
    Strategy in strategy, at most strategies;
    Shutdown in shutdown, at most shutdowns;
}

impl Class {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        self.about().name
    }
}

impl Fault {
    /// Whether it cuts or jams links, as a picture shows it.
    pub fn cuts_links(&self) -> bool {
        use Disturbance::{Clog, Flap, Partition, Swizzle};
        let wire = self.disturbance();
        wire.is_some_and(|wire| {
            matches!(wire, Partition(_) | Flap { .. } | Clog { .. } | Swizzle { .. })
        })
    }

    /// The fault with this node in the place of the node that it names first.
    #[must_use]
    pub fn aimed_at(&self, node: NodeId) -> Self {
        let mut fault = self.clone();
        fault.aim_at(node);
        fault
    }

    /// The same, one node further on in the order of `nodes` nodes. What takes a node for good
    /// stays where it is: the plan spares no other.
    #[must_use]
    pub fn moved_on(&self, nodes: usize) -> Self {
        let mut fault = self.clone();
        if !fault.class().takes_a_node() {
            fault.move_on(nodes);
        }
        fault
    }
}

/// A share as a percentage.
fn percent(ppm: Ppm) -> String {
    format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100)
}

fn list<T: fmt::Display>(names: &[T]) -> String {
    let mut list = String::new();
    for (place, name) in names.iter().enumerate() {
        let gap = if place == 0 { "" } else { " " };
        write!(list, "{gap}{name}").expect("a string takes all");
    }
    list
}

/// What lasts less than this is not made shorter, in weaker faults.
const SHORT: Duration = Duration::millis(20);
/// What is less likely than this, in a million, is not made rarer.
const RARE: Ppm = 20_000;

/// Half of a probability; `None`: it is rare enough.
fn rarer(ppm: Ppm) -> Option<Ppm> {
    (ppm >= RARE).then_some(ppm / 2)
}

/// Half of a span; `None`: it is short enough.
fn shorter(span: Duration) -> Option<Duration> {
    (span >= SHORT).then(|| span.scale(1, 2))
}

/// The list without one of its members, for each; never empty.
fn without_one<T: Clone>(list: &[T]) -> impl Iterator<Item = Vec<T>> {
    let most = if list.len() > 1 { list.len() } else { 0 };
    (0..most).map(|out| [&list[..out], &list[out + 1..]].concat())
}
