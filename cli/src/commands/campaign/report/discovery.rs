//! What the campaign came upon, and when: plots over its seeds and its seconds, and what was seen
//! last.

use super::super::course::{Discovery, First, Sort};
use super::Told;
use super::html::escape;
use super::page::{section, table};
use super::plot::{Curve, Scale, curve};
use seedfall::words::count;

/// Things of a sort in the table, at most: those that were seen last.
const LAST: usize = 8;

/// The part of the page; nothing, where nothing was run.
pub(super) fn discovery(told: &Told<'_>) -> String {
    let found = &told.judged.discovery;
    let mut plots = String::new();
    let mut rows = String::new();
    for sort in Sort::ALL {
        let mut all: Vec<(&str, &str, First)> = found.all(sort).collect();
        if all.is_empty() {
            continue;
        }
        plots += &over_seeds(found, sort, &all);
        plots += &over_time(found, sort, &all);
        // The last ones first: those that few seeds come upon.
        all.sort_by_key(|(scenario, name, first)| (u64::MAX - first.seeds, *scenario, *name));
        rows += &all.iter().take(LAST).map(|one| row(sort, one)).collect::<String>();
    }
    if !found.rate.is_empty() {
        plots += &curve(&Curve {
            name: "runs per second, over time",
            class: "plain",
            points: &found.rate,
            scale: Scale::Linear,
            unit: "s",
            end: found.seconds,
            steps: false,
        });
    }
    if plots.is_empty() {
        return String::new();
    }
    let header = ["seen last", "scenario", "what", "#among seeds", "#after"];
    let last = format!("<details><summary>seen last</summary>{}</details>", table(&header, &rows));
    section(
        "Discovery",
        "What was first seen when, each thing once a scenario. A curve that still climbs at its \
         end says that more seeds would find more. Seeds count by whole units; seconds are those \
         in which somebody was at work.",
        &format!("<div class=\"plots\">{plots}</div>{last}"),
    )
}

fn row(sort: Sort, (scenario, name, first): &(&str, &str, First)) -> String {
    let after = first.second.map_or_else(|| "-".to_owned(), |second| format!("{second:.1} s"));
    format!(
        "<tr><td>{}</td><th scope=\"row\">{}</th><td>{}</td><td class=\"n\">{}</td>\
         <td class=\"n\">{after}</td></tr>\n",
        sort.words(),
        escape(scenario),
        escape(name),
        count(first.seeds),
    )
}

fn class(sort: Sort) -> &'static str {
    match sort {
        Sort::Failure => "bad",
        Sort::Mark | Sort::Class => "plain",
    }
}

/// How many things there are at each moment at which one was first seen.
fn climbing(mut moments: Vec<f64>) -> Vec<(f64, f64)> {
    moments.sort_by(f64::total_cmp);
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (index, moment) in moments.into_iter().enumerate() {
        let sum = (index + 1) as f64;
        match points.last_mut() {
            Some(last) if moment <= last.0 => last.1 = sum,
            _ => points.push((moment, sum)),
        }
    }
    points
}

fn over_seeds(found: &Discovery, sort: Sort, all: &[(&str, &str, First)]) -> String {
    let points = climbing(all.iter().map(|(.., first)| first.seeds as f64).collect());
    curve(&Curve {
        name: &format!("{}, over seeds", sort.words()),
        class: class(sort),
        points: &points,
        scale: Scale::Log,
        unit: "seeds",
        end: found.seeds as f64,
        steps: true,
    })
}

fn over_time(found: &Discovery, sort: Sort, all: &[(&str, &str, First)]) -> String {
    let points = climbing(all.iter().filter_map(|(.., first)| first.second).collect());
    if points.is_empty() {
        return String::new();
    }
    curve(&Curve {
        name: &format!("{}, over time", sort.words()),
        class: class(sort),
        points: &points,
        scale: Scale::Linear,
        unit: "s",
        end: found.seconds,
        steps: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_climbs_once_a_moment() {
        let points = climbing(vec![3.0, 1.0, 1.0, 2.0]);
        assert_eq!(points, [(1.0, 2.0), (2.0, 3.0), (3.0, 4.0)]);
    }
}
