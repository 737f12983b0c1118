//! What SWIM does not promise, counted: how often a member that is up is declared dead, without
//! Lifeguard and with it, under the same faults.

use seedfall::run::{Runnable, Trial};
use seedfall::sim::Seed;
use seedfall_scenarios::swim;

/// How often a member has refuted, in so many runs, that it is dead; and how often one was declared
/// dead for whatever reason.
fn deaths(scenario: &dyn Runnable) -> (u64, u64) {
    let (mut wrong, mut all) = (0, 0);
    for seed in 0..60 {
        let report = scenario.run(&Trial::of(Seed(seed)));
        assert!(!report.failed(), "{:?}", report.failure());
        for (mark, count) in report.marks {
            match mark {
                "refute: it was declared dead, and is up" => wrong += count,
                "confirm: nobody has refuted it in time" => all += count,
                _ => {}
            }
        }
    }
    (wrong, all)
}

/// Dadgar, Phillips and Currey 2018, section 5: far fewer false positives.
#[test]
fn lifeguard_makes_false_positives_rarer() {
    let (without, with) = (deaths(&swim::plain()), deaths(&swim::lifeguard()));
    assert!(0 < with.0, "nobody was declared dead wrongly: it counts nothing");
    assert!(with.0 * 2 < without.0, "{without:?} without, {with:?} with");
}
