//! `OM(m)`, and the bound `n > 3m` (Lamport, Shostak and Pease 1982, sections 2 and 3).

use crate::by_hand::{Bench, N1, N2, N3, N4, request};
use seedfall_protocols::oral_messages::Order::{Attack, Retreat};
use seedfall_protocols::oral_messages::{Config, General, Message, Order, majority};
use seedfall_sim::{Duration, NodeId, StableHasher};

const ROUND: Duration = Duration::millis(20);

/// Who says what else than it was told, and to whom; `None`: nothing at all.
type Lie<'a> = &'a dyn Fn(NodeId, NodeId, &Message) -> Option<Order>;

/// One battle, commanded by n1: what everybody did, `None` for who never heard of it.
fn battle(n: usize, m: usize, order: Order, lie: Lie<'_>) -> Vec<Option<Order>> {
    let mut bench: Bench<General> = Bench::new(n, Config { traitors: m, round: ROUND });
    bench.ask(N1, request(1, 1), order);
    for _ in 0..=m {
        for (from, to, message) in std::mem::take(&mut bench.wire) {
            if let Some(order) = lie(from, to, &message) {
                bench.deliver(from, to, Message { order, ..message });
            }
        }
        bench.wait(ROUND);
    }
    assert_eq!(bench.answer(request(1, 1)), Some(&order), "the commander does what it ordered");
    assert!(bench.wire.is_empty() && bench.ignored.is_empty(), "{:?}", bench.ignored);
    let did = |id| bench.at(id).over().first().and_then(|council| council.decision);
    NodeId::all(n).map(did).collect()
}

/// One traitor, that says the opposite where this mask has a bit, and nothing where the next has.
fn turncoat(traitor: NodeId, mask: u32) -> impl Fn(NodeId, NodeId, &Message) -> Option<Order> {
    move |from, to, message| match mask >> (2 * to.index()) & 3 {
        _ if from != traitor => Some(message.order),
        0 => Some(message.order),
        1 => None,
        _ => Some(opposite(message.order)),
    }
}

fn opposite(order: Order) -> Order {
    if order == Attack { Retreat } else { Attack }
}

/// IC1 and IC2, for the lieutenants who are loyal.
fn is_kept(did: &[Option<Order>], order: Order, traitors: &[NodeId]) -> bool {
    // Who heard of nothing retreats.
    let loyal = NodeId::all(did.len()).skip(1).filter(|id| !traitors.contains(id));
    let mut orders: Vec<Order> = loyal.map(|id| did[id.index()].unwrap_or(Retreat)).collect();
    orders.dedup();
    orders.len() == 1 && (traitors.contains(&N1) || orders[0] == order)
}

/// Figure 3: lieutenant 3 is a traitor, and the others obey the commander.
#[test]
fn section_3_a_traitorous_lieutenant_changes_nothing() {
    let lie = |from, _, message: &Message| Some(if from == N4 { Retreat } else { message.order });
    let did = battle(4, 1, Attack, &lie);
    assert_eq!(did[1..3], [Some(Attack), Some(Attack)]);
}

/// Figure 4: the commander tells each something else, and all do the same.
#[test]
fn section_3_lieutenants_of_a_traitor_do_the_same() {
    let told = |from, to, message: &Message| {
        Some(if from == N1 && to == N3 { Retreat } else { message.order })
    };
    assert_eq!(battle(4, 1, Attack, &told)[1..], [Some(Attack); 3]);
    let told = |from, to, message: &Message| {
        Some(if from == N1 && to != N3 { Retreat } else { message.order })
    };
    assert_eq!(battle(4, 1, Attack, &told)[1..], [Some(Retreat); 3]);
}

/// Figure 1: to lieutenant 1, who hears `attack` from the commander and `retreat` from lieutenant
/// 2, it looks the same whoever of them lies. Figure 2 is the other case; `OM(1)` stays on its
/// side.
#[test]
fn section_2_three_generals_cannot_tell_who_lies() {
    let lie = |from, _, message: &Message| Some(if from == N3 { Retreat } else { message.order });
    let figure_1 = battle(3, 1, Attack, &lie);
    assert_eq!(figure_1[1], Some(Retreat), "IC2 is broken: the loyal commander attacks");
    let lie = |from, to, message: &Message| {
        Some(if (from, to) == (N1, N3) { Retreat } else { message.order })
    };
    let figure_2 = battle(3, 1, Attack, &lie);
    assert_eq!(figure_2[1..], [Some(Retreat); 2], "IC1 holds, at that price");
}

/// Theorem 1 for `m = 1`: every traitor, every way to lie or to be silent, both orders. With three
/// generals some of that breaks IC1 or IC2.
#[test]
fn theorem_1_four_generals_bear_one_traitor_and_three_do_not() {
    for (n, holds) in [(4, true), (3, false)] {
        let mut broken = 0;
        for traitor in NodeId::all(n) {
            for mask in 0..1 << (2 * n) {
                for order in [Attack, Retreat] {
                    let did = battle(n, 1, order, &turncoat(traitor, mask));
                    broken += u32::from(!is_kept(&did, order, &[traitor]));
                }
            }
        }
        assert_eq!(broken == 0, holds, "n = {n}: {broken} broken");
    }
}

/// Theorem 1 for `m = 2`: two traitors who say what a hash says, on every path to everybody.
#[test]
fn theorem_1_seven_generals_bear_two_traitors_and_six_do_not() {
    for (n, holds) in [(7, true), (6, false)] {
        let mut broken = 0;
        for seed in 0_u64..120 {
            let second = NodeId::new(1 + (seed % (n as u64 - 1)) as u16);
            let first = if seed % 3 == 0 { N1 } else { N2 };
            let traitors = [first, second];
            let lie = |from: NodeId, to: NodeId, message: &Message| {
                let word = StableHasher::hash(&(seed, to, &message.path));
                match word % 5 {
                    _ if !traitors.contains(&from) => Some(message.order),
                    0 => None,
                    1 | 2 => Some(Attack),
                    _ => Some(Retreat),
                }
            };
            let did = battle(n, 2, Attack, &lie);
            broken += u32::from(!is_kept(&did, Attack, &traitors));
        }
        assert_eq!(broken == 0, holds, "n = {n}: {broken} broken");
    }
}

/// A3: a message that comes after its round is as good as none.
#[test]
fn section_3_a_late_message_is_silence() {
    let mut bench: Bench<General> = Bench::new(4, Config { traitors: 1, round: ROUND });
    bench.ask(N1, request(1, 1), Attack);
    bench.wait(ROUND);
    bench.settle(&[N1, N2, N3, N4]);
    assert_eq!(bench.ignored, ["message: not in its round"; 3]);
    bench.wait(ROUND);
    assert_eq!(bench.at(N2).over().len(), 0);
    assert_eq!(bench.at(N1).over()[0].decision, Some(Attack));
}

/// A2: nobody speaks for somebody else, and a path names everybody once.
#[test]
fn section_3_who_speaks_is_known() {
    let mut bench: Bench<General> = Bench::new(4, Config { traitors: 1, round: ROUND });
    bench.ask(N1, request(1, 1), Attack);
    let (_, _, message) = bench.wire[0].clone();
    bench.deliver(N3, N2, message.clone());
    bench.deliver(N3, N2, Message { path: vec![N3], ..message.clone() });
    bench.wait(ROUND);
    for path in [vec![N1, N1], vec![N1, N2], vec![N1, NodeId::new(9)]] {
        let from = *path.last().expect("it has two");
        bench.deliver(from, N2, Message { path, ..message.clone() });
    }
    assert_eq!(bench.ignored, ["message: nobody's path"; 5]);
}

/// Section 3, the function majority: without one, `Retreat`.
#[test]
fn section_3_no_majority_is_a_retreat() {
    assert_eq!(majority(&[Attack, Retreat]), Retreat);
    assert_eq!(majority(&[Attack, Retreat, Attack]), Attack);
    assert_eq!(majority(&[]), Retreat);
}
