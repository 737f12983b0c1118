//! A replica: the primary of its epoch, or a backup.

use super::{
    Acks, CONTROLLER, Config, Entry, Epoch, Message, Node, Record, Response, Timer, Truncation,
    View,
};
use crate::kv::Command;
use crate::machine::{Known, Machine, Update};
use seedfall_sim::{Context, NodeId, RequestId, Time};

/// A replica's state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    id: NodeId,
    config: Config,
    /// The newest view that it has heard of.
    view: View,
    log: Vec<Entry>,
    /// So many are committed (the *high watermark*), and carried out.
    commit: usize,
    machine: Machine,
    /// Of a backup: whether its log agrees with that of the primary of this epoch, as far as it
    /// goes.
    is_aligned: bool,
    /// Of the primary: how much each node has, if that is known, and when it was heard of.
    backups: Vec<(Option<usize>, Time)>,
    /// Of the primary: the set that it has asked for. Who is in it counts as in sync.
    asked: Option<Vec<NodeId>>,
    /// Counts its starts.
    life: u32,
    /// Whether it led this epoch, and was down: what it had asked for is forgotten.
    was_down: bool,
}

impl Replica {
    pub(super) fn start(
        id: NodeId,
        config: &Config,
        journal: &[Record],
        ctx: &mut Context<'_, Node>,
    ) -> Self {
        let mut replica = Self {
            id,
            config: *config,
            view: View::first(ctx.nodes()),
            log: Vec::new(),
            commit: 0,
            machine: Machine::default(),
            is_aligned: false,
            backups: vec![(None, ctx.now()); ctx.nodes()],
            asked: None,
            life: 0,
            was_down: !journal.is_empty(),
        };
        let mut commit = 0;
        for record in journal.iter().cloned() {
            match record {
                Record::Started => replica.life += 1,
                Record::View(view) => replica.view = view,
                Record::Entry(entry) => replica.log.push(entry),
                Record::Truncated(count) => replica.log.truncate(count),
                Record::Committed(count) => commit = count,
            }
        }
        replica.carry_out(commit.min(replica.log.len()));
        ctx.append(Record::Started);
        ctx.sync();
        replica.begin(ctx);
        replica.on_interval(ctx);
        ctx.set_timer(Timer::Interval, config.interval);
        replica
    }

    /// A new view.
    pub(super) fn on_view(&mut self, view: View, ctx: &mut Context<'_, Node>) {
        if view.epoch <= self.view.epoch {
            return ctx.ignore("view: of an earlier epoch");
        }
        if self.is_primary() && view.primary != self.id {
            ctx.reach("view: a primary is replaced");
        }
        self.view = view;
        self.was_down = false;
        ctx.append(Record::View(self.view.clone()));
        ctx.sync();
        self.begin(ctx);
    }

    /// An epoch begins: backups bring their logs into line with that of the primary.
    fn begin(&mut self, ctx: &mut Context<'_, Node>) {
        self.asked = None;
        self.backups.fill((None, ctx.now()));
        self.backups[self.id.index()].0 = Some(self.log.len());
        self.is_aligned = self.is_primary();
        if self.is_primary() {
            return self.advance(ctx);
        }
        if self.config.truncation == Truncation::HighWatermark {
            self.is_aligned = true;
            self.truncate(self.commit, ctx);
        }
        self.tell_primary(ctx);
    }

    /// How much it has, or where it might have too much.
    fn tell_primary(&self, ctx: &mut Context<'_, Node>) {
        let (epoch, life) = (self.view.epoch, self.life);
        let message = match self.is_aligned {
            true => Message::Have { epoch, count: self.log.len() },
            false => Message::Follow { epoch, last: self.last_epoch(), life },
        };
        ctx.send(self.view.primary, message);
    }

    /// KIP-101: where the backup's last epoch ends here.
    pub(super) fn on_follow(
        &mut self,
        from: NodeId,
        (epoch, life): (Epoch, u32),
        last: Epoch,
        ctx: &mut Context<'_, Node>,
    ) {
        if epoch != self.view.epoch || !self.is_primary() {
            return ctx.ignore("follow: of another epoch");
        }
        let at = self.end_of(last);
        let last = at.checked_sub(1).map_or(0, |place| self.log[place].epoch);
        ctx.send(from, Message::EndsAt { epoch, last, at, life });
    }

    /// KIP-101, and KIP-279: if the primary does not have that epoch at all, it is asked for the
    /// one before.
    pub(super) fn on_ends_at(
        &mut self,
        (epoch, life): (Epoch, u32),
        last: Epoch,
        at: usize,
        ctx: &mut Context<'_, Node>,
    ) {
        if epoch != self.view.epoch || self.is_aligned {
            return ctx.ignore("ends at: of another epoch");
        }
        if life != self.life {
            ctx.reach("truncation: an answer to an earlier life");
            return;
        }
        self.truncate(self.end_of(last).min(at), ctx);
        self.is_aligned = self.last_epoch() == last || self.log.is_empty();
        if !self.is_aligned {
            ctx.reach("truncation: the primary does not have the backup's epoch");
        }
        self.tell_primary(ctx);
    }

    /// A client asks.
    pub(super) fn on_request(
        &mut self,
        request: RequestId,
        command: Command,
        ctx: &mut Context<'_, Node>,
    ) {
        if !self.is_primary() {
            return ctx.respond(request, Response::Elsewhere(Some(self.view.primary)));
        }
        match self.machine.known(request) {
            Known::Done(answer) => {
                ctx.reach("request: a retry has no second effect");
                let answer = answer.clone();
                return ctx.respond(request, Response::Done(answer));
            }
            Known::Past => return ctx.ignore("request: its client has moved on"),
            Known::New => {}
        }
        if self.config.acks == Acks::Primary && command.is_read() && self.commit == self.log.len() {
            let answer = self.machine.read(&command);
            return ctx.respond(request, Response::Done(answer));
        }
        if self.log[self.commit..].iter().any(|entry| entry.update.request == request) {
            return ctx.ignore("request: already under way");
        }
        let epoch = self.view.epoch;
        self.take(Entry { epoch, update: Update { request, command } }, ctx);
        self.backups[self.id.index()].0 = Some(self.log.len());
        for other in NodeId::all(self.backups.len()) {
            self.append_to(other, ctx);
        }
        self.advance(ctx);
    }

    /// What a backup lacks.
    fn append_to(&self, other: NodeId, ctx: &mut Context<'_, Node>) {
        let (Some(after), _) = self.backups[other.index()] else { return };
        if other == self.id || self.log.len() < after {
            return;
        }
        let entries = self.log[after..].to_vec();
        let (epoch, commit) = (self.view.epoch, self.commit);
        ctx.send(other, Message::Append { epoch, after, entries, commit });
    }

    /// The next entries, from the primary of this epoch alone.
    pub(super) fn on_append(
        &mut self,
        from: NodeId,
        (epoch, after, commit): (Epoch, usize, usize),
        entries: Vec<Entry>,
        ctx: &mut Context<'_, Node>,
    ) {
        if epoch != self.view.epoch || !self.is_aligned {
            return ctx.ignore("append: of another epoch");
        }
        if self.log.len() < after {
            return ctx.ignore("append: entries before these are missing");
        }
        let has = self.log.len() - after;
        for entry in entries.into_iter().skip(has) {
            self.take(entry, ctx);
        }
        self.commit_up_to(commit.min(self.log.len()), ctx);
        ctx.send(from, Message::Have { epoch, count: self.log.len() });
    }

    /// How much a backup has.
    pub(super) fn on_have(
        &mut self,
        from: NodeId,
        epoch: Epoch,
        count: usize,
        ctx: &mut Context<'_, Node>,
    ) {
        if epoch != self.view.epoch || !self.is_primary() {
            return ctx.ignore("have: of another epoch");
        }
        let (has, heard) = &mut self.backups[from.index()];
        *heard = ctx.now();
        let before = has.replace(count.max(has.unwrap_or(0)));
        self.advance(ctx);
        if before.is_none() || self.view.in_sync.contains(&from) {
            return;
        }
        // It takes part from here on, if it has all that is committed.
        if self.commit <= count && self.asked.is_none() && !self.was_down {
            ctx.reach("in sync: a backup has caught up");
            let mut in_sync = self.view.in_sync.clone();
            in_sync.push(from);
            self.ask_for(in_sync, ctx);
        }
    }

    fn ask_for(&mut self, in_sync: Vec<NodeId>, ctx: &mut Context<'_, Node>) {
        self.asked = Some(in_sync.clone());
        ctx.send(CONTROLLER, Message::Change { epoch: self.view.epoch, in_sync });
    }

    /// What all have who are in sync, or may be in a moment, is committed.
    fn advance(&mut self, ctx: &mut Context<'_, Node>) {
        if !self.is_primary() || (self.was_down && self.config.acks == Acks::InSync) {
            return;
        }
        let needed = self.view.in_sync.iter().chain(self.asked.iter().flatten());
        let least = needed.map(|id| self.backups[id.index()].0.unwrap_or(0)).min();
        let commit = match self.config.acks {
            Acks::InSync => least.unwrap_or(0),
            Acks::Primary => self.log.len(),
        };
        self.commit_up_to(commit, ctx);
    }

    /// Says that it is there, and how much it has; the primary looks at its backups.
    pub(super) fn on_interval(&mut self, ctx: &mut Context<'_, Node>) {
        ctx.send(CONTROLLER, Message::Alive { epoch: self.view.epoch });
        if self.is_primary() {
            self.look_at_backups(ctx);
        } else {
            self.tell_primary(ctx);
        }
    }

    /// Sends what may be lost, and has those taken out who are silent.
    fn look_at_backups(&mut self, ctx: &mut Context<'_, Node>) {
        for other in NodeId::all(self.backups.len()) {
            self.append_to(other, ctx);
        }
        let (now, limit, epoch) = (ctx.now(), self.config.remove_after, self.view.epoch);
        let is_silent = |id: &NodeId| *id != self.id && self.backups[id.index()].1 + limit <= now;
        let mut in_sync = self.view.in_sync.clone();
        if in_sync.iter().chain(self.asked.iter().flatten()).any(is_silent) {
            ctx.reach("in sync: a silent backup is taken out");
            in_sync.retain(|id| !is_silent(id));
            // Not what it asked for before: whichever comes first, decides.
            return ctx.send(CONTROLLER, Message::Change { epoch, in_sync });
        }
        if let Some(in_sync) = self.asked.clone() {
            ctx.send(CONTROLLER, Message::Change { epoch, in_sync });
        } else if self.was_down {
            ctx.reach("recovery: a primary asks for another epoch");
            ctx.send(CONTROLLER, Message::Change { epoch, in_sync });
        }
    }

    /// Has an entry from now on, durably.
    fn take(&mut self, entry: Entry, ctx: &mut Context<'_, Node>) {
        ctx.append(Record::Entry(entry.clone()));
        ctx.sync();
        self.log.push(entry);
    }

    fn truncate(&mut self, count: usize, ctx: &mut Context<'_, Node>) {
        if self.log.len() <= count {
            return;
        }
        ctx.reach("truncation: a backup has more than the primary");
        self.log.truncate(count);
        ctx.append(Record::Truncated(count));
        ctx.sync();
        if count < self.commit {
            // What was committed is lost: the store is what is left.
            (self.commit, self.machine) = (0, Machine::default());
            self.carry_out(count);
        }
    }

    fn commit_up_to(&mut self, commit: usize, ctx: &mut Context<'_, Node>) {
        if commit <= self.commit {
            return;
        }
        ctx.append(Record::Committed(commit));
        let before = self.commit;
        self.carry_out(commit);
        if !self.is_primary() {
            return;
        }
        for entry in &self.log[before..commit] {
            if let Known::Done(answer) = self.machine.known(entry.update.request) {
                ctx.respond(entry.update.request, Response::Done(answer.clone()));
            }
        }
    }

    fn carry_out(&mut self, commit: usize) {
        for entry in self.log.iter().take(commit).skip(self.commit) {
            self.machine.apply(&entry.update);
        }
        self.commit = commit;
    }

    /// So many entries are of this epoch, or earlier ones.
    fn end_of(&self, epoch: Epoch) -> usize {
        self.log.partition_point(|entry| entry.epoch <= epoch)
    }

    fn last_epoch(&self) -> Epoch {
        self.log.last().map_or(0, |entry| entry.epoch)
    }
}

/// What reports and scenarios ask of a replica.
impl Replica {
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// The newest view that it has heard of.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Whether it leads that.
    pub fn is_primary(&self) -> bool {
        self.view.primary == self.id
    }

    /// Its log.
    pub fn log(&self) -> &[Entry] {
        &self.log
    }

    /// What it knows to be committed.
    pub fn committed(&self) -> &[Entry] {
        &self.log[..self.commit]
    }

    /// Whether it is the primary of its epoch, or a backup that has cut its log as that one said.
    pub(super) fn is_aligned(&self) -> bool {
        self.is_aligned
    }

    /// Of a primary: how much it knows each node to have.
    pub(super) fn counts(&self) -> impl Iterator<Item = (NodeId, usize)> {
        let known = self.backups.iter().map(|(count, _)| *count).filter(|_| self.is_primary());
        NodeId::all(self.backups.len()).zip(known).filter_map(|(id, count)| Some((id, count?)))
    }

    pub(super) fn waits(&self) -> String {
        let View { epoch, in_sync, .. } = &self.view;
        let (has, commit) = (self.log.len(), self.commit);
        if self.is_primary() && commit < has {
            return format!("for {in_sync:?} in epoch {epoch}: has {has}, committed {commit}");
        }
        String::new()
    }
}
