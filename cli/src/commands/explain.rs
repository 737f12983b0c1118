//! `seedfall explain`: a run as columns on a terminal, or as a page.

use super::inspect::target;
use super::show::wrapped;
use super::{ExplainArgs, Problem, code_of_conclusion, show};
use seedfall::explain::{End, Explanation, Happening, Operation, examine};
use seedfall::point::{FUTURES, Futures, point};
use seedfall::run::Runnable;
use seedfall::shrink::Shrunk;
use seedfall::words;
use seedfall_sim::{Kind, Time};
use std::path::{Path, PathBuf};

/// Lines of events that a terminal gets, at most.
const LINES_MAX: usize = 400;
/// Columns of a line, at most: a longer one is hard to read.
const WIDTH_MAX: usize = 120;
/// Columns of the instant.
const INSTANT: usize = 11;
/// Columns of a name before what is said of it.
const NAME: usize = 13;
/// Columns that are left for words, at least.
const WORDS_MIN: usize = 50;

/// `explain`.
pub(super) fn explain(
    scenarios: &[Box<dyn Runnable>],
    args: &ExplainArgs,
    json: bool,
) -> Result<u8, Problem> {
    let (_, scenario, trial) = target(scenarios, "explain", &args.target, args.seed)?;
    let shrunk = examine(scenario, &trial, args.no_shrink, &args.effort.get());
    let futures = Futures { of_each: FUTURES, jobs: args.effort.get().jobs };
    let point = if args.point { point(scenario, &shrunk.trial, futures) } else { None };
    let (replay, whole) = commands(args, &shrunk);
    let explanation = Explanation { point, ..Explanation::of(scenario, &shrunk, replay, whole) };
    if let Some(path) = &args.html {
        save(&explanation, path)?;
    }
    if json {
        show::raw(&serde_json::to_string(&explanation)?);
    } else if let Some(path) = &args.html {
        show::line(&headline(&explanation));
        show::line(&format!("  report     {}", path.display()));
    } else {
        tell(&explanation);
    }
    Ok(code_of_conclusion(shrunk.report.conclusion()))
}

/// Writes the report of a run that is kept as a case beside it. Returns where.
pub(super) fn keep(
    scenario: &dyn Runnable,
    shrunk: &Shrunk,
    case: &Path,
) -> Result<PathBuf, Problem> {
    let path = case.with_extension("html");
    let whole = shrunk.failure().map(|failure| failure.replay.clone());
    let explanation = Explanation::of(scenario, shrunk, command("replay", case), whole);
    save(&explanation, &path)?;
    Ok(path)
}

fn save(explanation: &Explanation, path: &Path) -> Result<(), Problem> {
    let fail = |error: std::io::Error| Problem(format!("{}: {error}", path.display()));
    explanation.save(path).map_err(fail)
}

/// The line that brings this very run back, and the one for the run from which it was shrunk.
fn commands(args: &ExplainArgs, shrunk: &Shrunk) -> (String, Option<String>) {
    let line = |verb: &str| match args.seed {
        Some(seed) => words::command(&format!("{verb} {} --seed {seed}", args.target)),
        None => command(verb, Path::new(&args.target)),
    };
    let smaller = shrunk.runs > 0 && shrunk.before != shrunk.after;
    if smaller { (line("shrink"), Some(line("replay"))) } else { (line("replay"), None) }
}

/// A command over a file, to be pasted into a shell.
fn command(verb: &str, path: &Path) -> String {
    let path = path.display().to_string();
    let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    let path = if plain { path } else { format!("'{}'", path.replace('\'', r"'\''")) };
    words::command(&format!("{verb} {path}"))
}

fn headline(explanation: &Explanation) -> String {
    let style = match explanation.verdict.word {
        "passed" => show::GOOD,
        "vacuous" => show::DULL,
        _ => show::BAD,
    };
    show::styled(style, &explanation.verdict.line)
}

/// The run as columns: one a lane, one line an event.
fn tell(explanation: &Explanation) {
    show::line(&headline(explanation));
    let width = show::width().min(WIDTH_MAX);
    let verdict = &explanation.verdict;
    let row = |name: &str, text: &str| {
        if !text.is_empty() {
            let mut name = name;
            for line in wrapped(text, width - NAME) {
                show::raw(&format!("  {name:<10} {line}"));
                name = "";
            }
        }
    };
    row("property", verdict.property.as_deref().unwrap_or_default());
    row("but", &verdict.why);
    verdict.witness.iter().for_each(|line| row("", line));
    explanation.faults.iter().for_each(|fault| {
        let span = format!("{} to {}", Time::from_nanos(fault.from), Time::from_nanos(fault.to));
        row("fault", &format!("{span}: {}", fault.text));
    });
    show::line("");
    let strip = Strip::of(explanation, width);
    strip.titles().iter().for_each(|titles| show::line(&format!("{:INSTANT$}{titles}", "")));
    show::raw(&strip.header());
    let shown = strip.shown();
    let left_out = shown.len().saturating_sub(LINES_MAX);
    if left_out > 0 {
        let note = format!("{left_out} earlier events are left out; --html shows them");
        show::line(&show::styled(show::DULL, &note));
    }
    for line in shown[left_out..].iter().flat_map(|index| strip.lines(*index)) {
        show::raw(&line);
    }
    if let Some(at) = verdict.at.filter(|_| verdict.witness.is_empty()) {
        let mut at = Time::from_nanos(at).to_string();
        for line in wrapped(&verdict.why, width - INSTANT) {
            show::line(&show::styled(show::BAD, &format!("{at:>10} {line}")));
            at.clear();
        }
    }
    show::line("");
    let shrunk = explanation.shrunk.as_deref().unwrap_or_default();
    let (now, before) = shrunk.split_once(" (of ").unwrap_or((shrunk, ""));
    row("shrunk to", now);
    row("of", before.replacen(')', ",", 1).as_str());
    row("replay", &explanation.replay);
    row("unshrunk", explanation.whole.as_deref().unwrap_or_default());
}

/// What the columns show, and where.
struct Strip<'a> {
    explanation: &'a Explanation,
    /// The lanes that have a column.
    columns: Vec<usize>,
    /// How wide a column is.
    step: usize,
    /// How wide a line is.
    width: usize,
}

impl<'a> Strip<'a> {
    /// As wide as there is room for; lanes to which nothing happens have no column.
    fn of(explanation: &'a Explanation, width: usize) -> Self {
        let all = Self { explanation, columns: Vec::new(), step: 0, width };
        let busy = |lane: &usize| {
            let mut shown = all.shown().into_iter().map(|index| &explanation.events[index]);
            shown.any(|event| event.kind != Kind::Fault && [event.lane, event.peer].contains(lane))
        };
        let mut columns: Vec<usize> = (0..explanation.lanes.len()).filter(busy).collect();
        let room = width.saturating_sub(INSTANT + WORDS_MIN).max(3);
        columns.truncate(room / 3);
        let step = (room / columns.len().max(1)).clamp(3, 5);
        Self { explanation, columns, step, width }
    }

    /// The events that get a line: the causal cone, or all of a run that broke nothing.
    fn shown(&self) -> Vec<usize> {
        let all = !self.explanation.is_failure();
        let events = self.explanation.events.iter().enumerate();
        events.filter(|(_, event)| all || event.cone).map(|(index, _)| index).collect()
    }

    /// Whom the scenario calls what.
    fn titles(&self) -> Option<String> {
        let lanes = self.columns.iter().map(|lane| &self.explanation.lanes[*lane]);
        let named = lanes.filter(|lane| !lane.title.is_empty());
        let titles: Vec<String> =
            named.map(|lane| format!("{} is {}", lane.name, lane.title)).collect();
        (!titles.is_empty()).then(|| titles.join(", "))
    }

    fn header(&self) -> String {
        let names = self.columns.iter().map(|lane| &self.explanation.lanes[*lane].name);
        let names: String =
            names.map(|name| format!("{name:<width$}", width = self.step)).collect();
        format!("{:INSTANT$}{names}", "")
    }

    /// One event: when, the strip, and what happened in words, all of them: what matters in a
    /// message may stand at its end.
    fn lines(&self, index: usize) -> Vec<String> {
        let event = &self.explanation.events[index];
        let room = self.width - INSTANT - self.columns.len() * self.step;
        let mut before = format!("{:>10} {}", Time::from_nanos(event.at), self.strip(event));
        let mut lines = Vec::new();
        for told in wrapped(&words(self.explanation, event), room) {
            let told = match self.weight(index, event) {
                Some(style) => show::styled(style, &told),
                None => told,
            };
            lines.push(format!("{before}{told}"));
            before = format!("{:>10} {}", "", self.lanes(event.at));
        }
        lines
    }

    /// The style of what a reader must not miss.
    fn weight(&self, index: usize, event: &Happening) -> Option<anstyle::Style> {
        let closed = |one: &&Operation| one.answered == Some(index) && one.witness.is_some();
        let closes = self.explanation.operations.iter().find(closed);
        match (event.kind, closes) {
            (_, Some(operation)) if operation.broken => Some(show::BAD),
            (_, Some(_)) | (Kind::Reach | Kind::Fault | Kind::Pause | Kind::Signal, None) => {
                Some(show::DULL)
            }
            (Kind::Crash | Kind::Refuse | Kind::Drop | Kind::Lost, None)
            | (Kind::Exit | Kind::Panic, None) => Some(show::BAD),
            _ => None,
        }
    }

    /// The state of every lane.
    fn lanes(&self, at: u64) -> String {
        let mut cells = vec![' '; self.columns.len() * self.step];
        for (column, lane) in self.columns.iter().enumerate() {
            cells[column * self.step] = self.state(*lane, at);
        }
        cells.into_iter().collect()
    }

    /// The state of every lane at an event, and what goes from one to another.
    fn strip(&self, event: &Happening) -> String {
        let place = |lane: usize| {
            self.columns.iter().position(|one| *one == lane).map(|column| column * self.step)
        };
        let mut cells: Vec<char> = self.lanes(event.at).chars().collect();
        let Some(actor) = place(event.lane).filter(|_| event.kind != Kind::Fault) else {
            return cells.into_iter().collect();
        };
        if let Some(peer) = place(event.peer).filter(|peer| *peer != actor) {
            if event.kind == Kind::Connect {
                cells[actor] = glyph(event.kind);
                return cells.into_iter().collect();
            }
            let arrives =
                matches!(event.kind, Kind::Deliver | Kind::Asked | Kind::Answered | Kind::Lost);
            let (from, to) = if arrives { (peer, actor) } else { (actor, peer) };
            for (cell, here) in cells.iter_mut().zip(0..) {
                if from.min(to) < here && here < from.max(to) {
                    *cell = if *cell == ' ' { '─' } else { '┼' };
                }
            }
            let lost = matches!(event.kind, Kind::Drop | Kind::Lost);
            let (before, head) = if from < to { (to - 1, '→') } else { (to + 1, '←') };
            cells[before] = match self.explanation.end_of(event) {
                _ if lost => '✕',
                End::Nowhere if !arrives => '┄',
                _ => head,
            };
        }
        cells[actor] = glyph(event.kind);
        cells.into_iter().collect()
    }

    fn state(&self, lane: usize, at: u64) -> char {
        let outage = self.explanation.outages.iter();
        let during =
            |one: &&seedfall::explain::Outage| one.lane == lane && one.from < at && at < one.to;
        match outage.filter(during).map(|one| one.paused).next() {
            Some(false) => ' ',
            Some(true) => '┊',
            None => '│',
        }
    }
}

/// What stands in the column of the one to whom it happens.
fn glyph(kind: Kind) -> char {
    match kind {
        Kind::Start => '▲',
        Kind::Resume => '▶',
        Kind::Crash | Kind::Refuse | Kind::Exit | Kind::Panic => '✕',
        Kind::Pause => '‖',
        Kind::Timer => '◷',
        Kind::Append | Kind::File => '□',
        Kind::Sync => '■',
        Kind::Connect | Kind::Switch | Kind::Output | Kind::Note => '·',
        Kind::Reach => '◆',
        Kind::Ignore => '○',
        _ => '●',
    }
}

/// An event in words.
fn words(explanation: &Explanation, event: &Happening) -> String {
    let me = &explanation.lanes[event.lane].name;
    let other = &explanation.lanes[event.peer].name;
    let text = &event.text;
    let told = match event.kind {
        Kind::Start if !text.is_empty() => format!("{me} starts {text}"),
        Kind::Start if event.at > 0 => format!("{me} comes back"),
        Kind::Start => format!("{me} starts"),
        Kind::Send => match explanation.end_of(event) {
            End::Arrives | End::Lost => format!("to {other}: {text}"),
            End::Nowhere => format!("to {other}, under way at the end: {text}"),
        },
        Kind::Drop => format!("to {other}, lost: {text}"),
        Kind::Duplicate => format!("to {other}, doubled: {text}"),
        Kind::Deliver => format!("from {other}: {text}"),
        Kind::Lost => format!("from {other} {text}"),
        Kind::Timer => format!("{me} timer {text}"),
        Kind::Request => format!("{me} asks {text}"),
        Kind::Asked => format!("{me} is asked {text}"),
        Kind::Respond => format!("{me} answers {text}"),
        Kind::Answered => format!("{other} told {text}"),
        Kind::Append => format!("{me} appends {text}"),
        Kind::Sync => format!("{me} syncs {text}"),
        Kind::Ignore => format!("{me} ignores {text}"),
        Kind::Reach => format!("{me}: {text}"),
        Kind::Crash => format!("{me} CRASHES, {text}"),
        Kind::Pause => format!("{me} freezes"),
        Kind::Resume => format!("{me} goes on"),
        Kind::Fault | Kind::Connect => text.clone(),
        Kind::Lie => format!("{me} to {other}: {text}"),
        Kind::Refuse => format!("{me} DOES NOT START, {text}"),
        Kind::Call => format!("{me} calls {text}"),
        Kind::Return => format!("{me} has {text}"),
        Kind::File | Kind::Signal => format!("{me} {text}"),
        Kind::Exit => format!("{me} ENDS {text}"),
        Kind::Output => format!("{me} prints {text}"),
        Kind::Panic => format!("{me} PANICS: {text}"),
        Kind::Switch => format!("{me} goes on with another thread"),
        Kind::Note => format!("{me} notes {text}"),
    };
    told.replace('\n', " ")
}
