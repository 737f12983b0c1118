//! What replicas must show, said by the updates that they have received, and not by how they merge
//! (Burckhardt, Gotsman, Yang and Zawirski, *Replicated Data Types: Specification, Verification,
//! Optimality*, POPL 2014); watched from outside while a run goes on.

use super::{Dot, Operation, Place, Replica, Shown, State, Update, Vector};
use crate::kv::Text;
use seedfall_sim::{Monitor, NodeId, SortedMap, SortedSet, Violation};

/// Watches the replicas of one run.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    /// Every update of the run.
    updates: SortedMap<Dot, Update>,
    /// What was shown by whoever had received so much first.
    shown: SortedMap<Vector, (Shown, NodeId)>,
    /// What each replica was when it was last looked at.
    seen: SortedMap<NodeId, State>,
}

/// A watcher that has seen nothing yet.
pub fn invariants() -> Invariants {
    Invariants::default()
}

impl Monitor<Replica> for Invariants {
    fn observe(&mut self, node: NodeId, replica: &Replica) -> Result<(), Violation> {
        let mut at = 0;
        let mut news = Vec::new();
        for update in replica.updates() {
            let known = self.updates.entry_in_step(update.dot, &mut at);
            known.or_insert_with(|| {
                news.push(update.dot);
                update.clone()
            });
        }
        news.into_iter().try_for_each(|dot| self.check_clock(dot))?;
        let (state, seen) = (replica.state(), self.seen.get(&node));
        if seen == Some(state) {
            return Ok(());
        }
        // By raw operations the same may be applied twice, and the context does not tell.
        let (context, shown) = (state.context(), state.shown());
        let is_looked_at = seen.is_some_and(|seen| seen.context() == context)
            && self.shown.get(context).is_some_and(|(first, _)| *first == shown);
        self.seen.insert(node, state.clone());
        if is_looked_at {
            return Ok(());
        }
        let (first, by) =
            self.shown.entry(context.clone()).or_insert_with(|| (shown.clone(), node));
        if *first != shown {
            let explanation = format!("{by} shows {first:?}, {node}, with the same, {shown:?}");
            return Err(Violation { property: "Convergence", explanation });
        }
        self.judge(node, context, &shown)
    }
}

impl Invariants {
    fn judge(&self, node: NodeId, context: &Vector, shown: &Shown) -> Result<(), Violation> {
        let received: Vec<&Update> =
            self.updates.values().filter(|update| context.has(update.dot)).collect();
        let broken = |property, expected: String, shows: String| {
            let explanation = format!("{node} shows {shows}; what it has received is {expected}");
            Err(Violation { property, explanation })
        };
        let counter = sum(&received);
        if shown.counter != counter {
            return broken("Counter", counter.to_string(), shown.counter.to_string());
        }
        let set = elements(&received);
        if shown.set != set {
            return broken("Set", format!("{set:?}"), format!("{:?}", shown.set));
        }
        let last = last(&received);
        if shown.last != last {
            return broken("Last", format!("{last:?}"), format!("{:?}", shown.last));
        }
        let values = values(&received);
        if shown.values != values {
            return broken("Values", format!("{values:?}"), format!("{:?}", shown.values));
        }
        let typed = text(&received);
        if shown.text != typed {
            return broken("Text", format!("{typed:?}"), format!("{:?}", shown.text));
        }
        Ok(())
    }

    /// Lamport 1978: the clock of an update is above those of all that it rests on.
    fn check_clock(&self, dot: Dot) -> Result<(), Violation> {
        let update = &self.updates[&dot];
        let past = self.updates.values().filter(|other| update.past.has(other.dot));
        match past.max_by_key(|other| other.clock) {
            Some(other) if update.clock <= other.clock => {
                let explanation = format!(
                    "{dot:?} has clock {}, and rests on {:?} of clock {}",
                    update.clock, other.dot, other.clock
                );
                Err(Violation { property: "Clock", explanation })
            }
            _ => Ok(()),
        }
    }
}

fn sum(received: &[&Update]) -> i64 {
    let amount = |update: &&Update| match update.operation {
        Operation::Add(amount) => amount,
        _ => 0,
    };
    received.iter().map(amount).sum()
}

/// Additions win: an insertion counts unless a removal had seen it.
fn elements(received: &[&Update]) -> SortedSet<Text> {
    let removed = |element: &Text, dot| {
        received.iter().any(|other| {
            matches!(&other.operation, Operation::Remove(same) if same == element)
                && other.past.has(dot)
        })
    };
    let there = received.iter().filter_map(|update| match &update.operation {
        Operation::Insert(element) if !removed(element, update.dot) => Some(element.clone()),
        _ => None,
    });
    there.collect()
}

fn last(received: &[&Update]) -> Option<Text> {
    let assigned = received.iter().filter_map(|update| match &update.operation {
        Operation::Assign(value) => Some((update.clock, update.dot.node, value)),
        _ => None,
    });
    assigned.max().map(|(_, _, value)| value.clone())
}

/// What no later write has seen.
fn values(received: &[&Update]) -> SortedSet<Text> {
    let written = received.iter().filter_map(|update| match &update.operation {
        Operation::Write(value) => Some((update, value)),
        _ => None,
    });
    let written: Vec<_> = written.collect();
    let is_seen = |dot| written.iter().any(|(other, _)| other.past.has(dot));
    let there = written.iter().filter(|(update, _)| !is_seen(update.dot));
    there.map(|(_, value)| (*value).clone()).collect()
}

/// What was typed and not erased, in the order of the paper of 2011 (section 5.3): each character
/// stands behind the one behind which it was typed, and behind what was typed there later.
fn text(received: &[&Update]) -> String {
    let place = |update: &Update| Place { clock: update.clock, node: update.dot.node };
    let mut typed: Vec<(Place, Option<Place>, char)> = received
        .iter()
        .filter_map(|update| match update.operation {
            Operation::Type(behind, char) => Some((place(update), behind, char)),
            _ => None,
        })
        .collect();
    typed.sort_unstable(); // Causes come before their effects.
    let mut row: Vec<(Place, char)> = Vec::new();
    for (place, behind, char) in typed {
        let after = |behind| row.iter().position(|(other, _)| *other == behind).map(|at| at + 1);
        let from = behind.and_then(after).unwrap_or(0);
        let later = row[from..].iter().take_while(|(other, _)| place < *other).count();
        row.insert(from + later, (place, char));
    }
    let erased: SortedSet<Place> = received
        .iter()
        .filter_map(|update| match update.operation {
            Operation::Erase(place) => Some(place),
            _ => None,
        })
        .collect();
    row.into_iter().filter(|(place, _)| !erased.contains(place)).map(|(_, char)| char).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(number: u64, clock: u64, behind: Option<Place>, char: char) -> Update {
        let dot = Dot { node: NodeId::new(0), number };
        Update { dot, past: Vector::default(), clock, operation: Operation::Type(behind, char) }
    }

    #[test]
    fn what_is_typed_later_behind_one_stands_before_what_was_typed_earlier() {
        let place = |clock| Some(Place { clock, node: NodeId::new(0) });
        let mut updates = vec![
            typed(1, 1, None, 'a'),
            typed(2, 2, place(1), 'c'),
            typed(3, 3, place(1), 'b'),
            typed(4, 4, place(2), 'd'),
        ];
        let told = |updates: &[Update]| text(&updates.iter().collect::<Vec<_>>());
        assert_eq!(told(&updates), "abcd");
        updates[2].operation = Operation::Erase(place(1).expect("a place"));
        assert_eq!(told(&updates), "cd");
    }

    #[test]
    fn a_clock_is_above_those_of_all_that_it_rests_on() {
        let mut seen = invariants();
        let (one, mut two) = (typed(1, 5, None, 'a'), typed(1, 5, None, 'b'));
        two.dot.node = NodeId::new(1);
        seen.updates.insert(one.dot, one.clone());
        seen.updates.insert(two.dot, two.clone());
        seen.check_clock(two.dot).expect("they are concurrent");
        let mut past = State::default();
        past.apply(&one);
        two.past = past.context().clone();
        seen.updates.insert(two.dot, two.clone());
        let broken = seen.check_clock(two.dot).expect_err("it rests on the other");
        assert_eq!(broken.property, "Clock");
    }
}
