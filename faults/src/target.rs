//! The world that faults act on.

use crate::classes::shutdown::EndSignal;
use seedfall_net::{Disturbance, Tally, Wire};
use seedfall_sim::{
    Address, Clients, ClockFault, Counters, CrashPoint, DiskCounters, DiskFault, Duration, Lies,
    NodeId, Protocol, Time, World,
};

/// What a world cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsupported;

/// Whether something took effect, or that this world cannot do it.
pub type Done = Result<bool, Unsupported>;

/// A world that faults act on: simulated nodes, programs in a simulated Linux, real processes. What
/// it cannot do it need not implement: it is [`Unsupported`].
pub trait Target {
    /// What time it is.
    fn now(&self) -> Time;
    /// How many nodes there are.
    fn node_count(&self) -> usize;
    /// Whether a node is up.
    fn is_up(&self, node: NodeId) -> bool;
    /// Whether a node is up and says that it leads.
    fn leads(&self, _node: NodeId) -> bool {
        false
    }
    /// What faults have come to so far.
    fn seen(&self) -> Seen {
        Seen::default()
    }
    /// Notes, under the name of who is meant, that a fault of the wire begins or ends.
    fn note(&mut self, _who: Address, _what: &str) {}

    /// Puts a disturbance in force; of one that holds messages, the wire is told that it is to end
    /// at `until`.
    fn disturb(&mut self, _disturbance: &Disturbance, _until: Time) -> Done {
        Err(Unsupported)
    }
    /// Takes back a disturbance that was begun with the same `until`.
    fn end_disturbance(&mut self, _disturbance: &Disturbance, _until: Time) -> Done {
        Err(Unsupported)
    }

    /// Crashes a node: whether it was up.
    fn crash(&mut self, _node: NodeId) -> Done {
        Err(Unsupported)
    }
    /// Crashes a node for good: whether it was up.
    fn stop(&mut self, node: NodeId) -> Done {
        self.crash(node)
    }
    /// Lets a node crash as soon as it comes to a point inside a handler: whether it is up.
    fn arm_crash(&mut self, _node: NodeId, _point: CrashPoint) -> Done {
        Err(Unsupported)
    }
    /// Forgets that: whether it still waited.
    fn disarm_crash(&mut self, _node: NodeId) -> Done {
        Err(Unsupported)
    }
    /// Starts a node that is down: whether it was.
    fn restart(&mut self, _node: NodeId) -> Done {
        Err(Unsupported)
    }
    /// Tells the program of a node to end, by a signal: whether it ran.
    fn tell_to_end(&mut self, _node: NodeId, _signal: EndSignal) -> Done {
        Err(Unsupported)
    }
    /// Kills the program of a node, whose machine lives on: whether it ran.
    fn kill(&mut self, _node: NodeId) -> Done {
        Err(Unsupported)
    }
    /// Freezes a node.
    fn pause(&mut self, _node: NodeId) -> Done {
        Err(Unsupported)
    }
    /// Lets it go on.
    fn resume(&mut self, _node: NodeId) -> Done {
        Err(Unsupported)
    }
    /// Crashes a node and loses all that it wrote.
    fn wipe(&mut self, _node: NodeId) -> Done {
        Err(Unsupported)
    }
    /// Lets each event of a node take so long; zero: no time.
    fn slow_down(&mut self, _node: NodeId, _each: Duration) -> Done {
        Err(Unsupported)
    }
    /// Lets each sync of a node take so long; zero: no time.
    fn stall_disk(&mut self, _node: NodeId, _each: Duration) -> Done {
        Err(Unsupported)
    }
    /// Makes a node's clocks wrong.
    fn begin_clock_fault(&mut self, _node: NodeId, _fault: ClockFault) -> Done {
        Err(Unsupported)
    }
    /// Takes that back.
    fn end_clock_fault(&mut self, _node: NodeId, _fault: ClockFault) -> Done {
        Err(Unsupported)
    }
    /// Lets something be wrong with a node's disk.
    fn disk_fault(&mut self, _node: NodeId, _fault: &DiskFault) -> Done {
        Err(Unsupported)
    }
    /// Takes that back.
    fn disk_mend(&mut self, _node: NodeId, _fault: &DiskFault) -> Done {
        Err(Unsupported)
    }
    /// Lets a node lie; `None`: not any more.
    fn set_lies(&mut self, _node: NodeId, _lies: Option<Lies>) -> Done {
        Err(Unsupported)
    }
    /// Lets a node follow a malicious strategy of its protocol, by number; `None`: not any more.
    /// False if the protocol has none.
    fn set_strategy(&mut self, _node: NodeId, _which: Option<u32>) -> Done {
        Err(Unsupported)
    }
    /// Lets a node run twice.
    fn begin_twins(&mut self, _node: NodeId, _round: Duration) -> Done {
        Err(Unsupported)
    }
    /// Takes that back.
    fn end_twins(&mut self, _node: NodeId) -> Done {
        Err(Unsupported)
    }
}

/// What faults have come to so far, as a world counts it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// What happened to messages.
    pub wire: Tally,
    /// What happened to nodes.
    pub nodes: Counters,
    /// What happened to disks.
    pub disks: DiskCounters,
}

/// What a class may count as its effect.
#[derive(Clone, Copy, Debug)]
pub struct Effects<'a> {
    /// What the world counts.
    pub seen: &'a Seen,
    /// How often entries of the class did something with their own hands
    /// ([`Act::count`](crate::act::Act::count)).
    pub deeds: u64,
}

/// Simulated nodes of a protocol can do everything.
impl<P: Protocol, C: Clients<P>> Target for World<P, Wire, C> {
    fn now(&self) -> Time {
        self.now()
    }
    fn node_count(&self) -> usize {
        self.node_count()
    }
    fn is_up(&self, node: NodeId) -> bool {
        self.node(node).is_some()
    }
    fn leads(&self, node: NodeId) -> bool {
        self.node(node).is_some_and(P::is_leader)
    }
    fn seen(&self) -> Seen {
        Seen { wire: *self.network().tally(), nodes: *self.counters(), disks: self.disk_counters() }
    }
    fn note(&mut self, who: Address, what: &str) {
        self.note_fault(who, what);
    }
    fn disturb(&mut self, disturbance: &Disturbance, until: Time) -> Done {
        self.network_mut().begin(disturbance, until);
        Ok(true)
    }
    fn end_disturbance(&mut self, disturbance: &Disturbance, until: Time) -> Done {
        let now = self.now();
        let released = self.network_mut().end(disturbance, until, now);
        self.release(&released);
        Ok(true)
    }
    fn crash(&mut self, node: NodeId) -> Done {
        Ok(self.crash(node))
    }
    fn arm_crash(&mut self, node: NodeId, point: CrashPoint) -> Done {
        Ok(self.arm_crash(node, point))
    }
    fn disarm_crash(&mut self, node: NodeId) -> Done {
        Ok(self.disarm_crash(node))
    }
    fn restart(&mut self, node: NodeId) -> Done {
        Ok(self.restart(node))
    }
    fn pause(&mut self, node: NodeId) -> Done {
        Ok(self.pause(node))
    }
    fn resume(&mut self, node: NodeId) -> Done {
        Ok(self.resume(node))
    }
    fn wipe(&mut self, node: NodeId) -> Done {
        Ok(self.wipe(node))
    }
    fn slow_down(&mut self, node: NodeId, each: Duration) -> Done {
        self.slow_down(node, each);
        Ok(true)
    }
    fn stall_disk(&mut self, node: NodeId, each: Duration) -> Done {
        self.stall_disk(node, each);
        Ok(true)
    }
    fn begin_clock_fault(&mut self, node: NodeId, fault: ClockFault) -> Done {
        self.begin_clock_fault(node, fault);
        Ok(true)
    }
    fn end_clock_fault(&mut self, node: NodeId, fault: ClockFault) -> Done {
        Ok(self.end_clock_fault(node, fault))
    }
    fn disk_fault(&mut self, node: NodeId, fault: &DiskFault) -> Done {
        self.disk_fault(node, fault);
        Ok(true)
    }
    fn disk_mend(&mut self, node: NodeId, fault: &DiskFault) -> Done {
        self.disk_mend(node, fault);
        Ok(true)
    }
    fn set_lies(&mut self, node: NodeId, lies: Option<Lies>) -> Done {
        self.set_lies(node, lies);
        Ok(true)
    }
    fn set_strategy(&mut self, node: NodeId, which: Option<u32>) -> Done {
        Ok(self.set_strategy(node, which))
    }
    fn begin_twins(&mut self, node: NodeId, round: Duration) -> Done {
        Ok(self.begin_twins(node, round))
    }
    fn end_twins(&mut self, node: NodeId) -> Done {
        Ok(self.end_twins(node))
    }
}
