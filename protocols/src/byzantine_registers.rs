//! Byzantine quorum systems (Malkhi and Reiter, *Byzantine Quorum Systems*, Distributed Computing
//! 1998, cited by section): registers on servers some of which lie, without agreement.
//!
//! *Problem.* That of [`abd`](crate::abd), where up to `f` of the servers may answer what they
//! like: claim to hold what nobody has written, or to have forgotten what they hold.
//!
//! *Model.* Links `FairLoss`; nodes `Byzantine`, at most `f` of `n`, where `n = 3 f + 1` for
//! [`Kind::Dissemination`] and `n = 4 f + 1` for [`Kind::Masking`]; the others may crash and come
//! back; timing `Asynchronous`: nothing is concluded from silence. It is servers that lie: who
//! reads and writes, and so the part of a node that does that for clients, is correct (section 3).
//!
//! *Idea.* Any two quorums of `n - f` have so many servers in common that liars cannot hide or make
//! up what matters. *Dissemination*: what is written is signed, so nobody can make it up, and it is
//! enough that one of the common servers is correct. *Masking*: nothing is signed; of the common
//! servers `f + 1` are correct, so a value is believed that `f + 1` servers claim to hold.
//!
//! *Properties*
//! - `Atomic` (dissemination): the history of each key is linearizable, since a read writes back;
//! - `Safe` (masking): a read that overlaps no write returns what was written last (Lamport 1986);
//!   what a read returns that does overlap one is not said (section 3, theorem 3.2);
//! - `One value a tag`, `Durability`, as [`abd`](crate::abd)'s S2 and S3 ([`invariants`]);
//! - `Chosen once`: a server remembers each tag that it chose, crash or no crash ([`invariants`]);
//! - `Written back` (dissemination): what a read has returned is held by a quorum, but for the
//!   liars of it: what makes `Atomic` of `Regular` (Attiya, Bar-Noy and Dolev 1995);
//! - `L1` with `n - f` correct servers up and connected for a while, every operation completes;
//!   with masking, a read that overlaps writes only once they are over.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Query`](Message::Query) | coordinator | all | what do you hold? |
//! | [`Held`](Message::Held) | server | coordinator | this |
//! | [`Store`](Message::Store) | coordinator | all | hold at least this |
//! | [`Stored`](Message::Stored) | server | coordinator | I do, durably |
//!
//! *Journal records*: [`Life`](Record::Life) as a node starts; a [`Write`](Record::Write) before it
//! is stored anywhere, since it keeps its tag for ever; what is [`Held`](Record::Held) before that
//! is acknowledged.
//!
//! *Deviations*
//! - The paper's clients talk to servers themselves. Here a node works for clients, each of which
//!   writes through its own [`home`](Server::home_of), as with [`abd`](crate::abd).
//! - A read of masking quorums that finds nothing which `f + 1` servers claim alike asks again; the
//!   paper returns an undefined value.
//! - A node that comes back stores once more what it wrote last for each client: a write that is
//!   left half done could leave no value which `f + 1` servers claim alike.
//! - A read of dissemination quorums writes back, which the paper leaves to a remark: so it is
//!   atomic and not only regular.
//!
//! *Reading map*
//!
//! | section | here |
//! |---|---|
//! | 3, masking quorums; the access protocol | `vouched` |
//! | 4, dissemination quorums | `newest` |
//! | 3, 4, quorum sizes | `quorum` |

mod invariants;
mod strategies;

use crate::kv::Text;
use seedfall_sim::{
    ClientId, Context, Draw, Duration, NodeId, Protocol, RequestId, Signed, Signer, SortedMap,
    SortedSet, Strategy,
};

pub use invariants::{Invariants, invariants};

/// What liars are kept from by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Signatures.
    Dissemination,
    /// Numbers.
    Masking,
}

/// The parameters, equal on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// What liars are kept from by.
    pub kind: Kind,
    /// How many servers may lie: `f`.
    pub faulty: usize,
    /// After how long without an answer a message is sent again.
    pub retransmit_after: Duration,
}

/// The logical time of a write: the higher one is newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// One more than the highest that its writer had heard of.
    pub counter: u64,
    /// Who chose it.
    pub writer: NodeId,
}

/// What was written to a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Written {
    /// When. Decides first.
    pub tag: Tag,
    /// To which key.
    pub key: Text,
    /// What.
    pub value: Text,
}

/// A copy of it, as a server holds it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Copy {
    /// Whoever holds it can change it.
    Plain(Written),
    /// Its writer alone can.
    Sealed(Signed<Written>),
}

impl Copy {
    /// What it says.
    pub fn written(&self) -> &Written {
        match self {
            Self::Plain(written) => written,
            Self::Sealed(sealed) => sealed.value(),
        }
    }
}

/// What nodes send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// What do you hold under this key? (For this operation.)
    Query(u64, Text),
    /// This, or nothing.
    Held(u64, Option<Copy>),
    /// Hold at least this!
    Store(u64, Copy),
    /// I do.
    Stored(u64),
}

/// What a node writes to its journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    /// It has started once more.
    Life,
    /// It writes this for a client.
    Write(RequestId, Copy),
    /// It holds this.
    Held(Copy),
}

/// A node's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// This operation may have lost messages.
    Retransmit(u64),
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// The value of a key.
    Read(Text),
    /// To set a key to a value.
    Write(Text, Text),
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Response {
    /// The client writes through this node.
    Elsewhere(NodeId),
    /// The value.
    Value(Option<Text>),
    /// It is written.
    Written,
}

/// What a coordinator is at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// It asks what servers hold; to write this, or to read.
    Query(SortedMap<NodeId, Option<Copy>>, Option<Text>),
    /// It has them store this, and then answers so.
    Store(Copy, SortedSet<NodeId>, Response),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Operation {
    request: RequestId,
    key: Text,
    phase: Phase,
    /// As a read: what it has found.
    found: Option<Tag>,
}

/// One node: a server, and a coordinator for its clients.
#[derive(Clone, Debug)]
pub struct Server {
    id: NodeId,
    nodes: usize,
    config: Config,
    held: SortedMap<Text, Copy>,
    /// The last write of each client.
    writes: SortedMap<ClientId, (RequestId, Copy)>,
    /// The highest counter that it has chosen for each key: two writes may be under way at once.
    chosen: SortedMap<Text, u64>,
    operations: SortedMap<u64, Operation>,
    next: u64,
    /// What the last read of each key has returned. Nothing depends on it: whoever watches may ask.
    returned: SortedMap<Text, Tag>,
}

impl Protocol for Server {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        let (held, writes, operations) = (SortedMap::new(), SortedMap::new(), SortedMap::new());
        let mut server = Self {
            id,
            nodes: ctx.nodes(),
            config: *config,
            held,
            writes,
            chosen: SortedMap::new(),
            operations,
            next: 0,
            returned: SortedMap::new(),
        };
        for record in journal.iter().cloned() {
            match record {
                // Answers to operations of a life before are not for those of this one.
                Record::Life => server.next += 1 << 32,
                Record::Write(request, copy) => {
                    let Written { key, tag, .. } = copy.written().clone();
                    server.chosen.insert(key, tag.counter);
                    server.writes.insert(request.client, (request, copy));
                }
                Record::Held(copy) => {
                    server.held.insert(copy.written().key.clone(), copy);
                }
            }
        }
        ctx.append(Record::Life);
        ctx.sync();
        // What was begun is done: half a write would be in the way of reads for ever.
        for (request, copy) in server.writes.clone().into_values() {
            let key = copy.written().key.clone();
            let phase = Phase::Store(copy, SortedSet::new(), Response::Written);
            server.begin(Operation { request, key, phase, found: None }, ctx);
        }
        server
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match message {
            Message::Query(number, key) => {
                ctx.send(from, Message::Held(number, self.held.get(&key).cloned()));
            }
            Message::Held(number, copy) => self.on_held(from, number, copy, ctx),
            Message::Store(number, copy) => {
                self.hold(copy, ctx);
                ctx.send(from, Message::Stored(number));
            }
            Message::Stored(number) => self.on_stored(from, number, ctx),
        }
    }

    fn on_timer(&mut self, Timer::Retransmit(number): Timer, ctx: &mut Context<'_, Self>) {
        if self.operations.contains_key(&number) {
            ctx.reach("retransmission: no quorum has answered in time");
            self.ask(number, ctx);
        }
    }

    fn on_request(&mut self, request: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        let (key, value) = match body {
            Request::Read(key) => (key, None),
            Request::Write(key, value) => (key, Some(value)),
        };
        if value.is_some() {
            let home = Self::home_of(request.client, self.nodes);
            if home != self.id {
                return ctx.respond(request, Response::Elsewhere(home));
            }
        }
        if self.operations.values().any(|one| one.request == request) {
            return ctx.ignore("request: it is under way");
        }
        let before = self.writes.get(&request.client).filter(|_| value.is_some());
        let phase = match before {
            Some((last, copy)) if *last == request => {
                ctx.reach("write: a retry goes on under the tag that it has");
                Phase::Store(copy.clone(), SortedSet::new(), Response::Written)
            }
            Some((last, _)) if request.number < last.number => {
                return ctx.ignore("write: its client has written since");
            }
            _ => Phase::Query(SortedMap::new(), value),
        };
        self.begin(Operation { request, key, phase, found: None }, ctx);
    }

    fn falsify(message: &mut Message, me: Signer, draw: &mut Draw) -> bool {
        strategies::falsify(message, me, draw)
    }

    fn strategies() -> Vec<Strategy<Self>> {
        strategies::all()
    }
}

impl Server {
    /// Through which node a client writes.
    pub fn home_of(client: ClientId, nodes: usize) -> NodeId {
        NodeId::new((client.index() % nodes) as u16)
    }

    /// What it holds.
    pub fn held(&self) -> &SortedMap<Text, Copy> {
        &self.held
    }

    /// What the last read of each key that it has coordinated in this life has returned.
    pub fn returned(&self) -> &SortedMap<Text, Tag> {
        &self.returned
    }

    /// Any two of that size have `f + 1` servers in common of `3f + 1`, and `2f + 1` of `4f + 1`.
    fn quorum(&self) -> usize {
        self.nodes - self.config.faulty
    }

    fn begin(&mut self, operation: Operation, ctx: &mut Context<'_, Self>) {
        self.next += 1;
        self.operations.insert(self.next, operation);
        self.ask(self.next, ctx);
    }

    /// Asks all servers, itself among them.
    fn ask(&mut self, number: u64, ctx: &mut Context<'_, Self>) {
        let Some(operation) = self.operations.get(&number) else { return };
        ctx.set_timer(Timer::Retransmit(number), self.config.retransmit_after);
        match &operation.phase {
            Phase::Query(..) => {
                let key = operation.key.clone();
                let own = self.held.get(&key).cloned();
                ctx.broadcast(Message::Query(number, key));
                self.on_held(self.id, number, own, ctx);
            }
            Phase::Store(copy, ..) => {
                let copy = copy.clone();
                ctx.broadcast(Message::Store(number, copy.clone()));
                self.hold(copy, ctx);
                self.on_stored(self.id, number, ctx);
            }
        }
    }

    /// Holds a copy durably, unless it holds a newer one.
    fn hold(&mut self, copy: Copy, ctx: &mut Context<'_, Self>) {
        if !self.is_genuine(&copy) {
            return ctx.ignore("store: not by its writer");
        }
        let written = copy.written();
        let known = self.held.get(&written.key).map(|known| known.written().tag);
        if known.is_some_and(|tag| written.tag <= tag) {
            return ctx.reach("store: it holds that, or a newer one");
        }
        ctx.append(Record::Held(copy.clone()));
        ctx.sync();
        self.held.insert(written.key.clone(), copy);
    }

    /// Whether its writer has written it, as far as that can be seen.
    fn is_genuine(&self, copy: &Copy) -> bool {
        match (self.config.kind, copy) {
            (Kind::Dissemination, Copy::Sealed(sealed)) => sealed.by() == sealed.value().tag.writer,
            (Kind::Masking, Copy::Plain(_)) => true,
            _ => false,
        }
    }

    /// What a server holds.
    fn on_held(
        &mut self,
        from: NodeId,
        number: u64,
        copy: Option<Copy>,
        ctx: &mut Context<'_, Self>,
    ) {
        let quorum = self.quorum();
        let genuine = copy.as_ref().is_none_or(|copy| self.is_genuine(copy));
        let Some(Operation { key, phase: Phase::Query(held, value), .. }) =
            self.operations.get_mut(&number)
        else {
            return ctx.ignore("held: nobody asks any more");
        };
        if !genuine || copy.as_ref().is_some_and(|copy| copy.written().key != *key) {
            return ctx.reach("held: not by its writer");
        }
        held.insert(from, copy);
        if held.len() < quorum {
            return;
        }
        let (held, value) = (held.clone(), value.clone());
        match value {
            Some(value) => self.write(number, &held, value, ctx),
            None => self.read(number, &held, ctx),
        }
    }

    /// Chooses a tag that is higher than all that a quorum knows, and has it stored.
    fn write(
        &mut self,
        number: u64,
        held: &SortedMap<NodeId, Option<Copy>>,
        value: Text,
        ctx: &mut Context<'_, Self>,
    ) {
        let Some(operation) = self.operations.get_mut(&number) else { return };
        let request = operation.request;
        let since = self.writes.get(&request.client);
        if since.is_some_and(|(last, _)| request.number < last.number) {
            // It would take the place of what a retry of the later one must find.
            self.operations.remove(&number);
            ctx.cancel_timer(Timer::Retransmit(number));
            return ctx.reach("write: its client has written since");
        }
        let highest = newest(held).map_or(0, |copy| copy.written().tag.counter);
        let chosen = self.chosen.entry(operation.key.clone()).or_default();
        *chosen = highest.max(*chosen) + 1;
        let tag = Tag { counter: *chosen, writer: self.id };
        let written = Written { tag, key: operation.key.clone(), value };
        let copy = match self.config.kind {
            Kind::Dissemination => Copy::Sealed(ctx.sign(written)),
            Kind::Masking => Copy::Plain(written),
        };
        ctx.append(Record::Write(request, copy.clone()));
        ctx.sync();
        self.writes.insert(request.client, (request, copy.clone()));
        operation.phase = Phase::Store(copy, SortedSet::new(), Response::Written);
        self.ask(number, ctx);
    }

    /// Believes what cannot be made up.
    fn read(
        &mut self,
        number: u64,
        held: &SortedMap<NodeId, Option<Copy>>,
        ctx: &mut Context<'_, Self>,
    ) {
        let found = match self.config.kind {
            Kind::Dissemination => newest(held).cloned(),
            Kind::Masking => match vouched(held, self.config.faulty) {
                Some(found) => found.cloned(),
                None => return ctx.reach("read: too few say the same"),
            },
        };
        let value = found.as_ref().map(|copy| copy.written().value.clone());
        let Some(operation) = self.operations.get_mut(&number) else { return };
        operation.found = found.as_ref().map(|copy| copy.written().tag);
        match found.filter(|_| self.config.kind == Kind::Dissemination) {
            // So that a later read, of another quorum, does not find less.
            Some(copy) => {
                operation.phase = Phase::Store(copy, SortedSet::new(), Response::Value(value));
                self.ask(number, ctx);
            }
            None => self.complete(number, Response::Value(value), ctx),
        }
    }

    /// A server holds it.
    fn on_stored(&mut self, from: NodeId, number: u64, ctx: &mut Context<'_, Self>) {
        let quorum = self.quorum();
        let Some(Operation { phase: Phase::Store(_, by, response), .. }) =
            self.operations.get_mut(&number)
        else {
            return ctx.ignore("stored: nobody waits any more");
        };
        by.insert(from);
        if quorum <= by.len() {
            let response = response.clone();
            self.complete(number, response, ctx);
        }
    }

    fn complete(&mut self, number: u64, response: Response, ctx: &mut Context<'_, Self>) {
        if let Some(operation) = self.operations.remove(&number) {
            if let Some(tag) = operation.found {
                self.returned.insert(operation.key, tag);
            }
            ctx.cancel_timer(Timer::Retransmit(number));
            ctx.respond(operation.request, response);
        }
    }
}

/// The newest of some copies, all of which are genuine (section 4).
fn newest(held: &SortedMap<NodeId, Option<Copy>>) -> Option<&Copy> {
    held.values().flatten().max_by_key(|copy| copy.written().tag)
}

/// The newest that more servers claim to hold than lie (section 3); nothing counts as the oldest.
fn vouched(held: &SortedMap<NodeId, Option<Copy>>, faulty: usize) -> Option<Option<&Copy>> {
    let mut counts: SortedMap<Option<&Copy>, usize> = SortedMap::new();
    for copy in held.values() {
        *counts.entry(copy.as_ref()).or_default() += 1;
    }
    let by_more = counts.into_iter().filter(|(_, count)| faulty < *count).map(|(copy, _)| copy);
    by_more.max_by_key(|copy| copy.map(|copy| copy.written().tag))
}
