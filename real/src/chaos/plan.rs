//! The plan of chaos: as that of a run, drawn in rounds, of what can be done to the real thing.

use super::{ChaosError, ChaosOptions};
use seedfall::faults::{Swarm, classes};
use seedfall::plan::{Aim, Class, Entry, Fault, FaultBudget, FaultPlan, PlanError};
use seedfall::scenario::Scenario;
use seedfall_sim::{Duration, Protocol, Seed};

/// How long the faults of one round last. A minute is several rounds, so that there is always
/// something wrong, and hardly ever everything.
pub const ROUND: Duration = Duration::secs(5);

/// What lies between two rounds: time to recover.
const PAUSE: Duration = Duration::secs(1);

/// Whether faults of a class can be done to real processes and wires.
///
/// TCP hides duplicates; clocks, disks and the speed of a process are the machine's; and an honest
/// program does not lie.
pub fn supports(class: Class) -> bool {
    match class {
        Class::Loss
        | Class::Reorder
        | Class::Clog
        | Class::Partition
        | Class::Crash
        | Class::Pause
        | Class::Burst
        | Class::Latency
        | Class::Throttle
        | Class::Corrupt
        | Class::Flap
        | Class::Stop
        | Class::PowerLoss
        | Class::Storm
        | Class::Wipe
        | Class::Shutdown => true,
        // What is newer, nobody has taught it yet.
        _ => false,
    }
}

fn budget<P: Protocol, I, O>(
    scenario: &Scenario<P, I, O>,
    options: &ChaosOptions,
    faults: Duration,
) -> FaultBudget {
    FaultBudget {
        model: scenario.model,
        nodes: options.nodes,
        clients: scenario.cluster.clients,
        // Whoever is gone must leave a majority.
        spare: scenario.cluster.spare.min((options.nodes - 1) / 2),
        faults,
    }
}

/// The plan of a seed: one round after the other; nodes go for good in the last one only.
pub(super) fn draw<P: Protocol, I, O>(
    scenario: &Scenario<P, I, O>,
    options: &ChaosOptions,
) -> FaultPlan {
    let all = Duration::nanos(options.time.as_nanos() as u64);
    let swarm = Swarm {
        duplicate: 0,
        slows: 0,
        stalls: 0,
        clocks: 0,
        drifts: 0,
        timers: 0,
        liars: 0,
        disk_errors: 0,
        disk_damages: 0,
        disk_lies: 0,
        swizzles: 0,
        twins: 0,
        strategies: 0,
        // Nodes of protocols have no signals; processes have, and an upgrade sends them.
        shutdowns: 2,
        ..scenario.faults
    };
    let (mut entries, mut begin, mut round) = (Vec::new(), Duration::ZERO, 0);
    while begin < all {
        let left = all - begin;
        let is_last = left < ROUND + PAUSE + ROUND;
        let lasts = if left < ROUND { left } else { ROUND };
        let mut budget = budget(scenario, options, lasts);
        if !is_last {
            budget.spare = 0;
        }
        let seed = Seed(options.seed.0.wrapping_mul(1_000).wrapping_add(round));
        for entry in swarm.draw(seed, &budget).entries {
            entries.push(real(Entry { at: begin + entry.at, ..entry }));
        }
        begin = if is_last { all } else { begin + ROUND + PAUSE };
        round += 1;
    }
    FaultPlan { entries }
}

/// The entry as it can be done: a process is killed anywhere, and struck by aim once.
fn real(mut entry: Entry) -> Entry {
    if let Fault::Crash(crash) = &mut entry.fault {
        crash.point = None;
    }
    // A process takes a moment to come up: a faster storm would only ever hit its start.
    match &mut entry.fault {
        Fault::Storm(classes::Storm { half, .. }) | Fault::Flap(classes::Flap { half, .. }) => {
            *half = (*half).max(Duration::millis(200));
        }
        _ => {}
    }
    if matches!(entry.aim, Aim::EveryLeader { .. }) {
        entry.aim = Aim::Leader;
    }
    entry.retargets = false;
    entry
}

/// Whether a plan can be done here. Its odds are not added up: rounds do not meet.
pub(super) fn check<P: Protocol, I, O>(
    plan: &FaultPlan,
    scenario: &Scenario<P, I, O>,
    options: &ChaosOptions,
) -> Result<(), ChaosError> {
    let all = Duration::nanos(options.time.as_nanos() as u64);
    let budget = budget(scenario, options, all);
    let mut taken = 0;
    for (place, entry) in plan.entries.iter().enumerate() {
        let class = entry.fault.class();
        if !supports(class) {
            return Err(ChaosError::Unsupported(class));
        }
        let alone = FaultPlan { entries: vec![entry.clone()] };
        alone.check(&budget).map_err(|error| ChaosError::Plan(error.at(place)))?;
        taken += usize::from(class.takes_a_node());
        if taken > budget.spare {
            let error = PlanError::TooMany { entry: place, spare: budget.spare };
            return Err(ChaosError::Plan(error));
        }
    }
    Ok(())
}
