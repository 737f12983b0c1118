//! eventfd and timerfd.

use crate::fd::Kind;
use crate::kernel::{Errno, Event, Kernel};
use seedfall_sim::{Duration, Time};

/// An eventfd: a counter that can be waited for.
#[derive(Debug)]
pub(crate) struct Counter {
    count: u64,
    /// `EFD_SEMAPHORE`: a read takes one.
    is_semaphore: bool,
}

impl Counter {
    /// What the counter shows, and back to zero; `EAGAIN` at zero.
    pub(crate) fn take(&mut self) -> Result<u64, Errno> {
        if self.count == 0 {
            return Err(libc::EAGAIN);
        }
        let taken = if self.is_semaphore { 1 } else { self.count };
        self.count -= taken;
        Ok(taken)
    }

    /// Adds to the counter.
    pub(crate) fn add(&mut self, number: u64) -> Result<(), Errno> {
        let sum = self.count.checked_add(number).filter(|sum| *sum < u64::MAX);
        self.count = sum.ok_or(libc::EAGAIN)?;
        Ok(())
    }

    /// What it is ready for.
    pub(crate) fn readiness(&self) -> u32 {
        let input = if self.count > 0 { libc::EPOLLIN } else { 0 };
        let output = if self.count < u64::MAX - 1 { libc::EPOLLOUT } else { 0 };
        (input | output) as u32
    }
}

/// A timerfd.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    clock: libc::clockid_t,
    /// When it rings next.
    due: Option<Time>,
    /// How often after that.
    interval: Duration,
    /// Rings that were not read yet.
    rings: u64,
    /// Counts its settings: events of an earlier one are void.
    setting: u32,
}

impl Timer {
    /// How often it rang since the last read; `EAGAIN` if never.
    pub(crate) fn take(&mut self) -> Result<u64, Errno> {
        match std::mem::take(&mut self.rings) {
            0 => Err(libc::EAGAIN),
            rings => Ok(rings),
        }
    }

    /// What it is ready for.
    pub(crate) fn readiness(&self) -> u32 {
        if self.rings > 0 { libc::EPOLLIN as u32 } else { 0 }
    }
}

impl Kernel {
    /// `eventfd`.
    pub(crate) fn eventfd(&mut self, count: u32, flags: i32) -> i32 {
        let is_semaphore = flags & libc::EFD_SEMAPHORE != 0;
        let counter = Counter { count: count.into(), is_semaphore };
        self.open_object(Kind::Counter(counter), flags & libc::EFD_NONBLOCK != 0)
    }

    /// `timerfd_create`.
    pub(crate) fn timer_create(&mut self, clock: libc::clockid_t, flags: i32) -> i32 {
        let timer = Timer { clock, ..Timer::default() };
        self.open_object(Kind::Timer(timer), flags & libc::TFD_NONBLOCK != 0)
    }

    fn timer(&mut self, object: usize) -> Result<&mut Timer, Errno> {
        match &mut self.objects[object].kind {
            Kind::Timer(timer) => Ok(timer),
            _ => Err(libc::EINVAL),
        }
    }

    /// `timerfd_settime`: rings at `first` nanoseconds (zero: never), then every `interval`. What
    /// was set before.
    pub(crate) fn timer_set(
        &mut self,
        fd: i32,
        is_absolute: bool,
        first: u64,
        interval: u64,
    ) -> Result<(u64, u64), Errno> {
        let before = self.timer_get(fd)?;
        let object = self.object(fd)?;
        let clock = self.timer(object)?.clock;
        let at = match (first, is_absolute) {
            (0, _) => None,
            (nanos, true) => Some(self.ring_at(clock, nanos)),
            (nanos, false) => Some(self.ring(Duration::nanos(nanos))),
        };
        let timer = self.timer(object)?;
        timer.setting += 1;
        (timer.due, timer.interval, timer.rings) = (at, Duration::nanos(interval), 0);
        let setting = timer.setting;
        self.arm_timer(object, setting, at);
        Ok(before)
    }

    /// `timerfd_gettime`: nanoseconds until it rings, and its interval.
    pub(crate) fn timer_get(&mut self, fd: i32) -> Result<(u64, u64), Errno> {
        let (object, now) = (self.object(fd)?, self.now);
        let timer = self.timer(object)?;
        let left = timer.due.map_or(0, |due| due.since(now).as_nanos().max(1));
        Ok((left, timer.interval.as_nanos()))
    }

    fn arm_timer(&mut self, object: usize, setting: u32, at: Option<Time>) {
        if let Some(at) = at {
            let generation = self.objects[object].generation;
            self.queue.push(at, Event::Timer { object, generation, setting });
        }
    }

    /// A timer rings, if it still is set so.
    pub(crate) fn timer_rings(&mut self, object: usize, generation: u32, setting: u32) {
        if self.objects[object].generation != generation {
            return;
        }
        let Ok(timer) = self.timer(object) else { return };
        if timer.setting != setting {
            return;
        }
        timer.rings += 1;
        let again = timer.interval > Duration::ZERO;
        timer.due = timer.due.filter(|_| again).map(|due| due + timer.interval);
        let due = timer.due;
        self.arm_timer(object, setting, due);
        self.notify(object, libc::EPOLLIN as u32);
    }
}
