//! Storage engines, as they are published, on the simulated files: each crashes before every write,
//! sync and change of a name, and what it finds then is compared with what it acknowledged.
//!
//! | engine | promises | of its documentation |
//! |---|---|---|
//! | SQLite | a commit survives with `synchronous=EXTRA`, or `FULL` and a write-ahead log | `pragma.html` |
//! | redb | a commit survives; takes disks to have *powersafe overwrite* | `Durability::Immediate`, `docs/design.md` |
//! | fjall | a batch is atomic, and survives with `PersistMode::SyncAll` or `SyncData` | `PersistMode` |
//! | sled | a batch is atomic; what was flushed survives | `Tree::apply_batch`, `Tree::flush` |

pub mod fjall;
pub mod redb;
pub mod sled;
pub mod sqlite;
