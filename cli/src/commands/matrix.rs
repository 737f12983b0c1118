//! `seedfall matrix`: every protocol under every model, those that it does not claim too.

use super::{Problem, show};
use clap::Args;
use comfy_table::Table;
use indicatif::{ProgressBar, ProgressStyle};
use seedfall::report::FailureKind;
use seedfall::run::Runnable;
use seedfall::sweep::{Sweep, all_cores, sweep};
use seedfall::words::counted;
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
    let mut tables = Tables::new();
    let mut surprises = 0;
    for scenario in chosen {
        bar.set_message(scenario.name());
        for nodes in NODES {
            let mut row = Vec::new();
            for links in LINKS {
                for timing in TIMING {
                    let model = SystemModel { links, nodes, timing };
                    let cell = cell(scenario, model, args);
                    let (word, expected) = cell.word();
                    surprises += u32::from(!expected);
                    if json {
                        show::json(&json!({
                            "scenario": scenario.name(), "model": model.to_string(),
                            "claimed": cell.claimed, "outcome": word, "surprise": !expected,
                        }));
                    }
                    row.push(styled(&word, &cell, expected));
                    bar.inc(1);
                }
            }
            tables.add(scenario.name(), nodes, row);
        }
    }
    bar.finish_and_clear();
    if !json {
        tables.show();
        show::line(
            "[..]: within the model that the protocol claims. A number is the first seed that \
             shows it: `sweep NAME --under LINKS,NODES,TIMING` finds it again.",
        );
        show::line(&counted(surprises.into(), "surprise"));
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

fn styled(word: &str, cell: &Cell, expected: bool) -> comfy_table::Cell {
    let word = if cell.claimed { format!("[{word}]") } else { word.to_owned() };
    match (expected, &cell.failure) {
        (false, _) => show::cell(show::BAD, &format!("{word} SURPRISE")),
        (true, None) => show::cell(show::GOOD, &word),
        (true, Some(_)) => show::cell(show::DULL, &word),
    }
}

/// The same outcomes in two forms: a line for each model of nodes, as far as there is room for nine
/// columns, or a line for each model of nodes and of links.
struct Tables {
    wide: Table,
    /// One for each scenario.
    narrow: Vec<(String, Table)>,
}

/// Columns that the wide form takes.
const WIDE: usize = 150;

impl Tables {
    fn new() -> Self {
        let mut wide = vec!["scenario".to_owned(), "nodes".to_owned()];
        for links in LINKS {
            wide.extend(TIMING.iter().map(|timing| format!("{links:?}\n{}", short(*timing))));
        }
        let wide: Vec<&str> = wide.iter().map(String::as_str).collect();
        Self { wide: show::table(&wide, &[]), narrow: Vec::new() }
    }

    /// The outcomes under one model of nodes, in the order of the header.
    fn add(&mut self, scenario: &str, nodes: Nodes, cells: Vec<comfy_table::Cell>) {
        let nodes = format!("{nodes:?}");
        if self.narrow.last().is_none_or(|(name, _)| name != scenario) {
            let table = show::table(&["nodes", "links", "sync", "partial", "async"], &[]);
            self.narrow.push((scenario.to_owned(), table));
        }
        for (links, cells) in LINKS.iter().zip(cells.chunks(TIMING.len())) {
            let mut row: Vec<comfy_table::Cell> =
                [nodes.as_str(), &format!("{links:?}")].map(Into::into).to_vec();
            row.extend_from_slice(cells);
            if let Some((_, table)) = self.narrow.last_mut() {
                table.add_row(row);
            }
        }
        let mut row: Vec<comfy_table::Cell> = [scenario, nodes.as_str()].map(Into::into).to_vec();
        row.extend(cells);
        self.wide.add_row(row);
    }

    fn show(self) {
        if WIDE <= show::width() {
            return show::raw(&show::fitted(self.wide, &[]));
        }
        for (scenario, table) in self.narrow {
            show::line(&scenario);
            show::raw(&show::fitted(table, &[]));
            show::line("");
        }
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
