//! A node's folder: whose it is, that nobody else uses it, and the journal in it.
//!
//! ```text
//! identity.json   format version, protocol, node, size of the cluster
//! lock            locked while a process uses the folder
//! journal/        the files of the write-ahead log
//! ```

use super::files::{Buffered, Disk, Files, sync_folder};
use seedfall_sim::NodeId;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The version of the folder's layout.
const FORMAT: u32 = 1;

const IDENTITY: &str = "identity.json";

/// Whose folder it is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// The version of the layout.
    format: u32,
    /// The protocol that writes the journal.
    pub protocol: String,
    /// The node.
    pub node: NodeId,
    /// How many nodes its cluster has.
    pub nodes: usize,
}

impl Identity {
    /// This node of a cluster of `nodes`.
    pub fn new(protocol: &str, node: NodeId, nodes: usize) -> Self {
        Self { format: FORMAT, protocol: protocol.to_owned(), node, nodes }
    }
}

/// When a write reaches the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// At once; only a failure of the machine loses what was not synced.
    Direct,
    /// When it is synced; a kill of the process loses the rest.
    Buffered,
}

/// An open folder. While this lives, no other process can open it.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
}

/// Why a folder cannot be used. Nothing in it was changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum FolderError {
    /// It belongs to another node, protocol or cluster.
    Stranger {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        found: Identity,
        /// Who asks.
        wanted: Identity,
    },
    /// A newer version wrote it.
    Newer {
        /// The folder.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It says nothing, or nothing readable, of whose it is, and is not empty.
    Unknown {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Another process uses it.
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The machine says no.
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stranger { path, found, wanted } => {
                let name = |one: &Identity| {
                    format!("{} of {} nodes running {}", one.node, one.nodes, one.protocol)
                };
                write!(
                    f,
                    "{}: the data of {}, and this is {}: name the folder of this node, or a new \
                     one",
                    path.display(),
                    name(found),
                    name(wanted)
                )
            }
            Self::Newer { path, found } => write!(
                f,
                "{}: written in version {found} of the layout, this program knows version \
                 {FORMAT}: start the program that wrote it",
                path.display()
            ),
            Self::Unknown { path, why } => write!(
                f,
                "{}: not the data of a node: {why}: name another folder, or an empty one",
                path.display()
            ),
            Self::InUse { path } => write!(
                f,
                "{}: another process uses it: stop that one first (a node runs once)",
                path.display()
            ),
            Self::Io { doing, path, error } => {
                write!(f, "{}: cannot {doing}: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for FolderError {}

/// Says what was tried with which path, if it failed.
fn tried<T>(doing: &'static str, path: &Path, result: io::Result<T>) -> Result<T, FolderError> {
    result.map_err(|error| FolderError::Io { doing, path: path.to_owned(), error })
}

impl Folder {
    /// Opens the folder of a node, which is made if it is not there.
    ///
    /// # Errors
    /// It is somebody else's, in use, newer than this program, or the machine says no.
    pub fn open(path: impl Into<PathBuf>, wanted: &Identity) -> Result<Self, FolderError> {
        let path = path.into();
        tried("make it", &path, fs::create_dir_all(&path))?;
        let identity = path.join(IDENTITY);
        let known = Self::identity(&path, &identity)?;
        if known.is_none() {
            let mut there = tried("list it", &path, fs::read_dir(&path))?;
            // A lock may be left of a start that came no further.
            let ours = [IDENTITY, "identity.new", "lock"];
            let other = there.find_map(|entry| {
                let name = entry.ok()?.file_name().to_string_lossy().into_owned();
                (!ours.contains(&name.as_str())).then_some(name)
            });
            if let Some(name) = other {
                let why = format!("it has no {IDENTITY}, and is not empty ({name})");
                return Err(FolderError::Unknown { path, why });
            }
        }
        if let Some(found) = known.as_ref().filter(|found| *found != wanted) {
            let (found, wanted) = (found.clone(), wanted.clone());
            return Err(FolderError::Stranger { path, found, wanted });
        }
        let lock = tried("make its lock", &path, File::create(path.join("lock")))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FolderError::InUse { path }),
            Err(TryLockError::Error(error)) => {
                return Err(FolderError::Io { doing: "lock it", path, error });
            }
        }
        if known.is_none() {
            tried("write", &identity, Self::sign(&path, wanted))?;
        }
        Ok(Self { path, _lock: lock })
    }

    /// What a folder says of whose it is; `None` if it says nothing.
    fn identity(path: &Path, identity: &Path) -> Result<Option<Identity>, FolderError> {
        let bytes = match fs::read(identity) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => tried("read", identity, read)?,
        };
        let unknown = |error: serde_json::Error| FolderError::Unknown {
            path: path.to_owned(),
            why: format!("{IDENTITY} is not what a node writes there ({error})"),
        };
        // Every version has this field.
        let any: serde_json::Value = serde_json::from_slice(&bytes).map_err(unknown)?;
        let format = any.get("format").and_then(serde_json::Value::as_u64).unwrap_or(0) as u32;
        if format > FORMAT {
            return Err(FolderError::Newer { path: path.to_owned(), found: format });
        }
        serde_json::from_value(any).map(Some).map_err(unknown)
    }

    fn sign(path: &Path, identity: &Identity) -> io::Result<()> {
        let new = path.join("identity.new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(identity)?)?;
        file.sync_all()?;
        fs::rename(new, path.join(IDENTITY))?;
        sync_folder(path)
    }

    /// The files of the journal.
    ///
    /// # Errors
    /// The machine says no.
    pub fn journal(&self, writes: Writes) -> Result<Disk, FolderError> {
        let path = self.path.join("journal");
        let files = tried("make", &path, Files::new(&path))?;
        tried("sync", &self.path, sync_folder(&self.path))?;
        Ok(match writes {
            Writes::Direct => Disk::Direct(files),
            Writes::Buffered => Disk::Buffered(Buffered::new(files)),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_opened_by_its_node_alone_and_once() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("n1");
        let me = Identity::new("raft", NodeId::new(0), 3);
        let open = Folder::open(&path, &me).expect("a new folder");
        let error = Folder::open(&path, &me).expect_err("it is in use");
        assert!(matches!(error, FolderError::InUse { .. }), "{error}");
        drop(open);
        Folder::open(&path, &me).expect("its own folder");
        let other = Identity::new("raft", NodeId::new(1), 3);
        let error = Folder::open(&path, &other).expect_err("another node's").to_string();
        assert!(
            error.contains("the data of n1 of 3 nodes running raft, and this is n2"),
            "{error}"
        );
    }

    #[test]
    fn a_folder_of_a_newer_version_or_of_no_node_is_refused() {
        let place = tempfile::tempdir().expect("a folder");
        let me = Identity::new("raft", NodeId::new(0), 3);
        fs::write(place.path().join(IDENTITY), r#"{"format":2,"shape":"new"}"#).expect("room");
        let error = Folder::open(place.path(), &me).expect_err("newer").to_string();
        assert!(error.contains("written in version 2 of the layout"), "{error}");
        fs::write(place.path().join(IDENTITY), "{").expect("room");
        let error = Folder::open(place.path(), &me).expect_err("not JSON").to_string();
        assert!(error.contains("is not what a node writes there"), "{error}");
        fs::remove_file(place.path().join(IDENTITY)).expect("it is there");
        fs::write(place.path().join("thesis.txt"), "years of work").expect("room");
        let error = Folder::open(place.path(), &me).expect_err("not empty").to_string();
        assert!(error.contains("is not empty (thesis.txt)"), "{error}");
    }
}
