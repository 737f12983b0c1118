//! A run: a fork of this process, in which the kernel lives, and the report that it sends back.

use crate::calls;
use crate::faults::{Fault, Nemesis, Place, Plan, Target};
use crate::kernel::{Event, Kernel, NodeIndex, Step};
use crate::machine::{self, Bounds, Remains, enter};
use crate::node::{Node, Power};
use crate::report::{
    Backstop, Ended, Failure, Isolation, NodeReport, Note, Printed, Reader, Report, Writer,
};
use crate::trace::{Happening, digest};
use crate::world::World;
use seedfall_net::{Tally, Wire};
use seedfall_sim::{DrawAddress, Draws, Override, Seed, Time};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

/// So many threads are made before a run is forked; more are made as they are needed.
const POOL: usize = 32;

/// The mains of the world of this process, by node.
static MAINS: OnceLock<Vec<std::sync::Arc<dyn Fn() -> i32 + Send + Sync>>> = OnceLock::new();
/// Where this program's file is.
static EXECUTABLE: OnceLock<Option<String>> = OnceLock::new();

/// Where this program's file is: a backtrace reads it.
pub(crate) fn executable() -> Option<&'static str> {
    EXECUTABLE.get().and_then(|path| path.as_deref())
}

// The kinds of frames.
const OUTPUT: u8 = 1;
const PANIC: u8 = 2;
const NOTE: u8 = 3;
const EXIT: u8 = 4;
const STOP: u8 = 5;
const FINAL: u8 = 6;
const ARMED: u8 = 7;
const WAITING: u8 = 20;
const HINT: u8 = 21;

/// What is told as it happens, so that a process that dies has told it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Told<'a> {
    /// A program printed something.
    Output { node: NodeIndex, at: Time, stream: u8, bytes: &'a [u8] },
    /// A thread panicked; `excused`: its disk had failed it.
    Panic { node: NodeIndex, at: Time, message: &'a str, excused: bool },
    /// The workload recorded something.
    Note { node: NodeIndex, at: Time, bytes: &'a [u8] },
    /// Why a program was told what it was told, for people.
    Hint { node: NodeIndex, at: Time, text: &'a str },
    /// A program ended; `excused`: its disk had failed it.
    Exit { node: NodeIndex, at: Time, code: i32, excused: bool },
}

/// Tells the parent something.
pub(crate) fn tell(told: Told<'_>) {
    let (kind, node, at, number, bytes) = match told {
        Told::Output { node, at, stream, bytes } => (OUTPUT, node, at, stream.into(), bytes),
        Told::Panic { node, at, message, excused } => {
            (PANIC, node, at, u64::from(excused) << 32, message.as_bytes())
        }
        Told::Note { node, at, bytes } => (NOTE, node, at, 0, bytes),
        Told::Hint { node, at, text } => (HINT, node, at, 0, text.as_bytes()),
        Told::Exit { node, at, code, excused } => {
            (EXIT, node, at, u64::from(code as u32) | u64::from(excused) << 32, &[][..])
        }
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
    let (node, at) = if machine::is_lent() || !inside {
        (usize::MAX, Time::ZERO)
    } else {
        enter(|kernel| (kernel.here(), kernel.now))
    };
    let stack = if inside && number <= 3 {
        machine::outside(|| std::backtrace::Backtrace::force_capture().to_string())
    } else {
        String::new()
    };
    let mut frame = Writer::frame(STOP);
    frame.number(node as u64).number(at.as_nanos()).number(number);
    frame.bytes(text.as_bytes()).bytes(stack.as_bytes());
    machine::report(&frame.done());
    machine::end_process()
}

/// A signal is about to end the process: tells whose program it was.
pub(crate) fn died(signal: i32, overflow: bool) {
    let (node, at) = if machine::is_lent() || !machine::in_program() {
        (usize::MAX, Time::ZERO)
    } else {
        enter(|kernel| (kernel.here(), kernel.now))
    };
    let mut frame = Writer::frame(STOP);
    frame.number(node as u64).number(at.as_nanos()).number(6);
    let text = if overflow { "a stack overflow" } else { signal_name(signal) };
    frame.bytes(text.as_bytes()).bytes(&[]);
    machine::report(&frame.done());
}

fn signal_name(signal: i32) -> &'static str {
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
/// ([`Report::nondeterministic`]). Outside a simulation, just does it.
pub fn nondeterministic<R>(work: impl FnOnce() -> R) -> R {
    if !machine::in_program() {
        return work();
    }
    enter(|kernel| kernel.escapes += 1);
    machine::outside(work)
}

/// Records something for the report of the run. Outside a simulation, nothing.
pub fn note(bytes: &[u8]) {
    if !machine::in_program() {
        return;
    }
    let (node, at) = enter(|kernel| {
        let node = kernel.here();
        kernel.record(Happening::Note, node, node, digest(bytes));
        (node, kernel.now)
    });
    tell(Told::Note { node, at, bytes });
}

/// One run of a world: a function of the seed, the faults and the overridden draws.
pub fn run(
    world: &World,
    seed: Seed,
    faults: &[(Time, Fault)],
    overrides: &BTreeMap<DrawAddress, Override>,
) -> Report {
    run_under(world, seed, &mut Plan::new(faults), overrides)
}

/// One run of a world under somebody who strikes. The nemesis strikes in the run's process: what it
/// learns there stays there, but for the effects that it counts.
pub fn run_under(
    world: &World,
    seed: Seed,
    nemesis: &mut dyn Nemesis,
    overrides: &BTreeMap<DrawAddress, Override>,
) -> Report {
    let mut report = empty_report(world, seed);
    if let Some(wrong) = check(world) {
        report.failures.push(Failure::Setup(wrong));
        return report;
    }
    EXECUTABLE.get_or_init(|| {
        let path = std::env::current_exe().ok()?;
        Some(path.to_string_lossy().into_owned())
    });
    watch_panics();
    match machine::fork(POOL, || child(world, seed, nemesis, overrides)) {
        Ok(child) => read(&mut report, &child.wait()),
        Err(error) => report.failures.push(Failure::Setup(format!("cannot fork: {error}"))),
    }
    if !report.waiting.is_empty() {
        crate::waits::prepare();
    }
    report
}

/// What is wrong with a world, or with the machine under it.
fn check(world: &World) -> Option<String> {
    if world.nodes().next().is_none() {
        return Some("a world needs a node: `node`, `node_async` or `client`".to_owned());
    }
    let mut names: Vec<&str> = world.nodes().map(|node| node.name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Some(format!("two nodes are called `{}`", twice[0]));
    }
    if !machine::can_switch() {
        let wants =
            "this machine lets no program change its segment register (FSGSBASE, Linux 5.9)";
        return Some(wants.to_owned());
    }
    None
}

fn empty_report(world: &World, seed: Seed) -> Report {
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
        deliveries: 0,
        calls: 0,
        switches: 0,
        nondeterministic: 0,
        waiting: Vec::new(),
        hints: Vec::new(),
        stray: Vec::new(),
        isolation: Isolation::default(),
    }
}

/// The whole life of a run's process.
fn child(
    world: &World,
    seed: Seed,
    nemesis: &mut dyn Nemesis,
    overrides: &BTreeMap<DrawAddress, Override>,
) {
    let limits = world.limits;
    let bounds = Bounds { seconds: limits.seconds, memory: limits.memory, spin: limits.spin };
    machine::bound(&bounds);
    let servers = world.servers.len();
    let (count, clients) = (world.nodes().count(), world.clients.len());
    let draws = Draws::new(seed, servers, clients).with_overrides(overrides.clone());
    let wire = Wire::new(servers, clients, world.link);
    let nodes = world.nodes().enumerate().map(|(index, spec)| {
        let mut node = Node::new(spec.name.clone(), index, spec.folder.clone());
        for (path, bytes) in &spec.files {
            if let Err(error) = node.tree.put(path, bytes) {
                let error = std::io::Error::from_raw_os_error(error);
                stopped(Stop::Bug(format!("the file {path} of `{}`: {error}", spec.name)));
            }
        }
        node.image.clone_from(&node.tree);
        node
    });
    let mut kernel = Kernel::new(draws, wire, nodes.collect(), servers);
    for node in 0..count {
        kernel.restart(Place(node));
    }
    kernel.queue.push(Time::ZERO, Event::Nemesis);
    machine::install(kernel);
    let mains = world.nodes().map(|spec| spec.main.clone()).collect();
    assert!(MAINS.set(mains).is_ok(), "one run a process");
    let (system_calls, time_stamps) = machine::arm();
    let mut frame = Writer::frame(ARMED);
    frame.number(machine::has_fixed_addresses().into());
    frame.number(system_calls as u64).number(time_stamps.into());
    machine::report(&frame.done());
    let ended = drive(world, nemesis);
    if ended == Ended::Stuck && clients > 0 {
        crate::waits::tell(WAITING);
    }
    finish(ended, nemesis);
}

/// What the host does next.
enum Next {
    Start(NodeIndex),
    Thread { node: NodeIndex, block: usize, environment: usize },
    Nemesis,
    End(Ended),
    Storm,
}

/// Runs threads and events until the run is over.
fn drive(world: &World, nemesis: &mut dyn Nemesis) -> Ended {
    let limit = Time::ZERO + world.limits.horizon;
    let clients = world.servers.len()..world.nodes().count();
    let next = |kernel: &mut Kernel| loop {
        if let Some(node) = kernel.starts.pop_front() {
            return Next::Start(node);
        }
        if let Some(thread) = kernel.next_thread() {
            let (block, node) = (kernel.threads[thread].block, kernel.threads[thread].node);
            let environment = kernel.nodes[node].environment;
            return Next::Thread { node, block, environment };
        }
        let over = |node: NodeIndex| kernel.nodes[node].power != Power::Running;
        if !clients.is_empty() && clients.clone().all(over) {
            return Next::End(Ended::Finished);
        }
        if kernel.steps > world.limits.events {
            return Next::Storm;
        }
        match kernel.step(limit) {
            Step::Went => {}
            Step::Nemesis => return Next::Nemesis,
            Step::Nothing if kernel.queue.is_empty() => return Next::End(Ended::Stuck),
            Step::Nothing => {
                kernel.now = limit;
                return Next::End(Ended::Horizon);
            }
        }
    };
    loop {
        match enter(next) {
            Next::Start(node) => start(world, node),
            Next::Thread { node, block, environment } => {
                let (ended, moved) = machine::resume(block, environment);
                if ended {
                    machine::give_back(block);
                }
                if moved != environment {
                    enter(|kernel| kernel.nodes[node].environment = moved);
                }
            }
            Next::Nemesis => enter(|kernel| {
                if let Some(at) = nemesis.strike(kernel) {
                    kernel.queue.push(at, Event::Nemesis);
                }
            }),
            Next::End(ended) => return ended,
            Next::Storm => {
                let (at, node) =
                    enter(|kernel| (kernel.now, kernel.nodes[kernel.here()].name.clone()));
                stopped(Stop::Storm(world.limits.events, at, node));
            }
        }
    }
}

/// Makes the main thread of a node.
fn start(world: &World, node: NodeIndex) {
    let own = world.nodes().nth(node).map(|spec| spec.environment.as_slice());
    let environment = machine::environment(own.unwrap_or_default());
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
    calls::exit(code)
}

/// Every panic in a run is told, wherever a runtime may swallow it. Set before the first fork: in a
/// child, a lock that another thread held at the fork is never given back.
fn watch_panics() {
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
            kernel.record(Happening::Panic, node, node, digest(message.as_bytes()));
            (node, kernel.now, kernel.is_excused(node))
        });
        tell(Told::Panic { node, at, message: &format!("{message}{place}"), excused });
        before(info);
    }));
}

/// Tells how the run ended, and ends its process.
fn finish(ended: Ended, nemesis: &dyn Nemesis) -> ! {
    let frame = enter(|kernel| {
        let mut frame = Writer::frame(FINAL);
        let ended = match ended {
            Ended::Finished => 0,
            Ended::Horizon => 1,
            Ended::Stuck => 2,
            Ended::Stopped => 3,
        };
        frame.number(kernel.trace.hash()).number(kernel.trace.count()).number(ended);
        frame.number(kernel.now.as_nanos());
        frame.number(kernel.deliveries).number(kernel.calls).number(kernel.switches);
        frame.number(kernel.escapes);
        for word in tally_words(kernel.wire.tally()) {
            frame.number(word);
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

fn tally_words(tally: &Tally) -> [u64; 11] {
    let Tally { lost, duplicated, reordered, clogged, swizzled, cut, burst, .. } = *tally;
    let Tally { lagged, throttled, corrupted, flapped, .. } = *tally;
    [
        lost, duplicated, reordered, clogged, swizzled, cut, burst, lagged, throttled, corrupted,
        flapped,
    ]
}

/// Puts what a child left into the report.
fn read(report: &mut Report, remains: &Remains) {
    let mut rest = remains.report.as_slice();
    let mut complete = false;
    while let Some((kind, mut frame)) = Reader::frame(&mut rest) {
        match kind {
            OUTPUT | PANIC | NOTE | HINT | EXIT => read_told(report, kind, &mut frame),
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
        _ => Ended::Stopped,
    };
    report.at = frame.time();
    report.deliveries = frame.number();
    report.calls = frame.number();
    report.switches = frame.number();
    report.nondeterministic = frame.number();
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
    };
    report.effects = (0..frame.number()).map(|_| frame.number()).collect();
}
