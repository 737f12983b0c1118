//! The server: sessions, a queue, and one holder at a time.

use super::{Config, Message, Node, Record, Timer};
use seedfall_sim::{Context, Duration, NodeId, SortedMap, Time};
use std::collections::VecDeque;

/// Grants the lock.
#[derive(Clone, Debug)]
pub struct Server {
    config: Config,
    /// The last token that it granted, in this life or before.
    token: u64,
    /// Until when leases of a life before may last.
    grace: Option<Time>,
    holder: Option<Grant>,
    /// Of each worker that was heard: its request, when it said so, and until when that counts.
    sessions: SortedMap<NodeId, Session>,
    queue: VecDeque<NodeId>,
}

#[derive(Clone, Copy, Debug)]
struct Grant {
    worker: NodeId,
    ask: u64,
    until: Time,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    ask: u64,
    sent: Time,
    until: Time,
}

impl Server {
    pub(super) fn start(config: Config, journal: &[Record], ctx: &mut Context<'_, Node>) -> Self {
        let token = |record: &Record| match record {
            Record::Token(token) => Some(*token),
            _ => None,
        };
        let token = journal.iter().filter_map(token).max().unwrap_or(0);
        let mut server = Self {
            config,
            token,
            grace: None,
            holder: None,
            sessions: SortedMap::new(),
            queue: VecDeque::new(),
        };
        if 0 < token {
            ctx.reach("server: it waits out the leases of a life before");
            server.grace = Some(ctx.now() + server.term());
            ctx.set_timer(Timer::Expiry, server.term());
        }
        server
    }

    /// Whom the lock is lent to now, and its token.
    pub(super) fn lent(&self) -> Option<(NodeId, u64)> {
        self.holder.map(|grant| (grant.worker, self.token))
    }

    /// Until when it waits for the leases of a life before. For whoever watches.
    pub(super) fn grace(&self) -> Option<Time> {
        self.grace
    }

    /// How long a lease lasts by this clock at the most: by the slowest clock of a worker and the
    /// fastest of its own. For whoever watches.
    pub(super) fn lease_at_most(&self) -> Duration {
        let Config { lease, drift, .. } = self.config;
        lease.scale(1_000_000 + u64::from(drift), 1_000_000 - u64::from(drift))
    }

    /// How long a lease may last by this clock: longer than by that of its worker, however both
    /// drift.
    fn term(&self) -> Duration {
        let Config { lease, drift, .. } = self.config;
        lease.scale(1_000_000 + 3 * u64::from(drift), 1_000_000)
    }

    /// A worker wants the lock, or holds it still.
    pub(super) fn on_want(
        &mut self,
        from: NodeId,
        ask: u64,
        (sent, token): (Time, Option<u64>),
        ctx: &mut Context<'_, Node>,
    ) {
        let until = ctx.now() + self.term();
        if self.sessions.get(&from).is_some_and(|other| other.ask == ask && sent < other.sent) {
            return ctx.ignore("want: an older one came late");
        }
        self.sessions.insert(from, Session { ask, sent, until });
        if self.grace.is_some() && self.holder.is_none() && token == Some(self.token) {
            ctx.reach("server: the holder of a life before turns up");
            (self.grace, self.holder) = (None, Some(Grant { worker: from, ask, until }));
        }
        match &mut self.holder {
            Some(grant) if (grant.worker, grant.ask) == (from, ask) => {
                grant.until = until;
                ctx.set_timer(Timer::Expiry, self.term());
                let token = Some(self.token);
                return ctx.send(from, Message::Alive { ask, sent, token });
            }
            _ => {}
        }
        if !self.queue.contains(&from) {
            self.queue.push_back(from);
        }
        ctx.send(from, Message::Alive { ask, sent, token: None });
        self.grant(ctx);
    }

    /// A worker does not want it any more.
    pub(super) fn on_release(&mut self, from: NodeId, ask: u64, ctx: &mut Context<'_, Node>) {
        if self.sessions.get(&from).is_some_and(|session| session.ask == ask) {
            self.sessions.remove(&from);
            self.queue.retain(|worker| *worker != from);
        }
        if self.holder.is_some_and(|grant| (grant.worker, grant.ask) == (from, ask)) {
            self.holder = None;
            self.grant(ctx);
        }
    }

    /// Grants the lock to the first in the queue that is still there, if nobody can hold it.
    pub(super) fn grant(&mut self, ctx: &mut Context<'_, Node>) {
        let now = ctx.now();
        if let Some(until) = self.holder.map(|grant| grant.until).max(self.grace) {
            if now < until {
                // A little longer: a clock that drifts may round, and ring again and again.
                return ctx.set_timer(Timer::Expiry, until.since(now) + Duration::millis(1));
            }
            if self.holder.is_some() {
                ctx.reach("server: a lease has run out");
            }
            (self.holder, self.grace) = (None, None);
        }
        while let Some(worker) = self.queue.pop_front() {
            let Some(session) = self.sessions.get(&worker).filter(|one| now < one.until) else {
                ctx.reach("server: who waited is gone");
                continue;
            };
            let Session { ask, sent, until } = *session;
            self.token += 1;
            ctx.append(Record::Token(self.token));
            ctx.sync();
            self.holder = Some(Grant { worker, ask, until });
            ctx.set_timer(Timer::Expiry, until.since(now));
            return ctx.send(worker, Message::Alive { ask, sent, token: Some(self.token) });
        }
    }

    pub(super) fn waits(&self) -> String {
        match (&self.holder, self.grace) {
            (Some(grant), _) => format!("for {} to give the lock back", grant.worker),
            (None, Some(until)) => format!("for the leases of a life before, until {until}"),
            (None, None) => String::new(),
        }
    }
}
