//! The controller: it says who leads, and who is in sync.

use super::{Config, Epoch, Message, Node, Record, Timer, View};
use seedfall_sim::{Context, NodeId, Time};

/// The controller's state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Controller {
    config: Config,
    view: View,
    /// When each node was last heard of.
    heard: Vec<Time>,
}

impl Controller {
    pub(super) fn start(config: &Config, journal: &[Record], ctx: &mut Context<'_, Node>) -> Self {
        let is_view = |record: &Record| match record {
            Record::View(view) => Some(view.clone()),
            _ => None,
        };
        let view = journal.iter().rev().find_map(is_view);
        let view = view.unwrap_or_else(|| View::first(ctx.nodes()));
        ctx.set_timer(Timer::Interval, config.interval);
        Self { config: *config, view, heard: vec![ctx.now(); ctx.nodes()] }
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn view(&self) -> &View {
        &self.view
    }

    pub(super) fn on_alive(&mut self, from: NodeId, epoch: Epoch, ctx: &mut Context<'_, Node>) {
        self.heard[from.index()] = ctx.now();
        if epoch < self.view.epoch {
            ctx.send(from, Message::View(self.view.clone()));
        }
    }

    /// The primary of this epoch alone says who is in sync with it.
    pub(super) fn on_change(
        &mut self,
        from: NodeId,
        epoch: Epoch,
        in_sync: Vec<NodeId>,
        ctx: &mut Context<'_, Node>,
    ) {
        if epoch != self.view.epoch || from != self.view.primary {
            return ctx.ignore("change: of an earlier epoch");
        }
        self.heard[from.index()] = ctx.now();
        self.begin(from, in_sync, ctx);
    }

    /// If the primary is silent, another that is in sync leads; if there is none, nobody.
    pub(super) fn on_interval(&mut self, ctx: &mut Context<'_, Node>) {
        let (now, limit) = (ctx.now(), self.config.remove_after);
        let is_heard = |id: &NodeId| now < self.heard[id.index()] + limit;
        if is_heard(&self.view.primary) {
            return;
        }
        let old = self.view.primary;
        let mut left: Vec<NodeId> = self.view.in_sync.clone();
        left.retain(|id| *id != old);
        match left.iter().copied().find(is_heard) {
            None => ctx.reach("controller: waits for the last that is in sync"),
            Some(primary) => {
                ctx.reach("controller: a silent primary is replaced");
                self.begin(primary, left, ctx);
            }
        }
    }

    /// The next epoch, durably: none has two primaries.
    fn begin(&mut self, primary: NodeId, in_sync: Vec<NodeId>, ctx: &mut Context<'_, Node>) {
        self.view = View { epoch: self.view.epoch + 1, primary, in_sync };
        self.heard[primary.index()] = ctx.now();
        ctx.append(Record::View(self.view.clone()));
        ctx.sync();
        ctx.broadcast(Message::View(self.view.clone()));
    }
}
