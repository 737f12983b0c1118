//! States that differ in the names of nodes that are alike are one.
//!
//! Of all rows that a state has under the renamings, the least is looked up; it is the state itself
//! that is gone on from, so that steps tell what happens to the nodes that they name.

use super::locals::{Local, Locals, Message, Parts};
use super::space::{REST, Space};
use super::tables::digest;
use rustc_hash::FxHashMap;
use seedfall_sim::{Monitor, NodeId, Protocol, Renamed, Renaming};
use std::hash::Hash;

/// How each kind of value is renamed.
pub(super) struct Rename<P: Protocol, M> {
    state: fn(&P, &Renaming) -> P,
    message: fn(&P::Message, &Renaming) -> P::Message,
    record: fn(&P::Record, &Renaming) -> P::Record,
    timer: fn(&P::Timer, &Renaming) -> P::Timer,
    monitor: fn(&M, &Renaming) -> M,
}

/// Nodes that are alike, and what was renamed so far.
pub(super) struct Symmetry<P: Protocol, M> {
    rename: Rename<P, M>,
    names: Vec<Renaming>,
    /// By renaming and number.
    locals: FxHashMap<(usize, u32), u32>,
    messages: FxHashMap<(usize, u32), u32>,
    monitors: FxHashMap<(usize, u32), u32>,
    row: Vec<u32>,
}

impl<P, M> Symmetry<P, M>
where
    P: Protocol + Renamed,
    P::Message: Renamed,
    P::Record: Renamed,
    P::Timer: Renamed,
    M: Renamed,
{
    /// Nodes of a cluster that are alike.
    pub(super) fn of(nodes: usize, alike: &[usize]) -> Self {
        let alike: Vec<NodeId> = alike.iter().map(|index| NodeId::new(*index as u16)).collect();
        let (locals, messages, monitors, row) = Default::default();
        let rename = Rename {
            state: P::renamed,
            message: P::Message::renamed,
            record: P::Record::renamed,
            timer: P::Timer::renamed,
            monitor: M::renamed,
        };
        // The first is the row as it is.
        let names = Renaming::all(nodes, &alike).split_off(1);
        Self { rename, names, locals, messages, monitors, row }
    }
}

impl<P, I, O, M> Space<P, I, O, M>
where
    P: Protocol + Clone + Hash,
    I: Clone,
    O: Clone,
    M: Monitor<P> + Clone + Hash,
{
    /// The least row among those of all renamings, in `least`.
    pub(super) fn least(&mut self, row: &[u32], least: &mut Vec<u32>) {
        least.clear();
        least.extend_from_slice(row);
        let Some(mut symmetry) = self.symmetry.take() else { return };
        for at in 0..symmetry.names.len() {
            self.renamed(&mut symmetry, at, row);
            if symmetry.row < *least {
                least.clone_from(&symmetry.row);
            }
        }
        self.symmetry = Some(symmetry);
    }

    /// The row under one renaming.
    fn renamed(&mut self, symmetry: &mut Symmetry<P, M>, at: usize, row: &[u32]) {
        let (nodes, fixed) = (self.nodes, self.nodes + REST);
        let Symmetry { rename, names, locals, messages, monitors, row: renamed } = symmetry;
        let names = &names[at];
        renamed.clear();
        renamed.extend_from_slice(row);
        for (node, local) in row[..nodes].iter().enumerate() {
            let new = names.name(NodeId::new(node as u16)).index();
            let known = locals.entry((at, *local));
            renamed[new] = *known.or_insert_with(|| rename.local(&mut self.locals, *local, names));
        }
        let monitor = monitors.entry((at, row[nodes]));
        renamed[nodes] = *monitor.or_insert_with(|| {
            let monitor = (rename.monitor)(self.monitors.get(row[nodes]), names);
            self.monitors.number(digest(&monitor), || monitor)
        });
        for message in &mut renamed[fixed..] {
            let known = messages.entry((at, *message));
            *message = *known.or_insert_with(|| rename.message(&mut self.locals, *message, names));
        }
        renamed[fixed..].sort_unstable();
    }
}

impl<P: Protocol + Clone + Hash, M> Rename<P, M> {
    fn local(&self, locals: &mut Locals<P>, local: u32, names: &Renaming) -> u32 {
        let Local { node, state, synced, written, timers, .. } = locals.locals.get(local);
        let record = |one| (self.record)(one, names);
        let mut parts = Parts {
            node: names.name(*node),
            state: state.as_ref().map(|state| (self.state)(state, names)),
            synced: synced.iter().map(record).collect(),
            written: written.iter().map(record).collect(),
            timers: Vec::new(),
        };
        for timer in timers.clone() {
            let timer = (self.timer)(locals.timers.get(timer), names);
            parts.timers.push(locals.timers.number(digest(&timer), || timer));
        }
        parts.timers.sort_unstable();
        locals.local(parts)
    }

    fn message(&self, locals: &mut Locals<P>, message: u32, names: &Renaming) -> u32 {
        let Message { from, to, body } = locals.messages.get(message);
        let (from, to) = (names.name(*from), names.name(*to));
        let body = (self.message)(body, names);
        locals.message(from, to, body)
    }
}
