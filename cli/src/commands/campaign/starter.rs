//! `new`: a small crate with a first scenario, a canary, and files for CIs.

use super::{Problem, show};
use clap::Args;
use seedfall::save::save_new;
use std::path::{Path, PathBuf};

/// The files: where each goes, and what is in it.
const FILES: [(&str, &str); 6] = [
    ("Cargo.toml", include_str!("../../../templates/new/Cargo.toml.in")),
    ("src/lib.rs", include_str!("../../../templates/new/src/lib.rs.in")),
    ("tests/simulation.rs", include_str!("../../../templates/new/tests/simulation.rs.in")),
    (".github/workflows/simulation.yml", include_str!("../../../templates/github.yml.in")),
    (".gitlab-ci.yml", include_str!("../../../templates/gitlab.yml.in")),
    (".gitignore", "/target\n"),
];

/// What stands in the file of failures that are known.
const KNOWN: &str =
    "# Failures that are known: `scenario: fingerprint`, a line each. Others are red.\n";

#[derive(Debug, Args)]
pub(in crate::commands) struct NewArgs {
    /// The folder, whose name is that of the crate.
    name: PathBuf,
    /// The folder of Seedfall's sources; without it (and without --git), the published version.
    #[arg(long, value_name = "FOLDER", conflicts_with = "git")]
    path: Option<PathBuf>,
    /// The repository of Seedfall's sources.
    #[arg(long, value_name = "URL")]
    git: Option<String>,
}

impl NewArgs {
    /// How the crate names its dependency, and how `cargo seedfall` is installed.
    fn seedfall(&self) -> Result<(String, String), Problem> {
        let toml = |text: &str| serde_json::to_string(text).unwrap_or_default();
        if let Some(path) = &self.path {
            let path = std::path::absolute(path)?;
            if !path.join("seedfall/Cargo.toml").is_file() {
                return Err(Problem(format!(
                    "--path {}: expected the folder of Seedfall's sources, with seedfall/ in it",
                    path.display()
                )));
            }
            let path = path.display();
            let crate_path = toml(&format!("{path}/seedfall"));
            return Ok((
                format!("path = {crate_path}"),
                format!("cargo install --path {path}/cli --bin cargo-seedfall"),
            ));
        }
        Ok(match &self.git {
            Some(url) => (
                format!("git = {}", toml(url)),
                format!("cargo install --git {url} --bin cargo-seedfall seedfall-cli"),
            ),
            None => (
                format!("version = \"{}\"", env!("CARGO_PKG_VERSION")),
                "cargo install --bin cargo-seedfall seedfall-cli".to_owned(),
            ),
        })
    }
}

/// `new`.
pub(super) fn new(args: &NewArgs) -> Result<u8, Problem> {
    let name = args.name.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(plain) {
        return Err(Problem(format!(
            "`{name}` is no name for a crate; expected lower-case letters, digits, `-` and `_`"
        )));
    }
    if args.name.exists() {
        return Err(Problem(format!(
            "{}: there already; nothing is overwritten",
            args.name.display()
        )));
    }
    let (seedfall, install) = args.seedfall()?;
    let fill = |text: &str| {
        text.replace("@NAME@", &name)
            .replace("@CRATE@", &name.replace('-', "_"))
            .replace("@SEEDFALL@", &seedfall)
            .replace("@INSTALL@", &install)
    };
    let write = |path: &Path, text: &str| {
        save_new(path, text.as_bytes())
            .map_err(|error| Problem(format!("{}: {error}", path.display())))
    };
    for (path, text) in FILES {
        write(&args.name.join(path), &fill(text))?;
    }
    write(&args.name.join("known-failures.txt"), KNOWN)?;
    show::line(&format!("{}: a crate with a scenario and a canary", args.name.display()));
    show::line(&format!("  cd {} && cargo seedfall run --release --seeds 2k", args.name.display()));
    Ok(0)
}
