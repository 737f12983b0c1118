//! The replay of a recording: the node's lives once more, offline, every effect compared.
//!
//! A node's life is a function of its inputs, its clock readings and its seed. So whoever repeats
//! them must see the same effects; a difference is a bug of the driver or a decision that the
//! protocol takes from somewhere else, and its first one is named.

use super::Deployable;
use super::recorder::{Line, RecordingError, checked, header, mark, readable};
use seedfall_sim::{Driven, Effect, Input, NodeId, Time};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What came of the replay of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rerun {
    /// Whose it is.
    pub node: NodeId,
    /// Its lives, up to the first difference.
    pub lives: Vec<Life>,
    /// The first difference, if there is one.
    pub difference: Option<Difference>,
}

/// One life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// How many inputs were replayed.
    pub inputs: u64,
    /// How many effects they had.
    pub effects: u64,
    /// How it ended.
    pub end: End,
}

/// How a recorded life ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The node was asked to stop.
    Stopped,
    /// The recording breaks off after a whole line: the process was killed, or the file was cut.
    Cut,
    /// The recording breaks off in the middle of this line.
    Torn {
        /// Counted from one.
        line: usize,
    },
    /// The last input has no effects: it panics again, with these words; or it does not, and the
    /// process was killed there.
    InHandler {
        /// What the protocol says.
        panic: Option<String>,
    },
}

/// Where a replay diverges from what was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// In which life, counted from one.
    pub life: usize,
    /// At which input of that life, counted from one.
    pub input: u64,
    /// In which line of the recording.
    pub line: usize,
    /// What happened.
    pub happened: String,
    /// What was recorded.
    pub expected: String,
    /// What the replay did.
    pub got: String,
}

/// What is recorded here: the name of the protocol.
///
/// # Errors
/// The text is not a recording.
pub fn who_recorded(text: &str) -> Result<String, RecordingError> {
    let line = text.lines().next().unwrap_or_default();
    let damaged = |why: String| RecordingError::Damaged { line: 1, why };
    let json = checked(line).map_err(|why| damaged(why.to_owned()))?;
    let begins = "a recording begins with whose life it is".to_owned();
    let header = header(json).ok_or_else(|| damaged(begins))?.map_err(damaged)?;
    readable(&header)?;
    Ok(header.protocol)
}

/// Replays every life of a recording, up to the first difference.
///
/// # Errors
/// The recording is damaged elsewhere than at the end of a life, or of another protocol or version.
pub fn rerun<P: Deployable>(text: &str) -> Result<Rerun, RecordingError> {
    let lines: Vec<&str> = text.lines().collect();
    let mut lives = Vec::new();
    let (mut at, mut node) = (0, NodeId::new(0));
    while at < lines.len() {
        let damaged = |why: String| RecordingError::Damaged { line: at + 1, why };
        let json = checked(lines[at]).map_err(|why| damaged(why.to_owned()))?;
        let begins = "here a life must begin".to_owned();
        let header = header(json).ok_or_else(|| damaged(begins))?.map_err(damaged)?;
        readable(&header)?;
        let config = serde_json::from_value(header.config.clone())
            .map_err(|error| damaged(format!("its parameters: {error}")))?;
        node = header.node;
        let mut replay = Replay {
            lines: &lines,
            whole: text.ends_with('\n'),
            at: at + 1,
            life: lives.len() + 1,
            driven: Driven::<P>::new(header.node, header.nodes, config, header.seed),
            done: Life { inputs: 0, effects: 0, end: End::Cut },
        };
        let difference = replay.run()?;
        at = replay.at;
        lives.push(replay.done);
        if difference.is_some() {
            return Ok(Rerun { node, lives, difference });
        }
    }
    Ok(Rerun { node, lives, difference: None })
}

/// What a line is, to a life that goes on.
enum Next<P: Deployable> {
    Line(Line<P>),
    /// It ends in the middle of this line.
    Torn,
    /// It ends before this line.
    Cut,
}

/// One life under replay.
struct Replay<'a, P: Deployable> {
    lines: &'a [&'a str],
    /// Whether the last line has its end.
    whole: bool,
    /// The next line, counted from zero.
    at: usize,
    life: usize,
    driven: Driven<P>,
    done: Life,
}

impl<P: Deployable> Replay<'_, P> {
    fn run(&mut self) -> Result<Option<Difference>, RecordingError> {
        loop {
            let (number, now, wall, input) = match self.next()? {
                Next::Cut => return Ok(None),
                Next::Torn => return Ok(self.torn()),
                Next::Line(Line::End { inputs }) if inputs == self.done.inputs => {
                    self.done.end = End::Stopped;
                    return Ok(None);
                }
                Next::Line(Line::Input { number, now, wall, input }) => (number, now, wall, input),
                Next::Line(_) => return Err(self.damaged("an input or an end must stand here")),
            };
            if number != self.done.inputs + 1 {
                return Err(self.damaged("inputs are missing before this one"));
            }
            let happened = format!("{input:?}");
            let (recorded, drawn) = match self.next()? {
                Next::Line(Line::Effects { effects, drawn }) => (effects, drawn),
                Next::Line(_) => return Err(self.damaged("effects must stand here")),
                Next::Cut => {
                    self.in_handler(input, now, wall);
                    return Ok(None);
                }
                Next::Torn => return Ok(self.torn()),
            };
            let effects: Vec<Effect<P>> = self.driven.react(input, now, wall).collect();
            self.done.inputs = number;
            self.done.effects += effects.len() as u64;
            if let Some((expected, got)) = self.compare(&recorded, drawn, &effects) {
                let (life, line) = (self.life, self.at);
                let input = number;
                return Ok(Some(Difference { life, input, line, happened, expected, got }));
            }
        }
    }

    /// What is different, as what was recorded and what was done now.
    fn compare(
        &self,
        recorded: &[String],
        drawn: u64,
        effects: &[Effect<P>],
    ) -> Option<(String, String)> {
        let nothing = || "no further effect".to_owned();
        for place in 0..recorded.len().max(effects.len()) {
            let (expected, got) = (recorded.get(place), effects.get(place));
            if expected.cloned() != got.map(mark) {
                let which = format!("effect {}: ", place + 1);
                let got = got.map_or_else(nothing, |got| format!("{} = {got}", mark(got)));
                let expected = expected.cloned().unwrap_or_else(nothing);
                return Some((which.clone() + &expected, which + &got));
            }
        }
        let now = self.driven.drawn();
        (now != drawn).then(|| (format!("{drawn} draws so far"), format!("{now} draws so far")))
    }

    /// The process died in a handler: whether the handler panics, alone can tell.
    fn in_handler(&mut self, input: Input<P>, now: Time, wall: Time) {
        let driven = &mut self.driven;
        let handler = AssertUnwindSafe(|| drop(driven.react(input, now, wall)));
        let panic = catch_unwind(handler).err().map(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            text.unwrap_or("a panic without words").to_owned()
        });
        self.done.end = End::InHandler { panic };
    }

    fn torn(&mut self) -> Option<Difference> {
        self.done.end = End::Torn { line: self.at };
        None
    }

    fn next(&mut self) -> Result<Next<P>, RecordingError> {
        let Some(line) = self.lines.get(self.at) else { return Ok(Next::Cut) };
        let begins = |line: &&str| checked(line).is_ok_and(|json| header(json).is_some());
        if begins(line) {
            return Ok(Next::Cut);
        }
        self.at += 1;
        let json = match checked(line) {
            Ok(json) => json,
            // A kill leaves one torn line, and whoever lived next began behind it.
            Err(_) if self.lines.get(self.at).map_or(!self.whole, begins) => return Ok(Next::Torn),
            Err(why) => return Err(self.damaged(why)),
        };
        match serde_json::from_str(json) {
            Ok(line) => Ok(Next::Line(line)),
            Err(error) => Err(self.damaged(&format!("another version wrote it: {error}"))),
        }
    }

    fn damaged(&self, why: &str) -> RecordingError {
        RecordingError::Damaged { line: self.at, why: why.to_owned() }
    }
}

impl Rerun {
    /// Every input and effect of all lives.
    pub fn totals(&self) -> (u64, u64) {
        self.lives
            .iter()
            .fold((0, 0), |(inputs, effects), life| (inputs + life.inputs, effects + life.effects))
    }
}
