//! Files that are written whole or not at all: to a temporary file beside, which then takes the
//! name.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use tempfile::{Builder, NamedTempFile};

/// Writes a file, whole or not at all; folders on the way are made.
///
/// # Errors
/// It cannot be written; what stood there before is untouched.
pub fn save(path: &Path, bytes: &[u8]) -> io::Result<()> {
    beside(path, bytes)?.persist(path).map(drop).map_err(|error| error.error)
}

/// As [`save`], to a name that is free.
///
/// # Errors
/// As for [`save`], and if something has this name already.
pub fn save_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    beside(path, bytes)?.persist_noclobber(path).map(drop).map_err(|error| error.error)
}

/// A temporary file beside `path`.
fn beside(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut builder = Builder::new();
    // As any file that a program makes: others may read it, as far as the umask lets them.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
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
