//! The nemesis of processes: does what the plan says, when it says so.

use super::processes::Processes;
use super::proxy::Wires;
use seedfall::plan::{Aim, Class, Fault, FaultPlan};
use seedfall_sim::{Duration, Seed};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// What is to be done: ends first, so that a kill may follow a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    End,
    Strike,
    Toggle,
}

/// One entry, in the course of chaos.
struct State {
    /// As planned, until it takes aim.
    fault: Fault,
    in_force: bool,
    /// Of those that come and go: whether it is there now.
    on: bool,
}

pub(super) struct Nemesis<'a> {
    plan: &'a FaultPlan,
    wires: &'a Wires,
    states: Vec<State>,
    agenda: BTreeSet<(Duration, Phase, usize)>,
    /// How often a class struck a process that was up.
    struck: BTreeMap<Class, u64>,
    /// Which partitions are half-open: those with an odd number, plus this.
    parity: u64,
}

impl<'a> Nemesis<'a> {
    pub(super) fn new(plan: &'a FaultPlan, wires: &'a Wires, seed: Seed) -> Self {
        let mut agenda = BTreeSet::new();
        for (index, entry) in plan.entries.iter().enumerate() {
            agenda.insert((entry.at, Phase::Strike, index));
            agenda.insert((entry.at + entry.lasts, Phase::End, index));
        }
        let state = |fault: &Fault| State { fault: fault.clone(), in_force: false, on: false };
        let states = plan.entries.iter().map(|entry| state(&entry.fault)).collect();
        Self { plan, wires, states, agenda, struck: BTreeMap::new(), parity: seed.0 }
    }

    /// Does all that is due.
    pub(super) async fn act(
        &mut self,
        elapsed: std::time::Duration,
        processes: &mut Processes,
    ) -> io::Result<()> {
        let now = Duration::nanos(elapsed.as_nanos() as u64);
        while let Some((at, phase, index)) = self.agenda.first().copied().filter(|due| due.0 <= now)
        {
            self.agenda.remove(&(at, phase, index));
            match phase {
                Phase::Strike => {
                    if self.plan.entries[index].aim != Aim::Named
                        && let Some(leader) = processes.leader().await
                    {
                        self.states[index].fault = self.states[index].fault.aimed_at(leader);
                    }
                    self.states[index].in_force = true;
                    self.turn(index, true, processes)?;
                    self.plan_toggle(index, at);
                }
                Phase::Toggle if self.states[index].in_force => {
                    let on = !self.states[index].on;
                    self.turn(index, on, processes)?;
                    self.plan_toggle(index, at);
                }
                Phase::Toggle => {}
                Phase::End => {
                    self.states[index].in_force = false;
                    if self.states[index].on {
                        self.turn(index, false, processes)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// When what comes and goes does so next.
    fn plan_toggle(&mut self, index: usize, now: Duration) {
        let Some(half) = self.states[index].fault.half_period() else { return };
        // A process takes a moment to come up: a faster storm would only ever hit its start.
        let half = half.max(Duration::millis(200));
        self.agenda.insert((now + half, Phase::Toggle, index));
    }

    /// Puts an entry in force, or takes it back.
    fn turn(&mut self, index: usize, on: bool, processes: &mut Processes) -> io::Result<()> {
        self.states[index].on = on;
        let fault = self.states[index].fault.clone();
        let class = fault.class();
        if fault.disturbance().is_some() {
            self.set_wires();
            return Ok(());
        }
        for node in fault.struck().iter().copied() {
            let was_up = match (&fault, on) {
                (Fault::Pause(_), true) => processes.freeze(node)?,
                (Fault::Pause(_), false) => processes.thaw(node).map(|()| false)?,
                (Fault::Stop(_), true) => processes.take(node)?,
                (Fault::Wipe(_), true) => processes.wipe(node)?,
                (_, true) => processes.kill(node)?,
                (_, false) => processes.restart(node).map(|()| false)?,
            };
            *self.struck.entry(class).or_default() += u64::from(was_up);
        }
        Ok(())
    }

    fn set_wires(&self) {
        let in_force = self.states.iter().enumerate().filter(|(_, state)| state.on);
        let in_force = in_force.filter_map(|(index, state)| {
            let half_open = (index as u64).wrapping_add(self.parity) % 2 == 1;
            Some((state.fault.disturbance()?, half_open))
        });
        let in_force: Vec<_> = in_force.collect();
        self.wires.set(&in_force);
    }

    /// Ends everything: the wires are whole, and every node runs that is not gone.
    pub(super) fn end(&mut self, processes: &mut Processes) -> io::Result<()> {
        self.agenda.clear();
        for state in &mut self.states {
            (state.in_force, state.on) = (false, false);
        }
        self.set_wires();
        processes.heal()
    }

    /// What is in force, in a line.
    pub(super) fn in_force(&self) -> String {
        let all: Vec<String> = self
            .states
            .iter()
            .filter(|state| state.on)
            .map(|state| state.fault.class().name().to_owned())
            .collect();
        if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
    }

    /// For each class, how many entries there were and how often it had an effect.
    pub(super) fn effects(&self) -> BTreeMap<Class, (u64, u64)> {
        let mut effects: BTreeMap<Class, (u64, u64)> = BTreeMap::new();
        for entry in &self.plan.entries {
            let class = entry.fault.class();
            let struck = self.struck.get(&class).copied().unwrap_or_default();
            let all = struck + self.wires.tally().of(class);
            effects.entry(class).or_insert((0, all)).0 += 1;
        }
        effects
    }
}
