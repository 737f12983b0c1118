//! `seedfall exhaust`: every order of events, to a bound.

use super::{Problem, show};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use seedfall::exhaustive::{Bounds, Counterexample, Exploration, Extent, Search};
use seedfall::words::{count, counted};
use seedfall::{NEVER_PANICS, save};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(after_help = "\
Every message may arrive at any time or never, every timer ring whenever it is set, every node
crash between any two effects and come back; so often as the bounds say. What is found broken is
broken by the fewest steps that can do it.

Exit codes: 0 nothing is broken (or what the search must find is), 1 a property is broken (always so
by the steps of a file), 2 bad input, 4 a search that must find something found nothing, or a
history could not be judged within its budget, 5 the protocol panicked.

Examples:
  seedfall exhaust                              what there is to be searched
  seedfall exhaust paxos                        every state, to the search's own bounds
  seedfall exhaust 2pc --crashes 0 --copies 1   to other bounds
  seedfall exhaust copied-register --save target/copied.json
  seedfall exhaust target/copied.json           the same steps again")]
pub(super) struct ExhaustArgs {
    /// The search, or the file of a counterexample; without it, a list.
    target: Option<String>,
    /// No further than so many steps.
    #[arg(long, value_name = "N")]
    depth: Option<u32>,
    /// How many timers may ring, of all nodes together: a number, or `any`.
    #[arg(long, value_name = "N", value_parser = parse_bound)]
    timers: Option<u32>,
    /// How many crashes there may be, of all nodes together: a number, or `any`.
    #[arg(long, value_name = "N", value_parser = parse_bound)]
    crashes: Option<u32>,
    /// How many messages may arrive twice: a number, or `any`.
    #[arg(long, value_name = "N", value_parser = parse_bound)]
    copies: Option<u32>,
    /// Do not go on from a state with more messages on their way.
    #[arg(long, value_name = "N", value_parser = parse_bound)]
    messages: Option<u32>,
    /// Give up after so many states; each takes about 36 bytes.
    #[arg(long, value_name = "N")]
    states: Option<u32>,
    /// Keep the counterexample in this file.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

/// Reads a bound.
fn parse_bound(text: &str) -> Result<u32, String> {
    match text {
        "any" => Ok(Bounds::ANY),
        _ => text.parse().map_err(|_| format!("`{text}`; expected a number, or `any`")),
    }
}

/// A counterexample as a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Kept {
    /// The search.
    exhaust: String,
    property: String,
    timers: u32,
    crashes: u32,
    copies: u32,
    steps: Vec<String>,
}

/// `exhaust`.
pub(super) fn exhaust(searches: &[Search], args: &ExhaustArgs, json: bool) -> Result<u8, Problem> {
    let Some(target) = &args.target else {
        list(searches, json);
        return Ok(0);
    };
    let path = Path::new(target);
    if path.extension().is_some() || path.is_file() {
        return again(searches, path, json);
    }
    let search = find(searches, target)?;
    let bounds = Bounds {
        depth: args.depth.unwrap_or(search.bounds.depth),
        timers: args.timers.unwrap_or(search.bounds.timers),
        crashes: args.crashes.unwrap_or(search.bounds.crashes),
        duplicates: args.copies.unwrap_or(search.bounds.duplicates),
        messages: args.messages.unwrap_or(search.bounds.messages),
        states: args.states.unwrap_or(search.bounds.states),
        ..search.bounds
    };
    bounds.validate().map_err(Problem)?;
    let bar = if json { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    bar.set_style(ProgressStyle::with_template("{spinner} {elapsed} {msg}")?);
    #[expect(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "how fast it is; a search never sees it"
    )]
    let begun = std::time::Instant::now();
    let found = search.run(bounds, &mut |far| {
        let (states, left) = (count(far.states.into()), count(far.left as u64));
        bar.set_message(format!("{states} states, {left} left at depth {}", far.depth));
        bar.tick();
    });
    let seconds = begun.elapsed().as_secs_f64();
    bar.finish_and_clear();
    match (&args.save, &found.counterexample) {
        (Some(path), Some(broken)) => keep(search, &bounds, broken, path)?,
        (Some(path), None) if !json => {
            show::line(&format!("nothing is broken, so {} is not written", path.display()));
        }
        _ => {}
    }
    match json {
        true => show::json(&as_json(search, &found, seconds)),
        false => tell(search, &found, seconds),
    }
    Ok(code(search.breaks, &found))
}

fn code(breaks: Option<&str>, found: &Exploration) -> u8 {
    let broken = found.counterexample.as_ref();
    match (breaks, broken.map(|broken| broken.property)) {
        // What nobody could judge may be broken.
        (None, None) if found.undecided > 0 => 4,
        (None, None) => 0,
        (Some(expected), Some(found)) if expected == found => 0,
        (_, Some(NEVER_PANICS)) => 5,
        (_, Some(_)) => 1,
        (Some(_), None) => 4,
    }
}

fn find<'a>(searches: &'a [Search], name: &str) -> Result<&'a Search, Problem> {
    let names: Vec<&str> = searches.iter().map(|search| search.name).collect();
    searches.iter().find(|search| search.name == name).ok_or_else(|| {
        let near = names.iter().filter(|known| strsim::damerau_levenshtein(known, name) < 4).min();
        Problem(match (near, names.is_empty()) {
            (Some(near), _) => format!("unknown search `{name}`; did you mean `{near}`?"),
            (None, false) => {
                format!("unknown search `{name}`; there are: {}", names.join(", "))
            }
            (None, true) => "this program has no search to be made exhaustively".to_owned(),
        })
    })
}

fn list(searches: &[Search], json: bool) {
    for search in searches {
        if json {
            show::json(&json!({
                "exhaust": search.name, "story": search.story, "breaks": search.breaks,
                "bounds": search.bounds.to_string(),
            }));
            continue;
        }
        show::line(&format!("{}\n  {}", search.name, search.story));
        let must =
            search.breaks.map_or(String::new(), |what| format!("; must find `{what}` broken"));
        show::line(&format!("  {}{must}", search.bounds));
    }
}

/// How far the search went, in words.
fn extent(found: &Exploration) -> String {
    match (found.extent, &found.counterexample) {
        (_, Some(broken)) => format!(
            "`{}` is broken in {}",
            broken.property,
            counted(broken.steps.len() as u64, "step")
        ),
        (Extent::Complete, None) => "complete: nothing is left, and nothing is broken".to_owned(),
        (Extent::Depth(depth), None) => {
            format!("complete to depth {depth}, and nothing is broken; there are deeper states")
        }
        (Extent::States(depth), None) => format!(
            "complete to depth {depth}, and nothing is broken; then it gave up (--states N)"
        ),
    }
}

fn tell(search: &Search, found: &Exploration, seconds: f64) {
    show::line(&format!("{}: {}", search.name, extent(found)));
    show::line(&format!("  bounds    {}", found.bounds));
    let states = f64::from(found.states);
    show::line(&format!(
        "  states    {}, {} apart at most; {} led there",
        count(found.states.into()),
        counted(found.depth.into(), "step"),
        counted(found.steps, "step"),
    ));
    show::line(&format!(
        "  cost      {seconds:.2} s, {} states a second, {:.1} bytes a state, {} run",
        count((states / seconds.max(1e-6)) as u64),
        found.bytes as f64 / states,
        counted(found.handlers as u64, "handler"),
    ));
    if found.undecided > 0 {
        let histories = counted(found.undecided, "history");
        show::line(&format!("  UNKNOWN   {histories} that no judge decided within its budget"));
    }
    let Some(broken) = &found.counterexample else {
        let marks: Vec<&str> = found.marks.iter().map(|(mark, _)| *mark).collect();
        for (index, mark) in marks.iter().enumerate() {
            show::line(&format!(
                "  {}{mark}",
                if index == 0 { "reached   " } else { "          " }
            ));
        }
        return;
    };
    show::line(&format!("  but       {}", broken.explanation));
    story(broken);
    if search.breaks == Some(broken.property) {
        show::line("as it must: this is a negative control");
    }
}

fn story(broken: &Counterexample) {
    for (index, (step, effects)) in broken.steps.iter().zip(&broken.effects).enumerate() {
        show::line(&format!("{:>4}  {step}", index + 1));
        for effect in effects {
            show::line(&format!("        {effect}"));
        }
    }
}

fn as_json(search: &Search, found: &Exploration, seconds: f64) -> serde_json::Value {
    let broken = found.counterexample.as_ref();
    json!({
        "exhaust": search.name, "bounds": found.bounds.to_string(),
        "complete": broken.is_none() && found.extent == Extent::Complete,
        "depth": match found.extent {
            Extent::Complete => found.depth,
            Extent::Depth(depth) | Extent::States(depth) => depth,
        },
        "states": found.states, "steps": found.steps, "seconds": seconds,
        "bytes": found.bytes, "handlers": found.handlers, "undecided": found.undecided,
        "ends": found.ends.0, "ends_waiting": found.ends.1,
        "marks": found.marks.iter().map(|(mark, _)| mark).collect::<Vec<_>>(),
        "property": broken.map(|broken| broken.property),
        "explanation": broken.map(|broken| &broken.explanation),
        "counterexample": broken.map(|broken| &broken.steps),
        "as_expected": code(search.breaks, found) == 0,
    })
}

fn keep(
    search: &Search,
    bounds: &Bounds,
    broken: &Counterexample,
    path: &Path,
) -> Result<(), Problem> {
    let kept = Kept {
        exhaust: search.name.to_owned(),
        property: broken.property.to_owned(),
        timers: bounds.timers,
        crashes: bounds.crashes,
        copies: bounds.duplicates,
        steps: broken.steps.clone(),
    };
    let text = serde_json::to_string_pretty(&kept)? + "\n";
    save::save(path, text.as_bytes())
        .map_err(|error| Problem(format!("{}: {error}", path.display())))
}

/// Takes the steps of a kept counterexample again.
fn again(searches: &[Search], path: &Path, json: bool) -> Result<u8, Problem> {
    let wrong = |what: String| Problem(format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let kept: Kept = serde_json::from_str(&text).map_err(|error| {
        wrong(format!("{error}; expected what `exhaust --save` writes (a case: `replay`)"))
    })?;
    let search = find(searches, &kept.exhaust)?;
    let (timers, crashes) = (kept.timers, kept.crashes);
    let bounds = Bounds { timers, crashes, duplicates: kept.copies, ..search.bounds };
    bounds.validate().map_err(&wrong)?;
    let broken = search.replay(bounds, &kept.steps).map_err(|error| wrong(error.to_string()))?;
    if broken.property != kept.property {
        let (now, then) = (broken.property, kept.property);
        return Err(wrong(format!("its steps break `{now}` now, and broke `{then}`")));
    }
    if json {
        show::json(&json!({
            "exhaust": search.name, "property": broken.property,
            "explanation": broken.explanation, "counterexample": broken.steps,
        }));
    } else {
        show::line(&format!("{}: `{}` is broken", search.name, broken.property));
        show::line(&format!("  but       {}", broken.explanation));
        story(&broken);
    }
    // As of a case: it is broken, whatever is expected.
    Ok(if broken.property == NEVER_PANICS { 5 } else { 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_could_judge_proves_nothing() {
        let found = |property: Option<&'static str>, undecided| Exploration {
            extent: Extent::Complete,
            bounds: Bounds::NONE,
            states: 1,
            steps: 0,
            depth: 0,
            ends: (0, 0),
            handlers: 0,
            undecided,
            marks: Vec::new(),
            bytes: 0,
            counterexample: property.map(|property| Counterexample {
                property,
                explanation: String::new(),
                steps: Vec::new(),
                effects: Vec::new(),
            }),
        };
        assert_eq!(code(None, &found(None, 0)), 0);
        assert_eq!(code(None, &found(None, 1)), 4);
        assert_eq!(code(None, &found(Some("Agreement"), 1)), 1);
        assert_eq!(code(None, &found(Some(NEVER_PANICS), 0)), 5);
        assert_eq!(code(Some("Agreement"), &found(Some("Agreement"), 0)), 0);
        assert_eq!(code(Some("Agreement"), &found(Some("Validity"), 0)), 1);
        assert_eq!(code(Some("Agreement"), &found(None, 0)), 4);
    }
}
