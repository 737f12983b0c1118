//! Where the threads of programs wait, when nothing will ever happen again and a client is not
//! done: for each, what it waits for and how it came there.

use crate::machine::{self, enter};
use crate::report::{Waiting, Writer};
use crate::sched::State;

/// So many threads are told.
const MOST: usize = 16;
/// So many functions of each.
const DEEP: usize = 6;

/// Where one run is stuck others will be: what is needed to name the functions of a stack is read
/// once, before they are forked.
pub(crate) fn prepare() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| drop(std::backtrace::Backtrace::force_capture().to_string()));
}

/// Tells where the threads wait, in a frame of this kind.
pub(crate) fn tell(kind: u8) {
    let waiting = enter(|kernel| {
        let waits = |at: &usize| kernel.threads[*at].state == State::Waiting;
        let all = (0..kernel.threads.len()).filter(waits);
        all.map(|at| (kernel.threads[at].node, kernel.threads[at].tid, kernel.threads[at].block))
            .collect::<Vec<_>>()
    });
    for (node, thread, block) in waiting.into_iter().take(MOST) {
        let stack = machine::stack_of(block);
        let mut frame = Writer::frame(kind);
        frame.number(node as u64).number(thread as u64);
        frame.bytes(stack.as_bytes());
        machine::report(&frame.done());
    }
}

/// What a thread is found to wait for, by its stack as the standard library prints it.
pub(crate) fn read(node: String, thread: i32, stack: &str) -> Waiting {
    let mut frames: Vec<(&str, Option<&str>)> = Vec::new();
    for line in stack.lines().map(str::trim) {
        if let Some(place) = line.strip_prefix("at ") {
            if let Some(last) = frames.last_mut() {
                last.1 = Some(place);
            }
        } else if let Some((_, name)) = line.split_once(": ") {
            frames.push((name, None));
        }
    }
    let calls = [
        ("::futex_wait", "a lock, a condition variable or a channel"),
        ("::epoll_wait", "events of its runtime"),
        ("::calls::join", "the end of another thread"),
        ("::calls::accept", "a connection (accept)"),
        ("::calls::connect", "an answer to connect"),
        ("::calls::receive", "something to receive"),
        ("::calls::read", "something to read"),
        ("::calls::poll", "descriptors (poll)"),
        ("::calls::send", "room to send"),
        ("::calls::write", "room to write"),
        ("::calls::pause", "a signal"),
    ];
    let names = |part: &str| frames.iter().any(|(name, _)| name.contains(part));
    let what = calls.iter().find(|(part, _)| names(part)).map_or("something", |(_, what)| what);
    let library = |place: &str| {
        place.starts_with("/rustc/")
            || place.contains("/registry/src/")
            || place.contains("/std/src/")
    };
    let is_ours = |place: &str| {
        ["src/hooks/", "src/machine/", "src/calls"].iter().any(|ours| place.contains(ours))
    };
    let is_own = |(name, place): &&(&str, Option<&str>)| {
        let ours = ["seedfall_kernel::", "std::", "core::", "alloc::", "tokio::", "mio::", "__"];
        !ours.iter().any(|part| name.trim_start_matches(['<', '&']).starts_with(part))
            && place.is_some_and(|place| !library(place) && !is_ours(place))
    };
    let told = |(name, place): &(&str, Option<&str>)| match place {
        Some(place) => format!("{name} ({place})"),
        None => (*name).to_owned(),
    };
    let own = frames.iter().filter(is_own).take(DEEP).map(told).collect();
    Waiting { node, thread, what: what.to_owned(), stack: own }
}
