//! What a lease promises (dissertation 6.4.1), watched from outside while a run goes on: as long as
//! a leader has one, nobody leads a later term, whatever clocks show that drift no further than the
//! lease allows.
//!
//! A read under a lease that should not be there is stale only if it comes in the few milliseconds
//! in which a successor has committed something. That two servers lead, one of them under a lease,
//! shows whether anybody reads or not.

use super::Raft;
use super::log::Term;
use seedfall_sim::{Monitor, NodeId, Time, Violation};

/// Watches the leases of one run.
#[derive(Clone, Debug, Default)]
pub struct Leases {
    seen: Vec<Option<Reign>>,
}

/// A watcher of leases that has seen nothing yet.
pub fn leases() -> Leases {
    Leases::default()
}

/// A server that leads, as it was seen last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reign {
    term: Term,
    /// Until when it has a lease, on its own clock.
    until: Option<Time>,
}

impl Monitor<Raft> for Leases {
    /// Where there is no time there are no leases.
    fn observe(&mut self, _: NodeId, _: &Raft) -> Result<(), Violation> {
        Ok(())
    }

    fn observe_at(
        &mut self,
        node: NodeId,
        state: &Raft,
        clocks: &dyn Fn(NodeId) -> Time,
    ) -> Result<(), Violation> {
        let reign = Reign { term: state.term(), until: state.lease() };
        self.see(node, state.is_leader().then_some(reign), clocks)
    }
}

impl Leases {
    fn see(
        &mut self,
        node: NodeId,
        now: Option<Reign>,
        clocks: &dyn Fn(NodeId) -> Time,
    ) -> Result<(), Violation> {
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
            let ((first, reign), (next, after)) = match seen.term < now.term {
                true => ((other, seen), (node, now)),
                false => ((node, now), (other, seen)),
            };
            if let Some(until) = reign.until
                && reign.term < after.term
                && clocks(first) < until
            {
                let explanation = format!(
                    "{first} leads {} under a lease until its clock shows {until}, now {}, and \
                     {next} leads {}",
                    reign.term,
                    clocks(first),
                    after.term
                );
                return Err(Violation { property: "Leader Lease", explanation });
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

    fn reign(term: u64, until: Option<u64>) -> Option<Reign> {
        Some(Reign { term: Term(term), until: until.map(at) })
    }

    #[test]
    fn nobody_leads_a_later_term_under_the_lease_of_another() {
        let judge = |old: Option<Reign>, old_shows: u64| {
            let mut watched = leases();
            let clocks = |node: NodeId| if node == OLD { at(old_shows) } else { at(500) };
            watched.see(OLD, old, &clocks).expect("it is alone");
            watched.see(NEW, reign(5, None), &clocks).map_err(|broken| broken.property)
        };
        assert_eq!(judge(reign(4, Some(100)), 99), Err("Leader Lease"));
        assert_eq!(judge(reign(4, Some(100)), 100), Ok(()), "it is over by its own clock");
        assert_eq!(judge(reign(4, None), 50), Ok(()), "it has none");
        assert_eq!(judge(None, 50), Ok(()), "it leads no more");
    }

    #[test]
    fn a_lease_is_not_renewed_under_a_successor() {
        let (mut watched, clocks) = (leases(), |_: NodeId| at(150));
        watched.see(OLD, reign(4, Some(100)), &clocks).expect("it is alone");
        watched.see(NEW, reign(5, None), &clocks).expect("the lease is over");
        watched.see(OLD, reign(4, Some(200)), &clocks).expect_err("renewed");
    }
}
