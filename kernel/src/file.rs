//! The files of one node, in memory, and what a crash leaves of them.
//!
//! What was written and not synced is in the page cache alone: a crash keeps or loses each such
//! page by a draw. Names (made, removed, renamed) are written down in the order in which they were
//! changed, so that a crash keeps a first part of those that are not durable yet; a sync of
//! anything makes all changes of names before it durable, as the journals of ext4, XFS and btrfs
//! do. A program that is killed loses nothing: its machine lives on.

mod crash;
mod data;
mod faults;
mod mapped;

use crate::kernel::{Errno, Kernel};
pub(crate) use data::Promises;
use data::{Data, PAGE};
use faults::Faults;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

/// So many symbolic links are followed.
const MOST_LINKS: u32 = 40;
/// The inode of the root.
const ROOT: usize = 0;

/// What a name stands for.
#[derive(Clone, Debug)]
enum Content {
    File(Data),
    Folder(BTreeMap<String, usize>),
    Link(String),
    Socket,
}

/// A file, a folder, a link.
#[derive(Clone, Debug)]
struct Inode {
    content: Content,
    mode: u32,
    links: u32,
    /// When it was written last, by the node's wall clock.
    modified: u64,
}

/// A change of a name that is not durable yet.
#[derive(Clone, Debug)]
struct Change {
    /// Changes of one call are kept or lost together.
    call: u64,
    folder: usize,
    name: String,
    before: Option<usize>,
}

/// What `stat` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// The number of the file.
    pub(crate) inode: u64,
    /// Its length.
    pub(crate) size: u64,
    /// Its kind and permissions.
    pub(crate) mode: u32,
    /// How many names it has.
    pub(crate) links: u32,
    /// When it was written last, in nanoseconds since 1970.
    pub(crate) modified: u64,
}

/// Whether a link at the end of a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Follow {
    Always,
    /// It is, and what it leads to may be made, unless a slash comes after it.
    Makes,
    /// If a slash comes after it.
    Slash,
    Never,
}

/// What a path ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Name,
    Dot,
    DotDot,
    Root,
}

/// Where a path leads.
#[derive(Debug)]
struct Place {
    /// The folder that has, or would have, the last name.
    folder: usize,
    /// The folders above that one, from the root on.
    above: Vec<usize>,
    /// The last name, if the path ends with one.
    name: String,
    last: Last,
    /// Whether a slash comes after it: then it must be a folder.
    slash: bool,
    /// What it stands for.
    inode: Option<usize>,
}

/// An open file.
#[derive(Debug)]
pub(crate) struct OpenFile {
    /// Which.
    pub(crate) inode: usize,
    /// Where the next read or write begins.
    pub(crate) offset: u64,
    /// The flags of `open`.
    pub(crate) flags: i32,
    /// The path by which it was opened.
    pub(crate) path: Arc<str>,
    /// Its lock on the file (`flock`): exclusive, or shared.
    pub(crate) lock: Option<bool>,
}

/// An open folder.
#[derive(Debug)]
pub(crate) struct OpenFolder {
    /// Which.
    pub(crate) inode: usize,
    /// Its path, where relative ones begin.
    pub(crate) path: String,
    /// What it had when it was first read, and is not read yet.
    pub(crate) rest: Option<VecDeque<(String, Status)>>,
}

/// All files of a node.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    inodes: Vec<Inode>,
    changes: Vec<Change>,
    calls: u64,
    faults: Faults,
    /// What the disk promises.
    pub(crate) promises: Promises,
}

impl Tree {
    /// An empty tree, with the folders that every machine has.
    pub(crate) fn new() -> Self {
        let root = Inode {
            content: Content::Folder(BTreeMap::new()),
            mode: libc::S_IFDIR | 0o755,
            links: 2,
            modified: 0,
        };
        let (inodes, changes) = (vec![root], Vec::new());
        let faults = Faults::default();
        let mut tree = Self { inodes, changes, calls: 0, faults, promises: Promises::default() };
        for folder in ["/tmp", "/etc", "/home", "/var", "/run", "/dev"] {
            tree.make_folders(folder);
        }
        tree
    }

    /// Makes a folder and those above it, durably.
    pub(crate) fn make_folders(&mut self, path: &str) {
        let mut so_far = String::new();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            so_far = format!("{so_far}/{name}");
            // One that is there already is as good.
            let _ = self.make_folder(&so_far, 0o755, 0);
        }
        self.changes.clear();
    }

    /// Puts a file there, durably: what an image of a machine has.
    pub(crate) fn put(&mut self, path: &str, bytes: &[u8]) -> Result<(), Errno> {
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.make_folders(folder);
        }
        let (inode, _) = self.open(path, libc::O_CREAT | libc::O_WRONLY, 0o644, 0)?;
        self.write(inode, 0, bytes, 0)?;
        self.sync(inode).map(drop)
    }

    /// Where a path leads.
    fn walk(&self, path: &str, follow: Follow) -> Result<Place, Errno> {
        if path.is_empty() {
            return Err(libc::ENOENT);
        }
        let names = |path: &str| -> Vec<String> {
            path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect()
        };
        let mut slash = path.ends_with('/');
        let mut rest: VecDeque<String> = names(path).into();
        let (mut stack, mut links, mut last) = (vec![ROOT], 0, Last::Root);
        while let Some(name) = rest.pop_front() {
            let folder = *stack.last().unwrap_or(&ROOT);
            let Content::Folder(entries) = &self.inodes[folder].content else {
                return Err(libc::ENOTDIR);
            };
            if name == "." {
                last = Last::Dot;
                continue;
            }
            if name == ".." {
                last = Last::DotDot;
                stack.truncate((stack.len() - 1).max(1));
                continue;
            }
            let inode = entries.get(&name).copied();
            let is_last = rest.is_empty();
            let follows = match follow {
                Follow::Makes if is_last && slash => return Err(libc::EISDIR),
                Follow::Always | Follow::Makes => true,
                Follow::Slash => slash,
                Follow::Never => false,
            };
            match inode.map(|inode| &self.inodes[inode].content) {
                Some(Content::Link(target)) if !is_last || follows => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(libc::ELOOP);
                    }
                    if target.starts_with('/') {
                        stack.truncate(1);
                    }
                    slash |= is_last && target.ends_with('/');
                    names(target).into_iter().rev().for_each(|name| rest.push_front(name));
                }
                _ if is_last => {
                    let last = Last::Name;
                    stack.pop();
                    return Ok(Place { folder, above: stack, name, last, slash, inode });
                }
                Some(_) => stack.extend(inode),
                None => return Err(libc::ENOENT),
            }
        }
        let folder = stack.pop().unwrap_or(ROOT);
        let (name, inode) = (String::new(), Some(folder));
        if !self.is_folder(folder) {
            return Err(libc::ENOTDIR);
        }
        Ok(Place { folder, above: stack, name, last, slash, inode })
    }

    fn find(&self, path: &str, follow: bool) -> Result<usize, Errno> {
        let place = self.walk(path, if follow { Follow::Always } else { Follow::Slash })?;
        let inode = place.inode.ok_or(libc::ENOENT)?;
        if place.slash && !self.is_folder(inode) { Err(libc::ENOTDIR) } else { Ok(inode) }
    }

    fn is_folder(&self, inode: usize) -> bool {
        matches!(self.inodes[inode].content, Content::Folder(_))
    }

    /// Where something is to be made that is no folder, or one.
    fn place_for(&self, path: &str, folder: bool) -> Result<Place, Errno> {
        let place = self.walk(path, Follow::Never)?;
        if place.last != Last::Name || place.inode.is_some() {
            return Err(libc::EEXIST);
        }
        if place.slash && !folder { Err(libc::ENOENT) } else { Ok(place) }
    }

    fn entries(&mut self, folder: usize) -> Result<&mut BTreeMap<String, usize>, Errno> {
        match &mut self.inodes[folder].content {
            Content::Folder(entries) => Ok(entries),
            _ => Err(libc::ENOTDIR),
        }
    }

    /// A name stands for something else from now on.
    fn change(
        &mut self,
        folder: usize,
        name: &str,
        after: Option<usize>,
        now: u64,
    ) -> Result<(), Errno> {
        let entries = self.entries(folder)?;
        let before = match after {
            Some(inode) => entries.insert(name.to_owned(), inode),
            None => entries.remove(name),
        };
        if let Some(inode) = before {
            self.inodes[inode].links = self.inodes[inode].links.saturating_sub(1);
        }
        if let Some(inode) = after {
            self.inodes[inode].links += 1;
        }
        self.inodes[folder].modified = now;
        let call = self.calls;
        self.changes.push(Change { call, folder, name: name.to_owned(), before });
        Ok(())
    }

    fn make(&mut self, path: &str, content: Content, mode: u32, now: u64) -> Result<usize, Errno> {
        let place = self.place_for(path, matches!(content, Content::Folder(_)))?;
        self.calls += 1;
        self.inodes.push(Inode { content, mode, links: 0, modified: now });
        let inode = self.inodes.len() - 1;
        self.change(place.folder, &place.name, Some(inode), now)?;
        Ok(inode)
    }

    /// `mkdir`.
    pub(crate) fn make_folder(&mut self, path: &str, mode: u32, now: u64) -> Result<(), Errno> {
        let folder = Content::Folder(BTreeMap::new());
        self.make(path, folder, libc::S_IFDIR | (mode & 0o777), now).map(drop)
    }

    /// `symlink`.
    pub(crate) fn make_link(&mut self, target: &str, path: &str, now: u64) -> Result<(), Errno> {
        let link = Content::Link(target.to_owned());
        self.make(path, link, libc::S_IFLNK | 0o777, now).map(drop)
    }

    /// The file that a unix socket leaves.
    pub(crate) fn make_socket(&mut self, path: &str, now: u64) -> Result<(), Errno> {
        self.make(path, Content::Socket, libc::S_IFSOCK | 0o755, now).map(drop)
    }

    /// `link`: one more name for a file.
    pub(crate) fn link(&mut self, from: &str, to: &str, now: u64) -> Result<(), Errno> {
        let inode = self.find(from, false)?;
        let place = self.place_for(to, false)?;
        if self.is_folder(inode) {
            return Err(libc::EPERM);
        }
        self.calls += 1;
        self.change(place.folder, &place.name, Some(inode), now)
    }

    /// `open`: the inode, and whether it is a folder.
    pub(crate) fn open(
        &mut self,
        path: &str,
        flags: i32,
        mode: u32,
        now: u64,
    ) -> Result<(usize, bool), Errno> {
        let creates = flags & libc::O_CREAT != 0;
        let exclusive = creates && flags & libc::O_EXCL != 0;
        let follow = flags & libc::O_NOFOLLOW == 0 && !exclusive;
        let place = self.walk(
            path,
            match (creates, follow) {
                (true, true) => Follow::Makes,
                (true, false) => Follow::Never,
                (false, true) => Follow::Always,
                (false, false) => Follow::Slash,
            },
        )?;
        if creates && place.slash && place.last == Last::Name {
            return Err(libc::EISDIR);
        }
        let Some(inode) = place.inode else {
            if !creates {
                return Err(libc::ENOENT);
            }
            let mode = libc::S_IFREG | (mode & 0o777);
            let whole = Content::File(Data::default());
            self.calls += 1;
            self.inodes.push(Inode { content: whole, mode, links: 0, modified: now });
            let inode = self.inodes.len() - 1;
            self.change(place.folder, &place.name, Some(inode), now)?;
            return Ok((inode, false));
        };
        let cuts = flags & libc::O_TRUNC != 0;
        let writes = flags & libc::O_ACCMODE != libc::O_RDONLY || cuts;
        let folder_wanted = flags & libc::O_DIRECTORY != 0 || place.slash;
        match &mut self.inodes[inode].content {
            _ if exclusive => Err(libc::EEXIST),
            Content::Folder(_) if creates || writes => Err(libc::EISDIR),
            Content::Folder(_) => Ok((inode, true)),
            _ if folder_wanted => Err(libc::ENOTDIR),
            Content::File(data) => {
                if cuts {
                    data.resize(0);
                    self.inodes[inode].modified = now;
                }
                Ok((inode, false))
            }
            Content::Link(_) => Err(libc::ELOOP),
            Content::Socket => Err(libc::ENXIO),
        }
    }

    /// `rename`.
    pub(crate) fn rename(&mut self, from: &str, to: &str, now: u64) -> Result<(), Errno> {
        let (old, new) = (self.walk(from, Follow::Never)?, self.walk(to, Follow::Never)?);
        if old.last != Last::Name || new.last != Last::Name {
            return Err(libc::EBUSY);
        }
        let inode = old.inode.ok_or(libc::ENOENT)?;
        let folder = self.is_folder(inode);
        if !folder && (old.slash || new.slash) {
            return Err(libc::ENOTDIR);
        }
        if new.folder == inode || new.above.contains(&inode) {
            return Err(libc::EINVAL);
        }
        if new.inode.is_some_and(|new| new == old.folder || old.above.contains(&new)) {
            return Err(libc::ENOTEMPTY);
        }
        if new.inode == Some(inode) {
            return Ok(());
        }
        if let Some(replaced) = new.inode {
            match &self.inodes[replaced].content {
                Content::Folder(_) if !folder => return Err(libc::EISDIR),
                Content::Folder(entries) if !entries.is_empty() => return Err(libc::ENOTEMPTY),
                Content::Folder(_) => {}
                _ if folder => return Err(libc::ENOTDIR),
                _ => {}
            }
        }
        self.calls += 1;
        self.change(new.folder, &new.name, Some(inode), now)?;
        self.change(old.folder, &old.name, None, now)
    }

    /// `unlink`, or `rmdir` if `folder`.
    pub(crate) fn unlink(&mut self, path: &str, folder: bool, now: u64) -> Result<(), Errno> {
        let place = self.walk(path, Follow::Never)?;
        match place.last {
            Last::Name => {}
            _ if !folder => return Err(libc::EISDIR),
            Last::Dot => return Err(libc::EINVAL),
            Last::DotDot => return Err(libc::ENOTEMPTY),
            Last::Root => return Err(libc::EBUSY),
        }
        let inode = place.inode.ok_or(libc::ENOENT)?;
        match &self.inodes[inode].content {
            Content::Folder(_) if !folder => return Err(libc::EISDIR),
            Content::Folder(entries) if !entries.is_empty() => return Err(libc::ENOTEMPTY),
            Content::Folder(_) => {}
            _ if folder || place.slash => return Err(libc::ENOTDIR),
            _ => {}
        }
        self.calls += 1;
        self.change(place.folder, &place.name, None, now)
    }

    /// `readlink`.
    pub(crate) fn target(&self, path: &str) -> Result<String, Errno> {
        match &self.inodes[self.find(path, false)?].content {
            Content::Link(target) => Ok(target.clone()),
            _ => Err(libc::EINVAL),
        }
    }

    /// `stat`, or `lstat` if not `follow`.
    pub(crate) fn status(&self, path: &str, follow: bool) -> Result<Status, Errno> {
        Ok(self.status_of(self.find(path, follow)?))
    }

    /// What `stat` says of an inode.
    pub(crate) fn status_of(&self, inode: usize) -> Status {
        let Inode { content, mode, links, modified } = &self.inodes[inode];
        let size = match content {
            Content::File(data) => data.bytes.len(),
            Content::Folder(_) => PAGE,
            Content::Link(target) => target.len(),
            Content::Socket => 0,
        };
        Status {
            inode: inode as u64 + 1,
            size: size as u64,
            mode: *mode,
            links: *links,
            modified: *modified,
        }
    }

    /// What a folder has, by name.
    pub(crate) fn list(&self, inode: usize) -> Result<Vec<(String, Status)>, Errno> {
        match &self.inodes[inode].content {
            Content::Folder(entries) => Ok(entries
                .iter()
                .map(|(name, inode)| (name.clone(), self.status_of(*inode)))
                .collect()),
            _ => Err(libc::ENOTDIR),
        }
    }

    fn data(&mut self, inode: usize) -> Result<&mut Data, Errno> {
        match &mut self.inodes[inode].content {
            Content::File(data) => Ok(data),
            Content::Folder(_) => Err(libc::EISDIR),
            _ => Err(libc::EINVAL),
        }
    }

    /// Reads what is there from a place on.
    pub(crate) fn read(
        &mut self,
        inode: usize,
        at: usize,
        into: &mut [u8],
    ) -> Result<usize, Errno> {
        let bytes = &self.data(inode)?.bytes;
        let from = bytes.get(at..).unwrap_or_default();
        let size = from.len().min(into.len());
        into[..size].copy_from_slice(&from[..size]);
        self.spoil(inode, at, &mut into[..size])?;
        Ok(size)
    }

    /// Writes at a place: how many of the bytes there was room for.
    pub(crate) fn write(
        &mut self,
        inode: usize,
        at: usize,
        bytes: &[u8],
        now: u64,
    ) -> Result<usize, Errno> {
        let size = self.admit(inode, at, bytes.len())?;
        if size == 0 {
            // Nothing is written, and nothing is made longer.
            return Ok(0);
        }
        self.data(inode)?.write(at, &bytes[..size]);
        self.inodes[inode].modified = now;
        Ok(size)
    }

    /// `ftruncate`.
    pub(crate) fn resize(&mut self, inode: usize, length: usize, now: u64) -> Result<(), Errno> {
        self.data(inode)?.resize(length);
        self.inodes[inode].modified = now;
        Ok(())
    }

    /// `chmod`.
    pub(crate) fn set_mode(&mut self, inode: usize, mode: u32) {
        let kind = self.inodes[inode].mode & libc::S_IFMT;
        self.inodes[inode].mode = kind | (mode & 0o7777);
    }

    /// The inode at a path.
    pub(crate) fn inode(&self, path: &str) -> Result<usize, Errno> {
        self.find(path, true)
    }

    /// `fsync`: this file, and all names so far, are durable. How many pages and names were not.
    pub(crate) fn sync(&mut self, inode: usize) -> Result<usize, Errno> {
        self.sync_range(inode, 0..usize::MAX)
    }

    /// The same of a part of a file, as `msync` asks for it.
    pub(crate) fn sync_range(&mut self, inode: usize, bytes: Range<usize>) -> Result<usize, Errno> {
        let pages = self.sync_data(inode, bytes)?;
        let names = self.changes.len();
        if names > 0 && !self.faults.lies() {
            self.changes.clear();
        }
        Ok(pages + names)
    }

    /// The last descriptor of a file is closed: one without a name is gone.
    pub(crate) fn closed(&mut self, inode: usize) {
        let Inode { content, links, .. } = &mut self.inodes[inode];
        if let Content::File(data) = content
            && *links == 0
            && self.changes.is_empty()
        {
            *data = Data::default();
        }
    }
}

impl Kernel {
    /// A unix socket leaves its name.
    pub(crate) fn make_socket_file(&mut self, path: &[u8]) -> Result<(), Errno> {
        let now = self.wall();
        let here = self.here();
        let path = String::from_utf8_lossy(path).into_owned();
        let made = self.nodes[here].tree.make_socket(&path, now);
        made.map_err(|error| if error == libc::EEXIST { libc::EADDRINUSE } else { error })
    }
}

#[cfg(test)]
mod tests;
