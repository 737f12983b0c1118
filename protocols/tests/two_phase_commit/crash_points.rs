//! Recovery of each role at every crash point: a small transaction is run again and again, and
//! each time somebody crashes at the next effect.

use crate::by_hand::{Image, N1, N2, N3, request};
use crate::support::*;
use seedfall_protocols::kv::Command;
use seedfall_protocols::two_phase_commit::{Presumption, Request, Response};
use seedfall_sim::{Duration, NodeId};

const PRESUMPTIONS: [Presumption; 2] = [Presumption::Abort, Presumption::Commit];
const IMAGES: [Image; 2] = [Image::Nothing, Image::All];

/// How long the site stays down: others do not notice, ask again, give up.
const DOWN: [Duration; 3] = [Duration::millis(1), Duration::millis(60), Duration::millis(400)];

/// Writes at two sites; the coordinator has no share (n1), or one (n2).
fn commands() -> [Command; 3] {
    [put(K2, "x"), put(K3, "y"), get(K1)]
}

/// One run: the client asks every 100 ms until it is answered. Whoever crashes comes back. Says
/// how many effects there were in all.
fn run(
    presumption: Presumption,
    sequence: u64,
    crashes: &[usize],
    image: Image,
    down: Duration,
) -> usize {
    let mut sites = sites(presumption);
    let (id, coordinator) = (request(1, sequence as u32), coordinator(sequence));
    let body = Request { sequence, commands: commands().to_vec() };
    let effects = sites.ask_through_crashes((coordinator, id, &body), 40, (crashes, image), down);
    let context = format!("{presumption:?}, by {coordinator}, {image:?}, down {down}");
    assert!(sites.down().is_none(), "{context}");
    // AC5, and nothing left locked.
    for node in ALL {
        assert!(sites.at(node).is_quiet(), "{context}: {node}: {}", sites.at(node).status());
    }
    // All or nothing, and as the client was told, every time.
    let written = (value(&sites, N2, K2).is_some(), value(&sites, N3, K3).is_some());
    let committed = match sites.answer(id) {
        Some(Response::Committed(_)) => true,
        Some(Response::Aborted) => false,
        other => panic!("{context}: told {other:?}"),
    };
    assert_eq!(written, (committed, committed), "{context}");
    assert!(sites.told.windows(2).all(|pair| pair[0] == pair[1]), "{context}: {:?}", sites.told);
    effects
}

fn coordinator(sequence: u64) -> NodeId {
    if sequence == 3 { N1 } else { N2 }
}

#[test]
fn a_crash_at_any_effect_leaves_all_or_nothing() {
    let mut points = 0;
    for presumption in PRESUMPTIONS {
        for sequence in [3, 1] {
            let effects = run(presumption, sequence, &[], Image::All, DOWN[0]);
            assert!(effects > 25, "a whole transaction: {effects}");
            for at in 0..effects {
                for image in IMAGES {
                    for down in DOWN {
                        run(presumption, sequence, &[at], image, down);
                        points += 1;
                    }
                }
            }
        }
    }
    assert!(points > 800, "{points} crash points");
}

/// And a second crash, of whoever comes to it, soon after the first is over: recovery itself is
/// interrupted.
#[test]
fn a_second_crash_during_recovery_leaves_all_or_nothing() {
    for presumption in PRESUMPTIONS {
        for sequence in [3, 1] {
            let effects = run(presumption, sequence, &[], Image::All, DOWN[0]);
            for at in 0..effects {
                for next in 0..12 {
                    run(presumption, sequence, &[at, next], Image::Nothing, DOWN[1]);
                }
            }
        }
    }
}
