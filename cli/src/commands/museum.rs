//! `seedfall museum`: the planted bugs, and the scoreboard.

use super::{Problem, show};
use crate::museum::{Exhibit, exhibits, page, small_run};
use clap::Args;
use seedfall::point::Cause;
use seedfall::words::left;
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct MuseumArgs {
    /// Tell the small run of the bug with this name or id.
    name: Option<String>,
    /// The folder of the patches.
    #[arg(long, default_value = "tests/planted", value_name = "FOLDER")]
    planted: PathBuf,
    /// The folder of their cases, as `planted --save-cases` writes it.
    #[arg(long, default_value = "tests/museum", value_name = "FOLDER")]
    cases: PathBuf,
    /// What `planted --json` wrote.
    #[arg(long, default_value = "docs/planted.jsonl", value_name = "FILE")]
    measured: PathBuf,
    /// Print the scoreboard as a page of Markdown.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

/// `museum`.
pub(super) fn museum(args: &MuseumArgs, json: bool) -> Result<u8, Problem> {
    let exhibits = exhibits(&args.planted, &args.cases, &args.measured)?;
    if let Some(name) = &args.name {
        let named = |exhibit: &&Exhibit| {
            exhibit.planted.name == *name || exhibit.planted.says("Id") == name
        };
        let Some(exhibit) = exhibits.iter().find(named) else {
            return Err(Problem(format!("no planted bug `{name}`; `museum` lists them")));
        };
        if json {
            show::json(&exhibit_json(exhibit));
        } else {
            tell(exhibit, args);
        }
        return Ok(0);
    }
    if args.markdown {
        show::line(page(&exhibits).trim_end());
        return Ok(0);
    }
    if json {
        exhibits.iter().for_each(|exhibit| show::json(&exhibit_json(exhibit)));
        return Ok(0);
    }
    let header = ["id", "bug", "scenario", "breaks", "source", "seeds", "kept run"];
    let mut table = show::table(&header, &[5]);
    for exhibit in &exhibits {
        let patch = &exhibit.planted;
        let seeds = match &exhibit.measured {
            None => "-".to_owned(),
            Some(one) if one.found => show::count(one.seeds),
            Some(_) => "MISSED".to_owned(),
        };
        let id = match patch.says("Id") {
            "" => patch.name.clone(),
            id => id.to_owned(),
        };
        let says = |word: &str| patch.says(word).to_owned();
        let small = small_run(exhibit).unwrap_or_else(|| "-".to_owned());
        let bug = says("Bug");
        table.add_row([id, bug, says("Scenario"), says("Breaks"), says("Source"), seeds, small]);
    }
    show::raw(&show::fitted(table, &[6, 4, 3, 5, 2]));
    Ok(0)
}

/// One bug, and its small run step by step.
fn tell(exhibit: &Exhibit, args: &MuseumArgs) {
    let patch = &exhibit.planted;
    show::line(&show::styled(show::BAD, &patch.name));
    let row = |name: &str, text: &str| {
        if !text.is_empty() {
            show::line(&format!("  {name:<10} {text}"));
        }
    };
    row("bug", patch.says("Bug"));
    row("source", patch.says("Source"));
    row("breaks", patch.says("Breaks"));
    row("scenario", patch.says("Scenario"));
    let Some(small) = exhibit.small() else {
        row("small run", "not measured: `planted --save-cases` does that");
        return;
    };
    let [was, events] = small.events;
    let [were, faults] = small.faults;
    let (events, faults) = (left(events, was, "event"), left(faults, were, "fault"));
    row("small run", &format!("{events}, {faults}"));
    let case = args.cases.join(format!("{}.json", patch.name));
    row("case", &case.display().to_string());
    if let Some(jump) = &small.jump {
        row("point", &format!("event {}: {}", jump.event, jump.text));
    }
    if let Some(Cause { event, shows, text }) = &small.cause {
        row("cause", &format!("event {event}, which shows at {shows}: {text}"));
    }
    if let Some(harm) = &small.too_late {
        row("harm", &format!("event {}: {}", harm.event, harm.text));
    }
    show::line("");
    small.story.iter().for_each(|line| show::line(line));
}

fn exhibit_json(exhibit: &Exhibit) -> serde_json::Value {
    let patch = &exhibit.planted;
    let measured = exhibit.measured.as_ref();
    json!({
        "name": patch.name,
        "id": patch.says("Id"),
        "bug": patch.says("Bug"),
        "scenario": patch.says("Scenario"),
        "breaks": patch.says("Breaks"),
        "source": patch.says("Source"),
        "found": measured.map(|one| one.found),
        "property": measured.map(|one| &one.property),
        "seeds": measured.map(|one| one.seeds),
        "seconds": measured.map(|one| one.seconds),
        "small": exhibit.small(),
        "events": exhibit.case.as_ref().map(|case| case.expect.events),
        "faults": exhibit.case.as_ref().map(|case| case.plan.entries.len()),
    })
}
