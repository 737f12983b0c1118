//! Threads, time, random bytes, the end of a process, and system calls without a symbol.

use super::*;
use crate::calls::{self, call};
use crate::machine::{self, Start, enter, outside};
use crate::signal::Action;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

// ---- time and random bytes
hooks! {
    fn clock_gettime(clock: clockid_t, to: *mut timespec) -> c_int; inside() => {
        put_time(to, calls::clock(clock));
        Ok(0)
    };
    fn gettimeofday(to: *mut timeval, zone: *mut c_void) -> c_int; inside() => {
        let (seconds, nanos) = split(calls::clock(CLOCK_REALTIME));
        put(to, timeval { tv_sec: seconds, tv_usec: nanos / 1_000 });
        Ok(0)
    };
    fn time(to: *mut time_t) -> time_t; inside() => {
        let (seconds, _) = split(calls::clock(CLOCK_REALTIME));
        put(to, seconds);
        Ok(seconds)
    };
    fn nanosleep(time: *const timespec, left: *mut timespec) -> c_int; inside() => {
        calls::sleep(span(time)).map_err(|rest| { put_time(left, rest.as_nanos()); EINTR })
    };
    fn usleep(micros: c_uint) -> c_int; inside() => {
        calls::sleep(Duration::micros(micros.into())).map_err(|_| EINTR)
    };
    fn clock_nanosleep(clock: clockid_t, flags: c_int, time: *const timespec, left: *mut timespec)
        -> c_int; inside() => {
        // Unlike its kin, it returns the error.
        Ok(match flags & TIMER_ABSTIME {
            0 => match calls::sleep(span(time)) {
                Ok(()) => 0,
                Err(rest) => { put_time(left, rest.as_nanos()); EINTR }
            },
            _ => calls::sleep_until(clock, span(time).as_nanos()).err().unwrap_or(0),
        })
    };
    fn pause() -> c_int; inside() => Err::<(), _>(calls::pause());
    fn sched_yield() -> c_int; inside() => { calls::yield_now(); Ok(0) };
    fn getrandom(to: *mut c_void, len: size_t, flags: c_uint) -> ssize_t; machine::is_run() => {
        fill(&mut room(to, len), flags & GRND_NONBLOCK == 0);
        Ok(len)
    };
    fn getentropy(to: *mut c_void, len: size_t) -> c_int; machine::is_run() => {
        fill(&mut room(to, len), true);
        Ok(0)
    };
}

/// Random bytes: a program's are draws. What the host asks for in the process of a run, its
/// allocator for one, is the same in every run.
fn fill(to: &mut [u8], waits: bool) {
    if inside() {
        call(|k| k.entropy(to, waits));
    } else {
        to.fill(0x5A);
    }
}

// ---- who and where
hooks! {
    fn getpid() -> pid_t; inside() => Ok(call(|k| 1_000 * (k.here() as i32 + 1)));
    fn getppid() -> pid_t; inside() => Ok(1);
    fn gettid() -> pid_t; inside() => Ok(call(|k| k.threads[k.current].tid));
    fn sched_getcpu() -> c_int; inside() => Ok(0);
    fn sched_getaffinity(who: pid_t, len: size_t, to: *mut cpu_set_t) -> c_int; inside() => {
        std::ptr::write_bytes(to.cast::<u8>(), 0, len);
        put(to.cast::<u8>(), 0b11);
        Ok(0)
    };
    fn sched_setaffinity(who: pid_t, len: size_t, from: *const cpu_set_t) -> c_int; inside() =>
        Ok(0);
    fn gethostname(to: *mut c_char, len: size_t) -> c_int; inside() => {
        let name = call(|k| k.nodes[k.here()].name.clone());
        if name.len() < len { give(to, &name); Ok(()) } else { Err(ENAMETOOLONG) }
    };
    fn uname(to: *mut utsname) -> c_int; inside() => {
        let name = call(|k| k.nodes[k.here()].name.clone());
        let mut machine: utsname = std::mem::zeroed();
        for (place, text) in [
            (&mut machine.sysname, "Linux"),
            (&mut machine.nodename, &name),
            (&mut machine.release, "6.12.0"),
            (&mut machine.version, "#1 SMP"),
            (&mut machine.machine, "x86_64"),
        ] {
            give(place.as_mut_ptr(), &text[..text.len().min(place.len() - 1)]);
        }
        put(to, machine);
        Ok(0)
    };
    fn sigaction(signal: c_int, new: *const sigaction, old: *mut sigaction) -> c_int; inside() => {
        let asked = (!new.is_null())
            .then(|| Action { handler: (*new).sa_sigaction, flags: (*new).sa_flags });
        enter(|k| k.set_action(signal, asked)).map(|was| {
            let mut before: sigaction = std::mem::zeroed();
            (before.sa_sigaction, before.sa_flags) = (was.handler, was.flags);
            put(old, before);
        })
    };
    fn signal(signal: c_int, handler: sighandler_t) -> sighandler_t; inside() => {
        let asked = Action { handler, flags: SA_RESTART };
        enter(|k| k.set_action(signal, Some(asked))).map(|was| was.handler)
    };
    fn raise(signal: c_int) -> c_int; inside() =>
        calls::send_signal(Some(pthread_self()), signal);
    fn kill(process: pid_t, signal: c_int) -> c_int; inside() => match process {
        one if one == getpid() || one == 0 => calls::send_signal(None, signal),
        _ => Err(ESRCH),
    };
    fn pthread_kill(thread: pthread_t, signal: c_int) -> c_int; inside() =>
        Ok(calls::send_signal(Some(thread), signal).err().unwrap_or(0));
    fn sigaltstack(new: *const stack_t, old: *mut stack_t) -> c_int; inside() => {
        // There is one already: that of the one real thread.
        put(old, stack_t { ss_sp: std::ptr::null_mut(), ss_flags: 0, ss_size: 0 });
        Ok(0)
    };
}

unsafe fn give(to: *mut c_char, name: &str) {
    // SAFETY: the caller has made sure that there is room.
    unsafe {
        std::ptr::copy_nonoverlapping(name.as_ptr(), to.cast(), name.len());
        to.add(name.len()).write(0);
    }
}

// ---- threads
hooks! {
    fn pthread_create(thread: *mut pthread_t, attributes: *const pthread_attr_t, start: Start,
        argument: *mut c_void) -> c_int; inside() => {
        let mut stack = 0;
        if !attributes.is_null() { pthread_attr_getstacksize(attributes, &raw mut stack); }
        let Some((block, handle)) = machine::take_block(stack.max(1)) else {
            return EAGAIN;
        };
        machine::begin(block, start, argument as usize);
        call(|k| k.make_thread(k.here(), block, handle));
        put(thread, handle);
        Ok(0)
    };
    fn pthread_detach(thread: pthread_t) -> c_int; inside() =>
        Ok(call(|k| k.detach(thread)).err().unwrap_or(0));
    fn pthread_join(thread: pthread_t, value: *mut *mut c_void) -> c_int; inside() =>
        Ok(match calls::join(thread) {
            Ok(returned) => { put(value, returned as *mut c_void); 0 }
            Err(error) => error,
        });
    fn pthread_setname_np(thread: pthread_t, name: *const c_char) -> c_int; inside() => Ok(0);
}

/// What a thread is made of: Rust asks for its guard, which libc does not know of, as the stack was
/// made by us.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pthread_getattr_np(
    thread: pthread_t,
    attributes: *mut pthread_attr_t,
) -> c_int {
    // SAFETY: the caller vouches for the place of the attributes, which are there after the call.
    unsafe {
        let told = real!(
            pthread_getattr_np,
            unsafe extern "C" fn(pthread_t, *mut pthread_attr_t) -> c_int
        )(thread, attributes);
        if told == 0 && inside() {
            pthread_attr_setguardsize(attributes, machine::GUARD);
        }
        told
    }
}

/// How many keys of thread-specific values there are at most (`PTHREAD_KEYS_MAX`).
const MOST_KEYS: usize = 1024;
/// By key, the destructor of its values, which the threads of programs run here; zero: none.
/// Nothing is allocated for it: an allocator may make its own key when it is first asked.
static KEYS: [AtomicUsize; MOST_KEYS] = [const { AtomicUsize::new(0) }; MOST_KEYS];

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pthread_key_create(
    key: *mut pthread_key_t,
    destructor: Option<unsafe extern "C" fn(*mut c_void)>,
) -> c_int {
    // SAFETY: the caller vouches for the place of the key, which is there after the real call.
    unsafe {
        let made = real!(
            pthread_key_create,
            unsafe extern "C" fn(
                *mut pthread_key_t,
                Option<unsafe extern "C" fn(*mut c_void)>,
            ) -> c_int
        )(key, destructor);
        if let Some(place) = KEYS.get(*key as usize).filter(|_| made == 0) {
            let destructor = destructor.map_or(0, |destructor| destructor as *const () as usize);
            place.store(destructor, Relaxed);
        }
        made
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn __cxa_thread_atexit_impl(
    destructor: unsafe extern "C" fn(*mut c_void),
    object: *mut c_void,
    library: *mut c_void,
) -> c_int {
    if inside() {
        let entry = (destructor as *const () as usize, object as usize);
        enter(|k| {
            let current = k.current;
            k.threads[current].destructors.push(entry);
        });
        return 0;
    }
    // SAFETY: the caller vouches for the object.
    unsafe {
        real!(
            __cxa_thread_atexit_impl,
            unsafe extern "C" fn(
                unsafe extern "C" fn(*mut c_void),
                *mut c_void,
                *mut c_void,
            ) -> c_int
        )(destructor, object, library)
    }
}

/// The start routine of a thread has returned: its thread-local values go, then the thread.
pub(crate) fn finish_thread(value: u64) -> ! {
    loop {
        let next = enter(|k| {
            let current = k.current;
            k.threads[current].destructors.pop()
        });
        let Some((destructor, object)) = next else { break };
        // SAFETY: the pair was registered by `__cxa_thread_atexit_impl` in this thread.
        unsafe {
            let destructor =
                std::mem::transmute::<usize, unsafe extern "C" fn(*mut c_void)>(destructor);
            destructor(object as *mut c_void);
        }
    }
    for (key, destructor) in KEYS.iter().enumerate() {
        let (key, destructor) = (key as pthread_key_t, destructor.load(Relaxed));
        if destructor == 0 {
            continue;
        }
        // SAFETY: a key that was made, and the destructor that its maker gave for its values.
        unsafe {
            let value = pthread_getspecific(key);
            if !value.is_null() {
                pthread_setspecific(key, std::ptr::null());
                let destructor =
                    std::mem::transmute::<usize, unsafe extern "C" fn(*mut c_void)>(destructor);
                destructor(value);
            }
        }
    }
    enter(|k| k.exit_thread(value));
    machine::end_thread()
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pthread_exit(value: *mut c_void) -> ! {
    if inside() {
        finish_thread(value as u64);
    }
    // SAFETY: the real thread's own value.
    unsafe { real!(pthread_exit, unsafe extern "C" fn(*mut c_void) -> !)(value) }
}

/// Ends of a process: in a program, the end of its node's.
macro_rules! ends {
    ($($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $name(code: c_int) -> ! {
            if inside() {
                outside(machine::forget_exit);
                calls::exit(code & 0xFF);
            }
            // SAFETY: the real one, which does not return.
            unsafe { real!($name, unsafe extern "C" fn(c_int) -> !)(code) }
        }
    )*};
}
ends!(exit _exit _Exit quick_exit);

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn abort() -> ! {
    if inside() {
        calls::exit(128 + SIGABRT);
    }
    // SAFETY: the real one, which does not return.
    unsafe { real!(abort, unsafe extern "C" fn() -> !)() }
}

/// What would leave the simulation: the run ends, and says which.
macro_rules! refused {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $ret:ty;)*) => {$(
        #[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $name($($arg: $type),*) -> $ret {
            if inside() {
                calls::refuse(stringify!($name));
            }
            // SAFETY: the caller vouches for its pointers as the manual of the function demands.
            unsafe { real!($name, unsafe extern "C" fn($($type),*) -> $ret)($($arg),*) }
        }
    )*};
}
type Words = *const *mut c_char;
refused! {
    fn fork() -> pid_t;
    fn execve(path: *const c_char, words: Words, environment: Words) -> c_int;
    fn execvp(path: *const c_char, words: Words) -> c_int;
    fn posix_spawn(process: *mut pid_t, path: *const c_char, actions: *const c_void,
        attributes: *const c_void, words: Words, environment: Words) -> c_int;
    fn posix_spawnp(process: *mut pid_t, path: *const c_char, actions: *const c_void,
        attributes: *const c_void, words: Words, environment: Words) -> c_int;
    fn select(count: c_int, read: *mut fd_set, write: *mut fd_set, other: *mut fd_set,
        time: *mut timeval) -> c_int;
    fn inotify_init1(flags: c_int) -> c_int;
    fn signalfd(fd: c_int, mask: *const sigset_t, flags: c_int) -> c_int;
    fn waitpid(process: pid_t, status: *mut c_int, options: c_int) -> pid_t;
}
