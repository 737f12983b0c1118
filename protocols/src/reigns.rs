//! For monitors of protocols whose leaders answer under a lease: while one has it, nobody leads
//! under a higher number, whatever clocks show that drift no further than the lease allows.
//!
//! A read under a lease that should not be there is stale only if it comes in the few milliseconds
//! in which a successor has committed something. That two nodes lead, one of them under a lease,
//! shows whether anybody reads or not.

use seedfall_sim::{NodeId, Time};
use std::fmt::Debug;

/// The nodes that lead, as they were seen last.
#[derive(Clone, Debug)]
pub(crate) struct Reigns<T> {
    seen: Vec<Option<Reign<T>>>,
}

/// A node that leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reign<T> {
    /// Under which number: a term, a ballot.
    pub(crate) number: T,
    /// Until when it has a lease, on its own clock.
    pub(crate) until: Option<Time>,
}

impl<T> Default for Reigns<T> {
    fn default() -> Self {
        Self { seen: Vec::new() }
    }
}

impl<T: Copy + Ord + Debug> Reigns<T> {
    /// A node leads like this now, or does not. `Err` says who has a lease, and who leads.
    pub(crate) fn see(
        &mut self,
        node: NodeId,
        now: Option<Reign<T>>,
        clocks: &dyn Fn(NodeId) -> Time,
    ) -> Result<(), String> {
        if self.seen.len() <= node.index() {
            self.seen.resize(node.index() + 1, None);
        }
        // One that crashed is as one that is paused: no other can know that it is not.
        if std::mem::replace(&mut self.seen[node.index()], now) == now {
            return Ok(());
        }
        let Some(now) = now else { return Ok(()) };
        for (place, seen) in self.seen.iter().enumerate() {
            let (other, Some(seen)) = (NodeId::new(place as u16), *seen) else { continue };
            let ((first, reign), (next, after)) = match seen.number < now.number {
                true => ((other, seen), (node, now)),
                false => ((node, now), (other, seen)),
            };
            if let Some(until) = reign.until
                && reign.number < after.number
                && clocks(first) < until
            {
                return Err(format!(
                    "{first}, which leads under {:?}, has a lease until its clock shows {until}, \
                     now {}; {next} leads under {:?}",
                    reign.number,
                    clocks(first),
                    after.number
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedfall_sim::Duration;

    const OLD: NodeId = NodeId::new(0);
    const NEW: NodeId = NodeId::new(1);

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::millis(millis)
    }

    fn reign(number: u64, until: Option<u64>) -> Option<Reign<u64>> {
        Some(Reign { number, until: until.map(at) })
    }

    #[test]
    fn nobody_leads_under_a_higher_number_while_another_has_a_lease() {
        let judge = |old: Option<Reign<u64>>, old_shows: u64| {
            let mut watched = Reigns::default();
            let clocks = |node: NodeId| if node == OLD { at(old_shows) } else { at(500) };
            watched.see(OLD, old, &clocks).expect("it is alone");
            watched.see(NEW, reign(5, None), &clocks).is_ok()
        };
        assert!(!judge(reign(4, Some(100)), 99));
        assert!(judge(reign(4, Some(100)), 100), "it is over by its own clock");
        assert!(judge(reign(4, None), 50), "it has none");
        assert!(judge(None, 50), "it leads no more");
    }

    #[test]
    fn a_lease_is_not_renewed_under_a_successor() {
        let (mut watched, clocks) = (Reigns::default(), |_: NodeId| at(150));
        watched.see(OLD, reign(4, Some(100)), &clocks).expect("it is alone");
        watched.see(NEW, reign(5, None), &clocks).expect("the lease is over");
        watched.see(OLD, reign(4, Some(200)), &clocks).expect_err("renewed");
    }
}
