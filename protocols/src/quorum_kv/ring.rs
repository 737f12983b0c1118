//! The ring (Dynamo, 4.2 and 4.3): who stores a key.
//!
//! Hashes are places on a circle. Every node stands at several of them, its virtual nodes, so that
//! the share of a node is even and, when it fails, falls to many. A key is stored by the first `N`
//! distinct nodes met clockwise from its own place.

use crate::kv::Text;
use seedfall_sim::{NodeId, StableHasher};

/// The places of all nodes of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ring {
    nodes: usize,
    /// Places in their order, each with its node.
    places: Vec<(u64, NodeId)>,
}

impl Ring {
    /// A ring of `nodes` nodes that stand at `virtual_nodes` places each; both at least one.
    pub fn new(nodes: usize, virtual_nodes: u32) -> Self {
        assert!(0 < nodes && 0 < virtual_nodes, "a ring without places stores nothing");
        let places = NodeId::all(nodes).flat_map(|node| {
            let place = move |number| StableHasher::hash(&("virtual node", node, number));
            (0..virtual_nodes).map(move |number| (place(number), node))
        });
        let mut places: Vec<_> = places.collect();
        places.sort_unstable();
        Self { nodes, places }
    }

    /// Every node, in the order in which it is asked to store the key: the first `N` are its homes
    /// (the paper's preference list), the others stand in for homes that do not answer.
    pub fn preference_list(&self, key: &Text) -> Vec<NodeId> {
        let place = StableHasher::hash(&key.as_str());
        let first = self.places.partition_point(|(other, _)| *other < place);
        let mut list = Vec::with_capacity(self.nodes);
        for (_, node) in self.places[first..].iter().chain(&self.places[..first]) {
            if !list.contains(node) {
                list.push(*node);
                if list.len() == self.nodes {
                    break;
                }
            }
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedfall_sim::SortedMap;

    #[test]
    fn a_preference_list_names_every_node_once() {
        let ring = Ring::new(5, 8);
        for key in 0..100 {
            let mut list = ring.preference_list(&format!("{key}").into());
            list.sort_unstable();
            assert_eq!(list, NodeId::all(5).collect::<Vec<_>>());
        }
    }

    /// Dynamo 4.2: with many virtual nodes the load is even.
    #[test]
    fn virtual_nodes_even_out_the_load() {
        let spread = |virtual_nodes| {
            let ring = Ring::new(5, virtual_nodes);
            let mut load = SortedMap::<NodeId, u32>::new();
            for key in 0..5_000 {
                *load.entry(ring.preference_list(&format!("{key}").into())[0]).or_default() += 1;
            }
            let least = NodeId::all(5).map(|node| load.get(&node).copied().unwrap_or(0)).min();
            load.values().max().copied().unwrap_or(0) - least.unwrap_or(0)
        };
        assert!(spread(128) * 2 < spread(1), "{} against {}", spread(128), spread(1));
    }

    /// Dynamo 4.2: the arrival of a node moves only the keys that it takes over.
    #[test]
    fn a_new_node_takes_keys_from_others_and_moves_none_between_them() {
        let (four, five) = (Ring::new(4, 16), Ring::new(5, 16));
        for key in 0..1_000 {
            let key = format!("{key}").into();
            let mut with = five.preference_list(&key);
            with.retain(|node| *node != NodeId::new(4));
            assert_eq!(with, four.preference_list(&key));
        }
    }
}
