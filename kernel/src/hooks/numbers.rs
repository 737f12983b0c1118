//! System calls by number: those that programs make through `syscall`, and those that were caught.

use super::threads::{
    clock_gettime, clock_nanosleep, getpid, getrandom, gettid, gettimeofday, nanosleep, pause,
    sched_getaffinity, sched_yield,
};
use super::*;
use crate::calls::{self, Patience, call, is_simulated as sim};
use crate::machine::{self, outside};

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    if inside() || machine::is_run() && number == SYS_getrandom {
        let result = serve(number, [a, b, c, d, e, f]);
        return told(if (-4095..0).contains(&result) { Err(-result as i32) } else { Ok(result) });
    }
    // SAFETY: the caller vouches for its words as the system call demands.
    unsafe {
        type Real =
            unsafe extern "C" fn(c_long, usize, usize, usize, usize, usize, usize) -> c_long;
        real!(syscall, Real)(number, a, b, c, d, e, f)
    }
}

/// A futex call.
unsafe fn futex(words: [usize; 6]) -> Result<i64, Errno> {
    let [word, operation, value, fourth, other, bits] = words;
    let command = operation as c_int & 0x7F;
    let clock = match operation as c_int & FUTEX_CLOCK_REALTIME {
        0 => CLOCK_MONOTONIC,
        _ => CLOCK_REALTIME,
    };
    // SAFETY: the program vouches for the word, and for the time where there is one.
    unsafe {
        let is = || {
            std::sync::atomic::AtomicU32::from_ptr(word as *mut u32)
                .load(std::sync::atomic::Ordering::SeqCst)
        };
        let time = fourth as *const timespec;
        match command {
            FUTEX_WAIT | FUTEX_WAIT_BITSET => {
                if is() != value as u32 {
                    return Err(EAGAIN);
                }
                let patience = match (time.is_null(), command) {
                    (true, _) => Patience::Endless,
                    (false, FUTEX_WAIT) => Patience::For(span(time)),
                    _ => Patience::Until(clock, span(time).as_nanos()),
                };
                let bits = if command == FUTEX_WAIT { u32::MAX } else { bits as u32 };
                calls::futex_wait(word, bits, patience).map(|()| 0)
            }
            FUTEX_WAKE => Ok(call(|k| k.futex_wake(word, value, u32::MAX)) as i64),
            FUTEX_WAKE_BITSET => Ok(call(|k| k.futex_wake(word, value, bits as u32)) as i64),
            FUTEX_REQUEUE => Ok(call(|k| k.futex_requeue(word, value, other, fourth)) as i64),
            FUTEX_CMP_REQUEUE if is() != bits as u32 => Err(EAGAIN),
            FUTEX_CMP_REQUEUE => Ok(call(|k| k.futex_requeue(word, value, other, fourth)) as i64),
            _ => Err(ENOSYS),
        }
    }
}

/// A system call of a program that came without a symbol of its own: what it returns to the
/// program, an error as a negative number.
pub(crate) fn serve(number: c_long, words: [usize; 6]) -> i64 {
    let drawn = number == SYS_getrandom && machine::is_run();
    if !inside() && !drawn {
        return real_call(number, words);
    }
    // SAFETY: the program vouches for its words as the system call demands; each hook takes the
    // same ones.
    let result = unsafe {
        if number == SYS_futex {
            return futex(words).unwrap_or_else(|error| -i64::from(error));
        }
        serve_plain(number, words)
            .or_else(|| serve_name(number, words))
            .or_else(|| serve_file(number, words))
            .or_else(|| serve_descriptor(number, words))
    };
    match result {
        // SAFETY: the place of this thread's `errno`.
        Some(-1) => -i64::from(unsafe { *__errno_location() }),
        Some(result) => result,
        None => match number {
            // What belongs to the real machine: a backtrace reads the program itself.
            SYS_read | SYS_close | SYS_fstat | SYS_lseek | SYS_openat | SYS_open | SYS_readlink
            | SYS_newfstatat | SYS_statx | SYS_ioctl | SYS_fcntl | SYS_pread64 | SYS_dup
            | SYS_dup3 => real_call(number, words),
            _ => match calls::unserved(number) {
                Some(error) => -i64::from(error),
                None => real_call(number, words),
            },
        },
    }
}

/// Serves a call that names no descriptor. `None`: it is not one of these.
unsafe fn serve_plain(number: c_long, words: [usize; 6]) -> Option<i64> {
    use super::descriptors as fds;
    let [a, b, c, d, _, _] = words;
    let (first, second) = (a as c_int, b as c_int);
    // SAFETY: the caller vouches for the words.
    Some(unsafe {
        match number {
            SYS_getrandom => getrandom(a as *mut c_void, b, c as c_uint) as i64,
            SYS_gettid => gettid().into(),
            SYS_getpid => getpid().into(),
            SYS_clock_gettime => clock_gettime(first, b as *mut timespec).into(),
            SYS_gettimeofday => gettimeofday(a as *mut timeval, std::ptr::null_mut()).into(),
            SYS_clock_nanosleep => {
                clock_nanosleep(first, second, c as *const timespec, d as *mut timespec).into()
            }
            SYS_nanosleep => nanosleep(a as *const timespec, b as *mut timespec).into(),
            SYS_sched_yield => sched_yield().into(),
            SYS_getcpu => {
                put(a as *mut c_uint, 0);
                put(b as *mut c_uint, 0);
                0
            }
            SYS_pause => pause().into(),
            SYS_sysinfo => sysinfo(a as *mut sysinfo).into(),
            SYS_uname => uname(a as *mut utsname).into(),
            SYS_sched_getaffinity => {
                sched_getaffinity(0, b, c as *mut cpu_set_t);
                8
            }
            SYS_prctl if a == GET_AUXV => return Some(auxiliary(words)),
            SYS_epoll_create1 => fds::epoll_create1(first).into(),
            SYS_eventfd2 => fds::eventfd(a as c_uint, second).into(),
            SYS_timerfd_create => fds::timerfd_create(first, second).into(),
            SYS_socket => fds::socket(first, second, c as c_int).into(),
            SYS_pipe2 => fds::pipe2(a as *mut c_int, second).into(),
            SYS_poll => fds::poll(a as *mut pollfd, b as nfds_t, c as c_int).into(),
            SYS_socketpair => fds::socketpair(first, second, c as c_int, d as *mut c_int).into(),
            SYS_ppoll => {
                let (entries, time) = (a as *mut pollfd, c as *const timespec);
                fds::ppoll(entries, b as nfds_t, time, std::ptr::null()).into()
            }
            _ => return None,
        }
    })
}

/// Serves a change of a name of a program's own. `None`: it is not one of these.
unsafe fn serve_name(number: c_long, words: [usize; 6]) -> Option<i64> {
    use super::files;
    let [a, b, c, d, e, _] = words;
    let (fd, first, second) = (a as c_int, a as *const c_char, b as *const c_char);
    let (third, fourth) = (c as c_int, d as *const c_char);
    // SAFETY: the caller vouches for the words: which of them are paths, the number says.
    Some(unsafe {
        match number {
            SYS_rename if own(first) => files::rename(first, second),
            SYS_renameat if own(second) => files::renameat(fd, second, third, fourth),
            SYS_renameat2 if own(second) => {
                files::renameat2(fd, second, third, fourth, e as c_uint)
            }
            SYS_unlink if own(first) => files::unlink(first),
            SYS_unlinkat if own(second) => files::unlinkat(fd, second, third),
            SYS_rmdir if own(first) => files::rmdir(first),
            SYS_mkdir if own(first) => files::mkdir(first, b as mode_t),
            SYS_mkdirat if own(second) => files::mkdirat(fd, second, c as mode_t),
            SYS_link if own(first) => files::link(first, second),
            SYS_linkat if own(second) => files::linkat(fd, second, third, fourth, e as c_int),
            SYS_symlink if own(second) => files::symlink(first, second),
            _ => return None,
        }
        .into()
    })
}

/// Serves a call on a path of a program's own, an open file or a timer. `None`: it is not one of
/// these.
unsafe fn serve_file(number: c_long, words: [usize; 6]) -> Option<i64> {
    use super::{descriptors as fds, files};
    let [a, b, c, d, e, _] = words;
    let (fd, second) = (a as c_int, b as c_int);
    let simulated = sim(fd);
    // SAFETY: the caller vouches for the words.
    Some(unsafe {
        match number {
            SYS_statx if simulated || own(b as *const c_char) => {
                let (path, to) = (b as *const c_char, e as *mut statx);
                files::statx(fd, path, c as c_int, d as c_uint, to).into()
            }
            SYS_openat if own(b as *const c_char) => {
                files::openat(fd, b as *const c_char, c as c_int, d as mode_t).into()
            }
            SYS_access if own(a as *const c_char) => {
                files::access(a as *const c_char, second).into()
            }
            SYS_faccessat if own(b as *const c_char) => {
                files::faccessat(fd, b as *const c_char, c as c_int, 0).into()
            }
            SYS_open if own(a as *const c_char) => {
                files::open(a as *const c_char, second, c as mode_t).into()
            }
            SYS_newfstatat if simulated || own(b as *const c_char) => {
                files::fstatat(fd, b as *const c_char, c as *mut stat, d as c_int).into()
            }
            _ if !simulated => return None,
            SYS_pread64 => files::pread64(fd, b as *mut c_void, c, d as off_t) as i64,
            SYS_pwrite64 => files::pwrite64(fd, b as *const c_void, c, d as off_t) as i64,
            SYS_readv => fds::readv(fd, b as *const iovec, c as c_int) as i64,
            SYS_ftruncate => files::ftruncate(fd, b as off_t).into(),
            SYS_flock => files::flock(fd, second).into(),
            SYS_fallocate => files::fallocate(fd, second, c as off_t, d as off_t).into(),
            SYS_sync_file_range => {
                files::sync_file_range(fd, b as off64_t, c as off64_t, d as c_uint).into()
            }
            SYS_dup => fds::dup(fd).into(),
            SYS_dup3 => fds::dup3(fd, second, c as c_int).into(),
            SYS_timerfd_settime => {
                let (new, old) = (c as *const itimerspec, d as *mut itimerspec);
                fds::timerfd_settime(fd, second, new, old).into()
            }
            SYS_timerfd_gettime => fds::timerfd_gettime(fd, b as *mut itimerspec).into(),
            _ => return None,
        }
    })
}

/// Serves a call on a simulated descriptor or a standard stream. `None`: it is not one of these.
unsafe fn serve_descriptor(number: c_long, words: [usize; 6]) -> Option<i64> {
    use super::{descriptors as fds, files};
    let [a, b, c, d, e, f] = words;
    let (fd, second) = (a as c_int, b as c_int);
    let (simulated, prints) = (sim(fd), fd == 1 || fd == 2);
    // SAFETY: the caller vouches for the words.
    Some(unsafe {
        match number {
            SYS_write if simulated || prints => fds::write(fd, b as *const c_void, c) as i64,
            SYS_writev if simulated || prints => {
                fds::writev(fd, b as *const iovec, c as c_int) as i64
            }
            _ if !simulated => return None,
            SYS_read => fds::read(fd, b as *mut c_void, c) as i64,
            SYS_close => fds::close(fd).into(),
            SYS_fcntl => fds::fcntl(fd, second, c).into(),
            SYS_ioctl => fds::ioctl(fd, b as c_ulong, c).into(),
            SYS_fsync | SYS_fdatasync => files::fsync(fd).into(),
            SYS_lseek => files::lseek(fd, b as off_t, c as c_int),
            SYS_fstat => files::fstat(fd, b as *mut stat).into(),
            SYS_epoll_ctl => fds::epoll_ctl(fd, second, c as c_int, d as *mut epoll_event).into(),
            SYS_epoll_wait | SYS_epoll_pwait => {
                fds::epoll_wait(fd, b as *mut epoll_event, c as c_int, d as c_int).into()
            }
            SYS_epoll_pwait2 => {
                let time = d as *const timespec;
                let millis = if time.is_null() { -1 } else { millis(span(time)) };
                fds::epoll_wait(fd, b as *mut epoll_event, c as c_int, millis).into()
            }
            SYS_connect => fds::connect(fd, b as *const sockaddr, c as socklen_t).into(),
            SYS_bind => fds::bind(fd, b as *const sockaddr, c as socklen_t).into(),
            SYS_listen => fds::listen(fd, second).into(),
            SYS_accept4 => {
                let (to, len) = (b as *mut sockaddr, c as *mut socklen_t);
                fds::accept4(fd, to, len, d as c_int).into()
            }
            SYS_shutdown => fds::shutdown(fd, second).into(),
            SYS_getsockname => fds::getsockname(fd, b as *mut sockaddr, c as *mut socklen_t).into(),
            SYS_getpeername => fds::getpeername(fd, b as *mut sockaddr, c as *mut socklen_t).into(),
            SYS_setsockopt => {
                let (option, from) = (c as c_int, d as *const c_void);
                fds::setsockopt(fd, second, option, from, e as socklen_t).into()
            }
            SYS_getsockopt => {
                let (option, to) = (c as c_int, d as *mut c_void);
                fds::getsockopt(fd, second, option, to, e as *mut socklen_t).into()
            }
            SYS_sendto => {
                let (to, len) = (e as *const sockaddr, f as socklen_t);
                fds::sendto(fd, b as *const c_void, c, d as c_int, to, len) as i64
            }
            SYS_recvfrom => {
                let (from, len) = (e as *mut sockaddr, f as *mut socklen_t);
                fds::recvfrom(fd, b as *mut c_void, c, d as c_int, from, len) as i64
            }
            SYS_recvmsg => fds::recvmsg(fd, b as *mut msghdr, c as c_int) as i64,
            SYS_sendmsg => fds::sendmsg(fd, b as *const msghdr, c as c_int) as i64,
            _ => return None,
        }
    })
}

/// `PR_GET_AUXV`.
const GET_AUXV: usize = 0x4155_5856;

/// What the loader left for the process, without the vDSO: nobody reads the clock behind the
/// kernel's back.
unsafe fn auxiliary(words: [usize; 6]) -> i64 {
    const IGNORE: usize = 1;
    let copied = real_call(SYS_prctl, words);
    let pairs = words[1] as *mut [usize; 2];
    for at in 0..words[2] / size_of::<[usize; 2]>() {
        // SAFETY: the program vouches for so many bytes there.
        unsafe {
            let pair = pairs.add(at);
            if copied > 0 && (*pair)[0] == AT_SYSINFO_EHDR as usize {
                (*pair)[0] = IGNORE;
            }
        }
    }
    copied
}

/// A span in milliseconds, rounded up.
fn millis(span: Duration) -> c_int {
    c_int::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX)
}

/// A system call of the real machine, with its result as the kernel gives it.
fn real_call(number: c_long, words: [usize; 6]) -> i64 {
    let [a, b, c, d, e, f] = words;
    let door = machine::door();
    outside(|| {
        let result: i64;
        // SAFETY: the program vouches for its words; the policy has let the call through. The door
        // is a `syscall` and a return.
        unsafe {
            if door == 0 {
                std::arch::asm!(
                    "syscall",
                    inlateout("rax") number => result,
                    in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
                    out("rcx") _, out("r11") _,
                );
            } else {
                std::arch::asm!(
                    "call r12",
                    in("r12") door,
                    inlateout("rax") number => result,
                    in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
                    out("rcx") _, out("r11") _,
                );
            }
        }
        result
    })
}
