//! What a CI shows of a campaign: a summary in Markdown, and annotations of GitHub Actions.

use super::super::merge::title;
use super::super::outcome::Verdict;
use super::Told;
use seedfall::words::{count, counted};
use std::fmt::Write as _;

/// Failures that are told, at most: GitHub shows ten annotations of a step.
const MOST: usize = 10;

/// The summary, in Markdown.
pub(super) fn summary(told: &Told<'_>) -> String {
    let judged = told.judged;
    let (word, why) = judged.word();
    let why = why.map(|why| format!(": {}", plain(&why))).unwrap_or_default();
    let mut text = format!("### Seedfall: {word}{why}\n\n`{}`\n", judged.proof());
    let groups = judged.outcome.groups().count();
    if groups > 0 {
        text += "\n| failure | scenario | runs | replay |\n|---|---|--:|---|\n";
    }
    for (scenario, print, group) in judged.outcome.groups().take(MOST) {
        let new = judged.new.iter().any(|(one, other)| one == scenario && other == print);
        let word = if new { "**new**" } else { "known" };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {word} {} | {scenario} | {} | `{scenario}@{}` |",
            plain(print),
            count(group.runs),
            group.seed
        );
    }
    if MOST < groups {
        text += &format!("\nand {} more\n", counted((groups - MOST) as u64, "kind"));
    }
    text += "\n| scenario | seeds | events | verdict |\n|---|--:|--:|---|\n";
    for (name, one) in &judged.outcome.scenarios {
        let (seeds, events) = (count(one.runs.runs()), count(one.runs.events));
        let _ = writeln!(text, "| {name} | {seeds} | {events} | {} |", plain(&title(one)));
    }
    text
}

/// One line of a table in Markdown.
fn plain(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|").replace('`', "'")
}

/// Annotations, as GitHub's runner reads them from the output of a step.
pub(super) fn annotations(told: &Told<'_>) -> Vec<String> {
    let judged = told.judged;
    let line =
        |title: &str, what: &str| format!("::error title={}::{}", property(title), escape(what));
    let mut lines = Vec::new();
    for (scenario, print) in judged.new.iter().take(MOST) {
        let Some(one) = judged.outcome.scenarios.get(scenario) else { continue };
        let Some(group) = one.runs.groups.get(print) else { continue };
        let what = format!("{print}\n{}\nreplay {scenario}@{}", group.told, group.seed);
        lines.push(line(&format!("seedfall: {scenario}"), &what));
    }
    for (name, one) in &judged.outcome.scenarios {
        if lines.len() < MOST && matches!(one.verdict, Verdict::Vacuous(_)) {
            lines.push(line(&format!("seedfall: {name}"), &title(one)));
        }
    }
    lines
}

fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    escape(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_user_ends_an_annotation() {
        assert_eq!(escape("100 %\n::error::x"), "100 %25%0A::error::x");
        assert_eq!(property("a:b,c"), "a%3Ab%2Cc");
        assert_eq!(plain("a|b\n`c`"), "a\\|b 'c'");
    }
}
