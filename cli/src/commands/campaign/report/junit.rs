//! JUnit XML, as most CIs read it: a case for each scenario.
//!
//! The format has no standard; what is written here is the part that all readers share.

use super::super::merge::title;
use super::super::outcome::{One, Verdict};
use super::Told;
use super::html::escape;
use seedfall::words::counted;
use std::fmt::Write as _;

/// Kinds of failures that are told of one scenario, at most.
const MOST: usize = 50;

pub(super) fn xml(told: &Told<'_>) -> String {
    let outcome = &told.judged.outcome;
    let judged = told.judged;
    let is_new = |scenario: &str| judged.new.iter().any(|(one, _)| one == scenario);
    let vacuous = |one: &One| matches!(one.verdict, Verdict::Vacuous(_) | Verdict::NotRun);
    let each = || outcome.scenarios.iter();
    let failures = each().filter(|(name, one)| is_new(name) || vacuous(one)).count();
    let mut errors = judged.disagree.clone();
    errors.extend(judged.incidents.iter().cloned());
    let gaps: u64 = judged.gaps.iter().map(|(_, range)| range.end - range.start).sum();
    if gaps > 0 {
        errors.push(format!("{} missing", counted(gaps, "run")));
    }
    let tests = outcome.scenarios.len() + usize::from(!errors.is_empty());
    let counts = format!(
        "tests=\"{tests}\" failures=\"{failures}\" errors=\"{}\"",
        usize::from(!errors.is_empty())
    );
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"seedfall\" {counts}>\n\
         <testsuite name=\"{}\" {counts} time=\"{:.3}\">\n",
        escape(&format!("seedfall {}", judged.manifest.build)),
        told.seconds
    );
    for (name, one) in each() {
        let mut lines = String::new();
        for (print, group) in one.runs.groups.iter().take(MOST) {
            let line = format!(
                "seed {}: {print} ({})\n  {}\n  replay {name}@{}\n",
                group.seed,
                counted(group.runs, "run"),
                group.told,
                group.seed
            );
            lines += &line;
        }
        let (tag, message) = match &one.verdict {
            Verdict::Good => ("", String::new()),
            Verdict::Failed if is_new(name) => ("failure", title(one)),
            Verdict::Failed => ("skipped", "known failures alone".to_owned()),
            Verdict::Vacuous(_) | Verdict::NotRun => ("failure", title(one)),
        };
        let test = &one.about.test;
        let class = if test.is_empty() { "scenarios" } else { test };
        // Writing to a string cannot fail.
        let _ = write!(xml, "<testcase name=\"{}\" classname=\"{}\"", escape(name), escape(class));
        if tag.is_empty() {
            xml += "/>\n";
        } else {
            let _ = writeln!(
                xml,
                ">\n<{tag} message=\"{}\">{}</{tag}>\n</testcase>",
                escape(&message),
                escape(&lines)
            );
        }
    }
    if !errors.is_empty() {
        let _ = writeln!(
            xml,
            "<testcase name=\"the campaign itself\" classname=\"seedfall\">\n\
             <error message=\"{}\">{}</error>\n</testcase>",
            escape(&errors[0]),
            escape(&errors.join("\n"))
        );
    }
    xml + "</testsuite>\n</testsuites>\n"
}
