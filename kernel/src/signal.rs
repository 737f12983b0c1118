//! Signals: what a program wants done with each, and which of its threads does it.
//!
//! As in Linux, a signal is for the program, and its main thread takes it if there is one. That
//! thread runs the handler when it next goes on: at once, if it waits, and its wait is interrupted.

use crate::kernel::{Errno, Kernel, NodeIndex};
use crate::machine;
use crate::node::Power;
use crate::sched::{State, Thread};
use crate::trace::Happening;
use std::fmt;

/// A signal that is sent to a program from outside: by an operator, or whoever supervises it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// `SIGTERM`: what systemd and Kubernetes send first.
    Terminate,
    /// `SIGINT`: what Ctrl-C sends.
    Interrupt,
    /// `SIGHUP`: the terminal is gone, or the configuration is to be read anew.
    HangUp,
}

impl Signal {
    /// Its number in Linux.
    pub const fn number(self) -> i32 {
        match self {
            Self::Terminate => libc::SIGTERM,
            Self::Interrupt => libc::SIGINT,
            Self::HangUp => libc::SIGHUP,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name(self.number()))
    }
}

/// What a program calls a signal.
pub(crate) fn name(signal: i32) -> &'static str {
    match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGTERM => "SIGTERM",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGCHLD => "SIGCHLD",
        libc::SIGABRT => "SIGABRT",
        _ => "a signal",
    }
}

/// Those that ask a program to end.
const ENDS: [i32; 2] = [libc::SIGTERM, libc::SIGINT];
/// The highest number of a signal.
const MOST: i32 = 64;

/// What a program wants done when a signal comes, as `sigaction` says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Action {
    /// The handler; `SIG_DFL` and `SIG_IGN` are numbers that no function has.
    pub(crate) handler: usize,
    /// `SA_RESTART`, `SA_SIGINFO` and others.
    pub(crate) flags: i32,
}

impl Action {
    /// Whether nothing is to be done: it is ignored, or that is what becomes of it by itself.
    fn ignores(self, signal: i32) -> bool {
        let by_itself = matches!(signal, libc::SIGCHLD | libc::SIGURG | libc::SIGWINCH);
        self.handler == libc::SIG_IGN || (self.handler == libc::SIG_DFL && by_itself)
    }
}

impl Kernel {
    /// `sigaction`: what the running program wants done from now on, if it says so; and what it
    /// wanted until now.
    pub(crate) fn set_action(&mut self, signal: i32, new: Option<Action>) -> Result<Action, Errno> {
        let fixed = matches!(signal, libc::SIGKILL | libc::SIGSTOP);
        if !(1..=MOST).contains(&signal) || (fixed && new.is_some()) {
            return Err(libc::EINVAL);
        }
        let here = self.here();
        let actions = &mut self.nodes[here].actions;
        let old = actions.get(&signal).copied().unwrap_or_default();
        if let Some(new) = new {
            actions.insert(signal, new);
        }
        Ok(old)
    }

    /// Sends a signal to the program of a node, or to one of its threads: whether there is one.
    pub(crate) fn send_signal(
        &mut self,
        node: NodeIndex,
        thread: Option<usize>,
        signal: i32,
    ) -> bool {
        if self.nodes[node].power != Power::Running {
            return false;
        }
        let action = self.nodes[node].actions.get(&signal).copied().unwrap_or_default();
        let what = match action {
            _ if action.ignores(signal) => "ignores",
            Action { handler: libc::SIG_DFL, .. } => "is ended by",
            _ => "is told",
        };
        let text = |_: &Self| format!("{what} {}", name(signal));
        self.record_text(Happening::Signal, node, node, signal as u64, text);
        if action.ignores(signal) {
            return true;
        }
        self.nodes[node].told_to_end |= ENDS.contains(&signal);
        if action.handler == libc::SIG_DFL {
            self.nodes[node].exit = Some(128 + signal);
            self.end_program(node, Power::Idle);
        } else if let Some(thread) = thread.or_else(|| self.first_thread(node)) {
            self.interrupt(thread, signal);
        }
        true
    }

    /// Whether a program that was told to end did so as it should: by itself, or as whoever was
    /// ended by the signal.
    pub(crate) fn ended_as_told(&self, node: NodeIndex, code: i32) -> bool {
        self.nodes[node].told_to_end && ENDS.iter().any(|signal| code == 128 + signal)
    }

    /// The first thread of a program that has not ended: its main thread, if it is one.
    fn first_thread(&self, node: NodeIndex) -> Option<usize> {
        let lives = |(_, thread): &(usize, &Thread)| {
            thread.node == node && !matches!(thread.state, State::Exited | State::Gone)
        };
        let threads = self.threads.iter().enumerate().filter(lives);
        threads.min_by_key(|(_, thread)| thread.tid).map(|(index, _)| index)
    }

    /// A thread takes a signal; if it waits, it goes on.
    fn interrupt(&mut self, thread: usize, signal: i32) {
        let one = &mut self.threads[thread];
        // Signals do not queue: one that waits already stands for both.
        if !one.signals.contains(&signal) {
            one.signals.push(signal);
        }
        let ticket = one.ticket;
        self.wake(thread, ticket);
        machine::expect_signals();
    }

    /// The next signal whose handler the running thread is to run.
    pub(crate) fn take_signal(&mut self) -> Option<(i32, Action)> {
        let here = self.here();
        let thread = &mut self.threads[self.current];
        while !thread.signals.is_empty() {
            let signal = thread.signals.remove(0);
            let action = self.nodes[here].actions.get(&signal).copied().unwrap_or_default();
            if action.handler > libc::SIG_IGN {
                return Some((signal, action));
            }
        }
        None
    }
}
