//! Fast leader election: the server with the best history is proposed to all, by all.

use super::history::{Epoch, Zxid};
use super::{Message, Role, Server, Timer};
use seedfall_sim::{Context, NodeId, SortedMap};
use std::fmt;

/// Who should lead: the best is the one whose last leader was the latest, then whose history is the
/// longest, then the one with the highest number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Vote {
    /// The epoch of the last leader that it has synchronised with (`f.a`).
    pub epoch: Epoch,
    /// The last transaction of its history.
    pub zxid: Zxid,
    /// Who.
    pub leader: NodeId,
}

/// What a server says of itself with its vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Standing {
    /// It looks for a leader.
    Looking,
    /// It follows the one that it names.
    Following,
    /// It leads.
    Leading,
}

/// What a server that looks for a leader knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Election {
    vote: Vote,
    /// The votes of this round.
    votes: SortedMap<NodeId, Vote>,
    /// What those say who have a leader.
    settled: SortedMap<NodeId, (Vote, Standing)>,
    /// Whether a quorum wants the same, and it waits for somebody better.
    decides: bool,
}

impl Server {
    /// Looks for a leader, in a new round.
    pub(super) fn look(&mut self, ctx: &mut Context<'_, Self>) {
        self.round += 1;
        self.begin_round(ctx);
    }

    fn begin_round(&mut self, ctx: &mut Context<'_, Self>) {
        self.watches.clear();
        self.role = Role::Looking(Election::of(self.id, self.own_vote()));
        ctx.cancel_timer(Timer::Timeout);
        ctx.cancel_timer(Timer::Decide);
        self.notify_all(ctx);
    }

    pub(super) fn own_vote(&self) -> Vote {
        Vote { epoch: self.current, zxid: self.history.last(), leader: self.id }
    }

    /// Tells everybody its vote.
    pub(super) fn notify_all(&self, ctx: &mut Context<'_, Self>) {
        ctx.broadcast(self.notification());
    }

    fn notification(&self) -> Message {
        let (vote, standing) = match &self.role {
            Role::Looking(election) => (election.vote, Standing::Looking),
            Role::Following(follower) => {
                (Vote { leader: follower.leader, ..self.own_vote() }, Standing::Following)
            }
            Role::Leading(_) => (self.own_vote(), Standing::Leading),
        };
        Message::Notification { round: self.round, vote, standing }
    }

    pub(super) fn on_notification(
        &mut self,
        from: NodeId,
        (round, vote, standing): (u32, Vote, Standing),
        ctx: &mut Context<'_, Self>,
    ) {
        let Role::Looking(election) = &mut self.role else {
            if standing == Standing::Looking {
                ctx.send(from, self.notification());
            }
            return;
        };
        if standing != Standing::Looking {
            election.settled.insert(from, (vote, standing));
            return self.join_settled(vote.leader, round, ctx);
        }
        if round < self.round {
            return ctx.send(from, self.notification());
        }
        if self.round < round {
            ctx.reach("election: a later round");
            self.round = round;
            self.begin_round(ctx);
        }
        let Role::Looking(election) = &mut self.role else { return };
        election.votes.insert(from, vote);
        if election.vote < vote {
            election.vote = vote;
            election.votes.insert(self.id, vote);
            election.decides = false;
            ctx.cancel_timer(Timer::Decide);
            self.notify_all(ctx);
        }
        self.count_votes(ctx);
    }

    /// A quorum wants the same: whoever is better may yet be heard of.
    fn count_votes(&mut self, ctx: &mut Context<'_, Self>) {
        let quorum = self.quorum();
        if let Role::Looking(election) = &mut self.role
            && quorum <= election.supporters()
            && !election.decides
        {
            election.decides = true;
            ctx.set_timer(Timer::Decide, self.config.decide_after);
        }
    }

    /// Nobody better was heard of.
    pub(super) fn decide(&mut self, ctx: &mut Context<'_, Self>) {
        let quorum = self.quorum();
        let Role::Looking(election) = &mut self.role else { return };
        // Where a vote of before was heard of late, the quorum is gone, and comes again.
        election.decides = false;
        if election.supporters() < quorum {
            return ctx.reach("election: the quorum is gone");
        }
        match election.vote.leader {
            leader if leader == self.id => self.lead(ctx),
            leader => self.follow(leader, ctx),
        }
    }

    /// Others have a leader: a quorum of them names it, and it says so, too.
    fn join_settled(&mut self, leader: NodeId, round: u32, ctx: &mut Context<'_, Self>) {
        let Role::Looking(election) = &self.role else { return };
        let names = |one: &&(Vote, Standing)| one.0.leader == leader;
        let count = election.settled.values().filter(names).count();
        let leads = matches!(election.settled.get(&leader), Some((_, Standing::Leading)));
        if self.quorum() <= count && leads {
            ctx.reach("election: joins a leader that others have");
            self.round = round;
            self.follow(leader, ctx);
        }
    }
}

impl Election {
    /// An election in which nobody was heard of but the server itself.
    pub(super) fn of(id: NodeId, vote: Vote) -> Self {
        let votes = SortedMap::from([(id, vote)]);
        Self { vote, votes, settled: SortedMap::new(), decides: false }
    }

    /// How many want what it wants.
    fn supporters(&self) -> usize {
        self.votes.values().filter(|vote| **vote == self.vote).count()
    }
}

impl fmt::Display for Election {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wants {}, votes of {:?}", self.vote.leader, self.votes.keys())
    }
}
