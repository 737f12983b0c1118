#![no_main]
//! `cargo fuzz run faults --features libfuzzer`: the body stands in the library, where `cargo test`
//! runs it too.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(seedfall_fuzz::faults(bytes)));
