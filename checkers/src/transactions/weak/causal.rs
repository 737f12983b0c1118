//! The commit-order edges that causal consistency forces, by vector clocks over blocks of sessions.

use crate::meter::Meter;
use crate::transactions::graph::{Edges, WW};
use crate::transactions::weak::sessions::Sessions;
use crate::verdict::Limit;

/// Bytes of an edge.
const EDGE: u64 = 12;

/// Adds, for each version read and each session, an edge from the latest transaction of that
/// session that wrote the key and is in the reader's past. Earlier ones follow by session order;
/// one that is in the past of the version's writer follows anyway and is left out.
///
/// If causality itself has a cycle nothing is added: that cycle is the answer.
pub(crate) fn infer(
    sessions: &Sessions,
    block: usize,
    edges: &mut Edges,
    meter: &mut Meter,
) -> Result<(), Limit> {
    let Some(order) = causal_order(sessions) else { return Ok(()) };
    let writers = WritersByKey::new(sessions);
    let mut cursor: Vec<u32> = writers.key_starts[..sessions.keys].to_vec();
    let mut first = 0;
    while first < sessions.sessions() {
        let width = block.min(sessions.sessions() - first);
        // The clocks, what is known of their rows, and the edges so far.
        let nodes = u64::from(sessions.nodes());
        meter.hold(8 * width as u64 * nodes + EDGE * edges.len() as u64)?;
        meter.step(width as u64 * nodes)?;
        let clocks = Clocks::new(sessions, &order, first, width);
        force(sessions, &writers, &cursor, &clocks, edges, meter)?;
        for (key, cursor) in cursor.iter_mut().enumerate() {
            let groups = &writers.groups[*cursor as usize..writers.key_starts[key + 1] as usize];
            let end = (first + width) as u32;
            *cursor += groups.partition_point(|group| group.session < end) as u32;
        }
        first += width;
    }
    Ok(())
}

fn force(
    sessions: &Sessions,
    writers: &WritersByKey,
    cursor: &[u32],
    clocks: &Clocks,
    edges: &mut Edges,
    meter: &mut Meter,
) -> Result<(), Limit> {
    let end = (clocks.first + clocks.width) as u32;
    // The latest transaction of each session already known to precede each version's writer.
    let mut known = clocks.rows.clone();
    for reader in 0..sessions.transactions() {
        let past = clocks.row(reader);
        for read in sessions.reads(reader) {
            let groups = &writers.groups[cursor[read.key as usize] as usize
                ..writers.key_starts[read.key as usize + 1] as usize];
            let start = read.writer as usize * clocks.width;
            let known = &mut known[start..start + clocks.width];
            meter.step(1 + groups.len().min(clocks.width) as u64)?;
            for group in groups.iter().take_while(|group| group.session < end) {
                let column = group.session as usize - clocks.first;
                // Positions below `known` precede the writer already.
                if past[column] <= known[column].max(group.first) {
                    continue;
                }
                let positions = &writers.positions[group.start as usize..group.end as usize];
                let before = positions.partition_point(|at| *at < past[column]);
                let Some(&latest) = positions[..before].last() else { continue };
                let node = sessions.starts[group.session as usize] + latest;
                if known[column] <= latest && node != read.writer {
                    known[column] = latest + 1;
                    if !sessions.is_before(node, read.writer) {
                        edges.push(node, read.writer, WW);
                    }
                }
            }
        }
    }
    Ok(())
}

/// For every node, how many transactions of each session of a block are in its past.
pub(crate) struct Clocks {
    first: usize,
    width: usize,
    rows: Vec<u32>,
}

impl Clocks {
    pub(crate) fn new(sessions: &Sessions, order: &[u32], first: usize, width: usize) -> Self {
        // The initial state has a row of zeros: nothing is in its past.
        let mut clocks = Self { first, width, rows: vec![0; width * sessions.nodes() as usize] };
        for &node in order {
            if let Some(before) = sessions.predecessor(node) {
                clocks.join(sessions, before, node);
            }
            for read in sessions.reads(node) {
                if read.writer != sessions.initial() {
                    clocks.join(sessions, read.writer, node);
                }
            }
        }
        clocks
    }

    pub(crate) fn row(&self, node: u32) -> &[u32] {
        let start = node as usize * self.width;
        &self.rows[start..start + self.width]
    }

    fn join(&mut self, sessions: &Sessions, from: u32, to: u32) {
        let (from_start, to_start) = (from as usize * self.width, to as usize * self.width);
        let (source, target) = if from_start < to_start {
            let (low, high) = self.rows.split_at_mut(to_start);
            (&low[from_start..from_start + self.width], &mut high[..self.width])
        } else {
            let (low, high) = self.rows.split_at_mut(from_start);
            (&high[..self.width], &mut low[to_start..to_start + self.width])
        };
        for (target, source) in target.iter_mut().zip(source) {
            *target = (*target).max(*source);
        }
        let session = sessions.session[from as usize] as usize;
        if self.first <= session && session < self.first + self.width {
            let own = &mut target[session - self.first];
            *own = (*own).max(sessions.position(from) + 1);
        }
    }
}

/// Who wrote a key, session by session.
pub(crate) struct WritersByKey {
    pub(crate) key_starts: Vec<u32>,
    pub(crate) groups: Vec<Group>,
    pub(crate) positions: Vec<u32>,
}

/// The writers of one key in one session: a range of `positions`, the first of them repeated here.
pub(crate) struct Group {
    pub(crate) session: u32,
    first: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl WritersByKey {
    pub(crate) fn new(sessions: &Sessions) -> Self {
        let mut starts = vec![0u32; sessions.keys + 1];
        for node in 0..sessions.transactions() {
            sessions.writes(node).iter().for_each(|key| starts[*key as usize + 1] += 1);
        }
        for key in 0..sessions.keys {
            starts[key + 1] += starts[key];
        }
        let mut next = starts.clone();
        let mut nodes = vec![0u32; starts[sessions.keys] as usize];
        for node in 0..sessions.transactions() {
            for key in sessions.writes(node) {
                nodes[next[*key as usize] as usize] = node;
                next[*key as usize] += 1;
            }
        }
        let mut groups: Vec<Group> = Vec::new();
        let mut key_starts = vec![0];
        for key in 0..sessions.keys {
            for at in starts[key]..starts[key + 1] {
                let session = sessions.session[nodes[at as usize] as usize];
                let fresh =
                    at == starts[key] || groups.last().is_none_or(|group| group.session != session);
                if fresh {
                    let first = sessions.position(nodes[at as usize]);
                    groups.push(Group { session, first, start: at, end: at });
                }
                if let Some(group) = groups.last_mut() {
                    group.end = at + 1;
                }
            }
            key_starts.push(groups.len() as u32);
        }
        let positions = nodes.iter().map(|node| sessions.position(*node)).collect();
        Self { key_starts, groups, positions }
    }
}

/// An order that respects sessions and write-read pairs; `None` if they form a cycle.
pub(crate) fn causal_order(sessions: &Sessions) -> Option<Vec<u32>> {
    let transactions = sessions.transactions() as usize;
    // Per node: how many causes are not placed yet, and a linked list of the readers that wait.
    let mut waiting_for = vec![0u32; transactions];
    let mut head = vec![u32::MAX; transactions];
    let mut links: Vec<(u32, u32)> = Vec::new();
    for node in 0..transactions as u32 {
        let writers = sessions.reads(node).iter().map(|read| read.writer);
        let causes = writers.filter(|writer| *writer != sessions.initial());
        for cause in causes.chain(sessions.predecessor(node)) {
            waiting_for[node as usize] += 1;
            links.push((node, head[cause as usize]));
            head[cause as usize] = links.len() as u32 - 1;
        }
    }
    let mut order: Vec<u32> = Vec::with_capacity(transactions);
    let mut ready: Vec<u32> =
        (0..transactions as u32).rev().filter(|node| waiting_for[*node as usize] == 0).collect();
    while let Some(node) = ready.pop() {
        order.push(node);
        let mut at = head[node as usize];
        while at != u32::MAX {
            let (effect, next) = links[at as usize];
            waiting_for[effect as usize] -= 1;
            if waiting_for[effect as usize] == 0 {
                ready.push(effect);
            }
            at = next;
        }
    }
    (order.len() == transactions).then_some(order)
}
