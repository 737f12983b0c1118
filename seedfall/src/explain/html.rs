//! The page: a text that is complete without a script, and a diagram that a script draws from a
//! data island.
//!
//! All contents come from users. In the page they are escaped; in the island `<` is, so that
//! nothing there can end it; the script puts them on the screen as text, never as markup. The page
//! names no other place and forbids itself to.

use super::{Explanation, Happening, Operation, PAGE_BYTES_MAX, Told};
use crate::save::save;
use crate::words::counted;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: [&str; 2] = [include_str!("diagram.js"), include_str!("page.js")];

/// Lines of a list in the text, at most.
const LINES_MAX: usize = 300;
/// How much of the contents of an event is shown: less, if the page would be too long.
const CONTENTS_MAX: [usize; 4] = [600, 240, 100, 40];

impl Explanation {
    /// The report as one page that needs nothing else. A run too long for a page keeps the causal
    /// cone and its end.
    pub fn html(&self) -> String {
        let kind = if self.is_failure() { "bad" } else { "good" };
        let mut fill = vec![
            ("title", escape(&format!("{}, seed {}", self.scenario, self.seed))),
            ("verdict", kind.to_owned()),
            ("line", escape(&self.verdict.line)),
            ("about", escape(&self.about)),
            ("failure", self.failure_html()),
            ("commands", self.commands_html()),
            ("facts", self.facts_html()),
            ("story", self.story_html()),
            ("point", self.point.as_ref().map_or_else(String::new, super::point::section)),
            ("history", self.history_html()),
            ("printed", self.printed_html()),
            ("faults", self.faults_html()),
            ("style", STYLE.to_owned()),
            ("script", SCRIPT.concat()),
        ];
        // The diagram gets the room that the text leaves.
        let text: usize = fill.iter().map(|(_, text)| text.len()).sum();
        let island = self.island(PAGE_BYTES_MAX.saturating_sub(text + PAGE.len()));
        fill.push(("island", island));
        let mut page = String::new();
        let mut rest = PAGE;
        // One pass, so that nothing that was filled in is taken for a place to fill in.
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").unwrap_or((after, ""));
            page.push_str(before);
            match fill.iter().find(|(known, _)| *known == name) {
                Some((_, text)) => page.push_str(text),
                None => unreachable!("the page has no place called {name}"),
            }
            rest = after;
        }
        page.push_str(rest);
        page
    }

    /// Writes the page, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written; what stood there before is untouched.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        save(path, self.html().as_bytes())
    }

    fn failure_html(&self) -> String {
        let mut html = String::new();
        let mut row = |name: &str, value: &str, class: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(html, "<dt>{name}</dt><dd class=\"{class}\">{}</dd>", escape(value));
        };
        if let Some(property) = &self.verdict.property {
            row("property", property, "");
        }
        if !self.verdict.why.is_empty() {
            row("but", &self.verdict.why, "");
        }
        for line in self.verdict.witness.iter().take(LINES_MAX) {
            let class = if line.starts_with('>') { "op broken" } else { "op" };
            row("", clip(line, CONTENTS_MAX[0]), class);
        }
        if let Some(shrunk) = &self.shrunk {
            row("shrunk to", shrunk, "");
        }
        html
    }

    fn commands_html(&self) -> String {
        let command = |what: &str, line: &str| {
            format!(
                "<div class=\"command\"><span>{what}</span><code>{}</code>\
                 <button type=\"button\" class=\"copy\">copy</button></div>",
                escape(line)
            )
        };
        let mut html = command("this run", &self.replay);
        if let Some(whole) = &self.whole {
            html.push_str(&command("before it was shrunk", whole));
        }
        html
    }

    fn facts_html(&self) -> String {
        let mut facts = vec![
            ("seed", self.seed.to_string()),
            ("model", self.model.clone()),
            ("events", self.events.len().to_string()),
            ("messages", self.messages.len().to_string()),
            ("ended", seconds(self.ended)),
            ("hash", self.hash.clone()),
        ];
        let cone = self.events.iter().filter(|event| event.cone).count();
        if cone > 0 {
            facts.push(("causal cone", counted(cone as u64, "event")));
        }
        facts
            .iter()
            .map(|(name, value)| format!("<div><b>{name}</b> {}</div>\n", escape(value)))
            .collect()
    }

    fn story_html(&self) -> String {
        told_html(&self.story)
    }

    /// What programs printed and logged, as a section; protocols print nothing.
    fn printed_html(&self) -> String {
        if self.printed.is_empty() {
            return String::new();
        }
        format!(
            "<section><h2>Printed by the programs</h2>\n\
             <div class=\"scroll\"><table class=\"story\">{}</table></div></section>\n",
            told_html(&self.printed)
        )
    }

    fn history_html(&self) -> String {
        let rows = self.operations.iter().enumerate().map(|(index, one)| self.row(index, one));
        cut(rows, self.operations.len(), 5)
    }

    fn row(&self, index: usize, one: &Operation) -> String {
        let class = match (one.broken, &one.witness) {
            (true, _) => "broken",
            (false, Some(_)) => "witness",
            (false, None) => "",
        };
        let ended = one.answered.map(|event| self.events[event].at).or(one.given_up);
        let output = match (one.answered, one.given_up) {
            (Some(_), _) => one.output.as_str(),
            (None, Some(_)) => "no answer: it may have happened, or may yet",
            (None, None) => "still open at the end of the run",
        };
        format!(
            "<tr class=\"{class}\" data-operation=\"{index}\"><td>{}</td><td>{}</td><td>{}</td>\
             <td>{}</td><td>{}</td></tr>\n",
            escape(&one.name),
            seconds(self.events[one.asked].at),
            ended.map_or_else(|| "?".to_owned(), seconds),
            escape(clip(&one.input, CONTENTS_MAX[1])),
            escape(clip(output, CONTENTS_MAX[1])),
        )
    }

    fn faults_html(&self) -> String {
        let rows = self.faults.iter().map(|fault| {
            format!(
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                seconds(fault.from),
                seconds(fault.to),
                escape(&fault.text),
                if fault.fired { "yes" } else { "no" },
            )
        });
        cut(rows, self.faults.len(), 4)
    }

    /// The data of the diagram, in `room` bytes.
    fn island(&self, room: usize) -> String {
        let mut kept = vec![true; self.events.len()];
        let mut island = String::new();
        for most in CONTENTS_MAX {
            island = self.island_of(&kept, most);
            if island.len() <= room {
                return island;
            }
        }
        let mut last = self.events.len();
        while island.len() > room && last > 1 {
            last /= 2;
            kept = self.keep_last(last);
            island = self.island_of(&kept, CONTENTS_MAX[3]);
        }
        island
    }

    /// The `last` events that count most: of the cone first, and of these the latest. What became
    /// of a message stays with its sending.
    fn keep_last(&self, last: usize) -> Vec<bool> {
        let mut order: Vec<usize> = (0..self.events.len()).rev().collect();
        order.sort_by_key(|index| !self.events[*index].cone);
        let mut kept = vec![false; self.events.len()];
        order.iter().take(last).for_each(|index| kept[*index] = true);
        for message in &self.messages {
            let fates = message.arrivals.iter().chain(&message.drops).chain(&message.missed);
            fates.for_each(|fate| kept[*fate] = kept[message.sent]);
        }
        // An operation is drawn from its first request to its answer.
        for operation in &self.operations {
            kept[operation.asked] = true;
            operation.answered.into_iter().for_each(|answer| kept[answer] = true);
        }
        kept
    }

    fn island_of(&self, kept: &[bool], most: usize) -> String {
        let mut texts = Texts { most, ..Texts::default() };
        let place: Vec<usize> = kept
            .iter()
            .scan(0, |next, kept| {
                let here = *next;
                *next += usize::from(*kept);
                Some(here)
            })
            .collect();
        let places = |events: &[usize]| -> Vec<usize> {
            events.iter().filter(|event| kept[**event]).map(|event| place[*event]).collect()
        };
        let events = self.events.iter().enumerate().filter(|(index, _)| kept[*index]);
        let events: Vec<Value> = events.map(|(index, event)| texts.event(index, event)).collect();
        let messages = self.messages.iter().filter(|message| kept[message.sent]);
        let messages: Vec<Value> = messages
            .map(|one| {
                let (arrivals, drops) = (places(&one.arrivals), places(&one.drops));
                let missed = places(&one.missed);
                json!([one.from, one.to, place[one.sent], arrivals, drops, missed, one.doubled])
            })
            .collect();
        let operations: Vec<Value> = self
            .operations
            .iter()
            .map(|one| {
                json!({
                    "name": one.name, "lane": one.lane, "call": self.events[one.asked].at,
                    "asked": place[one.asked],
                    "end": one.answered.map(|answer| self.events[answer].at),
                    "gaveUp": one.given_up, "attempts": one.attempts,
                    "input": texts.of(&one.input), "output": texts.of(&one.output),
                    "witness": one.witness, "broken": one.broken,
                    "cone": self.events[one.asked].cone,
                })
            })
            .collect();
        let island = json!({
            "failed": self.is_failure(),
            "at": self.verdict.at,
            "line": self.verdict.line,
            "why": self.verdict.why,
            "end": self.ended,
            "lanes": self.lanes,
            "kinds": KINDS,
            "events": events,
            "messages": messages,
            "operations": operations,
            "outages": self.outages,
            "cuts": self.cuts,
            "faults": self.faults,
            "texts": texts.texts,
            "whole": self.events.len(),
            "cut": texts.cut,
        });
        // A tag cannot end, nor a comment begin, where there is no `<`.
        island.to_string().replace('<', "\\u003c")
    }
}

/// The kinds of events as the script names them, by their number less one.
const KINDS: [&str; 30] = [
    "start",
    "send",
    "drop",
    "duplicate",
    "deliver",
    "lost",
    "timer",
    "request",
    "asked",
    "respond",
    "answered",
    "append",
    "sync",
    "ignore",
    "reach",
    "crash",
    "pause",
    "resume",
    "fault",
    "lie",
    "refuse",
    "call",
    "return",
    "connect",
    "file",
    "exit",
    "output",
    "panic",
    "switch",
    "note",
];

/// Texts by number: most contents stand in a run twice, where they left and where they arrived.
#[derive(Default)]
struct Texts {
    most: usize,
    texts: Vec<String>,
    known: BTreeMap<String, usize>,
    /// How many were cut short.
    cut: usize,
}

impl Texts {
    fn of(&mut self, text: &str) -> usize {
        if let Some(known) = self.known.get(text) {
            return *known;
        }
        let short = clip(text, self.most);
        self.cut += usize::from(short.len() < text.len());
        let dots = if short.len() < text.len() { " ..." } else { "" };
        self.texts.push(format!("{short}{dots}"));
        self.known.insert(text.to_owned(), self.texts.len() - 1);
        self.texts.len() - 1
    }

    fn event(&mut self, index: usize, event: &Happening) -> Value {
        let Happening { at, kind, lane, peer, ref text, cone, .. } = *event;
        json!([index + 1, at, kind as u8 - 1, lane, peer, self.of(text), u8::from(cone)])
    }
}

/// Lines with their instants, as the rows of a table.
fn told_html(lines: &[Told]) -> String {
    let rows = lines.iter().map(|told| {
        format!(
            "<tr><td>{}</td><td>{}</td></tr>\n",
            escape(&told.at),
            escape(clip(&told.text, CONTENTS_MAX[1]))
        )
    });
    cut(rows, lines.len(), 2)
}

/// The rows of a table, up to a limit, and a note of what is left out.
fn cut(rows: impl Iterator<Item = String>, count: usize, columns: usize) -> String {
    if count == 0 {
        return format!("<tr><td colspan=\"{columns}\" class=\"note\">none</td></tr>\n");
    }
    let mut html: String = rows.take(LINES_MAX).collect();
    if let Some(more) = count.checked_sub(LINES_MAX + 1) {
        let more = more + 1;
        let _ = writeln!(
            html,
            "<tr><td colspan=\"{columns}\" class=\"note\">{more} more are left out here</td></tr>"
        );
    }
    html
}

/// At most `most` characters of a text.
pub(crate) fn clip(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).map_or(text, |(end, _)| &text[..end])
}

fn seconds(nanos: u64) -> String {
    format!("{}.{:06}s", nanos / 1_000_000_000, nanos % 1_000_000_000 / 1_000)
}

pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}
