//! Files in memory: what `mmap` gives, and what becomes of what is stored there.
//!
//! A mapping is memory of the process, with the bytes of its file in it. A store makes no call, so
//! it is noticed later, by comparing that memory with the file, when anybody could tell: a call on
//! the file, `msync`, `munmap`, the end of the program, a crash. Then it counts as a write: it is
//! an event, and not durable before a sync. What was stored in a page between two such moments is
//! one write, and a crash finds the last of it. A call that changes the file changes its mappings.
//!
//! Two shared mappings of the same bytes of a file are the same memory; others that overlap are
//! made equal when one of these moments comes, or a thread waits. Behind the last page of a file,
//! nothing can be touched.

mod calls;

pub(crate) use calls::Wanted;

use crate::kernel::{Errno, Kernel, NodeIndex};
use crate::machine::{Area, MAPS, PAGE};
use crate::speech::contents;
use crate::trace::digest;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// Some pages of a file in the memory of a program.
#[derive(Debug)]
pub(crate) struct Mapping {
    node: NodeIndex,
    inode: usize,
    path: Arc<str>,
    /// Where in the file it begins.
    offset: usize,
    is_shared: bool,
    /// Whether stores may reach the file: it was opened for writing.
    may_store: bool,
    /// Whether a program could store there at any time.
    stores: bool,
    /// How often it was given out.
    refs: u32,
    /// Pages of a private mapping that the program has changed: they follow the file no more.
    own: BTreeSet<usize>,
    area: Area,
}

impl Mapping {
    fn is_of(&self, node: NodeIndex, inode: usize) -> bool {
        self.node == node && self.inode == inode
    }

    /// The bytes of the file that it may touch.
    fn bytes(&self) -> Range<usize> {
        self.offset..self.offset + self.area.open()
    }

    /// The pages of the file that lie in it and in a range of bytes.
    fn pages(&self, range: &Range<usize>) -> Range<usize> {
        let own = self.bytes();
        let (start, end) = (own.start.max(range.start), own.end.min(range.end));
        if start < end { start / PAGE..end.div_ceil(PAGE) } else { 0..0 }
    }

    /// Looks at what it has of a page of the file, of which there are so many bytes.
    fn look<R>(&self, page: usize, length: usize, work: impl FnOnce(&[u8]) -> R) -> R {
        self.area.look(page * PAGE - self.offset, length, work)
    }

    /// Where an address of it is in the file.
    fn place(&self, address: usize) -> usize {
        self.offset + (address - self.area.start())
    }
}

/// All mappings, by their address.
#[derive(Debug, Default)]
pub(crate) struct Maps {
    all: BTreeMap<usize, Mapping>,
    /// Whether there are mappings that overlap, of which one is shared.
    has_mirrors: bool,
    /// Memory of programs that are gone. It is given back later: one may have ended in a call that
    /// was handed some of it.
    dead: Vec<Mapping>,
}

impl Maps {
    /// Whether there is any.
    #[inline]
    pub(crate) fn has_any(&self) -> bool {
        !self.all.is_empty()
    }

    /// Whether a file is mapped.
    pub(crate) fn has(&self, node: NodeIndex, inode: usize) -> bool {
        self.all.values().any(|mapping| mapping.is_of(node, inode))
    }

    /// The addresses of those that lie in a range of addresses, or reach into it.
    fn touching(&self, range: &Range<usize>) -> Vec<usize> {
        let all = self.all.range(..range.end).rev();
        let mut found: Vec<usize> = all
            .take_while(|(_, mapping)| mapping.area.end() > range.start)
            .map(|(start, _)| *start)
            .collect();
        found.reverse();
        found
    }

    /// Whether any of these addresses is that of a mapping.
    pub(crate) fn touches(&self, start: usize, length: usize) -> bool {
        !self.touching(&(start..start.saturating_add(length.max(1)))).is_empty()
    }

    /// Whether an address is one of a mapping that lies behind the end of its file.
    pub(crate) fn is_behind_the_end(&self, address: usize) -> bool {
        let last = self.all.range(..=address).next_back();
        last.is_some_and(|(start, mapping)| {
            (start + mapping.area.open()..mapping.area.end()).contains(&address)
        })
    }

    /// The first free addresses for so many bytes, with a page free behind what is before them.
    fn gap(&self, length: usize) -> Option<usize> {
        let mut start = MAPS.start;
        for (address, mapping) in self.all.range(MAPS) {
            if start + length + PAGE <= *address {
                break;
            }
            start = start.max(mapping.area.end() + PAGE);
        }
        (start.checked_add(length)? <= MAPS.end).then_some(start)
    }

    /// Cuts the mapping in two that has this address within it.
    fn cut(&mut self, address: usize) {
        let Some((&start, mapping)) = self.all.range(..address).next_back() else { return };
        if mapping.area.end() <= address || mapping.refs > 1 {
            return;
        }
        let Some(mut first) = self.all.remove(&start) else { return };
        let place = first.place(address);
        let (area, behind) = first.area.split(address - start);
        first.area = area;
        let second = Mapping {
            path: first.path.clone(),
            offset: place,
            own: first.own.split_off(&(place / PAGE)),
            area: behind,
            ..first
        };
        self.all.insert(start, first);
        self.all.insert(address, second);
    }

    /// Notes whether a mapping overlaps with a shared one.
    fn look_for_mirrors(&mut self) {
        let all: Vec<&Mapping> = self.all.values().collect();
        let ends = |one: &Mapping| (one.offset, one.offset + one.area.length());
        let overlap = |(at, one): (usize, &&Mapping)| {
            all[at + 1..].iter().any(|other| {
                let ((start, end), (first, last)) = (ends(one), ends(other));
                let is_seen = one.is_shared || other.is_shared;
                is_seen && one.is_of(other.node, other.inode) && start < last && first < end
            })
        };
        self.has_mirrors = all.iter().enumerate().any(overlap);
    }
}

/// What was stored in a page, or some that follow each other.
#[derive(Debug)]
struct Stored {
    at: usize,
    bytes: Vec<u8>,
    path: Arc<str>,
}

impl Kernel {
    /// What was stored in some bytes of a file, and nobody has noticed yet.
    fn stored(&mut self, node: NodeIndex, inode: usize, range: &Range<usize>) -> Vec<Stored> {
        let tree = &self.nodes[node].tree;
        let mut pages: BTreeMap<usize, Stored> = BTreeMap::new();
        let mappings = self.maps.all.values_mut().filter(|one| one.is_of(node, inode));
        for mapping in mappings.filter(|one| one.stores) {
            for page in mapping.pages(range) {
                let seen = tree.page(inode, page);
                let is_same = |held: &[u8]| *held == *seen;
                if seen.is_empty() || mapping.look(page, seen.len(), is_same) {
                    continue;
                }
                if !mapping.is_shared {
                    mapping.own.insert(page);
                    continue;
                }
                let (at, path) = (page * PAGE, mapping.path.clone());
                let stored = pages.entry(page).or_insert(Stored { at, bytes: seen.to_vec(), path });
                // Of several mappings, each has changed what differs from the file in it.
                mapping.look(page, seen.len(), |held| {
                    let both = held.iter().zip(&*seen);
                    for (new, (held, seen)) in stored.bytes.iter_mut().zip(both) {
                        if held != seen {
                            *new = *held;
                        }
                    }
                });
            }
        }
        let mut runs: Vec<Stored> = Vec::new();
        for stored in pages.into_values() {
            match runs.last_mut() {
                Some(run) if run.at + run.bytes.len() == stored.at => {
                    run.bytes.extend(stored.bytes);
                }
                _ => runs.push(stored),
            }
        }
        runs
    }

    /// What was stored in some bytes of a file is in its page cache: a change of files, before
    /// which the machine may crash.
    #[inline]
    pub(crate) fn absorb(
        &mut self,
        node: NodeIndex,
        inode: usize,
        range: Range<usize>,
    ) -> Result<(), Errno> {
        if !self.maps.has_any() {
            return Ok(());
        }
        for stored in self.stored(node, inode, &range) {
            self.reach_change()?;
            self.take_in(node, inode, &stored);
        }
        Ok(())
    }

    fn take_in(&mut self, node: NodeIndex, inode: usize, stored: &Stored) {
        let Stored { at, bytes, path } = stored;
        let now = self.wall_of(node);
        if self.nodes[node].tree.store(inode, *at, bytes, now).is_err() {
            return;
        }
        self.refresh(node, inode, *at..*at + bytes.len());
        let what = (*at as u64).rotate_left(9) ^ digest(bytes);
        self.file_event(node, what, || {
            let place = if *at == 0 { String::new() } else { format!(" at {at}") };
            format!("writes {path}{place} by its mapping, {}", contents(bytes))
        });
    }

    /// All that the program of a node has stored is in the page cache.
    pub(crate) fn absorb_all(&mut self, node: NodeIndex) {
        let of_node = self.maps.all.values().filter(|mapping| mapping.node == node);
        let inodes: BTreeSet<usize> = of_node.map(|mapping| mapping.inode).collect();
        for inode in inodes {
            for stored in self.stored(node, inode, &(0..usize::MAX)) {
                self.take_in(node, inode, &stored);
            }
        }
    }

    /// Mappings that overlap are equal: a thread of the node waits, and another may look.
    #[inline]
    pub(crate) fn mirror(&mut self, node: NodeIndex) {
        if self.maps.has_mirrors {
            self.absorb_all(node);
        }
    }

    /// The mappings of a file have what it has, in these bytes, and end where it ends. What was
    /// stored there must have been [absorbed](Self::absorb): it is lost.
    pub(crate) fn refresh(&mut self, node: NodeIndex, inode: usize, range: Range<usize>) {
        let tree = &mut self.nodes[node].tree;
        let length = tree.length(inode);
        for mapping in self.maps.all.values_mut().filter(|one| one.is_of(node, inode)) {
            let before = mapping.bytes().end;
            mapping.area.set_open(length.saturating_sub(mapping.offset));
            // What a private mapping had changed behind the end is gone with it.
            drop(mapping.own.split_off(&length.div_ceil(PAGE)));
            let fresh = before..mapping.bytes().end;
            let access = mapping.area.access();
            let many = mapping.pages(&range).len() + mapping.pages(&fresh).len() > 8;
            if many {
                mapping.area.set_access(libc::PROT_READ | libc::PROT_WRITE);
            }
            for page in mapping.pages(&range).chain(mapping.pages(&fresh)) {
                if mapping.own.contains(&page) {
                    continue;
                }
                tree.feel(inode, page);
                let seen = tree.page(inode, page);
                let same = mapping.look(page, PAGE, |held| {
                    let (held, behind) = held.split_at(seen.len());
                    *held == *seen && behind.iter().all(|byte| *byte == 0)
                });
                if !same {
                    let mut bytes = seen.into_owned();
                    bytes.resize(PAGE, 0);
                    mapping.area.write(page * PAGE - mapping.offset, &bytes);
                }
            }
            if many {
                mapping.area.set_access(access);
            }
        }
    }

    /// All mappings of a node have what their files have.
    pub(crate) fn refresh_all(&mut self, node: NodeIndex) {
        let of_node = self.maps.all.values().filter(|mapping| mapping.node == node);
        let inodes: BTreeSet<usize> = of_node.map(|mapping| mapping.inode).collect();
        for inode in inodes {
            self.refresh(node, inode, 0..usize::MAX);
        }
    }

    /// The program of a node is gone, and its memory with it. What it stored stays with its
    /// machine.
    pub(crate) fn end_mappings(&mut self, node: NodeIndex) {
        if self.maps.has_any() {
            self.absorb_all(node);
            let gone = self.maps.all.extract_if(.., |_, mapping| mapping.node == node);
            let gone: Vec<Mapping> = gone.map(|(_, mapping)| mapping).collect();
            gone.iter().for_each(|mapping| self.forget_unused(node, mapping.inode));
            self.maps.dead.extend(gone);
            self.maps.look_for_mirrors();
        }
    }
}

#[cfg(test)]
mod tests;
