//! With shuttle: nodes as threads, messages as channels, every step of a thread in random order.

use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::sync::mpsc::{Receiver, Sender, channel};
use shuttle::thread;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

// begin service
/// The first node: a write comes with the channel on which it is answered.
fn first(writes: &Receiver<(u64, Sender<()>)>, second: &Sender<(u64, Sender<()>)>) {
    while let Ok((value, answer)) = writes.recv() {
        let (copied, confirmed) = channel();
        let _ = second.send((value, copied));
        // The bug: it does not always wait until the second has it. There is no clock here, and so
        // no 100 ms: whether they are over is a coin.
        if thread_rng().gen_bool(0.9) {
            let _ = confirmed.recv();
        }
        let _ = answer.send(());
    }
}

fn second(copies: &Receiver<(u64, Sender<()>)>, value: &AtomicU64) {
    while let Ok((new, copied)) = copies.recv() {
        value.store(new, Ordering::SeqCst);
        let _ = copied.send(());
    }
}
// end service

// begin test
fn run() {
    let value = Arc::new(AtomicU64::new(0));
    let ((to_first, writes), (to_second, copies)) = (channel(), channel());
    let read = Arc::clone(&value);
    let nodes = [
        thread::spawn(move || first(&writes, &to_second)),
        thread::spawn(move || second(&copies, &value)),
    ];
    let answered = Arc::new(AtomicU64::new(0));
    let known = Arc::clone(&answered);
    let writer = thread::spawn(move || {
        for value in 1..=10 {
            let (answer, told) = channel();
            let _ = to_first.send((value, answer));
            let _ = told.recv();
            known.store(value, Ordering::SeqCst);
        }
    });
    for _ in 0..20 {
        let least = answered.load(Ordering::SeqCst);
        let seen = read.load(Ordering::SeqCst);
        assert!(least <= seen, "{least} was answered, and {seen} is read");
    }
    writer.join().unwrap();
    nodes.into_iter().for_each(|node| node.join().unwrap());
}
// end test

fn main() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    std::panic::set_hook(Box::new(|_| ()));
    let started = Instant::now();
    let found = std::panic::catch_unwind(|| {
        shuttle::check_random(
            || {
                RUNS.fetch_add(1, Ordering::SeqCst);
                run();
            },
            100_000,
        );
    });
    let (runs, seconds) = (RUNS.load(Ordering::SeqCst), started.elapsed().as_secs_f64());
    println!(
        "shuttle: {}, {runs} runs, {seconds:.3} s",
        if found.is_err() { "found" } else { "not found" }
    );
}
