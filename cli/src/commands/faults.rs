//! `seedfall faults`: every class of faults, what permits it, whether it fired, and which planted
//! bug needs it.

use super::{Problem, parse_time, show};
use crate::contrast::{self, Figures, Measured};
use clap::Args;
use comfy_table::Cell;
use seedfall::faults::Class;
use seedfall::run::Runnable;
use seedfall::sweep::{Sweep, all_cores, sweep};
use seedfall_sim::{Links, Nodes, SystemModel, Timing};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct FaultsArgs {
    /// How long to sweep, in all, to see which faults fire.
    #[arg(long, default_value = "5s", value_parser = parse_time, value_name = "TIME")]
    time: Duration,
    /// How many seeds of each scenario and model at most; without it, what the time allows.
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// What `planted --contrast --json` wrote: which planted bugs need which class.
    #[arg(long, default_value = "docs/contrast.jsonl", value_name = "FILE")]
    measured: PathBuf,
    /// Do not sweep: only what the documentation says, as Markdown.
    #[arg(long)]
    markdown: bool,
}

/// Shows the catalogue.
pub(super) fn faults(
    scenarios: &[Box<dyn Runnable>],
    args: &FaultsArgs,
    json: bool,
) -> Result<u8, Problem> {
    let measured = contrast::read(&args.measured)?;
    let proofs = |class: Class| -> Vec<&Measured> {
        measured.iter().filter(|one| one.fault == class && one.is_proof()).collect()
    };
    if args.markdown {
        markdown(&proofs);
        return Ok(0);
    }
    let fired = fired(scenarios, args.time, args.seeds);
    let header = ["fault", "what happens", "permitted by", "fired", "only it finds"];
    let mut table = show::table(&header, &[3]);
    for class in Class::ALL {
        let about = class.about();
        let (planned, hit) = fired.get(&class).copied().unwrap_or_default();
        if json {
            let value = json!({
                "fault": class.name(), "what": about.what, "permitted_by": class.needs(),
                "drawn": about.knob, "source": about.source, "runs_planned": planned,
                "runs_fired": hit,
                "planted": proofs(class).iter().map(|one| as_json(one)).collect::<Vec<_>>(),
            });
            show::json(&value);
            continue;
        }
        let ratio = format!("{} of {}", show::count(hit), show::count(planned));
        table.add_row(vec![
            Cell::new(class.name()),
            Cell::new(about.what),
            Cell::new(class.needs()),
            if hit > 0 { Cell::new(ratio) } else { show::cell(show::BAD, &ratio) },
            Cell::new(column(&proofs(class), "\n", |one| one.bug.clone())),
        ]);
    }
    if !json {
        show::raw(&show::fitted(table, &[4, 2]));
        show::line(
            "fired: runs in which the fault had an effect, of those in which it was planned. What \
             permits each, what is drawn of it, its source, and after how many seeds a bug is \
             found that only it finds: docs/faults.md, or `faults --markdown`.",
        );
    }
    let silent = Class::ALL.iter().any(|class| fired.get(class).is_none_or(|(_, hit)| *hit == 0));
    Ok(if silent { 4 } else { 0 })
}

/// What the documentation says.
fn markdown<'a>(proofs: &impl Fn(Class) -> Vec<&'a Measured>) {
    show::line(
        "| fault | what happens | permitted by | drawn | source | a bug that only it finds | \
         seeds with it | without |",
    );
    show::line("|---|---|---|---|---|---|---|---|");
    for class in Class::ALL {
        let (about, bugs) = (class.about(), proofs(class));
        let cells = [
            class.name().to_owned(),
            about.what.to_owned(),
            class.needs(),
            about.knob.to_owned(),
            about.source.to_owned(),
            column(&bugs, "<br>", Measured::name),
            column(&bugs, "<br>", |one| one.with.to_string()),
            column(&bugs, "<br>", |one| one.without.to_string()),
        ];
        show::line(&format!("| {} |", cells.join(" | ")));
    }
}

fn column(bugs: &[&Measured], between: &str, cell: impl Fn(&Measured) -> String) -> String {
    bugs.iter().map(|one| cell(one)).collect::<Vec<_>>().join(between)
}

fn as_json(one: &Measured) -> serde_json::Value {
    let seeds = |figures: &Figures| json!({ "found": figures.found, "seeds": figures.seeds });
    json!({
        "bug": one.bug, "beside": one.beside,
        "with": seeds(&one.with), "without": seeds(&one.without),
    })
}

/// In how many runs each class was planned, and in how many it had an effect.
fn fired(
    scenarios: &[Box<dyn Runnable>],
    time: Duration,
    seeds: Option<u64>,
) -> BTreeMap<Class, (u64, u64)> {
    let mut fired: BTreeMap<Class, (u64, u64)> = BTreeMap::new();
    // Once within its own model, and once where everything is permitted.
    let harshest = SystemModel {
        links: Links::Arbitrary,
        nodes: Nodes::Byzantine,
        timing: Timing::Asynchronous,
    };
    let each = time / (2 * scenarios.len().max(1)) as u32;
    for (scenario, model) in scenarios.iter().flat_map(|one| [(one, None), (one, Some(harshest))]) {
        let whole = Sweep::new(all_cores());
        let seeds = seeds.map_or(whole.seeds.clone(), |count| 0..count);
        let plan = Sweep { seeds, time: Some(each), keep_going: true, model, ..whole };
        for (class, (planned, hit)) in sweep(scenario.as_ref(), &plan, &|_| ()).fired {
            let counts = fired.entry(class).or_default();
            *counts = (counts.0 + planned, counts.1 + hit);
        }
    }
    fired
}
