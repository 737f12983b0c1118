//! The failure detector (section 3.1), and Lifeguard's doubts about itself.

use super::claims::{Claim, Status, Update};
use super::{Body, Errand, Member, Probe, Timer};
use seedfall_sim::{Context, Duration, NodeId, SortedSet};

/// The worst local health (the paper's *S*).
const UNWELL: u32 = 8;
/// How many times as long as enough suspect a suspicion lasts that nobody seconds (its beta).
const ALONE: u64 = 6;
/// How much of the difference each further one who suspects takes away, in thousandths: the
/// logarithm of one more than their number to the base of four, which is one more than *K*.
const SECONDED: [u64; 4] = [0, 500, 792, 1_000];

impl Member {
    /// A period is over, and the next begins.
    pub(super) fn on_period(&mut self, ctx: &mut Context<'_, Self>) {
        match self.probe.take() {
            Some(probe) if probe.answered => self.health = self.health.saturating_sub(1),
            Some(probe) => self.give_up(&probe, ctx),
            None => {}
        }
        self.periods += 1;
        if let Some(target) = self.next_target(ctx) {
            self.pings += 1;
            let number = self.pings;
            let helpers = SortedSet::new();
            self.probe = Some(Probe { number, target, answered: false, helpers });
            self.send(target, Body::Ping(number), ctx);
            ctx.set_timer(Timer::Late(number), self.unhurried(self.config.round_trip));
        }
        if self.periods.is_multiple_of(self.config.knock) {
            self.knock(ctx);
        }
        ctx.set_timer(Timer::Period, self.unhurried(self.config.period));
    }

    /// Neither the member nor any helper has answered in this period.
    fn give_up(&mut self, probe: &Probe, ctx: &mut Context<'_, Self>) {
        self.is_unwell(ctx);
        if !probe.helpers.is_empty() {
            // Not even that the member does not answer was answered.
            self.is_unwell(ctx);
        }
        let claim = self.others[&probe.target];
        if claim.status == Status::Alive {
            ctx.reach("suspect: neither it nor a helper has answered");
        }
        if claim.status != Status::Dead {
            let claim = Claim { status: Status::Suspect, ..claim };
            self.learn(Update { member: probe.target, claim, by: self.id }, ctx);
        }
    }

    /// All that are not dead, in an order that is drawn anew when it is over (section 4.3): so each
    /// is pinged within twice as many periods as there are members.
    fn next_target(&mut self, ctx: &mut Context<'_, Self>) -> Option<NodeId> {
        for _ in 0..2 {
            while let Some(next) = self.order.pop() {
                if self.others[&next].status != Status::Dead {
                    return Some(next);
                }
            }
            self.order = self.drawn(self.others.len(), |_, _| true, ctx);
        }
        None
    }

    /// So many of the others that will do, by chance.
    fn drawn(
        &self,
        most: usize,
        will_do: impl Fn(NodeId, Status) -> bool,
        ctx: &mut Context<'_, Self>,
    ) -> Vec<NodeId> {
        let others = self.others.iter().filter(|(id, claim)| will_do(**id, claim.status));
        let mut left: Vec<NodeId> = others.map(|(id, _)| *id).collect();
        let mut drawn = Vec::new();
        while drawn.len() < most && !left.is_empty() {
            let place = ctx.draw().below(left.len() as u32) as usize;
            drawn.push(left.swap_remove(place));
        }
        drawn
    }

    /// Pings one who is dead: it may be up again, and not know what is held of it.
    fn knock(&mut self, ctx: &mut Context<'_, Self>) {
        let dead = self.drawn(1, |_, status| status == Status::Dead, ctx);
        if let Some(dead) = dead.first() {
            self.pings += 1;
            self.send(*dead, Body::Ping(self.pings), ctx);
        }
    }

    /// No answer in time: others try (the indirect probe).
    pub(super) fn on_late(&mut self, number: u64, ctx: &mut Context<'_, Self>) {
        let Some(probe) = self.probe.as_ref().filter(|probe| probe.number == number) else {
            return ctx.ignore("late: another ping is under way");
        };
        if probe.answered {
            return;
        }
        let target = probe.target;
        let will_do = |id, status| id != target && status != Status::Dead;
        let helpers = self.drawn(self.config.helpers, will_do, ctx);
        for helper in &helpers {
            self.send(*helper, Body::PingReq(number, target), ctx);
        }
        if let Some(probe) = &mut self.probe {
            probe.helpers.extend(helpers.into_iter().filter(|_| self.config.lifeguard));
        }
    }

    /// Pings a member for another.
    pub(super) fn on_ping_req(
        &mut self,
        from: NodeId,
        number: u64,
        target: NodeId,
        ctx: &mut Context<'_, Self>,
    ) {
        if !self.others.contains_key(&target) {
            return ctx.ignore("ping-req: of nobody, or of this member itself");
        }
        self.pings += 1;
        self.errands.insert(self.pings, Errand { asked_by: from, number, target });
        self.send(target, Body::Ping(self.pings), ctx);
        // Early enough for whoever asked (Lifeguard, section 4.1: at 80 % of the time-out).
        ctx.set_timer(Timer::Helpless(self.pings), self.config.round_trip.scale(4, 5));
    }

    /// An answer: to this member's own ping, or to one for another.
    pub(super) fn on_ack(
        &mut self,
        from: NodeId,
        number: u64,
        of: NodeId,
        ctx: &mut Context<'_, Self>,
    ) {
        if let Some(errand) = self.errands.remove(&number) {
            ctx.cancel_timer(Timer::Helpless(number));
            return self.send(errand.asked_by, Body::Ack(errand.number, errand.target), ctx);
        }
        let probe = self.probe.as_mut();
        let Some(probe) = probe.filter(|probe| (probe.number, probe.target) == (number, of)) else {
            return ctx.ignore("ack: to no ping that is under way");
        };
        if from != of && !probe.answered {
            ctx.reach("ack: by way of a helper");
        }
        probe.answered = true;
    }

    /// A helper is there, and has not been answered.
    pub(super) fn on_nack(
        &mut self,
        from: NodeId,
        number: u64,
        of: NodeId,
        ctx: &mut Context<'_, Self>,
    ) {
        match &mut self.probe {
            Some(probe) if (probe.number, probe.target) == (number, of) => {
                probe.helpers.remove(&from);
            }
            _ => ctx.ignore("nack: to no ping that is under way"),
        }
    }

    /// A ping for another was in vain.
    pub(super) fn on_helpless(&mut self, number: u64, ctx: &mut Context<'_, Self>) {
        let Some(Errand { asked_by, number, target }) = self.errands.remove(&number) else {
            return;
        };
        if self.config.lifeguard {
            self.send(asked_by, Body::Nack(number, target), ctx);
        }
    }

    /// Nobody has refuted a suspicion in time.
    pub(super) fn on_suspicion(&mut self, other: NodeId, ctx: &mut Context<'_, Self>) {
        let claim = self.others[&other];
        if claim.status != Status::Suspect {
            return ctx.ignore("suspicion: it is over");
        }
        ctx.reach("confirm: nobody has refuted it in time");
        let claim = Claim { status: Status::Dead, ..claim };
        self.learn(Update { member: other, claim, by: self.id }, ctx);
    }

    /// Another has come to suspect a member by itself (Lifeguard): the suspicion is the sooner
    /// over, and the others are to hear of it.
    pub(super) fn second(&mut self, update: Update, ctx: &mut Context<'_, Self>) {
        let Some(suspicion) = self.suspicions.get_mut(&update.member) else { return };
        let enough = SECONDED.len() <= suspicion.by.len();
        if !self.config.lifeguard || enough || !suspicion.by.insert(update.by) {
            return;
        }
        ctx.reach("suspicion: seconded");
        let (count, since) = (suspicion.by.len(), suspicion.since);
        self.rumors.spread(update);
        let (lasts, lasted) = (self.suspicion_lasts(count), ctx.now().since(since));
        let left = if lasted < lasts { lasts - lasted } else { Duration::nanos(1) };
        ctx.set_timer(Timer::Suspicion(update.member), left);
    }

    /// How long a suspicion lasts that so many have come to by themselves.
    pub(super) fn suspicion_lasts(&self, count: usize) -> Duration {
        let least = self.config.suspicion;
        if !self.config.lifeguard {
            return least;
        }
        let seconded = SECONDED[(count.max(1) - 1).min(SECONDED.len() - 1)];
        least.scale(ALONE, 1) - least.scale(ALONE - 1, 1).scale(seconded, 1_000)
    }

    /// Something may be wrong with this member itself (Lifeguard).
    pub(super) fn is_unwell(&mut self, ctx: &mut Context<'_, Self>) {
        if self.config.lifeguard {
            self.health = (self.health + 1).min(UNWELL);
            ctx.reach("health: it waits longer");
        }
    }

    /// Longer, if this member has reason to think that it is slow itself.
    fn unhurried(&self, span: Duration) -> Duration {
        span.scale(u64::from(self.health) + 1, 1)
    }
}
