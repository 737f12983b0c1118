//! What the three classes of disk faults have in common.
//!
//! Halfway through the entry the node crashes, so that it must read back what it wrote; at the end
//! it is restarted while the fault is still there, and if it refuses to start although nothing is
//! lost, once more when it is not.

use super::{Class, DiskDamage, DiskError, DiskLie, Fault};
use crate::act::Act;
use crate::bytes::Bytes;
use crate::swarm::Outage;
use seedfall_sim::{Answer, DiskFault, Draw, NodeId};

/// The class of a disk fault: what the best journal can do against it.
pub const fn class(answer: Answer) -> Class {
    match answer {
        Answer::Survives => Class::DiskError,
        Answer::Refuses => Class::DiskDamage,
        Answer::Forgets => Class::DiskLie,
    }
}

impl Fault {
    /// Something wrong with a disk, as a fault of its class.
    pub fn of_disk(node: NodeId, wrong: DiskFault) -> Self {
        match class(wrong.about().answer) {
            Class::DiskError => DiskError { node, wrong }.into(),
            Class::DiskDamage => DiskDamage { node, wrong }.into(),
            _ => DiskLie { node, wrong }.into(),
        }
    }
}

/// One of the disk faults against which the best journal can do this.
fn one_of(answer: Answer, word: u32, draw: Draw) -> DiskFault {
    let fits = |kind: &usize| DiskFault::of_kind(*kind, draw).about().answer == answer;
    let kinds: Vec<usize> = (0..DiskFault::KINDS).filter(fits).collect();
    DiskFault::of_kind(kinds[word as usize % kinds.len()], draw)
}

pub(super) fn drawn(answer: Answer, outage: &mut Outage<'_, '_>) -> DiskFault {
    let word = outage.draw().word();
    one_of(answer, word, outage.draw())
}

pub(super) fn from_bytes(answer: Answer, bytes: &mut Bytes<'_>) -> DiskFault {
    let kind = bytes.byte().into();
    let [high, low] = [bytes.byte(), bytes.byte()];
    let draw = Draw::from_words([u32::from_be_bytes([high, low, 0, 0]); 4]);
    one_of(answer, kind, draw)
}

pub(super) fn unsound(answer: Answer, wrong: &DiskFault) -> Option<&'static str> {
    let other = wrong.about().answer != answer;
    other.then_some("this fault of a disk is of another class")
}

pub(super) fn begin(node: NodeId, wrong: &DiskFault, act: &mut Act<'_>) {
    let done = act.target.disk_fault(node, wrong);
    act.took(done);
    act.deadline();
}

pub(super) fn end(node: NodeId, wrong: &DiskFault, act: &mut Act<'_>) {
    if act.is_gone(node) {
        let done = act.target.disk_mend(node, wrong);
        act.took(done);
        return;
    }
    act.restart(node);
    // It refused to start, or started and stopped again.
    let is_down = !act.target.is_up(node);
    let done = act.target.disk_mend(node, wrong);
    act.took(done);
    if is_down && wrong.about().answer == Answer::Survives {
        act.restart(node);
    } else if is_down {
        act.is_gone_for_good(node);
    }
}
