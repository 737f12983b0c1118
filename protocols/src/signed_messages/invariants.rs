//! A4 of signed messages, watched from outside while a run goes on: the evidence that a general
//! holds, judged by another than itself.
//!
//! Traitors run the protocol as they should inside, so what each holds it has accepted.

use super::{Council, General, Statement};
use crate::oral_messages::{Battle, Order, Path};
use seedfall_sim::{Monitor, NodeId, Signed, SortedMap, SortedSet, Violation};

/// Watches the generals of one run.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    /// How much each general had heard of each battle, and how many orders, when it was last seen.
    seen: SortedMap<(NodeId, Battle), (usize, usize)>,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

impl Monitor<General> for Invariants {
    fn observe(&mut self, node: NodeId, state: &General) -> Result<(), Violation> {
        for council in state.open() {
            let now = (council.heard.len(), council.signed.len());
            if self.seen.insert((node, council.battle), now) == Some(now) {
                continue;
            }
            if let Some(what) = unproved(council) {
                let explanation = format!("{node} believes of {:?} {what}", council.battle);
                return Err(Violation { property: "A4", explanation });
            }
        }
        Ok(())
    }
}

/// What a general believes that has not been signed as it must be.
fn unproved(council: &Council) -> Option<String> {
    let Council { battle, heard, signed, .. } = council;
    let by_others = signed.iter().filter(|(_, chain)| !chain.is_empty());
    let unsigned = |(order, chain): &(&Order, &Vec<Signed<Statement>>)| {
        (0..chain.len()).any(|place| {
            let after: Path = chain[..place].iter().map(Signed::by).collect();
            *chain[place].value() != Statement { battle: *battle, order: **order, after }
        })
    };
    if let Some((order, chain)) = by_others.clone().find(unsigned) {
        return Some(format!("{order:?}, signed {chain:?}"));
    }
    let paths = heard.iter().map(|(path, _)| path);
    let is_wrong = |path: &&Path| {
        let signers: SortedSet<NodeId> = path.iter().copied().collect();
        path.first() != Some(&battle.commander) || signers.len() < path.len()
    };
    paths.into_iter().find(is_wrong).map(|path| format!("what was signed by {path:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedfall_sim::Time;

    #[test]
    fn a_path_begins_with_the_commander_and_names_each_once() {
        let [one, two] = [0, 1].map(NodeId::new);
        let battle = Battle { commander: one, begins: Time::ZERO };
        let told = |path: Path| {
            let mut council = Council::new(battle);
            council.heard.insert((path, Order::Attack));
            unproved(&council)
        };
        assert_eq!(told(vec![one, two]), None);
        assert!(told(vec![two]).is_some(), "nobody has asked the commander");
        assert!(told(vec![one, two, two]).is_some(), "somebody signed twice");
    }
}
