//! The point of no return, as a section of the page.

use super::html::escape;
use crate::point::{Chance, Point, Turn};
use std::fmt::Write as _;

/// The size of the curve, in pixels.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 120.0;

/// The curve, and the events at which it turns.
pub(super) fn section(point: &Point) -> String {
    let across = |after: u64| WIDTH * after as f64 / point.events.max(1) as f64;
    let up = |chance: &Chance| HEIGHT - HEIGHT * chance.share();
    let mut line = String::new();
    for chance in &point.curve {
        // Writing to a string cannot fail.
        let _ = write!(line, "{:.1},{:.1} ", across(chance.after), up(chance));
    }
    let jump = across(point.jump.event);
    format!(
        "<section><h2>Point of no return</h2>\n\
         <p>How many of {} futures break <b>{}</b>, if all that comes after event k is drawn anew; \
         k from 0 to {}.</p>\n\
         <svg viewBox=\"-4 -4 {} {}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" \
         aria-label=\"share of futures that fail\">\n\
         <path d=\"M0,0V{HEIGHT}H{WIDTH}\" fill=\"none\" stroke=\"currentColor\" opacity=\".5\"/>\n\
         <line x1=\"{jump:.1}\" x2=\"{jump:.1}\" y1=\"0\" y2=\"{HEIGHT}\" stroke=\"currentColor\" \
         stroke-dasharray=\"3 3\" opacity=\".5\"/>\n\
         <polyline points=\"{}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\"/></svg>\n\
         <p>{}</p>\n<p>{}</p></section>\n",
        point.jump.before.of,
        escape(&point.promise),
        point.events,
        WIDTH + 8.0,
        HEIGHT + 8.0,
        line.trim_end(),
        turn("It jumps at", &point.jump),
        turn("It is decided at", &point.decided),
    )
}

fn turn(words: &str, turn: &Turn) -> String {
    let (before, after) = (100.0 * turn.before.share(), 100.0 * turn.after.share());
    let text = escape(&turn.text);
    format!("{words} event {}, from {before:.0} to {after:.0} %: <code>{text}</code>", turn.event)
}
