//! What a disturbance does is over when it is over, and is an effect of that disturbance alone.

use seedfall_net::{Delay, Disturbance, LinkModel, Order, Partition, Wire};
use seedfall_sim::{Address, Draws, Duration, Fate, Network, NodeId, Released, Seed, Site, Time};

const DELAY: Duration = Duration::millis(1);

const STEADY: LinkModel =
    LinkModel { delay: Delay::Fixed(DELAY), loss: 0, duplicate: 0, order: Order::Free };

fn node(index: u16) -> Address {
    NodeId::new(index).into()
}

fn after(millis: u64) -> Time {
    Time::ZERO + Duration::millis(millis)
}

/// A wire of three nodes, and the draws of its links.
fn wire(link: LinkModel) -> (Wire, Draws) {
    (Wire::new(3, 0, link), Draws::new(Seed(1), 3, 0))
}

/// The fates of so many messages from the first node to the second, sent at one instant.
fn fates(wire: &mut Wire, draws: &mut Draws, millis: u64, count: usize) -> Vec<Fate> {
    let site = Site::Link(node(0), node(1));
    let now = after(millis);
    (0..count).map(|_| wire.fate(now, node(0), node(1), draws.draw(site))).collect()
}

fn clog() -> Disturbance {
    Disturbance::Clog { from: node(0), to: node(1) }
}

fn swizzle() -> Disturbance {
    Disturbance::Swizzle { node: NodeId::new(1) }
}

fn released(index: u64, was: Time, arrives: Time) -> Released {
    Released { from: node(0), to: node(1), index, was, arrives }
}

#[test]
fn a_clog_that_ends_early_lets_go_what_it_held() {
    for jam in [clog(), swizzle()] {
        let (mut wire, mut draws) = wire(STEADY);
        wire.begin(&jam, after(100));
        let held = Fate::Deliver(Duration::millis(91));
        assert_eq!(fates(&mut wire, &mut draws, 10, 2), [held, held]);
        let freed: Vec<_> = (0..2).map(|which| released(which, after(101), after(41))).collect();
        assert_eq!(wire.end(&jam, after(100), after(40)), freed);
        assert!(wire.is_undisturbed(after(40)));
        let sound = vec![Fate::Deliver(DELAY); 5];
        assert_eq!(fates(&mut wire, &mut draws, 40, 5), sound, "what is sent later is not held");
        assert_eq!(wire.tally().clogged + wire.tally().swizzled, 2);
    }
}

#[test]
fn a_clog_that_ends_in_time_lets_nothing_go_twice() {
    let (mut wire, mut draws) = wire(STEADY);
    wire.begin(&clog(), after(100));
    fates(&mut wire, &mut draws, 10, 2);
    assert_eq!(wire.end(&clog(), after(100), after(100)), []);
    wire.begin(&clog(), after(300));
    assert_eq!(wire.end(&clog(), after(300), after(200)), [], "those have arrived");
}

/// What two jams hold waits for the later one, and for the earlier when that one ends early.
#[test]
fn a_link_opens_when_the_last_jam_ends() {
    let (mut wire, mut draws) = wire(STEADY);
    wire.begin(&clog(), after(100));
    wire.begin(&swizzle(), after(200));
    wire.begin(&clog(), after(300));
    assert_eq!(fates(&mut wire, &mut draws, 10, 1), [Fate::Deliver(Duration::millis(291))]);
    assert_eq!(wire.end(&swizzle(), after(200), after(20)), [], "not the one that it waits for");
    let freed = wire.end(&clog(), after(300), after(50));
    assert_eq!(freed, [released(0, after(301), after(101))]);
    assert_eq!(fates(&mut wire, &mut draws, 60, 1), [Fate::Deliver(Duration::millis(41))]);
    let freed = wire.end(&clog(), after(100), after(70));
    let both = [released(0, after(101), after(71)), released(1, after(101), after(71))];
    assert_eq!(freed, both);
    assert!(wire.is_undisturbed(after(70)));
}

#[test]
fn what_a_clog_lets_go_keeps_its_order_and_the_order_of_what_follows() {
    let (mut wire, mut draws) = wire(LinkModel { order: Order::Fifo, ..STEADY });
    let straggles = Disturbance::Reorder { ppm: 1_000_000, by: Duration::millis(50) };
    wire.begin(&straggles, after(1_000));
    // Some are under way already when the jam begins, and arrive as they would have.
    let before = fates(&mut wire, &mut draws, 0, 5);
    wire.begin(&clog(), after(100));
    let mut held = fates(&mut wire, &mut draws, 10, 20);
    wire.begin(&clog(), after(200));
    held.extend(fates(&mut wire, &mut draws, 20, 20));
    let arrival = |sent: u64, fate: &Fate| match fate {
        Fate::Deliver(span) => after(sent) + *span,
        other => panic!("nothing is lost or doubled: {other:?}"),
    };
    let mut arrivals: Vec<Time> = before.iter().map(|fate| arrival(0, fate)).collect();
    let sent = |index: usize| if index < 20 { 10 } else { 20 };
    arrivals.extend(held.iter().enumerate().map(|(at, fate)| arrival(sent(at), fate)));
    for (until, now) in [(200, 25), (100, 30)] {
        for one in wire.end(&clog(), after(until), after(now)) {
            let arrives = &mut arrivals[one.index as usize];
            assert_eq!(*arrives, one.was);
            *arrives = one.arrives;
        }
    }
    arrivals.extend(fates(&mut wire, &mut draws, 30, 20).iter().map(|fate| arrival(30, fate)));
    assert!(arrivals.is_sorted_by(|one, next| one < next), "{arrivals:?}");
    assert!(arrivals.iter().all(|arrives| *arrives < after(30 + 1 + 50 + 1)), "{arrivals:?}");
}

/// Two messages of an ordered link that come to one instant would be a tie, which a draw decides.
#[test]
fn no_two_messages_of_an_ordered_link_arrive_at_one_instant() {
    let (mut wire, mut draws) = wire(LinkModel { order: Order::Fifo, ..STEADY });
    wire.begin(&Disturbance::Corrupt { ppm: 300_000 }, after(1_000));
    let span = |fate: &Fate| match fate {
        Fate::Deliver(span) | Fate::Corrupt(span, _) => *span,
        other => panic!("nothing is lost or doubled: {other:?}"),
    };
    let spans: Vec<Duration> = fates(&mut wire, &mut draws, 10, 50).iter().map(span).collect();
    assert!(spans.is_sorted_by(|one, next| one < next), "{spans:?}");
}

#[test]
fn what_two_jams_or_cuts_do_is_an_effect_of_both() {
    let (mut wire, mut draws) = wire(STEADY);
    wire.begin(&clog(), after(100));
    wire.begin(&swizzle(), after(200));
    fates(&mut wire, &mut draws, 10, 3);
    assert_eq!((wire.tally().clogged, wire.tally().swizzled), (3, 3));
    // The clog is over, though nobody has ended it yet.
    fates(&mut wire, &mut draws, 100, 4);
    assert_eq!((wire.tally().clogged, wire.tally().swizzled), (3, 7));
    let partition = Partition::OneWay { from: vec![node(0)] };
    let flap = Disturbance::Flap { partition: partition.clone(), half: DELAY };
    wire.begin(&flap, Time::MAX);
    fates(&mut wire, &mut draws, 300, 1);
    wire.begin(&Disturbance::Partition(partition), Time::MAX);
    fates(&mut wire, &mut draws, 300, 1);
    assert!(wire.end(&flap, Time::MAX, after(300)).is_empty());
    fates(&mut wire, &mut draws, 300, 1);
    assert_eq!((wire.tally().flapped, wire.tally().cut), (2, 2));
}

/// What a link loses and doubles by itself is an effect of no fault.
#[test]
fn a_lossy_link_is_no_effect_of_a_fault() {
    let (mut wire, mut draws) = wire(LinkModel { loss: 300_000, duplicate: 200_000, ..STEADY });
    fates(&mut wire, &mut draws, 0, 1_000);
    assert_eq!((wire.tally().lost, wire.tally().duplicated), (0, 0));
    wire.begin(&Disturbance::Loss { ppm: 100_000 }, Time::MAX);
    wire.begin(&Disturbance::Duplicate { ppm: 100_000, within: DELAY }, Time::MAX);
    let all = fates(&mut wire, &mut draws, 0, 10_000);
    let lost = all.iter().filter(|fate| matches!(fate, Fate::Drop(_))).count();
    assert!((3_700..4_300).contains(&lost), "three tenths and one: {lost}");
    let tally = (wire.tally().lost, wire.tally().duplicated);
    assert!((850..1_150).contains(&tally.0) && (850..1_150).contains(&tally.1), "{tally:?}");
}

/// A message that is lost was neither jammed, nor late, nor did it wait.
#[test]
fn a_message_that_is_lost_is_an_effect_of_the_loss_alone() {
    let (mut wire, mut draws) = wire(STEADY);
    wire.begin(&clog(), after(100));
    wire.begin(&Disturbance::Latency { most: Duration::secs(1), salt: 7 }, Time::MAX);
    wire.begin(&Disturbance::Throttle { each: DELAY, queue: 1_000 }, Time::MAX);
    wire.begin(&Disturbance::Loss { ppm: 1_000_000 }, Time::MAX);
    fates(&mut wire, &mut draws, 10, 50);
    let tally = *wire.tally();
    assert_eq!((tally.lost, tally.clogged, tally.lagged, tally.throttled), (50, 0, 0, 0));
    assert!(wire.end(&clog(), after(100), after(20)).is_empty(), "nothing waits");
}

/// A burst, or a queue, is over with its disturbance, though another of the rare ones goes on.
#[test]
fn bursts_and_queues_end_with_their_disturbance() {
    let second = Duration::secs(1);
    for going_on in [
        Disturbance::Corrupt { ppm: 0 },
        Disturbance::Burst { ppm: 0, span: second },
        Disturbance::Throttle { each: Duration::ZERO, queue: 1_000 },
    ] {
        let (mut wire, mut draws) = wire(STEADY);
        wire.begin(&going_on, Time::MAX);
        let burst = Disturbance::Burst { ppm: 1_000_000, span: second };
        let throttle = Disturbance::Throttle { each: second, queue: 1_000 };
        for disturbance in [throttle, burst] {
            wire.begin(&disturbance, Time::MAX);
            fates(&mut wire, &mut draws, 0, 10);
            assert!(wire.end(&disturbance, Time::MAX, Time::ZERO).is_empty());
            let before = *wire.tally();
            assert_eq!(fates(&mut wire, &mut draws, 0, 10), vec![Fate::Deliver(DELAY); 10]);
            assert_eq!(*wire.tally(), before, "{disturbance:?} beside {going_on:?}");
        }
    }
}

/// A link that is throttled twice is as slow as its slower queue.
#[test]
fn two_queues_in_a_row_are_as_slow_as_the_slower() {
    let (mut wire, mut draws) = wire(STEADY);
    for millis in [2, 3] {
        let each = Duration::millis(millis);
        wire.begin(&Disturbance::Throttle { each, queue: 1_000 }, Time::MAX);
    }
    let all = fates(&mut wire, &mut draws, 0, 4);
    let spans = [1, 4, 7, 10].map(|millis| Fate::Deliver(Duration::millis(millis)));
    assert_eq!(all, spans);
    assert_eq!(wire.tally().throttled, 3, "the first does not wait");
}

/// A link that takes ten times as long does so alone, in one direction, and not once it is over.
#[test]
fn a_stretched_link_is_slow_in_one_direction_and_no_other() {
    let (mut wire, mut draws) = wire(STEADY);
    let stretch = Disturbance::Stretch { from: node(0), to: node(1), times: 10 };
    wire.begin(&stretch, Time::MAX);
    let slow = Fate::Deliver(Duration::millis(10));
    assert_eq!(fates(&mut wire, &mut draws, 0, 2), [slow, slow]);
    let back = draws.draw(Site::Link(node(1), node(0)));
    assert_eq!(wire.fate(after(0), node(1), node(0), back), Fate::Deliver(DELAY));
    assert_eq!(wire.tally().stretched, 2);
    assert!(wire.end(&stretch, Time::MAX, after(1)).is_empty());
    assert_eq!(fates(&mut wire, &mut draws, 1, 1), [Fate::Deliver(DELAY)]);
    assert!(wire.is_undisturbed(after(1)) && wire.tally().stretched == 2);
}
