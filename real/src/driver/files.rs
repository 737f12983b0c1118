//! Real files below the journal: a folder as a [`Storage`], and one that forgets in a crash what
//! was not synced.

use seedfall_sim::wal::Storage;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// A folder of the file system.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    /// Files that were written to, kept open.
    open: BTreeMap<String, File>,
}

impl Files {
    /// The files of a folder, which is made if it is not there.
    ///
    /// # Errors
    /// It is not there and cannot be made.
    pub fn new(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, open: BTreeMap::new() })
    }

    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        if !self.open.contains_key(name) {
            let file = OpenOptions::new().read(true).write(true).open(self.folder.join(name))?;
            self.open.insert(name.to_owned(), file);
        }
        Ok(self.open.get_mut(name).expect("it was just put there"))
    }
}

/// Makes durable which names a folder has.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    // A folder can be synced where it can be opened; where it cannot, names are durable by
    // themselves (Windows).
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

impl Storage for Files {
    type Error = io::Error;

    fn list(&mut self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn read(&mut self, file: &str) -> io::Result<Vec<u8>> {
        fs::read(self.folder.join(file))
    }

    fn create(&mut self, file: &str) -> io::Result<()> {
        self.open.insert(file.to_owned(), File::create(self.folder.join(file))?);
        Ok(())
    }

    fn write(&mut self, file: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.file(file)?;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }

    fn truncate(&mut self, file: &str, length: u64) -> io::Result<()> {
        self.file(file)?.set_len(length)
    }

    fn sync(&mut self, file: &str) -> io::Result<()> {
        self.file(file)?.sync_all()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.open.remove(to);
        fs::rename(self.folder.join(from), self.folder.join(to))?;
        if let Some(file) = self.open.remove(from) {
            self.open.insert(to.to_owned(), file);
        }
        Ok(())
    }

    fn remove(&mut self, file: &str) -> io::Result<()> {
        self.open.remove(file);
        fs::remove_file(self.folder.join(file))
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        sync_folder(&self.folder)
    }
}

/// Keeps what is written to a file in memory until the file is synced.
///
/// A process that is killed leaves its writes in the page cache of the machine, so killing it loses
/// nothing, and shows no missing sync. With this in between it loses what a power failure could
/// lose of the bytes of files. (Which names there are goes through at once.)
#[derive(Debug)]
pub struct Buffered<S> {
    below: S,
    writes: BTreeMap<String, Vec<(u64, Vec<u8>)>>,
}

impl<S> Buffered<S> {
    /// Holds back what is written to `below`.
    pub fn new(below: S) -> Self {
        Self { below, writes: BTreeMap::new() }
    }
}

impl<S: Storage> Buffered<S> {
    fn flush(&mut self, file: &str) -> Result<(), S::Error> {
        for (offset, bytes) in self.writes.remove(file).unwrap_or_default() {
            self.below.write(file, offset, &bytes)?;
        }
        Ok(())
    }
}

impl<S: Storage> Storage for Buffered<S> {
    type Error = S::Error;

    fn list(&mut self) -> Result<Vec<String>, S::Error> {
        self.below.list()
    }

    fn read(&mut self, file: &str) -> Result<Vec<u8>, S::Error> {
        self.flush(file)?;
        self.below.read(file)
    }

    fn create(&mut self, file: &str) -> Result<(), S::Error> {
        self.writes.remove(file);
        self.below.create(file)
    }

    fn write(&mut self, file: &str, offset: u64, bytes: &[u8]) -> Result<(), S::Error> {
        self.writes.entry(file.to_owned()).or_default().push((offset, bytes.to_vec()));
        Ok(())
    }

    fn truncate(&mut self, file: &str, length: u64) -> Result<(), S::Error> {
        self.flush(file)?;
        self.below.truncate(file, length)
    }

    fn sync(&mut self, file: &str) -> Result<(), S::Error> {
        self.flush(file)?;
        self.below.sync(file)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), S::Error> {
        self.below.rename(from, to)?;
        self.writes.remove(to);
        if let Some(writes) = self.writes.remove(from) {
            self.writes.insert(to.to_owned(), writes);
        }
        Ok(())
    }

    fn remove(&mut self, file: &str) -> Result<(), S::Error> {
        self.writes.remove(file);
        self.below.remove(file)
    }

    fn sync_dir(&mut self) -> Result<(), S::Error> {
        self.below.sync_dir()
    }
}

/// Either of the two, chosen while the program runs.
#[derive(Debug)]
pub enum Disk {
    /// Writes go to the machine at once.
    Direct(Files),
    /// Writes go to the machine when they are synced.
    Buffered(Buffered<Files>),
}

/// The same call of whichever it is.
macro_rules! either {
    ($disk:expr, $storage:ident => $call:expr) => {
        match $disk {
            Disk::Direct($storage) => $call,
            Disk::Buffered($storage) => $call,
        }
    };
}

impl Storage for Disk {
    type Error = io::Error;

    fn list(&mut self) -> io::Result<Vec<String>> {
        either!(self, storage => storage.list())
    }
    fn read(&mut self, file: &str) -> io::Result<Vec<u8>> {
        either!(self, storage => storage.read(file))
    }
    fn create(&mut self, file: &str) -> io::Result<()> {
        either!(self, storage => storage.create(file))
    }
    fn write(&mut self, file: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        either!(self, storage => storage.write(file, offset, bytes))
    }
    fn truncate(&mut self, file: &str, length: u64) -> io::Result<()> {
        either!(self, storage => storage.truncate(file, length))
    }
    fn sync(&mut self, file: &str) -> io::Result<()> {
        either!(self, storage => storage.sync(file))
    }
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        either!(self, storage => storage.rename(from, to))
    }
    fn remove(&mut self, file: &str) -> io::Result<()> {
        either!(self, storage => storage.remove(file))
    }
    fn sync_dir(&mut self) -> io::Result<()> {
        either!(self, storage => storage.sync_dir())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_synced_is_lost_with_the_process() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut files = Buffered::new(Files::new(folder.path()).expect("a folder"));
        files.create("a").expect("room");
        files.write("a", 0, b"kept").expect("room");
        files.sync("a").expect("room");
        files.write("a", 4, b"lost").expect("room");
        drop(files); // What a kill leaves.
        let mut files = Files::new(folder.path()).expect("a folder");
        assert_eq!(files.read("a").expect("it is there"), b"kept");
    }

    #[test]
    fn files_are_written_cut_renamed_and_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut files = Files::new(folder.path()).expect("a folder");
        files.create("a").expect("room");
        files.write("a", 2, b"xyz").expect("room");
        assert_eq!(files.read("a").expect("there"), b"\0\0xyz", "a gap reads as zeros");
        files.truncate("a", 3).expect("room");
        files.rename("a", "b").expect("room");
        files.write("b", 3, b"!").expect("room");
        files.sync("b").expect("room");
        files.sync_dir().expect("room");
        assert_eq!(files.list().expect("there"), ["b"]);
        assert_eq!(files.read("b").expect("there"), b"\0\0x!");
        files.remove("b").expect("there");
        assert!(files.list().expect("there").is_empty());
    }
}
