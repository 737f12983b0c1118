//! Reliable broadcast among traitors (Bracha, *Asynchronous Byzantine Agreement Protocols*,
//! Information and Computation 1987, section 3; the names of the properties as in Cachin, Guerraoui
//! and Rodrigues, 2011, module 3.12).
//!
//! *Problem.* A node broadcasts a text. All correct nodes deliver the same text, or none does, also
//! if the sender tells each something else.
//!
//! *Model.* Links `Reliable`; nodes `Byzantine`, at most `f` of `n > 3f`; timing `Asynchronous`:
//! there is no timer. Nobody signs; links say who speaks. With `f + 1` traitors two correct nodes
//! may deliver different texts.
//!
//! *Idea.* Nobody believes the sender alone. Everybody *echoes* the first text that it hears from
//! it; more than half of all correct nodes can echo one text only. Who has seen that so many do is
//! *ready*, and says so; who sees that one correct node is ready becomes so too, and so, once
//! enough are ready for one to deliver, all will be.
//!
//! *Properties*, guarded by [`invariants`] but for the last two:
//! - `Ready` no two nodes are ready for different texts of one broadcast (lemma 1);
//! - `Consistency` no two nodes deliver different texts of one broadcast;
//! - `Grounds` who is ready has heard enough echoes or readies, who delivers enough readies (steps
//!   2 and 3 of figure 1);
//! - `Integrity` what is delivered of a sender that told all the same is what it broadcast;
//! - `Totality` if one node delivers, all do, in the end;
//! - `Validity` what a correct node broadcasts is delivered: its client is answered then.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Initial`](Say::Initial) | sender | all | this is my text |
//! | [`Echo`](Say::Echo) | node | all | that is what I heard from it |
//! | [`Ready`](Say::Ready) | node | all | no correct node will deliver anything else |
//!
//! *Deviations*
//! - A broadcast is named by its sender and a number; Bracha's steps 1 to 3 are reactions to what
//!   is heard, not waits. Each node tells itself without a message.
//! - Nothing is forgotten of a broadcast that all have delivered.
//!
//! *Reading map*
//!
//! | figure 1 | here |
//! |---|---|
//! | step 0 | `on_request` |
//! | step 1, an initial, `(n + f) / 2` echoes or `f + 1` readies | `on_initial`, `progress` |
//! | step 2, to be ready | `progress` |
//! | step 3, `2f + 1` readies | `progress` |

mod invariants;
mod strategies;

use crate::kv::Text;
use seedfall_sim::{Context, Draw, NodeId, Protocol, RequestId, SortedMap, Strategy};
use std::convert::Infallible;

pub use invariants::{Invariants, invariants};

/// The parameters, equal on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// How many traitors there may be: `f`.
    pub faulty: usize,
}

/// The name of a broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Name {
    /// Whose.
    pub sender: NodeId,
    /// Which of its broadcasts, from one on.
    pub number: u64,
}

/// What is said of a broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Say {
    /// The sender: this is it.
    Initial,
    /// This is what I heard from the sender.
    Echo,
    /// Nobody correct will deliver another.
    Ready,
}

/// What nodes send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Message {
    /// Of which broadcast.
    pub name: Name,
    /// What of it.
    pub say: Say,
    /// The text.
    pub text: Text,
}

/// What a client asks: to broadcast this.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request(pub Text);

/// What it is told: it is delivered here, under this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Response(pub Name);

/// What one node knows of a broadcast.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Instance {
    /// What the sender told it first.
    pub initial: Option<Text>,
    /// For which text it is ready.
    pub ready: Option<Text>,
    /// What it delivered.
    pub delivered: Option<Text>,
    echoes: SortedMap<NodeId, Text>,
    readies: SortedMap<NodeId, Text>,
}

/// One node.
#[derive(Clone, Debug)]
pub struct Node {
    id: NodeId,
    config: Config,
    instances: SortedMap<Name, Instance>,
    /// Its own broadcasts: what each was, and who asked for it.
    own: Vec<(RequestId, Text)>,
}

impl Protocol for Node {
    type Config = Config;
    type Message = Message;
    type Timer = Infallible;
    /// Nothing is written down: whoever crashes is a traitor to what it forgets.
    type Record = ();
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, _: &[()], _: &mut Context<'_, Self>) -> Self {
        Self { id, config: *config, instances: SortedMap::new(), own: Vec::new() }
    }

    /// Step 0.
    fn on_request(&mut self, id: RequestId, Request(text): Request, ctx: &mut Context<'_, Self>) {
        if let Some(place) = self.own.iter().position(|(other, _)| *other == id) {
            let name = Name { sender: self.id, number: place as u64 + 1 };
            if self.instances.get(&name).is_some_and(|one| one.delivered.is_some()) {
                ctx.respond(id, Response(name));
            }
            return ctx.ignore("request: asked before");
        }
        self.own.push((id, text.clone()));
        let name = Name { sender: self.id, number: self.own.len() as u64 };
        ctx.broadcast(Message { name, say: Say::Initial, text: text.clone() });
        self.on_initial(name, text, ctx);
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        let Message { name, say, text } = message;
        match say {
            Say::Initial if from != name.sender => ctx.ignore("initial: not the sender's"),
            Say::Initial => self.on_initial(name, text, ctx),
            Say::Echo => {
                let heard = &mut self.instances.entry(name).or_default().echoes;
                heard.entry(from).or_insert(text);
                self.progress(name, ctx);
            }
            Say::Ready => {
                let heard = &mut self.instances.entry(name).or_default().readies;
                heard.entry(from).or_insert(text);
                self.progress(name, ctx);
            }
        }
    }

    fn waits(&self) -> String {
        let open = self.instances.iter().filter(|(_, one)| one.delivered.is_none());
        let one = |(name, one): (&Name, &Instance)| {
            format!("{name:?}: {} echoes, {} readies", one.echoes.len(), one.readies.len())
        };
        open.map(one).collect::<Vec<_>>().join("; ")
    }

    /// Another text.
    fn mutate(message: &mut Message, _: &mut Draw) -> bool {
        message.text = other(&message.text);
        true
    }

    fn strategies() -> Vec<Strategy<Self>> {
        strategies::all()
    }
}

/// What a traitor says in the place of a text.
fn other(text: &Text) -> Text {
    Text::from(format!("not {text}"))
}

impl Node {
    /// What it knows of each broadcast.
    pub fn instances(&self) -> &SortedMap<Name, Instance> {
        &self.instances
    }

    /// What it broadcast under a number.
    pub fn broadcast(&self, number: u64) -> Option<&Text> {
        self.own.get((number as usize).checked_sub(1)?).map(|(_, text)| text)
    }

    /// Step 1: echoes the first text.
    fn on_initial(&mut self, name: Name, text: Text, ctx: &mut Context<'_, Self>) {
        let instance = self.instances.entry(name).or_default();
        if let Some(first) = &instance.initial {
            return match *first == text {
                true => ctx.ignore("initial: said before"),
                false => ctx.reach("initial: the sender says two things"),
            };
        }
        instance.initial = Some(text.clone());
        instance.echoes.insert(self.id, text.clone());
        ctx.broadcast(Message { name, say: Say::Echo, text });
        self.progress(name, ctx);
    }

    /// Steps 1 to 3: what follows from the echoes and readies so far.
    fn progress(&mut self, name: Name, ctx: &mut Context<'_, Self>) {
        let (n, f) = (ctx.nodes(), self.config.faulty);
        let instance = self.instances.get_mut(&name).expect("the caller has just changed it");
        if instance.ready.is_none() {
            let echoed = most(&instance.echoes).filter(|(_, count)| n + f < 2 * count);
            let ready = most(&instance.readies).filter(|(_, count)| f < *count);
            if echoed.is_none() && ready.is_some() {
                ctx.reach("ready: others are, and the echoes were not enough");
            }
            if let Some((text, _)) = echoed.or(ready) {
                instance.ready = Some(text.clone());
                instance.readies.insert(self.id, text.clone());
                ctx.broadcast(Message { name, say: Say::Ready, text });
            }
        }
        let Some((text, _)) = most(&instance.readies).filter(|(_, count)| 2 * f < *count) else {
            return;
        };
        if instance.delivered.is_none() {
            if instance.initial.as_ref() != Some(&text) {
                ctx.reach("deliver: another text than the sender told");
            }
            instance.delivered = Some(text);
            // A node of two minds may not know what its other half has broadcast.
            let own = self.own.get(name.number as usize - 1).filter(|_| name.sender == self.id);
            if let Some((asked, _)) = own {
                ctx.respond(*asked, Response(name));
            }
        }
    }
}

/// The text that most have said, and how many did.
fn most(heard: &SortedMap<NodeId, Text>) -> Option<(Text, usize)> {
    let count = |text: &Text| heard.values().filter(|other| *other == text).count();
    heard.values().map(|text| (count(text), text)).max().map(|(count, text)| (text.clone(), count))
}
