//! From what a file says to the operations of a model.

use super::{Datum, RawHistory, RawOperation, ReadError};
use crate::explain;
use crate::history::{History, HistoryError, Operation, Outcome};
use crate::linearizability::{Evidence, Flaw, linearizable, shrink, verify};
use crate::models::{
    Bag, BagInput, BagOutput, Counter, CounterInput, CounterOutput, Kv, KvInput, KvOutput, Lock,
    LockInput, LockOutput, Log, LogInput, LogOutput, PriorityQueue, PriorityQueueInput,
    PriorityQueueOutput, Queue, QueueInput, QueueOutput, Set, SetInput, Stack, StackInput,
    StackOutput,
};
use crate::verdict::{Budget, Verdict, Witness};

/// A model, by the name that files and commands use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelName {
    /// Registers with read, write and cas, one per key; nil at first.
    Register,
    /// A key-value store with get, put, append, cas and delete; `""` at first.
    Kv,
    /// A set with insert, remove, contains.
    Set,
    /// A bag with add, remove, count.
    Bag,
    /// A queue with enq and deq.
    Queue,
    /// A stack with push and pop.
    Stack,
    /// A priority queue with insert and poll.
    PriorityQueue,
    /// A counter with add and read.
    Counter,
    /// A lock with acquire and release.
    Lock,
    /// A log with append, read, length.
    Log,
}

impl ModelName {
    /// Every model.
    pub const ALL: [Self; 10] = [
        Self::Register,
        Self::Kv,
        Self::Set,
        Self::Bag,
        Self::Queue,
        Self::Stack,
        Self::PriorityQueue,
        Self::Counter,
        Self::Lock,
        Self::Log,
    ];

    /// The name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Kv => "kv",
            Self::Set => "set",
            Self::Bag => "bag",
            Self::Queue => "queue",
            Self::Stack => "stack",
            Self::PriorityQueue => "pqueue",
            Self::Counter => "counter",
            Self::Lock => "lock",
            Self::Log => "log",
        }
    }

    /// The model of a name; `register-cas` and `mutex` are known too.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let name = match name {
            "register-cas" | "cas-register" | "register-unique" | "register-cas-unique" => {
                "register"
            }
            "mutex" => "lock",
            "priority-queue" => "pqueue",
            other => other,
        };
        Self::ALL.into_iter().find(|model| model.name() == name)
    }

    /// The operations that a model knows, by all their names.
    #[must_use]
    pub fn operations(self) -> &'static [&'static str] {
        match self {
            Self::Register => &["read", "write", "cas"],
            Self::Kv => &["get", "put", "append", "cas", "delete"],
            Self::Set => &["insert", "remove", "contains"],
            Self::Bag => &["add", "remove", "count"],
            Self::Queue => &["enq", "deq", "enqueue", "dequeue"],
            Self::Stack => &["push", "pop"],
            Self::PriorityQueue => &["insert", "poll"],
            Self::Counter => &["add", "read", "add-and-get"],
            Self::Lock => &["acquire", "release", "guarded"],
            Self::Log => &["append", "read", "length", "read-all"],
        }
    }

    /// The models whose operations include everything that the history asks.
    #[must_use]
    pub fn fitting(history: &RawHistory) -> Vec<Self> {
        let fits = |model: &Self| {
            let known = model.operations();
            history.operations.iter().all(|op| known.contains(&op.f.as_str()))
        };
        Self::ALL.into_iter().filter(fits).collect()
    }
}

impl std::fmt::Display for ModelName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A history of some model.
#[derive(Clone, Debug)]
pub enum Typed {
    /// Of registers or of a key-value store: the first field tells the initial value.
    Kv(Kv<Datum, Datum>, History<KvInput<Datum, Datum>, KvOutput<Datum>>),
    /// Of a set.
    Set(History<SetInput<Datum>, bool>),
    /// Of a bag.
    Bag(History<BagInput<Datum>, BagOutput>),
    /// Of a queue.
    Queue(History<QueueInput<Datum>, QueueOutput<Datum>>),
    /// Of a stack.
    Stack(History<StackInput<Datum>, StackOutput<Datum>>),
    /// Of a priority queue.
    PriorityQueue(History<PriorityQueueInput<Datum>, PriorityQueueOutput<Datum>>),
    /// Of a counter.
    Counter(History<CounterInput, CounterOutput>),
    /// Of a lock.
    Lock(History<LockInput, LockOutput>),
    /// Of a log.
    Log(History<LogInput<Datum>, LogOutput<Datum>>),
}

/// Applies a function to the model and the history, whatever their types.
macro_rules! with_model {
    ($typed:expr, |$model:ident, $history:ident| $body:expr) => {
        match $typed {
            Typed::Kv($model, $history) => $body,
            Typed::Set($history) => {
                let $model = &Set::<Datum>::new();
                $body
            }
            Typed::Bag($history) => {
                let $model = &Bag::<Datum>::new();
                $body
            }
            Typed::Queue($history) => {
                let $model = &Queue::<Datum>::new();
                $body
            }
            Typed::Stack($history) => {
                let $model = &Stack::<Datum>::new();
                $body
            }
            Typed::PriorityQueue($history) => {
                let $model = &PriorityQueue::<Datum>::new();
                $body
            }
            Typed::Counter($history) => {
                let $model = &Counter::default();
                $body
            }
            Typed::Lock($history) => {
                let $model = &Lock;
                $body
            }
            Typed::Log($history) => {
                let $model = &Log::<Datum>::new();
                $body
            }
        }
    };
}

impl Typed {
    /// Judges linearizability.
    ///
    /// # Errors
    /// What is wrong with the history; nothing, if [`RawHistory::interpret`] made it.
    pub fn check(&self, budget: Budget) -> Result<Verdict, HistoryError> {
        with_model!(self, |model, history| linearizable(model, history, budget))
    }

    /// Re-checks a verdict's certificate, see [`verify()`].
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, verdict: &Verdict) -> Result<Evidence, Flaw> {
        with_model!(self, |model, history| verify(model, history, verdict))
    }

    /// The verdict with a smaller core, if it has one and the budget lasts, see [`shrink`].
    #[must_use]
    pub fn shrink(&self, verdict: Verdict, budget: Budget) -> Verdict {
        match verdict {
            Verdict::Violated(witness) => {
                Verdict::Violated(with_model!(self, |model, history| shrink(
                    model, history, &witness, budget
                )))
            }
            other => other,
        }
    }

    /// The orders of a core that were tried, in words, see [`explain::attempts`].
    #[must_use]
    pub fn attempts(&self, witness: &Witness) -> Vec<String> {
        let attempts =
            with_model!(self, |model, history| explain::attempts(model, history, witness));
        explain::attempts_in_words(&attempts)
    }

    /// A verdict in text, see [`explain::text`].
    #[must_use]
    pub fn text(&self, verdict: &Verdict) -> String {
        with_model!(self, |_model, history| explain::text(history, verdict))
    }

    /// A verdict as a page, see [`explain::html`].
    #[must_use]
    pub fn html(&self, title: &str, verdict: &Verdict) -> String {
        with_model!(self, |_model, history| explain::html(title, history, verdict))
    }
}

impl RawHistory {
    /// The history as operations of a model.
    ///
    /// # Errors
    /// The first operation that the model does not know, or whose argument or answer it cannot
    /// have.
    pub fn interpret(&self, model: ModelName) -> Result<Typed, ReadError> {
        Ok(match model {
            ModelName::Register => Typed::Kv(Kv::new(), self.typed(model, register)?),
            ModelName::Kv => {
                let empty = Kv::with_initial(Datum::Text(String::new()));
                Typed::Kv(empty, self.typed(model, kv)?)
            }
            ModelName::Set => Typed::Set(self.typed(model, set)?),
            ModelName::Bag => Typed::Bag(self.typed(model, bag)?),
            ModelName::Queue => Typed::Queue(self.typed(model, queue)?),
            ModelName::Stack => Typed::Stack(self.typed(model, stack)?),
            ModelName::PriorityQueue => Typed::PriorityQueue(self.typed(model, priority_queue)?),
            ModelName::Counter => Typed::Counter(self.typed(model, counter)?),
            ModelName::Lock => Typed::Lock(self.typed(model, lock)?),
            ModelName::Log => Typed::Log(self.typed(model, log)?),
        })
    }

    fn typed<I, O>(
        &self,
        model: ModelName,
        of: fn(&RawOperation) -> Parsed<I, O>,
    ) -> Result<History<I, O>, ReadError> {
        let mut history = History::new();
        history.operations.reserve(self.operations.len());
        for raw in &self.operations {
            let wrong = |reason: String| ReadError::new(raw.line, format!("{}: {reason}", raw.f));
            if !model.operations().contains(&raw.f.as_str()) {
                let known = model.operations().join(", ");
                return Err(wrong(format!("unknown operation; {model} knows {known}")));
            }
            let (input, answer) = of(raw).map_err(wrong)?;
            let outcome = match (raw.returned, answer) {
                (None, _) => Outcome::Indeterminate,
                (Some(returned), Answer::Never) => Outcome::Failed { returned },
                (Some(returned), Answer::Is(output)) => Outcome::Ok { returned, output },
                (Some(_), Answer::Odd(reason)) => return Err(wrong(reason)),
            };
            let operation = Operation { client: raw.client, call: raw.call, input, outcome };
            history.operations.push(operation);
        }
        Ok(history)
    }
}

/// What the answer of an operation means to its model.
enum Answer<O> {
    Is(O),
    /// It certainly did not happen.
    Never,
    /// No object of this kind answers that.
    Odd(String),
}

/// An answer that is there if the operation succeeded.
fn succeeded<O>(raw: &RawOperation, output: impl FnOnce() -> Option<O>) -> Answer<O> {
    match raw.ok {
        Some(true) => output().map_or_else(
            || Answer::Odd(format!("the answer {} is not of the right kind", raw.output)),
            Answer::Is,
        ),
        _ => Answer::Never,
    }
}

fn swap(raw: &RawOperation) -> Result<(Option<Datum>, Datum), String> {
    let (expected, new) = raw.value.pair().ok_or("the value is not [expected, new]")?;
    Ok((expected.some(), new.clone()))
}

fn swap_answer(raw: &RawOperation) -> Answer<KvOutput<Datum>> {
    // A refused swap ran and found another value; what it saw is told by some systems.
    match (raw.ok, &raw.output) {
        (Some(true), _) => Answer::Is(KvOutput::Done),
        (_, Datum::Nil | Datum::List(_) | Datum::Text(_)) => Answer::Is(KvOutput::Mismatch),
        (_, seen) => Answer::Is(KvOutput::MismatchSaw(seen.some())),
    }
}

type Parsed<I, O> = Result<(I, Answer<O>), String>;

fn register(raw: &RawOperation) -> Parsed<KvInput<Datum, Datum>, KvOutput<Datum>> {
    let key = raw.key.clone();
    Ok(match raw.f.as_str() {
        "read" => {
            (KvInput::Get { key }, succeeded(raw, || Some(KvOutput::Value(raw.output.some()))))
        }
        "write" => match raw.value.some() {
            Some(value) => (KvInput::Put { key, value }, succeeded(raw, || Some(KvOutput::Done))),
            None => (KvInput::Delete { key }, succeeded(raw, || Some(KvOutput::Done))),
        },
        _ => {
            let (expected, new) = swap(raw)?;
            (KvInput::Cas { key, expected, new }, swap_answer(raw))
        }
    })
}

fn kv(raw: &RawOperation) -> Parsed<KvInput<Datum, Datum>, KvOutput<Datum>> {
    let key = raw.key.clone();
    let value = raw.value.clone();
    let done = || Some(KvOutput::Done);
    Ok(match raw.f.as_str() {
        "get" => {
            (KvInput::Get { key }, succeeded(raw, || Some(KvOutput::Value(raw.output.some()))))
        }
        "put" => (KvInput::Put { key, value }, succeeded(raw, done)),
        "append" => {
            value.text().ok_or("only text can be appended")?;
            (KvInput::Append { key, value }, succeeded(raw, done))
        }
        "delete" => (KvInput::Delete { key }, succeeded(raw, done)),
        _ => {
            let (expected, new) = swap(raw)?;
            (KvInput::Cas { key, expected, new }, swap_answer(raw))
        }
    })
}

fn set(raw: &RawOperation) -> Parsed<SetInput<Datum>, bool> {
    let element = raw.value.clone();
    let input = match raw.f.as_str() {
        "insert" => SetInput::Insert(element),
        "remove" => SetInput::Remove(element),
        _ => SetInput::Contains(element),
    };
    let answer = succeeded(raw, || match raw.output {
        Datum::Bool(answer) => Some(answer),
        _ => None,
    });
    Ok((input, answer))
}

fn bag(raw: &RawOperation) -> Parsed<BagInput<Datum>, BagOutput> {
    let element = raw.value.clone();
    Ok(match raw.f.as_str() {
        "add" => (BagInput::Add(element), succeeded(raw, || Some(BagOutput::Done))),
        "remove" => {
            let answer = succeeded(raw, || match raw.output {
                Datum::Bool(answer) => Some(BagOutput::Removed(answer)),
                _ => None,
            });
            (BagInput::Remove(element), answer)
        }
        _ => {
            let copies = || u64::try_from(raw.output.int()?).ok().map(BagOutput::Copies);
            (BagInput::Count(element), succeeded(raw, copies))
        }
    })
}

fn queue(raw: &RawOperation) -> Parsed<QueueInput<Datum>, QueueOutput<Datum>> {
    Ok(match raw.f.as_str() {
        "enq" | "enqueue" => {
            let input = QueueInput::Enqueue(raw.value.clone());
            (input, succeeded(raw, || Some(QueueOutput::Done)))
        }
        _ => {
            let seen = || Some(QueueOutput::Removed(raw.output.some()));
            (QueueInput::Dequeue, succeeded(raw, seen))
        }
    })
}

fn stack(raw: &RawOperation) -> Parsed<StackInput<Datum>, StackOutput<Datum>> {
    Ok(match raw.f.as_str() {
        "push" => {
            let input = StackInput::Push(raw.value.clone());
            (input, succeeded(raw, || Some(StackOutput::Done)))
        }
        _ => {
            let seen = || Some(StackOutput::Removed(raw.output.some()));
            (StackInput::Pop, succeeded(raw, seen))
        }
    })
}

fn priority_queue(
    raw: &RawOperation,
) -> Parsed<PriorityQueueInput<Datum>, PriorityQueueOutput<Datum>> {
    Ok(match raw.f.as_str() {
        "insert" => {
            let input = PriorityQueueInput::Insert(raw.value.clone());
            (input, succeeded(raw, || Some(PriorityQueueOutput::Done)))
        }
        _ => {
            let seen = || Some(PriorityQueueOutput::Removed(raw.output.some()));
            (PriorityQueueInput::Poll, succeeded(raw, seen))
        }
    })
}

fn counter(raw: &RawOperation) -> Parsed<CounterInput, CounterOutput> {
    let delta = || raw.value.int().ok_or("the value is not a whole number");
    let value = || raw.output.int().map(CounterOutput::Value);
    Ok(match raw.f.as_str() {
        "add" => (CounterInput::Add(delta()?), succeeded(raw, || Some(CounterOutput::Done))),
        "add-and-get" => (CounterInput::AddAndRead(delta()?), succeeded(raw, value)),
        _ => (CounterInput::Read, succeeded(raw, value)),
    })
}

fn lock(raw: &RawOperation) -> Parsed<LockInput, LockOutput> {
    let owner = raw.client;
    let answer = |yes: LockOutput, no: LockOutput| match raw.ok {
        Some(true) => Answer::Is(yes),
        _ => Answer::Is(no),
    };
    Ok(match raw.f.as_str() {
        "acquire" => {
            let token = raw.output.int().and_then(|token| u64::try_from(token).ok());
            let granted = LockOutput::Granted { token };
            (LockInput::Acquire { owner }, answer(granted, LockOutput::Busy))
        }
        "release" => {
            (LockInput::Release { owner }, answer(LockOutput::Released, LockOutput::NotHeld))
        }
        _ => {
            let token = raw.value.int().and_then(|token| u64::try_from(token).ok());
            let input = LockInput::Guarded { token: token.ok_or("the value is not a token")? };
            (input, answer(LockOutput::Accepted, LockOutput::Rejected))
        }
    })
}

fn log(raw: &RawOperation) -> Parsed<LogInput<Datum>, LogOutput<Datum>> {
    let natural = |datum: &Datum| datum.int().and_then(|n| u64::try_from(n).ok());
    Ok(match raw.f.as_str() {
        "append" => {
            let offset = || natural(&raw.output).map(LogOutput::Offset);
            (LogInput::Append(raw.value.clone()), succeeded(raw, offset))
        }
        "read" => {
            let offset = natural(&raw.value).ok_or("the value is not an offset")?;
            let seen = || Some(LogOutput::Record(raw.output.some()));
            (LogInput::Read(offset), succeeded(raw, seen))
        }
        "length" => {
            (LogInput::Length, succeeded(raw, || natural(&raw.output).map(LogOutput::Length)))
        }
        _ => {
            let seen = || match &raw.output {
                Datum::List(records) => Some(LogOutput::Records(records.clone())),
                _ => None,
            };
            (LogInput::ReadAll, succeeded(raw, seen))
        }
    })
}
