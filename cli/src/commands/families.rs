//! The table of the main job where there are many scenarios: a row a family, so that it fits on a
//! screen. A family are the scenarios whose names begin with the same word.

use super::show;
use anstyle::Style;
use comfy_table::Cell;
use seedfall::faults::Class;
use seedfall::run::Runnable;
use seedfall::scenario::Expectation;
use seedfall::sweep::{Meaning, Summary};
use seedfall::words::{count, counted};
use std::collections::BTreeSet;

/// Scenarios from which on families are shown.
pub(super) const FROM: usize = 25;

type Swept<'a> = (&'a dyn Runnable, Summary, Meaning);

/// Shows the table, and a line with the sum of it.
pub(super) fn tell(swept: &[Swept<'_>]) {
    let header = ["scenarios", "", "seeds", "events", "events/s", "faults", "verdict"];
    let mut table = show::table(&header, &[1, 2, 3, 4, 5]);
    let mut words: Vec<&str> = Vec::new();
    for (scenario, ..) in swept {
        let word = first_word(scenario.name());
        if !words.contains(&word) {
            words.push(word);
        }
    }
    for word in words {
        let family = swept.iter().filter(|(one, ..)| first_word(one.name()) == word);
        table.add_row(row(&family.collect::<Vec<_>>()));
    }
    show::raw(&show::fitted(table, &[4, 3]));
    show::line("");
    show::line(&sum(swept));
}

fn first_word(name: &str) -> &str {
    name.split('-').next().unwrap_or(name)
}

/// The words that all names begin with.
fn common(family: &[&Swept<'_>]) -> String {
    let mut names = family.iter().map(|(scenario, ..)| scenario.name().split('-'));
    let mut common: Vec<&str> = names.next().into_iter().flatten().collect();
    for name in names {
        let same = common.iter().zip(name).take_while(|(word, other)| **word == *other).count();
        common.truncate(same);
    }
    common.join("-")
}

fn row(family: &[&Swept<'_>]) -> Vec<Cell> {
    let sum = |of: fn(&Summary) -> u64| family.iter().map(|(_, summary, _)| of(summary)).sum();
    let seconds: f64 = family.iter().map(|(_, summary, _)| summary.took.as_secs_f64()).sum();
    let planned = family.iter().flat_map(|(_, summary, _)| &summary.fired);
    let fired: BTreeSet<Class> =
        planned.filter(|(_, (_, fired))| *fired > 0).map(|(class, _)| *class).collect();
    let events = sum(|summary| summary.events);
    let (style, words) = verdict(family);
    vec![
        Cell::new(common(family)),
        Cell::new(family.len()),
        Cell::new(count(sum(|summary| summary.seeds))),
        Cell::new(count(events)),
        Cell::new(show::rate(events, seconds)),
        Cell::new(fired.len()),
        show::cell(style, &words),
    ]
}

/// How many there are of each verdict, the worst first.
fn verdict(swept: &[&Swept<'_>]) -> (Style, String) {
    let of = |which: fn(&Meaning, &Expectation) -> bool| {
        let all = swept.iter().filter(|(one, _, meaning)| which(meaning, &one.expect()));
        all.count() as u64
    };
    let broken = of(|meaning, _| matches!(meaning, Meaning::Broken(_)));
    let vacuous = of(|meaning, _| matches!(meaning, Meaning::Vacuous(_)));
    let holds = of(|meaning, expect| is_good(meaning) && *expect == Expectation::Holds);
    let breaks =
        of(|meaning, expect| is_good(meaning) && matches!(expect, Expectation::Violates { .. }));
    let blocks =
        of(|meaning, expect| is_good(meaning) && matches!(expect, Expectation::Blocks { .. }));
    let words = [
        (broken, "BROKEN", "BROKEN"),
        (vacuous, "vacuous", "vacuous"),
        (holds, "holds", "hold"),
        (breaks, "breaks as it must", "break as they must"),
        (blocks, "blocks as it must", "block as they must"),
    ];
    let told = words.iter().filter(|(count, ..)| *count > 0).map(|(count, one, more)| {
        let words = if *count == 1 { one } else { more };
        format!("{count} {words}")
    });
    let style = match (broken, vacuous) {
        (0, 0) => show::GOOD,
        (0, _) => show::DULL,
        _ => show::BAD,
    };
    (style, told.collect::<Vec<String>>().join(", "))
}

fn is_good(meaning: &Meaning) -> bool {
    *meaning == Meaning::AsExpected
}

/// The last line: what all came to.
fn sum(swept: &[Swept<'_>]) -> String {
    let sum =
        |of: fn(&Summary) -> u64| -> u64 { swept.iter().map(|(_, summary, _)| of(summary)).sum() };
    let seconds: f64 = swept.iter().map(|(_, summary, _)| summary.took.as_secs_f64()).sum();
    let (style, words) = verdict(&swept.iter().collect::<Vec<_>>());
    format!(
        "{}: {}, {} ({} a second): {}. `sweep` shows each scenario, `sweep NAME` one of them.",
        counted(swept.len() as u64, "scenario"),
        counted(sum(|summary| summary.seeds), "seed"),
        counted(sum(|summary| summary.events), "event"),
        show::rate(sum(|summary| summary.events), seconds),
        show::styled(style, &words),
    )
}
