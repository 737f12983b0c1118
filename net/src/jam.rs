//! Links that are jammed: by what, until when, and which messages wait there.
//!
//! A message that meets a jam is scheduled at once for the moment at which the jam is to end. If
//! the jam ends earlier, what waits there arrives that much earlier, in the same order.

use crate::wire::Tally;
use seedfall_sim::{Duration, Time};

/// What is jammed. Whoever sends or receives has a place, the nodes first; a link has the number
/// that its wire gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Jammed {
    /// One link is clogged.
    Link(usize),
    /// Every link from or to one place: a node is swizzled.
    Node(usize),
}

/// One jam.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Jam {
    pub(crate) what: Jammed,
    pub(crate) until: Time,
}

/// A message, or one of two copies of it, that waits for the end of a jam.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) link: usize,
    pub(crate) index: u64,
    /// When the jam is to end.
    pub(crate) until: Time,
    /// When it arrives.
    pub(crate) arrives: Time,
    /// The last arrival granted before it, which it does not undercut if its link is ordered.
    pub(crate) behind: Time,
}

/// A message that need not wait as long as it was told: when it was to arrive, and when it does.
pub(crate) struct Freed {
    pub(crate) index: u64,
    pub(crate) was: Time,
    pub(crate) arrives: Time,
}

/// Every jam in force, and every message that waits for the end of one.
#[derive(Clone, Debug)]
pub(crate) struct Jams {
    /// How many send and receive.
    peers: usize,
    in_force: Vec<Jam>,
    held: Vec<Held>,
}

impl Jams {
    pub(crate) fn new(peers: usize) -> Self {
        Self { peers, in_force: Vec::new(), held: Vec::new() }
    }

    /// The links that a jam is of.
    pub(crate) fn links(&self, what: Jammed) -> Vec<usize> {
        match what {
            Jammed::Link(link) => vec![link],
            Jammed::Node(_) => {
                (0..self.peers * self.peers).filter(|link| self.is_of(what, *link)).collect()
            }
        }
    }

    fn is_of(&self, what: Jammed, link: usize) -> bool {
        match what {
            Jammed::Link(only) => link == only,
            Jammed::Node(node) => link / self.peers == node || link % self.peers == node,
        }
    }

    pub(crate) fn begin(&mut self, jam: Jam) {
        self.in_force.push(jam);
    }

    /// Takes a jam back. False if all that it held has arrived, or does so as planned.
    pub(crate) fn end(&mut self, jam: Jam, now: Time) -> bool {
        if let Some(at) = self.in_force.iter().position(|other| *other == jam) {
            self.in_force.swap_remove(at);
        }
        if self.in_force.is_empty() && jam.until <= now {
            self.held.clear();
        }
        now < jam.until
    }

    /// Until when the jams of a link last; [`Time::ZERO`]: there is none.
    pub(crate) fn until(&self, link: usize) -> Time {
        let jams = self.in_force.iter().filter(|jam| self.is_of(jam.what, link));
        jams.map(|jam| jam.until).max().unwrap_or(Time::ZERO)
    }

    /// A message waits on a link that is jammed `now`: an effect of whatever jams it.
    pub(crate) fn count(&self, link: usize, now: Time, tally: &mut Tally) {
        let (mut clogged, mut swizzled) = (false, false);
        for jam in &self.in_force {
            let jams = now < jam.until && self.is_of(jam.what, link);
            match jam.what {
                Jammed::Link(_) => clogged |= jams,
                Jammed::Node(_) => swizzled |= jams,
            }
        }
        tally.clogged += u64::from(clogged);
        tally.swizzled += u64::from(swizzled);
    }

    /// Remembers a message that waits, or one of its copies.
    pub(crate) fn hold(&mut self, held: Held) {
        self.held.push(held);
    }

    /// The messages of a link that arrive earlier, in the order of their sending, now that a jam
    /// has ended before its time. On a link that is `ordered` none overtakes another.
    pub(crate) fn free(&mut self, link: usize, now: Time, ordered: bool) -> Vec<Freed> {
        let until = self.until(link).max(now);
        let (mut freed, mut last) = (Vec::new(), None);
        let waits = |held: &&mut Held| held.link == link && now < held.until;
        for held in self.held.iter_mut().filter(waits) {
            let (was, earlier) = (held.arrives, held.until.since(until));
            held.until = held.until.min(until);
            held.behind = last.unwrap_or(held.behind);
            held.arrives = Time::from_nanos(was.as_nanos() - earlier.as_nanos());
            if ordered {
                held.arrives = held.arrives.max(held.behind + Duration::nanos(1));
            }
            last = Some(held.arrives);
            if held.arrives < was {
                freed.push(Freed { index: held.index, was, arrives: held.arrives });
            }
        }
        freed
    }
}
