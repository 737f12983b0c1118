//! What pages quote is what it is quoted from: the code of `docs/compare.md`, the numbers of
//! README.

use crate::root;
use seedfall::faults::Class;
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

/// The number that stands before this text in README.
fn number_before(text: &str) -> usize {
    let page = fs::read_to_string(root().join("README.md")).expect("the page");
    let (before, _) = page.split_once(text).unwrap_or_else(|| panic!("README has no `{text}`"));
    let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or_else(|_| panic!("no number stands before `{text}`"))
}

#[test]
fn the_numbers_of_readme_are_those_of_the_project() {
    let files = |folder: &str, ending: &str| {
        let files = fs::read_dir(root().join(folder)).expect("a folder");
        let ends = |path: &std::path::Path| path.extension().is_some_and(|it| it == ending);
        files.filter(|file| file.as_ref().is_ok_and(|file| ends(&file.path()))).count()
    };
    assert_eq!(number_before(" bugs](docs/museum.md)"), files("tests/planted", "patch"));
    assert_eq!(number_before(" of them told"), files("tests/museum", "json"));
    assert_eq!(number_before(" classes of faults](docs/faults.md)"), Class::ALL.len());
}
