//! The small run, told.

use super::Shrunk;
use crate::report::Failure;
use seedfall_sim::{Address, DrawAddress, Entry, Kind, Site, Time};

/// The small run in lines that a person reads aloud: faults, the messages whose fate matters, what
/// was asked and answered, and the rare states that were reached.
pub fn story(shrunk: &Shrunk) -> Vec<String> {
    let mut telling = shrunk.trial.random.clone().unwrap_or_default();
    telling.extend(shrunk.matter.iter().flat_map(|matter| &matter.draws));
    let trace = &shrunk.report.trace;
    let mut lines = Vec::new();
    for entry in trace {
        let event = entry.event;
        let (actor, peer, text) = (event.actor, event.peer, &entry.text);
        let site = Site::Link(actor, peer);
        let matters = telling.contains(&DrawAddress { site, ordinal: event.ordinal });
        let told = match event.kind {
            Kind::Start if !text.is_empty() => format!("{actor} starts {text}"),
            Kind::Start if event.at > Time::ZERO => format!("{actor} comes back"),
            Kind::Crash => format!("{actor} crashes ({text})"),
            Kind::Refuse => format!("{actor} does not start: {text}"),
            Kind::Pause => format!("{actor} freezes"),
            Kind::Resume => format!("{actor} goes on"),
            Kind::Fault => text.clone(),
            Kind::Reach => format!("{actor}: {text}"),
            Kind::Lie => format!("{actor} lies to {peer}: {text}"),
            Kind::Send if matters => {
                format!("{actor} sends {peer} {text}: {}", fate(trace, actor, peer, event.ordinal))
            }
            Kind::Request => format!("{actor} asks {peer}: {text}"),
            Kind::Answered => format!("{actor} is told by {peer}: {text}"),
            _ => continue,
        };
        lines.push(format!("{:>10}  {told}", event.at.to_string()));
    }
    if let Some(failure) = shrunk.failure() {
        let Failure { at, promise, explanation, .. } = failure;
        let explanation = explanation.replace('\n', " ");
        lines.push(format!("{:>10}  broken: {promise}: {explanation}", at.to_string()));
    }
    lines
}

/// What became of a message, a request or an answer, in words.
pub(crate) fn fate(trace: &[Entry], from: Address, to: Address, ordinal: u64) -> String {
    let about = |kinds: &'static [Kind], actor: Address, peer: Address| {
        trace.iter().filter(move |entry| {
            let event = entry.event;
            kinds.contains(&event.kind)
                && (event.actor, event.peer, event.ordinal) == (actor, peer, ordinal)
        })
    };
    let arrivals: Vec<String> = about(&[Kind::Deliver, Kind::Asked, Kind::Answered], to, from)
        .map(|entry| format!("at {}", entry.event.at))
        .collect();
    match arrivals.as_slice() {
        [] if about(&[Kind::Drop], from, to).next().is_some() => "it is lost".to_owned(),
        [] => "it never arrives".to_owned(),
        [once] => format!("it arrives {once}"),
        more => format!("it arrives {} times, {}", more.len(), more.join(" and ")),
    }
}
