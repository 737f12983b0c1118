//! epoll, edge- and level-triggered, and poll.

use crate::fd::{FIRST, Kind};
use crate::kernel::{Errno, Kernel};
use std::collections::{BTreeMap, VecDeque};

const ALWAYS: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
const EDGE: u32 = libc::EPOLLET as u32;
const ONCE: u32 = libc::EPOLLONESHOT as u32;

/// One epoll that watches an object, kept at the object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    /// The epoll.
    pub(crate) epoll: usize,
    /// Its interest.
    pub(crate) slot: usize,
}

/// What an epoll wants to know of one descriptor.
#[derive(Clone, Copy, Debug)]
struct Interest {
    fd: i32,
    object: usize,
    events: u32,
    data: u64,
    /// Whether it is in the list of those that may be ready.
    queued: bool,
    /// `EPOLLONESHOT`, and told once.
    spent: bool,
}

/// An epoll instance.
#[derive(Debug, Default)]
pub(crate) struct Epoll {
    interests: Vec<Option<Interest>>,
    free: Vec<usize>,
    by_descriptor: BTreeMap<i32, usize>,
    /// Interests that may be ready, the longest first.
    ready: VecDeque<usize>,
}

impl Epoll {
    /// Something happened at an interest. True if it was not in the list of the ready yet.
    pub(crate) fn mark_ready(&mut self, slot: usize, mask: u32) -> bool {
        let Some(interest) = self.interests[slot].as_mut() else { return false };
        if interest.queued || interest.spent || mask & (interest.events | ALWAYS) == 0 {
            return false;
        }
        interest.queued = true;
        self.ready.push_back(slot);
        true
    }

    /// Takes the next that may be ready out of the list.
    #[inline]
    fn take_ready(&mut self) -> Option<(usize, Interest)> {
        let slot = self.ready.pop_front()?;
        let interest = self.interests[slot].as_mut()?;
        interest.queued = false;
        Some((slot, *interest))
    }

    /// Whether anything may be ready.
    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// An object that was watched is gone.
    pub(crate) fn forget_slot(&mut self, slot: usize) {
        if let Some(interest) = self.interests[slot].take() {
            if interest.queued {
                self.ready.retain(|other| *other != slot);
            }
            if self.by_descriptor.get(&interest.fd) == Some(&slot) {
                self.by_descriptor.remove(&interest.fd);
            }
            self.free.push(slot);
        }
    }

    /// Every object that is watched.
    pub(crate) fn watched(&self) -> Vec<usize> {
        self.interests.iter().flatten().map(|interest| interest.object).collect()
    }

    fn add(&mut self, interest: Interest) -> usize {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.interests[slot] = Some(interest);
                slot
            }
            None => {
                self.interests.push(Some(interest));
                self.interests.len() - 1
            }
        };
        self.by_descriptor.insert(interest.fd, slot);
        slot
    }
}

impl Kernel {
    /// `epoll_create1`.
    pub(crate) fn epoll_create(&mut self) -> i32 {
        self.open_object(Kind::Epoll(Epoll::default()), false)
    }

    fn epoll(&mut self, object: usize) -> Result<&mut Epoll, Errno> {
        match &mut self.objects[object].kind {
            Kind::Epoll(epoll) => Ok(epoll),
            _ => Err(libc::EINVAL),
        }
    }

    /// `epoll_ctl`, with events and data where the operation has them. Real descriptors, which a
    /// static of the process may hold, are accepted and never ready.
    pub(crate) fn epoll_control(
        &mut self,
        epfd: i32,
        operation: i32,
        fd: i32,
        event: Option<(u32, u64)>,
    ) -> Result<(), Errno> {
        let epoll = self.object(epfd)?;
        self.epoll(epoll)?;
        if fd < FIRST {
            return Ok(());
        }
        let object = self.object(fd)?;
        if matches!(self.objects[object].kind, Kind::File(_) | Kind::Folder(_)) {
            return Err(libc::EPERM);
        }
        let slot = self.epoll(epoll)?.by_descriptor.get(&fd).copied();
        match (operation, slot) {
            (libc::EPOLL_CTL_ADD, None) => {
                let (events, data) = event.ok_or(libc::EFAULT)?;
                let interest = Interest { fd, object, events, data, queued: false, spent: false };
                let slot = self.epoll(epoll)?.add(interest);
                self.objects[object].watchers.push(Watch { epoll, slot });
                self.look(epoll, slot, object);
                Ok(())
            }
            (libc::EPOLL_CTL_ADD, Some(_)) => Err(libc::EEXIST),
            (libc::EPOLL_CTL_MOD, Some(slot)) => {
                let (events, data) = event.ok_or(libc::EFAULT)?;
                if let Some(interest) = self.epoll(epoll)?.interests[slot].as_mut() {
                    (interest.events, interest.data, interest.spent) = (events, data, false);
                }
                self.look(epoll, slot, object);
                Ok(())
            }
            (libc::EPOLL_CTL_DEL, Some(slot)) => {
                self.epoll(epoll)?.forget_slot(slot);
                let gone = |watch: &Watch| watch.epoll != epoll || watch.slot != slot;
                self.objects[object].watchers.retain(gone);
                Ok(())
            }
            (libc::EPOLL_CTL_MOD | libc::EPOLL_CTL_DEL, None) => Err(libc::ENOENT),
            _ => Err(libc::EINVAL),
        }
    }

    /// Puts an interest into the list of the ready if it is ready now.
    fn look(&mut self, epoll: usize, slot: usize, object: usize) {
        let ready = self.readiness(object);
        let Kind::Epoll(watching) = &mut self.objects[epoll].kind else { return };
        if watching.mark_ready(slot, ready) {
            self.notify(epoll, libc::EPOLLIN as u32);
        }
    }

    /// What an epoll has to tell, up to `limit` events, by way of `tell`. None: `EAGAIN`.
    pub(crate) fn epoll_collect(
        &mut self,
        epfd: i32,
        limit: usize,
        mut tell: impl FnMut(usize, u32, u64),
    ) -> Result<usize, Errno> {
        let object = self.object(epfd)?;
        let mut left = self.epoll(object)?.ready.len();
        let mut count = 0;
        while count < limit && left > 0 {
            left -= 1;
            let Some((slot, interest)) = self.epoll(object)?.take_ready() else { continue };
            let Interest { object: watched, events, data, .. } = interest;
            let found = self.readiness(watched) & (events | ALWAYS);
            if found == 0 {
                continue;
            }
            tell(count, found, data);
            count += 1;
            if events & ONCE != 0 {
                if let Some(interest) = self.epoll(object)?.interests[slot].as_mut() {
                    interest.spent = true;
                }
            } else if events & EDGE == 0 {
                // What is level-triggered is told again as long as it is so.
                self.epoll(object)?.mark_ready(slot, u32::MAX);
            }
        }
        if count == 0 { Err(libc::EAGAIN) } else { Ok(count) }
    }

    /// What `poll` says of one descriptor.
    pub(crate) fn poll_one(&self, fd: i32, events: i16) -> i16 {
        if fd < 0 {
            return 0;
        }
        if fd < FIRST {
            // Standard output takes everything; standard input has nothing.
            return events & libc::POLLOUT;
        }
        match self.object(fd) {
            Err(_) => libc::POLLNVAL,
            // The numbers of poll and of epoll are the same.
            Ok(object) => {
                let ready = self.readiness(object) as i16;
                ready & (events | libc::POLLERR | libc::POLLHUP)
            }
        }
    }
}
