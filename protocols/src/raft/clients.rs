//! Client interaction (section 8; dissertation sections 6.2 to 6.4): commands through the log, once
//! each; reads without the log, never stale.

use super::log::Entry;
use super::state::{Read, Role};
use super::{Raft, Request, Response, Submission, is_majority};
use crate::kv;
use seedfall_sim::{Context, RequestId};

impl Raft {
    /// 8: clients speak to the leader; whoever is asked instead says who that is. The answer comes
    /// when the entry is applied.
    pub(super) fn on_command(
        &mut self,
        request: RequestId,
        body: Request,
        ctx: &mut Context<'_, Self>,
    ) {
        assert!(!body.command.is_read(), "reads do not go through the log");
        if !self.is_leader() {
            return ctx.respond(request, Response::NotLeader { leader: self.leader });
        }
        if let Some(session) = self.machine.session(request.client) {
            if body.sequence == session.sequence {
                // 6.3: it is applied, so its answer is final, whoever leads by now.
                ctx.reach("session: a retry was answered without the log");
                return ctx.respond(request, Response::Done(session.answer.clone()));
            }
            if body.sequence < session.sequence {
                return ctx.ignore("command: older than its session's latest");
            }
        }
        let Request { sequence, command } = body;
        let submission = Submission { client: request.client, sequence, command };
        let index = self.append_own(Entry::command(self.durable.term, submission), ctx);
        if let Role::Leader(leader) = &mut self.role {
            leader.writes.push_back((index, request));
        }
        self.replicate(ctx);
        self.advance_commit(ctx);
    }

    /// 6.4, steps 1 to 3: note how far the log is committed, and ask whether this server still
    /// leads. The question must leave after the read came in: an older answer could be older than
    /// another leader's writes.
    pub(super) fn on_read(
        &mut self,
        request: RequestId,
        command: kv::Command,
        ctx: &mut Context<'_, Self>,
    ) {
        let Role::Leader(leader) = &mut self.role else {
            return ctx.respond(request, Response::NotLeader { leader: self.leader });
        };
        if self.commit < leader.first {
            ctx.reach("read: waits for the first commit of the term");
        }
        // Step 1: before its no-op is committed, a leader may not know of everything that is.
        let index = self.commit.max(leader.first);
        let idle = leader.reads.is_empty();
        let round = leader.round + 1;
        leader.reads.push_back(Read { request, command, index, round });
        if idle {
            self.start_round(ctx);
        }
        self.answer_reads(ctx);
    }

    /// Starts a new round of heartbeats, which also carry what the followers lack.
    pub(super) fn start_round(&mut self, ctx: &mut Context<'_, Self>) {
        let Role::Leader(leader) = &mut self.role else {
            unreachable!("only a leader has rounds");
        };
        leader.round += 1;
        self.replicate(ctx);
    }

    /// 6.4, steps 3 to 5: answers the reads whose round a majority confirmed and whose index is
    /// applied. Reads that came in meanwhile share the next round.
    pub(super) fn answer_reads(&mut self, ctx: &mut Context<'_, Self>) {
        let Role::Leader(leader) = &mut self.role else { return };
        if leader.reads.is_empty() {
            return;
        }
        let progress = &leader.progress;
        let heard = |round| progress.iter().filter(|follower| follower.round >= round).count();
        let (this, nodes, applied) = (1, progress.len(), self.applied);
        let ready =
            |read: &mut Read| read.index <= applied && is_majority(this + heard(read.round), nodes);
        while let Some(read) = leader.reads.pop_front_if(ready) {
            assert!(read.round <= leader.round, "a round that was never started");
            let answer = self.machine.read(&read.command);
            ctx.respond(read.request, Response::Done(answer));
        }
        if leader.reads.front().is_some_and(|read| read.round > leader.round) {
            self.start_round(ctx);
        }
    }
}
