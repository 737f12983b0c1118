//! Files in memory. What is not a file of a program is libc's own business, as all other memory.

use super::*;
use crate::calls::{self, call};
use crate::fd::FIRST;
use crate::machine::{enter, has_areas, outside};
use crate::maps::Wanted;

hooks! {
    fn mmap(at: *mut c_void, len: size_t, access: c_int, flags: c_int, fd: c_int, from: off_t)
        -> *mut c_void; is_file(fd, flags) => map(at, len, access, flags, fd, from);
    fn mmap64(at: *mut c_void, len: size_t, access: c_int, flags: c_int, fd: c_int, from: off_t)
        -> *mut c_void; is_file(fd, flags) => map(at, len, access, flags, fd, from);
    fn munmap(at: *mut c_void, len: size_t) -> c_int; is_mapped(at, len) => unmap(at, len);
    fn msync(at: *mut c_void, len: size_t, flags: c_int) -> c_int; is_mapped(at, len) =>
        calls::sync_map(at as usize, len, flags);
    fn mprotect(at: *mut c_void, len: size_t, access: c_int) -> c_int; is_mapped(at, len) =>
        call(|k| k.protect(at as usize, len, access));
    fn madvise(at: *mut c_void, len: size_t, advice: c_int) -> c_int; is_mapped(at, len) =>
        call(|k| k.advise(at as usize, len, advice));
    fn mremap(at: *mut c_void, old: size_t, new: size_t, flags: c_int, to: *mut c_void)
        -> *mut c_void; is_mapped(at, old) => call(|k| k.remap(at as usize, old, new, flags));
}

/// Whether a mapping is one of a file of a program.
pub(super) fn is_file(fd: c_int, flags: c_int) -> bool {
    fd >= FIRST && flags & MAP_ANONYMOUS == 0 && inside()
}

/// Whether some of this memory is a mapped file.
pub(super) fn is_mapped(at: *mut c_void, len: size_t) -> bool {
    has_areas() && inside() && enter(|k| k.maps.touches(at as usize, len))
}

fn map(
    at: *mut c_void,
    length: size_t,
    access: c_int,
    flags: c_int,
    fd: c_int,
    offset: off_t,
) -> Result<usize, Errno> {
    let wanted = Wanted { address: at as usize, length, access, flags, offset };
    call(|k| k.map(fd, &wanted))
}

/// What is a file's is given back by the kernel; the rest of these addresses may be anything.
unsafe fn unmap(at: *mut c_void, len: size_t) -> Result<i32, Errno> {
    if !call(|k| k.unmap(at as usize, len))? {
        return Ok(0);
    }
    // SAFETY: the program vouches for its memory.
    let done = outside(|| unsafe { munmap(at, len) });
    if done == 0 { Ok(0) } else { Err(EINVAL) }
}
