//! The nemesis: applies a fault plan to a world, and knows which entries had an effect.

use crate::plan::{Aim, Class, Entry, Fault, FaultPlan};
use seedfall_net::{Disturbance, Tally, Wire};
use seedfall_sim::{Clients, Duration, NodeId, Protocol, Time, World};
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
    /// A crash that waits for a point inside a handler has waited long enough.
    Deadline,
}

/// What became of one entry so far.
#[derive(Clone, Debug)]
struct State {
    /// What it does: as planned, until it strikes and takes aim.
    fault: Fault,
    /// How often its class had had an effect when it first struck; `None`: it has not yet.
    before: Option<u64>,
    /// Whether its class had an effect while it lasted.
    fired: bool,
    /// Its crash waits for its point.
    armed: bool,
    /// How many leaders it has followed.
    followed: usize,
}

/// One fault plan, in the course of one run.
#[derive(Clone, Debug)]
pub(crate) struct Nemesis {
    plan: FaultPlan,
    states: Vec<State>,
    /// What is to be done, and when.
    agenda: BTreeSet<(Time, Phase, usize)>,
    /// How many entries follow leadership now, or wait for a point: if any, it wants to see every
    /// event.
    watching: usize,
    /// Who led when last seen: an isolated leader may go on leading beside its successor.
    leading: BTreeSet<NodeId>,
    /// Who became leader last.
    newest: Option<NodeId>,
}

impl Nemesis {
    pub(crate) fn new(plan: FaultPlan) -> Self {
        let mut agenda = BTreeSet::new();
        for (index, entry) in plan.entries.iter().enumerate() {
            agenda.insert((Time::ZERO + entry.at, Phase::Strike, index));
            agenda.insert((Time::ZERO + entry.at + entry.lasts, Phase::End, index));
        }
        let state = |entry: &Entry| State {
            fault: entry.fault.clone(),
            before: None,
            fired: false,
            armed: false,
            followed: 0,
        };
        let states = plan.entries.iter().map(state).collect();
        let leading = BTreeSet::new();
        Self { plan, states, agenda, watching: 0, leading, newest: None }
    }

    /// When it acts next; never, once the plan is over.
    pub(crate) fn next_at(&self) -> Option<Time> {
        self.agenda.first().map(|(at, ..)| *at)
    }

    /// Whether it wants to be shown every event.
    #[inline]
    pub(crate) fn is_watching(&self) -> bool {
        self.watching > 0
    }

    /// For each entry of the plan, its class and whether its class had an effect while it lasted:
    /// entries of one class that overlap share what they did.
    pub(crate) fn fired(&self) -> impl Iterator<Item = (Class, bool)> {
        let classes = self.plan.entries.iter().map(|entry| entry.fault.class());
        classes.zip(self.states.iter().map(|state| state.fired))
    }

    /// Looks at a node after an event: has it crashed where it should, does it lead now?
    pub(crate) fn watch<P: Protocol, C: Clients<P>>(
        &mut self,
        world: &World<P, Wire, C>,
        node: NodeId,
    ) {
        let now = world.now();
        let Some(protocol) = world.node(node) else {
            self.leading.remove(&node);
            for (index, state) in self.states.iter_mut().enumerate() {
                let Fault::Crash { node: victim, down, .. } = state.fault else { continue };
                if state.armed && victim == node {
                    state.armed = false;
                    self.agenda
                        .retain(|(_, phase, other)| (*phase, *other) != (Phase::Deadline, index));
                    self.agenda.insert((now + down, Phase::Return, index));
                }
            }
            return;
        };
        if !protocol.is_leader() {
            self.leading.remove(&node);
        } else if self.leading.insert(node) {
            self.newest = Some(node);
            for (index, entry) in self.plan.entries.iter().enumerate() {
                let state = &mut self.states[index];
                let lasts_still = now < Time::ZERO + entry.at + entry.lasts;
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

    /// Does what is due now. Says which node, if any, has come up or gone down.
    pub(crate) fn act<P: Protocol, C: Clients<P>>(
        &mut self,
        world: &mut World<P, Wire, C>,
    ) -> Option<NodeId> {
        let (_, phase, index) = self.agenda.pop_first()?;
        match phase {
            Phase::Strike => {
                let entry = &self.plan.entries[index];
                let class = entry.fault.class();
                if self.states[index].before.is_some() {
                    // What was planned for the node struck before does not happen any more.
                    self.agenda.retain(|(_, phase, other)| *other != index || *phase == Phase::End);
                    release(world, &self.states[index].fault);
                } else {
                    self.states[index].before = Some(effects(class, world));
                    let crash_at_point = matches!(entry.fault, Fault::Crash { point: Some(_), .. });
                    let follows = matches!(entry.aim, Aim::EveryLeader { .. });
                    self.watching += usize::from(crash_at_point || follows);
                }
                let aims = entry.aim != Aim::Named;
                if let Some(leader) = if aims { self.leader(world) } else { None } {
                    self.states[index].fault = self.plan.entries[index].fault.aimed_at(leader);
                }
                self.strike(world, index);
            }
            Phase::Return => {
                release(world, &self.states[index].fault);
                self.strike(world, index);
            }
            Phase::Deadline => {
                self.states[index].armed = false;
                if let Some(node) = victim(&self.states[index].fault)
                    && world.disarm_crash(node)
                {
                    world.crash(node);
                }
            }
            Phase::End => self.end(world, index),
        }
        victim(&self.states[index].fault)
    }

    /// The node that leads; of several, as there may be across a partition, the one elected last.
    fn leader<P: Protocol, C: Clients<P>>(&mut self, world: &World<P, Wire, C>) -> Option<NodeId> {
        let leads = |node: &NodeId| world.node(*node).is_some_and(P::is_leader);
        self.leading = NodeId::all(world.node_count()).filter(leads).collect();
        self.newest.filter(leads).or_else(|| self.leading.first().copied())
    }

    fn strike<P: Protocol, C: Clients<P>>(&mut self, world: &mut World<P, Wire, C>, index: usize) {
        let entry = &self.plan.entries[index];
        let (now, until) = (world.now(), Time::ZERO + entry.at + entry.lasts);
        let state = &mut self.states[index];
        match &state.fault {
            Fault::Wire(disturbance) => {
                let begins = format!("begins: {}", state.fault);
                world.note_fault(first_named(disturbance), &begins);
                world.network_mut().begin(disturbance, until);
            }
            Fault::Crash { node, point: None, .. } => {
                world.crash(*node);
            }
            Fault::Crash { node, point: Some(point), .. } => {
                state.armed = world.arm_crash(*node, *point);
                if state.armed && world.counters().crashes == state.before.unwrap_or_default() {
                    let deadline = now + Duration::nanos(until.since(now).as_nanos() / 2);
                    self.agenda.insert((deadline, Phase::Deadline, index));
                }
            }
            Fault::Pause { node } => {
                world.pause(*node);
            }
        }
    }

    fn end<P: Protocol, C: Clients<P>>(&mut self, world: &mut World<P, Wire, C>, index: usize) {
        // What is still planned for the entry does not happen any more.
        self.agenda.retain(|(.., other)| *other != index);
        let entry = &self.plan.entries[index];
        let crash_at_point = matches!(entry.fault, Fault::Crash { point: Some(_), .. });
        let follows = matches!(entry.aim, Aim::EveryLeader { .. });
        self.watching -= usize::from(crash_at_point || follows);
        let state = &mut self.states[index];
        state.armed = false;
        release(world, &state.fault);
        state.fired = effects(entry.fault.class(), world) > state.before.unwrap_or_default();
    }
}

/// Takes a fault back.
fn release<P: Protocol, C: Clients<P>>(world: &mut World<P, Wire, C>, fault: &Fault) {
    match fault {
        Fault::Wire(disturbance) => {
            world.note_fault(first_named(disturbance), &format!("ends: {fault}"));
            world.network_mut().end(disturbance);
        }
        Fault::Crash { node, .. } => {
            world.disarm_crash(*node);
            world.restart(*node);
        }
        Fault::Pause { node } => {
            world.resume(*node);
        }
    }
}

/// The node whose life a fault interrupts.
fn victim(fault: &Fault) -> Option<NodeId> {
    match fault {
        Fault::Crash { node, .. } | Fault::Pause { node } => Some(*node),
        Fault::Wire(_) => None,
    }
}

/// Under whose name a disturbance of the wire is noted.
fn first_named(disturbance: &Disturbance) -> seedfall_sim::Address {
    match disturbance {
        Disturbance::Clog { from, .. } => *from,
        _ => NodeId::new(0).into(),
    }
}

/// How often faults of a class have had an effect so far.
fn effects<P: Protocol, C: Clients<P>>(class: Class, world: &World<P, Wire, C>) -> u64 {
    let Tally { lost, duplicated, reordered, clogged, cut } = *world.network().tally();
    match class {
        Class::Loss => lost,
        Class::Duplicate => duplicated,
        Class::Reorder => reordered,
        Class::Clog => clogged,
        Class::Partition => cut,
        Class::Crash => world.counters().crashes,
        Class::Pause => world.counters().deferred,
    }
}
