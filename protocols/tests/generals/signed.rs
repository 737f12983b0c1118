//! `SM(m)` in rounds (Lamport, Shostak and Pease 1982, section 4; Dolev and Strong 1983).

use crate::by_hand::{Bench, N1, N2, N3, N4, request};
use seedfall_protocols::oral_messages::Order::{Attack, Retreat};
use seedfall_protocols::oral_messages::{Battle, Order, Path};
use seedfall_protocols::signed_messages::{Config, General, Message, Statement};
use seedfall_sim::{Context, Draws, Duration, NodeId, Seed, Signed, Signer, StableHasher, Time};

const ROUND: Duration = Duration::millis(20);
const BATTLE: Battle = Battle { commander: N1, begins: Time::ZERO };

fn signer(id: NodeId) -> Signer {
    let (mut draws, mut effects) = (Draws::new(Seed(0), 4, 0), Vec::new());
    Context::<General>::new(id, 4, Time::ZERO, &mut draws, &mut effects).signer()
}

/// An order that these have signed, one after the other.
fn signed(order: Order, by: &[NodeId]) -> Message {
    let one = |place: usize| {
        let after: Path = by[..place].to_vec();
        signer(by[place]).sign(Statement { battle: BATTLE, order, after })
    };
    Message((0..by.len()).map(one).collect())
}

fn bench(n: usize, m: usize) -> Bench<General> {
    Bench::new(n, Config { traitors: m, round: ROUND })
}

/// What everybody did in the battle of n1; who never heard of it retreats.
fn did(bench: &Bench<General>, n: usize) -> Vec<Order> {
    let did = |id| bench.at(id).over().first().and_then(|council| council.decision);
    NodeId::all(n).map(|id| did(id).unwrap_or(Retreat)).collect()
}

/// One battle in which a message is changed, or lost, on its way.
fn battle(
    n: usize,
    m: usize,
    lie: &dyn Fn(NodeId, NodeId, &Message) -> Option<Message>,
) -> Vec<Order> {
    let mut bench = bench(n, m);
    bench.ask(N1, request(1, 1), Attack);
    for _ in 0..=m {
        for (from, to, message) in std::mem::take(&mut bench.wire) {
            if let Some(message) = lie(from, to, &message) {
                bench.deliver(from, to, message);
            }
        }
        bench.wait(ROUND);
    }
    did(&bench, n)
}

/// Section 4, figure 5: to the lieutenants of a commander who signs two orders it shows that it is
/// a traitor.
#[test]
fn section_4_two_orders_show_a_traitor() {
    let lie = |from, to, message: &Message| match (from, to) {
        (N1, N3) => Some(signed(Retreat, &[N1])),
        _ => Some(message.clone()),
    };
    assert_eq!(battle(3, 1, &lie)[1..], [Retreat, Retreat]);
}

/// Theorem 2, for three generals and one traitor: whom it keeps from which message, and which order
/// the commander signs for whom.
#[test]
fn theorem_2_three_generals_bear_one_traitor() {
    for traitor in NodeId::all(3) {
        for mask in 0..1_u32 << 9 {
            let lie = |from: NodeId, to: NodeId, message: &Message| {
                if from != traitor {
                    return Some(message.clone());
                }
                match mask >> (3 * to.index()) & 7 {
                    0..=2 => Some(message.clone()),
                    3 | 4 => None,
                    _ if from == N1 => Some(signed(Retreat, &[N1])),
                    _ => Some(Message(message.0[..1].to_vec())),
                }
            };
            let did = battle(3, 1, &lie);
            let loyal: Vec<Order> = NodeId::all(3)
                .skip(1)
                .filter(|id| *id != traitor)
                .map(|id| did[id.index()])
                .collect();
            assert!(loyal.windows(2).all(|two| two[0] == two[1]), "{traitor} {mask:b}: {did:?}");
            assert!(traitor == N1 || loyal.iter().all(|order| *order == Attack), "{did:?}");
        }
    }
}

/// Theorem 2 for `m = 2`: two traitors who tell whom they like, in the round that they like.
#[test]
fn theorem_2_five_generals_bear_two_traitors_and_count_on_them() {
    for (m, holds) in [(2, true), (1, false)] {
        let mut broken = 0;
        for seed in 0_u64..400 {
            let lie = |from: NodeId, to: NodeId, message: &Message| {
                let word = StableHasher::hash(&(seed, from, to, message.0.len()));
                match word % 4 {
                    _ if from != N1 && from != N2 => Some(message.clone()),
                    0 | 1 => None,
                    2 if from == N1 => Some(signed(Retreat, &[N1])),
                    _ => Some(message.clone()),
                }
            };
            let did = battle(5, m, &lie);
            broken += u32::from(did[2..].windows(2).any(|two| two[0] != two[1]));
        }
        assert_eq!(broken == 0, holds, "m = {m}: {broken} broken");
    }
}

/// Dolev and Strong: what comes in round `r` bears `r` signatures; else it was held back.
#[test]
fn too_few_signatures_for_the_round_do_not_count() {
    let mut bench = bench(4, 1);
    bench.wait(ROUND);
    bench.deliver(N1, N2, signed(Attack, &[N1]));
    assert_eq!(bench.ignored, ["message: not in its round"]);
    bench.deliver(N3, N2, signed(Attack, &[N1, N3]));
    bench.wait(ROUND);
    assert_eq!(bench.at(N2).over()[0].choice(), Attack);
    bench.deliver(N3, N4, signed(Attack, &[N1, N3, N2]));
    assert_eq!(bench.ignored.len(), 2, "the battle is over");
}

/// Section 4, A4: what is not signed as it must be is nobody's.
#[test]
fn a_4_nobody_signs_for_somebody_else() {
    let mut bench = bench(4, 1);
    bench.deliver(N3, N2, signed(Attack, &[N3]));
    bench.deliver(N3, N2, Message(Vec::new()));
    bench.wait(ROUND);
    bench.deliver(N3, N2, signed(Attack, &[N1, N1]));
    bench.deliver(N3, N2, signed(Attack, &[N1, N2]));
    let mut other: Vec<Signed<Statement>> = signed(Attack, &[N1]).0;
    other.extend(signed(Retreat, &[N1, N3]).0.pop());
    bench.deliver(N3, N2, Message(other));
    let said = ["message: not signed as it must be", "message: nobody has signed it"];
    assert_eq!(bench.ignored[..2], said);
    assert_eq!(bench.ignored[2..], [said[0], "message: signed here before", said[0]]);
}
