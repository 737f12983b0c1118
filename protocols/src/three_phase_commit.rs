//! Three-phase commit (Skeen, *Nonblocking Commit Protocols*, SIGMOD 1981; here after Bernstein,
//! Hadzilacos and Goodman, *Concurrency Control and Recovery in Database Systems*, 1987, section
//! 7.5, cited as BHG), and the termination by quorums that survives partitions (Skeen, *A
//! Quorum-Based Commit Protocol*, Berkeley Workshop 1982, cited as QBC).
//!
//! *Problem.* Sites agree to commit or to abort a transaction, each of which may refuse; and, other
//! than in two-phase commit, those that are up never wait for one that is down.
//!
//! *Model.* [`Termination::Sites`]: links `Reliable`, nodes `CrashStop`, timing `Synchronous`: who
//! does not answer within two delays has failed. Where messages can be lost or late this is wrong,
//! and two sides of a partition decide differently. [`Termination::Quorum`]: links `FairLoss`,
//! nodes `CrashRecovery`, timing `Asynchronous` for safety; a side without a quorum waits.
//!
//! *Idea.* In two-phase commit whoever voted yes is *uncertain*: others may have committed, or
//! aborted. A phase in between makes the two incompatible: the coordinator commits only after all
//! sites that are up know that all voted yes (they are *committable*). So if any site that is up is
//! uncertain, nobody has committed, and the uncertain ones may abort; if one is committable, nobody
//! has aborted. Sites that wait too long ask each other, and decide by that.
//!
//! *Properties* (BHG 7.3), guarded by [`invariants`] but for the last two:
//! - AC1 all sites that reach a decision reach the same one;
//! - AC2 a site does not reverse its decision;
//! - AC3 commit is decided only if all sites voted yes;
//! - P1 a site goes from uncertain to committable or to its opposite, never back, nor from one to
//!   the other, crash or no crash (QBC: it takes part in one quorum only);
//! - P2 nobody commits while a site is uncertain that has not failed (QBC: before a quorum is
//!   committable);
//! - AC5 what a client was told is what is decided (judged on the history, at the end of the run);
//! - NB each site that is up and voted decides (judged at the end of the run): within a bounded
//!   time with [`Termination::Sites`], once the failures are repaired with [`Termination::Quorum`].
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`VoteRequest`](Message::VoteRequest) | coordinator | all | vote |
//! | [`Vote`](Message::Vote) | site | coordinator | yes or no |
//! | [`Prepare`](Message::Prepare) | coordinator | all | PRE-COMMIT; QBC: or its opposite |
//! | [`Ack`](Message::Ack) | site | coordinator | I am there |
//! | [`Decision`](Message::Decision) | who decided | all | commit or abort |
//! | [`StateRequest`](Message::StateRequest) | a new coordinator | all | where are you? |
//! | [`State`](Message::State) | site | new coordinator | the state |
//!
//! *Journal records*: [`Record`], the state after each transition, synced before anything is said
//! of it.
//!
//! *Deviations*
//! - There is no data: a request says which site refuses. What is voted on is two-phase commit's
//!   affair, see [`two_phase_commit`](crate::two_phase_commit).
//! - BHG elects the coordinator of the termination protocol. Here the sites take turns in a fixed
//!   order, each for as long as a coordinator needs at most, so that in the synchronous model there
//!   is one at a time. (Two at a time could decide differently: one asks before, the other after
//!   the only committable site has failed.) With quorums several at a time do no harm.
//! - BHG's election skips nobody who is up; a turn of one that is down costs its length.
//! - The coordinator is a participant too, and what it tells itself does not travel.
//! - QBC's sites have weights and two thresholds; here each weighs one, and both are a majority.
//!
//! *What a client must do.* Send a request to its coordinator, [`coordinator_of`], which others
//! name; ask again under the same request.
//!
//! *Reading map*
//!
//! | source | here |
//! |---|---|
//! | BHG 7.5, the coordinator; its time-out actions | `on_vote`, `on_ack`, `on_answers_due` |
//! | BHG 7.5, the participants | `on_vote_request`, `on_prepare` |
//! | BHG 7.5, the termination protocol, rules TR1 to TR4 | `termination`: `conclude_by_sites` |
//! | QBC, the termination protocol | `termination`: `conclude_by_quorum` |

mod invariants;
mod termination;

use seedfall_sim::{ClientId, Context, Duration, NodeId, Protocol, RequestId, SortedMap};

pub use invariants::{Invariants, invariants};

/// The parameters, equal on all sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// Who decides when a coordinator is silent.
    pub termination: Termination,
    /// How long a message takes, at most: above zero. With [`Termination::Quorum`] only progress
    /// rests on it.
    pub delay_max: Duration,
}

/// Who decides when a coordinator is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Termination {
    /// All sites that answer, as those that do not have failed (BHG).
    Sites,
    /// A majority (QBC).
    Quorum,
}

/// A transaction is named by the request for it.
pub type TransactionId = RequestId;

/// Where a site is in a transaction. One that it has not heard of it may still refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum State {
    /// It voted yes, and knows nothing of the others.
    Uncertain,
    /// It knows that all voted yes.
    Committable,
    /// It takes part in an abort, and in no commit any more (QBC).
    Abortable,
    /// It has decided to abort.
    Aborted,
    /// It has decided to commit.
    Committed,
}

/// What sites tell each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// Vote on this.
    VoteRequest {
        /// Which transaction.
        transaction: TransactionId,
        /// Who must refuse it.
        refused_by: Option<NodeId>,
    },
    /// The vote.
    Vote {
        /// On which transaction.
        transaction: TransactionId,
        /// Yes, or no.
        yes: bool,
    },
    /// Go to this state, [`State::Committable`] or [`State::Abortable`], and say so.
    Prepare {
        /// For which transaction.
        transaction: TransactionId,
        /// Which state.
        to: State,
    },
    /// The sender has gone there, durably.
    Ack {
        /// In which transaction.
        transaction: TransactionId,
    },
    /// It is decided.
    Decision {
        /// Which transaction.
        transaction: TransactionId,
        /// Whether it is committed.
        commit: bool,
    },
    /// Where are you?
    StateRequest {
        /// In which transaction.
        transaction: TransactionId,
    },
    /// There.
    State {
        /// In which transaction.
        transaction: TransactionId,
        /// Where.
        state: State,
    },
}

/// A site's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// Whoever is up has answered this site, which coordinates.
    AnswersDue(TransactionId),
    /// The coordinators before this site have had their time.
    Turn(TransactionId),
}

/// What a site writes to its journal: where it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Record {
    /// In which transaction.
    pub transaction: TransactionId,
    /// Where.
    pub state: State,
}

/// What a client asks: a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Request {
    /// Which site must refuse it.
    pub refused_by: Option<NodeId>,
}

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Response {
    /// It is committed.
    Committed,
    /// It is aborted.
    Aborted,
    /// This site did nothing: that one coordinates for the client.
    Elsewhere {
        /// Who coordinates.
        coordinator: NodeId,
    },
}

/// What a coordinator, the first or one whose turn it is, waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Round {
    /// For the votes; who has voted yes.
    Votes(Vec<NodeId>),
    /// For the states; who is where.
    States(SortedMap<NodeId, State>),
    /// For sites to be in this state; who is.
    Acks(State, Vec<NodeId>),
}

/// A transaction at one site.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Transaction {
    state: State,
    /// What it waits for, if it coordinates.
    round: Option<Round>,
}

/// One site.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Site {
    id: NodeId,
    sites: usize,
    config: Config,
    transactions: SortedMap<TransactionId, Transaction>,
}

impl Protocol for Site {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        assert!(
            Duration::ZERO < config.delay_max,
            "3PC cannot start: delay_max must be above zero"
        );
        let (sites, mut transactions) = (ctx.nodes(), SortedMap::new());
        for Record { transaction, state } in journal {
            transactions.insert(*transaction, Transaction { state: *state, round: None });
        }
        let site = Self { id, sites, config: *config, transactions };
        for (id, _) in site.transactions.iter().filter(|(_, one)| !one.state.is_decided()) {
            ctx.reach("recovery: a site comes back undecided");
            ctx.set_timer(Timer::Turn(*id), site.turn(*id));
        }
        site
    }

    fn on_request(&mut self, request: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        let coordinator = coordinator_of(request.client, self.sites);
        if coordinator != self.id {
            return ctx.respond(request, Response::Elsewhere { coordinator });
        }
        match self.state(request) {
            Some(state) if state.is_decided() => return ctx.respond(request, state.response()),
            Some(_) => return ctx.ignore("request: already under way"),
            None => {}
        }
        let Request { refused_by } = body;
        if refused_by == Some(self.id) {
            self.go(request, State::Aborted, ctx); // Nobody else has heard of it.
            return ctx.respond(request, Response::Aborted);
        }
        self.go(request, State::Uncertain, ctx);
        ctx.set_timer(Timer::Turn(request), self.turn(request));
        ctx.broadcast(Message::VoteRequest { transaction: request, refused_by });
        self.begin(request, Round::Votes(vec![self.id]), ctx);
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match message {
            Message::VoteRequest { transaction, refused_by } => {
                self.on_vote_request(from, transaction, refused_by == Some(self.id), ctx);
            }
            Message::Vote { transaction, yes } => self.on_vote(from, transaction, yes, ctx),
            Message::Prepare { transaction, to } => self.on_prepare(from, transaction, to, ctx),
            Message::Ack { transaction } => self.on_ack(from, transaction, ctx),
            Message::Decision { transaction, commit } => {
                if self.state(transaction).is_some_and(State::is_decided) {
                    return ctx.ignore("decision: known already");
                }
                self.settle(transaction, commit, ctx);
            }
            Message::StateRequest { transaction } => self.on_state_request(from, transaction, ctx),
            Message::State { transaction, state } => self.on_state(from, transaction, state, ctx),
        }
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) {
        match timer {
            Timer::AnswersDue(transaction) => self.on_answers_due(transaction, ctx),
            Timer::Turn(transaction) => self.on_turn(transaction, ctx),
        }
    }

    /// Who leads here is whoever coordinates something.
    fn is_leader(&self) -> bool {
        self.transactions.values().any(|one| one.round.is_some())
    }

    fn waits(&self) -> String {
        let undecided = self.transactions.iter().filter(|(_, one)| !one.state.is_decided());
        let words = undecided.map(|(id, one)| match &one.round {
            None => format!("{id}: {:?}, for a decision", one.state),
            Some(round) => format!("{id}: {:?}, coordinates, has {round:?}", one.state),
        });
        words.collect::<Vec<_>>().join("; ")
    }
}

/// The coordinator (BHG 7.5).
impl Site {
    /// A vote. Once all have voted yes, all are told that they did.
    fn on_vote(&mut self, from: NodeId, id: TransactionId, yes: bool, ctx: &mut Context<'_, Self>) {
        let Some(Round::Votes(voted)) = self.round(id) else {
            return ctx.ignore("vote: the votes are counted");
        };
        if !yes {
            return self.decide(id, false, ctx);
        }
        if voted.contains(&from) {
            return ctx.ignore("vote: this site has voted before");
        }
        voted.push(from);
        if voted.len() < self.sites {
            return;
        }
        if self.state(id) == Some(State::Uncertain) {
            return self.prepare(id, State::Committable, ctx);
        }
        // QBC: another coordinator was quicker, and this site is in its quorum, to abort.
        ctx.reach("vote: the last one comes to a site that takes part in the abort");
        ctx.cancel_timer(Timer::AnswersDue(id));
        self.transaction(id).round = None; // Its turn will come.
    }

    /// Brings all sites to a state, from which they can be brought to a decision.
    fn prepare(&mut self, id: TransactionId, to: State, ctx: &mut Context<'_, Self>) {
        self.go(id, to, ctx);
        ctx.broadcast(Message::Prepare { transaction: id, to });
        self.begin(id, Round::Acks(to, vec![self.id]), ctx);
    }

    /// A site has gone where it was sent: one place only, in all turns of this coordinator, which
    /// takes part itself. Once all are there, or a quorum, it is decided.
    fn on_ack(&mut self, from: NodeId, id: TransactionId, ctx: &mut Context<'_, Self>) {
        let needed = match self.config.termination {
            Termination::Sites => self.sites,
            Termination::Quorum => self.quorum(),
        };
        match self.round(id) {
            Some(Round::Acks(to, acked)) if !acked.contains(&from) => {
                acked.push(from);
                if needed <= acked.len() {
                    let commit = *to == State::Committable;
                    self.decide(id, commit, ctx);
                }
            }
            _ => ctx.ignore("ack: nobody waits for it"),
        }
    }

    /// Whoever is up has answered, if the model is synchronous.
    fn on_answers_due(&mut self, id: TransactionId, ctx: &mut Context<'_, Self>) {
        match self.round(id) {
            Some(Round::Votes(_)) => {
                ctx.reach("coordinator: not all have voted in time");
                self.decide(id, false, ctx); // Nobody is committable: none was told to be.
            }
            Some(Round::States(_)) => self.conclude(id, ctx),
            Some(Round::Acks(to, _)) => match (*to, self.config.termination) {
                (to, Termination::Sites) => {
                    let commit = to == State::Committable;
                    ctx.reach("coordinator: who has not acknowledged has failed");
                    self.decide(id, commit, ctx);
                }
                (_, Termination::Quorum) => {
                    ctx.reach("coordinator: no quorum has acknowledged in time");
                    self.transaction(id).round = None; // Its next turn will come.
                }
            },
            None => unreachable!("the timer is set for a round"),
        }
    }

    /// The one moment that decides.
    fn decide(&mut self, id: TransactionId, commit: bool, ctx: &mut Context<'_, Self>) {
        self.settle(id, commit, ctx);
        ctx.broadcast(Message::Decision { transaction: id, commit });
    }

    /// Waits for answers: they take two delays at most.
    fn begin(&mut self, id: TransactionId, round: Round, ctx: &mut Context<'_, Self>) {
        self.transaction(id).round = Some(round);
        ctx.set_timer(Timer::AnswersDue(id), self.config.delay_max.scale(2, 1));
    }
}

/// The participants (BHG 7.5).
impl Site {
    fn on_vote_request(
        &mut self,
        from: NodeId,
        id: TransactionId,
        refuses: bool,
        ctx: &mut Context<'_, Self>,
    ) {
        if self.state(id).is_some() {
            return ctx.ignore("vote request: it has voted");
        }
        self.go(id, if refuses { State::Aborted } else { State::Uncertain }, ctx);
        if !refuses {
            ctx.set_timer(Timer::Turn(id), self.turn(id));
        }
        ctx.send(from, Message::Vote { transaction: id, yes: !refuses });
    }

    fn on_prepare(
        &mut self,
        from: NodeId,
        id: TransactionId,
        to: State,
        ctx: &mut Context<'_, Self>,
    ) {
        match self.state(id) {
            Some(State::Uncertain) => self.go(id, to, ctx),
            Some(state) if state == to => {} // Told again.
            Some(State::Committed | State::Aborted) => {
                return ctx.ignore("prepare: it has decided");
            }
            _ => return ctx.ignore("prepare: it takes part in the opposite"),
        }
        ctx.send(from, Message::Ack { transaction: id });
    }

    /// It is decided, here too.
    fn settle(&mut self, id: TransactionId, commit: bool, ctx: &mut Context<'_, Self>) {
        let state = if commit { State::Committed } else { State::Aborted };
        self.go(id, state, ctx);
        if self.transaction(id).round.take().is_some() {
            ctx.cancel_timer(Timer::AnswersDue(id));
        }
        ctx.cancel_timer(Timer::Turn(id));
        if coordinator_of(id.client, self.sites) == self.id {
            ctx.respond(id, state.response());
        }
    }

    /// To a state, durably, before anything is said of it.
    fn go(&mut self, id: TransactionId, state: State, ctx: &mut Context<'_, Self>) {
        let transaction = self.transactions.entry(id).or_insert(Transaction { state, round: None });
        transaction.state = state;
        ctx.append(Record { transaction: id, state });
        ctx.sync();
    }
}

/// What reports and scenarios ask of a site.
impl Site {
    /// Every transaction that it has heard of, and where it is.
    pub fn states(&self) -> impl Iterator<Item = (TransactionId, State)> {
        self.transactions.iter().map(|(id, one)| (*id, one.state))
    }

    /// Where it is in a transaction.
    pub fn state(&self, id: TransactionId) -> Option<State> {
        self.transactions.get(&id).map(|one| one.state)
    }

    fn transaction(&mut self, id: TransactionId) -> &mut Transaction {
        self.transactions.get_mut(&id).expect("it has heard of it")
    }

    fn round(&mut self, id: TransactionId) -> Option<&mut Round> {
        self.transactions.get_mut(&id)?.round.as_mut()
    }

    fn quorum(&self) -> usize {
        self.sites / 2 + 1
    }
}

impl State {
    /// Whether it is final.
    pub fn is_decided(self) -> bool {
        matches!(self, Self::Committed | Self::Aborted)
    }

    fn response(self) -> Response {
        if self == Self::Committed { Response::Committed } else { Response::Aborted }
    }
}

/// Who coordinates the transactions of a client.
pub fn coordinator_of(client: ClientId, sites: usize) -> NodeId {
    NodeId::new((client.index() % sites) as u16)
}
