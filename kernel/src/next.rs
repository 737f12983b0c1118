//! What happens next: a thread goes on, or the host has something to do.

use crate::kernel::{Kernel, NodeIndex, Step};
use crate::node::Power;
use crate::report::Ended;
use seedfall_sim::Time;
use std::ops::Range;

/// What happens next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next {
    /// A thread goes on.
    Thread(Turn),
    /// The main thread of a node is to be made.
    Start(NodeIndex),
    /// The nemesis is to be asked.
    Nemesis,
    /// So many events have happened that the run takes another turn.
    Turn,
    /// So many events have happened that it is over.
    Cut,
    /// It is over.
    End(Ended),
    /// More events than there may be.
    Storm,
}

/// A thread that goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// Whose it is.
    pub(crate) node: NodeIndex,
    /// What it runs on.
    pub(crate) block: usize,
    /// The environment of its program.
    pub(crate) environment: usize,
}

/// When a run is over.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    /// Nothing happens after this.
    pub(crate) limit: Time,
    /// So many events of the queue at most are handled.
    pub(crate) steps: u64,
    /// The run takes another turn after so many events of the trace.
    pub(crate) turn_after: u64,
    /// It is over after so many.
    pub(crate) until: u64,
    /// It does not end before, though all clients have.
    pub(crate) open_until: Time,
    /// Those nodes; the run ends with their programs.
    pub(crate) clients: Range<NodeIndex>,
}

impl Kernel {
    /// What happens next, now that no thread runs: the events of the queue up to that are handled.
    /// The thread that ran has left this environment.
    pub(crate) fn next(&mut self, environment: Option<usize>) -> Next {
        if let Some(environment) = environment {
            let here = self.here();
            self.nodes[here].environment = environment;
        }
        if let Some(next) = self.passed.take() {
            return next;
        }
        loop {
            let Ends { turn_after, until, .. } = self.ends;
            if turn_after.min(until) <= self.trace.count() {
                return if turn_after <= until { Next::Turn } else { Next::Cut };
            }
            if let Some(node) = self.starts.pop_front() {
                return Next::Start(node);
            }
            if let Some(thread) = self.next_thread() {
                let (block, node) = (self.threads[thread].block, self.threads[thread].node);
                let environment = self.nodes[node].environment;
                return Next::Thread(Turn { node, block, environment });
            }
            if self.is_finished() {
                return Next::End(Ended::Finished);
            }
            if self.steps > self.ends.steps {
                return Next::Storm;
            }
            let limit = self.ends.limit;
            match self.step(limit) {
                Step::Went => {}
                Step::Nemesis => return Next::Nemesis,
                Step::Nothing if self.queue.is_empty() => return Next::End(Ended::Stuck),
                Step::Nothing => {
                    self.now = limit;
                    return Next::End(Ended::Horizon);
                }
            }
        }
    }

    /// A thread gives way: which goes on instead; `None`: the host is to go on, and will be told.
    pub(crate) fn pass(&mut self, environment: usize) -> Option<Turn> {
        match self.next(Some(environment)) {
            Next::Thread(turn) => Some(turn),
            other => {
                self.passed = Some(other);
                None
            }
        }
    }

    /// Whether the programs of all clients have ended, and nothing keeps the run open.
    #[inline]
    fn is_finished(&self) -> bool {
        let Ends { clients, open_until, .. } = &self.ends;
        let over = |node: NodeIndex| self.nodes[node].power != Power::Running;
        let may_end = || *open_until <= self.now || self.queue.is_empty();
        !clients.is_empty() && may_end() && clients.clone().all(over)
    }
}
