//! The hash of many seeds of a world of programs, for the script `tests/programs/proof`.
//!
//! `proof WORLD SEEDS THREADS` prints one number.

use seedfall_programs::proof;

#[cfg(feature = "mimalloc-heap")]
#[global_allocator]
static HEAP: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(feature = "jemalloc-heap")]
#[global_allocator]
static HEAP: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let asked = match words.as_slice() {
        [_, world, seeds, threads] => (proof::WORLDS.iter().find(|(name, _)| name == world))
            .zip(seeds.parse().ok())
            .zip(threads.parse().ok().filter(|threads| *threads > 0)),
        _ => None,
    };
    let Some((((_, world), seeds), threads)) = asked else {
        let names = proof::WORLDS.map(|(name, _)| name).join(", ");
        eprintln!("usage: proof WORLD SEEDS THREADS; the worlds are {names}");
        std::process::exit(2);
    };
    seedfall_kernel::isolated(|| println!("{:016x}", proof::hash(*world, 0..seeds, threads)));
}
