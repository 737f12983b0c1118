//! A campaign, as one process of it sees it: which seeds it is to run, and where it leaves what
//! came of them.
//!
//! The environment says both, so that whoever can start a test can run a part of a campaign:
//! `cargo test`, nextest, `cargo seedfall`, a scheduler of a cluster.
//!
//! - `SEEDFALL_LIST=FILE`: each scenario is appended to the file, a line of JSON ([`About`]); none
//!   is run. `-`: standard output.
//! - `SEEDFALL_SCENARIO=NAME`: others than this one are passed over.
//! - `SEEDFALL_OUT=FOLDER`: what came of the seeds is left there, as lines of JSON ([`Entry`]).
//! - `SEEDFALL_SEEDS=A..B`, or a count: the seeds; several ranges have commas between them.
//! - `SEEDFALL_WHOLE=A..B`: the seeds of the campaign, where those above are a part of them.
//! - `SEEDFALL_BASE_SEED=N`: is added to `SEEDFALL_SEEDS`.
//! - `SEEDFALL_SHARD=K/N`: of the units of the campaign every N-th; K is from 1 to N.
//! - `SEEDFALL_UNIT=N`: seeds in a unit; unsaid, it follows from how many seeds there are.
//! - `SEEDFALL_TIME=60s`: when to stop taking new seeds.
//! - `SEEDFALL_JOBS=N`: on how many threads; unsaid, on all cores.
//! - `SEEDFALL_BUILD=ID`: what is run, in a word; unsaid, a hash of the test binary.
//! - `SEEDFALL_WORKER=ID`: who runs it, for the name of the file; then a failure is data, and the
//!   test passes.
//! - `SEEDFALL_BLOCK=N`: seeds to a line, at most; unsaid, as many as take a tenth of a second.
//! - `SEEDFALL_SMALL=SEED`: a failing seed is made small, and kept in the folder as a case, with
//!   its report; `SEEDFALL_REPLAY` is what replays one.
//!
//! A line says how many seeds *from, to* it is about, and is the sum over them; sums add up, in any
//! order and cut anywhere, so that a campaign comes to the same result however it was cut. Each
//! line carries a checksum: what a process wrote that was killed counts up to its last whole line.
//! When a process has done what it was asked for, its file loses the ending `.part`.

pub mod corpus;
mod record;
mod spans;
mod worker;

pub use record::{About, Entry, Group, Runs, Start, decode, encode};
pub use spans::{Shard, parse_spans, spell, unit_for, units};
pub(crate) use worker::{Order, list, small};
pub use worker::{Small, work_alone};

/// How many seeds of each scenario a campaign has, if nothing says otherwise.
pub const DEFAULT_SEEDS: u64 = 10_000;
