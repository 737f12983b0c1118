//! `seedfall matrix`: every protocol under every model, those that it does not claim too.

use super::{Problem, show};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use seedfall::report::FailureKind;
use seedfall::run::Runnable;
use seedfall::sweep::{Sweep, all_cores, sweep};
use seedfall_sim::{Links, Nodes, SystemModel, Timing};
use serde_json::json;
use std::num::NonZeroUsize;

#[derive(Debug, Args)]
pub(super) struct MatrixArgs {
    /// Only scenarios with this in their name.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How many seeds for each scenario and model.
    #[arg(long, default_value_t = 200, value_name = "N")]
    seeds: u64,
    /// How many threads; without it, one a core.
    #[arg(long, short, value_name = "N")]
    jobs: Option<NonZeroUsize>,
}

const LINKS: [Links; 3] = [Links::Reliable, Links::FairLoss, Links::Arbitrary];
const NODES: [Nodes; 3] = [Nodes::CrashStop, Nodes::CrashRecovery, Nodes::Byzantine];
const TIMING: [Timing; 3] =
    [Timing::Synchronous, Timing::PartiallySynchronous, Timing::Asynchronous];

/// What came of one scenario under one model.
struct Cell {
    claimed: bool,
    /// The first failing seed, how it failed, and whether the scenario expects it.
    failure: Option<(u64, FailureKind, bool)>,
}

impl Cell {
    /// A word for it, and whether it is as it should be.
    fn word(&self) -> (String, bool) {
        let Some((seed, kind, expected)) = self.failure else { return ("holds".to_owned(), true) };
        let word = match kind {
            FailureKind::Safety => "violated",
            FailureKind::Liveness | FailureKind::Stuck => "stuck",
            // What a liar says may break an assertion; a claim excludes that.
            FailureKind::Crash => "panics",
            FailureKind::Hang | FailureKind::Nondeterminism | FailureKind::Internal => {
                return (format!("{} {seed}", kind.name()), false);
            }
        };
        (format!("{word} {seed}"), expected || !self.claimed)
    }
}

/// Shows the matrix.
pub(super) fn matrix(
    scenarios: &[Box<dyn Runnable>],
    args: &MatrixArgs,
    json: bool,
) -> Result<u8, Problem> {
    let text = args.only.as_deref().unwrap_or_default();
    let chosen: Vec<&dyn Runnable> =
        scenarios.iter().map(AsRef::as_ref).filter(|one| one.name().contains(text)).collect();
    if chosen.is_empty() {
        return Err(Problem(format!("no scenario has `{text}` in its name; `list` shows them")));
    }
    let bar = if json { ProgressBar::hidden() } else { ProgressBar::new(chosen.len() as u64 * 27) };
    if let Ok(style) = ProgressStyle::with_template("{msg:24} {wide_bar} {pos}/{len}, {eta} left") {
        bar.set_style(style);
    }
    let mut header = vec!["scenario".to_owned(), "nodes".to_owned()];
    for links in LINKS {
        header.extend(TIMING.iter().map(|timing| format!("{links:?}\n{}", short(*timing))));
    }
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let mut table = show::table(&header, &[]);
    let mut surprises = 0;
    for scenario in chosen {
        bar.set_message(scenario.name());
        for nodes in NODES {
            let mut row = vec![scenario.name().to_owned(), format!("{nodes:?}")];
            for links in LINKS {
                for timing in TIMING {
                    let model = SystemModel { links, nodes, timing };
                    let cell = cell(scenario, model, args);
                    let (word, expected) = cell.word();
                    surprises += u32::from(!expected);
                    if json {
                        let value = json!({
                            "scenario": scenario.name(), "model": model.to_string(),
                            "claimed": cell.claimed, "outcome": word, "surprise": !expected,
                        });
                        show::line(&value.to_string());
                    }
                    row.push(styled(&word, &cell, expected));
                    bar.inc(1);
                }
            }
            table.add_row(row);
        }
    }
    bar.finish_and_clear();
    if !json {
        show::line(&table.to_string());
        show::line(
            "[..]: within the model that the protocol claims. A number is the first seed that \
             shows it: `sweep NAME --under LINKS,NODES,TIMING` finds it again.",
        );
        show::line(&format!("{surprises} surprises"));
    }
    Ok(if surprises == 0 { 0 } else { 1 })
}

fn cell(scenario: &dyn Runnable, model: SystemModel, args: &MatrixArgs) -> Cell {
    let own = scenario.model();
    let claimed =
        model.links <= own.links && model.nodes <= own.nodes && model.timing <= own.timing;
    let jobs = args.jobs.unwrap_or_else(all_cores);
    let plan = Sweep { seeds: 0..args.seeds, model: Some(model), ..Sweep::new(jobs) };
    let summary = sweep(scenario, &plan, &|_| ());
    let failure = summary.first_failure();
    let failure = failure.map(|one| (one.seed.0, one.kind, one.expected.is_some()));
    Cell { claimed, failure }
}

fn styled(word: &str, cell: &Cell, expected: bool) -> String {
    let word = if cell.claimed { format!("[{word}]") } else { word.to_owned() };
    match (expected, &cell.failure) {
        (false, _) => show::styled(show::BAD, &format!("{word} SURPRISE")),
        (true, None) => show::styled(show::GOOD, &word),
        (true, Some(_)) => show::styled(show::DULL, &word),
    }
}

fn short(timing: Timing) -> &'static str {
    match timing {
        Timing::Synchronous => "sync",
        Timing::PartiallySynchronous => "partial",
        Timing::Asynchronous => "async",
    }
}

/// Reads a model: `fair-loss,crash-recovery,asynchronous`.
pub(super) fn parse_model(text: &str) -> Result<SystemModel, String> {
    let wrong = || {
        format!(
            "`{text}` is not a model; expected LINKS,NODES,TIMING with reliable, fair-loss or \
             arbitrary; crash-stop, crash-recovery or byzantine; synchronous, partial or \
             asynchronous"
        )
    };
    let [links, nodes, timing] = text.split(',').map(str::trim).collect::<Vec<_>>()[..] else {
        return Err(wrong());
    };
    let links = match links {
        "reliable" => Links::Reliable,
        "fair-loss" => Links::FairLoss,
        "arbitrary" => Links::Arbitrary,
        _ => return Err(wrong()),
    };
    let nodes = match nodes {
        "crash-stop" => Nodes::CrashStop,
        "crash-recovery" => Nodes::CrashRecovery,
        "byzantine" => Nodes::Byzantine,
        _ => return Err(wrong()),
    };
    let timing = match timing {
        "synchronous" => Timing::Synchronous,
        "partial" | "partially-synchronous" | "partially synchronous" => {
            Timing::PartiallySynchronous
        }
        "asynchronous" => Timing::Asynchronous,
        _ => return Err(wrong()),
    };
    Ok(SystemModel { links, nodes, timing })
}
