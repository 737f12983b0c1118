//! What a campaign comes upon, and when: coverage marks, classes of faults with an effect, kinds
//! of failures; and how fast it runs.
//!
//! After how many seeds a thing was first seen is read from the lines, so it is the same however
//! the seeds were cut. After how many seconds depends on who ran what: each coordinator notes it
//! in its state. Neither is part of the result.

use super::manifest::Manifest;
use super::state::State;
use super::store::Book;
use seedfall::campaign::Runs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a campaign comes upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Sort {
    /// A coverage mark that was reached.
    Mark,
    /// A class of faults that had an effect.
    Class,
    /// A failure, by its fingerprint.
    Failure,
}

impl Sort {
    pub(super) const ALL: [Self; 3] = [Self::Mark, Self::Class, Self::Failure];

    /// Several of them, for people.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Mark => "coverage marks reached",
            Self::Class => "fault classes with an effect",
            Self::Failure => "kinds of failures",
        }
    }
}

/// What runs came upon. This alone knows where in a line it stands: whoever counts something else,
/// such as the abstract states of a search, adds a sort here and nowhere else.
fn found(runs: &Runs) -> impl Iterator<Item = (Sort, &str)> {
    let marks = runs.marks.keys().map(|mark| (Sort::Mark, mark.as_str()));
    let fired = runs.fired.iter().filter(|(_, (_, fired))| *fired > 0);
    let classes = fired.map(|(class, _)| (Sort::Class, class.as_str()));
    let failures = runs.groups.keys().map(|print| (Sort::Failure, print.as_str()));
    marks.chain(classes).chain(failures)
}

/// Things of one scenario, each with when it was first seen.
type Firsts<T> = BTreeMap<Sort, BTreeMap<String, T>>;

/// Things that a coordinator keeps the second of, at most.
const FIRSTS_MOST: usize = 4_096;

/// Points of a course, at most; beyond it every second one is left out.
const POINTS_MOST: usize = 240;

/// What one coordinator saw, by its own seconds, on a clock that nobody sets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Course {
    /// Seconds from point to point.
    step: u64,
    /// Runs and events so far, at each step.
    points: Vec<(u64, u64)>,
    /// By scenario: the second at which a thing was first seen.
    firsts: BTreeMap<String, Firsts<f64>>,
    #[serde(skip)]
    sum: (u64, u64),
    #[serde(skip)]
    things: usize,
}

impl Default for Course {
    fn default() -> Self {
        let (points, firsts) = (Vec::new(), BTreeMap::new());
        Self { step: 1, points, firsts, sum: (0, 0), things: 0 }
    }
}

impl Course {
    /// Time has passed.
    pub(super) fn at(&mut self, elapsed: Duration) {
        while (self.points.len() as u64 + 1) * self.step <= elapsed.as_secs() {
            self.points.push(self.sum);
            if POINTS_MOST < self.points.len() {
                // The second, the fourth and so on: those at the multiples of twice the step.
                let kept = self.points.iter().skip(1).step_by(2).copied();
                self.points = kept.collect();
                self.step *= 2;
            }
        }
    }

    /// Runs were heard of.
    pub(super) fn add(&mut self, runs: &Runs, elapsed: Duration) {
        self.at(elapsed);
        self.sum = (self.sum.0 + runs.runs(), self.sum.1 + runs.events);
        for (sort, name) in found(runs) {
            let known = self.firsts.get(&runs.scenario).and_then(|firsts| firsts.get(&sort));
            let is_new = known.is_none_or(|firsts| !firsts.contains_key(name));
            if is_new && self.things < FIRSTS_MOST {
                self.things += 1;
                let firsts = self.firsts.entry(runs.scenario.clone()).or_default();
                let second = (elapsed.as_secs_f64() * 1e3).round() / 1e3;
                firsts.entry(sort).or_default().insert(name.to_owned(), second);
            }
        }
    }

    /// Runs so far at a second, as a straight line between points has it.
    fn runs_at(&self, second: f64) -> f64 {
        let runs = |point: usize| match point {
            0 => 0.0,
            _ => self.points.get(point - 1).map_or(0.0, |(runs, _)| *runs as f64),
        };
        let place = (second / self.step as f64).clamp(0.0, self.points.len() as f64);
        let (before, share) = (place.floor() as usize, place.fract());
        let after = (before + 1).min(self.points.len());
        runs(before) + (runs(after) - runs(before)) * share
    }

    fn seconds(&self) -> f64 {
        (self.points.len() as u64 * self.step) as f64
    }
}

/// When a thing was first seen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct First {
    /// Among so many seeds of its scenario, of those that were run, in their order: all of the unit
    /// counted.
    pub(super) seeds: u64,
    /// After so many seconds of work, where somebody noted it.
    pub(super) second: Option<f64>,
}

/// What a whole campaign came upon.
#[derive(Clone, Debug, Default)]
pub(super) struct Discovery {
    /// By scenario.
    pub(super) firsts: BTreeMap<String, Firsts<First>>,
    /// Seconds of work, all pauses between attempts left out, and the runs per second there.
    pub(super) rate: Vec<(f64, f64)>,
    /// How long all of it took, likewise.
    pub(super) seconds: f64,
    /// The most seeds that a scenario has.
    pub(super) seeds: u64,
}

/// Points of a plot over time.
const RATES: usize = 60;

impl Discovery {
    /// Of lines, and of the attempts in the order of their beginning.
    pub(super) fn of(manifest: &Manifest, book: &Book, states: &[(State, Duration)]) -> Self {
        let mut discovery = Self::default();
        for scenario in manifest.names() {
            let firsts = discovery.firsts.entry(scenario.to_owned()).or_default();
            let mut seeds = 0;
            for runs in book.cover(scenario) {
                seeds += runs.runs();
                for (sort, name) in found(runs) {
                    let sorted = firsts.entry(sort).or_default();
                    if !sorted.contains_key(name) {
                        sorted.insert(name.to_owned(), First { seeds, second: None });
                    }
                }
            }
            discovery.seeds = discovery.seeds.max(seeds);
        }
        let states: Vec<&State> = states.iter().map(|(state, _)| state).collect();
        let begun = worked(&states);
        for (state, begun) in states.iter().zip(&begun) {
            discovery.add(&state.course, *begun);
        }
        discovery.rate(&states, &begun);
        discovery
    }

    fn add(&mut self, course: &Course, begun: f64) {
        for (scenario, firsts) in &course.firsts {
            let Some(known) = self.firsts.get_mut(scenario) else { continue };
            for (sort, firsts) in firsts {
                let Some(known) = known.get_mut(sort) else { continue };
                for (name, second) in firsts {
                    let Some(first) = known.get_mut(name) else { continue };
                    let second = begun + second;
                    first.second = Some(first.second.map_or(second, |known| known.min(second)));
                }
            }
        }
    }

    fn rate(&mut self, states: &[&State], begun: &[f64]) {
        let end = |(state, begun): (&&State, &f64)| begun + state.course.seconds();
        self.seconds = states.iter().zip(begun).map(end).fold(0.0, f64::max);
        let step = (self.seconds / RATES as f64).max(1.0);
        let runs = |second: f64| -> f64 {
            let each = states.iter().zip(begun);
            each.map(|(state, begun)| state.course.runs_at(second - begun)).sum()
        };
        let count = (self.seconds / step).floor() as usize;
        self.rate = (1..=count)
            .map(|place| {
                let second = step * place as f64;
                (second, (runs(second) - runs(second - step)) / step)
            })
            .collect();
    }

    /// Everything of a sort, with its scenario.
    pub(super) fn all(&self, sort: Sort) -> impl Iterator<Item = (&str, &str, First)> {
        self.firsts.iter().flat_map(move |(scenario, firsts)| {
            let firsts = firsts.get(&sort).into_iter().flatten();
            firsts.map(move |(name, first)| (scenario.as_str(), name.as_str(), *first))
        })
    }
}

/// When each attempt began, in seconds of work: pauses in which nobody was at work do not count.
/// The wall clock says the order alone, and somebody may have set it; so no more is made of it
/// than a picture.
fn worked(states: &[&State]) -> Vec<f64> {
    let Some(first) = states.first() else { return Vec::new() };
    let (mut left_out, mut end) = (0.0, 0.0_f64);
    let place = |state: &&State| {
        let since = state.begun.saturating_sub(first.begun) as f64;
        if end < since - left_out {
            left_out = since - end;
        }
        let begun = since - left_out;
        end = end.max(begun + state.seconds);
        begun
    };
    states.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(from: u64, marks: &[&str]) -> Runs {
        let marks = marks.iter().map(|mark| ((*mark).to_owned(), 1)).collect();
        let scenario = "one".to_owned();
        Runs { scenario, from, to: from + 10, passed: 10, marks, ..Runs::default() }
    }

    #[test]
    fn a_course_is_bounded_however_long_it_is() {
        let mut course = Course::default();
        let day = 86_400;
        for second in 0..day {
            course.add(&runs(second * 10, &["a"]), Duration::from_secs(second));
        }
        course.at(Duration::from_secs(day));
        assert!(course.points.len() <= POINTS_MOST && POINTS_MOST / 2 <= course.points.len());
        let last = course.points.len() as u64 * course.step;
        assert!(day - last < course.step, "it has the last step that is over: {last}");
        assert_eq!(course.points.last().map(|(runs, _)| *runs), Some(last * 10));
        assert!((course.runs_at(1_000.0) - 10_000.0).abs() < 1.0, "{}", course.runs_at(1_000.0));
        let text = serde_json::to_string(&course).expect("JSON");
        assert!(text.len() < 8_000, "{}", text.len());
    }

    #[test]
    fn things_are_bounded_and_the_first_second_stands() {
        let mut course = Course::default();
        course.add(&runs(0, &["a"]), Duration::from_millis(1_500));
        course.add(&runs(10, &["a", "b"]), Duration::from_secs(3));
        let marks = &course.firsts["one"][&Sort::Mark];
        assert_eq!(marks, &BTreeMap::from([("a".to_owned(), 1.5), ("b".to_owned(), 3.0)]));
        for number in 0..10_000 {
            course.add(&runs(20, &[&format!("mark {number}")]), Duration::from_secs(4));
        }
        assert_eq!(course.firsts["one"][&Sort::Mark].len(), FIRSTS_MOST);
    }

    #[test]
    fn pauses_between_attempts_do_not_count() {
        let state = |begun, seconds| State { begun, seconds, ..State::default() };
        // Two at once, a pause of a day, another; then one of a clock that was set back.
        let all = [state(1_000, 60.0), state(1_030, 60.0), state(90_000, 10.0), state(90_000, 1.0)];
        let all: Vec<&State> = all.iter().collect();
        assert_eq!(worked(&all), [0.0, 30.0, 90.0, 90.0]);
        assert!(worked(&[]).is_empty());
    }
}
