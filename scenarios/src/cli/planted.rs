//! `seedfall planted`: how many seeds does it take to find a bug that is known to be there?

use super::{Problem, parse_class, parse_time, show};
use crate::case::Case;
use crate::patches::Planted;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

#[derive(Debug, Args)]
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
    /// Plant only patches with this in their name.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How many seeds to try, at most.
    #[arg(long, default_value_t = 2_000, value_name = "N")]
    seeds: u64,
    /// The first of these seeds.
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    from: u64,
    /// How long to sweep for each bug, at most.
    #[arg(long, default_value = "60s", value_parser = parse_time, value_name = "TIME")]
    time: Duration,
    /// Where the head of a patch names classes of faults (`Fault: crash, partition`), sweep once
    /// more without them: a bug that needs them is not found.
    #[arg(long)]
    contrast: bool,
    /// How many threads; without it, one a core.
    #[arg(long, short, value_name = "N")]
    jobs: Option<u32>,
    /// Keep the small run of each bug that is found in this folder, under the name of its patch.
    #[arg(long, value_name = "FOLDER")]
    save_cases: Option<PathBuf>,
}

/// What became of one planted bug.
struct Hunt {
    name: String,
    /// `None`: the project as it is.
    planted: Option<Planted>,
    outcome: Outcome,
    /// What came of it without the faults that it is said to need.
    without: Option<Outcome>,
}

enum Outcome {
    /// How it shows, after how many seeds and seconds.
    Found {
        promise: String,
        property: String,
        seeds: u64,
        seconds: f64,
    },
    Missed {
        seeds: u64,
        seconds: f64,
    },
    Unusable(String),
}

/// Plants each patch in a copy of the project, sweeps, and tells how long it took to find.
pub(super) fn planted(args: &PlantedArgs, json: bool) -> Result<u8, Problem> {
    let mut patches = Planted::read_all(&args.folder)?;
    if let Some(only) = &args.only {
        patches.retain(|patch| patch.name.contains(only.as_str()));
    }
    if patches.is_empty() {
        return Err(Problem(format!("{}: no patch to plant", args.folder.display())));
    }
    let target = args.project.join("target/planted");
    let copy = target.join("copy");
    let runs_in = copy.join(&args.package);
    let scratch = Scratch { project: args.project.clone(), copy, runs_in };
    let bar = ProgressBar::new(patches.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{msg:32} {wide_bar} {pos}/{len}, {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    let scenarios: BTreeSet<String> =
        patches.iter().map(|patch| patch.says("Scenario").to_owned()).collect();
    let mut hunts = Vec::new();
    for scenario in scenarios {
        bar.set_message(format!("{scenario}, as it is"));
        scratch.restore()?;
        let outcome = hunt(args, &scratch, &scenario, &[])?;
        let name = format!("(none) {scenario}");
        hunts.push(Hunt { name, planted: None, outcome, without: None });
    }
    for patch in patches {
        bar.set_message(patch.name.clone());
        scratch.restore()?;
        let mut without = None;
        let outcome = match patch.apply(&args.project) {
            Ok(files) => {
                for (file, text) in files {
                    write_if_changed(&scratch.copy.join(file), text.as_bytes())?;
                }
                let (scenario, needs) = (patch.says("Scenario"), needs(&patch));
                if args.contrast && !needs.is_empty() {
                    without = Some(hunt(args, &scratch, scenario, &needs)?);
                }
                let outcome = hunt(args, &scratch, scenario, &[])?;
                if let (Outcome::Found { .. }, Some(to)) = (&outcome, &args.save_cases) {
                    scratch.save_case(&patch, to)?;
                }
                outcome
            }
            Err(error) => Outcome::Unusable(error.to_string()),
        };
        hunts.push(Hunt { name: patch.name.clone(), planted: Some(patch), outcome, without });
        bar.inc(1);
    }
    bar.finish_and_clear();
    scratch.restore()?;
    tell(&hunts, json);
    let good = hunts.iter().all(|hunt| {
        matches!(
            (&hunt.planted, &hunt.outcome),
            (Some(_), Outcome::Found { .. }) | (None, Outcome::Missed { .. })
        )
    });
    Ok(if good { 0 } else { 4 })
}

/// The classes of faults that a patch is said to need.
fn needs(patch: &Planted) -> Vec<&str> {
    let named = patch.says("Fault").split(',').map(str::trim);
    named.filter(|name| parse_class(name).is_ok()).collect()
}

/// Builds the copy and sweeps one scenario of it, without these faults.
fn hunt(
    args: &PlantedArgs,
    scratch: &Scratch,
    scenario: &str,
    without: &[&str],
) -> Result<Outcome, Problem> {
    let mut command = Command::new("cargo");
    // A case that an earlier bug left behind must not be taken for this one's.
    let _ = fs::remove_dir_all(scratch.cases());
    let seeds = format!("{}..{}", args.from, args.from + args.seeds);
    let time = format!("{}ms", args.time.as_millis());
    command
        .current_dir(&scratch.runs_in)
        .env("CARGO_TARGET_DIR", fs::canonicalize(&scratch.project)?.join("target/planted/build"))
        // Many small builds: quick to build counts for more than quick to run.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_RELEASE_INCREMENTAL", "true")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .args(["run", "--release", "--quiet", "--", "sweep", scenario, "--json"])
        .args(["--seeds", &seeds, "--time", &time, "--save-to", CASES]);
    for class in without {
        command.args(["--without", class]);
    }
    if let Some(jobs) = args.jobs {
        command.args(["--jobs", &jobs.to_string()]);
    }
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(summary) =
        text.lines().next().and_then(|line| serde_json::from_str::<Value>(line).ok())
    else {
        let errors = String::from_utf8_lossy(&output.stderr);
        let first = errors.lines().find(|line| line.starts_with("error")).unwrap_or("no output");
        return Ok(Outcome::Unusable(first.to_owned()));
    };
    let seconds = summary["seconds"].as_f64().unwrap_or_default();
    let failure = &summary["failures"][0];
    Ok(match failure["seed"].as_u64() {
        Some(seed) => Outcome::Found {
            promise: failure["promise"].as_str().unwrap_or_default().to_owned(),
            property: failure["explanation"].as_str().unwrap_or_default().to_owned(),
            seeds: seed + 1 - args.from,
            seconds,
        },
        None => Outcome::Missed { seeds: summary["seeds"].as_u64().unwrap_or_default(), seconds },
    })
}

/// Where a sweep of the copy keeps what fails.
const CASES: &str = "target/seedfall";

/// A copy of a project, in which bugs are planted.
struct Scratch {
    project: PathBuf,
    copy: PathBuf,
    /// Where in the copy `cargo run` is called.
    runs_in: PathBuf,
}

impl Scratch {
    /// Makes the copy equal to the project, touching only what differs, so that builds stay
    /// incremental.
    fn restore(&self) -> Result<(), Problem> {
        mirror(&self.project, &self.copy)
    }

    fn cases(&self) -> PathBuf {
        self.runs_in.join(CASES)
    }

    /// Keeps the case that the last sweep left, with the bug as its note.
    fn save_case(&self, patch: &Planted, to: &Path) -> Result<(), Problem> {
        let kept = fs::read_dir(self.cases())?.filter_map(|file| Some(file.ok()?.path()));
        let is_case = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "json");
        let Some(path) = kept.filter(is_case).min() else {
            return Err(Problem(format!("{}: the sweep kept no case", patch.name)));
        };
        let case: Case = serde_json::from_str(&fs::read_to_string(path)?)?;
        let note = patch.says("Bug").to_owned();
        Case { note, ..case }.save(&to.join(format!("{}.json", patch.name)))?;
        Ok(())
    }
}

fn mirror(from: &Path, to: &Path) -> Result<(), Problem> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let (path, copy) = (entry.path(), to.join(&name));
        if path.is_dir() {
            if name != "target" && name != ".git" {
                mirror(&path, &copy)?;
            }
        } else {
            write_if_changed(&copy, &fs::read(&path)?)?;
        }
    }
    // What the project no longer has: a module that was deleted must not be built.
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        if !from.join(entry.file_name()).exists() && entry.path().is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn write_if_changed(path: &Path, text: &[u8]) -> Result<(), Problem> {
    if fs::read(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    Ok(fs::write(path, text)?)
}

fn tell(hunts: &[Hunt], json: bool) {
    let mut table = show::table(
        &["bug", "found", "by", "what it showed", "seeds", "seconds", "without"],
        &[4, 5],
    );
    for hunt in hunts {
        let planted = hunt.planted.is_some();
        let without = hunt.without.as_ref().map(|outcome| match outcome {
            Outcome::Found { seeds, .. } => format!("{} seeds", show::count(*seeds)),
            Outcome::Missed { seeds, .. } => format!("not in {}", show::count(*seeds)),
            Outcome::Unusable(why) => why.clone(),
        });
        let (found, promise, property, seeds, seconds) = match &hunt.outcome {
            Outcome::Found { promise, property, seeds, seconds } => {
                (true, promise.as_str(), property.as_str(), *seeds, *seconds)
            }
            Outcome::Missed { seeds, seconds } => (false, "", "", *seeds, *seconds),
            Outcome::Unusable(why) => (false, "", why.as_str(), 0, 0.0),
        };
        if json {
            let value = json!({
                "bug": hunt.name,
                "id": hunt.planted.as_ref().map(|patch| patch.says("Id")),
                "breaks": hunt.planted.as_ref().map(|patch| patch.says("Breaks")),
                "found": found, "promise": promise, "explanation": property,
                "seeds": seeds, "seconds": seconds,
                "without": without, "needs": hunt.planted.as_ref().map(needs),
            });
            show::line(&value.to_string());
            continue;
        }
        let unusable = matches!(hunt.outcome, Outcome::Unusable(_));
        let found = match (found, planted) {
            _ if unusable => show::styled(show::BAD, "UNUSABLE"),
            (true, true) => show::styled(show::GOOD, "found"),
            (false, false) => show::styled(show::GOOD, "clean"),
            (true, false) => show::styled(show::BAD, "FALSE ALARM"),
            (false, true) => show::styled(show::BAD, "MISSED"),
        };
        let short: String = property.chars().take(60).collect();
        table.add_row(vec![
            hunt.name.clone(),
            found,
            promise.to_owned(),
            short,
            show::count(seeds),
            format!("{seconds:.2}"),
            without.unwrap_or_default(),
        ]);
    }
    if !json {
        show::line(&table.to_string());
    }
}
