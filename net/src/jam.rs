//! Links that are jammed: by what, until when, and which messages wait there.
//!
//! A message that meets a jam is scheduled at once for the moment at which the jam is to end. If
//! the jam ends earlier, what waits there arrives that much earlier, in the same order.

use crate::wire::Tally;
use seedfall_sim::{Duration, Time};

/// What jams a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Jammer {
    /// The link itself is clogged.
    Clog,
    /// A node at one of its ends is swizzled.
    Swizzle,
}

/// One jam of one directed link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Jam {
    pub(crate) link: usize,
    pub(crate) by: Jammer,
    pub(crate) until: Time,
}

/// A message, or one of two copies of it, that waits for the end of a jam.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) link: usize,
    pub(crate) ordinal: u64,
    /// When the jam is to end.
    pub(crate) until: Time,
    /// When it arrives.
    pub(crate) arrives: Time,
    /// The last arrival granted before it, which it does not undercut if its link is ordered.
    pub(crate) behind: Time,
}

/// A message that need not wait as long as it was told: when it was to arrive, and when it does.
pub(crate) struct Freed {
    pub(crate) ordinal: u64,
    pub(crate) was: Time,
    pub(crate) arrives: Time,
}

/// Every jam in force, and every message that waits for the end of one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jams {
    in_force: Vec<Jam>,
    held: Vec<Held>,
}

impl Jams {
    pub(crate) fn begin(&mut self, jam: Jam) {
        self.in_force.push(jam);
    }

    /// Until when the jams of a link last; [`Time::ZERO`]: there is none.
    pub(crate) fn until(&self, link: usize) -> Time {
        let jams = self.in_force.iter().filter(|jam| jam.link == link);
        jams.map(|jam| jam.until).max().unwrap_or(Time::ZERO)
    }

    /// A message waits on a link that is jammed `now`: an effect of whatever jams it.
    pub(crate) fn count(&self, link: usize, now: Time, tally: &mut Tally) {
        let jams = |by| {
            let is_one = |jam: &Jam| (jam.link, jam.by) == (link, by) && now < jam.until;
            self.in_force.iter().any(is_one)
        };
        tally.clogged += u64::from(jams(Jammer::Clog));
        tally.swizzled += u64::from(jams(Jammer::Swizzle));
    }

    /// Remembers a message that waits, or one of its copies.
    pub(crate) fn hold(&mut self, held: Held) {
        self.held.push(held);
    }

    /// A jam ends: says which messages of its link, in the order of their sending, arrive earlier
    /// for it. On a link that is `ordered` none overtakes another.
    pub(crate) fn end(&mut self, jam: Jam, now: Time, ordered: bool) -> Vec<Freed> {
        if let Some(at) = self.in_force.iter().position(|other| *other == jam) {
            self.in_force.swap_remove(at);
        }
        // What was to wait until now has waited long enough.
        self.held.retain(|held| now < held.until);
        let until = self.until(jam.link).max(now);
        let (mut freed, mut last) = (Vec::new(), None);
        for held in self.held.iter_mut().filter(|held| held.link == jam.link) {
            let (was, earlier) = (held.arrives, held.until.since(until));
            held.until = held.until.min(until);
            held.behind = last.unwrap_or(held.behind);
            held.arrives = Time::from_nanos(was.as_nanos() - earlier.as_nanos());
            if ordered {
                held.arrives = held.arrives.max(held.behind + Duration::nanos(1));
            }
            last = Some(held.arrives);
            if held.arrives < was {
                freed.push(Freed { ordinal: held.ordinal, was, arrives: held.arrives });
            }
        }
        freed
    }
}
