//! Oral messages, `OM(m)`: Byzantine agreement without signatures (Lamport, Shostak and Pease, *The
//! Byzantine Generals Problem*, TOPLAS 1982, cited by section).
//!
//! *Problem.* A commander gives an order; some generals, perhaps the commander, are traitors and
//! say what they like, to each something else. The others are to do the same all the same.
//!
//! *Model.* Links `Reliable` (section 3, A1: what is said arrives; A2: who said it is known); nodes
//! `Byzantine`, at most `m` of `n > 3m`; timing `Synchronous` (A3: silence is noticed, by clocks
//! that agree and a bound on delays, section 6). With `n = 3m` no algorithm does it (section 2).
//!
//! *Idea.* Nobody is believed. Each lieutenant tells the others what the commander told it, as the
//! commander of a smaller battle, and so on for `m + 1` rounds; then everybody takes majorities.
//! What somebody says that somebody said ... is named by its *path*: the generals through whom the
//! order went, the commander first. Silence means `Retreat`.
//!
//! *Properties*, judged by whoever sees all [`General::over`], as no general knows who is loyal:
//! - IC1 all loyal lieutenants obey the same order;
//! - IC2 if the commander is loyal, they obey the order that it gave;
//! - L1 whoever heard of a battle decides, `m + 1` rounds after it began.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Message`] | the last of its path | everybody who is not on it | that is what I was told |
//!
//! *Deviations*
//! - Whoever is asked by a client commands; so there are many battles, at the same time too, each
//!   named by its commander and the moment at which it begins. The client is told when it is over.
//! - Whoever was told nothing on some path passes nothing on, instead of `Retreat`: it is the same,
//!   as silence means that. A general who never hears of a battle retreats from it without knowing.
//! - A second message of the same path is ignored.
//!
//! *Reading map*
//!
//! | section 3 | here |
//! |---|---|
//! | `OM(m)` step (1), step (2) "acts as the commander" | `General::pass_on` |
//! | step (2) `v_i`, "or else" | [`Council::told`] |
//! | `OM(0)`, step (3) | [`Council::obey`] |
//! | the function majority | [`majority`] |

use seedfall_sim::{Context, Draw, Duration, NodeId, Protocol, RequestId, SortedMap, Time};

/// The parameters, equal on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// How many traitors there may be: `m`.
    pub traitors: usize,
    /// How long a round takes: more than the longest delay of a message.
    pub round: Duration,
}

/// What a commander orders and a general does; also what a client asks for, and is told was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Order {
    /// Retreat: what is done without an order.
    Retreat,
    /// Attack.
    Attack,
}

/// One instance of the algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Battle {
    /// Who gives the order.
    pub commander: NodeId,
    /// When the first round begins.
    pub begins: Time,
}

/// Through whom an order went: the commander first, the speaker last.
pub type Path = Vec<NodeId>;

/// What the last general of a path was told by the one before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// In which battle.
    pub battle: Battle,
    /// By whom, who had it from whom; as many as rounds have begun.
    pub path: Path,
    /// What.
    pub order: Order,
}

/// What one general knows of a battle.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Council {
    /// Which.
    pub battle: Battle,
    /// The order that came on each path; that of the empty path is the commander's own.
    pub heard: SortedMap<Path, Order>,
    /// What the general did, once the last round was over.
    pub decision: Option<Order>,
    /// The client that asked for the order.
    asked: Option<RequestId>,
}

/// One general: commander of its own battles, lieutenant in the others'.
#[derive(Clone, Debug)]
pub struct General {
    id: NodeId,
    config: Config,
    open: SortedMap<Battle, Council>,
    over: Vec<Council>,
}

impl Protocol for General {
    type Config = Config;
    type Message = Message;
    /// The end of a round.
    type Timer = Battle;
    /// Nothing is written down: whoever crashes is a traitor to the battles it forgets.
    type Record = ();
    type Request = Order;
    type Response = Order;

    fn start(id: NodeId, config: &Config, _: &[()], _: &mut Context<'_, Self>) -> Self {
        assert!(config.round > Duration::ZERO, "a round takes time");
        Self { id, config: *config, open: SortedMap::new(), over: Vec::new() }
    }

    fn waits(&self) -> String {
        let one = |battle: &Battle| format!("{battle:?}: for the end of its rounds");
        self.open.keys().map(one).collect::<Vec<_>>().join("; ")
    }

    /// Step (1).
    fn on_request(&mut self, request: RequestId, order: Order, ctx: &mut Context<'_, Self>) {
        let battle = Battle { commander: self.id, begins: ctx.now() };
        if self.open.contains_key(&battle) {
            return ctx.ignore("request: a battle of mine begins this very moment");
        }
        let council = self.council(battle, ctx);
        council.asked = Some(request);
        council.heard.insert(Path::new(), order);
        self.pass_on(battle, 0, ctx);
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        let Message { battle, path, order } = message;
        // A3: each path has its round, and what comes later counts as silence.
        if ctx.now() < battle.begins
            || self.rounds_over(battle, ctx.now()) + 1 != path.len()
            || self.config.traitors + 1 < path.len()
        {
            return ctx.ignore("message: not in its round");
        }
        // A2: who speaks is known; what a traitor says of others can be refused if it is nonsense.
        let known = |(place, id): (usize, &NodeId)| {
            id.index() < ctx.nodes() && *id != self.id && !path[..place].contains(id)
        };
        if path.last() != Some(&from)
            || path.first() != Some(&battle.commander)
            || !path.iter().enumerate().all(known)
        {
            return ctx.ignore("message: nobody's path");
        }
        let council = self.council(battle, ctx);
        if council.heard.contains_key(&path) {
            return ctx.ignore("message: said before");
        }
        council.heard.insert(path, order);
    }

    /// A round of a battle is over.
    fn on_timer(&mut self, battle: Battle, ctx: &mut Context<'_, Self>) {
        let rounds = self.rounds_over(battle, ctx.now());
        if rounds <= self.config.traitors {
            self.pass_on(battle, rounds, ctx);
            ctx.set_timer(battle, self.config.round);
        } else {
            self.decide(battle, ctx);
        }
    }

    /// Turns the order round: who is on the path, the receiver would see through.
    fn mutate(message: &mut Message, _: &mut Draw) -> bool {
        message.order = match message.order {
            Order::Retreat => Order::Attack,
            Order::Attack => Order::Retreat,
        };
        true
    }
}

impl General {
    /// The battles that are over, in the order in which this general decided.
    pub fn over(&self) -> &[Council] {
        &self.over
    }

    /// The battles that it knows of and that are not over.
    pub fn open(&self) -> impl Iterator<Item = &Council> {
        self.open.values()
    }

    /// What it knows of a battle; at first, that there is one, and when its round ends.
    fn council(&mut self, battle: Battle, ctx: &mut Context<'_, Self>) -> &mut Council {
        let round = self.config.round;
        self.open.entry(battle).or_insert_with(|| {
            let into = ctx.now().since(battle.begins).as_nanos() % round.as_nanos();
            ctx.set_timer(battle, Duration::nanos(round.as_nanos() - into));
            Council::new(battle)
        })
    }

    /// How many rounds of a battle are over.
    fn rounds_over(&self, battle: Battle, now: Time) -> usize {
        (now.since(battle.begins).as_nanos() / self.config.round.as_nanos()) as usize
    }

    /// Steps (1) and (2): tells everybody else what came on the paths of this length.
    fn pass_on(&mut self, battle: Battle, length: usize, ctx: &mut Context<'_, Self>) {
        let council = &self.open[&battle];
        for (path, order) in council.heard.iter().filter(|(path, _)| path.len() == length) {
            let mut longer = path.clone();
            longer.push(self.id);
            for to in NodeId::all(ctx.nodes()).filter(|to| !longer.contains(to)) {
                ctx.send(to, Message { battle, path: longer.clone(), order: *order });
            }
        }
    }

    /// Step (3), from the outermost battle on.
    fn decide(&mut self, battle: Battle, ctx: &mut Context<'_, Self>) {
        let mut council = self.open.remove(&battle).expect("its timer was set with it");
        assert!(council.decision.is_none(), "a battle is decided once");
        let order = if battle.commander == self.id {
            council.told(&[])
        } else {
            council.obey(self.id, ctx.nodes(), self.config.traitors, &[battle.commander])
        };
        let differs = |told: &Order| *told != council.told(&[battle.commander]);
        if battle.commander != self.id && council.heard.values().any(differs) {
            ctx.reach("decision: orders differ, so somebody lied");
        }
        council.decision = Some(order);
        if let Some(request) = council.asked {
            ctx.respond(request, order);
        }
        self.over.push(council);
    }
}

impl Council {
    /// That of a general who was told nothing.
    pub const fn new(battle: Battle) -> Self {
        Self { battle, heard: SortedMap::new(), decision: None, asked: None }
    }

    /// What came on a path; silence is `Retreat`.
    pub fn told(&self, path: &[NodeId]) -> Order {
        self.heard.get(path).copied().unwrap_or(Order::Retreat)
    }

    /// The order that lieutenant `me` of `n` obeys in the battle of the last on the path, by
    /// `OM(m)`.
    pub fn obey(&self, me: NodeId, n: usize, m: usize, path: &[NodeId]) -> Order {
        let mut orders = vec![self.told(path)];
        if m > 0 {
            for other in NodeId::all(n).filter(|other| *other != me && !path.contains(other)) {
                let longer = [path, &[other]].concat();
                orders.push(self.obey(me, n, m - 1, &longer));
            }
        }
        majority(&orders)
    }
}

/// The order that more than half give, else `Retreat`.
pub fn majority(orders: &[Order]) -> Order {
    let attacks = orders.iter().filter(|order| **order == Order::Attack).count();
    if orders.len() < 2 * attacks { Order::Attack } else { Order::Retreat }
}
