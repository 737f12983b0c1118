//! What chaos draws, and what its clients ask for: without a process.
#![cfg(all(feature = "real", unix))]

use seedfall::Reply;
use seedfall::checkers::History;
use seedfall::clients::{Clients, Event, Timers};
use seedfall::faults::Class;
use seedfall::sim::{ClientId, Draws, Duration, Seed, Time};
use seedfall_protocols::two_phase_commit::Site;
use seedfall_real::chaos::{ChaosOptions, plan_of, policy, supports};
use seedfall_scenarios::bank::{self, Input};
use seedfall_scenarios::raft_kv;
use std::path::PathBuf;
use std::sync::Arc;

/// The clients of the bank as they stand before processes, each answered after a millisecond.
fn bank(operations: u32) -> History<Input, bank::Output> {
    let workload = bank::presumed_abort().workload;
    let generate = Arc::clone(&workload.generate);
    let mut clients = Clients::new(policy::<Site, _, _>(&workload, true), generate, (3, 1));
    let (mut draws, mut timers) = (Draws::new(Seed(1), 3, 1), Timers::new());
    let (id, mut event, mut actions) = (ClientId::new(0), Event::Started, Vec::new());
    let mut now = Time::ZERO;
    loop {
        actions.clear();
        clients.handle(id, now, event, &mut draws, &mut actions);
        event = match timers.take(now, &actions) {
            Some((from, operation)) => {
                now += Duration::millis(1);
                let number = clients.name(operation).number;
                Event::Answered { from, number, reply: Reply::Failed }
            }
            None => {
                let Some((at, waiting)) = timers.next() else { break };
                now = at;
                timers.fired(waiting);
                Event::Fired(waiting)
            }
        };
        if clients.history().operations.len() as u32 == operations {
            clients.end_faults(now);
        }
    }
    clients.into_history().0
}

#[test]
fn the_bank_is_asked_for_transfers_as_long_as_faults_last() {
    const COUNT: usize = 600;
    let history = bank(COUNT as u32);
    let inputs: Vec<&Input> = history.operations.iter().map(|one| &one.input).collect();
    assert_eq!(inputs.len(), COUNT + 2, "the final ones come after them");
    let audits = |inputs: &[&Input]| {
        let full = |input: &&&Input| matches!(input, Input::Read(all) if all.len() == 6);
        inputs.iter().filter(full).count()
    };
    // In any hundred operations: 55 transfers, 10 contracts, 15 reads of two, 20 of all.
    for (place, hundred) in inputs[..COUNT].chunks(100).enumerate() {
        let transfers = hundred.iter().filter(|one| matches!(one, Input::Transfer(_))).count();
        let signed = hundred.iter().filter(|one| matches!(one, Input::Sign { .. })).count();
        let mix = (transfers, signed, audits(hundred));
        assert!(
            (40..70).contains(&mix.0) && (2..20).contains(&mix.1) && (8..34).contains(&mix.2),
            "operations from {} on: {mix:?}",
            place * 100
        );
    }
    assert_eq!(audits(&inputs[COUNT + 1..]), 1, "the last word is what is left of it all");
}

#[test]
fn what_is_drawn_can_be_done() {
    let scenario = raft_kv::five();
    let mut classes = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let options = ChaosOptions {
            nodes: 5,
            time: std::time::Duration::from_secs(30),
            seed: Seed(seed),
            plan: None,
            program: PathBuf::new(),
            direct: false,
            record: false,
        };
        let plan = plan_of(&scenario, &options).expect("what is drawn can be done");
        assert!(!plan.entries.is_empty(), "seed {seed}");
        classes.extend(plan.entries.iter().map(|entry| entry.fault.class()));
    }
    let possible = Class::ALL.into_iter().filter(|class| supports(*class));
    let never: Vec<_> = possible
        .filter(|class| class.permitted_by(scenario.model) && !classes.contains(class))
        .collect();
    assert!(never.is_empty(), "never drawn: {never:?}");
}
