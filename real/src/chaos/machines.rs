//! Real processes and the wires between them, as faults act on them.

use super::processes::Processes;
use super::proxy::Wires;
use rustix::process::Signal;
use seedfall::faults::classes::shutdown::EndSignal;
use seedfall::faults::nemesis::Nemesis;
use seedfall::faults::target::{Done, Seen, Target};
use seedfall::plan::{Aim, Class, FaultPlan};
use seedfall_net::{Disturbance, Tally};
use seedfall_sim::{Counters, Duration, NodeId, Seed, Time};
use std::collections::BTreeMap;
use std::io;

/// The processes and wires of a run.
pub(super) struct Machines<'a> {
    pub(super) processes: &'a mut Processes,
    wires: &'a Wires,
    now: Time,
    /// Who led when last asked.
    leader: Option<NodeId>,
    /// The disturbances in force, each with whether it leaves connections half-open.
    in_force: Vec<(Disturbance, bool)>,
    /// How many began: of partitions, every other one is half-open.
    begun: u64,
    /// Freezes of a process that was up.
    frozen: u64,
    /// What the machine would not do.
    failed: Option<io::Error>,
}

impl<'a> Machines<'a> {
    pub(super) fn new(processes: &'a mut Processes, wires: &'a Wires, seed: Seed) -> Self {
        let (in_force, begun) = (Vec::new(), seed.0);
        let (now, leader, frozen, failed) = (Time::ZERO, None, 0, None);
        Self { processes, wires, now, leader, in_force, begun, frozen, failed }
    }

    /// What was done; what failed is kept for later.
    fn done(&mut self, done: io::Result<bool>) -> Done {
        Ok(done.unwrap_or_else(|error| {
            self.failed.get_or_insert(error);
            false
        }))
    }
}

impl Target for Machines<'_> {
    fn now(&self) -> Time {
        self.now
    }

    fn node_count(&self) -> usize {
        self.processes.count()
    }

    fn is_up(&self, node: NodeId) -> bool {
        self.processes.is_up(node)
    }

    fn leads(&self, node: NodeId) -> bool {
        self.leader == Some(node)
    }

    fn seen(&self) -> Seen {
        let of = |class| self.wires.tally().of(class);
        let wire = Tally {
            lost: of(Class::Loss),
            reordered: of(Class::Reorder),
            clogged: of(Class::Clog),
            cut: of(Class::Partition),
            burst: of(Class::Burst),
            lagged: of(Class::Latency),
            throttled: of(Class::Throttle),
            corrupted: of(Class::Corrupt),
            flapped: of(Class::Flap),
            ..Tally::default()
        };
        let nodes = Counters { deferred: self.frozen, ..Counters::default() };
        Seen { wire, nodes, ..Seen::default() }
    }

    fn disturb(&mut self, disturbance: &Disturbance, _: Time) -> Done {
        self.in_force.push((disturbance.clone(), self.begun % 2 == 1));
        self.begun = self.begun.wrapping_add(1);
        self.wires.set(&self.in_force);
        Ok(true)
    }

    fn end_disturbance(&mut self, disturbance: &Disturbance, _: Time) -> Done {
        if let Some(place) = self.in_force.iter().position(|(one, _)| one == disturbance) {
            self.in_force.remove(place);
        }
        self.wires.set(&self.in_force);
        Ok(true)
    }

    fn crash(&mut self, node: NodeId) -> Done {
        let done = self.processes.kill(node);
        self.done(done)
    }

    fn stop(&mut self, node: NodeId) -> Done {
        let done = self.processes.take(node);
        self.done(done)
    }

    fn restart(&mut self, node: NodeId) -> Done {
        let done = self.processes.restart(node).map(|()| true);
        self.done(done)
    }

    fn tell_to_end(&mut self, node: NodeId, signal: EndSignal) -> Done {
        let signal = match signal {
            EndSignal::Terminate => Signal::TERM,
            EndSignal::Interrupt => Signal::INT,
        };
        let done = self.processes.tell_to_end(node, signal);
        self.done(done)
    }

    fn kill(&mut self, node: NodeId) -> Done {
        let done = self.processes.end(node);
        self.done(done)
    }

    fn pause(&mut self, node: NodeId) -> Done {
        let done = self.processes.freeze(node);
        self.frozen += u64::from(matches!(done, Ok(true)));
        self.done(done)
    }

    fn resume(&mut self, node: NodeId) -> Done {
        let done = self.processes.thaw(node).map(|()| true);
        self.done(done)
    }

    fn wipe(&mut self, node: NodeId) -> Done {
        let done = self.processes.wipe(node);
        self.done(done)
    }
}

/// Does all of a plan that is due.
pub(super) async fn act(
    nemesis: &mut Nemesis,
    machines: &mut Machines<'_>,
    plan: &FaultPlan,
    elapsed: std::time::Duration,
) -> io::Result<()> {
    let now = Time::ZERO + Duration::nanos(elapsed.as_nanos() as u64);
    let aims = plan.entries.iter().any(|entry| entry.aim != Aim::Named);
    while let Some(at) = nemesis.next_at().filter(|at| *at <= now) {
        if aims {
            machines.leader = machines.processes.leader().await;
        }
        machines.now = at;
        nemesis.act(machines);
        if let Some(error) = machines.failed.take() {
            return Err(error);
        }
    }
    Ok(())
}

/// Ends everything: the wires are whole, and every node runs that is not gone.
pub(super) fn end(machines: &mut Machines<'_>) -> io::Result<()> {
    machines.in_force.clear();
    machines.wires.set(&[]);
    machines.processes.heal()
}

/// What is in force, in a line.
pub(super) fn in_force(nemesis: &Nemesis) -> String {
    let all: Vec<&str> = nemesis.in_force().map(|fault| fault.class().name()).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}

/// For each class of a plan, how many entries there were and how often it had an effect.
pub(super) fn effects(
    nemesis: &Nemesis,
    machines: &Machines<'_>,
    plan: &FaultPlan,
) -> BTreeMap<Class, (u64, u64)> {
    assert_eq!(nemesis.unsupported(), 0, "a plan is checked before it is run");
    let mut effects: BTreeMap<Class, (u64, u64)> = BTreeMap::new();
    for entry in &plan.entries {
        let class = entry.fault.class();
        let all = nemesis.all_effects(machines)[class as usize];
        effects.entry(class).or_insert((0, all)).0 += 1;
    }
    effects
}
