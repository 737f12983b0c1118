//! What recovery makes of a disk that has lost or spoilt what was synced: all of it, or a refusal
//! that says where; never less, never something else.

use crate::support::{draw, open, record};
use seedfall_sim::Draw;
use seedfall_sim::disk::{Disk, DiskError, DiskFault, PAGE, Remains, SECTOR};
use seedfall_sim::wal::{Storage, Wal, WalError};

const HEAD: &str = "head";
const FRAMES: &str = "frames-1";

/// Twelve records in as many epochs, so that the frames fill more than a page; all synced.
fn whole() -> (Disk, Wal, Vec<Vec<u8>>) {
    let mut disk = Disk::default();
    let (mut wal, _) = open(&mut disk).expect("an honest disk");
    let all: Vec<Vec<u8>> = (0..12).map(|number| record(number, number * 60)).collect();
    for record in &all {
        wal.append(&mut disk, record).expect("an honest disk");
        wal.sync(&mut disk).expect("an honest disk");
    }
    (disk, wal, all)
}

/// Changes the bytes of a file on the disk itself.
fn change(disk: &Disk, file: &str, change: impl FnOnce(&mut Vec<u8>)) -> Disk {
    let mut disk = disk.clone();
    let mut bytes = disk.read(file).expect("it is there");
    change(&mut bytes);
    disk.truncate(file, 0).expect("an honest disk");
    disk.write(file, 0, &bytes).expect("an honest disk");
    disk.sync(file).expect("an honest disk");
    disk
}

/// True if it refused; what it does not refuse must be whole.
fn refuses(mut disk: Disk, all: &[Vec<u8>]) -> bool {
    match open(&mut disk) {
        Ok((_, found)) => {
            assert_eq!(found.payloads, all, "less than what was synced, or something else");
            false
        }
        Err(WalError::Damaged { file, .. }) => {
            assert!([HEAD, FRAMES].contains(&file.as_str()), "{file}");
            true
        }
        Err(error) => panic!("not damage: {error}"),
    }
}

#[test]
fn no_single_wrong_bit_is_believed() {
    let (disk, _, all) = whole();
    for (file, at_least) in [(FRAMES, 4_000), (HEAD, 0)] {
        let length = disk.clone().read(file).expect("it is there").len();
        let mut refused = 0;
        for byte in 0..length {
            let rotten = change(&disk, file, |bytes| bytes[byte] ^= 1 << (byte % 8));
            refused += usize::from(refuses(rotten, &all));
        }
        assert!(refused >= at_least, "{file}: {refused} of {length}");
        // One slot of the head serves when the other is spoilt.
        assert!(file == FRAMES || refused == 0, "{file}: {refused} of {length}");
    }
}

#[test]
fn no_spoilt_sector_or_page_is_believed() {
    let (disk, _, all) = whole();
    for (file, unit) in [(FRAMES, SECTOR), (FRAMES, PAGE), (HEAD, SECTOR), (HEAD, PAGE)] {
        let length = disk.clone().read(file).expect("it is there").len();
        for unit in (0..length).step_by(unit).map(|start| start..length.min(start + unit)) {
            let fill = |with: u8| change(&disk, file, |bytes| bytes[unit.clone()].fill(with));
            let is_used = disk.clone().read(file).expect("it is there")[unit.clone()]
                != [0].repeat(unit.len());
            for with in [0, 0xAA] {
                let refused = refuses(fill(with), &all);
                assert!(refused || file == HEAD || !is_used, "{file} {unit:?}");
            }
        }
    }
}

#[test]
fn no_page_in_the_place_of_another_is_believed() {
    let (disk, _, all) = whole();
    for file in [FRAMES, HEAD] {
        let length = disk.clone().read(file).expect("it is there").len();
        for unit in [SECTOR, PAGE] {
            let places = length.div_ceil(unit);
            for (from, to) in (0..places * places).map(|n| (n / places, n % places)) {
                let moved = change(&disk, file, |bytes| {
                    let source = bytes[from * unit..length.min((from + 1) * unit)].to_vec();
                    let room = &mut bytes[to * unit..length.min((to + 1) * unit)];
                    let count = source.len().min(room.len());
                    room[..count].copy_from_slice(&source[..count]);
                });
                let refused = refuses(moved, &all);
                assert!(refused || file == HEAD || from == to, "{file} {from} {to}");
            }
        }
    }
}

#[test]
fn no_end_that_is_gone_goes_unseen() {
    let (disk, _, all) = whole();
    for file in [FRAMES, HEAD] {
        let length = disk.clone().read(file).expect("it is there").len();
        for left in 0..length {
            let cut = change(&disk, file, |bytes| bytes.truncate(left));
            let refused = refuses(cut, &all);
            assert!(refused || file == HEAD, "{file} cut to {left} of {length}");
        }
    }
    for file in [FRAMES, HEAD] {
        let mut gone = disk.clone();
        gone.remove(file).expect("it is there");
        assert!(refuses(gone, &all), "without {file}");
    }
}

#[test]
fn a_spoilt_head_does_not_hide_that_the_frames_it_spoke_of_are_spoilt() {
    let (disk, _, all) = whole();
    // The newest head alone spoke of the last frame; the one before makes it look like a torn tail.
    for slot in [0, PAGE] {
        let spoilt = change(&disk, HEAD, |bytes| bytes[slot + 20] ^= 1);
        assert!(!refuses(spoilt.clone(), &all), "the other slot serves");
        let spoilt = change(&spoilt, FRAMES, |bytes| {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
        });
        assert!(refuses(spoilt, &all));
    }
}

#[test]
fn a_frame_that_was_cut_is_not_believed_when_it_comes_back() {
    let mut disk = Disk::default();
    let (mut wal, _) = open(&mut disk).expect("an honest disk");
    for number in 0..2 {
        wal.append(&mut disk, &record(number, 488)).expect("an honest disk"); // A sector each.
    }
    disk.crash_as(&[Remains::Garbage, Remains::Kept, Remains::Kept], draw(1));
    let stale = disk.read(FRAMES).expect("it is there")[SECTOR..].to_vec();
    let (mut wal, found) = open(&mut disk).expect("a crash alone");
    assert_eq!(found.cut, 2 * SECTOR as u64);
    wal.append(&mut disk, &record(2, 488)).expect("an honest disk");
    wal.sync(&mut disk).expect("an honest disk");
    disk.write(FRAMES, SECTOR as u64, &stale).expect("an honest disk");
    let (_, found) = open(&mut disk).expect("nothing that was synced is damaged");
    assert_eq!(found.payloads, [record(2, 488)], "the stale frame has the next number");
}

#[test]
fn a_refusal_says_file_place_and_what_to_do() {
    let (disk, _, _) = whole();
    let mut rotten = change(&disk, FRAMES, |bytes| bytes[SECTOR + 30] ^= 1);
    let error = open(&mut rotten).expect_err("a wrong bit");
    assert_eq!(
        error.to_string(),
        "frames-1: damaged at byte 512: expected the frame with number 2, found a checksum that \
         does not fit; this was synced, so the node must not start without it: put the file back \
         from a copy, or give the node up and let a new one join"
    );
}

#[test]
fn another_version_is_named_and_not_guessed_at() {
    let (disk, _, _) = whole();
    let newer = |place: usize| {
        move |bytes: &mut Vec<u8>| {
            bytes[place + 8] = 2;
            let checksum = crc(&bytes[place..place + 56]);
            bytes[place + 56..place + 60].copy_from_slice(&checksum.to_le_bytes());
        }
    };
    for place in [0, PAGE] {
        let error = open(&mut change(&disk, HEAD, newer(place))).expect_err("a newer version");
        assert_eq!(error, WalError::Version { file: HEAD.into(), found: 2, supported: 1 });
    }
}

/// CRC-32C, bit by bit: another way than that of the code that is tested.
fn crc(bytes: &[u8]) -> u32 {
    let bit = |rest: u32| (rest >> 1) ^ (0x82F6_3B78 & (rest & 1).wrapping_neg());
    !bytes.iter().fold(!0, |rest, byte| (0..8).fold(rest ^ u32::from(*byte), |rest, _| bit(rest)))
}

/// What becomes of a log when a fault begins, four records are synced, and the node crashes.
fn under(fault: &DiskFault) -> (Disk, Vec<Vec<u8>>, Option<DiskError>) {
    let (mut disk, mut wal, mut all) = whole();
    disk.deal(draw(5));
    disk.begin(fault, false);
    for number in 12..16 {
        let record = record(number, 90);
        let result = wal.append(&mut disk, &record).and_then(|()| wal.sync(&mut disk));
        match result {
            Ok(fresh) => assert_eq!(fresh, 1),
            Err(WalError::Storage { error, .. }) => {
                assert_eq!(wal.append(&mut disk, &record), Err(WalError::Stopped));
                assert_eq!(wal.sync(&mut disk), Err(WalError::Stopped));
                disk.crash(Draw::NOMINAL);
                return (disk, all, Some(error));
            }
            Err(error) => panic!("{error}"),
        }
        all.push(record);
    }
    disk.crash(Draw::NOMINAL);
    (disk, all, None)
}

#[test]
fn each_fault_has_its_effect_and_its_answer() {
    for after in 0..8 {
        for (fault, stops) in [
            (DiskFault::SyncFails { after }, Some(DiskError::Io)),
            (DiskFault::NoSpace { left: after * 100 }, Some(DiskError::NoSpace)),
            (DiskFault::WriteError { after }, Some(DiskError::Io)),
        ] {
            let (mut disk, all, error) = under(&fault);
            assert_eq!(error, stops, "{fault}");
            assert_eq!(disk.counters().of(&fault), 1, "{fault}");
            disk.end(&fault);
            let (_, found) = open(&mut disk).unwrap_or_else(|error| panic!("{fault}: {error}"));
            assert!(found.payloads.starts_with(&all), "{fault}: what was synced survives");
        }
        let mut refused = 0;
        for fault in [
            DiskFault::BitRot { bits: after + 1 },
            DiskFault::MisdirectedWrite { after },
            DiskFault::Truncate { bytes: 1 + after * 99 },
            DiskFault::Rollback { whole: false },
        ] {
            let (disk, all, error) = under(&fault);
            assert_eq!(error, None, "{fault}");
            refused += usize::from(refuses(disk.clone(), &all));
            let mut read = disk;
            read.read(FRAMES).and_then(|_| read.read(HEAD)).expect("no error of its own");
            assert!(read.counters().of(&fault) > 0, "{fault}");
        }
        assert!(refused > 0);
    }
}

#[test]
fn a_read_fails_or_goes_astray_once() {
    let (disk, _, all) = whole();
    let mut failing = disk.clone();
    failing.begin(&DiskFault::ReadError { after: 1 }, true);
    let failed = WalError::Storage { doing: "read", file: FRAMES.into(), error: DiskError::Io };
    assert_eq!(open(&mut failing).expect_err("the second read fails"), failed);
    assert!(!refuses(failing, &all), "the next one does not");
    let mut astray = disk;
    astray.begin(&DiskFault::MisdirectedRead { after: 2 }, true);
    assert!(refuses(astray.clone(), &all));
}

#[test]
fn rot_stays_until_it_is_mended_or_written_over() {
    let (disk, _, all) = whole();
    let fault = DiskFault::BitRot { bits: 3 };
    let mut refused = 0;
    for number in 0..40 {
        let mut disk = disk.clone();
        disk.deal(draw(number));
        disk.begin(&fault, true);
        let first = disk.read(FRAMES).and_then(|frames| Ok((frames, disk.read(HEAD)?)));
        let second = disk.read(FRAMES).and_then(|frames| Ok((frames, disk.read(HEAD)?)));
        assert_eq!(first, second, "the same bits at every read");
        refused += usize::from(refuses(disk.clone(), &all));
        disk.end(&fault);
        assert!(!refuses(disk, &all), "mended");
    }
    assert!(refused > 10, "{refused} of 40");
}

#[test]
fn lies_and_whole_rollbacks_are_what_no_journal_can_see() {
    let (mut disk, all, error) = under(&DiskFault::LyingSync);
    assert_eq!((error, disk.counters().of(&DiskFault::LyingSync)), (None, 8));
    let (_, found) = open(&mut disk).expect("nothing to be seen");
    assert_eq!(found.payloads, all[..12]);
    let whole = DiskFault::Rollback { whole: true };
    let (mut disk, all, _) = under(&whole);
    let (_, found) = open(&mut disk).expect("nothing to be seen");
    assert_eq!((found.payloads.as_slice(), disk.counters().of(&whole)), (&all[..12], 1));
}

#[test]
fn after_a_failed_sync_the_next_one_reports_success_for_what_is_lost() {
    let mut disk = Disk::default();
    disk.create("file").and_then(|()| disk.sync_dir()).expect("an honest disk");
    disk.begin(&DiskFault::SyncFails { after: 0 }, false);
    disk.write("file", 0, b"gone").expect("an honest disk");
    assert_eq!(disk.sync("file"), Err(DiskError::Io));
    assert_eq!(disk.sync("file"), Ok(()), "clean pages");
    assert_eq!(disk.read("file").as_deref(), Ok(&b"gone"[..]), "the cache has it still");
    disk.crash(Draw::NOMINAL);
    assert_eq!(disk.read("file").as_deref(), Ok(&[0; 4][..]));
}

#[test]
fn a_name_is_durable_when_its_directory_is() {
    let mut disk = Disk::default();
    disk.create("new").and_then(|()| disk.write("new", 0, b"bytes")).expect("an honest disk");
    disk.sync("new").expect("an honest disk");
    let mut without = disk.clone();
    without.crash(Draw::NOMINAL);
    assert_eq!(without.list().as_deref(), Ok(&[][..]), "bytes that nothing names");
    disk.sync_dir().and_then(|()| disk.rename("new", "old")).expect("an honest disk");
    let mut without = disk.clone();
    without.crash(Draw::NOMINAL);
    assert_eq!(without.list().as_deref(), Ok(&["new".to_owned()][..]));
    assert_eq!(without.counters().names_lost, 1);
    disk.sync_dir().expect("an honest disk");
    disk.crash(Draw::NOMINAL);
    assert_eq!(disk.read("old").as_deref(), Ok(&b"bytes"[..]));
}

/// An opening writes a head, and cannot sync it: the cache shows it to the next opening, and the
/// disk does not have it. Its slot must not count as torn for ever.
#[test]
fn a_head_that_was_in_the_cache_alone_is_not_torn() {
    for number in 0..40 {
        let mut disk = Disk::default();
        drop(open(&mut disk).expect("an honest disk"));
        let fault = DiskFault::SyncFails { after: 0 };
        disk.begin(&fault, true);
        let failed = WalError::Storage { doing: "sync", file: HEAD.into(), error: DiskError::Io };
        assert_eq!(open(&mut disk).err(), Some(failed));
        disk.end(&fault);
        let (mut wal, _) = open(&mut disk).expect("nothing is lost");
        // What comes after is not synced, and a crash leaves some of it.
        wal.append(&mut disk, &record(number, 700)).expect("an honest disk");
        disk.crash(draw(number as u32));
        let (_, found) = open(&mut disk).unwrap_or_else(|error| panic!("draw {number}: {error}"));
        assert!(found.payloads.len() <= 1);
    }
}
