//! Dotted version vectors (Preguiça, Baquero, Almeida, Fonte and Gonçalves, *Brief Announcement:
//! Efficient Causality Tracking in Distributed Storage Systems with Dotted Version Vectors*, PODC
//! 2012): which version of a value replaces which.
//!
//! A version has a name of its own, the [`Dot`] `(node, n)`: the `n`-th write of the key that the
//! node coordinated. And it has a past: the version vector that its client had been shown. `x` is
//! replaced by `y` if and only if `x`'s dot is in `y`'s past. A plain version vector would be name
//! and past in one; two writes of clients that were shown the same, through one node, would then
//! look as if the second had seen the first (the paper's false dominance).
//!
//! A vector `{i: n}` stands for all dots `(i, 1) ..= (i, n)`. As the past of a version that is
//! exact, because whole sets of siblings travel, never one version alone: who holds `(i, n)` has
//! been told what became of every earlier dot of `i`.
//!
//! But what became of one may be that it was deleted and its tombstone forgotten. So a set may hold
//! `(i, n)` and not [`cover`](Versions::covers) `(i, n - 1)`: the earlier version would be taken in
//! if it came, although [`Versions::context`] speaks of it. Whether a set covers less than another
//! is therefore no question for their contexts: [`Versions::covers_all`].

use crate::kv::Text;
use seedfall_sim::NodeId;
use std::fmt;
use std::sync::Arc;

/// The name of one version of one key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Dot {
    /// Who coordinated the write.
    pub node: NodeId,
    /// Its number among the writes of the key that this node coordinated, from one.
    pub counter: u64,
}

/// For each node, how many of its dots are meant. Also the *context* that a client is shown.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct VersionVector(Vec<(NodeId, u64)>);

/// One version of a value.
#[derive(Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Version {
    /// Its name.
    pub dot: Dot,
    /// What its client had been shown: what it replaces.
    pub past: VersionVector,
    /// The value; `None`: it deletes the key (a tombstone).
    pub value: Option<Text>,
}

/// The siblings under a key: versions of which none replaces another, in the order of their dots.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Versions(Arc<Vec<Version>>);

impl VersionVector {
    /// Whether the dot is meant.
    pub fn contains(&self, dot: Dot) -> bool {
        self.0.iter().any(|(node, counter)| *node == dot.node && dot.counter <= *counter)
    }

    /// Means this dot and those before it as well.
    pub fn add(&mut self, dot: Dot) {
        match self.0.binary_search_by_key(&dot.node, |(node, _)| *node) {
            Ok(place) => self.0[place].1 = self.0[place].1.max(dot.counter),
            Err(place) => self.0.insert(place, (dot.node, dot.counter)),
        }
    }

    /// Means everything that the other means as well.
    pub fn join(&mut self, other: &Self) {
        other.dots().for_each(|dot| self.add(dot));
    }

    /// The counter of the last dot of this node that is meant; zero if none is.
    fn last(&self, node: NodeId) -> u64 {
        let entry = self.0.iter().find(|(other, _)| *other == node);
        entry.map_or(0, |(_, counter)| *counter)
    }

    /// The last dot of each node that is meant.
    pub fn dots(&self) -> impl Iterator<Item = Dot> {
        self.0.iter().map(|(node, counter)| Dot { node: *node, counter: *counter })
    }
}

impl Versions {
    /// These versions; one that another of them replaces is left out.
    pub fn of(versions: impl IntoIterator<Item = Version>) -> Self {
        let mut all = Self::default();
        for version in versions {
            all.merge(&Self(Arc::new(vec![version])));
        }
        all
    }

    /// The siblings.
    pub fn iter(&self) -> impl Iterator<Item = &Version> {
        self.0.iter()
    }

    /// How many siblings there are, tombstones included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if nothing is known of the key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the version of this name is here.
    pub(super) fn holds(&self, dot: Dot) -> bool {
        self.0.binary_search_by_key(&dot, |version| version.dot).is_ok()
    }

    /// Whether the version of this name is here, or something that replaces it.
    pub fn covers(&self, dot: Dot) -> bool {
        self.iter().any(|version| version.dot == dot || version.past.contains(dot))
    }

    /// Whether every dot that the other covers is covered here, each asked for by itself: a later
    /// dot of the same node that is held here says nothing of an earlier one.
    pub fn covers_all(&self, other: &Self) -> bool {
        // Of these dots: those that no past means must be held.
        let covers_up_to = |last: Dot| {
            let pasts = self.iter().map(|version| version.past.last(last.node));
            let replaced = pasts.max().unwrap_or_default();
            (replaced + 1..=last.counter).rev().all(|counter| self.holds(Dot { counter, ..last }))
        };
        Arc::ptr_eq(&self.0, &other.0)
            || other
                .iter()
                .all(|version| self.covers(version.dot) && version.past.dots().all(covers_up_to))
    }

    /// What a client that is shown all this has seen. It may speak of more than is covered here:
    /// see the head of this file.
    pub fn context(&self) -> VersionVector {
        let mut context = VersionVector::default();
        for version in self.iter() {
            context.join(&version.past);
            context.add(version.dot);
        }
        context
    }

    /// Adds a new version, in the place of all that its past means.
    pub fn put(&mut self, version: Version) {
        assert!(!self.covers(version.dot), "{:?} is a new name", version.dot);
        let versions = Arc::make_mut(&mut self.0);
        versions.retain(|old| !version.past.contains(old.dot));
        let place = versions.partition_point(|old| old.dot < version.dot);
        versions.insert(place, version);
    }

    /// What is in either and is not replaced in the other. True if that changed anything here.
    pub fn merge(&mut self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.0, &other.0) {
            return false;
        }
        let replaced = self.iter().any(|own| is_replaced(own, other));
        let mut fresh = other.iter().filter(|version| !self.covers(version.dot)).peekable();
        if !replaced && fresh.peek().is_none() {
            return false;
        }
        let kept = self.iter().filter(|own| !is_replaced(own, other));
        let mut merged: Vec<Version> = kept.chain(fresh).cloned().collect();
        merged.sort_unstable_by_key(|version| version.dot);
        self.0 = Arc::new(merged);
        true
    }

    /// Takes one version out. True if it was here.
    pub(super) fn remove(&mut self, dot: Dot) -> bool {
        let is_here = self.holds(dot);
        if is_here {
            Arc::make_mut(&mut self.0).retain(|version| version.dot != dot);
        }
        is_here
    }
}

// They stand in messages, records and answers, where brevity is legibility: `n2.3 "v" over {n1.1}`.
impl fmt::Debug for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.node, self.counter)
    }
}

impl fmt::Debug for VersionVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.dots()).finish()
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{:?} {value:?} over {:?}", self.dot, self.past),
            None => write!(f, "{:?} deleted over {:?}", self.dot, self.past),
        }
    }
}

impl fmt::Debug for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Whether one of the others was written over this version.
pub(super) fn is_replaced(version: &Version, by: &Versions) -> bool {
    by.iter().any(|other| other.past.contains(version.dot))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId::new(0);
    const B: NodeId = NodeId::new(1);

    fn dot(node: NodeId, counter: u64) -> Dot {
        Dot { node, counter }
    }

    fn version(name: Dot, past: &VersionVector) -> Version {
        Version { dot: name, past: past.clone(), value: Some("v".into()) }
    }

    /// PODC 2012: two clients that were shown the same write through one server.
    #[test]
    fn two_writes_through_one_node_with_equal_contexts_are_siblings() {
        let mut at_a = Versions::default();
        at_a.put(version(dot(A, 1), &VersionVector::default()));
        let shown = at_a.context();
        at_a.put(version(dot(A, 2), &shown));
        at_a.put(version(dot(A, 3), &shown));
        let dots: Vec<Dot> = at_a.iter().map(|version| version.dot).collect();
        assert_eq!(dots, [dot(A, 2), dot(A, 3)]);
    }

    #[test]
    fn a_write_replaces_what_its_client_was_shown_and_nothing_else() {
        let mut one = Versions::default();
        one.put(version(dot(A, 1), &VersionVector::default()));
        let shown = one.context();
        let other = Versions::of([version(dot(B, 1), &VersionVector::default())]);
        assert!(one.merge(&other));
        assert_eq!(one.len(), 2);
        one.put(version(dot(B, 2), &shown));
        let dots: Vec<Dot> = one.iter().map(|version| version.dot).collect();
        assert_eq!(dots, [dot(B, 1), dot(B, 2)], "the sibling that it was not shown stays");
    }

    #[test]
    fn merging_is_idempotent_commutative_and_associative() {
        let first = version(dot(A, 1), &VersionVector::default());
        let shown = Versions::of([first.clone()]).context();
        let sets = [
            Versions::of([first]),
            Versions::of([version(dot(A, 2), &shown)]),
            Versions::of([version(dot(B, 1), &shown)]),
            Versions::of([version(dot(B, 2), &VersionVector::default())]),
        ];
        let merged = |a: &Versions, b: &Versions| {
            let mut both = a.clone();
            both.merge(b);
            both
        };
        for a in &sets {
            assert_eq!(&merged(a, a), a);
            for b in &sets {
                assert_eq!(merged(a, b), merged(b, a));
                for c in &sets {
                    assert_eq!(merged(&merged(a, b), c), merged(a, &merged(b, c)));
                }
            }
        }
    }

    /// The later dot of a node is held, and an earlier one is not covered.
    #[test]
    fn a_later_dot_does_not_hide_that_an_earlier_one_is_not_covered() {
        let nothing = VersionVector::default();
        let deleted = Versions::of([version(dot(A, 1), &nothing)]).context();
        let (tombstone, later) = (version(dot(B, 1), &deleted), version(dot(A, 2), &nothing));
        let before = Versions::of([tombstone.clone(), later.clone()]);
        let mut shown = VersionVector::default();
        shown.add(dot(B, 1)); // By a client that was shown the siblings without the tombstone.
        let now = Versions::of([tombstone, later, version(dot(B, 2), &shown)]);
        assert!(now.context().contains(dot(A, 1)), "which is why contexts do not tell");
        assert!(before.covers(dot(A, 1)) && !now.covers(dot(A, 1)));
        assert!(!now.covers_all(&before));
        // By what is held and by what pasts mean together, also across both.
        let mut both = VersionVector::default();
        both.add(dot(A, 2));
        let all = Versions::of([version(dot(B, 3), &both)]);
        let parts = Versions::of([version(dot(B, 2), &deleted), version(dot(A, 2), &nothing)]);
        assert!(!parts.covers_all(&all), "B.3 itself");
        assert!(parts.covers_all(&Versions::of([version(dot(B, 2), &both)])));
        assert!(all.covers_all(&Versions::default()) && !Versions::default().covers_all(&all));
        assert!(all.covers_all(&all.clone()));
    }

    /// Against the definition, dot by dot.
    #[test]
    fn covering_all_is_covering_each() {
        let past = |a, b| {
            let mut past = VersionVector::default();
            let last = [dot(A, a), dot(B, b)].into_iter().filter(|dot| 0 < dot.counter);
            last.for_each(|dot| past.add(dot));
            past
        };
        let pasts: Vec<_> =
            (0..4).flat_map(|a| (0..3).map(move |b| (a, b))).map(|(a, b)| past(a, b)).collect();
        let dots: Vec<Dot> = (1..4).flat_map(|n| [dot(A, n), dot(B, n)]).collect();
        let all: Vec<Version> = dots
            .iter()
            .flat_map(|dot| pasts.iter().map(|past| version(*dot, past)))
            .filter(|version| !version.past.contains(version.dot))
            .collect();
        for one in &all {
            for two in &all {
                let now = Versions::of([one.clone(), two.clone()]);
                for before in &all {
                    let before = Versions::of([before.clone()]);
                    let each = dots.iter().all(|dot| !before.covers(*dot) || now.covers(*dot));
                    assert_eq!(now.covers_all(&before), each, "{now:?} after {before:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_replaced_does_not_come_back() {
        let mut set = Versions::of([version(dot(A, 1), &VersionVector::default())]);
        let old = set.clone();
        set.put(version(dot(B, 1), &old.context()));
        assert!(!set.merge(&old));
        assert!(set.covers(dot(A, 1)) && set.len() == 1);
    }
}
