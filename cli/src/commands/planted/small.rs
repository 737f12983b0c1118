//! The smallest run of a planted bug, measured.

use super::super::{Problem, show};
use super::PlantedArgs;
use super::scratch::{Scratch, answer};
use crate::museum::{Jump, Small};
use crate::patches::Planted;
use seedfall::case::Case;
use serde_json::Value;

/// Where the copy keeps the small run.
const CASE: &str = "target/seedfall/planted.json";

/// How long it may take to make a run small.
const SHRINK_TIME: &str = "30s";

/// How many further seeds that fail in the same way may be made small.
const FURTHER: &str = "3";

/// Has the copy, in which the bug is planted, shrink its run of this seed, replay the small run and
/// look for its point of no return.
pub(super) fn measure(
    args: &PlantedArgs,
    scratch: &Scratch,
    patch: &Planted,
    seed: u64,
) -> Result<Small, Problem> {
    let (scenario, seed_text) = (patch.says("Scenario"), seed.to_string());
    let ask = |words: &[&str], jobs: bool| -> Result<Value, Problem> {
        let mut command = scratch.command()?;
        command.args(words).arg("--json");
        if jobs {
            command.args(args.jobs());
        }
        answer(&mut command)?.map_err(|why| Problem(format!("{}: {}: {why}", patch.name, words[0])))
    };
    let words = [
        &["shrink", scenario, "--seed", &seed_text, "--save", CASE][..],
        &["--time", SHRINK_TIME, "--further", FURTHER],
    ];
    let shrunk = ask(&words.concat(), true)?;
    let replayed = ask(&["replay", CASE], false)?;
    // A small run of which that cannot be told is a small run.
    let whole = ["point", CASE, "--no-shrink"];
    let with_fix = patch.can_be_mended().then(|| ask(&[&whole[..], &["--fix"]].concat(), true));
    let point = match with_fix {
        Some(Ok(point)) => Ok(point),
        Some(Err(Problem(why))) => {
            show::error(&why);
            ask(&whole, true)
        }
        None => ask(&whole, true),
    };
    let point = point.inspect_err(|Problem(why)| show::error(why)).unwrap_or_default();
    let case: Case = serde_json::from_str(&std::fs::read_to_string(scratch.runs_in.join(CASE))?)?;
    if let Some(folder) = &args.save_cases {
        let note = patch.says("Bug").to_owned();
        Case { note, ..case.clone() }.save(&folder.join(format!("{}.json", patch.name)))?;
    }
    let same = replayed["diverges_at_event"].is_null()
        && replayed["failure"]["fingerprint"].as_str() == case.expect.fingerprint.as_deref();
    let pair = |name: &str| {
        let number = |which: usize| shrunk[name][which].as_u64().unwrap_or_default();
        [number(0), number(1)]
    };
    let jump = |name: &str| {
        point[name].is_object().then(|| Jump {
            event: point[name]["event"].as_u64().unwrap_or_default(),
            ends: point[name]["ends"].as_u64().unwrap_or_default(),
            text: point[name]["text"].as_str().unwrap_or_default().to_owned(),
            left: point[name]["left"].as_u64(),
            before: share(&point[name]["before"]),
            after: share(&point[name]["after"]),
        })
    };
    let told = shrunk["story"].as_array().into_iter().flatten();
    Ok(Small {
        // That of another run that fails in the same way, if that became smaller.
        seed: shrunk["run"]["seed"].as_u64().unwrap_or(seed),
        events: pair("events"),
        whole: shrunk["whole"].as_u64().unwrap_or_default(),
        delivered: pair("delivered"),
        faults: pair("faults"),
        operations: pair("operations"),
        draws: pair("draws"),
        matter: shrunk["matter"].as_u64(),
        runs: shrunk["runs"].as_u64().unwrap_or_default(),
        seconds: shrunk["seconds"].as_f64().unwrap_or_default(),
        minimal: shrunk["minimal"].as_bool().unwrap_or_default(),
        replays: same,
        cause: serde_json::from_value(point["cause"].clone())?,
        too_late: jump("too_late"),
        sure: point["sure"].as_bool().unwrap_or_default(),
        jump: jump("jump"),
        decided: jump("decided"),
        story: told.filter_map(|line| Some(line.as_str()?.to_owned())).collect(),
    })
}

fn share(chance: &Value) -> f64 {
    let number = |name: &str| chance[name].as_f64().unwrap_or_default();
    number("failed") / number("of").max(1.0)
}
