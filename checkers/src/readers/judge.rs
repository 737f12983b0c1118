//! One door for every promise that a file can be judged by: a name, a history, an answer with its
//! evidence in words.

use super::{Datum, ModelName, RawHistory, RawOperation, ReadError, Typed};
use crate::explain::{Interval, Page};
use crate::history::{History, Operation, Outcome};
use crate::transactions::weak::{self as weak_levels, WeakLevel};
use crate::transactions::{self, HistoryError, Level, Micro, TransactionHistory};
use crate::verdict::{Budget, Path, Verdict, Witness};
use crate::weak::{
    self, Access, Causal, Guarantee, RegisterHistory, Report, Status, causal, k_atomic,
    session_guarantees,
};
use rustc_hash::FxHashMap;

/// A promise that a history can be judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Promise {
    /// Linearizability with respect to a model.
    Linearizable(ModelName),
    /// Sequential consistency of registers.
    Sequential,
    /// No read goes against real time.
    RealTime,
    /// Causal consistency of registers.
    Causal(Causal),
    /// A session guarantee of registers.
    Session(Guarantee),
    /// Regular registers.
    Regular,
    /// Safe registers.
    Safe,
    /// Reads return one of the latest so many values.
    KAtomic(u32),
    /// An isolation level of transactions, by inference.
    Isolation(Level),
    /// A weak level of transactions over registers, exactly.
    WeakIsolation(WeakLevel),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The answer.
    pub status: Status,
    /// The evidence, a line each: what is wrong, or what was placed.
    pub evidence: Vec<String>,
    /// The operations that contradict each other, as indices of [`RawHistory::operations`].
    pub operations: Vec<usize>,
    /// The one of them that nothing explains, if it is one.
    pub culprit: Option<usize>,
    /// Orders in which operations may have taken effect: all of them, or those until the violation.
    pub orders: Vec<Vec<u32>>,
    /// What the check did, as counters; equal for equal inputs, anywhere.
    pub counters: Vec<(&'static str, u64)>,
}

/// Most configurations that making a core smaller may cost: about a second.
const SHRINKING: u64 = 1_000_000;

/// Most operations of a core that are told.
const SHOWN: usize = 60;

impl Promise {
    /// Every name, with what it means.
    pub const NAMES: [(&'static str, &'static str); 33] = [
        ("register", "linearizable registers with read, write, cas"),
        ("kv", "linearizable key-value store"),
        ("set", "linearizable set"),
        ("bag", "linearizable bag"),
        ("queue", "linearizable queue"),
        ("stack", "linearizable stack"),
        ("pqueue", "linearizable priority queue"),
        ("counter", "linearizable counter"),
        ("lock", "linearizable lock with fencing tokens"),
        ("log", "linearizable log"),
        ("sequential", "sequential consistency of registers"),
        ("real-time", "no read goes against real time"),
        ("causal", "causal consistency of registers (CC)"),
        ("causal-memory", "causal memory (CM)"),
        ("causal-convergent", "causal convergence (CCv)"),
        ("read-your-writes", "session guarantee of registers"),
        ("monotonic-reads", "session guarantee of registers"),
        ("monotonic-writes", "session guarantee of registers"),
        ("writes-follow-reads", "session guarantee of registers"),
        ("regular", "regular registers"),
        ("safe", "safe registers"),
        ("2-atomic", "reads return one of the latest two values (any number works)"),
        ("read-uncommitted", "transactions: no dirty writes"),
        ("read-committed", "transactions: no G1"),
        ("snapshot-isolation", "transactions"),
        ("strong-session-snapshot-isolation", "transactions"),
        ("strong-snapshot-isolation", "transactions"),
        ("serializable", "transactions"),
        ("strong-session-serializable", "transactions"),
        ("strict-serializable", "transactions"),
        ("exact-read-committed", "transactions over registers, decided exactly"),
        ("exact-read-atomic", "transactions over registers, decided exactly"),
        ("exact-causal", "transactions over registers, decided exactly"),
    ];

    /// The promise of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "sequential" => return Some(Self::Sequential),
            "real-time" => return Some(Self::RealTime),
            "regular" => return Some(Self::Regular),
            "safe" => return Some(Self::Safe),
            _ => {}
        }
        if let Some(level) = name.strip_prefix("exact-") {
            return WeakLevel::from_name(level).map(Self::WeakIsolation);
        }
        if let Some(k) = name.strip_suffix("-atomic").and_then(|k| k.parse().ok()) {
            return Some(Self::KAtomic(k)).filter(|_| k > 0);
        }
        ModelName::from_name(name)
            .map(Self::Linearizable)
            .or_else(|| Causal::from_name(name).map(Self::Causal))
            .or_else(|| Guarantee::from_name(name).map(Self::Session))
            .or_else(|| Level::from_name(name).map(Self::Isolation))
    }

    /// The promises that a history's operations fit, the strongest of a kind: what `auto` offers.
    #[must_use]
    pub fn fitting(history: &RawHistory) -> Vec<Self> {
        if history.operations.iter().all(|operation| operation.f == "txn") {
            return vec![Self::Isolation(Level::StrictSerializable)];
        }
        ModelName::fitting(history).into_iter().map(Self::Linearizable).collect()
    }

    /// The name.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Linearizable(model) => model.name().to_owned(),
            Self::Sequential => "sequential".to_owned(),
            Self::RealTime => "real-time".to_owned(),
            Self::Causal(kind) => kind.name().to_owned(),
            Self::Session(guarantee) => guarantee.name().to_owned(),
            Self::Regular => "regular".to_owned(),
            Self::Safe => "safe".to_owned(),
            Self::KAtomic(k) => format!("{k}-atomic"),
            Self::Isolation(level) => level.name().to_owned(),
            Self::WeakIsolation(level) => format!("exact-{}", level.name()),
        }
    }
}

impl Judgement {
    fn of(
        status: Status,
        evidence: Vec<String>,
        operations: Vec<usize>,
        counters: Vec<(&'static str, u64)>,
    ) -> Self {
        Self { status, evidence, operations, culprit: None, orders: Vec::new(), counters }
    }

    /// One self-contained page: the intervals of the operations around the violation (or from the
    /// beginning), where each took effect if an order is known, and the evidence.
    #[must_use]
    pub fn html(&self, title: &str, history: &RawHistory) -> String {
        let answer = match self.status {
            Status::Holds => "holds",
            Status::Violated => "violated",
            Status::Unknown => "unknown",
        };
        let interval = |index: u32| {
            let told = &history.operations[index as usize];
            Interval { call: told.call, returned: told.returned, words: describe(told) }
        };
        let mut core: Vec<u32> = self.operations.iter().map(|index| *index as u32).collect();
        core.sort_unstable();
        core.dedup();
        let page = Page {
            title,
            answer,
            count: history.operations.len(),
            operation: &interval,
            core: &core,
            guilty: self.culprit.map(|index| index as u32),
            orders: &self.orders,
            text: &self.evidence.join("\n"),
        };
        page.html()
    }
}

/// Judges a history by a promise. The core of a linearizability violation is made as small as a
/// budget of its own allows, see [`Typed::shrink`].
///
/// # Errors
/// The first line that the promise does not fit, and why.
pub fn judge(
    history: &RawHistory,
    promise: Promise,
    budget: Budget,
) -> Result<Judgement, ReadError> {
    match promise {
        Promise::Linearizable(model) => {
            let typed = history.interpret(model)?;
            let verdict = typed.check(budget).map_err(|error| history.misfit(&error))?;
            let least = Budget { configurations: budget.configurations.min(SHRINKING), ..budget };
            Ok(of_verdict(history, &typed, typed.shrink(verdict, least)))
        }
        Promise::Isolation(level) => {
            let transactions = transactions_of(history)?;
            let report = transactions::check(&transactions, level);
            Ok(of_isolation(&report.map_err(|error| misfit(history, &error))?))
        }
        Promise::WeakIsolation(level) => {
            let transactions = transactions_of(history)?;
            let report = weak_levels::check(&transactions, level, budget);
            Ok(of_weak_isolation(&report.map_err(|error| misfit(history, &error))?))
        }
        _ => {
            let registers = registers_of(history)?;
            let report = match promise {
                Promise::Sequential => weak::sequential(&registers, budget),
                Promise::RealTime => weak::real_time(&registers),
                Promise::Causal(kind) => causal(&registers, kind, budget),
                Promise::Session(guarantee) => session_guarantees(&registers, &[guarantee], budget),
                Promise::Regular => weak::regular(&registers),
                Promise::Safe => weak::safe(&registers),
                Promise::KAtomic(k) => k_atomic(&registers, k, budget),
                Promise::Linearizable(_) | Promise::Isolation(_) | Promise::WeakIsolation(_) => {
                    unreachable!("judged above")
                }
            };
            let report = report.map_err(|error| {
                let line = history.operations.get(error.operation()).map_or(0, |op| op.line);
                ReadError::new(line, error.to_string())
            })?;
            Ok(of_report(&report))
        }
    }
}

fn of_verdict(history: &RawHistory, typed: &Typed, verdict: Verdict) -> Judgement {
    let statistics = verdict.statistics();
    let mut counters = vec![
        ("configurations", statistics.configurations),
        ("bytes", statistics.bytes),
        ("partitions", u64::from(statistics.partitions)),
    ];
    let decided = Path::ALL.map(|path| (path.name(), u64::from(statistics.decided_by(path))));
    counters.extend(decided.into_iter().filter(|(_, partitions)| *partitions > 0));
    let mut judgement = Judgement::of(Status::Unknown, Vec::new(), Vec::new(), counters);
    match verdict {
        Verdict::Holds(certificate) => {
            let placed: usize = certificate.orders.iter().map(Vec::len).sum();
            let all = history.operations.len();
            let text = format!("{placed} of {all} operations placed in an order that explains all");
            judgement.status = Status::Holds;
            judgement.evidence.push(text);
            judgement.orders = certificate.orders;
        }
        Verdict::Violated(witness) => {
            judgement.status = Status::Violated;
            let mut core: Vec<usize> = witness.core.iter().map(|index| *index as usize).collect();
            let culprit = witness.operation as usize;
            if let Err(place) = core.binary_search(&culprit) {
                core.insert(place, culprit);
            }
            judgement.evidence = of_witness(history, typed, &witness, &core);
            judgement.operations = core;
            judgement.culprit = Some(culprit);
            judgement.orders = vec![witness.prefix];
        }
        unknown @ Verdict::Unknown(_) => judgement.evidence.push(unknown.to_string()),
    }
    judgement
}

/// Why, which operations, what was tried, and how far it went well.
fn of_witness(
    history: &RawHistory,
    typed: &Typed,
    witness: &Witness,
    core: &[usize],
) -> Vec<String> {
    let mut evidence = vec![witness.reason.sentence().to_owned()];
    let hidden = core.len().saturating_sub(SHOWN);
    if hidden > 0 {
        evidence.push(format!("  ... {hidden} operations before these"));
    }
    evidence.extend(core[hidden..].iter().map(|index| {
        let mark = if *index == witness.operation as usize { '>' } else { ' ' };
        format!("{mark} {} (#{index})", describe(&history.operations[*index]))
    }));
    let (from, to) = witness.window;
    evidence.push(format!("within {from} to {to}"));
    let attempts = typed.attempts(witness);
    if !attempts.is_empty() {
        evidence.push("orders of these alone, as far as they go:".to_owned());
        evidence.extend(attempts.into_iter().map(|line| format!("  {line}")));
    }
    let [.., last] = witness.prefix.as_slice() else { return evidence };
    let last = describe(&history.operations[*last as usize]);
    let count = witness.prefix.len();
    evidence.push(format!("until then {count} operations are in order, the last of them:"));
    evidence.push(format!("  {last}"));
    evidence
}

/// One operation in a line.
fn describe(operation: &RawOperation) -> String {
    let RawOperation { client, key, f, value, output, call, returned, ok, line } = operation;
    let key = if *key == Datum::Nil { String::new() } else { format!(" {key}") };
    let value = if *value == Datum::Nil { String::new() } else { format!(" {value}") };
    let end = match (returned, ok) {
        (None, _) | (_, None) => "?: no answer".to_owned(),
        (Some(returned), Some(false)) => format!("{returned}: refused"),
        (Some(returned), Some(true)) if *output == Datum::Nil => format!("{returned}: nil"),
        (Some(returned), Some(true)) => format!("{returned}: {output}"),
    };
    format!("line {line}: client {client} {f}{key}{value}, {call} to {end}")
}

fn of_report(report: &Report) -> Judgement {
    let mut operations: Vec<usize> = Vec::new();
    let mut evidence = Vec::new();
    for breach in &report.breaches {
        evidence.push(format!("{}: {}", breach.rule, breach.explanation));
        operations.extend(breach.operations.iter().map(|index| *index as usize));
    }
    if evidence.is_empty() {
        evidence.push(format!("{} reads and writes examined", report.examined));
    }
    let counters = vec![
        ("examined", report.examined),
        ("breaches", report.breached),
        ("configurations", report.configurations),
    ];
    Judgement::of(report.status(), evidence, operations, counters)
}

fn of_isolation(report: &transactions::Report) -> Judgement {
    let forbidden =
        |found: &&transactions::Finding| report.level.forbids(found.anomaly, found.scope);
    let mut operations: Vec<usize> = Vec::new();
    let mut evidence = Vec::new();
    for found in report.findings.iter().filter(forbidden) {
        let pattern = found.pattern.map_or(String::new(), |one| format!(" ({})", one.name()));
        evidence.push(format!("{}{pattern}:", found.anomaly.name()));
        evidence.extend(found.explanation.lines().map(|line| format!("  {line}")));
        operations.extend(found.transactions.iter().map(|index| *index as usize));
    }
    if evidence.is_empty() {
        evidence.push(format!("{} committed transactions examined", report.counters.committed));
    }
    let counters = vec![
        ("committed", u64::from(report.counters.committed)),
        ("edges", u64::from(report.counters.edges)),
        ("components", u64::from(report.counters.components)),
        ("visited", report.counters.visited),
    ];
    Judgement::of(report.status(), evidence, operations, counters)
}

fn of_weak_isolation(report: &weak_levels::WeakReport) -> Judgement {
    let mut evidence: Vec<String> = report
        .anomalies
        .iter()
        .map(|(anomaly, explanation)| format!("{}: {explanation}", anomaly.name()))
        .collect();
    evidence.extend(report.cycle.iter().map(|step| step.reason.clone()));
    if report.status() == Status::Unknown {
        evidence.extend(report.why_unknown());
    }
    if evidence.is_empty() {
        evidence.push("a commit order explains every read".to_owned());
    }
    let operations =
        report.cycle.iter().filter_map(|step| step.from).map(|index| index as usize).collect();
    let counters = vec![("forced", report.forced)];
    Judgement::of(report.status(), evidence, operations, counters)
}

/// Numbers for data, in order of first appearance.
#[derive(Default)]
struct Numbers<'a>(FxHashMap<&'a Datum, u64>);

impl<'a> Numbers<'a> {
    fn of(&mut self, datum: &'a Datum) -> u64 {
        let next = self.0.len() as u64 + 1;
        *self.0.entry(datum).or_insert(next)
    }
}

fn outcome<O>(raw: &RawOperation, output: O) -> Outcome<O> {
    match (raw.returned, raw.ok) {
        (Some(returned), Some(true)) => Outcome::Ok { returned, output },
        (Some(returned), Some(false)) => Outcome::Failed { returned },
        _ => Outcome::Indeterminate,
    }
}

fn registers_of(history: &RawHistory) -> Result<RegisterHistory, ReadError> {
    let (mut keys, mut values) = (Numbers::default(), Numbers::default());
    let mut operations = Vec::with_capacity(history.operations.len());
    for raw in &history.operations {
        let key = keys.of(&raw.key);
        let (input, output) = match raw.f.as_str() {
            "read" | "get" => {
                let seen = (raw.output != Datum::Nil).then(|| values.of(&raw.output));
                (Access::Read { key }, seen)
            }
            "write" | "put" => (Access::Write { key, value: values.of(&raw.value) }, None),
            other => {
                let reason = format!("{other}: this promise is about read and write alone");
                return Err(ReadError::new(raw.line, reason));
            }
        };
        let outcome = outcome(raw, output);
        operations.push(Operation { client: raw.client, call: raw.call, input, outcome });
    }
    Ok(History { operations })
}

fn transactions_of(history: &RawHistory) -> Result<TransactionHistory, ReadError> {
    let (mut keys, mut values) = (Numbers::default(), Numbers::default());
    let lists = history.operations.iter().any(|raw| {
        let Datum::List(steps) = &raw.value else { return false };
        steps.iter().any(|step| matches!(micro_name(step), Some("append")))
    });
    let mut transactions = TransactionHistory::new();
    for raw in &history.operations {
        let wrong = |reason: &str| ReadError::new(raw.line, format!("{}: {reason}", raw.f));
        if raw.f != "txn" {
            return Err(wrong("this promise is about operations named txn"));
        }
        let told = raw.ok == Some(true) && raw.output != Datum::Nil;
        let Datum::List(steps) = (if told { &raw.output } else { &raw.value }) else {
            return Err(wrong("expected a list of [append, key, value], [r, key, seen], ..."));
        };
        let steps: Option<Vec<Micro>> =
            steps.iter().map(|step| micro(step, lists, told, &mut keys, &mut values)).collect();
        let Some(steps) = steps else {
            return Err(wrong(
                "a step is not [append, key, value], [r, key, seen] or [w, key, value]",
            ));
        };
        let outcome = outcome(raw, ());
        transactions
            .push(raw.client, raw.call, &outcome, &steps)
            .map_err(|error| ReadError::new(raw.line, error.to_string()))?;
    }
    Ok(transactions)
}

fn micro_name(step: &Datum) -> Option<&str> {
    let Datum::List(parts) = step else { return None };
    parts.first().and_then(Datum::text).map(|name| name.trim_start_matches(':'))
}

fn micro<'a>(
    step: &'a Datum,
    lists: bool,
    told: bool,
    keys: &mut Numbers<'a>,
    values: &mut Numbers<'a>,
) -> Option<Micro> {
    let Datum::List(parts) = step else { return None };
    let [_, key, value] = parts.as_slice() else { return None };
    let key = keys.of(key);
    Some(match (micro_name(step)?, value) {
        ("append", value) => Micro::Append { key, value: values.of(value) },
        ("w" | "write", value) => Micro::Write { key, value: values.of(value) },
        ("r" | "read", _) if !told => Micro::Unread { key },
        ("r" | "read", Datum::List(seen)) if lists => {
            Micro::ReadList { key, values: seen.iter().map(|one| values.of(one)).collect() }
        }
        ("r" | "read", Datum::Nil) if lists => Micro::ReadList { key, values: Vec::new() },
        ("r" | "read", Datum::Nil) => Micro::Read { key, value: None },
        ("r" | "read", value) if !lists => Micro::Read { key, value: Some(values.of(value)) },
        _ => return None,
    })
}

/// The line of the transaction that an error is about.
fn misfit(history: &RawHistory, error: &HistoryError) -> ReadError {
    let index = match error {
        HistoryError::DuplicateWrite { second, .. } => Some(*second as usize),
        HistoryError::MixedTypes { transaction }
        | HistoryError::ReturnsBeforeCall { transaction }
        | HistoryError::Overlap { transaction, .. } => Some(*transaction as usize),
        HistoryError::TooLarge | HistoryError::WrongType { .. } => None,
    };
    let line = index.and_then(|index| history.operations.get(index)).map_or(0, |raw| raw.line);
    ReadError::new(line, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readers::{Format, Limits, read};

    fn read_lines(text: &str) -> RawHistory {
        read(Format::JsonLines, text.as_bytes(), Limits::DEFAULT).expect("a history")
    }

    fn judged(text: &str, name: &str) -> Result<Judgement, ReadError> {
        let history = read_lines(text);
        judge(&history, Promise::from_name(name).expect("a name"), Budget::DEFAULT)
    }

    fn status(text: &str, name: &str) -> Status {
        judged(text, name).expect("a history that fits").status
    }

    const STALE: &str = r#"{"client":1,"key":"x","f":"write","value":1,"output":null,"call":1,"return":2,"ok":true}
{"client":1,"key":"x","f":"write","value":2,"output":null,"call":3,"return":4,"ok":true}
{"client":2,"key":"x","f":"read","value":null,"output":1,"call":5,"return":6,"ok":true}
"#;

    const SKEW: &str = r#"{"client":1,"f":"txn","value":[["r",1,null],["append",2,9]],"output":[["r",1,[]],["append",2,9]],"call":1,"return":5,"ok":true}
{"client":2,"f":"txn","value":[["r",2,null],["append",1,8]],"output":[["r",2,[]],["append",1,8]],"call":1,"return":5,"ok":true}
"#;

    #[test]
    fn every_name_is_a_promise_and_is_spelled_the_same_way_back() {
        for (name, _) in Promise::NAMES {
            let promise = Promise::from_name(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(promise.name(), name);
        }
        assert_eq!(Promise::from_name("3-atomic"), Some(Promise::KAtomic(3)));
        assert_eq!(Promise::from_name("0-atomic"), None);
        assert_eq!(Promise::from_name("nonsense"), None);
    }

    #[test]
    fn a_stale_read_breaks_what_is_about_real_time_and_nothing_weaker() {
        for broken in ["register", "regular", "safe"] {
            assert_eq!(status(STALE, broken), Status::Violated, "{broken}");
        }
        for kept in ["sequential", "causal", "monotonic-reads", "read-your-writes", "2-atomic"] {
            assert_eq!(status(STALE, kept), Status::Holds, "{kept}");
        }
        let judgement = judged(STALE, "register").expect("it fits");
        assert!(judgement.evidence.iter().any(|line| line.starts_with("> line 3")));
        assert!(judgement.evidence.iter().any(|line| line.contains("then nothing fits: not #2")));
        assert!(judgement.operations.contains(&2));
        let page = judgement.html("a <title>", &read_lines(STALE));
        assert!(page.contains("a &lt;title&gt;: violated") && page.contains("class=\"bad\""));
    }

    /// A value written twice leaves the whole to the search, whose core is everything until then.
    #[test]
    fn a_core_is_made_small() {
        let mut text = String::new();
        for n in 0..50_u32 {
            let (value, call) = (n % 49, n * 10);
            for (f, value, output) in [("write", value, None), ("read", 0, Some(value))] {
                let (value, output) = match output {
                    Some(seen) => ("null".to_owned(), if n == 40 { 30 } else { seen }.to_string()),
                    None => (value.to_string(), "null".to_owned()),
                };
                let call = call + if f == "read" { 5 } else { 0 };
                text.push_str(&format!(
                    "{{\"client\":1,\"f\":\"{f}\",\"value\":{value},\"output\":{output},\
                     \"call\":{call},\"return\":{},\"ok\":true}}\n",
                    call + 4
                ));
            }
        }
        let judgement = judged(&text, "register").expect("it fits");
        assert_eq!(judgement.status, Status::Violated);
        assert!(judgement.operations.len() <= 4, "{judgement:?}");
        assert_eq!(judgement.culprit, Some(81));
    }

    #[test]
    fn write_skew_is_explained_edge_by_edge() {
        assert_eq!(status(SKEW, "read-committed"), Status::Holds);
        assert_eq!(status(SKEW, "snapshot-isolation"), Status::Holds);
        let judgement = judged(SKEW, "serializable").expect("it fits");
        assert_eq!(judgement.status, Status::Violated);
        assert!(judgement.evidence.join("\n").contains("write skew"), "{judgement:?}");
    }

    #[test]
    fn a_promise_that_does_not_fit_names_the_line() {
        let error = judged(SKEW, "sequential").expect_err("transactions are no reads");
        assert_eq!(error.line, 1);
        let error = judged(STALE, "serializable").expect_err("reads are no transactions");
        assert_eq!(error.line, 1);
        let error = judged(&SKEW.replace("\"append\",1", "\"add\",1"), "serializable");
        assert_eq!(error.expect_err("no such step").line, 2);
    }
}
