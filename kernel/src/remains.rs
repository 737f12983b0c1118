//! What the process of a run left, read into a report.

use crate::machine::Remains;
use crate::report::{
    Backstop, Ended, Failure, Isolation, NodeReport, Note, Printed, Reader, Report,
};
use crate::run::{
    ARMED, DRAWS, EXIT, FINAL, FUTURE, HINT, LOG, NOTE, OUTPUT, PANIC, RECORD, STOP, TRACE,
    WAITING, signal_name,
};
use crate::speech::Speech;
use crate::trace;
use crate::world::World;
use seedfall_net::Tally;
use seedfall_sim::{Seed, Time};

/// A report that nothing is known of yet.
pub(crate) fn empty_report(world: &World, seed: Seed) -> Report {
    let node = |name: &str| NodeReport { name: name.to_owned(), ..NodeReport::default() };
    Report {
        seed,
        hash: 0,
        events: 0,
        ended: Ended::Stopped,
        at: Time::ZERO,
        nodes: world.nodes().map(|spec| node(&spec.name)).collect(),
        notes: Vec::new(),
        failures: Vec::new(),
        effects: Vec::new(),
        tally: Tally::default(),
        sent: 0,
        deliveries: 0,
        lost: 0,
        doubled: 0,
        calls: 0,
        switches: 0,
        nondeterministic: 0,
        trace: Vec::new(),
        draws: Vec::new(),
        records: Vec::new(),
        logs: Vec::new(),
        waiting: Vec::new(),
        hints: Vec::new(),
        stray: Vec::new(),
        isolation: Isolation::default(),
    }
}

/// Puts what a child left into the report.
pub(crate) fn read(report: &mut Report, world: &World, remains: &Remains) {
    let mut rest = remains.report.as_slice();
    let mut complete = false;
    let (servers, mut speech) = (world.servers.len(), Speech::default());
    while let Some((kind, mut frame)) = Reader::frame(&mut rest) {
        match kind {
            OUTPUT | PANIC | NOTE | RECORD | HINT | EXIT | LOG => {
                read_told(report, kind, &mut frame);
            }
            TRACE => trace::read_entries(&mut frame, servers, &mut speech, &mut report.trace),
            DRAWS => report.draws = trace::read_draws(&mut frame, servers),
            STOP => {
                complete = true;
                read_stop(report, &mut frame);
            }
            WAITING => {
                let (node, thread) = (frame.number() as usize, frame.number() as i32);
                let waits = crate::waits::read(name_of(report, node), thread, &frame.text());
                report.waiting.push(waits);
            }
            ARMED => {
                report.isolation = Isolation {
                    fixed_addresses: frame.number() == 1,
                    system_calls: match frame.number() {
                        1 => Backstop::Dispatch,
                        2 => Backstop::Seccomp,
                        _ => Backstop::Absent,
                    },
                    time_stamps: frame.number() == 1,
                    own_statics: frame.number() == 1,
                };
            }
            FINAL => {
                complete = true;
                read_final(report, &mut frame);
            }
            _ => {}
        }
    }
    report.stray.clone_from(&remains.stray);
    if !complete {
        let signal = remains.signal.map_or("it ended without a report", signal_name);
        let failure =
            Failure::Signal { node: String::new(), at: report.at, signal: signal.to_owned() };
        report.failures.push(failure);
    }
}

/// The reports of several futures of one run: what went before is in front of what each reported.
pub(crate) fn read_futures(
    world: &World,
    seed: Seed,
    remains: &Remains,
    count: usize,
) -> Vec<Report> {
    let mut rest = remains.report.as_slice();
    let mut past = remains.report.len();
    let mut futures: Vec<Option<Report>> = vec![None; count];
    loop {
        let before = remains.report.len() - rest.len();
        let Some((kind, mut frame)) = Reader::frame(&mut rest) else { break };
        if kind != FUTURE {
            continue;
        }
        past = past.min(before);
        let (which, signal) = (frame.number() as usize, frame.number());
        let report = [&remains.report[..past], frame.bytes()].concat();
        let signal = (signal > 0).then_some(signal as i32);
        let stray = [&remains.stray, frame.bytes()].concat();
        let mut future = empty_report(world, seed);
        read(&mut future, world, &Remains { report, stray, signal });
        if let Some(place) = futures.get_mut(which) {
            *place = Some(future);
        }
    }
    // Those that were not reached are as the run that does not come to its turn.
    let other = || {
        let mut report = empty_report(world, seed);
        read(&mut report, world, remains);
        report
    };
    futures.into_iter().map(|one| one.unwrap_or_else(other)).collect()
}

fn name_of(report: &Report, node: usize) -> String {
    report.nodes.get(node).map(|node| node.name.clone()).unwrap_or_default()
}

fn read_told(report: &mut Report, kind: u8, frame: &mut Reader<'_>) {
    let (node, at, number) = (frame.number() as usize, frame.time(), frame.number());
    let bytes = frame.bytes().to_vec();
    report.at = at;
    let name = name_of(report, node);
    let Some(one) = report.nodes.get_mut(node) else { return };
    // A program that stops because its disk failed does what it should.
    let excused = number >> 32 == 1;
    match kind {
        OUTPUT => one.printed.push(Printed { at, is_error: number == 2, bytes }),
        HINT => {
            let hint = Note { at, node, bytes };
            if !report.hints.iter().any(|one| (one.node, &one.bytes) == (node, &hint.bytes)) {
                report.hints.push(hint);
            }
        }
        NOTE => report.notes.push(Note { at, node, bytes }),
        RECORD => report.records.push(Note { at, node, bytes }),
        LOG => report.logs.push(Note { at, node, bytes }),
        PANIC if excused => {}
        PANIC => {
            let message = String::from_utf8_lossy(&bytes).into_owned();
            report.failures.push(Failure::Panic { node: name, at, message });
        }
        _ => {
            let code = number as u32 as i32;
            one.exits.push((at, code));
            let hungry = one.output().contains("memory allocation of");
            if excused {
                return;
            }
            if code == 128 + libc::SIGABRT && hungry {
                report.failures.push(Failure::Memory { node: name, at });
            } else if code != 0 {
                report.failures.push(Failure::Exit { node: name, at, code });
            }
        }
    }
}

fn read_stop(report: &mut Report, frame: &mut Reader<'_>) {
    let (node, at, number) = (frame.number() as usize, frame.time(), frame.number());
    let (text, stack) = (frame.text(), frame.text());
    // How far it came when its time was up, or when it was stopped, is the machine's affair.
    if matches!(number, 3 | 6) {
        (report.events, report.hash) = (frame.number(), frame.number());
    }
    let node = name_of(report, node);
    report.at = report.at.max(at);
    report.failures.push(match number {
        1 => Failure::Spin { node, at, stack },
        2 => Failure::Time { node, at, stack },
        3 => Failure::Unsupported { node, at, call: text, stack },
        4 => {
            let mut words = text.splitn(3, ' ');
            let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
            let (events, at) = (number(), Time::from_nanos(number()));
            report.at = report.at.max(at);
            Failure::Storm { node: words.next().unwrap_or_default().to_owned(), at, events }
        }
        6 => Failure::Signal { node, at, signal: text },
        _ => Failure::Bug(text),
    });
}

fn read_final(report: &mut Report, frame: &mut Reader<'_>) {
    report.hash = frame.number();
    report.events = frame.number();
    report.ended = match frame.number() {
        0 => Ended::Finished,
        1 => Ended::Horizon,
        2 => Ended::Stuck,
        3 => Ended::Stopped,
        _ => Ended::Cut,
    };
    report.at = frame.time();
    report.deliveries = frame.number();
    report.calls = frame.number();
    report.switches = frame.number();
    report.nondeterministic = frame.number();
    report.sent = frame.number();
    report.lost = frame.number();
    report.doubled = frame.number();
    report.tally = Tally {
        lost: frame.number(),
        duplicated: frame.number(),
        reordered: frame.number(),
        clogged: frame.number(),
        swizzled: frame.number(),
        cut: frame.number(),
        burst: frame.number(),
        lagged: frame.number(),
        throttled: frame.number(),
        corrupted: frame.number(),
        flapped: frame.number(),
        stretched: frame.number(),
    };
    for node in &mut report.nodes {
        node.changes = frame.number();
        node.timers = frame.number();
        node.looks = frame.number();
    }
    report.effects = (0..frame.number()).map(|_| frame.number()).collect();
}
