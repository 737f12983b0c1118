//! Recovery (4.3) and state transfer (5.2): how a replica comes by what it lacks.

use super::{Message, Replica, Status, View};
use crate::machine::Update;
use seedfall_sim::{Context, NodeId, Protocol as _, SortedMap};
use std::fmt;

/// What a replica that was down has learned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Missed {
    /// Counts its lives: answers to another are too old.
    nonce: u32,
    /// What the others have answered: their view, and the state, if they are its primary.
    answers: SortedMap<NodeId, (View, Option<State>)>,
}

/// A log, and how much of it is committed.
type State = (Vec<Update>, usize);

impl Missed {
    /// Another life begins.
    pub(super) fn life(&mut self) {
        self.nonce += 1;
    }
}

/// 4.3, recovery.
impl Replica {
    /// Step 1.
    pub(super) fn ask_what_it_missed(&mut self, ctx: &mut Context<'_, Self>) {
        ctx.broadcast(Message::Recovery { nonce: self.missed.nonce, view: self.view });
    }

    /// Step 2: who is in a view that has begun answers; its primary with the state.
    pub(super) fn on_recovery(
        &mut self,
        from: NodeId,
        nonce: u32,
        view: View,
        ctx: &mut Context<'_, Self>,
    ) {
        if self.view < view {
            ctx.reach("recovery: the one who asks has taken part in a later view");
            return self.start_view_change(view, ctx);
        }
        if self.status != Status::Normal {
            return ctx.ignore("recovery: the view has not begun");
        }
        let state = self.is_leader().then(|| (self.log.clone(), self.commit));
        ctx.send(from, Message::RecoveryResponse { view: self.view, nonce, state });
    }

    /// Step 3: `f + 1` have answered, among them the primary of the latest view that they name.
    pub(super) fn on_recovery_response(
        &mut self,
        from: NodeId,
        view: View,
        nonce: u32,
        state: Option<State>,
        ctx: &mut Context<'_, Self>,
    ) {
        if nonce != self.missed.nonce {
            return ctx.ignore("recovery response: to an earlier life");
        }
        self.missed.answers.insert(from, (view, state));
        let latest = self.missed.answers.values().map(|(view, _)| *view).max().unwrap_or(0);
        if self.missed.answers.len() < self.quorum() || latest < self.view {
            return;
        }
        let primary = self.primary_of(latest);
        match self.missed.answers.get(&primary) {
            Some((view, Some((log, commit)))) if *view == latest => {
                let (log, commit) = (log.clone(), *commit);
                ctx.reach("recovery: a replica has its state again");
                self.missed.answers.clear();
                self.take_part_in(latest, ctx);
                self.begin(log, ctx);
                self.commit_up_to(commit, ctx);
            }
            _ => ctx.reach("recovery: the primary of the latest view has not answered"),
        }
    }
}

/// 5.2, state transfer.
impl Replica {
    pub(super) fn get_state(
        &self,
        from: NodeId,
        view: View,
        after: usize,
        ctx: &mut Context<'_, Self>,
    ) {
        ctx.send(from, Message::GetState { view, after });
    }

    pub(super) fn on_get_state(
        &mut self,
        from: NodeId,
        view: View,
        after: usize,
        ctx: &mut Context<'_, Self>,
    ) {
        if view != self.view || self.status != Status::Normal || self.log.len() < after {
            return ctx.ignore("get state: it is not here");
        }
        let (updates, commit) = (self.log[after..].to_vec(), self.commit);
        ctx.send(from, Message::NewState { view, after, updates, commit });
    }

    /// What comes after a place: in this view it is added; of a later view, it takes the place of
    /// what this replica has there.
    pub(super) fn on_new_state(
        &mut self,
        view: View,
        after: usize,
        updates: Vec<Update>,
        commit: usize,
        ctx: &mut Context<'_, Self>,
    ) {
        let has = self.log.len();
        if view < self.view || has < after {
            return ctx.ignore("new state: of an earlier view");
        }
        if view == self.view && self.status == Status::Normal {
            self.log.extend(updates.into_iter().skip(has - after));
            return self.commit_up_to(commit, ctx);
        }
        if self.commit < after {
            return ctx.ignore("new state: what comes before it is not certain");
        }
        let mut log = self.log[..after].to_vec();
        log.extend(updates);
        self.take_part_in(view, ctx);
        self.begin(log, ctx);
        self.commit_up_to(commit, ctx);
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} have answered", self.answers.keys())
    }
}
