//! The coordinator (7.4; R\* sections 2 and 3): runs a transaction, collects the votes, decides,
//! and tells.

use super::journal::{Notice, Record};
use super::{Decision, Life, Message, Presumption, Timer, TransactionId, Vote};
use super::{Request, Response, Site, coordinator_of, shard_of};
use crate::kv;
use seedfall_sim::{ClientId, Context, NodeId, RequestId, SortedMap, SortedSet};

/// What a site knows as coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Coordinator {
    /// How many transactions it has begun in this life.
    begun: u32,
    /// The latest request of each client: durable as soon as it is answered.
    pub(super) sessions: SortedMap<ClientId, Session>,
    /// Transactions that are not decided; a crash aborts them.
    undecided: SortedMap<TransactionId, Undecided>,
    /// Decisions that are not acknowledged: durable, as the presumption has it.
    notices: SortedMap<TransactionId, Notice>,
}

/// The latest request of a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    /// Its number.
    pub sequence: u64,
    /// The transaction that it became, or the last of them, if crashes aborted others.
    pub transaction: TransactionId,
    /// Who had something to write, if it is committed or was coordinated in this life.
    pub updaters: Vec<NodeId>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It is not decided.
    UnderWay,
    /// Committed; an answer for each command.
    Committed(Vec<kv::Answer>),
    /// Aborted, and why.
    Aborted(Reason),
}

/// Why a coordinator aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// This participant voted no.
    Refused(NodeId),
    /// Not everybody answered in time.
    NoAnswer,
    /// It was in an earlier life, and the reason is forgotten.
    Recovered,
}

/// A transaction that is not decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Undecided {
    request: RequestId,
    sequence: u64,
    /// How many commands it has in all.
    commands: usize,
    shares: SortedMap<NodeId, Share>,
    phase: Phase,
    /// How often it asked in this phase.
    asked: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Executing,
    Voting,
}

/// What one participant does in a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Share {
    /// Its commands, each with its place in the request.
    commands: Vec<(usize, kv::Command)>,
    /// What they answered, in which life.
    executed: Option<(Life, Vec<kv::Answer>)>,
    vote: Option<Vote>,
}

impl Coordinator {
    /// Whom each transaction that is not decided waits for.
    pub(super) fn waits(&self) -> impl Iterator<Item = String> {
        self.undecided.iter().map(|(transaction, one)| {
            let lacks = |share: &Share| match one.phase {
                Phase::Executing => share.executed.is_none(),
                Phase::Voting => share.vote.is_none(),
            };
            let sites = one.shares.iter().filter(|(_, share)| lacks(share));
            let sites: Vec<String> = sites.map(|(site, _)| site.to_string()).collect();
            format!("{transaction} is {:?}: for {}", one.phase, sites.join(", "))
        })
    }
}

/// Phase zero: the work itself.
impl Site {
    /// A client asks: cut the work into shares and have them executed.
    pub(super) fn on_transaction(
        &mut self,
        request: RequestId,
        body: Request,
        ctx: &mut Context<'_, Self>,
    ) {
        let Request { sequence, commands } = body;
        let coordinator = coordinator_of(request.client, sequence, self.sites);
        if coordinator != self.id {
            return ctx.respond(request, Response::Elsewhere { coordinator });
        }
        if let Some(session) = self.coordinator.sessions.get(&request.client) {
            if sequence < session.sequence {
                return ctx.ignore("request: older than its session's latest");
            }
            if sequence == session.sequence {
                let Some(response) = session.outcome.response() else {
                    return ctx.ignore("request: under way");
                };
                ctx.reach("request: a retry was answered without a second run");
                return ctx.respond(request, response);
            }
        }
        self.coordinator.begun += 1;
        let number = self.coordinator.begun;
        let transaction = TransactionId { number, life: self.life, coordinator: self.id };
        let undecided = Undecided::new(request, sequence, commands, self.sites);
        let (updaters, outcome) = (undecided.updaters(), Outcome::UnderWay);
        let session = Session { sequence, transaction, updaters, outcome };
        self.coordinator.sessions.insert(request.client, session);
        self.coordinator.undecided.insert(transaction, undecided);
        self.ask(transaction, ctx);
        self.advance(transaction, ctx);
    }

    /// A participant has executed its share.
    pub(super) fn on_executed(
        &mut self,
        from: NodeId,
        transaction: TransactionId,
        life: Life,
        answers: Vec<kv::Answer>,
        ctx: &mut Context<'_, Self>,
    ) {
        let undecided = self.coordinator.undecided.get_mut(&transaction);
        let Some(share) = undecided.and_then(|undecided| undecided.shares.get_mut(&from)) else {
            return ctx.ignore("executed: decided by now");
        };
        if share.executed.is_some() {
            // Perhaps by another life, whose locks are other locks: what was read first counts, and
            // that life will be asked to vote.
            return ctx.ignore("executed: known");
        }
        assert_eq!(answers.len(), share.commands.len(), "an answer for each command");
        share.executed = Some((life, answers));
        self.advance(transaction, ctx);
    }
}

/// Phase one, and the decision.
impl Site {
    /// Goes on once nobody's answer is missing.
    fn advance(&mut self, transaction: TransactionId, ctx: &mut Context<'_, Self>) {
        let undecided = &self.coordinator.undecided[&transaction];
        if !undecided.waits_for().is_empty() {
            return;
        }
        match undecided.phase {
            Phase::Executing => self.ask_for_votes(transaction, ctx),
            Phase::Voting => self.commit(transaction, ctx),
        }
    }

    /// 7.4, step 1: VOTE-REQ to all. Every lock of the transaction is held now, so this is the
    /// moment at which it takes effect, if it does.
    fn ask_for_votes(&mut self, transaction: TransactionId, ctx: &mut Context<'_, Self>) {
        let undecided = self.undecided_mut(transaction);
        undecided.phase = Phase::Voting;
        undecided.asked = 0;
        let updaters = undecided.updaters();
        if self.config.presumption == Presumption::Commit && !updaters.is_empty() {
            ctx.append(Record::Collecting { transaction, updaters });
            ctx.sync();
        }
        self.ask(transaction, ctx);
        self.advance(transaction, ctx);
    }

    /// 7.4, step 3: one no is enough to abort; the last yes commits.
    pub(super) fn on_vote(
        &mut self,
        from: NodeId,
        transaction: TransactionId,
        life: Life,
        vote: Vote,
        ctx: &mut Context<'_, Self>,
    ) {
        let undecided = self.coordinator.undecided.get_mut(&transaction);
        let Some(share) = undecided.and_then(|undecided| undecided.shares.get_mut(&from)) else {
            return ctx.ignore("vote: decided by now");
        };
        // It refused, crashed, was asked again, and executed: perhaps it has voted yes meanwhile,
        // and would have to be told of an abort.
        if share.executed.as_ref().is_some_and(|(executed, _)| life < *executed) {
            ctx.reach("vote: refused in a life before the one that executed");
            return;
        }
        share.vote = Some(vote);
        match vote {
            Vote::No => self.abort(transaction, Reason::Refused(from), ctx),
            Vote::Yes | Vote::ReadOnly => self.advance(transaction, ctx),
        }
    }

    /// Everybody voted yes, or only read.
    fn commit(&mut self, transaction: TransactionId, ctx: &mut Context<'_, Self>) {
        let undecided = self.forget_undecided(transaction, ctx);
        let (request, sequence) = (undecided.request, undecided.sequence);
        let (updaters, answers) = (undecided.updaters(), undecided.answers());
        if updaters.is_empty() {
            ctx.reach("commit: everybody only read, and nothing was written down");
        } else {
            let (client, updaters, answers) = (request.client, updaters.clone(), answers.clone());
            ctx.append(Record::Committed { transaction, updaters, client, sequence, answers });
            ctx.sync();
        }
        self.conclude(request, transaction, Outcome::Committed(answers), ctx);
        self.tell(transaction, Decision::Commit, &updaters, ctx);
        if self.config.presumption == Presumption::Abort && !updaters.is_empty() {
            self.expect_acknowledgements(transaction, Decision::Commit, updaters, ctx);
        }
    }

    fn abort(&mut self, transaction: TransactionId, reason: Reason, ctx: &mut Context<'_, Self>) {
        let undecided = self.forget_undecided(transaction, ctx);
        let undone = undecided.shares.iter().filter(|(_, share)| share.may_hold_locks());
        let undone: Vec<NodeId> = undone.map(|(node, _)| *node).collect();
        self.tell(transaction, Decision::Abort, &undone, ctx);
        let updaters = undecided.updaters();
        let collecting = undecided.phase == Phase::Voting && !updaters.is_empty();
        if self.config.presumption == Presumption::Commit && collecting {
            let missing = updaters.into_iter().filter(|node| undone.contains(node)).collect();
            self.expect_acknowledgements(transaction, Decision::Abort, missing, ctx);
        }
        let Undecided { request, sequence, .. } = undecided;
        // Nobody needs this but a client that asks again: R* notes it without waiting, or not at
        // all.
        ctx.append(Record::Aborted { transaction, client: request.client, sequence });
        ctx.sync();
        self.conclude(request, transaction, Outcome::Aborted(reason), ctx);
    }

    /// The client is told, and the session remembers.
    fn conclude(
        &mut self,
        request: RequestId,
        transaction: TransactionId,
        outcome: Outcome,
        ctx: &mut Context<'_, Self>,
    ) {
        let response = outcome.response().expect("it is decided");
        ctx.respond(request, response);
        let session = self.coordinator.sessions.get_mut(&request.client);
        // The client may have given up and gone on to a later request.
        if let Some(session) = session.filter(|session| session.transaction == transaction) {
            session.outcome = outcome;
        }
    }
}

/// Phase two: everybody is told, and told again.
impl Site {
    fn tell(
        &mut self,
        transaction: TransactionId,
        decision: Decision,
        to: &[NodeId],
        ctx: &mut Context<'_, Self>,
    ) {
        for node in to {
            self.send(*node, Message::Decision { transaction, decision }, ctx);
        }
    }

    fn expect_acknowledgements(
        &mut self,
        transaction: TransactionId,
        decision: Decision,
        from: Vec<NodeId>,
        ctx: &mut Context<'_, Self>,
    ) {
        let missing: SortedSet<NodeId> = from.into_iter().collect();
        self.coordinator.notices.insert(transaction, Notice { decision, missing });
        ctx.set_timer(Timer::Progress(transaction), self.config.retry_interval);
        self.end_if_acknowledged(transaction, ctx);
    }

    pub(super) fn on_acknowledge(
        &mut self,
        from: NodeId,
        transaction: TransactionId,
        ctx: &mut Context<'_, Self>,
    ) {
        let Some(notice) = self.coordinator.notices.get_mut(&transaction) else {
            return ctx.ignore("acknowledgement: all are in");
        };
        notice.missing.remove(&from);
        self.end_if_acknowledged(transaction, ctx);
    }

    /// Nobody will ask any more: forget.
    fn end_if_acknowledged(&mut self, transaction: TransactionId, ctx: &mut Context<'_, Self>) {
        if self.coordinator.notices[&transaction].missing.is_empty() {
            self.coordinator.notices.remove(&transaction);
            ctx.cancel_timer(Timer::Progress(transaction));
            ctx.append(Record::Ended { transaction });
        }
    }

    /// DECISION-REQ, as coordinator (7.4; R\* on presumptions).
    pub(super) fn on_decision_request(
        &mut self,
        from: NodeId,
        transaction: TransactionId,
        ctx: &mut Context<'_, Self>,
    ) {
        if self.coordinator.undecided.contains_key(&transaction) {
            return ctx.ignore("decision request: not decided yet");
        }
        if transaction.life < self.life {
            ctx.reach("in doubt across a crash of the coordinator");
        }
        let decision = match self.coordinator.notices.get(&transaction) {
            Some(notice) => notice.decision,
            None => match self.config.presumption {
                Presumption::Abort => {
                    ctx.reach("no information: presumed aborted");
                    Decision::Abort
                }
                Presumption::Commit => {
                    ctx.reach("no information: presumed committed");
                    Decision::Commit
                }
            },
        };
        self.send(from, Message::Decision { transaction, decision }, ctx);
    }
}

/// Timeouts and recovery.
impl Site {
    /// 7.4: a coordinator that waits in vain for a vote may abort; one that has decided may not.
    pub(super) fn on_progress_timeout(
        &mut self,
        transaction: TransactionId,
        ctx: &mut Context<'_, Self>,
    ) {
        if let Some(notice) = self.coordinator.notices.get(&transaction) {
            let (decision, missing) = (notice.decision, Vec::from_iter(notice.missing.clone()));
            ctx.set_timer(Timer::Progress(transaction), self.config.retry_interval);
            return self.tell(transaction, decision, &missing, ctx);
        }
        let asked = self.undecided_mut(transaction).asked;
        if asked < self.config.attempts {
            return self.ask(transaction, ctx);
        }
        ctx.reach("coordinator: not all answered in time");
        self.abort(transaction, Reason::NoAnswer, ctx);
    }

    /// Asks everybody whose answer is missing, for the first time or again.
    fn ask(&mut self, transaction: TransactionId, ctx: &mut Context<'_, Self>) {
        let retry_interval = self.config.retry_interval;
        let undecided = self.undecided_mut(transaction);
        undecided.asked += 1;
        let missing = undecided.waits_for();
        let messages =
            missing.into_iter().map(|node| (node, undecided.question(node, transaction)));
        for (node, message) in Vec::from_iter(messages) {
            self.send(node, message, ctx);
        }
        ctx.set_timer(Timer::Progress(transaction), retry_interval);
    }

    /// After a crash: what had to be told is told again.
    pub(super) fn resume_notices(
        &mut self,
        notices: SortedMap<TransactionId, Notice>,
        ctx: &mut Context<'_, Self>,
    ) {
        for (transaction, Notice { decision, missing }) in notices {
            ctx.reach(match decision {
                Decision::Commit => "recovery: a commit is told again",
                Decision::Abort => "recovery: what was being voted on is aborted",
            });
            let missing = Vec::from_iter(missing);
            self.tell(transaction, decision, &missing, ctx);
            self.expect_acknowledgements(transaction, decision, missing, ctx);
        }
    }

    fn undecided_mut(&mut self, transaction: TransactionId) -> &mut Undecided {
        self.coordinator.undecided.get_mut(&transaction).expect("it is not decided")
    }

    fn forget_undecided(
        &mut self,
        transaction: TransactionId,
        ctx: &mut Context<'_, Self>,
    ) -> Undecided {
        ctx.cancel_timer(Timer::Progress(transaction));
        self.coordinator.undecided.remove(&transaction).expect("it is decided once")
    }
}

impl Coordinator {
    pub(super) fn new(sessions: SortedMap<ClientId, Session>) -> Self {
        Self { begun: 0, sessions, undecided: SortedMap::new(), notices: SortedMap::new() }
    }

    pub(super) fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values()
    }

    pub(super) fn notices(&self) -> impl Iterator<Item = (TransactionId, Decision)> {
        self.notices.iter().map(|(transaction, notice)| (*transaction, notice.decision))
    }

    /// What it takes for executed, by transaction, site and life, of what is not decided.
    pub(super) fn executed(
        &self,
    ) -> impl Iterator<Item = (TransactionId, NodeId, Life, &[kv::Answer])> {
        self.undecided.iter().flat_map(|(transaction, undecided)| {
            undecided.shares.iter().filter_map(|(node, share)| {
                let (life, answers) = share.executed.as_ref()?;
                Some((*transaction, *node, *life, answers.as_slice()))
            })
        })
    }

    pub(super) fn under_way(&self) -> usize {
        self.undecided.len()
    }

    pub(super) fn is_asking_for_votes(&self) -> bool {
        self.undecided.values().any(|undecided| undecided.phase == Phase::Voting)
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.undecided.is_empty() && self.notices.is_empty()
    }
}

impl Outcome {
    /// What the client is told, once there is something to tell.
    fn response(&self) -> Option<Response> {
        match self {
            Self::UnderWay => None,
            Self::Committed(answers) => Some(Response::Committed(answers.clone())),
            Self::Aborted(_) => Some(Response::Aborted),
        }
    }
}

impl Undecided {
    fn new(request: RequestId, sequence: u64, commands: Vec<kv::Command>, sites: usize) -> Self {
        let count = commands.len();
        let mut shares: SortedMap<NodeId, Share> = SortedMap::new();
        for (place, command) in commands.into_iter().enumerate() {
            let share = shares.entry(shard_of(command.key(), sites)).or_default();
            share.commands.push((place, command));
        }
        Self { request, sequence, commands: count, shares, phase: Phase::Executing, asked: 0 }
    }

    /// Who has something to write.
    fn updaters(&self) -> Vec<NodeId> {
        let updates = |share: &Share| share.commands.iter().any(|(_, command)| !command.is_read());
        let updaters = self.shares.iter().filter(|(_, share)| updates(share));
        updaters.map(|(node, _)| *node).collect()
    }

    /// Whose answer is missing in this phase.
    fn waits_for(&self) -> Vec<NodeId> {
        let missing = self.shares.iter().filter(|(_, share)| match self.phase {
            Phase::Executing => share.executed.is_none(),
            Phase::Voting => share.vote.is_none(),
        });
        missing.map(|(node, _)| *node).collect()
    }

    /// What a participant is asked in this phase.
    fn question(&self, node: NodeId, transaction: TransactionId) -> Message {
        let Share { commands, executed, .. } = &self.shares[&node];
        match (self.phase, executed) {
            (Phase::Voting, Some((life, _))) => {
                Message::Prepare { transaction, life: *life, updaters: self.updaters() }
            }
            _ => {
                let commands = commands.iter().map(|(_, command)| command.clone()).collect();
                Message::Execute { transaction, commands }
            }
        }
    }

    /// What the commands answered, in the order of the request.
    fn answers(&self) -> Vec<kv::Answer> {
        let mut answers = vec![kv::Answer::Done; self.commands];
        for share in self.shares.values() {
            let (_, executed) =
                share.executed.as_ref().expect("it is executed before it is decided");
            for ((place, _), answer) in share.commands.iter().zip(executed) {
                answers[*place] = answer.clone();
            }
        }
        answers
    }
}

impl Share {
    fn may_hold_locks(&self) -> bool {
        !matches!(self.vote, Some(Vote::No | Vote::ReadOnly))
    }
}
