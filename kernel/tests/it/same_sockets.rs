//! The same random calls on sockets of one machine, simulated and real: results, errors, what
//! `poll` and an edge-triggered epoll say.
//!
//! Nothing waits: sockets do not block, and after each call there is time for what it sent to
//! arrive. How much a buffer holds is each kernel's own, so that buffers are never full.

#![expect(unsafe_code, reason = "these are the calls of libc themselves")]

use crate::same::{Numbers, compare, contents, outcome};
use libc::c_int;
use seedfall_kernel::{Ended, Simulation, isolated, note};
use std::sync::Arc;
use std::time::Duration;

const SLOTS: usize = 6;
const CALLS: usize = 60;

#[derive(Clone, Copy, Debug)]
struct Call {
    what: What,
    slot: usize,
    other: usize,
    len: usize,
    flags: c_int,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Listen,
    Connect,
    /// To a port at which nobody listens.
    ConnectNowhere,
    /// Connects a socket that is there.
    ConnectAgain,
    Accept,
    Send,
    Receive,
    Shutdown,
    Close,
    /// From now on a close is a reset.
    Abort,
    Error,
    Poll,
    Wait,
    Peer,
}

const ALL: [What; 18] = {
    use What::*;
    [
        Listen,
        Connect,
        Connect,
        ConnectNowhere,
        ConnectAgain,
        Accept,
        Accept,
        Send,
        Send,
        Receive,
        Receive,
        Shutdown,
        Close,
        Abort,
        Error,
        Poll,
        Wait,
        Peer,
    ]
};

fn program(seed: u64) -> Vec<Call> {
    let mut numbers = Numbers(seed);
    let call = |place: usize| {
        let what = if place == 0 { What::Listen } else { numbers.of(&ALL) };
        Call {
            what,
            slot: if place == 0 { 0 } else { numbers.below(SLOTS) },
            other: numbers.below(SLOTS),
            len: numbers.of(&[0, 1, 10, 100, 500]),
            flags: match what {
                What::Shutdown => numbers.of(&[libc::SHUT_RD, libc::SHUT_WR, libc::SHUT_RDWR]),
                _ => numbers.of(&[0, 0, libc::MSG_PEEK]),
            },
        }
    };
    (0..CALLS).map(call).collect()
}

/// The sockets of one program, and the epoll that watches them all.
struct Sockets {
    slots: [c_int; SLOTS],
    watch: c_int,
}

const EDGES: u32 = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET) as u32;

impl Sockets {
    fn new() -> Self {
        // SAFETY: a number in, a number out.
        Self { slots: [-1; SLOTS], watch: unsafe { libc::epoll_create1(0) } }
    }

    /// A descriptor has a place from now on; what was there is closed.
    fn put(&mut self, slot: usize, fd: c_int) {
        // SAFETY: descriptors that were opened here, or none.
        unsafe {
            libc::close(self.slots[slot]);
            self.slots[slot] = fd;
            let mut event = libc::epoll_event { events: EDGES, u64: slot as u64 };
            libc::epoll_ctl(self.watch, libc::EPOLL_CTL_ADD, fd, &raw mut event);
        }
    }

    fn fresh() -> c_int {
        // SAFETY: numbers.
        unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0) }
    }

    fn peer(fd: c_int) -> c_int {
        let (mut at, mut size) = address(0);
        // SAFETY: places of our own.
        unsafe { libc::getpeername(fd, (&raw mut at).cast(), &raw mut size) }
    }

    fn end(&mut self) {
        for fd in self.slots.into_iter().chain([self.watch]) {
            // SAFETY: descriptors that were opened here, or none.
            unsafe { libc::close(fd) };
        }
    }

    fn done(&mut self, call: &Call, place: usize) -> String {
        let Call { what, slot, other, len, flags } = *call;
        let fd = self.slots[slot];
        // SAFETY: places of our own.
        let port = |slot: usize| unsafe { port_of(self.slots[slot]) };
        if what == What::Connect && (slot == other || port(slot) == port(other)) {
            // The one that listens there would be gone before anything arrives.
            return "its own place".to_owned();
        }
        let mut bytes = vec![0x21 + (place % 90) as u8; len];
        // SAFETY: buffers as long as is said, and places of results our own.
        unsafe {
            match what {
                What::Listen => {
                    let fd = Self::fresh();
                    let (at, size) = address(0);
                    libc::bind(fd, (&raw const at).cast(), size);
                    let listens = libc::listen(fd, 8);
                    self.put(slot, fd);
                    outcome(listens.into())
                }
                What::Connect | What::ConnectNowhere | What::ConnectAgain => self.connect(call),
                What::Accept => {
                    let (none, size) = (std::ptr::null_mut(), std::ptr::null_mut());
                    let made = libc::accept4(fd, none, size, libc::SOCK_NONBLOCK);
                    let told = outcome(made.min(0).into());
                    if made >= 0 {
                        self.put(other, made);
                    }
                    told
                }
                What::Send => {
                    let sent = libc::send(fd, bytes.as_ptr().cast(), len, libc::MSG_NOSIGNAL);
                    outcome(sent as i64)
                }
                What::Receive => {
                    contents(libc::recv(fd, bytes.as_mut_ptr().cast(), len, flags), &bytes)
                }
                // Linux lets sockets that are not connected be shut down, and has ways of its own
                // with them then.
                What::Shutdown if Self::peer(fd) < 0 => "not connected".to_owned(),
                What::Shutdown => outcome(libc::shutdown(fd, flags).into()),
                What::Close => {
                    self.slots[slot] = -1;
                    outcome(libc::close(fd).into())
                }
                What::Abort => {
                    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
                    let (level, option) = (libc::SOL_SOCKET, libc::SO_LINGER);
                    let size = size_of::<libc::linger>() as libc::socklen_t;
                    let value = (&raw const linger).cast();
                    outcome(libc::setsockopt(fd, level, option, value, size).into())
                }
                What::Error => {
                    let (mut error, mut size) = (0, size_of::<c_int>() as libc::socklen_t);
                    let (level, option) = (libc::SOL_SOCKET, libc::SO_ERROR);
                    let value = (&raw mut error).cast();
                    let got = libc::getsockopt(fd, level, option, value, &raw mut size);
                    format!("{} {error}", outcome(got.into()))
                }
                What::Poll => {
                    let events = libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP;
                    let mut polled = libc::pollfd { fd, events, revents: 0 };
                    let count = libc::poll(&raw mut polled, 1, 0);
                    format!("{} {:x}", outcome(count.into()), polled.revents)
                }
                What::Wait => self.edges(),
                What::Peer => outcome(Self::peer(fd).into()),
            }
        }
    }

    unsafe fn connect(&mut self, call: &Call) -> String {
        let Call { what, slot, other, .. } = *call;
        // SAFETY: places of our own.
        unsafe {
            let port = match what {
                What::ConnectNowhere => 1,
                _ => port_of(self.slots[other]),
            };
            let (at, size) = address(port);
            let again = what == What::ConnectAgain;
            let fd = if again { self.slots[slot] } else { Self::fresh() };
            let told = outcome(libc::connect(fd, (&raw const at).cast(), size).into());
            if !again {
                self.put(slot, fd);
            }
            told
        }
    }

    /// What the epoll has to say, by place.
    fn edges(&self) -> String {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; SLOTS];
        // SAFETY: a buffer as long as is said.
        let count = unsafe { libc::epoll_wait(self.watch, events.as_mut_ptr(), SLOTS as c_int, 0) };
        let told = |event: &libc::epoll_event| {
            let (slot, mask) = (event.u64, event.events);
            format!("{slot}:{mask:x}")
        };
        let mut all: Vec<String> = events[..count.max(0) as usize].iter().map(told).collect();
        all.sort();
        all.join(" ")
    }
}

fn address(port: u16) -> (libc::sockaddr_in, libc::socklen_t) {
    let loopback = libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) };
    let at = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: port.to_be(),
        sin_addr: loopback,
        sin_zero: [0; 8],
    };
    (at, size_of::<libc::sockaddr_in>() as libc::socklen_t)
}

/// The port that a socket is bound to; one at which nobody listens, if there is none.
unsafe fn port_of(fd: c_int) -> u16 {
    let (mut at, mut size) = address(0);
    // SAFETY: places of our own.
    let got = unsafe { libc::getsockname(fd, (&raw mut at).cast(), &raw mut size) };
    let port = u16::from_be(at.sin_port);
    if got < 0 || port == 0 { 1 } else { port }
}

/// Does the calls, each with time for what it sent, and tells what each came to.
fn run(calls: &[Call], time: Duration, mut tell: impl FnMut(String)) {
    let mut sockets = Sockets::new();
    for (place, call) in calls.iter().enumerate() {
        tell(sockets.done(call, place));
        std::thread::sleep(time);
    }
    sockets.end();
}

fn simulated(calls: &[Call]) -> Vec<String> {
    let calls: Arc<[Call]> = calls.into();
    let time = Duration::from_millis(20);
    let main = move |_| run(&calls, time, |told| note(told.as_bytes()));
    let report = Simulation::new(1).client_main("one", main).run();
    assert_eq!((&report.failures, report.ended), (&vec![], Ended::Finished));
    report.notes_as_text()
}

fn real(calls: &[Call], patience: u32) -> Vec<String> {
    let mut all = Vec::new();
    run(calls, patience * Duration::from_micros(50), |told| all.push(told));
    all
}

#[test]
fn a_thousand_programs_of_sockets_are_answered_as_by_the_real_kernel() {
    isolated(|| compare(0..1_000, program, simulated, real));
}

/// One of ten thousand, of which the others never had that.
#[test]
fn a_socket_whose_connection_died_is_connected_anew() {
    isolated(|| compare(9_463..9_464, program, simulated, real));
}

#[test]
#[ignore = "ten times the one above"]
fn ten_thousand_programs_of_sockets_are_answered_as_by_the_real_kernel() {
    isolated(|| compare(0..10_000, program, simulated, real));
}
