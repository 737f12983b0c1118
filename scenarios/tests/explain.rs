//! The report of a run: what it must hold, whatever the run.

mod common;

use common::{out, seedfall_in};

use seedfall::explain::{Explanation, Happening, PAGE_BYTES_MAX, examine};
use seedfall::shrink::Effort;
use seedfall::sim::{Kind, Seed};
use seedfall::{Runnable, Trial};
use std::fs;
use std::path::Path;
use std::process::Output;

fn scenario(name: &str) -> Box<dyn Runnable> {
    seedfall_scenarios::all()
        .into_iter()
        .find(|one| one.name() == name)
        .expect("a built-in scenario")
}

fn explain(name: &str, seed: u64, whole: bool) -> Explanation {
    let scenario = scenario(name);
    let examined = examine(scenario.as_ref(), &Trial::of(Seed(seed)), whole, &Effort::runs(20_000));
    Explanation::of(scenario.as_ref(), &examined, "replay".to_owned(), None)
}

/// The data of the diagram, as the script reads it.
fn island(page: &str) -> serde_json::Value {
    let (_, rest) = page.split_once("id=\"data\">").expect("an island");
    let (island, _) = rest.split_once("</script>").expect("an island with an end");
    serde_json::from_str(island).expect("an island of JSON")
}

fn seedfall(folder: &Path, args: &[&str]) -> (Output, String) {
    let output = seedfall_in(folder, args);
    let text = out(&output);
    (output, text)
}

#[test]
fn a_page_needs_nothing_else() {
    for page in [explain("copied-register", 0, false).html(), explain("raft-kv", 3, true).html()] {
        for word in ["http:", "https:", "//cdn", "src=", "url(\"", "@import", "href="] {
            assert!(!page.contains(word), "the page names something outside: {word}");
        }
        assert!(page.contains("default-src 'none'"), "the page may fetch");
        assert!(page.len() <= PAGE_BYTES_MAX, "{} bytes", page.len());
        assert!(!page.contains("{{"), "a place was left unfilled");
    }
}

#[test]
fn every_message_of_the_trace_is_on_the_page() {
    for seed in 0..3 {
        let explanation = explain("raft-kv-3", seed, true);
        let of_kind = |kinds: &[Kind]| {
            let events = explanation.events.iter();
            events.filter(|event: &&Happening| kinds.contains(&event.kind)).count()
        };
        let messages = &explanation.messages;
        let ends = |ends: fn(&seedfall::explain::Message) -> usize| messages.iter().map(ends).sum();
        assert_eq!(messages.len(), of_kind(&[Kind::Send, Kind::Request, Kind::Respond]));
        let arrived: usize = ends(|message| message.arrivals.len());
        assert_eq!(arrived, of_kind(&[Kind::Deliver, Kind::Asked, Kind::Answered]));
        assert_eq!(ends(|message| message.drops.len()), of_kind(&[Kind::Drop]));
        assert_eq!(ends(|message| message.missed.len()), of_kind(&[Kind::Lost]));
        assert_eq!(ends(|message| usize::from(message.doubled)), of_kind(&[Kind::Duplicate]));
        let data = island(&explanation.html());
        assert_eq!(data["messages"].as_array().map(Vec::len), Some(messages.len()));
        assert_eq!(data["events"].as_array().map(Vec::len), Some(explanation.events.len()));
        assert_eq!(data["operations"].as_array().map(Vec::len), Some(explanation.operations.len()));
    }
}

#[test]
fn a_message_arrives_after_it_left_with_the_contents_it_had() {
    let explanation = explain("raft-kv-3", 1, true);
    for message in &explanation.messages {
        let sent = &explanation.events[message.sent];
        for arrival in message.arrivals.iter().map(|one| &explanation.events[*one]) {
            assert!(sent.at <= arrival.at);
            assert_eq!((sent.lane, sent.peer), (arrival.peer, arrival.lane));
            assert_eq!(sent.text, arrival.text);
        }
        assert!(message.arrivals.len() + message.drops.len() + message.missed.len() <= 2);
    }
}

#[test]
fn operations_are_those_of_the_history() {
    for seed in 0..20 {
        let scenario = scenario("raft-kv-3");
        let examined = examine(scenario.as_ref(), &Trial::of(Seed(seed)), true, &Effort::runs(0));
        let report = &examined.report;
        let explanation = Explanation::of(scenario.as_ref(), &examined, String::new(), None);
        let answered = explanation.operations.iter().filter(|one| one.answered.is_some()).count();
        assert_eq!(answered as u64, report.completed, "seed {seed}");
        let all = explanation.operations.len() as u64;
        assert_eq!(all, report.completed + report.indeterminate, "seed {seed}");
        let redirected = |text: &str| text.starts_with("NotLeader");
        assert!(!explanation.operations.iter().any(|one| redirected(&one.output)), "seed {seed}");
    }
}

#[test]
fn the_cone_holds_the_witness_and_what_led_to_it_only() {
    let explanation = explain("copied-register", 0, false);
    let witness: Vec<_> =
        explanation.operations.iter().filter(|one| one.witness.is_some()).collect();
    assert_eq!(witness.len(), explanation.verdict.witness.len());
    assert_eq!(witness.iter().filter(|one| one.broken).count(), 1);
    for operation in &witness {
        let answer = operation.answered.expect("the witness is made of answers");
        assert!(explanation.events[operation.asked].cone && explanation.events[answer].cone);
    }
    let last = witness.iter().filter_map(|one| one.answered).max().expect("a last answer");
    for message in &explanation.messages {
        let led = message.arrivals.iter().any(|one| explanation.events[*one].cone);
        assert!(!led || explanation.events[message.sent].cone, "an arrival without its sending");
    }
    assert!(explanation.events[last + 1..].iter().all(|event| !event.cone));
    assert!(explain("raft-kv-3", 1, true).events.iter().all(|event| !event.cone));
}

#[test]
fn outages_and_cuts_are_those_of_the_trace() {
    let (mut down, mut cut) = (0, 0);
    for seed in 0..20 {
        let explanation = explain("raft-kv-3", seed, true);
        let crashes = explanation.events.iter().filter(|event| event.kind == Kind::Crash).count();
        let shown = explanation.outages.iter().filter(|one| !one.paused).count();
        assert_eq!(shown, crashes, "seed {seed}");
        for event in explanation.events.iter().filter(|event| event.kind == Kind::Deliver) {
            let during = |one: &&seedfall::explain::Outage| {
                one.lane == event.lane && one.from < event.at && event.at < one.to
            };
            assert!(explanation.outages.iter().find(during).is_none(), "seed {seed}: {event:?}");
        }
        assert!(
            explanation.cuts.iter().all(|one| one.from <= one.to && one.to <= explanation.ended)
        );
        down += shown;
        cut += explanation.cuts.len();
    }
    assert!(down > 0 && cut > 0);
}

#[test]
fn what_users_write_stays_text() {
    let evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)> {{island}} & \"'";
    let mut explanation = explain("copied-register", 0, false);
    explanation.scenario = evil.to_owned();
    explanation.verdict.line = evil.to_owned();
    explanation.verdict.why = evil.to_owned();
    explanation.replay = evil.to_owned();
    explanation.verdict.witness.push(evil.to_owned());
    explanation.operations[0].input = evil.to_owned();
    explanation.faults.clear();
    explanation.story[0].text = evil.to_owned();
    for event in &mut explanation.events {
        event.text = evil.to_owned();
    }
    let page = explanation.html();
    assert!(!page.contains("<script>alert") && !page.contains("<img"), "markup came through");
    assert_eq!(page.matches("<script").count(), 2, "the island and the script, nothing else");
    assert_eq!(island(&page)["texts"][0], evil, "the island says what was written");
}

#[test]
fn a_page_of_a_long_run_is_short_and_says_what_is_missing() {
    let mut explanation = explain("raft-kv", 3, true);
    let events = explanation.events.len();
    for (index, event) in explanation.events.iter_mut().enumerate() {
        event.text = format!("{index} {}", "long contents ".repeat(200));
    }
    let page = explanation.html();
    assert!(page.len() <= PAGE_BYTES_MAX, "{} bytes", page.len());
    let data = island(&page);
    assert!(data["cut"].as_u64().is_some_and(|cut| cut > 0));
    // So many events that not even short ones fit.
    let again: Vec<Happening> = explanation.events.clone();
    (0..20).for_each(|_| explanation.events.extend(again.iter().cloned()));
    let page = explanation.html();
    assert!(page.len() <= PAGE_BYTES_MAX, "{} bytes", page.len());
    let data = island(&page);
    assert_eq!(data["whole"].as_u64(), Some(21 * events as u64));
    let kept = data["events"].as_array().map_or(0, Vec::len);
    assert!(0 < kept && kept < 21 * events, "{kept}");
    for message in data["messages"].as_array().expect("messages") {
        let sent = message[2].as_u64().expect("a place") as usize;
        assert!(sent < kept, "a message without its sending");
    }
}

#[test]
fn the_command_shows_columns_that_fit() {
    let folder = tempfile::tempdir().expect("a folder");
    let (output, text) = seedfall(folder.path(), &["explain", "copied-register", "--seed", "0"]);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("a property is violated") && text.contains("shrunk to"), "{text}");
    assert!(text.contains("cargo run --release -- shrink copied-register --seed 0"), "{text}");
    assert!(!text.contains('\u{1b}'), "colour is for terminals");
    let (output, raft) = seedfall(folder.path(), &["explain", "raft-kv", "--seed", "3"]);
    assert_eq!(output.status.code(), Some(0), "{raft}");
    assert!(raft.contains("earlier events are left out"), "{raft}");
    for line in text.lines().chain(raft.lines()) {
        assert!(line.chars().count() <= 100, "{line}");
        assert!(!line.ends_with("..."), "what matters may stand at the end: {line}");
    }
    // Long messages go on in the next lines.
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().concat();
    let bare: String =
        raft.chars().map(|c| if "│─┼→←✕●■□◆○▲◷┊┄".contains(c) { ' ' } else { c }).collect();
    let (_, trace) = seedfall(folder.path(), &["trace", "raft-kv", "--seed", "3"]);
    let mut lines = trace.lines();
    let last = lines.rfind(|line| line.contains("AppendEntries {"));
    let contents = last.and_then(|line| line.split_once("AppendEntries {")).expect("one").1;
    assert!(contents.len() > 60 && words(&bare).contains(&words(contents)), "{contents}");
}

#[test]
fn a_failing_sweep_writes_the_report_beside_the_case() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, text) = seedfall(folder.path(), &["sweep", "copied-register", "--seeds", "200"]);
    let path = text.lines().find_map(|line| line.trim().strip_prefix("report"));
    let path = folder.path().join(path.expect("the report is named").trim());
    let page = fs::read_to_string(path).expect("the report was written");
    assert!(page.contains("replay target/seedfall/copied-register-"), "the case replays it");
    assert_eq!(fs::read_dir(folder.path().join("target/seedfall")).expect("a folder").count(), 2);
}

#[test]
fn cases_are_explained_and_bad_input_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let save = ["shrink", "copied-register", "--seed", "0", "--save", "a case.json"];
    assert_eq!(seedfall(folder.path(), &save).0.status.code(), Some(1));
    let html = ["explain", "a case.json", "--html", "pages/report.html"];
    let (output, text) = seedfall(folder.path(), &html);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let (output, trace) = seedfall(folder.path(), &["trace", "a case.json"]);
    assert_eq!(output.status.code(), Some(1), "{trace}");
    let case = fs::read_to_string(folder.path().join("a case.json")).expect("the case");
    let events = trace.lines().count();
    assert!(case.contains(&format!("\"events\": {events},")), "{events} events: {case}");
    let page = fs::read_to_string(folder.path().join("pages/report.html")).expect("the page");
    assert!(page.contains("replay &#39;a case.json&#39;"), "a path that a shell would cut");
    for (args, expected) in [
        (vec!["explain", "raft-kv"], "needs a seed"),
        (vec!["explain", "raft-vk", "--seed", "1"], "did you mean"),
        (vec!["explain", "nowhere.json"], "nowhere.json"),
        (vec!["trace", "raft-kv"], "needs a seed"),
        (vec!["trace", "nowhere.json"], "nowhere.json"),
        (vec!["explain", "a case.json", "--html", "/proc/no/where.html"], "/proc/no/where.html"),
    ] {
        let (output, _) = seedfall(folder.path(), &args);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(expected), "{message}");
    }
}
