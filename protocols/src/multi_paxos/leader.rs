//! The leader: phase 1 once for all slots, phase 2 for each, and its lease.

use super::{Ballot, Message, MultiPaxos, Timer, Value};
use crate::machine::Update;
use seedfall_sim::{Context, NodeId, SortedMap, SortedSet, Time};
use std::fmt;

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Role {
    /// It follows whoever leads.
    Follower,
    /// It is in phase 1: what those have accepted who have promised.
    Candidate(SortedMap<NodeId, Vec<(usize, Ballot, Value)>>),
    /// It is past it.
    Leader(Leader),
}

/// What a leader knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Leader {
    /// The next free slot.
    next: usize,
    /// The first slot that was free when it began: all before may have been chosen by others.
    first: usize,
    /// Of the slots that are not chosen: what it proposes, and who has accepted that.
    open: SortedMap<usize, (Value, SortedSet<NodeId>)>,
    /// When each node was asked, at the latest, to hold its promises, and said that it does.
    held: Vec<Option<Time>>,
}

/// How much is repeated at a time.
const REPEATED_MAX: usize = 8;

impl MultiPaxos {
    /// Phase 1a, for all slots that it does not know to be chosen.
    pub(super) fn prepare(&mut self, ctx: &mut Context<'_, Self>) {
        ctx.reach("election: a node wants to lead");
        let ballot = Ballot { round: self.promised.round + 1, node: self.id.index() as u16 };
        self.promise(ballot, ctx);
        let own = self.accepted_from(self.log.len());
        self.role = Role::Candidate(SortedMap::from([(self.id, own)]));
        ctx.broadcast(Message::Prepare { ballot, from: self.log.len() });
        self.elect_later(ctx);
    }

    pub(super) fn on_promise(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        accepted: Vec<(usize, Ballot, Value)>,
        ctx: &mut Context<'_, Self>,
    ) {
        let majority = self.majority();
        let Role::Candidate(promises) = &mut self.role else {
            return ctx.ignore("promise: is no candidate");
        };
        if ballot != self.promised {
            return ctx.ignore("promise: of an earlier number");
        }
        promises.insert(from, accepted);
        if majority <= promises.len() {
            let promises = std::mem::take(promises);
            self.take_over(promises.into_values().flatten(), ctx);
        }
    }

    /// Phase 1 is over: in each slot it proposes what may be chosen, and in gaps nothing.
    fn take_over(
        &mut self,
        accepted: impl Iterator<Item = (usize, Ballot, Value)>,
        ctx: &mut Context<'_, Self>,
    ) {
        let mut highest: SortedMap<usize, (Ballot, Value)> = SortedMap::new();
        for (slot, ballot, value) in accepted {
            match highest.get(&slot) {
                Some((other, _)) if ballot <= *other => {}
                _ => drop(highest.insert(slot, (ballot, value))),
            }
        }
        let begin = self.log.len();
        let end = highest.keys().next_back().map_or(begin, |last| (last + 1).max(begin));
        self.role = Role::Leader(Leader {
            next: end,
            first: end,
            open: SortedMap::new(),
            held: vec![None; self.nodes],
        });
        ctx.cancel_timer(Timer::Elect);
        for slot in begin..end {
            let value = highest.remove(&slot).and_then(|(_, value)| value);
            if value.is_none() {
                ctx.reach("election: a gap is filled with a no-op");
            } else {
                ctx.reach("election: what may be chosen is proposed again");
            }
            self.propose_in(slot, value, ctx);
        }
        self.say_again(ctx);
    }

    /// A command gets the next slot, unless it has one.
    pub(super) fn propose(&mut self, update: Update, ctx: &mut Context<'_, Self>) {
        let Role::Leader(leader) = &mut self.role else { return };
        let is_it = |value: &Value| value.as_ref().is_some_and(|one| one.request == update.request);
        if leader.open.values().any(|(value, _)| is_it(value)) || self.chosen.values().any(is_it) {
            return ctx.ignore("request: already under way");
        }
        let slot = leader.next;
        leader.next += 1;
        self.propose_in(slot, Some(update), ctx);
    }

    /// Phase 2a.
    fn propose_in(&mut self, slot: usize, value: Value, ctx: &mut Context<'_, Self>) {
        let ballot = self.promised;
        self.accept(ballot, slot, value.clone(), ctx);
        if let Role::Leader(leader) = &mut self.role {
            leader.open.insert(slot, (value.clone(), SortedSet::new()));
        }
        ctx.broadcast(Message::Accept { ballot, slot, value });
        self.on_accepted(self.id, ballot, slot, ctx);
    }

    /// A slot is chosen once a majority has accepted what is proposed there.
    pub(super) fn on_accepted(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        slot: usize,
        ctx: &mut Context<'_, Self>,
    ) {
        let majority = self.majority();
        let Role::Leader(leader) = &mut self.role else {
            return ctx.ignore("accepted: does not lead");
        };
        if ballot != self.promised {
            return ctx.ignore("accepted: under another number");
        }
        let Some((_, nodes)) = leader.open.get_mut(&slot) else {
            return ctx.ignore("accepted: chosen already");
        };
        nodes.insert(from);
        if majority <= nodes.len()
            && let Some((value, _)) = leader.open.remove(&slot)
        {
            self.learn(slot, value, ctx);
        }
    }

    /// 2.4: whoever has promised a higher number will promise none below. A follower has no number
    /// that could be refused any more, and may hold its promises for another leader.
    pub(super) fn on_refused(&mut self, promised: Ballot, ctx: &mut Context<'_, Self>) {
        if matches!(self.role, Role::Follower) {
            return ctx.ignore("refused: neither leads nor wants to");
        }
        if promised <= self.promised {
            return ctx.ignore("refused: of an earlier number");
        }
        self.promise(promised, ctx);
        self.elect_later(ctx);
    }

    pub(super) fn on_held(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        at: Time,
        ctx: &mut Context<'_, Self>,
    ) {
        let Role::Leader(leader) = &mut self.role else {
            return ctx.ignore("held: does not lead");
        };
        if ballot != self.promised {
            return ctx.ignore("held: under another number");
        }
        let held = &mut leader.held[from.index()];
        *held = (*held).max(Some(at));
    }

    /// Until when, on its own clock, nobody else can have anything chosen, if all that others had
    /// chosen is carried out here.
    pub(super) fn lease(&self, now: Time) -> Option<Time> {
        let Role::Leader(leader) = &self.role else { return None };
        let mut held = leader.held.clone();
        held[self.id.index()] = Some(now);
        held.sort_unstable_by(|one, other| other.cmp(one));
        let until = held[self.majority() - 1]? + self.config.lease;
        (leader.first <= self.log.len() && now < until).then_some(until)
    }

    pub(super) fn on_fetch(&self, from: NodeId, slot: usize, ctx: &mut Context<'_, Self>) {
        for (slot, value) in self.log.iter().enumerate().skip(slot).take(REPEATED_MAX) {
            ctx.send(from, Message::Learn { slot, value: value.clone() });
        }
    }

    /// Says that it is there, and what may be lost.
    pub(super) fn say_again(&mut self, ctx: &mut Context<'_, Self>) {
        let ballot = self.promised;
        match &self.role {
            Role::Follower => {}
            Role::Candidate(_) => {
                ctx.broadcast(Message::Prepare { ballot, from: self.log.len() });
            }
            Role::Leader(leader) => {
                for (slot, (value, nodes)) in leader.open.iter().take(REPEATED_MAX) {
                    for node in NodeId::all(self.nodes).filter(|node| !nodes.contains(node)) {
                        let (slot, value) = (*slot, value.clone());
                        ctx.send(node, Message::Accept { ballot, slot, value });
                    }
                }
                let at = ctx.now();
                ctx.broadcast(Message::Heartbeat { ballot, chosen: self.log.len(), at });
                // Its own acceptor holds, too.
                self.held = self.held.max(at + self.config.hold);
            }
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Follower => Ok(()),
            Self::Candidate(promises) => {
                write!(f, "for a majority of promises, has {:?}", promises.keys())
            }
            Self::Leader(leader) => match leader.open.iter().next() {
                None => Ok(()),
                Some((slot, (_, nodes))) => write!(f, "for slot {slot}, accepted by {nodes:?}"),
            },
        }
    }
}
