//! M1 to M5 of Multi-Paxos, watched from outside while a run goes on.

use super::leader::Role;
use super::{Ballot, MultiPaxos, Value};
use crate::chosen::{Chosen, Wrong};
use crate::machine::Committed;
use crate::reigns::{Reign, Reigns};
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

/// Watches who leads under a lease, and who stands while it holds.
#[derive(Clone, Debug, Default)]
pub struct Leases {
    reigns: Reigns<Ballot>,
    /// Who stood for leader when it was seen last, until when each held its promises, and what its
    /// clock showed then.
    seen: Vec<(bool, Time, Time)>,
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
        if self.seen.len() <= node.index() {
            self.seen.resize(node.index() + 1, (false, Time::ZERO, Time::ZERO));
        }
        let stands = matches!(state.role, Role::Candidate(_));
        let (shows, held) = (clocks(node), state.held);
        let now = (stands, held, shows);
        let (stood, before, showed) = std::mem::replace(&mut self.seen[node.index()], now);
        if stands && !stood && shows < held {
            let why = format!("{node} holds until its clock shows {held}, and stands at {shows}");
            return Err(broken("M5: leases", why));
        }
        // It holds from when it said so, which was after it was last looked at, and never for less
        // than before, crash or no crash.
        if held < before || (before < held && held < showed + state.config.hold) {
            let why = format!(
                "{node} held until its clock shows {before}, and at {shows} holds until {held}"
            );
            return Err(broken("M5: leases", why));
        }
        let leads = matches!(state.role, Role::Leader(_));
        let reign = || Reign { number: state.promised, until: state.lease(shows) };
        let seen = self.reigns.see(node, leads.then(reign), clocks);
        seen.map_err(|why| broken("M5: leases", why))
    }
}

fn broken(property: &'static str, explanation: String) -> Violation {
    Violation { property, explanation }
}
