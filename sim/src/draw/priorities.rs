//! Priorities in the place of chance: how long a message takes is decided by the chain that it
//! belongs to.
//!
//! Probabilistic concurrency testing (Burckhardt et al., "A Randomized Scheduler with Probabilistic
//! Guarantees of Finding Bugs", ASPLOS 2010) gives each thread a random priority, lowers the one
//! that runs at `d - 1` random points, and so meets every bug of depth `d` with a probability that
//! can be stated. PCTCP (Ozkan et al., "Randomized Testing of Distributed Systems with
//! Probabilistic Guarantees", OOPSLA 2018) does the same to messages, in chains that are found
//! while the run goes on. Here a chain of high priority is fast and one of low priority slow,
//! within what the link permits: a priority is the word of the draw that decides the delay.

use super::{DrawAddress, Draws, Seed, Site};
use crate::hash::StableHasher;
use crate::id::Address;
use crate::time::Time;
use std::collections::BTreeMap;

/// Which messages are one chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Chains {
    /// Those of one directed link, whose order is kept, as on a connection.
    Links,
    /// Each with the first message that its receiver sent on handling it (online, as PCTCP does).
    Causes,
}

/// What decides how long messages take, instead of the seed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Priorities {
    /// Decides the priority of each chain.
    pub seed: Seed,
    /// What a chain is.
    pub chains: Chains,
    /// Whether what nodes draw, such as the length of their timers, is decided by a priority of the
    /// node as well.
    pub timers: bool,
    /// From then on chance decides again: who is slow for ever keeps others from what they were
    /// promised.
    pub until: Time,
    /// At the sending of these messages, counted over the run from zero, the chain of the message
    /// falls below all others.
    pub changes: Vec<u64>,
}

/// Priorities, and what is known of the chains so far.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    said: Priorities,
    messages: u64,
    /// The word of each chain: the higher, the slower.
    chains: Vec<u32>,
    links: BTreeMap<(Address, Address), usize>,
    /// The chain of each message that was sent.
    sent: BTreeMap<(Address, Address, u64), usize>,
    /// It is over.
    is_over: bool,
    /// The chain of the message that is handled, if nothing has been sent yet on handling it.
    open: Option<usize>,
}

impl Schedule {
    /// The chain of the next message.
    fn chain(&mut self, from: Address, to: Address, index: u64) -> usize {
        let known = match self.said.chains {
            Chains::Links => self.links.get(&(from, to)).copied(),
            Chains::Causes => self.open.take(),
        };
        let chain = known.unwrap_or_else(|| {
            let chain = self.chains.len();
            self.chains.push(StableHasher::hash(&(self.said.seed.0, chain)) as u32);
            chain
        });
        match self.said.chains {
            Chains::Links => drop(self.links.insert((from, to), chain)),
            Chains::Causes => drop(self.sent.insert((from, to, index), chain)),
        }
        chain
    }

    /// What becomes of the words of a draw.
    pub(super) fn decide(&mut self, address: DrawAddress, mut words: [u32; 4]) -> [u32; 4] {
        if self.is_over {
            return words;
        }
        match address.site {
            // The first word says what happens to the message, the second how long it takes.
            Site::Link(from, to) => {
                let chain = self.chain(from, to, address.index);
                let fallen = self.said.changes.iter().position(|at| *at == self.messages);
                if let Some(rank) = fallen {
                    self.chains[chain] = u32::MAX - rank as u32;
                }
                self.messages += 1;
                words[1] = self.chains[chain];
            }
            Site::Node(node) if self.said.timers => {
                words[0] = StableHasher::hash(&(self.said.seed.0, "timers", node.index())) as u32;
            }
            _ => {}
        }
        words
    }
}

impl Draws {
    /// From here on priorities decide how long messages take.
    pub fn set_priorities(&mut self, said: Priorities) {
        let schedule = Schedule {
            said,
            messages: 0,
            chains: Vec::new(),
            links: BTreeMap::new(),
            sent: BTreeMap::new(),
            is_over: false,
            open: None,
        };
        self.schedule = Some(Box::new(schedule));
        self.is_plain = false;
    }

    /// Whether priorities decide how long messages take.
    #[inline(always)]
    pub(crate) fn is_scheduled(&self) -> bool {
        self.schedule.is_some()
    }

    /// The next event begins: it is the arrival of this message, or of none.
    #[cold]
    pub(crate) fn begin(&mut self, now: Time, arrives: Option<(Address, Address, u64)>) {
        if let Some(schedule) = &mut self.schedule {
            schedule.is_over |= schedule.said.until <= now;
            schedule.open = arrives.and_then(|message| schedule.sent.get(&message).copied());
            if let (Some(message), Some(_)) = (arrives, schedule.open) {
                // A second copy of it begins a chain of its own.
                schedule.sent.remove(&message);
            }
        }
    }

    /// How many chains there are so far, and how many messages; zero without priorities.
    pub fn chains(&self) -> (u64, u64) {
        self.schedule.as_ref().map_or((0, 0), |one| (one.chains.len() as u64, one.messages))
    }

    /// From here on every draw that is not overridden is that of another seed. Indices go on
    /// counting.
    pub fn turn(&mut self, seed: Seed) {
        self.seed = seed;
        self.ahead.clear();
        for (index, site) in self.sites() {
            let next = self.streams[index].next;
            self.refill(index, site, next - next % super::BATCH as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Chains, Draws, Priorities, Seed, Site};
    use crate::id::{Address, NodeId};
    use crate::time::Time;

    fn at(from: u16, to: u16) -> (Address, Address) {
        (NodeId::new(from).into(), NodeId::new(to).into())
    }

    fn delay(draws: &mut Draws, (from, to): (Address, Address)) -> u32 {
        let mut draw = draws.draw(Site::Link(from, to));
        draw.word();
        draw.word()
    }

    fn scheduled(chains: Chains, changes: Vec<u64>) -> Draws {
        let mut draws = Draws::new(Seed(7), 3, 0);
        let (seed, until) = (Seed(1), Time::from_nanos(9));
        draws.set_priorities(Priorities { seed, chains, timers: false, until, changes });
        draws
    }

    #[test]
    fn a_link_is_as_fast_as_its_priority_until_it_falls() {
        let mut draws = scheduled(Chains::Links, vec![4]);
        let there = [0, 1, 2].map(|_| delay(&mut draws, at(0, 1)));
        assert!(there[0] == there[1] && there[1] == there[2]);
        assert_ne!(delay(&mut draws, at(1, 0)), there[0]);
        assert_eq!(delay(&mut draws, at(0, 1)), u32::MAX, "the fifth message");
        assert_eq!(delay(&mut draws, at(0, 1)), u32::MAX, "and those after it");
        assert_eq!(draws.chains(), (2, 6));
    }

    #[test]
    fn the_first_message_sent_on_handling_one_goes_on_with_its_chain() {
        let mut draws = scheduled(Chains::Causes, Vec::new());
        draws.begin(Time::ZERO, None);
        let (one, two) = (delay(&mut draws, at(0, 1)), delay(&mut draws, at(0, 2)));
        assert_ne!(one, two, "nothing caused them: two chains");
        let (from, to) = at(0, 1);
        draws.begin(Time::ZERO, Some((from, to, 0)));
        assert_eq!(delay(&mut draws, at(1, 0)), one, "its answer");
        assert_ne!(delay(&mut draws, at(1, 2)), one, "a second message begins another");
        draws.begin(Time::ZERO, Some((from, to, 0)));
        assert_ne!(delay(&mut draws, at(1, 0)), one, "as does what a copy brings about");
    }

    #[test]
    fn chance_decides_again_when_priorities_are_over() {
        let mut plain = Draws::new(Seed(7), 3, 0);
        let mut draws = scheduled(Chains::Links, Vec::new());
        let [first, second] = [delay(&mut plain, at(0, 1)), delay(&mut plain, at(0, 1))];
        assert_ne!(delay(&mut draws, at(0, 1)), first);
        draws.begin(Time::from_nanos(9), None);
        assert_eq!(delay(&mut draws, at(0, 1)), second);
    }

    #[test]
    fn a_turn_keeps_overrides_and_changes_the_rest() {
        let mut draws = Draws::new(Seed(7), 3, 0);
        delay(&mut draws, at(0, 1));
        draws.turn(Seed(8));
        let mut other = Draws::new(Seed(8), 3, 0);
        delay(&mut other, at(0, 1));
        assert_eq!(delay(&mut draws, at(0, 1)), delay(&mut other, at(0, 1)));
    }
}
