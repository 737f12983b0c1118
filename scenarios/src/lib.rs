//! The scenarios that come with Seedfall: one file each, told as a story and then as data.

use seedfall::Swarm;
use seedfall::run::Runnable;

pub mod abd;
pub mod bank;
pub mod broadcast;
pub mod byzantine_generals;
pub mod byzantine_registers;
pub mod causal_memory;
pub mod chain;
pub mod copied_register;
pub mod crdt;
mod exhaustive;
pub mod failure_detector;
pub mod gossip;
pub mod hotstuff;
pub mod layers;
pub mod links;
pub mod lock_service;
pub mod multi_paxos;
pub mod multi_primary;
pub mod paxos;
pub mod paxos_commit;
pub mod pbft;
pub mod primary_backup;
pub mod quorum_kv;
pub mod raft_byzantine;
pub mod raft_kv;
pub mod raft_lease;
pub mod raft_members;
pub mod raft_snapshot;
mod registers;
pub mod reliable_broadcast;
pub mod saga;
pub mod scuttlebutt;
pub mod sequencer;
#[cfg(feature = "real")]
pub mod services;
pub mod signed_generals;
pub mod swim;
pub mod tendermint;
pub mod three_phase_commit;
pub mod total_order;
pub mod try_confirm_cancel;
pub mod twins;
pub mod two_generals;
pub mod vsr;
pub mod vsr_reconfiguration;
pub mod zab;

/// All faults under which the golden hashes and the figures of `docs/` were taken. A class that is
/// newer stands here until they are taken anew, and is drawn in a scenario of its own meanwhile.
pub const MEASURED: Swarm = Swarm { slow_links: 0, strategies: 0, ..Swarm::ALL };

/// Every built-in search of all orders of events to a bound.
pub use exhaustive::all as searches;

/// Every built-in scenario.
pub fn all() -> Vec<Box<dyn Runnable>> {
    let mut all: Vec<Box<dyn Runnable>> = vec![
        Box::new(raft_kv::five()),
        Box::new(raft_kv::three()),
        Box::new(raft_kv::duel()),
        Box::new(raft_kv::slow_links()),
        Box::new(raft_snapshot::scenario()),
        Box::new(raft_lease::scenario()),
        Box::new(raft_lease::drifting()),
        Box::new(raft_lease::transfer()),
        Box::new(raft_members::seven()),
        Box::new(raft_members::four()),
        Box::new(abd::many()),
        Box::new(abd::arbitrary()),
        Box::new(abd::single()),
        Box::new(abd::regular()),
        Box::new(abd::inversion()),
        Box::new(paxos::three()),
        Box::new(paxos::flexible()),
        Box::new(paxos::disjoint()),
        Box::new(causal_memory::scenario()),
        Box::new(causal_memory::stale()),
        Box::new(chain::scenario()),
        Box::new(quorum_kv::strict()),
        Box::new(quorum_kv::inversion()),
        Box::new(quorum_kv::sloppy()),
        Box::new(quorum_kv::gap()),
        Box::new(quorum_kv::deletes()),
        Box::new(quorum_kv::siblings()),
        Box::new(bank::presumed_abort()),
        Box::new(bank::presumed_commit()),
        Box::new(bank::crashes()),
        Box::new(bank::statements()),
        Box::new(saga::orchestrated()),
        Box::new(saga::semantic_lock()),
        Box::new(saga::choreographed()),
        Box::new(saga::dirty_read()),
        Box::new(bank::blocking()),
        Box::new(three_phase_commit::sites()),
        Box::new(three_phase_commit::quorum()),
        Box::new(three_phase_commit::partition()),
        Box::new(try_confirm_cancel::scenario()),
        Box::new(raft_byzantine::liar()),
        Box::new(raft_byzantine::twins()),
        Box::new(raft_byzantine::amnesiac()),
        Box::new(byzantine_generals::four()),
        Box::new(byzantine_generals::three()),
        Box::new(links::perfect()),
        Box::new(links::fifo()),
        Box::new(total_order::scenario()),
        Box::new(two_generals::reliable()),
        Box::new(two_generals::lossy()),
        Box::new(copied_register::scenario()),
    ];
    all.extend(logs());
    all.extend(without_trust());
    all
}

/// Those of commitment by consensus, of replicated logs beside Raft, and of broadcast.
fn logs() -> Vec<Box<dyn Runnable>> {
    vec![
        Box::new(paxos_commit::scenario()),
        Box::new(paxos_commit::stops()),
        Box::new(paxos_commit::one_acceptor()),
        Box::new(paxos_commit::disjoint()),
        Box::new(chain::craq()),
        Box::new(chain::leases()),
        Box::new(layers::on_perfect()),
        Box::new(layers::fair_loss()),
        Box::new(layers::on_authenticated()),
        Box::new(layers::flipped_bits()),
        Box::new(layers::on_fifo()),
        Box::new(layers::without_order()),
        Box::new(vsr::five()),
        Box::new(vsr::recovery()),
        Box::new(vsr::no_recovery()),
        Box::new(vsr_reconfiguration::six()),
        Box::new(zab::three()),
        Box::new(zab::five()),
        Box::new(zab::stale_reads()),
        Box::new(primary_backup::synchronous()),
        Box::new(primary_backup::asynchronous()),
        Box::new(primary_backup::high_watermark()),
        Box::new(sequencer::three()),
        Box::new(sequencer::one_copy()),
        Box::new(multi_paxos::three()),
        Box::new(multi_paxos::five()),
        Box::new(multi_paxos::leases()),
        Box::new(multi_paxos::drifting()),
        Box::new(broadcast::best_effort()),
        Box::new(broadcast::reliable()),
        Box::new(broadcast::uniform()),
        Box::new(broadcast::fifo()),
        Box::new(broadcast::not_uniform()),
    ]
}

/// Those of Byzantine agreement, of locks and of data without consensus.
fn without_trust() -> Vec<Box<dyn Runnable>> {
    vec![
        Box::new(byzantine_generals::seven()),
        Box::new(signed_generals::three()),
        Box::new(signed_generals::five()),
        Box::new(signed_generals::two_traitors()),
        Box::new(reliable_broadcast::four()),
        Box::new(reliable_broadcast::two_traitors()),
        Box::new(pbft::four()),
        Box::new(lock_service::leases()),
        Box::new(lock_service::margin()),
        Box::new(lock_service::drifting()),
        Box::new(lock_service::unfenced()),
        Box::new(hotstuff::four()),
        Box::new(twins::one()),
        Box::new(twins::two()),
        Box::new(tendermint::four()),
        Box::new(tendermint::two_liars()),
        Box::new(crdt::states()),
        Box::new(crdt::deltas()),
        Box::new(crdt::operations()),
        Box::new(crdt::raw()),
        Box::new(scuttlebutt::scenario()),
        Box::new(multi_primary::siblings()),
        Box::new(multi_primary::last_writer_wins()),
        Box::new(byzantine_registers::dissemination()),
        Box::new(byzantine_registers::masking()),
        Box::new(byzantine_registers::dissemination_three()),
        Box::new(byzantine_registers::masking_four()),
        Box::new(failure_detector::perfect()),
        Box::new(failure_detector::eventually_perfect()),
        Box::new(failure_detector::accrual()),
        Box::new(failure_detector::hasty()),
        Box::new(gossip::anti_entropy()),
        Box::new(gossip::rumors()),
        Box::new(gossip::rounds()),
        Box::new(gossip::mongering()),
        Box::new(swim::plain()),
        Box::new(swim::lifeguard()),
        Box::new(swim::accurate()),
    ]
}
