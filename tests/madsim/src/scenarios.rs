//! The situations in which services are tested.

use crate::chain;
use crate::nemesis::FAULTS;
use crate::raft::Cluster;
use crate::subject::{Answer, Asks, Question, Service, Subject, Task};
use seedfall::clients::{ClientPolicy, Lost};
use seedfall::net::Delay;
use seedfall::sim::{ClientId, Duration, NodeId, SystemModel, Time};
use seedfall::{Expectation, FaultBudget, OperationId, Reply};
use std::net::SocketAddr;
use std::sync::Arc;

/// All of them.
pub fn all() -> Vec<Subject> {
    vec![chain(), early_answer(), raft()]
}

/// The chain as it should be.
fn chain() -> Subject {
    Subject {
        name: "madsim-chain",
        story: "Three tokio servers replicate two keys along a chain; reads are the tail's.",
        budget: FaultBudget {
            model: SystemModel::USUAL,
            nodes: 3,
            clients: 3,
            spare: 0,
            faults: Duration::secs(2),
        },
        faults: FAULTS,
        clients: ClientPolicy {
            operations: Some(12),
            final_operations: 2,
            final_at: Time::ZERO,
            think: Delay::Uniform { min: Duration::millis(5), max: Duration::millis(100) },
            patience: Duration::millis(400),
            retry_after: Duration::millis(100),
            attempts: 4,
            // The chain does not recognise a retry.
            at_most_once: true,
            must_complete: true,
        },
        settle: Duration::secs(3),
        expect: Expectation::Holds,
        make: |chain, _| Arc::new(Chain::new(chain, false)),
    }
}

/// The chain with a bug: the head answers before the tail has the write. A negative control.
fn early_answer() -> Subject {
    Subject {
        name: "madsim-chain-early-answer",
        story: "The same, but the head answers a write before the tail has it.",
        expect: Expectation::Violates {
            properties: &["linearizable"],
            because: "a read of the tail does not see what the head has answered",
        },
        make: |chain, _| Arc::new(Chain::new(chain, true)),
        ..chain()
    }
}

/// Raft over the driver that runs it for real.
fn raft() -> Subject {
    let chain = chain();
    Subject {
        name: "madsim-raft",
        story: "Three Raft nodes over the real driver, its TCP and its journal, keep two keys.",
        clients: ClientPolicy {
            patience: Duration::millis(300),
            retry_after: Duration::millis(50),
            attempts: 12,
            at_most_once: false,
            ..chain.clients
        },
        settle: Duration::secs(10),
        make: |peers, seed| Arc::new(Cluster::new(peers, seed)),
        ..chain
    }
}

/// The chain and its disks: what nodes stored outlives them.
struct Chain {
    nodes: Vec<(chain::Config, chain::Log)>,
}

impl Chain {
    fn new(chain: &[SocketAddr], early_answer: bool) -> Self {
        let node = |me| {
            let config = chain::Config { chain: chain.to_vec(), me, early_answer };
            (config, chain::Log::default())
        };
        Self { nodes: (0..chain.len()).map(node).collect() }
    }
}

impl Service for Chain {
    fn node(&self, node: usize) -> Task<'static, ()> {
        let (config, log) = self.nodes[node].clone();
        Box::pin(async move { chain::serve(config, log).await.expect("the address is free") })
    }

    fn client(&self, _: ClientId) -> Box<dyn Asks> {
        Box::new(Addresses(self.nodes[0].0.chain.clone()))
    }
}

/// Where the nodes are; each request has a connection of its own.
struct Addresses(Vec<SocketAddr>);

impl Asks for Addresses {
    fn ask(
        &mut self,
        node: NodeId,
        _: OperationId,
        question: Question,
    ) -> Task<'_, Result<Reply<Answer>, Lost>> {
        let line = match &question {
            Question::Get { key } => format!("GET {key}"),
            Question::Put { key, value } => format!("PUT {key} {value}"),
        };
        let address = self.0[node.index()];
        Box::pin(async move {
            let answer = chain::request(address, &line).await;
            match answer {
                Ok(answer) => reading(&answer).ok_or(Lost { may_have_arrived: true }),
                Err((may_have_arrived, _)) => Err(Lost { may_have_arrived }),
            }
        })
    }
}

/// What an answer of the chain means, if anything.
fn reading(line: &str) -> Option<Reply<Answer>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Some(match words.as_slice() {
        ["OK"] => Reply::Done(Answer::Done),
        ["NONE"] => Reply::Done(Answer::Value(None)),
        ["VALUE", value] => Reply::Done(Answer::Value(Some((*value).to_owned()))),
        ["ASK", node] => Reply::Elsewhere(Some(NodeId::new(node.parse().ok()?))),
        _ => return None,
    })
}
