//! The sequencer of an epoch: how it begins, and how it gives numbers.

use super::{Epoch, Item, Message, Sequenced, Slot, Timer};
use seedfall_sim::{Context, NodeId, SortedMap, SortedSet};

/// What a sequencer knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Leading {
    /// Who has told what is ordered, while the epoch has not begun.
    collected: SortedMap<NodeId, Vec<(usize, Epoch, Slot)>>,
    has_begun: bool,
    /// How many numbers are given.
    given: usize,
    /// Who has written down each number that is not stable.
    written: SortedMap<usize, SortedSet<NodeId>>,
}

/// How many numbers are repeated at a time.
const REPEATED_MAX: usize = 8;

impl Sequenced {
    /// Wants to be the sequencer of this epoch.
    pub(super) fn collect(&mut self, epoch: Epoch, ctx: &mut Context<'_, Self>) {
        self.enter(epoch, ctx);
        let own = self.all_slots();
        let collected = SortedMap::from([(self.id, own)]);
        self.leading = Some(Leading { collected, ..Leading::default() });
        ctx.broadcast(Message::Collect { epoch });
        self.suspect_later(ctx);
    }

    fn all_slots(&self) -> Vec<(usize, Epoch, Slot)> {
        let slots = self.slots.iter();
        slots.map(|(number, (epoch, slot))| (*number, *epoch, slot.clone())).collect()
    }

    pub(super) fn on_collect(&mut self, from: NodeId, epoch: Epoch, ctx: &mut Context<'_, Self>) {
        if self.follows(epoch, ctx) {
            ctx.send(from, Message::Collected { epoch, slots: self.all_slots() });
        }
    }

    /// Once a majority has told, it knows whatever is stable.
    pub(super) fn on_collected(
        &mut self,
        from: NodeId,
        epoch: Epoch,
        slots: Vec<(usize, Epoch, Slot)>,
        ctx: &mut Context<'_, Self>,
    ) {
        let majority = self.majority();
        let Some(leading) = self.leading.as_mut().filter(|_| epoch == self.epoch) else {
            return ctx.ignore("collected: of another epoch");
        };
        if leading.has_begun {
            return ctx.ignore("collected: the epoch has begun");
        }
        leading.collected.insert(from, slots);
        if leading.collected.len() < majority {
            return;
        }
        leading.has_begun = true;
        ctx.cancel_timer(Timer::Suspect);
        let mut known: SortedMap<usize, (Epoch, Slot)> = SortedMap::new();
        for (number, epoch, slot) in std::mem::take(&mut leading.collected).into_values().flatten()
        {
            match known.get(&number) {
                Some((other, _)) if epoch <= *other => {}
                _ => drop(known.insert(number, (epoch, slot))),
            }
        }
        let given = known.keys().next_back().map_or(0, |last| last + 1);
        leading.given = given;
        for number in 0..given {
            let slot = known.remove(&number).and_then(|(_, slot)| slot);
            if slot.is_none() {
                ctx.reach("epoch: a number was given to nothing that is known");
            }
            self.order(number, slot, ctx);
        }
        ctx.reach("epoch: a sequencer takes over");
        self.publish(ctx);
    }

    /// A message is to be ordered, once.
    pub(super) fn on_publish(&mut self, item: Item, ctx: &mut Context<'_, Self>) {
        let Some(leading) = self.leading.as_mut().filter(|leading| leading.has_begun) else {
            return ctx.ignore("publish: is not the sequencer");
        };
        let is_it = |one: &(Epoch, Slot)| one.1.as_ref() == Some(&item);
        if self.slots.values().any(is_it) {
            return ctx.ignore("publish: it has a number");
        }
        let number = leading.given;
        leading.given += 1;
        self.order(number, Some(item), ctx);
    }

    /// Gives a number.
    fn order(&mut self, number: usize, slot: Slot, ctx: &mut Context<'_, Self>) {
        self.write_down(number, slot.clone(), ctx);
        let (epoch, stable) = (self.epoch, self.stable);
        ctx.broadcast(Message::Order { epoch, number, slot, stable });
        self.on_ordered(self.id, epoch, number, ctx);
    }

    /// A number is stable once a majority has written it down, and all before it are.
    pub(super) fn on_ordered(
        &mut self,
        from: NodeId,
        epoch: Epoch,
        number: usize,
        ctx: &mut Context<'_, Self>,
    ) {
        let (copies, mut stable) = (self.config.copies, self.stable);
        let Some(leading) = self.leading.as_mut().filter(|_| epoch == self.epoch) else {
            return ctx.ignore("ordered: of another epoch");
        };
        if number < stable {
            return;
        }
        leading.written.entry(number).or_default().insert(from);
        while leading.written.get(&stable).is_some_and(|nodes| copies <= nodes.len()) {
            leading.written.remove(&stable);
            stable += 1;
        }
        self.is_stable(stable, ctx);
    }

    pub(super) fn on_missing(
        &mut self,
        from: NodeId,
        epoch: Epoch,
        number: usize,
        ctx: &mut Context<'_, Self>,
    ) {
        if epoch != self.epoch || self.leading.is_none() {
            return ctx.ignore("missing: of another epoch");
        }
        let stable = self.stable;
        for (number, (_, slot)) in self.slots.range(number..).take(REPEATED_MAX) {
            let (number, slot) = (*number, slot.clone());
            ctx.send(from, Message::Order { epoch, number, slot, stable });
        }
    }

    /// Says that it is there, and what may be lost.
    pub(super) fn say_again(&self, ctx: &mut Context<'_, Self>) {
        let Some(leading) = &self.leading else { return };
        let (epoch, stable) = (self.epoch, self.stable);
        if !leading.has_begun {
            return ctx.broadcast(Message::Collect { epoch });
        }
        for (number, nodes) in leading.written.iter().take(REPEATED_MAX) {
            let Some((_, slot)) = self.slots.get(number) else { continue };
            for node in NodeId::all(self.nodes).filter(|node| !nodes.contains(node)) {
                let (number, slot) = (*number, slot.clone());
                ctx.send(node, Message::Order { epoch, number, slot, stable });
            }
        }
        ctx.broadcast(Message::Beat { epoch, stable });
    }
}

impl Leading {
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }
}
