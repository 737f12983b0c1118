//! 4.2: requests get numbers, in three phases, and are executed in their order.

use super::statements::{Ask, Certificate, Message, PrePrepare, Prepare, Proposal, Record};
use super::{Digest, Replica, Response, Seq, Slot, Timer, View, digest};
use seedfall_sim::{Context, NodeId, Signed};

impl Replica {
    /// A request, from its client or from who was asked.
    pub(super) fn take(&mut self, ask: Ask, ctx: &mut Context<'_, Self>) {
        let client = ask.id.client;
        if self.machine.has_executed(ask.id) {
            if let Some(answer) = self.machine.answer(ask.id) {
                ctx.respond(ask.id, Response(answer.clone()));
            }
            return ctx.ignore("request: executed before");
        }
        if self.pending.get(&client).is_some_and(|other| ask.id.number < other.id.number) {
            return ctx.ignore("request: its client has gone on");
        }
        self.wait_for(ask.clone(), ctx);
        if self.active && self.is_primary() {
            self.assign(ask, ctx);
        }
    }

    /// 4.4: a replica that waits for a request is patient only for so long.
    fn wait_for(&mut self, ask: Ask, ctx: &mut Context<'_, Self>) {
        if self.pending.is_empty() && self.active {
            ctx.set_timer(Timer::Patience, self.patience());
            ctx.set_timer(Timer::Tick, self.config.tick);
        }
        self.pending.insert(ask.id.client, ask);
    }

    /// Phase 1, the primary: gives a request the next number, unless it has one, or the window is
    /// full.
    fn assign(&mut self, ask: Ask, ctx: &mut Context<'_, Self>) {
        let mut proposed = self.log.values().filter_map(|slot| slot.accepted.as_ref());
        if proposed.any(|proposal| proposal.ask.as_ref() == Some(&ask)) {
            return ctx.ignore("request: it has a number");
        }
        let used = self.log.iter().rev().find(|(_, slot)| slot.accepted.is_some());
        let seq = used.map_or(self.stable.seq, |(seq, _)| *seq).max(self.goal) + 1;
        if !self.is_in_window(seq) {
            return ctx.reach("request: the window is full");
        }
        let ask = Some(ask);
        let said = PrePrepare { view: self.view, seq, digest: digest(&ask) };
        let proposal = Proposal { pre: ctx.sign(said), ask };
        ctx.append(Record::Accepted(proposal.clone()));
        ctx.sync();
        ctx.broadcast(Message::PrePrepare(proposal.clone()));
        self.log.entry(seq).or_default().accepted = Some(proposal);
        self.check_prepared(seq, ctx);
    }

    /// The primary: gives numbers to all that waits.
    pub(super) fn assign_all(&mut self, ctx: &mut Context<'_, Self>) {
        if self.active && self.is_primary() {
            for ask in self.pending.values().cloned().collect::<Vec<_>>() {
                self.assign(ask, ctx);
            }
        }
    }

    /// Phase 1, a backup: accepts what the primary proposes, if it has accepted nothing else.
    pub(super) fn on_pre_prepare(&mut self, proposal: Proposal, ctx: &mut Context<'_, Self>) {
        let PrePrepare { view, seq, .. } = *proposal.pre.value();
        if view != self.view || !self.active {
            return ctx.ignore("pre-prepare: of another view");
        }
        if !self.is_in_window(seq) {
            return ctx.ignore("pre-prepare: outside of the window");
        }
        if !self.is_proposal(&proposal) || self.is_primary() {
            return ctx.ignore("pre-prepare: not the primary's");
        }
        let slot = self.log.entry(seq).or_default();
        if let Some(other) = &slot.accepted {
            return match other.pre.value().digest == proposal.pre.value().digest {
                true => ctx.ignore("pre-prepare: accepted before"),
                false => ctx.reach("pre-prepare: the primary says two things"),
            };
        }
        ctx.append(Record::Accepted(proposal.clone()));
        ctx.sync();
        slot.accepted = Some(proposal);
        self.agree(seq, ctx);
    }

    /// Phase 2, a backup: agrees to what it has accepted.
    pub(super) fn agree(&mut self, seq: Seq, ctx: &mut Context<'_, Self>) {
        let proposal = self.log[&seq].accepted.clone().expect("the caller accepted it");
        let PrePrepare { view, seq, digest } = *proposal.pre.value();
        let prepare = ctx.sign(Prepare { view, seq, digest });
        ctx.broadcast(Message::Prepare(prepare));
        self.log.entry(seq).or_default().prepares.insert(self.id, prepare);
        if let Some(ask) = proposal.ask.filter(|ask| !self.is_known(ask)) {
            self.wait_for(ask, ctx);
        }
        self.arm_tick(ctx);
        self.check_prepared(seq, ctx);
    }

    /// Whether it has executed a request, or waits for it or a later one of its client.
    fn is_known(&self, ask: &Ask) -> bool {
        let waits = self.pending.get(&ask.id.client);
        self.machine.has_executed(ask.id)
            || waits.is_some_and(|other| ask.id.number <= other.id.number)
    }

    /// Phase 2: a backup agrees. It may do so before the proposal is here.
    pub(super) fn on_prepare(&mut self, prepare: Signed<Prepare>, ctx: &mut Context<'_, Self>) {
        let Prepare { view, seq, .. } = *prepare.value();
        if view < self.view || !self.is_in_window(seq) {
            return ctx.ignore("prepare: of an older view, or outside of the window");
        }
        let prepares = &mut self.log.entry(seq).or_default().prepares;
        if prepares.get(&prepare.by()).is_some_and(|other| view <= other.value().view) {
            return ctx.ignore("prepare: this replica has prepared before");
        }
        prepares.insert(prepare.by(), prepare);
        self.check_prepared(seq, ctx);
    }

    /// The predicate *prepared*: the proposal and `2f` prepares of backups that match.
    pub(super) fn check_prepared(&mut self, seq: Seq, ctx: &mut Context<'_, Self>) {
        let primary = self.primary(self.view);
        let Some(slot) = self.log.get_mut(&seq) else { return };
        let Some(proposal) = slot.accepted.clone().filter(|_| self.active) else { return };
        let PrePrepare { view, seq, digest } = *proposal.pre.value();
        let before = slot.certificate.as_ref().map(|one| one.proposal.pre.value().view);
        if before == Some(view) {
            return;
        }
        let expected = Prepare { view, seq, digest };
        let matches =
            |prepare: &&Signed<Prepare>| *prepare.value() == expected && prepare.by() != primary;
        let prepares: Vec<_> = slot.prepares.values().filter(matches).copied().collect();
        if prepares.len() < 2 * self.config.faulty {
            return;
        }
        let certificate = Certificate { proposal, prepares };
        assert!(before < Some(view), "certificates come in the order of their views");
        ctx.append(Record::Prepared(certificate.clone()));
        ctx.sync();
        slot.certificate = Some(certificate);
        slot.commits.insert(self.id, (view, digest));
        ctx.broadcast(Message::Commit { view, seq, digest });
        self.check_committed(seq, ctx);
    }

    /// Phase 3: a replica has prepared.
    pub(super) fn on_commit(
        &mut self,
        from: NodeId,
        view: View,
        seq: Seq,
        digest: Digest,
        ctx: &mut Context<'_, Self>,
    ) {
        if view < self.view || !self.is_in_window(seq) {
            return ctx.ignore("commit: of an older view, or outside of the window");
        }
        let commits = &mut self.log.entry(seq).or_default().commits;
        if commits.get(&from).is_some_and(|other| view <= other.0) {
            return ctx.ignore("commit: this replica has committed before");
        }
        commits.insert(from, (view, digest));
        self.check_committed(seq, ctx);
    }

    /// The predicate *committed-local*: prepared here, and by `2f + 1` replicas.
    fn check_committed(&mut self, seq: Seq, ctx: &mut Context<'_, Self>) {
        let (quorum, view) = (self.quorum(), self.view);
        let Some(slot) = self.log.get_mut(&seq).filter(|slot| slot.decided.is_none()) else {
            return;
        };
        let Some(certificate) = &slot.certificate else { return };
        let said = certificate.proposal.pre.value();
        let matching = slot.commits.values().filter(|one| **one == (said.view, said.digest));
        if said.view != view || matching.count() < quorum {
            return;
        }
        slot.decided = Some(certificate.proposal.ask.clone());
        ctx.append(Record::Decided(seq)); // Not forced: it can be learned again.
        self.execute(ctx);
    }

    /// Executes what is committed, in the order of the numbers.
    pub(super) fn execute(&mut self, ctx: &mut Context<'_, Self>) {
        let before = self.executed;
        while let Some(ask) =
            self.log.get(&(self.executed + 1)).and_then(|slot| slot.decided.clone())
        {
            self.executed += 1;
            match ask {
                Some(ask) => self.apply(&ask, ctx),
                None => ctx.reach("execute: a null request"),
            }
            if self.executed.is_multiple_of(self.config.checkpoint_every) {
                self.vote(ctx);
            }
        }
        if before < self.executed {
            self.vain = 0;
            self.be_patient(ctx);
        }
    }

    fn apply(&mut self, ask: &Ask, ctx: &mut Context<'_, Self>) {
        let client = ask.id.client;
        if self.pending.get(&client).is_some_and(|other| other.id.number <= ask.id.number) {
            self.pending.remove(&client);
        }
        match self.machine.execute(ask) {
            Some(answer) => ctx.respond(ask.id, Response(answer)),
            None => ctx.reach("execute: a request that was executed before"),
        }
    }

    /// Waits anew, if there is something to wait for.
    pub(super) fn be_patient(&self, ctx: &mut Context<'_, Self>) {
        if !self.active {
            return;
        }
        match self.pending.is_empty() {
            true => ctx.cancel_timer(Timer::Patience),
            false => ctx.set_timer(Timer::Patience, self.patience()),
        }
    }

    /// What it keeps of a number.
    pub(super) fn slot(&mut self, seq: Seq) -> &mut Slot {
        self.log.entry(seq).or_default()
    }
}
