//! What one node does with one input: computed once, and looked up ever after.
//!
//! A handler is a function of its node's state and its input alone (design: a protocol is a value
//! that reacts). In a cluster the same node meets the same message in thousands of states of the
//! others, so the search runs handlers as often as there are *pairs* of both, and states are rows
//! of numbers.

use super::tables::{Interned, digest};
use crate::run::panics::catch;
use rustc_hash::FxHashMap;
use seedfall_sim::{Context, Draws, Effect, NodeId, Protocol, RequestId, Seed, Time};
use std::hash::Hash;

/// One node: its state, what its journal holds, and the timers that it has set.
#[derive(Debug)]
pub(super) struct Local<P: Protocol> {
    pub(super) node: NodeId,
    /// `None`: it is down.
    pub(super) state: Option<P>,
    /// What survives a crash.
    pub(super) synced: Vec<P::Record>,
    /// What may not.
    pub(super) written: Vec<P::Record>,
    /// By number, in ascending order.
    pub(super) timers: Vec<u32>,
    /// Whether the bounds let the search go on from here.
    pub(super) within: bool,
}

/// What happens to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Input {
    /// It comes up.
    Start,
    /// A message arrives, by its number.
    Message(u32),
    /// A timer rings, by its number.
    Timer(u32),
    /// A client asks, by the number of the request.
    Request(u32),
    /// It crashes between two events; all, or nothing, of what it has not synced survives.
    Crash {
        /// All of it.
        keeps: bool,
    },
}

/// Requests, and the numbers of their answers.
type Answers = Box<[(RequestId, u32)]>;

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The node afterwards.
    pub(super) local: u32,
    /// The messages that it sent, in order.
    pub(super) sends: Box<[u32]>,
    /// The requests that it answered, and the numbers of the answers, in order.
    pub(super) answers: Answers,
    /// It panicked, saying so.
    pub(super) panic: Option<Box<str>>,
    /// A crash cut the handler off: after how many effects, and whether the disk has all that was
    /// written until then.
    pub(super) cut: Option<(u16, bool)>,
}

/// One message on its way.
#[derive(Debug)]
pub(super) struct Message<M> {
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    pub(super) body: M,
}

/// Whether the search goes on from a state in which a node is so.
pub(super) type Within<P> = Box<dyn Fn(NodeId, &P) -> bool>;

/// Every node, message, timer, request and answer that was met, and what comes of what.
pub(super) struct Locals<P: Protocol> {
    nodes: usize,
    config: P::Config,
    /// Whether a crash may fall between any two effects of a handler.
    pub(super) cuts: bool,
    within: Option<Within<P>>,
    pub(super) locals: Interned<Local<P>>,
    pub(super) messages: Interned<Message<P::Message>>,
    pub(super) timers: Interned<P::Timer>,
    pub(super) requests: Interned<(RequestId, P::Request)>,
    pub(super) answers: Interned<P::Response>,
    /// Where the outcomes of a pair are, and how many: the whole one, then those cut by a crash.
    memo: FxHashMap<(u32, Input), (u32, u32)>,
    outcomes: Vec<Outcome>,
    /// Which marks were reached, and how many pairs reached them.
    pub(super) marks: Vec<(&'static str, u64)>,
}

impl<P: Protocol + Clone + Hash> Locals<P> {
    pub(super) fn new(
        nodes: usize,
        config: P::Config,
        cuts: bool,
        within: Option<Within<P>>,
    ) -> Self {
        Self {
            nodes,
            config,
            cuts,
            within,
            locals: Interned::default(),
            messages: Interned::default(),
            timers: Interned::default(),
            requests: Interned::default(),
            answers: Interned::default(),
            memo: FxHashMap::default(),
            outcomes: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// A node before its first start.
    pub(super) fn unborn(&mut self, node: NodeId) -> u32 {
        self.local(Parts { node, state: None, synced: vec![], written: vec![], timers: vec![] })
    }

    /// The outcomes of an input at a node: how many, and where. The first is the whole handler;
    /// each other one ends in a crash inside it.
    pub(super) fn outcomes(&mut self, local: u32, input: Input) -> (u32, u32) {
        if let Some(known) = self.memo.get(&(local, input)) {
            return *known;
        }
        let first = self.outcomes.len() as u32;
        match input {
            Input::Crash { keeps } => self.crash(local, keeps),
            _ => self.handle(local, input),
        }
        let found = (first, self.outcomes.len() as u32 - first);
        self.memo.insert((local, input), found);
        found
    }

    /// One of them, by where it is.
    pub(super) fn outcome(&self, at: u32) -> &Outcome {
        &self.outcomes[at as usize]
    }

    /// How many handlers were run.
    pub(super) fn handlers(&self) -> usize {
        self.memo.len()
    }

    fn crash(&mut self, local: u32, keeps: bool) {
        let before = self.locals.get(local);
        let mut synced = before.synced.clone();
        if keeps {
            synced.extend(before.written.iter().cloned());
        }
        let parts =
            Parts { node: before.node, state: None, synced, written: vec![], timers: vec![] };
        let local = self.local(parts);
        let (sends, answers) = Default::default();
        self.outcomes.push(Outcome { local, sends, answers, panic: None, cut: None });
    }

    fn handle(&mut self, local: u32, input: Input) {
        let before = self.locals.get(local);
        let node = before.node;
        let mut effects = Vec::new();
        let mut draws = Draws::new(Seed(0), self.nodes, 0);
        let mut ctx = Context::new(node, self.nodes, Time::ZERO, &mut draws, &mut effects);
        let mut parts = Parts {
            node,
            state: before.state.clone(),
            synced: before.synced.clone(),
            written: before.written.clone(),
            timers: before.timers.clone(),
        };
        if let Input::Timer(timer) = input {
            parts.timers.retain(|set| *set != timer);
        }
        let (messages, timers, requests) = (&self.messages, &self.timers, &self.requests);
        let panicked = catch(|| match input {
            Input::Start => {
                parts.state = Some(P::start(node, &self.config, &parts.synced, &mut ctx));
            }
            Input::Message(message) => {
                let Message { from, body, .. } = messages.get(message);
                running(&mut parts).on_message(*from, body.clone(), &mut ctx);
            }
            Input::Timer(timer) => {
                let timer = timers.get(timer).clone();
                running(&mut parts).on_timer(timer, &mut ctx);
            }
            Input::Request(request) => {
                let (id, body) = requests.get(request);
                running(&mut parts).on_request(*id, body.clone(), &mut ctx);
            }
            Input::Crash { .. } => unreachable!("no handler runs as a node crashes"),
        });
        let effects = self.flat(node, effects);
        if let Err(panic) = panicked {
            let words = format!("{} ({})", panic.message, panic.place);
            self.push(parts, &effects, Some(words));
            return;
        }
        self.push(parts.clone(), &effects, None);
        let visible = |effect: &Flat<P>| !matches!(effect, Flat::Timer(..) | Flat::Nothing);
        let places = effects.iter().enumerate().filter(|(_, effect)| visible(effect));
        let places: Vec<usize> = places.map(|(at, _)| at + 1).collect();
        // After the last of them it is a crash between two events.
        let inside = places.len().saturating_sub(1) * usize::from(self.cuts);
        for (done, at) in places[..inside].iter().enumerate() {
            for keeps in [false, true] {
                self.push_cut(parts.clone(), &effects[..*at], (done as u16 + 1, keeps));
            }
        }
    }

    /// Effects, one for each receiver, with the values as numbers.
    fn flat(&mut self, node: NodeId, effects: Vec<Effect<P>>) -> Vec<Flat<P>> {
        let mut flat = Vec::with_capacity(effects.len());
        for effect in effects {
            match effect {
                Effect::Send(to, body) => flat.push(Flat::Send(self.message(node, to, body))),
                Effect::Broadcast(body) => {
                    for to in NodeId::all(self.nodes).filter(|to| *to != node) {
                        flat.push(Flat::Send(self.message(node, to, body.clone())));
                    }
                }
                Effect::Respond(request, answer) => {
                    let number = self.answers.number(digest(&answer), || answer);
                    flat.push(Flat::Answer(request, number));
                }
                Effect::Append(record) => flat.push(Flat::Append(record)),
                Effect::Sync => flat.push(Flat::Sync),
                Effect::SetTimer(timer, _) => {
                    flat.push(Flat::Timer(self.timers.number(digest(&timer), || timer), true));
                }
                Effect::CancelTimer(timer) => {
                    flat.push(Flat::Timer(self.timers.number(digest(&timer), || timer), false));
                }
                Effect::Ignore(mark) | Effect::Reach(mark) => {
                    match self.marks.iter_mut().find(|(known, _)| *known == mark) {
                        Some((_, count)) => *count += 1,
                        None => self.marks.push((mark, 1)),
                    }
                    flat.push(Flat::Nothing);
                }
            }
        }
        flat
    }

    pub(super) fn message(&mut self, from: NodeId, to: NodeId, body: P::Message) -> u32 {
        let key = digest(&(from, to, &body));
        self.messages.number(key, || Message { from, to, body })
    }

    /// The outcome of a handler that ran to its end.
    fn push(&mut self, mut parts: Parts<P>, effects: &[Flat<P>], panic: Option<String>) {
        let (sends, answers) = parts.perform(effects);
        let local = self.local(parts);
        let panic = panic.map(String::into_boxed_str);
        self.outcomes.push(Outcome { local, sends, answers, panic, cut: None });
    }

    /// The outcome of one that a crash cut off, unless it is that of the cut before.
    fn push_cut(&mut self, mut parts: Parts<P>, effects: &[Flat<P>], cut: (u16, bool)) {
        let (sends, answers) = parts.perform(effects);
        let written = std::mem::take(&mut parts.written);
        if cut.1 {
            parts.synced.extend(written);
        }
        (parts.state, parts.timers) = (None, Vec::new());
        let local = self.local(parts);
        let last = self.outcomes.last().expect("the whole handler's comes first");
        if (last.local, &last.sends, &last.answers) != (local, &sends, &answers) {
            self.outcomes.push(Outcome { local, sends, answers, panic: None, cut: Some(cut) });
        }
    }

    pub(super) fn local(&mut self, parts: Parts<P>) -> u32 {
        let Parts { node, state, synced, written, timers } = parts;
        let key = digest(&(node, &state, &synced, &written, &timers));
        let within = &self.within;
        self.locals.number(key, || {
            let within = match (&state, within) {
                (Some(state), Some(within)) => within(node, state),
                _ => true,
            };
            Local { node, state, synced, written, timers, within }
        })
    }
}

fn running<P: Protocol>(parts: &mut Parts<P>) -> &mut P {
    parts.state.as_mut().expect("only a node that is up is given an input")
}

/// An effect, for one receiver.
enum Flat<P: Protocol> {
    Send(u32),
    Answer(RequestId, u32),
    Append(P::Record),
    Sync,
    /// Which, and whether it is set.
    Timer(u32, bool),
    Nothing,
}

/// A node that is being changed.
pub(super) struct Parts<P: Protocol> {
    pub(super) node: NodeId,
    pub(super) state: Option<P>,
    pub(super) synced: Vec<P::Record>,
    pub(super) written: Vec<P::Record>,
    pub(super) timers: Vec<u32>,
}

impl<P: Protocol + Clone> Clone for Parts<P> {
    fn clone(&self) -> Self {
        Self {
            node: self.node,
            state: self.state.clone(),
            synced: self.synced.clone(),
            written: self.written.clone(),
            timers: self.timers.clone(),
        }
    }
}

impl<P: Protocol> Parts<P> {
    /// Makes the effects happen to the node, and says what leaves it: messages, answers.
    fn perform(&mut self, effects: &[Flat<P>]) -> (Box<[u32]>, Answers) {
        let (mut sends, mut answers) = (Vec::new(), Vec::new());
        for effect in effects {
            match effect {
                Flat::Send(message) => sends.push(*message),
                Flat::Answer(request, answer) => answers.push((*request, *answer)),
                Flat::Append(record) => self.written.push(record.clone()),
                Flat::Sync => self.synced.append(&mut self.written),
                Flat::Timer(timer, set) => match (self.timers.binary_search(timer), set) {
                    (Err(at), true) => self.timers.insert(at, *timer),
                    (Ok(at), false) => drop(self.timers.remove(at)),
                    _ => {}
                },
                Flat::Nothing => {}
            }
        }
        (sends.into(), answers.into())
    }
}
