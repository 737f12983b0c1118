//! 4.4: a primary that lets clients wait is replaced; and what is left of a replica after a crash.

use super::statements::{ChangeView, Message, NewView, PrePrepare, Prepare, Proposal, Record};
use super::{Replica, Timer, View, digest};
use seedfall_sim::{Context, Signed};

impl Replica {
    /// A request, or a new view, is late.
    pub(super) fn on_patience(&mut self, ctx: &mut Context<'_, Self>) {
        if self.active {
            ctx.reach("patience: the primary lets a request wait");
            return self.change_view(self.view + 1, ctx);
        }
        // Only with a quorum behind: who goes on alone is met by nobody.
        let asked = self.changes.values().filter(|change| self.view <= change.value().view);
        if self.quorum() <= asked.count() {
            ctx.reach("patience: the new view does not begin");
            return self.change_view(self.view + 1, ctx);
        }
        ctx.set_timer(Timer::Patience, self.patience());
    }

    /// Asks for a view, and takes part in none before.
    fn change_view(&mut self, view: View, ctx: &mut Context<'_, Self>) {
        assert!(self.view < view, "views only grow");
        (self.view, self.active) = (view, false);
        self.vain += 1;
        ctx.append(Record::View(view));
        ctx.sync();
        let change = self.own_change(ctx);
        ctx.broadcast(Message::ViewChange(change.clone()));
        self.changes.insert(self.id, change);
        ctx.set_timer(Timer::Patience, self.patience());
        ctx.set_timer(Timer::Tick, self.config.tick);
        self.join(ctx);
        self.begin_view(ctx);
    }

    /// What it has to say: its stable checkpoint, and all that is prepared after that.
    fn own_change(&self, ctx: &Context<'_, Self>) -> Signed<ChangeView> {
        let prepared = self.certificates().map(|(_, certificate)| certificate.clone());
        ctx.sign(ChangeView {
            view: self.view,
            stable: self.stable.seq,
            proof: self.stable.proof.clone(),
            prepared: prepared.filter(|one| one.proposal.pre.value().view < self.view).collect(),
        })
    }

    /// Somebody asks for a view.
    pub(super) fn on_view_change(
        &mut self,
        change: Signed<ChangeView>,
        ctx: &mut Context<'_, Self>,
    ) {
        let view = change.value().view;
        if view < self.view || (view == self.view && self.active) {
            return ctx.ignore("view change: that view is over, or has begun");
        }
        if self.changes.get(&change.by()).is_some_and(|other| view < other.value().view) {
            return ctx.ignore("view change: of a view before");
        }
        if !self.is_view_change(change.value()) {
            return ctx.ignore("view change: not proved");
        }
        self.changes.insert(change.by(), change);
        self.join(ctx);
        self.begin_view(ctx);
    }

    /// 4.5.2: if `f + 1` ask for later views, one of them is correct: the first of these views it
    /// is.
    fn join(&mut self, ctx: &mut Context<'_, Self>) {
        let views = self.changes.values().map(|change| change.value().view);
        let later: Vec<View> = views.filter(|view| self.view < *view).collect();
        if self.config.faulty < later.len() {
            ctx.reach("view change: f + 1 others ask for a later view");
            let first = later.into_iter().min().expect("there are some");
            self.change_view(first, ctx);
        }
    }

    /// The new primary begins once a quorum has asked.
    fn begin_view(&mut self, ctx: &mut Context<'_, Self>) {
        if self.active || !self.is_primary() {
            return;
        }
        let view = self.view;
        let asked = self.changes.values().filter(|change| change.value().view == view);
        let changes: Vec<_> = asked.cloned().collect();
        let Some(beginning) = self.beginning(&changes) else { return };
        let propose = |(seq, ask)| {
            let pre = ctx.sign(PrePrepare { view, seq, digest: digest(&ask) });
            Proposal { pre, ask }
        };
        let proposals: Vec<_> = beginning.requests.into_iter().map(propose).collect();
        let new_view = ctx.sign(NewView { view, changes, proposals });
        self.enter(new_view.clone(), ctx);
        ctx.broadcast(Message::NewView(new_view));
        self.take_up(ctx);
    }

    /// A view begins.
    pub(super) fn on_new_view(&mut self, new_view: Signed<NewView>, ctx: &mut Context<'_, Self>) {
        let view = new_view.value().view;
        if view < self.view || (view == self.view && self.active) {
            return ctx.ignore("new view: that view is over, or has begun");
        }
        if !self.is_new_view(&new_view) {
            return ctx.reach("new view: not what follows from the view changes");
        }
        self.enter(new_view, ctx);
        self.take_up(ctx);
    }

    /// Enters a view: what it begins with is all that is accepted in it.
    fn enter(&mut self, new_view: Signed<NewView>, ctx: &mut Context<'_, Self>) {
        ctx.append(Record::NewView(new_view.clone()));
        ctx.sync();
        if new_view.value().proposals.iter().any(|one| one.ask.is_none()) {
            ctx.reach("new view: a number that nobody has prepared");
        }
        self.install(new_view);
        self.changes.retain(|_, change| self.view < change.value().view);
    }

    /// The state of a view that has just begun.
    fn install(&mut self, new_view: Signed<NewView>) {
        let NewView { view, changes, proposals } = new_view.value();
        (self.view, self.active) = (*view, true);
        let stable = changes.iter().map(|change| change.value().stable).max().unwrap_or(0);
        self.goal = self.goal.max(stable);
        self.log.values_mut().for_each(|slot| slot.accepted = None);
        for proposal in proposals {
            let seq = proposal.pre.value().seq;
            if self.is_in_window(seq) {
                self.slot(seq).accepted = Some(proposal.clone());
            }
        }
        self.new_view = Some(new_view);
    }

    /// Goes on in the view that it is in: as a backup it agrees to what is accepted, as the primary
    /// it numbers what waits.
    pub(super) fn take_up(&mut self, ctx: &mut Context<'_, Self>) {
        let accepted = self.log.iter().filter(|(_, slot)| slot.accepted.is_some());
        for seq in accepted.map(|(seq, _)| *seq).collect::<Vec<_>>() {
            match self.is_primary() {
                // What comes of one may make the next stable, and so forgotten.
                _ if self.log.get(&seq).is_none_or(|slot| slot.accepted.is_none()) => {}
                true => self.check_prepared(seq, ctx),
                false => self.agree(seq, ctx),
            }
        }
        self.be_patient(ctx);
        self.arm_tick(ctx);
        self.assign_all(ctx);
    }

    /// After a crash: all that it said follows from its journal.
    pub(super) fn recover(&mut self, journal: &[Record], ctx: &mut Context<'_, Self>) {
        for record in journal.iter().cloned() {
            match record {
                Record::Accepted(proposal) => {
                    let seq = proposal.pre.value().seq;
                    self.slot(seq).accepted = Some(proposal);
                }
                Record::Prepared(certificate) => {
                    let seq = certificate.proposal.pre.value().seq;
                    self.slot(seq).certificate = Some(certificate);
                }
                Record::View(view) => (self.view, self.active) = (view, false),
                Record::NewView(new_view) => self.install(new_view),
                Record::Stable(stable) => self.adopt(stable),
                Record::Decided(seq) => {
                    let slot = self.slot(seq);
                    let certificate = slot.certificate.as_ref();
                    slot.decided = certificate.map(|one| one.proposal.ask.clone());
                }
            }
        }
        self.log.retain(|seq, _| self.stable.seq < *seq);
        ctx.reach("recovery: from a journal");
        if self.active {
            self.say_again(ctx);
        } else {
            let change = self.own_change(ctx);
            self.changes.insert(self.id, change);
            ctx.set_timer(Timer::Patience, self.patience());
        }
        self.execute(ctx);
        ctx.set_timer(Timer::Tick, self.config.tick);
    }

    /// What it said in this view, as it would say it again.
    fn say_again(&mut self, ctx: &Context<'_, Self>) {
        let (id, view, is_primary) = (self.id, self.view, self.is_primary());
        for slot in self.log.values_mut() {
            if let Some(proposal) = slot.accepted.as_ref().filter(|_| !is_primary) {
                let PrePrepare { view, seq, digest } = *proposal.pre.value();
                slot.prepares.insert(id, ctx.sign(Prepare { view, seq, digest }));
            }
            if let Some(certificate) = &slot.certificate {
                let said = certificate.proposal.pre.value();
                if said.view == view {
                    slot.commits.insert(id, (view, said.digest));
                }
            }
        }
    }
}
