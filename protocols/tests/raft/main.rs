//! Raft against its paper: one test a claim, then whole clusters under faults.

mod clients;
mod election;
mod figures;
mod invariants;
mod lease;
mod membership;
mod replication;
mod scripts;
mod snapshot;
mod support;
mod sweep;
mod transfer;
