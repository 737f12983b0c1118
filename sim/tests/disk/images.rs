//! Recovery against every image that a crash may leave.

use crate::support::{ALL, Stopping, every_image, must_be_prefix, must_recover, open, record};
use seedfall_sim::disk::{Disk, DiskError, Remains};
use seedfall_sim::wal::{Storage, Wal, WalError};

/// Ten records that cross, fill and just miss sector borders; 2,526 bytes in six sectors.
const EPOCH: [usize; 10] = [0, 1, 7, 64, 200, 488, 24, 512, 30, 1200];

/// Twenty, in thirteen sectors.
const LONG_EPOCH: [usize; 20] =
    [0, 1, 7, 64, 200, 488, 24, 512, 30, 1200, 3, 487, 489, 100, 511, 513, 0, 0, 999, 40];

fn records(lengths: &[usize]) -> Vec<Vec<u8>> {
    lengths.iter().enumerate().map(|(number, length)| record(number, *length)).collect()
}

/// A log whose first three records are synced and whose others are not.
fn unsynced_epoch(lengths: &[usize]) -> (Disk, Vec<Vec<u8>>) {
    let all = records(&[&[20, 500, 3], lengths].concat());
    let mut disk = Disk::default();
    let (mut wal, _) = open(&mut disk).expect("an honest disk");
    for (number, record) in all.iter().enumerate() {
        wal.append(&mut disk, record).expect("an honest disk");
        if number == 2 {
            wal.sync(&mut disk).expect("an honest disk");
        }
    }
    (disk, all)
}

#[test]
fn every_one_of_31_250_images_of_ten_records_recovers() {
    let (disk, all) = unsynced_epoch(&EPOCH);
    let images = every_image(&disk, &ALL, |image| must_recover(image, &all, 3));
    // Six sectors with five fates each, and the length of the file.
    assert_eq!(images, 5_usize.pow(6) * 2);
}

#[test]
fn every_one_of_16_384_subsets_of_twenty_records_recovers() {
    let (disk, all) = unsynced_epoch(&LONG_EPOCH);
    let images = every_image(&disk, &ALL[..2], |image| must_recover(image, &all, 3));
    assert_eq!(images, 1 << 14);
}

#[test]
fn every_place_at_which_a_sector_tears_is_cut() {
    let (disk, all) = unsynced_epoch(&[100, 250]);
    for at in 0..=512 {
        for fate in [Remains::TornLeft(at), Remains::TornRight(at)] {
            every_image(&disk, &[fate], |image| must_recover(image, &all, 3));
        }
    }
}

/// What a program did to its log, and what it knows of it.
#[derive(Default)]
struct Story {
    appended: Vec<Vec<u8>>,
    synced: usize,
}

/// Opens a log and writes three epochs to it, the second one of ten records.
fn three_epochs(
    storage: &mut impl Storage<Error = DiskError>,
    story: &mut Story,
) -> Result<(), WalError<DiskError>> {
    let (mut wal, _) = Wal::open(storage)?;
    for (number, record) in records(&[&[20, 500, 3], &EPOCH[..], &[40]].concat()).iter().enumerate()
    {
        story.appended.push(record.clone());
        wal.append(storage, record)?;
        if [2, 12, 13].contains(&number) {
            wal.sync(storage)?;
            story.synced = story.appended.len();
        }
    }
    Ok(())
}

/// Runs `script` again and again, and crashes it before each of its operations; says how many of
/// these there are.
fn at_every_operation(
    before: &Disk,
    script: impl Fn(&mut Stopping<'_>) -> Result<(), WalError<DiskError>>,
    mut crashed: impl FnMut(usize, &Disk),
) -> usize {
    for operation in 0.. {
        let mut disk = before.clone();
        let is_over = script(&mut Stopping { disk: &mut disk, left: operation }).is_ok();
        crashed(operation, &disk);
        if is_over {
            return operation;
        }
    }
    unreachable!("every script ends")
}

#[test]
fn a_crash_at_every_operation_recovers_whatever_it_leaves() {
    let mut images = 0;
    let operations = std::cell::Cell::new(0);
    for stop in 0.. {
        let (mut disk, mut story) = (Disk::default(), Story::default());
        let is_over = three_epochs(&mut Stopping { disk: &mut disk, left: stop }, &mut story);
        // Five fates a sector where that is few enough: creation, heads, short epochs.
        let sectors = disk.unsynced().len();
        let fates = if sectors <= 4 { &ALL[..] } else { &ALL[..2] };
        images += every_image(&disk, fates, |image| {
            must_recover(image, &story.appended, story.synced);
        });
        operations.set(stop);
        if is_over.is_ok() {
            break;
        }
    }
    assert_eq!(operations.get(), 31, "8 to create, 14 appends, 3 times 3 to sync");
    assert!(images > 400, "{images}");
}

#[test]
fn a_crash_in_recovery_recovers_too() {
    let (disk, all) = unsynced_epoch(&EPOCH);
    let mut images = 0;
    every_image(&disk, &ALL[..3], |image| {
        let script = |storage: &mut Stopping<'_>| Wal::open(storage).map(drop);
        let operations = at_every_operation(&image, script, |_, again| {
            images += every_image(again, &[Remains::Kept, Remains::Garbage], |mut image| {
                let (_, found) = open(&mut image).unwrap_or_else(|error| panic!("{error}"));
                must_be_prefix(&found.payloads, &all, 3);
            });
        });
        assert!(operations >= 3, "sync, write a head, sync it");
    });
    assert!(images > 8_000, "{images}");
}

#[test]
fn what_a_recovery_that_crashed_has_cut_does_not_come_back() {
    let (disk, all) = unsynced_epoch(&EPOCH);
    every_image(&disk, &ALL[..2], |mut image| {
        let (mut wal, found) = open(&mut image).expect("a crash alone");
        // As long as the first record that was cut, and never synced: all of it, or nothing.
        let cut = all.get(found.payloads.len()).map_or(5, Vec::len);
        let mut expected = found.payloads;
        expected.push(record(77, cut));
        wal.append(&mut image, expected.last().expect("just added")).expect("an honest disk");
        let synced = expected.len() - 1;
        every_image(&image, &ALL[..2], |mut again| {
            let (_, found) = open(&mut again).expect("a crash alone");
            must_be_prefix(&found.payloads, &expected, synced);
        });
    });
}

#[test]
fn compaction_leaves_the_old_records_or_the_new_ones() {
    let (mut before, old) = unsynced_epoch(&[40, 600]);
    let (mut wal, _) = open(&mut before).expect("an honest disk");
    let new = records(&[900, 5]);
    let (mut images, mut olds, mut news) = (0, 0, 0);
    let script = |storage: &mut Stopping<'_>| {
        let payloads: Vec<&[u8]> = new.iter().map(Vec::as_slice).collect();
        wal.clone().replace(storage, &payloads)
    };
    let operations = at_every_operation(&before, script, |_, disk| {
        images += every_image(disk, &ALL, |image| {
            let (_, found) = open(&mut image.clone()).unwrap_or_else(|error| panic!("{error}"));
            olds += usize::from(found.payloads == old);
            news += usize::from(found.payloads == new);
            must_recover(image, &found.payloads, found.payloads.len());
        });
    });
    assert_eq!(operations, 8);
    assert_eq!(olds + news, images, "nothing in between");
    assert!(olds > 100 && news > 0, "{olds} old, {news} new");
    let payloads: Vec<&[u8]> = new.iter().map(Vec::as_slice).collect();
    wal.replace(&mut before, &payloads).expect("an honest disk");
    wal.append(&mut before, &record(50, 70)).expect("an honest disk");
    assert_eq!(wal.sync(&mut before), Ok(1));
    before.crash(seedfall_sim::Draw::NOMINAL);
    let (_, found) = open(&mut before).expect("an honest disk");
    assert_eq!(found.payloads, [&new[..], &[record(50, 70)]].concat());
    assert_eq!(before.list().expect("an honest disk").len(), 2, "the old file is gone");
}
