//! Work that is spread over cores and comes to the same whatever their number.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The first of `count` candidates that passes `test`, as if they were tried one after the other.
/// Several are tried at a time; none after one that passed is begun.
pub(crate) fn first(
    jobs: NonZeroUsize,
    count: usize,
    test: &(dyn Fn(usize) -> bool + Sync),
) -> Option<usize> {
    if jobs.get() == 1 || count < 2 {
        return (0..count).find(|index| test(*index));
    }
    let next = AtomicUsize::new(0);
    let found = AtomicUsize::new(count);
    let work = || {
        loop {
            // Taken in order: whoever stops leaves nothing before `found` untried.
            let index = next.fetch_add(1, Ordering::Relaxed);
            if found.load(Ordering::Relaxed) <= index {
                break;
            }
            if test(index) {
                found.fetch_min(index, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs.get().min(count) {
            scope.spawn(work);
        }
        work();
    });
    Some(found.into_inner()).filter(|index| *index < count)
}

/// How many of `count` candidates pass `test`.
pub(crate) fn count(
    jobs: NonZeroUsize,
    count: usize,
    test: &(dyn Fn(usize) -> bool + Sync),
) -> usize {
    let passed = AtomicUsize::new(0);
    first(jobs, count, &|index| {
        passed.fetch_add(usize::from(test(index)), Ordering::Relaxed);
        false
    });
    passed.into_inner()
}

/// What `make` makes of each of `count` candidates, in their order.
#[cfg(feature = "search")]
pub(crate) fn map<T: Send>(
    jobs: NonZeroUsize,
    count: usize,
    make: &(dyn Fn(usize) -> T + Sync),
) -> Vec<T> {
    if jobs.get() == 1 || count < 2 {
        return (0..count).map(make).collect();
    }
    let made: Vec<std::sync::Mutex<Option<T>>> =
        (0..count).map(|_| std::sync::Mutex::new(None)).collect();
    first(jobs, count, &|index| {
        let one = make(index);
        *made[index].lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(one);
        false
    });
    let taken = |one: std::sync::Mutex<Option<T>>| one.into_inner().ok().flatten();
    made.into_iter().filter_map(taken).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_the_first_whatever_the_number_of_threads() {
        for jobs in [1, 2, 5].map(|jobs| NonZeroUsize::new(jobs).expect("not zero")) {
            for at in [0, 1, 7, 98, 99] {
                assert_eq!(first(jobs, 100, &|index| at <= index), Some(at));
            }
            assert_eq!(first(jobs, 100, &|_| false), None);
            assert_eq!(first(jobs, 0, &|_| true), None);
            assert_eq!(count(jobs, 100, &|index| index % 3 == 0), 34);
        }
    }
}
