//! The journal's recovery, over files that anybody may have written.

use seedfall::sim::wal::{Storage, Wal};
use std::collections::BTreeMap;
use std::convert::Infallible;

/// A folder in memory: all of it is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Folder(BTreeMap<String, Vec<u8>>);

impl Folder {
    fn file(&mut self, name: &str) -> &mut Vec<u8> {
        self.0.entry(name.to_owned()).or_default()
    }
}

impl Storage for Folder {
    type Error = Infallible;

    fn list(&mut self) -> Result<Vec<String>, Infallible> {
        Ok(self.0.keys().cloned().collect())
    }

    fn read(&mut self, file: &str) -> Result<Vec<u8>, Infallible> {
        Ok(self.file(file).clone())
    }

    fn create(&mut self, file: &str) -> Result<(), Infallible> {
        self.file(file).clear();
        Ok(())
    }

    fn write(&mut self, file: &str, offset: u64, bytes: &[u8]) -> Result<(), Infallible> {
        let file = self.file(file);
        let (from, to) = (offset as usize, offset as usize + bytes.len());
        file.resize(file.len().max(to), 0);
        file[from..to].copy_from_slice(bytes);
        Ok(())
    }

    fn truncate(&mut self, file: &str, length: u64) -> Result<(), Infallible> {
        self.file(file).truncate(length as usize);
        Ok(())
    }

    fn sync(&mut self, _: &str) -> Result<(), Infallible> {
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), Infallible> {
        let bytes = self.0.remove(from).unwrap_or_default();
        *self.file(to) = bytes;
        Ok(())
    }

    fn remove(&mut self, file: &str) -> Result<(), Infallible> {
        self.0.remove(file);
        Ok(())
    }

    fn sync_dir(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Recovery of any bytes refuses, or hands out what it hands out again. The first byte says whether
/// the others are the files, or operations on a log and one damage to it: what comes back of that
/// is a prefix of what was appended.
pub fn journal(bytes: &[u8]) {
    let Some((mode, bytes)) = bytes.split_first() else { return };
    if mode % 2 == 0 {
        let (head, frames) = bytes.split_at(bytes.len().min(usize::from(mode / 2) * 8));
        let mut folder = Folder::default();
        *folder.file("head") = head.to_vec();
        *folder.file("frames-0") = frames.to_vec();
        drop(reopened(&mut folder));
        return;
    }
    let Some((damage, operations)) = bytes.split_first_chunk::<4>() else { return };
    let (mut folder, appended) = written(operations);
    let names: Vec<String> = folder.0.keys().cloned().collect();
    let [which, high, low, flip] = *damage;
    let file = folder.file(&names[usize::from(which) % names.len()]);
    let at = usize::from(high) << 8 | usize::from(low);
    if at < file.len() && flip > 0 {
        file[at] ^= flip;
    } else {
        file.truncate(at);
    }
    if let Some(payloads) = reopened(&mut folder) {
        assert!(appended.starts_with(&payloads), "a prefix of what was appended");
    }
}

/// A log to which these bytes appended, and which they synced; and its payloads.
fn written(operations: &[u8]) -> (Folder, Vec<Vec<u8>>) {
    let mut folder = Folder::default();
    let opened = Wal::open(&mut folder);
    let (mut log, _) = opened.unwrap_or_else(|error| panic!("an empty folder: {error}"));
    let mut appended = Vec::new();
    for byte in operations.iter().take(64) {
        let done = if byte % 3 == 0 {
            log.sync(&mut folder).map(drop)
        } else {
            let payload = vec![*byte; usize::from(*byte)];
            appended.push(payload.clone());
            log.append(&mut folder, &payload)
        };
        done.unwrap_or_else(|error| panic!("a folder that never fails: {error}"));
    }
    (folder, appended)
}

/// What recovery hands out, if it does not refuse: twice the same, and what is appended after it.
fn reopened(folder: &mut Folder) -> Option<Vec<Vec<u8>>> {
    let (_, first) = Wal::open(folder).ok()?;
    let again = Wal::open(folder);
    let (mut log, second) = again.unwrap_or_else(|error| panic!("it opened before: {error}"));
    assert_eq!(first.payloads, second.payloads, "recovery changes nothing that it handed out");
    assert_eq!(second.cut, 0, "and cuts a tail once");
    let new = b"new".as_slice();
    let done = log.append(folder, new).and_then(|()| log.sync(folder));
    done.unwrap_or_else(|error| panic!("a folder that never fails: {error}"));
    let third = Wal::open(folder);
    let (_, third) = third.unwrap_or_else(|error| panic!("it opened before: {error}"));
    let (last, before) = third.payloads.split_last().unwrap_or_else(|| panic!("one was appended"));
    assert_eq!((before, last.as_slice()), (first.payloads.as_slice(), new));
    Some(first.payloads)
}
