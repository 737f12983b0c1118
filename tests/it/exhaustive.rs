//! The built-in searches of every order: each finds what it must, in a number of states that is the
//! same in every build.

use seedfall::exhaustive::{Extent, Search};

/// The states of each search that is made here, and the steps to the last of them. Release builds
/// meet the same: `seedfall exhaust NAME`.
const STATES: [(&str, u32, u32); 5] = [
    ("paxos-crash", 2_200, 13),
    ("paxos-disjoint-quorums", 1_523, 7),
    ("2pc", 5_343, 16),
    ("raft", 97_642, 26),
    ("copied-register", 3, 2),
];

fn search(name: &str) -> Search {
    let all = seedfall_scenarios::searches();
    all.into_iter().find(|search| search.name == name).expect("a search that is there")
}

#[test]
fn every_order_of_a_small_cluster_is_looked_at_and_broken_is_what_must_be() {
    for (name, states, depth) in STATES {
        let search = search(name);
        let found = search.run(search.bounds, &mut |_| ());
        assert_eq!((found.states, found.depth), (states, depth), "{name}");
        let broken = found.counterexample.as_ref();
        assert_eq!(broken.map(|broken| broken.property), search.breaks, "{name}");
        match broken {
            None => assert_eq!(found.extent, Extent::Complete, "{name}"),
            Some(broken) => {
                let again = search.replay(search.bounds, &broken.steps);
                assert_eq!(again.as_ref(), Ok(broken), "{name}: its steps break the same");
            }
        }
    }
}
