//! Small plots, as SVG: one number each, from zero up, the last one said; over campaigns, and over
//! the seeds or the seconds of one.

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
    figure((name, class), &last, &label, &points, &dots)
}

fn figure(
    (name, class): (&str, &str),
    last: &str,
    label: &str,
    points: &str,
    dots: &str,
) -> String {
    format!(
        "<figure class=\"{class}\"><figcaption><span>{name}</span><b>{last}</b></figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">\
         <line x1=\"0\" x2=\"{WIDTH}\" y1=\"{base}\" y2=\"{base}\"/>\
         <polyline points=\"{points}\"/>{dots}</svg></figure>\n",
        base = HEIGHT - EDGE,
    )
}

/// How the axis of a curve is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// From zero on.
    Linear,
    /// From one on: each tenfold takes as much room.
    Log,
}

/// A number over the course of one campaign.
pub(super) struct Curve<'a> {
    pub(super) name: &'a str,
    pub(super) class: &'a str,
    /// Moments in their order, each with the number from there on.
    pub(super) points: &'a [(f64, f64)],
    pub(super) scale: Scale,
    /// What moments are counted in.
    pub(super) unit: &'a str,
    /// The moment at which the campaign ended.
    pub(super) end: f64,
    /// Whether the number stays until the next moment, and then jumps.
    pub(super) steps: bool,
}

/// Room for what an axis says of its ends.
const AXIS: f64 = 16.0;

/// Points of a curve that are drawn, at most; the picture has no room for more.
const DRAWN: usize = 320;

pub(super) fn curve(curve: &Curve<'_>) -> String {
    let Curve { name, class, points, scale, unit, end, steps } = *curve;
    let end = points.last().map_or(end, |(last, _)| end.max(*last)).max(1.0);
    let place = |moment: f64| match scale {
        Scale::Linear => moment / end,
        Scale::Log => moment.max(1.0).ln() / end.ln().max(1e-9),
    };
    let most = points.iter().map(|(_, number)| *number).fold(1.0, f64::max);
    let x = |moment: f64| EDGE + (WIDTH - 2.0 * EDGE) * place(moment).min(1.0);
    let y = |number: f64| HEIGHT - EDGE - (HEIGHT - 2.0 * EDGE) * number / most;
    let mut drawn = String::new();
    let mut before = 0.0;
    // Writing to a string cannot fail.
    let mut draw = |moment: f64, number: f64| {
        let _ = write!(drawn, "{:.1},{:.1} ", x(moment), y(number));
    };
    if steps {
        draw(0.0, 0.0);
    }
    let every = points.len().div_ceil(DRAWN).max(1);
    for (index, (moment, number)) in points.iter().enumerate() {
        if index % every != 0 && index + 1 < points.len() {
            continue;
        }
        if steps {
            draw(*moment, before);
        }
        draw(*moment, *number);
        before = *number;
    }
    if steps {
        draw(end, before);
    }
    let last = count(before.round() as u64);
    let from = if scale == Scale::Log { "1" } else { "0" };
    let to = format!("{} {unit}", count(end.round() as u64));
    let label = format!("{name}: {last} in the end, after {to}");
    let (middle, bottom) = (HEIGHT + AXIS - 4.0, HEIGHT + AXIS);
    let scale = if scale == Scale::Log { "each tenfold as wide" } else { "" };
    let axis = format!(
        "<text x=\"{EDGE}\" y=\"{middle}\">{from}</text>\
         <text x=\"{}\" y=\"{middle}\" text-anchor=\"middle\">{scale}</text>\
         <text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{to}</text>",
        WIDTH / 2.0,
        WIDTH - EDGE,
    );
    figure((name, class), &last, &label, &drawn, &axis).replacen(
        &format!("0 0 {WIDTH} {HEIGHT}"),
        &format!("0 0 {WIDTH} {bottom}"),
        1,
    )
}
