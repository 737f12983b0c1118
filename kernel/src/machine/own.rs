//! Statics of each node's own.
//!
//! A process has its statics for itself, and they begin anew with it. The nodes of a run share a
//! process, so theirs are put in the place of another's whenever another node goes on. Which bytes
//! these are, the symbols of this program's file say: all data that is written to, but for that of
//! the standard library and of the simulation, which serve all nodes.

use super::*;
use crate::elf::Elf;
use std::sync::OnceLock;

/// Crates whose statics are those of the process: the host uses them between two programs.
const SHARED: [&str; 15] = [
    "std",
    "core",
    "alloc",
    "std_detect",
    "panic_unwind",
    "panic_abort",
    "test",
    "seedfall",
    "seedfall_sim",
    "seedfall_net",
    "seedfall_kernel",
    "seedfall_faults",
    "seedfall_checkers",
    "seedfall_protocols",
    "seedfall_cli",
];

/// What libc puts into a program.
const LIBC: [&str; 8] = [
    "environ",
    "__environ",
    "_environ",
    "stdin",
    "stdout",
    "stderr",
    "program_invocation_name",
    "program_invocation_short_name",
];

/// What a program has that brings no allocator of its own. If one keeps its memory in statics, the
/// host, which takes its memory from there too, must find them as they were.
const STANDARD: &[u8] = b"__rdl_alloc";

/// Functions of allocators in C: then the statics of C are those of the process.
const IN_C: [&[u8]; 3] = [b"mi_malloc", b"_rjem_malloc", b"je_malloc"];

/// Addresses and lengths, in order.
type Ranges = Vec<(usize, usize)>;

static RANGES: OnceLock<Result<Ranges, String>> = OnceLock::new();
static STATICS: Own<Option<Statics>> = Own(UnsafeCell::new(None));

/// What the statics of each node are while another runs.
#[derive(Debug)]
struct Statics {
    ranges: &'static Ranges,
    fresh: Vec<u8>,
    kept: Vec<Vec<u8>>,
    /// Whose are in place.
    loaded: usize,
}

impl Statics {
    /// What is in place now.
    fn save(ranges: &Ranges, to: &mut [u8]) {
        let mut at = 0;
        for (start, length) in ranges {
            // SAFETY: statics of this program, of which nobody holds a reference: the one thread
            // that does anything is here.
            let now = unsafe { std::slice::from_raw_parts(*start as *const u8, *length) };
            to[at..at + length].copy_from_slice(now);
            at += length;
        }
    }

    /// Puts these in place.
    fn restore(ranges: &Ranges, from: &[u8]) {
        let mut at = 0;
        for (start, length) in ranges {
            // SAFETY: as above; these bytes were there before.
            unsafe { ptr::copy_nonoverlapping(from[at..].as_ptr(), *start as *mut u8, *length) };
            at += length;
        }
    }

    fn load(&mut self, node: usize) {
        if node != self.loaded {
            Self::save(self.ranges, &mut self.kept[self.loaded]);
            Self::restore(self.ranges, &self.kept[node]);
            self.loaded = node;
        }
    }

    fn renew(&mut self, node: usize) {
        self.kept[node].copy_from_slice(&self.fresh);
        if node == self.loaded {
            Self::restore(self.ranges, &self.fresh);
        }
    }
}

/// Finds the statics of this program: called before the first run is forked, as it takes a while.
pub(crate) fn find_statics() -> Result<&'static Ranges, &'static str> {
    let found = RANGES.get_or_init(|| ranges().map_err(|error| error.to_string()));
    found.as_ref().map_err(String::as_str)
}

/// The crate that a symbol is of; `None`: it is none of Rust's.
fn crate_of(name: &str) -> Option<String> {
    let whole = format!("{:#}", rustc_demangle::try_demangle(name).ok()?);
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let path = whole.trim_start_matches(|c| !is_part(c));
    Some(path[..path.find(|c| !is_part(c)).unwrap_or(path.len())].to_owned())
}

fn ranges() -> std::io::Result<Ranges> {
    let elf = Elf::own()?;
    let no = std::io::Error::other;
    let symbols = elf.all()?.ok_or_else(|| {
        no("nodes share their statics, as this program has no symbols (it was built with `strip`)")
    })?;
    let has_allocator = !has(&symbols.names, STANDARD);
    if has_allocator && !IN_C.iter().any(|one| has(&symbols.names, one)) {
        return Err(no("nodes share their statics, as this program has an allocator of its own"));
    }
    let is_own = |name: &str| match crate_of(name) {
        Some(of) => !SHARED.contains(&of.as_str()),
        None => !has_allocator && !LIBC.contains(&name.split('@').next().unwrap_or(name)),
    };
    let base = base();
    let own = elf.written(&symbols);
    let own = own.iter().filter(|one| one.size > 0 && is_own(one.name));
    let mut all: Ranges = own.map(|one| (base + one.address, one.size)).collect();
    all.sort_unstable();
    let mut joined: Ranges = Vec::new();
    for (start, length) in all {
        match joined.last_mut() {
            Some((first, so_far)) if start <= *first + *so_far => {
                *so_far = (*so_far).max(start + length - *first);
            }
            _ => joined.push((start, length)),
        }
    }
    Ok(joined)
}

/// Whether there are these bytes among those.
fn has(bytes: &[u8], wanted: &[u8]) -> bool {
    let (from, what) = (bytes.as_ptr().cast(), wanted.as_ptr().cast());
    // SAFETY: both are as long as they say.
    !unsafe { libc::memmem(from, bytes.len(), what, wanted.len()) }.is_null()
}

/// How far from its addresses this program is loaded.
fn base() -> usize {
    unsafe extern "C" fn first(
        info: *mut libc::dl_phdr_info,
        _: libc::size_t,
        base: *mut c_void,
    ) -> libc::c_int {
        // SAFETY: the loader's own record, and the word that `base` hands over. The program itself
        // comes first.
        unsafe { *base.cast::<usize>() = (*info).dlpi_addr as usize };
        1
    }
    let mut base = 0_usize;
    // SAFETY: `first` is called during the call alone.
    unsafe { libc::dl_iterate_phdr(Some(first), (&raw mut base).cast()) };
    base
}

/// From now on so many nodes have statics of their own, which are what there is now.
/// If they cannot have, they share those of the process.
pub(crate) fn divide_statics(nodes: usize) {
    let Ok(ranges) = find_statics() else { return };
    let mut fresh = vec![0; ranges.iter().map(|(_, length)| length).sum()];
    Statics::save(ranges, &mut fresh);
    let kept = vec![fresh.clone(); nodes];
    // SAFETY: called once in a child, before any program runs.
    unsafe { *STATICS.0.get() = Some(Statics { ranges, fresh, kept, loaded: 0 }) };
}

/// Does something with the statics of nodes, if they have their own.
fn divided(work: impl FnOnce(&mut Statics)) {
    // SAFETY: the one thread that does anything in a run, and `work` calls nobody.
    if let Some(statics) = unsafe { &mut *STATICS.0.get() } {
        work(statics);
    }
}

/// Whether nodes have statics of their own.
pub(crate) fn has_divided_statics() -> bool {
    let mut has = false;
    divided(|_| has = true);
    has
}

/// The program of a node is about to go on.
#[inline]
pub(crate) fn load_statics(node: usize) {
    divided(|statics| statics.load(node));
}

/// The program of a node begins anew.
pub(crate) fn renew_statics(node: usize) {
    divided(|statics| statics.renew(node));
}
