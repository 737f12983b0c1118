//! Files in memory: what a crash leaves of what was stored, and what else a run makes of them.

#![expect(unsafe_code, reason = "these are the calls of libc themselves, and memory")]

use libc::{MS_ASYNC, MS_SYNC, c_int, c_void};
use seedfall_kernel::{Course, Ended, Failure, Fault, Fork, Place, Report, Simulation};
use seedfall_kernel::{isolated, note, turn};
use seedfall_sim::{CrashPoint, DiskFault, Duration as Span, Kind, Recording, Seed};
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

const PAGE: usize = 4096;
const SHARED: c_int = libc::MAP_SHARED;

fn file(pages: u64) -> File {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).open("/work/data");
    let file = file.unwrap();
    file.set_len(pages * PAGE as u64).unwrap();
    file
}

/// Maps a file whole.
fn map(file: &File, pages: usize, flags: c_int) -> &'static mut [u8] {
    let (access, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
    // SAFETY: fresh memory, of which each test touches what its file has.
    unsafe {
        let start = libc::mmap(std::ptr::null_mut(), pages * PAGE, access, flags, fd, 0);
        assert_ne!(start, libc::MAP_FAILED);
        std::slice::from_raw_parts_mut(start.cast(), pages * PAGE)
    }
}

fn sync(bytes: &[u8], flags: c_int) -> Result<(), i32> {
    // SAFETY: what was mapped.
    let done = unsafe { libc::msync(bytes.as_ptr() as *mut c_void, bytes.len(), flags) };
    let error = || std::io::Error::last_os_error().raw_os_error().unwrap();
    if done == 0 { Ok(()) } else { Err(error()) }
}

fn pause() {
    std::thread::sleep(Duration::from_secs(9));
}

/// Stores a page that it syncs so, and one that it does not, then waits for its crash; started
/// again, it says what it found.
fn store(flags: c_int) {
    let begun = fs::exists("/work/data").unwrap();
    let file = file(2);
    let pages = map(&file, 2, SHARED);
    if begun {
        note(format!("{} {}", pages[0], pages[PAGE]).as_bytes());
    } else {
        file.sync_all().unwrap();
        pages[..PAGE].fill(1);
        sync(&pages[..PAGE], flags).unwrap();
        pages[PAGE..].fill(2);
    }
    pause();
}

fn crashed(flags: c_int, fault: impl Fn(Place) -> Fault, seed: u64) -> String {
    let world = Simulation::new(seed).node("a", move || store(flags));
    let place = world.place("a");
    let (crash, restart) = ((Span::secs(1), fault(place)), (Span::secs(2), Fault::Restart(place)));
    let report = world.plan([crash, restart]).horizon(Span::secs(3)).run();
    assert_eq!((&report.failures, &report.effects), (&vec![], &vec![1, 1]));
    report.notes_as_text().pop().unwrap()
}

#[test]
fn a_crash_takes_what_was_stored_and_not_synced_by_a_draw() {
    isolated(|| {
        let seeds = 0..40;
        let found: Vec<String> = seeds.map(|seed| crashed(MS_SYNC, Fault::Crash, seed)).collect();
        let count = |what: &str| found.iter().filter(|one| *one == what).count();
        let (kept, lost) = (count("1 2"), count("1 0"));
        // A page may be torn, too, and begin with anything.
        assert!(found.iter().all(|one| one.starts_with("1 ")), "what was synced stays: {found:?}");
        assert!(kept > 10 && lost > 10, "{kept} {lost}");
    });
}

#[test]
fn a_power_loss_takes_all_that_was_not_synced_and_a_kill_nothing() {
    let loses = |place| Fault::PowerLoss(vec![place]);
    isolated(|| {
        for seed in 0..5 {
            assert_eq!(crashed(MS_SYNC, loses, seed), "1 0");
            assert_eq!(crashed(MS_SYNC, Fault::Kill, seed), "1 2");
            // A program that takes the one for the other loses what it counts on.
            assert_eq!(crashed(MS_ASYNC, loses, seed), "0 0");
        }
    });
}

/// What each step leaves to be noticed by the next; the last one is the end of the program.
fn steps() {
    if fs::exists("/work/data").unwrap() {
        return pause();
    }
    let file = file(2); // Two changes.
    let pages = map(&file, 2, SHARED);
    pages[0] = 1;
    pages[PAGE] = 2;
    sync(pages, MS_SYNC).unwrap(); // Two: one write, as its pages follow each other, and a sync.
    pages[0] = 3;
    let mut byte = [0; 1];
    file.read_exact_at(&mut byte, 0).unwrap(); // One: it is seen at once, and thus a write.
    assert_eq!(byte, [3]);
    file.read_exact_at(&mut byte, 1).unwrap(); // None.
    file.write_all_at(&[4], 1).unwrap(); // One.
    assert_eq!(pages[..2], [3, 4], "a write is seen in the mapping");
    pages[PAGE + 1] = 5;
    file.sync_all().unwrap(); // Two.
    pages[1] = 6;
    file.set_len(PAGE as u64).unwrap(); // Two.
    pages[2] = 7;
    // SAFETY: what was mapped, and is not touched again.
    unsafe { libc::munmap(pages.as_mut_ptr().cast(), pages.len()) }; // One.
    let file = OpenOptions::new().read(true).write(true).open("/work/data").unwrap();
    file.read_exact_at(&mut byte, 2).unwrap();
    assert_eq!(byte, [7]);
    note(b"done");
    pause();
}

const CHANGES: u32 = 11;

#[test]
fn what_is_stored_is_a_change_of_files_as_a_write_is() {
    let run = |points: &[u32]| {
        let world = Simulation::new(1).node("a", steps);
        let place = world.place("a");
        let crash = |number: &u32| {
            let point = CrashPoint::Change(*number);
            (Span::ZERO, Fault::CrashAt(place, point, Span::millis(1)))
        };
        let plan: Vec<_> = points.iter().map(crash).collect();
        let report = world.plan(plan).horizon(Span::secs(3)).run();
        assert_eq!(report.failures, []);
        report
    };
    isolated(|| {
        let calm = run(&[]);
        assert_eq!((calm.nodes[0].changes, calm.notes.len()), (CHANGES.into(), 1));
        for number in 1..=CHANGES {
            let report = run(&[number]);
            assert_eq!((report.effects[0], report.hash), (1, run(&[number]).hash), "{number}");
        }
        assert_eq!(run(&[CHANGES + 1]).effects, [0]);
    });
}

#[test]
fn what_is_stored_is_told() {
    isolated(|| {
        let course = Course { recording: Recording::Full, ..Course::of(Seed(1)) };
        let world = Simulation::new(1).node("a", steps).horizon(Span::secs(3));
        let report = world.clone().course(course).run();
        assert_eq!(report.hash, world.run().hash);
        println!("hash {:#018x}", report.hash);
        let told =
            report.trace.iter().filter(|one| matches!(one.event.kind, Kind::File | Kind::Sync));
        let told: Vec<&str> = told.map(|entry| entry.text.as_str()).collect();
        assert_eq!(
            told[2..5],
            [
                "writes /work/data by its mapping, 8192 bytes",
                "/work/data by its mapping",
                "writes /work/data by its mapping, 4096 bytes",
            ],
            "{told:?}"
        );
    });
}

fn with_fault(fault: DiskFault, main: fn()) -> Report {
    let world = Simulation::new(1).node("a", main);
    let place = world.place("a");
    let loss = Fault::PowerLoss(vec![place]);
    let plan = [
        (Span::ZERO, Fault::DiskBegin(place, fault)),
        (Span::secs(1), loss),
        (Span::secs(2), Fault::Restart(place)),
    ];
    world.plan(plan).horizon(Span::secs(3)).run()
}

#[test]
fn a_sync_of_a_mapping_fails_and_lies_as_any_other() {
    let fails = || {
        std::thread::sleep(Duration::from_millis(1));
        let file = file(2);
        let pages = map(&file, 2, SHARED);
        note(format!("{}", pages[0]).as_bytes());
        pages[0] = 1;
        note(format!("{:?}", sync(pages, MS_SYNC)).as_bytes());
        pause();
    };
    isolated(|| {
        let report = with_fault(DiskFault::SyncFails { after: 0 }, fails);
        assert_eq!(report.notes_as_text()[..2], ["0", &format!("Err({})", libc::EIO)]);
        let report = with_fault(DiskFault::LyingSync, fails);
        assert_eq!(report.notes_as_text(), ["0", "Ok(())", "0", "Ok(())"], "it was lost");
        let report = with_fault(DiskFault::SyncFails { after: 9 }, fails);
        assert_eq!(report.notes_as_text(), ["0", "Ok(())", "1", "Ok(())"]);
    });
}

#[test]
fn what_decayed_is_seen_in_a_mapping_and_stays_if_its_page_is_stored_to() {
    let main = || {
        let begun = fs::exists("/work/data").unwrap();
        let file = file(1);
        if begun {
            let page = map(&file, 1, SHARED);
            let rotten = |page: &[u8]| page.iter().filter(|byte| **byte != 1).count();
            let mut read = vec![0; PAGE];
            file.read_exact_at(&mut read, 0).unwrap();
            note(format!("{} {}", rotten(page), page == read).as_bytes());
        } else {
            file.write_all_at(&[1; PAGE], 0).unwrap();
            file.sync_all().unwrap();
        }
        pause();
    };
    isolated(|| {
        let report = with_fault(DiskFault::BitRot { bits: 3 }, main);
        assert_eq!(report.notes_as_text().len(), 1);
        assert!(["1 true", "2 true", "3 true"].contains(&&*report.notes_as_text()[0]));
        assert!(report.effects[0] >= 2, "as it struck, and as it was read: {:?}", report.effects);
    });
}

#[test]
fn nothing_can_be_touched_behind_the_end_of_a_file() {
    let main = || {
        // A terabyte is reserved, as databases do: it takes nothing.
        let file = file(1);
        let pages = map(&file, 1 << 28, SHARED);
        pages[PAGE - 1] = 1;
        file.set_len(PAGE as u64 + 1).unwrap();
        pages[2 * PAGE - 1] = 1;
        file.set_len(1).unwrap();
        note(b"so far");
        pages[PAGE] = 1;
    };
    isolated(|| {
        let report = Simulation::new(1).node("a", main).run();
        assert_eq!(report.notes.len(), 1);
        let [Failure::Signal { node, signal, .. }] = &report.failures[..] else {
            panic!("{:?}", report.failures)
        };
        assert_eq!((node.as_str(), &signal[..6]), ("a", "SIGBUS"));
    });
}

/// A crate that wants no libc, and a second mapping of the same bytes.
fn by_number() {
    let file = file(2);
    let fd = file.as_raw_fd() as usize;
    let access = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    let length = 2 * PAGE;
    let start = raw(libc::SYS_mmap, [0, length, access, SHARED as usize, fd, 0]);
    let pages = map(&file, 2, SHARED);
    note(format!("{start:x} {:p}", pages.as_ptr()).as_bytes());
    pages[PAGE] = 9;
    let start = start as usize;
    assert_eq!(raw(libc::SYS_msync, [start, length, MS_SYNC as usize, 0, 0, 0]), 0);
    assert_eq!(fs::read("/work/data").unwrap()[PAGE], 9);
    let read = libc::PROT_READ as usize;
    assert_eq!(raw(libc::SYS_mprotect, [start, PAGE, read, 0, 0, 0]), 0);
    assert_eq!(raw(libc::SYS_madvise, [start, PAGE, 1, 0, 0, 0]), 0);
    let more = raw(libc::SYS_mremap, [start, length, 3 * PAGE, 1, 0, 0]);
    note(format!("{more:x}").as_bytes());
    assert_eq!(raw(libc::SYS_munmap, [more as usize, 3 * PAGE, 0, 0, 0, 0]), 0);
    assert_eq!(raw(libc::SYS_munmap, [start, length, 0, 0, 0, 0]), 0);
    // Other memory is real.
    let none = usize::MAX;
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
    let other = raw(libc::SYS_mmap, [0, length, access, flags, none, 0]) as usize;
    // SAFETY: fresh memory.
    unsafe { (other as *mut u8).write(1) };
    assert_eq!(raw(libc::SYS_mprotect, [other, length, read, 0, 0, 0]), 0);
    assert_eq!(raw(libc::SYS_munmap, [other, length, 0, 0, 0, 0]), 0);
    note(b"done");
}

/// A system call as a crate makes it that wants no libc.
fn raw(number: i64, words: [usize; 6]) -> i64 {
    let result: i64;
    let [a, b, c, d, e, f] = words;
    // SAFETY: the callers hand over what these calls ask for.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            out("rcx") _, out("r11") _,
        );
    }
    result
}

/// Whether this process is to do without Syscall User Dispatch.
fn look_by_number() {
    let report = Simulation::new(1).node("a", by_number).run();
    assert_eq!(report.failures, []);
    let notes = report.notes_as_text();
    assert_eq!(notes, ["5f0000000000 0x5f0000000000", "5f0000003000", "done"]);
    println!("{:?}", report.isolation.system_calls);
}

#[test]
fn calls_by_number_are_served_and_addresses_are_the_same_in_every_process() {
    isolated(look_by_number);
}

#[test]
fn calls_by_number_are_served_where_seccomp_catches_them() {
    let asked = "SEEDFALL_KERNEL_TEST_MAPS";
    if std::env::var_os(asked).is_some() {
        return look_by_number();
    }
    let name = "maps::calls_by_number_are_served_where_seccomp_catches_them";
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]);
    command.env(asked, "1").env("SEEDFALL_KERNEL_WITHOUT", "dispatch");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("Seccomp"), "{text}");
}

#[test]
fn each_future_of_a_run_has_its_own_memory() {
    let main = |_| {
        let file = file(1);
        let page = map(&file, 1, SHARED);
        page[0] = 1;
        while turn().is_none() {
            page[1] += 1;
            println!("{}", page[1]);
            std::thread::sleep(Duration::from_millis(1));
        }
        page[0] += turn().unwrap() as u8;
        sync(page, MS_SYNC).unwrap();
        note(format!("{:?}", &fs::read("/work/data").unwrap()[..2]).as_bytes());
    };
    isolated(|| {
        let world = Simulation::new(1).client_main("a", main);
        let fork = |seed| Fork { after: 6, seed: Seed(seed), faults: None };
        let all = world.futures(&[fork(1), fork(2), fork(3)], 3);
        let notes: Vec<_> = all.iter().flat_map(Report::notes_as_text).collect();
        let first = &notes[0];
        let rest = first.strip_prefix("[1, ").unwrap();
        assert_eq!(notes[1..], [format!("[2, {rest}"), format!("[3, {rest}")]);
        assert!(all.iter().all(|report| report.ended == Ended::Finished));
    });
}

/// Two mappings that overlap are equal as soon as another thread may look.
#[test]
fn threads_see_what_others_store_elsewhere() {
    let main = || {
        let (file, other) = (file(2), file(2));
        let (long, short) = (map(&file, 2, SHARED), map(&other, 1, SHARED));
        assert_ne!(long.as_ptr(), short.as_ptr());
        let own = map(&file, 1, libc::MAP_PRIVATE);
        let thread = std::thread::spawn(move || {
            short[0] = 1;
            short[5] = 2;
        });
        thread.join().unwrap();
        assert_eq!((long[0], long[5], own[5]), (1, 2, 2));
        own[6] = 3;
        long[7] = 4;
        file.write_all_at(&[5], 8).unwrap();
        assert_eq!((own[5], own[6], own[7], own[8]), (2, 3, 0, 0), "it has its own page now");
        assert_eq!(fs::read("/work/data").unwrap()[..9], [1, 0, 0, 0, 0, 2, 0, 4, 5]);
        note(b"done");
    };
    isolated(|| {
        let report = Simulation::new(1).node("a", main).run();
        assert_eq!((report.failures, report.notes.len()), (vec![], 1));
    });
}

/// Without a name and without a descriptor, a file lives as long as its mapping.
#[test]
fn a_mapping_keeps_its_file() {
    let main = || {
        let file = file(1);
        file.write_all_at(b"kept", 0).unwrap();
        let page = map(&file, 1, SHARED);
        fs::remove_file("/work/data").unwrap();
        file.sync_all().unwrap();
        drop(file);
        page[4] = b'!';
        sync(page, MS_SYNC).unwrap();
        assert_eq!(&page[..5], b"kept!");
        note(b"done");
    };
    isolated(|| {
        let report = Simulation::new(1).node("a", main).run();
        assert_eq!((report.failures, report.notes.len()), (vec![], 1));
    });
}

#[test]
fn a_sync_of_a_mapping_waits_for_a_slow_disk() {
    let main = || {
        std::thread::sleep(Duration::from_millis(1));
        let file = file(1);
        let page = map(&file, 1, SHARED);
        for flags in [MS_ASYNC, MS_SYNC] {
            page[0] += 1;
            let begun = Instant::now();
            sync(page, flags).unwrap();
            note(format!("{:?}", begun.elapsed()).as_bytes());
        }
        pause();
    };
    isolated(|| {
        let world = Simulation::new(1).node("a", main);
        let slow = Fault::StallBegin(world.place("a"), Span::millis(7));
        let report = world.fault(Span::ZERO, slow).horizon(Span::secs(1)).run();
        assert_eq!(
            (report.notes_as_text(), report.effects),
            (vec!["0ns".into(), "7ms".into()], vec![1])
        );
    });
}

/// As some allocators of pages do: room is reserved, and files are put into it.
#[test]
fn a_file_is_mapped_into_memory_that_was_reserved() {
    let main = || {
        let (file, access) = (file(2), libc::PROT_READ | libc::PROT_WRITE);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: fresh memory, which is given back whole.
        unsafe {
            let room = libc::mmap(std::ptr::null_mut(), 8 * PAGE, access, flags, -1, 0);
            room.cast::<u8>().add(7 * PAGE).write(7);
            let (fd, fixed) = (file.as_raw_fd(), SHARED | libc::MAP_FIXED);
            let place = room.add(PAGE);
            for _ in 0..2 {
                assert_eq!(libc::mmap(place, 2 * PAGE, access, fixed, fd, 0), place);
            }
            let other = SHARED | libc::MAP_FIXED_NOREPLACE;
            assert_eq!(libc::mmap(place, PAGE, access, other, fd, 0), libc::MAP_FAILED);
            place.cast::<u8>().add(PAGE).write(8);
            assert_eq!(libc::munmap(room, 8 * PAGE), 0);
        }
        let mut byte = [0];
        file.read_exact_at(&mut byte, PAGE as u64).unwrap();
        note(format!("{byte:?}").as_bytes());
    };
    isolated(|| {
        let report = Simulation::new(1).node("a", main).run();
        assert_eq!((&report.failures, report.notes_as_text()), (&vec![], vec!["[8]".to_owned()]));
    });
}
