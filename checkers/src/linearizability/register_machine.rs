//! A register over numbered states: what the searches run on when values repeat.
//!
//! Values that no operation can ever tell apart from others become one dead state (R4 in the notes
//! of `schedule`). With appends a state is alive if it is the beginning of a text that somebody
//! saw; it is then kept as a range of the sorted texts, so that no text is ever copied. To append a
//! text that stands in none of those is to write the dead state.

use super::machine::Machine;
use super::part::Part;
use crate::interner::Interner;
use crate::models::abstraction::{RegisterStep, RegisterView};
use rustc_hash::FxHashSet;

/// If appended texts have more lengths than this, each is taken for one that somebody saw: to look
/// for them takes so many passes over all texts.
const LENGTHS: usize = 8;

/// A register, part of it known to be unobservable.
pub(crate) struct RegisterMachine<'a> {
    steps: Vec<RegisterStep>,
    known: Vec<bool>,
    classes: Vec<u32>,
    /// The state that nobody can tell from another dead one.
    dead: u32,
    initial: u32,
    texts: Option<Texts<'a>>,
}

/// States of a register that is appended to.
struct Texts<'a> {
    /// The text of each value number.
    of_value: &'a [Option<&'a [u8]>],
    /// Texts that somebody saw or compared with, sorted, without repetition.
    observed: Vec<&'a [u8]>,
    states: Interner<TextState>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum TextState {
    Dead,
    Missing,
    /// The first `length` bytes of `observed[first]`, which `first..end` begin with.
    Prefix {
        first: u32,
        end: u32,
        length: u32,
    },
}

impl<'a> Texts<'a> {
    fn new(view: &'a RegisterView<'a>) -> Self {
        let mut observed = Vec::new();
        for step in &view.steps {
            if let RegisterStep::Read(value)
            | RegisterStep::Swap(value, _)
            | RegisterStep::Differs(value) = step
            {
                observed.extend(view.texts[*value as usize]);
            }
        }
        observed.sort_unstable();
        observed.dedup();
        let mut states = Interner::new();
        states.intern(TextState::Dead);
        Self { of_value: &view.texts, observed, states }
    }

    /// The state in which the text is that of a value.
    fn state_of(&mut self, value: u32) -> u32 {
        let state = match self.of_value[value as usize] {
            None => TextState::Missing,
            Some(text) => self.extended((0, self.observed.len() as u32, 0), text),
        };
        self.states.intern(state)
    }

    /// The observed texts of a range that go on with `text` after `length` bytes.
    fn extended(&self, (first, end, length): (u32, u32, u32), text: &[u8]) -> TextState {
        let range = &self.observed[first as usize..end as usize];
        let tail = |seen: &'a [u8]| seen.get(length as usize..).unwrap_or(&[]);
        let from = range.partition_point(|seen| tail(seen) < text);
        let count = range[from..].partition_point(|seen| tail(seen).starts_with(text));
        if count == 0 {
            return TextState::Dead;
        }
        let first = first + from as u32;
        TextState::Prefix { first, end: first + count as u32, length: length + text.len() as u32 }
    }

    fn text(&self, value: u32) -> &'a [u8] {
        self.of_value[value as usize].unwrap_or(&[])
    }

    /// Of texts that are appended, those that stand somewhere in one that somebody saw.
    fn seen_of(&self, appended: FxHashSet<&'a [u8]>) -> FxHashSet<&'a [u8]> {
        let mut lengths: Vec<usize> = appended.iter().map(|text| text.len()).collect();
        lengths.sort_unstable();
        lengths.dedup();
        if lengths.len() > LENGTHS {
            return appended;
        }
        let mut begins = [false; 256];
        appended.iter().filter_map(|text| text.first()).for_each(|at| begins[*at as usize] = true);
        let mut seen = FxHashSet::default();
        for (at, text) in self.observed.iter().enumerate() {
            let longer = self.observed.get(at + 1);
            if longer.is_some_and(|longer| longer.starts_with(text)) {
                continue; // It stands in that one.
            }
            for from in (0..text.len()).filter(|from| begins[text[*from] as usize]) {
                let ends = lengths.iter().map_while(|length| text.get(from..from + length));
                seen.extend(ends.filter(|text| appended.contains(text)));
            }
            if seen.len() == appended.len() {
                break;
            }
        }
        seen
    }

    fn append(&mut self, state: u32, value: u32) -> u32 {
        let text = self.text(value);
        let after = match *self.states.get(state) {
            TextState::Dead => return state,
            TextState::Missing => self.extended((0, self.observed.len() as u32, 0), text),
            TextState::Prefix { first, end, length } => self.extended((first, end, length), text),
        };
        self.states.intern(after)
    }
}

impl<'a> RegisterMachine<'a> {
    pub(crate) fn new(part: &Part<'_>, view: &'a RegisterView<'a>) -> Self {
        let known: Vec<bool> = part.spans.iter().map(|span| span.known).collect();
        let mut machine = Self {
            steps: view.steps.clone(),
            known,
            classes: Vec::new(),
            dead: view.values,
            initial: 0,
            texts: None,
        };
        if view.texts.is_empty() {
            machine.number_by_value(view);
        } else {
            machine.number_by_text(view);
        }
        machine.leave_out();
        machine.classify();
        machine
    }

    /// States are value numbers; those that nobody observes are the dead one.
    fn number_by_value(&mut self, view: &RegisterView<'_>) {
        let mut state: Vec<u32> = vec![self.dead; view.values as usize];
        for (step, known) in view.steps.iter().zip(&self.known) {
            match *step {
                RegisterStep::Read(value) | RegisterStep::Differs(value) if *known => {
                    state[value as usize] = value;
                }
                RegisterStep::Swap(value, _) => state[value as usize] = value,
                _ => {}
            }
        }
        self.initial = state.first().copied().unwrap_or(self.dead);
        for step in &mut self.steps {
            match step {
                RegisterStep::Write(value) => *value = state[*value as usize],
                RegisterStep::Swap(_, to) => *to = state[*to as usize],
                _ => {}
            }
        }
    }

    fn number_by_text(&mut self, view: &'a RegisterView<'a>) {
        let mut texts = Texts::new(view);
        self.dead = 0;
        self.initial = texts.state_of(0);
        let appended = self.steps.iter().filter_map(|step| match step {
            RegisterStep::Append(value) => Some(texts.text(*value)),
            _ => None,
        });
        let seen = texts.seen_of(appended.filter(|text| !text.is_empty()).collect());
        for step in &mut self.steps {
            match step {
                RegisterStep::Append(value) => {
                    let text = texts.text(*value);
                    if !text.is_empty() && !seen.contains(text) {
                        *step = RegisterStep::Write(self.dead);
                    }
                }
                RegisterStep::Read(value)
                | RegisterStep::Write(value)
                | RegisterStep::Differs(value) => *value = texts.state_of(*value),
                RegisterStep::Swap(from, to) => {
                    (*from, *to) = (texts.state_of(*from), texts.state_of(*to));
                }
                _ => {}
            }
        }
        self.texts = Some(texts);
    }

    /// What may never have happened, and would have led where nobody sees the difference, did not:
    /// without it everything else can happen as before (R6). But that the value was *not* some
    /// other one, it can explain.
    fn leave_out(&mut self) {
        let differs = |(step, known): (&RegisterStep, &bool)| {
            *known && matches!(step, RegisterStep::Differs(_))
        };
        if self.steps.iter().zip(&self.known).any(differs) {
            return;
        }
        for (step, _) in self.steps.iter_mut().zip(&self.known).filter(|(_, known)| !**known) {
            if let RegisterStep::Write(to) | RegisterStep::Swap(_, to) = *step
                && to == self.dead
            {
                *step = RegisterStep::Nothing;
            }
        }
    }

    /// Operations with equal steps and equal certainty can stand for one another.
    fn classify(&mut self) {
        let mut classes = Interner::new();
        for (step, known) in self.steps.iter().zip(&self.known) {
            self.classes.push(classes.intern((*step, *known)));
        }
    }
}

impl Machine for RegisterMachine<'_> {
    fn initial(&mut self) -> u32 {
        self.initial
    }

    fn step(&mut self, state: u32, position: u32) -> Option<u32> {
        match self.steps[position as usize] {
            RegisterStep::Read(value) => (state == value).then_some(state),
            RegisterStep::Write(value) => Some(value),
            RegisterStep::Swap(from, to) => (state == from).then_some(to),
            RegisterStep::Differs(value) => (state != value).then_some(state),
            RegisterStep::Append(value) => {
                self.texts.as_mut().map(|texts| texts.append(state, value))
            }
            RegisterStep::Nothing => Some(state),
            RegisterStep::Impossible => None,
        }
    }

    fn is_pure(&self, position: u32) -> bool {
        match self.steps[position as usize] {
            RegisterStep::Read(_) | RegisterStep::Differs(_) | RegisterStep::Nothing => true,
            RegisterStep::Swap(from, to) => from == to,
            _ => false,
        }
    }

    fn class(&self, position: u32) -> u32 {
        self.classes[position as usize]
    }

    fn bytes(&self) -> u64 {
        let states = self.texts.as_ref().map_or(0, |texts| texts.states.len());
        (states * (size_of::<TextState>() + 8) + self.steps.len() * 17) as u64
    }
}
