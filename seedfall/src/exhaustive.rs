//! Every order of events, to a bound: what a sweep can only make likely, settled.
//!
//! The search begins where every node has started, and takes every step that can come next: any
//! message on its way arrives, at any node that is up, or any timer rings, or a client calls its
//! next operation, or a node crashes (between two events, or between any two effects of a handler)
//! and comes up again. It goes on, breadth first, until it has met no new state, so a property that
//! is broken is broken by the *fewest* steps that can do it.
//!
//! - **Losses need no step of their own.** A message that is lost is one that never arrives, and
//!   every state in which it has not arrived yet is looked at. So every fair-loss network is
//!   covered, and with [`Bounds::duplicates`] one that doubles.
//! - **Time stands still.** Any timer that is set may ring next, however long it was set for, so
//!   everything that an asynchronous network can do is tried. A protocol whose safety rests on
//!   clocks, such as a lease, is refuted here by what its model excludes.
//! - **Draws are constant**: what a handler draws is the same each time.
//! - **Clients** call when they like, and believe the first answer, also where a workload wants
//!   several nodes to agree ([`Workload::agree`](crate::Workload::agree)).
//! - **Properties**: the histories' ([`linearizable`](crate::linearizable), [`crate::always`]) are
//!   those of the scenario; one monitor is given to [`Exhaustive::watch`], and what it remembers is
//!   part of the state, so that no path to a state hides another. Liveness is not judged.
//!
//! States are told apart by 128 bits: with 2^40 of them, two are taken for one with a chance of
//! 2^-49. It keeps 33 to 36 bytes of each state, and the rows of the two newest depths.
//!
//! ```
//! use seedfall::exhaustive::{Bounds, Exhaustive};
//! use seedfall::prelude::*;
//! use models::{Register, RegisterInput as In, RegisterOutput as Out};
//! # #[derive(Clone, Hash)]
//! # struct Copied(u64);
//! # impl Protocol for Copied {
//! #     type Config = ();
//! #     type Message = u64;
//! #     type Timer = ();
//! #     type Record = ();
//! #     type Request = In<u64>;
//! #     type Response = Out<u64>;
//! #     fn start(_: NodeId, _: &(), _: &[()], _: &mut Context<Self>) -> Self { Copied(0) }
//! #     fn on_request(&mut self, id: RequestId, body: In<u64>, ctx: &mut Context<Self>) {
//! #         let In::Write(value) = body else { return ctx.respond(id, Out::Value(self.0)) };
//! #         self.0 = value;
//! #         ctx.broadcast(value);
//! #         ctx.respond(id, Out::Done);
//! #     }
//! #     fn on_message(&mut self, _: NodeId, value: u64, _: &mut Context<Self>) { self.0 = value }
//! # }
//! # fn copied() -> Scenario<Copied, In<u64>, Out<u64>> {
//! #     Scenario {
//! #         name: "copied-register", story: "", model: SystemModel::USUAL,
//! #         cluster: Cluster::lan(2, 2), config: (),
//! #         workload: Workload::short(|_, _| In::Read, |_, input| input.clone(), Reply::Done),
//! #         faults: Swarm::NONE, horizon: Horizon::SHORT,
//! #         properties: vec![linearizable(Register { initial: 0 })], expect: Expect::Holds,
//! #     }
//! # }
//!
//! // Two nodes that copy a register to each other, and answer too early.
//! let found = Exhaustive::of(&copied())
//!     .call(0, None, In::Write(1)) // client, node (any), operation
//!     .call(1, None, In::Read)
//!     .run();
//! let broken = found.counterexample.expect("a read may be older than a write that is over");
//! assert_eq!(broken.property, "linearizable");
//! assert_eq!(broken.steps.len(), 2); // A write at one node, and a read at the other.
//! # let _ = Bounds::NONE;
//! ```

mod histories;
mod locals;
mod space;
mod story;
mod symmetry;
mod tables;
mod walk;

use crate::property::Kind;
use crate::scenario::{OperationId, Scenario};
use crate::workload::{Ask, Read};
use histories::{Call, Histories, Judge};
use locals::{Locals, Within};
use seedfall_sim::{ClientId, Monitor, NodeId, Protocol, Renamed, Renaming, RequestId, Violation};
use space::Space;
use std::fmt;
use std::hash::Hash;
use symmetry::Symmetry;
use tables::digest;

#[cfg(test)]
mod tests;

pub use story::ReplayError;
pub use walk::Progress;

/// How far the search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Steps from the first state; [`Bounds::ANY`]: until nothing is new.
    pub depth: u32,
    /// Timers that ring, of all nodes together: up to 254, or [`Bounds::ANY`].
    pub timers: u32,
    /// Crashes of all nodes together, up to 254. A node that crashed may come up at any time.
    pub crashes: u32,
    /// Whether a crash may fall between two effects of a handler, and not only between two events.
    pub crashes_inside: bool,
    /// Messages that arrive and stay on their way, to arrive again: up to 254.
    pub duplicates: u32,
    /// A state with more messages on their way is looked at, and not gone on from.
    pub messages: u32,
    /// States, after which the search gives up: what bounds its memory. Below 2^32.
    pub states: u32,
}

impl Bounds {
    /// No bound.
    pub const ANY: u32 = u32::MAX;

    /// Nothing but messages and clients, to the end, or to ten million states: less than half a
    /// gigabyte.
    pub const NONE: Self = Self {
        depth: Self::ANY,
        timers: 0,
        crashes: 0,
        crashes_inside: true,
        duplicates: 0,
        messages: Self::ANY,
        states: 10_000_000,
    };

    /// What is wrong with them.
    ///
    /// # Errors
    /// The field, what it says, and what would do.
    pub fn validate(&self) -> Result<(), String> {
        let small =
            [("timers", self.timers), ("crashes", self.crashes), ("duplicates", self.duplicates)];
        for (name, value) in small {
            if (255..Self::ANY).contains(&value) {
                return Err(format!("`{name}` is {value}; expected up to 254, or no bound"));
            }
        }
        if self.states == Self::ANY {
            return Err("`states` has no bound; expected below 2^32 - 1".to_owned());
        }
        Ok(())
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |count: u32, one: &'static str, many: &'static str| match count {
            Self::ANY => format!("any number of {many}"),
            1 => format!("1 {one}"),
            _ => format!("{count} {many}"),
        };
        let timers = of(self.timers, "timer", "timers");
        let mut crashes = of(self.crashes, "crash", "crashes");
        if self.crashes > 0 && !self.crashes_inside {
            crashes += " between two events";
        }
        let copies = of(self.duplicates, "copy", "copies");
        write!(f, "{timers}, {crashes}, {copies}, any losses")?;
        if self.messages != Self::ANY {
            write!(f, ", {} on their way", of(self.messages, "message", "messages"))?;
        }
        Ok(())
    }
}

/// A monitor that watches nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Unwatched;

impl<P> Monitor<P> for Unwatched {
    fn observe(&mut self, _: NodeId, _: &P) -> Result<(), Violation> {
        Ok(())
    }
}

impl Renamed for Unwatched {
    fn renamed(&self, _: &Renaming) -> Self {
        Self
    }
}

/// A search to be made: a cluster, what its clients call, what is watched, and how far to go.
pub struct Exhaustive<P: Protocol, I, O, M = Unwatched> {
    nodes: usize,
    config: P::Config,
    request: Ask<P, I>,
    reply: Read<P, O>,
    judges: Vec<Judge<I, O>>,
    calls: Vec<Vec<Call<I>>>,
    monitor: M,
    within: Option<Within<P>>,
    symmetry: Option<Symmetry<P, M>>,
    bounds: Bounds,
}

impl<P: Protocol, I: Clone, O: Clone> Exhaustive<P, I, O> {
    /// The cluster of a scenario, its parameters, the words of its workload, and those of its
    /// properties that are about histories. Nobody calls anything yet, and nothing fails.
    pub fn of(scenario: &Scenario<P, I, O>) -> Self {
        let judge = |property: &crate::Property<P, I, O>| match &property.kind {
            Kind::History(judge) => Some((property.name, judge.clone())),
            _ => None,
        };
        Self {
            nodes: scenario.cluster.nodes,
            config: scenario.config.clone(),
            request: scenario.workload.request.clone(),
            reply: scenario.workload.reply.clone(),
            judges: scenario.properties.iter().filter_map(judge).collect(),
            calls: Vec::new(),
            monitor: Unwatched,
            within: None,
            symmetry: None,
            bounds: Bounds::NONE,
        }
    }
}

impl<P: Protocol, I: Clone, O: Clone, M> Exhaustive<P, I, O, M> {
    /// A client calls this, after what it was given before: at one node, or, with `None`, at any
    /// that is up. Clients count from zero.
    #[must_use]
    pub fn call(mut self, client: usize, at: Option<usize>, input: I) -> Self {
        if self.calls.len() <= client {
            self.calls.resize_with(client + 1, Vec::new);
        }
        let at = at.map(|index| NodeId::new(index as u16));
        self.calls[client].push(Call { at, input });
        self
    }

    /// How far to go.
    #[must_use]
    pub fn bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// The search does not go on from a state in which a node is not so: its term is too high, say.
    #[must_use]
    pub fn within(mut self, within: impl Fn(NodeId, &P) -> bool + 'static) -> Self {
        self.within = Some(Box::new(within));
        self
    }

    /// These nodes are alike: nobody is asked something at one of them alone, and the protocol
    /// neither compares their names nor does anything for one before another. States in which they
    /// have traded places are then one, so up to k! times fewer states are met, of k such nodes.
    ///
    /// To be called after [`Exhaustive::watch`]. A crash inside a handler has sent to some nodes
    /// and not to others, by their names: such crashes are left out
    /// ([`Bounds::crashes_inside`]).
    #[must_use]
    pub fn alike(mut self, nodes: &[usize]) -> Self
    where
        P: Renamed,
        P::Message: Renamed,
        P::Record: Renamed,
        P::Timer: Renamed,
        M: Renamed,
    {
        self.symmetry = Some(Symmetry::of(self.nodes, nodes));
        self
    }

    /// Watches invariants. What the monitor remembers is part of the state.
    pub fn watch<W: Monitor<P> + Clone + Hash>(self, monitor: W) -> Exhaustive<P, I, O, W> {
        let Self { nodes, config, request, reply, judges, calls, within, bounds, .. } = self;
        let symmetry = None;
        Exhaustive {
            nodes,
            config,
            request,
            reply,
            judges,
            calls,
            monitor,
            within,
            symmetry,
            bounds,
        }
    }
}

impl<P, I, O, M> Exhaustive<P, I, O, M>
where
    P: Protocol + Clone + Hash,
    I: Clone,
    O: Clone,
    M: Monitor<P> + Clone + Hash,
{
    /// Searches.
    ///
    /// # Panics
    /// If the bounds make no sense, as [`Bounds::validate`] says.
    pub fn run(self) -> Exploration {
        self.run_with(&mut |_| ())
    }

    /// Searches, and says now and then how far it is.
    ///
    /// # Panics
    /// As [`Exhaustive::run`].
    pub fn run_with(self, progress: &mut dyn FnMut(Progress)) -> Exploration {
        let (space, monitor) = self.space();
        walk::walk(space, monitor, progress)
    }

    /// Takes the steps of a counterexample again, by their words, and says what is broken at its
    /// end.
    ///
    /// # Errors
    /// The first step that cannot be taken there, and those that can; or that nothing is broken.
    pub fn replay<S: AsRef<str>>(self, steps: &[S]) -> Result<Counterexample, ReplayError> {
        let (space, monitor) = self.space();
        story::replay(space, monitor, steps)
    }

    fn space(self) -> (Space<P, I, O, M>, M) {
        if let Err(wrong) = self.bounds.validate() {
            panic!("the bounds of the search: {wrong}");
        }
        let mut bounds = self.bounds;
        bounds.crashes_inside &= self.symmetry.is_none();
        let cuts = bounds.crashes_inside && bounds.crashes > 0;
        let mut locals = Locals::new(self.nodes, self.config, cuts, self.within);
        for (client, calls) in self.calls.iter().enumerate() {
            let client = ClientId::new(client as u16);
            for (number, call) in calls.iter().enumerate() {
                let number = number as u32;
                let body = (self.request)(OperationId { client, number }, &call.input);
                let id = RequestId { client, number };
                locals.requests.number(digest(&id), || (id, body));
            }
        }
        let histories = Histories::new(self.calls, self.reply, self.judges);
        let mut space = Space::new(self.nodes, bounds, locals, histories);
        space.symmetry = self.symmetry;
        (space, self.monitor)
    }
}

/// A search that has a name, whatever its protocol: what commands offer.
pub struct Search {
    /// The name by which it is run.
    pub name: &'static str,
    /// What is searched, in a sentence.
    pub story: &'static str,
    /// How far, unless it is said otherwise.
    pub bounds: Bounds,
    /// The property that it must find broken; `None`: nothing may be.
    pub breaks: Option<&'static str>,
    make: Box<dyn Fn() -> Box<dyn Explore> + Send + Sync>,
}

impl Search {
    /// A search by its name, and what it must find broken, if anything. Its bounds are those that
    /// `make` gives.
    pub fn new<P, I, O, M>(
        name: &'static str,
        story: &'static str,
        breaks: Option<&'static str>,
        make: impl Fn() -> Exhaustive<P, I, O, M> + Send + Sync + 'static,
    ) -> Self
    where
        P: Protocol + Clone + Hash + 'static,
        I: Clone + 'static,
        O: Clone + 'static,
        M: Monitor<P> + Clone + Hash + 'static,
    {
        let bounds = make().bounds;
        Self { name, story, bounds, breaks, make: Box::new(move || Box::new(make())) }
    }

    /// Searches within these bounds, and says now and then how far it is.
    pub fn run(&self, bounds: Bounds, progress: &mut dyn FnMut(Progress)) -> Exploration {
        (self.make)().explore(bounds, progress)
    }

    /// Takes the steps of a counterexample again, as [`Exhaustive::replay`] does.
    ///
    /// # Errors
    /// As there.
    pub fn replay(&self, bounds: Bounds, steps: &[String]) -> Result<Counterexample, ReplayError> {
        (self.make)().again(bounds, steps)
    }
}

impl fmt::Debug for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "search {}: {}", self.name, self.story)
    }
}

/// A search of any protocol.
trait Explore {
    fn explore(self: Box<Self>, to: Bounds, progress: &mut dyn FnMut(Progress)) -> Exploration;
    fn again(self: Box<Self>, to: Bounds, steps: &[String]) -> Result<Counterexample, ReplayError>;
}

impl<P, I, O, M> Explore for Exhaustive<P, I, O, M>
where
    P: Protocol + Clone + Hash,
    I: Clone,
    O: Clone,
    M: Monitor<P> + Clone + Hash,
{
    fn explore(self: Box<Self>, to: Bounds, progress: &mut dyn FnMut(Progress)) -> Exploration {
        self.bounds(to).run_with(progress)
    }

    fn again(self: Box<Self>, to: Bounds, steps: &[String]) -> Result<Counterexample, ReplayError> {
        self.bounds(to).replay(steps)
    }
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exploration {
    /// How far it went.
    pub extent: Extent,
    /// The bounds that it was given.
    pub bounds: Bounds,
    /// Different states, the first one included.
    pub states: u32,
    /// Steps that were taken, to new states and old ones.
    pub steps: u64,
    /// Steps to the state that is furthest from the first.
    pub depth: u32,
    /// States from which nothing can happen, and in how many of them an operation is not over:
    /// within the bounds, so with timers that may not ring it says nothing about the protocol.
    pub ends: (u32, u32),
    /// Different pairs of a node's state and an input: how many handlers were run.
    pub handlers: usize,
    /// How many histories no judge could decide.
    pub undecided: u64,
    /// The marks of `Context::reach` and `Context::ignore`, and how many handlers reached each.
    pub marks: Vec<(&'static str, u64)>,
    /// Bytes kept for the states.
    pub bytes: usize,
    /// What is broken, by the fewest steps.
    pub counterexample: Option<Counterexample>,
}

/// How far a search went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Nothing is left: every state that the bounds allow was met.
    Complete,
    /// Every state that so many steps can reach was met; there are others.
    Depth(u32),
    /// It met as many states as it may; those that so many steps can reach are among them.
    States(u32),
}

/// A property that does not hold, and the fewest steps that break it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// The property.
    pub property: &'static str,
    /// How it is broken, in a sentence.
    pub explanation: String,
    /// What happens, from the state in which every node has started, a step a line.
    pub steps: Vec<String>,
    /// After each step, what the node did: what it sent, wrote, answered.
    pub effects: Vec<Vec<String>>,
}
