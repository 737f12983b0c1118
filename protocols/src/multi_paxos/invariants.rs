//! M1 to M5 of Multi-Paxos, watched from outside while a run goes on.

use super::leader::Role;
use super::{Ballot, MultiPaxos, Value};
use crate::chosen::{Chosen, Wrong};
use crate::machine::Committed;
use seedfall_sim::{Monitor, NodeId, SortedMap, Time, Violation};

/// Watches the nodes of one run.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    accepted: Chosen<Ballot, Value>,
    carried_out: Committed<Value>,
    seen: Vec<Seen>,
}

/// A node as it was when it was last seen.
#[derive(Clone, Debug, Default)]
struct Seen {
    promised: Ballot,
    /// How much it had written down.
    written: usize,
    /// What was compared: which slots, under which numbers.
    known: SortedMap<usize, Option<Ballot>>,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

impl Monitor<MultiPaxos> for Invariants {
    fn observe(&mut self, node: NodeId, state: &MultiPaxos) -> Result<(), Violation> {
        if self.seen.len() <= node.index() {
            self.seen.resize(node.index() + 1, Seen::default());
        }
        let seen = &mut self.seen[node.index()];
        if state.promised < seen.promised {
            let why = format!("{node} had promised {:?}, now {:?}", seen.promised, state.promised);
            return Err(broken("M1: promises are kept", why));
        }
        seen.promised = state.promised;
        if std::mem::replace(&mut seen.written, state.written) != state.written {
            let mut at = 0;
            for (slot, (ballot, value)) in &state.accepted {
                let known = seen.known.entry_in_step(*slot, &mut at).or_default();
                if known.replace(*ballot) == Some(*ballot) {
                    continue;
                }
                if state.promised < *ballot {
                    let why = format!("{node} accepted {ballot:?}, promised {:?}", state.promised);
                    return Err(broken("M1: promises are kept", why));
                }
                let who = (node, state.majority());
                let accepted = self.accepted.accept(who, (*slot, *ballot), value);
                accepted.map_err(|wrong| match wrong {
                    Wrong::TwoValues(why) => broken("M2: one value a number", why),
                    Wrong::Changed(why) => broken("M3: what is chosen stays", why),
                })?;
            }
        }
        let carried_out = self.carried_out.observe(node, &state.log);
        carried_out.map_err(|why| broken("M4: agreement", why))
    }
}

/// Watches who leads, and under a lease.
#[derive(Clone, Debug, Default)]
pub struct Leases {
    seen: Vec<Seat>,
}

/// A node as it was when it was last seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seat {
    promised: Ballot,
    leads: bool,
    stands: bool,
    /// Until when it has a lease, on its own clock.
    lease: Option<Time>,
}

/// A watcher of leases that has seen nothing yet.
pub fn leases() -> Leases {
    Leases::default()
}

impl Monitor<MultiPaxos> for Leases {
    /// Without clocks there are no leases.
    fn observe(&mut self, _: NodeId, _: &MultiPaxos) -> Result<(), Violation> {
        Ok(())
    }

    fn observe_at(
        &mut self,
        node: NodeId,
        state: &MultiPaxos,
        clocks: &dyn Fn(NodeId) -> Time,
    ) -> Result<(), Violation> {
        let leads = matches!(state.role, Role::Leader(_));
        let stands = matches!(state.role, Role::Candidate(_));
        let lease = if leads { state.lease(clocks(node)) } else { None };
        let now = Seat { promised: state.promised, leads, stands, lease };
        if self.seen.len() <= node.index() {
            self.seen.resize(node.index() + 1, Seat::default());
        }
        let before = std::mem::replace(&mut self.seen[node.index()], now);
        if stands && !before.stands && clocks(node) < state.held {
            let (held, shows) = (state.held, clocks(node));
            let why = format!("{node} holds until its clock shows {held}, and stands at {shows}");
            return Err(broken("M5: leases", why));
        }
        if before == now || !leads {
            return Ok(());
        }
        self.compare(node, clocks)
    }
}

impl Leases {
    /// A leader, and all others that were seen to lead: of two the first may have no lease.
    fn compare(&self, node: NodeId, clocks: &dyn Fn(NodeId) -> Time) -> Result<(), Violation> {
        let now = self.seen[node.index()];
        let has = |of: NodeId, seat: &Seat| seat.lease.is_some_and(|until| clocks(of) < until);
        for (other, seat) in self.seen.iter().enumerate().filter(|(_, seat)| seat.leads) {
            let other = NodeId::new(other as u16);
            let (first, (next, ballot)) = match seat.promised < now.promised {
                true => ((other, seat), (node, now.promised)),
                false => ((node, &now), (other, seat.promised)),
            };
            if other != node && has(first.0, first.1) {
                let Seat { promised, lease, .. } = first.1;
                let why = format!(
                    "{}, which leads under {promised:?}, has a lease until its clock shows {}; \
                     {next} leads under {ballot:?}",
                    first.0,
                    lease.unwrap_or_default()
                );
                return Err(broken("M5: leases", why));
            }
        }
        Ok(())
    }
}

fn broken(property: &'static str, explanation: String) -> Violation {
    Violation { property, explanation }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedfall_sim::Duration;

    /// Two leaders that were seen, the one under the lower number with a lease.
    #[test]
    fn nobody_leads_while_another_has_a_lease() {
        let at = |millis| Time::ZERO + Duration::millis(millis);
        let seat = |round, lease| Seat {
            promised: Ballot { round, node: round as u16 },
            leads: true,
            stands: false,
            lease,
        };
        let (one, two) = (NodeId::new(0), NodeId::new(1));
        for (shows, is_broken) in [(9, true), (10, false)] {
            let clocks = |node: NodeId| if node == one { at(shows) } else { at(1_000) };
            let seen = [seat(1, Some(at(10))), seat(2, None)];
            let watched = Leases { seen: seen.to_vec() };
            assert_eq!(watched.compare(two, &clocks).is_err(), is_broken, "{shows}");
            assert_eq!(watched.compare(one, &clocks).is_err(), is_broken, "{shows}");
        }
    }
}
