//! The journal over any [`Storage`]: records as JSON in the frames of the [`Wal`].
//!
//! Recovery is that of the simulated disk: the same code reads both. A journal only grows: what a
//! protocol calls a snapshot shortens what it reads, not what is kept.

use seedfall_sim::wal::{Recovery, Storage, Wal, WalError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// The records of one node.
#[derive(Debug)]
pub struct Journal<S: Storage> {
    wal: Wal,
    storage: S,
}

/// What was found at opening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened<R> {
    /// The records, in order; all of them are durable.
    pub records: Vec<R>,
    /// How many bytes of a torn tail were cut.
    pub cut: u64,
}

/// Why a journal cannot be used; its node must stop.
#[derive(Debug)]
#[non_exhaustive]
pub enum JournalError<E> {
    /// The log below says so.
    Wal(WalError<E>),
    /// A record that was written whole cannot be understood.
    Unreadable {
        /// Which, counted from one.
        record: usize,
        /// Why.
        why: String,
    },
    /// A record cannot be put into words.
    Unwritable {
        /// Why.
        why: String,
    },
}

impl<E: fmt::Display> fmt::Display for JournalError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wal(error) => write!(f, "journal: {error}"),
            Self::Unreadable { record, why } => write!(
                f,
                "journal: record {record} is whole and cannot be understood ({why}): another \
                 version of the protocol wrote it; start the program that did"
            ),
            Self::Unwritable { why } => {
                write!(f, "journal: a record has no form in JSON ({why}): the protocol's bug")
            }
        }
    }
}

impl<E: fmt::Display + fmt::Debug> std::error::Error for JournalError<E> {}

impl<E> From<WalError<E>> for JournalError<E> {
    fn from(error: WalError<E>) -> Self {
        Self::Wal(error)
    }
}

impl<S: Storage> Journal<S> {
    /// Opens the journal of a folder, which may be empty.
    ///
    /// # Errors
    /// The storage fails, something that was synced is damaged, or another version wrote it.
    pub fn open<R: DeserializeOwned>(
        mut storage: S,
    ) -> Result<(Self, Opened<R>), JournalError<S::Error>> {
        let (wal, Recovery { payloads, cut, .. }) = Wal::open(&mut storage)?;
        let mut records = Vec::with_capacity(payloads.len());
        for payload in &payloads {
            let record = serde_json::from_slice(payload).map_err(|error| {
                let why = error.to_string();
                JournalError::Unreadable { record: records.len() + 1, why }
            })?;
            records.push(record);
        }
        Ok((Self { wal, storage }, Opened { records, cut }))
    }

    /// Adds a record, which a crash may lose until the next [`Journal::sync`].
    ///
    /// # Errors
    /// The storage fails or has no room.
    pub fn append(&mut self, record: &impl Serialize) -> Result<(), JournalError<S::Error>> {
        let payload = serde_json::to_vec(record)
            .map_err(|error| JournalError::Unwritable { why: error.to_string() })?;
        Ok(self.wal.append(&mut self.storage, &payload)?)
    }

    /// Makes every record durable; says how many that newly covers.
    ///
    /// # Errors
    /// The storage fails: nobody knows what is durable, until the journal is opened anew.
    pub fn sync(&mut self) -> Result<u64, JournalError<S::Error>> {
        Ok(self.wal.sync(&mut self.storage)?)
    }
}
