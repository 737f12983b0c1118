//! redb, pull request 1293: "Recover databases with torn region-count header fields".
//!
//! The header says of how many pages the file consists, in two numbers that have no checksum, and
//! are written anew by a commit that makes the file shorter or longer. A power loss that comes then
//! may leave some bytes of the old number and some of the new: 257 pages (0x101) that become 135
//! (0x87) are 391 (0x187). Both roots of the database are whole, and the file is refused from then
//! on, since it is shorter than it says.
//!
//! Model: a store of one table, whose machine loses its power before each change of its files, one
//! run after the other, on a disk that overwrites parts of sectors safely: what was not synced is
//! there byte by byte, or is not. The file system has a journal. A file that was not made to its
//! end is made anew.
//!
//! Property: it opens again (else its program panics), and has what it acknowledged. 4.1.0 does not
//! open in some runs; 4.2.0 goes by the length that the file has.

use crate::expect;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use seedfall::NEVER_PANICS;
use seedfall::programs::storage::{Engine, In, Out, Promise, Row, Write, Wrong, engine};
use seedfall::programs::{Program, Programs};
use std::fs;

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");

struct Redb(Database);

impl Redb {
    fn open() -> Result<Self, Wrong> {
        if !fs::exists("finished")? && fs::exists("data.redb")? {
            fs::remove_file("data.redb")?;
        }
        let database = Database::create("data.redb")?;
        let first = database.begin_write()?;
        first.open_table(TABLE)?;
        first.commit()?;
        fs::File::create("finished")?.sync_all()?;
        Ok(Self(database))
    }
}

impl Engine for Redb {
    fn commit(&mut self, writes: &[Write]) -> Result<(), Wrong> {
        let transaction = self.0.begin_write()?;
        let mut table = transaction.open_table(TABLE)?;
        for Write { key, value } in writes {
            match value {
                Some(value) => drop(table.insert(&key[..], &value[..])?),
                None => drop(table.remove(&key[..])?),
            }
        }
        drop(table);
        Ok(transaction.commit()?)
    }

    fn all(&mut self) -> Result<Vec<Row>, Wrong> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        let rows = table.iter()?.map(|row| {
            let (key, value) = row?;
            Ok((key.value().to_vec(), value.value().to_vec()))
        });
        rows.collect()
    }
}

/// A store whose file is made shorter.
pub fn scenario() -> Programs<In, Out> {
    let because = "a power loss may leave half of the number of pages in the header, which has no \
                   checksum (redb, pull request 1293)";
    let programs = engine("redb", Promise::Commits, Redb::open);
    let disk = |node: &Program| node.clone().powersafe().journaled();
    let nodes = programs.nodes.iter().map(disk).collect();
    let properties = &[NEVER_PANICS, "every operation completes"];
    Programs { nodes, expect: expect(properties, because), ..programs }
}
