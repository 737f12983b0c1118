//! Leader election (sections 5.2 and 5.4.1): who may lead, and how a server changes its role.

use super::lease::Lease;
use super::log::{Entry, LogIndex, Term};
use super::membership::NodeSet;
use super::state::{Leader, Progress, Role};
use super::{Message, Raft, Record, Response, Timer};
use seedfall_sim::{Context, NodeId};
use std::collections::VecDeque;
use std::mem;

impl Raft {
    /// 5.2: a follower that hears from no leader for too long assumes that there is none, and
    /// stands for election. A candidate whose election came to nothing starts another.
    pub(super) fn on_election_timeout(&mut self, ctx: &mut Context<'_, Self>) {
        assert!(!self.is_leader(), "a leader has no election timer");
        if self.is_candidate() {
            ctx.reach("election: no majority before the timeout");
        }
        if !self.may_stand() {
            // Whoever led may lead no more.
            self.leader = None;
            ctx.set_timer(Timer::Election, self.timeout);
            return ctx.ignore("election timeout: has no vote, and stands by");
        }
        if self.config.leader_stickiness && self.hears_a_leader(ctx) {
            // A timer that rang early: what it promised the leader holds for its own vote too.
            ctx.set_timer(Timer::Election, self.timeout);
            return ctx.ignore("election timeout: too early, there is a leader");
        }
        if self.config.pre_vote {
            self.ask_for_pre_votes(ctx);
        } else {
            self.stand(false, ctx);
        }
    }

    /// 5.2: begins an election: a new term, and a vote for oneself.
    pub(super) fn stand(&mut self, transfer: bool, ctx: &mut Context<'_, Self>) {
        self.durable.term = self.durable.term.next();
        self.durable.voted_for = Some(self.id);
        self.leader = None;
        self.role = Role::Candidate { votes: NodeSet::EMPTY, transfer };
        // The vote for oneself is a vote: asking for others before it is durable could end in
        // voting twice.
        self.persist_vote(ctx);
        // 5.2: a new random timeout for each election, so that a split vote does not repeat itself.
        self.draw_timeout(ctx);
        ctx.set_timer(Timer::Election, self.timeout);
        let message = Message::RequestVote {
            term: self.durable.term,
            last_log_index: self.durable.log.last_index(),
            last_log_term: self.durable.log.last_term(),
            transfer,
        };
        self.ask_voters(message, ctx);
        self.count_vote(self.id, ctx);
    }

    /// `RequestVote`, receiver (Figure 2): one vote a term, first come first served, and only for a
    /// log that is at least as up-to-date as this one.
    pub(super) fn on_request_vote(
        &mut self,
        from: NodeId,
        term: Term,
        last: (Term, LogIndex),
        ctx: &mut Context<'_, Self>,
    ) {
        assert!(term <= self.durable.term, "larger terms are adopted first");
        let current = term == self.durable.term;
        let free = self.durable.voted_for.is_none_or(|candidate| candidate == from);
        if current && !free {
            ctx.reach("election: a second candidate in a term");
        }
        let granted = current && free && self.is_up_to_date(last);
        if granted {
            if self.durable.voted_for.is_none() {
                self.durable.voted_for = Some(from);
                self.persist_vote(ctx);
            }
            assert_eq!(self.durable.voted_for, Some(from));
            ctx.set_timer(Timer::Election, self.timeout);
        }
        ctx.send(from, Message::VoteReply { term: self.durable.term, granted });
    }

    /// `RequestVote`, sender: a candidate that has the votes of a majority leads.
    pub(super) fn on_vote_reply(
        &mut self,
        from: NodeId,
        term: Term,
        granted: bool,
        ctx: &mut Context<'_, Self>,
    ) {
        if term < self.durable.term {
            return ctx.ignore("vote reply: of an earlier election");
        }
        if !granted {
            return ctx.ignore("vote reply: refused");
        }
        self.count_vote(from, ctx);
    }

    /// Counts a vote for this server in this term, its own or another's.
    fn count_vote(&mut self, voter: NodeId, ctx: &mut Context<'_, Self>) {
        let Role::Candidate { votes, .. } = &mut self.role else {
            return ctx.ignore("vote reply: the election is over");
        };
        if votes.contains(voter) {
            return ctx.ignore("vote reply: counted already");
        }
        *votes = votes.with(voter);
        if self.durable.configurations.current().is_quorum(*votes) {
            self.become_leader(ctx);
        }
    }

    /// Sends a message to all who have a vote.
    pub(super) fn ask_voters(&mut self, message: Message, ctx: &mut Context<'_, Self>) {
        let configuration = self.durable.configurations.current();
        let voters = configuration.members().minus(configuration.learners).without(self.id);
        if voters.len() + 1 == ctx.nodes() {
            return ctx.broadcast(message);
        }
        voters.iter().for_each(|voter| ctx.send(voter, message.clone()));
    }

    /// 5.4.1: the log with the later last term is more up-to-date; of equal ones the longer.
    pub(super) fn is_up_to_date(&self, last: (Term, LogIndex)) -> bool {
        last >= (self.durable.log.last_term(), self.durable.log.last_index())
    }

    /// 5.2: the winner tells everybody at once. 8: it begins with an entry of its own term, without
    /// which it could not know what is committed.
    fn become_leader(&mut self, ctx: &mut Context<'_, Self>) {
        assert_eq!(self.durable.voted_for, Some(self.id), "a leader voted for itself");
        tracing::debug!(node = %self.id, term = self.durable.term.0, "leads");
        if let Role::Candidate { transfer: true, .. } = self.role {
            ctx.reach("transfer: the chosen server leads");
        }
        let next = self.durable.log.last_index().next();
        let unknown = Progress { next, matched: LogIndex::ZERO, round: 0 };
        self.leader = Some(self.id);
        self.role = Role::Leader(Leader {
            progress: vec![unknown; ctx.nodes()],
            first: next,
            writes: VecDeque::new(),
            reads: VecDeque::new(),
            round: 0,
            outgoing: vec![None; ctx.nodes()],
            change: None,
            transfer: None,
            lease: Lease::new(ctx.now()),
        });
        ctx.cancel_timer(Timer::Election);
        let index = self.append_own(Entry::no_op(self.durable.term), ctx);
        assert_eq!(index, next, "the leader's first entry");
        self.on_heartbeat_timeout(ctx);
        self.advance_commit(ctx);
    }

    /// 5.1: a server that sees a larger term adopts it, and follows. Nothing is sent under a term
    /// before it is durable.
    pub(super) fn become_follower(&mut self, term: Term, ctx: &mut Context<'_, Self>) {
        assert!(term > self.durable.term, "terms grow");
        self.durable.term = term;
        self.durable.voted_for = None;
        self.leader = None;
        self.persist_vote(ctx);
        self.draw_timeout(ctx);
        if self.is_leader() {
            tracing::debug!(node = %self.id, term = term.0, "is deposed");
            ctx.reach("election: a leader was deposed");
            self.step_down(ctx);
        }
        self.role = Role::Follower;
    }

    /// A leader leads no more.
    pub(super) fn step_down(&mut self, ctx: &mut Context<'_, Self>) {
        let Role::Leader(leader) = mem::replace(&mut self.role, Role::Follower) else {
            unreachable!("only a leader steps down");
        };
        self.leader = None;
        ctx.cancel_timer(Timer::Heartbeat);
        ctx.set_timer(Timer::Election, self.timeout);
        // Who waits for a write or a change hears nothing: its entry may yet be committed.
        for read in leader.reads {
            ctx.respond(read.request, Response::NotLeader { leader: None });
        }
        if let Some(transfer) = leader.transfer {
            ctx.respond(transfer.request, Response::NotLeader { leader: Some(transfer.to) });
        }
    }

    /// Makes term and vote durable.
    fn persist_vote(&mut self, ctx: &mut Context<'_, Self>) {
        let (term, voted_for) = (self.durable.term, self.durable.voted_for);
        ctx.append(Record::Vote { term, voted_for });
        ctx.sync();
    }

    /// 5.2: timeouts are random, so that one server times out before the others.
    pub(super) fn draw_timeout(&mut self, ctx: &mut Context<'_, Self>) {
        let range = self.config.election_timeout_min..self.config.election_timeout_max;
        self.timeout = ctx.draw().duration(range);
    }
}
