//! Depth-first search for a linearization.
//!
//! Wing and Gong, *Testing and verifying concurrent objects* (1993), section 4, with the memory of
//! Lowe, *Testing for linearizability* (2017), section 5: a doubly linked list of events from which
//! an operation is lifted when it is placed and put back when the search returns, and a set of the
//! configurations already tried. Iterative; indeterminate operations have no response event, so
//! they may be placed anywhere after their call, or never.

use super::fingerprint::{self, Seen};
use super::machine::Machine;
use super::part::Part;
use crate::verdict::{Budget, Limit};

/// How a search ended. Operations are positions in the part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// An order that explains everything.
    Order(Vec<u32>),
    /// No order explains the response of `operation`; `prefix` explains everything before it.
    Stuck { operation: u32, prefix: Vec<u32> },
    /// The budget ran out.
    OutOf(Limit),
}

/// What a search spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) configurations: u64,
    pub(crate) bytes: u64,
}

/// End of the event list, in both directions.
const HEAD: u32 = 0;

/// A call or a response in the list; index 0 is the head.
#[derive(Clone, Copy)]
struct Node {
    previous: u32,
    next: u32,
    /// Position of the operation.
    operation: u32,
    /// For a call: its response, [`HEAD`] if there is none. For a response: [`HEAD`].
    mate: u32,
}

const RESPONSE: u8 = 1;
const PURE: u8 = 2;
const KNOWN: u8 = 4;

struct Events {
    nodes: Vec<Node>,
    flags: Vec<u8>,
    any_pure: bool,
}

impl Events {
    fn new<M: Machine>(part: &Part<'_>, machine: &M) -> Self {
        let events = part.events();
        let mut nodes = vec![Node { previous: 0, next: 0, operation: 0, mate: 0 }];
        let mut flags = vec![0];
        nodes.reserve(events.len());
        let mut any_pure = false;
        let mut call_of = vec![0_u32; part.len()];
        for event in events {
            let (operation, here) = (event >> 1, nodes.len() as u32);
            let mut flag = 0;
            if event & 1 == 1 {
                nodes[call_of[operation as usize] as usize].mate = here;
                flag |= RESPONSE;
            } else {
                call_of[operation as usize] = here;
                if part.spans[operation as usize].known {
                    flag |= KNOWN;
                }
                if machine.is_pure(operation) {
                    flag |= PURE;
                    any_pure = true;
                }
            }
            nodes.push(Node { previous: here - 1, next: HEAD, operation, mate: HEAD });
            nodes[here as usize - 1].next = here;
            flags.push(flag);
        }
        nodes[0].previous = nodes.len() as u32 - 1;
        Self { nodes, flags, any_pure }
    }

    fn unlink(&mut self, node: u32) {
        let Node { previous, next, .. } = self.nodes[node as usize];
        self.nodes[previous as usize].next = next;
        self.nodes[next as usize].previous = previous;
    }

    fn relink(&mut self, node: u32) {
        let Node { previous, next, .. } = self.nodes[node as usize];
        self.nodes[previous as usize].next = node;
        self.nodes[next as usize].previous = node;
    }

    fn lift(&mut self, call: u32) {
        self.unlink(call);
        let mate = self.nodes[call as usize].mate;
        if mate != HEAD {
            self.unlink(mate);
        }
    }

    fn unlift(&mut self, call: u32) {
        let mate = self.nodes[call as usize].mate;
        if mate != HEAD {
            self.relink(mate);
        }
        self.relink(call);
    }
}

/// One placed operation and what to go back to.
#[derive(Clone, Copy)]
struct Frame {
    call: u32,
    state: u32,
    fingerprint: u128,
}

/// The longest explanation met so far, kept cheaply: only what changed since it was last better.
#[derive(Default)]
struct Furthest {
    response: u32,
    prefix: Vec<u32>,
    /// The stack and `prefix` agree below this height.
    agreed: usize,
}

impl Furthest {
    fn blocked_at(&mut self, response: u32, stack: &[Frame]) {
        if response > self.response {
            self.response = response;
            self.prefix.truncate(self.agreed);
            self.prefix.extend(stack[self.agreed..].iter().map(|frame| frame.call));
            self.agreed = stack.len();
        }
    }
}

/// Where the search stands.
struct Walk<'a, M> {
    events: Events,
    machine: &'a mut M,
    seen: Seen,
    stack: Vec<Frame>,
    furthest: Furthest,
    state: u32,
    set: u128,
    /// Known operations not yet placed.
    remaining: usize,
    /// Whether only pure operations are being placed.
    pure_pass: bool,
    /// The event looked at.
    entry: u32,
}

/// Searches one part. Pure operations that fit are placed before any other is tried, and never
/// taken back: placing them earlier than any completion does leaves that completion legal.
pub(crate) fn search<M: Machine>(
    part: &Part<'_>,
    machine: &mut M,
    budget: Budget,
    spent: &mut Spent,
) -> Found {
    let mut walk = Walk::new(part, machine);
    let mut left = budget.configurations;
    while walk.remaining > 0 {
        let entry = walk.entry;
        if entry != HEAD && walk.events.flags[entry as usize] & RESPONSE == 0 {
            if walk.place(entry) {
                if left == 0 {
                    return Found::OutOf(Limit::Configurations);
                }
                left -= 1;
                spent.configurations += 1;
                let bytes = walk.bytes();
                spent.bytes = spent.bytes.max(bytes);
                if bytes > budget.bytes {
                    return Found::OutOf(Limit::Bytes);
                }
            }
        } else if walk.pure_pass {
            walk.pure_pass = false;
            walk.entry = walk.events.nodes[HEAD as usize].next;
        } else if !walk.go_back() {
            return walk.stuck();
        }
    }
    let operation_of = |frame: &Frame| walk.events.nodes[frame.call as usize].operation;
    Found::Order(walk.stack.iter().map(operation_of).collect())
}

impl<'a, M: Machine> Walk<'a, M> {
    fn new(part: &Part<'_>, machine: &'a mut M) -> Self {
        let events = Events::new(part, machine);
        Self {
            seen: Seen::new(),
            stack: Vec::with_capacity(part.len()),
            furthest: Furthest::default(),
            state: machine.initial(),
            set: 0,
            remaining: part.spans.iter().filter(|span| span.known).count(),
            pure_pass: events.any_pure,
            entry: events.nodes[HEAD as usize].next,
            events,
            machine,
        }
    }

    fn bytes(&self) -> u64 {
        self.seen.bytes() + self.machine.bytes()
    }

    /// Places the operation called at `entry` if it fits and leads somewhere new; moves on.
    fn place(&mut self, entry: u32) -> bool {
        let flags = self.events.flags[entry as usize];
        let Node { operation, next, mate, .. } = self.events.nodes[entry as usize];
        self.entry = next;
        // Unknown pure operations tell nothing; the other pure ones have their own pass.
        if (flags & PURE != 0) != self.pure_pass || flags & (PURE | KNOWN) == PURE {
            return false;
        }
        let Some(after) = self.machine.step(self.state, operation) else { return false };
        // An unknown operation without effect is as good as one that never happened.
        if flags & KNOWN == 0 && after == self.state {
            return false;
        }
        let with = self.set ^ fingerprint::of_operation(operation);
        if flags & PURE == 0 && !self.seen.insert(with ^ fingerprint::of_state(after)) {
            return false;
        }
        self.stack.push(Frame { call: entry, state: self.state, fingerprint: self.set });
        (self.state, self.set) = (after, with);
        self.events.lift(entry);
        self.remaining -= usize::from(flags & KNOWN != 0);
        if flags & PURE == 0 {
            self.pure_pass = self.events.any_pure;
            self.entry = self.events.nodes[HEAD as usize].next;
        } else if next == mate {
            self.entry = self.events.nodes[mate as usize].next;
        }
        true
    }

    /// Back to the latest choice, a pure operation being none; `false` if there was none.
    fn go_back(&mut self) -> bool {
        self.furthest.blocked_at(self.entry, &self.stack);
        while let Some(frame) = self.stack.pop() {
            (self.state, self.set) = (frame.state, frame.fingerprint);
            self.events.unlift(frame.call);
            let flags = self.events.flags[frame.call as usize];
            self.remaining += usize::from(flags & KNOWN != 0);
            if flags & PURE == 0 {
                self.entry = self.events.nodes[frame.call as usize].next;
                self.furthest.agreed = self.furthest.agreed.min(self.stack.len());
                return true;
            }
        }
        false
    }

    fn stuck(&self) -> Found {
        let operation_of = |node: u32| self.events.nodes[node as usize].operation;
        Found::Stuck {
            operation: operation_of(self.furthest.response),
            prefix: self.furthest.prefix.iter().map(|call| operation_of(*call)).collect(),
        }
    }
}
