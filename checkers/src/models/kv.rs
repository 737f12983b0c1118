//! A key-value store: get, put, append, compare-and-set, delete.

use std::hash::Hash;
use std::marker::PhantomData;

use super::abstraction::{Abstraction, Numbering, RegisterStep, RegisterView};
use super::{Model, Seen};

/// A value of a key-value store. Implemented for strings, byte vectors and integers.
pub trait Value: Clone + Eq + Hash {
    /// `self` followed by `token`; `None` if values of this type cannot be appended to.
    fn appended(&self, token: &Self) -> Option<Self> {
        let _ = token;
        None
    }

    /// The bytes of the value, if appending to it adds bytes at their end.
    fn as_bytes(&self) -> Option<&[u8]> {
        None
    }
}

impl Value for String {
    fn as_bytes(&self) -> Option<&[u8]> {
        Some(str::as_bytes(self))
    }

    fn appended(&self, token: &Self) -> Option<Self> {
        Some([self.as_str(), token].concat())
    }
}

impl Value for Vec<u8> {
    fn as_bytes(&self) -> Option<&[u8]> {
        Some(self)
    }

    fn appended(&self, token: &Self) -> Option<Self> {
        Some([self.as_slice(), token].concat())
    }
}

impl Value for u32 {}
impl Value for u64 {}
impl Value for i64 {}

/// What a client asks of a key-value store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KvInput<K, V> {
    /// The value of a key.
    Get {
        /// The key.
        key: K,
    },
    /// Overwrites.
    Put {
        /// The key.
        key: K,
        /// Its new value.
        value: V,
    },
    /// Adds at the end; appending to a missing key puts.
    Append {
        /// The key.
        key: K,
        /// What is added.
        value: V,
    },
    /// Overwrites if the current value is the expected one.
    Cas {
        /// The key.
        key: K,
        /// The value that must be there; `None`: the key must be missing.
        expected: Option<V>,
        /// The value that replaces it.
        new: V,
    },
    /// Makes the key missing; allowed if it is.
    Delete {
        /// The key.
        key: K,
    },
}

impl<K, V> KvInput<K, V> {
    /// The key that the operation touches.
    pub fn key(&self) -> &K {
        match self {
            Self::Get { key }
            | Self::Put { key, .. }
            | Self::Append { key, .. }
            | Self::Cas { key, .. }
            | Self::Delete { key } => key,
        }
    }
}

/// What a key-value store answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum KvOutput<V> {
    /// To a get: the value, or `None` if the key is missing.
    Value(Option<V>),
    /// To a put, append or delete; to a compare-and-set: it replaced the value.
    Done,
    /// To a compare-and-set: the value was another one, nothing changed.
    Mismatch,
    /// To a compare-and-set: the value was this other one, nothing changed.
    MismatchSaw(Option<V>),
}

/// Key-value store model; each key is a partition of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kv<K = String, V = String> {
    /// The value of every key before the first write; `None`: keys are missing.
    pub initial: Option<V>,
    key: PhantomData<K>,
}

impl<K, V> Kv<K, V> {
    /// A store in which every key is missing.
    #[must_use]
    pub const fn new() -> Self {
        Self { initial: None, key: PhantomData }
    }

    /// A store in which every key holds `value`.
    #[must_use]
    pub const fn with_initial(value: V) -> Self {
        Self { initial: Some(value), key: PhantomData }
    }
}

impl<K, V> Default for Kv<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Eq + Hash, V: Value> Model for Kv<K, V> {
    type Input = KvInput<K, V>;
    type Output = KvOutput<V>;
    type State = Option<V>;
    type Key = K;

    fn initial(&self) -> Option<V> {
        self.initial.clone()
    }

    fn step(
        &self,
        state: &Option<V>,
        input: &Self::Input,
        output: Option<&Self::Output>,
    ) -> Option<Option<V>> {
        match (input, output) {
            (KvInput::Get { .. }, None) => Some(state.clone()),
            (KvInput::Get { .. }, Some(KvOutput::Value(seen))) => {
                (seen == state).then(|| state.clone())
            }
            (KvInput::Put { value, .. }, None | Some(KvOutput::Done)) => Some(Some(value.clone())),
            (KvInput::Append { value, .. }, None | Some(KvOutput::Done)) => match state {
                Some(current) => current.appended(value).map(Some),
                None => Some(Some(value.clone())),
            },
            (KvInput::Delete { .. }, None | Some(KvOutput::Done)) => Some(None),
            (KvInput::Cas { expected, new, .. }, None | Some(KvOutput::Done)) => {
                (expected == state).then(|| Some(new.clone()))
            }
            (KvInput::Cas { expected, .. }, Some(KvOutput::Mismatch)) => {
                (expected != state).then(|| state.clone())
            }
            (KvInput::Cas { expected, .. }, Some(KvOutput::MismatchSaw(seen))) => {
                (expected != state && seen == state).then(|| state.clone())
            }
            _ => None,
        }
    }

    fn partition<'a>(&self, input: &'a Self::Input) -> Option<&'a K> {
        Some(input.key())
    }

    fn is_pure(&self, input: &Self::Input, output: Option<&Self::Output>) -> bool {
        match output {
            None | Some(KvOutput::Done) => matches!(input, KvInput::Get { .. }),
            Some(_) => true,
        }
    }

    fn abstraction<'a>(
        &'a self,
        operations: &mut dyn Iterator<Item = Seen<'a, Self::Input, Self::Output>>,
    ) -> Option<Abstraction<'a>> {
        let mut numbers = Numbering::starting_with(self.initial.as_ref());
        let mut appends = false;
        let steps = operations
            .map(|(input, output)| {
                appends |= matches!(input, KvInput::Append { .. });
                step_of(&mut numbers, input, output)
            })
            .collect();
        let mut texts = Vec::new();
        if appends {
            for value in numbers.values() {
                texts.push(match value {
                    Some(value) => Some(value.as_bytes()?),
                    None => None,
                });
            }
        }
        Some(Abstraction::Register(RegisterView { steps, values: numbers.count(), texts }))
    }
}

fn step_of<'a, K, V: Value>(
    numbers: &mut Numbering<Option<&'a V>>,
    input: &'a KvInput<K, V>,
    output: Option<&'a KvOutput<V>>,
) -> RegisterStep {
    match (input, output) {
        (KvInput::Get { .. }, None) => RegisterStep::Nothing,
        (KvInput::Get { .. }, Some(KvOutput::Value(seen))) => {
            RegisterStep::Read(numbers.of(seen.as_ref()))
        }
        (KvInput::Put { value, .. }, None | Some(KvOutput::Done)) => {
            RegisterStep::Write(numbers.of(Some(value)))
        }
        (KvInput::Append { value, .. }, None | Some(KvOutput::Done)) => {
            RegisterStep::Append(numbers.of(Some(value)))
        }
        (KvInput::Delete { .. }, None | Some(KvOutput::Done)) => {
            RegisterStep::Write(numbers.of(None))
        }
        (KvInput::Cas { expected, new, .. }, None | Some(KvOutput::Done)) => {
            RegisterStep::Swap(numbers.of(expected.as_ref()), numbers.of(Some(new)))
        }
        (KvInput::Cas { expected, .. }, Some(KvOutput::Mismatch)) => {
            RegisterStep::Differs(numbers.of(expected.as_ref()))
        }
        (KvInput::Cas { expected, .. }, Some(KvOutput::MismatchSaw(seen))) if expected != seen => {
            RegisterStep::Read(numbers.of(seen.as_ref()))
        }
        _ => RegisterStep::Impossible,
    }
}
