//! Shapes of partitions: what the classes that cut links have in common.

use super::{list, without_one};
use crate::class::Names;
use seedfall_net::Partition;
use seedfall_sim::{Address, NodeId};

/// A shape in words.
pub(super) fn words(shape: &Partition) -> String {
    match shape {
        Partition::TwoWay { side } => format!("partition {} | rest", list(side)),
        Partition::OneWay { from } => format!("partition {} -x> rest", list(from)),
        Partition::Partial { a, b } => format!("partition {a} | {b} alone"),
        Partition::Bridge { bridge, side } => {
            format!("partition {} | rest, but for the bridge {bridge}", list(side))
        }
        Partition::Ring => "partition in a ring of majorities".to_owned(),
    }
}

/// Everybody whom a shape names.
pub(super) fn names(shape: &Partition) -> Vec<Address> {
    let all = |nodes: &[NodeId]| nodes.iter().map(|node| (*node).into()).collect();
    match shape {
        Partition::TwoWay { side } | Partition::OneWay { from: side } => side.clone(),
        Partition::Partial { a, b } => all(&[*a, *b]),
        Partition::Bridge { bridge, side } => [all(&[*bridge]), all(side)].concat(),
        Partition::Ring => Vec::new(),
    }
}

/// Has a node in the place of the node that a shape names first.
pub(super) fn aim_at(shape: &mut Partition, node: NodeId) {
    match shape {
        Partition::TwoWay { side } | Partition::OneWay { from: side } => {
            side.retain(|address| *address != node.into());
            match side.first_mut() {
                Some(first) => *first = node.into(),
                None => side.push(node.into()),
            }
        }
        Partition::Partial { a, b } if *b == node => *b = std::mem::replace(a, node),
        Partition::Partial { a, .. } => *a = node,
        Partition::Bridge { bridge, side } => {
            side.retain(|other| *other != node);
            *bridge = node;
        }
        Partition::Ring => {}
    }
}

/// Under these names.
pub(super) fn rename(shape: &mut Partition, names: &dyn Names) -> Option<()> {
    match shape {
        Partition::TwoWay { side } | Partition::OneWay { from: side } => {
            *side = side.iter().filter_map(|one| names.address(*one)).collect();
            (!side.is_empty()).then_some(())?;
        }
        Partition::Partial { a, b } => (*a, *b) = (names.node(*a)?, names.node(*b)?),
        Partition::Bridge { bridge, side } => {
            (*bridge, *side) = (names.node(*bridge)?, names.nodes(side)?);
        }
        Partition::Ring => {}
    }
    Some(())
}

/// Shapes that cut less.
pub(super) fn narrower(shape: &Partition, nodes: usize) -> Vec<Partition> {
    let pairs = |side: &[Address]| -> Vec<Partition> {
        let inside = side.iter().filter_map(|address| address.node());
        let outside = |node: &NodeId| !side.contains(&(*node).into());
        inside
            .flat_map(|a| {
                NodeId::all(nodes).filter(outside).map(move |b| Partition::Partial { a, b })
            })
            .collect()
    };
    match shape {
        Partition::TwoWay { side } => {
            let smaller = without_one(side).map(|side| Partition::TwoWay { side });
            let one_way = Partition::OneWay { from: side.clone() };
            // A cut between one node and the only other one is what it is.
            let pairs = if nodes > 2 { pairs(side) } else { Vec::new() };
            pairs.into_iter().chain([one_way]).chain(smaller).collect()
        }
        Partition::OneWay { from } => {
            without_one(from).map(|from| Partition::OneWay { from }).collect()
        }
        Partition::Bridge { .. } | Partition::Partial { .. } | Partition::Ring => Vec::new(),
    }
}
