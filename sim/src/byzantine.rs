//! What a Byzantine node does to its messages, whatever protocol it runs, and what it cannot do:
//! sign for somebody else.
//!
//! The node itself runs the protocol as it should; on their way out its messages are withheld,
//! delayed, replaced by stale ones, or changed a little, for each receiver apart: so it says
//! different things to different nodes (Lamport, Shostak and Pease, "The Byzantine Generals
//! Problem", 1982). A small change, one field by one, is what correct nodes may believe; wild ones
//! they reject at sight (Winter et al., "Randomized Testing of Byzantine Fault Tolerant
//! Algorithms", OOPSLA 2023, "small-scope mutations").

use crate::draw::{Draw, Ppm};
use crate::id::{NodeId, RequestId};
use crate::protocol::Protocol;
use crate::time::Duration;
use std::fmt;

/// How a Byzantine node treats each message that it sends to a node, in a million; together at most
/// a million. What is left goes out as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Lies {
    /// It is not sent.
    pub withhold: Ppm,
    /// One field of it is changed, by [`crate::Protocol::mutate`].
    pub mutate: Ppm,
    /// An earlier message of this node goes out in its place.
    pub replay: Ppm,
    /// It goes out late ...
    pub delay: Ppm,
    /// ... by up to so much.
    pub delay_by: Duration,
    /// It goes out, and after it an earlier message with one field changed, that nothing called
    /// for.
    pub forge: Ppm,
}

/// How a Byzantine node treats one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    Withhold,
    Mutate,
    Replay,
    Delay,
    Forge,
}

impl Lies {
    /// How one message is treated; `None`: as it should be. Takes one word.
    pub(crate) fn choose(&self, draw: &mut Draw) -> Option<Lie> {
        let odds = [self.withhold, self.mutate, self.replay, self.delay, self.forge];
        let lies = [Lie::Withhold, Lie::Mutate, Lie::Replay, Lie::Delay, Lie::Forge];
        draw.one_of(odds).map(|chosen| lies[chosen])
    }
}

/// How many of its messages a Byzantine node remembers.
pub(crate) const REMEMBERED: usize = 16;

/// A Byzantine node: how it lies, and what it said.
#[derive(Clone, Debug)]
pub(crate) struct Liar<M> {
    pub(crate) lies: Lies,
    /// Its last messages, each written over the oldest.
    pub(crate) said: Vec<M>,
    pub(crate) count: usize,
}

impl<M> Liar<M> {
    pub(crate) fn new(lies: Lies) -> Self {
        Self { lies, said: Vec::new(), count: 0 }
    }

    /// Remembers a message that it meant.
    pub(crate) fn says(&mut self, message: M) {
        let at = self.count % REMEMBERED;
        self.count += 1;
        if at < self.said.len() {
            self.said[at] = message;
        } else {
            self.said.push(message);
        }
    }
}

/// What a node that follows a [`Strategy`] says to one receiver in place of what it means;
/// `None`: nothing.
pub type Says<P> =
    fn(&P, NodeId, <P as Protocol>::Message, Signer, &mut Draw) -> Option<<P as Protocol>::Message>;
/// What it answers a client in place of what it should; `None`: nothing.
pub type Answers<P> =
    fn(&P, RequestId, <P as Protocol>::Response, &mut Draw) -> Option<<P as Protocol>::Response>;

/// A whole malicious strategy, of one protocol: where [`Lies`] change one message at a time by
/// chance, a strategy pursues an aim over many messages, and all nodes that follow it are in
/// league.
///
/// The node itself runs the protocol as it should, and so its state is true; what it says, and to
/// whom, is up to the strategy, which can sign for this node and for nobody else.
pub struct Strategy<P: Protocol> {
    /// Its name, as the trace shows it.
    pub name: &'static str,
    /// What it makes of a message to one receiver.
    pub says: Says<P>,
    /// What it makes of an answer to a client.
    pub answers: Answers<P>,
}

impl<P: Protocol> Strategy<P> {
    /// The [`Strategy::answers`] of one that tells clients the truth.
    pub const ANSWERS_TRULY: Answers<P> = |_, _, response, _| Some(response);
}

// By hand: a derive would ask for `P: Clone`, and only pointers to functions are copied.
impl<P: Protocol> Clone for Strategy<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P: Protocol> Copy for Strategy<P> {}

impl<P: Protocol> fmt::Debug for Strategy<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Strategy").field(&self.name).finish()
    }
}

/// What one node alone can do: sign in its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signer(NodeId);

impl Signer {
    pub(crate) fn new(id: NodeId) -> Self {
        Self(id)
    }

    /// In whose name.
    pub fn id(self) -> NodeId {
        self.0
    }

    /// A value that everybody can see was said by this node.
    pub fn sign<T>(self, value: T) -> Signed<T> {
        Signed { by: self.0, value }
    }
}

/// A number moved by one, up or down: the small change for a view, a round, a term, an index. Takes
/// one word. (Zero goes up.)
pub fn nudge(number: &mut u64, draw: &mut Draw) {
    let up = draw.below(2) == 1 || *number == 0;
    *number = if up { number.saturating_add(1) } else { *number - 1 };
}

/// A value that its signer alone can have signed.
///
/// Signatures are modelled, not computed: a value of this type is made by
/// [`crate::Context::sign`], for the node whose context it is, or by its [`Signer`], and can be
/// copied, stored and sent on, but not changed. A Byzantine node replays what others signed, and
/// signs what it likes itself; it cannot forge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signed<T> {
    by: NodeId,
    value: T,
}

impl<T> Signed<T> {
    /// Who signed.
    pub fn by(&self) -> NodeId {
        self.by
    }

    /// What was signed.
    pub fn value(&self) -> &T {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_liar_remembers_its_last_messages_only() {
        let none = Lies {
            withhold: 0,
            mutate: 0,
            replay: 0,
            delay: 0,
            delay_by: Duration::ZERO,
            forge: 0,
        };
        let mut liar = Liar::new(none);
        (0..20_u64).for_each(|message| liar.says(message));
        liar.said.sort_unstable();
        assert_eq!(liar.said, (4..20).collect::<Vec<_>>());
        assert_eq!(none.choose(&mut Draw::from_words([0; 4])), None);
    }

    #[test]
    fn a_nudge_is_by_one_and_never_below_zero() {
        for word in [0, u32::MAX] {
            let (mut five, mut zero) = (5, 0);
            nudge(&mut five, &mut Draw::from_words([word; 4]));
            nudge(&mut zero, &mut Draw::from_words([word; 4]));
            assert_eq!((five.abs_diff(5), zero), (1, 1));
        }
    }
}
