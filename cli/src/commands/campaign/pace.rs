//! How far a campaign is, how fast, and what it has found so far.

use super::clock::Watch;
use super::show;
use indicatif::{ProgressBar, ProgressStyle};
use seedfall::campaign::Runs;
use seedfall::words::{count, counted};
use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::time::Duration;

/// How often a line is printed where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);

pub(super) struct Pace {
    bar: ProgressBar,
    quiet: bool,
    total: Option<u64>,
    time: Option<Duration>,
    started: Watch,
    told: Watch,
    runs: u64,
    events: u64,
    failed: u64,
    kinds: BTreeSet<String>,
}

impl Pace {
    /// Of so many seeds, or of so much time.
    pub(super) fn new(total: Option<u64>, time: Option<Duration>, quiet: bool) -> Self {
        let length = total.or_else(|| time.map(|time| time.as_millis() as u64));
        let bar = match length {
            Some(length) if !quiet && std::io::stderr().is_terminal() => ProgressBar::new(length),
            _ => ProgressBar::hidden(),
        };
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {msg}") {
            bar.set_style(style);
        }
        let (started, told) = (Watch::start(), Watch::start());
        let kinds = BTreeSet::new();
        Self { bar, quiet, total, time, started, told, runs: 0, events: 0, failed: 0, kinds }
    }

    pub(super) fn add(&mut self, runs: &Runs) {
        self.runs += runs.runs();
        self.events += runs.events;
        self.failed += runs.failed;
        if self.kinds.len() < 10_000 {
            let named = |print: &String| format!("{}: {print}", runs.scenario);
            self.kinds.extend(runs.groups.keys().map(named));
        }
    }

    /// Shows how far it is.
    pub(super) fn show(&mut self) {
        let elapsed = self.started.elapsed();
        let position = if self.total.is_some() { self.runs } else { elapsed.as_millis() as u64 };
        self.bar.set_position(position);
        if self.bar.is_hidden() {
            if !self.quiet && EVERY <= self.told.elapsed() {
                self.told = Watch::start();
                show::note(&self.line());
            }
        } else {
            self.bar.set_message(self.line());
        }
    }

    fn line(&self) -> String {
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = self.runs as f64 / seconds.max(1e-3);
        let by_time = self.time.map(|time| time.as_secs_f64() - seconds);
        let by_runs = self.total.map(|total| total.saturating_sub(self.runs) as f64 / rate);
        let left = match (by_time, by_runs) {
            (Some(time), Some(runs)) => Some(time.min(runs)),
            (time, runs) => time.or(runs),
        };
        let left = left.filter(|left| left.is_finite()).map_or_else(String::new, |left| {
            let left = left.max(0.0) as u64;
            format!(", {}:{:02}:{:02} left", left / 3600, left / 60 % 60, left % 60)
        });
        let of = self.total.map(|total| format!(" of {}", count(total))).unwrap_or_default();
        let kinds = self.kinds.len() as u64;
        let failed = match self.failed {
            0 => "no failure".to_owned(),
            failed => format!("{} of {}", counted(failed, "failure"), counted(kinds, "kind")),
        };
        format!(
            "{}{of} runs, {}/s, {} events/s, {failed}{left}",
            count(self.runs),
            show::rate(rate as u64, 1.0),
            show::rate(self.events, seconds),
        )
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
