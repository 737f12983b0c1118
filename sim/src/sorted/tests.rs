//! Sorted vectors against the trees of the standard library.

use super::{SortedMap, SortedSet};
use crate::hash::StableHasher;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

/// One change of a map.
#[derive(Clone, Debug)]
enum Change {
    Insert(u8, u32),
    Remove(u8),
    Add(u8, u32),
    Keep(u8),
    SplitOff(u8),
    PopFirst,
    PopLast,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let key = 0_u8..20;
    let change = prop_oneof![
        6 => (key.clone(), any::<u32>()).prop_map(|(key, value)| Change::Insert(key, value)),
        3 => key.clone().prop_map(Change::Remove),
        3 => (key.clone(), 0_u32..9).prop_map(|(key, more)| Change::Add(key, more)),
        1 => (2_u8..5).prop_map(Change::Keep),
        1 => key.prop_map(Change::SplitOff),
        1 => Just(Change::PopFirst),
        1 => Just(Change::PopLast),
    ];
    prop::collection::vec(change, 0..60)
}

fn hashed(value: &impl Hash) -> u64 {
    let mut hasher = StableHasher::default();
    value.hash(&mut hasher);
    hasher.finish()
}

proptest! {
    #[test]
    fn keys_in_step_are_found_in_any_order(keys in prop::collection::vec(0_u8..20, 0..40)) {
        let (mut map, mut tree, mut at) = (SortedMap::new(), BTreeMap::new(), 0);
        for (place, key) in keys.iter().enumerate() {
            let one = *map.entry_in_step(*key, &mut at).or_insert(place);
            prop_assert_eq!(one, *tree.entry(*key).or_insert(place));
        }
        prop_assert!(map.iter().eq(tree.iter()));
        let mut at = 0;
        for key in keys.iter().map(|key| key / 2 * 3) {
            prop_assert_eq!(map.get_in_step(&key, &mut at), tree.get(&key));
        }
    }

    #[test]
    fn a_sorted_map_does_what_a_tree_does(changes in changes(), from in 0_u8..20, to in 0_u8..20) {
        let (mut map, mut tree) = (SortedMap::new(), BTreeMap::new());
        for change in changes {
            match change {
                Change::Insert(key, value) => {
                    prop_assert_eq!(map.insert(key, value), tree.insert(key, value));
                }
                Change::Remove(key) => prop_assert_eq!(map.remove(&key), tree.remove(&key)),
                Change::Add(key, more) => {
                    let one = map.entry(key).and_modify(|value| *value ^= 1).or_insert(7);
                    let other = tree.entry(key).and_modify(|value| *value ^= 1).or_insert(7);
                    prop_assert_eq!(&one, &other);
                    (*one, *other) = (one.wrapping_add(more), other.wrapping_add(more));
                }
                Change::Keep(every) => {
                    map.retain(|key, _| key % every == 0);
                    tree.retain(|key, _| key % every == 0);
                }
                Change::SplitOff(key) => {
                    let (one, other) = (map.split_off(&key), tree.split_off(&key));
                    prop_assert!(one.into_iter().eq(other));
                }
                Change::PopFirst => prop_assert_eq!(map.pop_first(), tree.pop_first()),
                Change::PopLast => prop_assert_eq!(map.pop_last(), tree.pop_last()),
            }
            prop_assert!(map.iter().eq(tree.iter()));
            prop_assert!(map.iter().rev().eq(tree.iter().rev()));
        }
        prop_assert_eq!(hashed(&map), hashed(&tree));
        prop_assert_eq!(format!("{map:?} {:?}", map.keys()), format!("{tree:?} {:?}", tree.keys()));
        prop_assert_eq!(map.first_key_value(), tree.first_key_value());
        prop_assert_eq!(map.last_key_value(), tree.last_key_value());
        if from <= to {
            prop_assert!(map.range(from..to).eq(tree.range(from..to)));
            prop_assert!(map.range(from..=to).eq(tree.range(from..=to)));
            prop_assert!(map.range(..to).eq(tree.range(..to)));
        }
        for key in 0..20 {
            prop_assert_eq!(map.get(&key), tree.get(&key));
        }
    }

    #[test]
    fn a_sorted_set_does_what_a_tree_does(
        these in prop::collection::vec(0_u8..20, 0..30),
        those in prop::collection::vec(0_u8..20, 0..30),
        gone in prop::collection::vec(0_u8..20, 0..10),
    ) {
        let (mut set, mut tree) = (SortedSet::new(), BTreeSet::new());
        for one in these {
            prop_assert_eq!(set.insert(one), tree.insert(one));
        }
        for one in gone {
            prop_assert_eq!(set.remove(&one), tree.remove(&one));
            prop_assert_eq!(set.contains(&one), tree.contains(&one));
        }
        let other: SortedSet<u8> = those.iter().copied().collect();
        let other_tree: BTreeSet<u8> = those.into_iter().collect();
        prop_assert!(set.iter().eq(&tree));
        prop_assert!(set.intersection(&other).eq(tree.intersection(&other_tree)));
        prop_assert!(set.difference(&other).eq(tree.difference(&other_tree)));
        prop_assert!((&set - &other).iter().eq(&(&tree - &other_tree)));
        prop_assert_eq!(set.is_subset(&other), tree.is_subset(&other_tree));
        prop_assert_eq!(set.is_disjoint(&other), tree.is_disjoint(&other_tree));
        prop_assert_eq!(hashed(&set), hashed(&tree));
        prop_assert_eq!(format!("{set:?}"), format!("{tree:?}"));
        prop_assert!(set.range(5..15).eq(tree.range(5..15)));
        prop_assert_eq!((set.first(), set.last()), (tree.first(), tree.last()));
        prop_assert_eq!(set.pop_first(), tree.pop_first());
    }
}

#[test]
fn a_range_that_ends_before_it_begins_is_empty() {
    let map = SortedMap::from([(1, 'a'), (2, 'b'), (3, 'c')]);
    let (from, to) = (3, 1);
    assert_eq!(map.range(from..to).count(), 0);
}

#[test]
fn of_a_key_that_comes_twice_the_last_value_counts() {
    let map: SortedMap<u8, char> = [(2, 'a'), (1, 'b'), (2, 'c')].into_iter().collect();
    assert!(map.into_iter().eq([(1, 'b'), (2, 'c')]));
}

#[cfg(feature = "serde")]
#[test]
fn they_are_written_as_trees_are_and_read_in_any_order() {
    let pairs = [(2, 'b'), (1, 'a')];
    let map = serde_json::to_string(&SortedMap::from(pairs)).expect("JSON");
    assert_eq!(map, serde_json::to_string(&BTreeMap::from(pairs)).expect("JSON"));
    let read: SortedMap<u8, char> = serde_json::from_str(r#"{"2":"b","1":"a"}"#).expect("a map");
    assert!(read.into_iter().eq([(1, 'a'), (2, 'b')]));
    assert_eq!(serde_json::to_string(&SortedSet::from([3, 1])).expect("JSON"), "[1,3]");
    let read: SortedSet<u8> = serde_json::from_str("[3,1,3]").expect("a set");
    assert!(read.into_iter().eq([1, 3]));
}
