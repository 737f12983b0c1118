//! `seedfall check`: judges a history from a file, with no engine in sight.

use super::{Problem, show};
use clap::Args;
use seedfall::save::save;
use seedfall_checkers::Budget;
use seedfall_checkers::readers::{Format, Judgement, Limits, Property, RawHistory, judge, read};
use seedfall_checkers::weak::Status;
use serde_json::json;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = after_help())]
pub(super) struct CheckArgs {
    /// The history; `-` is standard input.
    file: PathBuf,
    /// The property to judge it by; `auto`, or `linearizable`: the model that its operations fit.
    #[arg(long, default_value = "auto", value_name = "NAME")]
    model: String,
    /// The format; without it, it is guessed from the beginning of the file.
    #[arg(long, value_parser = ["json-lines", "edn", "jepsen-log"])]
    format: Option<String>,
    /// How many configurations a search may expand before it says that it does not know.
    #[arg(long, default_value_t = Budget::DEFAULT.configurations, value_name = "N")]
    budget: u64,
    /// Also writes one self-contained page: intervals, the order or the violation, the evidence.
    #[arg(long, value_name = "OUT")]
    html: Option<PathBuf>,
}

const FORMATS: &str = r#"Exit codes: 0 holds, 1 violated, 2 bad input, 6 budget exhausted.

Formats:
  json-lines: one operation a line. Who asked: "client", a number. What: "f",
  with "key" and "value" where it needs them. What came back: "output". When:
  "call" and "return", whole numbers on one clock. Whether it succeeded: "ok".
  "return" and "ok" are null if no answer came: it may have happened, or not.
    {"client":1,"f":"write","key":"x","value":1,"call":1,"return":2,"ok":true}
    {"client":2,"f":"read","key":"x","output":1,"call":3,"return":5,"ok":true}
    {"client":1,"f":"write","key":"x","value":2,"call":4}
    {"client":3,"f":"cas","key":"x","value":[1,2],"call":7,"return":9,"ok":false}
  A transaction, also on one line, has its steps as "value", as "output" too:
    {"client":4,"f":"txn","value":[["append","x",1],["r","y",null]],
     "output":[["append","x",1],["r","y",[2]]],"call":6,"return":9,"ok":true}
  Or one event a line, in order, as Jepsen and Maelstrom have them:
    {"process":0,"type":"invoke","f":"read","value":null}
    {"process":0,"type":"ok","f":"read","value":1}

  edn: the same events as EDN: Jepsen's and Maelstrom's history.edn.
    {:process 0, :type :invoke, :f :read, :value nil}

  jepsen-log: the log that Jepsen prints.
    INFO  jepsen.util - 0 :invoke :read nil
"#;

fn after_help() -> String {
    let mut text = FORMATS.to_owned();
    text.push_str("\nProperties:\n");
    for (name, meaning) in Property::NAMES {
        text.push_str(&format!("  {name}: {meaning}\n"));
    }
    text
}

/// Judges a file.
pub(super) fn check(args: &CheckArgs, json: bool) -> Result<u8, Problem> {
    let file = args.file.display();
    let at = |error: &dyn std::fmt::Display| Problem(format!("{file}: {error}"));
    let mut input: Box<dyn BufRead> = if args.file.as_os_str() == "-" {
        Box::new(BufReader::new(io::stdin()))
    } else {
        Box::new(BufReader::new(File::open(&args.file).map_err(|error| at(&error))?))
    };
    let start = input.fill_buf().map_err(|error| at(&error))?;
    if start.is_empty() {
        return Err(at(&"the file is empty; expected a history"));
    }
    let format = match args.format.as_deref() {
        Some("json-lines") => Format::JsonLines,
        Some("edn") => Format::Edn,
        Some(_) => Format::JepsenLog,
        None => Format::detect(start).ok_or_else(|| {
            let expected = "json-lines, edn or jepsen-log; say which with --format";
            at(&format!("looks like no known format; expected {expected}"))
        })?,
    };
    let history = read(format, input, Limits::DEFAULT).map_err(|error| at(&error))?;
    let property = choose(&args.model, &history).map_err(|error| at(&error))?;
    let judgement = judge(&history, property, Budget::configurations(args.budget))
        .map_err(|error| at(&error))?;
    if let Some(out) = &args.html {
        let title = format!("{file}, {}", property.name());
        save(out, judgement.html(&title, &history).as_bytes())
            .map_err(|error| Problem(format!("{}: {error}", out.display())))?;
    }
    tell(&history, property, &judgement, json);
    Ok(match judgement.status {
        Status::Holds => 0,
        Status::Violated => 1,
        Status::Unknown => 6,
    })
}

/// The property that is asked for, or the one that fits.
fn choose(name: &str, history: &RawHistory) -> Result<Property, String> {
    if name != "auto" && name != "linearizable" {
        return Property::from_name(name).ok_or_else(|| {
            let near = Property::NAMES
                .iter()
                .map(|(known, _)| (strsim::damerau_levenshtein(known, name), *known))
                .min()
                .map_or("", |(_, known)| known);
            format!("unknown property `{name}`; did you mean `{near}`? `check --help` lists all")
        });
    }
    if let Some(property) = history.model.as_deref().and_then(Property::from_name) {
        return Ok(property);
    }
    let fitting = Property::fitting(history);
    match fitting.as_slice() {
        [] => Err("its operations fit no model; say which with --model".to_owned()),
        [property, ..] => Ok(*property),
    }
}

fn tell(history: &RawHistory, property: Property, judgement: &Judgement, json: bool) {
    let word = match judgement.status {
        Status::Holds => "holds",
        Status::Violated => "violated",
        Status::Unknown => "unknown",
    };
    if json {
        let counters: serde_json::Map<_, _> = judgement
            .counters
            .iter()
            .map(|(name, count)| ((*name).to_owned(), json!(count)))
            .collect();
        let lines: Vec<u64> =
            judgement.operations.iter().map(|index| history.operations[*index].line).collect();
        let value = json!({
            "property": property.name(),
            "verdict": word,
            "operations": history.operations.len(),
            "evidence": judgement.evidence,
            "lines": lines,
            "counters": counters,
        });
        show::json(&value);
        return;
    }
    let style = match judgement.status {
        Status::Holds => show::GOOD,
        Status::Violated => show::BAD,
        Status::Unknown => show::DULL,
    };
    show::line(&format!("{}: {}", property.name(), show::styled(style, word)));
    for line in &judgement.evidence {
        show::line(&format!("  {line}"));
    }
    let counters: Vec<String> = judgement
        .counters
        .iter()
        .map(|(name, count)| format!("{name} {}", show::count(*count)))
        .collect();
    show::line(&format!("  ({})", counters.join(", ")));
}
