//! redb: copy-on-write trees in one file, a commit with one sync (the first of two slots that is
//! whole by its checksums counts) or with two.

use ::redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use seedfall::Expect;
use seedfall::programs::storage::{Engine, In, Out, Promise, Write, Wrong, engine};
use seedfall::programs::{Program, Programs};
use std::fs;

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");

/// A database of one table.
struct Redb {
    database: Database,
    two_phases: bool,
}

impl Redb {
    /// A file that was not made to its end is not opened: what was not `finished` is made anew.
    fn open(two_phases: bool, again: bool) -> Result<Self, Wrong> {
        if again && !fs::exists("finished")? && fs::exists("data.redb")? {
            fs::remove_file("data.redb")?;
        }
        let database = Database::create("data.redb")?;
        let first = database.begin_write()?;
        first.open_table(TABLE)?;
        first.commit()?;
        if again {
            fs::File::create("finished")?.sync_all()?;
        }
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

fn scenario(name: &'static str, two_phases: bool, again: bool) -> Programs<In, Out> {
    engine(name, Promise::Commits, move || Redb::open(two_phases, again))
}

pub(crate) fn breaks(
    properties: &'static [&'static str],
    because: &'static str,
    programs: Programs<In, Out>,
) -> Programs<In, Out> {
    Programs { expect: Expect::Violates { properties, because }, ..programs }
}

/// As it is by default, on the disks that it takes for granted, whose file system has a journal,
/// once its file is there.
pub fn redb() -> Programs<In, Out> {
    on(Program::journaled, powersafe(scenario("redb", false, true)))
}

/// With two phases, likewise.
pub fn two_phases() -> Programs<In, Out> {
    on(Program::journaled, powersafe(scenario("redb-two-phases", true, true)))
}

/// As it is by default, and a crash may come as it makes its file.
pub fn new() -> Programs<In, Out> {
    let because = "a power loss while the file is made leaves one that is not empty and has no \
                   magic number: it is refused from then on (\"Not a redb database: magic number \
                   mismatch\")";
    let programs = on(Program::journaled, powersafe(scenario("redb-new", false, false)));
    breaks(&["never panics", "every operation completes"], because, programs)
}

/// As it is by default, on the disks that it takes for granted, and a file system that may leave a
/// file that was growing at any length.
pub fn any_length() -> Programs<In, Out> {
    let because = "a file that was growing as the power failed, and ends in the midst of a page, \
                   is not opened (\"File length does not correspond to a valid region layout\")";
    let programs = powersafe(scenario("redb-any-length", false, true));
    breaks(&["never panics", "every operation completes"], because, programs)
}

/// The same on a disk that overwrites parts of sectors safely.
pub(crate) fn powersafe(programs: Programs<In, Out>) -> Programs<In, Out> {
    on(Program::powersafe, programs)
}

pub(crate) fn on(disk: fn(Program) -> Program, programs: Programs<In, Out>) -> Programs<In, Out> {
    let nodes = programs.nodes.iter().cloned().map(disk).collect();
    Programs { nodes, ..programs }
}
