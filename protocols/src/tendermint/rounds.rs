//! Algorithm 1: what follows from the messages of a height, and what a validator does when they do
//! not come.

use super::statements::{Decision, Kind, Message, Proposal, Record, Vote};
use super::{Height, Id, Prevoted, Response, Round, State, Step, Timer, Validator};
use crate::pbft::Ask;
use seedfall_sim::{Context, Duration, NodeId, Signed, SortedSet};

impl Validator {
    /// A request, from its client or from who was asked.
    pub(super) fn take(&mut self, ask: Ask, ctx: &mut Context<'_, Self>) {
        if self.machine.has_executed(ask.id) {
            if let Some(answer) = self.machine.answer(ask.id) {
                ctx.respond(ask.id, Response(answer.clone()));
            }
            return ctx.ignore("request: executed before");
        }
        let client = ask.id.client;
        if self.pending.get(&client).is_some_and(|other| ask.id.number <= other.id.number) {
            return ctx.ignore("request: it, or a later one, waits");
        }
        self.pending.insert(client, ask);
        self.begin(ctx);
    }

    /// Begins the height, if it has not begun.
    fn begin(&mut self, ctx: &mut Context<'_, Self>) {
        if !self.running {
            self.running = true;
            ctx.set_timer(Timer::Gossip, self.config.gossip);
            self.start_round(self.state.round, ctx);
        }
    }

    /// Longer in each later round (line 57: the time-outs grow).
    fn patience(&self) -> Duration {
        let rounds = self.state.round.min(20);
        self.config.patience.scale(2 + rounds, 2)
    }

    fn set_step(&mut self, step: Step, ctx: &mut Context<'_, Self>) {
        self.state.step = step;
        ctx.append(Record::State(self.state.clone()));
        ctx.sync();
    }

    /// Lines 11 to 21.
    fn start_round(&mut self, round: Round, ctx: &mut Context<'_, Self>) {
        self.state.round = round;
        self.set_step(Step::Propose, ctx);
        let height = self.state.height;
        if self.proposer(round) == self.id && !self.proposals.contains_key(&round) {
            let (valid, value) = match &self.state.valid {
                Some((valid, value)) => (Some(*valid), value.clone()),
                None => (None, self.pending.values().next().cloned()),
            };
            let proposal = ctx.sign(Proposal { height, round, value, valid });
            ctx.broadcast(Message::Propose(proposal.clone()));
            self.proposals.insert(round, vec![proposal]);
        }
        ctx.set_timer(Timer::Step(height, round, Step::Propose), self.patience());
        self.react(ctx);
    }

    /// A proposal, from its proposer or passed on.
    pub(super) fn on_proposal(
        &mut self,
        from: NodeId,
        proposal: Signed<Proposal>,
        ctx: &mut Context<'_, Self>,
    ) {
        let Proposal { height, round, .. } = *proposal.value();
        if !self.is_at(from, height, ctx) {
            return;
        }
        if proposal.by() != self.proposer(round) {
            return ctx.ignore("proposal: not the proposer's");
        }
        let known = self.proposals.entry(round).or_default();
        if known.contains(&proposal) {
            return ctx.ignore("proposal: known");
        }
        if !known.is_empty() {
            ctx.reach("proposal: the proposer says two things");
        }
        known.push(proposal);
        self.begin(ctx);
        self.react(ctx);
    }

    /// A vote, from its voter or passed on.
    pub(super) fn on_vote(
        &mut self,
        from: NodeId,
        vote: Signed<Vote>,
        ctx: &mut Context<'_, Self>,
    ) {
        let Vote { height, round, kind, .. } = *vote.value();
        if !self.is_at(from, height, ctx) {
            return;
        }
        if self.votes_of(round, kind).any(|other| *other == vote) {
            return ctx.ignore("vote: known");
        }
        // Each counts for what it says: others may have seen only this one, and acted on it.
        if self.votes_of(round, kind).any(|other| other.by() == vote.by()) {
            ctx.reach("vote: a validator says two things");
        }
        self.keep(vote);
        self.begin(ctx);
        self.react(ctx);
    }

    /// For whoever watches.
    fn note_own(&mut self, Vote { round, kind, id, .. }: Vote) {
        if *self.own.entry((round, kind)).or_insert(id) != id {
            self.contradicted = Some((round, kind));
        }
        let Some(id) = id else { return };
        let precommitted = self.precommitted;
        match kind {
            Kind::Prevote => self.prevoted = Some(Prevoted { round, id, precommitted }),
            Kind::Precommit => self.precommitted = Some((round, id)),
        }
    }

    fn keep(&mut self, vote: Signed<Vote>) {
        let Vote { round, kind, id, .. } = *vote.value();
        self.votes.insert((round, kind, vote.by(), id), vote);
    }

    /// Whether a message is of this height; who is behind is sent what was decided.
    fn is_at(&self, from: NodeId, height: Height, ctx: &mut Context<'_, Self>) -> bool {
        if let Some(decision) = self.decisions.get(height as usize) {
            ctx.send(from, Message::Decided(decision.clone()));
        }
        if height != self.state.height {
            ctx.ignore("message: of another height");
        }
        height == self.state.height
    }

    /// What follows from all that is known: each rule may make another apply.
    fn react(&mut self, ctx: &mut Context<'_, Self>) {
        if !self.running {
            return;
        }
        let before = (self.state.height, self.state.round, self.state.step);
        if self.decide(ctx) || self.skip(ctx) {
            return;
        }
        self.prevote(ctx);
        self.precommit(ctx);
        if before != (self.state.height, self.state.round, self.state.step) {
            self.react(ctx);
        }
    }

    /// Lines 22 to 33: prevotes the proposal of the round, if it may; else nil.
    fn prevote(&mut self, ctx: &mut Context<'_, Self>) {
        let round = self.state.round;
        if self.state.step != Step::Propose {
            return;
        }
        // Line 28: the polka that it refers to must be here.
        let is_founded = |said: &&Proposal| {
            said.valid.is_none_or(|valid| {
                valid < round && self.quorum_for(valid, Kind::Prevote) == Some(Some(said.id()))
            })
        };
        let proposals = self.proposals.get(&round).into_iter().flatten().map(Signed::value);
        let Some(proposal) = proposals.into_iter().find(is_founded) else { return };
        let (id, valid) = (proposal.id(), proposal.valid);
        let may = self.may_prevote(id, valid);
        if !may {
            ctx.reach("prevote: locked on another value");
        } else if self.state.locked.is_some_and(|(_, locked)| locked != id) {
            ctx.reach("prevote: a later polka unlocks");
        }
        self.vote(Kind::Prevote, may.then_some(id), ctx);
    }

    /// Lines 23 and 29: the locking rule.
    fn may_prevote(&self, id: Id, valid: Option<Round>) -> bool {
        match self.state.locked {
            None => true,
            Some((round, locked)) => locked == id || valid.is_some_and(|valid| round <= valid),
        }
    }

    /// Lines 34 to 46: precommits what has a polka.
    fn precommit(&mut self, ctx: &mut Context<'_, Self>) {
        let State { height, round, step, .. } = self.state;
        if step < Step::Prevote {
            return;
        }
        if step == Step::Prevote && self.quorum() <= self.voters(round, Kind::Prevote) {
            self.wait(Timer::Step(height, round, Step::Prevote), ctx);
        }
        if self.quorum() <= self.voters(round, Kind::Precommit) {
            self.wait(Timer::Step(height, round, Step::Precommit), ctx);
        }
        let Some(voted) = self.quorum_for(round, Kind::Prevote) else { return };
        let Some(id) = voted else {
            if step == Step::Prevote {
                self.vote(Kind::Precommit, None, ctx);
            }
            return;
        };
        let Some(proposal) = self.proposal(round, id) else { return };
        let value = proposal.value().value.clone();
        if self.state.valid.as_ref().is_none_or(|(valid, _)| *valid < round) {
            self.state.valid = Some((round, value));
            let polka = self.votes_of(round, Kind::Prevote);
            let polka = polka.filter(|vote| vote.value().id == Some(id)).copied().collect();
            ctx.append(Record::Votes(polka));
            ctx.append(Record::State(self.state.clone()));
            ctx.sync();
        }
        if step == Step::Prevote {
            self.state.locked = Some((round, id));
            self.vote(Kind::Precommit, Some(id), ctx);
        }
    }

    /// Sets the timer of a step, the first time (lines 34 and 47).
    fn wait(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) {
        if self.waited.insert(timer) {
            ctx.set_timer(timer, self.patience());
        }
    }

    /// Votes: what it is locked on is durable before.
    fn vote(&mut self, kind: Kind, id: Option<Id>, ctx: &mut Context<'_, Self>) {
        let State { height, round, .. } = self.state;
        let vote = ctx.sign(Vote { height, round, kind, id });
        self.note_own(*vote.value());
        ctx.append(Record::Vote(vote));
        self.set_step(if kind == Kind::Prevote { Step::Prevote } else { Step::Precommit }, ctx);
        ctx.broadcast(Message::Vote(vote));
        self.keep(vote);
    }

    /// Lines 49 to 54. Whether the height is decided.
    fn decide(&mut self, ctx: &mut Context<'_, Self>) -> bool {
        let decided = self.proposals.keys().find_map(|round| {
            let id = self.quorum_for(*round, Kind::Precommit)??;
            Some((*round, id, self.proposal(*round, id)?.clone()))
        });
        let Some((round, id, proposal)) = decided else { return false };
        let votes = self.votes_of(round, Kind::Precommit);
        let precommits = votes.filter(|vote| vote.value().id == Some(id)).copied().collect();
        self.conclude(Decision { proposal, precommits }, ctx);
        true
    }

    /// The proof of a decision at this height.
    pub(super) fn on_decided(&mut self, decision: Decision, ctx: &mut Context<'_, Self>) {
        let Proposal { height, round, .. } = *decision.proposal.value();
        if height != self.state.height {
            return ctx.ignore("decided: another height");
        }
        let expected =
            Vote { height, round, kind: Kind::Precommit, id: Some(decision.proposal.value().id()) };
        let votes = decision.precommits.iter().filter(|vote| *vote.value() == expected);
        let by: SortedSet<NodeId> = votes.map(Signed::by).collect();
        if decision.proposal.by() != self.proposer(round) || by.len() < self.quorum() {
            return ctx.ignore("decided: not proved");
        }
        ctx.reach("decided: told by one who is ahead");
        self.conclude(decision, ctx);
    }

    /// A height is decided: executes it, and goes on.
    fn conclude(&mut self, decision: Decision, ctx: &mut Context<'_, Self>) {
        ctx.append(Record::Decision(decision.clone()));
        ctx.sync();
        self.apply(decision, ctx);
        if !self.pending.is_empty() {
            self.begin(ctx);
        }
    }

    fn apply(&mut self, decision: Decision, ctx: &mut Context<'_, Self>) {
        let value = decision.proposal.value().value.clone();
        self.decisions.push(decision);
        self.state = State { height: self.state.height + 1, ..State::default() };
        self.running = false;
        self.proposals.clear();
        self.votes.clear();
        self.waited.clear();
        self.own.clear();
        (self.contradicted, self.precommitted, self.prevoted) = (None, None, None);
        ctx.cancel_timer(Timer::Gossip);
        let Some(ask) = value else { return };
        let client = ask.id.client;
        if self.pending.get(&client).is_some_and(|other| other.id.number <= ask.id.number) {
            self.pending.remove(&client);
        }
        match self.machine.execute(&ask) {
            Some(answer) => ctx.respond(ask.id, Response(answer)),
            None => ctx.reach("decide: a request that was executed before"),
        }
    }

    /// Line 55: goes on to a later round in which `f + 1` are. Whether it does.
    fn skip(&mut self, ctx: &mut Context<'_, Self>) -> bool {
        let now = self.state.round;
        let later = self.votes.keys().filter(|(round, ..)| now < *round);
        let mut rounds: Vec<_> = later.map(|(round, _, by, _)| (*round, *by)).collect();
        let proposed = self.proposals.keys().filter(|round| now < **round);
        rounds.extend(proposed.map(|round| (*round, self.proposer(*round))));
        rounds.sort_unstable_by(|a, b| b.cmp(a));
        let mut ahead = SortedSet::new();
        for (round, by) in rounds {
            ahead.insert(by);
            if self.config.faulty < ahead.len() {
                ctx.reach("round: f + 1 others are in a later one");
                self.start_round(round, ctx);
                return true;
            }
        }
        false
    }

    /// Lines 57 to 67: a step lasts too long.
    pub(super) fn on_late(
        &mut self,
        height: Height,
        round: Round,
        step: Step,
        ctx: &mut Context<'_, Self>,
    ) {
        if (height, round) != (self.state.height, self.state.round) || !self.running {
            return ctx.ignore("time-out: of a round that is over");
        }
        match step {
            Step::Propose if self.state.step == Step::Propose => {
                ctx.reach("time-out: no proposal");
                self.vote(Kind::Prevote, None, ctx);
            }
            Step::Prevote if self.state.step == Step::Prevote => {
                ctx.reach("time-out: prevotes differ");
                self.vote(Kind::Precommit, None, ctx);
            }
            Step::Precommit => {
                ctx.reach("time-out: precommits differ");
                // Who is still in this round needs them, and may have them from nobody else.
                let ended = self.votes_of(round, Kind::Precommit).copied().collect();
                ctx.append(Record::Votes(ended));
                return self.start_round(round + 1, ctx);
            }
            _ => return ctx.ignore("time-out: of a step that is over"),
        }
        self.react(ctx);
    }

    /// Tells again what it knows, as far as anybody may need it.
    pub(super) fn gossip(&mut self, ctx: &mut Context<'_, Self>) {
        if !self.running {
            return;
        }
        let State { round, locked, .. } = self.state;
        // What was decided on in earlier rounds, as far as locks and proposals refer to it.
        let mut polkas = SortedSet::new();
        polkas.extend(locked.map(|(round, _)| round));
        polkas.extend(self.state.valid.as_ref().map(|(round, _)| *round));
        let now = self.proposals.get(&round).into_iter().flatten();
        polkas.extend(now.filter_map(|proposal| proposal.value().valid));
        let recent = |of: Round| of == round || of + 1 == round;
        for (_, proposals) in
            self.proposals.iter().filter(|(of, _)| recent(**of) || polkas.contains(of))
        {
            for proposal in proposals {
                ctx.broadcast(Message::Propose(proposal.clone()));
            }
        }
        let tells =
            |of: Round, kind: Kind| recent(of) || (kind == Kind::Prevote && polkas.contains(&of));
        for (_, vote) in self.votes.iter().filter(|((of, kind, ..), _)| tells(*of, *kind)) {
            ctx.broadcast(Message::Vote(*vote));
        }
        for ask in self.pending.values() {
            ctx.broadcast(Message::Request(ask.clone()));
        }
        ctx.set_timer(Timer::Gossip, self.config.gossip);
    }

    /// After a crash: what it is at, how it has voted and what is decided is in the journal.
    pub(super) fn recover(&mut self, journal: &[Record], ctx: &mut Context<'_, Self>) {
        ctx.reach("recovery: from a journal");
        let mut state = State::default();
        for record in journal.iter().cloned() {
            match record {
                Record::State(now) => state = now,
                Record::Vote(vote) => {
                    self.note_own(*vote.value());
                    self.keep(vote);
                }
                Record::Votes(votes) => votes.into_iter().for_each(|vote| self.keep(vote)),
                Record::Decision(decision) => self.apply(decision, ctx),
            }
        }
        self.prevoted = None;
        if state.height == self.state.height {
            self.state = state;
            self.running = true;
            let State { height, round, step, locked, .. } = self.state;
            // A vote may be left of which the step and the lock are not.
            let own = |kind| {
                let vote = self.votes_of(round, kind).find(|vote| vote.by() == self.id);
                vote.map(|vote| vote.value().id)
            };
            let (prevoted, precommitted) = (own(Kind::Prevote), own(Kind::Precommit));
            self.state.step = match (prevoted, precommitted) {
                (_, Some(_)) => Step::Precommit,
                (Some(_), None) => step.max(Step::Prevote),
                (None, None) => step,
            };
            self.state.locked = precommitted.flatten().map(|id| (round, id)).or(locked);
            ctx.set_timer(Timer::Step(height, round, Step::Propose), self.patience());
            ctx.set_timer(Timer::Gossip, self.config.gossip);
        }
    }
}
