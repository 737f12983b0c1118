//! Descriptors, epoll, poll, sockets.

use super::*;
use crate::calls::{self, call, is_simulated as sim};
use crate::kernel::Kernel;

/// What a program prints; `None`: the descriptor is not one of its standard streams.
fn printed(fd: c_int, buffers: &[IoSlice<'_>]) -> Result<usize, Errno> {
    let all: Vec<u8> = buffers.iter().flat_map(|buffer| buffer.iter().copied()).collect();
    calls::print(fd as u8, &all);
    Ok(all.len())
}

fn is_printing(fd: c_int) -> bool {
    inside() && (fd == 1 || fd == 2)
}

// ---- descriptors
hooks! {
    fn close(fd: c_int) -> c_int; sim(fd) => call(|k| k.close(fd));
    fn dup(fd: c_int) -> c_int; sim(fd) => call(|k| k.dup(fd));
    fn dup2(fd: c_int, to: c_int) -> c_int; sim(fd) => call(|k| k.dup_to(fd, to));
    fn dup3(fd: c_int, to: c_int, flags: c_int) -> c_int; sim(fd) => call(|k| k.dup_to(fd, to));
    fn fcntl(fd: c_int, command: c_int, word: usize) -> c_int; sim(fd) =>
        control(fd, command, word);
    fn fcntl64(fd: c_int, command: c_int, word: usize) -> c_int; sim(fd) =>
        control(fd, command, word);
    fn ioctl(fd: c_int, request: c_ulong, word: usize) -> c_int; sim(fd) =>
        match request { FIONBIO => call(|k| {
            let waits = *(word as *const c_int) == 0;
            k.object(fd).map(|object| k.objects[object].nonblocking = !waits)
        }),
        FIONREAD => call(|k| k.readable(fd)).map(|count| put(word as *mut c_int, count as c_int)),
        _ => Err(ENOTTY) };
    fn read(fd: c_int, to: *mut c_void, len: size_t) -> ssize_t; sim(fd) =>
        calls::read(fd, &mut [room(to, len)]);
    fn readv(fd: c_int, to: *const iovec, count: c_int) -> ssize_t; sim(fd) =>
        calls::read(fd, rooms(to, count as usize));
    fn pipe2(ends: *mut c_int, flags: c_int) -> c_int; inside() => {
        let [read, write] = call(|k| k.pipe(flags));
        put(ends, read);
        put(ends.add(1), write);
        Ok(0)
    };
    fn pipe(ends: *mut c_int) -> c_int; inside() => Ok(pipe2(ends, 0));
    fn eventfd(count: c_uint, flags: c_int) -> c_int; inside() =>
        Ok(call(|k| k.eventfd(count, flags)));
    fn timerfd_create(clock: c_int, flags: c_int) -> c_int; inside() =>
        Ok(call(|k| k.timer_create(clock, flags)));
    fn timerfd_settime(fd: c_int, flags: c_int, new: *const itimerspec, old: *mut itimerspec)
        -> c_int; sim(fd) => {
        let (first, each) = (span(&raw const (*new).it_value), span(&raw const (*new).it_interval));
        let absolute = flags & TFD_TIMER_ABSTIME != 0;
        call(|k| k.timer_set(fd, absolute, first.as_nanos(), each.as_nanos())).map(|before| {
            if !old.is_null() {
                put_time(&raw mut (*old).it_value, before.0);
                put_time(&raw mut (*old).it_interval, before.1);
            }
        })
    };
    fn timerfd_gettime(fd: c_int, to: *mut itimerspec) -> c_int; sim(fd) =>
        call(|k| k.timer_get(fd)).map(|(left, each)| {
            put_time(&raw mut (*to).it_value, left);
            put_time(&raw mut (*to).it_interval, each);
        });
    fn epoll_create1(flags: c_int) -> c_int; inside() => Ok(call(Kernel::epoll_create));
    fn epoll_create(size: c_int) -> c_int; inside() => Ok(call(Kernel::epoll_create));
    fn epoll_ctl(epfd: c_int, operation: c_int, fd: c_int, event: *mut epoll_event) -> c_int;
        sim(epfd) => {
        let event = if event.is_null() { None } else { Some(((*event).events, (*event).u64)) };
        call(|k| k.epoll_control(epfd, operation, fd, event))
    };
    fn epoll_wait(epfd: c_int, to: *mut epoll_event, max: c_int, millis: c_int) -> c_int;
        sim(epfd) => watch(epfd, to, max, patience(millis));
    fn epoll_pwait(epfd: c_int, to: *mut epoll_event, max: c_int, millis: c_int,
        mask: *const sigset_t) -> c_int; sim(epfd) => watch(epfd, to, max, patience(millis));
    fn poll(entries: *mut pollfd, count: nfds_t, millis: c_int) -> c_int; inside() =>
        calls::poll(std::slice::from_raw_parts_mut(entries, count as usize), patience(millis));
    fn ppoll(entries: *mut pollfd, count: nfds_t, time: *const timespec, mask: *const sigset_t)
        -> c_int; inside() => {
        let patience = if time.is_null() { None } else { Some(span(time)) };
        calls::poll(std::slice::from_raw_parts_mut(entries, count as usize), patience)
    };
}

unsafe fn watch(
    epfd: c_int,
    to: *mut epoll_event,
    max: c_int,
    patience: Option<Duration>,
) -> Result<usize, Errno> {
    let max = usize::try_from(max).ok().filter(|max| *max > 0).ok_or(EINVAL)?;
    calls::epoll_wait(epfd, max, patience, |at, events, data| {
        // SAFETY: `at` is below `max`, and the caller has room for as many.
        unsafe { to.add(at).write_unaligned(epoll_event { events, u64: data }) };
    })
}

fn control(fd: c_int, command: c_int, word: usize) -> Result<i32, Errno> {
    call(|k| {
        let object = k.object(fd)?;
        Ok(match command {
            F_DUPFD | F_DUPFD_CLOEXEC => k.dup(fd)?,
            F_GETFD => FD_CLOEXEC,
            F_GETFL => {
                let waits = !k.objects[object].nonblocking;
                O_RDWR | if waits { 0 } else { O_NONBLOCK }
            }
            F_SETFL => {
                k.objects[object].nonblocking = word as c_int & O_NONBLOCK != 0;
                0
            }
            F_SETFD => 0,
            F_SETLK | F_SETLKW | F_OFD_SETLK | F_OFD_SETLKW => {
                // SAFETY: the caller vouches for the lock that it asks for.
                let wanted = unsafe { &*(word as *const flock) };
                k.may_lock(object, wanted.l_type.into(), wanted.l_start)?;
                0
            }
            // A node is one process, and has its files for itself: no other holds a lock.
            F_GETLK | F_OFD_GETLK => {
                // SAFETY: the caller vouches for the lock that it asks about.
                unsafe { (*(word as *mut flock)).l_type = F_UNLCK as c_short };
                0
            }
            _ => return Err(EINVAL),
        })
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn write(fd: c_int, from: *const c_void, len: size_t) -> ssize_t {
    // SAFETY: the caller vouches for the buffer.
    unsafe {
        match fd {
            _ if is_printing(fd) => told(printed(fd, &[bytes(from, len)])) as ssize_t,
            _ if sim(fd) => told(calls::write(fd, &[bytes(from, len)])) as ssize_t,
            _ => real!(write, unsafe extern "C" fn(c_int, *const c_void, size_t) -> ssize_t)(
                fd, from, len,
            ),
        }
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn writev(fd: c_int, from: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: the caller vouches for the buffers.
    unsafe {
        match fd {
            _ if is_printing(fd) => told(printed(fd, many(from, count as usize))) as ssize_t,
            _ if sim(fd) => told(calls::write(fd, many(from, count as usize))) as ssize_t,
            _ => real!(writev, unsafe extern "C" fn(c_int, *const iovec, c_int) -> ssize_t)(
                fd, from, count,
            ),
        }
    }
}

// ---- sockets
hooks! {
    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int; inside() =>
        call(|k| k.socket(domain, kind));
    fn socketpair(domain: c_int, kind: c_int, protocol: c_int, ends: *mut c_int) -> c_int;
        inside() => call(|k| k.socketpair(domain, kind)).map(|[one, other]| {
            put(ends, one);
            put(ends.add(1), other);
        });
    fn bind(fd: c_int, to: *const sockaddr, len: socklen_t) -> c_int; sim(fd) =>
        name(to, len).and_then(|name| calls::bind(fd, &name));
    fn listen(fd: c_int, backlog: c_int) -> c_int; sim(fd) => call(|k| k.listen(fd, backlog));
    fn connect(fd: c_int, to: *const sockaddr, len: socklen_t) -> c_int; sim(fd) =>
        name(to, len).and_then(|name| calls::connect(fd, &name));
    fn accept4(fd: c_int, to: *mut sockaddr, len: *mut socklen_t, flags: c_int) -> c_int; sim(fd) =>
        calls::accept(fd, flags).map(|(fd, name)| { put_name(&name, to, len); fd });
    fn accept(fd: c_int, to: *mut sockaddr, len: *mut socklen_t) -> c_int; sim(fd) =>
        calls::accept(fd, 0).map(|(fd, name)| { put_name(&name, to, len); fd });
    fn shutdown(fd: c_int, how: c_int) -> c_int; sim(fd) => call(|k| k.shutdown(fd, how));
    fn getsockname(fd: c_int, to: *mut sockaddr, len: *mut socklen_t) -> c_int; sim(fd) =>
        call(|k| k.name(fd, false)).map(|name| put_name(&name, to, len));
    fn getpeername(fd: c_int, to: *mut sockaddr, len: *mut socklen_t) -> c_int; sim(fd) =>
        call(|k| k.name(fd, true)).map(|name| put_name(&name, to, len));
    fn getsockopt(fd: c_int, level: c_int, option: c_int, to: *mut c_void, len: *mut socklen_t)
        -> c_int; sim(fd) => calls::socket_option(fd, level, option).map(|value| {
            if *len >= 4 {
                put(to.cast(), value);
                *len = 4;
            }
        });
    fn setsockopt(fd: c_int, level: c_int, option: c_int, from: *const c_void, len: socklen_t)
        -> c_int; sim(fd) => {
        let word = |at: usize| from.cast::<i64>().add(at).read_unaligned();
        let wide = match len {
            16.. => Some([word(0), word(1)]),
            8.. => Some([word(0), 0]),
            _ => None,
        };
        let value = if len >= 4 { from.cast::<c_int>().read_unaligned() } else { 0 };
        calls::set_socket_option(fd, level, option, value, wide)
    };
    fn send(fd: c_int, from: *const c_void, len: size_t, flags: c_int) -> ssize_t; sim(fd) =>
        calls::send(fd, &[bytes(from, len)], flags, None);
    fn sendto(fd: c_int, from: *const c_void, len: size_t, flags: c_int, to: *const sockaddr,
        to_len: socklen_t) -> ssize_t; sim(fd) => {
        let to = if to.is_null() { Ok(None) } else { name(to, to_len).map(Some) };
        to.and_then(|to| calls::send(fd, &[bytes(from, len)], flags, to.as_ref()))
    };
    fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t; sim(fd) =>
        send_message(fd, message, flags);
    fn sendmmsg(fd: c_int, all: *mut mmsghdr, count: c_uint, flags: c_int) -> c_int; sim(fd) =>
        several(count, |at| {
            let one = all.add(at);
            send_message(fd, &raw const (*one).msg_hdr, flags)
                .map(|sent| (*one).msg_len = sent as c_uint)
        });
    fn recv(fd: c_int, to: *mut c_void, len: size_t, flags: c_int) -> ssize_t; sim(fd) =>
        calls::receive(fd, &mut [room(to, len)], flags);
    fn recvfrom(fd: c_int, to: *mut c_void, len: size_t, flags: c_int, from: *mut sockaddr,
        from_len: *mut socklen_t) -> ssize_t; sim(fd) =>
        calls::receive_from(fd, &mut [room(to, len)], flags).map(|(count, name)| {
            if let Some(name) = name { put_name(&name, from, from_len); }
            count
        });
    fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t; sim(fd) =>
        receive_message(fd, message, flags);
    fn recvmmsg(fd: c_int, all: *mut mmsghdr, count: c_uint, flags: c_int, time: *mut timespec)
        -> c_int; sim(fd) => several(count, |at| {
            let one = all.add(at);
            let flags = if at > 0 { flags | MSG_DONTWAIT } else { flags };
            receive_message(fd, &raw mut (*one).msg_hdr, flags)
                .map(|got| (*one).msg_len = got as c_uint)
        });
}

/// How many of several messages went, or why the first did not.
fn several(count: c_uint, mut one: impl FnMut(usize) -> Result<(), Errno>) -> Result<u32, Errno> {
    for at in 0..count {
        match one(at as usize) {
            Ok(()) => {}
            Err(error) if at == 0 => return Err(error),
            Err(_) => return Ok(at),
        }
    }
    Ok(count)
}

unsafe fn send_message(fd: c_int, message: *const msghdr, flags: c_int) -> Result<usize, Errno> {
    // SAFETY: the caller vouches for the message and what it points to.
    unsafe {
        let message = &*message;
        let to = match message.msg_name.is_null() {
            true => None,
            false => Some(name(message.msg_name.cast(), message.msg_namelen)?),
        };
        calls::send(fd, many(message.msg_iov, message.msg_iovlen), flags, to.as_ref())
    }
}

unsafe fn receive_message(fd: c_int, message: *mut msghdr, flags: c_int) -> Result<usize, Errno> {
    // SAFETY: the caller vouches for the message and what it points to.
    unsafe {
        let message = &mut *message;
        let buffers = rooms(message.msg_iov, message.msg_iovlen);
        let (count, from) = calls::receive_from(fd, buffers, flags)?;
        (message.msg_controllen, message.msg_flags) = (0, 0);
        match from {
            Some(name) => put_name(&name, message.msg_name.cast(), &raw mut message.msg_namelen),
            None => message.msg_namelen = 0,
        }
        Ok(count)
    }
}
