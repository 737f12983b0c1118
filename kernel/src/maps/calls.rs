//! `mmap`, `munmap`, `msync`, `mprotect`, `madvise` and `mremap` of files.

use super::{Mapping, Maps};
use crate::fd::Kind;
use crate::kernel::{Errno, Kernel, NodeIndex};
use crate::machine::{Area, PAGE};
use seedfall_sim::Duration;
use std::collections::BTreeSet;
use std::ops::Range;

/// What a program asks `mmap` for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// Where it would have it.
    pub(crate) address: usize,
    pub(crate) length: usize,
    pub(crate) access: i32,
    pub(crate) flags: i32,
    /// Where in the file it begins.
    pub(crate) offset: i64,
}

/// A range of addresses, in whole pages.
fn whole(start: usize, length: usize) -> Result<Range<usize>, Errno> {
    if !start.is_multiple_of(PAGE) {
        return Err(libc::EINVAL);
    }
    let length = length.checked_next_multiple_of(PAGE).ok_or(libc::ENOMEM)?;
    Ok(start..start.checked_add(length).ok_or(libc::ENOMEM)?)
}

impl Maps {
    /// Whether all of these addresses are those of mappings.
    fn covers(&self, range: &Range<usize>) -> bool {
        let mut start = range.start;
        for address in self.touching(range) {
            if address > start {
                return false;
            }
            start = self.all[&address].area.end();
        }
        start >= range.end
    }

    /// Memory for a mapping: where it is wanted, or where there is room.
    fn area(&self, wanted: &Wanted, length: usize) -> Result<Area, Errno> {
        let Wanted { address, flags, .. } = *wanted;
        if flags & libc::MAP_FIXED_NOREPLACE == libc::MAP_FIXED_NOREPLACE {
            return Area::new(address, length, false).ok_or(libc::EEXIST);
        }
        if flags & libc::MAP_FIXED != 0 {
            return Area::new(address, length, true).ok_or(libc::EINVAL);
        }
        let start = self.gap(length).ok_or(libc::ENOMEM)?;
        Area::new(start, length, false).ok_or(libc::ENOMEM)
    }
}

impl Kernel {
    /// `mmap` of a file.
    pub(crate) fn map(&mut self, fd: i32, wanted: &Wanted) -> Result<usize, Errno> {
        let Wanted { access, flags, offset, .. } = *wanted;
        let offset = usize::try_from(offset).map_err(|_| libc::EINVAL)?;
        if !offset.is_multiple_of(PAGE) {
            return Err(libc::EINVAL);
        }
        let object = self.object(fd)?;
        // No call is under way that may look at them.
        self.maps.dead.clear();
        let length = wanted.length.checked_next_multiple_of(PAGE).ok_or(libc::ENOMEM)?;
        if length == 0 {
            return Err(libc::EINVAL);
        }
        offset
            .checked_add(length)
            .filter(|end| *end <= i64::MAX as usize)
            .ok_or(libc::EOVERFLOW)?;
        let is_shared = match flags & libc::MAP_TYPE {
            libc::MAP_SHARED | libc::MAP_SHARED_VALIDATE => true,
            libc::MAP_PRIVATE => false,
            _ => return Err(libc::EINVAL),
        };
        let node = self.objects[object].node;
        let Kind::File(file) = &self.objects[object].kind else { return Err(libc::ENODEV) };
        let (inode, path, mode) = (file.inode, file.path.clone(), file.flags & libc::O_ACCMODE);
        let may_store = mode == libc::O_RDWR || !is_shared;
        let writes = access & libc::PROT_WRITE != 0;
        if mode == libc::O_WRONLY || writes && !may_store {
            return Err(libc::EACCES);
        }
        // What was stored by way of others is there.
        self.absorb(node, inode, 0..usize::MAX)?;
        let is_placed = flags & (libc::MAP_FIXED | libc::MAP_FIXED_NOREPLACE) != 0;
        if is_shared && !is_placed {
            let same = |one: &&mut Mapping| {
                one.is_of(node, inode)
                    && one.is_shared
                    && (one.offset, one.area.length()) == (offset, length)
                    && (one.area.access(), one.may_store) == (access, may_store)
            };
            if let Some(one) = self.maps.all.values_mut().find(same) {
                one.refs += 1;
                return Ok(one.area.start());
            }
        }
        if flags & libc::MAP_FIXED != 0 {
            self.unmap(wanted.address, length)?;
        }
        let mut area = self.maps.area(wanted, length)?;
        area.set_access(access);
        let start = area.start();
        let (refs, own, stores) = (1, BTreeSet::new(), writes);
        let mapping =
            Mapping { node, inode, path, offset, is_shared, may_store, stores, refs, own, area };
        self.maps.all.insert(start, mapping);
        self.maps.look_for_mirrors();
        self.refresh(node, inode, 0..0);
        Ok(start)
    }

    /// What was stored in these addresses is in the page cache.
    fn absorb_addresses(&mut self, range: &Range<usize>) -> Result<(), Errno> {
        for address in self.maps.touching(range) {
            let Some(mapping) = self.maps.all.get(&address) else { continue };
            let (node, inode) = (mapping.node, mapping.inode);
            let bytes = mapping.part(range);
            self.absorb(node, inode, bytes)?;
        }
        Ok(())
    }

    /// `munmap`: whether nothing of it is left, so that the rest of these addresses may go, too.
    pub(crate) fn unmap(&mut self, start: usize, length: usize) -> Result<bool, Errno> {
        let range = whole(start, length)?;
        if range.is_empty() {
            return Err(libc::EINVAL);
        }
        self.absorb_addresses(&range)?;
        self.maps.cut(range.start);
        self.maps.cut(range.end);
        let mut is_left = false;
        for address in self.maps.touching(&range) {
            let Some(mapping) = self.maps.all.get_mut(&address) else { continue };
            if mapping.refs > 1 {
                // Somebody else has it still. A part of it stays, until all of it goes.
                let all = range.start <= address && mapping.area.end() <= range.end;
                mapping.refs -= u32::from(all);
                is_left = true;
                continue;
            }
            let (node, inode) = (mapping.node, mapping.inode);
            self.maps.all.remove(&address);
            self.forget_unused(node, inode);
        }
        self.maps.look_for_mirrors();
        Ok(!is_left)
    }

    /// A mapping of a file is gone: one without a name, a descriptor and another mapping is, too.
    pub(super) fn forget_unused(&mut self, node: NodeIndex, inode: usize) {
        let same = |kind: &Kind| matches!(kind, Kind::File(file) if file.inode == inode);
        let is_open = self.objects.iter().any(|one| one.node == node && same(&one.kind));
        if !is_open && !self.maps.has(node, inode) {
            self.nodes[node].tree.closed(inode);
        }
    }

    /// `msync`.
    pub(crate) fn sync_map(
        &mut self,
        start: usize,
        length: usize,
        flags: i32,
    ) -> Result<(), Errno> {
        let known = libc::MS_SYNC | libc::MS_ASYNC | libc::MS_INVALIDATE;
        let both = libc::MS_SYNC | libc::MS_ASYNC;
        if flags & !known != 0 || flags & both == both {
            return Err(libc::EINVAL);
        }
        let range = whole(start, length)?;
        let covered = self.maps.covers(&range);
        self.absorb_addresses(&range)?;
        if flags & libc::MS_SYNC != 0 {
            for address in self.maps.touching(&range) {
                let Some(mapping) = self.maps.all.get(&address) else { continue };
                if !mapping.is_shared {
                    continue;
                }
                let (node, inode, path) = (mapping.node, mapping.inode, mapping.path.clone());
                let bytes = mapping.part(&range);
                self.sync_inode(node, inode, bytes, || format!("{path} by its mapping"))?;
            }
        }
        if covered { Ok(()) } else { Err(libc::ENOMEM) }
    }

    /// How long a sync of these addresses keeps its thread waiting.
    pub(crate) fn stall_of_map(&mut self, start: usize, flags: i32) -> Option<Duration> {
        let address = *self.maps.touching(&(start..start + 1)).first()?;
        let node = self.maps.all.get(&address)?.node;
        if flags & libc::MS_SYNC == 0 { None } else { self.stall_of_node(node) }
    }

    /// `mprotect`.
    pub(crate) fn protect(
        &mut self,
        start: usize,
        length: usize,
        access: i32,
    ) -> Result<(), Errno> {
        let range = whole(start, length)?;
        if access & libc::PROT_WRITE != 0 {
            let all = self.maps.touching(&range);
            if all.iter().any(|address| !self.maps.all[address].may_store) {
                return Err(libc::EACCES);
            }
        }
        let covered = self.maps.covers(&range);
        self.maps.cut(range.start);
        self.maps.cut(range.end);
        for address in self.maps.touching(&range) {
            if let Some(mapping) = self.maps.all.get_mut(&address) {
                // Somebody else may have the same memory still, and more rights to it.
                let others = if mapping.refs > 1 { mapping.area.access() } else { 0 };
                mapping.area.set_access(access | others);
                mapping.stores |= access & libc::PROT_WRITE != 0;
            }
        }
        if covered { Ok(()) } else { Err(libc::ENOMEM) }
    }

    /// `madvise`: what a private mapping changed is forgotten if it is not needed. Nothing else
    /// that can be said of a file's memory makes a difference.
    pub(crate) fn advise(&mut self, start: usize, length: usize, advice: i32) -> Result<(), Errno> {
        let range = whole(start, length)?;
        match advice {
            libc::MADV_FREE => return Err(libc::EINVAL),
            libc::MADV_REMOVE => return Err(libc::EOPNOTSUPP),
            libc::MADV_DONTNEED => {}
            _ => return Ok(()),
        }
        self.absorb_addresses(&range)?;
        for address in self.maps.touching(&range) {
            let Some(mapping) = self.maps.all.get_mut(&address) else { continue };
            let (node, inode, bytes) = (mapping.node, mapping.inode, mapping.part(&range));
            let pages = mapping.pages(&bytes);
            mapping.own.retain(|page| !pages.contains(page));
            self.refresh(node, inode, bytes);
        }
        Ok(())
    }

    /// `mremap`.
    pub(crate) fn remap(
        &mut self,
        start: usize,
        old: usize,
        new: usize,
        flags: i32,
    ) -> Result<usize, Errno> {
        let (range, wanted) = (whole(start, old)?, whole(start, new)?);
        if wanted.is_empty() || flags & !libc::MREMAP_MAYMOVE != 0 {
            return Err(libc::EINVAL);
        }
        if wanted.end <= range.end {
            if wanted.end < range.end {
                self.unmap(wanted.end, range.end - wanted.end)?;
            }
            return Ok(start);
        }
        let length = wanted.end - start;
        if let Some((node, inode)) = self.maps.all.get(&start).map(|one| (one.node, one.inode)) {
            // All of the file is read into what moves, and into its other mappings.
            self.absorb(node, inode, 0..usize::MAX)?;
        }
        self.maps.cut(range.start);
        let Some(mapping) = self.maps.all.get_mut(&start) else { return Err(libc::EFAULT) };
        if mapping.area.end() != range.end {
            // More than one mapping, or a part of one.
            return Err(libc::EFAULT);
        }
        let (node, inode) = (mapping.node, mapping.inode);
        if mapping.refs == 1 && mapping.area.grow(length) {
            self.maps.look_for_mirrors();
            self.refresh(node, inode, 0..0);
            return Ok(start);
        }
        if flags & libc::MREMAP_MAYMOVE == 0 {
            return Err(libc::ENOMEM);
        }
        self.move_map(start, length)
    }

    /// A mapping goes on elsewhere, longer.
    fn move_map(&mut self, from: usize, length: usize) -> Result<usize, Errno> {
        let start = self.maps.gap(length).ok_or(libc::ENOMEM)?;
        let mut area = Area::new(start, length, false).ok_or(libc::ENOMEM)?;
        let Some(mapping) = self.maps.all.get_mut(&from) else { return Err(libc::EFAULT) };
        area.set_access(mapping.area.access());
        area.set_open(mapping.area.open());
        for page in &mapping.own {
            let at = page * PAGE - mapping.offset;
            mapping.area.look(at, PAGE, |bytes| area.write(at, bytes));
        }
        let (node, inode) = (mapping.node, mapping.inode);
        let moved = Mapping {
            path: mapping.path.clone(),
            refs: 1,
            own: std::mem::take(&mut mapping.own),
            area,
            ..*mapping
        };
        mapping.refs -= 1;
        if mapping.refs == 0 {
            self.maps.all.remove(&from);
        }
        self.maps.all.insert(start, moved);
        self.maps.look_for_mirrors();
        self.refresh(node, inode, 0..usize::MAX);
        Ok(start)
    }
}

impl Mapping {
    /// The bytes of the file that lie in some of its addresses.
    fn part(&self, range: &Range<usize>) -> Range<usize> {
        let start = self.area.start().max(range.start);
        let end = self.area.end().min(range.end);
        self.place(start)..self.place(end)
    }
}
