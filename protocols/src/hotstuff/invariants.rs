//! `safeNode`, lemma 1 and theorem 2 of section 4.5, watched from outside while a run goes on.
//!
//! Byzantine replicas run the protocol as they should inside, so what every replica knows is true.

use super::{Block, Certificate, Hash, Replica, View, Vote};
use seedfall_sim::{Monitor, NodeId, Signed, SortedMap, SortedSet, Violation};

/// Watches the replicas of one run.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    /// The block that was seen certified in each view, and where first.
    certified: SortedMap<View, (Hash, NodeId)>,
    /// Every block that was decided or certified, as far as replicas have it.
    blocks: SortedMap<Hash, Block>,
    /// What is decided, in order.
    decided: Vec<(Hash, NodeId)>,
    /// What was last looked at of each replica: certificates, and how much is decided.
    seen: SortedMap<NodeId, ([View; 2], usize)>,
    /// The block that each replica was last seen to have voted for.
    votes: SortedMap<NodeId, Hash>,
    /// The view of that vote, and of what the replica was locked on then.
    kept: SortedMap<NodeId, (View, View)>,
    /// Who came back without it.
    forgetful: SortedSet<NodeId>,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

fn broken(property: &'static str, explanation: String) -> Result<(), Violation> {
    Err(Violation { property, explanation })
}

impl Monitor<Replica> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Replica) -> Result<(), Violation> {
        self.check_kept(node, state)?;
        self.check_vote(node, state)?;
        let [high, locked] = state.certificates();
        let now = ([high.view, locked.view], state.decided().len());
        let before = self.seen.insert(node, now).unwrap_or_default();
        if before == now {
            return Ok(());
        }
        for certificate in [high, locked].into_iter().filter(|one| 0 < one.view) {
            if !is_proved(certificate, state.quorum()) {
                let explanation = format!("{node} holds {certificate:?}, which proves nothing");
                return broken("Proved", explanation);
            }
            self.note(certificate.block, state);
            let first = self.certified.entry(certificate.view).or_insert((certificate.block, node));
            if first.0 != certificate.block {
                return broken(
                    "One a view",
                    format!(
                        "{} and {node} have certificates for others in view {}",
                        first.1, certificate.view
                    ),
                );
            }
            self.check_branch(certificate.view, certificate.block, node)?;
        }
        if before.1 < now.1 && !is_chained(state) {
            let explanation = format!("{node} decides a block that heads no three in a row");
            return broken("Chain", explanation);
        }
        let before_count = self.decided.len();
        // A replica that has come back begins anew.
        let from = if now.1 < before.1 { 0 } else { before.1 };
        for (place, hash) in state.decided().iter().enumerate().skip(from) {
            self.note(*hash, state);
            match self.decided.get(place) {
                None => self.decided.push((*hash, node)),
                Some((other, by)) if other != hash => {
                    let explanation = format!("{by} and {node} decided others at height {place}");
                    return broken("Agreement", explanation);
                }
                Some(_) => {}
            }
        }
        // Only the last of them was decided itself; the others are its ancestors.
        if before_count < self.decided.len() {
            for (view, (block, by)) in self.certified.iter().rev().take(4) {
                self.check_branch(*view, *block, *by)?;
            }
        }
        Ok(())
    }
}

impl Invariants {
    /// `safeNode`, of each vote: the block extends what the replica is locked on, or its
    /// certificate is of a later view.
    fn check_vote(&mut self, node: NodeId, state: &Replica) -> Result<(), Violation> {
        let Some((hash, locked)) = state.choice() else { return Ok(()) };
        if self.votes.insert(node, *hash) == Some(*hash) {
            return Ok(());
        }
        self.note(*hash, state);
        let Some(block) = self.blocks.get(hash) else { return Ok(()) };
        let shown = block.justify.as_ref().filter(|shown| shown.block == block.parent);
        let is_later = shown.is_some_and(|shown| locked.view < shown.view);
        if !is_later && (shown.is_none() || self.extends(*hash, locked.block) == Some(false)) {
            let explanation = format!(
                "{node} votes in view {} for a block that neither extends what it is locked on, of \
                 view {}, nor shows a later certificate",
                block.view, locked.view
            );
            return broken("Safe", explanation);
        }
        let by = state.blocks.get(hash).map(Signed::by);
        let is_after = shown.is_some_and(|shown| shown.view < block.view);
        let is_proved = shown.is_some_and(|shown| is_proved(shown, state.quorum()));
        if !is_after || !is_proved || by != Some(state.leader(block.view)) {
            let explanation = format!("{node} votes for {block:?} by {by:?}, which is not proved");
            return broken("Proved", explanation);
        }
        Ok(())
    }

    /// What it has voted for and was locked on then a correct replica keeps, crash or no crash.
    fn check_kept(&mut self, node: NodeId, state: &Replica) -> Result<(), Violation> {
        let (voted, locked) = self.kept.get(&node).copied().unwrap_or_default();
        let [_, lock] = state.certificates();
        // A Byzantine one may.
        if (state.voted < voted || lock.view < locked)
            && self.forgetful.insert(node)
            && state.config.faulty < self.forgetful.len()
        {
            let explanation = format!(
                "{node} had voted in view {voted}, locked on {locked}, and now knows of {} and {}",
                state.voted, lock.view
            );
            return broken("Kept", explanation);
        }
        if let Some((_, lock)) = state.choice()
            && (voted, locked) != (state.voted, lock.view)
        {
            self.kept.insert(node, (state.voted, lock.view));
        }
        Ok(())
    }

    /// Keeps a block and its ancestors, up to what is kept.
    fn note(&mut self, mut hash: Hash, state: &Replica) {
        while !self.blocks.contains_key(&hash)
            && let Some(block) = state.block(hash)
        {
            self.blocks.insert(hash, block.clone());
            hash = block.parent;
        }
    }

    /// Whether a block descends from another; none: its ancestors are not all known.
    fn extends(&self, mut hash: Hash, other: Hash) -> Option<bool> {
        while hash != other {
            if hash == 0 {
                return Some(false);
            }
            hash = self.blocks.get(&hash)?.parent;
        }
        Some(true)
    }

    /// A certificate of a view after that of a decided block is for one that extends it.
    fn check_branch(&self, view: View, block: Hash, node: NodeId) -> Result<(), Violation> {
        let Some((last, by)) = self.decided.last() else { return Ok(()) };
        let is_later = self.blocks.get(last).is_some_and(|decided| decided.view < view);
        if is_later && self.extends(block, *last) == Some(false) {
            let explanation = format!(
                "{by} decided a block, and {node} has a certificate of view {view} for one that \
                 does not extend it"
            );
            return broken("Branch", explanation);
        }
        Ok(())
    }
}

/// Algorithm 3: whether what is decided last heads three blocks of consecutive views, each the
/// parent of the next, and a certificate as late as the third is known.
fn is_chained(state: &Replica) -> bool {
    let Some(first) = state.decided().last().and_then(|hash| state.block(*hash)) else {
        return true;
    };
    // A leader that lies may have proposed several in a view.
    let children = |of: Hash, view: View| {
        let blocks = state.blocks.iter().map(|(hash, block)| (*hash, block.value()));
        blocks.filter(move |(_, it)| (it.parent, it.view) == (of, view)).map(|(hash, _)| hash)
    };
    let mut seconds = children(first.hash(), first.view + 1);
    seconds.any(|second| children(second, first.view + 2).next().is_some())
        && first.view + 2 <= state.high.view
}

/// Whether a quorum has voted for what a certificate is about.
fn is_proved(certificate: &Certificate, quorum: usize) -> bool {
    let vote = Vote { view: certificate.view, block: certificate.block };
    let votes = certificate.votes.iter().filter(|one| *one.value() == vote);
    let by: SortedSet<NodeId> = votes.map(Signed::by).collect();
    certificate.view == 0 || quorum <= by.len()
}
