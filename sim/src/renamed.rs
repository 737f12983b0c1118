//! The same value, with nodes that trade places: what a search needs to see that two states are one
//! but for the names of nodes that are alike.

use crate::id::NodeId;
use crate::sorted::SortedMap;
use std::collections::BTreeMap;

/// Which node becomes which: a permutation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renaming(Vec<NodeId>);

impl Renaming {
    /// Every node but these keeps its name: the first becomes `to[0]`, and so on.
    ///
    /// # Panics
    /// If `to` has other nodes than `from`, or one twice.
    pub fn of(count: usize, from: &[NodeId], to: &[NodeId]) -> Self {
        let mut names: Vec<NodeId> = NodeId::all(count).collect();
        for (from, to) in from.iter().zip(to) {
            names[from.index()] = *to;
        }
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(NodeId::all(count)), "nodes trade places: {names:?}");
        Self(names)
    }

    /// What a node becomes.
    pub fn name(&self, node: NodeId) -> NodeId {
        self.0[node.index()]
    }

    /// Every permutation of some nodes of a cluster, the one that changes nothing first.
    pub fn all(count: usize, alike: &[NodeId]) -> Vec<Self> {
        let mut orders = vec![Vec::new()];
        for _ in alike {
            let longer = |order: &Vec<NodeId>| {
                let order = order.clone();
                let rest = alike.iter().filter(|node| !order.contains(node)).copied();
                rest.map(|node| [order.as_slice(), &[node]].concat()).collect::<Vec<_>>()
            };
            orders = orders.iter().flat_map(longer).collect();
        }
        orders.iter().map(|order| Self::of(count, alike, order)).collect()
    }
}

/// What is there to be renamed in a value: every [`NodeId`] in it, wherever it stands. What keeps
/// nodes in an order must be put into that order again.
///
/// A protocol that compares names, or does something for one node before another, is not the same
/// for nodes that trade places.
pub trait Renamed {
    /// The value, with every name changed.
    #[must_use]
    fn renamed(&self, names: &Renaming) -> Self;
}

impl Renamed for NodeId {
    fn renamed(&self, names: &Renaming) -> Self {
        names.name(*self)
    }
}

impl<T: Renamed> Renamed for Option<T> {
    fn renamed(&self, names: &Renaming) -> Self {
        self.as_ref().map(|one| one.renamed(names))
    }
}

impl<T: Renamed> Renamed for Vec<T> {
    fn renamed(&self, names: &Renaming) -> Self {
        self.iter().map(|one| one.renamed(names)).collect()
    }
}

impl<K: Renamed + Ord, V: Renamed> Renamed for BTreeMap<K, V> {
    fn renamed(&self, names: &Renaming) -> Self {
        self.iter().map(|(key, value)| (key.renamed(names), value.renamed(names))).collect()
    }
}

impl<K: Renamed + Ord, V: Renamed> Renamed for SortedMap<K, V> {
    fn renamed(&self, names: &Renaming) -> Self {
        self.iter().map(|(key, value)| (key.renamed(names), value.renamed(names))).collect()
    }
}

impl<A: Renamed, B: Renamed> Renamed for (A, B) {
    fn renamed(&self, names: &Renaming) -> Self {
        (self.0.renamed(names), self.1.renamed(names))
    }
}

/// Values in which no node is named.
macro_rules! nameless {
    ($($type:ty),*) => { $(
        impl Renamed for $type {
            fn renamed(&self, _: &Renaming) -> Self {
                self.clone()
            }
        }
    )* };
}
nameless!((), bool, u8, u16, u32, u64, usize, i64, String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_trade_places_and_the_first_renaming_changes_nothing() {
        let node = NodeId::new;
        let all = Renaming::all(4, &[node(1), node(2), node(3)]);
        assert_eq!(all.len(), 6);
        let value = vec![(node(0), Some(node(1))), (node(3), None)];
        assert_eq!(value.renamed(&all[0]), value);
        let swap = Renaming::of(4, &[node(1), node(3)], &[node(3), node(1)]);
        assert_eq!(value.renamed(&swap), [(node(0), Some(node(3))), (node(1), None)]);
        let map = SortedMap::from([(node(1), 7_u8), (node(3), 9)]);
        assert_eq!(map.renamed(&swap), SortedMap::from([(node(1), 9), (node(3), 7)]));
    }
}
