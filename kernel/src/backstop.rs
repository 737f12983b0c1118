//! What escapes the symbols: which instruction reads the time-stamp counter, and what is to become
//! of a system call that a program makes by itself.

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

/// What becomes of a system call that is not served.
pub(crate) fn policy(number: i64) -> Policy {
    match number {
        libc::SYS_brk
        | libc::SYS_mmap
        | libc::SYS_munmap
        | libc::SYS_mremap
        | libc::SYS_mprotect
        | libc::SYS_madvise
        | libc::SYS_mlock
        | libc::SYS_munlock
        | libc::SYS_mincore
        | libc::SYS_rt_sigprocmask
        | libc::SYS_rt_sigaction
        | libc::SYS_sigaltstack
        | libc::SYS_getrlimit
        | libc::SYS_prlimit64
        | libc::SYS_set_robust_list
        | libc::SYS_rseq
        | libc::SYS_arch_prctl
        | libc::SYS_prctl
        | libc::SYS_exit_group
        | libc::SYS_membarrier
        | libc::SYS_get_mempolicy
        | libc::SYS_getuid
        | libc::SYS_geteuid
        | libc::SYS_getgid
        | libc::SYS_getegid => Policy::Real,
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
