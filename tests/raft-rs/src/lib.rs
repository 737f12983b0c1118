//! Somebody else's Raft under Seedfall: the `raft` crate (raft-rs 0.7), unmodified, in the
//! scenarios of our own.
//!
//! It shows how to bring a library that does no I/O of its own. Such a library (a *sans-I/O* state
//! machine) is told of messages and of the passage of time, and hands out what is to be written,
//! sent and applied. A [`Protocol`](seedfall::sim::Protocol) does the same with a `Context`. What
//! stands between the two is here, file by file:
//!
//! - [`server`]: the protocol. Five questions have to be answered, and each is a paragraph of its
//!   header: what travels, what is written down, what time is, where chance comes from, and what
//!   clients are told;
//! - [`log`]: the library's storage, rebuilt from the journal at every start;
//! - [`machine`]: what the log drives: a key-value store with sessions;
//! - [`invariants`]: what is watched from outside while a run goes on;
//! - [`scenarios`]: our own scenarios, with this protocol in the place of ours.
//!
//! The `main` of the binary is three lines, and gives it every command of `seedfall`.

pub mod invariants;
pub mod log;
pub mod machine;
pub mod scenarios;
pub mod server;
