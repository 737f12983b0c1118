//! What escapes the symbols: which instruction reads the time-stamp counter, and what is to become
//! of a system call that a program makes by itself.

use crate::fd::FIRST;
use crate::machine::MAPS;

/// The length of the instruction, if it reads the time-stamp counter (`rdtsc`, `rdtscp`).
pub(crate) fn time_stamp(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [0x0F, 0x31, ..] => Some(2),
        [0x0F, 0x01, 0xF9, ..] => Some(3),
        _ => None,
    }
}

/// What becomes of a system call that nobody simulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// The real kernel does it: it touches this process's memory or signal masks alone.
    Real,
    /// It is not there, as on a kernel without it: programs fall back.
    Absent,
    /// It would reach the real machine, and nobody serves it: the run ends.
    Refused,
}

/// Calls that touch this process's memory, signal masks or identity alone; those on memory that is
/// a simulated file are served.
pub(crate) const REAL: [i64; 26] = [
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_msync,
    libc::SYS_mlock,
    libc::SYS_munlock,
    libc::SYS_mincore,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigaction,
    libc::SYS_sigaltstack,
    libc::SYS_getrlimit,
    libc::SYS_prlimit64,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_arch_prctl,
    libc::SYS_prctl,
    libc::SYS_exit_group,
    libc::SYS_membarrier,
    libc::SYS_get_mempolicy,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
];

/// Those of them that may be on the memory of a simulated file.
const ON_MEMORY: [i64; 6] = [
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_msync,
];

/// What becomes of a system call that is not served.
pub(crate) fn policy(number: i64) -> Policy {
    match number {
        number if REAL.contains(&number) => Policy::Real,
        libc::SYS_io_uring_setup
        | libc::SYS_io_uring_enter
        | libc::SYS_io_uring_register
        | libc::SYS_openat2
        | libc::SYS_close_range
        | libc::SYS_pidfd_open
        | libc::SYS_futex_waitv
        | libc::SYS_userfaultfd
        | libc::SYS_memfd_create => Policy::Absent,
        _ => Policy::Refused,
    }
}

/// The names of system calls that programs make and nobody simulates.
pub(crate) fn name(number: i64) -> String {
    let name = match number {
        libc::SYS_fork => "fork",
        libc::SYS_vfork => "vfork",
        libc::SYS_clone => "clone",
        libc::SYS_clone3 => "clone3",
        libc::SYS_execve => "execve",
        libc::SYS_ptrace => "ptrace",
        libc::SYS_mount => "mount",
        libc::SYS_kill => "kill",
        libc::SYS_tkill => "tkill",
        libc::SYS_tgkill => "tgkill",
        libc::SYS_wait4 => "wait4",
        libc::SYS_select => "select",
        libc::SYS_pselect6 => "pselect6",
        libc::SYS_inotify_init1 => "inotify_init1",
        libc::SYS_signalfd4 => "signalfd4",
        libc::SYS_uname => "uname",
        libc::SYS_sysinfo => "sysinfo",
        libc::SYS_getdents64 => "getdents64",
        libc::SYS_sendfile => "sendfile",
        _ => return format!("number {number}"),
    };
    name.to_owned()
}

/// What a run does without, as an environment variable says, so that a test can see how it does:
/// `dispatch`, `seccomp`, `tsc`, `personality`, separated by commas.
pub(crate) fn is_forbidden(what: &str) -> bool {
    #[expect(clippy::disallowed_methods, reason = "it is read before a program runs")]
    let without = std::env::var("SEEDFALL_KERNEL_WITHOUT").unwrap_or_default();
    without.split(',').any(|one| one == what)
}

/// A filter for seccomp that catches all system calls but those that come from one page, and those
/// that the real kernel does in any case.
pub(crate) fn filter(page: usize) -> Vec<libc::sock_filter> {
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let (and, equal, least, set, give) = (
        (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16,
        (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16,
        (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16,
        (libc::BPF_RET | libc::BPF_K) as u16,
    );
    let one = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let (allow, trap) = (libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_TRAP);
    // Words of `seccomp_data`: the number, the architecture, the instruction, the arguments.
    let (number, instruction, first, descriptor) = (0, 8, 16, 48);
    let mut filter = vec![
        one(load, 0, 0, instruction),
        one(and, 0, 0, 0xFFFF_F000),
        one(equal, 0, 3, page as u32),
        one(load, 0, 0, instruction + 4),
        one(equal, 0, 1, (page >> 32) as u32),
        one(give, 0, 0, allow),
        one(load, 0, 0, number),
    ];
    // Memory is real, but for that of simulated files: by the descriptor, or by where it is.
    let (from, to) = ((MAPS.start >> 32) as u32, (MAPS.end >> 32) as u32);
    for number in ON_MEMORY {
        let (word, first, behind) = match number {
            libc::SYS_mmap => (descriptor, FIRST as u32, 1 << 31),
            _ => (first + 4, from, to),
        };
        filter.extend([
            one(equal, 0, 5, number as u32),
            one(load, 0, 0, word),
            one(least, 0, 2, first),
            one(least, 1, 0, behind),
            one(give, 0, 0, trap),
            one(give, 0, 0, allow),
        ]);
    }
    // A thread that gives its stack away waits in `pause`, with signals blocked.
    let apart = |number: &i64| *number != libc::SYS_prctl && !ON_MEMORY.contains(number);
    let own = REAL.into_iter().filter(apart);
    for number in own.chain([libc::SYS_pause]) {
        filter.extend([one(equal, 0, 1, number as u32), one(give, 0, 0, allow)]);
    }
    // Threads are made by `clone`, whose flags can be looked at; `clone3` is not there.
    let absent = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    filter.extend([
        one(equal, 0, 1, libc::SYS_clone3 as u32),
        one(give, 0, 0, absent),
        one(equal, 0, 3, libc::SYS_clone as u32),
        one(load, 0, 0, first),
        one(set, 0, 1, libc::CLONE_THREAD as u32),
        one(give, 0, 0, allow),
        one(give, 0, 0, trap),
    ]);
    filter
}
