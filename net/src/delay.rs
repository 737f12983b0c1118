//! How long a message is under way.

use seedfall_sim::draw::scale;
use seedfall_sim::{ALWAYS, Draw, Duration, Ppm};

/// A distribution of delays, sampled in integers so that every machine gets the same one. One word
/// of a draw is one delay; a nominal draw gives the middle of the distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case", deny_unknown_fields))]
pub enum Delay {
    /// Always the same: messages of one link never overtake each other.
    Fixed(Duration),
    /// Every span of `min..max` alike.
    Uniform {
        /// The least delay.
        min: Duration,
        /// The delay that is never quite reached; at least `min`.
        max: Duration,
    },
    /// `min`, and on top an exponential tail with this mean: the delay of a busy network.
    /// (`TigerBeetle`'s simulator uses means of 30 to 100 ms.)
    Exponential {
        /// The least delay.
        min: Duration,
        /// The mean of what comes on top.
        mean: Duration,
    },
    /// Usually one uniform span, rarely another: `FoundationDB`'s 99.9 % fast, 0.1 % slow.
    Bimodal {
        /// The usual spans, from and to.
        usual: (Duration, Duration),
        /// The rare spans, from and to.
        rare: (Duration, Duration),
        /// How often the rare ones come, in a million.
        rare_ppm: Ppm,
    },
}

impl Delay {
    /// One delay.
    #[inline(always)]
    pub fn sample(&self, draw: &mut Draw) -> Duration {
        match *self {
            Self::Fixed(delay) => delay,
            Self::Uniform { min, max } => min + scale((max - min).as_nanos(), draw.word()),
            Self::Exponential { min, mean } => min + draw.exponential(mean),
            Self::Bimodal { usual, rare, rare_ppm } => {
                bimodal(usual, rare, rare_ppm, draw.word(), draw.is_nominal())
            }
        }
    }
}

/// One word decides both the mode and the place in it: the words below the threshold are stretched
/// over the rare mode, the others over the usual one.
fn bimodal(
    usual: (Duration, Duration),
    rare: (Duration, Duration),
    rare_ppm: Ppm,
    word: u32,
    nominal: bool,
) -> Duration {
    let rare_ppm = rare_ppm.min(ALWAYS);
    let threshold = (u64::from(rare_ppm) << 32) / u64::from(ALWAYS);
    let word = u64::from(word);
    let (mode, place, width) = if nominal {
        (if rare_ppm == ALWAYS { rare } else { usual }, 1 << 31, 1 << 32)
    } else if word < threshold {
        (rare, word, threshold)
    } else {
        (usual, word - threshold, (1 << 32) - threshold)
    };
    mode.0 + (mode.1 - mode.0).scale(place, width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedfall_sim::{Draws, Seed, Site};

    const MS: Duration = Duration::millis(1);

    fn samples(delay: Delay) -> Vec<Duration> {
        let mut draws = Draws::new(Seed(1), 1, 0);
        (0..50_000).map(|_| delay.sample(&mut draws.draw(Site::Plan))).collect()
    }

    #[test]
    fn each_distribution_keeps_to_its_range_and_mean() {
        let mean = |delays: &[Duration]| {
            delays.iter().map(|delay| delay.as_nanos()).sum::<u64>() / delays.len() as u64
        };
        let fixed = samples(Delay::Fixed(MS));
        assert!(fixed.iter().all(|delay| *delay == MS));
        let uniform = samples(Delay::Uniform { min: MS, max: Duration::millis(3) });
        assert!(uniform.iter().all(|delay| (MS..Duration::millis(3)).contains(delay)));
        assert!((1_980_000..2_020_000).contains(&mean(&uniform)), "{}", mean(&uniform));
        let exponential = samples(Delay::Exponential { min: MS, mean: MS });
        assert!(exponential.iter().all(|delay| *delay >= MS));
        assert!((1_980_000..2_020_000).contains(&mean(&exponential)), "{}", mean(&exponential));
        let bimodal = samples(Delay::Bimodal {
            usual: (Duration::ZERO, MS),
            rare: (Duration::secs(1), Duration::secs(2)),
            rare_ppm: 100_000,
        });
        let slow = bimodal.iter().filter(|delay| **delay >= Duration::secs(1)).count();
        assert!((4_700..5_300).contains(&slow), "a tenth are slow: {slow}");
        assert!(bimodal.iter().all(|delay| *delay < MS || *delay >= Duration::secs(1)));
    }

    #[test]
    fn the_nominal_delay_is_the_middle() {
        let usual = (MS, Duration::millis(3));
        let rare = (Duration::secs(1), Duration::secs(3));
        let of = |delay: Delay| delay.sample(&mut Draw::NOMINAL.clone());
        assert_eq!(of(Delay::Uniform { min: MS, max: Duration::millis(3) }), Duration::millis(2));
        assert_eq!(of(Delay::Bimodal { usual, rare, rare_ppm: 900_000 }), Duration::millis(2));
        assert_eq!(of(Delay::Bimodal { usual, rare, rare_ppm: ALWAYS }), Duration::secs(2));
    }
}
