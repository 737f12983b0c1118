//! What touches the real machine: switching between stacks, the one kernel of a run, forks, limits,
//! signals. One of the two files with `unsafe`.
//!
//! **Donated threads.** A real thread is made, notes where its thread-local block and its stack are,
//! and sleeps for ever. The one thread of a run then enters that stack with that block in its
//! segment register (`wrfsbase`), and all that a program sees, `errno`, thread-local values,
//! `pthread_self`, is a real thread's. The pool of them is made before the fork of a run: the real
//! threads do not exist in the child, their memory does, so that a thread of a program costs a
//! switch.
//!
//! **One kernel.** A run has a process of its own with one thread that does anything, so its kernel
//! is a static. [`enter`] lends it, and a second loan is refused.

#![allow(unsafe_code)]

use crate::backstop;
use crate::kernel::Kernel;
use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicUsize, Ordering::Relaxed};

/// A start routine of a thread.
pub(crate) type Start = unsafe extern "C" fn(*mut c_void) -> *mut c_void;

/// The stack of every donated thread. Only what is touched is memory.
const STACK: usize = 8 << 20;
/// What nothing may touch below a stack.
pub(crate) const GUARD: usize = 64 << 10;
/// Where the first stack is put; each next one this far behind. What a program sees of addresses on
/// its stacks is the same in every process.
const STACKS: usize = 0x5EE0_0000_0000;
/// What a donated stack keeps of the real thread that sleeps on it.
const KEPT: usize = 4096;

/// A static that one thread uses: a run's process has only one that does anything.
struct Own<T>(UnsafeCell<T>);

// SAFETY: `KERNEL` and `MACHINE` are set and used by the one running thread of a forked child;
// donors sleep in it, and never look at them.
unsafe impl<T> Sync for Own<T> {}

static KERNEL: Own<Option<Kernel>> = Own(UnsafeCell::new(None));
static MACHINE: Own<Machine> = Own(UnsafeCell::new(Machine::new()));
/// Whether the kernel is lent.
static LENT: AtomicBool = AtomicBool::new(false);
/// Whether code of a simulated program runs now.
static IN_PROGRAM: AtomicBool = AtomicBool::new(false);
/// What Syscall User Dispatch reads: whether system calls are let through (0) or caught (1).
pub(crate) static SELECTOR: AtomicU8 = AtomicU8::new(0);
/// What the selector is while a program runs: one if system calls are caught.
static CAUGHT: AtomicU8 = AtomicU8::new(0);
/// Counts calls, for the watchdog.
static CALLS: AtomicUsize = AtomicUsize::new(0);
/// Where a child reports to.
static REPORT: AtomicI32 = AtomicI32::new(-1);

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
    IN_PROGRAM.load(Relaxed)
}

/// Whether the kernel is lent: a panic now is the kernel's own.
pub(crate) fn is_lent() -> bool {
    LENT.load(Relaxed)
}

/// Installs the kernel of this process's run.
pub(crate) fn install(kernel: Kernel) {
    // SAFETY: called once in a child, before any program runs.
    unsafe { *KERNEL.0.get() = Some(kernel) };
}

/// Lends the kernel.
#[inline]
pub(crate) fn enter<R>(call: impl FnOnce(&mut Kernel) -> R) -> R {
    let selector = SELECTOR.load(Relaxed);
    SELECTOR.store(0, Relaxed);
    assert!(!LENT.load(Relaxed), "the simulated kernel was entered from within itself");
    LENT.store(true, Relaxed);
    CALLS.store(CALLS.load(Relaxed) + 1, Relaxed);
    // SAFETY: `LENT` was false, so that this is the only reference, and it ends with `call`; no
    // switch of stacks happens inside, as those assert that nothing is lent.
    let kernel = unsafe { (*KERNEL.0.get()).as_mut() };
    let result = call(kernel.expect("a run has installed its kernel"));
    LENT.store(false, Relaxed);
    SELECTOR.store(selector, Relaxed);
    result
}

/// Runs something of our own in the midst of a program: its calls reach the real machine.
pub(crate) fn outside<R>(work: impl FnOnce() -> R) -> R {
    let (inside, selector) = (IN_PROGRAM.load(Relaxed), SELECTOR.load(Relaxed));
    IN_PROGRAM.store(false, Relaxed);
    SELECTOR.store(0, Relaxed);
    let result = work();
    SELECTOR.store(selector, Relaxed);
    IN_PROGRAM.store(inside, Relaxed);
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

/// Lets a program's thread run until it gives way. True if it has ended.
pub(crate) fn resume(block: usize) -> bool {
    assert!(!is_lent(), "a switch while the kernel is lent");
    let machine = machine();
    // SAFETY: the stack of the block was left by `switch` or made by `begin`, and its segment is its
    // own. No reference into the machine lives across the switch.
    unsafe {
        (*machine).current = block;
        (*machine).ended = false;
        (*machine).host_segment = segment();
        let (stack, segment) =
            ((&(*machine).blocks)[block].stack, (&(*machine).blocks)[block].segment);
        IN_PROGRAM.store(true, Relaxed);
        SELECTOR.store(CAUGHT.load(Relaxed), Relaxed);
        switch(&raw mut (*machine).host_stack, stack, segment);
        SELECTOR.store(0, Relaxed);
        IN_PROGRAM.store(false, Relaxed);
        (*machine).ended
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

/// Takes a block for a new thread, and what `pthread_self` says in it.
pub(crate) fn take_block(stack: usize) -> (usize, u64) {
    outside(|| {
        // SAFETY: no switch happens while the reference lives.
        let machine = unsafe { &mut *machine() };
        let large = stack > STACK;
        let block = machine.free.pop_if(|_| !large).unwrap_or_else(|| {
            machine.blocks.extend(donate(1, stack.max(STACK)));
            machine.blocks.len() - 1
        });
        (block, machine.blocks[block].segment as u64)
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

/// Makes the pool, if it is not there yet.
pub(crate) fn prepare(count: usize) {
    let mut pool = POOL.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if pool.len() < count {
        let missing = count - pool.len();
        pool.extend(donate(missing, STACK));
    }
}

/// The pool becomes this process's own: called in a child.
pub(crate) fn adopt() {
    let mut pool = POOL.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let blocks = std::mem::take(&mut *pool);
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

/// Makes so many donated threads.
fn donate(count: usize, stack: usize) -> Vec<Block> {
    let donations: Vec<&'static Donation> =
        (0..count).map(|_| &*Box::leak(Box::new(Donation::default()))).collect();
    // SAFETY: plain libc calls on memory of our own: fresh mappings that are never given back, an
    // attribute that lives until it is destroyed, and a donation that lives for ever.
    let bottoms: Vec<usize> = unsafe {
        let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        let make = |donation: &&'static Donation| {
            let size = stack + GUARD;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            static NEXT: AtomicUsize = AtomicUsize::new(STACKS);
            let wish = NEXT.fetch_add(size.next_multiple_of(1 << 20), Relaxed) as *mut c_void;
            let map = libc::mmap(wish, size, libc::PROT_NONE, flags, -1, 0);
            assert!(map != libc::MAP_FAILED, "no memory for a stack");
            let bottom = map.cast::<u8>().add(GUARD).cast::<c_void>();
            libc::mprotect(bottom, stack, libc::PROT_READ | libc::PROT_WRITE);
            let mut attributes = MaybeUninit::uninit();
            libc::pthread_attr_init(attributes.as_mut_ptr());
            libc::pthread_attr_setstack(attributes.as_mut_ptr(), bottom, stack);
            let (mut thread, argument) = (0, ptr::from_ref(*donation).cast_mut().cast());
            let made = libc::pthread_create(&raw mut thread, attributes.as_ptr(), donor, argument);
            assert_eq!(made, 0, "a thread cannot be made");
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            bottom as usize
        };
        let bottoms = donations.iter().map(make).collect();
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
        Block { segment, top, locals, image: image.to_vec(), stack: 0, bottom, job: None }
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
    // SAFETY: `donate` hands over a donation that lives for ever; `locals` is called during the call
    // alone.
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

/// What a process of a run is stopped by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Real seconds.
    pub(crate) seconds: u32,
    /// Bytes on top of what the process had.
    pub(crate) memory: u64,
    /// Seconds of computing without a call of the kernel.
    pub(crate) spin: u32,
}

/// A forked child, and where it reports to.
#[derive(Debug)]
pub(crate) struct Child {
    process: libc::pid_t,
    report: i32,
    stray: i32,
}

/// What a child left.
#[derive(Debug)]
pub(crate) struct Remains {
    /// What it reported.
    pub(crate) report: Vec<u8>,
    /// What it wrote to the real standard output and error.
    pub(crate) stray: Vec<u8>,
    /// The signal that ended it.
    pub(crate) signal: Option<i32>,
}

/// Forks. The child runs `work` and ends.
pub(crate) fn fork(work: impl FnOnce()) -> Result<Child, std::io::Error> {
    let (mut report, mut stray) = ([0; 2], [0; 2]);
    // SAFETY: plain libc calls; the child goes on with the one thread that called, and leaves by
    // `_exit`, so that nothing of the parent's runs twice.
    unsafe {
        for pipe in [&mut report, &mut stray] {
            if libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        match libc::fork() {
            -1 => Err(std::io::Error::last_os_error()),
            0 => {
                libc::dup2(stray[1], 1);
                libc::dup2(stray[1], 2);
                libc::close(report[0]);
                libc::close(stray[0]);
                REPORT.store(report[1], Relaxed);
                libc::mallopt(libc::M_ARENA_MAX, 1);
                work();
                libc::_exit(0)
            }
            process => {
                libc::close(report[1]);
                libc::close(stray[1]);
                Ok(Child { process, report: report[0], stray: stray[0] })
            }
        }
    }
}

impl Child {
    /// Reads all that the child reports, until it has ended.
    pub(crate) fn wait(self) -> Remains {
        let ends = [self.report, self.stray];
        let mut read = [Vec::new(), Vec::new()];
        let mut open = [true, true];
        let mut buffer = vec![0_u8; 64 << 10];
        while open.contains(&true) {
            let entry = |at: usize| libc::pollfd {
                fd: if open[at] { ends[at] } else { -1 },
                events: libc::POLLIN,
                revents: 0,
            };
            let mut polled = [entry(0), entry(1)];
            // SAFETY: two entries, and a buffer of that length.
            unsafe { libc::poll(polled.as_mut_ptr(), 2, -1) };
            for at in 0..2 {
                if !open[at] || polled[at].revents == 0 {
                    continue;
                }
                // SAFETY: as above.
                let count =
                    unsafe { libc::read(ends[at], buffer.as_mut_ptr().cast(), buffer.len()) };
                match usize::try_from(count) {
                    Ok(count) if count > 0 => read[at].extend_from_slice(&buffer[..count]),
                    _ => open[at] = false,
                }
            }
        }
        let mut status = 0;
        // SAFETY: descriptors and a child of our own.
        unsafe {
            for end in ends {
                libc::close(end);
            }
            while libc::waitpid(self.process, &raw mut status, 0) == -1
                && std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted
            {
            }
        }
        let signal = libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status));
        let [report, stray] = read;
        Remains { report, stray, signal }
    }
}

/// Writes to whoever waits for this child.
pub(crate) fn report(bytes: &[u8]) {
    outside(|| {
        let mut rest = bytes;
        while !rest.is_empty() {
            // SAFETY: a buffer of that length.
            let wrote =
                unsafe { libc::write(REPORT.load(Relaxed), rest.as_ptr().cast(), rest.len()) };
            let Ok(wrote) = usize::try_from(wrote) else { break };
            rest = &rest[wrote..];
        }
    });
}

/// Ends this process at once, after what was reported.
pub(crate) fn end_process() -> ! {
    IN_PROGRAM.store(false, Relaxed);
    SELECTOR.store(0, Relaxed);
    // SAFETY: it does not return.
    unsafe { libc::_exit(0) }
}

/// Bounds this process, and arms what ends it when it spins or takes too long.
pub(crate) fn bound(bounds: &Bounds) {
    // SAFETY: plain libc calls on values of our own; the handlers are those of this file, and the
    // alternate stack is never given back.
    unsafe {
        crate::hooks::reserve(bounds.memory as usize);
        let used = used_memory();
        let limit = libc::rlimit { rlim_cur: used + bounds.memory, rlim_max: libc::RLIM_INFINITY };
        libc::setrlimit(libc::RLIMIT_AS, &raw const limit);
        let none = libc::rlimit { rlim_cur: 0, rlim_max: libc::RLIM_INFINITY };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        let size = 64 << 10;
        let spare = Box::leak(vec![0_u8; size].into_boxed_slice());
        let spare = libc::stack_t { ss_sp: spare.as_mut_ptr().cast(), ss_flags: 0, ss_size: size };
        libc::sigaltstack(&raw const spare, ptr::null_mut());
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE] {
            handle(signal, on_fault, libc::SA_ONSTACK | libc::SA_NODEFER);
        }
        handle(libc::SIGALRM, on_alarm, 0);
        handle(libc::SIGPROF, on_tick, libc::SA_RESTART);
        SPIN.store(4 * bounds.spin as usize, Relaxed);
        let seconds = |seconds: i64, micros| libc::timeval { tv_sec: seconds, tv_usec: micros };
        let once = libc::itimerval {
            it_interval: seconds(0, 0),
            it_value: seconds(bounds.seconds.into(), 0),
        };
        setitimer(libc::ITIMER_REAL, &raw const once, ptr::null_mut());
        let ticks =
            libc::itimerval { it_interval: seconds(0, 250_000), it_value: seconds(0, 250_000) };
        setitimer(libc::ITIMER_PROF, &raw const ticks, ptr::null_mut());
    }
}

unsafe extern "C" {
    /// The timer that ends a process, which the crate `libc` does not declare for glibc.
    fn setitimer(
        which: libc::c_int,
        new: *const libc::itimerval,
        old: *mut libc::itimerval,
    ) -> libc::c_int;
}

/// The address space of this process in bytes.
fn used_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').next().and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// A handler of signals, as Linux calls it.
pub(crate) type Handler = unsafe extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut c_void);

/// What the real kernel takes for `rt_sigaction`. Libc's own would return through a system call of
/// libc's, which is caught.
#[repr(C)]
struct Action {
    handler: usize,
    flags: u64,
    restorer: usize,
    mask: u64,
}

/// Handles a signal. Whether the real kernel took it.
///
/// # Safety
/// The handler must be able to run wherever the signal arrives.
unsafe fn handle(signal: i32, handler: Handler, flags: i32) -> bool {
    const RESTORER: u64 = 0x0400_0000;
    let flags = (libc::SA_SIGINFO | flags) as u64 | RESTORER;
    let action =
        Action { handler: handler as *const () as usize, flags, restorer: gate(), mask: 0 };
    let (number, none) = (libc::SYS_rt_sigaction, ptr::null::<c_void>());
    // SAFETY: an action of the right shape; the caller vouches for the handler.
    unsafe { libc::syscall(number, signal, &raw const action, none, 8) == 0 }
}

/// How many ticks without a call are a spin.
static SPIN: AtomicUsize = AtomicUsize::new(usize::MAX);

/// A quarter of a second of computing has passed.
unsafe extern "C" fn on_tick(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut c_void) {
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    static TICKS: AtomicUsize = AtomicUsize::new(0);
    let calls = CALLS.load(Relaxed);
    if !in_program() || SEEN.swap(calls, Relaxed) != calls {
        TICKS.store(0, Relaxed);
    } else if TICKS.fetch_add(1, Relaxed) + 1 >= SPIN.load(Relaxed) {
        crate::run::stopped(crate::run::Stop::Spin);
    }
}

/// The real time of a run is over.
unsafe extern "C" fn on_alarm(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut c_void) {
    crate::run::stopped(crate::run::Stop::Time);
}

/// A program did what the processor refuses. Reading the time-stamp counter is answered, anything
/// else ends the process.
unsafe extern "C" fn on_fault(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
) {
    // SAFETY: what Linux hands to a handler; the instruction is read only where it was executed,
    // that is, not where the fault is a jump to nowhere.
    unsafe {
        let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        let at = registers[libc::REG_RIP as usize] as usize;
        let fault = (*info).si_addr() as usize;
        if signal == libc::SIGSEGV
            && at != fault
            && let Some(length) =
                backstop::time_stamp(std::slice::from_raw_parts(at as *const u8, 3))
        {
            let now = if is_lent() { 0 } else { enter(|kernel| kernel.now.as_nanos()) };
            registers[libc::REG_RAX as usize] = (now & 0xFFFF_FFFF) as i64;
            registers[libc::REG_RDX as usize] = (now >> 32) as i64;
            registers[libc::REG_RIP as usize] += length as i64;
            return;
        }
        libc::signal(signal, libc::SIG_DFL);
        let machine = &*machine();
        let overflow = machine.blocks.get(machine.current).is_some_and(|block| {
            in_program() && (block.bottom - GUARD..block.bottom).contains(&fault)
        });
        crate::run::died(signal, overflow);
    }
}

/// The handler of system calls that were caught. It runs on the stack of the program, as what it
/// serves may switch stacks.
unsafe extern "C" fn on_call(_: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    SELECTOR.store(0, Relaxed);
    // SAFETY: what Linux hands to a handler; the number stands where `si_syscall` is.
    unsafe {
        let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        let number = i64::from(info.cast::<u8>().add(24).cast::<libc::c_int>().read());
        let word = |register: i32| registers[register as usize] as usize;
        let words = [
            word(libc::REG_RDI),
            word(libc::REG_RSI),
            word(libc::REG_RDX),
            word(libc::REG_R10),
            word(libc::REG_R8),
            word(libc::REG_R9),
        ];
        let error = libc::__errno_location();
        let before = *error;
        registers[libc::REG_RAX as usize] = crate::hooks::serve(number, words);
        *error = before;
    }
    SELECTOR.store(if in_program() { CAUGHT.load(Relaxed) } else { 0 }, Relaxed);
}

/// Where handlers of signals return to: the one place whose system calls are always let through,
/// of 64 bytes. It is a page of its own, which has no unwind table, and holds the very bytes that
/// unwinders know the end of a signal's frame by, so that a backtrace goes on into the program.
fn gate() -> usize {
    static GATE: AtomicUsize = AtomicUsize::new(0);
    /// `mov rax, 15; syscall; ud2`.
    const RETURN: [u8; 11] = [0x48, 0xC7, 0xC0, 0x0F, 0x00, 0x00, 0x00, 0x0F, 0x05, 0x0F, 0x0B];
    if GATE.load(Relaxed) == 0 {
        let (write, run) = (libc::PROT_READ | libc::PROT_WRITE, libc::PROT_READ | libc::PROT_EXEC);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh page, which is written before it can be run.
        unsafe {
            let page = libc::mmap(ptr::null_mut(), 4096, write, flags, -1, 0);
            assert!(page != libc::MAP_FAILED, "no memory for a page");
            ptr::write_bytes(page.cast::<u8>(), 0x90, 4096);
            let gate = page.cast::<u8>().add(64);
            ptr::copy_nonoverlapping(RETURN.as_ptr(), gate, RETURN.len());
            libc::mprotect(page, 4096, run);
            GATE.store(gate as usize, Relaxed);
        }
    }
    GATE.load(Relaxed)
}

/// Arms Syscall User Dispatch and the trap of the time-stamp counter. Whether the machine has them.
pub(crate) fn arm() -> [bool; 2] {
    // SAFETY: plain system calls with values that live long enough; the selector is a static. What
    // is served may switch stacks, so the handler runs on the program's, and can be entered again.
    unsafe {
        let dispatch = 59;
        let armed = handle(libc::SIGSYS, on_call, libc::SA_NODEFER)
            && libc::prctl(dispatch, 1_usize, gate(), 64_usize, SELECTOR.as_ptr()) == 0;
        CAUGHT.store(armed.into(), Relaxed);
        let (set_tsc, refuse) = (26, 2_usize);
        let tsc = libc::prctl(set_tsc, refuse, 0_usize, 0_usize, 0_usize) == 0;
        [armed, tsc]
    }
}

/// Whether this machine can switch threads in user mode: `FSGSBASE`, since Linux 5.9.
pub(crate) fn can_switch() -> bool {
    // SAFETY: it reads a word that the kernel left for the process.
    unsafe { libc::getauxval(libc::AT_HWCAP2) & 2 != 0 }
}

/// Whether the addresses of this process are the same in every process.
pub(crate) fn has_fixed_addresses() -> bool {
    // SAFETY: the number that asks and changes nothing.
    let personality = unsafe { libc::personality(0xFFFF_FFFF) };
    personality & libc::ADDR_NO_RANDOMIZE != 0
}

/// A command will run without randomised addresses, where that is permitted.
pub(crate) fn fix_addresses(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    let fix = || {
        // SAFETY: a plain system call. One that is refused leaves the addresses random.
        unsafe { libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong) };
        Ok(())
    };
    // SAFETY: what is run between fork and exec makes one system call.
    unsafe { command.pre_exec(fix) };
}
