//! Scenarios over programs as they are: each node is somebody's `main`, unmodified, and runs in the
//! simulated Linux of `seedfall-kernel`.
//!
//! ```no_run
//! use seedfall::checkers::models::{Register, RegisterInput as In, RegisterOutput as Out};
//! use seedfall::programs::{Answer, Program, Programs, Session};
//! use seedfall::{Expect, Horizon, Swarm, linearizable};
//!
//! fn server() { /* binds 0.0.0.0:80, with whatever libraries it uses */ }
//!
//! fn client(mut session: Session<In<u64>, Out<u64>>) {
//!     while let Some(input) = session.next_blocking() {
//!         // Ask `server:80` for it, by whatever library.
//!         session.answer(Answer::Indeterminate);
//!     }
//! }
//!
//! seedfall::check(Programs {
//!     nodes: vec![Program::new("server", server)],
//!     clients: 2,
//!     faults: Swarm::ALL,
//!     horizon: Horizon::SHORT,
//!     properties: vec![linearizable(Register { initial: 0 })],
//!     expect: Expect::Holds,
//!     ..Programs::new(
//!         "register",
//!         |op, draw| if draw.below(2) == 0 { In::Read } else { In::Write(op.unique()) },
//!         client,
//!     )
//! });
//! ```
//!
//! A run is a process of its own, forked for it. What decides it is what decides every run: the
//! seed, the fault plan, the operations that are left out, and overridden draws. So everything
//! that can be done with a run of a [`Scenario`](crate::Scenario) can be done with it: sweeps,
//! replays, cases, shrinking, and what looks at single events (`trace`, `explain`, `point`,
//! `diff`). Its events are what its programs ask of their kernel: connections and what goes over
//! them, changes of files, what they print, and how they end.

mod asserted;
mod every;
mod plan;
mod run;
mod session;
pub mod storage;
mod told;
mod zygote;

pub use every::EveryChange;
pub use seedfall_kernel::log;
pub use session::{Answer, Session};

use crate::faults::Swarm;
use crate::plan::{FaultBudget, FaultPlan};
use crate::property::{Kind, Property};
use crate::report::Report;
use crate::run::{Futures, Runnable, Trial};
use crate::scenario::{Expect, Expectation, Horizon};
use crate::workload::{Invocation, OperationId};
use seedfall_kernel::{Limits, Outcome, Simulation};
use seedfall_net::{Delay, LinkModel};
use seedfall_sim::{
    Choices, ClientId, Context, Duration, NodeId, Protocol, RequestId, Seed, SystemModel,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::Arc;

/// A program of a scenario: a node's `main`.
#[derive(Clone)]
pub struct Program {
    name: &'static str,
    main: Arc<dyn Fn() -> i32 + Send + Sync>,
    files: Vec<(&'static str, Vec<u8>)>,
    environment: Vec<(&'static str, &'static str)>,
    powersafe: bool,
    atomic: bool,
    journaled: bool,
}

impl Program {
    /// A node of this name, under which others reach it, and its `main`, which is called when the
    /// node starts and again at each restart. A `main` that is marked `#[tokio::main]` is one, and
    /// so is one that returns a `Result`.
    pub fn new<T: Outcome>(
        name: &'static str,
        main: impl Fn() -> T + Send + Sync + 'static,
    ) -> Self {
        let main = move || main().code();
        let (files, environment) = (Vec::new(), Vec::new());
        let (main, powersafe, atomic, journaled) = (Arc::new(main), false, false, false);
        Self { name, main, files, environment, powersafe, atomic, journaled }
    }

    /// A file that it has before it starts for the first time.
    #[must_use]
    pub fn file(mut self, path: &'static str, bytes: &[u8]) -> Self {
        self.files.push((path, bytes.to_owned()));
        self
    }

    /// Its disk overwrites parts of sectors safely
    /// ([`Simulation::powersafe`](seedfall_kernel::Simulation::powersafe)).
    #[must_use]
    pub fn powersafe(mut self) -> Self {
        self.powersafe = true;
        self
    }

    /// Its disk writes sectors whole ([`Simulation::atomic`](seedfall_kernel::Simulation::atomic)).
    #[must_use]
    pub fn atomic(mut self) -> Self {
        self.atomic = true;
        self
    }

    /// Its file system changes lengths by whole pages
    /// ([`Simulation::journaled`](seedfall_kernel::Simulation::journaled)).
    #[must_use]
    pub fn journaled(mut self) -> Self {
        self.journaled = true;
        self
    }

    /// A variable of its environment, which has no others.
    #[must_use]
    pub fn env(mut self, key: &'static str, value: &'static str) -> Self {
        self.environment.push((key, value));
        self
    }
}

/// What stands for the protocol where properties are about histories alone: the state of a program
/// is its own affair, so monitors and `eventually` do not apply.
#[derive(Clone, Copy, Debug)]
pub struct Process;

impl Protocol for Process {
    type Config = ();
    type Message = ();
    type Timer = ();
    type Record = ();
    type Request = ();
    type Response = ();

    fn start(_: NodeId, (): &(), _: &[()], _: &mut Context<'_, Self>) -> Self {
        Self
    }
    fn on_message(&mut self, _: NodeId, (): (), _: &mut Context<'_, Self>) {}
    fn on_timer(&mut self, (): (), _: &mut Context<'_, Self>) {}
    fn on_request(&mut self, _: RequestId, (): (), _: &mut Context<'_, Self>) {}
}

/// An assertion of `antithesis_sdk` in a program, by its message: so that a scenario can name it as
/// what it expects to break. Those that are to hold need no property.
pub fn assertion<I, O>(message: &'static str) -> Property<Process, I, O> {
    crate::property::always(message, |_| true)
}

type Drawn<I> = Arc<dyn Fn(Invocation, &mut Choices<'_>) -> I + Send + Sync>;
type ClientMain<I, O> = Arc<dyn Fn(Session<I, O>) + Send + Sync>;

/// A scenario whose nodes are programs. `I` and `O` are what an operation asks and answers.
pub struct Programs<I, O> {
    /// The name by which it is run: lower-case words with hyphens.
    pub name: &'static str,
    /// What happens, in a sentence or two.
    pub story: &'static str,
    /// What the run may assume; the nemesis keeps within it.
    pub model: SystemModel,
    /// The nodes.
    pub nodes: Vec<Program>,
    /// How many clients; each is a program of its own, on a machine of its own.
    pub clients: usize,
    /// How every link behaves when nothing disturbs it.
    pub link: LinkModel,
    /// How many nodes may be lost for good.
    pub spare: usize,
    /// Operations of each client while the faults last.
    pub operations: u32,
    /// Operations of each client after the faults stopped. If
    /// [`every_operation_completes`](crate::every_operation_completes) is a property, each is asked
    /// for again until it is answered.
    pub final_operations: u32,
    /// How long a client waits between two operations.
    pub think: Delay,
    /// Draws the input of an operation.
    pub generate: Drawn<I>,
    /// The program of a client: asks for what its session says.
    pub client: ClientMain<I, O>,
    /// What the nemesis may draw; classes that mean nothing to programs are left out.
    pub faults: Swarm,
    /// Crashes of a node before each change of its files, beside other faults; `None`: none.
    pub crash_at: Option<EveryChange>,
    /// Whether all nodes, clients too, share the statics of the test's process, which survive
    /// crashes ([`Simulation::shared_statics`](seedfall_kernel::Simulation::shared_statics)); by
    /// itself each has its own, as processes have.
    pub shared_statics: bool,
    /// How long the run takes, at most, in virtual time.
    pub horizon: Horizon,
    /// How much of the machine a run may take.
    pub limits: Limits,
    /// What must hold; beside it, the assertions of the crate `antithesis_sdk` in the programs.
    pub properties: Vec<Property<Process, I, O>>,
    /// The modules of the programs that use that crate: what they declare, some run must reach.
    /// Empty: what is declared anywhere in the binary, where other programs may be, too.
    pub declared_in: Vec<&'static str>,
    /// Which of them are expected to hold.
    pub expect: Expect<Process>,
}

impl<I, O> Programs<I, O> {
    /// Ten operations of each of two clients and a final one, 10 to 100 ms apart, over links of 0.2
    /// to 1 ms; no nodes, no faults and no properties yet.
    pub fn new(
        name: &'static str,
        generate: impl Fn(Invocation, &mut Choices<'_>) -> I + Send + Sync + 'static,
        client: impl Fn(Session<I, O>) + Send + Sync + 'static,
    ) -> Self {
        let delay = Delay::Uniform { min: Duration::micros(200), max: Duration::millis(1) };
        Self {
            name,
            story: "Programs as they are, and clients that use them.",
            model: SystemModel::USUAL,
            nodes: Vec::new(),
            clients: 2,
            link: LinkModel { delay, loss: 0, duplicate: 0, order: seedfall_net::Order::Free },
            spare: 0,
            operations: 10,
            final_operations: 1,
            think: Delay::Uniform { min: Duration::millis(10), max: Duration::millis(100) },
            generate: Arc::new(generate),
            client: Arc::new(client),
            faults: Swarm::NONE,
            crash_at: None,
            shared_statics: false,
            horizon: Horizon::SHORT,
            limits: Limits::USUAL,
            properties: Vec::new(),
            declared_in: Vec::new(),
            expect: Expect::Holds,
        }
    }
}

impl<I, O> Clone for Programs<I, O> {
    fn clone(&self) -> Self {
        Self {
            nodes: self.nodes.clone(),
            generate: Arc::clone(&self.generate),
            client: Arc::clone(&self.client),
            crash_at: self.crash_at.clone(),
            properties: self.properties.clone(),
            declared_in: self.declared_in.clone(),
            expect: self.expect.clone(),
            ..*self
        }
    }
}

impl<I, O> Runnable for Programs<I, O>
where
    I: Clone + Debug + Send + Sync + 'static,
    O: Debug + Serialize + DeserializeOwned + 'static,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn story(&self) -> &'static str {
        self.story
    }

    fn expect(&self) -> Expectation {
        self.expect.expectation()
    }

    fn validate(&self) -> Result<(), String> {
        let names: Vec<&str> = self.properties.iter().map(|property| property.name).collect();
        let monitored = self.properties.iter().find(|property| {
            let kind = &property.kind;
            let judged = matches!(kind, Kind::Invariant(_) | Kind::Eventually(_));
            judged || matches!(kind, Kind::Sometimes(_) | Kind::Abstraction(_))
        });
        if let Some(property) = monitored {
            return Err(format!(
                "scenario `{}`: `{}` is about the state of nodes, and the state of a program is \
                 not seen; expected properties of the history",
                self.name, property.name
            ));
        }
        let (nodes, clients) = (self.nodes.len(), self.clients);
        crate::scenario::validate(
            self.name,
            (nodes, clients, nodes, self.spare),
            &names,
            self.expect.properties(),
        )
    }

    fn shared(&self) -> Arc<dyn Runnable> {
        Arc::new(self.clone())
    }

    fn properties(&self) -> Vec<String> {
        self.properties.iter().map(|property| format!("{property:?}")).collect()
    }

    fn sometimes(&self) -> Vec<&'static str> {
        let owed = self.properties.iter().filter(|property| property.is_sometimes());
        owed.map(|property| property.name).collect()
    }

    fn fault_budget(&self) -> FaultBudget {
        FaultBudget {
            model: self.model,
            nodes: self.nodes.len(),
            clients: self.clients,
            spare: self.spare,
            faults: self.horizon.faults,
        }
    }

    fn operations(&self) -> Vec<OperationId> {
        let numbers = 0..self.operations + self.final_operations;
        let of = |client: usize| ClientId::new(client as u16);
        (0..self.clients)
            .flat_map(|client| {
                numbers.clone().map(move |number| OperationId { client: of(client), number })
            })
            .collect()
    }

    fn plan_within(&self, seed: Seed, budget: &FaultBudget) -> FaultPlan {
        // One server alone has nobody from whom it could be diverged: clients reach everybody.
        let faults = match self.nodes.len() {
            1 => Swarm { partitions: 0, flaps: 0, ..self.faults },
            _ => self.faults,
        };
        let mut plan = plan::meaningful(faults.draw(seed, budget));
        plan.entries.extend(self.crashes(seed, budget));
        plan
    }

    fn least_seeds(&self) -> u64 {
        self.seeds_for_every_change()
    }

    fn fewest(&self) -> usize {
        // Who the nodes are is written into the programs.
        self.nodes.len()
    }

    fn run(&self, trial: &Trial) -> Report {
        run::run(self, trial)
    }

    fn futures(&self, trial: &Trial, of: &Futures<'_>) -> usize {
        run::futures(self, trial, of)
    }

    fn names(&self) -> Vec<String> {
        let nodes = self.nodes.iter().map(|node| node.name.to_owned());
        nodes.chain((1..=self.clients).map(|client| format!("client{client}"))).collect()
    }

    fn prepare(&self) {
        seedfall_kernel::fix_addresses();
        zygote::settle(self);
    }

    fn alone(&self, body: &mut dyn FnMut()) {
        seedfall_kernel::isolated(|| {
            zygote::settle(self);
            body();
        });
    }
}

impl<I, O> Programs<I, O> {
    /// Whether it is that one: the same programs and clients, who do the same.
    fn is(&self, other: &Self) -> bool {
        let of = |one: &Program| (one.name, one.powersafe, one.atomic, one.journaled);
        let is = |one: &Program, other: &Program| {
            Arc::ptr_eq(&one.main, &other.main)
                && of(one) == of(other)
                && (&one.files, &one.environment) == (&other.files, &other.environment)
        };
        let nodes = self.nodes.iter().zip(&other.nodes);
        let numbers = |of: &Self| {
            let who = (of.name, of.model, of.nodes.len(), of.clients, of.spare);
            let work = (of.operations, of.final_operations, of.think, of.link);
            let world = (of.faults, of.shared_statics, of.horizon, of.limits);
            (who, work, world, of.properties.len())
        };
        let same = match (&self.crash_at, &other.crash_at) {
            (None, None) => true,
            (Some(one), Some(other)) => one.is(other),
            _ => false,
        };
        same && Arc::ptr_eq(&self.generate, &other.generate)
            && Arc::ptr_eq(&self.client, &other.client)
            && numbers(self) == numbers(other)
            && { nodes }.all(|(one, other)| is(one, other))
    }
}

impl<I, O> Programs<I, O>
where
    I: Clone + Send + Sync + 'static,
    O: Serialize + 'static,
{
    /// The world of one run: nodes, and clients with the operations that they are to ask for.
    fn simulation(&self, sessions: &[Arc<session::Planned<I>>]) -> Simulation {
        let mut simulation = Simulation::new(0).link(self.link).limits(Limits {
            horizon: self.horizon.faults + self.horizon.settle,
            events: self.horizon.events.max(self.limits.events),
            ..self.limits
        });
        for Program { name, main, files, environment, powersafe, atomic, journaled } in &self.nodes
        {
            let main = Arc::clone(main);
            simulation = simulation.node(name, move || main());
            if *powersafe {
                simulation = simulation.powersafe(name);
            }
            if *atomic {
                simulation = simulation.atomic(name);
            }
            if *journaled {
                simulation = simulation.journaled(name);
            }
            for (path, bytes) in files {
                simulation = simulation.file(name, path, bytes);
            }
            for (key, value) in environment {
                simulation = simulation.env(name, key, value);
            }
        }
        for (index, planned) in sessions.iter().enumerate() {
            let (client, planned) = (Arc::clone(&self.client), Arc::clone(planned));
            let name = format!("client{}", index + 1);
            simulation = simulation.client_main(&name, move |_| {
                client(Session::new(index, Arc::clone(&planned)));
            });
        }
        if self.shared_statics { simulation.shared_statics() } else { simulation }
    }
}
