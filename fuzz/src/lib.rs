//! The bodies of the fuzz targets. Each takes any bytes, and panics only if Seedfall is wrong.

use seedfall::arbitrary::plan_from_bytes;
use seedfall::case::{Case, find};
use seedfall::sim::Seed;
use seedfall::{Conclusion, Trial};
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

/// Any fault plan leaves a three-node Raft safe and lets it recover: the first eight bytes are the
/// seed, the others the plan.
pub fn plan(bytes: &[u8]) {
    let Some((seed, plan)) = bytes.split_first_chunk::<8>() else { return };
    let scenarios = seedfall::builtin::all();
    let Ok(scenario) = find(&scenarios, "raft-kv-3") else {
        unreachable!("raft-kv-3 is built in");
    };
    let plan = plan_from_bytes(plan, &scenario.frame());
    let trial = Trial { plan: Some(plan), ..Trial::of(Seed(u64::from_le_bytes(*seed))) };
    if let Conclusion::Failed(failure) = scenario.run(&trial).conclusion {
        panic!("{failure}");
    }
}
