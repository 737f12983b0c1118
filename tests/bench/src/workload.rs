//! What every engine is asked to do.

/// Nodes of W3.
pub const BROADCAST_NODES: usize = 50;
/// Nodes of W4 and W5.
pub const PEERS: usize = 5;

/// What a child process has done.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// How many events of the kind that the workload counts.
    pub events: u64,
    /// Something that depends on all of them.
    pub check: u64,
}
