//! Many runs, divided among strategies by what each has found lately.

use super::archive::weight;
use super::{Archive, Proposing, Strategy, portfolio, strategy, uniform, written};
use crate::parallel;
use crate::report::{Failure, Report};
use crate::run::{Runnable, Trial};
use crate::sweep::{Summary, all_cores};
use crate::testing::parse_time;
use std::num::NonZeroUsize;
use std::time::Duration;

/// How many trials are proposed before any of them is run: a strategy learns from round to round.
const ROUND: u64 = 16;
/// The share of events that plain seeds get, in percent, while others find more: so no bug takes
/// much more than twice as long as in a sweep.
const PLAIN: u64 = 50;
/// So many rounds of others, at most, pass before a strategy is tried again: what found nothing
/// yesterday may today.
const PATIENCE: u64 = 12;

/// What to hunt with.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// The base seed: with the number of runs it decides everything.
    pub base: u64,
    /// How many runs, at most; `None`: as many as the time allows.
    pub runs: Option<u64>,
    /// How many events, at most, to the end of the round in which that is reached: what runs cost,
    /// but the same on any machine.
    pub events: Option<u64>,
    /// How long, at most, by the machine's clock.
    pub time: Option<Duration>,
    /// How many threads; the result does not depend on it, unless time decides.
    pub jobs: NonZeroUsize,
    /// Which strategies, by their names; empty: the portfolio.
    pub strategies: Vec<String>,
    /// Runs that showed something in an earlier hunt: they are run first.
    pub corpus: Vec<Trial>,
}

impl Hunt {
    /// The hunt that somebody asks for in a word: `30s`, or a number of runs.
    ///
    /// # Errors
    /// The word, and what was expected.
    pub fn asked(amount: &str) -> Result<Self, String> {
        let runs = amount.replace(['_', ','], "").parse().ok();
        let time = match runs {
            Some(_) => None,
            None => Some(parse_time(amount).map_err(|why| {
                format!("SEEDFALL_HUNT: {why}, or a number of runs such as 20000")
            })?),
        };
        let (strategies, corpus) = (Vec::new(), Vec::new());
        Ok(Self { base: 0, runs, events: None, time, jobs: all_cores(), strategies, corpus })
    }
}

/// What one strategy did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its name.
    pub name: &'static str,
    /// Its runs.
    pub runs: u64,
    /// Their events.
    pub events: u64,
    /// How many states its runs were the first to show.
    pub states: u64,
    /// What else is to be known of it.
    pub remarks: Vec<String>,
}

/// The run that ended a hunt.
#[derive(Clone, Debug)]
pub struct Found {
    /// What to run: an ordinary trial.
    pub trial: Trial,
    /// What is wrong.
    pub failure: Failure,
    /// Which strategy proposed it.
    pub by: &'static str,
}

/// What a hunt came to.
#[derive(Debug)]
pub struct Hunted {
    /// All runs, as a sweep counts them.
    pub summary: Summary,
    /// The first failure that is not expected.
    pub found: Option<Found>,
    /// What each strategy did.
    pub shares: Vec<Share>,
    /// What was seen.
    pub archive: Archive,
}

/// One strategy, and what it gave.
struct Player {
    strategy: Box<dyn Strategy>,
    proposed: u64,
    share: Share,
    /// What first sights counted, and events, of its last rounds; what is older counts less.
    lately: (u64, u64),
    /// In which round it was asked last.
    asked: u64,
}

impl Player {
    fn new(strategy: Box<dyn Strategy>) -> Self {
        let name = strategy.name();
        let share = Share { name, runs: 0, events: 0, states: 0, remarks: Vec::new() };
        Self { strategy, proposed: 0, share, lately: (0, 0), asked: 0 }
    }

    /// What it found for so many events, lately.
    fn yields(&self) -> u64 {
        let (gain, events) = self.lately;
        gain * 1_000_000 / events.max(1)
    }
}

/// Hunts for a failure that the scenario does not expect. `progress` is told, after each round, how
/// many runs there were so far, and how long they took.
///
/// # Errors
/// The name of a strategy that there is none of.
pub fn hunt(
    scenario: &dyn Runnable,
    hunt: &Hunt,
    progress: &dyn Fn(u64, Duration),
) -> Result<Hunted, String> {
    let named: Vec<&str> = match hunt.strategies.is_empty() {
        true => portfolio(scenario),
        false => hunt.strategies.iter().map(String::as_str).collect(),
    };
    let made = |name: &&str| strategy(name).ok_or_else(|| (*name).to_owned()).map(Player::new);
    let players = named.iter().map(made).collect::<Result<Vec<Player>, String>>()?;
    let mut going = Going {
        scenario,
        hunt,
        players,
        archive: Archive::default(),
        summary: Summary::default(),
        found: None,
        rounds: 0,
    };
    #[expect(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "a hunt is bounded by the machine's clock; its runs never see it"
    )]
    let started = std::time::Instant::now();
    going.begin_with(&hunt.corpus);
    while going.found.is_none() {
        let took = started.elapsed();
        let left = hunt.runs.map_or(ROUND, |runs| runs.saturating_sub(going.summary.seeds));
        let spent = hunt.events.is_some_and(|most| most <= going.summary.events);
        if left == 0 || spent || hunt.time.is_some_and(|time| time <= took) {
            break;
        }
        going.round(left.min(ROUND));
        progress(going.summary.seeds, took);
    }
    let Going { mut summary, players, archive, found, .. } = going;
    summary.took = started.elapsed();
    let told = |Player { strategy, share, .. }: Player| Share {
        remarks: if share.runs == 0 { Vec::new() } else { strategy.remarks() },
        ..share
    };
    Ok(Hunted { summary, found, shares: players.into_iter().map(told).collect(), archive })
}

struct Going<'a> {
    scenario: &'a dyn Runnable,
    hunt: &'a Hunt,
    players: Vec<Player>,
    archive: Archive,
    summary: Summary,
    found: Option<Found>,
    rounds: u64,
}

impl Going<'_> {
    /// Runs what an earlier hunt left.
    fn begin_with(&mut self, corpus: &[Trial]) {
        for trials in corpus.chunks(ROUND as usize) {
            if self.found.is_none() {
                self.run(trials.to_vec(), None);
            }
        }
    }

    fn round(&mut self, many: u64) {
        self.rounds += 1;
        let which = self.choose();
        let player = &mut self.players[which];
        player.asked = self.rounds;
        let mut trials = Vec::new();
        for _ in 0..many {
            let proposing = Proposing {
                scenario: self.scenario,
                budget: self.scenario.fault_budget(),
                archive: &self.archive,
                base: self.hunt.base,
                index: player.proposed,
            };
            player.proposed += 1;
            trials.push(player.strategy.propose(&proposing));
        }
        self.run(trials, Some(which));
    }

    /// Who is asked next: plain seeds, while they have had less than their share; who has not been
    /// asked for long; or else who found the most lately.
    fn choose(&self) -> usize {
        let all: u64 = self.players.iter().map(|player| player.share.events).sum();
        let plain = self.players.iter().position(|one| one.share.name == uniform::SWARM);
        if let Some(plain) = plain
            && (self.players[plain].share.events * 100 <= all * PLAIN || self.players.len() == 1)
        {
            return plain;
        }
        let others = || (0..self.players.len()).filter(|index| Some(*index) != plain);
        let patience = PATIENCE * self.players.len() as u64;
        let due = |index: &usize| self.players[*index].asked + patience < self.rounds;
        let never = others().find(|index| self.players[*index].share.runs == 0);
        let most = || others().max_by_key(|index| self.players[*index].yields());
        never.or_else(|| others().find(due)).or_else(most).unwrap_or(0)
    }

    /// Runs trials, and takes them in, in order, up to the first that fails.
    fn run(&mut self, trials: Vec<Trial>, by: Option<usize>) {
        let observe = self.scenario.is_observable();
        let trials: Vec<Trial> =
            trials.into_iter().map(|trial| Trial { observe, ..trial }).collect();
        let one = |index: usize| self.scenario.run(&trials[index]);
        let reports = parallel::map(self.hunt.jobs, trials.len(), &one);
        let before: u64 = by.map_or(0, |which| self.players[which].share.events);
        let mut gain = 0;
        for (trial, report) in trials.iter().zip(reports) {
            gain += self.take_in(trial, report, by);
            if self.found.is_some() {
                break;
            }
        }
        if let Some(player) = by.map(|which| &mut self.players[which]) {
            let cost = player.share.events - before;
            let (old, paid) = player.lately;
            player.lately = (old * 7 / 8 + gain * 16, paid * 7 / 8 + cost * 16);
        }
    }

    /// Takes a run in; what its first sights count.
    fn take_in(&mut self, trial: &Trial, report: Report, by: Option<usize>) -> u64 {
        let before = self.archive.states();
        let fresh = self.archive.learn(trial, &report);
        let player = by.map(|which| &mut self.players[which]);
        let mut name = "corpus";
        if let Some(player) = player {
            player.strategy.told(trial, &report, &fresh, &self.archive);
            player.share.runs += 1;
            player.share.events += report.events;
            player.share.states += self.archive.states() - before;
            name = player.share.name;
        }
        let failure = report.failure().filter(|failure| failure.expected.is_none()).cloned();
        self.summary.add(report);
        if let Some(failure) = failure {
            let trial = written(self.scenario, trial);
            self.found = Some(Found { trial, failure, by: name });
        }
        fresh.iter().map(weight).sum()
    }
}
