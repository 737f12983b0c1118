//! Signed messages, `SM(m)`: Byzantine agreement with signatures (Lamport, Shostak and Pease, *The
//! Byzantine Generals Problem*, TOPLAS 1982, section 4), in rounds, as Dolev and Strong have it
//! (*Authenticated Algorithms for Byzantine Agreement*, SIAM J. Comput. 1983).
//!
//! *Problem.* That of [`oral_messages`](crate::oral_messages): a commander gives an order, and the
//! loyal generals are to do the same.
//!
//! *Model.* Links `Reliable`; nodes `Byzantine`, any number `m` of `n`, as long as two are loyal;
//! timing `Synchronous`. A loyal general's signature cannot be forged, nor what it signed be
//! altered (section 4, A4). With more than `m` traitors the loyal ones may disagree.
//!
//! *Idea.* The commander signs its order; whoever is told an order that it did not know signs it
//! too and tells those who have not signed. What comes in round `r` must bear `r` signatures: so
//! what a loyal general believes in the last round, `m + 1`, a loyal one has signed before, and
//! told all. In the end all loyal generals know the same set of orders, and choose alike from it.
//!
//! *Properties*, A4 guarded by [`invariants`], the others judged by whoever sees all
//! [`General::over`], as no general knows who is loyal:
//! - A4 what a general believes its commander has signed, and each of those who told it, once, and
//!   over what was signed before;
//! - IC1 all loyal lieutenants obey the same order;
//! - IC2 if the commander is loyal, they obey the order that it gave;
//! - L1 whoever heard of a battle decides, `m + 1` rounds after it began.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Message`] | the last who signed | everybody who has not | the commander said so |
//!
//! *Deviations*
//! - Whoever is asked by a client commands; battles are named by commander and beginning. A general
//!   who is told nothing retreats, without knowing of the battle.
//! - In the paper of 1982 silence is noticed by time-outs; here, as in Dolev and Strong's, by
//!   rounds: what is signed by `k` counts in round `k` alone, and is told on at its end.
//! - `choice` (section 4) is: one order is obeyed, none or two are a retreat.
//! - There are two orders, so nobody tells on more than two (Dolev and Strong, theorem 4).
//!
//! *Reading map*
//!
//! | paper | here |
//! |---|---|
//! | `SM(m)` step (1), (2) | `General::pass_on` |
//! | step (2) (A), (B): the orders `V_i` | [`Council::orders`], `on_message` |
//! | step (3), choice | [`Council::choice`] |
//! | Dolev and Strong, a message is *correct in phase k* | `is_signed_by_all`, `on_message` |

use crate::oral_messages::{Battle, Order, Path};
use seedfall_sim::{
    Context, Draw, Duration, NodeId, Protocol, RequestId, Signed, Signer, SortedMap, SortedSet,
    Strategy, Time,
};

mod invariants;
mod strategies;

pub use invariants::{Invariants, invariants};

/// The parameters, equal on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// How many traitors there may be: `m`.
    pub traitors: usize,
    /// How long a round takes: more than the longest delay of a message.
    pub round: Duration,
}

/// What one general signs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Statement {
    /// In which battle.
    pub battle: Battle,
    /// The commander's order.
    pub order: Order,
    /// Who had signed it before: the commander first.
    pub after: Path,
}

/// An order with its signatures, each over those before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message(pub Vec<Signed<Statement>>);

/// What one general knows of a battle.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Council {
    /// Which.
    pub battle: Battle,
    /// All that it was told in time, and by whom it was signed.
    pub heard: SortedSet<(Path, Order)>,
    /// `V_i`: the orders that it knows the commander to have given, each with who had signed it
    /// when it was told first; the commander's own has nobody.
    pub orders: SortedMap<Order, Path>,
    /// Which of them it has told on.
    pub told_on: SortedSet<Order>,
    /// What the general did, once the last round was over.
    pub decision: Option<Order>,
    /// The signatures under which an order was told first.
    signed: SortedMap<Order, Vec<Signed<Statement>>>,
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
        council.orders.insert(order, Path::new());
        council.signed.insert(order, Vec::new());
        self.pass_on(battle, 0, ctx);
    }

    fn on_message(&mut self, _: NodeId, Message(signed): Message, ctx: &mut Context<'_, Self>) {
        let Some(Statement { battle, order, .. }) = signed.first().map(Signed::value).cloned()
        else {
            return ctx.ignore("message: nobody has signed it");
        };
        // What bears too few signatures for its round was held back: who else would know of it?
        let signatures = signed.len();
        if ctx.now() < battle.begins
            || self.config.traitors < self.rounds_over(battle, ctx.now())
            || self.rounds_over(battle, ctx.now()) + 1 != signatures
        {
            return ctx.ignore("message: not in its round");
        }
        if !is_signed_by_all(&signed, battle, order) {
            return ctx.ignore("message: not signed as it must be");
        }
        let path: Path = signed.iter().map(Signed::by).collect();
        if path.contains(&self.id) {
            return ctx.ignore("message: signed here before");
        }
        let council = self.council(battle, ctx);
        if !council.heard.insert((path.clone(), order)) {
            return ctx.ignore("message: said before");
        }
        if council.orders.contains_key(&order) {
            return;
        }
        if !council.orders.is_empty() {
            ctx.reach("message: the commander has signed two orders");
        }
        council.orders.insert(order, path);
        council.signed.insert(order, signed);
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

    /// A commander signs the other order; a lieutenant can only leave its own signature out.
    fn falsify(Message(signed): &mut Message, me: Signer, _: &mut Draw) -> bool {
        let Some(last) = signed.pop_if(|last| last.by() == me.id()) else { return false };
        if signed.is_empty() {
            signed.push(me.sign(turned(last.value())));
        }
        true
    }

    fn strategies() -> Vec<Strategy<Self>> {
        strategies::all()
    }
}

/// The same statement with the other order.
fn turned(statement: &Statement) -> Statement {
    let order = match statement.order {
        Order::Attack => Order::Retreat,
        Order::Retreat => Order::Attack,
    };
    Statement { order, ..statement.clone() }
}

/// Whether these are the signatures of the commander and of others, each once, and each of the
/// order as those before had signed it.
fn is_signed_by_all(signed: &[Signed<Statement>], battle: Battle, order: Order) -> bool {
    let mut after = Path::new();
    let fits = |one: &Signed<Statement>| {
        let expected = Statement { battle, order, after: after.clone() };
        let fits = *one.value() == expected && !after.contains(&one.by());
        after.push(one.by());
        fits
    };
    signed.iter().all(fits) && signed.first().is_some_and(|one| one.by() == battle.commander)
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

    /// Signs what it was told first under so many signatures, and tells those who have not signed.
    fn pass_on(&mut self, battle: Battle, signatures: usize, ctx: &mut Context<'_, Self>) {
        let council = self.open.get_mut(&battle).expect("it knows of the battle");
        let news = council.orders.iter().filter(|(_, after)| after.len() == signatures);
        for (order, after) in news {
            council.told_on.insert(*order);
            let statement = Statement { battle, order: *order, after: after.clone() };
            let mut signed = council.signed[order].clone();
            signed.push(ctx.sign(statement));
            let others = NodeId::all(ctx.nodes());
            for to in others.filter(|to| *to != self.id && !after.contains(to)) {
                ctx.send(to, Message(signed.clone()));
            }
        }
    }

    /// Step (3).
    fn decide(&mut self, battle: Battle, ctx: &mut Context<'_, Self>) {
        let mut council = self.open.remove(&battle).expect("its timer was set with it");
        assert!(council.decision.is_none(), "a battle is decided once");
        let order = council.choice();
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
        Self {
            battle,
            heard: SortedSet::new(),
            orders: SortedMap::new(),
            told_on: SortedSet::new(),
            decision: None,
            signed: SortedMap::new(),
            asked: None,
        }
    }

    /// The one order that the commander has signed; if that is none, or if there are two, retreat.
    pub fn choice(&self) -> Order {
        match self.orders.first_key_value() {
            Some((order, _)) if self.orders.len() == 1 => *order,
            _ => Order::Retreat,
        }
    }
}
