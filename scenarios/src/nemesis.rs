//! The nemesis: applies a fault plan to a world, and knows which entries had an effect.

use crate::plan::{Aim, Class, Entry, Fault, FaultPlan, Frame};
use seedfall_net::{Disturbance, Wire};
use seedfall_sim::{
    Answer, Clients, ClockFault, Draw, Duration, NodeId, Protocol, Seed, StableHasher, Time, World,
};
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
    /// An entry that insists sees whether it had an effect.
    Look,
}

/// An entry that insists looks for work at each node for so long, at least.
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

    /// Whether it is in force, and its node is paused for as long.
    fn pauses(&self, node: NodeId) -> bool {
        self.on && matches!(self.fault, Fault::Pause { node: one } if one == node)
    }
}

/// How often each class of faults that the nemesis brings about with its own hands had an effect.
#[derive(Clone, Copy, Debug, Default)]
struct Deeds {
    /// Nodes that it crashed; not those that crashed at their point.
    crashes: u64,
    power_losses: u64,
    storms: u64,
    stops: u64,
    wipes: u64,
}

/// One fault plan, in the course of one run.
#[derive(Clone, Debug)]
pub(crate) struct Nemesis {
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
    deeds: Deeds,
}

impl Nemesis {
    /// What applies `plan`, nothing of which lasts past `stop`.
    pub(crate) fn new(plan: FaultPlan, stop: Time) -> Self {
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
            deeds: Deeds::default(),
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
        if entry.insists && !is_read_at_the_end(&entry.fault) {
            self.agenda.insert((begins + entry.lasts.scale(3, 4), Phase::Look, index));
        }
    }

    /// Lets every entry that has not begun strike at another time, from `now` on, and, if it names
    /// one node alone, another node: as the seed says, within the frame.
    pub(crate) fn redraw(&mut self, seed: Seed, now: Time, frame: &Frame) {
        for index in 0..self.states.len() {
            if self.states[index].before.is_some() {
                continue;
            }
            let entry = &mut self.plan.entries[index];
            let word = |which: u8| StableHasher::hash(&(seed.0, index, which)) as u32;
            let mut draw = Draw::from_words([0, 1, 2, 3].map(word));
            let (first, last) = (now.since(Time::ZERO), frame.faults - entry.lasts);
            if first < last {
                entry.at = draw.duration(first..last);
            }
            if entry.fault.node().is_some() {
                entry.fault =
                    entry.fault.aimed_at(NodeId::new(draw.below(frame.nodes as u32) as u16));
            }
            self.states[index] = State::planned(entry);
            self.schedule(index);
        }
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
    /// entries of one class that overlap share what they did. A run may be over before an entry is.
    pub(crate) fn fired<P: Protocol, C: Clients<P>>(
        &self,
        world: &World<P, Wire, C>,
    ) -> Vec<(Class, bool)> {
        let one = |(index, entry): (usize, &Entry)| {
            let state = &self.states[index];
            let is_open = || self.agenda.iter().any(|(.., other)| *other == index);
            let fires = state.before.is_some() && is_open() && self.has_effect(world, index);
            (entry.fault.class(), state.fired || fires)
        };
        self.plan.entries.iter().enumerate().map(one).collect()
    }

    /// Each entry that has begun as it struck last: whom it struck in the end, and when.
    pub(crate) fn struck(&self) -> Vec<Option<Entry>> {
        let one = |state: &State| {
            state.before?;
            let (at, lasts) = (state.aimed.since(Time::ZERO), state.ends.since(state.aimed));
            Some(Entry { at, lasts, fault: state.fault.clone(), aim: Aim::Named, insists: false })
        };
        self.states.iter().map(one).collect()
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
    pub(crate) fn act<P: Protocol, C: Clients<P>>(
        &mut self,
        world: &mut World<P, Wire, C>,
    ) -> Vec<NodeId> {
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
                    let crash_at_point = matches!(entry.fault, Fault::Crash { point: Some(_), .. });
                    let follows = matches!(entry.aim, Aim::EveryLeader { .. });
                    self.watching += usize::from(crash_at_point || follows);
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
            Phase::Deadline => self.hurry(world, index),
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
    fn leader<P: Protocol, C: Clients<P>>(&mut self, world: &World<P, Wire, C>) -> Option<NodeId> {
        let leads = |node: &NodeId| world.node(*node).is_some_and(P::is_leader);
        self.leading = NodeId::all(world.node_count()).filter(leads).collect();
        self.newest.filter(leads).or_else(|| self.leading.first().copied())
    }

    fn strike<P: Protocol, C: Clients<P>>(&mut self, world: &mut World<P, Wire, C>, index: usize) {
        // Once it has crashed its node, nothing hurries it.
        let at_point = matches!(self.states[index].fault, Fault::Crash { point: Some(_), .. });
        let hurries = at_point && !self.has_struck(world, index);
        let (state, deeds) = (&mut self.states[index], &mut self.deeds);
        let (now, until) = (world.now(), state.ends);
        state.on = true;
        match &state.fault {
            Fault::Wire(disturbance) => {
                let begins = format!("begins: {}", state.fault);
                world.note_fault(first_named(disturbance), &begins);
                world.network_mut().begin(disturbance, until);
            }
            Fault::Crash { node, point: Some(point), .. } => {
                state.armed = world.arm_crash(*node, *point);
                if state.armed && hurries {
                    let deadline = now + Duration::nanos(until.since(now).as_nanos() / 2);
                    self.agenda.insert((deadline, Phase::Deadline, index));
                }
            }
            Fault::Crash { node, point: None, .. } => {
                deeds.crashes += u64::from(world.crash(*node));
            }
            Fault::Storm { node, .. } => deeds.storms += u64::from(world.crash(*node)),
            Fault::PowerLoss { nodes } => nodes.iter().for_each(|node| {
                deeds.power_losses += u64::from(world.crash(*node));
            }),
            Fault::Stop { node } => {
                if world.crash(*node) {
                    deeds.stops += 1;
                    self.gone.insert(*node);
                }
            }
            Fault::Wipe { node } => deeds.wipes += u64::from(world.wipe(*node)),
            Fault::Pause { node } => {
                world.pause(*node);
            }
            Fault::Slow { node, each } => world.slow_down(*node, *each),
            Fault::Stall { node, each } => world.stall_disk(*node, *each),
            Fault::Clock { node, wrong } => world.begin_clock_fault(*node, *wrong),
            Fault::Strobe { node, nanos, .. } => {
                world.begin_clock_fault(*node, ClockFault::Step { nanos: *nanos });
            }
            Fault::Lie { node, lies } => world.set_lies(*node, Some(*lies)),
            Fault::Twins { node, round } => {
                world.begin_twins(*node, *round);
            }
            Fault::Disk { node, wrong } => {
                world.disk_fault(*node, wrong);
                let half = Duration::nanos(until.since(now).as_nanos() / 2);
                self.agenda.insert((now + half, Phase::Deadline, index));
            }
        }
        self.toggle_later(world, index);
    }

    /// What comes and goes, goes or comes after half of its period.
    fn toggle_later<P: Protocol, C: Clients<P>>(
        &mut self,
        world: &World<P, Wire, C>,
        index: usize,
    ) {
        let half = match &self.states[index].fault {
            Fault::Wire(Disturbance::Flap { half, .. })
            | Fault::Storm { half, .. }
            | Fault::Strobe { half, .. } => *half,
            _ => return,
        };
        // Never at the same instant again, whatever a plan from outside says.
        let half = if half < Duration::millis(1) { Duration::millis(1) } else { half };
        self.agenda.insert((world.now() + half, Phase::Toggle, index));
    }

    /// What waits for its moment has waited long enough.
    fn hurry<P: Protocol, C: Clients<P>>(&mut self, world: &mut World<P, Wire, C>, index: usize) {
        self.states[index].armed = false;
        let waits = self.looks_for_work(world, index);
        match &mut self.states[index].fault {
            // It stops its node when it strikes, and a node that is down writes nothing.
            Fault::Disk { node, wrong } if waits && wrong.about().answer == Answer::Survives => {
                world.disk_mend(*node, wrong);
                *wrong = wrong.at_once();
                world.disk_fault(*node, wrong);
            }
            Fault::Disk { node, wrong } => {
                let stops = wrong.about().answer == Answer::Survives;
                self.states[index].restarts |= world.crash(*node) && stops;
            }
            fault => {
                if let Some(node) = fault.node()
                    && world.disarm_crash(node)
                {
                    self.deeds.crashes += u64::from(world.crash(node));
                }
            }
        }
    }

    /// What met no work to disturb looks for it at the next node, for a quarter of its time.
    fn move_on<P: Protocol, C: Clients<P>>(&mut self, world: &mut World<P, Wire, C>, index: usize) {
        self.agenda.retain(|(.., other)| *other != index);
        self.release(world, index);
        let quarter = self.plan.entries[index].lasts.scale(1, 4).max(SHORTEST_LOOK);
        let state = &mut self.states[index];
        let look = world.now() + quarter;
        state.aimed = world.now();
        state.armed = false;
        state.ends = state.ends.max(look).min(self.stop);
        state.fault = state.fault.moved_on(world.node_count());
        if let Fault::Disk { wrong, .. } = &mut state.fault {
            *wrong = wrong.at_once();
        }
        self.agenda.insert((state.ends, Phase::End, index));
        if look < state.ends && !is_read_at_the_end(&state.fault) {
            self.agenda.insert((look, Phase::Look, index));
        }
        self.strike(world, index);
    }

    /// Whether an entry is to look for work, and its class has had no effect yet.
    fn looks_for_work<P: Protocol, C: Clients<P>>(
        &self,
        world: &World<P, Wire, C>,
        index: usize,
    ) -> bool {
        self.plan.entries[index].insists && !self.has_struck(world, index)
    }

    /// Whether the class of an entry has had an effect since the entry began.
    fn has_struck<P: Protocol, C: Clients<P>>(
        &self,
        world: &World<P, Wire, C>,
        index: usize,
    ) -> bool {
        let effects = self.effects(self.plan.entries[index].fault.class(), world);
        effects > self.states[index].before.unwrap_or_default()
    }

    fn end<P: Protocol, C: Clients<P>>(&mut self, world: &mut World<P, Wire, C>, index: usize) {
        // What is still planned for the entry does not happen any more.
        self.agenda.retain(|(.., other)| *other != index);
        self.states[index].armed = false;
        self.release(world, index);
        if world.now() < self.stop && self.looks_for_work(world, index) {
            return self.move_on(world, index);
        }
        let entry = &self.plan.entries[index];
        let crash_at_point = matches!(entry.fault, Fault::Crash { point: Some(_), .. });
        let follows = matches!(entry.aim, Aim::EveryLeader { .. });
        self.watching -= usize::from(crash_at_point || follows);
        self.states[index].fired = self.has_effect(world, index);
    }

    /// Whether an entry has had an effect: one of its class, or at least a crash of its node.
    fn has_effect<P: Protocol, C: Clients<P>>(
        &self,
        world: &World<P, Wire, C>,
        index: usize,
    ) -> bool {
        self.states[index].restarts || self.has_struck(world, index)
    }

    /// Takes a fault back, as far as it is in force. A node that another entry pauses as well is
    /// resumed when the last of them ends.
    fn release<P: Protocol, C: Clients<P>>(&mut self, world: &mut World<P, Wire, C>, index: usize) {
        if !std::mem::take(&mut self.states[index].on) {
            return;
        }
        let (states, state) = (&self.states, &self.states[index]);
        let restart = |world: &mut World<P, Wire, C>, node: NodeId| {
            if !self.gone.contains(&node) {
                world.restart(node);
            }
        };
        match &state.fault {
            Fault::Wire(disturbance) => {
                world.note_fault(first_named(disturbance), &format!("ends: {}", state.fault));
                let now = world.now();
                let released = world.network_mut().end(disturbance, state.ends, now);
                world.release(&released);
            }
            Fault::Crash { node, .. } => {
                world.disarm_crash(*node);
                restart(world, *node);
            }
            Fault::Wipe { node } | Fault::Storm { node, .. } => restart(world, *node),
            Fault::PowerLoss { nodes } => nodes.iter().for_each(|node| restart(world, *node)),
            Fault::Stop { .. } => {}
            Fault::Pause { node } => {
                if !states.iter().any(|other| other.pauses(*node)) {
                    world.resume(*node);
                }
            }
            Fault::Slow { node, .. } => world.slow_down(*node, Duration::ZERO),
            Fault::Stall { node, .. } => world.stall_disk(*node, Duration::ZERO),
            Fault::Clock { node, wrong } => {
                world.end_clock_fault(*node, *wrong);
            }
            Fault::Strobe { node, nanos, .. } => {
                world.end_clock_fault(*node, ClockFault::Step { nanos: *nanos });
            }
            Fault::Lie { node, .. } => world.set_lies(*node, None),
            Fault::Twins { node, .. } => {
                world.end_twins(*node);
            }
            Fault::Disk { node, wrong } if self.gone.contains(node) => {
                world.disk_mend(*node, wrong);
            }
            Fault::Disk { node, wrong } => {
                world.restart(*node);
                // It refused to start, or started and stopped again.
                let is_down = world.node(*node).is_none();
                world.disk_mend(*node, wrong);
                if is_down && wrong.about().answer == Answer::Survives {
                    world.restart(*node);
                } else if is_down {
                    self.gone.insert(*node);
                }
            }
        }
    }

    /// How often faults of each class have had an effect so far, in the order of [`Class::ALL`].
    pub(crate) fn all_effects<P: Protocol, C: Clients<P>>(
        &self,
        world: &World<P, Wire, C>,
    ) -> [u64; Class::ALL.len()] {
        Class::ALL.map(|class| self.effects(class, world))
    }

    /// How often faults of a class have had an effect so far: of this class and no other.
    fn effects<P: Protocol, C: Clients<P>>(&self, class: Class, world: &World<P, Wire, C>) -> u64 {
        let disks = |answer| world.disk_counters().answered(answer);
        let (wire, node, deeds) = (world.network().tally(), world.counters(), &self.deeds);
        match class {
            Class::Loss => wire.lost,
            Class::Duplicate => wire.duplicated,
            Class::Reorder => wire.reordered,
            Class::Clog => wire.clogged,
            Class::Swizzle => wire.swizzled,
            Class::Partition => wire.cut,
            Class::Burst => wire.burst,
            Class::Latency => wire.lagged,
            Class::Throttle => wire.throttled,
            Class::Corrupt => wire.corrupted,
            Class::Flap => wire.flapped,
            // Only an entry of this class waits for a point inside a handler.
            Class::Crash => deeds.crashes + node.crashes_inside,
            Class::PowerLoss => deeds.power_losses,
            Class::Storm => deeds.storms,
            Class::Pause => node.deferred,
            Class::Stop => deeds.stops,
            Class::Slow => node.slowed,
            Class::Stall => node.stalled,
            Class::Wipe => deeds.wipes,
            Class::Clock => node.misled,
            Class::Drift => node.drifted,
            Class::Timers => node.timers_moved,
            Class::Lie => node.lies,
            Class::Twins => node.unheard + node.said_by_twins,
            Class::DiskError => disks(Answer::Survives),
            Class::DiskDamage => disks(Answer::Refuses),
            Class::DiskLie => disks(Answer::Forgets),
        }
    }
}

/// Whether a fault may take its effect only as its node starts again, when it ends.
fn is_read_at_the_end(fault: &Fault) -> bool {
    matches!(fault.class(), Class::DiskDamage | Class::DiskLie)
}

/// Under whose name a disturbance of the wire is noted.
fn first_named(disturbance: &Disturbance) -> seedfall_sim::Address {
    match disturbance {
        Disturbance::Clog { from, .. } => *from,
        Disturbance::Swizzle { node } => (*node).into(),
        _ => NodeId::new(0).into(),
    }
}

#[cfg(test)]
mod tests;
