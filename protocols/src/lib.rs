//! Reference protocols, each readable beside its paper.
//!
//! - [`abd`]: atomic registers over any majority, after Attiya, Bar-Noy and Dolev;
//! - [`byzantine_registers`]: registers on servers that may lie, after Malkhi and Reiter;
//! - [`causal_memory`]: registers that show no effect without its cause, after Ahamad et al.;
//! - [`chain`]: servers in a chain, of which the last answers, after van Renesse and Schneider;
//! - [`crdt`]: data that replicas change without asking anybody, after Shapiro et al.;
//! - [`failure_detector`]: who is down, as far as silence tells, after Chandra and Toueg;
//! - [`gossip`]: rumors that reach all by chance, after Demers et al.;
//! - [`hotstuff`]: the same as `pbft` with leaders that take turns, after Yin et al.;
//! - [`layers`]: the same as `links`, and authentic ones, below any protocol;
//! - [`links`]: perfect links out of fair-loss ones, after Cachin, Guerraoui and Rodrigues;
//! - [`total_order`]: messages in one order for all, after Skeen;
//! - [`raft`]: a replicated log with a strong leader, after Ongaro and Ousterhout;
//! - [`paxos`]: one value for all, after Lamport, with the quorums of Flexible Paxos;
//! - [`paxos_commit`]: atomic commitment by Paxos, one instance a vote, after Gray and Lamport;
//! - [`pbft`]: a replicated state machine some of whose replicas lie, after Castro and Liskov;
//! - [`quorum_kv`]: a store of siblings with quorums, after Dynamo;
//! - [`reliable_broadcast`]: one text for all, or none, among traitors, after Bracha;
//! - [`saga`]: long work in steps that can be compensated, after Garcia-Molina and Salem;
//! - [`two_phase_commit`]: transactions over sharded data, all or nothing, after Bernstein,
//!   Hadzilacos and Goodman, with the presumptions of R\*;
//! - [`three_phase_commit`]: atomic commitment that waits for nobody who is down, after Skeen;
//! - [`try_confirm_cancel`]: bookings of several resources that lock nothing;
//! - [`lock_service`]: a lock with leases and fencing tokens, after Gray, Cheriton and Burrows;
//! - [`oral_messages`]: agreement among traitors, after Lamport, Shostak and Pease;
//! - [`scuttlebutt`]: gossip about what each node says of itself, after van Renesse et al.;
//! - [`signed_messages`]: the same with signatures, in rounds, after Dolev and Strong;
//! - [`swim`]: who is up, known to all at a cost that does not grow, after Das et al.;
//! - [`tendermint`]: the same as `pbft` in rounds of two votes, after Buchman et al.;
//! - [`twins`]: replicas that run twice, below any protocol with rounds, after Bano et al.;
//! - [`two_generals`]: coordinated attack, which no protocol achieves over a link that loses;
//! - [`vsr`]: a replicated log without disks, after Liskov and Cowling;
//! - [`zab`]: a small `ZooKeeper` on its broadcast, after Junqueira, Reed and Serafini;
//! - [`primary_backup`]: a primary, backups and who of them is in sync, after Kafka;
//! - [`sequencer`]: messages in the order of one node, which may fail;
//! - [`multi_paxos`]: a replicated log by Paxos, with a leader and leases, after Lamport;
//! - [`multi_primary`]: writes at every replica, with a rule for conflicts;
//! - [`broadcast`]: from best effort to uniform, after Cachin, Guerraoui and Rodrigues;
//! - [`clocks`]: Lamport and vector clocks, as values;
//! - [`machine`]: the state machine that a replicated log drives, with its client table;
//! - [`kv`]: the key-value state machine that a replicated log drives, or a shard keeps.
//!
//! What is absent: no network, clock, thread, file or random generator. All that a protocol can do
//! is in its [`Context`](seedfall_sim::Context), so the same value runs simulated, is searched, and
//! runs for real.

pub mod abd;
pub mod broadcast;
pub mod byzantine_registers;
pub mod causal_memory;
pub mod chain;
mod chosen;
pub mod clocks;
pub mod crdt;
pub mod failure_detector;
pub mod gossip;
pub mod hotstuff;
pub mod kv;
pub mod layers;
pub mod links;
pub mod lock_service;
pub mod machine;
pub mod multi_paxos;
pub mod multi_primary;
pub mod oral_messages;
pub mod paxos;
pub mod paxos_commit;
pub mod pbft;
pub mod primary_backup;
pub mod quorum_kv;
pub mod raft;
mod reigns;
pub mod reliable_broadcast;
pub mod saga;
pub mod scuttlebutt;
pub mod sequencer;
pub mod signed_messages;
pub mod swim;
pub mod tendermint;
pub mod three_phase_commit;
pub mod total_order;
pub mod try_confirm_cancel;
pub mod twins;
pub mod two_generals;
pub mod two_phase_commit;
pub mod vsr;
pub mod zab;
