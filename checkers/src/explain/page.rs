//! One page of HTML: no script, no link, light and dark.

use std::fmt::{Debug, Write as _};

use crate::history::{History, Operation};
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

/// One operation, ready to be drawn.
pub(crate) struct Interval {
    pub(crate) call: u64,
    pub(crate) returned: Option<u64>,
    pub(crate) words: String,
}

/// What a page shows.
pub(crate) struct Page<'a> {
    pub(crate) title: &'a str,
    /// In a word or two.
    pub(crate) answer: &'a str,
    /// How many operations there are, and each of them.
    pub(crate) count: usize,
    pub(crate) operation: &'a dyn Fn(u32) -> Interval,
    /// Operations that contradict each other, in call order, and the one that nothing explains.
    pub(crate) core: &'a [u32],
    pub(crate) guilty: Option<u32>,
    /// Orders in which operations may have taken effect.
    pub(crate) orders: &'a [Vec<u32>],
    pub(crate) text: &'a str,
}

/// Explains a verdict on one self-contained page: the intervals of the operations around the
/// violation (or from the beginning), where each took effect if an order is known, and the text of
/// [`super::text`].
pub fn html<I: Debug, O: Debug>(title: &str, history: &History<I, O>, verdict: &Verdict) -> String {
    let (answer, orders) = match verdict {
        Verdict::Holds(certificate) => ("linearizable", certificate.orders.as_slice()),
        Verdict::Violated(witness) => ("not linearizable", std::slice::from_ref(&witness.prefix)),
        Verdict::Unknown(_) => ("unknown", &[][..]),
    };
    let interval = |index: u32| {
        let told: &Operation<I, O> = &history.operations[index as usize];
        let returned = told.outcome.returned();
        Interval { call: told.call, returned, words: super::operation(told) }
    };
    let page = Page {
        title,
        answer,
        count: history.len(),
        operation: &interval,
        core: verdict.witness().map_or(&[], |witness| &witness.core),
        guilty: verdict.witness().map(|witness| witness.operation),
        orders,
        text: &super::text(history, verdict),
    };
    page.html()
}

impl Page<'_> {
    pub(crate) fn html(&self) -> String {
        let mut page = String::new();
        let (title, answer) = (escape(self.title), self.answer);
        page.push_str("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
        page.push_str("<meta name=\"viewport\" content=\"width=device-width\">");
        // Writing to a string cannot fail.
        let _ =
            writeln!(page, "<title>{title}: {answer}</title><style>{STYLE}</style></head><body>");
        let _ = writeln!(page, "<h1>{title}: {answer}</h1>");
        self.draw(&mut page);
        let _ = writeln!(page, "<pre>{}</pre></body></html>", escape(self.text));
        page
    }

    /// The operations to draw, in call order: the core, then those called last before its end; the
    /// first ones if there is no core.
    fn shown(&self) -> Vec<u32> {
        let ends = |index: &u32| {
            let drawn = (self.operation)(*index);
            drawn.returned.unwrap_or(drawn.call)
        };
        let Some(until) = self.core.iter().map(ends).max() else {
            return (0..self.count.min(ROWS) as u32).collect();
        };
        let mut shown: Vec<u32> = self.core.iter().rev().copied().take(ROWS).collect();
        let near = (0..self.count as u32).rev();
        let near = near.filter(|index| {
            self.core.binary_search(index).is_err() && (self.operation)(*index).call <= until
        });
        // Half a page around a core is enough to see it by.
        let room = (ROWS / 2).max(shown.len());
        let room = room.min(ROWS) - shown.len();
        shown.extend(near.take(room));
        shown.sort_unstable();
        shown
    }

    fn draw(&self, page: &mut String) {
        let shown = self.shown();
        let drawn: Vec<Interval> = shown.iter().map(|index| (self.operation)(*index)).collect();
        let Some(from) = drawn.iter().map(|one| one.call).min() else { return };
        let ends = drawn.iter().map(|one| one.returned.unwrap_or(one.call));
        let to = ends.max().unwrap_or(from).max(from + 1);
        let place = |time: u64| {
            let time = time.clamp(from, to) - from;
            (u128::from(time) * u128::from(WIDTH) / u128::from(to - from)) as u64
        };
        let effects = self.effects();
        let height = shown.len() * ROW + 10;
        let _ = writeln!(
            page,
            "<p class=\"soft\">{} of {} operations, from {from} to {to}; {} not drawn.</p>\
             <svg viewBox=\"0 0 {} {height}\" role=\"img\" aria-label=\"intervals\">",
            shown.len(),
            self.count,
            self.count - shown.len(),
            WIDTH + 20
        );
        for (row, (index, one)) in shown.iter().zip(&drawn).enumerate() {
            let (x, y) = (place(one.call), row * ROW + 4);
            let width = place(one.returned.unwrap_or(to)).saturating_sub(x).max(3);
            let class = match self.guilty {
                Some(guilty) if guilty == *index => "bad",
                _ if self.core.binary_search(index).is_ok() => "core",
                _ => "bar",
            };
            let words = escape(&one.words.chars().take(160).collect::<String>());
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
            let short = escape(&one.words.chars().take(70).collect::<String>());
            let _ = writeln!(
                page,
                "<text x=\"{left}\" y=\"{}\" text-anchor=\"{anchor}\">#{index} {short}</text></g>",
                y + 11
            );
        }
        page.push_str("</svg>\n");
    }

    /// When each operation may have taken effect: as early as the order allows.
    fn effects(&self) -> Vec<Option<u64>> {
        let mut effects = vec![None; self.count];
        for order in self.orders {
            let mut latest = 0;
            for index in order.iter().filter(|index| (**index as usize) < self.count) {
                latest = (self.operation)(*index).call.max(latest);
                effects[*index as usize] = Some(latest);
            }
        }
        effects
    }
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
