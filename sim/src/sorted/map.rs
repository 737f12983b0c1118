//! A map as a sorted vector of pairs.

use super::places;
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Index, RangeBounds};
use std::{slice, vec};

/// A map in the order of its keys: a sorted vector of pairs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SortedMap<K, V> {
    entries: Vec<(K, V)>,
}

impl<K, V> SortedMap<K, V> {
    /// An empty map.
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// The entries, in the order of their keys.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter(self.entries.iter())
    }

    /// The entries, in the order of their keys; values can be changed.
    pub fn iter_mut(&mut self) -> IterMut<'_, K, V> {
        IterMut(self.entries.iter_mut())
    }

    /// The keys, in order.
    pub fn keys(&self) -> Keys<'_, K, V> {
        Keys(self.entries.iter())
    }

    /// The values, in the order of their keys.
    pub fn values(&self) -> Values<'_, K, V> {
        Values(self.entries.iter())
    }

    /// The values, in the order of their keys, to be changed.
    pub fn values_mut(&mut self) -> ValuesMut<'_, K, V> {
        ValuesMut(self.entries.iter_mut())
    }

    /// The keys, in order, and nothing else.
    pub fn into_keys(self) -> impl DoubleEndedIterator<Item = K> + ExactSizeIterator {
        self.entries.into_iter().map(|(key, _)| key)
    }

    /// The values, in the order of their keys, and nothing else.
    pub fn into_values(self) -> impl DoubleEndedIterator<Item = V> + ExactSizeIterator {
        self.entries.into_iter().map(|(_, value)| value)
    }

    /// The entry with the smallest key.
    pub fn first_key_value(&self) -> Option<(&K, &V)> {
        self.entries.first().map(|(key, value)| (key, value))
    }

    /// The entry with the greatest key.
    pub fn last_key_value(&self) -> Option<(&K, &V)> {
        self.entries.last().map(|(key, value)| (key, value))
    }

    /// Takes out the entry with the smallest key.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        if self.entries.is_empty() { None } else { Some(self.entries.remove(0)) }
    }

    /// Takes out the entry with the greatest key.
    pub fn pop_last(&mut self) -> Option<(K, V)> {
        self.entries.pop()
    }

    /// Keeps the entries for which `keep` is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.entries.retain_mut(|(key, value)| keep(key, value));
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    /// Where `key` is, or where it would be. The end is tried first: most keys are added there.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        match self.entries.last() {
            Some((last, _)) if last.borrow() >= key => {
                self.entries.binary_search_by(|(one, _)| one.borrow().cmp(key))
            }
            _ => Err(self.entries.len()),
        }
    }

    /// As [`SortedMap::find`], from `at` on, the place behind the key before.
    fn find_in_step(&self, key: &K, at: &mut usize) -> Result<usize, usize> {
        let before = at.checked_sub(1).and_then(|before| self.entries.get(before));
        if before.is_some_and(|(one, _)| one >= key) {
            *at = 0;
        }
        while let Some((one, _)) = self.entries.get(*at) {
            match one.cmp(key) {
                Ordering::Less => *at += 1,
                Ordering::Equal => {
                    *at += 1;
                    return Ok(*at - 1);
                }
                Ordering::Greater => break,
            }
        }
        Err(*at)
    }

    /// As [`SortedMap::get`], for whoever asks for one key after the other, in their order: `at`,
    /// which is zero at first, goes along with them, and none is searched for.
    pub fn get_in_step(&self, key: &K, at: &mut usize) -> Option<&V> {
        self.find_in_step(key, at).ok().map(|at| &self.entries[at].1)
    }

    /// As [`SortedMap::entry`], in step as [`SortedMap::get_in_step`] is.
    pub fn entry_in_step(&mut self, key: K, at: &mut usize) -> Slot<'_, K, V> {
        let found = self.find_in_step(&key, at);
        Slot { entries: &mut self.entries, key, found }
    }

    /// The value of `key`.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.find(key).ok().map(|at| &self.entries[at].1)
    }

    /// The value of `key`, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.find(key).ok().map(|at| &mut self.entries[at].1)
    }

    /// Whether `key` has a value.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_ok()
    }

    /// Gives `key` a value; the one that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(at) => Some(std::mem::replace(&mut self.entries[at].1, value)),
            Err(at) => {
                self.entries.insert(at, (key, value));
                None
            }
        }
    }

    /// Takes out `key`; the value that it had.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.find(key).ok().map(|at| self.entries.remove(at).1)
    }

    /// The place of `key`, whether or not it has a value.
    pub fn entry(&mut self, key: K) -> Slot<'_, K, V> {
        let found = self.find(&key);
        Slot { entries: &mut self.entries, key, found }
    }

    /// The entries whose keys are in `range`, in order.
    pub fn range<Q: Ord + ?Sized>(&self, range: impl RangeBounds<Q>) -> Iter<'_, K, V>
    where
        K: Borrow<Q>,
    {
        let places = places(&self.entries, |(key, _)| key.borrow(), &range);
        Iter(self.entries[places].iter())
    }

    /// Takes out the entries from `key` on.
    pub fn split_off<Q: Ord + ?Sized>(&mut self, key: &Q) -> Self
    where
        K: Borrow<Q>,
    {
        let (Ok(at) | Err(at)) = self.find(key);
        Self { entries: self.entries.split_off(at) }
    }
}

/// The place of a key in a [`SortedMap`], whether or not it has a value: see
/// [`SortedMap::entry`].
#[derive(Debug)]
pub struct Slot<'a, K, V> {
    entries: &'a mut Vec<(K, V)>,
    key: K,
    found: Result<usize, usize>,
}

impl<'a, K, V> Slot<'a, K, V> {
    /// The value; `value`, if there was none.
    pub fn or_insert(self, value: V) -> &'a mut V {
        self.or_insert_with(|| value)
    }

    /// The value; what `make` makes, if there was none.
    pub fn or_insert_with(self, make: impl FnOnce() -> V) -> &'a mut V {
        let at = match self.found {
            Ok(at) => at,
            Err(at) => {
                self.entries.insert(at, (self.key, make()));
                at
            }
        };
        &mut self.entries[at].1
    }

    /// The value; the default one, if there was none.
    pub fn or_default(self) -> &'a mut V
    where
        V: Default,
    {
        self.or_insert_with(V::default)
    }

    /// Changes the value, if there is one.
    #[must_use]
    pub fn and_modify(self, change: impl FnOnce(&mut V)) -> Self {
        if let Ok(at) = self.found {
            change(&mut self.entries[at].1);
        }
        self
    }
}

/// An iterator over a [`SortedMap`]: its type, what it walks over, its items, and how one is made
/// of an entry.
macro_rules! iterator {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $item:ty, $entry:pat => $made:expr) => {
        $(#[$doc])*
        pub struct $name<'a, K, V>($inner);

        impl<'a, K, V> Iterator for $name<'a, K, V> {
            type Item = $item;

            fn next(&mut self) -> Option<Self::Item> {
                self.0.next().map(|$entry| $made)
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                self.0.size_hint()
            }
        }

        impl<'a, K, V> DoubleEndedIterator for $name<'a, K, V> {
            fn next_back(&mut self) -> Option<Self::Item> {
                self.0.next_back().map(|$entry| $made)
            }
        }

        impl<K, V> ExactSizeIterator for $name<'_, K, V> {}
    };
}
iterator!(
    /// The entries of a [`SortedMap`], in the order of their keys.
    Iter, slice::Iter<'a, (K, V)>, (&'a K, &'a V), (key, value) => (key, value)
);
iterator!(
    /// The entries of a [`SortedMap`], in the order of their keys; values can be changed.
    IterMut, slice::IterMut<'a, (K, V)>, (&'a K, &'a mut V), (key, value) => (&*key, value)
);
iterator!(
    /// The keys of a [`SortedMap`], in order.
    Keys, slice::Iter<'a, (K, V)>, &'a K, (key, _) => key
);
iterator!(
    /// The values of a [`SortedMap`], in the order of their keys.
    Values, slice::Iter<'a, (K, V)>, &'a V, (_, value) => value
);
iterator!(
    /// The values of a [`SortedMap`], in the order of their keys, to be changed.
    ValuesMut, slice::IterMut<'a, (K, V)>, &'a mut V, (_, value) => value
);

/// What can be walked over twice, and shown.
macro_rules! shared {
    ($($name:ident),*) => { $(
        impl<K, V> Clone for $name<'_, K, V> {
            fn clone(&self) -> Self {
                Self(self.0.clone())
            }
        }

        impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for $name<'_, K, V> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_list().entries(self.clone()).finish()
            }
        }
    )* };
}
shared!(Iter, Keys, Values);

impl<'a, K, V> IntoIterator for &'a SortedMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, K, V> IntoIterator for &'a mut SortedMap<K, V> {
    type Item = (&'a K, &'a mut V);
    type IntoIter = IterMut<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl<K, V> IntoIterator for SortedMap<K, V> {
    type Item = (K, V);
    type IntoIter = vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<K: Ord, V> Extend<(K, V)> for SortedMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for SortedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for SortedMap<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<K: Ord + Borrow<Q>, Q: Ord + ?Sized, V> Index<&Q> for SortedMap<K, V> {
    type Output = V;

    /// Panics if `key` has no value.
    fn index(&self, key: &Q) -> &V {
        self.get(key).expect("a key with a value")
    }
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

/// As a `BTreeMap` is hashed.
impl<K: Hash, V: Hash> Hash for SortedMap<K, V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.len());
        for entry in self {
            entry.hash(state);
        }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for SortedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}
