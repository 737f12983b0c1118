//! The small run, told.

mod fold;

use super::Shrunk;
use crate::report::Failure;
use fold::{Line, fold};
use seedfall_sim::{Address, DrawAddress, Entry, Kind, Site, Time};
use std::collections::BTreeSet;

/// The small run in lines that a person reads aloud: faults, the messages whose fate matters, what
/// was asked and answered, what nodes decide and write down, and the rare states that were reached.
/// Of a run that fails by waiting also what was lost, and who waits. What repeats is one line.
pub fn story(shrunk: &Shrunk) -> Vec<String> {
    let trace = &shrunk.report.trace;
    let failure = shrunk.failure();
    let waits = failure.is_some_and(|failure| failure.kind.is_late());
    let mut telling = shrunk.trial.random.clone().unwrap_or_default();
    telling.extend(shrunk.matter.iter().flat_map(|matter| &matter.draws));
    let teller = Teller { trace, telling, asked: shrunk.matter.is_some(), waits };
    let mut lines = Vec::new();
    for step in steps(trace) {
        teller.step(step, &mut lines);
    }
    let mut lines = fold(&lines, waits);
    if let Some(failure) = failure {
        lines.extend(end(failure));
    }
    lines
}

/// What is broken, and, if something did not happen, who waits for what: a line each.
fn end(failure: &Failure) -> Vec<String> {
    let Failure { at, property, explanation, kind, .. } = failure;
    let explanation = explanation.replace('\n', " ");
    let parts: Vec<&str> =
        if kind.is_late() { explanation.split("; ").collect() } else { vec![&explanation] };
    let (first, rest) = parts.split_first().unwrap_or((&"", &[]));
    let broken = format!("{:>10}  broken: {property}: {first}", at.to_string());
    [broken].into_iter().chain(rest.iter().map(|part| format!("{:>10}  {part}", ""))).collect()
}

/// The events in steps: something begins, and what one handler does follows.
fn steps(trace: &[Entry]) -> impl Iterator<Item = &[Entry]> {
    let follows = |kind: Kind| {
        matches!(
            kind,
            Kind::Send
                | Kind::Drop
                | Kind::Duplicate
                | Kind::Request
                | Kind::Respond
                | Kind::Append
                | Kind::Sync
                | Kind::Ignore
                | Kind::Reach
                | Kind::Lie
                | Kind::Return
                | Kind::Connect
                | Kind::File
                | Kind::Exit
                | Kind::Output
                | Kind::Panic
                | Kind::Switch
                | Kind::Note
        )
    };
    trace.chunk_by(move |one, two| {
        follows(two.event.kind)
            && (one.event.actor, one.event.at) == (two.event.actor, two.event.at)
    })
}

struct Teller<'a> {
    trace: &'a [Entry],
    /// The draws of what is told though it is nothing but a message.
    telling: BTreeSet<DrawAddress>,
    /// Whether it is known what matters.
    asked: bool,
    /// Whether the run fails by waiting: then what is lost is told, and all that was decided.
    waits: bool,
}

impl Teller<'_> {
    fn step(&self, step: &[Entry], lines: &mut Vec<Line>) {
        let Some((first, _)) = step.split_first() else { return };
        // What a message does that does not matter does not matter either.
        let decides = self.waits
            || match first.event.kind {
                Kind::Deliver => self.tells(first.event.peer, first.event.actor, first),
                _ => true,
            };
        let before = lines.len();
        let mut said = false;
        for entry in step {
            let Some(told) = self.event(entry, decides) else { continue };
            said |= !std::ptr::eq(entry, first) && entry.event.kind != Kind::Request;
            let keep =
                matches!(entry.event.kind, Kind::Send | Kind::Crash | Kind::Fault | Kind::Signal);
            lines.push(Line { at: entry.event.at, text: told, keep: keep && !self.waits });
        }
        let answers = step.iter().any(|entry| entry.event.kind == Kind::Respond);
        let is_timer = first.event.kind == Kind::Timer && first.event.actor.node().is_some();
        if is_timer && (said || answers) {
            let text = format!("{}: its timer {} rings", first.event.actor, first.text);
            lines.insert(before, Line { at: first.event.at, text, keep: false });
        }
    }

    fn tells(&self, from: Address, to: Address, entry: &Entry) -> bool {
        let site = Site::Link(from, to);
        self.telling.contains(&DrawAddress { site, index: entry.event.index })
    }

    /// Whether what is sent is a program's question or an answer to it, and nobody knows what
    /// matters: messages of protocols that are neither have kinds of their own.
    fn asks(&self, from: Address, to: Address) -> bool {
        !self.asked && (from.client().is_some() || to.client().is_some())
    }

    /// An event in words, if it is told; `decides`: its step has a reason that matters.
    fn event(&self, entry: &Entry, decides: bool) -> Option<String> {
        let (event, text) = (entry.event, &entry.text);
        let (actor, peer) = (event.actor, event.peer);
        let became = || fate(self.trace, actor, peer, event.index);
        Some(match event.kind {
            Kind::Start if !text.is_empty() => format!("{actor} starts {text}"),
            Kind::Start if event.at > Time::ZERO => format!("{actor} comes back"),
            Kind::Crash => format!("{actor} crashes ({text})"),
            Kind::Refuse => format!("{actor} does not start: {text}"),
            Kind::Pause => format!("{actor} freezes"),
            Kind::Resume => format!("{actor} goes on"),
            Kind::Fault => text.clone(),
            Kind::Signal => format!("{actor} {text}"),
            Kind::Reach if decides || !self.asked => format!("{actor}: {text}"),
            Kind::Ignore if decides && actor.node().is_some() => format!("{actor} ignores {text}"),
            Kind::Append if decides => format!("{actor} writes down {text}"),
            Kind::Lie => format!("{actor} lies to {peer}: {text}"),
            Kind::Call => format!("{actor} calls {text}"),
            Kind::Return => format!("{actor} has {text}"),
            Kind::Exit if text != "with code 0" => format!("{actor} ends {text}"),
            Kind::Panic => format!("{actor} panics: {text}"),
            Kind::Note => format!("{actor} notes {text}"),
            Kind::Output if decides => format!("{actor} prints {text}"),
            Kind::File if decides => format!("{actor} {text}"),
            // Of a protocol it says how many records there were, which nobody needs to know.
            Kind::Sync if decides && text.starts_with('/') => format!("{actor} syncs {text}"),
            Kind::Connect if is_end(text) => text.clone(),
            Kind::Send if is_control(text) && !became().is_loss() => return None,
            Kind::Send
                if self.tells(actor, peer, entry)
                    || self.asks(actor, peer)
                    || self.waits && became().is_loss() =>
            {
                format!("{actor} sends {peer} {text}: {}", became())
            }
            Kind::Request if became().is_loss() => {
                format!("{actor} asks {peer}: {text}: {}", became())
            }
            Kind::Request => format!("{actor} asks {peer}: {text}"),
            Kind::Respond if became().is_loss() => {
                format!("{actor} answers {peer}: {text}: {}", became())
            }
            Kind::Answered => format!("{actor} is told by {peer}: {text}"),
            _ => return None,
        })
    }
}

/// Whether a connection did not come about, or came to a bad end.
fn is_end(text: &str) -> bool {
    [" is refused by ", " is reset by ", " gives up on "].iter().any(|end| text.contains(end))
}

/// Whether a packet of a stream has no contents: it opens or closes a connection, or makes two ends
/// of HTTP/2 agree about theirs.
fn is_control(text: &str) -> bool {
    let text = text.strip_prefix("again: ").unwrap_or(text);
    let is_frame = |budget: &str| {
        ["begins", "SETTINGS", "WINDOW_UPDATE", "PING"].iter().any(|kind| budget.starts_with(kind))
    };
    ["SYN", "SYN, ACK", "ACK", "FIN", "RST", "there is room again"].contains(&text)
        || text.strip_prefix("HTTP/2 ").is_some_and(|frames| frames.split(", ").all(is_frame))
}

/// What became of a message, a request or an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It arrives, at these instants.
    Arrives(Vec<Time>),
    /// The wire loses it.
    Lost,
    /// It comes to somebody who is down.
    Missed,
    /// The run is over before.
    UnderWay,
}

impl Fate {
    /// Whether it is never going to arrive.
    pub(crate) fn is_loss(&self) -> bool {
        matches!(self, Self::Lost | Self::Missed)
    }
}

impl std::fmt::Display for Fate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lost => f.write_str("it is lost"),
            Self::Missed => f.write_str("nobody is up when it arrives"),
            Self::UnderWay => f.write_str("it is under way when the run is over"),
            Self::Arrives(at) => {
                let all: Vec<String> = at.iter().map(|at| format!("at {at}")).collect();
                match all.as_slice() {
                    [once] => write!(f, "it arrives {once}"),
                    more => write!(f, "it arrives {} times, {}", more.len(), more.join(" and ")),
                }
            }
        }
    }
}

/// What became of a message, a request or an answer.
pub(crate) fn fate(trace: &[Entry], from: Address, to: Address, index: u64) -> Fate {
    let about = |kinds: &'static [Kind], actor: Address, peer: Address| {
        trace.iter().filter(move |entry| {
            let event = entry.event;
            kinds.contains(&event.kind)
                && (event.actor, event.peer, event.index) == (actor, peer, index)
        })
    };
    let arrivals: Vec<Time> = about(&[Kind::Deliver, Kind::Asked, Kind::Answered], to, from)
        .map(|entry| entry.event.at)
        .collect();
    if !arrivals.is_empty() {
        return Fate::Arrives(arrivals);
    }
    if about(&[Kind::Drop], from, to).next().is_some() {
        Fate::Lost
    } else if about(&[Kind::Lost], to, from).next().is_some() {
        Fate::Missed
    } else {
        Fate::UnderWay
    }
}
