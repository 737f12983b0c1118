//! What a campaign is: `campaign.json` of its folder, the same in every shard of it.

use super::{Problem, clock};
use seedfall::campaign::{About, Shard, unit_for, units};
use seedfall::save::{save, save_new};
use seedfall::sim::StableHasher;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The name of the file.
const FILE: &str = "campaign.json";

/// How many seeds a unit has where time alone bounds a campaign: nobody comes to the end of the
/// units, so they may be long; and a line for each must not be too many, a night on a thousand
/// machines long (`tests/campaign/scale`).
const UNIT_BY_TIME: u64 = 65_536;

/// A scenario, and the command that runs it as the environment says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Target {
    /// What is known of it.
    pub(super) about: About,
    /// The crate, and its test binary; empty for built-in ones.
    pub(super) of: String,
    /// The program.
    pub(super) program: PathBuf,
    /// Its arguments.
    pub(super) arguments: Vec<String>,
    /// Where it runs: the folder of the crate.
    pub(super) folder: PathBuf,
    /// What is run, where nobody planned it and each test binary says its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) build: Option<String>,
}

/// A campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// The version of the format.
    pub(super) seedfall_campaign: u32,
    /// What tells it from others: of everything that decides its result.
    pub(super) id: String,
    /// What is run: a commit, or a hash of the binaries.
    pub(super) build: String,
    /// The commit, as far as the machine knows one, and whether files differed from it.
    pub(super) commit: String,
    /// The first seed.
    pub(super) from: u64,
    /// How many seeds of each scenario; `None`: as many as time allows.
    pub(super) seeds: Option<u64>,
    /// How many seeds a unit has.
    pub(super) unit: NonZeroU64,
    /// The scenarios.
    pub(super) scenarios: Vec<Target>,
    /// Scenarios with a planted bug, which must be found.
    pub(super) canaries: Vec<String>,
    /// When it was begun, in seconds since 1970.
    pub(super) begun: u64,
}

impl Manifest {
    pub(super) fn new(
        scenarios: Vec<Target>,
        (build, commit): (String, String),
        (from, seeds): (u64, Option<u64>),
        canaries: Vec<String>,
    ) -> Self {
        let unit = seeds.map_or(UNIT_BY_TIME, |seeds| unit_for(seeds).get());
        let mut manifest = Self {
            seedfall_campaign: 1,
            id: String::new(),
            build,
            commit,
            from,
            seeds,
            unit: NonZeroU64::new(unit).unwrap_or(NonZeroU64::MIN),
            scenarios,
            canaries,
            begun: clock::unix_now(),
        };
        manifest.id = manifest.identity();
        manifest
    }

    fn identity(&self) -> String {
        let names: Vec<&str> = self.names().collect();
        let Self { build, from, seeds, unit, canaries, .. } = self;
        let id = StableHasher::hash(&(build, from, seeds, unit.get(), names, canaries));
        format!("{id:016x}")
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.scenarios.iter().map(|target| target.about.scenario.as_str())
    }

    /// What is run of a scenario; `None`, if the campaign does not have it.
    pub(super) fn build_of(&self, scenario: &str) -> Option<&str> {
        let target = self.scenarios.iter().find(|target| target.about.scenario == scenario)?;
        Some(target.build.as_ref().unwrap_or(&self.build))
    }

    pub(super) fn about(&self, scenario: &str) -> Option<&About> {
        let mut all = self.scenarios.iter().map(|target| &target.about);
        all.find(|about| about.scenario == scenario)
    }

    /// The seeds of each scenario.
    pub(super) fn range(&self) -> Range<u64> {
        // Nobody comes to the end of what is bounded by time alone.
        self.from..self.from.saturating_add(self.seeds.unwrap_or(1 << 60))
    }

    /// The units of a scenario in a shard, in order.
    pub(super) fn units(
        &self,
        scenario: &str,
        shard: Shard,
    ) -> impl Iterator<Item = Range<u64>> + Clone + use<> {
        units(scenario, self.range(), self.unit, shard)
    }

    /// Reads the campaign of a folder; `None`, if it has none.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, Problem> {
        let path = folder.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Problem(format!("{}: {error}", path.display()))),
        };
        let wrong = |why: String| Problem(format!("{}: not a campaign: {why}", path.display()));
        let manifest: Self =
            serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if manifest.seedfall_campaign != 1 {
            let version = manifest.seedfall_campaign;
            return Err(wrong(format!("version {version}; this build reads version 1")));
        }
        Ok(Some(manifest))
    }

    /// Begins the campaign in a folder, or goes on with it if it is there already.
    pub(super) fn begin(self, folder: &Path) -> Result<Self, Problem> {
        let path = folder.join(FILE);
        let text = serde_json::to_vec_pretty(&self)?;
        match save_new(&path, &text) {
            Ok(()) => return Ok(self),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Problem(format!("{}: {error}", path.display()))),
        }
        let known = Self::read(folder)?;
        let known = known.ok_or_else(|| Problem(format!("{}: vanished", path.display())))?;
        known.is_same(&self).map_err(|why| {
            Problem(format!(
                "{}: another campaign is in this folder: {why}; expected the same, to go on with \
                 it, or an --out of its own",
                path.display()
            ))
        })?;
        // The programs may have moved.
        let merged = Self { scenarios: self.scenarios, ..known };
        merged.replace(folder)?;
        Ok(merged)
    }

    /// Writes it in the place of what the folder says: the same campaign, with its programs
    /// elsewhere.
    pub(super) fn replace(&self, folder: &Path) -> Result<(), Problem> {
        let path = folder.join(FILE);
        save(&path, &serde_json::to_vec_pretty(self)?)
            .map_err(|error| Problem(format!("{}: {error}", path.display())))
    }

    /// Whether two are one campaign; if not, what differs.
    pub(super) fn is_same(&self, other: &Self) -> Result<(), String> {
        if self.id == other.id {
            return Ok(());
        }
        let seeds = |one: &Self| match one.seeds {
            Some(_) => format!("the seeds {:?}", one.range()),
            None => format!("the seeds from {} on", one.from),
        };
        let names = |one: &Self| one.names().map(str::to_owned).collect::<Vec<_>>().join(", ");
        let parts: [(&str, String, String); 4] = [
            ("build", self.build.clone(), other.build.clone()),
            ("seeds", seeds(self), seeds(other)),
            ("scenarios", names(self), names(other)),
            ("canaries", self.canaries.join(", "), other.canaries.join(", ")),
        ];
        let differs = parts.iter().find(|(_, one, other)| one != other);
        Err(match differs {
            Some((what, one, other)) => format!("its {what}: {one}; here: {other}"),
            None => "its units".to_owned(),
        })
    }

    /// The campaign of workers that nobody planned, by what they say of themselves.
    pub(super) fn of_starts(starts: &BTreeMap<String, seedfall::campaign::Start>) -> Option<Self> {
        let first = starts.values().next()?;
        let scenarios = starts.values().map(|start| Target {
            about: start.about.clone(),
            of: String::new(),
            program: PathBuf::new(),
            arguments: Vec::new(),
            folder: PathBuf::new(),
            build: Some(start.build.clone()),
        });
        let seeds = first.seeds.end - first.seeds.start;
        let mut manifest = Self::new(
            scenarios.collect(),
            (first.build.clone(), String::new()),
            (first.seeds.start, (seeds < 1 << 60).then_some(seeds)),
            Vec::new(),
        );
        manifest.unit = NonZeroU64::new(first.unit)?;
        Some(manifest)
    }
}
