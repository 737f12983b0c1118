//! The participants (7.4): each keeps a shard, executes under locks, votes once, and asks when it
//! is in doubt.

use super::journal::{Prepared, Record, Writes, install};
use super::locks::{Grant, Locks, Mode};
use super::{Decision, Life, Message, Site, Timer, TransactionId, Vote};
use crate::kv::{Answer, Command, Store, Text};
use seedfall_sim::{Context, NodeId, SortedMap};

/// What a site knows as participant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Participant {
    /// Durable: the committed state.
    store: Store,
    /// Durable: votes of yes that are not decided.
    prepared: SortedMap<TransactionId, Prepared>,
    /// Durable, if it is acknowledged: what was decided after a yes.
    decided: SortedMap<TransactionId, Decision>,
    /// What was refused or let go without a yes in this life, and need not be remembered in the
    /// next: another life votes no.
    settled: SortedMap<TransactionId, Vote>,
    /// What is executed, or waits for a lock.
    active: SortedMap<TransactionId, Active>,
    locks: Locks,
}

/// A transaction without a vote.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Active {
    commands: Vec<Command>,
    /// The locks that it still needs, the next one last.
    wants: Vec<(Text, Mode)>,
    /// What came of it, once it has all locks.
    executed: Option<(Vec<Answer>, Writes)>,
}

/// The work itself.
impl Site {
    pub(super) fn on_execute(
        &mut self,
        transaction: TransactionId,
        commands: Vec<Command>,
        ctx: &mut Context<'_, Self>,
    ) {
        let Participant { prepared, decided, settled, active, .. } = &mut self.participant;
        if prepared.contains_key(&transaction) || decided.contains_key(&transaction) {
            return ctx.ignore("execute: voted on by now");
        }
        if let Some(vote) = settled.get(&transaction) {
            return match vote {
                Vote::No => self.vote(transaction, Vote::No, ctx),
                Vote::Yes | Vote::ReadOnly => ctx.ignore("execute: voted on by now"),
            };
        }
        if active.contains_key(&transaction) {
            return self.report_executed(transaction, ctx);
        }
        let wants = wanted_locks(&commands);
        active.insert(transaction, Active { commands, wants, executed: None });
        ctx.set_timer(Timer::Idle(transaction), self.config.idle_timeout);
        self.lock(transaction, ctx);
    }

    /// Takes the locks one by one, in the order of the keys, then executes. Whoever dies may let
    /// others go on.
    fn lock(&mut self, transaction: TransactionId, ctx: &mut Context<'_, Self>) {
        let Participant { store, active, locks, .. } = &mut self.participant;
        let Some(one) = active.get_mut(&transaction) else { return };
        while let Some((key, mode)) = one.wants.last() {
            match locks.acquire(transaction, key, *mode) {
                Grant::Granted => drop(one.wants.pop()),
                Grant::Waits => return ctx.reach("locks: an older transaction waits"),
                Grant::Dies => {
                    ctx.reach("locks: a younger transaction dies");
                    return self.refuse(transaction, ctx);
                }
            }
        }
        let (answers, writes) = execute(store, &one.commands);
        if answers.iter().any(|answer| matches!(answer, Answer::Cas { swapped: false, .. })) {
            ctx.reach("execute: a condition does not hold");
            return self.refuse(transaction, ctx);
        }
        one.executed = Some((answers, writes));
        self.report_executed(transaction, ctx);
    }

    fn report_executed(&mut self, transaction: TransactionId, ctx: &mut Context<'_, Self>) {
        let Some((answers, _)) = &self.participant.active[&transaction].executed else {
            return ctx.ignore("execute: it waits for a lock");
        };
        let (life, answers) = (self.life, answers.clone());
        let message = Message::Executed { transaction, life, answers };
        self.send(transaction.coordinator, message, ctx);
    }

    /// Gives up the locks; those who waited for them go on.
    fn release(&mut self, transaction: TransactionId, ctx: &mut Context<'_, Self>) {
        for waiter in self.participant.locks.release(transaction) {
            let one = self.participant.active.get_mut(&waiter);
            let one = one.expect("only what is executing waits for locks");
            one.wants.pop();
            self.lock(waiter, ctx);
        }
    }
}

/// The vote.
impl Site {
    /// VOTE-REQ (7.4, step 2).
    pub(super) fn on_prepare(
        &mut self,
        transaction: TransactionId,
        life: Life,
        updaters: Vec<NodeId>,
        ctx: &mut Context<'_, Self>,
    ) {
        if let Some(vote) = self.participant.settled.get(&transaction) {
            return self.vote(transaction, *vote, ctx);
        }
        if self.participant.decided.contains_key(&transaction) {
            return ctx.ignore("prepare: decided by now");
        }
        if self.participant.prepared.contains_key(&transaction) {
            return self.vote(transaction, Vote::Yes, ctx);
        }
        if life != self.life {
            // The locks under which it was executed are gone, and others may have written since.
            ctx.reach("prepare: it was executed in a life before a crash");
            return self.refuse(transaction, ctx);
        }
        let active = self.participant.active.remove(&transaction);
        let active = active.expect("what this life executed is voted on once");
        let (_, writes) = active.executed.expect("it is executed before a vote is asked for");
        ctx.cancel_timer(Timer::Idle(transaction));
        if active.commands.iter().all(Command::is_read) {
            self.participant.settled.insert(transaction, Vote::ReadOnly);
            self.vote(transaction, Vote::ReadOnly, ctx);
            return self.release(transaction, ctx);
        }
        let prepared = Prepared { updaters, writes };
        let Prepared { updaters, writes } = prepared.clone();
        ctx.append(Record::Prepared { transaction, updaters, writes });
        ctx.sync();
        self.participant.prepared.insert(transaction, prepared);
        ctx.set_timer(Timer::InDoubt(transaction), self.config.retry_interval);
        self.vote(transaction, Vote::Yes, ctx);
    }

    fn vote(&mut self, transaction: TransactionId, vote: Vote, ctx: &mut Context<'_, Self>) {
        let life = self.life;
        self.send(transaction.coordinator, Message::Vote { transaction, life, vote }, ctx);
    }

    /// Who has not voted yes may abort at any time (7.3).
    fn refuse(&mut self, transaction: TransactionId, ctx: &mut Context<'_, Self>) {
        self.vote(transaction, Vote::No, ctx);
        self.let_go(transaction, ctx);
    }

    fn let_go(&mut self, transaction: TransactionId, ctx: &mut Context<'_, Self>) {
        assert!(!self.participant.prepared.contains_key(&transaction), "a yes is for ever");
        self.participant.settled.insert(transaction, Vote::No);
        if self.participant.active.remove(&transaction).is_some() {
            ctx.cancel_timer(Timer::Idle(transaction));
            self.release(transaction, ctx);
        }
    }

    /// The coordinator, or its decision, was lost before the vote was asked for.
    pub(super) fn on_idle_timeout(
        &mut self,
        transaction: TransactionId,
        ctx: &mut Context<'_, Self>,
    ) {
        ctx.reach("participant: gave up waiting to be asked for its vote");
        self.refuse(transaction, ctx);
    }
}

/// The decision.
impl Site {
    /// 7.4, step 4: from the coordinator, or from a fellow that knows.
    pub(super) fn on_decision(
        &mut self,
        from: NodeId,
        transaction: TransactionId,
        decision: Decision,
        ctx: &mut Context<'_, Self>,
    ) {
        let is_acknowledged = self.is_acknowledged(decision);
        if let Some(prepared) = self.participant.prepared.remove(&transaction) {
            ctx.append(Record::Decided { transaction, decision });
            if is_acknowledged {
                ctx.sync();
            }
            ctx.cancel_timer(Timer::InDoubt(transaction));
            self.participant.decided.insert(transaction, decision);
            if decision == Decision::Commit {
                install(&mut self.participant.store, prepared.writes);
            }
            if from != transaction.coordinator {
                ctx.reach("termination: a fellow participant told the decision");
            }
            self.release(transaction, ctx);
        } else if self.participant.decided.contains_key(&transaction) {
            ctx.ignore("decision: known");
        } else if decision == Decision::Abort {
            // Never prepared: what it did vanishes, and it may not run again.
            self.let_go(transaction, ctx);
        } else {
            return ctx.ignore("decision: a commit without this site's yes");
        }
        if is_acknowledged && from == transaction.coordinator {
            self.send(from, Message::Acknowledge { transaction }, ctx);
        }
    }

    /// In doubt for too long: ask the coordinator and everybody who may know (7.4, cooperative
    /// termination).
    pub(super) fn on_in_doubt_timeout(
        &mut self,
        transaction: TransactionId,
        ctx: &mut Context<'_, Self>,
    ) {
        for node in self.participant.asks(transaction) {
            if node != self.id || node == transaction.coordinator {
                self.send(node, Message::DecisionRequest { transaction }, ctx);
            }
        }
        ctx.set_timer(Timer::InDoubt(transaction), self.config.retry_interval);
    }

    /// DECISION-REQ from a fellow (7.4): whoever knows tells; whoever has not voted aborts, and the
    /// coordinator will never have its yes; whoever is in doubt too cannot help.
    pub(super) fn on_fellow_request(
        &mut self,
        from: NodeId,
        transaction: TransactionId,
        ctx: &mut Context<'_, Self>,
    ) {
        if self.participant.prepared.contains_key(&transaction) {
            return ctx.ignore("termination: asked while in doubt too");
        }
        let decision = match self.participant.decided.get(&transaction) {
            Some(decision) => *decision,
            None => {
                // The asker has voted, so all had executed: another life will never vote yes, and
                // this one remembers.
                ctx.reach("termination: who had not voted aborted");
                self.let_go(transaction, ctx);
                Decision::Abort
            }
        };
        self.send(from, Message::Decision { transaction, decision }, ctx);
    }

    /// After a crash: whatever was prepared is locked again before anything else is, and in doubt.
    pub(super) fn resume_in_doubt(
        &mut self,
        prepared: SortedMap<TransactionId, Prepared>,
        ctx: &mut Context<'_, Self>,
    ) {
        for (transaction, prepared) in prepared {
            ctx.reach("recovery: a participant comes back in doubt");
            for (key, _) in &prepared.writes {
                let grant = self.participant.locks.acquire(transaction, key, Mode::Exclusive);
                assert_eq!(grant, Grant::Granted, "prepared transactions had their locks");
            }
            self.participant.prepared.insert(transaction, prepared);
            self.on_in_doubt_timeout(transaction, ctx);
        }
    }
}

impl Participant {
    pub(super) fn new(store: Store, decided: SortedMap<TransactionId, Decision>) -> Self {
        Self {
            store,
            prepared: SortedMap::new(),
            decided,
            settled: SortedMap::new(),
            active: SortedMap::new(),
            locks: Locks::default(),
        }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn votes(&self) -> impl Iterator<Item = (TransactionId, Vote)> {
        let yes = self.prepared.keys().chain(self.decided.keys());
        let others = self.settled.iter().map(|(transaction, vote)| (*transaction, *vote));
        yes.map(|transaction| (*transaction, Vote::Yes)).chain(others)
    }

    pub(super) fn decisions(&self) -> impl Iterator<Item = (TransactionId, Decision)> {
        self.decided.iter().map(|(transaction, decision)| (*transaction, *decision))
    }

    pub(super) fn in_doubt(&self) -> impl Iterator<Item = TransactionId> {
        self.prepared.keys().copied()
    }

    /// What it has executed, and not voted on, with what came of it.
    pub(super) fn executed(&self) -> impl Iterator<Item = (TransactionId, &[Answer])> {
        self.active.iter().filter_map(|(transaction, active)| {
            let (answers, _) = active.executed.as_ref()?;
            Some((*transaction, answers.as_slice()))
        })
    }

    pub(super) fn locks(&self) -> &Locks {
        &self.locks
    }

    /// What it will write if it is told to, by transaction and key.
    pub(super) fn promised(&self) -> impl Iterator<Item = (TransactionId, &Text)> {
        self.prepared.iter().flat_map(|(transaction, one)| {
            one.writes.iter().map(move |(key, _)| (*transaction, key))
        })
    }

    /// Whom it asks how a transaction ended about which it is in doubt: all that may know.
    pub(super) fn asks(&self, transaction: TransactionId) -> Vec<NodeId> {
        let prepared = self.prepared.get(&transaction);
        let mut ask = prepared.map(|prepared| prepared.updaters.clone()).unwrap_or_default();
        if !ask.contains(&transaction.coordinator) {
            ask.push(transaction.coordinator);
        }
        ask
    }

    pub(super) fn active(&self) -> usize {
        self.active.len()
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.active.is_empty() && self.prepared.is_empty() && self.locks.is_empty()
    }
}

/// The strongest lock that the commands need on each key; the first key last.
fn wanted_locks(commands: &[Command]) -> Vec<(Text, Mode)> {
    let mut wants: SortedMap<Text, Mode> = SortedMap::new();
    for command in commands {
        let mode = if command.is_read() { Mode::Shared } else { Mode::Exclusive };
        let strongest = wants.entry(command.key().clone()).or_insert(mode);
        *strongest = mode.max(*strongest);
    }
    wants.into_iter().rev().collect()
}

/// What the commands answer, each seeing those before it, and what the keys hold after them.
fn execute(store: &Store, commands: &[Command]) -> (Vec<Answer>, Writes) {
    let mut scratch = Store::default();
    for command in commands {
        if let Some(value) = store.get(command.key()) {
            let (key, value) = (command.key().clone(), value.clone());
            scratch.apply(&Command::Put { key, value });
        }
    }
    let answers = commands.iter().map(|command| scratch.apply(command)).collect();
    let changed = commands.iter().filter(|command| !command.is_read());
    let mut keys: Vec<&Text> = changed.map(Command::key).collect();
    keys.sort_unstable();
    keys.dedup();
    let writes = keys.into_iter().map(|key| (key.clone(), scratch.get(key).cloned()));
    (answers, writes.collect())
}
