//! `seedfall diff`: two runs compared, and the decision that makes the difference.

use super::inspect::target;
use super::{Problem, show};
use clap::Args;
use seedfall::case::{Case, Replayed};
use seedfall::diff::{Decision, Difference, Neighbour, Side, compare, neighbour};
use seedfall::plan::Entry as Fault;
use seedfall::report::{Conclusion, Report};
use seedfall::run::{Runnable, Trial};
use seedfall::shrink::{DEFAULT_RUNS, Effort, shrink};
use seedfall::testing::parse_seed;
use seedfall::words::counted;
use seedfall_sim::Entry;
use serde_json::{Value, json};
use std::path::Path;

#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 equal, 1 different, 2 bad input, 4 no neighbour passes.

Examples:
  seedfall diff raft-kv:3 raft-kv:4          two seeds
  seedfall diff kept.json raft-kv:4          a case and a seed
  seedfall diff kept.json                    a case, and what this build makes of it
  seedfall diff kept.json --neighbour        a failing run, and the nearest one that passes")]
pub(super) struct DiffArgs {
    /// The file of a case, or NAME:SEED.
    left: String,
    /// Another one; without it, a case is compared with what it was when it was stored.
    right: Option<String>,
    /// Shrink the run, which must fail, and compare it with its nearest passing neighbour.
    #[arg(long, conflicts_with = "right")]
    neighbour: bool,
    /// How many runs shrinking may take.
    #[arg(long, default_value_t = DEFAULT_RUNS, value_name = "N", requires = "neighbour")]
    runs: u64,
}

/// `diff`.
pub(super) fn diff(
    scenarios: &[Box<dyn Runnable>],
    args: &DiffArgs,
    json: bool,
) -> Result<u8, Problem> {
    let left = run(scenarios, &args.left)?;
    match &args.right {
        _ if args.neighbour => with_neighbour(&left, args, json),
        Some(right) => with_other(&left, &run(scenarios, right)?, json),
        None => with_stored(&left, &args.left, json),
    }
}

/// What one of the arguments names.
struct Named<'a> {
    case: Option<Case>,
    scenario: &'a dyn Runnable,
    trial: Trial,
}

fn run<'a>(scenarios: &'a [Box<dyn Runnable>], text: &str) -> Result<Named<'a>, Problem> {
    let seeded = text.rsplit_once(':').filter(|_| !Path::new(text).exists());
    let (case, scenario, trial) = match seeded {
        Some((name, seed)) => target(scenarios, "diff", name, Some(parse_seed(seed)?))?,
        None if Path::new(text).exists() || text.contains(['/', '.']) => {
            target(scenarios, "diff", text, None)?
        }
        None => {
            super::scenario(scenarios, text)?;
            return Err(Problem(format!(
                "`diff {text}` needs a seed: `{text}:17`, or the file of a case"
            )));
        }
    };
    Ok(Named { case, scenario, trial })
}

fn with_other(left: &Named<'_>, right: &Named<'_>, json: bool) -> Result<u8, Problem> {
    let (one, two) = (left.scenario.name(), right.scenario.name());
    if one != two {
        return Err(Problem(format!(
            "a run of {one} and one of {two} cannot be compared: expected two runs of one scenario"
        )));
    }
    let sides = [Side::of(left.scenario, &left.trial), Side::of(right.scenario, &right.trial)];
    let difference = compare(left.scenario, &sides[0], &sides[1]);
    let reports = [&sides[0].report, &sides[1].report];
    if json {
        show::raw(&both_json(reports, difference.as_ref()).to_string());
        return Ok(u8::from(difference.is_some()));
    }
    for ((name, report), named) in ["A", "B"].iter().zip(reports).zip([left, right]) {
        run_line(name, report);
        stale(named, report);
    }
    match &difference {
        None => show::line(&show::styled(show::GOOD, "equal, event for event")),
        Some(difference) => tell(difference, ["A", "B"]),
    }
    Ok(u8::from(difference.is_some()))
}

/// A case that this build does not replay is not the run that was stored: says so.
fn stale(named: &Named<'_>, report: &Report) {
    let Some(Replayed::Diverged { event, .. }) =
        named.case.as_ref().map(|case| case.compare(report))
    else {
        return;
    };
    show::line(&format!("             not the run that was stored: they diverge at event {event}"));
}

/// A case against what it was when it was stored. Of that run there are hashes only.
fn with_stored(left: &Named<'_>, name: &str, json: bool) -> Result<u8, Problem> {
    let Some(case) = &left.case else {
        return Err(Problem(format!("`diff {name}` needs another run to compare it with")));
    };
    let report = left.scenario.run(&left.trial);
    let diverged = case.compare(&report);
    let Replayed::Diverged { event, now } = diverged else {
        if json {
            show::raw(&json!({ "equal": true, "hash": [case.expect.hash] }).to_string());
        } else {
            run_line("stored", &report);
            show::line(&show::styled(show::GOOD, "equal, event for event, to this build's run"));
        }
        return Ok(0);
    };
    let hash = format!("{:#018x}", report.hash);
    let before = report.trace.len().min(event as usize - 1);
    let common = &report.trace[before.saturating_sub(4)..before];
    if json {
        let value = json!({
            "equal": false, "hash": [case.expect.hash, hash], "event": event,
            "common": lines(common), "now": now.as_deref().map(str::trim),
        });
        show::json(&value);
        return Ok(1);
    }
    show::line(&format!(
        "  stored     {}, hash {}",
        counted(case.expect.events, "event"),
        case.expect.hash
    ));
    run_line("now", &report);
    show::line(&format!("they diverge at event {event}; the last that they have in common:"));
    common.iter().for_each(|entry| show::line(&format!("           {entry}")));
    let now = now.unwrap_or_else(|| "the run is over".to_owned());
    show::line(&format!("  now      {now}"));
    show::line(
        "The case, its seed and its faults are the same: what decides otherwise is the code.",
    );
    Ok(1)
}

fn with_neighbour(left: &Named<'_>, args: &DiffArgs, json: bool) -> Result<u8, Problem> {
    let Some(shrunk) = shrink(left.scenario, &left.trial, &Effort::runs(args.runs)) else {
        return Err(Problem(format!("{}: this run does not fail", args.left)));
    };
    let failing = Side::of(left.scenario, &shrunk.trial);
    let Some(near) = neighbour(left.scenario, &failing) else {
        let message = "no single fault or draw makes the difference: without each of them, the run \
                       fails in another way or proves nothing";
        if json {
            show::raw(&json!({ "equal": null, "why": message }).to_string());
        } else {
            show::line(message);
        }
        return Ok(4);
    };
    let Neighbour { side, difference, passing, tried } = &near;
    if json {
        let mut value = both_json([&failing.report, &side.report], Some(difference));
        value["passing"] = json!(passing);
        value["tried"] = json!(tried);
        show::json(&value);
        return Ok(1);
    }
    run_line("fails", &failing.report);
    run_line("passes", &side.report);
    tell(difference, ["fails", "passes"]);
    show::line(&format!(
        "Of {} that differ from it in one decision, {passing} pass; this one stays with it \
         longest.",
        counted(*tried as u64, "run")
    ));
    Ok(1)
}

fn run_line(name: &str, report: &Report) {
    let came_to = match report.conclusion() {
        Conclusion::Passed => "passes".to_owned(),
        Conclusion::Unknown(unknown) => format!("is not decided: {}", unknown.why),
        Conclusion::Vacuous(why) => format!("is vacuous: {why}"),
        Conclusion::Failed(failure) => format!("fails: {}", failure.fingerprint),
    };
    let Report { scenario, seed, events, hash, .. } = report;
    show::line(&format!(
        "  {name:<10} {scenario}, seed {}, {}, hash {hash:#018x}, {came_to}",
        seed.0,
        counted(*events, "event")
    ));
}

fn tell(difference: &Difference, names: [&str; 2]) {
    let Difference { event, common, left, right, decision } = difference;
    show::line(&show::styled(show::DULL, &format!("they diverge at event {event}")));
    common.iter().for_each(|entry| show::line(&format!("  both    {entry}")));
    for (name, entry) in names.iter().zip([left, right]) {
        let told = entry.as_ref().map_or_else(|| "the run is over".to_owned(), Entry::to_string);
        show::line(&format!("  {name:<7} {told}"));
    }
    let Some(decision) = decision else {
        return show::line("No single decision makes the difference: they differ in several.");
    };
    show::line("What makes the difference:");
    let fault = |entry: &Option<Fault>| {
        entry.as_ref().map_or_else(|| "no such fault".to_owned(), ToString::to_string)
    };
    let (what, sides) = match decision {
        Decision::Draw { draw, decides, left, right } => {
            let what = format!("{decides}  ({:?}, {})", draw.site, draw.index);
            (what, [left.clone(), right.clone()])
        }
        Decision::Fault { left, right } => {
            ("the fault plan".to_owned(), [fault(left), fault(right)])
        }
        Decision::Operation { operation, left } => {
            let told = |asked| if asked { "is asked" } else { "is left out" }.to_owned();
            (format!("operation {operation}"), [told(*left), told(!*left)])
        }
    };
    show::line(&format!("  {what}"));
    for (name, side) in names.iter().zip(sides) {
        show::line(&format!("  {name:<7} {side}"));
    }
}

fn both_json(reports: [&Report; 2], difference: Option<&Difference>) -> Value {
    let hashes = reports.map(|report| format!("{:#018x}", report.hash));
    let Some(Difference { event, common, left, right, decision }) = difference else {
        return json!({ "equal": true, "hash": hashes });
    };
    let line =
        |entry: &Option<Entry>| entry.as_ref().map(|entry| entry.to_string().trim().to_owned());
    json!({
        "equal": false,
        "hash": hashes,
        "event": event,
        "common": lines(common),
        "left": line(left),
        "right": line(right),
        "decision": decision,
    })
}

fn lines(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.to_string().trim().to_owned()).collect()
}
