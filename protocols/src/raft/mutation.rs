//! What a small lie looks like in a message of Raft: one field moved by one, a vote turned round.
//!
//! Raft assumes nodes that do not lie, so this is no part of the algorithm: it lets a simulator
//! show what becomes of that assumption.

use super::Message;
use super::log::{LogIndex, Term};
use seedfall_sim::{Draw, nudge};

/// Changes one field; false if the message has none that a correct server would believe.
pub(super) fn mutate(message: &mut Message, draw: &mut Draw) -> bool {
    let which = draw.below(3);
    match message {
        Message::RequestVote { last_log_term: Term(term), .. } if which == 0 => nudge(term, draw),
        Message::RequestVote { last_log_index: LogIndex(index), .. } if which == 1 => {
            nudge(index, draw);
        }
        Message::VoteReply { granted, .. } => *granted = !*granted,
        Message::AppendEntries { leader_commit: LogIndex(commit), .. } if which > 0 => {
            nudge(commit, draw);
        }
        Message::RequestVote { term: Term(term), .. }
        | Message::AppendEntries { prev_log_term: Term(term), .. } => nudge(term, draw),
        _ => return false,
    }
    true
}
