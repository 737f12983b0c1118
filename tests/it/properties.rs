//! The engine's parts against models so simple that they are plainly right.

use proptest::collection::vec;
use proptest::prelude::*;
use seedfall::net::{Delay, Disturbance, LinkModel, Order, Partition, Wire};
use seedfall::sim::queue::{Handle, Queue};
use seedfall::sim::{Address, CrashImage, Draw, Duration, Journal, NodeId, Time};

/// One thing done to a queue.
#[derive(Clone, Debug)]
enum QueueOp {
    /// Push, so long after the last pop.
    Push(u64),
    /// Cancel one of the pending, by its place among them.
    Cancel(usize),
    /// Pop what is due so long after the last pop.
    Pop(u64),
}

fn span() -> impl Strategy<Value = u64> {
    // Ties, neighbours, every level of the wheel, and times near the end of the clock.
    prop_oneof![
        4 => 0_u64..4,
        4 => 0_u64..5_000,
        2 => (0_u32..63).prop_map(|bit| 1 << bit),
        1 => Just(u64::MAX / 4),
    ]
}

fn queue_op() -> impl Strategy<Value = QueueOp> {
    prop_oneof![
        5 => span().prop_map(QueueOp::Push),
        2 => any::<usize>().prop_map(QueueOp::Cancel),
        4 => span().prop_map(QueueOp::Pop),
    ]
}

proptest! {
    /// The wheel pops what a sorted list would, and a tie is a choice among exactly those that are
    /// due together.
    #[test]
    fn the_queue_is_a_sorted_list(
        ops in vec(queue_op(), 1..200),
        picks in vec(any::<usize>(), 200),
    ) {
        let mut queue: Queue<usize> = Queue::default();
        let mut model: Vec<(u64, usize, Handle)> = Vec::new();
        let mut now = 0_u64;
        for (id, op) in ops.into_iter().enumerate() {
            match op {
                QueueOp::Push(after) => {
                    let at = now.saturating_add(after);
                    let handle = queue.push(Time::from_nanos(at), id);
                    model.push((at, id, handle));
                }
                QueueOp::Cancel(which) => {
                    if !model.is_empty() {
                        let (_, id, handle) = model.remove(which % model.len());
                        prop_assert_eq!(queue.cancel(handle), Some(id));
                    }
                }
                QueueOp::Pop(within) => {
                    let limit = now.saturating_add(within);
                    let first = model.iter().map(|(at, ..)| *at).min().filter(|at| *at <= limit);
                    let tied = model.iter().filter(|(at, ..)| Some(*at) == first).count();
                    let mut offered = 1;
                    let popped = queue.pop(Time::from_nanos(limit), |at, _, count| {
                        offered = count;
                        assert_eq!(Some(at), first);
                        picks[id] % count
                    });
                    prop_assert_eq!(popped.map(|(at, _)| at.as_nanos()), first);
                    if let Some((at, id)) = popped {
                        prop_assert_eq!(offered, tied);
                        let place = model.iter().position(|(_, other, _)| *other == id);
                        let (model_at, ..) = model.remove(place.expect("pending in the model"));
                        prop_assert_eq!(model_at, at.as_nanos());
                        now = model_at;
                    }
                }
            }
            prop_assert_eq!(queue.len(), model.len());
        }
    }

    /// What a crash leaves of a journal is a prefix that holds everything synced, and the image
    /// says which.
    #[test]
    fn a_crash_leaves_a_prefix_with_everything_synced(
        steps in vec(prop_oneof![3 => Just(false), 1 => Just(true)], 0..60),
        words in any::<[u32; 4]>(),
    ) {
        let mut journal: Journal<usize> = Journal::default();
        let (mut appended, mut synced) = (Vec::new(), 0);
        for (id, sync) in steps.into_iter().enumerate() {
            if sync {
                synced = appended.len();
                journal.sync();
            } else {
                appended.push(id);
                journal.append(id);
            }
        }
        let CrashImage { kept, lost, torn } = journal.crash(Draw::from_words(words));
        let left = journal.records();
        prop_assert!(appended.starts_with(left), "a prefix");
        prop_assert!(synced <= left.len(), "with everything synced");
        prop_assert_eq!(left.len(), synced + kept as usize);
        prop_assert_eq!(appended.len(), left.len() + lost as usize);
        prop_assert!(lost > 0 || !torn, "only a record that is lost was torn");
        prop_assert_eq!(journal.synced(), left.len(), "what was found on the disk stays there");
        prop_assert_eq!(journal.crash(Draw::from_words(words)), CrashImage::default());
    }

    /// A wire under overlapping partitions cuts a link exactly if one of them does.
    #[test]
    fn overlapping_partitions_are_a_matrix_of_counts(
        nodes in 1_usize..8,
        steps in vec((0_usize..6, any::<bool>()), 1..30),
        shapes in vec((0_u8..4, any::<u8>(), 0_u16..8, 0_u16..8), 6),
    ) {
        let link = LinkModel {
            delay: Delay::Fixed(Duration::ZERO), loss: 0, duplicate: 0, order: Order::Free,
        };
        let node = |index: u16| NodeId::new(index % nodes as u16);
        let partitions: Vec<Partition> = shapes.into_iter().map(|(shape, mask, a, b)| {
            let side = NodeId::all(nodes)
                .filter(|one| mask >> one.index() & 1 == 1)
                .map(Address::from)
                .collect();
            match shape {
                0 => Partition::TwoWay { side },
                1 => Partition::OneWay { from: side },
                2 => Partition::Partial { a: node(a), b: node(b) },
                _ => Partition::Ring,
            }
        }).collect();
        let mut wire = Wire::new(nodes, 0, link);
        let mut active = vec![0; partitions.len()];
        for (which, begin) in steps {
            let disturbance = Disturbance::Partition(partitions[which].clone());
            if begin {
                active[which] += 1;
                wire.begin(&disturbance, Time::MAX);
            } else if active[which] > 0 {
                active[which] -= 1;
                wire.end(&disturbance);
            }
            for from in NodeId::all(nodes).map(Address::from) {
                for to in NodeId::all(nodes).map(Address::from) {
                    let cut = partitions.iter().zip(&active)
                        .any(|(one, count)| *count > 0 && one.cuts(from, to, nodes));
                    prop_assert_eq!(wire.is_cut(from, to), cut);
                }
            }
        }
    }
}
