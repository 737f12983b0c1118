//! A text that many type at once: a replicated growable array (Roh, Jeon, Kim and Lee, *Replicated
//! Abstract Data Types: Building Blocks for Collaborative Applications*, 2011).
//!
//! A tree: each character hangs from the one behind which it was typed. The text is the walk that
//! goes to the last typed first. So what is typed behind one character at two places stays
//! together, and all replicas walk alike.

use super::Place;
use super::state::{Dot, Vector};
use seedfall_sim::SortedMap;

/// The characters, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Array(SortedMap<Place, Char>);

/// One character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Char {
    char: char,
    /// Behind which it was typed.
    behind: Option<Place>,
    /// By which update.
    typed: Dot,
    /// By which update it was erased; of several, by one.
    erased: Option<Dot>,
}

impl Array {
    /// Types a character.
    pub fn insert(&mut self, place: Place, behind: Option<Place>, char: char, typed: Dot) {
        self.0.insert(place, Char { char, behind, typed, erased: None });
    }

    /// Erases one, if it is not collected.
    pub fn erase(&mut self, place: Place, by: Dot) {
        if let Some(char) = self.0.get_mut(&place) {
            char.erased = Some(char.erased.map_or(by, |other| other.min(by)));
        }
    }

    /// What shows, in its order.
    pub fn shown(&self) -> Vec<(Place, char)> {
        let mut below: Vec<_> = self.0.iter().map(|(place, char)| (char.behind, *place)).collect();
        below.sort_unstable();
        let below = |behind: Option<Place>| {
            let from = below.partition_point(|(other, _)| *other < behind);
            let all = below[from..].iter().take_while(move |(other, _)| *other == behind);
            all.map(|(_, place)| *place)
        };
        // The last typed is on top of the stack.
        let mut stack: Vec<Place> = below(None).collect();
        let mut shown = Vec::new();
        while let Some(place) = stack.pop() {
            let char = &self.0[&place];
            if char.erased.is_none() {
                shown.push((place, char.char));
            }
            stack.extend(below(Some(place)));
        }
        shown
    }

    /// The join. A character that is not here, and of which the context says that it was, is
    /// collected.
    pub fn merge(&mut self, own: &Vector, other: &Self) {
        for (place, char) in &other.0 {
            match self.0.get_mut(place) {
                Some(mine) => mine.erased = mine.erased.into_iter().chain(char.erased).min(),
                None if own.has(char.typed) => {}
                None => drop(self.0.insert(*place, *char)),
            }
        }
    }

    /// Without what a context has.
    pub fn since(&self, context: &Vector) -> Self {
        let news = |char: &Char| {
            !context.has(char.typed) || char.erased.is_some_and(|by| !context.has(by))
        };
        Self(self.0.iter().filter(|(_, char)| news(char)).map(|(p, c)| (*p, *c)).collect())
    }

    /// Forgets characters whose erasure is stable, and from which nothing hangs. Whether there were
    /// any.
    pub fn collect(&mut self, stable: &Vector) -> bool {
        let before = self.0.len();
        let is_stable = |char: &Char| char.erased.is_some_and(|by| stable.has(by));
        let erased = self.0.iter().filter(|(_, char)| is_stable(char)).map(|(place, _)| *place);
        // From the last on: what hangs from a character is later.
        for place in erased.rev().collect::<Vec<_>>() {
            if !self.0.values().any(|other| other.behind == Some(place)) {
                self.0.remove(&place);
            }
        }
        self.0.len() < before
    }
}
