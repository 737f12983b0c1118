//! PBFT, practical Byzantine fault tolerance (Castro and Liskov, *Practical Byzantine Fault
//! Tolerance*, OSDI 1999, cited by section; recovery and state transfer after their TOCS article of
//! 2002): a replicated state machine some of whose replicas lie.
//!
//! *Problem.* Clients ask a cluster of `n` replicas to read and change a key-value store. The
//! cluster behaves as one copy of it, each command takes effect once, whatever `f` replicas do.
//!
//! *Model.* Links `FairLoss`; nodes `Byzantine`, at most `f` of `n = 3f + 1`; the others may crash
//! and come back; timing `Asynchronous` for safety, `PartiallySynchronous` for progress. Nobody can
//! sign for somebody else. With `f + 1` Byzantine replicas two correct ones may disagree.
//!
//! *Idea.* Two quorums of `2f + 1` replicas have a correct one in common. The *primary* of a view
//! gives each request a sequence number (*pre-prepare*); what a quorum has *prepared* is the only
//! request of that number and view; a quorum of *commits* says that a quorum knows so, and no later
//! view can order otherwise: it begins with what a quorum reports as prepared. A primary that lets
//! clients wait is replaced by the next, and nobody takes its word for what it begins with.
//!
//! *Properties* (4.5), guarded by [`invariants`] but for the last two:
//! - `Prepared` no two replicas prepare different requests under one view and number (4.2);
//! - `Committed` what is committed under a number `2f + 1` have committed (4.2), and every later
//!   view prepares it there (4.4);
//! - `Agreement` no two replicas execute different requests under one number;
//! - `State` replicas that have executed as much are in the same state;
//! - `New view` the primary of a view for which a quorum has asked begins it at once, and as every
//!   backup finds it must (4.4); whoever is in it has the proof of that;
//! - `Proved` what a replica has accepted its primary has said, what it has prepared `2f` backups
//!   have agreed to, and what it holds for stable `2f + 1` have voted for;
//! - `Kept` no more than `f` come back from a crash without a view or a number that they had;
//! - `Linearizability` (judged on the history of the clients);
//! - `L1` once the faults are over, whoever asks is answered.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Request`](Message::Request) | replica | all | a client asked this |
//! | [`PrePrepare`](Message::PrePrepare) | primary | backups | this request has this number |
//! | [`Prepare`](Message::Prepare) | backup | all | I agree |
//! | [`Commit`](Message::Commit) | replica | all | I know of `2f + 1` who agree |
//! | [`Checkpoint`](Message::Checkpoint) | replica | all | my state after this number |
//! | [`ViewChange`](Message::ViewChange) | replica | all | next view, please; what I prepared |
//! | [`NewView`](Message::NewView) | new primary | all | who asked for it; how it begins |
//! | [`Status`](Message::Status) | replica | all | how far I am: send me what I lack |
//! | [`State`](Message::State) | replica | replica | a stable checkpoint, with its proof |
//!
//! *Journal records*, each synced before anything is said of it but for the last:
//! [`Accepted`](Record::Accepted) before the prepare, [`Prepared`](Record::Prepared) before the
//! commit, [`View`](Record::View) before a view change, [`NewView`](Record::NewView) before
//! anything is said in it, [`Stable`](Record::Stable) before the log is cut,
//! [`Decided`](Record::Decided).
//!
//! *Deviations*
//! - Replicas keep a journal, so that one that crashed and came back is correct (in the paper it
//!   counts among the `f`).
//! - All that is shown to a third party is signed, as in the paper of 1999; links say who speaks.
//!   A digest is a hash of 64 bits. Nobody changes a request: it bears its client's signature.
//! - Whoever a client asks tells all replicas, as the client does in the paper when it asks again.
//! - One request a number, no tentative execution, no read-only path. A primary may order a null
//!   request, which is only its loss.
//! - Lost messages are not sent again by those who sent them: who waits says what it has
//!   ([`Status`](Message::Status), as in the implementation of 2002), and is sent what it lacks.
//! - A new primary begins as soon as it has `2f + 1` view changes; in the tables of 4.4, `O` is
//!   recomputed by every backup, from the same view changes.
//!
//! *Reading map*
//!
//! | paper | here |
//! |---|---|
//! | 4.1, the client | `Workload::agree` is `f + 1` |
//! | 4.2, normal-case operation | `phases` |
//! | 4.3, garbage collection | `checkpoints` |
//! | 4.4, view changes | `views`, `certificates` |
//! | 4.5.2, liveness | `views`: `on_patience`, `join` |
//! | TOCS 2002, 5.2 retransmission, 5.3 state transfer | `checkpoints`: `on_status`, `on_state` |

mod certificates;
mod checkpoints;
mod invariants;
mod machine;
mod phases;
mod statements;
mod strategies;
mod views;

use crate::kv::{Answer, Command};
use seedfall_sim::{
    ClientId, Context, Draw, Duration, NodeId, Protocol, RequestId, Signed, Signer, SortedMap,
    StableHasher, Strategy,
};

pub use invariants::{Invariants, invariants};
pub use machine::Machine;
pub use statements::{
    Ask, Certificate, ChangeView, Message, NewView, PrePrepare, Prepare, Proposal, Record, Stable,
    Vote,
};

/// The parameters, equal on all replicas.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// How many Byzantine replicas are to be survived: `f`.
    pub faulty: usize,
    /// After how many numbers a checkpoint is taken.
    pub checkpoint_every: u64,
    /// How many numbers beyond the stable checkpoint may be in use: a multiple of the former, and
    /// at least twice as many.
    pub window: u64,
    /// How long a replica waits for the execution of a request before it asks for the next view;
    /// twice as long after each view in vain.
    pub patience: Duration,
    /// How often a replica that waits says what it has.
    pub tick: Duration,
}

/// How often the patience is doubled, at most.
const DOUBLED: u32 = 4;

/// What identifies a request, or a state: a hash of it.
pub type Digest = u64;

/// Number of a view; its primary is the replica of this number, counted round and round.
pub type View = u64;
/// Sequence number of a request, from one on.
pub type Seq = u64;

/// A node's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// A request, or a new view, is late.
    Patience,
    /// Say what is missing.
    Tick,
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request(pub Command);

/// What a client is told; it believes what `f + 1` replicas say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Response(pub Answer);

/// One sequence number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Slot {
    /// The proposal of this view's primary that was accepted.
    accepted: Option<Proposal>,
    /// The prepare of the highest view of each backup.
    prepares: SortedMap<NodeId, Signed<Prepare>>,
    /// The commit of the highest view of each replica.
    commits: SortedMap<NodeId, (View, Digest)>,
    /// The proof of the highest view that the request was prepared here.
    certificate: Option<Certificate>,
    /// The request that is committed; none: a null request.
    decided: Option<Option<Ask>>,
}

/// One replica.
#[derive(Clone, Debug)]
pub struct Replica {
    id: NodeId,
    nodes: usize,
    config: Config,
    view: View,
    /// False from the moment it asks for a view until it begins.
    active: bool,
    log: SortedMap<Seq, Slot>,
    stable: Stable,
    machine: Machine,
    executed: Seq,
    /// Its own states at checkpoints that are not stable yet.
    snapshots: SortedMap<Seq, Machine>,
    votes: SortedMap<Seq, SortedMap<NodeId, Signed<Vote>>>,
    /// The view change of the highest view of each replica.
    changes: SortedMap<NodeId, Signed<ChangeView>>,
    /// What this view began with; none in the first.
    new_view: Option<Signed<NewView>>,
    /// Requests that are not executed yet, the last of each client.
    pending: SortedMap<ClientId, Ask>,
    /// Up to where the others are known to have executed.
    goal: Seq,
    /// How many views were in vain.
    vain: u32,
}

impl Protocol for Replica {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        let nodes = ctx.nodes();
        assert!(config.faulty * 3 < nodes, "n = 3f + 1");
        assert!(2 * config.checkpoint_every <= config.window, "a window of two checkpoints");
        let mut replica = Self {
            id,
            nodes,
            config: config.clone(),
            view: 0,
            active: true,
            log: SortedMap::new(),
            stable: Stable::default(),
            machine: Machine::default(),
            executed: 0,
            snapshots: SortedMap::new(),
            votes: SortedMap::new(),
            changes: SortedMap::new(),
            new_view: None,
            pending: SortedMap::new(),
            goal: 0,
            vain: 0,
        };
        if !journal.is_empty() {
            replica.recover(journal, ctx);
        }
        replica
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match message {
            Message::Request(ask) => self.take(ask, ctx),
            Message::PrePrepare(proposal) => self.on_pre_prepare(proposal, ctx),
            Message::Prepare(prepare) => self.on_prepare(prepare, ctx),
            Message::Commit { view, seq, digest } => self.on_commit(from, view, seq, digest, ctx),
            Message::Checkpoint(vote) => self.on_checkpoint(vote, ctx),
            Message::ViewChange(change) => self.on_view_change(change, ctx),
            Message::NewView(new_view) => self.on_new_view(new_view, ctx),
            Message::Status { view, active, stable, executed } => {
                self.on_status(from, (view, active), (stable, executed), ctx);
            }
            Message::State(stable) => self.on_state(stable, ctx),
        }
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) {
        match timer {
            Timer::Patience => self.on_patience(ctx),
            Timer::Tick => self.on_tick(ctx),
        }
    }

    fn on_request(
        &mut self,
        id: RequestId,
        Request(command): Request,
        ctx: &mut Context<'_, Self>,
    ) {
        let ask = Ask { id, command };
        ctx.broadcast(Message::Request(ask.clone()));
        self.take(ask, ctx);
    }

    fn is_leader(&self) -> bool {
        self.active && self.is_primary()
    }

    fn waits(&self) -> String {
        let Self { view, active, executed, goal, .. } = self;
        let clients: Vec<String> = self.pending.values().map(|ask| ask.id.to_string()).collect();
        if !active {
            let have = self.changes.values().filter(|change| change.value().view == *view).count();
            let quorum = self.quorum();
            return format!("for view {view}: {have} of {quorum} view changes, or its new primary");
        }
        match clients.is_empty() && goal <= executed {
            true => String::new(),
            false => format!("view {view}, executed {executed}: for {}", clients.join(", ")),
        }
    }

    fn mutate(message: &mut Message, draw: &mut Draw) -> bool {
        statements::mutate(message, draw)
    }

    fn falsify(message: &mut Message, me: Signer, draw: &mut Draw) -> bool {
        statements::falsify(message, me, draw)
    }

    fn strategies() -> Vec<Strategy<Self>> {
        strategies::all()
    }
}

impl Replica {
    /// Its view, and whether that has begun.
    pub fn view(&self) -> (View, bool) {
        (self.view, self.active)
    }

    /// How many sequence numbers it has executed.
    pub fn executed(&self) -> Seq {
        self.executed
    }

    /// The state that follows from them.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Whether it is the primary of a view that it does not begin, though a quorum has asked for
    /// it.
    pub fn holds_up_its_view(&self) -> bool {
        let asked = self.changes.values().filter(|change| change.value().view == self.view);
        !self.active && self.is_primary() && self.quorum() <= asked.count()
    }

    /// Whether it began its view, as the primary, in a way that no correct backup accepts.
    pub fn began_wrongly(&self) -> bool {
        let own = self.new_view.as_ref().filter(|new_view| new_view.by() == self.id);
        own.is_some_and(|new_view| !self.is_new_view(new_view))
    }

    /// The last stable checkpoint.
    pub fn stable(&self) -> &Stable {
        &self.stable
    }

    /// What is proved to be prepared, by number.
    pub fn certificates(&self) -> impl Iterator<Item = (Seq, &Certificate)> {
        self.log.iter().filter_map(|(seq, slot)| Some((*seq, slot.certificate.as_ref()?)))
    }

    /// What is committed, by number, as far as the log goes back.
    pub fn decided(&self) -> impl Iterator<Item = (Seq, &Option<Ask>)> {
        self.log.iter().filter_map(|(seq, slot)| Some((*seq, slot.decided.as_ref()?)))
    }

    /// Whether it is the primary of a view.
    fn leads(&self, view: View) -> bool {
        self.primary(view) == self.id
    }

    /// What it has accepted after a number, and who has agreed to it, as far as it has heard.
    fn accepted_after(&self, seq: Seq) -> impl Iterator<Item = (Proposal, Vec<Signed<Prepare>>)> {
        self.log.range(seq + 1..).filter_map(|(_, slot)| {
            let proposal = slot.accepted.clone()?;
            let said = *proposal.pre.value();
            let expected = Prepare { view: said.view, seq: said.seq, digest: said.digest };
            let agree = slot.prepares.values().filter(|prepare| *prepare.value() == expected);
            let agree = agree.copied().collect();
            Some((proposal, agree))
        })
    }

    fn quorum(&self) -> usize {
        2 * self.config.faulty + 1
    }

    fn primary(&self, view: View) -> NodeId {
        primary(view, self.nodes)
    }

    fn is_primary(&self) -> bool {
        self.primary(self.view) == self.id
    }

    /// 4.2: between the water marks `h` and `H`.
    fn is_in_window(&self, seq: Seq) -> bool {
        self.stable.seq < seq && seq <= self.stable.seq + self.config.window
    }

    /// How long to wait for the next view.
    fn patience(&self) -> Duration {
        self.config.patience.scale(1 << self.vain.min(DOUBLED), 1)
    }

    /// Whether it lacks something that others may have.
    fn waits_for_others(&self) -> bool {
        !self.active
            || !self.pending.is_empty()
            || self.executed < self.goal
            || self.log.range(self.executed + 1..).any(|(_, slot)| slot.accepted.is_some())
    }

    fn arm_tick(&self, ctx: &mut Context<'_, Self>) {
        if self.waits_for_others() {
            ctx.set_timer(Timer::Tick, self.config.tick);
        }
    }
}

/// The replica that is primary in a view.
pub fn primary(view: View, nodes: usize) -> NodeId {
    NodeId::new((view % nodes as u64) as u16)
}

/// The digest of a request, or of a null request.
pub fn digest(ask: &Option<Ask>) -> Digest {
    StableHasher::hash(ask)
}
