//! Storage engines, as they are published, on the simulated files: each crashes before every write,
//! sync and change of a name, and what it finds then is compared with what it acknowledged.
//!
//! What each promises is in its own file: of `SQLite`, `pragma.html`; of redb, `Durability` and
//! `docs/design.md`; of fjall, `PersistMode`.

pub mod fjall;
pub mod lmdb;
pub mod redb;
pub mod sled;
pub mod sqlite;
