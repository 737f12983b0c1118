//! Maps and sets in the order of their keys, as sorted vectors.
//!
//! They do what `BTreeMap` and `BTreeSet` do, by the same names, and are made for the state of a
//! protocol: some dozens of entries, added at the end more often than elsewhere, copied and walked
//! through more often than changed. There a vector is quicker than a tree, and what the compiler
//! makes of it is a tenth: every map of other types is code of its own, and trees were more than
//! half of the code of all protocols together. An insertion in the middle moves what is behind it,
//! so for tens of thousands of entries in no order a tree is better.

mod map;
#[cfg(feature = "serde")]
mod serialized;
mod set;
#[cfg(test)]
mod tests;

pub use map::{Iter, IterMut, Keys, Slot, SortedMap, Values, ValuesMut};
pub use set::SortedSet;

use std::ops::{Bound, Range, RangeBounds};

/// The places of what lies in a range of keys. A range that ends before it begins is empty.
fn places<T, Q: Ord + ?Sized>(
    sorted: &[T],
    key: impl Fn(&T) -> &Q,
    range: &impl RangeBounds<Q>,
) -> Range<usize> {
    let start = match range.start_bound() {
        Bound::Included(from) => sorted.partition_point(|one| key(one) < from),
        Bound::Excluded(after) => sorted.partition_point(|one| key(one) <= after),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(to) => sorted.partition_point(|one| key(one) <= to),
        Bound::Excluded(before) => sorted.partition_point(|one| key(one) < before),
        Bound::Unbounded => sorted.len(),
    };
    start..end.max(start)
}
