//! A server (3): head, middle or tail of the chain that it is in.

use super::{Chain, Config, Epoch, MASTER, Message, Node, Record, Response, Timer, Update};
use crate::kv::{Answer, Command, Store};
use seedfall_sim::{Context, NodeId, RequestId, Time};

/// A server's state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    id: NodeId,
    pub(super) config: Config,
    /// The newest chain that it has heard of.
    pub(super) chain: Chain,
    /// Every update that it has, in order (the paper's *Hist*), with its answer.
    pub(super) updates: Vec<(Update, Answer)>,
    /// What they come to.
    pub(super) store: Store,
    /// How many of them are known to be committed.
    pub(super) committed: usize,
    /// Whether it has all that was committed when it joined.
    pub(super) ready: bool,
    /// Until when it may answer queries by itself, on its clock.
    pub(super) lease: Time,
    /// Who waits for an update to be committed.
    waiting: Vec<RequestId>,
    /// Queries about which the tail is asked (CRAQ), in this epoch.
    pub(super) asking: Vec<(RequestId, Command)>,
}

impl Server {
    pub(super) fn start(
        id: NodeId,
        config: &Config,
        journal: &[Record],
        ctx: &mut Context<'_, Node>,
    ) -> Self {
        let mut server = Self {
            id,
            config: *config,
            chain: Chain::default(),
            updates: Vec::new(),
            store: Store::default(),
            committed: 0,
            ready: true,
            lease: Time::ZERO,
            waiting: Vec::new(),
            asking: Vec::new(),
        };
        for record in journal.iter().cloned() {
            match record {
                Record::Chain(chain) => server.chain = chain,
                Record::Emptied => {
                    server.empty();
                    // It emptied itself for a chain that it may not have noted any more: until it
                    // does, it is in none, and not in the one before, where it had more.
                    server.chain.members.clear();
                }
                Record::Update(update) => server.push(update),
                Record::Ready => server.ready = true,
            }
        }
        server.on_interval(ctx);
        server
    }

    /// Says that it is alive, and how much it has: what was lost comes again.
    pub(super) fn on_interval(&mut self, ctx: &mut Context<'_, Node>) {
        ctx.set_timer(Timer::Interval, self.config.interval);
        let (at, epoch, ready) = (ctx.now(), self.chain.epoch, self.ready);
        ctx.send(MASTER, Message::Alive { at, epoch, ready });
        self.advance(ctx);
        self.tell_predecessor(ctx);
    }

    /// A client asks. The head takes updates, the tail answers queries.
    pub(super) fn on_request(
        &mut self,
        id: RequestId,
        command: Command,
        ctx: &mut Context<'_, Node>,
    ) {
        if self.chain.whom(&command) != Some(self.id) {
            return ctx.respond(id, Response::Elsewhere(self.chain.whom(&command)));
        }
        if command.is_read() {
            return self.on_query(id, &command, ctx);
        }
        match self.place_of(id) {
            Some(place) if place < self.committed => {
                ctx.reach("update: a retry has no second effect");
                let answer = self.updates[place].1.clone();
                return ctx.respond(id, Response::Done(answer));
            }
            Some(_) => {}
            None => self.take(Update { request: id, command }, ctx),
        }
        if !self.waiting.contains(&id) {
            self.waiting.push(id);
        }
        self.forward(self.updates.len() - 1, ctx);
        self.advance(ctx);
    }

    /// The tail: all that it has is committed.
    fn on_query(&mut self, id: RequestId, command: &Command, ctx: &mut Context<'_, Node>) {
        if !self.ready {
            return ctx.ignore("query: the tail has not caught up");
        }
        if self.lease <= ctx.now() {
            ctx.reach("query: the lease has run out");
            return ctx.respond(id, Response::Elsewhere(None));
        }
        let answer = self.store.apply(command);
        ctx.respond(id, Response::Done(answer));
    }

    /// The master's word: a lease, and perhaps a new chain.
    pub(super) fn on_grant(&mut self, at: Time, chain: Chain, ctx: &mut Context<'_, Node>) {
        if chain.epoch < self.chain.epoch {
            return ctx.ignore("grant: of an earlier epoch");
        }
        if self.chain.epoch < chain.epoch {
            self.join(chain, ctx);
        }
        self.lease = self.lease.max(at + self.config.lease);
    }

    /// A new chain. Who comes into it from outside begins with nothing: what it has may be what
    /// nobody else has, and was never committed.
    fn join(&mut self, chain: Chain, ctx: &mut Context<'_, Node>) {
        let before = match self.chain.epoch {
            0 => Some(1), // It is in the first chain, whether it has heard of it or not.
            _ => self.chain.since(self.id),
        };
        let since = chain.since(self.id);
        if since.is_some() && since != before {
            ctx.reach("join: begins with nothing");
            self.empty();
            ctx.append(Record::Emptied);
        }
        self.chain = chain;
        self.lease = Time::ZERO;
        self.asking.clear();
        ctx.append(Record::Chain(self.chain.clone()));
        ctx.sync();
        self.tell_predecessor(ctx);
        self.advance(ctx);
    }

    /// The next updates, from the predecessor in this epoch alone.
    pub(super) fn on_forward(
        &mut self,
        from: NodeId,
        epoch: Epoch,
        after: usize,
        updates: Vec<Update>,
        total: usize,
        ctx: &mut Context<'_, Node>,
    ) {
        if epoch != self.chain.epoch || self.chain.predecessor(self.id) != Some(from) {
            return ctx.ignore("forward: of another chain");
        }
        if self.updates.len() < after {
            ctx.reach("forward: updates before these are missing");
            return self.tell_predecessor(ctx);
        }
        let first = self.updates.len();
        for update in updates.into_iter().skip(first - after) {
            self.take(update, ctx);
        }
        if !self.ready && total <= self.updates.len() {
            ctx.reach("join: the new tail has caught up");
            self.ready = true;
            ctx.append(Record::Ready);
            ctx.sync();
        }
        if first < self.updates.len() {
            self.forward(first, ctx);
        }
        self.advance(ctx);
        self.tell_predecessor(ctx);
    }

    /// How far the successor is: what it lacks is sent, what is committed is answered.
    pub(super) fn on_have(
        &mut self,
        from: NodeId,
        epoch: Epoch,
        (count, committed, ready): (usize, usize, bool),
        ctx: &mut Context<'_, Node>,
    ) {
        if epoch != self.chain.epoch || self.chain.successor(self.id) != Some(from) {
            return ctx.ignore("have: of another chain");
        }
        if self.committed < committed {
            self.committed = committed;
            self.answer(ctx);
            self.tell_predecessor(ctx);
        }
        if count < self.updates.len() || !ready {
            self.forward(count, ctx);
        }
    }

    /// Whatever a tail has is committed.
    fn advance(&mut self, ctx: &mut Context<'_, Node>) {
        if self.is_tail() && self.ready && self.committed < self.updates.len() {
            self.committed = self.updates.len();
            self.answer(ctx);
        }
    }

    /// Clients that wait for what is committed by now.
    pub(super) fn answer(&mut self, ctx: &mut Context<'_, Node>) {
        for id in std::mem::take(&mut self.waiting) {
            match self.place_of(id) {
                Some(place) if place < self.committed => {
                    ctx.respond(id, Response::Done(self.updates[place].1.clone()));
                }
                _ => self.waiting.push(id),
            }
        }
    }

    /// To the successor: updates from this place on.
    fn forward(&self, after: usize, ctx: &mut Context<'_, Node>) {
        let Some(successor) = self.chain.successor(self.id) else { return };
        let (epoch, total) = (self.chain.epoch, self.updates.len());
        let next = self.updates[after..].iter().take(self.config.updates_per_message);
        let updates = next.map(|(update, _)| update.clone()).collect();
        ctx.send(successor, Message::Forward { epoch, after, updates, total });
    }

    pub(super) fn tell_predecessor(&self, ctx: &mut Context<'_, Node>) {
        let Some(predecessor) = self.chain.predecessor(self.id) else { return };
        let (epoch, count) = (self.chain.epoch, self.updates.len());
        ctx.send(
            predecessor,
            Message::Have { epoch, count, committed: self.committed, ready: self.ready },
        );
    }

    /// Has an update from now on, durably.
    fn take(&mut self, update: Update, ctx: &mut Context<'_, Node>) {
        ctx.append(Record::Update(update.clone()));
        ctx.sync();
        self.push(update);
    }

    fn push(&mut self, update: Update) {
        let answer = self.store.apply(&update.command);
        self.updates.push((update, answer));
    }

    fn empty(&mut self) {
        self.updates.clear();
        self.store = Store::default();
        (self.committed, self.ready) = (0, false);
    }

    fn place_of(&self, id: RequestId) -> Option<usize> {
        self.updates.iter().position(|(update, _)| update.request == id)
    }
}

/// What reports and scenarios ask of a server.
impl Server {
    /// The newest chain that it has heard of.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Whether it is the tail of that chain.
    pub fn is_tail(&self) -> bool {
        self.chain.tail() == Some(self.id)
    }

    /// Whether it is in that chain, and has all that is committed.
    pub fn is_ready(&self) -> bool {
        self.ready && self.chain.since(self.id).is_some()
    }

    /// Every update that it has, in order.
    pub fn updates(&self) -> impl ExactSizeIterator<Item = &Update> {
        self.updates.iter().map(|(update, _)| update)
    }

    /// How many of them it knows to be committed.
    pub fn committed(&self) -> usize {
        self.committed
    }

    pub(super) fn waits(&self) -> String {
        if self.waiting.is_empty() {
            return String::new();
        }
        let Chain { epoch, members } = &self.chain;
        let (has, committed) = (self.updates.len(), self.committed);
        format!("for the tail of {members:?} in epoch {epoch}: has {has}, committed {committed}")
    }
}
