//! The folder of a campaign, read: what was run, by whom it was run twice, what is missing, and
//! what cannot be used.
//!
//! Lines say ranges of seeds. Some may be there twice: two workers had one shard, or a kill came
//! between a file and its removal. So of all lines a set is chosen that has no seed in common,
//! the longest first; what is left out must agree with what was chosen where both are about the
//! same seeds, which is a check of determinism that costs nothing.

use super::manifest::Manifest;
use super::{Problem, show};
use seedfall::campaign::{Entry, Runs, Shard, Start, decode};
use seedfall::sim::StableHasher;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Complaints that are told one by one, at most.
const TOLD_MOST: usize = 8;

/// The longest line that is read, in bytes: what is longer is not ours.
const LINE_MOST: u64 = 64 << 20;

/// Kinds of failures that are kept of a scenario, those of each unit counted by themselves: some
/// tens of megabytes, however many runs fail.
const KINDS_MOST: usize = 65_536;

/// The pieces of a scenario, while they are read.
#[derive(Debug, Default)]
struct Pieces {
    runs: Vec<Runs>,
    /// The kinds of failures in them, about.
    kinds: usize,
    /// At how many of them there is more than is kept.
    most: usize,
}

/// What a folder has of a campaign.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// By scenario, in order of seeds, no seed twice.
    covers: BTreeMap<String, Vec<Runs>>,
    /// What workers say of themselves, by scenario.
    starts: BTreeMap<String, Start>,
    /// Lines that cannot be used, how many, and the first ones told.
    pub(super) bad: (u64, Vec<String>),
    /// Runs of other builds, by build.
    pub(super) foreign: BTreeMap<String, u64>,
    /// Runs of the same seeds that came to something else.
    pub(super) disagree: Vec<String>,
    /// Runs that were run by more than one worker.
    pub(super) doubled: u64,
}

impl Book {
    /// Reads every line of the folders. Without a manifest, what workers say of themselves is
    /// taken for one.
    pub(super) fn read(
        folders: &[PathBuf],
        manifest: Option<&Manifest>,
    ) -> Result<(Self, Manifest), Problem> {
        let mut files = Vec::new();
        for folder in folders {
            files_of(folder, &mut files)?;
        }
        files.sort();
        let mut book = Self::default();
        let manifest = match manifest {
            Some(manifest) => manifest.clone(),
            None => {
                // Of two builds of a scenario the later one counts.
                let mut by_age = files.clone();
                by_age.sort_by_key(|file| fs::metadata(file).and_then(|data| data.modified()).ok());
                by_age.iter().try_for_each(|file| book.read_start(file))?;
                Manifest::of_starts(&book.starts).ok_or_else(|| {
                    let folder = folders.first().map_or(Path::new("."), PathBuf::as_path);
                    Problem(format!("{}: expected the folder of a campaign", folder.display()))
                })?
            }
        };
        let mut pieces = BTreeMap::new();
        for file in &files {
            book.read_file(file, &manifest, &mut pieces)?;
        }
        for (scenario, pieces) in pieces {
            book.choose(scenario, pieces.runs, &manifest);
        }
        Ok((book, manifest))
    }

    fn read_start(&mut self, path: &Path) -> Result<(), Problem> {
        let Some(file) = open(path)? else { return Ok(()) };
        let mut line = String::new();
        // What cannot be read is told when the runs are.
        if BufReader::new(file).read_line(&mut line).is_ok()
            && let Ok(Entry::Start(start)) = decode(line.trim_end_matches('\n'))
        {
            self.starts.insert(start.about.scenario.clone(), *start);
        }
        Ok(())
    }

    fn read_file(
        &mut self,
        path: &Path,
        manifest: &Manifest,
        pieces: &mut BTreeMap<String, Pieces>,
    ) -> Result<(), Problem> {
        let Some(file) = open(path)? else { return Ok(()) };
        let mut reader = BufReader::new(file);
        let mut bytes = Vec::new();
        for number in 1.. {
            bytes.clear();
            let mut limited = std::io::Read::take(&mut reader, LINE_MOST);
            let read = limited.read_until(b'\n', &mut bytes);
            if read.map_err(|error| cannot(path, &error))? == 0 {
                break;
            }
            let line = bytes.strip_suffix(b"\n");
            let line = line
                .ok_or("cut short")
                .and_then(|line| std::str::from_utf8(line).map_err(|_| "not text"));
            let entry = line.map_err(str::to_owned).and_then(decode);
            match entry {
                Ok(Entry::Start(_)) => {}
                Ok(Entry::Runs(runs)) => self.sort_in(*runs, manifest, pieces),
                Err(why) => self.complain(format!("{}:{number}: {why}", path.display())),
            }
        }
        Ok(())
    }

    fn complain(&mut self, what: String) {
        self.bad.0 += 1;
        if self.bad.1.len() < TOLD_MOST {
            self.bad.1.push(what);
        }
    }

    /// Takes runs among the pieces of their scenario; those that go on where the last ones ended,
    /// in the same unit, are added to them.
    fn sort_in(&mut self, runs: Runs, manifest: &Manifest, pieces: &mut BTreeMap<String, Pieces>) {
        let seeds = manifest.range();
        let build = manifest.build_of(&runs.scenario);
        if build != Some(runs.build.as_str()) {
            let whose = if build.is_some() { &runs.build } else { &runs.scenario }.clone();
            *self.foreign.entry(whose).or_default() += runs.runs();
            return;
        }
        if runs.from < seeds.start || seeds.end < runs.to {
            let (name, range) = (&runs.scenario, runs.seeds());
            return self.complain(format!("{name}: seeds {range:?}, of {seeds:?}"));
        }
        let place = |seed: u64| (seed - seeds.start) / manifest.unit;
        let pieces = pieces.entry(runs.scenario.clone()).or_default();
        pieces.kinds += runs.groups.len();
        match pieces.runs.last_mut() {
            Some(last) if last.to == runs.from && place(last.from) == place(runs.to - 1) => {
                last.add(runs);
            }
            _ => pieces.runs.push(runs),
        }
        if pieces.most.max(2 * KINDS_MOST) < pieces.kinds {
            keep_few(&mut pieces.runs, manifest, KINDS_MOST);
            pieces.kinds = pieces.runs.iter().map(|runs| runs.groups.len()).sum();
            // Two workers may have had the same seeds: then it has more than it keeps.
            pieces.most = pieces.kinds + KINDS_MOST;
        }
    }

    /// Chooses of the pieces of a scenario those that count.
    fn choose(&mut self, scenario: String, mut pieces: Vec<Runs>, manifest: &Manifest) {
        pieces.sort_by_key(|runs| (u64::MAX - (runs.to - runs.from), runs.killed, runs.from));
        let mut chosen: BTreeMap<u64, Runs> = BTreeMap::new();
        let mut left: BTreeMap<u64, Vec<Runs>> = BTreeMap::new();
        for runs in pieces {
            let before = chosen.range(..runs.to).next_back().filter(|(_, one)| runs.from < one.to);
            match before.map(|(from, one)| (*from, one.from <= runs.from && runs.to <= one.to)) {
                None => drop(chosen.insert(runs.from, runs)),
                Some((from, inside)) => {
                    self.doubled += runs.runs();
                    // What lies across is neither added nor compared: its seeds are there, or are
                    // missing and run anew.
                    if inside {
                        left.entry(from).or_default().push(runs);
                    }
                }
            }
        }
        for (from, left) in left {
            self.compare(&chosen[&from], left);
        }
        let mut cover: Vec<Runs> = Vec::new();
        for (_, runs) in chosen {
            let place = |seed: u64| (seed - manifest.from) / manifest.unit;
            match cover.last_mut() {
                Some(last) if last.to == runs.from && place(last.from) == place(runs.to - 1) => {
                    last.add(runs);
                }
                _ => cover.push(runs),
            }
        }
        keep_few(&mut cover, manifest, KINDS_MOST);
        self.covers.insert(scenario, cover);
    }

    /// Compares runs with others of the same seeds, where those are all of them.
    fn compare(&mut self, runs: &Runs, mut left: Vec<Runs>) {
        left.sort_by_key(|one| (one.from, u64::MAX - one.to));
        let (mut sum, mut rest) = (Runs::default(), Vec::new());
        for one in left {
            let fits = if sum.from == sum.to { one.from == runs.from } else { one.from == sum.to };
            if fits {
                if sum.from == sum.to {
                    (sum.scenario, sum.build) = (one.scenario.clone(), one.build.clone());
                }
                sum.add(one);
            } else {
                rest.push(one);
            }
            if sum.from < sum.to && sum.to == runs.to {
                let other = comparable(std::mem::take(&mut sum), runs);
                let known = comparable(runs.clone(), &other);
                // Whom a machine took down says nothing of the run.
                if other != known && other.killed + known.killed == 0 {
                    self.disagree.push(format!(
                        "{}: the seeds {:?} came to {} and {} (hashes {} and {})",
                        runs.scenario,
                        runs.seeds(),
                        words(&known),
                        words(&other),
                        known.hash,
                        other.hash
                    ));
                }
            }
        }
        // Three workers may have had it.
        if rest.iter().any(|one| one.from == runs.from) {
            self.compare(runs, rest);
        }
    }

    /// Adds what a worker of this process has done.
    pub(super) fn add(&mut self, manifest: &Manifest, done: Vec<Runs>) {
        let Some(scenario) = done.first().map(|runs| runs.scenario.clone()) else { return };
        let mut pieces = self.covers.remove(&scenario).unwrap_or_default();
        pieces.extend(done);
        self.choose(scenario, pieces, manifest);
    }

    /// What there is of a scenario, in order of seeds.
    pub(super) fn cover(&self, scenario: &str) -> &[Runs] {
        self.covers.get(scenario).map_or(&[], Vec::as_slice)
    }

    /// Everything that there is.
    pub(super) fn all(&self) -> impl Iterator<Item = &Runs> {
        self.covers.values().flatten()
    }

    /// The sum of a scenario.
    pub(super) fn total(&self, manifest: &Manifest, scenario: &str) -> Runs {
        let mut total = Runs {
            scenario: scenario.to_owned(),
            build: manifest.build_of(scenario).unwrap_or_default().to_owned(),
            from: manifest.from,
            to: manifest.from,
            hash: format!("{:#018x}", 0),
            ..Runs::default()
        };
        self.cover(scenario).iter().for_each(|runs| total.add(runs.clone()));
        total
    }

    /// The ranges of a scenario that were run, adjoining ones as one.
    pub(super) fn ranges(&self, scenario: &str) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for runs in self.cover(scenario) {
            match ranges.last_mut() {
                Some(last) if last.end == runs.from => last.end = runs.to,
                _ => ranges.push(runs.seeds()),
            }
        }
        ranges
    }

    /// What of these ranges was not run.
    pub(super) fn missing(
        &self,
        scenario: &str,
        wanted: impl Iterator<Item = Range<u64>>,
    ) -> Vec<Range<u64>> {
        let cover = self.cover(scenario);
        let mut missing = Vec::new();
        for range in wanted {
            let mut from = range.start;
            let first = cover.partition_point(|runs| runs.to <= range.start);
            for runs in cover[first..].iter().take_while(|runs| runs.from < range.end) {
                if from < runs.from {
                    missing.push(from..runs.from);
                }
                from = runs.to;
            }
            if from < range.end {
                missing.push(from..range.end);
            }
        }
        missing
    }

    /// What of a shard was not run, as far as the campaign says what it has: none where time
    /// alone bounds it.
    pub(super) fn gaps(&self, manifest: &Manifest, shard: Shard) -> Vec<(String, Range<u64>)> {
        if manifest.seeds.is_none() {
            return Vec::new();
        }
        let of = |name: &str| {
            let missing = self.missing(name, manifest.units(name, shard));
            missing.into_iter().map(|range| (name.to_owned(), range)).collect::<Vec<_>>()
        };
        manifest.names().flat_map(of).collect()
    }

    /// Tells what could not be used.
    pub(super) fn tell(&self) {
        let (bad, told) = &self.bad;
        told.iter().for_each(|what| show::warning(what));
        if told.len() as u64 * 2 < bad + told.len() as u64 {
            show::warning(&format!("{} lines in all cannot be used", show::count(*bad)));
        }
        for (whose, runs) in &self.foreign {
            let runs = seedfall::words::counted(*runs, "run");
            show::warning(&format!("{runs} of another build or scenario do not count: {whose}"));
        }
        self.disagree.iter().for_each(|what| show::error(what));
    }
}

/// What two workers must agree on: not how long it took; nor, where one of them had too many kinds
/// of failures to keep, which those are.
fn comparable(runs: Runs, other: &Runs) -> Runs {
    let mut runs = Runs { busy: 0, ..runs };
    if runs.beyond + other.beyond > 0 {
        (runs.groups, runs.beyond) = (BTreeMap::new(), 1);
    }
    runs
}

/// Keeps of the kinds of failures in each unit so many in all; of the others, only in how many runs
/// there were any. Which are kept is decided by a hash of kind and unit: they are spread over both,
/// and they are the same ones however the seeds were cut and in whatever order they were read,
/// since the least of a sum are among the least of its parts.
fn keep_few(pieces: &mut [Runs], manifest: &Manifest, most: usize) {
    if pieces.iter().map(|runs| runs.groups.len()).sum::<usize>() <= most {
        return;
    }
    let hash = |from: u64, print: &str| {
        StableHasher::hash(&((from - manifest.from) / manifest.unit, print))
    };
    let each = pieces.iter().flat_map(|runs| {
        let from = runs.from;
        runs.groups.keys().map(move |print| hash(from, print))
    });
    let mut hashes: Vec<u64> = each.collect();
    hashes.sort_unstable();
    hashes.dedup();
    let Some(first_left_out) = hashes.get(most).copied() else { return };
    for runs in pieces {
        let (from, beyond) = (runs.from, &mut runs.beyond);
        runs.groups.retain(|print, group| {
            let kept = hash(from, print) < first_left_out;
            *beyond += if kept { 0 } else { group.runs };
            kept
        });
    }
}

fn words(runs: &Runs) -> String {
    format!("{} passed, {} failed", runs.passed, runs.failed)
}

/// Opens a file that may be at work: a worker that has ended gives it its name without `.part`, a
/// coordinator that has its lines removes it.
fn open(path: &Path) -> Result<Option<File>, Problem> {
    let is_gone = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
    let opened = File::open(path).or_else(|error| match is_gone(&error) {
        true => File::open(path.with_extension("")),
        false => Err(error),
    });
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(cannot(path, &error)),
    }
}

fn cannot(path: &Path, error: &std::io::Error) -> Problem {
    Problem(format!("{}: {error}", path.display()))
}

/// The files with lines of a folder, and of the folders in it that a campaign makes.
fn files_of(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Problem> {
    let entries = fs::read_dir(folder).map_err(|error| cannot(folder, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| cannot(folder, &error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if ["parts", "shards"].contains(&name.as_str()) {
                files_of(&path, files)?;
            }
        } else if name.ends_with(".jsonl") || name.ends_with(".jsonl.part") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedfall::campaign::{Group, encode};
    use std::num::NonZeroU64;

    const UNIT: u64 = 2_048;
    const UNITS: u64 = 64;
    const KINDS: u64 = 10_000;

    fn manifest() -> Manifest {
        let build = ("build".to_owned(), String::new());
        let manifest = Manifest::new(Vec::new(), build, (7, Some(UNIT * UNITS)), Vec::new());
        Manifest { unit: NonZeroU64::new(UNIT).expect("not zero"), ..manifest }
    }

    /// Half a unit in which every run failed, each of a kind that its seed decides.
    fn half(place: u64) -> Runs {
        let from = 7 + place * UNIT / 2;
        let to = from + UNIT / 2;
        let group = |seed: u64| Group {
            runs: 1,
            seed,
            event: seed % 100,
            faults: 1,
            kind: "safety".to_owned(),
            property: "one".to_owned(),
            told: "what is wrong".repeat(20),
        };
        let kind = |seed: u64| (format!("kind {}", seed * 7_919 % KINDS), group(seed));
        let hash = "0x0000000000000001".to_owned();
        let (scenario, failed) = ("one".to_owned(), UNIT / 2);
        let groups = (from..to).map(kind).collect();
        Runs { scenario, from, to, failed, hash, groups, ..Runs::default() }
    }

    /// A book to which the halves were added in this order, so many at a time.
    fn book(halves: impl Iterator<Item = u64>, at_a_time: usize) -> Book {
        let (manifest, mut book) = (manifest(), Book::default());
        let mut halves = halves.peekable();
        while halves.peek().is_some() {
            let some = halves.by_ref().take(at_a_time).map(half).collect();
            book.add(&manifest, some);
        }
        book
    }

    #[test]
    fn what_is_kept_of_failures_is_bounded_and_the_same_in_any_order() {
        let all = UNITS * 2;
        let one = book(0..all, 32);
        let cover = one.cover("one");
        let kept: usize = cover.iter().map(|runs| runs.groups.len()).sum();
        assert_eq!((cover.len() as u64, kept), (UNITS, KINDS_MOST));
        let counted: u64 = cover
            .iter()
            .map(|runs| runs.beyond + runs.groups.values().map(|group| group.runs).sum::<u64>())
            .sum();
        assert_eq!(counted, UNIT * UNITS, "each run counts, and once");
        let line = |runs: &Runs| encode(&Entry::Runs(Box::new(runs.clone()))).len();
        let bytes: usize = cover.iter().map(line).sum();
        assert!(bytes < KINDS_MOST * 512, "{bytes}");
        // Backwards, and the halves of all units before the others.
        assert!(one.cover("one") == book((0..all).rev(), 48).cover("one"));
        let mixed = (0..all).step_by(2).chain((1..all).step_by(2));
        assert!(one.cover("one") == book(mixed, 56).cover("one"));
    }
}
