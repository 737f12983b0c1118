//! A simulated Linux for unmodified programs: several nodes of a service, with its runtime, its
//! client libraries, its files and its threads, run in one process, from one seed, bit for bit.
//!
//! ```no_run
//! use seedfall_kernel::Simulation;
//! use seedfall_sim::Duration;
//!
//! fn server() { /* what `main` does: std::net, tokio, hyper, std::fs ... */ }
//! fn client() { /* asks `server:80`, and records what it heard */ }
//!
//! let report = Simulation::new(7)
//!     .node("server", server)
//!     .client_main("client", |_| client())
//!     .partition(Duration::secs(1), Duration::secs(3), &["client"])
//!     .crash(Duration::secs(5), Duration::secs(6), "server")
//!     .run();
//! assert_eq!(report.failures, []);
//! ```
//!
//! # What it claims
//!
//! A run is a function of the world, the seed, the faults and the overridden draws. Time, random
//! bytes, which thread runs next, what the network does to each segment and datagram, what a crash
//! leaves of the files: all are draws with addresses, of the same kind as those of protocols. The
//! hash of a run is the same in any process, alone or among others, in debug and in release builds.
//!
//! # How it works
//!
//! - **Symbols.** The functions of libc that programs call are defined here. In a program of a run
//!   they are served here; for everybody else in the process they go on to libc. Descriptors of
//!   programs are large numbers, so that real ones beside them stay real.
//! - **The kernel** is one safe value: descriptors, epoll, TCP, UDP, unix sockets, pipes, files,
//!   futexes, clocks. It knows nothing of hooks, and runs in virtual time on one queue.
//! - **Threads** of programs are real threads' stacks and thread-local blocks, given away: one real
//!   thread runs them all, by switching stacks in user mode. So `errno`, thread-local values,
//!   `pthread_self` and panics are what they always are, and a switch takes nanoseconds, where
//!   handing over between real threads takes 200 us. Which thread of a node runs next is a draw.
//! - **A run is a fork.** Statics of the process (a runtime's counters, caches, lazily made tables)
//!   begin anew in each, and a program that aborts, overflows its stack, spins or eats its memory
//!   ends its own process: the [`Report`] says so. The memory of programs, their stacks and the
//!   files that they map stand at fixed addresses. [`isolated`] makes the rest of the process the
//!   same, too, and a [`Zygote`] forks all runs from a process that does nothing else, so that they
//!   are the same however many threads ask for them, and whatever else these do.
//! - **Seeing.** Every packet and its fate, connection, change of a file, line that is printed and
//!   choice of a thread is an event of the run's trace, kept if its [`Course`] asks for it
//!   ([`Report::trace`]); keeping it changes nothing in the run. [`futures`] forks the process of a
//!   run in its midst, so that its past is run once for all of them.
//! - **Files in memory** (`mmap`) are memory of the process with what the file has in it. What a
//!   program stores there is found by comparing the two whenever somebody could tell, and is a
//!   write from then on: seen by reads, durable after `msync` or `fsync`, kept or lost by a crash.
//!   Who touches what lies behind the end of the file ends the run as `SIGBUS` would.
//! - **The backstop.** A system call that comes without a symbol (from inside libc, or from a crate
//!   that makes its own) is caught by Syscall User Dispatch, or by seccomp where there is none:
//!   what is known is served, what touches this process's memory alone is let through, and anything
//!   else ends the run with its name and its stack. Reading the time-stamp counter is caught too.
//!   [`Isolation`] says which of these the machine permits, and [`audit()`] names what a binary
//!   imports that nobody simulates.
//!
//! # Faults
//!
//! [`Fault`] lists them. To TCP a flipped bit, a second copy or another order is what its checksums
//! and sequence numbers make of it: a loss that is sent again, nothing, and a delay; to UDP a loss,
//! a second datagram, another order. A program that panics or ends after its disk has failed it is
//! not to blame. What lies inside a message (a node that lies) means nothing here, and two machines
//! of one address (twins) neither.
//!
//! # What it does not do
//!
//! - Threads switch only at calls of the kernel: races between two instructions are not explored,
//!   and a loop that waits for a variable without a call is stopped by the watchdog.
//! - Computing takes no virtual time. A thread that calls the kernel thousands of times without
//!   ever waiting loses a moment now and then, so that polling loops end.
//! - Statics are each node's own, and new whenever its program starts, as a process's are; those of
//!   the standard library, and of shared libraries, are common to all and survive crashes. Where
//!   the binary has no symbols (`strip`) or an allocator in Rust of its own, all statics are, and
//!   the report says so (beside mimalloc or jemalloc, those of C are): then a runtime whose reactor
//!   is a static (smol, async-std) serves one node a run, and a lock in a static that a thread held
//!   as its program was stopped is free for the next life, but what it guards stays as it was.
//! - The arguments of the process are kept by Rust's own statics: what a node is to have for
//!   itself, a closure hands to its `main`.
//! - Signals come from [`Fault::Signal`] and from programs themselves; nobody blocks one
//!   (masks, of threads and of handlers, and `SA_RESETHAND` are not looked at), and
//!   `sigwait` and `signalfd` are not there. Processes are not made; `io_uring` is absent, and
//!   programs fall back. Locks of ranges (`fcntl`) are granted: a node is one process.
//! - What is stored in a mapped file is noticed at the next call on the file, `msync`, `munmap`,
//!   the end of the program or a crash: all that was stored in a page since the last of these is
//!   one write. Two mappings that overlap and are not the same range of the file are equal when a
//!   thread waits, not before; of what both stored in the same byte until then, one is kept. A
//!   mapping is filled as it is made: a disk that fails a read does not fail a load, and one that
//!   is full does not fail a store.
//! - A program that looks at addresses of functions, statics or what its own allocator gives it
//!   (`ahash` and `foldhash` seed themselves so, `parking_lot` chooses by them which lock is handed
//!   over fairly) is another program in another build, or with another allocator.
//! - [`Simulation::run`] forks the process that asks. What that did before (statics, the numbers of
//!   `ThreadId`) is in the run; what is forked by a [`Zygote`] finds nothing of it.
//! - TCP has no congestion window, and its acknowledgements are free; a segment is what one call
//!   wrote.
//! - It needs Linux 5.11 or later on x86-64 with glibc, dynamically linked. A binary that brings
//!   its own `malloc` *symbol* does not link; an allocator behind `#[global_allocator]` does.
//! - Without a [`Zygote`], a run is forked from a process that may have other threads. A lock of
//!   the standard library that one of them holds at that moment (as it prints) is never released in
//!   the run, which then takes too long, and says so.

// Elsewhere the crate is empty, so that the rest of the workspace builds there, unless someone says
// that the programs are needed.
#![cfg(any(
    all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"),
    feature = "required"
))]
#![deny(unsafe_code)]

#[cfg(not(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")))]
compile_error!(
    "seedfall-kernel runs programs on Linux on x86-64 with glibc only: elsewhere, build and test \
     them in a Linux container."
);

mod audit;
mod backstop;
mod calls;
mod clock;
mod course;
mod elf;
mod epoll;
mod event;
pub mod faults;
mod fd;
mod file;
mod futex;
mod hooks;
mod isolate;
mod kernel;
mod listen;
mod lock;
mod machine;
mod maps;
mod node;
mod open;
mod packet;
mod remains;
pub mod report;
mod run;
mod sched;
mod signal;
mod socket;
mod speech;
mod start;
mod stream;
mod tcp;
#[cfg(test)]
mod tests;
mod trace;
mod udp;
mod unix;
mod waits;
pub mod world;

pub use audit::{audit, computes_alone};
pub use course::{Course, Fork};
pub use faults::{Fault, Nemesis, Place, Target};
pub use isolate::{fix_addresses, isolated};
pub use report::{Backstop, Ended, Failure, Isolation, NodeReport, Note, Printed, Report, Waiting};
pub use run::{About, log, node, nondeterministic, note, note_about, now, turn};
pub use signal::Signal;
pub use start::{Asked, Zygote, futures, run};
pub use world::{ClientContext, Limits, Outcome, Simulation, World};
