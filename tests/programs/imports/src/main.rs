//! Which functions of libc the crates of this workspace import: reads what `cargo build
//! --message-format=json` says, and prints a line of JSON for each package that imports some.
//!
//! What a crate imports stands in the object files of its library as symbols that are not defined
//! there; those that libc exports are what it takes from libc. Nothing has to be linked, or run.

use object::read::archive::ArchiveFile;
use object::{Object, ObjectSymbol};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::io::BufRead;

type Names = BTreeSet<String>;

fn main() -> Result<(), Box<dyn Error>> {
    let libc = exported()?;
    let named = named();
    let mut found: BTreeMap<(String, String), Names> = BTreeMap::new();
    for line in std::io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line?)?;
        let Some(package) = message["package_id"].as_str().and_then(package) else { continue };
        for file in message["filenames"].as_array().into_iter().flatten() {
            let file = file.as_str().unwrap_or_default();
            if file.ends_with(".rlib") {
                found.entry(package.clone()).or_default().extend(imports(file, &libc)?);
            }
        }
    }
    for ((name, version), imports) in found {
        let direct = named.contains(&name);
        if direct || !imports.is_empty() {
            let line = json!({
                "crate": name, "version": version, "direct": direct, "imports": imports,
            });
            println!("{line}");
        }
    }
    Ok(())
}

/// Name and version of a package of the registry.
fn package(id: &str) -> Option<(String, String)> {
    let (_, package) = id.strip_prefix("registry+")?.split_once('#')?;
    let (name, version) = package.split_once('@')?;
    Some((name.to_owned(), version.to_owned()))
}

/// The crates that Cargo.toml names, without those that this program itself needs.
fn named() -> Names {
    let text = include_str!("../Cargo.toml");
    let list = text.split_once("# The crates that are looked at").map_or("", |(_, list)| list);
    let list = list.split_once("\n[").map_or(list, |(list, _)| list);
    list.lines().skip(1).filter_map(|line| Some(line.split_once(" = ")?.0.to_owned())).collect()
}

/// What the libc of this process exports.
fn exported() -> Result<Names, Box<dyn Error>> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let path = maps.split_whitespace().find(|word| word.ends_with("libc.so.6"));
    let bytes = fs::read(path.ok_or("this program is not linked to glibc")?)?;
    let libc = object::File::parse(&*bytes)?;
    let exports = libc.dynamic_symbols().filter(ObjectSymbol::is_definition);
    Ok(exports.filter_map(|symbol| Some(symbol.name().ok()?.to_owned())).collect())
}

/// What the object files of a library take from libc.
fn imports(path: &str, libc: &Names) -> Result<Names, Box<dyn Error>> {
    let bytes = fs::read(path)?;
    let archive = ArchiveFile::parse(&*bytes)?;
    let (mut wanted, mut own) = (Names::new(), Names::new());
    for member in archive.members() {
        // The metadata of the library is a member, too.
        let member = member?;
        if !member.name().ends_with(b".o") {
            continue;
        }
        let file = object::File::parse(member.data(&*bytes)?)?;
        for symbol in file.symbols() {
            let Ok(name) = symbol.name() else { continue };
            if symbol.is_undefined() && libc.contains(name) {
                wanted.insert(name.to_owned());
            } else if symbol.is_definition() && symbol.is_global() {
                own.insert(name.to_owned());
            }
        }
    }
    Ok(wanted.difference(&own).cloned().collect())
}
