//! Tendermint (Buchman, Kwon and Milosevic, *The Latest Gossip on BFT Consensus*, 2018, algorithm
//! 1, cited by line): a replicated state machine some of whose validators lie, in rounds of two
//! votes.
//!
//! *Problem.* That of [`pbft`](crate::pbft): the cluster behaves as one copy of a key-value store,
//! whatever `f` validators do.
//!
//! *Model.* Links `FairLoss`; nodes `Byzantine`, at most `f` of `n = 3f + 1`; the others may crash
//! and come back; timing `Asynchronous` for safety, `PartiallySynchronous` for progress. Nobody can
//! sign for somebody else. With `f + 1` Byzantine validators two correct ones may disagree.
//!
//! *Idea.* Requests are decided one *height* after the other. In each *round* of a height one
//! validator proposes, all *prevote*, and all *precommit* what `2f + 1` prevoted (a *polka*); what
//! `2f + 1` precommitted is decided. Who precommits is *locked*, and prevotes nothing else, unless
//! it is shown a polka of a later round: so a decision stays, and nobody waits for ever. There is
//! no view change: what a new proposer must know, gossip brings.
//!
//! *Properties* (section 3.2), guarded by [`invariants`] but for the last two:
//! - `Once` a validator does not contradict itself: one prevote and one precommit a round (the
//!   steps of lines 22 to 46, on which lemma 2 rests);
//! - `Locked` who has precommitted a value prevotes another only if that has a polka of the same
//!   round or a later one (lines 23 and 29, on which lemma 3 rests);
//! - `Proof` what is decided `2f + 1` have precommitted, in the round of its proposal (line 49);
//! - `Polka` no two values have a polka in one round (lemma 2);
//! - `Proposer` what is prevoted in a round was proposed by its proposer (line 22);
//! - `Lock` after a decision, no other value has a polka in a later round of that height (lemma 3);
//! - `Agreement` no two validators decide different values at one height;
//! - `Linearizability` (judged on the history of the clients);
//! - `Termination` once the faults are over, whoever asks is answered.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Request`](Message::Request) | validator | all | a client asked this |
//! | [`Propose`](Message::Propose) | proposer | all | this value, and the round of its polka |
//! | [`Vote`](Message::Vote) | validator | all | prevote or precommit: this value, or nil |
//! | [`Decided`](Message::Decided) | validator | who is behind | the proof of a decision |
//!
//! *Journal records*: each [`Vote`](Record::Vote), with the [`State`](Record::State) of the height,
//! before it leaves; the [`Votes`](Record::Votes) of others that it has acted on, which are a polka
//! or what ended a round; a [`Decision`](Record::Decision) with its proof.
//!
//! *Deviations*
//! - What a validator knows of the current round and of the one before, and the polkas that locks
//!   and proposals refer to, it tells again from time to time: gossip, so that what one correct
//!   validator has acted on all receive (section 3.1). That holds after a crash too, so what it has
//!   acted on is durable; and it holds of two votes that contradict each other, since either may be
//!   part of a polka that others have seen.
//! - Heights begin when a request waits, or somebody else has begun. A proposer to whom nothing was
//!   said proposes a null request.
//! - Messages of later heights are dropped: who is behind is sent decisions.
//!
//! *Reading map*
//!
//! | algorithm 1 | here |
//! |---|---|
//! | lines 11 to 21, `StartRound` | `start_round` |
//! | 22, 28: to prevote, and the locking rule | `prevote`, `may_prevote` |
//! | 34 to 46: to precommit | `precommit` |
//! | 47 to 54: to decide | `decide` |
//! | 55: a later round | `skip` |
//! | 57 to 67, time-outs | `on_timer` |

mod invariants;
mod rounds;
mod statements;
mod strategies;

use crate::kv::{Answer, Command};
use crate::pbft::{Ask, Machine};
use seedfall_sim::{
    ClientId, Context, Draw, Duration, NodeId, Protocol, RequestId, Signed, Signer, SortedMap,
    SortedSet, Strategy,
};

pub use invariants::{Invariants, invariants};
pub use statements::{Decision, Kind, Message, Proposal, Record, Vote};

/// The parameters, equal on all validators.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// How many Byzantine validators are to be survived: `f`.
    pub faulty: usize,
    /// How long a step of the first round waits for messages; longer by half of that in each later
    /// round.
    pub patience: Duration,
    /// How often a validator tells again what it knows.
    pub gossip: Duration,
}

/// Number of a decision, from zero on.
pub type Height = u64;
/// Number of a round within a height, from zero on.
pub type Round = u64;
/// What identifies a value: a hash of it. None is nil.
pub type Id = u64;

/// Where in a round a validator is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Waits for the proposal.
    #[default]
    Propose,
    /// Has prevoted.
    Prevote,
    /// Has precommitted.
    Precommit,
}

/// A validator's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A step of a round lasts too long.
    Step(Height, Round, Step),
    /// Tell what is known.
    Gossip,
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request(pub Command);

/// What a client is told; it believes what `f + 1` validators say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Response(pub Answer);

/// What a validator is at, at one height (lines 2 to 9).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// `h_p`
    pub height: Height,
    /// `round_p`
    pub round: Round,
    /// `step_p`
    pub step: Step,
    /// `lockedRound_p` and `lockedValue_p`
    pub locked: Option<(Round, Id)>,
    /// `validRound_p` and `validValue_p`
    pub valid: Option<(Round, Option<Ask>)>,
}

/// One validator.
#[derive(Clone, Debug)]
pub struct Validator {
    id: NodeId,
    nodes: usize,
    config: Config,
    state: State,
    /// Whether this height has begun for it.
    running: bool,
    /// The proposals of this height: of a correct proposer one a round.
    proposals: SortedMap<Round, Vec<Signed<Proposal>>>,
    /// The votes of this height: of a correct validator one of each kind in a round.
    votes: SortedMap<(Round, Kind, NodeId, Option<Id>), Signed<Vote>>,
    decisions: Vec<Decision>,
    machine: Machine,
    /// The timers that were set at this height, once each.
    waited: SortedSet<Timer>,
    /// Requests that are not executed yet, the last of each client.
    pending: SortedMap<ClientId, Ask>,
    /// Its own votes of this height. Nothing depends on this and the next three: whoever watches
    /// may ask.
    own: SortedMap<(Round, Kind), Option<Id>>,
    /// In which round two of them contradict each other.
    contradicted: Option<(Round, Kind)>,
    /// The last value that it has precommitted at this height.
    precommitted: Option<(Round, Id)>,
    /// The last value that it has prevoted at this height in this life.
    prevoted: Option<Prevoted>,
}

/// A prevote for a value, for whoever watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prevoted {
    /// In which round.
    pub round: Round,
    /// For which value.
    pub id: Id,
    /// The last value that it had precommitted until then, and in which round.
    pub precommitted: Option<(Round, Id)>,
}

impl Protocol for Validator {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        assert!(config.faulty * 3 < ctx.nodes(), "n = 3f + 1");
        let mut validator = Self {
            id,
            nodes: ctx.nodes(),
            config: config.clone(),
            state: State::default(),
            running: false,
            proposals: SortedMap::new(),
            votes: SortedMap::new(),
            decisions: Vec::new(),
            machine: Machine::default(),
            waited: SortedSet::new(),
            pending: SortedMap::new(),
            own: SortedMap::new(),
            contradicted: None,
            precommitted: None,
            prevoted: None,
        };
        if !journal.is_empty() {
            validator.recover(journal, ctx);
        }
        validator
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match message {
            Message::Request(ask) => self.take(ask, ctx),
            Message::Propose(proposal) => self.on_proposal(from, proposal, ctx),
            Message::Vote(vote) => self.on_vote(from, vote, ctx),
            Message::Decided(decision) => self.on_decided(decision, ctx),
        }
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) {
        match timer {
            Timer::Step(height, round, step) => self.on_late(height, round, step, ctx),
            Timer::Gossip => self.gossip(ctx),
        }
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
        self.running && self.proposer(self.state.round) == self.id
    }

    fn waits(&self) -> String {
        let State { height, round, step, locked, .. } = &self.state;
        match self.running {
            false => String::new(),
            true => format!("height {height}, round {round}, {step:?}, locked on {locked:?}"),
        }
    }

    fn falsify(message: &mut Message, me: Signer, draw: &mut Draw) -> bool {
        statements::falsify(message, me, draw)
    }

    fn strategies() -> Vec<Strategy<Self>> {
        strategies::all()
    }
}

impl Validator {
    /// What it is at.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What is decided, by height.
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// The values that have a polka at this height, by round.
    pub fn polkas(&self) -> impl Iterator<Item = (Round, Id)> {
        let mut rounds: Vec<Round> = self.votes.keys().map(|(round, ..)| *round).collect();
        rounds.dedup();
        rounds.into_iter().filter_map(|round| {
            let id = self.quorum_for(round, Kind::Prevote)?;
            Some((round, id?))
        })
    }

    /// In which round it has voted for two things, if it has.
    pub fn contradicted(&self) -> Option<(Round, Kind)> {
        self.contradicted
    }

    /// The last value that it has prevoted at this height in this life.
    pub fn prevoted(&self) -> Option<Prevoted> {
        self.prevoted
    }

    fn quorum(&self) -> usize {
        2 * self.config.faulty + 1
    }

    /// Proposers take turns, through heights and rounds.
    fn proposer(&self, round: Round) -> NodeId {
        NodeId::new(((self.state.height + round) % self.nodes as u64) as u16)
    }

    /// The votes of a kind in a round.
    fn votes_of(&self, round: Round, kind: Kind) -> impl Iterator<Item = &Signed<Vote>> + Clone {
        let first = (round, kind, NodeId::new(0), None);
        let of_round = self.votes.range(first..);
        of_round.take_while(move |(key, _)| (key.0, key.1) == (round, kind)).map(|(_, vote)| vote)
    }

    /// What `2f + 1` have voted for in a round.
    fn quorum_for(&self, round: Round, kind: Kind) -> Option<Option<Id>> {
        let voted = self.votes_of(round, kind).map(|vote| vote.value().id);
        let count = |id| voted.clone().filter(|other| *other == id).count();
        voted.clone().filter(|id| self.quorum() <= count(*id)).min()
    }

    /// How many have voted in a round, whatever for.
    fn voters(&self, round: Round, kind: Kind) -> usize {
        self.votes_of(round, kind).map(Signed::by).collect::<SortedSet<_>>().len()
    }

    /// The proposal of a round that has this value.
    fn proposal(&self, round: Round, id: Id) -> Option<&Signed<Proposal>> {
        self.proposals.get(&round)?.iter().find(|proposal| proposal.value().id() == id)
    }
}
