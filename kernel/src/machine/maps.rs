//! Memory for files that programs map: areas of whole pages in a region of their own, at addresses
//! that the kernel names, so that they are the same in every run.
//!
//! It is private to the process: a run that forks for its futures gives each its own copy.

use super::*;

/// What memory is given away in.
pub(crate) const PAGE: usize = 4096;
/// Where files are mapped: above the memory of programs, below all that Linux puts anywhere.
pub(crate) const MAPS: std::ops::Range<usize> = 0x5F00_0000_0000..0x7000_0000_0000;
/// How many areas there are.
static COUNT: AtomicUsize = AtomicUsize::new(0);

const NONE: i32 = libc::PROT_NONE;
const READ: i32 = libc::PROT_READ;
const WRITE: i32 = libc::PROT_WRITE;

/// Whether this process has any area.
#[inline]
pub(crate) fn has_areas() -> bool {
    COUNT.load(Relaxed) > 0
}

/// Some pages, of which a first part can be touched: what lies behind the end of a file cannot.
/// They are given back as it is dropped.
#[derive(Debug)]
pub(crate) struct Area {
    start: usize,
    length: usize,
    /// How much of it can be touched.
    open: usize,
    /// How a program may touch that.
    access: i32,
}

impl Area {
    /// Pages at this address, none of which can be touched yet. `None`: something else is there,
    /// unless it `replaces` that, or there is no memory.
    pub(crate) fn new(start: usize, length: usize, replaces: bool) -> Option<Self> {
        if !start.is_multiple_of(PAGE) || !length.is_multiple_of(PAGE) || length == 0 {
            return None;
        }
        signals::permit(length);
        let fixed = if replaces { libc::MAP_FIXED } else { libc::MAP_FIXED_NOREPLACE };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | fixed;
        // SAFETY: fresh pages: where nothing is, or where the program has asked for them in the
        // place of its own.
        let got =
            outside(|| unsafe { libc::mmap(start as *mut c_void, length, NONE, flags, -1, 0) });
        if got as usize != start {
            signals::forbid(length);
            return None;
        }
        COUNT.fetch_add(1, Relaxed);
        Some(Self { start, length, open: 0, access: NONE })
    }

    /// Its first address.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// How long it is.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// The address behind it.
    pub(crate) fn end(&self) -> usize {
        self.start + self.length
    }

    /// How much of it can be touched.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// How a program may touch it.
    pub(crate) fn access(&self) -> i32 {
        self.access
    }

    fn protect(&self, from: usize, to: usize, access: i32) {
        if from < to {
            // SAFETY: pages of this area. What fails is a lack of memory for the table of pages:
            // the next touch of them says so.
            outside(|| unsafe {
                libc::mprotect((self.start + from) as *mut c_void, to - from, access)
            });
        }
    }

    /// How a program may touch it from now on.
    pub(crate) fn set_access(&mut self, access: i32) {
        self.access = access;
        self.protect(0, self.open, access);
    }

    /// So much of it can be touched from now on. What cannot any more is all zeros, if it can be
    /// once again.
    pub(crate) fn set_open(&mut self, size: usize) {
        let size = size.next_multiple_of(PAGE).min(self.length);
        if size < self.open {
            let (from, closed) = (self.start + size, self.open - size);
            // SAFETY: pages of this area, which are fresh when they are touched again.
            outside(|| unsafe { libc::madvise(from as *mut c_void, closed, libc::MADV_DONTNEED) });
            self.protect(size, self.open, NONE);
        } else {
            self.protect(self.open, size, self.access);
        }
        self.open = size;
    }

    /// Does it while a part may be touched so, at least.
    fn lent<R>(&self, at: usize, length: usize, access: i32, work: impl FnOnce() -> R) -> R {
        assert!(at <= self.open && length <= self.open - at, "beyond what can be touched");
        if self.access & access == access {
            return work();
        }
        let (from, to) = (at / PAGE * PAGE, (at + length).next_multiple_of(PAGE));
        self.protect(from, to, READ | WRITE);
        let result = work();
        self.protect(from, to, self.access);
        result
    }

    /// Looks at a part.
    pub(crate) fn look<R>(&self, at: usize, length: usize, work: impl FnOnce(&[u8]) -> R) -> R {
        self.lent(at, length, READ, || {
            // SAFETY: pages of this area that can be touched. A run has one thread that does
            // anything, and `work` knows of no other way to them.
            work(unsafe { std::slice::from_raw_parts((self.start + at) as *const u8, length) })
        })
    }

    /// Writes to a part.
    pub(crate) fn write(&mut self, at: usize, bytes: &[u8]) {
        self.lent(at, bytes.len(), READ | WRITE, || {
            // SAFETY: as above; the bytes may be those of a program that lie in this area.
            unsafe { ptr::copy(bytes.as_ptr(), (self.start + at) as *mut u8, bytes.len()) };
        });
    }

    /// Cuts it in two.
    pub(crate) fn split(mut self, at: usize) -> (Self, Self) {
        assert!(at.is_multiple_of(PAGE) && 0 < at && at < self.length, "a cut between two pages");
        let second = Self {
            start: self.start + at,
            length: self.length - at,
            open: self.open.saturating_sub(at),
            access: self.access,
        };
        (self.length, self.open) = (at, self.open.min(at));
        COUNT.fetch_add(1, Relaxed);
        (self, second)
    }

    /// Makes it longer where it is, if nothing is behind it. Whether it was possible.
    pub(crate) fn grow(&mut self, length: usize) -> bool {
        let Some(mut more) = Self::new(self.end(), length - self.length, false) else {
            return false;
        };
        self.length += more.length;
        // What is joined is given back with this one.
        more.length = 0;
        true
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Relaxed);
        if self.length > 0 {
            // SAFETY: pages of this area, which nobody has been given for longer.
            outside(|| unsafe { libc::munmap(self.start as *mut c_void, self.length) });
            signals::forbid(self.length);
        }
    }
}
