//! Authenticated links (CGR 2.4.6): what does not come from where it says it does, as it was sent,
//! is lost.

use super::Layer;
use seedfall_sim::{Context, Draw, Effect, NodeId, Protocol, RequestId, Signed, Signer};

/// A message of the protocol above, with the code that makes it authentic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message<M> {
    /// What it says.
    pub message: M,
    /// The code: to whom its signer says what.
    pub code: Signed<(NodeId, M)>,
}

/// One node: the protocol above. The layer itself remembers nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authenticated<P> {
    above: P,
}

impl<P> Protocol for Authenticated<P>
where
    P: Protocol<Message: PartialEq>,
{
    type Config = P::Config;
    type Message = Message<P::Message>;
    type Timer = P::Timer;
    type Record = P::Record;
    type Request = P::Request;
    type Response = P::Response;

    fn start(
        id: NodeId,
        config: &P::Config,
        journal: &[P::Record],
        ctx: &mut Context<'_, Self>,
    ) -> Self {
        let (above, effects) = ctx.part(|ctx| P::start(id, config, journal, ctx));
        perform(effects, ctx);
        Self { above }
    }

    fn on_request(&mut self, request: RequestId, body: P::Request, ctx: &mut Context<'_, Self>) {
        let ((), effects) = ctx.part(|ctx| self.above.on_request(request, body, ctx));
        perform(effects, ctx);
    }

    /// Filters what is not authentic.
    fn on_message(&mut self, from: NodeId, message: Self::Message, ctx: &mut Context<'_, Self>) {
        let Message { message, code } = message;
        let (to, said) = code.value();
        if (*to, said) != (ctx.id(), &message) {
            ctx.reach("link: the code is of another message");
            return;
        }
        if code.by() != from {
            ctx.reach("link: the code is of another sender");
            return;
        }
        let ((), effects) = ctx.part(|ctx| self.above.on_message(from, message, ctx));
        perform(effects, ctx);
    }

    fn on_timer(&mut self, timer: P::Timer, ctx: &mut Context<'_, Self>) {
        let ((), effects) = ctx.part(|ctx| self.above.on_timer(timer, ctx));
        perform(effects, ctx);
    }

    fn is_leader(&self) -> bool {
        self.above.is_leader()
    }

    fn waits(&self) -> String {
        self.above.waits()
    }

    /// The wire changes what is said, and cannot change the code to fit.
    fn mutate(message: &mut Self::Message, draw: &mut Draw) -> bool {
        P::mutate(&mut message.message, draw)
    }

    /// A traitor makes the code for what it says.
    fn falsify(message: &mut Self::Message, me: Signer, draw: &mut Draw) -> bool {
        if !P::falsify(&mut message.message, me, draw) {
            return false;
        }
        let (to, _) = message.code.value();
        message.code = me.sign((*to, message.message.clone()));
        true
    }
}

/// The effects of the protocol above, as those of the whole.
fn perform<P>(effects: Vec<Effect<P>>, ctx: &mut Context<'_, Authenticated<P>>)
where
    P: Protocol<Message: PartialEq>,
{
    for effect in effects {
        match effect {
            Effect::Send(to, message) => send(to, message, ctx),
            Effect::Broadcast(message) => {
                let here = ctx.id();
                for to in NodeId::all(ctx.nodes()).filter(|to| *to != here) {
                    send(to, message.clone(), ctx);
                }
            }
            Effect::Respond(request, response) => ctx.respond(request, response),
            Effect::Append(record) => ctx.append(record),
            Effect::Sync => ctx.sync(),
            Effect::SetTimer(timer, after) => ctx.set_timer(timer, after),
            Effect::CancelTimer(timer) => ctx.cancel_timer(timer),
            Effect::Ignore(why) => ctx.ignore(why),
            Effect::Reach(what) => ctx.reach(what),
        }
    }
}

fn send<P>(to: NodeId, message: P::Message, ctx: &mut Context<'_, Authenticated<P>>)
where
    P: Protocol<Message: PartialEq>,
{
    let code = ctx.sign((to, message.clone()));
    ctx.send(to, Message { message, code });
}

impl<P> Layer for Authenticated<P>
where
    P: Protocol<Message: PartialEq>,
{
    type Above = P;

    fn above(&self) -> &P {
        &self.above
    }
}
