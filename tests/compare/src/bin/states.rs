//! The same protocol value, every order of its messages, by stateright and by Seedfall: how many
//! states each meets, and what a state costs. One thread each.
//!
//! The protocol is the project's own Paxos: for stateright each node is wrapped as an actor, whose
//! handlers are those of the value. Its model checks one property that always holds, as Seedfall's
//! checks none.

use seedfall::exhaustive::{Bounds, Exhaustive};
use seedfall::prelude::*;
use seedfall::sim::{ClientId, Draws, Effect, Seed, Time};
use seedfall_protocols::paxos::{Config, Message, Paxos, Record, Request, Response, Timer};
use stateright::actor::{Actor, ActorModel, Id, Network, Out};
use stateright::{Checker, Expectation, Model};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

/// What travels: between nodes, or from a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Wire {
    Between(Message),
    Asked(RequestId, Request),
}

// stateright asks for an order, and does not use it on the way of a search.
impl Ord for Wire {
    fn cmp(&self, other: &Self) -> Ordering {
        let hash = |wire: &Self| {
            let mut hasher = DefaultHasher::new();
            wire.hash(&mut hasher);
            hasher.finish()
        };
        hash(self).cmp(&hash(other))
    }
}

impl PartialOrd for Wire {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A node, or a client that asks one node once and hears nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Who {
    Node { nodes: usize, config: Config },
    Client { at: usize, value: &'static str },
}

/// A node's state, its journal, whether its one timer is set, and how often it was asked: a
/// question that is answered at once changes nothing else, and has been asked all the same.
type Node = (Paxos, Vec<Record>, bool, u8);

/// Of a client there is nothing to tell.
type Held = Option<Node>;

impl Who {
    fn react(
        &self,
        id: Id,
        (mut state, mut journal, mut timer, asked): Node,
        out: &mut Out<Self>,
        handler: impl FnOnce(&mut Paxos, &mut Context<'_, Paxos>),
    ) -> Held {
        let Self::Node { nodes, .. } = self else { return None };
        let mut draws = Draws::new(Seed(0), *nodes, 0);
        let mut effects = Vec::new();
        let me = NodeId::new(usize::from(id) as u16);
        let mut ctx = Context::new(me, *nodes, Time::ZERO, &mut draws, &mut effects);
        handler(&mut state, &mut ctx);
        for effect in effects {
            match effect {
                Effect::Send(to, message) => {
                    out.send(to.index().into(), Wire::Between(message));
                }
                Effect::Broadcast(message) => {
                    for to in NodeId::all(*nodes).filter(|to| *to != me) {
                        out.send(to.index().into(), Wire::Between(message.clone()));
                    }
                }
                Effect::Append(record) => journal.push(record),
                Effect::SetTimer(Timer::Retry, _) => timer = true,
                Effect::CancelTimer(Timer::Retry) => timer = false,
                // Every append is synced; nobody listens for answers.
                _ => {}
            }
        }
        Some((state, journal, timer, asked))
    }
}

impl Actor for Who {
    type Msg = Wire;
    type State = Held;
    type Timer = ();
    type Storage = ();
    type Random = ();

    fn on_start(&self, id: Id, _: &Option<()>, out: &mut Out<Self>) -> Held {
        match self {
            Self::Node { nodes, config } => {
                let mut draws = Draws::new(Seed(0), *nodes, 0);
                let mut effects = Vec::new();
                let me = NodeId::new(usize::from(id) as u16);
                let mut ctx = Context::new(me, *nodes, Time::ZERO, &mut draws, &mut effects);
                Some((Paxos::start(me, config, &[], &mut ctx), Vec::new(), false, 0))
            }
            Self::Client { at, value } => {
                let client = ClientId::new(usize::from(id) as u16);
                let request = RequestId { client, number: 0 };
                let body = Request::Propose { value: (*value).into() };
                out.send((*at).into(), Wire::Asked(request, body));
                None
            }
        }
    }

    fn on_msg(&self, id: Id, state: &mut Cow<Held>, from: Id, wire: Wire, out: &mut Out<Self>) {
        let Some(before) = state.as_ref().clone() else { return };
        let mut node = before.clone();
        node.3 += u8::from(matches!(wire, Wire::Asked(..)));
        let after = self.react(id, node, out, |node, ctx| match wire {
            Wire::Between(message) => {
                let from = NodeId::new(usize::from(from) as u16);
                node.on_message(from, message, ctx);
            }
            Wire::Asked(request, body) => node.on_request(request, body, ctx),
        });
        if after.as_ref() != Some(&before) {
            *state.to_mut() = after;
        }
    }
}

/// The clients: whom each asks, and what it proposes.
const ASKS: [(usize, &str); 3] = [(0, "a"), (1, "b"), (2, "c")];

fn with_stateright(nodes: usize, clients: usize) -> (usize, f64) {
    let config = Config::majorities(nodes);
    let begun = Instant::now();
    let mut model = ActorModel::new((), ());
    for _ in 0..nodes {
        model = model.actor(Who::Node { nodes, config: config.clone() });
    }
    for (at, value) in ASKS.into_iter().take(clients) {
        model = model.actor(Who::Client { at, value });
    }
    let found = model
        .init_network(Network::new_unordered_nonduplicating([]))
        .property(Expectation::Always, "nothing", |_, _| true)
        .checker()
        .threads(1)
        .spawn_bfs()
        .join();
    (found.unique_state_count(), begun.elapsed().as_secs_f64())
}

fn with_seedfall(nodes: usize, clients: usize) -> (usize, f64) {
    let scenario = Scenario {
        name: "paxos",
        story: "Single-decree Paxos",
        model: SystemModel::USUAL,
        cluster: Cluster::lan(nodes, clients),
        config: Config::majorities(nodes),
        workload: Workload::short(
            |_, _| "",
            |_, value: &&'static str| Request::Propose { value: (*value).into() },
            |response: Response| Reply::Done(response),
        ),
        faults: Swarm::NONE,
        horizon: Horizon::SHORT,
        properties: vec![],
        expect: Expect::<Paxos>::Holds,
    };
    let begun = Instant::now();
    let mut search =
        Exhaustive::of(&scenario).bounds(Bounds { states: 40_000_000, ..Bounds::NONE });
    for (client, (at, value)) in ASKS.into_iter().take(clients).enumerate() {
        search = search.call(client, Some(at), value);
    }
    let found = search.run();
    let seconds = begun.elapsed().as_secs_f64();
    let each = found.bytes as f64 / f64::from(found.states);
    println!("           {} handlers run, {each:.1} bytes a state", found.handlers);
    (found.states as usize, seconds)
}

fn main() {
    for (nodes, clients) in [(2, 2), (3, 1), (3, 2), (4, 2)] {
        println!("Paxos, {nodes} acceptors, {clients} proposers");
        let (states, seconds) = with_seedfall(nodes, clients);
        let ours = states as f64 / seconds;
        println!("  Seedfall   {states} states, {seconds:.3} s, {ours:.0} a second");
        let (peers, seconds) = with_stateright(nodes, clients);
        let theirs = peers as f64 / seconds;
        println!("  stateright {peers} states, {seconds:.3} s, {theirs:.0} a second");
        let same = if states == peers { "the same states" } else { "NOT THE SAME STATES" };
        println!("  {same}; {:.1} times as many a second", ours / theirs);
    }
}
