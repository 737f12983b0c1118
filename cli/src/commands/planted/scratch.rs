//! A copy of a project, in which bugs are planted.

use super::super::Problem;
use seedfall_sim::StableHasher;
use serde_json::{Value, json};
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A copy of a project, in which bugs are planted.
pub(super) struct Scratch {
    pub(super) project: PathBuf,
    pub(super) copy: PathBuf,
    /// Where in the copy `cargo run` is called.
    pub(super) runs_in: PathBuf,
    /// Where the copy is built.
    build: PathBuf,
    /// What is known of the project as it is.
    clean: PathBuf,
    /// A program in which all bugs are planted, so that nothing is copied or built.
    binary: Option<PathBuf>,
    /// The features to build with, beside those of every build.
    pub(super) features: Option<String>,
    /// Which of them it has now; empty: none.
    bug: String,
    /// The scenarios whose properties are expected to be violated.
    pub(super) controls: Vec<String>,
}

impl Scratch {
    /// A copy of the project, in the folder where cargo builds.
    pub(super) fn of(
        project: &Path,
        package: &Path,
        binary: Option<&Path>,
    ) -> Result<Self, Problem> {
        // Where cargo builds is asked of the machine; no run sees it.
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(target) if !target.is_empty() => PathBuf::from(target),
            _ => project.join("target"),
        };
        let folder = target.join("planted");
        fs::create_dir_all(&folder)?;
        // Its commands run elsewhere.
        let folder = fs::canonicalize(folder)?;
        let (copy, build) = (folder.join("copy"), folder.join("build"));
        let runs_in = copy.join(package);
        let clean = folder.join("clean.jsonl");
        let there = |path: &Path| {
            let told = |error| Problem(format!("--binary {}: {error}", path.display()));
            fs::canonicalize(path).map_err(told)
        };
        let binary = binary.map(there).transpose()?;
        if binary.is_some() {
            // One after the other: `copy/.` cannot be created where there is no `copy`.
            fs::create_dir_all(&copy)?;
            fs::create_dir_all(&runs_in)?;
        }
        let (project, bug) = (project.to_owned(), String::new());
        let controls = Vec::new();
        Ok(Self { project, copy, runs_in, build, clean, binary, features: None, bug, controls })
    }

    /// This bug is the one that is planted from now on.
    pub(super) fn plant(&mut self, bug: &str) {
        bug.clone_into(&mut self.bug);
    }

    /// A file of the copy, as it is with a bug in it.
    pub(super) fn write(&self, file: &Path, text: &[u8]) -> Result<(), Problem> {
        if self.binary.is_some() {
            return Ok(());
        }
        write_if_changed(&self.copy.join(file), text)
    }

    /// Makes the copy equal to the project, touching only what differs, so that builds stay
    /// incremental.
    pub(super) fn restore(&self) -> Result<(), Problem> {
        if self.binary.is_some() {
            return Ok(());
        }
        let root = fs::canonicalize(&self.project)?;
        mirror(&root, &root, &self.copy)
    }

    /// How many seeds were clean in how many seconds, when this was asked of the project as it is.
    pub(super) fn known_clean(&self, what: &str) -> Option<(u64, f64)> {
        let text = fs::read_to_string(&self.clean).ok()?;
        let key = self.key(what).ok()?;
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let known = lines.rfind(|line| line["key"].as_str() == Some(&key))?;
        Some((known["seeds"].as_u64()?, known["seconds"].as_f64()?))
    }

    /// Remembers that.
    pub(super) fn note_clean(
        &self,
        what: &str,
        (seeds, seconds): (u64, f64),
    ) -> Result<(), Problem> {
        if self.known_clean(what).is_some() {
            return Ok(());
        }
        let line = json!({ "key": self.key(what)?, "seeds": seeds, "seconds": seconds });
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&self.clean)?;
        Ok(writeln!(file, "{line}")?)
    }

    /// The name of a question about the copy: it and every file there.
    fn key(&self, what: &str) -> Result<String, Problem> {
        let mut hasher = StableHasher::default();
        match &self.binary {
            Some(binary) => fs::read(binary)?.hash(&mut hasher),
            None => digest(&self.copy, &mut hasher)?,
        }
        Ok(format!("{what} {:#018x}", hasher.finish()))
    }

    /// A command of the copy, which is built first if it has to be.
    pub(super) fn command(&self) -> Result<Command, Problem> {
        if let Some(binary) = &self.binary {
            let mut command = Command::new(binary);
            command.current_dir(&self.runs_in).env("SEEDFALL_PLANTED", &self.bug);
            return Ok(command);
        }
        let mut command = Command::new("cargo");
        command
            .current_dir(&self.runs_in)
            .env("CARGO_TARGET_DIR", &self.build)
            // Many small builds: quick to build counts for more than quick to run.
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "256")
            .env("CARGO_PROFILE_RELEASE_INCREMENTAL", "true")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
            .args(["run", "--release", "--quiet"]);
        if let Some(features) = &self.features {
            command.args(["--features", features]);
        }
        command.arg("--");
        Ok(command)
    }
}

/// What a command printed first, which is JSON, or else why it is not.
pub(super) fn answer(command: &mut Command) -> Result<Result<Value, String>, Problem> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let value = text.lines().next().and_then(|line| serde_json::from_str(line).ok());
    Ok(value.ok_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        let first = errors.lines().find(|line| line.starts_with("error")).unwrap_or("no output");
        first.to_owned()
    }))
}

/// Every file of a folder, in the order of their names.
fn digest(folder: &Path, hasher: &mut StableHasher) -> Result<(), Problem> {
    let entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                digest(&path, hasher)?;
            }
        } else {
            path.to_string_lossy().hash(hasher);
            fs::read(&path)?.hash(hasher);
        }
    }
    Ok(())
}

/// Makes a folder of the copy equal to that of the project, whose root is `root`.
pub(in crate::commands) fn mirror(root: &Path, from: &Path, to: &Path) -> Result<(), Problem> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let (path, copy) = (entry.path(), to.join(&name));
        if path.is_dir() {
            // Wherever cargo builds, the copy is no part of itself.
            if name != "target" && name != ".git" && !to.starts_with(&path) {
                mirror(root, &path, &copy)?;
            }
        } else if name == "Cargo.toml" {
            let text = fs::read_to_string(&path)?;
            write_if_changed(&copy, with_paths(&text, root, from).as_bytes())?;
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

/// A manifest in which each path that leads out of the project leads to the same place from
/// anywhere.
fn with_paths(manifest: &str, root: &Path, folder: &Path) -> String {
    let mut text = String::new();
    let mut rest = manifest;
    while let Some(at) = rest.find("path") {
        let after = &rest[at + "path".len()..];
        text.push_str(&rest[..at + "path".len()]);
        rest = after;
        let value = after.trim_start().strip_prefix('=').map(str::trim_start);
        let Some(value) = value.and_then(|value| value.strip_prefix('"')) else { continue };
        let Some(path) = value.split('"').next() else { continue };
        let Ok(place) = fs::canonicalize(folder.join(path)) else { continue };
        if !place.starts_with(root) {
            text.push_str(&format!(" = {:?}", place.display().to_string()));
            rest = &value[path.len() + 1..];
        }
    }
    text + rest
}

fn write_if_changed(path: &Path, text: &[u8]) -> Result<(), Problem> {
    if fs::read(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    Ok(fs::write(path, text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_out_of_the_project_leads_to_the_same_place_from_the_copy() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = fs::canonicalize(folder.path()).expect("it is there");
        let (ours, library) = (base.join("ours"), base.join("library"));
        for folder in [ours.join("src"), ours.join("part"), library.clone()] {
            fs::create_dir_all(folder).expect("a folder");
        }
        let manifest = "[dependencies]\nlibrary = { path = \"../library\", features = [] }\n\
                        part = { path=\"part\" }\nother.path = \"../none\"\n\
                        [[bin]]\npath = \"src/main.rs\"\n";
        fs::write(ours.join("Cargo.toml"), manifest).expect("a file");
        let copy = base.join("elsewhere/deep/copy");
        assert!(mirror(&ours, &ours, &copy).is_ok());
        let copied = fs::read_to_string(copy.join("Cargo.toml")).expect("it is there");
        let absolute = format!("{:?}", library.display().to_string());
        assert_eq!(copied, manifest.replace("\"../library\"", &absolute));
    }

    #[test]
    fn a_copy_inside_the_project_is_no_part_of_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        let project = fs::canonicalize(folder.path()).expect("it is there");
        let copy = project.join("build/planted/copy");
        for folder in [project.join("src"), copy.clone()] {
            fs::create_dir_all(folder).expect("a folder");
        }
        fs::write(project.join("src/lib.rs"), "").expect("a file");
        assert!(mirror(&project, &project, &copy).is_ok());
        assert!(copy.join("src/lib.rs").is_file() && !copy.join("build").exists());
    }
}
