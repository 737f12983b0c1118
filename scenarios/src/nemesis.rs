//! The nemesis: applies a fault plan to a world, and knows which entries had an effect.

use crate::plan::{Class, Fault, FaultPlan};
use seedfall_net::{Disturbance, Tally, Wire};
use seedfall_sim::{Clients, Duration, NodeId, Protocol, Time, World};

/// What is to be done at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// An entry ends. Ends come before the beginnings of the same instant, so that a crash may
    /// follow a restart.
    End,
    /// An entry begins.
    Begin,
    /// A crash that waits for a point inside a handler has waited long enough.
    Deadline,
}

/// One fault plan, in the course of one run.
#[derive(Clone, Debug)]
pub(crate) struct Nemesis {
    plan: FaultPlan,
    /// What is to be done, and when: sorted, done from the front.
    agenda: Vec<(Time, Phase, usize)>,
    next: usize,
    /// For each entry, how often its class had had an effect when it began.
    before: Vec<u64>,
    /// Which entries had an effect.
    fired: Vec<bool>,
}

impl Nemesis {
    pub(crate) fn new(plan: FaultPlan) -> Self {
        let mut agenda = Vec::new();
        for (index, entry) in plan.entries.iter().enumerate() {
            let at = |span: Duration| Time::ZERO + span;
            agenda.push((at(entry.at), Phase::Begin, index));
            if matches!(entry.fault, Fault::Crash { point: Some(_), .. }) {
                agenda.push((at(entry.at + entry.lasts.scale(1, 2)), Phase::Deadline, index));
            }
            agenda.push((at(entry.at + entry.lasts), Phase::End, index));
        }
        agenda.sort_unstable_by_key(|(at, phase, index)| (*at, *phase, *index));
        let entries = plan.entries.len();
        Self { plan, agenda, next: 0, before: vec![0; entries], fired: vec![false; entries] }
    }

    /// When it acts next; never, once the plan is over.
    pub(crate) fn next_at(&self) -> Option<Time> {
        self.agenda.get(self.next).map(|(at, ..)| *at)
    }

    /// For each entry of the plan, its class and whether its class had an effect while it lasted:
    /// entries of one class that overlap share what they did.
    pub(crate) fn fired(&self) -> impl Iterator<Item = (Class, bool)> {
        self.plan.entries.iter().map(|entry| entry.fault.class()).zip(self.fired.iter().copied())
    }

    /// Does what is due now. Says which node, if any, has come up or gone down.
    pub(crate) fn act<P: Protocol, C: Clients<P>>(
        &mut self,
        world: &mut World<P, Wire, C>,
    ) -> Option<NodeId> {
        let &(_, phase, index) = self.agenda.get(self.next)?;
        self.next += 1;
        let entry = &self.plan.entries[index];
        let class = entry.fault.class();
        if phase == Phase::Begin {
            self.before[index] = effects(class, world);
        }
        let touched = match &entry.fault {
            Fault::Wire(disturbance) => {
                let until = world.now() + entry.lasts;
                disturb(world, disturbance, phase, until, &entry.fault);
                None
            }
            Fault::Crash { node, point } => {
                match (phase, point) {
                    (Phase::Begin, Some(point)) => {
                        world.arm_crash(*node, *point);
                    }
                    (Phase::Begin, None) => {
                        world.crash(*node);
                    }
                    (Phase::Deadline, _) => {
                        if world.disarm_crash(*node) {
                            world.crash(*node);
                        }
                    }
                    (Phase::End, _) => {
                        world.restart(*node);
                    }
                }
                Some(*node)
            }
            Fault::Pause { node } => {
                match phase {
                    Phase::Begin => world.pause(*node),
                    _ => world.resume(*node),
                };
                Some(*node)
            }
        };
        if phase == Phase::End {
            self.fired[index] = effects(class, world) > self.before[index];
        }
        touched
    }
}

fn disturb<P: Protocol, C: Clients<P>>(
    world: &mut World<P, Wire, C>,
    disturbance: &Disturbance,
    phase: Phase,
    until: Time,
    fault: &Fault,
) {
    let actor = NodeId::new(0).into();
    match phase {
        Phase::Begin => {
            world.note_fault(actor, &format!("begins: {fault}"));
            world.network_mut().begin(disturbance, until);
        }
        Phase::End => {
            world.note_fault(actor, &format!("ends: {fault}"));
            world.network_mut().end(disturbance);
        }
        Phase::Deadline => {}
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
