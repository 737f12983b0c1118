//! Signals of the process of a run: what bounds it, and what catches the calls that it makes by
//! itself.

use super::*;
use crate::backstop;
use crate::report::Backstop;

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
    }
    keep_time(bounds);
}

/// So much address space more is no memory that a program took: a stack is reserved whole, and what
/// is touched of it is little. Those of threads that died with their node are never used again, as
/// locks that all nodes share may still know of them.
pub(super) fn permit(bytes: usize) {
    limit_memory(|limit| limit.saturating_add(bytes as u64));
}

/// So much address space is given back that was permitted.
pub(super) fn forbid(bytes: usize) {
    limit_memory(|limit| limit.saturating_sub(bytes as u64));
}

fn limit_memory(change: impl FnOnce(u64) -> u64) {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: plain libc calls on a value of our own, which is there after the first one.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_AS, limit.as_mut_ptr()) == 0 {
            let limit = limit.assume_init_mut();
            if limit.rlim_cur != libc::RLIM_INFINITY {
                limit.rlim_cur = change(limit.rlim_cur);
                libc::setrlimit(libc::RLIMIT_AS, limit);
            }
        }
    }
}

/// What ends the process when it spins or takes too long. A fork does not inherit it.
pub(crate) fn keep_time(bounds: &Bounds) {
    SPIN.store(4 * bounds.spin as usize, Relaxed);
    set_timers(bounds.seconds, 250_000);
}

/// Nothing ends the process from now on: it only waits for others.
pub(crate) fn forget_time() {
    set_timers(0, 0);
}

fn set_timers(limit: u32, tick: i64) {
    // SAFETY: plain libc calls on values of our own.
    unsafe {
        let seconds = |seconds: i64, micros| libc::timeval { tv_sec: seconds, tv_usec: micros };
        let once =
            libc::itimerval { it_interval: seconds(0, 0), it_value: seconds(limit.into(), 0) };
        setitimer(libc::ITIMER_REAL, &raw const once, ptr::null_mut());
        let ticks = libc::itimerval { it_interval: seconds(0, tick), it_value: seconds(0, tick) };
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
        outside(|| libc::signal(signal, libc::SIG_DFL));
        let machine = &*machine();
        let overflow = machine.blocks.get(machine.current).is_some_and(|block| {
            in_program() && (block.bottom - GUARD..block.bottom).contains(&fault)
        });
        let name = match () {
            () if overflow => "a stack overflow",
            () if is_behind_a_file(fault) => "SIGBUS, memory behind the end of a mapped file",
            () => crate::run::signal_name(signal),
        };
        crate::run::died(name);
    }
}

/// Whether an address is one of a mapping that lies behind the end of its file.
fn is_behind_a_file(address: usize) -> bool {
    has_areas() && is_installed() && enter(|kernel| kernel.maps.is_behind_the_end(address))
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
    /// `syscall; ret`.
    const CALL: [u8; 3] = [0x0F, 0x05, 0xC3];
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
            ptr::copy_nonoverlapping(CALL.as_ptr(), gate.add(DOOR), CALL.len());
            libc::mprotect(page, 4096, run);
            GATE.store(gate as usize, Relaxed);
        }
    }
    GATE.load(Relaxed)
}

/// How far behind the gate the door is, by which seccomp lets calls through.
const DOOR: usize = 512;

/// Where a call of the real machine has to be made, if seccomp looks on; zero: anywhere.
pub(crate) fn door() -> usize {
    DOOR_IS_GUARDED.load(Relaxed)
}

static DOOR_IS_GUARDED: AtomicUsize = AtomicUsize::new(0);

/// Arms what catches system calls, and the trap of the time-stamp counter: which of them the
/// machine has.
pub(crate) fn arm() -> (Backstop, bool) {
    // SAFETY: plain system calls with values that live long enough; the selector is a static. What
    // is served may switch stacks, so the handler runs on the program's, and can be entered again.
    unsafe {
        let handled = handle(libc::SIGSYS, on_call, libc::SA_NODEFER);
        let dispatched = handled && !backstop::is_forbidden("dispatch") && {
            let dispatch = 59;
            libc::prctl(dispatch, 1_usize, gate(), 64_usize, SELECTOR.as_ptr()) == 0
        };
        CAUGHT.store(dispatched.into(), Relaxed);
        let (set_tsc, refuse) = (26, 2_usize);
        let tsc = !backstop::is_forbidden("tsc")
            && libc::prctl(set_tsc, refuse, 0_usize, 0_usize, 0_usize) == 0;
        if dispatched {
            return (Backstop::Dispatch, tsc);
        }
        let filtered = handled && !backstop::is_forbidden("seccomp") && guard();
        (if filtered { Backstop::Seccomp } else { Backstop::Absent }, tsc)
    }
}

/// Lets seccomp catch system calls: those of this process itself too, which are passed on. A fork
/// inherits it.
unsafe fn guard() -> bool {
    if door() != 0 {
        return true;
    }
    let filter = backstop::filter(gate() & !4095);
    let program = libc::sock_fprog {
        len: filter.len() as libc::c_ushort,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: a filter that lives during the call, which copies it.
    unsafe {
        let permitted = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
        // From the next instruction on, calls are caught.
        DOOR_IS_GUARDED.store(gate() + DOOR, Relaxed);
        let mode = libc::SECCOMP_MODE_FILTER;
        let armed = permitted && libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) == 0;
        if !armed {
            DOOR_IS_GUARDED.store(0, Relaxed);
        }
        armed
    }
}
