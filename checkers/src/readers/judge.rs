//! One door for every property that a file can be judged by: a name, a history, an answer with its
//! evidence in words.

use super::names::{Names, misfit, registers_of, transactions_of};
use super::{Datum, ModelName, RawHistory, RawOperation, ReadError, Typed};
use crate::explain::{Interval, Page};
use crate::transactions::weak::{self as weak_levels, WeakLevel};
use crate::transactions::{self, Level};
use crate::verdict::{Budget, Path, Verdict, Witness};
use crate::weak::{self, Causal, Guarantee, Report, Status, causal, k_atomic, session_guarantees};

/// A property that a history can be judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Property {
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

impl Property {
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

    /// The property of a name.
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

    /// The properties that a history's operations fit, the strongest of a kind: what `auto` offers.
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

    /// The evidence in the words of the file, and below it the operations that it names.
    fn told(mut self, history: &RawHistory, names: &Names<'_>) -> Self {
        self.evidence.iter_mut().for_each(|line| *line = names.in_words(line, history));
        let mut named = self.operations.clone();
        named.sort_unstable();
        named.dedup();
        let hidden = named.len().saturating_sub(SHOWN);
        self.evidence.extend(named[hidden..].iter().filter_map(|index| {
            history.operations.get(*index).map(|raw| format!("  {}", describe(raw)))
        }));
        self
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

/// Judges a history by a property. The core of a linearizability violation is made as small as a
/// budget of its own allows, see [`Typed::shrink`].
///
/// # Errors
/// The first line that the property does not fit, and why.
pub fn judge(
    history: &RawHistory,
    property: Property,
    budget: Budget,
) -> Result<Judgement, ReadError> {
    match property {
        Property::Linearizable(model) => {
            let typed = history.interpret(model)?;
            let verdict = typed.check(budget).map_err(|error| history.misfit(&error))?;
            let least = Budget { configurations: budget.configurations.min(SHRINKING), ..budget };
            Ok(of_verdict(history, &typed, typed.shrink(verdict, least)))
        }
        Property::Isolation(level) => {
            let mut names = Names::default();
            let transactions = transactions_of(history, &mut names)?;
            let report = transactions::check(&transactions, level);
            let report = report.map_err(|error| misfit(history, &names, &error))?;
            Ok(of_isolation(&report).told(history, &names))
        }
        Property::WeakIsolation(level) => {
            let mut names = Names::default();
            let transactions = transactions_of(history, &mut names)?;
            let report = weak_levels::check(&transactions, level, budget);
            let report = report.map_err(|error| misfit(history, &names, &error))?;
            Ok(of_weak_isolation(&report).told(history, &names))
        }
        _ => {
            let mut names = Names::default();
            let registers = registers_of(history, &mut names)?;
            let report = match property {
                Property::Sequential => weak::sequential(&registers, budget),
                Property::RealTime => weak::real_time(&registers),
                Property::Causal(kind) => causal(&registers, kind, budget),
                Property::Session(guarantee) => {
                    session_guarantees(&registers, &[guarantee], budget)
                }
                Property::Regular => weak::regular(&registers),
                Property::Safe => weak::safe(&registers),
                Property::KAtomic(k) => k_atomic(&registers, k, budget),
                Property::Linearizable(_) | Property::Isolation(_) | Property::WeakIsolation(_) => {
                    unreachable!("judged above")
                }
            };
            let report = report.map_err(|error| {
                let line = history.operations.get(error.operation()).map_or(0, |op| op.line);
                ReadError::new(line, names.in_words(&error.to_string(), history))
            })?;
            Ok(of_report(&report).told(history, &names))
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
        format!("{mark} {}", describe(&history.operations[*index]))
    }));
    let (from, to) = witness.window;
    evidence.push(format!("within {from} to {to}"));
    let attempts = typed.attempts(witness);
    if !attempts.is_empty() {
        evidence.push("orders of these alone, as far as they go:".to_owned());
        let words = |line: String| format!("  {}", Names::default().in_words(&line, history));
        evidence.extend(attempts.into_iter().map(words));
    }
    let [.., last] = witness.prefix.as_slice() else { return evidence };
    let last = describe(&history.operations[*last as usize]);
    let count = witness.prefix.len();
    let are = if count == 1 { "operation is" } else { "operations are" };
    evidence.push(format!("until then {count} {are} in order, the last of them:"));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readers::{Format, Limits, read};

    fn read_lines(text: &str) -> RawHistory {
        read(Format::JsonLines, text.as_bytes(), Limits::DEFAULT).expect("a history")
    }

    fn judged(text: &str, name: &str) -> Result<Judgement, ReadError> {
        let history = read_lines(text);
        judge(&history, Property::from_name(name).expect("a name"), Budget::DEFAULT)
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
    fn every_name_is_a_property_and_is_spelled_the_same_way_back() {
        for (name, _) in Property::NAMES {
            let property = Property::from_name(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(property.name(), name);
        }
        assert_eq!(Property::from_name("3-atomic"), Some(Property::KAtomic(3)));
        assert_eq!(Property::from_name("0-atomic"), None);
        assert_eq!(Property::from_name("nonsense"), None);
    }

    #[test]
    fn a_stale_read_breaks_what_is_about_real_time_and_nothing_weaker() {
        for broken in ["register", "regular", "safe"] {
            assert_eq!(status(STALE, broken), Status::Violated, "{broken}");
        }
        for kept in ["sequential", "causal", "monotonic-reads", "read-your-writes", "2-atomic"] {
            assert_eq!(status(STALE, kept), Status::Holds, "{kept}");
        }
        let told = judged(STALE, "regular").expect("it fits").evidence;
        assert_eq!(
            told[0],
            "stale-read: line 3 read from line 1, which line 2 had replaced before"
        );
        assert!(told[1].starts_with("  line 1: client 1 write \"x\" 1"), "{told:?}");
        let judgement = judged(STALE, "register").expect("it fits");
        assert!(judgement.evidence.iter().any(|line| line.starts_with("> line 3")));
        assert!(
            judgement.evidence.iter().any(|line| line.contains("then nothing fits: not line 3"))
        );
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
        let evidence = judgement.evidence.join("\n");
        assert!(evidence.contains("write skew"), "{judgement:?}");
        // In the words of the file: lines, keys and values as they stand there.
        assert!(
            evidence.contains("line 1 read key 1 without the 8 that line 2 appended"),
            "{evidence}"
        );
        assert!(evidence.contains("  line 2: client 2 txn"), "{evidence}");
    }

    #[test]
    fn a_property_that_does_not_fit_names_the_line() {
        let error = judged(SKEW, "sequential").expect_err("transactions are no reads");
        assert_eq!(error.line, 1);
        let error = judged(STALE, "serializable").expect_err("reads are no transactions");
        assert_eq!(error.line, 1);
        let error = judged(&SKEW.replace("\"append\",1", "\"add\",1"), "serializable");
        assert_eq!(error.expect_err("no such step").line, 2);
    }
}
