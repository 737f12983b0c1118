//! Rounds of child processes, and what their CPU time comes to.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use seedfall_bench::workload::{Done, Workload};
use std::env;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Who does a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// This project.
    Seedfall,
    /// madsim 0.2.34.
    Madsim,
    /// turmoil 0.7.2.
    Turmoil,
}

/// One engine's part in a workload: how much of it a child process does.
#[derive(Clone, Copy, Debug)]
struct Part {
    workload: Workload,
    engine: Engine,
    /// Round trips, virtual milliseconds, simulations, lives of a cluster, episodes.
    size: u64,
}

/// What one engine did in a workload.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Which workload.
    pub workload: Workload,
    /// Which engine.
    pub engine: Engine,
    /// CPU nanoseconds per event: the median of the rounds.
    pub median: f64,
    /// The least of the rounds.
    pub least: f64,
    /// The most.
    pub most: f64,
    /// What a child did; the same in every round.
    pub done: Done,
}

const fn part(workload: Workload, engine: Engine, size: u64) -> Part {
    Part { workload, engine, size }
}

/// Chosen so that each process takes between a fifth of a second and two.
const PARTS: [Part; 25] = [
    part(Workload::W1, Engine::Seedfall, 4_000_000),
    part(Workload::W1, Engine::Madsim, 200_000),
    part(Workload::W1, Engine::Turmoil, 100_000),
    part(Workload::W3, Engine::Seedfall, 20_000),
    part(Workload::W3, Engine::Madsim, 4_000),
    part(Workload::W3, Engine::Turmoil, 4_000),
    part(Workload::W4, Engine::Seedfall, 1_000_000),
    part(Workload::W4, Engine::Madsim, 100_000),
    part(Workload::W4, Engine::Turmoil, 20_000),
    part(Workload::W5, Engine::Seedfall, 60),
    part(Workload::W5, Engine::Madsim, 15),
    part(Workload::W5, Engine::Turmoil, 6),
    part(Workload::P1, Engine::Seedfall, 400_000),
    part(Workload::P1, Engine::Madsim, 400_000),
    part(Workload::P1, Engine::Turmoil, 40_000),
    part(Workload::P2, Engine::Seedfall, 80_000),
    part(Workload::P2, Engine::Madsim, 80_000),
    part(Workload::P2, Engine::Turmoil, 8_000),
    part(Workload::P3, Engine::Seedfall, 500),
    part(Workload::P3, Engine::Madsim, 20_000),
    part(Workload::P3, Engine::Turmoil, 10_000),
    part(Workload::P4, Engine::Seedfall, 200_000),
    part(Workload::P4, Engine::Madsim, 500_000),
    part(Workload::P4, Engine::Turmoil, 100),
    part(Workload::R, Engine::Seedfall, 4_000),
];

/// Runs the workloads that are asked for; all if none is named.
///
/// # Errors
/// A sentence: what could not be built, started or read.
pub fn run(rounds: u32, only: &[Workload]) -> Result<Vec<Figure>, String> {
    let is_asked = |part: &&Part| only.is_empty() || only.contains(&part.workload);
    let parts: Vec<Part> = PARTS.iter().filter(is_asked).copied().collect();
    let this = env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let needs_madsim = parts.iter().any(|part| part.engine == Engine::Madsim);
    let madsim = if needs_madsim { build_madsim(&this)? } else { PathBuf::new() };
    let programs = match parts.iter().any(is_program) {
        true => build_programs(&this)?,
        false => PathBuf::new(),
    };
    let mut spent = vec![Vec::new(); parts.len()];
    let mut done = vec![Done::default(); parts.len()];
    for round in 0..rounds {
        for (at, part) in parts.iter().enumerate() {
            let Part { workload, engine, .. } = part;
            progress(&format!("round {} of {rounds}: {workload:?} {engine:?}", round + 1));
            let (nanos, did) = measure(&this, [&madsim, &programs], part)?;
            if round > 0 && did != done[at] {
                return Err(format!("{part:?} did {did:?} now and {:?} before", done[at]));
            }
            done[at] = did;
            spent[at].push(nanos / did.events as f64);
        }
    }
    progress("");
    let figures = parts.iter().zip(spent).zip(done);
    Ok(figures.map(|((part, spent), done)| Figure::new(part, spent, done)).collect())
}

impl Figure {
    fn new(part: &Part, mut spent: Vec<f64>, done: Done) -> Self {
        spent.sort_by(f64::total_cmp);
        let middle = (spent[(spent.len() - 1) / 2] + spent[spent.len() / 2]) / 2.0;
        let Part { workload, engine, .. } = *part;
        let (least, most) = (spent[0], spent[spent.len() - 1]);
        Self { workload, engine, median: middle, least, most, done }
    }
}

/// madsim simulates only where everything is compiled with `--cfg madsim`, so its processes are
/// another program, built here on demand, beside this one.
fn build_madsim(this: &Path) -> Result<PathBuf, String> {
    let release = this.parent().ok_or("this program lies nowhere")?;
    let target = release.join("madsim");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let flags = env::var("RUSTFLAGS").unwrap_or_default() + " --cfg madsim";
    eprintln!("building the processes of madsim, in {}", target.display());
    let status = Command::new(cargo)
        .args(["build", "--release", "--quiet", "--locked", "--no-default-features"])
        .args(["--features", "peer-madsim", "--bin", "madsim-peer"])
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .env("RUSTFLAGS", flags)
        .status()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    if !status.success() {
        return Err("madsim's processes cannot be built".to_owned());
    }
    Ok(target.join("release").join("madsim-peer"))
}

/// Whether a part is one of programs in the simulated Linux.
fn is_program(part: &Part) -> bool {
    use Workload::{P1, P2, P3, P4};
    part.engine == Engine::Seedfall && matches!(part.workload, P1 | P2 | P3 | P4)
}

/// The simulated Linux is another program too, built on demand beside this one.
fn build_programs(this: &Path) -> Result<PathBuf, String> {
    let release = this.parent().ok_or("this program lies nowhere")?;
    let target = release.parent().ok_or("this program lies in no target folder")?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    eprintln!("building the processes of the simulated Linux");
    let status = Command::new(cargo)
        .args(["build", "--release", "--quiet", "--locked", "--bin", "programs"])
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .status()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    if !status.success() {
        return Err("the processes of the simulated Linux cannot be built".to_owned());
    }
    Ok(release.join("programs"))
}

/// Runs one child process; says how much CPU time it took, and what it did.
fn measure(
    this: &Path,
    [madsim, programs]: [&Path; 2],
    part: &Part,
) -> Result<(f64, Done), String> {
    let Part { workload, engine, size } = *part;
    let mut command = match engine {
        Engine::Madsim => Command::new(madsim),
        Engine::Seedfall if is_program(part) => Command::new(programs),
        Engine::Seedfall | Engine::Turmoil => {
            let mut command = Command::new(this);
            command.args(["child", &format!("{engine:?}").to_lowercase()]);
            command
        }
    };
    let before = children_nanos()?;
    let output = command
        .args([&format!("{workload:?}"), &size.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start {engine:?}: {error}"))?;
    let nanos = children_nanos()? - before;
    if !output.status.success() {
        return Err(format!("{part:?} failed: {}", output.status));
    }
    let done = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{part:?} did not say what it did: {error}"))?;
    Ok((nanos as f64, done))
}

/// The CPU time, user and system, of all children that have ended.
fn children_nanos() -> Result<i64, String> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)
        .map_err(|error| format!("the system does not tell CPU time: {error}"))?;
    Ok(usage.user_time().num_nanoseconds() + usage.system_time().num_nanoseconds())
}

/// A line that is overwritten by the next.
fn progress(line: &str) {
    let mut stderr = io::stderr().lock();
    if !stderr.is_terminal() {
        return;
    }
    // Progress is a courtesy: where it cannot be shown, the measurement goes on.
    let _ = write!(stderr, "\r\x1b[K{line}").and_then(|()| stderr.flush());
}
