//! Sequential consistency (Lamport, *How to make a multiprocessor computer that correctly executes
//! multiprocess programs*, 1979): one order of all operations that respects each client's order and
//! in which each read returns the latest write.
//!
//! NP-complete even with unique values (Gibbons and Korach 1997), so in three steps: convergent
//! causal consistency is necessary and refutes most broken histories in near-linear time; small
//! histories are then saturated (Zennou, Bouajjani, Enea and Erradi, *Gradual consistency
//! checking*, CAV 2019): what every order must contain is added until nothing changes; last a
//! search with a budget, that places only writes, for a read is placed as soon as its value is
//! current, and a value may be replaced only when all its reads are placed.

use rustc_hash::FxHashSet;

use crate::meter::Meter;
use crate::report::Report;
use crate::verdict::{Budget, Limit};
use crate::weak::accesses::{Accesses, Refused, RegisterHistory, Role};
use crate::weak::causal::convergent;

/// Histories of at most this many operations are saturated before the search.
const SATURATED_MAX: usize = 1 << 11;

/// Checks that all registers together are sequentially consistent.
///
/// # Errors
/// If a value is written twice to one key, or no recorder can have produced the history.
pub fn sequential(history: &RegisterHistory, budget: Budget) -> Result<Report, Refused> {
    let mut report = Report::default();
    let accesses = Accesses::new(history, &mut report)?;
    if convergent(&accesses, &mut Meter::new(budget), &mut report).is_err() {
        report.is_exhausted = true; // Too large to number; the search would not end either.
        return Ok(report);
    }
    if 0 < report.breached {
        return Ok(report);
    }
    report.is_exhausted = false; // What that did not tell, the search may.
    let mut meter = Meter::new(budget);
    let found = order(&accesses, &mut meter);
    report.configurations = meter.spent().configurations;
    match found {
        Ok(Found::Order) => {}
        Ok(Found::Cycle(cyclic)) => report.note("sequential", &[cyclic], || {
            format!("operation #{cyclic} would have to come before itself in every order")
        }),
        Ok(Found::None) => report.note("sequential", &[], || "every order was tried".to_owned()),
        Err(_) => report.is_exhausted = true,
    }
    Ok(report)
}

/// What looking for an order came to.
enum Found {
    Order,
    /// This operation comes before itself in every order.
    Cycle(u32),
    /// Every order was tried.
    None,
}

fn order(accesses: &Accesses<'_>, meter: &mut Meter) -> Result<Found, Limit> {
    let mut before = Before::new(accesses);
    if let Some(before) = &mut before
        && let Some(cyclic) = before.saturate(accesses, meter)?
    {
        return Ok(Found::Cycle(cyclic));
    }
    let exists = Search::new(accesses, before, meter).run()?;
    Ok(if exists { Found::Order } else { Found::None })
}

/// The relation "before in every order", as a square of bits over all operations.
struct Before {
    words: usize,
    bits: Vec<u64>,
}

impl Before {
    /// `None` if the history is too large for a square.
    fn new(accesses: &Accesses<'_>) -> Option<Self> {
        let count = accesses.len() as usize;
        let words = count.div_ceil(64);
        (count <= SATURATED_MAX).then(|| Self { words, bits: vec![0; words * count] })
    }

    fn has(&self, first: u32, second: u32) -> bool {
        let (word, bit) = (second as usize / 64, second % 64);
        self.bits[first as usize * self.words + word] >> bit & 1 == 1
    }

    /// Adds a pair and all that follows from it; false if it was known.
    fn add(&mut self, first: u32, second: u32, meter: &mut Meter) -> Result<bool, Limit> {
        if self.has(first, second) {
            return Ok(false);
        }
        meter.step(self.bits.len() as u64 / 8)?;
        let row = |index: u32| index as usize * self.words;
        let mut reach: Vec<u64> = self.bits[row(second)..row(second) + self.words].to_vec();
        reach[second as usize / 64] |= 1 << (second % 64);
        let count = self.bits.len() / self.words;
        for index in 0..count as u32 {
            if index == first || self.has(index, first) {
                let start = index as usize * self.words;
                for (word, more) in self.bits[start..].iter_mut().zip(&reach) {
                    *word |= more;
                }
            }
        }
        Ok(true)
    }

    /// Adds what every order must contain; an operation before itself, if there is one.
    fn saturate(
        &mut self,
        accesses: &Accesses<'_>,
        meter: &mut Meter,
    ) -> Result<Option<u32>, Limit> {
        for session in accesses.sessions() {
            let first = session.after.into_iter();
            let row: Vec<u32> = first.chain(session.operations.iter().copied()).collect();
            for pair in row.windows(2) {
                self.add(pair[0], pair[1], meter)?;
            }
        }
        let keys = accesses.by_key();
        for key in &keys {
            for (read, source) in &key.reads {
                if let Some(source) = source {
                    self.add(*source, *read, meter)?;
                }
            }
        }
        loop {
            let mut grew = false;
            for key in &keys {
                for &(read, source) in &key.reads {
                    meter.step(4 * key.writes.len() as u64)?;
                    for &write in key.writes.iter().filter(|write| Some(**write) != source) {
                        let Some(source) = source else {
                            grew |= self.add(read, write, meter)?;
                            continue;
                        };
                        if self.has(write, read) {
                            grew |= self.add(write, source, meter)?;
                        }
                        if self.has(source, write) {
                            grew |= self.add(read, write, meter)?;
                        }
                    }
                }
            }
            if let Some(cyclic) = accesses.indices().find(|index| self.has(*index, *index)) {
                return Ok(Some(cyclic));
            }
            if !grew {
                return Ok(None);
            }
        }
    }
}

const NONE: u32 = u32::MAX;

/// Depth-first over the orders of writes.
struct Search<'h, 'm> {
    accesses: &'h Accesses<'h>,
    meter: &'m mut Meter,
    before: Option<Before>,
    rows: Vec<crate::weak::accesses::Session>,
    /// How far each row is placed.
    frontier: Vec<usize>,
    placed: Vec<bool>,
    /// The current write of each key.
    current: Vec<u32>,
    /// Reads of each write that are not placed yet, and of each key's initial state.
    waiting: Vec<u32>,
    waiting_initial: Vec<u32>,
    left: usize,
    /// What was placed, in order: the row, and for a write what it replaced.
    trail: Vec<(usize, Option<u32>)>,
    /// Sum of a random number for each placed operation and each current write: equal sets give
    /// equal sums, and 128 bits make others differ.
    fingerprint: u128,
    seen: FxHashSet<u128>,
}

/// A write still to try, with the rest of its choice point.
struct Choice {
    rows: Vec<usize>,
    next: usize,
    trail: usize,
}

fn noise(kind: u64, index: u32) -> u128 {
    let mut random = crate::transactions::generate::Random::new(kind << 32 | u64::from(index));
    u128::from(random.bits()) << 64 | u128::from(random.bits())
}

impl<'h, 'm> Search<'h, 'm> {
    fn new(accesses: &'h Accesses<'h>, before: Option<Before>, meter: &'m mut Meter) -> Self {
        let rows = accesses.sessions();
        let mut waiting = vec![0; accesses.roles.len()];
        let mut waiting_initial = vec![0; accesses.keys];
        for index in accesses.indices() {
            match accesses.roles[index as usize] {
                Role::Read(Some(source)) => waiting[source as usize] += 1,
                Role::Read(None) => waiting_initial[accesses.key[index as usize] as usize] += 1,
                Role::Write | Role::Nothing => {}
            }
        }
        Self {
            accesses,
            meter,
            before,
            frontier: vec![0; rows.len()],
            left: rows.iter().map(|row| row.operations.len()).sum(),
            rows,
            placed: vec![false; accesses.roles.len()],
            current: vec![NONE; accesses.keys],
            waiting,
            waiting_initial,
            trail: Vec::new(),
            fingerprint: 0,
            seen: FxHashSet::default(),
        }
    }

    /// Whether an order exists.
    fn run(&mut self) -> Result<bool, Limit> {
        self.place_reads()?;
        let mut choices = vec![self.choice()?];
        let mut listed = choices[0].rows.len();
        loop {
            if self.left == 0 {
                return Ok(true);
            }
            let Some(choice) = choices.last_mut() else { return Ok(false) };
            let (trail, row) = (choice.trail, choice.rows.get(choice.next).copied());
            choice.next += 1;
            self.undo(trail);
            let Some(row) = row else {
                listed -= choices.pop().map_or(0, |choice| choice.rows.len());
                continue;
            };
            self.meter.expand()?;
            self.place(row);
            self.place_reads()?;
            if self.seen.insert(self.fingerprint) {
                let next = self.choice()?;
                listed += next.rows.len();
                choices.push(next);
                let seen = self.seen.capacity() * size_of::<u128>();
                let kept = choices.len() * size_of::<Choice>() + listed * size_of::<usize>();
                self.meter.hold((seen + kept) as u64)?;
            }
        }
    }

    fn head(&self, row: usize) -> Option<u32> {
        let index = *self.rows[row].operations.get(self.frontier[row])?;
        let ready = self.rows[row].after.is_none_or(|after| self.placed[after as usize]);
        ready.then_some(index)
    }

    /// Rows whose next write may replace the current one, the earliest call first: a history that
    /// is linearizable as well is mostly ordered without a step back.
    fn choice(&mut self) -> Result<Choice, Limit> {
        let open = self.rows.len() as u64;
        self.meter.step(open)?;
        let mut rows: Vec<usize> =
            (0..self.rows.len()).filter(|row| self.can_write(*row)).collect();
        rows.sort_by_key(|row| self.head(*row).map(|index| self.accesses.call(index)));
        if self.before.is_some() {
            // Each that may come next was compared with all.
            self.meter.step(open * rows.len() as u64)?;
        }
        Ok(Choice { rows, next: 0, trail: self.trail.len() })
    }

    fn can_write(&self, row: usize) -> bool {
        let Some(index) = self.head(row) else { return false };
        if self.accesses.roles[index as usize] != Role::Write {
            return false;
        }
        let key = self.accesses.key[index as usize] as usize;
        let still_read = match self.current[key] {
            NONE => self.waiting_initial[key],
            current => self.waiting[current as usize],
        };
        still_read == 0
            && self.before.as_ref().is_none_or(|before| {
                self.rows.iter().zip(&self.frontier).all(|(row, at)| {
                    // The first open operation of a row precedes the others of the row.
                    row.operations.get(*at).is_none_or(|open| !before.has(*open, index))
                })
            })
    }

    fn place_reads(&mut self) -> Result<(), Limit> {
        loop {
            let mut progress = false;
            self.meter.step(self.rows.len() as u64)?;
            for row in 0..self.rows.len() {
                while let Some(index) = self.head(row)
                    && let Role::Read(source) = self.accesses.roles[index as usize]
                    && self.current[self.accesses.key[index as usize] as usize]
                        == source.unwrap_or(NONE)
                {
                    self.place(row);
                    progress = true;
                }
            }
            if !progress {
                return Ok(());
            }
        }
    }

    fn place(&mut self, row: usize) {
        let index = self.rows[row].operations[self.frontier[row]];
        let key = self.accesses.key[index as usize] as usize;
        self.frontier[row] += 1;
        self.placed[index as usize] = true;
        self.left -= 1;
        self.fingerprint = self.fingerprint.wrapping_add(noise(1, index));
        let replaced = match self.accesses.roles[index as usize] {
            Role::Read(Some(source)) => {
                self.waiting[source as usize] -= 1;
                None
            }
            Role::Read(None) => {
                self.waiting_initial[key] -= 1;
                None
            }
            Role::Write | Role::Nothing => {
                let replaced = std::mem::replace(&mut self.current[key], index);
                self.turn(replaced, index);
                Some(replaced)
            }
        };
        self.trail.push((row, replaced));
    }

    fn turn(&mut self, from: u32, to: u32) {
        let leaves = if from == NONE { 0 } else { noise(2, from) };
        let enters = if to == NONE { 0 } else { noise(2, to) };
        self.fingerprint = self.fingerprint.wrapping_sub(leaves).wrapping_add(enters);
    }

    fn undo(&mut self, len: usize) {
        while len < self.trail.len()
            && let Some((row, replaced)) = self.trail.pop()
        {
            self.frontier[row] -= 1;
            let index = self.rows[row].operations[self.frontier[row]];
            let key = self.accesses.key[index as usize] as usize;
            self.placed[index as usize] = false;
            self.left += 1;
            self.fingerprint = self.fingerprint.wrapping_sub(noise(1, index));
            match (self.accesses.roles[index as usize], replaced) {
                (Role::Read(Some(source)), _) => self.waiting[source as usize] += 1,
                (Role::Read(None), _) => self.waiting_initial[key] += 1,
                (Role::Write | Role::Nothing, Some(replaced)) => {
                    self.current[key] = replaced;
                    self.turn(index, replaced);
                }
                (Role::Write | Role::Nothing, None) => {}
            }
        }
    }
}
