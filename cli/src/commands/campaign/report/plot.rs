//! Small plots over campaigns, as SVG: one number each, from zero up, the last one said.

use super::super::clock;
use super::history::Past;
use super::html::escape;
use seedfall::words::count;
use std::fmt::Write as _;

const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 84.0;
/// Room for the dots at the edges.
const EDGE: f64 = 6.0;

/// The plots of a history.
pub(super) fn plots(past: &[Past]) -> String {
    type Of = fn(&Past) -> f64;
    let all: [(&str, &str, Of); 4] = [
        ("runs", "plain", |one| one.runs as f64),
        ("runs per machine second", "plain", |one| one.runs as f64 / one.seconds.max(1e-3)),
        ("kinds of failures", "bad", |one| one.kinds as f64),
        ("coverage marks never reached", "bad", |one| (one.marks - one.reached) as f64),
    ];
    all.iter().map(|(name, class, of)| plot(past, name, class, *of)).collect()
}

fn plot(past: &[Past], name: &str, class: &str, of: fn(&Past) -> f64) -> String {
    let values: Vec<f64> = past.iter().map(of).collect();
    let most = values.iter().copied().fold(1.0, f64::max);
    let step = (WIDTH - 2.0 * EDGE) / (values.len().max(2) - 1) as f64;
    let x = |index: usize| EDGE + step * index as f64;
    let y = |value: f64| HEIGHT - EDGE - (HEIGHT - 2.0 * EDGE) * value / most;
    let mut points = String::new();
    let mut dots = String::new();
    for (index, (value, one)) in values.iter().zip(past).enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(points, "{:.1},{:.1} ", x(index), y(*value));
        let what = format!(
            "{}: {}, {} {}",
            clock::told(one.begun),
            count(value.round() as u64),
            one.commit,
            one.word
        );
        let radius = if index + 1 == values.len() { 4.0 } else { 2.5 };
        let _ = write!(
            dots,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\"><title>{}</title></circle>",
            x(index),
            y(*value),
            escape(&what)
        );
    }
    let last = count(values.last().copied().unwrap_or_default().round() as u64);
    let label = format!("{name}: {last} in the last of {} campaigns", values.len());
    format!(
        "<figure class=\"{class}\"><figcaption><span>{name}</span><b>{last}</b></figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">\
         <line x1=\"0\" x2=\"{WIDTH}\" y1=\"{base}\" y2=\"{base}\"/>\
         <polyline points=\"{points}\"/>{dots}</svg></figure>\n",
        base = HEIGHT - EDGE,
    )
}
