//! Planted bugs: patches with a header that says what they break.
//!
//! ```text
//! Id: RAFT-21
//! Bug: the leader answers reads from its own state, without asking a quorum
//! Source: etcd and Consul, as found by Jepsen in 2014
//! Breaks: Linearizability
//! Scenario: raft-kv
//! Fault: partition without flap, clog; pause; slow alone
//! Seeds: 20000
//!
//! --- a/protocols/src/raft/read.rs
//! +++ b/protocols/src/raft/read.rs
//! @@ ...
//! ```

use seedfall::faults::Class;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// One planted bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planted {
    /// The name of the patch: its file's, without the ending.
    pub name: String,
    /// The lines of the header, by their first word.
    pub header: BTreeMap<String, String>,
    /// For each changed file, its path in the project and the diff.
    changes: Vec<(PathBuf, String)>,
}

/// A claim of a patch: a sweep finds it, and the same sweep without one class of faults does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contrast {
    /// The class that it needs.
    pub class: Class,
    /// The classes that both sweeps leave out, as they would do as well.
    pub beside: Vec<Class>,
}

/// Every class but one.
pub(crate) fn others(but: Class) -> Vec<Class> {
    Class::ALL.into_iter().filter(|class| *class != but).collect()
}

impl fmt::Display for Contrast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let beside: Vec<&str> = self.beside.iter().map(|class| class.name()).collect();
        match beside[..] {
            [] => write!(f, "{}", self.class.name()),
            _ if self.beside == others(self.class) => write!(f, "{} alone", self.class.name()),
            _ => write!(f, "{} without {}", self.class.name(), beside.join(", ")),
        }
    }
}

/// Why a patch cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum PatchError {
    /// A file cannot be read or written.
    Io(PathBuf, std::io::Error),
    /// All that is wrong with a header.
    Header(PathBuf, Vec<String>),
    /// Several patches cannot be used, each for its own reason.
    Several(Vec<PatchError>),
    /// There is no diff in it, or one that cannot be read.
    Malformed(PathBuf, String),
    /// The header claims something that makes no sense.
    Claim(String, String),
    /// The diff does not fit the file.
    DoesNotApply(String, PathBuf, String),
}

impl fmt::Display for PatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Header(path, wrong) => write!(f, "{}: {}", path.display(), wrong.join("; ")),
            Self::Several(errors) => {
                let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
                f.write_str(&errors.join("\n       "))
            }
            Self::Malformed(path, why) => {
                write!(f, "{}: not a unified diff: {why}", path.display())
            }
            Self::Claim(name, why) => write!(f, "{name}: {why}"),
            Self::DoesNotApply(name, path, why) => {
                write!(f, "{name}: does not apply to {}: {why}", path.display())
            }
        }
    }
}

impl std::error::Error for PatchError {}

/// What every header must say.
const REQUIRED: [&str; 4] = ["Bug", "Source", "Breaks", "Scenario"];

impl Planted {
    /// Whether the bug can be mended in the midst of a run: its patch keeps the right code, for a
    /// program that has its fix ([`planted::has_fix`](seedfall_sim::planted::has_fix)).
    pub fn can_be_mended(&self) -> bool {
        self.changes.iter().any(|(_, diff)| diff.contains("has_fix("))
    }

    /// Reads one patch.
    ///
    /// # Errors
    /// It cannot be read, says too little of itself, or is not a unified diff.
    pub fn read(path: &Path) -> Result<Self, PatchError> {
        let text = fs::read_to_string(path).map_err(|error| PatchError::Io(path.into(), error))?;
        let start = text
            .lines()
            .position(|line| line.starts_with("--- ") || line.starts_with("diff --git "))
            .ok_or_else(|| {
                PatchError::Malformed(path.into(), "no line begins with `--- `".into())
            })?;
        let header: BTreeMap<String, String> = text
            .lines()
            .take(start)
            .filter_map(|line| line.trim_start_matches('#').trim().split_once(": "))
            .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
            .collect();
        let missing = REQUIRED.iter().filter(|line| !header.contains_key(**line));
        let missing: Vec<String> =
            missing.map(|line| format!("the header has no line `{line}: ...`")).collect();
        let mut changes: Vec<(PathBuf, String)> = Vec::new();
        for line in text.lines().skip(start) {
            if line.starts_with("diff --git ") || line.starts_with("index ") {
                continue;
            }
            if let Some(file) = line.strip_prefix("--- ") {
                let file = file.split('\t').next().unwrap_or(file);
                let file = file.strip_prefix("a/").unwrap_or(file);
                changes.push((file.into(), String::new()));
            }
            if let Some((_, diff)) = changes.last_mut() {
                diff.push_str(line);
                diff.push('\n');
            }
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let patch = Self { name, header, changes };
        // What a test proves, no sweep is to find.
        let proved = !patch.says("Test").is_empty();
        let faults = if proved { Ok(()) } else { patch.contrasts().map(drop) };
        let claims = [faults, patch.seeds().map(drop)];
        let claims = claims.into_iter().filter_map(Result::err).map(|error| match error {
            PatchError::Claim(_, why) => why,
            other => other.to_string(),
        });
        let wrong: Vec<String> = missing.into_iter().chain(claims).collect();
        if wrong.is_empty() { Ok(patch) } else { Err(PatchError::Header(path.into(), wrong)) }
    }

    /// Reads every patch of a folder, in the order of their names.
    ///
    /// # Errors
    /// The folder cannot be read, or some of its patches, of which each is named.
    pub fn read_all(folder: &Path) -> Result<Vec<Self>, PatchError> {
        let io = |error| PatchError::Io(folder.into(), error);
        let mut paths = Vec::new();
        for file in fs::read_dir(folder).map_err(io)? {
            let path = file.map_err(io)?.path();
            if path.extension().is_some_and(|ending| ending == "patch") {
                paths.push(path);
            }
        }
        paths.sort();
        let (mut patches, mut errors) = (Vec::new(), Vec::new());
        for path in paths {
            match Self::read(&path) {
                Ok(patch) => patches.push(patch),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(patches) } else { Err(PatchError::Several(errors)) }
    }

    /// A line of the header, or nothing.
    pub fn says(&self, line: &str) -> &str {
        self.header.get(line).map_or("", String::as_str)
    }

    /// The classes of faults that it says it needs, each for itself: where others do as well, those
    /// that both sweeps leave out stand behind `without`; `alone` means all others.
    ///
    /// # Errors
    /// A class that there is not.
    pub fn contrasts(&self) -> Result<Vec<Contrast>, PatchError> {
        let class = |name: &str| {
            let name = name.trim();
            let found = Class::ALL.into_iter().find(|class| class.name() == name);
            found.ok_or_else(|| {
                let why = format!("`Fault:` names `{name}`, which is no class of faults");
                PatchError::Claim(self.name.clone(), why)
            })
        };
        let contrast = |claim: &str| {
            if let Some(name) = claim.trim().strip_suffix(" alone") {
                let needed = class(name)?;
                return Ok(Contrast { class: needed, beside: others(needed) });
            }
            let (needed, beside) = claim.split_once(" without ").unwrap_or((claim, ""));
            let beside = beside.split(',').filter(|name| !name.trim().is_empty());
            let beside = beside.map(class).collect::<Result<_, _>>()?;
            Ok(Contrast { class: class(needed)?, beside })
        };
        self.says("Fault").split(';').filter(|claim| !claim.is_empty()).map(contrast).collect()
    }

    /// How many seeds its head says that looking for it takes, where that is more than others take
    /// (`Seeds: 60000`); else 0.
    ///
    /// # Errors
    /// It says something else than a number.
    pub fn seeds(&self) -> Result<u64, PatchError> {
        match self.says("Seeds") {
            "" => Ok(0),
            number => number.parse().map_err(|_| {
                let why = format!("`Seeds: {number}` is no number of seeds");
                PatchError::Claim(self.name.clone(), why)
            }),
        }
    }

    /// The changed files of a project, as they would be with the bug in them.
    ///
    /// # Errors
    /// A file is missing, or the diff does not fit it.
    pub fn apply(&self, project: &Path) -> Result<Vec<(PathBuf, String)>, PatchError> {
        let apply = |(file, diff): &(PathBuf, String)| {
            let fail = |why: String| PatchError::DoesNotApply(self.name.clone(), file.clone(), why);
            let patch = diffy::Patch::from_str(diff).map_err(|error| fail(error.to_string()))?;
            let path = project.join(file);
            let text = fs::read_to_string(&path).map_err(|error| fail(error.to_string()))?;
            let changed = diffy::apply(&text, &patch).map_err(|error| fail(error.to_string()))?;
            Ok((file.clone(), changed))
        };
        self.changes.iter().map(apply).collect()
    }
}
