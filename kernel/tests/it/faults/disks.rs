//! Programs with bugs that concern their disks.

use super::bugs::{Asks, bug, serve, sleep};
use seedfall_kernel::ClientContext;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::mpsc;
use std::time::Duration;

/// How a number is kept in a file.
#[derive(Clone, Copy)]
pub(super) struct Keeper {
    /// It is synced a moment after it was acknowledged.
    pub(super) late: bool,
    /// A sync that fails is tried again.
    pub(super) again: bool,
    /// Nobody looks whether a write failed.
    pub(super) hopes: bool,
    /// A file that cannot be read is one with nothing in it.
    pub(super) empty: bool,
}

impl Keeper {
    pub(super) const GOOD: Self = Self { late: false, again: false, hopes: false, empty: false };

    /// Each number has a page of its own.
    fn keep(self, file: &File, number: u64) -> io::Result<()> {
        let wrote = file.write_all_at(&number.to_le_bytes().repeat(512), (number - 1) * 4096);
        if !self.hopes {
            wrote?;
        }
        if self.late {
            return Ok(());
        }
        match file.sync_all() {
            Err(_) if self.again => file.sync_all(),
            synced => synced,
        }
    }

    /// How many numbers are there whole, from the first one on.
    fn kept(self) -> io::Result<u64> {
        let mut bytes = Vec::new();
        let read = match File::open("numbers") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            opened => opened?.read_to_end(&mut bytes),
        };
        if !self.empty {
            read?;
        }
        let pages = bytes.chunks(4096).zip(1_u64..);
        let whole = |(page, number): &(&[u8], u64)| *page == number.to_le_bytes().repeat(512);
        Ok(pages.take_while(whole).count() as u64)
    }
}

/// Keeps the largest number that it hears.
pub(super) fn keeps_a_number(keeper: Keeper) {
    let old = keeper.kept().unwrap_or_else(|_| std::process::exit(1));
    let file = OpenOptions::new().create(true).truncate(false).write(true).open("numbers");
    let file = file.unwrap_or_else(|_| std::process::exit(1));
    let copy = file.try_clone().unwrap();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for () in told {
            std::thread::sleep(Duration::from_micros(50));
            let _ = copy.sync_all();
        }
    });
    let mut held = old;
    serve(move |question| {
        let number = question.parse().unwrap_or(0);
        while number > held {
            held += 1;
            if keeper.keep(&file, held).is_err() {
                std::process::exit(1);
            }
            let _ = if keeper.late { tell.send(()) } else { Ok(()) };
        }
        held.to_string()
    });
}

pub(super) fn keeps(_: ClientContext) {
    let (mut asks, mut most) = (Asks::new(), 0);
    for number in 1..60 {
        let Some(answer) = asks.retarget("server", "0") else { continue };
        let known: u64 = answer.parse().unwrap();
        if known < most {
            return bug();
        }
        if let Some(answer) = asks.ask("server", &number.to_string(), 1, 30) {
            most = answer.parse().unwrap();
        }
        sleep(5);
    }
}

/// Appends records; one that fails is appended once more, on top of whatever is there.
pub(super) fn half_a_record() {
    let log = || OpenOptions::new().create(true).append(true).open("log");
    let Ok(mut log) = log() else { std::process::exit(1) };
    loop {
        let length = fs::metadata("log").map_or(0, |log| log.len());
        if !length.is_multiple_of(100) {
            bug();
        }
        for _ in 0..3 {
            if log.write_all(&[7; 100]).is_ok() && log.sync_all().is_ok() {
                break;
            }
        }
        sleep(10);
    }
}

/// Answers with a byte of a page, each page of its own.
pub(super) fn unchecked() {
    if !fs::exists("pages").unwrap_or(true) {
        let bytes: Vec<u8> = (0..4_u8).flat_map(|page| [page; 4096]).collect();
        fs::write("new", bytes).unwrap();
        File::open("new").unwrap().sync_all().unwrap();
        fs::rename("new", "pages").unwrap();
        File::open(".").unwrap().sync_all().unwrap();
    }
    let Ok(file) = OpenOptions::new().read(true).write(true).open("pages") else {
        std::process::exit(1)
    };
    serve(move |question| {
        let page: u64 = question.parse().unwrap_or(0);
        let mut bytes = [0; 4096];
        if file.read_exact_at(&mut bytes, page * 4096).is_err() {
            return "error".to_owned();
        }
        let _ = file.write_all_at(&bytes, page * 4096).and_then(|()| file.sync_all());
        let sum: u64 = bytes.iter().map(|byte| u64::from(*byte)).sum();
        sum.to_string()
    });
}

pub(super) fn pages(_: ClientContext) {
    let mut asks = Asks::new();
    for number in 0..120 {
        let page = number % 4;
        let answer = asks.ask("server", &page.to_string(), 1, 30);
        if answer.is_some_and(|answer| answer != "error" && answer != (page * 4096).to_string()) {
            return bug();
        }
        sleep(3);
    }
}
