//! What a person gets to read.

use super::{Attempt, attempts, attempts_in_words, html, text};
use crate::history::History;
use crate::linearizability::linearizable;
use crate::models::{Register, RegisterInput, RegisterOutput};
use crate::verdict::Budget;

type Told = History<RegisterInput<&'static str>, RegisterOutput<&'static str>>;

fn stale() -> Told {
    let mut history = History::new();
    for (value, call) in [("<a>", 10), ("b", 30)] {
        let write = history.invoke(1, call, RegisterInput::Write(value));
        history.complete(write, call + 10, RegisterOutput::Done);
    }
    let lost = history.invoke(3, 45, RegisterInput::Write("c"));
    assert_eq!(lost, 2);
    for (value, call) in [("b", 50), ("<a>", 70)] {
        let read = history.invoke(2, call, RegisterInput::Read);
        history.complete(read, call + 10, RegisterOutput::Value(value));
    }
    history
}

#[test]
fn a_violation_is_told_with_its_core_and_the_prefix() {
    let history = stale();
    let verdict =
        linearizable(&Register { initial: "" }, &history, Budget::DEFAULT).expect("well-formed");
    let told = text(&history, &verdict);
    let head: Vec<&str> = told.lines().take(2).collect();
    assert_eq!(
        head,
        [
            "NOT linearizable: two values each had to be current before the other.",
            "The answer that nothing explains: #4 client 2 at 70..=80: Read -> Value(\"<a>\")",
        ],
        "{told}"
    );
    assert!(told.contains(" -> #4 client 2"), "{told}");
    assert!(told.contains("Until then this order explains everything"), "{told}");
}

#[test]
fn a_page_is_self_contained_and_escapes_what_clients_wrote() {
    let mut history = stale();
    let model = Register { initial: "" };
    let verdict = linearizable(&model, &history, Budget::DEFAULT).expect("well-formed");
    let page = html("run <1>", &history, &verdict);
    assert!(page.contains("not linearizable") && page.contains("class=\"bad\""), "{page}");
    assert!(!page.contains("<a>") && !page.contains("<1>"), "unescaped: {page}");
    assert!(!page.contains("http") && !page.contains("<script"), "not self-contained");
    assert!(page.contains("prefers-color-scheme: dark"));

    history.operations.pop();
    let verdict = linearizable(&model, &history, Budget::DEFAULT).expect("well-formed");
    let page = html("run", &history, &verdict);
    assert_eq!(page.matches("<circle").count(), 3, "one mark for each operation that took effect");
}

#[test]
fn the_orders_that_were_tried_end_where_nothing_fits() {
    let history = stale();
    let model = Register { initial: "" };
    let verdict = linearizable(&model, &history, Budget::DEFAULT).expect("well-formed");
    let witness = verdict.witness().expect("stale");
    let tried = attempts(&model, &history, witness);
    // Everything is one after the other, so there is one order, and the last read ends it.
    let first = &witness.core[..witness.core.len() - 1];
    assert_eq!(tried, [Attempt { order: first.to_vec(), stopped_by: vec![4] }], "{witness:?}");
    assert!(attempts_in_words(&tried)[0].ends_with("then nothing fits: not #4"));
}
