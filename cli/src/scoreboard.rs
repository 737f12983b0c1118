//! The scoreboard of the strategies: what `seedfall scoreboard` measured, as a page.
//!
//! Nothing on the page is typed: every figure comes from the file of lines.

use crate::patches::Planted;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fmt::Write as _;
use std::path::Path;

/// One hunt for one planted bug.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The bug.
    pub bug: String,
    /// The scenario.
    pub scenario: String,
    /// The strategy.
    pub strategy: String,
    /// The base seed.
    pub base: u64,
    /// How many events it was given.
    pub cap: u64,
    /// Whether it found the bug.
    pub found: bool,
    /// How many runs it took.
    pub runs: u64,
    /// How many events.
    pub events: u64,
    /// How many seconds of a processor.
    pub cpu: f64,
}

impl Row {
    /// What a hunt said of itself.
    pub fn of(
        bug: &str,
        scenario: &str,
        strategy: &str,
        base: u64,
        cap: u64,
        told: &Value,
    ) -> Self {
        Self {
            bug: bug.to_owned(),
            scenario: scenario.to_owned(),
            strategy: strategy.to_owned(),
            base,
            cap,
            found: !told["found"].is_null(),
            runs: told["seeds"].as_u64().unwrap_or_default(),
            events: told["events"].as_u64().unwrap_or_default(),
            cpu: told["cpu"].as_f64().unwrap_or_default(),
        }
    }

    /// Whether it is of the same bug, scenario, strategy and base seed.
    pub fn is_of(&self, other: &Self) -> bool {
        let key =
            |row: &Self| (row.bug.clone(), row.scenario.clone(), row.strategy.clone(), row.base);
        key(self) == key(other)
    }

    /// As a line of the file.
    pub fn to_json(&self) -> Value {
        let Self { bug, scenario, strategy, base, cap, found, runs, events, cpu } = self;
        json!({
            "bug": bug, "scenario": scenario, "strategy": strategy, "base": base, "cap": cap,
            "found": found, "runs": runs, "events": events, "cpu": (cpu * 1e3).round() / 1e3,
        })
    }

    fn from_json(value: &Value) -> Option<Self> {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let number = |name: &str| value[name].as_u64();
        Some(Self {
            bug: text("bug")?,
            scenario: text("scenario")?,
            strategy: text("strategy")?,
            base: number("base")?,
            cap: number("cap")?,
            found: value["found"].as_bool()?,
            runs: number("runs")?,
            events: number("events")?,
            cpu: value["cpu"].as_f64()?,
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bug, scenario, strategy, base, found, runs, cpu, .. } = self;
        let found = if *found { "found in" } else { "missed in" };
        write!(f, "{bug} ({scenario}) {strategy}, base {base}: {found} {runs} runs, {cpu:.1} s")
    }
}

/// What was measured; nothing if there is no such file.
///
/// # Errors
/// The line that is none.
pub fn read(path: &Path) -> Result<Vec<Row>, String> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|error| format!("{}: {error}", path.display()))?,
    };
    let row = |(number, line): (usize, &str)| {
        let value = serde_json::from_str(line).ok();
        value.as_ref().and_then(Row::from_json).ok_or_else(|| {
            let expected = "expected a line that `scoreboard` wrote";
            format!("{}:{}: {expected}", path.display(), number + 1)
        })
    };
    text.lines().enumerate().filter(|(_, line)| !line.is_empty()).map(row).collect()
}

/// The strategy that all others are compared with: what a sweep does.
const PLAIN: &str = "swarm";

/// What is no strategy: every order of a small cluster, as `exhaust` takes them. Its `runs` are
/// states, and its `events` are the steps of the counterexample.
pub const EXHAUSTIVE: &str = "exhaustive";

/// The columns, in order.
const COLUMNS: [&str; 8] =
    ["swarm", "small", "uniform", "pct", "pos", "guided", "branching", "portfolio"];

/// What several hunts came to; one that missed counts as what it was given.
struct Cell {
    found: usize,
    of: usize,
    runs: (u64, u64),
    cpu: f64,
    missed: bool,
}

impl Cell {
    fn of(rows: &[&Row]) -> Option<Self> {
        let mut by_runs: Vec<(bool, u64, f64)> =
            rows.iter().map(|row| (!row.found, row.runs, row.cpu)).collect();
        by_runs.sort_by_key(|one| (one.0, one.1));
        let at = |share: usize| by_runs.get((by_runs.len() * share).div_ceil(100).max(1) - 1);
        let (missed, runs, cpu) = *at(50)?;
        let (_, most, _) = *at(90)?;
        let found = rows.iter().filter(|row| row.found).count();
        Some(Self { found, of: rows.len(), runs: (runs, most), cpu, missed })
    }

    fn words(&self) -> String {
        let Self { found, of, runs: (runs, most), cpu, missed } = self;
        let more = if *missed { ">" } else { "" };
        let all = if found == of { String::new() } else { format!(", {found}/{of}") };
        format!("{more}{runs} ({most}), {more}{cpu:.1} s{all}")
    }
}

/// What the heads of patches say of other searches, by the name of the bug: `Elsewhere: ...`.
pub fn elsewhere(patches: &[Planted]) -> BTreeMap<String, String> {
    let said = patches.iter().map(|patch| (patch.name.clone(), patch.says("Elsewhere").to_owned()));
    said.filter(|(_, said)| !said.is_empty()).collect()
}

/// The page. `elsewhere` is what was published of other searches, by the name of the bug.
pub fn page(rows: &[Row], elsewhere: &BTreeMap<String, String>) -> String {
    let (exhaustive, rows): (Vec<Row>, Vec<Row>) =
        rows.iter().cloned().partition(|row| row.strategy == EXHAUSTIVE);
    strategies(&rows) + &beside(&rows, &exhaustive, elsewhere)
}

/// Each bug that another search is known to have found, with what it took there and here.
fn beside(rows: &[Row], exhaustive: &[Row], elsewhere: &BTreeMap<String, String>) -> String {
    let of = |bug: &str, scenario: &str| -> Vec<&Row> {
        let is_it = |row: &&Row| {
            (row.bug.as_str(), row.scenario.as_str(), row.strategy.as_str())
                == (bug, scenario, PLAIN)
        };
        rows.iter().filter(is_it).collect()
    };
    let mut text = String::new();
    for (bug, published) in elsewhere {
        let scenarios: BTreeSet<&str> =
            rows.iter().filter(|row| row.bug == *bug).map(|row| row.scenario.as_str()).collect();
        let cells = scenarios.into_iter().filter_map(|scenario| {
            let cell = Cell::of(&of(bug, scenario))?;
            Some(format!("`{scenario}` {}", cell.words()))
        });
        let sampled = cells.collect::<Vec<_>>().join("; ");
        let orders = exhaustive.iter().filter(|row| row.bug == *bug).map(|row| {
            let Row { scenario, found, runs, events, cpu, .. } = row;
            match found {
                true => format!("`{scenario}` {cpu:.2} s, {events}, {runs}"),
                false => format!("`{scenario}` not in {runs} states, {cpu:.1} s"),
            }
        });
        let orders = orders.collect::<Vec<_>>().join("; ");
        let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        let (sampled, orders) = (or_none(sampled), or_none(orders));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {bug} | {published} | {orders} | {sampled} |");
    }
    if text.is_empty() { text } else { format!("{BESIDE}{text}") }
}

const BESIDE: &str = "
## Beside a model checker

SandTable (Tang et al., EuroSys 2024, table 2) found these bugs in servers that people run, in
specifications of them: TLC, breadth first, ten cores; seconds or minutes, events to the bug,
states. Here the same mistake is planted in this project's Raft. *Every order* is `seedfall
exhaust`, breadth first as well, on one thread: seconds, steps to the bug, states. *Sampled* is what
a sweep does, on one thread: runs, in the median and (90 %), and seconds of the median, in the
scenario that shows the bug best and in `raft-members`, which was made for none of them. The models
are not the same, and neither are the machines: what can be compared is whether one waits.

| bug | there | every order | sampled |
|---|---|---|---|
";

fn strategies(rows: &[Row]) -> String {
    let mut text = String::from(HEAD);
    let caps: Vec<u64> = rows.iter().map(|row| row.cap).collect();
    if let (Some(least), Some(most)) = (caps.iter().min(), caps.iter().max()) {
        let bases = |row: &Row| {
            rows.iter()
                .filter(|other| {
                    (&other.bug, &other.scenario, &other.strategy)
                        == (&row.bug, &row.scenario, &row.strategy)
                })
                .count()
        };
        let fewest = rows.iter().map(bases).min().unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "Each hunt was given {least} to {most} events on one thread; at least {fewest} base \
             seeds each.\n"
        );
    }
    let mut all: BTreeMap<(&str, &str), BTreeMap<&str, Vec<&Row>>> = BTreeMap::new();
    for row in rows {
        let of = all.entry((&row.bug, &row.scenario)).or_default();
        of.entry(&row.strategy).or_default().push(row);
    }
    let columns: Vec<&str> =
        COLUMNS.into_iter().filter(|name| rows.iter().any(|row| row.strategy == *name)).collect();
    let _ = writeln!(text, "| bug | scenario | {} | times fewer |", columns.join(" | "));
    let _ = writeln!(text, "|---|---|{}---|", "---|".repeat(columns.len()));
    let mut ratios = Vec::new();
    for ((bug, scenario), strategies) in &all {
        let cell = |name: &str| strategies.get(name).and_then(|rows| Cell::of(rows));
        let cells: Vec<String> = columns
            .iter()
            .map(|name| cell(name).map_or_else(|| "-".to_owned(), |cell| cell.words()))
            .collect();
        let ratio = match (cell(PLAIN), cell("portfolio")) {
            // Where both missed, neither is the better one.
            (Some(plain), Some(all)) if !(plain.missed && all.missed) => {
                let ratio = plain.cpu / all.cpu.max(1e-3);
                ratios.push(ratio);
                let bound = match (plain.missed, all.missed) {
                    (true, _) => ">",
                    (_, true) => "<",
                    _ => "",
                };
                format!("{bound}{ratio:.1}")
            }
            _ => "-".to_owned(),
        };
        let cells = cells.join(" | ");
        let _ = writeln!(text, "| {bug} | {scenario} | {cells} | {ratio} |");
    }
    ratios.sort_by(f64::total_cmp);
    if let (Some(middle), Some(least)) = (ratios.get(ratios.len() / 2), ratios.first()) {
        let _ = writeln!(
            text,
            "\nThe portfolio takes {middle:.1} times fewer CPU seconds than plain seeds in the \
             median over these bugs, and {least:.1} times in the worst case (below 1: more)."
        );
    }
    text
}

const HEAD: &str = "\
# Search: what each strategy needs for each planted bug

Generated by `seedfall scoreboard` from `docs/search.jsonl`; nothing here is typed. A cell is the
median of runs, in brackets the 90th percentile, the CPU seconds of the median hunt, and how many
of the hunts found it, if not all did; a hunt that missed counts as all that it was given (`>`).
`swarm` is what a sweep does. `times fewer` is the CPU seconds of `swarm` over those of the
portfolio, median by median: more than that (`>`) where `swarm` missed, less (`<`) where the
portfolio did.

";

#[cfg(test)]
mod tests {
    use super::{EXHAUSTIVE, Row, page};
    use std::collections::BTreeMap;

    #[test]
    fn a_hunt_that_missed_counts_as_what_it_was_given() {
        let row = |strategy: &str, base, found, runs, cpu| Row {
            bug: "bug".to_owned(),
            scenario: "here".to_owned(),
            strategy: strategy.to_owned(),
            base,
            cap: 1_000,
            found,
            runs,
            events: 1_000,
            cpu,
        };
        let rows = [
            row("swarm", 0, true, 40, 4.0),
            row("swarm", 1, false, 100, 10.0),
            row("swarm", 2, false, 90, 9.0),
            row("portfolio", 0, true, 7, 0.5),
        ];
        let page = page(&rows, &BTreeMap::new());
        assert!(
            page.contains("| bug | here | >90 (100), >9.0 s, 1/3 | 7 (7), 0.5 s | >18.0 |"),
            "{page}"
        );
    }

    #[test]
    fn a_portfolio_that_missed_is_the_worse_one() {
        let row = |bug: &str, strategy: &str, found, cpu| Row {
            bug: bug.to_owned(),
            scenario: "here".to_owned(),
            strategy: strategy.to_owned(),
            base: 0,
            cap: 1_000,
            found,
            runs: 100,
            events: 1_000,
            cpu,
        };
        let rows = [
            row("lost", "swarm", true, 1.0),
            row("lost", "portfolio", false, 10.0),
            row("none", "swarm", false, 1.0),
            row("none", "portfolio", false, 1.0),
            row("won", "swarm", true, 8.0),
            row("won", "portfolio", true, 2.0),
        ];
        let page = page(&rows, &BTreeMap::new());
        assert!(page.contains(">100 (100), >10.0 s, 0/1 | <0.1 |"), "{page}");
        assert!(page.contains("0/1 | >100 (100), >1.0 s, 0/1 | - |"), "{page}");
        assert!(page.contains("and 0.1 times in the worst case"), "{page}");
    }

    #[test]
    fn what_was_published_stands_beside_what_was_measured() {
        let row = |strategy: &str, found, runs, events| Row {
            bug: "bug".to_owned(),
            scenario: "here".to_owned(),
            strategy: strategy.to_owned(),
            base: 0,
            cap: 1_000,
            found,
            runs,
            events,
            cpu: 0.25,
        };
        let elsewhere = |text: &str| BTreeMap::from([("bug".to_owned(), text.to_owned())]);
        let rows = [row("swarm", true, 7, 900), row(EXHAUSTIVE, true, 3_534, 8)];
        let text = page(&rows, &elsewhere("Xraft#1: 3 s, 8, 3,534"));
        let line =
            "| bug | Xraft#1: 3 s, 8, 3,534 | `here` 0.25 s, 8, 3534 | `here` 7 (7), 0.2 s |";
        assert!(text.contains(line), "{text}");
        assert!(!text.contains("| exhaustive |"), "it is no strategy: {text}");
        let missed = [row(EXHAUSTIVE, false, 60, 0)];
        let text = page(&missed, &elsewhere("there"));
        assert!(text.contains("| bug | there | `here` not in 60 states, 0.2 s | - |"), "{text}");
        assert!(!page(&rows, &BTreeMap::new()).contains("model checker"));
    }
}
