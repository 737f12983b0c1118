//! Locks in statics that died with their holder.
//!
//! Statics are the process's: they survive the crash of a node. What a lock in one says is that
//! somebody holds it; if that was a thread of the node, nobody ever gives it back, and the next
//! life of the program would wait for ever where that of a real machine finds a fresh lock. So what
//! statics held is noted as a program ends, and the first that waits for such a word afterwards
//! finds it as it was before the run.

use super::*;
use std::sync::OnceLock;

/// More than so many bytes are no locks, but tables: they are not looked at.
const MOST: u64 = 16 << 20;

/// What is writable of the program and its libraries, as it is at some time.
#[derive(Clone, Debug)]
pub(crate) struct Statics(Vec<(usize, Vec<u8>)>);

/// What it was before the first run was forked.
static FRESH: OnceLock<Statics> = OnceLock::new();

impl Statics {
    /// Notes what there is.
    pub(crate) fn look() -> Self {
        /// Copies what is writable of one object.
        unsafe extern "C" fn copy(
            info: *mut libc::dl_phdr_info,
            _: libc::size_t,
            all: *mut c_void,
        ) -> libc::c_int {
            // SAFETY: the loader's own record of segments that are there, and the list that `look`
            // hands over.
            unsafe {
                let all = &mut *all.cast::<Vec<(usize, Vec<u8>)>>();
                let headers =
                    std::slice::from_raw_parts((*info).dlpi_phdr, (*info).dlpi_phnum.into());
                for header in headers {
                    let is_writable = header.p_flags & libc::PF_W != 0;
                    if header.p_type != libc::PT_LOAD || !is_writable || header.p_memsz > MOST {
                        continue;
                    }
                    let start = ((*info).dlpi_addr + header.p_vaddr) as usize;
                    let bytes =
                        std::slice::from_raw_parts(start as *const u8, header.p_memsz as usize);
                    all.push((start, bytes.to_vec()));
                }
            }
            // Only the program itself, which comes first: it has the code of its crates in it.
            1
        }
        let mut all: Vec<(usize, Vec<u8>)> = Vec::new();
        // SAFETY: `copy` is called during the call alone.
        unsafe { libc::dl_iterate_phdr(Some(copy), (&raw mut all).cast()) };
        Self(all)
    }

    /// The word at an address, if it is one of a static.
    fn word(&self, address: usize) -> Option<u32> {
        let within = |(start, bytes): &&(usize, Vec<u8>)| {
            address.checked_sub(*start).is_some_and(|at| at + 4 <= bytes.len())
        };
        let (start, bytes) = self.0.iter().find(within)?;
        let word = bytes[address - start..].first_chunk()?;
        Some(u32::from_ne_bytes(*word))
    }

    /// A word that is waited for, or the one that says that it must be, is that of a lock which
    /// nobody holds, if this noted that somebody did. Whether that is so.
    pub(crate) fn release(&self, address: usize) -> bool {
        if self.renew(address, |_| true) {
            self.release_owner(address);
            return true;
        }
        // Who wants to write waits for the word behind that of the lock.
        self.renew(address.wrapping_sub(4), is_written)
    }

    fn renew(&self, address: usize, is_held: impl FnOnce(u32) -> bool) -> bool {
        let words = (FRESH.get().and_then(|fresh| fresh.word(address)), self.word(address));
        let (Some(fresh), Some(left)) = words else { return false };
        // What is made when it is first used was no lock before the run. Locks of all kinds are
        // zero while nobody holds them; what is done once begins with another small number.
        let free = if is_written(left) || fresh > 4 { 0 } else { fresh };
        if !address.is_multiple_of(4) || free == left || !is_held(left) {
            return false;
        }
        set(address, free);
        true
    }

    /// A mutex of libc says who holds it: lock, depth, owner, users. It must be nobody.
    fn release_owner(&self, address: usize) {
        let [lock, depth, owner, users] =
            [0, 4, 8, 12].map(|at| self.word(address + at).unwrap_or(0));
        if (1..=2).contains(&lock) && depth < 64 && owner > 64 && users == 1 {
            [4, 8, 12].into_iter().for_each(|at| set(address + at, 0));
        }
    }
}

/// What the lower bits of a `RwLock` of the standard library say while one writes.
fn is_written(word: u32) -> bool {
    const WRITTEN: u32 = 0x3FFF_FFFF;
    word & WRITTEN == WRITTEN
}

fn set(address: usize, value: u32) {
    // SAFETY: an aligned word of a writable segment, as the caller has found it there. Only one
    // thread does anything in a run.
    unsafe { std::sync::atomic::AtomicU32::from_ptr(address as *mut u32).store(value, Relaxed) };
}

/// Notes what statics are before the first run: called before it is forked.
pub(crate) fn note_statics() {
    FRESH.get_or_init(Statics::look);
}
