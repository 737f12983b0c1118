//! A set as a sorted vector.

use super::places;
use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{RangeBounds, Sub};
use std::{slice, vec};

/// A set in the order of its members: a sorted vector.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SortedSet<T> {
    members: Vec<T>,
}

impl<T> SortedSet<T> {
    /// An empty set.
    pub const fn new() -> Self {
        Self { members: Vec::new() }
    }

    /// How many members it has.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Removes all members.
    pub fn clear(&mut self) {
        self.members.clear();
    }

    /// The members, in order.
    pub fn iter(&self) -> slice::Iter<'_, T> {
        self.members.iter()
    }

    /// The smallest member.
    pub fn first(&self) -> Option<&T> {
        self.members.first()
    }

    /// The greatest member.
    pub fn last(&self) -> Option<&T> {
        self.members.last()
    }

    /// Takes out the smallest member.
    pub fn pop_first(&mut self) -> Option<T> {
        if self.members.is_empty() { None } else { Some(self.members.remove(0)) }
    }

    /// Keeps the members for which `keep` is true.
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.members.retain(keep);
    }
}

impl<T: Ord> SortedSet<T> {
    /// Where `member` is, or where it would be. The end is tried first, as in a map.
    fn find<Q: Ord + ?Sized>(&self, member: &Q) -> Result<usize, usize>
    where
        T: Borrow<Q>,
    {
        match self.members.last() {
            Some(last) if last.borrow() >= member => {
                self.members.binary_search_by(|one| one.borrow().cmp(member))
            }
            _ => Err(self.members.len()),
        }
    }

    /// Whether `member` is one.
    pub fn contains<Q: Ord + ?Sized>(&self, member: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.find(member).is_ok()
    }

    /// Makes `member` one; whether it was none before.
    pub fn insert(&mut self, member: T) -> bool {
        let found = self.find(&member);
        if let Err(at) = found {
            self.members.insert(at, member);
        }
        found.is_err()
    }

    /// Takes `member` out; whether it was one.
    pub fn remove<Q: Ord + ?Sized>(&mut self, member: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        let found = self.find(member);
        if let Ok(at) = found {
            self.members.remove(at);
        }
        found.is_ok()
    }

    /// The members in `range`, in order.
    pub fn range<Q: Ord + ?Sized>(&self, range: impl RangeBounds<Q>) -> slice::Iter<'_, T>
    where
        T: Borrow<Q>,
    {
        self.members[places(&self.members, Borrow::borrow, &range)].iter()
    }

    /// The members of both, in order.
    pub fn intersection<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a T> + Clone {
        self.iter().filter(|one| other.contains(*one))
    }

    /// The members that `other` has not, in order.
    pub fn difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a T> + Clone {
        self.iter().filter(|one| !other.contains(*one))
    }

    /// Whether every member is one of `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.iter().all(|one| other.contains(one))
    }

    /// Whether no member is one of `other`.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        !self.iter().any(|one| other.contains(one))
    }
}

impl<'a, T> IntoIterator for &'a SortedSet<T> {
    type Item = &'a T;
    type IntoIter = slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T> IntoIterator for SortedSet<T> {
    type Item = T;
    type IntoIter = vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.into_iter()
    }
}

impl<T: Ord> Extend<T> for SortedSet<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, members: I) {
        for member in members {
            self.insert(member);
        }
    }
}

impl<'a, T: Copy + Ord> Extend<&'a T> for SortedSet<T> {
    fn extend<I: IntoIterator<Item = &'a T>>(&mut self, members: I) {
        self.extend(members.into_iter().copied());
    }
}

impl<T: Ord> FromIterator<T> for SortedSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(members: I) -> Self {
        let mut set = Self::new();
        set.extend(members);
        set
    }
}

impl<T: Ord, const N: usize> From<[T; N]> for SortedSet<T> {
    fn from(members: [T; N]) -> Self {
        members.into_iter().collect()
    }
}

impl<T: Clone + Ord> Sub<&SortedSet<T>> for &SortedSet<T> {
    type Output = SortedSet<T>;

    /// The members that the other set has not.
    fn sub(self, other: &SortedSet<T>) -> SortedSet<T> {
        SortedSet { members: self.difference(other).cloned().collect() }
    }
}

impl<T> Default for SortedSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// As a `BTreeSet` is hashed.
impl<T: Hash> Hash for SortedSet<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.len());
        for member in self {
            member.hash(state);
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for SortedSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self).finish()
    }
}
