//! `seedfall scoreboard`: how many runs each strategy needs for each planted bug.

use super::{Problem, show};
use crate::patches::Planted;
use crate::scoreboard::{EXHAUSTIVE, Row, elsewhere, page, read};
use clap::Args;
use seedfall::save::save;
use seedfall::search::STRATEGIES;
use serde_json::Value;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::Command;

/// All strategies together, as `hunt` has them.
const PORTFOLIO: &str = "portfolio";

#[derive(Debug, Args)]
#[command(after_help = "\
The binary has all bugs planted at once, each for the name of its patch in the environment
variable `SEEDFALL_PLANTED` alone, as for `planted --binary`. What is measured is added to the
file of lines, and the page is made of all of it.

Exit codes: 0 measured; 2 bad input.

Example:
  seedfall scoreboard --binary target/all --only raft-07 --bases 5 --events 20000000")]
pub(super) struct ScoreboardArgs {
    /// The program in which all bugs are planted; without it, the page alone is made anew.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// The folder of the patches.
    #[arg(long, default_value = "tests/planted", value_name = "FOLDER")]
    planted: PathBuf,
    /// Only bugs with one of these texts in their names, with commas between them.
    #[arg(long, value_delimiter = ',', value_name = "TEXTS")]
    only: Vec<String>,
    /// Hunt in this scenario, in the place of the one that the patch names.
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Only these strategies, with commas between them; `portfolio` is all of them together.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    strategies: Vec<String>,
    /// Take every order, once for each bug, in the place of hunts: the words of `exhaust`, as in
    /// `raft-deep --messages 8`.
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    exhaust: Option<String>,
    /// From how many base seeds, a million apart.
    #[arg(long, default_value = "5", value_name = "N")]
    bases: NonZeroU64,
    /// How many events each hunt may take.
    #[arg(long, default_value_t = 20_000_000, value_name = "N")]
    events: u64,
    /// What was measured, a line of JSON for each hunt.
    #[arg(long, default_value = "docs/search.jsonl", value_name = "FILE")]
    measured: PathBuf,
    /// The page.
    #[arg(long, default_value = "docs/search.md", value_name = "FILE")]
    page: PathBuf,
}

/// `scoreboard`.
pub(super) fn scoreboard(args: &ScoreboardArgs) -> Result<u8, Problem> {
    let mut rows = read(&args.measured).map_err(Problem)?;
    let patches = Planted::read_all(&args.planted)?;
    if let Some(binary) = &args.binary {
        let named = |patch: &&Planted| {
            args.only.is_empty() || args.only.iter().any(|text| patch.name.contains(text))
        };
        for patch in patches.iter().filter(named) {
            if let Some(search) = &args.exhaust {
                add(args, &mut rows, exhaust(binary, patch, search)?)?;
                continue;
            }
            for strategy in strategies(&args.strategies)? {
                for base in 0..args.bases.get() {
                    let row = measure(args, binary, patch, &strategy, base * 1_000_000)?;
                    add(args, &mut rows, row)?;
                }
            }
        }
    }
    save(&args.page, page(&rows, &elsewhere(&patches)).as_bytes())?;
    show::line(&format!("  page       {}", args.page.display()));
    Ok(0)
}

/// Adds what was measured to the file, in the place of what was measured before.
fn add(args: &ScoreboardArgs, rows: &mut Vec<Row>, row: Row) -> Result<(), Problem> {
    show::line(&row.to_string());
    rows.retain(|other| !other.is_of(&row));
    rows.push(row);
    let lines: Vec<String> = rows.iter().map(|row| row.to_json().to_string()).collect();
    Ok(save(&args.measured, (lines.join("\n") + "\n").as_bytes())?)
}

/// Every order, in a process of its own.
fn exhaust(binary: &Path, patch: &Planted, search: &str) -> Result<Row, Problem> {
    let mut command = Command::new(binary);
    command.arg("exhaust").args(search.split_whitespace()).arg("--json");
    command.env("SEEDFALL_PLANTED", &patch.name);
    let told = answer(command, binary, search)?;
    let steps = told["counterexample"].as_array().map_or(0, Vec::len) as u64;
    let cap = 0;
    let row = Row::of(&patch.name, search, EXHAUSTIVE, 0, cap, &told);
    let runs = told["states"].as_u64().unwrap_or_default();
    let cpu = told["seconds"].as_f64().unwrap_or_default();
    Ok(Row { found: steps > 0, runs, events: steps, cpu, ..row })
}

/// The JSON that a command printed.
fn answer(mut command: Command, binary: &Path, what: &str) -> Result<Value, Problem> {
    let done = command.output();
    let done = done.map_err(|error| Problem(format!("{}: {error}", binary.display())))?;
    let text = String::from_utf8_lossy(&done.stdout);
    text.lines().find_map(|line| serde_json::from_str(line).ok()).ok_or_else(|| {
        let why = String::from_utf8_lossy(&done.stderr);
        Problem(format!("{}, {what}: {}", binary.display(), why.trim()))
    })
}

/// The strategies that are asked for.
fn strategies(asked: &[String]) -> Result<Vec<String>, Problem> {
    let known: Vec<&str> = STRATEGIES.iter().map(|(name, _)| *name).chain([PORTFOLIO]).collect();
    if let Some(name) = asked.iter().find(|name| !known.contains(&name.as_str())) {
        let known = known.join(", ");
        return Err(Problem(format!("`{name}` is not a strategy; there are {known}")));
    }
    let all = known.into_iter().map(str::to_owned).collect();
    Ok(if asked.is_empty() { all } else { asked.to_vec() })
}

/// One hunt, in a process of its own.
fn measure(
    args: &ScoreboardArgs,
    binary: &Path,
    patch: &Planted,
    strategy: &str,
    base: u64,
) -> Result<Row, Problem> {
    let scenario = args.scenario.clone().unwrap_or_else(|| patch.says("Scenario").to_owned());
    let mut hunt = Command::new(binary);
    hunt.args(["hunt", &scenario, "--json", "--no-shrink", "--jobs", "1"]);
    hunt.args(["--seed", &base.to_string(), "--events", &args.events.to_string()]);
    if strategy != PORTFOLIO {
        hunt.args(["--strategies", strategy]);
    }
    hunt.env("SEEDFALL_PLANTED", &patch.name);
    let told = answer(hunt, binary, &scenario)?;
    Ok(Row::of(&patch.name, &scenario, strategy, base, args.events, &told))
}
