//! What touches the real machine: switching between stacks, the one kernel of a run, forks, limits,
//! signals. One of the two places with `unsafe`; the other is [`hooks`](crate::hooks).
//!
//! **Donated threads.** A real thread is made, notes where its thread-local block and its stack
//! are, and sleeps for ever. The one thread of a run then enters that stack with that block in its
//! segment register (`wrfsbase`), and all that a program sees, `errno`, thread-local values,
//! `pthread_self`, is a real thread's. The pool of them is made before the fork of a run: the real
//! threads do not exist in the child, their memory does, so that a thread of a program costs a
//! switch. One that gives way enters the stack of the next by itself ([`hand_over`]), or goes back
//! to the host ([`give_way`]).
//!
//! **One kernel.** A run has a process of its own with one thread that does anything, so its kernel
//! is a static. [`enter`] lends it, and a second loan is refused.

#![allow(unsafe_code)]

mod maps;
mod own;
mod process;
mod signals;
mod statics;
mod zygote;

pub(crate) use maps::{Area, MAPS, PAGE, has_areas};
pub(crate) use own::{
    divide_statics, find_statics, has_divided_statics, load_statics, renew_statics,
};
pub(crate) use process::{
    Bounds, Child, Remains, can_switch, end_process, fix_addresses, forget_exit, fork,
    has_fixed_addresses, is_run, report, split,
};
pub(crate) use signals::{arm, bound, door, forget_time, keep_time};
pub(crate) use statics::{Statics, note_statics};
pub(crate) use zygote::Zygote;

use crate::kernel::Kernel;
use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering::Relaxed};

/// A start routine of a thread.
pub(crate) type Start = unsafe extern "C" fn(*mut c_void) -> *mut c_void;

/// The stack of every donated thread. Only what is touched is memory.
const STACK: usize = 8 << 20;
/// The least that a thread has.
const SMALLEST: usize = 256 << 10;
/// What nothing may touch below a stack.
pub(crate) const GUARD: usize = 64 << 10;
/// Where the first stack is put; each next one this far behind. What a program sees of addresses on
/// its stacks is the same in every process.
const STACKS: usize = 0x5EE0_0000_0000;
/// What a donated stack keeps of the real thread that sleeps on it.
const KEPT: usize = 4096;

/// A static that one thread uses: a run's process has only one that does anything.
struct Own<T>(UnsafeCell<T>);

// SAFETY: `KERNEL`, `MACHINE` and `LOOK` are set and used by the one running thread of a forked
// child; donors sleep in it, and never look at them.
unsafe impl<T> Sync for Own<T> {}

static KERNEL: Own<Option<Kernel>> = Own(UnsafeCell::new(None));
static MACHINE: Own<Machine> = Own(UnsafeCell::new(Machine::new()));
/// Whose code runs now: [`HOST`], [`PROGRAM`] or [`KERNEL`].
static RUNS: AtomicU8 = AtomicU8::new(HOST);
/// Neither a program's nor the kernel's.
const HOST: u8 = 0;
/// A simulated program's.
const PROGRAM: u8 = 1;
/// The kernel's, which is lent.
const KERNEL_LENT: u8 = 2;
/// What Syscall User Dispatch reads: whether system calls are let through (0) or caught (1).
static SELECTOR: AtomicU8 = AtomicU8::new(0);
/// What the selector is while a program runs: one if system calls are caught.
static CAUGHT: AtomicU8 = AtomicU8::new(0);
/// Whether a thread of a program has been sent a signal whose handler is to run.
static SIGNALS: AtomicBool = AtomicBool::new(false);
/// Counts calls, for the watchdog.
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// One donated thread: its stack and its thread-local block.
#[derive(Debug)]
struct Block {
    /// The value of its segment register: its thread control block.
    segment: usize,
    /// The highest address of its stack that is free.
    top: usize,
    /// Where its thread-local values begin; they end at `segment`.
    locals: usize,
    /// What they were before the first use.
    image: Vec<u8>,
    /// The stack pointer of what was interrupted on it.
    stack: usize,
    /// The lowest address of its stack: the guard is below.
    bottom: usize,
    /// How large its stack is.
    size: usize,
    /// What is to run on it.
    job: Option<(Start, usize)>,
}

/// All donated threads, and where the host stands.
#[derive(Debug)]
struct Machine {
    blocks: Vec<Block>,
    free: Vec<usize>,
    current: usize,
    /// The thread on the current block has ended.
    ended: bool,
    host_stack: usize,
    host_segment: usize,
}

impl Machine {
    const fn new() -> Self {
        Self {
            blocks: Vec::new(),
            free: Vec::new(),
            current: 0,
            ended: false,
            host_stack: 0,
            host_segment: 0,
        }
    }
}

/// The machine; callers keep no reference across a switch.
fn machine() -> *mut Machine {
    MACHINE.0.get()
}

/// Whether code of a simulated program runs now, on this thread and thus at all.
#[inline(always)]
pub(crate) fn in_program() -> bool {
    RUNS.load(Relaxed) == PROGRAM
}

/// Whether the kernel is lent: a panic now is the kernel's own.
pub(crate) fn is_lent() -> bool {
    RUNS.load(Relaxed) == KERNEL_LENT
}

/// Whether this process has a kernel yet.
pub(crate) fn is_installed() -> bool {
    // SAFETY: nobody holds it, as it is not lent, and a run has one thread that does anything.
    !is_lent() && unsafe { (*KERNEL.0.get()).is_some() }
}

/// Installs the kernel of this process's run.
pub(crate) fn install(kernel: Kernel) {
    // SAFETY: called once in a child, before any program runs.
    unsafe { *KERNEL.0.get() = Some(kernel) };
}

/// Lends the kernel. What it calls itself, its allocator's calls for one, is no program's.
#[inline]
pub(crate) fn enter<R>(call: impl FnOnce(&mut Kernel) -> R) -> R {
    let (who, selector) = (RUNS.load(Relaxed), SELECTOR.load(Relaxed));
    assert!(who != KERNEL_LENT, "the simulated kernel was entered from within itself");
    SELECTOR.store(0, Relaxed);
    RUNS.store(KERNEL_LENT, Relaxed);
    CALLS.store(CALLS.load(Relaxed) + 1, Relaxed);
    // SAFETY: it was not lent, so that this is the only reference, and it ends with `call`; no
    // switch of stacks happens inside, as those assert that nothing is lent.
    let kernel = unsafe { (*KERNEL.0.get()).as_mut() };
    let result = call(kernel.expect("a run has installed its kernel"));
    RUNS.store(who, Relaxed);
    SELECTOR.store(selector, Relaxed);
    result
}

/// Runs something of our own in the midst of a program: its calls reach the real machine.
pub(crate) fn outside<R>(work: impl FnOnce() -> R) -> R {
    let (who, selector) = (RUNS.load(Relaxed), SELECTOR.load(Relaxed));
    if who == PROGRAM {
        RUNS.store(HOST, Relaxed);
    }
    SELECTOR.store(0, Relaxed);
    let result = work();
    SELECTOR.store(selector, Relaxed);
    RUNS.store(who, Relaxed);
    result
}

/// Saves what a function call keeps, then goes on where another stack was left.
///
/// # Safety
/// `stack` must have been left by this function, or be made by [`begin`]; `segment` must be the
/// thread control block that belongs to it.
#[unsafe(naked)]
unsafe extern "C" fn switch(save: *mut usize, stack: usize, segment: usize) {
    std::arch::naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "wrfsbase rdx",
        "mov rsp, rsi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// The thread control block of whoever asks.
fn segment() -> usize {
    let segment: usize;
    // SAFETY: the first word of a thread control block is its own address (the ABI of x86-64).
    unsafe { std::arch::asm!("mov {}, fs:0", out(reg) segment, options(nostack, readonly)) };
    segment
}

unsafe extern "C" {
    /// The environment of the process, which libc and Rust read.
    static mut environ: *mut *mut libc::c_char;
}

/// The environment of the program that runs: one that changes it moves it.
pub(crate) fn environment() -> usize {
    // SAFETY: a read of a pointer that only this thread, and who it gives way to, write.
    unsafe { environ as usize }
}

/// An environment for a program, which lives as long as the process.
pub(crate) fn make_environment(variables: &[(String, String)]) -> usize {
    let text = |(key, value): &(String, String)| {
        let bytes = format!("{key}={value}").into_bytes();
        let whole = std::ffi::CString::new(bytes).unwrap_or_default();
        whole.into_raw()
    };
    let mut pointers: Vec<*mut libc::c_char> = variables.iter().map(text).collect();
    pointers.push(ptr::null_mut());
    pointers.leak().as_mut_ptr() as usize
}

/// Lets a program's thread run, in this environment, until it or one that it handed over to gives
/// way to the host. The block of that one, if it has ended, and the environment that it leaves.
pub(crate) fn resume(block: usize, environment: usize) -> (Option<usize>, usize) {
    assert!(!is_lent(), "a switch while the kernel is lent");
    let machine = machine();
    // SAFETY: the stack of the block was left by `switch` or made by `begin`, and its segment is
    // its own. No reference into the machine lives across the switch. The environment is one that
    // `environment` made, and nobody else reads it.
    unsafe {
        (*machine).current = block;
        (*machine).ended = false;
        (*machine).host_segment = segment();
        let (stack, segment) =
            ((&(*machine).blocks)[block].stack, (&(*machine).blocks)[block].segment);
        let host = environ;
        environ = environment as *mut *mut libc::c_char;
        RUNS.store(PROGRAM, Relaxed);
        SELECTOR.store(CAUGHT.load(Relaxed), Relaxed);
        switch(&raw mut (*machine).host_stack, stack, segment);
        SELECTOR.store(0, Relaxed);
        RUNS.store(HOST, Relaxed);
        let moved = environ as usize;
        environ = host;
        ((*machine).ended.then_some((*machine).current), moved)
    }
}

/// Gives way to the host, until it lets this thread go on.
pub(crate) fn give_way() {
    assert!(!is_lent(), "a switch while the kernel is lent");
    SELECTOR.store(0, Relaxed);
    let machine = machine();
    // SAFETY: the host was left by `resume`, with its own segment; the place to save to is that of
    // the block that runs.
    unsafe {
        let current = (*machine).current;
        let (stack, segment) = ((*machine).host_stack, (*machine).host_segment);
        let save = &raw mut (&mut (*machine).blocks)[current].stack;
        switch(save, stack, segment);
    }
    look_back();
}

/// Gives way to another thread, in this environment, without a word to the host.
pub(crate) fn hand_over(block: usize, environment: usize) {
    assert!(!is_lent(), "a switch while the kernel is lent");
    let machine = machine();
    // SAFETY: as in `resume`: the block's stack was left by `switch` or made by `begin`, and its
    // segment is its own; as in `give_way`: the place to save to is that of the block that runs.
    unsafe {
        environ = environment as *mut *mut libc::c_char;
        let current = std::mem::replace(&mut (*machine).current, block);
        if current == block {
            return;
        }
        // A call that was caught runs with the selector off; the other does not.
        SELECTOR.store(CAUGHT.load(Relaxed), Relaxed);
        let (stack, segment) =
            ((&(*machine).blocks)[block].stack, (&(*machine).blocks)[block].segment);
        let save = &raw mut (&mut (*machine).blocks)[current].stack;
        switch(save, stack, segment);
    }
    look_back();
}

/// A thread goes on: if the host wants to know where it is, and no more, it tells that and gives
/// way again.
#[inline]
fn look_back() {
    // SAFETY: the host sets the place and takes it back after the switch; the reference ends before
    // this gives way.
    unsafe {
        if let Some(told) = &mut *LOOK.0.get() {
            *told = outside(|| std::backtrace::Backtrace::force_capture().to_string());
            give_way();
        }
    }
}

/// Somebody has been sent a signal: whoever goes on looks whether it was they, from now on.
pub(crate) fn expect_signals() {
    SIGNALS.store(true, Relaxed);
}

/// Whether a thread that goes on has to look for signals.
#[inline]
pub(crate) fn expects_signals() -> bool {
    SIGNALS.load(Relaxed)
}

/// Runs the handler of a signal, on the stack of the thread that takes it.
pub(crate) fn handle(signal: i32, handler: usize, flags: i32) {
    // SAFETY: the program has given this function to `sigaction`, with flags that say which of the
    // two kinds it is. What the second is told is zero where a signal has nothing to say.
    unsafe {
        if flags & libc::SA_SIGINFO == 0 {
            let handler = std::mem::transmute::<usize, extern "C" fn(i32)>(handler);
            return handler(signal);
        }
        type Long = extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void);
        let handler = std::mem::transmute::<usize, Long>(handler);
        let mut told: libc::siginfo_t = std::mem::zeroed();
        told.si_signo = signal;
        let mut context: libc::ucontext_t = std::mem::zeroed();
        handler(signal, &raw mut told, (&raw mut context).cast());
    }
}

/// Where a thread that gave way is asked to say where it is.
static LOOK: Own<Option<String>> = Own(UnsafeCell::new(None));

/// The stack of a thread that has given way, as the standard library prints it.
pub(crate) fn stack_of(block: usize) -> String {
    // SAFETY: the one thread that does anything sets it, and takes it back after the switch; the
    // reference in `give_way` ends before it switches.
    unsafe {
        *LOOK.0.get() = Some(String::new());
        resume(block, 0);
        (*LOOK.0.get()).take().unwrap_or_default()
    }
}

/// The thread that runs has ended: the host goes on, and its block can be used again.
pub(crate) fn end_thread() -> ! {
    // SAFETY: a plain store to the machine, of which nobody holds a reference.
    unsafe { (*machine()).ended = true };
    give_way();
    unreachable!("a thread that has ended is not resumed");
}

/// What runs first on a donated stack.
extern "C" fn first() -> ! {
    // SAFETY: `begin` has given the block that runs a job, whose argument is what its start routine
    // was made with.
    let value = unsafe {
        let machine = &mut *machine();
        let (start, argument) =
            machine.blocks[machine.current].job.take().expect("a block begins with a job");
        start(argument as *mut c_void)
    };
    crate::hooks::finish_thread(value as u64)
}

/// Takes a block for a new thread with a stack of this size at least, and what `pthread_self` says
/// in it; `None`: there is no memory for it. Zero asks for the stack of a main thread.
pub(crate) fn take_block(stack: usize) -> Option<(usize, u64)> {
    outside(|| {
        // SAFETY: no switch happens while the reference lives.
        let machine = unsafe { &mut *machine() };
        let wanted = if stack == 0 { STACK } else { stack.max(SMALLEST) };
        let Machine { blocks, free, .. } = machine;
        let fits = |block: &usize| blocks[*block].size >= wanted;
        let block = match free.iter().rposition(fits) {
            Some(at) => free.remove(at),
            None => {
                signals::permit(wanted.min(STACK) + GUARD);
                blocks.push(donate(1, wanted).pop()?);
                blocks.len() - 1
            }
        };
        Some((block, blocks[block].segment as u64))
    })
}

/// A block runs this when it is resumed for the first time.
pub(crate) fn begin(block: usize, start: Start, argument: usize) {
    // SAFETY: no switch happens while the reference lives, and the words written are at the top of
    // the block's stack, on which nothing runs.
    unsafe {
        let block = &mut (&mut (*machine()).blocks)[block];
        block.job = Some((start, argument));
        // What `switch` pops: six registers, and where to go; then a stack as after a call.
        let top = block.top & !15;
        let frame = (top - 8 * 8) as *mut usize;
        for word in 0..6 {
            frame.add(word).write(0);
        }
        frame.add(6).write(first as *const () as usize);
        frame.add(7).write(0);
        block.stack = frame as usize;
    }
}

/// A block whose thread has ended is as it was at first.
pub(crate) fn give_back(block: usize) {
    // SAFETY: nothing runs on the block, whose thread-local values were `image.len()` bytes at
    // `locals` when it was donated, and are so still.
    unsafe {
        let machine = &mut *machine();
        let Block { locals, image, .. } = &machine.blocks[block];
        ptr::copy_nonoverlapping(image.as_ptr(), *locals as *mut u8, image.len());
        machine.free.push(block);
    }
}

/// The donated threads that were made before a fork.
static POOL: std::sync::Mutex<Vec<Block>> = std::sync::Mutex::new(Vec::new());

/// The pool with so many threads at least. Whoever holds it is the only one who forks a run: a
/// child finds it whole, and inherits no other child's pipes.
fn pool(count: usize) -> std::sync::MutexGuard<'static, Vec<Block>> {
    let mut pool = POOL.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if pool.len() < count {
        let missing = count - pool.len();
        pool.extend(donate(missing, STACK));
        assert!(pool.len() >= count, "no memory for the threads of programs");
    }
    pool
}

/// The pool becomes this process's own: called in a child.
fn adopt(blocks: Vec<Block>) {
    // SAFETY: no switch happens while the reference lives.
    let machine = unsafe { &mut *machine() };
    machine.free = (0..blocks.len()).rev().collect();
    machine.blocks = blocks;
}

/// What a donor tells of itself.
#[derive(Debug, Default)]
struct Donation {
    segment: AtomicUsize,
    top: AtomicUsize,
    locals: AtomicUsize,
}

/// Makes so many donated threads; fewer, if there is no memory for all.
fn donate(count: usize, stack: usize) -> Vec<Block> {
    let donations: Vec<&'static Donation> =
        (0..count).map(|_| &*Box::leak(Box::new(Donation::default()))).collect();
    // SAFETY: plain libc calls on memory of our own: fresh mappings that are never given back, an
    // attribute that lives until it is destroyed, and a donation that lives for ever.
    let bottoms: Vec<usize> = unsafe {
        let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        let make = |donation: &&'static Donation| -> Option<usize> {
            let size = stack + GUARD;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            static NEXT: AtomicUsize = AtomicUsize::new(STACKS);
            let wish = NEXT.fetch_add(size.next_multiple_of(1 << 20), Relaxed) as *mut c_void;
            let map = libc::mmap(wish, size, libc::PROT_NONE, flags, -1, 0);
            if map == libc::MAP_FAILED {
                return None;
            }
            let bottom = map.cast::<u8>().add(GUARD).cast::<c_void>();
            libc::mprotect(bottom, stack, libc::PROT_READ | libc::PROT_WRITE);
            let mut attributes = MaybeUninit::uninit();
            libc::pthread_attr_init(attributes.as_mut_ptr());
            libc::pthread_attr_setstack(attributes.as_mut_ptr(), bottom, stack);
            let (mut thread, argument) = (0, ptr::from_ref(*donation).cast_mut().cast());
            let made = libc::pthread_create(&raw mut thread, attributes.as_ptr(), donor, argument);
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            (made == 0).then_some(bottom as usize)
        };
        let bottoms = donations.iter().map_while(make).collect();
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
        bottoms
    };
    let collect = |(donation, bottom): (&&'static Donation, usize)| {
        while donation.segment.load(std::sync::atomic::Ordering::Acquire) == 0 {
            std::thread::yield_now();
        }
        let (segment, top) = (donation.segment.load(Relaxed), donation.top.load(Relaxed));
        let locals = donation.locals.load(Relaxed);
        // SAFETY: the thread-local values of a sleeping thread, which end at its control block.
        let image = unsafe { std::slice::from_raw_parts(locals as *const u8, segment - locals) };
        Block {
            segment,
            top,
            locals,
            image: image.to_vec(),
            stack: 0,
            bottom,
            size: stack,
            job: None,
        }
    };
    donations.iter().zip(bottoms).map(collect).collect()
}

/// A real thread that gives its stack and its thread-local block away, and sleeps for ever.
extern "C" fn donor(argument: *mut c_void) -> *mut c_void {
    /// Finds where the thread-local values of the asking thread begin.
    unsafe extern "C" fn locals(
        info: *mut libc::dl_phdr_info,
        _: libc::size_t,
        lowest: *mut c_void,
    ) -> libc::c_int {
        // SAFETY: the loader's own record, and the word that `donor` hands over.
        let (block, lowest) =
            unsafe { ((*info).dlpi_tls_data as usize, &mut *lowest.cast::<usize>()) };
        // Static ones lie right below the control block; others are somewhere else.
        if block != 0 && block < segment() && segment() - block < STACK {
            *lowest = (*lowest).min(block);
        }
        0
    }
    let mut lowest = segment();
    // SAFETY: `donate` hands over a donation that lives for ever; `locals` is called during the
    // call alone.
    let donation = unsafe {
        libc::dl_iterate_phdr(Some(locals), (&raw mut lowest).cast());
        &*argument.cast::<Donation>()
    };
    donation.locals.store(lowest, Relaxed);
    donation.top.store((&raw const lowest as usize) - KEPT, Relaxed);
    donation.segment.store(segment(), std::sync::atomic::Ordering::Release);
    loop {
        // SAFETY: `pause`, without a library function that would write to `errno`, which belongs to
        // another thread by now.
        unsafe {
            std::arch::asm!(
                "syscall", inlateout("rax") libc::SYS_pause => _, out("rcx") _, out("r11") _,
                options(nostack)
            );
        }
    }
}
