//! The course of a run: events and faults in turn, until it is over.

use super::broken::Broken;
use super::pulse::Doing;
use super::{Running, Trial};
use crate::clients::simulated::SimulatedClients;
use crate::property::{Judgement, Kind};
use crate::report::FailureKind;
use crate::scenario::Scenario;
use seedfall_net::Wire;
use seedfall_sim::{Duration, NodeId, Protocol, Recording, Setup, Step, Time, Violation, World};
use std::fmt::Debug;

/// At how many events, `from` or more, a trial asks for something to be done.
pub(super) fn next_look(trial: &Trial, from: u64) -> u64 {
    let forks = trial.fork.map(|fork| fork.after);
    let turns = trial.turns.iter().map(|turn| turn.after);
    let asked = forks.into_iter().chain(trial.until).chain(trial.fix).chain(turns);
    asked.filter(|at| from <= *at).min().unwrap_or(u64::MAX)
}

/// How often an `eventually` is looked at while it does not hold yet.
const SETTLED_EVERY: Duration = Duration::millis(10);

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing is left to be done, or the trial asked for no more: nothing is owed any longer.
    Over,
    /// The time to settle is up: whatever has not come true is late.
    Overdue,
    /// Nothing will ever happen again: whatever has not come true never will.
    Quiet,
    /// Something is broken: it is looked at no further.
    Broken,
}

impl<P: Protocol, I: Debug, O: Debug> Running<'_, P, I, O> {
    /// The run up to its end, or up to the event that breaks something.
    pub(super) fn go(&mut self) -> End {
        self.begin();
        for node in NodeId::all(self.budget.nodes) {
            if self.sees_broken(node) {
                return End::Broken;
            }
        }
        let end = Time::ZERO + self.budget.faults + self.scenario.horizon.settle;
        loop {
            let act_at = self.nemesis.next_at();
            if act_at.is_none() && self.when_over.is_none() {
                self.when_over = Some(self.fault_effects());
            }
            let limit = act_at.unwrap_or(end);
            if let Some(end) = self.advance(limit) {
                return end;
            }
            if self.nemesis.next_at() != act_at {
                continue; // Watching planned something earlier: what is due before it comes first.
            }
            if act_at.is_none() {
                return End::Overdue;
            }
            self.beat(Doing::Between);
            let world = self.world.as_mut().expect("begun above");
            world.advance(limit);
            for node in self.nemesis.act(world) {
                if let (Some(observer), Some(world)) = (&mut self.observer, &self.world) {
                    observer.see_fault(world, node);
                }
                if self.sees_broken(node) {
                    return End::Broken;
                }
            }
            if self.look_at <= self.world().trace().count()
                && let Some(end) = self.look()
            {
                return end;
            }
        }
    }

    fn begin(&mut self) {
        if let Some(pulse) = &self.trial.pulse {
            pulse.begin(self.trial.seed.0);
        }
        let Scenario { cluster, workload, config, properties, .. } = self.scenario;
        let (nodes, clients) = (self.budget.nodes, cluster.clients);
        let asking = SimulatedClients::new(
            workload.clone(),
            (nodes, clients),
            self.scenario.must_complete(),
            self.trial.skip.clone(),
            Time::ZERO + self.budget.faults,
            self.trial.calls.clone(),
        );
        let setup = Setup {
            seed: self.trial.seed,
            nodes,
            clients,
            recording: match self.trial.recording {
                // A part of a run looks at what arrives, as does whoever keeps it.
                Recording::Hash if self.trial.only.is_some() => Recording::Ring(1),
                recording => recording,
            },
            overrides: self.trial.overrides.clone(),
        };
        let wire = Wire::new(nodes, clients, cluster.link);
        // Idle at first: a node that panics as it starts leaves a world that can be told of.
        self.world = Some(World::idle(setup, config.clone(), wire, asking));
        for property in properties {
            if let Kind::Invariant(make) = &property.kind {
                self.judging = Some(property.name);
                self.monitors.push((property.name, make()));
                self.judging = None;
            }
        }
        let Some(world) = &mut self.world else { return };
        world.draws_mut().set_nominal(self.trial.nominal);
        if let Some(only) = &self.trial.only {
            world.let_in_only(only.iter());
        }
        world.start();
        if let Some(random) = &self.trial.random {
            world.draws_mut().nominal_except(random.clone());
        }
        if let Some(priorities) = &self.trial.priorities {
            world.draws_mut().set_priorities(priorities.clone());
        }
        if self.trial.log_draws {
            world.draws_mut().keep_log();
        }
        if self.trial.fix == Some(0) {
            world.draws_mut().fix();
        }
        for (node, clock) in NodeId::all(nodes).zip(cluster.clocks) {
            world.set_clock(node, *clock);
        }
    }

    /// Everything that is due at `limit` or before. How the run ends, if it does.
    fn advance(&mut self, limit: Time) -> Option<End> {
        while let Some(step) = self.step(limit) {
            if let Some(node) = step.actor.node() {
                if self.sees_broken(node) {
                    return Some(End::Broken);
                }
                if self.nemesis.is_watching()
                    && let Some(world) = &self.world
                {
                    self.nemesis.watch(world, node);
                    if self.nemesis.next_at().is_some_and(|at| at < limit) {
                        return None;
                    }
                }
            }
            if self.world().trace().count() >= self.look_at {
                if let Some(end) = self.look() {
                    return Some(end);
                }
                if self.nemesis.next_at().is_some_and(|at| at < limit) {
                    return None;
                }
            }
            let world = self.world();
            if world.clients().is_done() && self.may_end() && self.settled() {
                return Some(End::Over);
            }
        }
        let undone = !self.world().clients().is_done();
        // The last thing to happen may have been the end of a fault.
        if !undone && self.nemesis.next_at().is_none() && self.unsettled().is_empty() {
            return Some(End::Over);
        }
        let quiet = undone && self.world().is_quiet() && self.nemesis.next_at().is_none();
        quiet.then_some(End::Quiet)
    }

    /// So many events have happened that there is something to be done. How the run ends, if it
    /// does.
    #[cold]
    fn look(&mut self) -> Option<End> {
        let most = self.scenario.horizon.events;
        let world = self.world.as_mut().expect("a run is looked at only after it began");
        let count = world.trace().count();
        if let Some(fork) = self.trial.fork.filter(|fork| self.look_at <= fork.after) {
            world.draws_mut().reseed(fork.seed);
            world.clients_mut().decide_calls();
            self.nemesis.redraw(fork.seed, world.now(), &self.budget);
        }
        for turn in &self.trial.turns {
            if (self.look_at..=count).contains(&turn.after) {
                world.draws_mut().turn(turn.seed);
            }
        }
        if self.trial.fix.is_some_and(|from| from <= count) {
            world.draws_mut().fix();
        }
        self.look_at = next_look(self.trial, count + 1).min(most + 1);
        if self.trial.until.is_some_and(|until| until <= count) {
            return Some(End::Over);
        }
        if count > most {
            self.broken.push(self.stuck("runs in circles: its events are used up"));
            return Some(End::Broken);
        }
        None
    }

    /// Whether no fault is still to come, and the trial does not ask for a longer run.
    fn may_end(&self) -> bool {
        let faults = self.trial.faults.map(|until| Time::ZERO + until);
        let open_until = faults.max(self.trial.open_until);
        let longer = open_until.is_some_and(|until| self.world().now() < until);
        self.nemesis.next_at().is_none() && !longer
    }

    #[inline(always)]
    fn step(&mut self, limit: Time) -> Option<Step> {
        if self.trial.spans || self.observer.is_some() {
            return self.step_watched(limit);
        }
        let world = self.world.as_mut()?;
        let pulse = self.trial.pulse.as_deref();
        let events = world.trace().count();
        world.step_inside(limit, |Step { actor, .. }| {
            if let Some(pulse) = pulse {
                pulse.event(events, actor);
            }
        })
    }

    /// As [`Run::step`], for the logs of the protocol or for a search.
    #[cold]
    #[inline(never)]
    fn step_watched(&mut self, limit: Time) -> Option<Step> {
        if self.trial.spans {
            return self.step_in_span(limit);
        }
        let (world, observer) = (self.world.as_mut()?, self.observer.as_mut()?);
        let pulse = self.trial.pulse.as_deref();
        let events = world.trace().count();
        let (step, kind) = world.step_telling(limit, &mut |Step { actor, .. }| {
            if let Some(pulse) = pulse {
                pulse.event(events, actor);
            }
            None
        })?;
        if let Some(node) = step.actor.node() {
            observer.see(world, (node, kind), self.scenario.abstraction_of());
        }
        Some(step)
    }

    /// As [`Run::step`], for the logs of the protocol.
    #[cold]
    #[inline(never)]
    fn step_in_span(&mut self, limit: Time) -> Option<Step> {
        let world = self.world.as_mut()?;
        let (pulse, events) = (self.trial.pulse.as_deref(), world.trace().count());
        let told = world.step_telling(limit, &mut |Step { at, actor }| {
            if let Some(pulse) = pulse {
                pulse.event(events, actor);
            }
            Some(Box::new(tracing::info_span!("event", at = %at, actor = %actor).entered()))
        });
        told.map(|(step, _)| step)
    }

    fn beat(&self, doing: Doing) {
        if let Some(pulse) = &self.trial.pulse {
            pulse.set(doing);
        }
    }

    /// Shows a node to all monitors: whether one sees something broken in this event.
    #[inline(always)]
    fn sees_broken(&mut self, node: NodeId) -> bool {
        // A handler that is not over is not to be judged: nobody knows yet of what it did, and a
        // crash may still undo it.
        let world = self.world.as_ref().filter(|world| !world.is_mid_handler(node));
        let Some((world, state)) = world.and_then(|world| Some((world, world.node(node)?))) else {
            return false;
        };
        for (property, monitor) in &mut self.monitors {
            self.judging = Some(property);
            if let Err(violation) = monitor.observe_at(node, state, &|of| world.clock(of)) {
                note(&mut self.broken, property, &violation);
            }
        }
        self.judging = None;
        !self.broken.is_empty()
    }

    /// Whether every `eventually` about the nodes holds; looked at now and then, since a look may
    /// be costly.
    fn settled(&mut self) -> bool {
        let now = self.world().now();
        if now < self.settled_check {
            return false;
        }
        self.settled_check = now + SETTLED_EVERY;
        self.unsettled().is_empty()
    }

    /// Every `eventually` about the nodes that does not hold, and why.
    pub(super) fn unsettled(&mut self) -> Vec<(&'static str, String)> {
        let Some(world) = &self.world else { return Vec::new() };
        let nodes: Vec<Option<&P>> =
            NodeId::all(world.node_count()).map(|node| world.node(node)).collect();
        let told: Vec<_> = world.clients().told().collect();
        let mut missing = Vec::new();
        for property in &self.scenario.properties {
            if let Kind::Eventually(judge) = &property.kind {
                self.judging = Some(property.name);
                match judge(&nodes, &told) {
                    Judgement::Holds => {}
                    Judgement::Violated { reason: why, .. } | Judgement::Unknown(why) => {
                        missing.push((property.name, why));
                    }
                }
            }
        }
        self.judging = None;
        missing
    }
}

/// What a monitor sees broken.
#[cold]
#[inline(never)]
fn note(broken: &mut Vec<Broken>, property: &'static str, violation: &Violation) {
    let (name, why) = (format!("always {property}"), violation.to_string());
    broken.push(Broken::new(FailureKind::Safety, name, violation.property, why).of(property));
}
