//! Figure 3 of the Raft paper, watched from outside while a run goes on: what must hold of raft-rs
//! as of any Raft.
//!
//! Logs are compared by digests that are chained from their first entries: where one agrees, so
//! does all before it.

use crate::server::Server;
use seedfall::sim::{Monitor, NodeId, Violation};
use std::collections::BTreeMap;

/// Watches the servers of one run.
#[derive(Debug, Default)]
pub struct Invariants {
    seen: BTreeMap<NodeId, Seen>,
    /// Who was seen to lead which term.
    leaders: BTreeMap<u64, NodeId>,
    /// The digest of every log up to every entry ever seen, by index and term.
    entries: BTreeMap<(u64, u64), u64>,
    /// By index: what was applied there first, in which term of the server, and by whom.
    applied: BTreeMap<u64, First>,
}

#[derive(Debug)]
struct First {
    log: u64,
    answers: u64,
    term: u64,
    by: NodeId,
}

/// A server as it was when it was looked at last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    term: u64,
    leads: bool,
    base: u64,
    last: u64,
    digest: u64,
    applied: u64,
}

impl Monitor<Server> for Invariants {
    fn observe(&mut self, node: NodeId, server: &Server) -> Result<(), Violation> {
        let log = server.log();
        let now = Seen {
            term: server.term(),
            leads: server.leads(),
            base: log.base(),
            last: log.last(),
            digest: log.last_digest(),
            applied: server.applied(),
        };
        let before = self.seen.insert(node, now).unwrap_or_default();
        if now == before {
            return Ok(());
        }
        if (now.last, now.digest) != (before.last, before.digest) {
            self.observe_log(node, server)?;
        }
        if now.applied != before.applied {
            self.observe_applied(node, server)?;
        }
        if now.leads && (before.term, before.leads) != (now.term, true) {
            self.observe_leader(node, server)?;
        }
        Ok(())
    }
}

impl Invariants {
    /// Log Matching, from the end of the log back to the first entry that is known.
    fn observe_log(&mut self, node: NodeId, server: &Server) -> Result<(), Violation> {
        let log = server.log();
        for index in (log.base() + 1..=log.last()).rev() {
            let (Some(term), Some(digest)) = (log.term_at(index), log.digest_at(index)) else {
                unreachable!("the log has what lies between its ends");
            };
            match self.entries.insert((index, term), digest) {
                Some(known) if known == digest => break,
                Some(_) => {
                    return violated(
                        "Log Matching",
                        format!("entry {index} of term {term} on {node} follows another log"),
                    );
                }
                None => {}
            }
        }
        Ok(())
    }

    /// State Machine Safety: equal entries and equal answers, up to the last that was applied.
    fn observe_applied(&mut self, node: NodeId, server: &Server) -> Result<(), Violation> {
        let (index, log) = (server.applied(), server.log());
        let Some(digest) = log.digest_at(index) else {
            return violated(
                "State Machine Safety",
                format!("{node} applied entry {index}, which is not in its log"),
            );
        };
        let answers = server.machine().digest();
        let first = First { log: digest, answers, term: server.term(), by: node };
        let first = self.applied.entry(index).or_insert(first);
        if (first.log, first.answers) != (digest, answers) {
            return violated(
                "State Machine Safety",
                format!("{node} and {} applied other entries up to {index}", first.by),
            );
        }
        Ok(())
    }

    /// Election Safety and Leader Completeness.
    fn observe_leader(&mut self, node: NodeId, server: &Server) -> Result<(), Violation> {
        let term = server.term();
        let first = *self.leaders.entry(term).or_insert(node);
        if first != node {
            return violated("Election Safety", format!("{first} and {node} both lead {term}"));
        }
        // A late winner of an old term owes nothing to what later terms have committed.
        let owed = self.applied.iter().rev().find(|(_, first)| first.term < term);
        if let Some((index, first)) = owed
            && *index >= server.log().base()
            && server.log().digest_at(*index) != Some(first.log)
        {
            return violated(
                "Leader Completeness",
                format!("{node} leads term {term} without the {index} entries of {}", first.by),
            );
        }
        Ok(())
    }
}

fn violated(property: &'static str, explanation: String) -> Result<(), Violation> {
    Err(Violation { property, explanation })
}
