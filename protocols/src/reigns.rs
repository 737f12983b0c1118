//! For monitors of protocols whose leaders answer under a lease: while one has it, nobody leads
//! under a higher number, whatever clocks show that drift no further than the lease allows.
//!
//! A read under a lease that should not be there is stale only if it comes in the few milliseconds
//! in which a successor has committed something. That two nodes lead, one of them under a lease,
//! shows whether anybody reads or not.

use seedfall_sim::{NodeId, Time};
use std::fmt::Debug;

/// The leaders of a run.
#[derive(Clone, Debug)]
pub(crate) struct Reigns<T> {
    /// The highest number under which anybody was seen to lead, and who.
    last: Option<(T, NodeId)>,
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
        Self { last: None }
    }
}

impl<T: Copy + Ord + Debug> Reigns<T> {
    /// A node leads like this now, or does not. `Err` says who has a lease, and who leads.
    ///
    /// It is who has the lease that is judged, whenever it is looked at: one that crashed has none,
    /// even if it was not seen to give it up.
    pub(crate) fn see(
        &mut self,
        node: NodeId,
        now: Option<Reign<T>>,
        clocks: &dyn Fn(NodeId) -> Time,
    ) -> Result<(), String> {
        let Some(Reign { number, until }) = now else { return Ok(()) };
        let Some((last, by)) = self.last.filter(|(last, _)| number <= *last) else {
            self.last = Some((number, node));
            return Ok(());
        };
        match until {
            Some(until) if number < last && clocks(node) < until => Err(format!(
                "{node}, which leads under {number:?}, has a lease until its clock shows {until}, \
                 now {}; {by} leads under {last:?}",
                clocks(node)
            )),
            _ => Ok(()),
        }
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
            watched.see(NEW, reign(5, None), &clocks).expect("the other may have crashed");
            watched.see(OLD, old, &clocks).is_ok()
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
