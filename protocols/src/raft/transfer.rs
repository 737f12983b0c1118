//! Elections that disturb nobody: the pre-vote (dissertation 9.6) and the transfer of leadership
//! (3.10).

use super::log::{LogIndex, Term};
use super::membership::NodeSet;
use super::state::Role;
use super::{Message, Raft, Response, Timer};
use seedfall_sim::{Context, NodeId, RequestId, Time};

/// A transfer that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Transfer {
    /// Who shall lead.
    pub(super) to: NodeId,
    /// Who asked.
    pub(super) request: RequestId,
    /// When it is abandoned, by the leader's clock.
    until: Time,
}

impl Raft {
    /// 9.6: before it raises its term a server asks whether it could win, and it asks in the term
    /// that it has.
    pub(super) fn ask_for_pre_votes(&mut self, ctx: &mut Context<'_, Self>) {
        if matches!(self.role, Role::PreCandidate { .. }) {
            ctx.reach("election: no majority of pre-votes before the timeout");
        }
        self.leader = None;
        self.role = Role::PreCandidate { votes: NodeSet::EMPTY };
        self.draw_timeout(ctx);
        ctx.set_timer(Timer::Election, self.timeout);
        let message = Message::PreVote {
            term: self.durable.term,
            last_log_index: self.durable.log.last_index(),
            last_log_term: self.durable.log.last_term(),
        };
        self.ask_voters(message, ctx);
        self.count_pre_vote(self.id, ctx);
    }

    /// 9.6: granted if a vote would be, and if there is no leader to be disturbed. It promises
    /// nothing, so nothing is written down.
    pub(super) fn on_pre_vote(
        &mut self,
        from: NodeId,
        term: Term,
        last: (Term, LogIndex),
        ctx: &mut Context<'_, Self>,
    ) {
        assert!(term <= self.durable.term, "larger terms are adopted first");
        let disturbs = self.hears_a_leader(ctx);
        if disturbs {
            ctx.reach("election: a pre-vote was refused because there is a leader");
        }
        // The election would be in the next term, in which this server has not voted.
        let granted = term == self.durable.term && !disturbs && self.is_up_to_date(last);
        assert!(!granted || !self.is_leader(), "a leader grants nobody an election");
        ctx.send(from, Message::PreVoteReply { term: self.durable.term, granted });
    }

    /// A server that would win stands.
    pub(super) fn on_pre_vote_reply(
        &mut self,
        from: NodeId,
        term: Term,
        granted: bool,
        ctx: &mut Context<'_, Self>,
    ) {
        if term < self.durable.term {
            return ctx.ignore("pre-vote reply: of an earlier term");
        }
        if !granted {
            return ctx.ignore("pre-vote reply: refused");
        }
        self.count_pre_vote(from, ctx);
    }

    fn count_pre_vote(&mut self, voter: NodeId, ctx: &mut Context<'_, Self>) {
        let Role::PreCandidate { votes } = &mut self.role else {
            return ctx.ignore("pre-vote reply: does not ask any more");
        };
        *votes = votes.with(voter);
        if self.durable.configurations.current().is_quorum(*votes) {
            self.stand(false, ctx);
        }
    }

    /// 3.10: a client asks for another leader. Step 1: the leader takes no new commands until the
    /// other leads, or it has become too late.
    pub(super) fn on_transfer(
        &mut self,
        request: RequestId,
        to: NodeId,
        ctx: &mut Context<'_, Self>,
    ) {
        let is_voter = self.durable.configurations.current().is_voter(to);
        let Role::Leader(leader) = &mut self.role else {
            let leader = self.other_to_ask(ctx);
            return ctx.respond(request, Response::NotLeader { leader });
        };
        if to == self.id {
            return ctx.respond(request, Response::Leads);
        }
        if !is_voter || leader.transfer.is_some() {
            return ctx.respond(request, Response::Refused);
        }
        let until = ctx.now() + self.config.election_timeout_max;
        leader.transfer = Some(Transfer { to, request, until });
        // Step 2: the other gets what it lacks.
        self.send_append(to, ctx);
        self.hand_over(to, ctx);
    }

    /// Step 3: once the other has all entries, it need not wait for its timeout.
    pub(super) fn hand_over(&mut self, to: NodeId, ctx: &mut Context<'_, Self>) {
        let Role::Leader(leader) = &mut self.role else { return };
        let chosen = leader.transfer.is_some_and(|transfer| transfer.to == to);
        if chosen && leader.progress[to.index()].matched == self.durable.log.last_index() {
            leader.lease.give_up();
            ctx.send(to, Message::TimeoutNow { term: self.durable.term });
        }
    }

    /// 3.10: the leader asked this server to stand, so it does not ask whether it may.
    pub(super) fn on_timeout_now(&mut self, term: Term, ctx: &mut Context<'_, Self>) {
        if term < self.durable.term || self.is_leader() {
            return ctx.ignore("timeout now: of an earlier term");
        }
        if !self.may_stand() {
            return ctx.ignore("timeout now: has no vote");
        }
        self.stand(true, ctx);
    }

    /// 3.10: if the other does not lead after about an election timeout, the leader goes on.
    pub(super) fn abandon_late_transfer(&mut self, ctx: &mut Context<'_, Self>) {
        let Role::Leader(leader) = &mut self.role else { return };
        if let Some(Transfer { request, until, .. }) = leader.transfer
            && until <= ctx.now()
        {
            leader.transfer = None;
            ctx.reach("transfer: abandoned");
            ctx.respond(request, Response::Refused);
        }
    }
}
