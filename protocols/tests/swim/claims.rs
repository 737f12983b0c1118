//! What Das, Gupta and Motivala claim, by section, and Dadgar, Phillips and Currey.

use crate::by_hand::{Bench, Image, N1, N2, N3, N4, sent, written};
use seedfall_protocols::swim::{
    self, Body, Claim, Config, Invariants, Member, Message, Record, Status, Update,
};
use seedfall_sim::{Duration, NodeId};

const CONFIG: Config = Config {
    period: Duration::millis(60),
    round_trip: Duration::millis(25),
    helpers: 2,
    suspicion: Duration::millis(180),
    riders: 4,
    lambda: 3,
    knock: 5,
    lifeguard: false,
};
const LIFEGUARD: Config = Config { lifeguard: true, ..CONFIG };
const ALL: [NodeId; 4] = [N1, N2, N3, N4];

fn four(config: Config) -> Bench<Member, Invariants> {
    Bench::watched(4, config, swim::invariants(false))
}

fn pass<const N: usize>(bench: &mut Bench<Member, Invariants>, among: [NodeId; N], millis: u64) {
    for _ in 0..millis {
        bench.settle(&among);
        bench.lose_all();
        bench.wait(Duration::millis(1));
    }
}

fn known(bench: &Bench<Member, Invariants>, by: NodeId, of: NodeId) -> Claim {
    bench.at(by).others()[&of]
}

fn claim(incarnation: u64, status: Status) -> Claim {
    Claim { incarnation, status }
}

/// A message that has nothing but riders.
fn tell(
    bench: &mut Bench<Member, Invariants>,
    from: NodeId,
    to: NodeId,
    riders: &[(NodeId, Claim, NodeId)],
) {
    let rider = |(member, claim, by): &(NodeId, Claim, NodeId)| Update {
        member: *member,
        claim: *claim,
        by: *by,
    };
    let incarnation = bench.at(from).incarnation();
    let riders = riders.iter().map(rider).collect();
    bench.deliver(from, to, Message { incarnation, body: Body::Ping(u64::MAX), riders });
}

/// Section 3.1, strong completeness: who has crashed is declared dead by all.
#[test]
fn who_has_crashed_is_dead_to_all() {
    let mut bench = four(CONFIG);
    pass(&mut bench, ALL, 500);
    bench.crash(N4, Image::Nothing);
    // All ping it within 2n - 1 periods, and a suspicion lasts for three.
    pass(&mut bench, ALL, 60 * 7 + 60 + 180);
    for id in [N1, N2, N3] {
        assert_eq!(known(&bench, id, N4), claim(0, Status::Dead), "to {id}");
    }
    assert!(bench.reached.contains(&"confirm: nobody has refuted it in time"));
}

/// Section 3.1: who answers one of the helpers is not suspected.
#[test]
fn a_helper_answers_for_a_link_that_is_cut() {
    let mut bench = four(CONFIG);
    for _ in 0..1_000 {
        bench.wire.retain(|(from, to, _)| (*from, *to) != (N1, N4) && (*from, *to) != (N4, N1));
        if let Some((from, to, message)) = bench.wire.pop() {
            bench.deliver(from, to, message);
        } else {
            bench.wait(Duration::millis(1));
        }
    }
    assert!(bench.reached.contains(&"ack: by way of a helper"));
    assert!(!bench.reached.contains(&"suspect: neither it nor a helper has answered"));
}

/// An answer to another ping, or of another member, is not the answer that is waited for.
#[test]
fn an_answer_is_credited_to_who_was_pinged() {
    let mut bench = four(CONFIG);
    let ping = loop {
        bench.wait(Duration::millis(1));
        let ping = bench.wire.iter().find_map(|(from, to, message)| match message.body {
            Body::Ping(number) if *from == N1 => Some((number, *to)),
            _ => None,
        });
        if let Some(ping) = ping {
            break ping;
        }
    };
    bench.lose_all();
    let (number, target) = ping;
    let other = ALL.into_iter().find(|id| *id != target && *id != N1).expect("there are two");
    for (number, of) in [(number + 1, target), (number, other)] {
        let message = Message { incarnation: 0, body: Body::Ack(number, of), riders: vec![] };
        bench.deliver(other, N1, message);
        assert_eq!(bench.ignored.pop(), Some("ack: to no ping that is under way"));
    }
    for _ in 0..70 {
        bench.wait(Duration::millis(1));
        bench.lose_all();
    }
    assert_eq!(known(&bench, N1, target).status, Status::Suspect);
}

/// Section 4.2: what outweighs what.
#[test]
fn claims_have_an_order() {
    use Status::{Alive, Dead, Suspect};
    let rising = [
        claim(0, Alive),
        claim(0, Suspect),
        claim(0, Dead),
        claim(1, Alive),
        claim(1, Suspect),
        claim(2, Alive),
    ];
    assert!(rising.is_sorted());
    let mut bench = four(CONFIG);
    // The member itself has come to the second incarnation.
    for incarnation in 0..2 {
        tell(&mut bench, N2, N4, &[(N4, claim(incarnation, Suspect), N2)]);
    }
    assert_eq!(bench.at(N4).incarnation(), 2);
    // In whatever order one hears of it, the weightiest stays.
    for said in [&rising[1], &rising[2], &rising[0], &rising[5], &rising[3]] {
        tell(&mut bench, N3, N2, &[(N4, *said, N3)]);
    }
    assert_eq!(known(&bench, N2, N4), claim(2, Alive));
}

/// Section 4.2: who is suspected raises its incarnation, and is alive again for all who suspected.
#[test]
fn only_the_member_itself_refutes() {
    let mut bench = four(CONFIG);
    pass(&mut bench, ALL, 300);
    tell(&mut bench, N2, N1, &[(N4, claim(0, Status::Suspect), N2)]);
    assert_eq!(known(&bench, N1, N4), claim(0, Status::Suspect));
    tell(&mut bench, N3, N1, &[(N4, claim(0, Status::Alive), N3)]);
    assert_eq!(known(&bench, N1, N4), claim(0, Status::Suspect), "of the same incarnation");
    pass(&mut bench, ALL, 600);
    assert!(bench.reached.contains(&"refute: it was suspected, and is up"));
    assert_eq!(bench.at(N4).incarnation(), 1);
    for id in [N1, N2, N3] {
        assert_eq!(known(&bench, id, N4), claim(1, Status::Alive), "to {id}");
    }
    assert!(!bench.reached.contains(&"confirm: nobody has refuted it in time"));
}

/// An incarnation is durable before it is told, and a new life takes a higher one.
#[test]
fn an_incarnation_is_never_taken_twice() {
    let mut bench = four(CONFIG);
    let suspect = Update { member: N4, claim: claim(0, Status::Suspect), by: N1 };
    let message = Message { incarnation: 0, body: Body::Ping(1), riders: vec![suspect] };
    let effects = bench.deliver(N1, N4, message);
    assert_eq!(written(&effects), [(Record(1), true)]);
    let told = sent(&effects);
    assert!(told.iter().all(|(_, message)| message.incarnation == 0), "not before: {told:?}");
    bench.crash(N4, Image::Nothing);
    bench.restart(N4);
    assert_eq!(bench.at(N4).incarnation(), 2);
}

/// Two halves that were parted for so long that each holds the other for dead meet again.
#[test]
fn parted_halves_meet_again() {
    let mut bench = four(CONFIG);
    for _ in 0..1_500 {
        bench.settle(&[N1, N2]);
        bench.settle(&[N3, N4]);
        bench.lose_all();
        bench.wait(Duration::millis(1));
    }
    assert_eq!(known(&bench, N1, N3).status, Status::Dead);
    assert_eq!(known(&bench, N4, N2).status, Status::Dead);
    pass(&mut bench, ALL, 2_000);
    for id in ALL {
        for other in ALL.into_iter().filter(|other| *other != id) {
            let incarnation = bench.at(other).incarnation();
            assert_eq!(known(&bench, id, other), claim(incarnation, Status::Alive), "{other}");
        }
    }
    assert!(bench.reached.contains(&"refute: it was declared dead, and is up"));
}

/// Section 4.3: each has its turn within 2n - 1 periods, however the orders are drawn.
#[test]
fn all_are_pinged_in_turn() {
    let mut bench = four(CONFIG);
    let mut last = [0_u64; 4];
    for millis in 1..5_000 {
        bench.wait(Duration::millis(1));
        for (from, to, message) in std::mem::take(&mut bench.wire) {
            if from == N1 && matches!(message.body, Body::Ping(_)) {
                assert!(millis - last[to.index()] <= 60 * 6, "{to} was not pinged in time");
                last[to.index()] = millis;
            }
            bench.deliver(from, to, message);
        }
    }
}

/// Section 4.1: a claim is sent lambda log n times at most; and infects all within so many periods.
#[test]
fn a_claim_infects_all_within_its_bound() {
    for members in [8_usize, 16, 32] {
        let mut bench = Bench::watched(members, CONFIG, swim::invariants(false));
        let all: Vec<NodeId> = NodeId::all(members).collect();
        for _ in 0..2_000 {
            bench.settle(&all);
            bench.wait(Duration::millis(1));
        }
        let lost = *all.last().expect("there are some");
        // Known to one, of a member that says nothing any more.
        bench.crash(lost, Image::Nothing);
        tell(&mut bench, N2, N1, &[(lost, claim(0, Status::Suspect), N2)]);
        let most = u64::from(CONFIG.lambda * members.ilog2());
        assert_eq!(u64::from(bench.at(N1).rumors().most()), most);
        let mut periods = 0;
        while all[..members - 1].iter().any(|id| known(&bench, *id, lost).status == Status::Alive) {
            for _ in 0..60 {
                bench.settle(&all);
                bench.wait(Duration::millis(1));
            }
            periods += 1;
            assert!(periods <= most, "of {members} not all have heard of it");
        }
    }
}

/// Lifeguard, section 4.2: a suspicion that nobody seconds lasts six times as long, and each who
/// seconds it takes some of that away: here the member itself, which is not answered, and another.
#[test]
fn a_suspicion_is_the_shorter_the_more_have_it() {
    let lasts = |seconded: &[NodeId]| {
        let mut bench = four(LIFEGUARD);
        tell(&mut bench, N2, N1, &[(N4, claim(0, Status::Suspect), N2)]);
        for by in seconded {
            tell(&mut bench, *by, N1, &[(N4, claim(0, Status::Suspect), *by)]);
        }
        let begin = bench.now;
        while known(&bench, N1, N4).status == Status::Suspect {
            bench.wait(Duration::millis(1));
            bench.lose_all();
        }
        bench.now.since(begin).as_nanos() / 1_000_000
    };
    assert!((629..=631).contains(&lasts(&[])), "{}", lasts(&[]));
    // Not before 367 ms, and as soon as the third has come to it.
    assert!((366..629).contains(&lasts(&[N3])), "{}", lasts(&[N3]));
    assert_eq!(lasts(&[N3, N3]), lasts(&[N3]), "nobody counts twice");
}

/// Lifeguard, section 4.1: who is answered by nobody doubts itself, and waits longer.
#[test]
fn who_hears_nothing_doubts_itself() {
    let mut bench = four(LIFEGUARD);
    for _ in 0..600 {
        bench.lose_all();
        bench.wait(Duration::millis(1));
    }
    assert!(1 < bench.at(N1).health(), "{}", bench.at(N1).health());
    // By then all hold all for suspect, and refute it: that costs health as well.
    pass(&mut bench, ALL, 20_000);
    assert_eq!(bench.at(N1).health(), 0);
}

/// Lifeguard, section 4.3: who is suspected is told so with the next ping.
#[test]
fn a_buddy_says_what_it_suspects() {
    let mut bench = four(LIFEGUARD);
    tell(&mut bench, N2, N1, &[(N4, claim(0, Status::Suspect), N2)]);
    bench.lose_all();
    tell(&mut bench, N4, N1, &[]);
    let (_, to, answer) = bench.wire.pop().expect("an answer");
    assert_eq!(to, N4);
    assert_eq!(answer.riders[0].member, N4);
    assert_eq!(answer.riders[0].claim, claim(0, Status::Suspect));
}
