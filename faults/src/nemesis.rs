//! The nemesis: applies a fault plan to a world, and knows which entries had an effect.

use crate::act::Act;
use crate::plan::{Aim, Class, Entry, Fault, FaultBudget, FaultPlan};
use crate::target::{Effects, Seen, Target};
use seedfall_sim::{Draw, Duration, NodeId, Seed, StableHasher, Time};
use std::collections::BTreeSet;

/// What is to be done at a moment, in the order in which it is done if several things are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// An entry ends. Ends come first, so that a crash may follow a restart.
    End,
    /// A node that crashed at its point comes back, before its entry ends.
    Return,
    /// An entry begins, or takes aim anew.
    Strike,
    /// A crash that waits for a point inside a handler has waited long enough; a node whose disk is
    /// at fault must read it.
    Deadline,
    /// What comes and goes, comes or goes.
    Toggle,
    /// An entry that retargets sees whether it had an effect.
    Look,
}

/// An entry that retargets looks for work at each node for so long, at least.
const SHORTEST_LOOK: Duration = Duration::millis(10);

/// What became of one entry so far.
#[derive(Clone, Debug)]
struct State {
    /// What it does: as planned, until it strikes and takes aim.
    fault: Fault,
    /// When it took aim last.
    aimed: Time,
    /// When it ends.
    ends: Time,
    /// How often its class had had an effect when it first struck; `None`: it has not yet.
    before: Option<u64>,
    /// Whether its class had an effect while it lasted.
    fired: bool,
    /// Whether its node was crashed so that it reads its disk, which alone may be what it does.
    restarts: bool,
    /// Its crash waits for its point.
    armed: bool,
    /// How many leaders it has followed.
    followed: usize,
    /// Whether it is in force, if it comes and goes.
    on: bool,
}

impl State {
    /// An entry that has not begun.
    fn planned(entry: &Entry) -> Self {
        Self {
            fault: entry.fault.clone(),
            aimed: Time::ZERO + entry.at,
            ends: Time::ZERO + entry.at + entry.lasts,
            before: None,
            fired: false,
            restarts: false,
            armed: false,
            followed: 0,
            on: false,
        }
    }
}

/// One fault plan, in the course of one run.
#[derive(Clone, Debug)]
pub struct Nemesis {
    plan: FaultPlan,
    states: Vec<State>,
    /// When faults must stop.
    stop: Time,
    /// What is to be done, and when.
    agenda: BTreeSet<(Time, Phase, usize)>,
    /// How many entries follow leadership now, or wait for a point: if any, it wants to see every
    /// event.
    watching: usize,
    /// Who led when last seen: an isolated leader may go on leading beside its successor.
    leading: BTreeSet<NodeId>,
    /// Who became leader last.
    newest: Option<NodeId>,
    /// The nodes that it stopped for good.
    gone: BTreeSet<NodeId>,
    /// How often each class of faults did something with the nemesis's own hands, in the order of
    /// [`Class::ALL`].
    deeds: [u64; Class::ALL.len()],
    /// What the world could not do.
    unsupported: u64,
}

impl Nemesis {
    /// What applies `plan`, nothing of which lasts past `stop`.
    pub fn new(plan: FaultPlan, stop: Time) -> Self {
        let states = plan.entries.iter().map(State::planned).collect();
        let mut nemesis = Self {
            plan,
            states,
            stop,
            agenda: BTreeSet::new(),
            watching: 0,
            leading: BTreeSet::new(),
            newest: None,
            gone: BTreeSet::new(),
            deeds: [0; Class::ALL.len()],
            unsupported: 0,
        };
        (0..nemesis.states.len()).for_each(|index| nemesis.schedule(index));
        nemesis
    }

    /// Puts an entry that has not begun on the agenda, as its plan has it.
    fn schedule(&mut self, index: usize) {
        let entry = &self.plan.entries[index];
        let begins = Time::ZERO + entry.at;
        self.agenda.retain(|(.., other)| *other != index);
        self.agenda.insert((begins, Phase::Strike, index));
        self.agenda.insert((begins + entry.lasts, Phase::End, index));
        if entry.retargets && !entry.fault.class().is_read_at_the_end() {
            self.agenda.insert((begins + entry.lasts.scale(3, 4), Phase::Look, index));
        }
    }

    /// Lets every entry that has not begun strike at another time, from `now` on, and, if it names
    /// one node alone, another node: as the seed says, within the budget.
    pub fn redraw(&mut self, seed: Seed, now: Time, budget: &FaultBudget) {
        for index in 0..self.states.len() {
            if self.states[index].before.is_some() {
                continue;
            }
            let entry = &mut self.plan.entries[index];
            redrawn(entry, index, seed, now, budget);
            self.states[index] = State::planned(entry);
            self.schedule(index);
        }
    }

    /// When it acts next; never, once the plan is over.
    pub fn next_at(&self) -> Option<Time> {
        self.agenda.first().map(|(at, ..)| *at)
    }

    /// Whether it wants to be shown every event.
    #[inline]
    pub fn is_watching(&self) -> bool {
        self.watching > 0
    }

    /// For each entry of the plan, its class and whether its class had an effect while it lasted:
    /// entries of one class that overlap share what they did. A run may be over before an entry is.
    pub fn fired(&self, world: &dyn Target) -> Vec<(Class, bool)> {
        let one = |(index, entry): (usize, &Entry)| {
            let state = &self.states[index];
            let is_open = || self.agenda.iter().any(|(.., other)| *other == index);
            let fires = state.before.is_some() && is_open() && self.has_effect(world, index);
            (entry.fault.class(), state.fired || fires)
        };
        self.plan.entries.iter().enumerate().map(one).collect()
    }

    /// Each entry that has begun as it struck last: whom it struck in the end, and when.
    pub fn struck(&self) -> Vec<Option<Entry>> {
        let one = |state: &State| {
            state.before?;
            let (at, lasts) = (state.aimed.since(Time::ZERO), state.ends.since(state.aimed));
            Some(Entry { at, lasts, fault: state.fault.clone(), aim: Aim::Named, retargets: false })
        };
        self.states.iter().map(one).collect()
    }

    /// Looks at a node after an event: has it crashed where it should, does it lead now?
    pub fn watch(&mut self, world: &dyn Target, node: NodeId) {
        let now = world.now();
        if !world.is_up(node) {
            self.leading.remove(&node);
            for (index, state) in self.states.iter_mut().enumerate() {
                let Some(down) = state.fault.down_at_a_point() else { continue };
                if state.armed && state.fault.node() == Some(node) {
                    state.armed = false;
                    self.agenda
                        .retain(|(_, phase, other)| (*phase, *other) != (Phase::Deadline, index));
                    self.agenda.insert((now + down, Phase::Return, index));
                }
            }
            return;
        }
        if !world.leads(node) {
            self.leading.remove(&node);
        } else if self.leading.insert(node) {
            self.newest = Some(node);
            for (index, entry) in self.plan.entries.iter().enumerate() {
                let state = &mut self.states[index];
                let lasts_still = now < state.ends;
                if let Aim::EveryLeader { after } = &entry.aim
                    && state.before.is_some()
                    && lasts_still
                    && !after.is_empty()
                {
                    let after = after[state.followed % after.len()];
                    state.followed += 1;
                    self.agenda.insert((now + after, Phase::Strike, index));
                }
            }
        }
    }

    /// Does what is due now. Says which nodes, if any, may have come up or gone down: those whom
    /// the entry struck before, and those whom it strikes now.
    pub fn act(&mut self, world: &mut dyn Target) -> Vec<NodeId> {
        let Some((_, phase, index)) = self.agenda.pop_first() else { return Vec::new() };
        let mut touched = self.states[index].fault.holds().to_vec();
        match phase {
            Phase::Strike => {
                let entry = self.plan.entries[index].clone();
                let class = entry.fault.class();
                if self.states[index].before.is_some() {
                    // What was planned for the node struck before does not happen any more.
                    let lasts = |phase| matches!(phase, Phase::End | Phase::Look);
                    self.agenda.retain(|(_, phase, other)| *other != index || lasts(*phase));
                    self.release(world, index);
                } else {
                    self.states[index].before = Some(self.effects(class, world));
                    self.watching += usize::from(wants_to_watch(&entry));
                }
                let aims = entry.aim != Aim::Named;
                if let Some(leader) = if aims { self.leader(world) } else { None } {
                    self.states[index].fault = self.plan.entries[index].fault.aimed_at(leader);
                }
                self.states[index].aimed = world.now();
                self.strike(world, index);
            }
            Phase::Return => {
                self.release(world, index);
                self.strike(world, index);
            }
            Phase::Toggle if self.states[index].on => {
                self.release(world, index);
                self.toggle_later(world, index);
            }
            Phase::Toggle => self.strike(world, index),
            Phase::Deadline => self.on_deadline(world, index),
            Phase::Look if self.looks_for_work(world, index) => self.move_on(world, index),
            Phase::Look => {}
            Phase::End => self.end(world, index),
        }
        let now = self.states[index].fault.holds().iter().copied();
        let more: Vec<NodeId> = now.filter(|node| !touched.contains(node)).collect();
        touched.extend(more);
        touched
    }

    /// The node that leads; of several, as there may be across a partition, the one elected last.
    fn leader(&mut self, world: &dyn Target) -> Option<NodeId> {
        let leads = |node: &NodeId| world.leads(*node);
        self.leading = NodeId::all(world.node_count()).filter(leads).collect();
        self.newest.filter(leads).or_else(|| self.leading.first().copied())
    }

    /// Lets the fault of an entry do something, as its class has it.
    fn let_act(
        &mut self,
        world: &mut dyn Target,
        index: usize,
        deed: impl FnOnce(&mut Fault, &mut Act<'_>),
    ) {
        let has_struck = self.has_struck(world, index);
        let entry = &self.plan.entries[index];
        let mine = &self.states[index].fault;
        let (class, node) = (mine.class(), mine.node());
        let shared = node.is_some()
            && self.states.iter().enumerate().any(|(other, state)| {
                let alike = (state.fault.class(), state.fault.node()) == (class, node);
                other != index && state.on && alike
            });
        let state = &mut self.states[index];
        let mut act = Act {
            target: world,
            until: state.ends,
            unmet: entry.retargets && !has_struck,
            has_struck,
            gone: &mut self.gone,
            deeds: &mut self.deeds[entry.fault.class() as usize],
            shared,
            restarts: &mut state.restarts,
            armed: &mut state.armed,
            deadline: None,
            unsupported: &mut self.unsupported,
        };
        deed(&mut state.fault, &mut act);
        if let Some(deadline) = act.deadline {
            self.agenda.insert((deadline, Phase::Deadline, index));
        }
    }

    fn strike(&mut self, world: &mut dyn Target, index: usize) {
        self.states[index].on = true;
        self.let_act(world, index, |fault, act| fault.begin(act));
        self.toggle_later(world, index);
    }

    /// What comes and goes, goes or comes after half of its period.
    fn toggle_later(&mut self, world: &dyn Target, index: usize) {
        let Some(half) = self.states[index].fault.half_period() else { return };
        // Never at the same instant again, whatever a plan from outside says.
        let half = if half < Duration::millis(1) { Duration::millis(1) } else { half };
        self.agenda.insert((world.now() + half, Phase::Toggle, index));
    }

    /// What waits for its moment has waited long enough.
    fn on_deadline(&mut self, world: &mut dyn Target, index: usize) {
        self.states[index].armed = false;
        self.let_act(world, index, Fault::on_deadline);
    }

    /// What met no work to disturb looks for it at the next node, for a quarter of its time.
    fn move_on(&mut self, world: &mut dyn Target, index: usize) {
        self.agenda.retain(|(.., other)| *other != index);
        self.release(world, index);
        let quarter = self.plan.entries[index].lasts.scale(1, 4).max(SHORTEST_LOOK);
        let state = &mut self.states[index];
        let look = world.now() + quarter;
        state.aimed = world.now();
        state.armed = false;
        state.ends = state.ends.max(look).min(self.stop);
        state.fault = state.fault.moved_on(world.node_count());
        state.fault.at_once();
        self.agenda.insert((state.ends, Phase::End, index));
        if look < state.ends && !state.fault.class().is_read_at_the_end() {
            self.agenda.insert((look, Phase::Look, index));
        }
        self.strike(world, index);
    }

    /// Whether an entry is to look for work, and its class has had no effect yet.
    fn looks_for_work(&self, world: &dyn Target, index: usize) -> bool {
        self.plan.entries[index].retargets && !self.has_struck(world, index)
    }

    /// Whether an entry has had an effect: one of its class, or at least a crash of its node.
    fn has_effect(&self, world: &dyn Target, index: usize) -> bool {
        self.states[index].restarts || self.has_struck(world, index)
    }

    /// Whether the class of an entry has had an effect since the entry began.
    fn has_struck(&self, world: &dyn Target, index: usize) -> bool {
        let effects = self.effects(self.plan.entries[index].fault.class(), world);
        effects > self.states[index].before.unwrap_or_default()
    }

    fn end(&mut self, world: &mut dyn Target, index: usize) {
        // What is still planned for the entry does not happen any more.
        self.agenda.retain(|(.., other)| *other != index);
        self.states[index].armed = false;
        self.release(world, index);
        if world.now() < self.stop && self.looks_for_work(world, index) {
            return self.move_on(world, index);
        }
        self.watching -= usize::from(wants_to_watch(&self.plan.entries[index]));
        self.states[index].fired = self.has_effect(world, index);
    }

    /// Takes a fault back, as far as it is in force.
    fn release(&mut self, world: &mut dyn Target, index: usize) {
        if std::mem::take(&mut self.states[index].on) {
            self.let_act(world, index, |fault, act| fault.end(act));
        }
    }

    /// How often faults of each class have had an effect so far, in the order of [`Class::ALL`].
    pub fn all_effects(&self, world: &dyn Target) -> [u64; Class::ALL.len()] {
        let seen = world.seen();
        Class::ALL.map(|class| self.effects_of(class, &seen))
    }

    /// The faults that are in force now, as they struck.
    pub fn in_force(&self) -> impl Iterator<Item = &Fault> {
        self.states.iter().filter(|state| state.on).map(|state| &state.fault)
    }

    /// How many deeds the world could not do: none, if the plan holds what the world can do.
    pub fn unsupported(&self) -> u64 {
        self.unsupported
    }

    /// How often faults of a class have had an effect so far: of this class and no other.
    fn effects(&self, class: Class, world: &dyn Target) -> u64 {
        self.effects_of(class, &world.seen())
    }

    fn effects_of(&self, class: Class, seen: &Seen) -> u64 {
        class.effects(&Effects { seen, deeds: self.deeds[class as usize] })
    }
}

/// Lets an entry of a plan that has not begun strike at another time, from `now` on, and, if it
/// names one node alone, another node: as the seed says, within the budget.
pub fn redrawn(entry: &mut Entry, index: usize, seed: Seed, now: Time, budget: &FaultBudget) {
    let word = |which: u8| StableHasher::hash(&(seed.0, index, which)) as u32;
    let mut draw = Draw::from_words([0, 1, 2, 3].map(word));
    let (first, last) = (now.since(Time::ZERO), budget.faults - entry.lasts);
    if first < last {
        entry.at = draw.duration(first..last);
    }
    if entry.fault.node().is_some() {
        entry.fault = entry.fault.aimed_at(NodeId::new(draw.below(budget.nodes as u32) as u16));
    }
}

/// Whether an entry follows leaders, or waits for a point inside a handler.
fn wants_to_watch(entry: &Entry) -> bool {
    entry.fault.down_at_a_point().is_some() || matches!(entry.aim, Aim::EveryLeader { .. })
}

#[cfg(test)]
mod tests;
