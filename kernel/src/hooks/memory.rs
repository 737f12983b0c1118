//! The memory of programs: one region at a fixed address, so that what a program sees of the heap
//! is the same in every run, whatever its process did before it was forked.
//!
//! Blocks have sizes of a few classes, and go back to the list of their class. Only one thread
//! does anything in a run, so nothing is locked. What is real stays real: libc's own functions
//! serve everybody else, and what they gave they take back.

use super::*;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

unsafe extern "C" {
    fn __libc_malloc(size: size_t) -> *mut c_void;
    fn __libc_calloc(count: size_t, size: size_t) -> *mut c_void;
    fn __libc_realloc(old: *mut c_void, size: size_t) -> *mut c_void;
    fn __libc_memalign(align: size_t, size: size_t) -> *mut c_void;
    fn __libc_free(old: *mut c_void);
}

/// Where the region begins: far from everything that Linux puts anywhere.
const REGION: usize = 0x5EED_0000_0000;
/// What stands before each block: where it begins, and its class.
const HEAD: usize = 16;
/// Four classes to each doubling, from 16 bytes on.
const CLASSES: usize = 4 * 44;

/// How large the region is; zero: there is none in this process.
static SIZE: AtomicUsize = AtomicUsize::new(0);
/// What was given away of it.
static USED: AtomicUsize = AtomicUsize::new(0);
/// The first free block of each class.
static FREE: [AtomicUsize; CLASSES] = [const { AtomicUsize::new(0) }; CLASSES];

/// Reserves the region in the process of a run. Whether that was possible.
pub(crate) fn reserve(size: usize) -> bool {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
    let access = PROT_READ | PROT_WRITE;
    // SAFETY: a fresh mapping, where nothing else is.
    let region = unsafe { mmap(REGION as *mut c_void, size, access, flags, -1, 0) };
    let reserved = region as usize == REGION;
    if reserved {
        SIZE.store(size, Relaxed);
    }
    reserved
}

/// Whether programs have their memory at the address where it is in every run.
pub(crate) fn is_reserved() -> bool {
    SIZE.load(Relaxed) > 0
}

/// The class of a size, and the size of its blocks.
fn class(size: usize) -> (usize, usize) {
    if size <= 64 {
        let class = size.max(1).div_ceil(16);
        return (class, class * 16);
    }
    let power = (size - 1).ilog2() as usize;
    let step = 1 << (power - 2);
    let steps = size.div_ceil(step);
    (4 * (power - 5) + steps - 4, steps * step)
}

fn is_ours(block: *mut c_void) -> bool {
    (block as usize).wrapping_sub(REGION) < SIZE.load(Relaxed)
}

/// A block of at least this size, and whether it is all zeros.
fn take(size: usize, align: usize) -> Option<(usize, bool)> {
    let needed = size.checked_add(if align > 16 { align } else { 0 })?;
    let (class, room) = class(needed);
    let list = FREE.get(class)?;
    let free = list.load(Relaxed);
    let (start, fresh) = if free == 0 {
        let used = USED.load(Relaxed);
        let next = used.checked_add(room + HEAD).filter(|next| *next <= SIZE.load(Relaxed))?;
        USED.store(next, Relaxed);
        (REGION + used, true)
    } else {
        // SAFETY: a free block, whose first word is the next one.
        list.store(unsafe { *((free + HEAD) as *const usize) }, Relaxed);
        (free, false)
    };
    let block = (start + HEAD).next_multiple_of(align.max(16));
    // SAFETY: the head of a block that is ours, right before what is given away.
    unsafe {
        let head = (block - HEAD) as *mut usize;
        head.write(start);
        head.add(1).write(class);
    }
    Some((block, fresh))
}

/// Where a block begins, its class, and how much there is room for.
unsafe fn head(block: *mut c_void) -> (usize, usize, usize) {
    // SAFETY: the caller has made sure that the block is ours.
    unsafe {
        let head = (block as usize - HEAD) as *const usize;
        let (start, class) = (head.read(), head.add(1).read());
        let room = if class <= 4 {
            class * 16
        } else {
            // The inverse of `class`.
            let (power, steps) = ((class - 1) / 4 + 5, (class - 1) % 4 + 5);
            steps << (power - 2)
        };
        (start, class, room - (block as usize - HEAD - start))
    }
}

fn given(block: Option<(usize, bool)>) -> *mut c_void {
    match block {
        Some((block, _)) => block as *mut c_void,
        None => {
            told(Err::<(), _>(ENOMEM));
            std::ptr::null_mut()
        }
    }
}

fn serves() -> bool {
    inside() && is_reserved()
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn malloc(size: size_t) -> *mut c_void {
    if serves() {
        return given(take(size, 16));
    }
    // SAFETY: libc's own.
    unsafe { __libc_malloc(size) }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn calloc(count: size_t, size: size_t) -> *mut c_void {
    // SAFETY: libc's own, or a block of ours of that size.
    unsafe {
        if !serves() {
            return __libc_calloc(count, size);
        }
        let size = count.checked_mul(size);
        let block = size.and_then(|size| take(size, 16));
        if let (Some((block, false)), Some(size)) = (block, size) {
            std::ptr::write_bytes(block as *mut u8, 0, size);
        }
        given(block)
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realloc(old: *mut c_void, size: size_t) -> *mut c_void {
    // SAFETY: the caller vouches for the old block, which is taken back by whoever gave it.
    unsafe {
        if old.is_null() {
            return malloc(size);
        }
        if !is_ours(old) {
            return __libc_realloc(old, size);
        }
        let (_, _, room) = head(old);
        if size <= room && size >= room / 4 {
            return old;
        }
        let new = malloc(size);
        if !new.is_null() {
            std::ptr::copy_nonoverlapping(old.cast::<u8>(), new.cast(), room.min(size));
            free(old);
        }
        new
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn free(old: *mut c_void) {
    // SAFETY: the caller vouches for the block, which is taken back by whoever gave it.
    unsafe {
        if !is_ours(old) {
            return __libc_free(old);
        }
        let (start, class, _) = head(old);
        ((start + HEAD) as *mut usize).write(FREE[class].load(Relaxed));
        FREE[class].store(start, Relaxed);
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn memalign(align: size_t, size: size_t) -> *mut c_void {
    if serves() && align.is_power_of_two() {
        return given(take(size, align));
    }
    // SAFETY: libc's own.
    unsafe { __libc_memalign(align, size) }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn aligned_alloc(align: size_t, size: size_t) -> *mut c_void {
    // SAFETY: as above.
    unsafe { memalign(align, size) }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn posix_memalign(
    to: *mut *mut c_void,
    align: size_t,
    size: size_t,
) -> c_int {
    if !align.is_power_of_two() || !align.is_multiple_of(size_of::<usize>()) {
        return EINVAL;
    }
    // SAFETY: the caller vouches for the place of the result.
    unsafe {
        let block = memalign(align, size);
        if block.is_null() {
            return ENOMEM;
        }
        to.write(block);
    }
    0
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn malloc_usable_size(block: *mut c_void) -> size_t {
    // SAFETY: the caller vouches for the block.
    unsafe {
        if !block.is_null() && is_ours(block) {
            return head(block).2;
        }
        real!(malloc_usable_size, unsafe extern "C" fn(*mut c_void) -> size_t)(block)
    }
}

#[cfg(test)]
mod tests {
    use super::class;

    #[test]
    fn classes_hold_their_sizes_and_can_be_told_from_their_numbers() {
        let mut last = (0, 0);
        for size in 1..100_000 {
            let (number, room) = class(size);
            assert!(room >= size && room <= size + size / 4 + 16, "{size}: {room}");
            assert_eq!(room % 16, 0, "{size}");
            assert!(number == last.0 && room == last.1 || number == last.0 + 1 && room > last.1);
            if number > 4 {
                let (power, steps) = ((number - 1) / 4 + 5, (number - 1) % 4 + 5);
                assert_eq!(steps << (power - 2), room, "{size}");
            }
            last = (number, room);
        }
    }
}
