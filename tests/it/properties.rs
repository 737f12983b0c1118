//! The engine's parts against models so simple that they are plainly right.

use proptest::collection::vec;
use proptest::prelude::*;
use seedfall::net::{Delay, Disturbance, LinkModel, Order, Partition, Wire};
use seedfall::sim::queue::{Handle, Queue};
use seedfall::sim::{
    Address, CrashImage, Draw, Draws, Duration, Fate, Journal, Network, NodeId, Seed, Site, Time,
};

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
                        let (at, id, handle) = model.remove(which % model.len());
                        let found = queue.find(Time::from_nanos(at), |event| *event == id);
                        prop_assert_eq!(found, Some(handle));
                        prop_assert_eq!(queue.cancel(handle), Some(id));
                        prop_assert_eq!(queue.find(Time::from_nanos(at), |e| *e == id), None);
                    }
                }
                QueueOp::Pop(within) => {
                    let limit = now.saturating_add(within);
                    let first = model.iter().map(|(at, ..)| *at).min().filter(|at| *at <= limit);
                    let tied = model.iter().filter(|(at, ..)| Some(*at) == first).count();
                    let mut offered = 1;
                    let popped = queue.pop(Time::from_nanos(limit), &mut |at, _, count| {
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
                prop_assert_eq!(wire.end(&disturbance, Time::MAX, Time::ZERO), []);
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

    /// Whatever jams a link and ends when it likes: a message waits as long as something jams its
    /// link, and no longer; on an ordered link it stays in its place.
    #[test]
    fn a_message_waits_as_long_as_its_link_is_jammed(
        ordered in any::<bool>(),
        steps in vec((0_usize..8, 0_u64..20, 1_u64..60), 1..60),
    ) {
        let order = if ordered { Order::Fifo } else { Order::Free };
        let delay = Delay::Uniform { min: Duration::millis(1), max: Duration::millis(5) };
        let mut wire = Wire::new(2, 0, LinkModel { delay, loss: 0, duplicate: 0, order });
        let mut draws = Draws::new(Seed(steps.len() as u64), 2, 0);
        let [from, to] = [NodeId::new(0), NodeId::new(1)].map(Address::from);
        let kinds = [
            Disturbance::Clog { from, to },
            Disturbance::Swizzle { node: NodeId::new(0) },
            Disturbance::Swizzle { node: NodeId::new(1) },
        ];
        // When each message was sent and arrives; and the jams in force.
        let mut messages: Vec<(Time, Time)> = Vec::new();
        let mut jams: Vec<(usize, Time)> = Vec::new();
        let mut now = Time::ZERO;
        for (what, wait, lasts) in steps {
            now += Duration::millis(wait);
            // What ends in time is ended then.
            jams.retain(|(kind, until)| {
                let is_over = *until <= now;
                if is_over {
                    assert_eq!(wire.end(&kinds[*kind], *until, *until), []);
                }
                !is_over
            });
            match what {
                kind @ 0..3 => {
                    let until = now + Duration::millis(lasts);
                    wire.begin(&kinds[kind], until);
                    jams.push((kind, until));
                }
                3 | 4 if !jams.is_empty() => {
                    let (kind, until) = jams.remove(lasts as usize % jams.len());
                    for freed in wire.end(&kinds[kind], until, now) {
                        let (_, arrives) = &mut messages[freed.index as usize];
                        prop_assert_eq!((freed.from, freed.to, freed.was), (from, to, *arrives));
                        prop_assert!(freed.arrives < freed.was);
                        *arrives = freed.arrives;
                    }
                }
                _ => {
                    let draw = draws.draw(Site::Link(from, to));
                    let Fate::Deliver(span) = wire.fate(now, from, to, draw) else {
                        unreachable!("nothing is lost or doubled");
                    };
                    messages.push((now, now + span));
                    let open = jams.iter().map(|(_, until)| *until).max().unwrap_or(now);
                    prop_assert!(open < now + span, "it arrived before its link was open");
                }
            }
            let jammed_until = jams.iter().map(|(_, until)| *until).max().unwrap_or(now);
            // At most five milliseconds, and a nanosecond for each that it must not overtake.
            let latest = jammed_until + Duration::millis(5) + Duration::nanos(60);
            let late = messages.iter().find(|(_, arrives)| latest < *arrives);
            prop_assert_eq!(late, None, "now {:?}, jammed until {:?}", now, jammed_until);
            if ordered {
                let arrivals = messages.iter().map(|(_, arrives)| arrives);
                prop_assert!(arrivals.is_sorted_by(|one, next| one < next), "{:?}", messages);
            }
        }
        let end = now + Duration::secs(1);
        prop_assert!(wire.is_undisturbed(end));
    }
}
