//! The process of a run: its fork, what it reports, where its addresses are.

use super::*;
use std::io::{PipeReader, PipeWriter};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::sync::atomic::AtomicI32;

/// Whether this process is that of a run.
static IS_RUN: AtomicBool = AtomicBool::new(false);
/// Where a child reports to.
static REPORT: AtomicI32 = AtomicI32::new(-1);

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
    /// Its number; `None`: it comes first in what it reports.
    process: Option<libc::pid_t>,
    report: PipeReader,
    stray: PipeReader,
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

/// Forks. The child has so many donated threads, runs `work` and ends.
pub(crate) fn fork(threads: usize, work: impl FnOnce()) -> Result<Child, std::io::Error> {
    let mut pool = pool(threads);
    if let Some(child) = split()? {
        return Ok(child);
    }
    // SAFETY: a plain libc call. The child leaves by `_exit`, so that nothing of the parent's runs
    // twice.
    unsafe {
        begin_run(std::mem::take(&mut *pool));
        work();
        libc::_exit(0)
    }
}

/// This process is that of a run from now on, with these donated threads.
///
/// # Safety
/// It has one thread that does anything.
pub(super) unsafe fn begin_run(pool: Vec<Block>) {
    IS_RUN.store(true, Relaxed);
    adopt(pool);
    // SAFETY: a plain libc call.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// This process reports there from now on.
pub(super) fn report_to(to: PipeWriter) {
    REPORT.store(to.into_raw_fd(), Relaxed);
}

/// Forks, with a new way to report. `None`: this is the child, in which one thread is left.
pub(crate) fn split() -> Result<Option<Child>, std::io::Error> {
    let ((report, to_report), (stray, to_stray)) = (std::io::pipe()?, std::io::pipe()?);
    // SAFETY: plain libc calls; the child goes on with the one thread that called.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error()),
        0 => {
            // SAFETY: as above.
            unsafe {
                libc::dup2(to_stray.as_raw_fd(), 1);
                libc::dup2(to_stray.as_raw_fd(), 2);
            }
            report_to(to_report);
            Ok(None)
        }
        process => Ok(Some(Child { process: Some(process), report, stray })),
    }
}

impl Child {
    /// One that a zygote forks, which tells its number first.
    pub(super) fn of_zygote(report: PipeReader, stray: PipeReader) -> Self {
        Self { process: None, report, stray }
    }

    /// Reads all that the child reports, until it has ended.
    pub(crate) fn wait(self) -> Remains {
        let ends = [self.report.as_raw_fd(), self.stray.as_raw_fd()];
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
        let [mut report, stray] = read;
        let process = self.process.or_else(|| {
            let (number, rest) = report.split_first_chunk::<8>()?;
            let number = u64::from_le_bytes(*number) as libc::pid_t;
            report = rest.to_vec();
            Some(number)
        });
        let signal = process.and_then(end_of);
        Remains { report, stray, signal }
    }
}

/// Waits for the end of a child: the signal that ended it.
fn end_of(process: libc::pid_t) -> Option<i32> {
    let mut status = 0;
    // SAFETY: a child of our own.
    unsafe {
        while libc::waitpid(process, &raw mut status, 0) == -1
            && std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted
        {}
    }
    libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status))
}

/// Whether this process is that of a run.
pub(crate) fn is_run() -> bool {
    IS_RUN.load(Relaxed)
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

/// A program ends by `std::process::exit`, which notes the thread in a static of the standard
/// library (by the address of its `errno`), and makes every other thread that calls it wait for
/// ever. To the other programs of the process, and to this one when it is started anew, nobody has
/// called it: the note is taken back.
pub(crate) fn forget_exit() {
    /// Looks through what is writable of one object.
    unsafe extern "C" fn look(
        info: *mut libc::dl_phdr_info,
        _: libc::size_t,
        note: *mut c_void,
    ) -> libc::c_int {
        // SAFETY: the loader's own record of segments that are there, and aligned words in those
        // that are writable; nobody else runs.
        unsafe {
            let headers = std::slice::from_raw_parts((*info).dlpi_phdr, (*info).dlpi_phnum.into());
            for header in headers {
                if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W == 0 {
                    continue;
                }
                let start = ((*info).dlpi_addr + header.p_vaddr).next_multiple_of(8);
                let end = (*info).dlpi_addr + header.p_vaddr + header.p_memsz;
                for word in (start..end - 7).step_by(8).map(|at| at as *mut usize) {
                    if word.read() == note as usize {
                        word.write(0);
                    }
                }
            }
        }
        // Only the program itself, which comes first, has the standard library in it.
        1
    }
    // SAFETY: `look` is called during the call alone.
    unsafe { libc::dl_iterate_phdr(Some(look), libc::__errno_location().cast()) };
}

/// Ends this process at once, after what was reported.
pub(crate) fn end_process() -> ! {
    RUNS.store(HOST, Relaxed);
    SELECTOR.store(0, Relaxed);
    // SAFETY: it does not return.
    unsafe { libc::_exit(0) }
}

/// Whether this machine can switch threads in user mode: `FSGSBASE`, since Linux 5.9.
pub(crate) fn can_switch() -> bool {
    // SAFETY: it reads a word that the kernel left for the process.
    unsafe { libc::getauxval(libc::AT_HWCAP2) & 2 != 0 }
}

/// Whether the addresses of this process, that of a run, are the same in every process.
pub(crate) fn has_fixed_addresses() -> bool {
    // SAFETY: the number that asks and changes nothing.
    let personality = unsafe { libc::personality(0xFFFF_FFFF) };
    personality & libc::ADDR_NO_RANDOMIZE != 0 && crate::hooks::is_reserved()
}

/// A command will run without randomised addresses, where that is permitted.
pub(crate) fn fix_addresses(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    if crate::backstop::is_forbidden("personality") {
        return;
    }
    let fix = || {
        // SAFETY: a plain system call. One that is refused leaves the addresses random.
        unsafe { libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong) };
        Ok(())
    };
    // SAFETY: what is run between fork and exec makes one system call.
    unsafe { command.pre_exec(fix) };
}
