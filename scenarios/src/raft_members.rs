//! Raft whose members change.
//!
//! Story: while clients use the store, they also ask for other voters, learners and leaders: a
//! server more or less in one step, any other set by joint consensus, leadership for this one or
//! that. Leaders are cut off in the middle of it, and others finish or undo what they began.
//! Guards: Figure 3 across configurations, the rule that the latest configuration in the log is
//! used, linearizability, recovery. Catches: configurations whose majorities need not meet.

use crate::raft_kv::{self, INDICES, Input as KvAsk, ONE_VOTE, Output as KvSaid, READS};
use seedfall::Scenario;
use seedfall::property::{every_operation_completes, invariants, linearizable, sometimes};
use seedfall::scenario::{Cluster, Horizon, Invocation, OperationId, Reply, Workload};
use seedfall::workload::forgetful;
use seedfall_checkers::models::{Abstraction, Kv, Model, Seen};
use seedfall_net::Delay;
use seedfall_protocols::raft::membership::Change;
use seedfall_protocols::raft::{self, Config, Raft, Request, Response};
use seedfall_sim::{Choices, Duration, NodeId};

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// Something of the store.
    Store(KvAsk),
    /// Another configuration.
    Change(Change),
    /// Another leader.
    Transfer(NodeId),
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// By the store.
    Store(KvSaid),
    /// It was done.
    Arranged,
}

/// Seven nodes, of which five begin: every kind of change, and short logs.
pub fn seven() -> Scenario<Raft, Input, Output> {
    let kv = raft_kv::three();
    Scenario {
        name: "raft-members",
        story: "Seven Raft nodes, five of them voters at first, that are exchanged all the time.",
        model: kv.model,
        cluster: Cluster::lan(7, 4),
        config: Config {
            max_entries_per_append: 2,
            max_in_flight: 8,
            snapshot_after: Some(12),
            snapshot_chunk: 4,
            initial_voters: Some(5),
            pre_vote: true,
            leader_stickiness: true,
            ..Config::PAPER
        },
        workload: Workload {
            operations: 14,
            final_operations: 2,
            think: Delay::Exponential { min: Duration::millis(5), mean: Duration::millis(50) },
            patience: Duration::millis(300),
            attempts: 3,
            ..Workload::short(any_change, request, reply)
        },
        faults: crate::MEASURED,
        horizon: Horizon { faults: Duration::secs(3), ..kv.horizon },
        properties: properties(&[
            "membership: a joint configuration was left by another leader",
            "membership: a change was completed",
            "membership: a change was refused while another was under way",
            "membership: a change was refused before the first commit of the term",
            "membership: a leader that was removed stepped down",
            "membership: a configuration was truncated",
            "snapshot: installed by a follower that lagged behind",
            "transfer: the chosen server leads",
            "transfer: a command was turned away",
            "transfer: abandoned",
        ]),
        expect: kv.expect,
    }
    .abstraction(raft_kv::told_apart)
}

/// Four nodes, one voter more or less at a time, without snapshots and joint configurations: the
/// bare rules of the single-server change.
pub fn four() -> Scenario<Raft, Input, Output> {
    let seven = seven();
    Scenario {
        name: "raft-members-4",
        story: "Four Raft nodes that leave and join one at a time, while leaders are cut off.",
        cluster: Cluster::lan(4, 4),
        config: Config {
            max_entries_per_append: 2,
            initial_voters: Some(4),
            // Section 6: or servers that were removed would disturb those that are left. And one
            // that was removed without being told, and is added again, would stand in every term
            // against the one that added it, which needs its vote.
            leader_stickiness: true,
            pre_vote: true,
            ..Config::PAPER
        },
        workload: Workload {
            operations: 20,
            think: Delay::Exponential { min: Duration::millis(2), mean: Duration::millis(30) },
            patience: Duration::millis(150),
            generate: forgetful(one_at_a_time),
            ..seven.workload
        },
        horizon: Horizon { faults: Duration::secs(2), ..seven.horizon },
        properties: properties(&[
            "membership: a change was completed",
            "membership: a change was refused before the first commit of the term",
            "membership: a configuration was truncated",
            "membership: a leader that was removed stepped down",
        ]),
        ..seven
    }
    .abstraction(raft_kv::told_apart)
}

pub(super) fn properties(rare: &[&'static str]) -> Vec<seedfall::Property<Raft, Input, Output>> {
    let mut properties = vec![
        invariants("the invariants of Raft", raft::invariants),
        invariants(ONE_VOTE, raft::promises),
        invariants(INDICES, raft::indices),
        invariants(READS, raft::reads),
        linearizable(Members(Kv::new())),
        every_operation_completes(),
    ];
    properties.extend(rare.iter().map(|mark| sometimes(*mark)));
    properties
}

/// Mostly the store; a third of all operations arrange the cluster.
fn any_change(operation: Invocation, draw: &mut Choices<'_>) -> Input {
    match draw.below(100) {
        0..10 => {
            // One to seven voters, mostly four or so.
            let mask = 1 + draw.below(127);
            let voters = NodeId::all(7).filter(|node| mask >> node.index() & 1 == 1).collect();
            Input::Change(Change::Replace(voters))
        }
        10..15 => Input::Change(Change::Add(any_node(7, draw))),
        15..20 => Input::Change(Change::Remove(any_node(7, draw))),
        20..25 => Input::Change(Change::AddLearner(any_node(7, draw))),
        25..35 => Input::Transfer(any_node(7, draw)),
        _ => Input::Store(raft_kv::generate(operation, draw)),
    }
}

/// As many changes as commands.
fn one_at_a_time(operation: Invocation, draw: &mut Choices<'_>) -> Input {
    match draw.below(100) {
        0..30 => Input::Change(Change::Remove(any_node(4, draw))),
        30..60 => Input::Change(Change::Add(any_node(4, draw))),
        _ => Input::Store(raft_kv::generate(operation, draw)),
    }
}

pub(super) fn any_node(nodes: u32, draw: &mut Choices<'_>) -> NodeId {
    NodeId::new(draw.below(nodes) as u16)
}

fn request(operation: OperationId, input: &Input) -> Request {
    match input {
        Input::Store(input) => raft_kv::request(operation, input),
        Input::Change(change) => Request::Reconfigure(*change),
        Input::Transfer(to) => Request::Transfer { to: *to },
    }
}

fn reply(response: Response) -> Reply<Output> {
    match response {
        Response::Reconfigured | Response::Leads => Reply::Done(Output::Arranged),
        Response::Refused => Reply::Failed,
        other => match raft_kv::reply(other) {
            Reply::Done(output) => Reply::Done(Output::Store(output)),
            Reply::Failed => Reply::Failed,
            Reply::Elsewhere(hint) => Reply::Elsewhere(hint),
        },
    }
}

/// The store; what arranges the cluster has no effect on it.
struct Members(Kv<&'static str, String>);

impl Model for Members {
    type Input = Input;
    type Output = Output;
    type State = <Kv<&'static str, String> as Model>::State;
    type Key = <Kv<&'static str, String> as Model>::Key;

    fn initial(&self) -> Self::State {
        self.0.initial()
    }

    fn step(
        &self,
        state: &Self::State,
        input: &Input,
        output: Option<&Output>,
    ) -> Option<Self::State> {
        match (input, output) {
            (Input::Store(input), None) => self.0.step(state, input, None),
            (Input::Store(input), Some(Output::Store(output))) => {
                self.0.step(state, input, Some(output))
            }
            (Input::Change(_) | Input::Transfer(_), None | Some(Output::Arranged)) => {
                Some(state.clone())
            }
            (Input::Store(_), Some(Output::Arranged)) | (_, Some(Output::Store(_))) => None,
        }
    }

    fn partition<'a>(&self, input: &'a Input) -> Option<&'a Self::Key> {
        match input {
            Input::Store(input) => self.0.partition(input),
            // A part of its own, of which nothing is asked.
            Input::Change(_) | Input::Transfer(_) => Some(&"the cluster"),
        }
    }

    fn is_pure(&self, input: &Input, output: Option<&Output>) -> bool {
        match (input, output) {
            (Input::Store(input), Some(Output::Store(output))) => {
                self.0.is_pure(input, Some(output))
            }
            (Input::Store(input), None) => self.0.is_pure(input, None),
            _ => true,
        }
    }

    fn abstraction<'a>(
        &'a self,
        operations: &mut dyn Iterator<Item = Seen<'a, Input, Output>>,
    ) -> Option<Abstraction<'a>> {
        let mut of_the_store = Vec::new();
        for (input, output) in operations {
            let Input::Store(input) = input else { return None };
            let output = match output {
                Some(Output::Store(output)) => Some(output),
                Some(Output::Arranged) => return None,
                None => None,
            };
            of_the_store.push((input, output));
        }
        self.0.abstraction(&mut of_the_store.into_iter())
    }
}
