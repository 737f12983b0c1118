//! What people see: styles, tables, numbers. Colour goes to terminals only; `anstream` strips it
//! elsewhere.

use anstyle::{AnsiColor, Style};
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use seedfall::report::Failure;
use seedfall::run::Runnable;
use seedfall::scenario::Expectation;
use seedfall::shrink::{self, Shrunk};
use seedfall::sweep::{COVERAGE_FROM, Meaning, Summary};
use seedfall::words::counted;
use serde_json::json;
use std::path::Path;

pub(super) use seedfall::words::count;

pub(super) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const DULL: Style = AnsiColor::Yellow.on_default().bold();

/// Prints a line on standard output. A closed pipe (`| head`) ends the program quietly.
pub(super) fn line(text: &str) {
    use std::io::Write as _;
    if writeln!(anstream::stdout().lock(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// Prints an error on standard error.
pub(super) fn error(message: &str) {
    use std::io::Write as _;
    // Nobody is left to be told if that fails.
    let _ = writeln!(anstream::stderr().lock(), "{BAD}error{BAD:#}: {message}");
}

/// A word in a style.
pub(super) fn styled(style: Style, word: &str) -> String {
    format!("{style}{word}{style:#}")
}

/// A table in the style of all of them: numbers on the right.
pub(super) fn table(header: &[&str], numbers: &[usize]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header.to_vec());
    for column in numbers {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Events a second, to two figures and a letter.
pub(super) fn rate(events: u64, seconds: f64) -> String {
    let rate = events as f64 / seconds.max(1e-9);
    match rate {
        1e6.. => format!("{:.1} M", rate / 1e6),
        1e3.. => format!("{:.0} k", rate / 1e3),
        _ => format!("{rate:.0}"),
    }
}

/// The verdict of a sweep in a word or two.
pub(super) fn verdict(scenario: &dyn Runnable, summary: &Summary, meaning: &Meaning) -> String {
    let seed = summary.first_failure().map_or(0, |failure| failure.seed.0);
    match (meaning, scenario.expect()) {
        (Meaning::AsExpected, Expectation::Holds) if summary.unknown > 0 => {
            styled(DULL, &format!("holds, {} undecided", counted(summary.unknown, "run")))
        }
        (Meaning::AsExpected, Expectation::Holds) => styled(GOOD, "holds"),
        (Meaning::AsExpected, Expectation::Violates { .. }) => {
            styled(GOOD, &format!("violated as expected (seed {seed})"))
        }
        (Meaning::AsExpected, Expectation::Blocks { .. }) => {
            styled(GOOD, &format!("blocks as expected (seed {seed})"))
        }
        (Meaning::Broken(kind), _) => {
            styled(BAD, &format!("BROKEN: {} (seed {seed})", kind.name()))
        }
        (Meaning::Vacuous(why), _) => styled(DULL, &format!("vacuous: {why}")),
    }
}

/// One row of the table of a sweep.
pub(super) fn row(scenario: &dyn Runnable, summary: &Summary, meaning: &Meaning) -> Vec<String> {
    let fired = summary.fired.values().filter(|(_, fired)| *fired > 0).count();
    let sometimes = scenario.sometimes();
    let reached = sometimes.iter().filter(|mark| summary.marks.contains_key(*mark)).count();
    vec![
        scenario.name().to_owned(),
        scenario.model().to_string(),
        count(summary.seeds),
        count(summary.events),
        rate(summary.events, summary.took.as_secs_f64()),
        format!("{fired} of {} classes", summary.fired.len()),
        format!("{reached} of {}", sometimes.len()),
        verdict(scenario, summary, meaning),
    ]
}

/// The header of the table of a sweep.
pub(super) fn sweep_table() -> Table {
    let header = [
        "scenario",
        "model",
        "seeds",
        "events",
        "events/s",
        "faults fired",
        "sometimes",
        "verdict",
    ];
    table(&header, &[2, 3, 4])
}

/// What stands below the table: how often each fault fired, what was reached, what is vacuous.
pub(super) fn details(scenario: &dyn Runnable, summary: &Summary) -> String {
    let share = |count: u64| count as f64 * 100.0 / summary.seeds.max(1) as f64;
    let mut lines = vec![format!(
        "{}: {} operations completed, {} with an unknown outcome, {} messages delivered",
        scenario.name(),
        count(summary.completed),
        count(summary.indeterminate),
        count(summary.delivered),
    )];
    for (class, (planned, fired)) in &summary.fired {
        lines.push(format!(
            "  fault      {:<78} planned in {:>5.1} % of runs, took effect in {:>5.1} %",
            class.name(),
            share(*planned),
            share(*fired)
        ));
    }
    for mark in scenario.sometimes() {
        let runs = summary.marks.get(mark).copied().unwrap_or_default();
        let warning = if runs == 0 && summary.seeds < COVERAGE_FROM {
            format!("  (judged from {COVERAGE_FROM} seeds on)")
        } else {
            String::new()
        };
        lines.push(format!("  sometimes  {mark:<78} in {:>5.1} % of runs{warning}", share(runs)));
    }
    for (property, (runs, failure)) in &summary.expected {
        let seed = failure.seed.0;
        let runs = counted(*runs, "run");
        lines.push(format!("  expected   {property:<78} broken in {runs} (seed {seed})"));
    }
    for (property, (runs, seed, why)) in &summary.unknown_because {
        let runs = counted(*runs, "run");
        lines.push(format!("  undecided  {property:<78} in {runs} (seed {seed}): {why}"));
    }
    for (why, runs) in &summary.vacuous_because {
        lines.push(format!("  vacuous    {why:<78} {}, not counted", counted(*runs, "run")));
    }
    lines.join("\n")
}

/// A failure, all of it.
pub(super) fn failure(failure: &Failure) {
    let told = failure.to_string();
    let (first, rest) = told.split_once('\n').unwrap_or((&told, ""));
    line(&styled(BAD, first));
    line(rest);
}

/// A shrunk failure and its story.
pub(super) fn story(shrunk: &Shrunk, kept: Option<&Path>) {
    let Some(failure) = shrunk.failure() else { return };
    // The seed alone replays the run as it was before it was made small.
    let replay = match kept {
        Some(path) => format!("cargo run --release -- replay {}", path.display()),
        None => format!("{} (the run before it was shrunk)", failure.replay),
    };
    self::failure(&Failure { replay, ..failure.clone() });
    line(&format!("  shrunk to  {}", shrunk.summary()));
    line("  story");
    for told in shrink::story(shrunk) {
        line(&told);
    }
}

/// A sweep for machines.
pub(super) fn sweep_json(
    scenario: &dyn Runnable,
    summary: &Summary,
    meaning: &Meaning,
) -> serde_json::Value {
    let fired: serde_json::Map<_, _> = summary
        .fired
        .iter()
        .map(|(class, (planned, fired))| {
            (class.name().to_owned(), json!({ "planned": planned, "fired": fired }))
        })
        .collect();
    let (verdict, why) = match meaning {
        Meaning::AsExpected => ("as-expected", None),
        Meaning::Broken(kind) => (kind.name(), None),
        Meaning::Vacuous(why) => ("vacuous", Some(why)),
    };
    json!({
        "scenario": scenario.name(),
        "verdict": verdict,
        "why": why,
        "seeds": summary.seeds,
        "passed": summary.passed,
        "vacuous": summary.vacuous,
        "failed": summary.failed,
        "undecided": summary.unknown,
        "as_expected": summary.as_expected,
        "run_twice": summary.twice,
        "events": summary.events,
        "delivered": summary.delivered,
        "completed": summary.completed,
        "indeterminate": summary.indeterminate,
        "seconds": summary.took.as_secs_f64(),
        "hash": format!("{:#018x}", summary.hash),
        "faults": fired,
        "marks": summary.marks,
        "expected": summary.expected.iter().map(|(property, (runs, failure))| {
            json!({ "property": property, "runs": runs, "first": failure_json(failure) })
        }).collect::<Vec<_>>(),
        "failures": summary.failures.iter().map(failure_json).collect::<Vec<_>>(),
    })
}

/// A failure for machines.
pub(super) fn failure_json(failure: &Failure) -> serde_json::Value {
    json!({
        "kind": failure.kind.name(),
        "scenario": failure.scenario,
        "seed": failure.seed.0,
        "property": failure.property,
        "explanation": failure.explanation,
        "expected": failure.expected,
        "operations": failure.operations,
        "fingerprint": failure.fingerprint,
        "event": failure.event,
        "at_ns": failure.at.as_nanos(),
        "hash": format!("{:#018x}", failure.hash),
        "faults": failure.faults,
        "replay": failure.replay,
    })
}
