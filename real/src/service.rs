//! A protocol as a service: what `serve`, `client`, `chaos` and `rerun` need to know of it.
//!
//! ```
//! use seedfall_protocols::kv::Command;
//! use seedfall_protocols::raft::{Config, Raft, Request, Response};
//! use seedfall_real::service::{Service, Told};
//! use seedfall_scenarios::raft_kv;
//!
//! let service = Service::<Raft, _, _> {
//!     name: "raft",
//!     about: "a key-value store",
//!     usage: "get KEY",
//!     config: Config::PAPER,
//!     parse: |words, number| match words {
//!         ["get", key] => {
//!             let command = Command::Get { key: (*key).into() };
//!             Ok(Request::Command { sequence: number, command })
//!         }
//!         _ => Err("expected `get KEY`".to_owned()),
//!     },
//!     tell: |response| match response {
//!         Response::Done(answer) => Told::Done(format!("{answer:?}")),
//!         Response::NotLeader { leader } => Told::Elsewhere(leader),
//!         other => Told::Refused(format!("{other:?}")),
//!     },
//!     scenario: raft_kv::five,
//! };
//! assert_eq!(service.name, "raft");
//! ```

mod run;

#[cfg(unix)]
use crate::chaos::{ChaosError, ChaosOptions, ChaosReport, Progress};
use crate::driver::{Deployable, RecordingError, Rerun, Writes, rerun};
use seedfall::Scenario;
#[cfg(unix)]
use seedfall::plan::FaultPlan;
use seedfall_sim::{ClientId, NodeId};
use std::fmt::Debug;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use run::{AskFailed, ServeError, entropy};

/// One protocol, as a service.
pub struct Service<P: Deployable, I, O> {
    /// Its name on the command line, in folders and on the wire.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// What clients may ask, as `client --help` shows it: one form a line.
    pub usage: &'static str,
    /// The protocol's parameters.
    pub config: P::Config,
    /// Reads a request from the command line. The number is higher than that of every earlier
    /// request, whoever made it.
    pub parse: fn(&[&str], u64) -> Result<P::Request, String>,
    /// Puts an answer in words.
    pub tell: fn(P::Response) -> Told,
    /// The workload and the properties by which chaos judges it.
    pub scenario: fn() -> Scenario<P, I, O>,
}

/// An answer in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is done, and this came of it.
    Done(String),
    /// It certainly did not happen.
    Refused(String),
    /// This node cannot help; perhaps that one can.
    Elsewhere(Option<NodeId>),
}

/// Everything that decides how a node is served.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Which node.
    pub id: NodeId,
    /// Where the nodes are, n1 first.
    pub peers: Vec<SocketAddr>,
    /// Where it listens; `None`: at its own place among the peers.
    pub listen: Option<SocketAddr>,
    /// Its folder.
    pub data: PathBuf,
    /// When writes reach the machine.
    pub writes: Writes,
    /// Where its inputs are recorded.
    pub record: Option<PathBuf>,
}

/// A service of any protocol, as the commands see it.
pub trait Served: Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// What it is, in a few words.
    fn about(&self) -> &'static str;
    /// What clients may ask.
    fn usage(&self) -> &'static str;
    /// Runs a node until it is told to stop, by Ctrl-C or a polite kill; `ready` is told, once,
    /// what came up.
    ///
    /// # Errors
    /// It cannot start, or had to stop.
    fn serve(&self, options: ServeOptions, ready: &dyn Fn(&str)) -> Result<(), ServeError>;
    /// Asks one thing, again and again, until it is answered or the time is up.
    ///
    /// # Errors
    /// There was no answer, or a refusal, or the words make no request.
    fn ask(
        &self,
        peers: &[SocketAddr],
        words: &[&str],
        client: ClientId,
        within: Duration,
    ) -> Result<String, AskFailed>;
    /// Replays a recording.
    ///
    /// # Errors
    /// It cannot be read.
    fn rerun(&self, text: &str) -> Result<Rerun, RecordingError>;
    /// The faults that chaos draws.
    ///
    /// # Errors
    /// The plan of the options does not fit.
    #[cfg(unix)]
    fn chaos_plan(&self, options: &ChaosOptions) -> Result<FaultPlan, ChaosError>;
    /// Runs real processes under a fault plan, and judges what their clients saw; `tick` is told
    /// now and then how far it has come.
    ///
    /// # Errors
    /// The plan does not fit, or the machine says no.
    #[cfg(unix)]
    fn chaos(
        &self,
        options: &ChaosOptions,
        tick: &dyn Fn(&Progress),
    ) -> Result<ChaosReport, ChaosError>;
}

impl<P, I, O> Served for Service<P, I, O>
where
    P: Deployable,
    P::Config: Sync,
    P::Request: Sync,
    I: Debug + Send + Sync + 'static,
    O: Debug + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn usage(&self) -> &'static str {
        self.usage
    }

    fn serve(&self, options: ServeOptions, ready: &dyn Fn(&str)) -> Result<(), ServeError> {
        run::serve(self, options, ready)
    }

    fn ask(
        &self,
        peers: &[SocketAddr],
        words: &[&str],
        client: ClientId,
        within: Duration,
    ) -> Result<String, AskFailed> {
        run::ask(self, peers, words, client, within)
    }

    fn rerun(&self, text: &str) -> Result<Rerun, RecordingError> {
        rerun::<P>(text)
    }

    #[cfg(unix)]
    fn chaos_plan(&self, options: &ChaosOptions) -> Result<FaultPlan, ChaosError> {
        crate::chaos::plan_of(&(self.scenario)(), options)
    }

    #[cfg(unix)]
    fn chaos(
        &self,
        options: &ChaosOptions,
        tick: &dyn Fn(&Progress),
    ) -> Result<ChaosReport, ChaosError> {
        crate::chaos::run(self, options, tick)
    }
}
