//! The coordinator's part: an operation and its two phases.

use super::is_majority;
use super::{Abd, Message, OperationId, Record, Response, Tag, Tagged, Timer, Write, Writers};
use crate::kv::Text;
use seedfall_sim::{Context, NodeId, RequestId};

/// An operation that is under way at its coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Operation {
    pub(super) request: RequestId,
    pub(super) key: Text,
    /// What is to be written; `None`: a read.
    pub(super) writes: Option<Text>,
    pub(super) phase: Phase,
    /// In phase 1 the newest that was heard of, in phase 2 what is stored.
    pub(super) tagged: Tagged,
    /// Whether answers differed in phase 1.
    pub(super) differed: bool,
    /// Who has answered in this phase: a set, so that a doubled reply counts once.
    pub(super) heard: Vec<NodeId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    Query,
    Store,
}

/// The coordinator's part: the two phases of an operation.
impl Abd {
    /// A write: begins it, or goes on with it under the tag that it has.
    pub(super) fn on_write(
        &mut self,
        request: RequestId,
        key: Text,
        value: Text,
        ctx: &mut Context<'_, Self>,
    ) {
        let proxy = self.proxy(request.client);
        if proxy != self.id {
            return ctx.respond(request, Response::NotProxy { proxy });
        }
        if let Some(write) = self.durable.writes.get(&request.client) {
            if request.number < write.number {
                return ctx.ignore("write: its client has written since");
            }
            if request.number == write.number {
                ctx.reach(if write.life == self.durable.life {
                    "write: a retry goes on under the tag that it has"
                } else {
                    "write: a retry goes on under the tag that it got before a crash"
                });
                let (key, tagged) = (write.key.clone(), write.tagged.clone());
                let operation = Operation::new(request, key, Some(value), tagged, Phase::Store);
                return self.begin(operation, ctx);
            }
        }
        match self.config.writers {
            // The highest tag is the one that this node chose last.
            Writers::Single(_) => {
                let held = self.held(&key).clone();
                let number =
                    self.admit(Operation::new(request, key, Some(value), held, Phase::Query));
                self.begin_store(number, ctx);
            }
            Writers::Many => self.begin_query(request, key, Some(value), ctx),
        }
    }

    /// Phase 1: asks everybody for the newest value of the key.
    pub(super) fn begin_query(
        &mut self,
        request: RequestId,
        key: Text,
        writes: Option<Text>,
        ctx: &mut Context<'_, Self>,
    ) {
        let held = self.held(&key).clone();
        self.begin(Operation::new(request, key, writes, held, Phase::Query), ctx);
    }

    /// Phase 1, answers: keeps the newest; a majority ends the phase.
    pub(super) fn on_query_reply(
        &mut self,
        from: NodeId,
        id: OperationId,
        held: Tagged,
        ctx: &mut Context<'_, Self>,
    ) {
        let Some(operation) = self.under_way(id, Phase::Query) else {
            return ctx.ignore("query reply: of an earlier life or phase");
        };
        operation.differed |= held.tag != operation.tagged.tag;
        if operation.tagged.tag < held.tag {
            operation.tagged = held;
        }
        self.heard_from(from, id.number, ctx);
    }

    /// Phase 2: stores at a majority what a read will return, or what is written under a new tag.
    fn begin_store(&mut self, number: u32, ctx: &mut Context<'_, Self>) {
        let operation = &self.operations[&number];
        assert_eq!(operation.phase, Phase::Query, "a phase comes after the one before");
        if operation.writes.is_some() {
            if !self.choose_tag(number, ctx) {
                return;
            }
        } else {
            if !self.config.write_back {
                return self.complete(number, ctx);
            }
            if operation.differed {
                ctx.reach("read: wrote back a value that not everybody had");
            }
            let (key, tagged) = (operation.key.clone(), operation.tagged.clone());
            self.hold(&key, &tagged, ctx);
        }
        let operation = self.operations.get_mut(&number).expect("it is still under way");
        (operation.phase, operation.heard) = (Phase::Store, Vec::new());
        self.broadcast_phase(number, ctx);
    }

    /// Gives a write its tag, durably and for good. False if it is too late for that.
    fn choose_tag(&mut self, number: u32, ctx: &mut Context<'_, Self>) -> bool {
        let operation = self.operations.get_mut(&number).expect("the caller has it");
        let RequestId { client, number: request } = operation.request;
        if self.durable.writes.get(&client).is_some_and(|write| request < write.number) {
            // It was given up while it asked, and must not take effect after what came later.
            self.operations.remove(&number);
            ctx.cancel_timer(Timer::Retransmit(number));
            ctx.ignore("write: its client has written since");
            return false;
        }
        // This node may have chosen tags for other clients since it asked.
        let held = self.durable.registers.get(&operation.key).map_or(Tag::ZERO, |held| held.tag);
        let counter = operation.tagged.tag.counter.max(held.counter) + 1;
        let tag = Tag { counter, writer: self.id };
        assert!(held < tag && operation.tagged.tag < tag, "{tag:?} is the newest of all heard of");
        operation.tagged = Tagged { tag, value: operation.writes.clone() };
        let (key, tagged) = (operation.key.clone(), operation.tagged.clone());
        let write = Write { number: request, key, tagged, life: self.durable.life };
        self.durable.remember(client, write.clone());
        ctx.append(Record::Write { client, write });
        ctx.sync();
        true
    }

    /// Phase 2, acknowledgements: a majority completes the operation.
    pub(super) fn on_store_ack(
        &mut self,
        from: NodeId,
        id: OperationId,
        ctx: &mut Context<'_, Self>,
    ) {
        if self.under_way(id, Phase::Store).is_none() {
            return ctx.ignore("store ack: of an earlier life or a completed operation");
        }
        self.heard_from(from, id.number, ctx);
    }

    fn complete(&mut self, number: u32, ctx: &mut Context<'_, Self>) {
        let operation = self.operations.remove(&number).expect("it is complete only once");
        ctx.cancel_timer(Timer::Retransmit(number));
        ctx.respond(
            operation.request,
            match operation.writes {
                None => Response::Value(operation.tagged.value),
                Some(_) => Response::Written,
            },
        );
    }
}

/// The paper's *communicate*: send to all, wait for a majority.
impl Abd {
    fn begin(&mut self, operation: Operation, ctx: &mut Context<'_, Self>) {
        let number = self.admit(operation);
        self.broadcast_phase(number, ctx);
    }

    fn admit(&mut self, operation: Operation) -> u32 {
        let number = self.next_number;
        self.next_number += 1;
        self.operations.insert(number, operation);
        number
    }

    /// Sends the phase's message to all. The node's own part is done already.
    fn broadcast_phase(&mut self, number: u32, ctx: &mut Context<'_, Self>) {
        let message = self.message_of(number);
        ctx.broadcast(message);
        ctx.set_timer(Timer::Retransmit(number), self.config.retransmit_after);
        self.heard_from(self.id, number, ctx);
    }

    /// Counts an answer, once. A majority ends the phase.
    fn heard_from(&mut self, node: NodeId, number: u32, ctx: &mut Context<'_, Self>) {
        let operation = self.operations.get_mut(&number).expect("the caller has it");
        if operation.heard.contains(&node) {
            return ctx.ignore("reply: this node has answered before");
        }
        operation.heard.push(node);
        if !is_majority(operation.heard.len(), self.nodes) {
            return;
        }
        match operation.phase {
            Phase::Query => self.begin_store(number, ctx),
            Phase::Store => self.complete(number, ctx),
        }
    }

    /// Sends again to those who have not answered: over a fair-loss link, one of many arrives.
    pub(super) fn on_retransmit(&mut self, number: u32, ctx: &mut Context<'_, Self>) {
        let operation = self.operations.get(&number).expect("a completed one has no timer");
        assert!(!is_majority(operation.heard.len(), self.nodes), "it would be complete");
        ctx.reach("retransmission: no majority has answered in time");
        let message = self.message_of(number);
        for node in NodeId::all(self.nodes).filter(|node| !operation.heard.contains(node)) {
            ctx.send(node, message.clone());
        }
        ctx.set_timer(Timer::Retransmit(number), self.config.retransmit_after);
    }

    fn message_of(&self, number: u32) -> Message {
        let id = OperationId { life: self.durable.life, number };
        let operation = self.operations.get(&number).expect("only what is under way is sent");
        let key = operation.key.clone();
        match operation.phase {
            Phase::Query => Message::Query { operation: id, key },
            Phase::Store => Message::Store { operation: id, key, tagged: operation.tagged.clone() },
        }
    }

    /// The operation, if it is of this life, under way, and in this phase.
    fn under_way(&mut self, id: OperationId, phase: Phase) -> Option<&mut Operation> {
        let operation = self.operations.get_mut(&id.number)?;
        (id.life == self.durable.life && operation.phase == phase).then_some(operation)
    }
}

impl Operation {
    fn new(
        request: RequestId,
        key: Text,
        writes: Option<Text>,
        tagged: Tagged,
        phase: Phase,
    ) -> Self {
        Self { request, key, writes, phase, tagged, differed: false, heard: Vec::new() }
    }
}
