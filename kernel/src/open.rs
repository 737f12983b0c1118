//! What programs do with files: paths, offsets, folders, devices.

use crate::fd::{Device, FIRST, Kind, RECORDS, RECORDS_PATH};
use crate::file::{OpenFile, OpenFolder, Status, Tree};
use crate::kernel::{Errno, Kernel, NodeIndex};
use crate::speech::contents;
use crate::trace::{Happening, digest};
use seedfall_sim::{CrashPoint, Duration, EffectKind};
use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::ops::Range;

impl Kernel {
    /// A path of the running program, from the root.
    pub(crate) fn whole_path(&self, path: &str) -> String {
        if path.starts_with('/') {
            return path.to_owned();
        }
        format!("{}/{path}", self.nodes[self.here()].folder)
    }

    /// A path that begins at an open folder, or at the program's own.
    pub(crate) fn path_at(&self, folder: i32, path: &str) -> Result<String, Errno> {
        if path.starts_with('/') || folder == libc::AT_FDCWD {
            return Ok(self.whole_path(path));
        }
        match &self.objects[self.object(folder)?].kind {
            Kind::Folder(open) => Ok(format!("{}/{path}", open.path)),
            _ => Err(libc::ENOTDIR),
        }
    }

    /// `open`.
    pub(crate) fn open(&mut self, path: &str, flags: i32, mode: u32) -> Result<i32, Errno> {
        let device = match path {
            RECORDS_PATH => return Ok(RECORDS),
            "/dev/null" => Some(Device::Null),
            "/dev/zero" => Some(Device::Zero),
            "/dev/random" | "/dev/urandom" => Some(Device::Random),
            _ => None,
        };
        if let Some(device) = device {
            return Ok(self.open_object(Kind::Device(device), false));
        }
        if flags & libc::O_TMPFILE == libc::O_TMPFILE {
            return Err(libc::EOPNOTSUPP);
        }
        let now = self.wall();
        let here = self.here();
        let umask = self.nodes[here].umask;
        let changes = flags & (libc::O_CREAT | libc::O_TRUNC) != 0;
        let before = self.nodes[here]
            .tree
            .status(path, true)
            .ok()
            .filter(|_| changes)
            .map(|status| status.size);
        let makes = before.is_none() && flags & libc::O_CREAT != 0;
        if makes || before > Some(0) && flags & libc::O_TRUNC != 0 {
            self.reach_change()?;
        }
        let open =
            |kernel: &mut Self| kernel.nodes[here].tree.open(path, flags, mode & !umask, now);
        let (inode, is_folder) = match flags & libc::O_TRUNC {
            0 => open(self)?,
            _ => self.with_mappings(path, open)?,
        };
        let kind = if is_folder {
            Kind::Folder(OpenFolder { inode, path: path.to_owned(), rest: None })
        } else {
            Kind::File(OpenFile { inode, offset: 0, flags, path: path.into(), lock: None })
        };
        match before {
            None if changes => self.file_event(here, 1, || format!("makes {path}")),
            Some(1..) if flags & libc::O_TRUNC != 0 => {
                self.file_event(here, 2, || format!("empties {path}"));
            }
            _ => {}
        }
        Ok(self.open_object(kind, flags & libc::O_NONBLOCK != 0))
    }

    /// A program changed its files.
    pub(crate) fn file_event(&mut self, node: NodeIndex, what: u64, text: impl FnOnce() -> String) {
        self.record_text(Happening::File, node, node, what, |_| text());
    }

    /// A change of names: made of whole paths, and told if it went well.
    fn name_event<T>(
        &mut self,
        text: impl FnOnce() -> String,
        change: impl FnOnce(&mut Tree) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let here = self.here();
        self.reach_change()?;
        let done = change(&mut self.nodes[here].tree)?;
        self.file_event(here, 3, text);
        Ok(done)
    }

    /// `mkdir`.
    pub(crate) fn make_folder(&mut self, path: &str, mode: u32, now: u64) -> Result<(), Errno> {
        let mode = mode & !self.nodes[self.here()].umask;
        self.name_event(|| format!("makes {path}/"), |tree| tree.make_folder(path, mode, now))
    }

    /// `unlink`, or `rmdir` if `folder`.
    pub(crate) fn unlink(&mut self, path: &str, folder: bool, now: u64) -> Result<(), Errno> {
        self.name_event(|| format!("removes {path}"), |tree| tree.unlink(path, folder, now))
    }

    /// `rename`.
    pub(crate) fn rename(&mut self, from: &str, to: &str, now: u64) -> Result<(), Errno> {
        self.name_event(|| format!("renames {from} to {to}"), |tree| tree.rename(from, to, now))
    }

    /// `renameat2`, whose flags may say that nothing is replaced.
    pub(crate) fn rename_as(
        &mut self,
        from: &str,
        to: &str,
        flags: u32,
        now: u64,
    ) -> Result<(), Errno> {
        match flags {
            0 => self.rename(from, to, now),
            libc::RENAME_NOREPLACE => {
                let tree = self.tree();
                tree.status(from, false)?;
                if tree.status(to, false).is_ok() {
                    return Err(libc::EEXIST);
                }
                self.rename(from, to, now)
            }
            // As a file system without it has it.
            _ => Err(libc::EINVAL),
        }
    }

    /// `link`.
    pub(crate) fn link(&mut self, from: &str, to: &str, now: u64) -> Result<(), Errno> {
        self.name_event(|| format!("links {to} to {from}"), |tree| tree.link(from, to, now))
    }

    /// `symlink`.
    pub(crate) fn make_link(&mut self, target: &str, path: &str, now: u64) -> Result<(), Errno> {
        let text = || format!("links {path} to {target}");
        self.name_event(text, |tree| tree.make_link(target, path, now))
    }

    /// `truncate`.
    pub(crate) fn cut(&mut self, path: &str, length: usize, now: u64) -> Result<(), Errno> {
        self.with_mappings(path, |kernel| {
            kernel.name_event(
                || format!("cuts {path} to {length} bytes"),
                |tree| {
                    let inode = tree.inode(path)?;
                    tree.resize(inode, length, now)
                },
            )
        })
    }

    /// A change of the length of what is at a path, with what was stored through its mappings
    /// before.
    fn with_mappings<T>(
        &mut self,
        path: &str,
        change: impl FnOnce(&mut Self) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let here = self.here();
        let mapped = self.tree().inode(path).ok().filter(|_| self.maps.has_any());
        let Some(inode) = mapped else { return change(self) };
        self.absorb(here, inode, 0..usize::MAX)?;
        let done = change(self)?;
        self.refresh(here, inode, 0..usize::MAX);
        Ok(done)
    }

    /// The last descriptor of a file is closed.
    pub(crate) fn close_file(&mut self, object: usize, file: &OpenFile) {
        self.unlock(object, file);
        let node = self.objects[object].node;
        let same = |kind: &Kind| matches!(kind, Kind::File(other) if other.inode == file.inode);
        let is_open = |other: &crate::fd::Object| other.node == node && same(&other.kind);
        if !self.objects.iter().any(is_open) && !self.maps.has(node, file.inode) {
            self.nodes[node].tree.closed(file.inode);
        }
    }

    fn file(&mut self, object: usize) -> Result<&mut OpenFile, Errno> {
        match &mut self.objects[object].kind {
            Kind::File(file) => Ok(file),
            Kind::Folder(_) => Err(libc::EISDIR),
            Kind::Socket(_) | Kind::Counter(_) | Kind::Epoll(_) | Kind::Timer(_) => {
                Err(libc::ESPIPE)
            }
            _ => Err(libc::EINVAL),
        }
    }

    /// Reads where the file stands.
    pub(crate) fn read_file(
        &mut self,
        object: usize,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Result<usize, Errno> {
        let offset = self.file(object)?.offset;
        let count = self.read_at(object, buffers, offset)?;
        self.file(object)?.offset += count as u64;
        Ok(count)
    }

    /// `preadv`.
    pub(crate) fn read_at(
        &mut self,
        object: usize,
        buffers: &mut [IoSliceMut<'_>],
        offset: u64,
    ) -> Result<usize, Errno> {
        let node = self.objects[object].node;
        let file = self.file(object)?;
        if file.flags & libc::O_ACCMODE == libc::O_WRONLY {
            return Err(libc::EBADF);
        }
        let inode = file.inode;
        let wanted: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        self.absorb(node, inode, span(offset, wanted))?;
        let mut count = 0;
        for buffer in buffers.iter_mut() {
            let at = offset as usize + count;
            let size = match self.nodes[node].tree.read(inode, at, buffer) {
                Err(_) if count > 0 => break,
                read => read?,
            };
            count += size;
            if size < buffer.len() {
                break;
            }
        }
        Ok(count)
    }

    /// Writes where the file stands, or at its end.
    pub(crate) fn write_file(
        &mut self,
        object: usize,
        buffers: &[IoSlice<'_>],
    ) -> Result<usize, Errno> {
        let node = self.objects[object].node;
        let file = self.file(object)?;
        let (inode, appends) = (file.inode, file.flags & libc::O_APPEND != 0);
        let offset =
            if appends { self.nodes[node].tree.status_of(inode).size } else { file.offset };
        let count = self.write_at(object, buffers, offset)?;
        if count > 0 {
            self.file(object)?.offset = offset + count as u64;
        }
        Ok(count)
    }

    /// `pwritev`.
    pub(crate) fn write_at(
        &mut self,
        object: usize,
        buffers: &[IoSlice<'_>],
        offset: u64,
    ) -> Result<usize, Errno> {
        let node = self.objects[object].node;
        let now = self.wall();
        if matches!(self.objects[object].kind, Kind::Folder(_)) {
            // A folder is never open for writing.
            return Err(libc::EBADF);
        }
        let file = self.file(object)?;
        let (inode, flags, path) = (file.inode, file.flags, file.path.clone());
        if flags & libc::O_ACCMODE == libc::O_RDONLY {
            return Err(libc::EBADF);
        }
        let appends = flags & libc::O_APPEND != 0;
        let offset = if appends { self.nodes[node].tree.status_of(inode).size } else { offset };
        let from = offset.min(self.nodes[node].tree.length(inode) as u64);
        let changes = from as usize..span(offset, crate::fd::total(buffers)).end;
        self.absorb(node, inode, changes.clone())?;
        self.reach(CrashPoint::Before(EffectKind::Append))?;
        self.reach_change()?;
        let mut count = 0;
        for buffer in buffers {
            let at = offset as usize + count;
            let size = match self.nodes[node].tree.write(inode, at, buffer, now) {
                // What was written before is told first.
                Err(_) if count > 0 => break,
                written => written?,
            };
            count += size;
            if size < buffer.len() {
                break;
            }
        }
        self.refresh(node, inode, changes);
        let what = buffers.iter().fold(offset, |sum, buffer| sum.rotate_left(9) ^ digest(buffer));
        self.file_event(node, what, || {
            let bytes =
                contents(&buffers.iter().flat_map(|one| one.iter().copied()).collect::<Vec<_>>());
            let place = if offset == 0 { String::new() } else { format!(" at {offset}") };
            format!("writes {path}{place}, {bytes}")
        });
        if flags & (libc::O_SYNC | libc::O_DSYNC) != 0 {
            self.sync_inode(node, inode, 0..usize::MAX, || path.to_string())?;
        }
        self.reach(CrashPoint::After(EffectKind::Append))?;
        Ok(count)
    }

    /// `lseek`.
    pub(crate) fn seek(&mut self, fd: i32, offset: i64, whence: i32) -> Result<i64, Errno> {
        let object = self.object(fd)?;
        let node = self.objects[object].node;
        if let Kind::Folder(folder) = &mut self.objects[object].kind {
            if offset < 0 || ![libc::SEEK_SET, libc::SEEK_CUR].contains(&whence) {
                return Err(libc::EINVAL);
            }
            folder.rest = None;
            return Ok(0);
        }
        let (inode, stands) = {
            let file = self.file(object)?;
            (file.inode, file.offset as i64)
        };
        let size = self.nodes[node].tree.status_of(inode).size as i64;
        let at = match whence {
            libc::SEEK_SET => Some(offset),
            libc::SEEK_CUR => stands.checked_add(offset),
            libc::SEEK_END => size.checked_add(offset),
            libc::SEEK_DATA if offset < size => Some(offset),
            libc::SEEK_HOLE if offset < size => Some(size),
            libc::SEEK_DATA | libc::SEEK_HOLE => return Err(libc::ENXIO),
            _ => None,
        };
        let at = at.filter(|at| *at >= 0).ok_or(libc::EINVAL)?;
        self.file(object)?.offset = at as u64;
        Ok(at)
    }

    /// `ftruncate`.
    pub(crate) fn resize(&mut self, fd: i32, length: i64) -> Result<(), Errno> {
        let length = usize::try_from(length).map_err(|_| libc::EINVAL)?;
        let object = self.object(fd)?;
        let (node, now) = (self.objects[object].node, self.wall());
        let (inode, path) = match &self.objects[object].kind {
            Kind::File(file) if file.flags & libc::O_ACCMODE != libc::O_RDONLY => {
                (file.inode, file.path.clone())
            }
            _ => return Err(libc::EINVAL),
        };
        self.absorb(node, inode, 0..usize::MAX)?;
        self.reach_change()?;
        self.nodes[node].tree.resize(inode, length, now)?;
        self.refresh(node, inode, 0..usize::MAX);
        self.file_event(node, length as u64, || format!("cuts {path} to {length} bytes"));
        Ok(())
    }

    /// `fallocate`, without a mode: the file is at least so long.
    pub(crate) fn allocate(
        &mut self,
        fd: i32,
        mode: i32,
        at: i64,
        length: i64,
    ) -> Result<(), Errno> {
        let object = self.object(fd)?;
        if at < 0 || length <= 0 {
            return Err(libc::EINVAL);
        }
        if mode & !libc::FALLOC_FL_KEEP_SIZE != 0 {
            return Err(libc::EOPNOTSUPP);
        }
        match &self.objects[object].kind {
            Kind::File(file) if file.flags & libc::O_ACCMODE != libc::O_RDONLY => {}
            Kind::File(_) | Kind::Folder(_) => return Err(libc::EBADF),
            Kind::Socket(_) => return Err(libc::ESPIPE),
            _ => return Err(libc::ENODEV),
        }
        let end = at.checked_add(length).ok_or(libc::EFBIG)?;
        let size = self.status_of(fd)?.size as i64;
        if mode == 0 && end > size { self.resize(fd, end) } else { Ok(()) }
    }

    /// `fsync`.
    pub(crate) fn sync(&mut self, fd: i32) -> Result<(), Errno> {
        let object = self.object(fd)?;
        let node = self.objects[object].node;
        let (inode, path) = match &self.objects[object].kind {
            Kind::File(file) => (file.inode, file.path.clone()),
            Kind::Folder(folder) => (folder.inode, format!("{}/", folder.path).into()),
            _ => return Err(libc::EINVAL),
        };
        self.absorb(node, inode, 0..usize::MAX)?;
        self.sync_inode(node, inode, 0..usize::MAX, || path.to_string())
    }

    /// A node syncs some bytes of a file; `words` name them.
    pub(crate) fn sync_inode(
        &mut self,
        node: NodeIndex,
        inode: usize,
        bytes: Range<usize>,
        words: impl FnOnce() -> String,
    ) -> Result<(), Errno> {
        self.reach(CrashPoint::Before(EffectKind::Sync))?;
        self.reach_change()?;
        let synced = self.nodes[node].tree.sync_range(inode, bytes);
        let count = synced.map_or_else(|error| u64::from(error.unsigned_abs()) << 32, |n| n as u64);
        self.record_text(Happening::Sync, node, node, count, |_| words());
        self.reach(CrashPoint::After(EffectKind::Sync))?;
        synced.map(drop)
    }

    /// `sync_file_range`: what overwrites bytes that the disk has is written to it. What a file
    /// grew by is not, nor its length, nor a name: its manual promises nothing of the kind.
    pub(crate) fn write_out(
        &mut self,
        fd: i32,
        at: i64,
        length: i64,
        flags: u32,
    ) -> Result<(), Errno> {
        let all = libc::SYNC_FILE_RANGE_WAIT_BEFORE
            | libc::SYNC_FILE_RANGE_WRITE
            | libc::SYNC_FILE_RANGE_WAIT_AFTER;
        let object = self.object(fd)?;
        let end = at.checked_add(length).ok_or(libc::EINVAL)?;
        if at < 0 || length < 0 || flags & !all != 0 {
            return Err(libc::EINVAL);
        }
        let node = self.objects[object].node;
        let (inode, path) = match &self.objects[object].kind {
            Kind::File(file) => (file.inode, file.path.clone()),
            _ => return Err(libc::ESPIPE),
        };
        let end = if length == 0 { usize::MAX } else { end as usize };
        self.absorb(node, inode, at as usize..end)?;
        self.reach_change()?;
        if flags & libc::SYNC_FILE_RANGE_WRITE != 0 {
            let count = self.nodes[node].tree.write_out(inode, at as usize, end) as u64;
            self.record_text(Happening::Sync, node, node, count, |_| format!("a part of {path}"));
        }
        Ok(())
    }

    /// How long a sync of a descriptor keeps its thread waiting: its node's disk is slow.
    pub(crate) fn stall(&mut self, fd: i32) -> Option<Duration> {
        let object = self.object(fd).ok()?;
        self.stall_of_node(self.objects[object].node)
    }

    /// The same of a sync by a node.
    pub(crate) fn stall_of_node(&mut self, node: NodeIndex) -> Option<Duration> {
        let node = &mut self.nodes[node];
        if node.stall == Duration::ZERO {
            return None;
        }
        node.felt.stalls += 1;
        Some(node.stall)
    }

    /// As [`Kernel::stall`], of a write: if it is synced with it.
    pub(crate) fn stall_of_write(&mut self, fd: i32) -> Option<Duration> {
        let object = self.object(fd).ok()?;
        match &self.objects[object].kind {
            Kind::File(file) if file.flags & (libc::O_SYNC | libc::O_DSYNC) != 0 => self.stall(fd),
            _ => None,
        }
    }

    /// `fstat`.
    pub(crate) fn status_of(&mut self, fd: i32) -> Result<Status, Errno> {
        let object = self.object(fd)?;
        let tree = &self.nodes[self.objects[object].node].tree;
        let plain = |mode| Status { inode: object as u64, size: 0, mode, links: 1, modified: 0 };
        match &self.objects[object].kind {
            Kind::File(file) => Ok(tree.status_of(file.inode)),
            Kind::Folder(folder) => Ok(tree.status_of(folder.inode)),
            Kind::Socket(socket) if socket.family == crate::socket::Family::Pipe => {
                Ok(plain(libc::S_IFIFO | 0o600))
            }
            Kind::Socket(_) => Ok(plain(libc::S_IFSOCK | 0o777)),
            Kind::Device(_) => Ok(plain(libc::S_IFCHR | 0o666)),
            _ => Ok(plain(0o600)),
        }
    }

    /// `stat` and its kin: at a folder, or of a descriptor if the path is empty.
    pub(crate) fn status(&mut self, folder: i32, path: &str, flags: i32) -> Result<Status, Errno> {
        if path.is_empty() && flags & libc::AT_EMPTY_PATH != 0 && folder >= FIRST {
            return self.status_of(folder);
        }
        let path = self.path_at(folder, path)?;
        if let "/dev/null" | "/dev/zero" | "/dev/random" | "/dev/urandom" = path.as_str() {
            let mode = libc::S_IFCHR | 0o666;
            return Ok(Status { inode: 1, size: 0, mode, links: 1, modified: 0 });
        }
        let follow = flags & libc::AT_SYMLINK_NOFOLLOW == 0;
        self.nodes[self.here()].tree.status(&path, follow)
    }

    /// The next name of an open folder.
    pub(crate) fn next_name(&mut self, fd: i32) -> Result<Option<(String, Status)>, Errno> {
        let object = self.object(fd)?;
        let node = self.objects[object].node;
        let Kind::Folder(folder) = &mut self.objects[object].kind else {
            return Err(libc::ENOTDIR);
        };
        if folder.rest.is_none() {
            let tree = &self.nodes[node].tree;
            let own = tree.status_of(folder.inode);
            let mut names: VecDeque<_> = tree.list(folder.inode)?.into();
            names.push_front(("..".to_owned(), own));
            names.push_front((".".to_owned(), own));
            folder.rest = Some(names);
        }
        Ok(folder.rest.as_mut().and_then(VecDeque::pop_front))
    }

    /// `chdir`.
    pub(crate) fn change_folder(&mut self, path: &str) -> Result<(), Errno> {
        let path = self.whole_path(path);
        let here = self.here();
        let status = self.nodes[here].tree.status(&path, true)?;
        if status.mode & libc::S_IFMT != libc::S_IFDIR {
            return Err(libc::ENOTDIR);
        }
        self.nodes[here].folder = self.real_path(&path)?;
        Ok(())
    }

    /// `realpath`: without links, dots and doubled slashes.
    pub(crate) fn real_path(&self, path: &str) -> Result<String, Errno> {
        let tree = &self.nodes[self.here()].tree;
        let mut path = self.whole_path(path);
        tree.status(&path, true)?;
        'again: for _ in 0..40 {
            let mut clean: Vec<&str> = Vec::new();
            let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
            for (at, name) in names.iter().enumerate() {
                match *name {
                    "." => {}
                    ".." => drop(clean.pop()),
                    name => {
                        let parent = format!("/{}", clean.join("/"));
                        let whole = format!("{}/{name}", parent.trim_end_matches('/'));
                        if let Ok(target) = tree.target(&whole) {
                            let rest = names[at + 1..].join("/");
                            path = match target.starts_with('/') {
                                true => format!("{target}/{rest}"),
                                false => format!("{parent}/{target}/{rest}"),
                            };
                            continue 'again;
                        }
                        clean.push(name);
                    }
                }
            }
            return Ok(format!("/{}", clean.join("/")));
        }
        Err(libc::ELOOP)
    }
}

/// So many bytes from a place on.
fn span(offset: u64, length: usize) -> Range<usize> {
    offset as usize..(offset as usize).saturating_add(length)
}
