//! The world as its user describes it: nodes with their programs, links, faults, limits.

use crate::course::{Course, Fork};
use crate::faults::{Fault, Place, Plan};
use crate::file::Promises;
use crate::report::Report;
use seedfall_net::{Delay, Disturbance, LinkModel, Order, Partition};
use seedfall_sim::{
    Address, ClientId, DrawAddress, Duration, NodeId, Override, Recording, Seed, Time,
};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A future of a node's `main`.
pub type MainFuture = Pin<Box<dyn Future<Output = ()>>>;

/// Runs a future to its end: the runtime of nodes whose `main` is asynchronous.
pub type Runtime = Arc<dyn Fn(MainFuture) + Send + Sync>;

/// The program of a node: its exit code.
type Main = Arc<dyn Fn() -> i32 + Send + Sync>;

/// What a `main` may return.
pub trait Outcome {
    /// The exit code of the program.
    fn code(self) -> i32;
}

impl Outcome for () {
    fn code(self) -> i32 {
        0
    }
}

/// As C's `main` says it.
impl Outcome for i32 {
    fn code(self) -> i32 {
        self
    }
}

impl<T: Outcome, E: fmt::Debug> Outcome for Result<T, E> {
    #[expect(clippy::print_stderr, reason = "what Rust's own `main` prints of an error")]
    fn code(self) -> i32 {
        match self {
            Ok(value) => value.code(),
            Err(error) => {
                eprintln!("Error: {error:?}");
                1
            }
        }
    }
}

/// What bounds a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Virtual time: how long the world lives at most.
    pub horizon: Duration,
    /// Real seconds of the whole run.
    pub seconds: u32,
    /// Seconds of computing without a call of the kernel.
    pub spin: u32,
    /// Bytes that programs may take, all of them together.
    pub memory: u64,
    /// Events.
    pub events: u64,
}

impl Limits {
    /// A minute of virtual time, two of real time, ten seconds of computing, 2 GiB, 50 million
    /// events.
    pub const USUAL: Self = Self {
        horizon: Duration::secs(60),
        seconds: 120,
        spin: 10,
        memory: 2 << 30,
        events: 50_000_000,
    };
}

/// One node of the world.
#[derive(Clone)]
pub(crate) struct NodeSpec {
    pub(crate) name: String,
    pub(crate) main: Main,
    pub(crate) folder: String,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) promises: Promises,
}

impl fmt::Debug for NodeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeSpec").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What stays the same in every run of a world: its nodes, its links, its limits.
#[derive(Clone, Debug)]
pub struct World {
    pub(crate) servers: Vec<NodeSpec>,
    pub(crate) clients: Vec<NodeSpec>,
    pub(crate) link: LinkModel,
    pub(crate) limits: Limits,
    /// Whether all nodes share the statics of the process.
    pub(crate) shared_statics: bool,
}

impl World {
    /// The node of that name.
    pub fn place(&self, name: &str) -> Option<Place> {
        self.nodes().position(|node| node.name == name).map(Place)
    }

    /// Its address on the wire.
    ///
    /// # Panics
    /// If there is no node of that name.
    pub fn address(&self, name: &str) -> Address {
        let place = self.place(name);
        let Some(Place(index)) = place else { panic!("there is no node `{name}`") };
        match index.checked_sub(self.servers.len()) {
            None => NodeId::new(index as u16).into(),
            Some(client) => ClientId::new(client as u16).into(),
        }
    }

    /// Servers, then clients.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &NodeSpec> {
        self.servers.iter().chain(&self.clients)
    }
}

/// A run that is being described: programs, faults, a seed.
#[derive(Clone)]
pub struct Simulation {
    pub(crate) world: World,
    course: Course,
    faults: Vec<(Time, Fault)>,
    runtime: Option<Runtime>,
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("world", &self.world)
            .field("course", &self.course)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

impl Simulation {
    /// A world without nodes: messages take 0.2 to 1 ms, nothing is lost.
    pub fn new(seed: u64) -> Self {
        let delay = Delay::Uniform { min: Duration::micros(200), max: Duration::millis(1) };
        let link = LinkModel { delay, loss: 0, duplicate: 0, order: Order::Free };
        let (servers, clients) = (Vec::new(), Vec::new());
        Self {
            world: World { servers, clients, link, limits: Limits::USUAL, shared_statics: false },
            course: Course::of(Seed(seed)),
            faults: Vec::new(),
            runtime: None,
        }
    }

    fn spec<T: Outcome>(name: &str, main: impl Fn() -> T + Send + Sync + 'static) -> NodeSpec {
        NodeSpec {
            name: name.to_owned(),
            main: Arc::new(move || main().code()),
            folder: "/work".to_owned(),
            environment: Vec::new(),
            files: Vec::new(),
            promises: Promises::default(),
        }
    }

    /// A node whose program is this `main`: it is called when the node starts, and again at each
    /// restart.
    pub fn node<T: Outcome>(
        mut self,
        name: &str,
        main: impl Fn() -> T + Send + Sync + 'static,
    ) -> Self {
        self.world.servers.push(Self::spec(name, main));
        self
    }

    /// What runs the futures of [`Simulation::node_async`] and [`Simulation::client`] from here on:
    /// for tokio, `|future| Builder::new_current_thread().enable_all().build().unwrap()
    /// .block_on(future)`.
    pub fn runtime(mut self, runtime: impl Fn(MainFuture) + Send + Sync + 'static) -> Self {
        self.runtime = Some(Arc::new(runtime));
        self
    }

    fn needed_runtime(&self, name: &str) -> Runtime {
        match &self.runtime {
            Some(runtime) => runtime.clone(),
            None => panic!("`{name}` is asynchronous: say before what runs it, by `runtime`"),
        }
    }

    /// A node whose `main` is asynchronous, on a runtime of its own.
    ///
    /// # Panics
    /// If [`Simulation::runtime`] was not called before.
    pub fn node_async<F>(mut self, name: &str, main: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let runtime = self.needed_runtime(name);
        self.world.servers.push(Self::spec(name, move || runtime(Box::pin(main()))));
        self
    }

    /// A client: a program of the workload on a node of its own. The run is finished when all
    /// clients are.
    ///
    /// # Panics
    /// If [`Simulation::runtime`] was not called before.
    pub fn client<F>(
        mut self,
        name: &str,
        main: impl Fn(ClientContext) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let runtime = self.needed_runtime(name);
        let context = ClientContext { name: name.to_owned(), index: self.world.clients.len() };
        let main = move || runtime(Box::pin(main(context.clone())));
        self.world.clients.push(Self::spec(name, main));
        self
    }

    /// A client whose program is a plain function.
    pub fn client_main<T: Outcome>(
        mut self,
        name: &str,
        main: impl Fn(ClientContext) -> T + Send + Sync + 'static,
    ) -> Self {
        let context = ClientContext { name: name.to_owned(), index: self.world.clients.len() };
        self.world.clients.push(Self::spec(name, move || main(context.clone())));
        self
    }

    /// A file that a node has before its program starts for the first time.
    ///
    /// # Panics
    /// If there is no node of that name.
    pub fn file(mut self, node: &str, path: &str, bytes: &[u8]) -> Self {
        self.spec_of(node).files.push((path.to_owned(), bytes.to_owned()));
        self
    }

    /// The disk of this node overwrites parts of sectors safely: of a sector that was being written
    /// as the power failed, each byte is what it was or what was written, and none is garbage.
    /// `SQLite` and redb take disks to have this *powersafe overwrite*; that a sector is lost
    /// with its neighbouring bytes is what others expect, and this crate without being told.
    ///
    /// # Panics
    /// If there is no node of that name.
    pub fn powersafe(mut self, node: &str) -> Self {
        self.spec_of(node).promises.powersafe = true;
        self
    }

    /// The disk of a node writes sectors whole: one that was being written as the power failed is
    /// what it was, or what was written. LMDB takes that for granted of its meta pages.
    ///
    /// # Panics
    /// If there is no node of this name.
    #[must_use]
    pub fn atomic(mut self, node: &str) -> Self {
        self.spec_of(node).promises.atomic = true;
        self
    }

    /// The file system of this node changes lengths as ext4, XFS and btrfs do: a file that was
    /// growing ends, after a crash, where it ended before, with a whole page, or where it was to
    /// end, and never in the midst of a page. Without being told, it may end with any sector.
    ///
    /// # Panics
    /// If there is no node of that name.
    pub fn journaled(mut self, node: &str) -> Self {
        self.spec_of(node).promises.journaled = true;
        self
    }

    fn spec_of(&mut self, node: &str) -> &mut NodeSpec {
        let mut nodes = self.world.servers.iter_mut().chain(&mut self.world.clients);
        let found = nodes.find(|spec| spec.name == node);
        found.unwrap_or_else(|| panic!("there is no node `{node}`"))
    }

    /// A variable in the environment of a node, which has no others: nothing of the machine's own
    /// environment is seen.
    ///
    /// # Panics
    /// If there is no node of that name.
    pub fn env(mut self, node: &str, key: &str, value: &str) -> Self {
        self.spec_of(node).environment.push((key.to_owned(), value.to_owned()));
        self
    }

    /// How links behave that nothing disturbs.
    pub fn link(mut self, link: LinkModel) -> Self {
        self.world.link = link;
        self
    }

    /// All nodes share the statics of the process, which survive crashes: for programs that hand
    /// something to each other by one. Without it each node has its own, as processes have, and new
    /// ones whenever its program starts; only those of the standard library are common to all, but
    /// for its locks, its streams and its count of threads.
    #[must_use]
    pub fn shared_statics(mut self) -> Self {
        self.world.shared_statics = true;
        self
    }

    /// What bounds the run.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.world.limits = limits;
        self
    }

    /// How long the world lives at most, in virtual time.
    pub fn horizon(mut self, horizon: Duration) -> Self {
        self.world.limits.horizon = horizon;
        self
    }

    /// The node of that name, for faults.
    ///
    /// # Panics
    /// If there is none.
    pub fn place(&self, name: &str) -> Place {
        self.world.place(name).unwrap_or_else(|| panic!("there is no node `{name}`"))
    }

    /// A fault at an instant.
    pub fn fault(mut self, at: Duration, fault: Fault) -> Self {
        self.faults.push((Time::ZERO + at, fault));
        self
    }

    /// Several faults at instants.
    pub fn plan(mut self, faults: impl IntoIterator<Item = (Duration, Fault)>) -> Self {
        self.faults.extend(faults.into_iter().map(|(at, fault)| (Time::ZERO + at, fault)));
        self
    }

    /// These nodes and all others do not reach each other, for a while. Clients that are not named
    /// reach everybody.
    pub fn partition(self, from: Duration, until: Duration, side: &[&str]) -> Self {
        let side = side.iter().map(|name| self.world.address(name)).collect();
        let partition = Disturbance::Partition(Partition::TwoWay { side });
        self.fault(from, Fault::Begin(partition.clone())).fault(until, Fault::End(partition))
    }

    /// A node crashes, and is started again.
    pub fn crash(self, at: Duration, restart: Duration, node: &str) -> Self {
        let place = self.place(node);
        self.fault(at, Fault::Crash(place)).fault(restart, Fault::Restart(place))
    }

    /// Draws that are decided otherwise than by the seed.
    pub fn overrides(mut self, overrides: BTreeMap<DrawAddress, Override>) -> Self {
        self.course.overrides = overrides;
        self
    }

    /// The same run from another seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.course.seed = Seed(seed);
        self
    }

    /// Everything that decides the run beside the world and the faults, and how much of it to keep.
    pub fn course(mut self, course: Course) -> Self {
        self.course = course;
        self
    }

    /// How much of the run to keep.
    pub fn recording(mut self, recording: Recording) -> Self {
        self.course.recording = recording;
        self
    }

    /// The world without the run.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The world, what decides the run, and the faults.
    pub(crate) fn parts(&self) -> (&World, &Course, &[(Time, Fault)]) {
        (&self.world, &self.course, &self.faults)
    }

    /// Several futures of it ([`futures`](crate::futures)).
    pub fn futures(&self, forks: &[Fork], jobs: usize) -> Vec<Report> {
        crate::start::futures(&self.world, &self.course, &mut Plan::new(&self.faults), forks, jobs)
    }

    /// Runs it, in a process of its own.
    pub fn run(&self) -> Report {
        crate::start::run(&self.world, &self.course, &mut Plan::new(&self.faults))
    }
}

/// Who a client is, and what it records.
#[derive(Clone, Debug)]
pub struct ClientContext {
    name: String,
    index: usize,
}

impl ClientContext {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which of the clients it is, counted from zero.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The virtual time.
    pub fn now(&self) -> Time {
        crate::run::now().unwrap_or_default()
    }

    /// Records something for the report, an operation of a history for one.
    pub fn record(&self, what: impl AsRef<[u8]>) {
        crate::run::note(what.as_ref());
    }
}
