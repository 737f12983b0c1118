//! The disks below the journals: attached when a node is first to have a disk fault, and never
//! before, so that runs without them cost and draw nothing.

use super::World;
use crate::client::Clients;
use crate::disk::{Disk, DiskCounters, DiskFault};
use crate::draw::{Draw, Site};
use crate::id::NodeId;
use crate::network::Network;
use crate::protocol::Protocol;
use crate::trace::Kind;

/// The indices of a disk's site below this are crashes; from here on, the operations on
/// the disk and the faults that begin.
const OPERATIONS: u64 = 1 << 32;

impl<P: Protocol, N: Network, C: Clients<P>> World<P, N, C> {
    /// Puts a simulated disk below a node's journal, which from now on is written as bytes and read
    /// back by recovery at every start. Nothing if there is one already.
    pub fn attach_disk(&mut self, node: NodeId) {
        self.nodes[node.index()].journal.attach();
    }

    /// The disk of a node, if one is attached.
    pub fn disk(&self, node: NodeId) -> Option<&Disk> {
        self.nodes[node.index()].journal.disk()
    }

    /// A fault of a node's disk begins, and is noted in the trace; it lasts until
    /// [`World::disk_mend`]. The disk is attached if it is not.
    ///
    /// A node whose disk fails in an append or a sync stops there, as in a crash: protocols have no
    /// way to be told, and of a disk that failed nobody knows what it holds. A node whose disk is
    /// damaged refuses to start: [`World::restart`] says false.
    pub fn disk_fault(&mut self, node: NodeId, fault: &DiskFault) {
        self.note_fault(node.into(), &format!("begins: disk of {node}: {fault}"));
        self.attach_disk(node);
        let slot = &mut self.nodes[node.index()];
        let disk = slot.journal.disk_mut().expect("just attached");
        let number = disk.count_operation();
        disk.deal(self.draws.at(Site::Disk(node), OPERATIONS + number));
        disk.begin(fault, slot.state.is_none());
    }

    /// A fault of a node's disk ends: rotten sectors read right again, syncs are honest, there is
    /// room. What is lost stays lost. A node that is down stays down until it is restarted.
    pub fn disk_mend(&mut self, node: NodeId, fault: &DiskFault) {
        self.note_fault(node.into(), &format!("ends: disk of {node}: {fault}"));
        if let Some(disk) = self.nodes[node.index()].journal.disk_mut() {
            disk.end(fault);
        }
    }

    /// How often disk faults had an effect, over all nodes.
    pub fn disk_counters(&self) -> DiskCounters {
        let mut sum = DiskCounters::default();
        for node in &self.nodes {
            if let Some(disk) = node.journal.disk() {
                sum.add(disk.counters());
            }
        }
        sum
    }

    /// The draw of the next operation on a node's disk; dull while nothing is wrong with it.
    fn operation(&mut self, node: NodeId) -> Draw {
        let slot = &mut self.nodes[node.index()];
        let Some(disk) = slot.journal.disk_mut() else { return Draw::NOMINAL };
        let number = disk.count_operation();
        match disk.is_faulty() {
            false => Draw::NOMINAL,
            true => self.draws.at(Site::Disk(node), OPERATIONS + number),
        }
    }

    #[cold]
    pub(super) fn append_through(&mut self, node: NodeId, record: P::Record) {
        let draw = self.operation(node);
        let result = self.nodes[node.index()].journal.append_through(record, draw);
        if let Err(why) = result {
            self.fail_stop(node, &why);
        }
    }

    #[cold]
    pub(super) fn sync_through(&mut self, node: NodeId) -> Option<usize> {
        let draw = self.operation(node);
        let result = self.nodes[node.index()].journal.sync_through(draw);
        result.map_err(|why| self.fail_stop(node, &why)).ok()
    }

    /// A crash before a sync may fall into it.
    pub(super) fn sync_in_part(&mut self, node: NodeId) {
        let journal = &mut self.nodes[node.index()].journal;
        if let Some(disk) = journal.disk_mut() {
            let number = OPERATIONS + disk.count_operation();
            journal.sync_in_part(self.draws.at(Site::Disk(node), number));
        }
    }

    /// The disk has failed: the node does nothing any more, not even the rest of its handler.
    fn fail_stop(&mut self, node: NodeId, why: &str) {
        self.note_fault(node.into(), &format!("stops: disk of {node}: {why}"));
        self.crash(node);
        self.effects.clear();
    }

    /// Reads a node's journal back before it starts. False if it must not start.
    pub(super) fn read_back(&mut self, node: NodeId) -> bool {
        if !self.nodes[node.index()].journal.is_attached() {
            return true;
        }
        let draw = self.operation(node);
        let Err(why) = self.nodes[node.index()].journal.reopen(draw) else { return true };
        self.counters.refusals += 1;
        self.note(Kind::Refuse, node.into(), &why, &|| why.clone());
        false
    }
}
