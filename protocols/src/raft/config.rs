//! The parameters, and which of them cannot work together.

use seedfall_sim::{Duration, Ppm};
use std::fmt;

/// The parameters, equal on all servers. [`Config::PAPER`] has every extension switched off.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// The shortest time without a leader after which a server starts an election.
    pub election_timeout_min: Duration,
    /// The longest; the paper advises twice the shortest. Equal ones would split votes for ever.
    pub election_timeout_max: Duration,
    /// How often a leader speaks to its followers; well below the shortest election timeout.
    pub heartbeat_interval: Duration,
    /// How many entries one message carries at most; at least one.
    pub max_entries_per_append: usize,
    /// Flow control: how many entries may be on their way to one follower, un-acknowledged, at
    /// most; at least one.
    pub max_in_flight: usize,
    /// Section 7: a server takes a snapshot once it has applied so many entries since the last
    /// one; at least one. `None`: never.
    pub snapshot_after: Option<u64>,
    /// How many items (pairs of the store, sessions) one chunk of a snapshot carries at most; at
    /// least one.
    pub snapshot_chunk: usize,
    /// Dissertation 6.3: with more sessions than this, the least recently used one expires; at
    /// least one. `None`: they never do.
    pub max_sessions: Option<usize>,
    /// How many of the first nodes make up the first configuration; the others stand by until a
    /// change lets them in. At least one; `None`: all.
    pub initial_voters: Option<u16>,
    /// Dissertation 9.6: a server asks whether it could win before it raises its term.
    pub pre_vote: bool,
    /// Dissertation 4.2.3: a server that hears from a leader ignores requests for votes. With it
    /// comes 6.2: a leader that reaches no majority for an election timeout steps down.
    pub leader_stickiness: bool,
    /// Dissertation 6.4.1: reads are answered under a lease, safe as long as no clock runs faster
    /// or slower than true time by more than this. Needs `leader_stickiness`. `None`: reads ask a
    /// majority each time, and trust no clock.
    pub lease_drift: Option<Ppm>,
}

/// Why a [`Config`] cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// `election_timeout_max` is not above `election_timeout_min`.
    ElectionTimeoutRangeEmpty,
    /// `heartbeat_interval` is zero, or not below `election_timeout_min`.
    HeartbeatIntervalOutOfRange,
    /// A number that must be at least one is zero; this is its field.
    Zero(&'static str),
    /// `lease_drift` is set without `leader_stickiness`: nobody would respect the lease.
    LeaseWithoutStickiness,
    /// `lease_drift` is a million or more: such a clock may stand still.
    LeaseDriftOutOfRange,
}

impl Config {
    /// The timeouts of the paper's section 9.3, eight entries a message, and no extension.
    pub const PAPER: Self = Self {
        election_timeout_min: Duration::millis(150),
        election_timeout_max: Duration::millis(300),
        heartbeat_interval: Duration::millis(50),
        max_entries_per_append: 8,
        max_in_flight: usize::MAX,
        snapshot_after: None,
        snapshot_chunk: 64,
        max_sessions: None,
        initial_voters: None,
        pre_vote: false,
        leader_stickiness: false,
        lease_drift: None,
    };

    /// Looks for what cannot work.
    ///
    /// # Errors
    /// The first field that does not fit the others.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.election_timeout_max <= self.election_timeout_min {
            return Err(ConfigError::ElectionTimeoutRangeEmpty);
        }
        if self.heartbeat_interval == Duration::ZERO
            || self.heartbeat_interval >= self.election_timeout_min
        {
            return Err(ConfigError::HeartbeatIntervalOutOfRange);
        }
        let at_least_one = [
            ("max_entries_per_append", self.max_entries_per_append == 0),
            ("max_in_flight", self.max_in_flight == 0),
            ("snapshot_after", self.snapshot_after == Some(0)),
            ("snapshot_chunk", self.snapshot_chunk == 0),
            ("max_sessions", self.max_sessions == Some(0)),
            ("initial_voters", self.initial_voters == Some(0)),
        ];
        if let Some((field, _)) = at_least_one.into_iter().find(|(_, zero)| *zero) {
            return Err(ConfigError::Zero(field));
        }
        match self.lease_drift {
            Some(_) if !self.leader_stickiness => Err(ConfigError::LeaseWithoutStickiness),
            Some(1_000_000..) => Err(ConfigError::LeaseDriftOutOfRange),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ElectionTimeoutRangeEmpty => {
                "election_timeout_max must be above election_timeout_min"
            }
            Self::HeartbeatIntervalOutOfRange => {
                "heartbeat_interval must be above zero and below election_timeout_min"
            }
            Self::Zero(field) => return write!(f, "{field} must be at least one"),
            Self::LeaseWithoutStickiness => "lease_drift needs leader_stickiness",
            Self::LeaseDriftOutOfRange => "lease_drift must be below 1,000,000 in a million",
        })
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_that_cannot_work_is_refused_by_the_field_at_fault() {
        let good = Config::PAPER;
        assert_eq!(good.check(), Ok(()));
        let equal = Config { election_timeout_max: Duration::millis(150), ..good.clone() };
        assert_eq!(equal.check(), Err(ConfigError::ElectionTimeoutRangeEmpty));
        let slow = Config { heartbeat_interval: Duration::millis(150), ..good.clone() };
        assert_eq!(slow.check(), Err(ConfigError::HeartbeatIntervalOutOfRange));
        let none = Config { max_entries_per_append: 0, ..good.clone() };
        assert_eq!(none.check(), Err(ConfigError::Zero("max_entries_per_append")));
        let nobody = Config { initial_voters: Some(0), ..good.clone() };
        assert_eq!(nobody.check(), Err(ConfigError::Zero("initial_voters")));
        let lease = Config { lease_drift: Some(50_000), ..good };
        assert_eq!(lease.check(), Err(ConfigError::LeaseWithoutStickiness));
        let lease = Config { leader_stickiness: true, ..lease };
        assert_eq!(lease.check(), Ok(()));
        let stopped = Config { lease_drift: Some(1_000_000), ..lease };
        assert_eq!(stopped.check(), Err(ConfigError::LeaseDriftOutOfRange));
    }
}
