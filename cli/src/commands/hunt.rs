//! `seedfall hunt`: runs that are chosen by what earlier ones have shown.

use super::sweeps::{SHRINK_TIME, keep_small, progress_bar};
use super::{Problem, code_of_meaning, parse_seed, parse_time, scenario, show};
use clap::Args;
use comfy_table::Cell;
use seedfall::run::Runnable;
use seedfall::search::{Found, Hunt, Hunted, STRATEGIES, corpus, hunt as run_hunt};
use seedfall::shrink::{DEFAULT_RUNS, Effort, shrink};
use seedfall::sweep::{Meaning, all_cores};
use seedfall::words::{count, counted};
use serde_json::json;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// How long a hunt takes unless somebody says otherwise.
const USUAL: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
#[command(after_help = after_help())]
pub(super) struct HuntArgs {
    /// The scenario.
    name: String,
    /// How long, by this machine's clock: 500ms, 60s, 5m. Without it, and without --runs, 60s.
    #[arg(long, value_parser = parse_time, value_name = "TIME")]
    time: Option<Duration>,
    /// How many runs, at most: with the base seed it decides everything, on any machine.
    #[arg(long, value_name = "N")]
    runs: Option<u64>,
    /// How many events, at most: what runs cost, and the same on any machine.
    #[arg(long, value_name = "N")]
    events: Option<u64>,
    /// The base seed: another one is another hunt.
    #[arg(long, default_value_t = 0, value_parser = parse_seed, value_name = "N")]
    seed: u64,
    /// Only these strategies, by name, with commas between them.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    strategies: Vec<String>,
    /// Begin with the runs of this file, and leave there the fewest that show what was seen.
    #[arg(long, value_name = "FILE")]
    corpus: Option<PathBuf>,
    /// How many threads; without it, one a core. The result of so many runs is the same.
    #[arg(long, short, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Where a failing run is kept as a case.
    #[arg(long, default_value = "target/seedfall", value_name = "FOLDER")]
    save_to: PathBuf,
    /// Do not make a failing run small, and keep nothing.
    #[arg(long)]
    no_shrink: bool,
}

const AFTER_HELP: &str = "
Of the events, half go to plain seeds; the rest to whoever found most lately.
A failure is made small and kept as a case, as by `sweep`.

Exit codes: as of `sweep`; 2 bad usage or input.

Examples:
  seedfall hunt raft-kv --time 60s
  seedfall hunt raft-kv --runs 20000 --seed 7    the same on any machine
  seedfall hunt raft-kv --strategies guided,branching --corpus raft.jsonl";

fn after_help() -> String {
    let mut text = "Strategies:\n".to_owned();
    for (name, about) in STRATEGIES {
        text += &format!("  {name:<10} {about}\n");
    }
    text += AFTER_HELP;
    text
}

/// `hunt`.
pub(super) fn hunt(
    scenarios: &[Box<dyn Runnable>],
    args: &HuntArgs,
    json: bool,
) -> Result<u8, Problem> {
    let scenario = scenario(scenarios, &args.name)?;
    let corpus = match &args.corpus {
        Some(path) => corpus::load(path, scenario).map_err(Problem)?,
        None => Vec::new(),
    };
    let bounded = args.runs.is_some() || args.events.is_some();
    let time = args.time.or((!bounded).then_some(USUAL));
    let plan = Hunt {
        base: args.seed,
        runs: args.runs,
        events: args.events,
        time,
        jobs: args.jobs.unwrap_or_else(all_cores),
        strategies: args.strategies.clone(),
        corpus,
    };
    let bar = progress_bar(scenario.name(), &(0..args.runs.unwrap_or(u64::MAX)), time, json);
    let hunted = run_hunt(scenario, &plan, &|runs, took| {
        bar.set_position(if args.runs.is_some() { runs } else { took.as_millis() as u64 });
    });
    bar.finish_and_clear();
    let hunted = hunted.map_err(|name| unknown(&name))?;
    let meaning = hunted.summary.meaning(scenario);
    if json {
        show::json(&as_json(scenario, &hunted, &meaning));
    } else {
        tell(scenario, &hunted, &meaning);
    }
    if let Some(path) = &args.corpus {
        let runs = corpus::store(path, scenario, &hunted.archive).map_err(Problem)?;
        if !json {
            let runs = counted(runs as u64, "run");
            show::line(&format!("  corpus     {runs}, in {}", path.display()));
        }
    }
    if let Some(found) = &hunted.found {
        keep(scenario, found, args, json)?;
    }
    Ok(code_of_meaning(&meaning))
}

/// What this process has taken of the processors so far, in seconds; `None`: the machine does not
/// tell.
fn cpu_seconds() -> Option<f64> {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Some(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
    }
    #[cfg(not(unix))]
    None
}

/// There is no strategy of this name.
fn unknown(name: &str) -> Problem {
    let names = STRATEGIES.map(|(name, _)| name).join(", ");
    Problem(format!("`{name}` is not a strategy; there are {names}"))
}

fn tell(scenario: &dyn Runnable, hunted: &Hunted, meaning: &Meaning) {
    let summary = &hunted.summary;
    let seconds = summary.took.as_secs_f64();
    let by = hunted.found.as_ref().map_or_else(String::new, |found| format!(", by {}", found.by));
    let (_, words) = show::verdict(scenario, summary, meaning);
    show::line(&format!("{}: {words}{by}", scenario.name()));
    show::line(&format!(
        "  hunted     {}, {} events, {} states, in {seconds:.1} s",
        counted(summary.seeds, "run"),
        count(summary.events),
        count(hunted.archive.states()),
    ));
    let mut table = show::table(&["strategy", "runs", "events", "new states", ""], &[1, 2, 3]);
    for share in &hunted.shares {
        let found = hunted.found.as_ref().is_some_and(|found| found.by == share.name);
        let mut row = vec![Cell::new(share.name)];
        row.extend([share.runs, share.events, share.states].map(|one| Cell::new(count(one))));
        row.push(Cell::new(if found { "found it" } else { "" }));
        table.add_row(row);
    }
    show::raw(&show::fitted(table, &[]));
    for share in &hunted.shares {
        for (index, remark) in share.remarks.iter().enumerate() {
            let name = if index == 0 { share.name } else { "" };
            show::line(&format!("  {name:<10} {remark}"));
        }
    }
    if let Meaning::Vacuous(why) = meaning {
        show::line(&format!("  vacuous    {why}"));
    }
}

fn as_json(scenario: &dyn Runnable, hunted: &Hunted, meaning: &Meaning) -> serde_json::Value {
    let mut value = show::sweep_json(scenario, &hunted.summary, meaning);
    let shares = hunted.shares.iter().map(|share| {
        json!({
            "strategy": share.name, "runs": share.runs, "events": share.events,
            "states": share.states, "remarks": share.remarks,
        })
    });
    value["cpu"] = json!(cpu_seconds());
    value["states"] = json!(hunted.archive.states());
    value["strategies"] = shares.collect();
    value["found"] = json!(hunted.found.as_ref().map(|found| {
        json!({
            "by": found.by, "seed": found.trial.seed.0,
            "overrides": found.trial.overrides.len(),
            "fingerprint": found.failure.fingerprint,
        })
    }));
    value
}

/// Makes the failing run small, and keeps it.
fn keep(
    scenario: &dyn Runnable,
    found: &Found,
    args: &HuntArgs,
    json: bool,
) -> Result<(), Problem> {
    if args.no_shrink || !found.failure.kind.can_be_shrunk() {
        if !json {
            show::line("");
            show::failure(&found.failure);
        }
        return Ok(());
    }
    let jobs = args.jobs.unwrap_or_else(all_cores);
    let effort = Effort { time: Some(SHRINK_TIME), jobs, ..Effort::runs(DEFAULT_RUNS) };
    let shrunk = shrink(scenario, &found.trial, &effort).ok_or_else(|| {
        Problem("two runs of one trial differ: the protocol is not a value".into())
    })?;
    keep_small(scenario, &shrunk, &args.save_to, json, None)
}
