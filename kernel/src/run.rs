//! A run: a fork of this process, in which the kernel lives, and the report that it sends back.

use crate::calls;
use crate::course::{Course, Fork};
use crate::faults::{Nemesis, Place, Target};
use crate::kernel::{Event, Kernel, NodeIndex};
use crate::machine::{self, Bounds, enter};
use crate::next::{Ends, Next};
use crate::node::Node;
use crate::report::{Ended, Writer};
use crate::trace::{self, Happening, Trace, digest};
use crate::world::World;
use seedfall_net::{Tally, Wire};
use seedfall_sim::{Draws, Recording, Time};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

/// The mains of the world of this process, by node.
static MAINS: OnceLock<Vec<std::sync::Arc<dyn Fn() -> i32 + Send + Sync>>> = OnceLock::new();
// The kinds of frames.
pub(crate) const OUTPUT: u8 = 1;
pub(crate) const PANIC: u8 = 2;
pub(crate) const NOTE: u8 = 3;
pub(crate) const EXIT: u8 = 4;
pub(crate) const STOP: u8 = 5;
pub(crate) const FINAL: u8 = 6;
pub(crate) const ARMED: u8 = 7;
pub(crate) const TRACE: u8 = 8;
pub(crate) const DRAWS: u8 = 9;
pub(crate) const LOG: u8 = 10;
pub(crate) const FUTURE: u8 = 11;
pub(crate) const RECORD: u8 = 12;
pub(crate) const WAITING: u8 = 20;
pub(crate) const HINT: u8 = 21;

/// What is told as it happens, so that a process that dies has told it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Told<'a> {
    /// A program printed something.
    Output { node: NodeIndex, at: Time, stream: u8, bytes: &'a [u8] },
    /// A thread panicked; `excused`: its disk had failed it.
    Panic { node: NodeIndex, at: Time, message: &'a str, excused: bool },
    /// The workload recorded something.
    Note { node: NodeIndex, at: Time, bytes: &'a [u8] },
    /// What a program reports of its assertions.
    Record { node: NodeIndex, at: Time, bytes: &'a [u8] },
    /// Why a program was told what it was told, for people.
    Hint { node: NodeIndex, at: Time, text: &'a str },
    /// A program ended; `excused`: its disk had failed it.
    Exit { node: NodeIndex, at: Time, code: i32, excused: bool },
    /// Something was logged in a program by somebody who is no part of it.
    Log { node: NodeIndex, at: Time, text: &'a str },
}

/// Tells the parent something.
pub(crate) fn tell(told: Told<'_>) {
    let (kind, node, at, number, bytes) = match told {
        Told::Output { node, at, stream, bytes } => (OUTPUT, node, at, stream.into(), bytes),
        Told::Panic { node, at, message, excused } => {
            (PANIC, node, at, u64::from(excused) << 32, message.as_bytes())
        }
        Told::Note { node, at, bytes } => (NOTE, node, at, 0, bytes),
        Told::Record { node, at, bytes } => (RECORD, node, at, 0, bytes),
        Told::Hint { node, at, text } => (HINT, node, at, 0, text.as_bytes()),
        Told::Exit { node, at, code, excused } => {
            (EXIT, node, at, u64::from(code as u32) | u64::from(excused) << 32, &[][..])
        }
        Told::Log { node, at, text } => (LOG, node, at, 0, text.as_bytes()),
    };
    let mut frame = Writer::frame(kind);
    frame.number(node as u64).number(at.as_nanos()).number(number).bytes(bytes);
    machine::report(&frame.done());
}

/// Why a run stops before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A thread computes without a call.
    Spin,
    /// The real time is over.
    Time,
    /// A call that is not simulated.
    Unsupported(String),
    /// Too many events: how many, and in whose program last.
    Storm(u64, Time, String),
    /// A bug of the kernel.
    Bug(String),
}

/// Stops the run now, from wherever it is, and tells why.
pub(crate) fn stopped(stop: Stop) -> ! {
    let (number, text) = match stop {
        Stop::Spin => (1, String::new()),
        Stop::Time => (2, String::new()),
        Stop::Unsupported(call) => (3, call),
        Stop::Storm(events, at, node) => (4, format!("{events} {} {node}", at.as_nanos())),
        Stop::Bug(message) => (5, message),
    };
    let inside = machine::in_program();
    let stack = if inside && number <= 3 {
        machine::outside(|| std::backtrace::Backtrace::force_capture().to_string())
    } else {
        String::new()
    };
    tell_stop(inside, number, &text, &stack);
    machine::end_process()
}

/// Tells whose program runs, when that is and how many events came before, as the process is about
/// to end; and what was kept so far.
fn tell_stop(inside: bool, number: u64, text: &str, stack: &str) {
    let nobody = machine::is_lent() || !machine::is_installed();
    let (node, at, events, hash) = if nobody {
        (usize::MAX, Time::ZERO, 0, 0)
    } else {
        enter(|kernel| {
            kernel.trace.tell();
            let node = if inside { kernel.here() } else { usize::MAX };
            (node, kernel.now, kernel.trace.count(), kernel.trace.hash())
        })
    };
    let mut frame = Writer::frame(STOP);
    frame.number(node as u64).number(at.as_nanos()).number(number);
    frame.bytes(text.as_bytes()).bytes(stack.as_bytes()).number(events).number(hash);
    machine::report(&frame.done());
}

/// A program does what ends the run: an event, so that the run fails within its events, by which it
/// is made small and replayed.
pub(crate) fn record_end(how: &str) {
    if machine::in_program() && !machine::is_lent() {
        enter(|kernel| {
            let node = kernel.here();
            let text = |_: &Kernel| how.to_owned();
            kernel.record_text(Happening::Exit, node, node, digest(how.as_bytes()), text);
        });
    }
}

/// A signal is about to end the process: tells whose program it was.
pub(crate) fn died(text: &str) {
    record_end(&format!("by {text}"));
    tell_stop(machine::in_program(), 6, text, "");
}

pub(crate) fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGSEGV => "SIGSEGV, memory that is not there",
        libc::SIGBUS => "SIGBUS, memory that is not there",
        libc::SIGILL => "SIGILL, an instruction that is not there",
        libc::SIGFPE => "SIGFPE, arithmetic",
        libc::SIGABRT => "SIGABRT, abort",
        libc::SIGKILL => "SIGKILL, from outside",
        libc::SIGALRM => "SIGALRM, out of time",
        _ => "a signal",
    }
}

/// The virtual time, if a program of a simulation asks.
pub fn now() -> Option<Time> {
    machine::in_program().then(|| enter(|kernel| kernel.now))
}

/// The name of the node whose program asks, if it is one of a simulation: for loggers.
pub fn node() -> Option<String> {
    machine::in_program().then(|| enter(|kernel| kernel.nodes[kernel.here()].name.clone()))
}

/// Does something with the real machine in the midst of a program: it reads a real file, asks a
/// real service. The run is no function of its seed any more, and its report says so
/// ([`Report::nondeterministic`](crate::Report::nondeterministic)). Outside a simulation, just does
/// it.
pub fn nondeterministic<R>(work: impl FnOnce() -> R) -> R {
    let (mut work, mut result) = (Some(work), None);
    escape(&mut || result = work.take().map(|work| work()));
    result.expect("it was done")
}

// What users' crates compile for themselves, as it is generic, names no static of the machine: each
// call would look for those in a table of the loader then.
#[inline(never)]
fn escape(work: &mut dyn FnMut()) {
    if !machine::in_program() {
        return work();
    }
    enter(|kernel| kernel.escapes += 1);
    machine::outside(work);
}

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// An operation begins.
    Call,
    /// An operation ends.
    Return,
    /// Anything else.
    Other,
}

/// Records something for the report of the run. Outside a simulation, nothing.
pub fn note(bytes: &[u8]) {
    note_about(About::Other, bytes);
}

/// As [`note`], as an event of this kind.
pub fn note_about(about: About, bytes: &[u8]) {
    if !machine::in_program() {
        return;
    }
    let kind = match about {
        About::Call => Happening::Call,
        About::Return => Happening::Return,
        About::Other => Happening::Note,
    };
    let (node, at) = enter(|kernel| {
        let node = kernel.here();
        let text = |_: &Kernel| String::from_utf8_lossy(bytes).into_owned();
        kernel.record_text(kind, node, node, digest(bytes), text);
        (node, kernel.now)
    });
    tell(Told::Note { node, at, bytes });
}

/// Adds a line to the log of the run, with the virtual time and the node: for loggers that are no
/// part of the program. Making the text takes nothing of the program's memory, and the line is no
/// event: a run with it and a run without it are one and the same. False outside a simulation,
/// where nothing happens.
pub fn log(text: impl FnOnce() -> String) -> bool {
    let mut text = Some(text);
    log_text(&mut || text.take().map(|text| text()).unwrap_or_default())
}

#[inline(never)]
fn log_text(text: &mut dyn FnMut() -> String) -> bool {
    if !machine::in_program() {
        return false;
    }
    let (node, at) = enter(|kernel| (kernel.here(), kernel.now));
    machine::outside(|| tell(Told::Log { node, at, text: &text() }));
    true
}

/// The turn that the run has taken ([`Course::fork`], [`futures`](crate::futures)), counted from
/// zero, for the workload; `None`: it has not.
pub fn turn() -> Option<usize> {
    if machine::in_program() { enter(|kernel| kernel.turn) } else { None }
}

/// The whole life of a run's process.
pub(crate) fn child(
    world: &World,
    course: &Course,
    nemesis: &mut dyn Nemesis,
    forks: &[Fork],
    jobs: usize,
) {
    machine::bound(&bounds(world));
    let servers = world.servers.len();
    let (count, clients) = (world.nodes().count(), world.clients.len());
    let mut draws = Draws::new(course.seed, servers, clients);
    draws = draws.with_overrides(course.overrides.clone());
    draws.set_nominal(course.nominal);
    if let Some(random) = &course.random {
        draws.nominal_except(random.clone());
    }
    if course.log_draws {
        draws.keep_log();
    }
    let wire = Wire::new(servers, clients, world.link);
    let nodes = world.nodes().enumerate().map(|(index, spec)| {
        let mut node = Node::new(spec.name.clone(), index, spec.folder.clone());
        for (path, bytes) in &spec.files {
            if let Err(error) = node.tree.put(path, bytes) {
                let error = std::io::Error::from_raw_os_error(error);
                stopped(Stop::Bug(format!("the file {path} of `{}`: {error}", spec.name)));
            }
        }
        node.tree.promises = spec.promises;
        node.image.clone_from(&node.tree);
        node
    });
    let mut kernel = Kernel::new(draws, wire, nodes.collect(), servers);
    kernel.trace = Trace::new(course.seed.0, servers, course.recording);
    if let Some(only) = &course.only {
        kernel.trace.let_in_only(only);
    }
    for node in 0..count {
        kernel.restart(Place(node));
    }
    let first = match nemesis.comes_first() {
        true => nemesis.strike(&mut kernel),
        false => Some(Time::ZERO),
    };
    if let Some(at) = first {
        kernel.queue.push(at, Event::Nemesis);
    }
    machine::install(kernel);
    machine::divide_statics(count, world.shared_statics);
    let mains = world.nodes().map(|spec| spec.main.clone()).collect();
    assert!(MAINS.set(mains).is_ok(), "one run a process");
    let (system_calls, time_stamps) = machine::arm();
    let mut frame = Writer::frame(ARMED);
    frame.number(machine::has_fixed_addresses().into());
    frame.number(system_calls as u64).number(time_stamps.into());
    frame.number((world.shared_statics || machine::has_divided_statics()).into());
    machine::report(&frame.done());
    let after = forks.first().map(|fork| fork.after);
    let mut ended = drive(world, course, nemesis, after);
    if let (None, Some(_)) = (ended, after) {
        let which = if let [_] = forks { 0 } else { branch(world, forks.len(), jobs) };
        take_turn(which, &forks[which], nemesis);
        ended = drive(world, course, nemesis, None);
    }
    if ended == Some(Ended::Stuck) && clients > 0 {
        crate::waits::tell(WAITING);
    }
    finish(ended.unwrap_or(Ended::Stopped), course, nemesis);
}

/// Forks this process for each of so many futures, so many at a time, and sends on what they
/// report. Comes back in each of them, with its number.
fn branch(world: &World, futures: usize, jobs: usize) -> usize {
    machine::forget_time();
    let all: Vec<usize> = (0..futures).collect();
    for some in all.chunks(jobs) {
        let mut children = Vec::new();
        for which in some {
            match machine::split() {
                Ok(None) => {
                    machine::keep_time(&bounds(world));
                    machine::arm();
                    return *which;
                }
                Ok(Some(child)) => children.push((*which, child)),
                Err(error) => stopped(Stop::Bug(format!("cannot fork: {error}"))),
            }
        }
        for (which, child) in children {
            let remains = child.wait();
            let mut frame = Writer::frame(FUTURE);
            frame.number(which as u64).number(remains.signal.map_or(0, |signal| signal as u64));
            frame.bytes(&remains.report).bytes(&remains.stray);
            machine::report(&frame.done());
        }
    }
    machine::end_process()
}

fn bounds(world: &World) -> Bounds {
    let limits = world.limits;
    Bounds { seconds: limits.seconds, memory: limits.memory, spin: limits.spin }
}

/// Runs threads and events until the run is over, or so many events have happened that it takes
/// another turn: then `None`.
fn drive(
    world: &World,
    course: &Course,
    nemesis: &mut dyn Nemesis,
    turn_after: Option<u64>,
) -> Option<Ended> {
    let ends = Ends {
        limit: Time::ZERO + world.limits.horizon,
        steps: world.limits.events,
        turn_after: turn_after.unwrap_or(u64::MAX),
        until: course.until.unwrap_or(u64::MAX),
        open_until: course.open_until.unwrap_or(Time::ZERO),
        clients: world.servers.len()..world.nodes().count(),
    };
    enter(|kernel| kernel.ends = ends);
    let mut environment = None;
    loop {
        match enter(|kernel| kernel.next(environment.take())) {
            Next::Turn => return None,
            Next::Cut => return Some(Ended::Cut),
            Next::Start(node) => start(world, node),
            Next::Thread(turn) => {
                machine::load_statics(turn.node);
                let (ended, left) = machine::resume(turn.block, turn.environment);
                if let Some(block) = ended {
                    machine::give_back(block);
                }
                environment = Some(left);
            }
            Next::Nemesis => enter(|kernel| {
                if let Some(at) = nemesis.strike(kernel) {
                    kernel.queue.push(at, Event::Nemesis);
                }
            }),
            Next::End(ended) => return Some(ended),
            Next::Storm => {
                let (at, node) =
                    enter(|kernel| (kernel.now, kernel.nodes[kernel.here()].name.clone()));
                stopped(Stop::Storm(world.limits.events, at, node));
            }
        }
    }
}

/// The run takes another turn: all that comes is drawn anew.
fn take_turn(which: usize, fork: &Fork, nemesis: &mut dyn Nemesis) {
    enter(|kernel| {
        kernel.draws.reseed(fork.seed);
        kernel.turn = Some(which);
        if let Some(faults) = &fork.faults {
            nemesis.replan(&faults(kernel.now));
            // It looks at its new plan at once, and at the old one's instants in vain.
            kernel.queue.push(kernel.now, Event::Nemesis);
        }
    });
}

/// Makes the main thread of a node.
fn start(world: &World, node: NodeIndex) {
    machine::renew_statics(node);
    let own = world.nodes().nth(node).map(|spec| spec.environment.as_slice());
    let environment = machine::make_environment(own.unwrap_or_default());
    let taken = machine::take_block(0);
    let Some((block, handle)) = taken else {
        stopped(Stop::Bug("no memory for the main thread of a node".to_owned()))
    };
    machine::begin(block, main_thread, node);
    enter(|kernel| {
        kernel.nodes[node].environment = environment;
        kernel.make_thread(node, block, handle);
    });
}

/// The main thread of a node: its `main`, and the end of its program.
extern "C" fn main_thread(node: *mut c_void) -> *mut c_void {
    let main = MAINS.get().and_then(|mains| mains.get(node as usize));
    let main = main.expect("every node has a main");
    let code = catch_unwind(AssertUnwindSafe(|| main())).unwrap_or(101);
    // The standard library does this after a real `main`.
    let _ = std::io::Write::flush(&mut std::io::stdout());
    calls::exit(code)
}

/// Every panic in a run is told, wherever a runtime may swallow it. Set before the first fork: in a
/// child, a lock that another thread held at the fork is never given back.
pub(crate) fn watch_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(set_hook);
}

fn set_hook() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !machine::is_run() {
            return before(info);
        }
        if machine::is_lent() || !machine::in_program() {
            stopped(Stop::Bug(info.to_string()));
        }
        let message = info.payload_as_str().unwrap_or("a value that is no text");
        let place = info.location().map(|at| format!(" ({at})")).unwrap_or_default();
        let (node, at, excused) = enter(|kernel| {
            let node = kernel.here();
            let text = |_: &Kernel| format!("{message}{place}");
            kernel.record_text(Happening::Panic, node, node, digest(message.as_bytes()), text);
            (node, kernel.now, kernel.is_excused(node))
        });
        tell(Told::Panic { node, at, message: &format!("{message}{place}"), excused });
        before(info);
    }));
}

/// Tells how the run ended, and ends its process.
fn finish(ended: Ended, course: &Course, nemesis: &dyn Nemesis) -> ! {
    let frame = enter(|kernel| {
        kernel.trace.tell();
        if matches!(course.recording, Recording::Ring(_)) {
            machine::report(&kernel.trace.ring());
        }
        if course.log_draws {
            machine::report(&trace::write_draws(kernel.draws.log(), kernel.servers));
        }
        let mut frame = Writer::frame(FINAL);
        let ended = match ended {
            Ended::Finished => 0,
            Ended::Horizon => 1,
            Ended::Stuck => 2,
            Ended::Stopped => 3,
            Ended::Cut => 4,
        };
        frame.number(kernel.trace.hash()).number(kernel.trace.count()).number(ended);
        frame.number(kernel.now.as_nanos());
        frame.number(kernel.deliveries).number(kernel.calls).number(kernel.switches);
        frame.number(kernel.escapes);
        for count in kernel.packets {
            frame.number(count);
        }
        for word in tally_words(kernel.wire.tally()) {
            frame.number(word);
        }
        for node in &kernel.nodes {
            frame.number(node.changes);
            frame.number(node.timers);
            frame.number(node.looks);
        }
        let effects = nemesis.effects(kernel);
        frame.number(effects.len() as u64);
        for effect in effects {
            frame.number(effect);
        }
        frame.done()
    });
    machine::report(&frame);
    machine::end_process()
}

fn tally_words(tally: &Tally) -> [u64; 12] {
    let Tally { lost, duplicated, reordered, clogged, swizzled, cut, burst, .. } = *tally;
    let Tally { lagged, throttled, corrupted, flapped, stretched, .. } = *tally;
    [
        lost, duplicated, reordered, clogged, swizzled, cut, burst, lagged, throttled, corrupted,
        flapped, stretched,
    ]
}
