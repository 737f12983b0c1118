//! A lock with fencing tokens, and the resource that it guards.
//!
//! Tokens as in Kleppmann, *How to do distributed locking* (2016): every grant carries a greater
//! number than all before it, and the guarded resource refuses a smaller one than it has seen.
//!
//! Judged by the searches alone: there is no algorithm for this structure here. For long runs see
//! [`workloads::fencing`](crate::workloads), which checks necessary rules in O(n log n).

use super::Model;

/// What a client asks of a lock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LockInput {
    /// The lock, for this owner; not reentrant.
    Acquire {
        /// Who wants it.
        owner: u32,
    },
    /// Gives the lock back.
    Release {
        /// Who had it.
        owner: u32,
    },
    /// Touches the guarded resource under a token.
    Guarded {
        /// The token of the grant.
        token: u64,
    },
}

/// What a lock answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum LockOutput {
    /// To an acquire: it is yours, with this token if the lock hands them out.
    Granted {
        /// Greater than that of every earlier grant.
        token: Option<u64>,
    },
    /// To an acquire: someone holds it.
    Busy,
    /// To a release: it was yours and is free now.
    Released,
    /// To a release: it was not yours.
    NotHeld,
    /// To a guarded access: no greater token was seen before.
    Accepted,
    /// To a guarded access: a greater token was seen before.
    Rejected,
}

/// What a lock remembers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct LockState {
    /// Who holds it.
    pub holder: Option<u32>,
    /// The greatest token handed out.
    pub granted: Option<u64>,
    /// The greatest token that the guarded resource accepted.
    pub accepted: Option<u64>,
}

/// Lock model, free at first.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Lock;

impl Model for Lock {
    type Input = LockInput;
    type Output = LockOutput;
    type State = LockState;
    type Key = ();

    fn initial(&self) -> LockState {
        LockState::default()
    }

    fn step(
        &self,
        state: &LockState,
        input: &LockInput,
        output: Option<&LockOutput>,
    ) -> Option<LockState> {
        use {LockInput as In, LockOutput as Out};
        let mut after = state.clone();
        let fits = match (input, output) {
            // Unseen, the token is unknown: the next grant only has to exceed the known ones.
            (In::Acquire { owner }, None | Some(Out::Granted { token: None })) => {
                after.holder = Some(*owner);
                state.holder.is_none()
            }
            (In::Acquire { owner }, Some(Out::Granted { token: Some(token) })) => {
                after.holder = Some(*owner);
                after.granted = Some(*token);
                state.holder.is_none() && state.granted < Some(*token)
            }
            (In::Acquire { .. }, Some(Out::Busy)) => state.holder.is_some(),
            (In::Release { owner }, None | Some(Out::Released)) => {
                after.holder = None;
                state.holder == Some(*owner)
            }
            (In::Release { owner }, Some(Out::NotHeld)) => state.holder != Some(*owner),
            (In::Guarded { token }, None | Some(Out::Accepted)) => {
                after.accepted = Some(*token);
                state.accepted <= Some(*token)
            }
            (In::Guarded { token }, Some(Out::Rejected)) => state.accepted > Some(*token),
            _ => false,
        };
        fits.then_some(after)
    }

    fn is_pure(&self, _: &LockInput, output: Option<&LockOutput>) -> bool {
        matches!(output, Some(LockOutput::Busy | LockOutput::NotHeld | LockOutput::Rejected))
    }
}
