//! The same random calls on mapped files, simulated and real, and the same loads and stores between
//! them: results, errors and bytes are equal.
//!
//! Left out is what nobody promises, bytes behind the end of a file in its last page and addresses,
//! and what is not simulated: a load from, or a store to, one of two mappings that overlap, right
//! after a store to the other.

#![expect(unsafe_code, reason = "these are the calls of libc themselves")]

use crate::same::{Numbers, compare, contents, outcome};
use libc::{c_int, c_void};
use seedfall_kernel::{Ended, Simulation, isolated, note};
use seedfall_sim::StableHasher;
use std::ffi::{CStr, CString};
use std::sync::Arc;

const PAGE: usize = 4096;
/// So many files are open, and so many mapped, at once.
const SLOTS: usize = 4;
/// Calls of one program.
const CALLS: usize = 250;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Open,
    Close,
    Map,
    Store,
    Load,
    Unmap,
    UnmapPart,
    Sync,
    SyncMap,
    Protect,
    Advise,
    Remap,
    Pread,
    Pwrite,
    Append,
    Resize,
    Truncate,
    Empty,
    Unlink,
    Rename,
    /// Of one file to another.
    Copy,
}

use What::{
    Advise, Append, Close, Copy as CopyRange, Empty, Load, Map, Open, Pread, Protect, Pwrite,
    Remap, Rename, Resize, Store, Sync, SyncMap, Truncate, Unlink, Unmap, UnmapPart,
};

/// What is done, those that are done more often first and more than once.
const ALL: [What; 36] = [
    Open, Open, Open, Map, Map, Map, Map, Store, Store, Store, Store, Store, Store, Store, Load,
    Load, Load, Load, Pread, Pread, Pwrite, Pwrite, Resize, Close, Unmap, UnmapPart, Sync, SyncMap,
    Protect, Advise, Remap, Append, Truncate, Unlink, Rename, CopyRange,
];

#[derive(Clone, Copy, Debug)]
struct Call {
    what: What,
    slot: usize,
    other: usize,
    path: &'static CStr,
    at: usize,
    len: usize,
    flags: c_int,
    access: c_int,
}

/// A mapping, as the program knows it.
#[derive(Clone, Copy, Debug)]
struct Mapped {
    start: usize,
    length: usize,
    offset: usize,
    access: c_int,
    /// A descriptor of its file, which stays open.
    fd: c_int,
}

fn call(numbers: &mut Numbers) -> Call {
    let what = if numbers.below(40) == 0 { Empty } else { numbers.of(&ALL) };
    let flags = match what {
        Open => numbers.of(&[libc::O_RDWR, libc::O_RDWR, libc::O_RDONLY, libc::O_WRONLY]),
        Map => {
            let kinds = [libc::MAP_SHARED, libc::MAP_SHARED, libc::MAP_SHARED, libc::MAP_PRIVATE];
            if numbers.below(20) == 0 { 0 } else { numbers.of(&kinds) }
        }
        SyncMap => {
            let (sync, later) = (libc::MS_SYNC, libc::MS_ASYNC);
            numbers.of(&[sync, sync, later, sync | later, 0, sync | libc::MS_INVALIDATE])
        }
        Advise => numbers.of(&[libc::MADV_DONTNEED, libc::MADV_RANDOM, libc::MADV_WILLNEED]),
        _ => 0,
    };
    let (read, write) = (libc::PROT_READ, libc::PROT_WRITE);
    let lengths = [0, 1, 10, 511, 600, 4096, 5000, 9000, 20_000];
    Call {
        what,
        slot: numbers.below(SLOTS),
        other: numbers.below(SLOTS),
        path: numbers.of(&[c"a", c"a", c"b"]),
        at: numbers.of(&[0, 0, 1, 100, 4095, 4096, 4096, 5000, 8192, 9000, 12_288]),
        len: numbers.of(&lengths),
        flags,
        access: numbers.of(&[read | write, read | write, read | write, read, 0]),
    }
}

fn program(seed: u64) -> Vec<Call> {
    let mut numbers = Numbers(seed);
    (0..CALLS).map(|_| call(&mut numbers)).collect()
}

struct World {
    root: String,
    files: [c_int; SLOTS],
    maps: [Option<Mapped>; SLOTS],
}

fn run(calls: &[Call], root: &str, mut tell: impl FnMut(String)) {
    let mut world = World { root: root.to_owned(), files: [-1; SLOTS], maps: [None; SLOTS] };
    for (place, call) in calls.iter().enumerate() {
        // SAFETY: what is touched is mapped, and before the end of its file.
        let told = unsafe { world.done(call, place) };
        tell(told);
    }
    // SAFETY: what was opened and mapped here.
    unsafe {
        world.maps.into_iter().flatten().for_each(|mapped| world.unmap(mapped));
        for fd in world.files {
            libc::close(fd);
        }
    }
}

impl World {
    unsafe fn size(&self, fd: c_int) -> usize {
        // SAFETY: a place for the result.
        unsafe {
            let mut status: libc::stat = std::mem::zeroed();
            libc::fstat(fd, &raw mut status);
            status.st_size as usize
        }
    }

    /// A part of a mapping that can be touched so; `None`: there is none.
    unsafe fn part(&self, mapped: Mapped, at: usize, len: usize, access: c_int) -> Option<usize> {
        // SAFETY: a descriptor that is open.
        let size = unsafe { self.size(mapped.fd) }.saturating_sub(mapped.offset);
        let end = size.min(mapped.length);
        let allowed = mapped.access & access == access;
        (allowed && at < end).then(|| len.min(end - at))
    }

    unsafe fn unmap(&self, mapped: Mapped) {
        // SAFETY: what was mapped here, and a descriptor of its own.
        unsafe {
            libc::munmap(mapped.start as *mut c_void, mapped.length);
            libc::close(mapped.fd);
        }
    }

    /// Those that overlap are made equal.
    unsafe fn even_out(&self) {
        for mapped in self.maps.iter().flatten() {
            // SAFETY: what was mapped here.
            unsafe { libc::msync(mapped.start as *mut c_void, mapped.length, libc::MS_ASYNC) };
        }
    }

    unsafe fn done(&mut self, call: &Call, place: usize) -> String {
        let Call { what, slot, other, at, len, flags, .. } = *call;
        let path = CString::new(format!("{}/{}", self.root, call.path.to_str().unwrap())).unwrap();
        let fd = self.files[slot];
        let mut bytes = vec![0x11 + (place % 200) as u8; len];
        // SAFETY: paths are C strings, and buffers as long as is said.
        unsafe {
            match what {
                Open => {
                    libc::close(fd);
                    let flags = flags | libc::O_CREAT;
                    self.files[slot] = libc::open(path.as_ptr(), flags, 0o644);
                    outcome(self.files[slot].min(0).into())
                }
                Close => {
                    self.files[slot] = -1;
                    outcome(libc::close(fd).into())
                }
                Pread => {
                    let to = bytes.as_mut_ptr().cast();
                    contents(libc::pread(fd, to, len, at as i64), &bytes)
                }
                Pwrite => outcome(libc::pwrite(fd, bytes.as_ptr().cast(), len, at as i64) as i64),
                Append => {
                    libc::lseek(fd, 0, libc::SEEK_END);
                    outcome(libc::write(fd, bytes.as_ptr().cast(), len) as i64)
                }
                Resize => outcome(libc::ftruncate(fd, (at + len) as i64).into()),
                Truncate => outcome(libc::truncate(path.as_ptr(), (at + len) as i64).into()),
                Empty => {
                    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
                    let fd = libc::open(path.as_ptr(), flags, 0o644);
                    libc::close(fd);
                    outcome(fd.min(0).into())
                }
                Sync => outcome(libc::fsync(fd).into()),
                Unlink => outcome(libc::unlink(path.as_ptr()).into()),
                Rename => {
                    let to = CString::new(format!("{}/b", self.root)).unwrap();
                    outcome(libc::rename(path.as_ptr(), to.as_ptr()).into())
                }
                CopyRange => {
                    let (mut from, mut to) = (at as i64, (call.slot * PAGE) as i64);
                    let target = self.files[other];
                    let (one, two) = (&raw mut from, &raw mut to);
                    outcome(libc::copy_file_range(fd, one, target, two, len, 0) as i64)
                }
                _ => self.mapped(call, place),
            }
        }
    }

    /// What is done to a mapping.
    unsafe fn mapped(&mut self, call: &Call, place: usize) -> String {
        let Call { what, slot, other, at, len, flags, access, .. } = *call;
        let (read, write) = (libc::PROT_READ, libc::PROT_WRITE);
        if what == Map {
            // SAFETY: the kernel chooses where.
            return unsafe { self.map(call) };
        }
        let Some(mapped) = self.maps[other] else { return "nothing".to_owned() };
        let start = mapped.start as *mut c_void;
        let pages = mapped.length / PAGE;
        let cut = (at / PAGE).min(pages - 1);
        // SAFETY: what was mapped here, and is not touched behind the end of its file.
        unsafe {
            match what {
                Store => {
                    // Which of two stores to the same bytes, by way of two mappings, was the later
                    // one, only calls between them say.
                    self.even_out();
                    let Some(len) = self.part(mapped, at, len, write) else {
                        return "no".to_owned();
                    };
                    std::ptr::write_bytes(start.cast::<u8>().add(at), place as u8, len);
                    format!("stored {len}")
                }
                Load => {
                    self.even_out();
                    let Some(len) = self.part(mapped, at, len, read) else {
                        return "no".to_owned();
                    };
                    let bytes = std::slice::from_raw_parts(start.cast::<u8>().add(at), len);
                    format!("{len} {:x}", StableHasher::hash(&bytes.to_vec()))
                }
                Unmap => {
                    self.maps[other] = None;
                    self.unmap(mapped);
                    "unmapped".to_owned()
                }
                UnmapPart if cut == 0 => "all".to_owned(),
                UnmapPart => {
                    let (keep, go) = (cut * PAGE, mapped.length - cut * PAGE);
                    let left = self.maps[other].as_mut().unwrap();
                    if slot % 2 == 0 {
                        left.length = keep;
                        outcome(libc::munmap(start.add(keep), go).into())
                    } else {
                        (left.start, left.offset) = (left.start + keep, left.offset + keep);
                        left.length = go;
                        outcome(libc::munmap(start, keep).into())
                    }
                }
                SyncMap => {
                    // What is mapped behind it is another matter.
                    let len = len.min(mapped.length - cut * PAGE);
                    outcome(libc::msync(start.add(cut * PAGE), len, flags).into())
                }
                Protect => {
                    let done = libc::mprotect(start, mapped.length, access);
                    if done == 0 {
                        self.maps[other].as_mut().unwrap().access = access;
                    }
                    outcome(done.into())
                }
                Advise => outcome(libc::madvise(start, mapped.length, flags).into()),
                _ => {
                    let length = (len + 1).next_multiple_of(PAGE);
                    let moved = libc::mremap(start, mapped.length, length, libc::MREMAP_MAYMOVE);
                    if moved == libc::MAP_FAILED {
                        return outcome(-1);
                    }
                    let left = self.maps[other].as_mut().unwrap();
                    (left.start, left.length) = (moved as usize, length);
                    format!("{length}")
                }
            }
        }
    }

    unsafe fn map(&mut self, call: &Call) -> String {
        let Call { slot, other, at, len, flags, access, .. } = *call;
        let fd = self.files[slot];
        // SAFETY: the kernel chooses where.
        unsafe {
            let got = libc::mmap(std::ptr::null_mut(), len, access, flags, fd, at as i64);
            if got == libc::MAP_FAILED {
                return outcome(-1);
            }
            if let Some(old) = self.maps[other].take() {
                self.unmap(old);
            }
            let (start, length) = (got as usize, len.next_multiple_of(PAGE));
            let mapped = Mapped { start, length, offset: at, access, fd: libc::dup(fd) };
            self.maps[other] = Some(mapped);
        }
        "mapped".to_owned()
    }
}

fn simulated(calls: &[Call]) -> Vec<String> {
    let calls: Arc<[Call]> = calls.into();
    let main = move |_| run(&calls, "/work", |told| note(told.as_bytes()));
    let report = Simulation::new(1).client_main("one", main).run();
    assert_eq!((&report.failures, report.ended), (&vec![], Ended::Finished));
    report.notes_as_text()
}

fn real(calls: &[Call], _: u32) -> Vec<String> {
    let folder = std::env::temp_dir().join(format!("seedfall-maps-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
    let mut all = Vec::new();
    run(calls, folder.to_str().unwrap(), |told| all.push(told));
    std::fs::remove_dir_all(&folder).unwrap();
    all
}

#[test]
fn a_hundred_thousand_calls_on_mapped_files_are_answered_as_by_the_real_kernel() {
    isolated(|| compare(0..400, program, simulated, real));
}

#[test]
#[ignore = "a minute in a release build"]
fn a_million_calls_on_mapped_files_are_answered_as_by_the_real_kernel() {
    isolated(|| compare(1_000..5_000, program, simulated, real));
}
