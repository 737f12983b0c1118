//! The peers.

pub fn child(_arguments: Vec<String>) {}

pub fn table() {}
