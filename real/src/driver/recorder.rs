//! The flight recorder: every input of a node, and the hash of every effect.
//!
//! A recording is lines, each `checksum JSON`: the checksum is the CRC-32C of the JSON in eight
//! hexadecimal digits, so that damage is told from a difference. A life begins with a line that
//! says who lives, under which seed and parameters; each input is one line, with what the clocks
//! showed, written before its handler runs, and its effects are the next one; a life that ended
//! well says so. What is drawn follows from the seed, so a line has only how many draws were made.
//! Several lives of a node stand in one file, one after the other.

use seedfall_sim::wal::crc32c;
use seedfall_sim::{Effect, Input, NodeId, Protocol, Seed, Time};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::path::Path;

/// The version of this format.
const FORMAT: u32 = 1;

/// How a life begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    /// The version of the format; this line alone has this field.
    pub(super) recording: u32,
    pub(super) protocol: String,
    pub(super) node: NodeId,
    pub(super) nodes: usize,
    pub(super) seed: Seed,
    pub(super) config: serde_json::Value,
}

/// One line of a life.
#[derive(Serialize, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    bound(
        serialize = "Input<P>: Serialize",
        deserialize = "Input<P>: serde::de::DeserializeOwned"
    )
)]
pub(super) enum Line<P: Protocol> {
    /// What happened, while the clocks showed this.
    Input { number: u64, now: Time, wall: Time, input: Input<P> },
    /// What the node did about it: each effect as its kind and hash, and how many draws it has made
    /// in its life.
    Effects { effects: Vec<String>, drawn: u64 },
    /// The node was asked to stop, after so many inputs.
    End { inputs: u64 },
}

/// As [`Line::Input`], for a value that is not given away.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Writing<'a, I> {
    Input { number: u64, now: Time, wall: Time, input: &'a I },
    Effects { effects: Vec<String>, drawn: u64 },
    End { inputs: u64 },
}

/// An effect as recordings have it: its kind, to whom, and its hash.
pub(super) fn mark<P: Protocol>(effect: &Effect<P>) -> String {
    let (name, digest) = (effect.name(), effect.digest());
    match effect {
        Effect::Send(to, _) => format!("{name} {to} {digest:016x}"),
        Effect::Respond(request, _) => format!("{name} {request} {digest:016x}"),
        _ => format!("{name} {digest:016x}"),
    }
}

/// Writes down one life of a node.
pub struct Recorder {
    out: Box<dyn Write + Send>,
    inputs: u64,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recorder after {} inputs", self.inputs)
    }
}

/// Why a recording cannot be begun, or read.
#[derive(Debug)]
#[non_exhaustive]
pub enum RecordingError {
    /// The machine says no.
    Io(io::Error),
    /// It is not a recording, or is damaged.
    Damaged {
        /// Which line, counted from one.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// A newer version wrote it.
    Newer(u32),
}

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Damaged { line, why } => write!(f, "line {line}: {why}"),
            Self::Newer(found) => write!(
                f,
                "a recording in version {found} of the format, this program knows version \
                 {FORMAT}: rerun it with the program that wrote it"
            ),
        }
    }
}

impl std::error::Error for RecordingError {}

impl From<io::Error> for RecordingError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Recorder {
    /// Begins a life at the end of a file, which is made if it is not there.
    ///
    /// # Errors
    /// The machine says no, or the parameters have no form in JSON.
    pub fn append(
        path: &Path,
        protocol: &str,
        (node, nodes): (NodeId, usize),
        config: &impl Serialize,
        seed: Seed,
    ) -> Result<Self, RecordingError> {
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        if file.seek(SeekFrom::End(0))? > 0 {
            // A life before this one may have been killed in the middle of a line.
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        Self::begin(Box::new(file), protocol, (node, nodes), config, seed)
    }

    /// Begins a life.
    ///
    /// # Errors
    /// As [`Recorder::append`].
    pub fn begin(
        out: Box<dyn Write + Send>,
        protocol: &str,
        (node, nodes): (NodeId, usize),
        config: &impl Serialize,
        seed: Seed,
    ) -> Result<Self, RecordingError> {
        let config = serde_json::to_value(config).map_err(io::Error::from)?;
        let protocol = protocol.to_owned();
        let mut recorder = Self { out, inputs: 0 };
        recorder.line(&Header { recording: FORMAT, protocol, node, nodes, seed, config })?;
        Ok(recorder)
    }

    pub(super) fn input(
        &mut self,
        input: &impl Serialize,
        now: Time,
        wall: Time,
    ) -> io::Result<()> {
        self.inputs += 1;
        self.line(&Writing::Input { number: self.inputs, now, wall, input })
    }

    pub(super) fn effects<P: Protocol>(
        &mut self,
        effects: &[Effect<P>],
        drawn: u64,
    ) -> io::Result<()> {
        self.line(&Writing::Effects::<()> { effects: effects.iter().map(mark).collect(), drawn })
    }

    pub(super) fn end(&mut self) -> io::Result<()> {
        self.line(&Writing::End::<()> { inputs: self.inputs })
    }

    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        let json = serde_json::to_string(line)?;
        // One write a line, so that a kill leaves whole lines and at most one torn one.
        self.out.write_all(format!("{:08x} {json}\n", crc32c(json.as_bytes())).as_bytes())
    }
}

/// The JSON of a line, if its checksum fits.
pub(super) fn checked(line: &str) -> Result<&str, &'static str> {
    let (checksum, json) = line.split_once(' ').ok_or("this is no line of a recording")?;
    match u32::from_str_radix(checksum, 16) {
        Ok(checksum) if checksum == crc32c(json.as_bytes()) => Ok(json),
        Ok(_) => Err("its checksum does not fit: it was altered, or is damaged"),
        Err(_) => Err("this is no line of a recording"),
    }
}

/// The beginning of a life, if the line is one.
pub(super) fn header(json: &str) -> Option<Result<Header, String>> {
    let any: serde_json::Value = serde_json::from_str(json).ok()?;
    any.get("recording")?;
    Some(serde_json::from_value(any).map_err(|error| error.to_string()))
}

/// Whether this version can be read.
pub(super) fn readable(header: &Header) -> Result<(), RecordingError> {
    if header.recording > FORMAT { Err(RecordingError::Newer(header.recording)) } else { Ok(()) }
}
