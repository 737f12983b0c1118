//! The commit-order edges that read committed and read atomic force.

use crate::meter::Meter;
use crate::transactions::graph::{Edges, WW};
use crate::transactions::weak::WeakLevel;
use crate::transactions::weak::sessions::{Read, Sessions};
use crate::verdict::Limit;

/// "Not yet in this transaction" for an array that is not cleared between transactions.
const NEVER: u32 = u32::MAX;

fn force(sessions: &Sessions, first: u32, second: u32, edges: &mut Edges) {
    if first != second && !sessions.is_before(first, second) {
        edges.push(first, second, WW);
    }
}

/// Whether a node writes a key, by binary search; the initial state writes all, but is before all.
fn writes(sessions: &Sessions, node: u32, key: u32) -> bool {
    sessions.writes(node).binary_search(&key).is_ok()
}

/// Read committed: after reading from `t2`, a read of `x` from `t1` puts `t2` before `t1` if `t2`
/// wrote `x`. Only the next read of each key after the first read from `t2` needs an edge; edges
/// between the writers of successive reads of one key give the rest.
pub(crate) fn read_committed(
    sessions: &Sessions,
    edges: &mut Edges,
    meter: &mut Meter,
) -> Result<(), Limit> {
    let mut first = vec![(NEVER, 0u32); sessions.nodes() as usize];
    let mut next = vec![(NEVER, 0u32); sessions.keys];
    let mut ahead: Vec<u32> = Vec::new();
    for reader in 0..sessions.transactions() {
        let reads = sessions.reads(reader);
        if reads.len() < 2 {
            continue;
        }
        for (at, read) in (0u32..).zip(reads) {
            let first = &mut first[read.writer as usize];
            if first.0 != reader {
                *first = (reader, at);
            }
        }
        ahead.clear();
        for (at, read) in reads.iter().enumerate().rev() {
            let coming = next[read.key as usize];
            if coming.0 == reader {
                force(sessions, read.writer, coming.1, edges);
            }
            if first[read.writer as usize].1 == at as u32 {
                let own = sessions.writes(read.writer);
                meter.step(1 + own.len().min(ahead.len()) as u64)?;
                if own.len() <= ahead.len() {
                    for key in own.iter().filter(|key| next[**key as usize].0 == reader) {
                        force(sessions, read.writer, next[*key as usize].1, edges);
                    }
                } else {
                    for key in ahead.iter().filter(|key| own.binary_search(key).is_ok()) {
                        force(sessions, read.writer, next[*key as usize].1, edges);
                    }
                }
            }
            if coming.0 != reader {
                ahead.push(read.key);
            }
            next[read.key as usize] = (reader, read.writer);
        }
    }
    Ok(())
}

/// Read atomic: `t2` before `t1` if the reader reads from `t2` or follows it in its session. Of the
/// session only the last writer of the key needs an edge.
pub(crate) fn read_atomic(
    sessions: &Sessions,
    edges: &mut Edges,
    meter: &mut Meter,
) -> Result<(), Limit> {
    let mut from = vec![(NEVER, 0u32); sessions.keys];
    let mut seen = vec![NEVER; sessions.nodes() as usize];
    let mut last_write = vec![NEVER; sessions.keys];
    for reader in 0..sessions.transactions() {
        let session_start = sessions.starts[sessions.session[reader as usize] as usize];
        let reads = sessions.reads(reader);
        for read in reads {
            let last = last_write[read.key as usize];
            if last != NEVER && session_start <= last {
                force(sessions, last, read.writer, edges);
            }
            let known = &mut from[read.key as usize];
            if known.0 != reader {
                *known = (reader, read.writer);
            } else if known.1 != read.writer {
                // Two versions of one key: each must come before the other.
                edges.push(known.1, read.writer, WW);
                edges.push(read.writer, known.1, WW);
            }
        }
        for read in reads {
            let writer = read.writer;
            if std::mem::replace(&mut seen[writer as usize], reader) != reader {
                meter.step(1 + sessions.writes(writer).len().min(reads.len()) as u64)?;
                atomic_writer(sessions, reader, writer, reads, &from, edges);
            }
        }
        sessions.writes(reader).iter().for_each(|key| last_write[*key as usize] = reader);
    }
    Ok(())
}

/// The reader sees all of `writer`, so what it reads of `writer`'s keys from others is newer.
fn atomic_writer(
    sessions: &Sessions,
    reader: u32,
    writer: u32,
    reads: &[Read],
    from: &[(u32, u32)],
    edges: &mut Edges,
) {
    let own = sessions.writes(writer);
    if own.len() <= reads.len() {
        for key in own {
            let (by, other) = from[*key as usize];
            if by == reader {
                force(sessions, writer, other, edges);
            }
        }
    } else {
        for read in reads.iter().filter(|read| own.binary_search(&read.key).is_ok()) {
            force(sessions, writer, read.writer, edges);
        }
    }
}

/// A reader and a key that force `first` before `second`, for the explanation of one edge.
pub(crate) fn reason(
    sessions: &Sessions,
    level: WeakLevel,
    first: u32,
    second: u32,
    meter: &mut Meter,
) -> Result<Option<(u32, u32)>, Limit> {
    let reached = match level {
        WeakLevel::Causal => reached_from(sessions, first, meter)?,
        WeakLevel::ReadCommitted | WeakLevel::ReadAtomic => Vec::new(),
    };
    for reader in 0..sessions.transactions() {
        let reads = sessions.reads(reader);
        meter.step(1 + reads.len() as u64)?;
        for (at, read) in reads.iter().enumerate() {
            if read.writer != second || !writes(sessions, first, read.key) {
                continue;
            }
            let from_first = |read: &Read| read.writer == first;
            let knows = match level {
                WeakLevel::ReadCommitted => reads[..at].iter().any(from_first),
                WeakLevel::ReadAtomic => {
                    reads.iter().any(from_first) || sessions.is_before(first, reader)
                }
                WeakLevel::Causal => reached[reader as usize],
            };
            if knows {
                return Ok(Some((reader, read.key)));
            }
        }
    }
    Ok(None)
}

/// All that causally follow a node. One pass forward is not enough where a write-read pair leads to
/// an earlier number, so it is repeated until nothing changes; this runs for a witness only.
fn reached_from(sessions: &Sessions, start: u32, meter: &mut Meter) -> Result<Vec<bool>, Limit> {
    let mut reached = vec![false; sessions.nodes() as usize];
    loop {
        let mut grew = false;
        for node in 0..sessions.transactions() {
            meter.step(1 + sessions.reads(node).len() as u64)?;
            let after_start = |other: u32| other == start || reached[other as usize];
            let follows = sessions.predecessor(node).is_some_and(after_start)
                || sessions.reads(node).iter().any(|read| after_start(read.writer));
            if follows && !reached[node as usize] {
                reached[node as usize] = true;
                grew = true;
            }
        }
        if !grew {
            return Ok(reached);
        }
    }
}
