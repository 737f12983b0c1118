//! Formats, and everything that can be wrong with a file.

use super::*;
use crate::verdict::Budget;

fn read_text(format: Format, text: &str) -> Result<RawHistory, ReadError> {
    read(format, text.as_bytes(), Limits { operations: 4, line_bytes: 400 })
}

const GOOD: &str = r#"{"client":1,"f":"write","value":7,"call":1,"return":2,"ok":true}"#;

#[test]
fn bad_json_lines_are_named_with_line_and_reason() {
    let long = format!(r#"{{"client":1,"f":"write","value":"{}"}}"#, "x".repeat(500));
    let many = [GOOD; 5].join("\n");
    for (text, line, reason) in [
        ("", 0, "no operation"),
        ("{\"client\":1,", 1, "cut"),
        ("[1]", 1, "expected an object"),
        ("nonsense", 1, "not JSON"),
        (r#"{"f":"read","call":1}"#, 1, "no \"client\""),
        (r#"{"client":-1,"f":"read","call":1}"#, 1, "whole number"),
        (r#"{"client":1,"f":3,"call":1}"#, 1, "\"f\" is 3"),
        (r#"{"client":1,"f":"read","call":9,"return":4,"ok":true}"#, 1, "goes backwards"),
        (r#"{"client":1,"f":"read","call":9,"return":11}"#, 1, "both"),
        (r#"{"client":1,"f":"write","value":1.5,"call":9}"#, 1, "whole number"),
        (&long, 1, "longer than 400 bytes"),
        (&many, 5, "more than 4 operations"),
        (r#"{"seedfall":"history","version":9}"#, 1, "version 9"),
        (&format!("{GOOD}\n{GOOD}"), 2, "open"),
        (&format!("{{\"id\":4,{}\n{{\"id\":4,{}", &GOOD[1..], &GOOD[1..]), 2, "id 4"),
    ] {
        let error = read_text(Format::JsonLines, text).expect_err(text);
        assert_eq!(error.line, line, "{text}: {error}");
        assert!(error.reason.contains(reason), "{text}: {error}");
    }
    let error =
        read(Format::JsonLines, &b"{\"a\":\"\xff\"}"[..], Limits::DEFAULT).expect_err("utf");
    assert_eq!((error.line, error.reason.as_str()), (1, "not UTF-8 after 6 bytes"));
}

#[test]
fn bad_events_are_named_with_line_and_reason() {
    let call = "{:process 0, :type :invoke, :f :read, :value nil}";
    let ok = "{:process 0, :type :ok, :f :read, :value 3}";
    for (text, line, reason) in [
        (ok.to_owned(), 1, "did not ask"),
        (format!("{call}\n{call}"), 2, "line 1 is open"),
        (format!("{call}\n{}", ok.replace("read", "write")), 2, "asked \"read\""),
        (format!("{call}\n{{:process 0, :type"), 2, "cut"),
        (call.replace(":invoke", ":maybe"), 1, "unknown :type"),
        (call.replace(":process 0,", ""), 1, "no :process"),
        ("{:a}".to_owned(), 1, "no value"),
        ("}".to_owned(), 1, "closing"),
        (format!("{{:process {}1", "[".repeat(100)), 1, "nested"),
    ] {
        let error = read_text(Format::Edn, &text).expect_err(&text);
        assert_eq!(error.line, line, "{text}: {error}");
        assert!(error.reason.contains(reason), "{text}: {error}");
    }
}

#[test]
fn jepsen_histories_are_read() {
    let text = "[{:type :invoke, :f :write, :value [\"k\" 1], :process 0, :time 5, :index 0}
        {:process :nemesis, :type :info, :f :start}
        #jepsen.history.Op{:index 1, :type :ok, :f :write, :value [\"k\" 1], :process 0}
        {:type :invoke, :f :read, :value [\"k\" nil], :process 1}
        {:type :invoke, :f :cas, :value [\"k\" [1 2]], :process 2}
        {:type :info, :f :cas, :value [\"k\" [1 2]], :process 2, :error :timeout}
        {:type :ok, :f :read, :value [\"k\" 1], :process 1}]";
    assert_eq!(Format::detect(text.as_bytes()), Some(Format::Edn));
    let history = read(Format::Edn, text.as_bytes(), Limits::DEFAULT).expect("good");
    let told: Vec<String> = history
        .operations
        .iter()
        .map(|op| format!("{} {} {} {} {:?}", op.key, op.f, op.value, op.output, op.ok))
        .collect();
    assert_eq!(
        told,
        [
            r#""k" write 1 1 Some(true)"#,
            r#""k" read nil 1 Some(true)"#,
            r#""k" cas [1 2] nil None"#
        ]
    );
    assert_eq!(ModelName::fitting(&history), [ModelName::Register]);
    let typed = history.interpret(ModelName::Register).expect("fits");
    assert!(typed.check(Budget::DEFAULT).is_ok_and(|verdict| verdict.holds()));
}

#[test]
fn porcupine_logs_are_read() {
    let etcd = "INFO  jepsen.core - started
INFO  jepsen.util - 4\t:invoke\t:write\t3
INFO  jepsen.util - 2\t:invoke\t:cas\t[3 1]
INFO  jepsen.util - 4\t:ok\t:write\t3
INFO  jepsen.util - 2\t:fail\t:cas\t[3 1]
INFO  jepsen.util - 4\t:invoke\t:read\tnil
INFO  jepsen.util - 4\t:info\t:read\t:timed-out";
    assert_eq!(Format::detect(etcd.as_bytes()), Some(Format::JepsenLog));
    let history = read(Format::JepsenLog, etcd.as_bytes(), Limits::DEFAULT).expect("good");
    let ok: Vec<_> = history.operations.iter().map(|op| op.ok).collect();
    assert_eq!(ok, [Some(true), Some(false), None]);
    let kv = "{:process 0, :type :invoke, :f :append, :key \"9\", :value \"x 0\"}
{:process 0, :type :ok, :f :append, :key \"9\", :value \"x 0\"}
{:process 0, :type :invoke, :f :get, :key \"9\", :value nil}
{:process 0, :type :ok, :f :get, :key \"9\", :value \"x 1\"}";
    let history = read(Format::Edn, kv.as_bytes(), Limits::DEFAULT).expect("good");
    assert_eq!(ModelName::fitting(&history), [ModelName::Kv]);
    let verdict = history
        .interpret(ModelName::Kv)
        .expect("fits")
        .check(Budget::DEFAULT)
        .expect("well-formed");
    assert_eq!(verdict.witness().map(|witness| witness.operation), Some(1));
}

#[test]
fn what_is_written_is_read_back() {
    let text = format!(
        "{{\"seedfall\":\"history\",\"version\":1,\"model\":\"register\"}}\n{GOOD}\n{}",
        r#"{"client":2,"key":"k","f":"cas","value":[null,"é\n"],"call":3}"#
    );
    let history = read_text(Format::JsonLines, &text).expect("good");
    let mut written = Vec::new();
    write(&history, &mut written).expect("memory");
    let mut again = read(Format::JsonLines, &written[..], Limits::DEFAULT).expect("own format");
    for (operation, original) in again.operations.iter_mut().zip(&history.operations) {
        operation.line = original.line;
    }
    assert_eq!(history, again);
}

#[test]
fn an_unknown_operation_is_named() {
    let history = read_text(Format::JsonLines, GOOD).expect("good");
    let error = history.interpret(ModelName::Queue).expect_err("no queue writes");
    assert_eq!(error.line, 1);
    assert!(error.reason.contains("unknown operation"), "{error}");
}

#[test]
fn no_damage_makes_a_reader_panic() {
    let texts = [
        format!("{GOOD}\n{}", GOOD.replace("\"call\":1,\"return\":2", "\"call\":3,\"return\":4")),
        "{:process 0, :type :invoke, :f :cas, :value [\"a\\n\" #{1 2}]} ; c\n".repeat(2),
        "INFO  jepsen.util - 4\t:invoke\t:cas\t[3 1]\n".repeat(2),
    ];
    let mut state = 1_u64;
    for (text, format) in texts.iter().zip([Format::JsonLines, Format::Edn, Format::JepsenLog]) {
        for _ in 0..4_000 {
            let mut bytes = text.clone().into_bytes();
            for _ in 0..3 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
                let at = (state >> 33) as usize % bytes.len();
                match state >> 61 {
                    0 | 1 => bytes[at] = (state >> 20) as u8,
                    2 => bytes.truncate(at.max(1)),
                    3 => bytes.insert(at, b"{}[]\":,\\#"[(state >> 40) as usize % 9]),
                    _ => bytes[at] = b"{}[]\":,\\# 0-n"[(state >> 40) as usize % 13],
                }
            }
            if let Ok(history) = read(format, &bytes[..], Limits::DEFAULT) {
                for model in ModelName::ALL {
                    drop(history.interpret(model));
                }
            }
        }
    }
}

#[test]
fn events_as_json_are_read_as_in_edn_and_a_missing_field_is_named() {
    let lines = [
        r#"{"index":0,"time":7,"process":0,"type":"invoke","f":"write","value":1}"#,
        r#"{"process":"nemesis","type":"info","f":"start","value":{"a":1}}"#,
        r#"{"process":1,"type":":invoke","f":":read","value":null}"#,
        r#"{"process":0,"type":"ok","f":"write","value":1}"#,
        r#"{"process":1,"type":"ok","f":"read","value":1}"#,
        r#"{"process":1,"type":"invoke","f":"write","value":2}"#,
        r#"{"process":1,"type":"fail","f":"write","value":2,"error":"refused"}"#,
        r#"{"process":0,"type":"invoke","f":"write","value":3}"#,
        r#"{"process":0,"type":"info","f":"write","value":3,"error":null}"#,
    ];
    let edn = "{:process 0, :type :invoke, :f :write, :value 1}\n\
               {:process :nemesis, :type :info, :f :start, :value nil}\n\
               {:process 1, :type :invoke, :f :read, :value nil}\n\
               {:process 0, :type :ok, :f :write, :value 1}\n\
               {:process 1, :type :ok, :f :read, :value 1}\n\
               {:process 1, :type :invoke, :f :write, :value 2}\n\
               {:process 1, :type :fail, :f :write, :value 2, :error \"refused\"}\n\
               {:process 0, :type :invoke, :f :write, :value 3}\n\
               {:process 0, :type :info, :f :write, :value 3}\n";
    let edn = read_text(Format::Edn, edn).expect("good");
    assert_eq!(edn.operations.len(), 3, "the refused write never ran");
    let array = format!("[{}]", lines.join(",\n"));
    for text in [lines.join("\n"), array] {
        assert_eq!(Format::detect(text.as_bytes()), Some(Format::JsonLines));
        assert_eq!(read_text(Format::JsonLines, &text).expect("good"), edn);
    }
    for field in ["process", "type", "f"] {
        let other = lines[3].replace(&format!("\"{field}\":"), "\"other\":");
        let text = [lines[0], &other].join("\n");
        let error = read_text(Format::JsonLines, &text).expect_err("a field is missing");
        assert_eq!(error.line, 2);
        assert!(error.reason.contains(&format!("no \"{field}\"")), "{error}");
    }
    // Of Maelstrom's log of messages, which is no history.
    let message = r#"{"src":"c1","dest":"n1","body":{"type":"read","msg_id":1}}"#;
    let error = read_text(Format::JsonLines, message).expect_err("no operation");
    assert!(error.reason.contains("no \"client\", \"f\", \"call\""), "{error}");
}
