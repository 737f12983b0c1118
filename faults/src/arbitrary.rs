//! Plans and trials from bytes, for fuzzers, and as strategies, for `proptest!` users.
//!
//! Twelve bytes are one plan entry, and any bytes are a plan that fits its budget. The first byte
//! chooses among the classes that the budget permits, each of the others decides something by
//! itself, and a smaller byte is less. Leaving a block out leaves one fault out, so a fuzzer's
//! trimming and proptest's shrinking both make the plan smaller.

use crate::plan::{Aim, Class, Entry, Fault, FaultBudget, FaultPlan};
use crate::swarm::disk_fault;
use seedfall_net::{Disturbance, Partition};
use seedfall_sim::{
    Address, ClientId, ClockFault, CrashPoint, Draw, Duration, EffectKind, Lies, NodeId, Ppm,
};

/// One plan entry as bytes: class, begin, length, whom it aims at, and eight that depend on the
/// class; for most, the first of these is a node.
pub type Block = [u8; 12];

/// The plan that these blocks spell. What does not fit beside those before it is left out: a node
/// too many that is lost for good, or odds that add up to more than certainty.
pub fn plan_from_blocks(blocks: &[Block], budget: &FaultBudget) -> FaultPlan {
    let classes = permitted(budget);
    let mut plan = FaultPlan { entries: Vec::new() };
    for block in blocks.iter().filter(|_| !classes.is_empty()) {
        plan.entries.push(entry(*block, &classes, budget));
        if plan.check(budget).is_err() {
            plan.entries.pop();
        }
    }
    plan
}

/// As [`plan_from_blocks`], from the bytes of a fuzzer; an incomplete block at the end is left out.
pub fn plan_from_bytes(bytes: &[u8], budget: &FaultBudget) -> FaultPlan {
    plan_from_blocks(bytes.as_chunks().0, budget)
}

/// The classes that a budget permits, in the order of [`Class::ALL`]: the first byte of a block
/// chooses one, and begins again at the first where there are no more.
pub fn permitted(budget: &FaultBudget) -> Vec<Class> {
    let fits = |class: &Class| {
        class.permitted_by(budget.model) && (budget.spare > 0 || !class.takes_a_node())
    };
    Class::ALL.into_iter().filter(fits).collect()
}

fn entry(block: Block, classes: &[Class], budget: &FaultBudget) -> Entry {
    let [class, begin, length, whom, rest @ ..] = block;
    let class = classes[usize::from(class) % classes.len()];
    let at = budget.faults.scale(begin.into(), 256);
    let lasts = (budget.faults - at).scale(u64::from(length) + 1, 256);
    let [.., first, second] = rest;
    let after = [first, second].map(|byte| Duration::micros(u64::from(byte) * 250));
    let aim = match whom % 4 {
        0 | 1 => Aim::Named,
        // One that follows leaders would cost a node at each election.
        3 if !class.takes_a_node() => Aim::EveryLeader { after: after.to_vec() },
        _ => Aim::Leader,
    };
    let fault = Parameters { rest, next: 0, budget }.fault(class);
    Entry { at, lasts, fault, aim, retargets: whom & 4 != 0 }
}

/// What is left of a block, byte by byte.
struct Parameters<'a> {
    rest: [u8; 8],
    next: usize,
    budget: &'a FaultBudget,
}

impl Parameters<'_> {
    fn byte(&mut self) -> u8 {
        self.next += 1;
        self.rest[self.next - 1]
    }

    /// One of so many.
    fn choice(&mut self, of: usize) -> usize {
        usize::from(self.byte()) % of
    }

    fn node(&mut self) -> NodeId {
        NodeId::new(self.choice(self.budget.nodes) as u16)
    }

    fn client(&mut self) -> Option<ClientId> {
        let clients = self.budget.clients;
        // As often none as one.
        let byte = usize::from(self.byte());
        (byte % 2 == 1 && clients > 0).then(|| ClientId::new((byte / 2 % clients) as u16))
    }

    /// Two of so many, not the same if there are two.
    fn two(&mut self, of: usize) -> [usize; 2] {
        let first = self.choice(of);
        let apart = 1 + self.choice(of.max(2) - 1);
        [first, (first + apart) % of]
    }

    /// A node, or behind all of these a client.
    fn address(&self, which: usize) -> Address {
        match which.checked_sub(self.budget.nodes) {
            None => NodeId::new(which as u16).into(),
            Some(client) => ClientId::new(client as u16).into(),
        }
    }

    /// Some of the nodes, at least one.
    fn nodes(&mut self) -> Vec<NodeId> {
        let first = self.node();
        let members = self.byte();
        let others = NodeId::all(self.budget.nodes).filter(|other| *other != first);
        let hit = others.filter(|other| members >> (other.index() % 8) & 1 == 1);
        std::iter::once(first).chain(hit).collect()
    }

    /// Up to 20 % in steps of about 0.1 %.
    fn ppm(&mut self) -> Ppm {
        Ppm::from(self.byte()) * 784
    }

    /// Up to about a second in steps of 4 ms, and never nothing.
    fn span(&mut self) -> Duration {
        Duration::millis(u64::from(self.byte()) * 4 + 1)
    }

    /// Up to an hour, either way.
    fn nanos(&mut self) -> i64 {
        let [high, low] = [self.byte(), self.byte()];
        i64::from(i16::from_be_bytes([high, low])) * 110_000_000
    }

    fn fault(mut self, class: Class) -> Fault {
        match class {
            Class::Loss => Fault::Wire(Disturbance::Loss { ppm: self.ppm() }),
            Class::Duplicate => {
                Fault::Wire(Disturbance::Duplicate { ppm: self.ppm(), within: self.span() })
            }
            Class::Reorder => {
                Fault::Wire(Disturbance::Reorder { ppm: self.ppm(), by: self.span() })
            }
            Class::Clog => {
                let all = self.budget.nodes + self.budget.clients;
                let [from, to] = self.two(all).map(|which| self.address(which));
                Fault::Wire(Disturbance::Clog { from, to })
            }
            Class::Partition => Fault::Wire(Disturbance::Partition(self.partition())),
            Class::Crash => {
                Fault::Crash { node: self.node(), point: self.crash_point(), down: self.span() }
            }
            Class::Pause => Fault::Pause { node: self.node() },
            Class::Burst => Fault::Wire(Disturbance::Burst { ppm: self.ppm(), span: self.span() }),
            Class::Latency => {
                Fault::Wire(Disturbance::Latency { most: self.span(), salt: self.byte().into() })
            }
            Class::Throttle => {
                Fault::Wire(Disturbance::Throttle { each: self.span(), queue: self.byte().into() })
            }
            Class::Corrupt => Fault::Wire(Disturbance::Corrupt { ppm: self.ppm() }),
            Class::Flap => {
                let half = self.span();
                Fault::Wire(Disturbance::Flap { partition: self.partition(), half })
            }
            Class::Stop => Fault::Stop { node: self.node() },
            Class::PowerLoss => Fault::PowerLoss { nodes: self.nodes() },
            Class::Storm => Fault::Storm { node: self.node(), half: self.span() },
            Class::Slow => Fault::Slow { node: self.node(), each: self.span() },
            Class::Stall => Fault::Stall { node: self.node(), each: self.span() },
            Class::Wipe => Fault::Wipe { node: self.node() },
            Class::Clock => self.wall_clock(),
            Class::Drift => {
                let node = self.node();
                let ppm = self.ppm() as i32;
                let ppm = if self.choice(2) == 0 { ppm } else { -ppm };
                Fault::Clock { node, wrong: ClockFault::Drift { ppm } }
            }
            Class::Timers => {
                let node = self.node();
                let wrong = match self.choice(3) {
                    0 => ClockFault::Early { by: self.span() },
                    1 => ClockFault::Late { by: self.span() },
                    _ => ClockFault::Coalesce { to: self.span() },
                };
                Fault::Clock { node, wrong }
            }
            Class::Lie => Fault::Lie { node: self.node(), lies: self.lies() },
            Class::DiskError | Class::DiskDamage | Class::DiskLie => {
                let node = self.node();
                let kind = self.byte().into();
                let [high, low] = [self.byte(), self.byte()];
                let draw = Draw::from_words([u32::from_be_bytes([high, low, 0, 0]); 4]);
                Fault::Disk { node, wrong: disk_fault(class, kind, draw) }
            }
            Class::Swizzle => Fault::Wire(Disturbance::Swizzle { node: self.node() }),
            Class::Twins => Fault::Twins { node: self.node(), round: self.span() },
        }
    }

    fn partition(&mut self) -> Partition {
        match self.choice(5) {
            0 => Partition::TwoWay { side: self.side() },
            1 => Partition::OneWay { from: self.side() },
            2 => {
                let nodes = self.two(self.budget.nodes);
                let [a, b] = nodes.map(|which| NodeId::new(which as u16));
                Partition::Partial { a, b }
            }
            3 => Partition::Ring,
            _ => Partition::Bridge { bridge: self.node(), side: self.nodes() },
        }
    }

    /// One side of a partition: some nodes, at least one, and perhaps a client.
    fn side(&mut self) -> Vec<Address> {
        let nodes = self.nodes().into_iter().map(Address::from);
        nodes.chain(self.client().map(Address::from)).collect()
    }

    fn crash_point(&mut self) -> Option<CrashPoint> {
        let kinds = [EffectKind::Sync, EffectKind::Send, EffectKind::Append, EffectKind::Respond];
        match self.choice(2 + 2 * kinds.len()) {
            0 => None,
            1 => Some(CrashPoint::Unsynced),
            which if which % 2 == 0 => Some(CrashPoint::Before(kinds[which / 2 - 1])),
            which => Some(CrashPoint::After(kinds[which / 2 - 1])),
        }
    }

    fn wall_clock(&mut self) -> Fault {
        let node = self.node();
        match self.choice(3) {
            0 => Fault::Clock { node, wrong: ClockFault::Step { nanos: self.nanos() } },
            1 => Fault::Clock { node, wrong: ClockFault::Freeze },
            _ => Fault::Strobe { node, nanos: self.nanos(), half: self.span() },
        }
    }

    fn lies(&mut self) -> Lies {
        Lies {
            withhold: self.ppm(),
            mutate: self.ppm(),
            replay: self.ppm(),
            delay: self.ppm(),
            forge: self.ppm(),
            delay_by: self.span(),
        }
    }
}

/// Strategies for `proptest!` users.
#[cfg(feature = "proptest")]
pub mod strategy {
    use super::{Block, plan_from_blocks};
    use crate::plan::{FaultBudget, FaultPlan};
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, any};

    /// Fault plans of up to `most` entries that fit a budget; they shrink by losing entries.
    pub fn plan(budget: FaultBudget, most: usize) -> impl Strategy<Value = FaultPlan> {
        vec(any::<Block>(), 0..=most).prop_map(move |blocks| plan_from_blocks(&blocks, &budget))
    }
}
