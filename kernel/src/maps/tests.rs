//! Mappings by themselves: no hook and no program.

use super::*;
use crate::faults::Target;
use crate::node::{Node, Power};
use crate::sched::State;
use seedfall_net::{Delay, LinkModel, Order, Wire};
use seedfall_sim::{Draws, Duration, Seed};
use std::io::{IoSlice, IoSliceMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

const BOTH: i32 = libc::PROT_READ | libc::PROT_WRITE;

/// The memory of mappings is where it always is: one test has it at a time.
static MEMORY: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    MEMORY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One node with a thread.
fn kernel() -> Kernel {
    let delay = Delay::Uniform { min: Duration::micros(100), max: Duration::millis(1) };
    let link = LinkModel { delay, loss: 0, duplicate: 0, order: Order::Free };
    let mut node = Node::new("a".to_owned(), 0, "/work".to_owned());
    node.power = Power::Running;
    let wire = Wire::new(1, 0, link);
    let mut kernel = Kernel::new(Draws::new(Seed(1), 1, 0), wire, vec![node], 1);
    let thread = kernel.make_thread(0, 0, 1);
    kernel.threads[thread].state = State::Running;
    kernel.nodes[0].runnable.clear();
    kernel
}

fn open(kernel: &mut Kernel, flags: i32, bytes: &[u8]) -> i32 {
    let fd = kernel.open("/work/data", flags | libc::O_CREAT, 0o644).unwrap();
    if !bytes.is_empty() {
        kernel.write(fd, &[IoSlice::new(bytes)]).unwrap();
    }
    fd
}

fn map(
    kernel: &mut Kernel,
    fd: i32,
    length: usize,
    access: i32,
    flags: i32,
    offset: usize,
) -> Result<usize, Errno> {
    let wanted = Wanted { address: 0, length, access, flags, offset: offset as i64 };
    kernel.map(fd, &wanted)
}

/// What a program does by itself.
fn store(kernel: &mut Kernel, address: usize, bytes: &[u8]) {
    let (start, mapping) = kernel.maps.all.range_mut(..=address).next_back().unwrap();
    mapping.area.write(address - start, bytes);
}

fn load(kernel: &Kernel, address: usize, size: usize) -> Vec<u8> {
    let (start, mapping) = kernel.maps.all.range(..=address).next_back().unwrap();
    mapping.area.look(address - start, size, <[u8]>::to_vec)
}

fn read(kernel: &mut Kernel, fd: i32, at: u64, size: usize) -> Vec<u8> {
    let (object, mut bytes) = (kernel.object(fd).unwrap(), vec![0; size]);
    let count = kernel.read_at(object, &mut [IoSliceMut::new(&mut bytes)], at).unwrap();
    bytes.truncate(count);
    bytes
}

#[test]
fn errors_are_those_of_linux() {
    let (_alone, mut kernel) = (alone(), kernel());
    let (read, write) = (libc::PROT_READ, libc::PROT_WRITE);
    let (shared, private) = (libc::MAP_SHARED, libc::MAP_PRIVATE);
    let both = open(&mut kernel, libc::O_RDWR, &[1; 9000]);
    let reads = open(&mut kernel, libc::O_RDONLY, &[]);
    let writes = open(&mut kernel, libc::O_WRONLY, &[]);
    let folder = kernel.open("/work", libc::O_RDONLY, 0).unwrap();
    let mut ask = |fd, length, access, flags, offset| {
        map(&mut kernel, fd, length, access, flags, offset).err()
    };
    assert_eq!(ask(both, 0, read, shared, 0), Some(libc::EINVAL));
    assert_eq!(ask(both, 1, read, shared, 1), Some(libc::EINVAL));
    assert_eq!(ask(both, 1, read, 0, 0), Some(libc::EINVAL));
    assert_eq!(ask(both, usize::MAX, read, shared, 0), Some(libc::ENOMEM));
    assert_eq!(ask(both, 1, read, shared, i64::MAX as usize & !4095), Some(libc::EOVERFLOW));
    assert_eq!(ask(both, 1 << 50, read, shared, 0), Some(libc::ENOMEM), "more than there is");
    assert_eq!(ask(reads, 1, write, shared, 0), Some(libc::EACCES));
    assert_eq!(ask(reads, 1, write, private, 0), None);
    assert_eq!(ask(writes, 1, read, private, 0), Some(libc::EACCES));
    assert_eq!(ask(folder, 1, read, shared, 0), Some(libc::ENODEV));
    assert_eq!(ask(both + 99, 1, read, shared, 0), Some(libc::EBADF));
    let start = map(&mut kernel, reads, 1, read, shared, 0).unwrap();
    assert_eq!(kernel.protect(start, 1, BOTH), Err(libc::EACCES));
    assert_eq!(kernel.sync_map(start, 1, libc::MS_SYNC | libc::MS_ASYNC), Err(libc::EINVAL));
    assert_eq!(kernel.sync_map(start + 1, 1, libc::MS_SYNC), Err(libc::EINVAL));
    assert_eq!(kernel.sync_map(start, 9000, libc::MS_SYNC), Err(libc::ENOMEM));
    assert_eq!(kernel.unmap(start, 0), Err(libc::EINVAL));
    assert_eq!(kernel.remap(start, 1, 0, 0), Err(libc::EINVAL));
}

#[test]
fn the_same_bytes_are_the_same_memory_until_the_last_gives_it_back() {
    let (_alone, mut kernel) = (alone(), kernel());
    let fd = open(&mut kernel, libc::O_RDWR, &[1; 9000]);
    let [one, two] = [0; 2].map(|_| map(&mut kernel, fd, 9000, BOTH, libc::MAP_SHARED, 0));
    let other = map(&mut kernel, fd, 9000, libc::PROT_READ, libc::MAP_SHARED, 0).unwrap();
    let start = one.unwrap();
    assert_eq!((two, start == other), (one, false), "other rights are another mapping");
    assert_eq!(kernel.unmap(start, 9000), Ok(false));
    store(&mut kernel, start, &[7]);
    assert_eq!(kernel.unmap(start, 9000), Ok(true));
    assert_eq!(read(&mut kernel, fd, 0, 2), [7, 1], "what was stored is in the file");
    assert_eq!(load(&kernel, other, 2), [7, 1]);
    let again = map(&mut kernel, fd, 1, BOTH, libc::MAP_SHARED, 0);
    assert_eq!(again, one, "addresses are given out again, the lowest first");
}

#[test]
fn a_part_is_synced_given_back_and_protected_alone() {
    let (_alone, mut kernel) = (alone(), kernel());
    let fd = open(&mut kernel, libc::O_RDWR, &[1; 5 * PAGE]);
    kernel.sync(fd).unwrap();
    let start = map(&mut kernel, fd, 5 * PAGE, BOTH, libc::MAP_SHARED, 0).unwrap();
    for page in 0..5 {
        store(&mut kernel, start + page * PAGE, &[2]);
    }
    // This page is in the page cache, and not in what is synced.
    assert_eq!(read(&mut kernel, fd, 4 * PAGE as u64, 1), [2]);
    kernel.sync_map(start + PAGE, PAGE, libc::MS_SYNC).unwrap();
    assert_eq!(kernel.unmap(start + 2 * PAGE, PAGE), Ok(true));
    kernel.protect(start + 3 * PAGE, PAGE, libc::PROT_READ).unwrap();
    let all: Vec<usize> = kernel.maps.all.keys().map(|at| (at - start) / PAGE).collect();
    assert_eq!(all, [0, 3, 4]);
    assert!(!kernel.maps.touches(start + 2 * PAGE, PAGE));
    kernel.crash(crate::faults::Place(0), true);
    assert!(!kernel.maps.has_any());
    let tree = &kernel.nodes[0].tree;
    let inode = tree.inode("/work/data").unwrap();
    let first: Vec<u8> = (0..5).map(|page| tree.page(inode, page)[0]).collect();
    assert_eq!(first, [1, 2, 1, 1, 1], "a power loss takes all but what was synced");
}

/// Found by the comparison with the real kernel, at seed 2856.
#[test]
fn a_mapping_that_moves_loses_nothing_of_what_was_stored_in_others() {
    let (_alone, mut kernel) = (alone(), kernel());
    let fd = open(&mut kernel, libc::O_RDWR, &[1; 3 * PAGE]);
    let first = map(&mut kernel, fd, PAGE, libc::PROT_READ, libc::MAP_SHARED, 2 * PAGE).unwrap();
    let second = map(&mut kernel, fd, 2 * PAGE, BOTH, libc::MAP_SHARED, 0).unwrap();
    store(&mut kernel, second, &[2]);
    let moved = kernel.remap(first, PAGE, 5 * PAGE, libc::MREMAP_MAYMOVE).unwrap();
    assert!(moved > second, "there was no room where it was");
    assert_eq!(kernel.remap(second, PAGE, 9 * PAGE, 0), Err(libc::EFAULT), "a part of one");
    assert_eq!(kernel.remap(second, 2 * PAGE, 9 * PAGE, 0), Err(libc::ENOMEM));
    assert_eq!(read(&mut kernel, fd, 0, 2), [2, 1]);
}
