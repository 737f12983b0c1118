//! Rules of STYLE.md that a program can check; each failure says file, line and what to do.

use crate::root;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const WIDEST: usize = 100;
const LONGEST: usize = 600;

/// Every Rust file of the project, with its path from the root.
fn sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target" && name != ".git") {
                    walk(&path, found);
                }
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    found.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("readable text");
        (path.strip_prefix(root()).expect("below the root").to_owned(), text)
    };
    found.into_iter().map(read).collect()
}

fn check(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    let bare = |(path, text): (PathBuf, String)| {
        let first = text.lines().find(|line| !line.starts_with("#!["));
        let said = first.is_some_and(|line| line.starts_with("//!"));
        (!said).then(|| path.display().to_string())
    };
    let wrong: Vec<String> = sources().into_iter().filter_map(bare).collect();
    check("a file begins with `//!`", &wrong);
}

#[test]
fn lines_and_files_are_short() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let path = path.display();
        for (index, line) in text.lines().enumerate() {
            // A line of a history inside a test is data.
            let data = line.trim_start().contains("{\"client\"");
            if line.chars().count() > WIDEST && !data {
                wrong.push(format!("{path}:{}: wider than {WIDEST}: break it", index + 1));
            }
        }
        let lines = text.lines().count();
        if lines > LONGEST {
            wrong.push(format!("{path}: {lines} lines, more than {LONGEST}: split it"));
        }
    }
    check("lines and files are short", &wrong);
}

/// What the simulated crates must not name: each would let the machine into a run.
/// The first folder that a file is in counts.
const ABSENT: [(&str, &[&str]); 9] = [
    // A program and its client, whose sockets are those of the simulated Linux.
    ("seedfall/src/programs/storage.rs", &["seedfall_protocols", "tokio", "clap"]),
    // The real wire is where the machine is; madsim does not replay what `select!` chooses.
    ("real/src/driver", &["std::env", "std::thread", "seedfall_protocols", "select!"]),
    ("sim/src", &["std::fs", "std::net", "std::thread", "std::env", "thread_local!", "static mut"]),
    ("net/src", &["std::fs", "std::net", "std::thread", "std::env", "seedfall_protocols"]),
    ("faults/src", &["std::fs", "std::net", "std::thread", "std::env", "seedfall_protocols"]),
    ("checkers/src", &["std::thread", "std::env", "std::net", "seedfall_sim"]),
    ("protocols/src", &["std::fs", "std::net", "std::thread", "std::env", "seedfall_net", "rand"]),
    ("seedfall/src", &["seedfall_protocols", "seedfall_scenarios", "tokio", "clap", "std::net"]),
    ("cli/src", &["seedfall_protocols", "seedfall_scenarios"]),
];

#[test]
fn what_must_be_absent_is_absent() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        if let Some((folder, words)) = ABSENT.iter().find(|(folder, _)| path.starts_with(folder)) {
            for (index, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                let named = |word: &&&str| {
                    code.split(|c: char| !c.is_alphanumeric() && !"_:!".contains(c))
                        .any(|token| token == **word || token.starts_with(&format!("{}::", **word)))
                };
                if let Some(word) = words.iter().find(named) {
                    let place = format!("{}:{}", path.display(), index + 1);
                    wrong.push(format!("{place}: names {word}: {folder} must not"));
                }
            }
        }
    }
    check("what must be absent is absent", &wrong);
}

/// The crates that others can depend on: a registry asks for these lines, and refuses a path
/// without a version.
#[test]
fn what_is_published_says_what_a_registry_asks_for() {
    let read = |path: &Path| fs::read_to_string(path).expect("readable text");
    let workspace = read(&root().join("Cargo.toml"));
    let published =
        ["sim", "net", "faults", "kernel", "checkers", "protocols", "seedfall", "real", "cli"];
    let mut wrong = Vec::new();
    for name in published {
        let manifest = read(&root().join(name).join("Cargo.toml"));
        for line in ["description = ", "readme = ", "keywords = ", "categories = ", "license."] {
            if !manifest.contains(&format!("\n{line}")) {
                wrong.push(format!("{name}/Cargo.toml: no line `{line}...`"));
            }
        }
        if !manifest.contains("[package.metadata.docs.rs]") || manifest.contains("\npublish") {
            wrong.push(format!("{name}/Cargo.toml: no settings for docs.rs, or not published"));
        }
        if !root().join(name).join("README.md").is_file() {
            wrong.push(format!("{name}/README.md: not there"));
        }
        let versioned = format!("path = \"{name}\", version = \"0.1.0\"");
        if !workspace.contains(&versioned) {
            wrong.push(format!("Cargo.toml: no `{versioned}`"));
        }
    }
    check("what is published says what a registry asks for", &wrong);
}

/// What whoever depends on the library compiles: none of what only commands, services or the
/// built-in scenarios need.
#[test]
fn the_library_is_small() {
    let tree = ["tree", "-p", "seedfall", "-e", "normal", "--prefix", "none", "--offline"];
    let output = Command::new(env!("CARGO")).current_dir(root()).args(tree).output();
    let output = output.expect("cargo runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let crates: BTreeSet<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(crates.contains("seedfall-sim"), "{}", String::from_utf8_lossy(&output.stderr));
    for absent in ["seedfall-protocols", "seedfall-kernel", "clap", "proptest", "diffy"] {
        assert!(!crates.contains(absent), "the library compiles {absent}");
    }
    assert!(!crates.iter().any(|name| name.contains("tokio")), "the library compiles tokio");
    assert!(crates.len() <= 40, "{} crates: what is the new one for?", crates.len());
}
