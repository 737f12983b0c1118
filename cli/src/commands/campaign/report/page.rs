//! The page: a text that is complete without a script and names no other place.

use super::super::clock;
use super::super::merge::title;
use super::super::outcome::{One, Verdict};
use super::Told;
use super::discovery::discovery;
use super::html::escape;
use super::plot::plots;
use seedfall::campaign::{Group, Runs};
use seedfall::sweep::COVERAGE_FROM;
use seedfall::words::{count, counted};
use std::collections::BTreeMap;
use std::fmt::Write as _;

const STYLE: &str = include_str!("page.css");

/// Failures that have a part of their own, at most.
const GROUPS_MOST: usize = 100;

pub(super) fn page(told: &Told<'_>) -> String {
    let judged = told.judged;
    let (word, why) = judged.word();
    let class = match judged.code() {
        0 => "good",
        4 => "dull",
        _ => "bad",
    };
    let why = why.map(|why| format!("<p class=\"why\">{}</p>", escape(&why))).unwrap_or_default();
    let title = format!("Seedfall campaign: {word}");
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>{STYLE}</style></head>\n<body>\n\
         <header class=\"{class}\"><h1><span class=\"dot\"></span>Campaign: {}</h1>{why}\
         <pre class=\"proof\">{}</pre></header>\n{}{}{}{}{}{}{}{}{}</body></html>\n",
        escape(word),
        escape(&judged.proof()),
        figures(told),
        failures(told),
        scenarios(told),
        marks(told),
        classes(told),
        discovery(told),
        history(told),
        attempts(told),
        about(told),
    )
}

pub(super) fn section(name: &str, note: &str, body: &str) -> String {
    let note =
        if note.is_empty() { String::new() } else { format!("<p class=\"note\">{note}</p>") };
    format!("<section><h2>{name}</h2>{note}{body}</section>\n")
}

/// A table that scrolls by itself where the page is narrow.
pub(super) fn table(header: &[&str], rows: &str) -> String {
    // A name with `#` before it stands over numbers.
    let cell = |name: &&str| match name.strip_prefix('#') {
        Some(name) => format!("<th scope=\"col\" class=\"n\">{name}</th>"),
        None => format!("<th scope=\"col\">{name}</th>"),
    };
    let header: String = header.iter().map(cell).collect();
    format!(
        "<div class=\"scroll\" tabindex=\"0\"><table><thead><tr>{header}</tr></thead>\
         <tbody>{rows}</tbody></table></div>"
    )
}

fn figures(told: &Told<'_>) -> String {
    let outcome = &told.judged.outcome;
    let (fired, planned) = outcome.classes();
    let (found, missed) = outcome.canaries();
    let rate = |number: u64| {
        let rate = number as f64 / told.seconds.max(1e-3);
        if told.seconds > 0.0 { format!("{}/s", count(rate as u64)) } else { "-".to_owned() }
    };
    let (runs, events) = (outcome.sum(Runs::runs), outcome.sum(|runs| runs.events));
    let reached = told.past.last().map_or(0, |now| now.reached);
    let marks = told.past.last().map_or(0, |now| now.marks);
    let kinds = told.judged.known + told.judged.new.len();
    let all = [
        (count(outcome.scenarios.len() as u64), "scenarios".to_owned(), true),
        (
            count(runs),
            format!("runs, {} of them twice", count(outcome.sum(|runs| runs.twice))),
            true,
        ),
        (count(events), format!("events, {}", rate(events)), true),
        (rate(runs), format!("runs, in {:.0} machine seconds", told.seconds), true),
        (
            count(kinds as u64),
            format!("kinds of failures, {} new", told.judged.new.len()),
            kinds == 0,
        ),
        (
            format!("{} of {}", fired.len(), planned.len()),
            "fault classes had an effect".to_owned(),
            fired.len() == planned.len(),
        ),
        (format!("{reached} of {marks}"), "coverage marks reached".to_owned(), reached == marks),
        (
            format!("{} of {}", found.len(), found.len() + missed.len()),
            "canaries found".to_owned(),
            missed.is_empty(),
        ),
    ];
    let cells = all.iter().map(|(number, words, good)| {
        let class = if *good { "" } else { " class=\"off\"" };
        format!("<div{class}><b>{}</b><span>{}</span></div>", escape(number), escape(words))
    });
    format!("<div class=\"figures\">{}</div>\n", cells.collect::<String>())
}

/// A scenario, a property, and the classes of faults that are left in the small run.
type Cause<'a> = (&'a str, &'a str, Vec<String>);

/// Failures, those with one property and one cause together.
fn failures(told: &Told<'_>) -> String {
    let outcome = &told.judged.outcome;
    let killed = outcome.sum(|runs| runs.killed);
    let mut causes = BTreeMap::<Cause<'_>, Vec<(&str, &Group)>>::new();
    let all = outcome.groups().count();
    for (scenario, print, group) in outcome.groups().take(GROUPS_MOST) {
        let name = (scenario.to_owned(), print.to_owned());
        // What was not made small is a cause of its own.
        let cause = told.kept.get(&name).map(|small| small.cause.clone());
        let cause = cause.unwrap_or_else(|| vec![format!("?{print}")]);
        causes.entry((scenario, &group.property, cause)).or_default().push((print, group));
    }
    let mut body = String::new();
    for ((scenario, property, cause), groups) in &causes {
        body += &failure(told, scenario, property, cause, groups);
    }
    if causes.is_empty() {
        body += "<p>None that is not expected.</p>";
    }
    if GROUPS_MOST < all {
        let more = counted((all - GROUPS_MOST) as u64, "more kind");
        body += &format!("<p>And {more}: result.json has them.</p>");
    }
    let beyond = outcome.sum(|runs| runs.beyond);
    if beyond > 0 {
        let runs = counted(beyond, "failure");
        body += &format!(
            "<p>{runs} more: counted, and not told by kind, as there are too many kinds.</p>"
        );
    }
    if killed > 0 {
        let runs = counted(killed, "run");
        body += &format!(
            "<p>{runs} neither passed nor failed: the machine killed their process again and \
             again, as it does when memory runs short.</p>"
        );
    }
    section("Failures", "", &body)
}

fn failure(
    told: &Told<'_>,
    scenario: &str,
    property: &str,
    cause: &[String],
    groups: &[(&str, &Group)],
) -> String {
    let runs: u64 = groups.iter().map(|(_, group)| group.runs).sum();
    let best = groups.iter().min_by_key(|(_, group)| (group.event, group.faults, group.seed));
    let Some((print, best)) = best else { return String::new() };
    let new =
        |print: &str| told.judged.new.iter().any(|(one, other)| one == scenario && other == print);
    let word = if groups.iter().any(|(print, _)| new(print)) { "new" } else { "known" };
    let small = told.kept.get(&(scenario.to_owned(), (*print).to_owned()));
    let cause = match cause {
        [] => "no fault is needed".to_owned(),
        [one] if one.starts_with('?') => "not made small".to_owned(),
        classes => format!("needs {}", classes.join(", ")),
    };
    let mut html = format!(
        "<article><h3><span class=\"tag {word}\">{word}</span> {}: {}</h3><p>{}</p>\
         <dl><dt>runs</dt><dd>{} of {}</dd><dt>cause</dt><dd>{}</dd>\
         <dt>to look at</dt><dd><code>{}@{}</code>, after {}, under {}</dd>",
        escape(scenario),
        escape(property),
        escape(&best.told),
        count(runs),
        count(told.judged.outcome.scenarios.get(scenario).map_or(0, |one| one.runs.runs())),
        escape(&cause),
        escape(scenario),
        best.seed,
        counted(best.event, "event"),
        counted(best.faults, "fault"),
    );
    if let Some(small) = small {
        // Writing to a string cannot fail.
        let _ = write!(
            html,
            "<dt>made small</dt><dd>{}</dd><dt>files</dt><dd><a href=\"failures/{page}\">report of \
             the run</a>, <a href=\"failures/{case}\">case</a></dd></dl>\
             <details><summary>what happens</summary><pre>{}</pre></details>",
            escape(&small.summary),
            escape(&small.story.join("\n")),
            page = escape(&small.page),
            case = escape(&small.case),
        );
    } else {
        html += "</dl>";
    }
    let prints: String = groups
        .iter()
        .map(|(print, group)| format!("{} ({})\n", escape(print), count(group.runs)))
        .collect();
    let kinds = counted(groups.len() as u64, "fingerprint");
    html + &format!("<details><summary>{kinds}</summary><pre>{prints}</pre></details></article>")
}

fn scenarios(told: &Told<'_>) -> String {
    let mut rows = String::new();
    for (name, one) in &told.judged.outcome.scenarios {
        let One { about, runs, .. } = one;
        let class = match one.verdict {
            Verdict::Good => "good",
            Verdict::Failed => "bad",
            Verdict::Vacuous(_) | Verdict::NotRun => "dull",
        };
        let holds = about.breaks.is_empty() && !one.canary && runs.failed == 0 && runs.passed > 0;
        let bound = match holds {
            true => format!("&lt; {:.4} %", 300.0 / runs.passed as f64),
            false => String::new(),
        };
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\" title=\"{}\">{}</th><td class=\"{class}\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{bound}</td></tr>",
            escape(&about.story),
            escape(name),
            escape(&title(one)),
            count(runs.runs()),
            count(runs.passed),
            count(runs.vacuous),
            count(runs.unknown),
            count(runs.failed),
            count(runs.events),
        );
    }
    let header = [
        "scenario",
        "verdict",
        "#seeds",
        "#passed",
        "#vacuous",
        "#undecided",
        "#failed",
        "#events",
        "#seeds that fail",
    ];
    section(
        "Scenarios",
        "What a clean result proves: none of N seeds failed, so with 95 % confidence fewer than \
         3/N of all seeds do (the rule of three), under these faults and this workload. It says \
         nothing of faults that were not drawn.",
        &table(&header, &rows),
    )
}

/// A share as a bar, with its number.
fn bar(part: u64, of: u64) -> String {
    let share = part as f64 * 100.0 / of.max(1) as f64;
    let zero = if part == 0 { " zero" } else { "" };
    format!(
        "<td class=\"bar{zero}\"><span style=\"width:{share:.1}%\"></span></td>\
         <td class=\"n{zero}\">{}</td><td class=\"n{zero}\">{share:.1} %</td>",
        count(part)
    )
}

/// Marks that are shown at first: those that few runs reach, or none.
const RAREST: usize = 12;

fn marks(told: &Told<'_>) -> String {
    let each = told.judged.outcome.scenarios.iter();
    let mut all: Vec<(u64, u64, &str, &str)> = each
        .flat_map(|(name, one)| {
            let of = one.runs.runs();
            let runs = |mark: &String| one.runs.marks.get(mark).copied().unwrap_or(0);
            let marks = one.about.sometimes.iter();
            marks.map(move |mark| (runs(mark), of, name.as_str(), mark.as_str()))
        })
        .collect();
    if all.is_empty() {
        return String::new();
    }
    let table = |marks: &[(u64, u64, &str, &str)]| {
        let row = |(runs, of, name, mark): &(u64, u64, &str, &str)| {
            let (name, mark) = (escape(name), escape(mark));
            let bar = bar(*runs, *of);
            format!("<tr><th scope=\"row\">{name}</th><td>{mark}</td>{bar}</tr>\n")
        };
        let rows: String = marks.iter().map(row).collect();
        table(&["scenario", "mark", "", "#runs", "#of runs"], &rows)
    };
    let whole = table(&all);
    all.sort_by_key(|(runs, of, name, mark)| (runs * 1_000_000 / (*of).max(1), *name, *mark));
    let zeros = all.iter().filter(|(runs, ..)| *runs == 0).count();
    let rarest = table(&all[..all.len().min(RAREST.max(zeros))]);
    let note = format!(
        "What runs must reach for their sum to prove something, the rarest first; judged from \
         {COVERAGE_FROM} seeds on. Reached by no run: {zeros}."
    );
    let count = count(all.len() as u64);
    let body = format!("{rarest}<details><summary>all {count}</summary>{whole}</details>");
    section("Coverage marks", &note, &body)
}

fn classes(told: &Told<'_>) -> String {
    let mut sums: BTreeMap<&str, (u64, u64, u64)> = BTreeMap::new();
    for one in told.judged.outcome.scenarios.values() {
        for (class, (planned, fired)) in &one.runs.fired {
            let sum = sums.entry(class).or_default();
            *sum = (sum.0 + planned, sum.1 + fired, sum.2 + 1);
        }
    }
    let rows: String = sums
        .iter()
        .map(|(class, (planned, fired, scenarios))| {
            format!(
                "<tr><th scope=\"row\">{}</th><td class=\"n\">{scenarios}</td>\
                 <td class=\"n\">{}</td>{}</tr>\n",
                escape(class),
                count(*planned),
                bar(*fired, *planned)
            )
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let header = ["class", "#scenarios", "#runs planned", "", "#had an effect", "#of planned"];
    section("Fault classes", "", &table(&header, &rows))
}

fn history(told: &Told<'_>) -> String {
    if told.past.len() < 2 {
        return String::new();
    }
    let body = format!("<div class=\"plots\">{}</div>", plots(&told.past));
    section("Campaigns over time", "", &body)
}

fn attempts(told: &Told<'_>) -> String {
    let rows: String = told
        .judged
        .states
        .iter()
        .map(|(state, since)| {
            let how = match (state.done, since.as_secs()) {
                (true, _) => "done".to_owned(),
                (false, since) => format!("not done; last sign {since} s before this report"),
            };
            format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td class=\"n\">{:.0} s</td>\
                 <td class=\"n\">{}</td><td class=\"n\">{}</td><td>{how}</td><td>{}</td></tr>\n",
                escape(&state.shard),
                escape(&state.host),
                clock::told(state.begun),
                state.seconds,
                state.jobs,
                state.killed,
                escape(&state.machine),
            )
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let header =
        ["shard", "host", "begun", "#took", "#processes", "#workers killed", "state", "machine"];
    section("Who ran it", "", &table(&header, &rows))
}

fn about(told: &Told<'_>) -> String {
    let manifest = &told.judged.manifest;
    let seeds = match manifest.seeds {
        Some(seeds) => format!("{} to {}", manifest.from, manifest.from + seeds - 1),
        None => format!("from {} on, as many as time allowed", manifest.from),
    };
    let facts = [
        ("commit", manifest.commit.clone()),
        ("build", manifest.build.clone()),
        ("seeds of each scenario", seeds),
        ("seeds in a unit", count(manifest.unit.get())),
        ("begun", clock::told(manifest.begun)),
        ("campaign", manifest.id.clone()),
        ("seedfall", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let rows: String = facts
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>", escape(value)))
        .collect();
    section("This campaign", "", &format!("<dl>{rows}</dl>"))
}
