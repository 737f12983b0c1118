//! Client interaction (section 8; dissertation sections 6.2 to 6.4): commands through the log, once
//! each; reads without the log, never stale.

use super::log::Entry;
use super::membership::NodeSet;
use super::state::{Read, Role, Session};
use super::{Raft, Response, Submission};
use crate::kv;
use seedfall_sim::{Context, RequestId};

impl Raft {
    /// 8: clients speak to the leader; whoever is asked instead says who that is. The answer comes
    /// when the entry is applied.
    pub(super) fn on_command(
        &mut self,
        request: RequestId,
        sequence: u64,
        command: kv::Command,
        ctx: &mut Context<'_, Self>,
    ) {
        assert!(!command.is_read(), "reads do not go through the log");
        let Role::Leader(leader) = &self.role else {
            let leader = self.other_to_ask(ctx);
            return ctx.respond(request, Response::NotLeader { leader });
        };
        if leader.transfer.is_some() {
            // Dissertation 3.10, step 1.
            ctx.reach("transfer: a command was turned away");
            return ctx.respond(request, Response::NotLeader { leader: None });
        }
        if let Some(session) = self.machine.session(request.client) {
            if sequence == session.sequence {
                // 6.3: it is applied, so its answer is final, whoever leads by now.
                ctx.reach("session: a retry was answered without the log");
                return ctx.respond(request, final_answer(session));
            }
            if sequence < session.sequence {
                return ctx.ignore("command: older than its session's latest");
            }
        }
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
        if self.has_lease(ctx) {
            ctx.reach("read: answered under a lease");
            let answer = self.machine.read(&command);
            return ctx.respond(request, Response::Done(answer));
        }
        let Role::Leader(leader) = &mut self.role else {
            let leader = self.other_to_ask(ctx);
            return ctx.respond(request, Response::NotLeader { leader });
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
        if self.config.lease_drift.is_some() {
            leader.lease.begin(leader.round, ctx.now());
        }
        self.replicate(ctx);
    }

    /// 6.4, steps 3 to 5: answers the reads whose round a majority confirmed and whose index is
    /// applied. Reads that came in meanwhile share the next round.
    pub(super) fn answer_reads(&mut self, ctx: &mut Context<'_, Self>) {
        let Role::Leader(leader) = &mut self.role else { return };
        if leader.reads.is_empty() {
            return;
        }
        let (id, progress) = (self.id, &leader.progress);
        let configuration = self.durable.configurations.current();
        let heard = |round| NodeSet::of(progress.iter().map(|other| other.round >= round)).with(id);
        let applied = self.applied;
        let ready =
            |read: &mut Read| read.index <= applied && configuration.is_quorum(heard(read.round));
        while let Some(read) = leader.reads.pop_front_if(ready) {
            let answer = self.machine.read(&read.command);
            ctx.respond(read.request, Response::Done(answer));
        }
        if leader.reads.front().is_some_and(|read| read.round > leader.round) {
            self.start_round(ctx);
        }
    }
}

/// What a client is told of its latest command, once that is applied.
pub(super) fn final_answer(session: &Session) -> Response {
    match &session.answer {
        Some(answer) => Response::Done(answer.clone()),
        None => Response::Expired,
    }
}
