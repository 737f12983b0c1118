//! Numbers as people read them, and commands as they paste them.

use std::sync::OnceLock;

/// A command of the binary that runs a scenario, to be pasted into a shell: `replay` with its
/// arguments, behind what starts that binary. That is `cargo run --release --`, or what the
/// environment variable `SEEDFALL_COMMAND` says: where cargo has to be told more (`cargo run -p
/// trials --bin sim --`), or a script builds the binary.
pub fn command(arguments: &str) -> String {
    format!("{} {arguments}", start())
}

/// Whether a line has a command in it that is to be pasted.
pub fn is_command(line: &str) -> bool {
    ["cargo run ", "cargo test ", start()].iter().any(|start| line.contains(start))
}

/// What starts the binary.
#[expect(
    clippy::disallowed_methods,
    reason = "a failure says how to run the scenario again; a run never sees it"
)]
fn start() -> &'static str {
    static START: OnceLock<String> = OnceLock::new();
    let said = || std::env::var("SEEDFALL_COMMAND").ok().filter(|said| !said.trim().is_empty());
    START.get_or_init(|| said().unwrap_or_else(|| "cargo run --release --".to_owned()))
}

/// With a comma at every third digit: `1,877`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things, each of which is a `thing`: `1 fault`, `2 faults`.
pub fn counted(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", count(number), if number == 1 { "" } else { "s" })
}

/// How many are left of a number of things: `1 of 20 faults`, `0 of 1 fault`.
pub fn left(number: u64, of: u64, thing: &str) -> String {
    format!("{} of {}", count(number), counted(of, thing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas_and_things_have_their_plural() {
        assert_eq!((count(7), count(1_877)), ("7".to_owned(), "1,877".to_owned()));
        assert_eq!(counted(1, "fault"), "1 fault");
        assert_eq!(counted(0, "fault"), "0 faults");
        assert_eq!(left(143, 1_877, "event"), "143 of 1,877 events");
    }
}
