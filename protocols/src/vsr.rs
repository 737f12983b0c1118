//! Viewstamped Replication Revisited (Liskov and Cowling, MIT-CSAIL-TR-2012-021, cited by section;
//! after Oki and Liskov, PODC 1988, cited as VR88).
//!
//! *Problem.* A key-value store is kept by `n = 2f + 1` replicas and behaves as one, as long as no
//! more than `f` of them are failed at a time; none of them keeps anything on a disk.
//!
//! *Model.* Links `FairLoss`; nodes `CrashStop`, or `CrashRecovery` with at most `f` failed at a
//! time, where a replica counts as failed until it has *recovered*, for a crash takes all of its
//! state; timing `Asynchronous` for safety, `PartiallySynchronous` for progress. With more than `f`
//! failed nothing wrong is told, and nothing is told ever after: the state is gone.
//!
//! *Idea.* Time is cut into *views*; the *primary* of each follows from its number. It gives each
//! request a place, its *op-number*, and has the backups prepare it; once `f` of them have, it is
//! committed. If the primary falls silent, the backups begin the next view: its primary takes over
//! the best log of `f + 1` replicas, the one of the latest view, and of those the longest. What was
//! committed was prepared by `f + 1`, one of whom is among these. A replica that comes back from a
//! crash has nothing, and fetches the state before it says anything in any view.
//!
//! *Properties*, guarded by [`invariants`] but for the last two:
//! - V1 Agreement: what is committed is the same at all replicas, in the same order;
//! - V2 Durability (8.1: "every committed operation survives into all subsequent views"): what was
//!   committed in a view is in the log of whoever is in a later one;
//! - V3 One log a view: the logs of two replicas of one view agree as far as both go;
//! - V4 what a primary commits, `f + 1` have prepared in its view ([`invariants_without_crashes`]);
//! - V5 the view that a replica takes part in only rises, crash or no crash (see the deviations);
//! - V6 what a replica has in the log of a view, it has in that view for good: once it has
//!   recovered, too (4.3: so its `PrepareOk` may count);
//! - S1 the history of the clients is linearizable;
//! - L1 with at most `f` replicas failed and the others connected for a while, operations complete.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Prepare`](Message::Prepare) | primary | backups | an operation, and its place (4.1) |
//! | [`PrepareOk`](Message::PrepareOk) | backup | primary | all up to there is in my log |
//! | [`Commit`](Message::Commit) | primary | backups | I am here; so much is committed |
//! | [`StartViewChange`](Message::StartViewChange) | replica | all | let us begin this view (4.2) |
//! | [`DoViewChange`](Message::DoViewChange) | replica | new primary | we do; my log |
//! | [`StartView`](Message::StartView) | new primary | backups | the view begins, with this log |
//! | [`Recovery`](Message::Recovery) | who was down | all | what did I miss? (4.3) |
//! | [`RecoveryResponse`](Message::RecoveryResponse) | replica | who was down | this |
//! | [`GetState`](Message::GetState) | replica | replica | what comes after that? (5.2) |
//! | [`NewState`](Message::NewState) | replica | replica | this |
//!
//! *Journal records*: [`Started`](Record::Started), which tells a replica that it has lost its
//! state, and numbers its lives, so that the count is the nonce of 4.3; [`View`](Record::View), see
//! below.
//!
//! *Deviations*
//! - *A replica writes down in which view it takes part*, before it says so, and recovers in no
//!   earlier one. The paper has nothing durable; but then a replica that asked for a view, crashed
//!   and recovered helps to commit in the view before, while what it said still counts for the one
//!   after, without what was committed (Michael, Ports, Sharma and Szekeres, *Recovering Shared
//!   Objects Without Stable Storage*, DISC 2017). VR88 writes it down, too. Whoever hears from a
//!   recovering replica of a later view than its own begins it.
//! - *A replica that hears of a later view keeps its log until it has the new one.* In 5.2 it cuts
//!   it back to what it knows to be committed at once; if it then takes part in the next view
//!   change, as one of that view, what it had cut off is lost.
//! - Messages that may be lost are repeated; `PrepareOk` counts for all operations before, too.
//! - All of the log is kept, and sent at a change of view (5.1 and 5.3 send and keep less).
//! - Reads go through the log (6.3 leases them). No batches (6.2), no witnesses (6.1).
//! - Reconfiguration (section 7) stands above, in [`reconfiguration`].
//!
//! *What a client must do.* Ask the primary, which others name; ask again under the same number.
//!
//! *Reading map*
//!
//! | paper | here |
//! |---|---|
//! | 4.1, normal operation | `on_request`, `on_prepare`, `on_prepare_ok`, `on_commit` |
//! | 4.2, view changes | `view_change` |
//! | 4.3, recovery; 5.2, state transfer | `recovery` |

mod invariants;
pub mod reconfiguration;
mod recovery;
mod view_change;

use crate::kv::{Answer, Command};
use crate::machine::{Known, Machine, Update};
use recovery::Missed;
use seedfall_sim::{Context, Duration, NodeId, Protocol, RequestId};
use view_change::Change;

pub use invariants::{Invariants, invariants, invariants_without_crashes};

/// The parameters, equal on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// How often a primary says that it is there, and whoever waits for something asks again.
    pub interval: Duration,
    /// After how long without a word from the primary, or without the view that it asked for, a
    /// replica asks for the next one.
    pub view_change_after: Duration,
    /// Whether a replica that was down recovers (4.3) before it takes part. Without, it forgets
    /// what it promised: [`Config`] has this so that a scenario can show it.
    pub recovers: bool,
}

/// The number of a view.
pub type View = u32;

/// What nodes send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// Prepare this.
    Prepare {
        /// In which view.
        view: View,
        /// At which place, from one on.
        op: usize,
        /// What.
        update: Update,
        /// So many are committed.
        commit: usize,
    },
    /// All up to this place is in the sender's log of this view.
    PrepareOk {
        /// Of which view.
        view: View,
        /// Up to which place.
        op: usize,
    },
    /// The primary is there.
    Commit {
        /// Of which view.
        view: View,
        /// So many are committed.
        commit: usize,
    },
    /// Let us begin this view.
    StartViewChange {
        /// Which.
        view: View,
    },
    /// `f + 1` want it.
    DoViewChange {
        /// Which.
        view: View,
        /// The log of the sender.
        log: Vec<Update>,
        /// The latest view in which its status was normal.
        normal: View,
        /// So many does it know to be committed.
        commit: usize,
    },
    /// It has begun.
    StartView {
        /// Which.
        view: View,
        /// With which log.
        log: Vec<Update>,
        /// So many are committed.
        commit: usize,
    },
    /// The sender has lost its state.
    Recovery {
        /// In which of its lives it asks.
        nonce: u32,
        /// The latest view in which it took part.
        view: View,
    },
    /// What it missed.
    RecoveryResponse {
        /// In which view the sender is.
        view: View,
        /// In which life that was asked.
        nonce: u32,
        /// From the primary: its log, and how much of it is committed.
        state: Option<(Vec<Update>, usize)>,
    },
    /// What comes after this place?
    GetState {
        /// In which view.
        view: View,
        /// After which place.
        after: usize,
    },
    /// This.
    NewState {
        /// In which view.
        view: View,
        /// After which place.
        after: usize,
        /// What comes there.
        updates: Vec<Update>,
        /// So many are committed.
        commit: usize,
    },
}

/// A node's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// Time to say again what may be lost.
    Interval,
    /// The primary is silent, or the view does not come about.
    ViewChange,
}

/// What a node writes to its journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Record {
    /// It has begun a life.
    Started,
    /// It takes part in this view.
    View(View),
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Request(pub Command);

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Response {
    /// It took effect; the answer.
    Done(Answer),
    /// This node did nothing: ask that one, if it knows whom.
    Elsewhere(Option<NodeId>),
}

/// What a replica is at (Figure 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Its view has begun.
    Normal,
    /// It waits for its view to begin.
    ViewChange,
    /// It has lost its state.
    Recovering,
}

/// One replica (Figure 2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    id: NodeId,
    nodes: usize,
    config: Config,
    view: View,
    status: Status,
    /// The latest view in which its status was normal.
    normal: View,
    /// Its length is the op-number.
    log: Vec<Update>,
    /// So many are committed, and carried out.
    commit: usize,
    machine: Machine,
    /// Of the primary: up to where each replica has prepared, in this view.
    prepared: Vec<usize>,
    change: Change,
    missed: Missed,
}

impl Protocol for Replica {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        Self::one_of(ctx.nodes(), id, config, journal, ctx)
    }

    /// 4.1, steps 1 to 3.
    fn on_request(&mut self, request: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        let primary = self.primary_of(self.view);
        if primary != self.id || self.status != Status::Normal {
            let ask = (primary != self.id).then_some(primary);
            return ctx.respond(request, Response::Elsewhere(ask));
        }
        match self.machine.known(request) {
            Known::Done(answer) => {
                ctx.reach("request: a retry is answered from the client-table");
                let answer = answer.clone();
                return ctx.respond(request, Response::Done(answer));
            }
            Known::Past => return ctx.ignore("request: its client has moved on"),
            Known::New => {}
        }
        if self.log[self.commit..].iter().any(|update| update.request == request) {
            return ctx.ignore("request: already under way");
        }
        self.log.push(Update { request, command: body.0 });
        self.prepared[self.id.index()] = self.log.len();
        ctx.broadcast(self.prepare(self.log.len()));
        self.advance(ctx);
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        if self.status == Status::Recovering {
            // 4.3: it takes part in nothing before it has its state.
            return match message {
                Message::RecoveryResponse { view, nonce, state } => {
                    self.on_recovery_response(from, view, nonce, state, ctx);
                }
                _ => ctx.ignore("message: recovering"),
            };
        }
        match message {
            Message::Prepare { view, op, update, commit } => {
                self.on_prepare(from, (view, op, commit), update, ctx);
            }
            Message::PrepareOk { view, op } => self.on_prepare_ok(from, view, op, ctx),
            Message::Commit { view, commit } => self.on_commit(from, view, commit, ctx),
            Message::StartViewChange { view } => self.on_start_view_change(from, view, ctx),
            Message::DoViewChange { view, log, normal, commit } => {
                self.on_do_view_change(from, view, (normal, log, commit), ctx);
            }
            Message::StartView { view, log, commit } => self.on_start_view(view, log, commit, ctx),
            Message::Recovery { nonce, view } => self.on_recovery(from, nonce, view, ctx),
            Message::RecoveryResponse { .. } => ctx.ignore("recovery response: recovered already"),
            Message::GetState { view, after } => self.on_get_state(from, view, after, ctx),
            Message::NewState { view, after, updates, commit } => {
                self.on_new_state(view, after, updates, commit, ctx);
            }
        }
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) {
        match timer {
            Timer::Interval => {
                ctx.set_timer(Timer::Interval, self.config.interval);
                match self.status {
                    Status::Normal if self.is_leader() => self.tell_backups(ctx),
                    Status::Normal => {}
                    Status::ViewChange => self.ask_for_view(ctx),
                    Status::Recovering => self.ask_what_it_missed(ctx),
                }
            }
            Timer::ViewChange if self.status == Status::Recovering => {}
            Timer::ViewChange if self.is_leader() => {}
            Timer::ViewChange => self.start_view_change(self.view + 1, ctx),
        }
    }

    /// Who leads is the primary of a view that has begun.
    fn is_leader(&self) -> bool {
        self.status == Status::Normal && self.primary_of(self.view) == self.id
    }

    fn waits(&self) -> String {
        let view = self.view;
        match self.status {
            Status::Normal if self.is_leader() && self.commit < self.log.len() => {
                let prepared = &self.prepared;
                format!("for a quorum to prepare {} in view {view}: {prepared:?}", self.commit + 1)
            }
            Status::Normal => String::new(),
            Status::ViewChange => format!("for view {view}: {}", self.change),
            Status::Recovering => format!("for its state: {}", self.missed),
        }
    }
}

/// How a replica comes to be.
impl Replica {
    /// One of so many that comes up, for the first time or after a crash.
    fn one_of(
        nodes: usize,
        id: NodeId,
        config: &Config,
        journal: &[Record],
        ctx: &mut Context<'_, Self>,
    ) -> Self {
        config.check();
        let mut replica = Self::new(nodes, id, config);
        for record in journal {
            match record {
                Record::Started => replica.missed.life(),
                Record::View(view) => replica.view = *view,
            }
        }
        ctx.append(Record::Started);
        ctx.sync();
        ctx.set_timer(Timer::Interval, config.interval);
        ctx.set_timer(Timer::ViewChange, config.view_change_after);
        if !journal.is_empty() && config.recovers {
            replica.status = Status::Recovering;
            replica.ask_what_it_missed(ctx);
        }
        replica
    }

    fn new(nodes: usize, id: NodeId, config: &Config) -> Self {
        Self {
            id,
            nodes,
            config: *config,
            view: 0,
            status: Status::Normal,
            normal: 0,
            log: Vec::new(),
            commit: 0,
            machine: Machine::default(),
            prepared: vec![0; nodes],
            change: Change::default(),
            missed: Missed::default(),
        }
    }
}

/// 4.1, normal operation.
impl Replica {
    /// Steps 3 and 4, of a backup.
    fn on_prepare(
        &mut self,
        from: NodeId,
        (view, op, commit): (View, usize, usize),
        update: Update,
        ctx: &mut Context<'_, Self>,
    ) {
        if !self.is_in(view, from, ctx) {
            return;
        }
        if self.log.len() + 1 < op {
            ctx.reach("prepare: operations before this are missing");
            return self.get_state(from, view, self.log.len(), ctx);
        }
        if self.log.len() + 1 == op {
            self.log.push(update);
        }
        self.commit_up_to(commit, ctx);
        ctx.send(from, Message::PrepareOk { view, op: self.log.len() });
    }

    /// Step 5, of the primary.
    fn on_prepare_ok(&mut self, from: NodeId, view: View, op: usize, ctx: &mut Context<'_, Self>) {
        if view != self.view || !self.is_leader() {
            return ctx.ignore("prepare ok: of another view");
        }
        let prepared = &mut self.prepared[from.index()];
        *prepared = op.max(*prepared);
        self.advance(ctx);
    }

    /// Steps 6 and 7, of a backup.
    fn on_commit(&mut self, from: NodeId, view: View, commit: usize, ctx: &mut Context<'_, Self>) {
        if !self.is_in(view, from, ctx) {
            return;
        }
        // A backup that lacks an operation is sent that, and not this.
        self.commit_up_to(commit, ctx);
    }

    /// Whether this replica is a backup of that view, of which it heard from its primary; if it is
    /// behind, it asks for what it lacks.
    fn is_in(&mut self, view: View, primary: NodeId, ctx: &mut Context<'_, Self>) -> bool {
        if view < self.view {
            ctx.ignore("primary: of an earlier view");
            return false;
        }
        ctx.set_timer(Timer::ViewChange, self.config.view_change_after);
        if view == self.view && self.status == Status::Normal {
            return true;
        }
        // 5.2: but the log stays as it is until the new state is here.
        ctx.reach("state transfer: a view has begun without this replica");
        self.get_state(primary, view, self.commit, ctx);
        false
    }

    /// Whatever `f + 1` have prepared is committed.
    fn advance(&mut self, ctx: &mut Context<'_, Self>) {
        let mut prepared = self.prepared.clone();
        prepared.sort_unstable_by(|one, other| other.cmp(one));
        self.commit_up_to(prepared[self.quorum() - 1], ctx);
    }

    /// So many are committed: those that are here are carried out, and the primary answers.
    fn commit_up_to(&mut self, commit: usize, ctx: &mut Context<'_, Self>) {
        let commit = commit.min(self.log.len());
        for update in self.log.iter().take(commit).skip(self.commit) {
            let answer = self.machine.apply(update);
            if let Some(answer) = answer.filter(|_| self.is_leader()) {
                ctx.respond(update.request, Response::Done(answer));
            }
        }
        self.commit = self.commit.max(commit);
    }

    /// The primary is there, and repeats what not all have prepared.
    fn tell_backups(&self, ctx: &mut Context<'_, Self>) {
        for other in NodeId::all(self.nodes).filter(|other| *other != self.id) {
            let prepared = self.prepared[other.index()];
            if prepared < self.log.len() {
                ctx.send(other, self.prepare(prepared + 1));
            } else {
                ctx.send(other, Message::Commit { view: self.view, commit: self.commit });
            }
        }
    }

    fn prepare(&self, op: usize) -> Message {
        let update = self.log[op - 1].clone();
        Message::Prepare { view: self.view, op, update, commit: self.commit }
    }

    fn primary_of(&self, view: View) -> NodeId {
        NodeId::new((view as usize % self.nodes) as u16)
    }

    /// `f + 1`: any two such sets have a replica in common.
    fn quorum(&self) -> usize {
        self.nodes / 2 + 1
    }
}

/// What reports and scenarios ask of a replica.
impl Replica {
    /// What it is at.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The view in which it takes part.
    pub fn view(&self) -> View {
        self.view
    }

    /// The latest view that began with it: whose log it has.
    pub fn normal_view(&self) -> View {
        self.normal
    }

    /// Its log.
    pub fn log(&self) -> &[Update] {
        &self.log
    }

    /// What it has of the operations that it knows to be committed: all, unless it lost its log.
    pub fn committed(&self) -> &[Update] {
        self.log.get(..self.commit).unwrap_or(&self.log)
    }
}

impl Config {
    fn check(&self) {
        assert!(Duration::ZERO < self.interval, "interval must be above zero");
        assert!(
            self.interval < self.view_change_after,
            "view_change_after must outlast an interval"
        );
    }
}
