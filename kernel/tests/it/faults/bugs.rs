//! Small programs over `std::net`, `std::fs` and threads, each with one bug.

use super::disks::{Keeper, half_a_record, keeps, keeps_a_number, pages, unchecked};
use seedfall_kernel::{ClientContext, note};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::UdpSocket;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

/// A program with a bug.
pub(super) struct Bug {
    /// What it does wrong.
    pub(super) name: &'static str,
    /// The program that faults strike, and the one beside it.
    pub(super) servers: [fn(); 2],
    pub(super) client: fn(ClientContext),
    /// The faults that find the bug.
    pub(super) found_by: &'static str,
}

const fn bug_of(
    name: &'static str,
    server: fn(),
    client: fn(ClientContext),
    found_by: &'static str,
) -> Bug {
    Bug { name, servers: [server, beside], client, found_by }
}

const fn bug_of_two(
    name: &'static str,
    servers: [fn(); 2],
    client: fn(ClientContext),
    found_by: &'static str,
) -> Bug {
    Bug { name, servers, client, found_by }
}

/// All of them.
pub(super) const ALL: &[Bug] = &[
    bug_of(
        "asks once",
        echo,
        asks_once,
        "loss burst corrupt clients-cut flap crash crash-unsynced crash-at-sync power-loss \
         storm stop wipe",
    ),
    bug_of(
        "asks five times",
        echo,
        asks_much,
        "burst clients-cut flap crash crash-unsynced crash-at-sync power-loss storm stop wipe",
    ),
    bug_of(
        "sends all at once",
        echo,
        sends_all,
        "loss burst corrupt throttle clients-cut flap crash crash-unsynced crash-at-sync \
         power-loss storm stop wipe",
    ),
    bug_of("adds twice", adds, counts, "duplicate"),
    bug_of("last is newest", last, counts, "duplicate reorder latency throttle clog swizzle"),
    bug_of("no room for many", narrow, counts, "clog swizzle pause"),
    bug_of("always near", echo, near, "latency throttle"),
    bug_of_two("one leader", [leads, follows], two_leaders, "partition"),
    bug_of(
        "late is lost",
        adds,
        late_is_lost,
        "loss burst duplicate corrupt latency clog swizzle clients-cut flap pause",
    ),
    bug_of("spans by wall clock", by_wall_clock, idle, "clock"),
    bug_of_two("one second for all", [by_another, clock], idle, "drift"),
    bug_of("timers are late", rings, idle, "drift timers"),
    bug_of("checks, then acts", lease, idle, "pause"),
    bug_of("steps take no time", steps, idle, "slow"),
    bug_of("syncs take no time", syncs, idle, "stall"),
    bug_of(
        "in memory alone",
        counter,
        counter_goes_back,
        "crash crash-unsynced crash-at-sync power-loss storm wipe",
    ),
    bug_of_two("in two memories", [replica, replica], both_forget, "power-loss"),
    bug_of("three starts", three_starts, idle, "storm"),
    bug_of("waits two seconds", echo, impatient, "stop"),
    bug_of(
        "syncs afterwards",
        || keeps_a_number(Keeper { late: true, ..Keeper::GOOD }),
        keeps,
        "crash-unsynced crash-at-sync wipe sync-fails lying-sync phantom-write bit-rot \
         misdirected-write misdirected-read truncate rollback rollback-all",
    ),
    bug_of(
        "trusts its disk",
        || keeps_a_number(Keeper::GOOD),
        keeps,
        "wipe lying-sync phantom-write bit-rot misdirected-write misdirected-read truncate \
         rollback rollback-all",
    ),
    bug_of(
        "syncs once more",
        || keeps_a_number(Keeper { again: true, ..Keeper::GOOD }),
        keeps,
        "wipe sync-fails lying-sync phantom-write bit-rot misdirected-write misdirected-read \
         truncate rollback rollback-all",
    ),
    bug_of(
        "writes, hopefully",
        || keeps_a_number(Keeper { hopes: true, ..Keeper::GOOD }),
        keeps,
        "wipe lying-sync phantom-write bit-rot misdirected-write misdirected-read truncate \
         rollback rollback-all no-space write-error",
    ),
    bug_of(
        "an error is empty",
        || keeps_a_number(Keeper { empty: true, ..Keeper::GOOD }),
        keeps,
        "wipe lying-sync phantom-write bit-rot misdirected-write misdirected-read truncate \
         rollback rollback-all read-error",
    ),
    bug_of("half a record", half_a_record, idle, "truncate no-space"),
    bug_of("no checksum", unchecked, pages, "bit-rot misdirected-read"),
];

/// Nobody asks it for anything.
fn beside() {
    sleep(100_000);
}

pub(super) fn bug() {
    note(b"BUG");
}

pub(super) fn sleep(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

/// Does nothing while the faults strike.
fn idle(_: ClientContext) {
    sleep(600);
}

/// Answers questions of the form "number text" by "number answer".
pub(super) fn serve(mut answer: impl FnMut(&str) -> String) {
    let socket = UdpSocket::bind("0.0.0.0:7000").unwrap();
    let mut buffer = [0; 512];
    loop {
        let Ok((size, from)) = socket.recv_from(&mut buffer) else { continue };
        let text = String::from_utf8_lossy(&buffer[..size]).into_owned();
        let (number, question) = text.split_once(' ').unwrap_or((&text, ""));
        let _ = socket.send_to(format!("{number} {}", answer(question)).as_bytes(), from);
    }
}

/// A client's socket, and the number of its last question.
pub(super) struct Asks {
    socket: UdpSocket,
    number: u64,
}

impl Asks {
    pub(super) fn new() -> Self {
        sleep(10);
        Self { socket: UdpSocket::bind("0.0.0.0:0").unwrap(), number: 0 }
    }

    /// Sends the same question so many times, and waits so long for its answer.
    pub(super) fn ask(
        &mut self,
        whom: &str,
        what: &str,
        copies: u32,
        millis: u64,
    ) -> Option<String> {
        self.number += 1;
        let question = format!("{} {what}", self.number);
        for _ in 0..copies {
            let _ = self.socket.send_to(question.as_bytes(), (whom, 7000));
        }
        let until = Instant::now() + Duration::from_millis(millis);
        let mut buffer = [0; 512];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left < Duration::from_micros(10) {
                return None;
            }
            self.socket.set_read_timeout(Some(left)).unwrap();
            let Ok((size, _)) = self.socket.recv_from(&mut buffer) else { continue };
            let text = String::from_utf8_lossy(&buffer[..size]).into_owned();
            match text.split_once(' ') {
                Some((number, answer)) if number == self.number.to_string() => {
                    return Some(answer.to_owned());
                }
                _ => {}
            }
        }
    }

    /// Asks until there is an answer, for a second and a half.
    pub(super) fn retarget(&mut self, whom: &str, what: &str) -> Option<String> {
        (0..50).find_map(|_| self.ask(whom, what, 1, 30))
    }
}

fn rounds(millis: u64) -> impl Iterator<Item = u64> {
    let began = Instant::now();
    (0..).take_while(move |_| began.elapsed() < Duration::from_millis(millis))
}

// ---- the wire
fn echo() {
    serve(str::to_owned);
}

fn asks_once(_: ClientContext) {
    let mut asks = Asks::new();
    if rounds(500).any(|_| asks.ask("server", "", 1, 1_000).is_none()) {
        bug();
    }
}

fn asks_much(_: ClientContext) {
    let mut asks = Asks::new();
    if rounds(500).any(|_| asks.ask("server", "", 5, 1_000).is_none()) {
        bug();
    }
}

fn sends_all(_: ClientContext) {
    let mut asks = Asks::new();
    for _ in rounds(500) {
        sleep(30);
        let count = |asks: &mut Asks| {
            asks.socket.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
            (0..12).take_while(|_| asks.socket.recv(&mut [0; 64]).is_ok()).count()
        };
        for number in 0..12 {
            let _ = asks.socket.send_to(format!("{number} x").as_bytes(), ("server", 7000));
        }
        if count(&mut asks) < 12 {
            return bug();
        }
    }
}

/// Adds up what comes, and says how much it is.
fn adds() {
    let mut sum = 0;
    serve(move |question| {
        sum += question.parse::<u64>().unwrap_or(0);
        if sum > 100_000 {
            bug();
        }
        sum.to_string()
    });
}

/// A hundred numbers, which make a hundred thousand.
fn counts(_: ClientContext) {
    let asks = Asks::new();
    for number in 0..100 {
        let text = format!("{number} 1000");
        let _ = asks.socket.send_to(text.as_bytes(), ("server", 7000));
        sleep(5);
    }
    sleep(200);
}

fn last() {
    let socket = UdpSocket::bind("0.0.0.0:7000").unwrap();
    let (mut buffer, mut newest) = ([0; 64], 0);
    while let Ok((size, _)) = socket.recv_from(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..size]).into_owned();
        let number: u64 = text.split(' ').next().unwrap().parse().unwrap();
        if number < newest {
            bug();
        }
        newest = number;
    }
}

fn narrow() {
    let socket = UdpSocket::bind("0.0.0.0:7000").unwrap();
    let (mut buffer, mut times) = ([0; 64], Vec::new());
    while socket.recv_from(&mut buffer).is_ok() {
        times.push(Instant::now());
        if times.len() > 20 && times[times.len() - 20].elapsed() < Duration::from_millis(10) {
            bug();
        }
    }
}

fn near(_: ClientContext) {
    let (mut asks, mut far) = (Asks::new(), 0);
    for _ in rounds(500) {
        let began = Instant::now();
        asks.ask("server", "", 1, 150);
        far = if began.elapsed() > Duration::from_millis(10) { far + 1 } else { 0 };
        if far == 4 {
            return bug();
        }
    }
}

/// Says every 20 ms that it leads, until it hears that another does.
fn leads() {
    beat(true);
}

fn follows() {
    beat(false);
}

fn beat(mut leads: bool) {
    let (name, peer) = if leads { ("server", "other") } else { ("other", "server") };
    let beats = UdpSocket::bind("0.0.0.0:7001").unwrap();
    beats.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut leads = leads;
        serve(move |_| {
            leads = told.try_iter().last().unwrap_or(leads);
            leads.to_string()
        });
    });
    let mut heard = Instant::now();
    let mut buffer = [0; 8];
    loop {
        if leads {
            let _ = beats.send_to(name.as_bytes(), (peer, 7001));
        }
        let was = leads;
        if beats.recv_from(&mut buffer).is_ok() {
            // Two that hear each other: the one of the smaller name goes on.
            leads = leads && name == "other";
            heard = Instant::now();
        } else if heard.elapsed() > Duration::from_millis(150) {
            leads = true;
        }
        if leads != was && tell.send(leads).is_err() {
            return;
        }
        if leads {
            sleep(10);
        }
    }
}

fn two_leaders(_: ClientContext) {
    let mut asks = Asks::new();
    for _ in rounds(600) {
        let leads = |asks: &mut Asks, who| asks.ask(who, "", 1, 5).as_deref() == Some("true");
        if leads(&mut asks, "server") && leads(&mut asks, "other") && leads(&mut asks, "server") {
            return bug();
        }
        sleep(10);
    }
}

/// Counts what has no answer after 50 ms as not done, and does it again.
fn late_is_lost(_: ClientContext) {
    let mut asks = Asks::new();
    for _ in 0..30 {
        while asks.ask("server", "3300", 1, 50).is_none() {}
        sleep(10);
    }
}

// ---- time
fn by_wall_clock() {
    loop {
        let began = SystemTime::now();
        sleep(10);
        if began.elapsed().is_err() || began.elapsed().unwrap() > Duration::from_secs(1) {
            bug();
        }
    }
}

fn clock() {
    let began = Instant::now();
    serve(move |_| began.elapsed().as_micros().to_string());
}

fn by_another() {
    let mut asks = Asks::new();
    let mut first = None;
    loop {
        let before = Instant::now();
        let Some(answer) = asks.ask("other", "", 1, 20) else { continue };
        let theirs = Duration::from_micros(answer.parse().unwrap());
        let after = Instant::now();
        let (began, then) = *first.get_or_insert((before, theirs));
        // Between these, whatever the wire did, if a second is a second.
        let (least, most) = (before - began, after - began + Duration::from_millis(25));
        let passed = theirs.saturating_sub(then) + Duration::from_millis(5);
        if passed < least || theirs.saturating_sub(then) > most {
            bug();
        }
        sleep(10);
    }
}

fn rings() {
    loop {
        let began = Instant::now();
        sleep(50);
        if began.elapsed() < Duration::from_millis(50) {
            bug();
        }
    }
}

fn lease() {
    loop {
        let until = Instant::now() + Duration::from_millis(100);
        sleep(20);
        if Instant::now() > until {
            bug();
        }
    }
}

/// Three threads hand something on.
fn steps() {
    let (first, one) = mpsc::channel();
    let (second, two) = mpsc::channel();
    let (third, three) = mpsc::channel();
    std::thread::spawn(move || one.iter().try_for_each(|what: u32| second.send(what)));
    std::thread::spawn(move || two.iter().try_for_each(|what: u32| third.send(what)));
    let mut late = 0;
    loop {
        let began = Instant::now();
        first.send(1).unwrap();
        three.recv().unwrap();
        late = if began.elapsed() > Duration::from_millis(5) { late + 1 } else { 0 };
        if late == 3 {
            bug();
        }
        sleep(5);
    }
}

fn syncs() {
    let mut late = 0;
    loop {
        let began = Instant::now();
        fs::write("file", "something").unwrap();
        File::open("file").unwrap().sync_all().unwrap();
        late = if began.elapsed() > Duration::from_millis(5) { late + 1 } else { 0 };
        if late == 3 {
            bug();
        }
        sleep(5);
    }
}

// ---- nodes
fn counter() {
    let mut count = 0;
    serve(move |_| {
        count += 1;
        count.to_string()
    });
}

fn counter_goes_back(_: ClientContext) {
    let (mut asks, mut most) = (Asks::new(), 0);
    for _ in rounds(600) {
        let Some(answer) = asks.retarget("server", "") else { continue };
        let count: u64 = answer.parse().unwrap();
        if count < most {
            return bug();
        }
        most = count;
        sleep(5);
    }
}

/// Keeps the largest number that it hears, and begins with that of the other.
fn replica() {
    let peer =
        if seedfall_kernel::node().as_deref() == Some("server") { "other" } else { "server" };
    let mut kept = 0;
    for _ in 0..3 {
        kept = Asks::new().ask(peer, "0", 1, 15).map_or(kept, |answer| answer.parse().unwrap());
    }
    serve(move |question| {
        kept = kept.max(question.parse::<u64>().unwrap_or(0));
        kept.to_string()
    });
}

fn both_forget(_: ClientContext) {
    let mut asks = Asks::new();
    sleep(50);
    for who in ["server", "other"] {
        asks.retarget(who, "7");
    }
    sleep(500);
    let known = ["server", "other"].iter().filter_map(|who| asks.retarget(who, "0"));
    if known.collect::<Vec<_>>().iter().all(|number| number == "0") {
        bug();
    }
}

fn three_starts() {
    let mut starts = OpenOptions::new().create(true).append(true).open("starts").unwrap();
    starts.write_all(b"x").unwrap();
    starts.sync_all().unwrap();
    if fs::metadata("starts").unwrap().len() > 3 {
        bug();
    }
    sleep(10_000);
}

fn impatient(_: ClientContext) {
    let mut asks = Asks::new();
    for _ in rounds(600) {
        if asks.retarget("server", "").is_none() {
            return bug();
        }
        sleep(5);
    }
}
