//! What a client is to ask for, and what it records: inside the run.

use crate::workload::OperationId;
use seedfall_kernel::About;
use seedfall_sim::{Duration, Time};
use serde::Serialize;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// What came of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<O> {
    /// It took effect.
    Ok(O),
    /// It certainly did not happen, and never will.
    Failed,
    /// Nobody knows: no answer came, or one that may mean either. When in doubt, this.
    Indeterminate,
}

/// The operations of one client, drawn before the run.
pub(super) struct Planned<I> {
    pub(super) operations: Vec<Operation<I>>,
    /// The same, drawn anew for each turn that the run may take.
    pub(super) anew: Vec<Vec<Operation<I>>>,
    /// When the final ones may begin.
    pub(super) final_at: Time,
    /// Whether a final one is asked for again until it is answered.
    pub(super) must_complete: bool,
}

/// One of them.
pub(super) struct Operation<I> {
    pub(super) id: OperationId,
    pub(super) think: Duration,
    pub(super) is_final: bool,
    pub(super) input: I,
    /// When it is called, if not as its client decides.
    pub(super) at: Option<Time>,
}

impl<I> Planned<I> {
    /// The operations that are in force, and whether they were drawn anew.
    fn in_force(&self) -> (&[Operation<I>], bool) {
        match seedfall_kernel::turn().and_then(|turn| self.anew.get(turn)) {
            Some(anew) => (anew, true),
            None => (&self.operations, false),
        }
    }
}

/// What a client is to ask for, one operation after the other, at the times at which its thinking
/// is over. It records the history.
pub struct Session<I, O> {
    client: usize,
    planned: Arc<Planned<I>>,
    next: usize,
    /// The operation that was asked for and not answered.
    open: Option<usize>,
    /// Whether the next one was asked for before.
    is_again: bool,
    answers: PhantomData<fn() -> O>,
}

/// What a note of a client says, in the order of the fields: what the report makes a history of.
pub(super) const CALLED: &str = "call";
pub(super) const ANEW: &str = "anew";
pub(super) const OK: &str = "ok";
pub(super) const FAILED: &str = "failed";
pub(super) const UNKNOWN: &str = "unknown";

/// How long a client waits before it asks again for what must complete.
const AGAIN: Duration = Duration::millis(100);

impl<I: Clone, O: Serialize> Session<I, O> {
    pub(super) fn new(client: usize, planned: Arc<Planned<I>>) -> Self {
        Self { client, planned, next: 0, open: None, is_again: false, answers: PhantomData }
    }

    /// Which of the clients this is, counted from zero.
    pub fn client(&self) -> usize {
        self.client
    }

    /// The input of the next operation, when it is time for it; `None`: all are done. An operation
    /// that was not answered in the meantime stays indeterminate.
    ///
    /// It waits in a thread of its own, so it can be awaited on any runtime.
    pub async fn next(&mut self) -> Option<I> {
        let (place, wait) = self.place()?;
        Pause::of(wait).await;
        Some(self.call(place))
    }

    /// As [`Session::next`], for clients without a runtime.
    pub fn next_blocking(&mut self) -> Option<I> {
        let (place, wait) = self.place()?;
        sleep(wait);
        Some(self.call(place))
    }

    /// What came of the operation.
    ///
    /// # Panics
    /// If none is open, or the answer is not to be written as JSON.
    pub fn answer(&mut self, answer: Answer<O>) {
        let open = self.open.take();
        let place = open.unwrap_or_else(|| panic!("`next` comes before `answer`"));
        let operation = &self.planned.operations[place];
        let number = operation.id.number;
        let again = operation.is_final && self.planned.must_complete;
        match answer {
            Answer::Ok(output) => {
                let output = serde_json::to_string(&output);
                let output = output.unwrap_or_else(|error| panic!("an answer as JSON: {error}"));
                note(About::Return, &format!("{OK} {number} {output}"));
                return;
            }
            Answer::Failed => note(About::Return, &format!("{FAILED} {number}")),
            Answer::Indeterminate => note(About::Return, &format!("{UNKNOWN} {number}")),
        }
        if again {
            (self.next, self.is_again) = (place, true);
        }
    }

    /// Which operation comes next, and for how long its client thinks before.
    fn place(&mut self) -> Option<(usize, Duration)> {
        let must_complete = self.planned.must_complete;
        let unanswered = self.open.take();
        let is_owed = |place: &usize| must_complete && self.planned.operations[*place].is_final;
        if let Some(place) = unanswered.filter(is_owed) {
            (self.next, self.is_again) = (place, true);
        }
        let place = self.next;
        let operation = self.planned.in_force().0.get(place)?;
        let now = seedfall_kernel::now().unwrap_or_default();
        let think = if self.is_again { AGAIN } else { operation.think };
        let wait = if let Some(at) = operation.at.filter(|_| !self.is_again) {
            at.max(now).since(now)
        } else if operation.is_final && now < self.planned.final_at {
            self.planned.final_at.since(now) + think
        } else {
            think
        };
        Some((place, wait))
    }

    fn call(&mut self, place: usize) -> I {
        let (operations, anew) = self.planned.in_force();
        let operation = &operations[place];
        let anew = if anew { ANEW } else { "" };
        note(About::Call, format!("{CALLED} {} {anew}", operation.id.number).trim_end());
        let input = operation.input.clone();
        (self.open, self.next, self.is_again) = (Some(place), place + 1, false);
        input
    }
}

fn note(about: About, text: &str) {
    seedfall_kernel::note_about(about, text.as_bytes());
}

#[expect(clippy::disallowed_methods, reason = "inside the simulated Linux it takes virtual time")]
fn sleep(span: Duration) {
    std::thread::sleep(std::time::Duration::from_nanos(span.as_nanos()));
}

/// Is over after a while, on any runtime.
struct Pause {
    span: Duration,
    begun: bool,
    state: Arc<Mutex<(bool, Option<Waker>)>>,
}

impl Pause {
    fn of(span: Duration) -> Self {
        Self { span, begun: false, state: Arc::new(Mutex::new((false, None))) }
    }
}

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if !self.begun {
            self.begun = true;
            let (span, state) = (self.span, Arc::clone(&self.state));
            #[expect(clippy::disallowed_methods, reason = "a thread of the simulated Linux")]
            std::thread::spawn(move || {
                sleep(span);
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.0 = true;
                if let Some(waker) = state.1.take() {
                    waker.wake();
                }
            });
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 {
            return Poll::Ready(());
        }
        state.1 = Some(context.waker().clone());
        Poll::Pending
    }
}
