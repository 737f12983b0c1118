//! The assertions of the crate `antithesis_sdk` in programs: what it reports of them in a run.
//!
//! It prints a line of JSON for each assertion that there is in the binary (its catalog, as soon as
//! one of them is come to), and for each the first time that its condition is true, and the first
//! time that it is false.

use seedfall_kernel as kernel;
use seedfall_sim::Time;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// A line.
#[derive(Deserialize)]
struct Line {
    antithesis_assert: Option<Assertion>,
}

#[derive(Deserialize)]
struct Assertion {
    assert_type: Type,
    condition: bool,
    message: String,
    location: Location,
    /// Whether the program came to it; false in the catalog.
    hit: bool,
    /// Whether some run must come to it.
    must_hit: bool,
    #[serde(default)]
    details: serde_json::Value,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Type {
    Always,
    Sometimes,
    Reachability,
}

#[derive(Deserialize)]
struct Location {
    class: String,
    function: String,
    file: String,
    begin_line: u32,
}

/// What the assertions of a run came to.
#[derive(Debug, Default)]
pub(super) struct Asserted {
    /// What is wrong: the message, when, and the whole story.
    pub(super) broken: Vec<(&'static str, Time, String)>,
    /// What was reached.
    pub(super) reached: Vec<(&'static str, u64)>,
    /// What some run must reach.
    pub(super) declared: Vec<&'static str>,
}

impl Asserted {
    /// Of a run. Only what is declared in these modules, or anywhere if there are none, must be
    /// reached.
    pub(super) fn of(outside: &kernel::Report, modules: &[&str]) -> Self {
        let mut all = Self::default();
        for note in &outside.records {
            let name = outside.nodes.get(note.node).map_or("", |node| node.name.as_str());
            let text = String::from_utf8_lossy(&note.bytes);
            for line in text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok()) {
                if let Some(assertion) = line.antithesis_assert {
                    all.take(&assertion, name, note.at, modules);
                }
            }
        }
        all
    }

    fn take(&mut self, one: &Assertion, node: &str, at: Time, modules: &[&str]) {
        let message = lasting(&one.message);
        let Location { class, function, file, begin_line } = &one.location;
        let is_here = modules.is_empty() || modules.iter().any(|own| is_in(class, own));
        if one.must_hit && is_here && !self.declared.contains(&message) {
            self.declared.push(message);
        }
        if !one.hit {
            return;
        }
        if one.condition || one.must_hit && one.assert_type != Type::Sometimes {
            match self.reached.iter_mut().find(|(known, _)| *known == message) {
                Some((_, times)) => *times += 1,
                None => self.reached.push((message, 1)),
            }
        }
        if !one.condition && one.assert_type != Type::Sometimes {
            let details = match &one.details {
                serde_json::Value::Null => String::new(),
                details => format!(", {details}"),
            };
            let why = format!("`{node}` in {function} ({file}:{begin_line}){details}");
            self.broken.push((message, at, why));
        }
    }
}

/// Whether a module is this one, or within it.
fn is_in(module: &str, own: &str) -> bool {
    module.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Names are kept as long as the process, each once.
fn lasting(name: &str) -> &'static str {
    static ALL: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    match all.get(name) {
        Some(known) => known,
        None => {
            let name: &'static str = name.to_owned().leak();
            all.insert(name);
            name
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: &str, condition: bool, hit: bool, must_hit: bool) -> Assertion {
        let text = format!(
            r#"{{"antithesis_assert":{{"assert_type":"{kind}","display_type":"x","condition":
            {condition},"message":"m","location":{{"class":"a::b","function":"f","file":"b.rs",
            "begin_line":3,"begin_column":1}},"hit":{hit},"must_hit":{must_hit},"id":"m",
            "details":null}}}}"#
        );
        let line: Line = serde_json::from_str(&text).expect("a line of the crate");
        line.antithesis_assert.expect("an assertion")
    }

    /// What comes of one line: is it broken, is it reached, must it be.
    fn comes_of(one: &Assertion, modules: &[&str]) -> [bool; 3] {
        let mut all = Asserted::default();
        all.take(one, "n1", Time::ZERO, modules);
        [!all.broken.is_empty(), !all.reached.is_empty(), !all.declared.is_empty()]
    }

    #[test]
    fn each_kind_of_assertion_means_what_it_says() {
        let all = [
            ("always", true, true, true, [false, true, true]),
            ("always", false, true, true, [true, true, true]),
            ("always", false, true, false, [true, false, false]),
            ("always", false, false, true, [false, false, true]),
            ("sometimes", true, true, true, [false, true, true]),
            ("sometimes", false, true, true, [false, false, true]),
            ("sometimes", false, false, true, [false, false, true]),
            ("reachability", true, true, true, [false, true, true]),
            ("reachability", false, false, false, [false, false, false]),
            ("reachability", false, true, false, [true, false, false]),
        ];
        for (kind, condition, hit, must_hit, expected) in all {
            let came = comes_of(&line(kind, condition, hit, must_hit), &[]);
            assert_eq!(came, expected, "{kind}, {condition}, hit {hit}, must be {must_hit}");
        }
    }

    #[test]
    fn what_another_program_of_the_binary_declares_need_not_be_reached() {
        let catalog = line("sometimes", false, false, true);
        for (module, is_here) in [("a", true), ("a::b", true), ("a::bc", false), ("b", false)] {
            assert_eq!(comes_of(&catalog, &[module]), [false, false, is_here], "{module}");
        }
    }
}
