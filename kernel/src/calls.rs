//! The calls of programs, in Rust's words: what waits, waits here.
//!
//! The hooks turn pointers into slices and numbers and call these; each lends the kernel for as
//! long as one attempt takes, and gives way to other threads in between.

mod rest;

use rest::{Signalled, give_way};
pub(crate) use rest::{pause, send_signal, sleep, sleep_until, yield_now};

use crate::backstop::{self, Policy};
use crate::fd::{FIRST, Kind, RECORDS};
use crate::file::Status;
use crate::kernel::{Errno, Kernel};
use crate::machine::{enter, in_program};
use crate::run;
use crate::socket::Name;
use crate::trace::{Happening, digest};
use seedfall_sim::{Duration, Time};
use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which of a socket's time-outs bounds a wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// `SO_RCVTIMEO`.
    Receive = 0,
    /// `SO_SNDTIMEO`.
    Send = 1,
}

/// Whether a descriptor is a simulated one, asked for by a program; or none at all, as which an
/// error of `open` is handed on.
#[inline]
pub(crate) fn is_simulated(fd: i32) -> bool {
    in_program() && (fd >= FIRST || fd == -1)
}

/// A call that never waits. One that is made again and again without a wait in between gives way
/// now and then, so that time goes on.
#[inline]
pub(crate) fn call<R>(work: impl FnOnce(&mut Kernel) -> R) -> R {
    let (result, rests) = enter(|kernel| {
        kernel.calls += 1;
        let result = work(kernel);
        (result, kernel.count_call())
    });
    if rests {
        end_slice();
    }
    result
}

/// The slice of the running thread is used up.
#[cold]
fn end_slice() {
    enter(Kernel::end_slice);
    give_way();
}

/// A call on a descriptor that waits while it is told `EAGAIN`, unless the descriptor or this call
/// does not wait.
pub(crate) fn wait_on<T>(
    fd: i32,
    waits: bool,
    bound: Bound,
    mut attempt: impl FnMut(&mut Kernel) -> Result<T, Errno>,
) -> Result<T, Errno> {
    /// What an attempt came to.
    enum Tried<T> {
        Done(Result<T, Errno>, bool),
        Parked,
    }
    let mut deadline: Option<Option<Time>> = None;
    loop {
        let tried = enter(|kernel| {
            kernel.calls += 1;
            let result = attempt(kernel);
            if !waits || !matches!(result, Err(libc::EAGAIN)) {
                return Tried::Done(result, kernel.count_call());
            }
            let timed_out = deadline.is_some() && kernel.threads[kernel.current].timed_out;
            let object = kernel.object(fd).ok();
            let waits = |object: &usize| !kernel.objects[*object].nonblocking && !timed_out;
            let Some(object) = object.filter(waits) else {
                return Tried::Done(result, kernel.count_call());
            };
            let until = *deadline.get_or_insert_with(|| {
                kernel.time_limit(object, bound).map(|span| kernel.ring(span))
            });
            kernel.wait_for(object);
            kernel.park(until);
            Tried::Parked
        });
        match tried {
            Tried::Done(result, rests) => {
                if rests {
                    end_slice();
                }
                return result;
            }
            Tried::Parked => {
                if give_way() == Signalled::Breaks {
                    return Err(libc::EINTR);
                }
            }
        }
    }
}

impl Kernel {
    /// How long a call on a socket waits at most.
    fn time_limit(&self, object: usize, bound: Bound) -> Option<Duration> {
        match &self.objects[object].kind {
            Kind::Socket(socket) => socket.timeouts[bound as usize],
            _ => None,
        }
    }
}

/// `read`, `readv`.
pub(crate) fn read(fd: i32, buffers: &mut [IoSliceMut<'_>]) -> Result<usize, Errno> {
    wait_on(fd, true, Bound::Receive, |kernel| kernel.read(fd, buffers))
}

/// `fsync` and its kin: on a slow disk, the thread waits for it.
pub(crate) fn sync(fd: i32) -> Result<(), Errno> {
    wait_for_disk(|kernel| kernel.stall(fd));
    call(|kernel| kernel.sync(fd))
}

/// `msync`, likewise.
pub(crate) fn sync_map(start: usize, length: usize, flags: i32) -> Result<(), Errno> {
    wait_for_disk(|kernel| kernel.stall_of_map(start, flags));
    call(|kernel| kernel.sync_map(start, length, flags))
}

/// `flock`.
pub(crate) fn lock(fd: i32, operation: i32) -> Result<(), Errno> {
    let waits = operation & libc::LOCK_NB == 0;
    wait_on(fd, waits, Bound::Send, |kernel| kernel.lock(fd, operation & !libc::LOCK_NB))
}

/// A write that is synced waits for a slow disk.
pub(crate) fn wait_to_write(fd: i32) {
    wait_for_disk(|kernel| kernel.stall_of_write(fd));
}

fn wait_for_disk(stall: impl FnOnce(&mut Kernel) -> Option<Duration>) {
    let until = enter(|kernel| stall(kernel).map(|span| kernel.now + span));
    let Some(until) = until else { return };
    // Signals do not interrupt it.
    loop {
        enter(|kernel| kernel.park(Some(until)));
        give_way();
        if enter(|kernel| until <= kernel.now) {
            return;
        }
    }
}

/// `write`, `writev`: all of it, if the descriptor waits.
pub(crate) fn write(fd: i32, buffers: &[IoSlice<'_>]) -> Result<usize, Errno> {
    if fd == RECORDS {
        return Ok(record(buffers));
    }
    wait_to_write(fd);
    send_all(fd, buffers, true, |kernel, rest| kernel.write(fd, rest))
}

/// Sends the whole of some buffers, waiting for room in between; how much, if it fails midway.
fn send_all(
    fd: i32,
    buffers: &[IoSlice<'_>],
    waits: bool,
    mut send: impl FnMut(&mut Kernel, &[IoSlice<'_>]) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let total = crate::fd::total(buffers);
    let mut sent = wait_on(fd, waits, Bound::Send, |kernel| send(kernel, buffers))?;
    while sent < total && waits && enter(|kernel| kernel.is_blocking(fd)) {
        let mut skip = sent;
        let rest: Vec<IoSlice<'_>> = buffers
            .iter()
            .filter_map(|buffer| {
                let skipped = skip.min(buffer.len());
                skip -= skipped;
                buffer.get(skipped..).filter(|rest| !rest.is_empty()).map(IoSlice::new)
            })
            .collect();
        match wait_on(fd, waits, Bound::Send, |kernel| send(kernel, &rest)) {
            Ok(0) | Err(_) => break,
            Ok(more) => sent += more,
        }
    }
    Ok(sent)
}

/// `send`, `sendto`, `sendmsg`.
pub(crate) fn send(
    fd: i32,
    buffers: &[IoSlice<'_>],
    flags: i32,
    to: Option<&Name>,
) -> Result<usize, Errno> {
    let waits = flags & libc::MSG_DONTWAIT == 0;
    send_all(fd, buffers, waits, |kernel, rest| {
        let object = kernel.object(fd)?;
        kernel.send(object, rest, to)
    })
}

/// `recv`.
pub(crate) fn receive(fd: i32, buffers: &mut [IoSliceMut<'_>], flags: i32) -> Result<usize, Errno> {
    let waits = flags & libc::MSG_DONTWAIT == 0;
    wait_on(fd, waits, Bound::Receive, |kernel| {
        let object = kernel.object(fd)?;
        kernel.receive(object, buffers, flags)
    })
}

/// `recvfrom`, `recvmsg`: who has sent a datagram, too.
pub(crate) fn receive_from(
    fd: i32,
    buffers: &mut [IoSliceMut<'_>],
    flags: i32,
) -> Result<(usize, Option<Name>), Errno> {
    let waits = flags & libc::MSG_DONTWAIT == 0;
    wait_on(fd, waits, Bound::Receive, |kernel| {
        let object = kernel.object(fd)?;
        kernel.receive_from(object, buffers, flags)
    })
}

/// `accept4`.
pub(crate) fn accept(fd: i32, flags: i32) -> Result<(i32, Name), Errno> {
    wait_on(fd, true, Bound::Receive, |kernel| kernel.accept(fd, flags))
}

/// `connect`.
pub(crate) fn connect(fd: i32, name: &Name) -> Result<(), Errno> {
    match call(|kernel| kernel.connect(fd, name)) {
        Err(libc::EINPROGRESS) if enter(|kernel| kernel.is_blocking(fd)) => {
            let done = wait_on(fd, true, Bound::Send, |kernel| kernel.connected(fd));
            done.map_err(|error| if error == libc::EAGAIN { libc::EINPROGRESS } else { error })
        }
        result => result,
    }
}

/// `epoll_wait`: up to `limit` events by way of `tell`, within so many milliseconds (negative: for
/// ever).
pub(crate) fn epoll_wait(
    epfd: i32,
    limit: usize,
    timeout: Option<Duration>,
    mut tell: impl FnMut(usize, u32, u64),
) -> Result<usize, Errno> {
    let mut deadline: Option<Option<Time>> = None;
    loop {
        let parked = enter(|kernel| {
            kernel.calls += 1;
            match kernel.epoll_collect(epfd, limit, &mut tell) {
                Err(libc::EAGAIN) => {}
                result => return Some((result, kernel.count_call())),
            }
            let timed_out = deadline.is_some() && kernel.threads[kernel.current].timed_out;
            if timed_out || timeout == Some(Duration::ZERO) {
                return Some((Ok(0), kernel.count_call()));
            }
            let until = *deadline.get_or_insert_with(|| timeout.map(|span| kernel.ring(span)));
            if let Ok(object) = kernel.object(epfd) {
                kernel.wait_for(object);
            }
            kernel.park(until);
            None
        });
        match parked {
            None if give_way() > Signalled::No => return Err(libc::EINTR),
            None => {}
            Some((result, rests)) => {
                if rests {
                    end_slice();
                }
                return result;
            }
        }
    }
}

/// `poll`, `ppoll`.
pub(crate) fn poll(
    entries: &mut [libc::pollfd],
    timeout: Option<Duration>,
) -> Result<usize, Errno> {
    let mut deadline: Option<Option<Time>> = None;
    loop {
        let parked = enter(|kernel| {
            kernel.calls += 1;
            let mut ready = 0;
            for entry in entries.iter_mut() {
                entry.revents = kernel.poll_one(entry.fd, entry.events);
                ready += usize::from(entry.revents != 0);
            }
            let timed_out = deadline.is_some() && kernel.threads[kernel.current].timed_out;
            if ready > 0 || timed_out || timeout == Some(Duration::ZERO) {
                return Some((ready, kernel.count_call()));
            }
            let until = *deadline.get_or_insert_with(|| timeout.map(|span| kernel.ring(span)));
            for entry in entries.iter() {
                if let Ok(object) = kernel.object(entry.fd) {
                    kernel.wait_for(object);
                }
            }
            kernel.park(until);
            None
        });
        match parked {
            None if give_way() > Signalled::No => return Err(libc::EINTR),
            None => {}
            Some((ready, rests)) => {
                if rests {
                    end_slice();
                }
                return Ok(ready);
            }
        }
    }
}

/// What a clock shows.
#[inline]
pub(crate) fn clock(clock: libc::clockid_t) -> u64 {
    match call(|kernel| kernel.right_clock(clock)) {
        Some(reading) => reading,
        None => enter(|kernel| kernel.clock(clock)),
    }
}

/// How long a futex is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// For ever.
    Endless,
    /// For so long.
    For(Duration),
    /// Until a clock shows these nanoseconds.
    Until(libc::clockid_t, u64),
}

/// Waits for a wake of a word that was seen to be as expected.
pub(crate) fn futex_wait(word: usize, bits: u32, patience: Patience) -> Result<(), Errno> {
    enter(|kernel| {
        kernel.calls += 1;
        let until = match patience {
            Patience::Endless => None,
            Patience::For(span) => Some(kernel.ring(span)),
            Patience::Until(clock, nanos) => Some(kernel.ring_at(clock, nanos)),
        };
        kernel.futex_wait(word, bits);
        kernel.park(until);
    });
    if give_way() > Signalled::No {
        return Err(libc::EINTR);
    }
    let timed_out = enter(|kernel| kernel.threads[kernel.current].timed_out);
    if timed_out { Err(libc::ETIMEDOUT) } else { Ok(()) }
}

/// Waits for the end of a thread: what it returned.
pub(crate) fn join(handle: u64) -> Result<u64, Errno> {
    loop {
        let joined = enter(|kernel| {
            let joined = kernel.join(handle);
            if joined == Err(libc::EAGAIN) {
                kernel.park(None);
            }
            joined
        });
        match joined {
            Err(libc::EAGAIN) => {
                give_way();
            }
            joined => return joined,
        }
    }
}

/// Something that a program prints.
pub(crate) fn print(stream: u8, bytes: &[u8]) {
    let (node, at) = enter(|kernel| {
        let node = kernel.here();
        // What goes to standard error is a backtrace now and then, which differs between builds.
        if stream == 1 {
            let text = |_: &Kernel| String::from_utf8_lossy(bytes).trim_end().to_owned();
            kernel.record_text(Happening::Output, node, node, digest(bytes), text);
        }
        (node, kernel.now)
    });
    run::tell(run::Told::Output { node, at, stream, bytes });
}

/// Something that `antithesis_sdk` reports of a program.
fn record(buffers: &[IoSlice<'_>]) -> usize {
    let (node, at) = enter(|kernel| (kernel.here(), kernel.now));
    let bytes: Vec<u8> = buffers.iter().flat_map(|buffer| buffer.iter().copied()).collect();
    run::tell(run::Told::Record { node, at, bytes: &bytes });
    bytes.len()
}

/// Says something to whoever reads the report: what the program was told was a number.
fn hint(words: impl FnOnce(&mut Kernel, &str) -> String) {
    let (node, at, text) = enter(|kernel| {
        let node = kernel.here();
        let name = kernel.nodes[node].name.clone();
        (node, kernel.now, words(kernel, &name))
    });
    run::tell(run::Told::Hint { node, at, text: &text });
}

/// `bind`.
pub(crate) fn bind(fd: i32, name: &Name) -> Result<(), Errno> {
    let bound = call(|kernel| kernel.bind(fd, name));
    if let (Err(libc::EADDRINUSE), Name::Inet(address)) = (bound, name) {
        hint(|_, node| format!("port {} of `{node}` is taken already", address.port()));
    }
    bound
}

/// A program asked for a name that nobody has.
pub(crate) fn hint_names(name: &str) {
    hint(|kernel, _| {
        let names = kernel.nodes.iter().map(|node| format!("`{}`", node.name));
        let names: Vec<String> = names.collect();
        format!("nobody is called `{name}`: there are {}", names.join(", "))
    });
}

/// A program makes a file in a folder that is not there.
pub(crate) fn hint_folder(path: &str) {
    hint(|kernel, node| {
        let whole = kernel.whole_path(path);
        let folder = whole.rsplit_once('/').map_or("/", |(folder, _)| folder);
        format!(
            "`{node}` has no folder {folder} for {whole}: a program makes it, or an image has it"
        )
    });
}

/// The program of the running thread ends; its machine lives on.
pub(crate) fn exit(code: i32) -> ! {
    let (node, at, excused) = enter(|kernel| {
        let node = kernel.here();
        kernel.exit(node, code);
        (node, kernel.now, kernel.is_excused(node) || kernel.ended_as_told(node, code))
    });
    run::tell(run::Told::Exit { node, at, code, excused });
    give_way();
    unreachable!("the threads of a program that has ended are not resumed");
}

/// A program asks for what nobody simulates: the run ends, and says so.
pub(crate) fn refuse(name: &str) -> ! {
    run::record_end(&format!("by a call of {name}, which is not simulated"));
    run::stopped(run::Stop::Unsupported(name.to_owned()))
}

/// What becomes of a system call that no hook serves.
pub(crate) fn unserved(number: i64) -> Option<Errno> {
    match backstop::policy(number) {
        Policy::Real => None,
        Policy::Absent => Some(libc::ENOSYS),
        Policy::Refused => refuse(&format!("the system call {}", backstop::name(number))),
    }
}

/// The addresses of a name, as getaddrinfo tells them. `None`: nobody has that name.
pub(crate) fn resolve(name: Option<&str>, family: i32, passive: bool) -> Option<Vec<IpAddr>> {
    let wants = |address: &IpAddr| match family {
        libc::AF_INET => address.is_ipv4(),
        libc::AF_INET6 => address.is_ipv6(),
        _ => true,
    };
    let both = |v4: Ipv4Addr, v6: Ipv6Addr| vec![IpAddr::V4(v4), IpAddr::V6(v6)];
    let all = match name {
        None if passive => both(Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED),
        None | Some("localhost") => both(Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST),
        Some(name) => match name.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => call(|kernel| {
                let node = kernel.nodes.iter().find(|node| node.name == name)?;
                // Whoever does not ask for IPv6 gets IPv4, as in a network without it.
                Some(match family {
                    libc::AF_INET6 => vec![node.v6.into()],
                    _ => vec![IpAddr::V4(node.v4)],
                })
            })?,
        },
    };
    let found: Vec<IpAddr> = all.into_iter().filter(wants).collect();
    Some(found).filter(|found| !found.is_empty())
}

/// Files of the real machine that programs may read: the program itself and its libraries, which a
/// backtrace and the loader read, and the tables of time zones.
pub(crate) fn is_real_path(path: &str) -> bool {
    const REAL: [&str; 6] = [
        "/proc/self/maps",
        "/proc/self/exe",
        "/usr/lib",
        "/lib",
        "/usr/share/zoneinfo",
        "/etc/ssl",
    ];
    let own = || crate::start::executable().is_some_and(|own| own == path);
    REAL.iter().any(|real| path.starts_with(real)) || own()
}

/// A call on a path: the files of the program's node.
pub(crate) fn on_path<T>(
    path: &str,
    work: impl FnOnce(&mut Kernel, &str, u64) -> Result<T, Errno>,
) -> Result<T, Errno> {
    call(|kernel| {
        let whole = kernel.whole_path(path);
        let now = kernel.wall();
        work(kernel, &whole, now)
    })
}

/// The number of the device that has the running program's files. It is another one for each node
/// and each life of its program: libraries know open files by device and inode, in statics, which
/// all of them share (`SQLite` notes there who has locked what).
pub(crate) fn device() -> (u32, u32) {
    enter(|kernel| {
        let here = kernel.here();
        (8 + here as u32, kernel.nodes[here].starts)
    })
}

/// The status of a path at an open folder, or of a descriptor.
pub(crate) fn status(folder: i32, path: &str, flags: i32) -> Result<Status, Errno> {
    call(|kernel| kernel.status(folder, path, flags))
}

/// An option of a socket: its value, as an `int`.
pub(crate) fn socket_option(fd: i32, level: i32, option: i32) -> Result<i32, Errno> {
    call(|kernel| {
        let object = kernel.object(fd)?;
        let listens = kernel.backlog(object).is_some();
        let socket = kernel.socket_of(object)?;
        Ok(match (level, option) {
            (libc::SOL_SOCKET, libc::SO_ERROR) => socket.error.take().unwrap_or(0),
            (libc::SOL_SOCKET, libc::SO_TYPE) if socket.mailbox.is_some() => libc::SOCK_DGRAM,
            (libc::SOL_SOCKET, libc::SO_TYPE) => libc::SOCK_STREAM,
            (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => listens.into(),
            (libc::SOL_SOCKET, libc::SO_DOMAIN) => match socket.family {
                crate::socket::Family::V4 => libc::AF_INET,
                crate::socket::Family::V6 => libc::AF_INET6,
                _ => libc::AF_UNIX,
            },
            (libc::SOL_SOCKET, libc::SO_SNDBUF | libc::SO_RCVBUF) => 256 << 10,
            key => socket.options.get(&key).copied().unwrap_or(0),
        })
    })
}

/// Sets an option of a socket to an `int`, or to what `wide` tells of its two words.
pub(crate) fn set_socket_option(
    fd: i32,
    level: i32,
    option: i32,
    value: i32,
    wide: Option<[i64; 2]>,
) -> Result<(), Errno> {
    call(|kernel| {
        let object = kernel.object(fd)?;
        let socket = kernel.socket_of(object)?;
        let span = wide.map(|[seconds, micros]| {
            Duration::micros((seconds as u64).saturating_mul(1_000_000) + micros as u64)
        });
        let span = span.filter(|span| *span > Duration::ZERO);
        match (level, option) {
            (libc::SOL_SOCKET, libc::SO_RCVTIMEO) => socket.timeouts[0] = span,
            (libc::SOL_SOCKET, libc::SO_SNDTIMEO) => socket.timeouts[1] = span,
            (libc::SOL_SOCKET, libc::SO_LINGER) => {
                // On and off in the low word, seconds in the high one.
                let linger = wide.map_or(0, |[first, _]| first);
                socket.aborts = linger as i32 != 0 && linger >> 32 == 0;
            }
            key => drop(socket.options.insert(key, value)),
        }
        Ok(())
    })
}
