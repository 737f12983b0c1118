//! What goes over a connection: frames, each checked before anything in it is believed.
//!
//! ```text
//! header checksum 4 | length 4 | body checksum 4 | version 1 | kind 1 | - 2 | session 8 |
//! sequence 8 | body
//! ```
//!
//! All numbers are little-endian, checksums are CRC-32C. The header has a checksum of its own,
//! which covers that of the body too: a length whose bits flipped is noticed before anybody waits
//! for so many bytes. A connection that carried one bad frame is given up, since nobody knows where
//! the next one begins.

use seedfall_sim::wal::crc32c;
use std::fmt;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The version of this format.
const VERSION: u8 = 1;

const HEADER: usize = 32;

/// The longest body: 16 MiB.
pub(super) const BODY_MAX: usize = 1 << 24;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Who opens the connection, and what for.
    Hello = 1,
    /// The answer: who is there.
    Welcome = 2,
    /// The other answer: why not, in words.
    Refused = 3,
    /// A message between nodes.
    Message = 4,
    /// A client asks; the sequence is its number for the request.
    Request = 5,
    /// A node answers, under the same number.
    Response = 6,
    /// This end is there.
    Alive = 7,
    /// Somebody asks how the node is.
    Status = 8,
}

impl Kind {
    fn read(byte: u8) -> Option<Self> {
        let all = [
            Self::Hello,
            Self::Welcome,
            Self::Refused,
            Self::Message,
            Self::Request,
            Self::Response,
            Self::Alive,
            Self::Status,
        ];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) session: u64,
    pub(super) sequence: u64,
    pub(super) body: Vec<u8>,
}

/// Why a connection cannot be read any further.
#[derive(Debug)]
pub(super) enum FrameError {
    /// The connection failed.
    Io(io::Error),
    /// The other end speaks another version.
    Version(u8),
    /// What arrived is not what was sent, or was never a frame.
    Damaged(&'static str),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Version(found) => {
                write!(f, "the other end speaks version {found} of the wire format, not {VERSION}")
            }
            Self::Damaged(what) => write!(f, "not a frame: {what}"),
        }
    }
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The bytes of a frame.
pub(super) fn encode(kind: Kind, session: u64, sequence: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&crc32c(body).to_le_bytes());
    bytes.extend_from_slice(&[VERSION, kind as u8, 0, 0]);
    bytes.extend_from_slice(&session.to_le_bytes());
    bytes.extend_from_slice(&sequence.to_le_bytes());
    let checksum = crc32c(&bytes[4..]);
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// The next frame; `None` if the connection ended between two frames.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<Frame>, FrameError> {
    let mut header = [0; HEADER];
    let mut filled = 0;
    while filled < HEADER {
        match stream.read(&mut header[filled..]).await? {
            0 if filled == 0 => return Ok(None),
            0 => return Err(FrameError::Damaged("it ends in the middle of a header")),
            count => filled += count,
        }
    }
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|place| header[at + place]));
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    if crc32c(&header[4..]) != word(0) {
        return Err(FrameError::Damaged("the checksum of its header does not fit"));
    }
    // Every version keeps both where they are.
    if header[12] != VERSION {
        return Err(FrameError::Version(header[12]));
    }
    let Some(kind) = Kind::read(header[13]) else {
        return Err(FrameError::Damaged("its kind is unknown"));
    };
    let length = word(4) as usize;
    if length > BODY_MAX {
        return Err(FrameError::Damaged("it is longer than a frame can be"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    if crc32c(&body) != word(8) {
        return Err(FrameError::Damaged("the checksum of its body does not fit"));
    }
    Ok(Some(Frame { kind, session: long(16), sequence: long(24), body }))
}

/// Writes a frame and sees it off.
pub(super) async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    kind: Kind,
    session: u64,
    sequence: u64,
    body: &[u8],
) -> io::Result<()> {
    stream.write_all(&encode(kind, session, sequence, body)).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime without drivers").block_on(read(&mut &*bytes))
    }

    #[test]
    fn a_frame_reads_as_it_was_written() {
        let bytes = encode(Kind::Message, 7, 9, b"body");
        let frame = Frame { kind: Kind::Message, session: 7, sequence: 9, body: b"body".to_vec() };
        assert_eq!(read_all(&bytes).ok().flatten(), Some(frame));
        assert!(matches!(read_all(&[]), Ok(None)), "an end between two frames");
        for length in 1..bytes.len() {
            assert!(read_all(&bytes[..length]).is_err(), "cut to {length} bytes");
        }
    }

    #[test]
    fn no_flipped_bit_goes_unnoticed() {
        let bytes = encode(Kind::Request, 1 << 40, 3, b"{\"x\":1}");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read_all(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn another_version_is_told_from_damage() {
        let mut bytes = encode(Kind::Hello, 0, 0, b"");
        bytes[12] = 2;
        let checksum = crc32c(&bytes[4..HEADER]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        let error = read_all(&bytes).expect_err("a version that is not ours");
        assert_eq!(error.to_string(), "the other end speaks version 2 of the wire format, not 1");
    }
}
