//! What a fault can be made into that is less: shorter, narrower, weaker.

use crate::fault::Fault;
use crate::plan::{Aim, Entry, Frame};
use seedfall_net::{Disturbance, Partition};
use seedfall_sim::{Address, ClockFault, Duration, Lies, NodeId, Ppm};

/// What lasts less than this is not made shorter.
const SHORT: Duration = Duration::millis(20);
/// What is less likely than this, in a million, is not made rarer.
const RARE: Ppm = 20_000;

/// Entries that are less than this one, the least first. Whether they fit the plan's frame is not
/// asked.
pub(super) fn simpler(entry: &Entry, frame: &Frame) -> Vec<Entry> {
    let mut less = Vec::new();
    if entry.insists {
        less.push(Entry { insists: false, ..entry.clone() });
    }
    if entry.aim != Aim::Named {
        let aimed = NodeId::all(frame.nodes).map(|node| entry.fault.aimed_at(node));
        less.extend(aimed.map(|fault| Entry { fault, aim: Aim::Named, ..entry.clone() }));
    }
    if matches!(entry.aim, Aim::EveryLeader { .. }) {
        less.push(Entry { aim: Aim::Leader, ..entry.clone() });
    }
    if let Fault::Disk { node, .. } = entry.fault {
        // Halfway its node is crashed, so that it reads its disk: that alone may be what matters.
        let (fault, half) = (crash(node), entry.lasts.scale(1, 2));
        let (at, lasts) = (entry.at + half, entry.lasts - half);
        less.push(Entry { at, lasts, fault: fault.clone(), ..entry.clone() });
        less.push(Entry { fault, ..entry.clone() });
    }
    let weaker = weaker(&entry.fault, frame.nodes);
    less.extend(weaker.into_iter().map(|fault| Entry { fault, ..entry.clone() }));
    if entry.lasts >= SHORT {
        for eighths in [1, 2, 4, 6] {
            let lasts = entry.lasts.scale(eighths, 8);
            let late = entry.at + (entry.lasts - lasts);
            less.push(Entry { lasts, ..entry.clone() });
            less.push(Entry { at: late, lasts, ..entry.clone() });
        }
    }
    less
}

fn crash(node: NodeId) -> Fault {
    Fault::Crash { node, point: None, down: Duration::ZERO }
}

fn weaker(fault: &Fault, nodes: usize) -> Vec<Fault> {
    match fault {
        Fault::Wire(disturbance) => {
            disturbances(disturbance, nodes).into_iter().map(Fault::Wire).collect()
        }
        Fault::Crash { node, point: Some(_), .. } | Fault::Storm { node, .. } => vec![crash(*node)],
        Fault::PowerLoss { nodes } => match nodes.as_slice() {
            [only] => vec![crash(*only)],
            _ => without_one(nodes).map(|nodes| Fault::PowerLoss { nodes }).collect(),
        },
        Fault::Slow { node, each } => {
            half(*each).map(|each| Fault::Slow { node: *node, each }).into_iter().collect()
        }
        Fault::Stall { node, each } => {
            half(*each).map(|each| Fault::Stall { node: *node, each }).into_iter().collect()
        }
        Fault::Strobe { node, nanos, .. } => {
            vec![Fault::Clock { node: *node, wrong: ClockFault::Step { nanos: *nanos } }]
        }
        Fault::Lie { node, lies } => {
            fewer(*lies).map(|lies| Fault::Lie { node: *node, lies }).collect()
        }
        Fault::Crash { point: None, .. }
        | Fault::Twins { .. }
        | Fault::Pause { .. }
        | Fault::Stop { .. }
        | Fault::Wipe { .. }
        | Fault::Clock { .. }
        | Fault::Disk { .. } => Vec::new(),
    }
}

fn disturbances(disturbance: &Disturbance, nodes: usize) -> Vec<Disturbance> {
    let rarer = |ppm: Ppm| (ppm >= RARE).then_some(ppm / 2);
    match disturbance {
        Disturbance::Loss { ppm } => {
            rarer(*ppm).map(|ppm| Disturbance::Loss { ppm }).into_iter().collect()
        }
        Disturbance::Corrupt { ppm } => {
            rarer(*ppm).map(|ppm| Disturbance::Corrupt { ppm }).into_iter().collect()
        }
        Disturbance::Duplicate { ppm, within } => {
            let ppms = rarer(*ppm).map(|ppm| Disturbance::Duplicate { ppm, within: *within });
            let spans = half(*within).map(|within| Disturbance::Duplicate { ppm: *ppm, within });
            ppms.into_iter().chain(spans).collect()
        }
        Disturbance::Reorder { ppm, by } => {
            let ppms = rarer(*ppm).map(|ppm| Disturbance::Reorder { ppm, by: *by });
            let spans = half(*by).map(|by| Disturbance::Reorder { ppm: *ppm, by });
            ppms.into_iter().chain(spans).collect()
        }
        Disturbance::Burst { ppm, span } => {
            let ppms = rarer(*ppm).map(|ppm| Disturbance::Burst { ppm, span: *span });
            let spans = half(*span).map(|span| Disturbance::Burst { ppm: *ppm, span });
            [Disturbance::Loss { ppm: *ppm }].into_iter().chain(ppms).chain(spans).collect()
        }
        Disturbance::Latency { most, salt } => {
            half(*most).map(|most| Disturbance::Latency { most, salt: *salt }).into_iter().collect()
        }
        Disturbance::Partition(partition) => {
            narrower(partition, nodes).into_iter().map(Disturbance::Partition).collect()
        }
        Disturbance::Flap { partition, half } => {
            let steady = Disturbance::Partition(partition.clone());
            let flap = |partition| Disturbance::Flap { partition, half: *half };
            [steady].into_iter().chain(narrower(partition, nodes).into_iter().map(flap)).collect()
        }
        // One of its links in one direction is less.
        Disturbance::Swizzle { node } => NodeId::all(nodes)
            .filter(|other| other != node)
            .flat_map(|other| {
                let (node, other) = (Address::from(*node), Address::from(other));
                [(node, other), (other, node)].map(|(from, to)| Disturbance::Clog { from, to })
            })
            .collect(),
        Disturbance::Clog { .. } | Disturbance::Throttle { .. } => Vec::new(),
    }
}

/// Partitions that cut less.
fn narrower(partition: &Partition, nodes: usize) -> Vec<Partition> {
    let pairs = |side: &[Address]| -> Vec<Partition> {
        let inside = side.iter().filter_map(|address| address.node());
        let outside = |node: &NodeId| !side.contains(&(*node).into());
        inside
            .flat_map(|a| {
                NodeId::all(nodes).filter(outside).map(move |b| Partition::Partial { a, b })
            })
            .collect()
    };
    match partition {
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

/// The list without one of its members, for each; never empty.
fn without_one<T: Clone>(list: &[T]) -> impl Iterator<Item = Vec<T>> {
    let most = if list.len() > 1 { list.len() } else { 0 };
    (0..most).map(|out| [&list[..out], &list[out + 1..]].concat())
}

fn half(span: Duration) -> Option<Duration> {
    (span >= SHORT).then(|| span.scale(1, 2))
}

/// With one kind of lie less.
fn fewer(lies: Lies) -> impl Iterator<Item = Lies> {
    let less = [
        Lies { withhold: 0, ..lies },
        Lies { mutate: 0, ..lies },
        Lies { replay: 0, ..lies },
        Lies { delay: 0, ..lies },
        Lies { forge: 0, ..lies },
    ];
    less.into_iter().filter(move |less| *less != lies)
}
