//! Storage engines, as they are published, on the simulated files: each crashes before every write,
//! sync and change of a name, and what it finds then is compared with what it acknowledged.
//!
//! What each promises is in its own file: of `SQLite`, `pragma.html`; of redb, `Durability` and
//! `docs/design.md`; of fjall, `PersistMode`.
//!
//! sled cannot be tried: its pool of threads is a static, which the lives of a program share here,
//! and whose threads end with the first of them.

pub mod fjall;
pub mod lmdb;
pub mod redb;
pub mod sqlite;
