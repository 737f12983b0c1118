//! Values as files write them.

use std::fmt;

use crate::models::kv::Value;

/// A value of any format.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Datum {
    /// `null` or `nil`.
    #[default]
    Nil,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A string; an EDN keyword or symbol, with its colon.
    Text(String),
    /// A list or vector.
    List(Vec<Self>),
    /// An EDN map, as pairs in the order written.
    Map(Vec<(Self, Self)>),
}

impl Datum {
    /// The string, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one.
    #[must_use]
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            _ => None,
        }
    }

    /// `None` for nil.
    #[must_use]
    pub fn some(&self) -> Option<Self> {
        (*self != Self::Nil).then(|| self.clone())
    }

    /// The two elements, if it is a list of two.
    #[must_use]
    pub fn pair(&self) -> Option<(&Self, &Self)> {
        match self {
            Self::List(items) => match items.as_slice() {
                [first, second] => Some((first, second)),
                _ => None,
            },
            _ => None,
        }
    }

    /// What an EDN map says under a keyword.
    #[must_use]
    pub fn field(&self, keyword: &str) -> Option<&Self> {
        match self {
            Self::Map(pairs) => pairs
                .iter()
                .find(|(key, _)| key.text().is_some_and(|text| text == keyword))
                .map(|(_, value)| value),
            _ => None,
        }
    }
}

impl Value for Datum {
    fn appended(&self, token: &Self) -> Option<Self> {
        match (self, token) {
            (Self::Text(text), Self::Text(token)) => {
                Some(Self::Text([text.as_str(), token].concat()))
            }
            _ => None,
        }
    }

    fn as_bytes(&self) -> Option<&[u8]> {
        self.text().map(str::as_bytes)
    }
}

impl fmt::Display for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("nil"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Text(value) => write!(f, "{value:?}"),
            Self::List(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if at > 0 { " " } else { "" })?;
                }
                f.write_str("]")
            }
            Self::Map(pairs) => {
                f.write_str("{")?;
                for (at, (key, value)) in pairs.iter().enumerate() {
                    write!(f, "{}{key} {value}", if at > 0 { ", " } else { "" })?;
                }
                f.write_str("}")
            }
        }
    }
}
