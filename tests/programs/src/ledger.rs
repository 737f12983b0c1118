//! What a careful service keeps its records in: a line a record, with its checksum, padded to
//! whole sectors.
//!
//! A sector that is being written as the power fails may be torn, or garbage. Padded, it has none
//! of what was synced before; and a record that is not whole fails its checksum, and is cut off:
//! nobody was told that it is there.

use seedfall_sim::wal::crc32c;
use std::io::{Result, SeekFrom};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// What a disk writes whole, or tears.
const SECTOR: usize = 512;

/// A file of records, of which each ends with its line.
pub struct Ledger {
    file: File,
    /// Whether records stand alone in their sectors.
    pads: bool,
}

impl Ledger {
    /// Opens a ledger, or makes it: the records that are whole. What comes after them is cut off.
    pub async fn open(path: &str, pads: bool) -> Result<(Self, Vec<String>)> {
        let mut options = OpenOptions::new();
        let mut file =
            options.create(true).truncate(false).read(true).write(true).open(path).await?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).await?;
        let (mut records, mut last, mut end) = (Vec::new(), 0, 0);
        while let Some((record, length)) = first_record(&bytes[end..], pads) {
            records.push(record);
            (last, end) = (end, end + length);
        }
        if end < bytes.len() {
            file.set_len(end as u64).await?;
        }
        // If the sync of the last one failed, the page cache alone may have it, and holds it for
        // written: so it is written again.
        file.seek(SeekFrom::Start(last as u64)).await?;
        file.write_all(&bytes[last..end]).await?;
        file.flush().await?;
        file.sync_all().await?;
        Ok((Self { file, pads }, records))
    }

    /// Appends a record, which is in the page cache of the machine then.
    pub async fn append(&mut self, record: &str) {
        let mut line = format!("{record} {:08x}", crc32c(record.as_bytes())).into_bytes();
        if self.pads {
            line.resize((line.len() + 1).next_multiple_of(SECTOR) - 1, b' ');
        }
        line.push(b'\n');
        let wrote = self.file.write_all(&line).await;
        or_stop(wrote.and(self.file.flush().await));
    }

    /// All that was appended survives a power loss from now on.
    pub async fn sync(&mut self) {
        or_stop(self.file.sync_data().await);
    }
}

/// After a write or a sync that failed nobody knows what is on the disk, and whoever is told that
/// it failed tries again: a service that went on would have the record twice. It stops, and reads
/// its disk when it is started again.
fn or_stop(done: Result<()>) {
    if let Err(error) = done {
        eprintln!("stops, as its disk failed: {error}");
        std::process::exit(1);
    }
}

/// The first record, and how many bytes it takes; `None`: there is no whole one.
fn first_record(bytes: &[u8], pads: bool) -> Option<(String, usize)> {
    let length = bytes.iter().position(|byte| *byte == b'\n')? + 1;
    let line = std::str::from_utf8(&bytes[..length]).ok()?.trim_end();
    let (record, sum) = line.rsplit_once(' ')?;
    let is_whole = sum == format!("{:08x}", crc32c(record.as_bytes()));
    let fits = !pads || length.is_multiple_of(SECTOR);
    (is_whole && fits).then(|| (record.to_owned(), length))
}
