//! What people see: styles, tables, numbers. Colour goes to terminals only; `anstream` strips it
//! elsewhere.

use anstyle::{AnsiColor, Style};
use comfy_table::presets::NOTHING;
use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table,
    TableComponent, Width,
};
use seedfall::faults::Class;
use seedfall::report::Failure;
use seedfall::run::Runnable;
use seedfall::scenario::Expectation;
use seedfall::shrink::Shrunk;
use seedfall::sweep::{COVERAGE_FROM, Meaning, Summary};
use seedfall::words::{self, counted};
use serde_json::json;
use std::path::Path;

pub(super) use seedfall::words::count;

pub(super) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const DULL: Style = AnsiColor::Yellow.on_default().bold();

/// Columns of what is printed to a file or a pipe, unless `COLUMNS` says otherwise.
const WIDTH: usize = 100;
/// Columns below which nothing is laid out.
const WIDTH_MIN: usize = 40;

/// Columns of a cell that is not parted.
const SHORT: usize = 20;

/// How many columns there are, if somebody says so: `COLUMNS`, or else the terminal.
fn columns() -> Option<usize> {
    #[expect(
        clippy::disallowed_methods,
        reason = "how wide to print is asked of the environment; a run never sees it"
    )]
    let asked = std::env::var("COLUMNS").ok().and_then(|text| text.trim().parse().ok());
    let terminal = || Table::new().width().map(usize::from);
    asked.or_else(terminal).map(|columns| columns.max(WIDTH_MIN))
}

/// How many columns there are for what is laid out.
pub(super) fn width() -> usize {
    columns().unwrap_or(WIDTH)
}

/// Prints lines of text on standard output. Where it is known how wide they may be, they are parted
/// between words, and what goes over stands below where it began; else they are left whole, for
/// whoever searches them. A line to be pasted is never parted.
pub(super) fn line(text: &str) {
    let Some(width) = columns() else { return raw(text) };
    for line in text.lines().chain(text.is_empty().then_some("")) {
        if words::is_command(line) {
            raw(line);
            continue;
        }
        let hang = hang(line).min(width / 2);
        let (head, rest) = line.split_at_checked(hang).unwrap_or(("", line));
        for (index, part) in wrapped(rest, width - hang).iter().enumerate() {
            if index == 0 {
                raw(&format!("{head}{part}"));
            } else {
                raw(&format!("{:hang$}{part}", ""));
            }
        }
    }
}

/// How far a line's continuation is moved in: to where its text begins after a name or an instant.
fn hang(line: &str) -> usize {
    let start = line.len() - line.trim_start_matches([' ', '>']).len();
    let name = line[start..].find("  ").filter(|name| start + name < 28);
    match name {
        Some(name) if line.is_ascii() => {
            let rest = &line[start + name..];
            start + name + rest.len() - rest.trim_start().len()
        }
        _ if line.is_ascii() => start,
        _ => 0,
    }
}

/// Prints text as it is. A closed pipe (`| head`) ends the program quietly.
pub(super) fn raw(text: &str) {
    use std::io::Write as _;
    if writeln!(anstream::stdout().lock(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// Prints a value for machines, on one line.
pub(super) fn json(value: &serde_json::Value) {
    raw(&value.to_string());
}

/// A text in lines of at most so many columns, parted between words; only a word that is longer
/// makes a longer line. The colours of words have no width.
pub(super) fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        let wide = visible(word.trim_end());
        if used > 0 && room < used + wide {
            lines.push(String::new());
            used = 0;
        }
        lines.last_mut().expect("there is one").push_str(word);
        used += visible(word);
    }
    lines.iter_mut().for_each(|line| line.truncate(line.trim_end().len()));
    lines
}

/// The columns of a text: its characters without the sequences that colour them.
fn visible(text: &str) -> usize {
    let mut letters = text.chars();
    let mut count = 0;
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            letters.find(|letter| *letter == 'm');
        } else {
            count += 1;
        }
    }
    count
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
    // One line below the header and none between rows, so that a table fits on a screen.
    table
        .load_preset(NOTHING)
        .set_style(TableComponent::HeaderLines, '─')
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header.to_vec());
    for column in numbers {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A word in a style, for a table.
pub(super) fn cell(style: Style, word: &str) -> Cell {
    let color = match style {
        GOOD => Color::Green,
        BAD => Color::Red,
        _ => Color::Yellow,
    };
    Cell::new(word).fg(color).add_attribute(Attribute::Bold)
}

/// A table that fits and breaks no word: the columns named in `spare` are left out, in this order,
/// as far as there is no room for them.
pub(super) fn fitted(table: Table, spare: &[usize]) -> String {
    laid_out(table, spare, width())
}

fn laid_out(mut table: Table, spare: &[usize], room: usize) -> String {
    let mut least: Vec<usize> = vec![0; table.column_count()];
    let header = table.header().into_iter();
    for row in header.chain(table.row_iter()) {
        for (least, cell) in least.iter_mut().zip(row.cell_iter()) {
            let words = cell.content();
            let longest = words.split_whitespace().map(|word| word.chars().count()).max();
            let longest = longest.unwrap_or_default();
            // What is short stands on one line.
            let short = words.lines().map(|line| line.chars().count()).max().unwrap_or_default();
            *least = (*least).max(if short <= SHORT { short } else { longest });
        }
    }
    // A cell has a blank on either side.
    let mut left_out = Vec::new();
    let needed = |left_out: &[usize]| -> usize {
        let kept = least.iter().enumerate().filter(|(column, _)| !left_out.contains(column));
        kept.map(|(_, least)| least + 2).sum()
    };
    let mut spare = spare.iter();
    while room < needed(&left_out) {
        let Some(column) = spare.next() else { break };
        left_out.push(*column);
    }
    for (index, least) in least.iter().enumerate() {
        let constraint = match left_out.contains(&index) {
            true => ColumnConstraint::Hidden,
            false => ColumnConstraint::LowerBoundary(Width::Fixed(*least as u16 + 2)),
        };
        if let Some(column) = table.column_mut(index) {
            column.set_constraint(constraint);
        }
    }
    table.set_width(room as u16);
    table.trim_fmt()
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
pub(super) fn verdict(
    scenario: &dyn Runnable,
    summary: &Summary,
    meaning: &Meaning,
) -> (Style, String) {
    let seed = summary.first_failure().map_or(0, |failure| failure.seed.0);
    match (meaning, scenario.expect()) {
        (Meaning::AsExpected, Expectation::Holds) if summary.unknown > 0 => {
            (DULL, format!("holds, {} undecided", counted(summary.unknown, "run")))
        }
        (Meaning::AsExpected, Expectation::Holds) => (GOOD, "holds".to_owned()),
        (Meaning::AsExpected, Expectation::Violates { .. } | Expectation::Blocks { .. }) => {
            (GOOD, format!("as expected (seed {seed})"))
        }
        (Meaning::Broken(kind), _) => (BAD, format!("BROKEN: {} (seed {seed})", kind.name())),
        (Meaning::Vacuous(why), _) => (DULL, format!("vacuous: {why}")),
    }
}

/// One row of the table of a sweep.
pub(super) fn row(scenario: &dyn Runnable, summary: &Summary, meaning: &Meaning) -> Vec<Cell> {
    let fired = summary.fired.values().filter(|(_, fired)| *fired > 0).count();
    let could = summary.fired.keys().filter(|class| !summary.is_not_applicable(**class)).count();
    let sometimes = summary.owed(scenario);
    let reached = sometimes.iter().filter(|mark| summary.marks.contains_key(*mark)).count();
    let (style, verdict) = match verdict(scenario, summary, meaning) {
        (style, words) if words.starts_with("vacuous") => (style, "vacuous".to_owned()),
        other => other,
    };
    vec![
        Cell::new(scenario.name()),
        Cell::new(count(summary.seeds)),
        Cell::new(count(summary.events)),
        Cell::new(rate(summary.events, summary.took.as_secs_f64())),
        Cell::new(format!("{fired}/{could}")),
        Cell::new(format!("{reached}/{}", sometimes.len())),
        Cell::new(bound(scenario, summary, meaning)),
        cell(style, &verdict),
    ]
}

/// The table of a sweep; where there is little room, without what one can do without.
pub(super) fn sweep_table(rows: impl IntoIterator<Item = Vec<Cell>>) -> String {
    let header =
        ["scenario", "seeds", "events", "events/s", "faults", "sometimes", "fail below", "verdict"];
    let mut table = table(&header, &[1, 2, 3, 4, 5, 6]);
    table.add_rows(rows);
    fitted(table, &[3, 2, 5, 6])
}

/// Which share of seeds fail at most, if none did: the rule of three.
pub(super) fn bound(scenario: &dyn Runnable, summary: &Summary, meaning: &Meaning) -> String {
    let clean = *meaning == Meaning::AsExpected && scenario.expect() == Expectation::Holds;
    if !clean || summary.passed < 30 {
        return String::new();
    }
    let percent = 300.0 / summary.passed as f64;
    let decimals = (1.0 - percent.log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{percent:.decimals$} %")
}

/// What a sweep of one scenario saw: how often each fault was planned and had an effect, what was
/// reached, and what was not decided.
pub(super) fn details(scenario: &dyn Runnable, summary: &Summary) -> String {
    let share = |count: u64| count as f64 * 100.0 / summary.seeds.max(1) as f64;
    let mut lines = vec![format!(
        "{}: {} completed, {} with an unknown outcome, {} delivered",
        scenario.name(),
        counted(summary.completed, "operation"),
        count(summary.indeterminate),
        counted(summary.delivered, "message"),
    )];
    if !summary.fired.is_empty() {
        let (idle, all): (Vec<_>, Vec<_>) =
            summary.fired.iter().partition(|(class, _)| summary.is_not_applicable(**class));
        let one = |(class, (planned, fired)): (&Class, &(u64, u64))| {
            format!("{} {:.0}/{:.0}", class.name(), share(*planned), share(*fired))
        };
        let classes: Vec<String> = all.into_iter().map(one).collect();
        lines.push(format!("  faults     {}", classes.join(", ")));
        lines.push("             (in % of runs: planned / had an effect)".to_owned());
        if !idle.is_empty() {
            let idle: Vec<&str> = idle.iter().map(|(class, _)| class.name()).collect();
            let why = "there is no timer, no disk or no other node for them to act on";
            lines.push(format!("  left out   {}: not applicable: {why}", idle.join(", ")));
        }
    }
    for mark in summary.owed(scenario) {
        let runs = summary.marks.get(mark).copied().unwrap_or_default();
        let warning = if runs == 0 && summary.seeds < COVERAGE_FROM {
            format!(" (judged from {COVERAGE_FROM} seeds on)")
        } else {
            String::new()
        };
        lines.push(format!("  sometimes  {:.1} %: {mark}{warning}", share(runs)));
    }
    lines.extend(remarks(summary));
    lines.join("\n")
}

/// What a sweep saw that nobody should miss.
pub(super) fn remarks(summary: &Summary) -> Vec<String> {
    let mut lines = Vec::new();
    for (property, (runs, failure)) in &summary.expected {
        let (runs, seed) = (counted(*runs, "run"), failure.seed.0);
        lines.push(format!("  expected   {property}: broken in {runs} (seed {seed})"));
    }
    for (property, (runs, seed, why)) in &summary.unknown_because {
        let runs = counted(*runs, "run");
        lines.push(format!("  undecided  {property}: in {runs} (seed {seed}): {why}"));
    }
    for (why, runs) in &summary.vacuous_because {
        lines.push(format!("  vacuous    {}, not counted: {why}", counted(*runs, "run")));
    }
    lines
}

/// A failure, all of it.
pub(super) fn failure(failure: &Failure) {
    told(&failure.to_string());
}

/// A failure in words, its first line in red.
fn told(words: &str) {
    let (first, rest) = words.split_once('\n').unwrap_or((words, ""));
    line(&styled(BAD, first));
    line(rest);
}

/// A shrunk failure and its story.
pub(super) fn story(shrunk: &Shrunk, kept: Option<&Path>) {
    let Some(failure) = shrunk.failure() else { return };
    // The seed alone replays the run as it was before it was made small.
    let replay = match kept {
        Some(path) => words::command(&format!("replay {}", path.display())),
        None => format!("{} (the run before it was shrunk)", failure.replay),
    };
    shrunk.told(&replay).iter().for_each(|words| told(words));
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
        "ways": summary.ways.values().map(|(runs, best)| {
            json!({
                "fingerprint": best.fingerprint, "property": best.property, "runs": runs,
                "seed": best.seed.0,
            })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_parted_between_words_and_keeps_all_of_them() {
        let text = "one two  three supercalifragilistic four";
        for room in 1..50 {
            let lines = wrapped(text, room);
            let fits = |line: &String| line.chars().count() <= room || !line.contains(' ');
            assert!(lines.iter().all(fits), "{lines:?}");
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(words(&lines.join(" ")), words(text));
        }
        assert_eq!(wrapped(text, 10)[..2], ["one two", "three"]);
        let coloured = format!("{} two", styled(BAD, "one"));
        assert_eq!(wrapped(&coloured, 7), [coloured.as_str()]);
    }

    #[test]
    fn what_goes_over_stands_below_where_it_began() {
        assert_eq!(hang("  property   always linearizable"), 13);
        assert_eq!(hang(" 0.217202s  n2 sends n1"), 12);
        assert_eq!(hang("a sentence of many words"), 0);
        assert_eq!(hang("  in order"), 2);
    }

    #[test]
    fn a_table_fits_breaks_no_word_and_leaves_out_what_it_must() {
        let header = ["name", "a-column-to-spare", "what-is-said"];
        let mut wide = table(&header, &[]);
        wide.add_row(["a-name-of-some-length", "spare", "several words of a sentence, in a row"]);
        for columns in 44..90 {
            let text = laid_out(wide.clone(), &[1], columns);
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{columns}\n{text}");
            assert_eq!(text.contains("a-column-to-spare"), 56 <= columns, "{columns}\n{text}");
            for word in ["a-name-of-some-length", "several", "sentence,", "what-is-said"] {
                assert!(text.contains(word), "{columns}: {word}\n{text}");
            }
        }
    }
}
