//! The bodies of the fuzz targets. Each takes any bytes, and panics only if Seedfall is wrong.

mod checkers;
mod journal;

pub use checkers::{history, register};
pub use journal::journal;

use seedfall::Trial;
use seedfall::arbitrary::plan_from_bytes;
use seedfall::case::{Case, find};
use seedfall::sim::{Links, Nodes, Seed, SystemModel, Timing};
use seedfall::{Class, Runnable};
use std::path::Path;

/// A case file of any bytes is refused with a message, or can be run.
pub fn case(bytes: &[u8]) {
    let scenarios = seedfall_scenarios::all();
    let text = String::from_utf8_lossy(bytes);
    match Case::parse(Path::new("fuzz.json"), &text, &scenarios) {
        Ok((case, scenario)) => drop(scenario.run(&case.trial())),
        Err(error) => assert!(!error.to_string().is_empty(), "an error says something"),
    }
}

/// Any fault plan and any part of the workload leave a three-node Raft safe and let it recover: the
/// first eight bytes are the seed, the bits of the next eight say which operations are left out,
/// the others are the plan.
pub fn run(bytes: &[u8]) {
    let Some((seed, rest)) = bytes.split_first_chunk::<8>() else { return };
    let Some((left_out, plan)) = rest.split_first_chunk::<8>() else { return };
    let left_out = u64::from_le_bytes(*left_out);
    raft(*seed, plan, |index| left_out >> (index % 64) & 1 == 1);
}

/// Any fault plan leaves a three-node Raft safe and lets it recover: the first eight bytes are the
/// seed, the others the plan.
pub fn plan(bytes: &[u8]) {
    let Some((seed, plan)) = bytes.split_first_chunk::<8>() else { return };
    raft(*seed, plan, |_| false);
}

/// Under any faults, also those that its model rules out, a run is the same when it is run again;
/// and where its model permits them, it is safe: the first eight bytes are the seed, the others the
/// plan. Says of each fault whether it had an effect.
pub fn faults(bytes: &[u8]) -> Vec<(Class, bool)> {
    let Some((seed, plan)) = bytes.split_first_chunk::<8>() else { return Vec::new() };
    let scenarios = seedfall_scenarios::all();
    let scenario = three_node_raft(&scenarios);
    let (links, nodes, timing) = (Links::Arbitrary, Nodes::Byzantine, Timing::Asynchronous);
    let model = SystemModel { links, nodes, timing };
    let plan = plan_from_bytes(plan, &scenario.fault_budget_under(model));
    let is_permitted = plan.check(&scenario.fault_budget()).is_ok();
    let seed = Seed(u64::from_le_bytes(*seed));
    let trial = Trial { plan: Some(plan), model: Some(model), ..Trial::of(seed) };
    let report = scenario.run(&trial);
    let again = scenario.run(&trial);
    let told = |report: &seedfall::Report| (report.hash, report.events, report.fired.clone());
    assert_eq!(told(&report), told(&again), "the same run, run again");
    assert_eq!(report.failures, again.failures, "the same run, judged again");
    if let Some(failure) = report.failure().filter(|_| is_permitted) {
        panic!("{failure}");
    }
    report.fired
}

fn three_node_raft(scenarios: &[Box<dyn Runnable>]) -> &dyn Runnable {
    let Ok(scenario) = find(scenarios, "raft-kv-3") else {
        unreachable!("raft-kv-3 is built in");
    };
    scenario
}

/// One run of a three-node Raft, without some of its operations.
fn raft(seed: [u8; 8], plan: &[u8], is_left_out: impl Fn(usize) -> bool) {
    let scenarios = seedfall_scenarios::all();
    let scenario = three_node_raft(&scenarios);
    let plan = plan_from_bytes(plan, &scenario.fault_budget());
    let operations = scenario.operations().into_iter().enumerate();
    let skip = operations.filter(|(index, _)| is_left_out(*index)).map(|(_, one)| one).collect();
    let trial = Trial { plan: Some(plan), skip, ..Trial::of(Seed(u64::from_le_bytes(seed))) };
    if let Some(failure) = scenario.run(&trial).failure() {
        panic!("{failure}");
    }
}
