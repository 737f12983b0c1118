//! Bytes that a fuzzer chose, as what a fault is made of: each decides something by itself, and a
//! smaller byte is less.

use crate::plan::FaultBudget;
use seedfall_net::Partition;
use seedfall_sim::{Address, ClientId, Duration, NodeId, Ppm};

/// What is left of a block, byte by byte.
pub struct Bytes<'a> {
    pub(crate) rest: [u8; 8],
    pub(crate) next: usize,
    pub(crate) budget: &'a FaultBudget,
}

impl Bytes<'_> {
    /// The next byte; of the eight that belong to the class, none is asked for twice.
    pub fn byte(&mut self) -> u8 {
        self.next += 1;
        self.rest[self.next - 1]
    }

    /// One of so many.
    pub fn choice(&mut self, of: usize) -> usize {
        usize::from(self.byte()) % of
    }

    /// A node.
    pub fn node(&mut self) -> NodeId {
        NodeId::new(self.choice(self.budget.nodes) as u16)
    }

    /// A client, or none.
    pub fn client(&mut self) -> Option<ClientId> {
        let clients = self.budget.clients;
        // As often none as one.
        let byte = usize::from(self.byte());
        (byte % 2 == 1 && clients > 0).then(|| ClientId::new((byte / 2 % clients) as u16))
    }

    /// Two of so many, not the same if there are two.
    pub fn two(&mut self, of: usize) -> [usize; 2] {
        let first = self.choice(of);
        let apart = 1 + self.choice(of.max(2) - 1);
        [first, (first + apart) % of]
    }

    /// A node, or behind all of these a client.
    pub fn address(&self, which: usize) -> Address {
        Address::at_index(which, self.budget.nodes)
    }

    /// Some of the nodes, at least one.
    pub fn nodes(&mut self) -> Vec<NodeId> {
        let first = self.node();
        let members = self.byte();
        let others = NodeId::all(self.budget.nodes).filter(|other| *other != first);
        let hit = others.filter(|other| members >> (other.index() % 8) & 1 == 1);
        std::iter::once(first).chain(hit).collect()
    }

    /// Up to 20 % in steps of about 0.1 %.
    pub fn ppm(&mut self) -> Ppm {
        Ppm::from(self.byte()) * 784
    }

    /// Up to about a second in steps of 4 ms, and never nothing.
    pub fn span(&mut self) -> Duration {
        Duration::millis(u64::from(self.byte()) * 4 + 1)
    }

    /// Up to an hour, either way.
    pub fn nanos(&mut self) -> i64 {
        let [high, low] = [self.byte(), self.byte()];
        i64::from(i16::from_be_bytes([high, low])) * 110_000_000
    }

    /// A shape of partition.
    pub fn partition(&mut self) -> Partition {
        match self.choice(5) {
            0 => Partition::TwoWay { side: self.side() },
            1 => Partition::OneWay { from: self.side() },
            2 => {
                let nodes = self.two(self.budget.nodes);
                let [a, b] = nodes.map(|which| NodeId::new(which as u16));
                Partition::Partial { a, b }
            }
            3 => Partition::Ring,
            _ => Partition::Bridge { bridge: self.node(), side: self.nodes() },
        }
    }

    /// One side of a partition: some nodes, at least one, and perhaps a client.
    pub fn side(&mut self) -> Vec<Address> {
        let nodes = self.nodes().into_iter().map(Address::from);
        nodes.chain(self.client().map(Address::from)).collect()
    }
}
