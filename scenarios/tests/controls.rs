//! Negative controls that break too rarely for the short sweeps of all scenarios.

use seedfall::testing::check_seeds;
use seedfall_scenarios::{hotstuff, pbft};

#[test]
fn two_liars_of_four_break_pbft() {
    let scenario = pbft::two_liars();
    assert_eq!(check_seeds(&scenario, 0..16), Ok(()), "seed 10 breaks it, as it must");
    let vacuous = check_seeds(&scenario, 200..216).expect_err("none of these does");
    assert!(vacuous.contains("should break and never did"), "{vacuous}");
}

#[test]
fn two_liars_of_four_break_hotstuff() {
    let scenario = hotstuff::two_liars();
    assert_eq!(check_seeds(&scenario, 492..508), Ok(()), "seed 499 breaks it, as it must");
    let vacuous = check_seeds(&scenario, 0..16).expect_err("none of these does");
    assert!(vacuous.contains("should break and never did"), "{vacuous}");
}
