//! The scenario: every assumption of a test, written out.

use crate::faults::Swarm;
use crate::property::{Kind, Property, lasting};
use crate::run::Abstraction;
use crate::words::counted;
use seedfall_net::{Delay, LinkModel, Order};
use seedfall_sim::{Clock, Duration, Protocol, StableHasher, SystemModel};
use std::borrow::Cow;
use std::hash::Hash;
use std::sync::Arc;

pub use crate::workload::{Invocation, OperationId, Phase, Reply, Workload};

/// One situation to be tested: a model, a cluster, a workload, faults and properties.
///
/// It is a struct literal with every field written, and there is no `Default`: an assumption that
/// was forgotten is a compile error. `P` is the protocol, `I` and `O` what an operation of its
/// clients asks and answers.
pub struct Scenario<P: Protocol, I, O> {
    /// The name by which it is run: lower-case words with hyphens.
    pub name: &'static str,
    /// What happens, in a sentence or two.
    pub story: &'static str,
    /// What the run may assume; the nemesis keeps within it.
    pub model: SystemModel,
    /// Who takes part, over which wire.
    pub cluster: Cluster,
    /// The protocol's own parameters.
    pub config: P::Config,
    /// What the clients do.
    pub workload: Workload<P, I, O>,
    /// What the nemesis may draw.
    pub faults: Swarm,
    /// How long the run takes, at most.
    pub horizon: Horizon,
    /// What must hold.
    pub properties: Vec<Property<P, I, O>>,
    /// Which of them are expected to hold.
    pub expect: Expect<P>,
}

impl<P: Protocol, I, O> Clone for Scenario<P, I, O> {
    fn clone(&self) -> Self {
        Self {
            cluster: self.cluster.clone(),
            config: self.config.clone(),
            workload: self.workload.clone(),
            faults: self.faults,
            properties: self.properties.clone(),
            expect: self.expect.clone(),
            ..*self
        }
    }
}

impl<P: Protocol, I, O> Scenario<P, I, O> {
    /// The same under another name, which may be made up as the test runs: of scenarios that differ
    /// in a parameter, say.
    ///
    /// ```
    /// # use seedfall::{Scenario, sim::Protocol};
    /// # fn larger<P: Protocol, I, O>(scenario: &Scenario<P, I, O>) -> Vec<Scenario<P, I, O>> {
    /// let of = |nodes| {
    ///     let mut of = scenario.clone().named(format!("{}-{nodes}", scenario.name));
    ///     of.cluster.nodes = nodes;
    ///     of
    /// };
    /// (3..6).map(of).collect()
    /// # }
    /// ```
    #[must_use]
    pub fn named(self, name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: lasting(name), ..self }
    }

    /// The same; of a node a search is to tell apart what this makes of it, beside what can be seen
    /// of any node: its role, say, and how far it is behind. Coarse is better than fine: what is
    /// never the same twice guides nobody.
    ///
    /// ```
    /// # use seedfall::{Scenario, sim::Protocol};
    /// # struct Server { votes: usize, log: Vec<u64> }
    /// # fn seen<P: Protocol + 'static, I, O>(scenario: Scenario<P, I, O>, of: fn(&P) -> &Server)
    /// # -> Scenario<P, I, O> {
    /// scenario.abstraction(move |node| (of(node).votes, of(node).log.len().min(4)))
    /// # }
    /// ```
    #[must_use]
    pub fn abstraction<H: Hash>(mut self, of: impl Fn(&P) -> H + Send + Sync + 'static) -> Self {
        let of = move |node: &P| StableHasher::hash(&of(node));
        let kind = Kind::Abstraction(Arc::new(of));
        self.properties.retain(|property| !property.is_abstraction());
        self.properties.push(Property { name: "what a search tells apart", kind });
        self
    }

    /// What a search takes for the state of a node, if the scenario says.
    pub(crate) fn abstraction_of(&self) -> Option<&Abstraction<P>> {
        self.properties.iter().find_map(|property| match &property.kind {
            Kind::Abstraction(of) => Some(&**of),
            _ => None,
        })
    }

    /// What is wrong with the scenario itself, so that no run of it would mean anything.
    ///
    /// # Errors
    /// The field, what it says, and what would do.
    pub fn validate(&self) -> Result<(), String> {
        let Cluster { nodes, clients, fewest, spare, .. } = self.cluster;
        let named: Vec<&str> = self.properties.iter().map(|property| property.name).collect();
        validate(self.name, (nodes, clients, fewest, spare), &named, self.expect.properties())
    }
}

impl<P: Protocol, I, O> Scenario<P, I, O> {
    /// Whether it demands that operations complete: then nobody gives up a final one.
    pub fn must_complete(&self) -> bool {
        self.properties.iter().any(|property| matches!(property.kind, Kind::Complete))
    }
}

/// Whether a scenario makes sense: its name, its nodes, clients, fewest and spare nodes, the names
/// of its properties, and those that it expects to break.
pub(crate) fn validate(
    name: &str,
    (nodes, clients, fewest, spare): (usize, usize, usize, usize),
    named: &[&str],
    expected: &[&str],
) -> Result<(), String> {
    let wrong = |what: String| Err(format!("scenario `{name}`: {what}"));
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || !name.chars().all(plain) {
        let expected = "expected lower-case letters, digits and hyphens, such as `lease-lock`";
        return wrong(format!("`name` names files and is typed in commands; {expected}"));
    }
    if nodes == 0 || clients == 0 {
        return wrong(format!(
            "`cluster` has {} and {}; expected at least one of each",
            counted(nodes as u64, "node"),
            counted(clients as u64, "client")
        ));
    }
    if !(1..=nodes).contains(&fewest) {
        return wrong(format!("`cluster.fewest` is {fewest}; expected 1 to {nodes}"));
    }
    if nodes < spare {
        return wrong(format!("`cluster.spare` is {spare}, of {nodes} nodes"));
    }
    if let Some(twice) = (1..named.len()).find(|index| named[..*index].contains(&named[*index])) {
        return wrong(format!("two properties are named `{}`", named[twice]));
    }
    let own = [NEVER_PANICS, COMES_TO_ITS_END];
    let known = |property: &&&str| own.contains(*property) || named.contains(*property);
    match expected.iter().find(|property| !known(property)) {
        None => Ok(()),
        Some(property) => wrong(format!(
            "`expect` names the property `{property}`; there are: {}",
            named.join("; ")
        )),
    }
}

/// Who takes part, over which wire.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// How many nodes; at least one.
    pub nodes: usize,
    /// How many clients; at least one, or nobody asks and every run is vacuous.
    pub clients: usize,
    /// How every link behaves when nothing disturbs it.
    pub link: LinkModel,
    /// The clocks of the first nodes, set as the run begins; those of the others show virtual time.
    pub clocks: &'static [Clock],
    /// How many nodes the protocol can lose for good, or to a Byzantine fault, and still keep every
    /// property.
    pub spare: usize,
    /// With how few nodes the same parameters and properties make sense: a failing run is shrunk
    /// down to that many, if it still fails.
    pub fewest: usize,
}

impl Cluster {
    /// A local network: 1 to 10 ms a message, nothing lost or doubled unless the nemesis does it,
    /// order free.
    pub const fn lan(nodes: usize, clients: usize) -> Self {
        let delay = Delay::Uniform { min: Duration::millis(1), max: Duration::millis(10) };
        let link = LinkModel { delay, loss: 0, duplicate: 0, order: Order::Free };
        Self { nodes, clients, link, clocks: &[], spare: 0, fewest: nodes }
    }
}

/// How long a run takes, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// Faults happen until then; at that instant the last of them ends.
    pub faults: Duration,
    /// From then on, every `eventually` must hold within this long.
    pub settle: Duration,
    /// A run with more events than this is stuck in a busy loop.
    pub events: u64,
}

impl Horizon {
    /// A second of faults, and ten to recover.
    pub const SHORT: Self =
        Self { faults: Duration::secs(1), settle: Duration::secs(10), events: 100_000 };
}

/// The property that no handler of the protocol panics, which every scenario has.
pub const NEVER_PANICS: &str = "never panics";

/// The property that a run comes to its end, and not to a busy loop or to a stop, which every
/// scenario has.
pub const COMES_TO_ITS_END: &str = "the run comes to its end";

/// Which properties of a scenario are expected to hold. Whatever else breaks is a failure.
pub enum Expect<P> {
    /// All of them.
    Holds,
    /// All but these, which the protocol is known not to keep: a negative control, which shows that
    /// the simulator and the checker can see. The sweep is vacuous if it does not find the first of
    /// them broken, which is one of safety; the others may break with it.
    Violates {
        /// The properties, by the names that the scenario gives them; [`NEVER_PANICS`] and
        /// [`COMES_TO_ITS_END`] are two that every scenario has.
        properties: &'static [&'static str],
        /// Why the protocol cannot keep them here, in a sentence.
        because: &'static str,
    },
    /// All but one, of liveness: the protocol is known to wait for ever for a node that is gone.
    /// The sweep is vacuous if no run waits.
    Blocks {
        /// The property, by the name that the scenario gives it.
        property: &'static str,
        /// Why the protocol must wait, in a sentence.
        because: &'static str,
        /// Looks at the nodes (`None`: down) as the run ends: who waits for whom, and why nobody
        /// who is left could have helped; or, as an error, who could have gone on, so that the
        /// wait is a failure all the same.
        judge: JudgeWait<P>,
    },
}

/// Says of the nodes of a run that ends waiting who must wait for whom, or who need not.
pub type JudgeWait<P> = Arc<dyn Fn(&[Option<&P>]) -> Result<String, String> + Send + Sync>;

// By hand: a derive would ask for `P: Clone`, and only a pointer to a function is cloned.
impl<P> Clone for Expect<P> {
    fn clone(&self) -> Self {
        match self {
            Self::Holds => Self::Holds,
            Self::Violates { properties, because } => Self::Violates { properties, because },
            Self::Blocks { property, because, judge } => {
                Self::Blocks { property, because, judge: Arc::clone(judge) }
            }
        }
    }
}

impl<P> Expect<P> {
    /// All properties hold but these, by the names that the scenario gives them, which may be made
    /// up as the test runs; and why, in a sentence.
    pub fn violates<N: Into<Cow<'static, str>>>(
        properties: impl IntoIterator<Item = N>,
        because: impl Into<Cow<'static, str>>,
    ) -> Self {
        let properties: Vec<&'static str> = properties.into_iter().map(lasting).collect();
        Self::Violates { properties: properties.leak(), because: lasting(because) }
    }

    /// All properties hold but this one of liveness; why the protocol must wait; and who waits for
    /// whom, as [`Expect::Blocks`] says.
    pub fn blocks(
        property: impl Into<Cow<'static, str>>,
        because: impl Into<Cow<'static, str>>,
        judge: impl Fn(&[Option<&P>]) -> Result<String, String> + Send + Sync + 'static,
    ) -> Self {
        let (property, because) = (lasting(property), lasting(because));
        Self::Blocks { property, because, judge: Arc::new(judge) }
    }

    /// The properties that are expected to break.
    pub(crate) fn properties(&self) -> &[&'static str] {
        match self {
            Self::Holds => &[],
            Self::Violates { properties, .. } => properties,
            Self::Blocks { property, .. } => std::slice::from_ref(property),
        }
    }

    /// What is expected, without the means to judge it.
    pub fn expectation(&self) -> Expectation {
        match self {
            Self::Holds => Expectation::Holds,
            Self::Violates { properties, because } => Expectation::Violates { properties, because },
            Self::Blocks { property, because, .. } => Expectation::Blocks { property, because },
        }
    }
}

/// What a scenario expects, as commands and tables show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// Every property holds.
    Holds,
    /// Some properties of safety break.
    Violates {
        /// Which.
        properties: &'static [&'static str],
        /// Why.
        because: &'static str,
    },
    /// One property of liveness breaks, by a wait that nobody could have ended.
    Blocks {
        /// Which.
        property: &'static str,
        /// Why.
        because: &'static str,
    },
}
