//! What these tests share: records, a storage that stops, and every image that a crash may leave.

use seedfall_sim::Draw;
use seedfall_sim::disk::{Disk, DiskError, Remains, Unsynced};
use seedfall_sim::wal::{Recovery, Storage, Wal, WalError};

/// A record of this length that is like no other one.
pub(crate) fn record(number: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| (number * 37 + at * 11 + at / 256 + 1) as u8).collect()
}

/// A draw like no other one.
pub(crate) fn draw(number: u32) -> Draw {
    let word = |salt: u32| (number + 1).wrapping_mul(0x9E37_79B9).rotate_left(salt) ^ salt;
    Draw::from_words([word(3), word(11), word(19), word(27)])
}

/// A storage whose machine stops before the operation with this number.
pub(crate) struct Stopping<'a> {
    pub(crate) disk: &'a mut Disk,
    pub(crate) left: usize,
}

impl Stopping<'_> {
    fn go_on(&mut self) -> Result<&mut Disk, DiskError> {
        self.left = self.left.checked_sub(1).ok_or(DiskError::Io)?;
        Ok(self.disk)
    }
}

impl Storage for Stopping<'_> {
    type Error = DiskError;

    fn list(&mut self) -> Result<Vec<String>, DiskError> {
        self.disk.list()
    }
    fn read(&mut self, file: &str) -> Result<Vec<u8>, DiskError> {
        self.disk.read(file)
    }
    fn create(&mut self, file: &str) -> Result<(), DiskError> {
        self.go_on()?.create(file)
    }
    fn write(&mut self, file: &str, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.go_on()?.write(file, offset, bytes)
    }
    fn truncate(&mut self, file: &str, length: u64) -> Result<(), DiskError> {
        self.go_on()?.truncate(file, length)
    }
    fn sync(&mut self, file: &str) -> Result<(), DiskError> {
        self.go_on()?.sync(file)
    }
    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        self.go_on()?.rename(from, to)
    }
    fn remove(&mut self, file: &str) -> Result<(), DiskError> {
        self.go_on()?.remove(file)
    }
    fn sync_dir(&mut self) -> Result<(), DiskError> {
        self.go_on()?.sync_dir()
    }
}

/// All that may become of a sector.
pub(crate) const ALL: [Remains; 5] = [
    Remains::Kept,
    Remains::Dropped,
    Remains::TornLeft(256),
    Remains::TornRight(256),
    Remains::Garbage,
];

/// Calls `each` with every image that a crash may leave, a sector becoming one of `fates`; says how
/// many there are.
pub(crate) fn every_image(disk: &Disk, fates: &[Remains], mut each: impl FnMut(Disk)) -> usize {
    let unsynced = disk.unsynced();
    let choices: Vec<&[Remains]> = unsynced
        .iter()
        .map(|item| match item {
            Unsynced::Sector { .. } => fates,
            Unsynced::Length { .. } | Unsynced::Name(_) => &ALL[..2],
        })
        .collect();
    let count: usize = choices.iter().map(|choices| choices.len()).product();
    assert!(count <= 1 << 20, "{count} images are too many for a test");
    for number in 0..count {
        let mut rest = number;
        let pick = |choices: &&[Remains]| {
            let at = rest % choices.len();
            rest /= choices.len();
            choices[at]
        };
        let remains: Vec<Remains> = choices.iter().map(pick).collect();
        let mut image = disk.clone();
        image.crash_as(&remains, draw(number as u32));
        each(image);
    }
    count
}

/// What recovery makes of a disk.
pub(crate) fn open(disk: &mut Disk) -> Result<(Wal, Recovery), WalError<DiskError>> {
    Wal::open(disk)
}

/// Recovery must give a prefix of `appended` that holds the first `synced`, and the log must go on
/// from there, with nothing of what was cut coming back.
pub(crate) fn must_recover(mut disk: Disk, appended: &[Vec<u8>], synced: usize) {
    let (mut wal, found) = open(&mut disk).unwrap_or_else(|error| panic!("{error}"));
    must_be_prefix(&found.payloads, appended, synced);
    let cut = &appended[found.payloads.len()..];
    // As long as what was cut: whatever stood behind that stands behind this.
    let mut expected = found.payloads;
    expected.push(record(91, cut.first().map_or(9, Vec::len)));
    wal.append(&mut disk, expected.last().expect("just added")).expect("an honest disk");
    wal.sync(&mut disk).expect("an honest disk");
    disk.crash(Draw::NOMINAL);
    let (_, found) = open(&mut disk).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(found.payloads, expected, "one record was added");
}

pub(crate) fn must_be_prefix(found: &[Vec<u8>], appended: &[Vec<u8>], synced: usize) {
    assert!(found.len() >= synced, "{} of {synced} synced records", found.len());
    assert!(appended.starts_with(found), "a wrong or reordered record");
}
