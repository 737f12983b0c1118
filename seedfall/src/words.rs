//! Numbers as people read them.

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
