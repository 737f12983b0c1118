//! The symbols of libc that programs call: pointers in, slices and numbers on, and nothing else.
//! One of the two places with `unsafe`; the other is [`machine`](crate::machine).
//!
//! Each definition takes the place of libc's in the whole process. Outside a simulated program, and
//! for real descriptors, it goes on to the real one, which is what comes next after this binary in
//! the order of the loader.

#![allow(unsafe_code, non_upper_case_globals, unused_variables, missing_docs)]
#![allow(clippy::missing_safety_doc, clippy::similar_names)]

mod descriptors;
mod files;
mod maps;
mod memory;
mod names;
mod numbers;
mod threads;

pub(crate) use memory::{is_reserved, reserve};
pub(crate) use numbers::serve;
pub(crate) use threads::finish_thread;

use crate::calls;
use crate::file::Status;
use crate::kernel::Errno;
use crate::machine::in_program as inside;
use crate::socket::Name;
use libc::*;
use seedfall_sim::Duration;
use std::ffi::CStr;
use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

/// The real function behind a symbol.
macro_rules! real {
    ($name:ident, $type:ty) => {{
        static REAL: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let mut real = REAL.load(std::sync::atomic::Ordering::Relaxed);
        if real == 0 {
            real = $crate::hooks::find(concat!(stringify!($name), "\0"));
            REAL.store(real, std::sync::atomic::Ordering::Relaxed);
        }
        // SAFETY: the symbol of libc with that name has this type.
        #[allow(unused_unsafe)]
        let real = unsafe { std::mem::transmute::<usize, $type>(real) };
        real
    }};
}

/// Where libc has a symbol.
#[cold]
fn find(name: &'static str) -> usize {
    // SAFETY: the name ends with a zero byte.
    let found = unsafe { dlsym(RTLD_NEXT, name.as_ptr().cast()) } as usize;
    if found == 0 {
        // SAFETY: it does not return. There is no libc below: nothing else can be done or said.
        unsafe { _exit(70) }
    }
    found
}

/// Definitions of symbols: when the call is one of a simulated program, and what it is then.
macro_rules! hooks {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $ret:ty; $when:expr => $body:expr;)*) => {$(
        #[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $name($($arg: $type),*) -> $ret {
            // SAFETY: the caller vouches for its pointers as the manual of the function demands.
            #[allow(unused_unsafe)]
            unsafe {
                if $when {
                    return $crate::hooks::told($body) as $ret;
                }
                $crate::hooks::real!($name, unsafe extern "C" fn($($type),*) -> $ret)($($arg),*)
            }
        }
    )*};
}

use {hooks, real};

/// What a call returns: a number, or -1 and `errno`.
fn told<T: Into<Answer>>(result: Result<T, Errno>) -> i64 {
    match result {
        Ok(value) => value.into().0,
        Err(error) => {
            // SAFETY: the place of this thread's `errno`.
            unsafe { *__errno_location() = error };
            -1
        }
    }
}

/// A number that a call returns.
struct Answer(i64);
macro_rules! answers {
    ($($type:ty),*) => {$(
        impl From<$type> for Answer {
            fn from(value: $type) -> Self {
                Self(value as i64)
            }
        }
    )*};
}
answers!(i32, i64, usize, u32, u64);
impl From<()> for Answer {
    fn from((): ()) -> Self {
        Self(0)
    }
}

// Pointers to what Rust calls them. SAFETY of all: the caller of the hooked function vouches for
// the pointer and the length.

unsafe fn bytes<'a>(from: *const c_void, len: usize) -> IoSlice<'a> {
    // SAFETY: see above.
    IoSlice::new(unsafe {
        if len == 0 { &[] } else { std::slice::from_raw_parts(from.cast(), len) }
    })
}

unsafe fn room<'a>(to: *mut c_void, len: usize) -> IoSliceMut<'a> {
    // SAFETY: see above.
    IoSliceMut::new(unsafe {
        if len == 0 { &mut [] } else { std::slice::from_raw_parts_mut(to.cast(), len) }
    })
}

unsafe fn many<'a>(from: *const iovec, count: usize) -> &'a [IoSlice<'a>] {
    // SAFETY: see above; an `IoSlice` is an `iovec` on Unix.
    unsafe { if count == 0 { &[] } else { std::slice::from_raw_parts(from.cast(), count) } }
}

unsafe fn rooms<'a>(to: *const iovec, count: usize) -> &'a mut [IoSliceMut<'a>] {
    // SAFETY: see above; an `IoSliceMut` is an `iovec` on Unix.
    unsafe {
        if count == 0 {
            &mut []
        } else {
            std::slice::from_raw_parts_mut(to.cast_mut().cast(), count)
        }
    }
}

unsafe fn text<'a>(from: *const c_char) -> std::borrow::Cow<'a, str> {
    // SAFETY: see above: a C string.
    unsafe { CStr::from_ptr(from) }.to_string_lossy()
}

/// Whether a path is one of a simulated program's own files.
unsafe fn own(path: *const c_char) -> bool {
    // SAFETY: see above.
    inside() && !path.is_null() && !calls::is_real_path(&unsafe { text(path) })
}

unsafe fn span(time: *const timespec) -> Duration {
    // SAFETY: see above.
    let time = unsafe { *time };
    Duration::nanos((time.tv_sec as u64).saturating_mul(1_000_000_000) + time.tv_nsec as u64)
}

unsafe fn put<T>(to: *mut T, value: T) {
    if !to.is_null() {
        // SAFETY: see above.
        unsafe { to.write_unaligned(value) };
    }
}

unsafe fn put_time(to: *mut timespec, nanos: u64) {
    let (tv_sec, tv_nsec) = ((nanos / 1_000_000_000) as i64, (nanos % 1_000_000_000) as i64);
    // SAFETY: see above.
    unsafe { put(to, timespec { tv_sec, tv_nsec }) };
}

/// Milliseconds of poll and epoll: negative is for ever.
fn patience(millis: c_int) -> Option<Duration> {
    u64::try_from(millis).ok().map(Duration::millis)
}

unsafe fn name(from: *const sockaddr, len: socklen_t) -> Result<Name, Errno> {
    // SAFETY: see above; each family says how much of the memory is its own.
    unsafe {
        match c_int::from((*from).sa_family) {
            AF_INET => {
                let from = from.cast::<sockaddr_in>().read_unaligned();
                let address = from.sin_addr.s_addr.to_ne_bytes();
                Ok(Name::Inet(SocketAddr::new(address.into(), u16::from_be(from.sin_port))))
            }
            AF_INET6 => {
                let from = from.cast::<sockaddr_in6>().read_unaligned();
                let address: IpAddr = from.sin6_addr.s6_addr.into();
                Ok(Name::Inet(SocketAddr::new(address, u16::from_be(from.sin6_port))))
            }
            AF_UNIX => {
                let size = (len as usize).saturating_sub(size_of::<sa_family_t>());
                let path = std::slice::from_raw_parts(from.cast::<u8>().add(2), size);
                let ends = |path: &[u8]| path.iter().position(|byte| *byte == 0);
                let size = if path.first() == Some(&0) { None } else { ends(path) };
                Ok(Name::Unix(path[..size.unwrap_or(path.len())].to_vec()))
            }
            _ => Err(EAFNOSUPPORT),
        }
    }
}

/// The bytes of an address, as the kernel writes it.
fn address(name: &Name) -> Vec<u8> {
    let mut all = Vec::with_capacity(28);
    match name {
        Name::Inet(SocketAddr::V4(v4)) => {
            all.extend((AF_INET as u16).to_ne_bytes());
            all.extend(v4.port().to_be_bytes());
            all.extend(v4.ip().octets());
            all.extend([0; 8]);
        }
        Name::Inet(SocketAddr::V6(v6)) => {
            all.extend((AF_INET6 as u16).to_ne_bytes());
            all.extend(v6.port().to_be_bytes());
            all.extend([0; 4]);
            all.extend(v6.ip().octets());
            all.extend([0; 4]);
        }
        Name::Unix(path) => {
            all.extend((AF_UNIX as u16).to_ne_bytes());
            all.extend(path);
            if path.first().is_some_and(|first| *first != 0) {
                all.push(0);
            }
        }
    }
    all
}

unsafe fn put_name(name: &Name, to: *mut sockaddr, len: *mut socklen_t) {
    if to.is_null() || len.is_null() {
        return;
    }
    let all = address(name);
    // SAFETY: see above; no more than there is room for is written.
    unsafe {
        std::ptr::copy_nonoverlapping(all.as_ptr(), to.cast(), all.len().min(*len as usize));
        *len = all.len() as socklen_t;
    }
}

unsafe fn put_status(to: *mut stat, status: Result<Status, Errno>) -> Result<(), Errno> {
    let status = status?;
    // SAFETY: see above; a status of zeros is one.
    unsafe {
        let mut told: stat = std::mem::zeroed();
        let (major, minor) = calls::device();
        told.st_dev = makedev(major, minor);
        (told.st_ino, told.st_mode, told.st_nlink) =
            (status.inode, status.mode, status.links.into());
        (told.st_size, told.st_blksize) = (status.size as i64, 4096);
        told.st_blocks = status.size.div_ceil(512) as i64;
        let (seconds, nanos) = split(status.modified);
        (told.st_mtime, told.st_ctime, told.st_atime) = (seconds, seconds, seconds);
        (told.st_mtime_nsec, told.st_ctime_nsec, told.st_atime_nsec) = (nanos, nanos, nanos);
        to.write(told);
    }
    Ok(())
}

fn split(nanos: u64) -> (i64, i64) {
    ((nanos / 1_000_000_000) as i64, (nanos % 1_000_000_000) as i64)
}

unsafe fn put_statx(to: *mut statx, status: Result<Status, Errno>) -> Result<(), Errno> {
    let status = status?;
    // SAFETY: see above; a status of zeros is one.
    unsafe {
        let mut told: statx = std::mem::zeroed();
        (told.stx_dev_major, told.stx_dev_minor) = calls::device();
        told.stx_mask = STATX_BASIC_STATS | STATX_BTIME;
        (told.stx_ino, told.stx_mode, told.stx_nlink) =
            (status.inode, status.mode as u16, status.links);
        (told.stx_size, told.stx_blksize) = (status.size, 4096);
        told.stx_blocks = status.size.div_ceil(512);
        let (tv_sec, nanos) = split(status.modified);
        (told.stx_mtime.tv_sec, told.stx_mtime.tv_nsec) = (tv_sec, nanos as u32);
        (told.stx_ctime, told.stx_atime) = (told.stx_mtime, told.stx_mtime);
        told.stx_btime = told.stx_mtime;
        to.write(told);
    }
    Ok(())
}
