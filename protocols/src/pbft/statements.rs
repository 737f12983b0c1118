//! What replicas say, sign and write down, and what of it a Byzantine one can say otherwise.

use super::{Digest, Machine, Seq, View, digest};
use crate::kv::Command;
use seedfall_sim::{Draw, RequestId, Signed, Signer, StableHasher, nudge};

/// A client's request, with its client's signature: nobody can change it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
    /// Of whom, and which: a client has one request at a time, and numbers them.
    pub id: RequestId,
    /// What it wants done.
    pub command: Command,
}

/// 4.2, phase 1: the request with this digest has this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PrePrepare {
    /// In which view.
    pub view: View,
    /// Which number.
    pub seq: Seq,
    /// Of which request.
    pub digest: Digest,
}

/// 4.2, phase 2: a backup agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prepare {
    /// In which view.
    pub view: View,
    /// To which number.
    pub seq: Seq,
    /// Of which request.
    pub digest: Digest,
}

/// A pre-prepare, with its request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Proposal {
    /// What the primary said.
    pub pre: Signed<PrePrepare>,
    /// The request; none: a null request.
    pub ask: Option<Ask>,
}

/// The proof that a request is prepared: a pre-prepare and `2f` prepares of others that match.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Certificate {
    /// The pre-prepare.
    pub proposal: Proposal,
    /// The prepares.
    pub prepares: Vec<Signed<Prepare>>,
}

/// 4.3: the state of a replica after a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Vote {
    /// Which number.
    pub seq: Seq,
    /// The digest of the state.
    pub digest: Digest,
}

/// A checkpoint that `2f + 1` replicas have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stable {
    /// After which number; zero: the beginning, which needs no proof.
    pub seq: Seq,
    /// The votes for it.
    pub proof: Vec<Signed<Vote>>,
    /// The state.
    pub machine: Machine,
}

/// 4.4: what a replica says that wants the next view.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChangeView {
    /// Which.
    pub view: View,
    /// Its stable checkpoint, `n`,
    pub stable: Seq,
    /// with the proof, `C`.
    pub proof: Vec<Signed<Vote>>,
    /// What is prepared after that, `P`.
    pub prepared: Vec<Certificate>,
}

/// 4.4: how the new primary begins.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NewView {
    /// Which view.
    pub view: View,
    /// Who asked for it: `V`.
    pub changes: Vec<Signed<ChangeView>>,
    /// What is proposed anew: `O`.
    pub proposals: Vec<Proposal>,
}

/// What replicas send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// A client asked this.
    Request(Ask),
    /// Phase 1.
    PrePrepare(Proposal),
    /// Phase 2.
    Prepare(Signed<Prepare>),
    /// Phase 3: the sender has prepared this.
    Commit {
        /// In which view.
        view: View,
        /// Under which number.
        seq: Seq,
        /// Which request.
        digest: Digest,
    },
    /// A state.
    Checkpoint(Signed<Vote>),
    /// The next view, please.
    ViewChange(Signed<ChangeView>),
    /// It begins.
    NewView(Signed<NewView>),
    /// How far the sender is, and that it waits.
    Status {
        /// In which view.
        view: View,
        /// Whether that has begun for it.
        active: bool,
        /// Its stable checkpoint.
        stable: Seq,
        /// What it has executed.
        executed: Seq,
    },
    /// State transfer.
    State(Stable),
}

/// What a replica writes to its journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    /// It accepted a proposal in its view.
    Accepted(Proposal),
    /// A request is prepared.
    Prepared(Certificate),
    /// It has asked for this view, and takes part in none before.
    View(View),
    /// A view has begun.
    NewView(Signed<NewView>),
    /// A checkpoint is stable.
    Stable(Stable),
    /// What it accepted under a number is committed.
    Decided(Seq),
}

/// What can be changed without a signature: an adversary on the wire, or a Byzantine replica.
pub(super) fn mutate(message: &mut Message, draw: &mut Draw) -> bool {
    match message {
        Message::Commit { view, seq, digest: of } => match draw.below(3) {
            0 => nudge(view, draw),
            1 => nudge(seq, draw),
            _ => *of = digest(&None),
        },
        Message::Status { view, active, stable, executed } => match draw.below(4) {
            0 => nudge(view, draw),
            1 => *active = !*active,
            2 => nudge(stable, draw),
            _ => nudge(executed, draw),
        },
        Message::State(stable) => match draw.below(3) {
            0 => nudge(&mut stable.seq, draw),
            1 => stable.machine = Machine::default(),
            _ => drop(stable.proof.pop()),
        },
        _ => return false,
    }
    true
}

/// The same, and what it can say otherwise in its own name.
pub(super) fn falsify(message: &mut Message, me: Signer, draw: &mut Draw) -> bool {
    let is_mine = |by| by == me.id();
    match message {
        Message::PrePrepare(proposal) if is_mine(proposal.pre.by()) => {
            let mut said = *proposal.pre.value();
            match draw.below(4) {
                0 => nudge(&mut said.view, draw),
                1 => nudge(&mut said.seq, draw),
                2 => proposal.ask = None,
                _ => (proposal.ask, said.digest) = (None, digest(&None)),
            }
            proposal.pre = me.sign(said);
        }
        Message::Prepare(prepare) if is_mine(prepare.by()) => {
            let mut said = *prepare.value();
            match draw.below(3) {
                0 => nudge(&mut said.view, draw),
                1 => nudge(&mut said.seq, draw),
                _ => said.digest = digest(&None),
            }
            *prepare = me.sign(said);
        }
        Message::Checkpoint(vote) if is_mine(vote.by()) => {
            let mut said = *vote.value();
            match draw.below(2) {
                0 => nudge(&mut said.seq, draw),
                _ => said.digest = StableHasher::hash(&Machine::default()),
            }
            *vote = me.sign(said);
        }
        Message::ViewChange(change) if is_mine(change.by()) => {
            let mut said = change.value().clone();
            match draw.below(4) {
                0 => nudge(&mut said.view, draw),
                1 => (said.stable, said.proof) = (0, Vec::new()),
                2 => said.prepared.clear(),
                _ => drop(said.prepared.pop()),
            }
            *change = me.sign(said);
        }
        Message::NewView(new_view) if is_mine(new_view.by()) => {
            let mut said = new_view.value().clone();
            match draw.below(4) {
                0 => drop(said.changes.pop()),
                1 => drop(said.proposals.pop()),
                2 => {
                    let first = said.changes[0].clone();
                    said.changes.fill(first);
                }
                _ => said.proposals.iter_mut().for_each(|one| *one = null(one, me)),
            }
            *new_view = me.sign(said);
        }
        other => return mutate(other, draw),
    }
    true
}

/// The proposal of a null request in the place of another.
pub(super) fn null(proposal: &Proposal, me: Signer) -> Proposal {
    let said = PrePrepare { digest: digest(&None), ..*proposal.pre.value() };
    Proposal { pre: me.sign(said), ask: None }
}
