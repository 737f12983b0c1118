//! The simulated kernel as one value: virtual time, the queue of events, and every table.
//!
//! It is plain safe Rust that knows no hook, no real descriptor and no stack: a call of a program
//! is a method, a call that must wait says so, and whoever drives it ([`run`](crate::run), or a
//! test) runs the threads that it names. All that is random is a draw with an address.

use crate::fd::{Descriptor, Kind, Object};
use crate::futex::Futexes;
use crate::maps::Maps;
use crate::next::{Ends, Next};
use crate::node::Node;
use crate::sched::Thread;
use crate::tcp::Connection;
use crate::trace::{Detail, Happening, Trace};
use crate::udp::Datagram;
use seedfall_net::Wire;
use seedfall_sim::queue::Queue;
use seedfall_sim::{Address, Draws, Duration, Event as Traced, NodeId, Recording, Site, Time};
use std::collections::{BTreeSet, VecDeque};

/// An error number of Linux.
pub(crate) type Errno = i32;

/// The number of a node, as an index: servers first, then clients.
pub(crate) type NodeIndex = usize;

/// How far away a program's own machine is: what the loopback takes.
pub(crate) const LOOPBACK: Duration = Duration::micros(10);

/// What the queue holds.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A wait of a thread is over.
    Thread(usize),
    /// The first segment in flight of one side of a connection arrives.
    Segment { connection: usize, generation: u32, side: usize, epoch: u32 },
    /// A side of a connection sends again what was lost.
    Retransmit { connection: usize, generation: u32, side: usize, epoch: u32 },
    /// A side of a connection hears that it may send more.
    Window { connection: usize, generation: u32, side: usize },
    /// A side of a connection hears that the other is gone.
    Reset { connection: usize, generation: u32, side: usize, nth: u64 },
    /// A datagram arrives.
    Datagram(Box<Datagram>),
    /// A timer descriptor rings.
    Timer { object: usize, generation: u32, setting: u32 },
    /// A node that was busy can go on.
    Idle(NodeIndex),
    /// A machine that crashed at a point is started anew.
    Restart(NodeIndex),
    /// Whoever strikes with faults has something to do.
    Nemesis,
}

/// What the driver of the kernel is to do after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// An event was handled.
    Went,
    /// The nemesis is to be asked.
    Nemesis,
    /// Nothing is pending up to the limit.
    Nothing,
}

/// The simulated kernel.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// Virtual time since the run began.
    pub(crate) now: Time,
    /// What is to come.
    pub(crate) queue: Queue<Event>,
    /// All the randomness.
    pub(crate) draws: Draws,
    /// What becomes of segments and datagrams.
    pub(crate) wire: Wire,
    /// Everything that happened, as a hash.
    pub(crate) trace: Trace,
    /// The machines.
    pub(crate) nodes: Vec<Node>,
    /// How many of them are servers; the rest are clients.
    pub(crate) servers: usize,
    /// Open file descriptions.
    pub(crate) objects: Vec<Object>,
    pub(crate) free_objects: Vec<usize>,
    /// The one table of descriptors of all nodes: a number means the same everywhere, as statics of
    /// the process (a runtime's signal pipe) are shared by all of them.
    pub(crate) descriptors: Vec<Option<Descriptor>>,
    pub(crate) free_descriptors: BTreeSet<usize>,
    /// Connections of streams: TCP, unix sockets, pipes.
    pub(crate) connections: Vec<Connection>,
    pub(crate) free_connections: Vec<usize>,
    /// Memory of segments that were read, for those to come.
    pub(crate) spare: Vec<Vec<u8>>,
    /// Every thread of every node.
    pub(crate) threads: Vec<Thread>,
    pub(crate) free_threads: Vec<usize>,
    /// The thread that runs now.
    pub(crate) current: usize,
    /// Whose it is.
    pub(crate) here: NodeIndex,
    /// How many calls it has made since its last wait.
    pub(crate) slice: u32,
    /// What the host is told by the thread that gave way to it.
    pub(crate) passed: Option<Next>,
    /// When the run is over.
    pub(crate) ends: Ends,
    /// Nodes that have threads to run.
    pub(crate) ready: VecDeque<NodeIndex>,
    /// Nodes whose `main` is to be started.
    pub(crate) starts: VecDeque<NodeIndex>,
    /// Who waits for which word of memory.
    pub(crate) futexes: Futexes,
    /// Calls that were made.
    pub(crate) calls: u64,
    /// Events that were handled.
    pub(crate) steps: u64,
    /// Switches from one thread to another.
    pub(crate) switches: u64,
    /// How often a program asked for the real machine.
    pub(crate) escapes: u64,
    /// Segments and datagrams that arrived.
    pub(crate) deliveries: u64,
    /// Those that left, that were lost, and that the wire doubled.
    pub(crate) packets: [u64; 3],
    /// Packets that never left their machine.
    pub(crate) local_packets: u64,
    /// Files in memory.
    pub(crate) maps: Maps,
    /// Which turn the run has taken ([`Course::fork`](crate::Course::fork)).
    pub(crate) turn: Option<usize>,
    /// The fault that strikes, in words, if all is kept.
    pub(crate) striking: String,
}

impl Kernel {
    /// A kernel over these nodes, of which the first `servers` are servers.
    pub(crate) fn new(draws: Draws, wire: Wire, nodes: Vec<Node>, servers: usize) -> Self {
        let seed = draws.seed().0;
        Self {
            now: Time::ZERO,
            queue: Queue::default(),
            draws,
            wire,
            trace: Trace::new(seed, servers, Recording::Hash),
            nodes,
            servers,
            objects: Vec::new(),
            free_objects: Vec::new(),
            descriptors: Vec::new(),
            free_descriptors: BTreeSet::new(),
            connections: Vec::new(),
            free_connections: Vec::new(),
            spare: Vec::new(),
            threads: Vec::new(),
            free_threads: Vec::new(),
            current: 0,
            here: 0,
            slice: 0,
            passed: None,
            ends: Ends {
                limit: Time::MAX,
                steps: u64::MAX,
                turn_after: u64::MAX,
                until: u64::MAX,
                open_until: Time::ZERO,
                clients: 0..0,
            },
            ready: VecDeque::new(),
            starts: VecDeque::new(),
            futexes: Futexes::default(),
            calls: 0,
            steps: 0,
            switches: 0,
            escapes: 0,
            deliveries: 0,
            packets: [0; 3],
            local_packets: 0,
            maps: Maps::default(),
            turn: None,
            striking: String::new(),
        }
    }

    /// The node whose thread runs now.
    #[inline]
    pub(crate) fn here(&self) -> NodeIndex {
        self.here
    }

    /// The address of a node on the wire.
    pub(crate) fn address(&self, node: NodeIndex) -> Address {
        crate::trace::address(node, self.servers)
    }

    /// The name under which draws of a node are made, clients counted after the servers.
    pub(crate) fn place(node: NodeIndex) -> NodeId {
        NodeId::new(node as u16)
    }

    /// Something that happens now.
    #[inline]
    pub(crate) fn event(
        &self,
        kind: Happening,
        actor: NodeIndex,
        peer: NodeIndex,
        nth: u64,
        digest: u64,
    ) -> Traced {
        let (actor, peer) = (self.address(actor), self.address(peer));
        Traced { at: self.now, kind, actor, peer, index: nth, digest }
    }

    /// Records something that happened and needs no words.
    pub(crate) fn record(
        &mut self,
        what: Happening,
        actor: NodeIndex,
        peer: NodeIndex,
        digest: u64,
    ) {
        self.record_text(what, actor, peer, digest, |_| String::new());
    }

    /// Records something that happened; `text` is asked only if all is kept.
    #[inline]
    pub(crate) fn record_text(
        &mut self,
        what: Happening,
        actor: NodeIndex,
        peer: NodeIndex,
        digest: u64,
        text: impl FnOnce(&Self) -> String,
    ) {
        let event = self.event(what, actor, peer, 0, digest);
        let text = if self.trace.is_full() { text(self) } else { String::new() };
        self.trace.record(event, || Detail::Text(text));
    }

    /// Handles the next event, if it is due at `limit` or before.
    pub(crate) fn step(&mut self, limit: Time) -> Step {
        let draws = &mut self.draws;
        let mut choose = |nanos, taken, count| draws.tie(nanos, taken, count);
        let Some((time, event)) = self.queue.pop(limit, &mut choose) else { return Step::Nothing };
        self.now = self.now.max(time);
        self.steps += 1;
        match event {
            Event::Thread(thread) => self.thread_timer(thread),
            Event::Segment { connection, generation, side, epoch } => {
                self.segment_arrives(connection, generation, side, epoch);
            }
            Event::Retransmit { connection, generation, side, epoch } => {
                self.retransmit(connection, generation, side, epoch);
            }
            Event::Window { connection, generation, side } => {
                self.window_opens(connection, generation, side);
            }
            Event::Reset { connection, generation, side, nth } => {
                self.reset_arrives(connection, generation, side, nth);
            }
            Event::Datagram(datagram) => self.datagram_arrives(*datagram),
            Event::Timer { object, generation, setting } => {
                self.timer_rings(object, generation, setting);
            }
            Event::Idle(node) => self.make_ready(node),
            Event::Restart(node) => self.restart_after_ambush(node),
            Event::Nemesis => return Step::Nemesis,
        }
        Step::Went
    }

    /// Something changed about an object: `mask` is what its watchers may find now. Whoever waits
    /// for it goes on, and every epoll that watches it hears of it.
    pub(crate) fn notify(&mut self, object: usize, mask: u32) {
        if !self.objects[object].waiters.is_empty() {
            for at in 0..self.objects[object].waiters.len() {
                let (thread, ticket) = self.objects[object].waiters[at];
                self.wake(thread, ticket);
            }
            // The next ones have its memory.
            self.objects[object].waiters.clear();
        }
        for at in 0..self.objects[object].watchers.len() {
            let watch = self.objects[object].watchers[at];
            let Kind::Epoll(epoll) = &mut self.objects[watch.epoll].kind else { continue };
            if epoll.mark_ready(watch.slot, mask) {
                self.notify(watch.epoll, libc::EPOLLIN as u32);
            }
        }
    }

    /// Random bytes for the running program. They are addressed by the size of the request, so that
    /// a one-time initialisation somewhere does not move the other requests; those that must not
    /// wait (`GRND_NONBLOCK`, as allocators ask) are apart from all others.
    pub(crate) fn entropy(&mut self, bytes: &mut [u8], waits: bool) {
        let node = self.here();
        let size = bytes.len().min(0xFFFF) as u64 | if waits { 0 } else { 1 << 20 };
        for chunk in bytes.chunks_mut(16) {
            let count = self.nodes[node].entropy.entry(size).or_insert(0);
            let nth = (size << 40) | *count;
            *count += 1;
            let mut draw = self.draws.at(Site::Entropy(Self::place(node)), nth);
            for word in chunk.chunks_mut(4) {
                let from = draw.word().to_le_bytes();
                word.copy_from_slice(&from[..word.len()]);
            }
        }
    }
}
