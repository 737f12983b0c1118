//! The same random calls on files, simulated and real: results, errors and bytes are equal.
//!
//! Calls that nobody can compare are left out: times, inode numbers, blocks, the sizes and link
//! counts of folders, and where the holes of a file are, in which real file systems differ.

#![expect(unsafe_code, reason = "these are the calls of libc themselves")]

use crate::same::{Numbers, compare, contents, outcome};
use libc::c_int;
use seedfall_kernel::{Ended, Simulation, isolated, note};
use std::ffi::{CStr, CString};
use std::sync::Arc;

/// So many files are open at once.
const SLOTS: usize = 5;
/// Calls of one program.
const CALLS: usize = 250;

/// One call: what, and numbers of which each takes those that it needs.
#[derive(Clone, Copy, Debug)]
struct Call {
    what: What,
    /// The open file it is about, and another.
    slot: usize,
    other: usize,
    /// Paths.
    path: &'static CStr,
    to: &'static CStr,
    /// Offsets, lengths, flags.
    at: i64,
    len: usize,
    flags: c_int,
}

/// The kinds of calls, and all of them in a list.
macro_rules! kinds {
    ($($name:ident),* $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum What { $($name),* }
        const ALL: &[What] = &[$(What::$name),*];
    };
}
kinds! {
    Open, Close, Dup, Read, Write, Pread, Pwrite, Readv, Writev, Seek, Truncate, Resize,
    Allocate, Sync, Copy, Send, Lock, RangeLock, Rename, Link, Symlink, Unlink, MakeFolder,
    RemoveFolder, List, Target, Status, LinkStatus, OpenStatus, Access,
}

const PATHS: [&CStr; 18] = [
    c"a", c"b", c"c", c"d", c"e", c"d/a", c"d/b", c"d/e", c"d/e/a", c"l", c"l/a", c"d/../a", c"a/",
    c"d/", c"no/a", c"d/.", c".", c"d/..",
];

fn call(numbers: &mut Numbers) -> Call {
    // Files are opened and written more often than the rest is done.
    let what = match numbers.below(4) {
        0 => numbers.of(&[What::Open, What::Open, What::Write, What::Pwrite, What::Read]),
        _ => numbers.of(ALL),
    };
    let flags = match what {
        What::Open => {
            let access = numbers.of(&[libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR, libc::O_RDWR]);
            let more = [
                libc::O_CREAT,
                libc::O_CREAT,
                0,
                libc::O_CREAT | libc::O_EXCL,
                libc::O_CREAT | libc::O_TRUNC,
                libc::O_TRUNC,
                libc::O_CREAT | libc::O_APPEND,
                libc::O_APPEND | libc::O_SYNC,
                libc::O_DIRECTORY,
                libc::O_NOFOLLOW,
                libc::O_CREAT | libc::O_NOFOLLOW,
            ];
            access | numbers.of(&more)
        }
        What::Seek => numbers.of(&[libc::SEEK_SET, libc::SEEK_CUR, libc::SEEK_END, 17]),
        What::Allocate => numbers.of(&[0, 0, libc::FALLOC_FL_KEEP_SIZE]),
        What::Lock => {
            libc::LOCK_NB
                | numbers.of(&[libc::LOCK_SH, libc::LOCK_EX, libc::LOCK_EX, libc::LOCK_UN])
        }
        What::RangeLock => {
            c_int::from(numbers.of(&[libc::F_RDLCK, libc::F_WRLCK, libc::F_UNLCK] as &[_]) as i16)
        }
        What::Access => numbers.of(&[libc::F_OK, libc::R_OK, libc::W_OK]),
        _ => numbers.of(&[0o644, 0o755, 0o600]),
    };
    Call {
        what,
        slot: numbers.below(SLOTS),
        other: numbers.below(SLOTS),
        path: numbers.of(&PATHS),
        to: numbers.of(&PATHS),
        at: numbers.of(&[0, 0, 1, 100, 511, 512, 4095, 4096, 5000, 9000, -1, -5000]),
        len: numbers.of(&[0, 1, 10, 511, 512, 600, 4096, 5000, 9000]),
        flags,
    }
}

fn program(seed: u64) -> Vec<Call> {
    let mut numbers = Numbers(seed);
    (0..CALLS).map(|_| call(&mut numbers)).collect()
}

/// Does the calls in a folder, and tells what each came to.
fn run(calls: &[Call], root: &str, mut tell: impl FnMut(String)) {
    let mut slots = [-1; SLOTS];
    for (place, call) in calls.iter().enumerate() {
        // SAFETY: what `done` asks for; the descriptors are those that it opened.
        let told = unsafe { done(call, place, root, &mut slots) };
        tell(told);
    }
    for fd in slots {
        // SAFETY: one that was opened here, or none.
        unsafe { libc::close(fd) };
    }
}

unsafe fn done(call: &Call, place: usize, root: &str, slots: &mut [c_int; SLOTS]) -> String {
    let Call { what, slot, other, at, len, flags, .. } = *call;
    let whole = |path: &CStr| CString::new(format!("{root}/{}", path.to_str().unwrap())).unwrap();
    let (path, to, fd) = (whole(call.path), whole(call.to), slots[slot]);
    let mut bytes = vec![0x11 + (place % 200) as u8; len];
    // SAFETY: paths are C strings, buffers as long as is said, and places of results our own.
    unsafe {
        match what {
            What::Open => {
                libc::close(slots[slot]);
                slots[slot] = libc::open(path.as_ptr(), flags, 0o644);
                outcome(slots[slot].min(0).into())
            }
            What::Close => {
                slots[slot] = -1;
                outcome(libc::close(fd).into())
            }
            What::Dup => {
                let copy = libc::dup(fd);
                let told = outcome(copy.min(0).into());
                libc::close(slots[other]);
                slots[other] = copy;
                told
            }
            What::Read => contents(libc::read(fd, bytes.as_mut_ptr().cast(), len), &bytes),
            What::Write => outcome(libc::write(fd, bytes.as_ptr().cast(), len) as i64),
            What::Pread => contents(libc::pread(fd, bytes.as_mut_ptr().cast(), len, at), &bytes),
            What::Pwrite => outcome(libc::pwrite(fd, bytes.as_ptr().cast(), len, at) as i64),
            What::Readv | What::Writev => vectored(what, fd, &mut bytes),
            What::Seek => {
                let mut status: libc::stat = std::mem::zeroed();
                libc::fstat(fd, &raw mut status);
                match status.st_mode & libc::S_IFMT {
                    // Places in a folder are each file system's own.
                    libc::S_IFDIR => "a folder".to_owned(),
                    _ => outcome(libc::lseek(fd, at, flags)),
                }
            }
            What::Truncate => outcome(libc::truncate(path.as_ptr(), at).into()),
            What::Resize => outcome(libc::ftruncate(fd, at).into()),
            What::Allocate => outcome(libc::fallocate(fd, flags, at, len as i64).into()),
            What::Sync => outcome(libc::fsync(fd).into()),
            What::Copy | What::Send => copied(call, slots),
            What::Lock => outcome(libc::flock(fd, flags).into()),
            What::RangeLock => {
                let mut lock: libc::flock = std::mem::zeroed();
                (lock.l_type, lock.l_start, lock.l_len) = (flags as i16, at, len as i64);
                outcome(libc::fcntl(fd, libc::F_SETLK, &raw mut lock).into())
            }
            What::List => listed(&path),
            What::Target => {
                let size = libc::readlink(path.as_ptr(), bytes.as_mut_ptr().cast(), len);
                contents(size, &bytes)
            }
            What::Status | What::LinkStatus | What::OpenStatus => {
                let mut status = std::mem::zeroed();
                let result = match what {
                    What::Status => libc::stat(path.as_ptr(), &raw mut status),
                    What::LinkStatus => libc::lstat(path.as_ptr(), &raw mut status),
                    _ => libc::fstat(fd, &raw mut status),
                };
                told_status(result, &status)
            }
            _ => named(call, &path, &to),
        }
    }
}

/// Calls that change names, or look for one.
unsafe fn named(call: &Call, path: &CStr, to: &CStr) -> String {
    let flags = call.flags;
    // SAFETY: C strings.
    unsafe {
        match call.what {
            What::Rename => outcome(libc::rename(path.as_ptr(), to.as_ptr()).into()),
            What::Link => outcome(libc::link(path.as_ptr(), to.as_ptr()).into()),
            What::Symlink => outcome(libc::symlink(call.to.as_ptr(), path.as_ptr()).into()),
            What::Unlink => outcome(libc::unlink(path.as_ptr()).into()),
            What::MakeFolder => outcome(libc::mkdir(path.as_ptr(), flags as u32).into()),
            What::RemoveFolder => outcome(libc::rmdir(path.as_ptr()).into()),
            _ => outcome(libc::access(path.as_ptr(), flags).into()),
        }
    }
}

/// Reads or writes two buffers.
unsafe fn vectored(what: What, fd: c_int, bytes: &mut [u8]) -> String {
    let (first, second) = bytes.split_at_mut(bytes.len() / 3);
    let one =
        |part: &mut [u8]| libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() };
    let both = [one(first), one(second)];
    let call = if what == What::Readv { libc::readv } else { libc::writev };
    // SAFETY: two buffers as long as is said.
    let result = unsafe { call(fd, both.as_ptr(), 2) };
    if what == What::Readv { contents(result, bytes) } else { outcome(result as i64) }
}

fn told_status(result: c_int, status: &libc::stat) -> String {
    let mode = status.st_mode;
    if result < 0 || mode & libc::S_IFMT == libc::S_IFDIR {
        return format!("{} {mode:o}", outcome(result.into()));
    }
    format!("{mode:o}, {} bytes, {} names", status.st_size, status.st_nlink)
}

/// `copy_file_range`, or `sendfile`: from where a file stands, or from a place.
unsafe fn copied(call: &Call, slots: &[c_int; SLOTS]) -> String {
    let (from, to, mut at) = (slots[call.slot], slots[call.other], call.at.abs());
    // SAFETY: the place of an offset, or none.
    unsafe {
        let file = |fd| {
            let mut status: libc::stat = std::mem::zeroed();
            libc::fstat(fd, &raw mut status);
            status.st_ino
        };
        if call.what == What::Send && file(from) == file(to) {
            return "a file to itself".to_owned();
        }
        let place = if call.at > 100 { &raw mut at } else { std::ptr::null_mut() };
        let moved = match call.what {
            What::Copy => libc::copy_file_range(from, place, to, std::ptr::null_mut(), call.len, 0),
            _ => libc::sendfile(to, from, place, call.len),
        };
        format!("{} {at}", outcome(moved as i64))
    }
}

/// The names of a folder, sorted.
unsafe fn listed(path: &CStr) -> String {
    // SAFETY: a C string; the folder is closed once.
    unsafe {
        let folder = libc::opendir(path.as_ptr());
        if folder.is_null() {
            return outcome(-1);
        }
        let mut names = Vec::new();
        loop {
            let entry = libc::readdir(folder);
            if entry.is_null() {
                break;
            }
            let name = CStr::from_ptr((*entry).d_name.as_ptr()).to_string_lossy().into_owned();
            names.push(format!("{name}:{}", (*entry).d_type));
        }
        libc::closedir(folder);
        names.sort();
        names.join(" ")
    }
}

/// A folder so far below that no path leads out of it.
fn below(root: &str) -> String {
    let folder = format!("{root}/1/2/3/4");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn simulated(calls: &[Call]) -> Vec<String> {
    let calls: Arc<[Call]> = calls.into();
    let main = move |_| run(&calls, &below("/work"), |told| note(told.as_bytes()));
    let report = Simulation::new(1).client_main("one", main).run();
    assert_eq!((&report.failures, report.ended), (&vec![], Ended::Finished));
    report.notes_as_text()
}

fn real(calls: &[Call], _: u32) -> Vec<String> {
    let folder = std::env::temp_dir().join(format!("seedfall-files-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
    let mut all = Vec::new();
    run(calls, &below(folder.to_str().unwrap()), |told| all.push(told));
    std::fs::remove_dir_all(&folder).unwrap();
    all
}

#[test]
fn a_hundred_thousand_calls_on_files_are_answered_as_by_the_real_kernel() {
    isolated(|| compare(0..400, program, simulated, real));
}
