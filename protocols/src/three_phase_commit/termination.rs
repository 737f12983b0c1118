//! The termination protocol (BHG 7.5; QBC): what sites do when their coordinator is silent.

use super::{Message, Round, Site, State, Termination, Timer, TransactionId, coordinator_of};
use seedfall_sim::{Context, Duration, NodeId, SortedMap};

/// A coordinator has had its time after so many delays: to ask for votes or states, to prepare, and
/// to tell the decision. One more, by which the clocks of those in turn may have begun apart.
const TURN: u64 = 6;

impl Site {
    /// How long this site waits for others to coordinate: in the order of the sites, beginning
    /// after the first coordinator, whose turn comes last.
    pub(super) fn turn(&self, id: TransactionId) -> Duration {
        let first = coordinator_of(id.client, self.sites).index();
        let place = (self.id.index() + self.sites - first - 1) % self.sites;
        self.config.delay_max.scale(TURN * (place as u64 + 1), 1)
    }

    /// Its turn: it asks all sites where they are.
    pub(super) fn on_turn(&mut self, id: TransactionId, ctx: &mut Context<'_, Self>) {
        let state = self.state(id).expect("it has voted");
        assert!(!state.is_decided(), "a decision ends the waiting");
        ctx.reach(match state {
            State::Uncertain => "termination: begun by an uncertain site",
            _ => "termination: begun by a site that is past voting",
        });
        let all_turns = self.config.delay_max.scale(TURN * self.sites as u64, 1);
        ctx.set_timer(Timer::Turn(id), all_turns);
        ctx.broadcast(Message::StateRequest { transaction: id });
        self.begin(id, Round::States(SortedMap::from([(self.id, state)])), ctx);
    }

    /// Who has not voted will not vote yes any more.
    pub(super) fn on_state_request(
        &mut self,
        from: NodeId,
        id: TransactionId,
        ctx: &mut Context<'_, Self>,
    ) {
        let state = match self.state(id) {
            Some(state) => state,
            None => {
                ctx.reach("termination: who had not voted aborts");
                self.go(id, State::Aborted, ctx);
                State::Aborted
            }
        };
        ctx.send(from, Message::State { transaction: id, state });
    }

    pub(super) fn on_state(
        &mut self,
        from: NodeId,
        id: TransactionId,
        state: State,
        ctx: &mut Context<'_, Self>,
    ) {
        let sites = self.sites;
        let Some(Round::States(states)) = self.round(id) else {
            return ctx.ignore("state: nobody waits for it");
        };
        states.insert(from, state);
        if states.len() == sites {
            self.conclude(id, ctx);
        }
    }

    /// Whoever is up has said where it is.
    pub(super) fn conclude(&mut self, id: TransactionId, ctx: &mut Context<'_, Self>) {
        let (own, here) = (self.state(id).expect("it has voted"), self.id);
        let Some(Round::States(states)) = self.round(id) else {
            unreachable!("it has asked for the states")
        };
        states.insert(here, own); // It may have moved since: other coordinators may be at work.
        let states: Vec<State> = states.values().copied().collect();
        let any = |state| states.contains(&state);
        if any(State::Aborted) {
            return self.decide(id, false, ctx); // TR1
        }
        if any(State::Committed) {
            ctx.reach("termination: a site had committed");
            return self.decide(id, true, ctx); // TR2
        }
        match self.config.termination {
            Termination::Sites => self.conclude_by_sites(id, &states, ctx),
            Termination::Quorum => self.conclude_by_quorum(id, &states, ctx),
        }
    }

    /// BHG: those that did not answer have failed, and will not decide.
    fn conclude_by_sites(
        &mut self,
        id: TransactionId,
        states: &[State],
        ctx: &mut Context<'_, Self>,
    ) {
        if states.contains(&State::Committable) {
            ctx.reach("termination: a site was committable");
            return self.prepare(id, State::Committable, ctx); // TR4
        }
        ctx.reach("termination: all were uncertain");
        self.decide(id, false, ctx); // TR3
    }

    /// QBC: those that did not answer may be anywhere. A quorum can be brought to commit, if a site
    /// is committable, or to abort; else it waits.
    fn conclude_by_quorum(
        &mut self,
        id: TransactionId,
        states: &[State],
        ctx: &mut Context<'_, Self>,
    ) {
        let count = |state| states.iter().filter(|one| **one == state).count();
        let [uncertain, committable, abortable] =
            [State::Uncertain, State::Committable, State::Abortable].map(count);
        let quorum = self.quorum();
        let own = self.state(id).expect("it has voted");
        if 0 < committable && quorum <= committable + uncertain && own != State::Abortable {
            ctx.reach("termination: a quorum can commit");
            self.prepare(id, State::Committable, ctx);
        } else if quorum <= abortable + uncertain && own != State::Committable {
            ctx.reach("termination: a quorum can abort");
            self.prepare(id, State::Abortable, ctx);
        } else {
            ctx.reach("termination: no quorum, it waits");
            ctx.cancel_timer(Timer::AnswersDue(id));
            self.transaction(id).round = None;
        }
    }
}
