//! Chained `HotStuff` (Yin, Malkhi, Reiter, Golan Gueta and Abraham, *`HotStuff`: BFT Consensus
//! with Linearity and Responsiveness*, PODC 2019, cited by section): a replicated state machine
//! some of whose replicas lie, whose leaders take turns.
//!
//! *Problem.* That of [`pbft`](crate::pbft): the cluster behaves as one copy of a key-value store,
//! whatever `f` replicas do; and to replace a leader takes no more than to go on.
//!
//! *Model.* Links `FairLoss`; nodes `Byzantine`, at most `f` of `n = 3f + 1`; the others may crash
//! and come back; timing `Asynchronous` for safety, `PartiallySynchronous` for progress. Nobody can
//! sign for somebody else. With `f + 1` Byzantine replicas two correct ones may disagree.
//!
//! *Idea.* Each view has a leader, who proposes a *block*: a request behind a *parent*, with a
//! *quorum certificate* for that parent, which is the votes of `2f + 1` replicas. One vote serves
//! three phases at once: a certificate for a block prepares it, pre-commits its parent, commits its
//! grandparent. A replica *locks* on the parent of what is certified, and votes against it only if
//! shown a later certificate. Three certified blocks in three consecutive views decide the first.
//!
//! *Properties* (section 4.5, theorem 2), guarded by [`invariants`] but for the last two:
//! - `Safe` what a replica votes for extends what it is locked on, or shows a later certificate
//!   (`safeNode`, on which the proof rests);
//! - `One a view` two different blocks are never certified in one view (lemma 1);
//! - `Chain` what a replica decides heads three certified blocks of consecutive views (algorithm
//!   3);
//! - `Branch` what is certified after a decision extends what was decided;
//! - `Proved` a replica votes for blocks of leaders alone, and goes by certificates that `2f + 1`
//!   have signed;
//! - `Kept` no more than `f` forget, in a crash, what they have voted for and were locked on then;
//! - `Agreement` no two replicas decide different blocks at one height;
//! - `Linearizability` (judged on the history of the clients);
//! - `L1` once the faults are over, whoever asks is answered.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Request`](Message::Request) | replica | all | a client asked this |
//! | [`Propose`](Message::Propose) | leader | all | a block, which carries a certificate |
//! | [`Vote`](Message::Vote) | replica | next leader | this block may follow what I know |
//! | [`Timeout`](Message::Timeout) | replica | all | this view is over; my highest certificate |
//! | [`Fetch`](Message::Fetch) | replica | all | who has this block? |
//! | [`Block`](Message::Block) | replica | replica | I do |
//!
//! *Journal record*: a [`Voted`](Record::Voted) block with the lock and the highest certificate
//! after it, synced before the vote leaves.
//!
//! *Deviations*
//! - The leader of the next view gets the votes (the pipelined form, section 5). A leader leads
//!   several views in a row: if it were one each, a leader that is down would take the votes of one
//!   view and the block of the next, and of four replicas there would never be three certificates
//!   in a row. Who gives up a view gives up its leader.
//! - There are no dummy blocks for views without one (5): blocks know their view, and the rule that
//!   three must follow each other directly is that their views do.
//! - `new-view` (section 4) goes to all, is said again, and makes who hears `2f + 1` of them, or
//!   votes, enter the next view; who hears `f + 1` of a later view joins. The paper leaves the
//!   pacemaker (7) open: this one is that of `LibraBFT` in short.
//! - Views go on only while something waits: a request, or blocks that are not decided yet.
//! - A certificate is a list of votes (no threshold signatures, 2).
//!
//! *Reading map*
//!
//! | paper | here |
//! |---|---|
//! | algorithm 1, `safeNode` | `is_safe` |
//! | algorithm 3, the chained form: a leader | `pacemaker`: `propose` |
//! | algorithm 3, a replica: votes, locks, decides | `on_proposal`, `update` |
//! | algorithm 5, the pacemaker | `pacemaker` |

mod blocks;
mod invariants;
mod pacemaker;
mod strategies;

use crate::kv::{Answer, Command};
use crate::pbft::{Ask, Machine};
use seedfall_sim::{
    ClientId, Context, Draw, Duration, NodeId, Protocol, RequestId, Signed, Signer, SortedMap,
    SortedSet, Strategy,
};

pub use blocks::{Block, Certificate, Hash, Message, Record, View, Vote};
pub use invariants::{Invariants, invariants};

/// The parameters, equal on all replicas.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// How many Byzantine replicas are to be survived: `f`.
    pub faulty: usize,
    /// For how many views in a row a leader leads: at least four, so that one leader alone can
    /// collect three certificates in consecutive views, and show the third.
    pub leads: u64,
    /// Who leads the first views, one each; afterwards leaders take turns. None, but for tests that
    /// choose.
    pub leaders: Vec<NodeId>,
    /// How long a replica waits for the end of a view; half as long again after each in vain.
    pub patience: Duration,
}

/// A replica's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// The view lasts too long.
    Patience,
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request(pub Command);

/// What a client is told; it believes what `f + 1` replicas say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Response(pub Answer);

/// One replica.
#[derive(Clone, Debug)]
pub struct Replica {
    id: NodeId,
    config: Config,
    /// In which view it is.
    view: View,
    /// The last view in which it has voted.
    voted: View,
    /// For which block, and what it was locked on then. Nothing depends on it: whoever watches may
    /// ask.
    choice: Option<(Hash, Certificate)>,
    /// `lockedQC`.
    locked: Certificate,
    /// `highQC`.
    high: Certificate,
    /// Every block that it has seen, by hash.
    blocks: SortedMap<Hash, Signed<Block>>,
    /// Proposals whose parent is missing.
    orphans: Vec<Signed<Block>>,
    /// What is decided, in order, and the last of it.
    decided: Vec<Hash>,
    /// A block that is decided, whose ancestors are missing.
    goal: Option<Hash>,
    machine: Machine,
    /// As the leader of the next view: who has voted for what.
    votes: SortedMap<NodeId, Signed<Vote>>,
    /// The highest view of which each replica has said that it is over.
    timeouts: SortedMap<NodeId, View>,
    /// The last view in which it has proposed.
    proposed: View,
    /// Requests that are not executed yet, the last of each client.
    pending: SortedMap<ClientId, Ask>,
    /// How many views in a row were in vain.
    vain: u32,
}

impl Protocol for Replica {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        assert!(config.faulty * 3 < ctx.nodes(), "n = 3f + 1");
        assert!(0 < config.leads, "somebody leads");
        let mut replica = Self {
            id,
            config: config.clone(),
            view: 1,
            voted: 0,
            choice: None,
            locked: Certificate::default(),
            high: Certificate::default(),
            blocks: SortedMap::new(),
            orphans: Vec::new(),
            decided: Vec::new(),
            goal: None,
            machine: Machine::default(),
            votes: SortedMap::new(),
            timeouts: SortedMap::new(),
            proposed: 0,
            pending: SortedMap::new(),
            vain: 0,
        };
        if !journal.is_empty() {
            replica.recover(journal, ctx);
        }
        replica
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match message {
            Message::Request(ask) => self.take(ask, ctx),
            Message::Propose(block) => self.on_proposal(block, ctx),
            Message::Vote(vote) => self.on_vote(vote, ctx),
            Message::Timeout { view, high } => self.on_timeout(from, view, high, ctx),
            Message::Fetch(hash) => match self.blocks.get(&hash) {
                Some(block) => ctx.send(from, Message::Block(block.clone())),
                None => ctx.ignore("fetch: it is not here"),
            },
            Message::Block(block) => self.on_block(block, ctx),
        }
    }

    fn on_timer(&mut self, Timer::Patience: Timer, ctx: &mut Context<'_, Self>) {
        self.on_patience(ctx);
    }

    fn on_request(
        &mut self,
        id: RequestId,
        Request(command): Request,
        ctx: &mut Context<'_, Self>,
    ) {
        let ask = Ask { id, command };
        ctx.broadcast(Message::Request(ask.clone()));
        self.take(ask, ctx);
    }

    fn is_leader(&self) -> bool {
        self.leader(self.view) == self.id
    }

    fn waits(&self) -> String {
        if !self.is_busy() {
            return String::new();
        }
        let said = self.timeouts.values().filter(|view| self.view <= **view).count();
        let (view, high) = (self.view, self.high.view);
        format!("view {view}, highest certificate of {high}: {said} say that the view is over")
    }

    fn falsify(message: &mut Message, me: Signer, draw: &mut Draw) -> bool {
        blocks::falsify(message, me, draw)
    }

    fn strategies() -> Vec<Strategy<Self>> {
        strategies::all()
    }
}

impl Replica {
    /// A block that it has seen.
    pub fn block(&self, hash: Hash) -> Option<&Block> {
        self.blocks.get(&hash).map(Signed::value)
    }

    /// What is decided, in order.
    pub fn decided(&self) -> &[Hash] {
        &self.decided
    }

    /// The highest certificate, and the one that it is locked on.
    pub fn certificates(&self) -> [&Certificate; 2] {
        [&self.high, &self.locked]
    }

    /// The block that it has voted for last in this life, and what it was locked on then.
    pub fn choice(&self) -> Option<&(Hash, Certificate)> {
        self.choice.as_ref()
    }

    fn quorum(&self) -> usize {
        2 * self.config.faulty + 1
    }

    /// The votes for the genesis need not be shown.
    fn is_certificate(&self, certificate: &Certificate) -> bool {
        let Certificate { view, block, votes } = certificate;
        let expected = Vote { view: *view, block: *block };
        let by: SortedSet<NodeId> = votes.iter().map(Signed::by).collect();
        *certificate == Certificate::default()
            || (self.quorum() <= by.len() && votes.iter().all(|vote| *vote.value() == expected))
    }

    /// Whether a block is, or descends from, another, as far as its ancestors are here.
    fn extends(&self, mut hash: Hash, other: Hash) -> bool {
        loop {
            if hash == other {
                return true;
            }
            match self.block(hash) {
                Some(block) => hash = block.parent,
                None => return other == Hash::default() && hash == other,
            }
        }
    }

    /// `safeNode`: it extends the block that this replica is locked on, or its certificate is later
    /// than the lock.
    fn is_safe(&self, block: &Block) -> bool {
        let Some(justify) = &block.justify else { return false };
        self.extends(block.parent, self.locked.block) || self.locked.view < justify.view
    }

    /// A leader's block: votes for it, if it may follow what is known.
    fn on_proposal(&mut self, proposal: Signed<Block>, ctx: &mut Context<'_, Self>) {
        let block = proposal.value().clone();
        if proposal.by() != self.leader(block.view) {
            return ctx.ignore("proposal: not the leader's");
        }
        let Some(justify) = &block.justify else {
            return ctx.ignore("proposal: without a certificate");
        };
        if !self.is_certificate(justify) || block.view <= justify.view {
            return ctx.ignore("proposal: its certificate proves nothing");
        }
        if block.parent != justify.block {
            return ctx.ignore("proposal: its parent is not what is certified");
        }
        // What the lock will be is said by the parent.
        if self.block(block.parent).is_none() && block.parent != Hash::default() {
            ctx.reach("proposal: its parent is missing");
            ctx.broadcast(Message::Fetch(block.parent));
            if !self.orphans.contains(&proposal) {
                self.orphans.push(proposal);
            }
            return;
        }
        self.blocks.insert(block.hash(), proposal.clone());
        self.update(justify, ctx);
        self.raise(justify.clone(), ctx);
        if block.view < self.view || block.view <= self.voted {
            return ctx.ignore("proposal: of a view that is over, or voted in");
        }
        if !self.is_safe(&block) {
            return ctx.reach("proposal: against the lock");
        }
        self.enter(block.view, ctx);
        self.voted = block.view;
        self.choice = Some((block.hash(), self.locked.clone()));
        ctx.append(Record::Voted {
            block: proposal,
            locked: self.locked.clone(),
            high: self.high.clone(),
        });
        ctx.sync();
        let vote = ctx.sign(Vote { view: block.view, block: block.hash() });
        let next = self.leader(block.view + 1);
        if next == self.id {
            self.on_vote(vote, ctx);
        } else {
            ctx.send(next, Message::Vote(vote));
        }
        self.be_patient(ctx);
    }

    /// What follows from a certificate: the lock, and what is decided.
    fn update(&mut self, certificate: &Certificate, ctx: &mut Context<'_, Self>) {
        let Some(last) = self.block(certificate.block).cloned() else { return };
        let Some(second) = last.justify else { return };
        if self.locked.view < second.view {
            self.locked = second.clone();
        }
        let Some(middle) = self.block(second.block).cloned() else { return };
        let Some(third) = middle.justify else { return };
        // Three in a row, each certified by the next.
        if last.view == middle.view + 1 && middle.view == third.view + 1 {
            self.decide(third.block, ctx);
        } else {
            ctx.reach("update: three certified blocks, not in consecutive views");
        }
    }

    /// Decides a block, and with it all of its ancestors.
    fn decide(&mut self, hash: Hash, ctx: &mut Context<'_, Self>) {
        let mut path = Vec::new();
        let mut next = hash;
        let last = self.decided.last().copied().unwrap_or_default();
        while next != last {
            if self.decided.contains(&next) || next == Hash::default() {
                return; // Decided before; if it is not, the monitor will tell.
            }
            let Some(block) = self.block(next) else {
                ctx.reach("decide: an ancestor is missing");
                self.goal = Some(hash);
                return ctx.broadcast(Message::Fetch(next));
            };
            path.push(next);
            next = block.parent;
        }
        self.goal = None;
        for hash in path.into_iter().rev() {
            self.decided.push(hash);
            let Some(ask) = self.block(hash).and_then(|block| block.ask.clone()) else { continue };
            let client = ask.id.client;
            if self.pending.get(&client).is_some_and(|other| other.id.number <= ask.id.number) {
                self.pending.remove(&client);
            }
            match self.machine.execute(&ask) {
                Some(answer) => ctx.respond(ask.id, Response(answer)),
                None => ctx.reach("decide: a request that was executed before"),
            }
        }
        self.vain = 0;
    }

    /// A block that was missing.
    fn on_block(&mut self, proposal: Signed<Block>, ctx: &mut Context<'_, Self>) {
        let block = proposal.value();
        if self.blocks.contains_key(&block.hash()) {
            return ctx.ignore("block: it is here");
        }
        let is_sound = proposal.by() == self.leader(block.view)
            && block.justify.as_ref().is_some_and(|one| {
                self.is_certificate(one) && one.block == block.parent && one.view < block.view
            });
        if !is_sound {
            return ctx.ignore("block: not a leader's, or not certified");
        }
        self.blocks.insert(block.hash(), proposal);
        for orphan in std::mem::take(&mut self.orphans) {
            self.on_proposal(orphan, ctx);
        }
        if let Some(goal) = self.goal {
            self.decide(goal, ctx);
        }
    }

    /// After a crash: what it has voted for, with its lock, is in the journal; the rest it is told.
    fn recover(&mut self, journal: &[Record], ctx: &mut Context<'_, Self>) {
        ctx.reach("recovery: from a journal");
        for Record::Voted { block, locked, high } in journal {
            self.voted = block.value().view;
            self.blocks.insert(block.value().hash(), block.clone());
            (self.locked, self.high) = (locked.clone(), high.clone());
        }
        self.view = self.voted.max(self.high.view + 1);
        self.update(&self.high.clone(), ctx);
        ctx.set_timer(Timer::Patience, self.config.patience);
    }
}
