//! Leader election (sections 5.2 and 5.4.1): who may lead, and how a server changes its role.

use super::log::{Entry, LogIndex, Term};
use super::state::{Leader, Progress, Role};
use super::{Message, Raft, Record, Response, Timer, is_majority};
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
        self.durable.term = self.durable.term.next();
        self.durable.voted_for = Some(self.id);
        self.leader = None;
        self.role = Role::Candidate { votes: Vec::new() };
        // The vote for oneself is a vote: asking for others before it is durable could end in
        // voting twice.
        self.persist_vote(ctx);
        // 5.2: a new random timeout for each election, so that a split vote does not repeat itself.
        self.draw_timeout(ctx);
        ctx.set_timer(Timer::Election, self.timeout);
        ctx.broadcast(Message::RequestVote {
            term: self.durable.term,
            last_log_index: self.durable.log.last_index(),
            last_log_term: self.durable.log.last_term(),
        });
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
        let Role::Candidate { votes } = &mut self.role else {
            return ctx.ignore("vote reply: the election is over");
        };
        if votes.contains(&voter) {
            return ctx.ignore("vote reply: counted already");
        }
        votes.push(voter);
        assert!(votes.len() <= ctx.nodes(), "more votes than voters");
        if is_majority(votes.len(), ctx.nodes()) {
            self.become_leader(ctx);
        }
    }

    /// 5.4.1: the log with the later last term is more up-to-date; of equal ones the longer.
    fn is_up_to_date(&self, last: (Term, LogIndex)) -> bool {
        last >= (self.durable.log.last_term(), self.durable.log.last_index())
    }

    /// 5.2: the winner tells everybody at once. 8: it begins with an entry of its own term, without
    /// which it could not know what is committed.
    fn become_leader(&mut self, ctx: &mut Context<'_, Self>) {
        assert_eq!(self.durable.voted_for, Some(self.id), "a leader voted for itself");
        tracing::debug!(node = %self.id, term = self.durable.term.0, "leads");
        let next = self.durable.log.last_index().next();
        let unknown = Progress { next, matched: LogIndex::ZERO, round: 0 };
        self.leader = Some(self.id);
        self.role = Role::Leader(Leader {
            progress: vec![unknown; ctx.nodes()],
            first: next,
            writes: VecDeque::new(),
            reads: VecDeque::new(),
            round: 0,
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
        if let Role::Leader(leader) = mem::replace(&mut self.role, Role::Follower) {
            tracing::debug!(node = %self.id, term = term.0, "is deposed");
            ctx.reach("election: a leader was deposed");
            ctx.cancel_timer(Timer::Heartbeat);
            ctx.set_timer(Timer::Election, self.timeout);
            for read in leader.reads {
                // Who waits for a write hears nothing: its entry may yet be committed.
                ctx.respond(read.request, Response::NotLeader { leader: None });
            }
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
