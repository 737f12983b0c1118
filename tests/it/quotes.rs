//! The code that `docs/compare.md` quotes is the code that was run: `tests/compare`.

use crate::root;
use std::fs;

/// The lines of a file between `// begin PART` and `// end PART`, without their common indentation.
fn part(file: &str, part: &str) -> String {
    let path = root().join("tests/compare/src/bin").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let (begin, end) = (format!("// begin {part}"), format!("// end {part}"));
    let lines = text.lines().skip_while(|line| line.trim() != begin).skip(1);
    let lines: Vec<&str> = lines.take_while(|line| line.trim() != end).collect();
    assert!(!lines.is_empty(), "{file}: no `{begin}`");
    let blank = |line: &&&str| !line.trim().is_empty();
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let least = lines.iter().filter(blank).map(indent).min().unwrap_or_default();
    lines.iter().map(|line| line.get(least..).unwrap_or_default().to_owned() + "\n").collect()
}

/// Behind `<!-- FILE PART -->` stands that part of that file. `UPDATE_QUOTES=1` writes the page
/// anew.
#[test]
fn the_code_of_the_comparison_is_the_code_that_was_run() {
    let path = root().join("docs/compare.md");
    let page = fs::read_to_string(&path).expect("the page");
    let mut written = String::new();
    let mut rest = page.as_str();
    let mut quoted = 0;
    while let Some((before, after)) = rest.split_once("<!-- with_") {
        let (name, after) = after.split_once(" -->\n").expect("the comment ends");
        let (file, what) = name.split_once(' ').expect("a file and a part");
        let (_, after) = after.split_once("```rust\n").expect("code follows");
        let (_, after) = after.split_once("```\n").expect("the code ends");
        let code = part(&format!("with_{file}"), what);
        written += &format!("{before}<!-- with_{name} -->\n```rust\n{code}```\n");
        rest = after;
        quoted += 1;
    }
    written += rest;
    assert_eq!(quoted, 12, "a service and a test for each of six tools");
    if std::env::var_os("UPDATE_QUOTES").is_some() {
        fs::write(&path, &written).expect("the page can be written");
    }
    assert!(
        page == written,
        "docs/compare.md quotes other code than tests/compare has: UPDATE_QUOTES=1"
    );
}
