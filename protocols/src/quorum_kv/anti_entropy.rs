//! Anti-entropy (Dynamo, 4.7): two homes compare Merkle trees over the keys that both store, and
//! exchange what differs.
//!
//! Keys fall into leaves by their place on the ring. A leaf's hash is that of its keys and their
//! siblings, an inner node's that of its two children; equal roots end the comparison, and only
//! below nodes that differ is more sent.

use super::{Message, QuorumKv, Ticket, Timer, Versions};
use crate::kv::Text;
use seedfall_sim::{Context, NodeId, StableHasher};

/// Leaves of a tree: a power of two. Node 1 is the root, node `i` has the children `2 i` and
/// `2 i + 1`, and the leaves are `LEAVES .. 2 LEAVES`.
const LEAVES: usize = 16;
const ROOT: u16 = 1;

/// The hashes of a tree, by node; the first is unused.
type Tree = [u64; 2 * LEAVES];

/// The leaf of a key.
fn leaf_of(key: &Text) -> u16 {
    let place = StableHasher::hash(&key.as_str());
    (LEAVES + (place >> 60) as usize) as u16
}

/// The tree over these keys, which come in their order.
fn tree<'a>(keys: impl Iterator<Item = (&'a Text, &'a Versions)>) -> Tree {
    let mut tree = [0; 2 * LEAVES];
    for (key, versions) in keys {
        let leaf = &mut tree[leaf_of(key) as usize];
        *leaf = StableHasher::hash(&(*leaf, key, versions));
    }
    for node in (1..LEAVES).rev() {
        tree[node] = match (tree[2 * node], tree[2 * node + 1]) {
            (0, 0) => 0,
            children => StableHasher::hash(&children),
        };
    }
    tree
}

impl QuorumKv {
    /// Compares roots with the next of the others.
    pub(super) fn on_anti_entropy(&mut self, ctx: &mut Context<'_, Self>) {
        ctx.set_timer(Timer::AntiEntropy, self.config.anti_entropy_every);
        if self.nodes < 2 {
            return;
        }
        self.next_peer = (self.next_peer + 1) % self.nodes;
        if self.next_peer == self.id.index() {
            self.next_peer = (self.next_peer + 1) % self.nodes;
        }
        let peer = NodeId::new(self.next_peer as u16);
        let tree = tree(self.shared(peer));
        ctx.send(peer, Message::Tree { hashes: vec![(ROOT, tree[ROOT as usize])] });
    }

    /// Goes down where the trees differ; at a leaf, exchanges it.
    pub(super) fn on_tree(
        &mut self,
        from: NodeId,
        hashes: &[(u16, u64)],
        ctx: &mut Context<'_, Self>,
    ) {
        let own = tree(self.shared(from));
        let mut children = Vec::new();
        for (node, hash) in hashes {
            let at = *node as usize;
            if own.get(at).is_none_or(|own| own == hash) {
                continue;
            }
            if at < LEAVES {
                children.extend([2 * at, 2 * at + 1].map(|child| (child as u16, own[child])));
            } else {
                self.send_leaf(from, *node, ctx);
                ctx.send(from, Message::Leaf { leaf: *node });
            }
        }
        if !children.is_empty() {
            ctx.send(from, Message::Tree { hashes: children });
        }
    }

    /// The other side of the exchange.
    pub(super) fn on_leaf(&mut self, from: NodeId, leaf: u16, ctx: &mut Context<'_, Self>) {
        self.send_leaf(from, leaf, ctx);
    }

    fn send_leaf(&self, to: NodeId, leaf: u16, ctx: &mut Context<'_, Self>) {
        let keys = self.shared(to).filter(|(key, _)| leaf_of(key) == leaf);
        let keys: Vec<Text> = keys.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.send_store(to, to, Ticket::AntiEntropy, &key, ctx);
        }
    }

    /// What this node holds of the keys of which both are homes.
    fn shared(&self, other: NodeId) -> impl Iterator<Item = (&Text, &Versions)> {
        self.durable.store.iter().filter(move |(key, _)| self.homes(key).contains(&other))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Dot, Version, VersionVector};
    use super::*;
    use seedfall_sim::SortedMap;

    fn keys(count: u64) -> SortedMap<Text, Versions> {
        let version = |counter| Version {
            dot: Dot { node: NodeId::new(0), counter },
            past: VersionVector::default(),
            value: None,
        };
        (0..count).map(|key| (format!("{key}").into(), Versions::of([version(key + 1)]))).collect()
    }

    #[test]
    fn equal_contents_have_equal_trees_and_one_difference_shows_on_the_path_to_its_leaf() {
        let (one, mut other) = (keys(100), keys(100));
        assert_eq!(tree(one.iter()), tree(other.iter()));
        let key: Text = "17".into();
        other.remove(&key);
        let (one, other) = (tree(one.iter()), tree(other.iter()));
        let differ: Vec<usize> =
            (1..2 * LEAVES).filter(|node| one[*node] != other[*node]).collect();
        let mut path = vec![leaf_of(&key) as usize];
        while path[0] > 1 {
            path.insert(0, path[0] / 2);
        }
        assert_eq!(differ, path);
    }

    #[test]
    fn an_empty_store_has_an_empty_tree() {
        assert_eq!(tree(SortedMap::new().iter()), [0; 2 * LEAVES]);
    }
}
