//! Negative controls that break too rarely for the short sweeps of all scenarios.

use seedfall::testing::check_seeds;
use seedfall_scenarios::{hotstuff, pbft};

#[test]
fn two_liars_of_four_break_pbft() {
    let scenario = pbft::two_liars();
    assert_eq!(check_seeds(&scenario, 199..215), Ok(()), "seed 206 breaks it, as it must");
    let vacuous = check_seeds(&scenario, 0..16).expect_err("none of these does");
    assert!(vacuous.contains("should break and never did"), "{vacuous}");
}

#[test]
fn two_liars_of_four_break_hotstuff() {
    let scenario = hotstuff::two_liars();
    assert_eq!(check_seeds(&scenario, 3_497..3_513), Ok(()), "seed 3,504 breaks it, as it must");
    let vacuous = check_seeds(&scenario, 0..16).expect_err("none of these does");
    assert!(vacuous.contains("should break and never did"), "{vacuous}");
}
