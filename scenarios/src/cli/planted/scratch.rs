//! A copy of a project, in which bugs are planted.

use super::super::Problem;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A copy of a project, in which bugs are planted.
pub(super) struct Scratch {
    pub(super) project: PathBuf,
    pub(super) copy: PathBuf,
    /// Where in the copy `cargo run` is called.
    pub(super) runs_in: PathBuf,
}

impl Scratch {
    /// Makes the copy equal to the project, touching only what differs, so that builds stay
    /// incremental.
    pub(super) fn restore(&self) -> Result<(), Problem> {
        mirror(&self.project, &self.copy)
    }

    /// A command of the copy, which is built first if it has to be.
    pub(super) fn command(&self) -> Result<Command, Problem> {
        let mut command = Command::new("cargo");
        let target = fs::canonicalize(&self.project)?.join("target/planted/build");
        command
            .current_dir(&self.runs_in)
            .env("CARGO_TARGET_DIR", target)
            // Many small builds: quick to build counts for more than quick to run.
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .env("CARGO_PROFILE_RELEASE_INCREMENTAL", "true")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
            .args(["run", "--release", "--quiet", "--"]);
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

pub(super) fn write_if_changed(path: &Path, text: &[u8]) -> Result<(), Problem> {
    if fs::read(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    Ok(fs::write(path, text)?)
}
