//! Logical clocks as values: Lamport's (*Time, Clocks, and the Ordering of Events in a Distributed
//! System*, CACM 1978) and vector clocks (Fidge 1988; Mattern 1989).
//!
//! An event *happens before* another if it is earlier at the same node, or a message sent by the
//! one is received by the other, or by way of a third. A Lamport clock rises along that order, so
//! that it can be made total; from a lower time nothing follows. A vector clock says of two events
//! which of them happened first, or that neither did.
//!
//! ```
//! use seedfall_protocols::clocks::{Lamport, Vector};
//! use seedfall_sim::NodeId;
//! use std::cmp::Ordering;
//!
//! let (one, two) = (NodeId::new(0), NodeId::new(1));
//! let mut here = Lamport::default();
//! let sent = here.tick();
//! assert!(sent < Lamport::default().receive(sent), "a message is received after it was sent");
//!
//! let (mut a, mut b) = (Vector::default(), Vector::default());
//! a.tick(one);
//! b.tick(two);
//! assert_eq!(a.partial_cmp(&b), None, "neither knows of the other");
//! b.receive(two, &a);
//! assert_eq!(a.partial_cmp(&b), Some(Ordering::Less));
//! ```

use seedfall_sim::NodeId;
use std::cmp::Ordering;

/// Lamport's clock: one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Lamport(u64);

impl Lamport {
    /// Something happens here, such as that a message is sent, which carries this time (IR1).
    pub fn tick(&mut self) -> Self {
        self.0 += 1;
        *self
    }

    /// A message arrives that carries that time: this is later than both (IR2).
    pub fn receive(&mut self, sent: Self) -> Self {
        self.0 = self.0.max(sent.0);
        self.tick()
    }

    /// The number.
    pub const fn time(self) -> u64 {
        self.0
    }
}

/// A vector clock: of each node, how many of its events are known. What is not there is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Vector(Vec<u64>);

impl Vector {
    /// Something happens at this node.
    pub fn tick(&mut self, node: NodeId) {
        if self.0.len() <= node.index() {
            self.0.resize(node.index() + 1, 0);
        }
        self.0[node.index()] += 1;
    }

    /// A message arrives at this node that carries that clock.
    pub fn receive(&mut self, node: NodeId, sent: &Self) {
        self.merge(sent);
        self.tick(node);
    }

    /// Knows what either knows.
    pub fn merge(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (here, there) in self.0.iter_mut().zip(&other.0) {
            *here = (*here).max(*there);
        }
    }

    /// How many events of a node are known.
    pub fn of(&self, node: NodeId) -> u64 {
        self.0.get(node.index()).copied().unwrap_or(0)
    }
}

impl PartialOrd for Vector {
    /// Less: it happened before. `None`: neither did.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let nodes = self.0.len().max(other.0.len());
        let pairs = NodeId::all(nodes).map(|node| self.of(node).cmp(&other.of(node)));
        let (mut less, mut greater) = (false, false);
        for order in pairs {
            less |= order == Ordering::Less;
            greater |= order == Ordering::Greater;
        }
        match (less, greater) {
            (false, false) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Less),
            (false, true) => Some(Ordering::Greater),
            (true, true) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: [NodeId; 3] = [NodeId::new(0), NodeId::new(1), NodeId::new(2)];

    /// An event: where, its Lamport time, its vector, and which events it has heard of.
    type Event = (usize, Lamport, Vector, Vec<usize>);

    /// A run in which every event is a message to the next node but one, received at some later
    /// event there: `happened` is worked out from the messages alone.
    fn events(seed: u64) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        let mut random = seed;
        for _ in 0..24 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let node = (random >> 33) as usize % NODES.len();
            let before = events.iter().rposition(|event| event.0 == node);
            let heard = (random >> 40) as usize % (events.len() + 1);
            let (mut lamport, mut vector, mut past) = match before {
                Some(last) => (events[last].1, events[last].2.clone(), events[last].3.clone()),
                None => Default::default(),
            };
            past.extend(before);
            match events.get(heard).filter(|event| event.0 != node) {
                Some((_, sent, clock, of)) => {
                    lamport.receive(*sent);
                    vector.receive(NODES[node], clock);
                    past.extend(of);
                    past.push(heard);
                }
                None => {
                    lamport.tick();
                    vector.tick(NODES[node]);
                }
            }
            events.push((node, lamport, vector, past));
        }
        events
    }

    #[test]
    fn a_lamport_clock_rises_along_what_happened_before() {
        for seed in 0..200 {
            let events = events(seed);
            for (_, time, _, past) in &events {
                assert!(past.iter().all(|other| events[*other].1 < *time), "{seed}");
            }
        }
    }

    #[test]
    fn a_vector_clock_says_what_happened_before_and_nothing_else() {
        for seed in 0..200 {
            let events = events(seed);
            for (one, (_, _, first, _)) in events.iter().enumerate() {
                for (other, (_, _, second, past)) in events.iter().enumerate() {
                    assert_eq!(first < second, past.contains(&one), "{seed}: {one}, {other}");
                }
            }
        }
    }

    #[test]
    fn vectors_of_different_length_compare_as_if_filled_with_zeros() {
        let (mut short, mut long) = (Vector::default(), Vector::default());
        assert_eq!(short.partial_cmp(&long), Some(Ordering::Equal));
        long.tick(NODES[2]);
        assert!(short < long);
        short.merge(&long);
        assert_eq!(short, long);
        assert_eq!((short.of(NODES[0]), short.of(NODES[2])), (0, 1));
    }
}
