//! `seedfall planted`: how many seeds does it take to find a bug that is known to be there?

mod scratch;
mod small;

use super::{Problem, parse_time, show};
use crate::museum::Small;
use crate::patches::{Contrast, Planted};
use anstyle::Style;
use clap::Args;
use comfy_table::Cell;
use indicatif::{ProgressBar, ProgressStyle};
#[cfg(feature = "mutants")]
pub(super) use scratch::mirror;
use scratch::{Scratch, answer};
use seedfall::faults::Class;
use seedfall::run::Runnable;
use seedfall::scenario::Expectation;
use seedfall::words::counted;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

/// What a patch looks like.
const PATCHES: &str = "\
A patch, FOLDER/NAME.patch, is a unified diff of the project behind a header:
  Bug: what is wrong, in a sentence
  Source: where it was seen
  Breaks: what it breaks, in a word or two
  Scenario: the scenario that finds it
and, where it helps:
  Id: RAFT-21                          a short name
  Fault: partition without flap, clog; pause; slow alone
                                       for --contrast: classes of faults that it needs, each for
                                       itself; behind `without`, those that would do as well
  Seeds: 20000                         how many seeds looking for it takes, if more than --seeds
  Elsewhere: TLC: 3 s, 8, 3,534        what another search took, for `scoreboard`

  --- a/src/lock.rs
  +++ b/src/lock.rs
  @@ ...

Exit codes: 0 each was found, and the project as it is has none; 2 bad input; 4 not so.";

#[derive(Debug, Args)]
#[command(after_help = PATCHES)]
pub(super) struct PlantedArgs {
    /// The folder of the patches.
    #[arg(default_value = "tests/planted")]
    folder: PathBuf,
    /// The project to plant them in.
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    project: PathBuf,
    /// The folder in the project whose `cargo run` takes the commands of this program.
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    package: PathBuf,
    /// Features of the package to build it with, as `cargo --features` takes them.
    #[arg(long, value_name = "LIST")]
    features: Option<String>,
    /// Plant only patches with this in their name.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How many seeds to try, at most; without it, as many as the time allows.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// The first of these seeds.
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    from: u64,
    /// How long to sweep for each bug, at most.
    #[arg(long, default_value = "60s", value_parser = parse_time, value_name = "TIME")]
    time: Duration,
    /// In how many ranges of seeds to look for each bug: this one, and as many after it (without
    /// --seeds, a million million apart). What is told is the median; a range in which it was not
    /// found counts as the longest.
    #[arg(long, default_value = "1", value_name = "N")]
    ranges: NonZeroU64,
    /// For each class of faults that the head of a patch names, sweep with it and without it as
    /// well: a bug that needs it is not found without. What is measured is added to this file, a
    /// line of JSON each. (`Fault: drift; pause without slow, stall`: neither sweep of the second
    /// pair has the two classes that do what a pause does.)
    #[arg(long, value_name = "FILE")]
    contrast: Option<PathBuf>,
    /// A program of this project in which all these bugs are planted at once, each for the name of
    /// its patch in the environment variable `SEEDFALL_PLANTED` alone: it is run in the place of a
    /// copy that is built for each bug.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Hunt with `chaos`, so long each time, in the place of simulated runs: the faults of each
    /// seed are done to real processes.
    #[arg(long, value_parser = parse_time, value_name = "TIME",
          conflicts_with_all = ["contrast", "save_cases"])]
    chaos: Option<Duration>,
    /// How many threads; without it, one a core.
    #[arg(long, short, value_name = "N")]
    jobs: Option<u32>,
    /// Make the first failing run of each bug small, measure it, and look for its point of no
    /// return.
    #[arg(long)]
    shrink: bool,
    /// As --shrink, and keep the small run in this folder, under the name of its patch.
    #[arg(long, value_name = "FOLDER")]
    save_cases: Option<PathBuf>,
}

impl PlantedArgs {
    fn shrinks(&self) -> bool {
        // Real processes have no run that could be made small.
        self.chaos.is_none() && (self.shrink || self.save_cases.is_some())
    }

    /// How many seeds a range has.
    fn range(&self) -> u64 {
        self.seeds.unwrap_or(RANGE)
    }

    /// How many seeds a range has for a bug whose head may say that it takes more.
    fn range_for(&self, patch: &Planted) -> Result<u64, Problem> {
        Ok(self.range().max(patch.seeds()?))
    }

    /// The number of threads, for a command of the copy.
    fn jobs(&self) -> Vec<String> {
        self.jobs.iter().flat_map(|jobs| ["--jobs".to_owned(), jobs.to_string()]).collect()
    }
}

/// How many seeds a range has if nobody says: more than there is time for.
const RANGE: u64 = 1_000_000_000_000;

/// What became of one planted bug.
struct Hunt {
    name: String,
    /// `None`: the project as it is.
    planted: Option<Planted>,
    /// With which faults left out, beside which one: for a contrast.
    contrast: Option<Contrast>,
    found: Found,
    /// What came of it without the fault that it is said to need.
    without: Option<Found>,
    /// Its smallest run.
    small: Option<Small>,
}

impl Hunt {
    /// A bug is found, and without the fault that it needs it is not; the project as it is, is
    /// clean.
    fn is_good(&self) -> bool {
        let found = matches!(self.found.median(), Outcome::Found { .. });
        let missed = |found: &Found| found.all(|one| matches!(one, Outcome::Missed { .. }));
        match self.planted {
            Some(_) => found && self.without.as_ref().is_none_or(missed),
            None => missed(&self.found),
        }
    }
}

/// What came of each range of seeds.
struct Found(Vec<Outcome>);

enum Outcome {
    /// How it shows, after how many seeds and seconds.
    Found {
        property: String,
        explanation: String,
        /// The seed that shows it.
        seed: u64,
        seeds: u64,
        seconds: f64,
    },
    Missed {
        seeds: u64,
        seconds: f64,
    },
    Unusable(String),
}

impl Outcome {
    /// The sooner a bug is found the less; what could not be measured comes last.
    fn rank(&self) -> (u8, u64) {
        match self {
            Self::Found { seeds, .. } => (0, *seeds),
            Self::Missed { seeds, .. } => (1, *seeds),
            Self::Unusable(_) => (2, 0),
        }
    }

    fn figures(&self) -> Value {
        match self {
            Self::Found { seeds, seconds, .. } => {
                json!({ "found": true, "seeds": seeds, "seconds": seconds })
            }
            Self::Missed { seeds, seconds } => {
                json!({ "found": false, "seeds": seeds, "seconds": seconds })
            }
            Self::Unusable(_) => json!({ "found": false, "seeds": 0, "seconds": 0.0 }),
        }
    }
}

impl Found {
    fn all(&self, is_so: impl Fn(&Outcome) -> bool) -> bool {
        self.0.iter().all(is_so)
    }

    /// The middle one, or one that could not be measured.
    fn median(&self) -> &Outcome {
        let mut ranked: Vec<&Outcome> = self.0.iter().collect();
        ranked.sort_by_key(|outcome| outcome.rank());
        match ranked.last() {
            Some(last @ Outcome::Unusable(_)) => last,
            _ => ranked[ranked.len() / 2],
        }
    }

    fn figures(&self) -> Value {
        let mut value = self.median().figures();
        value["ranges"] = self.0.iter().map(Outcome::figures).collect();
        value
    }
}

/// Plants each patch in a copy of the project, sweeps, and tells how long it took to find.
pub(super) fn planted(
    scenarios: &[Box<dyn Runnable>],
    args: &PlantedArgs,
    json: bool,
) -> Result<u8, Problem> {
    let mut patches = Planted::read_all(&args.folder)?;
    if let Some(only) = &args.only {
        patches.retain(|patch| patch.name.contains(only.as_str()));
    }
    if patches.is_empty() {
        return Err(Problem(format!("{}: no patch to plant", args.folder.display())));
    }
    let mut scratch = Scratch::of(&args.project, &args.package, args.binary.as_deref())?;
    scratch.features.clone_from(&args.features);
    scratch.controls = controls(scenarios);
    let bar = ProgressBar::new(patches.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{msg:32} {wide_bar} {pos}/{len}, {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    scratch.restore()?;
    let mut hunts = as_it_is(args, &scratch, &patches, &bar)?;
    tell_at_once(&hunts, args, json)?;
    for patch in patches {
        bar.set_message(patch.name.clone());
        scratch.restore()?;
        scratch.plant(&patch.name);
        let new = plant(args, &scratch, patch)?;
        tell_at_once(&new, args, json)?;
        hunts.extend(new);
        bar.inc(1);
    }
    bar.finish_and_clear();
    scratch.restore()?;
    if !json {
        tell(&hunts);
    }
    Ok(if hunts.iter().all(Hunt::is_good) { 0 } else { 4 })
}

/// Sweeps the scenarios that the patches name without any bug; not those that are to fail.
fn as_it_is(
    args: &PlantedArgs,
    scratch: &Scratch,
    patches: &[Planted],
    bar: &ProgressBar,
) -> Result<Vec<Hunt>, Problem> {
    let controls = &scratch.controls;
    let scenarios: BTreeSet<&str> = patches
        .iter()
        .map(|patch| patch.says("Scenario"))
        .filter(|name| !controls.iter().any(|one| one == name))
        .collect();
    let mut hunts = Vec::new();
    for scenario in scenarios {
        bar.set_message(format!("{scenario}, as it is"));
        let key =
            format!("{scenario} {} {} {:?} {:?}", args.from, args.range(), args.time, args.chaos);
        let found = match scratch.known_clean(&key) {
            Some((seeds, seconds)) => Outcome::Missed { seeds, seconds },
            None => hunt(args, scratch, scenario, (args.from, args.range()), &[])?,
        };
        if let Outcome::Missed { seeds, seconds } = found {
            scratch.note_clean(&key, (seeds, seconds))?;
        }
        let found = Found(vec![found]);
        let name = format!("(none) {scenario}");
        hunts.push(Hunt { name, planted: None, contrast: None, found, without: None, small: None });
    }
    Ok(hunts)
}

/// The scenarios whose properties are expected to break.
fn controls(scenarios: &[Box<dyn Runnable>]) -> Vec<String> {
    let is_control =
        |scenario: &&dyn Runnable| matches!(scenario.expect(), Expectation::Violates { .. });
    let controls = scenarios.iter().map(AsRef::as_ref).filter(is_control);
    controls.map(|scenario| scenario.name().to_owned()).collect()
}

/// Plants one bug in the copy, and looks for it.
fn plant(args: &PlantedArgs, scratch: &Scratch, patch: Planted) -> Result<Vec<Hunt>, Problem> {
    let contrasts = if args.contrast.is_some() { patch.contrasts()? } else { Vec::new() };
    let files = match patch.apply(&args.project) {
        Ok(files) => files,
        Err(error) => {
            let found = Found(vec![Outcome::Unusable(error.to_string())]);
            let name = patch.name.clone();
            let planted = Some(patch);
            return Ok(vec![Hunt {
                name,
                planted,
                contrast: None,
                found,
                without: None,
                small: None,
            }]);
        }
    };
    for (file, text) in files {
        scratch.write(&file, text.as_bytes())?;
    }
    let seeds = args.range_for(&patch)?;
    let ranges = |without: &[Class]| -> Result<Found, Problem> {
        let range = |from| hunt(args, scratch, patch.says("Scenario"), (from, seeds), without);
        let turns = (0..args.ranges.get()).map(|turn| args.from + turn * seeds);
        Ok(Found(turns.map(range).collect::<Result<_, _>>()?))
    };
    let hunt = |contrast, found, without| Hunt {
        name: patch.name.clone(),
        planted: Some(patch.clone()),
        contrast,
        found,
        without,
        small: None,
    };
    let found = ranges(&[])?;
    let seed = found.0.iter().find_map(|outcome| match outcome {
        Outcome::Found { seed, .. } => Some(*seed),
        Outcome::Missed { .. } | Outcome::Unusable(_) => None,
    });
    // What cannot be measured is said, and does not end a run that may have taken an hour.
    let small = seed.filter(|_| args.shrinks()).and_then(|seed| {
        let small = small::measure(args, scratch, &patch, seed);
        small.inspect_err(|Problem(why)| show::error(why)).ok()
    });
    let mut hunts = vec![Hunt { small, ..hunt(None, found, None) }];
    for contrast in contrasts {
        let with = ranges(&contrast.beside)?;
        let less = [contrast.beside.as_slice(), &[contrast.class]].concat();
        hunts.push(hunt(Some(contrast), with, Some(ranges(&less)?)));
    }
    Ok(hunts)
}

/// Builds the copy and sweeps one scenario of it over one range, without these faults.
fn hunt(
    args: &PlantedArgs,
    scratch: &Scratch,
    scenario: &str,
    (from, seeds): (u64, u64),
    without: &[Class],
) -> Result<Outcome, Problem> {
    if let Some(each) = args.chaos {
        return hunt_for_real(args, scratch, scenario, from, each);
    }
    let seeds = format!("{from}..{}", from.saturating_add(seeds));
    let time = format!("{}ms", args.time.as_millis());
    let mut command = scratch.command()?;
    // A failing run is made small later, if at all, and once.
    command.args(["sweep", scenario, "--json", "--no-shrink", "--seeds", &seeds, "--time", &time]);
    command.args(args.jobs());
    for class in without {
        command.args(["--without", class.name()]);
    }
    let summary = match answer(&mut command)? {
        Ok(summary) => summary,
        Err(why) => return Ok(Outcome::Unusable(why)),
    };
    let seconds = summary["seconds"].as_f64().unwrap_or_default();
    // A scenario whose property is expected to break shows the bug by breaking it. That one blocks
    // as it must shows nothing.
    let failure = match &summary["failures"][0] {
        Value::Null if scratch.controls.iter().any(|one| one == scenario) => {
            &summary["expected"][0]["first"]
        }
        failure => failure,
    };
    Ok(match failure["seed"].as_u64() {
        Some(seed) => Outcome::Found {
            property: failure["property"].as_str().unwrap_or_default().to_owned(),
            explanation: failure["explanation"].as_str().unwrap_or_default().to_owned(),
            seed,
            seeds: seed + 1 - from,
            seconds,
        },
        None => Outcome::Missed { seeds: summary["seeds"].as_u64().unwrap_or_default(), seconds },
    })
}

/// Builds the copy, and lets chaos loose on its processes, seed after seed. A scenario is named
/// after the protocol that it is about.
fn hunt_for_real(
    args: &PlantedArgs,
    scratch: &Scratch,
    scenario: &str,
    from: u64,
    each: Duration,
) -> Result<Outcome, Problem> {
    let protocol = scenario.split('-').next().unwrap_or(scenario);
    let time = format!("{}ms", each.as_millis());
    let (mut seconds, mut seeds) = (0.0, 0);
    while seeds < args.range() && seconds < args.time.as_secs_f64() {
        let seed = from + seeds;
        let mut command = scratch.command()?;
        command.args(["chaos", protocol, "--for", &time, "--seed", &seed.to_string(), "--json"]);
        let report = match answer(&mut command)? {
            Ok(report) => report,
            Err(why) => return Ok(Outcome::Unusable(why)),
        };
        seeds += 1;
        seconds += report["seconds"].as_f64().unwrap_or_default();
        let text = |field: &str| report[field].as_str().unwrap_or_default().to_owned();
        // A broken property, or a node that died of an assertion.
        if matches!(report["code"].as_u64(), Some(1 | 5)) {
            let (property, explanation) = (text("verdict"), text("reason"));
            return Ok(Outcome::Found { property, explanation, seed, seeds, seconds });
        }
    }
    Ok(Outcome::Missed { seeds, seconds })
}

fn console_is_there() -> bool {
    use std::io::IsTerminal as _;
    std::io::stderr().is_terminal()
}

/// What a long run has measured is not lost if it is broken off.
fn tell_at_once(hunts: &[Hunt], args: &PlantedArgs, json: bool) -> Result<(), Problem> {
    for hunt in hunts {
        match (&hunt.contrast, &args.contrast) {
            (Some(_), Some(to)) => {
                let mut file = fs::OpenOptions::new().create(true).append(true).open(to)?;
                writeln!(file, "{}", as_json(hunt))?;
            }
            _ if json => show::json(&as_json(hunt)),
            // Where there is no bar to be seen, a long run would else say nothing for an hour.
            _ if !console_is_there() => show::raw(&row(hunt).1.join("  ")),
            _ => {}
        }
    }
    Ok(())
}

fn tell(hunts: &[Hunt]) {
    let header = ["bug", "found", "by", "what it showed", "seeds", "seconds", "without"];
    let mut table = show::table(&header, &[4, 5]);
    for hunt in hunts {
        let (style, cells) = row(hunt);
        let mut cells: Vec<Cell> = cells.into_iter().map(Cell::new).collect();
        cells[1] = show::cell(style, &cells[1].content());
        table.add_row(cells);
    }
    show::raw(&show::fitted(table, &[3, 5]));
}

fn as_json(hunt: &Hunt) -> Value {
    if let (Some(contrast), Some(without)) = (&hunt.contrast, &hunt.without) {
        return json!({
            "bug": hunt.name, "fault": contrast.class, "beside": contrast.beside,
            "with": hunt.found.figures(), "without": without.figures(),
        });
    }
    let (property, explanation) = match hunt.found.median() {
        Outcome::Found { property, explanation, .. } => (property.as_str(), explanation.as_str()),
        Outcome::Missed { .. } => ("", ""),
        Outcome::Unusable(why) => ("", why.as_str()),
    };
    let mut value = hunt.found.figures();
    let said = |word| hunt.planted.as_ref().map(|patch| patch.says(word));
    value["bug"] = json!(hunt.name);
    value["id"] = json!(said("Id"));
    value["breaks"] = json!(said("Breaks"));
    value["property"] = json!(property);
    value["explanation"] = json!(explanation);
    value["small"] = json!(hunt.small);
    value
}

fn row(hunt: &Hunt) -> (Style, Vec<String>) {
    let without = hunt.without.as_ref().map(|found| match found.median() {
        Outcome::Found { seeds, .. } => counted(*seeds, "seed"),
        Outcome::Missed { seeds, .. } => format!("not in {}", show::count(*seeds)),
        Outcome::Unusable(why) => why.clone(),
    });
    let (property, explanation, seeds, seconds) = match hunt.found.median() {
        Outcome::Found { property, explanation, seeds, seconds, .. } => {
            (property.as_str(), explanation.as_str(), *seeds, *seconds)
        }
        Outcome::Missed { seeds, seconds } => ("", "", *seeds, *seconds),
        Outcome::Unusable(why) => ("", why.as_str(), 0, 0.0),
    };
    let (style, found) = match (hunt.found.median(), &hunt.planted) {
        (Outcome::Unusable(_), _) => (show::BAD, "UNUSABLE"),
        (Outcome::Found { .. }, Some(_)) => (show::GOOD, "found"),
        (Outcome::Missed { .. }, None) => (show::GOOD, "clean"),
        (Outcome::Found { .. }, None) => (show::BAD, "FALSE ALARM"),
        (Outcome::Missed { .. }, Some(_)) => (show::BAD, "MISSED"),
    };
    let name = match &hunt.contrast {
        Some(contrast) => format!("{} by {contrast}", hunt.name),
        None => hunt.name.clone(),
    };
    let short: String = explanation.chars().take(60).collect();
    let (property, without) = (property.to_owned(), without.unwrap_or_default());
    let (found, seconds) = (found.to_owned(), format!("{seconds:.2}"));
    (style, vec![name, found, property, short, show::count(seeds), seconds, without])
}
