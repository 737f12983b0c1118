//! The shape of a wait: what a run that fails by waiting waits for, without names and numbers.

use super::Running;
use seedfall_sim::{NodeId, Protocol};
use std::collections::BTreeSet;

impl<P: Protocol, I, O> Running<'_, P, I, O> {
    /// Whether nodes are down or paused, and the words by which the others say that they wait
    /// ([`Protocol::waits`]), each once. How many nodes and clients there are is no part of it, so
    /// that it stays as a run becomes smaller.
    pub(super) fn shape_of_wait(&self) -> String {
        let world = self.world();
        let mut words = BTreeSet::new();
        for node in NodeId::all(world.node_count()) {
            match world.node(node) {
                None => drop(words.insert("down".to_owned())),
                Some(_) if world.is_paused(node) => drop(words.insert("paused".to_owned())),
                Some(state) => words.extend(words_of(&state.waits())),
            }
        }
        let words: Vec<String> = words.into_iter().collect();
        if words.is_empty() { "nobody says for what".to_owned() } else { words.join(" ") }
    }
}

/// The words of a text: no numbers, no names that have one, nothing in quotes.
fn words_of(text: &str) -> impl Iterator<Item = String> {
    let outside = text.split('"').step_by(2);
    let tokens = outside.flat_map(|part| part.split(|c: char| !c.is_alphanumeric()));
    let is_word = |token: &&str| token.len() > 1 && token.chars().all(char::is_alphabetic);
    tokens.filter(is_word).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::words_of;

    #[test]
    fn words_have_no_numbers_and_no_names() {
        let text = "c1#3 of \"alice\": for a majority in phase Query(7), has {n1, n12}";
        let words: Vec<String> = words_of(text).collect();
        assert_eq!(words.join(" "), "of for majority in phase Query has");
    }
}
