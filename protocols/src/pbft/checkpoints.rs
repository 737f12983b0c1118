//! 4.3: checkpoints, and what they make superfluous; and what a replica is sent that lacks
//! something.

use super::statements::{Message, Record, Stable, Vote};
use super::{Replica, Seq, Timer, View};
use seedfall_sim::{Context, NodeId, Signed, SortedMap, StableHasher};

impl Replica {
    /// Takes a checkpoint, and tells all.
    pub(super) fn vote(&mut self, ctx: &mut Context<'_, Self>) {
        let seq = self.executed;
        if seq <= self.stable.seq {
            return;
        }
        self.snapshots.insert(seq, self.machine.clone());
        let vote = ctx.sign(Vote { seq, digest: StableHasher::hash(&self.machine) });
        ctx.broadcast(Message::Checkpoint(vote));
        self.votes.entry(seq).or_default().insert(self.id, vote);
        self.check_stable(seq, ctx);
    }

    /// Somebody has taken one.
    pub(super) fn on_checkpoint(&mut self, vote: Signed<Vote>, ctx: &mut Context<'_, Self>) {
        let seq = vote.value().seq;
        if seq <= self.stable.seq {
            return ctx.ignore("checkpoint: no newer than the stable one");
        }
        let votes = self.votes.entry(seq).or_default();
        if votes.insert(vote.by(), vote) == Some(vote) {
            return ctx.ignore("checkpoint: said before");
        }
        self.check_stable(seq, ctx);
    }

    /// A checkpoint is stable once a quorum has it.
    fn check_stable(&mut self, seq: Seq, ctx: &mut Context<'_, Self>) {
        let mut agree: SortedMap<u64, Vec<Signed<Vote>>> = SortedMap::new();
        for vote in self.votes[&seq].values() {
            agree.entry(vote.value().digest).or_default().push(*vote);
        }
        let Some(proof) = agree.into_values().find(|votes| self.quorum() <= votes.len()) else {
            return;
        };
        let digest = proof[0].value().digest;
        let own = self.snapshots.get(&seq);
        if let Some(machine) = own.filter(|machine| StableHasher::hash(machine) == digest).cloned()
        {
            return self.stabilise(Stable { seq, proof, machine }, ctx);
        }
        if self.executed < seq && self.goal < seq {
            ctx.reach("checkpoint: the others are ahead");
            self.goal = seq;
            ctx.set_timer(Timer::Tick, self.config.tick);
        }
    }

    /// The state of others, with its proof.
    pub(super) fn on_state(&mut self, stable: Stable, ctx: &mut Context<'_, Self>) {
        if stable.seq <= self.stable.seq {
            return ctx.ignore("state: no newer than the stable checkpoint");
        }
        if !self.is_sound(&stable) {
            return ctx.reach("state: not what its proof is about");
        }
        if self.executed < stable.seq {
            ctx.reach("state: it leaps over what it has not executed");
        }
        self.stabilise(stable, ctx);
    }

    /// Cuts the log: what comes before a stable checkpoint is needed by nobody.
    fn stabilise(&mut self, stable: Stable, ctx: &mut Context<'_, Self>) {
        ctx.append(Record::Stable(stable.clone()));
        ctx.sync();
        self.adopt(stable);
        let machine = &self.machine;
        self.pending.retain(|_, ask| !machine.has_executed(ask.id));
        self.be_patient(ctx);
        self.execute(ctx);
        self.assign_all(ctx);
    }

    /// Takes over a stable checkpoint, and forgets what comes before.
    pub(super) fn adopt(&mut self, stable: Stable) {
        let seq = stable.seq;
        if self.executed < seq {
            self.executed = seq;
            self.machine = stable.machine.clone();
        }
        self.stable = stable;
        self.log.retain(|other, _| seq < *other);
        self.votes.retain(|other, _| seq < *other);
        self.snapshots.retain(|other, _| seq < *other);
    }

    /// It still waits: says how far it is.
    pub(super) fn on_tick(&mut self, ctx: &mut Context<'_, Self>) {
        let Self { view, active, executed, .. } = *self;
        let stable = self.stable.seq;
        ctx.broadcast(Message::Status { view, active, stable, executed });
        if let Some(change) = self.changes.get(&self.id).filter(|_| !active) {
            ctx.broadcast(Message::ViewChange(change.clone()));
        }
        self.arm_tick(ctx);
    }

    /// Sends a replica what it lacks.
    pub(super) fn on_status(
        &mut self,
        from: NodeId,
        (view, active): (View, bool),
        (stable, executed): (Seq, Seq),
        ctx: &mut Context<'_, Self>,
    ) {
        let lacks_view = view < self.view || (view == self.view && !active);
        if lacks_view && self.active {
            if let Some(new_view) = self.new_view.clone() {
                ctx.send(from, Message::NewView(new_view));
            }
        } else if view < self.view
            && let Some(change) = self.changes.get(&self.id)
        {
            ctx.send(from, Message::ViewChange(change.clone()));
        }
        if executed < self.stable.seq {
            ctx.send(from, Message::State(self.stable.clone()));
        } else if stable < self.stable.seq {
            // It has been there, and lacks the proof.
            for vote in &self.stable.proof {
                ctx.send(from, Message::Checkpoint(*vote));
            }
        }
        let own = |votes: &SortedMap<NodeId, Signed<Vote>>| votes.get(&self.id).copied();
        for vote in self.votes.range(stable + 1..).filter_map(|(_, votes)| own(votes)) {
            ctx.send(from, Message::Checkpoint(vote));
        }
        if view == self.view && active && self.active {
            self.send_slots(from, executed, ctx);
        }
    }

    /// What it said in this view about the numbers after one.
    fn send_slots(&self, to: NodeId, after: Seq, ctx: &mut Context<'_, Self>) {
        for (seq, slot) in self.log.range(after + 1..) {
            if let Some(proposal) = slot.accepted.as_ref().filter(|_| self.primary(self.view) != to)
            {
                ctx.send(to, Message::PrePrepare(proposal.clone()));
            }
            let prepare = slot.prepares.get(&self.id);
            if let Some(prepare) = prepare.filter(|one| one.value().view == self.view) {
                ctx.send(to, Message::Prepare(*prepare));
            }
            if let Some((view, digest)) = slot.commits.get(&self.id).copied()
                && view == self.view
            {
                ctx.send(to, Message::Commit { view, seq: *seq, digest });
            }
        }
    }
}
