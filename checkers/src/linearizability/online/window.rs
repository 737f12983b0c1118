//! The part of a run that is not settled yet, and its frontier.
//!
//! The answer of an operation is known only when it responds, so what was searched since its call
//! took it for indeterminate. Therefore the frontier at the call of every open operation is kept,
//! and a response searches again from there. An operation that stays open for long costs the others
//! nothing, and once itself.
//!
//! Reductions are those of `breadth_first` that need no future: pure answers are placed at once; of
//! equal operations one goes first, by exchange; a configuration is dropped if another with the
//! same state and effects used fewer indeterminate operations and placed more pure ones. Forgotten
//! are operations that every configuration has placed, and events before the earliest open call.

use std::collections::{BTreeMap, VecDeque};

use rustc_hash::FxHashMap;

use crate::interner::{Interner, weigh};
use crate::meter::Meter;
use crate::models::Model;
use crate::verdict::Limit;

/// A state, and which open operations are placed; numbers in increasing order.
#[derive(Clone)]
struct Configuration {
    state: u32,
    /// With a known answer and an effect.
    effects: Vec<u32>,
    /// With a known answer and no effect.
    pure: Vec<u32>,
    /// Without a known answer.
    used: Vec<u32>,
}

impl Configuration {
    fn bytes(&self) -> u64 {
        let numbers = self.effects.len() + self.pure.len() + self.used.len();
        (size_of::<Self>() + numbers * size_of::<u32>()) as u64
    }
}

struct Called<I, O> {
    input: I,
    output: Option<O>,
    /// Place of the call in the log.
    call: u64,
    /// Place of the response in the log.
    response: Option<u64>,
}

/// What is being placed to explain one response.
struct Met {
    configurations: Vec<Option<Configuration>>,
    /// By state and effects; never iterated.
    twins: FxHashMap<(u32, Vec<u32>), Vec<u32>>,
    /// By the number of indeterminate operations used.
    buckets: Vec<Vec<u32>>,
    /// How often two of them were compared.
    compared: usize,
    bytes: u64,
}

/// One independent part of the run.
pub(super) struct Window<M: Model> {
    states: Interner<M::State>,
    state_bytes: u64,
    operations: BTreeMap<u32, Called<M::Input, M::Output>>,
    /// Calls, and responses (`true`), from the earliest call of an open operation on.
    log: VecDeque<(u32, bool)>,
    /// Events forgotten.
    start: u64,
    /// The frontier at the call of each open operation.
    at_call: BTreeMap<u32, Vec<Configuration>>,
    frontier: Vec<Configuration>,
    forget_at: usize,
}

fn add(numbers: &[u32], number: u32) -> Vec<u32> {
    let mut numbers = numbers.to_vec();
    let at = numbers.partition_point(|other| *other < number);
    numbers.insert(at, number);
    numbers
}

fn has(numbers: &[u32], number: u32) -> bool {
    numbers.binary_search(&number).is_ok()
}

fn drop_from(numbers: &mut Vec<u32>, number: u32) {
    if let Ok(at) = numbers.binary_search(&number) {
        numbers.remove(at);
    }
}

fn is_subset(small: &[u32], large: &[u32]) -> bool {
    small.len() <= large.len() && small.iter().all(|number| has(large, *number))
}

impl<M: Model> Window<M> {
    pub(super) fn new(model: &M) -> Self {
        let mut states = Interner::new();
        let state = states.intern(model.initial());
        let first =
            Configuration { state, effects: Vec::new(), pure: Vec::new(), used: Vec::new() };
        Self {
            states,
            state_bytes: 0,
            operations: BTreeMap::new(),
            log: VecDeque::new(),
            start: 0,
            at_call: BTreeMap::new(),
            frontier: vec![first],
            forget_at: 64,
        }
    }

    /// The operations that are remembered.
    pub(super) fn remembered(&self) -> Vec<u32> {
        self.operations.keys().copied().collect()
    }

    /// How much is remembered: operations, events, states and configurations.
    pub(super) fn size(&self) -> usize {
        let kept: usize = self.at_call.values().map(Vec::len).sum();
        self.operations.len() + self.log.len() + self.states.len() + kept + self.frontier.len()
    }

    fn end(&self) -> u64 {
        self.start + self.log.len() as u64
    }

    pub(super) fn call(&mut self, operation: u32, input: M::Input) {
        let called = Called { input, output: None, call: self.end(), response: None };
        self.operations.insert(operation, called);
        self.log.push_back((operation, false));
        self.at_call.insert(operation, self.frontier.clone());
    }

    /// The answer came; whether the run so far can be explained.
    pub(super) fn respond(
        &mut self,
        model: &M,
        operation: u32,
        output: M::Output,
        meter: &mut Meter,
    ) -> Result<bool, Limit> {
        let (Some(frontier), end) = (self.at_call.remove(&operation), self.end()) else {
            return Ok(true);
        };
        let Some(called) = self.operations.get_mut(&operation) else { return Ok(true) };
        (called.output, called.response) = (Some(output), Some(end));
        let from = called.call;
        self.log.push_back((operation, true));
        self.frontier = frontier;
        self.search_again(model, from, meter)
    }

    /// It certainly never happened; whether the run so far can be explained.
    pub(super) fn fail(
        &mut self,
        model: &M,
        operation: u32,
        meter: &mut Meter,
    ) -> Result<bool, Limit> {
        let Some(frontier) = self.at_call.remove(&operation) else { return Ok(true) };
        let Some(called) = self.operations.remove(&operation) else { return Ok(true) };
        self.frontier = frontier;
        self.search_again(model, called.call, meter)
    }

    /// The answer will never come: it may take effect at any time.
    pub(super) fn give_up(&mut self, operation: u32) {
        self.at_call.remove(&operation);
        self.trim();
    }

    /// Replays the log from a place on.
    fn search_again(&mut self, model: &M, from: u64, meter: &mut Meter) -> Result<bool, Limit> {
        let open_then = |called: &Called<M::Input, M::Output>| {
            called.call < from && called.response.is_none_or(|response| response >= from)
        };
        let open = self.operations.iter().filter(|(_, called)| open_then(called));
        let mut open: Vec<u32> = open.map(|(operation, _)| *operation).collect();
        for place in (from - self.start) as usize..self.log.len() {
            let (operation, responds) = self.log[place];
            if responds {
                self.explain(model, operation, &open, meter)?;
                open.retain(|other| *other != operation);
                if self.frontier.is_empty() {
                    return Ok(false);
                }
            } else if self.operations.contains_key(&operation) {
                open.push(operation);
                if let Some(frontier) = self.at_call.get_mut(&operation) {
                    frontier.clone_from(&self.frontier);
                }
            }
        }
        self.trim();
        Ok(true)
    }

    /// Replaces the frontier by the configurations in which `operation` is placed.
    fn explain(
        &mut self,
        model: &M,
        operation: u32,
        open: &[u32],
        meter: &mut Meter,
    ) -> Result<(), Limit> {
        let mut met = Met {
            configurations: Vec::new(),
            twins: FxHashMap::default(),
            buckets: Vec::new(),
            compared: 0,
            bytes: 0,
        };
        for configuration in std::mem::take(&mut self.frontier) {
            self.meet(model, configuration, open, &mut met);
        }
        let mut done = Vec::new();
        let mut level = 0;
        while level < met.buckets.len() {
            let Some(next) = met.buckets[level].pop() else {
                level += 1;
                continue;
            };
            let Some(configuration) = met.configurations[next as usize].clone() else { continue };
            if has(&configuration.effects, operation) || has(&configuration.pure, operation) {
                done.push(next);
                continue;
            }
            meter.expand()?;
            let compared = met.compared;
            self.expand(model, &configuration, open, &mut met);
            meter.look(open.len() + (met.compared - compared) / 4)?;
            meter.hold(met.bytes + self.state_bytes)?;
        }
        for next in done {
            if let Some(mut configuration) = met.configurations[next as usize].take() {
                drop_from(&mut configuration.effects, operation);
                drop_from(&mut configuration.pure, operation);
                self.frontier.push(configuration);
            }
        }
        Ok(())
    }

    /// Everything that can be placed next in a configuration.
    fn expand(&mut self, model: &M, from: &Configuration, open: &[u32], met: &mut Met) {
        for &operation in open {
            let called = &self.operations[&operation];
            let output = called.output.as_ref();
            let placed = if output.is_some() { &from.effects } else { &from.used };
            if has(placed, operation)
                || model.is_pure(&called.input, output)
                || self.stands_back(operation, placed, open)
            {
                continue;
            }
            let state = self.states.get(from.state);
            let Some(after) = model.step(state, &called.input, output) else { continue };
            if output.is_none() && after == *state {
                continue; // As good as one that never happened.
            }
            let known = output.is_some();
            let placed = add(placed, operation);
            let mut next = Configuration { state: self.number(after), ..from.clone() };
            if known {
                next.effects = placed;
            } else {
                next.used = placed;
            }
            self.meet(model, next, open, met);
        }
    }

    /// The number of a state, which is weighed if it is new.
    fn number(&mut self, state: M::State) -> u32 {
        let known = self.states.len();
        let number = self.states.intern(state);
        if self.states.len() > known {
            self.state_bytes += weigh(self.states.get(number)) + size_of::<M::State>() as u64 + 8;
        }
        number
    }

    /// Whether an equal operation that is not placed goes first: of those with answers the one that
    /// responds first, of the others the one called first.
    fn stands_back(&self, operation: u32, placed: &[u32], open: &[u32]) -> bool {
        let called = &self.operations[&operation];
        let rank = |of: u32| (self.operations[&of].response, of);
        open.iter().any(|other| {
            let twin = &self.operations[other];
            rank(*other) < rank(operation)
                && twin.output == called.output
                && twin.input == called.input
                && !has(placed, *other)
        })
    }

    /// Keeps a configuration unless one that was met is as good; drops those it is better than.
    fn meet(&mut self, model: &M, mut new: Configuration, open: &[u32], met: &mut Met) {
        for operation in open {
            let called = &self.operations[operation];
            let Some(output) = called.output.as_ref().filter(|_| !has(&new.pure, *operation))
            else {
                continue;
            };
            if model.is_pure(&called.input, Some(output))
                && model.step(self.states.get(new.state), &called.input, Some(output)).is_some()
            {
                new.pure = add(&new.pure, *operation);
            }
        }
        let twins = met.twins.entry((new.state, new.effects.clone())).or_default();
        let better = |one: &Configuration, other: &Configuration| {
            is_subset(&one.used, &other.used) && is_subset(&other.pure, &one.pure)
        };
        met.compared += twins.len();
        for twin in twins.iter() {
            if let Some(old) = &met.configurations[*twin as usize] {
                if better(old, &new) {
                    return;
                }
                if better(&new, old) {
                    met.configurations[*twin as usize] = None;
                }
            }
        }
        let number = met.configurations.len() as u32;
        twins.push(number);
        let level = new.used.len();
        if met.buckets.len() <= level {
            met.buckets.resize_with(level + 1, Vec::new);
        }
        met.buckets[level].push(number);
        met.bytes += new.bytes();
        met.configurations.push(Some(new));
    }

    /// Forgets the events before the earliest call of an open operation.
    fn trim(&mut self) {
        let open = self.at_call.keys().next().and_then(|first| self.operations.get(first));
        let from = open.map_or(self.end(), |called| called.call);
        while self.start < from
            && let Some((operation, responds)) = self.log.pop_front()
        {
            self.start += 1;
            if responds {
                self.operations.remove(&operation);
            }
        }
        if self.operations.len() + self.states.len() >= self.forget_at {
            self.forget();
            self.forget_at = (2 * (self.operations.len() + self.states.len())).max(64);
        }
    }

    /// Forgets states that no configuration is in, and operations that all of them used and that
    /// will never respond.
    fn forget(&mut self) {
        let mut everywhere = self.frontier.first().map_or_else(Vec::new, |one| one.used.clone());
        for one in self.at_call.values().flatten().chain(&self.frontier) {
            everywhere.retain(|operation| has(&one.used, *operation));
        }
        everywhere.retain(|operation| !self.at_call.contains_key(operation));
        for operation in &everywhere {
            self.operations.remove(operation);
        }
        let states = std::mem::replace(&mut self.states, Interner::new());
        self.state_bytes = 0;
        let mut at_call = std::mem::take(&mut self.at_call);
        let mut frontier = std::mem::take(&mut self.frontier);
        for one in at_call.values_mut().flatten().chain(&mut frontier) {
            one.used.retain(|operation| !has(&everywhere, *operation));
            one.state = self.number(states.get(one.state).clone());
        }
        (self.at_call, self.frontier) = (at_call, frontier);
    }
}
