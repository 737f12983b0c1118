//! When a deletion may be forgotten: the grace period, and then everybody's word.
//!
//! The node that coordinated the deletion leads it through two rounds, each repeated until all have
//! answered. First everybody holds the tombstone: homes in their store, all others in a grave,
//! both in their hints of the key. From then on no node holds what it deleted, and none will send
//! it again. Then everybody forgets the tombstone and begins a new epoch, which refuses what was
//! sent before. If the leader crashes meanwhile, those who have not forgotten give the tombstone
//! back to it by anti-entropy, and it begins again. (If no home is among them, a grave may stay.)

use super::{Dot, Message, QuorumKv, Record, Ticket, Timer, Versions};
use crate::kv::Text;
use seedfall_sim::{Context, NodeId, Time};

/// A tombstone on its way to be forgotten, in the memory of the node that leads it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Burial {
    /// Since when this life of the leader has known it, by its own clock.
    since: Time,
    /// Who has said to hold it.
    holders: Vec<NodeId>,
    /// Second round: who has said to have forgotten it.
    purged: Option<Vec<NodeId>>,
}

impl QuorumKv {
    /// Looks after the tombstones that this node leads: asks those who have not answered.
    pub(super) fn on_burial(&mut self, ctx: &mut Context<'_, Self>) {
        ctx.set_timer(Timer::Burial, self.config.retransmit_after);
        self.note_tombstones(ctx.now());
        let led: Vec<(Text, Dot)> = self.burials.keys().cloned().collect();
        for (key, dot) in led {
            let burial = &self.burials[&(key.clone(), dot)];
            if self.config.grace <= ctx.now().since(burial.since) {
                self.bury(&key, dot, ctx);
            }
        }
    }

    /// Goes on with the round that the tombstone is in.
    fn bury(&mut self, key: &Text, dot: Dot, ctx: &mut Context<'_, Self>) {
        let name = (key.clone(), dot);
        let burial = self.burials.get_mut(&name).expect("the caller has it");
        let others = NodeId::all(self.nodes).filter(|id| *id != self.id);
        let without = |those: &[NodeId]| -> Vec<NodeId> {
            others.clone().filter(|id| !those.contains(id)).collect()
        };
        let unaware = without(&burial.holders);
        if !unaware.is_empty() {
            for id in unaware {
                self.send_store(id, id, Ticket::Burial(dot), key, ctx);
            }
            return;
        }
        let begins = burial.purged.is_none();
        let keepers = without(burial.purged.get_or_insert_default());
        if keepers.is_empty() {
            self.burials.remove(&name);
            ctx.reach("tombstone: forgotten by all");
        }
        if begins {
            self.purge(key, dot, ctx);
        }
        for id in keepers {
            ctx.send(id, Message::Purge { key: key.clone(), dot });
        }
    }

    /// Finds the tombstones that this node leads, and drops those that were replaced.
    fn note_tombstones(&mut self, now: Time) {
        let store = &self.durable.store;
        self.burials.retain(|(key, dot), burial| {
            burial.purged.is_some() || store.get(key).is_some_and(|held| held.holds(*dot))
        });
        for (key, versions) in store {
            let led = |dot: Dot| dot.node == self.id;
            let tombstones = versions.iter().filter(|version| version.value.is_none());
            for dot in tombstones.map(|version| version.dot).filter(|dot| led(*dot)) {
                let new = || Burial { since: now, holders: Vec::new(), purged: None };
                self.burials.entry((key.clone(), dot)).or_insert_with(new);
            }
        }
    }

    /// First round: holds the tombstone wherever something of the key is held here.
    pub(super) fn entomb(&mut self, key: &Text, versions: &Versions, ctx: &mut Context<'_, Self>) {
        let hints = self.durable.hints.keys().filter(|(_, other)| other == key);
        let homes: Vec<NodeId> = hints.map(|(home, _)| *home).collect();
        for home in homes {
            self.keep(home, key, versions, ctx);
        }
        if !self.homes(key).contains(&self.id) {
            let grave = self.durable.graves.entry(key.clone()).or_default();
            let before = grave.clone();
            if grave.merge(versions) {
                let versions = grave.clone();
                self.note_epoch(&before, &versions, ctx);
                self.durable.changes += 1;
                ctx.append(Record::Hinted { home: self.id, key: key.clone(), versions });
                ctx.sync();
            }
        }
    }

    /// First round: one more holds it.
    pub(super) fn on_entombed(
        &mut self,
        from: NodeId,
        key: &Text,
        dot: Dot,
        ctx: &mut Context<'_, Self>,
    ) {
        let Some(burial) = self.burials.get_mut(&(key.clone(), dot)) else {
            return ctx.ignore("store reply: the tombstone was replaced or forgotten");
        };
        if burial.holders.contains(&from) {
            return ctx.ignore("store reply: this node has said so before");
        }
        burial.holders.push(from);
        if burial.holders.len() + 1 == self.nodes {
            self.bury(key, dot, ctx);
        }
    }

    /// Second round: everybody holds it.
    pub(super) fn on_purge(
        &mut self,
        from: NodeId,
        key: Text,
        dot: Dot,
        ctx: &mut Context<'_, Self>,
    ) {
        self.purge(&key, dot, ctx);
        ctx.send(from, Message::PurgeAck { key, dot });
    }

    /// Second round: one more has forgotten it.
    pub(super) fn on_purge_ack(
        &mut self,
        from: NodeId,
        key: &Text,
        dot: Dot,
        ctx: &mut Context<'_, Self>,
    ) {
        let burial = self.burials.get_mut(&(key.clone(), dot));
        let Some(purged) = burial.and_then(|burial| burial.purged.as_mut()) else {
            return ctx.ignore("purge ack: of an earlier life, or known already");
        };
        if purged.contains(&from) {
            return ctx.ignore("purge ack: this node has said so before");
        }
        purged.push(from);
        if purged.len() + 1 == self.nodes {
            self.bury(key, dot, ctx);
        }
    }

    /// Forgets a tombstone, and with it all that was sent before.
    fn purge(&mut self, key: &Text, dot: Dot, ctx: &mut Context<'_, Self>) {
        if !self.durable.has(key, dot) {
            return ctx.ignore("purge: the tombstone is not here any more");
        }
        self.durable.purge(key, dot);
        self.durable.changes += 1;
        ctx.append(Record::Purged { key: key.clone(), dot });
        ctx.sync();
        self.ask_again(key, ctx);
    }
}
