//! Total-order broadcast as a log that every node keeps.
//!
//! Story: clients append at their home, and are told the place; messages cross, are lost and
//! doubled, and nodes crash between what they write and what they say. Guards: TO1 to TO4 of the
//! header, that the places are those of one log, and that every append ends. Catches:
//! `tests/planted/tob-*`.

use seedfall::property::{
    Judgement, always, eventually, every_operation_completes, invariants, sometimes,
};
use seedfall::scenario::{
    Cluster, Expect, Horizon, Invocation, OperationId, Reply, Scenario, Workload,
};
use seedfall_checkers::models::{LogInput, LogOutput};
use seedfall_checkers::{History, Outcome};
use seedfall_net::Delay;
use seedfall_protocols::total_order::{self, Broadcast, Config, Request, Response};
use seedfall_sim::{Choices, Duration, NodeId, SystemModel};

/// What a client asks: an append.
pub type Input = LogInput<String>;
/// What it is told: the offset.
pub type Output = LogOutput<String>;

/// Three nodes and six clients.
pub fn scenario() -> Scenario<Broadcast, Input, Output> {
    Scenario {
        name: "total-order",
        story: "Three nodes deliver the messages of six clients, all in one order.",
        model: SystemModel::USUAL,
        cluster: Cluster { fewest: 2, ..Cluster::lan(3, 6) },
        config: Config { retransmit_after: Duration::millis(40) },
        workload: Workload {
            operations: 8,
            final_operations: 1,
            think: Delay::Exponential { min: Duration::millis(1), mean: Duration::millis(40) },
            patience: Duration::millis(200),
            attempts: 3,
            ..Workload::short(generate, request, reply)
        },
        faults: crate::MEASURED,
        horizon: Horizon::SHORT,
        properties: vec![
            invariants("TO1, TO2 and TO3", total_order::invariants),
            always("S1: the places are those of one log", is_one_log),
            eventually("TO4: all deliver the same", all_agree),
            every_operation_completes(),
            sometimes("final: higher than here"),
            sometimes("deliver: one with a lower timestamp is not final"),
            sometimes("request: a retry is not broadcast twice"),
            sometimes("recovery: a message of its own is told again"),
        ],
        expect: Expect::Holds,
    }
}

/// What linearizability asks of appends, which are told their places: each place is one append's,
/// one that ends before another begins comes first, and whose place nobody was told is one that
/// may have taken effect. (A search would try all orders of those.)
pub(super) fn is_one_log(history: &History<Input, Output>) -> Judgement {
    let (mut told, mut unknown) = (Vec::new(), 0);
    for (index, operation) in history.operations.iter().enumerate() {
        match &operation.outcome {
            Outcome::Ok { returned, output: LogOutput::Offset(place) } => {
                told.push((*place, operation.call, *returned, index));
            }
            Outcome::Indeterminate => unknown += 1,
            _ => {}
        }
    }
    told.sort_unstable();
    if let Some(two) = told.windows(2).find(|two| two[0].0 == two[1].0) {
        return Judgement::violated("two appends have one place").at(two[1].3).with(&[two[0].3]);
    }
    let mut earliest = None; // Of those behind: which returned first.
    for (_, call, returned, index) in told.iter().rev() {
        if let Some((before, other)) = earliest.filter(|(before, _)| before < call) {
            let why = format!("an append that began after {before} has a place before it");
            return Judgement::violated(why).at(*index).with(&[other]);
        }
        if earliest.is_none_or(|(before, _)| *returned < before) {
            earliest = Some((*returned, *index));
        }
    }
    match told.last() {
        Some((place, .., index)) if told.len() as u64 + unknown <= *place => {
            Judgement::violated("more places were taken than appends were made").at(*index)
        }
        _ => Judgement::Holds,
    }
}

fn all_agree(nodes: &[Option<&Broadcast>]) -> Result<(), String> {
    let up = NodeId::all(nodes.len()).zip(nodes).filter_map(|(id, node)| Some((id, (*node)?)));
    let counts: Vec<_> = up.map(|(id, node)| (id, node.delivered().len())).collect();
    match counts.windows(2).find(|pair| pair[0].1 != pair[1].1) {
        None => Ok(()),
        Some(pair) => Err(format!(
            "{} has delivered {} messages, {} {}",
            pair[0].0, pair[0].1, pair[1].0, pair[1].1
        )),
    }
}

pub(super) fn generate(operation: Invocation, _: &mut Choices<'_>) -> Input {
    LogInput::Append(operation.to_string())
}

fn request(_: OperationId, input: &Input) -> Request {
    match input {
        LogInput::Append(text) => Request(text.into()),
        other => unreachable!("nobody asks for {other:?} here"),
    }
}

fn reply(response: Response) -> Reply<Output> {
    match response {
        Response::Elsewhere { home } => Reply::Elsewhere(Some(home)),
        Response::Delivered { place } => Reply::Done(LogOutput::Offset(place)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedfall_checkers::Operation;

    /// Appends, each from a time to a time, and the place that was told.
    fn judged(appends: &[(u64, u64, Option<u64>)]) -> Judgement {
        let mut history = History::new();
        for (client, (call, returned, place)) in (0..).zip(appends) {
            let (call, returned) = (*call, *returned);
            let outcome = match place {
                Some(place) => Outcome::Ok { returned, output: LogOutput::Offset(*place) },
                None => Outcome::Indeterminate,
            };
            let input = LogInput::Append(client.to_string());
            history.operations.push(Operation { client, call, input, outcome });
        }
        is_one_log(&history)
    }

    #[test]
    fn places_that_are_not_those_of_one_log_are_told() {
        assert_eq!(judged(&[(0, 9, Some(1)), (1, 3, Some(0)), (4, 6, None)]), Judgement::Holds);
        assert_eq!(judged(&[(0, 2, None), (3, 5, Some(1))]), Judgement::Holds);
        assert!(judged(&[(0, 2, Some(0)), (3, 5, Some(0))]).is_violated(), "one place for two");
        assert!(judged(&[(0, 2, Some(1)), (3, 5, Some(0))]).is_violated(), "real time");
        assert!(judged(&[(0, 2, Some(1))]).is_violated(), "nobody can have the place before");
    }
}
