//! Depth-first search for a linearization.
//!
//! Wing and Gong, *Testing and verifying concurrent objects* (1993), section 4, with the memory of
//! Lowe, *Testing for linearizability* (2017), section 5: operations are placed one after the
//! other, and a set of the configurations already tried is kept. Iterative.
//!
//! What is tried first decides how long a correct history takes. First comes the operation that
//! responds next, then what else is open, in the order of the calls. Where to put the indeterminate
//! operations, [`Pending`] says. Of interchangeable operations (equal input and output) one goes
//! first, by exchange: of those that responded the one that did so first, of the others the one
//! called first. Left out is besides what commutes with all that the next response can depend on:
//! see [`super::depends`].

use super::depends::depends;
use super::fingerprint::{self, Seen};
use super::machine::Machine;
use super::part::Part;
use crate::meter::Meter;
use crate::verdict::Limit;

/// When operations are tried that may never have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    /// As the others, in the order of the calls: the way of objects whose operations hide what was
    /// there before, where one too many does no harm.
    AsCalled,
    /// Only where nothing else is left to explain the next response, and at most so many without a
    /// known operation between them: the way of objects that add up, where an answer tells of all
    /// that came before. Most that hold need one or two, and no answer tells the many subsets of
    /// more from one another.
    Last {
        /// How many in a row.
        in_a_row: u32,
    },
}

/// How a search ended. Operations are positions in the part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// An order that explains everything.
    Order(Vec<u32>),
    /// No order explains the response of `operation`; `prefix` explains everything before it.
    Stuck { operation: u32, prefix: Vec<u32> },
    /// Nothing was found, but more indeterminate operations in a row were not tried.
    Limited,
    /// The budget ran out.
    OutOf(Limit),
}

/// Ends the list of calls, in both directions.
const HEAD: u32 = 0;

const PURE: u8 = 1;
const KNOWN: u8 = 2;
/// Another operation that responded is interchangeable with it.
const TWIN: u8 = 4;

/// What is left of a part: a list of the known operations in the order of their calls, from which
/// one is lifted when it is placed and to which it is put back when the search returns (Lowe 2017,
/// section 5), and the indeterminate ones by class.
struct Left {
    /// The next and the previous call of a known operation, by position plus one.
    next: Vec<u32>,
    previous: Vec<u32>,
    /// The place of each call and response among the events.
    call_at: Vec<u32>,
    response_at: Vec<u32>,
    flags: Vec<u8>,
    /// Known operations in the order of their responses.
    responses: Vec<u32>,
    placed: Vec<bool>,
    /// The first of `responses` that is not placed.
    first: u32,
    pending: Vec<Lost>,
    /// The class of each indeterminate operation, as an index of `pending`.
    pending_of: Vec<u32>,
    any_pure: bool,
}

/// Interchangeable indeterminate operations in the order of their calls.
struct Lost {
    members: Vec<u32>,
    used: u32,
}

impl Left {
    fn new<M: Machine>(part: &Part<'_>, machine: &M) -> Self {
        let count = part.len();
        let mut left = Self {
            next: vec![HEAD; count + 1],
            previous: vec![HEAD; count + 1],
            call_at: vec![0; count],
            response_at: vec![u32::MAX; count],
            flags: vec![0; count],
            responses: Vec::with_capacity(count),
            placed: vec![false; count],
            first: 0,
            pending: Vec::new(),
            pending_of: vec![u32::MAX; count],
            any_pure: false,
        };
        let mut class_at = vec![u32::MAX; count];
        for (at, event) in (0_u32..).zip(part.events()) {
            let position = event >> 1;
            if event & 1 == 1 {
                left.response_at[position as usize] = at;
                left.responses.push(position);
                continue;
            }
            left.call_at[position as usize] = at;
            let pure = machine.is_pure(position);
            let class = &mut class_at[machine.class(position) as usize];
            if part.spans[position as usize].known {
                left.any_pure |= pure;
                left.flags[position as usize] = KNOWN | if pure { PURE } else { 0 };
                left.append(position);
                if *class != u32::MAX {
                    left.flags[position as usize] |= TWIN;
                    left.flags[*class as usize] |= TWIN;
                }
                *class = position;
            } else if !pure {
                // An unknown operation without effect tells nothing.
                if *class == u32::MAX {
                    *class = left.pending.len() as u32;
                    left.pending.push(Lost { members: Vec::new(), used: 0 });
                }
                left.pending_of[position as usize] = *class;
                left.pending[*class as usize].members.push(position);
            }
        }
        left
    }

    fn append(&mut self, position: u32) {
        let (node, last) = (position + 1, self.previous[HEAD as usize]);
        self.previous[node as usize] = last;
        self.next[last as usize] = node;
        self.next[node as usize] = HEAD;
        self.previous[HEAD as usize] = node;
    }

    fn is_known(&self, position: u32) -> bool {
        self.flags[position as usize] & KNOWN != 0
    }

    fn is_pure(&self, position: u32) -> bool {
        self.flags[position as usize] & PURE != 0
    }

    /// The operation that responds next, of those not placed.
    fn first_response(&self) -> Option<u32> {
        self.responses.get(self.first as usize).copied()
    }

    /// What was called before this place among the events can be placed now.
    fn until(&self) -> u32 {
        self.first_response().map_or(u32::MAX, |first| self.response_at[first as usize])
    }

    /// The known operation after a node of the list that can be placed now.
    fn open_after(&self, node: u32, until: u32) -> Option<u32> {
        let next = self.next[node as usize];
        let is_open = next != HEAD && self.call_at[next as usize - 1] < until;
        is_open.then(|| next - 1)
    }

    fn lift(&mut self, position: u32) {
        if !self.is_known(position) {
            self.pending[self.pending_of[position as usize] as usize].used += 1;
            return;
        }
        let node = position as usize + 1;
        let (previous, next) = (self.previous[node], self.next[node]);
        self.next[previous as usize] = next;
        self.previous[next as usize] = previous;
        self.placed[position as usize] = true;
        while self.first_response().is_some_and(|first| self.placed[first as usize]) {
            self.first += 1;
        }
    }

    fn put_back(&mut self, position: u32, first: u32) {
        self.first = first;
        if !self.is_known(position) {
            self.pending[self.pending_of[position as usize] as usize].used -= 1;
            return;
        }
        let node = position as usize + 1;
        let (previous, next) = (self.previous[node], self.next[node]);
        self.next[previous as usize] = position + 1;
        self.previous[next as usize] = position + 1;
        self.placed[position as usize] = false;
    }
}

/// What of a configuration was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing yet.
    New,
    /// The operation that responds next.
    First,
    /// That, and what is not on the list any more.
    Listed,
}

/// One placed operation and what to go back to.
#[derive(Clone, Copy)]
struct Frame {
    operation: u32,
    state: u32,
    fingerprint: u128,
    first: u32,
    stage: Stage,
    start: u32,
    row: u32,
}

/// The longest explanation met so far, kept cheaply: only what changed since it was last better.
#[derive(Default)]
struct Furthest {
    /// How many responses it explains; the next one it does not.
    responses: u32,
    prefix: Vec<u32>,
    /// The stack and `prefix` agree below this height.
    agreed: usize,
}

impl Furthest {
    fn blocked_at(&mut self, responses: u32, stack: &[Frame]) {
        if responses > self.responses {
            self.responses = responses;
            self.prefix.truncate(self.agreed);
            self.prefix.extend(stack[self.agreed..].iter().map(|frame| frame.operation));
            self.agreed = stack.len();
        }
    }
}

/// Where the search stands.
struct Walk<'a, M> {
    left: Left,
    machine: &'a mut M,
    meter: &'a mut Meter,
    seen: Seen,
    stack: Vec<Frame>,
    furthest: Furthest,
    state: u32,
    set: u128,
    stage: Stage,
    /// Operations still to try, of one configuration after the other; the next is the last.
    list: Vec<u32>,
    /// Where in `list` those of the present configuration begin.
    start: u32,
    pending: Pending,
    /// Indeterminate operations placed since the latest known one.
    row: u32,
    /// Whether more in a row were not tried somewhere.
    limited: bool,
}

/// Searches one part. Pure operations that fit are placed before any other is tried, and never
/// taken back: placing them earlier than any completion does leaves that completion legal.
pub(crate) fn search<M: Machine>(
    part: &Part<'_>,
    machine: &mut M,
    meter: &mut Meter,
    pending: Pending,
) -> Found {
    let mut walk = Walk {
        left: Left::new(part, machine),
        seen: Seen::new(),
        stack: Vec::with_capacity(part.len()),
        furthest: Furthest::default(),
        state: machine.initial(),
        set: 0,
        stage: Stage::New,
        list: Vec::new(),
        start: 0,
        pending,
        row: 0,
        limited: false,
        machine,
        meter,
    };
    match walk.run() {
        Ok(found) => found,
        Err(limit) => Found::OutOf(limit),
    }
}

impl<M: Machine> Walk<'_, M> {
    fn run(&mut self) -> Result<Found, Limit> {
        self.place_pure()?;
        while self.left.first_response().is_some() {
            match self.choose()? {
                Some((operation, after)) => {
                    self.place(operation, after)?;
                    self.place_pure()?;
                }
                None if self.go_back() => {}
                None if self.limited => return Ok(Found::Limited),
                None => return Ok(self.stuck()),
            }
        }
        Ok(Found::Order(self.stack.iter().map(|frame| frame.operation).collect()))
    }

    /// The next operation to place that leads somewhere new, and the state after it.
    fn choose(&mut self) -> Result<Option<(u32, u32)>, Limit> {
        loop {
            let operation = match self.stage {
                Stage::New => {
                    self.stage = Stage::First;
                    // A pure one that fitted would be placed.
                    match self.left.first_response().filter(|first| !self.left.is_pure(*first)) {
                        Some(first) => first,
                        None => continue,
                    }
                }
                Stage::First => {
                    self.stage = Stage::Listed;
                    self.list_others()?;
                    continue;
                }
                Stage::Listed if self.list.len() > self.start as usize => {
                    self.list.pop().expect("longer than something")
                }
                Stage::Listed => return Ok(None),
            };
            let known = self.left.is_known(operation);
            if let Pending::Last { in_a_row } = self.pending
                && !known
                && self.row >= in_a_row
            {
                self.limited = true;
                continue;
            }
            self.meter.look(1)?;
            let Some(after) = self.machine.step(self.state, operation) else { continue };
            // An unknown operation without effect is as good as one that never happened.
            if after == self.state && !known {
                continue;
            }
            let with = self.set ^ fingerprint::of_operation(operation);
            if self.seen.insert(with ^ fingerprint::of_state(after)) {
                return Ok(Some((operation, after)));
            }
        }
    }

    /// Lists what can be placed now besides the operation that responds next, to be tried from the
    /// end.
    fn list_others(&mut self) -> Result<(), Limit> {
        let Some(first) = self.left.first_response() else { return Ok(()) };
        let until = self.left.until();
        let start = self.list.len();
        for class in &self.left.pending {
            let next = class.members.get(class.used as usize);
            self.list.extend(next.filter(|next| self.left.call_at[**next as usize] < until));
        }
        let mut node = HEAD;
        while let Some(operation) = self.left.open_after(node, until) {
            node = operation + 1;
            if operation != first {
                self.list.push(operation);
            }
        }
        // Positions are in the order of the calls; a flag in the highest bit puts what may never
        // have happened behind all others.
        let last = self.pending != Pending::AsCalled;
        let flag = |operation: u32| u32::from(last && !self.left.is_known(operation)) << 31;
        let list = &mut self.list[start..];
        // From the last to the first, as the complements of the keys are sorted.
        list.iter_mut().for_each(|operation| *operation = !(*operation | flag(*operation)));
        list.sort_unstable();
        list.iter_mut().for_each(|operation| *operation = !*operation & !(1 << 31));
        depends(self.machine, self.meter, self.state, first, &mut self.list, start)?;
        let mut kept = start;
        for at in start..self.list.len() {
            let operation = self.list[at];
            if !self.left.is_pure(operation) && !self.stands_back(operation, first, start) {
                self.list[kept] = operation;
                kept += 1;
            }
        }
        self.list.truncate(kept);
        Ok(())
    }

    /// Whether an interchangeable operation that is open responds earlier.
    fn stands_back(&self, operation: u32, first: u32, start: usize) -> bool {
        if self.left.flags[operation as usize] & TWIN == 0 {
            return false;
        }
        let class = self.machine.class(operation);
        let end = self.left.response_at[operation as usize];
        let goes_first = |other: &u32| {
            self.machine.class(*other) == class && self.left.response_at[*other as usize] < end
        };
        goes_first(&first) || self.list[start..].iter().any(goes_first)
    }

    fn place(&mut self, operation: u32, after: u32) -> Result<(), Limit> {
        self.meter.expand()?;
        self.meter.hold(self.seen.bytes() + self.machine.bytes())?;
        self.stack.push(Frame {
            operation,
            state: self.state,
            fingerprint: self.set,
            first: self.left.first,
            stage: self.stage,
            start: self.start,
            row: self.row,
        });
        self.row = if self.left.is_known(operation) { 0 } else { self.row + 1 };
        self.set ^= fingerprint::of_operation(operation);
        self.state = after;
        self.left.lift(operation);
        (self.stage, self.start) = (Stage::New, self.list.len() as u32);
        Ok(())
    }

    /// Places every pure operation that is open and fits.
    fn place_pure(&mut self) -> Result<(), Limit> {
        if !self.left.any_pure {
            return Ok(());
        }
        let mut node = HEAD;
        while let Some(operation) = self.left.open_after(node, self.left.until()) {
            let fits = self.left.is_pure(operation) && {
                self.meter.look(1)?;
                self.machine.step(self.state, operation).is_some()
            };
            if fits {
                self.place(operation, self.state)?;
            } else {
                node = operation + 1;
            }
        }
        Ok(())
    }

    /// Back to the latest choice, a pure operation being none; `false` if there was none.
    fn go_back(&mut self) -> bool {
        self.furthest.blocked_at(self.left.first, &self.stack);
        while let Some(frame) = self.stack.pop() {
            (self.state, self.set) = (frame.state, frame.fingerprint);
            self.list.truncate(self.start as usize);
            (self.stage, self.start, self.row) = (frame.stage, frame.start, frame.row);
            self.left.put_back(frame.operation, frame.first);
            if !self.left.is_pure(frame.operation) {
                self.furthest.agreed = self.furthest.agreed.min(self.stack.len());
                return true;
            }
        }
        false
    }

    fn stuck(&self) -> Found {
        let operation = self.left.responses[self.furthest.responses as usize];
        Found::Stuck { operation, prefix: self.furthest.prefix.clone() }
    }
}
