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
//! A vector `{i: n}` stands for all dots `(i, 1) ..= (i, n)`. That is exact because whole sets of
//! siblings travel, never one version alone: who holds `(i, n)` knows what became of every earlier
//! dot of `i`.

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

    /// Whether everything that the other means is meant here.
    pub fn includes(&self, other: &Self) -> bool {
        other.dots().all(|dot| self.contains(dot))
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

    /// Whether the version of this name is here, or something that replaces it.
    pub fn covers(&self, dot: Dot) -> bool {
        self.iter().any(|version| version.dot == dot || version.past.contains(dot))
    }

    /// What a client that is shown all this has seen.
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
        let is_here = self.iter().any(|version| version.dot == dot);
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

fn is_replaced(version: &Version, by: &Versions) -> bool {
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

    #[test]
    fn what_is_replaced_does_not_come_back() {
        let mut set = Versions::of([version(dot(A, 1), &VersionVector::default())]);
        let old = set.clone();
        set.put(version(dot(B, 1), &old.context()));
        assert!(!set.merge(&old));
        assert!(set.covers(dot(A, 1)) && set.len() == 1);
    }
}
