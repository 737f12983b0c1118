//! Every arrangement of twins over so few rounds that all can be gone through.

use seedfall::testing::check_seeds;
use seedfall_scenarios::twins;

/// `(64^2 + 3 * 16^2 + 2 * 4^2 + 32^2 + 3 * 8^2 + 2 * 2^2) / 12`: see `protocols/tests/twins`.
const OVER_TWO_ROUNDS: u64 = 510;

#[test]
fn no_arrangement_over_two_rounds_breaks_hotstuff() {
    let twins = twins::over(2);
    assert_eq!(twins.arrangements().count(), OVER_TWO_ROUNDS);
    assert_eq!(check_seeds(&twins, 0..OVER_TWO_ROUNDS), Ok(()));
}
