//! What makes two runs of one program differ: each source by itself, as a line of text that is
//! another one in every process, unless the process is a run of the simulated Linux.

use futures::FutureExt;
use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// A source: its name, and what it shows.
pub type Source = (&'static str, fn() -> String);

/// Those that are the same in every build.
pub const DRAWN: [Source; 10] = [
    ("tokio::select!", tokio_select),
    ("futures::select!", futures_select),
    ("HashMap", hash_map),
    ("rand", || text(&(0..4).map(|_| rand::random::<u64>()).collect::<Vec<_>>())),
    ("uuid", || uuid::Uuid::new_v4().to_string()),
    ("fastrand", || text(&(0..4).map(|_| fastrand::u64(..)).collect::<Vec<_>>())),
    ("thread ids", thread_ids),
    ("parking_lot", parking_lot_order),
    ("Instant", instants),
    ("SystemTime", || text(&SystemTime::now())),
];

/// Those that look at addresses of statics and functions, which are others in another build.
pub const ADDRESSED: [Source; 4] = [
    ("hashbrown", hashbrown_map),
    ("ahash", ahash_map),
    ("parking_lot's fairness", lock_fairness),
    ("an address", address),
];

fn text(value: &impl Debug) -> String {
    format!("{value:?}")
}

fn tokio_select() -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut chosen = Vec::new();
        for _ in 0..40 {
            chosen.push(tokio::select! { () = async {} => 0, () = async {} => 1 });
        }
        text(&chosen)
    })
}

fn futures_select() -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut chosen = Vec::new();
        for _ in 0..40 {
            let (mut one, mut two) = (Box::pin(async {}.fuse()), Box::pin(async {}.fuse()));
            chosen.push(futures::select! { () = one => 0, () = two => 1 });
        }
        text(&chosen)
    })
}

fn hash_map() -> String {
    text(
        &(0..20)
            .map(|number| (number, ()))
            .collect::<HashMap<u32, ()>>()
            .into_keys()
            .collect::<Vec<_>>(),
    )
}

fn hashbrown_map() -> String {
    let map: hashbrown::HashMap<u32, ()> = (0..20).map(|number| (number, ())).collect();
    text(&map.into_keys().collect::<Vec<_>>())
}

fn ahash_map() -> String {
    let mut map = HashMap::with_hasher(ahash::RandomState::new());
    map.extend((0..20_u32).map(|number| (number, ())));
    text(&map.into_keys().collect::<Vec<_>>())
}

fn address() -> String {
    let (on_heap, function) = (Box::new(1), hashbrown_map as fn() -> String);
    format!("{on_heap:p} {function:p}")
}

fn thread_ids() -> String {
    let id = || format!("{:?}", std::thread::current().id());
    let ids: Vec<String> =
        (0..3).map(|_| std::thread::spawn(id).join().expect("it does not panic")).collect();
    format!("{ids:?} of {}", std::process::id())
}

/// Which locks are handed over to who waits for them, and which can be taken before. parking_lot
/// decides that by a clock and a generator of its own for each of a few buckets, and which bucket a
/// lock is in, by the address of the lock.
fn lock_fairness() -> String {
    let locks: Vec<Box<parking_lot::Mutex<()>>> = (0..24).map(|_| Box::default()).collect();
    let mut handed_over = Vec::new();
    for lock in &locks {
        std::thread::scope(|scope| {
            let held = lock.lock();
            scope.spawn(|| drop(lock.lock()));
            std::thread::sleep(Duration::from_micros(10));
            drop(held);
            handed_over.push(lock.is_locked());
        });
    }
    text(&handed_over)
}

/// In which order threads get a lock.
fn parking_lot_order() -> String {
    let order = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let work = |name: u32| {
        let order = order.clone();
        std::thread::spawn(move || {
            for _ in 0..6 {
                let mut held = order.lock();
                held.push(name);
                std::thread::sleep(Duration::from_micros(200));
                drop(held);
                std::thread::yield_now();
            }
        })
    };
    let all: Vec<_> = (0..4).map(work).collect();
    all.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
    text(&*order.lock())
}

fn instants() -> String {
    let began = Instant::now();
    let spans: Vec<Duration> = (0..3)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(1));
            began.elapsed()
        })
        .collect();
    format!("{began:?} {spans:?}")
}
