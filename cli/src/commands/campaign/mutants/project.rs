//! A copy of a project, in which every mutant is built at once.

use super::super::super::Problem;
use super::super::super::planted::mirror;
use super::super::MutantsArgs;
use super::super::show;
use super::super::source::CargoArgs;
use super::schema::{CHOOSER, Site, sites, written};
use serde_json::Value;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How often changes that do not build are taken out and the rest is built again: the compiler
/// tells of errors in several passes.
const ROUNDS: usize = 12;

/// What stands before a crate root: choices make code that would be warned of.
const QUIET: &str = "#![allow(warnings, clippy::all)] ";

/// A file that is changed.
#[derive(Debug)]
struct File {
    /// From the root of the workspace.
    path: PathBuf,
    text: String,
    /// Whether it is the root of a crate.
    is_root: bool,
    sites: Vec<Site>,
    /// The number of the first of them.
    first: usize,
    /// Where each choice stands in what was written, with its number.
    choices: Vec<(Range<usize>, usize)>,
}

/// A copy of a project, in which every mutant is built at once.
#[derive(Debug)]
pub(super) struct Project {
    root: PathBuf,
    copy: PathBuf,
    build: PathBuf,
    packages: Vec<String>,
    files: Vec<File>,
    /// Whether each mutant builds.
    pub(super) builds: Vec<bool>,
}

impl Project {
    /// The project that cargo would test; of its files those that are asked for.
    pub(super) fn find(cargo: &CargoArgs, args: &MutantsArgs) -> Result<Self, Problem> {
        let metadata = metadata(cargo)?;
        let at = |key: &str| metadata[key].as_str().map(PathBuf::from).unwrap_or_default();
        let (root, target) = (at("workspace_root"), at("target_directory"));
        let root = fs::canonicalize(&root)
            .map_err(|error| Problem(format!("{}: {error}", root.display())))?;
        let folder = target.join("seedfall/mutants");
        let (mut files, mut packages) = (Vec::new(), Vec::new());
        for package in chosen(&metadata, cargo)? {
            let roots = crate_roots(package)?;
            let Some(first) = roots.first() else { continue };
            packages.push(package["name"].as_str().unwrap_or_default().to_owned());
            let mut paths = Vec::new();
            rust_files(first.parent().unwrap_or(&root), &mut paths)?;
            for path in paths {
                let text = fs::read_to_string(&path)
                    .map_err(|error| Problem(format!("{}: {error}", path.display())))?;
                let is_root = roots.contains(&path);
                let path = path.strip_prefix(&root).unwrap_or(&path).to_owned();
                let told = path.to_string_lossy();
                let has = |parts: &[String]| parts.iter().any(|part| told.contains(part));
                let is_asked = (args.file.is_empty() || has(&args.file)) && !has(&args.except);
                // A file that cannot be read is none of the crate's, or does not build anyway.
                let sites = if is_asked { sites(&text).unwrap_or_default() } else { Vec::new() };
                files.push(File { path, text, is_root, sites, first: 0, choices: Vec::new() });
            }
        }
        let mut count = 0;
        for file in &mut files {
            file.first = count;
            count += file.sites.len();
        }
        if count == 0 {
            let expected = "expected code of a library or a program that can be changed: give its \
                            crate by --package, and --file a part of a path";
            return Err(Problem(format!("{}: {expected}", root.display())));
        }
        let (copy, build) = (folder.join("copy"), folder.join("build"));
        Ok(Self { root, copy, build, packages, files, builds: vec![true; count] })
    }

    /// Every mutant: its file and what it changes, by number.
    pub(super) fn mutants(&self) -> impl Iterator<Item = (&Path, &Site)> {
        self.files.iter().flat_map(|file| file.sites.iter().map(|site| (&*file.path, site)))
    }

    /// Copies the project and writes all changes into the copy, but those that do not build.
    pub(super) fn write(&mut self, cargo: &CargoArgs) -> Result<(), Problem> {
        fs::create_dir_all(&self.copy)?;
        mirror(&self.root, &self.root, &self.copy)?;
        for round in 0..ROUNDS {
            self.write_choices()?;
            let errors = self.check(cargo)?;
            if errors.is_empty() {
                return Ok(());
            }
            let before = self.builds.iter().filter(|builds| **builds).count();
            for (path, span, _) in &errors {
                self.take_out(path, span);
            }
            let after = self.builds.iter().filter(|builds| **builds).count();
            if before == after {
                let (path, _, told) = &errors[0];
                return Err(Problem(format!(
                    "{}: it does not build, and no change of it is to blame:\n{told}",
                    path.display()
                )));
            }
            show::note(&format!("round {}: {} do not build", round + 1, before - after));
        }
        Err(Problem(format!("after {ROUNDS} rounds there are still changes that do not build")))
    }

    fn write_choices(&mut self) -> Result<(), Problem> {
        let chooser = CHOOSER.replace("SEEDFALL_MUTANTS]", &format!("{}]", self.builds.len()));
        for file in &mut self.files {
            let numbered = (file.first..).zip(&file.sites);
            let numbered: Vec<_> = numbered.filter(|(number, _)| self.builds[*number]).collect();
            let (mut text, at) = written(&file.text, &numbered);
            let shift = if file.is_root { QUIET.len() } else { 0 };
            let shifted = at.into_iter().map(|at| at.start + shift..at.end + shift);
            file.choices = shifted.zip(numbered.iter().map(|(number, _)| *number)).collect();
            if file.is_root {
                text = format!("{QUIET}{text}{chooser}");
            }
            let path = self.copy.join(&file.path);
            if fs::read_to_string(&path).is_ok_and(|old| old == text) {
                continue;
            }
            fs::write(&path, text)
                .map_err(|error| Problem(format!("{}: {error}", path.display())))?;
        }
        Ok(())
    }

    /// Takes out the innermost change at a place that an error names. It may name several, of which
    /// one is to blame.
    fn take_out(&mut self, path: &Path, span: &Range<usize>) {
        let Some(file) = self.files.iter().find(|file| file.path == path) else { return };
        let holds = |at: &Range<usize>| at.start <= span.start && span.end <= at.end;
        let around = file.choices.iter().filter(|(at, _)| holds(at));
        if let Some((_, number)) = around.min_by_key(|(at, _)| at.end - at.start) {
            self.builds[*number] = false;
        }
    }

    /// The errors of the compiler: file, place, and in words.
    fn check(&self, cargo: &CargoArgs) -> Result<Vec<(PathBuf, Range<usize>, String)>, Problem> {
        let mut command = Command::new("cargo");
        command
            .args(["check", "--message-format=json", "--quiet"])
            .env("CARGO_TARGET_DIR", &self.build)
            .current_dir(&self.copy)
            .stdin(Stdio::null());
        for package in &self.packages {
            command.args(["--package", package]);
        }
        command.args(cargo.features());
        let output = command.output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut errors = Vec::new();
        for line in text.lines() {
            let message: Value = serde_json::from_str(line).unwrap_or_default();
            let message = &message["message"];
            if message["level"] != "error" {
                continue;
            }
            let told = message["rendered"].as_str().unwrap_or_default();
            let number = |value: &Value| value.as_u64().unwrap_or(0) as usize;
            for span in message["spans"].as_array().into_iter().flatten() {
                let path = PathBuf::from(span["file_name"].as_str().unwrap_or_default());
                let path = path.strip_prefix(&self.copy).map(Path::to_owned).unwrap_or(path);
                let place = number(&span["byte_start"])..number(&span["byte_end"]);
                errors.push((path, place, told.to_owned()));
            }
        }
        if errors.is_empty() && !output.status.success() {
            let told = String::from_utf8_lossy(&output.stderr);
            let told = told.trim();
            return Err(Problem(format!("{}: it does not build:\n{told}", self.root.display())));
        }
        Ok(errors)
    }

    /// The same cargo arguments, in the copy.
    pub(super) fn cargo(&self, cargo: &CargoArgs) -> CargoArgs {
        cargo.in_copy(&self.root, &self.copy, &self.build)
    }

    /// The folder of the copy.
    pub(super) fn folder(&self) -> &Path {
        &self.copy
    }
}

fn metadata(cargo: &CargoArgs) -> Result<Value, Problem> {
    let mut command = Command::new("cargo");
    command.args(["metadata", "--no-deps", "--format-version=1"]);
    if let Some(path) = cargo.manifest() {
        command.arg("--manifest-path").arg(path);
    }
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Problem(format!("cargo does not run: {error}")))?;
    if !output.status.success() {
        return Err(Problem("expected a crate; cargo says why it finds none above".to_owned()));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The packages that are changed: those that are named, or else those that cargo would test.
fn chosen<'a>(metadata: &'a Value, cargo: &CargoArgs) -> Result<Vec<&'a Value>, Problem> {
    let all: Vec<&Value> = metadata["packages"].as_array().into_iter().flatten().collect();
    let names = cargo.packages();
    if names.is_empty() {
        let usual: Vec<&Value> =
            metadata["workspace_default_members"].as_array().into_iter().flatten().collect();
        return Ok(all.into_iter().filter(|package| usual.contains(&&package["id"])).collect());
    }
    let of = |name: &String| {
        let found = all.iter().copied().find(|package| package["name"] == name.as_str());
        found.ok_or_else(|| Problem(format!("--package {name}: expected a crate of the workspace")))
    };
    names.iter().map(of).collect()
}

/// The roots of a package's library and programs, in cargo's order: a library comes first.
fn crate_roots(package: &Value) -> Result<Vec<PathBuf>, Problem> {
    const KINDS: [&str; 6] = ["lib", "rlib", "dylib", "cdylib", "staticlib", "bin"];
    let is_changed = |target: &&Value| {
        let mut kinds = target["kind"].as_array().into_iter().flatten();
        kinds.any(|kind| kind.as_str().is_some_and(|kind| KINDS.contains(&kind)))
    };
    let targets = package["targets"].as_array().into_iter().flatten().filter(is_changed);
    let paths = targets.filter_map(|target| target["src_path"].as_str());
    let there = |path| fs::canonicalize(path).map_err(|error| Problem(format!("{path}: {error}")));
    paths.map(there).collect()
}

/// Every Rust file of a folder, in the order of their names.
fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Problem> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            rust_files(&path, files)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIN: &str = "//! A program.
fn told(count: u8) -> &'static str {
    let many;
    many = count > 1;
    if many { \"many\" } else { \"few\" }
}

fn main() {
    print!(\"{} {}\", told(1), told(2));
}
";

    /// What the copy prints with this change.
    fn prints(project: &Project, mutant: usize) -> String {
        let mut command = Command::new("cargo");
        command.args(["run", "--quiet"]).current_dir(project.folder());
        command.env("CARGO_TARGET_DIR", &project.build).env("SEEDFALL_MUTANT", mutant.to_string());
        let output = command.output().expect("cargo runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[test]
    fn all_changes_are_built_at_once_and_one_is_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let manifest = folder.path().join("Cargo.toml");
        fs::create_dir(folder.path().join("src")).expect("a folder");
        let text = "[package]\nname = \"told\"\nedition = \"2024\"\n[workspace]\n";
        fs::write(&manifest, text).expect("a file");
        fs::write(folder.path().join("src/main.rs"), MAIN).expect("a file");
        fs::write(
            folder.path().join("src/lib.rs"),
            "pub fn f() { if g() { f(); } }\nfn g() -> bool { 1 < 2 }\n",
        )
        .expect("a file");
        let cargo = CargoArgs::at(manifest);
        let mut project = Project::find(&cargo, &MutantsArgs::default())
            .unwrap_or_else(|problem| panic!("{}", problem.0));
        // Not where the tests of this project are built.
        let elsewhere = tempfile::tempdir().expect("a folder");
        let at = |name: &str| elsewhere.path().join(name);
        (project.copy, project.build) = (at("copy"), at("build"));
        project.write(&cargo).unwrap_or_else(|problem| panic!("{}", problem.0));
        let changes: Vec<String> = project.mutants().map(|(_, site)| site.change.clone()).collect();
        let number = |change: &str| {
            changes.iter().position(|one| one == change).unwrap_or_else(|| panic!("{changes:?}"))
        };
        // What is decided there has no value without it where it is asked for: neither builds.
        let unviable = [number("without `many = count > 1;`"), number("`many` is false")];
        let builds: Vec<bool> = (0..changes.len()).map(|one| !unviable.contains(&one)).collect();
        assert_eq!(project.builds, builds);
        assert_eq!(prints(&project, usize::MAX), "few many");
        assert_eq!(prints(&project, number("`>=` for `>` in `count > 1`")), "many many");
        assert_eq!(prints(&project, number("`many` is true")), "many many");
    }
}
