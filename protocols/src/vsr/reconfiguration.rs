//! Viewstamped Replication Revisited with a group that changes (Liskov and Cowling 2012, section 7,
//! cited by section): *epochs* above the views of [`vsr`](super).
//!
//! *Problem.* The replicas that keep the store are exchanged while it is used: one that has failed
//! for one that has not, or `2f + 1` for more.
//!
//! *Model.* That of [`vsr`](super), where no more than `f` of each group are failed until the next
//! one has the state.
//!
//! *Idea.* The administrator's RECONFIGURATION is a request like any other, and the last one of its
//! epoch: once it is in the log, the primary takes no request more. Where it is committed, the next
//! epoch begins, in view 0 of the new group, with the log up to there. Who is in both groups goes
//! on; who is added fetches the log; who is replaced hands it on until `f' + 1` of the new group
//! have it, and shuts down. What comes from an earlier epoch is not heard: it is answered with the
//! present one (7.2).
//!
//! *Properties*, guarded by [`invariants`] beside V1 to V6 of [`vsr`](super), which hold of all
//! views of all epochs:
//! - E1 who knows an epoch knows the same of it: its group, and the place where it began;
//! - E2 who takes part in an epoch has all that was committed before it began;
//! - E3 nothing is committed in an epoch behind the place where the next one began;
//! - S1 the history of the clients is linearizable;
//! - L1 with at most `f` of each group failed, operations complete, and the groups change.
//!
//! *Messages*
//!
//! | name | from | to | meaning |
//! |---|---|---|---|
//! | [`Of`](Message::Of) | member | member | a message of [`vsr`](super), in this epoch |
//! | [`StartEpoch`](Message::StartEpoch) | any | any | this epoch has begun (7.1) |
//! | [`EpochStarted`](Message::EpochStarted) | new | replaced | I take part in it |
//! | [`GetState`](Message::GetState) | any | old and new | with which log did it begin? |
//! | [`NewState`](Message::NewState) | member | who asked | with this one |
//!
//! *Journal records*: those of [`vsr`](super), and [`Epoch`](Record::Epoch), of which a member that
//! crashes recovers in the latest: for the reason for which it recovers in no earlier view.
//!
//! *Deviations*
//! - The group is the value of a key of the store, [`GROUP`], so that a RECONFIGURATION is a put,
//!   and clients can ask for the group (7.4) as for any other key. They cannot put it.
//! - *Who is told of a later epoch takes part in its own until it has the state.* In 7.1 it stops
//!   at once; but if the primary that committed the RECONFIGURATION told only a new replica, and
//!   stopped, the others have it in their logs and do not know that it is committed: it takes a
//!   view of the old epoch to find out.
//! - Requests carry no epoch: clients are told whom to ask, as in [`vsr`](super), and who has shut
//!   down tells them where the group is, for ever (7.3 lets it go some time). So a RECONFIGURATION
//!   does not name the epoch that it ends, and may ask for the group that there is.
//! - `f' + 1` is a quorum of the new group where it has an even number of members, too.
//! - A replica that was replaced may be added again, as a new one.
//!
//! *What a client must do.* As in [`vsr`](super).
//!
//! *Reading map*
//!
//! | paper | here |
//! |---|---|
//! | 7.1, the RECONFIGURATION request | `on_request`, `end_epoch` |
//! | 7.1.1, replicas of the new group | `enter`, `on_start_epoch`, `fetch` |
//! | 7.1.2, replicas that are replaced | `enter`, `on_epoch_started`, `say_again` |
//! | 7.2, other changes | `on_message` |

use super::{Replica, Timer};
use crate::kv::{Answer, Command, Text};
use crate::machine::{Known, Update};
use seedfall_sim::{Context, Effect, NodeId, Protocol, RequestId, SortedSet};

pub use super::invariants::AcrossEpochs;

/// A watcher of V1 to V6 and E1 to E3 that has seen nothing yet, where members do not crash.
pub fn invariants() -> AcrossEpochs {
    super::invariants::across_epochs()
}

/// The parameters, equal on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// Those of the replicas.
    pub replica: super::Config,
    /// So many nodes, the first ones, are the group of epoch 0; three at least.
    pub members: usize,
}

/// The number of an epoch, from zero on.
pub type Epoch = u32;

/// The members, in the order of their names: the primary of a view follows from its place.
pub type Group = Vec<NodeId>;

/// The key of the store under which the group stands.
pub const GROUP: &str = "the group";

/// What there is to know of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Configuration {
    /// Which.
    pub epoch: Epoch,
    /// The group of the epoch before; of the first: nobody.
    pub old: Group,
    /// Its group.
    pub group: Group,
    /// So many operations were committed before it began.
    pub begin: usize,
}

/// What nodes send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// Within an epoch.
    Of {
        /// Which.
        epoch: Epoch,
        /// What.
        message: super::Message,
    },
    /// It has begun.
    StartEpoch(Configuration),
    /// The sender takes part in it.
    EpochStarted {
        /// In which.
        epoch: Epoch,
    },
    /// With which log did it begin?
    GetState {
        /// Which.
        epoch: Epoch,
    },
    /// With this one.
    NewState {
        /// Which.
        configuration: Configuration,
        /// All that was committed before.
        log: Vec<Update>,
    },
}

/// What a node writes to its journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Record {
    /// It is in this epoch, as a member or not.
    Epoch(Configuration),
    /// Within it.
    Of(super::Record),
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Request {
    /// Something of the store.
    Ask(Command),
    /// RECONFIGURATION: these are to be the group.
    Reconfigure(Group),
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Response {
    /// It took effect; the answer.
    Done(Answer),
    /// This node did nothing: ask that one, if it knows whom.
    Elsewhere(Option<NodeId>),
    /// It has no effect, whoever is asked: no group of three nodes or more, or a put of the group.
    Refused,
}

/// One node: a member of the group, replaced, or neither.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    id: NodeId,
    config: Config,
    /// The latest epoch that it has begun, or needs no state of.
    now: Configuration,
    /// Of a member of its group.
    replica: Option<Replica>,
    /// Of one that is replaced and has not shut down: the log with which the epoch began.
    kept: Option<Vec<Update>>,
    /// Who has the state of those by whom it is replaced.
    started: SortedSet<NodeId>,
    /// A later epoch, of which it needs the state.
    told: Option<Configuration>,
    /// In which view this replica was asked for the group that its log ends with.
    asked_in: Option<super::View>,
}

impl Protocol for Member {
    type Config = Config;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Request = Request;
    type Response = Response;

    fn start(id: NodeId, config: &Config, journal: &[Record], ctx: &mut Context<'_, Self>) -> Self {
        let members = config.members;
        assert!((3..=ctx.nodes()).contains(&members), "a group has three members at least");
        let first = NodeId::all(members).collect();
        let mut now = Configuration { epoch: 0, old: Group::new(), group: first, begin: 0 };
        let mut records = Vec::new();
        for record in journal {
            match record {
                Record::Epoch(begun) => {
                    now = begun.clone();
                    records.retain(|record| *record == super::Record::Started);
                }
                Record::Of(record) => records.push(*record),
            }
        }
        let mut member = Self {
            id,
            config: *config,
            now,
            replica: None,
            kept: None,
            started: SortedSet::new(),
            told: None,
            asked_in: None,
        };
        let Some(place) = member.place_of(id) else {
            ctx.set_timer(Timer::Interval, config.replica.interval);
            return member;
        };
        let nodes = member.now.group.len();
        let (replica, effects) =
            ctx.part(|ctx| Replica::one_of(nodes, place, &config.replica, &records, ctx));
        member.replica = Some(replica);
        member.perform(effects, ctx);
        member
    }

    /// 7.1: the primary takes no request behind a RECONFIGURATION.
    fn on_request(&mut self, request: RequestId, body: Request, ctx: &mut Context<'_, Self>) {
        let is_change = matches!(body, Request::Reconfigure(_));
        let command = match body {
            Request::Ask(command) if command.key() == GROUP && !command.is_read() => None,
            Request::Ask(command) => Some(command),
            Request::Reconfigure(group) if !is_valid(&group, ctx.nodes()) => None,
            Request::Reconfigure(group) => {
                Some(Command::Put { key: GROUP.into(), value: written(&group) })
            }
        };
        let Some(command) = command else {
            return ctx.respond(request, Response::Refused);
        };
        let Some(replica) = &self.replica else {
            let known = self.told.as_ref().unwrap_or(&self.now);
            let ask = known.group.iter().copied().find(|node| *node != self.id);
            return ctx.respond(request, Response::Elsewhere(ask));
        };
        let is_known = replica.machine.known(request) != Known::New;
        if replica.is_leader() && !is_known && self.next_group(replica).is_some() {
            ctx.reach("request: the group is changing");
            return ctx.respond(request, Response::Elsewhere(None));
        }
        if is_change && replica.is_leader() {
            self.asked_in = Some(replica.view());
        }
        self.run(ctx, |replica, ctx| replica.on_request(request, super::Request(command), ctx));
    }

    fn on_message(&mut self, from: NodeId, message: Message, ctx: &mut Context<'_, Self>) {
        match message {
            // 7.2: nothing of an earlier epoch is heard.
            Message::Of { epoch, .. } if epoch < self.now.epoch => {
                ctx.reach("message: of an earlier epoch");
                ctx.send(from, Message::StartEpoch(self.now.clone()));
            }
            Message::Of { epoch, .. } if self.now.epoch < epoch => {
                ctx.reach("message: of an epoch that has not begun here");
                ctx.send(from, Message::GetState { epoch });
            }
            Message::Of { message, .. } => match self.place_of(from) {
                Some(place) if self.replica.is_some() => {
                    self.run(ctx, |replica, ctx| replica.on_message(place, message, ctx));
                }
                _ => ctx.ignore("message: of a group without this node"),
            },
            Message::StartEpoch(told) => self.on_start_epoch(from, told, ctx),
            Message::EpochStarted { epoch } => self.on_epoch_started(from, epoch, ctx),
            Message::GetState { epoch } => self.on_get_state(from, epoch, ctx),
            Message::NewState { configuration, .. } if configuration.epoch <= self.now.epoch => {
                ctx.ignore("new state: of an epoch that has begun here");
            }
            Message::NewState { configuration, log } => self.enter(configuration, log, ctx),
        }
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) {
        if timer == Timer::Interval {
            self.say_again(ctx);
        }
        self.run(ctx, |replica, ctx| replica.on_timer(timer, ctx));
    }

    fn is_leader(&self) -> bool {
        self.replica.as_ref().is_some_and(Replica::is_leader)
    }

    fn waits(&self) -> String {
        let epoch = self.now.epoch;
        let own = self.replica.as_ref().map(Replica::waits).unwrap_or_default();
        let state = self.told.as_ref().map(|told| format!("for the state of epoch {}", told.epoch));
        let started = self.kept.as_ref().map(|_| format!("for a quorum to start epoch {epoch}"));
        let all = [Some(own).filter(|own| !own.is_empty()), state, started];
        all.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

/// Between two epochs.
impl Member {
    /// 7.1, step 3: where a RECONFIGURATION is committed, its epoch ends; the primary tells it.
    fn end_epoch(&mut self, ctx: &mut Context<'_, Self>) {
        let Some(replica) = &self.replica else { return };
        let Some(group) = self.next_group(replica).filter(|_| replica.commit == replica.log.len())
        else {
            return;
        };
        let (log, view, commit) = (replica.log.clone(), replica.view, replica.commit);
        let (epoch, old) = (self.now.epoch, self.now.group.clone());
        let next = Configuration { epoch: epoch + 1, old, group, begin: commit };
        if replica.is_leader() {
            if self.asked_in != Some(view) {
                ctx.reach("epoch: ended by another primary than the one that was asked");
            }
            for node in self.now.group.iter().filter(|node| **node != self.id) {
                let message = super::Message::Commit { view, commit };
                ctx.send(*node, Message::Of { epoch, message });
            }
            for node in next.group.iter().filter(|node| !self.now.group.contains(node)) {
                ctx.send(*node, Message::StartEpoch(next.clone()));
            }
        }
        self.enter(next, log, ctx);
    }

    /// An epoch begins here, with this log: of a member of its group (7.1.1, step 3), or of one
    /// that is replaced (7.1.2, step 1).
    fn enter(&mut self, begun: Configuration, log: Vec<Update>, ctx: &mut Context<'_, Self>) {
        self.become_known(begun, ctx);
        let Some(place) = self.place_of(self.id) else {
            ctx.cancel_timer(Timer::ViewChange);
            self.kept = Some(log);
            return self.say_again(ctx);
        };
        if !self.now.old.contains(&self.id) {
            ctx.reach("epoch: a new replica has the state");
        }
        let nodes = self.now.group.len();
        let mut replica = Replica::new(nodes, place, &self.config.replica);
        log.iter().for_each(|update| drop(replica.machine.apply(update)));
        replica.commit = log.len();
        // Who takes part has as much.
        replica.prepared = vec![log.len(); nodes];
        replica.log = log;
        self.replica = Some(replica);
        ctx.set_timer(Timer::Interval, self.config.replica.interval);
        ctx.set_timer(Timer::ViewChange, self.config.replica.view_change_after);
        for node in self.now.old.iter().filter(|node| !self.now.group.contains(node)) {
            ctx.send(*node, Message::EpochStarted { epoch: self.now.epoch });
        }
    }

    /// From now on nothing of an earlier epoch is heard, crash or no crash.
    fn become_known(&mut self, begun: Configuration, ctx: &mut Context<'_, Self>) {
        assert!(self.now.epoch < begun.epoch, "epochs only rise");
        self.told = self.told.take().filter(|told| begun.epoch < told.epoch);
        ctx.append(Record::Epoch(begun.clone()));
        ctx.sync();
        (self.now, self.replica, self.kept, self.asked_in) = (begun, None, None, None);
        self.started.clear();
    }

    /// 7.1.1, steps 1 and 2: who is added, or is behind, fetches what came before.
    fn on_start_epoch(&mut self, from: NodeId, told: Configuration, ctx: &mut Context<'_, Self>) {
        let epoch = self.now.epoch;
        if told.epoch < epoch {
            return ctx.send(from, Message::StartEpoch(self.now.clone()));
        }
        if told.epoch == epoch {
            if self.replica.is_none() {
                return ctx.ignore("start epoch: known, and not for this node");
            }
            ctx.reach("start epoch: a member has begun it already");
            return ctx.send(from, Message::EpochStarted { epoch });
        }
        if self.told.as_ref().is_some_and(|known| told.epoch <= known.epoch) {
            return ctx.ignore("start epoch: it waits for the state");
        }
        // What it has of an epoch that ended before this one's predecessor nobody needs.
        let is_replaced = self.replica.is_some() && told.epoch == epoch + 1;
        if told.group.contains(&self.id) || is_replaced {
            self.told = Some(told);
            return self.fetch(ctx);
        }
        self.become_known(told, ctx);
        ctx.cancel_timer(Timer::ViewChange);
    }

    /// From whoever may have it.
    fn fetch(&self, ctx: &mut Context<'_, Self>) {
        let Some(told) = &self.told else { return };
        let all: SortedSet<NodeId> = told.old.iter().chain(&told.group).copied().collect();
        for node in all.into_iter().filter(|node| *node != self.id) {
            ctx.send(node, Message::GetState { epoch: told.epoch });
        }
    }

    fn on_get_state(&self, from: NodeId, epoch: Epoch, ctx: &mut Context<'_, Self>) {
        if self.now.epoch < epoch {
            return ctx.ignore("get state: the epoch has not begun here");
        }
        if epoch < self.now.epoch {
            return ctx.send(from, Message::StartEpoch(self.now.clone()));
        }
        let all = self.replica.as_ref().map(|replica| &replica.log).or(self.kept.as_ref());
        let Some(log) = all.and_then(|log| log.get(..self.now.begin)) else {
            return ctx.ignore("get state: it is not here");
        };
        let (configuration, log) = (self.now.clone(), log.to_vec());
        ctx.send(from, Message::NewState { configuration, log });
    }

    /// 7.1.2, step 2: once a quorum of the new group has the state, nobody needs this one.
    fn on_epoch_started(&mut self, from: NodeId, epoch: Epoch, ctx: &mut Context<'_, Self>) {
        if epoch != self.now.epoch || self.kept.is_none() {
            return ctx.ignore("epoch started: it has shut down");
        }
        self.started.insert(from);
        if self.now.group.len() / 2 < self.started.len() {
            ctx.reach("epoch: a replaced replica shuts down");
            self.kept = None;
        }
    }

    /// 7.1.2, step 3: what may be lost.
    fn say_again(&mut self, ctx: &mut Context<'_, Self>) {
        self.fetch(ctx);
        if self.kept.is_some() {
            for node in self.now.group.iter().filter(|node| !self.started.contains(node)) {
                ctx.send(*node, Message::StartEpoch(self.now.clone()));
            }
        }
        if self.replica.is_none() {
            ctx.set_timer(Timer::Interval, self.config.replica.interval);
        }
    }
}

/// The replica within its epoch.
impl Member {
    fn run(
        &mut self,
        ctx: &mut Context<'_, Self>,
        handler: impl FnOnce(&mut Replica, &mut Context<'_, Replica>),
    ) {
        let Some(replica) = &mut self.replica else { return };
        let ((), effects) = ctx.part(|ctx| handler(replica, ctx));
        self.perform(effects, ctx);
        self.end_epoch(ctx);
    }

    /// The effects of the replica: whom it takes for the nodes are the members of the group.
    fn perform(&self, effects: Vec<Effect<Replica>>, ctx: &mut Context<'_, Self>) {
        let Configuration { epoch, ref group, begin, .. } = self.now;
        for effect in effects {
            match effect {
                Effect::Send(to, message) => {
                    ctx.send(group[to.index()], Message::Of { epoch, message });
                }
                Effect::Broadcast(message) => {
                    for to in group.iter().filter(|to| **to != self.id) {
                        ctx.send(*to, Message::Of { epoch, message: message.clone() });
                    }
                }
                Effect::Respond(request, super::Response::Done(answer)) => {
                    let serves = |replica: &Replica| 0 < epoch && begin < replica.commit;
                    if self.replica.as_ref().is_some_and(serves) {
                        ctx.reach("epoch: a new group has served an operation");
                    }
                    ctx.respond(request, Response::Done(answer));
                }
                Effect::Respond(request, super::Response::Elsewhere(ask)) => {
                    let ask = ask.map(|place| group[place.index()]);
                    ctx.respond(request, Response::Elsewhere(ask));
                }
                Effect::Append(record) => ctx.append(Record::Of(record)),
                Effect::Sync => ctx.sync(),
                Effect::SetTimer(timer, after) => ctx.set_timer(timer, after),
                Effect::CancelTimer(timer) => ctx.cancel_timer(timer),
                Effect::Ignore(why) => ctx.ignore(why),
                Effect::Reach(what) => ctx.reach(what),
            }
        }
    }

    /// The group that this epoch ends with, if the log says so.
    fn next_group(&self, replica: &Replica) -> Option<Group> {
        let last = replica.log.get(self.now.begin..)?.last()?;
        match &last.command {
            Command::Put { key, value } if key == GROUP => read(value),
            _ => None,
        }
    }

    /// As whom the replicas of this epoch know a node.
    fn place_of(&self, node: NodeId) -> Option<NodeId> {
        let place = self.now.group.iter().position(|member| *member == node)?;
        Some(NodeId::new(place as u16))
    }
}

/// What reports and scenarios ask of a node.
impl Member {
    /// The epoch in which it is.
    pub fn configuration(&self) -> &Configuration {
        &self.now
    }

    /// Its part in that; `None`: it is not in the group.
    pub fn replica(&self) -> Option<&Replica> {
        self.replica.as_ref()
    }

    /// Whether it is replaced, and still has the state for those who come.
    pub fn is_replaced(&self) -> bool {
        self.kept.is_some()
    }
}

/// A group as the value of [`GROUP`]: names, in order.
pub fn written(group: &[NodeId]) -> Text {
    let names: Vec<String> = group.iter().map(NodeId::to_string).collect();
    names.join(" ").into()
}

/// The group that a value of [`GROUP`] names; `None`: none.
pub fn read(value: &str) -> Option<Group> {
    let number = |name: &str| name.strip_prefix('n')?.parse::<u16>().ok()?.checked_sub(1);
    value.split(' ').map(|name| number(name).map(NodeId::new)).collect()
}

/// 7.1: three at least, of those that there are; each once, in order.
fn is_valid(group: &[NodeId], nodes: usize) -> bool {
    3 <= group.len()
        && group.is_sorted_by(|one, other| one < other)
        && group.iter().all(|node| node.index() < nodes)
}
