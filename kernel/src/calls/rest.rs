//! How a thread gives way to others: it sleeps, or is in the midst of a call that waits. What
//! signals that came meanwhile want done is done then.

use crate::kernel::{Errno, Kernel};
use crate::machine::{self, enter};
use crate::sched::{State, YIELD};
use seedfall_sim::Duration;

/// What came of signals while a thread waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Signalled {
    /// None came.
    #[default]
    No,
    /// Handlers ran, and calls that can go on waiting do (`SA_RESTART`).
    Restarts,
    /// A handler ran that lets the call fail.
    Breaks,
}

/// Gives way to other threads; then handlers run of signals that came meanwhile.
pub(super) fn give_way() -> Signalled {
    let environment = machine::environment();
    match enter(|kernel| kernel.pass(environment)) {
        Some(turn) => {
            machine::load_statics(turn.node);
            machine::hand_over(turn.block, turn.environment);
        }
        None => machine::give_way(),
    }
    if machine::expects_signals() { handle_signals() } else { Signalled::No }
}

#[cold]
fn handle_signals() -> Signalled {
    let mut came = Signalled::No;
    while let Some((signal, action)) = enter(Kernel::take_signal) {
        machine::handle(signal, action.handler, action.flags);
        let restarts = action.flags & libc::SA_RESTART != 0;
        came = came.max(if restarts { Signalled::Restarts } else { Signalled::Breaks });
    }
    came
}

/// The running program sends itself a signal, or one of its threads, if one is named; zero only
/// asks whether it could.
pub(crate) fn send_signal(thread: Option<u64>, signal: i32) -> Result<(), Errno> {
    let lives = enter(|kernel| {
        let here = kernel.here();
        let to = match thread {
            Some(handle) => Some(kernel.by_handle(handle).ok_or(libc::ESRCH)?),
            None => None,
        };
        if signal != 0 {
            kernel.set_action(signal, None)?;
            kernel.send_signal(here, to, signal);
        }
        Ok::<bool, Errno>(kernel.threads[kernel.current].state == State::Running)
    })?;
    if !lives {
        // It was ended by it.
        machine::give_way();
    }
    handle_signals();
    Ok(())
}

/// Sleeps for so long; how much is left, if a signal ends it.
pub(crate) fn sleep(span: Duration) -> Result<(), Duration> {
    let until = enter(|kernel| {
        kernel.sleep(span);
        kernel.now + span
    });
    match give_way() {
        Signalled::No => Ok(()),
        _ => Err(enter(|kernel| until.max(kernel.now).since(kernel.now))),
    }
}

/// Sleeps until a clock shows these nanoseconds, or a signal comes.
pub(crate) fn sleep_until(clock: libc::clockid_t, nanos: u64) -> Result<(), Errno> {
    enter(|kernel| {
        let at = kernel.ring_at(clock, nanos);
        kernel.park(Some(at));
    });
    if give_way() == Signalled::No { Ok(()) } else { Err(libc::EINTR) }
}

/// Waits for a signal.
pub(crate) fn pause() -> Errno {
    while {
        enter(|kernel| kernel.park(None));
        give_way() == Signalled::No
    } {}
    libc::EINTR
}

/// Lets other threads run first.
pub(crate) fn yield_now() {
    enter(|kernel| {
        let at = kernel.now + YIELD;
        kernel.park(Some(at));
    });
    give_way();
}
