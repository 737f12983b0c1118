//! redb: copy-on-write trees in one file, a commit with one sync (the first of two slots that is
//! whole by its checksums counts) or with two.

use ::redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use seedfall::Expect;
use seedfall::programs::storage::{Engine, In, Out, Promise, Write, Wrong, engine};
use seedfall::programs::{Program, Programs};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");

/// A database of one table.
struct Redb {
    database: Database,
    two_phases: bool,
}

impl Redb {
    fn open(two_phases: bool) -> Result<Self, Wrong> {
        let database = Database::create("data.redb")?;
        let first = database.begin_write()?;
        first.open_table(TABLE)?;
        first.commit()?;
        Ok(Self { database, two_phases })
    }
}

impl Engine for Redb {
    fn commit(&mut self, writes: &[Write]) -> Result<(), Wrong> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_two_phase_commit(self.two_phases);
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

    fn all(&mut self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Wrong> {
        let table = self.database.begin_read()?.open_table(TABLE)?;
        let rows = table.iter()?.map(|row| {
            let (key, value) = row?;
            Ok((key.value().to_vec(), value.value().to_vec()))
        });
        rows.collect()
    }
}

/// As it is by default, on the disks that it takes for granted, whose file system has a journal.
pub fn redb() -> Programs<In, Out> {
    on(Program::journaled, powersafe(engine("redb", Promise::Commits, || Redb::open(false))))
}

/// With two phases, likewise.
pub fn two_phases() -> Programs<In, Out> {
    let programs = engine("redb-two-phases", Promise::Commits, || Redb::open(true));
    on(Program::journaled, powersafe(programs))
}

/// As it is by default, on the disks that it takes for granted, and a file system that may leave a
/// file that was growing at any length.
pub fn any_length() -> Programs<In, Out> {
    let because = "a file that was growing as the power failed, and ends in the midst of a page, \
                   is not opened: \"File length does not correspond to a valid region layout\"";
    let expect = Expect::Violates { properties: &["never panics"], because };
    let programs = engine("redb-any-length", Promise::Commits, || Redb::open(false));
    powersafe(Programs { expect, ..programs })
}

/// As it is by default, on disks that lose a sector with what stood in it before.
pub fn unsafe_overwrite() -> Programs<In, Out> {
    let because = "the two slots of its header share a sector: redb takes disks to have powersafe \
                   overwrite";
    let expect = Expect::Violates { properties: &["never panics", "kept"], because };
    let programs = engine("redb-unsafe-overwrite", Promise::Commits, || Redb::open(false));
    on(Program::journaled, Programs { expect, ..programs })
}

/// The same on a disk that overwrites parts of sectors safely.
pub(crate) fn powersafe(programs: Programs<In, Out>) -> Programs<In, Out> {
    on(Program::powersafe, programs)
}

fn on(disk: fn(Program) -> Program, programs: Programs<In, Out>) -> Programs<In, Out> {
    let nodes = programs.nodes.iter().cloned().map(disk).collect();
    Programs { nodes, ..programs }
}
