//! The simulated wire: a table of directed links, and what disturbs them.

use crate::delay::Delay;
use crate::disturbance::{Disturbance, Partition};
use crate::jam::{Freed, Held, Jam, Jammed, Jams};
use crate::rare::{Rare, RareFate};
use seedfall_sim::{Address, ClientId, Draw, Duration, Fate, Network, NodeId, Ppm, Released, Time};

/// How one directed link treats messages when nothing disturbs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkModel {
    /// How long a message is under way.
    pub delay: Delay,
    /// How often one is lost, in a million.
    pub loss: Ppm,
    /// How often one arrives twice, in a million.
    pub duplicate: Ppm,
    /// Whether messages may overtake each other.
    pub order: Order,
}

/// Whether messages of one link may overtake each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Each arrives after its own delay.
    Free,
    /// None arrives before an earlier one (as over one TCP connection). Stragglers and duplicates
    /// keep to it too.
    Fifo,
}

/// How often each disturbance changed the fate of a message: effects, not attempts, and nothing
/// that a link does by itself. A message that meets several of them, as two partitions or two jams,
/// is an effect of each; one that is lost was not late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tally {
    /// Messages lost by chance.
    pub lost: u64,
    /// Messages that arrived twice.
    pub duplicated: u64,
    /// Messages that straggled.
    pub reordered: u64,
    /// Messages jammed by a clog.
    pub clogged: u64,
    /// Messages jammed on a link of a node that is swizzled.
    pub swizzled: u64,
    /// Messages cut by a partition.
    pub cut: u64,
    /// Messages lost in a burst.
    pub burst: u64,
    /// Messages that took longer, as all do on their link.
    pub lagged: u64,
    /// Messages that waited for their link, or found its queue full.
    pub throttled: u64,
    /// Messages whose bits flipped.
    pub corrupted: u64,
    /// Messages cut by a partition that comes and goes.
    pub flapped: u64,
}

impl Tally {
    /// A message was cut on a link.
    #[cold]
    fn count_cut(&mut self, link: Link) {
        self.flapped += u64::from(link.flaps > 0);
        self.cut += u64::from(link.flaps < link.cuts);
    }
}

/// What changes while a run goes on, for one directed link.
#[derive(Clone, Copy, Debug)]
struct Link {
    /// Which of the models it follows.
    model: u16,
    /// How many partitions cut it.
    cuts: u16,
    /// How many of those come and go.
    flaps: u16,
    /// Until when it is jammed.
    jammed_until: Time,
    /// The last arrival granted, which a FIFO link does not undercut.
    last: Time,
}

/// Every directed link between nodes and clients, and every disturbance in force.
#[derive(Clone, Debug)]
pub struct Wire {
    nodes: usize,
    peers: usize,
    models: Vec<LinkModel>,
    links: Vec<Link>,
    /// Whether any link is cut: mostly none is.
    is_partitioned: bool,
    loss: Ppm,
    duplicate: Ppm,
    duplicate_within: Duration,
    reorder: Ppm,
    reorder_by: Duration,
    jams: Jams,
    /// What few runs have; `None`: nothing of it.
    rare: Option<Box<Rare>>,
    tally: Tally,
}

impl Wire {
    /// A wire for a cluster of `nodes` nodes and `clients` clients, every link of which follows one
    /// model.
    pub fn new(nodes: usize, clients: usize, model: LinkModel) -> Self {
        let peers = nodes + clients;
        let link = Link { model: 0, cuts: 0, flaps: 0, jammed_until: Time::ZERO, last: Time::ZERO };
        Self {
            nodes,
            peers,
            models: vec![model],
            links: vec![link; peers * peers],
            is_partitioned: false,
            loss: 0,
            duplicate: 0,
            duplicate_within: Duration::ZERO,
            reorder: 0,
            reorder_by: Duration::ZERO,
            jams: Jams::new(peers),
            rare: None,
            tally: Tally::default(),
        }
    }

    /// Gives one directed link a model of its own.
    pub fn set_model(&mut self, from: Address, to: Address, model: LinkModel) {
        let known = self.models.iter().position(|other| *other == model);
        let index = known.unwrap_or_else(|| {
            self.models.push(model);
            self.models.len() - 1
        });
        let at = self.at(from, to);
        self.links[at].model = index as u16;
    }

    /// What the disturbances did so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Puts a disturbance in force, until it is ended; of a clog or swizzle, the wire is told that
    /// this is to be at `until`.
    pub fn begin(&mut self, disturbance: &Disturbance, until: Time) {
        match disturbance {
            Disturbance::Loss { ppm } => self.loss += ppm,
            Disturbance::Duplicate { ppm, within } => {
                self.duplicate += ppm;
                self.duplicate_within = self.duplicate_within + *within;
            }
            Disturbance::Reorder { ppm, by } => {
                self.reorder += ppm;
                self.reorder_by = self.reorder_by + *by;
            }
            Disturbance::Clog { from, to } => self.jam(Jammed::Link(self.at(*from, *to)), until),
            Disturbance::Swizzle { node } => self.jam(Jammed::Node(node.index()), until),
            Disturbance::Partition(partition) => self.cut(partition, |link| link.cuts += 1),
            // Whoever applies it begins and ends it again and again.
            Disturbance::Flap { partition, .. } => self.cut(partition, |link| {
                link.cuts += 1;
                link.flaps += 1;
            }),
            rare => {
                let links = self.links.len();
                self.rare.get_or_insert_with(|| Box::new(Rare::new(links))).begin(rare);
            }
        }
    }

    /// Takes back a disturbance that was begun with the same `until`. Says which messages arrive
    /// earlier for it: those that a clog or swizzle held, if it ends before its time.
    #[must_use = "to be handed to `World::release`"]
    pub fn end(&mut self, disturbance: &Disturbance, until: Time, now: Time) -> Vec<Released> {
        match disturbance {
            Disturbance::Loss { ppm } => self.loss -= ppm,
            Disturbance::Duplicate { ppm, within } => {
                self.duplicate -= ppm;
                self.duplicate_within = self.duplicate_within - *within;
            }
            Disturbance::Reorder { ppm, by } => {
                self.reorder -= ppm;
                self.reorder_by = self.reorder_by - *by;
            }
            Disturbance::Clog { from, to } => {
                return self.unjam(Jammed::Link(self.at(*from, *to)), until, now);
            }
            Disturbance::Swizzle { node } => {
                return self.unjam(Jammed::Node(node.index()), until, now);
            }
            Disturbance::Partition(partition) => self.cut(partition, |link| link.cuts -= 1),
            Disturbance::Flap { partition, .. } => self.cut(partition, |link| {
                link.cuts -= 1;
                link.flaps -= 1;
            }),
            rare => {
                if self.rare.as_mut().is_some_and(|all| all.end(rare)) {
                    self.rare = None;
                }
            }
        }
        Vec::new()
    }

    /// From here on the message with this ordinal on this link is lost, whatever is in force, and
    /// no tally counts it: not a fault, but a question, whether it matters.
    pub fn leave_out(&mut self, from: Address, to: Address, ordinal: u64) {
        let (at, links) = (self.at(from, to), self.links.len());
        self.rare.get_or_insert_with(|| Box::new(Rare::new(links))).leave_out(at, ordinal);
    }

    /// True if no disturbance is in force at `now`.
    pub fn is_calm(&self, now: Time) -> bool {
        self.loss + self.duplicate + self.reorder == 0
            && self.rare.is_none()
            && self.links.iter().all(|link| link.cuts == 0 && link.jammed_until <= now)
    }

    /// True if a partition cuts this link.
    pub fn is_cut(&self, from: Address, to: Address) -> bool {
        self.links[self.at(from, to)].cuts > 0
    }

    fn cut(&mut self, partition: &Partition, change: impl Fn(&mut Link)) {
        let (nodes, peers) = (self.nodes, self.peers);
        let mut links = self.links.iter_mut();
        for from in 0..peers {
            for (to, link) in (0..peers).zip(&mut links) {
                // Clients do not talk to each other.
                if from.min(to) < nodes
                    && partition.cuts(address(from, nodes), address(to, nodes), nodes)
                {
                    change(link);
                }
            }
        }
        self.is_partitioned = self.links.iter().any(|link| link.cuts > 0);
    }

    /// Links are jammed.
    #[cold]
    fn jam(&mut self, what: Jammed, until: Time) {
        for link in self.jams.links(what) {
            let link = &mut self.links[link];
            link.jammed_until = link.jammed_until.max(until);
        }
        self.jams.begin(Jam { what, until });
    }

    /// A jam ends: if it does so before its time, what waited for it goes on.
    #[cold]
    fn unjam(&mut self, what: Jammed, until: Time, now: Time) -> Vec<Released> {
        if !self.jams.end(Jam { what, until }, now) {
            return Vec::new();
        }
        let mut released = Vec::new();
        for at in self.jams.links(what) {
            let (from, to) = self.ends(at);
            let link = &mut self.links[at];
            let ordered = self.models[usize::from(link.model)].order == Order::Fifo;
            for Freed { ordinal, was, arrives } in self.jams.free(at, now, ordered) {
                // The last of them may be the last of its link.
                if link.last == was {
                    link.last = arrives;
                }
                released.push(Released { from, to, ordinal, was, arrives });
            }
            link.jammed_until = self.jams.until(at);
        }
        released
    }

    /// A message met a jam: unless it is lost, it waits.
    #[cold]
    #[inline(never)]
    fn hold(&mut self, now: Time, link: usize, ordinal: u64, behind: Time, fate: Fate) {
        let (first, second) = match fate {
            Fate::Deliver(after) | Fate::Corrupt(after, _) => (after, None),
            Fate::Duplicate(first, second) => (first, Some(second)),
            Fate::Drop(_) => return,
        };
        self.jams.count(link, now, &mut self.tally);
        let (until, mut behind) = (self.links[link].jammed_until, behind);
        for arrives in [Some(first), second].into_iter().flatten().map(|after| now + after) {
            self.jams.hold(Held { link, ordinal, until, arrives, behind });
            behind = arrives;
        }
    }

    /// From whom to whom a link leads.
    fn ends(&self, link: usize) -> (Address, Address) {
        (address(link / self.peers, self.nodes), address(link % self.peers, self.nodes))
    }

    #[inline]
    fn at(&self, from: Address, to: Address) -> usize {
        from.index(self.nodes) * self.peers + to.index(self.nodes)
    }
}

impl Network for Wire {
    #[inline(always)]
    fn fate(&mut self, now: Time, from: Address, to: Address, mut draw: Draw) -> Fate {
        let at = self.at(from, to);
        let link = &mut self.links[at];
        if link.cuts > 0 {
            self.tally.count_cut(*link);
            return Fate::Drop("partition");
        }
        let model = &self.models[usize::from(link.model)];
        // One word for what happens, one for the delay, one for the extra delay of a copy or a
        // straggler.
        let chances = [model.loss + self.loss, model.duplicate + self.duplicate, self.reorder];
        let own = [model.loss, self.loss, model.duplicate];
        let fresh = draw;
        let what = draw.one_of(chances);
        let mut after = model.delay.sample(&mut draw);
        let (jammed, behind) = (link.jammed_until > now, link.last);
        if jammed {
            after = after + link.jammed_until.since(now);
        }
        let mut flips = None;
        if let Some(rare) = &mut self.rare {
            match rare.fate(now, at, &draw, what == Some(0), &mut self.tally) {
                Ok(extra) => after = after + extra,
                Err(RareFate::Lost(why)) => return Fate::Drop(why),
                Err(RareFate::Corrupt(extra, word)) => {
                    (after, flips) = (after + extra, Some(word));
                }
            }
        }
        let fifo = model.order == Order::Fifo;
        let mut arrive = |after: Duration| {
            if !fifo {
                return after;
            }
            // Of two that arrive at one instant either may come first.
            link.last = (link.last + Duration::nanos(1)).max(now + after);
            link.last.since(now)
        };
        let fate = match (what, flips) {
            (_, Some(word)) => Fate::Corrupt(arrive(after), word),
            (None, None) => Fate::Deliver(arrive(after)),
            (Some(0), None) => {
                self.tally.lost += u64::from(is_of_fault(fresh, own));
                Fate::Drop("loss")
            }
            (Some(1), None) => {
                self.tally.duplicated += u64::from(is_of_fault(fresh, own));
                let later = draw.duration(Duration::ZERO..after + self.duplicate_within);
                Fate::Duplicate(arrive(after), arrive(after + later))
            }
            (Some(_), None) => {
                self.tally.reordered += 1;
                Fate::Deliver(arrive(after + draw.duration(Duration::ZERO..self.reorder_by)))
            }
        };
        if jammed {
            self.hold(now, at, draw.ordinal(), behind, fate);
        }
        fate
    }

    #[inline]
    fn admit(&mut self, _now: Time, from: Address, to: Address) -> Result<(), &'static str> {
        if self.is_partitioned {
            let link = &self.links[self.at(from, to)];
            if link.cuts > 0 {
                self.tally.count_cut(*link);
                return Err("partition");
            }
        }
        Ok(())
    }
}

/// Who has this index, where the first so many are nodes.
fn address(index: usize, nodes: usize) -> Address {
    match index.checked_sub(nodes) {
        None => NodeId::new(index as u16).into(),
        Some(client) => ClientId::new(client as u16).into(),
    }
}

/// Whether a message that was lost or doubled would not have been but for a fault: `own` is the
/// loss of its link, the loss that faults add, and the copies of its link.
#[cold]
fn is_of_fault(mut fresh: Draw, own: [Ppm; 3]) -> bool {
    matches!(fresh.one_of(own), None | Some(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: LinkModel = LinkModel {
        delay: Delay::Uniform { min: Duration::ZERO, max: Duration::millis(10) },
        loss: 0,
        duplicate: 0,
        order: Order::Free,
    };

    fn node(index: u16) -> Address {
        NodeId::new(index).into()
    }

    fn fates(wire: &mut Wire, count: u32) -> Vec<Fate> {
        let words = |k: u32| Draw::from_words([k.wrapping_mul(0x9E37_79B9), k << 20, k << 12, k]);
        (0..count).map(|k| wire.fate(Time::ZERO, node(0), node(1), words(k))).collect()
    }

    #[test]
    fn disturbances_take_effect_and_end() {
        let mut wire = Wire::new(3, 0, MODEL);
        let all = [
            Disturbance::Loss { ppm: 200_000 },
            Disturbance::Duplicate { ppm: 200_000, within: Duration::ZERO },
            Disturbance::Reorder { ppm: 200_000, by: Duration::secs(1) },
        ];
        all.iter().for_each(|one| wire.begin(one, Time::MAX));
        fates(&mut wire, 1_000);
        let tally = *wire.tally();
        for effect in [tally.lost, tally.duplicated, tally.reordered] {
            assert!((150..250).contains(&effect), "a fifth of 1,000: {tally:?}");
        }
        assert!(!wire.is_calm(Time::ZERO));
        all.iter().for_each(|one| assert!(wire.end(one, Time::MAX, Time::ZERO).is_empty()));
        assert!(wire.is_calm(Time::ZERO));
        fates(&mut wire, 1_000);
        assert_eq!(*wire.tally(), tally, "nothing happens once they ended");
    }

    #[test]
    fn rare_disturbances_take_effect_and_end() {
        let still = LinkModel { delay: Delay::Fixed(Duration::millis(1)), ..MODEL };
        let tried = |disturbance: Disturbance| {
            let mut wire = Wire::new(3, 0, still);
            wire.begin(&disturbance, Time::MAX);
            let fates = fates(&mut wire, 1_000);
            assert!(!wire.is_calm(Time::ZERO));
            assert!(wire.end(&disturbance, Time::MAX, Time::ZERO).is_empty());
            assert!(wire.is_calm(Time::ZERO));
            (fates, *wire.tally())
        };
        let second = Duration::secs(1);
        let (burst, tally) = tried(Disturbance::Burst { ppm: 10_000, span: second });
        let lost = burst.iter().filter(|fate| **fate == Fate::Drop("burst")).count() as u64;
        assert!(lost == tally.burst && lost > 100, "all at one instant, so one burst: {lost}");
        let (lagged, tally) = tried(Disturbance::Latency { most: second, salt: 7 });
        assert!(lagged.iter().all(|fate| *fate == lagged[0]), "the same for all of a link");
        assert_eq!(tally.lagged, 1_000);
        let each = Duration::millis(2);
        let (queued, tally) = tried(Disturbance::Throttle { each, queue: 3 });
        assert_eq!(queued[3], Fate::Deliver(Duration::millis(7)), "behind three others");
        assert_eq!(queued[4], Fate::Drop("queue full"));
        assert_eq!(tally.throttled, 999, "all but the first");
        let (flipped, tally) = tried(Disturbance::Corrupt { ppm: 250_000 });
        let hit = flipped.iter().filter(|fate| matches!(fate, Fate::Corrupt(..))).count() as u64;
        assert!(hit == tally.corrupted && (200..300).contains(&hit), "a quarter: {hit}");
    }

    #[test]
    fn a_burst_is_over_with_its_disturbance_though_a_message_is_left_out() {
        let mut wire = Wire::new(3, 0, MODEL);
        let [from, to] = [node(0), node(1)];
        wire.leave_out(from, to, u64::MAX);
        let burst = Disturbance::Burst { ppm: 1_000_000, span: Duration::secs(1) };
        wire.begin(&burst, Time::MAX);
        assert_eq!(fates(&mut wire, 10), vec![Fate::Drop("burst"); 10]);
        assert!(wire.end(&burst, Time::MAX, Time::ZERO).is_empty());
        assert!(!fates(&mut wire, 10).contains(&Fate::Drop("burst")));
    }

    #[test]
    fn halves_meet_at_the_bridge_only() {
        let bridge = NodeId::new(2);
        let side = vec![NodeId::new(0), NodeId::new(1)];
        let partition = Partition::Bridge { bridge, side };
        let reach = |from: u16| -> Vec<u16> {
            (0..5).filter(|to| !partition.cuts(node(from), node(*to), 5)).collect()
        };
        assert_eq!((reach(0), reach(4)), (vec![0, 1, 2], vec![2, 3, 4]));
        assert_eq!(reach(2), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn overlapping_partitions_end_one_by_one() {
        let mut wire = Wire::new(3, 0, MODEL);
        let one = Disturbance::Partition(Partition::TwoWay { side: vec![node(0)] });
        let two = Disturbance::Partition(Partition::OneWay { from: vec![node(0)] });
        wire.begin(&one, Time::MAX);
        wire.begin(&two, Time::MAX);
        assert!(wire.end(&one, Time::MAX, Time::ZERO).is_empty());
        assert!(wire.is_cut(node(0), node(1)));
        assert!(!wire.is_cut(node(1), node(0)));
        assert!(wire.end(&two, Time::MAX, Time::ZERO).is_empty());
        assert!(wire.is_calm(Time::ZERO));
    }

    #[test]
    fn a_fifo_link_keeps_the_order_of_sending() {
        let mut wire = Wire::new(2, 0, LinkModel { order: Order::Fifo, ..MODEL });
        wire.begin(&Disturbance::Reorder { ppm: 300_000, by: Duration::secs(1) }, Time::MAX);
        let arrivals: Vec<Duration> = fates(&mut wire, 500)
            .into_iter()
            .map(|fate| match fate {
                Fate::Deliver(after) => after,
                other => unreachable!("no loss, no copies: {other:?}"),
            })
            .collect();
        assert!(arrivals.is_sorted());
    }

    #[test]
    fn a_clogged_link_bursts_when_it_opens() {
        let mut wire = Wire::new(2, 0, LinkModel { delay: Delay::Fixed(Duration::ZERO), ..MODEL });
        let until = Time::ZERO + Duration::secs(2);
        wire.begin(&Disturbance::Clog { from: node(0), to: node(1) }, until);
        let burst = vec![Fate::Deliver(Duration::secs(2)); 10];
        assert_eq!(fates(&mut wire, 10), burst);
        assert_eq!(wire.tally().clogged, 10);
        assert!(wire.is_calm(until));
    }

    #[test]
    fn a_swizzled_node_is_jammed_in_both_directions_and_the_others_are_not() {
        let mut wire = Wire::new(3, 1, LinkModel { delay: Delay::Fixed(Duration::ZERO), ..MODEL });
        let until = Time::ZERO + Duration::secs(2);
        let swizzle = Disturbance::Swizzle { node: NodeId::new(0) };
        wire.begin(&swizzle, until);
        let client = Address::from(ClientId::new(0));
        let links = [(node(0), node(1)), (node(2), node(0)), (client, node(0)), (node(0), client)];
        let words = Draw::from_words([1 << 31; 4]);
        for (from, to) in links {
            let fate = wire.fate(Time::ZERO, from, to, words);
            assert_eq!(fate, Fate::Deliver(Duration::secs(2)), "{from} -> {to}");
        }
        assert_eq!(wire.fate(Time::ZERO, node(1), node(2), words), Fate::Deliver(Duration::ZERO));
        assert_eq!((wire.tally().swizzled, wire.tally().clogged), (4, 0));
        assert!(!wire.is_calm(Time::ZERO));
        assert_eq!(wire.end(&swizzle, until, until), []);
        assert!(wire.is_calm(until));
        // What jams a link from now on is another clog.
        wire.begin(&Disturbance::Clog { from: node(0), to: node(1) }, until + Duration::secs(1));
        wire.fate(Time::ZERO, node(0), node(1), words);
        assert_eq!((wire.tally().swizzled, wire.tally().clogged), (4, 1));
    }

    #[test]
    fn in_a_ring_of_five_each_sees_its_own_majority() {
        let sees = |from: u16| -> Vec<u16> {
            (0..5).filter(|to| !Partition::Ring.cuts(node(from), node(*to), 5)).collect()
        };
        assert_eq!(sees(0), [0, 1, 4]);
        assert_eq!(sees(2), [1, 2, 3]);
        assert!(Partition::Ring.is_idle(3), "three nodes in a ring all see each other");
        assert!(!Partition::Ring.is_idle(5));
    }
}
