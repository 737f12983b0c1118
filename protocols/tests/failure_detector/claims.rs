//! What Chandra and Toueg, Cachin et al. and Hayashibara et al. claim.

use crate::by_hand::{Bench, Image, N1, N2, N3};
use seedfall_protocols::failure_detector::{self, Config, Detector, Invariants, Kind, Message};
use seedfall_sim::{Duration, NodeId};

const ALL: [NodeId; 3] = [N1, N2, N3];
const INTERVAL: Duration = Duration::millis(20);

fn three(kind: Kind) -> Bench<Detector, Invariants> {
    let config = Config { kind, interval: INTERVAL, least_deviation: Duration::millis(2) };
    Bench::watched(3, config, failure_detector::invariants(false))
}

/// So many milliseconds among some.
fn pass(bench: &mut Bench<Detector, Invariants>, among: &[NodeId], millis: u64) {
    for _ in 0..millis {
        bench.settle(among);
        bench.lose_all();
        bench.wait(Duration::millis(1));
    }
}

fn suspects(bench: &Bench<Detector, Invariants>, id: NodeId) -> Vec<NodeId> {
    bench.at(id).suspects().collect()
}

/// Cachin et al., algorithm 2.5: who is silent for longer than the bound has crashed, for good.
#[test]
fn the_perfect_detector_excludes_on_time_out() {
    let mut bench = three(Kind::Perfect { bound: Duration::millis(30) });
    pass(&mut bench, &ALL, 200);
    assert_eq!(suspects(&bench, N1), []);
    bench.crash(N3, Image::Nothing);
    pass(&mut bench, &ALL, 29);
    assert_eq!(suspects(&bench, N1), []);
    pass(&mut bench, &ALL, 20);
    assert_eq!((suspects(&bench, N1), suspects(&bench, N2)), (vec![N3], vec![N3]));
    bench.deliver(N3, N1, Message(1_000));
    assert_eq!(suspects(&bench, N1), [N3]);
    assert!(bench.ignored.contains(&"heartbeat: of one who has crashed"));
}

/// Algorithm 2.7: a mistake is taken back, and makes the time-out longer.
#[test]
fn a_mistake_makes_the_time_out_longer() {
    let (first, more) = (Duration::millis(30), Duration::millis(10));
    let mut bench = three(Kind::EventuallyPerfect { first, more });
    pass(&mut bench, &ALL, 100);
    for round in 1..=3_u32 {
        pass(&mut bench, &[N1, N2], 80);
        assert_eq!(suspects(&bench, N1), [N3]);
        pass(&mut bench, &ALL, 25);
        assert_eq!(suspects(&bench, N1), []);
        let peer = &bench.at(N1).peers()[&N3];
        assert_eq!(peer.mistakes(), round);
        assert_eq!(peer.patience(), first + more.scale(round.into(), 1));
    }
    let steady = bench.at(N1).peers()[&N2].patience();
    assert_eq!(steady, first, "of the other there was no mistake");
}

/// Hayashibara et al., section 4: the level grows while nothing comes, from what is likely on; and
/// is the higher at the same silence, the more evenly heartbeats have come.
#[test]
fn the_level_grows_with_silence() {
    let mut bench = three(Kind::Accrual { threshold: 8 });
    pass(&mut bench, &ALL, 1_000);
    bench.settle(&ALL);
    let heard = bench.now;
    assert_eq!(bench.at(N1).phi(N2, heard), 0);
    let levels: Vec<u32> =
        (20..40).map(|silent| bench.at(N1).phi(N2, heard + Duration::millis(silent))).collect();
    assert!(levels.is_sorted(), "{levels:?}");
    assert_eq!((levels[0], levels[19]), (0, 8), "{levels:?}");
    // Of 20 ms in the mean, give or take 2 ms, 25 ms are two to three deviations off.
    assert_eq!(bench.at(N1).phi(N2, heard + Duration::millis(25)), 2);
    assert_eq!(suspects(&bench, N1), []);
    bench.crash(N2, Image::Nothing);
    pass(&mut bench, &ALL, 40);
    assert_eq!(suspects(&bench, N1), [N2]);
}

/// A heartbeat that comes late, after a later one, says nothing; and a span over one that was lost
/// is two.
#[test]
fn late_and_lost_heartbeats() {
    let mut bench = three(Kind::Accrual { threshold: 8 });
    pass(&mut bench, &ALL, 500);
    let patience = bench.at(N1).peers()[&N2].patience();
    bench.deliver(N2, N1, Message(3));
    assert!(bench.ignored.contains(&"heartbeat: a later one has come"));
    assert_eq!(bench.at(N1).peers()[&N2].patience(), patience);
    pass(&mut bench, &[N1, N3], 20);
    pass(&mut bench, &ALL, 400);
    let after = bench.at(N1).peers()[&N2].patience();
    assert!(after < patience + Duration::millis(3), "{patience} and then {after}");
}
