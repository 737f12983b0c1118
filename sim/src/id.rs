//! Who takes part in a run: nodes, clients, and their addresses on the wire.

use std::fmt;
use std::str::FromStr;

/// A node of the cluster. Nodes count from zero inside and are written `n1`, `n2`, ... for people.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u16);

/// A client of the cluster, written `c1`, `c2`, ... for people.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(u16);

/// A node or a client, as the network sees it: one flat space, so that a link is a pair of
/// addresses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(u16);

/// One request of one client. A retry of the same operation may carry the same or a new number: the
/// client decides.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RequestId {
    /// Who asks, and is to be answered.
    pub client: ClientId,
    /// The client's own number for the request.
    pub number: u32,
}

/// The first address of a client; nodes stand below it.
const CLIENTS: u16 = 0x8000;

impl NodeId {
    /// The node with this index, counted from zero. The index must be below 32,768.
    pub const fn new(index: u16) -> Self {
        assert!(index < CLIENTS, "a cluster has fewer than 32,768 nodes");
        Self(index)
    }

    /// The index, counted from zero.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Every node of a cluster of `count`, in order.
    pub fn all(count: usize) -> impl DoubleEndedIterator<Item = Self> + Clone {
        (0..count as u16).map(Self::new)
    }
}

impl ClientId {
    /// The client with this index, counted from zero. The index must be below 32,768.
    pub const fn new(index: u16) -> Self {
        assert!(index < CLIENTS, "a run has fewer than 32,768 clients");
        Self(index)
    }

    /// The index, counted from zero.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Address {
    /// The node at this address, if it is a node's.
    pub const fn node(self) -> Option<NodeId> {
        if self.0 < CLIENTS { Some(NodeId(self.0)) } else { None }
    }

    /// The client at this address, if it is a client's.
    pub const fn client(self) -> Option<ClientId> {
        if self.0 < CLIENTS { None } else { Some(ClientId(self.0 - CLIENTS)) }
    }

    /// A dense index for tables: the nodes of a cluster of `nodes` first, then the clients.
    pub const fn index(self, nodes: usize) -> usize {
        if self.0 < CLIENTS { self.0 as usize } else { (self.0 - CLIENTS) as usize + nodes }
    }

    /// The address with this [`index`](Self::index) in a cluster of `nodes` nodes.
    pub const fn at_index(index: usize, nodes: usize) -> Self {
        if index < nodes { Self(index as u16) } else { Self((index - nodes) as u16 + CLIENTS) }
    }

    /// The number under which the address enters draws and hashes.
    pub(crate) const fn code(self) -> u64 {
        self.0 as u64
    }
}

impl From<NodeId> for Address {
    fn from(node: NodeId) -> Self {
        Self(node.0)
    }
}

impl From<ClientId> for Address {
    fn from(client: ClientId) -> Self {
        Self(client.0 + CLIENTS)
    }
}

/// A letter and the number of who has this index, put together by hand: what faults do is told, and
/// hashed, in words that are full of names.
fn named(letter: u8, index: u16, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (mut text, mut at, mut rest) = ([0; 6], 6, u32::from(index) + 1);
    while rest > 0 {
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    at -= 1;
    text[at] = letter;
    f.pad(std::str::from_utf8(&text[at..]).expect("a letter and digits"))
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        named(b'n', self.0, f)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        named(b'c', self.0, f)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.node(), self.client()) {
            (Some(node), _) => fmt::Display::fmt(&node, f),
            (None, Some(client)) => fmt::Display::fmt(&client, f),
            (None, None) => unreachable!("an address is a node's or a client's"),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.client, self.number)
    }
}

/// Debug prints what Display prints: ids stand inside messages, where brevity is legibility.
macro_rules! debug_as_display {
    ($($type:ty),*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}
debug_as_display!(NodeId, ClientId, Address, RequestId);

/// The text is not an id; says what one looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseIdError {
    text: String,
    expected: &'static str,
}

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not {}", self.text, self.expected)
    }
}

impl std::error::Error for ParseIdError {}

/// The index behind a one-letter prefix: `n3` is 2.
fn parse(text: &str, prefix: char, expected: &'static str) -> Result<u16, ParseIdError> {
    text.strip_prefix(prefix)
        .and_then(|digits| digits.parse::<u16>().ok())
        .filter(|number| (1..=CLIENTS).contains(number))
        .map(|number| number - 1)
        .ok_or_else(|| ParseIdError { text: text.to_owned(), expected })
}

impl FromStr for NodeId {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        parse(text, 'n', "a node (n1, n2, ...)").map(Self)
    }
}

impl FromStr for ClientId {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        parse(text, 'c', "a client (c1, c2, ...)").map(Self)
    }
}

impl FromStr for Address {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let expected = "a node (n1, n2, ...) or a client (c1, c2, ...)";
        if text.starts_with('c') {
            parse(text, 'c', expected).map(|index| ClientId(index).into())
        } else {
            parse(text, 'n', expected).map(|index| NodeId(index).into())
        }
    }
}

/// Ids travel as the text that people read: `"n3"`.
#[cfg(feature = "serde")]
mod serde_text {
    use super::{Address, ClientId, NodeId};
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::{Serialize, Serializer};

    macro_rules! as_text {
        ($($type:ty),*) => {$(
            impl Serialize for $type {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.collect_str(self)
                }
            }
            impl<'de> Deserialize<'de> for $type {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
                    text.parse().map_err(D::Error::custom)
                }
            }
        )*};
    }
    as_text!(NodeId, ClientId, Address);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back_as_they_are_written() {
        for address in
            [Address::from(NodeId::new(0)), NodeId::new(41).into(), ClientId::new(3).into()]
        {
            assert_eq!(address.to_string().parse(), Ok(address));
        }
        for wrong in ["", "n", "n0", "x1", "c", "n-1", "n40000"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
