//! The follower of phases 1 to 3.

use super::channel::{Connection, Inbox};
use super::history::{Epoch, History, Txn, Zxid};
use super::tree::Tree;
use super::{Message, Payload, Record, Role, Server, Timer};
use seedfall_sim::{ClientId, Context, NodeId};
use std::fmt;
use std::sync::Arc;

/// What a follower knows of its leader.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Follower {
    pub(super) leader: NodeId,
    inbox: Inbox<Payload>,
    /// What it said last, which may be lost.
    said: Message,
    /// Whether clients may be answered.
    is_up_to_date: bool,
    /// Which clients it has heard of, since it told the leader.
    clients: Vec<ClientId>,
}

impl Server {
    /// Follows somebody: phase 1 begins.
    pub(super) fn follow(&mut self, leader: NodeId, ctx: &mut Context<'_, Self>) {
        let attempt = self.next_term();
        let connection = Connection { attempt, reign: 0 };
        let said = Message::FollowerInfo { attempt, promised: self.promised };
        let (inbox, clients) = (Inbox::new(connection), Vec::new());
        let follower = Follower { leader, inbox, said, is_up_to_date: false, clients };
        follower.say_again(ctx);
        self.role = Role::Following(follower);
        ctx.set_timer(Timer::Timeout, self.config.timeout);
    }

    /// The follower whose leader that is, over this connection; the first reign that it hears of
    /// is the one.
    fn follower_of(&mut self, leader: NodeId, connection: Connection) -> Option<&mut Follower> {
        let Role::Following(follower) = &mut self.role else { return None };
        let own = &mut follower.inbox.connection;
        if follower.leader != leader || own.attempt != connection.attempt {
            return None;
        }
        if own.reign == 0 {
            own.reign = connection.reign;
        }
        (*own == connection).then_some(follower)
    }

    pub(super) fn on_ping(
        &mut self,
        from: NodeId,
        connection: Connection,
        ctx: &mut Context<'_, Self>,
    ) {
        let timeout = self.config.timeout;
        let Some(follower) = self.follower_of(from, connection) else {
            return ctx.ignore("ping: of another connection");
        };
        ctx.set_timer(Timer::Timeout, timeout);
        let (next, clients) = (follower.inbox.next, std::mem::take(&mut follower.clients));
        ctx.send(from, Message::Received { connection, next, clients });
    }

    pub(super) fn on_stream(
        &mut self,
        from: NodeId,
        connection: Connection,
        number: u32,
        payload: Payload,
        ctx: &mut Context<'_, Self>,
    ) {
        let timeout = self.config.timeout;
        let Some(follower) = self.follower_of(from, connection) else {
            return ctx.ignore("stream: of another connection");
        };
        ctx.set_timer(Timer::Timeout, timeout);
        follower.inbox.put(number, payload);
        while let Some(follower) = self.follower_of(from, connection)
            && let Some(payload) = follower.inbox.take()
        {
            self.on_payload(payload, ctx);
        }
        if let Some(follower) = self.follower_of(from, connection) {
            let (next, clients) = (follower.inbox.next, std::mem::take(&mut follower.clients));
            ctx.send(from, Message::Received { connection, next, clients });
        }
    }

    /// What the leader says, in order.
    fn on_payload(&mut self, payload: Payload, ctx: &mut Context<'_, Self>) {
        match payload {
            Payload::NewEpoch(epoch) => self.on_new_epoch(epoch, ctx),
            Payload::Diff(keep, txns) => self.on_diff(keep, txns, ctx),
            Payload::Snapshot(tree, txns) => self.on_snapshot(tree, txns, ctx),
            Payload::NewLeader(epoch) => self.on_new_leader(epoch, ctx),
            Payload::Propose(txn) => self.on_propose(txn, ctx),
            Payload::Commit(zxid) => self.deliver(zxid, ctx),
            Payload::UpToDate(zxid) => {
                self.deliver(zxid, ctx);
                if let Role::Following(follower) = &mut self.role {
                    follower.is_up_to_date = true;
                }
            }
        }
    }

    /// Phase 1: it follows nobody of an earlier epoch any more.
    fn on_new_epoch(&mut self, epoch: Epoch, ctx: &mut Context<'_, Self>) {
        if epoch < self.promised {
            ctx.reach("discovery: a follower has promised a later epoch");
            return self.look(ctx);
        }
        let is_new = self.promised < epoch;
        if is_new {
            self.promised = epoch;
            ctx.append(Record::Promised(epoch));
            ctx.sync();
        }
        let (current, last) = (self.current, self.history.last());
        self.say(|connection| Message::AckEpoch { connection, is_new, current, last }, ctx);
    }

    /// Phase 2: its history is brought into line with the leader's.
    fn on_diff(&mut self, keep: Zxid, txns: Vec<Txn>, ctx: &mut Context<'_, Self>) {
        if keep < self.history.last() {
            ctx.reach("synchronisation: what the leader does not have is cut off");
            self.history.truncate(keep);
            ctx.append(Record::Truncated(keep));
        }
        txns.into_iter().for_each(|txn| self.accept(txn, ctx));
    }

    fn on_snapshot(&mut self, tree: Arc<Tree>, txns: Vec<Txn>, ctx: &mut Context<'_, Self>) {
        ctx.reach("synchronisation: by a snapshot");
        // Durable with what follows: a later leader takes it for part of the history.
        ctx.append(Record::Installed(Arc::clone(&tree)));
        self.tree = Tree::clone(&tree);
        self.history = History::from(tree);
        txns.into_iter().for_each(|txn| self.accept(txn, ctx));
    }

    fn on_new_leader(&mut self, epoch: Epoch, ctx: &mut Context<'_, Self>) {
        self.current = epoch;
        ctx.append(Record::Current(epoch));
        ctx.sync();
        self.say(|connection| Message::AckNewLeader { connection }, ctx);
    }

    /// Phase 3.
    fn on_propose(&mut self, txn: Txn, ctx: &mut Context<'_, Self>) {
        let zxid = txn.zxid;
        self.accept(txn, ctx);
        ctx.sync();
        self.say(|connection| Message::Ack { connection, zxid }, ctx);
    }

    /// Tells the leader something, and again until there is more to tell.
    fn say(&mut self, what: impl Fn(Connection) -> Message, ctx: &mut Context<'_, Self>) {
        if let Role::Following(follower) = &mut self.role {
            follower.said = what(follower.inbox.connection);
            follower.say_again(ctx);
        }
    }
}

impl Follower {
    pub(super) fn say_again(&self, ctx: &mut Context<'_, Server>) {
        ctx.send(self.leader, self.said.clone());
    }

    pub(super) fn has_heard(&mut self, client: ClientId) {
        if !self.clients.contains(&client) {
            self.clients.push(client);
        }
    }

    pub(super) fn is_up_to_date(&self) -> bool {
        self.is_up_to_date
    }
}

impl fmt::Display for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (leader, next) = (self.leader, self.inbox.next);
        match self.is_up_to_date {
            true => Ok(()),
            false => {
                write!(f, "to be brought up to date by {leader}, of which {next} messages came")
            }
        }
    }
}
