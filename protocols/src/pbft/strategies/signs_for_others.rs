//! A replica that says in its own name what others must say: as a backup it proposes, and as the
//! primary it agrees with itself; it begins views of others, and shows its own signature as often
//! as a proof needs signatures (Castro and Liskov 1999, sections 4.2 to 4.4, on whose statements
//! count, and how many).

use crate::pbft::statements::{
    Certificate, ChangeView, Message, NewView, PrePrepare, Prepare, Proposal, Stable, Vote,
};
use crate::pbft::{Machine, Replica, digest};
use seedfall_sim::{Draw, NodeId, Signed, Signer, StableHasher, Strategy};

pub(super) const STRATEGY: Strategy<Replica> =
    Strategy { name: "signs for others", says, answers: Strategy::<Replica>::ANSWERS_TRULY };

fn says(
    replica: &Replica,
    to: NodeId,
    message: Message,
    me: Signer,
    draw: &mut Draw,
) -> Option<Message> {
    if draw.below(2) == 0 {
        return Some(message);
    }
    Some(match message {
        Message::Prepare(prepare) if prepare.by() == me.id() => {
            let Prepare { view, seq, .. } = *prepare.value();
            let pre = me.sign(PrePrepare { view, seq, digest: digest(&None) });
            Message::PrePrepare(Proposal { pre, ask: None })
        }
        Message::Commit { view, seq, digest } if replica.leads(view) => {
            Message::Prepare(me.sign(Prepare { view, seq, digest }))
        }
        Message::ViewChange(change) if change.by() == me.id() => {
            let said = change.value().clone();
            if draw.below(2) == 0 && !replica.leads(said.view) {
                return Some(Message::NewView(begun(replica, change, me)));
            }
            Message::ViewChange(me.sign(padded(replica, said, me)))
        }
        // A state that it alone vouches for, as often as needed.
        Message::Checkpoint(vote) if vote.by() == me.id() => {
            let (seq, machine) = (vote.value().seq, Machine::default());
            let vote = me.sign(Vote { seq, digest: StableHasher::hash(&machine) });
            Message::State(Stable { seq, proof: vec![vote; replica.quorum()], machine })
        }
        // Half of the replicas hear nothing of its views, and ask for the next.
        Message::PrePrepare(_) if to.index().is_multiple_of(2) => return None,
        other => other,
    })
}

/// A view that it begins in the place of its primary, if enough ask for it; else with what it alone
/// has said.
fn begun(replica: &Replica, change: Signed<ChangeView>, me: Signer) -> Signed<NewView> {
    let (view, own) = (change.value().view, change.by());
    let others = replica.changes.values().filter(|one| one.value().view == view);
    let mut changes: Vec<_> = others.filter(|one| one.by() != own).cloned().collect();
    changes.push(change);
    let proposals = match replica.beginning(&changes) {
        None => Vec::new(),
        Some(beginning) => {
            let propose = |(seq, ask)| {
                let pre = me.sign(PrePrepare { view, seq, digest: digest(&ask) });
                Proposal { pre, ask }
            };
            beginning.requests.into_iter().map(propose).collect()
        }
    };
    while changes.len() < replica.quorum() {
        changes.push(changes[0].clone());
    }
    me.sign(NewView { view, changes, proposals })
}

/// Certificates of all that it has accepted, whoever has agreed: it has, and the others too few.
fn padded(replica: &Replica, said: ChangeView, me: Signer) -> ChangeView {
    let accepted = replica.accepted_after(said.stable);
    let prepared = accepted.map(|(proposal, mut prepares)| {
        let PrePrepare { view, seq, digest } = *proposal.pre.value();
        prepares.push(me.sign(Prepare { view, seq, digest }));
        prepares.push(prepares[0]);
        Certificate { proposal, prepares }
    });
    ChangeView { prepared: prepared.collect(), ..said }
}
