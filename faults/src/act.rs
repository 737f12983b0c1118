//! What a fault can do when its moment has come: to the world, and to its own entry.

use crate::target::{Done, Target};
use seedfall_net::Disturbance;
use seedfall_sim::{Address, Duration, NodeId, Time};
use std::collections::BTreeSet;
use std::fmt::Display;

/// One entry's moment: it begins, ends, or has waited long enough.
pub struct Act<'a> {
    /// The world.
    pub target: &'a mut dyn Target,
    /// When the entry ends.
    pub(crate) until: Time,
    /// Whether the entry looks for work, and its class has had no effect yet.
    pub(crate) unmet: bool,
    /// Whether its class has had an effect since it began.
    pub(crate) has_struck: bool,
    /// The nodes that are stopped for good.
    pub(crate) gone: &'a mut BTreeSet<NodeId>,
    /// How often its class did something with its own hands.
    pub(crate) deeds: &'a mut u64,
    /// Whether another entry does to the same node what it does.
    pub(crate) shared: bool,
    /// Whether its entry has had an effect that is none of its class.
    pub(crate) restarts: &'a mut bool,
    /// Whether it waits for a moment inside a handler.
    pub(crate) armed: &'a mut bool,
    /// When it has waited long enough, if it asked for that.
    pub(crate) deadline: Option<Time>,
    /// What this world cannot do.
    pub(crate) unsupported: &'a mut u64,
}

impl Act<'_> {
    /// Whether something took effect; what the world cannot do did not, and is counted.
    pub fn took(&mut self, done: Done) -> bool {
        done.unwrap_or_else(|_| {
            *self.unsupported += 1;
            false
        })
    }

    /// Counts an effect of the class that no world counts.
    pub fn count(&mut self, effect: bool) {
        *self.deeds += u64::from(effect);
    }

    /// Crashes a node: whether it was up.
    pub fn crash(&mut self, node: NodeId) -> bool {
        let done = self.target.crash(node);
        self.took(done)
    }

    /// Starts a node again, unless it is gone for good.
    pub fn restart(&mut self, node: NodeId) {
        if !self.gone.contains(&node) {
            let done = self.target.restart(node);
            self.took(done);
        }
    }

    /// From now on no fault starts this node again.
    pub fn is_gone_for_good(&mut self, node: NodeId) {
        self.gone.insert(node);
    }

    /// Whether no fault may start this node again.
    pub fn is_gone(&self, node: NodeId) -> bool {
        self.gone.contains(&node)
    }

    /// Whether its entry looks for work, and its class has had no effect yet.
    pub fn is_unmet(&self) -> bool {
        self.unmet
    }

    /// Whether its class has had an effect since its entry began.
    pub fn has_struck(&self) -> bool {
        self.has_struck
    }

    /// Whether another entry that is in force does to the same node what it does: then it does not
    /// take that back.
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// Its entry crashed its node, which alone may be what it does.
    pub fn restarts(&mut self, crashed: bool) {
        *self.restarts |= crashed;
    }

    /// It waits for a moment inside a handler, or does not.
    pub fn wait_for_a_point(&mut self, waits: bool) {
        *self.armed = waits;
    }

    /// Asks to be hurried halfway from now to its end.
    pub fn deadline(&mut self) {
        let now = self.target.now();
        let half = Duration::nanos(self.until.since(now).as_nanos() / 2);
        self.deadline = Some(now + half);
    }

    /// Puts a disturbance of the wire in force, under these words.
    pub fn disturb(&mut self, disturbance: &Disturbance, words: &dyn Display) {
        self.target.note(first_named(disturbance), &format!("begins: {words}"));
        let done = self.target.disturb(disturbance, self.until);
        self.took(done);
    }

    /// Takes it back.
    pub fn end_disturbance(&mut self, disturbance: &Disturbance, words: &dyn Display) {
        self.target.note(first_named(disturbance), &format!("ends: {words}"));
        let done = self.target.end_disturbance(disturbance, self.until);
        self.took(done);
    }
}

/// Under whose name a disturbance of the wire is noted.
fn first_named(disturbance: &Disturbance) -> Address {
    match disturbance {
        Disturbance::Clog { from, .. } => *from,
        Disturbance::Swizzle { node } => (*node).into(),
        _ => NodeId::new(0).into(),
    }
}
