//! Who leads when, and when a view is over (section 7, which leaves it open).

use super::blocks::{Block, Certificate, Message, View, Vote};
use super::{Replica, Response, Timer};
use crate::pbft::Ask;
use crate::twins::Rounds;
use seedfall_sim::{Context, Duration, NodeId, Signed, SortedMap};

/// How often the patience grows by half, at most.
const LONGER: u32 = 6;

impl Replica {
    /// Leaders take turns, each for several views, once those that were chosen have led.
    pub(super) fn leader(&self, view: View) -> NodeId {
        if let Some(chosen) = self.chosen_leader(view) {
            return chosen;
        }
        let nodes = 3 * self.config.faulty as u64 + 1;
        NodeId::new((view / self.config.leads % nodes) as u16)
    }

    fn chosen_leader(&self, view: View) -> Option<NodeId> {
        self.config.leaders.get(view.checked_sub(1)? as usize).copied()
    }

    /// The last view of the leader of a view.
    fn last_of(&self, view: View) -> View {
        if self.chosen_leader(view).is_some() {
            return view;
        }
        (view / self.config.leads + 1) * self.config.leads - 1
    }

    /// Whether anything waits: a request, or a block that is certified and not decided, or may be.
    pub(super) fn is_busy(&self) -> bool {
        let mut next = self.high.block;
        let last = self.decided.last().copied().unwrap_or_default();
        while next != last {
            match self.block(next) {
                Some(block) if block.ask.is_none() => next = block.parent,
                Some(_) => return true,
                None => return next != 0,
            }
        }
        !self.pending.is_empty() || self.goal.is_some()
    }

    fn patience(&self) -> Duration {
        let mut patience = self.config.patience;
        for _ in 0..self.vain.min(LONGER) {
            patience = patience.scale(3, 2);
        }
        patience
    }

    /// Waits anew for the end of this view, if there is anything to wait for.
    pub(super) fn be_patient(&self, ctx: &mut Context<'_, Self>) {
        match self.is_busy() {
            true => ctx.set_timer(Timer::Patience, self.patience()),
            false => ctx.cancel_timer(Timer::Patience),
        }
    }

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
        let was_idle = !self.is_busy();
        self.pending.insert(client, ask);
        if was_idle {
            self.be_patient(ctx);
        }
        self.propose(ctx);
    }

    /// Enters a view, if it is a later one.
    pub(super) fn enter(&mut self, view: View, ctx: &mut Context<'_, Self>) {
        if view <= self.view {
            return;
        }
        self.view = view;
        self.votes.retain(|_, vote| view <= vote.value().view + 1);
        self.be_patient(ctx);
        self.propose(ctx);
    }

    /// A certificate: the highest is kept, and its view is over.
    pub(super) fn raise(&mut self, certificate: Certificate, ctx: &mut Context<'_, Self>) {
        if self.high.view < certificate.view {
            self.high = certificate;
            self.vain = 0;
            self.enter(self.high.view + 1, ctx);
        }
    }

    /// The leader proposes, once the view before is over by votes, or by `2f + 1` who say so.
    pub(super) fn propose(&mut self, ctx: &mut Context<'_, Self>) {
        let view = self.view;
        let over = self.timeouts.values().filter(|said| view <= **said + 1).count();
        let may = self.high.view + 1 == view || self.quorum() <= over;
        let first = view == 1;
        if self.leader(view) != self.id || view <= self.proposed || !(may || first) {
            return;
        }
        if !self.is_busy() {
            return;
        }
        self.proposed = view;
        let ask = self.next_ask();
        let justify = self.high.clone();
        let block = Block { view, parent: justify.block, justify: Some(justify), ask };
        let proposal = ctx.sign(block);
        ctx.broadcast(Message::Propose(proposal.clone()));
        self.on_proposal(proposal, ctx);
    }

    /// A request that waits, and is in no block since the last decided one.
    fn next_ask(&self) -> Option<Ask> {
        let mut under_way = Vec::new();
        let mut next = self.high.block;
        let last = self.decided.last().copied().unwrap_or_default();
        while next != last {
            let Some(block) = self.block(next) else { break };
            under_way.extend(block.ask.as_ref().map(|ask| ask.id));
            next = block.parent;
        }
        self.pending.values().find(|ask| !under_way.contains(&ask.id)).cloned()
    }

    /// A vote, to the leader of the next view.
    pub(super) fn on_vote(&mut self, vote: Signed<Vote>, ctx: &mut Context<'_, Self>) {
        let Vote { view, .. } = *vote.value();
        if self.leader(view + 1) != self.id || view <= self.high.view {
            return ctx.ignore("vote: too late, or for another leader");
        }
        if self.votes.get(&vote.by()).is_some_and(|other| view <= other.value().view) {
            return ctx.ignore("vote: this replica has voted before");
        }
        self.votes.insert(vote.by(), vote);
        let mut same: SortedMap<_, Vec<Signed<Vote>>> = SortedMap::new();
        for vote in self.votes.values().filter(|vote| vote.value().view == view) {
            same.entry(vote.value().block).or_default().push(*vote);
        }
        let Some((block, votes)) = same.into_iter().find(|(_, votes)| self.quorum() <= votes.len())
        else {
            return;
        };
        let certificate = Certificate { view, block, votes };
        self.update(&certificate, ctx);
        self.raise(certificate, ctx);
    }

    /// The view lasts too long.
    pub(super) fn on_patience(&mut self, ctx: &mut Context<'_, Self>) {
        ctx.reach("patience: a view lasts too long");
        self.vain += 1;
        if let Some(goal) = self.goal {
            self.decide(goal, ctx);
        }
        let lacking = self.orphans.iter().map(|orphan| orphan.value().parent);
        for hash in lacking.collect::<Vec<_>>() {
            ctx.broadcast(Message::Fetch(hash));
        }
        for ask in self.pending.values() {
            ctx.broadcast(Message::Request(ask.clone()));
        }
        self.say_over(self.last_of(self.view), ctx);
        ctx.set_timer(Timer::Patience, self.patience());
    }

    /// Says that a view is over.
    fn say_over(&mut self, view: View, ctx: &mut Context<'_, Self>) {
        ctx.broadcast(Message::Timeout { view, high: self.high.clone() });
        self.hear(self.id, view, ctx);
    }

    /// Somebody says that a view is over.
    pub(super) fn on_timeout(
        &mut self,
        from: NodeId,
        view: View,
        high: Certificate,
        ctx: &mut Context<'_, Self>,
    ) {
        if !self.is_certificate(&high) {
            return ctx.ignore("timeout: its certificate proves nothing");
        }
        if self.block(high.block).is_none() && high.block != 0 {
            ctx.send(from, Message::Fetch(high.block));
        }
        let is_behind = high.view < self.high.view;
        self.update(&high, ctx);
        self.raise(high, ctx);
        if is_behind || view + 1 < self.view {
            // So that it comes after, also if nothing waits here: what this replica knows.
            let (view, high) = (self.view - 1, self.high.clone());
            ctx.send(from, Message::Timeout { view, high });
        }
        self.hear(from, view, ctx);
    }

    /// Who says so much: `2f + 1` end a view, and `f + 1` are believed that it lasts too long.
    fn hear(&mut self, from: NodeId, view: View, ctx: &mut Context<'_, Self>) {
        let heard = self.timeouts.entry(from).or_default();
        *heard = (*heard).max(view);
        let mut views: Vec<View> = self.timeouts.values().copied().collect();
        views.sort_unstable_by(|a, b| b.cmp(a));
        if let Some(over) = views.get(self.quorum() - 1).copied() {
            self.enter(over + 1, ctx);
        }
        let own = self.timeouts.get(&self.id).copied().unwrap_or(0);
        if let Some(late) = views.get(self.config.faulty).copied()
            && self.view <= late
            && own < late
        {
            ctx.reach("timeout: f + 1 others say that the view is over");
            self.say_over(late, ctx);
        }
        self.propose(ctx);
    }
}

/// Views are rounds.
impl Rounds for Replica {
    fn round(&self) -> u64 {
        self.view.saturating_sub(1)
    }

    fn round_of(&self, message: &Message) -> Option<u64> {
        let view = match message {
            Message::Request(_) => return None,
            Message::Propose(proposal) => proposal.value().view,
            Message::Vote(vote) => vote.value().view,
            Message::Timeout { view, .. } => *view,
            Message::Fetch(_) | Message::Block(_) => self.view,
        };
        Some(view.saturating_sub(1))
    }

    fn bare(message: &Message) -> Option<Message> {
        match message {
            Message::Timeout { view, .. } => {
                Some(Message::Timeout { view: *view, high: Certificate::default() })
            }
            _ => None,
        }
    }
}
