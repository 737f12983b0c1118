//! A service: it does what it is told, once, and remembers.

use super::super::ledger::{Entry, Fate, Ledger, Verdict};
use super::super::{Config, Isolation, SagaId, Step, StepIndex};
use super::{Message, Node, Record, Response, service_of};
use crate::kv::Text;
use seedfall_sim::{Context, NodeId, RequestId};

/// A node that keeps accounts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    nodes: usize,
    config: Config,
    /// Durable.
    ledger: Ledger,
    /// Who waits until an account is not pending.
    readers: Vec<(RequestId, Text)>,
}

/// The services.
impl Service {
    pub(super) fn recover(journal: &[Record], nodes: usize, config: &Config) -> Self {
        let book = journal.iter().map(|record| match record {
            Record::Entered(entry) => entry,
            other => unreachable!("a service does not write {other:?}"),
        });
        let ledger = Ledger::of(book);
        Self { nodes, config: config.clone(), ledger, readers: Vec::new() }
    }

    /// A step: what was answered before is answered again, and happens once.
    pub(super) fn on_do(
        &mut self,
        from: NodeId,
        saga: SagaId,
        index: StepIndex,
        step: &Step,
        ctx: &mut Context<'_, Node>,
    ) {
        match self.ledger.fate(saga, index) {
            Some(Fate::Done) => ctx.reach("do: repeated, it had its one effect"),
            Some(Fate::Cancelled | Fate::Compensated) => {
                ctx.reach("do: behind its tombstone, it came to nothing");
            }
            None => {
                let (entry, verdict) = self.ledger.attempt(saga, index, step, &self.config);
                match verdict {
                    Verdict::Done => {}
                    Verdict::OutOfBounds => ctx.reach("do: refused, for the balance"),
                    Verdict::Pending => ctx.reach("do: refused, as the account is pending"),
                }
                self.enter(entry, ctx);
            }
        }
        let took_place = self.ledger.fate(saga, index) == Some(Fate::Done);
        ctx.send(
            from,
            if took_place {
                Message::Done { saga, index }
            } else {
                Message::Refused { saga, index }
            },
        );
    }

    /// A compensation, or, before its step, a tombstone.
    pub(super) fn on_undo(
        &mut self,
        from: NodeId,
        saga: SagaId,
        index: StepIndex,
        step: &Step,
        ctx: &mut Context<'_, Node>,
    ) {
        match self.ledger.compensate(saga, index, step) {
            None => ctx.reach("undo: repeated, it had its one effect"),
            Some(entry) => {
                if let Entry::Cancelled { .. } = entry {
                    ctx.reach("undo: before its step, it left a tombstone");
                }
                self.enter(entry, ctx);
            }
        }
        ctx.send(from, Message::Undone { saga, index });
        self.serve_readers(ctx);
    }

    pub(super) fn on_settle(&mut self, from: NodeId, saga: SagaId, ctx: &mut Context<'_, Node>) {
        if self.ledger.holds(saga) {
            self.enter(Entry::Settled { saga }, ctx);
        }
        ctx.send(from, Message::Settled { saga });
        self.serve_readers(ctx);
    }

    pub(super) fn on_read(
        &mut self,
        request: RequestId,
        account: Text,
        ctx: &mut Context<'_, Node>,
    ) {
        let service = service_of(&account, self.nodes);
        if service != ctx.id() {
            return ctx.respond(request, Response::Elsewhere(service));
        }
        if !self.readers.iter().any(|(waiting, _)| *waiting == request) {
            self.readers.push((request, account));
        }
        self.serve_readers(ctx);
    }

    /// Answers everybody who need not wait.
    fn serve_readers(&mut self, ctx: &mut Context<'_, Node>) {
        let Self { ledger, readers, config, .. } = self;
        let waits = config.isolation == Isolation::SemanticLock;
        readers.retain(|(request, account)| {
            if waits && ledger.is_pending(account) {
                ctx.reach("read: waits, as the account is pending");
                return true;
            }
            ctx.respond(*request, Response::Standing(ledger.standing(account)));
            false
        });
    }

    /// Writes a line of the book, durably.
    fn enter(&mut self, entry: Entry, ctx: &mut Context<'_, Node>) {
        ctx.append(Record::Entered(entry.clone()));
        ctx.sync();
        self.ledger.enter(entry);
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn nodes(&self) -> usize {
        self.nodes
    }

    pub(super) fn unfinished(&self) -> Option<String> {
        let (request, account) = self.readers.first()?;
        Some(format!("{request} waits for account {account}"))
    }
}
