//! A node: one machine with one program, its names, its files and its clocks.

use crate::file::Tree;
use crate::machine::Statics;
use crate::signal::Action;
use seedfall_sim::{Clock, Clocks, CrashPoint, Duration, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The mask that a program starts with.
pub(crate) const UMASK: u32 = 0o022;

/// The first port that the kernel gives away by itself, and the last.
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;

/// What a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    /// The machine is on, and its program runs.
    Running,
    /// The machine is on, and its program ended or was killed: connections are refused.
    Idle,
    /// The machine is off: nothing answers.
    Off,
}

/// A crash that waits for a point of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ambush {
    /// Which.
    pub(crate) point: CrashPoint,
    /// How long the machine stays down.
    pub(crate) down: Duration,
    /// How often it crashed there.
    pub(crate) sprung: u64,
    /// Before which change of its files, of all that its programs made, if that is the point.
    pub(crate) change: u64,
    /// Whether it is over: it stays only for what it did.
    pub(crate) is_over: bool,
}

/// How often faults of the node had an effect.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Felt {
    /// Wakes that waited for a slow processor.
    pub(crate) slow: u64,
    /// Syncs that waited for a slow disk.
    pub(crate) stalls: u64,
    /// Readings of a wall clock that was set wrong.
    pub(crate) wall: u64,
    /// Readings of clocks, and timers, that ran too fast or too slow.
    pub(crate) drift: u64,
    /// Timers that were moved.
    pub(crate) timers: u64,
}

/// One machine.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its name, which getaddrinfo knows.
    pub(crate) name: String,
    /// Its IPv4 address.
    pub(crate) v4: Ipv4Addr,
    /// Its IPv6 address.
    pub(crate) v6: Ipv6Addr,
    /// Whether it runs.
    pub(crate) power: Power,
    /// How often the machine was started; connections of an earlier life are reset.
    pub(crate) life: u32,
    /// How often its program was started.
    pub(crate) starts: u32,
    /// Which permissions files do not get that its program makes.
    pub(crate) umask: u32,
    /// How many pauses are in force.
    pub(crate) pauses: u32,
    /// Threads that could run now, in the order in which they came to.
    pub(crate) runnable: Vec<usize>,
    /// Whether it is in the list of nodes that have something to run.
    pub(crate) queued: bool,
    /// Zero if its programs never looked at the wall clock.
    pub(crate) looks: u64,
    /// Its two clocks.
    pub(crate) clocks: Clocks,
    /// Its files.
    pub(crate) tree: Tree,
    /// What it had at its first start.
    pub(crate) image: Tree,
    /// How often its disk had done harm when its program was started.
    pub(crate) harm_before: u64,
    /// How many disk faults began.
    pub(crate) disk_faults: u64,
    /// How long it is busy whenever a thread was woken; zero: it is not slow.
    pub(crate) slow: Duration,
    /// Until when no other thread goes on.
    pub(crate) busy_until: Time,
    /// How long a sync takes; zero: no time.
    pub(crate) stall: Duration,
    /// Where it is to crash, or was.
    pub(crate) ambushes: Vec<Ambush>,
    /// How many changes of its files its programs made.
    pub(crate) changes: u64,
    /// How many timers and waits of a certain length its programs have set.
    pub(crate) timers: u64,
    /// What faults did to it.
    pub(crate) felt: Felt,
    /// Where relative paths begin.
    pub(crate) folder: String,
    /// Which sockets are bound to which ports: (datagrams?, port) to (address, object).
    pub(crate) ports: BTreeMap<(bool, u16), Vec<(IpAddr, usize)>>,
    /// Unix sockets by their path or abstract name.
    pub(crate) unix: BTreeMap<Vec<u8>, usize>,
    /// The last port that was given away.
    pub(crate) ephemeral: u16,
    /// The environment of its program: an address that is nothing to the kernel but a number.
    pub(crate) environment: usize,
    /// How many random words of a size were asked for.
    pub(crate) entropy: BTreeMap<u64, u64>,
    /// How many threads were made in this life.
    pub(crate) made_threads: i32,
    /// How many crashes there were.
    pub(crate) crashes: u64,
    /// How its program ended, if it did.
    pub(crate) exit: Option<i32>,
    /// What its program wants done when a signal comes.
    pub(crate) actions: BTreeMap<i32, Action>,
    /// Whether its program has been told to end, by `SIGTERM` or `SIGINT`.
    pub(crate) told_to_end: bool,
    /// What statics were as its program was stopped, and which of their words were looked at since.
    pub(crate) left: Option<(Statics, BTreeSet<usize>)>,
}

impl Node {
    /// The node with this name and index.
    pub(crate) fn new(name: String, index: usize, folder: String) -> Self {
        let number = index as u32 + 1;
        let [high, low] = [(number >> 8) as u8, number as u8];
        let mut tree = Tree::new();
        tree.make_folders(&folder);
        Self {
            name,
            v4: Ipv4Addr::new(10, 0, high, low),
            v6: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number as u16),
            power: Power::Idle,
            life: 0,
            starts: 0,
            umask: UMASK,
            pauses: 0,
            runnable: Vec::new(),
            queued: false,
            clocks: Clocks::new(Clock::TRUE),
            image: tree.clone(),
            tree,
            harm_before: 0,
            disk_faults: 0,
            slow: Duration::ZERO,
            busy_until: Time::ZERO,
            stall: Duration::ZERO,
            ambushes: Vec::new(),
            changes: 0,
            looks: 0,
            timers: 0,
            felt: Felt::default(),
            folder,
            ports: BTreeMap::new(),
            unix: BTreeMap::new(),
            ephemeral: *EPHEMERAL.start(),
            environment: 0,
            entropy: BTreeMap::new(),
            made_threads: 0,
            crashes: 0,
            exit: None,
            actions: BTreeMap::new(),
            told_to_end: false,
            left: None,
        }
    }

    /// Whether an address is this machine's own.
    pub(crate) fn owns(&self, address: IpAddr) -> bool {
        address.is_loopback() || address == self.v4 || address == self.v6
    }

    /// The next port to give away.
    pub(crate) fn next_port(&mut self) -> u16 {
        let next = self.ephemeral + 1;
        self.ephemeral = if EPHEMERAL.contains(&next) { next } else { *EPHEMERAL.start() };
        self.ephemeral
    }

    /// The socket that serves a port at an address.
    pub(crate) fn bound(&self, datagrams: bool, address: IpAddr, port: u16) -> Option<usize> {
        let all = self.ports.get(&(datagrams, port))?;
        let exact = all.iter().find(|(bound, _)| *bound == address);
        let any = || all.iter().find(|(bound, _)| bound.is_unspecified());
        exact.or_else(any).map(|(_, object)| *object)
    }
}
