//! Incarnations, the order of claims and what riders cost, watched from outside while a run goes
//! on.

use super::Member;
use super::claims::{Claim, Incarnation, Rumor, Status};
use seedfall_sim::{Monitor, NodeId, SortedMap, SortedSet, Violation};

/// Watches the members of one run.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    /// Whether nobody may be declared dead that is up.
    accurate: bool,
    /// The highest incarnation that each member has had.
    own: SortedMap<NodeId, Incarnation>,
    /// What each member knows of each other, in its present life.
    known: SortedMap<NodeId, Known>,
    /// Who was suspected in which incarnation.
    suspected: SortedSet<(NodeId, Incarnation)>,
    /// What each member has spread last about each, and how often, in each of its lives.
    spread: SortedMap<(NodeId, Incarnation), SortedMap<NodeId, Option<Rumor>>>,
    /// Who was declared dead in which incarnation, and by whom first.
    dead: SortedMap<(NodeId, Incarnation), NodeId>,
    /// Of each member: its last ping, and how many members it has probed since each other.
    probed: SortedMap<NodeId, (u64, SortedMap<NodeId, usize>)>,
}

/// What a member knows of each other, and in which life.
type Known = SortedMap<NodeId, Option<(Incarnation, Claim)>>;

/// A watcher that has seen nothing yet; of accuracy too, if that is claimed.
pub fn invariants(accurate: bool) -> Invariants {
    Invariants { accurate, ..Invariants::default() }
}

fn broken(property: &'static str, explanation: String) -> Result<(), Violation> {
    Err(Violation { property, explanation })
}

impl Monitor<Member> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Member) -> Result<(), Violation> {
        let own = self.own.entry(node).or_default();
        if state.incarnation() < *own {
            let explanation = format!("{node} was in {own}, and is in {}", state.incarnation());
            return broken("Incarnation", explanation);
        }
        *own = state.incarnation();
        if self.accurate
            && let Some(by) = self.dead.get(&(node, *own))
        {
            let explanation = format!("{by} declared {node} dead in {own}, which is up");
            return broken("Accuracy", explanation);
        }
        self.check_probe(node, state)?;
        check_answer(node, state)?;
        let mut at = 0;
        for (other, claim) in state.others() {
            let now = (state.born(), *claim);
            let known = self.known.entry(node).or_default();
            let before = known.entry_in_step(*other, &mut at).or_default().replace(now);
            if before != Some(now) {
                self.check(node, *other, *claim, before.filter(|before| before.0 == now.0))?;
            }
        }
        let (spread, mut at) = (self.spread.entry((node, state.born())).or_default(), 0);
        // The most that anything had been told before it was told once more.
        let (mut told, mut waiting) = (None::<(u32, NodeId)>, Vec::new());
        for rumor in state.rumors().all() {
            let about = rumor.update.member;
            let before = spread.entry_in_step(about, &mut at).or_default().replace(*rumor);
            let again = before
                .is_some_and(|before| before.update == rumor.update && rumor.sent < before.sent);
            if again || state.rumors().most() <= rumor.sent {
                return broken("Bound", format!("{node} goes on to spread {rumor:?}"));
            }
            let is_told = before
                .is_some_and(|before| before.update == rumor.update && before.sent < rumor.sent);
            if is_told {
                told = told.max(Some((rumor.sent - 1, about)));
            }
            waiting.extend(
                before
                    .filter(|before| before.update == rumor.update && before.sent == rumor.sent)
                    .map(|_| (rumor.sent, about)),
            );
        }
        let least = waiting.into_iter().min();
        if let (Some((sent, about)), Some((less, waits))) = (told, least)
            && less < sent
        {
            let explanation = format!(
                "{node} tells what it had told of {about} {sent} times, before that of {waits}, \
                 told {less} times"
            );
            return broken("Fair", explanation);
        }
        Ok(())
    }
}

/// What a client is told: all that the member does not hold for dead.
fn check_answer(node: NodeId, state: &Member) -> Result<(), Violation> {
    let Some((answer, known)) = &state.answered else { return Ok(()) };
    let up = known.iter().filter(|(_, claim)| claim.status != Status::Dead);
    let up: SortedSet<NodeId> = up.map(|(other, _)| *other).chain([node]).collect();
    if *answer == up {
        return Ok(());
    }
    let explanation = format!("{node} answers that {answer:?} are up, and knows of {up:?}");
    broken("Answer", explanation)
}

impl Invariants {
    /// 4.3: round-robin, so that each member is probed again before twice as many others are.
    fn check_probe(&mut self, node: NodeId, state: &Member) -> Result<(), Violation> {
        let (last, since) = self.probed.entry(node).or_default();
        let Some(probe) = state.probe.as_ref().filter(|probe| probe.number != *last) else {
            return Ok(());
        };
        if probe.number >> 32 != *last >> 32 {
            since.clear(); // Another life begins anew.
        }
        *last = probe.number;
        let most = 2 * state.others().len();
        for (other, claim) in state.others() {
            let count = since.entry(*other).or_default();
            *count = match *other == probe.target || claim.status == Status::Dead {
                true => 0,
                false => *count + 1,
            };
            if most <= *count {
                let explanation = format!("{node} has probed {count} others, and not {other}");
                return broken("Round-robin", explanation);
            }
        }
        Ok(())
    }

    /// What a member has come to know of another, and what it knew before in this life.
    fn check(
        &mut self,
        node: NodeId,
        other: NodeId,
        claim: Claim,
        before: Option<(Incarnation, Claim)>,
    ) -> Result<(), Violation> {
        let Claim { incarnation, status } = claim;
        if let Some((_, before)) = before
            && claim < before
        {
            let explanation = format!("{node} knew of {other} {before:?}, and then {claim:?}");
            return broken("Outweighs", explanation);
        }
        if self.own.get(&other).copied().unwrap_or_default() < incarnation {
            let explanation = format!("{node} knows {other} in {incarnation}, which never was");
            return broken("Incarnation", explanation);
        }
        match status {
            Status::Alive => {}
            Status::Suspect => drop(self.suspected.insert((other, incarnation))),
            Status::Dead => {
                self.dead.entry((other, incarnation)).or_insert(node);
                if !self.suspected.contains(&(other, incarnation)) {
                    let explanation = format!("{node} holds {other} for dead in {incarnation}");
                    return broken("Suspected", explanation);
                }
            }
        }
        Ok(())
    }
}
