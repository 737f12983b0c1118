//! The orchestrator and the services crash at every effect of a small saga, one that completes and
//! one that is compensated.

use crate::by_hand::{Image, N1, request};
use crate::support::*;
use seedfall_protocols::saga::orchestrated::Request;
use seedfall_protocols::saga::{Books, Isolation, Outcome, Plan};
use seedfall_sim::Duration;

const IMAGES: [Image; 2] = [Image::Nothing, Image::All];

/// How long the node stays down: others do not notice, ask again, give up.
const DOWN: [Duration; 3] = [Duration::millis(1), Duration::millis(50), Duration::millis(400)];

/// One run: the client asks every 100 ms until it is answered; whoever crashes comes back. Says how
/// many effects there were in all.
fn run(
    (plan, isolation): (&Plan, Isolation),
    crashes: &[usize],
    image: Image,
    down: Duration,
) -> usize {
    let mut nodes = nodes(isolation);
    let id = request(1, 1);
    let body = Request::Run { sequence: 1, plan: plan.clone() };
    let effects = nodes.ask_through_crashes((N1, id, &body), 30, (crashes, image), down);
    let context = format!("{plan:?}, {isolation:?}, {image:?}, down {down}");
    for node in ALL {
        assert_eq!(nodes.at(node).unfinished(), None, "{context}: {node}");
    }
    let outcome = ended(&nodes, 1).unwrap_or_else(|| panic!("{context}: it did not end"));
    let standing = all_standing(&nodes);
    match outcome {
        Outcome::Completed => {
            let wanted = [K2, K3, K4, "d"].map(|account| {
                plan.steps()
                    .filter(|(.., step)| step.account == account)
                    .map(|(.., step)| step.amount)
                    .sum()
            });
            assert_eq!(standing, wanted, "{context}");
        }
        Outcome::Compensated => assert_eq!(standing, [0; 4], "{context}"),
    }
    assert!(nodes.told.windows(2).all(|pair| pair[0] == pair[1]), "{context}");
    effects
}

/// Those that complete, and those whose pivot is refused.
fn cases() -> Vec<(Plan, Isolation)> {
    let plans = [sequence(10), sequence(40), branches(10), branches(60)];
    let isolations = [Isolation::None, Isolation::SemanticLock];
    let both =
        plans.into_iter().flat_map(|plan| isolations.map(|isolation| (plan.clone(), isolation)));
    both.collect()
}

#[test]
fn a_crash_at_any_effect_leaves_all_or_compensated() {
    let mut points = 0;
    for (plan, isolation) in cases() {
        let effects = run((&plan, isolation), &[], Image::All, DOWN[0]);
        assert!(effects > 20, "a whole saga: {effects}");
        for at in 0..effects {
            for image in IMAGES {
                for down in DOWN {
                    run((&plan, isolation), &[at], image, down);
                    points += 1;
                }
            }
        }
    }
    assert!(points > 1_000, "{points} crash points");
}

/// And a second crash, of whoever comes to it, soon after the first is over.
#[test]
fn a_second_crash_during_recovery_leaves_all_or_compensated() {
    for (plan, isolation) in cases() {
        let effects = run((&plan, isolation), &[], Image::All, DOWN[0]);
        for at in 0..effects {
            for next in 0..10 {
                run((&plan, isolation), &[at, next], Image::Nothing, DOWN[1]);
            }
        }
    }
}
