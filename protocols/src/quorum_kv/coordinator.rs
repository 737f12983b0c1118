//! Gets and puts (Dynamo, 4.5 and 4.6): the part of the home that a client asked.

use super::{
    Dot, Message, OperationId, QuorumKv, Record, Response, Ticket, Timer, Version, VersionVector,
    Versions,
};
use crate::kv::Text;
use seedfall_sim::{Context, NodeId, RequestId, SortedMap};

/// An operation that is under way at its coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Operation {
    request: RequestId,
    pub(super) key: Text,
    homes: Vec<NodeId>,
    kind: Kind,
    /// Homes that have answered by themselves.
    answered: Vec<NodeId>,
    /// Homes for which a stand-in has answered.
    stood_in: Vec<NodeId>,
    /// Who stands in for whom.
    stand_ins: Vec<(NodeId, NodeId)>,
    /// Whether the client has been told.
    is_acknowledged: bool,
}

impl Operation {
    /// What keeps its client waiting, for people.
    pub(super) fn waits(&self) -> Option<String> {
        let Self { request, key, homes, answered, stood_in, .. } = self;
        let kind = match self.kind {
            Kind::Put { .. } => "put",
            Kind::Get { .. } => "get",
        };
        (!self.is_acknowledged).then(|| {
            format!(
                "{request} ({kind} of {key:?}): for a quorum of {homes:?}, has {answered:?} and \
                 stand-ins for {stood_in:?}"
            )
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Put {
        dot: Dot,
        past: VersionVector,
    },
    Get {
        /// What was heard of so far.
        gathered: Versions,
        /// What each home said that has not been repaired yet.
        replies: Vec<(NodeId, Versions)>,
    },
}

/// What a coordinator remembers of a client, in memory alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Session {
    /// The client's latest operation here, with its answer, once it had one.
    latest: Option<(u32, Option<Response>)>,
    /// What the client was shown last of each key.
    contexts: SortedMap<Text, VersionVector>,
}

impl Session {
    /// The number of the client's latest operation here.
    pub(super) fn latest(&self) -> Option<u32> {
        self.latest.as_ref().map(|(number, _)| *number)
    }
}

impl Operation {
    pub(super) fn is_unacknowledged_put(&self) -> bool {
        matches!(self.kind, Kind::Put { .. }) && !self.is_acknowledged
    }

    /// Of a put: the key, the name of the version, and the homes that have answered.
    pub(super) fn counted(&self) -> Option<(&Text, Dot, &[NodeId])> {
        match &self.kind {
            Kind::Put { dot, .. } => Some((&self.key, *dot, &self.answered)),
            Kind::Get { .. } => None,
        }
    }

    fn is_get(&self) -> bool {
        matches!(self.kind, Kind::Get { .. })
    }

    /// The homes for which nobody has answered yet.
    fn silent(&self) -> impl Iterator<Item = NodeId> {
        let heard = |home: &NodeId| self.answered.contains(home) || self.stood_in.contains(home);
        self.homes.iter().copied().filter(move |home| !heard(home))
    }

    /// How many answers count: those of homes, and in a sloppy quorum those of stand-ins.
    fn quorum(&self, sloppy: bool) -> usize {
        let for_others = self.stood_in.iter().filter(|home| !self.answered.contains(home));
        self.answered.len() + if sloppy { for_others.count() } else { 0 }
    }

    /// Notes an answer for a home. False if there was one of this kind before.
    fn hear(&mut self, from: NodeId, home: NodeId) -> bool {
        let heard = if from == home { &mut self.answered } else { &mut self.stood_in };
        let is_new = !heard.contains(&home);
        if is_new {
            heard.push(home);
        }
        is_new
    }
}

impl QuorumKv {
    /// Whether the request is a new one; an answered one is answered again.
    pub(super) fn admits(&mut self, request: RequestId, ctx: &mut Context<'_, Self>) -> bool {
        let session = self.sessions.entry(request.client).or_default();
        match &session.latest {
            Some((number, _)) if request.number < *number => {
                ctx.ignore("request: its client has moved on");
                return false;
            }
            Some((number, answer)) if request.number == *number => {
                match answer {
                    Some(answer) => ctx.respond(request, answer.clone()),
                    None => ctx.ignore("request: already under way"),
                }
                return false;
            }
            _ => {}
        }
        session.latest = Some((request.number, None));
        true
    }

    /// 4.5: the coordinator gives the new version its name, writes it, and sends it to the other
    /// homes.
    pub(super) fn begin_put(
        &mut self,
        request: RequestId,
        key: Text,
        value: Option<Text>,
        homes: Vec<NodeId>,
        ctx: &mut Context<'_, Self>,
    ) {
        let session = self.sessions.get(&request.client);
        let past = session.and_then(|session| session.contexts.get(&key));
        let past = past.cloned().unwrap_or_default();
        let counter = self.durable.counters.entry(key.clone()).or_default();
        *counter += 1;
        let dot = Dot { node: self.id, counter: *counter };
        let siblings = self.durable.store.entry(key.clone()).or_default();
        let before = siblings.clone();
        siblings.put(Version { dot, past: past.clone(), value });
        if 1 < siblings.len() {
            ctx.reach("put: a sibling of what its client was not shown");
        } else if 1 < before.len() {
            ctx.reach("put: several siblings were replaced by one");
        }
        let versions = siblings.clone();
        let shrank = self.note_epoch(&before, &versions, ctx);
        self.durable.changes += 1;
        ctx.append(Record::Stored { key: key.clone(), versions });
        ctx.sync(); // Its name is taken for good, before anybody hears of it.
        if shrank {
            self.ask_again(&key, ctx);
        }
        self.begin(request, key, homes, Kind::Put { dot, past }, ctx);
    }

    /// 4.5: asks all homes, and waits for the first `R`.
    pub(super) fn begin_get(
        &mut self,
        request: RequestId,
        key: Text,
        homes: Vec<NodeId>,
        ctx: &mut Context<'_, Self>,
    ) {
        let (gathered, replies) = (self.siblings(&key), Vec::new());
        self.begin(request, key, homes, Kind::Get { gathered, replies }, ctx);
    }

    fn begin(
        &mut self,
        request: RequestId,
        key: Text,
        homes: Vec<NodeId>,
        kind: Kind,
        ctx: &mut Context<'_, Self>,
    ) {
        let number = self.next_number;
        self.next_number += 1;
        let operation = Operation {
            request,
            key,
            homes,
            kind,
            answered: vec![self.id],
            stood_in: Vec::new(),
            stand_ins: Vec::new(),
            is_acknowledged: false,
        };
        let others: Vec<NodeId> = operation.silent().collect();
        self.operations.insert(number, operation);
        for home in others {
            self.ask(number, home, home, ctx);
        }
        ctx.set_timer(Timer::Operation(number), self.config.retransmit_after);
        self.advance(number, ctx);
    }

    /// Asks a node for its part in an operation: a home, or a stand-in for one.
    fn ask(&self, number: u32, to: NodeId, home: NodeId, ctx: &mut Context<'_, Self>) {
        let operation = &self.operations[&number];
        let id = OperationId { life: self.durable.life, number };
        let key = operation.key.clone();
        match operation.kind {
            Kind::Get { .. } => ctx.send(to, Message::Get { operation: id, key }),
            // What is here now, which holds the new version or one that replaces it.
            Kind::Put { .. } => self.send_store(to, home, Ticket::Put(id), &key, ctx),
        }
    }

    /// 4.6: a home that does not answer is asked again, and so is the next node that is none.
    pub(super) fn on_operation_timeout(&mut self, number: u32, ctx: &mut Context<'_, Self>) {
        let operation = self.operations.get_mut(&number).expect("a finished one has no timer");
        if operation.is_get() && operation.is_acknowledged {
            // Who is this late is left to anti-entropy.
            self.operations.remove(&number);
            return;
        }
        let silent: Vec<NodeId> = operation.silent().collect();
        let has_stand_ins = self.config.sloppy || !operation.is_get();
        if has_stand_ins {
            let list = self.ring.preference_list(&operation.key);
            let mut spare = list.into_iter().skip(self.config.homes);
            spare.by_ref().take(operation.stand_ins.len()).for_each(drop);
            for home in &silent {
                if operation.stand_ins.iter().all(|(_, other)| other != home)
                    && let Some(stand_in) = spare.next()
                {
                    ctx.reach("stand-in: asked beside a home that does not answer");
                    operation.stand_ins.push((stand_in, *home));
                }
            }
        }
        let stand_ins = operation.stand_ins.clone();
        for home in silent {
            self.ask(number, home, home, ctx);
            for (stand_in, _) in stand_ins.iter().filter(|(_, other)| *other == home) {
                self.ask(number, *stand_in, home, ctx);
            }
        }
        ctx.set_timer(Timer::Operation(number), self.config.retransmit_after);
    }

    /// A put: one more holds it, or its message was of an earlier epoch and goes out anew.
    pub(super) fn on_put_reply(
        &mut self,
        from: NodeId,
        id: OperationId,
        home: NodeId,
        accepted: bool,
        ctx: &mut Context<'_, Self>,
    ) {
        let Some(operation) = self.under_way(id).filter(|operation| !operation.is_get()) else {
            return ctx.ignore("store reply: the put is of an earlier life, or finished");
        };
        if !accepted {
            return self.ask(id.number, from, home, ctx);
        }
        if !operation.hear(from, home) {
            return ctx.ignore("store reply: this node has answered before");
        }
        if from != home {
            ctx.reach("hint: a stand-in keeps a put for a home");
        }
        self.advance(id.number, ctx);
    }

    /// A get: what one more holds.
    pub(super) fn on_get_reply(
        &mut self,
        from: NodeId,
        id: OperationId,
        versions: Versions,
        ctx: &mut Context<'_, Self>,
    ) {
        let Some(operation) = self.under_way(id) else {
            return ctx.ignore("get reply: of an earlier life or a finished get");
        };
        let stands_in = operation.stand_ins.iter().find(|(node, _)| *node == from);
        let home = stands_in.map_or(from, |(_, home)| *home);
        if !operation.hear(from, home) {
            return ctx.ignore("get reply: this node has answered before");
        }
        let Kind::Get { gathered, replies } = &mut operation.kind else {
            unreachable!("{id:?} numbers one operation, and asked for siblings")
        };
        gathered.merge(&versions);
        if from == home {
            replies.push((from, versions));
        }
        self.advance(id.number, ctx);
    }

    fn under_way(&mut self, id: OperationId) -> Option<&mut Operation> {
        self.operations.get_mut(&id.number).filter(|_| id.life == self.durable.life)
    }

    /// Answers the client once there is a quorum, and ends the operation once nobody is silent.
    fn advance(&mut self, number: u32, ctx: &mut Context<'_, Self>) {
        let operation = &self.operations[&number];
        let needed = match operation.kind {
            Kind::Put { .. } => self.config.write_quorum,
            Kind::Get { .. } => self.config.read_quorum,
        };
        if !operation.is_acknowledged && needed <= operation.quorum(self.config.sloppy) {
            self.acknowledge(number, ctx);
        }
        if self.operations[&number].is_acknowledged {
            self.read_repair(number, ctx);
        }
        let Some(operation) = self.operations.get(&number) else {
            return; // The repair of this node ended it: see `ask_again`.
        };
        if operation.is_acknowledged && operation.silent().next().is_none() {
            self.operations.remove(&number);
            ctx.cancel_timer(Timer::Operation(number));
        }
    }

    fn acknowledge(&mut self, number: u32, ctx: &mut Context<'_, Self>) {
        let own = self.siblings(&self.operations[&number].key);
        let operation = self.operations.get_mut(&number).expect("the caller has it");
        operation.is_acknowledged = true;
        let (request, key) = (operation.request, operation.key.clone());
        let (response, shown) = match &mut operation.kind {
            Kind::Get { gathered, .. } => {
                // What is here has grown since the get began: maybe by a tombstone, which those who
                // answered later had forgotten already.
                gathered.merge(&own);
                let siblings = gathered.clone();
                (Response::Siblings(siblings.clone()), siblings)
            }
            Kind::Put { dot, past } => {
                let (dot, past) = (*dot, past.clone());
                (Response::Stored { dot, past, siblings: own.clone() }, own)
            }
        };
        if 1 < shown.len() {
            ctx.reach("answer: shows siblings");
        }
        let session = self.sessions.entry(request.client).or_default();
        if let Some((number, answer)) = &mut session.latest
            && *number == request.number
        {
            *answer = Some(response.clone());
        }
        session.contexts.insert(key, shown.context());
        ctx.respond(request, response);
    }

    /// Section 5: whoever told less than is known is sent the rest. That includes this node.
    fn read_repair(&mut self, number: u32, ctx: &mut Context<'_, Self>) {
        let operation = self.operations.get_mut(&number).expect("the caller has it");
        let key = operation.key.clone();
        let Kind::Get { gathered, replies } = &mut operation.kind else { return };
        let (gathered, replies) = (gathered.clone(), std::mem::take(replies));
        if self.hold(&key, &gathered, ctx) {
            ctx.reach("read repair: the coordinator was behind");
        }
        let known = self.siblings(&key);
        for (home, told) in replies {
            if told != known {
                ctx.reach("read repair: a home was behind");
                self.send_store(home, home, Ticket::ReadRepair, &key, ctx);
            }
        }
    }

    /// A tombstone of the key is forgotten here. What gets have heard of may be older than that:
    /// those that are still to be answered ask again.
    pub(super) fn ask_again(&mut self, key: &Text, ctx: &mut Context<'_, Self>) {
        let gets = self.operations.iter().filter(|(_, operation)| operation.is_get());
        let gets = gets.filter(|(_, operation)| operation.key == *key);
        let numbers: Vec<u32> = gets.map(|(number, _)| *number).collect();
        for number in numbers {
            let Some(operation) = self.operations.remove(&number) else { continue };
            ctx.cancel_timer(Timer::Operation(number));
            if !operation.is_acknowledged {
                ctx.reach("get: asks again, as a tombstone was forgotten meanwhile");
                self.begin_get(operation.request, operation.key, operation.homes, ctx);
            }
        }
    }
}
