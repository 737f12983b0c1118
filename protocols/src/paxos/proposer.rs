//! The proposer (2.2): one attempt after another, each under a higher number.

use super::{Message, Number, Paxos, Proposal, Response, Timer};
use crate::kv::Text;
use seedfall_sim::{Context, NodeId, Renamed, Renaming};
use std::fmt;

/// A proposal in the making.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Attempt {
    number: Number,
    phase: Phase,
    /// Who has answered in this phase, in the order of their names: a set, so that a doubled reply
    /// counts once.
    heard: Vec<NodeId>,
    /// How many of those who wait had asked when it began.
    asked: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Promises are collected; the highest-numbered proposal that they report.
    Prepare { highest: Option<Proposal> },
    /// Acceptances of this value are collected.
    Propose { value: Text },
}

/// One more has answered.
fn insert(heard: &mut Vec<NodeId>, from: NodeId) {
    heard.insert(heard.partition_point(|one| *one < from), from);
}

impl Renamed for Attempt {
    fn renamed(&self, names: &Renaming) -> Self {
        let phase = match &self.phase {
            Phase::Prepare { highest } => Phase::Prepare { highest: highest.renamed(names) },
            Phase::Propose { value } => Phase::Propose { value: value.clone() },
        };
        let mut heard = self.heard.renamed(names);
        heard.sort_unstable();
        Self { number: self.number.renamed(names), phase, heard, ..*self }
    }
}

impl Paxos {
    /// Phase 1a: a number above all that were heard of. Whatever attempt there was is given up.
    pub(super) fn prepare(&mut self, ctx: &mut Context<'_, Self>) {
        assert!(self.chosen.is_none(), "whoever knows what is chosen proposes nothing");
        self.highest_round += 1;
        let number = Number { round: self.highest_round, proposer: self.id };
        let accepted = self.promise(number, ctx);
        let accepted = accepted.expect("its own acceptor has promised nothing higher");
        let phase = Phase::Prepare { highest: None };
        let asked = self.waiting.len();
        self.attempt = Some(Attempt { number, phase, heard: Vec::new(), asked });
        let retry = ctx.draw().duration(self.config.retry_min..self.config.retry_max);
        ctx.set_timer(Timer::Retry, retry);
        ctx.broadcast(Message::Prepare { number });
        self.on_promise(self.id, number, accepted, ctx);
    }

    /// Phase 1b: a quorum of promises ends the phase.
    pub(super) fn on_promise(
        &mut self,
        from: NodeId,
        number: Number,
        accepted: Option<Proposal>,
        ctx: &mut Context<'_, Self>,
    ) {
        let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.number == number) else {
            return ctx.ignore("promise: of an attempt that was given up");
        };
        let Phase::Prepare { highest } = &mut attempt.phase else {
            return ctx.ignore("promise: there was a quorum already");
        };
        if attempt.heard.contains(&from) {
            return ctx.ignore("promise: this node has promised before");
        }
        insert(&mut attempt.heard, from);
        if let (Some(one), Some(other)) = (&highest, &accepted)
            && one.value != other.value
        {
            ctx.reach("promise: two values are reported");
        }
        if highest.as_ref().map(|highest| highest.number) < accepted.as_ref().map(|one| one.number)
        {
            *highest = accepted;
        }
        if self.config.phase_1 <= attempt.heard.len() {
            self.propose(ctx);
        }
    }

    /// Phase 2a: the value that may have been chosen; its own only if there is none. If nobody who
    /// waits proposes anything, nothing is chosen.
    fn propose(&mut self, ctx: &mut Context<'_, Self>) {
        let attempt = self.attempt.as_mut().expect("the caller has it");
        let Phase::Prepare { highest } = &attempt.phase else {
            unreachable!("phase 2 comes after phase 1")
        };
        let own = self.waiting.iter().find_map(|(_, value)| value.as_ref());
        if let (Some(highest), Some(own)) = (highest, own)
            && highest.value != *own
        {
            ctx.reach("propose: another's value, which may be chosen");
        }
        let Some(value) = highest.as_ref().map(|one| &one.value).or(own).cloned() else {
            return self.answer_nothing(ctx);
        };
        let proposal = Proposal { number: attempt.number, value: value.clone() };
        (attempt.phase, attempt.heard) = (Phase::Propose { value }, Vec::new());
        ctx.broadcast(Message::Accept { proposal: proposal.clone() });
        let number = proposal.number;
        match self.accept(proposal, ctx) {
            Ok(()) => self.on_accepted(self.id, number, ctx),
            Err(promised) => self.on_refused(number, promised, ctx),
        }
    }

    /// Reads are told that nothing was chosen: those alone that had asked before the promises were
    /// given. A value may have been chosen since.
    fn answer_nothing(&mut self, ctx: &mut Context<'_, Self>) {
        let attempt = self.attempt.take().expect("the caller has it");
        ctx.cancel_timer(Timer::Retry);
        ctx.reach("read: nothing is chosen");
        for (request, _) in self.waiting.drain(..attempt.asked) {
            ctx.respond(request, Response::Nothing);
        }
        if !self.waiting.is_empty() {
            ctx.reach("read: came too late for these promises");
            self.prepare(ctx);
        }
    }

    /// Phase 2b: a quorum of acceptances chooses the value.
    pub(super) fn on_accepted(
        &mut self,
        from: NodeId,
        number: Number,
        ctx: &mut Context<'_, Self>,
    ) {
        let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.number == number) else {
            return ctx.ignore("accepted: of an attempt that was given up");
        };
        let Phase::Propose { value } = &attempt.phase else {
            unreachable!("nothing was proposed under this number")
        };
        if attempt.heard.contains(&from) {
            return ctx.ignore("accepted: this node has accepted before");
        }
        insert(&mut attempt.heard, from);
        if self.config.phase_2 <= attempt.heard.len() {
            let value = value.clone();
            ctx.broadcast(Message::Chosen { value: value.clone() });
            self.learn(value, ctx);
        }
    }

    /// Somebody was promised a higher number: the attempt can be given up, but who begins anew at
    /// once would only overtake in turn (2.4). The timer does it, after a random time.
    pub(super) fn on_refused(
        &mut self,
        number: Number,
        promised: Number,
        ctx: &mut Context<'_, Self>,
    ) {
        self.heard_of(promised);
        if self.attempt.as_ref().is_none_or(|attempt| attempt.number != number) {
            ctx.ignore("refused: of an attempt that was given up");
        }
    }
}

impl Attempt {
    pub(super) fn proposes(&self) -> bool {
        matches!(self.phase, Phase::Propose { .. })
    }
}

/// What it waits for.
impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, phase, heard, .. } = self;
        let answers = match phase {
            Phase::Prepare { .. } => "promises of",
            Phase::Propose { .. } => "acceptances of",
        };
        write!(f, "for a quorum of {answers} {number:?}, has {heard:?}")
    }
}
