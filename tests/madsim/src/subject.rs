//! What has to be said of a service to run it here, and what the two processes tell each other.

use seedfall::clients::{ClientPolicy, Lost};
use seedfall::sim::{ClientId, Duration, NodeId, Seed};
use seedfall::{Expectation, FaultBudget, FaultPlan, OperationId, Reply, Swarm};
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

/// The argument that makes a process run one job, from its standard input.
pub const INSIDE: &str = "inside";

/// A service, and the situation in which it is tested.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// The name by which it is run.
    pub name: &'static str,
    /// What happens, in a sentence or two.
    pub story: &'static str,
    /// Who takes part, what may go wrong, and until when.
    pub budget: FaultBudget,
    /// What the nemesis may draw. What madsim cannot do is left out: see [`crate::nemesis`].
    pub faults: Swarm,
    /// How its clients behave; when their final operations may begin, the run says.
    pub clients: ClientPolicy,
    /// How long the service has to recover before these, and how long they may take.
    pub settle: Duration,
    /// Whether the properties are expected to hold.
    pub expect: Expectation,
    /// The service of one run.
    pub make: fn(&[SocketAddr], Seed) -> Arc<dyn Service>,
}

/// Something to be done, as tokio takes it.
pub type Task<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The service of one run. Whatever it owns outlives its nodes: that is where disks are.
pub trait Service: Send + Sync {
    /// A node, from its start to its end. Called on the node, at the start of the run and after
    /// each crash.
    fn node(&self, node: usize) -> Task<'static, ()>;

    /// The way from a client to the nodes. Called on the client.
    fn client(&self, client: ClientId) -> Box<dyn Asks>;
}

/// The way from a client to the nodes: whatever connections it keeps.
pub trait Asks: Send {
    /// Asks a node, once. Whom to ask next, and when to stop waiting, its caller decides.
    fn ask(
        &mut self,
        node: NodeId,
        id: OperationId,
        question: Question,
    ) -> Task<'_, Result<Reply<Answer>, Lost>>;
}

/// What is asked of a key-value store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Question {
    /// The value of a key.
    Get {
        /// Which.
        key: String,
    },
    /// Another value for a key.
    Put {
        /// Which.
        key: String,
        /// The value.
        value: String,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// To a get.
    Value(Option<String>),
    /// To a put.
    Done,
}

/// What a run is told: everything that decides it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Which subject.
    pub subject: String,
    /// The seed.
    pub seed: u64,
    /// What goes wrong.
    pub plan: FaultPlan,
    /// When faults have stopped: final operations come later.
    pub faults: Duration,
    /// Operations that are left out.
    pub skip: Vec<OperationId>,
}

/// What it tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Life {
    /// A hash over the plan, the history, the virtual time and the number of messages.
    pub hash: u64,
    /// How long it took, in virtual nanoseconds.
    pub ended: u64,
    /// Messages that madsim carried.
    pub messages: u64,
    /// The history, in the order of the calls.
    pub operations: Vec<Told>,
    /// For each entry of the plan, whether it was in force while a client waited.
    pub fired: Vec<bool>,
    /// Crashes of a node that was up.
    pub crashes: u64,
}

/// One operation of the history.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// Which.
    pub id: OperationId,
    /// What was asked.
    pub question: Question,
    /// When, in virtual nanoseconds.
    pub call: u64,
    /// When it ended; `None`: it had no answer, and whether it happened nobody knows.
    pub returned: Option<u64>,
    /// The answer; `None`, if it ended: it certainly did not happen.
    pub answer: Option<Answer>,
}
