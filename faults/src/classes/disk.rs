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

/// Implements what a class of disk faults says of itself that depends on the answer alone, with its
/// fields `node` and `wrong`.
macro_rules! fails_a_disk {
    ($answer:expr) => {
        crate::class::strikes_one_node!();

        fn draw_one(outage: &mut crate::swarm::Outage<'_, '_>) -> Vec<Fault> {
            vec![Self { node: outage.node, wrong: disk::drawn($answer, outage) }.into()]
        }

        fn from_bytes(bytes: &mut crate::bytes::Bytes<'_>) -> Self {
            let node = bytes.node();
            Self { node, wrong: disk::from_bytes($answer, bytes) }
        }

        fn effects(seen: &crate::target::Effects<'_>) -> u64 {
            seen.seen.disks.answered($answer)
        }

        fn unsound(&self) -> Option<&'static str> {
            disk::unsound($answer, &self.wrong)
        }

        fn halfway(&self) -> Option<Fault> {
            Some(crate::classes::Crash::of(self.node).into())
        }

        fn begin(&self, act: &mut Act<'_>) {
            disk::begin(self.node, &self.wrong, act);
        }

        fn end(&self, act: &mut Act<'_>) {
            disk::end(self.node, &self.wrong, act);
        }

        fn at_once(&mut self) {
            self.wrong = self.wrong.at_once();
        }
    };
}
pub(super) use fails_a_disk;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Aim, Entry, FaultBudget, FaultPlan, PlanError};
    use seedfall_sim::{Duration, SystemModel};

    /// A sync that lies is no error after which nothing is lost, whatever a stored plan says.
    #[test]
    fn a_fault_of_a_disk_under_the_name_of_another_class_is_refused() {
        let faults = Duration::millis(10);
        let budget =
            FaultBudget { model: SystemModel::USUAL, nodes: 3, clients: 1, spare: 1, faults };
        let checked = |wrong| {
            let fault = DiskError { node: NodeId::new(0), wrong }.into();
            let (at, lasts) = (Duration::ZERO, faults);
            let entry = Entry { at, lasts, fault, aim: Aim::Named, retargets: false };
            FaultPlan { entries: vec![entry] }.check(&budget)
        };
        assert_eq!(checked(DiskFault::SyncFails { after: 0 }), Ok(()));
        let refused = checked(DiskFault::LyingSync);
        assert!(
            matches!(refused, Err(PlanError::Unsound { entry: 0, class: Class::DiskError, .. })),
            "{refused:?}"
        );
    }
}
