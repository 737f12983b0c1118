//! The table of the main job where there are many scenarios: a row a family, so that it fits on a
//! screen. A family are the scenarios whose names begin with the same word.

use super::show;
use anstyle::Style;
use comfy_table::{Cell, Table};
use seedfall::faults::Class;
use seedfall::run::Runnable;
use seedfall::scenario::Expectation;
use seedfall::sweep::{Meaning, Summary};
use seedfall::words::{count, counted};
use std::collections::BTreeSet;

/// Scenarios from which on families are shown.
pub(super) const FROM: usize = 25;

/// A scenario, what is expected of it, and what came of it.
struct Swept<'a> {
    name: &'a str,
    expect: Expectation,
    summary: &'a Summary,
    meaning: &'a Meaning,
}

/// Shows the table, and a line with the sum of it.
pub(super) fn tell(swept: &[(&dyn Runnable, Summary, Meaning)]) {
    let swept = swept.iter().map(|(scenario, summary, meaning)| Swept {
        name: scenario.name(),
        expect: scenario.expect(),
        summary,
        meaning,
    });
    let swept: Vec<Swept<'_>> = swept.collect();
    show::raw(&show::fitted(table(&swept), &[4, 3]));
    show::line("");
    show::line(&sum(&swept));
}

fn table(swept: &[Swept<'_>]) -> Table {
    let header = ["scenarios", "", "seeds", "events", "events/s", "faults", "verdict"];
    let mut table = show::table(&header, &[1, 2, 3, 4, 5]);
    let mut words: Vec<&str> = Vec::new();
    for one in swept {
        let word = first_word(one.name);
        if !words.contains(&word) {
            words.push(word);
        }
    }
    for word in words {
        let family = swept.iter().filter(|one| first_word(one.name) == word);
        table.add_row(row(&family.collect::<Vec<_>>()));
    }
    table
}

fn first_word(name: &str) -> &str {
    name.split('-').next().unwrap_or(name)
}

/// The words that all names begin with.
fn common(family: &[&Swept<'_>]) -> String {
    let mut names = family.iter().map(|one| one.name.split('-'));
    let mut common: Vec<&str> = names.next().into_iter().flatten().collect();
    for name in names {
        let same = common.iter().zip(name).take_while(|(word, other)| **word == *other).count();
        common.truncate(same);
    }
    common.join("-")
}

fn row(family: &[&Swept<'_>]) -> Vec<Cell> {
    let sum = |of: fn(&Summary) -> u64| family.iter().map(|one| of(one.summary)).sum();
    let seconds: f64 = family.iter().map(|one| one.summary.took.as_secs_f64()).sum();
    let planned = family.iter().flat_map(|one| &one.summary.fired);
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
        let all = swept.iter().filter(|one| which(one.meaning, &one.expect));
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
    let sum = |of: fn(&Summary) -> u64| -> u64 { swept.iter().map(|one| of(one.summary)).sum() };
    let seconds: f64 = swept.iter().map(|one| one.summary.took.as_secs_f64()).sum();
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

#[cfg(test)]
mod tests {
    use super::*;
    use seedfall::FailureKind;

    /// Names, what is expected, what came of it, of a run each.
    fn told(all: &[(&str, Expectation, Meaning)]) -> String {
        let summary = Summary { seeds: 1, events: 10, ..Summary::default() };
        let swept = all.iter().map(|(name, expect, meaning)| Swept {
            name,
            expect: *expect,
            summary: &summary,
            meaning,
        });
        let swept: Vec<Swept<'_>> = swept.collect();
        let text = format!("{}\n{}", table(&swept), sum(&swept));
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn breaks() -> Expectation {
        Expectation::Violates { properties: &[], because: "" }
    }

    #[test]
    fn a_family_is_a_row_and_the_sum_counts_every_scenario() {
        let good = Meaning::AsExpected;
        let text = told(&[
            ("raft-kv", Expectation::Holds, good.clone()),
            ("paxos", Expectation::Holds, good.clone()),
            ("raft-kv-3", Expectation::Holds, good.clone()),
            ("raft-twins", breaks(), good),
        ]);
        assert!(text.contains("raft 3 3 30"), "{text}");
        assert!(text.contains("2 hold, 1 breaks as it must"), "{text}");
        assert!(text.contains("paxos 1 1 10"), "{text}");
        assert!(text.contains("4 scenarios: 4 seeds, 40 events"), "{text}");
        assert!(text.contains("3 hold, 1 breaks as it must"), "{text}");
    }

    #[test]
    fn one_that_is_broken_or_vacuous_shows_in_its_row_and_in_the_sum() {
        let vacuous = Meaning::Vacuous("nothing happened".to_owned());
        let text = told(&[
            ("raft-kv", Expectation::Holds, Meaning::AsExpected),
            ("raft-kv-3", Expectation::Holds, Meaning::Broken(FailureKind::Safety)),
            ("paxos-flexible", breaks(), vacuous),
        ]);
        assert!(text.contains("1 BROKEN, 1 holds"), "{text}");
        assert!(text.contains("1 BROKEN, 1 vacuous, 1 holds"), "{text}");
    }
}
