//! The event queue: a short sorted list of what comes soon, and behind it a hierarchical timing
//! wheel.
//!
//! Most clusters have a few dozen events pending, and then all of them stand in the list, `near`:
//! sorted by time, a push is a short insertion and a pop takes the last. When it grows past
//! `NEAR_MAX`, its later half moves to the wheel; when it runs dry, the first slot of the wheel
//! refills it.
//!
//! The wheel counts whole nanoseconds. Eleven levels of 64 slots cover all of `u64` (Varghese and
//! Lauck, "Hashed and Hierarchical Timing Wheels", 1987, scheme 7). An entry waits at the level of
//! the highest bit in which its time differs from `base` and moves down as that time comes near. So
//! push, cancel and pop are O(1) however much is pending.
//!
//! An entry that is put off (an election timeout, at every heartbeat) stays where it stands until
//! its old time comes, and only then moves to where its new time belongs: nearly every one is put
//! off again before that.
//!
//! Entries of one instant come out as one group, in the order of their pushes, from which the
//! caller chooses.

use crate::time::Time;

/// Names a pending entry, to cancel it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle(u32);

/// Names the event that is to be taken.
#[derive(Debug)]
pub struct Chosen(u32);

/// Chooses one of several events of one instant: given the instant, how many were chosen there
/// before, and how many are left. Not a type parameter: it is called seldom, and each would have a
/// copy of the queue.
pub type Choose<'a> = &'a mut dyn FnMut(u64, u32, usize) -> usize;

const LEVELS: usize = 11;
const SLOTS: usize = 64;
const BITS: u32 = SLOTS.trailing_zeros();
/// The end of a list. Entry numbers count from one, so that empty lists are zeroed memory.
const NONE: u32 = 0;
/// The "slot" of an entry that waits in `near`.
const NEAR: u16 = u16::MAX - 1;
/// The "slot" of an entry that waits in `ready`.
const READY: u16 = u16::MAX;
/// How long `near` may grow.
const NEAR_MAX: usize = 64;
/// A slot with no more entries than this is sorted into `near`; a fuller one moves down a level of
/// the wheel.
const NEAR_FILL: usize = 4;

/// Where an entry waits.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// When it is due.
    time: u64,
    /// The time whose place it has: `time`, or an earlier one if it was put off since.
    placed: u64,
    /// The how-manieth push it was; being rescheduled counts as one.
    turn: u64,
    prev: u32,
    next: u32,
    slot: u16,
}

/// One entry of `near`; `time` is where it is placed.
#[derive(Clone, Copy, Debug)]
struct Near {
    time: u64,
    id: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct List {
    head: u32,
    tail: u32,
}

/// Pending events, by time.
#[derive(Clone, Debug)]
pub struct Queue<E> {
    /// The instant of the last pop; nothing earlier is pending.
    now: u64,
    /// How many were chosen from that instant.
    chosen: u32,
    /// How many pushes there were.
    turns: u64,
    /// The first of the free entries, linked by `next`.
    free: u32,
    entries: Vec<Entry>,
    /// The event of each entry. `None`: free, or cancelled while it waited in `ready`.
    events: Vec<Option<E>>,
    /// Everything pending before `near_end`, the earliest last; of one instant, the first pushed
    /// last.
    near: Vec<Near>,
    near_end: u64,
    /// Entries of the instant `now`, one of which is to be chosen; may hold cancelled ones.
    ready: Vec<u32>,
    /// Every level of the wheel is relative to this: at most `near_end`, and no time in the wheel
    /// is earlier.
    base: u64,
    /// Which slots of a level are not empty.
    occupied: [u64; LEVELS],
    /// Which levels are not empty.
    levels: u16,
    /// A list for each slot of each level; made when the wheel is first used.
    slots: Vec<List>,
    len: usize,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self {
            now: 0,
            chosen: 0,
            turns: 0,
            free: NONE,
            entries: Vec::new(),
            events: Vec::new(),
            near: Vec::new(),
            near_end: u64::MAX,
            ready: Vec::new(),
            base: 0,
            occupied: [0; LEVELS],
            levels: 0,
            slots: Vec::new(),
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
    #[inline(always)]
    pub fn push(&mut self, time: Time, event: E) -> Handle {
        let time = time.as_nanos().max(self.now);
        self.turns += 1;
        let turn = self.turns;
        let entry = Entry { time, placed: time, turn, prev: NONE, next: NONE, slot: NEAR };
        let id = self.free;
        if id == NONE {
            self.entries.push(entry);
            self.events.push(Some(event));
        } else {
            let at = id as usize - 1;
            self.free = self.entries[at].next;
            self.entries[at] = entry;
            self.events[at] = Some(event);
        }
        let id = if id == NONE { self.entries.len() as u32 } else { id };
        self.len += 1;
        self.place(id, time);
        Handle(id)
    }

    /// Moves a pending event to another time, as if it were cancelled and pushed again. The handle
    /// must be of an event that neither was popped nor cancelled, and is replaced by the one
    /// returned.
    #[inline]
    pub fn reschedule(&mut self, handle: Handle, time: Time) -> Handle {
        let Handle(id) = handle;
        let (time, turn) = (time.as_nanos().max(self.now), self.turns + 1);
        let entry = self.entry_mut(id);
        if entry.slot != READY && entry.placed <= time {
            (entry.time, entry.turn) = (time, turn);
            self.turns = turn;
            return handle;
        }
        let event = self.cancel(handle).expect("neither popped nor cancelled");
        self.push(Time::from_nanos(time), event)
    }

    /// Whether the event of a handle waits still; to be asked before anything else is pushed, as
    /// its place may go to another.
    pub fn is_pending(&self, handle: Handle) -> bool {
        self.events[handle.0 as usize - 1].is_some()
    }

    /// Looks through everything that is pending for an event that is due at `time` and such a one;
    /// for what is rarely asked.
    pub fn find(&self, time: Time, is_such: impl Fn(&E) -> bool) -> Option<Handle> {
        let mut all = self.entries.iter().zip(&self.events);
        let at = all.position(|(entry, event)| {
            entry.time == time.as_nanos() && event.as_ref().is_some_and(&is_such)
        })?;
        Some(Handle(at as u32 + 1))
    }

    /// Puts an entry where its time belongs.
    #[inline(always)]
    fn place(&mut self, id: u32, time: u64) {
        if time == self.now && !self.ready.is_empty() {
            self.entry_mut(id).slot = READY;
            self.ready.push(id);
        } else if time < self.near_end {
            self.insert_near(time, id);
            if self.near.len() > NEAR_MAX {
                self.spill();
            }
        } else {
            self.link(id, time);
        }
    }

    /// Removes a pending event. The handle must be of an event that neither was popped nor
    /// cancelled.
    #[inline]
    pub fn cancel(&mut self, handle: Handle) -> Option<E> {
        let Handle(id) = handle;
        let event = self.events[id as usize - 1].take()?;
        self.len -= 1;
        match self.entry(id).slot {
            READY => return Some(event),
            NEAR => self.remove_near(id),
            _ => self.unlink(id),
        }
        self.release(id);
        Some(event)
    }

    /// Chooses the first event if it is due at `limit` or before. Where several are due at one
    /// instant, `choose` is asked for one of them: it is given the instant, how many were chosen
    /// there before, and how many are left (two or more).
    ///
    /// The event is pending no more, and is to be taken before anything else is asked of the queue:
    /// whoever takes it may look at it first, and it moves once.
    #[inline]
    pub fn advance(&mut self, limit: Time, choose: Choose<'_>) -> Option<(Time, Chosen)> {
        let id = self.first(limit.as_nanos(), choose)?;
        self.len -= 1;
        Some((Time::from_nanos(self.now), Chosen(id)))
    }

    /// The event that was chosen.
    #[inline]
    pub fn peek(&self, chosen: &Chosen) -> Option<&E> {
        self.events[chosen.0 as usize - 1].as_ref()
    }

    /// Takes the event that was chosen: there is one.
    #[inline]
    #[expect(clippy::needless_pass_by_value, reason = "what was taken is not taken again")]
    pub fn take(&mut self, chosen: Chosen) -> Option<E> {
        let Chosen(id) = chosen;
        self.release(id);
        self.events[id as usize - 1].take()
    }

    /// As [`Queue::advance`], and takes it.
    pub fn pop(&mut self, limit: Time, choose: Choose<'_>) -> Option<(Time, E)> {
        let (time, chosen) = self.advance(limit, choose)?;
        Some((time, self.take(chosen)?))
    }

    /// The entry that is to be popped, in no list any more.
    #[inline]
    fn first(&mut self, limit: u64, choose: Choose<'_>) -> Option<u32> {
        if !self.ready.is_empty() && self.now <= limit {
            let id = self.choose_ready(&mut *choose);
            if id.is_some() {
                return id;
            }
        }
        let (time, id) = loop {
            if self.near.is_empty() {
                self.refill(limit);
            }
            let &Near { time, id } = self.near.last()?;
            if time > limit {
                return None;
            }
            if self.entry(id).time == time {
                break (time, id);
            }
            self.near.pop();
            self.place_anew(id);
        };
        if time > self.now {
            self.now = time;
            self.chosen = 0;
        }
        self.near.pop();
        if self.near.last().is_some_and(|other| other.time == time) {
            self.near.push(Near { time, id });
            self.collect();
            return self.choose_ready(choose);
        }
        self.chosen += 1;
        Some(id)
    }

    /// Chooses from `ready`; `None` if everything there was cancelled.
    #[cold]
    fn choose_ready(&mut self, choose: Choose<'_>) -> Option<u32> {
        for at in (0..self.ready.len()).rev() {
            let id = self.ready[at];
            if self.events[id as usize - 1].is_none() {
                self.ready.remove(at);
                self.release(id);
            }
        }
        let picked = match self.ready.len() {
            0 => return None,
            1 => 0,
            count => choose(self.now, self.chosen, count),
        };
        self.chosen += 1;
        Some(self.ready.swap_remove(picked))
    }

    /// Moves the entries of the instant `now` from `near` to `ready`.
    fn collect(&mut self) {
        while let Some(&Near { time, id }) = self.near.last() {
            if time != self.now {
                break;
            }
            self.near.pop();
            if self.entry(id).time > time {
                self.place_anew(id);
            } else {
                self.entry_mut(id).slot = READY;
                self.ready.push(id);
            }
        }
        // Those that were put off came here late.
        in_turn(&mut self.ready, &self.entries);
    }

    /// Puts an entry that was put off where its new time belongs, now that its old time has come.
    #[cold]
    fn place_anew(&mut self, id: u32) {
        let entry = self.entry_mut(id);
        (entry.placed, entry.slot) = (entry.time, NEAR);
        let time = entry.time;
        self.place(id, time);
    }

    /// Puts an entry into `near`, behind those of the same instant.
    #[inline]
    fn insert_near(&mut self, time: u64, id: u32) {
        let later = self.near.iter().rposition(|near| near.time > time);
        self.near.insert(later.map_or(0, |at| at + 1), Near { time, id });
    }

    /// Takes a pending entry out of `near`.
    fn remove_near(&mut self, id: u32) {
        let time = self.entry(id).placed;
        let first = self.near.partition_point(|near| near.time > time);
        let offset = self.near[first..].iter().position(|near| near.id == id);
        self.near.remove(first + offset.expect("an entry marked NEAR is in `near`"));
    }

    /// Moves the later half of `near` to the wheel. Entries of one instant stay together, if need
    /// be in the wheel.
    #[cold]
    fn spill(&mut self) {
        let half = self.near.len() / 2;
        let rest = self.near[half..].iter().position(|near| near.time < self.near[half - 1].time);
        let cut = rest.map_or(self.near.len(), |rest| half + rest);
        self.near_end = self.near[cut - 1].time;
        for at in (0..cut).rev() {
            let Near { time, id } = self.near[at];
            self.link(id, time);
        }
        self.near.drain(..cut);
    }

    /// Fills the empty `near` from the first slot of the wheel, unless that begins after `limit`.
    #[cold]
    fn refill(&mut self, limit: u64) {
        loop {
            if self.levels == 0 {
                self.near_end = u64::MAX;
                return;
            }
            let level = self.levels.trailing_zeros();
            let slot = self.occupied[level as usize].trailing_zeros() as usize;
            let shift = level * BITS;
            // The bits above this level are the base's, this level's are the slot's, those below
            // are zero.
            let above = self.base.checked_shr(shift + BITS).unwrap_or(0);
            let above = above.checked_shl(shift + BITS).unwrap_or(0);
            let start = above | ((slot as u64) << shift);
            if start > limit {
                return;
            }
            self.base = start;
            // Nothing is pending before the slot. No-op where `near` reached into it.
            self.near_end = self.near_end.max(start);
            let head = self.slots[level as usize * SLOTS + slot].head;
            self.empty(level as usize, slot);
            if level == 0 || self.is_short(head) {
                self.sort_into_near(head);
                self.near_end = start.saturating_add(1 << shift);
                return;
            }
            self.cascade(head);
        }
    }

    /// True if a list has at most [`NEAR_FILL`] entries.
    fn is_short(&self, mut id: u32) -> bool {
        for _ in 0..NEAR_FILL {
            id = self.entry(id).next;
            if id == NONE {
                return true;
            }
        }
        false
    }

    /// Moves a list to the empty `near`.
    fn sort_into_near(&mut self, mut id: u32) {
        while id != NONE {
            let entry = self.entry_mut(id);
            entry.slot = NEAR;
            let Entry { placed: time, next, .. } = *entry;
            self.near.push(Near { time, id });
            id = next;
        }
        if self.near.len() > 1 {
            // The list is in the order of pushes, and the sort is stable.
            self.near.reverse();
            latest_first(&mut self.near);
        }
    }

    #[inline]
    fn entry(&self, id: u32) -> &Entry {
        &self.entries[id as usize - 1]
    }

    #[inline]
    fn entry_mut(&mut self, id: u32) -> &mut Entry {
        &mut self.entries[id as usize - 1]
    }

    /// Appends an entry to the list of the wheel where its time belongs.
    fn link(&mut self, id: u32, time: u64) {
        // The level of the highest differing bit; the `| 1` puts the present itself on level 0.
        let level = (63 - ((time ^ self.base) | 1).leading_zeros()) / BITS;
        let slot = (time >> (level * BITS)) as usize % SLOTS;
        let index = level as usize * SLOTS + slot;
        if self.slots.is_empty() {
            self.slots = vec![List::default(); LEVELS * SLOTS];
        }
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

    /// Moves the entries of a list to lower levels, now that the base has reached their slot.
    fn cascade(&mut self, mut id: u32) {
        while id != NONE {
            let &Entry { placed, next, .. } = self.entry(id);
            self.link(id, placed);
            id = next;
        }
    }

    #[inline]
    fn release(&mut self, id: u32) {
        let free = self.free;
        self.entry_mut(id).next = free;
        self.free = id;
    }
}

// Sorting knows nothing of what is due: here it is compiled once, and not for each protocol.

/// Puts entries of one instant in their turn.
fn in_turn(ready: &mut [u32], entries: &[Entry]) {
    ready.sort_unstable_by_key(|id| entries[*id as usize - 1].turn);
}

/// Puts what is near in the reverse order of time; what is at one instant stays as it is.
fn latest_first(near: &mut [Near]) {
    near.sort_by_key(|near| std::cmp::Reverse(near.time));
}
