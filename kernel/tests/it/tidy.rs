//! Where `unsafe` may stand: in `hooks/` and in `machine/`, and nowhere else.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn unsafe_code_stands_in_two_places_and_says_why() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    for path in found {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        let text = fs::read_to_string(&path).unwrap();
        let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        let blocks =
            code.filter(|line| line.contains("unsafe ") || line.contains("unsafe(")).count();
        let may = name.starts_with("hooks/") || name.starts_with("machine/");
        assert!(may || blocks == 0, "{name} has unsafe code: it belongs into hooks/ or machine/");
        assert!(may || !text.contains("allow(unsafe"), "{name} allows unsafe code");
    }
}
