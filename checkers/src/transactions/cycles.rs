//! From components to short, named cycles.
//!
//! Whether a forbidden cycle exists is decided exactly, by components. Which one to show is a
//! search for the shortest of each kind, bounded by a count of edges looked at; when the count runs
//! out, the shortest found so far is shown, and says that it may not be the shortest.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::transactions::graph::{
    Components, Dependency, Graph, Mask, Masked, NoAdjacent, PASS, PROCESS, RW, TIME, WR, WW,
    components,
};
use crate::transactions::report::{Anomaly, Level, Pattern, Scope};

/// A cycle: transactions and the kind of edge to the next; the last leads to the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cycle {
    pub(crate) transactions: Vec<u32>,
    pub(crate) kinds: Vec<u32>,
    pub(crate) is_shortest: bool,
}

const NOTHING: Mask = Mask::of(&[]);
const WRITES: Mask = Mask::of(&[WW]);
const READS: Mask = Mask::of(&[WW, WR]);
const DATA: Mask = Mask::of(&[WW, WR, RW]);

pub(crate) const fn scope_mask(scope: Scope) -> Mask {
    match scope {
        Scope::Data => NOTHING,
        Scope::Process => Mask::of(&[PROCESS]),
        Scope::RealTime => Mask::of(&[PROCESS, TIME]),
    }
}

/// Which cycles are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Only edges of the mask; the first edge of the given kind.
    Starting(u32, Mask),
    /// At least two read-write edges, no two adjacent.
    Nonadjacent,
    /// At least two adjacent read-write edges.
    Adjacent,
    /// Any cycle.
    Any,
    /// Any cycle without adjacent read-write edges.
    AnyNonadjacent,
}

/// Bits of a path's state: the last edge was a read-write edge.
const AFTER_RW: u8 = 1;
/// A second read-write edge was taken.
const SECOND: u8 = 2;

impl Shape {
    /// The state after the first edge, if the shape may start with it.
    fn start(self, kind: u32) -> Option<u8> {
        match self {
            Self::Starting(first, _) => (kind == first).then_some(0),
            Self::Nonadjacent | Self::Adjacent => (kind == RW).then_some(AFTER_RW),
            Self::Any => Some(0),
            Self::AnyNonadjacent => (kind != RW).then_some(0),
        }
    }

    fn step(self, state: u8, kind: u32) -> Option<u8> {
        match self {
            Self::Starting(_, mask) => mask.has(kind).then_some(0),
            Self::Any => Some(0),
            Self::Nonadjacent | Self::AnyNonadjacent => match kind {
                PASS => Some(state),
                RW if state & AFTER_RW != 0 => None,
                RW => Some(AFTER_RW | SECOND),
                _ => Some(state & SECOND),
            },
            Self::Adjacent => match kind {
                PASS => Some(state),
                RW => Some(0),
                _ => (state == 0).then_some(0),
            },
        }
    }

    fn accepts(self, state: u8) -> bool {
        match self {
            // `AnyNonadjacent` starts with another edge than a read-write edge: both ends are fine.
            Self::Starting(..) | Self::Any | Self::AnyNonadjacent => true,
            Self::Nonadjacent => state == SECOND,
            Self::Adjacent => state == 0,
        }
    }
}

/// A search over one graph, with one allowance of edges for all its cycles.
pub(crate) struct Cycles<'g> {
    graph: &'g Graph,
    allowance: u64,
    pub(crate) visited: u64,
    /// Cycles found, each with its kind, and how many components hold one.
    pub(crate) found: Vec<(Anomaly, Scope, Cycle)>,
    pub(crate) counts: [u64; Anomaly::COUNT],
    pub(crate) components: u32,
}

impl<'g> Cycles<'g> {
    /// `allowance`: how many edges the search for short cycles may look at.
    pub(crate) fn new(graph: &'g Graph, allowance: u64) -> Self {
        let counts = [0; Anomaly::COUNT];
        Self { graph, allowance, visited: 0, found: Vec::new(), counts, components: 0 }
    }

    /// Finds a witness of every kind of cycle that the level forbids.
    pub(crate) fn search(&mut self, level: Level) {
        let widest = match level {
            Level::ReadUncommitted => WRITES,
            Level::ReadCommitted => READS,
            Level::SnapshotIsolation
            | Level::StrongSessionSnapshotIsolation
            | Level::StrongSnapshotIsolation
            | Level::Serializable
            | Level::StrongSessionSerializable
            | Level::StrictSerializable => DATA,
        };
        // One pass that finds nothing is the whole check of a correct history.
        let all = self.components(widest.and(scope_mask(level.scope())), None);
        self.components = all.members.len() as u32;
        if all.is_empty() {
            return;
        }
        for scope in [Scope::Data, Scope::Process, Scope::RealTime] {
            if scope <= level.scope() {
                self.scope(level, scope, &all);
            }
        }
    }

    fn components(&self, mask: Mask, within: Option<&Components>) -> Components {
        components(&Masked { graph: self.graph, mask, within })
    }

    fn scope(&mut self, level: Level, scope: Scope, all: &Components) {
        let extra = scope_mask(scope);
        let writes = WRITES.and(extra);
        self.kind(scope, Anomaly::G0, writes, &[Shape::Starting(WW, writes)], all);
        if level == Level::ReadUncommitted {
            return;
        }
        let reads = READS.and(extra);
        self.kind(scope, Anomaly::G1c, reads, &[Shape::Starting(WR, reads)], all);
        if level == Level::ReadCommitted {
            return;
        }
        let mask = DATA.and(extra);
        let view = Masked { graph: self.graph, mask, within: Some(all) };
        let snapshot = components(&NoAdjacent(view)).halved(self.graph.nodes());
        if !snapshot.is_empty() {
            let shapes = [Shape::Starting(RW, reads)];
            self.members(scope, Anomaly::GSingle, mask, &shapes, &snapshot, all);
            let shapes = [Shape::Nonadjacent];
            self.members(scope, Anomaly::GNonadjacent, mask, &shapes, &snapshot, all);
            if !self.has_snapshot_cycle(scope) {
                self.renew();
                let shapes = [Shape::AnyNonadjacent];
                self.members(scope, Anomaly::GNonadjacent, mask, &shapes, &snapshot, all);
            }
            if !self.has_snapshot_cycle(scope) {
                self.admit(scope, Anomaly::GNonadjacent, &snapshot);
            }
        }
        if Level::Serializable <= level {
            self.kind(scope, Anomaly::G2Item, mask, &[Shape::Adjacent], all);
            if !self.found.iter().any(|(_, found, _)| *found <= scope) {
                self.renew();
                self.kind(scope, Anomaly::G2Item, mask, &[Shape::Any], all);
            }
        }
    }

    /// Allows as much again, for a search that is sure to find something.
    fn renew(&mut self) {
        self.allowance = self.visited.saturating_add(self.allowance);
    }

    /// A cycle is known to exist in the first component and could not be singled out: shows the
    /// component's first transactions instead, without edges.
    fn admit(&mut self, scope: Scope, anomaly: Anomaly, parts: &Components) {
        let Some(members) = parts.members.first() else { return };
        let transactions =
            members.iter().copied().filter(|node| self.graph.is_transaction(*node)).take(8);
        let (transactions, kinds) = (transactions.collect(), Vec::new());
        self.counts[anomaly as usize] += 1;
        self.found.push((anomaly, scope, Cycle { transactions, kinds, is_shortest: false }));
    }

    fn has_snapshot_cycle(&self, scope: Scope) -> bool {
        self.found.iter().any(|(kind, found, _)| *kind < Anomaly::G2Item && *found <= scope)
    }

    fn kind(
        &mut self,
        scope: Scope,
        anomaly: Anomaly,
        mask: Mask,
        shapes: &[Shape],
        all: &Components,
    ) {
        let parts = self.components(mask, Some(all));
        self.members(scope, anomaly, mask, shapes, &parts, &parts);
    }

    /// Looks in every component for one short cycle of each shape.
    fn members(
        &mut self,
        scope: Scope,
        anomaly: Anomaly,
        mask: Mask,
        shapes: &[Shape],
        parts: &Components,
        within: &Components,
    ) {
        // What was found with fewer orders is not reported again with more.
        if self.found.iter().any(|(kind, found, _)| *kind == anomaly && *found < scope) {
            return;
        }
        let mut listed = 0;
        for members in &parts.members {
            for &shape in shapes {
                let Some(cycle) = self.shortest(members, shape, mask, within) else { continue };
                let (anomaly, scope) = classify(&cycle.kinds);
                self.counts[anomaly as usize] += 1;
                if listed < crate::transactions::report::Report::FINDINGS_MAX {
                    self.found.push((anomaly, scope, cycle));
                    listed += 1;
                }
            }
        }
    }

    /// The shortest cycle of a shape through the given members.
    fn shortest(
        &mut self,
        members: &[u32],
        shape: Shape,
        mask: Mask,
        within: &Components,
    ) -> Option<Cycle> {
        let mut best: Option<Cycle> = None;
        // One whole search is always allowed: in most shapes it is sure to end with a cycle.
        let mut has_searched = false;
        for &from in members {
            if !self.graph.is_transaction(from) {
                continue;
            }
            let limit = best.as_ref().map_or(u32::MAX, |best| best.kinds.len() as u32 - 1);
            if limit < 2 {
                break;
            }
            if has_searched && self.allowance <= self.visited {
                if let Some(best) = &mut best {
                    best.is_shortest = false;
                }
                break;
            }
            let before = self.visited + u64::from(self.graph.row(from).len() as u32);
            best = self.around(from, shape, mask, within, limit).or(best);
            has_searched |= before < self.visited;
        }
        best
    }

    /// The shortest cycle of a shape that starts at `from`, of at most `limit` steps.
    fn around(
        &mut self,
        from: u32,
        shape: Shape,
        mask: Mask,
        within: &Components,
        limit: u32,
    ) -> Option<Cycle> {
        let part = within.of(from);
        let mut walk = Walk::default();
        for (head, kind) in self.graph.successors(from) {
            self.visited += 1;
            if mask.has(kind)
                && within.of(head) == part
                && let Some(state) = shape.start(kind)
            {
                walk.reach((head, state), 1, (from, u8::MAX), kind);
            }
        }
        while let Some(((node, state), steps)) = walk.queue.pop_front() {
            if walk.came.get(&(node, state)).is_none_or(|came| came.steps != steps) {
                continue; // A shorter way here was found after this one was queued.
            }
            if node == from {
                if shape.accepts(state)
                    && let Some(cycle) = walk.cycle(self.graph, (node, state), from)
                {
                    return Some(cycle);
                }
                continue;
            }
            for (head, kind) in self.graph.successors(node) {
                self.visited += 1;
                let cost = u32::from(kind != PASS);
                if steps + cost <= limit
                    && mask.has(kind)
                    && within.of(head) == part
                    && let Some(next) = shape.step(state, kind)
                {
                    walk.reach((head, next), steps + cost, (node, state), kind);
                }
            }
        }
        None
    }
}

/// A shortest cycle through the first member that lies on one.
pub(crate) fn any_cycle(
    graph: &Graph,
    members: &[u32],
    mask: Mask,
    within: &Components,
) -> Option<Cycle> {
    let mut cycles = Cycles::new(graph, u64::MAX);
    members.iter().find_map(|from| cycles.around(*from, Shape::Any, mask, within, u32::MAX))
}

/// Breadth-first search in which junctions cost nothing.
#[derive(Default)]
struct Walk {
    queue: VecDeque<((u32, u8), u32)>,
    came: FxHashMap<(u32, u8), Came>,
}

struct Came {
    steps: u32,
    from: (u32, u8),
    kind: u32,
}

impl Walk {
    fn reach(&mut self, node: (u32, u8), steps: u32, from: (u32, u8), kind: u32) {
        if self.came.get(&node).is_some_and(|came| came.steps <= steps) {
            return;
        }
        self.came.insert(node, Came { steps, from, kind });
        if kind == PASS {
            self.queue.push_front((node, steps));
        } else {
            self.queue.push_back((node, steps));
        }
    }

    /// The way back to the start; `None` if it meets a transaction twice (then a shorter cycle of
    /// some kind exists, and is found from elsewhere).
    fn cycle(&self, graph: &Graph, end: (u32, u8), start: u32) -> Option<Cycle> {
        let mut transactions = Vec::new();
        let mut kinds = Vec::new();
        let mut at = end;
        loop {
            let came = self.came.get(&at)?;
            if came.kind != PASS {
                kinds.push(came.kind);
            }
            at = came.from;
            if graph.is_transaction(at.0) {
                transactions.push(at.0);
            }
            if at == (start, u8::MAX) {
                break;
            }
        }
        transactions.reverse();
        kinds.reverse();
        let mut sorted = transactions.clone();
        sorted.sort_unstable();
        sorted.dedup();
        (sorted.len() == transactions.len()).then_some(Cycle {
            transactions,
            kinds,
            is_shortest: true,
        })
    }
}

/// Names a cycle by its edges alone.
pub(crate) fn classify(kinds: &[u32]) -> (Anomaly, Scope) {
    let has = |kind| kinds.contains(&kind);
    let scope = if has(TIME) {
        Scope::RealTime
    } else if has(PROCESS) {
        Scope::Process
    } else {
        Scope::Data
    };
    let reads = kinds.iter().filter(|kind| **kind == RW).count();
    let adjacent = (0..kinds.len())
        .any(|at| kinds[at] == RW && kinds[(at + 1) % kinds.len()] == RW && 1 < kinds.len());
    let anomaly = match reads {
        0 if has(WR) => Anomaly::G1c,
        0 => Anomaly::G0,
        1 => Anomaly::GSingle,
        _ if adjacent => Anomaly::G2Item,
        _ => Anomaly::GNonadjacent,
    };
    (anomaly, scope)
}

/// The textbook shape of a cycle.
pub(crate) fn pattern(kinds: &[u32]) -> Option<Pattern> {
    let turned = |shape: &[u32]| {
        kinds.len() == shape.len()
            && (0..kinds.len())
                .any(|by| (0..kinds.len()).all(|at| kinds[(at + by) % kinds.len()] == shape[at]))
    };
    if turned(&[RW, RW]) {
        Some(Pattern::WriteSkew)
    } else if turned(&[WR, RW, WR, RW]) {
        Some(Pattern::LongFork)
    } else if turned(&[WR, RW]) {
        Some(Pattern::ReadSkew)
    } else {
        None
    }
}

pub(crate) fn dependency(kind: u32) -> Dependency {
    match kind {
        WW => Dependency::WriteWrite,
        WR => Dependency::WriteRead,
        RW => Dependency::ReadWrite,
        PROCESS => Dependency::Process,
        _ => Dependency::RealTime,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transactions::generate::Random;
    use crate::transactions::graph::Edges;
    use crate::transactions::report::Report;

    const NODES: u32 = 5;

    /// Every simple cycle of a small graph, as kinds of its edges.
    fn all_cycles(rows: &[(u32, u32, u32)]) -> Vec<Vec<u32>> {
        fn extend(
            rows: &[(u32, u32, u32)],
            path: &mut Vec<u32>,
            kinds: &mut Vec<u32>,
            found: &mut Vec<Vec<u32>>,
        ) {
            let (start, last) = (path[0], path[path.len() - 1]);
            for &(from, to, kind) in rows.iter().filter(|row| row.0 == last) {
                kinds.push(kind);
                if to == start {
                    found.push(kinds.clone());
                } else if start < to && !path.contains(&to) {
                    path.push(to);
                    extend(rows, path, kinds, found);
                    path.pop();
                }
                kinds.pop();
                debug_assert!(from == last);
            }
        }
        let mut found = Vec::new();
        for start in 0..NODES {
            extend(rows, &mut vec![start], &mut Vec::new(), &mut found);
        }
        found
    }

    #[test]
    fn components_and_searches_agree_with_all_simple_cycles() {
        let mut random = Random::new(21);
        let mut violated = 0;
        for _ in 0..4_000 {
            let mut rows = Vec::new();
            let mut edges = Edges::new(NODES);
            for _ in 0..2 + random.below(9) {
                let (from, to) = (random.below(5) as u32, random.below(5) as u32);
                let kind = random.below(5) as u32;
                if from != to {
                    edges.push(from, to, kind);
                    rows.push((from, to, kind));
                }
            }
            let graph = edges.build();
            let named: Vec<(Anomaly, Scope, usize)> = all_cycles(&rows)
                .into_iter()
                .map(|kinds| (classify(&kinds), kinds.len()))
                .map(|((anomaly, scope), len)| (anomaly, scope, len))
                .collect();
            for (level, allowance) in
                Level::ALL.into_iter().flat_map(|level| [(level, 0), (level, u64::MAX)])
            {
                let mut cycles = Cycles::new(&graph, allowance);
                cycles.search(level);
                let forbidden = |(a, s, _): &&(Anomaly, Scope, usize)| level.forbids(*a, *s);
                let expected = named.iter().any(|cycle| forbidden(&cycle));
                let found = cycles.found.iter().any(|(a, s, _)| level.forbids(*a, *s));
                assert_eq!(found, expected, "{level:?} {rows:?} {:?}", cycles.found);
                violated += u32::from(found);
                for (anomaly, scope, cycle) in &cycles.found {
                    if cycle.kinds.is_empty() {
                        assert_eq!(allowance, 0);
                        continue;
                    }
                    assert_eq!((*anomaly, *scope), classify(&cycle.kinds));
                    let same = named.iter().filter(|(a, s, _)| (a, s) == (anomaly, scope));
                    let shortest = same.map(|(_, _, len)| *len).min();
                    assert!(shortest <= Some(cycle.kinds.len()), "{rows:?} {cycle:?}");
                }
                let least = |a: Anomaly| {
                    named.iter().filter(|n| n.0 == a && n.1 == Scope::Data).map(|n| n.2).min()
                };
                for anomaly in [Anomaly::G0, Anomaly::G1c, Anomaly::GSingle] {
                    let shown = cycles
                        .found
                        .iter()
                        .filter(|(a, s, _)| (*a, *s) == (anomaly, Scope::Data))
                        .map(|(_, _, cycle)| cycle.kinds.len())
                        .min();
                    if level.forbids(anomaly, Scope::Data) && allowance != 0 {
                        assert_eq!(shown, least(anomaly), "{level:?} {anomaly:?} {rows:?}");
                    }
                }
            }
        }
        assert!(5_000 < violated);
    }

    #[test]
    fn a_fan_leads_from_each_source_to_each_target_but_itself() {
        let mut random = Random::new(22);
        for _ in 0..200 {
            let pick = |random: &mut Random| -> Vec<u32> {
                (0..40).filter(|_| random.percent(60)).collect()
            };
            let (sources, targets) = (pick(&mut random), pick(&mut random));
            let mut edges = Edges::new(40);
            let rows: Vec<(u32, u32)> = sources.iter().map(|source| (*source, RW)).collect();
            edges.fan(&rows, &targets);
            assert!(edges.len() <= 6 * (sources.len() + targets.len()));
            let graph = edges.build();
            for &source in &sources {
                let mut reached = Vec::new();
                let mut stack: Vec<u32> = graph.successors(source).map(|(head, _)| head).collect();
                while let Some(node) = stack.pop() {
                    if graph.is_transaction(node) {
                        reached.push(node);
                    } else {
                        stack.extend(graph.successors(node).map(|(head, _)| head));
                    }
                }
                reached.sort_unstable();
                let expected: Vec<u32> =
                    targets.iter().copied().filter(|target| *target != source).collect();
                assert_eq!(reached, expected);
            }
        }
    }

    #[test]
    fn a_spent_allowance_still_shows_a_cycle_and_says_so() {
        let mut edges = Edges::new(6);
        for node in 0..6 {
            edges.push(node, (node + 1) % 6, WW);
        }
        edges.push(4, 3, WW);
        let graph = edges.build();
        let mut cycles = Cycles::new(&graph, 1);
        cycles.search(Level::Serializable);
        assert_eq!(cycles.found.len(), 1);
        assert!(!cycles.found[0].2.is_shortest);
        let mut cycles = Cycles::new(&graph, u64::MAX);
        cycles.search(Level::Serializable);
        assert_eq!(cycles.found[0].2.kinds.len(), 2);
        assert!(Report::FINDINGS_MAX > cycles.found.len());
    }
}
