//! View changes (4.2).

use super::{Message, Record, Replica, Status, Timer, View};
use crate::machine::Update;
use seedfall_sim::{Context, NodeId, Protocol as _, SortedMap};
use std::fmt;

/// What a replica knows of the view that it waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Change {
    /// Who has asked for it, but for this replica.
    wanted_by: Vec<NodeId>,
    /// Whether `f + 1` have, so that its primary was sent the log.
    is_agreed: bool,
    /// Of its primary: what it was sent.
    logs: SortedMap<NodeId, Offer>,
}

/// A log: that of the latest view is the best, and of those the longest; the last is how much of it
/// is known to be committed.
type Offer = (View, Vec<Update>, usize);

impl Replica {
    /// Step 1: a replica asks for a view.
    pub(super) fn start_view_change(&mut self, view: View, ctx: &mut Context<'_, Self>) {
        if self.status == Status::ViewChange {
            ctx.reach("view change: the view before did not come about");
        }
        if self.is_leader() {
            ctx.reach("view change: a primary is replaced");
        }
        self.take_part_in(view, ctx);
        self.status = Status::ViewChange;
        ctx.set_timer(Timer::ViewChange, self.config.view_change_after);
        self.ask_for_view(ctx);
    }

    /// It takes part in this view from now on, and in no earlier one, crash or no crash.
    pub(super) fn take_part_in(&mut self, view: View, ctx: &mut Context<'_, Self>) {
        assert!(self.view <= view, "views only rise");
        if self.view < view {
            self.view = view;
            ctx.append(Record::View(view));
            ctx.sync();
        }
        self.change = Change::default();
    }

    /// Says again what it has said of the view that it waits for.
    pub(super) fn ask_for_view(&mut self, ctx: &mut Context<'_, Self>) {
        ctx.broadcast(Message::StartViewChange { view: self.view });
        if self.change.is_agreed {
            self.do_view_change(ctx);
        }
    }

    pub(super) fn on_start_view_change(
        &mut self,
        from: NodeId,
        view: View,
        ctx: &mut Context<'_, Self>,
    ) {
        if view < self.view || (view == self.view && self.status == Status::Normal) {
            return ctx.ignore("start view change: of a view that has begun");
        }
        if self.view < view {
            self.start_view_change(view, ctx);
        }
        if !self.change.wanted_by.contains(&from) {
            self.change.wanted_by.push(from);
        }
        if self.quorum() <= self.change.wanted_by.len() + 1 && !self.change.is_agreed {
            self.change.is_agreed = true;
            self.do_view_change(ctx);
        }
    }

    /// Step 2: `f + 1` want the view; its primary is sent the log.
    fn do_view_change(&mut self, ctx: &mut Context<'_, Self>) {
        let (view, log) = (self.view, self.log.clone());
        let (normal, commit) = (self.normal, self.commit);
        let primary = self.primary_of(view);
        if primary == self.id {
            return self.on_do_view_change(self.id, view, (normal, log, commit), ctx);
        }
        ctx.send(primary, Message::DoViewChange { view, log, normal, commit });
    }

    /// Step 3: the new primary takes over the best log of `f + 1`.
    pub(super) fn on_do_view_change(
        &mut self,
        from: NodeId,
        view: View,
        offer: Offer,
        ctx: &mut Context<'_, Self>,
    ) {
        if view < self.view || (view == self.view && self.status == Status::Normal) {
            return ctx.ignore("do view change: of a view that has begun");
        }
        if self.view < view {
            self.start_view_change(view, ctx);
        }
        self.change.logs.insert(from, offer);
        if self.change.logs.len() < self.quorum() || !self.change.logs.contains_key(&self.id) {
            return;
        }
        let offers = std::mem::take(&mut self.change.logs);
        let commit = offers.values().map(|(_, _, commit)| *commit).max().unwrap_or(0);
        let best = offers.into_values().max_by_key(|(normal, log, _)| (*normal, log.len()));
        let (normal, log, _) = best.expect("f + 1 of them");
        if normal != self.normal || log.len() != self.log.len() {
            ctx.reach("view change: another replica has the best log");
        }
        self.begin(log, ctx);
        self.prepared = vec![0; self.nodes];
        self.prepared[self.id.index()] = self.log.len();
        let (log, view) = (self.log.clone(), self.view);
        ctx.broadcast(Message::StartView { view, log, commit });
        self.commit_up_to(commit, ctx); // Step 4.
    }

    /// Step 5: a backup takes over the log of the new primary.
    pub(super) fn on_start_view(
        &mut self,
        view: View,
        log: Vec<Update>,
        commit: usize,
        ctx: &mut Context<'_, Self>,
    ) {
        if view < self.view || (view == self.view && self.status == Status::Normal) {
            return ctx.ignore("start view: it has begun");
        }
        self.take_part_in(view, ctx);
        self.begin(log, ctx);
        self.commit_up_to(commit, ctx);
        if self.commit < self.log.len() {
            ctx.reach("start view: operations are prepared anew");
            ctx.send(self.primary_of(view), Message::PrepareOk { view, op: self.log.len() });
        }
    }

    /// The view has begun, with this log.
    pub(super) fn begin(&mut self, log: Vec<Update>, ctx: &mut Context<'_, Self>) {
        let kept = self.log.iter().zip(&log).take_while(|(one, other)| one == other).count();
        if kept < self.log.len() {
            ctx.reach("view change: operations of an earlier view are dropped");
        }
        self.log = log;
        self.status = Status::Normal;
        self.normal = self.view;
        ctx.set_timer(Timer::ViewChange, self.config.view_change_after);
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} want it too", self.wanted_by)?;
        if self.is_agreed { write!(f, ", logs of {:?}", self.logs.keys()) } else { Ok(()) }
    }
}
