//! Statics of each node's own.
//!
//! A process has its statics for itself, and they begin anew with it. The nodes of a run share a
//! process, so theirs are put in the place of another's whenever another node goes on. Which bytes
//! these are, the symbols of this program's file say: all data that is written to, but for that of
//! the standard library and of the simulation, which serve all nodes.
//!
//! Of the standard library's, some are each node's own all the same: its locks, what they guard,
//! and the number of the last thread. They begin as they stand in the file. As they are in the
//! process, another thread may have held them when the run was forked: that thread is not in the
//! run, and would never give them back.

use super::*;
use crate::elf::Elf;
use std::sync::OnceLock;

/// Crates whose statics are those of the process, besides the standard library: the host uses them
/// between two programs.
const SHARED: [&str; 14] = [
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

/// Ends of the names of statics of the standard library that are each node's own.
const LIBRARY: [&str; 10] = [
    "::thread_info::LOCK",
    "::thread_info::SPIN_LOCK",
    "::thread_info::THREAD_INFO",
    "::new::COUNTER",
    "::ENV_LOCK",
    "::backtrace::lock::LOCK",
    "::stdio::STDOUT",
    "::stderr::INSTANCE",
    "::stdin::INSTANCE",
    "::cleanup::CLEANUP",
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

/// Which statics of this program can be each node's own.
#[derive(Debug)]
struct Found {
    /// Those of programs, and of the libraries that they use; or why they cannot.
    programs: std::io::Result<Ranges>,
    /// Of the standard library: where, and as what they begin.
    library: Vec<(usize, Vec<u8>)>,
}

static FOUND: OnceLock<Found> = OnceLock::new();
static STATICS: Own<Option<Statics>> = Own(UnsafeCell::new(None));

/// What the statics of each node are while another runs.
#[derive(Debug)]
struct Statics {
    ranges: Ranges,
    /// Whether those of programs are among them.
    programs: bool,
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
            Self::save(&self.ranges, &mut self.kept[self.loaded]);
            Self::restore(&self.ranges, &self.kept[node]);
            self.loaded = node;
        }
    }

    fn renew(&mut self, node: usize) {
        self.kept[node].copy_from_slice(&self.fresh);
        if node == self.loaded {
            Self::restore(&self.ranges, &self.fresh);
        }
    }
}

/// Finds the statics of this program: called before the first run is forked, as it takes a while.
pub(crate) fn find_statics() {
    found();
}

fn found() -> &'static Found {
    let without = |error| Found { programs: Err(error), library: Vec::new() };
    FOUND.get_or_init(|| find().unwrap_or_else(without))
}

/// What a symbol of Rust is called, and the crate that it is of; `None`: it is none of Rust's.
fn in_rust(name: &str) -> Option<(String, String)> {
    let whole = format!("{:#}", rustc_demangle::try_demangle(name).ok()?);
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let path = whole.trim_start_matches(|c| !is_part(c));
    let of = path[..path.find(|c| !is_part(c)).unwrap_or(path.len())].to_owned();
    Some((whole, of))
}

/// Whether it is one of [`LIBRARY`], or a part of one, as which the compiler numbers it.
fn is_of_library_and_own(name: &str) -> bool {
    let whole = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('.');
    LIBRARY.iter().any(|end| whole.ends_with(end))
}

fn find() -> std::io::Result<Found> {
    let elf = Elf::own()?;
    let no = std::io::Error::other;
    let symbols = elf.all()?.ok_or_else(|| {
        no("nodes share their statics, as this program has no symbols (it was built with `strip`)")
    })?;
    let has_allocator = !has(&symbols.names, STANDARD);
    let (mut programs, mut library) = (Ranges::new(), Vec::new());
    let base = base();
    for one in elf.written(&symbols).iter().filter(|one| one.size > 0) {
        let at = base + one.address;
        match in_rust(one.name) {
            Some((name, of)) if of == "std" => {
                if is_of_library_and_own(&name) {
                    library.push((at, elf.initial(one)?));
                }
            }
            Some((_, of)) if SHARED.contains(&of.as_str()) => {}
            Some(_) => programs.push((at, one.size)),
            None => {
                let name = one.name.split('@').next().unwrap_or(one.name);
                if !has_allocator && !LIBC.contains(&name) {
                    programs.push((at, one.size));
                }
            }
        }
    }
    let in_c = || IN_C.iter().any(|one| has(&symbols.names, one));
    let programs = match has_allocator && !in_c() {
        true => Err(no("nodes share their statics, as this program has an allocator of its own")),
        false => Ok(joined(programs)),
    };
    Ok(Found { programs, library })
}

/// In order, and each byte once.
fn joined(mut all: Ranges) -> Ranges {
    all.sort_unstable();
    let mut joined = Ranges::new();
    for (start, length) in all {
        match joined.last_mut() {
            Some((first, so_far)) if start <= *first + *so_far => {
                *so_far = (*so_far).max(start + length - *first);
            }
            _ => joined.push((start, length)),
        }
    }
    joined
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

/// From now on so many nodes have statics of their own. Those of programs are what there is now,
/// unless they are to be shared, or cannot be divided.
pub(crate) fn divide_statics(nodes: usize, shares: bool) {
    let Found { programs, library } = found();
    let divided = programs.as_ref().ok().filter(|_| !shares);
    let mut ranges: Ranges = library.iter().map(|(start, begin)| (*start, begin.len())).collect();
    let mut fresh = library.iter().flat_map(|(_, begin)| begin).copied().collect::<Vec<u8>>();
    Statics::restore(&ranges, &fresh);
    ranges.extend(divided.into_iter().flatten());
    fresh.resize(ranges.iter().map(|(_, length)| length).sum(), 0);
    Statics::save(&ranges, &mut fresh);
    let kept = vec![fresh.clone(); nodes];
    let statics = Statics { ranges, programs: divided.is_some(), fresh, kept, loaded: 0 };
    // SAFETY: called once in a child, before any program runs.
    unsafe { *STATICS.0.get() = Some(statics) };
}

/// Does something with the statics of nodes, if they have their own.
fn divided(work: impl FnOnce(&mut Statics)) {
    // SAFETY: the one thread that does anything in a run, and `work` calls nobody.
    if let Some(statics) = unsafe { &mut *STATICS.0.get() } {
        work(statics);
    }
}

/// Whether the programs of nodes have statics of their own.
pub(crate) fn has_divided_statics() -> bool {
    let mut has = false;
    divided(|statics| has = statics.programs);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locks_of_the_standard_library_are_found_by_name() {
        drop(std::io::stdout().lock());
        let elf = Elf::own().unwrap();
        let symbols = elf.all().unwrap().expect("the names of this test");
        let written = elf.written(&symbols);
        let names: Vec<String> =
            written.iter().filter_map(|one| in_rust(one.name)).map(|(name, _)| name).collect();
        let found =
            |end: &str| names.iter().any(|name| is_of_library_and_own(name) && name.contains(end));
        // Nobody reads from the standard input here.
        for wanted in LIBRARY.into_iter().filter(|one| !one.contains("stdin")) {
            assert!(found(wanted), "no static ends with {wanted}: {names:#?}");
        }
    }
}
