//! Queries at every server (Terrace and Freedman, *Object Storage on CRAQ*, USENIX ATC 2009,
//! section 2.3): chain replication with apportioned queries.
//!
//! A key is *clean* at a server if all updates of it that the server has are known there to be
//! committed, else *dirty*. A clean key is answered at once: nothing of it is committed that has
//! not come past here. For a dirty one the tail is asked how much is committed, and that version is
//! the answer, which this server has, as everything comes past it before it reaches the tail.
//!
//! Both rest on being in the chain, and the master may have taken this server out. So each answers
//! under a lease of its own, as the tail does: while it lasts, every later chain has this server in
//! it and commits nothing before it has heard of that chain.

use super::server::Server;
use super::{Epoch, Message, Node, Reads, Response};
use crate::kv::{Answer, Command, Store, Text};
use seedfall_sim::{Context, NodeId, RequestId};

impl Server {
    /// Whether this server answers this by itself, without being the tail.
    pub(super) fn apportions(&self, command: &Command) -> bool {
        let is_member = self.is_ready() && !self.is_tail();
        self.config.reads == Reads::Anywhere && command.is_read() && is_member
    }

    /// A query, at a server before the tail.
    pub(super) fn on_apportioned(
        &mut self,
        id: RequestId,
        query: Command,
        ctx: &mut Context<'_, Node>,
    ) {
        if self.lease <= ctx.now() {
            ctx.reach("query: the lease has run out before the tail");
            return ctx.respond(id, Response::Elsewhere(None));
        }
        if self.is_clean(query.key()) {
            ctx.reach("query: a clean key, before the tail");
            let answer = self.store.apply(&query);
            return ctx.respond(id, Response::Done(answer));
        }
        ctx.reach("query: a dirty key, the tail is asked");
        if !self.asking.iter().any(|(other, _)| *other == id) {
            self.asking.push((id, query));
        }
        let tail = self.chain.tail().expect("this server is in the chain");
        ctx.send(tail, Message::VersionQuery { epoch: self.chain.epoch, id });
    }

    /// The tail is asked: all that it has is committed, if it is still the tail of that chain. It
    /// needs no lease for that, since whoever asks has one.
    pub(super) fn on_version_query(
        &mut self,
        from: NodeId,
        epoch: Epoch,
        id: RequestId,
        ctx: &mut Context<'_, Node>,
    ) {
        if epoch != self.chain.epoch || !self.is_tail() || !self.ready {
            return ctx.ignore("version query: it is not the tail of that chain, or not ready");
        }
        ctx.send(from, Message::Version { epoch, id, committed: self.updates.len() });
    }

    /// The tail's word, in this epoch, under this lease: the version that was committed then.
    pub(super) fn on_version(
        &mut self,
        epoch: Epoch,
        id: RequestId,
        committed: usize,
        ctx: &mut Context<'_, Node>,
    ) {
        let asked = self.asking.iter().position(|(other, _)| *other == id);
        let Some(place) = asked.filter(|_| epoch == self.chain.epoch) else {
            return ctx.ignore("version: of another chain, or known already");
        };
        let (_, query) = self.asking.remove(place);
        if self.lease <= ctx.now() {
            ctx.reach("version: the lease has run out meanwhile");
            return ctx.respond(id, Response::Elsewhere(None));
        }
        if self.committed < committed {
            self.committed = committed;
            self.answer(ctx);
            self.tell_predecessor(ctx);
        }
        if !self.is_clean(query.key()) {
            ctx.reach("version: an older one than the newest here");
        }
        ctx.respond(id, Response::Done(self.committed_version(&query)));
    }

    fn is_clean(&self, key: &Text) -> bool {
        let mut dirty = self.updates[self.committed..].iter();
        dirty.all(|(update, _)| update.command.key() != key)
    }

    /// What a query would be answered if nothing had come after what is committed.
    fn committed_version(&self, query: &Command) -> Answer {
        let mut store = Store::default();
        let updates = self.updates[..self.committed].iter().map(|(update, _)| &update.command);
        for command in updates.filter(|command| command.key() == query.key()) {
            store.apply(command);
        }
        store.apply(query)
    }
}
