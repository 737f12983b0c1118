//! The bodies of the fuzz targets. Each takes any bytes, and panics only if Seedfall is wrong.

mod checkers;
mod journal;

pub use checkers::{history, register};
pub use journal::journal;

use seedfall::Trial;
use seedfall::arbitrary::plan_from_bytes;
use seedfall::case::{Case, find};
use seedfall::sim::Seed;
use std::path::Path;

/// A case file of any bytes is refused with a message, or can be run.
pub fn case(bytes: &[u8]) {
    let scenarios = seedfall::builtin::all();
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

/// One run of a three-node Raft, without some of its operations.
fn raft(seed: [u8; 8], plan: &[u8], is_left_out: impl Fn(usize) -> bool) {
    let scenarios = seedfall::builtin::all();
    let Ok(scenario) = find(&scenarios, "raft-kv-3") else {
        unreachable!("raft-kv-3 is built in");
    };
    let plan = plan_from_bytes(plan, &scenario.frame());
    let operations = scenario.operations().into_iter().enumerate();
    let skip = operations.filter(|(index, _)| is_left_out(*index)).map(|(_, one)| one).collect();
    let trial = Trial { plan: Some(plan), skip, ..Trial::of(Seed(u64::from_le_bytes(seed))) };
    if let Some(failure) = scenario.run(&trial).failure() {
        panic!("{failure}");
    }
}
