//! A process that does nothing but fork runs: what the process that asks for them does meanwhile,
//! its threads, its heap, its statics, is not in them.

use super::process::{Child, begin_run, report, report_to};
use super::*;
use std::fs::File;
use std::io::{self, PipeWriter, Read, Seek, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// What is handed over with each request: what is asked for, and where to report to.
const HANDED: usize = 3;

/// Room for the descriptors of a request, aligned as the header before them is.
#[repr(C, align(8))]
struct Ancillary([u8; 64]);

/// A process that forks a run for each request.
#[derive(Debug)]
pub(crate) struct Zygote {
    requests: UnixStream,
    process: libc::pid_t,
}

impl Zygote {
    /// Forks it as this process is now. For each request a fork of it has so many donated threads,
    /// does `work` with the bytes that were asked for, and ends.
    pub(crate) fn new(threads: usize, work: impl Fn(&[u8])) -> io::Result<Self> {
        let mut pool = pool(threads);
        let (requests, own) = UnixStream::pair()?;
        // SAFETY: plain libc calls. The child goes on with the one thread that called, and leaves
        // by `_exit`, so that nothing of the parent's runs twice.
        unsafe {
            match libc::fork() {
                -1 => Err(io::Error::last_os_error()),
                0 => {
                    drop(requests);
                    serve(&own, &mut std::mem::take(&mut *pool), &work);
                    libc::_exit(0)
                }
                process => Ok(Self { requests, process }),
            }
        }
    }

    /// Forks a run.
    pub(crate) fn fork(&self, asked: &[u8]) -> io::Result<Child> {
        // Nobody forks this process meanwhile: the ends that are handed over are in no other child.
        let _alone = pool(0);
        // SAFETY: a plain libc call, which makes a descriptor that nobody else has.
        let mut paper = unsafe {
            let paper = libc::memfd_create(c"asked".as_ptr(), libc::MFD_CLOEXEC);
            if paper == -1 {
                return Err(io::Error::last_os_error());
            }
            File::from_raw_fd(paper)
        };
        paper.write_all(asked)?;
        paper.rewind()?;
        let ((report, to_report), (stray, to_stray)) = (io::pipe()?, io::pipe()?);
        send(&self.requests, [paper.as_raw_fd(), to_report.as_raw_fd(), to_stray.as_raw_fd()])?;
        Ok(Child::of_zygote(report, stray))
    }
}

impl Drop for Zygote {
    fn drop(&mut self) {
        let _ = self.requests.shutdown(std::net::Shutdown::Both);
        // SAFETY: a child of our own, which ends when it is asked for nothing any more.
        unsafe { libc::waitpid(self.process, ptr::null_mut(), 0) };
    }
}

/// Forks this process for each request, until nobody asks any more. What it forks is a child of its
/// own parent, which waits for it.
fn serve(requests: &UnixStream, pool: &mut Vec<Block>, work: &impl Fn(&[u8])) {
    while let Some([paper, to_report, to_stray]) = receive(requests) {
        let flags = libc::CLONE_PARENT | libc::SIGCHLD;
        // SAFETY: a fork of a process with one thread, whose child leaves by `_exit`.
        unsafe {
            if libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) != 0 {
                continue;
            }
            libc::dup2(to_stray.as_raw_fd(), 1);
            libc::dup2(to_stray.as_raw_fd(), 2);
            drop(to_stray);
            report_to(PipeWriter::from(to_report));
            report(&u64::from(libc::getpid().unsigned_abs()).to_le_bytes());
            begin_run(std::mem::take(pool));
            let mut asked = Vec::new();
            let read = File::from(paper).read_to_end(&mut asked);
            assert!(read.is_ok(), "what a run was asked for can be read");
            work(&asked);
            libc::_exit(0);
        }
    }
}

/// One byte, and descriptors with it.
fn send(to: &UnixStream, handed: [i32; HANDED]) -> io::Result<()> {
    // SAFETY: a message whose parts live during the call; the room is as large as `CMSG_SPACE` of
    // the descriptors.
    unsafe {
        let (mut byte, mut room) = (1_u8, Ancillary([0; 64]));
        let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
        let mut message = empty_message(&mut part, &mut room);
        message.msg_controllen = libc::CMSG_SPACE(size_of_val(&handed) as u32) as usize;
        let head = &mut *libc::CMSG_FIRSTHDR(&raw const message);
        (head.cmsg_level, head.cmsg_type) = (libc::SOL_SOCKET, libc::SCM_RIGHTS);
        head.cmsg_len = libc::CMSG_LEN(size_of_val(&handed) as u32) as usize;
        libc::CMSG_DATA(head).cast::<[i32; HANDED]>().write_unaligned(handed);
        match libc::sendmsg(to.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) {
            1 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// The descriptors of the next request; `None`: there will be none.
fn receive(from: &UnixStream) -> Option<[OwnedFd; HANDED]> {
    // SAFETY: a message whose parts live during the call; what it brings are descriptors that
    // nobody else has.
    unsafe {
        let (mut byte, mut room) = (0_u8, Ancillary([0; 64]));
        let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
        let mut message = empty_message(&mut part, &mut room);
        let got = loop {
            let got = libc::recvmsg(from.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC);
            if got != -1 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                break got;
            }
        };
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        if got != 1 || head.is_null() || (*head).cmsg_type != libc::SCM_RIGHTS {
            return None;
        }
        let handed = libc::CMSG_DATA(head).cast::<[i32; HANDED]>().read_unaligned();
        Some(handed.map(|one| OwnedFd::from_raw_fd(one)))
    }
}

/// A message of one part, with all the room for descriptors.
fn empty_message(part: &mut libc::iovec, room: &mut Ancillary) -> libc::msghdr {
    // SAFETY: a message of zeros is one.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (part, 1);
    message.msg_control = room.0.as_mut_ptr().cast();
    message.msg_controllen = room.0.len();
    message
}
