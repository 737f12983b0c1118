//! What the algorithms for particular structures need to know of a history.
//!
//! A [`Model`](super::Model) that is a register, a set, a queue, a stack or a priority queue can
//! say so through [`Model::abstraction`](super::Model::abstraction): then near-linear algorithms
//! apply where the general search would be exponential. Values become numbers, given in order of
//! first appearance, so that nothing after this depends on how values hash.

use std::hash::Hash;

use crate::interner::Interner;

/// A part of a history, one step per operation, in the order in which operations were given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Abstraction<'a> {
    /// One register.
    Register(RegisterView<'a>),
    /// One element of a set: present or absent.
    Membership(Vec<MembershipStep>),
    /// First in, first out.
    Queue(Vec<ContainerStep>),
    /// Last in, first out.
    Stack(Vec<ContainerStep>),
    /// Greatest first; numbers are ordered as the values are.
    PriorityQueue(Vec<ContainerStep>),
}

/// One operation of a register over numbered values. Whether it certainly happened is known from
/// the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegisterStep {
    /// The value was this one.
    Read(u32),
    /// The value became this one, whatever it was.
    Write(u32),
    /// The value was the first and became the second.
    Swap(u32, u32),
    /// The value was not this one.
    Differs(u32),
    /// The text of this value was added to the text of the current one.
    Append(u32),
    /// Tells nothing and does nothing: a read whose answer never came.
    Nothing,
    /// No register can have answered that.
    Impossible,
}

/// A register, for the zone algorithm and the searches over numbered states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterView<'a> {
    /// One step per operation.
    pub steps: Vec<RegisterStep>,
    /// Values are numbered from 0, the initial one, to this, excluded.
    pub values: u32,
    /// The text of each value, if any step appends; `None` for a missing key.
    pub texts: Vec<Option<&'a [u8]>>,
}

/// One operation on one element of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MembershipStep {
    /// It was absent (`false`) or present, and nothing changed.
    Was(bool),
    /// It was the opposite, and became this.
    Became(bool),
    /// It became this, whatever it was: an operation whose answer never came.
    Set(bool),
    /// Tells nothing.
    Nothing,
}

/// One operation of a queue, stack or priority queue over numbered values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContainerStep {
    /// The value went in.
    Insert(u32),
    /// The value came out.
    Remove(u32),
    /// It was empty.
    Empty,
    /// A removal whose answer never came.
    RemoveUnseen,
    /// No container can have answered that.
    Impossible,
}

/// Numbers values in order of first appearance.
pub struct Numbering<V>(Interner<V>);

impl<V: Hash + Eq> Numbering<V> {
    /// A numbering in which `initial` is 0.
    pub fn starting_with(initial: V) -> Self {
        let mut numbering = Self::default();
        numbering.of(initial);
        numbering
    }

    /// The number of a value.
    pub fn of(&mut self, value: V) -> u32 {
        self.0.intern(value)
    }

    /// How many numbers were given.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.len() as u32
    }

    /// The values, by number.
    #[must_use]
    pub fn values(&self) -> &[V] {
        self.0.values()
    }
}

impl<V: Hash + Eq> Default for Numbering<V> {
    fn default() -> Self {
        Self(Interner::new())
    }
}

impl Abstraction<'_> {
    /// Makes a priority queue of steps that name values by the numbers of `numbering`: numbers
    /// are replaced by ranks.
    pub fn priority_queue<V: Ord + Hash + Eq>(
        numbering: &Numbering<V>,
        mut steps: Vec<ContainerStep>,
    ) -> Self {
        let mut by_value: Vec<u32> = (0..numbering.count()).collect();
        by_value.sort_unstable_by_key(|number| &numbering.values()[*number as usize]);
        let mut rank = vec![0; by_value.len()];
        for (place, number) in by_value.iter().enumerate() {
            rank[*number as usize] = place as u32;
        }
        for step in &mut steps {
            if let ContainerStep::Insert(value) | ContainerStep::Remove(value) = step {
                *value = rank[*value as usize];
            }
        }
        Self::PriorityQueue(steps)
    }
}
