//! Files that are written whole or not at all: to a temporary file beside, which then takes the
//! name.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Writes a file, whole or not at all; folders on the way are made.
///
/// # Errors
/// It cannot be written; what stood there before is untouched.
pub fn save(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = Beside::written(path, bytes)?;
    fs::rename(&beside.0, path)
}

/// As [`save`], to a name that is free.
///
/// # Errors
/// As for [`save`], and if something has this name already.
pub fn save_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = Beside::written(path, bytes)?;
    fs::hard_link(&beside.0, path) // Unlike a rename, it refuses a name that is taken.
}

/// A file beside the one to be, of this process alone; gone with the value. By hand, since what
/// `tempfile` brings takes longer to compile than what uses it here.
struct Beside(PathBuf);

impl Beside {
    fn written(path: &Path, bytes: &[u8]) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        loop {
            let mut temporary = OsString::from(".");
            temporary.push(name);
            let unique = NEXT.fetch_add(1, Ordering::Relaxed);
            temporary.push(format!(".{}-{unique}.tmp", process::id()));
            let beside = path.with_file_name(temporary);
            let mut file = match File::create_new(&beside) {
                // A process of the same number was killed here.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                other => other?,
            };
            let beside = Self(beside);
            file.write_all(bytes)?;
            file.sync_all()?;
            return Ok(beside);
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0); // Gone already, if it took its name.
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_file_is_as_others_make_it_and_is_not_overwritten_unasked() {
        let folder = tempfile::tempdir().expect("a folder");
        let (ours, usual) = (folder.path().join("new/ours"), folder.path().join("usual"));
        save(&ours, b"one").expect("it can be written");
        fs::write(&usual, b"one").expect("it can be written");
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode();
        assert_eq!(mode(&ours), mode(&usual));
        assert!(save_new(&ours, b"two").is_err());
        assert_eq!(fs::read(&ours).expect("it is there"), b"one");
        save(&ours, b"two").expect("it can be written");
        assert_eq!(fs::read(&ours).expect("it is there"), b"two");
        assert_eq!(fs::read_dir(folder.path().join("new")).expect("a folder").count(), 1);
    }
}
