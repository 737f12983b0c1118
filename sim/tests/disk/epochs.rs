//! Random epochs, random crashes, again and again on one disk.

use crate::support::{must_be_prefix, open, record};
use seedfall_sim::disk::Disk;
use seedfall_sim::wal::Storage;
use seedfall_sim::{Draws, Seed, Site};

#[test]
fn two_thousand_random_lives_lose_nothing_that_was_synced() {
    let mut torn = 0;
    for seed in 0..2_000 {
        let mut draws = Draws::new(Seed(seed), 1, 0);
        let mut next = || draws.draw(Site::Plan);
        let mut disk = Disk::default();
        let mut expected: Vec<Vec<u8>> = Vec::new();
        let mut synced = 0;
        for life in 0..4 {
            let (mut wal, found) =
                open(&mut disk).unwrap_or_else(|error| panic!("seed {seed}, life {life}: {error}"));
            must_be_prefix(&found.payloads, &expected, synced);
            expected.truncate(found.payloads.len());
            for number in 0..next().below(12) as usize {
                let mut draw = next();
                let length = draw.below(1_200) >> draw.below(8);
                expected.push(record(number + life * 20, length as usize));
                wal.append(&mut disk, &expected[expected.len() - 1]).expect("an honest disk");
                synced = match draw.below(3) {
                    0 => {
                        wal.sync(&mut disk).expect("an honest disk");
                        expected.len()
                    }
                    _ => synced.max(found.payloads.len()),
                };
            }
            synced = synced.max(found.payloads.len());
            disk.crash(next());
        }
        torn += disk.counters().sectors_torn;
        assert_eq!(disk.list().expect("an honest disk").len(), 2);
    }
    assert!(torn > 500, "crashes tear: {torn}");
}
