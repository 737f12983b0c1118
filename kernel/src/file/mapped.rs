//! What mappings see of a file, and what is stored through them.

use super::data::{Data, PAGE, SECTOR};
use super::{Content, Tree};
use crate::kernel::Errno;
use seedfall_sim::DiskFault;
use std::borrow::Cow;

impl Data {
    /// The bytes of a page, as the disk reads them.
    fn seen(&self, page: usize) -> Cow<'_, [u8]> {
        let start = (page * PAGE).min(self.bytes.len());
        let end = (start + PAGE).min(self.bytes.len());
        let bytes = &self.bytes[start..end];
        let mut rotten = self.rot.range(start..end).peekable();
        if rotten.peek().is_none() {
            return Cow::Borrowed(bytes);
        }
        let mut bytes = bytes.to_vec();
        rotten.for_each(|(byte, mask)| bytes[byte - start] ^= mask);
        Cow::Owned(bytes)
    }
}

impl Tree {
    /// How long a file is; nothing else has a length that can be mapped.
    pub(crate) fn length(&self, inode: usize) -> usize {
        match &self.inodes[inode].content {
            Content::File(data) => data.bytes.len(),
            _ => 0,
        }
    }

    /// The bytes of a page of a file as they are read, up to the end of the file.
    pub(crate) fn page(&self, inode: usize, page: usize) -> Cow<'_, [u8]> {
        match &self.inodes[inode].content {
            Content::File(data) => data.seen(page),
            _ => Cow::Borrowed(&[]),
        }
    }

    /// A page is read into a mapping: if it decayed, the disk has done harm.
    pub(crate) fn feel(&mut self, inode: usize, page: usize) {
        let Content::File(data) = &self.inodes[inode].content else { return };
        let rotten = data.rot.range(page * PAGE..(page + 1) * PAGE);
        let mut sectors: Vec<usize> = rotten.map(|(byte, _)| byte / SECTOR).collect();
        sectors.dedup();
        for _ in sectors {
            self.faults.count(&DiskFault::BitRot { bits: 1 });
        }
    }

    /// Something was stored through a mapping. A store is no call: there is nothing that could
    /// fail, and a file never grows by it.
    pub(crate) fn store(
        &mut self,
        inode: usize,
        at: usize,
        bytes: &[u8],
        now: u64,
    ) -> Result<(), Errno> {
        self.data(inode)?.write(at, bytes);
        self.inodes[inode].modified = now;
        Ok(())
    }
}
