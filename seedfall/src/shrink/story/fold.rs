//! What repeats in a story is told once.

use seedfall_sim::Time;
use std::collections::BTreeMap;

/// What repeats less often is told each time.
const OFTEN: usize = 4;

/// One line of a story.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) at: Time,
    pub(super) text: String,
    /// It stands for itself, however often the like of it is said.
    pub(super) keep: bool,
}

/// The lines as text. Between two that are told for themselves, all of one shape are a line, with
/// how many they are and until when. `alike`: lines that differ in numbers alone have one shape.
pub(super) fn fold(lines: &[Line], alike: bool) -> Vec<String> {
    let shape = |text: &str| -> String {
        if alike { text.chars().filter(|c| !c.is_ascii_digit()).collect() } else { text.to_owned() }
    };
    let mut often: BTreeMap<String, usize> = BTreeMap::new();
    for line in lines {
        *often.entry(shape(&line.text)).or_default() += 1;
    }
    let repeats = |line: &Line| !line.keep && often[&shape(&line.text)] >= OFTEN;
    let mut told = Vec::new();
    for piece in lines.chunk_by(|one, two| repeats(one) && repeats(two)) {
        let mut shapes: BTreeMap<String, (usize, Time)> = BTreeMap::new();
        for line in piece {
            let (count, last) = shapes.entry(shape(&line.text)).or_insert((0, line.at));
            (*count, *last) = (*count + 1, line.at);
        }
        for Line { at, text, .. } in piece {
            let shape = shape(text);
            let more = match shapes.get(&shape) {
                Some((count, last)) if *count >= OFTEN => {
                    let like = if alike { "the like of it " } else { "the same " };
                    format!(" ({like}{} times more, until {last})", count - 1)
                }
                Some(_) => String::new(),
                None => continue,
            };
            if !more.is_empty() {
                shapes.remove(&shape);
            }
            told.push(format!("{:>10}  {text}{more}", at.to_string()));
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::{Line, fold};
    use seedfall_sim::Time;

    fn lines(texts: &[&str]) -> Vec<Line> {
        let line = |(at, text): (u64, &&str)| Line {
            at: Time::from_nanos(at * 1_000_000),
            text: (*text).to_owned(),
            keep: false,
        };
        (0..).zip(texts).map(line).collect()
    }

    #[test]
    fn what_repeats_is_one_line_and_what_does_not_stays() {
        let round = ["c1 asks n1: x", "c1 is told by n1: NotLeader"];
        let mut texts = vec!["n1 crashes"];
        (0..500).for_each(|_| texts.extend(round));
        texts.push("n1 comes back");
        let told = fold(&lines(&texts), false);
        assert_eq!(told.len(), 4, "{told:#?}");
        assert!(told[1].contains("c1 asks n1: x (the same 499 times more, until 0.999000s)"));
        assert!(told[0].contains("crashes") && told[3].contains("comes back"), "{told:#?}");
        let few = fold(&lines(&["a 1", "a 2", "a 3", "a 4"]), false);
        assert_eq!(few.len(), 4, "{few:#?}");
        let few = fold(&lines(&["a 1", "a 2", "a 3", "a 4"]), true);
        assert_eq!(few.len(), 1, "{few:#?}");
        assert!(few[0].contains("a 1 (the like of it 3 times more"), "{few:#?}");
    }
}
