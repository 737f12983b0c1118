//! A run of programs in the words of its scenario: its operations, its faults, what it printed.

use super::session::{ANEW, CALLED, OK, UNKNOWN};
use crate::plan::FaultPlan;
use crate::workload::OperationId;
use seedfall_kernel as kernel;
use seedfall_sim::{Entry, Kind, RequestId, Time};
use std::fmt::Debug;

/// Puts the operations and the faults of a trace in the words of the scenario. The inputs are those
/// that were drawn first, and those that were drawn anew; `output` reads an answer.
pub(super) fn in_words<I: Debug>(
    outside: &mut kernel::Report,
    plan: &FaultPlan,
    deeds: &[(usize, Time, kernel::Fault)],
    inputs: &[Vec<Vec<(OperationId, I)>>; 2],
    output: impl Fn(&str) -> String,
) {
    for entry in &mut outside.trace {
        match entry.event.kind {
            Kind::Call | Kind::Return => {
                if let Some(text) = operation(entry, inputs, &output) {
                    entry.text = text;
                }
            }
            Kind::Fault => {
                let same = |(_, at, fault): &&(usize, Time, kernel::Fault)| {
                    *at == entry.event.at && fault.to_string() == entry.text
                };
                if let Some((index, _, fault)) = deeds.iter().find(same) {
                    let begins = if strikes(fault) { "begins" } else { "ends" };
                    entry.text = format!("{begins}: {}", plan.entries[*index].fault);
                }
            }
            _ => {}
        }
    }
}

/// Whether a fault does harm, rather than end what does.
pub(super) fn strikes(fault: &kernel::Fault) -> bool {
    use kernel::Fault::{Begin, ClockBegin, Crash, Pause, PowerLoss};
    matches!(fault, Begin(_) | ClockBegin(..) | Crash(_) | Pause(_) | PowerLoss(_))
}

/// A note of a session, as those of simulated clients read: `c1#3 Write(7)`.
fn operation<I: Debug>(
    entry: &Entry,
    inputs: &[Vec<Vec<(OperationId, I)>>; 2],
    output: impl Fn(&str) -> String,
) -> Option<String> {
    let client = entry.event.actor.client()?;
    let mut words = entry.text.splitn(3, ' ');
    let (kind, number) = (words.next()?, words.next()?.parse::<u32>().ok()?);
    let rest = words.next().unwrap_or_default();
    let own = inputs[usize::from(rest == ANEW)].get(client.index())?;
    let input = || own.iter().find(|(id, _)| id.number == number).map(|(_, input)| input);
    let said = match kind {
        CALLED => format!("{:?}", input()?),
        OK => output(rest),
        UNKNOWN => "no answer".to_owned(),
        _ => "failed".to_owned(),
    };
    Some(format!("{} {said}", RequestId { client, number }))
}

/// What the nodes printed, and what was logged in them, line by line, in the order of time.
pub(super) fn printed(outside: &kernel::Report) -> Vec<String> {
    let name = |node: usize| outside.nodes.get(node).map_or("", |node| node.name.as_str());
    let printed = outside.nodes.iter().flat_map(|node| {
        node.printed.iter().map(move |one| (one.at, node.name.as_str(), one.bytes.as_slice()))
    });
    let logs = outside.logs.iter().map(|log| (log.at, name(log.node), log.bytes.as_slice()));
    // What the machine does not permit comes first.
    let degraded = outside.isolation.degraded().into_iter();
    let mut lines: Vec<(Time, String)> =
        degraded.map(|why| (Time::ZERO, format!("this machine: {why}"))).collect();
    for hint in &outside.hints {
        let text = String::from_utf8_lossy(&hint.bytes);
        lines.push((hint.at, format!("{:>10}  (seedfall) {text}", hint.at.to_string())));
    }
    for (at, node, bytes) in printed.chain(logs) {
        let text = String::from_utf8_lossy(bytes);
        let told = |line: &str| (at, format!("{:>10}  {node}: {line}", at.to_string()));
        lines.extend(text.lines().map(told));
    }
    lines.sort_by_key(|(at, _)| *at);
    lines.into_iter().map(|(_, line)| line).collect()
}
