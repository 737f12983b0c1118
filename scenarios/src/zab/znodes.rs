//! What the answers of a small `ZooKeeper` must be, as far as its clients can know.
//!
//! Updates are told their transactions, and reads how many there were: so the answers can be
//! followed, one transaction after the other. Between two that were told, others may be: updates
//! of whose answer nobody heard, and ends of sessions. What those may have changed is not known
//! from there on.

use super::{Told, answered};
use seedfall::property::Judgement;
use seedfall_checkers::{History, Operation as Called};
use seedfall_protocols::kv::Text;
use seedfall_protocols::zab::{Answer, Operation, Znode, Zxid};
use seedfall_sim::{ClientId, SortedMap};

/// What is known of a path.
#[derive(Clone, Debug, PartialEq)]
enum Known {
    /// Nothing, since that transaction.
    Unsure,
    /// The znode there, if there is one, and by which transaction it came so.
    Sure(Option<Znode>, Zxid),
}

/// What is known of all paths after a transaction.
struct Followed {
    at: Zxid,
    paths: SortedMap<Text, Known>,
    /// Paths that updates without an answer are about.
    unanswered: Vec<Text>,
}

/// Each update has the answer that it must have after those before it, and each read returns what
/// they have left; who waits for a change is told of one.
pub(super) fn follow_from_transactions(history: &History<Operation, Told>) -> Judgement {
    let open = history.operations.iter().filter(|one| one.outcome.output().is_none());
    let unanswered = open.filter_map(|one| changes(&one.input)).cloned().collect();
    let mut known = Followed { at: Zxid::default(), paths: SortedMap::new(), unanswered };
    let mut all: Vec<_> = answered(history).collect();
    all.sort_by_key(|(_, one, _, told)| (told.zxid, !one.input.is_update()));
    for (index, one, _, told) in all {
        known.go_to(told.zxid, one.input.is_update());
        if let Err(why) = known.answer(one, told) {
            return Judgement::violated(why).at(index);
        }
    }
    Judgement::Holds
}

/// The path that an update changes, if it is one.
fn changes(input: &Operation) -> Option<&Text> {
    match input {
        Operation::Create { path, .. }
        | Operation::Set { path, .. }
        | Operation::Delete { path } => Some(path),
        Operation::Close | Operation::Get { .. } | Operation::Watch { .. } => None,
    }
}

fn parent(path: &str) -> Option<Text> {
    path.rsplit_once('/').map(|(parent, _)| Text::from(parent)).filter(|parent| !parent.is_empty())
}

impl Followed {
    /// A transaction was told: what may have been between is not known.
    fn go_to(&mut self, zxid: Zxid, is_update: bool) {
        let next = Zxid { counter: self.at.counter + 1, ..self.at };
        let is_next = is_update && zxid == next;
        if zxid != self.at && !is_next {
            for path in &self.unanswered {
                self.paths.insert(path.clone(), Known::Unsure);
            }
            for known in self.paths.values_mut() {
                if matches!(known, Known::Sure(Some(Znode { owner: Some(_), .. }), _)) {
                    *known = Known::Unsure; // Its session may be over.
                }
            }
        }
        self.at = zxid;
    }

    fn of(&self, path: &str) -> Known {
        self.paths.get(path).cloned().unwrap_or(Known::Sure(None, Zxid::default()))
    }

    fn set(&mut self, path: &Text, znode: Option<Znode>) {
        self.paths.insert(path.clone(), Known::Sure(znode, self.at));
    }

    fn answer(&mut self, one: &Called<Operation, Told>, told: &Told) -> Result<(), String> {
        let client = ClientId::new(one.client as u16);
        match &one.input {
            Operation::Create { path, data, ephemeral } => {
                self.expect(&told.answer, &self.created(path))?;
                if told.answer == Answer::Done {
                    let (created, modified, data) = (self.at, self.at, data.clone());
                    let owner = ephemeral.then_some(client);
                    let znode = Znode { data, version: 0, created, modified, owner };
                    self.set(path, Some(znode));
                }
            }
            Operation::Set { path, data } => match self.of(path) {
                Known::Unsure => {}
                Known::Sure(None, _) => self.expect(&told.answer, &[Answer::NoNode])?,
                Known::Sure(Some(before), _) => {
                    self.expect(&told.answer, &[Answer::Done])?;
                    let (data, version) = (data.clone(), before.version + 1);
                    self.set(path, Some(Znode { data, version, modified: self.at, ..before }));
                }
            },
            Operation::Delete { path } => {
                self.expect(&told.answer, &self.deleted(path))?;
                if told.answer == Answer::Done {
                    self.set(path, None);
                }
            }
            Operation::Close => {
                for known in self.paths.values_mut() {
                    if matches!(known, Known::Sure(Some(znode), _) if znode.owner == Some(client)) {
                        *known = Known::Sure(None, self.at);
                    }
                }
            }
            Operation::Get { path, .. } => {
                if let Known::Sure(znode, since) = self.of(path)
                    && told.answer != Answer::Node(znode.clone())
                {
                    return Err(format!("{path} is {znode:?} since {since:?}"));
                }
            }
            Operation::Watch { path, seen } => {
                if let Known::Sure(_, since) = self.of(path)
                    && since <= *seen
                {
                    return Err(format!("{path} has not changed since {since:?}"));
                }
            }
        }
        Ok(())
    }

    fn expect(&self, answer: &Answer, may: &[Answer]) -> Result<(), String> {
        match may.contains(answer) {
            true => Ok(()),
            false => Err(format!("transaction {:?} can only be answered by {may:?}", self.at)),
        }
    }

    fn created(&self, path: &Text) -> Vec<Answer> {
        let above = parent(path).map(|parent| self.of(&parent));
        let of_parent = match above {
            Some(Known::Unsure) => vec![Answer::Done, Answer::NoNode, Answer::NoChildren],
            Some(Known::Sure(None, _)) => vec![Answer::NoNode],
            Some(Known::Sure(Some(parent), _)) if parent.owner.is_some() => {
                vec![Answer::NoChildren]
            }
            _ => vec![Answer::Done],
        };
        match self.of(path) {
            Known::Sure(Some(_), _) => vec![Answer::NodeExists],
            Known::Sure(None, _) => of_parent,
            Known::Unsure => [of_parent, vec![Answer::NodeExists]].concat(),
        }
    }

    fn deleted(&self, path: &Text) -> Vec<Answer> {
        let is_below = |other: &&Text| parent(other).as_ref() == Some(path);
        let below: Vec<Known> =
            self.paths.keys().filter(is_below).map(|one| self.of(one)).collect();
        let of_children = if below.iter().any(|one| matches!(one, Known::Sure(Some(_), _))) {
            vec![Answer::NotEmpty]
        } else if below.contains(&Known::Unsure) {
            vec![Answer::Done, Answer::NotEmpty]
        } else {
            vec![Answer::Done]
        };
        match self.of(path) {
            Known::Sure(None, _) => vec![Answer::NoNode],
            Known::Sure(Some(_), _) => of_children,
            Known::Unsure => [of_children, vec![Answer::NoNode]].concat(),
        }
    }
}
