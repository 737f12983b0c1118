//! The bytes of a journal on disk: two head slots, and frames; written and read, never repaired.
//!
//! ```text
//! head        slot 0 at byte 0, slot 1 at byte 4096 (another page): the slot that is written is
//!             the older one, so that a torn write leaves the other
//!             magic 8 | version 4 | generation 4 | counter 8 | epoch 4 | - 4 |
//!             first 8 | durable 8 | next 8 | checksum 4
//! frames-<g>  checksum 4 | length 4 | sequence 8 | epoch 4 | generation 4 | payload
//! ```
//!
//! All numbers are little-endian, checksums are CRC-32C. Frames follow each other without a gap,
//! but the first one after a sync begins a new sector: what is synced shares no sector with what is
//! not, so that no torn write, not even one that leaves garbage, can touch it.

/// What the disk writes at once, or tears. Disks with larger sectors are not told apart from it.
pub(super) const SECTOR: usize = 512;

/// The first page holds slot 0, the second slot 1.
pub(super) const SLOT: u64 = 4096;

/// The bytes of a head slot that are used.
pub(super) const HEAD_BYTES: usize = 60;

/// The bytes of a frame before its payload.
pub(super) const FRAME_BYTES: usize = 24;

/// The longest payload: 16 MiB. A longer length is a damaged one.
pub(super) const PAYLOAD_MAX: usize = 1 << 24;

/// The version of this format, raised when older code would misread what newer code writes.
pub(super) const VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"SEEDWAL\n";

/// What a journal knows of itself for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Head {
    /// Which file of frames is the journal.
    pub(super) generation: u32,
    /// How many heads were written before; its parity says in which slot it belongs.
    pub(super) counter: u64,
    /// How often the journal was opened: frames of an older epoch never follow a younger one.
    pub(super) epoch: u32,
    /// The sequence number of the first frame.
    pub(super) first: u64,
    /// Up to which byte the frames are durable for certain.
    pub(super) durable: u64,
    /// The sequence number after the last of these.
    pub(super) next: u64,
}

/// What stands in a head slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Nothing was ever written here.
    Empty,
    /// Something was, and is no head now.
    Damaged,
    /// A head of another version of the format.
    Other(u32),
    /// A head.
    Good(Head),
}

impl Head {
    /// Where the slot of this head begins.
    pub(super) fn offset(&self) -> u64 {
        self.counter % 2 * SLOT
    }

    pub(super) fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.generation.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.counter.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.durable.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.next.to_le_bytes());
        let checksum = crc32c(&bytes[..56]);
        bytes[56..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }
}

impl Slot {
    /// The slot at this place (0 or 1) of a head file.
    pub(super) fn read(file: &[u8], place: u64) -> Self {
        let start = (place * SLOT) as usize;
        let Some(bytes) = file.get(start..start + HEAD_BYTES) else {
            let is_empty = file.get(start..).unwrap_or_default().iter().all(|byte| *byte == 0);
            return if is_empty { Self::Empty } else { Self::Damaged };
        };
        if bytes.iter().all(|byte| *byte == 0) {
            return Self::Empty;
        }
        if crc32c(&bytes[..56]) != u32_at(bytes, 56) || &bytes[..8] != MAGIC {
            return Self::Damaged;
        }
        // Every version keeps magic, version and checksum where they are.
        let version = u32_at(bytes, 8);
        if version != VERSION {
            return Self::Other(version);
        }
        let head = Head {
            generation: u32_at(bytes, 12),
            counter: u64_at(bytes, 16),
            epoch: u32_at(bytes, 24),
            first: u64_at(bytes, 32),
            durable: u64_at(bytes, 40),
            next: u64_at(bytes, 48),
        };
        // A whole head in the wrong slot was written to the wrong place.
        if head.counter % 2 == place { Self::Good(head) } else { Self::Damaged }
    }
}

/// A frame, ready to be written.
pub(super) fn frame(payload: &[u8], sequence: u64, epoch: u32, generation: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FRAME_BYTES + payload.len());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&sequence.to_le_bytes());
    bytes.extend_from_slice(&epoch.to_le_bytes());
    bytes.extend_from_slice(&generation.to_le_bytes());
    bytes.extend_from_slice(payload);
    let checksum = crc32c(&bytes[4..]);
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// What a file of frames holds, read from its beginning to the first byte that makes no sense.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    /// The payloads, in order.
    pub(super) payloads: Vec<&'a [u8]>,
    /// Where each of them ends.
    pub(super) ends: Vec<u64>,
    /// The epoch of the last frame; 0 if there is none.
    pub(super) epoch: u32,
    /// Where the next frame had to begin.
    pub(super) stop: u64,
    /// Why there is none; `None`: the file ends there.
    pub(super) why: Option<&'static str>,
}

impl<'a> Frames<'a> {
    /// Reads the frames of the generation that the head names.
    pub(super) fn read(file: &'a [u8], head: &Head) -> Self {
        let mut frames =
            Self { payloads: Vec::new(), ends: Vec::new(), epoch: 0, stop: 0, why: None };
        let mut at = 0;
        while at < file.len() {
            frames.stop = at as u64;
            let sequence = head.first + frames.payloads.len() as u64;
            match parse(&file[at..], sequence, frames.epoch, head.generation) {
                Ok((payload, epoch)) => {
                    at += FRAME_BYTES + payload.len();
                    frames.payloads.push(payload);
                    frames.ends.push(at as u64);
                    frames.epoch = epoch;
                }
                Err(why) => {
                    // After a sync the rest of its last sector stays empty.
                    let sector_end = at.next_multiple_of(SECTOR).min(file.len());
                    if sector_end == at || file[at..sector_end].iter().any(|byte| *byte != 0) {
                        frames.why = Some(why);
                        return frames;
                    }
                    at = sector_end;
                }
            }
        }
        frames.stop = at as u64;
        frames
    }

    /// The end of the last whole frame: where a torn tail is cut.
    pub(super) fn end(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }
}

/// The payload and epoch of the frame at the start of `bytes`, or what is wrong with it.
fn parse(
    bytes: &[u8],
    sequence: u64,
    epoch: u32,
    generation: u32,
) -> Result<(&[u8], u32), &'static str> {
    let header = bytes.get(..FRAME_BYTES).ok_or("too few bytes for a frame")?;
    let length = u32_at(header, 4) as usize;
    if header.iter().all(|byte| *byte == 0) {
        return Err("nothing but zeros");
    }
    if length > PAYLOAD_MAX {
        return Err("a length that no frame has");
    }
    let whole = bytes.get(..FRAME_BYTES + length).ok_or("a frame that goes past the file's end")?;
    if crc32c(&whole[4..]) != u32_at(header, 0) {
        return Err("a checksum that does not fit");
    }
    if u32_at(header, 20) != generation {
        return Err("a frame of another generation");
    }
    if u64_at(header, 8) != sequence {
        return Err("a frame with another sequence number");
    }
    if u32_at(header, 16) < epoch {
        return Err("a frame of an older epoch");
    }
    Ok((&whole[FRAME_BYTES..], u32_at(header, 16)))
}

/// The number at this place; the caller knows that it is there.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

/// The remainder of each byte by Castagnoli's polynomial, bit-reversed; in row `k`, with `k` zero
/// bytes after it, so that eight bytes are looked up side by side.
static REMAINDERS: [[u32; 256]; 8] = {
    let mut table = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut rest = byte as u32;
        let mut row = 0;
        while row < 8 {
            let mut bit = 0;
            while bit < 8 {
                rest = if rest & 1 == 1 { rest >> 1 ^ 0x82F6_3B78 } else { rest >> 1 };
                bit += 1;
            }
            table[row][byte] = rest;
            row += 1;
        }
        byte += 1;
    }
    table
};

/// CRC-32C (RFC 3720, appendix B.4): it finds every burst of up to 32 wrong bits, and of random
/// damage all but one in 2^32.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let mut rest = !0_u32;
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word) ^ u64::from(rest);
        rest = 0;
        let mut row = 8;
        while row > 0 {
            row -= 1;
            rest ^= REMAINDERS[row][(word >> (56 - 8 * row)) as usize & 0xFF];
        }
    }
    for byte in tail {
        rest = rest >> 8 ^ REMAINDERS[0][usize::from(rest as u8 ^ byte)];
    }
    !rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // RFC 3720, appendix B.4: 32 bytes of zeros, of ones, and counting up.
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(crc32c(&[0xFF; 32]), 0x62A8_AB43);
        let counting: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&counting), 0x46DD_794E);
    }

    #[test]
    fn a_head_reads_as_it_was_written_and_in_its_slot_alone() {
        let head = Head { generation: 3, counter: 5, epoch: 2, first: 9, durable: 700, next: 12 };
        let mut file = vec![0; SLOT as usize];
        file.extend_from_slice(&head.encode());
        assert_eq!(Slot::read(&file, 0), Slot::Empty);
        assert_eq!(Slot::read(&file, 1), Slot::Good(head));
        assert_eq!(Slot::read(&file[SLOT as usize..], 0), Slot::Damaged, "a head of slot 1");
        for byte in 0..HEAD_BYTES {
            let mut rotten = file.clone();
            rotten[SLOT as usize + byte] ^= 16;
            assert_eq!(Slot::read(&rotten, 1), Slot::Damaged, "byte {byte}");
        }
    }
}
