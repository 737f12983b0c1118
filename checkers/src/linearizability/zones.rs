//! A register whose values are written at most once: zones, in near-linear time at any concurrency.
//!
//! Gibbons and Korach, *Testing shared memories* (1997), section 4: the operations on one value
//! form a cluster, and clusters cannot interleave. A cluster's zone runs from its earliest response
//! `f` to its latest call `s`; cluster A must come before cluster B if and only if `f(A) < s(B)`,
//! and the history is linearizable if and only if no two clusters must each come before the other.
//!
//! Extended here to compare-and-set: a swap from `a` to `b` glues cluster `b` right behind cluster
//! `a`, so the unit that moves is a *chain* of clusters, whose inner order is checked by one walk.
//!
//! Indeterminate operations, exactly: a write or swap whose value no certain operation depends on
//! is left out (choosing "never" can only help, because nobody else could have written that value);
//! one that something depends on took effect, with a response at infinity. A refused swap that did
//! not see the value constrains the order without naming a value: then a contradiction found
//! without it stands, and anything else is left to the search.

use super::fast::Fast;
use super::part::{Part, Span};
use crate::models::abstraction::{RegisterStep, RegisterView};
use crate::verdict::Reason;

/// No operation, or no value.
const NONE: u32 = u32::MAX;
/// In place of a writer: the value is the initial one.
const INITIAL: u32 = u32::MAX - 1;

/// The operations on one value.
#[derive(Clone, Copy)]
struct Cluster {
    /// Earliest response and whose it is.
    f: u64,
    f_of: u32,
    /// Latest call and whose it is.
    s: u64,
    s_of: u32,
    writer: u32,
    /// The value that a swap put in this one's place, and where the chain began.
    next: u32,
    /// How many operations.
    size: u32,
    needed: bool,
    /// Reached by a swap: not the head of a chain.
    inner: bool,
}

const EMPTY: Cluster = Cluster {
    f: u64::MAX,
    f_of: NONE,
    s: 0,
    s_of: NONE,
    writer: NONE,
    next: NONE,
    size: 0,
    needed: false,
    inner: false,
};

impl Cluster {
    fn add(&mut self, position: u32, span: &Span) {
        if span.ret < self.f || self.f_of == NONE {
            (self.f, self.f_of) = (span.ret, position);
        }
        if span.call >= self.s || self.s_of == NONE {
            (self.s, self.s_of) = (span.call, position);
        }
        self.size += 1;
    }

    /// Widens the zone of a chain by one of its clusters.
    fn widen(&mut self, other: &Self) {
        if other.f_of != NONE && (self.f_of == NONE || other.f < self.f) {
            (self.f, self.f_of) = (other.f, other.f_of);
        }
        if other.s_of != NONE && (self.s_of == NONE || other.s > self.s) {
            (self.s, self.s_of) = (other.s, other.s_of);
        }
    }

    /// Whether it took part at all.
    fn exists(&self, part: &Part<'_>) -> bool {
        self.needed || (self.writer < INITIAL && part.spans[self.writer as usize].known)
    }
}

struct Zones<'a> {
    part: &'a Part<'a>,
    steps: &'a [RegisterStep],
    clusters: Vec<Cluster>,
    swaps: Vec<u32>,
    differs: bool,
}

/// Decides a register part, if every value was written at most once.
pub(crate) fn decide(part: &Part<'_>, view: &RegisterView<'_>) -> Fast {
    let mut zones = Zones {
        part,
        steps: &view.steps,
        clusters: vec![EMPTY; view.values as usize],
        swaps: Vec::new(),
        differs: false,
    };
    match zones.run() {
        Ok(_) if zones.differs => Fast::NotApplicable,
        Ok(order) => Fast::Order(order),
        Err(other) => other,
    }
}

fn contradiction(core: &[u32], reason: Reason) -> Fast {
    let mut core: Vec<u32> = core.iter().copied().filter(|op| *op < INITIAL).collect();
    core.sort_unstable();
    core.dedup();
    Fast::Contradiction { core, reason }
}

/// The head of a chain in a word of [`Zones::blocks`].
fn head_of(block: u128) -> u32 {
    block as u32 & !(1 << 31)
}

impl Zones<'_> {
    /// An order, or why there is none: errors are answers too.
    fn run(&mut self) -> Result<Vec<u32>, Fast> {
        self.clusters[0].writer = INITIAL;
        for position in 0..self.part.len() as u32 {
            self.gather(position)?;
        }
        if !self.swaps.is_empty() {
            self.keep_needed_swaps()?;
        }
        for value in 0..self.clusters.len() {
            self.check_cluster(value)?;
        }
        let mut chains = Vec::new();
        if !self.swaps.is_empty() {
            chains = self.chains()?;
        }
        let blocks = self.blocks(&chains);
        self.sweep(&blocks, &chains)?;
        Ok(self.order(&blocks))
    }

    /// Puts one operation into the cluster of its value.
    fn gather(&mut self, position: u32) -> Result<(), Fast> {
        let span = self.part.spans[position as usize];
        let value = match self.steps[position as usize] {
            RegisterStep::Append(_) => return Err(Fast::NotApplicable),
            RegisterStep::Nothing => return Ok(()),
            RegisterStep::Differs(_) => {
                self.differs = true;
                return Ok(());
            }
            _ if !span.known && self.changes_nothing(position) => return Ok(()),
            RegisterStep::Impossible => {
                return Err(contradiction(&[position], Reason::WrongElement));
            }
            RegisterStep::Swap(from, to) if from != to => {
                self.swaps.push(position);
                self.clusters[from as usize].needed |= span.known;
                self.write(to, position)?
            }
            RegisterStep::Write(value) => self.write(value, position)?,
            RegisterStep::Read(value) | RegisterStep::Swap(value, _) => {
                self.clusters[value as usize].needed = true;
                value
            }
        };
        self.clusters[value as usize].add(position, &span);
        Ok(())
    }

    /// Whether an operation that may never have happened may be forgotten at once.
    fn changes_nothing(&self, position: u32) -> bool {
        match self.steps[position as usize] {
            RegisterStep::Swap(from, to) => from == to,
            RegisterStep::Write(_) => false,
            _ => true,
        }
    }

    fn write(&mut self, value: u32, position: u32) -> Result<u32, Fast> {
        let writer = &mut self.clusters[value as usize].writer;
        if *writer != NONE {
            return Err(Fast::NotApplicable);
        }
        *writer = position;
        Ok(value)
    }

    /// Unknown swaps count if their value is needed; that makes the value they replaced needed.
    fn keep_needed_swaps(&mut self) -> Result<(), Fast> {
        let swap = |steps: &[RegisterStep], position: u32| match steps[position as usize] {
            RegisterStep::Swap(from, to) => (from, to),
            _ => (NONE, NONE),
        };
        for at in 0..self.swaps.len() {
            let (mut from, mut to) = swap(self.steps, self.swaps[at]);
            // Follow the chain backwards while it makes something needed that was not.
            while self.clusters[to as usize].exists(self.part)
                && !std::mem::replace(&mut self.clusters[from as usize].needed, true)
            {
                let writer = self.clusters[from as usize].writer;
                if writer >= INITIAL {
                    break;
                }
                let RegisterStep::Swap(before, _) = self.steps[writer as usize] else { break };
                (from, to) = (before, from);
            }
        }
        let mut twice = None;
        for at in 0..self.swaps.len() {
            let position = self.swaps[at];
            let (from, to) = swap(self.steps, position);
            if !self.clusters[to as usize].exists(self.part) {
                continue;
            }
            let next = self.clusters[from as usize].next;
            self.clusters[to as usize].inner = true;
            if next == NONE {
                self.clusters[from as usize].next = to;
            } else {
                twice = twice.or(Some([next, to]));
            }
        }
        // Only now do the links tell what proves that an indeterminate swap took effect.
        let Some(values) = twice else { return Ok(()) };
        let core: Vec<u32> = values.iter().flat_map(|value| self.evidence(*value)).collect();
        Err(contradiction(&core, Reason::TakenTwice))
    }

    /// Operations that prove that the swap to `value` took effect, itself among them.
    fn evidence(&self, mut value: u32) -> Vec<u32> {
        let mut core = Vec::new();
        while let Some(cluster) = self.clusters.get(value as usize) {
            core.push(cluster.writer);
            if self.part.spans.get(cluster.writer as usize).is_none_or(|span| span.known) {
                break;
            }
            if self.part.spans.get(cluster.f_of as usize).is_some_and(|span| span.known) {
                core.push(cluster.f_of);
                break;
            }
            value = if core.len() > self.clusters.len() { NONE } else { cluster.next };
        }
        core
    }

    /// What one cluster alone can contradict.
    fn check_cluster(&mut self, value: usize) -> Result<(), Fast> {
        let cluster = &self.clusters[value];
        match cluster.writer {
            NONE if cluster.needed => {
                let core = match cluster.f_of {
                    NONE => self.evidence(cluster.next),
                    reader => vec![reader],
                };
                Err(contradiction(&core, Reason::NeverWritten))
            }
            INITIAL | NONE => Ok(()),
            writer if cluster.f < self.part.spans[writer as usize].call => {
                Err(contradiction(&[writer, cluster.f_of], Reason::ReadFromFuture))
            }
            _ => Ok(()),
        }
    }

    /// Walks every chain once: inside it, nothing may have returned before something of an earlier
    /// cluster was called. Returns the zone of each chain, by its head.
    fn chains(&mut self) -> Result<Vec<Cluster>, Fast> {
        let mut zones = vec![EMPTY; self.clusters.len()];
        let mut reached = 0;
        for (head, zone) in zones.iter_mut().enumerate() {
            if self.clusters[head].inner || !self.in_play(head) {
                continue;
            }
            let mut value = head as u32;
            while value != NONE {
                let cluster = &self.clusters[value as usize];
                if zone.s_of != NONE && cluster.f_of != NONE && cluster.f < zone.s {
                    return Err(self.chain_core(head as u32, value, zone.s_of));
                }
                zone.widen(cluster);
                reached += usize::from(cluster.inner);
                value = cluster.next;
            }
        }
        let inner = self.clusters.iter().filter(|cluster| cluster.inner).count();
        if reached < inner {
            return Err(self.cycle_core());
        }
        Ok(zones)
    }

    /// The late operation, the early one, and the swaps that lead from one's value to the other's.
    fn chain_core(&self, head: u32, last: u32, late: u32) -> Fast {
        let mut core = vec![late, self.clusters[last as usize].f_of];
        let ends = [self.value_of(late), last];
        core.extend(self.links(head, ends));
        contradiction(&core, Reason::ChainBroken)
    }

    /// The swaps on the chain from `head` between two of its values.
    fn links(&self, head: u32, ends: [u32; 2]) -> Vec<u32> {
        let mut links = Vec::new();
        let mut inside = false;
        let mut value = head;
        while value != NONE {
            if inside {
                links.push(self.clusters[value as usize].writer);
            }
            if ends.contains(&value) {
                if inside || ends[0] == ends[1] {
                    break;
                }
                inside = true;
            }
            value = self.clusters[value as usize].next;
        }
        links
    }

    /// Swaps that replace one another in a circle that no write enters.
    fn cycle_core(&self) -> Fast {
        let mut reached = vec![false; self.clusters.len()];
        for head in 0..self.clusters.len() {
            let mut value = if self.clusters[head].inner { NONE } else { head as u32 };
            while value != NONE {
                reached[value as usize] = true;
                value = self.clusters[value as usize].next;
            }
        }
        let first = reached.iter().position(|reached| !reached).unwrap_or(0) as u32;
        let mut core = Vec::new();
        let mut value = first;
        loop {
            core.extend(self.evidence(value));
            value = self.clusters[value as usize].next;
            if value == first || value == NONE {
                return contradiction(&core, Reason::ChainBroken);
            }
        }
    }

    fn value_of(&self, position: u32) -> u32 {
        match self.steps[position as usize] {
            RegisterStep::Read(value)
            | RegisterStep::Write(value)
            | RegisterStep::Swap(_, value) => value,
            _ => NONE,
        }
    }

    fn in_play(&self, value: usize) -> bool {
        let cluster = &self.clusters[value];
        cluster.writer == INITIAL || cluster.exists(self.part)
    }

    fn zone<'z>(&'z self, chains: &'z [Cluster], head: u32) -> &'z Cluster {
        chains.get(head as usize).unwrap_or(&self.clusters[head as usize])
    }

    /// The chains other than the initial one, by the low end of their zones; at equal ends those
    /// with `f >= s` first. Each is low, forward (the 32nd bit from the right), head in one word,
    /// because one word sorts faster than a pair.
    fn blocks(&self, chains: &[Cluster]) -> Vec<u128> {
        let mut blocks = Vec::with_capacity(self.clusters.len());
        for head in 1..self.clusters.len() {
            if self.clusters[head].inner || !self.in_play(head) {
                continue;
            }
            let zone = self.zone(chains, head as u32);
            let forward = zone.f < zone.s;
            let low = u128::from(zone.f.min(zone.s));
            blocks.push(low << 32 | u128::from(forward) << 31 | head as u128);
        }
        blocks.sort_unstable();
        blocks
    }

    /// Looks for two chains that must each come before the other: of those with `f < s` no two may
    /// overlap, and none of the others may lie strictly inside one.
    fn sweep(&self, blocks: &[u128], chains: &[Cluster]) -> Result<(), Fast> {
        // The initial value was there before anything: its zone began before all time.
        let mut widest = (self.zone(chains, 0).s_of != NONE).then_some(0_u32);
        let mut end = self.zone(chains, 0).s;
        for block in blocks {
            let (head, forward) = (head_of(*block), *block as u32 >> 31 == 1);
            let zone = self.zone(chains, head);
            if let Some(other) = widest.filter(|_| zone.f < end) {
                return Err(self.crossing(chains, other, head));
            }
            if forward && (widest.is_none() || zone.s > end) {
                (widest, end) = (Some(head), zone.s);
            }
        }
        Ok(())
    }

    fn crossing(&self, chains: &[Cluster], one: u32, other: u32) -> Fast {
        let mut core = Vec::new();
        for head in [one, other] {
            let zone = self.zone(chains, head);
            let first = if head == 0 { NONE } else { zone.f_of };
            // Against the initial value only "returned before it was still seen" is needed.
            let last = if one == 0 && head != 0 { NONE } else { zone.s_of };
            core.extend([first, last]);
            if last != NONE {
                let from = if head == 0 { 0 } else { self.value_of(first) };
                core.extend(self.links(head, [from, self.value_of(last)]));
                if !self.part.spans[last as usize].known {
                    core.extend(self.evidence(self.value_of(last)));
                }
            }
        }
        contradiction(&core, Reason::ZonesCross)
    }

    /// The initial chain, then the others by low end; inside a cluster the write, then the reads by
    /// call. See `sweep`: with no crossing, this order respects every `f(A) < s(B)`.
    fn order(&self, blocks: &[u128]) -> Vec<u32> {
        let mut start = vec![NONE; self.clusters.len()];
        let mut writes = Vec::with_capacity(blocks.len());
        let mut placed = 0;
        let heads = blocks.iter().map(|block| head_of(*block));
        for head in std::iter::once(0).chain(heads) {
            let mut value = head;
            while value != NONE {
                let cluster = &self.clusters[value as usize];
                // The write takes the first place; reads follow.
                start[value as usize] = placed;
                if cluster.writer < INITIAL {
                    writes.push((placed, cluster.writer));
                    start[value as usize] += 1;
                }
                placed += cluster.size;
                value = cluster.next;
            }
        }
        let mut order = vec![0; placed as usize];
        for position in 0..self.part.len() as u32 {
            if !self.part.spans[position as usize].known && self.changes_nothing(position) {
                continue;
            }
            let value = self.value_of(position);
            if value == NONE || start[value as usize] == NONE {
                // Nobody depends on it: it never happened.
                continue;
            }
            if self.clusters[value as usize].writer != position {
                order[start[value as usize] as usize] = position;
                start[value as usize] += 1;
            }
        }
        for (place, writer) in writes {
            order[place as usize] = writer;
        }
        order
    }
}
