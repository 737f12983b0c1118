//! The event queue: a hierarchical timing wheel on whole nanoseconds.
//!
//! Eleven levels of 64 slots cover all of `u64` (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987,
//! scheme 7). An entry waits at the level of the highest bit in which its time differs from the present and moves down
//! as that time comes near. Push, cancel and pop are O(1) and do not depend on how much is pending; entries of one
//! instant come out as one group, from which the caller chooses.

use crate::time::Time;

/// Names a pending entry, to cancel it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle(u32);

const LEVELS: usize = 11;
const SLOTS: usize = 64;
const BITS: u32 = SLOTS.trailing_zeros();
/// The end of a list. Entry numbers count from one, so that empty lists are zeroed memory.
const NONE: u32 = 0;
/// The "slot" of an entry that left the wheel to wait in `ready`.
const READY: u16 = u16::MAX;

#[derive(Clone, Debug)]
struct Entry<E> {
    time: u64,
    prev: u32,
    next: u32,
    slot: u16,
    /// `None`: free, or cancelled while it waited in `ready`.
    event: Option<E>,
}

#[derive(Clone, Copy, Debug, Default)]
struct List {
    head: u32,
    tail: u32,
}

/// Pending events, by time.
#[derive(Clone, Debug)]
pub struct Queue<E> {
    /// No pending time is earlier, and every entry's level is relative to it.
    base: u64,
    entries: Vec<Entry<E>>,
    /// The first of the free entries, linked by `next`.
    free: u32,
    /// A list for each slot of each level.
    slots: Vec<List>,
    /// Which slots of a level are not empty.
    occupied: [u64; LEVELS],
    /// Which levels are not empty.
    levels: u16,
    /// Entries of the instant `base`, one of which is to be chosen; may hold cancelled ones.
    ready: Vec<u32>,
    /// How many were chosen from the present instant.
    chosen: u32,
    len: usize,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self {
            base: 0,
            entries: Vec::new(),
            free: NONE,
            slots: vec![List::default(); LEVELS * SLOTS],
            occupied: [0; LEVELS],
            levels: 0,
            ready: Vec::new(),
            chosen: 0,
            len: 0,
        }
    }
}

impl<E> Queue<E> {
    /// How many events are pending.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an event. A time before the last pop counts as the time of the last pop.
    #[inline]
    pub fn push(&mut self, time: Time, event: E) -> Handle {
        let time = time.as_nanos().max(self.base);
        let entry = Entry { time, prev: NONE, next: NONE, slot: 0, event: Some(event) };
        let id = if self.free == NONE {
            self.entries.push(entry);
            self.entries.len() as u32
        } else {
            let id = self.free;
            self.free = self.entry(id).next;
            *self.entry_mut(id) = entry;
            id
        };
        self.len += 1;
        self.link(id, time);
        Handle(id)
    }

    /// Removes a pending event. The handle must be of an event that neither was popped nor cancelled.
    #[inline]
    pub fn cancel(&mut self, handle: Handle) -> Option<E> {
        let event = self.entry_mut(handle.0).event.take()?;
        self.len -= 1;
        if self.entry(handle.0).slot != READY {
            self.unlink(handle.0);
            self.release(handle.0);
        }
        Some(event)
    }

    /// Removes the first event if it is due at `limit` or before. Where several are due at one instant, `choose` is asked
    /// for one of them: it is given the instant, how many were chosen there before, and how many are left (two or more).
    #[inline]
    pub fn pop(
        &mut self,
        limit: Time,
        choose: impl FnMut(u64, u32, usize) -> usize,
    ) -> Option<(Time, E)> {
        let limit = limit.as_nanos();
        if !self.ready.is_empty() && self.base <= limit {
            return self.pop_ready(limit, choose);
        }
        self.pop_wheel(limit, choose)
    }

    fn pop_wheel(
        &mut self,
        limit: u64,
        choose: impl FnMut(u64, u32, usize) -> usize,
    ) -> Option<(Time, E)> {
        loop {
            if self.levels == 0 {
                return None;
            }
            let level = self.levels.trailing_zeros() as usize;
            let slot = self.occupied[level].trailing_zeros() as usize;
            let index = level * SLOTS + slot;
            let List { head, tail } = self.slots[index];
            let shift = level as u32 * BITS;
            let start = if level == 0 {
                self.base & !(SLOTS as u64 - 1) | slot as u64
            } else {
                // The bits above this level are the base's, this level's are the slot's, those below are zero.
                let above = self.base.checked_shr(shift + BITS).unwrap_or(0);
                let above = above.checked_shl(shift + BITS).unwrap_or(0);
                above | ((slot as u64) << shift)
            };
            if head == tail {
                // Alone in the first slot of the lowest level: nothing is earlier, and nothing is due with it.
                let time = self.entry(head).time;
                if time > limit {
                    return None;
                }
                if time > self.base {
                    self.advance(time);
                }
                self.empty(level, slot);
                self.chosen += 1;
                return Some((Time::from_nanos(time), self.take(head)));
            }
            if start > limit {
                return None;
            }
            if start > self.base {
                self.advance(start);
            }
            self.empty(level, slot);
            if level == 0 {
                self.collect(head);
                return self.pop_ready(limit, choose);
            }
            self.cascade(head);
        }
    }

    /// Chooses from `ready`, after adding to it what has since been pushed for the same instant.
    #[cold]
    fn pop_ready(
        &mut self,
        limit: u64,
        mut choose: impl FnMut(u64, u32, usize) -> usize,
    ) -> Option<(Time, E)> {
        let slot = (self.base % SLOTS as u64) as usize;
        if self.occupied[0] & (1 << slot) != 0 {
            let head = self.slots[slot].head;
            self.empty(0, slot);
            self.collect(head);
        }
        for at in (0..self.ready.len()).rev() {
            let id = self.ready[at];
            if self.entry(id).event.is_none() {
                self.ready.remove(at);
                self.release(id);
            }
        }
        let picked = match self.ready.len() {
            0 => return self.pop_wheel(limit, choose),
            1 => 0,
            count => choose(self.base, self.chosen, count),
        };
        self.chosen += 1;
        let id = self.ready.swap_remove(picked);
        Some((Time::from_nanos(self.base), self.take(id)))
    }

    #[inline]
    fn advance(&mut self, base: u64) {
        self.base = base;
        self.chosen = 0;
    }

    #[inline]
    fn entry(&self, id: u32) -> &Entry<E> {
        &self.entries[id as usize - 1]
    }

    #[inline]
    fn entry_mut(&mut self, id: u32) -> &mut Entry<E> {
        &mut self.entries[id as usize - 1]
    }

    /// Appends an entry to the list where its time belongs.
    #[inline]
    fn link(&mut self, id: u32, time: u64) {
        // The level of the highest differing bit; the `| 1` puts the present itself on level 0.
        let level = (63 - ((time ^ self.base) | 1).leading_zeros()) / BITS;
        let slot = (time >> (level * BITS)) as usize % SLOTS;
        let index = level as usize * SLOTS + slot;
        let tail = self.slots[index].tail;
        let entry = self.entry_mut(id);
        (entry.prev, entry.next, entry.slot) = (tail, NONE, index as u16);
        if tail == NONE {
            self.slots[index].head = id;
            self.occupied[level as usize] |= 1 << slot;
            self.levels |= 1 << level;
        } else {
            self.entry_mut(tail).next = id;
        }
        self.slots[index].tail = id;
    }

    #[inline]
    fn unlink(&mut self, id: u32) {
        let &Entry { prev, next, slot, .. } = self.entry(id);
        let (slot, level) = (usize::from(slot), usize::from(slot) / SLOTS);
        match prev {
            NONE => self.slots[slot].head = next,
            prev => self.entry_mut(prev).next = next,
        }
        match next {
            NONE => self.slots[slot].tail = prev,
            next => self.entry_mut(next).prev = prev,
        }
        if self.slots[slot].head == NONE {
            self.empty(level, slot % SLOTS);
        }
    }

    /// Marks a slot as empty.
    #[inline]
    fn empty(&mut self, level: usize, slot: usize) {
        self.slots[level * SLOTS + slot] = List::default();
        self.occupied[level] &= !(1 << slot);
        if self.occupied[level] == 0 {
            self.levels &= !(1 << level);
        }
    }

    /// Moves a list of one instant to `ready`.
    fn collect(&mut self, mut id: u32) {
        while id != NONE {
            self.ready.push(id);
            let entry = self.entry_mut(id);
            entry.slot = READY;
            id = entry.next;
        }
    }

    /// Moves the entries of a list to lower levels, now that the base has reached their slot.
    fn cascade(&mut self, mut id: u32) {
        while id != NONE {
            let &Entry { time, next, .. } = self.entry(id);
            self.link(id, time);
            id = next;
        }
    }

    /// Takes the event out of an entry that is in no list any more.
    #[inline]
    fn take(&mut self, id: u32) -> E {
        self.len -= 1;
        let event = self.entry_mut(id).event.take();
        self.release(id);
        event.expect("a linked entry holds an event: only `cancel` empties one, and unlinks it")
    }

    #[inline]
    fn release(&mut self, id: u32) {
        let free = self.free;
        self.entry_mut(id).next = free;
        self.free = id;
    }
}
