//! All arrangements of leaders and partitions over some rounds, by number.
//!
//! Replicas that run once may trade places, and so may the two halves of one that runs twice, and
//! whole replicas that do: what they come to is the same under other names. Of arrangements that
//! come to the same one is kept. How many are left says Burnside's lemma, and the one of a number
//! is found round by round: what the renamings leave as it is after the first round is a group
//! again, by which the rest is counted in the same way.

use seedfall_sim::SortedMap;
use std::fmt;

/// What is gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Space {
    /// How many replicas there are.
    pub replicas: usize,
    /// How many of them run twice: the first ones.
    pub twins: usize,
    /// Into how many parts machines are split, at most.
    pub parts: usize,
    /// How many rounds.
    pub rounds: usize,
}

/// What a round is like.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Round {
    /// The replica that leads.
    pub leader: usize,
    /// In which part each machine is. Parts have numbers in the order in which they come first.
    pub parts: Vec<u8>,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |part: u8| {
            let inside = (1..).zip(&self.parts).filter(move |(_, one)| **one == part);
            inside.map(|(machine, _): (usize, _)| format!("n{machine}")).collect::<Vec<_>>()
        };
        let parts: Vec<String> = (0..self.parts.len() as u8)
            .map(|part| of(part).join(" "))
            .filter(|part| !part.is_empty())
            .collect();
        write!(f, "n{} leads, {}", self.leader + 1, parts.join(" | "))
    }
}

/// A renaming, as what it makes of each pair of a leader and a partition.
type Renaming = Vec<usize>;

/// All arrangements of a space, without those that come to the same under other names.
#[derive(Clone, Debug)]
pub struct Arrangements {
    rounds: usize,
    pairs: Vec<Round>,
    renamings: Vec<Renaming>,
}

impl Space {
    /// How many machines there are.
    pub fn machines(&self) -> usize {
        self.replicas + self.twins
    }

    /// Step 1: all ways to split the machines.
    pub fn partitions(&self) -> Vec<Vec<u8>> {
        let mut all = vec![Vec::new()];
        for _ in 0..self.machines() {
            let longer = |some: Vec<u8>| {
                let used = some.iter().max().map_or(0, |last| last + 1);
                let parts = self.parts as u8;
                (0..=used).filter(move |part| *part < parts).map(move |part| {
                    let mut some = some.clone();
                    some.push(part);
                    some
                })
            };
            all = all.into_iter().flat_map(longer).collect();
        }
        all
    }

    /// Step 2: each of them with each leader.
    pub fn pairs(&self) -> Vec<Round> {
        let partitions = self.partitions();
        let of =
            |leader| partitions.iter().map(move |parts| Round { leader, parts: parts.clone() });
        (0..self.replicas).flat_map(of).collect()
    }

    /// Step 3, of which nothing is left out: each round is like any of the pairs.
    pub fn all(&self) -> u64 {
        let pairs = self.pairs().len() as u64;
        pairs.checked_pow(self.rounds as u32).expect("so many rounds that nobody can count them")
    }

    /// All of them, where of those that come to the same one is kept.
    pub fn arrangements(&self) -> Arrangements {
        let pairs = self.pairs();
        Arrangements { rounds: self.rounds, renamings: self.renamings(&pairs), pairs }
    }

    /// Every renaming that changes nothing, as what it makes of the pairs.
    fn renamings(&self, pairs: &[Round]) -> Vec<Renaming> {
        let places: SortedMap<&Round, usize> =
            pairs.iter().enumerate().map(|(place, pair)| (pair, place)).collect();
        let single: Vec<usize> = (self.twins..self.replicas).collect();
        let single = permutations(&single);
        let twice: Vec<usize> = (0..self.twins).collect();
        let mut all = Vec::new();
        for twice in permutations(&twice) {
            for single in &single {
                let replicas = [&twice[..], single].concat();
                for swapped in 0..1 << self.twins {
                    let renamed = |pair| places[&self.renamed(pair, &replicas, swapped)];
                    all.push(pairs.iter().map(renamed).collect());
                }
            }
        }
        all
    }

    /// A pair under other names: of replicas, and of the halves of those that are swapped (bits).
    fn renamed(&self, pair: &Round, replicas: &[usize], swapped: usize) -> Round {
        let mut parts = vec![0; pair.parts.len()];
        for (old, part) in pair.parts.iter().enumerate() {
            let is_second = self.replicas <= old;
            let replica = if is_second { old - self.replicas } else { old };
            let swaps = replica < self.twins && swapped >> replica & 1 == 1;
            let second = if is_second == swaps { 0 } else { self.replicas };
            parts[replicas[replica] + second] = *part;
        }
        Round { leader: replicas[pair.leader], parts: in_order(&parts) }
    }
}

impl Arrangements {
    /// How many there are.
    pub fn count(&self) -> u64 {
        count(&self.renamings, self.rounds)
    }

    /// The one of a number below their count.
    pub fn at(&self, number: u64) -> Vec<Round> {
        let (pairs, mut group, mut left) = (&self.pairs, self.renamings.clone(), number);
        let mut rounds = Vec::new();
        for after in (0..self.rounds).rev() {
            let Some((pair, fixing)) = (0..pairs.len()).find_map(|pair| {
                let is_first = group.iter().all(|renaming| pair <= renaming[pair]);
                if !is_first {
                    return None;
                }
                let fixing: Vec<Renaming> =
                    group.iter().filter(|renaming| renaming[pair] == pair).cloned().collect();
                let inside = count(&fixing, after);
                if left < inside {
                    return Some((pair, fixing));
                }
                left -= inside;
                None
            }) else {
                panic!("there are {} arrangements: {number} is none of them", self.count());
            };
            rounds.push(pairs[pair].clone());
            group = fixing;
        }
        rounds
    }

    /// The number of a seed: as many seeds in a row as there are numbers have all of them, and few
    /// in a row are spread evenly (multiples of the golden ratio; Knuth, *The Art of Computer
    /// Programming*, volume 3, section 6.4, theorem S).
    pub fn number_of(&self, seed: u64) -> u64 {
        let count = u128::from(self.count());
        // 2^64 over the golden ratio.
        let step = (0x9e37_79b9_7f4a_7c15 * count) >> 64;
        let step = (step.max(1)..).find(|step| greatest_divisor(*step, count) == 1);
        let step = step.expect("some number has no divisor in common with another");
        (u128::from(seed) % count * step % count) as u64
    }
}

/// How many arrangements over some rounds a group leaves different: the mean of how many each of
/// its members leaves as they are (Burnside's lemma).
fn count(group: &[Renaming], rounds: usize) -> u64 {
    let fixed = |renaming: &Renaming| {
        let fixed = renaming.iter().enumerate().filter(|(old, new)| old == *new).count() as u128;
        fixed.pow(rounds as u32)
    };
    (group.iter().map(fixed).sum::<u128>() / group.len() as u128) as u64
}

/// The same split, with parts numbered in the order in which they come first.
fn in_order(parts: &[u8]) -> Vec<u8> {
    let mut seen = Vec::new();
    let mut number = |part: u8| {
        seen.iter().position(|one| *one == part).unwrap_or_else(|| {
            seen.push(part);
            seen.len() - 1
        })
    };
    parts.iter().map(|part| number(*part) as u8).collect()
}

fn permutations(of: &[usize]) -> Vec<Vec<usize>> {
    let Some((first, rest)) = of.split_first() else { return vec![Vec::new()] };
    let shorter = permutations(rest);
    let with = |at: usize| {
        shorter.iter().map(move |one| {
            let mut one = one.clone();
            one.insert(at, *first);
            one
        })
    };
    (0..of.len()).flat_map(with).collect()
}

fn greatest_divisor(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { greatest_divisor(b, a % b) }
}
