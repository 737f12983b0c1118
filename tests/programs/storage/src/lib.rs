//! Storage engines, as they are published, on the simulated files: each crashes before every write,
//! sync and change of a name, and what it finds then is compared with what it acknowledged.
//!
//! | engine | promises | of its documentation |
//! |---|---|---|
//! | SQLite | a commit survives with `synchronous=EXTRA`, or `FULL` and a write-ahead log | `pragma.html` |
//! | redb | a commit survives; takes disks to have *powersafe overwrite* | `Durability::Immediate`, `docs/design.md` |
//! | fjall | a batch is atomic, and survives with `PersistMode::SyncAll` or `SyncData` | `PersistMode` |
//!
//! sled cannot be tried: its pool of threads is a static, which the lives of a program share here,
//! and whose threads end with the first of them.

pub mod fjall;
pub mod redb;
pub mod sqlite;
