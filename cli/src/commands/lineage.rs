//! `seedfall lineage`: which few losses and crashes could undo what was acknowledged?

use super::sweeps::{SHRINK_TIME, keep_small};
use super::{Problem, code_of_kind, parse_seed, scenario, show};
use clap::Args;
use seedfall::run::Runnable;
use seedfall::search::lineage::{Bounds, Cut, Lineage, lineage as look};
use seedfall::shrink::{DEFAULT_RUNS, Effort, shrink};
use seedfall::sweep::all_cores;
use seedfall::words::counted;
use seedfall_sim::{Duration, Seed};
use serde_json::json;
use std::num::NonZeroUsize;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "\
The run of the seed without faults is the beginning. What lies between the request of an
acknowledged operation and the answers that clients got from its acknowledgement on supports it;
only sets of losses and crashes that touch every support are tried, the smallest first.

Exit codes: 0 no set is left that could undo it (a certificate), or, as of `sweep`, what a set
breaks; 2 bad input; 4 the runs were used up before.

Examples:
  seedfall lineage raft-kv --seed 3
  seedfall lineage quorum-kv --seed 3 --cuts 3 --crashes 0 --runs 100000")]
pub(super) struct LineageArgs {
    /// The scenario.
    name: String,
    /// The seed.
    #[arg(long, default_value_t = 0, value_parser = parse_seed, value_name = "N")]
    seed: u64,
    /// How many losses and crashes a set has, at most.
    #[arg(long, default_value_t = 2, value_name = "N")]
    cuts: usize,
    /// How many of them are crashes, at most.
    #[arg(long, default_value_t = 1, value_name = "N")]
    crashes: usize,
    /// How long a node that crashes stays down, in milliseconds.
    #[arg(long, default_value_t = 100, value_name = "MS")]
    down: u64,
    /// How many runs, at most.
    #[arg(long, default_value_t = 50_000, value_name = "N")]
    runs: u64,
    /// How many threads; without it, one a core. The result is the same.
    #[arg(long, short, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Where a failing run is kept as a case.
    #[arg(long, default_value = "target/seedfall", value_name = "FOLDER")]
    save_to: PathBuf,
}

/// `lineage`.
pub(super) fn lineage(
    scenarios: &[Box<dyn Runnable>],
    args: &LineageArgs,
    json: bool,
) -> Result<u8, Problem> {
    let scenario = scenario(scenarios, &args.name)?;
    let jobs = args.jobs.unwrap_or_else(all_cores);
    let LineageArgs { cuts, crashes, runs, .. } = *args;
    let bounds = Bounds { cuts, crashes, down: Duration::millis(args.down), runs, jobs };
    let seed = Seed(args.seed);
    let told = look(scenario, seed, &bounds).map_err(|why| {
        Problem(format!("{}, seed {}: {why}; try another seed", args.name, args.seed))
    })?;
    if json {
        show::json(&as_json(args, &told));
    } else {
        tell(args, &told);
    }
    let Some((_, found)) = &told.found else {
        return Ok(if told.exhausted { 0 } else { 4 });
    };
    let effort = Effort { time: Some(SHRINK_TIME), jobs, ..Effort::runs(DEFAULT_RUNS) };
    if found.failure.kind.can_be_shrunk()
        && let Some(shrunk) = shrink(scenario, &found.trial, &effort)
    {
        keep_small(scenario, &shrunk, &args.save_to, json, None)?;
    }
    Ok(code_of_kind(found.failure.kind))
}

fn words(cuts: &[Cut]) -> String {
    cuts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn tell(args: &LineageArgs, told: &Lineage) {
    let LineageArgs { name, seed, cuts, crashes, .. } = args;
    let operations = counted(told.operations.len() as u64, "acknowledged operation");
    show::line(&format!("{name}, seed {seed}: {operations}"));
    let atoms = show::count(told.atoms as u64);
    show::line(&format!("  supported  by {atoms} messages and moments of the run without faults"));
    let runs = counted(told.runs, "set");
    show::line(&format!("  tried      {runs} of up to {cuts} cuts, {crashes} of them crashes"));
    let bounds = format!("of up to {cuts} losses and crashes, at most {crashes} of them crashes");
    match &told.found {
        Some((cuts, _)) => show::line(&format!("  undone     {}", words(cuts))),
        None if told.exhausted => show::line(&format!(
            "  certified  no set {bounds}, undoes an operation of this run: each that was not \
             tried leaves untouched what supports it"
        )),
        None => show::line("  undecided  its runs were used up: --runs"),
    }
}

fn as_json(args: &LineageArgs, told: &Lineage) -> serde_json::Value {
    json!({
        "scenario": args.name, "seed": args.seed, "cuts": args.cuts, "crashes": args.crashes,
        "operations": told.operations, "support": told.atoms, "runs": told.runs,
        "unacknowledged": told.unacknowledged,
        "certified": told.exhausted && told.found.is_none(),
        "undone_by": told.found.as_ref().map(|(cuts, _)| words(cuts)),
        "fingerprint": told.found.as_ref().map(|(_, found)| &found.failure.fingerprint),
    })
}
