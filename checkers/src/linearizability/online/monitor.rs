//! Any model, judged while it runs.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use rustc_hash::{FxHashMap, FxHasher};

use super::window::Window;
use super::{Breach, Inbox, Standing};
use crate::meter::Meter;
use crate::models::Model;
use crate::verdict::Budget;

/// How an operation ended.
enum Ending<O> {
    Answer(O),
    Failure,
}

/// One key: an input that names it, and what is remembered of it.
struct Part<M: Model> {
    example: M::Input,
    window: Window<M>,
}

/// Judges operations of any model as they are called and respond, each key apart.
///
/// Lowe, *Testing for linearizability* (2017), section 6. Memory: the events since the earliest
/// call that is still open, the configurations at those calls, and the indeterminate operations
/// that may still take effect. Call [`Self::give_up`] for every operation whose client stopped
/// waiting, or nothing after its call can ever be forgotten.
///
/// ```
/// use seedfall_checkers::Budget;
/// use seedfall_checkers::linearizability::online::{Monitor, Standing};
/// use seedfall_checkers::models::{Register, RegisterInput, RegisterOutput};
///
/// let mut monitor = Monitor::new(Register { initial: 0 }, Budget::DEFAULT);
/// let write = monitor.call(10, RegisterInput::Write(7));
/// monitor.complete(write, 20, RegisterOutput::Done);
/// let read = monitor.call(30, RegisterInput::Read);
/// monitor.complete(read, 40, RegisterOutput::Value(0));
/// assert!(matches!(monitor.settle(), Standing::Violated(breach) if breach.operation == read));
/// ```
pub struct Monitor<M: Model> {
    model: M,
    meter: Meter,
    parts: Vec<Part<M>>,
    /// Parts by the hash of their key; never iterated.
    by_key: FxHashMap<u64, Vec<u32>>,
    /// The part of each open operation.
    open: BTreeMap<u32, u32>,
    inbox: Inbox<Ending<M::Output>>,
    standing: Standing,
    called: u32,
}

impl<M: Model> Monitor<M>
where
    M::Input: Clone,
{
    /// A monitor before the first call; the budget is for the whole run.
    #[must_use]
    pub fn new(model: M, budget: Budget) -> Self {
        Self {
            model,
            meter: Meter::new(budget),
            parts: Vec::new(),
            by_key: FxHashMap::default(),
            open: BTreeMap::new(),
            inbox: Inbox::new(),
            standing: Standing::Holds,
            called: 0,
        }
    }

    /// An operation was called; returns its number: 0, 1, and so on in the order of the calls.
    pub fn call(&mut self, time: u64, input: M::Input) -> u32 {
        let due = self.inbox.advance(time);
        self.judge(due);
        let operation = self.called;
        self.called += 1;
        if self.standing == Standing::Holds {
            let part = self.part_of(&input);
            self.parts[part as usize].window.call(operation, input);
            self.open.insert(operation, part);
        }
        operation
    }

    /// The answer to an operation came.
    pub fn complete(&mut self, operation: u32, time: u64, output: M::Output) {
        self.end(operation, time, Ending::Answer(output));
    }

    /// An operation certainly never happened.
    pub fn fail(&mut self, operation: u32, time: u64) {
        self.end(operation, time, Ending::Failure);
    }

    /// The answer to an operation will never come: it may take effect at any time from its call.
    pub fn give_up(&mut self, operation: u32) {
        if self.inbox.waiting.contains_key(&operation) {
            return; // Its answer came at this very instant.
        }
        if let Some(part) = self.open.remove(&operation) {
            self.parts[part as usize].window.give_up(operation);
        }
    }

    /// What is known of the responses before the latest instant.
    #[must_use]
    pub const fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Judges the responses of the latest instant as well: no call of that instant will follow.
    pub fn settle(&mut self) -> &Standing {
        let due = self.inbox.take();
        self.judge(due);
        &self.standing
    }

    /// How many operations, events, states and configurations are remembered.
    #[must_use]
    pub fn size(&self) -> usize {
        self.parts.iter().map(|part| part.window.size()).sum()
    }

    fn end(&mut self, operation: u32, time: u64, ending: Ending<M::Output>) {
        let due = self.inbox.advance(time);
        self.judge(due);
        if self.open.contains_key(&operation) {
            self.inbox.waiting.entry(operation).or_insert(ending);
        }
    }

    fn judge(&mut self, (time, due): (u64, BTreeMap<u32, Ending<M::Output>>)) {
        for (operation, ending) in due {
            if self.standing != Standing::Holds {
                return;
            }
            let Some(part) = self.open.remove(&operation) else { continue };
            let window = &mut self.parts[part as usize].window;
            let held = match ending {
                Ending::Answer(output) => {
                    window.respond(&self.model, operation, output, &mut self.meter)
                }
                Ending::Failure => window.fail(&self.model, operation, &mut self.meter),
            };
            match held {
                Ok(true) => {}
                Ok(false) => {
                    let operations = window.remembered();
                    self.standing = Standing::Violated(Breach { operation, time, operations });
                }
                Err(limit) => self.standing = Standing::Unknown(limit),
            }
        }
    }

    /// The part that an input belongs to, made if it is new.
    fn part_of(&mut self, input: &M::Input) -> u32 {
        let key = self.model.partition(input);
        let mut hasher = FxHasher::default();
        key.hash(&mut hasher);
        let same = self.by_key.entry(hasher.finish()).or_default();
        let found = same
            .iter()
            .find(|part| self.model.partition(&self.parts[**part as usize].example) == key);
        if let Some(part) = found {
            return *part;
        }
        let part = self.parts.len() as u32;
        same.push(part);
        let window = Window::new(&self.model);
        self.parts.push(Part { example: input.clone(), window });
        part
    }
}
