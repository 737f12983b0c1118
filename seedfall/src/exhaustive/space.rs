//! A state of the cluster as a row of numbers, and what can happen next.

use super::Bounds;
use super::histories::Histories;
use super::locals::{Input, Locals};
use super::symmetry::Symmetry;
use super::tables::{Interned, digest};
use crate::scenario::NEVER_PANICS;
use rustc_hash::FxHashMap;
use seedfall_sim::{ClientId, Monitor, NodeId, Protocol, RequestId};
use std::hash::Hash;

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A message arrives; a copy of it may stay on its way.
    Deliver { message: u32, stays: bool },
    /// A timer of a node rings.
    Ring { node: u16, timer: u32 },
    /// A client calls its next operation at a node.
    Call { client: u16, node: u16 },
    /// A node crashes between two events.
    Crash { node: u16, keeps: bool },
    /// A node comes up.
    Start { node: u16 },
}

/// An action, and which of its outcomes: 0 is the whole handler, any other a crash inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) action: Action,
    pub(super) cut: u16,
}

impl Step {
    /// In two words: kind and flag (4 bits), outcome (12), node or client (16); and a number.
    pub(super) fn pack(self) -> [u32; 2] {
        let (kind, small, large) = match self.action {
            Action::Deliver { message, stays } => (u32::from(stays), 0, message),
            Action::Ring { node, timer } => (2, node, timer),
            Action::Call { client, node } => (3, client, node.into()),
            Action::Crash { node, keeps } => (4 + u32::from(keeps), node, 0),
            Action::Start { node } => (6, node, 0),
        };
        [kind << 28 | u32::from(self.cut) << 16 | u32::from(small), large]
    }

    pub(super) fn unpack([word, large]: [u32; 2]) -> Self {
        let (cut, small) = ((word >> 16) as u16 & 0xFFF, word as u16);
        let action = match word >> 28 {
            kind @ 0..=1 => Action::Deliver { message: large, stays: kind == 1 },
            2 => Action::Ring { node: small, timer: large },
            3 => Action::Call { client: small, node: large as u16 },
            kind @ 4..=5 => Action::Crash { node: small, keeps: kind == 5 },
            _ => Action::Start { node: small },
        };
        Self { action, cut }
    }
}

/// A property that does not hold any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) property: &'static str,
    pub(super) explanation: String,
}

/// What can happen next, one step a row.
#[derive(Default)]
pub(super) struct Next {
    /// Each step, where its row ends, and whether the search goes on from there.
    pub(super) steps: Vec<(Step, usize, bool)>,
    words: Vec<u32>,
    /// The first step that breaks something.
    pub(super) broken: Option<(Step, Broken)>,
}

impl Next {
    pub(super) fn row(&self, step: usize) -> &[u32] {
        let from = step.checked_sub(1).map_or(0, |before| self.steps[before].1);
        &self.words[from..self.steps[step].1]
    }

    fn clear(&mut self) {
        self.steps.clear();
        self.words.clear();
    }
}

/// The cluster: how a row is read, and everything that was met.
///
/// A row is the number of each node's state, of what the monitor remembers, and of the history;
/// what is spent of the bounds; and the messages on their way, in ascending order.
pub(super) struct Space<P: Protocol, I, O, M> {
    pub(super) bounds: Bounds,
    pub(super) nodes: usize,
    pub(super) symmetry: Option<Symmetry<P, M>>,
    pub(super) locals: Locals<P>,
    pub(super) histories: Histories<P, I, O>,
    pub(super) monitors: Interned<M>,
    watched: FxHashMap<(u32, u32), Result<u32, Box<Broken>>>,
    /// Whether each message that was met is on its way in the row that is written.
    scratch: Vec<u32>,
}

/// What a row has beside the nodes and the messages.
pub(super) const REST: usize = 3;

impl<P, I, O, M> Space<P, I, O, M>
where
    P: Protocol + Clone + Hash,
    I: Clone,
    O: Clone,
    M: Monitor<P> + Clone + Hash,
{
    pub(super) fn new(
        nodes: usize,
        bounds: Bounds,
        locals: Locals<P>,
        histories: Histories<P, I, O>,
    ) -> Self {
        let (monitors, watched, scratch) = Default::default();
        let symmetry = None;
        Self { bounds, nodes, symmetry, locals, histories, monitors, watched, scratch }
    }

    /// The state in which every node has started, in the order of their ids.
    pub(super) fn first(&mut self, monitor: M) -> Result<Vec<u32>, Broken> {
        let mut row: Vec<u32> =
            NodeId::all(self.nodes).map(|node| self.locals.unborn(node)).collect();
        row.push(self.monitors.number(digest(&monitor), || monitor));
        row.push(self.histories.empty());
        row.push(0);
        let mut next = Next::default();
        for node in 0..self.nodes {
            next.clear();
            let start = Step { action: Action::Start { node: node as u16 }, cut: 0 };
            self.take(&row, start, node, Input::Start, &mut next);
            if let Some((_, broken)) = next.broken {
                return Err(broken);
            }
            row = next.row(0).to_vec();
        }
        Ok(row)
    }

    /// Everything that can happen next.
    pub(super) fn next(&mut self, row: &[u32], next: &mut Next) {
        next.clear();
        let fixed = self.nodes + REST;
        let [timers, crashes, copies, _] = row[fixed - 1].to_le_bytes().map(u32::from);
        let mut before = None;
        for &message in &row[fixed..] {
            if before.replace(message) == Some(message) {
                continue; // Two that are equal: it does not matter which arrives.
            }
            let to = self.locals.messages.get(message).to.index();
            if self.is_up(row, to) {
                let may_stay = copies < self.bounds.duplicates;
                for stays in [false, true].into_iter().take(1 + usize::from(may_stay)) {
                    let action = Action::Deliver { message, stays };
                    self.take_all(row, action, to, Input::Message(message), next);
                }
            }
        }
        for node in 0..self.nodes {
            let small = node as u16;
            if !self.is_up(row, node) {
                self.take_all(row, Action::Start { node: small }, node, Input::Start, next);
                continue;
            }
            for at in 0..self.locals.locals.get(row[node]).timers.len() {
                if timers < self.bounds.timers {
                    let timer = self.locals.locals.get(row[node]).timers[at];
                    let action = Action::Ring { node: small, timer };
                    self.take_all(row, action, node, Input::Timer(timer), next);
                }
            }
            if crashes < self.bounds.crashes {
                for keeps in [false, true] {
                    let action = Action::Crash { node: small, keeps };
                    let step = Step { action, cut: 0 };
                    self.take(row, step, node, Input::Crash { keeps }, next);
                }
            }
        }
        for client in 0..self.histories.calls.len() {
            self.call(row, client, next);
        }
    }

    /// The next call of a client, at each node that it may ask.
    fn call(&mut self, row: &[u32], client: usize, next: &mut Next) {
        let Some((id, call)) = self.histories.next(row[self.nodes + 1], client) else { return };
        let at = call.at;
        let id = RequestId { client: ClientId::new(client as u16), number: id.number };
        let request = self.request(id);
        for node in NodeId::all(self.nodes).filter(|node| at.is_none_or(|at| at == *node)) {
            if self.is_up(row, node.index()) {
                let action = Action::Call { client: client as u16, node: node.index() as u16 };
                self.take_all(row, action, node.index(), Input::Request(request), next);
            }
        }
    }

    /// The node that an action is about, and its input.
    pub(super) fn input(&self, row: &[u32], action: Action) -> (usize, Input) {
        match action {
            Action::Deliver { message, .. } => {
                (self.locals.messages.get(message).to.index(), Input::Message(message))
            }
            Action::Ring { node, timer } => (node.into(), Input::Timer(timer)),
            Action::Crash { node, keeps } => (node.into(), Input::Crash { keeps }),
            Action::Start { node } => (node.into(), Input::Start),
            Action::Call { client, node } => {
                let number = self.histories.pasts.get(row[self.nodes + 1]).of(client.into()).0;
                let id = RequestId { client: ClientId::new(client), number: number as u32 };
                (node.into(), Input::Request(self.request(id)))
            }
        }
    }

    fn request(&self, id: RequestId) -> u32 {
        let number = self.locals.requests.find(digest(&id));
        number.expect("requests are numbered before the search begins")
    }

    /// Whether an operation is not over.
    pub(super) fn waits(&self, row: &[u32]) -> bool {
        let past = self.histories.pasts.get(row[self.nodes + 1]);
        (0..self.histories.calls.len()).any(|client| past.of(client).1)
    }

    pub(super) fn is_up(&self, row: &[u32], node: usize) -> bool {
        self.locals.locals.get(row[node]).state.is_some()
    }

    /// An action, with every outcome that the bounds allow.
    fn take_all(
        &mut self,
        row: &[u32],
        action: Action,
        node: usize,
        input: Input,
        next: &mut Next,
    ) {
        let (_, count) = self.locals.outcomes(row[node], input);
        let crashes = u32::from(row[self.nodes + 2].to_le_bytes()[1]);
        let cuts = if crashes < self.bounds.crashes { count } else { 1 };
        for cut in 0..cuts.min(0xFFF) {
            self.take(row, Step { action, cut: cut as u16 }, node, input, next);
        }
    }

    /// Writes the row that a step leads to.
    fn take(&mut self, row: &[u32], step: Step, node: usize, input: Input, next: &mut Next) {
        let (first, _) = self.locals.outcomes(row[node], input);
        let outcome = self.locals.outcome(first + u32::from(step.cut));
        let local = outcome.local;
        if let Some(words) = &outcome.panic {
            let broken = Broken { property: NEVER_PANICS, explanation: words.to_string() };
            return self.broke(step, broken, next);
        }
        let idle =
            outcome.local == row[node] && outcome.sends.is_empty() && outcome.answers.is_empty();
        if idle && matches!(step.action, Action::Deliver { .. }) {
            return; // It may as well never arrive.
        }
        let from = next.words.len();
        let fixed = self.nodes + REST;
        next.words.extend_from_slice(&row[..fixed]);
        next.words[from + node] = local;
        // The messages: those of the row but the one that arrived, and those that are sent.
        self.scratch.clear();
        self.scratch.extend_from_slice(&outcome.sends);
        self.scratch.sort_unstable();
        let arrived = match step.action {
            Action::Deliver { message, stays: false } => Some(message),
            _ => None,
        };
        merge(&row[fixed..], arrived, &self.scratch, &mut next.words);
        // The history.
        let mut past = row[self.nodes + 1];
        if let Action::Call { client, .. } = step.action {
            past = self.histories.call(past, client.into());
        }
        for &(request, answer) in &outcome.answers {
            let words = (answer, self.locals.answers.get(answer));
            past = self.histories.answer(past, request, words);
        }
        next.words[from + self.nodes + 1] = past;
        // What is spent.
        let mut spent = row[self.nodes + 2].to_le_bytes();
        let spends = [
            (matches!(step.action, Action::Ring { .. }), self.bounds.timers),
            (step.cut > 0 || matches!(step.action, Action::Crash { .. }), self.bounds.crashes),
            (matches!(step.action, Action::Deliver { stays: true, .. }), self.bounds.duplicates),
        ];
        for (spent, (spends, bound)) in spent.iter_mut().zip(spends) {
            *spent += u8::from(spends && bound != Bounds::ANY);
        }
        next.words[from + self.nodes + 2] = u32::from_le_bytes(spent);
        // What the monitor says, and the judges of the history.
        match self.watch(row[self.nodes], node, local) {
            Ok(monitor) => next.words[from + self.nodes] = monitor,
            Err(broken) => {
                next.words.truncate(from);
                return self.broke(step, *broken, next);
            }
        }
        if let Some((property, explanation)) = &self.histories.pasts.get(past).broken {
            let broken = Broken { property, explanation: explanation.clone() };
            self.broke(step, broken, next);
        }
        let on_their_way = (next.words.len() - from - fixed) as u32;
        let within = self.locals.locals.get(local).within && on_their_way <= self.bounds.messages;
        next.steps.push((step, next.words.len(), within));
    }

    fn broke(&self, step: Step, broken: Broken, next: &mut Next) {
        next.broken.get_or_insert((step, broken));
    }

    /// What a monitor remembers after it looked at a node.
    fn watch(&mut self, monitor: u32, node: usize, local: u32) -> Result<u32, Box<Broken>> {
        let Some(state) = &self.locals.locals.get(local).state else { return Ok(monitor) };
        if let Some(known) = self.watched.get(&(monitor, local)) {
            return known.clone();
        }
        let mut after = self.monitors.get(monitor).clone();
        let seen = match after.observe(NodeId::new(node as u16), state) {
            Ok(()) => Ok(self.monitors.number(digest(&after), || after)),
            Err(violation) => Err(Box::new(Broken {
                property: violation.property,
                explanation: violation.explanation,
            })),
        };
        self.watched.insert((monitor, local), seen.clone());
        seen
    }
}

/// Two sorted lists as one, without one occurrence of `arrived` in the first.
fn merge(old: &[u32], arrived: Option<u32>, sent: &[u32], into: &mut Vec<u32>) {
    let mut skip = arrived;
    let mut sent = sent.iter().copied().peekable();
    for &message in old {
        if skip == Some(message) {
            skip = None;
            continue;
        }
        while let Some(one) = sent.next_if(|one| *one <= message) {
            into.push(one);
        }
        into.push(message);
    }
    into.extend(sent);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_the_same_after_it_was_packed() {
        for action in [
            Action::Deliver { message: 70_000, stays: false },
            Action::Deliver { message: 3, stays: true },
            Action::Ring { node: 2, timer: 9 },
            Action::Call { client: 1, node: 300 },
            Action::Crash { node: 65_535, keeps: false },
            Action::Crash { node: 0, keeps: true },
            Action::Start { node: 4 },
        ] {
            for cut in [0, 1, 0xFFE] {
                let step = Step { action, cut };
                assert_eq!(Step::unpack(step.pack()), step);
            }
        }
    }

    #[test]
    fn messages_stay_in_order_and_one_of_two_equal_ones_arrives() {
        let mut row = Vec::new();
        merge(&[2, 4, 4, 9], Some(4), &[1, 4, 12], &mut row);
        assert_eq!(row, [1, 2, 4, 4, 9, 12]);
    }
}
