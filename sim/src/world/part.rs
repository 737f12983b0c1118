//! A run that is a part of another one: nothing arrives in it that did not arrive there.

use super::World;
use crate::client::Clients;
use crate::id::Address;
use crate::network::Network;
use crate::protocol::Protocol;
use crate::time::Time;
use crate::trace::{Event, Kind};
use std::collections::BTreeMap;

/// What is let in, and how often. How many messages went before on the same link is no part of it.
#[derive(Clone, Debug)]
pub(super) struct LetIn(BTreeMap<(Time, Kind, Address, Address, u64), u32>);

fn name(event: &Event) -> (Time, Kind, Address, Address, u64) {
    let Event { at, kind, actor, peer, digest, index: _ } = *event;
    (at, kind, actor, peer, digest)
}

impl<P: Protocol, N: Network, C: Clients<P>> World<P, N, C> {
    /// From here on nothing arrives but what is like one of these arrivals of another run: at that
    /// instant, with those contents, and as often as it stands there. Whatever else would arrive is
    /// dropped. (What twins hear is not asked about.)
    ///
    /// # Panics
    /// If the world keeps no trace: what every message goes through does not ask.
    pub fn let_in_only<'a>(&mut self, arrivals: impl IntoIterator<Item = &'a Event>) {
        assert!(self.trace.is_kept(), "a part of a run keeps a trace");
        let mut all = BTreeMap::new();
        for event in arrivals {
            *all.entry(name(event)).or_default() += 1;
        }
        self.let_in = Some(Box::new(LetIn(all)));
    }

    /// Whether this arrival is let in; it counts as one.
    pub(super) fn lets_in(&mut self, event: &Event) -> bool {
        let Some(let_in) = &mut self.let_in else { return true };
        match let_in.0.get_mut(&name(event)) {
            Some(left) if 0 < *left => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}
