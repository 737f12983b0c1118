//! The hash of many seeds of a world of programs, for the script `tests/programs/proof`.
//!
//! `proof WORLD SEEDS THREADS` prints one number; `proof WORLD trace SEED` all events of one run,
//! to be compared with those of another build.

use seedfall_determinism::worlds;

#[cfg(feature = "mimalloc-heap")]
#[global_allocator]
static HEAP: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(feature = "jemalloc-heap")]
#[global_allocator]
static HEAP: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let worlds = || worlds::WORLDS.iter();
    let world = words.get(1).and_then(|name| worlds().find(|(other, _)| name == other));
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
    let asked = (world, number(2), number(3), words.get(2).is_some_and(|word| word == "trace"));
    let (Some((_, world)), words) = (asked.0, (asked.1, asked.2, asked.3)) else {
        usage();
    };
    seedfall_kernel::isolated(|| match words {
        (Some(seeds), Some(threads), _) if threads > 0 => {
            println!("{:016x}", worlds::hash(*world, 0..seeds, threads));
        }
        (None, Some(seed), true) => worlds::trace(*world, seed),
        _ => usage(),
    });
}

fn usage() -> ! {
    let names = worlds::WORLDS.map(|(name, _)| name).join(", ");
    eprintln!(
        "usage: proof WORLD SEEDS THREADS, or proof WORLD trace SEED; the worlds are {names}"
    );
    std::process::exit(2);
}
