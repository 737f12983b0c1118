//! `docs/coverage.md`: call by call, what of Linux is simulated, as the hooks and the backstop say
//! it themselves. `UPDATE_GOLDEN=1` writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

type Names = BTreeSet<String>;

/// The functions of libc that one file of hooks defines.
#[derive(Default)]
struct Hooks {
    simulated: Names,
    /// Their answer is that all is well, and nothing else comes of them.
    accepted: Names,
    refused: Names,
}

fn source(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name)).unwrap()
}

fn word(text: &str) -> &str {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    &text[..text.find(|c| !is_part(c)).unwrap_or(text.len())]
}

/// What stands between a beginning and the next end.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> impl Iterator<Item = &'a str> {
    let parts = text.split(begin).skip(1);
    parts.filter_map(move |part| Some(part.split_once(end)?.0)).collect::<Vec<_>>().into_iter()
}

fn hooks(text: &str) -> Hooks {
    let mut found = Hooks::default();
    for block in between(text, "\nhooks! {", "\n}") {
        for entry in block.split("\n    fn ").skip(1) {
            let nothing = entry.trim_end().ends_with("=> Ok(0);")
                || entry.split_whitespace().collect::<String>().ends_with("=>Ok(0);");
            let kind = match () {
                () if nothing => &mut found.accepted,
                () => &mut found.simulated,
            };
            kind.insert(word(entry).to_owned());
        }
    }
    for block in between(text, "\nrefused! {", "\n}") {
        found.refused.extend(block.split("\n    fn ").skip(1).map(|entry| word(entry).to_owned()));
    }
    for ends in between(text, "\nends!(", ")") {
        found.simulated.extend(ends.split_whitespace().map(str::to_owned));
    }
    let symbols = text.split("#[unsafe(no_mangle)]\npub(crate) unsafe extern \"C\" fn ").skip(1);
    found.simulated.extend(symbols.map(|entry| word(entry).to_owned()));
    found
}

fn numbers(text: &str) -> Names {
    text.split("SYS_").skip(1).map(|rest| word(rest).to_owned()).collect()
}

fn page() -> String {
    let files = ["descriptors", "files", "names", "threads", "memory", "maps", "numbers"];
    let titles = [
        "Descriptors, epoll, poll, sockets",
        "Files and folders",
        "Names of hosts",
        "Time, random bytes, threads, the end of a process",
        "Memory",
        "Files in memory",
        "Calls by number",
    ];
    let found: Vec<Hooks> =
        files.iter().map(|file| hooks(&source(&format!("hooks/{file}.rs")))).collect();
    let backstop = source("backstop.rs");
    let first = |begin, end| numbers(between(&backstop, begin, end).next().unwrap());
    let real = first("REAL: [i64; ", "];");
    let absent = first("Policy::Real,\n", "=> Policy::Absent");
    let mut served = numbers(&source("hooks/numbers.rs"));
    served.retain(|name| !real.contains(name));
    let all = |pick: fn(&Hooks) -> &Names| -> Names {
        found.iter().flat_map(|hooks| pick(hooks).clone()).collect()
    };
    let (accepted, refused) = (all(|one| &one.accepted), all(|one| &one.refused));
    let simulated = all(|one| &one.simulated).len();
    let list = |names: &Names| {
        let all: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        all.join(", ")
    };
    let mut page = format!(
        "# What of Linux is simulated\n\n\
         Generated from the hooks of `kernel/` by a test. A program calls functions of libc: {} of \
         them are simulated, {} are accepted and do nothing, {} end the run, which names them. \
         Functions that compute alone are libc's own; of those that are neither, \
         `seedfall_kernel::audit` lists the ones that a binary imports.\n\n\
         What is called without a symbol, by libc itself or by crates like rustix, is caught by \
         number (the backstop): {} system calls are served, {} touch the process alone and are \
         real, {} are absent (`ENOSYS`), and any other ends the run with its name and a \
         backtrace.\n",
        simulated,
        accepted.len(),
        refused.len(),
        served.len(),
        real.len(),
        absent.len(),
    );
    for (title, hooks) in titles.iter().zip(&found) {
        page += &format!("\n## {title}\n\n{}\n", list(&hooks.simulated));
    }
    page += &imported(&found);
    for (title, names) in [
        ("Accepted, without an effect", &accepted),
        ("Refused: the run ends, and says so", &refused),
        ("By number: served", &served),
        ("By number: real", &real),
        ("By number: absent", &absent),
    ] {
        page += &format!("\n## {title}\n\n{}\n", list(names));
    }
    page
}

/// One package of `docs/imports.jsonl`: what it takes from libc.
struct Package {
    name: String,
    version: String,
    /// It is one of those that were chosen, and not only needed by them.
    direct: bool,
    imports: Names,
}

/// As `tests/programs/imports/run` wrote them down.
fn packages() -> Vec<Package> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/imports.jsonl");
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let lines = fs::read_to_string(path).unwrap();
    let package = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        Package {
            name: text(&value["crate"]),
            version: text(&value["version"]),
            direct: value["direct"] == true,
            imports: value["imports"].as_array().unwrap().iter().map(text).collect(),
        }
    };
    lines.lines().map(package).collect()
}

/// What crates that do I/O import, and what becomes of it here.
fn imported(found: &[Hooks]) -> String {
    let packages = packages();
    let mut importers: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in &packages {
        for call in &package.imports {
            importers.entry(call).or_default().insert(&package.name);
        }
    }
    let has = |pick: fn(&Hooks) -> &Names, call: &str| {
        found.iter().any(|hooks| pick(hooks).contains(call))
    };
    let (mut counts, mut refused, mut others) = ([0; 5], Vec::new(), Vec::new());
    for (call, by) in &importers {
        let which = match () {
            () if has(|hooks| &hooks.simulated, call) => 0,
            () if has(|hooks| &hooks.accepted, call) => 1,
            () if has(|hooks| &hooks.refused, call) => 2,
            () if seedfall_kernel::computes_alone(call) => 3,
            () => 4,
        };
        counts[which] += 1;
        match which {
            2 => refused.push((*call, by)),
            4 => others.push((*call, by)),
            _ => {}
        }
    }
    let direct: Vec<String> = packages
        .iter()
        .filter(|package| package.direct)
        .map(|package| format!("{} {}", package.name, package.version))
        .collect();
    let [simulated, accepted, refuses, alone, rest] = counts;
    format!(
        "\n## What crates import\n\n\
         {} versions of crates that do I/O, chosen by hand among the most used, were built with \
         all that they depend on (`tests/programs/imports/run`): what their object files take from \
         libc is {} functions. {simulated} of them are simulated, {alone} compute alone, \
         {accepted} are accepted, {refuses} are refused, {rest} are libc's own. Of these a call \
         that makes a system call is served by number, or ends the run with its name.\n\n\
         | refused | imported by |\n|---|---|\n{}\n\
         | libc's own | imported by |\n|---|---|\n{}\n\
         The crates: {}.\n",
        direct.len(),
        importers.len(),
        table(&refused),
        table(&others),
        direct.join(", "),
    )
}

/// A row for each set of importers, those with the most first.
fn table(calls: &[(&str, &BTreeSet<&str>)]) -> String {
    let mut rows: BTreeMap<&BTreeSet<&str>, Vec<String>> = BTreeMap::new();
    for (call, by) in calls {
        rows.entry(by).or_default().push(format!("`{call}`"));
    }
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by_key(|(by, _)| std::cmp::Reverse(by.len()));
    let row = |(by, calls): (&BTreeSet<&str>, Vec<String>)| {
        let by: Vec<&str> = by.iter().copied().collect();
        format!("| {} | {} |\n", calls.join(", "), by.join(", "))
    };
    rows.into_iter().map(row).collect()
}

#[test]
fn the_page_of_calls_says_what_the_hooks_are() {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/coverage.md");
    let page = page();
    for known in ["`epoll_wait`", "`copy_file_range`", "`posix_spawn`", "`io_uring_setup`"] {
        assert!(page.contains(known), "{known}");
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == page, "docs/coverage.md is not what the hooks are: UPDATE_GOLDEN=1");
}
