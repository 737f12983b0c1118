//! `std::fs`, crashes, and what they leave.

use crate::backstop::raw;
use seedfall_kernel::{Ended, Fault, Simulation, isolated};
use seedfall_sim::Duration as Span;
use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::time::Duration;

/// Writes one record that it syncs and one that it does not, then waits for its crash; started
/// again, it says what it found.
fn store() {
    let found = fs::read("/work/log").unwrap_or_default();
    seedfall_kernel::note(format!("synced {}", found.starts_with(&[1; 4096])).as_bytes());
    seedfall_kernel::note(format!("unsynced {}", found.get(4096) == Some(&2)).as_bytes());
    if found.is_empty() {
        let mut file = File::create("/work/log").unwrap();
        file.write_all(&[1; 4096]).unwrap();
        file.sync_all().unwrap();
        file.write_all(&[2; 4096]).unwrap();
    }
    std::thread::sleep(Duration::from_secs(5));
}

fn crashed(fault: impl Fn(seedfall_kernel::Place) -> Fault, seed: u64) -> Vec<String> {
    let simulation = Simulation::new(seed).node("store", store);
    let place = simulation.place("store");
    let report = simulation
        .fault(Span::secs(1), fault(place))
        .fault(Span::secs(2), Fault::Restart(place))
        .horizon(Span::secs(3))
        .run();
    assert_eq!(report.failures, []);
    assert_eq!(report.ended, Ended::Horizon);
    assert_eq!(report.effects, [1, 1]);
    report.notes_as_text().split_off(2)
}

#[test]
fn a_crash_takes_what_was_not_synced_by_a_draw() {
    isolated(|| {
        let mut kept = 0;
        for seed in 0..20 {
            let found = crashed(Fault::Crash, seed);
            assert_eq!(found[0], "synced true");
            kept += usize::from(found[1] == "unsynced true");
        }
        assert!((3..=17).contains(&kept), "about half of 20: {kept}");
    });
}

#[test]
fn a_power_loss_takes_all_of_it_and_a_kill_nothing() {
    isolated(|| {
        for seed in 0..5 {
            let found = crashed(|place| Fault::PowerLoss(vec![place]), seed);
            assert_eq!(found, ["synced true", "unsynced false"]);
            assert_eq!(crashed(Fault::Kill, seed), ["synced true", "unsynced true"]);
        }
    });
}

/// What `std::fs` does, call by call.
/// Statics are shared by all programs: what they note of a file there, by its device and inode,
/// is of this node and this life.
#[test]
fn a_file_is_another_one_to_another_node_and_in_another_life() {
    use std::os::unix::fs::MetadataExt;
    let look = || {
        File::create("file").unwrap().sync_all().unwrap();
        let (plain, open) = (fs::metadata("file"), File::open("file").unwrap());
        let (plain, open) = (plain.unwrap(), open.metadata().unwrap());
        assert_eq!((plain.dev(), plain.ino()), (open.dev(), open.ino()));
        seedfall_kernel::note(format!("{} {}", plain.dev(), plain.ino()).as_bytes());
        std::thread::sleep(Duration::from_secs(9));
    };
    let world = Simulation::new(1).node("a", look).node("b", look);
    let report = world.crash(Span::secs(1), Span::secs(2), "a").horizon(Span::secs(3)).run();
    let mut seen = report.notes_as_text();
    assert_eq!((seen.len(), report.failures), (3, Vec::new()));
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 3, "{seen:?}");
}

/// `SQLite` asks so whether the writer of a journal lives, before it rolls it back.
#[test]
fn nobody_else_holds_a_lock_of_a_file() {
    use std::os::fd::AsRawFd;
    let ask = || {
        let file = File::create("file").unwrap();
        let (fcntl, get, write, none) = (72, 5, 1_u64, 2);
        let mut lock = [write, 0, 0, 0];
        let told = raw(fcntl, [file.as_raw_fd() as usize, get, lock.as_mut_ptr() as usize]);
        assert_eq!((told, lock), (0, [none, 0, 0, 0]));
    };
    assert_eq!(Simulation::new(1).node("a", ask).run().failures, []);
}

fn every_call() {
    fs::create_dir_all("data/deep/er").unwrap();
    assert_eq!(std::env::current_dir().unwrap().to_str(), Some("/work"));
    fs::write("data/a", "hello").unwrap();
    assert_eq!(fs::read_to_string("/work/data/a").unwrap(), "hello");
    let mut file = OpenOptions::new().read(true).append(true).open("data/a").unwrap();
    file.write_all(b" world").unwrap();
    file.seek(SeekFrom::Start(6)).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "world");
    file.set_len(5).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 5);
    fs::rename("data/a", "data/b").unwrap();
    assert!(fs::metadata("data/a").is_err() && fs::metadata("data/b").unwrap().is_file());
    fs::copy("data/b", "data/c").unwrap();
    fs::hard_link("data/c", "data/d").unwrap();
    std::os::unix::fs::symlink("b", "data/link").unwrap();
    assert_eq!(fs::read_link("data/link").unwrap().to_str(), Some("b"));
    assert_eq!(fs::canonicalize("data/link").unwrap().to_str(), Some("/work/data/b"));
    let mut names: Vec<String> = fs::read_dir("data")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["b", "c", "d", "deep", "link"]);
    fs::remove_file("data/b").unwrap();
    fs::remove_dir_all("data").unwrap();
    let missing = File::open("data/b").unwrap_err();
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    let exclusive = OpenOptions::new().write(true).create_new(true).open("one").unwrap();
    drop(exclusive);
    let again = OpenOptions::new().write(true).create_new(true).open("one").unwrap_err();
    assert_eq!(again.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read("/etc/config").unwrap(), b"given");
    let age = fs::metadata("one").unwrap().modified().unwrap().elapsed().unwrap();
    assert!(age < Duration::from_secs(1), "written by the virtual clock: {age:?}");
    println!("done");
}

#[test]
fn files_folders_and_links() {
    isolated(|| {
        let report = Simulation::new(1)
            .node("a", every_call)
            .file("a", "/etc/config", b"given")
            .horizon(Span::secs(1))
            .run();
        assert_eq!(report.failures, []);
        assert_eq!(report.node("a").output(), "done\n");
        assert!(!std::path::Path::new("/work/one").exists(), "nothing of it is real");
    });
}

/// What storage engines call, with a symbol and without one.
#[test]
#[expect(unsafe_code, reason = "these are the calls of libc themselves")]
fn renames_that_replace_nothing_and_ranges_that_are_written_out() {
    use std::os::fd::AsRawFd;
    let main = || {
        let (one, two, three) = (c"one".as_ptr(), c"two".as_ptr(), c"three".as_ptr());
        let here = libc::AT_FDCWD;
        let error = || std::io::Error::last_os_error().raw_os_error().unwrap();
        fs::write("one", "1").unwrap();
        fs::write("two", "2").unwrap();
        // SAFETY: the paths are C strings, and the range is one of an open file.
        unsafe {
            let keep = libc::RENAME_NOREPLACE;
            assert_eq!((libc::renameat2(here, one, here, two, keep), error()), (-1, libc::EEXIST));
            let swap = libc::RENAME_EXCHANGE;
            assert_eq!((libc::renameat2(here, one, here, two, swap), error()), (-1, libc::EINVAL));
            assert_eq!(libc::renameat2(here, one, here, three, keep), 0);
            let folder = File::open("/work").unwrap();
            let at = folder.as_raw_fd();
            assert_eq!(libc::syscall(libc::SYS_renameat, at, three, at, two), 0);
            assert_eq!(libc::syscall(libc::SYS_mkdirat, at, one, 0o755), 0);
            let file = OpenOptions::new().write(true).open("two").unwrap();
            let out = libc::SYNC_FILE_RANGE_WRITE;
            assert_eq!(libc::sync_file_range(file.as_raw_fd(), 0, 0, out), 0);
            let wrong = libc::sync_file_range(file.as_raw_fd(), 0, 0, 8);
            assert_eq!((wrong, error()), (-1, libc::EINVAL));
            let mut machine: libc::sysinfo = std::mem::zeroed();
            assert_eq!(libc::sysinfo(&raw mut machine), 0);
            assert_eq!((machine.uptime, machine.totalram), (0, 8 << 30));
            let mut named: libc::utsname = std::mem::zeroed();
            assert_eq!(libc::uname(&raw mut named), 0);
            assert_eq!(CStr::from_ptr(named.nodename.as_ptr()), c"a");
            assert_eq!(CStr::from_ptr(named.sysname.as_ptr()), c"Linux");
        }
        assert_eq!(fs::read("two").unwrap(), b"1");
        assert!(fs::metadata("one").unwrap().is_dir() && !fs::exists("three").unwrap());
        seedfall_kernel::note(b"done");
    };
    isolated(|| {
        let report = Simulation::new(1).node("a", main).run();
        assert_eq!((report.failures, report.notes.len()), (Vec::new(), 1));
    });
}
