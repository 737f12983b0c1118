//! Programs as they are, inside the simulated Linux; and real ones beside it.

#![cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    clippy::print_stdout,
    reason = "programs do what programs do"
)]

mod backstop;
mod beside;
mod changes;
mod coverage;
mod decided;
mod echo;
mod faults;
mod files;
mod isolated;
mod maps;
mod mistakes;
mod network;
mod on_tokio;
mod same;
mod same_files;
mod same_maps;
mod same_sockets;
mod signals;
mod tidy;
mod traced;
mod verdicts;
mod zygote;
