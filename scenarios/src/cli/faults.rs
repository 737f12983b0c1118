//! `seedfall faults`: every class of faults, what permits it, whether it fired, and which planted
//! bug needs it.

use super::{Problem, parse_time, show};
use crate::fault::Class;
use crate::patches::Planted;
use crate::run::Runnable;
use crate::sweep::{Sweep, all_cores, sweep};
use clap::Args;
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
    /// The folder of the planted bugs; a patch names the classes without which it is not found in
    /// a line `Fault:`.
    #[arg(long, default_value = "tests/planted", value_name = "FOLDER")]
    planted: PathBuf,
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
    let patches =
        if args.planted.is_dir() { Planted::read_all(&args.planted)? } else { Vec::new() };
    let bugs = |class: Class| -> Vec<&str> {
        let names = |patch: &&Planted| {
            patch.says("Fault").split(',').any(|name| name.trim() == class.name())
        };
        let needs = patches.iter().filter(names);
        needs.map(|patch| patch.name.as_str()).collect()
    };
    if args.markdown {
        show::line(
            "| fault | what happens | permitted by | drawn | source | planted bug that needs it |",
        );
        show::line("|---|---|---|---|---|---|");
        for class in Class::ALL {
            let about = class.about();
            let (name, needs, bugs) = (class.name(), class.needs(), bugs(class).join(", "));
            show::line(&format!(
                "| {name} | {} | {needs} | {} | {} | {bugs} |",
                about.what, about.knob, about.source
            ));
        }
        return Ok(0);
    }
    let fired = fired(scenarios, args.time);
    let mut table = show::table(
        &["fault", "what happens", "permitted by", "drawn", "source", "fired", "needed by"],
        &[5],
    );
    for class in Class::ALL {
        let about = class.about();
        let (planned, hit) = fired.get(&class).copied().unwrap_or_default();
        if json {
            let value = json!({
                "fault": class.name(), "what": about.what, "permitted_by": class.needs(),
                "drawn": about.knob, "source": about.source, "runs_planned": planned,
                "runs_fired": hit, "planted": bugs(class),
            });
            show::line(&value.to_string());
            continue;
        }
        let ratio = format!("{} of {}", show::count(hit), show::count(planned));
        table.add_row(vec![
            class.name().to_owned(),
            about.what.to_owned(),
            class.needs(),
            about.knob.to_owned(),
            about.source.to_owned(),
            if hit > 0 { ratio } else { show::styled(show::BAD, &ratio) },
            bugs(class).join("\n"),
        ]);
    }
    if !json {
        show::line(&table.to_string());
        show::line(
            "fired: runs in which the fault had an effect, of those in which it was planned.",
        );
    }
    let silent = Class::ALL.iter().any(|class| fired.get(class).is_none_or(|(_, hit)| *hit == 0));
    Ok(if silent { 4 } else { 0 })
}

/// In how many runs each class was planned, and in how many it had an effect.
fn fired(scenarios: &[Box<dyn Runnable>], time: Duration) -> BTreeMap<Class, (u64, u64)> {
    std::panic::set_hook(Box::new(|_| {}));
    let mut fired: BTreeMap<Class, (u64, u64)> = BTreeMap::new();
    // Once within its own model, and once where everything is permitted.
    let harshest = SystemModel {
        links: Links::Arbitrary,
        nodes: Nodes::Byzantine,
        timing: Timing::Asynchronous,
    };
    let each = time / (2 * scenarios.len().max(1)) as u32;
    for (scenario, model) in scenarios.iter().flat_map(|one| [(one, None), (one, Some(harshest))]) {
        let plan = Sweep { time: Some(each), keep_going: true, model, ..Sweep::new(all_cores()) };
        for (class, (planned, hit)) in sweep(scenario.as_ref(), &plan, &|_, _| ()).fired {
            let counts = fired.entry(class).or_default();
            *counts = (counts.0 + planned, counts.1 + hit);
        }
    }
    let _ = std::panic::take_hook();
    fired
}
