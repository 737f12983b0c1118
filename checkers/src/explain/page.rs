//! One page of HTML: no script, no link, light and dark.

use std::fmt::{Debug, Write as _};

use crate::history::History;
use crate::verdict::Verdict;

/// Most rows of the drawing: a page is for people.
const ROWS: usize = 200;
/// Width of the drawing in units of the picture.
const WIDTH: u64 = 1_000;
/// Height of a row.
const ROW: usize = 22;

const STYLE: &str = "
:root { --paper: #fff; --ink: #1d1f24; --soft: #6b7280; --bar: #9db8d9; --core: #e0a33a;
        --bad: #d1495b; --good: #4f9d69; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15171b; --ink: #e6e7ea; --soft: #9aa1ad; --bar: #3f5d80; --core: #b57d1d;
          --bad: #e0637a; --good: #5fb37d; }
}
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
       margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.5 ui-monospace, monospace; }
svg { width: 100%; height: auto; } text { fill: var(--ink); font: 11px ui-monospace, monospace; }
.bar { fill: var(--bar); } .core { fill: var(--core); } .bad { fill: var(--bad); }
.place { fill: var(--good); } .soft { color: var(--soft); }
";

/// Explains a verdict on one self-contained page: the intervals of the operations around the
/// violation (or from the beginning), where each took effect if an order is known, and the text of
/// [`super::text`].
pub fn html<I: Debug, O: Debug>(title: &str, history: &History<I, O>, verdict: &Verdict) -> String {
    let mut page = String::new();
    let title = escape(title);
    let answer = match verdict {
        Verdict::Holds(_) => "linearizable",
        Verdict::Violated(_) => "not linearizable",
        Verdict::Unknown(_) => "unknown",
    };
    page.push_str("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width\">");
    let _ = writeln!(page, "<title>{title}: {answer}</title><style>{STYLE}</style></head><body>");
    let _ = writeln!(page, "<h1>{title}: {answer}</h1>");
    drawing(&mut page, history, verdict);
    let _ = writeln!(page, "<pre>{}</pre></body></html>", escape(&super::text(history, verdict)));
    page
}

/// The operations to draw, in call order.
fn shown<I, O>(history: &History<I, O>, verdict: &Verdict) -> Vec<u32> {
    let mut shown: Vec<u32> = match verdict {
        Verdict::Violated(witness) => {
            // The core, then those called last before the end of its window.
            let near = (0..history.len() as u32)
                .rev()
                .filter(|index| history.operations[*index as usize].call <= witness.window.1);
            let core = witness.core.iter().rev().copied().take(ROWS);
            let mut shown: Vec<u32> = core.chain(near.take(ROWS)).collect();
            shown.sort_unstable();
            shown.dedup();
            let few: Vec<u32> =
                shown.iter().copied().filter(|index| witness.core.contains(index)).collect();
            if shown.len() > ROWS { few } else { shown }
        }
        Verdict::Holds(_) | Verdict::Unknown(_) => (0..history.len().min(ROWS) as u32).collect(),
    };
    shown.retain(|index| (*index as usize) < history.len());
    shown.truncate(ROWS);
    shown
}

fn drawing<I: Debug, O: Debug>(page: &mut String, history: &History<I, O>, verdict: &Verdict) {
    let shown = shown(history, verdict);
    let at = |index: &u32| &history.operations[*index as usize];
    let Some(from) = shown.iter().map(|index| at(index).call).min() else { return };
    let ends = shown.iter().map(|index| at(index).outcome.returned().unwrap_or(at(index).call));
    let to = ends.max().unwrap_or(from).max(from + 1);
    let place = |time: u64| {
        let time = time.clamp(from, to) - from;
        (u128::from(time) * u128::from(WIDTH) / u128::from(to - from)) as u64
    };
    let (core, guilty) = match verdict {
        Verdict::Violated(witness) => (witness.core.as_slice(), Some(witness.operation)),
        Verdict::Holds(_) | Verdict::Unknown(_) => (&[][..], None),
    };
    let effects = effects(history, verdict);
    let height = shown.len() * ROW + 10;
    let hidden = history.len() - shown.len();
    let _ = writeln!(
        page,
        "<p class=\"soft\">{} of {} operations, from {from} to {to}; {hidden} not drawn.</p>\
         <svg viewBox=\"0 0 {} {height}\" role=\"img\" aria-label=\"intervals\">",
        shown.len(),
        history.len(),
        WIDTH + 20
    );
    for (row, index) in shown.iter().enumerate() {
        let told = at(index);
        let (x, y) = (place(told.call), row * ROW + 4);
        let width = place(told.outcome.returned().unwrap_or(to)).saturating_sub(x).max(3);
        let class = match guilty {
            Some(guilty) if guilty == *index => "bad",
            _ if core.contains(index) => "core",
            _ => "bar",
        };
        let words = escape(&super::operation(told).chars().take(160).collect::<String>());
        let _ = writeln!(
            page,
            "<g><title>#{index} {words}</title><rect class=\"{class}\" x=\"{x}\" y=\"{y}\" \
             width=\"{width}\" height=\"14\" rx=\"3\"/>"
        );
        if let Some(effect) = effects.get(*index as usize).copied().flatten() {
            let _ = writeln!(
                page,
                "<circle class=\"place\" cx=\"{}\" cy=\"{}\" r=\"4\"/>",
                place(effect),
                y + 7
            );
        }
        let left = if x > WIDTH / 2 { x.saturating_sub(4) } else { x + width + 4 };
        let anchor = if x > WIDTH / 2 { "end" } else { "start" };
        let short = escape(&super::operation(told).chars().take(70).collect::<String>());
        let _ = writeln!(
            page,
            "<text x=\"{left}\" y=\"{}\" text-anchor=\"{anchor}\">#{index} {short}</text></g>",
            y + 11
        );
    }
    page.push_str("</svg>\n");
}

/// When each operation may have taken effect: as early as the order allows.
fn effects<I, O>(history: &History<I, O>, verdict: &Verdict) -> Vec<Option<u64>> {
    let mut effects = vec![None; history.len()];
    let orders = match verdict {
        Verdict::Holds(certificate) => certificate.orders.as_slice(),
        Verdict::Violated(witness) => std::slice::from_ref(&witness.prefix),
        Verdict::Unknown(_) => &[],
    };
    for order in orders {
        let mut latest = 0;
        for index in order {
            if let Some(operation) = history.operations.get(*index as usize) {
                latest = operation.call.max(latest);
                effects[*index as usize] = Some(latest);
            }
        }
    }
    effects
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            other => safe.push(other),
        }
    }
    safe
}
