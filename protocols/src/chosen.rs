//! For monitors of protocols that agree on a value for each of many places: what was accepted, and
//! so chosen.

use seedfall_sim::{NodeId, SortedMap, SortedSet};
use std::fmt::Debug;

/// What was accepted at each place under each number, by whom; and what is chosen by that.
#[derive(Clone, Debug)]
pub(crate) struct Chosen<B, V> {
    accepted: SortedMap<(usize, B), (V, SortedSet<NodeId>)>,
    /// The lowest number under which the value of each place is chosen.
    chosen: SortedMap<usize, (B, V)>,
}

/// What is wrong with an acceptance, and why.
pub(crate) enum Wrong {
    /// Two values have one number.
    TwoValues(String),
    /// A value was chosen, and another has a higher number.
    Changed(String),
}

impl<B, V> Default for Chosen<B, V> {
    fn default() -> Self {
        Self { accepted: SortedMap::new(), chosen: SortedMap::new() }
    }
}

impl<B: Copy + Ord + Debug, V: Clone + PartialEq + Debug> Chosen<B, V> {
    /// A node has accepted a value at a place, under a number; so many make a quorum.
    pub(crate) fn accept(
        &mut self,
        (node, quorum): (NodeId, usize),
        (place, number): (usize, B),
        value: &V,
    ) -> Result<(), Wrong> {
        let none = || (value.clone(), SortedSet::new());
        let (first, nodes) = self.accepted.entry((place, number)).or_insert_with(none);
        if first != value {
            return Err(Wrong::TwoValues(format!(
                "{place} under {number:?} is {value:?} at {node}, and {first:?} elsewhere"
            )));
        }
        nodes.insert(node);
        let mut is_new = false;
        if quorum <= nodes.len() && self.chosen.get(&place).is_none_or(|(since, _)| number < *since)
        {
            self.chosen.insert(place, (number, value.clone()));
            is_new = true;
        }
        let Some((since, chosen)) = self.chosen.get(&place) else { return Ok(()) };
        let wrong = |number: B, other: &V| {
            Wrong::Changed(format!(
                "{place} is {chosen:?} since {since:?}, and {other:?} under {number:?}"
            ))
        };
        if *since < number && value != chosen {
            return Err(wrong(number, value));
        }
        if !is_new {
            return Ok(());
        }
        // What was accepted above it before it was chosen: no less a breach.
        let above = self.accepted.range((place, *since)..);
        let above = above.take_while(|((other, _), _)| *other == place);
        match above.into_iter().find(|(_, (other, _))| other != chosen) {
            None => Ok(()),
            Some(((_, number), (other, _))) => Err(wrong(*number, other)),
        }
    }
}
