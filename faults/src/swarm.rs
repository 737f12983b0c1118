//! How a seed draws its fault plan.

use crate::fault::{Class, Fault};
use crate::plan::{Aim, Entry, FaultBudget, FaultPlan};
use seedfall_net::{Disturbance, Partition};
use seedfall_sim::{
    Address, ClientId, ClockFault, CrashPoint, DiskFault, Draw, Draws, Duration, EffectKind, Lies,
    NodeId, Ppm, Seed, Site,
};
use std::ops::Range;

/// What a nemesis may draw, at most. Zero switches a class off for good.
///
/// Each seed switches each class off with probability one half (swarm testing: Groce et al., ISSTA
/// 2012: some bugs show only when another fault is absent) and draws how bad the others are over
/// orders of magnitude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swarm {
    /// Highest probability of loss, in a million.
    pub loss: Ppm,
    /// Highest probability of a duplicate, in a million.
    pub duplicate: Ppm,
    /// Highest probability of a straggler, in a million.
    pub reorder: Ppm,
    /// Most clogs.
    pub clogs: u32,
    /// Most partitions.
    pub partitions: u32,
    /// Most crashes.
    pub crashes: u32,
    /// Most pauses.
    pub pauses: u32,
    /// Highest probability that a burst of loss begins, in a million.
    pub bursts: Ppm,
    /// Longest lasting latency of a link.
    pub latency: Duration,
    /// Most times at which links carry little.
    pub throttles: u32,
    /// Highest probability that the bits of a message flip, in a million.
    pub corrupt: Ppm,
    /// Most partitions that come and go.
    pub flaps: u32,
    /// Most nodes that stop for good; never more than the cluster can spare.
    pub stops: u32,
    /// Most power losses.
    pub power_losses: u32,
    /// Most storms of restarts.
    pub storms: u32,
    /// Most nodes that are slow.
    pub slows: u32,
    /// Most disks that are slow.
    pub stalls: u32,
    /// Most disks that are lost; never more than the cluster can spare.
    pub wipes: u32,
    /// Most times at which a wall clock is wrong.
    pub clocks: u32,
    /// Most times at which a clock drifts.
    pub drifts: u32,
    /// Most times at which timers ring early, late or together.
    pub timers: u32,
    /// Most Byzantine nodes; never more than the cluster can spare.
    pub liars: u32,
    /// Most disks that fail, with nothing lost.
    pub disk_errors: u32,
    /// Most disks that are damaged; never more than the cluster can spare.
    pub disk_damages: u32,
    /// Most disks that forget without a sign; never more than the cluster can spare.
    pub disk_lies: u32,
    /// Most swizzles: each clogs every node with probability one half.
    pub swizzles: u32,
    /// Most nodes that run twice; never more than the cluster can spare.
    pub twins: u32,
    /// How fast or slow a clock that drifts runs, in a million: at least and at most.
    pub drift: [Ppm; 2],
    /// How often a leader that is cut off keeps a client, in a million: nobody else can be told
    /// what it does not know of its successor.
    pub company: Ppm,
}

impl Swarm {
    /// Nothing ever goes wrong.
    pub const NONE: Self = Self {
        loss: 0,
        duplicate: 0,
        reorder: 0,
        clogs: 0,
        partitions: 0,
        crashes: 0,
        pauses: 0,
        bursts: 0,
        latency: Duration::ZERO,
        throttles: 0,
        corrupt: 0,
        flaps: 0,
        stops: 0,
        power_losses: 0,
        storms: 0,
        slows: 0,
        stalls: 0,
        wipes: 0,
        clocks: 0,
        drifts: 0,
        timers: 0,
        liars: 0,
        disk_errors: 0,
        disk_damages: 0,
        disk_lies: 0,
        swizzles: 0,
        twins: 0,
        drift: [200, 50_000],
        company: 0,
    };

    /// Everything that can go wrong with links, nodes, clocks and time, as far as the model permits
    /// it, at the rates of the fault catalogues of `TigerBeetle`, `FoundationDB` and Jepsen.
    pub const ALL: Self = Self {
        loss: 300_000,
        duplicate: 200_000,
        reorder: 200_000,
        clogs: 4,
        partitions: 4,
        crashes: 5,
        pauses: 3,
        bursts: 100_000,
        latency: Duration::millis(30),
        throttles: 2,
        corrupt: 100_000,
        flaps: 1,
        stops: 2,
        power_losses: 1,
        storms: 1,
        slows: 2,
        stalls: 2,
        wipes: 1,
        clocks: 2,
        drifts: 2,
        timers: 2,
        liars: 2,
        disk_errors: 2,
        disk_damages: 1,
        disk_lies: 1,
        swizzles: 2,
        twins: 1,
        drift: [200, 50_000],
        company: 0,
    };

    /// The plan of a seed, within the budget.
    pub fn draw(&self, seed: Seed, budget: &FaultBudget) -> FaultPlan {
        let draws = Draws::new(seed, 1, 0);
        let mut plan = Drawing { draws, budget, swarm: self, next: 0, plan: Vec::new() };
        for class in Class::ALL {
            // Each class has its own block of addresses, so that a change of one leaves the others'
            // plans alone.
            plan.next = class as u64 * 1_000;
            let (off, mut how_many) = {
                let mut draw = plan.draw();
                (draw.chance(500_000), draw)
            };
            let most = match self.most(class) {
                most if class.takes_a_node() => most.min(plan.spare() as u32),
                most => most,
            };
            if off || most == 0 || !class.permitted_by(budget.model) {
                continue;
            }
            match class {
                Class::Loss
                | Class::Duplicate
                | Class::Reorder
                | Class::Burst
                | Class::Corrupt
                | Class::Latency => plan.noise(class, most),
                _ => (0..1 + how_many.below(most)).for_each(|_| plan.outage(class)),
            }
        }
        FaultPlan { entries: plan.plan }
    }

    /// How often, how many or, for latencies, how many microseconds.
    fn most(&self, class: Class) -> u32 {
        match class {
            Class::Loss => self.loss,
            Class::Duplicate => self.duplicate,
            Class::Reorder => self.reorder,
            Class::Clog => self.clogs,
            Class::Partition => self.partitions,
            Class::Crash => self.crashes,
            Class::Pause => self.pauses,
            Class::Burst => self.bursts,
            Class::Latency => (self.latency.as_nanos() / 1_000).min(u64::from(u32::MAX)) as u32,
            Class::Throttle => self.throttles,
            Class::Corrupt => self.corrupt,
            Class::Flap => self.flaps,
            Class::Stop => self.stops,
            Class::PowerLoss => self.power_losses,
            Class::Storm => self.storms,
            Class::Slow => self.slows,
            Class::Stall => self.stalls,
            Class::Wipe => self.wipes,
            Class::Clock => self.clocks,
            Class::Drift => self.drifts,
            Class::Timers => self.timers,
            Class::Lie => self.liars,
            Class::DiskError => self.disk_errors,
            Class::DiskDamage => self.disk_damages,
            Class::DiskLie => self.disk_lies,
            Class::Swizzle => self.swizzles,
            Class::Twins => self.twins,
        }
    }
}

/// A plan while it is drawn.
struct Drawing<'a> {
    draws: Draws,
    budget: &'a FaultBudget,
    swarm: &'a Swarm,
    next: u64,
    plan: Vec<Entry>,
}

impl Drawing<'_> {
    fn draw(&mut self) -> Draw {
        self.next += 1;
        self.draws.at(Site::Plan, self.next)
    }

    /// How many nodes may still be taken for good.
    fn spare(&self) -> usize {
        let taken = self.plan.iter().filter(|entry| entry.fault.class().takes_a_node()).count();
        self.budget.spare.saturating_sub(taken)
    }

    /// A disturbance of every link, all the time, at a rate between a tenth of `most` and `most`.
    fn noise(&mut self, class: Class, most: u32) {
        let mut draw = self.draw();
        let ppm = log_uniform(most / 10..most, draw.word());
        let span = log_span(Duration::millis(10)..Duration::millis(1_000), draw.word());
        let disturbance = match class {
            Class::Loss => Disturbance::Loss { ppm },
            Class::Duplicate => Disturbance::Duplicate { ppm, within: span },
            Class::Burst => Disturbance::Burst { ppm, span },
            Class::Corrupt => Disturbance::Corrupt { ppm },
            Class::Latency => {
                let most = Duration::micros(ppm.into());
                Disturbance::Latency { most, salt: draw.word() }
            }
            _ => Disturbance::Reorder { ppm, by: span },
        };
        let fault = Fault::Wire(disturbance);
        let lasts = self.budget.faults;
        let (at, aim) = (Duration::ZERO, Aim::Named);
        self.plan.push(Entry { at, lasts, fault, aim, retargets: false });
    }

    /// Something that happens to somebody for a while.
    fn outage(&mut self, class: Class) {
        let mut draw = self.draw();
        let faults = self.budget.faults;
        // Not in the first twentieth, before anything runs, and not in the last fifth, where little
        // is left to disturb.
        let at = draw.duration(faults.scale(1, 20)..faults.scale(4, 5));
        let left = faults - at;
        let lasts = log_span(faults.scale(1, 10)..faults.scale(1, 2), draw.word());
        let lasts = if left < lasts { left } else { lasts };
        if class == Class::Swizzle {
            return self.swizzle(at, lasts);
        }
        let node = NodeId::new(draw.below(self.budget.nodes as u32) as u16);
        let mut aim = match class {
            Class::Clog | Class::Throttle | Class::PowerLoss => Aim::Named,
            _ => self.aim(),
        };
        // Whoever is struck by one of these stays struck.
        let once = matches!(class, Class::DiskError);
        if (class.takes_a_node() || once) && aim != Aim::Named {
            aim = Aim::Leader;
        }
        let damages = matches!(class, Class::DiskDamage | Class::DiskLie);
        let lasts = if class.takes_a_node() && !damages { left } else { lasts };
        let faults = match class {
            Class::Clog => self.clog(node),
            Class::Crash => {
                let crash = self.crash(node);
                if let Fault::Crash { point: Some(CrashPoint::Unsynced), .. } = crash {
                    // Followers promise too, and forget more easily.
                    aim = Aim::Named;
                }
                vec![crash]
            }
            // A leader is cut off from all other nodes: with some it may still reach a majority.
            Class::Partition if aim != Aim::Named => {
                let mut side = vec![node.into()];
                side.extend(self.company().map(Address::from));
                vec![Fault::Wire(Disturbance::Partition(Partition::TwoWay { side }))]
            }
            Class::Partition => vec![Fault::Wire(Disturbance::Partition(self.partition(node)))],
            _ => vec![self.other(class, node)],
        };
        // Whoever follows leaders needs time to meet several.
        let follows = matches!(aim, Aim::EveryLeader { .. });
        let lasts = if follows && lasts + lasts < left { lasts + lasts } else { lasts };
        for fault in faults {
            let idle = match &fault {
                Fault::Wire(Disturbance::Partition(one)) => one.is_idle(self.budget.nodes),
                Fault::Wire(_) => false,
                // A node that is down cannot crash, nor be paused: such an entry would have no
                // effect.
                fault => self.plan.iter().any(|other| {
                    fault.holds().iter().any(|node| other.fault.holds().contains(node))
                        && other.at < at + lasts
                        && at < other.at + other.lasts
                }),
            };
            if !idle {
                // Two of a node are two from the beginning.
                let retargets = class != Class::Twins;
                self.plan.push(Entry { at, lasts, fault, aim: aim.clone(), retargets });
            }
        }
    }

    /// The client that stays with a leader, if one does.
    fn company(&mut self) -> Option<ClientId> {
        if self.swarm.company == 0 || self.budget.clients == 0 {
            return None;
        }
        let mut draw = self.draw();
        let which = ClientId::new(draw.below(self.budget.clients as u32) as u16);
        draw.chance(self.swarm.company).then_some(which)
    }

    /// Every link into a node, or every link out of it: a single link may well be silent.
    fn clog(&mut self, node: NodeId) -> Vec<Fault> {
        let inward = self.draw().below(2) == 1;
        let others = NodeId::all(self.budget.nodes).filter(|other| *other != node);
        let links = others.map(|other| if inward { (other, node) } else { (node, other) });
        links
            .map(|(from, to)| Fault::Wire(Disturbance::Clog { from: from.into(), to: to.into() }))
            .collect()
    }

    /// Some nodes are clogged one after another in the first half of the time, and unclogged one
    /// after another in the second, in another order: whoever is late to one event may be early to
    /// the next. Each node takes part with probability one half.
    fn swizzle(&mut self, at: Duration, lasts: Duration) {
        let mut hit = Vec::new();
        for node in NodeId::all(self.budget.nodes) {
            let mut draw = self.draw();
            if draw.below(2) == 1 {
                hit.push((node, draw.word(), draw.word()));
            }
        }
        let (half, count) = (lasts.scale(1, 2), hit.len() as u64);
        let place = |mine: u32, of: fn(&(NodeId, u32, u32)) -> u32| {
            hit.iter().filter(|other| of(other) < mine).count() as u64
        };
        for (node, first, last) in &hit {
            let begins = half.scale(place(*first, |(_, first, _)| *first), count);
            let ends = half + half.scale(place(*last, |(.., last)| *last) + 1, count);
            let fault = Fault::Wire(Disturbance::Swizzle { node: *node });
            let (at, lasts) = (at + begins, ends - begins);
            self.plan.push(Entry { at, lasts, fault, aim: Aim::Named, retargets: true });
        }
    }

    /// One of the shapes that the studies of real partition failures name; a single isolated node
    /// comes most often (Alquraan et al., "An Analysis of Network-Partitioning Failures in Cloud
    /// Systems", OSDI 2018, finding 8).
    fn partition(&mut self, node: NodeId) -> Partition {
        let mut draw = self.draw();
        let nodes = self.budget.nodes as u32;
        let shape = draw.below(8);
        // A second word decides who else; each other node with probability one half.
        let members = draw.word();
        let other =
            NodeId::new(((node.index() as u32 + 1 + draw.below(nodes.max(2) - 1)) % nodes) as u16);
        let client = (members >> 31 == 1 && self.budget.clients > 0)
            .then(|| ClientId::new((members % self.budget.clients as u32) as u16));
        let mut side = vec![Address::from(node)];
        match shape {
            0..=2 => {
                side.extend(client.map(Address::from));
                Partition::TwoWay { side }
            }
            3 | 4 => {
                side = NodeId::all(self.budget.nodes)
                    .filter(|one| members >> (one.index() % 31) & 1 == 1)
                    .map(Address::from)
                    .collect();
                Partition::TwoWay { side }
            }
            5 => Partition::OneWay { from: side },
            6 => Partition::Partial { a: node, b: other },
            _ => Partition::Ring,
        }
    }

    /// Most crashes wait for a moment inside or after a handler, where the interesting ones are,
    /// and the node may come back while the messages of its former life are still under way.
    fn crash(&mut self, node: NodeId) -> Fault {
        let mut draw = self.draw();
        let kinds = [EffectKind::Sync, EffectKind::Send, EffectKind::Append, EffectKind::Respond];
        let kind = kinds[draw.below(kinds.len() as u32) as usize];
        let point = match draw.below(8) {
            0 | 1 => Some(CrashPoint::Before(kind)),
            2 => Some(CrashPoint::After(kind)),
            3..=5 => Some(CrashPoint::Unsynced),
            _ => None,
        };
        let longest = match point {
            // Who forgot a promise breaks it only if it is back before everybody has moved on.
            Some(CrashPoint::Unsynced) => Duration::millis(16),
            _ => self.budget.faults.scale(1, 4),
        };
        let down = log_span(Duration::millis(1)..longest, draw.word());
        Fault::Crash { node, point, down: if point.is_some() { down } else { Duration::ZERO } }
    }

    /// What happens to one node, or to all links, of the classes that have no more to choose.
    fn other(&mut self, class: Class, node: NodeId) -> Fault {
        let mut draw = self.draw();
        let span = |from, to, word| log_span(Duration::millis(from)..Duration::millis(to), word);
        match class {
            Class::Throttle => Fault::Wire(Disturbance::Throttle {
                each: span(10, 100, draw.word()),
                queue: 2 + draw.below(19),
            }),
            Class::Flap => Fault::Wire(Disturbance::Flap {
                partition: Partition::TwoWay { side: vec![node.into()] },
                half: span(5, 400, draw.word()),
            }),
            Class::Stop => Fault::Stop { node },
            Class::Wipe => Fault::Wipe { node },
            Class::PowerLoss => {
                let whole = draw.below(2) == 1;
                let members = draw.word();
                let hit = |other: &NodeId| whole || members >> (other.index() % 31) & 1 == 1;
                let mut nodes: Vec<NodeId> = NodeId::all(self.budget.nodes).filter(hit).collect();
                if nodes.is_empty() {
                    nodes.push(node);
                }
                Fault::PowerLoss { nodes }
            }
            Class::Storm => Fault::Storm { node, half: span(5, 200, draw.word()) },
            Class::Slow => Fault::Slow { node, each: span(5, 50, draw.word()) },
            Class::Stall => Fault::Stall { node, each: span(2, 200, draw.word()) },
            Class::Clock => self.wall_clock(node, &mut draw),
            Class::Drift => {
                // 200 ppm is usual, 5 % hostile.
                let [least, most] = self.swarm.drift;
                let ppm = log_uniform(least..most, draw.word()) as i32;
                let ppm = if draw.below(2) == 1 { ppm } else { -ppm };
                Fault::Clock { node, wrong: ClockFault::Drift { ppm } }
            }
            Class::Timers => {
                let by = span(1, 100, draw.word());
                let wrong = match draw.below(3) {
                    0 => ClockFault::Early { by },
                    1 => ClockFault::Late { by },
                    _ => ClockFault::Coalesce { to: by },
                };
                Fault::Clock { node, wrong }
            }
            Class::Lie => Fault::Lie { node, lies: self.lies() },
            Class::Twins => Fault::Twins { node, round: span(20, 500, draw.word()) },
            Class::DiskError | Class::DiskDamage | Class::DiskLie => {
                let wrong = disk_fault(class, draw.word(), self.draw());
                Fault::Disk { node, wrong }
            }
            _ => Fault::Pause { node },
        }
    }

    /// From 4 ms to a quarter of an hour, which to most protocols is for ever (Jepsen: 262 s).
    fn wall_clock(&mut self, node: NodeId, draw: &mut Draw) -> Fault {
        let nanos = log_span(Duration::millis(4)..Duration::secs(900), draw.word());
        let nanos = nanos.as_nanos() as i64;
        match draw.below(8) {
            0 => Fault::Clock { node, wrong: ClockFault::Freeze },
            1 | 2 => {
                let half = log_span(Duration::millis(2)..Duration::millis(200), draw.word());
                Fault::Strobe { node, nanos, half }
            }
            3..=5 => Fault::Clock { node, wrong: ClockFault::Step { nanos } },
            _ => Fault::Clock { node, wrong: ClockFault::Step { nanos: -nanos } },
        }
    }

    /// Each way to lie is absent with probability one half, as each class of faults is.
    fn lies(&mut self) -> Lies {
        let mut draws = [self.draw(), self.draw()];
        let switches = draws[0].word();
        let mut rate = |bit: u32, draw: usize| {
            let ppm = log_uniform(20_000..200_000, draws[draw].word());
            if switches >> (20 + bit) & 1 == 1 { ppm } else { 0 }
        };
        let mut lies = Lies {
            withhold: rate(0, 0),
            mutate: rate(1, 0),
            replay: rate(2, 0),
            delay: rate(3, 1),
            forge: rate(4, 1),
            delay_by: Duration::millis(300),
        };
        let silent = lies.withhold + lies.mutate + lies.replay + lies.delay + lies.forge == 0;
        if silent {
            lies.mutate = 100_000;
        }
        lies
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
}

/// One of the disk faults of a class.
pub fn disk_fault(class: Class, word: u32, draw: Draw) -> DiskFault {
    let of_class = |kind: &usize| {
        let wrong = DiskFault::of_kind(*kind, draw);
        Fault::Disk { node: NodeId::new(0), wrong }.class() == class
    };
    let kinds: Vec<usize> = (0..DiskFault::KINDS).filter(of_class).collect();
    DiskFault::of_kind(kinds[word as usize % kinds.len()], draw)
}

/// Log-uniform over the range: every order of magnitude is as likely as every other.
fn log_uniform(range: Range<u32>, word: u32) -> u32 {
    let span = Duration::nanos(range.start.into())..Duration::nanos(range.end.into());
    log_span(span, word).as_nanos() as u32
}

/// Log-uniform over the range, in integers: the range is cut into octaves, one is chosen, then a
/// place in it.
fn log_span(range: Range<Duration>, word: u32) -> Duration {
    let low = range.start.as_nanos().max(1);
    let high = range.end.as_nanos().max(low + 1);
    let octaves = u64::from((high / low).ilog2() + 1);
    let place = u64::from(word) * octaves;
    let (octave, within) = (place >> 32, place & 0xFFFF_FFFF);
    let start = low << octave;
    let end = (start << 1).min(high);
    Duration::nanos(start) + Duration::nanos(end - start).scale(within, 1 << 32)
}
