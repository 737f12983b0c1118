//! The guarded resource: it refuses who comes too late.

use super::{Config, Data, Message, Node, Record, Stamp};
use seedfall_sim::{Context, NodeId};

/// What is guarded, and by which tokens it was touched.
#[derive(Clone, Debug)]
pub struct Resource {
    config: Config,
    data: Data,
    /// The greatest that it has seen.
    seen: Stamp,
    /// The last write.
    written: Stamp,
    accesses: Vec<(NodeId, u64, bool)>,
}

impl Resource {
    pub(super) fn start(config: Config, journal: &[Record]) -> Self {
        let (mut data, mut seen) = (Data::default(), Stamp::default());
        for record in journal {
            match record {
                Record::Seen(stamp) => seen = seen.max(*stamp),
                Record::Data(now) => data = now.clone(),
                Record::Token(_) => unreachable!("the server's"),
            }
        }
        Self { config, data, seen, written: Stamp::default(), accesses: Vec::new() }
    }

    /// Who touched it in this life, under which token, and whether that was let through.
    pub fn accesses(&self) -> &[(NodeId, u64, bool)] {
        &self.accesses
    }

    /// The last access that it has let through.
    pub(super) fn seen(&self) -> Stamp {
        self.seen
    }

    /// Whether a later access was seen. Of one token a copy is refused in any case.
    fn is_stale(&self, stamp: Stamp) -> bool {
        let fenced = self.config.fenced || stamp.token == self.seen.token;
        fenced && stamp < self.seen
    }

    /// Notes an access, for good, unless it is stale.
    fn admits(&mut self, from: NodeId, stamp: Stamp, ctx: &mut Context<'_, Node>) -> bool {
        let admitted = !self.is_stale(stamp);
        self.accesses.push((from, stamp.token, admitted));
        if !admitted {
            ctx.reach("resource: a smaller token than it has seen");
            ctx.send(from, Message::Refused(stamp));
        } else if self.seen < stamp {
            self.seen = stamp;
            ctx.append(Record::Seen(stamp));
        }
        admitted
    }

    /// A worker reads.
    pub(super) fn on_read(&mut self, from: NodeId, stamp: Stamp, ctx: &mut Context<'_, Node>) {
        if self.admits(from, stamp, ctx) {
            ctx.sync();
            ctx.send(from, Message::Value(stamp, self.data.clone()));
        }
    }

    /// A worker writes. The same write again changes nothing.
    pub(super) fn on_write(
        &mut self,
        from: NodeId,
        stamp: Stamp,
        data: Data,
        ctx: &mut Context<'_, Node>,
    ) {
        if stamp == self.written {
            return ctx.send(from, Message::Written(stamp));
        }
        if self.admits(from, stamp, ctx) {
            (self.data, self.written) = (data, stamp);
            ctx.append(Record::Data(self.data.clone()));
            ctx.sync();
            ctx.send(from, Message::Written(stamp));
        }
    }
}
