//! Figure 3, watched from outside while a run goes on.
//!
//! The work of one look is in proportion to what changed since the last look at that server, and
//! nothing when nothing changed: logs are compared by the digests that stand beside their entries.
//!
//! One thing is asked for beyond Figure 3, called *Durability* here: a server that stores a
//! committed entry keeps it, crash or no crash. Raft gives it: what a server acknowledged is
//! durable, and no leader since has another entry in that place. (Up to the term of the commitment,
//! a server may still lose the entry to an older leader's message; it was not among those who were
//! counted.)
//!
//! And one rule of section 6, *Latest Configuration*: a server uses the latest configuration in its
//! log. What a snapshot replaced stays under watch, by what was seen of it before.

use super::log::{Entry, LogIndex, Term};
use super::membership::NodeSet;
use super::{Log, Raft};
use seedfall_sim::{ClientId, Monitor, NodeId, SortedMap, StableHasher, Violation};

/// Watches the servers of one run.
#[derive(Clone, Debug, Default, Hash)]
pub struct Invariants {
    servers: Vec<Seen>,
    /// Who was seen to lead which term.
    leaders: SortedMap<Term, NodeId>,
    entries: Entries,
    /// Everything ever seen committed, from the first entry on.
    committed: Vec<Committed>,
    /// The digest of the state machine after that many entries, and of all that it answered, where
    /// a server was seen to have applied so many.
    answers: Vec<Option<u64>>,
    /// The number of each client's latest command after the most entries ever seen applied.
    sessions: Vec<u64>,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

/// A server as it was when it was looked at last, maybe before a crash.
#[derive(Clone, Debug, Default, Hash)]
struct Seen {
    term: Term,
    leads: bool,
    commit: LogIndex,
    /// The last digest of its log: beside the rest, as it is compared after every event.
    last: u64,
    /// The digests of its log.
    log: Vec<u64>,
}

/// What every log must have at some index, from some term on.
#[derive(Clone, Copy, Debug, Hash)]
struct Committed {
    digest: u64,
    /// The term in which it was committed: leaders of later terms must have it.
    term: Term,
    by: NodeId,
}

/// The digest of the log up to each entry ever seen: there is one for an index and a term.
#[derive(Clone, Debug, Default, Hash)]
struct Entries {
    /// By index, for the term first seen there; nearly always the only one.
    first: Vec<(Term, u64)>,
    others: SortedMap<(LogIndex, Term), u64>,
}

impl Monitor<Raft> for Invariants {
    fn observe(&mut self, node: NodeId, state: &Raft) -> Result<(), Violation> {
        if self.servers.len() <= node.index() {
            self.servers.resize_with(node.index() + 1, Seen::default);
        }
        let seen = &self.servers[node.index()];
        let log = state.log();
        let same_log =
            seen.last == log.last_digest() && seen.log.len() as u64 == log.last_index().0;
        let same_role = (seen.term, seen.leads) == (state.term(), state.is_leader());
        if same_log && same_role && seen.commit == state.commit_index() {
            return Ok(());
        }
        if !same_log {
            self.observe_log(node, state)?;
        }
        if !same_role {
            self.observe_role(node, state)?;
        }
        self.observe_commit(node, state)
    }
}

impl Invariants {
    /// Leader Append-Only, Durability and Log Matching: about the entries that are gone and those
    /// that are new.
    fn observe_log(&mut self, node: NodeId, state: &Raft) -> Result<(), Violation> {
        let log = state.log();
        let base = log.base().0 as usize;
        if base > 0 {
            self.observe_base(node, state)?;
        }
        let seen = &mut self.servers[node.index()];
        let kept = common_prefix(&seen.log, log);
        let mut reconfigured = kept < seen.log.len();
        let lost = LogIndex(kept as u64 + 1);
        let still_leads = seen.leads && state.is_leader() && seen.term == state.term();
        if kept < seen.log.len() && still_leads {
            return violated(
                "Leader Append-Only",
                format!("{node} leads {} and changed its entry {lost}: {log}", seen.term),
            );
        }
        if let (Some(old), Some(committed)) = (seen.log.get(kept), self.committed.get(kept))
            && *old == committed.digest
            && committed.term <= state.term()
        {
            let Committed { term, by, .. } = committed;
            return violated(
                "Durability",
                format!("{node} lost entry {lost}, which {by} had committed by {term}: {log}"),
            );
        }
        seen.last = log.last_digest();
        seen.log.truncate(kept);
        for (index, entry) in (kept + 1..).zip(&log.entries()[kept - base..]) {
            reconfigured |= entry.configuration().is_some();
            let index = LogIndex(index as u64);
            let digest = log.digest_at(index).expect("every entry has a digest");
            if !self.entries.agree(index, entry.term, digest) {
                return violated(
                    "Log Matching",
                    format!("entry {index} of {} on {node} follows another log: {log}", entry.term),
                );
            }
            seen.log.push(digest);
        }
        if reconfigured { latest_configuration(node, state) } else { Ok(()) }
    }

    /// Snapshots replace what was committed, and nothing else: what is gone from a log was there
    /// before, or somebody had committed it.
    fn observe_base(&mut self, node: NodeId, state: &Raft) -> Result<(), Violation> {
        let seen = &mut self.servers[node.index()];
        let Some(slot) = (state.log().base().0 as usize).checked_sub(1) else { return Ok(()) };
        let digest = state.log().digest_at(state.log().base());
        if seen.log.get(slot).copied() == digest {
            return Ok(());
        }
        // A leader by itself appends, commits and replaces an entry within one event.
        let gone = state.log().gone();
        let first = (slot + 1).saturating_sub(gone.len());
        if seen.log.len() >= first && !gone.is_empty() && state.is_leader() {
            for (place, (term, digest)) in (first..).zip(gone).skip(seen.log.len() - first) {
                if !self.entries.agree(LogIndex(place as u64 + 1), *term, *digest) {
                    break;
                }
                seen.log.push(*digest);
            }
            if seen.log.get(slot).copied() == digest {
                return Ok(());
            }
        }
        // And nobody sees it do so, if it crashes within that event: once it is back, it counts.
        let log = state.log();
        let is_alone = state.configuration_at_base().is_quorum(NodeSet::EMPTY.with(node));
        if let (true, Some(term), Some(digest)) = (is_alone, log.term_at(log.base()), digest)
            && seen.log.len() == slot
            && self.entries.agree(log.base(), term, digest)
        {
            seen.log.push(digest);
            return Ok(());
        }
        match self.committed.get(slot) {
            Some(committed) if Some(committed.digest) == digest => {
                seen.log.clear();
                seen.log.extend(self.committed[..=slot].iter().map(|entry| entry.digest));
                Ok(())
            }
            _ => violated(
                "State Machine Safety",
                format!("{node} has a snapshot of what nobody committed: {}", state.log()),
            ),
        }
    }

    /// Election Safety, and Leader Completeness of a new leader.
    fn observe_role(&mut self, node: NodeId, state: &Raft) -> Result<(), Violation> {
        let seen = &mut self.servers[node.index()];
        (seen.term, seen.leads) = (state.term(), state.is_leader());
        if !state.is_leader() {
            return Ok(());
        }
        let term = state.term();
        let first = *self.leaders.entry(term).or_insert(node);
        if first != node {
            return violated("Election Safety", format!("{first} and {node} both lead {term}"));
        }
        // A late winner of an old term owes nothing to what later terms have committed.
        match self.committed.iter().rposition(|committed| committed.term < term) {
            Some(slot) => self.has_committed(node, slot, state.log()),
            None => Ok(()),
        }
    }

    /// State Machine Safety of what a server newly knows to be committed, and Leader Completeness
    /// of all leaders.
    fn observe_commit(&mut self, node: NodeId, state: &Raft) -> Result<(), Violation> {
        let seen = &mut self.servers[node.index()];
        let (before, commit) = (seen.commit, state.commit_index());
        // A restarted server knows of nothing committed, and learns it again.
        seen.commit = commit;
        let agreed = commit.0.min(self.committed.len() as u64);
        if before < commit && agreed > 0 {
            let committed = self.committed[agreed as usize - 1];
            if seen.log.get(agreed as usize - 1) != Some(&committed.digest) {
                let by = committed.by;
                return violated(
                    "State Machine Safety",
                    format!(
                        "{node} committed {commit} entries, but not as {by} up to {agreed}: {}",
                        state.log()
                    ),
                );
            }
        }
        let known = self.committed.len();
        for digest in seen.log.iter().take(commit.0 as usize).skip(known) {
            self.committed.push(Committed { digest: *digest, term: state.term(), by: node });
        }
        if known < self.committed.len() {
            self.leaders_have_committed()?;
        }
        self.observe_answers(node, state)
    }

    /// Leader Completeness, for leaders of later terms than an entry's commitment that were elected
    /// before it.
    fn leaders_have_committed(&self) -> Result<(), Violation> {
        let slot = self.committed.len() - 1;
        let Committed { digest, term, by } = self.committed[slot];
        let lacks =
            |seen: &Seen| seen.leads && seen.term > term && seen.log.get(slot) != Some(&digest);
        match self.servers.iter().position(lacks) {
            None => Ok(()),
            Some(server) => violated(
                "Leader Completeness",
                format!(
                    "{} leads {} without entry {}, which {by} now committed in {term}",
                    NodeId::new(server as u16),
                    self.servers[server].term,
                    slot + 1,
                ),
            ),
        }
    }

    /// Leader Completeness of one leader, up to one committed entry.
    fn has_committed(&self, node: NodeId, slot: usize, log: &Log) -> Result<(), Violation> {
        let Committed { digest, term, by } = self.committed[slot];
        let index = LogIndex(slot as u64 + 1);
        if self.servers[node.index()].log.get(slot) == Some(&digest) {
            return Ok(());
        }
        violated(
            "Leader Completeness",
            format!(
                "{node} leads {} without all {index} entries that {by} committed by {term}: {log}",
                self.servers[node.index()].term
            ),
        )
    }

    /// State Machine Safety to the end: equal entries, equal answers, stores and sessions.
    fn observe_answers(&mut self, node: NodeId, state: &Raft) -> Result<(), Violation> {
        let applied = state.commit_index().0 as usize;
        if self.answers.len() <= applied {
            self.answers.resize(applied + 1, None);
            self.observe_sessions(node, state)?;
        }
        let digest = StableHasher::hash(state.machine());
        if *self.answers[applied].get_or_insert(digest) != digest {
            return violated(
                "State Machine Safety",
                format!(
                    "{node} has applied {applied} entries otherwise than another server, with \
                     other answers, sessions or contents"
                ),
            );
        }
        Ok(())
    }
}

impl Invariants {
    /// Dissertation 6.3: what took effect never does again, so the numbers of a session grow.
    fn observe_sessions(&mut self, node: NodeId, state: &Raft) -> Result<(), Violation> {
        let numbers = state.machine().sessions().map(|one| one.map_or(0, |one| one.sequence));
        for (client, number) in numbers.enumerate() {
            if self.sessions.len() <= client {
                self.sessions.push(0);
            }
            let before = std::mem::replace(&mut self.sessions[client], number);
            if number < before {
                let client = ClientId::new(client as u16);
                return violated(
                    "Session",
                    format!("{node} applied command {number} of {client} after its {before}"),
                );
            }
        }
        Ok(())
    }
}

impl Entries {
    /// True if this digest is the one for the index and term, or the first to be seen.
    #[inline]
    fn agree(&mut self, index: LogIndex, term: Term, digest: u64) -> bool {
        let slot = index.before().0 as usize;
        match self.first.get(slot) {
            None => {
                assert_eq!(slot, self.first.len(), "logs are looked at from their first entry on");
                self.first.push((term, digest));
                true
            }
            Some((first, known)) if *first == term => *known == digest,
            Some(_) => *self.others.entry((index, term)).or_insert(digest) == digest,
        }
    }
}

/// How many digests the log still has, those up to its base included. Digests are chained: where
/// one agrees, all before it do.
fn common_prefix(seen: &[u64], log: &Log) -> usize {
    let base = log.base().0 as usize;
    let (seen, digests) = (&seen[base..], log.digests());
    let shorter = seen.len().min(digests.len());
    let agrees = |slot: &usize| seen[*slot] == digests[*slot];
    base + (0..shorter).rev().find(agrees).map_or(0, |slot| slot + 1)
}

/// Section 6: a server uses the latest configuration in its log, committed or not.
fn latest_configuration(node: NodeId, state: &Raft) -> Result<(), Violation> {
    let mut entries = state.log().entries().iter().rev();
    let latest = entries.find_map(Entry::configuration);
    let (latest, used) = (latest.unwrap_or(state.configuration_at_base()), state.configuration());
    if latest == used {
        return Ok(());
    }
    violated(
        "Latest Configuration",
        format!("{node} uses {used:?}, but the latest in its log is {latest:?}"),
    )
}

#[cold]
fn violated(property: &'static str, explanation: String) -> Result<(), Violation> {
    Err(Violation { property, explanation })
}
