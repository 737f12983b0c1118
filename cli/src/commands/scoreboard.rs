//! `seedfall scoreboard`: how many runs each strategy needs for each planted bug.

use super::{Problem, show};
use crate::patches::Planted;
use crate::scoreboard::{Row, page, read};
use clap::Args;
use seedfall::save::save;
use seedfall::search::STRATEGIES;
use serde_json::Value;
use std::num::NonZeroU64;
use std::path::PathBuf;
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
    if let Some(binary) = &args.binary {
        let patches = Planted::read_all(&args.planted)?;
        let named = |patch: &&Planted| {
            args.only.is_empty() || args.only.iter().any(|text| patch.name.contains(text))
        };
        for patch in patches.iter().filter(named) {
            for strategy in strategies(&args.strategies)? {
                for base in 0..args.bases.get() {
                    let row = measure(args, binary, patch, &strategy, base * 1_000_000)?;
                    show::line(&row.to_string());
                    rows.retain(|other| !other.is_of(&row));
                    rows.push(row);
                }
                let lines: Vec<String> = rows.iter().map(|row| row.to_json().to_string()).collect();
                save(&args.measured, (lines.join("\n") + "\n").as_bytes())?;
            }
        }
    }
    save(&args.page, page(&rows).as_bytes())?;
    show::line(&format!("  page       {}", args.page.display()));
    Ok(0)
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
    binary: &PathBuf,
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
    let done = hunt.env("SEEDFALL_PLANTED", &patch.name).output();
    let done = done.map_err(|error| Problem(format!("{}: {error}", binary.display())))?;
    let text = String::from_utf8_lossy(&done.stdout);
    let value: Value =
        text.lines().find_map(|line| serde_json::from_str(line).ok()).ok_or_else(|| {
            let why = String::from_utf8_lossy(&done.stderr);
            Problem(format!("{} hunt {scenario}: {}", binary.display(), why.trim()))
        })?;
    Ok(Row::of(&patch.name, &scenario, strategy, base, args.events, &value))
}
