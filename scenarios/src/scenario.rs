//! The scenario: every assumption of a test, written out.

use crate::promise::{Kind, Promise};
use crate::swarm::Swarm;
use seedfall_net::{Delay, LinkModel, Order};
use seedfall_sim::{Clock, Duration, Protocol, SystemModel};

pub use crate::workload::{Invocation, OperationId, Phase, Reply, Workload};

/// One situation to be tested: a model, a cluster, a workload, faults and promises.
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
    pub promises: Vec<Promise<P, I, O>>,
    /// Whether the promises are expected to hold.
    pub expect: Expect,
}

impl<P: Protocol, I, O> Scenario<P, I, O> {
    /// Whether it promises that operations complete: then nobody gives up a final one.
    pub(crate) fn must_complete(&self) -> bool {
        self.promises.iter().any(|promise| matches!(promise.kind, Kind::Complete))
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
    /// promise.
    pub spare: usize,
    /// With how few nodes the same parameters and promises make sense: a failing run is shrunk
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

/// Whether the promises of a scenario are expected to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// They hold: a broken one is a bug.
    Holds,
    /// Safety holds, and the protocol is known to wait for ever for a node that is gone: the sweep
    /// fails if no run is stuck, or if one is that no fault excuses.
    Blocks,
    /// The protocol is known not to keep a promise, and the sweep fails if it does not find that
    /// out: a negative control, which shows that the simulator and the checker can see.
    Violation,
}
