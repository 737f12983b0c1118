//! What a coordinator says of itself while it works, beside the results: a file per attempt at a
//! shard, written anew every few seconds. That it is written at all says that it is alive.

use super::course::Course;
use super::crew::Plan;
use super::{Problem, clock};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Incidents that are kept, at most.
const INCIDENTS_MOST: usize = 100;

/// An attempt at a shard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    /// `2/5`.
    pub(super) shard: String,
    /// A name that no other attempt has.
    pub(super) attempt: String,
    /// The machine's name, and its process there.
    pub(super) host: String,
    pub(super) process: u32,
    /// When it began, in seconds since 1970.
    pub(super) begun: u64,
    /// How long it has worked.
    pub(super) seconds: f64,
    /// Worker processes at a time.
    pub(super) jobs: usize,
    /// Whether it came to its end, with nothing left to do.
    pub(super) done: bool,
    /// Workers that the machine took down, and whose seeds were run again.
    pub(super) killed: u64,
    /// What should not have happened, and is nobody's run.
    pub(super) incidents: Vec<String>,
    /// The machine.
    pub(super) machine: String,
    /// What it has run and seen, by its own seconds.
    pub(super) course: Course,
}

impl State {
    /// How often it is written.
    pub(super) const BEAT: Duration = Duration::from_secs(5);

    /// After how long without a sign an attempt that is not done is presumed dead.
    pub(super) const DEAD: Duration = Duration::from_secs(60);

    pub(super) fn begin(plan: &Plan) -> Self {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            shard: plan.shard.to_string(),
            attempt: clock::unique(),
            host: host.trim().to_owned(),
            process: std::process::id(),
            begun: clock::unix_now(),
            jobs: plan.jobs,
            machine: machine(),
            ..Self::default()
        }
    }

    /// The file of this attempt with this ending.
    pub(super) fn path(&self, out: &Path, ending: &str) -> PathBuf {
        let shard = self.shard.replace('/', "-of-");
        out.join("shards").join(format!("{shard}.{}.{ending}", self.attempt))
    }

    pub(super) fn incident(&mut self, what: String) {
        if self.incidents.len() < INCIDENTS_MOST {
            self.incidents.push(what);
        }
    }

    pub(super) fn save(&self, out: &Path) -> Result<(), Problem> {
        let path = self.path(out, "state");
        let text = serde_json::to_vec_pretty(self)?;
        seedfall::save::save(&path, &text)
            .map_err(|error| Problem(format!("{}: {error}", path.display())))
    }

    /// Every attempt in these folders, in the order of their beginning, with how long ago it gave
    /// its last sign by the clock of the folder's own machine.
    pub(super) fn all(folders: &[PathBuf]) -> Vec<(Self, Duration)> {
        let mut all: Vec<(Self, Duration)> = folders.iter().flat_map(|one| of(one)).collect();
        all.sort_by(|(one, _), (other, _)| {
            (one.begun, &one.attempt).cmp(&(other.begun, &other.attempt))
        });
        all
    }
}

fn of(folder: &Path) -> Vec<(State, Duration)> {
    let shards = folder.join("shards");
    let Ok(entries) = fs::read_dir(&shards) else { return Vec::new() };
    // Whoever keeps the folder has one clock; what other machines think of the time is their own
    // affair.
    let now = tempfile::NamedTempFile::new_in(&shards)
        .and_then(|file| file.as_file().metadata()?.modified())
        .ok();
    let paths = entries.flatten().map(|entry| entry.path());
    let states = paths.filter(|path| path.extension().is_some_and(|ending| ending == "state"));
    let read = |path: PathBuf| {
        let state = serde_json::from_str(&fs::read_to_string(&path).ok()?).ok()?;
        let beat = fs::metadata(&path).and_then(|data| data.modified()).ok();
        let since = now.zip(beat).and_then(|(now, beat)| now.duration_since(beat).ok());
        Some((state, since.unwrap_or_default()))
    };
    states.filter_map(read).collect()
}

/// The machine in a few words: processor, cores, memory, system.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let processor = field(&read("/proc/cpuinfo"), "model name");
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let memory: u64 = memory.split(' ').next().and_then(|kb| kb.parse().ok()).unwrap_or(0);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let kernel = read("/proc/sys/kernel/osrelease");
    let cores = seedfall::words::counted(cores as u64, "core");
    let processor = if processor.is_empty() { std::env::consts::ARCH } else { &processor };
    format!("{processor}, {cores}, {} GB, {} {}", memory >> 20, std::env::consts::OS, kernel.trim())
}
