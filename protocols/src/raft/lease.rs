//! Time that a server may rely on, within a bound on drift: leader stickiness (dissertation 4.2.3),
//! its counterpart for leaders (6.2), and reads under a lease (6.4.1).
//!
//! The argument for the lease: whoever answers a round of the leader votes for nobody else, and
//! stands for nothing, within `election_timeout_min` of hearing it, by its own clock. So after a
//! majority has answered a round, nobody else can lead until that long after the round was *sent*,
//! less what a fast clock there and a slow one here can make of it. A restarted server cannot know
//! what it answered, and behaves as if it had heard a leader at its start. The one election that
//! does not wait is the one that the leader itself asks for (3.10), so a leader that has sent
//! `TimeoutNow` trusts no lease any more, however late that message arrives.

use super::membership::NodeSet;
use super::state::Role;
use super::{Config, Message, Raft};
use seedfall_sim::{Context, Duration, Time};

/// What a leader knows of its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lease {
    /// A round that no majority has answered yet, and when it was sent.
    asked: Option<(u64, Time)>,
    /// Nobody else leads until then, by this server's clock.
    until: Time,
    /// Never again in this term.
    given_up: bool,
    /// The latest look at whether a majority answers (6.2): the round then, and when.
    looked: (u64, Time),
}

impl Lease {
    pub(super) fn new(now: Time) -> Self {
        Self { asked: None, until: Time::ZERO, given_up: false, looked: (0, now) }
    }

    /// A round begins. The one that is measured already stays: to be too early is safe.
    pub(super) fn begin(&mut self, round: u64, now: Time) {
        self.asked.get_or_insert((round, now));
    }

    /// The leader lets another be elected at once.
    pub(super) fn give_up(&mut self) {
        self.given_up = true;
    }
}

/// How long a lease lasts by the leader's clock: it must be over, even if that clock is slow, while
/// the promise of a follower with a fast clock still holds.
fn lease_duration(config: &Config) -> Option<Duration> {
    const MILLION: u64 = 1_000_000;
    let drift = u64::from(config.lease_drift?);
    Some(config.election_timeout_min.scale(MILLION - drift, MILLION + drift))
}

impl Raft {
    /// True if this server leads, or has heard from a leader within the shortest election timeout.
    pub(super) fn hears_a_leader(&self, ctx: &Context<'_, Self>) -> bool {
        let fresh = |heard: Time| ctx.now().since(heard) < self.config.election_timeout_min;
        self.is_leader() || self.heard.is_some_and(fresh)
    }

    /// 4.2.3: a request for votes while there is a leader comes from a server that was cut off or
    /// removed, and is not to depose it. Its term is not even adopted.
    pub(super) fn is_disruption(&self, message: &Message, ctx: &Context<'_, Self>) -> bool {
        matches!(message, Message::RequestVote { term, transfer: false, .. }
            if *term >= self.durable.term)
            && self.hears_a_leader(ctx)
    }

    /// Who answered a round or a later one; this server itself among them.
    fn answered(&self, round: u64) -> NodeSet {
        let Role::Leader(leader) = &self.role else { return NodeSet::EMPTY };
        NodeSet::of(leader.progress.iter().map(|one| one.round >= round)).with(self.id)
    }

    /// A majority may have answered the round that is measured.
    pub(super) fn renew_lease(&mut self, ctx: &mut Context<'_, Self>) {
        let Some(duration) = lease_duration(&self.config) else { return };
        let Role::Leader(leader) = &self.role else { return };
        let Some((round, sent)) = leader.lease.asked else { return };
        if !self.durable.configurations.current().is_quorum(self.answered(round)) {
            return;
        }
        let Role::Leader(leader) = &mut self.role else { return };
        leader.lease.asked = None;
        // From when the question was sent: the answers may have been long on their way.
        leader.lease.until = leader.lease.until.max(sent + duration);
        if leader.lease.until <= ctx.now() {
            ctx.reach("lease: it was over when it was granted");
        }
    }

    /// 6.4.1: true if this server leads, nobody else can, and it knows what is committed.
    pub(super) fn has_lease(&self, ctx: &mut Context<'_, Self>) -> bool {
        let Role::Leader(leader) = &self.role else { return false };
        let lease = &leader.lease;
        if self.config.lease_drift.is_none() || lease.given_up || self.commit < leader.first {
            return false;
        }
        if lease.until <= ctx.now() {
            ctx.reach("lease: it has expired, and a read asks a majority");
            return false;
        }
        true
    }

    /// Until when it may answer reads by itself, on its own clock, if it leads under a lease.
    pub(super) fn lease(&self) -> Option<Time> {
        let Role::Leader(leader) = &self.role else { return None };
        let has_one = self.config.lease_drift.is_some() && !leader.lease.given_up;
        has_one.then_some(leader.lease.until)
    }

    /// 6.2: false if no majority has answered this leader for an election timeout. Since others
    /// stick to a leader, it must not stay one for ever.
    pub(super) fn reaches_a_quorum(&mut self, ctx: &mut Context<'_, Self>) -> bool {
        if !self.config.leader_stickiness {
            return true;
        }
        let Role::Leader(leader) = &self.role else { return true };
        let (round, when) = leader.lease.looked;
        if ctx.now().since(when) < self.config.election_timeout_max {
            return true;
        }
        let newest = leader.round;
        let answered = self.answered(round + 1);
        let Role::Leader(leader) = &mut self.role else { return true };
        leader.lease.looked = (newest, ctx.now());
        self.durable.configurations.current().is_quorum(answered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With clocks at the two ends of the bound, the slow leader's lease is over before the fast
    /// follower's promise is.
    #[test]
    fn a_lease_is_over_before_the_promise() {
        for drift in [0, 1, 50_000, 400_000] {
            let config =
                Config { leader_stickiness: true, lease_drift: Some(drift), ..Config::PAPER };
            let lease = lease_duration(&config).expect("there is a bound");
            let (slow, fast) = (1_000_000 - u64::from(drift), 1_000_000 + u64::from(drift));
            let longest = lease.scale(1_000_000, slow);
            let shortest = config.election_timeout_min.scale(1_000_000, fast);
            assert!(longest <= shortest, "{drift}: {longest} and {shortest}");
        }
    }
}
