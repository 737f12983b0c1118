//! The same random calls, simulated and real: what both tests of that have in common.

use seedfall_sim::StableHasher;
use std::fmt::Debug;

/// Numbers that follow from a seed.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    /// Uniform over `0..bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = StableHasher::hash(&self.0);
        (self.0 >> 32) as usize % bound
    }

    /// One of these.
    pub(crate) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// What a call came to: a number, or its error.
pub(crate) fn outcome(result: i64) -> String {
    if result < 0 {
        return std::io::Error::last_os_error().raw_os_error().unwrap().to_string();
    }
    format!("ok {result}")
}

/// What was read, in short.
pub(crate) fn contents(result: isize, bytes: &[u8]) -> String {
    let told = outcome(result as i64);
    let read = &bytes[..result.max(0) as usize];
    format!("{told} {:x}", StableHasher::hash(&read.to_vec()))
}

/// Compares what the calls of each seed came to, simulated and real; those that differ are told, in
/// as few calls as still do.
pub(crate) fn compare<C: Clone + Debug>(
    seeds: std::ops::Range<u64>,
    program: impl Fn(u64) -> Vec<C>,
    simulated: impl Fn(&[C]) -> Vec<String>,
    real: impl Fn(&[C], u32) -> Vec<String>,
) {
    let differs = |calls: &[C]| {
        let one = simulated(calls);
        let attempt = |patience| {
            let other = real(calls, patience);
            (0..calls.len()).find(|place| one.get(*place) != other.get(*place))
        };
        // A real machine that is busy is late: it gets more time then.
        attempt(1).and_then(|_| attempt(20)).and_then(|_| attempt(400))
    };
    let (mut wrong, mut count) = (String::new(), 0);
    let programs = seeds.end - seeds.start;
    for seed in seeds {
        let mut calls = program(seed);
        count += calls.len();
        let Some(place) = differs(&calls) else { continue };
        calls.truncate(place + 1);
        let calls = shrunk(calls, &differs);
        let (one, other) = (simulated(&calls), real(&calls, 400));
        wrong += &format!("seed {seed}:\n");
        for (place, call) in calls.iter().enumerate() {
            let (one, other) = (&one[place], &other[place]);
            wrong += &format!("  {call:?}\n    simulated {one}, real {other}\n");
        }
        if wrong.len() > 8_000 {
            break;
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    println!("{programs} programs, {count} calls, simulated and real: equal");
}

/// Fewer calls that still differ in the end.
fn shrunk<C: Clone>(mut calls: Vec<C>, differs: &dyn Fn(&[C]) -> Option<usize>) -> Vec<C> {
    let mut size = calls.len() / 2;
    while size > 0 {
        let mut start = 0;
        while start < calls.len() {
            let mut fewer = calls.clone();
            fewer.drain(start..(start + size).min(calls.len()));
            match differs(&fewer) {
                Some(place) => calls = fewer[..=place].to_vec(),
                None => start += size,
            }
        }
        size /= 2;
    }
    calls
}
