//! Futexes: threads that wait for a word of memory.
//!
//! The kernel looks words up by their address alone: a word in a static of the process is the same
//! for all nodes. It never orders anything by an address: two runs with other addresses do the
//! same.

use crate::kernel::Kernel;
use std::collections::{BTreeMap, VecDeque};

/// From so many on, waits that timed out are swept out of the list of a word.
const CROWDED: usize = 32;

/// One thread that waits.
#[derive(Clone, Copy, Debug)]
struct Waiter {
    thread: usize,
    ticket: u64,
    /// Which wakes it listens to.
    bits: u32,
}

/// Who waits for which word.
#[derive(Debug, Default)]
pub(crate) struct Futexes {
    waiting: BTreeMap<usize, VecDeque<Waiter>>,
}

impl Kernel {
    /// The running thread is about to wait without a limit for a word. If that is one of a static
    /// which an earlier life of its program left as it was when it was stopped, that life's threads
    /// can never change it: it is as fresh as in a new process from now on. Whether that is so. A
    /// word is looked at once in each life: what its own threads do to it counts from then on.
    pub(crate) fn free_word(&mut self, word: usize) -> bool {
        let here = self.here();
        match &mut self.nodes[here].left {
            Some((left, seen)) => seen.insert(word) && left.release(word),
            None => false,
        }
    }

    /// The running thread will be woken by a wake of this word. The caller has seen that the word
    /// still is what it expects.
    pub(crate) fn futex_wait(&mut self, word: usize, bits: u32) {
        let waiter =
            Waiter { thread: self.current, ticket: self.threads[self.current].ticket, bits };
        let waiting = self.futexes.waiting.entry(word).or_default();
        if waiting.len() >= CROWDED {
            let threads = &self.threads;
            waiting.retain(|one| threads[one.thread].ticket == one.ticket);
        }
        waiting.push_back(waiter);
    }

    /// Wakes up to `count` threads that wait for a word, the longest waiting first.
    pub(crate) fn futex_wake(&mut self, word: usize, count: usize, bits: u32) -> usize {
        let Some(mut waiting) = self.futexes.waiting.remove(&word) else { return 0 };
        let mut woken = 0;
        let mut kept = VecDeque::new();
        while let Some(waiter) = waiting.pop_front() {
            if woken == count || waiter.bits & bits == 0 {
                kept.push_back(waiter);
            } else if self.wake(waiter.thread, waiter.ticket) {
                woken += 1;
            }
        }
        if !kept.is_empty() {
            self.futexes.waiting.insert(word, kept);
        }
        woken
    }

    /// Wakes `count` threads, and lets up to `moved` others wait for another word instead.
    pub(crate) fn futex_requeue(
        &mut self,
        word: usize,
        count: usize,
        other: usize,
        moved: usize,
    ) -> usize {
        let woken = self.futex_wake(word, count, u32::MAX);
        let Some(mut waiting) = self.futexes.waiting.remove(&word) else { return woken };
        let take = waiting.len().min(moved);
        let requeued: Vec<Waiter> = waiting.drain(..take).collect();
        self.futexes.waiting.entry(other).or_default().extend(requeued);
        if !waiting.is_empty() {
            self.futexes.waiting.insert(word, waiting);
        }
        woken + take
    }
}
