//! `seedfall clean`: what campaigns ran without a failure, kept over campaigns.

use super::{Problem, campaign, show};
use crate::clean::{page, read, witnesses};
use clap::Args;
use seedfall::run::Runnable;
use seedfall::save::save;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "\
A campaign counts if this very program ran it. Seeds of a scenario count for as long as its runs are
what they were.

Exit codes: 0 recorded; 2 bad input.

Example:
  seedfall campaign run --base 8000000000 --for 1h --out target/long
  seedfall clean target/long")]
pub(super) struct CleanArgs {
    /// The folders of campaigns; without any, the page alone is made anew.
    folders: Vec<PathBuf>,
    /// What is clean, a line of JSON for each scenario of a campaign.
    #[arg(long, default_value = "docs/clean.jsonl", value_name = "FILE")]
    recorded: PathBuf,
    /// The page.
    #[arg(long, default_value = "docs/clean.md", value_name = "FILE")]
    page: PathBuf,
}

/// `clean`.
pub(super) fn clean(scenarios: &[Box<dyn Runnable>], args: &CleanArgs) -> Result<u8, Problem> {
    let mut rows = read(&args.recorded).map_err(Problem)?;
    let witnesses = witnesses(scenarios);
    for folder in &args.folders {
        let new = campaign::clean(scenarios, folder, &witnesses)?;
        show::line(&format!("{}: {} scenarios without a failure", folder.display(), new.len()));
        // A campaign that went on is recorded anew.
        rows.retain(|row| !new.iter().any(|one| one.is_later_of(row)));
        rows.extend(new);
    }
    let lines: Result<Vec<String>, _> = rows.iter().map(serde_json::to_string).collect();
    save(&args.recorded, (lines?.join("\n") + "\n").as_bytes())?;
    save(&args.page, page(&rows, &witnesses).as_bytes())?;
    show::line(&format!("  page       {}", args.page.display()));
    Ok(0)
}
