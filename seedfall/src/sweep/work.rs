//! The threads of a sweep, and who watches them.

use super::ledger::{Block, Ledger};
use super::watch::{EVERY, Watch, memory_in_use};
use super::{Progress, Summary, Sweep, twice};
use crate::report::Failure;
use crate::run::{Pulse, Runnable, Trial};
use seedfall_sim::Seed;
use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Seeds that a thread takes at a time.
const BLOCK: u64 = 16;

/// What all threads share.
struct Shared {
    scenario: Arc<dyn Runnable>,
    sweep: Sweep,
    /// The first seed that nobody has taken.
    next: AtomicU64,
    /// A failure that ends the sweep: no higher seed counts.
    stop_after: AtomicU64,
    /// Time is up.
    late: AtomicBool,
    /// Seeds whose runs do not end, and how.
    lost: Mutex<BTreeMap<u64, Failure>>,
}

/// One thread, as the watchdog knows it.
struct Worker {
    watch: Watch,
    /// The first seed of the block that it works on.
    block: Arc<AtomicU64>,
    /// It is left behind: what it still brings does not count.
    left: Arc<AtomicBool>,
}

enum Told {
    /// A block is done.
    Block(Box<Block>),
    /// A thread has come to its end.
    Done,
    /// A thread, by its number, has panicked outside the code of the user: a bug of ours, or a
    /// swarm that draws what the scenario cannot bear.
    Panicked(usize),
}

/// Tells that a thread comes to its end, however it does.
struct Leaves {
    number: usize,
    /// Nobody waits for it any more.
    left: Arc<AtomicBool>,
    tell: Sender<Told>,
}

impl Drop for Leaves {
    fn drop(&mut self) {
        if self.left.load(Ordering::Relaxed) {
            return;
        }
        let panicked = std::thread::panicking();
        let told = if panicked { Told::Panicked(self.number) } else { Told::Done };
        // Nobody listens any more after the sweep is over.
        let _ = self.tell.send(told);
    }
}

pub(super) fn run(
    scenario: &dyn Runnable,
    sweep: &Sweep,
    progress: &(dyn Fn(&Progress) + Sync),
) -> Summary {
    #[expect(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "a sweep is bounded and timed by the machine's clock; its runs never see it"
    )]
    let started = std::time::Instant::now();
    let shared = Arc::new(Shared {
        scenario: scenario.shared(),
        sweep: sweep.clone(),
        next: AtomicU64::new(sweep.seeds.start),
        stop_after: AtomicU64::new(u64::MAX),
        late: AtomicBool::new(false),
        lost: Mutex::new(BTreeMap::new()),
    });
    let (tell, told) = channel();
    let mut boss = Boss {
        ledger: Ledger::new(sweep.seeds.start, sweep.keep_going),
        before: memory_in_use().unwrap_or(0),
        live: 0,
        workers: Vec::new(),
        threads: Vec::new(),
        shared,
        tell,
        told,
        progress,
    };
    for _ in 0..sweep.jobs.get() {
        boss.hire(None);
    }
    let mut looked = Duration::ZERO;
    while boss.live > 0 && !boss.ledger.is_over {
        boss.hear();
        let now = started.elapsed();
        if sweep.time.is_some_and(|time| time <= now) {
            boss.shared.late.store(true, Ordering::Relaxed);
        }
        if EVERY <= now.saturating_sub(looked) {
            boss.look(now.saturating_sub(looked));
            looked = now;
        }
    }
    let mut total = boss.ledger.close();
    total.took = started.elapsed();
    total
}

/// Who hands out the work, puts the results together, and watches.
struct Boss<'a> {
    shared: Arc<Shared>,
    ledger: Ledger,
    /// How much memory was in use at first.
    before: u64,
    /// Threads that are at work, and not left behind.
    live: usize,
    workers: Vec<Worker>,
    /// All threads that were started, by their numbers.
    threads: Vec<JoinHandle<()>>,
    tell: Sender<Told>,
    told: Receiver<Told>,
    progress: &'a (dyn Fn(&Progress) + Sync),
}

impl Boss<'_> {
    /// Starts a thread, at first with the block that begins at `first`.
    fn hire(&mut self, first: Option<u64>) {
        let pulse = Arc::new(Pulse::default());
        let block = Arc::new(AtomicU64::new(0));
        let left = Arc::new(AtomicBool::new(false));
        let watch = Watch::new(Arc::clone(&pulse));
        self.workers.push(Worker { watch, block: Arc::clone(&block), left: Arc::clone(&left) });
        self.live += 1;
        let (shared, tell) = (Arc::clone(&self.shared), self.tell.clone());
        let number = self.threads.len();
        #[expect(clippy::disallowed_methods, reason = "each run is inside one thread")]
        let thread = std::thread::spawn(move || {
            let leaves = Leaves { number, left, tell };
            work(&shared, first, &pulse, &block, &leaves);
        });
        self.threads.push(thread);
    }

    /// Waits a moment for what threads have to tell.
    fn hear(&mut self) {
        match self.told.recv_timeout(EVERY) {
            Ok(Told::Block(block)) => {
                let (seeds, events) = (block.summary.seeds, block.summary.events);
                (self.progress)(&Progress { seeds, events, slow: None });
                self.ledger.take(*block);
            }
            Ok(Told::Done) => self.live -= 1,
            // As if it had panicked here: the sweep is over, and says why.
            Ok(Told::Panicked(number)) => {
                if let Err(panic) = self.threads.swap_remove(number).join() {
                    resume_unwind(panic);
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }

    /// Looks whether a run stands still, or memory runs short.
    fn look(&mut self, since: Duration) {
        self.workers.iter_mut().for_each(|worker| worker.watch.look(since));
        self.workers.retain(|worker| !worker.left.load(Ordering::Relaxed));
        let longest = self.workers.iter().max_by_key(|worker| worker.watch.under_way());
        if let Some(Worker { watch, .. }) = longest
            && Duration::from_secs(1) <= watch.under_way()
        {
            let doing = watch.doing(&*self.shared.scenario);
            let slow = Some((watch.seed(), doing, watch.under_way()));
            (self.progress)(&Progress { slow, ..Progress::default() });
        }
        let limits = self.shared.sweep.limits;
        let scenario = Arc::clone(&self.shared.scenario);
        let grown = memory_in_use().unwrap_or(0).saturating_sub(self.before);
        let stillest = self.workers.iter().max_by_key(|worker| worker.watch.still());
        let Some(Worker { watch, .. }) = stillest else { return };
        if limits.memory <= grown {
            // It may not be stopped, and nothing can be run beside it.
            let failure = watch.glut(&*scenario, grown);
            self.lose(failure, false);
            self.live = 0;
        } else if limits.event <= watch.still() {
            let failure = watch.hang(&*scenario);
            self.lose(failure, true);
        }
    }

    /// Leaves the thread behind that stands still longest, and has another go on in its place.
    fn lose(&mut self, failure: Failure, goes_on: bool) {
        let place = (0..self.workers.len()).max_by_key(|at| self.workers[*at].watch.still());
        let Some(place) = place else { return };
        let worker = self.workers.remove(place);
        worker.left.store(true, Ordering::Relaxed);
        let first = worker.block.load(Ordering::Relaxed);
        if !goes_on {
            let mut summary = Summary::default();
            summary.add_lost(failure);
            return self.ledger.total.merge(summary);
        }
        let mut lost = self.shared.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.insert(failure.seed.0, failure);
        drop(lost);
        self.live -= 1;
        self.hire(Some(first));
    }
}

fn work(
    shared: &Shared,
    first: Option<u64>,
    pulse: &Arc<Pulse>,
    block: &AtomicU64,
    leaves: &Leaves,
) {
    let Leaves { left, tell, .. } = leaves;
    let mut redo = first;
    let end = shared.sweep.seeds.end;
    loop {
        let late = shared.late.load(Ordering::Relaxed);
        let first = match redo.take() {
            Some(first) => first,
            None => shared.next.fetch_add(BLOCK, Ordering::Relaxed),
        };
        if late || end <= first || shared.stop_after.load(Ordering::Relaxed) < first {
            break;
        }
        block.store(first, Ordering::Relaxed);
        let done = one_block(shared, first, end.min(first.saturating_add(BLOCK)), pulse);
        // Nobody listens any more to whoever is left behind, or after the sweep is over.
        if left.load(Ordering::Relaxed) || tell.send(Told::Block(Box::new(done))).is_err() {
            return;
        }
    }
}

/// Runs the seeds of one block, up to the first failure that ends the sweep.
fn one_block(shared: &Shared, first: u64, end: u64, pulse: &Arc<Pulse>) -> Block {
    let Shared { scenario, sweep, stop_after, lost, .. } = shared;
    let mut summary = Summary::default();
    let mut seed = first;
    while seed < end && seed <= stop_after.load(Ordering::Relaxed) {
        let gone = lost.lock().unwrap_or_else(PoisonError::into_inner).get(&seed).cloned();
        let failed = summary.failed;
        match gone {
            Some(failure) => summary.add_lost(failure),
            None => {
                let trial = sweep.trial(&**scenario, Seed(seed));
                let trial = Trial { pulse: Some(Arc::clone(pulse)), ..trial };
                let mut report = scenario.run(&trial);
                let begin = sweep.part_of.unwrap_or(sweep.seeds.start);
                if twice::is_due(&report, seed.saturating_sub(begin)) {
                    summary.twice += 1;
                    report = twice::compared(&**scenario, &trial, report);
                }
                summary.add(report);
            }
        }
        if failed < summary.failed && !sweep.keep_going {
            stop_after.fetch_min(seed, Ordering::Relaxed);
        }
        seed += 1;
    }
    Block { first, end: seed, summary }
}
