//! How a seed draws its fault plan.

use crate::class::FaultClass;
use crate::classes::{Class, Fault, Swarm};
use crate::plan::{Aim, Entry, FaultBudget, FaultPlan};
use seedfall_sim::{ClientId, Draw, Draws, Duration, NodeId, Ppm, Seed, Site};
use std::ops::Range;

/// Whom the entries of a class strike, as they are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aims {
    /// Those whom they name, always.
    Named,
    /// Some of them the leader, at one moment: whoever is struck stays struck.
    Once,
    /// Some of them the leader, some every leader soon after its election.
    Follows,
}

impl Swarm {
    /// The plan of a seed, within the budget.
    pub fn draw(&self, seed: Seed, budget: &FaultBudget) -> FaultPlan {
        let draws = Draws::new(seed, 1, 0);
        let mut drawing = Drawing { draws, budget, swarm: self, next: 0, plan: Vec::new() };
        for class in Class::ALL {
            // Each class has its own block of addresses, so that a change of one leaves the others'
            // plans alone.
            drawing.next = class as u64 * 1_000;
            let mut draw = drawing.draw();
            let off = draw.chance(500_000);
            let most = match self.most(class) {
                most if class.takes_a_node() => most.min(drawing.spare() as u32),
                most => most,
            };
            if !off && most > 0 && class.permitted_by(budget.model) {
                class.draw(most, draw, &mut drawing);
            }
        }
        FaultPlan { entries: drawing.plan }
    }
}

/// A plan while it is drawn.
pub struct Drawing<'a> {
    draws: Draws,
    /// What the plan must fit into.
    pub budget: &'a FaultBudget,
    /// What may be drawn.
    pub swarm: &'a Swarm,
    next: u64,
    plan: Vec<Entry>,
}

impl Drawing<'_> {
    /// The class's next draw.
    pub fn draw(&mut self) -> Draw {
        self.next += 1;
        self.draws.at(Site::Plan, self.next)
    }

    /// How many nodes may still be taken for good.
    fn spare(&self) -> usize {
        let taken = self.plan.iter().filter(|entry| entry.fault.class().takes_a_node()).count();
        self.budget.spare.saturating_sub(taken)
    }

    /// Adds an entry to the plan.
    pub fn push(&mut self, entry: Entry) {
        self.plan.push(entry);
    }

    /// A disturbance of every link, all the time: `made` is handed a rate between a tenth of `most`
    /// and `most`, a span of 10 ms to 1 s, and what is left of the draw.
    pub fn noise(&mut self, most: u32, made: impl FnOnce(Ppm, Duration, &mut Draw) -> Fault) {
        let mut draw = self.draw();
        let ppm = log_uniform(most / 10..most, draw.word());
        let span = log_span(Duration::millis(10)..Duration::millis(1_000), draw.word());
        let fault = made(ppm, span, &mut draw);
        let lasts = self.budget.faults;
        let (at, aim) = (Duration::ZERO, Aim::Named);
        self.plan.push(Entry { at, lasts, fault, aim, retargets: false });
    }

    /// When something happens to somebody for a while: a beginning, and how long it lasts; and what
    /// is left of the draw.
    pub fn while_(&mut self) -> (Duration, Duration, Draw) {
        let mut draw = self.draw();
        let faults = self.budget.faults;
        // Not in the first twentieth, before anything runs, and not in the last fifth, where little
        // is left to disturb.
        let at = draw.duration(faults.scale(1, 20)..faults.scale(4, 5));
        let lasts = log_span(faults.scale(1, 10)..faults.scale(1, 2), draw.word());
        (at, lasts.min(faults - at), draw)
    }

    /// Something of a class happens to somebody for a while.
    pub fn outage<K: FaultClass>(&mut self) {
        let (at, lasts, mut draw) = self.while_();
        let left = self.budget.faults - at;
        let node = NodeId::new(draw.below(self.budget.nodes as u32) as u16);
        let aim = match K::AIMS {
            Aims::Named => Aim::Named,
            Aims::Once => match self.aim() {
                Aim::Named => Aim::Named,
                _ => Aim::Leader,
            },
            Aims::Follows => self.aim(),
        };
        let lasts = if K::TO_THE_END { left } else { lasts };
        let mut outage = Outage { node, aim, drawing: self };
        let faults = K::draw_one(&mut outage);
        let aim = outage.aim;
        // Whoever follows leaders needs time to meet several.
        let follows = matches!(aim, Aim::EveryLeader { .. });
        let lasts = if follows && lasts + lasts < left { lasts + lasts } else { lasts };
        for fault in faults {
            // A node that is down cannot crash, nor be paused: such an entry would have no effect.
            let in_the_way = self.plan.iter().any(|other| {
                fault.holds().iter().any(|node| other.fault.holds().contains(node))
                    && other.at < at + lasts
                    && at < other.at + other.lasts
            });
            if !in_the_way {
                self.plan.push(Entry { at, lasts, fault, aim: aim.clone(), retargets: K::INSISTS });
            }
        }
    }

    /// A sixth strike the leader, half every leader soon after its election.
    fn aim(&mut self) -> Aim {
        let mut draw = self.draw();
        match draw.below(6) {
            0 | 1 => Aim::Named,
            2 => Aim::Leader,
            _ => {
                let mut spans = self.draw();
                let mut span = || log_span(Duration::millis(1)..Duration::millis(60), spans.word());
                Aim::EveryLeader { after: vec![span(), span(), span(), span()] }
            }
        }
    }

    /// The client that stays with a leader, if one does.
    pub fn company(&mut self) -> Option<ClientId> {
        if self.swarm.company == 0 || self.budget.clients == 0 {
            return None;
        }
        let mut draw = self.draw();
        let which = ClientId::new(draw.below(self.budget.clients as u32) as u16);
        draw.chance(self.swarm.company).then_some(which)
    }
}

/// Something that is to happen to somebody for a while.
pub struct Outage<'a, 'b> {
    /// To whom, unless an aim decides otherwise.
    pub node: NodeId,
    /// Whom it strikes.
    pub aim: Aim,
    /// The plan.
    pub drawing: &'a mut Drawing<'b>,
}

impl Outage<'_, '_> {
    /// The class's next draw.
    pub fn draw(&mut self) -> Draw {
        self.drawing.draw()
    }
}

/// Log-uniform over a range of milliseconds.
pub(crate) fn log_millis(range: Range<u64>, word: u32) -> Duration {
    log_span(Duration::millis(range.start)..Duration::millis(range.end), word)
}

/// Log-uniform over the range: every order of magnitude is as likely as every other.
pub(crate) fn log_uniform(range: Range<u32>, word: u32) -> u32 {
    let span = Duration::nanos(range.start.into())..Duration::nanos(range.end.into());
    log_span(span, word).as_nanos() as u32
}

/// Log-uniform over the range, in integers: the range is cut into octaves, one is chosen, then a
/// place in it.
pub(crate) fn log_span(range: Range<Duration>, word: u32) -> Duration {
    let low = range.start.as_nanos().max(1);
    let high = range.end.as_nanos().max(low + 1);
    let octaves = u64::from((high / low).ilog2() + 1);
    let place = u64::from(word) * octaves;
    let (octave, within) = (place >> 32, place & 0xFFFF_FFFF);
    let start = low << octave;
    let end = (start << 1).min(high);
    Duration::nanos(start) + Duration::nanos(end - start).scale(within, 1 << 32)
}
