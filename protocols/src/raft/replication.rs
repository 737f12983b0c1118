//! Log replication (sections 5.3 and 5.4.2): how entries travel, when they are committed, and who
//! applies them.

use super::clients::final_answer;
use super::log::{Entries, Entry, LogIndex, Term};
use super::membership::NodeSet;
use super::state::{Applied, Role};
use super::{Message, Outcome, Raft, Record, Timer};
use seedfall_sim::{Context, NodeId};

impl Raft {
    /// 5.2: a leader speaks often enough that nobody stands against it. What was lost is sent again
    /// here.
    pub(super) fn on_heartbeat_timeout(&mut self, ctx: &mut Context<'_, Self>) {
        self.abandon_late_transfer(ctx);
        if !self.reaches_a_quorum(ctx) {
            ctx.reach("election: a leader that reached no majority stepped down");
            return self.step_down(ctx);
        }
        ctx.set_timer(Timer::Heartbeat, self.config.heartbeat_interval);
        self.start_round(ctx);
    }

    /// Adds an entry to the leader's own log, durably: from here on the leader counts as one that
    /// stores it.
    pub(super) fn append_own(&mut self, entry: Entry, ctx: &mut Context<'_, Self>) -> LogIndex {
        assert!(self.is_leader(), "only a leader creates entries");
        assert_eq!(entry.term, self.durable.term, "a leader creates entries of its own term");
        let index = self.durable.push(entry.clone());
        ctx.append(Record::Entry { index, entry });
        ctx.sync();
        index
    }

    /// Sends every follower what it lacks. As a rule they all lack the same, and it is one message.
    pub(super) fn replicate(&mut self, ctx: &mut Context<'_, Self>) {
        let Role::Leader(leader) = &self.role else { return };
        let others = self.durable.configurations.current().members().without(self.id);
        let Some(first) = others.iter().next() else { return };
        let progress = leader.progress[first.index()];
        let (next, room) = (progress.next, self.room(first));
        let alike =
            |node: NodeId| leader.progress[node.index()].next == next && self.room(node) == room;
        if next <= self.durable.log.base() || !others.iter().all(alike) {
            for node in others.iter() {
                self.send_append(node, ctx);
            }
            return;
        }
        let (message, sent_to) = self.append_from(next, room);
        for node in others.iter() {
            self.set_next(node, sent_to);
        }
        if others.len() + 1 == ctx.nodes() {
            ctx.broadcast(message);
        } else {
            others.iter().for_each(|node| ctx.send(node, message.clone()));
        }
    }

    /// Sends one follower what it lacks: entries, or what has replaced them.
    pub(super) fn send_append(&mut self, to: NodeId, ctx: &mut Context<'_, Self>) {
        let Role::Leader(leader) = &self.role else { return };
        let next = leader.progress[to.index()].next;
        if next <= self.durable.log.base() {
            return self.send_chunk(to, ctx);
        }
        let (message, sent_to) = self.append_from(next, self.room(to));
        self.set_next(to, sent_to);
        ctx.send(to, message);
    }

    /// Flow control: how many more entries may be on their way to a follower.
    #[inline]
    fn room(&self, to: NodeId) -> usize {
        let (Role::Leader(leader), true) = (&self.role, self.config.max_in_flight < usize::MAX)
        else {
            return usize::MAX;
        };
        let progress = leader.progress[to.index()];
        let sent = progress.next.before();
        // Until it acknowledges something, what it has is a guess: count from the guess.
        let known = progress.matched.max(sent.min(leader.first.before()));
        self.config.max_in_flight.saturating_sub((sent.0 - known.0) as usize)
    }

    /// The message that carries the entries from `next` on, as many as fit and there is room for,
    /// and the place after them.
    fn append_from(&self, next: LogIndex, room: usize) -> (Message, LogIndex) {
        let Role::Leader(leader) = &self.role else {
            unreachable!("only a leader replicates");
        };
        let log = &self.durable.log;
        let prev_log_index = next.before();
        let prev_log_term = log.term_at(prev_log_index).expect("next is at most one past the end");
        let entries = log.batch(next, self.config.max_entries_per_append.min(room));
        let sent_to = next.plus(entries.len());
        let message = Message::AppendEntries {
            term: self.durable.term,
            prev_log_index,
            prev_log_term,
            entries,
            leader_commit: self.commit,
            round: leader.round,
        };
        (message, sent_to)
    }

    fn set_next(&mut self, node: NodeId, next: LogIndex) {
        if let Role::Leader(leader) = &mut self.role {
            leader.progress[node.index()].next = next;
        }
    }

    /// `AppendEntries`, receiver (Figure 2): refuse without the entry before, remove what
    /// conflicts, store what is new, learn what is committed, and only then say so.
    #[expect(clippy::too_many_arguments, reason = "Figure 2 lists as many")]
    pub(super) fn on_append_entries(
        &mut self,
        from: NodeId,
        term: Term,
        (prev_index, prev_term): (LogIndex, Term),
        entries: &Entries,
        leader_commit: LogIndex,
        round: u64,
        ctx: &mut Context<'_, Self>,
    ) {
        if !self.follow(from, term, round, ctx) {
            return;
        }
        if !self.durable.log.agrees(prev_index, prev_term) {
            // Step 2: the consistency check.
            let outcome = self.conflict_at(prev_index);
            return ctx.send(from, Message::AppendReply { term, outcome, round });
        }
        self.store_entries(prev_index, entries, ctx);
        let matched = prev_index.plus(entries.len());
        assert!(matched <= self.durable.log.last_index(), "what was acknowledged is stored");
        // Step 5: no further than the logs are known to agree.
        self.commit_up_to(leader_commit.min(matched), ctx);
        let outcome = Outcome::Matched(matched);
        ctx.send(from, Message::AppendReply { term, outcome, round });
    }

    /// True if the sender leads this server's term: then this server follows it.
    #[inline]
    pub(super) fn follow(
        &mut self,
        from: NodeId,
        term: Term,
        round: u64,
        ctx: &mut Context<'_, Self>,
    ) -> bool {
        assert!(term <= self.durable.term, "larger terms are adopted first");
        let current = self.durable.term;
        if term < current {
            // Step 1. The answer's term tells the sender that its time is over.
            let outcome = Outcome::Deposed;
            ctx.send(from, Message::AppendReply { term: current, outcome, round });
            return false;
        }
        if self.is_leader() {
            // Election Safety excludes it; a node that broke it must not break this one.
            ctx.ignore("append entries: from a second leader of this term");
            return false;
        }
        // 5.2: a candidate that hears from the leader of its term follows it.
        if !matches!(self.role, Role::Follower) {
            self.role = Role::Follower;
        }
        self.leader = Some(from);
        self.heard = Some(ctx.now());
        ctx.set_timer(Timer::Election, self.timeout);
        true
    }

    /// Figure 2, steps 3 and 4. Durable when it returns: the sender will count this server.
    fn store_entries(&mut self, prev: LogIndex, entries: &Entries, ctx: &mut Context<'_, Self>) {
        let mut stored = false;
        let mut index = prev;
        for entry in entries.iter() {
            index = index.next();
            // A late or doubled message: to cut here would lose what was acknowledged since.
            if self.durable.log.agrees(index, entry.term) {
                continue;
            }
            if index <= self.durable.log.last_index() {
                self.truncate(index, ctx);
            }
            let at = self.durable.push(entry.clone());
            assert_eq!(at, index, "entries are consecutive");
            ctx.append(Record::Entry { index, entry: entry.clone() });
            stored = true;
        }
        if stored {
            ctx.sync();
        }
    }

    /// Step 3: an entry that conflicts with the leader's goes, with all that follow.
    fn truncate(&mut self, first: LogIndex, ctx: &mut Context<'_, Self>) {
        assert!(first > self.commit, "entry {first} is committed and stays, on {}", self.id);
        tracing::debug!(node = %self.id, %first, "removes a conflicting suffix");
        ctx.reach("replication: a conflicting suffix was removed");
        if self.durable.configurations.index() >= first {
            ctx.reach("membership: a configuration was truncated");
        }
        self.durable.truncate(first);
        ctx.append(Record::Truncate { first });
    }

    /// End of 5.3: what lets the leader step back over a whole term at once.
    fn conflict_at(&self, index: LogIndex) -> Outcome {
        let log = &self.durable.log;
        match log.term_at(index) {
            Some(term) => Outcome::Conflict { term: Some(term), first: log.first_index_of(term) },
            None => Outcome::Conflict { term: None, first: log.last_index().next() },
        }
    }

    /// `AppendEntries`, sender (Figure 2, rules for leaders).
    pub(super) fn on_append_reply(
        &mut self,
        from: NodeId,
        term: Term,
        outcome: Outcome,
        round: u64,
        ctx: &mut Context<'_, Self>,
    ) {
        if term < self.durable.term {
            return ctx.ignore("append reply: of an earlier term");
        }
        let Role::Leader(leader) = &mut self.role else {
            return ctx.ignore("append reply: does not lead any more");
        };
        if outcome == Outcome::Deposed {
            // It answers a message of an earlier term of ours, whose rounds were other rounds: it
            // confirms nothing.
            return ctx.ignore("append reply: deposed, and elected again since");
        }
        // Matched or not, the follower was in this term when the round reached it.
        let progress = &mut leader.progress[from.index()];
        progress.round = progress.round.max(round);
        assert!(progress.round <= leader.round, "a round that was never started");
        match outcome {
            Outcome::Matched(index) => self.on_matched(from, index, ctx),
            Outcome::Conflict { term, first } => self.on_conflict(from, term, first, ctx),
            Outcome::Chunk { last_index, items } => {
                self.on_chunk_stored(from, last_index, items, ctx);
            }
            Outcome::Deposed => unreachable!("returned above"),
        }
        self.renew_lease(ctx);
        self.answer_reads(ctx);
    }

    /// The follower stores the leader's log up to `index`.
    fn on_matched(&mut self, from: NodeId, index: LogIndex, ctx: &mut Context<'_, Self>) {
        let Role::Leader(leader) = &mut self.role else { return };
        let last = self.durable.log.last_index();
        assert!(index <= last, "{from} acknowledges an entry that was never sent");
        let progress = &mut leader.progress[from.index()];
        progress.matched = progress.matched.max(index);
        progress.next = progress.next.max(progress.matched.next());
        let (next, matched) = (progress.next, progress.matched);
        if let Some(outgoing) = &leader.outgoing[from.index()]
            && (outgoing.last_index() <= matched || self.durable.log.base() < next)
        {
            leader.outgoing[from.index()] = None;
        }
        if matched > self.commit {
            self.advance_commit(ctx);
        }
        if next <= last {
            self.send_append(from, ctx);
        }
        self.hand_over(from, ctx);
    }

    /// The follower has another log before what was sent: step back (end of 5.3).
    fn on_conflict(
        &mut self,
        from: NodeId,
        term: Option<Term>,
        first: LogIndex,
        ctx: &mut Context<'_, Self>,
    ) {
        let Role::Leader(leader) = &mut self.role else { return };
        let log = &self.durable.log;
        // To the end of the follower's conflicting term here, or over all of it.
        let next = term.and_then(|term| log.last_index_of(term)).map_or(first, LogIndex::next);
        let progress = &mut leader.progress[from.index()];
        // A late refusal must not take back what was acknowledged since.
        let next = next.max(progress.matched.next());
        if next >= progress.next {
            return ctx.ignore("append reply: this conflict is being repaired");
        }
        if next.next() < progress.next && term.is_some() {
            ctx.reach("replication: the leader stepped back over several entries at once");
        }
        progress.next = next;
        self.send_append(from, ctx);
    }

    /// Rules for leaders: what a majority stores is committed, if it is of this term.
    pub(super) fn advance_commit(&mut self, ctx: &mut Context<'_, Self>) {
        if !self.is_leader() {
            return;
        }
        let (before, index) = (self.commit, self.majority_index());
        // 5.4.2: entries of older terms may yet be overwritten, however many store them (Figure 8).
        if index <= self.commit || self.durable.log.term_at(index) != Some(self.durable.term) {
            return;
        }
        if self.durable.log.term_at(self.commit.next()) != Some(self.durable.term) {
            ctx.reach("replication: an entry of an older term was committed by one of this term");
        }
        self.commit_up_to(index, ctx);
        self.answer_reads(ctx);
        self.settle_configuration(before, ctx);
    }

    /// The largest index, if it is beyond `commitIndex`, up to which a majority stores the log: the
    /// leader, and followers by their `matchIndex`. Mostly the next entry is not there yet, and one
    /// look tells.
    fn majority_index(&self) -> LogIndex {
        let Role::Leader(leader) = &self.role else {
            unreachable!("only a leader counts");
        };
        let (id, progress) = (self.id, &leader.progress);
        let holders =
            |index| NodeSet::of(progress.iter().map(|other| other.matched >= index)).with(id);
        let configuration = self.durable.configurations.current();
        let mut index = self.commit;
        while index < self.durable.log.last_index()
            && configuration.is_quorum(holders(index.next()))
        {
            index = index.next();
        }
        index
    }

    /// Rules for all servers: applies what is committed, in the order of the log.
    fn commit_up_to(&mut self, index: LogIndex, ctx: &mut Context<'_, Self>) {
        assert!(index <= self.durable.log.last_index(), "what is committed is in the log");
        self.commit = self.commit.max(index);
        while self.applied < self.commit {
            self.applied = self.applied.next();
            let entry = self.durable.log.get(self.applied).expect("what is committed is there");
            let applied = self.machine.apply(self.applied, entry);
            self.answer_write(applied, ctx);
            if let Some(most) = self.config.max_sessions
                && self.machine.expire(most)
            {
                ctx.reach("session: one expired");
            }
        }
        if let Some(after) = self.config.snapshot_after
            && self.applied.0 - self.durable.log.base().0 >= after
        {
            self.take_snapshot(ctx);
        }
    }

    /// A leader answers whoever waits for the entry that was just applied.
    fn answer_write(&mut self, applied: Applied, ctx: &mut Context<'_, Self>) {
        if let Applied::Duplicate | Applied::Stale = applied {
            ctx.reach("session: a repeated entry had no effect");
        }
        let Role::Leader(leader) = &mut self.role else { return };
        let Some((_, request)) = leader.writes.pop_front_if(|(at, _)| *at == self.applied) else {
            return;
        };
        match applied {
            Applied::Fresh | Applied::Duplicate => {
                let session = self.machine.session(request.client);
                ctx.respond(request, final_answer(session.expect("it was just applied")));
            }
            Applied::Stale => ctx.ignore("command: older than its session's latest"),
            Applied::Nothing => unreachable!("nobody waits for a no-op"),
        }
    }
}
