//! From a run to its picture: everything that the report of a run shows, as plain data.
//!
//! An [`Explanation`] is read off the trace of a run that was recorded in full, and nothing else:
//! lanes, messages with their fates, operations as intervals, who was down and who was frozen, the
//! fault plan, and the *causal cone* of a violation, which is all that can have led to it.
//! [`html`](Explanation::html) makes one page of it that needs no network; the command `explain`
//! prints it as columns.
//!
//! What it does not know: the state of a node, unless the protocol says it in marks.

mod cone;
mod html;
mod operations;
mod point;

use crate::plan::{Fault, FaultBudget};
use crate::point::Point;
use crate::report::{Conclusion, Report};
use crate::run::{Runnable, Trial};
use crate::shrink::{self, Effort, Shrunk, Size};
use seedfall_sim::{Address, ClientId, Event, Kind, NodeId, Recording};
use serde::Serialize;
use std::collections::BTreeMap;

/// A page is at most this long, in bytes: a report that a browser or a mail refuses explains
/// nothing.
pub const PAGE_BYTES_MAX: usize = 2_000_000;

/// Everything that the report of a run shows. Instants are nanoseconds, events are named by their
/// place in [`Explanation::events`], lanes by their place in [`Explanation::lanes`].
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The scenario's name.
    pub scenario: String,
    /// What happens in it.
    pub about: String,
    /// The seed.
    pub seed: u64,
    /// What the run assumes.
    pub model: String,
    /// The trace hash.
    pub hash: String,
    /// When the run ended.
    pub ended: u64,
    /// The verdict of the run.
    pub verdict: Verdict,
    /// The line that brings this very run back.
    pub replay: String,
    /// The line that replays the run from which this one was shrunk, if it was.
    pub whole: Option<String>,
    /// What is left of that run, and what there was.
    pub shrunk: Option<String>,
    /// Nodes first, then clients.
    pub lanes: Vec<Lane>,
    /// Everything that happened, in order.
    pub events: Vec<Happening>,
    /// What travelled.
    pub messages: Vec<Message>,
    /// What clients asked, in the order of their calls.
    pub operations: Vec<Operation>,
    /// When nodes were down or frozen.
    pub outages: Vec<Outage>,
    /// When the wire was cut or jammed.
    pub cuts: Vec<Cut>,
    /// The fault plan.
    pub faults: Vec<Planned>,
    /// The run, told.
    pub story: Vec<Told>,
    /// What programs printed and logged; nothing of protocols.
    pub printed: Vec<Told>,
    /// What the protocol ignored and reached, and how often.
    pub marks: Vec<(String, u64)>,
    /// At which event the failure became likely, if that was asked.
    pub point: Option<Point>,
}

/// The verdict of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// `passed`, `vacuous`, or the kind of failure.
    pub word: &'static str,
    /// The verdict in a line.
    pub line: String,
    /// The property that is violated.
    pub property: Option<String>,
    /// What is wrong, or why the run proves nothing.
    pub why: String,
    /// The operations that take part, the one at fault marked with `>`.
    pub witness: Vec<String>,
    /// When it showed.
    pub at: Option<u64>,
}

/// A node or a client.
#[derive(Clone, Debug, Serialize)]
pub struct Lane {
    /// `n1`, `c2`.
    pub name: String,
    /// What the scenario calls it, where it has a name of its own; else empty.
    pub title: String,
    /// Whether it is a client.
    pub client: bool,
}

/// One event.
#[derive(Clone, Debug, Serialize)]
pub struct Happening {
    /// When.
    pub at: u64,
    /// What kind.
    pub kind: Kind,
    /// To whom.
    pub lane: usize,
    /// With whom; the same lane if nobody.
    pub peer: usize,
    /// Its contents.
    pub text: String,
    /// Whether it can have led to the violation.
    pub cone: bool,
    /// The message that it is about.
    pub message: Option<usize>,
}

/// A message, request or answer, from its sending on.
#[derive(Clone, Debug, Serialize)]
pub struct Message {
    /// Its sender.
    pub from: usize,
    /// Its receiver.
    pub to: usize,
    /// The event that sent it.
    pub sent: usize,
    /// The events at which it arrived: none, one, or two if it was doubled.
    pub arrivals: Vec<usize>,
    /// The events at which the wire lost it.
    pub drops: Vec<usize>,
    /// The events at which it arrived where nobody was up.
    pub missed: Vec<usize>,
    /// Whether the wire doubled it.
    pub doubled: bool,
}

/// Where a message came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// To its receiver.
    Arrives,
    /// It was lost, by the wire or for want of a receiver.
    Lost,
    /// The run was over before.
    Nowhere,
}

/// What a client asked, and what it was told.
#[derive(Clone, Debug, Serialize)]
pub struct Operation {
    /// `c1/3`: the client's operation 3, counted from zero.
    pub name: String,
    /// The client.
    pub lane: usize,
    /// The event of its first request.
    pub asked: usize,
    /// The event of the answer that closed it.
    pub answered: Option<usize>,
    /// When the client gave up.
    pub given_up: Option<u64>,
    /// How often it asked.
    pub attempts: u32,
    /// What was asked.
    pub input: String,
    /// What the answer said.
    pub output: String,
    /// The line of the witness, if the operation takes part in the violation.
    pub witness: Option<String>,
    /// Whether it is the one that cannot be explained.
    pub broken: bool,
}

/// A span in which a node did nothing.
#[derive(Clone, Debug, Serialize)]
pub struct Outage {
    /// The node.
    pub lane: usize,
    /// Since when.
    pub from: u64,
    /// Until when.
    pub to: u64,
    /// Frozen, not down.
    pub paused: bool,
}

/// An entry of the fault plan.
#[derive(Clone, Debug, Serialize)]
pub struct Planned {
    /// Since when.
    pub from: u64,
    /// Until when.
    pub to: u64,
    /// Its class.
    pub class: &'static str,
    /// What it is, in words.
    pub text: String,
    /// Whether it had an effect.
    pub fired: bool,
}

/// A span in which the wire was cut or jammed.
#[derive(Clone, Debug, Serialize)]
pub struct Cut {
    /// Whom it concerns; every node, if empty.
    pub lanes: Vec<usize>,
    /// Since when.
    pub from: u64,
    /// Until when.
    pub to: u64,
}

/// One line of the story.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    /// When, as text.
    pub at: String,
    /// What.
    pub text: String,
}

/// Runs a trial, recorded in full; makes it small first if it fails, unless it is wanted `whole`.
/// `effort` bounds the work.
pub fn examine(scenario: &dyn Runnable, trial: &Trial, whole: bool, effort: &Effort) -> Shrunk {
    if !whole && let Some(shrunk) = shrink::shrink_once(scenario, trial, effort) {
        return shrunk;
    }
    let trial = Trial { recording: Recording::Full, log_draws: true, ..trial.clone() };
    let report = scenario.run(&trial);
    let size = Size {
        faults: report.plan.entries.len(),
        operations: report.completed + report.indeterminate,
        draws: report.draws.len(),
        delivered: report.counters.delivered,
        events: report.events,
    };
    let (before, after, whole) = (size, size, report.events);
    Shrunk { trial, report, before, whole, after, runs: 0, stopped: None, matter: None }
}

impl Explanation {
    /// The explanation of a run, shrunk or not. `replay` is the line that brings it back, `whole`
    /// the line for the run from which it was shrunk.
    pub fn of(
        scenario: &dyn Runnable,
        shrunk: &Shrunk,
        replay: String,
        whole: Option<String>,
    ) -> Self {
        let report = &shrunk.report;
        let budget = scenario.fault_budget_of(&shrunk.trial);
        let (lanes, events) = (lanes(scenario, &budget), happenings(report, &budget));
        let mut explanation = Self {
            scenario: report.scenario.to_owned(),
            about: scenario.story().to_owned(),
            seed: report.seed.0,
            model: budget.model.to_string(),
            hash: format!("{:#018x}", report.hash),
            ended: report.ended.as_nanos(),
            verdict: verdict(report),
            replay,
            whole,
            shrunk: (shrunk.runs > 0).then(|| shrunk.summary()),
            cuts: cuts(report, &events, &lanes, report.ended.as_nanos()),
            lanes,
            messages: Vec::new(),
            operations: operations::read(&events, report.failure(), budget.nodes),
            outages: outages(&events, report.ended.as_nanos()),
            faults: planned(report),
            story: shrink::story(shrunk).iter().map(|line| told(line)).collect(),
            printed: report.printed.iter().map(|line| told(line)).collect(),
            marks: report.marks.iter().map(|(mark, n)| ((*mark).to_owned(), *n)).collect(),
            events,
            point: None,
        };
        explanation.link(report);
        cone::mark(&mut explanation, report.failure());
        explanation
    }

    /// Where the message of an event came to; to its receiver, if the event has none.
    pub fn end_of(&self, event: &Happening) -> End {
        let Some(message) = event.message.map(|place| &self.messages[place]) else {
            return End::Arrives;
        };
        match (message.arrivals.is_empty(), message.drops.is_empty() && message.missed.is_empty()) {
            (false, _) => End::Arrives,
            (true, false) => End::Lost,
            (true, true) => End::Nowhere,
        }
    }

    /// Whether a property was broken.
    pub fn is_failure(&self) -> bool {
        !matches!(self.verdict.word, "passed" | "vacuous")
    }

    /// Puts together what became of each message: events of one message share sender, receiver and
    /// index.
    fn link(&mut self, report: &Report) {
        let mut known: BTreeMap<(Address, Address, u64), usize> = BTreeMap::new();
        for (index, entry) in report.trace.iter().enumerate() {
            let Event { kind, actor, peer, index: nth, .. } = entry.event;
            let (from, to) = match kind {
                Kind::Send | Kind::Request | Kind::Respond | Kind::Drop | Kind::Duplicate => {
                    (actor, peer)
                }
                Kind::Deliver | Kind::Asked | Kind::Answered | Kind::Lost => (peer, actor),
                _ => continue,
            };
            let happening = &mut self.events[index];
            if matches!(kind, Kind::Send | Kind::Request | Kind::Respond) {
                known.insert((from, to, nth), self.messages.len());
                let (from, to) = (happening.lane, happening.peer);
                happening.message = Some(self.messages.len());
                self.messages.push(Message {
                    from,
                    to,
                    sent: index,
                    arrivals: Vec::new(),
                    drops: Vec::new(),
                    missed: Vec::new(),
                    doubled: false,
                });
                continue;
            }
            let Some(&at) = known.get(&(from, to, nth)) else { continue };
            happening.message = Some(at);
            let message = &mut self.messages[at];
            match kind {
                Kind::Drop => message.drops.push(index),
                Kind::Lost => message.missed.push(index),
                Kind::Duplicate => message.doubled = true,
                _ => message.arrivals.push(index),
            }
        }
    }
}

fn lanes(scenario: &dyn Runnable, budget: &FaultBudget) -> Vec<Lane> {
    let mut titles = scenario.names().into_iter();
    let nodes = NodeId::all(budget.nodes).map(|node| (node.to_string(), false));
    let clients = (0..budget.clients as u16).map(|one| (ClientId::new(one).to_string(), true));
    let lane = |(name, client)| {
        let title = titles.next().unwrap_or_default();
        Lane { name, title, client }
    };
    nodes.chain(clients).map(lane).collect()
}

fn happenings(report: &Report, budget: &FaultBudget) -> Vec<Happening> {
    let lane = |address: Address| address.index(budget.nodes);
    report
        .trace
        .iter()
        .map(|entry| Happening {
            at: entry.event.at.as_nanos(),
            kind: entry.event.kind,
            lane: lane(entry.event.actor),
            peer: lane(entry.event.peer),
            text: entry.text.clone(),
            cone: false,
            message: None,
        })
        .collect()
}

fn verdict(report: &Report) -> Verdict {
    let name = report.scenario;
    let unbroken = |word, line, why| Verdict {
        word,
        line,
        property: None,
        why,
        witness: Vec::new(),
        at: None,
    };
    match report.conclusion() {
        Conclusion::Passed => {
            unbroken("passed", format!("{name}: every property holds"), String::new())
        }
        Conclusion::Unknown(unknown) => {
            let line = format!("{name}: {} could not be decided", unknown.property);
            unbroken("unknown", line, unknown.why.clone())
        }
        Conclusion::Vacuous(why) => {
            unbroken("vacuous", format!("{name}: vacuous: it proves nothing"), why.to_owned())
        }
        Conclusion::Failed(failure) => Verdict {
            word: failure.kind.name(),
            line: format!("{name}: a property is violated ({})", failure.kind.name()),
            property: Some(failure.property.clone()),
            why: failure.explanation.clone(),
            witness: failure.operations.clone(),
            at: Some(failure.at.as_nanos()),
        },
    }
}

/// Down from crash to start, frozen from pause to resume or crash.
fn outages(events: &[Happening], ended: u64) -> Vec<Outage> {
    let mut over: Vec<Outage> = Vec::new();
    let mut open: BTreeMap<usize, (u64, bool)> = BTreeMap::new();
    for event in events {
        let begins = match event.kind {
            Kind::Crash => Some(false),
            Kind::Pause => Some(true),
            Kind::Start | Kind::Resume => None,
            _ => continue,
        };
        if let Some((from, paused)) = open.remove(&event.lane) {
            over.push(Outage { lane: event.lane, from, to: event.at, paused });
        }
        if let Some(paused) = begins {
            open.insert(event.lane, (event.at, paused));
        }
    }
    let left = open.into_iter();
    over.extend(left.map(|(lane, (from, paused))| Outage { lane, from, to: ended, paused }));
    over
}

fn planned(report: &Report) -> Vec<Planned> {
    let fired = report.fired.iter().map(|(_, fired)| *fired).chain(std::iter::repeat(false));
    let struck = report.struck.iter().cloned().chain(std::iter::repeat(None));
    let entries = report.plan.entries.iter().zip(struck).zip(fired);
    entries
        .map(|((entry, struck), fired)| {
            // Whom it struck, which need not be whom it names.
            let entry = &struck.unwrap_or_else(|| entry.clone());
            let told = entry.to_string();
            Planned {
                from: entry.at.as_nanos(),
                to: (entry.at + entry.lasts).as_nanos(),
                class: entry.fault.class().name(),
                // When, the page says on its own.
                text: told.split_once(": ").map_or(told.as_str(), |(_, what)| what).to_owned(),
                fired,
            }
        })
        .collect()
}

/// When the wire between some lanes was cut or jammed. A fault may be aimed at somebody else than
/// its plan names, and again and again: the trace says when, and in which words; what the words
/// stand for, the plan has.
fn cuts(report: &Report, events: &[Happening], lanes: &[Lane], ended: u64) -> Vec<Cut> {
    let nodes = lanes.iter().filter(|lane| !lane.client).count();
    let mut known: BTreeMap<String, Fault> = BTreeMap::new();
    for entry in &report.plan.entries {
        let aimed = NodeId::all(nodes).map(|node| entry.fault.aimed_at(node));
        let moved =
            std::iter::successors(Some(entry.fault.clone()), |one| Some(one.moved_on(nodes)));
        let all = aimed.chain(moved.take(nodes.max(1)));
        known.extend(all.filter(Fault::cuts_links).map(|fault| (fault.to_string(), fault)));
    }
    // Nodes first, then clients.
    let lane = |name: Address| Some(name.index(nodes)).filter(|lane| *lane < lanes.len());
    let mut cuts: Vec<Cut> = Vec::new();
    let mut open: Vec<(&str, usize)> = Vec::new();
    for event in events.iter().filter(|event| event.kind == Kind::Fault) {
        if let Some(what) = event.text.strip_prefix("begins: ")
            && let Some(fault) = known.get(what)
        {
            open.push((what, cuts.len()));
            let lanes = fault.names().into_iter().filter_map(lane).collect();
            cuts.push(Cut { lanes, from: event.at, to: ended });
        } else if let Some(what) = event.text.strip_prefix("ends: ")
            && let Some(place) = open.iter().position(|(begun, _)| *begun == what)
        {
            cuts[open.remove(place).1].to = event.at;
        }
    }
    cuts
}

fn told(line: &str) -> Told {
    let (at, text) = line.trim_start().split_once("  ").unwrap_or(("", line));
    Told { at: at.to_owned(), text: text.to_owned() }
}
