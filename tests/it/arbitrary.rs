//! Plans from bytes: every class of faults is spelled by some, in all its kinds, and whatever the
//! bytes are, the plan fits its budget.

use proptest::collection::vec;
use proptest::prelude::*;
use seedfall::arbitrary::{Block, permitted, plan_from_blocks};
use seedfall::faults::classes::{self, clock::WrongClock, timers::WrongTimers};
use seedfall::net::Partition;
use seedfall::plan::{Aim, FaultBudget};
use seedfall::sim::{
    Address, CrashPoint, DiskFault, Draw, Duration, EffectKind, Links, NodeId, Nodes, StableHasher,
    SystemModel, Timing,
};
use seedfall::{Class, Entry, Fault};
use std::collections::{BTreeMap, BTreeSet};

/// Everything is permitted here.
const ANYTHING: SystemModel =
    SystemModel { links: Links::Arbitrary, nodes: Nodes::Byzantine, timing: Timing::Asynchronous };

const BUDGET: FaultBudget =
    FaultBudget { model: ANYTHING, nodes: 5, clients: 3, spare: 2, faults: Duration::secs(1) };

/// A block of bytes that are as good as random.
fn block(number: u32) -> Block {
    let word = |half: u8| StableHasher::hash(&(number, half)).to_le_bytes();
    let mut block = [0; 12];
    block[..8].copy_from_slice(&word(0));
    block[8..].copy_from_slice(&word(1)[..4]);
    block
}

/// Entries of one block each.
fn entries(blocks: u32, budget: &FaultBudget) -> impl Iterator<Item = Entry> {
    (0..blocks).map(|number| {
        let mut plan = plan_from_blocks(&[block(number)], budget).entries;
        assert_eq!(plan.len(), 1, "a block alone always fits: {:?}", block(number));
        plan.remove(0)
    })
}

/// Which kind within its class a fault is, and how many kinds there are.
fn kind(fault: &Fault) -> (usize, usize) {
    match fault {
        Fault::Partition(classes::Partition(shape))
        | Fault::Flap(classes::Flap { partition: shape, .. }) => {
            let shape = match shape {
                Partition::TwoWay { .. } => 0,
                Partition::OneWay { .. } => 1,
                Partition::Partial { .. } => 2,
                Partition::Ring => 3,
                Partition::Bridge { .. } => 4,
            };
            (shape, 5)
        }
        Fault::Clog(classes::Clog { from, to }) => match (from.node(), to.node()) {
            (Some(_), Some(_)) => (0, 3),
            (None, _) => (1, 3),
            (_, None) => (2, 3),
        },
        Fault::Crash(classes::Crash { point, .. }) => {
            let effect = |kind: &EffectKind| match kind {
                EffectKind::Send => 0,
                EffectKind::Respond => 1,
                EffectKind::Append => 2,
                EffectKind::Sync => 3,
            };
            match point {
                None => (0, 11),
                Some(CrashPoint::Unsynced) => (1, 11),
                Some(CrashPoint::Before(kind)) => (2 + effect(kind), 11),
                Some(CrashPoint::After(kind)) => (6 + effect(kind), 11),
                Some(CrashPoint::Change(_)) => (10, 11),
            }
        }
        Fault::Clock(classes::Clock { wrong, .. }) => match wrong {
            WrongClock::Step { nanos } => (usize::from(*nanos < 0), 4),
            WrongClock::Freeze => (2, 4),
            WrongClock::Strobe { .. } => (3, 4),
        },
        Fault::Drift(classes::Drift { ppm, .. }) => (usize::from(*ppm < 0), 2),
        Fault::Timers(classes::Timers { wrong, .. }) => match wrong {
            WrongTimers::Early { .. } => (0, 3),
            WrongTimers::Late { .. } => (1, 3),
            WrongTimers::Coalesce { .. } => (2, 3),
        },
        Fault::DiskError(classes::DiskError { wrong, .. })
        | Fault::DiskDamage(classes::DiskDamage { wrong, .. })
        | Fault::DiskLie(classes::DiskLie { wrong, .. }) => {
            let node = NodeId::new(0);
            let of = |kind| Fault::of_disk(node, DiskFault::of_kind(kind, Draw::NOMINAL));
            let alike = |kind: &usize| of(*kind).class() == fault.class();
            let kinds: Vec<usize> = (0..DiskFault::KINDS).filter(alike).collect();
            let place = kinds.iter().position(|kind| *kind == wrong.kind());
            (place.expect("it is of its own class"), kinds.len())
        }
        Fault::PowerLoss(classes::PowerLoss { nodes }) => (usize::from(nodes.len() > 1), 2),
        _ => (0, 1),
    }
}

#[test]
fn every_class_is_spelled_by_some_bytes_in_all_its_kinds() {
    let mut seen: BTreeMap<Class, BTreeSet<usize>> = BTreeMap::new();
    let mut of: BTreeMap<Class, usize> = BTreeMap::new();
    for Entry { fault, .. } in entries(20_000, &BUDGET) {
        let (class, (kind, kinds)) = (fault.class(), kind(&fault));
        assert!(kind < kinds, "{fault} is kind {kind} of {kinds}");
        seen.entry(class).or_default().insert(kind);
        of.insert(class, kinds);
    }
    for class in Class::ALL {
        let seen = seen.get(&class).cloned().unwrap_or_default();
        let all = of.get(&class).copied().unwrap_or(1);
        let missing: Vec<usize> = (0..all).filter(|kind| !seen.contains(kind)).collect();
        assert!(missing.is_empty(), "{}: no bytes spell its kinds {missing:?}", class.name());
    }
}

#[test]
fn every_aim_and_way_to_lie_is_spelled_by_some_bytes() {
    let mut aims = BTreeSet::new();
    let (mut lies, mut sides, mut struck) = ([0; 5], [0; 2], BTreeSet::new());
    for Entry { fault, aim, retargets, .. } in entries(20_000, &BUDGET) {
        let aim = match aim {
            Aim::Named => 0,
            Aim::Leader => 1,
            Aim::EveryLeader { .. } => 2,
        };
        aims.insert((fault.class(), aim, retargets));
        struck.extend(fault.node());
        match &fault {
            Fault::Lie(classes::Lie { lies: one, .. }) => {
                let ways = [one.withhold, one.mutate, one.replay, one.delay, one.forge];
                lies.iter_mut().zip(ways).for_each(|(sum, ppm)| *sum += ppm);
            }
            Fault::Partition(classes::Partition(
                Partition::TwoWay { side } | Partition::OneWay { from: side },
            )) => sides[usize::from(side.iter().any(|one| one.client().is_some()))] += 1,
            _ => {}
        }
    }
    for class in Class::ALL {
        for (aim, retargets) in (0..3).flat_map(|aim| [(aim, false), (aim, true)]) {
            // Whoever is struck by one of these is lost for good, at every election another one.
            let expected = aim < 2 || !class.takes_a_node();
            assert_eq!(aims.contains(&(class, aim, retargets)), expected, "{} {aim}", class.name());
        }
    }
    assert!(lies.iter().all(|ppm| *ppm > 0), "{lies:?}");
    assert!(sides.iter().all(|count| *count > 0), "with clients and without: {sides:?}");
    assert_eq!(struck.len(), BUDGET.nodes, "any node");
}

/// Budgets of every model, also the narrowest.
fn budgets() -> impl Strategy<Value = FaultBudget> {
    let links = prop_oneof![Just(Links::Reliable), Just(Links::FairLoss), Just(Links::Arbitrary)];
    let nodes =
        prop_oneof![Just(Nodes::CrashStop), Just(Nodes::CrashRecovery), Just(Nodes::Byzantine)];
    let timing = prop_oneof![
        Just(Timing::Synchronous),
        Just(Timing::PartiallySynchronous),
        Just(Timing::Asynchronous)
    ];
    let model = (links, nodes, timing).prop_map(|(links, nodes, timing)| SystemModel {
        links,
        nodes,
        timing,
    });
    (model, 1_usize..10, 0_usize..4, 0_usize..4).prop_map(|(model, nodes, clients, spare)| {
        FaultBudget { model, nodes, clients, spare: spare.min(nodes), faults: Duration::secs(1) }
    })
}

proptest! {
    #[test]
    fn any_bytes_are_a_plan_that_fits_any_frame(
        budget in budgets(),
        blocks in vec(any::<Block>(), 0..40),
        out in any::<usize>(),
    ) {
        let plan = plan_from_blocks(&blocks, &budget);
        prop_assert_eq!(plan.check(&budget), Ok(()));
        prop_assert!(plan.entries.len() <= blocks.len());
        // Where all of it fits, each block is one fault, and leaving it out leaves that one out.
        if let Some(out) = out.checked_rem(blocks.len()) && plan.entries.len() == blocks.len() {
            let (mut fewer, mut less) = (blocks, plan);
            fewer.remove(out);
            less.entries.remove(out);
            prop_assert_eq!(plan_from_blocks(&fewer, &budget), less);
        }
    }

    #[test]
    fn whatever_a_budget_permits_is_spelled_by_some_byte(budget in budgets()) {
        let classes = permitted(&budget);
        let first = |byte: u8| [byte, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let of = |byte: u8| {
            plan_from_blocks(&[first(byte)], &budget).entries.remove(0).fault.class()
        };
        let spelled: Vec<Class> = (0..classes.len() as u8).map(of).collect();
        prop_assert_eq!(&spelled, &classes);
        for class in Class::ALL {
            let fits = budget.spare > 0 || !class.takes_a_node();
            prop_assert_eq!(classes.contains(&class), class.permitted_by(budget.model) && fits);
        }
    }
}

/// A clog may be of any link, also of a client's.
#[test]
fn any_address_can_be_clogged() {
    let ends = |fault: &Fault| match fault {
        Fault::Clog(classes::Clog { from, to }) => Some((*from, *to)),
        _ => None,
    };
    let clogs: BTreeSet<(Address, Address)> =
        entries(20_000, &BUDGET).filter_map(|entry| ends(&entry.fault)).collect();
    assert_eq!(clogs.len(), 8 * 7, "5 nodes and 3 clients, each to each other");
}
