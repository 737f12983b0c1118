//! The situations in which services are tested.

use crate::chain;
use crate::raft::Cluster;
use crate::subject::{Answer, Question, Service, Subject, Task};
use seedfall::sim::{Duration, SystemModel};
use seedfall::{Expect, Frame, OperationId, Swarm};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration as StdDuration;

/// What madsim can do to a network and its machines.
const FAULTS: Swarm = Swarm {
    loss: Swarm::ALL.loss,
    latency: Swarm::ALL.latency,
    clogs: Swarm::ALL.clogs,
    partitions: Swarm::ALL.partitions,
    flaps: Swarm::ALL.flaps,
    crashes: Swarm::ALL.crashes,
    power_losses: Swarm::ALL.power_losses,
    storms: Swarm::ALL.storms,
    pauses: Swarm::ALL.pauses,
    ..Swarm::NONE
};

/// All of them.
pub fn all() -> Vec<Subject> {
    vec![chain(), early_answer(), raft()]
}

/// The chain as it should be.
fn chain() -> Subject {
    Subject {
        name: "madsim-chain",
        story: "Three tokio servers replicate two keys along a chain; reads are the tail's.",
        frame: Frame {
            model: SystemModel::USUAL,
            nodes: 3,
            clients: 3,
            spare: 0,
            faults: Duration::secs(2),
        },
        faults: FAULTS,
        operations: 12,
        closing: 2,
        settle: Duration::secs(3),
        expect: Expect::Holds,
        make: |chain, _| Arc::new(Chain::new(chain, false)),
    }
}

/// The chain with a bug: the head answers before the tail has the write. A negative control.
fn early_answer() -> Subject {
    Subject {
        name: "madsim-chain-early-answer",
        story: "The same, but the head answers a write before the tail has it.",
        expect: Expect::Violation,
        make: |chain, _| Arc::new(Chain::new(chain, true)),
        ..chain()
    }
}

/// Raft over the driver that runs it for real.
fn raft() -> Subject {
    Subject {
        name: "madsim-raft",
        story: "Three Raft nodes over the real driver, its TCP and its journal, keep two keys.",
        settle: Duration::secs(10),
        make: |peers, seed| Arc::new(Cluster::new(peers, seed)),
        ..chain()
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

/// How long a client waits for one node.
const PATIENCE: StdDuration = StdDuration::from_millis(400);

impl Service for Chain {
    fn node(&self, node: usize) -> Task<()> {
        let (config, log) = self.nodes[node].clone();
        Box::pin(async move { chain::serve(config, log).await.expect("the address is free") })
    }

    fn client(&self, _: OperationId, first: usize, question: Question) -> Task<Answer> {
        let addresses = self.nodes[0].0.chain.clone();
        Box::pin(async move {
            let line = match &question {
                Question::Get { key } => format!("GET {key}"),
                Question::Put { key, value } => format!("PUT {key} {value}"),
            };
            let mut asks = first;
            // The chain does not recognise a retry: what may have been heard is not said again.
            for _ in 0..4 {
                let answer = chain::request(addresses[asks], &line);
                match tokio::time::timeout(PATIENCE, answer).await {
                    Ok(Ok(answer)) => match reading(&answer) {
                        Reading::Answer(answer) => return answer,
                        Reading::Ask(node) => asks = node,
                    },
                    Ok(Err((false, _))) => tokio::time::sleep(PATIENCE / 4).await,
                    Ok(Err((true, _))) | Err(_) => return Answer::Unknown,
                }
            }
            Answer::Failed
        })
    }
}

enum Reading {
    Answer(Answer),
    Ask(usize),
}

fn reading(line: &str) -> Reading {
    let words: Vec<&str> = line.split_whitespace().collect();
    Reading::Answer(match words.as_slice() {
        ["OK"] => Answer::Done,
        ["NONE"] => Answer::Value(None),
        ["VALUE", value] => Answer::Value(Some((*value).to_owned())),
        ["ASK", node] => match node.parse() {
            Ok(node) => return Reading::Ask(node),
            Err(_) => Answer::Unknown,
        },
        _ => Answer::Unknown,
    })
}
