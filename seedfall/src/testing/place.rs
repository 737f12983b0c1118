//! Where a test stands: its crate, its binary, its name; and the lines to paste that run it again.

use std::env;
use std::path::{Path, PathBuf};

/// What is known of the running test.
pub(super) struct Place {
    /// The folder of the crate's `Cargo.toml`.
    crate_folder: PathBuf,
    /// The crate.
    package: Option<String>,
    /// The test binary.
    binary: PathBuf,
    /// The test, as `--exact` takes it.
    test: String,
}

impl Place {
    /// Of the test that this thread runs.
    pub(super) fn here() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "a failure says how to run the test again; a run never sees it"
        )]
        let ask = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        // Cargo says so when it runs tests, and runs them there.
        let folder = ask("CARGO_MANIFEST_DIR").map(PathBuf::from);
        Self {
            crate_folder: folder.or_else(|| env::current_dir().ok()).unwrap_or_default(),
            package: ask("CARGO_PKG_NAME"),
            binary: env::current_exe().unwrap_or_default(),
            test: test_name(),
        }
    }

    /// The test, as `--exact` takes it.
    pub(super) fn test(&self) -> String {
        self.test.clone()
    }

    /// Where cases are kept that the crate's tests replay.
    pub(super) fn kept(&self) -> PathBuf {
        self.crate_folder.join("tests/regressions")
    }

    /// Where failures are left: `seedfall` in cargo's target folder.
    pub(super) fn output(&self) -> PathBuf {
        // target/PROFILE/deps/NAME-HASH, or `examples` in the place of `deps`.
        let built = |folder: &&Path| folder.ends_with("deps") || folder.ends_with("examples");
        let target = self.binary.parent().filter(built).and_then(|deps| deps.parent()?.parent());
        let target = target.map_or_else(|| self.crate_folder.join("target"), Path::to_owned);
        target.join("seedfall")
    }

    /// A path as short as it can be said and still be found by a test of this crate, which cargo
    /// runs in the crate's folder.
    pub(super) fn short(&self, path: &Path) -> String {
        path.strip_prefix(&self.crate_folder).unwrap_or(path).display().to_string()
    }

    /// The command that runs this test, and no other.
    pub(super) fn command(&self) -> String {
        let package = self.package.as_ref().map(|name| format!(" -p {name}")).unwrap_or_default();
        format!("cargo test{package}{} -- --exact {}", self.target(), self.test)
    }

    /// Which of the crate's test binaries this is, if its file says so.
    fn target(&self) -> String {
        let stem = self.binary.file_stem().unwrap_or_default().to_string_lossy();
        let Some((name, _hash)) = stem.rsplit_once('-') else { return String::new() };
        let is_there = |path: String| self.crate_folder.join(path).is_file();
        if is_there(format!("tests/{name}.rs")) || is_there(format!("tests/{name}/main.rs")) {
            return format!(" --test {name}");
        }
        if is_there(format!("examples/{name}.rs")) {
            return format!(" --example {name}");
        }
        String::new()
    }
}

/// The name of the running test, to be pasted.
fn test_name() -> String {
    // The test harness names its threads after the tests; a test that is alone in its process was
    // named on its command line.
    let thread = std::thread::current();
    match thread.name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default(),
    }
}
