//! A key-value store as a deterministic state machine: equal commands in equal order give equal
//! stores and equal answers.
//!
//! It exists to be replicated, so it is small, and everything in it is cheap to clone and to hash:
//! a text of up to 23 bytes lies inside its [`Text`], a longer one is shared. It knows nothing of
//! clients, sessions or logs.
//!
//! ```
//! use seedfall_protocols::kv::{Answer, Command, Store};
//!
//! let mut store = Store::default();
//! let put = Command::Put { key: "x".into(), value: "1".into() };
//! assert_eq!(store.apply(&put), Answer::Done);
//! let cas = Command::Cas { key: "x".into(), expected: Some("2".into()), value: "3".into() };
//! assert_eq!(store.apply(&cas), Answer::Cas { swapped: false, seen: Some("1".into()) });
//! ```

use smol_str::SmolStr;

/// A short text: a clone never copies it.
pub type Text = SmolStr;

/// What a client wants done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Command {
    /// The value under a key.
    Get {
        /// Whose value.
        key: Text,
    },
    /// Sets the value under a key.
    Put {
        /// Whose value.
        key: Text,
        /// The value from now on.
        value: Text,
    },
    /// Adds to the end of the value under a key; an absent value counts as empty.
    Append {
        /// Whose value.
        key: Text,
        /// What is added.
        value: Text,
    },
    /// Compare and set: sets the value if the present one is as expected.
    Cas {
        /// Whose value.
        key: Text,
        /// What must be there; `None`: nothing must be.
        expected: Option<Text>,
        /// The value from then on.
        value: Text,
    },
    /// Removes a key, if it is there.
    Delete {
        /// Which.
        key: Text,
    },
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Answer {
    /// To a get: the value, if there is one.
    Value(Option<Text>),
    /// To a put, an append or a delete.
    Done,
    /// To a compare-and-set.
    Cas {
        /// Whether the value was as expected, and so was set.
        swapped: bool,
        /// The value that was found.
        seen: Option<Text>,
    },
}

/// The store: every key that has a value.
///
/// To add or remove a key takes time in proportion to their number: a simulated store has few, and
/// looks them up all the time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Store {
    pairs: Vec<Pair>,
}

/// A key and its value, in the order of the keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pair {
    /// The first eight bytes of the key, which nearly always tell it from every other.
    head: u64,
    key: Text,
    value: Text,
}

/// The first eight bytes of a key as a number: big-endian and filled up with zeros, so that its
/// order is the order of the texts.
fn head(key: &str) -> u64 {
    match key.as_bytes().first_chunk() {
        Some(first) => u64::from_be_bytes(*first),
        None => key.bytes().rev().fold(0, |head, byte| u64::from(byte) << 56 | head >> 8),
    }
}

/// Whether two keys with an equal head are the same: short ones are, if they are equally long.
#[inline]
fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && (one.len() <= 8 || one == other)
}

impl Command {
    /// The key that it is about.
    pub fn key(&self) -> &Text {
        match self {
            Self::Get { key }
            | Self::Put { key, .. }
            | Self::Append { key, .. }
            | Self::Cas { key, .. }
            | Self::Delete { key } => key,
        }
    }

    /// True if it changes nothing, whatever the store.
    pub fn is_read(&self) -> bool {
        matches!(self, Self::Get { .. })
    }
}

impl Store {
    /// Carries out a command.
    pub fn apply(&mut self, command: &Command) -> Answer {
        match command {
            Command::Get { key } => Answer::Value(self.get(key).cloned()),
            Command::Put { key, value } => {
                self.set(key, value);
                Answer::Done
            }
            Command::Append { key, value } => {
                let both = concat(self.get(key).map_or("", Text::as_str), value);
                self.set(key, &both);
                Answer::Done
            }
            Command::Cas { key, expected, value } => {
                let seen = self.get(key).cloned();
                let swapped = seen == *expected;
                if swapped {
                    self.set(key, value);
                }
                Answer::Cas { swapped, seen }
            }
            Command::Delete { key } => {
                self.remove(key);
                Answer::Done
            }
        }
    }

    /// Where a key is, or where it would be.
    #[inline]
    fn find(&self, key: &str) -> Result<usize, usize> {
        let head = head(key);
        let mut at = self.pairs.partition_point(|pair| pair.head < head);
        while let Some(pair) = self.pairs.get(at)
            && pair.head == head
        {
            if is_same(&pair.key, key) {
                return Ok(at);
            }
            if pair.key.as_str() > key {
                break;
            }
            at += 1;
        }
        Err(at)
    }

    fn set(&mut self, key: &Text, value: &Text) {
        match self.find(key) {
            Ok(at) => self.pairs[at].value = value.clone(),
            Err(at) => {
                let (key, value) = (key.clone(), value.clone());
                self.pairs.insert(at, Pair { head: head(&key), key, value });
            }
        }
    }

    fn remove(&mut self, key: &Text) {
        if let Ok(at) = self.find(key) {
            self.pairs.remove(at);
        }
    }

    /// The value under a key.
    pub fn get(&self, key: &str) -> Option<&Text> {
        self.find(key).ok().map(|at| &self.pairs[at].value)
    }

    /// Every key with its value, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&Text, &Text)> {
        self.pairs.iter().map(|Pair { key, value, .. }| (key, value))
    }

    /// How many keys have a value.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// True if no key has a value.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

/// Both texts in one, without an allocation where the result is short.
fn concat(first: &str, second: &str) -> Text {
    let mut both = smol_str::SmolStrBuilder::new();
    both.push_str(first);
    both.push_str(second);
    both.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedfall_sim::StableHasher;

    fn put(value: &str) -> Command {
        Command::Put { key: "k".into(), value: value.into() }
    }
    fn append(value: &str) -> Command {
        Command::Append { key: "k".into(), value: value.into() }
    }
    fn cas(expected: Option<&str>, value: &str) -> Command {
        Command::Cas { key: "k".into(), expected: expected.map(Into::into), value: value.into() }
    }
    fn value(text: &str) -> Answer {
        Answer::Value(Some(text.into()))
    }

    #[test]
    fn each_command_does_what_its_name_says() {
        let mut store = Store::default();
        let get = Command::Get { key: "k".into() };
        assert_eq!(store.apply(&get), Answer::Value(None));
        assert_eq!(store.apply(&append("a")), Answer::Done);
        assert_eq!(store.apply(&append("b")), Answer::Done);
        assert_eq!(store.apply(&get), value("ab"));
        assert_eq!(store.apply(&put("c")), Answer::Done);
        assert_eq!(store.apply(&get), value("c"));
        assert_eq!(store.apply(&Command::Delete { key: "k".into() }), Answer::Done);
        assert_eq!(store.apply(&get), Answer::Value(None));
        assert!(store.is_empty());
    }

    #[test]
    fn a_cas_tells_what_it_saw_and_swaps_only_what_it_expected() {
        let mut store = Store::default();
        let answer =
            |swapped, seen: Option<&str>| Answer::Cas { swapped, seen: seen.map(Into::into) };
        assert_eq!(store.apply(&cas(Some("x"), "1")), answer(false, None));
        assert_eq!(store.apply(&cas(None, "1")), answer(true, None));
        assert_eq!(store.apply(&cas(None, "2")), answer(false, Some("1")));
        assert_eq!(store.apply(&cas(Some("1"), "2")), answer(true, Some("1")));
        assert_eq!(store.get("k").map(Text::as_str), Some("2"));
    }

    #[test]
    fn keys_that_begin_alike_are_kept_apart_and_in_order() {
        let mut store = Store::default();
        let keys = ["eight888", "eight888b", "eight888a", "", "\0", "z"];
        for key in keys {
            store.apply(&Command::Put { key: key.into(), value: key.into() });
        }
        assert_eq!(store.len(), keys.len());
        assert!(store.iter().all(|(key, value)| key == value && store.get(key) == Some(value)));
        assert!(store.iter().is_sorted());
        store.apply(&Command::Delete { key: "eight888b".into() });
        assert_eq!((store.get("eight888b"), store.len()), (None, keys.len() - 1));
        assert!(store.get("eight888a").is_some());
    }

    #[test]
    fn a_long_text_survives_concatenation() {
        let (mut store, mut expected) = (Store::default(), String::new());
        for _ in 0..10 {
            store.apply(&append("0123456789"));
            expected.push_str("0123456789");
        }
        assert_eq!(store.get("k").map(Text::as_str), Some(expected.as_str()));
    }

    #[test]
    fn equal_stores_hash_equally_whatever_led_to_them() {
        let (mut one, mut other) = (Store::default(), Store::default());
        one.apply(&put("ab"));
        other.apply(&append("a"));
        assert_ne!(StableHasher::hash(&one), StableHasher::hash(&other));
        other.apply(&append("b"));
        assert_eq!(StableHasher::hash(&one), StableHasher::hash(&other));
    }
}
