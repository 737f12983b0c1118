//! Two Generals: why nothing is agreed for certain over a link that may lose (Akkoyunlu, Ekanadham
//! and Huber, *Some Constraints and Trade-offs in the Design of Network Communications*, SOSP 1975;
//! the generals, and the proof below, after Gray, *Notes on Data Base Operating Systems*, 1978,
//! "the generals paradox").
//!
//! *Problem.* Two generals win if both attack, and are lost if one attacks alone. They agree by
//! messengers, who may be caught.
//!
//! *Model.* Links `FairLoss`; nodes never fail; timing `Synchronous`, which is no help. It cannot
//! be done: this protocol is here to be broken. Over `Reliable` links it holds.
//!
//! *Idea.* One proposes, the other acknowledges, the first acknowledges that, up to `k` messages.
//! Each attacks as soon as it has the last message that is meant for it; whoever does not have it
//! by dawn stays. If the `k`-th messenger is caught, its sender attacks alone; without that message
//! at all the protocol would be the one with `k - 1` messages, which fails at its last message, and
//! so on, down to none, where nothing is agreed. So there is no `k` that suffices.
//!
//! *Properties*
//! - S1 both attack or neither does, guarded by [`invariants`]: broken for every `k`, if the last
//!   message is lost;
//! - S2 if no message is lost, both attack (else staying for ever would do);
//! - L1 whoever proposed tells its client at dawn what it did.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Message`] 1 | who proposes | the other | let us attack |
//! | [`Message`] `i` | either | the other | message `i - 1` has arrived |
//!
//! *Deviations.* Attacks repeat, each its own [`Plan`] with its own `k`, which the client chooses.

use seedfall_sim::{
    Context, Duration, Monitor, NodeId, Protocol, RequestId, SortedMap, SortedSet, Time, Violation,
};

/// The parameters, equal on both nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// How long after the proposal dawn breaks: more than all messages take.
    pub until_dawn: Duration,
}

/// An attack that one general proposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Plan {
    /// Who proposes.
    pub general: NodeId,
    /// On whose request.
    pub request: RequestId,
    /// How many messages are exchanged: `k`.
    pub messages: u32,
    /// When it is too late for messages.
    pub dawn: Time,
}

/// The `number`-th message of a plan, from one on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// Of which plan.
    pub plan: Plan,
    /// Which.
    pub number: u32,
}

/// Propose an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// To be agreed by so many messages; at least one.
    pub messages: u32,
}

/// What the general who proposed did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Response {
    /// It attacked.
    Attacked,
    /// It stayed.
    Stayed,
}

/// One of the two.
#[derive(Clone, Debug)]
pub struct General {
    id: NodeId,
    config: Config,
    /// The last message of each plan that came; zero: it is its own proposal.
    heard: SortedMap<Plan, u32>,
    attacked: SortedSet<Plan>,
    /// Its own proposals for which dawn has broken, in order.
    over: Vec<Plan>,
}

impl Protocol for General {
    type Config = Config;
    type Message = Message;
    /// Dawn.
    type Timer = Plan;
    type Record = ();
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, _: &[()], ctx: &mut Context<'_, Self>) -> Self {
        assert_eq!(ctx.nodes(), 2, "two generals");
        let (heard, attacked) = (SortedMap::new(), SortedSet::new());
        Self { id, config: *config, heard, attacked, over: Vec::new() }
    }

    fn waits(&self) -> String {
        let own = self.heard.keys().filter(|plan| plan.general == self.id);
        let open = own.filter(|plan| !self.over.contains(plan));
        open.map(|plan| format!("{}: for dawn", plan.request)).collect::<Vec<_>>().join("; ")
    }

    fn on_request(&mut self, id: RequestId, request: Request, ctx: &mut Context<'_, Self>) {
        // A client that asks again, as it heard nothing, makes no messenger go again.
        if let Some(plan) = self.heard.keys().find(|plan| plan.is(self.id, id)).copied() {
            return match self.over.contains(&plan) {
                true => ctx.respond(id, self.did(&plan)),
                false => ctx.ignore("request: asked before, and dawn is yet to come"),
            };
        }
        assert!(0 < request.messages, "a plan that nobody is told of");
        let dawn = ctx.now() + self.config.until_dawn;
        let plan = Plan { general: self.id, request: id, messages: request.messages, dawn };
        ctx.set_timer(plan, self.config.until_dawn);
        self.hear(plan, 0, ctx);
    }

    fn on_message(&mut self, _: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        let Message { plan, number } = message;
        if plan.dawn <= ctx.now() {
            return ctx.ignore("message: dawn has broken");
        }
        if self.heard.get(&plan).is_some_and(|heard| number <= *heard) {
            return ctx.ignore("message: heard before");
        }
        self.hear(plan, number, ctx);
    }

    fn on_timer(&mut self, plan: Plan, ctx: &mut Context<'_, Self>) {
        self.over.push(plan);
        ctx.respond(plan.request, self.did(&plan));
    }
}

impl General {
    /// The `number`-th message has come (or the general proposes): it sends the next, if there is
    /// one, and attacks, if none is to come.
    fn hear(&mut self, plan: Plan, number: u32, ctx: &mut Context<'_, Self>) {
        self.heard.insert(plan, number);
        if number < plan.messages {
            let other = NodeId::new(1 - self.id.index() as u16);
            ctx.send(other, Message { plan, number: number + 1 });
        }
        if plan.messages < number + 2 {
            self.attacked.insert(plan);
        }
    }

    fn did(&self, plan: &Plan) -> Response {
        if self.attacked.contains(plan) { Response::Attacked } else { Response::Stayed }
    }
}

impl Plan {
    fn is(&self, general: NodeId, request: RequestId) -> bool {
        (self.general, self.request) == (general, request)
    }
}

/// What [`invariants`] saw of the two.
#[derive(Debug, Default)]
struct BothOrNeither {
    attacked: [SortedSet<Plan>; 2],
    judged: [usize; 2],
}

/// S1, judged when dawn has broken for the general who proposed: from then on nobody sets out.
pub fn invariants() -> impl Monitor<General> {
    BothOrNeither::default()
}

impl Monitor<General> for BothOrNeither {
    fn observe(&mut self, node: NodeId, state: &General) -> Result<(), Violation> {
        let place = node.index();
        if self.attacked[place].len() < state.attacked.len() {
            self.attacked[place].clone_from(&state.attacked);
        }
        for plan in state.over.iter().skip(self.judged[place]) {
            let [first, second] = [0, 1].map(|one: usize| self.attacked[one].contains(plan));
            if first != second {
                let alone = NodeId::new(u16::from(second));
                let Plan { general, messages, .. } = plan;
                let explanation = format!(
                    "{alone} attacks alone; {general} had proposed it for {}, to be agreed by \
                     messages: {messages}",
                    plan.request
                );
                return Err(Violation { property: "S1", explanation });
            }
        }
        self.judged[place] = state.over.len();
        Ok(())
    }
}
