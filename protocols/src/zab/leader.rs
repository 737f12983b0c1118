//! The leader of phases 1 to 3, and what it does for clients.

use super::channel::{Connection, Outbox};
use super::history::{Epoch, Txn, Zxid};
use super::tree::{Answer, Delta, Operation, Tree};
use super::{Message, Payload, Record, Response, Role, Server, Timer};
use seedfall_sim::{ClientId, Context, NodeId, RequestId, SortedMap, Time};
use std::fmt;

/// What a leader knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Leader {
    /// Tells this reign from others of the same server.
    reign: u64,
    /// The epoch that it wants to begin, once a quorum follows.
    epoch: Option<Epoch>,
    /// Who has agreed to it, and had not before.
    agreed: Vec<NodeId>,
    /// Whether a quorum has.
    is_agreed: bool,
    /// Whether a quorum has its history, so that it broadcasts.
    is_established: bool,
    links: SortedMap<NodeId, Link>,
    /// What all that it has proposed comes to.
    planned: Tree,
    /// How many transactions it has proposed.
    counter: u32,
    /// When each client was heard of last, by anybody.
    heard: SortedMap<ClientId, Time>,
}

/// What it knows of a follower.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Link {
    outbox: Outbox<Payload>,
    /// The follower follows nobody of an earlier epoch.
    promised: Epoch,
    stage: Stage,
    /// Up to where its history is the leader's, durably.
    acked: Zxid,
    heard: Time,
}

/// How far a follower has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// It is to agree to the epoch.
    Discovery,
    /// It has; the last transaction of its history.
    Agreed(Zxid),
    /// It was sent all up to this transaction.
    Synchronisation(Zxid),
    /// It has that.
    Broadcast,
}

/// How much is repeated at a time.
const REPEATED_MAX: usize = 4;

impl Server {
    /// Was elected: phase 1 begins.
    pub(super) fn lead(&mut self, ctx: &mut Context<'_, Self>) {
        let reign = self.next_term();
        self.role = Role::Leading(Leader {
            reign,
            epoch: None,
            agreed: Vec::new(),
            is_agreed: false,
            is_established: false,
            links: SortedMap::new(),
            planned: Tree::default(),
            counter: 0,
            heard: SortedMap::new(),
        });
        ctx.set_timer(Timer::Timeout, self.config.timeout);
    }

    /// The leader, and its link over this connection.
    fn link(&mut self, of: NodeId, connection: Connection) -> Option<&mut Link> {
        let Role::Leading(leader) = &mut self.role else { return None };
        leader.links.get_mut(&of).filter(|link| link.outbox.connection == connection)
    }

    /// Phase 1: once a quorum follows, an epoch is later than all that they have promised.
    pub(super) fn on_follower_info(
        &mut self,
        from: NodeId,
        attempt: u64,
        promised: Epoch,
        ctx: &mut Context<'_, Self>,
    ) {
        let quorum = self.quorum();
        let Role::Leading(leader) = &mut self.role else {
            return ctx.ignore("follower info: does not lead");
        };
        if leader.links.get(&from).is_some_and(|link| attempt <= link.outbox.connection.attempt) {
            return ctx.ignore("follower info: known already");
        }
        if leader.epoch.is_some_and(|epoch| epoch < promised) {
            ctx.reach("discovery: a leader steps down for a later epoch");
            return self.look(ctx);
        }
        let connection = Connection { attempt, reign: leader.reign };
        let (outbox, heard) = (Outbox::new(connection), ctx.now());
        let stage = Stage::Discovery;
        let mut link = Link { outbox, promised, stage, acked: Zxid::default(), heard };
        if let Some(epoch) = leader.epoch {
            link.tell(from, Payload::NewEpoch(epoch), ctx);
        }
        leader.links.insert(from, link);
        if leader.epoch.is_some() || leader.links.len() + 1 < quorum {
            return;
        }
        let promised = leader.links.values().map(|link| link.promised).max().unwrap_or(0);
        let epoch = promised.max(self.promised) + 1;
        self.promised = epoch;
        ctx.append(Record::Promised(epoch));
        ctx.sync();
        leader.epoch = Some(epoch);
        leader.agreed.push(self.id);
        leader.tell_all(|_| true, &Payload::NewEpoch(epoch), ctx);
    }

    /// Phase 1 ends once a quorum has agreed, none of whom has a better history.
    pub(super) fn on_ack_epoch(
        &mut self,
        from: NodeId,
        connection: Connection,
        is_new: bool,
        (current, last): (Epoch, Zxid),
        ctx: &mut Context<'_, Self>,
    ) {
        let Some(link) = self.link(from, connection) else {
            return ctx.ignore("ack epoch: of another connection");
        };
        if link.stage != Stage::Discovery {
            return ctx.ignore("ack epoch: known already");
        }
        link.stage = Stage::Agreed(last);
        if (self.current, self.history.last()) < (current, last) {
            ctx.reach("discovery: a follower has a better history");
            return self.look(ctx);
        }
        let quorum = self.quorum();
        let Role::Leading(leader) = &mut self.role else { return };
        if is_new {
            leader.agreed.push(from);
        } else {
            ctx.reach("discovery: a follower had agreed to this epoch before");
        }
        if leader.is_agreed {
            return self.synchronise(from, ctx);
        }
        if leader.agreed.len() < quorum {
            return;
        }
        leader.is_agreed = true;
        leader.planned = self.history.tree();
        self.current = leader.epoch.expect("a quorum has agreed to it");
        let has_agreed = |one: &(&NodeId, &Link)| matches!(one.1.stage, Stage::Agreed(_));
        let agreed: Vec<NodeId> =
            leader.links.iter().filter(has_agreed).map(|(node, _)| *node).collect();
        ctx.append(Record::Current(self.current));
        ctx.sync();
        agreed.into_iter().for_each(|node| self.synchronise(node, ctx));
    }

    /// Phase 2: brings a follower's history into line. From here on it is sent all proposals.
    fn synchronise(&mut self, node: NodeId, ctx: &mut Context<'_, Self>) {
        let Role::Leading(leader) = &mut self.role else { return };
        let Some(link) = leader.links.get_mut(&node) else { return };
        let Stage::Agreed(has) = link.stage else { return };
        let base = self.history.base();
        let payload = if has < base.zxid() {
            Payload::Snapshot(base.clone(), self.history.txns().to_vec())
        } else {
            // A history is determined by its last zxid: they have all up to here in common.
            let keep = self.history.last_up_to(has);
            Payload::Diff(keep, self.history.after(keep).to_vec())
        };
        link.tell(node, payload, ctx);
        link.tell(node, Payload::NewLeader(self.current), ctx);
        link.stage = Stage::Synchronisation(self.history.last());
    }

    /// Phase 2 ends once a quorum has the history, which is committed by that.
    pub(super) fn on_ack_new_leader(
        &mut self,
        from: NodeId,
        connection: Connection,
        ctx: &mut Context<'_, Self>,
    ) {
        let (quorum, delivered) = (self.quorum(), self.tree.zxid());
        let Some(link) = self.link(from, connection) else {
            return ctx.ignore("ack new leader: of another connection");
        };
        let Stage::Synchronisation(has) = link.stage else {
            return ctx.ignore("ack new leader: known already");
        };
        link.stage = Stage::Broadcast;
        link.acked = link.acked.max(has);
        let Role::Leading(leader) = &mut self.role else { return };
        if leader.is_established {
            ctx.reach("synchronisation: a follower comes to an epoch that has begun");
            let link = leader.links.get_mut(&from).expect("found above");
            link.tell(from, Payload::UpToDate(delivered), ctx);
            return self.advance(ctx);
        }
        let has_it = |link: &&Link| link.stage == Stage::Broadcast;
        if leader.links.values().filter(has_it).count() + 1 < quorum {
            return;
        }
        leader.is_established = true;
        ctx.cancel_timer(Timer::Timeout);
        let initial = self.history.last();
        self.deliver(initial, ctx);
        let Role::Leading(leader) = &mut self.role else { return };
        let has_it = |link: &Link| link.stage == Stage::Broadcast;
        leader.tell_all(has_it, &Payload::UpToDate(initial), ctx);
    }

    /// Phase 3: a follower has all up to a transaction.
    pub(super) fn on_ack(
        &mut self,
        from: NodeId,
        connection: Connection,
        zxid: Zxid,
        ctx: &mut Context<'_, Self>,
    ) {
        let Some(link) = self.link(from, connection) else {
            return ctx.ignore("ack: of another connection");
        };
        link.acked = link.acked.max(zxid);
        if matches!(link.stage, Stage::Synchronisation(_)) {
            return self.on_ack_new_leader(from, connection, ctx);
        }
        self.advance(ctx);
    }

    /// What a quorum has of this epoch is committed.
    fn advance(&mut self, ctx: &mut Context<'_, Self>) {
        let quorum = self.quorum();
        let Role::Leading(leader) = &mut self.role else { return };
        let mut acked: Vec<Zxid> = leader.links.values().map(|link| link.acked).collect();
        acked.push(self.history.last());
        acked.sort_unstable_by(|one, other| other.cmp(one));
        let Some(commit) = acked.get(quorum - 1).copied() else { return };
        if !leader.is_established || commit <= self.tree.zxid() {
            return;
        }
        let is_sent = |link: &Link| link.is_sent_proposals();
        leader.tell_all(is_sent, &Payload::Commit(commit), ctx);
        self.deliver(commit, ctx);
    }

    /// A client wants something changed.
    pub(super) fn on_update(
        &mut self,
        request: RequestId,
        what: &Operation,
        ctx: &mut Context<'_, Self>,
    ) {
        let Role::Leading(leader) = &self.role else { return };
        match leader.planned.latest(request) {
            Some((number, answer, zxid)) if *number == request.number => {
                ctx.reach("update: a retry has no second effect");
                if *zxid <= self.tree.zxid() {
                    let (answer, zxid) = (answer.clone(), *zxid);
                    ctx.respond(request, Response::Done { answer, zxid });
                }
                return;
            }
            Some((number, ..)) if request.number < *number => {
                return ctx.ignore("update: its client has moved on");
            }
            _ => {}
        }
        let zxid = leader.next(self.current);
        let (delta, answer) = leader.planned.plan(request.client, what, zxid);
        self.propose(Txn { zxid, request: Some(request), delta, answer }, ctx);
    }

    /// The next transaction, to whoever has the history or was sent it.
    fn propose(&mut self, txn: Txn, ctx: &mut Context<'_, Self>) {
        self.accept(txn.clone(), ctx);
        ctx.sync();
        let Role::Leading(leader) = &mut self.role else { return };
        leader.counter += 1;
        leader.planned.apply(&txn);
        leader.tell_all(Link::is_sent_proposals, &Payload::Propose(txn), ctx);
        self.advance(ctx);
    }

    pub(super) fn on_received(
        &mut self,
        from: NodeId,
        connection: Connection,
        next: u32,
        clients: &[ClientId],
        ctx: &mut Context<'_, Self>,
    ) {
        let now = ctx.now();
        let Some(link) = self.link(from, connection) else {
            return ctx.ignore("received: of another connection");
        };
        link.outbox.acked(next);
        link.heard = now;
        let Role::Leading(leader) = &mut self.role else { return };
        clients.iter().for_each(|client| leader.has_heard(*client, now));
    }

    /// Is there, repeats what may be lost, ends sessions; and steps down if nobody follows.
    pub(super) fn on_leader_interval(&mut self, ctx: &mut Context<'_, Self>) {
        let (now, timeout, quorum) = (ctx.now(), self.config.timeout, self.quorum());
        let Role::Leading(leader) = &mut self.role else { return };
        let is_heard = |link: &&Link| now < link.heard + timeout;
        if leader.is_established && leader.links.values().filter(is_heard).count() + 1 < quorum {
            ctx.reach("broadcast: no quorum follows any more");
            return self.look(ctx);
        }
        for (node, link) in &leader.links {
            let connection = link.outbox.connection;
            for (number, payload) in link.outbox.unacked(REPEATED_MAX) {
                let (number, payload) = (*number, payload.clone());
                ctx.send(*node, Message::Stream { connection, number, payload });
            }
            ctx.send(*node, Message::Ping { connection });
        }
        if leader.is_established {
            self.end_sessions(ctx);
        }
    }

    /// Clients with ephemeral znodes, who were not heard of for too long.
    fn end_sessions(&mut self, ctx: &mut Context<'_, Self>) {
        let (now, timeout) = (ctx.now(), self.config.session_timeout);
        let Role::Leading(leader) = &mut self.role else { return };
        let mut owners: Vec<ClientId> = leader.planned.owners().collect();
        owners.dedup();
        let heard = &mut leader.heard;
        owners.retain(|owner| *heard.entry(*owner).or_insert(now) + timeout <= now);
        for client in owners {
            let Role::Leading(leader) = &self.role else { return };
            if !leader.planned.owners().any(|owner| owner == client) {
                continue;
            }
            ctx.reach("session: its client is silent");
            let (zxid, delta) = (leader.next(self.current), Delta::End(client));
            self.propose(Txn { zxid, request: None, delta, answer: Answer::Done }, ctx);
        }
    }
}

impl Leader {
    pub(super) fn is_established(&self) -> bool {
        self.is_established
    }

    pub(super) fn has_heard(&mut self, client: ClientId, now: Time) {
        self.heard.insert(client, now);
    }

    /// Who has agreed to its epoch, as it thinks.
    pub(super) fn followers(&self) -> impl Iterator<Item = NodeId> {
        let has_agreed = |one: &(&NodeId, &Link)| one.1.stage != Stage::Discovery;
        self.links.iter().filter(has_agreed).map(|(node, _)| *node)
    }

    /// The epoch that it wants to begin.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// Who is counted among those, in which reign.
    pub(super) fn agreed(&self) -> (u64, &[NodeId]) {
        (self.reign, &self.agreed)
    }

    /// Whether it thinks that a quorum has.
    pub(super) fn is_agreed(&self) -> bool {
        self.is_agreed
    }

    /// When a client was heard of last.
    pub(super) fn last_heard(&self, client: ClientId) -> Option<Time> {
        self.heard.get(&client).copied()
    }

    fn next(&self, epoch: Epoch) -> Zxid {
        Zxid { epoch, counter: self.counter + 1 }
    }

    /// Tells those of its followers.
    fn tell_all(
        &mut self,
        whom: impl Fn(&Link) -> bool,
        payload: &Payload,
        ctx: &mut Context<'_, Server>,
    ) {
        for (node, link) in self.links.iter_mut().filter(|(_, link)| whom(link)) {
            link.tell(*node, payload.clone(), ctx);
        }
    }
}

impl Link {
    fn tell(&mut self, node: NodeId, payload: Payload, ctx: &mut Context<'_, Server>) {
        let number = self.outbox.push(payload.clone());
        let connection = self.outbox.connection;
        ctx.send(node, Message::Stream { connection, number, payload });
    }

    /// Whether it has the history of the epoch, or was sent it: what it is sent comes in order.
    fn is_sent_proposals(&self) -> bool {
        matches!(self.stage, Stage::Synchronisation(_) | Stage::Broadcast)
    }
}

impl fmt::Display for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages = self.links.iter().map(|(node, link)| format!("{node} {:?}", link.stage));
        let stages: Vec<String> = stages.collect();
        match self.is_established {
            true => Ok(()),
            false => write!(f, "for a quorum in epoch {:?}: {}", self.epoch, stages.join(", ")),
        }
    }
}
