//! What a client was told stays, watched: a coordinator that concluded a request remembers the
//! outcome, crash or no crash, until the same client asks for something else.
//!
//! Serializability, the theorem that rests on it, breaks only if the request runs once more, after
//! all, and somebody reads what was called aborted; the lemma breaks with the crash. What only read
//! leaves nothing behind, and may run again.

use super::{Outcome, Site};
use seedfall_sim::{ClientId, Monitor, NodeId, SortedMap, Violation};

/// Watches what coordinators tell clients in one run.
#[derive(Clone, Debug, Default)]
pub struct Promises {
    /// By coordinator and client: the request that was concluded last, and whether it committed.
    told: Vec<SortedMap<ClientId, (u64, bool)>>,
}

/// A watcher that has seen nothing concluded yet.
pub fn promises() -> Promises {
    Promises::default()
}

impl Monitor<Site> for Promises {
    fn observe(&mut self, node: NodeId, state: &Site) -> Result<(), Violation> {
        if self.told.len() <= node.index() {
            self.told.resize_with(node.index() + 1, SortedMap::new);
        }
        let told = &mut self.told[node.index()];
        let (mut seen, mut at) = (0, 0);
        for (client, session) in &state.coordinator.sessions {
            let concluded = match &session.outcome {
                Outcome::Committed(_) if !session.updaters.is_empty() => Some(true),
                Outcome::Aborted(_) => Some(false),
                Outcome::Committed(_) | Outcome::UnderWay => None,
            };
            let told = told.get_in_step(client, &mut at);
            seen += usize::from(told.is_some());
            keeps(node, *client, told, session.sequence, concluded)?;
        }
        if seen < told.len() {
            return violated(format!("{node} forgot what it had told a client: {told:?}"));
        }
        for (client, session) in &state.coordinator.sessions {
            match &session.outcome {
                Outcome::Committed(_) if !session.updaters.is_empty() => {
                    told.insert(*client, (session.sequence, true));
                }
                Outcome::Aborted(_) => drop(told.insert(*client, (session.sequence, false))),
                // It is concluded anew, or leaves nothing behind.
                Outcome::Committed(_) | Outcome::UnderWay => drop(told.remove(client)),
            }
        }
        Ok(())
    }
}

/// A later look at a session may show a later request, or the same with the same outcome.
fn keeps(
    node: NodeId,
    client: ClientId,
    told: Option<&(u64, bool)>,
    sequence: u64,
    concluded: Option<bool>,
) -> Result<(), Violation> {
    match told {
        Some((last, outcome)) if sequence < *last => {
            violated(format!("{node} forgot request {last} of {client} (committed: {outcome})"))
        }
        Some((last, outcome)) if sequence == *last && concluded != Some(*outcome) => {
            let was = if *outcome { "committed" } else { "aborted" };
            violated(format!("{node} told {client} that request {last} {was}, and forgot it"))
        }
        _ => Ok(()),
    }
}

#[cold]
fn violated(explanation: String) -> Result<(), Violation> {
    Err(Violation { property: "What was told stays", explanation })
}

#[cfg(test)]
mod tests {
    use super::{ClientId, NodeId, keeps};

    #[test]
    fn an_outcome_is_kept_until_the_client_asks_for_something_else() {
        let (node, client) = (NodeId::new(0), ClientId::new(0));
        let told = Some(&(4, false));
        let looked = |sequence, concluded| keeps(node, client, told, sequence, concluded).is_ok();
        assert!(looked(4, Some(false)) && looked(5, None) && looked(5, Some(true)));
        assert!(!looked(4, None), "it runs again");
        assert!(!looked(4, Some(true)), "it commits after all");
        assert!(!looked(3, Some(true)), "an older request");
        assert!(keeps(node, ClientId::new(1), None, 1, None).is_ok(), "another client");
    }
}
