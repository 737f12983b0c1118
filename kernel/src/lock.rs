//! Locks of files, and copies from one to another.

use crate::fd::Kind;
use crate::file::OpenFile;
use crate::kernel::{Errno, Kernel};
use std::io::{IoSlice, IoSliceMut};

/// A copy is made in pieces of so many bytes.
const PIECE: usize = 1 << 20;

impl Kernel {
    /// `flock`: this open file has a lock on its file, or none. `EAGAIN`: another one has one.
    pub(crate) fn lock(&mut self, fd: i32, operation: i32) -> Result<(), Errno> {
        let wanted = match operation {
            libc::LOCK_SH => Some(false),
            libc::LOCK_EX => Some(true),
            libc::LOCK_UN => None,
            _ => return Err(libc::EINVAL),
        };
        let object = self.object(fd)?;
        let Kind::File(file) = &self.objects[object].kind else { return Ok(()) };
        let (inode, had) = (file.inode, file.lock);
        let others = self.opened(object, inode);
        let excludes = |other: &usize| match &self.objects[*other].kind {
            Kind::File(file) => file.lock.is_some_and(|other| other || wanted == Some(true)),
            _ => false,
        };
        // As Linux has it, a lock that cannot be changed is lost.
        let refused = wanted.is_some() && others.iter().any(excludes);
        if let Kind::File(file) = &mut self.objects[object].kind {
            file.lock = wanted.filter(|_| !refused);
        }
        if had.is_some() {
            others.into_iter().for_each(|other| self.notify(other, 0));
        }
        if refused { Err(libc::EAGAIN) } else { Ok(()) }
    }

    /// The other open files of a file.
    fn opened(&self, object: usize, inode: usize) -> Vec<usize> {
        let node = self.objects[object].node;
        let is_one = |other: &usize| {
            let one = &self.objects[*other];
            *other != object
                && one.node == node
                && matches!(&one.kind, Kind::File(file) if file.inode == inode)
        };
        (0..self.objects.len()).filter(is_one).collect()
    }

    /// A file with a lock is closed: others may have it.
    pub(crate) fn unlock(&mut self, object: usize, file: &OpenFile) {
        if file.lock.is_some() {
            let others = self.opened(object, file.inode);
            others.into_iter().for_each(|other| self.notify(other, 0));
        }
    }

    /// Whether a range of an open file may be locked (`fcntl`). A node is one process, and has its
    /// files for itself: nobody else holds such a lock.
    pub(crate) fn may_lock(&self, object: usize, kind: i32, start: i64) -> Result<(), Errno> {
        let access = match &self.objects[object].kind {
            Kind::File(file) => file.flags & libc::O_ACCMODE,
            Kind::Folder(_) => libc::O_RDONLY,
            _ => libc::O_RDWR,
        };
        match (kind, access) {
            _ if start < 0 => Err(libc::EINVAL),
            (libc::F_RDLCK, libc::O_WRONLY) | (libc::F_WRLCK, libc::O_RDONLY) => Err(libc::EBADF),
            (libc::F_RDLCK | libc::F_WRLCK | libc::F_UNLCK, _) => Ok(()),
            _ => Err(libc::EINVAL),
        }
    }

    /// An open file of a descriptor: its inode, its flags, where it stands.
    fn opened_as(&self, fd: i32) -> Result<(usize, i32, u64), Errno> {
        match &self.objects[self.object(fd)?].kind {
            Kind::File(file) => Ok((file.inode, file.flags, file.offset)),
            Kind::Folder(_) => Err(libc::EISDIR),
            _ => Err(libc::EINVAL),
        }
    }

    /// `copy_file_range`: how many bytes. Where no place is given, files are read and written where
    /// they stand.
    pub(crate) fn copy(
        &mut self,
        from: i32,
        from_at: Option<u64>,
        to: i32,
        to_at: Option<u64>,
        length: usize,
        flags: u32,
    ) -> Result<usize, Errno> {
        let (source, target) = (self.object(from)?, self.object(to)?);
        if flags != 0 {
            return Err(libc::EINVAL);
        }
        let ((one, mode, stands), (other, other_mode, other_stands)) =
            (self.opened_as(from)?, self.opened_as(to)?);
        if mode & libc::O_ACCMODE == libc::O_WRONLY
            || other_mode & libc::O_ACCMODE == libc::O_RDONLY
            || other_mode & libc::O_APPEND != 0
        {
            return Err(libc::EBADF);
        }
        let (start, end) = (from_at.unwrap_or(stands), to_at.unwrap_or(other_stands));
        let size = self.status_of(from)?.size;
        let length = (length as u64).min(size.saturating_sub(start));
        if one == other && start < end + length && end < start + length {
            return Err(libc::EINVAL);
        }
        let mut bytes = vec![0; (length as usize).min(PIECE)];
        let count = self.read_at(source, &mut [IoSliceMut::new(&mut bytes)], start)?;
        if count == 0 {
            return Ok(0);
        }
        let count = self.write_at(target, &[IoSlice::new(&bytes[..count])], end)?;
        if from_at.is_none() {
            self.seek(from, count as i64, libc::SEEK_CUR)?;
        }
        if to_at.is_none() {
            self.seek(to, count as i64, libc::SEEK_CUR)?;
        }
        Ok(count)
    }

    /// What `sendfile` is to write: some bytes of a file, from a place on, or from where it stands.
    pub(crate) fn bytes_to_send(
        &mut self,
        to: i32,
        from: i32,
        at: Option<u64>,
        length: usize,
    ) -> Result<Vec<u8>, Errno> {
        let (source, target) = (self.object(from)?, self.object(to)?);
        let access = |object: usize| match &self.objects[object].kind {
            Kind::File(file) => file.flags,
            Kind::Folder(_) => libc::O_RDONLY,
            _ => libc::O_RDWR,
        };
        let (read, write) = (access(source), access(target));
        if read & libc::O_ACCMODE == libc::O_WRONLY || write & libc::O_ACCMODE == libc::O_RDONLY {
            return Err(libc::EBADF);
        }
        if write & libc::O_APPEND != 0 {
            return Err(libc::EINVAL);
        }
        if length == 0 {
            return Ok(Vec::new());
        }
        let Kind::File(OpenFile { offset: stands, .. }) = self.objects[source].kind else {
            return Err(libc::EINVAL);
        };
        let start = at.unwrap_or(stands);
        let mut bytes = vec![0; length.min(PIECE)];
        let count = self.read_at(source, &mut [IoSliceMut::new(&mut bytes)], start)?;
        bytes.truncate(count);
        Ok(bytes)
    }
}
