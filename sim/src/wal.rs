//! A journal's file format and its recovery: a write-ahead log over any [`Storage`].
//!
//! **Guarantee.** What recovery hands out is a prefix of what was appended, in order, and holds
//! everything that a [`Wal::sync`] covered, whatever a crash left of the rest; a torn tail is cut
//! without a word. If something that was synced is damaged, [`Wal::open`] refuses and says where:
//! to go on without it would un-write what others were told (Alagappan et al., "Protocol-Aware
//! Recovery for Consensus-Based Storage", FAST 2018).
//!
//! **How.** Frames with checksum, length, sequence number and epoch; a head in two slots, written
//! in turn, which says up to where the frames are durable. A sync makes the frames durable *first*
//! and then says so in the head: two syncs, without which damage in the last synced frames could
//! not be told from a torn tail. Each opening begins a new epoch, so that frames behind a cut
//! cannot come back.
//!
//! **Assumes** that a sync which reports success is durable, and that directory entries are durable
//! when the directory was synced. After any error the log stops: of a sync that failed nobody knows
//! what is on the disk, and to try again reports success for pages that are lost (Rebello et al.,
//! "Can Applications Recover from fsync Failures?", ATC 2020).
//!
//! The same code runs on the simulated disk and over real files: it names neither.

mod format;

pub use format::crc32c;
use format::{FRAME_BYTES, Frames, HEAD_BYTES, Head, PAYLOAD_MAX, SECTOR, SLOT, Slot, VERSION};
use std::fmt;

/// The name of the file that holds the head.
const HEAD: &str = "head";

/// What the head is called until it is whole and durable.
const HEAD_NEW: &str = "head.new";

/// One folder of files, as far as a log needs it. Nothing but a sync makes anything durable; of
/// what is not synced a crash leaves what it likes.
pub trait Storage {
    /// What can go wrong.
    type Error;

    /// The names of the files.
    ///
    /// # Errors
    /// The folder cannot be read.
    fn list(&mut self) -> Result<Vec<String>, Self::Error>;

    /// All bytes of a file.
    ///
    /// # Errors
    /// It is not there or cannot be read.
    fn read(&mut self, file: &str) -> Result<Vec<u8>, Self::Error>;

    /// Makes an empty file, in place of the one of that name if there is one.
    ///
    /// # Errors
    /// It cannot be made.
    fn create(&mut self, file: &str) -> Result<(), Self::Error>;

    /// Writes bytes; past the end, the file grows, and a gap reads as zeros.
    ///
    /// # Errors
    /// There is no room, or the device fails; part of it may be written.
    fn write(&mut self, file: &str, offset: u64, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Cuts a file to a length.
    ///
    /// # Errors
    /// It cannot be cut.
    fn truncate(&mut self, file: &str, length: u64) -> Result<(), Self::Error>;

    /// Makes a file's bytes and length durable; not its name.
    ///
    /// # Errors
    /// Nobody knows what is durable now.
    fn sync(&mut self, file: &str) -> Result<(), Self::Error>;

    /// Gives a file another name, in place of the file of that name if there is one.
    ///
    /// # Errors
    /// It cannot be renamed.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), Self::Error>;

    /// Removes a file.
    ///
    /// # Errors
    /// It cannot be removed.
    fn remove(&mut self, file: &str) -> Result<(), Self::Error>;

    /// Makes durable which names there are, and which files they name.
    ///
    /// # Errors
    /// Nobody knows what is durable now.
    fn sync_dir(&mut self) -> Result<(), Self::Error>;
}

/// Why a log cannot go on. It must not be used further, and its node must stop.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WalError<E> {
    /// The storage failed.
    Storage {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        file: String,
        /// What it said.
        error: E,
    },
    /// Something that was synced is not there any more, or not what it was.
    Damaged {
        /// In which file.
        file: String,
        /// At which byte.
        offset: u64,
        /// What had to be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Another version of this code wrote it.
    Version {
        /// The file that says so.
        file: String,
        /// Its version.
        found: u32,
        /// The version of this code.
        supported: u32,
    },
    /// A record is longer than a frame can be.
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// The log had stopped, because of an earlier error.
    Stopped,
}

impl<E: fmt::Display> fmt::Display for WalError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage { doing, file, error } => write!(f, "{file}: cannot {doing}: {error}"),
            Self::Damaged { file, offset, expected, found } => write!(
                f,
                "{file}: damaged at byte {offset}: expected {expected}, found {found}; this was \
                 synced, so the node must not start without it: put the file back from a copy, or \
                 give the node up and let a new one join"
            ),
            Self::Version { file, found, supported } => write!(
                f,
                "{file}: written by version {found} of the format, this is version {supported}: \
                 start the program that wrote it"
            ),
            Self::TooLong { length } => {
                write!(f, "a record of {length} bytes: a frame holds at most {PAYLOAD_MAX}")
            }
            Self::Stopped => write!(f, "the log had stopped because of an earlier error"),
        }
    }
}

impl<E: fmt::Display + fmt::Debug> std::error::Error for WalError<E> {}

/// What was found at opening.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The payloads, in the order in which they were appended. All of them are durable now.
    pub payloads: Vec<Vec<u8>>,
    /// How many bytes of a torn tail were cut.
    pub cut: u64,
    /// True if one of the two head slots was torn, and the other one served.
    pub torn_head: bool,
}

/// An open log. Its storage is not part of it, and goes with every call; it must be the same one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wal {
    head: Head,
    /// The end of the last frame.
    end: u64,
    /// The sequence number of the next frame.
    next: u64,
    stopped: bool,
}

/// The file of frames of a generation.
fn frames_name(generation: u32) -> String {
    format!("frames-{generation}")
}

/// Says what was tried with which file, if it failed.
fn tried<T, E>(doing: &'static str, file: &str, result: Result<T, E>) -> Result<T, WalError<E>> {
    result.map_err(|error| WalError::Storage { doing, file: file.to_owned(), error })
}

fn damaged<T, E>(file: &str, offset: u64, expected: String, found: &str) -> Result<T, WalError<E>> {
    Err(WalError::Damaged { file: file.to_owned(), offset, expected, found: found.to_owned() })
}

impl Wal {
    /// Opens the log of a folder, which may be empty: recovers what is there, cuts a torn tail, and
    /// begins a new epoch.
    ///
    /// # Errors
    /// The storage fails, or something that was synced is damaged. Nothing was changed then but for
    /// files that belong to nothing.
    pub fn open<S: Storage>(storage: &mut S) -> Result<(Self, Recovery), WalError<S::Error>> {
        let names = tried("list the folder of", HEAD, storage.list())?;
        if !names.iter().any(|name| name == HEAD) {
            return Ok((Self::create(storage, &names)?, Recovery::default()));
        }
        let bytes = tried("read", HEAD, storage.read(HEAD))?;
        let (head, torn_head) = Self::newest_head(&bytes)?;
        let file = frames_name(head.generation);
        if !names.contains(&file) {
            return damaged(&file, 0, format!("{} bytes of frames", head.durable), "no such file");
        }
        let bytes = tried("read", &file, storage.read(&file))?;
        let frames = Frames::read(&bytes, &head);
        Self::check(&frames, &head, &file)?;
        let (end, length) = (frames.end(), bytes.len() as u64);
        if torn_head && end != length {
            // A head is written only when every frame is durable: of the two, a crash tears one.
            let found = frames.why.unwrap_or("an unfinished sector");
            return damaged(&file, end, "its end, as the head was being written".into(), found);
        }
        for stray in names.iter().filter(|name| *name != HEAD && **name != file) {
            tried("remove", stray, storage.remove(stray))?;
        }
        if end != length {
            tried("cut the torn tail of", &file, storage.truncate(&file, end))?;
        }
        // What was read may be in a cache alone, if it was not the machine that crashed.
        tried("sync", &file, storage.sync(&file))?;
        let next = head.first + frames.payloads.len() as u64;
        let epoch = head.epoch.max(frames.epoch) + 1;
        let mut wal = Self { head: Head { epoch, ..head }, end, next, stopped: false };
        wal.write_head(storage)?;
        let payloads = frames.payloads.iter().map(|payload| payload.to_vec()).collect();
        Ok((wal, Recovery { payloads, cut: length - end, torn_head }))
    }

    /// Adds a payload, which a crash may lose until the next [`Wal::sync`].
    ///
    /// # Errors
    /// The storage fails or has no room, and the log stops; or the payload is too long.
    pub fn append<S: Storage>(
        &mut self,
        storage: &mut S,
        payload: &[u8],
    ) -> Result<(), WalError<S::Error>> {
        if payload.len() > PAYLOAD_MAX {
            return Err(WalError::TooLong { length: payload.len() });
        }
        self.go_on()?;
        let (generation, epoch) = (self.head.generation, self.head.epoch);
        let frame = format::frame(payload, self.next, epoch, generation);
        let file = frames_name(generation);
        let at = match self.end == self.head.durable {
            true => self.end.next_multiple_of(SECTOR as u64),
            false => self.end,
        };
        tried("append to", &file, storage.write(&file, at, &frame))?;
        self.end = at + frame.len() as u64;
        self.next += 1;
        self.stopped = false;
        Ok(())
    }

    /// Makes everything appended durable. Says how many records that newly covers.
    ///
    /// # Errors
    /// The storage fails, and the log stops: what is durable is known when it is opened again.
    pub fn sync<S: Storage>(&mut self, storage: &mut S) -> Result<u64, WalError<S::Error>> {
        self.go_on()?;
        let fresh = self.next - self.head.next;
        if fresh > 0 {
            let file = frames_name(self.head.generation);
            tried("sync", &file, storage.sync(&file))?;
            self.write_head(storage)?;
        }
        self.stopped = false;
        Ok(fresh)
    }

    /// Puts other payloads in place of all that were appended, in one step: compaction. They are
    /// durable when it returns; a crash before that leaves the old ones or the new ones.
    ///
    /// # Errors
    /// The storage fails, and the log stops.
    pub fn replace<S: Storage>(
        &mut self,
        storage: &mut S,
        payloads: &[&[u8]],
    ) -> Result<(), WalError<S::Error>> {
        // A head is written only when every frame is durable; see `open`.
        self.sync(storage)?;
        let old = frames_name(self.head.generation);
        let (generation, first) = (self.head.generation + 1, self.next);
        let fresh = Head { generation, first, durable: 0, next: first, ..self.head };
        let mut wal = Self { head: fresh, end: 0, next: first, stopped: false };
        let file = frames_name(generation);
        self.stopped = true;
        tried("create", &file, storage.create(&file))?;
        for payload in payloads {
            wal.append(storage, payload)?;
        }
        tried("sync", &file, storage.sync(&file))?;
        tried("sync the folder of", &file, storage.sync_dir())?;
        wal.write_head(storage)?; // From here on it is the journal.
        *self = wal;
        self.stopped = true;
        tried("remove", &old, storage.remove(&old))?;
        self.stopped = false;
        Ok(())
    }

    /// How many records would survive a crash for certain, of those in the file.
    pub fn synced(&self) -> u64 {
        self.head.next - self.head.first
    }

    /// A new log. It exists when the name `head` is durable.
    fn create<S: Storage>(storage: &mut S, names: &[String]) -> Result<Self, WalError<S::Error>> {
        for name in names.iter().filter(|name| name.starts_with("frames-")) {
            if !tried("read", name, storage.read(name))?.is_empty() {
                let expected = format!("a head, as there are records in {name}");
                return damaged(HEAD, 0, expected, "no such file");
            }
        }
        for stray in names {
            tried("remove", stray, storage.remove(stray))?;
        }
        // Both slots from the beginning: one that was never written would look torn for ever, once
        // a head that belonged there was in a cache alone, as its sync had failed.
        let older = Head { generation: 1, counter: 0, epoch: 1, first: 1, durable: 0, next: 1 };
        let head = Head { counter: 1, ..older };
        let mut slots = vec![0; SLOT as usize];
        slots[..HEAD_BYTES].copy_from_slice(&older.encode());
        slots.extend_from_slice(&head.encode());
        let file = frames_name(head.generation);
        tried("create", &file, storage.create(&file))?;
        tried("sync", &file, storage.sync(&file))?;
        tried("sync the folder of", &file, storage.sync_dir())?;
        tried("create", HEAD_NEW, storage.create(HEAD_NEW))?;
        tried("write", HEAD_NEW, storage.write(HEAD_NEW, 0, &slots))?;
        tried("sync", HEAD_NEW, storage.sync(HEAD_NEW))?;
        tried("rename", HEAD_NEW, storage.rename(HEAD_NEW, HEAD))?;
        tried("sync the folder of", HEAD, storage.sync_dir())?;
        Ok(Self { head, end: 0, next: 1, stopped: false })
    }

    /// The newer of the two heads, and whether the other one is torn.
    fn newest_head<E>(bytes: &[u8]) -> Result<(Head, bool), WalError<E>> {
        let slots = [Slot::read(bytes, 0), Slot::read(bytes, 1)];
        let other = slots.iter().find_map(|slot| match slot {
            Slot::Other(version) => Some(*version),
            _ => None,
        });
        if let Some(found) = other {
            return Err(WalError::Version { file: HEAD.into(), found, supported: VERSION });
        }
        match slots {
            [Slot::Good(first), Slot::Good(second)] => {
                let newest = if first.counter < second.counter { second } else { first };
                Ok((newest, false))
            }
            // In files of before there were two from the beginning, the first of all is alone.
            [Slot::Good(head), Slot::Empty] if head.counter == 0 => Ok((head, false)),
            [Slot::Good(head), _] | [_, Slot::Good(head)] => Ok((head, true)),
            _ => damaged(HEAD, 0, "a head in one of two slots".into(), "none in either"),
        }
    }

    /// Everything that the head calls durable must be there.
    fn check<E>(frames: &Frames<'_>, head: &Head, file: &str) -> Result<(), WalError<E>> {
        let promised = (head.next - head.first) as usize;
        let end = match promised {
            0 => 0,
            _ => frames.ends.get(promised - 1).copied().unwrap_or(u64::MAX),
        };
        if end == head.durable {
            return Ok(());
        }
        let sequence = head.first + frames.payloads.len() as u64;
        let expected = match frames.payloads.len() < promised {
            true => format!("the frame with number {sequence}"),
            false => format!("the last durable frame to end at byte {}", head.durable),
        };
        damaged(file, frames.stop, expected, frames.why.unwrap_or("the end of the file"))
    }

    /// Says in the older slot that everything up to here is durable.
    fn write_head<S: Storage>(&mut self, storage: &mut S) -> Result<(), WalError<S::Error>> {
        let counter = self.head.counter + 1;
        let head = Head { counter, durable: self.end, next: self.next, ..self.head };
        tried("write", HEAD, storage.write(HEAD, head.offset(), &head.encode()))?;
        tried("sync", HEAD, storage.sync(HEAD))?;
        self.head = head;
        Ok(())
    }

    /// Stops unless the caller says at its end that all went well.
    fn go_on<E>(&mut self) -> Result<(), WalError<E>> {
        if std::mem::replace(&mut self.stopped, true) { Err(WalError::Stopped) } else { Ok(()) }
    }

    /// The bytes that a payload of this length takes in the file, at least.
    pub fn framed(length: usize) -> usize {
        FRAME_BYTES + length
    }
}
