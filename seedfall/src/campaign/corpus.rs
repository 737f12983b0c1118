//! The corpus of a campaign: what a guided search keeps, exchanged as files between rounds.
//!
//! `corpus/SCENARIO/NAME` in the folder of a campaign, where NAME is a hash of what is in the file.
//! So two machines that find one thing write one file, whoever puts folders together takes the
//! union of the names, and doing so twice changes nothing. What is in a file, and which files are
//! worth keeping, is for the search to say.

use crate::save::save_new;
use seedfall_sim::StableHasher;
use std::collections::BTreeMap;
use std::fs;
use std::hash::Hasher as _;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The folder, in that of the campaign.
pub const FOLDER: &str = "corpus";

/// The name of a file with these bytes: 16 hexadecimal digits.
pub fn name(bytes: &[u8]) -> String {
    let mut hasher = StableHasher::default();
    hasher.write(bytes);
    format!("{:016x}", hasher.finish())
}

/// Keeps bytes for a scenario; says whether they are new.
///
/// # Errors
/// The file cannot be written.
pub fn add(campaign: &Path, scenario: &str, bytes: &[u8]) -> io::Result<bool> {
    let path = campaign.join(FOLDER).join(scenario).join(name(bytes));
    if path.exists() {
        return Ok(false);
    }
    match save_new(&path, bytes) {
        Ok(()) => Ok(true),
        // Somebody else found it in this moment.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// What is kept for a scenario, by name.
///
/// # Errors
/// The folder is there and cannot be read.
pub fn entries(campaign: &Path, scenario: &str) -> io::Result<BTreeMap<String, PathBuf>> {
    files(&campaign.join(FOLDER).join(scenario))
}

/// What came of putting one corpus into another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Files that are new there.
    pub added: u64,
    /// Files whose content is not what their name says: cut or changed, and left where they are.
    pub wrong: Vec<PathBuf>,
}

/// Puts the corpus of one campaign's folder into that of another; what is there already stays.
///
/// # Errors
/// A file or folder cannot be read or written.
pub fn merge(from: &Path, to: &Path) -> io::Result<Merged> {
    let mut merged = Merged::default();
    for (scenario, folder) in files(&from.join(FOLDER))? {
        if !folder.is_dir() {
            continue;
        }
        let there = entries(to, &scenario)?;
        for (known, path) in files(&folder)? {
            if there.contains_key(&known) || !path.is_file() {
                continue;
            }
            let bytes = fs::read(&path)?;
            if name(&bytes) != known {
                merged.wrong.push(path);
                continue;
            }
            merged.added += u64::from(add(to, &scenario, &bytes)?);
        }
    }
    Ok(merged)
}

/// What is in a folder, but what is being written; nothing, if it is not there.
fn files(folder: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries?,
    };
    let mut files = BTreeMap::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            files.insert(name, entry.path());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn putting_together_is_a_union_in_any_order_and_any_number_of_times() {
        let folder = tempfile::tempdir().expect("a folder");
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        assert!(add(&one, "a", b"x").expect("written") && add(&one, "a", b"y").expect("written"));
        assert!(!add(&one, "a", b"x").expect("there already"));
        assert!(add(&two, "a", b"y").expect("written") && add(&two, "b", b"z").expect("written"));
        let cut = two.join("corpus/a").join(name(b"whole"));
        fs::write(&cut, b"who").expect("written");
        fs::write(two.join("corpus/a/.being-written.tmp"), b"w").expect("written");
        let names = |campaign: &Path| {
            let of = |scenario| entries(campaign, scenario).expect("a folder").into_keys();
            of("a").chain(of("b")).collect::<Vec<_>>()
        };
        let (here, there) = (folder.path().join("here"), folder.path().join("there"));
        let wanted = Merged { added: 2, wrong: vec![cut.clone()] };
        assert_eq!(merge(&two, &here).expect("merged"), wanted);
        assert_eq!(merge(&one, &here).expect("merged").added, 1);
        assert_eq!(merge(&one, &there).expect("merged").added, 2);
        assert_eq!(merge(&two, &there).expect("merged").added, 1);
        assert_eq!(names(&here), names(&there));
        assert_eq!(names(&here).len(), 3);
        assert_eq!(merge(&one, &here).expect("merged"), Merged::default());
        assert_eq!(merge(&folder.path().join("none"), &here).expect("none"), Merged::default());
    }
}
