//! Where the scenarios of a campaign are, and how each is run in a process of its own: built into
//! this program, or in the tests of a crate, to which nothing links this program.

use super::clock;
use super::manifest::Target;
use super::{Problem, show};
use clap::Args;
use seedfall::campaign::About;
use seedfall::run::Runnable;
use seedfall::sim::StableHasher;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::hash::Hasher as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long the tests of one binary may take to say which scenarios they have.
const LIST_TIME: Duration = Duration::from_secs(120);

/// What stands in a test binary that has scenarios, and in no other.
const MARK: &[u8] = b"SEEDFALL_LIST";

/// Which tests of which crates cargo builds.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct CargoArgs {
    /// The Cargo.toml; without it, that of this folder.
    #[arg(long, global = true, value_name = "FILE")]
    manifest_path: Option<PathBuf>,
    /// The crate; without it, those that `cargo test` would test (may be repeated).
    #[arg(long, short, global = true, value_name = "CRATE")]
    package: Vec<String>,
    /// All crates of the workspace.
    #[arg(long, global = true)]
    workspace: bool,
    /// A test file of tests/ (may be repeated); without it, all.
    #[arg(long = "test", global = true, value_name = "NAME")]
    tests: Vec<String>,
    /// Features, as cargo takes them.
    #[arg(long, global = true, value_name = "FEATURES")]
    features: Option<String>,
    /// Build with optimizations: an order of magnitude more seeds.
    #[arg(long, short, global = true)]
    release: bool,
    /// Where cargo builds, if not where it would.
    #[arg(skip)]
    build: Option<PathBuf>,
}

/// Where scenarios come from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// This program has them.
    Builtin(&'a [Box<dyn Runnable>]),
    /// The tests of crates have them.
    Cargo(&'a CargoArgs),
}

/// A test binary that cargo has built.
struct Binary {
    path: PathBuf,
    package: String,
    target: String,
    folder: PathBuf,
}

impl Source<'_> {
    /// Every scenario, with the command that runs it.
    pub(super) fn targets(&self) -> Result<Vec<Target>, Problem> {
        match self {
            Self::Builtin(scenarios) => builtin(scenarios),
            Self::Cargo(arguments) => arguments.targets(),
        }
    }

    /// What is run, in a word, and the commit for people. A commit without a change says all there
    /// is to say of what cargo has just built; else the binaries do.
    pub(super) fn build(
        &self,
        targets: &[Target],
        said: Option<&str>,
    ) -> Result<(String, String), Problem> {
        let folder = match self {
            Self::Builtin(_) => Path::new("."),
            Self::Cargo(_) => targets.first().map_or(Path::new("."), |one| &one.folder),
        };
        let (commit, is_clean) = commit(folder);
        let told = if is_clean || commit.is_empty() {
            commit.clone()
        } else {
            format!("{commit} with changes")
        };
        let build = match (said, self) {
            (Some(said), _) => said.to_owned(),
            (None, Self::Cargo(_)) if is_clean => format!("commit-{commit}"),
            _ => binaries(targets)?,
        };
        Ok((build, told))
    }

    /// What replays a case or a seed, to be pasted.
    pub(super) fn replay(&self) -> &'static str {
        match self {
            Self::Builtin(_) => "seedfall campaign replay",
            Self::Cargo(_) => "cargo seedfall replay",
        }
    }
}

fn builtin(scenarios: &[Box<dyn Runnable>]) -> Result<Vec<Target>, Problem> {
    let program = std::env::current_exe()?;
    let folder = std::env::current_dir()?;
    let target = |scenario: &dyn Runnable| Target {
        about: About::of(scenario, String::new()),
        of: String::new(),
        program: program.clone(),
        arguments: ["campaign", "worker", scenario.name()].map(str::to_owned).into(),
        folder: folder.clone(),
        build: None,
    };
    Ok(scenarios.iter().map(|scenario| target(&**scenario)).collect())
}

impl CargoArgs {
    pub(super) fn targets(&self) -> Result<Vec<Target>, Problem> {
        let binaries = self.built()?;
        let mut targets: Vec<Target> = Vec::new();
        for binary in binaries.iter().filter(|binary| has_mark(&binary.path)) {
            targets.extend(list(binary)?);
        }
        let mut seen: BTreeMap<&str, &Target> = BTreeMap::new();
        for target in &targets {
            let name = target.about.scenario.as_str();
            if let Some(other) = seen.insert(name, target) {
                return Err(Problem(format!(
                    "two tests have a scenario `{name}`: {} of {}, and {} of {}; give one of them \
                     another name, or ask for one file by --test",
                    other.about.test, other.of, target.about.test, target.of
                )));
            }
        }
        Ok(targets)
    }

    /// The same, for a copy of a project, which is built elsewhere.
    #[cfg(feature = "mutants")]
    pub(super) fn in_copy(&self, root: &Path, copy: &Path, build: &Path) -> Self {
        let manifest = self.manifest_path.clone().unwrap_or_else(|| "Cargo.toml".into());
        let manifest = fs::canonicalize(&manifest).unwrap_or(manifest);
        let within = manifest.strip_prefix(root).unwrap_or(Path::new("Cargo.toml"));
        Self {
            manifest_path: Some(copy.join(within)),
            build: Some(build.to_owned()),
            ..self.clone()
        }
    }

    /// Those of the crate of this manifest.
    #[cfg(all(test, feature = "mutants"))]
    pub(super) fn at(manifest: PathBuf) -> Self {
        Self { manifest_path: Some(manifest), ..Self::default() }
    }

    #[cfg(feature = "mutants")]
    pub(super) fn manifest(&self) -> Option<&Path> {
        self.manifest_path.as_deref()
    }

    #[cfg(feature = "mutants")]
    pub(super) fn packages(&self) -> &[String] {
        &self.package
    }

    /// What cargo is told of features.
    #[cfg(feature = "mutants")]
    pub(super) fn features(&self) -> Vec<String> {
        self.features.iter().flat_map(|all| ["--features".to_owned(), all.clone()]).collect()
    }

    /// Has cargo build a program; the scenarios that it has, as `seedfall_cli::main` gives them to
    /// it.
    #[cfg(feature = "mutants")]
    pub(super) fn program(&self, name: &str) -> Result<Vec<Target>, Problem> {
        let mut command = self.command("build");
        let output = command.args(["--bin", name]).output();
        let output = output.map_err(|error| Problem(format!("cargo does not run: {error}")))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut paths = messages.filter_map(|message| {
            let is_it = message["target"]["name"] == name;
            message["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
        });
        let program = paths.next().filter(|_| output.status.success());
        let program = program.ok_or_else(|| {
            Problem(format!("--bin {name}: it does not build; cargo says why above"))
        })?;
        let listed = Command::new(&program).args(["campaign", "list", "--json"]).output()?;
        let text = String::from_utf8_lossy(&listed.stdout);
        let expected = "expected a program with scenarios, by `seedfall_cli::main`";
        let about = |line: &str| -> Result<About, Problem> {
            serde_json::from_str(line)
                .map_err(|error| Problem(format!("--bin {name}: {expected}: {error}")))
        };
        let folder = program.parent().unwrap_or(Path::new(".")).to_owned();
        let target = |about: About| Target {
            arguments: ["campaign", "worker", &about.scenario].map(str::to_owned).into(),
            about,
            of: String::new(),
            program: program.clone(),
            folder: folder.clone(),
            build: None,
        };
        text.lines().map(|line| about(line).map(target)).collect()
    }

    /// A command of cargo, in JSON on standard output, on the project and in the profile that are
    /// asked for.
    fn command(&self, what: &str) -> Command {
        #[expect(clippy::disallowed_methods, reason = "cargo says so to its subcommands")]
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let mut command = Command::new(cargo);
        command.args([what, "--message-format=json-render-diagnostics"]);
        if let Some(path) = &self.manifest_path {
            command.arg("--manifest-path").arg(path);
        }
        if self.release {
            command.arg("--release");
        }
        if let Some(build) = &self.build {
            command.env("CARGO_TARGET_DIR", build);
        }
        command.stdin(Stdio::null()).stderr(Stdio::inherit());
        command
    }

    /// Has cargo build the tests; says which binaries there are.
    fn built(&self) -> Result<Vec<Binary>, Problem> {
        let mut command = self.command("test");
        command.arg("--no-run");
        for (option, names) in [("--package", &self.package), ("--test", &self.tests)] {
            for name in names {
                command.args([option, name]);
            }
        }
        if let Some(features) = &self.features {
            command.args(["--features", features]);
        }
        if self.workspace {
            command.arg("--workspace");
        }
        let output = command.output();
        let output = output.map_err(|error| Problem(format!("cargo does not run: {error}")))?;
        if !output.status.success() {
            return Err(Problem("the tests do not build; cargo says why above".to_owned()));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().filter_map(|line| binary(&serde_json::from_str(line).ok()?)).collect())
    }
}

/// A test binary, if a message of cargo is about one.
fn binary(message: &Value) -> Option<Binary> {
    let is_test = message["reason"] == "compiler-artifact" && message["profile"]["test"] == true;
    let path = message["executable"].as_str().filter(|_| is_test)?;
    let folder = Path::new(message["manifest_path"].as_str()?).parent()?.to_owned();
    // `path+file:///a/b#name@0.1.0`, or `...#0.1.0`, where the folder has the crate's name.
    let id = message["package_id"].as_str().unwrap_or_default();
    let after = id.rsplit_once('#').map_or(id, |(_, after)| after);
    let own_name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let package = after.split_once('@').map_or(own_name, |(name, _)| name.to_owned());
    let target = message["target"]["name"].as_str().unwrap_or_default().to_owned();
    Some(Binary { path: path.into(), package, target, folder })
}

fn has_mark(path: &Path) -> bool {
    let bytes = fs::read(path).unwrap_or_default();
    bytes.windows(MARK.len()).any(|window| window == MARK)
}

/// Asks the tests of a binary which scenarios they have. Tests that have none do what they do.
fn list(binary: &Binary) -> Result<Vec<Target>, Problem> {
    let folder = tempfile::tempdir()?;
    let (told, log) = (folder.path().join("list"), folder.path().join("log"));
    let output = fs::File::create(&log)?;
    let mut child = Command::new(&binary.path)
        .env("SEEDFALL_LIST", &told)
        .env("CARGO_MANIFEST_DIR", &binary.folder)
        .env("CARGO_PKG_NAME", &binary.package)
        .current_dir(&binary.folder)
        .stdin(Stdio::null())
        .stderr(output.try_clone()?)
        .stdout(output)
        .spawn()
        .map_err(|error| Problem(format!("{}: {error}", binary.path.display())))?;
    let of = format!("{}/{}", binary.package, binary.target);
    let (status, in_time) = clock::wait(&mut child, LIST_TIME)?;
    if !in_time {
        show::warning(&format!(
            "{of}: its tests take more than {} s; scenarios in a file of their own, such as \
             tests/simulation.rs, are listed at once",
            LIST_TIME.as_secs()
        ));
    }
    if !status.success() {
        let other = "a test that has no scenario failed; this is not told further";
        show::note(&format!("{of}: {other}"));
    }
    let text = fs::read_to_string(&told).unwrap_or_default();
    let mut targets = Vec::new();
    for line in text.lines() {
        let about: About = serde_json::from_str(line)
            .map_err(|error| Problem(format!("{of}: not a scenario: {error}: {line}")))?;
        targets.push(Target {
            arguments: vec!["--exact".to_owned(), about.test.clone(), "--include-ignored".into()],
            about,
            of: of.clone(),
            program: binary.path.clone(),
            folder: binary.folder.clone(),
            build: None,
        });
    }
    targets.sort_by(|one, other| one.about.scenario.cmp(&other.about.scenario));
    Ok(targets)
}

/// The commit of a folder, and whether nothing differs from it; empty, if it has none.
fn commit(folder: &Path) -> (String, bool) {
    let git = |arguments: &[&str]| {
        // Without a lock: this process may be killed, and must leave none behind.
        let mut command = Command::new("git");
        command.arg("--no-optional-locks").arg("-C").arg(folder).args(arguments);
        let output = command.output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return (String::new(), false);
    };
    let changes = git(&["status", "--porcelain", "--untracked-files=no"]);
    (commit, changes.is_some_and(|changes| changes.is_empty()))
}

/// A hash of every binary of a campaign.
fn binaries(targets: &[Target]) -> Result<String, Problem> {
    let mut paths: Vec<&PathBuf> = targets.iter().map(|target| &target.program).collect();
    paths.sort();
    paths.dedup();
    let mut hashes = Vec::new();
    for path in paths {
        let bytes =
            fs::read(path).map_err(|error| Problem(format!("{}: {error}", path.display())))?;
        let mut hasher = StableHasher::default();
        hasher.write(&bytes);
        hashes.push(hasher.finish());
    }
    hashes.sort_unstable();
    Ok(format!("binary-{:016x}", StableHasher::hash(&hashes)))
}
