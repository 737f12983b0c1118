//! Threads: who can run, who waits for what and until when, and who is next.
//!
//! Threads change places only at calls of the kernel. Which of several threads of a node goes on is
//! a draw, so that other seeds explore other interleavings. A thread that calls the kernel again
//! and again without ever waiting (it polls a clock, or spins with `sched_yield`) has used up its
//! slice some time: then it waits for a moment, and time goes on.

use crate::kernel::{Event, Kernel, NodeIndex};
use crate::trace::Happening;
use seedfall_sim::queue::Handle;
use seedfall_sim::{Duration, Site, Time};

/// So many calls without a wait are a slice.
const SLICE: u32 = 2_000;
/// How long a thread waits whose slice is used up.
const REST: Duration = Duration::micros(50);
/// How long a thread waits that yields.
pub(crate) const YIELD: Duration = Duration::micros(1);

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It could run.
    Runnable,
    /// It runs.
    Running,
    /// It waits to be woken, or for its deadline.
    Waiting,
    /// It ended, and nobody has joined it yet.
    Exited,
    /// It will never run again: its node crashed, or it was joined.
    Gone,
}

/// One thread of a program.
#[derive(Debug)]
pub(crate) struct Thread {
    /// Whose.
    pub(crate) node: NodeIndex,
    /// What it is doing.
    pub(crate) state: State,
    /// Counts its waits: who wakes it says which wait is meant.
    pub(crate) ticket: u64,
    /// When its wait is over.
    deadline: Option<Time>,
    /// The event of that, which may be of an earlier wait.
    timer: Option<(Handle, Time)>,
    /// Whether its last wait ended by its deadline.
    pub(crate) timed_out: bool,
    /// What `pthread_self` says in it.
    pub(crate) handle: u64,
    /// What `gettid` says in it.
    pub(crate) tid: i32,
    /// The stack and thread-local block that it runs on.
    pub(crate) block: usize,
    /// What its start routine returned.
    pub(crate) value: u64,
    /// Nobody will join it.
    pub(crate) detached: bool,
    /// Who waits for its end: thread and ticket.
    joiners: Vec<(usize, u64)>,
    /// Signals whose handlers it is to run when it goes on.
    pub(crate) signals: Vec<i32>,
    /// Destructors of its thread-local values: function and argument.
    pub(crate) destructors: Vec<(usize, usize)>,
}

impl Kernel {
    /// Makes a thread of a node, which can run at once.
    pub(crate) fn make_thread(&mut self, node: NodeIndex, block: usize, handle: u64) -> usize {
        self.nodes[node].made_threads += 1;
        let tid = 1_000 * (node as i32 + 1) + self.nodes[node].made_threads - 1;
        let thread = Thread {
            node,
            state: State::Waiting,
            ticket: 0,
            deadline: None,
            timer: None,
            timed_out: false,
            handle,
            tid,
            block,
            value: 0,
            detached: false,
            joiners: Vec::new(),
            signals: Vec::new(),
            destructors: Vec::new(),
        };
        let index = match self.free_threads.pop() {
            Some(index) => {
                let ticket = self.threads[index].ticket + 1;
                self.threads[index] = Thread { ticket, ..thread };
                index
            }
            None => {
                self.threads.push(thread);
                self.threads.len() - 1
            }
        };
        self.make_runnable(index);
        index
    }

    fn make_runnable(&mut self, thread: usize) {
        let one = &mut self.threads[thread];
        one.state = State::Runnable;
        let index = one.node;
        let node = &mut self.nodes[index];
        node.runnable.push(thread);
        self.make_ready(index);
    }

    /// Puts a node into the list of those that have something to run, if it has.
    pub(crate) fn make_ready(&mut self, index: NodeIndex) {
        let node = &mut self.nodes[index];
        if node.queued || node.pauses > 0 || node.runnable.is_empty() {
            return;
        }
        if node.busy_until > self.now {
            node.felt.slow += 1;
            return;
        }
        node.queued = true;
        self.ready.push_back(index);
    }

    /// The thread that runs next; `None`: all wait.
    pub(crate) fn next_thread(&mut self) -> Option<usize> {
        loop {
            let index = *self.ready.front()?;
            let node = &mut self.nodes[index];
            if node.pauses > 0 || node.runnable.is_empty() || node.busy_until > self.now {
                node.queued = false;
                self.ready.pop_front();
                continue;
            }
            let count = node.runnable.len();
            let at = if count == 1 {
                0
            } else {
                let at = self.draws.draw(Site::Thread(Self::place(index))).below(count as u32);
                self.record(Happening::Switch, index, index, u64::from(at));
                at as usize
            };
            let thread = self.nodes[index].runnable.remove(at);
            if self.nodes[index].slow > Duration::ZERO {
                self.keep_busy(index);
            }
            self.threads[thread].state = State::Running;
            self.set_current(thread);
            self.switches += 1;
            return Some(thread);
        }
    }

    /// This thread runs from now on.
    pub(crate) fn set_current(&mut self, thread: usize) {
        (self.current, self.here, self.slice) = (thread, self.threads[thread].node, 0);
    }

    /// A slow node has let a thread go on, and is busy with it for a while.
    #[cold]
    fn keep_busy(&mut self, index: NodeIndex) {
        let node = &mut self.nodes[index];
        node.busy_until = self.now + node.slow;
        node.felt.slow += u64::from(!node.runnable.is_empty());
        self.queue.push(node.busy_until, Event::Idle(index));
    }

    /// The running thread waits from now on, until someone wakes it or the deadline is there. The
    /// caller has said before, by [`Kernel::wait_for`] or in a list of its own, who is to wake it.
    pub(crate) fn park(&mut self, deadline: Option<Time>) {
        self.reach_wait();
        self.mirror(self.here());
        if self.threads[self.current].state != State::Running {
            return;
        }
        let index = self.current;
        let thread = &mut self.threads[index];
        thread.state = State::Waiting;
        thread.deadline = deadline;
        thread.timed_out = false;
        match (deadline, thread.timer) {
            (Some(at), None) => {
                let handle = self.queue.push(at, Event::Thread(index));
                self.threads[index].timer = Some((handle, at));
            }
            (Some(at), Some((handle, due))) if at != due => {
                let handle = self.queue.reschedule(handle, at);
                self.threads[index].timer = Some((handle, at));
            }
            (None, Some((handle, _))) => {
                self.queue.cancel(handle);
                self.threads[index].timer = None;
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    /// The running thread is woken when something changes about an object.
    pub(crate) fn wait_for(&mut self, object: usize) {
        let (thread, ticket) = (self.current, self.threads[self.current].ticket);
        self.objects[object].waiters.push((thread, ticket));
    }

    /// A thread goes on, if it is still in the wait with this ticket.
    pub(crate) fn wake(&mut self, thread: usize, ticket: u64) -> bool {
        let one = &mut self.threads[thread];
        if one.state != State::Waiting || one.ticket != ticket {
            return false;
        }
        one.ticket += 1;
        self.make_runnable(thread);
        true
    }

    /// The timer of a thread rings; it may be of a wait that ended before.
    pub(crate) fn thread_timer(&mut self, index: usize) {
        let thread = &mut self.threads[index];
        thread.timer = None;
        if thread.state == State::Waiting && thread.deadline.is_some_and(|at| at <= self.now) {
            thread.timed_out = true;
            thread.ticket += 1;
            self.make_runnable(index);
        }
    }

    /// Counts a call of the running thread. True if its slice is used up.
    #[inline]
    pub(crate) fn count_call(&mut self) -> bool {
        self.slice += 1;
        self.slice >= SLICE
    }

    /// The slice of the running thread is used up: it waits, and must give way.
    #[cold]
    pub(crate) fn end_slice(&mut self) {
        // If it does not run any more, its machine crashed in this very call.
        if self.threads[self.current].state == State::Running {
            self.park(Some(self.now + REST));
        }
    }

    /// The running thread sleeps for so long by its node's clock.
    pub(crate) fn sleep(&mut self, span: Duration) {
        let at = self.ring(span);
        self.park(Some(at));
    }

    /// The running thread ended, and returned this.
    pub(crate) fn exit_thread(&mut self, value: u64) {
        let index = self.current;
        self.mirror(self.here());
        self.cancel_timer(index);
        let thread = &mut self.threads[index];
        thread.value = value;
        thread.ticket += 1;
        let joiners = std::mem::take(&mut thread.joiners);
        if thread.detached {
            thread.state = State::Gone;
            self.free_threads.push(index);
        } else {
            thread.state = State::Exited;
        }
        for (joiner, ticket) in joiners {
            self.wake(joiner, ticket);
        }
    }

    /// The thread of the running program that `pthread_self` names so.
    pub(crate) fn by_handle(&self, handle: u64) -> Option<usize> {
        let (here, current) = (self.here(), &self.threads[self.current]);
        if current.handle == handle {
            return Some(self.current);
        }
        let named = |thread: &Thread| {
            thread.handle == handle && thread.node == here && thread.state != State::Gone
        };
        self.threads.iter().position(named)
    }

    /// Joins a thread: what it returned, or `EAGAIN` if it has not ended, and then the running
    /// thread is woken by its end.
    pub(crate) fn join(&mut self, handle: u64) -> Result<u64, i32> {
        let index = self.by_handle(handle).ok_or(libc::ESRCH)?;
        if index == self.current {
            return Err(libc::EDEADLK);
        }
        if self.threads[index].state != State::Exited {
            let waiter = (self.current, self.threads[self.current].ticket);
            self.threads[index].joiners.push(waiter);
            return Err(libc::EAGAIN);
        }
        self.threads[index].state = State::Gone;
        self.free_threads.push(index);
        Ok(self.threads[index].value)
    }

    /// Nobody will join a thread.
    pub(crate) fn detach(&mut self, handle: u64) -> Result<(), i32> {
        let index = self.by_handle(handle).ok_or(libc::ESRCH)?;
        self.threads[index].detached = true;
        if self.threads[index].state == State::Exited {
            self.threads[index].state = State::Gone;
            self.free_threads.push(index);
        }
        Ok(())
    }

    /// No thread of a node runs again. Their stacks stay as they are: nothing is unwound.
    pub(crate) fn drop_threads(&mut self, node: NodeIndex) {
        for index in 0..self.threads.len() {
            if self.threads[index].node == node && self.threads[index].state != State::Gone {
                self.cancel_timer(index);
                self.threads[index].state = State::Gone;
                self.threads[index].ticket += 1;
            }
        }
        self.nodes[node].runnable.clear();
        self.nodes[node].busy_until = Time::ZERO;
        if node == self.here {
            // The call in which that happens is the last.
            self.slice = SLICE;
        }
    }

    fn cancel_timer(&mut self, index: usize) {
        if let Some((handle, _)) = self.threads[index].timer.take() {
            self.queue.cancel(handle);
        }
    }
}
