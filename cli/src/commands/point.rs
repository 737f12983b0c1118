//! `seedfall point`: at which event of a failing run its failure becomes likely.

use super::inspect::target;
use super::{EffortArgs, Problem, show};
use clap::Args;
use seedfall::explain::examine;
use seedfall::point::{
    Cause, Chance, FUTURES, Futures, Point, Turn, cause, point as look, too_late,
};
use seedfall::run::{Runnable, Trial};
use serde_json::json;

/// Columns of the plot.
const COLUMNS: usize = 60;
/// Its rows, from the lowest to the highest.
const LEVELS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 found, 2 bad input, or a run that violates no property.

Examples:
  seedfall point raft-kv --seed 17           shrinks the run first
  seedfall point tests/museum/raft-21-local-read.json --no-shrink")]
pub(super) struct PointArgs {
    /// The scenario (with --seed), or the file of a case.
    target: String,
    /// The seed.
    #[arg(long, value_parser = super::parse_seed)]
    seed: Option<u64>,
    /// How many futures of each prefix to run.
    #[arg(long, default_value_t = FUTURES, value_name = "N")]
    futures: usize,
    /// Do not shrink the run first.
    #[arg(long, alias = "whole")]
    no_shrink: bool,
    /// The program holds its own fix, behind `planted::has_fix`: until when would it have
    /// saved the run?
    #[arg(long)]
    fix: bool,
    #[command(flatten)]
    effort: EffortArgs,
}

/// `point`.
pub(super) fn point(
    scenarios: &[Box<dyn Runnable>],
    args: &PointArgs,
    json: bool,
) -> Result<u8, Problem> {
    let (_, scenario, trial) = target(scenarios, "point", &args.target, args.seed)?;
    let effort = args.effort.get();
    let small = examine(scenario, &trial, args.no_shrink, &effort);
    let futures = Futures { of_each: args.futures.max(1), jobs: effort.jobs };
    let point = look(scenario, &small.trial, futures);
    let Some(point) = point else {
        return Err(Problem(format!("{}: this run violates no property", args.target)));
    };
    let late = if args.fix { Some(fixed(scenario, &small.trial, args, futures)?) } else { None };
    let until = late.as_ref().map_or(point.events, |late| late.ends);
    let cause = cause(scenario, &small.trial, until);
    if json {
        let (jump, decided) = (&point.jump, &point.decided);
        let value = json!({
            "scenario": scenario.name(), "seed": trial.seed.0, "property": point.property,
            "events": point.events, "sure": jump.is_sure(),
            "jump": jump, "decided": decided, "cause": cause, "too_late": late,
            "curve": point.curve,
        });
        show::json(&value);
    } else {
        tell(&point, cause.as_ref(), late.as_ref());
    }
    Ok(0)
}

/// From where on the fix of the program comes too late.
fn fixed(
    scenario: &dyn Runnable,
    trial: &Trial,
    args: &PointArgs,
    futures: Futures,
) -> Result<Turn, Problem> {
    too_late(scenario, trial, futures).ok_or_else(|| {
        Problem(format!(
            "{}: this run has no fix that would have saved it: either nothing in it asks \
             `planted::has_fix`, or it fails with the fix from the first event on",
            args.target
        ))
    })
}

fn tell(point: &Point, cause: Option<&Cause>, late: Option<&Turn>) {
    show::line(&show::styled(show::BAD, &format!("violated: {}", point.property)));
    show::line(&format!(
        "  share of futures that fail if everything after event k is drawn again, k from 0 to {}:",
        point.events
    ));
    show::line("");
    plot(point).iter().for_each(|line| show::line(line));
    show::line("");
    turn("turns at", &point.jump);
    if point.decided.event != point.jump.event {
        turn("decided at", &point.decided);
    }
    if let Some(Cause { event, shows, text }) = cause {
        let what = "the last decision that it cannot fail without";
        show::line(&format!("  cause      event {event}: {what}; shows at {shows}"));
        show::line(&format!("             {text}"));
    }
    if let Some(late) = late {
        turn("too late", late);
        show::line("             of the futures with the fix from before it, and from after it");
    }
    if !point.jump.is_sure() {
        show::line("  the turn is within the error of the shares: ask for more --futures");
    }
}

fn turn(name: &str, turn: &Turn) {
    show::line(&format!(
        "  {name:<10} event {}, from {} to {}",
        turn.event,
        share(turn.before),
        share(turn.after)
    ));
    show::line(&format!("             {}", turn.text));
}

fn share(chance: Chance) -> String {
    let (low, high) = chance.interval();
    format!("{:.0} % ({:.0} to {:.0} %)", 100.0 * chance.share(), 100.0 * low, 100.0 * high)
}

/// The share over the events of the run, as three rows of blocks and an axis.
fn plot(point: &Point) -> Vec<String> {
    let rows = 3;
    let steps = LEVELS.len() - 1;
    let share_at = |column: usize| {
        let event = point.events * column as u64 / (COLUMNS as u64 - 1);
        let known = point.curve.iter().rev().find(|chance| chance.after <= event);
        known.map_or(0.0, Chance::share)
    };
    let heights: Vec<usize> = (0..COLUMNS)
        .map(|column| (share_at(column) * (rows * steps) as f64).round() as usize)
        .collect();
    let mut lines: Vec<String> = (0..rows)
        .rev()
        .map(|row| {
            let label = if row == rows - 1 { "100 %" } else { "" };
            let blocks =
                heights.iter().map(|height| LEVELS[height.saturating_sub(row * steps).min(steps)]);
            format!("  {label:>5} |{}", blocks.collect::<String>().trim_end())
        })
        .collect();
    lines.push(format!("    0 % +{}", "-".repeat(COLUMNS)));
    let end = point.events.to_string();
    lines.push(format!("         0{:>width$}", end, width = COLUMNS - 1));
    lines
}
