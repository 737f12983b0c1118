//! raft-rs as a protocol: a [`RawNode`], driven as its documentation asks.
//!
//! *What travels.* raft-rs's messages are protocol buffers, and that is what is sent: [`Frame`]
//! holds the bytes. A message of the engine must be `Clone + Debug + Hash`; bytes are all that.
//!
//! *What is written down.* raft-rs has a `Ready` for whoever drives it: messages that may leave at
//! once, entries and a `HardState` to be stored, messages that must not leave before that is
//! durable, entries to be applied. `Server::drain` turns each into effects, in that order: a crash
//! may fall between any two. See [`crate::log`] for the records.
//!
//! *What time is.* raft-rs counts ticks. A timer calls `tick` every [`Config::tick`]; the first
//! one comes after a random part of that, as servers are not started in step.
//!
//! *Where chance comes from.* This is where a foreign library needs care, as whatever it reads of
//! the machine is different in the next run. Searched were the library and what it depends on, for
//! random numbers, hash maps, clocks, threads and statics. What was found:
//! - `Raft::reset` draws the election timeout from `rand::thread_rng`. That number is read in one
//!   place, `pass_election_timeout`, at the begin of `tick`. So this server draws a timeout of its
//!   own whenever its term or role changes (the occasions of the paper) and sets it after every
//!   call, before any tick: what `thread_rng` said is never looked at. See `Server::pin`.
//! - Its hash maps and sets use `fxhash`, which has no key: their order, which is the order of
//!   messages to several peers, depends on their contents alone. (It works on machine words, so
//!   32-bit machines have other runs.)
//! - Its default logger prints the time of day and the thread. The feature is off, and the logger
//!   here discards.
//!
//! Nothing else was found. `tests/pinned.rs` and `run` compare runs; `unpinned.patch` lets
//! `thread_rng` back in, and the comparison sees it.
//!
//! *What clients are told.* The requests are those of our own Raft. Commands go through the log
//! and are answered when applied, if this server proposed that very entry (same index, same term).
//! Reads are raft-rs's `read_index` with `ReadOnlyOption::Safe`: the server answers once a majority
//! has confirmed that it leads, and once it has applied what was committed when the read came in.
//! raft-rs drops a read silently before the leader has committed an entry of its own term, so reads
//! wait here until then.

use crate::log::{Log, Record, entry_record};
use crate::machine::{Applied, Machine};
use protobuf::Message as _;
use raft::eraftpb::{Entry, HardState, Message, MessageType};
use raft::{RawNode, ReadOnlyOption, ReadState, Ready, SnapshotStatus, StateRole};
use seedfall::sim::{Context, Duration, NodeId, Protocol, RequestId};
use seedfall_protocols::kv::Command;
use seedfall_protocols::raft::{Request, Response, Submission};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// The parameters, equal on all servers.
#[derive(Clone, Debug)]
pub struct Config {
    /// How often raft-rs is told that time passes.
    pub tick: Duration,
    /// Ticks from one heartbeat to the next.
    pub heartbeat_ticks: usize,
    /// Ticks without a leader until an election, at least.
    pub election_ticks_min: usize,
    /// One more than at most.
    pub election_ticks_max: usize,
    /// How many bytes of entries a message carries at most; 0: one entry, whatever its size.
    pub max_size_per_message: u64,
    /// Whether a server asks whether it could win before it raises its term.
    pub pre_vote: bool,
    /// Whether a leader that hears of no majority for an election timeout steps down, and who hears
    /// of a leader does not vote.
    pub check_quorum: bool,
    /// Whether every server answers reads: one that follows asks its leader how far to wait, by the
    /// library's forwarding. Otherwise it sends clients to the leader.
    pub follower_reads: bool,
    /// A snapshot is taken once so many entries were applied since the last one. `None`: never.
    pub snapshot_after: Option<u64>,
}

/// A message of raft-rs as it is on the wire.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Frame(Vec<u8>);

/// A server's only timer: a tick is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tick;

/// One server.
pub struct Server {
    config: Config,
    node: RawNode<Log>,
    machine: Machine,
    /// The last entry that the machine has applied.
    applied: u64,
    /// Term and role when the election timeout was drawn last.
    stand: (u64, StateRole),
    /// The election timeout in force, in ticks.
    timeout: usize,
    /// Commands that this server proposed, in the order of their entries.
    writes: VecDeque<Write>,
    reads: Reads,
    /// For each follower that is being sent a snapshot, the ticks until it is taken for lost.
    snapshots: BTreeMap<u64, usize>,
}

/// A command that waits for its entry to be applied.
struct Write {
    index: u64,
    term: u64,
    request: RequestId,
}

/// Reads, from the first stage to the last.
#[derive(Default)]
struct Reads {
    /// The leader has not yet committed an entry of its term.
    early: Vec<(RequestId, Command)>,
    /// A majority was asked; by the number of the read.
    asked: BTreeMap<u64, (RequestId, Command)>,
    /// A majority has confirmed; the machine must come as far as that.
    confirmed: Vec<(u64, RequestId, Command)>,
    /// The number of the latest: no two reads of a cluster share one.
    count: u64,
}

impl Protocol for Server {
    type Config = Config;
    type Message = Frame;
    type Timer = Tick;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        let log = Log::recover(ctx.nodes(), journal);
        let (machine, applied) = (log.machine(), log.base());
        let settings = raft::Config {
            id: peer(id),
            applied,
            election_tick: config.election_ticks_min,
            min_election_tick: config.election_ticks_min,
            max_election_tick: config.election_ticks_max,
            heartbeat_tick: config.heartbeat_ticks,
            max_size_per_msg: config.max_size_per_message,
            read_only_option: ReadOnlyOption::Safe,
            pre_vote: config.pre_vote,
            check_quorum: config.check_quorum,
            ..raft::Config::default()
        };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let node = RawNode::new(&settings, log, &logger).expect("a configuration that can work");
        let stand = (node.raft.term, node.raft.state);
        // The server, its life, and the reads of that.
        let count = peer(id) << 56 | u64::from(ctx.draw().below(1 << 24)) << 32;
        let mut server = Self {
            config: config.clone(),
            node,
            machine,
            applied,
            stand,
            timeout: draw_timeout(config, ctx),
            writes: VecDeque::new(),
            reads: Reads { count, ..Reads::default() },
            snapshots: BTreeMap::new(),
        };
        // What is known to be committed is applied again.
        server.react(ctx);
        let first = ctx.draw().duration(Duration::ZERO..config.tick);
        ctx.set_timer(Tick, first);
        server
    }

    fn on_message(&mut self, _: NodeId, frame: Frame, ctx: &mut Context<'_, Self>) {
        let message = frame.message();
        if self.node.step(message).is_err() {
            ctx.ignore("raft-rs refused a message");
        }
        self.react(ctx);
    }

    fn on_timer(&mut self, Tick: Tick, ctx: &mut Context<'_, Self>) {
        ctx.set_timer(Tick, self.config.tick);
        self.expire_snapshots();
        let timeout = self.node.raft.randomized_election_timeout();
        assert_eq!(timeout, self.timeout, "a tick looked at what the machine drew");
        self.node.tick();
        self.react(ctx);
    }

    fn on_request(&mut self, request: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        match body {
            Request::Command { command, .. } if command.is_read() && self.answers_reads() => {
                self.reads.early.push((request, command));
            }
            Request::Command { .. } if !self.leads() => {
                let leader = self.node.raft.leader_id;
                let leader = (leader != raft::INVALID_ID).then(|| node(leader));
                ctx.respond(request, Response::NotLeader { leader });
            }
            Request::Command { sequence, command } => {
                let client = request.client;
                self.on_command(request, &Submission { client, sequence, command }, ctx);
            }
            Request::Reconfigure(_) | Request::Transfer { .. } => {
                ctx.respond(request, Response::Refused);
            }
        }
        self.react(ctx);
    }

    fn is_leader(&self) -> bool {
        self.leads()
    }
}

/// What invariants ask of a server.
impl Server {
    /// Its term.
    pub fn term(&self) -> u64 {
        self.node.raft.term
    }

    /// True if it leads its term.
    pub fn leads(&self) -> bool {
        self.node.raft.state == StateRole::Leader
    }

    /// Its log.
    pub fn log(&self) -> &Log {
        self.node.store()
    }

    /// The last entry that it has applied.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Its state machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }
}

impl Server {
    fn answers_reads(&self) -> bool {
        let knows_leader = self.node.raft.leader_id != raft::INVALID_ID;
        self.leads() || self.config.follower_reads && knows_leader
    }

    /// A client's command: to be answered at once if it was applied before, else when it is.
    fn on_command(
        &mut self,
        request: RequestId,
        submission: &Submission,
        ctx: &mut Context<'_, Self>,
    ) {
        if let Some(session) = self.machine.session(submission.client) {
            if submission.sequence == session.sequence {
                ctx.reach("session: a retry was answered without the log");
                return ctx.respond(request, Response::Done(session.answer.clone()));
            }
            if submission.sequence < session.sequence {
                return ctx.ignore("command: older than its session's latest");
            }
        }
        let data = postcard::to_allocvec(submission).expect("plain data");
        match self.node.propose(Vec::new(), data) {
            Ok(()) => {
                let (index, term) = (self.node.raft.raft_log.last_index(), self.term());
                self.writes.push_back(Write { index, term, request });
            }
            Err(error) => {
                assert_eq!(error, raft::Error::ProposalDropped);
                ctx.respond(request, Response::NotLeader { leader: None });
            }
        }
    }

    /// What follows every call of the library.
    fn react(&mut self, ctx: &mut Context<'_, Self>) {
        self.pin(ctx);
        self.drain(ctx);
        if self.reads.early.is_empty() {
            return;
        }
        if !self.leads() || self.node.raft.commit_to_current_term() {
            self.ask();
            self.drain(ctx);
        } else {
            ctx.reach("read: waits for the first commit of the term");
        }
    }

    /// Puts an election timeout of ours in the place of the one that the library drew from the
    /// machine, if it did.
    fn pin(&mut self, ctx: &mut Context<'_, Self>) {
        let stand = (self.node.raft.term, self.node.raft.state);
        if stand != self.stand {
            if self.stand.1 == StateRole::Leader {
                ctx.reach("election: a leader was deposed");
                self.writes.clear();
                self.snapshots.clear();
            }
            // Who asked of a leader that is gone asks again.
            self.reads = Reads { count: self.reads.count, ..Reads::default() };
            if self.stand.1 == StateRole::Candidate && stand.1 == StateRole::Candidate {
                ctx.reach("election: no majority before the timeout");
            }
            self.timeout = draw_timeout(&self.config, ctx);
            self.stand = stand;
        }
        self.node.raft.set_randomized_election_timeout(self.timeout);
    }

    /// Asks for every read that waits.
    fn ask(&mut self) {
        for (request, command) in std::mem::take(&mut self.reads.early) {
            self.reads.count += 1;
            self.reads.asked.insert(self.reads.count, (request, command));
            self.node.read_index(self.reads.count.to_be_bytes().to_vec());
        }
    }

    /// Carries out what the library wants done, in the order of its documentation.
    fn drain(&mut self, ctx: &mut Context<'_, Self>) {
        while self.node.has_ready() {
            let mut ready = self.node.ready();
            // A leader's messages: it does not count its own entries before they are durable.
            self.send(ready.take_messages(), ctx);
            self.store(&ready, ctx);
            // A follower's answers and a candidate's questions promise what was just stored.
            self.send(ready.take_persisted_messages(), ctx);
            self.apply(&ready.take_committed_entries(), ctx);
            self.confirm(ready.take_read_states());
            let mut light = self.node.advance(ready);
            if light.commit_index().is_some() {
                // Without a sync: it is worked out again if it is lost.
                let hard = self.node.raft.hard_state();
                self.write(hard_record(&hard), ctx);
            }
            self.send(light.take_messages(), ctx);
            self.apply(&light.take_committed_entries(), ctx);
            self.node.advance_apply();
        }
        self.answer_reads(ctx);
        self.take_snapshot(ctx);
    }

    /// Writes down what a `Ready` holds: the hard state last, as it names a committed entry.
    fn store(&mut self, ready: &Ready, ctx: &mut Context<'_, Self>) {
        if !ready.snapshot().is_empty() {
            let bytes = ready.snapshot().write_to_bytes().expect("a valid message");
            self.write(Record::Snapshot(bytes), ctx);
            (self.machine, self.applied) = (self.log().machine(), self.log().base());
            ctx.reach("snapshot: installed from the leader");
        }
        let replaced = self.log().replaced();
        for entry in ready.entries() {
            self.write(entry_record(entry), ctx);
        }
        if self.log().replaced() > replaced {
            ctx.reach("replication: a conflicting suffix was removed");
        }
        if let Some(hard) = ready.hs() {
            self.write(hard_record(hard), ctx);
        }
        if ready.must_sync() {
            ctx.sync();
        }
    }

    /// Reads that a majority has confirmed.
    fn confirm(&mut self, states: Vec<ReadState>) {
        for state in states {
            let number = state.request_ctx.try_into().expect("eight bytes, as they were given");
            let asked = self.reads.asked.remove(&u64::from_be_bytes(number));
            let confirmed = asked.map(|(request, command)| (state.index, request, command));
            self.reads.confirmed.extend(confirmed);
        }
    }

    fn write(&mut self, record: Record, ctx: &mut Context<'_, Self>) {
        self.node.mut_store().apply(&record);
        ctx.append(record);
    }

    fn send(&mut self, messages: Vec<Message>, ctx: &mut Context<'_, Self>) {
        for message in messages {
            if message.get_msg_type() == MessageType::MsgSnapshot {
                self.snapshots.insert(message.to, self.config.election_ticks_max);
            }
            ctx.send(node(message.to), Frame::of(&message));
        }
    }

    fn apply(&mut self, entries: &[Entry], ctx: &mut Context<'_, Self>) {
        for entry in entries {
            assert_eq!(entry.index, self.applied + 1, "entries are applied in order");
            self.applied = entry.index;
            let proposed = self.writes.pop_front_if(|write| write.index <= entry.index);
            let ours = |write: &Write| (write.index, write.term) == (entry.index, entry.term);
            let waits = proposed.filter(ours).map(|write| write.request);
            if entry.data.is_empty() {
                continue;
            }
            if entry.term < self.term() && self.leads() {
                ctx.reach(
                    "replication: an entry of an older term was committed by one of this term",
                );
            }
            let submission = postcard::from_bytes(&entry.data).expect("a server encoded it");
            let answer = match self.machine.submit(&submission) {
                Applied::Fresh(answer) => answer,
                Applied::Duplicate(answer) => {
                    ctx.reach("session: a repeated entry had no effect");
                    answer
                }
                Applied::Stale => continue,
            };
            if let Some(request) = waits {
                ctx.respond(request, Response::Done(answer));
            }
        }
    }

    fn answer_reads(&mut self, ctx: &mut Context<'_, Self>) {
        let applied = self.applied;
        for (_, request, command) in
            self.reads.confirmed.extract_if(.., |(index, ..)| *index <= applied)
        {
            ctx.respond(request, Response::Done(self.machine.read(&command)));
        }
    }

    /// Replaces the applied entries by a snapshot, if there are enough.
    fn take_snapshot(&mut self, ctx: &mut Context<'_, Self>) {
        let since = self.applied - self.log().base();
        if self.config.snapshot_after.is_some_and(|after| since >= after) {
            let snapshot = self.log().snapshot_of(&self.machine, self.applied);
            let bytes = snapshot.write_to_bytes().expect("a valid message");
            self.write(Record::Snapshot(bytes), ctx);
            ctx.sync();
        }
    }

    /// raft-rs waits for ever for a snapshot that it sent, unless it is told what became of it. The
    /// network does not say, so after a while it counts as lost.
    fn expire_snapshots(&mut self) {
        let mut lost = Vec::new();
        self.snapshots.retain(|peer, ticks| {
            *ticks -= 1;
            if *ticks == 0 {
                lost.push(*peer);
            }
            *ticks > 0
        });
        for peer in lost {
            self.node.report_snapshot(peer, SnapshotStatus::Failure);
        }
    }
}

fn draw_timeout(config: &Config, ctx: &mut Context<'_, Server>) -> usize {
    let width = config.election_ticks_max - config.election_ticks_min;
    config.election_ticks_min + ctx.draw().below(width as u32) as usize
}

fn hard_record(hard: &HardState) -> Record {
    Record::Hard { term: hard.term, vote: hard.vote, commit: hard.commit }
}

/// raft-rs numbers servers from one.
fn peer(node: NodeId) -> u64 {
    node.index() as u64 + 1
}

fn node(peer: u64) -> NodeId {
    NodeId::new((peer - 1) as u16)
}

impl Frame {
    fn of(message: &Message) -> Self {
        Self(message.write_to_bytes().expect("a valid message"))
    }

    fn message(&self) -> Message {
        Message::parse_from_bytes(&self.0).expect("nobody alters messages in this model")
    }
}

/// What traces show: the type, and what differs from nothing.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.message();
        let numbers = [
            ("term", message.term),
            ("log_term", message.log_term),
            ("index", message.index),
            ("commit", message.commit),
            ("reject_hint", message.reject_hint),
            ("entries", message.entries.len() as u64),
            ("context", message.context.len() as u64),
            ("snapshot", message.get_snapshot().get_metadata().index),
        ];
        write!(f, "{:?}", message.get_msg_type())?;
        for (name, number) in numbers.into_iter().filter(|(_, number)| *number > 0) {
            write!(f, " {name} {number}")?;
        }
        if message.reject { f.write_str(" rejected") } else { Ok(()) }
    }
}
