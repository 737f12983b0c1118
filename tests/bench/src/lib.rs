//! What the benchmarks of all engines share: the workloads' sizes, the load on Raft, and the driver
//! that runs our Raft on a peer's network.

pub mod driver;
pub mod raft;
pub mod stream;
pub mod workload;
