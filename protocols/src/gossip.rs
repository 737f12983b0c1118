//! Gossip (Demers et al., *Epidemic Algorithms for Replicated Database Maintenance*, PODC 1987,
//! cited by section; Karp, Schindelhauer, Shenker and Vöcking, *Randomized Rumor Spreading*, FOCS
//! 2000): rumors that reach all by chance, as epidemics do.
//!
//! *Problem.* What one node has learned all are to learn soon, though nobody knows who lacks it,
//! and no node sends more than a little in a round.
//!
//! *Model.* Links `FairLoss`; nodes `CrashRecovery`, any number down for a while; timing
//! `Asynchronous`: rounds need not be taken together. For `Bound`, links `Reliable`, nodes that
//! stay up and `Synchronous` timing.
//!
//! *Idea.* In each round a node calls another, chosen by chance. It *pushes* what it knows, or
//! *pulls* what the other knows, or both. First the number of those who know a rumor doubles in
//! each round; in the end the number of those who do not shrinks: by push by a factor *e*, by pull
//! to its square. That is *anti-entropy*, which compares all that both know, and never ends. *Rumor
//! mongering* pushes only what is new, and a node loses interest in a rumor after `k` calls in
//! vain: cheap, but some may never hear of it, so anti-entropy backs it up.
//!
//! *Properties*, guarded by [`invariants`] but for the last two:
//! - `Kept` what its client has told it a node knows for ever, crash or no crash;
//! - `Truth` what is known under a name is the same everywhere;
//! - `Bound` all know a rumor within so many rounds (section 1.3: a logarithm of their number, and
//!   as much again as makes a miss as unlikely as one likes);
//! - `Compared` in the round after a call to push and pull both know what either knew (section 1.3;
//!   where rounds are taken together, and nothing is lost);
//! - `Convergence` in the end all know the same, but for rumor mongering alone;
//! - `L1` whoever tells a node that is up is answered by it alone.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Call`](Message::Call) | node | one other | these rumors; and, to pull, what I know |
//! | [`Answer`](Message::Answer) | that one | caller | what you lack; and what I knew before |
//!
//! *Journal record*: a [`Rumor`] that a client has told, synced before the client is answered; what
//! others have told is learned again.
//!
//! *Deviations*
//! - To compare is to send the names of all that one knows: no checksums, recent update lists or
//!   peel-back (1.3).
//! - Nothing is deleted: no death certificates (2).
//! - Interest is lost by the variant *feedback, counter* (1.4), reset by nothing.
//!
//! *Reading map*
//!
//! | section | here |
//! |---|---|
//! | 1.3, anti-entropy: push, pull, push-pull | [`Style`], `call`, `on_call` |
//! | 1.4, complex epidemics: rumor mongering | [`Config::interest`], `hot` |
//! | 1.5, backing up a complex epidemic | [`Config::backup`] |
//!
//! What Demers et al. measured in table 1, and rounds to reach all, is measured here as well:
//! [`docs/gossip.md`](../../docs/gossip.md).

mod invariants;

use crate::kv::Text;
use seedfall_sim::{
    ClientId, Context, Duration, NodeId, Protocol, RequestId, SortedMap, SortedSet,
};

pub use invariants::{Invariants, invariants};

/// What a caller does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Style {
    /// It tells what it knows.
    Push,
    /// It asks for what it does not.
    Pull,
    /// Both.
    PushPull,
}

/// The parameters, equal on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// What a caller does.
    pub style: Style,
    /// How often a node calls another: a round.
    pub round: Duration,
    /// After how many calls in vain it loses interest in a rumor and pushes it no more: `k`; none:
    /// never (anti-entropy).
    pub interest: Option<u32>,
    /// Every how many rounds a call is one of anti-entropy, push and pull; none: never.
    pub backup: Option<u32>,
    /// Who knows a rumor as it comes up the first time: the experiment of the paper.
    pub origin: Option<NodeId>,
}

/// The name of a rumor: who asked for it to be spread.
pub type Name = RequestId;

/// A rumor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Rumor {
    /// Its name.
    pub name: Name,
    /// What it says.
    pub text: Text,
    /// In which round of its first node it began.
    pub born: u64,
}

/// What nodes send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// Some rumors; and, if it pulls, which the caller knows.
    Call(Vec<Rumor>, Option<SortedSet<Name>>),
    /// Those that the caller lacks; and which of its own were known.
    Answer(Vec<Rumor>, Vec<Name>),
}

/// A node's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// The next round begins.
    Round,
}

/// What a client asks: spread this.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Request(pub Text);

/// What it is told: its node will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Response;

/// One node.
#[derive(Clone, Debug)]
pub struct Node {
    id: NodeId,
    config: Config,
    known: SortedMap<Name, Rumor>,
    /// What it is still interested in, and how often it has told that in vain.
    hot: SortedMap<Name, u32>,
    /// How many rounds it has begun.
    rounds: u64,
    /// What its own journal says.
    told: SortedSet<Name>,
    /// Whom it called last. Nothing depends on it: whoever watches may ask.
    called: Option<NodeId>,
}

impl Protocol for Node {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Rumor;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Rumor], ctx: &mut Context<'_, Self>) -> Self {
        let (known, hot, told) = (SortedMap::new(), SortedMap::new(), SortedSet::new());
        let mut node = Self { id, config: *config, known, hot, rounds: 0, told, called: None };
        if config.origin == Some(id) && journal.is_empty() {
            node.tell(
                RequestId { client: ClientId::new(0), number: u32::MAX },
                "a rumor".into(),
                ctx,
            );
        }
        for rumor in journal {
            node.told.insert(rumor.name);
            node.learn(rumor.clone());
        }
        ctx.set_timer(Timer::Round, config.round);
        node
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match message {
            Message::Call(rumors, known) => self.on_call(from, rumors, known.as_ref(), ctx),
            Message::Answer(rumors, in_vain) => {
                for rumor in rumors {
                    if !self.learn(rumor) {
                        ctx.ignore("answer: it is known by now");
                    }
                }
                self.cool(&in_vain, ctx);
            }
        }
    }

    fn on_timer(&mut self, Timer::Round: Timer, ctx: &mut Context<'_, Self>) {
        self.rounds += 1;
        ctx.set_timer(Timer::Round, self.config.round);
        let others = ctx.nodes() as u32 - 1;
        if others == 0 {
            return;
        }
        let drawn = ctx.draw().below(others) as usize;
        let to = NodeId::new(((self.id.index() + 1 + drawn) % ctx.nodes()) as u16);
        self.called = Some(to);
        self.call(to, ctx);
    }

    fn on_request(&mut self, id: RequestId, Request(text): Request, ctx: &mut Context<'_, Self>) {
        if !self.known.contains_key(&id) {
            self.tell(id, text, ctx);
        }
        ctx.respond(id, Response);
    }
}

impl Node {
    /// What it knows.
    pub fn known(&self) -> &SortedMap<Name, Rumor> {
        &self.known
    }

    /// What its clients have told it.
    pub fn told(&self) -> &SortedSet<Name> {
        &self.told
    }

    /// What it still pushes.
    pub fn hot(&self) -> impl Iterator<Item = &Name> {
        self.hot.keys()
    }

    /// How many rounds it has begun in its present life.
    pub fn rounds(&self) -> u64 {
        self.rounds
    }

    /// Whom it has called in this round.
    pub fn called(&self) -> Option<NodeId> {
        self.called
    }

    /// Whether a call tells both all that either knows.
    pub(crate) fn compares(&self) -> bool {
        self.config.style == Style::PushPull && self.config.interest.is_none()
    }

    fn tell(&mut self, name: Name, text: Text, ctx: &mut Context<'_, Self>) {
        let rumor = Rumor { name, text, born: self.rounds };
        ctx.append(rumor.clone());
        ctx.sync();
        self.told.insert(name);
        self.learn(rumor);
    }

    /// Whether it is news.
    fn learn(&mut self, rumor: Rumor) -> bool {
        let name = rumor.name;
        let is_new = self.known.insert(name, rumor).is_none();
        if is_new {
            self.hot.insert(name, 0);
        }
        is_new
    }

    /// Calls another: a round of section 1.3, of all that is known, or of 1.4, of what is hot.
    fn call(&self, to: NodeId, ctx: &mut Context<'_, Self>) {
        let Config { style, interest, backup, .. } = self.config;
        let backs_up = backup.is_some_and(|every| self.rounds.is_multiple_of(every.into()));
        let (push, pull) = match style {
            _ if backs_up => (true, true),
            Style::Push => (true, false),
            Style::Pull => (false, true),
            Style::PushPull => (true, true),
        };
        let all = backs_up || interest.is_none();
        let pushed = self.known.values().filter(|rumor| all || self.hot.contains_key(&rumor.name));
        let rumors: Vec<Rumor> = if push { pushed.cloned().collect() } else { Vec::new() };
        if !rumors.is_empty() || pull {
            let known = pull.then(|| self.known.keys().copied().collect());
            ctx.send(to, Message::Call(rumors, known));
        }
    }

    /// A call: what the caller lacks, and which of its rumors were no news.
    fn on_call(
        &mut self,
        from: NodeId,
        rumors: Vec<Rumor>,
        known: Option<&SortedSet<Name>>,
        ctx: &mut Context<'_, Self>,
    ) {
        let lacks = |known: &SortedSet<Name>| {
            let news = self.known.values().filter(|rumor| !known.contains(&rumor.name));
            news.cloned().collect::<Vec<_>>()
        };
        let news = known.map(lacks).unwrap_or_default();
        let mut in_vain = Vec::new();
        for rumor in rumors {
            let name = rumor.name;
            if !self.learn(rumor) {
                in_vain.push(name);
            }
        }
        let feeds_back = self.config.interest.is_some() && !in_vain.is_empty();
        if feeds_back || !news.is_empty() {
            ctx.send(from, Message::Answer(news, in_vain));
        }
    }

    /// These were known where it called: in vain once more.
    fn cool(&mut self, in_vain: &[Name], ctx: &mut Context<'_, Self>) {
        let Some(interest) = self.config.interest else { return };
        for name in in_vain {
            let Some(count) = self.hot.get_mut(name) else { continue };
            *count += 1;
            if interest <= *count {
                self.hot.remove(name);
                ctx.reach("rumor: it loses interest");
            }
        }
    }
}
