//! The laws of a join semilattice, by random histories (RR-7506, 2.2: merging is commutative,
//! associative and idempotent, and only grows).

use seedfall_protocols::crdt::{Dot, Operation, Place, State, Update};
use seedfall_sim::{Draws, NodeId, Seed, Site};

const REPLICAS: usize = 3;
const HISTORIES: u64 = 400;

/// Three replicas after a random history of updates and merges, and states that they had before.
fn history(seed: u64) -> (Vec<State>, Vec<State>) {
    let mut draws = Draws::new(Seed(seed), REPLICAS, 0);
    let mut draw = |bound| draws.draw(Site::Plan).below(bound) as usize;
    let mut states = vec![State::default(); REPLICAS];
    let mut before = Vec::new();
    for step in 0..30 {
        let at = draw(REPLICAS as u32);
        if draw(3) == 0 {
            let from = draw(REPLICAS as u32);
            let other = states[from].clone();
            let since =
                if draw(2) == 0 { states[at].context().clone() } else { Default::default() };
            states[at].merge(&other.delta(&since));
            before.push(states[at].clone());
            continue;
        }
        let text = states[at].text();
        let value = || format!("v{step}").into();
        let element = ["a", "b"][draw(2)].into();
        let operation = match draw(7) {
            0 => Operation::Add(draw(9) as i64 - 4),
            1 => Operation::Insert(element),
            2 => Operation::Remove(element),
            3 => Operation::Assign(value()),
            4 => Operation::Write(value()),
            5 => {
                let behind: Option<Place> = text.get(draw(4)).map(|(place, _)| *place);
                Operation::Type(behind, char::from(b'a' + (step % 26) as u8))
            }
            _ => match text.get(draw(4)) {
                Some((place, _)) => Operation::Erase(*place),
                None => Operation::Add(1),
            },
        };
        let node = NodeId::new(at as u16);
        let dot: Dot = states[at].next(node);
        let (past, clock) = (states[at].context().clone(), states[at].clock() + 1);
        states[at].apply(&Update { dot, past, clock, operation });
    }
    (states, before)
}

fn merged(one: &State, other: &State) -> State {
    let mut both = one.clone();
    both.merge(&other.delta(&Default::default()));
    both
}

#[test]
fn merging_is_commutative_associative_and_idempotent() {
    for seed in 0..HISTORIES {
        let (states, _) = history(seed);
        let [a, b, c] = &states[..] else { unreachable!("three replicas") };
        assert_eq!(merged(a, b), merged(b, a), "seed {seed}");
        assert_eq!(merged(&merged(a, b), c), merged(a, &merged(b, c)), "seed {seed}");
        assert_eq!(merged(a, a), *a, "seed {seed}");
    }
}

/// A state from before brings nothing: not even what was taken away since.
#[test]
fn what_was_had_before_changes_nothing() {
    for seed in 0..HISTORIES {
        let (states, before) = history(seed);
        for old in &before {
            for state in states.iter().filter(|state| state.context().covers(old.context())) {
                assert_eq!(merged(state, old), *state, "seed {seed}");
            }
        }
    }
}

/// Almeida et al. 2018: what a replica lacks does as much as the whole state.
#[test]
fn a_delta_does_what_the_state_does() {
    for seed in 0..HISTORIES {
        let (states, before) = history(seed);
        for old in &before {
            for state in states.iter().filter(|state| state.context().covers(old.context())) {
                let mut by_delta = old.clone();
                by_delta.merge(&state.delta(old.context()));
                assert_eq!(by_delta, merged(old, state), "seed {seed}");
                assert_eq!(by_delta.shown(), state.shown(), "seed {seed}");
            }
        }
    }
}
