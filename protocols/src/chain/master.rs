//! The master (3): it decides who is in the chain.

use super::{Chain, Config, Member, Message, Node, Record, Timer};
use seedfall_sim::{Context, NodeId, Time};

/// The master's state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Master {
    config: Config,
    chain: Chain,
    /// When each node was last heard of, on the master's clock.
    heard: Vec<Time>,
    /// Which servers of this chain are known to have all that is committed.
    ready: Vec<NodeId>,
}

impl Master {
    pub(super) fn start(config: &Config, journal: &[Record], ctx: &mut Context<'_, Node>) -> Self {
        let is_chain = |record: &Record| match record {
            Record::Chain(chain) => Some(chain.clone()),
            _ => None,
        };
        // Whoever it does not know to be silent may have a lease.
        let heard = vec![ctx.now(); ctx.nodes()];
        let chain = journal.iter().rev().find_map(is_chain);
        let mut master =
            Self { config: *config, chain: Chain::default(), heard, ready: Vec::new() };
        match chain {
            Some(chain) => master.chain = chain,
            None => {
                let servers = NodeId::all(ctx.nodes()).skip(1);
                let members: Vec<Member> =
                    servers.map(|server| Member { server, since: 1 }).collect();
                // Nothing is committed yet.
                master.ready = members.iter().map(|member| member.server).collect();
                master.make(members, ctx);
            }
        }
        ctx.set_timer(Timer::Interval, config.interval);
        master
    }

    pub(super) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// A server is up: a member gets a lease, another a place at the end, once all are ready.
    pub(super) fn on_alive(
        &mut self,
        from: NodeId,
        at: Time,
        is_ready: bool,
        ctx: &mut Context<'_, Node>,
    ) {
        self.heard[from.index()] = ctx.now();
        let is_member = self.chain.since(from).is_some();
        if is_member && is_ready && !self.ready.contains(&from) {
            self.ready.push(from);
        }
        if !is_member && self.are_all_ready() {
            ctx.reach("master: a server comes back as the tail");
            let mut members = self.chain.members.clone();
            members.push(Member { server: from, since: self.chain.epoch + 1 });
            self.make(members, ctx);
        }
        ctx.send(from, Message::Grant { at, chain: self.chain.clone() });
    }

    /// Takes out who has been silent for longer than a lease; never the last that is ready.
    pub(super) fn on_interval(&mut self, ctx: &mut Context<'_, Node>) {
        ctx.set_timer(Timer::Interval, self.config.interval);
        let (now, limit) = (ctx.now(), self.config.remove_after);
        let is_heard = |member: &Member| now < self.heard[member.server.index()] + limit;
        let left: Vec<Member> = self.chain.members.iter().copied().filter(is_heard).collect();
        if left.len() == self.chain.members.len() {
            return;
        }
        if !left.iter().any(|member| self.ready.contains(&member.server)) {
            return ctx.reach("master: keeps the last server that is ready, silent or not");
        }
        ctx.reach("master: takes out a silent server");
        self.make(left, ctx);
    }

    /// The next chain, durably: no epoch has two.
    fn make(&mut self, members: Vec<Member>, ctx: &mut Context<'_, Node>) {
        self.chain = Chain { epoch: self.chain.epoch + 1, members };
        self.ready.retain(|id| self.chain.since(*id).is_some());
        ctx.append(Record::Chain(self.chain.clone()));
        ctx.sync();
    }

    fn are_all_ready(&self) -> bool {
        self.chain.members.iter().all(|member| self.ready.contains(&member.server))
    }
}
