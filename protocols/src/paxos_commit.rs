//! Paxos Commit (Gray and Lamport, *Consensus on Transaction Commit*, TODS 2006, cited by section):
//! atomic commitment that no single coordinator can hold up.
//!
//! *Problem.* Resource managers (*RMs*) agree to commit or to abort a transaction, each of which
//! may refuse. In two-phase commit those that voted wait for a coordinator that is down; here they
//! wait for nobody, as long as a majority of the *acceptors* is up.
//!
//! *Model.* Links `FairLoss`; nodes `CrashRecovery`, any number down for safety; timing
//! `Asynchronous` for safety. For progress a quorum of the `2f + 1` acceptors is up, and leaders do
//! not overtake each other for a while, which random pauses bring about.
//!
//! *Idea.* Each RM's vote is a value of its own, chosen by Paxos: one *instance* an RM, all with
//! the same acceptors and leaders. In ballot 0 the RM itself proposes, and needs no phase 1: nobody
//! else proposes there. The transaction is committed if *prepared* is chosen in all instances, and
//! aborted if *aborted* is chosen in one. A leader that hears nothing of some of them takes a
//! higher ballot, in all instances at once: it proposes what may be chosen already, and *aborted*
//! where nothing may. With one acceptor (`f` = 0) it is two-phase commit (section 5), and blocks
//! like it.
//!
//! *Properties* (section 2 and 4.1), guarded by [`invariants`] but for the last two:
//! - AC1 all RMs that reach a decision reach the same one (*consistency*);
//! - AC2 an RM reverses neither its vote nor its decision, crash or no crash (*stability*);
//! - AC3 commit is decided only if all RMs are prepared;
//! - P1a an acceptor accepts nothing below the ballot that it has promised, and promises what it
//!   accepts;
//! - P2b if a vote is chosen in an instance, every higher ballot proposes the same there;
//! - AC5 what a client was told is what is decided (judged on the history, at the end of the run);
//! - NB each RM that is up and voted decides, once a quorum of acceptors can talk (*non-blocking*;
//!   judged at the end of the run).
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Prepare`](Message::Prepare) | leader of ballot 0 | RMs | vote |
//! | [`Phase2a`](Message::Phase2a) | RM, a later leader | acceptors | accept these votes |
//! | [`Phase2b`](Message::Phase2b) | acceptor | leader | I did, durably |
//! | [`Phase1a`](Message::Phase1a) | a later leader | all | promise this, or tell the decision |
//! | [`Phase1b`](Message::Phase1b) | acceptor | later leader | I do, and I accepted these |
//! | [`Refused`](Message::Refused) | acceptor | later leader | I promised a higher one |
//! | [`Decision`](Message::Decision) | who knows it | all, or who asks | commit or abort |
//!
//! *Journal records* ([`Record`]), each synced before anything is said of it.
//!
//! *Deviations*
//! - There is no data: a request says which RM refuses. What is voted on is two-phase commit's
//!   affair, see [`two_phase_commit`](crate::two_phase_commit). Every node is an RM of every
//!   transaction, and the first ones are acceptors too.
//! - The paper has one leader elected for all transactions. Here a node begins what it is asked
//!   for, and every RM that waits too long leads, a random time after it voted, a ballot of its
//!   own. A leader notes its ballot before it uses it, acceptor or not: no number is used twice.
//! - An acceptor's 2b messages of ballot 0 are bundled (4.2) until all RMs have voted, or one has
//!   refused, which decides alone.
//! - Nothing is sent again: the next ballot does it. It is announced to all RMs, so that one that
//!   knows the decision tells it, whichever acceptors are down.
//!
//! *What a client must do.* Ask any node; ask again, the same or another, under the same request,
//! which names the transaction.
//!
//! *Reading map*
//!
//! | paper | here |
//! |---|---|
//! | 4.2, the resource managers | `on_prepare`, `vote`, `settle` |
//! | 4.1, phase 1b and 2b; 4.2, bundling | `acceptor` |
//! | 4.2, the leader; ballots above 0 | `leader`: `lead`, `on_phase_1b`, `on_phase_2b` |

mod acceptor;
mod invariants;
mod leader;

use acceptor::Acceptor;
use leader::Leading;
use seedfall_sim::{Context, Duration, NodeId, Protocol, RequestId, SortedMap};
use std::collections::VecDeque;

pub use crate::multi_paxos::Ballot;
pub use crate::three_phase_commit::{Request, TransactionId};
pub use invariants::{Invariants, invariants};

/// The parameters, equal on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// How many nodes are acceptors, the first ones: `2f + 1`.
    pub acceptors: usize,
    /// How many of them make a quorum: `f + 1`, a majority. It is not asked for, so that a scenario
    /// can show what happens otherwise.
    pub quorum: usize,
    /// How long an RM that voted waits for a decision before it leads a ballot: at least.
    pub patience_min: Duration,
    /// And less than.
    pub patience_max: Duration,
}

/// The value of an instance: what its RM votes, or is made to have voted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Vote {
    /// It will commit, whatever happens to it.
    Prepared,
    /// It will not.
    Aborted,
}

/// Where an RM is in a transaction. One that is *working* (section 2) has no state here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It has voted that it will commit.
    Prepared,
    /// It knows that it is committed.
    Committed,
    /// It has refused, or knows that it is aborted.
    Aborted,
}

/// What nodes tell each other, each about one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// Vote on this, and let the acceptors tell me.
    Prepare {
        /// Who must refuse it.
        refused_by: Option<NodeId>,
    },
    /// Accept these votes.
    Phase2a {
        /// In this ballot.
        ballot: Ballot,
        /// In ballot 0 the sender's own vote; else one of every RM.
        votes: Vec<(NodeId, Vote)>,
        /// Whom to tell.
        leader: NodeId,
    },
    /// These are accepted.
    Phase2b {
        /// In this ballot.
        ballot: Ballot,
        /// Which.
        votes: Vec<(NodeId, Vote)>,
    },
    /// Promise to accept nothing below this ballot.
    Phase1a {
        /// Which.
        ballot: Ballot,
    },
    /// Promised.
    Phase1b {
        /// Which.
        ballot: Ballot,
        /// What the sender accepted last in each instance, and in which ballot.
        accepted: Vec<(NodeId, (Ballot, Vote))>,
    },
    /// A higher ballot is promised.
    Refused {
        /// Which.
        promised: Ballot,
    },
    /// It is decided.
    Decision {
        /// Whether it is committed.
        commit: bool,
    },
}

/// A node's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// It has waited long enough for a decision on this.
    Patience(TransactionId),
}

/// What a node writes to its journal, of one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Record {
    /// As an RM: how it votes.
    Voted(Vote),
    /// It accepts nothing below this ballot; or it leads it.
    Promised(Ballot),
    /// As an acceptor: it has accepted these votes.
    Accepted(Ballot, Vec<(NodeId, Vote)>),
    /// As an RM: it is decided, and whether committed.
    Decided(bool),
}

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Response {
    /// It is committed.
    Committed,
    /// It is aborted.
    Aborted,
}

/// A transaction at one node, in all of its roles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Transaction {
    /// The RM's; none: it is working.
    state: Option<State>,
    /// How the RM has voted.
    vote: Option<Vote>,
    acceptor: Acceptor,
    /// The ballot that it leads.
    leading: Option<Leading>,
    /// A client waits for the decision here.
    is_asked_for: bool,
    /// How many records it has written of this.
    written: usize,
}

/// One node: an RM, at times a leader, and an acceptor if it is one of the first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    id: NodeId,
    /// How many nodes there are, all of them RMs.
    nodes: usize,
    config: Config,
    transactions: SortedMap<TransactionId, Transaction>,
    /// How many records it has written.
    written: usize,
    /// What the node tells itself; empty between two handlers.
    to_self: VecDeque<(TransactionId, Message)>,
}

impl Protocol for Node {
    type Config = Config;
    type Message = (TransactionId, Message);
    type Timer = Timer;
    type Record = (TransactionId, Record);
    type Request = Request;
    type Response = Response;

    fn start(
        id: NodeId,
        config: &Config,
        journal: &[(TransactionId, Record)],
        ctx: &mut Context<'_, Self>,
    ) -> Self {
        let nodes = ctx.nodes();
        config.check(nodes);
        let (transactions, written) = (SortedMap::new(), journal.len());
        let mut node =
            Self { id, nodes, config: *config, transactions, written, to_self: VecDeque::new() };
        for (id, record) in journal {
            let transaction = node.transaction(*id);
            transaction.written += 1;
            match record {
                Record::Voted(vote) => transaction.vote(*vote),
                Record::Promised(ballot) => transaction.acceptor.promise(*ballot),
                Record::Accepted(ballot, votes) => transaction.acceptor.accept(*ballot, votes),
                Record::Decided(commit) => transaction.state = Some(State::decided(*commit)),
            }
        }
        for (id, _) in node.states().filter(|(_, state)| *state == State::Prepared) {
            ctx.reach("recovery: an RM comes back prepared");
            node.wait(id, ctx);
        }
        node
    }

    /// Whoever is asked first begins; nobody votes twice, whoever else begins.
    fn on_request(&mut self, request: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        match self.state(request) {
            Some(State::Prepared) => {
                self.transaction(request).is_asked_for = true;
                return ctx.ignore("request: already under way");
            }
            Some(decided) => return ctx.respond(request, decided.response()),
            None => {}
        }
        self.transaction(request).is_asked_for = true;
        let Request { refused_by } = body;
        if refused_by == Some(self.id) {
            return self.settle(request, false, ctx); // Nobody else has heard of it.
        }
        self.begin(request, refused_by, ctx);
        self.tell_self(ctx);
    }

    fn on_message(
        &mut self,
        from: NodeId,
        (id, message): (TransactionId, Message),
        ctx: &mut Context<'_, Self>,
    ) {
        self.receive(from, id, message, ctx);
        self.tell_self(ctx);
    }

    /// Nobody has told this RM: it takes the lead.
    fn on_timer(&mut self, Timer::Patience(id): Timer, ctx: &mut Context<'_, Self>) {
        self.wait(id, ctx);
        self.lead(id, ctx);
        self.tell_self(ctx);
    }

    /// Who leads here is whoever leads a ballot of something.
    fn is_leader(&self) -> bool {
        self.transactions.values().any(|one| one.leading.is_some())
    }

    fn waits(&self) -> String {
        let prepared =
            self.transactions.iter().filter(|(_, one)| one.state == Some(State::Prepared));
        let words = prepared.map(|(id, one)| match &one.leading {
            None => format!("{id}: for a decision"),
            Some(leading) => format!("{id}: {leading}"),
        });
        words.collect::<Vec<_>>().join("; ")
    }
}

/// The resource manager (4.2).
impl Node {
    fn on_prepare(
        &mut self,
        leader: NodeId,
        id: TransactionId,
        refuses: bool,
        ctx: &mut Context<'_, Self>,
    ) {
        match self.state(id) {
            None => self.vote(id, if refuses { Vote::Aborted } else { Vote::Prepared }, ctx),
            Some(State::Prepared) => ctx.reach("prepare: two nodes have begun it"),
            Some(decided) => {
                let commit = decided == State::Committed;
                return self.send(leader, id, Message::Decision { commit }, ctx);
            }
        }
        let vote = if refuses { Vote::Aborted } else { Vote::Prepared };
        let (ballot, votes) = (Ballot::default(), vec![(self.id, vote)]);
        self.send_acceptors(id, &Message::Phase2a { ballot, votes, leader }, ctx);
    }

    /// Before anybody hears of it. Who refuses has decided: no other vote is proposed for it.
    fn vote(&mut self, id: TransactionId, vote: Vote, ctx: &mut Context<'_, Self>) {
        self.transaction(id).vote(vote);
        self.write(id, Record::Voted(vote), ctx);
        if vote == Vote::Prepared {
            self.wait(id, ctx);
        }
    }

    fn on_decision(&mut self, id: TransactionId, commit: bool, ctx: &mut Context<'_, Self>) {
        if self.state(id).is_some_and(State::is_decided) {
            return ctx.ignore("decision: known already");
        }
        self.settle(id, commit, ctx);
    }

    /// It is decided, here too.
    fn settle(&mut self, id: TransactionId, commit: bool, ctx: &mut Context<'_, Self>) {
        self.write(id, Record::Decided(commit), ctx);
        ctx.cancel_timer(Timer::Patience(id));
        let (state, transaction) = (State::decided(commit), self.transaction(id));
        (transaction.state, transaction.leading) = (Some(state), None);
        if std::mem::take(&mut transaction.is_asked_for) {
            ctx.respond(id, state.response());
        }
    }

    /// Waits for a decision, not as long as others do.
    fn wait(&self, id: TransactionId, ctx: &mut Context<'_, Self>) {
        let Config { patience_min, patience_max, .. } = self.config;
        let patience = ctx.draw().duration(patience_min..patience_max);
        ctx.set_timer(Timer::Patience(id), patience);
    }
}

/// What all roles share.
impl Node {
    fn receive(
        &mut self,
        from: NodeId,
        id: TransactionId,
        message: Message,
        ctx: &mut Context<'_, Self>,
    ) {
        match message {
            Message::Prepare { refused_by } => {
                self.on_prepare(from, id, refused_by == Some(self.id), ctx);
            }
            Message::Phase2a { ballot, votes, leader } => {
                self.on_phase_2a(leader, id, ballot, votes, ctx);
            }
            Message::Phase2b { ballot, votes } => self.on_phase_2b(from, id, ballot, &votes, ctx),
            Message::Phase1a { ballot } => self.on_phase_1a(from, id, ballot, ctx),
            Message::Phase1b { ballot, accepted } => {
                self.on_phase_1b(from, id, ballot, accepted, ctx);
            }
            Message::Refused { promised } => self.on_refused(id, promised, ctx),
            Message::Decision { commit } => self.on_decision(id, commit, ctx),
        }
    }

    /// Sends a message; what a node tells itself arrives when the handler is done.
    fn send(
        &mut self,
        to: NodeId,
        id: TransactionId,
        message: Message,
        ctx: &mut Context<'_, Self>,
    ) {
        if to == self.id {
            self.to_self.push_back((id, message));
        } else {
            ctx.send(to, (id, message));
        }
    }

    fn send_acceptors(&mut self, id: TransactionId, to_all: &Message, ctx: &mut Context<'_, Self>) {
        for acceptor in NodeId::all(self.config.acceptors) {
            self.send(acceptor, id, to_all.clone(), ctx);
        }
    }

    fn tell_self(&mut self, ctx: &mut Context<'_, Self>) {
        while let Some((id, message)) = self.to_self.pop_front() {
            self.receive(self.id, id, message, ctx);
        }
    }

    /// Durably, before anything is said of it.
    fn write(&mut self, id: TransactionId, record: Record, ctx: &mut Context<'_, Self>) {
        self.written += 1;
        self.transaction(id).written += 1;
        ctx.append((id, record));
        ctx.sync();
    }

    fn transaction(&mut self, id: TransactionId) -> &mut Transaction {
        self.transactions.entry(id).or_default()
    }
}

/// What reports and scenarios ask of a node.
impl Node {
    /// Every transaction on which its RM has voted or decided, and where it is.
    pub fn states(&self) -> impl Iterator<Item = (TransactionId, State)> {
        self.transactions.iter().filter_map(|(id, one)| Some((*id, one.state?)))
    }

    /// Where its RM is in a transaction; none: it is working.
    pub fn state(&self, id: TransactionId) -> Option<State> {
        self.transactions.get(&id)?.state
    }

    /// Its parameters.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

impl State {
    /// Whether it is final.
    pub fn is_decided(self) -> bool {
        self != Self::Prepared
    }

    fn decided(commit: bool) -> Self {
        if commit { Self::Committed } else { Self::Aborted }
    }

    fn response(self) -> Response {
        if self == Self::Committed { Response::Committed } else { Response::Aborted }
    }
}

impl Transaction {
    /// Its RM votes: who refuses has decided.
    fn vote(&mut self, vote: Vote) {
        self.vote = Some(vote);
        self.state = Some(match vote {
            Vote::Prepared => State::Prepared,
            Vote::Aborted => State::Aborted,
        });
    }
}

impl Config {
    fn check(&self, nodes: usize) {
        assert!(self.acceptors <= nodes, "Paxos Commit cannot start: too few nodes");
        assert!(
            (1..=self.acceptors).contains(&self.quorum),
            "Paxos Commit cannot start: no quorum is possible"
        );
        assert!(
            Duration::ZERO < self.patience_min && self.patience_min < self.patience_max,
            "Paxos Commit cannot start: the range of patience is empty"
        );
    }
}
