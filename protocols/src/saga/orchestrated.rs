//! Orchestration: one node, the *orchestrator*, keeps the plans and says what is to be done; the
//! others are *services*, which do it. (Garcia-Molina and Salem, section 4: the saga execution
//! component and its log; Richardson 4.2.2.) The header of [`saga`](super) is the spec.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Do`](Message::Do) | orchestrator | service | take this step |
//! | [`Done`](Message::Done) | service | orchestrator | it took place |
//! | [`Refused`](Message::Refused) | service | orchestrator | it did not, and never will |
//! | [`Undo`](Message::Undo) | orchestrator | service | compensate it, or prevent it |
//! | [`Undone`](Message::Undone) | service | orchestrator | nothing of it stands |
//! | [`Settle`](Message::Settle) | orchestrator | service | the saga is completed: let others see |
//! | [`Settled`](Message::Settled) | service | orchestrator | done |
//!
//! *What is forced before what.* The plan before the first step; that a stage is done before the
//! next is asked for; that the saga turns back before the first compensation; the outcome before
//! the client is told; on a service, an entry of the book before it is acknowledged. A restart is
//! then in the stage in which the crash was, and asks again for what it does not know.
//!
//! *Timeouts.* A step that may be compensated is given up after [`attempts`](super::Config):
//! whether it took place is not known, so it is compensated like the others, and a tombstone covers
//! the case that it is still on its way. A pivot is asked for until it is known whether it took
//! place, for that decides. Retriable steps and compensations are asked for until they have.

mod orchestrator;
mod service;

use super::ledger::{Entry, Ledger};
use super::{Books, Config, Outcome, Plan, SagaId, Step, StepIndex};
use crate::kv::Text;
use seedfall_sim::{Context, NodeId, Protocol, RequestId};

pub use orchestrator::Orchestrator;
pub use service::Service;

/// The node that orchestrates; all others are services.
pub const ORCHESTRATOR: NodeId = NodeId::new(0);

/// What nodes tell each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// Take a step.
    Do {
        /// Of which saga.
        saga: SagaId,
        /// Which.
        index: StepIndex,
        /// What it is.
        step: Step,
    },
    /// The step took place.
    Done {
        /// Of which saga.
        saga: SagaId,
        /// Which.
        index: StepIndex,
    },
    /// The step did not take place and never will.
    Refused {
        /// Of which saga.
        saga: SagaId,
        /// Which.
        index: StepIndex,
    },
    /// Compensate a step, if it took place; if not, it never may.
    Undo {
        /// Of which saga.
        saga: SagaId,
        /// Which.
        index: StepIndex,
        /// What it is.
        step: Step,
    },
    /// Nothing of the step stands, nor ever will.
    Undone {
        /// Of which saga.
        saga: SagaId,
        /// Which.
        index: StepIndex,
    },
    /// The effects of the saga are there to stay.
    Settle {
        /// Which.
        saga: SagaId,
    },
    /// The service knows.
    Settled {
        /// Of which saga.
        saga: SagaId,
    },
}

/// The orchestrator's timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// It waits for answers about this saga.
    Retry(SagaId),
    /// Time to make durable what was not forced.
    Flush,
}

/// What a node writes to its journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Record {
    /// Orchestrator: a saga begins. Forced before its first step.
    Began {
        /// Which.
        saga: SagaId,
        /// What it is to do.
        plan: Plan,
    },
    /// Orchestrator: a step took place. Forced with the last of its stage.
    Done {
        /// Of which saga.
        saga: SagaId,
        /// Which.
        index: StepIndex,
    },
    /// Orchestrator: the saga turns back. Forced before the first compensation.
    TurnedBack {
        /// Which.
        saga: SagaId,
    },
    /// Orchestrator: the saga has ended. Forced before the client is told.
    Ended {
        /// Which.
        saga: SagaId,
        /// How.
        outcome: Outcome,
    },
    /// Orchestrator: all services know that the saga has ended. Not forced.
    Forgotten {
        /// Which.
        saga: SagaId,
    },
    /// Service: a line of the book. Forced before it is acknowledged.
    Entered(Entry),
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Request {
    /// Carry out a saga.
    Run {
        /// The number in the client's session: equal in a retry, higher in the next saga.
        sequence: u64,
        /// What to do.
        plan: Plan,
    },
    /// Read an account.
    Read(Text),
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Response {
    /// The saga has ended.
    Ended(Outcome),
    /// The effects that stand on the account, in the order in which they landed.
    Standing(Vec<(SagaId, i64)>),
    /// This node did nothing: ask that one.
    Elsewhere(NodeId),
}

/// A node: one orchestrates, the others serve.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// The first node.
    Orchestrator(Orchestrator),
    /// Any other.
    Service(Service),
}

impl Protocol for Node {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        if let Err(error) = config.check() {
            panic!("sagas cannot start: {error}");
        }
        if id == ORCHESTRATOR {
            let mut orchestrator = Orchestrator::recover(journal, ctx.nodes(), config);
            orchestrator.resume(ctx);
            Self::Orchestrator(orchestrator)
        } else {
            Self::Service(Service::recover(journal, ctx.nodes(), config))
        }
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match (self, message) {
            (Self::Service(service), Message::Do { saga, index, step }) => {
                service.on_do(from, saga, index, &step, ctx);
            }
            (Self::Orchestrator(orchestrator), Message::Done { saga, index }) => {
                orchestrator.on_done(saga, index, ctx);
            }
            (Self::Orchestrator(orchestrator), Message::Refused { saga, index }) => {
                orchestrator.on_refused(saga, index, ctx);
            }
            (Self::Service(service), Message::Undo { saga, index, step }) => {
                service.on_undo(from, saga, index, &step, ctx);
            }
            (Self::Orchestrator(orchestrator), Message::Undone { saga, index }) => {
                orchestrator.on_undone(saga, index, ctx);
            }
            (Self::Service(service), Message::Settle { saga }) => {
                service.on_settle(from, saga, ctx);
            }
            (Self::Orchestrator(orchestrator), Message::Settled { saga }) => {
                orchestrator.on_settled(from, saga, ctx);
            }
            (_, message) => unreachable!("{message:?} is for another role"),
        }
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) {
        match (self, timer) {
            (Self::Orchestrator(orchestrator), Timer::Retry(saga)) => {
                orchestrator.on_retry(saga, ctx);
            }
            (Self::Orchestrator(orchestrator), Timer::Flush) => {
                orchestrator.on_flush(ctx);
            }
            (Self::Service(_), timer) => unreachable!("{timer:?} is not a service's"),
        }
    }

    fn waits(&self) -> String {
        match self {
            Self::Orchestrator(orchestrator) => orchestrator.waits(),
            Self::Service(service) => service.unfinished().unwrap_or_default(),
        }
    }

    /// The orchestrator, while a saga is under way: its crash leaves services without a word.
    fn is_leader(&self) -> bool {
        matches!(self, Self::Orchestrator(orchestrator) if orchestrator.unfinished().is_some())
    }

    fn on_request(&mut self, request: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        match (self, body) {
            (Self::Orchestrator(orchestrator), Request::Run { sequence, plan }) => {
                let saga = SagaId { client: request.client, sequence };
                orchestrator.on_run(request, saga, plan, ctx);
            }
            (Self::Service(_), Request::Run { .. }) => {
                ctx.respond(request, Response::Elsewhere(ORCHESTRATOR));
            }
            (Self::Service(service), Request::Read(account)) => {
                service.on_read(request, account, ctx);
            }
            (Self::Orchestrator(orchestrator), Request::Read(account)) => {
                let service = service_of(&account, orchestrator.nodes());
                ctx.respond(request, Response::Elsewhere(service));
            }
        }
    }
}

/// The service that keeps an account.
pub fn service_of(account: &str, nodes: usize) -> NodeId {
    let sum = account.bytes().fold(0_usize, |sum, byte| sum + usize::from(byte));
    NodeId::new((1 + sum % (nodes - 1)) as u16)
}

impl Books for Node {
    fn ledger(&self) -> Option<&Ledger> {
        match self {
            Self::Orchestrator(_) => None,
            Self::Service(service) => Some(service.ledger()),
        }
    }

    fn outcomes(&self) -> impl Iterator<Item = (SagaId, &Plan, Outcome)> {
        let orchestrator = match self {
            Self::Orchestrator(orchestrator) => Some(orchestrator),
            Self::Service(_) => None,
        };
        orchestrator.into_iter().flat_map(Orchestrator::outcomes)
    }

    fn keeper_of(&self, account: &str) -> NodeId {
        match self {
            Self::Orchestrator(orchestrator) => service_of(account, orchestrator.nodes()),
            Self::Service(service) => service_of(account, service.nodes()),
        }
    }

    fn unfinished(&self) -> Option<String> {
        match self {
            Self::Orchestrator(orchestrator) => orchestrator.unfinished(),
            Self::Service(service) => service.unfinished(),
        }
    }

    fn config(&self) -> &Config {
        match self {
            Self::Orchestrator(orchestrator) => orchestrator.config(),
            Self::Service(service) => service.config(),
        }
    }

    fn directions(&self) -> impl Iterator<Item = (SagaId, bool)> {
        let orchestrator = match self {
            Self::Orchestrator(orchestrator) => Some(orchestrator),
            Self::Service(_) => None,
        };
        orchestrator.into_iter().flat_map(Orchestrator::directions)
    }
}
