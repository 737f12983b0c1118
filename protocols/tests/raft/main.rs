//! Raft against its paper: one test a claim, then whole clusters under faults.

mod clients;
mod election;
mod figures;
mod invariants;
mod replication;
mod support;
mod sweep;
