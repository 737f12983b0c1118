//! What a node holds, for itself and for others, and how it comes to hold more (Dynamo, 4.6).

use super::{Dot, Message, OperationId, QuorumKv, Record, Ticket, Timer, Versions};
use crate::kv::Text;
use seedfall_sim::{Context, NodeId, SortedMap, StableHasher};

/// Survives a crash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Durable {
    /// How often the node has started.
    pub(super) life: u32,
    /// What it holds as a home.
    pub(super) store: SortedMap<Text, Versions>,
    /// What it keeps for homes that did not answer.
    pub(super) hints: SortedMap<(NodeId, Text), Versions>,
    /// Tombstones of keys of which it is no home, until they are forgotten everywhere.
    pub(super) graves: SortedMap<Text, Versions>,
    /// The last dot that it gave to a version of each key. Never forgotten: a name used twice would
    /// be taken for one that was replaced long ago.
    pub(super) counters: SortedMap<Text, u64>,
    /// How often it has come to cover less of a key.
    pub(super) epoch: u64,
    /// How often any of this has changed.
    pub(super) changes: u64,
}

impl Durable {
    /// What the journal says.
    pub(super) fn recover(id: NodeId, journal: &[Record]) -> Self {
        let mut durable = Self::default();
        for record in journal {
            durable.changes += u64::from(*record != Record::Life);
            match record.clone() {
                Record::Life => durable.life += 1,
                Record::Stored { key, versions } => {
                    let own = versions.iter().filter(|version| version.dot.node == id);
                    if let Some(last) = own.map(|version| version.dot.counter).max() {
                        let counter = durable.counters.entry(key.clone()).or_default();
                        *counter = last.max(*counter);
                    }
                    durable.store.insert(key, versions);
                }
                Record::Hinted { home, key, versions } if home == id => {
                    durable.graves.insert(key, versions);
                }
                Record::Hinted { home, key, versions } => {
                    durable.hints.insert((home, key), versions);
                }
                Record::HandedOff { home, key } => drop(durable.hints.remove(&(home, key))),
                Record::Purged { key, dot } => durable.purge(&key, dot),
                Record::Epoch => durable.epoch += 1,
            }
        }
        durable
    }

    /// Forgets a tombstone wherever it is kept.
    pub(super) fn purge(&mut self, key: &Text, dot: Dot) {
        self.epoch += 1;
        if let Some(versions) = self.store.get_mut(key) {
            versions.remove(dot);
        }
        self.store.retain(|_, versions| !versions.is_empty());
        for ((_, _), versions) in self.hints.iter_mut().filter(|((_, other), _)| other == key) {
            versions.remove(dot);
        }
        self.hints.retain(|_, versions| !versions.is_empty());
        if let Some(grave) = self.graves.get_mut(key) {
            grave.remove(dot);
            // What else came with it is in the stores of its homes.
            if grave.iter().all(|version| version.value.is_some()) {
                self.graves.remove(key);
            }
        }
    }

    /// Whether this version is kept anywhere here.
    pub(super) fn has(&self, key: &Text, dot: Dot) -> bool {
        let holds = |versions: &Versions| versions.holds(dot);
        self.store.get(key).is_some_and(holds)
            || self.graves.get(key).is_some_and(holds)
            || self.hints.iter().any(|((_, other), hint)| other == key && holds(hint))
    }
}

impl QuorumKv {
    /// A coordinator asks: what is held here is durable, so it may be told. A stand-in tells what
    /// it keeps for the homes.
    pub(super) fn on_get(
        &self,
        from: NodeId,
        operation: OperationId,
        key: &Text,
        ctx: &mut Context<'_, Self>,
    ) {
        let mut versions = self.siblings(key);
        for ((_, other), hint) in &self.durable.hints {
            if other == key {
                versions.merge(hint);
            }
        }
        ctx.send(from, Message::GetReply { operation, versions });
    }

    /// Sends what is held here of a key to a node, for a home.
    pub(super) fn send_store(
        &self,
        to: NodeId,
        home: NodeId,
        ticket: Ticket,
        key: &Text,
        ctx: &mut Context<'_, Self>,
    ) {
        let (key, versions, epoch) = (key.clone(), self.siblings(key), self.epochs[to.index()]);
        ctx.send(to, Message::Store { ticket, key, versions, home, epoch });
    }

    /// Holds what comes in, for itself or for another, unless it was sent before this node forgot a
    /// tombstone: what that had deleted could be in it.
    #[expect(clippy::too_many_arguments, reason = "the fields of one message")]
    pub(super) fn on_store(
        &mut self,
        from: NodeId,
        ticket: Ticket,
        key: Text,
        versions: &Versions,
        home: NodeId,
        epoch: u64,
        ctx: &mut Context<'_, Self>,
    ) {
        let accepted = epoch == self.durable.epoch;
        assert!(epoch <= self.durable.epoch, "{from} knows a later epoch than there was");
        if !accepted {
            ctx.reach("store: refused, as it was sent before a tombstone was forgotten");
        } else if home != self.id {
            self.keep(home, &key, versions, ctx);
        } else if self.homes(&key).contains(&self.id) {
            let is_news = self.hold(&key, versions, ctx);
            match ticket {
                Ticket::AntiEntropy if is_news => ctx.reach("anti-entropy: brought a version"),
                Ticket::Handoff { .. } if is_news => ctx.reach("hint: brought a version home"),
                _ => {}
            }
        }
        if accepted && matches!(ticket, Ticket::Burial(_)) {
            self.entomb(&key, versions, ctx);
        }
        let epoch = self.durable.epoch;
        ctx.send(from, Message::StoreReply { ticket, key, home, epoch, accepted });
    }

    /// Holds these too from now on, durably. True if that is news.
    pub(super) fn hold(
        &mut self,
        key: &Text,
        versions: &Versions,
        ctx: &mut Context<'_, Self>,
    ) -> bool {
        if versions.is_empty() {
            return false;
        }
        let held = self.durable.store.entry(key.clone()).or_default();
        let before = held.clone();
        if !held.merge(versions) {
            return false;
        }
        let versions = held.clone();
        let shrank = self.note_epoch(&before, &versions, ctx);
        self.durable.changes += 1;
        ctx.append(Record::Stored { key: key.clone(), versions });
        ctx.sync(); // Before it is acknowledged, or read.
        if shrank {
            self.ask_again(key, ctx);
        }
        true
    }

    /// Begins a new epoch if what is held of a key covers less than before. Then a tombstone was
    /// replaced by a version that does not mean what the tombstone meant: its writer was shown the
    /// siblings after the tombstone was forgotten elsewhere. So it is forgotten here, as by a
    /// [`Message::Purge`] that is still under way.
    ///
    /// Less is covered as soon as one dot is not covered any more. Contexts do not tell: `n3` holds
    /// a tombstone `n5.2` over `n3.1`, and a later `n3.2` beside it. Others have forgotten the
    /// tombstone; the `Purge` to `n3` is under way. What comes is `n2.5`, written over `{n5.3}` by
    /// a client that was not shown `n5.2`; that means `n5.2` as well, and replaces it, but says
    /// nothing of `n3.1`. The context is no smaller, as `{n3.2}` is read as all dots up to `n3.2`.
    /// Without a new epoch, a `Store` from before the deletion brings `n3.1` back (seed 7000041066
    /// of quorum-kv-deletes), or a get does that heard of it before (seed 7000076741 of
    /// quorum-kv-sloppy).
    pub(super) fn note_epoch(
        &mut self,
        before: &Versions,
        now: &Versions,
        ctx: &mut Context<'_, Self>,
    ) -> bool {
        let shrank = !now.covers_all(before);
        if shrank {
            self.durable.epoch += 1;
            self.durable.changes += 1;
            ctx.append(Record::Epoch);
            ctx.reach("tombstone: replaced by what was written after it was forgotten");
        }
        shrank
    }

    /// Keeps these for a home from now on, durably.
    pub(super) fn keep(
        &mut self,
        home: NodeId,
        key: &Text,
        versions: &Versions,
        ctx: &mut Context<'_, Self>,
    ) {
        // What a tombstone that this node holds has deleted must not come in by a hint either, nor
        // beside what replaced the tombstone in the hint alone, and may not mean what it meant.
        let mut versions = versions.clone();
        if let Some(grave) = self.durable.graves.get(key) {
            versions.merge(grave);
        }
        let hint = self.durable.hints.entry((home, key.clone())).or_default();
        let before = hint.clone();
        if hint.merge(&versions) {
            let versions = hint.clone();
            self.note_epoch(&before, &versions, ctx);
            self.durable.changes += 1;
            ctx.append(Record::Hinted { home, key: key.clone(), versions });
            ctx.sync();
        }
    }

    /// 4.6: offers every hint to its home.
    pub(super) fn on_handoff(&mut self, ctx: &mut Context<'_, Self>) {
        ctx.set_timer(Timer::Handoff, self.config.handoff_every);
        for ((home, key), versions) in &self.durable.hints {
            let ticket = Ticket::Handoff { digest: StableHasher::hash(versions) };
            let (key, versions) = (key.clone(), versions.clone());
            let epoch = self.epochs[home.index()];
            ctx.send(*home, Message::Store { ticket, key, versions, home: *home, epoch });
        }
    }

    /// The receiver of a [`Message::Store`] has answered.
    #[expect(clippy::too_many_arguments, reason = "the fields of one message")]
    pub(super) fn on_store_reply(
        &mut self,
        from: NodeId,
        ticket: Ticket,
        key: Text,
        home: NodeId,
        epoch: u64,
        accepted: bool,
        ctx: &mut Context<'_, Self>,
    ) {
        let known = &mut self.epochs[from.index()];
        *known = epoch.max(*known);
        match ticket {
            Ticket::Put(id) => self.on_put_reply(from, id, home, accepted, ctx),
            Ticket::Handoff { digest } if accepted => self.on_handed_off(from, key, digest, ctx),
            Ticket::Burial(dot) if accepted => self.on_entombed(from, &key, dot, ctx),
            Ticket::Handoff { .. } | Ticket::Burial(_) => {
                ctx.ignore("store reply: refused, the timer sends it anew");
            }
            Ticket::ReadRepair | Ticket::AntiEntropy => {}
        }
    }

    /// 4.6: what has come home is kept here no longer.
    fn on_handed_off(&mut self, home: NodeId, key: Text, digest: u64, ctx: &mut Context<'_, Self>) {
        let hint = (home, key);
        let is_same = |versions: &Versions| StableHasher::hash(versions) == digest;
        if !self.durable.hints.get(&hint).is_some_and(is_same) {
            return ctx.ignore("store reply: the hint is gone, or has grown since");
        }
        self.durable.hints.remove(&hint);
        self.durable.changes += 1;
        let (home, key) = hint;
        ctx.append(Record::HandedOff { home, key });
        ctx.sync(); // A hint that came back by a crash could outlive a tombstone.
        ctx.reach("hint: handed off");
    }
}
