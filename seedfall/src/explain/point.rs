//! The point of no return, as a section of the page.

use super::html::escape;
use crate::point::{Chance, Point, Turn};
use std::fmt::Write as _;

/// The size of the curve, in units of the picture, which is as wide as its column.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 110.0;

/// The curve, and the events at which it turns.
pub(super) fn section(point: &Point) -> String {
    let across = |after: u64| WIDTH * after as f64 / point.events.max(1) as f64;
    let up = |chance: &Chance| HEIGHT - HEIGHT * chance.share();
    let mut line = String::new();
    for chance in &point.curve {
        // Writing to a string cannot fail.
        let _ = write!(line, "{:.1},{:.1} ", across(chance.after), up(chance));
    }
    let futures = point.curve.iter().map(|chance| chance.of);
    let (least, most) = (futures.clone().min().unwrap_or(0), futures.max().unwrap_or(0));
    format!(
        "<section><h2>Point of no return</h2>\n\
         <p>How many of {least} to {most} futures break <b>{}</b>, if everything after event k is \
         drawn anew; k from 0 to {}.</p>\n{}\
         <p>{}</p>\n<p>{}</p></section>\n",
        escape(&point.property),
        point.events,
        picture(point.events, line.trim_end(), across(point.jump.before.after)),
        turn("More likely than not from", &point.jump),
        turn("All but certain from", &point.decided),
    )
}

/// The curve with its axes, a line at one half, and one where it comes to that for good.
fn picture(events: u64, line: &str, jump: f64) -> String {
    let label = |x: f64, y: f64, anchor: &str, text: &str| {
        format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>\n")
    };
    let shares = [(1.0, "100 %"), (0.5, "50 %"), (0.0, "0")];
    let mut labels: String = shares
        .map(|(share, text)| label(-6.0, HEIGHT - HEIGHT * share + 3.5, "end", text))
        .concat();
    labels += &label(0.0, HEIGHT + 14.0, "middle", "0");
    labels += &label(WIDTH, HEIGHT + 14.0, "end", &format!("event {events}"));
    let half = HEIGHT / 2.0;
    format!(
        "<svg class=\"curve\" viewBox=\"-44 -8 {} {}\" role=\"img\" \
         aria-label=\"share of futures that fail, over the events of the run\">\n\
         <path class=\"axis\" d=\"M0,0V{HEIGHT}H{WIDTH}\"/>\n\
         <path class=\"axis dashed\" d=\"M0,{half}H{WIDTH}\"/>\n\
         <path class=\"moment\" d=\"M{jump:.1},0V{HEIGHT}\"/>\n\
         <polyline points=\"{line}\"/>\n{labels}</svg>\n",
        WIDTH + 50.0,
        HEIGHT + 28.0,
    )
}

fn turn(words: &str, turn: &Turn) -> String {
    let (before, after) = (100.0 * turn.before.share(), 100.0 * turn.after.share());
    let text = escape(&turn.text);
    format!("{words} event {}, from {before:.0} to {after:.0} %: <code>{text}</code>", turn.event)
}
